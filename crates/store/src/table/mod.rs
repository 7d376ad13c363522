//! The table: extendible hashing over buckets of one cache line.
//!
//! # Layout
//! A table sees 26 bits of each key's hash. A **directory** of 2^depth words maps the topmost bits to **segments**;
//! a segment is a run of 64-byte lines: one header line, then buckets. How many buckets varies with how full the
//! segment is (1, 3, 7, 15, 31, then 63 to 511 in steps of 64), and the bits after the segment's own prefix choose the
//! home bucket by multiplication, so that any number of buckets works and bucket order is hash order.
//!
//! ```text
//! bucket   word 0      7 tags of one byte (0: empty, else 0x80 | low 7 hash bits), and in the top byte how many
//!                      entries that passed this bucket on their way from home live further on (saturating)
//!          words 1-7   slots: 19 hash bits | flag | entry address / 8
//! ```
//!
//! So a lookup costs one cache miss for the bucket and one for the entry: the slot's own hash bits tell almost
//! surely whether an entry is the right one before it is touched. Splitting and growing never touch entries at all.
//!
//! # Growth
//! A segment that is nine tenths full grows by one page, in place (see [`crate::mem::paged`]); one that has reached 32 KB
//! splits in two by its next hash bit. Both move at most some 3,200 slots, a few tens of microseconds; no insert ever
//! waits for more. Removing entries shrinks segments likewise.
//!
//! # Reading without the lock
//! [`Probe`] looks at directory and bucket words while others may be changing them, only to prefetch: all words are
//! atomics, accessed relaxed, in memory whose directories stay directories and whose buckets stay buckets. What it
//! finds may be stale and is in the end only used as an address to prefetch, which cannot fault.
//!
//! # Safety argument
//! `dir` points to a block of 2^depth words, each of which describes a live segment by block address, size and local
//! depth; segment `s` of local depth `l` owns the 2^(depth-l) consecutive directory words of its prefix. All pointer
//! arithmetic stays within sizes taken from those words. Mutation requires `&mut Table`.

use crate::mem::paged;
use crate::mem::words::{self, Block, LINE, PAGE, Use};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

mod probe;
mod room;
mod walk;

pub(crate) use probe::fetch_homes;
pub use probe::{Probe, fetch_all};
pub(crate) use walk::Met;

/// Bits of hash that a table uses.
pub(crate) const HASH_BITS: u32 = 26;
const SLOT_HASH_BITS: u32 = 19;
const TAG_BITS: u32 = 7;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;
/// Positions a cursor can have: see [`Table::visit_from`].
pub const POSITIONS: u64 = 1 << SLOT_HASH_BITS;
const MAX_DEPTH: u32 = SLOT_HASH_BITS;
const SLOTS: usize = 7;
const ADDR_BITS: u32 = 44;
const FLAG: u64 = 1 << ADDR_BITS;

/// Lines of a segment, header included. The first five are small blocks, the others pages of a paged block.
const SIZES: [usize; 13] = [2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384, 448, 512];
const FIRST_PAGED: usize = 5;
const LAST_SIZE: usize = SIZES.len() - 1;

/// Entries that a segment of this size may hold.
const fn limit(size: usize) -> usize {
    let buckets = SIZES[size] - 1;
    if size < 2 {
        buckets * SLOTS
    } else {
        buckets * SLOTS * 9 / 10
    }
}

/// The table's part of a 64-bit hash: its topmost bits.
#[inline]
pub fn table_hash(hash: u64) -> u64 {
    hash >> (64 - HASH_BITS)
}

/// The position of a key with this 64-bit hash in every walk: see [`Table::visit_from`].
#[inline]
pub fn position_of(hash: u64) -> u64 {
    table_hash(hash) >> TAG_BITS
}

#[inline]
fn tag_of(h: u64) -> u64 {
    0x80 | (h & ((1 << TAG_BITS) - 1))
}

