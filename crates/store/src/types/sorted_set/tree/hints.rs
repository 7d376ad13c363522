//! Hints: 32 bits of where each element of a node stands in the order.
//!
//! Looking an element up in its slot would cost a cache miss for each comparison. A node therefore keeps 32 bits of each. Scores
//! become integers of the same order ([`key_of`]); a hint begins with how far the key is above the node's base, in units of
//! `1 << shift`. Where the node's keys are all multiples of that unit, as whole numbers are, and there are bits to spare, the rest of
//! the hint is the member's: its bytes behind what all members of the set begin with (the [`Prefix`]). So elements with the
//! same score are told apart, too.
//!
//! Equal hints decide nothing and the slots are asked, which is rare as long as the unit fits the node. A key from outside
//! what base and unit can express makes the unit another, which the hints themselves are enough for; when a node splits and
//! its halves would do with a finer one, it is read from the slots anew.
//!
//! When a member comes that begins otherwise, the prefix gets shorter. Members' bits of nodes that knew the longer one are
//! not looked at until the node is read anew, which the next insertion does.

use super::super::slots::Slots;
use crate::mem::same;
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::ops::Range;

/// Nodes whose hints of keys span less than this, and leave nothing for the members, are read anew when they split.
const COARSE: u64 = 1 << 12;
/// So many more bits for the members are worth reading a node anew.
const WORTHWHILE: u8 = 8;
/// Longest prefix.
const LONGEST: usize = 64;

/// A score as an integer of the same order. Both zeros are the same. Whole numbers end with many zeros, negative ones too.
#[inline]
pub fn key_of(score: f64) -> u64 {
    // Adding zero turns -0 into 0 and changes nothing else.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 {
        bits.wrapping_neg()
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
    /// Behind an element that is there. It is known by its slot, so that those beside it with the same hint, each of which would
    /// have to be fetched to be compared, are mostly not looked at.
    Element {
        key: u64,
        member: &'a [u8],
        slot: u32,
    },
    /// Before or behind a member whatever its score, in a set whose scores are all the same.
    Lex { member: &'a [u8], after: bool },
}

impl Seek<'_> {
    #[inline]
    fn key(&self) -> Option<u64> {
        match *self {
            Seek::Score { key, .. } | Seek::Member { key, .. } | Seek::Element { key, .. } => {
                Some(key)
            }
            Seek::Lex { .. } => None,
        }
    }

    #[inline]
    fn member(&self) -> Option<&[u8]> {
        match *self {
            Seek::Score { .. } => None,
            Seek::Member { member, .. }
            | Seek::Element { member, .. }
            | Seek::Lex { member, .. } => Some(member),
        }
    }

    /// The place behind this very element, if it is among these slots, `open` of a node's.
    #[inline]
    pub fn behind(&self, slots: &[u32], open: Range<usize>) -> Range<usize> {
        if let Seek::Element { slot, .. } = *self
            && let Some(at) = slots[open.clone()].iter().position(|&s| s == slot)
        {
            let behind = open.start + at + 1;
            return behind..behind;
        }
        open
    }

    /// Whether the element at `slot` comes before the place.
    #[inline]
    pub fn passes(&self, slots: &Slots, slot: u32) -> bool {
        if let Some(key) = self.key() {
            let this = key_of(slots.score(slot));
            if this != key {
                return this < key;
            }
        }
        match *self {
            Seek::Score { after, .. } => after,
            Seek::Member { member, after, .. } | Seek::Lex { member, after } => {
                let this = slots.member(slot);
                if after { this <= member } else { this < member }
            }
            Seek::Element { member, .. } => slots.member(slot) <= member,
        }
    }
}

/// What all members of a set begin with, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Prefix(Box<[u8]>);

