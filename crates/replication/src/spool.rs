//! Bytes in order, written once and read by several, each at its own pace.
//!
//! A [`Spool`] holds the stream of a primary, which is its backlog, and the copies of data sets on their way to replicas. What was
//! written last is in memory, in blocks. What somebody still has to read stays, in memory as far as that is bounded, and
//! beyond that on the disk ([`Spool::spill`]), in files that go once everybody has read them. Positions count all bytes
//! that were ever written, from wherever the spool was begun.
//!
//! Nobody who writes waits for those who read, unless they want to ([`Spool::wait_for_room`]).

use disk::{Disk, File};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bytes of a block of memory.
const BLOCK: usize = 64 << 10;

/// Most blocks that were read and are kept for what comes next: fresh memory has to be cleared by the system first, which takes as long
/// as filling it. What of them is not needed for some time goes ([`Spool::let_go`]).
const SPARE: usize = 128;

/// Bytes of a file.
const SEGMENT: u64 = 64 << 20;

/// Bytes that go to the disk at once.
const PORTION: usize = 4 << 20;

/// Where what does not fit in memory goes.
#[derive(Clone)]
pub struct Overflow {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that may lie there; 0 for no limit.
    pub limit: u64,
    /// Bytes beyond those that are kept anyway that stay in memory.
    pub memory: usize,
}

/// A file with a stretch of the bytes.
struct Segment {
    file: Box<dyn File>,
    path: PathBuf,
    start: u64,
    end: u64,
}

/// What is on the disk: all between the start of the first file and the end of the last.
#[derive(Default)]
struct OnDisk {
    segments: VecDeque<Segment>,
}

struct Inner {
    blocks: VecDeque<Vec<u8>>,
    /// Some that were read, to be used again, and how many of them have not been needed since that was last looked at.
    spare: Vec<Vec<u8>>,
    unneeded: usize,
    /// Position of the first byte in memory.
    start: u64,
    /// Position behind the last.
    end: u64,
    /// Position of the first byte that is anywhere.
    first: u64,
    /// Bytes that are kept, read or not.
    keep: u64,
    /// Positions of those who read.
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
    /// How often it has begun anew.
    restarts: u64,
    /// Nothing is written any more; why, if that is not the end.
    ended: Option<Result<(), String>>,
    /// Those who wait for more.
    waiting: usize,
}

/// See the module's page.
pub struct Spool {
    inner: Mutex<Inner>,
    /// There is more, or the end.
    more: Condvar,
    /// Somebody has read something.
    less: Condvar,
    on_disk: Mutex<OnDisk>,
}

/// Bytes that go to the disk, of blocks that stay in memory until they are there.
struct Portion {
    bytes: Vec<u8>,
    start: u64,
    /// How often the spool had begun anew: another time they are not its bytes any more.
    restarts: u64,
}

impl Portion {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// A place in a spool, whose bytes stay until they are read. Given back when dropped.
pub struct Reader {
    spool: Arc<Spool>,
    id: u64,
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// Some bytes.
    Bytes,
    /// None within the time.
    Nothing,
    /// All there will be has been read.
    End,
}

impl Spool {
    /// An empty one whose first byte will have this position, and that keeps so many bytes though nobody reads them.
    pub fn new(at: u64, keep: u64) -> Arc<Spool> {
        Arc::new(Spool {
            inner: Mutex::new(Inner {
                blocks: VecDeque::new(),
                spare: Vec::new(),
                unneeded: 0,
                start: at,
                end: at,
                first: at,
                keep,
                readers: BTreeMap::new(),
                next_reader: 0,
                restarts: 0,
                ended: None,
                waiting: 0,
            }),
            more: Condvar::new(),
            less: Condvar::new(),
            on_disk: Mutex::default(),
        })
    }

