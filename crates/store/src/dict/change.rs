//! Changing a key.

use super::entry::EntryPtr;
use super::read::EntryRef;
use super::value::{NewValue, ObjectValue, Value, ValueMut};
use super::{Dict, due_ms, is_heavy, owned_bytes};
use crate::table::Pos;
use crate::types::kind::Type;
use crate::types::object::{Collection, Freed, MAX_INLINE_PACKED, Object};
use std::sync::Arc;

/// What was removed: lets the caller drop big values after the lock.
#[derive(Debug, Default)]
pub struct Removed {
    /// The value, if it was a blob or an object.
    pub freed: Option<Freed>,
}

/// A found entry, to be read, changed or removed without another search.
pub struct Found<'a> {
    pub(super) dict: &'a mut Dict,
    pub(super) pos: Pos,
    pub(super) h: u64,
    pub(super) entry: EntryPtr,
}

impl<'a> Found<'a> {
    /// A view of it.
    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef::new(self.entry)
    }

    /// A view that lives as long as the borrow of the dictionary.
    #[inline]
    pub fn into_ref(self) -> EntryRef<'a> {
        EntryRef::new(self.entry)
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
    pub(super) fn rebuild(
        &mut self,
        value: NewValue<'_>,
        expiry: Option<u64>,
        raw: bool,
    ) -> Option<Freed> {
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