impl Prefix {
    /// Of these members.
    pub fn of<'a>(mut members: impl Iterator<Item = &'a [u8]>) -> Prefix {
        let Some(first) = members.next() else {
            return Prefix::default();
        };
        let mut prefix = &first[..first.len().min(LONGEST)];
        for member in members {
            prefix = &prefix[..common(prefix, member)];
            if prefix.is_empty() {
                break;
            }
        }
        Prefix(prefix.into())
    }

    /// Makes it one of this member too.
    #[inline]
    pub fn cover(&mut self, member: &[u8]) {
        if !self.is_of(member) {
            self.0 = self.0[..common(&self.0, member)].into();
        }
    }

    #[inline]
    fn is_of(&self, member: &[u8]) -> bool {
        let head = member.get(..self.0.len());
        head.is_some_and(|head| same(head, &self.0))
    }

    #[inline]
    fn len(&self) -> u8 {
        self.0.len() as u8
    }

    pub fn memory(&self) -> usize {
        self.0.len()
    }

    /// The four bytes of a member behind this, which it begins with.
    #[inline]
    pub fn window(&self, member: &[u8]) -> u32 {
        let rest = member.get(self.0.len()..).unwrap_or_default();
        match rest.first_chunk() {
            Some(four) => u32::from_be_bytes(*four),
            None => {
                let mut four = [0; 4];
                four[..rest.len()].copy_from_slice(rest);
                u32::from_be_bytes(four)
            }
        }
    }
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Where elements are looked up.
#[derive(Clone, Copy)]
pub struct Elements<'a> {
    pub slots: &'a Slots,
    pub prefix: &'a Prefix,
}

impl<'a> Elements<'a> {
    /// A place as hints are compared with it.
    #[inline]
    pub fn place(&self, seek: &'a Seek<'a>) -> Place<'a> {
        let (mut beside, mut window) = (Ordering::Equal, 0);
        if let Some(member) = seek.member() {
            if self.prefix.is_of(member) {
                window = self.prefix.window(member);
            } else {
                beside = member.cmp(&self.prefix.0);
            }
        }
        Place {
            seek,
            window,
            beside,
            skip: self.prefix.len(),
        }
    }

    /// The same where the place is that of an element of the set, whose member begins as all do.
    #[inline]
    pub fn place_of(&self, seek: &'a Seek<'a>, element: &Element) -> Place<'a> {
        Place {
            seek,
            window: element.window,
            beside: Ordering::Equal,
            skip: self.prefix.len(),
        }
    }

    /// The element in a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> Element {
        Element {
            key: key_of(self.slots.score(slot)),
            window: self.prefix.window(self.slots.member(slot)),
            slot,
        }
    }

    /// All of these, fetched together.
    fn all(&self, slots: &[u32]) -> SmallVec<[Element; 64]> {
        slots.iter().for_each(|&slot| self.slots.fetch(slot));
        slots.iter().map(|&slot| self.get(slot)).collect()
    }
}

/// An element, and what its hint is made of.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    pub key: u64,
    /// See [`Prefix::window`].
    pub window: u32,
    pub slot: u32,
}

/// See [`Elements::place`].
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub seek: &'a Seek<'a>,
    /// What is known of its member: its bytes behind the prefix, if it begins with that; else on which side of all members that do.
    window: u32,
    beside: Ordering,
    skip: u8,
}

/// What hints mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    /// A multiple of the unit.
    base: u64,
    /// The unit of keys, as a power of two.
    shift: u8,
    /// How many bits, the lower ones, are the member's: none unless all keys are multiples of the unit.
    bits: u8,
    /// Where in members those begin.
    skip: u8,
}

impl Unit {
    /// For keys from `low` to `high`, no finer than `shift`, and nothing of their members.
    fn of_keys(low: u64, high: u64, mut shift: u8) -> Unit {
        loop {
            let base = low >> shift << shift;
            if (high - base) >> shift <= u64::from(u32::MAX) {
                return Unit {
                    base,
                    shift,
                    bits: 0,
                    skip: 0,
                };
            }
            shift += 1;
        }
    }

    /// For keys from `low` to `high` that are multiples of this unit, with no more than so many bits of their members.
    fn of_multiples(low: u64, high: u64, shift: u8, bits: u8, skip: u8) -> Option<Unit> {
        let spare = ((high - low) >> shift).leading_zeros().checked_sub(32)?;
        let bits = bits.min(spare as u8);
        (bits > 0).then_some(Unit {
            base: low,
            shift,
            bits,
            skip,
        })
    }

