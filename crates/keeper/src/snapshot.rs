//! A snapshot of one moment, written while everything goes on.
//!
//! With the locks of all shards held for an instant, every dictionary that has keys gets an [`Observer`](store::Observer): that is the moment,
//! and no transaction or script is half in it. From then on one thread walks the dictionaries, some keys under one short
//! hold of their shard's lock, and writes what it finds. Whoever changes a key that the walk has not come to yet has its old
//! version written first, by the observer, under the lock it holds anyway; a key that is new is marked, so that the walk
//! passes over it. Positions in a table follow the hashes of keys, whatever becomes of its shape, so whether the walk has come
//! to a key is one comparison.
//!
//! A large collection is not written at once, neither by the walk nor by who changes it: it is opened, and written a stretch at a
//! time ([`collection`]). Since a file holds values one after the other, what else is to be written waits for its end. Large
//! strings are shared by reference, and encoded without any lock.
//!
//! A database that changes places with another one is found where it is; one that is flushed is handed over, like a large collection that
//! is deleted, and the rest of it is written without any lock.
//!
//! What this costs: some 28 bytes for a key, or an element of a large collection, that changes ahead of the walk, until its dictionary
//! or collection is written; and old versions on their way to the file. Nothing else is copied, and nothing forks.

mod collection;
mod marks;
mod shared;
#[cfg(test)]
mod tests;

pub use shared::{Failed, Shared};

use crate::delay::Delay;
use collection::Collection;
use engine::{Engine, ShortTurn};
use marks::{MARK, Marks};
use parking_lot::Mutex;
use rdb::encode::Options;
use rdb::file::Writer;
use shared::{Ahead, Beside, Old, Saver, Sizes, watched};
use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use store::{Blob, Object, Shard};

/// How long a hold of a shard's lock is to be.
const HOLD: Duration = Duration::from_micros(80);

/// A dictionary to be written.
struct Part {
    shard: usize,
    db: usize,
    keys: u64,
    expiring: u64,
    ahead: Arc<Mutex<Ahead>>,
}

impl Part {
    /// Its database was flushed, and what was in it is here.
    fn is_flushed(&self) -> bool {
        self.ahead.lock().rest.is_some()
    }
}

/// How much is done under one hold of a lock, so that it takes about [`HOLD`].
struct Pace {
    want: usize,
}

impl Pace {
    fn new(want: usize) -> Pace {
        Pace { want }
    }

    /// A hold that began then is over.
    fn over(&mut self, began: Instant, shared: &Shared) {
        let took = began.elapsed();
        let ns = took.as_nanos() as u64;
        if ns > shared.longest_hold_ns.load(Relaxed) {
            shared.longest_hold_ns.fetch_max(ns, Relaxed);
        }
        if took > HOLD {
            self.want /= 2;
        } else if took < HOLD / 3 {
            self.want *= 2;
        }
        self.want = self.want.clamp(1, shared.sizes.most);
    }
}

/// The moment has been taken; what there was then is to be written.
pub struct Snapshot {
    shared: Arc<Shared>,
    parts: Vec<Part>,
    functions: Vec<Vec<u8>>,
}

/// The file, and which database was selected in it last.
struct File<W> {
    out: Writer<W>,
    selected: Option<u32>,
    announced: HashSet<usize>,
    delay: Option<Delay>,
}

impl<W: Write> File<W> {
    fn select(&mut self, db: u32) -> io::Result<()> {
        if self.selected != Some(db) {
            self.out.select(db)?;
            self.selected = Some(db);
        }
        Ok(())
    }
}

impl Snapshot {
    /// Takes the moment. `at` is called with all locks held, for what has to happen at that very moment.
    pub fn take<R>(
        engine: &Engine,
        options: Options,
        at: impl FnOnce(&Arc<Shared>) -> R,
    ) -> (Snapshot, R) {
        Snapshot::take_with(engine, options, Sizes::default(), at)
    }

