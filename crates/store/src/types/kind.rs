//! What a value is: its type, and the large string that a reply may share.

use std::sync::Arc;

/// A large string, shared with the replies that are being sent.
pub type Blob = Arc<Vec<u8>>;

/// The type of a value, numbered as in RDB's object types of old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Type {
    String = 0,
    List = 1,
    Set = 2,
    SortedSet = 3,
    Hash = 4,
    Stream = 6,
}

impl Type {
    /// The name TYPE prints.
    pub const fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::SortedSet => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }
}
