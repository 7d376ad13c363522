//! Writing values and entries of files, in forms that the readers of a version know.
//!
//! | | 9 | 10 | 11 | 12 | Valkey's 80 |
//! |---|---|---|---|---|---|
//! | small hashes, sorted sets, nodes of lists | element by element | listpacks | listpacks | listpacks | listpacks |
//! | small sets | element by element | element by element | listpacks | listpacks | listpacks |
//! | streams | first form | with counters | with activity | with activity | with activity |
//! | streams with producers that are remembered, or entries given back | without | without | as Redis 8.6, 8.8 | as Redis 8.6, 8.8 | without |
//! | sets with members that expire | not at all | not at all | our own | our own | not at all |
//! | hashes with fields that expire | not at all | not at all | as 12 | Redis's | Valkey's |
//!
//! Sets of integers and everything large have one form in all of them. A reader of version 11 that knows no field expiry
//! refuses the one value that has it, by name; there is nothing better to write for it.
//!
//! A whole value goes into a buffer with [`entry`] or [`value`]; a large collection a stretch at a time with [`Pieces`].

use crate::put::{compressed, item, length, listpack, packed, string};
use crate::version::Version;
use crate::{kinds, stream};
use store::packed::Item;
use store::types::hash::{Hash, HashRef};
use store::types::list::{Chunk, List, ListRef};
use store::types::set::{Set, SetRef};
use store::types::sorted_set::{SortedSet, SortedSetRef};
use store::types::stream::{Ending, Entry, Idempotency, Stream, StreamRef};
use store::{EntryRef, Type, Value};

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whose readers must be able to read it.
    pub version: Version,
    /// Compress long strings (`rdbcompression`).
    pub compress: bool,
    /// Unix milliseconds: fields that expired before are left out.
    pub now_ms: u64,
    /// For a replica of another server, which is told when something has expired: what its version has no form for, or only
    /// newer servers of that version know, is written without.
    pub for_replica: bool,
}

impl Options {
    /// The type of a hash with fields that expire.
    fn timed_hash(&self) -> Result<u8, Unwritable> {
        match self.version {
            Version::V9 | Version::V10 | Version::V11 if self.for_replica => Ok(kinds::HASH),
            Version::V9 | Version::V10 => Err(Unwritable),
            Version::V11 | Version::V12 => Ok(kinds::HASH_METADATA),
            Version::Valkey80 => Ok(kinds::HASH_22),
        }
    }

    fn stream_kind(&self) -> u8 {
        match self.version {
            Version::V9 => kinds::STREAM_LISTPACKS,
            Version::V10 => kinds::STREAM_LISTPACKS_2,
            _ => kinds::STREAM_LISTPACKS_3,
        }
    }

    /// The type of a stream: a newer one than [`Options::stream_kind`] only if there is something that only that can say.
    pub fn kind_of_stream(&self, stream: StreamRef<'_>) -> u8 {
        match self.version {
            Version::V11 | Version::V12 if !self.for_replica => {
                newest_needed(stream, self.now_ms).unwrap_or(self.stream_kind())
            }
            _ => self.stream_kind(),
        }
    }
}

/// The type that a stream needs for what older ones cannot say: pending entries that belong to nobody, or names of producers'
/// messages that are still remembered and settings for that.
pub(crate) fn newest_needed(stream: StreamRef<'_>, now_ms: u64) -> Option<u8> {
    if stream.groups().any(|(_, group)| group.unowned() > 0) {
        return Some(kinds::STREAM_LISTPACKS_5);
    }
    let known = stream.idempotency()?;
    let usual = (known.duration_s(), known.max()) == (Idempotency::DURATION_S, Idempotency::MAX);
    let remembers = known.producers(now_ms).next().is_some();
    (!usual || remembers).then_some(kinds::STREAM_LISTPACKS_4)
}

/// A hash with fields that expire is to be written in a version that has no form for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable;

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fields that expire cannot be written in an RDB version before 11")
    }
}

impl std::error::Error for Unwritable {}

/// How much a key was used, for eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Seconds since it was used last.
    Idle(u64),
    /// Redis's logarithmic counter of uses.
    Frequency(u8),
}

