//! Sets: of integers as a sorted array, of a few strings as a packed sequence, else as [`Members`]. A set one of whose members was
//! given an expiry is from then on a [`Hash`](struct@Hash) without values: fields are its members.
//!
//! The two small forms are one byte string, told apart by its first byte: the width of the integers (2, 4 or 8), or 0 for
//! a packed sequence of elements.

use crate::types::hash::{self, Expiry, Hash};
use crate::types::kind::Type;
use crate::types::members::Members;
use crate::types::object::{Collection, Object};
use crate::types::packed::{self, Item};

/// How large the small forms may become: `set-max-intset-entries`, `set-max-listpack-entries`,
/// `set-max-listpack-value`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Limits {
    pub intset_entries: usize,
    pub listpack_entries: usize,
    pub listpack_value: usize,
}

impl Limits {
    /// Up to where a set whose members may expire stays packed.
    fn of_hash(self) -> hash::Limits {
        hash::Limits {
            entries: self.listpack_entries,
            value: self.listpack_value,
        }
    }
}

/// A set.
#[derive(Clone, Debug)]
pub struct Set(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Small(Vec<u8>),
    Large(Members),
    /// Members that may expire.
    Timed(Box<Hash>),
}

/// A view of a set.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    /// Sorted integers of this width.
    #[allow(missing_docs)]
    Ints { width: usize, bytes: &'a [u8] },
    /// A packed sequence.
    Packed(&'a [u8]),
    /// Of its own.
    Large(&'a Members),
    /// Members that may expire, and the time at which they are looked at, in Unix milliseconds: see [`SetRef::at`].
    Timed(&'a Hash, u64),
}

const PACKED: u8 = 0;

fn width_of(n: i64) -> usize {
    if i16::try_from(n).is_ok() {
        2
    } else if i32::try_from(n).is_ok() {
        4
    } else {
        8
    }
}

#[inline]
fn int_at(bytes: &[u8], width: usize, i: usize) -> i64 {
    let at = &bytes[i * width..(i + 1) * width];
    match width {
        2 => i64::from(i16::from_le_bytes([at[0], at[1]])),
        4 => i64::from(i32::from_le_bytes([at[0], at[1], at[2], at[3]])),
        _ => i64::from_le_bytes([at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]]),
    }
}

/// Where `n` is, or where it would stand.
fn search(bytes: &[u8], width: usize, n: i64) -> Result<usize, usize> {
    let (mut low, mut high) = (0, bytes.len() / width);
    while low < high {
        let mid = low + (high - low) / 2;
        match int_at(bytes, width, mid).cmp(&n) {
            std::cmp::Ordering::Equal => return Ok(mid),
            std::cmp::Ordering::Less => low = mid + 1,
            std::cmp::Ordering::Greater => high = mid,
        }
    }
    Err(low)
}

impl<'a> SetRef<'a> {
    fn of_small(bytes: &'a [u8]) -> SetRef<'a> {
        match bytes.split_first() {
            None => SetRef::Packed(&[]),
            Some((&PACKED, rest)) => SetRef::Packed(rest),
            Some((&width, rest)) => SetRef::Ints {
                width: width as usize,
                bytes: rest,
            },
        }
    }

    /// The set as it is at a time, in Unix milliseconds: without the members that have expired. A view shows those as well.
    #[inline]
    pub fn at(self, now_ms: u64) -> SetRef<'a> {
        match self {
            SetRef::Timed(hash, _) => SetRef::Timed(hash, now_ms),
            other => other,
        }
    }

    /// Whether a member may have expired by then and still be there.
    #[inline]
    pub fn may_be_due(&self, now_ms: u64) -> bool {
        match self {
            SetRef::Timed(hash, _) => hash.view().may_be_due(now_ms),
            _ => false,
        }
    }

    /// Whether members that it does not show may still be there: at the time of the view they have expired.
    #[inline]
    pub fn may_hide(&self) -> bool {
        matches!(self, SetRef::Timed(hash, now_ms) if hash.view().may_be_due(*now_ms))
    }

    /// When a member that is there expires, in Unix milliseconds; `None` if it is not there.
    pub fn due_ms(&self, member: &[u8]) -> Option<Option<u64>> {
        match self {
            SetRef::Timed(hash, now_ms) => Some(hash.view().get(member, *now_ms)?.due_ms),
            _ => self.contains(member).then_some(None),
        }
    }

    /// The members with their expiries, of a set whose members may expire.
    pub fn timed(&self) -> Option<impl Iterator<Item = (&'a [u8], Option<u64>)> + use<'a>> {
        match self {
            SetRef::Timed(hash, now_ms) => {
                Some(hash.view().iter(*now_ms).map(|(name, f)| (name, f.due_ms)))
            }
            _ => None,
        }
    }

    /// Number of members; of those that may expire, the ones that are over and still there are counted too.
    pub fn len(&self) -> usize {
        match self {
            SetRef::Timed(hash, _) => hash.len(),
            SetRef::Ints { width, bytes } => bytes.len() / width,
            SetRef::Packed(b) => packed::items(b).count(),
            SetRef::Large(m) => m.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        match self {
            SetRef::Ints { bytes, .. } | SetRef::Packed(bytes) => bytes.is_empty(),
            SetRef::Large(m) => m.is_empty(),
            SetRef::Timed(hash, _) => hash.is_empty(),
        }
    }

    /// Whether there is this member.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            SetRef::Ints { width, bytes } => match Item::of(member) {
                Item::Int(n) => search(bytes, *width, n).is_ok(),
                Item::Bytes(_) => false,
            },
            SetRef::Packed(b) => packed::find(b, 0, 1, Item::of(member)).is_some(),
            SetRef::Large(m) => m.contains(member),
            SetRef::Timed(hash, now_ms) => hash.view().get(member, *now_ms).is_some(),
        }
    }

    /// Calls `f` for every member until it returns false.
    pub fn for_each_while(&self, mut f: impl FnMut(Item<'_>) -> bool) {
        match self {
            SetRef::Ints { width, bytes } => {
                for i in 0..bytes.len() / width {
                    if !f(Item::Int(int_at(bytes, *width, i))) {
                        return;
                    }
                }
            }
            SetRef::Packed(b) => {
                for (_, item) in packed::items(b) {
                    if !f(item) {
                        return;
                    }
                }
            }
            SetRef::Large(m) => {
                for member in m.iter() {
                    if !f(Item::Bytes(member)) {
                        return;
                    }
                }
            }
            SetRef::Timed(hash, now_ms) => {
                for (member, _) in hash.view().iter(*now_ms) {
                    if !f(Item::Bytes(member)) {
                        return;
                    }
                }
            }
        }
    }

    /// Calls `f` for every member.
    pub fn for_each(&self, mut f: impl FnMut(Item<'_>)) {
        self.for_each_while(|item| {
            f(item);
            true
        });
    }

    /// The `n`th member of a small set, in its order.
    fn nth_small(&self, n: usize) -> Option<Item<'a>> {
        match *self {
            SetRef::Ints { width, bytes } => {
                (n < bytes.len() / width).then(|| Item::Int(int_at(bytes, width, n)))
            }
            SetRef::Packed(b) => packed::items(b).nth(n).map(|(_, item)| item),
            SetRef::Large(_) | SetRef::Timed(..) => None,
        }
    }

    /// A random member, each as likely as any other; `below(n)` gives a random number below `n`.
    pub fn random(&self, mut below: impl FnMut(u64) -> u64) -> Option<Item<'a>> {
        if let SetRef::Large(m) = *self {
            return m.random(below).map(|item| Item::Bytes(item.member));
        }
        if let SetRef::Timed(hash, now_ms) = *self {
            let found = hash.view().random(now_ms, below);
            return found.map(|(member, _)| Item::Bytes(member));
        }
        let len = self.len();
        if len == 0 {
            return None;
        }
        self.nth_small(below(len as u64) as usize)
    }

    /// One step of a scan: see [`Members::scan`]. A small set is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Item<'_>)) -> u64 {
        if let SetRef::Large(m) = self {
            return m.scan(cursor, count, |item| visit(Item::Bytes(item.member)));
        }
        if let SetRef::Timed(hash, now_ms) = self {
            let visit = |member: &'a [u8], _| visit(Item::Bytes(member));
            return hash.view().scan(cursor, count, *now_ms, visit);
        }
        self.for_each(visit);
        0
    }
}

