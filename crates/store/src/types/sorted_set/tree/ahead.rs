//! Looking for many places at once, so that the cache has what a stretch of commands will need.
//!
//! One search after the other would wait for memory at every node, and, where scores are equal, for every member it
//! compares. Here all searches take the same step, each of which ends with a request for what that search looks at next;
//! by the time its turn comes again, that has arrived while the others took theirs.

use super::super::slots::Slots;
use super::Tree;
use super::hints::{Elements, Place, Seek};
use super::node::Node;
use crate::mem::either::Either;
use smallvec::SmallVec;
use std::ops::Range;

/// A search on its way down.
struct Way<'a> {
    place: Place<'a>,
    node: &'a Node,
    /// Of the node's elements or children: how many come before the place for certain, and how many perhaps.
    low: usize,
    high: usize,
}

impl Way<'_> {
    #[inline]
    fn set(&mut self, open: Range<usize>) {
        (self.low, self.high) = (open.start, open.end);
    }

    /// The slot to compare next, and its number in the node.
    #[inline]
    fn middle(&self) -> (usize, u32) {
        let at = (self.low + self.high) / 2;
        let slot = match self.node.get() {
            Either::Left(leaf) => leaf.slots[at],
            Either::Right(inner) => inner.firsts[at],
        };
        (at, slot)
    }

    /// Whether it found in its node what a search of its own finds.
    fn is_right(&self, elements: Elements<'_>) -> bool {
        self.low
            == match self.node.get() {
                Either::Left(leaf) => leaf.position(elements, &self.place),
                Either::Right(inner) => inner.position(elements, &self.place),
            }
    }

    /// Begins to fetch what is compared next, or the child where nothing is left to be compared. Returns whether there
    /// is something to compare.
    #[inline]
    fn fetch_next(&self, slots: &Slots) -> bool {
        if self.low < self.high {
            slots.fetch(self.middle().1);
            return true;
        }
        if let Either::Right(inner) = self.node.get() {
            inner.fetch_child(self.low.saturating_sub(1));
        }
        false
    }
}

impl Tree {
    /// Has all that inserting or removing elements at these places looks at come into the cache.
    pub fn fetch_all(&self, slots: &Slots, seeks: &[Seek<'_>]) {
        let elements = self.elements(slots);
        let mut ways: SmallVec<[Way<'_>; 128]> = seeks
            .iter()
            .map(|seek| Way {
                place: elements.place(seek),
                node: &self.root,
                low: 0,
                high: 0,
            })
            .collect();
        while !ways.is_empty() {
            let mut open = false;
            for way in &mut ways {
                match way.node.get() {
                    Either::Left(leaf) => {
                        way.set(leaf.hints.open(&way.place));
                        leaf.fetch_slots(way.low);
                    }
                    Either::Right(inner) => {
                        way.set(inner.open(&way.place));
                        open |= way.fetch_next(slots);
                    }
                }
            }
            for way in &mut ways {
                let Either::Left(leaf) = way.node.get() else {
                    break;
                };
                way.set(way.place.seek.behind(&leaf.slots, way.low..way.high));
                open |= way.fetch_next(slots);
            }
            while open {
                open = false;
                for way in &mut ways {
                    if way.low < way.high {
                        let (at, slot) = way.middle();
                        if way.place.seek.passes(slots, slot) {
                            way.low = at + 1;
                        } else {
                            way.high = at;
                        }
                        open |= way.fetch_next(slots);
                    }
                }
            }
            for way in &mut ways {
                let Either::Right(inner) = way.node.get() else {
                    // All leaves are at the same depth.
                    debug_assert!(ways.iter().all(|way| way.is_right(elements)));
                    return;
                };
                debug_assert!(way.is_right(elements));
                way.node = inner.child(way.low.saturating_sub(1));
                way.node.fetch_hints();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_of;
    use super::*;

    /// Searches that go together find what each would find alone: [`Way::is_right`] is asserted on the way down.
    #[test]
    fn searches_together_find_what_each_finds_alone() {
        let (mut slots, mut tree) = (Slots::default(), Tree::default());
        tree.fetch_all(
            &slots,
            &[Seek::Lex {
                member: b"",
                after: false,
            }],
        );
        let members: Vec<Vec<u8>> = (0..8000u32)
            .map(|n| n.wrapping_mul(2654435761).to_be_bytes().to_vec())
            .collect();
        let score = |n: usize| {
            if n.is_multiple_of(3) {
                n as f64
            } else {
                (n % 4) as f64
            }
        };
        let mut there = Vec::new();
        for (n, member) in members.iter().enumerate().filter(|(n, _)| n % 5 > 0) {
            let slot = slots.insert(member, score(n));
            tree.insert(&slots, slot);
            there.push((n, slot));
        }
        tree.fetch_all(&slots, &[]);
        let seeks: Vec<Seek<'_>> = members
            .iter()
            .enumerate()
            .map(|(n, member)| Seek::Member {
                key: key_of(score(n) + (n % 2) as f64),
                member,
                after: n % 7 == 0,
            })
            .collect();
        for seeks in seeks.chunks(128) {
            tree.fetch_all(&slots, seeks);
        }
        // Behind an element is the same place whether it is known by its slot or by its member.
        let place = |&(n, slot): &(usize, u32), by_slot: bool| {
            let (key, member) = (key_of(score(n)), &members[n][..]);
            match by_slot {
                true => Seek::Element { key, member, slot },
                false => Seek::Member {
                    key,
                    member,
                    after: true,
                },
            }
        };
        for some in there.chunks(128) {
            let seeks: Vec<Seek<'_>> = some.iter().map(|at| place(at, true)).collect();
            tree.fetch_all(&slots, &seeks);
            for (seek, at) in seeks.iter().zip(some) {
                assert_eq!(
                    tree.rank(&slots, seek),
                    tree.rank(&slots, &place(at, false))
                );
            }
        }
    }
}
