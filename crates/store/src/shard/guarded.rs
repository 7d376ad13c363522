//! One shard: what its lock guards, the lock, and who may look without it.
//!
//! A shard's lock stands in a cache line with all that changes whenever it is taken: what is counted of it, whether readers may
//! come, and the shard's clock; the next line has what finds a key. A command that goes to a shard that another core had so waits
//! for one pair of lines, which processors fetch together.
//!
//! A shard is *open* while only readers come: then they look without its lock, and whoever takes that first closes it and waits
//! until they have left (see [`crate::shard::readers`]).

use crate::dict::{Board, BoardRow, Dict};
use crate::mem::words::LINE;
use crate::mem::{prefetch, prefetch_to_write};
use crate::shard::locks::{Lockable, Many};
use crate::shard::parked::{Line, Real, Turn};
use crate::shard::readers::{Slots, Word};
use parking_lot::lock_api::{self, RawMutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What one lock guards: a part of every database. Most programs use one; the others' parts are made when they are first asked for.
#[repr(C)]
pub struct Shard {
    clock: AtomicU64,
    first: Dict,
    others: Box<[Option<Box<Dict>>]>,
    /// Where they stand on the board; `None` of the token, which has no keys.
    at: Option<(Arc<Board>, usize)>,
}

/// What a part shows that was not made yet.
static EMPTY: Dict = Dict::new();

impl Shard {
    /// The parts of a shard of this number, of so many databases.
    pub(super) fn new(board: &Arc<Board>, shard: usize, databases: usize) -> Shard {
        Shard {
            clock: AtomicU64::new(0),
            first: Dict::at(BoardRow::new(board, 0, shard)),
            others: (1..databases).map(|_| None).collect(),
            at: Some((board.clone(), shard)),
        }
    }

    /// No part of anything.
    pub(super) fn without_keys() -> Shard {
        Shard {
            clock: AtomicU64::new(0),
            first: Dict::new(),
            others: Box::default(),
            at: None,
        }
    }

    /// A clock for whoever puts what happens to shards in an order: read and set by who holds the shard, and left alone here.
    #[inline]
    pub fn clock(&self) -> &AtomicU64 {
        &self.clock
    }

    /// This shard's part of a database.
    #[inline]
    pub fn db(&mut self, db: usize) -> &mut Dict {
        match db {
            0 => &mut self.first,
            _ => self.other(db),
        }
    }

    fn other(&mut self, db: usize) -> &mut Dict {
        let at = &self.at;
        self.others[db - 1].get_or_insert_with(|| {
            let row = at.as_ref().map(|(board, n)| BoardRow::new(board, db, *n));
            Box::new(row.map_or_else(Dict::new, Dict::at))
        })
    }

    /// The same, to be looked at.
    #[inline]
    pub fn db_ref(&self, db: usize) -> &Dict {
        match db {
            0 => &self.first,
            _ => self.others[db - 1].as_deref().unwrap_or(&EMPTY),
        }
    }

    /// The number of databases.
    pub fn databases(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether a database's part was never asked for, so that there is nothing in it and nobody is told of it.
    fn is_unmade(&self, db: usize) -> bool {
        db > 0 && self.others[db - 1].is_none()
    }

    /// Exchanges what is in all databases' parts with another shard's, of a keyspace that hashes keys alike.
    pub fn swap_with(&mut self, other: &mut Shard) {
        for db in 0..self.databases() {
            if !(self.is_unmade(db) && other.is_unmade(db)) {
                self.db(db).swap_contents(other.db(db));
            }
        }
    }

    /// Exchanges two databases' parts.
    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        if a == b || self.is_unmade(a) && self.is_unmade(b) {
            return;
        }
        // The contents change places, and what stands at either place stays there.
        let mut between = self.take_db(a);
        self.db(b).swap_contents(&mut between);
        self.db(a).swap_contents(&mut between);
        for db in [a, b] {
            self.db(db).tell_where(db);
        }
    }

    /// Empties a database's part and returns what was in it, to be dropped after the lock or on another thread.
    pub fn take_db(&mut self, db: usize) -> Dict {
        let mut taken = Dict::new();
        if !self.is_unmade(db) {
            self.db(db).swap_contents(&mut taken);
        }
        taken
    }
}

/// Holding one shard.
pub type ShardGuard<'a> = lock_api::MutexGuard<'a, Head, Shard>;
/// Holding several shards.
pub type ShardGuards<'a> = Many<ShardGuard<'a>>;

/// A cache line (and its neighbour, which the processor fetches along) of its own.
#[repr(align(128))]
pub(super) struct Padded<T>(pub T);

/// Readers that must have taken a shard's lock before it is opened to them again.
pub(super) const READS_TO_OPEN: u32 = 32;

/// What one reader is looking at.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Slot(AtomicUsize);

impl Word for Slot {
    #[inline]
    fn load(&self) -> usize {
        Word::load(&self.0)
    }
    #[inline]
    fn store(&self, value: usize) {
        Word::store(&self.0, value);
    }
    #[inline]
    fn clear(&self) {
        self.0.clear();
    }
}

/// A reader that has entered an open shard. It leaves when this is dropped.
pub(super) struct Entered<'a> {
    slot: &'a Slot,
    guarded: &'a Guarded,
}

