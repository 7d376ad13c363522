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
//! While nobody listens, all of this costs a write command one look at a number that hardly ever changes; while nobody
//! listens to what it changes, a second look ([`crate::door::listening`]).
//!
//! # Where listeners stand
//! Watches and waiters of a key are listed in the [`Side`] of the key's shard. Whoever adds one holds the shard's lock, so
//! between a look at a key and the listing nobody can change it. Taking one off needs only the side's own lock, which
//! is always the last one taken.

use crate::base::class;
use crate::base::guard::guarded;
use crate::client::clients::Client;
use crate::door::change::Change;
use crate::door::change::Event;
use crate::door::change::KeyBytes;
use crate::door::keys::Keys;
use crate::door::listening::Listening;
use crate::follow::Follow;
use crate::follow::waiting::{Waiter, Whom, serve};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use store::Place;

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
    /// Reasons to list changes.
    pub listening: Listening,
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
            listening: Listening::new(shards),
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
        self.listening.any()
    }

    /// Counts a reason to list every change.
    pub fn listen(&self) {
        self.listening.begin();
    }

    /// Takes one off.
    pub fn unlisten(&self) {
        self.listening.end();
    }

    /// Lists a watch of a key, which may be one that has expired and is still there. With the shard's lock held.
    pub fn watch(&self, place: Place, db: usize, key: &[u8], watch: &Arc<Watch>, expired: bool) {
        let side = &self.sides[place.shard()].0;
        self.watched.fetch_add(1, Relaxed);
        let mut lists = side.lists.lock();
        self.listening.begin_at(place);
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
            self.watched.fetch_sub(1, Relaxed);
            self.listening.end_at(shard);
        }
    }

    /// Lists a client that waits for a key. With the shard's lock held.
    pub fn wait(&self, place: Place, db: usize, key: &[u8], waiter: &Arc<Waiter>) {
        let side = &self.sides[place.shard()].0;
        let mut lists = side.lists.lock();
        self.listening.begin_at(place);
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
        self.listening.end_at(shard);
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
        whom: Whom,
    ) -> Option<(u64, Arc<Waiter>)> {
        if !self.listening.is_listed(shard) {
            return None;
        }
        let lists = self.sides[shard].0.lists.lock();
        let queue = lists.waiting.get(&(db, Box::from(key)))?;
        if gone && queue.on_delete == 0 {
            return None;
        }
        let mut later = queue.waiters.range(after + 1..);
        let next =
            later.find(|(_, w)| (!gone || w.on_delete) && (whom == Whom::All || w.again.is_some()));
        next.map(|(number, waiter)| (*number, waiter.clone()))
    }

    /// Whether somebody waits for a key.
    fn is_waited_for(&self, place: Place, db: usize, key: &[u8]) -> bool {
        if self.blocked.load(Relaxed) == 0 || !self.listening.is_marked(place) {
            return false;
        }
        let lists = self.sides[place.shard()].0.lists.lock();
        !lists.waiting.is_empty() && lists.waiting.contains_key(&(db, Box::from(key)))
    }

    /// Whether a client that waits for a key of this shard will need further shards when it is served.
    #[inline]
    pub(crate) fn needs_further(&self, shard: usize) -> bool {
        self.listening() && self.sides[shard].0.further.load(Relaxed) != 0
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
    fn touch(&self, place: Place, db: usize, key: &[u8], event: Event) {
        if !self.listening.is_marked(place) {
            return;
        }
        let mut lists = self.sides[place.shard()].0.lists.lock();
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
        for (shard, side) in self.sides.iter().enumerate() {
            if !self.listening.is_listed(shard) {
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
        for (shard, side) in self.sides.iter().enumerate() {
            if !self.listening.is_listed(shard) {
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

impl Follow {
    /// Works off what a command, or a whole transaction or script, has changed. The locks of all changed keys are held.
    /// `by` is the client that did it, None for the server itself.
    ///
    /// If that panics, those who watch a key are told all the same.
    pub(crate) fn apply(&self, keys: &mut Keys<'_>, by: Option<&Arc<Client>>) {
        let done = guarded(keys.counters, "what follows from a change", || {
            self.work_off(keys, by)
        });
        if done.is_none() {
            for change in std::mem::take(keys.changes) {
                if let Change::Key {
                    db,
                    key,
                    place,
                    event,
                } = change
                    && event.is_change()
                {
                    self.effects.touch(place, db, &key, event);
                }
            }
        }
    }

    fn work_off(&self, keys: &mut Keys<'_>, by: Option<&Arc<Client>>) {
        let mut done = 0;
        let mut served: Option<Arc<Client>> = None;
        while done < keys.changes.len() {
            let upto = keys.changes.len();
            // Keys that somebody waits for. As in real servers those that came to be come first, in that order.
            let (mut ready, mut others) = (Vec::new(), Vec::new());
            let mut claimed = Vec::new();
            for at in done..upto {
                let change = keys.changes[at].clone();
                self.announce(keys, &change, served.as_ref().or(by));
                let mut whole = |db: usize| {
                    self.effects.each_waited(db, |key| {
                        others.push((db, KeyBytes::from_slice(key), keys.ks.place(key)));
                    });
                };
                match change {
                    Change::By(client) => served = Some(client),
                    Change::Key {
                        db,
                        key,
                        place,
                        event,
                    } => {
                        let is_new = event.class & class::NEW != 0;
                        if (is_new || event.concerns_waiters())
                            && self.effects.is_waited_for(place, db, &key)
                        {
                            let list = if is_new { &mut ready } else { &mut others };
                            list.push((db, key, place));
                        } else if event.concerns_claims()
                            && self.claims.any()
                            && self.effects.is_waited_for(place, db, &key)
                        {
                            claimed.push((db, key, place));
                        }
                    }
                    Change::Flushed(Some(db)) => whole(db),
                    Change::Flushed(None) => (0..keys.ks.databases()).for_each(whole),
                    Change::Swapped(a, b) => [a, b].into_iter().for_each(whole),
                    Change::Publish(..)
                    | Change::Read(_)
                    | Change::Shown(_)
                    | Change::Fields { .. } => {}
                }
            }
            done = upto;
            ready.append(&mut others);
            let mut seen = HashSet::new();
            for (db, key, place) in &ready {
                if seen.insert((db, key)) {
                    serve(self, keys, *db, (key, *place), Whom::All);
                }
            }
            for (db, key, place) in &claimed {
                if seen.insert((db, key)) {
                    serve(self, keys, *db, (key, *place), Whom::Claims);
                }
            }
        }
        self.tracking.broadcast(self, keys.changes, by);
        keys.changes.clear();
    }

    fn announce(&self, keys: &mut Keys<'_>, change: &Change, by: Option<&Arc<Client>>) {
        match change {
            Change::Key {
                db,
                key,
                place,
                event,
            } => {
                #[cfg(test)]
                self.effects
                    .recorded
                    .lock()
                    .push(format!("{} {}", event.name, key.escape_ascii()));
                if event.is_change() {
                    self.effects.touch(*place, *db, key, *event);
                    let by = crate::follow::tracking::author(*event, by);
                    self.tracking.changed(self, key, by);
                }
                self.pubsub.notify(self, *db, key, *event);
            }
            Change::Fields {
                db,
                key,
                event,
                fields,
            } => self.pubsub.notify_of_fields(self, *db, key, *event, fields),
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
        let dbs = db.map_or(0..keys.ks.databases(), |db| db..db + 1);
        for db in dbs {
            self.effects.each_watched(db, |key, watched| {
                if keys.expiry_in(db, key).is_some() && !std::mem::take(&mut watched.expired) {
                    watched.watch.dirty.store(true, Relaxed);
                }
            });
        }
    }
}