impl Set {
    pub(super) fn of_members(members: Members) -> Set {
        Set(Repr::Large(members))
    }

    /// The large form.
    pub(super) fn members(&self) -> Option<&Members> {
        match &self.0 {
            Repr::Large(members) => Some(members),
            Repr::Small(_) | Repr::Timed(_) => None,
        }
    }

    /// The large form.
    pub(super) fn members_mut(&mut self) -> Option<&mut Members> {
        match &mut self.0 {
            Repr::Large(members) => Some(members),
            Repr::Small(_) | Repr::Timed(_) => None,
        }
    }

    /// What members of a large set are known by: see [`Members::hash_of`]. `None` if it is packed.
    #[inline]
    pub(super) fn hash_of(&self, member: &[u8]) -> Option<u64> {
        match &self.0 {
            Repr::Large(m) => Some(m.hash_of(member)),
            Repr::Small(_) => None,
            Repr::Timed(fields) => fields.hash_of(member),
        }
    }

    /// See [`Members::fetch_homes`].
    pub(super) fn fetch_homes(&self, hashes: &[u64]) {
        match &self.0 {
            Repr::Large(m) => m.fetch_homes(hashes),
            Repr::Timed(fields) => fields.fetch_homes(hashes),
            Repr::Small(_) => {}
        }
    }

