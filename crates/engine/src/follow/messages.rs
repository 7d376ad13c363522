//! Messages from clients to clients, and those that tell of changes of keys.
//!
//! Channels are spread over maps with a read-write lock each, so that publishers on all workers go on side by side;
//! patterns, which every message has to be compared with, stand in one map. A publisher encodes its message once and puts a
//! reference to it into the [outbox](crate::client::outbox) of every subscriber, one after the other: so what one publisher says
//! reaches each subscriber in the order in which it was said.
//!
//! What a client subscribes to is listed twice: here, for publishers, and in its session's [`Subscriptions`], for its own
//! commands and for its end.
//!
//! A pipeline of messages to one channel is gathered in the session ([`Outgoing`]) and handed out as one, before anything else
//! is done and at the end of the batch: subscribers are many, and each of them is visited once.
//!
//! # Order of what a subscriber sees
//! A confirmation of SUBSCRIBE goes before all messages of the channel, because it is a reply and replies are sent first. One of
//! UNSUBSCRIBE goes after all of them: the client is taken off the list, and then what is in its outbox is sent before the
//! confirmation.

use crate::base::class;
use crate::base::glob;
use crate::client::clients::Client;
use crate::client::outbox::{Limits, Message};
use crate::door::change::{Event, KeyBytes};
use crate::door::listening::{Told, mark_of};
use crate::follow::Follow;
use parking_lot::{Mutex, RwLock};
use resp::Out;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Maps that channels are spread over.
const SPREAD: usize = 64;

/// Bytes of a message up to which it is gathered with others.
pub(crate) const SHORT: usize = 4 * 1024;

/// Bytes of messages that are gathered at most.
pub(crate) const GATHERED: usize = 32 * 1024;

/// Messages that a session has published and not handed out yet, all to one channel.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) channel: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    /// Where each message ends in `bytes`.
    pub(crate) ends: Vec<usize>,
    /// Number of the channel's subscribers when the first of them came.
    pub(crate) receivers: usize,
}

impl Outgoing {
    /// Whether it holds any.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn each(&self, mut f: impl FnMut(&[u8])) {
        let mut from = 0;
        for &end in &self.ends {
            f(&self.bytes[from..end]);
            from = end;
        }
    }
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel by its name.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A channel of a cluster's shard.
    Shard,
}

/// All kinds.
pub const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

/// The subscribers of one name, by client id.
#[derive(Default)]
struct Subscribers(Vec<Arc<Client>>);

impl Subscribers {
    /// Adds a client that is not among them.
    fn add(&mut self, client: &Arc<Client>) {
        let at = self.0.partition_point(|c| c.id < client.id);
        self.0.insert(at, client.clone());
    }

    fn remove(&mut self, client: &Client) {
        if let Ok(at) = self.0.binary_search_by_key(&client.id, |c| c.id) {
            self.0.remove(at);
        }
    }
}

type Names = HashMap<Box<[u8]>, Subscribers>;

/// Names and their subscribers.
pub(crate) struct Channels {
    maps: Box<[RwLock<Names>]>,
    hasher: RandomState,
    /// Names that have subscribers.
    len: AtomicUsize,
}

impl Channels {
    fn new(spread: usize) -> Channels {
        Channels {
            maps: (0..spread).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            len: AtomicUsize::new(0),
        }
    }

    fn map(&self, name: &[u8]) -> &RwLock<Names> {
        match self.maps.len() {
            1 => &self.maps[0],
            n => &self.maps[self.hasher.hash_one(name) as usize % n],
        }
    }

