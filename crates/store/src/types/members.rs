//! Members: the large form of sets and hashes. Byte strings, found by hash, a few bytes each beyond their own.
//!
//! A [`Table`] finds members; their bytes stand one behind the other in chunks of up to 8 KB (a *log*), so that a member
//! costs its bytes, one byte of length and its table slot: no allocation of its own, no pointer, no rounding. The table's
//! slot says in which chunk and at which byte a member begins.
//!
//! ```text
//! item      head | member | tail
//! head      1 byte: the member's length up to 126; or 127 and 4 bytes of length. Top bit of the first byte: removed.
//! tail      what belongs to the member: nothing in a set; value and expiry in a hash. See [`Tail`].
//! ```
//!
//! What is removed is marked and stays until half of its chunk is such; then the other half moves to the end of the log
//! and the chunk is freed. So at most about half of the log is waste, and a removal moves at most about one other member,
//! wherever in the log removals happen; there are no lists of free slots and no sizes to round to.
//!
//! Everything here is safe code over `Vec`. Positions found ([`At`]) are plain numbers, valid until the next change.

use crate::mem::same;
use crate::mem::words::LINE;
use crate::table::{self, POSITIONS, Pos, Probe, Table, fetch_homes, table_hash};
use crate::types::number::length32;
use crate::types::object::Object;
use crate::types::set::Set;
use crate::types::watch::{Element, Watched};
use foldhash::quality::FixedState;
use smallvec::SmallVec;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::marker::PhantomData;
use std::sync::OnceLock;

mod log;

use log::{Chunk, LONG, Log, Place, REMOVED, extra, head};

/// Bytes of an item up to which it is fetched with the line in which it begins, even if it does not end there.
const SHORT: usize = 24;

static HASHER: OnceLock<FixedState> = OnceLock::new();

/// Gives the process its secret for the hashes of members, which keeps outsiders from finding members that collide.
/// Only the first call counts, and only before the first use; without one, a random secret is made up.
pub fn set_seed(seed: u64) {
    let _ = HASHER.set(FixedState::with_seed(seed));
}

#[inline]
fn hash_of(member: &[u8]) -> u64 {
    let state = HASHER.get_or_init(|| FixedState::with_seed(RandomState::new().hash_one(0u8)));
    let mut h = state.build_hasher();
    h.write(member);
    h.finish()
}

/// What stands behind each member.
pub trait Tail {
    /// The length of the tail that `bytes` begins with.
    fn len(bytes: &[u8]) -> usize;
    /// When the member expires, in Unix milliseconds.
    fn due_ms(tail: &[u8]) -> Option<u64>;
    /// A member with its tail, as those who watch see it.
    fn element<'a>(member: &'a [u8], tail: &'a [u8]) -> Element<'a>;
    /// The collection that these are the large form of.
    fn object(members: Members<Self>) -> Object
    where
        Self: Sized;
}

/// Nothing: the tail of a set's members.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Tail for Bare {
    #[inline]
    fn len(_: &[u8]) -> usize {
        0
    }
    #[inline]
    fn due_ms(_: &[u8]) -> Option<u64> {
        None
    }
    fn element<'a>(member: &'a [u8], _: &'a [u8]) -> Element<'a> {
        Element::Member(member)
    }
    fn object(members: Members) -> Object {
        Object::Set(Set::of_members(members))
    }
}

/// A member with its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The member.
    pub member: &'a [u8],
    /// What belongs to it.
    pub tail: &'a [u8],
}

#[inline]
fn split<T: Tail>(item: &[u8]) -> (Item<'_>, usize) {
    let (start, len) = head(item);
    let end = start + len;
    let size = end + T::len(&item[end..]);
    (
        Item {
            member: &item[start..end],
            tail: &item[end..size],
        },
        size,
    )
}

/// Where a member was found: valid until the next change.
#[derive(Clone, Copy)]
pub struct At {
    hash: u64,
    pos: Pos,
    place: Place,
}

