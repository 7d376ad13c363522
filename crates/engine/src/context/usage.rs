//! What memory is used for, added up.

use crate::base::clock::{unix_ms, unix_nanos};
use crate::base::memory::{Memory, SOON};
use crate::base::process;
use crate::base::replication::CHANGES_HELD;
use crate::base::stats::{CommandCounters, Counters};
use crate::client::clients::Client;
use crate::config::host::StreamMemory;
use crate::context::engine::Engine;
use crate::door::room::Room;
use crate::evict::{Evictor, FEW, MANY, Outcome};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use store::{Counts, Dict};

/// How many bytes a nanosecond are evicted at least: so long a command waits for the room that it needs.
const RATE: f64 = 0.2;

impl Room for Engine {
    fn make(&self, counters: &Counters, now_ms: u64, bytes: usize, passing: usize) -> bool {
        let memory = self.memory();
        let limit = memory.limit();
        let all = bytes.saturating_add(passing);
        if memory.used().saturating_add(all) <= limit {
            return true;
        }
        self.make_large_room(counters, now_ms, bytes, passing)
    }
}

/// Bytes of all but keys and values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Other {
    /// The locks, the roots of tables and the counters: what an empty server takes.
    pub fixed: usize,
    /// Clients' records and buffers, with what they have queued and subscribe to.
    pub clients: usize,
    /// What clients track.
    pub tracking: usize,
    /// Lua's states: of scripts, of functions.
    pub vms: (usize, usize),
    /// The sources of scripts and of libraries.
    pub sources: (usize, usize),
    /// What is written down of changes and not in the log yet.
    pub journal: usize,
    /// What is kept for replicas.
    pub stream: StreamMemory,
}

impl Other {
    /// All of it.
    pub fn all(&self) -> usize {
        self.fixed
            + self.clients
            + self.tracking
            + self.vms.0
            + self.vms.1
            + self.sources.0
            + self.sources.1
            + self.journal
            + self.stream.backlog
            + self.stream.behind()
    }

    /// What nobody's keys are evicted for: a replica or a disk that is slow would else have the data set emptied, and the changes that
    /// that makes wait for it too.
    pub fn not_evicted_for(&self) -> usize {
        self.stream.behind() + self.journal
    }
}

impl Engine {
    /// Adds up what is used beside keys and values. Takes time in proportion to the number of clients.
    pub(crate) fn measure_other(&self) -> Other {
        self.measure_other_with(self.clients().memory())
    }

    /// The same, with the bytes that clients take.
    pub(crate) fn measure_other_with(&self, clients: usize) -> Other {
        let ks = self.keyspace();
        let counters = self.registry().ids() * size_of::<CommandCounters>();
        let scripts = &self.scripts;
        Other {
            fixed: ks.shards()
                * (128
                    + ks.databases()
                        * (size_of::<Dict>() + size_of::<u64>() + size_of::<Counts>()))
                + self.stats().sum(|_| counters as u64) as usize,
            clients,
            tracking: self.follow.tracking.memory(),
            vms: scripts.vm_memory(),
            sources: (scripts.totals().1, scripts.libraries.current().bytes()),
            journal: self.journal.waiting_bytes() + self.journal.queue.bytes(),
            stream: (self.replication()).map_or_else(StreamMemory::default, |r| r.memory()),
        }
    }

    /// Corrects the estimate of what is in use. `other`: what is beside keys and values is added up too.
    pub(crate) fn measure_memory(&self, other: bool) {
        let memory = self.memory();
        if other {
            let other = self.measure_other();
            let counted = other.all() - other.not_evicted_for();
            memory.other.store(counted, Relaxed);
            memory.other_ms.store(unix_ms(), Relaxed);
        }
        let used = self.keyspace().bytes() + memory.other.load(Relaxed);
        memory.set_used(used, unix_ms());
        let over = memory.limit() != 0 && used > memory.limit();
        memory.note_exceeded(over, unix_nanos());
    }