    /// Of a single key.
    fn of_one(key: u64, skip: u8) -> Unit {
        Unit {
            base: key,
            shift: key.trailing_zeros().min(63) as u8,
            bits: 32,
            skip,
        }
    }

    /// One that both of these can be turned into, for keys that span so much.
    fn of_both(a: (Unit, (u64, u64)), b: (Unit, (u64, u64))) -> Unit {
        let (low, high) = (a.1.0.min(b.1.0), a.1.1.max(b.1.1));
        let (a, b) = (a.0, b.0);
        if a.bits > 0
            && b.bits > 0
            && a.skip == b.skip
            && let Some(unit) =
                Unit::of_multiples(low, high, a.shift.min(b.shift), a.bits.min(b.bits), a.skip)
        {
            return unit;
        }
        // Keys that are known exactly may get any unit.
        let finest = |unit: Unit| if unit.bits > 0 { 0 } else { unit.shift };
        Unit::of_keys(low, high, finest(a).max(finest(b)))
    }

    /// An element's hint, which must be possible: see [`Hints::cover`].
    #[inline]
    fn hint(&self, element: &Element) -> u32 {
        let delta = (element.key - self.base) >> self.shift;
        (delta << self.bits | u64::from(element.window) >> (32 - self.bits)) as u32
    }

    /// Whether an element can have a hint.
    #[inline]
    fn has(&self, key: u64, skip: u8) -> bool {
        key >= self.base
            && (key - self.base) >> self.shift >> (32 - self.bits) == 0
            && (self.bits == 0 || self.skip == skip && key & ((1 << self.shift) - 1) == 0)
    }
}

/// The hints of a node's elements, or of the first elements of its children. In this order in memory, as what is looked at first should
/// come in the first cache lines.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Hints<const N: usize> {
    base: u64,
    len: u8,
    shift: u8,
    bits: u8,
    skip: u8,
    /// Those that are not used are the highest there is.
    hints: [u32; N],
}

const UNUSED: u32 = u32::MAX;

impl<const N: usize> Hints<N> {
    pub fn new() -> Hints<N> {
        Hints {
            base: 0,
            len: 0,
            shift: 0,
            bits: 0,
            skip: 0,
            hints: [UNUSED; N],
        }
    }

