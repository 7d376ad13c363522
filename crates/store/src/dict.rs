//! A dictionary: one shard's part of one database. The safe face of table, arena and entries.
//!
//! All methods that take a key also take its hash (from [`crate::keyspace::Keyspace::hash`]), which the caller has
//! anyway from choosing the shard. Nothing here knows the time: an entry past its expiry stays until somebody who
//! knows removes it, so that exactly one place, dispatch, decides what an expiry means.

use crate::entry::{EntryPtr, MAX_INLINE, NewValue, ObjectValue, Type, Value, ValueMut};
use crate::object::{Collection, Freed, MAX_INLINE_PACKED, Object};
use crate::slab::Arena;
use crate::table::{Pos, Table, Visited, table_hash};
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

/// What was removed: lets the caller drop big values after the lock.
#[derive(Debug, Default)]
pub struct Removed {
    /// The value, if it was a blob or an object.
    pub freed: Option<Freed>,
}

/// A key with its value, to be looked at.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    entry: EntryPtr,
    dict: std::marker::PhantomData<&'a Dict>,
}

impl<'a> EntryRef<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        self.entry.key()
    }

    /// The value of a string.
    ///
    /// # Panics
    /// If it is a collection: ask for the kind first.
    #[inline]
    pub fn value(&self) -> Value<'a> {
        self.entry.value()
    }

    /// The value of a collection.
    ///
    /// # Panics
    /// If it is a string.
    pub fn object(&self) -> ObjectValue<'a> {
        self.entry.object()
    }

    /// A collection that stands outside of its entry.
    #[inline]
    pub fn own_object(&self) -> Option<&'a Object> {
        self.entry.object_ref()
    }

    /// A view of a collection; `None` if it is of another type.
    #[inline]
    pub fn view<C: Collection + 'a>(&self) -> Option<C::Ref<'a>> {
        if self.kind() != C::KIND {
            return None;
        }
        match self.entry.object() {
            ObjectValue::Packed(b) => Some(C::view_packed(b)),
            ObjectValue::Object(o) => C::of(o).map(C::view),
        }
    }

    /// The value's type.
    #[inline]
    pub fn kind(&self) -> Type {
        self.entry.kind()
    }

    /// When it expires, in Unix milliseconds.
    #[inline]
    pub fn expiry_ms(&self) -> Option<u64> {
        self.entry.expiry_ms()
    }

    /// Sets the access clock, touching memory only if it changes. Others may do so at the same time.
    #[inline]
    pub fn touch(&self, clock: u32) {
        if self.entry.clock() != clock {
            self.entry.set_clock(clock);
        }
    }

    /// The 24-bit access clock.
    pub fn clock(&self) -> u32 {
        self.entry.clock()
    }

    /// Whether a short string is to be called raw: it was built by APPEND or SETRANGE.
    pub fn is_raw(&self) -> bool {
        self.entry.is_raw()
    }

    /// Bytes that the key takes: its slot, its share of the table, and what its value owns.
    pub fn memory(&self) -> usize {
        let owned = owned_bytes(self.entry);
        crate::slab::rounded(self.entry.size()) + 8 + owned
    }
}

/// A found entry, to be read, changed or removed without another search.
pub struct Found<'a> {
    dict: &'a mut Dict,
    pos: Pos,
    h: u64,
    entry: EntryPtr,
}

