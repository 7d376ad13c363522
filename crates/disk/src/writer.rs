//! What the log's thread does, as plain steps: no queue, no thread, and the time told by the caller.
//!
//! The state that matters is *trust*. While the log is whole, manifest, base and increments hold everything that was ever
//! promised, and pieces are appended. One failed write or sync ends that: from then on memory knows things that the disk does not,
//! and no further piece is taken, since a log with a hole must never look like one without. What the files hold up to there
//! stays valid. Trust comes back only with a rewrite: a new base and an increment that begins with the very cut at which the
//! base was taken, which the manifest lists both at once, in place of all before. A log that has no base yet begins the same way.
//!
//! What a failed sync should have saved can still be read from memory, and later syncs say that all is well. So a failed sync
//! also leaves a sign in the folder: the next process loads what it reads, but does not trust it either.

use crate::disk::{Disk, File, append_all};
use crate::error::LogError;
use crate::folder::AofFolder;
use crate::manifest::{Entry, Kind, Manifest};
use crate::piece::{Header, MAX_LINE};
use crate::reader::Summary;
use crate::temp::AtomicFile;
use increment::{Increment, Syncing};
use std::io::{self, IoSlice, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod increment;

/// When what was written is synced: the setting `appendfsync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before anyone is told that it is durable; all that has come meanwhile by one sync.
    Always,
    /// Once a second.
    #[default]
    EverySecond,
    /// When the operating system likes.
    No,
}

/// Bytes of commands that count whole or not at all.
#[derive(Debug)]
pub(crate) struct Piece {
    pub number: u64,
    pub bytes: Vec<u8>,
    pub unix_seconds: u64,
}

/// Whether the files hold all that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// They do.
    Whole,
    /// There is nothing to add to before the first base.
    NoBase,
    /// Something is missing after what the files hold: why.
    Failing(String),
}

struct Running {
    /// Nothing before counts: what is written since is not listed yet.
    fresh: bool,
    /// The first increment of the new log, if it is listed.
    first: u64,
    failed: Option<String>,
}

/// The files as they are written.
pub(crate) struct Writer {
    folder: AofFolder,
    pub fsync: Fsync,
    pub timestamps: bool,
    last_timestamp: u64,
    trust: Trust,
    increment: Option<Increment>,
    rewrite: Option<Running>,
    /// The last piece that is whole in its file.
    written: u64,
    /// The last piece known to be on the disk in these files.
    synced: u64,
    /// What may be told of that: nothing new while trust is gone.
    durable: u64,
    /// What a line in the files says of that.
    vouched: u64,
    last_sync: Option<Instant>,
    last_write: Option<Instant>,
    /// Set when pieces can no longer be taken, until somebody asks.
    failure: Option<String>,
    base_size: u64,
    /// Increments that are complete.
    older_size: u64,
    lines: Vec<u8>,
    /// Where the stream to replicas is at the cut that the next increment begins with, and at the end: what is listed of it.
    pub offset: Option<u64>,
    /// Bytes of room that are laid out at a time.
    pub room: u64,
    /// What the disk took since somebody asked.
    pub spent: Spent,
}

/// The longest times that the disk took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// For a write.
    pub write: Duration,
    /// For a sync.
    pub sync: Duration,
}

/// Bytes of room that are laid out at a time with [`Fsync::Always`]: their sync takes some milliseconds, which few should wait for.
const ROOM: u64 = 1 << 20;

const SECOND: Duration = Duration::from_secs(1);

/// How often it is asked whether the sync of every second is done. While pieces come it is asked after each.
const ASK: Duration = Duration::from_millis(5);

/// Most slices that the system takes in one call.
const MAX_SLICES: usize = 1024;

