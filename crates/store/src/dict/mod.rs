//! A dictionary: one shard's part of one database. The safe face of table, arena and entries.
//!
//! All methods that take a key also take its hash (from [`crate::shard::keyspace::Keyspace::hash`]), which the caller has
//! anyway from choosing the shard. Nothing here knows the time: an entry past its expiry stays until somebody who
//! knows removes it, so that exactly one place, dispatch, decides what an expiry means.

mod change;
mod entry;
mod read;
#[cfg(test)]
mod tests;
mod value;

pub use change::{Found, Removed};
pub use read::EntryRef;
pub use value::{MAX_INLINE, NewValue, ObjectValue, Value, new_value, string_value};

use crate::mem::slab::Arena;
use crate::table::{Pos, Table, Visited, table_hash};
use crate::types::object::Freed;
use entry::EntryPtr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where a dictionary publishes its table's root for [`crate::table::Probe`].
#[derive(Clone)]
pub(crate) struct RootCell {
    pub(crate) cells: Arc<[AtomicU64]>,
    pub(crate) index: usize,
}

/// See the module's page.
pub struct Dict {
    table: Table,
    arena: Option<Box<Arena>>,
    /// Entries with an expiry.
    expiring: usize,
    /// Entries that own memory outside of slab pages: blobs, objects, and slots too large for a page.
    heavy: usize,
    /// Bytes of blobs and objects.
    owned_bytes: usize,
    root: Option<RootCell>,
}

/// When something about an entry becomes due: it, or one of its elements.
fn due_ms(e: EntryPtr) -> Option<u64> {
    let element = match e.object_ref() {
        Some(o) => o.next_due_ms(),
        None => None,
    };
    match (e.expiry_ms(), element) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Bytes that an entry's value owns outside of the entry.
fn owned_bytes(e: EntryPtr) -> usize {
    if !e.owns() {
        return 0;
    }
    match e.object_ref() {
        Some(o) => o.memory(),
        None => match e.value() {
            Value::Blob(b) => freed_bytes(b.capacity()),
            _ => 0,
        },
    }
}

/// Bytes of a blob of this capacity with its counts and its vector.
fn freed_bytes(capacity: usize) -> usize {
    capacity + size_of::<Vec<u8>>() + 16
}

#[inline]
fn is_heavy(e: EntryPtr) -> bool {
    e.owns() || e.size() > crate::mem::slab::MAX_SLOT
}

impl Default for Dict {
    fn default() -> Self {
        Dict::new()
    }
}

impl Dict {
    /// An empty dictionary, which owns no memory.
    pub fn new() -> Dict {
        Dict {
            table: Table::new(),
            arena: None,
            expiring: 0,
            heavy: 0,
            owned_bytes: 0,
            root: None,
        }
    }

    pub(crate) fn with_root(root: RootCell) -> Dict {
        let mut dict = Dict::new();
        dict.root = Some(root);
        dict
    }

    /// Exchanges the contents, but not the places they are known at.
    pub(crate) fn swap_contents(&mut self, other: &mut Dict) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.root, &mut other.root);
        self.publish();
        other.publish();
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

    /// Resident bytes: table, slab pages, large entries and blobs.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.arena.as_ref().map_or(0, |a| a.bytes()) + self.owned_bytes
    }

    /// (segments, buckets) of the table.
    pub fn shape(&self) -> (usize, usize) {
        self.table.shape()
    }

    #[inline]
    fn publish(&self) {
        if let Some(root) = &self.root {
            let cell = &root.cells[root.index];
            let word = self.table.root();
            // Workers read this cell's line for every key: written only when it changes.
            if cell.load(Relaxed) != word {
                cell.store(word, Relaxed);
            }
        }
    }

    #[inline]
    fn forget(&mut self, freed: Option<Freed>) -> Removed {
        match &freed {
            None => {}
            Some(Freed::Blob(b)) => self.owned_bytes -= freed_bytes(b.capacity()),
            Some(Freed::Object(o)) => self.owned_bytes -= o.memory(),
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
            unsafe { EntryPtr::from_addr(addr) }.key() == key
        })
    }

    fn view(&self, addr: usize) -> EntryRef<'_> {
        // SAFETY: callers take the address from the table, which holds live entries only.
        EntryRef::new(unsafe { EntryPtr::from_addr(addr) })
    }

    /// Looks a key up to change it.
    #[inline]
    pub fn find(&mut self, hash: u64, key: &[u8]) -> Option<Found<'_>> {
        let pos = self.position(hash, key)?;
        // SAFETY: as in `view`.
        let entry = unsafe { EntryPtr::from_addr(self.table.addr(pos)) };
        Some(Found {
            dict: self,
            pos,
            h: table_hash(hash),
            entry,
        })
    }

    /// Adds a key that is not there. `expiry_ms` is in Unix milliseconds, `clock` the 24-bit access clock.
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
        let arena = self.arena.get_or_insert_default();
        let entry = EntryPtr::create(arena, key, value, expiry_ms, raw, clock);
        let h = table_hash(hash);
        let mut due = expiry_ms;
        if is_heavy(entry) {
            self.heavy += 1;
            self.owned_bytes += owned_bytes(entry);
            due = due_ms(entry);
        }
        self.table.insert(h, entry.addr(), due.is_some());
        self.expiring += usize::from(expiry_ms.is_some());
        if let Some(ms) = due {
            self.table.note_due(h, ms);
        }
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
            Some(mut found) => {
                found.touch(clock);
                let had = found.expiry_ms();
                if had.is_some() == expiry_ms.is_some() {
                    if let Some(ms) = expiry_ms {
                        found.set_expiry(Some(ms));
                    }
                    return found.set_value(value, false);
                }
                let freed = found.rebuild(value, expiry_ms, false);
                self.forget(freed)
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
            let at = due_ms(e.entry()).unwrap_or(u64::MAX);
            if at <= now_ms && due.len() < max {
                due.push(e.key().to_vec());
                // Removed by the caller right away.
                return u64::MAX;
            }
            at
        })
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
        self.for_each(|e| {
            n += 1;
            expiring += usize::from(e.expiry_ms().is_some());
            heavy += usize::from(is_heavy(e.entry()));
            owned += owned_bytes(e.entry());
        });
        assert_eq!(
            (n, expiring, heavy, owned),
            (self.len(), self.expiring, self.heavy, self.owned_bytes)
        );
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
                    if is_heavy(entry) || cfg!(feature = "memcheck") {
                        // SAFETY: as above.
                        drop(unsafe { entry.destroy(arena) });
                    }
                }
            }
        }
        self.table.reset();
        self.publish();
    }
}
