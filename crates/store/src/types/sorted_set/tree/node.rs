//! Inner nodes: of each child where it begins and how much it holds.

use super::super::slots::Slots;
use super::leaf::{LEAF, Leaf, Seek, key_of};
use crate::mem::prefetch;
use crate::mem::words::LINE;
use smallvec::SmallVec;
use std::mem::offset_of;
use std::ops::Range;

/// Children of an inner node.
pub const FANOUT: usize = 32;
/// A node less than one part in this of full looks for a neighbour to join.
pub const SPARSE: usize = 4;

#[derive(Clone, Debug)]
#[repr(C)]
pub struct Inner {
    /// Ends with its own length, which is looked at first of all.
    pub children: SmallVec<[Node; FANOUT]>,
    // From here on what a search looks at lies together.
    pub len: usize,
    /// Of each child: the key and the slot of its first element, and how many it holds.
    pub keys: [u64; FANOUT],
    pub firsts: [u32; FANOUT],
    pub counts: [u32; FANOUT],
}

/// The part of an inner node that every search looks at: from the length of its children on. First elements come behind it: they are
/// looked at where a key is the one that is searched for.
const SEARCHED: Range<usize> =
    offset_of!(Inner, len) - size_of::<usize>()..offset_of!(Inner, firsts);

#[derive(Clone, Debug)]
pub enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

impl Node {
    /// Elements or children.
    pub fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.len,
        }
    }

    /// The most it may have.
    pub fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF,
            Node::Inner(_) => FANOUT,
        }
    }

    /// Has what a search looks at come into the cache at once, rather than line after line.
    #[inline]
    pub fn fetch(&self) {
        self.fetch_up_to(size_of::<Leaf>());
    }

    /// The same, but of a leaf only its hints: [`Leaf::fetch_slots`] goes on once it is known which slots matter.
    #[inline]
    pub fn fetch_hints(&self) {
        self.fetch_up_to(offset_of!(Leaf, slots));
    }

    #[inline]
    fn fetch_up_to(&self, leaf_end: usize) {
        let (addr, part) = match self {
            Node::Leaf(leaf) => (&raw const **leaf as usize, 0..leaf_end),
            Node::Inner(inner) => (&raw const **inner as usize, SEARCHED),
        };
        for line in part.step_by(LINE) {
            prefetch(addr + line);
        }
    }

    /// Elements below.
    pub fn count(&self) -> u32 {
        match self {
            Node::Leaf(leaf) => u32::from(leaf.len),
            Node::Inner(inner) => inner.counts[..inner.len].iter().sum(),
        }
    }

    /// Key and slot of the first element. There must be one.
    pub fn first(&self, slots: &Slots) -> (u64, u32) {
        match self {
            Node::Leaf(leaf) => (key_of(slots.score(leaf.slots[0])), leaf.slots[0]),
            Node::Inner(inner) => (inner.keys[0], inner.firsts[0]),
        }
    }

    /// Appends a node of the same depth whose elements come later.
    pub fn append(&mut self, other: Node) {
        match (self, other) {
            (Node::Leaf(a), Node::Leaf(b)) => a.append(*b),
            (Node::Inner(a), Node::Inner(b)) => a.append(*b),
            _ => unreachable!("nodes side by side have the same depth"),
        }
    }
}

impl Inner {
    pub fn new() -> Inner {
        Inner {
            len: 0,
            keys: [0; FANOUT],
            firsts: [0; FANOUT],
            counts: [0; FANOUT],
            children: SmallVec::new(),
        }
    }

    /// The children whose first elements' keys do not tell whether they begin before a place: all before them do, none
    /// behind them does.
    #[inline]
    pub fn open(&self, seek: &Seek<'_>) -> Range<usize> {
        let (mut low, mut high) = (0, self.len);
        if let Some(key) = seek.key() {
            let keys = &self.keys[..high];
            low = keys.partition_point(|&k| k < key);
            high = low;
            if keys.get(low) == Some(&key) {
                high += keys[low..].partition_point(|&k| k == key);
            }
        }
        seek.behind(&self.firsts, low..high)
    }

