//! Reading a value.
//!
//! Elements go into the collection one by one, the way commands put them there, so that the result has the form that the
//! settings call for, whatever form it was written in. An element that stands twice makes the value malformed.

use crate::listpack::Listpack;
use crate::payload::Dialect;
use crate::reader::Reader;
use crate::ziplist::{Ziplist, intset};
use crate::{Loaded, Malformed, Result, Settings, kinds, stream};
use store::packed::Item;
use store::types::hash::{Expiry, Hash};
use store::types::list::{End, Item as ListItem, List};
use store::types::set::Set;
use store::types::sorted_set::SortedSet;
use store::{Collection, Object};

const EMPTY: Malformed = Malformed("a collection without elements");
const TWICE: Malformed = Malformed("an element that stands twice");

/// Reads a value of a type and encoding; what follows it stays in `r`. `dialect` tells what the numbers mean that Redis
/// and Valkey use differently.
pub fn value(
    kind: u8,
    r: &mut Reader<'_>,
    dialect: Dialect,
    settings: &Settings,
) -> Result<Loaded> {
    let object = match kind {
        kinds::STRING => return Ok(Loaded::String(r.string()?.into_owned())),
        kinds::LIST | kinds::LIST_ZIPLIST | kinds::LIST_QUICKLIST | kinds::LIST_QUICKLIST_2 => {
            list(kind, r, settings)?.into_object()
        }
        kinds::SET | kinds::SET_INTSET | kinds::SET_LISTPACK => {
            set(kind, r, settings)?.into_object()
        }
        kinds::ZSET | kinds::ZSET_2 | kinds::ZSET_ZIPLIST | kinds::ZSET_LISTPACK => {
            sorted_set(kind, r, settings)?.into_object()
        }
        kinds::HASH | kinds::HASH_ZIPLIST | kinds::HASH_LISTPACK => {
            hash(kind, r, settings)?.into_object()
        }
        kinds::HASH_22 if dialect == Dialect::Valkey => {
            timed_hash(r, settings, Times::Behind)?.into_object()
        }
        kinds::HASH_22 => timed_hash(r, settings, Times::Before)?.into_object(),
        kinds::HASH_METADATA => {
            let first = expiry(r.u64_le()?)?;
            timed_hash(r, settings, Times::BeforeSince(first))?.into_object()
        }
        kinds::HASH_LISTPACK_EX | kinds::HASH_LISTPACK_EX_RC => {
            if kind == kinds::HASH_LISTPACK_EX {
                expiry(r.u64_le()?)?;
            }
            timed_listpack(&r.string()?, settings)?.into_object()
        }
        kinds::STREAM_LISTPACKS | kinds::STREAM_LISTPACKS_2 | kinds::STREAM_LISTPACKS_3 => {
            stream::read(kind, r, settings)?.into_object()
        }
        _ => return Err(Malformed("unknown type of value")),
    };
    let may_be_empty = matches!(object, Object::Hash(_) | Object::Stream(_));
    if object.is_empty() && !may_be_empty {
        return Err(EMPTY);
    }
    Ok(Loaded::Object(object))
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

fn list(kind: u8, r: &mut Reader<'_>, settings: &Settings) -> Result<List> {
    /// Nodes that are one large element.
    const PLAIN: u64 = 1;
    const PACKED: u64 = 2;
    let mut list = List::new();
    let mut push = |item: Item<'_>| {
        let item = match item {
            Item::Int(n) => ListItem::Int(n),
            Item::Bytes(text) => ListItem::Bytes(text),
        };
        list.push(End::Back, std::iter::once(item), settings.list);
    };
    if kind == kinds::LIST_ZIPLIST {
        let bytes = r.string()?;
        let mut elements = Packed::new(&bytes, true)?;
        while let Some(item) = elements.next_item()? {
            push(item);
        }
        return Ok(list);
    }
    for _ in 0..r.count()? {
        let container = if kind == kinds::LIST_QUICKLIST_2 {
            r.length()?
        } else {
            PACKED
        };
        let bytes = r.string()?;
        if kind == kinds::LIST || container == PLAIN {
            push(Item::Bytes(&bytes));
            continue;
        }
        if container != PACKED {
            return Err(Malformed("unknown kind of list node"));
        }
        let mut elements = Packed::new(&bytes, kind == kinds::LIST_QUICKLIST)?;
        while let Some(item) = elements.next_item()? {
            push(item);
        }
    }
    Ok(list)
}

