//! Work that no command waits for: removing keys whose time has come, and freeing what is big.
//!
//! # Expiry
//! A command never sees an expired key, but keys that nobody asks for would stay in memory. A thread walks all
//! dictionaries and removes what is due. Each segment of a table knows a lower bound of its earliest expiry, so a
//! segment with nothing due costs one look at one word. The thread works at most [`DUTY`] of the time: after each
//! slice it sleeps in proportion to what the slice took. A shard's lock is held for one segment at a time.
//!
//! # Frees
//! Unmapping a value of hundreds of megabytes takes milliseconds. Such values, and whole databases that were
//! flushed, are handed to a second thread to drop.

use crate::base::clock::unix_ms;
use crate::base::journal::Records;
use crate::base::stats::Counters;
use crate::cmd::memory::Usage;
use crate::context::claims::serve_due;
use crate::context::engine::Engine;
use crate::door::change::{Change, Event, note, note_fields};
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys, Said};
use crate::door::record::{EXPIRED_AT_ONCE, record_fields};

use crate::upkeep::give_back::GiveBack;
use crate::upkeep::limits::Limits;
use crate::upkeep::own::OwnSweep;
use crate::upkeep::survey::Survey;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::Place;
use store::keyspace::ShardGuard;
use store::mem::paged::{Gathered, gather};

/// The part of one core that active expiry may take.
pub const DUTY: f64 = 0.05;

/// Rest between looks that find nothing.
const IDLE_REST: Duration = Duration::from_millis(100);

/// How long the sweep waits for a shard.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);

/// Keys removed under one hold of a shard's lock, at most.
const MAX_PER_HOLD: usize = 64;

/// How often the memory in use is added up, so that INFO knows its peak.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// With more dictionaries than this that is left to INFO: it would take longer than a few milliseconds.
const MEASURE_MAX: usize = 1 << 16;

