//! What the server is doing, as numbers: for whoever shows them in another form than INFO's (metrics, the console).
//!
//! Taking them takes no lock of a shard, and no lock at all for longer than it takes to copy a list. They are sums over what
//! each thread counts by itself, so that they need not all be of the same moment.

use crate::base::clock::unix_nanos;
use crate::base::histogram::{Bounds, Total};
use crate::base::process::{self, CpuTime};
use crate::base::stats::{CommandCounters, Counter, Counters};
use crate::base::ticks;
use crate::client::clients::Kind;
use crate::cmd::memory::Usage;
use crate::context::engine::Engine;
use crate::follow::command_log;
use crate::follow::messages::Kind as Subscription;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One command's counts since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
pub struct CommandFigures {
    /// Its full name in lower case, `client|list`.
    pub name: &'static str,
    /// Calls carried out.
    pub calls: u64,
    /// Nanoseconds that they took.
    pub nanos: u64,
    /// Calls refused before they were carried out.
    pub rejected: u64,
    /// Calls that answered an error.
    pub failed: u64,
    /// How many single calls were timed: those that were made while `latency-tracking` was on.
    pub timed: u64,
    /// How many of these took no longer than each of the bounds that were asked for.
    pub up_to: Vec<u64>,
}

/// Who is connected.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientFigures {
    /// Over TCP, and over unix sockets.
    pub tcp: u64,
    /// See `tcp`.
    pub unix: u64,
    /// Of those: in a blocking command.
    pub blocked: u64,
    /// Subscribed to something.
    pub subscribers: u64,
    /// Shown all commands (MONITOR).
    pub monitors: u64,
    /// Keeping copies of keys (CLIENT TRACKING).
    pub tracking: u64,
    /// Watching keys.
    pub watching: u64,
    /// The largest unsent replies of one client, and the largest request that has not come whole, in bytes.
    pub largest_output: u64,
    /// See `largest_output`.
    pub largest_input: u64,
    /// Clients that limits have disconnected, since the start: by the length of requests, of replies, by memory.
    pub over_query_limit: u64,
    /// See `over_query_limit`.
    pub over_output_limit: u64,
    /// See `over_query_limit`.
    pub evicted: u64,
    /// `maxclients`
    pub limit: u64,
}

/// Where the memory is, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFigures {
    /// All that is accounted for: what `maxmemory` bounds.
    pub used: u64,
    /// The most it has been.
    pub peak: u64,
    /// `maxmemory`; 0 for none.
    pub limit: u64,
    /// Resident bytes of the process, if the system tells.
    pub resident: Option<u64>,
    /// Free slots of pages.
    pub idle: u64,
    /// Keys and values.
    pub dataset: u64,
    /// Tables of keys.
    pub tables: u64,
    /// Records and buffers of clients.
    pub clients: u64,
    /// Which client keeps copies of which keys.
    pub tracking: u64,
    /// Lua's states and the sources of scripts and libraries.
    pub scripts: u64,
    /// Changes that are not in the log yet.
    pub journal: u64,
    /// What an empty server takes.
    pub fixed: u64,
}

/// One database.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbFigures {
    /// Its number.
    pub db: usize,
    /// Keys, and those of them with an expiry.
    pub keys: u64,
    /// See `keys`.
    pub expiring: u64,
    /// Bytes of its keys, values and tables.
    pub bytes: u64,
}

/// Scripts and functions.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptFigures {
    /// Scripts that are known.
    pub cached: u64,
    /// Scripts that had to make room.
    pub evicted: u64,
    /// Libraries of functions.
    pub libraries: u64,
    /// Functions in them.
    pub functions: u64,
    /// Times that a script was undone and started over.
    pub restarts: u64,
    /// Milliseconds that the script has been running that has been for longest; 0 if none does.
    pub running_ms: u64,
}

