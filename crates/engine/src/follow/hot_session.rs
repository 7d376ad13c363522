//! HOTKEYS START to STOP: every command's keys, or a part of them, recorded by time and by bytes for as long as somebody wants
//! to know, as Redis 8.6 does it. What is always on is [`crate::base::hot`].
//!
//! While a session is on, all threads add to one sketch, and each command is timed by itself. While none is, this is one look at a
//! flag for each batch.

use crate::base::clock::unix_ms;
use crate::base::hot::Sketch;
use crate::base::process::{CpuTime, cpu_time};
use crate::base::random::random_below;
use crate::base::ticks;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Keys that are kept of each measure: far more than are told, so that what is told is right.
const KEPT: usize = 1024;

/// What HOTKEYS START asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// By time.
    pub cpu: bool,
    /// By bytes received and sent.
    pub net: bool,
    /// Keys that are told.
    pub most: usize,
    /// Seconds until it stops by itself; 0 for never.
    pub seconds: u64,
    /// One of so many keys is recorded.
    pub ratio: u64,
}

/// What was recorded. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was asked for.
    pub wanted: Wanted,
    /// It goes on.
    pub active: bool,
    /// Unix milliseconds at which it began, and how long it went on, or has been.
    pub began_ms: u64,
    /// See `began_ms`.
    pub duration_ms: u64,
    /// Of all commands with keys.
    pub all_us: u64,
    /// Bytes of all commands with keys.
    pub all_bytes: u64,
    /// Bytes of those that were recorded.
    pub bytes: u64,
    /// Processor seconds of the process meanwhile, in the program and in the kernel.
    pub process: (f64, f64),
    /// The hottest keys by time.
    pub by_cpu: Vec<(Box<[u8]>, u64)>,
    /// The hottest keys by bytes.
    pub by_net: Vec<(Box<[u8]>, u64)>,
}

#[derive(Debug)]
struct State {
    wanted: Wanted,
    began_ms: u64,
    /// When it ended; None while it goes on.
    ended_ms: Option<u64>,
    process: Option<CpuTime>,
    /// Processor seconds until it ended.
    spent: (f64, f64),
    all_nanos: u64,
    all_bytes: u64,
    bytes: u64,
    /// In nanoseconds.
    by_cpu: Sketch,
    by_net: Sketch,
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct HotSession {
    on: AtomicBool,
    state: Mutex<Option<State>>,
}

impl HotSession {
    /// Whether commands are to be recorded.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Whether one goes on; None if there was none, or it was forgotten.
    pub fn is_active(&self) -> Option<bool> {
        let mut state = self.state.lock();
        self.end_in_time(&mut state);
        state.as_ref().map(|state| state.ended_ms.is_none())
    }

    /// Begins. False if one goes on already.
    pub fn start(&self, wanted: Wanted) -> bool {
        let mut state = self.state.lock();
        self.end_in_time(&mut state);
        if self.is_on() {
            return false;
        }
        *state = Some(State {
            wanted,
            began_ms: unix_ms(),
            ended_ms: None,
            process: cpu_time(),
            spent: (0.0, 0.0),
            all_nanos: 0,
            all_bytes: 0,
            bytes: 0,
            by_cpu: Sketch::default(),
            by_net: Sketch::default(),
        });
        self.on.store(true, Relaxed);
        true
    }

    /// Ends; what was recorded stays. False if none goes on.
    pub fn stop(&self) -> bool {
        let mut state = self.state.lock();
        self.end_in_time(&mut state);
        let was_on = self.is_on();
        if was_on && let Some(state) = &mut *state {
            self.end(state, unix_ms());
        }
        was_on
    }

    /// Forgets what was recorded. False if it goes on.
    pub fn reset(&self) -> bool {
        let mut state = self.state.lock();
        self.end_in_time(&mut state);
        if self.is_on() {
            return false;
        }
        *state = None;
        true
    }

    fn end(&self, state: &mut State, now_ms: u64) {
        self.on.store(false, Relaxed);
        state.ended_ms = Some(now_ms);
        state.spent = spent(state.process);
    }

    /// Ends one whose time is over.
    fn end_in_time(&self, state: &mut Option<State>) {
        if let Some(state) = state
            && state.ended_ms.is_none()
            && state.wanted.seconds > 0
        {
            let until = state.began_ms + state.wanted.seconds * 1000;
            if unix_ms() >= until {
                self.end(state, until);
            }
        }
    }

    /// Records a command: its keys with their hashes, the ticks that it took, its bytes in both directions. Each key has its share.
    #[cold]
    pub fn record(&self, keys: &[(&[u8], u64)], took: u64, bytes: usize) {
        if keys.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        self.end_in_time(&mut state);
        let Some(state) = state.as_mut().filter(|state| state.ended_ms.is_none()) else {
            return;
        };
        let nanos = ticks::nanos(took);
        state.all_nanos += nanos;
        state.all_bytes += bytes as u64;
        let n = keys.len() as u64;
        for (key, hash) in keys {
            if state.wanted.ratio > 1 && random_below(state.wanted.ratio) != 0 {
                continue;
            }
            // All databases are one here, as they are there.
            if state.wanted.cpu {
                state.by_cpu.add(KEPT, 0, key, *hash, nanos / n);
            }
            if state.wanted.net {
                state.bytes += bytes as u64 / n;
                state.by_net.add(KEPT, 0, key, *hash, bytes as u64 / n);
            }
        }
    }

    /// What was recorded; None if nothing was started, or it was forgotten.
    pub fn told(&self) -> Option<Told> {
        let mut state = self.state.lock();
        self.end_in_time(&mut state);
        let state = state.as_ref()?;
        let micros = |(key, nanos): (Box<[u8]>, u64)| (key, nanos / 1000);
        let by_cpu = state.by_cpu.top(state.wanted.most);
        Some(Told {
            wanted: state.wanted,
            active: state.ended_ms.is_none(),
            began_ms: state.began_ms,
            duration_ms: state
                .ended_ms
                .unwrap_or_else(unix_ms)
                .saturating_sub(state.began_ms),
            all_us: state.all_nanos / 1000,
            all_bytes: state.all_bytes,
            bytes: state.bytes,
            process: match state.ended_ms {
                Some(_) => state.spent,
                None => spent(state.process),
            },
            by_cpu: by_cpu.into_iter().map(micros).collect(),
            by_net: state.by_net.top(state.wanted.most),
        })
    }
}

/// Processor seconds since then: in the program, in the kernel.
fn spent(since: Option<CpuTime>) -> (f64, f64) {
    match (since, cpu_time()) {
        (Some(then), Some(now)) => (now.user - then.user, now.system - then.system),
        _ => (0.0, 0.0),
    }
}
