//! Eviction: removing keys when there is too little memory.
//!
//! # Which keys
//! There is no list of keys in the order of their use, which every command would have to keep. A [`Round`] looks at a random
//! sample instead, in the place where it lies in a table, and takes the first few of it by the policy's order
//! ([`Aging::rank`]). Redis compares 5 keys for each one that goes, and remembers the best it has seen; we compare four times as
//! many, but since the keys of a sample lie in neighbouring cache lines and several of them go, that costs less. Of a sample
//! of 160, of which 8 go, all eight are among the oldest fifteenth of all keys almost surely.
//!
//! A keyspace with few keys has few in each shard. Then the sample is gathered from several shards, so that the first of *all*
//! goes; with no more keys than the sample is to have, exactly the first.
//!
//! # Without waiting
//! Whoever evicts may hold other shards (a script does), so it only takes locks that are free. It holds one at a time, for as
//! long as a sample takes or a few keys need to go.
//!
//! # As a change
//! An evicted key is announced (`evicted`), written down as DEL, forgotten by client-side caches, and fails transactions that
//! watch it, as if it had been deleted.

use crate::base::class;
use crate::base::clock::unix_nanos;
use crate::base::journal::{Journal, clock_at};
use crate::base::memory::{Aging, Memory, Order, Policy};
use crate::base::random::random_below;
use crate::base::reclaim::Reclaimer;
use crate::base::replication::{CHANGES_HELD, Standing};
use crate::base::stats::Counters;
use crate::door::change::{Event, KeyBytes, note};
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys, Said};
use crate::follow::Follow;
use smallvec::SmallVec;
use std::time::Duration;
use store::Keyspace;
use store::keyspace::ShardGuard;

/// Keys that go at once when the thread evicts that has nothing else to do.
pub(crate) const MANY: usize = 32;

/// Keys that go at once when a command waits for it.
pub(crate) const FEW: usize = 8;

/// Keys compared for each one that goes, in units of `maxmemory-samples`.
const TIMES: usize = 4;

/// The largest sample.
const LARGEST: usize = 1024;

/// Buckets that are looked at for keys with an expiry, in one shard at a time.
const BUCKETS: usize = 2048;

/// A key was evicted.
pub(crate) const EVICTED: Event = Event {
    class: class::EVICTED,
    name: "evicted",
};

/// What came of trying to evict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is room.
    Enough,
    /// Some have gone, and the time is over; or those who have keys that could go keep their shards locked.
    NotYet,
    /// There is nothing that may go.
    Nothing,
}

/// What eviction works with.
pub(crate) struct Evictor<'a> {
    pub ks: &'a Keyspace,
    pub follow: &'a Follow,
    pub journal: &'a Journal,
    pub reclaimer: &'a Reclaimer,
    pub memory: &'a Memory,
    pub standing: &'a Standing,
    /// On a replica nothing is evicted: its primary sees to its memory.
    pub left_to_primary: bool,
}

/// A key that may go.
struct Candidate {
    rank: u64,
    shard: usize,
    db: usize,
    key: KeyBytes,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// As many bytes are to go.
    need: usize,
    keys: usize,
    bytes: usize,
    /// Keys that it has looked at.
    met: usize,
    /// Keys where it has looked, and what they take.
    there: (usize, usize),
    /// A shard's lock was not to be had.
    missed: bool,
}

/// How long a command may evict, by `maxmemory-eviction-tenacity`. Redis, which has nobody else to do it, takes ten times as
/// long.
pub(crate) fn patience(tenacity: u32) -> Duration {
    match tenacity {
        0..=10 => Duration::from_micros(5 * u64::from(tenacity).max(1)),
        11..=99 => Duration::from_secs_f64(50e-6 * 1.15f64.powi(tenacity as i32 - 10)),
        _ => Duration::MAX,
    }
}