    /// Appends bytes; returns the position behind them.
    pub fn append(&self, mut bytes: &[u8]) -> u64 {
        let mut inner = self.inner.lock();
        inner.end += bytes.len() as u64;
        // First, for its memory.
        self.trim(&mut inner);
        while !bytes.is_empty() {
            let room = inner.blocks.back().map_or(0, |block| BLOCK - block.len());
            if room == 0 {
                let block = inner.spare.pop().unwrap_or_else(|| {
                    Vec::with_capacity(BLOCK.min(bytes.len().next_power_of_two().max(1 << 10)))
                });
                inner.unneeded = inner.unneeded.min(inner.spare.len());
                inner.blocks.push_back(block);
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(block) = inner.blocks.back_mut() {
                block.extend_from_slice(now);
            }
            bytes = later;
        }
        let end = inner.end;
        let wakes = inner.waiting > 0;
        drop(inner);
        if wakes {
            self.more.notify_all();
        }
        end
    }

    /// Nothing is written any more: readers get to the end, or are told at once why there is none.
    pub fn end(&self, how: Result<(), String>) {
        let mut inner = self.inner.lock();
        inner.ended.get_or_insert(how);
        drop(inner);
        self.more.notify_all();
        self.less.notify_all();
    }

    /// Position behind the last byte.
    pub fn written(&self) -> u64 {
        self.inner.lock().end
    }

    /// The first position from which on everything is there.
    pub fn first(&self) -> u64 {
        self.inner.lock().first
    }

    /// Whether anybody reads it.
    pub(crate) fn has_readers(&self) -> bool {
        !self.inner.lock().readers.is_empty()
    }

    /// In how many blocks what stands from a position on is, at most; what lies on the disk counts as if it were in blocks.
    pub(crate) fn blocks_from(&self, at: u64) -> usize {
        let inner = self.inner.lock();
        if at >= inner.end {
            return 0;
        }
        let on_disk = inner.start.saturating_sub(at.max(inner.first));
        // From the end, where nearly every reader is: the backlog before it may be long.
        let mut lacks = inner.end - at.max(inner.start);
        let in_memory = inner.blocks.iter().rev().take_while(|block| {
            let lacked = lacks > 0;
            lacks = lacks.saturating_sub(block.len() as u64);
            lacked
        });
        on_disk.div_ceil(BLOCK as u64) as usize + in_memory.count()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        let inner = self.inner.lock();
        held(&inner.blocks) + held(&inner.spare)
    }

    /// The same in parts: what is kept anyway, what is kept for those who read, and what nobody needs at present.
    pub(crate) fn memory_for(&self) -> (usize, usize, usize) {
        let inner = self.inner.lock();
        let (blocks, spare) = (held(&inner.blocks), held(&inner.spare));
        let kept = blocks.min(inner.keep as usize);
        match inner.readers.is_empty() {
            true => (kept, 0, blocks - kept + spare),
            false => (kept, blocks - kept, spare),
        }
    }

    /// Bytes on the disk.
    pub(crate) fn spilled(&self) -> u64 {
        let inner = self.inner.lock();
        inner.start - inner.first
    }

    /// From now on so many bytes are kept though nobody reads them.
    pub(crate) fn set_keep(&self, keep: u64) {
        let mut inner = self.inner.lock();
        inner.keep = keep;
        self.trim(&mut inner);
    }

    /// Begins anew, empty, at another position. Readers are to be dropped before anything is appended.
    pub(crate) fn restart(&self, at: u64) {
        let mut on_disk = self.on_disk.lock();
        let mut inner = self.inner.lock();
        inner.restarts += 1;
        inner.blocks.clear();
        (inner.start, inner.end, inner.first) = (at, at, at);
        on_disk.segments.clear();
    }

    /// A reader that begins at a position; None if what is there is gone, or was never written.
    pub fn reader(self: &Arc<Self>, at: u64) -> Option<Reader> {
        let mut inner = self.inner.lock();
        if at < inner.first || at > inner.end {
            return None;
        }
        let id = inner.next_reader;
        inner.next_reader += 1;
        inner.readers.insert(id, at);
        Some(Reader {
            spool: self.clone(),
            id,
        })
    }

    /// Lets go of memory that has not been needed since this was called last.
    pub(crate) fn let_go(&self) {
        let mut inner = self.inner.lock();
        let stay = inner.spare.len() - inner.unneeded;
        inner.spare.truncate(stay);
        inner.unneeded = stay;
    }

    /// Drops what nobody needs.
    fn trim(&self, inner: &mut Inner) {
        let slowest = inner.readers.values().min().copied().unwrap_or(u64::MAX);
        let needed = slowest.min(inner.end.saturating_sub(inner.keep));
        while let Some(block) = inner.blocks.front() {
            // The one that is being written stays.
            let end = inner.start + block.len() as u64;
            if end > needed || inner.blocks.len() == 1 {
                break;
            }
            inner.start = end;
            if let Some(mut block) = inner.blocks.pop_front()
                && block.capacity() >= BLOCK
                && inner.spare.len() < SPARE
            {
                block.clear();
                inner.spare.push(block);
            }
        }
        inner.first = inner.first.max(needed.min(inner.start));
    }

    /// Writes what is over the bound to the disk: what readers still need and is not kept anyway. Whoever lacks more than the
    /// limit allows loses its place. To be called by one thread at a time, now and then.
    ///
    /// # Errors
    /// What the disk says; those who need what is over the bound have lost their place then.
    pub(crate) fn spill(&self, overflow: &Overflow) -> io::Result<()> {
        while let Some(portion) = self.next_portion(overflow) {
            let written = self.write_out(overflow, &portion);
            self.note_written(overflow, &portion, written)?;
        }
        self.remove_read();
        Ok(())
    }

    /// What is to go to the disk first, if there is too much.
    fn next_portion(&self, overflow: &Overflow) -> Option<Portion> {
        let inner = self.inner.lock();
        let held: usize = inner.blocks.iter().map(Vec::len).sum();
        let bound = (inner.keep as usize).saturating_add(overflow.memory);
        if held <= bound || inner.blocks.len() < 2 {
            return None;
        }
        let mut bytes = Vec::new();
        for block in inner.blocks.iter().take(inner.blocks.len() - 1) {
            if bytes.len() >= PORTION || bytes.len() >= held - bound {
                break;
            }
            bytes.extend_from_slice(block);
        }
        Some(Portion {
            bytes,
            start: inner.start,
            restarts: inner.restarts,
        })
    }

    /// Drops the blocks of what was written, or, if the disk did not take it, those who need it.
    fn note_written(
        &self,
        overflow: &Overflow,
        portion: &Portion,
        written: io::Result<()>,
    ) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if inner.restarts != portion.restarts {
            // What is in memory now is something else, and those who needed this are gone.
            return written;
        }
        if let Err(error) = written {
            let end = portion.end();
            inner.readers.retain(|_, position| *position >= end);
            self.trim(&mut inner);
            drop(inner);
            self.more.notify_all();
            return Err(error);
        }
        // If everybody has read it meanwhile, it is gone by now.
        while inner.start < portion.end() {
            let Some(block) = inner.blocks.pop_front() else {
                break;
            };
            inner.start += block.len() as u64;
        }
        let limit = overflow.limit;
        if limit > 0 && inner.start - inner.first > limit {
            let from = inner.start - limit;
            inner.readers.retain(|_, position| *position >= from);
            self.trim(&mut inner);
            drop(inner);
            self.more.notify_all();
        }
        Ok(())
    }