/// A set of byte strings, each with a tail. See the module's page.
pub struct Members<T: Tail = Bare> {
    table: Table,
    log: Log,
    pub(in crate::types) watched: Watched,
    tail: PhantomData<fn() -> T>,
}

impl<T: Tail> Default for Members<T> {
    fn default() -> Self {
        Members::new()
    }
}

/// See [`crate::types::watch`].
impl<T: Tail> Drop for Members<T> {
    fn drop(&mut self) {
        if let Some(watcher) = self.watched.set(None) {
            watcher.take(T::object(std::mem::take(self)));
        }
    }
}

impl<T: Tail> std::fmt::Debug for Members<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members")
            .field("len", &self.len())
            .field("memory", &self.memory())
            .finish()
    }
}

/// Takes time in proportion to the number of members; the copy has no waste.
impl<T: Tail> Clone for Members<T> {
    fn clone(&self) -> Self {
        let mut copy = Members::new();
        for item in self.items() {
            copy.add(hash_of(item.member), item.member, [item.tail, b"", b""]);
        }
        copy
    }
}

impl Members<Bare> {
    /// Adds a member; whether it is new.
    #[inline]
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let hash = hash_of(member);
        if self.find_hashed(hash, member).is_some() {
            return false;
        }
        self.add(hash, member, [b"", b"", b""]);
        true
    }

    /// All members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.items().map(|i| i.member)
    }
}

impl<T: Tail> Members<T> {
    /// None; owns no memory.
    pub fn new() -> Self {
        Members {
            table: Table::new(),
            log: Log::default(),
            watched: Watched::NO,
            tail: PhantomData,
        }
    }

    /// Number of members. Constant time.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes owned. Constant time.
    pub fn memory(&self) -> usize {
        self.table.bytes() + self.log.memory()
    }

