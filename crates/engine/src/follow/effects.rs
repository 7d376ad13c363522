//! What follows from a change: the one place that everything which watches the keyspace feeds on.
//!
//! A handler says what it changed ([`Keys::changed`]), in the order a real server would announce it. When the command is
//! done, and with it the whole EXEC or script it was part of, dispatch works the list off while it still holds the locks:
//!
//! 1. whoever watches a changed key ([`Watch`]) is told that it changed;
//! 2. keyspace notifications are published and clients that cache the key are told to forget it;
//! 3. clients that block on a changed key ([`crate::follow::waiting::Waiter`]) are served, first come first served, which may
//!    change further keys.
//!
//! While nobody listens, all of this costs a write command one look at a number that hardly ever changes.
//!
//! # Where listeners stand
//! Watches and waiters of a key are listed in the [`Side`] of the key's shard. Whoever adds one holds the shard's lock, so
//! between a look at a key and the listing nobody can change it. Taking one off needs only the side's own lock, which
//! is always the last one taken.

use crate::client::clients::Client;
use crate::context::ctx::Keys;
use crate::context::engine::Engine;
use crate::follow::waiting::Waiter;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The classes of keyspace notifications, as bits. The letters are those of `notify-keyspace-events`.
pub mod class {
    /// `g`: commands that are of no type (DEL, EXPIRE, RENAME ...).
    pub const GENERIC: u32 = 1 << 2;
    /// `$`
    pub const STRING: u32 = 1 << 3;
    /// `l`
    pub const LIST: u32 = 1 << 4;
    /// `s`
    pub const SET: u32 = 1 << 5;
    /// `h`
    pub const HASH: u32 = 1 << 6;
    /// `z`
    pub const SORTED_SET: u32 = 1 << 7;
    /// `x`: a key was removed because it had expired.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: a key was removed because memory was short.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`
    pub const STREAM: u32 = 1 << 10;
    /// `m`: a key was asked for that is not there.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `n`: a key came to be.
    pub const NEW: u32 = 1 << 14;
    /// `o`: a key was given another value, whatever it had before.
    pub const OVERWRITTEN: u32 = 1 << 15;
    /// `c`: the same, when the new value is of another type.
    pub const TYPE_CHANGED: u32 = 1 << 16;
    /// `K`: notifications go to the channel of the key.
    pub const KEYSPACE: u32 = 1;
    /// `E`: notifications go to the channel of the event.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `d`: events of modules, of which there are none.
    pub const MODULE: u32 = 1 << 13;
    /// `A`
    pub const ALL: u32 =
        GENERIC | STRING | LIST | SET | HASH | SORTED_SET | EXPIRED | EVICTED | STREAM | MODULE;
    /// Everything that has a letter.
    pub const KNOWN: u32 = ALL | KEY_MISS | NEW | OVERWRITTEN | TYPE_CHANGED;
    /// The letters of classes in the order in which CONFIG GET prints them.
    const LETTERS: [(char, u32); 14] = [
        ('g', GENERIC),
        ('$', STRING),
        ('l', LIST),
        ('s', SET),
        ('h', HASH),
        ('z', SORTED_SET),
        ('x', EXPIRED),
        ('e', EVICTED),
        ('t', STREAM),
        ('d', MODULE),
        ('n', NEW),
        ('o', OVERWRITTEN),
        ('c', TYPE_CHANGED),
        ('K', KEYSPACE),
    ];

    /// Reads the letters of `notify-keyspace-events`; None if one is not known.
    pub fn parse(letters: &str) -> Option<u32> {
        let mut classes = 0;
        for letter in letters.chars() {
            classes |= match letter {
                'A' => ALL,
                'E' => KEYEVENT,
                'm' => KEY_MISS,
                _ => LETTERS.iter().find(|(l, _)| *l == letter)?.1,
            };
        }
        Some(classes)
    }

    /// Writes them as CONFIG GET does, in which `A` stands for the letters up to `c`, in real servers too.
    pub fn letters(classes: u32) -> String {
        let mut letters = String::new();
        let all = classes & ALL == ALL;
        if all {
            letters.push('A');
        }
        for (letter, class) in LETTERS {
            if classes & class != 0 && (!all || class == KEYSPACE) {
                letters.push(letter);
            }
        }
        for (letter, class) in [('E', KEYEVENT), ('m', KEY_MISS)] {
            if classes & class != 0 {
                letters.push(letter);
            }
        }
        letters
    }

