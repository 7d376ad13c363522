//! Ways down the tree that a look ahead has found, so that the change they were looked for need not search again.
//!
//! A way is which child was taken on each level. It is a guess, not a promise: other changes may have come in between, and the tree may
//! even be another one. So whoever goes by it makes sure at its end: an element that stands in the leaf is there, and
//! a place between two elements of one leaf is nowhere else. What concerns more than a leaf and the counts above it, its first
//! element or its splitting and joining, takes the usual way.

use super::hints::{Elements, Place};
use super::leaf::{LEAF, Leaf};
use super::node::{Node, SPARSE};
use super::{Insertion, Removal, Taken};
use crate::mem::either::Either;

/// Which child was taken on each level, one more than its number in a byte each, the root's lowest. Where it ends there are
/// zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way(u64);

impl Way {
    /// None is known: leads nowhere in a tree of more than a leaf.
    pub const NONE: Way = Way(0);

    /// The way that goes on with this child on a level. A tree of more levels than there is room for has no ways.
    #[inline]
    pub fn then(self, level: u32, child: usize) -> Way {
        match (child as u64 + 1).checked_shl(8 * level) {
            Some(step) => Way(self.0 | step),
            None => Way::NONE,
        }
    }

    /// The child to take, and the way from there.
    #[inline]
    fn step(self) -> Option<(usize, Way)> {
        let child = (self.0 as u8).checked_sub(1)?;
        Some((child as usize, Way(self.0 >> 8)))
    }

    #[inline]
    fn leaf(self, root: &Node) -> Option<&Leaf> {
        let (mut node, mut way) = (root, self);
        loop {
            match node.get() {
                Either::Left(leaf) => return Some(leaf),
                Either::Right(inner) => {
                    let (child, rest) = way.step()?;
                    (node, way) = (inner.any_child(child)?, rest);
                }
            }
        }
    }

    /// The leaf, which is there, to be changed: it will have so many more elements, which may be `-1`.
    #[inline]
    fn leaf_mut(self, root: &mut Node, more: i32) -> &mut Leaf {
        let (mut node, mut way) = (root, self);
        loop {
            match node.get_mut() {
                Either::Left(leaf) => return leaf,
                Either::Right(inner) => {
                    let (child, rest) = way.step().expect("a way that has been gone");
                    inner.counts[child] = inner.counts[child].wrapping_add_signed(more);
                    (node, way) = (inner.child_mut(child), rest);
                }
            }
        }
    }

    /// How many elements come before an element, whose place is behind it, if it stands where the way leads.
    #[inline]
    pub(super) fn rank(
        self,
        root: &Node,
        elements: Elements<'_>,
        place: &Place<'_>,
        slot: u32,
    ) -> Option<usize> {
        let (mut node, mut way, mut rank) = (root, self, 0);
        loop {
            match node.get() {
                Either::Left(leaf) => {
                    let at = leaf.position(elements, place).checked_sub(1)?;
                    return (leaf.slots[at] == slot).then_some(rank + at);
                }
                Either::Right(inner) => {
                    let (child, rest) = way.step()?;
                    (node, way) = (inner.any_child(child)?, rest);
                    rank += inner.before(child);
                }
            }
        }
    }

    /// Removes an element if it stands where the way leads and nothing above its leaf changes but counts.
    #[inline]
    pub(super) fn take_out(
        self,
        root: &mut Node,
        elements: Elements<'_>,
        removal: &Removal<'_>,
    ) -> Option<Taken> {
        let leaf = self.leaf(root)?;
        let at = leaf.position(elements, &removal.place).checked_sub(1)?;
        if leaf.slots[at] != removal.slot {
            return None;
        }
        if let Some(new) = &removal.new
            && let Some(hint) = leaf.hints.may_stay(at, new, &leaf.slots, elements)
        {
            self.leaf_mut(root, 0).hints.put(at, hint);
            return Some(Taken::Stays);
        }
        if at == 0 || leaf.len() <= LEAF / SPARSE {
            return None;
        }
        self.leaf_mut(root, -1).remove(at..at + 1);
        Some(Taken::Out(false))
    }

