//! A counted B+ tree over the members of a large sorted set, ordered by score, then by member.
//!
//! It holds no members: an element is a slot number (see [`super::slots`]). There is no node per member; 60 elements
//! share a leaf of half a kilobyte. Inner nodes know of each child how many elements it holds and which is the first,
//! so that an element's rank, the element of a rank, and the ends of a range take one walk down.
//!
//! # Hints
//! Looking an element's score up in its slot would cost a cache miss for each comparison. A leaf therefore keeps 32 bits
//! of each score: scores become integers of the same order ([`key_of`]), and the hint is how far that key is above the
//! leaf's base, in units of `1 << shift`. Equal hints decide nothing and the slots are asked, which is rare as long as the
//! unit fits the leaf. A score from outside what base and unit can express makes the unit coarser, which the hints
//! themselves are enough for; when a leaf splits and its halves would do with a finer unit, it is read from the slots anew.
//!
//! # Shape
//! A full node splits in the middle, or, where elements come in ascending or descending order, at its end, so that such
//! a tree is full rather than half full. A node less than a quarter full joins a neighbour if the two are at most three
//! quarters full together. All leaves are at the same depth.

use super::slots::Slots;
use crate::table::prefetch;
use crate::words::LINE;
use smallvec::SmallVec;
use std::ops::Range;

/// Elements of a leaf: as many as make it, with the allocator's own word, eight cache lines.
pub(super) const LEAF: usize = 60;
/// Children of an inner node.
const FANOUT: usize = 32;
/// Elements per leaf of a tree that is built at once: leaves some room.
const BUILT: usize = 56;
/// Children per inner node of a tree that is built at once.
const BUILT_INNER: usize = 28;
/// A node less than one part in this of full looks for a neighbour to join.
const SPARSE: usize = 4;
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
    /// Before or behind a member whatever its score, in a set whose scores are all the same.
    Lex { member: &'a [u8], after: bool },
}