/// A set bit 7 in each byte of `ctrl` (the topmost excepted) that equals `tag`; a byte above a match may be set
/// wrongly, which the comparison of hash bits then sorts out.
#[inline]
fn matches(ctrl: u64, tag: u64) -> u64 {
    let x = ctrl ^ (tag * 0x0101_0101_0101_0101);
    x.wrapping_sub(0x0101_0101_0101_0101) & !x & 0x0080_8080_8080_8080
}

/// Bit 7 set in each tag byte that is empty.
#[inline]
fn empties(ctrl: u64) -> u64 {
    !ctrl & 0x0080_8080_8080_8080
}

/// One segment as its directory word describes it.
#[derive(Clone, Copy)]
struct Segment {
    block: Block,
    size: usize,
    depth: u32,
}

const HEAD_COUNT: usize = 0;
const HEAD_DUE: usize = 1;

impl Segment {
    #[inline]
    fn unpack(word: u64) -> Segment {
        Segment {
            // SAFETY: directory words hold the addresses of blocks, never zero.
            block: unsafe {
                NonNull::new_unchecked((word & 0x0000_ffff_ffff_ffc0) as *mut AtomicU64)
            },
            size: (word & 15) as usize,
            depth: (word >> 48) as u32,
        }
    }

    #[inline]
    fn pack(self) -> u64 {
        self.block.as_ptr() as u64 | self.size as u64 | u64::from(self.depth) << 48
    }

    fn alloc(size: usize, depth: u32) -> Segment {
        let block = if size < FIRST_PAGED {
            words::alloc_small(Use::Segment, SIZES[size])
        } else {
            paged::alloc(pages(size))
        };
        let s = Segment { block, size, depth };
        s.head(HEAD_DUE).store(u64::MAX, Relaxed);
        s
    }

    /// # Safety
    /// No directory word describes the segment any more.
    unsafe fn free(self) {
        // SAFETY: allocated by `alloc` with this kind of size.
        unsafe {
            if self.size < FIRST_PAGED {
                words::free_small(Use::Segment, self.block, SIZES[self.size]);
            } else {
                paged::free(self.block, pages(self.size));
            }
        }
    }

    #[inline]
    fn buckets(self) -> usize {
        SIZES[self.size] - 1
    }

    #[inline]
    fn at(self, line: usize, i: usize) -> Block {
        debug_assert!(line < SIZES[self.size] && i < LINE / 8);
        // SAFETY: a segment of this size has this line.
        unsafe { self.block.add(paged::offset(line) + i) }
    }

    #[inline]
    fn word(&self, line: usize, i: usize) -> &AtomicU64 {
        // SAFETY: a word of the segment's.
        unsafe { self.at(line, i).as_ref() }
    }

    #[inline]
    fn head(&self, i: usize) -> &AtomicU64 {
        self.word(0, i)
    }

    /// Word `i` of bucket `b`.
    #[inline]
    fn bucket(&self, b: usize, i: usize) -> &AtomicU64 {
        self.word(b + 1, i)
    }

    /// Slot `i` of bucket `b`.
    #[inline]
    fn pos(self, b: usize, i: usize) -> Pos {
        Pos(self.at(b + 1, 1 + i))
    }

    #[inline]
    fn count(&self) -> usize {
        self.head(HEAD_COUNT).load(Relaxed) as usize
    }

    #[inline]
    fn home(&self, h: u64) -> usize {
        let rest = (h << self.depth) & HASH_MASK;
        ((rest * self.buckets() as u64) >> HASH_BITS) as usize
    }

    #[inline]
    fn next(&self, b: usize) -> usize {
        if b + 1 == self.buckets() { 0 } else { b + 1 }
    }

    /// Puts a slot at the first empty place on its way. There must be one.
    fn place(&self, h: u64, slot: u64) {
        let mut b = self.home(h);
        loop {
            let ctrl = self.bucket(b, 0).load(Relaxed);
            let free = empties(ctrl);
            if free != 0 {
                let i = (free.trailing_zeros() / 8) as usize;
                self.bucket(b, 1 + i).store(slot, Relaxed);
                self.bucket(b, 0)
                    .store(ctrl | tag_of(h) << (8 * i), Relaxed);
                return;
            }
            if ctrl >> 56 != 0xff {
                self.bucket(b, 0).store(ctrl + (1 << 56), Relaxed);
            }
            b = self.next(b);
        }
    }

