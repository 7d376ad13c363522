//! One key with its value: a single allocation.
//!
//! ```text
//! byte 0      representation (low nibble) and value type (high nibble)
//! byte 1      flags: HAS_EXPIRY, RAW, LONG_KEY, KEPT; above them the low 4 bits of the access clock
//! bytes 2-3   length of an inline value
//! byte 4      length of the key, unless LONG_KEY
//! bytes 5-7   access clock, but for its low 4 bits
//! [8 bytes]   expiry, Unix milliseconds, if HAS_EXPIRY
//! [4 bytes]   length of the key, if LONG_KEY
//! key
//! value       inline bytes (a short string or a packed collection), or 8 bytes of integer, or (at the next multiple
//!             of 8) a pointer to a shared blob or to an object
//! ```
//!
//! A 16-byte key with a 32-byte value takes 56 bytes this way, and so does its slab slot. There is no dictionary of
//! expiries, no header object, and no pointer to follow from the key to a small value.
//!
//! # Safety argument
//! An [`EntryPtr`] is made by [`EntryPtr::create`] and lives until [`EntryPtr::destroy`]; both are called by
//! [`crate::dict`] alone, which keeps exactly one pointer to each entry, in its table, and hands out views bound to a
//! borrow of itself. Entries are 8-aligned, so expiry, long length and blob pointer are aligned; integers are read
//! unaligned. Lengths in the header are only written together with an allocation that holds them.

use super::value::{MAX_INLINE, NewValue, ObjectValue, Value, ValueMut};
use crate::mem::prefetch;
use crate::mem::slab::{Arena, MAX_SLOT, rounded};
use crate::mem::words::LINE;
use crate::types::kind::{Blob, Type};
use crate::types::object::{Freed, MAX_INLINE_PACKED, Object};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

const HAS_EXPIRY: u8 = 1;
const RAW: u8 = 2;
const LONG_KEY: u8 = 4;
/// Never to be evicted: of the key, whatever its value.
const KEPT: u8 = 8;

const REPR_INT: u8 = 0;
const REPR_INLINE: u8 = 1;
const REPR_BLOB: u8 = 2;
const REPR_OBJECT: u8 = 3;

/// Longest key, in bytes: its length is written with 32 bits.
pub const MAX_KEY: usize = u32::MAX as usize;

impl NewValue<'_> {
    /// Where an entry ends whose key ends at `at` and that holds this value.
    fn end(&self, at: usize) -> usize {
        match self {
            NewValue::Int(_) => at + 8,
            NewValue::Inline(b) => at + b.len(),
            NewValue::Packed(_, b) => at + b.len(),
            NewValue::Blob(_) | NewValue::Object(_) => pointer_offset(at) + 8,
        }
    }
}

/// Where the pointer to a blob or an object stands when the key ends at `at`: aligned, so that it can be borrowed.
const fn pointer_offset(at: usize) -> usize {
    (at + 7) & !7
}

/// The one pointer to an entry. See the module's page for who may hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntryPtr(NonNull<u8>);