impl Writer {
    /// Goes on behind what was read, which is synced first: it may have been written by a process that was killed.
    pub fn resume(folder: AofFolder, read: &Summary, fsync: Fsync) -> Result<Writer, LogError> {
        let mut this = Writer::new(folder, read.last, fsync);
        // A process that was killed may not have written down what is being made sure of here.
        this.vouched = read.synced.unwrap_or(read.last);
        if this.folder.manifest().is_empty() {
            return Ok(this);
        }
        this.measure();
        if let Some(why) = this.folder.is_suspect()? {
            this.trust = Trust::Failing(format!(
                "an earlier process could not save all of it: {why}"
            ));
            this.synced = read.synced.unwrap_or(0);
            this.durable = this.synced;
            return Ok(this);
        }
        this.trust = Trust::Whole;
        let listed = this.folder.manifest().increments.last().cloned();
        let Some(entry) = listed else {
            let path = this.folder.manifest_path();
            let next = this.next_listed_increment();
            this.increment = Some(next.map_err(|(e, _)| LogError::manifest(path, e))?);
            return Ok(this);
        };
        // It does not end any more where it ended when it was closed.
        let path = this.folder.manifest_path();
        let went_on = this.folder.end_at(None);
        went_on.map_err(|e| LogError::manifest(path, e.to_string()))?;
        let entry = match this.folder.manifest().increments.last() {
            Some(last) => last.clone(),
            None => entry,
        };
        let path = this.folder.path(&entry.name);
        let opened = this.folder.disk().append(&path).and_then(|mut file| {
            let all = file.size()?;
            let size = all.saturating_sub(read.room);
            if read.room > 0 {
                file.truncate(size)?;
            }
            file.sync()?;
            Ok((file, size, all))
        });
        let (file, size, all) = opened.map_err(|e| LogError::io(&path, "append to it", &e))?;
        this.older_size = this.older_size.saturating_sub(all);
        this.increment = Some(Increment::new(file, entry, path, size));
        Ok(this)
    }

    /// Trusts nothing that is there: the first rewrite replaces it.
    pub fn fresh(folder: AofFolder, last: u64, fsync: Fsync) -> Writer {
        let mut this = Writer::new(folder, last, fsync);
        this.measure();
        this
    }

    fn new(folder: AofFolder, last: u64, fsync: Fsync) -> Writer {
        Writer {
            folder,
            fsync,
            timestamps: false,
            last_timestamp: 0,
            trust: Trust::NoBase,
            increment: None,
            rewrite: None,
            written: last,
            synced: last,
            durable: last,
            vouched: last,
            last_sync: None,
            last_write: None,
            failure: None,
            base_size: 0,
            older_size: 0,
            spent: Spent::default(),
            lines: Vec::new(),
            offset: None,
            room: ROOM,
        }
    }

    fn measure(&mut self) {
        let size = |name: &str| {
            let path = self.folder.path(name);
            self.folder.disk().size(&path).ok().flatten().unwrap_or(0)
        };
        let manifest = self.folder.manifest();
        self.base_size = manifest.base.iter().map(|e| size(&e.name)).sum();
        let current = self.increment.as_ref().map(|i| i.entry.name.as_str());
        let older = manifest.increments.iter().map(|e| e.name.as_str());
        self.older_size = older.filter(|name| Some(*name) != current).map(size).sum();
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(self.folder.disk())
    }

    /// The last pieces that are whole in a file, and on the disk.
    pub fn progress(&self) -> (u64, u64) {
        (self.written, self.durable)
    }

    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Sizes of the base, and of everything.
    pub fn sizes(&self) -> (u64, u64) {
        let current = self.increment.as_ref().map_or(0, |i| i.size);
        (self.base_size, self.base_size + self.older_size + current)
    }

    pub fn folder(&self) -> &AofFolder {
        &self.folder
    }

    /// Why pieces cannot be taken any more, once.
    pub fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Appends pieces in the order of their numbers, and syncs them if that is the setting. Without a file to put them they
    /// are dropped; whoever waits for them has been told.
    pub fn pieces(&mut self, pieces: &[Piece], now: Instant) {
        for group in pieces.chunks(MAX_SLICES / 2) {
            if self.increment.as_ref().is_none_or(|i| i.broken) {
                return;
            }
            self.group(group);
        }
        self.last_write = Some(now);
        if self.fsync == Fsync::Always {
            self.lay_room();
            self.sync(now);
        }
    }