    pub(crate) fn add(&self, name: &[u8], client: &Arc<Client>) {
        let mut map = self.map(name).write();
        if let Some(subscribers) = map.get_mut(name) {
            return subscribers.add(client);
        }
        map.entry(name.into()).or_default().add(client);
        self.len.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove(&self, name: &[u8], client: &Client) {
        let mut map = self.map(name).write();
        let Some(subscribers) = map.get_mut(name) else {
            return;
        };
        subscribers.remove(client);
        if subscribers.0.is_empty() {
            map.remove(name);
            self.len.fetch_sub(1, Relaxed);
        }
    }

    /// Calls `f` with the subscribers of a name.
    fn with<R: Default>(&self, name: &[u8], f: impl FnOnce(&[Arc<Client>]) -> R) -> R {
        if self.len.load(Relaxed) == 0 {
            return R::default();
        }
        let map = self.map(name).read();
        map.get(name)
            .map_or_else(R::default, |subscribers| f(&subscribers.0))
    }

    /// Calls `f` with every name and its subscribers.
    pub(crate) fn each(&self, mut f: impl FnMut(&[u8], &[Arc<Client>])) {
        if self.len.load(Relaxed) == 0 {
            return;
        }
        for map in &self.maps {
            for (name, subscribers) in &*map.read() {
                f(name, &subscribers.0);
            }
        }
    }
}

/// Who listens to channels.
pub struct PubSub {
    channels: Channels,
    patterns: Channels,
    shards: Channels,
    /// What notifications tell of.
    notifying: Mutex<Notifying>,
}

/// Who wants notifications, and what of.
#[derive(Default)]
struct Notifying {
    /// Channels and patterns that notifications may go to, as often as somebody subscribes to one.
    subscribed: usize,
    /// What these tell of. Marks stay until nobody subscribes to any.
    wanted: Told,
    /// What those who change keys were told.
    told: Told,
    /// Whether the names of fields are a reason of their own to list changes.
    of_fields: bool,
}

impl Default for PubSub {
    fn default() -> PubSub {
        PubSub {
            channels: Channels::new(SPREAD),
            patterns: Channels::new(1),
            shards: Channels::new(SPREAD),
            notifying: Mutex::default(),
        }
    }
}

impl PubSub {
    pub(crate) fn of(&self, kind: Kind) -> &Channels {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    /// Number of names of a kind that have subscribers.
    pub fn len(&self, kind: Kind) -> usize {
        self.of(kind).len.load(Relaxed)
    }

    /// Whether nobody subscribes to anything.
    pub fn is_empty(&self) -> bool {
        KINDS.iter().all(|kind| self.len(*kind) == 0)
    }

    /// Number of subscribers of a name.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.of(kind).with(name, <[_]>::len)
    }

    /// The names of a kind that have subscribers, those that match a pattern if there is one.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let mut names = Vec::new();
        self.of(kind).each(|name, _| {
            if pattern.is_none_or(|p| glob::matches(p, name)) {
                names.push(name.into());
            }
        });
        names
    }

    /// How often a message would be received.
    pub(crate) fn receivers(&self, sharded: bool, channel: &[u8]) -> usize {
        if sharded {
            return self.subscribers(Kind::Shard, channel);
        }
        let mut n = self.subscribers(Kind::Channel, channel);
        self.patterns.each(|pattern, subscribers| {
            if glob::matches(pattern, channel) {
                n += subscribers.len();
            }
        });
        n
    }

    /// Sends a message to a channel's subscribers. Returns how often it is received.
    pub(crate) fn publish(
        &self,
        limits: &Limits,
        sharded: bool,
        channel: &[u8],
        message: &[u8],
    ) -> usize {
        let (channels, word): (_, &[u8]) = match sharded {
            true => (&self.shards, b"smessage"),
            false => (&self.channels, b"message"),
        };
        let mut received = channels.with(channel, |subscribers| {
            let mut encoded = Message::new(|out: &mut Out| {
                out.push(3);
                out.bulk(word);
                out.bulk(channel);
                out.bulk(message);
            });
            subscribers.iter().for_each(|c| encoded.send(c, limits));
            subscribers.len()
        });
        if sharded {
            return received;
        }
        self.patterns.each(|pattern, subscribers| {
            if !glob::matches(pattern, channel) {
                return;
            }
            let mut encoded = Message::new(|out: &mut Out| {
                out.push(4);
                out.bulk(b"pmessage");
                out.bulk(pattern);
                out.bulk(channel);
                out.bulk(message);
            });
            subscribers.iter().for_each(|c| encoded.send(c, limits));
            received += subscribers.len();
        });
        received
    }

    /// Sends several messages to a channel's subscribers.
    pub(crate) fn publish_all(&self, limits: &Limits, outgoing: &Outgoing) {
        if self.len(Kind::Pattern) > 0 {
            // Who gets a message by its channel and by a pattern gets it twice before the next.
            outgoing.each(|message| {
                self.publish(limits, false, &outgoing.channel, message);
            });
            return;
        }
        self.channels.with(&outgoing.channel, |subscribers| {
            let mut encoded = Message::new(|out: &mut Out| {
                outgoing.each(|message| {
                    out.push(3);
                    out.bulk(b"message");
                    out.bulk(&outgoing.channel);
                    out.bulk(message);
                });
            });
            subscribers.iter().for_each(|c| encoded.send(c, limits));
        });
    }