    fn take_with<R>(
        engine: &Engine,
        options: Options,
        sizes: Sizes,
        at: impl FnOnce(&Arc<Shared>) -> R,
    ) -> (Snapshot, R) {
        let ks = engine.keyspace();
        let shared = Arc::new(Shared::new(engine, options, sizes));
        // A script or another long command is waited for without any lock.
        let mut held = ks.lock_all();
        let mut parts = Vec::new();
        for shard in 0..ks.shards() {
            let Some(guard) = held.get_mut(shard) else {
                continue;
            };
            for db in 0..ks.databases() {
                if guard.db_ref(db).is_empty() {
                    continue;
                }
                let dict = guard.db(db);
                let ahead = Arc::new(Mutex::new(Ahead {
                    db,
                    rest: None,
                    position: 0,
                    marked: Marks::default(),
                    pending: Marks::default(),
                    ended: false,
                }));
                dict.observe(Some(Box::new(Saver {
                    db: db as u32,
                    shared: shared.clone(),
                    ahead: ahead.clone(),
                })));
                parts.push(Part {
                    shard,
                    db,
                    keys: dict.len() as u64,
                    expiring: dict.expiring() as u64,
                    ahead,
                });
            }
        }
        for shard in 0..ks.shards() {
            let unwritten = parts.iter().any(|part: &Part| part.shard == shard);
            engine.pressure.set_shard(shard, unwritten);
        }
        let functions = engine.function_sources();
        let result = at(&shared);
        drop(held);
        shared
            .total
            .store(parts.iter().map(|part| part.keys).sum(), Relaxed);
        parts.sort_by_key(|part| (part.db, part.shard));
        let snapshot = Snapshot {
            shared,
            parts,
            functions,
        };
        (snapshot, result)
    }

    /// The file is to have no libraries of functions in it.
    pub(crate) fn leave_out_functions(&mut self) {
        self.functions.clear();
    }

    /// The file is to have no keys in it.
    pub(crate) fn leave_out_keys(&mut self, engine: &Engine) {
        self.take_off_observers(engine);
        self.parts.clear();
    }

    /// It is not going to be written.
    pub(crate) fn give_up(self, engine: &Engine) {
        self.let_go(engine);
    }

    /// What is to be known of it while it is written.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Writes what there was. `aux` are the fields at the head of the file.
    pub fn write<W: Write>(
        self,
        engine: &Engine,
        out: Writer<W>,
        aux: &[(&str, String)],
    ) -> Result<W, Failed> {
        let mut file = File {
            out,
            selected: None,
            announced: HashSet::new(),
            delay: Delay::of(engine, "rdb-key-save-delay"),
        };
        let written = self.write_parts(engine, &mut file, aux);
        self.let_go(engine);
        written?;
        Ok(file.out.finish()?.0)
    }

    fn write_parts<W: Write>(
        &self,
        engine: &Engine,
        file: &mut File<W>,
        aux: &[(&str, String)],
    ) -> Result<(), Failed> {
        for (name, value) in aux {
            file.out.aux(name, value.as_bytes())?;
        }
        for source in &self.functions {
            file.out.function(source, self.shared.options.compress)?;
        }
        for (at, part) in self.parts.iter().enumerate() {
            self.write_part(engine, file, part)?;
            if !self.parts[at + 1..].iter().any(|p| p.shard == part.shard) {
                engine.pressure.set_shard(part.shard, false);
            }
        }
        self.write_waiting(engine, file)?;
        if self.shared.is_aborted() {
            return Err(self.shared.failed());
        }
        Ok(())
    }

