//! The sorted set type: members, each with a score, in the order of scores.
//!
//! Small ones are packed ([`small`]). Large ones ([`large`]) store each member once with its score ([`slots`]), find it by
//! hash in the keyspace's own table, and order it in a counted B+ tree ([`tree`]); both refer to it by a 32-bit number.
//! Members with equal scores are ordered by their bytes. A score is any double but NaN; the two zeros are equal.
//!
//! A range of any kind is first turned into ranks ([`SortedSetRef::ranks_by_score`], [`SortedSetRef::ranks_by_lex`]), which
//! takes logarithmic time; ranks can then be counted, cut to a LIMIT, iterated over in either direction, or removed.

mod large;
mod range;
mod slots;
mod small;
#[cfg(test)]
mod tests;
mod tree;
mod ways;

pub use large::Builder;
pub use range::{LexBound, LexRange, ScoreRange};

use crate::types::kind::Type;
use crate::types::object::{Collection, Object};
use crate::types::packed::Item;
use large::Large;
use smallvec::SmallVec;
use std::ops::Range;

/// Up to where a sorted set is packed: the settings `zset-max-listpack-entries` and `zset-max-listpack-value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most members.
    pub entries: usize,
    /// Longest member, in bytes.
    pub member: usize,
}

/// What is about to be done with a member: see [`crate::types::object::Object::fetch_places`].
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// What [`crate::types::object::Object::hash_of`] returned for the member.
    pub hash: u64,
    /// The member.
    pub member: &'a [u8],
    /// Where it goes.
    pub goal: Goal,
}

/// Where a member goes in the order.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Nowhere: its place is asked for, or it is removed.
    Same,
    /// To this score.
    Score(f64),
    /// To its score and this.
    Plus(f64),
}

/// A sorted set.
#[derive(Clone, Debug)]
pub struct SortedSet(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Small(Vec<u8>),
    Large(Box<Large>),
}

impl Default for SortedSet {
    fn default() -> Self {
        SortedSet::small(Vec::new())
    }
}

impl SortedSet {
    pub(crate) fn small(bytes: Vec<u8>) -> SortedSet {
        SortedSet(Repr::Small(bytes))
    }

    pub(crate) fn large(large: Large) -> SortedSet {
        SortedSet(Repr::Large(Box::new(large)))
    }

    /// The large form.
    pub(super) fn own(&self) -> Option<&Large> {
        match &self.0 {
            Repr::Large(large) => Some(large),
            Repr::Small(_) => None,
        }
    }

    /// The large form.
    pub(super) fn own_mut(&mut self) -> Option<&mut Large> {
        match &mut self.0 {
            Repr::Large(large) => Some(large),
            Repr::Small(_) => None,
        }
    }

