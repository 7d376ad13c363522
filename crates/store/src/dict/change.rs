//! The second door: changing a key.
//!
//! Every change of an entry or of its collection goes through a [`EntryMut`], and within it through `EntryMut::open`, which
//! tells the dictionary's [`Observer`], if it has one, before the first. Adding a key tells it too ([`Dict::insert`]).
//! Nothing else in the crate changes an entry (its access clock is none of its value).
//!
//! What a value owns outside of its entry is counted when the change is over, however it ends: a closure that panics in the
//! middle of changing a collection leaves the count as right as the collection says.

use super::Dict;
use super::entry::EntryPtr;
use super::read::EntryRef;
use super::value::{NewValue, ObjectValue, Value, ValueMut};
use crate::table::{Pos, table_hash};
use crate::types::kind::Type;
use crate::types::object::{Collection, Freed, MAX_INLINE_PACKED, Object};
use crate::types::watch::Watcher;
use std::marker::PhantomData;
use std::sync::Arc;

/// Told of every change before it is made: where a snapshot saves what is about to be lost. See [`Dict::observe`].
///
/// It is called under the shard's lock, so it must be quick, and it must not panic: the change would then not be made.
pub trait Observer: Send + Sync {
    /// An entry is about to be changed or removed; `old` shows it as it is. The hash is that of the key. Who is returned
    /// watches the entry's collection from now on, if that can be watched ([`Object::is_watchable`]).
    fn before_change(&mut self, hash: u64, old: EntryRef<'_>) -> Option<Box<dyn Watcher>>;
    /// A key is about to be added that is not there.
    fn before_insert(&mut self, hash: u64, key: &[u8]);
    /// What is observed is in this database from now on.
    fn moved(&mut self, db: usize);
    /// What is observed was taken out of its shard, and nobody else wants it: it belongs to the observer from now on, or is given back
    /// if that does not want it either.
    fn take(self: Box<Self>, rest: Dict) -> Option<Dict>;
}

/// What was removed: lets the caller drop big values after the lock.
#[derive(Debug, Default)]
pub struct Removed {
    /// The value, if it was a blob or an object.
    pub freed: Option<Freed>,
}

/// A key that may be changed: see the module's page.
pub struct EntryMut<'a> {
    spot: Spot<'a>,
    told: bool,
}

impl<'a> EntryMut<'a> {
    #[inline]
    pub(super) fn new(spot: Spot<'a>) -> EntryMut<'a> {
        EntryMut { spot, told: false }
    }

    /// The one way from here to anything that changes the entry or what it owns.
    #[inline]
    fn open(&mut self) -> &mut Spot<'a> {
        if !self.told {
            self.told = true;
            if self.spot.dict.observer.is_some() {
                self.spot.tell();
            }
        }
        &mut self.spot
    }

