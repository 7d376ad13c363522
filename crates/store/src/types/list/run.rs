//! Runs of entries that can be changed: inside of an entry of the keyspace, or as a node of a list.
//!
//! The two differ in where their bytes live and in how room is made among them, which is [`Run::open`]. Everything else
//! (inserting, replacing, removing elements by their place in bytes) is the same for both.

use super::End;
use super::entry::{
    Encoded, Item, LISTPACK_FRAME, Span, body_len, entry_len, item, last_entry_len, offset_of,
};
use crate::types::number::length32;
use std::ops::Range;

/// A run of entries. Offsets are in bytes from the first entry and lie between entries.
pub(super) trait Run {
    /// The entries.
    fn bytes(&self) -> &[u8];
    /// The entries, to be moved among themselves.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// How many they are.
    fn count(&self) -> usize;
    /// Replaces `remove` bytes at `at` by a hole of `insert` bytes, which the caller fills, and changes the number of
    /// entries by `more`. `likely_max`: the length that the run is expected to stay below.
    fn open(
        &mut self,
        at: usize,
        remove: usize,
        insert: usize,
        more: isize,
        likely_max: usize,
    ) -> &mut [u8];

    /// Bytes of the listpack that these entries would be.
    #[inline]
    fn listpack_bytes(&self) -> usize {
        self.bytes().len() + LISTPACK_FRAME
    }

    /// Inserts an element at an offset.
    #[inline]
    fn insert(&mut self, at: usize, value: Item<'_>, likely_max: usize) {
        let encoded = Encoded::of(value);
        encoded.write(self.open(at, 0, encoded.len(), 1, likely_max));
    }

    /// Adds an element at an end.
    #[inline]
    fn push(&mut self, end: End, value: Item<'_>, likely_max: usize) {
        let at = if end == End::Front {
            0
        } else {
            self.bytes().len()
        };
        self.insert(at, value, likely_max);
    }

    /// Replaces the element of this index.
    fn replace(&mut self, index: usize, value: Item<'_>, likely_max: usize) {
        let at = self.offset(index);
        let old = entry_len(&self.bytes()[at..]);
        let encoded = Encoded::of(value);
        encoded.write(self.open(at, old, encoded.len(), 0, likely_max));
    }

    /// Removes the elements of these indices.
    fn remove(&mut self, indices: Range<usize>) {
        let from = self.offset(indices.start);
        let to = if indices.end == self.count() {
            self.bytes().len()
        } else if indices.len() < self.count() / 2 {
            let mut to = from;
            for _ in indices.clone() {
                to += entry_len(&self.bytes()[to..]);
            }
            to
        } else {
            self.offset(indices.end)
        };
        self.open(from, to - from, 0, -(indices.len() as isize), 0);
    }

    /// Removes the entries at these ranges of bytes, which are in ascending order.
    fn remove_all(&mut self, ranges: &[Range<usize>]) {
        let Some(first) = ranges.first() else { return };
        let bytes = self.bytes_mut();
        let len = bytes.len();
        let mut kept = first.start;
        for (i, range) in ranges.iter().enumerate() {
            let next = ranges.get(i + 1).map_or(len, |next| next.start);
            bytes.copy_within(range.end..next, kept);
            kept += next - range.end;
        }
        self.open(kept, len - kept, 0, -(ranges.len() as isize), 0);
    }

    /// Removes the element at an end, which must be there, after `f` has seen it.
    #[inline]
    fn pop<R>(&mut self, end: End, f: impl FnOnce(Item<'_>) -> R) -> R {
        let run = self.bytes();
        let (at, len) = match end {
            End::Front => (0, entry_len(run)),
            End::Back => {
                let len = last_entry_len(run);
                (run.len() - len, len)
            }
        };
        let r = f(item(&run[at..]));
        self.open(at, len, 0, -1, 0);
        r
    }

    /// Where the element of this index begins.
    fn offset(&self, index: usize) -> usize {
        offset_of(self.bytes(), self.count(), index)
    }

    /// Up to `most` of the entries with this body, from one end of the run, as ranges of bytes in ascending order.
    fn find_all(&self, body: &[u8], end: End, most: usize) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut span = Span::of(self.bytes());
        while found.len() < most
            && let Some(range) = span.next(end)
        {
            if is_body(&self.bytes()[range.clone()], body) {
                found.push(range);
            }
        }
        if end == End::Back {
            found.reverse();
        }
        found
    }
}

