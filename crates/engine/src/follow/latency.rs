//! LATENCY's events: what took longer than `latency-monitor-threshold`, second by second.
//!
//! An event keeps the worst of each of the last 160 seconds in which it happened, and the worst of all. Nothing is kept while the
//! threshold is 0.

use crate::base::clock::unix_ms;
use crate::config::Live;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;

/// Seconds kept of an event.
const MOST_SAMPLES: usize = 160;

/// The events there are, with what they are about.
pub const EVENTS: &[(&str, &str)] = &[
    ("command", "a command that may take long"),
    ("fast-command", "a command of constant or logarithmic time"),
    ("expire-cycle", "a round of the search for expired keys"),
    (
        "eviction-cycle",
        "a round of eviction, by the thread that keeps to the limit or by a command that needs memory",
    ),
    (
        "lock-wait",
        "the time a command waited for the locks of its keys, because somebody held them for long",
    ),
    ("aof-write", "a write to the append-only log"),
    ("aof-fsync", "a sync of the append-only log"),
    (
        "snapshot-hold",
        "the longest that a snapshot held a shard's lock at a time",
    ),
];

/// What is kept of an event.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Unix seconds, and the most milliseconds that it took in that second; the newest last.
    pub samples: VecDeque<(u64, u64)>,
    /// The most milliseconds it ever took.
    pub worst_ms: u64,
    /// How often it was noted.
    pub times: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct Latency(Mutex<BTreeMap<&'static str, Event>>);

impl Latency {
    /// Notes that something took so long, if that is long. `event`: one of [`EVENTS`].
    pub fn note(&self, live: &Live, event: &'static str, micros: u64) {
        let threshold_ms = live.latency_threshold_ms.load(Relaxed);
        if threshold_ms > 0 && micros / 1000 >= threshold_ms {
            self.add(event, micros / 1000, unix_ms() / 1000);
        }
    }

    #[cold]
    fn add(&self, event: &'static str, ms: u64, now_s: u64) {
        debug_assert!(EVENTS.iter().any(|(name, _)| *name == event), "{event}");
        let mut events = self.0.lock();
        let event = events.entry(event).or_default();
        event.worst_ms = event.worst_ms.max(ms);
        event.times += 1;
        match event.samples.back_mut() {
            Some((second, worst)) if *second == now_s => *worst = ms.max(*worst),
            _ => event.samples.push_back((now_s, ms)),
        }
        if event.samples.len() > MOST_SAMPLES {
            event.samples.pop_front();
        }
    }

    /// What is kept of an event; None if it was never noted.
    pub fn event(&self, name: &str) -> Option<Event> {
        self.0.lock().get(name).cloned()
    }

    /// All that were noted, by name.
    pub fn events(&self) -> Vec<(&'static str, Event)> {
        let events = self.0.lock();
        events
            .iter()
            .map(|(name, event)| (*name, event.clone()))
            .collect()
    }

    /// Forgets some events, or all if none is named. Returns how many there were.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        events.retain(|event, _| {
            let named = |name: &&[u8]| name.eq_ignore_ascii_case(event.as_bytes());
            !(names.is_empty() || names.iter().any(named))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst() {
        let latency = Latency::default();
        for (second, ms) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            latency.add("command", ms, second);
        }
        let event = latency.event("command").expect("noted");
        assert_eq!(event.samples, [(1, 9), (2, 3)]);
        assert_eq!((event.worst_ms, event.times), (9, 4));
        assert!(latency.event("fast-command").is_none());
        for second in 10..400 {
            latency.add("command", 1, second);
        }
        let event = latency.event("command").expect("noted");
        assert_eq!(event.samples.len(), MOST_SAMPLES);
        assert_eq!(event.worst_ms, 9);
        assert_eq!(latency.reset(&[b"fast-command"]), 0);
        assert_eq!(latency.reset(&[b"COMMAND"]), 1);
        latency.add("expire-cycle", 1, 1);
        latency.add("fast-command", 1, 1);
        assert_eq!(latency.reset(&[]), 2);
    }

    #[test]
    fn only_what_is_long_is_noted() {
        let (latency, live) = (Latency::default(), Live::default());
        latency.note(&live, "command", 1_000_000);
        live.latency_threshold_ms.store(20, Relaxed);
        latency.note(&live, "command", 19_999);
        assert!(latency.events().is_empty());
        latency.note(&live, "command", 20_000);
        assert_eq!(latency.events().len(), 1);
    }
}
