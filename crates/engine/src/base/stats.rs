//! Counters, one set a worker.
//!
//! Only its worker writes a set, with plain loads and stores; INFO sums the sets when asked. So counting costs no
//! atomic read-modify-write and no cache line ever travels between workers for it.

use crate::base::histogram::{Histogram, Total};
use crate::base::hot::{Hot, HotKeys, Measure, Merge};
use crate::base::journal::Lane;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// A number that one thread adds to and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning worker may.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes back what was added; only the owning worker may.
    pub fn take_back(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Notes another number; only the owning worker may.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Counters of one command.
#[derive(Debug, Default)]
pub struct CommandCounters {
    /// Calls carried out.
    pub calls: Counter,
    /// Time they took, in [ticks](crate::base::ticks). Of quick commands of one kind that follow each other in a pipeline the
    /// sum is measured.
    pub ticks: Counter,
    /// Calls refused before they were carried out (arity, authentication).
    pub rejected: Counter,
    /// Calls that answered an error.
    pub failed: Counter,
    /// The times of single calls, once there was one while `latency-tracking` was on.
    times: OnceLock<Histogram>,
}

impl CommandCounters {
    /// Counts the time of one call, in ticks; only the owning worker may.
    #[inline]
    pub fn took(&self, ticks: u64) {
        self.took_each(ticks, 1);
    }

    /// The same for several calls that took so long each.
    #[inline]
    pub fn took_each(&self, ticks: u64, calls: u64) {
        self.times
            .get_or_init(Histogram::default)
            .count(ticks, calls);
    }

    /// Adds the times of its calls to others'.
    pub(crate) fn add_times(&self, total: &mut Total) {
        if let Some(times) = self.times.get() {
            total.add(times);
        }
    }
}

/// One worker's counters.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    /// By [`crate::context::command::Entry::id`].
    pub commands: Box<[CommandCounters]>,
    /// What its thread writes down of changes.
    pub(crate) lane: Arc<Lane>,
    /// The piece of the journal that the last change of a typed call is in.
    pub piece: Counter,
    /// Commands carried out, of all kinds.
    pub calls: Counter,
    /// Lookups for reading that found the key.
    pub hits: Counter,
    /// Lookups for reading that did not.
    pub misses: Counter,
    /// Keys removed because they had expired.
    pub expired: Counter,
    /// Keys evicted.
    pub evicted: Counter,
    /// Fields of hashes removed because they had expired.
    pub expired_fields: Counter,
    /// Changes of keys, as `save` counts them.
    pub changes: Counter,
    /// Panics caught.
    pub panics: Counter,
    /// Error replies.
    pub error_replies: Counter,
    /// Protocol errors.
    pub protocol_errors: Counter,
    /// Failed authentications.
    pub auth_failures: Counter,
    /// Which keys its commands are about.
    pub hot: Hot,
    /// Ids of the commands that it has carried out lately, for the report of a panic; and how many there were.
    recent: [Counter; RECENT],
    recent_at: Counter,
    errors: Mutex<BTreeMap<String, u64>>,
    codes: Arc<Codes>,
}

/// Commands that are remembered for the report of a panic.
const RECENT: usize = 16;

/// Most different codes of errors that are counted, each under its name.
const MOST_CODES: usize = 128;

/// Bytes of a code that count.
const CODE_BYTES: usize = 64;

/// What all further codes are counted under; as Valkey calls it.
const OVERFLOW: &str = "ERRORSTATS_OVERFLOW";

/// The codes that are counted under their names, for all workers. Scripts can make up any, so that their number has to be
/// bounded.
#[derive(Debug, Default)]
struct Codes(Mutex<BTreeSet<String>>);

impl Codes {
    /// Whether a code is one of them, or becomes one.
    fn admit(&self, code: &str) -> bool {
        let mut codes = self.0.lock();
        codes.contains(code) || codes.len() < MOST_CODES && codes.insert(code.to_owned())
    }
}

impl Counters {
    /// Counters for a registry with this many ids.
    pub fn new(ids: usize, lane: Arc<Lane>) -> Counters {
        Counters::with(ids, lane, Arc::default())
    }

    fn with(ids: usize, lane: Arc<Lane>, codes: Arc<Codes>) -> Counters {
        Counters {
            codes,
            commands: (0..ids).map(|_| CommandCounters::default()).collect(),
            lane,
            piece: Counter::default(),
            calls: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            expired: Counter::default(),
            expired_fields: Counter::default(),
            evicted: Counter::default(),
            changes: Counter::default(),
            panics: Counter::default(),
            error_replies: Counter::default(),
            protocol_errors: Counter::default(),
            auth_failures: Counter::default(),
            hot: Hot::default(),
            recent: Default::default(),
            recent_at: Counter::default(),
            errors: Mutex::new(BTreeMap::new()),
        }
    }

    /// Notes a command, or several of one kind, as the latest. Only the owning worker may.
    #[inline]
    pub(crate) fn note_recent(&self, id: usize) {
        let at = self.recent_at.get();
        self.recent[at as usize % RECENT].set(id as u64);
        self.recent_at.set(at + 1);
    }

    /// The ids of the latest commands, the latest first.
    pub(crate) fn recent(&self) -> Vec<usize> {
        let at = self.recent_at.get();
        let places = (at.saturating_sub(RECENT as u64)..at).rev();
        places
            .map(|at| self.recent[at as usize % RECENT].get() as usize)
            .collect()
    }

    /// Counts an error reply under its code.
    #[cold]
    pub fn error(&self, code: &str) {
        self.error_replies.add(1);
        let code = &code[..code.floor_char_boundary(CODE_BYTES)];
        let mut errors = self.errors.lock();
        if let Some(n) = errors.get_mut(code) {
            *n += 1;
            return;
        }
        let code = match self.codes.admit(code) {
            true => code,
            false => OVERFLOW,
        };
        *errors.entry(code.to_owned()).or_insert(0) += 1;
    }