impl Entered<'_> {
    /// The shard that it looks at.
    #[inline]
    pub fn shard(&self) -> &Shard {
        // SAFETY: whoever changes a shard has got it from `acquire` or its kin, which close it and wait for this slot; and
        // the slot is only this thread's. Looking at a shard from several threads at a time is fine: it is `Sync`.
        unsafe { &*self.guarded.lock.data_ptr() }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slot.clear();
    }
}

// Readers look at shards from several threads at a time.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Shard>();
};

pub(super) type Readers = Slots<Slot, AtomicUsize>;

/// A shard's lock, with what changes when it is taken.
#[repr(C)]
pub struct Head {
    line: Line,
    /// 1: open to readers.
    open: AtomicUsize,
    /// How often it was taken. Changed under the lock.
    taken: AtomicU64,
}

// SAFETY: the line is one.
unsafe impl RawMutex for Head {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Head = Head {
        line: Line::INIT,
        open: AtomicUsize::new(0),
        taken: AtomicU64::new(0),
    };
    type GuardMarker = <Line as RawMutex>::GuardMarker;

    #[inline]
    fn lock(&self) {
        self.line.lock();
    }

    #[inline]
    fn try_lock(&self) -> bool {
        RawMutex::try_lock(&self.line)
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: as the caller promises.
        unsafe { RawMutex::unlock(&self.line) };
    }
}

/// One shard with its lock.
#[repr(C)]
pub(super) struct Guarded {
    lock: lock_api::Mutex<Head, Shard>,
    index: u32,
    /// Readers that have taken the lock since it was closed. Changed under the lock.
    waited: AtomicU32,
    /// How often somebody who wanted it had to wait, and for how many nanoseconds all of them together.
    waits: AtomicU64,
    wait_nanos: AtomicU64,
    readers: Arc<Readers>,
}

/// What a shard's lock has had to do since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardLoad {
    /// How often it was taken.
    pub taken: u64,
    /// How often somebody who wanted it had to wait.
    pub waits: u64,
    /// For how many nanoseconds all of them together.
    pub wait_nanos: u64,
}

impl Lockable for Guarded {
    type Guard<'a> = ShardGuard<'a>;
    type Parts = Real;

    #[inline]
    fn try_acquire(&self) -> Option<ShardGuard<'_>> {
        Some(self.closed(self.lock.try_lock()?))
    }

    fn try_acquire_as(&self, number: u64) -> Option<ShardGuard<'_>> {
        self.line().try_lock_as(number).then(|| self.taken())
    }

    fn acquire_as_first(&self, long: &mut dyn FnMut()) -> ShardGuard<'_> {
        self.line().wait_as_first(long);
        self.taken()
    }

    #[inline]
    fn line(&self) -> &Line {
        &self.head().line
    }
}

impl Guarded {
    /// A shard with its lock, closed to readers.
    pub fn new(index: usize, shard: Shard, readers: &Arc<Readers>) -> Guarded {
        Guarded {
            lock: lock_api::Mutex::new(shard),
            index: index as u32,
            waited: AtomicU32::new(0),
            waits: AtomicU64::new(0),
            wait_nanos: AtomicU64::new(0),
            readers: readers.clone(),
        }
    }

    #[inline]
    fn index(&self) -> usize {
        self.index as usize
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: whoever unlocks it without a guard must have locked it without one: here, by way of `taken`, that is nobody.
        unsafe { self.lock.raw() }
    }

    /// Begins to fetch what a command that takes the lock needs.
    #[inline]
    pub fn fetch(&self) {
        let head = self.head();
        prefetch_to_write(head);
        prefetch(&raw const *head as usize + LINE);
    }

