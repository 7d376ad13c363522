//! Building what an RDB holds, by as many threads as there are processors.
//!
//! Where an entry begins is known when the one before it has been gone past, so that one thread at a time goes through the file; but it
//! need not always be the same. Each thread takes the next stretch of the file, a [`Batch`], while it has the [`Finding`], and then builds
//! what is in it while others take theirs. So no thread waits for another to hand it something, none is more than there are processors,
//! and what is built was just read by the same one. Only a large collection comes in pieces that one thread puts together in order.

use super::{How, Loaded, StreamPlace, To, Twice};
use crate::delay::Delay;
use engine::{Engine, NewKey};
use parking_lot::Mutex;
use rdb::file::{Assembly, Batch, Built, Entry, Error, Item, Scanner, Step, What};
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use store::Keyspace;

/// Bytes of a batch.
pub(super) const BATCH: usize = 256 << 10;

/// Pieces of large collections that wait to be put together at most.
const WAITING: usize = 8;

/// Threads at most.
const THREADS: usize = 8;

/// Reads the keys of an RDB up to its end, and not further. Returns the sources of its libraries of functions too.
pub(super) fn read_keys(
    engine: &Arc<Engine>,
    source: &mut (impl BufRead + Send + ?Sized),
    how: How<'_>,
) -> Result<(Loaded, Vec<Vec<u8>>), String> {
    let options = rdb::file::ReadOptions {
        verify: engine.config().flag("rdbchecksum"),
        total: how.total,
        batch_bytes: BATCH,
        ..rdb::file::ReadOptions::default()
    };
    let building = Building {
        engine,
        how,
        leads: !engine.standing.is_replica(),
        stream: Mutex::default(),
        keys: AtomicU64::new(0),
        expired: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        error: Mutex::new(None),
        functions: Mutex::new(Vec::new()),
        kept: Mutex::default(),
        announced: Mutex::default(),
        announcements: AtomicUsize::new(0),
    };
    let (piece, pieces) = sync_channel::<Batch>(WAITING);
    let finding = Mutex::new(Finding {
        scanner: Scanner::new(options),
        source,
        fed: 0,
        piece: Some(piece),
        end: None,
    });
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS));
    let begin = || {
        // Clients are served what there was before, here, and perhaps by a primary on the same machine, which makes the copy and has more of a
        // hurry, since it holds locks.
        if !matches!(building.how.to, To::DataSet) {
            engine::stand_behind_workers(engine::FAR_BEHIND);
        }
    };
    thread::scope(|scope| {
        // Whatever becomes of this thread, the others come to an end.
        let _over = Over(&finding);
        scope.spawn(|| {
            begin();
            building.build_pieces(pieces);
        });
        let build = || {
            begin();
            building.build(&finding);
        };
        // This one has other things to do behind that.
        let builders: Vec<_> = (0..threads).map(|_| scope.spawn(build)).collect();
        for builder in builders {
            if let Err(panic) = builder.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    if let Some(error) = building.error.into_inner() {
        return Err(error);
    }
    let bytes = match finding.into_inner().end {
        Some(end) => end.map_err(|e| e.to_string())?,
        None => 0,
    };
    for (db, key) in building.kept.into_inner() {
        if let Some(keyspace) = building.how.keyspace(engine) {
            engine.keep_loaded_key(keyspace, db as usize, &key);
        }
    }
    let loaded = Loaded {
        keys: building.keys.into_inner(),
        expired: building.expired.into_inner(),
        commands: 0,
        bytes,
        stream: building.stream.into_inner(),
        functions: Vec::new(),
    };
    Ok((loaded, building.functions.into_inner()))
}

/// Where the file has been gone through.
struct Finding<'s, R: ?Sized> {
    scanner: Scanner,
    source: &'s mut R,
    /// So many bytes of the source were given to the scanner. They are used up only when it is known how many of them belong to the
    /// file.
    fed: usize,
    /// Who puts large collections together; nobody once the end is known.
    piece: Option<SyncSender<Batch>>,
    /// The number of bytes that the file has, or why it cannot be read.
    end: Option<Result<u64, Error>>,
}

impl<R: BufRead + ?Sized> Finding<'_, R> {
    /// The next batch of whole items, or `None` at the end. `built`: one that is not needed any more. `go_on` says whether there is still a
    /// reason to.
    fn next(&mut self, built: Option<Batch>, go_on: impl Fn() -> bool) -> Option<Batch> {
        if let Some(built) = built {
            self.scanner.recycle(built);
        }
        while self.end.is_none() {
            match self.step() {
                // If nobody takes it, the error is theirs.
                Ok(Some(piece)) if piece.piece().is_some() => {
                    let sent = match &self.piece {
                        Some(to) => to.send(piece).is_ok(),
                        None => false,
                    };
                    if !sent || !go_on() {
                        self.end = Some(Ok(self.scanner.offset()));
                    }
                }
                Ok(Some(batch)) if go_on() => return Some(batch),
                Ok(Some(_)) => self.end = Some(Ok(self.scanner.offset())),
                Ok(None) => {}
                Err(error) => self.end = Some(Err(error)),
            }
        }
        self.piece = None;
        None
    }

    /// One step through the file, which may come to a batch, to its end, or to nothing yet.
    fn step(&mut self) -> Result<Option<Batch>, Error> {
        match self.scanner.step()? {
            Step::Batch(batch) => return Ok(Some(batch)),
            Step::End(summary) => {
                let rest = self.scanner.rest().len().min(self.fed);
                self.source.consume(self.fed - rest);
                self.end = Some(Ok(summary.bytes));
            }
            Step::More(_) => {
                self.source.consume(std::mem::take(&mut self.fed));
                match self.source.fill_buf() {
                    Ok([]) => self.scanner.end_of_input(),
                    Ok(bytes) => {
                        // What does not belong to the next batch would be moved behind it.
                        let bytes = &bytes[..bytes.len().min(BATCH)];
                        self.fed = bytes.len();
                        self.scanner.feed(bytes);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        return Err(Error {
                            offset: self.scanner.offset(),
                            db: None,
                            key: None,
                            what: What::Io(e),
                        });
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Has nobody wait for more when this goes.
struct Over<'f, 's, R: ?Sized>(&'f Mutex<Finding<'s, R>>);

impl<R: ?Sized> Drop for Over<'_, '_, R> {
    fn drop(&mut self) {
        let mut finding = self.0.lock();
        finding.piece = None;
        let offset = finding.scanner.offset();
        finding.end.get_or_insert(Ok(offset));
    }
}

/// What all threads share.
struct Building<'e> {
    engine: &'e Arc<Engine>,
    how: How<'e>,
    /// This server is no replica.
    leads: bool,
    stream: Mutex<StreamPlace>,
    keys: AtomicU64,
    expired: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<String>>,
    functions: Mutex<Vec<Vec<u8>>>,
    /// Keys that are never to be evicted, with their databases.
    kept: Mutex<Vec<(u32, Vec<u8>)>>,
    /// Databases and how many keys they are to have, as the file says. Once some of them are there it is believed, and room made for the
    /// others.
    announced: Mutex<Vec<(usize, usize)>>,
    /// How many these are.
    announcements: AtomicUsize,
}

/// The part of the announced keys of a database that has to be there before the announcement is believed.
const BELIEVED: usize = 16;

impl Building<'_> {
    /// With no time, no field of a hash is taken for expired.
    fn settings(&self) -> rdb::Settings {
        let mut settings = self.engine.load_settings();
        if self.how.keep_expired {
            settings.now_ms = 0;
        }
        settings
    }

    fn fail(&self, error: String) {
        self.failed.store(true, Relaxed);
        self.error.lock().get_or_insert(error);
    }

    /// Whether what comes is still wanted.
    fn goes_on(&self) -> bool {
        !self.failed.load(Relaxed) && !self.engine.loading.is_stopped()
    }

    /// Builds batch after batch, until there is none.
    fn build<R: BufRead + ?Sized>(&self, finding: &Mutex<Finding<'_, R>>) {
        let settings = self.settings();
        let mut delay = self.delay();
        let mut built = None;
        loop {
            let next = finding.lock().next(built.take(), || self.goes_on());
            let Some(batch) = next else { return };
            if let Some(delay) = &mut delay {
                delay.wait(batch.count(), || !self.is_delayed());
            }
            if let Err(error) = self.build_batch(&batch, &settings) {
                self.fail(error);
            }
            built = Some(batch);
        }
    }

    /// Whether what comes is to be held up.
    fn is_delayed(&self) -> bool {
        self.goes_on() && super::is_delayed(self.engine)
    }

    fn delay(&self) -> Option<Delay> {
        Delay::of(self.engine, "key-load-delay")
    }

    fn build_batch(&self, batch: &Batch, settings: &rdb::Settings) -> Result<(), String> {
        let mut keys = Adding::new(self, batch.count());
        let mut items = batch.items();
        while let (db, Some(item)) = (items.db(), items.next()) {
            match item.map_err(|e| e.to_string())? {
                Item::Entry(entry) => {
                    if let Some(value) = entry.load(settings).map_err(|e| e.to_string())? {
                        keys.take(entry, value)?;
                    }
                }
                Item::Function(source) => self.functions.lock().push(source.to_vec()),
                Item::Aux { name, value } if &*name == b"used-mem" => {
                    let bytes = str::from_utf8(&value).ok().and_then(|n| n.parse().ok());
                    self.engine.loading.note_used_memory(bytes.unwrap_or(0));
                }
                Item::Aux { name, value } if *name == *rdb::encode::KEPT.as_bytes() => {
                    self.kept.lock().push((db, value.to_vec()));
                }
                Item::Aux { name, value } => self.stream.lock().note(&name, &value),
                Item::Resize { keys, .. } => self.note_announced(db, keys),
                _ => {}
            }
        }
        keys.add()
    }

    fn note_announced(&self, db: u32, keys: u64) {
        let mut announced = self.announced.lock();
        if let Ok(keys) = usize::try_from(keys)
            && (db as usize) < self.engine.keyspace().databases()
        {
            announced.push((db as usize, keys));
        }
        self.announcements.store(announced.len(), Relaxed);
    }

    /// Keys were added: makes room for those that are still to come, if it is time.
    fn make_room(&self, keyspace: &Keyspace) {
        if self.announcements.load(Relaxed) == 0 {
            return;
        }
        let mut due = Vec::new();
        {
            let mut announced = self.announced.lock();
            announced.retain(|&(db, keys)| {
                let waits = keyspace.len(db).saturating_mul(BELIEVED) < keys;
                if !waits {
                    due.push((db, keys));
                }
                waits
            });
            self.announcements.store(announced.len(), Relaxed);
        }
        for (db, keys) in due {
            keyspace.reserve(db, keys);
        }
    }

    /// Puts large collections together, whose pieces come in order.
    fn build_pieces(&self, pieces: Receiver<Batch>) {
        let settings = self.settings();
        let mut delay = self.delay();
        let mut assembly = Assembly::new();
        for batch in pieces {
            for item in batch.items() {
                let done = item.map_err(|e| e.to_string()).and_then(|item| {
                    let Item::Entry(entry) = item else {
                        return Ok(());
                    };
                    match assembly.add(&entry, &settings).map_err(|e| e.to_string())? {
                        Built::Value(value) => {
                            if let Some(delay) = &mut delay {
                                delay.wait(1, || !self.is_delayed());
                            }
                            let mut keys = Adding::new(self, 1);
                            keys.take(entry, value)?;
                            keys.add()
                        }
                        Built::More | Built::Nothing => Ok(()),
                    }
                });
                if let Err(error) = done {
                    return self.fail(error);
                }
            }
        }
    }
}

/// Keys with their values on their way to where they belong.
struct Adding<'b, 'a> {
    building: &'b Building<'b>,
    keys: Vec<NewKey<'a>>,
    expired: u64,
    now_ms: u64,
}

impl<'b, 'a> Adding<'b, 'a> {
    fn new(building: &'b Building<'_>, count: usize) -> Adding<'b, 'a> {
        Adding {
            building,
            keys: Vec::with_capacity(count),
            expired: 0,
            now_ms: engine::unix_ms(),
        }
    }

    /// Takes one more, unless its time is over.
    fn take(&mut self, entry: Entry<'a>, value: rdb::Loaded<'a>) -> Result<(), String> {
        let databases = self.building.engine.keyspace().databases();
        let db = entry.db as usize;
        if db >= databases {
            return Err(format!(
                "a key of database {db} at offset {}, but there are only {databases} databases",
                entry.offset
            ));
        }
        if self.building.leads && entry.expiry_ms.is_some_and(|at| at <= self.now_ms) {
            self.expired += 1;
            if !self.building.how.keep_expired {
                return Ok(());
            }
        }
        self.keys.push(NewKey {
            db,
            key: entry.key,
            value,
            expiry_ms: entry.expiry_ms,
            hint: entry.hint,
            offset: entry.offset,
        });
        Ok(())
    }

    /// Adds them all.
    fn add(mut self) -> Result<(), String> {
        let Building { engine, how, .. } = self.building;
        self.building.expired.fetch_add(self.expired, Relaxed);
        self.building
            .keys
            .fetch_add(self.keys.len() as u64, Relaxed);
        let Some(keyspace) = how.keyspace(engine) else {
            return Ok(());
        };
        let replace = how.twice == Twice::Replace;
        let added = engine.load_keys(keyspace, &mut self.keys, self.now_ms, replace);
        added.map_err(|twice| {
            format!(
                "the key {:?} of database {} stands twice, the second time at offset {}",
                String::from_utf8_lossy(&twice.key),
                twice.db,
                twice.offset
            )
        })?;
        self.building.make_room(keyspace);
        Ok(())
    }
}
