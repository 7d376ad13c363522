//! A command whose keys are counted as hot: see [`crate::base::hot`].

use crate::base::hot::Measure;
use crate::base::stats::Counters;
use crate::context::command::{Entry, RUNS_QUEUE};
use crate::table::positions::each_key;
use smallvec::SmallVec;
use store::Keyspace;

/// The keys that a call names, each with a hash that tells it from those of other databases.
pub(crate) fn keys_of<'a>(
    ks: &Keyspace,
    entry: &Entry,
    argv: &[&'a [u8]],
    db: usize,
) -> SmallVec<[(&'a [u8], u64); 4]> {
    let mut keys = SmallVec::new();
    each_key(entry, argv, |i, _| {
        let hash = ks.hash(argv[i]) ^ (db as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        keys.push((argv[i], hash));
    });
    keys
}

/// Counts a command for a measure whose sample is due. What runs a queue counts for nothing: the commands of the queue do.
#[cold]
pub(crate) fn sample(
    counters: &Counters,
    ks: &Keyspace,
    measure: Measure,
    entry: &Entry,
    argv: &[&[u8]],
    db: usize,
) {
    if entry.command.has(RUNS_QUEUE) {
        return counters.hot.pass_over(measure);
    }
    let keys = keys_of(ks, entry, argv, db);
    counters.hot.sample(measure, db, &keys);
}