    fn group(&mut self, pieces: &[Piece]) {
        let synced = (self.fsync != Fsync::No).then_some(self.synced);
        self.lines.clear();
        let mut ends = Vec::with_capacity(pieces.len());
        let mut stamp = Vec::new();
        for piece in pieces {
            stamp.clear();
            if self.timestamps && piece.unix_seconds > self.last_timestamp {
                self.last_timestamp = piece.unix_seconds;
                // Writing to a Vec cannot fail.
                let _ = write!(stamp, "#TS:{}\r\n", piece.unix_seconds);
            }
            let header = Header {
                number: piece.number,
                bytes: (stamp.len() + piece.bytes.len()) as u64,
                synced,
                crc: crc32c::crc32c_append(crc32c::crc32c(&stamp), &piece.bytes),
            };
            header.write(&mut self.lines);
            self.lines.extend_from_slice(&stamp);
            ends.push(self.lines.len());
        }
        let mut slices = Vec::with_capacity(2 * pieces.len());
        let mut start = 0;
        for (piece, &end) in pieces.iter().zip(&ends) {
            slices.push(IoSlice::new(&self.lines[start..end]));
            slices.push(IoSlice::new(&piece.bytes));
            start = end;
        }
        let Some(increment) = &mut self.increment else {
            return;
        };
        let began = Instant::now();
        let (took, result) = increment.put(&mut slices);
        self.spent.write = self.spent.write.max(began.elapsed());
        // Which pieces are whole.
        let (mut start, mut whole) = (0, 0);
        for (piece, &end) in pieces.iter().zip(&ends) {
            let size = (end - start + piece.bytes.len()) as u64;
            if whole + size > took {
                break;
            }
            whole += size;
            start = end;
            self.written = piece.number;
        }
        increment.size += whole;
        if whole > 0 {
            self.vouched = self.vouched.max(synced.unwrap_or(0));
        }
        if let Err(error) = result {
            increment.torn = took > whole;
            let reason = format!("cannot append to {}: {error}", increment.path.display());
            self.cut_tail();
            // What is whole may still be saved, and waited for; after this nothing is written to this file.
            self.sync_file(false);
            self.fail(reason);
        }
    }

    /// Lays out room for the next pieces, which goes to the disk with these.
    fn lay_room(&mut self) {
        let Some(increment) = self.increment.as_mut().filter(|i| !i.broken) else {
            return;
        };
        if let Err(error) = increment.lay_room(self.room) {
            increment.torn = true;
            let reason = format!(
                "cannot cut the end of {}: {error}",
                increment.path.display()
            );
            self.sync_file(false);
            self.fail(reason);
        }
    }

    /// Changes when pieces are synced.
    pub fn set_fsync(&mut self, fsync: Fsync, now: Instant) {
        self.fsync = fsync;
        match fsync {
            Fsync::Always => self.sync(now),
            // Room saves nothing there. Where it cannot be cut off it is written over, or cut off by the next start.
            Fsync::EverySecond | Fsync::No => self.drop_room(),
        }
    }

    fn drop_room(&mut self) {
        if let Some(increment) = &mut self.increment {
            let _ = increment.drop_room();
        }
    }

    /// Makes what was written durable, if anything is not. After a failure nothing is known of it.
    pub fn sync(&mut self, now: Instant) {
        self.last_sync = Some(now);
        self.sync_file(false);
    }

    fn sync_file(&mut self, marks_too: bool) {
        let Some(increment) = self.increment.as_mut().filter(|i| !i.broken) else {
            return;
        };
        if increment.size == increment.synced_size && !(increment.mark && marks_too) {
            return;
        }
        // It waits for one that is under way, and this is one for all that there is.
        increment.syncing = None;
        let began = Instant::now();
        let synced = increment.file.sync();
        let all = Syncing {
            size: increment.size,
            room: increment.room,
            written: self.written,
            began,
            asked: began,
        };
        self.synced(synced, &all);
    }

    /// A sync is done, or has failed.
    fn synced(&mut self, result: io::Result<()>, of: &Syncing) {
        self.spent.sync = self.spent.sync.max(of.began.elapsed());
        let Some(increment) = &mut self.increment else {
            return;
        };
        match result {
            Ok(()) => {
                increment.synced_size = increment.synced_size.max(of.size);
                increment.synced_room = of.room;
                increment.mark &= increment.size != of.size;
                self.synced = of.written;
                if self.trust == Trust::Whole {
                    self.durable = self.synced;
                }
            }
            Err(error) => {
                let reason = format!("cannot sync {}: {error}", increment.path.display());
                self.folder.suspect(&reason);
                if self.fsync == Fsync::Always {
                    // Nobody was told that these pieces count, and somebody will be told that they do not: they must not
                    // come back.
                    increment.size = increment.synced_size;
                    increment.torn = true;
                    self.written = self.synced;
                    self.cut_tail();
                }
                self.fail(reason);
            }
        }
    }