    /// Appends every (hash, slot) to `into`.
    fn collect(&self, into: &mut Vec<(u32, u64)>) {
        for b in 0..self.buckets() {
            let ctrl = self.bucket(b, 0).load(Relaxed);
            let mut used = ctrl & 0x0080_8080_8080_8080;
            while used != 0 {
                let i = (used.trailing_zeros() / 8) as usize;
                used &= used - 1;
                let slot = self.bucket(b, 1 + i).load(Relaxed);
                into.push((hash_of(slot, ctrl >> (8 * i)), slot));
            }
        }
    }

    fn clear(&self) {
        for line in 1..SIZES[self.size] {
            self.word(line, 0).store(0, Relaxed);
        }
    }
}

/// The table hash of a slot with its tag.
#[inline]
fn hash_of(slot: u64, tag: u64) -> u32 {
    ((slot >> (ADDR_BITS + 1)) << TAG_BITS | (tag & 0x7f)) as u32
}

#[inline]
fn addr_of(slot: u64) -> usize {
    ((slot & (FLAG - 1)) << 3) as usize
}

#[inline]
fn slot_of(h: u64, addr: usize, flag: bool) -> u64 {
    debug_assert!(addr & 7 == 0 && addr >> 47 == 0);
    (h >> TAG_BITS) << (ADDR_BITS + 1) | if flag { FLAG } else { 0 } | (addr as u64) >> 3
}

/// Where an entry is, as the address of its slot: valid until the table changes.
///
/// A single word, as it is handed on with what was found for every command.
#[derive(Clone, Copy)]
pub struct Pos(Block);

impl Pos {
    /// The slot's number in its bucket.
    #[inline]
    fn slot(self) -> usize {
        self.0.as_ptr() as usize % LINE / 8 - 1
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the table has not changed since this was found, so its segment is alive.
        unsafe { self.0.as_ref() }
    }

    /// The bucket's first word.
    #[inline]
    fn bucket(self) -> Block {
        // SAFETY: slots are the words behind it. A bucket is aligned to its size.
        unsafe { self.0.sub(1 + self.slot()) }
    }
}

/// A slot met on a visit.
#[derive(Clone, Copy, Debug)]
pub struct Visited {
    /// Its place in hash order, below [`POSITIONS`].
    pub position: u64,
    /// The entry's address.
    pub addr: usize,
    /// The flag it was inserted with.
    pub flag: bool,
}

/// See the module's page. The flag that each slot carries means nothing to the table; dictionaries mark entries that
/// expire with it.
pub struct Table {
    dir: Option<Block>,
    depth: u32,
    /// As many as the directory has words at most.
    segments: u32,
    len: usize,
    resident: usize,
}

// SAFETY: the blocks of a table are reachable for writing only through it.
unsafe impl Send for Table {}
// SAFETY: and for reading, which changes nothing; all words are atomics anyway.
unsafe impl Sync for Table {}

impl Default for Table {
    fn default() -> Self {
        Table::new()
    }
}

