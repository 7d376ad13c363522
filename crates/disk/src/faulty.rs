//! A disk in memory that fails when told to and forgets what was not synced.
//!
//! It knows two states of everything: what a running process sees, and what is certain to be there after the power went. In
//! between are operations not synced yet. [`FaultyDisk::crash`] decides their fate with a seed:
//!
//! - of a file's writes and truncations some first ones happened, and the last of them in part, torn at any byte; stretches
//!   of appended bytes may be zeros instead, as on file systems that write a size before the data, and blocks that were written
//!   over may be as they were;
//! - of the folders' changes (creations, renames, removals) some first ones happened, whatever became of the files;
//! - what [`File::sync`] and [`Disk::sync_folder`] covered is all there.
//!
//! After a sync that failed, what it should have made durable is never written, though it can still be read and later syncs
//! succeed: that is what Linux does. [`FaultyDisk::kill`] is the other end of a process: everything it wrote is there.
//!
//! Errors, short writes and slowness are the business of a script, [`FaultyDisk::script`], which is asked before every operation.

use crate::disk::{Disk, File, Lock, LockError};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opening a file to read or to append.
    Open,
    /// Making a file.
    Create,
    /// Reading from a file.
    Read,
    /// Appending this many bytes.
    Append(usize),
    /// Writing this many bytes over others.
    Write(usize),
    /// Syncing a file.
    Sync,
    /// Cutting a file.
    Truncate,
    /// Renaming to this path.
    Rename,
    /// Removing a file.
    Remove,
    /// Making a folder.
    CreateFolder,
    /// Syncing a folder.
    SyncFolder,
}

/// What is to become of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number and does nothing. A sync that fails loses what it should have saved.
    Error(i32),
    /// An append, or a write over others, takes only so many bytes.
    Short(usize),
}

/// The error numbers of a full and of a broken disk.
pub const ENOSPC: i32 = 28;
/// An input or output error.
pub const EIO: i32 = 5;

/// Asked before each operation on a path; may block, to be a slow disk.
pub type Script = Arc<dyn Fn(Operation, &Path) -> Option<Fault> + Send + Sync>;

/// A small generator of random numbers, so that a seed tells everything.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            0
        } else {
            (self.number() % n as u64) as usize
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    /// Bytes appended; `lost` after a sync that failed.
    Append {
        bytes: Vec<u8>,
        lost: bool,
    },
    /// Bytes written over others from a place on; the same.
    Write {
        at: usize,
        bytes: Vec<u8>,
        lost: bool,
    },
    Truncate(usize),
}

impl Change {
    /// Only its first bytes.
    fn first(&self, n: usize) -> Change {
        let mut first = self.clone();
        match &mut first {
            Change::Append { bytes, .. } | Change::Write { bytes, .. } => bytes.truncate(n),
            Change::Truncate(_) => {}
        }
        first
    }

