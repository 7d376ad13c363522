//! A dictionary: one shard's part of one database. The safe face of table, arena and entries.
//!
//! All methods that take a key also take its hash (from [`crate::shard::keyspace::Keyspace::place`]), which the caller has
//! anyway from choosing the shard. Nothing here knows the time: an entry past its expiry stays until somebody who
//! knows removes it, so that exactly one place, dispatch, decides what an expiry means.

mod board;
mod change;
mod entry;
#[cfg(all(test, feature = "memcheck"))]
mod planted;
mod read;
#[cfg(test)]
mod tests;
mod value;

pub use board::Counts;
pub use change::{EntryMut, Observer, Removed};
pub use entry::MAX_KEY;
pub use read::{EntryRef, Found};
pub use value::{MAX_INLINE, NewValue, ObjectValue, Value, new_value, string_value};

pub(crate) use board::{Board, BoardRow};

use crate::mem::same;
use crate::mem::slab::Arena;
use crate::table::{Met, Pos, Table, Visited, table_hash};
use crate::types::object::Freed;
use change::Spot;
use entry::EntryPtr;
use smallvec::SmallVec;

/// See the module's page.
#[repr(C)]
pub struct Dict {
    // What nearly every command looks at, in one line of the cache.
    table: Table,
    arena: Option<Box<Arena>>,
    /// Told before anything changes.
    observer: Option<Box<dyn Observer>>,
    /// Entries with an expiry.
    expiring: usize,
    // The rest.
    /// Entries that are never to be evicted.
    kept: usize,
    /// Entries with elements that expire.
    timed: usize,
    /// Entries that own memory outside of slab pages: blobs, objects, and slots too large for a page.
    heavy: usize,
    /// Bytes of blobs and objects.
    owned_bytes: usize,
    row: Option<BoardRow>,
    /// The idle bytes that were made known in `row`.
    known_idle: usize,
}

/// So many entries ahead of the one that is visited the next ones are fetched.
const AHEAD: usize = 8;

impl Default for Dict {
    fn default() -> Self {
        Dict::new()
    }
}

impl Dict {
    /// An empty dictionary, which owns no memory.
    pub const fn new() -> Dict {
        Dict {
            table: Table::new(),
            arena: None,
            observer: None,
            expiring: 0,
            kept: 0,
            timed: 0,
            heavy: 0,
            owned_bytes: 0,
            row: None,
            known_idle: 0,
        }
    }

    /// One that makes its root and its counts known.
    pub(crate) fn at(row: BoardRow) -> Dict {
        let mut dict = Dict::new();
        dict.row = Some(row);
        dict
    }

    /// The addresses of what nearly every command looks at.
    #[cfg(test)]
    pub(crate) fn hot_bytes(&self) -> std::ops::Range<usize> {
        let begin = &raw const self.table as usize;
        begin..&raw const self.kept as usize
    }

