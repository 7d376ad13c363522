//! What the walk and those who change keys share: which keys are ahead of the walk, old versions on their way to the file, and the
//! observer that has them written first.

use super::collection::{Collection, Place};
use super::marks::{MARK, Mark, Marks};
use engine::{Engine, Pressure, WaitList};
use parking_lot::Mutex;
use rdb::encode::{self, Meta, Options};
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use store::table::position_of;
use store::{Blob, Dict, EntryRef, Object, Observer, Type, Value, Watcher};

/// What is written in which way. Tests make everything small.
pub(super) struct Sizes {
    /// Strings from this length on are written without the lock.
    pub(super) long: usize,
    /// Collections that take less memory are written at once.
    pub(super) large: usize,
    /// The most keys or elements that are looked at under one hold.
    pub(super) most: usize,
    /// Bytes that may be held back, beside a share of the data set.
    pub(super) bound: usize,
    /// Called between any two holds.
    #[cfg(test)]
    pub(super) between: Box<dyn Fn() + Send + Sync>,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            long: 4 << 10,
            large: 64 << 10,
            most: 4096,
            bound: 64 << 20,
            #[cfg(test)]
            between: Box::new(|| ()),
        }
    }
}

/// Strings up to this length are not compressed, or it takes no time.
const MAYBE_LONG: usize = 21;

/// Whether it is worth trying to compress strings: those of one data set are mostly alike, and where several in a row do not get
/// shorter, some are passed over before the next is tried, up to [`Worth::MOST`].
#[derive(Default)]
pub(super) struct Worth {
    in_vain: AtomicU32,
    pass: AtomicU32,
}

impl Worth {
    /// So many are passed over at most.
    const MOST: u32 = 64;

    /// Whether the next one is to be tried.
    fn is_tried(&self) -> bool {
        let left = self.pass.load(Relaxed);
        if left > 0 {
            self.pass.store(left - 1, Relaxed);
        }
        left == 0
    }

    /// One was tried.
    fn note(&self, shorter: bool) {
        let in_vain = match shorter {
            true => 0,
            false => self.in_vain.load(Relaxed).saturating_add(1),
        };
        self.in_vain.store(in_vain, Relaxed);
        self.pass.store((in_vain / 8).min(Worth::MOST), Relaxed);
    }
}

/// What the walk and those who change keys share of one dictionary. Only touched under the shard's lock.
pub(super) struct Ahead {
    /// The database that it is in.
    pub(super) db: usize,
    /// The dictionary itself, once nobody else wants it: it was flushed.
    pub(super) rest: Option<Dict>,
    /// Positions below this have been walked over.
    pub(super) position: u64,
    /// Keys ahead of the walk that it must pass over: their old versions are written, or they are new.
    pub(super) marked: Marks,
    /// Keys behind the walk that are still to be written: large collections.
    pub(super) pending: Marks,
    /// Nothing is left to be written, and nobody observes it for us any more.
    pub(super) ended: bool,
}

/// An old version on its way to the file.
pub(super) enum Old {
    /// Encoded entries.
    Encoded(Vec<u8>),
    /// A long string: key, what is written beside it, value.
    Long(Vec<u8>, Beside, Blob),
}

impl Old {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Old::Encoded(bytes) => bytes.len(),
            Old::Long(key, _, blob) => key.len() + blob.len(),
        }
    }
}

/// What is written beside a long string: when its key expires, and whether it is never to be evicted.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    pub(super) expiry_ms: Option<u64>,
    kept: bool,
}

impl Beside {
    pub(super) fn of(e: &EntryRef<'_>) -> Beside {
        Beside {
            expiry_ms: e.expiry_ms(),
            kept: e.is_kept(),
        }
    }
}