impl<'a> Found<'a> {
    /// A view of it.
    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef {
            entry: self.entry,
            dict: std::marker::PhantomData,
        }
    }

    /// A view that lives as long as the borrow of the dictionary.
    #[inline]
    pub fn into_ref(self) -> EntryRef<'a> {
        EntryRef {
            entry: self.entry,
            dict: std::marker::PhantomData,
        }
    }

    /// When it expires, in Unix milliseconds.
    #[inline]
    pub fn expiry_ms(&self) -> Option<u64> {
        self.entry.expiry_ms()
    }

    /// Sets the access clock, touching memory only if it changes.
    #[inline]
    pub fn touch(&mut self, clock: u32) {
        if self.entry.clock() != clock {
            self.entry.set_clock(clock);
        }
    }

    /// Replaces the value; the expiry stays.
    #[inline]
    pub fn set_value(&mut self, value: NewValue<'_>, raw: bool) -> Removed {
        let old_heavy = is_heavy(self.entry);
        let freed = match self.entry.try_replace(value, raw) {
            Ok(freed) => {
                let dict = &mut *self.dict;
                dict.heavy =
                    dict.heavy + usize::from(is_heavy(self.entry)) - usize::from(old_heavy);
                dict.owned_bytes += owned_bytes(self.entry);
                freed
            }
            Err(value) => {
                let expiry = self.entry.expiry_ms();
                self.rebuild(value, expiry, raw)
            }
        };
        self.dict.forget(freed)
    }

    /// Replaces the entry by one with another value or expiry. What the old one owned is returned, not yet deducted.
    fn rebuild(&mut self, value: NewValue<'_>, expiry: Option<u64>, raw: bool) -> Option<Freed> {
        let old = self.entry;
        let arena = self.dict.arena.get_or_insert_default();
        let new = EntryPtr::create(arena, old.key(), value, expiry, raw, old.clock());
        self.dict.owned_bytes += owned_bytes(new);
        let was_heavy = is_heavy(old);
        self.swap_in(new, was_heavy);
        let arena = self.dict.arena.as_mut().expect("entries have an arena");
        // SAFETY: the table no longer points to the old entry, and `self.entry` is the new one.
        unsafe { old.destroy(arena) }
    }

    /// Points the table to `new`, which replaces `self.entry`, and keeps the counts.
    fn swap_in(&mut self, new: EntryPtr, was_heavy: bool) {
        let old = self.entry;
        let dict = &mut *self.dict;
        let expiry = new.expiry_ms();
        dict.heavy = dict.heavy + usize::from(is_heavy(new)) - usize::from(was_heavy);
        dict.expiring =
            dict.expiring + usize::from(expiry.is_some()) - usize::from(old.expiry_ms().is_some());
        self.entry = new;
        self.flag();
    }

    /// Tells the table where the entry is and whether and when something about it becomes due.
    fn flag(&mut self) {
        let due = due_ms(self.entry);
        self.dict
            .table
            .replace(self.pos, self.entry.addr(), due.is_some());
        if let Some(ms) = due {
            self.dict.table.note_due(self.h, ms);
        }
    }

    /// Sets or clears the expiry, in Unix milliseconds.
    pub fn set_expiry(&mut self, expiry_ms: Option<u64>) {
        match (self.entry.expiry_ms(), expiry_ms) {
            (None, None) => {}
            (Some(_), Some(ms)) => {
                self.entry.set_expiry_ms(ms);
                self.dict.table.note_due(self.h, ms);
            }
            _ => {
                let old = self.entry;
                let (raw, was_heavy) = (old.is_raw(), is_heavy(old));
                let arena = self.dict.arena.as_mut().expect("entries have an arena");
                // SAFETY: the old entry is only freed from here on, by `free_shell` below.
                let owned = unsafe { old.move_owned() };
                let value = owned.unwrap_or_else(|| match old.kind() {
                    Type::String => match old.value() {
                        Value::Int(i) => NewValue::Int(i),
                        Value::Inline(v) => NewValue::Inline(v),
                        Value::Blob(_) => unreachable!("a blob is owned"),
                    },
                    kind => match old.object() {
                        ObjectValue::Packed(v) => NewValue::Packed(kind, v),
                        ObjectValue::Object(_) => unreachable!("an object is owned"),
                    },
                });
                let new = EntryPtr::create(arena, old.key(), value, expiry_ms, raw, old.clock());
                self.swap_in(new, was_heavy);
                let arena = self.dict.arena.as_mut().expect("entries have an arena");
                // SAFETY: the table no longer points to the old entry; what it owned lives in the new one.
                unsafe { old.free_shell(arena) };
            }
        }
    }

    /// Changes a collection; `None` if the value is of another type. One that becomes empty stays until the caller
    /// removes it: see [`Found::is_empty_collection`].
    pub fn edit<C: Collection, R>(&mut self, f: impl FnOnce(&mut C) -> R) -> Option<R> {
        if self.entry.kind() != C::KIND {
            return None;
        }
        if let Some(object) = self.entry.object_mut() {
            let before = object.memory();
            let r = f(C::of_mut(object)?);
            self.dict.owned_bytes = self.dict.owned_bytes + object.memory() - before;
            // Only a hash has elements that expire.
            if C::KIND == Type::Hash {
                self.flag();
            }
            return Some(r);
        }
        let ObjectValue::Packed(bytes) = self.entry.object() else {
            return None;
        };
        let mut scratch = SCRATCH.take();
        scratch.clear();
        scratch.extend_from_slice(bytes);
        let mut collection = C::from_packed(scratch);
        let r = f(&mut collection);
        match collection.packed() {
            Some(bytes) if bytes.len() <= MAX_INLINE_PACKED => {
                self.set_value(NewValue::Packed(C::KIND, bytes), false);
                if let Some(scratch) = collection.into_scratch() {
                    SCRATCH.set(scratch);
                }
            }
            _ => {
                self.set_value(NewValue::Object(Box::new(collection.into_object())), false);
                self.flag();
            }
        }
        Some(r)
    }

    /// Removes elements of a collection that have expired; returns how many.
    pub fn expire_elements(&mut self, now_ms: u64) -> usize {
        let Some(object) = self.entry.object_mut() else {
            return 0;
        };
        let before = object.memory();
        let n = object.expire_elements(now_ms);
        self.dict.owned_bytes = self.dict.owned_bytes + object.memory() - before;
        self.flag();
        n
    }

    /// Whether the value is a collection without elements, which is no value.
    pub fn is_empty_collection(&self) -> bool {
        if self.entry.kind() == Type::String {
            return false;
        }
        match self.entry.object() {
            ObjectValue::Packed(b) => match self.entry.kind() {
                Type::List => crate::types::list::List::view_packed(b).is_empty(),
                Type::Set => crate::types::set::Set::view_packed(b).is_empty(),
                Type::SortedSet => crate::types::sorted_set::SortedSet::view_packed(b).is_empty(),
                Type::Hash => crate::types::hash::Hash::view_packed(b).is_empty(),
                // A stream may be empty.
                Type::Stream | Type::String => false,
            },
            ObjectValue::Object(Object::Stream(_)) => false,
            ObjectValue::Object(o) => o.is_empty(),
        }
    }

    /// Changes the bytes in place, keeping their number: `f` gets them all. Integers are not changed in place, and
    /// shared blobs are copied first. Returns `None` where nothing could be changed in place.
    pub fn edit_bytes<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        match self.entry.value_mut() {
            ValueMut::Int => None,
            ValueMut::Inline(b) => {
                self.entry.set_raw();
                Some(f(b))
            }
            ValueMut::Blob(_) => self.edit_blob(|b| f(b)),
        }
    }

    /// Changes a blob in place, its length too; copies it first if a reply still shares it. `None`: no blob.
    pub fn edit_blob<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let ValueMut::Blob(b) = self.entry.value_mut() else {
            return None;
        };
        let before = b.capacity();
        let r = f(Arc::make_mut(b));
        self.dict.owned_bytes = self.dict.owned_bytes + b.capacity() - before;
        self.entry.set_raw();
        Some(r)
    }

    /// Removes it.
    pub fn remove(self) -> Removed {
        let dict = self.dict;
        let entry = self.entry;
        dict.expiring -= usize::from(entry.expiry_ms().is_some());
        dict.heavy -= usize::from(is_heavy(entry));
        dict.table.remove(self.h, self.pos);
        let arena = dict.arena.as_mut().expect("entries have an arena");
        // SAFETY: the table no longer points to it, and `self` is consumed.
        let freed = unsafe { entry.destroy(arena) };
        dict.publish();
        dict.forget(freed)
    }
}