    /// See [`Members::fetch_items`].
    pub(super) fn fetch_items(&self, hashes: &[u64]) {
        match &self.0 {
            Repr::Large(m) => m.fetch_items(hashes),
            Repr::Timed(fields) => fields.fetch_items(hashes),
            Repr::Small(_) => {}
        }
    }

    /// An empty set in the form that Redis gives a new one whose first member is `first` of `hint` that are coming.
    pub fn for_first(first: &[u8], hint: usize, limits: Limits) -> Set {
        match Item::of(first) {
            Item::Int(n) if hint <= limits.intset_entries => {
                Set(Repr::Small(vec![width_of(n) as u8]))
            }
            _ if hint <= limits.listpack_entries => Set(Repr::Small(vec![PACKED])),
            _ => Set(Repr::Large(Members::new())),
        }
    }

    /// Makes room for `more` members that are coming: a small form that could not hold them is given up at once.
    pub fn expect(&mut self, more: usize, limits: Limits) {
        let most = match self.view() {
            SetRef::Ints { .. } => limits.intset_entries,
            SetRef::Packed(b) if !b.is_empty() => limits.listpack_entries,
            _ => return,
        };
        if more > most {
            self.enlarge();
        }
    }

    /// Turns it into [`Members`].
    pub fn enlarge(&mut self) {
        if let Repr::Small(bytes) = &self.0 {
            let mut members = Members::new();
            let mut buf = [0; 20];
            SetRef::of_small(bytes).for_each(|item| {
                let text = match item {
                    Item::Bytes(b) => b,
                    Item::Int(_) => item.text(&mut buf),
                };
                members.insert(text);
            });
            self.0 = Repr::Large(members);
        }
    }

    /// Adds a member; whether it is new. One that may expire keeps its expiry; the caller has removed what is over.
    pub fn insert(&mut self, member: &[u8], limits: Limits) -> bool {
        let bytes = match &mut self.0 {
            Repr::Large(m) => return m.insert(member),
            Repr::Small(bytes) => bytes,
            Repr::Timed(hash) => return hash.set(member, b"", Expiry::Keep, 0, limits.of_hash()),
        };
        let item = Item::of(member);
        if bytes.is_empty() {
            // The form of an empty set is decided by its first member.
            match item {
                Item::Int(n) if limits.intset_entries > 0 => bytes.push(width_of(n) as u8),
                _ => bytes.push(PACKED),
            }
        }
        if bytes[0] != PACKED {
            return self.insert_int(item, limits);
        }
        if packed::find(bytes, 1, 1, item).is_some() {
            return false;
        }
        let full = packed::items_from(bytes, 1).count() >= limits.listpack_entries;
        if full || member.len() > limits.listpack_value {
            self.enlarge();
            return self.insert(member, limits);
        }
        item.push_to(bytes);
        true
    }

