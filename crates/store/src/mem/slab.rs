//! Slab pages: where entries live.
//!
//! Each dictionary (a shard's part of a database) owns an [`Arena`]: 4 KB pages, each cut into slots of one size.
//! The general allocator would round the commonest entries up by 8 to 14 %, would need atomic operations when one
//! worker frees what another allocated, and could not drop a million entries at once. An arena is only ever used
//! under its shard's lock, so a slot is taken or returned by a few plain instructions, sizes go in steps of 8
//! bytes, and dropping a database gives back whole pages.
//!
//! Slots larger than [`MAX_SLOT`] come from the global allocator.
//!
//! # Layout
//! A page is [`PAGE`]-aligned, so a slot's page is found by masking its address. The page starts with a header:
//! its size class, how many slots are in use, the list of returned slots, how far the never-used part begins, and
//! links in the arena's list of pages with room. A returned slot holds the offset of the next returned one.
//!
//! # Safety argument
//! A page belongs to one arena from `Pages::take` to `Pages::give`; the arena is `!Sync` by `&mut self` and moves
//! between threads only with its shard. A slot is handed out either from the returned list (where it was put by
//! `free`, whose caller promises it is unused) or from the never-used part, never both, as the part only shrinks.

use crate::mem::words::{PAGE, discard, map_aligned};
use parking_lot::Mutex;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Largest slot, in bytes: a quarter of a page's room.
pub const MAX_SLOT: usize = (PAGE - HEADER) / 4;

const HEADER: usize = 64;
const CHUNK: usize = 2 << 20;
const PAGES_PER_CHUNK: usize = CHUNK / PAGE;

/// Steps of 8 to 256, then the sizes that cut a page into 15, 14, 13 ... 4 slots: any other size would waste what is left
/// of the page.
const CLASSES: usize = 32 + 12;
const NONE: u16 = 0;

/// The classes of sizes above 256, by size in steps of 8.
const ABOVE_256: [u8; MAX_SLOT / 8 + 1] = {
    let mut classes = [0; MAX_SLOT / 8 + 1];
    let mut i = 0;
    while i < classes.len() {
        let slots = if i > 32 {
            (PAGE - HEADER) / (i * 8)
        } else {
            15
        };
        classes[i] = 32 + (15 - slots) as u8;
        i += 1;
    }
    classes
};

const fn class_of(size: usize) -> usize {
    let eights = size.div_ceil(8);
    if size <= 256 {
        eights - 1
    } else {
        ABOVE_256[eights] as usize
    }
}

const fn size_of_class(class: usize) -> usize {
    match class {
        0..32 => (class + 1) * 8,
        _ => ((PAGE - HEADER) / (47 - class)) & !7,
    }
}

/// The bytes an allocation of `size` really takes.
pub const fn rounded(size: usize) -> usize {
    if size > MAX_SLOT {
        (size + 7) & !7
    } else {
        size_of_class(class_of(size))
    }
}

#[repr(C)]
struct Page {
    class: u16,
    used: u16,
    /// Offset of the first returned slot, or `NONE`.
    free: u16,
    /// Offset of the never-used part.
    fresh: u16,
    prev: *mut Page,
    next: *mut Page,
    /// Whether the page is in its class's list of pages with room, or in the list of full ones.
    has_room: bool,
}

const _: () = assert!(size_of::<Page>() <= HEADER);

/// The process-wide pool of pages, in chunks of 2 MB that the kernel may back by huge pages: random access to
/// entries is the cost of a large data set, and half of that is address translation. (Servers that fork must avoid
/// huge pages; this one never forks.)
struct Pages {
    /// Chunks with free pages.
    partial: Vec<usize>,
    /// Free whole chunks, not resident.
    empty: Vec<usize>,
}

/// The first page of each chunk.
struct Chunk {
    /// Position in `Pages::partial`, if there.
    at: usize,
    listed: bool,
    /// Page numbers that are free.
    free_len: usize,
    free: [u16; PAGES_PER_CHUNK],
}

const _: () = assert!(size_of::<Chunk>() <= PAGE);

static PAGES: Mutex<Pages> = Mutex::new(Pages {
    partial: Vec::new(),
    empty: Vec::new(),
});

impl Pages {
    fn take(&mut self) -> usize {
        let chunk = match self.partial.last() {
            Some(&c) => c,
            None => self.add_chunk(),
        };
        // SAFETY: chunks in the list are mapped and have a header; the pool's lock makes access exclusive.
        let c = unsafe { &mut *(chunk as *mut Chunk) };
        c.free_len -= 1;
        let page = c.free[c.free_len] as usize;
        if c.free_len == 0 {
            c.listed = false;
            self.partial.pop();
        }
        chunk + page * PAGE
    }