    /// A view of it.
    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef::new(self.spot.entry)
    }

    /// A view that lives as long as the borrow of the dictionary.
    #[inline]
    pub fn into_ref(self) -> EntryRef<'a> {
        EntryRef::new(self.spot.entry)
    }

    /// When it expires, in Unix milliseconds.
    #[inline]
    pub fn expiry_ms(&self) -> Option<u64> {
        self.spot.entry.expiry_ms()
    }

    /// See [`EntryRef::touch`].
    #[inline]
    pub fn touch(&self, clock: u32) {
        self.get().touch(clock);
    }

    /// See [`EntryRef::is_empty_collection`].
    pub fn is_empty_collection(&self) -> bool {
        self.get().is_empty_collection()
    }

    /// The same of a collection that is known to be of this type.
    #[inline]
    pub fn is_empty_of<C: Collection>(&self) -> bool {
        match self.spot.entry.object_ref() {
            Some(object) => C::KIND != Type::Stream && C::of(object).is_some_and(C::is_empty),
            None => self.is_empty_collection(),
        }
    }

    /// Replaces the value; the expiry stays.
    #[inline]
    pub fn set_value(&mut self, value: NewValue<'_>, raw: bool) -> Removed {
        self.open().set_value(value, raw)
    }

    /// Replaces the value and the expiry.
    #[inline]
    pub fn set(&mut self, value: NewValue<'_>, expiry_ms: Option<u64>, raw: bool) -> Removed {
        let spot = self.open();
        if spot.entry.expiry_ms().is_some() == expiry_ms.is_some() {
            if let Some(ms) = expiry_ms {
                spot.set_expiry(Some(ms));
            }
            return spot.set_value(value, raw);
        }
        let freed = spot.rebuild(value, expiry_ms, raw);
        spot.dict.forget(freed)
    }

    /// Sets or clears the expiry, in Unix milliseconds.
    pub fn set_expiry(&mut self, expiry_ms: Option<u64>) {
        if self.expiry_ms() != expiry_ms {
            self.open().set_expiry(expiry_ms);
        }
    }

    /// Has the key never evicted, or lets it be evicted again; whether that is new. It stays so whatever value the key gets.
    pub fn set_kept(&mut self, on: bool) -> bool {
        if self.get().is_kept() == on {
            return false;
        }
        let spot = self.open();
        spot.entry.set_kept(on);
        spot.dict.kept = match on {
            true => spot.dict.kept + 1,
            false => spot.dict.kept - 1,
        };
        spot.dict.publish_kept();
        true
    }

    /// Changes a collection; `None` if the value is of another type. One that becomes empty stays until the caller
    /// removes it: see [`EntryMut::is_empty_collection`].
    pub fn edit<C: Collection, R>(&mut self, f: impl FnOnce(&mut C) -> R) -> Option<R> {
        if self.spot.entry.kind() != C::KIND {
            return None;
        }
        self.open().edit(f)
    }

    /// Removes elements of a collection that have expired, of a large one `most` at most, and calls `gone` with each; returns
    /// how many.
    pub fn expire_elements(
        &mut self,
        now_ms: u64,
        most: usize,
        gone: &mut dyn FnMut(&[u8]),
    ) -> usize {
        if self.spot.entry.object_ref().is_none() {
            return 0;
        }
        let counting = Counting::new(self.open());
        counting
            .spot
            .entry
            .object_mut()
            .map_or(0, |object| object.expire_elements(now_ms, most, gone))
    }

    /// Changes the bytes in place, keeping their number: `f` gets them all. Integers are not changed in place, and
    /// shared blobs are copied first. Returns `None` where nothing could be changed in place.
    ///
    /// # Panics
    /// If it is a collection.
    pub fn edit_bytes<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        match self.get().value() {
            Value::Int(_) => None,
            Value::Blob(_) => self.edit_blob(|b| f(b)),
            Value::Inline(_) => {
                let entry = self.open().entry;
                let ValueMut::Inline(b) = entry.value_mut() else {
                    return None;
                };
                entry.set_raw();
                Some(f(b))
            }
        }
    }

    /// Changes a blob in place, its length too; copies it first if a reply still shares it. `None`: no blob.
    ///
    /// # Panics
    /// If it is a collection.
    pub fn edit_blob<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let Value::Blob(_) = self.get().value() else {
            return None;
        };
        let counting = Counting::new(self.open());
        let ValueMut::Blob(b) = counting.spot.entry.value_mut() else {
            return None;
        };
        counting.spot.entry.set_raw();
        Some(f(Arc::make_mut(b)))
    }

    /// Removes it.
    pub fn remove(mut self) -> Removed {
        self.open();
        self.spot.remove()
    }
}

/// Where an entry is. Its methods change without telling anybody: only [`EntryMut::open`] and this room come here.
pub(super) struct Spot<'a> {
    pub(super) dict: &'a mut Dict,
    pub(super) pos: Pos,
    pub(super) hash: u64,
    pub(super) entry: EntryPtr,
}

impl Dict {
    /// A collection of its own, to be watched or written down in stretches: nobody is told, and its elements must not be
    /// changed.
    pub fn object_to_watch(&mut self, hash: u64, key: &[u8]) -> Option<&mut Object> {
        self.find(hash, key)?.0.entry.object_mut()
    }
}