    /// Writes what there is of a dictionary, and what waits meanwhile.
    fn write_part<W: Write>(
        &self,
        engine: &Engine,
        file: &mut File<W>,
        part: &Part,
    ) -> Result<(), Failed> {
        let ks = engine.keyspace();
        let shared = &self.shared;
        let mut found: Vec<u8> = Vec::new();
        let mut blobs: Vec<(Vec<u8>, Beside, Blob)> = Vec::new();
        let mut large: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut pace = Pace::new(64.min(shared.sizes.most));
        let mut position = Some(0);
        while let Some(from) = position {
            self.write_waiting(engine, file)?;
            found.clear();
            let mut keys = 0;
            if file.delay.is_some() {
                pace.want = 1;
            }
            {
                let _turn = ShortTurn::begin();
                // What was flushed nobody else looks at.
                let mut shard = (!part.is_flushed()).then(|| ks.lock(part.shard));
                let began = Instant::now();
                if shared.is_aborted() {
                    return Err(shared.failed());
                }
                let mut ahead = part.ahead.lock();
                let Ahead {
                    db,
                    rest,
                    marked,
                    pending,
                    ..
                } = &mut *ahead;
                let dict = match (rest, &mut shard) {
                    (Some(rest), _) => rest,
                    (None, Some(shard)) => shard.db(*db),
                    (None, None) => return Err(Failed::Aborted),
                };
                position = dict.step_from(from, pace.want, |_, e| {
                    if !marked.is_empty() && marked.contains(shared.mark_of(e.key())) {
                        return;
                    }
                    keys += 1;
                    if shared.is_large(&e) {
                        pending.insert(shared.mark_of(e.key()));
                        large.push((ks.place(e.key()).hash(), e.key().to_vec()));
                    } else if let Some(blob) = shared.long(&e) {
                        blobs.push((e.key().to_vec(), Beside::of(&e), blob.clone()));
                    } else {
                        shared.encode(&e, &mut found);
                    }
                });
                ahead.position = position.unwrap_or(u64::MAX);
                drop(ahead);
                pace.over(began, shared);
            }
            shared.between();
            for (key, beside, blob) in blobs.drain(..) {
                shared.encode_long(&key, beside, &blob, &mut found);
            }
            if (!found.is_empty() || !large.is_empty()) && file.announced.insert(part.db) {
                let of_db = self.parts.iter().filter(|p| p.db == part.db);
                let (keys, expiring) = of_db.fold((0, 0), |(k, e), p| (k + p.keys, e + p.expiring));
                file.out.select(part.db as u32)?;
                file.out.resize(keys, expiring)?;
                file.selected = Some(part.db as u32);
            }
            if !found.is_empty() {
                file.select(part.db as u32)?;
                file.out.encoded(&found)?;
            }
            if let Some(delay) = &mut file.delay {
                delay.wait(keys, || shared.is_hurried());
            }
            for (hash, key) in large.drain(..) {
                shared.between();
                self.open(engine, part, hash, &key);
                self.write_waiting(engine, file)?;
            }
        }
        let mut shard = ks.lock(part.shard);
        if shared.is_aborted() {
            return Err(shared.failed());
        }
        let mut ahead = part.ahead.lock();
        shared.release(ahead.marked.len() * MARK);
        ahead.marked = Marks::default();
        ahead.ended = true;
        let (db, rest) = (ahead.db, ahead.rest.take());
        drop(ahead);
        if rest.is_none() {
            shard.db(db).observe(None);
        }
        drop(shard);
        drop(rest);
        Ok(())
    }

    /// Opens a large collection that the walk has met, unless it is open by now.
    fn open(&self, engine: &Engine, part: &Part, hash: u64, key: &[u8]) {
        let mut shard = engine.keyspace().lock(part.shard);
        let mut ahead = part.ahead.lock();
        let Ahead {
            db, rest, pending, ..
        } = &mut *ahead;
        if self.shared.is_aborted() || !pending.remove(self.shared.mark_of(key)) {
            return;
        }
        let flushed = rest.is_some();
        let dict = match rest {
            Some(rest) => rest,
            None => shard.db(*db),
        };
        // Nobody has changed it, so it is there.
        if let Some(e) = dict.get(hash, key)
            && let Some(watcher) = self.shared.open(part.db as u32, *db, hash, e)
            && let Some(object) = dict.object_to_watch(hash, key)
        {
            object.watch(watcher);
            if flushed && let Some(found) = dict.find(hash, key) {
                // Dropping it hands it over.
                drop(found.change().remove());
            }
        }
    }