    /// No class: see [`super::Event::waking`].
    pub const WAKES: u32 = 1 << 30;
    /// No class: see [`super::Event::aside`].
    pub const ASIDE: u32 = 1 << 31;
}

/// What happened to a key: the name of a keyspace notification and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// One of [`class`]; 0: a change that no notification tells of.
    pub class: u32,
    /// `"lpush"`
    pub name: &'static str,
}

macro_rules! events {
    ($($name:ident = $class:ident;)*) => {
        impl Event {
            $(#[doc = concat!("An event of class [`class::", stringify!($class), "`].")]
            pub const fn $name(name: &'static str) -> Event {
                Event { class: class::$class, name }
            })*
        }
    };
}

events! {
    generic = GENERIC;
    string = STRING;
    list = LIST;
    set = SET;
    hash = HASH;
    sorted_set = SORTED_SET;
    stream = STREAM;
}

impl Event {
    /// A change that no notification tells of.
    pub const SILENT: Event = Event { class: 0, name: "" };
    /// The key is gone.
    pub const DEL: Event = Event::generic("del");
    /// The key had expired and was removed.
    pub const EXPIRED: Event = Event {
        class: class::EXPIRED,
        name: "expired",
    };
    /// The key came to be.
    pub const NEW: Event = Event {
        class: class::NEW,
        name: "new",
    };
    /// The key was given another value, whatever it held before: no change that it is not told of otherwise.
    pub const OVERWRITTEN: Event = Event {
        class: class::OVERWRITTEN | class::ASIDE,
        name: "overwritten",
    };
    /// The same when the new value is of another type.
    pub const TYPE_CHANGED: Event = Event {
        class: class::TYPE_CHANGED | class::ASIDE,
        name: "type_changed",
    };
    /// The key was asked for and is not there: no change.
    pub const KEY_MISS: Event = Event {
        class: class::KEY_MISS,
        name: "keymiss",
    };

    /// A field of a hash had expired and was removed.
    pub const HASH_EXPIRED: Event = Event::hash("hexpired");

    /// The same for a change that real servers do not count as one of the key: it may be announced, but WATCH, client-side
    /// caches and those who wait for the key take no notice. So it is with the groups of a stream.
    pub const fn aside(self) -> Event {
        Event {
            class: self.class | class::ASIDE,
            ..self
        }
    }

    /// The same, but that those who wait for the key take notice.
    pub const fn waking(self) -> Event {
        Event {
            class: self.class | class::WAKES,
            ..self
        }
    }

    /// Whether it tells of a change of the key.
    pub const fn is_change(self) -> bool {
        self.class & (class::KEY_MISS | class::NEW | class::ASIDE) == 0
    }

    /// Whether those who wait for the key have to look.
    const fn concerns_waiters(self) -> bool {
        self.is_change() || self.class & class::WAKES != 0
    }
}

/// The bytes of a key in a list of changes.
pub type KeyBytes = SmallVec<[u8; 64]>;

/// One thing that a command did.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event of a key.
    Key {
        /// The key's database.
        db: usize,
        /// The key.
        key: KeyBytes,
        /// What happened to it.
        event: Event,
    },
    /// A whole database, or with None all of them, lost their keys.
    Flushed(Option<usize>),
    /// Two databases changed places.
    Swapped(usize, usize),
    /// What follows was done by this client, which had waited and was served.
    By(Arc<Client>),
    /// A client that tracks has read a key, as part of what else is listed.
    Read(KeyBytes),
    /// A line for those who watch what is executed.
    Shown(Vec<u8>),
    /// A message for a channel: (is sharded, channel, message).
    Publish(bool, Vec<u8>, Vec<u8>),
}

/// A client's WATCH: whether any of its keys has changed since.
#[derive(Debug, Default)]
pub struct Watch {
    /// One has changed.
    pub dirty: AtomicBool,
}

/// A watched key, as one client watches it.
struct Watched {
    watch: Arc<Watch>,
    /// The key had expired when it was watched, or when SWAPDB brought it, and is still there: to the client it never
    /// was, so that its removal is no change.
    expired: bool,
}