/// Sums over all threads. Those that are not said to be anything else count since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Figures {
    pub now_ms: u64,
    pub started_s: u64,
    /// The data set is being loaded.
    pub loading: bool,
    /// Commands carried out.
    pub calls: u64,
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    pub expired_fields: u64,
    pub evicted: u64,
    pub error_replies: u64,
    pub protocol_errors: u64,
    pub panics: u64,
    pub auth_failures: u64,
    /// Changes of keys.
    pub changes: u64,
    /// Refusals by reason: a command, a database, a key, a channel.
    pub denied: [u64; 4],
    /// Nanoseconds that the search for expired keys has taken, and how often it stopped because its time was over.
    pub expire_nanos: u64,
    pub expire_time_caps: u64,
    /// Nanoseconds that memory was over its limit.
    pub over_memory_nanos: u64,
    pub clients: ClientFigures,
    pub memory: MemoryFigures,
    /// Those that have keys.
    pub dbs: Vec<DbFigures>,
    pub scripts: ScriptFigures,
    /// Channels, patterns and shard channels that somebody listens to.
    pub channels: [u64; 3],
    /// Keys whose blocking commands wait.
    pub blocking_keys: u64,
    /// Keys that clients keep copies of.
    pub tracked_keys: u64,
    /// Error replies by code.
    pub errors: BTreeMap<String, u64>,
    /// Entries that were ever added to the logs of slow commands, large requests and large replies.
    pub logged: [u64; 3],
    /// Large values that another thread is to free, and those that it has freed.
    pub lazyfree_pending: u64,
    pub lazyfreed: u64,
    /// Processor time of the process.
    pub cpu: Option<CpuTime>,
}

impl Engine {
    /// All numbers but those of single commands. Takes time in proportion to the number of clients.
    pub fn figures(&self) -> Figures {
        let (stats, follow) = (self.stats(), &self.follow);
        let sum = |of: fn(&Counters) -> u64| stats.sum(of);
        let get = |count: &AtomicU64| count.load(Relaxed);
        let nanos = unix_nanos();
        let (clients, client_bytes) = self.client_figures();
        let usage = Usage::measure_with(self, client_bytes);
        let subscribed = |kind| follow.pubsub.len(kind) as u64;
        Figures {
            now_ms: nanos / 1_000_000,
            started_s: self.started_s,
            loading: self.loading.is_on(),
            calls: sum(|c| c.calls.get()),
            hits: sum(|c| c.hits.get()),
            misses: sum(|c| c.misses.get()),
            expired: sum(|c| c.expired.get()),
            expired_fields: sum(|c| c.expired_fields.get()),
            evicted: sum(|c| c.evicted.get()),
            error_replies: sum(|c| c.error_replies.get()),
            protocol_errors: sum(|c| c.protocol_errors.get()),
            panics: sum(|c| c.panics.get()),
            auth_failures: sum(|c| c.auth_failures.get()),
            changes: sum(|c| c.changes.get()),
            denied: [0, 1, 2, 3].map(|reason: usize| get(&self.users.denied[reason])),
            expire_nanos: get(&stats.expire_nanos),
            expire_time_caps: get(&stats.expire_time_caps),
            over_memory_nanos: self.memory().exceeded_nanos(nanos).0,
            clients,
            memory: self.memory_figures(&usage),
            dbs: databases(&usage),
            scripts: self.script_figures(nanos / 1_000_000),
            channels: [
                subscribed(Subscription::Channel),
                subscribed(Subscription::Pattern),
                subscribed(Subscription::Shard),
            ],
            blocking_keys: follow.effects.blocking_keys.load(Relaxed) as u64,
            tracked_keys: follow.tracking.keys() as u64,
            errors: stats.errors(),
            logged: command_log::Kind::ALL.map(|kind| follow.command_log.count(kind)),
            lazyfree_pending: self.reclaimer.pending() as u64,
            lazyfreed: self.reclaimer.freed(),
            cpu: process::cpu_time(),
        }
    }

