//! The numbers by which RDB tells types and encodings apart. Modules' values are refused.
#![allow(missing_docs)]

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
pub(crate) const SET_INTSET: u8 = 11;
pub const ZSET_ZIPLIST: u8 = 12;
pub const HASH_ZIPLIST: u8 = 13;
/// Nodes are ziplists.
pub const LIST_QUICKLIST: u8 = 14;
pub(crate) const STREAM_LISTPACKS: u8 = 15;
pub(crate) const HASH_LISTPACK: u8 = 16;
pub(crate) const ZSET_LISTPACK: u8 = 17;
/// Nodes are listpacks or single large elements.
pub(crate) const LIST_QUICKLIST_2: u8 = 18;
/// With the first and the highest deleted ID, and the number of entries ever added.
pub(crate) const STREAM_LISTPACKS_2: u8 = 19;
pub(crate) const SET_LISTPACK: u8 = 20;
/// With the time a consumer was last active.
pub(crate) const STREAM_LISTPACKS_3: u8 = 21;
/// In Redis a field expiry of a release candidate; in Valkey, hashes with field expiry.
pub const HASH_22: u8 = 22;
/// Redis's field expiry in a listpack, of a release candidate.
pub(crate) const HASH_LISTPACK_EX_RC: u8 = 23;
pub const HASH_METADATA: u8 = 24;
pub(crate) const HASH_LISTPACK_EX: u8 = 25;
/// With what producers have sent, of Redis 8.6.
pub const STREAM_LISTPACKS_4: u8 = 26;
/// With the pending entries that belong to no consumer, of Redis 8.8.
pub(crate) const STREAM_LISTPACKS_5: u8 = 27;
/// Our own: a set with each member's expiry behind it (Unix milliseconds, 8 bytes, little endian; 0: none). What Redis 8.12
/// writes is not published. Other servers refuse it.
pub(crate) const SET_TIMED: u8 = 200;
