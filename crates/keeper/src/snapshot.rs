//! A snapshot of one moment, written while everything goes on.
//!
//! With the locks of all shards held for an instant, every dictionary that has keys gets an [`Observer`]: that is the moment,
//! and no transaction or script is half in it. From then on one thread walks the dictionaries, a segment of a table under one
//! hold of its shard's lock, and writes what it finds. Whoever changes a key that the walk has not come to yet has its old
//! version written first, by the observer, under the lock it holds anyway; a key that is new is marked, so that the walk
//! passes over it. Positions in a table follow the hashes of keys, whatever becomes of its shape, so whether the walk has come
//! to a key is one comparison.
//!
//! What this costs: 16 bytes and a place in a set for a key that changes ahead of the walk, until its dictionary is written.
//! Nothing is copied but old versions on their way to the file, and nothing forks.
//!
//! A large collection is written under one hold of its shard's lock.

use engine::Engine;
use parking_lot::Mutex;
use rdb::encode::{self, Meta, Options};
use rdb::file::Writer;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use store::table::position_of;
use store::{EntryRef, Observer};

/// How long the locks of all shards are waited for at a time, so that nobody waits long for what is held meanwhile.
const PATIENCE: Duration = Duration::from_millis(1);

/// What tells a key among those of a dictionary: its hash, and another.
type Mark = (u64, u64);

/// What the walk and those who change keys share of one dictionary. Only touched under the shard's lock.
struct Ahead {
    /// Positions below this have been written.
    position: u64,
    /// Keys ahead of the walk that it must pass over: their old versions are written, or they are new.
    marked: HashSet<Mark, foldhash::fast::RandomState>,
}

/// What all parts of one snapshot share.
pub struct Shared {
    options: Options,
    other_hash: foldhash::fast::RandomState,
    /// Old versions on their way to the file: (database, encoded entries).
    old: Mutex<Vec<(u32, Vec<u8>)>>,
    /// The data set was replaced: the snapshot cannot be completed.
    aborted: AtomicBool,
    /// Keys written.
    pub keys: AtomicU64,
    /// Keys there were at the moment of the snapshot.
    pub total: AtomicU64,
    /// Keys whose old version had to be written by whoever changed them.
    pub old_keys: AtomicU64,
    /// The most bytes of old versions that waited at a time.
    pub peak_bytes: AtomicUsize,
}

impl Shared {
    /// Gives the snapshot up.
    pub fn abort(&self) {
        self.aborted.store(true, Relaxed);
    }

    fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    fn mark(&self, hash: u64, key: &[u8]) -> Mark {
        (hash, self.other_hash.hash_one(key))
    }

    /// Appends an entry as the file has it.
    fn encode(&self, e: &EntryRef<'_>, into: &mut Vec<u8>) {
        let meta = Meta {
            key: e.key(),
            expiry_ms: e.expiry_ms(),
            hint: None,
        };
        match encode::entry(into, &meta, e, &self.options) {
            Ok(Some(_)) => {
                self.keys.fetch_add(1, Relaxed);
            }
            // A hash whose fields have all expired.
            Ok(None) => {}
            // A hash with fields that expire, in a version that has no form for them.
            Err(_) => self.abort(),
        }
    }
}

/// Saves what is about to be lost.
struct Saver {
    db: u32,
    shared: Arc<Shared>,
    ahead: Arc<Mutex<Ahead>>,
}

impl Observer for Saver {
    fn before_change(&mut self, hash: u64, old: EntryRef<'_>) {
        let mut ahead = self.ahead.lock();
        if position_of(hash) < ahead.position || self.shared.is_aborted() {
            return;
        }
        if ahead.marked.insert(self.shared.mark(hash, old.key())) {
            let mut bytes = Vec::new();
            self.shared.encode(&old, &mut bytes);
            self.shared.old_keys.fetch_add(1, Relaxed);
            let mut waiting = self.shared.old.lock();
            match waiting.last_mut() {
                Some((db, last)) if *db == self.db && last.len() < 64 << 10 => {
                    last.extend_from_slice(&bytes);
                }
                _ => waiting.push((self.db, bytes)),
            }
            let total: usize = waiting.iter().map(|(_, bytes)| bytes.len()).sum();
            self.shared.peak_bytes.fetch_max(total, Relaxed);
        }
    }

    fn before_insert(&mut self, hash: u64, key: &[u8]) {
        let mut ahead = self.ahead.lock();
        if position_of(hash) >= ahead.position && !self.shared.is_aborted() {
            ahead.marked.insert(self.shared.mark(hash, key));
        }
    }
}

/// A dictionary to be written.
struct Part {
    shard: usize,
    db: usize,
    keys: u64,
    expiring: u64,
    ahead: Arc<Mutex<Ahead>>,
}

/// The moment has been taken; what there was then is to be written.
pub struct Snapshot {
    shared: Arc<Shared>,
    parts: Vec<Part>,
    functions: Vec<Vec<u8>>,
}