    /// Writes what has gathered: old versions, and large collections that are open.
    fn write_waiting<W: Write>(&self, engine: &Engine, file: &mut File<W>) -> Result<(), Failed> {
        loop {
            self.write_old(file)?;
            // It stays in the list until it is written, so that it is let go whatever happens.
            let Some(next) = self.shared.opened.lock().front().cloned() else {
                return Ok(());
            };
            self.write_collection(engine, file, &next)?;
            self.shared.opened.lock().pop_front();
        }
    }

    /// Writes old versions that have gathered.
    fn write_old<W: Write>(&self, file: &mut File<W>) -> Result<(), Failed> {
        let waiting = std::mem::take(&mut *self.shared.old.lock());
        let (keys, mut encoded) = (waiting.len(), Vec::new());
        for (db, old) in waiting {
            file.select(db)?;
            match &old {
                Old::Encoded(bytes) => file.out.encoded(bytes)?,
                Old::Long(key, beside, blob) => {
                    encoded.clear();
                    (self.shared).encode_long(key, *beside, blob, &mut encoded);
                    file.out.encoded(&encoded)?;
                }
            }
            self.shared.release(old.bytes());
        }
        if let Some(delay) = &mut file.delay {
            delay.wait(keys, || self.shared.is_hurried());
        }
        Ok(())
    }

    /// Writes a large collection, a stretch under one hold of the lock.
    fn write_collection<W: Write>(
        &self,
        engine: &Engine,
        file: &mut File<W>,
        collection: &Collection,
    ) -> Result<(), Failed> {
        let ks = engine.keyspace();
        let shared = &self.shared;
        let mut pace = Pace::new(256.min(shared.sizes.most));
        let mut rest = None;
        let mut ended = false;
        file.select(collection.db)?;
        while !ended {
            let seen = shared.moves.seen();
            if shared.is_aborted() {
                return Err(shared.failed());
            }
            rest = rest.or_else(|| collection.take_rest());
            if let Some(object) = &mut rest {
                ended = collection.stretch(object, shared.sizes.most.min(1024));
            } else {
                let _turn = ShortTurn::begin();
                let mut shard = ks.lock(ks.place_of(collection.place().hash).shard());
                let began = Instant::now();
                match find_watched(&mut shard, collection) {
                    Some(object) => {
                        ended = collection.stretch(object, pace.want);
                        if ended {
                            object.unwatch();
                        }
                        drop(shard);
                        pace.over(began, shared);
                    }
                    // It is on its way to another place, or to be handed over.
                    None => {
                        drop(shard);
                        shared.moves.sleep_for(seen, Duration::from_secs(1));
                    }
                }
            }
            for bytes in collection.take_out() {
                file.out.encoded(&bytes)?;
            }
            shared.between();
        }
        shared.keys.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Takes off the observers that are left.
    fn let_go(&self, engine: &Engine) {
        self.shared.abort();
        self.take_off_observers(engine);
    }

    fn take_off_observers(&self, engine: &Engine) {
        let ks = engine.keyspace();
        for part in &self.parts {
            let mut shard = ks.lock(part.shard);
            let mut ahead = part.ahead.lock();
            let (db, rest) = (ahead.db, ahead.rest.take());
            // One that went along with an exchanged data set tells nobody any more, and goes with the next snapshot.
            if !ahead.ended && rest.is_none() {
                drop(ahead);
                shard.db(db).observe(None);
            }
            drop(shard);
            drop(rest);
        }
        for collection in std::mem::take(&mut *self.shared.opened.lock()) {
            let mut shard = ks.lock(ks.place_of(collection.place().hash).shard());
            if let Some(object) = find_watched(&mut shard, &collection) {
                object.unwatch();
            }
        }
    }
}

/// An open collection in its shard; its database may have changed places with another one.
fn find_watched<'a>(shard: &'a mut Shard, collection: &Collection) -> Option<&'a mut Object> {
    let expected = collection.place().db;
    let is_there = |shard: &mut Shard, db| {
        !shard.db_ref(db).is_empty() && watched(shard.db(db), collection).is_some()
    };
    let db = match is_there(shard, expected) {
        true => expected,
        false => (0..shard.databases()).find(|db| is_there(shard, *db))?,
    };
    watched(shard.db(db), collection)
}
