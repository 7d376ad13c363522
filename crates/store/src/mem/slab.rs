//! Slab pages: where entries live.
//!
//! Each dictionary (a shard's part of a database) owns an [`Arena`]: spans of pages, each cut into slots of one size.
//! The general allocator would round the commonest entries up by 8 to 14 %, would need atomic operations when one
//! worker frees what another allocated, and could not drop a million entries at once. An arena is only ever used
//! under its shard's lock, so a slot is taken or returned by a few plain instructions, sizes go in steps of 8
//! bytes, and dropping a database gives back whole pages.
//!
//! Slots larger than [`MAX_SLOT`] come from the global allocator.
//!
//! # Layout
//! Slots of up to [`MAX_SMALL`] bytes are cut from single pages. Larger ones would waste up to a quarter of a page; theirs are
//! cut from spans of 16 pages, of which only those take memory that have been used (see [`super::pages`]). Both are aligned to
//! their size, so where a slot's page or span begins is found by masking its address.
//!
//! A page or span starts with a header: its size class, how many slots are in use, the list of returned slots, how far the
//! never-used part begins, and links in the arena's list of those with room. A returned slot holds the offset of the next
//! returned one.
//!
//! # Safety argument
//! A page or span belongs to one arena from `Pool::take` to `Pool::give`; the arena is `!Sync` by `&mut self` and moves
//! between threads only with its shard. A slot is handed out either from the returned list (where it was put by
//! `free`, whose caller promises it is unused) or from the never-used part, never both, as the part only shrinks. Headers are
//! only accessed through raw pointers, field by field: no reference to one ever exists, so none can be invalidated by writing
//! through another pointer.

use super::pages::{self, SPAN, Unit};
use super::words::PAGE;
use std::alloc::Layout;
use std::ptr::{NonNull, null_mut};

/// Largest slot that is cut from a single page: an eighth of its room.
pub const MAX_SMALL: usize = (PAGE - HEADER) / 8;
/// Largest slot: a fourteenth of a span's room.
pub const MAX_SLOT: usize = ((SPAN - HEADER) / 14) & !7;

const HEADER: usize = 64;

/// Steps of 8 to 256, then the sizes that cut a page into 15, 14, 13 ... 8 slots: any other size would waste what is left
/// of the page.
const SMALL: usize = 32 + 8;
/// Steps of 32 to 2048.
const MIDDLE: usize = (2048 - 512) / 32 + 1;
/// The sizes that cut a span into 31, 30 ... 14 slots.
const LARGE: usize = MIDDLE + 18;
const NONE: u16 = 0;

/// An owner with fewer bytes than this takes slots that are somewhat larger before it takes another page.
const LITTLE: usize = 512 << 10;

const fn size_of_class(class: usize) -> usize {
    const SIZES: [u16; SMALL + LARGE] = {
        let mut sizes = [0; SMALL + LARGE];
        let mut class = 0;
        while class < sizes.len() {
            let size = if class < 32 {
                (class + 1) * 8
            } else if class < SMALL {
                (PAGE - HEADER) / (47 - class)
            } else if class < SMALL + MIDDLE {
                512 + (class - SMALL) * 32
            } else {
                (SPAN - HEADER) / (31 - (class - SMALL - MIDDLE))
            };
            sizes[class] = (size & !7) as u16;
            class += 1;
        }
        sizes
    };
    SIZES[class] as usize
}

const fn class_of(size: usize) -> usize {
    /// By size in steps of 8.
    const CLASSES: [u8; MAX_SLOT / 8 + 1] = {
        let mut classes = [0; MAX_SLOT / 8 + 1];
        let (mut eights, mut class) = (0, 0);
        while eights < classes.len() {
            if eights * 8 > size_of_class(class) {
                class += 1;
            }
            classes[eights] = class as u8;
            eights += 1;
        }
        classes
    };
    let eights = size.div_ceil(8);
    if size <= 256 {
        eights - 1
    } else {
        CLASSES[eights] as usize
    }
}

/// The bytes an allocation of `size` really takes.
#[inline]
pub const fn rounded(size: usize) -> usize {
    if size > MAX_SLOT {
        (size + 7) & !7
    } else {
        size_of_class(class_of(size))
    }
}

