//! Client-side caching: who keeps copies of which keys.
//!
//! A client that tracks is told to forget a key when it changes. In the default mode the keys are those it has read:
//! dispatch notes them in a table while it still holds the locks it read them under, so that no change can slip in between.
//! A key is forgotten here when its clients have been told. In broadcasting mode nothing is noted: the client is told of
//! every change of a key that begins with one of its prefixes.
//!
//! As in real servers the table knows keys by their names alone, whatever database they are in. It holds at most
//! `tracking-table-max-keys` of them; for each one beyond that another, chosen at random, is forgotten as if it had
//! changed.

use crate::base::class;
use crate::base::random::random_below;
use crate::client::clients::{Client, LISTED};
use crate::client::outbox::Message;
use crate::door::change::{Change, Event};
use crate::follow::Follow;
use crate::table::registry::Entry;
use parking_lot::{Mutex, RwLock};
use resp::{Out, Proto};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How a client tracks, as bits of [`Client::tracking`].
pub mod state {
    /// It tracks.
    pub const ON: u32 = 1;
    /// It is told of all keys with its prefixes.
    pub const BCAST: u32 = 1 << 1;
    /// Only keys read right after CLIENT CACHING YES are noted.
    pub const OPTIN: u32 = 1 << 2;
    /// Keys read right after CLIENT CACHING NO are not noted.
    pub const OPTOUT: u32 = 1 << 3;
    /// It is not told of its own changes.
    pub const NOLOOP: u32 = 1 << 4;
    /// It was to be told by way of a client that is gone.
    pub const BROKEN_REDIRECT: u32 = 1 << 5;
    /// CLIENT CACHING was given for the next command.
    pub const CACHING: u32 = 1 << 6;
}

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 64;

/// So many keys are not forgotten where a command waits for it.
const MANY: usize = 1 << 14;

/// The ids of clients, in ascending order.
type Ids = SmallVec<[u64; 2]>;

/// Part of the table. The slots stand in no order, so that one can be chosen at random.
#[derive(Default)]
struct Part {
    index: HashMap<Arc<[u8]>, usize>,
    slots: Vec<(Arc<[u8]>, Ids)>,
}

impl Part {
    /// Notes that a client has read a key: (key is new, client is new to it).
    fn add(&mut self, key: &[u8], id: u64) -> (bool, bool) {
        if let Some(&at) = self.index.get(key) {
            let ids = &mut self.slots[at].1;
            let place = ids.binary_search(&id);
            if let Err(place) = place {
                ids.insert(place, id);
            }
            return (false, place.is_err());
        }
        let key: Arc<[u8]> = key.into();
        self.index.insert(key.clone(), self.slots.len());
        self.slots.push((key, Ids::from_slice(&[id])));
        (true, true)
    }

    fn take(&mut self, key: &[u8]) -> Option<Ids> {
        let at = self.index.remove(key)?;
        Some(self.take_at(at).1)
    }

    fn take_any(&mut self) -> Option<(Arc<[u8]>, Ids)> {
        if self.slots.is_empty() {
            return None;
        }
        let at = random_below(self.slots.len() as u64) as usize;
        self.index.remove(&self.slots[at].0);
        Some(self.take_at(at))
    }

    /// Takes a slot whose key is no longer in the index.
    fn take_at(&mut self, at: usize) -> (Arc<[u8]>, Ids) {
        let slot = self.slots.swap_remove(at);
        if let Some((moved, _)) = self.slots.get(at) {
            self.index.insert(moved.clone(), at);
        }
        slot
    }
}

/// A key, and who was the last to change it.
type Changed<'a> = (&'a [u8], Option<&'a Arc<Client>>);

/// A client that tracks.
#[derive(Clone)]
struct Tracker {
    client: Arc<Client>,
    /// Who is told in its place.
    redirect: Option<Arc<Client>>,
}

impl Tracker {
    fn has(&self, bits: u32) -> bool {
        self.client.tracking.load(Relaxed) & bits != 0
    }

    fn is(&self, client: Option<&Arc<Client>>) -> bool {
        client.is_some_and(|c| c.id == self.client.id)
    }
}