/// Whether an entry, which `run` begins with, has this body.
#[inline]
pub(super) fn is_body(run: &[u8], body: &[u8]) -> bool {
    body_len(run) == body.len() && run[..body.len()] == *body
}

/// A run inside of an entry of the keyspace: the number of elements in two bytes, little endian, then the elements. No
/// bytes at all are an empty run too.
#[derive(Clone, Debug, Default)]
pub(super) struct Small(pub(super) Vec<u8>);

/// The entries of a [`Small`] run's bytes, and how many they are.
#[inline]
pub(super) fn small(bytes: &[u8]) -> (&[u8], usize) {
    match bytes {
        [low, high, entries @ ..] => (entries, u16::from_le_bytes([*low, *high]).into()),
        _ => (&[], 0),
    }
}

impl Run for Small {
    #[inline]
    fn bytes(&self) -> &[u8] {
        small(&self.0).0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.get_mut(2..).unwrap_or_default()
    }

    #[inline]
    fn count(&self) -> usize {
        small(&self.0).1
    }

    #[inline]
    fn open(
        &mut self,
        at: usize,
        remove: usize,
        insert: usize,
        more: isize,
        _: usize,
    ) -> &mut [u8] {
        let count = (self.count() as isize + more) as u16;
        let bytes = &mut self.0;
        if bytes.is_empty() {
            bytes.reserve(2 + insert);
            bytes.resize(2, 0);
        }
        bytes[..2].copy_from_slice(&count.to_le_bytes());
        let (at, old_len) = (at + 2, bytes.len());
        if insert > remove {
            bytes.resize(old_len + insert - remove, 0);
        }
        bytes.copy_within(at + remove..old_len, at + insert);
        bytes.truncate(old_len + insert - remove);
        &mut bytes[at..at + insert]
    }
}

/// Buffers are at least this long.
const MIN_BUFFER: usize = 64;

/// A node of a list: a run with spare room at both ends, so that adding and removing there moves nothing.
#[derive(Default)]
pub(in crate::types) struct Packed {
    buf: Box<[u8]>,
    start: u32,
    end: u32,
    count: u32,
    /// It was tried to compress it, as it is, and not worth it.
    incompressible: bool,
}

impl Packed {
    /// A node of one element.
    pub(super) fn new(value: Item<'_>, end: End, room: usize) -> Packed {
        let encoded = Encoded::of(value);
        let len = encoded.len();
        let mut buf = zeroed(room.max(len).max(MIN_BUFFER));
        let start = if end == End::Front {
            buf.len() - len
        } else {
            0
        };
        encoded.write(&mut buf[start..start + len]);
        Packed {
            buf,
            start: length32(start),
            end: length32(start + len),
            count: 1,
            incompressible: false,
        }
    }

    /// A node with these entries.
    pub(super) fn from_run(run: &[u8], count: usize, room: usize) -> Packed {
        let mut buf = zeroed(room.max(run.len()));
        buf[..run.len()].copy_from_slice(run);
        Packed {
            buf,
            start: 0,
            end: length32(run.len()),
            count: length32(count),
            incompressible: false,
        }
    }

    /// Bytes of memory it owns.
    #[inline]
    pub(super) fn heap(&self) -> usize {
        self.buf.len()
    }

    /// Whether it is known not to be worth compressing.
    pub(super) fn is_incompressible(&self) -> bool {
        self.incompressible
    }

