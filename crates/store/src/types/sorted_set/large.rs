//! The large form of a sorted set: slots for the members, a table to find them by hash, a tree for their order.

use super::range::{LexBound, LexRange, ScoreRange};
use super::slots::Slots;
use super::small;
use super::tree::{Element as Ordered, Prefix, Seek, Tree, Walk, key_of};
use super::ways::{self, Ways};
use super::{Goal, Limits, Move, SortedSet};
use crate::mem::same;
use crate::table::{HASH_BITS, POSITIONS, Pos, Probe, Table, fetch_homes, table_hash};
use crate::types::object::Collection;
use crate::types::packed::Item;
use crate::types::watch::{Element, Watched};
use foldhash::quality::FixedState;
use smallvec::SmallVec;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::LazyLock;

/// A member's hash.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    /// Keyed like that of keys.
    fn of(member: &[u8]) -> Hash {
        static HASHER: LazyLock<FixedState> =
            LazyLock::new(|| FixedState::with_seed(RandomState::new().build_hasher().finish()));
        let mut h = HASHER.build_hasher();
        h.write(member);
        Hash(h.finish())
    }

    /// The table's part.
    #[inline]
    fn table(self) -> u64 {
        table_hash(self.0)
    }

    /// A slot as the table knows it, which wants an address, a multiple of eight. Where an address has more bits than a slot there
    /// are bits of the hash below those that the table itself compares: with millions of members many share the latter.
    #[inline]
    fn addr(self, slot: u32) -> usize {
        (self.extra() << u32::BITS | slot as usize) << ADDR_SHIFT
    }

    #[inline]
    fn extra(self) -> usize {
        (self.0 >> (u64::BITS - HASH_BITS - EXTRA_BITS)) as usize & ((1 << EXTRA_BITS) - 1)
    }

    /// Whether an address has this hash's bits.
    #[inline]
    fn may_be_at(self, addr: usize) -> bool {
        addr >> (ADDR_SHIFT + u32::BITS) == self.extra()
    }
}

const ADDR_SHIFT: u32 = 3;
/// Bits of hash in an address, of which a table takes 47.
const EXTRA_BITS: u32 = 12;

fn slot_at(addr: usize) -> u32 {
    (addr >> ADDR_SHIFT) as u32
}

/// Members from which on a set is no longer in the cache anyway. Fewer in tests, so that these know what such sets do.
const FETCH_FROM: usize = if cfg!(test) { 100 } else { 1 << 15 };

/// Members whose places are looked for together.
const TOGETHER: usize = 64;

/// See the module's page.
#[derive(Default)]
pub struct Large {
    slots: Slots,
    table: Table,
    tree: Tree,
    pub(in crate::types) watched: Watched,
}

impl Clone for Large {
    fn clone(&self) -> Self {
        let mut table = Table::new();
        for slot in self.tree.walk(0..self.len(), false) {
            let h = Hash::of(self.slots.member(slot));
            table.insert(h.table(), h.addr(slot), false);
        }
        Large {
            slots: self.slots.clone(),
            table,
            tree: self.tree.clone(),
            watched: Watched::NO,
        }
    }
}

/// See [`crate::types::watch`].
impl Drop for Large {
    fn drop(&mut self) {
        if let Some(watcher) = self.watched.set(None) {
            watcher.take(SortedSet::large(std::mem::take(self)).into_object());
        }
    }
}

impl fmt::Debug for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Large {
    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Bytes it owns, its own size included.
    pub fn memory(&self) -> usize {
        size_of::<Large>() + self.slots.memory() + self.table.bytes() + self.tree.memory()
    }

    #[inline]
    fn find(&self, h: Hash, member: &[u8]) -> Option<(Pos, u32)> {
        let pos = self.table.find(h.table(), |addr| {
            h.may_be_at(addr) && same(self.slots.member(slot_at(addr)), member)
        })?;
        Some((pos, slot_at(self.table.addr(pos))))
    }

