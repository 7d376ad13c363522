//! Looking for many places at once, so that the cache has what a stretch of commands will need.
//!
//! One search after the other would wait for memory at every node, and, where scores are equal, for every member it
//! compares. Here all searches take the same step, each of which ends with a request for what that search looks at next;
//! by the time its turn comes again, that has arrived while the others took theirs.
//!
//! Their ways down are kept, so that the commands need not search once more: see [`super::way`].

use super::super::slots::Slots;
use super::hints::{Elements, Place, Seek};
use super::node::Node;
use super::{Tree, Way};
use crate::mem::either::Either;
use smallvec::SmallVec;
use std::ops::Range;

/// A search on its way down.
struct Search<'a> {
    place: Place<'a>,
    node: &'a Node,
    /// How it came there.
    way: Way,
    /// Of the node's elements or children: how many come before the place for certain, and how many perhaps.
    low: usize,
    high: usize,
}

impl Search<'_> {
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
    /// Has all that inserting or removing elements at these places looks at come into the cache. Returns the way to each.
    pub fn fetch_all(&self, slots: &Slots, seeks: &[Seek<'_>]) -> SmallVec<[Way; 128]> {
        let elements = self.elements(slots);
        let mut all: SmallVec<[Search<'_>; 128]> = seeks
            .iter()
            .map(|seek| Search {
                place: elements.place(seek),
                node: &self.root,
                way: Way::NONE,
                low: 0,
                high: 0,
            })
            .collect();
        for level in 0.. {
            if all.is_empty() {
                break;
            }
            let mut open = false;
            for search in &mut all {
                match search.node.get() {
                    Either::Left(leaf) => {
                        search.set(leaf.hints.open(&search.place));
                        leaf.fetch_slots(search.low);
                    }
                    Either::Right(inner) => {
                        search.set(inner.open(&search.place));
                        open |= search.fetch_next(slots);
                    }
                }
            }
            for search in &mut all {
                let Either::Left(leaf) = search.node.get() else {
                    break;
                };
                search.set(
                    search
                        .place
                        .seek
                        .behind(&leaf.slots, search.low..search.high),
                );
                open |= search.fetch_next(slots);
            }
            while open {
                open = false;
                for search in &mut all {
                    if search.low < search.high {
                        let (at, slot) = search.middle();
                        if search.place.seek.passes(slots, slot) {
                            search.low = at + 1;
                        } else {
                            search.high = at;
                        }
                        open |= search.fetch_next(slots);
                    }
                }
            }
            for search in &mut all {
                let Either::Right(inner) = search.node.get() else {
                    // All leaves are at the same depth.
                    debug_assert!(all.iter().all(|search| search.is_right(elements)));
                    return all.iter().map(|search| search.way).collect();
                };
                debug_assert!(search.is_right(elements));
                let child = search.low.saturating_sub(1);
                search.way = search.way.then(level, child);
                search.node = inner.child(child);
                search.node.fetch_hints();
            }
        }
        SmallVec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_of;
    use super::*;

    /// Searches that go together find what each would find alone: [`Search::is_right`] is asserted on the search down.
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
            tree.insert(&slots, slot, Way::NONE);
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