/// What stands beside a value.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// The key.
    pub key: &'a [u8],
    /// When it expires, in Unix milliseconds.
    pub expiry_ms: Option<u64>,
    /// How much it was used, if that is to be written.
    pub hint: Option<Hint>,
    /// It is never to be evicted.
    pub kept: bool,
}

/// The name of the field before an entry whose key is never to be evicted. Its value is the key. Whoever does not know it reads past
/// it, as past any field about a file.
pub const KEPT: &str = "redpoll-no-evict";

/// The container numbers of list nodes: one large element, or a listpack.
const PLAIN: u64 = 1;
const PACKED: u64 = 2;

/// Appends a value, its type first, as DUMP has it. Returns the type, or `None` (and nothing written) if there is nothing
/// left of the value: a hash whose fields have all expired.
pub fn value(
    out: &mut Vec<u8>,
    e: &EntryRef<'_>,
    options: &Options,
) -> Result<Option<u8>, Unwritable> {
    let start = out.len();
    out.push(0);
    patched(out, start, start, e, options)
}

/// Appends an entry of a file. Returns its type, or `None` as [`value`] does.
pub fn entry(
    out: &mut Vec<u8>,
    meta: &Meta<'_>,
    e: &EntryRef<'_>,
    options: &Options,
) -> Result<Option<u8>, Unwritable> {
    let start = out.len();
    let type_at = head(out, meta, 0, options);
    patched(out, start, type_at, e, options)
}

/// Appends an entry of a string that is at hand without its key's entry.
pub fn string_entry(out: &mut Vec<u8>, meta: &Meta<'_>, text: &[u8], options: &Options) {
    head(out, meta, kinds::STRING, options);
    string(out, text, options.compress);
}

/// Appends the body of a value whose type at `type_at` is still to be filled in; takes back all from `start` on if there is
/// none.
fn patched(
    out: &mut Vec<u8>,
    start: usize,
    type_at: usize,
    e: &EntryRef<'_>,
    options: &Options,
) -> Result<Option<u8>, Unwritable> {
    match body(out, e, options) {
        Ok(Some(kind)) => {
            out[type_at] = kind;
            Ok(Some(kind))
        }
        other => {
            out.truncate(start);
            other
        }
    }
}

/// What stands before a value in a file. Returns where its type is.
fn head(out: &mut Vec<u8>, meta: &Meta<'_>, kind: u8, options: &Options) -> usize {
    use crate::opcode;
    if meta.kept {
        out.push(opcode::AUX);
        string(out, KEPT.as_bytes(), false);
        string(out, meta.key, false);
    }
    if let Some(ms) = meta.expiry_ms {
        out.push(opcode::EXPIRY_MS);
        out.extend(ms.to_le_bytes());
    }
    match meta.hint {
        Some(Hint::Idle(seconds)) => {
            out.push(opcode::IDLE);
            length(out, seconds);
        }
        Some(Hint::Frequency(n)) => out.extend([opcode::FREQUENCY, n]),
        None => {}
    }
    let type_at = out.len();
    out.push(kind);
    string(out, meta.key, options.compress);
    type_at
}

/// Appends a value without its type, and says which that is.
fn body(out: &mut Vec<u8>, e: &EntryRef<'_>, options: &Options) -> Result<Option<u8>, Unwritable> {
    Ok(match e.kind() {
        Type::String => {
            match e.value() {
                Value::Int(n) => item(out, Item::Int(n), false),
                Value::Inline(text) => string(out, text, options.compress),
                Value::Blob(blob) => string(out, blob, options.compress),
            }
            Some(kinds::STRING)
        }
        Type::List => e.view::<List>().map(|l| list(out, l, options)),
        Type::Set => match e.view::<Set>() {
            Some(view) => set(out, view.at(options.now_ms), options)?,
            None => None,
        },
        Type::SortedSet => e.view::<SortedSet>().map(|s| sorted_set(out, s, options)),
        Type::Hash => match e.view::<Hash>() {
            Some(view) => hash(out, view, options)?,
            None => None,
        },
        Type::Stream => e.view::<Stream>().map(|s| {
            let kind = options.kind_of_stream(s);
            stream::write(out, s, kind, options.compress);
            kind
        }),
    })
}

