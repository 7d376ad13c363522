//! Reading a value.
//!
//! Elements go into the collection one by one, the way commands put them there, so that the result has the form that the
//! settings call for, whatever form it was written in. An element that stands twice makes the value malformed.
//!
//! A large collection need not be there as a whole: [`Assembly`] takes its elements a stretch at a time.

use crate::cursor::{Cursor, TRUNCATED, Text};
use crate::listpack::Listpack;
use crate::malformed::EMPTY;
use crate::version::Dialect;
use crate::ziplist::{Ziplist, Zipmap, intset};
use crate::{Malformed, Result, Settings, kinds, stream};
use store::packed::Item;
use store::types::hash::{Expiry, Hash};
use store::types::list::{End, Item as ListItem, List};
use store::types::set::Set;
use store::types::sorted_set::{self, SortedSet};
use store::types::stream::Stream;
use store::{Collection, Object};

/// A value that was read.
#[derive(Debug)]
pub enum Loaded<'a> {
    /// A string.
    String(Text<'a>),
    /// A collection. A hash is empty if all its fields had expired; no other collection but a stream is ever empty.
    Object(Object),
}

const TWICE: Malformed = Malformed("an element that stands twice");
const UNKNOWN: Malformed = Malformed("unknown type of value");
const NO_SCORE: Malformed = Malformed("a score is no number");

/// Reads a value of a type and encoding; what follows it stays in `r`. `dialect` tells what the numbers mean that Redis
/// and Valkey use differently.
pub fn value<'a>(
    kind: u8,
    r: &mut Cursor<'a>,
    dialect: Dialect,
    settings: &Settings,
) -> Result<Loaded<'a>> {
    if kind == kinds::STRING {
        return Ok(Loaded::String(r.string()?));
    }
    if let Some(object) = packed(kind, r, dialect, settings)? {
        return finished(object);
    }
    let mut assembly = Assembly::begin(kind, r, dialect, settings)?;
    if assembly.left > r.left() as u64 {
        return Err(TRUNCATED);
    }
    assembly.add(r, assembly.left, settings)?;
    assembly.finish(r, settings)
}

fn finished(object: Object) -> Result<Loaded<'static>> {
    let may_be_empty = matches!(object, Object::Hash(_) | Object::Stream(_));
    if object.is_empty() && !may_be_empty {
        return Err(EMPTY);
    }
    Ok(Loaded::Object(object))
}

/// A collection that is all one string, if it is of such a kind.
fn packed(
    kind: u8,
    r: &mut Cursor<'_>,
    dialect: Dialect,
    settings: &Settings,
) -> Result<Option<Object>> {
    Ok(Some(match kind {
        kinds::LIST_ZIPLIST => {
            let mut list = List::new();
            push_all(&mut list, &r.string()?, true, settings)?;
            list.into_object()
        }
        kinds::SET_INTSET | kinds::SET_LISTPACK => {
            packed_set(kind, &r.string()?, settings)?.into_object()
        }
        kinds::ZSET_ZIPLIST | kinds::ZSET_LISTPACK => {
            packed_sorted_set(&r.string()?, kind == kinds::ZSET_ZIPLIST, settings)?.into_object()
        }
        kinds::HASH_ZIPMAP => zipmap(&r.string()?, settings)?.into_object(),
        kinds::HASH_ZIPLIST | kinds::HASH_LISTPACK => {
            packed_hash(&r.string()?, kind == kinds::HASH_ZIPLIST, settings)?.into_object()
        }
        kinds::HASH_LISTPACK_EX_RC if dialect == Dialect::Redis => {
            timed_listpack(&r.string()?, settings)?.into_object()
        }
        kinds::HASH_LISTPACK_EX => {
            expiry(r.u64_le()?)?;
            timed_listpack(&r.string()?, settings)?.into_object()
        }
        _ => return Ok(None),
    }))
}

/// A collection of which some elements have been read.
pub struct Assembly {
    kind: u8,
    /// Elements that are still to come.
    left: u64,
    /// Whether there is no element at all.
    none: bool,
    form: Form,
}