/// Which clients keep copies of which keys.
pub struct Tracking {
    trackers: RwLock<HashMap<u64, Tracker>>,
    parts: Box<[Mutex<Part>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
    /// Bytes of the keys in the table.
    bytes: AtomicUsize,
    /// The trackers in broadcasting mode by prefix.
    broadcasts: RwLock<BTreeMap<Box<[u8]>, BTreeSet<u64>>>,
    prefixes: AtomicUsize,
}

impl Default for Tracking {
    fn default() -> Tracking {
        Tracking {
            trackers: RwLock::default(),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            broadcasts: RwLock::default(),
            prefixes: AtomicUsize::new(0),
        }
    }
}

/// Writes the message that tells a client to forget keys; None: everything.
fn write_invalidation(out: &mut Out, keys: Option<&[&[u8]]>) {
    if out.proto() == Proto::Resp3 {
        out.push(2);
        out.bulk(b"invalidate");
    } else {
        out.array(3);
        out.bulk(b"message");
        out.bulk(b"__redis__:invalidate");
    }
    match keys {
        None => out.null(),
        Some(keys) => {
            out.array(keys.len());
            keys.iter().for_each(|key| out.bulk(key));
        }
    }
}

impl Tracking {
    /// Number of clients that track.
    pub fn clients(&self) -> usize {
        self.trackers.read().len()
    }

    /// Number of keys in the table.
    pub fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// Number of (key, client) pairs in the table.
    pub fn items(&self) -> usize {
        self.items.load(Relaxed)
    }

    /// About how many bytes the table takes.
    pub fn memory(&self) -> usize {
        // A slot, its place in the index, and the key's own counts; an id, of which most keys have few, stands in the slot.
        const OF_KEY: usize =
            size_of::<(Arc<[u8]>, Ids)>() + size_of::<(Arc<[u8]>, usize)>() * 8 / 7 + 32;
        self.bytes.load(Relaxed) + self.keys() * OF_KEY + self.items() * size_of::<u64>()
    }

    /// Number of prefixes that clients are told of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.load(Relaxed)
    }

    fn part(&self, key: &[u8]) -> &Mutex<Part> {
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }

    /// Notes that a client has read a key, whose lock is held.
    pub(crate) fn remember(&self, follow: &Follow, key: &[u8], by: &Client) {
        let (new_key, new_item) = self.part(key).lock().add(key, by.id);
        self.items.fetch_add(usize::from(new_item), Relaxed);
        if !new_key {
            return;
        }
        self.bytes.fetch_add(key.len(), Relaxed);
        let keys = self.keys.fetch_add(1, Relaxed) + 1;
        let most = follow.config().live.tracking_table_max_keys.load(Relaxed);
        if most > 0 && keys > most {
            self.shrink(follow, most);
        }
    }

    /// Forgets what is too much by a limit that was lowered.
    pub(crate) fn heed_limit(&self, follow: &Follow) {
        let most = follow.config().live.tracking_table_max_keys.load(Relaxed);
        if most > 0 && self.keys() > most {
            self.shrink(follow, most);
        }
    }

    /// Forgets keys, chosen at random, until there are no more than `most`.
    #[cold]
    fn shrink(&self, follow: &Follow, most: usize) {
        let mut at = random_below(PARTS as u64) as usize;
        while self.keys() > most {
            let taken = self.parts[at].lock().take_any();
            if let Some((key, ids)) = taken {
                self.forgotten(follow, &key, &ids, None);
            }
            at = (at + 1) % PARTS;
        }
    }

    /// A key has changed: clients that keep a copy are told. `by`: who changed it, None for the server.
    pub(crate) fn changed(&self, follow: &Follow, key: &[u8], by: Option<&Arc<Client>>) {
        if self.keys() == 0 {
            return;
        }
        let taken = self.part(key).lock().take(key);
        if let Some(ids) = taken {
            self.forgotten(follow, key, &ids, by);
        }
    }

    /// Tells the clients of a key that was taken out of the table.
    fn forgotten(&self, follow: &Follow, key: &[u8], ids: &Ids, by: Option<&Arc<Client>>) {
        self.keys.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(key.len(), Relaxed);
        self.items.fetch_sub(ids.len(), Relaxed);
        let keys = [key];
        let mut message = Message::new(|out: &mut Out| write_invalidation(out, Some(&keys)));
        let trackers = self.trackers.read();
        for tracker in ids.iter().filter_map(|id| trackers.get(id)) {
            let own = tracker.has(state::NOLOOP) && tracker.is(by);
            if !tracker.has(state::BCAST) && !own {
                tell(follow, tracker, &mut message);
            }
        }
    }

