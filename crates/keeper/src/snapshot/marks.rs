//! Marks of what a walk passes over.
//!
//! There may be millions of them, and whoever adds one holds a shard's lock. A single hash set would now and then move all of
//! them at once; so they lie in many, each of which moves few.

use std::collections::HashSet;

/// What tells a key among those of a dictionary, or an element among those of a collection: two hashes.
pub(super) type Mark = (u64, u64);

/// What a mark takes, in bytes: a place in a set that is some two thirds full.
pub(super) const MARK: usize = 28;

const SETS: usize = 256;

/// See the module's page. Owns nothing while it is empty.
#[derive(Default)]
pub(super) struct Marks {
    sets: Vec<HashSet<Mark, foldhash::fast::RandomState>>,
    len: usize,
}

impl Marks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one; whether it is new.
    pub fn insert(&mut self, mark: Mark) -> bool {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, HashSet::default);
        }
        let new = self.sets[set_of(mark)].insert(mark);
        self.len += usize::from(new);
        new
    }

    /// Whether it is there.
    pub fn contains(&self, mark: Mark) -> bool {
        !self.is_empty() && self.sets[set_of(mark)].contains(&mark)
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, mark: Mark) -> bool {
        let was = !self.is_empty() && self.sets[set_of(mark)].remove(&mark);
        self.len -= usize::from(was);
        was
    }
}

fn set_of(mark: Mark) -> usize {
    (mark.0 >> 56) as usize % SETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_a_set() {
        let mut marks = Marks::default();
        assert!(!marks.contains((1, 2)) && !marks.remove((1, 2)));
        for n in 0..3000u64 {
            let mark = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n % 7);
            assert!(marks.insert(mark) && !marks.insert(mark));
            assert!(marks.contains(mark) && !marks.contains((mark.0, 8)));
        }
        assert_eq!(marks.len(), 3000);
        assert!(marks.remove((0, 0)) && !marks.contains((0, 0)));
        assert_eq!(marks.len(), 2999);
    }
}