    /// Begins the sync of every second, if there is anything to sync. It may take long, and pieces go on being written meanwhile: those
    /// that had to wait for it would need memory, every second anew.
    fn begin_sync(&mut self, now: Instant) {
        let Some(increment) = self.increment.as_mut().filter(|i| !i.broken) else {
            return;
        };
        if increment.syncing.is_some() {
            return;
        }
        self.last_sync = Some(now);
        if increment.size == increment.synced_size {
            return;
        }
        let begun = Syncing {
            size: increment.size,
            room: increment.room,
            written: self.written,
            began: Instant::now(),
            asked: now,
        };
        match increment.file.begin_sync() {
            Ok(()) => {
                increment.syncing = Some(begun);
                self.hear(now);
            }
            Err(error) => self.synced(Err(error), &begun),
        }
    }

    /// Hears what became of a sync that is under way.
    fn hear(&mut self, now: Instant) {
        let Some(increment) = self.increment.as_mut() else {
            return;
        };
        let Some(mut begun) = increment.syncing.take() else {
            return;
        };
        match increment.file.is_synced() {
            Ok(false) => {
                begun.asked = now;
                increment.syncing = Some(begun);
            }
            Ok(true) => self.synced(Ok(()), &begun),
            Err(error) => self.synced(Err(error), &begun),
        }
    }

    /// Cuts what is behind the last whole piece.
    fn cut_tail(&mut self) {
        if let Some(increment) = &mut self.increment
            && increment.torn
        {
            increment.torn = increment.file.truncate(increment.size).is_err();
            if !increment.torn {
                (increment.room, increment.synced_room) = (0, 0);
            }
        }
    }

    fn fail(&mut self, reason: String) {
        if let Some(increment) = &mut self.increment {
            increment.broken = true;
        }
        if let Some(rewrite) = &mut self.rewrite {
            rewrite.failed.get_or_insert_with(|| reason.clone());
        }
        if !matches!(self.trust, Trust::Failing(_)) {
            self.trust = Trust::Failing(reason.clone());
        }
        self.failure = Some(reason);
    }