    fn add_chunk(&mut self) -> usize {
        let chunk = self.empty.pop().unwrap_or_else(|| {
            let chunk = map_aligned(CHUNK, CHUNK);
            // SAFETY: advice on a mapping just made.
            unsafe { libc::madvise(chunk as *mut _, CHUNK, libc::MADV_HUGEPAGE) };
            chunk
        });
        // SAFETY: the chunk is mapped, reads as zeros, and is the pool's alone; zeros are a valid `Chunk`.
        let c = unsafe { &mut *(chunk as *mut Chunk) };
        // Handed out from the low end, so that a chunk fills in address order.
        for (i, page) in (1..PAGES_PER_CHUNK).rev().enumerate() {
            c.free[i] = page as u16;
        }
        c.free_len = PAGES_PER_CHUNK - 1;
        c.listed = true;
        c.at = self.partial.len();
        self.partial.push(chunk);
        chunk
    }

    fn give(&mut self, page: usize) {
        let chunk = page & !(CHUNK - 1);
        // SAFETY: every page handed out lies in a chunk with a header; the pool's lock makes access exclusive.
        let c = unsafe { &mut *(chunk as *mut Chunk) };
        c.free[c.free_len] = ((page - chunk) / PAGE) as u16;
        c.free_len += 1;
        if !c.listed {
            c.listed = true;
            c.at = self.partial.len();
            self.partial.push(chunk);
        }
        if c.free_len == PAGES_PER_CHUNK - 1 && self.partial.len() > 1 {
            let at = c.at;
            self.partial.swap_remove(at);
            if let Some(&moved) = self.partial.get(at) {
                // SAFETY: as above, another listed chunk.
                unsafe { (*(moved as *mut Chunk)).at = at };
            }
            // SAFETY: no page of the chunk is in use, and its header is made anew when it is taken again.
            unsafe { discard(chunk, CHUNK) };
            self.empty.push(chunk);
        }
    }
}

/// An owner's slots of all sizes. See the module's page.
pub struct Arena {
    /// Pages with room, by class, and then the full ones of all classes.
    lists: [*mut Page; CLASSES + 1],
    pages: usize,
    large_bytes: usize,
}

// SAFETY: an arena's pages are reachable only through it, so moving it to another thread moves them along.
unsafe impl Send for Arena {}
// SAFETY: a shared arena can only be asked about sizes, which changes nothing.
unsafe impl Sync for Arena {}

impl Default for Arena {
    fn default() -> Self {
        Arena::new()
    }
}

impl Arena {
    /// An arena without pages.
    pub const fn new() -> Arena {
        Arena {
            lists: [std::ptr::null_mut(); CLASSES + 1],
            pages: 0,
            large_bytes: 0,
        }
    }

    /// Resident bytes: whole pages, and large slots.
    pub fn bytes(&self) -> usize {
        self.pages * PAGE + self.large_bytes
    }

    /// `size` bytes (not zero), 8-byte aligned, uninitialised.
    #[inline]
    pub fn alloc(&mut self, size: usize) -> NonNull<u8> {
        debug_assert!(size > 0);
        if size > MAX_SLOT || cfg!(feature = "memcheck") {
            return self.alloc_large(size);
        }
        let class = class_of(size);
        let mut page = self.lists[class];
        if page.is_null() {
            page = self.add_page(class);
        }
        // SAFETY: listed pages are this arena's, with a valid header; those in a class's list have a returned or a
        // fresh slot. Offsets stay inside the page.
        unsafe {
            let slot_size = size_of_class(class);
            let p = &mut *page;
            let offset = if p.free != NONE {
                let offset = p.free;
                p.free = *page.cast::<u8>().add(offset as usize).cast::<u16>();
                offset
            } else {
                let offset = p.fresh;
                p.fresh += slot_size as u16;
                offset
            };
            p.used += 1;
            if p.free == NONE && p.fresh as usize + slot_size > PAGE {
                self.unlist(page);
                self.list(page, false);
            }
            NonNull::new_unchecked(page.cast::<u8>().add(offset as usize))
        }
    }

    /// Takes a slot back.
    ///
    /// # Safety
    /// `p` came from `alloc(size)` of this arena with the same [`rounded`] size, and is no longer used.
    #[inline]
    pub unsafe fn free(&mut self, p: NonNull<u8>, size: usize) {
        if size > MAX_SLOT || cfg!(feature = "memcheck") {
            let layout = Layout::from_size_align(rounded(size), 8).expect("was allocated");
            self.large_bytes -= layout.size();
            // SAFETY: the caller's promise; `alloc_large` used the same layout.
            unsafe { std::alloc::dealloc(p.as_ptr(), layout) };
            return;
        }
        let page = (p.as_ptr() as usize & !(PAGE - 1)) as *mut Page;
        // SAFETY: a slot's page starts with its header, and belongs to this arena.
        unsafe {
            let h = &mut *page;
            debug_assert_eq!(h.class as usize, class_of(size));
            *p.as_ptr().cast::<u16>() = h.free;
            h.free = (p.as_ptr() as usize - page as usize) as u16;
            h.used -= 1;
            if !h.has_room {
                self.unlist(page);
                self.list(page, true);
            }
            // One page is kept, so that a lone slot taken and returned in turn does not move pages each time.
            if h.used == 0 && !(h.prev.is_null() && h.next.is_null()) {
                self.unlist(page);
                self.pages -= 1;
                PAGES.lock().give(page as usize);
            }
        }
    }