/// The header of a page or a span.
#[repr(C)]
struct Head {
    class: u16,
    used: u16,
    /// Offset of the first returned slot, or `NONE`.
    free: u16,
    /// Whether it is in its class's list of those with room, or in the list of full ones.
    has_room: bool,
    /// It is to be emptied: it stands in the list of full ones, whatever room it has.
    leaving: bool,
    /// Offset of the never-used part.
    fresh: u32,
    /// Bytes that have been touched, of a span.
    touched: u32,
    prev: *mut Head,
    next: *mut Head,
}

const _: () = assert!(size_of::<Head>() <= HEADER);

/// What slots of a class are cut from.
const fn unit_of(class: usize) -> Unit {
    if class < SMALL {
        Unit::Page
    } else {
        Unit::Span
    }
}

/// An owner's slots of all sizes. See the module's page.
pub struct Arena {
    /// Pages with room, by class.
    small: [*mut Head; SMALL],
    /// Spans with room, by class, once there was a slot of one.
    large: Option<Box<[*mut Head; LARGE]>>,
    /// Full pages and spans of all classes.
    full: *mut Head,
    /// Bytes of pages, of what has been touched of spans, and of slots outside.
    bytes: usize,
    /// Bytes of these that no slot uses but one could: see [`Arena::idle`].
    idle: usize,
    /// Pages and spans that are to be emptied.
    leaving: usize,
    /// Slots outside of pages and spans.
    outside: usize,
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
            small: [null_mut(); SMALL],
            large: None,
            full: null_mut(),
            bytes: 0,
            idle: 0,
            leaving: 0,
            outside: 0,
        }
    }

    /// Resident bytes: whole pages, what has been touched of spans, and slots outside of them.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of [`Arena::bytes`] are free slots: memory that is held, and that entries of the same size will use.
    #[inline]
    pub fn idle(&self) -> usize {
        self.idle
    }

    /// `size` bytes (not zero), 8-byte aligned, uninitialised.
    #[inline]
    pub fn alloc(&mut self, size: usize) -> NonNull<u8> {
        debug_assert!(size > 0);
        if size > MAX_SMALL || cfg!(feature = "memcheck") {
            return self.alloc_large(size);
        }
        let mut class = class_of(size);
        let mut page = self.small[class];
        if page.is_null() {
            (page, class) = self.other_or_new(class);
        }
        self.idle -= size_of_class(class);
        // SAFETY: listed pages are this arena's, with a valid header; those in a class's list have a returned or a
        // fresh slot. Offsets stay inside the page.
        unsafe { self.take_slot(page, size_of_class(class), PAGE) }
    }

    fn alloc_large(&mut self, size: usize) -> NonNull<u8> {
        if size > MAX_SLOT || cfg!(feature = "memcheck") {
            return self.alloc_outside(size);
        }
        let mut class = class_of(size);
        let mut span = *self.head(class);
        if span.is_null() {
            (span, class) = self.other_or_new(class);
        }
        // SAFETY: as above.
        unsafe {
            let slot = self.take_slot(span, size_of_class(class), SPAN);
            while (*span).touched < (*span).fresh {
                (*span).touched += PAGE as u32;
                self.bytes += PAGE;
                self.idle += PAGE;
            }
            self.idle -= size_of_class(class);
            slot
        }
    }

    /// # Safety
    /// `at` is in the list with room of its class, whose slots have this size, and has that many bytes.
    #[inline]
    unsafe fn take_slot(&mut self, at: *mut Head, slot: usize, bytes: usize) -> NonNull<u8> {
        // SAFETY: what is listed is this arena's, with a valid header; where there is room there is a returned or a fresh
        // slot. Offsets stay inside.
        unsafe {
            let offset = if (*at).free != NONE {
                let offset = (*at).free as usize;
                (*at).free = *at.cast::<u8>().add(offset).cast::<u16>();
                offset
            } else {
                let offset = (*at).fresh as usize;
                (*at).fresh = (offset + slot) as u32;
                offset
            };
            (*at).used += 1;
            if (*at).free == NONE && (*at).fresh as usize + slot > bytes {
                self.unlist(at);
                self.list(at, false);
            }
            NonNull::new_unchecked(at.cast::<u8>().add(offset))
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
            self.bytes -= layout.size();
            self.outside -= 1;
            // SAFETY: the caller's promise; `alloc_outside` used the same layout.
            unsafe { std::alloc::dealloc(p.as_ptr(), layout) };
            return;
        }
        let unit = if size <= MAX_SMALL { PAGE } else { SPAN };
        let at = (p.as_ptr() as usize & !(unit - 1)) as *mut Head;
        // SAFETY: a slot's page or span starts with its header, and belongs to this arena.
        unsafe {
            debug_assert!((*at).class as usize >= class_of(size));
            *p.as_ptr().cast::<u16>() = (*at).free;
            (*at).free = (p.as_ptr() as usize - at as usize) as u16;
            (*at).used -= 1;
            self.idle += size_of_class((*at).class as usize);
            if (*at).leaving {
                if (*at).used == 0 {
                    self.leaving -= 1;
                    self.unlist(at);
                    self.give(at);
                }
                return;
            }
            if !(*at).has_room {
                self.unlist(at);
                self.list(at, true);
            }
            // One is kept, so that a lone slot taken and returned in turn does not move pages each time.
            if (*at).used == 0 && !((*at).prev.is_null() && (*at).next.is_null()) {
                self.unlist(at);
                self.give(at);
            }
        }
    }

    /// Gives back what was kept at hand, unless it is a page or two. For an owner without slots in use.
    pub fn trim(&mut self) {
        if self.bytes <= 2 * PAGE {
            return;
        }
        for class in 0..SMALL + self.large.as_ref().map_or(0, |_| LARGE) {
            let mut at = *self.head(class);
            while !at.is_null() {
                // SAFETY: what is listed is this arena's; the next one is read before this is given away.
                unsafe {
                    let next = (*at).next;
                    if (*at).used == 0 {
                        self.unlist(at);
                        self.give(at);
                    }
                    at = next;
                }
            }
        }
    }

    /// Chooses pages and spans that can be emptied, because what is in them has room in others of their class, the emptiest
    /// first; how many. From then on they give no slots.
    pub fn begin_compaction(&mut self) -> usize {
        let mut chosen = 0;
        let mut with_room: Vec<(u16, *mut Head)> = Vec::new();
        for class in 0..SMALL + self.large.as_ref().map_or(0, |_| LARGE) {
            with_room.clear();
            let mut at = *self.head(class);
            while !at.is_null() {
                // SAFETY: what is listed is this arena's.
                unsafe {
                    with_room.push(((*at).used, at));
                    at = (*at).next;
                }
            }
            if with_room.len() < 2 {
                continue;
            }
            let unit = if unit_of(class) == Unit::Page {
                PAGE
            } else {
                SPAN
            };
            let slots = (unit - HEADER) / size_of_class(class);
            with_room.sort_unstable_by_key(|(used, _)| *used);
            // Slots that are free in those that stay, if all stayed.
            let mut free: usize = with_room
                .iter()
                .map(|(used, _)| slots - *used as usize)
                .sum();
            for &(used, at) in &with_room[..with_room.len() - 1] {
                let others = free.checked_sub(slots - used as usize);
                match others.and_then(|others| others.checked_sub(used as usize)) {
                    Some(left) => free = left,
                    None => break,
                }
                // SAFETY: as above.
                unsafe {
                    self.unlist(at);
                    if used == 0 {
                        self.give(at);
                    } else {
                        self.list(at, false);
                        (*at).leaving = true;
                        self.leaving += 1;
                    }
                }
                chosen += 1;
            }
        }
        chosen
    }

    /// Whether a slot is in a page or span that was chosen to be emptied.
    ///
    /// # Safety
    /// `p` came from `alloc(size)` of this arena with the same [`rounded`] size.
    pub unsafe fn is_leaving(&self, p: NonNull<u8>, size: usize) -> bool {
        if size > MAX_SLOT || cfg!(feature = "memcheck") {
            return false;
        }
        let unit = if size <= MAX_SMALL { PAGE } else { SPAN };
        let at = (p.as_ptr() as usize & !(unit - 1)) as *mut Head;
        // SAFETY: a slot's page or span starts with its header.
        unsafe { (*at).leaving }
    }

    /// Lets what was chosen to be emptied and is not empty give slots again.
    pub fn end_compaction(&mut self) {
        let mut at = self.full;
        while self.leaving > 0 && !at.is_null() {
            // SAFETY: what is listed is this arena's; the next one is read before this moves to another list.
            unsafe {
                let next = (*at).next;
                if (*at).leaving {
                    self.leaving -= 1;
                    (*at).leaving = false;
                    self.unlist(at);
                    self.list(at, true);
                }
                at = next;
            }
        }
    }

    fn alloc_outside(&mut self, size: usize) -> NonNull<u8> {
        let layout = Layout::from_size_align(rounded(size), 8).expect("an entry's size fits");
        self.bytes += layout.size();
        self.outside += 1;
        // SAFETY: the size is not zero.
        let p = unsafe { std::alloc::alloc(layout) };
        NonNull::new(p).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
    }

    /// The first page or span with room of a class.
    #[inline]
    fn head(&mut self, class: usize) -> &mut *mut Head {
        if class < SMALL {
            return &mut self.small[class];
        }
        let large = self
            .large
            .get_or_insert_with(|| Box::new([null_mut(); LARGE]));
        &mut large[class - SMALL]
    }

    /// A page or span with room for a slot of a class that has none, and its class.
    ///
    /// Of an owner with little in it, slots that are somewhat larger will do: a page for each size would be mostly empty,
    /// and there are many owners.
    #[cold]
    fn other_or_new(&mut self, class: usize) -> (*mut Head, usize) {
        if self.bytes < LITTLE {
            let end = match unit_of(class) {
                Unit::Page => SMALL,
                Unit::Span => SMALL + LARGE,
            };
            let most = size_of_class(class) + size_of_class(class) / 4;
            let larger = (class + 1..end).take_while(|c| size_of_class(*c) <= most);
            for class in larger {
                let at = *self.head(class);
                if !at.is_null() {
                    return (at, class);
                }
            }
        }
        (self.add(class), class)
    }

    #[cold]
    fn add(&mut self, class: usize) -> *mut Head {
        let at = pages::pool(unit_of(class)).take() as *mut Head;
        self.bytes += PAGE;
        self.idle += match unit_of(class) {
            Unit::Page => (PAGE - HEADER) / size_of_class(class) * size_of_class(class),
            Unit::Span => PAGE - HEADER,
        };
        // SAFETY: the page or span is mapped and ours alone from now on.
        unsafe {
            at.write(Head {
                class: class as u16,
                used: 0,
                free: NONE,
                has_room: true,
                leaving: false,
                fresh: HEADER as u32,
                touched: PAGE as u32,
                prev: null_mut(),
                next: null_mut(),
            });
            self.list(at, true);
        }
        at
    }

    /// Gives a page or a span back to its pool.
    ///
    /// # Safety
    /// It is this arena's and in no list, and none of its slots is in use.
    unsafe fn give(&mut self, at: *mut Head) {
        // SAFETY: as the caller promises.
        unsafe {
            self.bytes -= (*at).touched as usize;
            let (class, unit) = ((*at).class as usize, unit_of((*at).class as usize));
            self.idle -= match unit {
                Unit::Page => (PAGE - HEADER) / size_of_class(class) * size_of_class(class),
                Unit::Span => (*at).touched as usize - HEADER,
            };
            pages::pool(unit).give(at as usize);
        }
    }

    /// # Safety
    /// `at` is this arena's and in no list.
    unsafe fn list(&mut self, at: *mut Head, has_room: bool) {
        // SAFETY: what is listed in this arena has a valid header.
        unsafe {
            let head = if has_room {
                self.head((*at).class as usize)
            } else {
                &mut self.full
            };
            let first = std::mem::replace(head, at);
            (*at).prev = null_mut();
            (*at).next = first;
            (*at).has_room = has_room;
            if !first.is_null() {
                (*first).prev = at;
            }
        }
    }

    /// # Safety
    /// `at` is this arena's and in a list.
    unsafe fn unlist(&mut self, at: *mut Head) {
        // SAFETY: as above.
        unsafe {
            let (prev, next) = ((*at).prev, (*at).next);
            if !prev.is_null() {
                (*prev).next = next;
            } else if (*at).has_room {
                *self.head((*at).class as usize) = next;
            } else {
                self.full = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
            (*at).prev = null_mut();
            (*at).next = null_mut();
        }
    }

    /// Every page and span.
    fn all(&self) -> impl Iterator<Item = *mut Head> {
        let large = self.large.iter().flat_map(|large| large.iter());
        let firsts = self.small.iter().chain(large).chain([&self.full]);
        firsts.copied().flat_map(|first| {
            let mut next = first;
            std::iter::from_fn(move || {
                let at = next;
                // SAFETY: what is listed is this arena's. The next one is read before the caller gets this one.
                next = unsafe { at.as_ref()?.next };
                Some(at)
            })
        })
    }

    /// Whether every slot has been returned, but for what was kept at hand.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        let kept: Option<usize> = self
            .all()
            .map(|at| {
                // SAFETY: it is this arena's.
                unsafe { ((*at).used == 0).then_some((*at).touched as usize) }
            })
            .sum();
        kept == Some(self.bytes) && self.outside == 0
    }
}

