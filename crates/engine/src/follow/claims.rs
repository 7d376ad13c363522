//! Waiting for time: whoever waits for entries that have been pending for long enough (XREADGROUP with CLAIM).
//!
//! Such a client is served when its key changes, like any other, and also when a pending entry reaches the age that it asks for,
//! which nobody's command brings about. So it says when that will be, each time it is tried ([`Wait::again`]), and is listed here
//! by that time until it is served. A thread looks at the first of the list ([`crate::context::claims`]).
//!
//! [`Wait::again`]: crate::follow::waiting::Wait::again

use crate::follow::waiting::Waiter;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// Clients that wait for time to pass. See the module's page.
#[derive(Default)]
pub struct Claims {
    /// By when they are to be tried again, in Unix milliseconds, and their number.
    listed: Mutex<BTreeMap<(u64, u64), Arc<Waiter>>>,
    /// How many clients wait that may be listed, whether or not they are at the moment.
    waiting: AtomicUsize,
}

impl Claims {
    /// Whether anybody waits for pending entries.
    pub(crate) fn any(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Somebody begins to wait.
    pub(crate) fn begin(&self, waiter: &Arc<Waiter>) {
        if waiter.again.is_some() {
            self.waiting.fetch_add(1, Relaxed);
            self.list(waiter);
        }
    }

    /// Lists a client that waits by the time that it says now.
    pub(crate) fn list(&self, waiter: &Arc<Waiter>) {
        let Some(again) = &waiter.again else { return };
        let at = again.load(Relaxed);
        let mut listed = self.listed.lock();
        let was = waiter.listed_at.swap(at, Relaxed);
        if was != at {
            listed.remove(&(was, waiter.number));
        }
        if at != NEVER {
            listed.insert((at, waiter.number), waiter.clone());
        }
    }

    /// Takes a client off, which waits no more.
    pub(crate) fn strike(&self, waiter: &Arc<Waiter>) {
        if waiter.again.is_some() {
            self.waiting.fetch_sub(1, Relaxed);
            let mut listed = self.listed.lock();
            listed.remove(&(waiter.listed_at.swap(NEVER, Relaxed), waiter.number));
        }
    }

    /// Takes the first whose time has come.
    pub(crate) fn take_due(&self, now_ms: u64) -> Option<Arc<Waiter>> {
        let mut listed = self.listed.lock();
        let first = listed.first_entry()?;
        if first.key().0 > now_ms {
            return None;
        }
        let waiter = first.remove();
        waiter.listed_at.store(NEVER, Relaxed);
        Some(waiter)
    }

    /// When the first is to be tried again.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.any()
            .then(|| self.listed.lock().keys().next().map(|(at, _)| *at))?
    }
}
