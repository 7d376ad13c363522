//! What each shard has and has had to do.

use crate::base::ticks;
use crate::context::engine::Engine;

/// One shard. Counts are since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardFigures {
    /// Keys of all databases.
    pub keys: u64,
    /// Bytes of keys, values and tables.
    pub bytes: u64,
    /// How often its lock was taken: about the commands that had to do with it.
    pub ops: u64,
    /// How often somebody who wanted the lock had to wait.
    pub waits: u64,
    /// For how long, all of them together.
    pub wait_nanos: u64,
    /// How long commands took that named keys of it: an estimate from samples (see [`crate::base::hot`]).
    pub held_nanos: u64,
}

impl Engine {
    /// All shards, in the order of their numbers. Takes no lock of theirs.
    pub fn shard_figures(&self) -> Vec<ShardFigures> {
        let ks = self.keyspace();
        let mut held = vec![0; ks.shards()];
        self.stats().each(|set| {
            for (shard, sum) in held.iter_mut().enumerate() {
                *sum += set.hot.held(shard);
            }
        });
        let figures = held.into_iter().enumerate().map(|(shard, held)| {
            let load = ks.shard_load(shard);
            let parts = (0..ks.databases()).map(|db| ks.shard_counts(db, shard));
            ShardFigures {
                keys: parts.map(|part| part.keys as u64).sum(),
                bytes: ks.shard_bytes(shard) as u64,
                ops: load.taken,
                waits: load.waits,
                wait_nanos: load.wait_nanos,
                held_nanos: ticks::nanos(held),
            }
        });
        figures.collect()
    }
}
