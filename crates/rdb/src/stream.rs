//! Streams: nodes of entries, each a listpack under its first ID, then the stream's numbers, then its groups.
//!
//! A node begins with a master entry: how many entries it has, how many of them are deleted, and the field names that most
//! of them share. An entry is its flags, how far its ID is past the node's (milliseconds and sequence), its fields, and how
//! many elements that was, for walking backwards.

use crate::cursor::Cursor;
use crate::listpack::{Builder, Listpack};
use crate::put::{length, string};
use crate::{Malformed, Result, Settings, kinds};
use store::Collection;
use store::packed::Item;
use store::types::stream::{
    Ending, Entry, Group, Idempotency, NOBODY, Pending, Stream, StreamId, StreamRef,
};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

const BAD: Malformed = Malformed("bad stream");

/// So many times larger than its node an entry's text may become in all, since its field names may stand elsewhere.
const MAX_GROWTH: usize = 128;

/// Reads a node.
pub(crate) fn read_node(
    stream: &mut Stream,
    r: &mut Cursor<'_>,
    settings: &Settings,
) -> Result<()> {
    let key = r.string()?;
    let first = raw_id(&mut Cursor::new(&key))?;
    if key.len() != 16 {
        return Err(BAD);
    }
    node(stream, first, &r.string()?, settings)
}

/// Reads what stands behind the nodes.
pub(crate) fn read_end(stream: &mut Stream, kind: u8, r: &mut Cursor<'_>) -> Result<()> {
    let entries = r.length()?;
    let last_id = id(r)?;
    if entries != stream.len() as u64 || last_id < stream.view().last_id() {
        return Err(BAD);
    }
    let (mut added, mut deleted) = (entries, StreamId::MIN);
    if kind != kinds::STREAM_LISTPACKS {
        // The first ID follows from the entries.
        id(r)?;
        deleted = id(r)?;
        added = r.length()?;
        // What was deleted last may be past the last ID, if XSETID said so.
        if added < entries {
            return Err(BAD);
        }
    }
    stream.set_last_id(last_id, Some(added), Some(deleted));
    for _ in 0..r.count()? {
        let name = r.string()?;
        let group = group(kind, r, stream)?;
        if !stream.create_group(&name, group) {
            return Err(BAD);
        }
    }
    if kind >= kinds::STREAM_LISTPACKS_4 {
        read_idempotency(stream, r)?;
    }
    Ok(())
}

/// Reads what producers have sent: how long and how many to remember, then for each producer its messages' names and IDs, then
/// how many were added and how many were there already.
fn read_idempotency(stream: &mut Stream, r: &mut Cursor<'_>) -> Result<()> {
    let (duration_s, max) = (r.length()?, r.length()?);
    let mut known = Idempotency::new(duration_s.min(DAY_S), max.min(MOST_NAMES));
    for _ in 0..r.count()? {
        let producer = r.string()?;
        for _ in 0..r.count()? {
            let name = r.string()?;
            known.restore(&producer, &name, id(r)?);
        }
    }
    (known.added, known.duplicates) = (r.length()?, r.length()?);
    let usual = (
        known.duration_s(),
        known.max(),
        known.added,
        known.duplicates,
    ) == (Idempotency::DURATION_S, Idempotency::MAX, 0, 0);
    if !usual || !known.is_empty() {
        *stream.idempotency_mut() = known;
    }
    Ok(())
}

/// The most that may be said of how long to remember names, and how many of a producer.
const DAY_S: u64 = 86_400;
const MOST_NAMES: u64 = 10_000;

fn id(r: &mut Cursor<'_>) -> Result<StreamId> {
    Ok(StreamId::new(r.length()?, r.length()?))
}

/// An ID as 16 bytes, big endian.
fn raw_id(r: &mut Cursor<'_>) -> Result<StreamId> {
    Ok(StreamId::new(r.u64_be()?, r.u64_be()?))
}

fn time(r: &mut Cursor<'_>) -> Result<i64> {
    r.u64_le().map(|ms| ms as i64)
}

fn count(elements: &mut Listpack<'_>) -> Result<usize> {
    usize::try_from(elements.number()?).map_err(|_| BAD)
}

