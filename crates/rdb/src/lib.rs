//! Values as bytes: the serialized form that Redis writes into RDB files and hands out with DUMP.
//!
//! A payload of DUMP is one value by itself: a byte for its type and encoding, the value, a version, a checksum
//! ([`payload`]). The value inside is what an RDB file has for each key: [`encode`] writes one, [`decode`] reads all that
//! Redis 5 to 8 and Valkey 7 to 9 write. Below these are the building blocks: lengths and strings ([`reader`],
//! [`writer`]), the packed sequences that small collections are stored as ([`listpack`], [`ziplist`]), compression
//! ([`lzf`]) and the checksum ([`crc64`]).
//!
//! Payloads come from clients, so nothing in them is believed: each length is compared with the bytes that are there
//! before anything is reserved, and whatever does not fit is an error, never a panic. Nothing here does any I/O.

pub mod crc64;
pub mod decode;
pub mod encode;
pub mod listpack;
pub mod lzf;
pub mod payload;
pub mod reader;
mod stream;
pub mod writer;
pub mod ziplist;

use store::Object;
use store::types::{hash, list, set, sorted_set, stream as streams};

/// Why bytes are no value. The text says what is wrong with them, for logs; clients get one text for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// The result of reading.
pub type Result<T> = std::result::Result<T, Malformed>;

/// A value that was read.
#[derive(Debug)]
pub enum Loaded {
    /// A string.
    String(Vec<u8>),
    /// A collection. A hash is empty if all its fields had expired; no other collection but a stream is ever empty.
    Object(Object),
}

/// What decides the form in which a value that was read is stored, and when that is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    /// Unix milliseconds: fields that expired before are left out.
    pub now_ms: u64,
    pub list: list::Limits,
    pub set: set::Limits,
    pub hash: hash::Limits,
    pub sorted_set: sorted_set::Limits,
    pub stream: streams::Limits,
}

/// The numbers by which RDB tells types and encodings apart. Those left out (modules) are refused.
#[allow(missing_docs)]
pub mod kinds {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    /// Scores as text.
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores as doubles.
    pub const ZSET_2: u8 = 5;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    /// Nodes are ziplists.
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    /// Nodes are listpacks or single large elements.
    pub const LIST_QUICKLIST_2: u8 = 18;
    /// With the first and the highest deleted ID, and the number of entries ever added.
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    /// With the time a consumer was last active.
    pub const STREAM_LISTPACKS_3: u8 = 21;
    /// In Redis a field expiry of a release candidate; in Valkey, hashes with field expiry.
    pub const HASH_22: u8 = 22;
    /// Redis's field expiry in a listpack, of a release candidate.
    pub const HASH_LISTPACK_EX_RC: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}