fn list(out: &mut Vec<u8>, list: ListRef<'_>, options: &Options) -> u8 {
    if options.version == Version::V9 {
        length(out, list.len() as u64);
        list.iter().for_each(usize::MAX, |element| {
            string(out, element.text(&mut [0; 20]), options.compress);
        });
        return kinds::LIST;
    }
    length(out, list.chunk_count() as u64);
    for chunk in (0..list.chunk_count()).filter_map(|at| list.chunk(at)) {
        list_node(out, chunk, options.compress);
    }
    kinds::LIST_QUICKLIST_2
}

fn list_node(out: &mut Vec<u8>, chunk: Chunk<'_>, compress: bool) {
    match chunk {
        Chunk::Packed(entries, count) => {
            length(out, PACKED);
            listpack(out, entries, count, compress);
        }
        Chunk::Plain(blob) => {
            length(out, PLAIN);
            string(out, blob, compress);
        }
        // It is what a compressed string is here too.
        Chunk::Compressed { lzf, len, count } => {
            length(out, if count == 0 { PLAIN } else { PACKED });
            if compress {
                compressed(out, lzf, len);
            } else {
                let whole = store::lzf::decompress(lzf, len).unwrap_or_default();
                string(out, &whole, false);
            }
        }
    }
}

fn set(out: &mut Vec<u8>, set: SetRef<'_>, options: &Options) -> Result<Option<u8>, Unwritable> {
    if let Some(members) = set.timed() {
        return timed_set(out, &members.collect::<Vec<_>>(), options);
    }
    Ok(Some(match set {
        SetRef::Ints { width, bytes } => {
            let mut intset = Vec::with_capacity(8 + bytes.len());
            intset.extend((width as u32).to_le_bytes());
            intset.extend(((bytes.len() / width) as u32).to_le_bytes());
            intset.extend_from_slice(bytes);
            string(out, &intset, options.compress);
            kinds::SET_INTSET
        }
        SetRef::Packed(_) if options.version > Version::V10 => {
            packed(out, options.compress, |listpack| {
                set.for_each(|member| listpack.push(member));
            });
            kinds::SET_LISTPACK
        }
        _ => {
            length(out, set.len() as u64);
            set.for_each(|member| item(out, member, options.compress));
            kinds::SET
        }
    }))
}

/// A set whose members may expire: in our own form if one does, else as any other.
fn timed_set(
    out: &mut Vec<u8>,
    members: &[(&[u8], Option<u64>)],
    options: &Options,
) -> Result<Option<u8>, Unwritable> {
    if members.is_empty() {
        return Ok(None);
    }
    let timed = !options.for_replica && members.iter().any(|(_, due)| due.is_some());
    if timed && !matches!(options.version, Version::V11 | Version::V12) {
        return Err(Unwritable);
    }
    length(out, members.len() as u64);
    for (member, due) in members {
        string(out, member, options.compress);
        if timed {
            out.extend(due.unwrap_or(0).to_le_bytes());
        }
    }
    Ok(Some(if timed { kinds::SET_TIMED } else { kinds::SET }))
}

fn sorted_set(out: &mut Vec<u8>, set: SortedSetRef<'_>, options: &Options) -> u8 {
    if set.is_packed() && options.version != Version::V9 {
        packed(out, options.compress, |listpack| {
            let mut score_text = Vec::new();
            for (member, score) in set.entries() {
                listpack.push(member);
                if score == score.trunc() && score.abs() < 1e15 && score != 0.0 {
                    listpack.push(Item::Int(score as i64));
                    continue;
                }
                score_text.clear();
                resp::number::format_f64(score, &mut score_text);
                listpack.push_text(&score_text);
            }
        });
        return kinds::ZSET_LISTPACK;
    }
    length(out, set.len() as u64);
    // From the highest down, as servers do: adding to the front of their lists takes no search.
    for (member, score) in set.iter_down(0..set.len()) {
        item(out, member, options.compress);
        out.extend(score.to_le_bytes());
    }
    kinds::ZSET_2
}