    /// Sets a member's score, adding it if it is not there; returns the score it had. The score must not be NaN.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: Limits) -> Option<f64> {
        let mut old = None;
        self.update(member, limits, |present| {
            old = present;
            Some(score)
        });
        old
    }

    /// Sets a member's score to what `f` makes of the present one (`None`: it is not there), or leaves all as it is if
    /// `f` returns `None`. One lookup does for both. `f` must not return a NaN.
    #[inline]
    pub fn update(
        &mut self,
        member: &[u8],
        limits: Limits,
        f: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let bytes = match &mut self.0 {
            Repr::Large(large) => return large.update(member, f),
            Repr::Small(bytes) => bytes,
        };
        match small::find(bytes, member) {
            Some((range, old)) => {
                if let Some(new) = f(Some(old))
                    && new != old
                {
                    small::rescore(bytes, range, member, new);
                }
            }
            None => {
                let Some(score) = f(None) else { return };
                if small::len(bytes) < limits.entries && member.len() <= limits.member {
                    small::insert(bytes, member, score);
                } else {
                    self.enlarge().insert(member, score);
                }
            }
        }
    }

    /// Begins to fetch what setting this score will need into the cache, if the set is so large that it is not there: the
    /// ways to the member and to its new place are then waited for together, not one after the other.
    #[inline]
    pub fn fetch(&self, member: &[u8], score: f64) {
        if let Repr::Large(large) = &self.0 {
            large.fetch(member, score);
        }
    }

    /// Prepares for this many members to be set, of which the first has this length: a set that would outgrow its packed
    /// form with them leaves it at once (Redis looks at the length only if the set is new).
    pub fn expect(&mut self, members: usize, first_len: usize, limits: Limits) {
        if members > limits.entries || self.is_empty() && first_len > limits.member {
            self.enlarge();
        }
    }

    fn enlarge(&mut self) -> &mut Large {
        if let Repr::Small(bytes) = &self.0 {
            let mut large = Box::<Large>::default();
            for pair in small::pairs(bytes) {
                large.insert(pair.member.text(&mut [0; 20]), pair.score);
            }
            self.0 = Repr::Large(large);
        }
        match &mut self.0 {
            Repr::Large(large) => large,
            Repr::Small(_) => unreachable!("just enlarged"),
        }
    }

    /// See [`crate::types::object::Object::hash_of`].
    #[inline]
    pub(crate) fn hash_of(&self, member: &[u8]) -> Option<u64> {
        match &self.0 {
            Repr::Large(large) => large.hash_of(member),
            _ => None,
        }
    }

    /// See [`crate::types::object::Object::fetch_homes`].
    pub(crate) fn fetch_homes(&self, hashes: &[u64]) {
        if let Repr::Large(large) = &self.0 {
            large.fetch_homes(hashes);
        }
    }

    /// See [`crate::types::object::Object::fetch_items`].
    pub(crate) fn fetch_items(&self, hashes: &[u64]) {
        if let Repr::Large(large) = &self.0 {
            large.fetch_items(hashes);
        }
    }

    /// See [`crate::types::object::Object::fetch_places`].
    #[inline]
    pub fn fetch_places(&self, moves: &[Move<'_>]) {
        if let Repr::Large(large) = &self.0 {
            large.fetch_places(moves);
        }
    }

    /// Removes a member; returns the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Repr::Large(large) => large.remove(member),
            Repr::Small(bytes) => {
                let (range, score) = small::find(bytes, member)?;
                small::remove(bytes, range, 1);
                Some(score)
            }
        }
    }

    /// Removes the members of these ranks, which must be there. Takes logarithmic time and some for each of them, or,
    /// for all of a large set, only as long as freeing it.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        if ranks.is_empty() {
            return;
        }
        match &mut self.0 {
            Repr::Large(large) if ranks.len() >= large.len() => **large = Large::default(),
            Repr::Large(large) => large.remove_ranks(ranks),
            Repr::Small(bytes) => {
                let range = small::bytes_of(bytes, &ranks);
                small::remove(bytes, range, ranks.len());
            }
        }
    }
}

/// A view of a sorted set.
#[derive(Clone, Copy)]
pub struct SortedSetRef<'a>(View<'a>);