    /// A member's score.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let (_, slot) = self.find(Hash::of(member), member)?;
        Some(self.slots.score(slot))
    }

    /// How many members come before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let h = Hash::of(member);
        let (_, slot) = self.find(h, member)?;
        let score = self.slots.score(slot);
        Some((
            self.tree.rank_of(&self.slots, slot, self.ways(h).old),
            score,
        ))
    }

    /// Has what setting this score will need come into the cache: see [`SortedSet::fetch`].
    pub fn fetch(&self, member: &[u8], score: f64) {
        if self.len() >= FETCH_FROM {
            Probe::start(self.table.root(), Hash::of(member).table());
            self.tree.fetch(&self.slots, key_of(score));
        }
    }

    /// What this member is known by to [`Large::fetch_homes`], [`Large::fetch_items`] and [`Large::fetch_places`], one step after the
    /// other. `None` for a set that is in the cache anyway.
    #[inline]
    pub fn hash_of(&self, member: &[u8]) -> Option<u64> {
        (self.len() >= FETCH_FROM).then(|| Hash::of(member).0)
    }

    /// Begins to fetch what a lookup of the members with these hashes needs first.
    pub fn fetch_homes(&self, hashes: &[u64]) {
        let tables = hashes.iter().map(|&h| Hash(h).table());
        fetch_homes(self.table.root(), tables);
    }

    /// The slot of the member with this hash. None is looked at: one with the same bits of hash is nearly always the
    /// right one.
    #[inline]
    fn likely(&self, h: Hash) -> Option<u32> {
        let pos = self.table.find(h.table(), |addr| h.may_be_at(addr))?;
        Some(slot_at(self.table.addr(pos)))
    }

    /// Begins to fetch the members themselves.
    pub fn fetch_items(&self, hashes: &[u64]) {
        for &h in hashes {
            if let Some(slot) = self.likely(Hash(h)) {
                self.slots.fetch(slot);
            }
        }
    }

    /// Fetches the members' places in the order, and those they go to, and notes the ways there.
    pub fn fetch_places(&self, moves: &[Move<'_>]) {
        let mut seeks: SmallVec<[Seek<'_>; 2 * TOGETHER]> = SmallVec::new();
        // Of each: whether it has a place, and whether it gets one.
        let mut kinds: SmallVec<[(bool, bool); TOGETHER]> = SmallVec::new();
        for moves in moves.chunks(TOGETHER) {
            seeks.clear();
            kinds.clear();
            for m in moves {
                let old = self
                    .likely(Hash(m.hash))
                    .map(|slot| (slot, self.slots.score(slot)));
                let new = match m.goal {
                    Goal::Same => None,
                    Goal::Score(score) => Some(score),
                    Goal::Plus(score) => Some(old.map_or(0.0, |(_, was)| was) + score),
                };
                seeks.extend(old.map(|(slot, score)| Seek::Element {
                    key: key_of(score),
                    member: m.member,
                    slot,
                }));
                seeks.extend(new.map(|score| Seek::Member {
                    key: key_of(score),
                    member: m.member,
                    after: false,
                }));
                kinds.push((old.is_some(), new.is_some()));
            }
            let found = self.tree.fetch_all(&self.slots, &seeks);
            let mut found = found.into_iter();
            for (m, &(has_old, has_new)) in moves.iter().zip(&kinds) {
                let mut next = |there: bool| if there { found.next() } else { None };
                let (old, new) = (next(has_old), next(has_new));
                let ways = Ways {
                    old: old.unwrap_or_default(),
                    new: new.unwrap_or_default(),
                };
                ways::note(m.hash, ways);
            }
        }
    }

    /// Adds a member that is not there.
    pub fn insert(&mut self, member: &[u8], score: f64) {
        self.insert_hashed(Hash::of(member), member, score);
    }

    fn insert_hashed(&mut self, h: Hash, member: &[u8], score: f64) {
        if let Some(watcher) = self.watched.get() {
            watcher.before_insert(0, Element::Scored(member, score));
        }
        let slot = self.slots.insert(member, score);
        self.table.insert(h.table(), h.addr(slot), false);
        self.tree.insert(&self.slots, slot, self.ways(h).new);
    }

    /// What the look ahead has found for the member with this hash.
    #[inline]
    fn ways(&self, h: Hash) -> Ways {
        if self.len() >= FETCH_FROM {
            ways::noted(h.0)
        } else {
            Ways::default()
        }
    }

    /// Sets a member's score to what `f` makes of the present one, or leaves all as it is.
    pub fn update(&mut self, member: &[u8], f: impl FnOnce(Option<f64>) -> Option<f64>) {
        let h = Hash::of(member);
        match self.find(h, member) {
            None => {
                if let Some(score) = f(None) {
                    self.insert_hashed(h, member, score);
                }
            }
            Some((_, slot)) => {
                let old = self.slots.score(slot);
                if let Some(new) = f(Some(old))
                    && new != old
                {
                    if let Some(watcher) = self.watched.get() {
                        watcher.before_change(0, Element::Scored(member, old));
                        watcher.before_insert(0, Element::Scored(member, new));
                    }
                    let ways = self.ways(h);
                    let removed = self.tree.rescore(&self.slots, slot, new, ways.old);
                    self.slots.set_score(slot, new);
                    if removed {
                        self.tree.insert(&self.slots, slot, ways.new);
                    }
                }
            }
        }
    }

    /// Removes a member; returns the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let h = Hash::of(member);
        let (pos, slot) = self.find(h, member)?;
        let score = self.slots.score(slot);
        if let Some(watcher) = self.watched.get() {
            watcher.before_change(0, Element::Scored(member, score));
        }
        self.tree.remove(&self.slots, slot, self.ways(h).old);
        self.table.remove(h.table(), pos);
        self.slots.remove(slot);
        Some(score)
    }

    /// Removes the members of these ranks.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let mut left = ranks.len();
        while left > 0 {
            let run = self.tree.remove_run(&self.slots, ranks.start, left);
            if run.is_empty() {
                break;
            }
            left -= run.len();
            for slot in run {
                if let Some(watcher) = self.watched.get() {
                    let (member, score) = (self.slots.member(slot), self.slots.score(slot));
                    watcher.before_change(0, Element::Scored(member, score));
                }
                let h = Hash::of(self.slots.member(slot));
                if let Some(pos) = self.table.find(h.table(), |addr| addr == h.addr(slot)) {
                    self.table.remove(h.table(), pos);
                }
                self.slots.remove(slot);
            }
        }
    }

    /// Visits up to `want` members below a place in the order (`None`: all are below), from the highest down.
    pub fn stretch(
        &self,
        below: Option<(f64, &[u8])>,
        want: usize,
        visit: &mut dyn FnMut(Element<'_>),
    ) {
        let end = below.map_or(self.len(), |(score, member)| {
            let seek = Seek::Member {
                key: key_of(score),
                member,
                after: false,
            };
            self.tree.rank(&self.slots, &seek)
        });
        // Each is somewhere else in memory: they are fetched some time before they are looked at.
        let mut slots: SmallVec<[u32; TOGETHER]> = SmallVec::new();
        let mut walk = self.walk(end.saturating_sub(want)..end, true);
        loop {
            slots.clear();
            slots.extend(walk.by_ref().take(TOGETHER));
            if slots.is_empty() {
                return;
            }
            slots.iter().for_each(|&slot| self.slots.fetch(slot));
            for &slot in &slots {
                visit(Element::Scored(
                    self.slots.member(slot),
                    self.slots.score(slot),
                ));
            }
        }
    }

    /// What is in a slot.
    #[inline]
    pub fn entry(&self, slot: u32) -> (Item<'_>, f64) {
        (Item::Bytes(self.slots.member(slot)), self.slots.score(slot))
    }

    /// The slot of a rank, which must be below the number of members.
    pub fn at(&self, rank: usize) -> u32 {
        self.tree.at(rank)
    }

    /// The slots of these ranks.
    pub fn walk(&self, ranks: Range<usize>, downwards: bool) -> Walk<'_> {
        self.tree.walk(ranks, downwards)
    }

    /// The ranks of a range of scores.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let [low, high] = range.ends().map(|end| self.tree.rank(&self.slots, &end));
        low..high.max(low)
    }

    /// The ranks of a range of members.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        let rank = |bound: LexBound<'_>, is_high: bool| match bound {
            LexBound::Min => 0,
            LexBound::Max => self.len(),
            LexBound::Closed(member) => self.tree.rank(
                &self.slots,
                &Seek::Lex {
                    member,
                    after: is_high,
                },
            ),
            LexBound::Open(member) => self.tree.rank(
                &self.slots,
                &Seek::Lex {
                    member,
                    after: !is_high,
                },
            ),
        };
        let low = rank(range.min, false);
        low..rank(range.max, true).max(low)
    }

    /// Visits at least `count` members from a cursor on, if there are so many, and returns the next cursor, which is 0
    /// after the last. Whatever is there from the first call to the last is visited.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(u32)) -> u64 {
        let mut here: Vec<(u64, u32)> = Vec::new();
        let mut next = Some(cursor).filter(|&c| c < POSITIONS);
        let mut left = count.max(1);
        while let Some(from) = next {
            if left == 0 {
                return from;
            }
            let after = self
                .table
                .visit_from(from, |v| here.push((v.position, slot_at(v.addr))));
            next = after;
            if here.len() > left {
                // Members at the same place stay together, so that the cursor needs to know nothing but the place.
                let (_, &mut (last, _), _) =
                    here.select_nth_unstable_by_key(left - 1, |&(at, _)| at);
                let beyond = here.iter().map(|&(at, _)| at).filter(|&at| at > last).min();
                here.retain(|&(at, _)| at <= last);
                next = beyond.or(after);
            }
            left = left.saturating_sub(here.len());
            here.drain(..).for_each(|(_, slot)| visit(slot));
        }
        0
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.tree.check(&self.slots);
        self.table.check();
        assert_eq!(self.table.len(), self.tree.len());
        for slot in self.walk(0..self.len(), false) {
            let member = self.slots.member(slot);
            assert_eq!(
                self.find(Hash::of(member), member).map(|(_, s)| s),
                Some(slot)
            );
        }
    }
}

