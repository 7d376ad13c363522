//! The keyspace: where keys and values live, in shards that a lock each guards.
//!
//! From the inside out: [`words`] and [`slab`] provide memory, [`entry`] lays a key and its value out in one
//! allocation, [`table`] finds entries by hash, [`dict`] joins the three behind a safe interface, [`keyspace`] is the
//! array of shards, and [`locks`] holds several of them at once. [`packed`], [`object`] and [`types`] are the collections,
//! and what some strings and sorted sets mean.
//! [`readers`] lets threads look at a shard without its lock, announcing it by their number from [`threads`].
//! There is no unsafe code but in the first four, each
//! with its safety argument on top, in `dict`, which ties them together, and where `keyspace` lets a reader in.
//!
//! Nothing here knows sockets, RESP, commands or the time of day, and nothing blocks but on a shard's lock.

pub mod dict;
pub mod entry;
pub mod keyspace;
pub mod locks;
pub mod object;
pub mod packed;
pub mod readers;
pub mod slab;
pub mod table;
pub mod threads;
pub mod types;
pub mod words;

pub use dict::{Dict, EntryRef, Found, Removed, new_value, string_value};
pub use entry::{Blob, MAX_INLINE, NewValue, ObjectValue, Type, Value};
pub use keyspace::{Keyspace, Shard};
pub use object::{Collection, Freed, Object};

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
