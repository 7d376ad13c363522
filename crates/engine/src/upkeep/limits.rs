//! Keeping memory within its limits: `maxmemory`, `maxmemory-clients`, and what slab pages hold in vain.
//!
//! A thread of its own looks how much is in use, the more often the closer it is to the limit, and evicts until there is some
//! room again ([`Evictor`](crate::evict::Evictor)). So commands hardly ever have to. Without a limit it sleeps.
//!
//! # Clients
//! If clients together take more than `maxmemory-clients`, those that take most are disconnected: here, and at once by whoever
//! lowers the limit. One that does so by itself is closed by its own connection ([`Engine::is_too_large`]). Where all is over what
//! `maxmemory` allows by so much that evicting keys cannot be the answer, that goes for their buffers too: nothing else
//! could be given up.
//!
//! # Free slots
//! Where keys of many sizes come and go, or many go at once, slab pages are left partly empty. Once that is much
//! ([`WASTE`]), and memory is short or `activedefrag` is on, entries are moved together, a segment of a table under one hold of its
//! shard's lock.

use crate::base::clock::{unix_ms, unix_nanos};
use crate::base::memory::{Memory, SOON};
use crate::base::process;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::evict::{MANY, Outcome};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long it evicts, or moves entries, between two looks at all the rest.
const SLICE: Duration = Duration::from_millis(2);

/// How long it evicts at a stretch while commands can make room for themselves, and rests in between: where clients keep all cores
/// busy, who never rests takes a core from a worker until the kernel's time slice is over, which is milliseconds.
const STRETCH: Duration = Duration::from_micros(300);
const BREATH: Duration = Duration::from_micros(50);

/// The shortest and the longest rest while there is a limit.
const RESTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What may be used in a nanosecond, in bytes: by that the rest is reckoned.
const RATE: usize = 1;

/// Clients are looked at this often, or less often if that takes long.
const CLIENTS_EVERY: Duration = Duration::from_millis(20);

/// So much more often where all is far over the limit.
const HURRY: u32 = 10;

/// The part of the time that this may take.
const CLIENTS_PART: u32 = 50;

/// But they are looked at this often however long that takes: a thread that loses its processor in the middle takes long too.
const CLIENTS_AT_LEAST: Duration = Duration::from_secs(1);

/// Free slots are too many from this part of what keys and values take on,
const WASTE: usize = 12;

/// and this many bytes.
const LEAST_WASTE: usize = 4 << 20;

/// The part of a core that moving entries may take while memory is within its limit.
const MOVING: f64 = 0.1;

/// How long a shard is waited for.
const PATIENCE: Duration = Duration::from_millis(1);