fn node(stream: &mut Stream, first: StreamId, bytes: &[u8], settings: &Settings) -> Result<()> {
    let mut elements = Listpack::new(bytes)?;
    let (mut live, mut deleted) = (count(&mut elements)?, count(&mut elements)?);
    let mut names: Vec<Vec<u8>> = Vec::new();
    for _ in 0..count(&mut elements)? {
        names.push(elements.item()?.to_vec());
    }
    if elements.number()? != 0 {
        return Err(BAD);
    }
    let mut growth_left = bytes.len().saturating_mul(MAX_GROWTH);
    while live + deleted > 0 {
        let flags = elements.number()?;
        let (ms, seq) = (elements.number()?, elements.number()?);
        let id = StreamId::new(
            first.ms.wrapping_add(ms as u64),
            first.seq.wrapping_add(seq as u64),
        );
        let same = flags & SAME_FIELDS != 0;
        let fields = if same {
            names.len()
        } else {
            count(&mut elements)?
        };
        let mut texts: Vec<Vec<u8>> = Vec::new();
        if same {
            for name in &names {
                growth_left = growth_left.checked_sub(name.len()).ok_or(BAD)?;
                texts.extend([name.clone(), elements.item()?.to_vec()]);
            }
        } else {
            for _ in 0..fields {
                texts.extend([elements.item()?.to_vec(), elements.item()?.to_vec()]);
            }
        }
        let expected = if same { fields + 3 } else { 2 * fields + 4 };
        if count(&mut elements)? != expected {
            return Err(BAD);
        }
        if flags & DELETED != 0 {
            deleted = deleted.checked_sub(1).ok_or(BAD)?;
            continue;
        }
        live = live.checked_sub(1).ok_or(BAD)?;
        if fields == 0 || id <= stream.view().last_id() {
            return Err(BAD);
        }
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        stream.append(id, &texts, settings.stream);
    }
    if elements.next_item()?.is_some() {
        Err(BAD)
    } else {
        Ok(())
    }
}

/// An entry that was delivered and not acknowledged: its ID, when it was delivered, and how often.
type Delivered = (StreamId, i64, u64);

/// Reads which of the delivered entries, sorted by ID, belong to a consumer. No entry belongs to two.
fn assign(
    group: &mut Group,
    r: &mut Cursor<'_>,
    delivered: &[Delivered],
    consumer: u32,
) -> Result<()> {
    for _ in 0..r.count()? {
        let id = raw_id(r)?;
        let at = delivered
            .binary_search_by_key(&id, |entry| entry.0)
            .map_err(|_| BAD)?;
        if group.pending(id).is_some() {
            return Err(BAD);
        }
        let (_, delivered_ms, deliveries) = delivered[at];
        group.assign(
            id,
            Pending {
                consumer,
                delivered_ms,
                deliveries,
            },
        );
    }
    Ok(())
}

fn group(kind: u8, r: &mut Cursor<'_>, stream: &Stream) -> Result<Group> {
    let last_id = id(r)?;
    let entries_read = if kind == kinds::STREAM_LISTPACKS {
        stream.view().entries_up_to(last_id)
    } else {
        // A negative number stands for one that is not known.
        Some(r.length()? as i64).filter(|n| *n >= 0)
    };
    let mut group = Group::new(last_id, entries_read);
    let mut pending: Vec<Delivered> = Vec::new();
    for _ in 0..r.count()? {
        pending.push((raw_id(r)?, time(r)?, r.length()?));
    }
    pending.sort_unstable();
    if pending.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(BAD);
    }
    for _ in 0..r.count()? {
        let name = r.string()?;
        let seen_ms = time(r)?;
        let active_ms = if kind >= kinds::STREAM_LISTPACKS_3 {
            Some(time(r)?).filter(|ms| *ms >= 0)
        } else {
            Some(seen_ms)
        };
        let (no, new) = group.consumer_or_new(&name, seen_ms);
        if !new {
            return Err(BAD);
        }
        if let Some(consumer) = group.consumer_mut(no) {
            consumer.active_ms = active_ms;
        }
        assign(&mut group, r, &pending, no)?;
    }
    if kind >= kinds::STREAM_LISTPACKS_5 {
        assign(&mut group, r, &pending, NOBODY)?;
    }
    if group.pending_len() != pending.len() {
        return Err(BAD);
    }
    Ok(group)
}

pub(crate) fn write(out: &mut Vec<u8>, stream: StreamRef<'_>, kind: u8, compress: bool) {
    length(out, stream.nodes() as u64);
    let mut next = Some(StreamId::MIN);
    while let Some((first, entries)) = next.and_then(|at| stream.node_from(at)) {
        write_node(out, entries, compress);
        next = first.next();
    }
    write_end(out, &stream.ending(), kind, compress);
}

/// Writes entries as one node. False, and nothing written, if there are none.
pub(crate) fn write_node<'e>(
    out: &mut Vec<u8>,
    entries: impl IntoIterator<Item = Entry<'e>>,
    compress: bool,
) -> bool {
    let mut node: Option<Node> = None;
    for entry in entries {
        node.get_or_insert_with(|| Node::new(&entry)).push(&entry);
    }
    let Some(node) = node else {
        return false;
    };
    let (first, bytes) = node.finish();
    push_node(out, first, &bytes, compress);
    true
}

fn push_node(out: &mut Vec<u8>, first: StreamId, bytes: &[u8], compress: bool) {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.ms.to_be_bytes());
    key[8..].copy_from_slice(&first.seq.to_be_bytes());
    string(out, &key, false);
    string(out, bytes, compress);
}

