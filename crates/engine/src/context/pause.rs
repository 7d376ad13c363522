//! CLIENT PAUSE.

use crate::base::clock::unix_ms;
use crate::base::wait_list::{InLine, WaitList};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

/// CLIENT PAUSE: until when, and for which commands.
#[derive(Debug, Default)]
pub struct Pause {
    /// Unix milliseconds; 0: not paused.
    until_ms: AtomicU64,
    /// 1: only writes wait.
    writes_only: AtomicU64,
    /// Those who wait for its end, which may come early.
    pub(crate) line: Arc<WaitList>,
}

impl Pause {
    /// Whether a command has to wait, and for how many milliseconds at most.
    #[inline]
    pub fn wait_ms(&self, now_ms: u64, is_write: bool) -> Option<u64> {
        let until = self.until_ms.load(Relaxed);
        if until == 0 || until <= now_ms || (!is_write && self.writes_only.load(Relaxed) == 1) {
            return None;
        }
        Some(until - now_ms)
    }

    /// Whether there is one that nobody has ended. It may be over.
    #[inline]
    pub(crate) fn was_begun(&self) -> bool {
        self.until_ms.load(Relaxed) != 0
    }

    /// Whether what a primary sends has to wait too. Reading a log is not held up.
    pub fn holds_stream(&self, is_write: bool) -> bool {
        self.wait_ms(unix_ms(), is_write).is_some()
    }

    /// Has this waker called when a pause that holds these back ends before its time, for as long as the place is kept. How long that is
    /// at most. None: nothing holds them back, or that has just changed.
    pub fn call_when_over(&self, is_write: bool, waker: &Waker) -> Option<(Duration, InLine)> {
        let seen = self.line.seen();
        let left = Duration::from_millis(self.wait_ms(unix_ms(), is_write)?);
        let place = InLine::last(&self.line);
        place.wait(seen, 0, waker).then_some((left, place))
    }

    /// Pauses, or extends a pause; a pause of everything is not weakened to one of writes while it lasts.
    pub fn start(&self, now_ms: u64, until_ms: u64, writes_only: bool) {
        let running = self.until_ms.load(Relaxed) > now_ms;
        if !(running && writes_only && self.writes_only.load(Relaxed) == 0) {
            self.writes_only.store(u64::from(writes_only), Relaxed);
        }
        if !running || until_ms > self.until_ms.load(Relaxed) {
            self.until_ms.store(until_ms, Relaxed);
        }
    }

    /// Ends a pause.
    pub fn stop(&self) {
        self.until_ms.store(0, Relaxed);
        self.line.call();
    }
}