    /// Exchanges the contents, with who observes them, but not the rows they are known in.
    pub(crate) fn swap_contents(&mut self, other: &mut Dict) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.row, &mut other.row);
        std::mem::swap(&mut self.known_idle, &mut other.known_idle);
        for dict in [self, other] {
            dict.publish();
            dict.publish_kept();
            dict.publish_timed();
        }
    }

    /// Has `observer` told before anything in this dictionary changes, or nobody; returns who was before. An observer stays
    /// with what it observes: where databases are exchanged it goes along, and a dictionary that is taken out of its shard
    /// keeps it, until it is [let go](Dict::let_go). The end of a whole dictionary is not told.
    pub fn observe(&mut self, observer: Option<Box<dyn Observer>>) -> Option<Box<dyn Observer>> {
        std::mem::replace(&mut self.observer, observer)
    }

    /// Tells who observes it in which database it is now.
    pub(crate) fn tell_where(&mut self, db: usize) {
        if let Some(observer) = &mut self.observer {
            observer.moved(db);
        }
    }

    /// Hands a dictionary that was taken out of its shard to who observes it; returns it if nobody wants it.
    pub fn let_go(mut self) -> Option<Dict> {
        match self.observer.take() {
            Some(observer) => observer.take(self),
            None => Some(self),
        }
    }

    /// Whether somebody is told.
    pub fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of keys with an expiry.
    pub fn expiring(&self) -> usize {
        self.expiring
    }

    /// Number of keys that are never to be evicted.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Makes their number known, which hardly ever changes.
    fn publish_kept(&self) {
        if let Some(row) = &self.row {
            row.set_kept(self.kept);
        }
    }

    /// Makes the number of entries known with elements that expire, which does not change often.
    fn publish_timed(&self) {
        if let Some(row) = &self.row {
            row.set_timed(self.timed);
        }
    }

    /// Counts an entry that has or had elements which expire.
    #[inline]
    fn count_timed(&mut self, is: bool, was: bool) {
        if is != was {
            self.timed = self.timed + usize::from(is) - usize::from(was);
            self.publish_timed();
        }
    }

    /// Bytes in use: table, entries with their share of slab pages, large entries, blobs and collections.
    #[inline]
    pub fn bytes(&self) -> usize {
        let entries = self.arena.as_ref().map_or(0, |a| a.bytes() - a.idle());
        self.table.bytes() + entries + self.owned_bytes
    }

    /// Bytes of slab pages that are free slots: held beside [`Dict::bytes`].
    #[inline]
    pub fn idle_bytes(&self) -> usize {
        self.arena.as_ref().map_or(0, |a| a.idle())
    }

    /// (segments, buckets) of the table.
    pub fn shape(&self) -> (usize, usize) {
        self.table.shape()
    }

    /// Keys, keys with an expiry, and bytes.
    #[inline]
    pub fn counts(&self) -> Counts {
        Counts {
            keys: self.len(),
            expiring: self.expiring,
            bytes: self.bytes(),
            table_bytes: self.table.bytes(),
        }
    }

    /// Makes the table's root and the counts known, after keys or entries came or went.
    #[inline]
    fn publish(&mut self) {
        let idle = self.idle_bytes();
        if let Some(row) = &self.row {
            row.set_root(self.table.root());
            row.set(self.counts());
            let change = idle.wrapping_sub(self.known_idle);
            if change != 0 {
                row.add_idle(change);
                self.known_idle = idle;
            }
        }
    }

    /// Counts bytes that values own outside of their entries: so many instead of so many.
    #[inline]
    fn count_owned(&mut self, now: usize, before: usize) {
        let change = now.wrapping_sub(before);
        if change != 0 {
            self.owned_bytes = self.owned_bytes.wrapping_add(change);
            if let Some(row) = &self.row {
                row.add_bytes(change);
            }
        }
    }

    #[inline]
    fn forget(&mut self, freed: Option<Freed>) -> Removed {
        if let Some(freed) = &freed {
            self.count_owned(0, entry::freed_bytes(freed));
        }
        Removed { freed }
    }

    /// Looks a key up.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        let pos = self.position(hash, key)?;
        Some(self.view(self.table.addr(pos)))
    }

    #[inline]
    fn position(&self, hash: u64, key: &[u8]) -> Option<Pos> {
        self.table.find(table_hash(hash), |addr| {
            // SAFETY: the table holds addresses of live entries only.
            same(unsafe { EntryPtr::from_addr(addr) }.key(), key)
        })
    }

    fn view(&self, addr: usize) -> EntryRef<'_> {
        // SAFETY: callers take the address from the table, which holds live entries only.
        EntryRef::new(unsafe { EntryPtr::from_addr(addr) })
    }

    /// Looks a key up; who finds it may go on to change it.
    #[inline]
    pub fn find(&mut self, hash: u64, key: &[u8]) -> Option<Found<'_>> {
        let pos = self.position(hash, key)?;
        // SAFETY: as in `view`.
        let entry = unsafe { EntryPtr::from_addr(self.table.addr(pos)) };
        Some(Found(Spot {
            dict: self,
            pos,
            hash,
            entry,
        }))
    }

    /// Adds a key that is not there. `expiry_ms` is in Unix milliseconds, `clock` the 28-bit access clock.
    #[inline]
    pub fn insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: NewValue<'_>,
        expiry_ms: Option<u64>,
        raw: bool,
        clock: u32,
    ) {
        debug_assert!(self.get(hash, key).is_none(), "the key is there already");
        if let Some(observer) = &mut self.observer {
            observer.before_insert(hash, key);
        }
        let mut value = value;
        if let NewValue::Object(object) = &mut value
            && object.watcher().is_some()
            && let Some(row) = &self.row
        {
            object.tell_moved(row.db(), hash, key);
        }
        let arena = self.arena.get_or_insert_default();
        let entry = EntryPtr::create(arena, key, value, expiry_ms, raw, clock);
        let h = table_hash(hash);
        let mut due = expiry_ms;
        if entry.is_heavy() {
            self.heavy += 1;
            self.owned_bytes += entry.owned_bytes();
            due = entry.due_ms();
            self.count_timed(entry.is_timed(), false);
        }
        self.table.insert(h, entry.addr(), due.is_some());
        self.expiring += usize::from(expiry_ms.is_some());
        if let Some(ms) = due {
            self.table.note_due(h, ms);
        }
        self.publish();
    }

    /// Makes room for so many keys in all in the table, which would else grow step by step on its way there.
    pub fn reserve(&mut self, keys: usize) {
        self.table.reserve(keys);
        self.publish();
    }

    /// Adds a key or replaces its value and expiry.
    #[inline]
    pub fn set(
        &mut self,
        hash: u64,
        key: &[u8],
        value: NewValue<'_>,
        expiry_ms: Option<u64>,
        clock: u32,
    ) -> Removed {
        match self.find(hash, key) {
            None => {
                self.insert(hash, key, value, expiry_ms, false, clock);
                Removed::default()
            }
            Some(found) => {
                found.touch(clock);
                found.change().set(value, expiry_ms, false)
            }
        }
    }

    /// Visits the keys of one segment from a position on; see [`Table::visit_from`]. `visit` gets each key's position.
    pub fn visit_from<'a>(
        &'a self,
        position: u64,
        mut visit: impl FnMut(u64, EntryRef<'a>),
    ) -> Option<u64> {
        self.table
            .visit_from(position, |v: Visited| visit(v.position, self.view(v.addr)))
    }

    /// Visits about `want` keys at a position and after it, with their positions; returns the position to go on from, or
    /// `None` after the last. The promise is that of [`Dict::visit_from`].
    pub fn step_from<'a>(
        &'a self,
        position: u64,
        want: usize,
        mut visit: impl FnMut(u64, EntryRef<'a>),
    ) -> Option<u64> {
        let mut met = Met::new();
        let next = self.table.step_into(position, want, &mut met);
        // Neighbours in the table lie anywhere in memory: each is fetched while those before it are looked at, first its head, then,
        // when that says how long it is, the rest.
        for v in met.iter().take(2 * AHEAD) {
            crate::mem::prefetch(v.addr);
        }
        for (at, v) in met.iter().enumerate() {
            if let Some(ahead) = met.get(at + 2 * AHEAD) {
                crate::mem::prefetch(ahead.addr);
            }
            if let Some(ahead) = met.get(at + AHEAD) {
                self.view(ahead.addr).entry().prefetch_rest();
            }
            visit(v.position, self.view(v.addr));
        }
        next
    }

    /// Collects up to `max` keys that are due at `now_ms` from the segment at `position`, if anything in it may be
    /// due. Returns whether the segment was looked through, and where the next begins.
    pub fn due_from(
        &self,
        position: u64,
        now_ms: u64,
        max: usize,
        due: &mut Vec<Vec<u8>>,
    ) -> (bool, Option<u64>) {
        self.table.visit_due(position, now_ms, |v| {
            let e = self.view(v.addr);
            let at = e.entry().due_ms().unwrap_or(u64::MAX);
            if at <= now_ms && due.len() < max {
                due.push(e.key().to_vec());
                // Removed by the caller right away.
                return u64::MAX;
            }
            at
        })
    }

    /// Shows about `want` entries from a place of the table that `random` chooses on, and how many buckets that took.
    /// Where entries are in a table has nothing to do with when they came or were used, so they are a random sample.
    /// `volatile`: only those with an expiry. Looks at `most` buckets at most, and at each once.
    pub fn sample<'a>(
        &'a self,
        random: u64,
        want: usize,
        most: usize,
        volatile: bool,
        mut visit: impl FnMut(EntryRef<'a>),
    ) -> usize {
        let mut met: SmallVec<[usize; 256]> = SmallVec::new();
        let looked = self.table.sample(random, want, most, volatile, |addr| {
            crate::mem::prefetch(addr);
            met.push(addr);
        });
        for addr in met {
            let e = self.view(addr);
            // Elements that expire are flagged too.
            if !volatile || e.expiry_ms().is_some() {
                visit(e);
            }
        }
        looked
    }

    /// Chooses the pages and spans of entries that can be emptied because what is in them has room in others; whether there
    /// are any. They get no new entries from then on, until [`Dict::end_compaction`].
    pub fn begin_compaction(&mut self) -> bool {
        self.end_compaction();
        self.arena
            .as_mut()
            .is_some_and(|a| a.begin_compaction() > 0)
    }

    /// Moves the entries of one segment of the table out of the chosen pages; the position at which the next segment begins, or
    /// `None` after the last. An entry that moves is no change of it. Counts those that moved and those that stayed.
    pub fn compact_from(&mut self, position: u64, moved: &mut [u64; 2]) -> Option<u64> {
        let arena = self.arena.as_mut()?;
        let next = self.table.relocate(position, |addr| {
            // SAFETY: the table holds addresses of live entries only.
            let e = unsafe { EntryPtr::from_addr(addr) };
            // SAFETY: the table is given the new address, and forgets the old one.
            let to = unsafe { e.move_out(arena) };
            moved[usize::from(to.is_none())] += 1;
            to.map(EntryPtr::addr)
        });
        self.publish();
        next
    }

    /// Lets the chosen pages that are left get entries again.
    pub fn end_compaction(&mut self) {
        if let Some(arena) = &mut self.arena {
            arena.end_compaction();
        }
        self.publish();
    }

    /// The `n`th key in table order, `n` below [`Dict::len`].
    pub fn nth(&self, n: usize) -> Option<EntryRef<'_>> {
        self.table.nth(n).map(|addr| self.view(addr))
    }

    /// Calls `f` for every key.
    pub fn for_each<'a>(&'a self, mut f: impl FnMut(EntryRef<'a>)) {
        let mut position = Some(0);
        while let Some(p) = position {
            position = self.visit_from(p, |_, e| f(e));
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.table.check();
        let (mut n, mut expiring, mut heavy, mut owned) = (0, 0, 0, 0);
        let (mut kept, mut timed) = (0, 0);
        self.for_each(|e| {
            n += 1;
            timed += usize::from(e.entry().is_timed());
            kept += usize::from(e.is_kept());
            expiring += usize::from(e.expiry_ms().is_some());
            heavy += usize::from(e.entry().is_heavy());
            owned += e.entry().owned_bytes();
        });
        assert_eq!(
            (n, expiring, heavy, owned),
            (self.len(), self.expiring, self.heavy, self.owned_bytes)
        );
        assert_eq!((kept, timed), (self.kept, self.timed));
        if let Some(row) = &self.row {
            assert_eq!(row.known_timed(), self.timed);
            assert_eq!(row.known(), self.counts());
            assert_eq!(self.known_idle, self.idle_bytes());
        }
    }
}

impl Drop for Dict {
    fn drop(&mut self) {
        // Entries in slab pages go with their pages; only those that own more have to be visited.
        let Some(arena) = self.arena.as_mut() else {
            return;
        };
        if self.heavy > 0 || cfg!(feature = "memcheck") {
            let mut position = Some(0);
            while let Some(p) = position {
                let mut heavy = Vec::new();
                position = self.table.visit_from(p, |v| heavy.push(v.addr));
                for addr in heavy {
                    // SAFETY: each live entry is visited once and not used afterwards; the table is reset below.
                    let entry = unsafe { EntryPtr::from_addr(addr) };
                    if entry.is_heavy() || cfg!(feature = "memcheck") {
                        // SAFETY: as above.
                        drop(unsafe { entry.destroy(arena) });
                    }
                }
            }
        }
        self.table.reset();
        self.arena = None;
        (self.expiring, self.owned_bytes) = (0, 0);
        self.publish();
        if self.kept > 0 {
            self.kept = 0;
            self.publish_kept();
        }
        if self.timed > 0 {
            self.timed = 0;
            self.publish_timed();
        }
    }
}
