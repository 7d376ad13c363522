//! What a session listens to: channels, the keys it caches, what others execute.

use crate::context::session::Session;
use crate::follow::messages::GATHERED;
use crate::follow::messages::KINDS;
use crate::follow::messages::Kind;
use crate::follow::messages::SHORT;
use crate::follow::tracking::Wish;
use crate::follow::tracking::state;
use std::sync::atomic::Ordering::Relaxed;

impl Session {
    /// Publishes a message to a channel, not necessarily at once: see [`Session::hand_out`]. Returns how often it is
    /// received.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let engine = &*self.engine;
        if message.len() > SHORT || engine.follow.pubsub.len(Kind::Pattern) > 0 {
            self.hand_out();
            return self.engine.follow.publish(false, channel, message);
        }
        if self
            .outgoing
            .as_ref()
            .is_some_and(|o| !o.is_empty() && (o.channel != channel || o.bytes.len() > GATHERED))
        {
            self.hand_out();
        }
        let outgoing = self.outgoing.get_or_insert_default();
        if outgoing.is_empty() {
            outgoing.receivers = self
                .engine
                .follow
                .pubsub
                .subscribers(Kind::Channel, channel);
            if outgoing.receivers == 0 {
                return 0;
            }
            outgoing.channel.extend_from_slice(channel);
        }
        outgoing.bytes.extend_from_slice(message);
        outgoing.ends.push(outgoing.bytes.len());
        outgoing.receivers
    }

    /// Hands the messages out that have been gathered: before the client's next command of another kind, and before its
    /// replies are sent.
    pub(crate) fn hand_out(&mut self) {
        if let Some(outgoing) = &mut self.outgoing
            && !outgoing.is_empty()
        {
            let limits = &self.engine.config().live.output_limits;
            self.engine.follow.pubsub.publish_all(limits, outgoing);
            outgoing.channel.clear();
            outgoing.bytes.clear();
            outgoing.ends.clear();
        }
    }

    /// Subscribes to a name, unless it does already.
    pub fn subscribe(&mut self, kind: Kind, name: &[u8]) {
        let subscriptions = self.subscriptions.get_or_insert_default();
        let names = subscriptions.of(kind);
        if names.insert(name.into()) {
            self.client.listed_bytes.fetch_add(name.len(), Relaxed);
            self.client.subscriptions[kind as usize].store(names.len(), Relaxed);
            self.engine.follow.subscribe(kind, name, &self.client);
        }
    }

    /// Ends a subscription, if there is one. From then on nothing of it gets into the client's outbox.
    pub fn unsubscribe(&mut self, kind: Kind, name: &[u8]) {
        let Some(subscriptions) = &mut self.subscriptions else {
            return;
        };
        let names = subscriptions.of(kind);
        if names.remove(name) {
            self.client.listed_bytes.fetch_sub(name.len(), Relaxed);
            self.client.subscriptions[kind as usize].store(names.len(), Relaxed);
            self.engine.follow.unsubscribe(kind, name, &self.client);
        }
        if subscriptions.is_empty() {
            self.subscriptions = None;
        }
    }

    /// What it subscribes to of a kind, in no order.
    pub(crate) fn subscribed(&mut self, kind: Kind) -> Vec<Box<[u8]>> {
        self.subscriptions
            .as_mut()
            .map_or(Vec::new(), |s| s.of(kind).iter().cloned().collect())
    }

    /// Ends all subscriptions.
    pub(crate) fn unsubscribe_all(&mut self) {
        for kind in KINDS {
            for name in self.subscribed(kind) {
                self.unsubscribe(kind, &name);
            }
        }
    }
}
impl Session {
    /// The client is told nothing any more, and whoever redirected messages to it finds it gone.
    pub(crate) fn take_leave(&mut self) {
        self.unwatch();
        self.unsubscribe_all();
        self.untrack();
        self.stop_to_monitor();
        self.client.leave();
    }

    /// Begins to track, or goes on in another way.
    pub(crate) fn track(&mut self, wish: Wish<'_>) {
        self.tracks_reads = wish.bits & state::BCAST == 0;
        self.engine.follow.begin_to_track(&self.client, wish);
    }

    /// Stops tracking. What the table has of the client is left until those keys change.
    pub(crate) fn untrack(&mut self) {
        self.tracks_reads = false;
        self.engine.follow.stop_to_track(&self.client);
    }

    /// Whether the keys that the client reads now are to be noted.
    pub(crate) fn notes_reads(&self) -> bool {
        let bits = self.client.tracking.load(Relaxed);
        let caching = bits & state::CACHING != 0;
        match bits & (state::OPTIN | state::OPTOUT) {
            state::OPTIN => caching,
            state::OPTOUT => !caching,
            _ => true,
        }
    }

    /// A command is done that CLIENT CACHING may have been for. It holds for a whole transaction.
    pub(crate) fn end_caching(&self) {
        if self.multi.is_none() {
            self.client.tracking.fetch_and(!state::CACHING, Relaxed);
        }
    }
}

impl Session {
    /// Begins to show the client every command. False if it is shown them already.
    pub(crate) fn begin_to_monitor(&mut self) -> bool {
        if self.client.monitors.swap(true, Relaxed) {
            return false;
        }
        self.engine.follow.monitors.add(&self.client);
        true
    }

    /// Shows it no more.
    pub(crate) fn stop_to_monitor(&mut self) {
        if self.client.monitors.swap(false, Relaxed) {
            self.engine.follow.monitors.remove(&self.client);
        }
    }
}