/// Who watches a key, by the address of the watch.
type Watches = HashMap<usize, Watched>;

/// By what a watch is listed.
fn identity(watch: &Arc<Watch>) -> usize {
    Arc::as_ptr(watch) as usize
}

/// Who listens to keys of one shard.
#[derive(Default)]
pub struct Side {
    /// Number of keys in the two maps: whether a change has to look here.
    listed: AtomicUsize,
    /// Number of those who wait here and will need further shards.
    further: AtomicUsize,
    lists: Mutex<Lists>,
}

type Named<T> = HashMap<(usize, Box<[u8]>), T>;

#[derive(Default)]
struct Lists {
    watched: Named<Watches>,
    waiting: Named<Queue>,
    /// Shards that waiters will need, and how many do.
    further: BTreeMap<usize, usize>,
}

/// Who waits for a key.
#[derive(Default)]
struct Queue {
    /// By their numbers: who came first comes first.
    waiters: BTreeMap<u64, Arc<Waiter>>,
    /// How many of them also want to know when the key is gone.
    on_delete: usize,
}

/// A cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Padded<T>(T);

/// All listeners. See the module's page.
pub struct Effects {
    /// Watched keys, waiters, tracking clients, and one while notifications are on: whether a change has to do anything.
    listening: Padded<AtomicUsize>,
    sides: Box<[Padded<Side>]>,
    /// Clients that block.
    pub blocked: AtomicUsize,
    /// Clients that watch keys.
    pub watching: AtomicUsize,
    /// (client, key) pairs that are watched.
    pub watched: AtomicUsize,
    /// Keys that clients block on.
    pub blocking_keys: AtomicUsize,
    /// Those of which clients also want to know when they are gone.
    pub blocking_keys_on_delete: AtomicUsize,
    /// Clients that block for some time only.
    pub timeouts: AtomicUsize,
    /// The events of keys, as `name key`.
    #[cfg(test)]
    pub(crate) recorded: Mutex<Vec<String>>,
}

impl Effects {
    /// No listeners, for a keyspace with this many shards.
    pub fn new(shards: usize) -> Effects {
        Effects {
            listening: Padded::default(),
            sides: (0..shards).map(|_| Padded::default()).collect(),
            blocked: AtomicUsize::new(0),
            watching: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            blocking_keys: AtomicUsize::new(0),
            blocking_keys_on_delete: AtomicUsize::new(0),
            timeouts: AtomicUsize::new(0),
            #[cfg(test)]
            recorded: Mutex::default(),
        }
    }

    /// Whether changes have to be listed. To be read with the locks of the changed keys held: whoever wants to know of
    /// their changes has been counted before it held them.
    #[inline]
    pub fn listening(&self) -> bool {
        self.listening.0.load(Relaxed) != 0
    }

    /// Counts a reason to list changes.
    pub fn listen(&self) {
        self.listening.0.fetch_add(1, Relaxed);
    }

    /// Takes one off.
    pub fn unlisten(&self) {
        self.listening.0.fetch_sub(1, Relaxed);
    }

    /// Lists a watch of a key, which may be one that has expired and is still there. With the shard's lock held.
    pub fn watch(&self, shard: usize, db: usize, key: &[u8], watch: &Arc<Watch>, expired: bool) {
        let side = &self.sides[shard].0;
        side.listed.fetch_add(1, Relaxed);
        self.listen();
        self.watched.fetch_add(1, Relaxed);
        let mut lists = side.lists.lock();
        lists.watched.entry((db, key.into())).or_default().insert(
            identity(watch),
            Watched {
                watch: watch.clone(),
                expired,
            },
        );
    }

    /// Whether a key that has expired and is still there had when the watch was made.
    pub(crate) fn had_expired(
        &self,
        shard: usize,
        db: usize,
        key: &[u8],
        watch: &Arc<Watch>,
    ) -> bool {
        let lists = self.sides[shard].0.lists.lock();
        let watches = lists.watched.get(&(db, Box::from(key)));
        watches
            .and_then(|w| w.get(&identity(watch)))
            .is_some_and(|w| w.expired)
    }

