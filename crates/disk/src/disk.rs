//! What is asked of a disk, and the real one.
//!
//! [`Disk`] has the few operations that durable files need, no more, so that a model of it can be complete. Paths are whatever
//! the caller uses consistently; nobody here depends on the current directory more than once.

use crate::direct::{Direct, Way, first};
use std::fmt;
use std::fs;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

/// Files and folders by path.
///
/// Nothing is durable by itself: a file's contents are after [`File::sync`], its name (or its having no name any more) after
/// [`Disk::sync_folder`] of the folder it is in.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens an existing file to read it.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Makes an empty file to append to, in place of what has that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file to append to it.
    fn append(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of files (not of folders) in a folder, sorted.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Size of the file at a path; none if there is no file.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Whether there is a folder at a path.
    fn is_folder(&self, path: &Path) -> io::Result<bool>;
    /// Makes a folder, unless there is one.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes durable which names a folder holds.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock that the file at this path stands for, made if it is missing, and leaves `text` in it.
    fn lock(&self, path: &Path, text: &str) -> Result<Lock, LockError>;
}

/// An open file.
pub trait File: Send {
    /// Reads what is at an offset; fewer bytes than asked for, but at least one unless the file ends there.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Appends the first bytes of these slices, at least one, and says how many.
    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes the first of these bytes, at least one, over what is at an offset, which the file reaches to, and says how many. Beyond its
    /// end it grows.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes contents and size durable. After an error nobody knows what is on the disk: trying again proves nothing.
    fn sync(&mut self) -> io::Result<()>;
    /// Begins to make durable what there is so far, and may return before it is. [`File::sync`] waits for that, and says if it failed, as
    /// does the next call of this. So the disk works while the next bytes are made, and what it still has to do is bounded.
    fn begin_sync(&mut self) -> io::Result<()> {
        self.sync()
    }
    /// Whether what [`File::begin_sync`] began is done, without waiting for it. An error is that of the sync, as of [`File::sync`].
    fn is_synced(&mut self) -> io::Result<bool> {
        Ok(true)
    }
    /// What is appended from here on is not read again soon: the system need not keep it in memory. To be said while the file has the name that
    /// it was opened by.
    fn is_not_read_soon(&mut self) {}
    /// Cuts the file to a size it has or exceeds.
    fn truncate(&mut self, size: u64) -> io::Result<()>;
    /// Its size.
    fn size(&self) -> io::Result<u64>;
}

/// A lock held; given back when dropped.
pub struct Lock(
    #[allow(dead_code, reason = "held, not looked at")] Box<dyn std::any::Any + Send + Sync>,
);

impl Lock {
    /// A lock that whatever is in it holds.
    pub fn new(held: impl std::any::Any + Send + Sync) -> Lock {
        Lock(Box::new(held))
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it; the text is what the holder left in the file.
    Held(String),
    /// The file cannot be opened, locked or written.
    Io(io::Error),
}

/// The file that stands for a data folder's lock.
pub const LOCK_FILE: &str = "redpoll.lock";

/// Takes a data folder for this process: one server, or one embedding program, at a time.
///
/// The lock ends with the process, however it ends; the file stays, and is no sign of anything by itself. It says who has
/// the folder, and the name of the folder in it that has the log (`log`), where that is known.
pub fn lock_folder(disk: &dyn Disk, folder: &Path, log: &str) -> Result<Lock, String> {
    let path = folder.join(LOCK_FILE);
    match disk.lock(&path, &format!("{}\n{log}\n", std::process::id())) {
        Ok(lock) => Ok(lock),
        Err(LockError::Held(text)) => {
            let who = match text.lines().next().unwrap_or_default().parse::<u32>() {
                Ok(pid) if pid == std::process::id() => "this process already".to_owned(),
                Ok(pid) => format!("the process {pid}"),
                Err(_) => "another process".to_owned(),
            };
            Err(format!(
                "the data folder {} is in use by {who} (it holds {})",
                folder.display(),
                path.display()
            ))
        }
        Err(LockError::Io(error)) => Err(format!("cannot lock {}: {error}", path.display())),
    }
}

/// The operating system's files. New ones are readable by their owner only, or less if umask says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The disk as it is shared.
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }
}

struct RealFile {
    file: fs::File,
    /// Its size, as far as it is written here; and where the system would write next.
    end: u64,
    next: u64,
    syncing: Option<Syncing>,
    /// Where large writes go past the system's cache.
    direct: Option<Direct>,
    path: PathBuf,
}

/// A thread that syncs a file for another one, which goes on writing meanwhile.
struct Syncing {
    ask: SyncSender<()>,
    result: Receiver<io::Result<()>>,
    /// It was asked, and its answer has not been heard.
    asked: bool,
}

