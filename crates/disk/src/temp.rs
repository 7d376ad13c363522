//! Replacing a file as a whole or not at all.
//!
//! The new contents go to a temporary file beside the old one. Once they are on the disk the temporary file takes the old one's
//! name, and the folder is synced. Until then a failure, or a crash, leaves the old file as it was.

use crate::disk::{Disk, File, append_all};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a large file gets to the disk.
pub struct SyncPlan {
    /// Begins a sync whenever so many bytes were written, so that the last one has little left to do and writes of others wait less
    /// (`rdb-save-incremental-fsync`, `aof-rewrite-incremental-fsync`); 0 for only at the end. So many may be written while the bytes
    /// before them go to the disk.
    pub every: u64,
    /// Called after each write with its size; may wait, to leave the disk to others.
    pub pace: Option<Box<dyn FnMut(u64) + Send>>,
}

impl SyncPlan {
    /// Steps of 4 MB if `incremental`, and no pace.
    pub fn incremental(incremental: bool) -> SyncPlan {
        SyncPlan {
            every: if incremental { 4 << 20 } else { 0 },
            pace: None,
        }
    }
}

impl fmt::Debug for SyncPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncPlan")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

const BUFFER: usize = 256 * 1024;

/// New contents on their way to a file. Dropped before [`AtomicFile::commit`] it leaves nothing behind.
pub struct AtomicFile {
    disk: Arc<dyn Disk>,
    temp: PathBuf,
    file: Option<Box<dyn File>>,
    buffer: Vec<u8>,
    written: u64,
    /// Up to here a sync was begun.
    begun: u64,
    plan: SyncPlan,
    /// Everything written is durable.
    clean: bool,
    failed: bool,
}

impl fmt::Debug for AtomicFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicFile")
            .field("temp", &self.temp)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Why a file was not replaced.
#[derive(Debug)]
pub struct CommitError {
    /// What the disk said.
    pub error: io::Error,
    /// What was being done.
    pub(crate) doing: &'static str,
    /// After a crash the old file may be found or the new one: renaming failed half way, or its sync did. False: the old one
    /// for certain.
    pub(crate) unsure: bool,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.error)
    }
}

impl std::error::Error for CommitError {}

impl From<CommitError> for io::Error {
    fn from(error: CommitError) -> io::Error {
        io::Error::new(error.error.kind(), error.to_string())
    }
}

impl AtomicFile {
    /// The name of this process's temporary file with an ending, `temp-<pid>.rdb`.
    pub fn temp_name(ending: &str) -> String {
        format!("temp-{}.{ending}", std::process::id())
    }

