//! The folder of a log: which files make it up, and how that changes.
//!
//! Every change of the list is one whole new manifest. The order of steps is such that at every moment the manifest on the disk
//! lists files that are there and that together hold all that was promised:
//!
//! - a file exists, and its name is durable, before a manifest lists it;
//! - a file is removed only after a manifest without it (or with it as history) is durable.

use crate::disk::{Disk, read_all};
use crate::error::LogError;
use crate::manifest::{Entry, Kind, Manifest};
use crate::temp::{CommitError, replace};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The pair by which a manifest says which piece an increment of ours follows, so that one that was emptied, or taken from the
/// list, is missed. Other servers pass over it.
const AFTER: &str = "redpoll-after";

/// The log of a data folder, known by its manifest.
#[derive(Clone, Debug)]
pub struct AofFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    name: String,
    manifest: Manifest,
    /// Files that the last manifest does not list but the one before may, whose replacement was not certain.
    unsure: Vec<String>,
}

/// The pairs by which Redis 8 says which stretch of the stream to replicas an increment has: where it begins, and where it ended when
/// its log was closed.
const STARTS: &str = "startoffset";
const ENDS: &str = "endoffset";

impl AofFolder {
    /// Reads what is there, changing nothing: `dir` is the data folder, the others are `appenddirname` and `appendfilename`.
    ///
    /// None if there is no log. A log that is not as it must be is an error: a listed file is missing, or there is no list
    /// beside files that hold data.
    pub fn look(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        folder: &str,
        name: &str,
    ) -> Result<Option<AofFolder>, LogError> {
        AofFolder::look_at(disk, dir.join(folder), name)
    }