    /// Lets a reader in, if the shard is open.
    #[inline]
    pub fn enter(&self, reader: usize) -> Option<Entered<'_>> {
        let slot = self
            .readers
            .enter(reader, self.index(), &self.head().open)?;
        Some(Entered {
            slot,
            guarded: self,
        })
    }

    /// Lets `look` see the shard under its lock, but does not close it to readers. After some such looks it is opened to them, if
    /// `register` says that who asks can be one.
    pub fn look_locked<R>(
        &self,
        look: impl FnOnce(&Shard) -> R,
        register: impl FnOnce() -> bool,
    ) -> R {
        // Not `acquire`: it may stay open while everybody only looks.
        let guard = self.lock.lock();
        let result = look(&guard);
        let waited = self.waited.load(Relaxed) + 1;
        self.waited.store(waited, Relaxed);
        if waited >= READS_TO_OPEN && register() {
            Word::store(&self.head().open, 1);
        }
        result
    }

    /// Whether it is open to readers.
    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        self.head().open.load(Relaxed) == 1
    }

    /// What its lock has had to do since the start.
    pub fn load(&self) -> ShardLoad {
        ShardLoad {
            taken: self.head().taken.load(Relaxed),
            waits: self.waits.load(Relaxed),
            wait_nanos: self.wait_nanos.load(Relaxed),
        }
    }

    /// A shard that is held is closed to readers.
    #[inline]
    fn closed<'a>(&self, guard: ShardGuard<'a>) -> ShardGuard<'a> {
        // Whoever holds the lock counts, alone.
        let head = self.head();
        let taken = head.taken.load(Relaxed);
        head.taken.store(taken.wrapping_add(1), Relaxed);
        if head.open.load(Relaxed) != 0 {
            self.close();
        }
        guard
    }

    /// The guard of the lock, which this thread has just taken by way of its line.
    fn taken(&self) -> ShardGuard<'_> {
        // SAFETY: both callers have taken the lock and made no guard of it.
        self.closed(unsafe { self.lock.make_guard_unchecked() })
    }

    #[inline]
    pub fn acquire(&self) -> ShardGuard<'_> {
        match self.lock.try_lock() {
            Some(guard) => self.closed(guard),
            None => self.acquire_slowly(),
        }
    }

    #[cold]
    fn acquire_slowly(&self) -> ShardGuard<'_> {
        let began = Instant::now();
        let guard = self.closed(self.lock.lock());
        self.note_wait(1, began.elapsed());
        guard
    }

    pub fn acquire_for(&self, patience: Duration) -> Option<ShardGuard<'_>> {
        self.line().wait_for(patience).then(|| self.taken())
    }

    /// Takes the lock if that is possible within some tens of microseconds.
    #[cold]
    pub fn acquire_soon(&self, turn: Option<&mut Turn>) -> Option<ShardGuard<'_>> {
        let line = self.line();
        // Who has been called and comes again goes on with the wait that was counted.
        let goes_on = turn
            .as_ref()
            .is_some_and(|turn| turn.has_wanted(self.index()));
        let number = turn.map(|turn| {
            turn.come_to(self.index(), line);
            turn.number
        });
        let began = Instant::now();
        let guard = line.soon(number).then(|| self.taken());
        self.note_wait(u64::from(!goes_on), began.elapsed());
        guard
    }

    /// Counts a wait, or more of one that was counted.
    pub fn note_wait(&self, waits: u64, time: Duration) {
        self.waits.fetch_add(waits, Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.wait_nanos.fetch_add(nanos, Relaxed);
    }

    #[cold]
    fn close(&self) {
        self.waited.store(0, Relaxed);
        let own = self.readers.slots.get(crate::shard::threads::number());
        assert!(
            own.is_none_or(|slot| Word::load(slot) != self.index() + 1),
            "a shard's lock was taken inside a look at that shard, which would wait for itself"
        );
        let mut spins = 0;
        // Readers take some tens of nanoseconds, unless their thread is not running.
        self.readers.close(self.index(), &self.head().open, || {
            spins += 1;
            if spins < 100 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of what a command needs of a shard whose lock it takes, in lines of 64 bytes from the first on.
    #[test]
    fn what_a_command_needs_lies_in_two_lines_side_by_side() {
        let readers = Arc::new(Slots {
            slots: Box::default(),
            used: AtomicUsize::new(0),
        });
        let board = Arc::new(Board::new(1, 1));
        let it = Box::new(Padded(Guarded::new(0, Shard::new(&board, 0, 1), &readers)));
        let begin = &raw const *it as usize;
        let head = it.0.head();
        let shard = it.0.acquire();
        let line = |at: usize| (at - begin) / 64;
        assert_eq!(begin % 128, 0);
        assert_eq!(line(&raw const *head as usize), 0);
        assert_eq!(line(&raw const head.taken as usize), 0);
        assert_eq!(line(&raw const *shard.clock() as usize), 0);
        let dict = shard.first.hot_bytes();
        assert_eq!([dict.start, dict.end - 1].map(line), [1, 1]);
        assert_eq!(size_of_val(&*it), 256);
    }
}