/// What all parts of one snapshot share.
pub struct Shared {
    pub(super) options: Options,
    hints: engine::Hints,
    pub(super) sizes: Sizes,
    /// Has changes wait while more than `bound_bytes` are held back.
    worth: Worth,
    pub(super) pressure: Arc<Pressure>,
    /// 5 % of the data set, and a fixed buffer.
    pub(crate) bound_bytes: usize,
    pub(super) hashes: [foldhash::fast::RandomState; 2],
    /// Old versions on their way to the file, with their databases.
    pub(super) old: Mutex<Vec<(u32, Old)>>,
    /// Large collections to be written next.
    pub(super) opened: Mutex<VecDeque<Arc<Collection>>>,
    /// Who writes waits here for a collection that is on its way to another place, or to be handed over.
    pub(super) moves: Arc<WaitList>,
    /// The data set was replaced: the snapshot cannot be completed.
    pub(super) aborted: AtomicBool,
    /// Why it cannot be completed, if trying again would not help.
    pub(super) failure: Mutex<Option<String>>,
    /// Keys written.
    pub keys: AtomicU64,
    /// Keys there were at the moment of the snapshot.
    pub total: AtomicU64,
    /// Keys whose old version had to be written by whoever changed them.
    pub(crate) old_keys: AtomicU64,
    /// The same of elements of large collections.
    pub(crate) old_elements: AtomicU64,
    /// Large collections that were written in stretches.
    pub collections: AtomicU64,
    /// Bytes held back at the moment: old versions, and marks.
    pub(crate) held_bytes: AtomicUsize,
    /// The most that was held back at a time.
    pub(crate) peak_bytes: AtomicUsize,
    /// The longest that a shard's lock was held to write, in nanoseconds.
    pub(crate) longest_hold_ns: AtomicU64,
}

impl Shared {
    pub(super) fn new(engine: &Engine, options: Options, sizes: Sizes) -> Shared {
        Shared {
            options,
            hints: engine.hints(),
            worth: Worth::default(),
            pressure: engine.pressure.clone(),
            bound_bytes: sizes.bound + engine.keyspace().bytes() / 20,
            sizes,
            hashes: Default::default(),
            old: Mutex::default(),
            opened: Mutex::default(),
            moves: Arc::default(),
            aborted: AtomicBool::new(false),
            failure: Mutex::default(),
            keys: AtomicU64::new(0),
            total: AtomicU64::new(0),
            old_keys: AtomicU64::new(0),
            old_elements: AtomicU64::new(0),
            collections: AtomicU64::new(0),
            held_bytes: AtomicUsize::new(0),
            peak_bytes: AtomicUsize::new(0),
            longest_hold_ns: AtomicU64::new(0),
        }
    }