    /// Adds a member to a set of integers.
    fn insert_int(&mut self, item: Item<'_>, limits: Limits) -> bool {
        let Repr::Small(bytes) = &mut self.0 else {
            return false;
        };
        let width = bytes[0] as usize;
        let len = (bytes.len() - 1) / width;
        let Item::Int(n) = item else {
            let mut buf = [0; 20];
            let text_len = item.text(&mut buf).len();
            let longest = [0, len.saturating_sub(1)]
                .into_iter()
                .filter(|_| len > 0)
                .map(|i| Item::Int(int_at(&bytes[1..], width, i)).text_len())
                .max()
                .unwrap_or(0);
            let fits = len < limits.listpack_entries
                && text_len <= limits.listpack_value
                && longest <= limits.listpack_value;
            if fits {
                let mut packed = vec![PACKED];
                for i in 0..len {
                    Item::Int(int_at(&bytes[1..], width, i)).push_to(&mut packed);
                }
                *bytes = packed;
            } else {
                self.enlarge();
            }
            let mut buf = [0; 20];
            return self.insert(item.text(&mut buf), limits);
        };
        let at = match search(&bytes[1..], width, n) {
            Ok(_) => return false,
            Err(at) => at,
        };
        let needed = width_of(n);
        if needed > width {
            let mut wider = vec![needed as u8];
            for i in 0..len {
                wider.extend_from_slice(&int_at(&bytes[1..], width, i).to_le_bytes()[..needed]);
            }
            *bytes = wider;
        }
        let width = needed.max(width);
        let start = 1 + at * width;
        bytes.splice(start..start, n.to_le_bytes()[..width].iter().copied());
        if len + 1 > limits.intset_entries.min(1 << 30) {
            self.enlarge();
        }
        true
    }

    /// When the first member expires, in Unix milliseconds; may be too early, never too late.
    #[inline]
    pub fn next_due_ms(&self) -> Option<u64> {
        match &self.0 {
            Repr::Timed(hash) => hash.next_due_ms(),
            _ => None,
        }
    }

    /// Removes members that have expired, of a large set `most` at most, and calls `gone` with each; returns how many.
    #[inline]
    pub fn expire_members(
        &mut self,
        now_ms: u64,
        most: usize,
        gone: &mut dyn FnMut(&[u8]),
    ) -> usize {
        match &mut self.0 {
            Repr::Timed(hash) => hash.expire_fields(now_ms, most, gone),
            _ => 0,
        }
    }

    /// Removes a member if it has expired and is still there; whether it has.
    pub fn expire_member(&mut self, member: &[u8], now_ms: u64) -> bool {
        match &mut self.0 {
            Repr::Timed(hash) => hash.expire_field(member, now_ms),
            _ => false,
        }
    }

    /// Sets (not zero) or removes the expiry of a member that is there, in Unix milliseconds.
    pub fn set_expiry(&mut self, member: &[u8], due_ms: Option<u64>, limits: Limits) {
        if due_ms.is_some() {
            self.allow_expiry(limits);
        }
        if let Repr::Timed(hash) = &mut self.0 {
            hash.set_expiry(member, due_ms);
        }
    }

    /// Takes the form whose members may expire.
    fn allow_expiry(&mut self, limits: Limits) {
        if let Repr::Timed(_) = self.0 {
            return;
        }
        let mut hash = Box::new(Hash::new());
        let packed = self.len() <= limits.listpack_entries;
        let own = match packed {
            true => limits.of_hash(),
            false => hash::Limits {
                entries: 0,
                value: 0,
            },
        };
        self.view().for_each(|item| {
            hash.set(item.text(&mut [0; 20]), b"", Expiry::Clear, 0, own);
        });
        self.0 = Repr::Timed(hash);
    }

    /// Removes a member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let bytes = match &mut self.0 {
            Repr::Large(m) => return m.remove(member),
            Repr::Small(bytes) => bytes,
            Repr::Timed(hash) => return hash.remove(member, 0),
        };
        let item = Item::of(member);
        let range = match (bytes.first().copied(), item) {
            (None, _) => None,
            (Some(PACKED), item) => packed::find(bytes, 1, 1, item),
            (Some(_), Item::Bytes(_)) => None,
            (Some(width), Item::Int(n)) => {
                let width = width as usize;
                search(&bytes[1..], width, n)
                    .ok()
                    .map(|i| 1 + i * width..1 + (i + 1) * width)
            }
        };
        let found = range.is_some();
        if let Some(range) = range {
            bytes.drain(range);
        }
        found
    }

    /// Turns a set of nothing but integers into the array, if that may be so long, as Redis does with the result of SINTERSTORE.
    pub fn prefer_ints(&mut self, limits: Limits) {
        let view = match self.view() {
            SetRef::Ints { .. } | SetRef::Timed(..) => return,
            view => view,
        };
        if view.is_empty() || view.len() > limits.intset_entries {
            return;
        }
        let (mut ints, mut all) = (Vec::new(), true);
        view.for_each_while(|item| {
            match Item::of(item.text(&mut [0; 20])) {
                Item::Int(n) => ints.push(n),
                Item::Bytes(_) => all = false,
            }
            all
        });
        if !all {
            return;
        }
        ints.sort_unstable();
        let width = ints.iter().map(|n| width_of(*n)).max().unwrap_or(8);
        let mut small = vec![width as u8];
        for n in ints {
            small.extend_from_slice(&n.to_le_bytes()[..width]);
        }
        self.0 = Repr::Small(small);
    }
}