thread_local! {
    /// Where packed collections are changed.
    static SCRATCH: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
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
    e.owns() || e.size() > crate::slab::MAX_SLOT
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
        EntryRef {
            // SAFETY: callers take the address from the table, which holds live entries only.
            entry: unsafe { EntryPtr::from_addr(addr) },
            dict: std::marker::PhantomData,
        }
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
            let at = due_ms(e.entry).unwrap_or(u64::MAX);
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
            heavy += usize::from(is_heavy(e.entry));
            owned += owned_bytes(e.entry);
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

/// How to store a string: as a number if it is the canonical text of one, inline if short, else as a blob.
#[inline]
pub fn new_value(bytes: &[u8]) -> NewValue<'_> {
    if bytes.len() <= 20
        && let Some(i) = canonical_i64(bytes)
    {
        return NewValue::Int(i);
    }
    string_value(bytes)
}

/// How to store a string that is not to be taken for a number.
#[inline]
pub fn string_value(bytes: &[u8]) -> NewValue<'_> {
    if bytes.len() <= MAX_INLINE {
        NewValue::Inline(bytes)
    } else {
        NewValue::Blob(Arc::new(bytes.to_vec()))
    }
}

/// The number whose canonical decimal text `b` is: no plus, no leading zero, no "-0".
#[inline]
pub(crate) fn canonical_i64(b: &[u8]) -> Option<i64> {
    let (negative, digits) = match b {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, b),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut n: u64 = 0;
    for &d in digits {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n * 10 + u64::from(d);
    }
    if negative {
        (n <= 1 << 63).then(|| (n as i64).wrapping_neg())
    } else {
        i64::try_from(n).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn numbers_are_canonical() {
        for (text, n) in [
            ("0", Some(0)),
            ("-0", None),
            ("", None),
            ("-", None),
            ("01", None),
            ("+1", None),
            ("12 ", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(canonical_i64(text.as_bytes()), n, "{text}");
        }
    }

    fn hash(key: &[u8]) -> u64 {
        // Poor on purpose in its low bits: the table uses only the top ones, which the multiplication mixes well.
        let mut h = 0xcbf2_9ce4_8422_2325_u64;
        for &b in key {
            h = (h ^ u64::from(b))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        h.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn bytes_of(v: Value<'_>) -> Vec<u8> {
        match v {
            Value::Int(i) => i.to_string().into_bytes(),
            Value::Inline(b) => b.to_vec(),
            Value::Blob(b) => b.to_vec(),
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Set(u16, Vec<u8>, Option<u64>),
        Remove(u16),
        Expire(u16, Option<u64>),
        Append(u16, Vec<u8>),
        Edit(u16),
    }

    fn op(keys: u16) -> impl Strategy<Value = Op> {
        let value = prop_oneof![
            6 => prop::collection::vec(any::<u8>(), 0..80),
            2 => any::<i64>().prop_map(|i| i.to_string().into_bytes()),
            1 => (0usize..6000).prop_map(|n| vec![b'x'; n]),
        ];
        prop_oneof![
            5 => (0..keys, value.clone(), prop::option::of(1u64..100)).prop_map(|(k, v, e)| Op::Set(k, v, e)),
            3 => (0..keys).prop_map(Op::Remove),
            1 => (0..keys, prop::option::of(1u64..100)).prop_map(|(k, e)| Op::Expire(k, e)),
            1 => (0..keys, value).prop_map(|(k, v)| Op::Append(k, v)),
            1 => (0..keys).prop_map(Op::Edit),
        ]
    }

    fn key_of(k: u16) -> Vec<u8> {
        // Some keys are long enough to need the long form of their length.
        let mut key = format!("key:{k}").into_bytes();
        if k.is_multiple_of(17) {
            key.resize(250 + k as usize % 20, b'k');
            key.extend(k.to_le_bytes());
        }
        key
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(48), ..ProptestConfig::default() })]
        /// The dictionary against a plain map, over random histories.
        #[test]
        fn behaves_like_a_map(ops in prop::collection::vec(op(400), 1..3000)) {
            let mut dict = Dict::new();
            let mut model: HashMap<Vec<u8>, (Vec<u8>, Option<u64>)> = HashMap::new();
            for op in ops {
                match op {
                    Op::Set(k, v, e) => {
                        let k = key_of(k);
                        dict.set(hash(&k), &k, new_value(&v), e, 7);
                        model.insert(k, (v, e));
                    }
                    Op::Remove(k) => {
                        let k = key_of(k);
                        let was = dict.find(hash(&k), &k).map(|f| f.remove()).is_some();
                        prop_assert_eq!(was, model.remove(&k).is_some());
                    }
                    Op::Expire(k, e) => {
                        let k = key_of(k);
                        if let Some(mut f) = dict.find(hash(&k), &k) {
                            f.set_expiry(e);
                        }
                        if let Some(m) = model.get_mut(&k) {
                            m.1 = e;
                        }
                    }
                    Op::Append(k, more) => {
                        let k = key_of(k);
                        if let Some(mut f) = dict.find(hash(&k), &k) {
                            if f.edit_blob(|b| b.extend_from_slice(&more)).is_none() {
                                let mut whole = bytes_of(f.get().value());
                                whole.extend_from_slice(&more);
                                f.set_value(string_value(&whole), true);
                            }
                            prop_assert!(f.get().is_raw());
                            model.get_mut(&k).unwrap().0.extend_from_slice(&more);
                        }
                    }
                    Op::Edit(k) => {
                        let k = key_of(k);
                        if let Some(mut f) = dict.find(hash(&k), &k)
                            && f.edit_bytes(|b| if let Some(x) = b.first_mut() { *x = b'!' }).is_some()
                            && let Some(x) = model.get_mut(&k).unwrap().0.first_mut() {
                            *x = b'!';
                        }
                    }
                }
            }
            dict.check();
            prop_assert_eq!(dict.len(), model.len());
            for (k, (v, e)) in &model {
                let found = dict.get(hash(k), k).expect("a key of the model");
                prop_assert_eq!(&bytes_of(found.value()), v);
                prop_assert_eq!(found.expiry_ms(), *e);
            }
            for n in 0..dict.len() {
                let e = dict.nth(n).unwrap();
                prop_assert!(model.contains_key(e.key()));
            }
            let mut due = Vec::new();
            let mut at = Some(0);
            while let Some(p) = at {
                at = dict.due_from(p, 50, usize::MAX, &mut due).1;
            }
            due.sort();
            let mut want: Vec<_> = model.iter().filter(|(_, (_, e))| e.is_some_and(|e| e <= 50)).map(|(k, _)| k.clone()).collect();
            want.sort();
            prop_assert_eq!(due, want);
            // Removing everything leaves nothing behind.
            for k in model.keys() {
                dict.find(hash(k), k).unwrap().remove();
            }
            dict.check();
            prop_assert!(dict.arena.as_ref().is_none_or(|a| a.is_idle()));
        }
    }

    /// Grows through every size of segment and several splits, then shrinks back, with a walk in progress.
    #[test]
    fn walks_meet_what_stays_through_growth_and_shrinking() {
        let n: u32 = if cfg!(feature = "memcheck") {
            12_000
        } else {
            60_000
        };
        let mut dict = Dict::new();
        let key = |i: u32| format!("k{i}").into_bytes();
        for i in 0..n / 10 {
            let k = key(i);
            dict.insert(hash(&k), &k, NewValue::Int(i.into()), None, false, 0);
        }
        let mut seen = vec![false; n as usize / 10];
        let mut at = Some(0);
        let (mut added, mut step) = (n / 10, 0);
        while let Some(p) = at {
            at = dict.visit_from(p, |_, e| {
                if let Value::Int(i) = e.value()
                    && i < i64::from(n / 10)
                {
                    seen[i as usize] = true;
                }
            });
            step += 1;
            if step % 2 == 0 {
                for i in added..(added + n / 8).min(n) {
                    let k = key(i);
                    dict.insert(hash(&k), &k, NewValue::Int(i.into()), None, false, 0);
                }
                added = (added + n / 8).min(n);
            } else {
                for i in (n / 10).max(added.saturating_sub(n / 16))..added {
                    let k = key(i);
                    dict.find(hash(&k), &k).unwrap().remove();
                }
                added = (n / 10).max(added.saturating_sub(n / 16));
            }
            dict.check();
        }
        assert!(seen.iter().all(|&s| s), "a key that stayed was not met");
        let bytes = dict.bytes();
        for i in 0..added {
            let k = key(i);
            dict.find(hash(&k), &k).unwrap().remove();
        }
        assert_eq!(dict.len(), 0);
        assert!(
            dict.bytes() < bytes / 10 + 8192,
            "an emptied table gives its memory back"
        );
    }
}
