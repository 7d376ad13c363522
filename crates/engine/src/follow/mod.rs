//! What follows from a change: watches, waiting clients, notifications, messages, client-side caches, MONITOR.

use crate::client::clients::Clients;
use crate::config::Config;
use crate::follow::effects::Effects;
use crate::follow::messages::PubSub;
use crate::follow::monitor::Monitors;
use crate::follow::tracking::Tracking;
use std::sync::Arc;

pub mod effects;
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
    /// Which clients keep copies of which keys.
    pub tracking: Tracking,
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
            tracking: Tracking::default(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