impl Spot<'_> {
    #[cold]
    fn tell(&mut self) {
        if let Some(observer) = &mut self.dict.observer {
            let watcher = observer.before_change(self.hash, EntryRef::new(self.entry));
            if let Some(watcher) = watcher
                && let Some(object) = self.entry.object_mut()
            {
                object.watch(watcher);
            }
        }
    }

    #[inline]
    fn set_value(&mut self, value: NewValue<'_>, raw: bool) -> Removed {
        let owned = self.entry.owns();
        let was_timed = owned && self.entry.is_timed();
        match self.entry.try_replace(value, raw) {
            Ok(freed) => {
                if owned || self.entry.owns() {
                    self.dict.count_timed(self.entry.is_timed(), was_timed);
                    self.dict.heavy += usize::from(self.entry.is_heavy());
                    // The old one took a slot of this size.
                    self.dict.heavy -= usize::from(owned || self.entry.is_large());
                    self.dict.count_owned(self.entry.owned_bytes(), 0);
                    if self.entry.is_timed() {
                        self.flag();
                    }
                    return self.dict.forget(freed);
                }
                Removed::default()
            }
            Err(value) => {
                let expiry = self.entry.expiry_ms();
                let freed = self.rebuild(value, expiry, raw);
                self.dict.forget(freed)
            }
        }
    }

    /// Replaces the entry by one with another value or expiry. What the old one owned is returned, not yet deducted.
    fn rebuild(&mut self, value: NewValue<'_>, expiry: Option<u64>, raw: bool) -> Option<Freed> {
        let old = self.entry;
        let arena = self.dict.arena.get_or_insert_default();
        let new = EntryPtr::create(arena, old.key(), value, expiry, raw, old.clock());
        if old.is_kept() {
            new.set_kept(true);
        }
        self.dict.owned_bytes += new.owned_bytes();
        let was_heavy = old.is_heavy();
        self.dict.count_timed(new.is_timed(), old.is_timed());
        self.swap_in(new, was_heavy);
        let arena = self.dict.arena.as_mut().expect("entries have an arena");
        // SAFETY: the table no longer points to the old entry, and `self.entry` is the new one.
        let freed = unsafe { old.destroy(arena) };
        self.dict.publish();
        freed
    }

    /// Points the table to `new`, which replaces `self.entry`, and keeps the counts.
    fn swap_in(&mut self, new: EntryPtr, was_heavy: bool) {
        let old = self.entry;
        let dict = &mut *self.dict;
        let expiry = new.expiry_ms();
        dict.heavy = dict.heavy + usize::from(new.is_heavy()) - usize::from(was_heavy);
        dict.expiring =
            dict.expiring + usize::from(expiry.is_some()) - usize::from(old.expiry_ms().is_some());
        self.entry = new;
        self.flag();
    }

    /// Tells the table where the entry is and whether and when something about it becomes due.
    fn flag(&mut self) {
        let due = self.entry.due_ms();
        self.dict
            .table
            .replace(self.pos, self.entry.addr(), due.is_some());
        if let Some(ms) = due {
            self.dict.table.note_due(table_hash(self.hash), ms);
        }
    }

    fn set_expiry(&mut self, expiry_ms: Option<u64>) {
        match (self.entry.expiry_ms(), expiry_ms) {
            (None, None) => {}
            (Some(_), Some(ms)) => {
                self.entry.set_expiry_ms(ms);
                self.dict.table.note_due(table_hash(self.hash), ms);
            }
            _ => {
                let old = self.entry;
                let (raw, was_heavy) = (old.is_raw(), old.is_heavy());
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
                if old.is_kept() {
                    new.set_kept(true);
                }
                self.swap_in(new, was_heavy);
                let arena = self.dict.arena.as_mut().expect("entries have an arena");
                // SAFETY: the table no longer points to the old entry; what it owned lives in the new one.
                unsafe { old.free_shell(arena) };
                self.dict.publish();
            }
        }
    }

    /// The value is of this type.
    fn edit<C: Collection, R>(&mut self, f: impl FnOnce(&mut C) -> R) -> Option<R> {
        if self.entry.owns() {
            let counting = CountingOf::<C>::new(self);
            return counting.spot.entry.object_mut().and_then(C::of_mut).map(f);
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

    fn remove(self) -> Removed {
        let Spot {
            dict,
            pos,
            hash,
            entry,
        } = self;
        dict.expiring -= usize::from(entry.expiry_ms().is_some());
        dict.heavy -= usize::from(entry.is_heavy());
        dict.count_timed(false, entry.is_timed());
        if entry.is_kept() {
            dict.kept -= 1;
            dict.publish_kept();
        }
        dict.table.remove(table_hash(hash), pos);
        let arena = dict.arena.as_mut().expect("entries have an arena");
        // SAFETY: the table no longer points to it, and `self` is consumed.
        let freed = unsafe { entry.destroy(arena) };
        if dict.table.is_empty() {
            arena.trim();
        }
        let removed = dict.forget(freed);
        dict.publish();
        removed
    }
}

/// Counts what a value owns when a change of it in place is over, also if that panics.
struct Counting<'s, 'a> {
    spot: &'s mut Spot<'a>,
    before: usize,
    was_timed: bool,
}

impl<'s, 'a> Counting<'s, 'a> {
    fn new(spot: &'s mut Spot<'a>) -> Counting<'s, 'a> {
        let (before, was_timed) = (spot.entry.owned_bytes(), spot.entry.is_timed());
        Counting {
            spot,
            before,
            was_timed,
        }
    }
}

impl Drop for Counting<'_, '_> {
    fn drop(&mut self) {
        let entry = self.spot.entry;
        self.spot.dict.count_owned(entry.owned_bytes(), self.before);
        self.spot.dict.count_timed(entry.is_timed(), self.was_timed);
        // Only a hash and a set have elements that expire.
        match entry.kind() {
            Type::Hash => self.spot.flag(),
            Type::Set if entry.due_ms().is_some() => self.spot.flag(),
            _ => {}
        }
    }
}

/// The same of a collection whose type is known, so that nobody has to look what it is.
struct CountingOf<'s, 'a, C: Collection> {
    spot: &'s mut Spot<'a>,
    before: usize,
    was_timed: bool,
    of: PhantomData<fn() -> C>,
}

impl<'s, 'a, C: Collection> CountingOf<'s, 'a, C> {
    #[inline]
    fn new(spot: &'s mut Spot<'a>) -> CountingOf<'s, 'a, C> {
        let before = Self::bytes(spot.entry);
        let was_timed = Self::is_timed(spot.entry);
        CountingOf {
            spot,
            before,
            was_timed,
            of: PhantomData,
        }
    }

    /// Whether there are elements that expire, as only a hash and a set have.
    #[inline]
    fn is_timed(entry: EntryPtr) -> bool {
        matches!(C::KIND, Type::Hash | Type::Set) && entry.is_timed()
    }

    #[inline]
    fn bytes(entry: EntryPtr) -> usize {
        let own = entry.object_ref().and_then(C::of);
        own.map_or(0, |c| size_of::<Object>() + c.memory())
    }
}

impl<C: Collection> Drop for CountingOf<'_, '_, C> {
    #[inline]
    fn drop(&mut self) {
        let entry = self.spot.entry;
        self.spot.dict.count_owned(Self::bytes(entry), self.before);
        let is_timed = Self::is_timed(entry);
        self.spot.dict.count_timed(is_timed, self.was_timed);
        // Only a hash and a set have elements that expire.
        match C::KIND {
            Type::Hash => self.spot.flag(),
            Type::Set if entry.due_ms().is_some() => self.spot.flag(),
            _ => {}
        }
    }
}

thread_local! {
    /// Where packed collections are changed.
    static SCRATCH: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}