    /// Gives the snapshot up.
    pub fn abort(&self) {
        self.aborted.store(true, Relaxed);
        self.moves.call();
        self.pressure.set(false);
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    /// Whether nothing is to be put off: the snapshot is given up, or somebody waits for what it holds back.
    pub(super) fn is_hurried(&self) -> bool {
        self.is_aborted() || self.pressure.any()
    }

    /// Gives the snapshot up because it could not be written another time either.
    pub(super) fn fail(&self, why: impl std::fmt::Display) {
        self.failure.lock().get_or_insert_with(|| why.to_string());
        self.abort();
    }

    /// What a snapshot that was given up is to be called.
    pub(super) fn failed(&self) -> Failed {
        match self.failure.lock().take() {
            Some(why) => Failed::Io(io::Error::other(why)),
            None => Failed::Aborted,
        }
    }

    pub(super) fn mark_of(&self, name: &[u8]) -> Mark {
        let [a, b] = &self.hashes;
        (a.hash_one(name), b.hash_one(name))
    }

    /// Counts bytes that are held back.
    pub(super) fn hold(&self, bytes: usize) {
        let now = self.held_bytes.fetch_add(bytes, Relaxed) + bytes;
        if now > self.peak_bytes.load(Relaxed) {
            self.peak_bytes.fetch_max(now, Relaxed);
        }
        if now > self.bound_bytes && !self.is_aborted() {
            self.pressure.set(true);
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        let now = self.held_bytes.fetch_sub(bytes, Relaxed) - bytes;
        // With some distance, so that those who wait find room for more than one change.
        if self.pressure.any() && now < self.bound_bytes / 8 * 7 {
            self.pressure.set(false);
        }
    }

    /// Appends an entry as the file has it.
    pub(super) fn encode(&self, e: &EntryRef<'_>, into: &mut Vec<u8>) {
        let (mut options, from) = (self.options, into.len());
        // Only short strings are so many that a try in vain counts.
        let text = match e.kind() {
            Type::String if options.compress => match e.value() {
                Value::Inline(text) => text.len(),
                Value::Blob(blob) => blob.len(),
                Value::Int(_) => 0,
            },
            _ => 0,
        };
        let judged = (MAYBE_LONG..self.sizes.long).contains(&text);
        options.compress &= !judged || self.worth.is_tried();
        let meta = Meta {
            key: e.key(),
            expiry_ms: e.expiry_ms(),
            hint: self.hints.of(e),
            kept: e.is_kept(),
        };
        match encode::entry(into, &meta, e, &options) {
            Ok(Some(_)) => {
                self.keys.fetch_add(1, Relaxed);
            }
            // A hash whose fields have all expired.
            Ok(None) => {}
            // A hash with fields that expire, in a version that has no form for them.
            Err(unwritable) => self.fail(unwritable),
        }
        if judged && options.compress {
            self.worth.note(into.len() - from < e.key().len() + text);
        }
    }

    /// Appends a long string as the file has it.
    pub(super) fn encode_long(&self, key: &[u8], beside: Beside, text: &[u8], into: &mut Vec<u8>) {
        let meta = Meta {
            key,
            expiry_ms: beside.expiry_ms,
            hint: None,
            kept: beside.kept,
        };
        encode::string_entry(into, &meta, text, &self.options);
        self.keys.fetch_add(1, Relaxed);
    }

    /// The value of a string that is written without the lock.
    pub(super) fn long<'a>(&self, e: &EntryRef<'a>) -> Option<&'a Blob> {
        if e.kind() != Type::String {
            return None;
        }
        match e.value() {
            Value::Blob(blob) if blob.len() >= self.sizes.long => Some(blob),
            _ => None,
        }
    }

    /// Whether a collection is written in stretches.
    pub(super) fn is_large(&self, e: &EntryRef<'_>) -> bool {
        let object = e.own_object();
        object.is_some_and(|o| o.is_watchable() && o.memory() >= self.sizes.large)
    }

    /// No lock is held.
    pub(super) fn between(&self) {
        #[cfg(test)]
        (self.sizes.between)();
    }

    /// Has an old version written.
    pub(super) fn save(&self, db: u32, old: EntryRef<'_>) {
        self.old_keys.fetch_add(1, Relaxed);
        if let Some(blob) = self.long(&old) {
            let old = Old::Long(old.key().to_vec(), Beside::of(&old), blob.clone());
            self.hold(old.bytes());
            self.old.lock().push((db, old));
            return;
        }
        let mut waiting = self.old.lock();
        let bytes = match waiting.last_mut() {
            Some((of, Old::Encoded(last))) if *of == db && last.len() < 64 << 10 => {
                let before = last.len();
                self.encode(&old, last);
                last.len() - before
            }
            _ => {
                let mut bytes = Vec::new();
                self.encode(&old, &mut bytes);
                let len = bytes.len();
                waiting.push((db, Old::Encoded(bytes)));
                len
            }
        };
        self.hold(bytes);
    }