    /// Of elements that are in order.
    pub fn of(elements: &[Element], prefix: &Prefix) -> Hints<N> {
        let mut hints = Hints::new();
        hints.len = elements.len() as u8;
        if let [first, .., last] = elements {
            let shift = elements.iter().fold(0, |all, e| all | e.key);
            let shift = shift.trailing_zeros().min(63) as u8;
            let unit = Unit::of_multiples(first.key, last.key, shift, 32, prefix.len());
            hints.set_unit(unit.unwrap_or_else(|| Unit::of_keys(first.key, last.key, 0)));
        } else if let [one] = elements {
            hints.set_unit(Unit::of_one(one.key, prefix.len()));
        }
        let unit = hints.unit();
        for (hint, element) in hints.hints.iter_mut().zip(elements) {
            *hint = unit.hint(element);
        }
        hints
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn unit(&self) -> Unit {
        Unit {
            base: self.base,
            shift: self.shift,
            bits: self.bits,
            skip: self.skip,
        }
    }

    fn set_unit(&mut self, unit: Unit) {
        (self.base, self.shift) = (unit.base, unit.shift);
        (self.bits, self.skip) = (unit.bits, unit.skip);
    }

    /// What the keys are between, as far as the hints say. There must be one.
    fn span(&self) -> (u64, u64) {
        let key = |hint: u32| self.base + (u64::from(hint) >> self.bits << self.shift);
        let cut_off = if self.bits > 0 {
            0
        } else {
            (1 << self.shift) - 1
        };
        let (first, last) = (self.hints[0], self.hints[self.len() - 1]);
        (key(first), key(last) | cut_off)
    }

    /// The elements of which the hints do not tell whether they come before a place: all before them do, none behind them does.
    #[inline]
    pub fn open(&self, place: &Place<'_>) -> Range<usize> {
        let used = &self.hints[..self.len()];
        let delta = match place.seek.key() {
            Some(key) if key < self.base => return 0..0,
            Some(key) => {
                let delta = (key - self.base) >> self.shift;
                if delta >> (32 - self.bits) != 0 {
                    return used.len()..used.len();
                }
                if self.bits > 0 && key & ((1 << self.shift) - 1) != 0 {
                    // Between two keys that there may be.
                    return self.between(delta + 1, delta + 1);
                }
                delta
            }
            None => {
                let of = |hint: Option<&u32>| hint.map(|&hint| u64::from(hint) >> self.bits);
                match (of(used.first()), of(used.last())) {
                    (Some(first), Some(last)) if self.bits > 0 && first == last => first,
                    _ => return 0..used.len(),
                }
            }
        };
        if self.bits > 0 {
            if let Seek::Score { after, .. } = *place.seek {
                let delta = delta + u64::from(after);
                return self.between(delta, delta);
            }
            if self.skip == place.skip {
                match place.beside {
                    Ordering::Less => return self.between(delta, delta),
                    Ordering::Greater => return self.between(delta + 1, delta + 1),
                    Ordering::Equal => {}
                }
                let hint = delta << self.bits | u64::from(place.window) >> (32 - self.bits);
                return self.within(hint, hint + 1);
            }
        }
        self.between(delta, delta + 1)
    }

    /// The elements from one key to another, in units above the base.
    #[inline]
    fn between(&self, low: u64, high: u64) -> Range<usize> {
        self.within(low << self.bits, high << self.bits)
    }

    /// The elements whose hints are at least `low` and less than `high`.
    #[inline]
    fn within(&self, low: u64, high: u64) -> Range<usize> {
        let used = &self.hints[..self.len()];
        let Ok(least) = u32::try_from(low) else {
            return used.len()..used.len();
        };
        // All are compared, the unused ones too: a loop of fixed length takes no longer than a binary search, and a node that is not in
        // the cache arrives sooner if its lines are not asked for one after the other.
        let below = self.hints.iter().map(|&h| u32::from(h < least));
        let start = below.sum::<u32>() as usize;
        // Mostly there is one or none.
        let open = used[start..].iter().take_while(|&&h| u64::from(h) < high);
        start..start + open.count()
    }

    /// Changes the unit to one of [`Unit::of_both`] this and another.
    fn rebase(&mut self, to: Unit) {
        let from = self.unit();
        if from == to {
            return;
        }
        for hint in &mut self.hints[..self.len as usize] {
            let wide = u64::from(*hint);
            let key = from.base + (wide >> from.bits << from.shift);
            // Of a coarse unit both bases are multiples: what the hint has cut off would be cut off now as well.
            let delta = (key - to.base) >> to.shift;
            let of_member = match to.bits {
                0 => 0,
                bits => (wide & ((1 << from.bits) - 1)) >> (from.bits - bits),
            };
            *hint = (delta << to.bits | of_member) as u32;
        }
        self.set_unit(to);
    }

    /// Makes a hint of an element possible.
    #[inline]
    fn cover(&mut self, element: &Element, prefix: &Prefix) {
        if self.len == 0 {
            self.set_unit(Unit::of_one(element.key, prefix.len()));
        } else if !self.unit().has(element.key, prefix.len()) {
            let one = Unit::of_one(element.key, prefix.len());
            let span = (element.key, element.key);
            self.rebase(Unit::of_both((self.unit(), self.span()), (one, span)));
        }
    }

    /// Whether the bits of members are not of what stands behind the prefix.
    #[inline]
    pub fn is_stale(&self, prefix: &Prefix) -> bool {
        self.bits > 0 && self.skip != prefix.len()
    }

    /// Reads the hints of these elements, which are its, anew if they are stale.
    #[inline]
    pub fn freshen(&mut self, slots: &[u32], elements: Elements<'_>) {
        if self.is_stale(elements.prefix) {
            self.read(slots, elements);
        }
    }

    #[cold]
    pub fn read(&mut self, slots: &[u32], elements: Elements<'_>) {
        *self = Hints::of(&elements.all(slots), elements.prefix);
    }

    /// Reads the hints anew if they would tell more.
    pub fn refine(&mut self, slots: &[u32], elements: Elements<'_>) {
        if self.len() < 2 {
            return;
        }
        let delta = |hint: u32| u64::from(hint) >> self.bits;
        let span = delta(self.hints[self.len() - 1]) - delta(self.hints[0]);
        let spare = (span.leading_zeros() - 32) as u8;
        let worth = match self.bits {
            0 => span < COARSE,
            bits => self.skip != elements.prefix.len() || spare >= bits + WORTHWHILE,
        };
        if worth {
            self.read(slots, elements);
        }
    }

    /// Whether the element at `at` may stay there with another key, and its hint then. Not at the node's ends: beyond them are
    /// neighbours that it does not know, and its first element's key is known further up, too.
    pub fn may_stay(
        &self,
        at: usize,
        new: &Element,
        slots: &[u32],
        from: Elements<'_>,
    ) -> Option<u32> {
        if at == 0 || at + 1 >= self.len() || !self.unit().has(new.key, from.prefix.len()) {
            return None;
        }
        let hint = self.unit().hint(new);
        let (before, behind) = (self.hints[at - 1], self.hints[at + 1]);
        let place = Seek::Member {
            key: new.key,
            member: from.slots.member(new.slot),
            after: false,
        };
        let fits = (hint > before || hint == before && place.passes(from.slots, slots[at - 1]))
            && (hint < behind || hint == behind && !place.passes(from.slots, slots[at + 1]));
        fits.then_some(hint)
    }

    /// Inserts an element's hint where there is room. The hints must not be stale.
    pub fn insert(&mut self, at: usize, element: &Element, prefix: &Prefix) {
        self.cover(element, prefix);
        let len = self.len();
        self.hints.copy_within(at..len, at + 1);
        self.hints[at] = self.unit().hint(element);
        self.len += 1;
    }

    /// Replaces an element's hint by another's. The hints must not be stale.
    pub fn set(&mut self, at: usize, element: &Element, prefix: &Prefix) {
        self.cover(element, prefix);
        self.hints[at] = self.unit().hint(element);
    }

    /// Replaces an element's hint by what [`Hints::may_stay`] said.
    pub fn put(&mut self, at: usize, hint: u32) {
        self.hints[at] = hint;
    }

    pub fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.hints.copy_within(range.end..len, range.start);
        self.hints[len - range.len()..len].fill(UNUSED);
        self.len -= range.len() as u8;
    }