/// Collects members in any order, to be made a sorted set at once: what ZUNIONSTORE and its kin need.
#[derive(Default)]
pub struct Builder {
    slots: Slots,
    table: Table,
    members: Vec<u32>,
    longest: usize,
}

impl Builder {
    /// An empty one.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Number of members so far.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sets a member's score to what `f` makes of the one it has so far.
    pub fn merge(&mut self, member: &[u8], f: impl FnOnce(Option<f64>) -> f64) {
        let h = Hash::of(member);
        match self.table.find(h.table(), |addr| {
            h.may_be_at(addr) && same(self.slots.member(slot_at(addr)), member)
        }) {
            Some(pos) => {
                let slot = slot_at(self.table.addr(pos));
                let score = f(Some(self.slots.score(slot)));
                self.slots.set_score(slot, score);
            }
            None => {
                let slot = self.slots.insert(member, f(None));
                self.table.insert(h.table(), h.addr(slot), false);
                self.members.push(slot);
                self.longest = self.longest.max(member.len());
            }
        }
    }

    /// Orders the members.
    pub fn finish(self, limits: Limits) -> SortedSet {
        let Builder {
            slots,
            table,
            members,
            longest,
        } = self;
        let prefix = Prefix::of(members.iter().map(|&slot| slots.member(slot)));
        let mut order: Vec<Ordered> = members
            .into_iter()
            .map(|slot| Ordered {
                key: key_of(slots.score(slot)),
                window: prefix.window(slots.member(slot)),
                slot,
            })
            .collect();
        order.sort_unstable_by(|a, b| {
            (a.key, a.window)
                .cmp(&(b.key, b.window))
                .then_with(|| slots.member(a.slot).cmp(slots.member(b.slot)))
        });
        if order.len() <= limits.entries && longest <= limits.member {
            let mut bytes = Vec::new();
            for Ordered { slot, .. } in order {
                small::push(&mut bytes, Item::of(slots.member(slot)), slots.score(slot));
            }
            return SortedSet::small(bytes);
        }
        let tree = Tree::from_sorted(&order, prefix, &slots);
        SortedSet::large(Large {
            slots,
            table,
            tree,
            watched: Watched::NO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes that are the same to the table are told apart without looking at a member.
    #[test]
    fn addresses_hold_a_slot_and_the_hash_bits_that_the_table_does_not_compare() {
        let h = Hash(0x0123_4567_89ab_cdef);
        for slot in [0, 1, 1 << 31, u32::MAX] {
            let addr = h.addr(slot);
            assert!(addr.is_multiple_of(8) && addr >> 47 == 0);
            assert_eq!(slot_at(addr), slot);
            assert!(h.may_be_at(addr));
            for bit in 0..EXTRA_BITS {
                let other = Hash(h.0 ^ 1 << (u64::BITS - 1 - HASH_BITS - bit));
                assert_eq!(other.table(), h.table());
                assert!(!other.may_be_at(addr), "{bit}");
            }
        }
    }
}