impl Drop for Arena {
    /// Gives all pages and spans back, whatever is still in them. Slots outside must have been freed before.
    fn drop(&mut self) {
        let of_class = |at: *mut Head| {
            // SAFETY: it is this arena's.
            unit_of(unsafe { (*at).class } as usize)
        };
        let (pages, spans): (Vec<_>, Vec<_>) =
            self.all().partition(|at| of_class(*at) == Unit::Page);
        for (unit, all) in [(Unit::Page, pages), (Unit::Span, spans)] {
            if all.is_empty() {
                continue;
            }
            let mut pool = pages::pool(unit);
            for at in all {
                // SAFETY: they are this arena's, which is no more.
                unsafe { pool.give(at as usize) };
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
        assert_eq!(rounded(8 + 16 + 1024), 1056);
        assert_eq!(class_of(MAX_SMALL), SMALL - 1);
        assert_eq!(class_of(MAX_SLOT), SMALL + LARGE - 1);
    }

    /// What many slots of a size take, beyond the slots themselves.
    #[test]
    #[cfg(not(feature = "memcheck"))]
    fn many_slots_waste_little_and_few_not_much() {
        for size in (8..=MAX_SLOT).step_by(8) {
            let mut arena = Arena::new();
            let mut slots = Vec::new();
            let mut take = |arena: &mut Arena, n: usize| {
                slots.extend((0..n).map(|_| arena.alloc(size)));
                arena.bytes() as f64 / (slots.len() * size) as f64
            };
            arena.alloc(size);
            assert!(arena.bytes() <= 2 * PAGE, "{size}: {}", arena.bytes());
            let thousands = take(&mut arena, 4000);
            let most = if size <= 16 { 2.1 } else { 1.13 };
            assert!(thousands < most, "{size}: {thousands}");
            if size > MAX_SMALL {
                assert!(thousands < 1.08, "{size}: {thousands}");
            }
        }
        let mut arena = Arena::new();
        for _ in 0..4000 {
            arena.alloc(8 + 16 + 1024);
        }
        assert!(arena.bytes() / 4000 < 1060, "{}", arena.bytes() / 4000);
    }

    /// Once nothing is in use, an owner keeps two pages at most.
    #[test]
    fn an_idle_arena_gives_back_what_it_kept() {
        let mut arena = Arena::new();
        let mut slots: Vec<_> = (1..MAX_SLOT + 500)
            .step_by(100)
            .map(|size| (arena.alloc(size), size))
            .collect();
        slots.extend((0..500).map(|_| (arena.alloc(3000), 3000)));
        for (p, size) in slots {
            // SAFETY: allocated above with this size.
            unsafe { arena.free(p, size) };
        }
        assert!(arena.is_idle());
        arena.trim();
        assert!(arena.is_idle() && arena.bytes() <= 2 * PAGE);
        let p = arena.alloc(3000);
        // SAFETY: just allocated.
        unsafe { arena.free(p, 3000) };
        assert!(arena.is_idle());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(64), ..ProptestConfig::default() })]
        #[test]
        fn slots_never_overlap(ops in prop::collection::vec((1usize..5000, any::<bool>(), any::<u16>()), 1..600)) {
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

    /// What is not idle is what the slots in use take, with the headers and the rest of full pages.
    #[test]
    #[cfg(not(feature = "memcheck"))]
    fn idle_is_what_slots_in_use_leave() {
        let mut arena = Arena::new();
        for (size, n) in [(56usize, 1000usize), (300, 100), (1056, 200)] {
            let slots: Vec<_> = (0..n).map(|_| arena.alloc(size)).collect();
            let (bytes, idle) = (arena.bytes(), arena.idle());
            let used = (bytes - idle) as f64 / (n * rounded(size)) as f64;
            assert!((1.0..1.06).contains(&used), "{size}: {used}");
            for &p in &slots[..n / 2] {
                // SAFETY: allocated above with this size.
                unsafe { arena.free(p, size) };
            }
            let held = arena.bytes() - arena.idle();
            let freed = (bytes - idle) - held;
            assert!(
                freed.abs_diff(n / 2 * rounded(size)) < bytes / 20,
                "{size}: {freed}"
            );
            for &p in &slots[n / 2..] {
                // SAFETY: as above.
                unsafe { arena.free(p, size) };
            }
            arena.trim();
            assert!(arena.bytes() - arena.idle() <= 2 * HEADER + 200, "{size}");
        }
    }
}