    /// The same for a folder that is known by its own path.
    pub(crate) fn look_at(
        disk: &Arc<dyn Disk>,
        folder: PathBuf,
        name: &str,
    ) -> Result<Option<AofFolder>, LogError> {
        let mut this = AofFolder::at(disk, folder, name);
        let there = disk
            .is_folder(&this.folder)
            .map_err(|e| LogError::io(&this.folder, "look at it", &e))?;
        if !there {
            return Ok(None);
        }
        let path = this.manifest_path();
        let listed = disk
            .size(&path)
            .map_err(|e| LogError::io(&path, "look at it", &e))?;
        if listed.is_none() {
            return this.refuse_orphans().map(|()| None);
        }
        let text = read_all(&**disk, &path).map_err(|e| LogError::io(&path, "read it", &e))?;
        this.manifest = Manifest::parse(&text).map_err(|what| LogError::manifest(&path, what))?;
        for entry in this.manifest.files() {
            let path = this.folder.join(&entry.name);
            match disk.size(&path) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let what = format!(
                        "is missing, but {} lists it; without it data would be lost",
                        this.manifest_path().display()
                    );
                    return Err(LogError::manifest(path, what));
                }
                Err(error) => return Err(LogError::io(path, "look at it", &error)),
            }
        }
        Ok(Some(this))
    }

    /// Opens the log of a data folder, which must be locked, making it if there is none; takes in the single file of an older
    /// server, and removes what an earlier process left behind, history too.
    pub fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        folder: &str,
        name: &str,
    ) -> Result<AofFolder, LogError> {
        let mut this = AofFolder::open_with_history(disk, dir, folder, name)?;
        for path in this.history() {
            // One that is missing was removed before its line.
            let _ = disk.remove(&path);
        }
        this.forget_history();
        Ok(this)
    }

    /// The same, but history stays (`aof-disable-auto-gc`).
    pub fn open_with_history(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        folder: &str,
        name: &str,
    ) -> Result<AofFolder, LogError> {
        AofFolder::take_in_single_file(disk, dir, folder, name)?;
        let this = match AofFolder::look(disk, dir, folder, name)? {
            Some(this) => this,
            None => AofFolder::create(disk, dir, folder, name)?,
        };
        this.clean();
        Ok(this)
    }

    fn at(disk: &Arc<dyn Disk>, folder: PathBuf, name: &str) -> AofFolder {
        AofFolder {
            disk: Arc::clone(disk),
            folder,
            name: name.to_owned(),
            manifest: Manifest::default(),
            unsure: Vec::new(),
        }
    }

    /// Makes the folder and a manifest that lists nothing. So whoever finds files without a manifest later knows that they
    /// are not those of a log that was about to begin.
    fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        folder: &str,
        name: &str,
    ) -> Result<AofFolder, LogError> {
        let mut this = AofFolder::at(disk, dir.join(folder), name);
        let made = disk
            .create_folder(&this.folder)
            .and_then(|()| disk.sync_folder(dir));
        made.map_err(|e| LogError::io(&this.folder, "make it", &e))?;
        this.list(Manifest::default())
            .map_err(|e| LogError::manifest(this.manifest_path(), e.to_string()))?;
        Ok(this)
    }

    /// Servers before Redis 7 keep one file in the data folder. It becomes the base, under its own name. The manifest comes
    /// first: found again after a crash between the two steps, the file is moved then.
    fn take_in_single_file(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        folder: &str,
        name: &str,
    ) -> Result<(), LogError> {
        let single = dir.join(name);
        let io =
            |path: &Path, doing: &str, error: std::io::Error| LogError::io(path, doing, &error);
        let there = disk
            .size(&single)
            .map_err(|e| io(&single, "look at it", e))?;
        if there.is_none() {
            return Ok(());
        }
        let mut this = AofFolder::at(disk, dir.join(folder), name);
        let path = this.manifest_path();
        let entry = Entry {
            name: name.to_owned(),
            seq: 1,
            kind: Kind::Base,
            extra: Vec::new(),
        };
        let taken = Manifest {
            base: Some(entry),
            ..Manifest::default()
        };
        let listed = disk.size(&path).map_err(|e| io(&path, "look at it", e))?;
        if listed.is_some() {
            let text = read_all(&**disk, &path).map_err(|e| io(&path, "read it", e))?;
            let found = Manifest::parse(&text).map_err(|what| LogError::manifest(&path, what))?;
            let moved = disk
                .size(&this.folder.join(name))
                .map_err(|e| io(&path, "look at it", e))?;
            let half_done = found.files().eq(taken.files()) && moved.is_none();
            if !found.is_empty() && !half_done {
                // A log is there; the older file beside it is not part of it.
                return Ok(());
            }
        }
        disk.create_folder(&this.folder)
            .and_then(|()| disk.sync_folder(dir))
            .map_err(|e| io(&this.folder, "make it", e))?;
        if listed.is_none() {
            this.refuse_orphans()?;
        }
        this.list(taken)
            .map_err(|e| LogError::manifest(&path, e.to_string()))?;
        disk.rename(&single, &this.folder.join(name))
            .and_then(|()| disk.sync_folder(&this.folder))
            .and_then(|()| disk.sync_folder(dir))
            .map_err(|e| io(&single, "move it into the folder of the log", e))
    }

    /// Files of a log without a manifest: it was lost, and with it the knowledge which of them count.
    fn refuse_orphans(&self) -> Result<(), LogError> {
        for (name, _) in self.files_of_ours()? {
            let path = self.folder.join(&name);
            let size = self.disk.size(&path);
            if size.map_err(|e| LogError::io(&path, "look at it", &e))? > Some(0) {
                return Err(LogError::manifest(
                    self.manifest_path(),
                    format!(
                        "is missing, but {} is there: restore the manifest, or move the folder away to start without data",
                        path.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Files named like those of this log, with their sequence numbers.
    fn files_of_ours(&self) -> Result<Vec<(String, u64)>, LogError> {
        let names = self
            .disk
            .list(&self.folder)
            .map_err(|e| LogError::io(&self.folder, "list it", &e))?;
        Ok(names
            .into_iter()
            .filter_map(|name| {
                let rest = name.strip_prefix(self.name.as_str())?.strip_prefix('.')?;
                let (seq, ending) = rest.split_once('.')?;
                let ours = matches!(ending, "base.rdb" | "base.aof" | "incr.aof");
                let seq = seq.parse().ok()?;
                ours.then_some((name, seq))
            })
            .collect())
    }

    /// Removes what earlier processes left unfinished. What cannot be removed now can the next time.
    fn clean(&self) {
        if let Ok(names) = self.disk.list(&self.folder) {
            let temp = format!("temp-{}.", self.name);
            for name in names.iter().filter(|name| name.starts_with(&temp)) {
                let _ = self.disk.remove(&self.folder.join(name));
            }
        }
    }

    /// Files of history, which are to be removed: none that is to be loaded as well, as a manifest may say that somebody has edited.
    pub(crate) fn history(&self) -> Vec<PathBuf> {
        let loaded = |entry: &&Entry| self.manifest.files().any(|file| file.name == entry.name);
        let names = self.manifest.history.iter().filter(|entry| !loaded(entry));
        names.map(|entry| self.folder.join(&entry.name)).collect()
    }

    /// Removes the lines of history whose files are gone. What fails now is done at the next start.
    pub(crate) fn forget_history(&mut self) {
        let mut history = self.manifest.history.clone();
        history.retain(|entry| {
            let size = self.disk.size(&self.folder.join(&entry.name));
            !matches!(size, Ok(None))
        });
        if history.len() == self.manifest.history.len() {
            return;
        }
        let manifest = Manifest {
            history,
            ..self.manifest.clone()
        };
        let _ = self.list(manifest);
    }

    /// Makes this the list of files, durably. After an error that is not sure either list may be found after a crash; the
    /// old one then counts here.
    pub(crate) fn list(&mut self, manifest: Manifest) -> Result<(), CommitError> {
        let text = manifest.text();
        match replace(&self.disk, &self.manifest_path(), text.as_bytes()) {
            Ok(()) => {
                self.manifest = manifest;
                for name in std::mem::take(&mut self.unsure) {
                    if !self.may_be_listed(&name) {
                        let _ = self.disk.remove(&self.folder.join(name));
                    }
                }
                Ok(())
            }
            Err(error) => {
                if error.unsure {
                    let names = manifest.files().map(|entry| entry.name.clone());
                    self.unsure.extend(names);
                }
                Err(error)
            }
        }
    }

    /// Leaves a sign that a sync of a file of this log has failed. What such a sync should have saved can still be read, so that
    /// the next process would take it for good.
    pub(crate) fn suspect(&self, why: &str) {
        let path = self.sign_path();
        if replace(&self.disk, &path, why.as_bytes()).is_err() {
            // A full disk may still have room for a name. One so broken that this fails too leaves nothing to be done.
            let _ = self
                .disk
                .create(&path)
                .and_then(|_| self.disk.sync_folder(&self.folder));
        }
    }

    /// What the sign of a failed sync says, if there is one.
    pub(crate) fn is_suspect(&self) -> Result<Option<String>, LogError> {
        let path = self.sign_path();
        match self.disk.size(&path) {
            Ok(None) => Ok(None),
            Ok(Some(_)) => read_all(&*self.disk, &path)
                .map(|text| Some(String::from_utf8_lossy(&text).into_owned()))
                .map_err(|e| LogError::io(&path, "read it", &e)),
            Err(error) => Err(LogError::io(&path, "look at it", &error)),
        }
    }

    /// Everything was written anew: nothing is suspect.
    pub(crate) fn not_suspect(&self) {
        let path = self.sign_path();
        if self.disk.size(&path).is_ok_and(|size| size.is_some()) {
            // Left behind, it costs a rewrite at the next start.
            let _ = self
                .disk
                .remove(&path)
                .and_then(|()| self.disk.sync_folder(&self.folder));
        }
    }

    fn sign_path(&self) -> PathBuf {
        self.folder.join(format!("{}.suspect", self.name))
    }

    /// Whether a list that may be on the disk has this file.
    pub(crate) fn may_be_listed(&self, name: &str) -> bool {
        self.unsure.iter().any(|n| n == name)
            || self.manifest.files().any(|entry| entry.name == name)
    }

    /// A file that is to be the next base; `aof` if it holds commands, else an RDB.
    pub(crate) fn next_base(&self, aof: bool) -> Result<Entry, LogError> {
        let ending = if aof { "aof" } else { "rdb" };
        let listed = self.manifest.base.iter().chain(&self.manifest.history);
        self.next(Kind::Base, &format!("base.{ending}"), listed, "base.")
    }

    /// Where in the stream to replicas the log ends, as far as Redis's pairs tell: without an end of the last increment that is its
    /// beginning and its size.
    pub fn stream_offset(&self) -> Option<u64> {
        let last = self.manifest.increments.last()?;
        if let Some(end) = last.number(ENDS) {
            return Some(end);
        }
        let size = self.disk.size(&self.path(&last.name)).ok().flatten();
        Some(last.number(STARTS)?.saturating_add(size.unwrap_or(0)))
    }

    /// Says, or does not say any more, where in the stream the last increment ends, if it says where it begins.
    pub(crate) fn end_at(&mut self, offset: Option<u64>) -> Result<(), CommitError> {
        let mut manifest = self.manifest.clone();
        let Some(last) = manifest.increments.last_mut() else {
            return Ok(());
        };
        let begins = last.number(STARTS).is_some();
        last.extra
            .retain(|(key, _)| !key.eq_ignore_ascii_case(ENDS));
        if let Some(offset) = offset.filter(|_| begins) {
            let behind = last
                .extra
                .iter()
                .position(|(key, _)| key.eq_ignore_ascii_case(STARTS));
            let pair = (ENDS.to_owned(), offset.to_string());
            last.extra.insert(behind.map_or(0, |at| at + 1), pair);
        }
        match manifest == self.manifest {
            true => Ok(()),
            false => self.list(manifest),
        }
    }

    /// A file that is to be the next increment, behind a piece, and where in the stream to replicas that is.
    pub(crate) fn next_increment(
        &self,
        after: u64,
        offset: Option<u64>,
    ) -> Result<Entry, LogError> {
        let listed = self
            .manifest
            .increments
            .iter()
            .chain(&self.manifest.history);
        let mut entry = self.next(Kind::Increment, "incr.aof", listed, "incr.")?;
        let begins = offset.map(|offset| (STARTS.to_owned(), offset.to_string()));
        entry.extra.extend(begins);
        entry.extra.push((AFTER.to_owned(), after.to_string()));
        Ok(entry)
    }

    /// Numbers go on from what is listed, and past what is there without being listed: no file is ever written over.
    fn next<'a>(
        &self,
        kind: Kind,
        ending: &str,
        listed: impl Iterator<Item = &'a Entry>,
        alike: &str,
    ) -> Result<Entry, LogError> {
        let listed = listed
            .filter(|entry| entry.kind == kind || entry.name.contains(alike))
            .map(|entry| entry.seq)
            .max();
        let there = self.files_of_ours()?;
        let there = there
            .iter()
            .filter(|(name, _)| name.contains(alike))
            .map(|(_, seq)| *seq)
            .max();
        let seq = listed.max(there).unwrap_or(0).saturating_add(1);
        Ok(Entry {
            name: format!("{}.{seq}.{ending}", self.name),
            seq,
            kind,
            extra: Vec::new(),
        })
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The files to load, in order, each with the piece that came before it, where the list says so.
    pub(crate) fn chain(&self) -> Vec<(PathBuf, Option<u64>)> {
        let files = self.manifest.files();
        files
            .map(|e| (self.path(&e.name), e.number(AFTER)))
            .collect()
    }

    /// Where a file of the log is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What its files are called before their numbers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The list of files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the list is.
    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.folder.join(format!("{}.manifest", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LogErrorKind;
    use crate::faulty::{EIO, Fault, FaultyDisk};
    use std::sync::atomic::{AtomicU64, Ordering};

    const DIR: &str = "/d";
    const FOLDER: &str = "appendonlydir";
    const NAME: &str = "appendonly.aof";

    fn open(disk: &FaultyDisk) -> Result<AofFolder, LogError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        AofFolder::open(&disk, Path::new(DIR), FOLDER, NAME)
    }

    fn look(disk: &FaultyDisk) -> Result<Option<AofFolder>, LogError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        AofFolder::look(&disk, Path::new(DIR), FOLDER, NAME)
    }

    fn at(name: &str) -> PathBuf {
        Path::new(DIR).join(FOLDER).join(name)
    }

    #[test]
    fn a_new_log_lists_nothing_and_numbers_from_one() {
        let disk = FaultyDisk::new();
        assert!(look(&disk).expect("fine").is_none());
        let folder = open(&disk).expect("made");
        assert!(folder.manifest().is_empty());
        assert_eq!(
            folder.next_base(false).expect("fine").name,
            "appendonly.aof.1.base.rdb"
        );
        assert_eq!(
            folder.next_increment(0, None).expect("fine").name,
            "appendonly.aof.1.incr.aof"
        );
        // A file that is there is not written over, listed or not.
        disk.put(at("appendonly.aof.7.incr.aof"), b"x");
        assert_eq!(folder.next_increment(0, None).expect("fine").seq, 8);
        assert_eq!(
            folder.next_base(true).expect("fine").name,
            "appendonly.aof.1.base.aof"
        );
        assert!(open(&disk.crash(3)).expect("there").manifest().is_empty());
    }

    #[test]
    fn missing_files_are_refused_and_named() {
        let disk = FaultyDisk::new();
        let manifest = at("appendonly.aof.manifest");
        disk.put(
            &manifest,
            b"file a.1.base.rdb seq 1 type b\nfile b.1.incr.aof seq 1 type i\n",
        );
        disk.put(at("b.1.incr.aof"), b"");
        let error = open(&disk).expect_err("the base is missing");
        assert_eq!(error.kind, LogErrorKind::Manifest);
        assert!(
            error
                .to_string()
                .starts_with("/d/appendonlydir/a.1.base.rdb: is missing"),
            "{error}"
        );
        disk.put(&manifest, b"nonsense\n");
        let error = open(&disk).expect_err("not a manifest");
        assert!(error.to_string().contains("line 1"), "{error}");
        let disk = FaultyDisk::new();
        disk.put(at("appendonly.aof.3.incr.aof"), b"data");
        let error = open(&disk).expect_err("no manifest");
        assert!(
            error
                .to_string()
                .contains("appendonly.aof.3.incr.aof is there"),
            "{error}"
        );
        disk.put(at("appendonly.aof.3.incr.aof"), b"");
        open(&disk).expect("an empty file holds nothing");
    }

    #[test]
    fn what_is_to_be_loaded_is_no_history() {
        let disk = FaultyDisk::new();
        disk.put(
            at("appendonly.aof.manifest"),
            b"file n.1.base.rdb seq 1 type b\nfile n.1.base.rdb seq 1 type h\nfile n.1.incr seq 1 type i\n",
        );
        for name in ["n.1.base.rdb", "n.1.incr"] {
            disk.put(at(name), b"x");
        }
        open(&disk).expect("fine");
        assert!(disk.contents(at("n.1.base.rdb")).is_some());
    }

    #[test]
    fn history_and_leftovers_are_removed() {
        let disk = FaultyDisk::new();
        disk.put(
            at("appendonly.aof.manifest"),
            b"file n.2.base.rdb seq 2 type b\nfile n.1.base.rdb seq 1 type h\nfile gone seq 1 type h\n",
        );
        for name in [
            "n.2.base.rdb",
            "n.1.base.rdb",
            "temp-appendonly.aof.base",
            "other",
        ] {
            disk.put(at(name), b"x");
        }
        let folder = open(&disk).expect("fine");
        assert!(folder.manifest().history.is_empty());
        assert_eq!(
            disk.list(folder.folder()).expect("listed"),
            ["appendonly.aof.manifest", "n.2.base.rdb", "other"]
        );
    }

    #[test]
    fn a_single_file_is_taken_in_wherever_the_power_goes() {
        let mut at_operation = 0;
        loop {
            let disk = FaultyDisk::new();
            disk.put("/d/appendonly.aof", b"the older file");
            let done = AtomicU64::new(0);
            disk.script(move |_, _| {
                (done.fetch_add(1, Ordering::Relaxed) >= at_operation).then_some(Fault::Error(EIO))
            });
            let opened = open(&disk);
            for seed in 0..20 {
                let after = disk.crash(seed);
                let folder = open(&after).expect("opens after a crash");
                let names: Vec<&str> = folder.manifest().files().map(|e| e.name.as_str()).collect();
                assert_eq!(names, [NAME], "operation {at_operation}, seed {seed}");
                assert_eq!(after.contents(at(NAME)).expect("moved"), b"the older file");
                assert_eq!(after.contents("/d/appendonly.aof"), None);
                assert_eq!(open(&after).expect("again").manifest(), folder.manifest());
            }
            at_operation += 1;
            if opened.is_ok() {
                break;
            }
        }
        assert!(at_operation > 5);
    }

    #[test]
    fn an_older_file_beside_a_log_is_left_alone() {
        let disk = FaultyDisk::new();
        disk.put(
            at("appendonly.aof.manifest"),
            b"file n.2.base.rdb seq 2 type b\n",
        );
        disk.put(at("n.2.base.rdb"), b"x");
        disk.put("/d/appendonly.aof", b"older");
        let folder = open(&disk).expect("fine");
        assert_eq!(folder.manifest().files().count(), 1);
        assert_eq!(disk.contents("/d/appendonly.aof").expect("there"), b"older");
    }
}