    /// Takes a watch off.
    pub fn unwatch(&self, shard: usize, db: usize, key: &[u8], watch: &Arc<Watch>) {
        let side = &self.sides[shard].0;
        let mut lists = side.lists.lock();
        let key = (db, Box::from(key));
        if let Some(watches) = lists.watched.get_mut(&key)
            && watches.remove(&identity(watch)).is_some()
        {
            if watches.is_empty() {
                lists.watched.remove(&key);
            }
            side.listed.fetch_sub(1, Relaxed);
            self.watched.fetch_sub(1, Relaxed);
            self.unlisten();
        }
    }

    /// Lists a client that waits for a key. With the shard's lock held.
    pub fn wait(&self, shard: usize, db: usize, key: &[u8], waiter: &Arc<Waiter>) {
        let side = &self.sides[shard].0;
        side.listed.fetch_add(1, Relaxed);
        self.listen();
        let mut lists = side.lists.lock();
        for further in &waiter.further_shards {
            side.further.fetch_add(1, Relaxed);
            *lists.further.entry(*further).or_default() += 1;
        }
        let queue = lists.waiting.entry((db, key.into())).or_default();
        if queue.waiters.is_empty() {
            self.blocking_keys.fetch_add(1, Relaxed);
        }
        queue.waiters.insert(waiter.number, waiter.clone());
        if waiter.on_delete {
            queue.on_delete += 1;
            if queue.on_delete == 1 {
                self.blocking_keys_on_delete.fetch_add(1, Relaxed);
            }
        }
    }

    /// Takes a waiter off a key.
    pub fn unwait(&self, shard: usize, db: usize, key: &[u8], waiter: &Arc<Waiter>) {
        let side = &self.sides[shard].0;
        let mut lists = side.lists.lock();
        let key = (db, Box::from(key));
        let Some(queue) = lists.waiting.get_mut(&key) else {
            return;
        };
        if queue.waiters.remove(&waiter.number).is_none() {
            return;
        }
        if waiter.on_delete {
            queue.on_delete -= 1;
            if queue.on_delete == 0 {
                self.blocking_keys_on_delete.fetch_sub(1, Relaxed);
            }
        }
        if queue.waiters.is_empty() {
            lists.waiting.remove(&key);
            self.blocking_keys.fetch_sub(1, Relaxed);
        }
        for further in &waiter.further_shards {
            side.further.fetch_sub(1, Relaxed);
            if let Some(n) = lists.further.get_mut(further) {
                *n -= 1;
                if *n == 0 {
                    lists.further.remove(further);
                }
            }
        }
        side.listed.fetch_sub(1, Relaxed);
        self.unlisten();
    }

    /// The client that has waited for a key for the longest of those that came after number `after`, and its number. If the
    /// key is `gone`, of those only that want to know it.
    pub(crate) fn next_waiter(
        &self,
        shard: usize,
        db: usize,
        key: &[u8],
        after: u64,
        gone: bool,
    ) -> Option<(u64, Arc<Waiter>)> {
        let side = &self.sides[shard].0;
        if side.listed.load(Relaxed) == 0 {
            return None;
        }
        let lists = side.lists.lock();
        let queue = lists.waiting.get(&(db, Box::from(key)))?;
        if gone && queue.on_delete == 0 {
            return None;
        }
        let mut later = queue.waiters.range(after + 1..);
        let next = later.find(|(_, w)| !gone || w.on_delete);
        next.map(|(number, waiter)| (*number, waiter.clone()))
    }

    /// Whether somebody waits for a key.
    fn is_waited_for(&self, shard: usize, db: usize, key: &[u8]) -> bool {
        let side = &self.sides[shard].0;
        if self.blocked.load(Relaxed) == 0 || side.listed.load(Relaxed) == 0 {
            return false;
        }
        let lists = side.lists.lock();
        !lists.waiting.is_empty() && lists.waiting.contains_key(&(db, Box::from(key)))
    }

    /// The shards, other than `shard`, that clients waiting for keys of `shard` will need when they are served.
    pub(crate) fn further_shards(&self, shard: usize, into: &mut impl FnMut(usize)) {
        let side = &self.sides[shard].0;
        if side.further.load(Relaxed) == 0 {
            return;
        }
        let lists = side.lists.lock();
        lists.further.keys().for_each(|shard| into(*shard));
    }