    fn alloc_large(&mut self, size: usize) -> NonNull<u8> {
        let layout = Layout::from_size_align(rounded(size), 8).expect("an entry's size fits");
        self.large_bytes += layout.size();
        // SAFETY: the size is not zero.
        let p = unsafe { std::alloc::alloc(layout) };
        NonNull::new(p).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
    }

    #[cold]
    fn add_page(&mut self, class: usize) -> *mut Page {
        let page = PAGES.lock().take() as *mut Page;
        self.pages += 1;
        // SAFETY: the page is mapped and ours alone from now on.
        unsafe {
            page.write(Page {
                class: class as u16,
                used: 0,
                free: NONE,
                fresh: HEADER as u16,
                prev: std::ptr::null_mut(),
                next: std::ptr::null_mut(),
                has_room: true,
            });
            self.list(page, true);
        }
        page
    }

    /// # Safety
    /// `page` is this arena's and in no list.
    unsafe fn list(&mut self, page: *mut Page, has_room: bool) {
        // SAFETY: listed pages of this arena have valid headers, and no reference to one is alive here.
        unsafe {
            let list = if has_room {
                (*page).class as usize
            } else {
                CLASSES
            };
            let first = self.lists[list];
            (*page).prev = std::ptr::null_mut();
            (*page).next = first;
            (*page).has_room = has_room;
            if !first.is_null() {
                (*first).prev = page;
            }
            self.lists[list] = page;
        }
    }

    /// # Safety
    /// `page` is this arena's and in a list.
    unsafe fn unlist(&mut self, page: *mut Page) {
        // SAFETY: as above.
        unsafe {
            let (prev, next) = ((*page).prev, (*page).next);
            if prev.is_null() {
                let list = if (*page).has_room {
                    (*page).class as usize
                } else {
                    CLASSES
                };
                self.lists[list] = next;
            } else {
                (*prev).next = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
            (*page).prev = std::ptr::null_mut();
            (*page).next = std::ptr::null_mut();
        }
    }

    /// Whether every slot has been returned, but for pages kept at hand. For tests and assertions.
    pub fn is_idle(&self) -> bool {
        let mut kept = 0;
        for &page in &self.lists {
            let mut p = page;
            while !p.is_null() {
                // SAFETY: listed pages are this arena's.
                let h = unsafe { &*p };
                if h.used != 0 {
                    return false;
                }
                kept += 1;
                p = h.next;
            }
        }
        kept == self.pages && self.large_bytes == 0
    }
}

impl Drop for Arena {
    /// Gives all pages back, whatever is still in them. Large slots must have been freed before.
    fn drop(&mut self) {
        let mut pages = PAGES.lock();
        for &first in &self.lists {
            let mut p = first;
            while !p.is_null() {
                // SAFETY: listed pages are this arena's; the next one is read before the page is given away.
                let next = unsafe { (*p).next };
                pages.give(p as usize);
                p = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_cover_their_sizes() {
        for size in 1..=MAX_SLOT {
            let c = class_of(size);
            assert!(size_of_class(c) >= size, "{size}");
            assert!(c == 0 || size_of_class(c - 1) < size, "{size}");
            assert_eq!(size_of_class(c) % 8, 0);
        }
        assert_eq!(rounded(56), 56);
        assert_eq!(class_of(MAX_SLOT), CLASSES - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(64), ..ProptestConfig::default() })]
        #[test]
        fn slots_never_overlap(ops in prop::collection::vec((1usize..1400, any::<bool>(), any::<u16>()), 1..600)) {
            let mut arena = Arena::new();
            let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
            for (i, (size, alloc, pick)) in ops.into_iter().enumerate() {
                if alloc || live.is_empty() {
                    let p = arena.alloc(size);
                    prop_assert_eq!(p.as_ptr() as usize % 8, 0);
                    // SAFETY: `size` bytes were allocated.
                    unsafe { p.as_ptr().write_bytes(i as u8, size) };
                    live.push((p, size, i as u8));
                } else {
                    let (p, size, mark) = live.swap_remove(pick as usize % live.len());
                    for b in 0..size {
                        // SAFETY: still allocated.
                        prop_assert_eq!(unsafe { *p.as_ptr().add(b) }, mark);
                    }
                    // SAFETY: allocated above with this size.
                    unsafe { arena.free(p, size) };
                }
            }
            for (p, size, mark) in live.drain(..) {
                for b in 0..size {
                    // SAFETY: still allocated.
                    prop_assert_eq!(unsafe { *p.as_ptr().add(b) }, mark);
                }
                // SAFETY: allocated above with this size.
                unsafe { arena.free(p, size) };
            }
            prop_assert!(arena.is_idle());
        }
    }
}