    /// Publishes the keyspace notifications of an event, if they are wanted.
    pub(crate) fn notify(&self, follow: &Follow, db: usize, key: &[u8], event: Event) {
        let live = &follow.config().live;
        let wanted = live.notify_keyspace_events.load(Relaxed);
        if wanted & event.class & class::KNOWN == 0 || self.is_empty() {
            return;
        }
        let (events, keys) = follow.effects.listening.told();
        let name = event.name.as_bytes();
        if wanted & class::KEYSPACE != 0 && keys & mark_of(key) != 0 {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            self.publish(&live.output_limits, false, &channel, name);
        }
        if wanted & class::KEYEVENT != 0 && events & mark_of(name) != 0 {
            let channel = format!("__keyevent@{db}__:{}", event.name);
            self.publish(&live.output_limits, false, channel.as_bytes(), key);
        }
    }
}

impl PubSub {
    /// Publishes which fields an event was about, in the forms that are wanted (Redis 8.8: redis.io, subkey notifications).
    pub(crate) fn notify_of_fields(
        &self,
        follow: &Follow,
        db: usize,
        key: &[u8],
        event: Event,
        fields: &[KeyBytes],
    ) {
        let live = &follow.config().live;
        let wanted = live.notify_keyspace_events.load(Relaxed);
        if wanted & event.class & class::KNOWN == 0 || self.is_empty() {
            return;
        }
        let limits = &live.output_limits;
        let name = event.name.as_bytes();
        let mut list = Vec::new();
        for field in fields {
            if !list.is_empty() {
                list.push(b',');
            }
            append_counted(&mut list, field);
        }
        let channel = |kind: &str, parts: [&[u8]; 3]| {
            let begin = format!("__{kind}@{db}__:").into_bytes();
            [&begin[..], parts[0], parts[1], parts[2]].concat()
        };
        if wanted & class::SUBKEYSPACE != 0 {
            let to = channel("subkeyspace", [key, b"", b""]);
            self.publish(limits, false, &to, &[name, b"|", &list].concat());
        }
        if wanted & class::SUBKEYEVENT != 0 {
            let to = channel("subkeyevent", [name, b"", b""]);
            let mut message = Vec::new();
            append_counted(&mut message, key);
            message.push(b'|');
            message.extend_from_slice(&list);
            self.publish(limits, false, &to, &message);
        }
        // Where a key has a newline nobody could tell where it ends.
        if wanted & class::SUBKEYSPACEITEM != 0 && !key.contains(&b'\n') {
            for field in fields {
                let to = channel("subkeyspaceitem", [key, b"\n", field]);
                self.publish(limits, false, &to, name);
            }
        }
        if wanted & class::SUBKEYSPACEEVENT != 0 {
            let to = channel("subkeyspaceevent", [name, b"|", key]);
            self.publish(limits, false, &to, &list);
        }
    }
}

/// Adds how long a name is, and the name.
fn append_counted(to: &mut Vec<u8>, name: &[u8]) {
    to.extend_from_slice(resp::number::format_i64(name.len() as i64, &mut [0; 20]));
    to.push(b':');
    to.extend_from_slice(name);
}

impl Follow {
    /// Sends a message to a channel's subscribers. Returns how often it is received.
    pub fn publish(&self, sharded: bool, channel: &[u8], message: &[u8]) -> usize {
        let limits = &self.config().live.output_limits;
        self.pubsub.publish(limits, sharded, channel, message)
    }

    /// Puts new settings into effect on what is there already.
    pub(crate) fn heed_settings(&self) {
        self.heed_notify_keyspace_events();
        self.tracking.heed_limit(self);
        self.command_log.heed_limits(&self.config().live.logs);
        // Connections look at their buffers' limits when they are woken.
        for client in self.clients.list() {
            if client.unsent_bytes() > 0 || client.query_bytes.load(Relaxed) > 0 {
                client.wake();
            }
        }
    }