fn hash(out: &mut Vec<u8>, hash: HashRef<'_>, options: &Options) -> Result<Option<u8>, Unwritable> {
    let (mut count, mut first_due) = (0u64, None::<u64>);
    for (_, field) in hash.iter(options.now_ms) {
        count += 1;
        first_due = first_due.into_iter().chain(field.due_ms).min();
    }
    if count == 0 {
        return Ok(None);
    }
    if let Some(first) = first_due {
        let kind = options.timed_hash()?;
        timed_head(out, kind, count, first);
        for (name, field) in hash.iter(options.now_ms) {
            timed_field(out, kind, first, name, field.value, field.due_ms, options);
        }
        return Ok(Some(kind));
    }
    if hash.is_packed() && options.version != Version::V9 {
        packed(out, options.compress, |listpack| {
            for (name, field) in hash.iter(options.now_ms) {
                listpack.push_text(name);
                // Short texts of numbers are stored as texts.
                match field.value {
                    Item::Bytes(text) => listpack.push_text(text),
                    number => listpack.push(number),
                }
            }
        });
        return Ok(Some(kinds::HASH_LISTPACK));
    }
    length(out, count);
    for (name, field) in hash.iter(options.now_ms) {
        string(out, name, options.compress);
        item(out, field.value, options.compress);
    }
    Ok(Some(kinds::HASH))
}

fn timed_head(out: &mut Vec<u8>, kind: u8, count: u64, first: u64) {
    if kind == kinds::HASH_METADATA {
        out.extend(first.to_le_bytes());
    }
    length(out, count);
}

fn timed_field(
    out: &mut Vec<u8>,
    kind: u8,
    first: u64,
    name: &[u8],
    value: Item<'_>,
    due_ms: Option<u64>,
    options: &Options,
) {
    if kind == kinds::HASH_METADATA {
        // One more than the difference, for zero says that the field stays.
        length(out, due_ms.map_or(0, |ms| ms.saturating_sub(first) + 1));
    }
    string(out, name, options.compress);
    item(out, value, options.compress);
    if kind == kinds::HASH_22 {
        out.extend(due_ms.unwrap_or(u64::MAX).to_le_bytes());
    }
}

/// What a collection that is written in pieces is made of.
#[derive(Clone, Copy, Debug)]
pub enum Head {
    /// A list of so many elements.
    List(u64),
    /// A list of so many nodes; element by element where the version knows no nodes, so see [`Pieces::takes_nodes`].
    ListNodes {
        /// How many chunks it has.
        nodes: u64,
        /// How many elements are in them.
        elements: u64,
    },
    /// A set of so many members.
    Set(u64),
    /// A sorted set of so many members.
    SortedSet(u64),
    /// A hash of so many fields.
    Hash(u64),
    /// A hash with fields that expire.
    TimedHash {
        /// How many fields it has.
        fields: u64,
        /// When the first of them expires, or any time before.
        first_due_ms: u64,
    },
    /// A stream of so many nodes (`StreamRef::nodes`) that has nothing which needs a newer type.
    Stream(u64),
    /// A stream of so many nodes, and its type ([`Options::kind_of_stream`]).
    StreamOf(u64, u8),
}

/// A collection that is being written a stretch at a time: its elements need neither be there nor be locked all at once,
/// only their number has to be known first. Every piece is appended to whatever buffer it is given.
#[derive(Debug)]
#[must_use]
pub struct Pieces {
    kind: u8,
    left: u64,
    first_due_ms: u64,
    options: Options,
}

/// Not as many elements were written as had been announced, or one of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miscounted;

impl std::fmt::Display for Miscounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a collection was not written as announced")
    }
}

impl std::error::Error for Miscounted {}

impl Pieces {
    /// Appends what stands before the elements.
    pub fn begin(
        out: &mut Vec<u8>,
        meta: &Meta<'_>,
        what: Head,
        options: &Options,
    ) -> Result<Pieces, Unwritable> {
        let (kind, count) = match what {
            Head::List(n) => (kinds::LIST, n),
            Head::ListNodes { elements, .. } if options.version == Version::V9 => {
                (kinds::LIST, elements)
            }
            Head::ListNodes { nodes, .. } => (kinds::LIST_QUICKLIST_2, nodes),
            Head::Set(n) => (kinds::SET, n),
            Head::SortedSet(n) => (kinds::ZSET_2, n),
            Head::Hash(n) => (kinds::HASH, n),
            Head::TimedHash { fields, .. } => (options.timed_hash()?, fields),
            Head::Stream(n) => (options.stream_kind(), n),
            Head::StreamOf(n, kind) => (kind, n),
        };
        head(out, meta, kind, options);
        let mut first = 0;
        if let Head::TimedHash { first_due_ms, .. } = what {
            first = first_due_ms;
            timed_head(out, kind, count, first);
        } else {
            length(out, count);
        }
        Ok(Pieces {
            kind,
            left: count,
            first_due_ms: first,
            options: *options,
        })
    }

