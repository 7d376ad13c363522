//! Nodes, and inner ones: of each child where it begins and how much it holds.

use super::hints::{Element, Elements, Hints, Place};
use super::leaf::{LEAF, Leaf};
use crate::mem::either::{Either, EitherBox};
use crate::mem::prefetch;
use crate::mem::words::LINE;
use std::mem::offset_of;
use std::ops::Range;

/// Children of an inner node: as many as have their hints in four cache lines. With half as many a large tree is a level deeper, and each
/// level costs more than two lines that come together.
pub const FANOUT: usize = 60;
/// A node less than one part in this of full looks for a neighbour to join.
pub const SPARSE: usize = 4;

/// In this order in memory, as for leaves.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Inner {
    /// Of each child's first element.
    hints: Hints<FANOUT>,
    /// Of each child: how many elements it holds.
    pub counts: [u32; FANOUT],
    /// The slot of its first one.
    pub firsts: [u32; FANOUT],
    children: [Option<Node>; FANOUT],
}

/// What every search looks at of an inner node and of a leaf.
const OF_INNER: Range<usize> = 0..offset_of!(Inner, counts);
const OF_LEAF: Range<usize> = 0..offset_of!(Leaf, slots);

/// A leaf on the left or an inner node on the right.
#[derive(Clone, Debug)]
pub struct Node(EitherBox<Leaf, Inner>);

/// What a node is.
pub type Kind<'a> = Either<&'a Leaf, &'a Inner>;

impl Node {
    pub fn leaf(leaf: Leaf) -> Node {
        Node(EitherBox::left(Box::new(leaf)))
    }

    pub fn inner(inner: Inner) -> Node {
        Node(EitherBox::right(Box::new(inner)))
    }

    #[inline]
    pub fn get(&self) -> Kind<'_> {
        self.0.get()
    }

    #[inline]
    pub fn get_mut(&mut self) -> Either<&mut Leaf, &mut Inner> {
        self.0.get_mut()
    }

    /// Elements or children.
    pub fn len(&self) -> usize {
        match self.get() {
            Either::Left(leaf) => leaf.len(),
            Either::Right(inner) => inner.len(),
        }
    }

    /// The most it may have.
    pub fn capacity(&self) -> usize {
        match self.get() {
            Either::Left(_) => LEAF,
            Either::Right(_) => FANOUT,
        }
    }

    /// Has what a search looks at come into the cache at once, rather than line after line.
    #[inline]
    pub fn fetch(&self) {
        self.fetch_parts(0..size_of::<Leaf>());
    }

    /// The same, but of a leaf only its hints: [`Leaf::fetch_slots`] goes on once it is known which slots matter.
    #[inline]
    pub fn fetch_hints(&self) {
        self.fetch_parts(OF_LEAF);
    }

    #[inline]
    fn fetch_parts(&self, of_leaf: Range<usize>) {
        let (addr, part) = match self.get() {
            Either::Left(leaf) => (std::ptr::from_ref(leaf).addr(), of_leaf),
            Either::Right(inner) => (std::ptr::from_ref(inner).addr(), OF_INNER),
        };
        for line in part.step_by(LINE) {
            prefetch(addr + line);
        }
    }

    /// Elements below.
    pub fn count(&self) -> u32 {
        match self.get() {
            Either::Left(leaf) => leaf.len() as u32,
            Either::Right(inner) => inner.counts[..inner.len()].iter().sum(),
        }
    }

    /// The slot of the first element. There must be one.
    pub fn first(&self) -> u32 {
        match self.get() {
            Either::Left(leaf) => leaf.slots[0],
            Either::Right(inner) => inner.firsts[0],
        }
    }

    /// Appends a node of the same depth whose elements come later.
    pub fn append(&mut self, other: Node) {
        match (self.get_mut(), other.0.into_inner()) {
            (Either::Left(a), Either::Left(b)) => a.append(*b),
            (Either::Right(a), Either::Right(b)) => a.append(*b),
            _ => unreachable!("nodes side by side have the same depth"),
        }
    }
}

impl Inner {
    pub fn new() -> Inner {
        Inner {
            hints: Hints::new(),
            firsts: [0; FANOUT],
            counts: [0; FANOUT],
            children: [const { None }; FANOUT],
        }
    }

    /// Number of children.
    #[inline]
    pub fn len(&self) -> usize {
        self.hints.len()
    }

    #[inline]
    pub fn child(&self, at: usize) -> &Node {
        self.children[at].as_ref().expect("a child")
    }

    /// The child with this number, if there is one.
    #[inline]
    pub fn any_child(&self, at: usize) -> Option<&Node> {
        self.children.get(at)?.as_ref()
    }

    #[inline]
    pub fn child_mut(&mut self, at: usize) -> &mut Node {
        self.children[at].as_mut().expect("a child")
    }