    /// Cuts off the hints from `at` on.
    pub fn split(&mut self, at: usize) -> Hints<N> {
        let mut right = Hints::new();
        right.set_unit(self.unit());
        let moved = self.len() - at;
        right.hints[..moved].copy_from_slice(&self.hints[at..at + moved]);
        self.hints[at..at + moved].fill(UNUSED);
        right.len = moved as u8;
        self.len = at as u8;
        right
    }

    /// Appends others, which come later.
    pub fn append(&mut self, mut other: Hints<N>) {
        if other.len == 0 {
            return;
        }
        if self.len == 0 {
            *self = other;
            return;
        }
        let unit = Unit::of_both((self.unit(), self.span()), (other.unit(), other.span()));
        self.rebase(unit);
        other.rebase(unit);
        let (len, moved) = (self.len(), other.len());
        self.hints[len..len + moved].copy_from_slice(&other.hints[..moved]);
        self.len += other.len;
    }

    /// Checks that the hints are those of these elements.
    #[cfg(test)]
    pub fn check(&self, slots: &[u32], elements: Elements<'_>) {
        assert_eq!(self.len(), slots.len());
        let unit = self.unit();
        assert!(unit.bits > 0 || unit.base & ((1 << unit.shift) - 1) == 0);
        assert!(self.hints[..self.len()].is_sorted());
        assert!(self.hints[self.len()..].iter().all(|&h| h == UNUSED));
        for (&hint, &slot) in self.hints.iter().zip(slots) {
            let element = elements.get(slot);
            assert!(unit.has(element.key, unit.skip));
            if self.is_stale(elements.prefix) {
                let key = |hint: u32| u64::from(hint) >> unit.bits;
                assert_eq!(key(hint), key(unit.hint(&element)));
            } else {
                assert_eq!(hint, unit.hint(&element));
            }
            assert!(elements.prefix.is_of(elements.slots.member(slot)));
        }
    }
}