    /// Tells everybody who watches a key that it has changed; those to whom it had expired already do not mind that it is
    /// removed.
    fn touch(&self, shard: usize, db: usize, key: &[u8], event: Event) {
        let side = &self.sides[shard].0;
        if side.listed.load(Relaxed) == 0 {
            return;
        }
        let mut lists = side.lists.lock();
        if lists.watched.is_empty() {
            return;
        }
        if let Some(watches) = lists.watched.get_mut(&(db, Box::from(key))) {
            for watched in watches.values_mut() {
                if std::mem::take(&mut watched.expired) && event == Event::EXPIRED {
                    continue;
                }
                watched.watch.dirty.store(true, Relaxed);
            }
        }
    }

    /// Calls `f` with every watched key of a database, as each client watches it.
    fn each_watched(&self, db: usize, mut f: impl FnMut(&[u8], &mut Watched)) {
        for side in &self.sides {
            if side.0.listed.load(Relaxed) == 0 {
                continue;
            }
            let mut lists = side.0.lists.lock();
            for ((of, key), watches) in &mut lists.watched {
                if *of == db {
                    watches.values_mut().for_each(|watched| f(key, watched));
                }
            }
        }
    }

    /// Calls `f` with every key of a database that somebody waits for.
    fn each_waited(&self, db: usize, mut f: impl FnMut(&[u8])) {
        for side in &self.sides {
            if side.0.listed.load(Relaxed) == 0 {
                continue;
            }
            let lists = side.0.lists.lock();
            for (of, key) in lists.waiting.keys() {
                if *of == db {
                    f(key);
                }
            }
        }
    }
}

/// Adds an event to a list of changes.
#[cold]
pub(crate) fn note(changes: &mut Vec<Change>, db: usize, key: &[u8], event: Event) {
    changes.push(Change::Key {
        db,
        key: KeyBytes::from_slice(key),
        event,
    });
}

impl Keys<'_> {
    /// Says that a key of the selected database has changed. A handler says so for every key it changed, in the order in
    /// which a real server announces it, after the change; for a key that is gone with its last element, only what was
    /// done to the element (`Event::list("lpop")`): that the key is gone with it is added here.
    #[inline]
    pub fn changed(&mut self, key: &[u8], event: Event) {
        self.changed_in(self.db, key, event);
    }

    /// The same for a key of any database.
    #[inline]
    pub fn changed_in(&mut self, db: usize, key: &[u8], event: Event) {
        if self.effects.listening() {
            self.note(db, key, event);
        }
    }

    /// Says that several things happened to a key in turn, after all of them; if it is gone in the end, that comes last.
    #[inline]
    pub fn changed_in_turn(&mut self, key: &[u8], events: impl IntoIterator<Item = Event>) {
        if self.effects.listening() {
            self.note_in_turn(key, events);
        }
    }

    #[cold]
    fn note_in_turn(&mut self, key: &[u8], events: impl IntoIterator<Item = Event>) {
        let emptied = self.emptied.take_if(|emptied| **emptied == *key).is_some();
        for event in events {
            self.note(self.db, key, event);
        }
        if emptied {
            self.note(self.db, key, Event::DEL);
        }
    }

    /// Adds to the list of changes whatever it is that happened, if anybody listens. Messages are always sent.
    pub fn happened(&mut self, change: Change) {
        if matches!(change, Change::Publish(..)) || self.effects.listening() {
            self.changes.push(change);
        }
    }

    #[cold]
    fn note(&mut self, db: usize, key: &[u8], event: Event) {
        note(&mut self.changes, db, key, event);
        if self.emptied.as_deref() == Some(key) {
            self.emptied = None;
            if event != Event::DEL {
                note(&mut self.changes, db, key, Event::DEL);
            }
        }
    }

    /// Notes that a collection was removed because nothing was left in it.
    #[inline]
    pub(crate) fn note_emptied(&mut self, key: &[u8]) {
        if self.effects.listening() {
            self.emptied = Some(key.into());
        }
    }
}

