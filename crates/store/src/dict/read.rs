//! The first door: looking at a key.
//!
//! [`EntryRef`] shows a key with its value. [`Found`] is a key that has been looked up by somebody who may go on to change
//! it: it can be looked at, and [`Found::change`] opens the other door without another search.

use super::change::{EntryMut, Spot};
use super::entry::EntryPtr;
use super::value::{ObjectValue, Value};
use crate::types::kind::Type;
use crate::types::object::{Collection, Object};

/// A key with its value, to be looked at.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    entry: EntryPtr,
    dict: std::marker::PhantomData<&'a super::Dict>,
}

impl<'a> EntryRef<'a> {
    /// The caller bounds `'a` by a borrow of the dictionary that owns the entry.
    #[inline]
    pub(super) fn new(entry: EntryPtr) -> EntryRef<'a> {
        EntryRef {
            entry,
            dict: std::marker::PhantomData,
        }
    }

    #[inline]
    pub(super) fn entry(&self) -> EntryPtr {
        self.entry
    }

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

    /// Sets the access clock, touching memory only if it changes. Others may do so at the same time. This is not a change:
    /// no [`super::Observer`] is told.
    #[inline]
    pub fn touch(&self, clock: u32) {
        if self.entry.clock() != clock {
            self.entry.set_clock(clock);
        }
    }

    /// The 28-bit access clock.
    pub fn clock(&self) -> u32 {
        self.entry.clock()
    }

    /// Whether a short string is to be called raw: it was built by APPEND or SETRANGE.
    pub fn is_raw(&self) -> bool {
        self.entry.is_raw()
    }

    /// Whether the key is never to be evicted.
    pub fn is_kept(&self) -> bool {
        self.entry.is_kept()
    }

    /// Whether the value is a collection without elements, which is no value. A stream may be empty.
    pub fn is_empty_collection(&self) -> bool {
        use crate::types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet};
        let kind = self.kind();
        if kind == Type::String {
            return false;
        }
        match self.entry.object() {
            ObjectValue::Packed(b) => match kind {
                Type::List => List::view_packed(b).is_empty(),
                Type::Set => Set::view_packed(b).is_empty(),
                Type::SortedSet => SortedSet::view_packed(b).is_empty(),
                Type::Hash => Hash::view_packed(b).is_empty(),
                Type::Stream | Type::String => false,
            },
            ObjectValue::Object(Object::Stream(_)) => false,
            ObjectValue::Object(o) => o.is_empty(),
        }
    }

    /// Bytes of a string, elements of a collection (those that have expired but are still there included). A packed collection is walked
    /// through, which is short.
    pub fn length(&self) -> usize {
        use crate::types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet};
        let kind = self.kind();
        if kind == Type::String {
            return match self.entry.value() {
                Value::Int(n) => {
                    let digits = n.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                    digits + usize::from(n < 0)
                }
                Value::Inline(bytes) => bytes.len(),
                Value::Blob(bytes) => bytes.len(),
            };
        }
        match self.entry.object() {
            ObjectValue::Packed(b) => match kind {
                Type::List => List::view_packed(b).len(),
                Type::Set => Set::view_packed(b).len(),
                Type::SortedSet => SortedSet::view_packed(b).len(),
                Type::Hash => Hash::view_packed(b).len(),
                Type::Stream | Type::String => 0,
            },
            ObjectValue::Object(o) => o.len(),
        }
    }

    /// Bytes that the key takes: its slot, its share of the table, and what its value owns.
    pub fn memory(&self) -> usize {
        crate::mem::slab::rounded(self.entry.size()) + 8 + self.entry.owned_bytes()
    }
}

/// A key that has been looked up: to be looked at, or to be changed without another search.
pub struct Found<'a>(pub(super) Spot<'a>);

impl<'a> Found<'a> {
    /// A view of it.
    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef::new(self.0.entry)
    }

    /// A view that lives as long as the borrow of the dictionary.
    #[inline]
    pub fn into_ref(self) -> EntryRef<'a> {
        EntryRef::new(self.0.entry)
    }

    /// When it expires, in Unix milliseconds.
    #[inline]
    pub fn expiry_ms(&self) -> Option<u64> {
        self.0.entry.expiry_ms()
    }

    /// See [`EntryRef::touch`].
    #[inline]
    pub fn touch(&self, clock: u32) {
        self.get().touch(clock);
    }

    /// Opens the door to changing it. Nothing is changed yet, and nobody told.
    #[inline]
    pub fn change(self) -> EntryMut<'a> {
        EntryMut::new(self.0)
    }
}
