//! The removal of keys that clients of a writable replica have let expire: see [`OwnExpiries`](crate::base::own_expiries).

use crate::base::clock::unix_ms;
use crate::base::journal::Records;
use crate::base::own_expiries::OwnKey;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::door::change::{Event, note};
use crate::door::keys::Said;
use crate::upkeep::sweep::{PATIENCE, apply};
use std::time::{Duration, Instant};

/// Keys taken out of the list at once.
const STRETCH: usize = 64;

/// Where a round over them is.
#[derive(Default)]
pub struct OwnSweep {
    last: Option<OwnKey>,
}

impl OwnSweep {
    /// Removes those that are due, and forgets those that are gone or expire no more, until the time is over or all have been looked
    /// at once; returns how many were removed.
    pub fn slice(&mut self, engine: &Engine, counters: &Counters, time: Duration) -> usize {
        let (began, mut removed) = (Instant::now(), 0);
        let (mut left, now_ms) = (engine.own_expiries.len(), unix_ms());
        while left > 0 && began.elapsed() < time {
            let keys = engine.own_expiries.behind(self.last.as_ref(), STRETCH);
            let begins = self.last.is_none();
            self.last = keys.last().cloned();
            if keys.is_empty() && begins {
                break;
            }
            left = left.saturating_sub(keys.len());
            removed += keys
                .iter()
                .filter(|key| look(engine, counters, key, now_ms))
                .count();
        }
        counters.expired.add(removed as u64);
        removed
    }
}

/// Looks at one of the keys; whether it was removed.
fn look(engine: &Engine, counters: &Counters, own: &OwnKey, now_ms: u64) -> bool {
    let (ks, (db, key)) = (engine.keyspace(), own);
    let place = ks.place(key);
    let lock = ks
        .try_lock(place.shard())
        .or_else(|| ks.lock_for(place.shard(), PATIENCE));
    // Whoever has it may keep it: another time.
    let Some(mut shard) = lock else { return false };
    // Its database may have changed places with another, whose key of this name is the primary's.
    if !engine.own_expiries.has(own) {
        return false;
    }
    let found = shard.db(*db).find(place.hash(), key);
    let expiry = found.as_ref().and_then(|found| found.expiry_ms());
    if expiry.is_some_and(|ms| ms > now_ms) {
        return false;
    }
    engine.own_expiries.forget(own);
    let Some(found) = found.filter(|_| expiry.is_some()) else {
        return false;
    };
    let freed = found.change().remove().freed;
    let (mut changes, mut records) = (Vec::new(), Records::default());
    if engine.follow.effects.listening() {
        note(&mut changes, *db, (key, place), Event::EXPIRED);
    }
    if engine.journal.is_on() {
        records.push_expired(*db, &[b"DEL", key]);
    }
    let held = (place.shard(), shard);
    let garbage = apply(engine, counters, held, now_ms, Said::of(changes, records));
    for freed in freed.into_iter().chain(garbage) {
        engine.reclaimer.take(freed);
    }
    true
}