    /// Takes back so many error replies that were counted under a code.
    #[cold]
    pub(crate) fn take_back_errors(&self, code: &str, n: u64) {
        self.error_replies.take_back(n);
        let code = &code[..code.floor_char_boundary(CODE_BYTES)];
        let mut errors = self.errors.lock();
        let code = match errors.contains_key(code) {
            true => code,
            false => OVERFLOW,
        };
        if let Some(count) = errors.get_mut(code) {
            *count = count.saturating_sub(n);
            if *count == 0 {
                errors.remove(code);
            }
        }
    }

    fn clear(&self) {
        for c in &self.commands {
            c.calls.clear();
            c.ticks.clear();
            c.rejected.clear();
            c.failed.clear();
            if let Some(times) = c.times.get() {
                times.clear();
            }
        }
        for c in [
            &self.calls,
            &self.hits,
            &self.misses,
            &self.expired,
            &self.expired_fields,
            &self.evicted,
            &self.panics,
            &self.error_replies,
            &self.protocol_errors,
            &self.auth_failures,
        ] {
            c.clear();
        }
        self.errors.lock().clear();
    }
}

/// All workers' counters.
#[derive(Debug, Default)]
pub struct Stats {
    sets: Mutex<Vec<Arc<Counters>>>,
    codes: Arc<Codes>,
    /// The most memory, in bytes, that was ever found in use.
    pub(crate) peak_memory: AtomicUsize,
    /// When that was, in Unix seconds.
    pub(crate) peak_at_s: AtomicU64,
    /// The set of the thread that looks for what has expired.
    pub(crate) sweeper: OnceLock<Arc<Counters>>,
    /// Clients that were disconnected because their requests grew too long.
    pub query_limit_disconnections: AtomicU64,
    /// Bytes that came from a primary, and that went to replicas.
    pub from_primary: Arc<AtomicU64>,
    pub to_replicas: Arc<AtomicU64>,
    /// How often the search for expired keys stopped because its time was over.
    pub(crate) expire_time_caps: AtomicU64,
    /// Commands of a primary's stream that were answered with errors.
    pub unexpected_errors: AtomicU64,
    /// Nanoseconds that the search for expired keys has taken.
    pub(crate) expire_nanos: AtomicU64,
}

impl Stats {
    /// A new set that is summed with the others from now on. Sets of workers that have ended stay in the sum.
    pub fn add_worker(&self, ids: usize, lane: Arc<Lane>) -> Arc<Counters> {
        let set = Arc::new(Counters::with(ids, lane, self.codes.clone()));
        self.sets.lock().push(set.clone());
        set
    }

    /// All sets. Nobody who begins to count waits for longer than this copy of the list takes.
    pub(crate) fn sets(&self) -> Vec<Arc<Counters>> {
        self.sets.lock().clone()
    }

    /// A number summed over all workers.
    pub fn sum(&self, f: impl Fn(&Counters) -> u64) -> u64 {
        self.sets().iter().map(|s| f(s)).sum()
    }

    /// Shows all sets, one after the other.
    pub fn each(&self, mut look: impl FnMut(&Counters)) {
        self.sets().iter().for_each(|set| look(set));
    }

    /// The times of all commands' calls.
    pub fn all_times(&self) -> Total {
        let mut total = Total::default();
        self.each(|set| set.commands.iter().for_each(|c| c.add_times(&mut total)));
        total
    }

    /// The hottest keys of the last seconds by a measure.
    pub fn hot_keys(&self, measure: Measure, most: usize) -> HotKeys {
        let mut merge = Merge::new(measure);
        self.each(|set| merge.add(&set.hot));
        merge.top(most)
    }

    /// The times of one command's calls, by its id.
    pub fn times(&self, command: usize) -> Total {
        let mut total = Total::default();
        self.each(|set| set.commands[command].add_times(&mut total));
        total
    }

    /// Error replies by code.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        self.each(|set| {
            for (code, n) in set.errors.lock().iter() {
                *all.entry(code.clone()).or_insert(0) += n;
            }
        });
        all
    }

    /// Starts all counts at zero. A worker that counts at the same moment may keep that one count.
    pub fn reset(&self) {
        for set in self.sets.lock().iter() {
            set.clear();
        }
        self.codes.0.lock().clear();
        for count in [
            &self.query_limit_disconnections,
            &*self.from_primary,
            &*self.to_replicas,
            &self.expire_time_caps,
            &self.unexpected_errors,
            &self.expire_nanos,
        ] {
            count.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes that scripts make up are counted, and bounded in number and length for all workers together.
    #[test]
    fn codes_of_errors_are_bounded() {
        let stats = Stats::default();
        let workers = [
            stats.add_worker(1, Arc::default()),
            stats.add_worker(1, Arc::default()),
        ];
        workers[0].error("ERR");
        for i in 0..300 {
            workers[i % 2].error(&format!("E{i}"));
        }
        workers[1].error("ERR");
        workers[1].error(&"\u{e9}".repeat(1000));
        let errors = stats.errors();
        assert_eq!(errors.len(), MOST_CODES + 1);
        assert_eq!(errors["ERR"], 2);
        assert_eq!(errors["E126"], 1);
        assert_eq!(errors[OVERFLOW], 300 - 127 + 1);
        stats.reset();
        workers[1].error(&"\u{e9}".repeat(1000));
        assert_eq!(stats.errors()[&"\u{e9}".repeat(CODE_BYTES / 2)], 1);
    }
}
