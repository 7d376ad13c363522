//! Where a key belongs.
//!
//! A key's hash chooses its shard and its place in the shard's table. Whoever is the first to need either makes a [`Place`] with
//! [`Keyspace::place`](crate::Keyspace::place) and hands it on: nobody after him looks at the key's bytes to find out again.

/// A key's hash, and the shard that it chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    hash: u64,
    shard: u32,
}

impl Place {
    pub(super) fn new(hash: u64, shard: usize) -> Place {
        Place {
            hash,
            shard: shard as u32,
        }
    }

    /// The hash of the key.
    #[inline]
    pub fn hash(self) -> u64 {
        self.hash
    }

    /// The index of the key's shard.
    #[inline]
    pub fn shard(self) -> usize {
        self.shard as usize
    }
}

/// How many keys this thread has hashed: tests hold that it is one for each key that a command names.
#[cfg(debug_assertions)]
pub mod count {
    use std::cell::Cell;

    thread_local! {
        static HASHED: Cell<u64> = const { Cell::new(0) };
    }

    pub(in crate::shard) fn one_more() {
        // A thread that ends counts nothing any more.
        let _ = HASHED.try_with(|hashed| hashed.set(hashed.get() + 1));
    }

    /// Keys hashed by this thread.
    pub fn hashed() -> u64 {
        HASHED.with(Cell::get)
    }
}