    /// Lists a client as a subscriber of a name, of which it is none yet.
    pub(crate) fn subscribe(&self, kind: Kind, name: &[u8], client: &Arc<Client>) {
        self.pubsub.of(kind).add(name, client);
        let marks = marks_of(kind, name);
        if marks != (0, 0) {
            let mut notifying = self.pubsub.notifying.lock();
            notifying.subscribed += 1;
            notifying.wanted.events |= marks.0;
            notifying.wanted.keys |= marks.1;
            self.heed_subscribers(&mut notifying);
        }
    }

    /// Takes a subscriber of a name off.
    pub(crate) fn unsubscribe(&self, kind: Kind, name: &[u8], client: &Client) {
        self.pubsub.of(kind).remove(name, client);
        if marks_of(kind, name) != (0, 0) {
            let mut notifying = self.pubsub.notifying.lock();
            notifying.subscribed -= 1;
            if notifying.subscribed == 0 {
                notifying.wanted = Told::default();
            }
            self.heed_subscribers(&mut notifying);
        }
    }

    /// Begins or ends to list changes for notifications, as `notify-keyspace-events` now says.
    pub(crate) fn heed_notify_keyspace_events(&self) {
        self.heed_subscribers(&mut self.pubsub.notifying.lock());
    }

    /// Has changes listed that notifications have to tell somebody of.
    fn heed_subscribers(&self, notifying: &mut Notifying) {
        let wanted = self.config().live.notify_keyspace_events.load(Relaxed);
        let of_fields = wanted & class::SUBKEYS != 0 && wanted & class::HASH != 0;
        let listening = &self.effects.listening;
        if of_fields != notifying.of_fields {
            notifying.of_fields = of_fields;
            match of_fields {
                true => listening.begin(),
                false => listening.end(),
            }
            listening.heed_fields(of_fields);
        }
        let if_on = |class: u32, marks: u64| match wanted & class {
            0 => 0,
            _ => marks,
        };
        let (events, keys) = (
            if_on(class::KEYEVENT, notifying.wanted.events),
            if_on(class::KEYSPACE, notifying.wanted.keys),
        );
        let told = match events | keys {
            0 => Told::default(),
            _ => Told {
                classes: wanted & class::KNOWN,
                events,
                keys,
            },
        };
        let was = std::mem::replace(&mut notifying.told, told);
        listening.tell(told, was);
    }
}

/// Characters that are no literals in a pattern.
const SPECIAL: &[u8] = b"*?[\\";

/// The marks of the events, and of the keys, that a channel or a pattern tells of if it is one that notifications may go to.
pub(crate) fn marks_of(kind: Kind, name: &[u8]) -> (u64, u64) {
    let is_special = |byte: &u8| SPECIAL.contains(byte);
    let first = match kind {
        Kind::Shard => return (0, 0),
        Kind::Channel => None,
        Kind::Pattern => name.iter().position(is_special),
    };
    let begin = &name[..first.unwrap_or(name.len())];
    // Behind what both kinds of channel begin with stands the number of a database, and behind that the event or the key.
    let may_be =
        |kind: &[u8]| begin.starts_with(kind) || first.is_some() && kind.starts_with(begin);
    let behind = |text: &[u8], last: bool| {
        let mut all = text.windows(3);
        let at = match last {
            true => all.rposition(|three| three == b"__:"),
            false => all.position(|three| three == b"__:"),
        };
        at.map(|at| mark_of(&text[at + 3..]))
    };
    let events = match may_be(b"__keyevent@") {
        false => 0,
        true if first.is_none() => behind(name, false).unwrap_or(0),
        // What is literal at the end of a pattern stands at the end of the channel, and no event has such a thing in its name.
        true => match name.iter().rposition(is_special) {
            Some(last) if !name.contains(&b'[') => behind(&name[last + 1..], true),
            _ => None,
        }
        .unwrap_or(u64::MAX),
    };
    let keys = match may_be(b"__keyspace@") {
        false => 0,
        true if first.is_some() => u64::MAX,
        true => behind(name, false).unwrap_or(0),
    };
    (events, keys)
}

/// What a session subscribes to.
#[derive(Default)]
pub(crate) struct Subscriptions {
    channels: HashSet<Box<[u8]>>,
    patterns: HashSet<Box<[u8]>>,
    shards: HashSet<Box<[u8]>>,
}

impl Subscriptions {
    pub(crate) fn of(&mut self, kind: Kind) -> &mut HashSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty()
    }
}
