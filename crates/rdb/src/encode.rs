//! Writing a value, in forms that Redis 7.0 and all later servers read.
//!
//! Sets of strings are written element by element, since Redis 7.0 knows no packed sets, and streams without the time at
//! which consumers were last active; servers give such a set the form that suits its size. Only hashes with expiring
//! fields have no form that all know: they are written as Redis 7.4 and later do.

use crate::listpack::Builder;
use crate::writer::{item, length, string};
use crate::{kinds, stream};
use store::packed::Item;
use store::types::hash::{Hash, HashRef};
use store::types::list::{Chunk, List, ListRef};
use store::types::set::{Set, SetRef};
use store::types::sorted_set::{SortedSet, SortedSetRef};
use store::types::stream::{Limits, Stream};
use store::{EntryRef, Type, Value};

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Compress long strings (`rdbcompression`).
    pub compress: bool,
    /// Unix milliseconds: fields that expired before are left out.
    pub now_ms: u64,
    /// How large the nodes of streams are.
    pub stream: Limits,
}

/// The container numbers of list nodes: one large element, or a listpack.
const PLAIN: u64 = 1;
const PACKED: u64 = 2;

/// Appends a value, its type first. Returns the type, or `None` if there is nothing left of the value: a hash whose
/// fields have all expired.
pub fn value(out: &mut Vec<u8>, e: &EntryRef<'_>, options: &Options) -> Option<u8> {
    let start = out.len();
    match e.kind() {
        Type::String => {
            out.push(kinds::STRING);
            match e.value() {
                Value::Int(n) => item(out, Item::Int(n), false),
                Value::Inline(text) => string(out, text, options.compress),
                Value::Blob(blob) => string(out, blob, options.compress),
            }
        }
        Type::List => list(out, e.view::<List>()?, options),
        Type::Set => set(out, e.view::<Set>()?, options),
        Type::SortedSet => sorted_set(out, e.view::<SortedSet>()?, options),
        Type::Hash => hash(out, e.view::<Hash>()?, options)?,
        Type::Stream => {
            out.push(kinds::STREAM_LISTPACKS_2);
            stream::write(out, e.view::<Stream>()?, options);
        }
    }
    out.get(start).copied()
}

fn list(out: &mut Vec<u8>, list: ListRef<'_>, options: &Options) {
    out.push(kinds::LIST_QUICKLIST_2);
    length(out, list.chunk_count() as u64);
    for chunk in (0..list.chunk_count()).filter_map(|at| list.chunk(at)) {
        match chunk {
            Chunk::Packed(entries, count) => {
                length(out, PACKED);
                string(
                    out,
                    &Builder::of_entries(entries, count).finish(),
                    options.compress,
                );
            }
            Chunk::Plain(blob) => {
                length(out, PLAIN);
                string(out, blob, options.compress);
            }
        }
    }
}

fn set(out: &mut Vec<u8>, set: SetRef<'_>, options: &Options) {
    if let SetRef::Ints { width, bytes } = set {
        out.push(kinds::SET_INTSET);
        let mut intset = Vec::with_capacity(8 + bytes.len());
        intset.extend((width as u32).to_le_bytes());
        intset.extend(((bytes.len() / width) as u32).to_le_bytes());
        intset.extend_from_slice(bytes);
        return string(out, &intset, options.compress);
    }
    out.push(kinds::SET);
    length(out, set.len() as u64);
    set.for_each(|member| item(out, member, options.compress));
}

fn sorted_set(out: &mut Vec<u8>, set: SortedSetRef<'_>, options: &Options) {
    if set.is_packed() {
        out.push(kinds::ZSET_LISTPACK);
        let mut listpack = Builder::new();
        let mut score_text = Vec::new();
        for (member, score) in set.entries() {
            listpack.push(member);
            score_text.clear();
            resp::number::format_f64(score, &mut score_text);
            listpack.push_text(&score_text);
        }
        return string(out, &listpack.finish(), options.compress);
    }
    out.push(kinds::ZSET_2);
    length(out, set.len() as u64);
    // From the highest down, as servers do: adding to the front of their lists takes no search.
    for (member, score) in set.iter_down(0..set.len()) {
        item(out, member, options.compress);
        out.extend(score.to_le_bytes());
    }
}

fn hash(out: &mut Vec<u8>, hash: HashRef<'_>, options: &Options) -> Option<()> {
    let (mut count, mut first_due) = (0u64, None::<u64>);
    for (_, field) in hash.iter(options.now_ms) {
        count += 1;
        first_due = first_due.into_iter().chain(field.due_ms).min();
    }
    if count == 0 {
        return None;
    }
    if let Some(first) = first_due {
        out.push(kinds::HASH_METADATA);
        out.extend(first.to_le_bytes());
        length(out, count);
        for (name, field) in hash.iter(options.now_ms) {
            // One more than the difference, for zero says that the field stays.
            length(out, field.due_ms.map_or(0, |ms| ms - first + 1));
            string(out, name, options.compress);
            item(out, field.value, options.compress);
        }
    } else if hash.is_packed() {
        out.push(kinds::HASH_LISTPACK);
        let mut listpack = Builder::new();
        for (name, field) in hash.iter(options.now_ms) {
            listpack.push_text(name);
            listpack.push(field.value);
        }
        string(out, &listpack.finish(), options.compress);
    } else {
        out.push(kinds::HASH);
        length(out, count);
        for (name, field) in hash.iter(options.now_ms) {
            string(out, name, options.compress);
            item(out, field.value, options.compress);
        }
    }
    Some(())
}
