//! Wakes tasks at a time.
//!
//! The library has no runtime whose timers it could use, so a thread of its own does it, one for the whole program, which is started
//! when the first task waits with a timeout and sleeps while there is none.

use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Instant;

/// When, and a number to tell those apart that are due at one time.
type At = (Instant, u64);

struct Timer {
    waiting: Mutex<BTreeMap<At, Waker>>,
    changed: Condvar,
    /// Whether the thread runs.
    runs: bool,
}

static TIMER: LazyLock<Timer> = LazyLock::new(|| {
    let thread = std::thread::Builder::new().name("redpoll-timer".into());
    Timer {
        waiting: Mutex::new(BTreeMap::new()),
        changed: Condvar::new(),
        runs: thread.spawn(|| TIMER.run()).is_ok(),
    }
});

impl Timer {
    fn run(&self) {
        let mut waiting = self.waiting.lock();
        loop {
            match waiting.first_entry() {
                None => self.changed.wait(&mut waiting),
                Some(first) if first.key().0 > Instant::now() => {
                    let until = first.key().0;
                    self.changed.wait_until(&mut waiting, until);
                }
                Some(first) => {
                    let waker = first.remove();
                    // A waker may do anything.
                    parking_lot::MutexGuard::unlocked(&mut waiting, || waker.wake());
                }
            }
        }
    }
}

/// A task that will be woken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Alarm(At);

impl Alarm {
    /// Has a task woken at a time.
    pub(crate) fn set(at: Instant, waker: &Waker) -> Alarm {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let key = (at, NUMBER.fetch_add(1, Relaxed));
        let timer = &*TIMER;
        if timer.runs {
            timer.waiting.lock().insert(key, waker.clone());
            timer.changed.notify_one();
        } else {
            // There is no thread to be had: the task looks itself, again and again.
            waker.wake_by_ref();
        }
        Alarm(key)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        TIMER.waiting.lock().remove(&self.0);
    }
}
