//! A node: some hundred entries of a stream in one byte string.
//!
//! The entries of a stream mostly have the same fields, so a node keeps the field names of its first entry once, and
//! an entry with just these stores values alone. IDs are stored as differences from the node's first.
//!
//! ```text
//! node    count of field names, field names, entries
//! entry   flags     1 byte: deleted, has the node's fields, has a sequence number
//!         length    of what follows
//!         ms        minus that of the node's first ID
//!         seq       if not zero; minus that of the first ID if the milliseconds are the same
//!         values    one for each of the node's fields
//!   or    count, then names and values by turns
//! ```
//!
//! Numbers are varints (7 bits a byte, low ones first); names and values are elements of [`crate::types::packed`]. A deleted
//! entry is marked and stays until its node goes, as in Redis, where it still counts towards the size of the node.

use super::id::StreamId;
use crate::types::number::length32;
use crate::types::packed::{self, Item, Items};

const DELETED: u8 = 1;
const SAME_FIELDS: u8 = 2;
const HAS_SEQ: u8 = 4;

/// When a node is full. As in real servers, what counts are the bytes it would take as a listpack, whatever it takes here: a
/// node is what approximate trimming leaves or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes (`stream-node-max-bytes`); 0 for the most there may be.
    pub node_bytes: usize,
    /// Entries, deleted ones included (`stream-node-max-entries`); 0 for no bound.
    pub node_entries: usize,
}

impl Limits {
    /// Nodes are walked from the front, so even "no bound" is one.
    const MOST_BYTES: usize = 1 << 20;

    fn bytes(self) -> usize {
        match self.node_bytes {
            0 => Limits::MOST_BYTES,
            n => n.min(Limits::MOST_BYTES),
        }
    }
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    first: StreamId,
    /// Entries that are not deleted.
    pub live: u32,
    /// Entries that are.
    dead: u32,
    /// Where the entries start.
    entries_at: u32,
    /// Bytes as a listpack, but for the two counts of entries.
    listpack: u32,
}

impl Node {
    /// A node for entries from `first` on with the fields of `pairs`, which are names and values by turns.
    pub fn new(first: StreamId, pairs: &[&[u8]]) -> Node {
        let mut bytes = Vec::new();
        push_varint(&mut bytes, pairs.len() as u64 / 2);
        // Header and end, the number of names, and the zero behind them.
        let mut listpack = 7 + listpack::int(pairs.len() as i64 / 2) + listpack::int(0);
        for name in pairs.iter().step_by(2) {
            packed::push(&mut bytes, name);
            listpack += listpack::text(name);
        }
        Node {
            entries_at: length32(bytes.len()),
            listpack: u32::try_from(listpack).unwrap_or(u32::MAX),
            bytes,
            first,
            live: 0,
            dead: 0,
        }
    }

    /// Bytes it owns.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where the next entry will stand.
    pub fn end(&self) -> usize {
        self.bytes.len()
    }

    /// Whether an entry of `text_len` bytes of names and values would be too much.
    pub fn is_full(&self, text_len: usize, limits: Limits) -> bool {
        self.listpack_bytes() + text_len >= limits.bytes()
            || (limits.node_entries != 0 && (self.live + self.dead) as usize >= limits.node_entries)
    }

    /// Bytes it would take in a real server.
    fn listpack_bytes(&self) -> usize {
        let counts = listpack::int(self.live.into()) + listpack::int(self.dead.into());
        self.listpack as usize + counts
    }

    /// The same of an entry.
    fn listpack_entry(&self, id: StreamId, pairs: &[&[u8]], same: bool) -> usize {
        let fields = pairs.len() / 2;
        let (ms, seq) = (id.ms - self.first.ms, id.seq.wrapping_sub(self.first.seq));
        // Flags, ID, and how many elements it has.
        let mut bytes = listpack::int(0) + listpack::int(ms as i64) + listpack::int(seq as i64);
        if same {
            bytes += listpack::int(fields as i64 + 3);
        } else {
            bytes += listpack::int(fields as i64) + listpack::int(2 * fields as i64 + 4);
        }
        let stored = pairs.iter().skip(usize::from(same));
        bytes
            + stored
                .step_by(1 + usize::from(same))
                .map(|text| listpack::text(text))
                .sum::<usize>()
    }

    /// Gives back what was reserved for further entries.
    pub fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Adds an entry whose ID is higher than all in the node.
    pub fn push(&mut self, id: StreamId, pairs: &[&[u8]]) {
        let ms = id.ms - self.first.ms;
        let seq = if ms == 0 {
            id.seq - self.first.seq
        } else {
            id.seq
        };
        let same = self.has_fields(pairs);
        let listpack = u32::try_from(self.listpack_entry(id, pairs, same)).unwrap_or(u32::MAX);
        self.listpack = self.listpack.saturating_add(listpack);
        let flags = if same { SAME_FIELDS } else { 0 } | if seq != 0 { HAS_SEQ } else { 0 };
        self.bytes.push(flags);
        let length_at = self.bytes.len();
        // Nearly always a single byte is enough for the length.
        self.bytes.push(0);
        push_varint(&mut self.bytes, ms);
        if seq != 0 {
            push_varint(&mut self.bytes, seq);
        }
        if same {
            for value in pairs.iter().skip(1).step_by(2) {
                packed::push(&mut self.bytes, value);
            }
        } else {
            push_varint(&mut self.bytes, pairs.len() as u64 / 2);
            for text in pairs {
                packed::push(&mut self.bytes, text);
            }
        }
        let length = self.bytes.len() - length_at - 1;
        if length < 0x80 {
            self.bytes[length_at] = length as u8;
        } else {
            let mut varint = Vec::with_capacity(5);
            push_varint(&mut varint, length as u64);
            self.bytes.splice(length_at..=length_at, varint);
        }
        self.live += 1;
    }