    /// How many bytes it writes.
    fn len(&self) -> usize {
        match self {
            Change::Append { bytes, .. } | Change::Write { bytes, .. } => bytes.len(),
            Change::Truncate(_) => 0,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a running process reads.
    now: Vec<u8>,
    /// What is certain to be on the disk.
    durable: Vec<u8>,
    /// What happened since.
    pending: Vec<Change>,
}

impl Inode {
    /// A sync has failed: what was not certain yet is lost.
    fn lose(&mut self) {
        for change in &mut self.pending {
            if let Change::Append { lost, .. } | Change::Write { lost, .. } = change {
                *lost = true;
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Add(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Naming {
    fn concerns(&self, folder: &Path) -> bool {
        let within = |path: &Path| path.parent() == Some(folder);
        match self {
            Naming::Add(path, _) | Naming::Remove(path) => within(path),
            Naming::Rename(from, to) => within(from) || within(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Naming::Add(path, node) => {
                names.insert(path.clone(), node.clone());
            }
            Naming::Remove(path) => {
                names.remove(path);
            }
            Naming::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    pending_names: Vec<Naming>,
    locks: BTreeMap<PathBuf, String>,
    /// Bytes that all files together may have.
    capacity: Option<usize>,
    /// Syncs that are begun come to no end.
    syncs_held: bool,
    operations: u64,
}

impl State {
    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
    }

    fn used(&self) -> usize {
        let files = self.names.values().filter_map(|node| match node {
            Node::File(id) => Some(self.inodes[*id].now.len()),
            Node::Folder => None,
        });
        files.sum()
    }
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
    script: Arc<Mutex<Option<Script>>>,
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock_state();
        let mut map = f.debug_map();
        for (path, node) in &state.names {
            match node {
                Node::Folder => map.entry(path, &"folder"),
                Node::File(id) => map.entry(path, &state.inodes[*id].now.len()),
            };
        }
        map.finish()
    }
}

impl Default for FaultyDisk {
    fn default() -> FaultyDisk {
        FaultyDisk::new()
    }
}

impl FaultyDisk {
    /// An empty disk with the folder `/d`.
    pub fn new() -> FaultyDisk {
        let mut state = State::default();
        state.names.insert("/d".into(), Node::Folder);
        state.durable_names = state.names.clone();
        FaultyDisk::of(state)
    }

    fn of(state: State) -> FaultyDisk {
        FaultyDisk {
            state: Arc::new(Mutex::new(state)),
            script: Arc::new(Mutex::new(None)),
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks this about every operation from now on.
    pub fn script(
        &self,
        script: impl Fn(Operation, &Path) -> Option<Fault> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(script));
    }

    /// Everything goes well again.
    pub fn heal(&self) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.lock_state().capacity = None;
    }

    /// Room for so many bytes in all files together.
    pub fn capacity(&self, bytes: Option<usize>) {
        self.lock_state().capacity = bytes;
    }

    /// Whether syncs that are only [begun](File::begin_sync) come to an end. [`File::sync`] does.
    #[cfg(test)]
    pub(crate) fn hold_syncs(&self, hold: bool) {
        self.lock_state().syncs_held = hold;
    }

    /// How many operations were asked for so far.
    pub fn operations(&self) -> u64 {
        self.lock_state().operations
    }

    /// A file as a running process sees it.
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.lock_state();
        match state.names.get(path.as_ref()) {
            Some(Node::File(id)) => Some(state.inodes[*id].now.clone()),
            _ => None,
        }
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut state = self.lock_state();
        state.inodes.push(Inode {
            now: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
        });
        let node = Node::File(state.inodes.len() - 1);
        for folder in path.as_ref().ancestors().skip(1) {
            if folder != Path::new("/") && !folder.as_os_str().is_empty() {
                state.names.insert(folder.to_owned(), Node::Folder);
                state.durable_names.insert(folder.to_owned(), Node::Folder);
            }
        }
        state.names.insert(path.as_ref().to_owned(), node.clone());
        state.durable_names.insert(path.as_ref().to_owned(), node);
    }

    /// What would be there if the process were killed now, and nothing else happened.
    pub fn kill(&self) -> FaultyDisk {
        let state = self.lock_state();
        FaultyDisk::of(State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            pending_names: state.pending_names.clone(),
            ..State::default()
        })
    }

    /// What would be there if the power went now: everything synced, and of the rest what this seed decides.
    pub fn crash(&self, seed: u64) -> FaultyDisk {
        let mut random = Random::new(seed);
        let state = self.lock_state();
        let mut names = state.durable_names.clone();
        let happened = random.below(state.pending_names.len() + 1);
        for naming in &state.pending_names[..happened] {
            naming.apply(&mut names);
        }
        // Each file's fate is decided before anything else asks for numbers, so that a seed means the same in smaller cases.
        let inodes: Vec<Inode> = state
            .inodes
            .iter()
            .map(|inode| {
                let bytes = survivors(inode, &mut random);
                Inode {
                    now: bytes.clone(),
                    durable: bytes,
                    pending: Vec::new(),
                }
            })
            .collect();
        // A name whose folder did not come to be is nowhere.
        let folders: Vec<PathBuf> = names
            .iter()
            .filter(|(_, node)| **node == Node::Folder)
            .map(|(path, _)| path.clone())
            .collect();
        names.retain(|path, _| {
            path.parent().is_none_or(|parent| {
                parent == Path::new("/") || folders.iter().any(|folder| folder == parent)
            })
        });
        FaultyDisk::of(State {
            inodes,
            durable_names: names.clone(),
            names,
            ..State::default()
        })
    }

    fn ask(&self, operation: Operation, path: &Path) -> io::Result<Option<usize>> {
        let script = self
            .script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let fault = script.and_then(|script| script(operation, path));
        let mut state = self.lock_state();
        state.operations += 1;
        match fault {
            None => Ok(None),
            Some(Fault::Error(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::Short(bytes)) => Ok(Some(bytes)),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        match self.lock_state().names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn handle(&self, path: &Path, id: usize) -> Box<dyn File> {
        Box::new(Handle {
            disk: self.clone(),
            path: path.to_owned(),
            id,
            late: None,
            begun: None,
        })
    }
}

/// Bytes that a disk writes as a whole where there were others.
const BLOCK: usize = 512;

fn survivors(inode: &Inode, random: &mut Random) -> Vec<u8> {
    let mut bytes = inode.durable.clone();
    let happened = random.below(inode.pending.len() + 1);
    let start = bytes.len();
    for change in &inode.pending[..happened] {
        play(change, &mut bytes);
    }
    if let Some(change) = inode
        .pending
        .get(happened)
        .filter(|change| change.len() > 0)
    {
        let torn = random.below(change.len() + 1);
        play(&change.first(torn), &mut bytes);
    }
    // Blocks that were written over and are still as they were.
    let over = |change: &Change| matches!(change, Change::Write { .. });
    if inode.pending.iter().any(over) && random.below(2) == 0 {
        for (n, block) in bytes.chunks_mut(BLOCK).enumerate() {
            let old = inode.durable.get(n * BLOCK..).unwrap_or_default();
            let old = &old[..old.len().min(block.len())];
            if random.below(4) == 0 {
                block[..old.len()].copy_from_slice(old);
            }
        }
    }
    // Blocks of the appended part that never reached the disk.
    if random.below(3) == 0 {
        let block = [1, 16, 64, 512][random.below(4)];
        let first = start.min(bytes.len());
        for stretch in bytes[first..].chunks_mut(block) {
            if random.below(4) == 0 {
                stretch.fill(0);
            }
        }
    }
    bytes
}

fn play(change: &Change, bytes: &mut Vec<u8>) {
    match change {
        Change::Append { bytes: more, lost } => {
            if *lost {
                bytes.resize(bytes.len() + more.len(), 0);
            } else {
                bytes.extend_from_slice(more);
            }
        }
        Change::Write {
            at,
            bytes: more,
            lost,
        } => {
            bytes.resize(bytes.len().max(at + more.len()), 0);
            if !lost {
                bytes[*at..at + more.len()].copy_from_slice(more);
            }
        }
        Change::Truncate(size) => bytes.truncate(*size),
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.ask(Operation::Open, path)?;
        Ok(self.handle(path, self.find(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.ask(Operation::Create, path)?;
        if let Ok(id) = self.find(path) {
            let mut handle = self.handle(path, id);
            handle.truncate(0)?;
            return Ok(handle);
        }
        let mut state = self.lock_state();
        if path
            .parent()
            .is_none_or(|parent| state.names.get(parent) != Some(&Node::Folder))
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.inodes.push(Inode::default());
        let id = state.inodes.len() - 1;
        state.name(Naming::Add(path.to_owned(), Node::File(id)));
        drop(state);
        Ok(self.handle(path, id))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Operation::Rename, to)?;
        self.find(from)?;
        self.lock_state()
            .name(Naming::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Remove, path)?;
        self.find(path)?;
        self.lock_state().name(Naming::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.lock_state();
        if state.names.get(folder) != Some(&Node::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = state
            .names
            .iter()
            .filter(|(path, node)| matches!(node, Node::File(_)) && path.parent() == Some(folder));
        let names = files.filter_map(|(path, _)| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(self.contents(path).map(|bytes| bytes.len() as u64))
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock_state().names.get(path) == Some(&Node::Folder))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::CreateFolder, path)?;
        let mut state = self.lock_state();
        match state.names.get(path) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                state.name(Naming::Add(path.to_owned(), Node::Folder));
                Ok(())
            }
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::SyncFolder, path)?;
        let mut state = self.lock_state();
        let state = &mut *state;
        let (synced, rest) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition::<Vec<_>, _>(|naming| naming.concerns(path));
        for naming in synced {
            naming.apply(&mut state.durable_names);
        }
        state.pending_names = rest;
        Ok(())
    }

    fn lock(&self, path: &Path, text: &str) -> Result<Lock, LockError> {
        struct Held(FaultyDisk, PathBuf);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.lock_state().locks.remove(&self.1);
            }
        }
        let mut state = self.lock_state();
        if let Some(holder) = state.locks.get(path) {
            return Err(LockError::Held(holder.clone()));
        }
        state.locks.insert(path.to_owned(), text.to_owned());
        drop(state);
        Ok(Lock::new(Held(self.clone(), path.to_owned())))
    }
}

struct Handle {
    disk: FaultyDisk,
    path: PathBuf,
    id: usize,
    /// A sync that was begun has failed, and nobody was told yet.
    late: Option<io::Error>,
    /// How many changes a sync that was begun makes certain.
    begun: Option<usize>,
}

impl File for Handle {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.ask(Operation::Read, &self.path)?;
        let state = self.disk.lock_state();
        let bytes = &state.inodes[self.id].now;
        let from = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
        let n = into.len().min(bytes.len() - from);
        into[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
        let short = self.disk.ask(Operation::Append(all.len()), &self.path)?;
        let mut state = self.disk.lock_state();
        let mut n = short.map_or(all.len(), |n| n.clamp(1, all.len().max(1)).min(all.len()));
        if let Some(capacity) = state.capacity {
            let room = capacity.saturating_sub(state.used());
            if room == 0 && !all.is_empty() {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            n = n.min(room);
        }
        let inode = &mut state.inodes[self.id];
        inode.now.extend_from_slice(&all[..n]);
        inode.pending.push(Change::Append {
            bytes: all[..n].to_vec(),
            lost: false,
        });
        Ok(n)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let short = self.disk.ask(Operation::Write(bytes.len()), &self.path)?;
        let mut state = self.disk.lock_state();
        let most = bytes.len();
        let mut n = short.map_or(most, |n| n.clamp(1, most.max(1)).min(most));
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let there = state.inodes[self.id].now.len();
        if at > there {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Some(capacity) = state.capacity {
            let room = there - at + capacity.saturating_sub(state.used());
            if room == 0 && !bytes.is_empty() {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            n = n.min(room);
        }
        let inode = &mut state.inodes[self.id];
        let change = Change::Write {
            at,
            bytes: bytes[..n].to_vec(),
            lost: false,
        };
        play(&change, &mut inode.now);
        inode.pending.push(change);
        Ok(n)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.begun = None;
        if let Some(late) = self.late.take() {
            return Err(late);
        }
        let asked = self.disk.ask(Operation::Sync, &self.path);
        let mut state = self.disk.lock_state();
        let inode = &mut state.inodes[self.id];
        if let Err(error) = asked {
            inode.lose();
            return Err(error);
        }
        for change in std::mem::take(&mut inode.pending) {
            play(&change, &mut inode.durable);
        }
        Ok(())
    }

    /// The worst that may be: what nobody waits for is not on the disk, and what fails is told later.
    fn begin_sync(&mut self) -> io::Result<()> {
        if let Some(late) = self.late.take() {
            return Err(late);
        }
        let asked = self.disk.ask(Operation::Sync, &self.path);
        let mut state = self.disk.lock_state();
        let inode = &mut state.inodes[self.id];
        if let Err(error) = asked {
            inode.lose();
            self.late = Some(error);
        }
        self.begun = Some(inode.pending.len());
        Ok(())
    }

    fn is_synced(&mut self) -> io::Result<bool> {
        let mut state = self.disk.lock_state();
        if state.syncs_held {
            return Ok(self.begun.is_none());
        }
        let begun = self.begun.take();
        if let Some(late) = self.late.take() {
            return Err(late);
        }
        let inode = &mut state.inodes[self.id];
        // Another handle may have synced some of it.
        let done = begun.unwrap_or(0).min(inode.pending.len());
        let rest = inode.pending.split_off(done);
        for change in std::mem::replace(&mut inode.pending, rest) {
            play(&change, &mut inode.durable);
        }
        Ok(true)
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.disk.ask(Operation::Truncate, &self.path)?;
        let mut state = self.disk.lock_state();
        let inode = &mut state.inodes[self.id];
        let size = usize::try_from(size).map_err(io::Error::other)?;
        if size > inode.now.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        inode.now.truncate(size);
        inode.pending.push(Change::Truncate(size));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock_state().inodes[self.id].now.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{append_all, read_all};

    #[test]
    fn what_is_synced_is_there_and_the_rest_may_be() {
        let mut lengths = std::collections::BTreeSet::new();
        let mut renamed = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let disk = FaultyDisk::new();
            let mut file = disk.create(Path::new("/d/a")).expect("created");
            append_all(&mut *file, b"synced").expect("appended");
            file.sync().expect("synced");
            disk.sync_folder(Path::new("/d")).expect("synced");
            append_all(&mut *file, b" not").expect("appended");
            disk.rename(Path::new("/d/a"), Path::new("/d/b"))
                .expect("renamed");
            let after = disk.crash(seed);
            let names = after.list(Path::new("/d")).expect("listed");
            assert_eq!(names.len(), 1);
            let bytes = read_all(&after, &Path::new("/d").join(&names[0])).expect("read");
            assert_eq!(&bytes[..6], b"synced");
            lengths.insert(bytes.len());
            renamed.insert(names[0].clone());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [6, 7, 8, 9, 10]);
        assert_eq!(renamed.len(), 2);
    }

    #[test]
    fn a_failed_sync_loses_what_later_ones_cannot_bring_back() {
        let disk = FaultyDisk::new();
        let mut file = disk.create(Path::new("/d/a")).expect("created");
        disk.sync_folder(Path::new("/d")).expect("synced");
        append_all(&mut *file, b"lost").expect("appended");
        disk.script(|operation, _| (operation == Operation::Sync).then_some(Fault::Error(EIO)));
        assert!(file.sync().is_err());
        disk.heal();
        append_all(&mut *file, b"kept").expect("appended");
        file.sync().expect("synced");
        assert_eq!(disk.contents("/d/a").expect("there"), b"lostkept");
        assert_eq!(
            disk.crash(1).contents("/d/a").expect("there"),
            b"\0\0\0\0kept"
        );
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = FaultyDisk::new();
        disk.capacity(Some(5));
        let mut file = disk.create(Path::new("/d/a")).expect("created");
        let error = append_all(&mut *file, b"too much").expect_err("full");
        assert_eq!(error.raw_os_error(), Some(ENOSPC));
        assert_eq!(disk.kill().contents("/d/a").expect("there"), b"too m");
    }
}