    /// What evicts keys.
    pub(crate) fn evictor(&self) -> Evictor<'_> {
        Evictor {
            ks: self.keyspace(),
            follow: &self.follow,
            journal: &self.journal,
            reclaimer: &self.reclaimer,
            memory: self.memory(),
            standing: &self.standing,
            left_to_primary: (self.config().live.replica_ignore_maxmemory).load(Relaxed),
        }
    }

    /// Notes how long something took for LATENCY, if that was long. `event`: one of those that LATENCY knows.
    pub fn note_latency(&self, event: &'static str, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.follow.latency.note(&self.config().live, event, micros);
    }

    /// Evicts for a command that needs memory, for a short time. Locks may be held.
    /// `bytes`: how much it is about to take, if that is much.
    pub(crate) fn make_room(&self, counters: &Counters, now_ms: u64, bytes: usize) -> Outcome {
        let memory = self.memory();
        if memory.measured_ms.load(Relaxed) != now_ms {
            // Something may have gone without a thread having said so.
            self.measure_memory(false);
        }
        memory.was_over.store(true, Relaxed);
        let tenacity = self.config().live.aging.tenacity.load(Relaxed);
        let patience = crate::evict::patience(tenacity);
        let began = Instant::now();
        let goal = memory.limit().saturating_sub(bytes);
        let goals = (goal, goal.saturating_sub(memory.ahead()));
        let outcome = (self.evictor()).evict(counters, now_ms, goals, patience, FEW);
        self.note_latency("eviction-cycle", began.elapsed());
        if outcome != Outcome::Enough {
            memory.ring();
        }
        outcome
    }

    /// Who has memory for what is large, if there is a limit.
    #[inline]
    pub(crate) fn room(&self) -> Option<&dyn Room> {
        match self.memory().limit() {
            0 => None,
            _ if self.leaves_memory_to_primary() => None,
            _ => Some(self),
        }
    }

    /// A client's buffer is about to take so many bytes more, and for a moment `passing` bytes beside them. False if they must not be
    /// taken: then the client cannot be served any further.
    pub fn may_buffer(&self, client: &Client, more: usize, passing: usize) -> bool {
        let memory = self.memory();
        if memory.limit() == 0 {
            return true;
        }
        // Who looks after the limit finds it soon, and who takes more must know of it now.
        memory.grow(more as isize);
        let used = memory.used().saturating_add(passing);
        if used <= memory.bound() {
            return true;
        }
        memory.ring();
        if used <= memory.most() || client.no_evict.load(Relaxed) {
            return true;
        }
        memory.grow(-(more as isize));
        memory.evicted_clients.fetch_add(1, Relaxed);
        false
    }

    /// See [`Room::make`].
    #[cold]
    fn make_large_room(
        &self,
        counters: &Counters,
        now_ms: u64,
        bytes: usize,
        passing: usize,
    ) -> bool {
        let memory = self.memory();
        let limit = memory.limit();
        let most = memory.most();
        let fits = || {
            let used = memory.used();
            used.saturating_add(bytes) <= memory.bound()
                && used.saturating_add(bytes).saturating_add(passing) <= most
        };
        let goal = limit
            .saturating_sub(bytes)
            .min(most.saturating_sub(bytes.saturating_add(passing)));
        if bytes > memory.bound() || bytes.saturating_add(passing) > most {
            // Whatever went, it would not fit.
            return false;
        }
        self.measure_memory(false);
        let time = Duration::from_nanos((bytes.saturating_add(passing) as f64 / RATE) as u64);
        let outcome = (self.evictor()).evict(counters, now_ms, (goal, goal), time, FEW);
        if outcome != Outcome::Enough {
            memory.ring();
        }
        fits()
    }

    /// Whether keys may be evicted now.
    pub(crate) fn may_evict(&self, now_ms: u64) -> bool {
        !(self.loading.is_on()
            || self.maintenance_paused.load(Relaxed)
            || self.leaves_memory_to_primary()
            || self.standing.closed() & CHANGES_HELD != 0
            || self.pause.wait_ms(now_ms, true).is_some())
    }

    /// Puts the settings about memory into effect. `by`: for whom, whose next command is to find that keys have gone for a lower limit, as
    /// far as the tenacity of eviction allows.
    pub(crate) fn heed_memory_settings(&self, by: Option<(&Counters, u64)>) {
        let (config, memory) = (self.config(), self.memory());
        let whole = || process::available_bytes().unwrap_or(u64::MAX);
        let limit = config.memory("maxmemory", whole);
        let changed = limit != memory.limit();
        memory.set_limit(limit);
        let soon = (limit != 0).then_some(SOON);
        self.host().give_back_after(soon);
        let of_clients = config.memory("maxmemory-clients", || limit as u64);
        memory.set_limit_of_clients(of_clients);
        let tidies = config.flag("activedefrag");
        memory.tidies.store(tidies, Relaxed);
        if changed || of_clients != 0 || tidies {
            self.measure_memory(true);
            // Before the thread, which would be in the way.
            if let Some((counters, now_ms)) = by
                && changed
                && memory.is_over()
                && self.may_evict(now_ms)
            {
                let patience = crate::evict::patience(config.live.aging.tenacity.load(Relaxed));
                let evictor = self.evictor();
                evictor.evict(counters, now_ms, (limit, limit), patience, MANY);
            }
            memory.ring();
        }
    }

    /// The same, to be kept.
    pub(crate) fn memory_handle(&self) -> Arc<Memory> {
        self.memory.clone()
    }

    /// See [`Memory`].
    #[inline]
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }
}