/// Writes what stands behind the nodes.
pub(crate) fn write_end(out: &mut Vec<u8>, ending: &Ending<'_>, kind: u8, compress: bool) {
    let counters = kind != kinds::STREAM_LISTPACKS;
    length(out, ending.len);
    push_id(out, ending.last_id);
    if counters {
        push_id(out, ending.first_id);
        push_id(out, ending.max_deleted_id);
        length(out, ending.entries_added);
    }
    length(out, ending.groups.len() as u64);
    for (name, group) in &ending.groups {
        string(out, name, compress);
        push_id(out, group.last_id);
        if counters {
            length(out, group.entries_read.unwrap_or(-1) as u64);
        }
        // Readers of older forms want a consumer of each: what belongs to nobody is not pending for them.
        let unowned = kind >= kinds::STREAM_LISTPACKS_5;
        let left_out = if unowned { 0 } else { group.unowned() };
        length(out, (group.pending_len() - left_out) as u64);
        let all = group.pending_from(StreamId::MIN);
        for (id, pending) in all.filter(|(_, p)| unowned || p.consumer != NOBODY) {
            push_raw_id(out, *id);
            out.extend(pending.delivered_ms.to_le_bytes());
            length(out, pending.deliveries);
        }
        length(out, group.consumers_len() as u64);
        for consumer in group.consumers() {
            string(out, &consumer.name, compress);
            out.extend(consumer.seen_ms.to_le_bytes());
            if kind >= kinds::STREAM_LISTPACKS_3 {
                out.extend(consumer.active_ms.unwrap_or(-1).to_le_bytes());
            }
            length(out, consumer.pending_len() as u64);
            for id in consumer.pending_from(StreamId::MIN) {
                push_raw_id(out, id);
            }
        }
        if kind >= kinds::STREAM_LISTPACKS_5 {
            length(out, group.unowned() as u64);
            for (id, _) in group
                .pending_from(StreamId::MIN)
                .filter(|(_, p)| p.consumer == NOBODY)
            {
                push_raw_id(out, *id);
            }
        }
    }
    if kind >= kinds::STREAM_LISTPACKS_4 {
        write_idempotency(out, ending.idempotency, compress);
    }
}

fn write_idempotency(out: &mut Vec<u8>, known: Option<&Idempotency>, compress: bool) {
    static USUAL: Idempotency = Idempotency::new(Idempotency::DURATION_S, Idempotency::MAX);
    let known = known.unwrap_or(&USUAL);
    length(out, known.duration_s());
    length(out, known.max());
    // What is over is over for the reader as well.
    let producers: Vec<_> = known.producers(0).collect();
    length(out, producers.len() as u64);
    for (producer, names) in producers {
        string(out, producer, compress);
        length(out, names.len() as u64);
        for (name, id) in names {
            string(out, name, compress);
            push_id(out, id);
        }
    }
    length(out, known.added);
    length(out, known.duplicates);
}

fn push_id(out: &mut Vec<u8>, id: StreamId) {
    length(out, id.ms);
    length(out, id.seq);
}

fn push_raw_id(out: &mut Vec<u8>, id: StreamId) {
    out.extend(id.ms.to_be_bytes());
    out.extend(id.seq.to_be_bytes());
}

/// A node being written.
struct Node {
    first: StreamId,
    names: Vec<Vec<u8>>,
    entries: Builder,
    count: usize,
}

impl Node {
    fn new(first: &Entry<'_>) -> Node {
        Node {
            first: first.id,
            names: first.pairs().map(|(name, _)| name.to_vec()).collect(),
            entries: Builder::new(),
            count: 0,
        }
    }

    fn push(&mut self, entry: &Entry<'_>) {
        let same = entry.len() == self.names.len()
            && entry
                .pairs()
                .zip(&self.names)
                .all(|((name, _), ours)| name.text(&mut [0; 20]) == ours);
        let builder = &mut self.entries;
        let mut elements = 3;
        builder.push(Item::Int(if same { SAME_FIELDS } else { 0 }));
        builder.push(Item::Int(entry.id.ms.wrapping_sub(self.first.ms) as i64));
        builder.push(Item::Int(entry.id.seq.wrapping_sub(self.first.seq) as i64));
        if !same {
            builder.push(Item::Int(entry.len() as i64));
            elements += 1;
        }
        for (name, value) in entry.pairs() {
            if !same {
                builder.push(name);
                elements += 1;
            }
            builder.push(value);
            elements += 1;
        }
        builder.push(Item::Int(elements));
        self.count += 1;
    }

    fn finish(self) -> (StreamId, Vec<u8>) {
        let mut builder = Builder::new();
        builder.push(Item::Int(self.count as i64));
        builder.push(Item::Int(0));
        builder.push(Item::Int(self.names.len() as i64));
        for name in &self.names {
            builder.push_text(name);
        }
        builder.push(Item::Int(0));
        builder.append(&self.entries);
        (self.first, builder.finish())
    }
}