    fn write_out(&self, overflow: &Overflow, portion: &Portion) -> io::Result<()> {
        let mut on_disk = self.on_disk.lock();
        // Nobody begins anew with the files locked.
        if self.inner.lock().restarts != portion.restarts {
            return Ok(());
        }
        let at = portion.start;
        let fits = |segment: &Segment| segment.end == at && segment.end - segment.start < SEGMENT;
        if !on_disk.segments.back().is_some_and(fits) {
            static NUMBER: AtomicU64 = AtomicU64::new(1);
            let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Relaxed));
            let path = overflow
                .folder
                .join(format!("temp-{process}-{number}.spill"));
            let file = overflow.disk.create(&path)?;
            // It needs no name, and without one it goes with this process, however that ends.
            overflow.disk.remove(&path)?;
            on_disk.segments.push_back(Segment {
                file,
                path,
                start: at,
                end: at,
            });
        }
        let Some(segment) = on_disk.segments.back_mut() else {
            return Ok(());
        };
        let mut rest = &portion.bytes[..];
        while !rest.is_empty() {
            let n = segment
                .file
                .append(&[IoSlice::new(rest)])
                .map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", segment.path.display()))
                })?;
            rest = &rest[n..];
            segment.end += n as u64;
        }
        Ok(())
    }

    /// Removes files that everybody has read.
    fn remove_read(&self) {
        let first = self.inner.lock().first;
        let mut on_disk = self.on_disk.lock();
        while on_disk.segments.front().is_some_and(|s| s.end <= first) {
            on_disk.segments.pop_front();
        }
    }

    /// Waits until less than so many bytes are in memory, or this time has passed; whether it is so.
    pub(crate) fn wait_for_room(&self, bytes: usize, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut inner = self.inner.lock();
        loop {
            let held: usize = inner.blocks.iter().map(Vec::len).sum();
            if held < bytes || inner.ended.is_some() {
                return true;
            }
            if self.less.wait_until(&mut inner, until).timed_out() {
                return false;
            }
        }
    }

    /// Where a reader is; the end if it has lost its place.
    fn position(&self, id: u64) -> u64 {
        let inner = self.inner.lock();
        inner.readers.get(&id).copied().unwrap_or(inner.end)
    }

    fn read(
        &self,
        id: u64,
        into: &mut Vec<u8>,
        most: usize,
        time: Duration,
    ) -> Result<Got, String> {
        let until = Instant::now() + time;
        let mut inner = self.inner.lock();
        let position = loop {
            let lost = || "what it lacks is not there any more".to_owned();
            let position = *inner.readers.get(&id).ok_or_else(lost)?;
            if let Some(Err(why)) = &inner.ended {
                return Err(why.clone());
            }
            if position < inner.end {
                break position;
            }
            if inner.ended.is_some() {
                return Ok(Got::End);
            }
            inner.waiting += 1;
            let timed_out = self.more.wait_until(&mut inner, until).timed_out();
            inner.waiting -= 1;
            if timed_out {
                return Ok(Got::Nothing);
            }
        };
        let before = into.len();
        if position >= inner.start {
            copy_out(&inner, position, into, most);
        } else {
            let start = inner.start;
            drop(inner);
            self.read_disk(position, start, into, most)?;
            inner = self.inner.lock();
        }
        let read = (into.len() - before) as u64;
        if let Some(at) = inner.readers.get_mut(&id) {
            *at = position + read;
        }
        self.gone(inner);
        Ok(Got::Bytes)
    }

    /// Something was read: what nobody needs any more goes.
    fn gone(&self, mut inner: MutexGuard<'_, Inner>) {
        self.trim(&mut inner);
        drop(inner);
        self.less.notify_all();
    }

    fn read_disk(
        &self,
        at: u64,
        until: u64,
        into: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), String> {
        let on_disk = self.on_disk.lock();
        let segment = on_disk
            .segments
            .iter()
            .find(|s| s.start <= at && at < s.end)
            .ok_or("a part of what it lacks is missing on the disk")?;
        let n = (segment.end.min(until) - at).min(most as u64) as usize;
        let before = into.len();
        into.resize(before + n, 0);
        let read = segment
            .file
            .read_at(&mut into[before..], at - segment.start);
        let read = read.map_err(|error| format!("{}: {error}", segment.path.display()))?;
        into.truncate(before + read);
        match read {
            0 => Err(format!("{} is too short", segment.path.display())),
            _ => Ok(()),
        }
    }
}

