//! Working on a key without a request: the way in for the program that the engine is part of.
//!
//! Such a call needs no parsing, no row and no reply. It takes the lock of the key's shard and gets the same [`Keys`]
//! that handlers get, so what expiry, access clocks, counters and freed values mean is written once. Two things are
//! different because such calls come singly and a whole one may take no longer than reading the clock twice:
//!
//! * the time is only read when an entry has an expiry; access clocks, which count seconds, take it from
//!   [`Engine::coarse_ms`];
//! * counters are the caller's, one set a thread (see [`crate::base::stats`]).

use crate::base::class;
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::base::guard::guarded;
use crate::base::journal::Records;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::context::gate::{self, Closed, Intent, LIBRARY, Request};
use crate::door::change::Event;
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys, is_past};
use crate::door::known::{KnownKey, KnownKeys};
use std::sync::atomic::Ordering::Relaxed;
use store::keyspace::ShardGuard;
use store::locks::Indices;
use store::parked::this_thread;
use store::table::table_hash;
use store::{EntryRef, Place};

impl Engine {
    /// Locks a key's shard and lets `work` have the key. What `work` frees is dropped after the lock.
    ///
    /// `work` must be short and must not call anything that takes a lock of the keyspace. Waits while CLIENT PAUSE is
    /// in force. If `work` panics, what it has changed by then is announced, nothing stays locked, and the call is an error.
    ///
    /// # Errors
    /// The gate's, or that of `work`.
    ///
    /// # Panics
    /// If there is no database `db`.
    #[inline]
    pub fn with_key<R>(
        &self,
        db: usize,
        key: &[u8],
        intent: Intent,
        counters: &Counters,
        work: impl FnOnce(&mut Keys<'_>) -> Result<R>,
    ) -> Result<R> {
        let now_ms = self.coarse_ms();
        self.wait_at_the_gate(intent, now_ms, counters)?;
        let place = self.keyspace().place(key);
        self.with_placed((db, key, place), (intent, now_ms), counters, work)
    }

    /// The same for a key whose place is known, past the gate.
    #[inline]
    fn with_placed<R>(
        &self,
        (db, key, place): (usize, &[u8], Place),
        mut how: (Intent, u64),
        counters: &Counters,
        work: impl FnOnce(&mut Keys<'_>) -> Result<R>,
    ) -> Result<R> {
        let ks = self.keyspace();
        // Bucket and entry arrive while the lock does, which another core may have had last.
        ks.probe(db, place).entry(table_hash(place.hash()), false);
        let guard = loop {
            let guard = match ks.try_lock(place.shard()) {
                Some(guard) => guard,
                None => self.wait_for(place.shard(), counters)?,
            };
            if !how.0.writes() || !self.closes_to_changes(how.1) {
                break guard;
            }
            // It was closed on the way here.
            drop(guard);
            self.wait_at_the_gate(how.0, unix_ms(), counters)?;
            how.1 = unix_ms();
        };
        self.with_held(guard, (db, key, place), how, counters, work)
    }

    /// Removes a key if it has expired and its shard's lock can be had within some tens of microseconds.
    pub(crate) fn remove_expired(&self, db: usize, key: &[u8], counters: &Counters) {
        let ks = self.keyspace();
        let place = ks.place(key);
        if let Some(guard) = ks.lock_soon(place.shard(), None) {
            let how = (Intent::Look, self.coarse_ms());
            // What went wrong has been counted.
            let _ = self.with_held(guard, (db, key, place), how, counters, |keys| {
                let _ = keys.peek_or_expire(key);
                Ok(())
            });
        }
    }

    /// Lets `work` have a key whose shard is held.
    #[inline]
    fn with_held<R>(
        &self,
        guard: ShardGuard<'_>,
        (db, key, place): (usize, &[u8], Place),
        (intent, mut now_ms): (Intent, u64),
        counters: &Counters,
        work: impl FnOnce(&mut Keys<'_>) -> Result<R>,
    ) -> Result<R> {
        let ks = self.keyspace();
        let shard = place.shard();
        let (mut changes, mut records) = (Vec::new(), Records::default());
        let mut others = Vec::new();
        let mut held = Held::One(shard, guard);
        if intent.writes() && self.follow.effects.listening() {
            held = self.with_further_shards(held);
            // It may have been closed while nothing was held.
            while self.closes_to_changes(now_ms) {
                drop(held);
                self.wait_at_the_gate(intent, unix_ms(), counters)?;
                now_ms = unix_ms();
                let guard = self.wait_for(shard, counters)?;
                held = self.with_further_shards(Held::One(shard, guard));
            }
        }
        let frozen = !intent.writes() && self.holds_changes(now_ms)
            || self.standing.keeps_expired(|| intent.writes());
        let mut keys = Keys {
            ks,
            held,
            db,
            now_ms,
            frozen,
            coarse: true,
            clock: self.config().live.aging.clock(now_ms),
            aging: &self.config().live.aging,
            known: KnownKeys::new(KnownKey::new(key, place), &mut others),
            counters,
            no_touch: false,
            garbage: Garbage::new(),
            prepared: &[],
            listening: &self.follow.effects.listening,
            changes: &mut changes,
            emptied: None,
            recording: self.journal.is_on(),
            records: &mut records,
            own_expiries: self.own_expiries(false),
            token: None,
            room: self.room(),
            #[cfg(debug_assertions)]
            named: Default::default(),
        };
        let metered =
            (intent.writes() && self.memory().limit() != 0).then(|| ks.shard_bytes(shard));
        let result = carry_out(&mut keys, key, intent, work);
        // Of most calls nothing is written down but what the key holds now, which goes into the log from where it is.
        let mut as_it_is = false;
        if keys.recording {
            as_it_is = keys.changes.is_empty() && keys.records.take_as_it_came();
            if !as_it_is {
                write_up(&mut keys, key);
            }
        }
        if !keys.changes.is_empty() {
            self.follow.apply(&mut keys, None);
        }
        // Threads of a program have no session; what one does to one key stays in order by the shard's clock.
        if as_it_is {
            counters.piece.set(self.write_down_state(&keys, key));
        } else if keys.recording
            && let Some(piece) = self.write_down(&mut keys, &mut 0)
        {
            counters.piece.set(piece);
        }
        if let Some(before) = metered {
            let grown = ks.shard_bytes(shard).wrapping_sub(before) as isize;
            if grown != 0 {
                self.memory().grow(grown);
            }
        }
        let Keys { held, garbage, .. } = keys;
        drop(held);
        for freed in garbage {
            self.reclaimer.take(freed);
        }
        result
    }

    /// Lets `look` see a key, or that there is none, in most cases without taking a lock: see [`store::readers`]. Counts
    /// a hit or a miss; `touch` says whether it also sets the access clock.
    ///
    /// `look` must be short, must not call anything that takes a lock of the keyspace, and may be called twice, the last
    /// time counting.
    ///
    /// # Errors
    /// The gate's.
    ///
    /// # Panics
    /// If there is no database `db`, or if `look` panics.
    #[inline]
    pub fn look<R>(
        &self,
        db: usize,
        key: &[u8],
        touch: bool,
        counters: &Counters,
        mut look: impl FnMut(Option<EntryRef<'_>>) -> R,
    ) -> Result<R> {
        let now_ms = self.coarse_ms();
        self.wait_at_the_gate(Intent::Look, now_ms, counters)?;
        let ks = self.keyspace();
        let place = ks.place(key);
        ks.probe(db, place).entry(table_hash(place.hash()), false);
        let seen = ks.read(place.shard(), |shard| {
            let e = shard.db_ref(db).get(place.hash(), key);
            if e.is_none() && self.follow.effects.listening.to_classes(class::KEY_MISS) {
                // That it was asked for in vain may be announced.
                return None;
            }
            if let Some(e) = e {
                if e.expiry_ms().is_some_and(|ms| is_past(ms, now_ms, true)) {
                    return None;
                }
                if touch {
                    let aging = &self.config().live.aging;
                    if !aging.by_change() {
                        aging.touch(e, aging.clock(now_ms));
                    }
                }
                counters.hits.add(1);
            } else {
                counters.misses.add(1);
            }
            Some(look(e))
        });
        match seen {
            Some(result) => Ok(result),
            // It has expired and is to be removed, or there is more to do.
            None => {
                let (key, how) = ((db, key, place), (Intent::Look, now_ms));
                self.with_placed(key, how, counters, |keys| {
                    Ok(look(if touch {
                        keys.read(key.1)
                    } else {
                        keys.read_untouched(key.1)
                    }))
                })
            }
        }
    }

    /// Takes the locks that clients who wait for keys of the held shards will need when they are served.
    #[cold]
    fn with_further_shards<'e>(&'e self, mut held: Held<'e>) -> Held<'e> {
        loop {
            let mut needed = Indices::new();
            held.each(|shard| {
                self.follow
                    .effects
                    .further_shards(shard, &mut |s| needed.push(s))
            });
            if needed.iter().all(|shard| held.has(*shard)) {
                return held;
            }
            held.each(|shard| needed.push(shard));
            drop(held);
            held = Held::of_many(self.keyspace().lock_many(&mut needed));
        }
    }

    /// Waits for a shard's lock, unless what holds it is a script that takes too long.
    #[cold]
    fn wait_for(&self, shard: usize, counters: &Counters) -> Result<ShardGuard<'_>> {
        loop {
            if let Some(guard) = self.keyspace().lock_for(shard, self.until_busy()) {
                return Ok(guard);
            }
            gate::admit_parked::<LIBRARY>(&self.typed(Intent::Look, unix_ms(), counters))
                .map_err(Closed::into_error)?;
        }
    }

    /// Returns once the [gate] is open for a typed call, or its error.
    #[inline]
    pub(crate) fn wait_at_the_gate(
        &self,
        intent: Intent,
        now_ms: u64,
        counters: &Counters,
    ) -> Result {
        match gate::admit::<LIBRARY>(&self.typed(intent, now_ms, counters)) {
            Ok(()) => Ok(()),
            Err(closed) => self.wait_at_the_closed_gate(intent, closed, counters),
        }
    }

    fn typed<'a>(&'a self, intent: Intent, now_ms: u64, counters: &'a Counters) -> Request<'a> {
        Request {
            engine: self,
            session: None,
            facts: intent.facts(),
            entry: None,
            within: "typed call",
            argv: &[],
            more: 0,
            now_ms,
            in_reader: false,
            short: false,
            counters,
        }
    }

    /// Has this thread wait in line for the gate to open.
    #[cold]
    fn wait_at_the_closed_gate(
        &self,
        intent: Intent,
        mut closed: Closed,
        counters: &Counters,
    ) -> Result {
        let mut in_line = None;
        loop {
            match closed {
                Closed::Refused(error) => return Err(error),
                Closed::Until(opens) => {
                    std::thread::park_timeout(opens.wait(&mut in_line, &this_thread()));
                }
            }
            match gate::admit::<LIBRARY>(&self.typed(intent, unix_ms(), counters)) {
                Ok(()) => return Ok(()),
                Err(still) => closed = still,
            }
        }
    }

    /// Unix milliseconds as of the last time somebody noted them: the maintenance thread does several times a second.
    #[inline]
    pub(crate) fn coarse_ms(&self) -> u64 {
        self.clock_ms.load(Relaxed)
    }

    /// Notes the time for [`Engine::coarse_ms`].
    pub(crate) fn note_time(&self) {
        self.clock_ms.store(unix_ms(), Relaxed);
    }
}

/// Lets `work` have a key whose shard is held, and sees to it that what it changed is said.
#[inline]
pub(crate) fn carry_out<R>(
    keys: &mut Keys<'_>,
    key: &[u8],
    intent: Intent,
    work: impl FnOnce(&mut Keys<'_>) -> Result<R>,
) -> Result<R> {
    let (db, counters) = (keys.db, keys.counters);
    guarded(counters, "a typed call", || work(keys)).unwrap_or_else(|| {
        keys.db = db;
        keys.say_what_was_emptied();
        if intent.writes() {
            keys.changed(key, Event::SILENT);
            keys.record_what_is_there(key);
        }
        Err(Error::INTERNAL)
    })
}

/// Makes records of what a typed call has changed, while changes are written down.
pub(crate) fn write_up(keys: &mut Keys<'_>, key: &[u8]) {
    if keys.records.is_unsaid() {
        keys.record_state(key);
    }
    keys.records.finish(keys.db, &[]);
}

#[cfg(test)]
mod tests {
    use crate::context::gate::Intent;
    use crate::ops::strings;
    use crate::testing::TestClient;
    use store::{NewValue, Value};

    fn read(db: &TestClient, key: &[u8]) -> Option<i64> {
        let found = db
            .engine
            .with_key(0, key, Intent::Look, db.worker.counters(), |keys| {
                Ok(match keys.read(key).map(|e| e.value()) {
                    Some(Value::Int(i)) => Some(i),
                    _ => None,
                })
            });
        found.expect("an open gate")
    }

    #[test]
    fn sees_what_commands_see() {
        let mut db = TestClient::new();
        db.run("SET k 5; SET gone 6 PXAT 1000; SET t 7 EX 100");
        assert_eq!(read(&db, b"k"), Some(5));
        assert_eq!(read(&db, b"t"), Some(7));
        assert_eq!(read(&db, b"absent"), None);
        db.engine
            .with_key(0, b"k", Intent::Grow, db.worker.counters(), |keys| {
                strings::set(keys, b"k", NewValue::Int(8));
                Ok(())
            })
            .expect("an open gate");
        db.check("GET k", r#""8""#);
    }

    /// Who waits for an element of the key to move it to another key gets it, though that key lies in another shard.
    #[test]
    fn serves_those_who_move_elsewhere() {
        use store::types::list::{End, Item, Limits, List};
        let mut db = TestClient::new();
        let mut waits = db.another();
        let ks = db.engine.keyspace();
        let shard = |key: &str| ks.place(key.as_bytes()).shard();
        let mut names = (0..).map(|n| format!("apart:{n}"));
        let target = names.find(|name| shard(name) != shard("list"));
        let target = target.expect("a key elsewhere");
        waits.block(&format!("BLMOVE list {target} LEFT RIGHT 0"));
        let counters = db.worker.counters();
        let done = db
            .engine
            .with_key(0, b"list", Intent::Grow, counters, |keys| {
                let pushed = keys.edit_or_create(b"list", |list: &mut List| {
                    list.push(
                        End::Back,
                        std::iter::once(Item::Bytes(b"x")),
                        Limits::default(),
                    )
                });
                assert!(pushed.is_ok());
                keys.changed(b"list", crate::door::change::Event::list("rpush"));
                Ok(())
            });
        assert!(done.is_ok());
        waits.check_blocked("\"x\"");
        db.check(&format!("LRANGE {target} 0 -1"), "[\"x\"]");
    }

    /// However old the noted time is: what has expired by the clock is not seen, and is removed.
    #[test]
    fn expiry_does_not_trust_the_coarse_clock() {
        let db = TestClient::new();
        let past = crate::base::clock::unix_ms() - 1;
        db.engine
            .clock_ms
            .store(past - 1000, std::sync::atomic::Ordering::Relaxed);
        for key in [b"a", b"b"] {
            let counters = db.worker.counters();
            let done = db.engine.with_key(0, key, Intent::Grow, counters, |keys| {
                keys.set(key, NewValue::Int(1), Some(past));
                Ok(())
            });
            assert!(done.is_ok());
        }
        assert_eq!(read(&db, b"a"), None);
        assert_eq!(db.engine.keyspace().len(0), 1);
        let seen = db
            .engine
            .with_key(0, b"b", Intent::Look, db.worker.counters(), |keys| {
                Ok(keys.peek(b"b").is_some())
            });
        assert_eq!(seen, Ok(false));
    }
}