enum Form {
    List(List),
    Set(Set),
    SortedSet(SortedSet),
    /// A large one, ordered when all its members are there.
    Members(Box<sorted_set::Builder>),
    Hash(Hash, Times),
    Stream(Stream),
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembly")
            .field("kind", &self.kind)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Assembly {
    /// Reads what stands before the elements.
    pub fn begin(
        kind: u8,
        r: &mut Cursor<'_>,
        dialect: Dialect,
        settings: &Settings,
    ) -> Result<Assembly> {
        let times = match kind {
            kinds::HASH_22 if dialect == Dialect::Valkey => Times::Behind,
            kinds::HASH_22 => Times::Before,
            kinds::HASH_METADATA => Times::BeforeSince(expiry(r.u64_le()?)?),
            _ => Times::None,
        };
        let count = r.length()?;
        // What there is room for; the count may be anything.
        let at_least_bytes = |bytes: usize| (r.left() / bytes).min(count as usize);
        let form = match kind {
            kinds::LIST | kinds::LIST_QUICKLIST | kinds::LIST_QUICKLIST_2 => {
                Form::List(List::new())
            }
            kinds::SET | kinds::SET_TIMED => {
                let mut set = Set::new();
                if count > settings.set.intset_entries as u64 {
                    set.enlarge();
                }
                Form::Set(set)
            }
            kinds::ZSET | kinds::ZSET_2 if count > settings.sorted_set.entries as u64 => {
                Form::Members(Box::default())
            }
            kinds::ZSET | kinds::ZSET_2 => Form::SortedSet(SortedSet::new()),
            kinds::HASH | kinds::HASH_22 | kinds::HASH_METADATA => {
                let mut hash = Hash::new();
                hash.prepare(at_least_bytes(2), [], settings.hash);
                Form::Hash(hash, times)
            }
            kinds::STREAM_LISTPACKS
            | kinds::STREAM_LISTPACKS_2
            | kinds::STREAM_LISTPACKS_3
            | kinds::STREAM_LISTPACKS_4
            | kinds::STREAM_LISTPACKS_5 => Form::Stream(Stream::new()),
            _ => return Err(UNKNOWN),
        };
        Ok(Assembly {
            kind,
            left: count,
            none: count == 0,
            form,
        })
    }

    /// Elements that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Reads so many elements.
    pub fn add(&mut self, r: &mut Cursor<'_>, elements: u64, settings: &Settings) -> Result<()> {
        self.left = self
            .left
            .checked_sub(elements)
            .ok_or(Malformed("more elements than were announced"))?;
        match &mut self.form {
            Form::List(list) => {
                for _ in 0..elements {
                    list_node(self.kind, list, r, settings)?;
                }
            }
            Form::Set(set) if self.kind == kinds::SET_TIMED => {
                for _ in 0..elements {
                    let (member, due_ms) = (r.string()?, r.u64_le()?);
                    if due_ms == 0 || due_ms > settings.now_ms {
                        add_member(set, &member, settings)?;
                    }
                    if due_ms > settings.now_ms {
                        set.set_expiry(&member, Some(due_ms), settings.set);
                    }
                }
            }
            Form::Set(set) => {
                for _ in 0..elements {
                    add_member(set, &r.string()?, settings)?;
                }
            }
            Form::SortedSet(set) => {
                for _ in 0..elements {
                    let (member, score) = scored(self.kind, r)?;
                    add_scored(set, &member, score, settings)?;
                }
            }
            Form::Members(members) => {
                for _ in 0..elements {
                    let (member, score) = scored(self.kind, r)?;
                    let before = members.len();
                    members.merge(&member, |_| score);
                    if members.len() == before {
                        return Err(TWICE);
                    }
                }
            }
            Form::Hash(hash, times) => {
                for _ in 0..elements {
                    timed_field(hash, r, *times, settings)?;
                }
            }
            Form::Stream(stream) => {
                for _ in 0..elements {
                    stream::read_node(stream, r, settings)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what stands behind the elements.
    pub fn finish(self, r: &mut Cursor<'_>, settings: &Settings) -> Result<Loaded<'static>> {
        if self.left > 0 {
            return Err(TRUNCATED);
        }
        finished(match self.form {
            Form::List(list) => list.into_object(),
            // All its members may have expired by now.
            Form::Set(set) if self.kind == kinds::SET_TIMED && !self.none => {
                return Ok(Loaded::Object(set.into_object()));
            }
            Form::Set(set) => set.into_object(),
            Form::SortedSet(set) => set.into_object(),
            Form::Members(members) => members.finish(settings.sorted_set).into_object(),
            Form::Hash(..) if self.none => return Err(EMPTY),
            Form::Hash(hash, _) => hash.into_object(),
            Form::Stream(mut stream) => {
                stream::read_end(&mut stream, self.kind, r)?;
                stream.into_object()
            }
        })
    }
}

/// The elements of a packed collection in either of its forms.
enum Packed<'a> {
    Listpack(Listpack<'a>),
    Ziplist(Ziplist<'a>),
}

impl<'a> Packed<'a> {
    fn new(bytes: &'a [u8], ziplist: bool) -> Result<Packed<'a>> {
        Ok(if ziplist {
            Packed::Ziplist(Ziplist::new(bytes)?)
        } else {
            Packed::Listpack(Listpack::new(bytes)?)
        })
    }

    fn next_item(&mut self) -> Result<Option<Item<'a>>> {
        match self {
            Packed::Listpack(elements) => elements.next_item(),
            Packed::Ziplist(elements) => elements.next_item(),
        }
    }

    /// The second element of a pair whose first was there.
    fn partner(&mut self) -> Result<Item<'a>> {
        self.next_item()?.ok_or(Malformed("half a pair"))
    }
}

fn push(list: &mut List, item: Item<'_>, settings: &Settings) {
    let item = match item {
        Item::Int(n) => ListItem::Int(n),
        Item::Bytes(text) => ListItem::Bytes(text),
    };
    list.push(End::Back, std::iter::once(item), settings.list);
}

fn push_all(list: &mut List, bytes: &[u8], ziplist: bool, settings: &Settings) -> Result<()> {
    let mut elements = Packed::new(bytes, ziplist)?;
    while let Some(item) = elements.next_item()? {
        push(list, item, settings);
    }
    Ok(())
}

fn list_node(kind: u8, list: &mut List, r: &mut Cursor<'_>, settings: &Settings) -> Result<()> {
    /// Nodes that are one large element.
    const PLAIN: u64 = 1;
    const PACKED: u64 = 2;
    let container = if kind == kinds::LIST_QUICKLIST_2 {
        r.length()?
    } else {
        PACKED
    };
    let bytes = r.string()?;
    if kind == kinds::LIST || container == PLAIN {
        push(list, Item::Bytes(&bytes), settings);
        return Ok(());
    }
    if container != PACKED {
        return Err(Malformed("unknown kind of list node"));
    }
    push_all(list, &bytes, kind == kinds::LIST_QUICKLIST, settings)
}

fn add_member(set: &mut Set, member: &[u8], settings: &Settings) -> Result<()> {
    if set.insert(member, settings.set) {
        Ok(())
    } else {
        Err(TWICE)
    }
}

fn packed_set(kind: u8, bytes: &[u8], settings: &Settings) -> Result<Set> {
    let mut set = Set::new();
    if kind == kinds::SET_INTSET {
        let mut buf = [0; 20];
        intset(bytes, |n| {
            add_member(&mut set, Item::Int(n).text(&mut buf), settings)
        })?;
        return Ok(set);
    }
    let mut counted = Listpack::new(bytes)?;
    let mut count = 0;
    while counted.next_item()?.is_some() {
        count += 1;
    }
    // Members that are all integers stay a packed sequence.
    set = Set::for_first(b"text", count, settings.set);
    let mut members = Listpack::new(bytes)?;
    while let Some(member) = members.next_item()? {
        add_member(&mut set, member.text(&mut [0; 20]), settings)?;
    }
    Ok(set)
}

/// A member with its score.
fn scored<'a>(kind: u8, r: &mut Cursor<'a>) -> Result<(Text<'a>, f64)> {
    let member = r.string()?;
    let score = if kind == kinds::ZSET {
        r.double_text()?
    } else {
        r.double()?
    };
    if score.is_nan() {
        return Err(NO_SCORE);
    }
    Ok((member, score))
}

fn add_scored(set: &mut SortedSet, member: &[u8], score: f64, settings: &Settings) -> Result<()> {
    if score.is_nan() {
        return Err(NO_SCORE);
    }
    if set.insert(member, score, settings.sorted_set).is_some() {
        Err(TWICE)
    } else {
        Ok(())
    }
}

fn packed_sorted_set(bytes: &[u8], ziplist: bool, settings: &Settings) -> Result<SortedSet> {
    let mut set = SortedSet::from_packed(Vec::with_capacity(bytes.len() + 8));
    let mut pairs = Packed::new(bytes, ziplist)?;
    while let Some(member) = pairs.next_item()? {
        let score = match pairs.partner()? {
            Item::Int(n) => n as f64,
            Item::Bytes(text) => resp::number::parse_f64(text).ok_or(NO_SCORE)?,
        };
        add_scored(&mut set, member.text(&mut [0; 20]), score, settings)?;
    }
    Ok(set)
}

/// Adds a field that does not expire, or does at `due_ms`.
fn add_field(
    hash: &mut Hash,
    field: &[u8],
    value: &[u8],
    due_ms: Option<u64>,
    settings: &Settings,
) -> Result<()> {
    let expiry = match due_ms {
        None => Expiry::Clear,
        // Gone before it was read.
        Some(ms) if ms <= settings.now_ms => return Ok(()),
        Some(ms) => Expiry::At(ms),
    };
    if hash.set(field, value, expiry, settings.now_ms, settings.hash) {
        Ok(())
    } else {
        Err(TWICE)
    }
}

fn packed_hash(bytes: &[u8], ziplist: bool, settings: &Settings) -> Result<Hash> {
    let mut hash = Hash::from_packed(Vec::with_capacity(bytes.len()));
    let mut pairs = Packed::new(bytes, ziplist)?;
    while let Some(field) = pairs.next_item()? {
        let value = pairs.partner()?;
        add_field(
            &mut hash,
            field.text(&mut [0; 20]),
            value.text(&mut [0; 20]),
            None,
            settings,
        )?;
    }
    if hash.is_empty() {
        Err(EMPTY)
    } else {
        Ok(hash)
    }
}

fn zipmap(bytes: &[u8], settings: &Settings) -> Result<Hash> {
    let mut hash = Hash::new();
    let mut pairs = Zipmap::new(bytes)?;
    while let Some((field, value)) = pairs.next_pair()? {
        add_field(&mut hash, field, value, None, settings)?;
    }
    if hash.is_empty() {
        Err(EMPTY)
    } else {
        Ok(hash)
    }
}

/// Where the expiry of a field stands.
#[derive(Clone, Copy, Debug)]
enum Times {
    /// Nowhere: fields do not expire.
    None,
    /// Behind the value, 8 bytes, all ones for none.
    Behind,
    /// Before the field, zero for none.
    Before,
    /// The same, counted from just before this time.
    BeforeSince(u64),
}

/// Checks a time in Unix milliseconds. Redis stores none past 2^46, Valkey any that its commands can name.
fn expiry(ms: u64) -> Result<u64> {
    if i64::try_from(ms).is_ok() {
        Ok(ms)
    } else {
        Err(Malformed("a field's expiry is out of range"))
    }
}

fn timed_field(
    hash: &mut Hash,
    r: &mut Cursor<'_>,
    times: Times,
    settings: &Settings,
) -> Result<()> {
    let mut due = match times {
        Times::None | Times::Behind => 0,
        Times::Before => r.length()?,
        Times::BeforeSince(first) => match r.length()? {
            0 => 0,
            n => first.saturating_add(n - 1),
        },
    };
    let (field, value): (Text<'_>, Text<'_>) = (r.string()?, r.string()?);
    if let Times::Behind = times {
        due = match r.u64_le()? {
            u64::MAX => 0,
            ms => ms,
        };
    }
    let due = if due == 0 { None } else { Some(expiry(due)?) };
    add_field(hash, &field, &value, due, settings)
}

/// Field, value, expiry (zero for none) by turns.
fn timed_listpack(bytes: &[u8], settings: &Settings) -> Result<Hash> {
    let mut hash = Hash::new();
    let mut elements = Listpack::new(bytes)?;
    let mut count = 0;
    while let Some(field) = elements.next_item()? {
        let (value, due) = (elements.item()?, elements.number()?);
        let due = match u64::try_from(due) {
            Ok(0) => None,
            Ok(ms) => Some(expiry(ms)?),
            Err(_) => return Err(Malformed("a field's expiry is out of range")),
        };
        add_field(
            &mut hash,
            field.text(&mut [0; 20]),
            value.text(&mut [0; 20]),
            due,
            settings,
        )?;
        count += 1;
    }
    if count == 0 { Err(EMPTY) } else { Ok(hash) }
}
