//! A counted B+ tree over the members of a large sorted set, ordered by score, then by member.
//!
//! It holds no members: an element is a slot number (see [`super::slots`]). There is no node per member; 60 elements
//! share a leaf of half a kilobyte. Inner nodes know of each child how many elements it holds and which is the first,
//! so that an element's rank, the element of a rank, and the ends of a range take one walk down.
//!
//! # Shape
//! A full node splits in the middle, or, where elements come in ascending or descending order, at its end, so that such
//! a tree is full rather than half full. A node less than a quarter full joins a neighbour if the two are at most three
//! quarters full together. All leaves are at the same depth.

mod ahead;
mod hints;
mod leaf;
mod node;
mod way;

pub use hints::{Element, Prefix, Seek, key_of};
pub use way::Way;

use super::slots::Slots;
use crate::mem::either::Either;
use hints::{Elements, Place};
use leaf::{LEAF, Leaf};
use node::{FANOUT, Inner, Node, Shape};
use smallvec::SmallVec;
use std::ops::Range;

/// Elements per leaf of a tree that is built at once: leaves some room.
const BUILT: usize = 56;
/// Children per inner node of a tree that is built at once.
const BUILT_INNER: usize = 56;

/// See the module's page. Every method needs the slots that the elements are in.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
    prefix: Prefix,
    shape: Shape,
    len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Tree {
            root: Node::leaf(Leaf::new()),
            prefix: Prefix::default(),
            shape: Shape {
                leaves: 1,
                inners: 0,
            },
            len: 0,
        }
    }
}

/// Slots of elements that have been removed together.
pub type Run = SmallVec<[u32; 64]>;

/// What an insertion takes along on its way down.
struct Insertion<'a> {
    element: Element,
    place: Place<'a>,
}

/// What a removal takes along on its way down.
struct Removal<'a> {
    /// Behind the element.
    place: Place<'a>,
    slot: u32,
    /// What it becomes, in whose stead it may stay if it need not move for that.
    new: Option<Element>,
}

/// What became of an element that was to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Stays,
    /// Removed; whether it was the node's first.
    Out(bool),
}