    /// Notes that it is not worth compressing, as long as it is as it is.
    pub(super) fn note_incompressible(&mut self) {
        self.seal();
        self.incompressible = true;
    }

    /// Gives spare room back that is worth the copying.
    pub(super) fn seal(&mut self) {
        let len = self.bytes().len();
        if self.buf.len() - len > (len / 16).max(MIN_BUFFER) {
            *self = Packed::from_run(self.bytes(), self.count(), 0);
        }
    }

    /// Takes the elements from this index on away, as a node of their own.
    pub(super) fn split_off(&mut self, index: usize) -> Packed {
        let at = self.offset(index);
        let tail = Packed::from_run(&self.bytes()[at..], self.count() - index, 0);
        self.open(at, tail.bytes().len(), 0, -(tail.count() as isize), 0);
        tail
    }

    /// Adds the elements of another node at the end.
    pub(super) fn append(&mut self, other: &Packed, likely_max: usize) {
        let run = other.bytes();
        let hole = self.open(
            self.bytes().len(),
            0,
            run.len(),
            other.count() as isize,
            likely_max,
        );
        hole.copy_from_slice(run);
    }

    /// Moves the entries into a buffer of `room` bytes, `before` of them before the entries.
    fn rehouse(&mut self, room: usize, before: usize) {
        let run = self.bytes();
        let mut buf = zeroed(room);
        buf[before..before + run.len()].copy_from_slice(run);
        (self.start, self.end) = (length32(before), length32(before + run.len()));
        self.buf = buf;
    }

    /// Makes room for `more` bytes before or behind the entries.
    #[cold]
    fn reserve(&mut self, end: End, more: usize, likely_max: usize) {
        let len = self.bytes().len();
        let need = len + more;
        let (old, place) = (self.buf.len(), |room: usize| {
            if end == End::Front { room - len } else { 0 }
        });
        if need <= old / 4 * 3 {
            // Moving the entries is paid for by the quarter of the buffer that it makes room for.
            let to = place(old);
            self.buf
                .copy_within(self.start as usize..self.end as usize, to);
            (self.start, self.end) = (length32(to), length32(to + len));
        } else {
            let room = if need <= likely_max {
                (old * 2)
                    .max(need + need / 2)
                    .max(MIN_BUFFER)
                    .min(likely_max.max(MIN_BUFFER))
            } else {
                need + need / 8
            };
            self.rehouse(room, place(room));
        }
    }

    /// Gives memory back when little of it is used.
    #[cold]
    fn shrink(&mut self) {
        let room = (self.bytes().len() * 2).max(MIN_BUFFER);
        self.rehouse(room, (room - self.bytes().len()) / 2);
    }
}

fn zeroed(len: usize) -> Box<[u8]> {
    vec![0; len].into_boxed_slice()
}

impl Run for Packed {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buf[self.start as usize..self.end as usize]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start as usize..self.end as usize]
    }

    #[inline]
    fn count(&self) -> usize {
        self.count as usize
    }

    #[inline]
    fn open(
        &mut self,
        at: usize,
        remove: usize,
        insert: usize,
        more: isize,
        likely_max: usize,
    ) -> &mut [u8] {
        self.count = (self.count as isize + more) as u32;
        self.incompressible = false;
        // The shorter side moves.
        let behind = self.bytes().len() - at - remove;
        let front = at < behind;
        if insert > remove {
            let more = insert - remove;
            let room = if front {
                self.start as usize
            } else {
                self.buf.len() - self.end as usize
            };
            if room < more {
                self.reserve(if front { End::Front } else { End::Back }, more, likely_max);
            }
        }
        let (start, end) = (self.start as usize, self.end as usize);
        // At an end nothing moves.
        if front {
            let new_start = start + remove - insert;
            if at > 0 {
                self.buf.copy_within(start..start + at, new_start);
            }
            self.start = length32(new_start);
        } else {
            if behind > 0 {
                self.buf
                    .copy_within(start + at + remove..end, start + at + insert);
            }
            self.end = length32(end + insert - remove);
        }
        if remove > insert
            && self.buf.len() > 4 * MIN_BUFFER
            && self.bytes().len() < self.buf.len() / 4
        {
            self.shrink();
        }
        let at = self.start as usize + at;
        &mut self.buf[at..at + insert]
    }
}