/// How long the system is left alone that has no huge page.
const GATHER_AGAIN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Stop {
    stopped: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

/// The running maintenance thread; stops it when dropped.
pub struct Maintenance {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    _limits: Limits,
    _survey: Survey,
}

impl Maintenance {
    pub(crate) fn start(engine: &Arc<Engine>) -> Maintenance {
        let stop = Arc::new(Stop::default());
        let counters = engine.add_counters();
        let _ = engine.stats().sweeper.set(counters.clone());
        let thread = {
            let (stop, engine) = (stop.clone(), Arc::downgrade(engine));
            std::thread::Builder::new()
                .name("expire".into())
                .spawn(move || run(&engine, &counters, &stop))
        };
        Maintenance {
            stop,
            thread: thread
                .inspect_err(|e| tracing::warn!("no thread for active expiry: {e}"))
                .ok(),
            _limits: Limits::start(engine),
            _survey: Survey::start(engine),
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop.stopped.store(true, Relaxed);
        drop(self.stop.lock.lock());
        self.stop.bell.notify_all();
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

fn run(engine: &Weak<Engine>, counters: &Counters, stop: &Stop) {
    let (mut sweep, mut own) = (Sweep::default(), OwnSweep::default());
    let mut give_back = GiveBack::default();
    let mut measured = Instant::now();
    let mut next_gather = Instant::now();
    while !stop.stopped.load(Relaxed) {
        let began = Instant::now();
        let mut removed = 0;
        let mut next_claim = None;
        let mut has_gathered = false;
        if began >= next_gather {
            let gathered = gather();
            has_gathered = gathered == Gathered::One;
            if gathered == Gathered::NotNow {
                next_gather = began + GATHER_AGAIN;
            }
        }
        {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.sleep_if_asleep();
            engine.note_time();
            if engine.config().live.active_expire.load(Relaxed)
                && !engine.maintenance_paused.load(Relaxed)
                && !engine.loading.is_on()
                && engine.pause.wait_ms(unix_ms(), true).is_none()
            {
                // One full round at most, so that an idle server sleeps.
                let time = Duration::from_millis(1);
                if !engine.own_expiries.is_empty() {
                    removed += own.slice(&engine, counters, time);
                }
                // All others on a replica the primary removes.
                if !engine.standing.is_replica() {
                    removed += sweep.slice(&engine, counters, time);
                }
            }
            let serves = !engine.loading.is_on()
                && !engine.standing.is_replica()
                && engine.pause.wait_ms(unix_ms(), true).is_none();
            if serves {
                next_claim = serve_due(&engine, counters);
            }
            let ks = engine.keyspace();
            if measured.elapsed() >= MEASURE_EVERY && ks.shards() * ks.databases() <= MEASURE_MAX {
                // Notes the peak of memory use.
                let used = Usage::measure(&engine).used();
                if give_back.is_due(used) {
                    store::mem::pages::purge();
                    engine.host().give_back_memory();
                }
                measured = Instant::now();
            }
        }
        // Where nothing was due, the next look can wait: a wake-up costs more than it finds.
        let least = if removed == 0 && !has_gathered {
            IDLE_REST
        } else {
            Duration::from_millis(2)
        };
        let rest = began
            .elapsed()
            .mul_f64((1.0 - DUTY) / DUTY)
            .clamp(least, IDLE_REST)
            .min(next_claim.unwrap_or(IDLE_REST));
        let mut held = stop.lock.lock();
        if !stop.stopped.load(Relaxed) {
            stop.bell.wait_for(&mut held, rest);
        }
    }
}

/// Where a round over all dictionaries is.
#[derive(Default)]
pub struct Sweep {
    shard: usize,
    db: usize,
    position: u64,
}

impl Sweep {
    /// Removes due keys until the time is over or every dictionary has been looked at once; returns how many.
    pub fn slice(&mut self, engine: &Engine, counters: &Counters, time: Duration) -> usize {
        let began = Instant::now();
        let ks = engine.keyspace();
        let now_ms = unix_ms();
        let mut removed = 0;
        let mut left = ks.shards() * ks.databases();
        let mut due = Vec::new();
        let mut garbage = Vec::new();
        let mut expired_fields = 0;
        self.shard %= ks.shards();
        while left > 0 {
            let lock = ks
                .try_lock(self.shard)
                .or_else(|| ks.lock_for(self.shard, PATIENCE));
            let Some(mut shard) = lock else {
                // Whoever has it may keep it for ever (a script): the others are not to wait, nor is the server's end.
                left = left.saturating_sub(ks.databases() - self.db);
                (self.db, self.position) = (0, 0);
                self.shard = (self.shard + 1) % ks.shards();
                if began.elapsed() > time {
                    break;
                }
                continue;
            };
            if engine.holds_changes(now_ms) || engine.standing.is_replica() {
                // Since it was asked. No key goes any more, not even one that has expired.
                break;
            }
            // Empty dictionaries are passed over under one hold.
            while left > 0 && self.position == 0 && shard.db_ref(self.db).is_empty() {
                left -= 1;
                self.db += 1;
                if self.db == ks.databases() {
                    break;
                }
            }
            if self.db < ks.databases() && left > 0 {
                let dict = shard.db(self.db);
                let (looked, next) = dict.due_from(self.position, now_ms, MAX_PER_HOLD, &mut due);
                let full = due.len() == MAX_PER_HOLD;
                let (index, db) = (self.shard, self.db);
                let listening = engine.follow.effects.listening();
                let of_fields = engine.follow.effects.listening.to_fields();
                let recording = engine.journal.is_on();
                let mut records = Records::default();
                let mut changes = Vec::new();
                let happened = |changes: &mut Vec<Change>, key: (&[u8], Place), event| {
                    if listening {
                        note(changes, db, key, event);
                    }
                };
                for key in due.drain(..) {
                    let place = ks.place(&key);
                    let found = dict.find(place.hash(), &key);
                    if let Some(mut found) = found.map(store::Found::change) {
                        if found.expiry_ms().is_none_or(|ms| ms > now_ms) {
                            // Not the key is due, but elements of it.
                            let of_set = found.get().kind() == store::Type::Set;
                            let mut gone: Vec<Vec<u8>> = Vec::new();
                            let n = found.expire_elements(now_ms, EXPIRED_AT_ONCE, &mut |field| {
                                if recording || of_fields {
                                    gone.push(field.to_vec());
                                }
                            });
                            if recording {
                                record_fields(&mut records, db, &key, &gone, of_set);
                            }
                            expired_fields += n;
                            if n > 0 {
                                let event = match of_set {
                                    true => Event::SET_EXPIRED,
                                    false => Event::HASH_EXPIRED,
                                };
                                happened(&mut changes, (&key, place), event);
                                if of_fields && !of_set {
                                    let fields = gone.iter().map(|field| &field[..]);
                                    note_fields(&mut changes, db, &key, event, fields);
                                }
                            }
                            if !found.is_empty_collection() {
                                continue;
                            }
                            happened(&mut changes, (&key, place), Event::DEL);
                        } else {
                            removed += 1;
                            happened(&mut changes, (&key, place), Event::EXPIRED);
                            if recording {
                                records.push_expired(db, &[b"DEL", &key]);
                            }
                        }
                        garbage.extend(found.remove().freed);
                    }
                }
                match next {
                    // The same segment may hold more.
                    _ if full => {}
                    Some(position) => self.position = position,
                    None => {
                        self.position = 0;
                        self.db += 1;
                        left -= 1;
                    }
                }
                if changes.is_empty() && records.is_empty() {
                    drop(shard);
                } else {
                    garbage.extend(apply(
                        engine,
                        counters,
                        (index, shard),
                        now_ms,
                        Said::of(changes, records),
                    ));
                }
                for freed in garbage.drain(..) {
                    engine.reclaimer.take(freed);
                }
                if looked && began.elapsed() > time {
                    engine.stats().expire_time_caps.fetch_add(1, Relaxed);
                    break;
                }
            } else {
                drop(shard);
            }
            if self.db >= ks.databases() {
                self.db = 0;
                self.position = 0;
                self.shard = (self.shard + 1) % ks.shards();
            }
        }
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        engine.stats().expire_nanos.fetch_add(nanos, Relaxed);
        let (follow, live) = (&engine.follow, &engine.config().live);
        follow.latency.note(live, "expire-cycle", nanos / 1000);
        counters.expired.add(removed as u64);
        counters.expired_fields.add(expired_fields as u64);
        removed + expired_fields
    }
}

/// Tells whom it concerns what has expired, while the shard's lock is still held; lets go of it then. Returns what was freed
/// meanwhile.
pub(super) fn apply(
    engine: &Engine,
    counters: &Counters,
    (index, shard): (usize, ShardGuard<'_>),
    now_ms: u64,
    mut said: Said,
) -> Garbage {
    let mut keys = Keys::of_nobody(
        (engine.keyspace(), Held::One(index, shard)),
        (
            &engine.config().live.aging,
            &engine.follow.effects.listening,
        ),
        counters,
        now_ms,
        &mut said,
    );
    engine.follow.apply(&mut keys, None);
    engine.write_down_unasked(&mut keys);
    keys.garbage
}