impl Evictor<'_> {
    /// Evicts until no more than `goal` bytes are in use, for as long as `patience`, `at_once` keys at a time: a sample serves for some,
    /// so as many go together as leave `down_to` bytes.
    pub fn evict(
        &self,
        counters: &Counters,
        now_ms: u64,
        (goal, down_to): (usize, usize),
        patience: Duration,
        at_once: usize,
    ) -> Outcome {
        let aging = &self.follow.config().live.aging;
        let policy = aging.policy();
        let mut began = None;
        loop {
            let used = self.memory.used();
            if used <= goal {
                return Outcome::Enough;
            }
            let need = used - down_to.min(goal);
            let Policy {
                order: Some(order),
                volatile,
            } = policy
            else {
                return Outcome::Nothing;
            };
            let now = unix_nanos();
            let began = *began.get_or_insert(now);
            if u128::from(now.saturating_sub(began)) >= patience.as_nanos() {
                return Outcome::NotYet;
            }
            let clock = clock_at(now);
            let round = self.round(
                counters,
                (now_ms, clock),
                aging,
                (order, volatile),
                (at_once, need),
            );
            self.memory.grow(-(round.bytes as isize));
            if round.keys == 0 {
                let missed = round.missed || round.met > 0;
                return if missed {
                    Outcome::NotYet
                } else {
                    Outcome::Nothing
                };
            }
        }
    }

    /// Removes at most `most` keys, and none once `need` bytes have gone.
    fn round(
        &self,
        counters: &Counters,
        (now_ms, clock): (u64, u64),
        aging: &Aging,
        (order, volatile): (Order, bool),
        (most, need): (usize, usize),
    ) -> Round {
        let mut round = Round {
            need,
            ..Round::default()
        };
        let mut first = self.candidates(now_ms, aging, order, volatile, most, &mut round);
        first.sort_unstable_by_key(|c| c.shard);
        for of_shard in first.chunk_by(|a, b| a.shard == b.shard) {
            let index = of_shard[0].shard;
            match self.ks.try_lock(index) {
                Some(shard) => {
                    self.remove(
                        counters,
                        (now_ms, clock),
                        volatile,
                        (index, shard),
                        of_shard,
                        &mut round,
                    );
                }
                None => round.missed = true,
            }
        }
        round
    }

    /// A sample's first keys by the policy's order, `most` at most.
    fn candidates(
        &self,
        now_ms: u64,
        aging: &Aging,
        order: Order,
        volatile: bool,
        most: usize,
        round: &mut Round,
    ) -> Vec<Candidate> {
        let ks = self.ks;
        let samples = aging.samples.load(std::sync::atomic::Ordering::Relaxed);
        let for_each = match order {
            Order::Random => 1,
            _ => samples * TIMES,
        };
        let most = most.min((LARGEST / for_each).max(1));
        let want = for_each * most;
        let mut first: Vec<Candidate> = Vec::new();
        let start = random_below(ks.shards() as u64) as usize;
        for index in (0..ks.shards()).map(|i| (start + i) & (ks.shards() - 1)) {
            if round.met >= want {
                break;
            }
            // What there is to choose from, without the lock.
            let count = |db: usize| {
                let counts = ks.shard_counts(db, index);
                if volatile {
                    counts.expiring
                } else {
                    counts.keys
                }
            };
            let all: usize = (0..ks.databases()).map(count).sum();
            if all == 0 {
                continue;
            }
            let Some(shard) = ks.try_lock(index) else {
                round.missed = true;
                continue;
            };
            let left = want - round.met;
            round.there.0 += (0..ks.databases())
                .map(|db| ks.shard_counts(db, index).keys)
                .sum::<usize>();
            round.there.1 += ks.shard_bytes(index);
            let mut ranked: SmallVec<[(u64, &[u8]); 128]> = SmallVec::new();
            for db in 0..ks.databases() {
                let here = count(db);
                if here == 0 {
                    continue;
                }
                let share = (left * here).div_ceil(all).min(here);
                ranked.clear();
                let dict = shard.db_ref(db);
                let mut sample = |share, most| {
                    dict.sample(random_below(u64::MAX), share, most, volatile, |e| {
                        if !e.is_kept() {
                            ranked.push((aging.rank(order, e, now_ms), e.key()));
                        }
                    });
                };
                match dict.kept() {
                    0 => sample(share, BUCKETS),
                    kept if kept == dict.len() => {}
                    // As many more as those take that must stay.
                    kept => sample(share * dict.len() / (dict.len() - kept), usize::MAX),
                }
                if ranked.is_empty() && dict.kept() > 0 && dict.kept() < dict.len() {
                    // The few that may go are not where it looked.
                    dict.sample(
                        random_below(u64::MAX),
                        dict.len(),
                        usize::MAX,
                        volatile,
                        |e| {
                            if !e.is_kept() && ranked.len() < most {
                                ranked.push((aging.rank(order, e, now_ms), e.key()));
                            }
                        },
                    );
                }
                round.met += ranked.len();
                if ranked.len() > most {
                    ranked
                        .select_nth_unstable_by_key(most - 1, |(rank, _)| std::cmp::Reverse(*rank));
                    ranked.truncate(most);
                }
                first.extend(ranked.iter().map(|(rank, key)| Candidate {
                    rank: *rank,
                    shard: index,
                    db,
                    key: KeyBytes::from_slice(key),
                }));
                ranked.clear();
            }
        }
        // As many of them as the sample was large enough for, and no more than are to go if they are like others here.
        let each = (round.there.1 / round.there.0.max(1)).max(1);
        let most = most.min(round.need.div_ceil(each));
        let most = (round.met / for_each).min(most).max(1);
        if first.len() > most {
            first.select_nth_unstable_by_key(most - 1, |c| std::cmp::Reverse(c.rank));
            first.truncate(most);
        }
        first
    }

    /// Removes keys of a shard, tells whom it concerns, and lets go of the shard.
    fn remove(
        &self,
        counters: &Counters,
        (now_ms, mut clock): (u64, u64),
        volatile: bool,
        (index, mut shard): (usize, ShardGuard<'_>),
        which: &[Candidate],
        round: &mut Round,
    ) {
        let ks = self.ks;
        // Asked with the lock held: what is removed once this server follows another is missing in no other copy.
        let closed = self.standing.closed();
        if closed & CHANGES_HELD != 0 || self.left_to_primary && self.standing.is_replica() {
            round.missed = true;
            return;
        }
        let listening = self.follow.effects.listening();
        let recording = self.journal.is_on();
        let (mut said, mut garbage) = (Said::default(), Garbage::new());
        let (before, mut gone) = (ks.shard_bytes(index), 0);
        for Candidate { db, key, .. } in which {
            let so_far = before.saturating_sub(ks.shard_bytes(index));
            if round.bytes + so_far >= round.need {
                break;
            }
            let place = ks.place(key);
            let Some(found) = shard.db(*db).find(place.hash(), key) else {
                continue;
            };
            if volatile && found.expiry_ms().is_none() || found.get().is_kept() {
                continue;
            }
            garbage.extend(found.change().remove().freed);
            gone += 1;
            if listening {
                note(&mut said.changes, *db, (key, place), EVICTED);
            }
            if recording {
                said.records.push_expired(*db, &[b"DEL", key]);
            }
        }
        round.bytes += before.saturating_sub(ks.shard_bytes(index));
        round.keys += gone;
        counters.evicted.add(gone as u64);
        if said.changes.is_empty() && said.records.is_empty() {
            drop(shard);
        } else {
            let mut keys = Keys::of_nobody(
                (ks, Held::One(index, shard)),
                (
                    &self.follow.config().live.aging,
                    &self.follow.effects.listening,
                ),
                counters,
                now_ms,
                &mut said,
            );
            keys.garbage = garbage;
            self.follow.apply(&mut keys, None);
            if !keys.records.is_empty() {
                let (held, records) = (&keys.held, &mut *keys.records);
                let lane = &counters.lane;
                // Behind what whoever set the limit has asked for before.
                self.journal
                    .write_down(lane, records, |f| held.each_clock(f), &mut clock);
            }
            garbage = keys.garbage;
        }
        for freed in garbage {
            self.reclaimer.take(freed);
        }
    }
}

#[cfg(test)]
mod tests;
