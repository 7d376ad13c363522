//! Shards: the array of them, which of them a key belongs to, their locks, several held at once, who waits for them, and looking at one without its lock.

mod guarded;
pub mod keyspace;
pub mod locks;
pub mod parked;
pub mod place;
pub mod readers;
pub mod threads;
