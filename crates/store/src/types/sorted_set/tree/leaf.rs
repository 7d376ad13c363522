//! Leaves: elements in order, with hints of their scores.
//!
//! Looking an element's score up in its slot would cost a cache miss for each comparison. A leaf therefore keeps 32 bits
//! of each score: scores become integers of the same order ([`key_of`]), and the hint is how far that key is above the
//! leaf's base, in units of `1 << shift`. Equal hints decide nothing and the slots are asked, which is rare as long as the
//! unit fits the leaf. A score from outside what base and unit can express makes the unit coarser, which the hints
//! themselves are enough for; when a leaf splits and its halves would do with a finer unit, it is read from the slots anew.

use super::super::slots::Slots;
use crate::mem::prefetch_of;
use crate::mem::words::LINE;
use smallvec::SmallVec;
use std::ops::Range;

/// Elements of a leaf: as many as make it, with the allocator's own word, eight cache lines.
pub const LEAF: usize = 60;
/// Leaves whose hints span less than this are read anew when they split.
const COARSE: u32 = 1 << 12;

/// A score as an integer of the same order. Both zeros are the same.
#[inline]
pub fn key_of(score: f64) -> u64 {
    // Adding zero turns -0 into 0 and changes nothing else.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// A place between elements: behind all that come before it, before all others.
#[derive(Clone, Copy, Debug)]
pub enum Seek<'a> {
    /// Before (or, if `after`, behind) the elements of a score.
    Score { key: u64, after: bool },
    /// Before or behind an element, there or not.
    Member {
        key: u64,
        member: &'a [u8],
        after: bool,
    },
    /// Behind an element that is there. It is known by its slot, so that those beside it with the same score, each of which would
    /// have to be fetched to be compared, are mostly not looked at.
    Element {
        key: u64,
        member: &'a [u8],
        slot: u32,
    },
    /// Before or behind a member whatever its score, in a set whose scores are all the same.
    Lex { member: &'a [u8], after: bool },
}

impl Seek<'_> {
    #[inline]
    pub fn key(&self) -> Option<u64> {
        match *self {
            Seek::Score { key, .. } | Seek::Member { key, .. } | Seek::Element { key, .. } => {
                Some(key)
            }
            Seek::Lex { .. } => None,
        }
    }

    /// Whether the element at `slot` comes before the place, its key being equal.
    #[inline]
    pub fn passes_equal(&self, slots: &Slots, slot: u32) -> bool {
        match *self {
            Seek::Score { after, .. } => after,
            Seek::Member { member, after, .. } | Seek::Lex { member, after } => {
                let this = slots.member(slot);
                if after { this <= member } else { this < member }
            }
            Seek::Element { member, .. } => slots.member(slot) <= member,
        }
    }

    /// The place behind this very element, if it is among these slots, `open` of a node's.
    #[inline]
    pub fn behind(&self, slots: &[u32], open: Range<usize>) -> Range<usize> {
        if let Seek::Element { slot, .. } = *self
            && let Some(at) = slots[open.clone()].iter().position(|&s| s == slot)
        {
            let behind = open.start + at + 1;
            return behind..behind;
        }
        open
    }

    /// Whether the element at `slot` comes before the place.
    #[inline]
    pub fn passes(&self, slots: &Slots, slot: u32) -> bool {
        if let Some(key) = self.key() {
            let this = key_of(slots.score(slot));
            if this != key {
                return this < key;
            }
        }
        self.passes_equal(slots, slot)
    }
}

/// In this order in memory, as what is looked at first should come in the first cache lines.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Leaf {
    /// A multiple of the hints' unit.
    pub base: u64,
    pub len: u8,
    /// The hints' unit, as a power of two, at most 32.
    pub shift: u8,
    pub hints: [u32; LEAF],
    pub slots: [u32; LEAF],
}

const _: () = assert!(size_of::<Leaf>() <= 504);

/// Base and shift for hints of keys from `low` to `high`, no finer than `shift`.
pub fn unit(low: u64, high: u64, mut shift: u8) -> (u64, u8) {
    loop {
        let base = low >> shift << shift;
        if (high - base) >> shift <= u64::from(u32::MAX) {
            return (base, shift);
        }
        shift += 1;
    }
}