impl Engine {
    /// Works off what a command, or a whole transaction or script, has changed. The locks of all changed keys are held.
    /// `by` is the client that did it, None for the server itself.
    pub(crate) fn apply(&self, keys: &mut Keys<'_>, by: Option<&Arc<Client>>) {
        let mut done = 0;
        let mut served: Option<Arc<Client>> = None;
        while done < keys.changes.len() {
            let upto = keys.changes.len();
            // Keys that somebody waits for. As in real servers those that came to be come first, in that order.
            let (mut ready, mut others) = (Vec::new(), Vec::new());
            for at in done..upto {
                let change = keys.changes[at].clone();
                self.announce(keys, &change, served.as_ref().or(by));
                let mut whole = |db: usize| {
                    self.effects
                        .each_waited(db, |key| others.push((db, KeyBytes::from_slice(key))));
                };
                match change {
                    Change::By(client) => served = Some(client),
                    Change::Key { db, key, event } => {
                        let shard = self.keyspace().shard_of(self.keyspace().hash(&key));
                        let is_new = event.class & class::NEW != 0;
                        if (is_new || event.concerns_waiters())
                            && self.effects.is_waited_for(shard, db, &key)
                        {
                            let list = if is_new { &mut ready } else { &mut others };
                            list.push((db, key));
                        }
                    }
                    Change::Flushed(Some(db)) => whole(db),
                    Change::Flushed(None) => (0..self.keyspace().databases()).for_each(whole),
                    Change::Swapped(a, b) => [a, b].into_iter().for_each(whole),
                    Change::Publish(..) | Change::Read(_) | Change::Shown(_) => {}
                }
            }
            done = upto;
            ready.append(&mut others);
            let mut seen = HashSet::new();
            for (db, key) in &ready {
                if seen.insert((db, key)) {
                    crate::follow::waiting::serve(self, keys, *db, key);
                }
            }
        }
        self.tracking.broadcast(self, &keys.changes, by);
        keys.changes.clear();
    }

    fn announce(&self, keys: &mut Keys<'_>, change: &Change, by: Option<&Arc<Client>>) {
        match change {
            Change::Key { db, key, event } => {
                #[cfg(test)]
                self.effects
                    .recorded
                    .lock()
                    .push(format!("{} {}", event.name, key.escape_ascii()));
                if event.is_change() {
                    let shard = self.keyspace().shard_of(self.keyspace().hash(key));
                    self.effects.touch(shard, *db, key, *event);
                    let by = crate::follow::tracking::author(*event, by);
                    self.tracking.changed(self, key, by);
                }
                self.pubsub.notify(self, *db, key, *event);
            }
            Change::Flushed(_) => {
                // Watches were told before: see `touch_before_flush`.
                self.tracking.flushed(self);
            }
            Change::Swapped(a, b) => self.swapped(keys, *a, *b),
            Change::By(_) => {}
            Change::Shown(line) => self.monitors.show(self.config(), line),
            Change::Read(key) => {
                if let Some(by) = by {
                    self.tracking.remember(self, key, by);
                }
            }
            Change::Publish(sharded, channel, message) => {
                let limits = &self.config().live.output_limits;
                self.pubsub.publish(limits, *sharded, channel, message);
            }
        }
    }

    /// After SWAPDB: a watched key that was there before or is there now has changed. As in real servers, one that had
    /// expired for its client and is gone now has not, and neither has one that comes expired in place of none.
    fn swapped(&self, keys: &mut Keys<'_>, a: usize, b: usize) {
        if a == b {
            return;
        }
        for (db, other) in [(a, b), (b, a)] {
            self.effects.each_watched(db, |key, watched| {
                let was_there = keys.expiry_in(other, key).is_some();
                let expiry = keys.expiry_in(db, key);
                let comes_expired = expiry
                    .flatten()
                    .is_some_and(|expiry_ms| expiry_ms <= keys.now_ms);
                if watched.expired && (expiry.is_none() || comes_expired) {
                    watched.expired = comes_expired;
                } else if !was_there && comes_expired {
                    watched.expired = true;
                } else if was_there || expiry.is_some() {
                    watched.watch.dirty.store(true, Relaxed);
                }
            });
        }
    }

    /// Before FLUSHDB or FLUSHALL: a watched key that is there is about to change.
    pub(crate) fn touch_before_flush(&self, keys: &Keys<'_>, db: Option<usize>) {
        let dbs = db.map_or(0..self.keyspace().databases(), |db| db..db + 1);
        for db in dbs {
            self.effects.each_watched(db, |key, watched| {
                if keys.expiry_in(db, key).is_some() && !std::mem::take(&mut watched.expired) {
                    watched.watch.dirty.store(true, Relaxed);
                }
            });
        }
    }
}