impl Clone for Packed {
    fn clone(&self) -> Packed {
        Packed::from_run(self.bytes(), self.count(), 0)
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Packed({} in {} of {} bytes)",
            self.count,
            self.bytes().len(),
            self.buf.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(run: &impl Run) -> Vec<String> {
        let mut span = Span::of(run.bytes());
        let mut texts = Vec::new();
        while let Some(range) = span.next(End::Front) {
            texts.push(String::from_utf8(item(&run.bytes()[range]).to_vec()).unwrap());
        }
        assert_eq!(texts.len(), run.count());
        texts
    }

    fn edits(run: &mut impl Run) {
        for i in 0..4 {
            run.push(End::Back, Item::Bytes(format!("b{i}").as_bytes()), 100);
            run.push(End::Front, Item::Int(i), 100);
        }
        assert_eq!(texts(run), ["3", "2", "1", "0", "b0", "b1", "b2", "b3"]);
        run.replace(1, Item::Bytes(b"longer than it was"), 100);
        run.replace(6, Item::Bytes(b"longer as well"), 100);
        run.remove(2..4);
        assert_eq!(
            texts(run),
            [
                "3",
                "longer than it was",
                "b0",
                "b1",
                "longer as well",
                "b3"
            ]
        );
        run.replace(1, Item::Bytes(b"s"), 100);
        run.replace(4, Item::Bytes(b"b0"), 100);
        run.insert(run.offset(3), Item::Bytes(b"b0"), 100);
        let body = Encoded::of(Item::Bytes(b"b0")).body();
        assert_eq!(run.find_all(&body, End::Front, 2).len(), 2);
        let last = run.find_all(&body, End::Back, 2);
        run.remove_all(&last);
        assert_eq!(texts(run), ["3", "s", "b0", "b1", "b3"]);
        assert_eq!(run.pop(End::Front, |item| item.to_vec()), b"3");
        assert_eq!(run.pop(End::Back, |item| item.to_vec()), b"b3");
        run.remove(0..3);
        assert_eq!((run.count(), run.bytes().len()), (0, 0));
        run.push(End::Back, Item::Bytes(b"again"), 100);
        assert_eq!(texts(run), ["again"]);
    }

    #[test]
    fn both_kinds_of_run_can_be_edited() {
        edits(&mut Small::default());
        edits(&mut Packed::default());
    }

    #[test]
    fn the_ends_are_cheap() {
        let mut node = Packed::new(Item::Bytes(b"first"), End::Front, 8192);
        let buffer = node.buf.as_ptr();
        for i in 0..800 {
            node.push(End::Front, Item::Int(i * 1000), 8192);
        }
        assert_eq!(node.buf.as_ptr(), buffer, "room is at the front");
        // A queue inside of one node goes round in the same buffer.
        for i in 0..10_000 {
            node.push(End::Back, Item::Int(i), 8192);
            node.pop(End::Front, |_| ());
        }
        assert!(node.heap() <= 8192);
        while node.count() > 10 {
            node.pop(End::Front, |_| ());
        }
        assert!(
            node.heap() <= 4 * MIN_BUFFER,
            "an emptied node gives memory back"
        );
        node.seal();
        assert!(node.heap() <= node.bytes().len() + MIN_BUFFER);
    }

    #[test]
    fn nodes_split_and_merge() {
        let mut node = Packed::new(Item::Int(0), End::Back, 0);
        (1..10).for_each(|i| node.push(End::Back, Item::Int(i), 0));
        let tail = node.split_off(7);
        assert_eq!(texts(&tail), ["7", "8", "9"]);
        node.append(&tail, 100);
        assert_eq!(
            texts(&node),
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
        );
    }
}