impl Tree {
    /// A tree of elements that are in order, whose members have this prefix.
    pub fn from_sorted(all: &[Element], prefix: Prefix, slots: &Slots) -> Tree {
        if all.is_empty() {
            return Tree::default();
        }
        let elements = Elements {
            slots,
            prefix: &prefix,
        };
        let mut shape = Shape::default();
        let mut level: Vec<Node> = evenly(all.len(), BUILT)
            .map(|range| Node::leaf(Leaf::of(&all[range], &prefix)))
            .collect();
        shape.leaves = level.len();
        while level.len() > 1 {
            let ranges = evenly(level.len(), BUILT_INNER);
            let mut children = level.into_iter();
            level = ranges
                .map(|range| {
                    let mut inner = Inner::new();
                    for child in children.by_ref().take(range.len()) {
                        inner.insert(inner.len(), child, elements);
                    }
                    Node::inner(inner)
                })
                .collect();
            shape.inners += level.len();
        }
        let root = level.pop().unwrap_or_else(|| Node::leaf(Leaf::new()));
        Tree {
            root,
            prefix,
            shape,
            len: all.len(),
        }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes it owns.
    pub fn memory(&self) -> usize {
        self.shape.leaves * size_of::<Leaf>()
            + self.shape.inners * size_of::<Inner>()
            + self.prefix.memory()
    }

    fn elements<'a>(&'a self, slots: &'a Slots) -> Elements<'a> {
        Elements {
            slots,
            prefix: &self.prefix,
        }
    }

    /// Has the way to where a key stands come into the cache, without waiting for its last step.
    pub fn fetch(&self, slots: &Slots, key: u64) {
        let elements = self.elements(slots);
        let seek = Seek::Score { key, after: false };
        let place = elements.place(&seek);
        let mut node = &self.root;
        while let Either::Right(inner) = node.get() {
            node = inner.child(inner.position(elements, &place).saturating_sub(1));
            node.fetch();
        }
    }

    /// Inserts an element, which must not be there, and whose place `way` may lead to.
    pub fn insert(&mut self, slots: &Slots, slot: u32, way: Way) {
        let member = slots.member(slot);
        self.prefix.cover(member);
        if let Either::Left(leaf) = self.root.get_mut()
            && leaf.len() == LEAF
        {
            // There are members enough to say what all of them begin with.
            let members = leaf.used().iter().map(|&slot| slots.member(slot));
            self.prefix = Prefix::of(members.chain([member]));
            let elements = Elements {
                slots,
                prefix: &self.prefix,
            };
            leaf.hints.read(&leaf.slots, elements);
        }
        let elements = Elements {
            slots,
            prefix: &self.prefix,
        };
        let element = elements.get(slot);
        let seek = Seek::Member {
            key: element.key,
            member,
            after: false,
        };
        let place = elements.place_of(&seek, &element);
        let new = Insertion { element, place };
        self.len += 1;
        if way.insert(&mut self.root, elements, &new) {
            return;
        }
        if let Some(right) = insert(&mut self.root, elements, &new, true, true, &mut self.shape) {
            let mut root = Inner::new();
            let left = std::mem::replace(&mut self.root, Node::leaf(Leaf::new()));
            root.insert(0, left, elements);
            root.insert(1, right, elements);
            self.root = Node::inner(root);
            self.shape.inners += 1;
        }
    }

    /// Removes an element, which must be there, its slot still as it was. `way` may lead to it.
    pub fn remove(&mut self, slots: &Slots, slot: u32, way: Way) {
        self.take_out(slots, slot, None, way);
    }

    /// Prepares an element, whose slot is still as it was, for another score: puts it right if it may stay between its
    /// neighbours in its leaf, and removes it if not. Returns whether it was removed. `way` may lead to where it is.
    pub fn rescore(&mut self, slots: &Slots, slot: u32, score: f64, way: Way) -> bool {
        self.take_out(slots, slot, Some(key_of(score)), way)
    }

    fn take_out(&mut self, slots: &Slots, slot: u32, new_key: Option<u64>, way: Way) -> bool {
        let elements = Elements {
            slots,
            prefix: &self.prefix,
        };
        let old = elements.get(slot);
        let seek = Seek::Element {
            key: old.key,
            member: slots.member(slot),
            slot,
        };
        let removal = Removal {
            place: elements.place_of(&seek, &old),
            slot,
            new: new_key.map(|key| Element { key, ..old }),
        };
        let taken = match way.take_out(&mut self.root, elements, &removal) {
            Some(taken) => taken,
            None => {
                let taken = take_out(&mut self.root, elements, &removal, &mut self.shape);
                self.lower_root();
                taken
            }
        };
        let is_out = taken != Taken::Stays;
        self.len -= usize::from(is_out);
        is_out
    }

    /// Removes up to `n` elements from a rank on, as many as are in one leaf, and returns their slots, still as they
    /// were.
    pub fn remove_run(&mut self, slots: &Slots, rank: usize, n: usize) -> Run {
        let mut run = SmallVec::new();
        if rank < self.len && n > 0 {
            let elements = Elements {
                slots,
                prefix: &self.prefix,
            };
            let (root, shape) = (&mut self.root, &mut self.shape);
            remove_run(root, elements, rank, n, &mut run, shape);
            self.len -= run.len();
            self.lower_root();
        }
        run
    }

    /// Takes away roots with a single child.
    fn lower_root(&mut self) {
        while let Either::Right(inner) = self.root.get_mut() {
            let child = match inner.len() {
                0 => {
                    self.shape.leaves += 1;
                    Node::leaf(Leaf::new())
                }
                1 => inner.remove(0),
                _ => break,
            };
            self.shape.inners -= 1;
            self.root = child;
        }
    }

    /// How many elements come before an element, which must be there. `way` may lead to it.
    pub fn rank_of(&self, slots: &Slots, slot: u32, way: Way) -> usize {
        let elements = self.elements(slots);
        let element = elements.get(slot);
        let seek = Seek::Element {
            key: element.key,
            member: slots.member(slot),
            slot,
        };
        let place = elements.place_of(&seek, &element);
        way.rank(&self.root, elements, &place, slot)
            // It counts itself among those before the place behind it.
            .unwrap_or_else(|| self.rank(slots, &seek) - 1)
    }

    /// How many elements come before a place.
    pub fn rank(&self, slots: &Slots, seek: &Seek<'_>) -> usize {
        let elements = self.elements(slots);
        let place = elements.place(seek);
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node.get() {
                Either::Left(leaf) => return rank + leaf.position(elements, &place),
                Either::Right(inner) => {
                    let n = inner.position(elements, &place);
                    if n == 0 {
                        return rank;
                    }
                    rank += inner.before(n - 1);
                    node = inner.child(n - 1);
                    node.fetch();
                }
            }
        }
    }

