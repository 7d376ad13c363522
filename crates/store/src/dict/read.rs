//! Looking at a key.

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
        let owned = super::owned_bytes(self.entry);
        crate::mem::slab::rounded(self.entry.size()) + 8 + owned
    }
}