    /// The type it is written as.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Elements (or nodes) that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether a list goes in by its nodes, else by its elements.
    pub fn takes_nodes(&self) -> bool {
        self.kind == kinds::LIST_QUICKLIST_2
    }

    fn one(&mut self, kinds: &[u8]) -> Result<(), Miscounted> {
        if !kinds.contains(&self.kind) {
            return Err(Miscounted);
        }
        self.left = self.left.checked_sub(1).ok_or(Miscounted)?;
        Ok(())
    }

    /// Appends an element of a list or a member of a set.
    pub fn element(&mut self, out: &mut Vec<u8>, element: Item<'_>) -> Result<(), Miscounted> {
        self.one(&[kinds::LIST, kinds::SET])?;
        item(out, element, self.options.compress);
        Ok(())
    }

    /// Appends a node of a list.
    pub fn node(&mut self, out: &mut Vec<u8>, chunk: Chunk<'_>) -> Result<(), Miscounted> {
        self.one(&[kinds::LIST_QUICKLIST_2])?;
        list_node(out, chunk, self.options.compress);
        Ok(())
    }

    /// Appends a member of a sorted set. Those who load it are fastest if the highest comes first.
    pub fn scored(
        &mut self,
        out: &mut Vec<u8>,
        member: Item<'_>,
        score: f64,
    ) -> Result<(), Miscounted> {
        self.one(&[kinds::ZSET_2])?;
        item(out, member, self.options.compress);
        out.extend(score.to_le_bytes());
        Ok(())
    }

    /// Appends a field of a hash; one that expires only to [`Head::TimedHash`].
    pub fn field(
        &mut self,
        out: &mut Vec<u8>,
        name: &[u8],
        value: Item<'_>,
        due_ms: Option<u64>,
    ) -> Result<(), Miscounted> {
        self.one(&[kinds::HASH, kinds::HASH_22, kinds::HASH_METADATA])?;
        if due_ms.is_some() && self.kind == kinds::HASH && !self.options.for_replica {
            return Err(Miscounted);
        }
        let (first, options) = (self.first_due_ms, self.options);
        timed_field(out, self.kind, first, name, value, due_ms, &options);
        Ok(())
    }

    /// Appends a node of a stream: entries in order, one at least (`StreamRef::node_from`).
    pub fn entries<'e>(
        &mut self,
        out: &mut Vec<u8>,
        entries: impl IntoIterator<Item = Entry<'e>>,
    ) -> Result<(), Miscounted> {
        self.one(&[
            kinds::STREAM_LISTPACKS,
            kinds::STREAM_LISTPACKS_2,
            kinds::STREAM_LISTPACKS_3,
            kinds::STREAM_LISTPACKS_4,
            kinds::STREAM_LISTPACKS_5,
        ])?;
        if stream::write_node(out, entries, self.options.compress) {
            Ok(())
        } else {
            Err(Miscounted)
        }
    }

    fn is_stream(&self) -> bool {
        self.kind == self.options.stream_kind() || self.kind >= kinds::STREAM_LISTPACKS_4
    }

    /// Ends a list, set, sorted set or hash.
    pub fn finish(self) -> Result<(), Miscounted> {
        if self.left > 0 || self.is_stream() {
            return Err(Miscounted);
        }
        Ok(())
    }

    /// Appends what stands behind the nodes of a stream: its counters and groups.
    pub fn finish_stream(self, out: &mut Vec<u8>, ending: &Ending<'_>) -> Result<(), Miscounted> {
        if self.left > 0 || !self.is_stream() {
            return Err(Miscounted);
        }
        stream::write_end(out, ending, self.kind, self.options.compress);
        Ok(())
    }
}