    /// The slot of the element of a rank, below [`Tree::len`].
    pub fn at(&self, rank: usize) -> u32 {
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            match node.get() {
                Either::Left(leaf) => return leaf.slots[rank],
                Either::Right(inner) => {
                    let (at, before) = inner.child_of_rank(rank);
                    rank -= before;
                    node = inner.child(at);
                }
            }
        }
    }

    /// The slots of the elements of these ranks, upwards or downwards.
    pub fn walk(&self, ranks: Range<usize>, downwards: bool) -> Walk<'_> {
        let ranks = ranks.start..ranks.end.min(self.len);
        let mut walk = Walk {
            path: SmallVec::new(),
            leaf: &[],
            at: 0,
            left: ranks.len(),
            downwards,
        };
        if walk.left > 0 {
            walk.descend(
                &self.root,
                if downwards {
                    ranks.end - 1
                } else {
                    ranks.start
                },
            );
        }
        walk
    }

    /// Checks what must always hold.
    #[cfg(test)]
    pub(super) fn check(&self, slots: &Slots) {
        let mut shape = Shape::default();
        let mut all = Vec::new();
        check(&self.root, self.elements(slots), true, &mut shape, &mut all);
        assert_eq!(all.len(), self.len);
        assert_eq!(
            (shape.leaves, shape.inners),
            (self.shape.leaves, self.shape.inners)
        );
        let sorted = |pair: &[u32]| {
            let place = |slot| (key_of(slots.score(slot)), slots.member(slot));
            place(pair[0]) < place(pair[1])
        };
        assert!(all.windows(2).all(sorted));
    }
}

/// Cuts `n` things into parts of almost the same size, at most `size` each.
fn evenly(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = n.div_ceil(size);
    (0..parts).map(move |i| i * n / parts..(i + 1) * n / parts)
}

/// Inserts below a node, of which `first` and `last` say whether it is at the tree's edge. Returns the node's second
/// half if it had to be split.
fn insert(
    node: &mut Node,
    elements: Elements<'_>,
    new: &Insertion<'_>,
    first: bool,
    last: bool,
    shape: &mut Shape,
) -> Option<Node> {
    match node.get_mut() {
        Either::Left(leaf) => {
            leaf.freshen(elements);
            let at = leaf.position(elements, &new.place);
            let len = leaf.len();
            if len < LEAF {
                leaf.insert(at, &new.element, elements.prefix);
                return None;
            }
            shape.leaves += 1;
            let mut right = if last && at == len {
                Leaf::new()
            } else if first && at == 0 {
                std::mem::replace(leaf, Leaf::new())
            } else {
                leaf.split(len / 2, elements)
            };
            let half = leaf.len();
            if at > half || (half == len && at == len) {
                right.insert(at - half, &new.element, elements.prefix);
            } else {
                leaf.insert(at, &new.element, elements.prefix);
            }
            Some(Node::leaf(right))
        }
        Either::Right(inner) => {
            let n = inner.position(elements, &new.place);
            let at = n.saturating_sub(1);
            if n == 0 {
                inner.set_first(0, &new.element, elements);
            }
            inner.counts[at] += 1;
            let (first, last) = (first && at == 0, last && at + 1 == inner.len());
            let child = inner.child_mut(at);
            child.fetch();
            let split = insert(child, elements, new, first, last, shape)?;
            inner.counts[at] -= split.count();
            let at = at + 1;
            if inner.len() < FANOUT {
                inner.insert(at, split, elements);
                return None;
            }
            shape.inners += 1;
            let half = if last { FANOUT } else { FANOUT / 2 };
            let mut right = inner.split(half, elements);
            if at > half || half == FANOUT {
                right.insert(at - half, split, elements);
            } else {
                inner.insert(at, split, elements);
            }
            Some(Node::inner(right))
        }
    }
}