    /// Inserts an element if its place is between two others where the way leads and there is room. Returns whether it
    /// did.
    #[inline]
    pub(super) fn insert(
        self,
        root: &mut Node,
        elements: Elements<'_>,
        new: &Insertion<'_>,
    ) -> bool {
        let Some(leaf) = self.leaf(root) else {
            return false;
        };
        let at = leaf.position(elements, &new.place);
        if at == 0 || at == leaf.len() || leaf.len() == LEAF || leaf.hints.is_stale(elements.prefix)
        {
            return false;
        }
        self.leaf_mut(root, 1)
            .insert(at, &new.element, elements.prefix);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::slots::Slots;
    use super::super::{Seek, Tree, key_of};
    use super::*;

    /// Whatever ways are given along, ones of before other changes and ones that lead anywhere, the tree stays in order; and those that
    /// were right are gone.
    #[test]
    fn ways_lead_where_they_led_or_are_not_gone() {
        let mut random = 1u64;
        let mut below = |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % n as u64) as usize
        };
        let (mut slots, mut tree) = (Slots::default(), Tree::default());
        let mut all: Vec<u32> = Vec::new();
        let (mut led, mut asked) = (0, 0);
        for round in 0..600 {
            // Grows to some thousands, and shrinks again.
            let (news, out) = if round < 400 { (40, 10) } else { (5, 60) };
            for _ in 0..news {
                let member = below(1 << 30).to_be_bytes();
                let slot = slots.insert(&member, below(2000) as f64);
                tree.insert(&slots, slot, Way(below(1 << 24) as u64));
                all.push(slot);
            }
            for _ in 0..out.min(all.len()) {
                let slot = all.swap_remove(below(all.len()));
                tree.remove(&slots, slot, Way(below(1 << 24) as u64));
                slots.remove(slot);
            }
            if all.is_empty() {
                continue;
            }
            let moves: Vec<(u32, f64)> = (0..32)
                .map(|_| (all[below(all.len())], below(2000) as f64))
                .collect();
            let seeks: Vec<Seek<'_>> = moves
                .iter()
                .flat_map(|&(slot, score)| {
                    let member = slots.member(slot);
                    let key = key_of(slots.score(slot));
                    let new = Seek::Member {
                        key: key_of(score),
                        member,
                        after: false,
                    };
                    [Seek::Element { key, member, slot }, new]
                })
                .collect();
            let mut ways = tree.fetch_all(&slots, &seeks);
            for way in &mut ways {
                if below(16) == 0 {
                    *way = Way(random_way(&mut below));
                }
            }
            for (&(slot, score), ways) in moves.iter().zip(ways.chunks(2)) {
                asked += 1;
                let there = ways[0].leaf(&tree.root);
                led += usize::from(there.is_some_and(|leaf| leaf.used().contains(&slot)));
                let is_out = tree.rescore(&slots, slot, score, ways[0]);
                slots.set_score(slot, score);
                if is_out {
                    tree.insert(&slots, slot, ways[1]);
                }
            }
            tree.check(&slots);
        }
        assert!(tree.len() < 2000 && asked > 15_000);
        assert!(led > asked / 10 * 7, "{led} of {asked} ways led there");
    }

    fn random_way(below: &mut impl FnMut(usize) -> usize) -> u64 {
        (0..8).fold(0, |way, _| way << 8 | below(64) as u64)
    }

    /// A leaf that becomes sparse joins a neighbour, whichever way its elements were found.
    #[test]
    fn sparse_leaves_join_where_ways_lead_to_them() {
        let (mut slots, mut tree) = (Slots::default(), Tree::default());
        let all: Vec<u32> = (0..5000u32)
            .map(|n| slots.insert(&n.to_be_bytes(), f64::from(n)))
            .collect();
        for &slot in &all {
            tree.insert(&slots, slot, Way::NONE);
        }
        let gone = all.iter().enumerate().filter(|(n, _)| n % 50 > 0);
        for (n, &slot) in gone {
            let key = key_of(n as f64);
            let member = slots.member(slot);
            let way = tree.fetch_all(&slots, &[Seek::Element { key, member, slot }])[0];
            tree.remove(&slots, slot, way);
        }
        tree.check(&slots);
        assert_eq!(tree.len(), 100);
        assert!(tree.shape.leaves <= 100 / (LEAF / SPARSE) + 1);
    }

    /// A way is gone where the tree is as it was: else all this would be for nothing, and no test would tell.
    #[test]
    fn a_way_is_gone() {
        let (mut slots, mut tree) = (Slots::default(), Tree::default());
        let all: Vec<u32> = (0..5000u32)
            .map(|n| slots.insert(&n.to_be_bytes(), f64::from(n)))
            .collect();
        for &slot in &all {
            tree.insert(&slots, slot, Way::NONE);
        }
        let mut gone = 0;
        for (n, &slot) in all.iter().enumerate() {
            let key = key_of(n as f64);
            let member = slots.member(slot);
            let seek = Seek::Element { key, member, slot };
            let way = tree.fetch_all(&slots, &[seek])[0];
            let elements = Elements {
                slots: &slots,
                prefix: &tree.prefix,
            };
            let removal = Removal {
                place: elements.place(&seek),
                slot,
                new: None,
            };
            if way.take_out(&mut tree.root, elements, &removal) == Some(Taken::Out(false)) {
                let seek = Seek::Member {
                    key,
                    member,
                    after: false,
                };
                let new = Insertion {
                    element: elements.get(slot),
                    place: elements.place(&seek),
                };
                // The last of a leaf has its place at the end, where the next leaf might be meant.
                let is_back = way.insert(&mut tree.root, elements, &new);
                gone += usize::from(is_back);
                if !is_back {
                    tree.len -= 1;
                    tree.insert(&slots, slot, Way::NONE);
                }
            }
            tree.check(&slots);
        }
        assert!(gone > 4700, "{gone}");
    }
}