    /// When [`Writer::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let increment = self.increment.as_ref().filter(|i| !i.broken)?;
        if let Some(syncing) = &increment.syncing {
            return Some(syncing.asked + ASK);
        }
        let dirty = increment.size != increment.synced_size;
        let last_sync = self.last_sync.or(self.last_write)?;
        let sync = (self.fsync == Fsync::EverySecond && dirty).then_some(last_sync + SECOND);
        let mark = self.mark_due().then_some(self.last_write? + SECOND);
        match (sync, mark) {
            (Some(sync), Some(mark)) => Some(sync.min(mark)),
            (sync, mark) => sync.or(mark),
        }
    }

    /// Whether more is on the disk than any line says.
    fn mark_due(&self) -> bool {
        self.fsync != Fsync::No && self.synced > self.vouched
    }

    /// What time brings: the sync of every second, and a mark when no piece has come for that long.
    pub fn tick(&mut self, now: Instant) {
        let due = |since: Option<Instant>| {
            since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND)
        };
        self.hear(now);
        if self.fsync == Fsync::EverySecond && due(self.last_sync) {
            self.begin_sync(now);
        }
        if self.mark_due() && due(self.last_write) {
            self.mark();
            self.last_write = Some(now);
        }
    }

    /// Writes down how far the files are synced. Nobody waits for it, so that it is not synced itself; and a disk that has no room
    /// for it loses nothing yet.
    fn mark(&mut self) {
        let Some(increment) = self.increment.as_mut().filter(|i| !i.broken) else {
            return;
        };
        let mut line = Vec::with_capacity(MAX_LINE);
        let header = Header {
            number: self.written,
            bytes: 0,
            synced: Some(self.synced),
            crc: 0,
        };
        header.write(&mut line);
        let (took, result) = increment.put(&mut [IoSlice::new(&line)]);
        match result {
            Ok(()) => {
                increment.size += took;
                increment.mark = true;
                // Only the mark itself is not synced.
                if self.synced == self.written {
                    increment.synced_size = increment.size;
                }
                self.vouched = self.synced;
            }
            Err(error) => {
                increment.torn = took > 0;
                // Cut off, it may be there again after a power failure, until that is synced.
                increment.mark |= increment.torn;
                let reason = format!("cannot append to {}: {error}", increment.path.display());
                self.cut_tail();
                if self.increment.as_ref().is_some_and(|i| i.torn) {
                    self.fail(reason);
                }
            }
        }
    }

    /// An empty increment behind the listed ones, listed too. With an error comes whether it may be listed all the same.
    fn next_listed_increment(&mut self) -> Result<Increment, (String, bool)> {
        let sure = |error: &dyn std::fmt::Display| (error.to_string(), false);
        let entry = self
            .folder
            .next_increment(self.written, self.offset)
            .map_err(|e| sure(&e))?;
        let path = self.folder.path(&entry.name);
        let disk = self.disk();
        let made = self
            .begun(&path)
            .and_then(|made| disk.sync_folder(self.folder.folder()).map(|()| made));
        let (file, size) = made.map_err(|e| {
            let _ = disk.remove(&path);
            (format!("cannot make {}: {e}", path.display()), false)
        })?;
        let mut manifest = self.folder.manifest().clone();
        manifest.increments.push(entry.clone());
        if let Err(error) = self.folder.list(manifest) {
            if !error.unsure {
                let _ = disk.remove(&path);
            }
            let what = format!("{}: {error}", self.folder.manifest_path().display());
            return Err((what, error.unsure));
        }
        Ok(Increment::new(file, entry, path, size))
    }

    /// An empty increment. It begins with a mark that is on the disk before anything else is, so that its reader knows which
    /// piece must come first.
    fn begun(&self, path: &Path) -> io::Result<(Box<dyn File>, u64)> {
        let mut file = self.disk().create(path)?;
        let mut line = Vec::with_capacity(MAX_LINE);
        let header = Header {
            number: self.written,
            bytes: 0,
            synced: Some(self.written),
            crc: 0,
        };
        header.write(&mut line);
        append_all(&mut *file, &line)?;
        file.sync()?;
        Ok((file, line.len() as u64))
    }

    /// Begins a rewrite: what was queued before went to the old increment, what comes now goes to a new one. `cut` is the last
    /// piece before; `fresh` says that pieces were being refused there.
    pub fn begin(&mut self, cut: u64, fresh: bool, now: Instant) {
        let mut running = Running {
            fresh,
            first: 0,
            failed: None,
        };
        if fresh {
            (self.written, self.synced, self.vouched) = (cut, cut, cut);
            match self.fresh_increment(cut) {
                Ok(increment) => {
                    self.increment = Some(increment);
                    self.rewrite = Some(running);
                    self.last_timestamp = 0;
                }
                Err(reason) => {
                    running.failed = Some(reason.clone());
                    self.rewrite = Some(running);
                    self.fail(reason);
                }
            }
            return;
        }
        // Only the last increment may end anywhere: this one is about to have a successor.
        self.drop_room();
        self.last_sync = Some(now);
        self.sync_file(true);
        if let Trust::Failing(reason) = &self.trust {
            running.failed = Some(reason.clone());
            self.rewrite = Some(running);
            return;
        }
        match self.next_listed_increment() {
            Ok(increment) => {
                running.first = increment.entry.seq;
                self.older_size += self.increment.as_ref().map_or(0, |i| i.size);
                self.increment = Some(increment);
                self.last_timestamp = 0;
            }
            Err((reason, unsure)) => {
                running.failed = Some(reason.clone());
                if unsure {
                    // The disk may list the new increment as the last, or the one before.
                    self.fail(reason);
                }
            }
        }
        self.rewrite = Some(running);
    }

    fn fresh_increment(&mut self, cut: u64) -> Result<Increment, String> {
        let entry = self.folder.next_increment(cut, self.offset);
        let entry = entry.map_err(|e| e.to_string())?;
        let path = self
            .folder
            .path(&format!("temp-{}.{cut}.incr.aof", self.folder.name()));
        let made = self.begun(&path);
        let (file, size) = made.map_err(|e| {
            let _ = self.disk().remove(&path);
            format!("cannot make {}: {e}", path.display())
        })?;
        Ok(Increment::new(file, entry, path, size))
    }

    /// Ends a rewrite: the base, written and synced under a temporary name, becomes part of the log in place of all before
    /// it. Gives the files that are history now.
    pub fn finish(
        &mut self,
        base: AtomicFile,
        aof: bool,
        now: Instant,
    ) -> Result<Vec<PathBuf>, String> {
        let Some(running) = &self.rewrite else {
            return Err("no rewrite is running".to_owned());
        };
        if let Some(reason) = &running.failed {
            let reason = reason.clone();
            self.abandon(&reason);
            return Err(reason);
        }
        let (fresh, first) = (running.fresh, running.first);
        if fresh {
            self.last_sync = Some(now);
            self.sync_file(true);
        }
        let result = self.replace(base, aof, fresh, first);
        match result {
            Ok(()) => {
                self.rewrite = None;
                if fresh {
                    self.trust = Trust::Whole;
                    self.failure = None;
                    self.durable = self.synced;
                    self.folder.not_suspect();
                }
                self.measure();
                Ok(self.folder.history())
            }
            Err(reason) => {
                self.abandon(&reason);
                Err(reason)
            }
        }
    }

    fn replace(
        &mut self,
        base: AtomicFile,
        aof: bool,
        fresh: bool,
        first: u64,
    ) -> Result<(), String> {
        if let Some(reason) = self.rewrite.as_ref().and_then(|r| r.failed.clone()) {
            return Err(reason);
        }
        let disk = self.disk();
        let old = self.folder.manifest().clone();
        let entry = self.folder.next_base(aof).map_err(|e| e.to_string())?;
        let path = self.folder.path(&entry.name);
        if let Err(error) = base.commit(&path) {
            // It may have its name already, and the folder not be on the disk. Nothing lists it.
            let _ = disk.remove(&path);
            return Err(format!("{}: {error}", path.display()));
        }
        let mut manifest = Manifest {
            base: Some(entry),
            history: old.history,
            increments: Vec::new(),
        };
        let history = |mut entry: Entry| {
            entry.kind = Kind::History;
            entry
        };
        manifest.history.extend(old.base.map(history));
        for entry in old.increments {
            if fresh || entry.seq < first {
                manifest.history.push(history(entry));
            } else {
                manifest.increments.push(entry);
            }
        }
        if fresh && let Some(increment) = &mut self.increment {
            let named = self.folder.path(&increment.entry.name);
            let renamed = disk
                .rename(&increment.path, &named)
                .and_then(|()| disk.sync_folder(self.folder.folder()));
            if let Err(error) = renamed {
                let _ = disk.remove(&path);
                return Err(format!("cannot name {}: {error}", named.display()));
            }
            increment.path = named;
            manifest.increments.push(increment.entry.clone());
        }
        self.folder.list(manifest).map_err(|error| {
            if !error.unsure {
                let _ = disk.remove(&path);
            }
            format!("{}: {error}", self.folder.manifest_path().display())
        })
    }

    /// A rewrite comes to nothing. One that was to bring trust back leaves the log as it was before it.
    pub fn abandon(&mut self, reason: &str) {
        let Some(running) = self.rewrite.take() else {
            return;
        };
        if !running.fresh {
            return;
        }
        if let Some(increment) = self.increment.take()
            && !self.folder.may_be_listed(&increment.entry.name)
        {
            let _ = self.disk().remove(&increment.path);
        }
        self.fail(reason.to_owned());
    }

    /// Removes the lines of history once its files are gone.
    pub fn forget_history(&mut self) {
        self.folder.forget_history();
    }

    /// Whether the disk seems well: a torn end can be cut, and a small file be written and synced.
    pub fn probe(&mut self) -> Result<(), String> {
        self.cut_tail();
        if let Some(increment) = &self.increment
            && increment.torn
        {
            return Err(format!(
                "cannot cut the end of {}",
                increment.path.display()
            ));
        }
        let path = self
            .folder
            .path(&format!("temp-{}.probe", self.folder.name()));
        let disk = self.disk();
        let plan = crate::temp::SyncPlan::incremental(false);
        AtomicFile::create(&disk, &path, plan)
            .and_then(|mut file| {
                file.write_all(&[0; 16 * 1024])?;
                file.sync()
            })
            .map_err(|e| format!("cannot write {}: {e}", path.display()))
    }

    /// Makes everything durable before the end.
    pub fn close(&mut self, now: Instant) -> Result<(), String> {
        self.abandon("the log is closed");
        self.sync(now);
        if self.mark_due() {
            self.mark();
        }
        self.drop_room();
        self.sync_file(true);
        match &self.trust {
            Trust::Failing(reason) => Err(reason.clone()),
            Trust::NoBase => Ok(()),
            Trust::Whole => {
                if self.offset.is_some() {
                    // Who reads it without makes do with where it begins, and its size.
                    let _ = self.folder.end_at(self.offset);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