    /// How many children begin before a place.
    #[inline]
    pub fn position(&self, slots: &Slots, seek: &Seek<'_>) -> usize {
        let open = self.open(seek);
        open.start + self.firsts[open].partition_point(|&slot| seek.passes_equal(slots, slot))
    }

    /// Has what is known of a child come into the cache.
    #[inline]
    pub fn fetch_child(&self, at: usize) {
        prefetch(&raw const self.counts[at] as usize);
        prefetch(&raw const self.children[at] as usize);
    }

    /// Inserts a child where there is room.
    pub fn insert(&mut self, at: usize, child: Node, slots: &Slots) {
        let len = self.len;
        self.keys.copy_within(at..len, at + 1);
        self.firsts.copy_within(at..len, at + 1);
        self.counts.copy_within(at..len, at + 1);
        (self.keys[at], self.firsts[at]) = child.first(slots);
        self.counts[at] = child.count();
        self.children.insert(at, child);
        self.len += 1;
    }

    pub fn remove(&mut self, at: usize) -> Node {
        let len = self.len;
        self.keys.copy_within(at + 1..len, at);
        self.firsts.copy_within(at + 1..len, at);
        self.counts.copy_within(at + 1..len, at);
        self.len -= 1;
        self.children.remove(at)
    }

    pub fn split(&mut self, at: usize) -> Inner {
        let mut right = Inner::new();
        right.len = self.len - at;
        right.keys[..right.len].copy_from_slice(&self.keys[at..self.len]);
        right.firsts[..right.len].copy_from_slice(&self.firsts[at..self.len]);
        right.counts[..right.len].copy_from_slice(&self.counts[at..self.len]);
        right.children.extend(self.children.drain(at..));
        self.len = at;
        right
    }

    pub fn append(&mut self, other: Inner) {
        let (len, moved) = (self.len, other.len);
        self.keys[len..len + moved].copy_from_slice(&other.keys[..moved]);
        self.firsts[len..len + moved].copy_from_slice(&other.firsts[..moved]);
        self.counts[len..len + moved].copy_from_slice(&other.counts[..moved]);
        self.children.extend(other.children);
        self.len += moved;
    }

    /// The child that holds the element of a rank below this node, and how many elements come before that child.
    #[inline]
    pub fn child_of_rank(&self, rank: usize) -> (usize, usize) {
        let mut before = 0;
        for (i, &count) in self.counts[..self.len].iter().enumerate() {
            if rank < before + count as usize {
                return (i, before);
            }
            before += count as usize;
        }
        unreachable!("a rank below the number of elements")
    }

    /// Puts things right after child `at` has lost elements, among them its first if `first_changed`. Returns whether
    /// this node's own first element is another now.
    pub fn mend(
        &mut self,
        at: usize,
        first_changed: bool,
        slots: &Slots,
        shape: &mut Shape,
    ) -> bool {
        if self.children[at].len() == 0 {
            shape.forget(&self.remove(at));
            return at == 0;
        }
        if first_changed {
            (self.keys[at], self.firsts[at]) = self.children[at].first(slots);
        }
        let len = self.children[at].len();
        let full = self.children[at].capacity();
        if len < full / SPARSE {
            let fits =
                |other: usize| self.children[other].len() + len <= full / SPARSE * (SPARSE - 1);
            let left = if at + 1 < self.len && fits(at + 1) {
                Some(at)
            } else if at > 0 && fits(at - 1) {
                Some(at - 1)
            } else {
                None
            };
            if let Some(left) = left {
                let count = self.counts[left + 1];
                let right = self.remove(left + 1);
                shape.forget(&right);
                self.counts[left] += count;
                self.children[left].append(right);
            }
        }
        at == 0 && first_changed
    }
}

/// How many nodes there are.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub leaves: usize,
    pub inners: usize,
}

impl Shape {
    pub fn forget(&mut self, node: &Node) {
        match node {
            Node::Leaf(_) => self.leaves -= 1,
            Node::Inner(_) => self.inners -= 1,
        }
    }
}