    /// Begins with an empty temporary file of this name, which must be on the file system of the file to replace.
    pub fn create(disk: &Arc<dyn Disk>, temp: &Path, plan: SyncPlan) -> io::Result<AtomicFile> {
        let file = disk.create(temp)?;
        Ok(AtomicFile {
            disk: Arc::clone(disk),
            temp: temp.to_owned(),
            file: Some(file),
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            begun: 0,
            plan,
            clean: false,
            failed: false,
        })
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The temporary file.
    pub fn path(&self) -> &Path {
        &self.temp
    }

    /// Makes the contents durable, still under the temporary name.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.clean {
            return Ok(());
        }
        let result = self.file().and_then(|file| file.sync());
        // What a failed sync lost does not come back: nothing may be committed any more.
        self.failed |= result.is_err();
        result?;
        self.begun = self.written;
        self.clean = true;
        Ok(())
    }

    /// Makes this the file of that name, durably, and gives its size.
    pub fn commit(mut self, target: &Path) -> Result<u64, CommitError> {
        let sure = |doing| {
            move |error| CommitError {
                error,
                doing,
                unsure: false,
            }
        };
        self.sync().map_err(sure("write the new file"))?;
        let folder = target.parent().unwrap_or(Path::new(""));
        let renamed = self.disk.rename(&self.temp, target);
        renamed.map_err(|error| CommitError {
            error,
            doing: "rename the new file",
            unsure: true,
        })?;
        // It has its name: there is nothing to clean up.
        self.file = None;
        self.disk.sync_folder(folder).map_err(|error| CommitError {
            error,
            doing: "sync the folder of the new file",
            unsure: true,
        })?;
        Ok(self.written)
    }

    fn file(&mut self) -> io::Result<&mut Box<dyn File>> {
        if self.failed {
            return Err(io::Error::other("an earlier write or sync failed"));
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("closed"))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.file().and_then(|file| append_all(&mut **file, bytes));
        self.failed |= result.is_err();
        self.clean = false;
        result?;
        self.written += bytes.len() as u64;
        if let Some(pace) = &mut self.plan.pace {
            pace(bytes.len() as u64);
        }
        if self.plan.every > 0 && self.written - self.begun >= self.plan.every {
            let result = self.file().and_then(|file| file.begin_sync());
            self.failed |= result.is_err();
            result?;
            self.begun = self.written;
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.put(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.put(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Left behind it is removed at the next start.
            let _ = self.disk.remove(&self.temp);
        }
    }
}

/// Replaces a small file.
pub fn replace(disk: &Arc<dyn Disk>, target: &Path, bytes: &[u8]) -> Result<(), CommitError> {
    let folder = target.parent().unwrap_or(Path::new(""));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temp = folder.join(format!("temp-{name}"));
    let write = |error| CommitError {
        error,
        doing: "write the new file",
        unsure: false,
    };
    let mut file = AtomicFile::create(disk, &temp, SyncPlan::incremental(false)).map_err(write)?;
    file.write_all(bytes).map_err(write)?;
    file.commit(target).map(drop)
}

/// Removes what processes that ended too early left in a folder: files `temp-<number>.<ending>`. Only for the holder of the
/// folder's lock.
pub fn remove_leftovers(disk: &dyn Disk, folder: &Path, ending: &str) -> io::Result<usize> {
    let mut removed = 0;
    for name in disk.list(folder)? {
        let number = name
            .strip_prefix("temp-")
            .and_then(|name| name.strip_suffix(ending))
            .and_then(|name| name.strip_suffix('.'));
        if number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            disk.remove(&folder.join(&name))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::{EIO, Fault, FaultyDisk, Operation};
    use std::sync::atomic::{AtomicU64, Ordering};

    const OLD: &[u8] = b"old contents";

    fn disk() -> (FaultyDisk, Arc<dyn Disk>) {
        let disk = FaultyDisk::new();
        disk.put("/d/dump.rdb", OLD);
        (disk.clone(), Arc::new(disk))
    }

    fn save(disk: &Arc<dyn Disk>, bytes: &[u8]) -> io::Result<u64> {
        let plan = SyncPlan {
            every: 300_000,
            pace: None,
        };
        let mut file = AtomicFile::create(disk, Path::new("/d/temp-1.rdb"), plan)?;
        for part in bytes.chunks(100_000) {
            file.write_all(part)?;
        }
        Ok(file.commit(Path::new("/d/dump.rdb"))?)
    }

    #[test]
    fn a_file_is_old_or_new_wherever_the_power_goes_and_new_once_it_is_said_so() {
        let new = vec![7; 1_000_000];
        let mut outcomes = [0; 2];
        let mut at = 0;
        loop {
            let (faulty, disk) = disk();
            let done = AtomicU64::new(0);
            // From some operation on everything fails: that is where the power goes.
            faulty.script(move |_, _| {
                (done.fetch_add(1, Ordering::Relaxed) >= at).then_some(Fault::Error(EIO))
            });
            let saved = save(&disk, &new);
            for seed in 0..5 {
                let after = faulty.crash(seed);
                let found = after.contents("/d/dump.rdb").expect("never away");
                let is_new = found == new;
                assert!(is_new || found == OLD, "operation {at}, seed {seed}");
                assert!(is_new || saved.is_err(), "operation {at}, seed {seed}");
                outcomes[usize::from(is_new)] += 1;
            }
            at += 1;
            if saved.is_ok() {
                break;
            }
        }
        assert!(outcomes.iter().all(|&n| n > 0), "{outcomes:?}");
    }

    #[test]
    fn a_failed_save_says_why_keeps_the_old_file_and_leaves_nothing() {
        for capacity in [OLD.len(), 400_000] {
            let (faulty, disk) = disk();
            faulty.capacity(Some(capacity));
            let error = save(&disk, &vec![7; 1_000_000]).expect_err("no room");
            assert!(error.to_string().contains("No space"), "{error}");
            assert_eq!(faulty.contents("/d/dump.rdb").expect("there"), OLD);
            assert_eq!(disk.list(Path::new("/d")).expect("listed"), ["dump.rdb"]);
        }
    }

    #[test]
    fn a_sync_that_failed_is_not_forgotten() {
        let (faulty, disk) = disk();
        let plan = SyncPlan::incremental(false);
        let mut file = AtomicFile::create(&disk, Path::new("/d/temp-1.rdb"), plan).expect("made");
        file.write_all(b"new").expect("written");
        faulty.script(|operation, _| (operation == Operation::Sync).then_some(Fault::Error(EIO)));
        assert!(file.sync().is_err());
        faulty.heal();
        let error = file.commit(Path::new("/d/dump.rdb")).expect_err("suspect");
        assert!(!error.unsure);
        assert_eq!(faulty.contents("/d/dump.rdb").expect("there"), OLD);
    }

    /// A disk that fails once fails what was written before that, though everything after it goes well.
    #[test]
    fn a_sync_that_was_begun_and_failed_is_not_forgotten() {
        for fails in 0..3 {
            let (faulty, disk) = disk();
            let syncs = AtomicU64::new(0);
            faulty.script(move |operation, _| {
                let fails =
                    operation == Operation::Sync && syncs.fetch_add(1, Ordering::Relaxed) == fails;
                fails.then_some(Fault::Error(EIO))
            });
            assert!(save(&disk, &vec![7; 1_000_000]).is_err(), "sync {fails}");
            assert_eq!(faulty.contents("/d/dump.rdb").expect("there"), OLD);
        }
    }

    #[test]
    fn big_writes_are_few_and_synced_on_the_way() {
        let (faulty, disk) = disk();
        let counts = Arc::new([const { AtomicU64::new(0) }; 2]);
        let seen = Arc::clone(&counts);
        faulty.script(move |operation, _| {
            match operation {
                Operation::Append(_) => seen[0].fetch_add(1, Ordering::Relaxed),
                Operation::Sync => seen[1].fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
            None
        });
        let paced = Arc::new(AtomicU64::new(0));
        let pace = Arc::clone(&paced);
        let plan = SyncPlan {
            every: 1 << 20,
            pace: Some(Box::new(move |n| {
                pace.fetch_add(n, Ordering::Relaxed);
            })),
        };
        let mut file = AtomicFile::create(&disk, Path::new("/d/temp-1.rdb"), plan).expect("made");
        for _ in 0..40_000 {
            file.write_all(&[1; 100]).expect("written");
        }
        assert_eq!(file.len(), 4_000_000);
        assert_eq!(
            file.commit(Path::new("/d/dump.rdb")).expect("done"),
            4_000_000
        );
        assert_eq!(counts[0].load(Ordering::Relaxed), 16);
        assert_eq!(counts[1].load(Ordering::Relaxed), 4);
        assert_eq!(paced.load(Ordering::Relaxed), 4_000_000);
    }

    #[test]
    fn leftovers_are_told_from_other_files() {
        let (faulty, disk) = disk();
        for name in [
            "temp-1.rdb",
            "temp-23.rdb",
            "temp-x.rdb",
            "temp-.rdb",
            "temp-4.aof",
        ] {
            faulty.put(Path::new("/d").join(name), b"");
        }
        let removed = remove_leftovers(&*disk, Path::new("/d"), "rdb").expect("removed");
        assert_eq!(removed, 2);
        assert_eq!(
            disk.list(Path::new("/d")).expect("listed"),
            ["dump.rdb", "temp-.rdb", "temp-4.aof", "temp-x.rdb"]
        );
    }
}