impl EntryPtr {
    #[inline]
    pub(crate) fn addr(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// # Safety
    /// `addr` is that of a live entry.
    #[inline]
    pub(crate) unsafe fn from_addr(addr: usize) -> EntryPtr {
        // SAFETY: entries are never at address zero.
        EntryPtr(unsafe { NonNull::new_unchecked(addr as *mut u8) })
    }

    /// Allocates and fills an entry. `raw` marks a string that OBJECT ENCODING calls raw whatever its length.
    #[inline]
    pub(crate) fn create(
        arena: &mut Arena,
        key: &[u8],
        value: NewValue<'_>,
        expiry_ms: Option<u64>,
        raw: bool,
        clock: u32,
    ) -> EntryPtr {
        let long = key.len() >= 255;
        assert!(!long || key.len() <= MAX_KEY, "a key of 4 GiB or more");
        let prefix = 8 + if expiry_ms.is_some() { 8 } else { 0 } + if long { 4 } else { 0 };
        let p = arena.alloc(value.end(prefix + key.len()));
        let e = EntryPtr(p);
        let mut flags = if expiry_ms.is_some() { HAS_EXPIRY } else { 0 };
        if raw {
            flags |= RAW;
        }
        if long {
            flags |= LONG_KEY;
        }
        // SAFETY: enough was allocated for everything below, which is written in the module's layout.
        unsafe {
            let b = p.as_ptr();
            b.add(1).write(flags | (clock as u8 & 15) << 4);
            let tail = clock >> 4 << 8 | if long { 255 } else { key.len() as u32 };
            b.add(4).cast::<u32>().write(tail.to_le());
            let mut at = 8;
            if let Some(ms) = expiry_ms {
                b.add(at).cast::<u64>().write(ms);
                at += 8;
            }
            if long {
                b.add(at).cast::<u32>().write(key.len() as u32);
                at += 4;
            }
            b.add(at).copy_from_nonoverlapping(key.as_ptr(), key.len());
            e.write_value(at + key.len(), value);
        }
        e
    }

    /// # Safety
    /// The entry is live and has room for the value behind its key, which ends at `at`; an old value has been taken.
    #[inline]
    unsafe fn write_value(self, at: usize, value: NewValue<'_>) {
        let b = self.0.as_ptr();
        // SAFETY: as the caller promises; inline lengths fit 16 bits because of MAX_INLINE.
        unsafe {
            let (kind, repr, len) = match value {
                NewValue::Int(i) => {
                    b.add(at).cast::<i64>().write_unaligned(i);
                    (Type::String, REPR_INT, 0)
                }
                NewValue::Inline(v) => {
                    assert!(v.len() <= MAX_INLINE);
                    b.add(at).copy_from_nonoverlapping(v.as_ptr(), v.len());
                    (Type::String, REPR_INLINE, v.len() as u16)
                }
                NewValue::Packed(kind, v) => {
                    assert!(v.len() <= MAX_INLINE_PACKED);
                    b.add(at).copy_from_nonoverlapping(v.as_ptr(), v.len());
                    (kind, REPR_INLINE, v.len() as u16)
                }
                NewValue::Blob(v) => {
                    b.add(pointer_offset(at)).cast::<Blob>().write(v);
                    (Type::String, REPR_BLOB, 0)
                }
                NewValue::Object(v) => {
                    let kind = v.kind();
                    b.add(pointer_offset(at)).cast::<Box<Object>>().write(v);
                    (kind, REPR_OBJECT, 0)
                }
            };
            b.write((kind as u8) << 4 | repr);
            b.add(2).cast::<u16>().write(len);
        }
    }

    #[inline]
    fn byte(self, i: usize) -> u8 {
        // SAFETY: the header of a live entry.
        unsafe { *self.0.as_ptr().add(i) }
    }

    /// The flags, and above them the low bits of the access clock.
    #[inline]
    fn flags(self) -> u8 {
        self.flags_byte().load(Relaxed)
    }

    #[inline]
    fn flags_byte<'a>(self) -> &'a AtomicU8 {
        // SAFETY: the header of a live entry. As with [`EntryPtr::tail_word`], this byte is only accessed through this, but for
        // writing it before anybody else knows the entry.
        unsafe { AtomicU8::from_ptr(self.0.as_ptr().add(1)) }
    }

    #[inline]
    fn repr(self) -> u8 {
        self.byte(0) & 15
    }

    /// What to do about a first byte that says nothing of its entry.
    #[cold]
    fn damaged(self) -> ! {
        panic!(
            "an entry is damaged: its first byte is {:#04x}",
            self.byte(0)
        );
    }

    #[inline]
    fn inline_len(self) -> usize {
        // SAFETY: the header of a live entry.
        (unsafe { self.0.as_ptr().add(2).cast::<u16>().read() }) as usize
    }

    /// (offset, length) of the key.
    #[inline]
    fn key_span(self) -> (usize, usize) {
        let flags = self.flags();
        let at = 8 + if flags & HAS_EXPIRY != 0 { 8 } else { 0 };
        if flags & LONG_KEY == 0 {
            (at, (self.tail() & 0xff) as usize)
        } else {
            // SAFETY: LONG_KEY says that the length is here.
            let len = unsafe { self.0.as_ptr().add(at).cast::<u32>().read() };
            (at + 4, len as usize)
        }
    }

    #[inline]
    fn key_end(self) -> usize {
        let (at, len) = self.key_span();
        at + len
    }

    /// Bytes of the allocation, before rounding.
    pub(crate) fn size(self) -> usize {
        let at = self.key_end();
        match self.repr() {
            REPR_INT => at + 8,
            REPR_INLINE => at + self.inline_len(),
            REPR_BLOB | REPR_OBJECT => pointer_offset(at) + 8,
            _ => self.damaged(),
        }
    }

    /// Fetches what is not in the first cache line; of a long one, only its beginning, as the processor sees by itself then how it goes
    /// on.
    #[inline]
    pub(crate) fn prefetch_rest(self) {
        let end = self.size().min(8 * LINE);
        for at in (LINE..end).step_by(LINE) {
            prefetch(self.addr() + at);
        }
        prefetch(self.addr() + end - 1);
    }

    /// The key. The caller bounds `'a` by a borrow of the dictionary that owns the entry.
    #[inline]
    pub(crate) fn key<'a>(self) -> &'a [u8] {
        let (at, len) = self.key_span();
        // SAFETY: the key is there.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    /// The value. The caller bounds `'a` as for [`EntryPtr::key`].
    ///
    /// # Panics
    /// If it is a collection.
    #[inline]
    pub(crate) fn value<'a>(self) -> Value<'a> {
        let at = self.key_end();
        // SAFETY: the representation says what is there.
        unsafe {
            let b = self.0.as_ptr();
            // A string's type is 0, so its first byte is its representation.
            match self.byte(0) {
                REPR_INT => Value::Int(b.add(at).cast::<i64>().read_unaligned()),
                REPR_INLINE => {
                    Value::Inline(std::slice::from_raw_parts(b.add(at), self.inline_len()))
                }
                REPR_BLOB => Value::Blob(&*b.add(pointer_offset(at)).cast::<Blob>()),
                _ => self.not_a_string(),
            }
        }
    }

    #[cold]
    fn not_a_string(self) -> ! {
        panic!("a {:?} was taken for a string", self.kind());
    }

    /// The collection. The caller bounds `'a` as for [`EntryPtr::key`].
    ///
    /// # Panics
    /// If it is a string.
    #[inline]
    pub(crate) fn object<'a>(self) -> ObjectValue<'a> {
        assert!(
            self.kind() != Type::String,
            "a string was taken for a collection"
        );
        let at = self.key_end();
        // SAFETY: the representation says what is there.
        unsafe {
            let b = self.0.as_ptr();
            match self.repr() {
                REPR_INLINE => {
                    ObjectValue::Packed(std::slice::from_raw_parts(b.add(at), self.inline_len()))
                }
                REPR_OBJECT => {
                    ObjectValue::Object(&*b.add(pointer_offset(at)).cast::<Box<Object>>())
                }
                _ => self.damaged(),
            }
        }
    }

    /// The collection of its own, to be changed. The caller bounds `'a` by an exclusive borrow.
    pub(crate) fn object_mut<'a>(self) -> Option<&'a mut Object> {
        if self.repr() != REPR_OBJECT {
            return None;
        }
        // SAFETY: the representation says what is there.
        unsafe {
            let p = self.0.as_ptr().add(pointer_offset(self.key_end()));
            Some(&mut **p.cast::<Box<Object>>())
        }
    }

    /// The collection of its own, to be looked at. The caller bounds `'a` as for [`EntryPtr::key`].
    #[inline]
    pub(crate) fn object_ref<'a>(self) -> Option<&'a Object> {
        if self.repr() != REPR_OBJECT {
            return None;
        }
        // SAFETY: the representation says what is there; shared, as others may be looking too.
        unsafe {
            let p = self.0.as_ptr().add(pointer_offset(self.key_end()));
            Some(&**p.cast::<Box<Object>>())
        }
    }

    #[inline]
    pub(crate) fn kind(self) -> Type {
        match self.byte(0) >> 4 {
            0 => Type::String,
            1 => Type::List,
            2 => Type::Set,
            3 => Type::SortedSet,
            4 => Type::Hash,
            6 => Type::Stream,
            _ => self.damaged(),
        }
    }

    /// The inline bytes or the blob, to be changed in place. The caller bounds `'a` by an exclusive borrow.
    ///
    /// # Panics
    /// If it is a collection.
    pub(crate) fn value_mut<'a>(self) -> ValueMut<'a> {
        let at = self.key_end();
        // SAFETY: the representation says what is there.
        unsafe {
            let b = self.0.as_ptr();
            match self.byte(0) {
                REPR_INT => ValueMut::Int,
                REPR_INLINE => {
                    ValueMut::Inline(std::slice::from_raw_parts_mut(b.add(at), self.inline_len()))
                }
                REPR_BLOB => ValueMut::Blob(&mut *b.add(pointer_offset(at)).cast::<Blob>()),
                _ => self.not_a_string(),
            }
        }
    }

    /// When something about the entry becomes due: it, or one of its elements.
    pub(crate) fn due_ms(self) -> Option<u64> {
        let element = match self.object_ref() {
            Some(o) => o.next_due_ms(),
            None => None,
        };
        match (self.expiry_ms(), element) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether there are elements that expire.
    #[inline]
    pub(crate) fn is_timed(self) -> bool {
        self.object_ref().is_some_and(|o| o.next_due_ms().is_some())
    }

    /// Bytes that the value owns outside of the entry.
    pub(crate) fn owned_bytes(self) -> usize {
        match self.repr() {
            REPR_OBJECT => self.object_ref().map_or(0, Object::memory),
            REPR_BLOB => match self.value() {
                Value::Blob(b) => blob_bytes(b),
                _ => 0,
            },
            _ => 0,
        }
    }

    /// Whether the slot is too large for a page.
    #[inline]
    pub(crate) fn is_large(self) -> bool {
        self.size() > MAX_SLOT
    }

    /// Whether the entry owns memory outside of slab pages.
    #[inline]
    pub(crate) fn is_heavy(self) -> bool {
        self.owns() || self.is_large()
    }

    /// Whether the value owns memory outside of the entry.
    #[inline]
    pub(crate) fn owns(self) -> bool {
        self.repr() >= REPR_BLOB
    }

    /// Replaces the value if the new one fits the slot that the entry has; gives it back if not.
    #[inline]
    pub(crate) fn try_replace<'v>(
        self,
        value: NewValue<'v>,
        raw: bool,
    ) -> Result<Option<Freed>, NewValue<'v>> {
        let at = self.key_end();
        if rounded(value.end(at)) != rounded(self.size()) {
            return Err(value);
        }
        let old = self.take_owned();
        // SAFETY: a slot of the same rounded size has room; an old owned value has been taken.
        unsafe { self.write_value(at, value) };
        self.set_flag(RAW, raw);
        Ok(old)
    }

    /// Moves an owned value out. The entry must then be given another value or be freed.
    fn take_owned(self) -> Option<Freed> {
        if !self.owns() {
            return None;
        }
        // SAFETY: the representation says what is there, and the caller forgets it.
        unsafe {
            let p = self.0.as_ptr().add(pointer_offset(self.key_end()));
            Some(match self.repr() {
                REPR_BLOB => Freed::Blob(p.cast::<Blob>().read()),
                REPR_OBJECT => Freed::Object(p.cast::<Box<Object>>().read()),
                _ => self.damaged(),
            })
        }
    }

    /// Frees the entry and gives back what it owned.
    ///
    /// # Safety
    /// The entry was created in this arena, and no pointer or view of it is used afterwards.
    pub(crate) unsafe fn destroy(self, arena: &mut Arena) -> Option<Freed> {
        let size = self.size();
        let owned = self.take_owned();
        // SAFETY: allocated with this size by `create`, or given a value since that rounds to the same.
        unsafe { arena.free(self.0, size) };
        owned
    }

    /// Moves the entry to another slot if its own is in a page that is to be emptied.
    ///
    /// # Safety
    /// The entry was created in this arena, and if another is returned, no pointer or view of the old one is used afterwards.
    pub(crate) unsafe fn move_out(self, arena: &mut Arena) -> Option<EntryPtr> {
        let size = self.size();
        // SAFETY: allocated there with this size, or with one that rounds to the same.
        if !unsafe { arena.is_leaving(self.0, size) } {
            return None;
        }
        let to = arena.alloc(size);
        // SAFETY: both slots have this size, and are not the same. What the entry owns is owned by the copy from here on.
        unsafe {
            to.as_ptr().copy_from_nonoverlapping(self.0.as_ptr(), size);
            arena.free(self.0, size);
        }
        Some(EntryPtr(to))
    }

    /// Frees the entry and leaves what it owned to whoever has taken it over.
    ///
    /// # Safety
    /// As for [`EntryPtr::destroy`]; and the owned value has been read out with [`EntryPtr::move_owned`].
    pub(crate) unsafe fn free_shell(self, arena: &mut Arena) {
        // SAFETY: as the caller promises.
        unsafe { arena.free(self.0, self.size()) };
    }

    /// Reads an owned value out, as a new value for an entry that replaces this one.
    ///
    /// # Safety
    /// This entry is then only freed, by [`EntryPtr::free_shell`].
    pub(crate) unsafe fn move_owned<'v>(self) -> Option<NewValue<'v>> {
        self.take_owned().map(|f| match f {
            Freed::Blob(b) => NewValue::Blob(b),
            Freed::Object(o) => NewValue::Object(o),
        })
    }

    #[inline]
    pub(crate) fn expiry_ms(self) -> Option<u64> {
        if self.flags() & HAS_EXPIRY == 0 {
            return None;
        }
        // SAFETY: HAS_EXPIRY says that it is here.
        Some(unsafe { self.0.as_ptr().add(8).cast::<u64>().read() })
    }

    /// Overwrites the expiry of an entry that has one.
    pub(crate) fn set_expiry_ms(self, ms: u64) {
        assert!(self.flags() & HAS_EXPIRY != 0, "no room for an expiry");
        // SAFETY: HAS_EXPIRY says that there is room.
        unsafe { self.0.as_ptr().add(8).cast::<u64>().write(ms) };
    }

    fn set_flag(self, flag: u8, on: bool) {
        let f = self.flags();
        self.flags_byte()
            .store(if on { f | flag } else { f & !flag }, Relaxed);
    }

    pub(crate) fn set_raw(self) {
        self.set_flag(RAW, true);
    }

    pub(crate) fn set_kept(self, on: bool) {
        self.set_flag(KEPT, on);
    }

    #[inline]
    pub(crate) fn is_kept(self) -> bool {
        self.flags() & KEPT != 0
    }

    #[inline]
    pub(crate) fn is_raw(self) -> bool {
        self.flags() & RAW != 0
    }

    #[inline]
    pub(crate) fn clock(self) -> u32 {
        self.tail() >> 8 << 4 | u32::from(self.flags() >> 4)
    }

    /// Bytes 4 to 7 as one number: the length of the key and, above it, most of the access clock.
    #[inline]
    fn tail(self) -> u32 {
        u32::from_le(self.tail_word().load(Relaxed))
    }

    #[inline]
    fn tail_word<'a>(self) -> &'a AtomicU32 {
        // SAFETY: the header of a live entry, aligned to 8. Several threads may look at it and set the clock at a time, so
        // these four bytes are only accessed through this, but for writing them before anybody else knows the entry.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().add(4).cast()) }
    }

    /// Sets the 28-bit access clock. Others may be looking at the entry, and setting it: of two at a time either may win, and
    /// for its low bits another than for the others. Nobody changes flags meanwhile.
    #[inline]
    pub(crate) fn set_clock(self, clock: u32) {
        let flags = self.flags() & 15 | (clock as u8 & 15) << 4;
        self.flags_byte().store(flags, Relaxed);
        let tail = clock >> 4 << 8 | (self.tail() & 0xff);
        self.tail_word().store(tail.to_le(), Relaxed);
    }
}

/// Bytes of a blob with its counts and its vector.
fn blob_bytes(blob: &Blob) -> usize {
    blob.capacity() + size_of::<Vec<u8>>() + 16
}

/// Bytes that [`EntryPtr::owned_bytes`] counted of what is free now.
pub(crate) fn freed_bytes(freed: &Freed) -> usize {
    match freed {
        Freed::Blob(b) => blob_bytes(b),
        Freed::Object(o) => o.memory(),
    }
}
