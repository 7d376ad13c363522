//! INFO's section Keysizes: how many keys there are of which size.
//!
//! Counting at every change would cost each change of a packed collection a walk through it, since those know their number of elements no
//! otherwise. So the keys are looked at when somebody asks, where they are few; else it is what the last walk over all keys has found
//! ([`crate::context::surveyed`]).

use super::Report;
use crate::base::clock::unix_ms;
use crate::base::sizes::Sizes;
use std::fmt::Write;
use store::Type;

/// Keys that are looked at when somebody asks: a fraction of a millisecond.
const FEW: usize = 5000;

/// Elements of packed collections that may be gone through for that: some 200 us.
const FEW_ELEMENTS: usize = 50_000;

/// So many of one collection count at most: one that has more is hardly packed, and knows its number.
const MOST_OF_ONE: usize = 1024;

pub(super) fn keysizes(report: &Report<'_, '_>, into: &mut String) {
    let keys: usize = report.usage().dbs.iter().map(|db| db.keys).sum();
    let few = (keys <= FEW).then(|| look(report)).flatten();
    let (sizes, age_ms, percent) = match few {
        Some(sizes) => (sizes, 0, 100),
        None => {
            let Some((round, is_complete)) = report.engine.surveyed.told(keys as u64) else {
                // Nobody knows yet.
                return;
            };
            let age_ms = unix_ms().saturating_sub(round.began_ms);
            match is_complete {
                true => (round.sizes.clone(), age_ms, 100),
                false => {
                    let seen = round.keys();
                    let keys = (keys as u64).max(seen);
                    (
                        round.sizes.scaled(seen, keys),
                        age_ms,
                        seen * 100 / keys.max(1),
                    )
                }
            }
        }
    };
    for line in sizes.lines() {
        line!(into, "{line}");
    }
    line!(into, "redpoll_keysizes_age_ms:{age_ms}");
    line!(into, "redpoll_keysizes_seen_percent:{percent}");
}

/// The sizes of all keys, if nobody holds some of them for long and it does not take long either.
fn look(report: &Report<'_, '_>) -> Option<Sizes> {
    let ks = report.engine.keyspace();
    let (mut sizes, mut elements) = (Sizes::default(), 0);
    for shard in 0..ks.shards() {
        if (0..ks.databases()).all(|db| ks.shard_counts(db, shard).keys == 0) {
            continue;
        }
        let guard;
        let shard = match report.held.shard(shard) {
            Some(held) => held,
            None => {
                guard = ks.try_lock(shard).or_else(|| ks.lock_soon(shard, None))?;
                &*guard
            }
        };
        for db in 0..ks.databases() {
            let dict = shard.db_ref(db);
            dict.for_each(|entry| {
                if elements <= FEW_ELEMENTS {
                    let length = entry.length();
                    sizes.count(db, entry.kind(), length);
                    if entry.kind() != Type::String {
                        elements += length.min(MOST_OF_ONE);
                    }
                }
            });
            if elements > FEW_ELEMENTS {
                return None;
            }
        }
    }
    Some(sizes)
}