impl Seek<'_> {
    #[inline]
    fn key(&self) -> Option<u64> {
        match *self {
            Seek::Score { key, .. } | Seek::Member { key, .. } => Some(key),
            Seek::Lex { .. } => None,
        }
    }

    /// Whether the element at `slot` comes before the place, its key being equal.
    #[inline]
    fn passes_equal(&self, slots: &Slots, slot: u32) -> bool {
        match *self {
            Seek::Score { after, .. } => after,
            Seek::Member { member, after, .. } | Seek::Lex { member, after } => {
                let this = slots.member(slot);
                if after { this <= member } else { this < member }
            }
        }
    }

    /// Whether the element at `slot` comes before the place.
    #[inline]
    fn passes(&self, slots: &Slots, slot: u32) -> bool {
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
struct Leaf {
    /// A multiple of the hints' unit.
    base: u64,
    len: u8,
    /// The hints' unit, as a power of two, at most 32.
    shift: u8,
    hints: [u32; LEAF],
    slots: [u32; LEAF],
}

const _: () = assert!(size_of::<Leaf>() <= 504);

/// Base and shift for hints of keys from `low` to `high`, no finer than `shift`.
fn unit(low: u64, high: u64, mut shift: u8) -> (u64, u8) {
    loop {
        let base = low >> shift << shift;
        if (high - base) >> shift <= u64::from(u32::MAX) {
            return (base, shift);
        }
        shift += 1;
    }
}

impl Leaf {
    fn new() -> Leaf {
        Leaf {
            base: 0,
            hints: [0; LEAF],
            slots: [0; LEAF],
            len: 0,
            shift: 0,
        }
    }

    fn len(&self) -> usize {
        self.len as usize
    }

    fn used(&self) -> &[u32] {
        &self.slots[..self.len()]
    }

    /// A leaf of these elements, which are in order.
    fn of(elements: &[(u64, u32)]) -> Leaf {
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
    fn top(&self) -> u64 {
        self.base
            .saturating_add(u64::from(u32::MAX) << self.shift | ((1 << self.shift) - 1))
    }

    /// Changes base and shift to others that can express at least what the hints say, at no finer unit.
    fn rebase(&mut self, base: u64, shift: u8) {
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
    fn cover(&mut self, low: u64, high: u64, shift: u8) {
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
    fn refine(&mut self, slots: &Slots) {
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

    /// How many elements come before a place.
    #[inline]
    fn position(&self, slots: &Slots, seek: &Seek<'_>) -> usize {
        let (mut low, mut high) = (0, self.len());
        if let Some(key) = seek.key() {
            if key < self.base {
                return 0;
            }
            let hint = (key - self.base) >> self.shift;
            if hint > u64::from(u32::MAX) {
                return high;
            }
            let hint = hint as u32;
            // All are compared: a leaf that is not in the cache arrives sooner if its lines are not asked for one after
            // the other, as a binary search would.
            low = self.hints[..high]
                .iter()
                .map(|&h| u32::from(h < hint))
                .sum::<u32>() as usize;
            high = low
                + self.hints[low..high]
                    .iter()
                    .take_while(|&&h| h == hint)
                    .count();
        }
        low + self.slots[low..high].partition_point(|&slot| seek.passes(slots, slot))
    }

    /// Whether the element at `at` may stay there with another key. Not at the leaf's ends: beyond them are neighbours
    /// that it does not know, and its first element's key is known further up, too.
    fn may_stay(&self, at: usize, key: u64, slots: &Slots) -> bool {
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
    fn insert(&mut self, at: usize, key: u64, slot: u32) {
        self.cover(key, key, 0);
        let len = self.len();
        self.hints.copy_within(at..len, at + 1);
        self.slots.copy_within(at..len, at + 1);
        self.hints[at] = ((key - self.base) >> self.shift) as u32;
        self.slots[at] = slot;
        self.len += 1;
    }

    fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.hints.copy_within(range.end..len, range.start);
        self.slots.copy_within(range.end..len, range.start);
        self.len -= range.len() as u8;
    }

    /// Cuts off the elements from `at` on.
    fn split(&mut self, at: usize, slots: &Slots) -> Leaf {
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
    fn append(&mut self, mut other: Leaf) {
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

#[derive(Clone, Debug)]
#[repr(C)]
struct Inner {
    len: usize,
    /// Of each child: the key and the slot of its first element, and how many it holds.
    keys: [u64; FANOUT],
    counts: [u32; FANOUT],
    firsts: [u32; FANOUT],
    children: SmallVec<[Node; FANOUT]>,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

impl Node {
    /// Elements or children.
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.len,
        }
    }

    /// The most it may have.
    fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF,
            Node::Inner(_) => FANOUT,
        }
    }

    /// Has all of it come into the cache at once, rather than line after line as it is looked at.
    #[inline]
    fn fetch(&self) {
        let (addr, size) = match self {
            Node::Leaf(leaf) => (&raw const **leaf as usize, size_of::<Leaf>()),
            Node::Inner(inner) => (&raw const **inner as usize, size_of::<Inner>()),
        };
        for line in (0..size).step_by(LINE) {
            prefetch(addr + line);
        }
    }

    /// Elements below.
    fn count(&self) -> u32 {
        match self {
            Node::Leaf(leaf) => u32::from(leaf.len),
            Node::Inner(inner) => inner.counts[..inner.len].iter().sum(),
        }
    }

    /// Key and slot of the first element. There must be one.
    fn first(&self, slots: &Slots) -> (u64, u32) {
        match self {
            Node::Leaf(leaf) => (key_of(slots.score(leaf.slots[0])), leaf.slots[0]),
            Node::Inner(inner) => (inner.keys[0], inner.firsts[0]),
        }
    }

    /// Appends a node of the same depth whose elements come later.
    fn append(&mut self, other: Node) {
        match (self, other) {
            (Node::Leaf(a), Node::Leaf(b)) => a.append(*b),
            (Node::Inner(a), Node::Inner(b)) => a.append(*b),
            _ => unreachable!("nodes side by side have the same depth"),
        }
    }
}

impl Inner {
    fn new() -> Inner {
        Inner {
            len: 0,
            keys: [0; FANOUT],
            firsts: [0; FANOUT],
            counts: [0; FANOUT],
            children: SmallVec::new(),
        }
    }

    /// How many children begin before a place.
    #[inline]
    fn position(&self, slots: &Slots, seek: &Seek<'_>) -> usize {
        let (mut low, mut high) = (0, self.len);
        if let Some(key) = seek.key() {
            // One key of each cache line at once, then those of one line.
            let lines = self.keys[..high]
                .iter()
                .step_by(8)
                .map(|&k| usize::from(k < key))
                .sum::<usize>();
            let line = lines.saturating_sub(1) * 8;
            let within = &self.keys[line..high.min(line + 8)];
            low = line + within.iter().map(|&k| usize::from(k < key)).sum::<usize>();
            high = low
                + self.keys[low..high]
                    .iter()
                    .take_while(|&&k| k == key)
                    .count();
        }
        low + self.firsts[low..high].partition_point(|&slot| seek.passes_equal(slots, slot))
    }

    /// Inserts a child where there is room.
    fn insert(&mut self, at: usize, child: Node, slots: &Slots) {
        let len = self.len;
        self.keys.copy_within(at..len, at + 1);
        self.firsts.copy_within(at..len, at + 1);
        self.counts.copy_within(at..len, at + 1);
        (self.keys[at], self.firsts[at]) = child.first(slots);
        self.counts[at] = child.count();
        self.children.insert(at, child);
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> Node {
        let len = self.len;
        self.keys.copy_within(at + 1..len, at);
        self.firsts.copy_within(at + 1..len, at);
        self.counts.copy_within(at + 1..len, at);
        self.len -= 1;
        self.children.remove(at)
    }

    fn split(&mut self, at: usize) -> Inner {
        let mut right = Inner::new();
        right.len = self.len - at;
        right.keys[..right.len].copy_from_slice(&self.keys[at..self.len]);
        right.firsts[..right.len].copy_from_slice(&self.firsts[at..self.len]);
        right.counts[..right.len].copy_from_slice(&self.counts[at..self.len]);
        right.children.extend(self.children.drain(at..));
        self.len = at;
        right
    }

    fn append(&mut self, other: Inner) {
        let (len, moved) = (self.len, other.len);
        self.keys[len..len + moved].copy_from_slice(&other.keys[..moved]);
        self.firsts[len..len + moved].copy_from_slice(&other.firsts[..moved]);
        self.counts[len..len + moved].copy_from_slice(&other.counts[..moved]);
        self.children.extend(other.children);
        self.len += moved;
    }

    /// The child that holds the element of a rank below this node, and how many elements come before that child.
    #[inline]
    fn child_of_rank(&self, rank: usize) -> (usize, usize) {
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
    fn mend(&mut self, at: usize, first_changed: bool, slots: &Slots, shape: &mut Shape) -> bool {
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
struct Shape {
    leaves: usize,
    inners: usize,
}

impl Shape {
    fn forget(&mut self, node: &Node) {
        match node {
            Node::Leaf(_) => self.leaves -= 1,
            Node::Inner(_) => self.inners -= 1,
        }
    }
}

/// See the module's page. Every method needs the slots that the elements are in.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
    shape: Shape,
    len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Tree {
            root: Node::Leaf(Box::new(Leaf::new())),
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
    key: u64,
    slot: u32,
    seek: Seek<'a>,
}

/// What a removal takes along on its way down.
struct Removal<'a> {
    /// Behind the element.
    seek: Seek<'a>,
    slot: u32,
    /// The element may stay, with this key, if it need not move for it.
    new_key: Option<u64>,
}

/// What became of an element that was to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Stays,
    /// Removed; whether it was the node's first.
    Out(bool),
}

impl Tree {
    /// A tree of elements that are in order.
    pub fn from_sorted(elements: &[(u64, u32)], slots: &Slots) -> Tree {
        if elements.is_empty() {
            return Tree::default();
        }
        let mut shape = Shape::default();
        let mut level: Vec<Node> = evenly(elements.len(), BUILT)
            .map(|range| Node::Leaf(Box::new(Leaf::of(&elements[range]))))
            .collect();
        shape.leaves = level.len();
        while level.len() > 1 {
            let ranges = evenly(level.len(), BUILT_INNER);
            let mut children = level.into_iter();
            level = ranges
                .map(|range| {
                    let mut inner = Inner::new();
                    for child in children.by_ref().take(range.len()) {
                        inner.insert(inner.len, child, slots);
                    }
                    Node::Inner(Box::new(inner))
                })
                .collect();
            shape.inners += level.len();
        }
        let root = level
            .pop()
            .unwrap_or_else(|| Node::Leaf(Box::new(Leaf::new())));
        Tree {
            root,
            shape,
            len: elements.len(),
        }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes it owns.
    pub fn memory(&self) -> usize {
        self.shape.leaves * size_of::<Leaf>() + self.shape.inners * size_of::<Inner>()
    }

    /// Has the way to where a key stands come into the cache, without waiting for its last step.
    pub fn fetch(&self, slots: &Slots, key: u64) {
        let seek = Seek::Score { key, after: false };
        let mut node = &self.root;
        while let Node::Inner(inner) = node {
            node = &inner.children[inner.position(slots, &seek).saturating_sub(1)];
            node.fetch();
        }
    }

    /// Inserts an element, which must not be there.
    pub fn insert(&mut self, slots: &Slots, slot: u32) {
        let key = key_of(slots.score(slot));
        let seek = Seek::Member {
            key,
            member: slots.member(slot),
            after: false,
        };
        let new = Insertion { key, slot, seek };
        self.len += 1;
        if let Some(right) = insert(&mut self.root, slots, &new, true, true, &mut self.shape) {
            let mut root = Inner::new();
            let left = std::mem::replace(&mut self.root, Node::Leaf(Box::new(Leaf::new())));
            root.insert(0, left, slots);
            root.insert(1, right, slots);
            self.root = Node::Inner(Box::new(root));
            self.shape.inners += 1;
        }
    }

    /// Removes an element, which must be there, its slot still as it was.
    pub fn remove(&mut self, slots: &Slots, slot: u32) {
        self.take_out(slots, slot, None);
    }

    /// Prepares an element, whose slot is still as it was, for another score: puts it right if it may stay between its
    /// neighbours in its leaf, and removes it if not. Returns whether it was removed.
    pub fn rescore(&mut self, slots: &Slots, slot: u32, score: f64) -> bool {
        self.take_out(slots, slot, Some(key_of(score)))
    }

    fn take_out(&mut self, slots: &Slots, slot: u32, new_key: Option<u64>) -> bool {
        let key = key_of(slots.score(slot));
        let seek = Seek::Member {
            key,
            member: slots.member(slot),
            after: true,
        };
        let removal = Removal {
            seek,
            slot,
            new_key,
        };
        if take_out(&mut self.root, slots, &removal, &mut self.shape) == Taken::Stays {
            return false;
        }
        self.len -= 1;
        self.lower_root();
        true
    }

    /// Removes up to `n` elements from a rank on, as many as are in one leaf, and returns their slots, still as they
    /// were.
    pub fn remove_run(&mut self, slots: &Slots, rank: usize, n: usize) -> Run {
        let mut run = SmallVec::new();
        if rank < self.len && n > 0 {
            remove_run(&mut self.root, slots, rank, n, &mut run, &mut self.shape);
            self.len -= run.len();
            self.lower_root();
        }
        run
    }

    /// Takes away roots with a single child.
    fn lower_root(&mut self) {
        while let Node::Inner(inner) = &mut self.root {
            let child = match inner.len {
                0 => {
                    self.shape.leaves += 1;
                    Node::Leaf(Box::new(Leaf::new()))
                }
                1 => inner.remove(0),
                _ => break,
            };
            self.shape.inners -= 1;
            self.root = child;
        }
    }

    /// How many elements come before a place.
    pub fn rank(&self, slots: &Slots, seek: &Seek<'_>) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.position(slots, seek),
                Node::Inner(inner) => {
                    let n = inner.position(slots, seek);
                    if n == 0 {
                        return rank;
                    }
                    rank += inner.counts[..n - 1]
                        .iter()
                        .map(|&c| c as usize)
                        .sum::<usize>();
                    node = &inner.children[n - 1];
                    node.fetch();
                }
            }
        }
    }

    /// The slot of the element of a rank, below [`Tree::len`].
    pub fn at(&self, rank: usize) -> u32 {
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.slots[rank],
                Node::Inner(inner) => {
                    let (at, before) = inner.child_of_rank(rank);
                    rank -= before;
                    node = &inner.children[at];
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
        check(&self.root, slots, true, &mut shape, &mut all);
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
    slots: &Slots,
    new: &Insertion<'_>,
    first: bool,
    last: bool,
    shape: &mut Shape,
) -> Option<Node> {
    match node {
        Node::Leaf(leaf) => {
            let at = leaf.position(slots, &new.seek);
            let len = leaf.len();
            if len < LEAF {
                leaf.insert(at, new.key, new.slot);
                return None;
            }
            shape.leaves += 1;
            let mut right = if last && at == len {
                Leaf::new()
            } else if first && at == 0 {
                std::mem::replace(&mut **leaf, Leaf::new())
            } else {
                leaf.split(len / 2, slots)
            };
            let half = leaf.len();
            if at > half || (half == len && at == len) {
                right.insert(at - half, new.key, new.slot);
            } else {
                leaf.insert(at, new.key, new.slot);
            }
            Some(Node::Leaf(Box::new(right)))
        }
        Node::Inner(inner) => {
            let n = inner.position(slots, &new.seek);
            let at = n.saturating_sub(1);
            if n == 0 {
                (inner.keys[0], inner.firsts[0]) = (new.key, new.slot);
            }
            inner.counts[at] += 1;
            let (first, last) = (first && at == 0, last && at + 1 == inner.len);
            inner.children[at].fetch();
            let split = insert(&mut inner.children[at], slots, new, first, last, shape)?;
            inner.counts[at] -= split.count();
            let at = at + 1;
            if inner.len < FANOUT {
                inner.insert(at, split, slots);
                return None;
            }
            shape.inners += 1;
            let mut right = inner.split(if last { FANOUT } else { FANOUT / 2 });
            let half = inner.len;
            if at > half || half == FANOUT {
                right.insert(at - half, split, slots);
            } else {
                inner.insert(at, split, slots);
            }
            Some(Node::Inner(Box::new(right)))
        }
    }
}

/// Removes an element below a node.
fn take_out(node: &mut Node, slots: &Slots, removal: &Removal<'_>, shape: &mut Shape) -> Taken {
    match node {
        Node::Leaf(leaf) => {
            let at = leaf.position(slots, &removal.seek) - 1;
            assert_eq!(
                leaf.slots[at], removal.slot,
                "the element to be removed is there"
            );
            if let Some(key) = removal.new_key
                && leaf.may_stay(at, key, slots)
            {
                leaf.hints[at] = ((key - leaf.base) >> leaf.shift) as u32;
                return Taken::Stays;
            }
            leaf.remove(at..at + 1);
            Taken::Out(at == 0)
        }
        Node::Inner(inner) => {
            let at = inner.position(slots, &removal.seek) - 1;
            inner.children[at].fetch();
            match take_out(&mut inner.children[at], slots, removal, shape) {
                Taken::Stays => Taken::Stays,
                Taken::Out(first_changed) => {
                    inner.counts[at] -= 1;
                    Taken::Out(inner.mend(at, first_changed, slots, shape))
                }
            }
        }
    }
}

/// Removes up to `n` elements from a rank on. Returns whether the node's first is among them.
fn remove_run(
    node: &mut Node,
    slots: &Slots,
    rank: usize,
    n: usize,
    run: &mut Run,
    shape: &mut Shape,
) -> bool {
    match node {
        Node::Leaf(leaf) => {
            let end = leaf.len().min(rank.saturating_add(n));
            run.extend_from_slice(&leaf.slots[rank..end]);
            leaf.remove(rank..end);
            rank == 0
        }
        Node::Inner(inner) => {
            let (at, before) = inner.child_of_rank(rank);
            let had = run.len();
            let first_changed =
                remove_run(&mut inner.children[at], slots, rank - before, n, run, shape);
            inner.counts[at] -= (run.len() - had) as u32;
            inner.mend(at, first_changed, slots, shape)
        }
    }
}

#[cfg(test)]
fn check(
    node: &Node,
    slots: &Slots,
    is_root: bool,
    shape: &mut Shape,
    all: &mut Vec<u32>,
) -> usize {
    assert!(is_root || node.len() > 0, "no empty node but the root");
    match node {
        Node::Leaf(leaf) => {
            shape.leaves += 1;
            assert_eq!(leaf.base & ((1 << leaf.shift) - 1), 0);
            for (i, &slot) in leaf.used().iter().enumerate() {
                let key = key_of(slots.score(slot));
                assert!(key >= leaf.base && key <= leaf.top());
                assert_eq!(u64::from(leaf.hints[i]), (key - leaf.base) >> leaf.shift);
            }
            all.extend_from_slice(leaf.used());
            1
        }
        Node::Inner(inner) => {
            shape.inners += 1;
            assert_eq!(inner.children.len(), inner.len);
            let mut depths = Vec::new();
            for (i, child) in inner.children.iter().enumerate() {
                let before = all.len();
                depths.push(check(child, slots, false, shape, all));
                assert_eq!(inner.counts[i] as usize, all.len() - before);
                assert_eq!(inner.firsts[i], all[before]);
                assert_eq!(inner.keys[i], key_of(slots.score(all[before])));
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
            match node {
                Node::Leaf(leaf) => {
                    (self.leaf, self.at) = (leaf.used(), rank);
                    return;
                }
                Node::Inner(inner) => {
                    let (at, before) = inner.child_of_rank(rank);
                    self.path.push((inner, at));
                    rank -= before;
                    node = &inner.children[at];
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
                Some(at + 1).filter(|&n| n < inner.len)
            };
            if let Some(next) = next {
                self.path.push((inner, next));
                let rank = if self.downwards {
                    inner.counts[next] as usize - 1
                } else {
                    0
                };
                self.descend(&inner.children[next], rank);
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