    /// The children of which the hints do not tell whether they begin before a place: all before them do, none behind them does.
    #[inline]
    pub fn open(&self, place: &Place<'_>) -> Range<usize> {
        place.seek.behind(&self.firsts, self.hints.open(place))
    }

    /// How many children begin before a place.
    #[inline]
    pub fn position(&self, elements: Elements<'_>, place: &Place<'_>) -> usize {
        let open = self.open(place);
        open.start
            + self.firsts[open].partition_point(|&slot| place.seek.passes(elements.slots, slot))
    }

    /// Has what is known of a child come into the cache.
    #[inline]
    pub fn fetch_child(&self, at: usize) {
        prefetch(&raw const self.counts[at] as usize);
        prefetch(&raw const self.children[at] as usize);
    }

    /// Notes that a child begins with another element.
    pub fn set_first(&mut self, at: usize, first: &Element, elements: Elements<'_>) {
        self.freshen(elements);
        self.firsts[at] = first.slot;
        self.hints.set(at, first, elements.prefix);
    }

    fn freshen(&mut self, elements: Elements<'_>) {
        self.hints
            .freshen(&self.firsts[..self.hints.len()], elements);
    }

    /// Inserts a child where there is room.
    pub fn insert(&mut self, at: usize, child: Node, elements: Elements<'_>) {
        self.freshen(elements);
        let len = self.len();
        let first = elements.get(child.first());
        self.hints.insert(at, &first, elements.prefix);
        self.firsts.copy_within(at..len, at + 1);
        self.firsts[at] = first.slot;
        self.counts.copy_within(at..len, at + 1);
        self.counts[at] = child.count();
        self.children[at..=len].rotate_right(1);
        self.children[at] = Some(child);
    }

    pub fn remove(&mut self, at: usize) -> Node {
        let len = self.len();
        self.hints.remove(at..at + 1);
        self.firsts.copy_within(at + 1..len, at);
        self.counts.copy_within(at + 1..len, at);
        let child = self.children[at].take();
        self.children[at..len].rotate_left(1);
        child.expect("a child")
    }

    /// Cuts off the children from `at` on.
    pub fn split(&mut self, at: usize, elements: Elements<'_>) -> Inner {
        let mut right = Inner::new();
        let moved = self.len() - at;
        right.firsts[..moved].copy_from_slice(&self.firsts[at..at + moved]);
        right.counts[..moved].copy_from_slice(&self.counts[at..at + moved]);
        right.children[..moved].swap_with_slice(&mut self.children[at..at + moved]);
        right.hints = self.hints.split(at);
        for half in [self, &mut right] {
            half.hints
                .refine(&half.firsts[..half.hints.len()], elements);
        }
        right
    }

    pub fn append(&mut self, mut other: Inner) {
        let (len, moved) = (self.len(), other.len());
        self.firsts[len..len + moved].copy_from_slice(&other.firsts[..moved]);
        self.counts[len..len + moved].copy_from_slice(&other.counts[..moved]);
        self.children[len..len + moved].swap_with_slice(&mut other.children[..moved]);
        self.hints.append(other.hints);
    }

    /// How many elements come before a child's.
    #[inline]
    pub fn before(&self, child: usize) -> usize {
        let counts = self.counts[..child].iter();
        counts.map(|&count| count as usize).sum()
    }

    /// The child that holds the element of a rank below this node, and how many elements come before that child.
    #[inline]
    pub fn child_of_rank(&self, rank: usize) -> (usize, usize) {
        let mut before = 0;
        for (i, &count) in self.counts[..self.len()].iter().enumerate() {
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
        elements: Elements<'_>,
        shape: &mut Shape,
    ) -> bool {
        let child = self.child(at);
        let (len, full) = (child.len(), child.capacity());
        if len == 0 {
            shape.forget(&self.remove(at));
            return at == 0;
        }
        if first_changed {
            let first = elements.get(child.first());
            self.set_first(at, &first, elements);
        }
        if len < full / SPARSE {
            let fits = |other: usize| self.child(other).len() + len <= full / SPARSE * (SPARSE - 1);
            let left = if at + 1 < self.len() && fits(at + 1) {
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
                self.child_mut(left).append(right);
            }
        }
        at == 0 && first_changed
    }

    /// Checks that the hints are those of the first elements.
    #[cfg(test)]
    pub fn check(&self, elements: Elements<'_>) {
        self.hints.check(&self.firsts[..self.len()], elements);
        let used = self.children.iter().take_while(|child| child.is_some());
        assert_eq!(used.count(), self.len());
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
        match node.get() {
            Either::Left(_) => self.leaves -= 1,
            Either::Right(_) => self.inners -= 1,
        }
    }
}
