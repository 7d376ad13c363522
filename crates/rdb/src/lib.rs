//! RDB: values as bytes, the form in which Redis and Valkey keep them in files and hand them out with DUMP.
//!
//! A payload of DUMP is one value by itself: a byte for its type and encoding, the value, a version, a checksum
//! ([`payload`]). A file is many of them under their keys, with what is to be known beside ([`file`](mod@file)). The value inside is
//! the same: [`encode`] writes one in a form that a given version's readers know, [`decode`] reads all that Redis 5 to 8.6
//! and Valkey 7 to 9.1 write. Below these are the building blocks: lengths and strings ([`cursor`], [`put`]), the packed
//! sequences that small collections are stored as ([`listpack`], [`ziplist`]), compression ([`store::lzf`]) and the checksum
//! ([`crc64`]).
//!
//! Payloads come from clients and files from disks, so nothing in them is believed: each length is compared with the bytes
//! that are there before anything is reserved, and whatever does not fit is an error, never a panic. Values are built element
//! by element, so that each is checked in full, whatever `sanitize-dump-payload` says: there is no cheaper way to leave out.
//! Nothing here opens a file or a socket.

pub mod crc64;
pub mod cursor;
pub mod decode;
pub mod encode;
pub mod file;
pub mod listpack;
pub mod payload;
pub mod put;
mod stream;
pub mod version;
pub mod ziplist;

pub use cursor::Text;
pub use version::Version;

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

/// What old servers sometimes left in files: a collection without elements.
pub const EMPTY: Malformed = Malformed("a collection without elements");

/// A value that was read.
#[derive(Debug)]
pub enum Loaded<'a> {
    /// A string.
    String(Text<'a>),
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

impl Settings {
    /// With the limits that servers have by default.
    pub const fn usual(now_ms: u64) -> Settings {
        Settings {
            now_ms,
            list: list::Limits {
                max_listpack_size: -2,
                packed_threshold: 0,
                compress_depth: 0,
            },
            set: set::Limits {
                intset_entries: 512,
                listpack_entries: 128,
                listpack_value: 64,
            },
            hash: hash::Limits {
                entries: 128,
                value: 64,
            },
            sorted_set: sorted_set::Limits {
                entries: 128,
                member: 64,
            },
            stream: streams::Limits {
                node_bytes: 4096,
                node_entries: 100,
            },
        }
    }
}

/// The numbers by which RDB tells types and encodings apart. Modules' values are refused.
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
    /// Before GA, and since: modules' values.
    pub const MODULE: u8 = 6;
    pub const MODULE_2: u8 = 7;
    /// Up to Redis 2.6.
    pub const HASH_ZIPMAP: u8 = 9;
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
    /// With what producers have sent, of Redis 8.6.
    pub const STREAM_LISTPACKS_4: u8 = 26;
    /// With the pending entries that belong to no consumer, of Redis 8.8.
    pub const STREAM_LISTPACKS_5: u8 = 27;
    /// Our own: a set with each member's expiry behind it (Unix milliseconds, 8 bytes, little endian; 0: none). What Redis 8.12
    /// writes is not published. Other servers refuse it.
    pub const SET_TIMED: u8 = 200;
}
