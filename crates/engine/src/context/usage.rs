//! What memory is used for, added up.

use crate::base::clock::{unix_ms, unix_nanos};
use crate::base::memory::Memory;
use crate::base::process;
use crate::base::stats::{CommandCounters, Counters};
use crate::context::engine::Engine;
use crate::evict::{Evictor, FEW, Outcome};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use store::{Counts, Dict};

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
    }
}

impl Engine {
    /// Adds up what is used beside keys and values. Takes time in proportion to the number of clients.
    pub(crate) fn measure_other(&self) -> Other {
        let ks = self.keyspace();
        let counters = self.registry().ids() * size_of::<CommandCounters>();
        let scripts = &self.scripts;
        Other {
            fixed: ks.shards()
                * (128
                    + ks.databases()
                        * (size_of::<Dict>() + size_of::<u64>() + size_of::<Counts>()))
                + self.stats().sum(|_| counters as u64) as usize,
            clients: self.clients().memory(),
            tracking: self.follow.tracking.memory(),
            vms: scripts.vm_memory(),
            sources: (scripts.totals().1, scripts.libraries.current().bytes()),
            journal: self.journal.waiting_bytes(),
        }
    }

    /// Corrects the estimate of what is in use. `other`: what is beside keys and values is added up too.
    pub(crate) fn measure_memory(&self, other: bool) {
        let memory = self.memory();
        if other {
            memory.other.store(self.measure_other().all(), Relaxed);
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
        let tenacity = self.config().live.aging.tenacity.load(Relaxed);
        let patience = crate::evict::patience(tenacity);
        let began = Instant::now();
        let outcome = self.evictor().evict(
            counters,
            now_ms,
            memory.limit().saturating_sub(bytes),
            patience,
            FEW,
        );
        self.note_latency("eviction-cycle", began.elapsed());
        if outcome != Outcome::Enough {
            memory.ring();
        }
        outcome
    }

    /// Puts the settings about memory into effect.
    pub(crate) fn heed_memory_settings(&self) {
        let (config, memory) = (self.config(), self.memory());
        let whole = || process::available_bytes().unwrap_or(u64::MAX);
        let limit = config.memory("maxmemory", whole);
        let changed = limit != memory.limit();
        memory.set_limit(limit);
        let of_clients = config.memory("maxmemory-clients", || limit as u64);
        memory.limit_of_clients.store(of_clients, Relaxed);
        if changed || of_clients != 0 {
            self.measure_memory(true);
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