    /// Tells the clients in broadcasting mode what a command, or a whole transaction or script, has changed.
    pub(crate) fn broadcast(&self, follow: &Follow, changes: &[Change], by: Option<&Arc<Client>>) {
        if self.prefixes() == 0 {
            return;
        }
        // Each key, and who was the last to change it.
        let mut all: BTreeMap<&[u8], Option<&Arc<Client>>> = BTreeMap::new();
        let mut by = by;
        for change in changes {
            match change {
                Change::By(client) => by = Some(client),
                Change::Key { key, event, .. } if event.is_change() => {
                    all.insert(key, author(*event, by));
                }
                _ => {}
            }
        }
        if all.is_empty() {
            return;
        }
        let broadcasts = self.broadcasts.read();
        let trackers = self.trackers.read();
        // A key's own beginnings are looked up among the prefixes if that is fewer looks than there are prefixes.
        let mut hit: BTreeMap<&[u8], Vec<Changed<'_>>> = BTreeMap::new();
        for (key, by) in &all {
            let mut add = |prefix| hit.entry(prefix).or_default().push((*key, *by));
            if key.len() < broadcasts.len() {
                let found = (0..=key.len()).filter_map(|n| broadcasts.get_key_value(&key[..n]));
                found.for_each(|(prefix, _)| add(&**prefix));
            } else {
                let found = broadcasts.keys().filter(|prefix| key.starts_with(prefix));
                found.for_each(|prefix| add(&**prefix));
            }
        }
        for (prefix, matching) in hit {
            let Some(ids) = broadcasts.get(prefix) else {
                continue;
            };
            let keys: Vec<&[u8]> = matching.iter().map(|(key, _)| *key).collect();
            let mut message = Message::new(|out: &mut Out| write_invalidation(out, Some(&keys)));
            for tracker in ids.iter().filter_map(|id| trackers.get(id)) {
                if !(tracker.has(state::NOLOOP) && matching.iter().any(|(_, by)| tracker.is(*by))) {
                    tell(follow, tracker, &mut message);
                    continue;
                }
                let others = matching.iter().filter(|(_, by)| !tracker.is(*by));
                let keys: Vec<&[u8]> = others.map(|(key, _)| *key).collect();
                if !keys.is_empty() {
                    let write = |out: &mut Out| write_invalidation(out, Some(&keys));
                    tell(follow, tracker, &mut Message::new(write));
                }
            }
        }
    }

    /// Keys are gone by the databaseful: clients are told to forget everything.
    pub(crate) fn flushed(&self, follow: &Follow) {
        let trackers = self.trackers.read();
        if trackers.is_empty() {
            return;
        }
        self.forget_all();
        let mut message = Message::new(|out: &mut Out| write_invalidation(out, None));
        for tracker in trackers.values() {
            tell(follow, tracker, &mut message);
        }
    }

    fn forget_all(&self) {
        let mut all: Vec<Part> = Vec::new();
        let mut keys = 0;
        for part in &self.parts {
            let taken = std::mem::take(&mut *part.lock());
            let items: usize = taken.slots.iter().map(|(_, ids)| ids.len()).sum();
            let bytes: usize = taken.slots.iter().map(|(key, _)| key.len()).sum();
            self.bytes.fetch_sub(bytes, Relaxed);
            self.keys.fetch_sub(taken.slots.len(), Relaxed);
            self.items.fetch_sub(items, Relaxed);
            keys += taken.slots.len();
            all.push(taken);
        }
        if keys >= MANY {
            // It takes milliseconds, which no command should wait for. Without a thread it is dropped here.
            let thread = std::thread::Builder::new().name("reclaim".into());
            let _ = thread.spawn(move || drop(all));
        }
    }

    /// The prefixes a client is told of.
    pub(crate) fn prefixes_of(&self, client: &Client) -> Vec<Box<[u8]>> {
        let broadcasts = self.broadcasts.read();
        let own = broadcasts
            .iter()
            .filter(|(_, ids)| ids.contains(&client.id));
        own.map(|(prefix, _)| prefix.clone()).collect()
    }
}