/// The running thread; stops it when dropped.
pub(crate) struct Limits {
    memory: Arc<Memory>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Limits {
    pub fn start(engine: &Arc<Engine>) -> Limits {
        let stop = Arc::new(AtomicBool::new(false));
        let memory = engine.memory_handle();
        let counters = engine.add_counters();
        let thread = {
            let (stop, memory, engine) = (stop.clone(), memory.clone(), Arc::downgrade(engine));
            std::thread::Builder::new()
                .name("evict".into())
                .spawn(move || run(&engine, &memory, &counters, &stop))
        };
        Limits {
            memory,
            stop,
            thread: thread
                .inspect_err(|e| tracing::warn!("no thread for eviction: {e}"))
                .ok(),
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.memory.ring();
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

fn run(engine: &Weak<Engine>, memory: &Memory, counters: &Counters, stop: &AtomicBool) {
    let mut keeper = Keeper::default();
    while !stop.load(Relaxed) {
        let rest = match engine.upgrade() {
            Some(engine) => keeper.tick(&engine, counters),
            None => return,
        };
        match rest {
            Rest::None => std::thread::sleep(BREATH),
            // Not to be woken: whoever finds that nothing helps rings each time.
            Rest::Stuck => std::thread::sleep(RESTS.0),
            Rest::For(time) => memory.wait(Some(time)),
            Rest::Long => memory.wait(None),
        }
    }
}

/// How long there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    None,
    Stuck,
    For(Duration),
    Long,
}

/// What is remembered from one look to the next.
#[derive(Default)]
pub(crate) struct Keeper {
    clients_at: Option<Instant>,
    clients_rest: Duration,
    moving: Option<Moving>,
    moved_at: Option<(Instant, Duration)>,
    /// The free slots that were left after the last round, in bytes: nothing moves them together any more.
    floor: usize,
    give_back: Resident,
    /// When there was last more than this keeps room for.
    grew_at: Option<Instant>,
}

/// For so long room is kept free that nobody has asked for.
const GROWS: Duration = Duration::from_secs(1);

/// What the process holds beyond what is in use: what was freed and is kept by allocators for what they will be asked for next.
#[derive(Default)]
struct Resident {
    /// When it was last given back, and what was resident then.
    last: Option<(Instant, usize)>,
    /// What is freed goes back at once.
    close: bool,
    busy: Arc<AtomicBool>,
}

/// Resident bytes beyond the limit from which on what is free is given back, beside a sixteenth.
const RESIDENT: usize = 16 << 20;

/// So much more must be resident than the last time before it is done again within [`AGAIN`].
const MORE: usize = 4 << 20;
const AGAIN: Duration = Duration::from_secs(1);

impl Resident {
    /// Gives back what is free if more is resident than should be. Those who have to look through what they freed are asked from
    /// another thread: one of them may be at a long command.
    fn look(&mut self, engine: &Engine, limit: usize) {
        let most = limit.saturating_add(limit / 16).saturating_add(RESIDENT);
        let Some(resident) = process::resident_bytes().map(|bytes| bytes as usize) else {
            return;
        };
        // At once from three quarters on, but not back and forth.
        let close = limit / 4 * 3 - if self.close { limit / 32 } else { 0 };
        if self.close != (resident >= close) {
            self.close = !self.close;
            let ms = if self.close { 0 } else { SOON };
            engine.host().give_back_after(Some(ms));
        }
        let again = self
            .last
            .is_none_or(|(at, then)| at.elapsed() >= AGAIN || resident >= then + MORE);
        if resident < most || !again || self.busy.swap(true, Relaxed) {
            return;
        }
        store::mem::pages::purge();
        let (engine, busy) = (engine.handle(), self.busy.clone());
        let collect = move || {
            engine.host().give_back_memory();
            busy.store(false, Relaxed);
        };
        let thread = std::thread::Builder::new().name("give back".into());
        if thread.spawn(collect).is_err() {
            // Later, then.
            self.busy.store(false, Relaxed);
        }
        let resident = process::resident_bytes().map_or(resident, |bytes| bytes as usize);
        self.last = Some((Instant::now(), resident));
    }
}

/// Where moving entries together is.
#[derive(Clone, Copy, Default)]
struct Moving {
    shard: usize,
    db: usize,
    position: Option<u64>,
    /// Dictionaries that are left of the round.
    left: usize,
}

impl Keeper {
    /// Looks at everything once, and does for a moment what is to be done.
    pub fn tick(&mut self, engine: &Engine, counters: &Counters) -> Rest {
        let memory = engine.memory();
        let limit = memory.limit();
        let of_clients = memory.limit_of_clients();
        let tidies = memory.tidies.load(Relaxed);
        if limit == 0 && of_clients == 0 && !tidies {
            memory.line.call();
            return Rest::Long;
        }
        engine.sleep_if_asleep();
        let now_ms = unix_ms();
        let paused = !engine.may_evict(now_ms);
        let began = Instant::now();
        let since = self.clients_at.map(|at| began.duration_since(at));
        let far_over = memory.used() > memory.bound();
        let rest = match far_over {
            true => self.clients_rest / HURRY,
            false => self.clients_rest,
        };
        // Keys that have just gone for a lower limit fill the buffers of those who are told, for whom no more keys are to go.
        let other_ms = memory.other_ms.load(Relaxed);
        let just_now = now_ms.saturating_sub(other_ms) < CLIENTS_EVERY.as_millis() as u64;
        let due = since.is_none_or(|since| since >= rest) && (far_over || !just_now);
        engine.measure_memory(due);
        if due {
            let (evicted, going) = engine.evict_clients(None);
            // Who is disconnected and has not gone yet is still counted.
            let stay = evicted == 0 && memory.used().saturating_sub(going) > memory.bound();
            memory.clients_stay.store(stay, Relaxed);
            self.clients_at = Some(began);
            self.clients_rest = rest_of_clients(began.elapsed());
        }
        if limit != 0 {
            self.give_back.look(engine, limit);
        }
        if !paused && limit == 0 && tidies {
            self.move_together(engine, usize::MAX, true);
        }
        if paused || limit == 0 {
            if due {
                memory.line.call();
            }
            return Rest::For(CLIENTS_EVERY);
        }
        // Some room beyond, so that commands need not evict as soon as this rests; while there are such, since what fits is to stay.
        let ahead = limit - memory.ahead();
        if memory.was_over.swap(false, Relaxed)
            || memory.is_over()
            || self.grows(began) && memory.used() > ahead
        {
            self.grew_at = Some(began);
        }
        let goal = if self.grows(began) { ahead } else { limit };
        // Who waits for more than that has been told to.
        let goal = goal.min(limit.saturating_sub(memory.take_asked()));
        let mut outcome = Outcome::Enough;
        if memory.used() > goal {
            let began = Instant::now();
            loop {
                let stretch = match memory.used() > memory.bound() {
                    true => SLICE,
                    false => STRETCH,
                };
                outcome = engine
                    .evictor()
                    .evict(counters, unix_ms(), (goal, goal), stretch, MANY);
                if outcome != Outcome::NotYet || began.elapsed() >= SLICE {
                    break;
                }
                std::thread::sleep(BREATH);
            }
            engine.note_latency("eviction-cycle", began.elapsed());
            memory.note_exceeded(memory.is_over(), unix_nanos());
        }
        // Whether there is room enough now, those who wait for it find out themselves.
        memory.line.call();
        self.move_together(engine, limit, tidies);
        match outcome {
            Outcome::NotYet => Rest::None,
            Outcome::Nothing if memory.is_over() => Rest::Stuck,
            _ => {
                let room = limit.saturating_sub(memory.used());
                let time = Duration::from_nanos((room / RATE) as u64);
                Rest::For(time.clamp(RESTS.0, RESTS.1))
            }
        }
    }

    /// Whether there is somebody for whom to keep room free.
    fn grows(&self, now: Instant) -> bool {
        (self.grew_at).is_some_and(|at| now.duration_since(at) < GROWS)
    }

    /// Moves entries together for a moment, if free slots take too much. `always`: also while memory is not short.
    fn move_together(&mut self, engine: &Engine, limit: usize, always: bool) {
        let ks = engine.keyspace();
        let began = Instant::now();
        if self.moving.is_none() {
            let (used, idle) = (ks.bytes(), ks.idle_bytes());
            self.floor = self.floor.min(idle);
            let least = LEAST_WASTE.max(used / WASTE).max(self.floor / 4);
            let wasted = idle - self.floor >= least;
            let short = always || engine.memory().used() + idle >= limit / 8 * 7;
            if !wasted || !short {
                return;
            }
            self.moving = Some(Moving {
                left: ks.shards() * ks.databases(),
                ..Moving::default()
            });
        }
        // While more is held than may be used, at once; else now and then.
        let urgent = engine.memory().used() + ks.idle_bytes() > limit;
        if let Some((at, took)) = self.moved_at
            && !urgent
            && at.elapsed() < took.mul_f64(1.0 / MOVING)
        {
            return;
        }
        let memory = engine.memory();
        memory.note_tidying(true, unix_nanos());
        while let Some(moving) = &mut self.moving
            && began.elapsed() < SLICE
        {
            if !moving.step(ks, &memory.tidied) {
                self.moving = None;
                self.floor = ks.idle_bytes();
            }
        }
        memory.note_tidying(self.moving.is_some(), unix_nanos());
        self.moved_at = Some((Instant::now(), began.elapsed()));
    }
}

impl Moving {
    /// Goes on by a segment, or by a dictionary with nothing to move, and counts what moved and what stayed. False at the end of the
    /// round.
    fn step(&mut self, ks: &store::Keyspace, counts: &[AtomicU64; 2]) -> bool {
        if self.left == 0 {
            return false;
        }
        // Without the lock: most dictionaries have nothing, or too little to be worth it.
        let worth = self.position.is_some() || {
            let (used, idle) = (ks.shard_bytes(self.shard), ks.shard_idle_bytes(self.shard));
            idle > used / WASTE / 2 && ks.shard_counts(self.db, self.shard).keys > 0
        };
        if worth {
            let lock = ks
                .try_lock(self.shard)
                .or_else(|| ks.lock_for(self.shard, PATIENCE));
            // Whoever has it may keep it for long.
            if let Some(mut shard) = lock {
                let dict = shard.db(self.db);
                let from = match self.position {
                    Some(position) => Some(position),
                    None => dict.begin_compaction().then_some(0),
                };
                let mut moved = [0; 2];
                self.position = from.and_then(|from| dict.compact_from(from, &mut moved));
                for (count, n) in counts.iter().zip(moved) {
                    count.fetch_add(n, Relaxed);
                }
                if self.position.is_some() {
                    return true;
                }
                dict.end_compaction();
            }
            self.position = None;
        }
        self.left -= 1;
        self.db += 1;
        if self.db == ks.databases() {
            self.db = 0;
            self.shard = (self.shard + 1) % ks.shards();
        }
        true
    }
}

/// How long clients are not looked at after a look that took this long.
fn rest_of_clients(took: Duration) -> Duration {
    (took * CLIENTS_PART).clamp(CLIENTS_EVERY, CLIENTS_AT_LEAST)
}

#[cfg(test)]
mod tests;