    /// The numbers of each command that was called or refused, by name; its calls counted up to each of some bounds.
    pub fn command_figures(&self, bounds: &Bounds) -> Vec<CommandFigures> {
        let sets = self.stats().sets();
        let mut all = Vec::new();
        // One for all of them: its memory is what costs.
        let mut times = Total::default();
        for entry in self.registry().iter_all() {
            let of = || sets.iter().map(|set| &set.commands[entry.id]);
            let sum =
                |count: fn(&CommandCounters) -> &Counter| of().map(|c| count(c).get()).sum::<u64>();
            let (calls, rejected) = (sum(|c| &c.calls), sum(|c| &c.rejected));
            if calls == 0 && rejected == 0 {
                continue;
            }
            times.clear();
            of().for_each(|c| c.add_times(&mut times));
            all.push(CommandFigures {
                name: entry.command.name,
                calls,
                nanos: ticks::nanos(sum(|c| &c.ticks)),
                rejected,
                failed: sum(|c| &c.failed),
                timed: times.calls,
                up_to: match times.calls {
                    0 => Vec::new(),
                    _ => times.up_to_each(bounds),
                },
            });
        }
        all.sort_by_key(|command| command.name);
        all
    }

    /// How long calls of all commands took.
    pub fn all_times(&self) -> Total {
        self.stats().all_times()
    }

    /// Who is connected, and the bytes that they take.
    fn client_figures(&self) -> (ClientFigures, usize) {
        let (mut figures, mut bytes) = (ClientFigures::default(), 0);
        self.clients().look(|client| {
            bytes += client.part_of_memory();
            match client.kind {
                // Replicas are told of by themselves.
                _ if client.follows.load(Relaxed) => {}
                Kind::Unix => figures.unix += 1,
                Kind::Tcp | Kind::Embedded | Kind::Primary => figures.tcp += 1,
            }
            figures.subscribers += u64::from(client.subscribes());
            figures.monitors += u64::from(client.monitors.load(Relaxed));
            let input = client.query_bytes.load(Relaxed) + client.query_free.load(Relaxed);
            figures.largest_input = figures.largest_input.max(input as u64);
            figures.largest_output = figures.largest_output.max(client.unsent_bytes() as u64);
        });
        let (effects, live) = (&self.follow.effects, &self.config().live);
        figures.blocked = effects.blocked.load(Relaxed) as u64;
        figures.watching = effects.watching.load(Relaxed) as u64;
        figures.tracking = self.follow.tracking.clients() as u64;
        figures.limit = live.maxclients.load(Relaxed) as u64;
        figures.over_query_limit = self.stats().query_limit_disconnections.load(Relaxed);
        let limits = live.output_limits.iter();
        figures.over_output_limit = limits.map(|l| l.disconnections.load(Relaxed)).sum();
        figures.evicted = self.memory().evicted_clients.load(Relaxed);
        (figures, bytes)
    }

    fn memory_figures(&self, usage: &Usage) -> MemoryFigures {
        let other = &usage.other;
        MemoryFigures {
            used: usage.used() as u64,
            peak: usage.peak as u64,
            limit: self.memory().limit() as u64,
            resident: usage.resident,
            idle: usage.idle as u64,
            dataset: usage.dataset() as u64,
            tables: usage.tables() as u64,
            clients: other.clients as u64,
            tracking: other.tracking as u64,
            scripts: (other.vms.0 + other.vms.1 + other.sources.0 + other.sources.1) as u64,
            journal: other.journal as u64,
            fixed: other.fixed as u64,
        }
    }

    fn script_figures(&self, now_ms: u64) -> ScriptFigures {
        let libraries = self.scripts.libraries.current();
        let running = self.scripts.longest();
        ScriptFigures {
            cached: self.scripts.totals().0 as u64,
            evicted: self.scripts.evicted.load(Relaxed),
            libraries: libraries.len() as u64,
            functions: libraries.functions() as u64,
            restarts: self.scripts.restarts.load(Relaxed),
            running_ms: running.map_or(0, |script| now_ms.saturating_sub(script.started_ms)),
        }
    }
}

fn databases(usage: &Usage) -> Vec<DbFigures> {
    let all = usage.dbs.iter().enumerate().map(|(db, counts)| DbFigures {
        db,
        keys: counts.keys as u64,
        expiring: counts.expiring as u64,
        bytes: counts.bytes as u64,
    });
    all.filter(|db| db.keys > 0).collect()
}
