//! The keyspace: where keys and values live, in shards that a lock each guards.
//!
//! Rooms, from the bottom up; each imports only rooms above it in this list:
//!
//! | room | what |
//! |---|---|
//! | [`lzf`] | compression of strings and of the inner nodes of lists |
//! | [`mem`] | memory for buckets and directories ([`mem::words`]), slots for entries ([`mem::slab`]) |
//! | [`table`] | finds entries by their hash |
//! | [`types`] | collections, packed or of their own, and what some strings and sorted sets mean |
//! | [`dict`] | one shard's part of a database: the layout of an entry, looking at a key, changing one |
//! | [`shard`] | the array of shards, several held at once, looking at one without its lock |
//!
//! There is no unsafe code but in [`mem`], in [`table`], in `dict/entry.rs`, which lays a key and its value out in one
//! allocation, in `dict/` where it ties these three together, where `shard/keyspace.rs` lets a reader in or makes a guard,
//! and where `shard/parked.rs` says that a line is a lock. Each has its
//! safety argument on top.
//!
//! Nothing here knows sockets, RESP, commands or the time of day, and nothing blocks but on a shard's lock.

mod dict;
pub mod lzf;
pub mod mem;
mod shard;
pub mod table;
pub mod types;

pub use dict::{
    Counts, Dict, EntryMut, EntryRef, Found, MAX_INLINE, MAX_KEY, NewValue, ObjectValue, Observer,
    Removed, Value, new_value, string_value,
};
pub use mem::{prefetch_room, same};
pub use shard::keyspace::{Keyspace, Shard};
pub use shard::place::Place;
pub use shard::{keyspace, locks, parked, place, readers, threads};
pub use types::kind::{Blob, Type};
pub use types::object::{Collection, Freed, Object};
pub use types::watch::{Element, Watcher};
pub use types::{object, packed};

#[cfg(test)]
pub(crate) mod testing {
    /// Cases a property test runs: `STORE_PROPTEST_CASES` if set (memcheck makes them slow), else `default`.
    pub fn cases(default: u32) -> u32 {
        std::env::var("STORE_PROPTEST_CASES")
            .ok()
            .and_then(|v| v.parse().ok())
            .unwrap_or(default)
    }
}