impl Table {
    /// An empty table, which owns no memory.
    pub const fn new() -> Table {
        Table {
            dir: None,
            depth: 0,
            len: 0,
            segments: 0,
            resident: 0,
        }
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Resident bytes of directory and segments.
    pub fn bytes(&self) -> usize {
        self.resident + self.dir.map_or(0, |_| self.dir_lines() * LINE)
    }

    /// Number of segments.
    fn segments(&self) -> usize {
        self.segments as usize
    }

    /// (segments, buckets) of the table, for DEBUG HTSTATS.
    pub fn shape(&self) -> (usize, usize) {
        (self.segments(), self.resident / LINE - self.segments())
    }

    fn dir_lines(&self) -> usize {
        (1usize << self.depth).div_ceil(8)
    }

    /// The word from which [`Probe`] starts; 0 while the table owns nothing.
    pub fn root(&self) -> u64 {
        self.dir
            .map_or(0, |d| d.as_ptr() as u64 | u64::from(self.depth) << 48)
    }

    #[inline]
    fn dir_word(&self, i: usize) -> &AtomicU64 {
        debug_assert!(i < 1 << self.depth);
        // SAFETY: the directory has 2^depth words; callers only come here when there is one.
        unsafe { self.dir.expect("a directory").add(i).as_ref() }
    }

    #[inline]
    fn dir_index(&self, h: u64) -> usize {
        (h >> (HASH_BITS - self.depth)) as usize
    }

    #[inline]
    fn segment(&self, h: u64) -> Option<Segment> {
        self.dir?;
        Some(Segment::unpack(
            self.dir_word(self.dir_index(h)).load(Relaxed),
        ))
    }

    /// Finds the entry with table hash `h` for which `eq` holds. `eq` is called with addresses of live entries.
    #[inline]
    pub fn find(&self, h: u64, mut eq: impl FnMut(usize) -> bool) -> Option<Pos> {
        let segment = self.segment(h)?;
        let tag = tag_of(h);
        let want = h >> TAG_BITS;
        let home = segment.home(h);
        let mut b = home;
        loop {
            let ctrl = segment.bucket(b, 0).load(Relaxed);
            let mut m = matches(ctrl, tag);
            while m != 0 {
                let i = (m.trailing_zeros() / 8) as usize;
                m &= m - 1;
                let slot = segment.bucket(b, 1 + i).load(Relaxed);
                if slot >> (ADDR_BITS + 1) == want
                    && (ctrl >> (8 * i)) & 0xff == tag
                    && eq(addr_of(slot))
                {
                    return Some(segment.pos(b, i));
                }
            }
            if ctrl >> 56 == 0 {
                return None;
            }
            b = segment.next(b);
            if b == home {
                return None;
            }
        }
    }

    /// The address of the entry at `pos`.
    #[inline]
    pub fn addr(&self, pos: Pos) -> usize {
        addr_of(pos.word().load(Relaxed))
    }

    /// Puts another entry with the same hash at `pos`.
    #[inline]
    pub fn replace(&mut self, pos: Pos, addr: usize, flag: bool) {
        let word = pos.word();
        let hash_bits = word.load(Relaxed) & !(2 * FLAG - 1);
        word.store(
            hash_bits | if flag { FLAG } else { 0 } | (addr as u64) >> 3,
            Relaxed,
        );
    }

    /// Notes that an entry at `pos` becomes due at `ms`: see [`Table::visit_due`].
    #[inline]
    pub(crate) fn note_due(&mut self, h: u64, ms: u64) {
        if let Some(s) = self.segment(h) {
            let due = s.head(HEAD_DUE);
            if ms < due.load(Relaxed) {
                due.store(ms, Relaxed);
            }
        }
    }

    /// Inserts an entry that is not there yet.
    pub fn insert(&mut self, h: u64, addr: usize, flag: bool) {
        self.insert_slot(h, slot_of(h, addr, flag));
    }

    fn insert_slot(&mut self, h: u64, slot: u64) {
        let mut segment = match self.segment(h) {
            Some(s) => s,
            None => {
                let dir = words::alloc_small(Use::Directory, 1);
                let s = Segment::alloc(0, 0);
                // SAFETY: a block of eight words.
                unsafe { dir.as_ref().store(s.pack(), Relaxed) };
                self.dir = Some(dir);
                self.segments = 1;
                self.resident = SIZES[0] * LINE;
                s
            }
        };
        while segment.count() >= limit(segment.size) {
            self.grow(h, segment);
            segment = self.segment(h).expect("a segment that grew");
        }
        segment.place(h, slot);
        segment
            .head(HEAD_COUNT)
            .store(segment.count() as u64 + 1, Relaxed);
        self.len += 1;
    }

    /// Calls `f` with each segment.
    fn for_each_segment(&self, mut f: impl FnMut(Segment)) {
        let mut i = 0;
        while self.dir.is_some() && i < 1 << self.depth {
            let s = Segment::unpack(self.dir_word(i).load(Relaxed));
            i += 1 << (self.depth - s.depth);
            f(s);
        }
    }

    /// Removes the entry at `pos`, which has table hash `h`, and returns its address.
    pub fn remove(&mut self, h: u64, pos: Pos) -> usize {
        let s = self.segment(h).expect("the segment of an entry");
        let word = pos.word();
        let addr = addr_of(word.load(Relaxed));
        word.store(0, Relaxed);
        // SAFETY: a word of the segment that the slot is in.
        let ctrl = unsafe { pos.bucket().as_ref() };
        ctrl.store(ctrl.load(Relaxed) & !(0xff << (8 * pos.slot())), Relaxed);
        let mut b = s.home(h);
        while s.at(b + 1, 0) != pos.bucket() {
            let ctrl = s.bucket(b, 0);
            let w = ctrl.load(Relaxed);
            debug_assert!(w >> 56 > 0, "an entry passed here");
            if w >> 56 != 0xff {
                ctrl.store(w - (1 << 56), Relaxed);
            }
            b = s.next(b);
        }
        let count = s.count() - 1;
        s.head(HEAD_COUNT).store(count as u64, Relaxed);
        self.len -= 1;
        if self.len == 0 {
            self.reset();
        } else if s.size > 0 && count < limit(s.size) / 4 {
            self.resize(h, s, fitting(count));
        }
        addr
    }

    /// Frees all memory of a table whose entries have been taken care of.
    pub fn reset(&mut self) {
        let Some(dir) = self.dir else { return };
        self.for_each_segment(|s| {
            // SAFETY: the directory goes too.
            unsafe { s.free() };
        });
        // SAFETY: allocated with this many lines.
        unsafe { words::free_small(Use::Directory, dir, self.dir_lines()) };
        // Not `*self = Table::new()`: that would drop the old table and come here again.
        self.dir = None;
        self.depth = 0;
        self.len = 0;
        self.segments = 0;
        self.resident = 0;
    }

    #[cold]
    fn grow(&mut self, h: u64, s: Segment) {
        if s.size < LAST_SIZE {
            self.resize(h, s, s.size + 1);
        } else {
            self.split(h, s);
        }
    }

    /// Points the directory words of the prefix that `h` has in a segment of `s`'s depth to `s`.
    fn publish(&mut self, h: u64, s: Segment) {
        let span = 1usize << (self.depth - s.depth);
        let first = self.dir_index(h) & !(span - 1);
        for i in first..first + span {
            self.dir_word(i).store(s.pack(), Relaxed);
        }
    }

    /// Gives the segment `s`, which holds hash `h`, another size.
    fn resize(&mut self, h: u64, s: Segment, size: usize) {
        if size == s.size {
            return;
        }
        let mut all = Vec::with_capacity(s.count());
        s.collect(&mut all);
        let count = s.count() as u64;
        let due = s.head(HEAD_DUE).load(Relaxed);
        let in_place = s.size >= FIRST_PAGED && size >= FIRST_PAGED;
        let to = if in_place {
            s.clear();
            // SAFETY: lines past the new size are no longer part of the segment.
            unsafe { paged::resize(s.block, pages(s.size), pages(size)) };
            Segment { size, ..s }
        } else {
            Segment::alloc(size, s.depth)
        };
        for &(hash, slot) in &all {
            to.place(u64::from(hash), slot);
        }
        to.head(HEAD_COUNT).store(count, Relaxed);
        to.head(HEAD_DUE).store(due, Relaxed);
        self.resident = self.resident + SIZES[size] * LINE - SIZES[s.size] * LINE;
        self.publish(h, to);
        if !in_place {
            // SAFETY: no directory word describes it any more.
            unsafe { s.free() };
        }
    }

    fn split(&mut self, h: u64, s: Segment) {
        if s.depth == self.depth {
            self.double();
        }
        let bit = HASH_BITS - 1 - s.depth;
        let mut all = Vec::with_capacity(s.count());
        s.collect(&mut all);
        let ones = all.iter().filter(|(hash, _)| hash >> bit & 1 == 1).count();
        let due = s.head(HEAD_DUE).load(Relaxed);
        s.clear();
        let halves = [all.len() - ones, ones].map(fitting_paged);
        let low = Segment {
            size: halves[0],
            depth: s.depth + 1,
            ..s
        };
        // SAFETY: lines past the new size are no longer part of the segment.
        unsafe { paged::resize(s.block, pages(s.size), pages(low.size)) };
        let high = Segment::alloc(halves[1], s.depth + 1);
        for &(hash, slot) in &all {
            let to = if hash >> bit & 1 == 1 { &high } else { &low };
            to.place(u64::from(hash), slot);
        }
        low.head(HEAD_COUNT)
            .store((all.len() - ones) as u64, Relaxed);
        high.head(HEAD_COUNT).store(ones as u64, Relaxed);
        low.head(HEAD_DUE).store(due, Relaxed);
        high.head(HEAD_DUE).store(due, Relaxed);
        self.segments += 1;
        self.resident =
            self.resident + (SIZES[low.size] + SIZES[high.size]) * LINE - SIZES[s.size] * LINE;
        let prefix = h & !((1 << (bit + 1)) - 1);
        self.publish(prefix, low);
        self.publish(prefix | 1 << bit, high);
    }

    /// Doubles the directory.
    fn double(&mut self) {
        assert!(
            self.depth < MAX_DEPTH,
            "more than 1.6 billion entries in one table"
        );
        let old = self.dir.expect("a directory");
        let old_lines = self.dir_lines();
        let new = words::alloc_small(Use::Directory, (1usize << (self.depth + 1)).div_ceil(8));
        for i in 0..1usize << self.depth {
            let w = self.dir_word(i).load(Relaxed);
            // SAFETY: the new directory has twice as many words.
            unsafe {
                new.add(2 * i).as_ref().store(w, Relaxed);
                new.add(2 * i + 1).as_ref().store(w, Relaxed);
            }
        }
        self.dir = Some(new);
        self.depth += 1;
        // SAFETY: nothing but stale prefetching uses the old directory.
        unsafe { words::free_small(Use::Directory, old, old_lines) };
    }

    /// Visits the entries of the segment that covers `position`, those before `position` excepted, in no order, and
    /// returns the position at which the next segment begins, or `None` after the last.
    ///
    /// Positions follow hash order whatever the table's shape, so a walk from 0 by returned positions meets everything
    /// that is present throughout, whatever is inserted, removed or split meanwhile.
    pub fn visit_from(&self, position: u64, mut visit: impl FnMut(Visited)) -> Option<u64> {
        debug_assert!(position < POSITIONS);
        let s = self.segment(position << TAG_BITS)?;
        self.visit_segment(s, position, &mut visit);
        self.after(s, position)
    }

    /// Like [`Table::visit_from`], but visits only flagged entries, and only of a segment in which something may be
    /// due at `now_ms`: a segment with nothing due costs one look at its header. `visit` returns when its entry is
    /// due, and the earliest of those is noted for the segment.
    pub(crate) fn visit_due(
        &self,
        position: u64,
        now_ms: u64,
        mut visit: impl FnMut(Visited) -> u64,
    ) -> (bool, Option<u64>) {
        let Some(s) = self.segment(position << TAG_BITS) else {
            return (false, None);
        };
        let visited = s.head(HEAD_DUE).load(Relaxed) <= now_ms;
        if visited {
            let mut earliest = u64::MAX;
            self.visit_segment(s, 0, &mut |v| {
                if v.flag {
                    earliest = earliest.min(visit(v));
                }
            });
            s.head(HEAD_DUE).store(earliest, Relaxed);
        }
        (visited, self.after(s, position))
    }

    fn visit_segment(&self, s: Segment, position: u64, visit: &mut impl FnMut(Visited)) {
        for b in 0..s.buckets() {
            let ctrl = s.bucket(b, 0).load(Relaxed);
            let mut used = ctrl & 0x0080_8080_8080_8080;
            while used != 0 {
                let i = (used.trailing_zeros() / 8) as usize;
                used &= used - 1;
                let slot = s.bucket(b, 1 + i).load(Relaxed);
                let at = slot >> (ADDR_BITS + 1);
                if at >= position {
                    visit(Visited {
                        position: at,
                        addr: addr_of(slot),
                        flag: slot & FLAG != 0,
                    });
                }
            }
        }
    }

    fn after(&self, s: Segment, position: u64) -> Option<u64> {
        let span = POSITIONS >> s.depth;
        let next = (position & !(span - 1)) + span;
        (next < POSITIONS).then_some(next)
    }

    /// The `n`th entry in table order (`n` below [`Table::len`]): passes over whole segments, so it takes time in
    /// proportion to their number.
    pub fn nth(&self, mut n: usize) -> Option<usize> {
        let mut i = 0;
        while self.dir.is_some() && i < 1 << self.depth {
            let s = Segment::unpack(self.dir_word(i).load(Relaxed));
            let count = s.count();
            if n >= count {
                n -= count;
                i += 1 << (self.depth - s.depth);
                continue;
            }
            for b in 0..s.buckets() {
                let mut used = s.bucket(b, 0).load(Relaxed) & 0x0080_8080_8080_8080;
                let here = used.count_ones() as usize;
                if n >= here {
                    n -= here;
                    continue;
                }
                for _ in 0..n {
                    used &= used - 1;
                }
                let slot = (used.trailing_zeros() / 8) as usize;
                return Some(addr_of(s.bucket(b, 1 + slot).load(Relaxed)));
            }
        }
        None
    }

    /// Checks what must always hold. For tests.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let (mut i, mut total, mut resident, mut segments) = (0, 0, 0, 0);
        while self.dir.is_some() && i < 1 << self.depth {
            let s = Segment::unpack(self.dir_word(i).load(Relaxed));
            let span = 1 << (self.depth - s.depth);
            assert_eq!(i % span, 0, "a segment's words are aligned");
            for k in i..i + span {
                assert_eq!(
                    self.dir_word(k).load(Relaxed),
                    s.pack(),
                    "one segment, one word"
                );
            }
            let mut all = Vec::new();
            s.collect(&mut all);
            assert_eq!(all.len(), s.count());
            assert!(all.len() <= limit(s.size));
            for (hash, _) in &all {
                assert_eq!(
                    self.dir_index(u64::from(*hash)) & !(span - 1),
                    i,
                    "in its segment"
                );
            }
            total += all.len();
            resident += SIZES[s.size] * LINE;
            segments += 1;
            i += span;
        }
        assert_eq!(
            (total, resident, segments),
            (self.len, self.resident, self.segments())
        );
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.reset();
    }
}

/// The smallest size that holds `count` entries with a quarter to spare.
fn fitting(count: usize) -> usize {
    (0..LAST_SIZE)
        .find(|&s| limit(s) > count + count / 4)
        .unwrap_or(LAST_SIZE)
}

/// The smallest paged size that holds `count` entries with a little to spare.
fn fitting_paged(count: usize) -> usize {
    (FIRST_PAGED..LAST_SIZE)
        .find(|&s| limit(s) >= count + count / 16)
        .unwrap_or(LAST_SIZE)
}

/// Pages of a segment of a paged size.
fn pages(size: usize) -> usize {
    debug_assert!(size >= FIRST_PAGED);
    SIZES[size] * LINE / PAGE
}

const _: () = assert!(SIZES[LAST_SIZE] * LINE == paged::PAGES * PAGE);