    /// Whether there is this member.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.find(member).is_some()
    }

    /// Finds a member.
    #[inline]
    pub fn find(&self, member: &[u8]) -> Option<At> {
        self.find_hashed(hash_of(member), member)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, member: &[u8]) -> Option<At> {
        let wanted = extra(hash);
        let pos = self.table.find(table_hash(hash), |addr| {
            let place = Place(addr);
            place.extra() == wanted && same(self.log.member(place), member)
        })?;
        Some(At {
            hash,
            pos,
            place: Place(self.table.addr(pos)),
        })
    }

    /// What this member is known by to [`Members::fetch_homes`] and then [`Members::fetch_items`].
    #[inline]
    pub fn hash_of(&self, member: &[u8]) -> u64 {
        hash_of(member)
    }

    /// Begins to fetch what a lookup of the members with these hashes needs first.
    pub fn fetch_homes(&self, hashes: &[u64]) {
        let tables = hashes.iter().map(|&hash| table_hash(hash));
        fetch_homes(self.table.root(), tables);
    }

    /// Begins to fetch the members with these hashes, as far as they are there.
    pub fn fetch_items(&self, hashes: &[u64]) {
        for &hash in hashes {
            let wanted = extra(hash);
            // No member is looked at: one with the same bits of hash is nearly always the right one.
            let same = |addr| Place(addr).extra() == wanted;
            if let Some(pos) = self.table.find(table_hash(hash), same) {
                let place = Place(self.table.addr(pos));
                let start = self.log.chunks[place.id()].bytes.as_ptr() as usize + place.offset();
                crate::mem::prefetch(start);
                if start % LINE > LINE - SHORT {
                    crate::mem::prefetch(start + SHORT);
                }
            }
        }
    }

    /// Visits about `want` members at a position and after it, as those who watch see them; returns the position to go on
    /// from, or `None` after the last. The promise is that of [`Table::visit_from`].
    pub(super) fn stretch(
        &self,
        position: u64,
        want: usize,
        visit: &mut dyn FnMut(Element<'_>),
    ) -> Option<u64> {
        self.table.step_from(position, want, |v| {
            let (item, _) = split::<T>(self.log.item(Place(v.addr)));
            visit(T::element(item.member, item.tail));
        })
    }

    /// What stands at a place found.
    #[inline]
    pub fn get(&self, at: At) -> Item<'_> {
        split::<T>(self.log.item(at.place)).0
    }

    /// The tail at a place found, to be changed in length-preserving ways. A due time that changes must be told with
    /// [`Members::set`] instead.
    #[inline]
    fn tail_mut(&mut self, at: At) -> &mut [u8] {
        let (item, size) = split::<T>(self.log.item(at.place));
        let start = at.place.offset() + size - item.tail.len();
        let end = at.place.offset() + size;
        &mut self.log.chunks[at.place.id()].bytes[start..end]
    }

    /// Adds a member that is known not to be there, with a tail in three parts.
    #[inline]
    pub fn add_new(&mut self, member: &[u8], tail: [&[u8]; 3]) {
        self.add(hash_of(member), member, tail);
    }

    #[inline]
    fn add(&mut self, hash: u64, member: &[u8], tail: [&[u8]; 3]) {
        debug_assert!(
            self.find_hashed(hash, member).is_none(),
            "the member is there already"
        );
        if self.watched.is_some() {
            self.tell_new(hash, member);
        }
        let (place, due) = self.append(hash, member, tail);
        let h = table_hash(hash);
        self.table.insert(h, place.0, due.is_some());
        if let Some(ms) = due {
            self.table.note_due(h, ms);
        }
        self.tidy();
    }

    /// Puts an item at the end of the log.
    #[inline]
    fn append(&mut self, hash: u64, member: &[u8], tail: [&[u8]; 3]) -> (Place, Option<u64>) {
        let mut long = [LONG; 5];
        let short;
        let head: &[u8] = if member.len() < LONG as usize {
            short = [member.len() as u8];
            &short
        } else {
            long[1..].copy_from_slice(&length32(member.len()).to_le_bytes());
            &long
        };
        let [a, b, c] = tail;
        let (id, offset) = self.log.push([head, member, a, b, c]);
        let place = Place::new(hash, id, offset);
        let start = offset + head.len() + member.len();
        let due = T::due_ms(&self.log.chunks[id].bytes[start..]);
        (place, due)
    }

    #[cold]
    fn tell_new(&mut self, hash: u64, member: &[u8]) {
        if let Some(watcher) = self.watched.get() {
            watcher.before_insert(table::position_of(hash), Element::Member(member));
        }
    }

    /// Tells who watches that an item is about to be changed or removed.
    #[cold]
    fn tell(&mut self, hash: u64, place: Place) {
        if let Some(watcher) = self.watched.get() {
            let (item, _) = split::<T>(self.log.item(place));
            watcher.before_change(table::position_of(hash), T::element(item.member, item.tail));
        }
    }

    /// Gives the member at `at` another tail, in three parts.
    pub fn set(&mut self, at: At, tail: [&[u8]; 3]) {
        if self.watched.is_some() {
            self.tell(at.hash, at.place);
        }
        let (item, size) = split::<T>(self.log.item(at.place));
        if item.tail.len() == tail.iter().map(|part| part.len()).sum() {
            let mut to = self.tail_mut(at);
            let due = {
                for part in tail {
                    let (here, rest) = to.split_at_mut(part.len());
                    here.copy_from_slice(part);
                    to = rest;
                }
                T::due_ms(self.get(at).tail)
            };
            self.point(at, at.place, due);
            return;
        }
        let member: SmallVec<[u8; 64]> = SmallVec::from_slice(item.member);
        let (place, due) = self.append(at.hash, &member, tail);
        self.point(at, place, due);
        self.log.remove(at.place, size);
        self.tidy();
    }

    fn point(&mut self, at: At, place: Place, due: Option<u64>) {
        self.table.replace(at.pos, place.0, due.is_some());
        if let Some(ms) = due {
            self.table.note_due(table_hash(at.hash), ms);
        }
    }

    /// Removes a member; whether it was there.
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let at = self.find(member);
        if let Some(at) = at {
            self.remove_at(at);
        }
        at.is_some()
    }

    /// Removes what was found.
    pub(crate) fn remove_at(&mut self, at: At) {
        if self.watched.is_some() {
            self.tell(at.hash, at.place);
        }
        let (_, size) = split::<T>(self.log.item(at.place));
        self.table.remove(table_hash(at.hash), at.pos);
        if self.table.is_empty() {
            self.log = Log::default();
            return;
        }
        self.log.remove(at.place, size);
        self.tidy();
    }

    /// A random member, each as likely as any other; `below(n)` gives a random number below `n`.
    pub fn random(&self, below: impl FnMut(u64) -> u64) -> Option<Item<'_>> {
        let (_, pos) = self.table.pick(below)?;
        Some(split::<T>(self.log.item(Place(self.table.addr(pos)))).0)
    }

    /// Finds a random member, to be looked at and removed.
    #[cfg(test)]
    fn random_at(&self, below: impl FnMut(u64) -> u64) -> Option<At> {
        let (h, pos) = self.table.pick(below)?;
        // The low bits of the hash are not needed to remove it or to give it another tail.
        let place = Place(self.table.addr(pos));
        let hash = (h << log::EXTRA_BITS | place.extra() as u64)
            << (64 - table::HASH_BITS - log::EXTRA_BITS);
        Some(At { hash, pos, place })
    }

    /// All items in the order of the log, which is no order.
    pub fn items(&self) -> Items<'_, T> {
        Items {
            chunks: self.log.chunks.iter(),
            rest: &[],
            tail: PhantomData,
        }
    }

    /// One step of a scan: visits about `count` members from `cursor` on (0 begins) and returns the next cursor, 0 after
    /// the last. The cursor is all there is to remember; a pass meets every member that is there throughout, whatever
    /// else comes and goes. No member is visited twice in a pass unless it went and came back.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut visit: impl FnMut(Item<'a>)) -> u64 {
        if cursor >= POSITIONS {
            return 0;
        }
        let mut left = count.max(1);
        let mut at = cursor;
        loop {
            let mut seen = 0;
            let next = self.table.step_from(at, left, |v| {
                seen += 1;
                visit(split::<T>(self.log.item(Place(v.addr))).0);
            });
            match next {
                None => return 0,
                Some(next) if seen >= left => return next,
                Some(next) => at = next,
            }
            left -= seen;
        }
    }

    /// Removes up to `max` members that are due at `now_ms`, and calls `gone` with each; returns how many, and when the next one is due: perhaps too
    /// early, never too late.
    pub(crate) fn remove_due(
        &mut self,
        now_ms: u64,
        max: usize,
        gone: &mut dyn FnMut(&[u8]),
    ) -> (usize, Option<u64>) {
        let mut removed = 0;
        let mut position = Some(0);
        while let Some(p) = position
            && removed < max
        {
            let mut due: Vec<Place> = Vec::new();
            let mut cut = false;
            let (_, next) = self.table.visit_due(p, now_ms, |v| {
                let place = Place(v.addr);
                let at = T::due_ms(split::<T>(self.log.item(place)).0.tail).unwrap_or(u64::MAX);
                if at > now_ms {
                    return at;
                }
                if removed + due.len() < max {
                    due.push(place);
                    return u64::MAX;
                }
                cut = true;
                at
            });
            removed += due.len();
            // Removing may move members of sparse chunks, so the table and not the list knows where they are: all are
            // taken out of the table first, and the log is tidied last.
            for place in due {
                if self.watched.is_some() {
                    let hash = hash_of(self.log.member(place));
                    self.tell(hash, place);
                }
                let (item, size) = split::<T>(self.log.item(place));
                gone(item.member);
                let h = table_hash(hash_of(item.member));
                if let Some(pos) = self.table.find(h, |addr| addr == place.0) {
                    self.table.remove(h, pos);
                    self.log.remove(place, size);
                }
            }
            if self.table.is_empty() {
                self.log = Log::default();
                return (removed, None);
            }
            self.tidy();
            if !cut {
                position = next;
            }
        }
        let earliest = self.table.earliest_due();
        (removed, (earliest != u64::MAX).then_some(earliest))
    }

    /// Moves what is left in sparse chunks.
    #[inline]
    fn tidy(&mut self) {
        while let Some(id) = self.log.sparse.pop() {
            self.evacuate(id as usize);
        }
    }

    #[cold]
    fn evacuate(&mut self, id: usize) {
        if !self.log.chunks[id].is_sparse() {
            return;
        }
        let bytes = self.log.take(id);
        // The table's buckets are fetched for all before the first is needed.
        let root = self.table.root();
        let mut moving: SmallVec<[(u64, usize, usize); 64]> = SmallVec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (item, size) = split::<T>(&bytes[at..]);
            if bytes[at] & REMOVED == 0 {
                let hash = hash_of(item.member);
                Probe::start(root, table_hash(hash));
                moving.push((hash, at, size));
            }
            at += size;
        }
        for (hash, at, size) in moving {
            let item = &bytes[at..at + size];
            let (to, offset) = self.log.push([item]);
            let due = T::due_ms(split::<T>(item).0.tail).is_some();
            let old = Place::new(hash, id, at);
            let pos = self.table.find(table_hash(hash), |addr| addr == old.0);
            // Whatever is not marked as removed is in the table.
            let pos = pos.expect("a member that is there");
            self.table.replace(pos, Place::new(hash, to, offset).0, due);
        }
        // Not earlier, or a new place could be the same as an old one that is still to be looked for.
        self.log.vacant.push(id as u32);
    }

    /// Checks what must always hold. For tests.
    #[cfg(test)]
    fn check(&self) {
        self.table.check();
        let mut n = 0;
        for item in self.items() {
            n += 1;
            let at = self.find(item.member).expect("in the table");
            assert_eq!(self.get(at), item);
        }
        assert_eq!(n, self.len());
        assert!(self.log.sparse.is_empty());
        let mut bytes = 0;
        for (id, chunk) in self.log.chunks.iter().enumerate() {
            bytes += chunk.bytes.capacity();
            let (mut at, mut live) = (0, 0);
            while at < chunk.bytes.len() {
                let (_, size) = split::<T>(&chunk.bytes[at..]);
                live += if chunk.bytes[at] & REMOVED == 0 {
                    size
                } else {
                    0
                };
                at += size;
            }
            assert_eq!(live, chunk.live);
            assert!(
                id == self.log.current || !chunk.is_sparse(),
                "a chunk of waste"
            );
            assert_eq!(
                chunk.bytes.capacity() == 0,
                self.log.vacant.contains(&(id as u32)),
                "chunk {id}"
            );
        }
        assert_eq!(bytes, self.log.bytes);
    }
}

/// All items. See [`Members::items`].
pub struct Items<'a, T: Tail> {
    chunks: std::slice::Iter<'a, Chunk>,
    rest: &'a [u8],
    tail: PhantomData<fn() -> T>,
}

impl<'a, T: Tail> Iterator for Items<'a, T> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            while self.rest.is_empty() {
                self.rest = &self.chunks.next()?.bytes;
            }
            let removed = self.rest[0] & REMOVED != 0;
            let (item, size) = split::<T>(self.rest);
            self.rest = &self.rest[size..];
            if !removed {
                return Some(item);
            }
        }
    }
}

#[cfg(test)]
mod tests;
