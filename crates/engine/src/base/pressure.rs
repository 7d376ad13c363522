//! What is held back for a snapshot has reached its bound: changes of the shards that are still to be written wait.
//!
//! While nothing of the kind happens, this is one look at a flag for each command.

use super::wait_list::{Topic, WaitList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What waits for all shards, or for some that nobody has looked for.
pub(crate) const EVERY_SHARD: Topic = Topic::MAX;

/// See the module's page.
#[derive(Debug)]
pub struct Pressure {
    on: AtomicBool,
    /// Shards of which something is still to be written.
    shards: Box<[AtomicBool]>,
    /// How often somebody had to wait.
    waits: AtomicU64,
    /// Those who wait: each for a shard, or for all ([`EVERY_SHARD`]).
    pub(crate) line: Arc<WaitList>,
}

impl Pressure {
    /// Of so many shards.
    pub(crate) fn new(shards: usize) -> Pressure {
        Pressure {
            on: AtomicBool::new(false),
            shards: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            waits: AtomicU64::new(0),
            line: Arc::default(),
        }
    }

    /// Whether some changes wait.
    #[inline]
    pub fn any(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Whether changes of this shard wait, if any do.
    pub(crate) fn concerns(&self, shard: usize) -> bool {
        self.shards
            .get(shard)
            .is_some_and(|shard| shard.load(Relaxed))
    }

    /// Has changes wait, or go on.
    pub fn set(&self, on: bool) {
        self.on.store(on, Relaxed);
        if !on {
            self.line.call();
        }
    }

    /// Says whether something of a shard is still to be written.
    pub fn set_shard(&self, shard: usize, unwritten: bool) {
        let before = (self.shards.get(shard)).is_some_and(|of| of.swap(unwritten, Relaxed));
        if before && !unwritten {
            self.line.call_those(|waits_for| waits_for == shard);
        }
    }

    /// Somebody begins to wait, or was called and waits again.
    pub(crate) fn note_wait(&self) {
        self.waits.fetch_add(1, Relaxed);
    }

    /// How often somebody had to wait.
    pub fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }
}