#[derive(Clone, Copy)]
enum View<'a> {
    Small(&'a [u8]),
    Large(&'a Large),
}

impl<'a> SortedSetRef<'a> {
    /// Number of members. Takes constant time.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            View::Small(bytes) => small::len(bytes),
            View::Large(large) => large.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is in its packed form, whose members can only be gone through.
    pub fn is_packed(&self) -> bool {
        matches!(self.0, View::Small(_))
    }

    /// A member's score.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.0 {
            View::Small(bytes) => small::find(bytes, member).map(|(_, score)| score),
            View::Large(large) => large.score(member),
        }
    }

    /// How many members come before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self.0 {
            View::Small(bytes) => {
                let wanted = Item::of(member);
                let mut pairs = small::pairs(bytes).enumerate();
                pairs
                    .find(|(_, pair)| pair.member == wanted)
                    .map(|(rank, pair)| (rank, pair.score))
            }
            View::Large(large) => large.rank(member),
        }
    }

    /// The member of a rank, with its score.
    pub fn at(&self, rank: usize) -> Option<(Item<'a>, f64)> {
        match self.0 {
            View::Small(bytes) => small::pairs(bytes)
                .nth(rank)
                .map(|pair| (pair.member, pair.score)),
            View::Large(large) if rank < large.len() => Some(large.entry(large.at(rank))),
            View::Large(_) => None,
        }
    }

    /// The ranks of the members whose scores are in a range.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        match self.0 {
            View::Small(bytes) => small::ranks_by_score(bytes, range),
            View::Large(large) => large.ranks_by_score(range),
        }
    }

    /// The ranks of the members that are in a range; `downwards` says which way it will be gone through. Without meaning,
    /// but without harm, where scores differ.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>, downwards: bool) -> Range<usize> {
        match self.0 {
            View::Small(bytes) => small::ranks_by_lex(bytes, range, downwards),
            View::Large(large) => large.ranks_by_lex(range),
        }
    }

    /// The members of these ranks with their scores, from the lowest up. Ranks past the last are left out.
    #[inline]
    pub fn iter(&self, ranks: Range<usize>) -> Entries<'a> {
        match self.0 {
            View::Small(bytes) => {
                let mut pairs = small::pairs(bytes);
                if ranks.start > 0 {
                    pairs.nth(ranks.start - 1);
                }
                Entries(Inner::Up(pairs, ranks.len()))
            }
            View::Large(large) => Entries(Inner::Walk(large, large.walk(ranks, false))),
        }
    }

    /// The same from the highest down.
    pub fn iter_down(&self, ranks: Range<usize>) -> Entries<'a> {
        match self.0 {
            View::Small(bytes) => {
                let pairs = small::pairs(bytes).skip(ranks.start).take(ranks.len());
                Entries(Inner::Down(
                    bytes,
                    pairs.map(|pair| pair.range.start as u32).collect(),
                ))
            }
            View::Large(large) => Entries(Inner::Walk(large, large.walk(ranks, true))),
        }
    }

    /// All members.
    pub fn entries(&self) -> Entries<'a> {
        self.iter(0..self.len())
    }

    /// Visits at least `count` members from a cursor on (0 at first), if there are so many left, and returns the cursor to
    /// go on with, which is 0 after the last. Whatever is there from the first call to the last is visited. A packed
    /// set is visited as a whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Item<'a>, f64)) -> u64 {
        match self.0 {
            View::Small(bytes) => {
                small::pairs(bytes).for_each(|pair| visit(pair.member, pair.score));
                0
            }
            View::Large(large) => large.scan(cursor, count, |slot| {
                let (member, score) = large.entry(slot);
                visit(member, score);
            }),
        }
    }
}

/// Members with their scores, in order. See [`SortedSetRef::iter`].
#[derive(Clone)]
pub struct Entries<'a>(Inner<'a>);

#[derive(Clone)]
enum Inner<'a> {
    Up(small::Pairs<'a>, usize),
    /// Where the pairs to come begin, the next one last.
    Down(&'a [u8], SmallVec<[u32; 32]>),
    Walk(&'a Large, tree::Walk<'a>),
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Walk(large, walk) => walk.next().map(|slot| large.entry(slot)),
            Inner::Up(pairs, left) => {
                *left = left.checked_sub(1)?;
                pairs.next().map(|pair| (pair.member, pair.score))
            }
            Inner::Down(bytes, starts) => {
                let pair = small::pairs_from(bytes, starts.pop()? as usize).next()?;
                Some((pair.member, pair.score))
            }
        }
    }
}

impl Collection for SortedSet {
    const KIND: Type = Type::SortedSet;
    type Ref<'a> = SortedSetRef<'a>;

    fn new() -> Self {
        SortedSet::default()
    }
    fn view(&self) -> SortedSetRef<'_> {
        SortedSetRef(match &self.0 {
            Repr::Small(bytes) => View::Small(bytes),
            Repr::Large(large) => View::Large(large),
        })
    }
    fn view_packed(bytes: &[u8]) -> SortedSetRef<'_> {
        SortedSetRef(View::Small(bytes))
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        SortedSet::small(bytes)
    }
    fn packed(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Small(bytes) => Some(bytes),
            Repr::Large(_) => None,
        }
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        match self.0 {
            Repr::Small(bytes) => Some(bytes),
            Repr::Large(_) => None,
        }
    }
    fn encoding(view: SortedSetRef<'_>) -> &'static str {
        match view.0 {
            View::Small(_) => "listpack",
            View::Large(_) => "skiplist",
        }
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        match &self.0 {
            Repr::Small(bytes) => bytes.capacity(),
            Repr::Large(large) => large.memory(),
        }
    }
    fn into_object(self) -> Object {
        Object::SortedSet(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::SortedSet(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::SortedSet(c) => Some(c),
            _ => None,
        }
    }
}
