//! Leaves: elements in order, with hints of where they stand.

use super::hints::{Element, Elements, Hints, Place, Prefix};
use crate::mem::prefetch_of;
use crate::mem::words::LINE;
use std::ops::Range;

/// Elements of a leaf: as many as make it, with the allocator's own word, eight cache lines.
pub const LEAF: usize = 60;

/// In this order in memory, as what is looked at first should come in the first cache lines.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Leaf {
    pub hints: Hints<LEAF>,
    pub slots: [u32; LEAF],
}

const _: () = assert!(size_of::<Leaf>() <= 504);

impl Leaf {
    pub fn new() -> Leaf {
        Leaf {
            hints: Hints::new(),
            slots: [0; LEAF],
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.hints.len()
    }

    #[inline]
    pub fn used(&self) -> &[u32] {
        &self.slots[..self.len()]
    }

    /// A leaf of these elements, which are in order.
    pub fn of(elements: &[Element], prefix: &Prefix) -> Leaf {
        let mut leaf = Leaf {
            hints: Hints::of(elements, prefix),
            ..Leaf::new()
        };
        for (slot, element) in leaf.slots.iter_mut().zip(elements) {
            *slot = element.slot;
        }
        leaf
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
    pub fn position(&self, elements: Elements<'_>, place: &Place<'_>) -> usize {
        let open = place.seek.behind(&self.slots, self.hints.open(place));
        open.start
            + self.slots[open].partition_point(|&slot| place.seek.passes(elements.slots, slot))
    }

    /// Inserts an element where there is room.
    pub fn insert(&mut self, at: usize, element: &Element, prefix: &Prefix) {
        let len = self.len();
        self.hints.insert(at, element, prefix);
        self.slots.copy_within(at..len, at + 1);
        self.slots[at] = element.slot;
    }

    pub fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.slots.copy_within(range.end..len, range.start);
        self.hints.remove(range);
    }

    /// Cuts off the elements from `at` on.
    pub fn split(&mut self, at: usize, elements: Elements<'_>) -> Leaf {
        let mut right = Leaf::new();
        let moved = self.len() - at;
        right.slots[..moved].copy_from_slice(&self.slots[at..at + moved]);
        right.hints = self.hints.split(at);
        for half in [self, &mut right] {
            half.hints.refine(&half.slots[..half.hints.len()], elements);
        }
        right
    }

    /// Reads the hints anew if members' bits are not of what stands behind the prefix.
    #[inline]
    pub fn freshen(&mut self, elements: Elements<'_>) {
        self.hints
            .freshen(&self.slots[..self.hints.len()], elements);
    }

    /// Appends another leaf's elements, which come later.
    pub fn append(&mut self, other: Leaf) {
        let (len, moved) = (self.len(), other.len());
        self.slots[len..len + moved].copy_from_slice(other.used());
        self.hints.append(other.hints);
    }
}