fn set(kind: u8, r: &mut Reader<'_>, settings: &Settings) -> Result<Set> {
    let limits = settings.set;
    let mut set = Set::new();
    let add = |set: &mut Set, member: &[u8]| {
        if set.insert(member, limits) {
            Ok(())
        } else {
            Err(TWICE)
        }
    };
    match kind {
        kinds::SET_INTSET => {
            let bytes = r.string()?;
            let mut buf = [0; 20];
            intset(&bytes, |n| add(&mut set, Item::Int(n).text(&mut buf)))?;
        }
        kinds::SET_LISTPACK => {
            let bytes = r.string()?;
            let mut counted = Packed::new(&bytes, false)?;
            let mut count = 0;
            while counted.next_item()?.is_some() {
                count += 1;
            }
            // Members that are all integers stay a packed sequence.
            set = Set::for_first(b"text", count, limits);
            let mut members = Packed::new(&bytes, false)?;
            while let Some(member) = members.next_item()? {
                add(&mut set, member.text(&mut [0; 20]))?;
            }
        }
        _ => {
            let count = r.count()?;
            if count > limits.intset_entries {
                set.enlarge();
            }
            for _ in 0..count {
                add(&mut set, &r.string()?)?;
            }
        }
    }
    Ok(set)
}

fn sorted_set(kind: u8, r: &mut Reader<'_>, settings: &Settings) -> Result<SortedSet> {
    let limits = settings.sorted_set;
    let mut set = SortedSet::new();
    let mut add = |member: &[u8], score: f64| {
        if score.is_nan() {
            return Err(Malformed("a score is no number"));
        }
        if set.insert(member, score, limits).is_some() {
            Err(TWICE)
        } else {
            Ok(())
        }
    };
    if kind == kinds::ZSET || kind == kinds::ZSET_2 {
        for _ in 0..r.count()? {
            let member = r.string()?;
            let score = if kind == kinds::ZSET {
                r.double_text()?
            } else {
                r.double()?
            };
            add(&member, score)?;
        }
    } else {
        let bytes = r.string()?;
        let mut pairs = Packed::new(&bytes, kind == kinds::ZSET_ZIPLIST)?;
        while let Some(member) = pairs.next_item()? {
            let score = match pairs.partner()? {
                Item::Int(n) => n as f64,
                Item::Bytes(text) => {
                    resp::number::parse_f64(text).ok_or(Malformed("a score is no number"))?
                }
            };
            add(member.text(&mut [0; 20]), score)?;
        }
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

fn hash(kind: u8, r: &mut Reader<'_>, settings: &Settings) -> Result<Hash> {
    let mut hash = Hash::new();
    if kind == kinds::HASH {
        let count = r.count()?;
        hash.prepare(count, [], settings.hash);
        for _ in 0..count {
            let (field, value) = (r.string()?, r.string()?);
            add_field(&mut hash, &field, &value, None, settings)?;
        }
    } else {
        let bytes = r.string()?;
        let mut pairs = Packed::new(&bytes, kind == kinds::HASH_ZIPLIST)?;
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
    }
    if hash.is_empty() {
        Err(EMPTY)
    } else {
        Ok(hash)
    }
}

/// Where the expiry of a field stands.
#[derive(Clone, Copy)]
enum Times {
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

fn timed_hash(r: &mut Reader<'_>, settings: &Settings, times: Times) -> Result<Hash> {
    let mut hash = Hash::new();
    let count = r.count()?;
    hash.prepare(count, [], settings.hash);
    for _ in 0..count {
        let mut due = match times {
            Times::Behind => 0,
            Times::Before => r.length()?,
            Times::BeforeSince(first) => match r.length()? {
                0 => 0,
                n => first.saturating_add(n - 1),
            },
        };
        let (field, value) = (r.string()?, r.string()?);
        if let Times::Behind = times {
            due = match r.u64_le()? {
                u64::MAX => 0,
                ms => ms,
            };
        }
        let due = if due == 0 { None } else { Some(expiry(due)?) };
        add_field(&mut hash, &field, &value, due, settings)?;
    }
    if count == 0 { Err(EMPTY) } else { Ok(hash) }
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