    fn has_fields(&self, pairs: &[&[u8]]) -> bool {
        let (count, names) = self.fields();
        count == pairs.len() / 2
            && pairs
                .iter()
                .step_by(2)
                .zip(packed::items(names))
                .all(|(name, (_, item))| match item {
                    Item::Bytes(b) => b == *name,
                    Item::Int(_) => item == Item::of(name),
                })
    }

    /// The node's field names: how many and which.
    fn fields(&self) -> (usize, &[u8]) {
        let (count, at) = varint(&self.bytes, 0);
        (count as usize, &self.bytes[at..self.entries_at as usize])
    }

    /// The entries in order, deleted ones included.
    pub fn entries(&self) -> Entries<'_> {
        self.entries_from(self.entries_at as usize)
    }

    /// The entries in order from the one at byte `at` on.
    pub fn entries_from(&self, at: usize) -> Entries<'_> {
        Entries { node: self, at }
    }

    /// The highest ID that was ever in the node.
    pub fn last_raw(&self) -> StreamId {
        self.entries().last().map_or(self.first, |e| e.id)
    }

    /// The byte where a live entry of this ID stands.
    pub fn find(&self, id: StreamId) -> Option<usize> {
        // Only those that live are in order: a stream that was set back goes on below what was deleted.
        self.entries()
            .find(|e| !e.deleted && e.id >= id)
            .filter(|e| e.id == id)
            .map(|e| e.at)
    }

    /// Marks the live entry at byte `at` as deleted.
    pub fn delete_at(&mut self, at: usize) {
        self.bytes[at] |= DELETED;
        self.live -= 1;
        self.dead += 1;
    }
}

/// Iterates over a node.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    node: &'a Node,
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Raw<'a>;

    #[inline]
    fn next(&mut self) -> Option<Raw<'a>> {
        let bytes = &self.node.bytes;
        let flags = *bytes.get(self.at)?;
        let at = self.at;
        let (length, body) = varint(bytes, at + 1);
        self.at = body + length as usize;
        let (ms, mut body) = varint(bytes, body);
        let mut seq = 0;
        if flags & HAS_SEQ != 0 {
            (seq, body) = varint(bytes, body);
        }
        let first = self.node.first;
        let id = StreamId {
            ms: first.ms.wrapping_add(ms),
            seq: if ms == 0 {
                first.seq.wrapping_add(seq)
            } else {
                seq
            },
        };
        Some(Raw {
            at,
            id,
            deleted: flags & DELETED != 0,
            node: self.node,
            same_fields: flags & SAME_FIELDS != 0,
            body: &bytes[body..self.at],
        })
    }
}

/// An entry that may be deleted.
#[derive(Clone, Debug)]
pub(super) struct Raw<'a> {
    /// The byte where it starts.
    pub at: usize,
    pub id: StreamId,
    pub deleted: bool,
    node: &'a Node,
    same_fields: bool,
    body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// As its readers see it.
    pub fn entry(self) -> Entry<'a> {
        let (len, names, values) = if self.same_fields {
            let (count, names) = self.node.fields();
            (count, Some(packed::items(names)), packed::items(self.body))
        } else {
            let (count, at) = varint(self.body, 0);
            (count as usize, None, packed::items_from(self.body, at))
        };
        Entry {
            id: self.id,
            len,
            pairs: Pairs { names, values },
        }
    }
}

/// An entry of a stream.
#[derive(Clone)]
pub struct Entry<'a> {
    /// Its ID.
    pub id: StreamId,
    len: usize,
    pairs: Pairs<'a>,
}

impl<'a> Entry<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none, which commands do not allow.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its fields and their values in order.
    pub fn pairs(&self) -> Pairs<'a> {
        self.pairs.clone()
    }
}

/// The fields of an entry with their values.
#[derive(Clone)]
pub struct Pairs<'a> {
    /// The node's names, if the entry has just these.
    names: Option<Items<'a>>,
    values: Items<'a>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (_, name) = match &mut self.names {
            Some(names) => names.next()?,
            None => self.values.next()?,
        };
        let (_, value) = self.values.next()?;
        Some((name, value))
    }
}

/// Bytes of a listpack's elements.
mod listpack {
    use crate::types::packed::Item;

    /// Of an integer.
    pub fn int(n: i64) -> usize {
        let value = match n {
            0..=127 => 1,
            -4096..=4095 => 2,
            _ if i16::try_from(n).is_ok() => 3,
            -0x80_0000..=0x7f_ffff => 4,
            _ if i32::try_from(n).is_ok() => 5,
            _ => 9,
        };
        value + 1
    }

    /// Of a string, which is an integer if it can be.
    pub fn text(text: &[u8]) -> usize {
        if let Item::Int(n) = Item::of(text) {
            return int(n);
        }
        let value = text.len()
            + match text.len() {
                0..64 => 1,
                64..4096 => 2,
                _ => 5,
            };
        // Behind it stands its length, for the way back.
        value
            + match value {
                0..128 => 1,
                128..16_383 => 2,
                16_383..2_097_151 => 3,
                2_097_151..268_435_455 => 4,
                _ => 5,
            }
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// The varint at byte `at` and where it ends. Nodes are written by this file alone, so that it is there.
#[inline]
fn varint(bytes: &[u8], mut at: usize) -> (u64, usize) {
    let (mut n, mut shift) = (0u64, 0u32);
    loop {
        let byte = bytes[at];
        at += 1;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (n, at);
        }
        shift += 7;
    }
}
