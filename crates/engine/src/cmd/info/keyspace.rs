//! INFO's section Keyspace: how many keys each database has, and for how long those will stay that expire.

use super::Report;
use crate::base::random::random_below;
use std::fmt::Write;
use store::table::POSITIONS;

pub(super) fn keyspace(report: &Report<'_, '_>, into: &mut String) {
    for (number, db) in report
        .usage()
        .dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| db.keys > 0)
    {
        let ttl = if db.expiring > 0 {
            average_ttl(report, number)
        } else {
            0
        };
        line!(
            into,
            "db{number}:keys={},expires={},avg_ttl={ttl},subexpiry={}",
            db.keys,
            db.expiring,
            report.engine.keyspace().timed(number)
        );
    }
}

/// Segments that are looked at for the average time to live.
const TTL_SAMPLES: usize = 4;

/// The average of the remaining times, in milliseconds, of a sample of the keys that will expire: those from some place
/// on in a segment of a few shards.
fn average_ttl(report: &Report<'_, '_>, db: usize) -> u64 {
    let (ks, now_ms) = (report.engine.keyspace(), report.now_ms);
    let first = random_below(ks.shards() as u64) as usize;
    let (mut sum, mut n, mut looked) = (0u128, 0u128, 0);
    for i in 0..ks.shards() {
        let shard = (first + i) % ks.shards();
        if ks.shard_counts(db, shard).expiring == 0 {
            continue;
        }
        let guard;
        let dict = match report.held.shard(shard) {
            Some(held) => held.db_ref(db),
            None => {
                // One that is held for long is no loss to a sample.
                match ks.try_lock(shard) {
                    Some(free) => guard = free,
                    None => continue,
                }
                guard.db_ref(db)
            }
        };
        let mut add = |_, entry: store::EntryRef<'_>| {
            if let Some(left) = entry.expiry_ms().and_then(|at| at.checked_sub(now_ms)) {
                sum += u128::from(left);
                n += 1;
            }
        };
        // A small table is one segment: all of it, from its beginning.
        let position = if dict.shape().0 == 1 {
            0
        } else {
            random_below(POSITIONS)
        };
        dict.visit_from(position, &mut add);
        looked += 1;
        if looked >= TTL_SAMPLES && n > 0 {
            break;
        }
    }
    sum.checked_div(n).map_or(0, |average| average as u64)
}