impl Collection for Set {
    const KIND: Type = Type::Set;
    type Ref<'a> = SetRef<'a>;

    fn new() -> Self {
        Set(Repr::Small(Vec::new()))
    }
    fn view(&self) -> SetRef<'_> {
        match &self.0 {
            Repr::Small(b) => SetRef::of_small(b),
            Repr::Large(m) => SetRef::Large(m),
            Repr::Timed(hash) => SetRef::Timed(hash, 0),
        }
    }
    fn view_packed(bytes: &[u8]) -> SetRef<'_> {
        SetRef::of_small(bytes)
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        Set(Repr::Small(bytes))
    }
    fn packed(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Small(b) => Some(b),
            Repr::Large(_) | Repr::Timed(_) => None,
        }
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        match self.0 {
            Repr::Small(b) => Some(b),
            Repr::Large(_) | Repr::Timed(_) => None,
        }
    }
    fn encoding(view: SetRef<'_>) -> &'static str {
        match view {
            SetRef::Ints { .. } => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Large(_) => "hashtable",
            SetRef::Timed(hash, _) => match Hash::encoding(hash.view()) {
                "hashtable" => "hashtable",
                _ => "listpackex",
            },
        }
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
    fn memory(&self) -> usize {
        match &self.0 {
            Repr::Small(b) => b.capacity(),
            Repr::Large(m) => m.memory(),
            Repr::Timed(hash) => size_of::<Hash>() + hash.memory(),
        }
    }
    fn into_object(self) -> Object {
        Object::Set(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::Set(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::Set(c) => Some(c),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SMALL: Limits = Limits {
        intset_entries: 6,
        listpack_entries: 8,
        listpack_value: 10,
    };

    fn all(set: &Set) -> BTreeSet<Vec<u8>> {
        let mut all = BTreeSet::new();
        let mut n = 0;
        set.view().for_each(|item| {
            n += 1;
            all.insert(item.to_vec());
        });
        assert_eq!(n, all.len(), "a member stands twice");
        all
    }

    #[test]
    fn forms_follow_the_limits() {
        let mut set = Set::new();
        for n in [5, -3, 70_000, i64::MAX] {
            assert!(set.insert(n.to_string().as_bytes(), SMALL));
            assert!(!set.insert(n.to_string().as_bytes(), SMALL));
        }
        assert_eq!(Set::encoding(set.view()), "intset");
        let mut strings = set.clone();
        assert!(!strings.insert(b"9223372036854775807", SMALL));
        // The longest integer is over the length for packed members.
        assert!(strings.insert(b"a", SMALL));
        assert_eq!(Set::encoding(strings.view()), "hashtable");
        for n in 0..3 {
            set.insert(n.to_string().as_bytes(), SMALL);
        }
        assert_eq!(Set::encoding(set.view()), "hashtable");
        assert_eq!(set.len(), 7);
        let mut few = Set::new();
        few.insert(b"1", SMALL);
        few.insert(b"x", SMALL);
        assert_eq!(Set::encoding(few.view()), "listpack");
        few.remove(b"x");
        few.prefer_ints(SMALL);
        assert_eq!(Set::encoding(few.view()), "intset");
        few.insert(b"long enough for a table", SMALL);
        few.prefer_ints(SMALL);
        assert_eq!(Set::encoding(few.view()), "hashtable");
        few.remove(b"long enough for a table");
        few.prefer_ints(SMALL);
        assert_eq!(Set::encoding(few.view()), "intset");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(64), ..ProptestConfig::default() })]
        #[test]
        fn behaves_like_a_set(ops in prop::collection::vec((any::<bool>(), prop_oneof![
            (-40i64..40).prop_map(|n| n.to_string().into_bytes()),
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            "[a-c]{0,12}".prop_map(String::into_bytes),
        ]), 0..60)) {
            let mut set = Set::new();
            let mut model = BTreeSet::new();
            for (add, member) in ops {
                if add {
                    prop_assert_eq!(set.insert(&member, SMALL), model.insert(member.clone()));
                } else {
                    prop_assert_eq!(set.remove(&member), model.remove(&member));
                }
                prop_assert_eq!(set.view().contains(&member), model.contains(&member));
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
            prop_assert_eq!(all(&set), model);
        }
    }
}
