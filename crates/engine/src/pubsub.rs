//! Messages from clients to clients.

use crate::effects::Event;
use crate::engine::Engine;

/// Who listens to channels.
#[derive(Default)]
pub struct PubSub {}

impl PubSub {
    /// Publishes the keyspace notifications of an event, if they are wanted.
    pub(crate) fn notify(&self, _engine: &Engine, _db: usize, _key: &[u8], _event: Event) {}

    /// Sends a message to a channel's subscribers.
    pub(crate) fn publish(&self, _sharded: bool, _channel: &[u8], _message: &[u8]) {}
}
