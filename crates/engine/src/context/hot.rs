//! A command whose keys are counted as hot: see [`crate::base::hot`].

use crate::base::clock::unix_ms;
use crate::base::hot::{Measure, SLOTS, SOME_KEYS};
use crate::base::random::random_below;
use crate::base::stats::Counters;
use crate::context::command::{Entry, RUNS_QUEUE};
use crate::context::engine::Engine;
use crate::door::known::PlacedKey;
use smallvec::SmallVec;
use std::collections::HashMap;
use store::Keyspace;

/// How long what is known of hot keys is good for [`Engine::hot_frequency`], in milliseconds.
const FRESH_MS: u64 = 1000;

/// Operations of hot keys by database and name, and when they were added up.
#[derive(Debug, Default)]
pub(crate) struct Frequencies {
    at_ms: u64,
    ops: HashMap<(usize, Box<[u8]>), u64>,
}

impl Engine {
    /// How often a key was used in the last seconds, on the scale of LFU's counters: about what the counter of a new key would have
    /// come to. 0 of a key that is not hot.
    pub(crate) fn hot_frequency(&self, db: usize, key: &[u8]) -> u8 {
        let (mut known, now_ms) = (self.frequencies.lock(), unix_ms());
        if now_ms.saturating_sub(known.at_ms) >= FRESH_MS {
            let found = self.stats().hot_keys(Measure::Ops, SLOTS);
            let ops = found
                .keys
                .into_iter()
                .map(|hot| ((hot.db, hot.key), hot.value));
            (known.ops, known.at_ms) = (ops.collect(), now_ms);
        }
        match known.ops.get(&(db, Box::from(key))) {
            None => 0,
            // A counter of c grows with a probability of one in ten times what it has beyond 5.
            Some(ops) => (5.0 + (*ops as f64 / 5.0).sqrt()).min(255.0) as u8,
        }
    }
}

/// The keys that a call names, each with a hash that tells it from those of other databases.
pub(crate) fn keys_of<'a>(
    argv: &[&'a [u8]],
    keys: &[PlacedKey],
    db: usize,
) -> SmallVec<[(&'a [u8], u64); 4]> {
    let salt = (db as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let of = |key: &PlacedKey| (argv[key.index as usize], key.place.hash() ^ salt);
    keys.iter().map(of).collect()
}

/// Which of `of` keys are looked at: every so many from the first of these on.
pub(crate) fn some_of(of: usize) -> (usize, usize) {
    let step = of.div_ceil(SOME_KEYS).max(1);
    (random_below(step as u64) as usize, step)
}

/// Counts a command for a measure whose sample is due, with some of its `of` keys. What runs a queue counts for nothing: the commands
/// of the queue do.
#[cold]
pub(crate) fn sample(
    counters: &Counters,
    ks: &Keyspace,
    measure: Measure,
    (entry, argv): (&Entry, &[&[u8]]),
    (placed, of): (&[PlacedKey], usize),
    db: usize,
) {
    if entry.command.has(RUNS_QUEUE) {
        return counters.hot.pass_over(measure);
    }
    let keys = keys_of(argv, placed, db);
    let weight = counters.hot.sample(measure, db, &keys, of);
    if measure == Measure::Cpu {
        // Each is held as long as the command takes.
        let mut shards: SmallVec<[usize; 4]> = placed.iter().map(|key| key.place.shard()).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            counters.hot.hold(ks.shards(), shard, weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClient;

    /// Of a command with many keys the sketch gets some, with what all count for; in a transaction too.
    #[test]
    fn commands_with_many_keys_are_counted_by_some() {
        let keys: String = (0..5000).map(|n| format!(" key:{n}")).collect();
        for line in [format!("MGET{keys}"), format!("MULTI; MGET{keys}; EXEC")] {
            let mut db = TestClient::new();
            db.run(&line);
            let found = db.engine.stats().hot_keys(Measure::Ops, SLOTS);
            let named = found.keys.iter().filter(|key| key.key.starts_with(b"key:"));
            let values: Vec<u64> = named.map(|key| key.value).collect();
            assert!(
                (SOME_KEYS / 2..=SOME_KEYS).contains(&values.len()),
                "{values:?}"
            );
            let sum: u64 = values.iter().sum();
            assert!((4900..=5000).contains(&sum), "{values:?}");
        }
    }
}
