//! Shards: the array of them, their locks, several held at once, who waits for them, and looking at one without its lock.

pub mod keyspace;
pub mod locks;
pub mod parked;
pub mod readers;
pub mod threads;