/// Gives a client, or the one that it redirects to, a message.
fn tell<W: Fn(&mut Out)>(follow: &Follow, tracker: &Tracker, message: &mut Message<W>) {
    let limits = &follow.config().live.output_limits;
    let client = &tracker.client;
    let Some(redirect) = &tracker.redirect else {
        if client.protocol() == Proto::Resp3 {
            message.send(client, limits);
        }
        return;
    };
    if redirect.is_gone() {
        client.tracking.fetch_or(state::BROKEN_REDIRECT, Relaxed);
        if client.protocol() == Proto::Resp3 {
            let broken = |out: &mut Out| {
                out.push(2);
                out.bulk(b"tracking-redir-broken");
                out.int(redirect.id as i64);
            };
            Message::new(broken).send(client, limits);
        }
        return;
    }
    if redirect.protocol() == Proto::Resp3 || redirect.subscribes() {
        message.send(redirect, limits);
    }
}

/// What CLIENT TRACKING ON asks for.
#[derive(Default)]
pub(crate) struct Wish<'a> {
    /// BCAST, OPTIN, OPTOUT, NOLOOP.
    pub bits: u32,
    pub redirect: Option<Arc<Client>>,
    pub prefixes: Vec<&'a [u8]>,
}

impl Follow {
    /// A client begins to track, or goes on in another way.
    pub(crate) fn begin_to_track(&self, client: &Arc<Client>, wish: Wish<'_>) {
        if client.tracking.load(Relaxed) == 0 {
            // Before it reads anything under a lock: whoever changes it afterwards says so.
            self.effects.listening.begin();
        }
        let bits = state::ON | wish.bits;
        client.tracking.store(bits, Relaxed);
        let target = wish.redirect.as_ref().map_or(0, |c| c.id);
        client.redirects_to.store(target, Relaxed);
        let tracker = Tracker {
            client: client.clone(),
            redirect: wish.redirect,
        };
        self.tracking.trackers.write().insert(client.id, tracker);
        if bits & state::BCAST == 0 {
            return;
        }
        let mut broadcasts = self.tracking.broadcasts.write();
        let all: &[&[u8]] = match wish.prefixes[..] {
            [] => &[b""],
            ref some => some,
        };
        for prefix in all {
            let ids = broadcasts.entry(Box::from(*prefix)).or_default();
            if ids.insert(client.id) {
                let bytes = LISTED + prefix.len();
                client.listed_bytes.fetch_add(bytes, Relaxed);
            }
        }
        self.tracking.prefixes.store(broadcasts.len(), Relaxed);
    }

    /// A client stops tracking.
    pub(crate) fn stop_to_track(&self, client: &Client) {
        let bits = client.tracking.swap(0, Relaxed);
        if bits == 0 {
            return;
        }
        client.redirects_to.store(0, Relaxed);
        if bits & state::BCAST != 0 {
            let mut broadcasts = self.tracking.broadcasts.write();
            broadcasts.retain(|prefix, ids| {
                if ids.remove(&client.id) {
                    let bytes = LISTED + prefix.len();
                    client.listed_bytes.fetch_sub(bytes, Relaxed);
                }
                !ids.is_empty()
            });
            self.tracking.prefixes.store(broadcasts.len(), Relaxed);
        }
        {
            let mut trackers = self.tracking.trackers.write();
            trackers.remove(&client.id);
            // With nobody to tell changes are not looked at, and what is noted here would be taken for what the next one has read. That one
            // waits for the lock.
            if trackers.is_empty() {
                self.tracking.forget_all();
            }
        }
        self.effects.listening.end();
    }
}

/// Calls `f` with every key whose value a command has shown to its client.
pub(crate) fn each_read<'a, H>(entry: &Entry<H>, argv: &[&'a [u8]], mut f: impl FnMut(&'a [u8])) {
    use crate::table::row::{READONLY, RUNS_SCRIPT};
    if entry.command.has(READONLY) && !entry.command.has(RUNS_SCRIPT) {
        crate::table::positions::each_key(entry, argv, |i, _| f(argv[i]));
    }
}

