//! What the last walk over all keys has found: see [`crate::upkeep`], which walks, and MEMORY TREE, which tells.

use crate::base::sizes::Sizes;
use crate::base::tree::Trees;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// A walk: complete, or as far as it has come.
#[derive(Debug, Default)]
pub struct Round {
    /// What was counted.
    pub trees: Trees,
    /// How many keys there are of which size.
    pub sizes: Sizes,
    /// Unix milliseconds at its beginning.
    pub began_ms: u64,
    /// How long it took.
    pub took_ms: u64,
}

impl Round {
    /// Keys that were counted.
    pub fn keys(&self) -> u64 {
        self.trees.roots.values().map(|root| root.all.keys).sum()
    }

    /// Whether it has far more or fewer keys than there are now.
    fn is_outdated(&self, keys: u64) -> bool {
        self.keys().abs_diff(keys) > (keys / 10).max(10)
    }

    /// Whether it is worth telling all the same.
    fn is_of_use(&self, keys: u64) -> bool {
        (keys / 2..=keys.saturating_mul(2)).contains(&self.keys())
    }
}

/// The last round, what a later one has seen so far, and a bell for whoever walks.
#[derive(Debug, Default)]
pub struct Surveyed {
    last: Mutex<Option<Arc<Round>>>,
    early: Mutex<Option<Arc<Round>>>,
    /// Somebody wants a new round, or the end.
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Surveyed {
    /// The last round that is complete.
    pub fn last(&self) -> Option<Arc<Round>> {
        self.last.lock().clone()
    }

    /// What to tell from where there are so many keys now, and whether it is a complete round. If there is none, or the last has far more or
    /// fewer keys than that, it is what a later one has seen so far: shards are walked through one after the other, and which keys are in
    /// which is a matter of chance, so that this is a sample of all.
    pub fn told(&self, keys: u64) -> Option<(Arc<Round>, bool)> {
        let (last, early) = (self.last(), self.early.lock().clone());
        match (last, early) {
            (Some(last), Some(early)) if last.is_outdated(keys) => Some((early, false)),
            (Some(last), None) if last.is_outdated(keys) => {
                // The next round is due, though this one has just been.
                self.ring();
                last.is_of_use(keys).then_some((last, true))
            }
            (Some(last), _) => Some((last, true)),
            (None, early) => early.map(|early| (early, false)),
        }
    }

    /// Makes known what a round has seen so far, if nobody can be told something better. Where there are so many keys now.
    pub(crate) fn put_early(&self, keys: u64, round: impl FnOnce() -> Round) {
        if self.last().is_none_or(|last| last.is_outdated(keys)) {
            *self.early.lock() = Some(Arc::new(round()));
        }
    }

    /// Puts a new one in its place. True if another is wanted already.
    pub(crate) fn put(&self, round: Round) -> bool {
        *self.last.lock() = Some(Arc::new(round));
        *self.early.lock() = None;
        std::mem::take(&mut *self.rung.lock())
    }

    /// Has the next round begin at once.
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.bell.notify_all();
    }

    /// Rests; not longer than until somebody rings, if that is to end the rest (`between` rounds).
    pub(crate) fn wait(&self, time: Duration, between: bool) {
        let mut rung = self.rung.lock();
        if between && std::mem::take(&mut *rung) {
            return;
        }
        self.bell.wait_for(&mut rung, time);
        if between {
            *rung = false;
        }
    }
}
