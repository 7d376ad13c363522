//! Shards: the array of them, their locks, several held at once, and looking at one without its lock.

pub mod keyspace;
pub mod locks;
pub mod readers;
pub mod threads;