impl Leaf {
    pub fn new() -> Leaf {
        Leaf {
            base: 0,
            hints: [0; LEAF],
            slots: [0; LEAF],
            len: 0,
            shift: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn used(&self) -> &[u32] {
        &self.slots[..self.len()]
    }

    /// A leaf of these elements, which are in order.
    pub fn of(elements: &[(u64, u32)]) -> Leaf {
        let mut leaf = Leaf::new();
        leaf.len = elements.len() as u8;
        if let (Some(first), Some(last)) = (elements.first(), elements.last()) {
            (leaf.base, leaf.shift) = unit(first.0, last.0, 0);
        }
        for (i, &(key, slot)) in elements.iter().enumerate() {
            leaf.hints[i] = ((key - leaf.base) >> leaf.shift) as u32;
            leaf.slots[i] = slot;
        }
        leaf
    }

    /// The highest key that can be expressed.
    pub fn top(&self) -> u64 {
        self.base
            .saturating_add(u64::from(u32::MAX) << self.shift | ((1 << self.shift) - 1))
    }

    /// Changes base and shift to others that can express at least what the hints say, at no finer unit.
    pub fn rebase(&mut self, base: u64, shift: u8) {
        if (base, shift) == (self.base, self.shift) {
            return;
        }
        for hint in &mut self.hints[..self.len as usize] {
            let key = self.base + (u64::from(*hint) << self.shift);
            // Both bases are multiples of the old unit: what the hint has cut off would be cut off now as well.
            *hint = ((key - base) >> shift) as u32;
        }
        (self.base, self.shift) = (base, shift);
    }

    /// Makes the hints span from `low` to `high` and all that is there.
    pub fn cover(&mut self, low: u64, high: u64, shift: u8) {
        if self.len == 0 {
            (self.base, self.shift) = unit(low, high, shift);
            return;
        }
        if low >= self.base && high <= self.top() && shift <= self.shift {
            return;
        }
        let last = self.base + (u64::from(self.hints[self.len() - 1]) << self.shift);
        let high = high.max(last | ((1 << self.shift) - 1));
        let (base, shift) = unit(low.min(self.base), high, shift.max(self.shift));
        self.rebase(base, shift);
    }

    /// Reads the hints anew if they hardly tell the elements apart.
    pub fn refine(&mut self, slots: &Slots) {
        let len = self.len();
        if self.shift == 0 || len < 2 || self.hints[len - 1] - self.hints[0] >= COARSE {
            return;
        }
        let elements: SmallVec<[(u64, u32); 64]> = self
            .used()
            .iter()
            .map(|&slot| (key_of(slots.score(slot)), slot))
            .collect();
        *self = Leaf::of(&elements);
    }

    /// The elements of which it is not known without looking at them whether they come before a place: all before them do, none
    /// behind them does.
    #[inline]
    pub fn open(&self, seek: &Seek<'_>) -> Range<usize> {
        seek.behind(&self.slots, self.equal(seek))
    }

    /// The elements whose hints are a place's: the same as far as the hints alone tell.
    #[inline]
    pub fn equal(&self, seek: &Seek<'_>) -> Range<usize> {
        let (mut low, mut high) = (0, self.len());
        if let Some(key) = seek.key() {
            if key < self.base {
                return 0..0;
            }
            let hint = (key - self.base) >> self.shift;
            if hint > u64::from(u32::MAX) {
                return high..high;
            }
            let hint = hint as u32;
            // All are compared: a leaf that is not in the cache arrives sooner if its lines are not asked for one after
            // the other, as a binary search would.
            low = self.hints[..high]
                .iter()
                .map(|&h| u32::from(h < hint))
                .sum::<u32>() as usize;
            let rest = &self.hints[low..high];
            high = low;
            if rest.first() == Some(&hint) {
                high += rest.partition_point(|&h| h == hint);
            }
        }
        low..high
    }

    /// Has the slots of the elements from this one on come into the cache, which move if it is removed or one inserted before it.
    #[inline]
    pub fn fetch_slots(&self, from: usize) {
        let used = &self.slots[from.min(self.len())..self.len()];
        used.iter()
            .step_by(LINE / size_of::<u32>())
            .chain(used.last())
            .for_each(prefetch_of);
    }

    /// How many elements come before a place.
    #[inline]
    pub fn position(&self, slots: &Slots, seek: &Seek<'_>) -> usize {
        let open = self.open(seek);
        open.start + self.slots[open].partition_point(|&slot| seek.passes(slots, slot))
    }

    /// Whether the element at `at` may stay there with another key. Not at the leaf's ends: beyond them are neighbours
    /// that it does not know, and its first element's key is known further up, too.
    pub fn may_stay(&self, at: usize, key: u64, slots: &Slots) -> bool {
        if at == 0 || at + 1 >= self.len() || key < self.base || key > self.top() {
            return false;
        }
        let hint = ((key - self.base) >> self.shift) as u32;
        let (before, behind) = (self.hints[at - 1], self.hints[at + 1]);
        if hint < before || hint > behind {
            return false;
        }
        let place = Seek::Member {
            key,
            member: slots.member(self.slots[at]),
            after: false,
        };
        (hint > before || place.passes(slots, self.slots[at - 1]))
            && (hint < behind || !place.passes(slots, self.slots[at + 1]))
    }

    /// Inserts an element where there is room.
    pub fn insert(&mut self, at: usize, key: u64, slot: u32) {
        self.cover(key, key, 0);
        let len = self.len();
        self.hints.copy_within(at..len, at + 1);
        self.slots.copy_within(at..len, at + 1);
        self.hints[at] = ((key - self.base) >> self.shift) as u32;
        self.slots[at] = slot;
        self.len += 1;
    }

    pub fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.hints.copy_within(range.end..len, range.start);
        self.slots.copy_within(range.end..len, range.start);
        self.len -= range.len() as u8;
    }

    /// Cuts off the elements from `at` on.
    pub fn split(&mut self, at: usize, slots: &Slots) -> Leaf {
        let mut right = Leaf {
            base: self.base,
            shift: self.shift,
            ..Leaf::new()
        };
        let moved = self.len() - at;
        right.hints[..moved].copy_from_slice(&self.hints[at..at + moved]);
        right.slots[..moved].copy_from_slice(&self.slots[at..at + moved]);
        right.len = moved as u8;
        self.len = at as u8;
        self.refine(slots);
        right.refine(slots);
        right
    }

    /// Appends another leaf's elements, which come later.
    pub fn append(&mut self, mut other: Leaf) {
        let moved = other.len();
        if moved == 0 {
            return;
        }
        let key = |leaf: &Leaf, at: usize| leaf.base + (u64::from(leaf.hints[at]) << leaf.shift);
        let (low, high) = (
            key(&other, 0),
            key(&other, moved - 1) | ((1 << other.shift) - 1),
        );
        self.cover(low, high, other.shift);
        // The unit is now no finer than either's, and the base a multiple of it below both.
        other.rebase(self.base, self.shift);
        let len = self.len();
        self.hints[len..len + moved].copy_from_slice(&other.hints[..moved]);
        self.slots[len..len + moved].copy_from_slice(&other.slots[..moved]);
        self.len += other.len;
    }
}
