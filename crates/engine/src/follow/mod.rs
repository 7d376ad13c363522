//! What follows from a change: watches, waiting clients, notifications, messages, client-side caches, MONITOR.

use crate::base::ticks;
use crate::client::clients::Client;
use crate::client::clients::Clients;
use crate::config::Config;
use crate::follow::claims::Claims;
use crate::follow::command_log::CommandLog;
use crate::follow::effects::Effects;
use crate::follow::hot_session::HotSession;
use crate::follow::latency::Latency;
use crate::follow::messages::PubSub;
use crate::follow::monitor::Monitors;
use crate::follow::tracking::Tracking;
use crate::table::row::{FAST, Facts, SKIP_SLOWLOG};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub mod claims;
pub mod command_log;
pub mod effects;
pub mod hot_session;
pub mod latency;
#[cfg(test)]
mod listening_tests;
pub mod messages;
pub mod monitor;
pub mod pending;
pub mod tracking;
pub mod waiting;

/// Everybody who listens, to keys or to each other.
pub struct Follow {
    /// The settings.
    pub config: Arc<Config>,
    /// Who is connected.
    pub clients: Clients,
    /// Who listens to changes of keys.
    pub effects: Effects,
    /// Who listens to channels.
    pub pubsub: PubSub,
    /// Who watches what is executed.
    pub monitors: Monitors,
    /// Who waits for entries to have been pending for long enough.
    pub claims: Claims,
    /// Which clients keep copies of which keys.
    pub tracking: Tracking,
    /// Which commands stood out.
    pub command_log: CommandLog,
    /// What took long, and when.
    pub latency: Latency,
    /// HOTKEYS START.
    pub hot_session: HotSession,
}

impl Follow {
    /// Nobody listens; for a keyspace with this many shards.
    pub fn new(config: Arc<Config>, shards: usize) -> Follow {
        Follow {
            config,
            clients: Clients::default(),
            effects: Effects::new(shards),
            pubsub: PubSub::default(),
            monitors: Monitors::default(),
            claims: Claims::default(),
            tracking: Tracking::default(),
            command_log: CommandLog::default(),
            latency: Latency::default(),
            hot_session: HotSession::default(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Follow {
    /// Whether any command may be logged as slow.
    #[inline]
    pub(crate) fn logs_slow(&self) -> bool {
        self.config().live.logs[0].from.load(Relaxed) != u64::MAX
    }

    /// Notes a command that took so many ticks, which may be long.
    #[cold]
    pub(crate) fn note_command(
        &self,
        command: &Facts,
        ticks: u64,
        client: &Client,
        shown: impl FnOnce() -> Box<[u8]>,
    ) {
        let fast = command.flags & FAST != 0;
        if command.flags & SKIP_SLOWLOG != 0 {
            let micros = ticks::nanos(ticks) / 1000;
            self.note_latency(fast, micros);
            return;
        }
        self.note_slow(fast, ticks, client, shown);
    }

    /// The same of one that is not left out of the log of slow commands.
    #[cold]
    pub(crate) fn note_slow(
        &self,
        fast: bool,
        ticks: u64,
        client: &Client,
        shown: impl FnOnce() -> Box<[u8]>,
    ) {
        let micros = ticks::nanos(ticks) / 1000;
        self.note_latency(fast, micros);
        let live = &self.config().live;
        if micros >= live.logs[0].from.load(Relaxed) {
            let kind = command_log::Kind::Slow;
            self.command_log.add(kind, live, micros, shown(), client);
        }
    }

    /// Notes quick commands of one kind that took so many ticks together, as one event; which of them was slow nobody knows.
    #[cold]
    pub(crate) fn note_run(&self, ticks: u64) {
        self.note_latency(true, ticks::nanos(ticks) / 1000);
    }

    fn note_latency(&self, fast: bool, micros: u64) {
        let event = match fast {
            true => "fast-command",
            false => "command",
        };
        self.latency.note(&self.config().live, event, micros);
    }
}