/// Who is to be thought to have changed a key: of what has expired, nobody.
pub(crate) fn author(event: Event, by: Option<&Arc<Client>>) -> Option<&Arc<Client>> {
    by.filter(|_| event.class != class::EXPIRED)
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    /// A client of RESP3 that tracks, and another.
    fn pair(options: &str) -> (TestClient, TestClient) {
        let mut a = TestClient::new().resp3();
        let b = a.another();
        a.check(&format!("CLIENT TRACKING ON {options}"), "OK");
        (a, b)
    }

    #[test]
    fn a_client_is_told_once_of_what_it_has_read() {
        let (mut a, mut b) = pair("");
        a.run("GET k; MGET k k2; TTL k3");
        b.run("SET other 1; SELECT 1; SET k 1; SET k 2");
        a.check_messages(r#">["invalidate" ["k"]]"#);
        b.run("MSET k2 1 k3 1");
        a.check_messages(r#">["invalidate" ["k2"]] >["invalidate" ["k3"]]"#);
        assert_eq!(a.engine.follow.tracking.keys(), 0);
        a.run("SET k 1; GET k; SET k 2");
        a.check_messages(r#">["invalidate" ["k"]]"#);
        a.run("GET k; CLIENT TRACKING OFF");
        b.run("SET k 1");
        a.check_messages("");
        assert!(!a.engine.follow.effects.listening());
    }

    #[test]
    fn expiry_and_flushes_count_as_changes() {
        let (mut a, mut b) = pair("NOLOOP");
        b.run("SET k v PXAT 1");
        a.run("GET k");
        b.run("SET k v EX 100");
        a.check_messages(r#">["invalidate" ["k"]]"#);
        a.run("GET k");
        b.run("PEXPIREAT k 1");
        a.check_messages(r#">["invalidate" ["k"]]"#);
        a.run("GET k; GET k2");
        b.run("FLUSHDB");
        a.check_messages(r#">["invalidate" nil]"#);
        assert_eq!(a.engine.follow.tracking.keys(), 0);
    }

    #[test]
    fn transactions_and_scripts_read_for_their_client() {
        let (mut a, mut b) = pair("");
        a.run("MULTI; SET k 1; GET k; EXEC");
        a.check_messages("");
        a.run("EVAL \"return redis.call('get', 'k2')\" 0");
        b.run("MULTI; SET k 1; SET k2 2; EXEC");
        a.check_messages(r#">["invalidate" ["k"]] >["invalidate" ["k2"]]"#);
        a.run("MULTI; GET k; SET k 1; EXEC");
        a.check_messages(r#">["invalidate" ["k"]]"#);
    }

    #[test]
    fn opting_in_and_out() {
        let (mut a, mut b) = pair("OPTIN");
        a.run("GET k; CLIENT CACHING YES; GET k2; GET k3");
        b.run("MSET k 1 k2 1 k3 1");
        a.check_messages(r#">["invalidate" ["k2"]]"#);
        a.run("CLIENT CACHING YES; MULTI; GET k; GET k2; EXEC; GET k3");
        b.run("MSET k 1 k2 1 k3 1");
        a.check_messages(r#">["invalidate" ["k"]] >["invalidate" ["k2"]]"#);
        // A command that fails uses it up.
        a.run("CLIENT CACHING YES; NOSUCH; GET k");
        b.run("SET k 1");
        a.check_messages("");
        a.run("CLIENT TRACKING OFF; CLIENT TRACKING ON OPTOUT; CLIENT CACHING NO; GET k; GET k2");
        b.run("MSET k 1 k2 1");
        a.check_messages(r#">["invalidate" ["k2"]]"#);
    }

    #[test]
    fn broadcasts_are_by_prefix() {
        let (mut a, mut b) = pair("BCAST PREFIX a PREFIX b");
        b.run("MSET b2 1 a 1 c 1 b1 1");
        a.check_messages(r#">["invalidate" ["a"]] >["invalidate" ["b1" "b2"]]"#);
        a.run("SET ax 1; GET ax");
        a.check_messages(r#">["invalidate" ["ax"]]"#);
        assert_eq!(a.engine.follow.tracking.prefixes(), 2);
        let mut c = a.another().resp3();
        c.run("CLIENT TRACKING ON BCAST NOLOOP");
        c.run("SET d 1");
        c.check_messages("");
        b.run("SET d 1");
        c.check_messages(r#">["invalidate" ["d"]]"#);
        drop(a);
        drop(c);
        assert_eq!(b.engine.follow.tracking.prefixes(), 0);
        assert!(!b.engine.follow.effects.listening());
    }

    #[test]
    fn prefixes_are_memory_of_who_is_told_of_them() {
        let mut a = TestClient::new().resp3();
        let memory = |a: &TestClient| a.session.client().memory();
        let before = memory(&a);
        let prefix = "p".repeat(1000);
        a.run(&format!("CLIENT TRACKING ON BCAST PREFIX {prefix}"));
        let one = memory(&a) - before;
        assert!((1000..1500).contains(&one), "{one}");
        a.run("CLIENT TRACKING ON BCAST PREFIX q");
        assert!(memory(&a) - before > one);
        a.run("CLIENT TRACKING OFF");
        assert_eq!(memory(&a), before);
    }

    #[test]
    fn messages_go_where_they_are_redirected() {
        let mut a = TestClient::new();
        let mut b = a.another();
        let mut target = a.another();
        target.run("SUBSCRIBE __redis__:invalidate");
        let id = target.session.client().id;
        a.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "OK");
        a.check("CLIENT GETREDIR", &id.to_string());
        a.run("GET k");
        b.run("SET k 1; FLUSHALL");
        target.check_messages(
            r#"["message" "__redis__:invalidate" ["k"]] ["message" "__redis__:invalidate" nil]"#,
        );
        a.run("HELLO 3; GET k");
        drop(target);
        b.run("SET k 1");
        a.check_messages(&format!(r#">["tracking-redir-broken" {id}]"#));
        assert!(a.run("CLIENT TRACKINGINFO").contains("broken_redirect"));
        assert!(a.run("CLIENT INFO").contains(" flags=tR "));
    }

    #[test]
    fn what_was_read_is_forgotten_with_the_last_who_tracks() {
        let (mut a, mut b) = pair("");
        let mut c = a.another().resp3();
        c.run("CLIENT TRACKING ON");
        a.run("GET k1; GET k2; GET k3");
        a.run("CLIENT TRACKING OFF");
        assert_eq!(a.engine.follow.tracking.keys(), 3);
        drop(c);
        let tracking = &b.engine.follow.tracking;
        assert_eq!((tracking.keys(), tracking.items()), (0, 0));
        assert_eq!(tracking.memory(), 0);
        // It has read none of them since.
        b.run("SET k1 1");
        a.run("CLIENT TRACKING ON");
        b.run("SET k2 1; SET k3 1");
        a.check_messages("");
    }

    /// Whoever has the reply to QUIT has left, though the connection is closed a moment later.
    #[test]
    fn who_has_quit_is_told_nothing() {
        let mut a = TestClient::new().resp3();
        let (mut b, mut target) = (a.another(), a.another());
        target.run("SUBSCRIBE __redis__:invalidate; SUBSCRIBE c");
        let id = target.session.client().id;
        a.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "OK");
        a.run("GET k");
        b.check("PUBLISH c m", "1");
        target.messages();
        target.check("QUIT", "OK");
        b.check("PUBLISH c m", "0");
        b.run("SET k 1");
        a.check_messages(&format!(r#">["tracking-redir-broken" {id}]"#));
        target.check_messages("");
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut a, mut b) = pair("");
        b.run("CONFIG SET tracking-table-max-keys 20");
        for i in 0..30 {
            a.run(&format!("GET k{i}"));
        }
        assert_eq!(a.engine.follow.tracking.keys(), 20);
        // The limit holds from when it is set.
        b.run("CONFIG SET tracking-table-max-keys 10");
        assert_eq!(a.engine.follow.tracking.keys(), 10);
        assert_eq!(a.engine.follow.tracking.items(), 10);
        let told = a.messages();
        assert_eq!(told.matches("invalidate").count(), 20);
        for i in 0..30 {
            b.run(&format!("SET k{i} 1"));
        }
        let mut told = told + &a.messages();
        assert_eq!(told.matches("invalidate").count(), 30);
        for i in (0..30).rev() {
            // Each key once.
            let key = format!("[\"k{i}\"]");
            assert_eq!(told.matches(&key).count(), 1);
            told = told.replace(&key, "");
        }
        assert_eq!(a.engine.follow.tracking.keys(), 0);
    }
}