    /// Opens a large collection, to be written next; returns who is to watch it. `db`: where it was at the snapshot's moment, `now`:
    /// where it is.
    pub(super) fn open(
        self: &Arc<Shared>,
        db: u32,
        now: usize,
        hash: u64,
        e: EntryRef<'_>,
    ) -> Option<Box<dyn Watcher>> {
        let place = || Place {
            db: now,
            hash,
            key: e.key().to_vec(),
        };
        let (collection, watcher) = Collection::open(self, place, db, e)?;
        self.opened.lock().push_back(collection);
        self.collections.fetch_add(1, Relaxed);
        Some(watcher)
    }
}

/// Saves what is about to be lost.
pub(super) struct Saver {
    pub(super) db: u32,
    pub(super) shared: Arc<Shared>,
    pub(super) ahead: Arc<Mutex<Ahead>>,
}

impl Observer for Saver {
    fn before_change(&mut self, hash: u64, old: EntryRef<'_>) -> Option<Box<dyn Watcher>> {
        if self.shared.is_aborted() {
            return None;
        }
        let mut ahead = self.ahead.lock();
        if position_of(hash) < ahead.position {
            if ahead.pending.is_empty() || !ahead.pending.remove(self.shared.mark_of(old.key())) {
                return None;
            }
        } else if !ahead.marked.insert(self.shared.mark_of(old.key())) {
            return None;
        } else {
            self.shared.hold(MARK);
        }
        if self.shared.is_large(&old) {
            return self.shared.open(self.db, ahead.db, hash, old);
        }
        self.shared.save(self.db, old);
        None
    }

    fn before_insert(&mut self, hash: u64, key: &[u8]) {
        let mut ahead = self.ahead.lock();
        if position_of(hash) >= ahead.position
            && !self.shared.is_aborted()
            && ahead.marked.insert(self.shared.mark_of(key))
        {
            self.shared.hold(MARK);
        }
    }

    fn moved(&mut self, db: usize) {
        self.ahead.lock().db = db;
    }

    fn take(self: Box<Self>, mut rest: Dict) -> Option<Dict> {
        let mut ahead = self.ahead.lock();
        if ahead.ended || self.shared.is_aborted() {
            return Some(rest);
        }
        // Collections that are open are written by themselves.
        let opened: Vec<Arc<Collection>> = self.shared.opened.lock().iter().cloned().collect();
        for collection in opened {
            let Place { hash, key, .. } = collection.place();
            if watched(&mut rest, &collection).is_some()
                && let Some(found) = rest.find(hash, &key)
            {
                // Dropping it hands it over.
                drop(found.change().remove());
            }
        }
        ahead.rest = Some(rest);
        None
    }
}

/// The collection itself, if it is in this dictionary.
pub(super) fn watched<'a>(dict: &'a mut Dict, collection: &Collection) -> Option<&'a mut Object> {
    let Place { hash, key, .. } = collection.place();
    let object = dict.object_to_watch(hash, &key);
    object.filter(|object| object.watcher() == Some(collection.id()))
}

/// Why a snapshot was not written.
#[derive(Debug)]
pub enum Failed {
    /// The data set was replaced meanwhile, or the snapshot was given up.
    Aborted,
    /// The disk, or there is no form for something in this version.
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::Worth;

    /// How many of `n` are tried if each (or none) gets shorter.
    fn tried(worth: &Worth, n: usize, shorter: bool) -> usize {
        let trial = || {
            let tried = worth.is_tried();
            if tried {
                worth.note(shorter);
            }
            tried
        };
        (0..n).filter(|_| trial()).count()
    }

    #[test]
    fn what_gets_no_shorter_is_hardly_tried() {
        let worth = Worth::default();
        assert_eq!(tried(&worth, 1000, true), 1000);
        assert_eq!(tried(&worth, 8, false), 8);
        let many = tried(&worth, 100_000, false);
        assert!((1500..2500).contains(&many), "{many}");
        // It is soon seen that it pays again.
        assert!(tried(&worth, 1000, true) >= 1000 - Worth::MOST as usize);
    }
}