impl Syncing {
    fn of(file: &fs::File) -> io::Result<Syncing> {
        let file = file.try_clone()?;
        let (ask, asked) = sync_channel::<()>(1);
        let (answer, result) = sync_channel(1);
        let sync = move || {
            for () in asked {
                // Nobody waits for an answer whose file was dropped.
                if answer.send(file.sync_data()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("sync".into()).spawn(sync)?;
        Ok(Syncing {
            ask,
            result,
            asked: false,
        })
    }

    fn ask(&mut self) -> io::Result<()> {
        self.wait()?;
        self.ask.send(()).map_err(io::Error::other)?;
        self.asked = true;
        Ok(())
    }

    /// Waits until it has done what it was asked for.
    fn wait(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.asked) {
            true => self.result.recv().map_err(io::Error::other)?,
            false => Ok(()),
        }
    }

    /// Whether it has done what it was asked for.
    fn is_done(&mut self) -> io::Result<bool> {
        if !self.asked {
            return Ok(true);
        }
        let result = match self.result.try_recv() {
            Err(TryRecvError::Empty) => return Ok(false),
            Err(error @ TryRecvError::Disconnected) => Err(io::Error::other(error)),
            Ok(result) => result,
        };
        self.asked = false;
        result.map(|()| true)
    }
}

impl RealFile {
    /// To read only.
    fn reading(file: fs::File, path: PathBuf) -> RealFile {
        RealFile {
            file,
            end: 0,
            next: 0,
            syncing: None,
            direct: None,
            path,
        }
    }

    /// To write to as well. Not opened for appending, since then it could not be written over.
    fn writing(file: fs::File, path: PathBuf) -> io::Result<RealFile> {
        let end = file.metadata()?.len();
        Ok(RealFile {
            file,
            end,
            next: 0,
            syncing: None,
            direct: None,
            path,
        })
    }
}

impl RealFile {
    /// Appends the first of these bytes past the system's cache, if that is their way. If not, says how many of them go through it.
    fn append_past_cache(&mut self, slices: &[IoSlice<'_>]) -> Result<io::Result<usize>, usize> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        let Some(direct) = &mut self.direct else {
            return Err(bytes);
        };
        match direct.way(self.end, bytes) {
            Way::Cache(first) => Err(first),
            Way::Past(first) => direct.write(slices, first, self.end).ok_or_else(|| {
                self.direct = None;
                bytes
            }),
        }
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(RealFile::reading(
            fs::File::open(path)?,
            path.to_owned(),
        )))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = options().create(true).truncate(true).open(path)?;
        Ok(Box::new(RealFile::writing(file, path.to_owned())?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(RealFile::writing(
            options().open(path)?,
            path.to_owned(),
        )?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let (false, Ok(name)) =
                (entry.file_type()?.is_dir(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(metadata(path)?.filter(|m| !m.is_dir()).map(|m| m.len()))
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        Ok(metadata(path)?.is_some_and(|m| m.is_dir()))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path_or_here(path))?.sync_all()
    }

    fn lock(&self, path: &Path, text: &str) -> Result<Lock, LockError> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whatever is in the file only makes the message better.
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held(holder));
            }
            Err(fs::TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        file.set_len(0).map_err(LockError::Io)?;
        file.write_all(text.as_bytes()).map_err(LockError::Io)?;
        Ok(Lock::new(file))
    }
}

fn options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `dir` may be written as nothing at all.
fn path_or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path.to_owned()
    }
}

impl File for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let through = match self.append_past_cache(slices) {
            Ok(written) => {
                let n = written?;
                self.end += n as u64;
                return Ok(n);
            }
            Err(through) => through,
        };
        let cut;
        let slices = match through < slices.iter().map(|slice| slice.len()).sum() {
            true => {
                cut = first(slices, through);
                &cut
            }
            false => slices,
        };
        if self.next != self.end {
            self.next = self.file.seek(io::SeekFrom::Start(self.end))?;
        }
        match self.file.write_vectored(slices) {
            Ok(0) if slices.iter().any(|s| !s.is_empty()) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                self.end += n as u64;
                self.next = self.end;
                Ok(n)
            }
            Err(error) => Err(error),
        }
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.file.write_at(bytes, offset) {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                self.end = self.end.max(offset + n as u64);
                Ok(n)
            }
            Err(error) => Err(error),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        // What failed there is known to nobody else: the system tells of it once.
        if let Some(syncing) = &mut self.syncing {
            syncing.wait()?;
        }
        // The size counts as data that is needed to read the file; times of access and change do not.
        self.file.sync_data()
    }

    fn begin_sync(&mut self) -> io::Result<()> {
        if self.syncing.is_none() {
            self.syncing = Syncing::of(&self.file).ok();
        }
        match &mut self.syncing {
            Some(syncing) => syncing.ask(),
            // There is no thread to be had.
            None => self.sync(),
        }
    }

    fn is_synced(&mut self) -> io::Result<bool> {
        self.syncing.as_mut().map_or(Ok(true), Syncing::is_done)
    }

    fn is_not_read_soon(&mut self) {
        self.direct = Direct::open(&self.path, &self.file);
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.end = size;
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Appends all of these bytes.
pub fn append_all(file: &mut dyn File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(&[IoSlice::new(bytes)]) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of these bytes over what is at an offset, and says how much went there before an error.
pub(crate) fn write_all_at(
    file: &mut dyn File,
    bytes: &[u8],
    offset: u64,
) -> (u64, io::Result<()>) {
    let mut took = 0;
    while took < bytes.len() {
        match file.write_at(&bytes[took..], offset + took as u64) {
            Ok(n) => took += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (took as u64, Err(error)),
        }
    }
    (took as u64, Ok(()))
}

/// Reads until the buffer is full or the file ends, and says how much came.
pub(crate) fn read_full(file: &dyn File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match file.read_at(&mut into[have..], offset + have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}

/// A whole small file.
pub(crate) fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
    let have = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(have);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("redpoll-disk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a temporary folder");
        folder
    }

    #[test]
    fn a_real_file_goes_on_while_it_is_synced() {
        let dir = folder("goes-on");
        let path = dir.join("f");
        let mut file = RealDisk.create(&path).expect("created");
        assert!(file.is_synced().expect("asked"), "nothing was begun");
        let mut all = Vec::new();
        for round in 0..5_u8 {
            let bytes = vec![b'a' + round; 300_000 + 70_001 * usize::from(round)];
            append_all(&mut *file, &bytes).expect("appended");
            all.extend(bytes);
            file.begin_sync().expect("begun");
            append_all(&mut *file, b"meanwhile").expect("appended");
            all.extend(b"meanwhile");
            while !file.is_synced().expect("synced") {
                std::thread::yield_now();
            }
            assert!(read_all(&RealDisk, &path).expect("read") == all);
        }
        file.sync().expect("synced");
        drop(file);
        assert!(read_all(&RealDisk, &path).expect("read") == all);
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_real_file_appends_reads_truncates_and_is_private() {
        let dir = folder("file");
        let path = dir.join("f");
        let disk = RealDisk;
        fs::write(&path, b"older contents").expect("written");
        let _ = fs::remove_file(&path);
        let mut file = disk.create(&path).expect("created");
        append_all(&mut *file, b"hello, ").expect("appended");
        append_all(&mut *file, b"world").expect("appended");
        file.truncate(9).expect("cut");
        append_all(&mut *file, b"!").expect("appended where it was cut");
        for _ in 0..3 {
            file.begin_sync().expect("begun to be synced");
        }
        file.sync().expect("synced");
        assert_eq!(read_all(&disk, &path).expect("read"), b"hello, wo!");
        assert_eq!(file.write_at(b"HE", 0).expect("written over"), 2);
        assert_eq!(file.write_at(b"??", 9).expect("and beyond the end"), 2);
        append_all(&mut *file, b"!").expect("appended behind that");
        assert_eq!(read_all(&disk, &path).expect("read"), b"HEllo, wo??!");
        file.truncate(10).expect("cut");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode & !0o600, 0, "{mode:o}");
        let mut again = disk.append(&path).expect("opened");
        append_all(&mut *again, b"x").expect("appended");
        assert_eq!(disk.size(&path).expect("asked"), Some(11));
        assert_eq!(
            disk.create(&path).expect("emptied").size().expect("asked"),
            0
        );
        assert_eq!(disk.size(&dir.join("none")).expect("asked"), None);
        assert!(disk.append(&dir.join("none")).is_err());
        disk.create_folder(&dir.join("sub")).expect("made");
        disk.create_folder(&dir.join("sub")).expect("there");
        assert!(disk.create_folder(&path).is_err(), "a file is there");
        assert_eq!(disk.list(&dir).expect("listed"), ["f"]);
        disk.sync_folder(&dir).expect("synced");
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_folder_has_one_holder_who_is_named() {
        let dir = folder("lock");
        let lock = lock_folder(&RealDisk, &dir, "log").expect("free");
        let refused = lock_folder(&RealDisk, &dir, "log").expect_err("held");
        assert!(refused.contains("in use by this process"), "{refused}");
        drop(lock);
        let lock = lock_folder(&RealDisk, &dir, "log").expect("free again");
        fs::write(dir.join(LOCK_FILE), "123\n").expect("written");
        let refused = lock_folder(&RealDisk, &dir, "log").expect_err("held");
        assert!(refused.contains("in use by the process 123 "), "{refused}");
        drop(lock);
        fs::remove_dir_all(&dir).expect("removed");
    }
}