/// What blocks take.
fn held<'b>(blocks: impl IntoIterator<Item = &'b Vec<u8>>) -> usize {
    blocks.into_iter().map(Vec::capacity).sum()
}

fn copy_out(inner: &Inner, position: u64, into: &mut Vec<u8>, most: usize) {
    let mut skip = (position - inner.start) as usize;
    let mut left = most;
    for block in &inner.blocks {
        if skip >= block.len() {
            skip -= block.len();
            continue;
        }
        let part = &block[skip..];
        let n = part.len().min(left);
        into.extend_from_slice(&part[..n]);
        skip = 0;
        left -= n;
        if left == 0 {
            return;
        }
    }
}

impl Reader {
    /// Appends what comes next to `into`, at most so many bytes; waits for this long if there is nothing yet.
    ///
    /// # Errors
    /// It has lost its place because it lacked too much, the disk fails, or there will be no end.
    pub fn read(&self, into: &mut Vec<u8>, most: usize, time: Duration) -> Result<Got, String> {
        self.spool.read(self.id, into, most, time)
    }

    /// The position of what comes next; that of the spool's end if it has lost its place.
    pub fn position(&self) -> u64 {
        self.spool.position(self.id)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.spool.inner.lock();
        inner.readers.remove(&self.id);
        self.spool.gone(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::RealDisk;

    const SOON: Duration = Duration::from_millis(1);

    fn overflow(memory: usize, limit: u64) -> Overflow {
        Overflow {
            disk: RealDisk::shared(),
            folder: std::env::temp_dir(),
            limit,
            memory,
        }
    }

    fn bytes(from: u64, n: usize) -> Vec<u8> {
        (from..from + n as u64)
            .map(|i| (i * 7 + i / 251) as u8)
            .collect()
    }

    fn drain(reader: &Reader) -> Vec<u8> {
        let mut all = Vec::new();
        while reader.read(&mut all, 10_000, SOON).expect("its place") == Got::Bytes {}
        all
    }

    #[test]
    fn what_is_written_is_read_from_where_one_begins() {
        let spool = Spool::new(1000, 1 << 20);
        spool.append(&bytes(0, 200_000));
        let reader = spool.reader(1500).expect("it is there");
        assert_eq!(drain(&reader), bytes(500, 199_500));
        spool.append(b"more");
        assert_eq!(drain(&reader), b"more");
        assert!(spool.reader(999).is_none() && spool.reader(201_005).is_none());
        assert!(spool.reader(201_004).is_some());
    }

    #[test]
    fn blocks_that_are_still_to_be_read_are_counted() {
        let spool = Spool::new(1000, 10_000);
        let reader = spool.reader(1000).expect("it is there");
        assert_eq!(spool.blocks_from(1000), 0);
        spool.append(&bytes(0, 10 * BLOCK));
        let (first, end) = (1000, 1000 + 10 * BLOCK as u64);
        for (at, blocks) in [
            (0, 10),
            (first, 10),
            (first + 1, 10),
            (first + BLOCK as u64 - 1, 10),
            (first + BLOCK as u64, 9),
            (end - 1, 1),
            (end, 0),
            (end + 1, 0),
        ] {
            assert_eq!(spool.blocks_from(at), blocks, "from {at}");
        }
        // Wherever they lie.
        spool.spill(&overflow(0, 0)).unwrap();
        assert!(spool.spilled() > 0);
        assert_eq!(spool.blocks_from(first + 1), 10);
        assert_eq!(drain(&reader).len(), 10 * BLOCK);
    }

    #[test]
    fn memory_is_used_again_and_goes_when_it_is_not_needed() {
        let spool = Spool::new(0, 300_000);
        let reader = spool.reader(0).expect("it is there");
        spool.append(&bytes(0, 3_000_000));
        drain(&reader);
        let most = spool.memory();
        assert!(most >= 3_000_000);
        for round in 0..100 {
            spool.append(&bytes(0, 1_000_000));
            drain(&reader);
            assert_eq!(spool.memory(), most, "in round {round}");
        }
        // Some of it was needed since it was first looked at.
        spool.let_go();
        spool.append(&bytes(0, 1_000_000));
        drain(&reader);
        spool.let_go();
        assert!((1_000_000..2_000_000).contains(&spool.memory()));
        spool.let_go();
        assert!(spool.memory() < 300_000 + 2 * BLOCK);
    }

    /// What memory is for is told apart: what nobody reads is for nobody.
    #[test]
    fn memory_is_counted_by_what_it_is_for() {
        let spool = Spool::new(0, 10_000);
        spool.append(&bytes(0, 1_000));
        assert_eq!(spool.memory_for(), (1 << 10, 0, 0));
        let reader = spool.reader(0).expect("it is there");
        spool.append(&bytes(1_000, 999_000));
        let (kept, for_readers, spare) = spool.memory_for();
        assert_eq!((kept, spare), (10_000, 0));
        assert!(for_readers >= 990_000, "{for_readers}");
        drop(reader);
        let (kept, for_readers, spare) = spool.memory_for();
        assert_eq!((kept, for_readers), (10_000, 0));
        assert_eq!(kept + spare, spool.memory());
    }

    #[test]
    fn what_nobody_needs_goes_but_for_what_is_kept() {
        let spool = Spool::new(0, 100_000);
        for at in 0..100 {
            spool.append(&bytes(at * 10_000, 10_000));
        }
        assert!(
            spool.first() <= 900_000 && spool.first() > 800_000,
            "{}",
            spool.first()
        );
        let reader = spool.reader(900_000).expect("it is kept");
        spool.append(&bytes(1_000_000, 500_000));
        assert_eq!(drain(&reader), bytes(900_000, 600_000));
        assert!(spool.memory() < 300_000 + SPARE * BLOCK);
    }

    #[test]
    fn what_somebody_needs_goes_to_the_disk_and_comes_back() {
        let spool = Spool::new(0, 10_000);
        let (slow, fast) = (spool.reader(0).unwrap(), spool.reader(0).unwrap());
        let over = overflow(200_000, 0);
        for at in 0..30 {
            spool.append(&bytes(at * 100_000, 100_000));
            spool.spill(&over).unwrap();
            assert_eq!(drain(&fast), bytes(at * 100_000, 100_000));
            assert!(spool.memory() < 500_000 + SPARE * BLOCK);
        }
        assert!(spool.spilled() > 2_000_000);
        assert_eq!(drain(&slow), bytes(0, 3_000_000));
        spool.append(&bytes(3_000_000, 70_000));
        spool.spill(&over).unwrap();
        assert_eq!(spool.spilled(), 0);
        assert!(spool.on_disk.lock().segments.is_empty());
    }

    /// A primary's copy is in place, and with it another stream, at any step of the writing of what there was of the one before.
    #[test]
    fn nothing_of_what_was_before_is_read_behind_a_restart() {
        let over = overflow(0, 0);
        for step in 0..3 {
            let spool = Spool::new(0, 10_000);
            let mut reader = spool.reader(0).unwrap();
            spool.append(&bytes(0, 1_000_000));
            let portion = spool.next_portion(&over).expect("it is too much");
            let mut restart_at = |now| {
                if now == step {
                    spool.restart(1_000);
                    reader = spool.reader(1_000).unwrap();
                    spool.append(&bytes(77, 1_000_000));
                }
            };
            restart_at(0);
            let written = spool.write_out(&over, &portion);
            restart_at(1);
            spool.note_written(&over, &portion, written).unwrap();
            restart_at(2);
            spool.spill(&over).unwrap();
            assert!(drain(&reader) == bytes(77, 1_000_000), "in step {step}");
        }
    }

    #[test]
    fn who_lacks_more_than_may_lie_on_the_disk_loses_its_place() {
        let spool = Spool::new(0, 10_000);
        let (slow, fast) = (spool.reader(0).unwrap(), spool.reader(0).unwrap());
        spool.append(&bytes(0, 2_000_000));
        drain(&fast);
        spool.spill(&overflow(100_000, 500_000)).unwrap();
        assert!(slow.read(&mut Vec::new(), 1, SOON).is_err());
        assert_eq!(fast.read(&mut Vec::new(), 1, SOON), Ok(Got::Nothing));
        assert_eq!(slow.position(), spool.written());
    }

    #[test]
    fn the_end_is_told_and_so_is_why_there_is_none() {
        let spool = Spool::new(0, 0);
        let reader = spool.reader(0).unwrap();
        spool.append(b"all");
        spool.end(Ok(()));
        assert_eq!(drain(&reader), b"all");
        assert_eq!(reader.read(&mut Vec::new(), 1, SOON), Ok(Got::End));
        let spool = Spool::new(0, 0);
        let reader = spool.reader(0).unwrap();
        spool.end(Err("no".into()));
        assert_eq!(reader.read(&mut Vec::new(), 1, SOON), Err("no".into()));
    }

    #[test]
    fn who_waits_is_woken() {
        let spool = Spool::new(0, 0);
        let reader = spool.reader(0).unwrap();
        std::thread::scope(|scope| {
            let read = scope.spawn(|| {
                let mut got = Vec::new();
                let how = reader.read(&mut got, 10, Duration::from_secs(600));
                (how, got)
            });
            spool.append(b"x");
            assert_eq!(
                read.join().expect("no panic"),
                (Ok(Got::Bytes), b"x".to_vec())
            );
        });
    }
}