/// Removes an element below a node.
fn take_out(
    node: &mut Node,
    elements: Elements<'_>,
    removal: &Removal<'_>,
    shape: &mut Shape,
) -> Taken {
    match node.get_mut() {
        Either::Left(leaf) => {
            let at = leaf.position(elements, &removal.place) - 1;
            assert_eq!(
                leaf.slots[at], removal.slot,
                "the element to be removed is there"
            );
            if let Some(new) = &removal.new
                && let Some(hint) = leaf.hints.may_stay(at, new, &leaf.slots, elements)
            {
                leaf.hints.put(at, hint);
                return Taken::Stays;
            }
            leaf.remove(at..at + 1);
            Taken::Out(at == 0)
        }
        Either::Right(inner) => {
            let at = inner.position(elements, &removal.place) - 1;
            let child = inner.child_mut(at);
            child.fetch();
            match take_out(child, elements, removal, shape) {
                Taken::Stays => Taken::Stays,
                Taken::Out(first_changed) => {
                    inner.counts[at] -= 1;
                    Taken::Out(inner.mend(at, first_changed, elements, shape))
                }
            }
        }
    }
}

/// Removes up to `n` elements from a rank on. Returns whether the node's first is among them.
fn remove_run(
    node: &mut Node,
    elements: Elements<'_>,
    rank: usize,
    n: usize,
    run: &mut Run,
    shape: &mut Shape,
) -> bool {
    match node.get_mut() {
        Either::Left(leaf) => {
            let end = leaf.len().min(rank.saturating_add(n));
            run.extend_from_slice(&leaf.slots[rank..end]);
            leaf.remove(rank..end);
            rank == 0
        }
        Either::Right(inner) => {
            let (at, before) = inner.child_of_rank(rank);
            let had = run.len();
            let child = inner.child_mut(at);
            let first_changed = remove_run(child, elements, rank - before, n, run, shape);
            inner.counts[at] -= (run.len() - had) as u32;
            inner.mend(at, first_changed, elements, shape)
        }
    }
}

#[cfg(test)]
fn check(
    node: &Node,
    elements: Elements<'_>,
    is_root: bool,
    shape: &mut Shape,
    all: &mut Vec<u32>,
) -> usize {
    assert!(is_root || node.len() > 0, "no empty node but the root");
    match node.get() {
        Either::Left(leaf) => {
            shape.leaves += 1;
            leaf.hints.check(leaf.used(), elements);
            all.extend_from_slice(leaf.used());
            1
        }
        Either::Right(inner) => {
            shape.inners += 1;
            inner.check(elements);
            let mut depths = Vec::new();
            for i in 0..inner.len() {
                let before = all.len();
                depths.push(check(inner.child(i), elements, false, shape, all));
                assert_eq!(inner.counts[i] as usize, all.len() - before);
                assert_eq!(inner.firsts[i], all[before]);
            }
            assert!(depths.windows(2).all(|d| d[0] == d[1]));
            1 + depths[0]
        }
    }
}

/// See [`Tree::walk`].
#[derive(Clone)]
pub struct Walk<'a> {
    /// The way down: nodes and which child was taken.
    path: SmallVec<[(&'a Inner, usize); 6]>,
    leaf: &'a [u32],
    at: usize,
    left: usize,
    downwards: bool,
}

impl<'a> Walk<'a> {
    fn descend(&mut self, from: &'a Node, rank: usize) {
        let (mut node, mut rank) = (from, rank);
        loop {
            match node.get() {
                Either::Left(leaf) => {
                    (self.leaf, self.at) = (leaf.used(), rank);
                    return;
                }
                Either::Right(inner) => {
                    let (at, before) = inner.child_of_rank(rank);
                    self.path.push((inner, at));
                    rank -= before;
                    node = inner.child(at);
                }
            }
        }
    }

    /// Goes to the next leaf in the walk's direction. There must be one.
    #[cold]
    fn turn_page(&mut self) {
        while let Some((inner, at)) = self.path.pop() {
            let next = if self.downwards {
                at.checked_sub(1)
            } else {
                Some(at + 1).filter(|&n| n < inner.len())
            };
            if let Some(next) = next {
                self.path.push((inner, next));
                let rank = if self.downwards {
                    inner.counts[next] as usize - 1
                } else {
                    0
                };
                self.descend(inner.child(next), rank);
                return;
            }
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let slot = self.leaf[self.at];
        if self.left > 0 {
            match (self.downwards, self.at) {
                (true, 0) => self.turn_page(),
                (true, at) => self.at = at - 1,
                (false, at) if at + 1 == self.leaf.len() => self.turn_page(),
                (false, at) => self.at = at + 1,
            }
        }
        Some(slot)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Walk<'_> {}