/// Why a snapshot was not written.
#[derive(Debug)]
pub enum Failed {
    /// The data set was replaced meanwhile, or the snapshot was given up.
    Aborted,
    /// The disk.
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

impl Snapshot {
    /// Takes the moment. `at` is called with all locks held, for what has to happen at that very moment.
    pub fn take<R>(engine: &Engine, options: Options, at: impl FnOnce() -> R) -> (Snapshot, R) {
        let ks = engine.keyspace();
        let shared = Arc::new(Shared {
            options,
            other_hash: foldhash::fast::RandomState::default(),
            old: Mutex::default(),
            aborted: AtomicBool::new(false),
            keys: AtomicU64::new(0),
            total: AtomicU64::new(0),
            old_keys: AtomicU64::new(0),
            peak_bytes: AtomicUsize::new(0),
        });
        let mut held = loop {
            let mut all = (0..ks.shards()).collect();
            match ks.lock_many_for(&mut all, Some(PATIENCE)) {
                Some(held) => break held,
                // A script or another long command: it is waited for without any lock.
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut parts = Vec::new();
        for shard in 0..ks.shards() {
            let Some(guard) = held.get_mut(shard) else {
                continue;
            };
            for db in 0..ks.databases() {
                let dict = guard.db(db);
                if dict.is_empty() {
                    continue;
                }
                let ahead = Arc::new(Mutex::new(Ahead {
                    position: 0,
                    marked: HashSet::default(),
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
        let functions = engine.function_sources();
        let result = at();
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

    /// What is to be known of it while it is written.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Writes what there was. `aux` are the fields at the head of the file.
    pub fn write<W: Write>(
        self,
        engine: &Engine,
        mut out: Writer<W>,
        aux: &[(&str, String)],
    ) -> Result<W, Failed> {
        let written = self.write_parts(engine, &mut out, aux);
        self.let_go(engine);
        written?;
        Ok(out.finish()?.0)
    }

    fn write_parts<W: Write>(
        &self,
        engine: &Engine,
        out: &mut Writer<W>,
        aux: &[(&str, String)],
    ) -> Result<(), Failed> {
        for (name, value) in aux {
            out.aux(name, value.as_bytes())?;
        }
        for source in &self.functions {
            out.function(source, self.shared.options.compress)?;
        }
        let ks = engine.keyspace();
        let mut selected = None;
        let mut announced = HashSet::new();
        let mut found: Vec<u8> = Vec::new();
        for part in &self.parts {
            let mut position = Some(0);
            while let Some(from) = position {
                self.write_old(out, &mut selected)?;
                found.clear();
                {
                    let mut shard = ks.lock(part.shard);
                    if self.shared.is_aborted() {
                        return Err(Failed::Aborted);
                    }
                    let dict = shard.db(part.db);
                    let mut ahead = part.ahead.lock();
                    position = dict.visit_from(from, |_, e| {
                        let passed = !ahead.marked.is_empty() && {
                            let hash = ks.hash(e.key());
                            ahead.marked.contains(&self.shared.mark(hash, e.key()))
                        };
                        if !passed {
                            self.shared.encode(&e, &mut found);
                        }
                    });
                    ahead.position = position.unwrap_or(u64::MAX);
                    if position.is_none() {
                        ahead.marked = HashSet::default();
                        drop(ahead);
                        dict.observe(None);
                    }
                }
                if found.is_empty() {
                    continue;
                }
                if announced.insert(part.db) {
                    let of_db = self.parts.iter().filter(|p| p.db == part.db);
                    let (keys, expiring) =
                        of_db.fold((0, 0), |(k, e), p| (k + p.keys, e + p.expiring));
                    out.select(part.db as u32)?;
                    out.resize(keys, expiring)?;
                    selected = Some(part.db as u32);
                }
                select(out, &mut selected, part.db as u32)?;
                out.encoded(&found)?;
            }
        }
        self.write_old(out, &mut selected)?;
        if self.shared.is_aborted() {
            return Err(Failed::Aborted);
        }
        Ok(())
    }

    /// Writes old versions that have gathered.
    fn write_old<W: Write>(
        &self,
        out: &mut Writer<W>,
        selected: &mut Option<u32>,
    ) -> Result<(), Failed> {
        let waiting = std::mem::take(&mut *self.shared.old.lock());
        for (db, bytes) in waiting {
            select(out, selected, db)?;
            out.encoded(&bytes)?;
        }
        Ok(())
    }

    /// Takes off the observers that are left.
    fn let_go(&self, engine: &Engine) {
        let ks = engine.keyspace();
        self.shared.abort();
        for part in &self.parts {
            let mut shard = ks.lock(part.shard);
            // One that went along with an exchanged database tells nobody any more, and goes with the next snapshot.
            if part.ahead.lock().position != u64::MAX {
                shard.db(part.db).observe(None);
            }
        }
    }
}

fn select<W: Write>(out: &mut Writer<W>, selected: &mut Option<u32>, db: u32) -> io::Result<()> {
    if *selected != Some(db) {
        out.select(db)?;
        *selected = Some(db);
    }
    Ok(())
}
