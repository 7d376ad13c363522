//! What the last walk over all keys has found: see [`crate::upkeep`], which walks, and MEMORY TREE, which tells.

use crate::base::tree::Trees;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// A walk that is complete.
#[derive(Debug, Default)]
pub struct Round {
    /// What was counted.
    pub trees: Trees,
    /// Unix milliseconds at its beginning.
    pub began_ms: u64,
    /// How long it took.
    pub took_ms: u64,
}

/// The last round, and a bell for whoever walks.
#[derive(Debug, Default)]
pub struct Surveyed {
    last: Mutex<Option<Arc<Round>>>,
    /// Somebody wants a new round, or the end.
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Surveyed {
    /// The last round that is complete.
    pub fn last(&self) -> Option<Arc<Round>> {
        self.last.lock().clone()
    }

    /// Puts a new one in its place. True if another is wanted already.
    pub(crate) fn put(&self, round: Round) -> bool {
        *self.last.lock() = Some(Arc::new(round));
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
