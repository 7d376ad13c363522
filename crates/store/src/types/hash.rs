//! The hash type: fields with values, each of which may have an expiry of its own.
//!
//! A hash has one of three forms, under the names that OBJECT ENCODING prints:
//!
//! * `listpack`: packed [`pairs`], which live inside the key's entry; no field expires;
//! * `listpackex`: the same with a time behind each pair, in an object, so that the sweeper finds it;
//! * `hashtable`: [`Members`] whose tails are value and perhaps expiry.
//!
//! A hash in which no field ever had an expiry spends no byte and no instruction on them. It never goes back to a
//! smaller form. What has expired is nowhere seen, but takes room and counts in [`Hash::len`] until somebody who writes,
//! or the sweeper, calls [`Hash::expire_fields`]; who knows the time passes it in.

pub mod pairs;

use crate::types::kind::Type;
use crate::types::members::{self, Members, Tail};
use crate::types::number::length32;
use crate::types::object::{Collection, Object};
use crate::types::packed::Item;
use crate::types::watch::Element;
use pairs::Pairs;

/// Up to where a hash stays packed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most fields: `hash-max-listpack-entries`.
    pub entries: usize,
    /// Longest field or value in bytes: `hash-max-listpack-value`.
    pub value: usize,
}

/// What becomes of a field's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It goes.
    Clear,
    /// It stays.
    Keep,
    /// It becomes this, in Unix milliseconds (not zero).
    At(u64),
}

/// Value and expiry behind a field in the table's form: a byte of length (up to 126; or 127 and 4 bytes) whose top
/// bit says that 8 bytes of expiry follow the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Valued;

const TIMED: u8 = 0x80;
const LONG: u8 = 0x7f;

/// Where the value begins in a tail, and its length.
#[inline]
fn value_span(tail: &[u8]) -> (usize, usize) {
    match tail[0] & !TIMED {
        LONG => (
            5,
            u32::from_le_bytes([tail[1], tail[2], tail[3], tail[4]]) as usize,
        ),
        n => (1, usize::from(n)),
    }
}

impl Tail for Valued {
    #[inline]
    fn len(bytes: &[u8]) -> usize {
        let (start, len) = value_span(bytes);
        start + len + if bytes[0] & TIMED != 0 { 8 } else { 0 }
    }

    #[inline]
    fn due_ms(tail: &[u8]) -> Option<u64> {
        if tail[0] & TIMED == 0 {
            return None;
        }
        let (start, len) = value_span(tail);
        let time = tail.get(start + len..start + len + 8)?;
        Some(u64::from_le_bytes(time.try_into().ok()?))
    }

    fn element<'a>(member: &'a [u8], tail: &'a [u8]) -> Element<'a> {
        Element::Field(member, value_in(tail), Valued::due_ms(tail))
    }

    fn object(members: Members<Valued>) -> Object {
        Object::Hash(Hash {
            form: Form::Table(members),
            due_ms: 0,
        })
    }
}

#[inline]
fn value_in(tail: &[u8]) -> &[u8] {
    let (start, len) = value_span(tail);
    &tail[start..start + len]
}

/// The head of a tail: length and whether a time follows.
fn tail_head(buf: &mut [u8; 5], len: usize, timed: bool) -> &[u8] {
    let flag = if timed { TIMED } else { 0 };
    if len < usize::from(LONG) {
        buf[0] = len as u8 | flag;
        &buf[..1]
    } else {
        buf[0] = LONG | flag;
        buf[1..].copy_from_slice(&length32(len).to_le_bytes());
        buf
    }
}

#[derive(Clone, Debug)]
enum Form {
    Packed(Vec<u8>),
    Timed(Vec<u8>),
    Table(Members<Valued>),
}

/// A hash.
#[derive(Clone, Debug)]
pub struct Hash {
    form: Form,
    /// When the first field expires, or earlier; `u64::MAX` if none does.
    due_ms: u64,
}

/// A field as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its value.
    pub value: Item<'a>,
    /// When it expires, in Unix milliseconds.
    pub due_ms: Option<u64>,
}

impl Default for Hash {
    fn default() -> Self {
        Hash {
            form: Form::Packed(Vec::new()),
            due_ms: u64::MAX,
        }
    }
}

impl Hash {
    /// The large form.
    pub(super) fn members(&self) -> Option<&Members<Valued>> {
        match &self.form {
            Form::Table(members) => Some(members),
            _ => None,
        }
    }

    /// The large form.
    pub(super) fn members_mut(&mut self) -> Option<&mut Members<Valued>> {
        match &mut self.form {
            Form::Table(members) => Some(members),
            _ => None,
        }
    }

    /// When the first field expires, in Unix milliseconds; may be too early, never too late.
    #[inline]
    pub fn next_due_ms(&self) -> Option<u64> {
        (self.due_ms != u64::MAX).then_some(self.due_ms)
    }

    /// Removes fields that have expired, of a large hash `most` at most; returns how many.
    pub fn expire_fields(
        &mut self,
        now_ms: u64,
        most: usize,
        gone: &mut dyn FnMut(&[u8]),
    ) -> usize {
        if self.due_ms > now_ms {
            return 0;
        }
        match &mut self.form {
            Form::Packed(_) => 0,
            Form::Timed(bytes) => {
                let mut kept = Vec::with_capacity(bytes.len());
                let (mut removed, mut due) = (0, u64::MAX);
                for pair in pairs::pairs(bytes, true) {
                    if pair.due_ms != 0 && pair.due_ms <= now_ms {
                        removed += 1;
                        gone(pair.field);
                        continue;
                    }
                    if pair.due_ms != 0 {
                        due = due.min(pair.due_ms);
                    }
                    kept.extend_from_slice(&bytes[pair.span]);
                }
                *bytes = kept;
                self.due_ms = due;
                removed
            }
            Form::Table(table) => {
                let (removed, next) = table.remove_due(now_ms, most, gone);
                self.due_ms = next.unwrap_or(u64::MAX);
                removed
            }
        }
    }

    /// Removes a field if it has expired and is still there; whether it has.
    pub fn expire_field(&mut self, field: &[u8], now_ms: u64) -> bool {
        let is_due = |due: u64| due != 0 && due <= now_ms;
        match &mut self.form {
            Form::Packed(_) => false,
            Form::Timed(bytes) => match pairs::find(bytes, true, field) {
                Ok(pair) if is_due(pair.due_ms) => {
                    let span = pair.span;
                    bytes.drain(span);
                    true
                }
                _ => false,
            },
            Form::Table(table) => match table.find(field) {
                Some(at) if is_due(Valued::due_ms(table.get(at).tail).unwrap_or(0)) => {
                    table.remove_at(at);
                    true
                }
                _ => false,
            },
        }
    }

    /// What fields of a large hash are known by: see [`Members::hash_of`]. `None` if it is packed.
    #[inline]
    pub(super) fn hash_of(&self, field: &[u8]) -> Option<u64> {
        match &self.form {
            Form::Table(table) => Some(table.hash_of(field)),
            _ => None,
        }
    }

    /// See [`Members::fetch_homes`].
    pub(super) fn fetch_homes(&self, hashes: &[u64]) {
        if let Form::Table(table) = &self.form {
            table.fetch_homes(hashes);
        }
    }

    /// See [`Members::fetch_items`].
    pub(super) fn fetch_items(&self, hashes: &[u64]) {
        if let Form::Table(table) = &self.form {
            table.fetch_items(hashes);
        }
    }

    /// Gives the hash the form that it needs for `new` more fields (counted before any is known to be there already)
    /// and for these texts.
    pub fn prepare<'t>(
        &mut self,
        new: usize,
        texts: impl IntoIterator<Item = &'t [u8]>,
        limits: Limits,
    ) {
        let packed = !matches!(self.form, Form::Table(_));
        if packed && (new > limits.entries || texts.into_iter().any(|t| t.len() > limits.value)) {
            self.become_table();
        }
    }

    /// Moves everything to a table.
    fn become_table(&mut self) {
        let timed = matches!(self.form, Form::Timed(_));
        let (Form::Packed(bytes) | Form::Timed(bytes)) = &self.form else {
            return;
        };
        let mut table = Members::new();
        for pair in pairs::pairs(bytes, timed) {
            let mut number = [0; 20];
            let value = pair.value.text(&mut number);
            let time = pair.due_ms.to_le_bytes();
            let timed = pair.due_ms != 0;
            let mut head = [0; 5];
            table.add_new(
                pair.field,
                [
                    tail_head(&mut head, value.len(), timed),
                    value,
                    if timed { &time } else { b"" },
                ],
            );
        }
        self.form = Form::Table(table);
    }

    /// Sets a field; whether it is new. A field that has expired but is still there counts as new.
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        expiry: Expiry,
        now_ms: u64,
        limits: Limits,
    ) -> bool {
        self.prepare(0, [field, value], limits);
        if let Expiry::At(ms) = expiry {
            self.allow_expiry();
            self.due_ms = self.due_ms.min(ms);
        }
        let resolve = |old: u64| match expiry {
            Expiry::Clear => 0,
            Expiry::Keep if old <= now_ms => 0,
            Expiry::Keep => old,
            Expiry::At(ms) => ms,
        };
        let alive = |due: u64| due == 0 || due > now_ms;
        let timed = matches!(self.form, Form::Timed(_));
        match &mut self.form {
            Form::Packed(bytes) | Form::Timed(bytes) => {
                let found = pairs::find(bytes, timed, field).map(|pair| (pair.span, pair.due_ms));
                let end = bytes.len();
                let (span, old) = found.clone().unwrap_or((end..end, 0));
                let due = timed.then_some(resolve(old));
                pairs::replace(bytes, span, field, pairs::value_of(value), due);
                // As in Redis an update counts too, should the limit have been lowered. A pair takes at least two
                // bytes, which mostly saves the counting.
                let too_many = match found {
                    Err(n) => n >= limits.entries,
                    Ok(_) => {
                        bytes.len() / 2 > limits.entries
                            && pairs::pairs(bytes, timed).count() > limits.entries
                    }
                };
                if too_many {
                    self.become_table();
                }
                found.is_err() || !alive(old)
            }
            Form::Table(table) => {
                let at = table.find(field);
                let old = at
                    .and_then(|at| Valued::due_ms(table.get(at).tail))
                    .unwrap_or(0);
                let due = resolve(old);
                let (mut head, time) = ([0; 5], due.to_le_bytes());
                let head = tail_head(&mut head, value.len(), due != 0);
                let tail: [&[u8]; 3] = [head, value, if due != 0 { &time } else { b"" }];
                match at {
                    Some(at) => table.set(at, tail),
                    None => table.add_new(field, tail),
                }
                at.is_none() || !alive(old)
            }
        }
    }

    /// Makes room for times in the packed form.
    fn allow_expiry(&mut self) {
        if let Form::Packed(bytes) = &self.form {
            self.form = Form::Timed(pairs::timed(bytes));
        }
    }

    /// Sets or removes the expiry of a field that is there, in Unix milliseconds (not zero).
    pub fn set_expiry(&mut self, field: &[u8], due_ms: Option<u64>) {
        if due_ms.is_some() {
            self.allow_expiry();
        }
        self.due_ms = self.due_ms.min(due_ms.unwrap_or(u64::MAX));
        match &mut self.form {
            Form::Packed(_) => {}
            Form::Timed(bytes) => {
                if let Ok(pair) = pairs::find(bytes, true, field) {
                    let span = pair.span;
                    pairs::set_due(bytes, &span, due_ms.unwrap_or(0));
                }
            }
            Form::Table(table) => {
                let Some(at) = table.find(field) else { return };
                let tail = table.get(at).tail;
                if Valued::due_ms(tail) == due_ms {
                    return;
                }
                let value = value_in(tail).to_vec();
                let (mut head, time) = ([0; 5], due_ms.unwrap_or(0).to_le_bytes());
                let head = tail_head(&mut head, value.len(), due_ms.is_some());
                table.set(
                    at,
                    [head, &value, if due_ms.is_some() { &time } else { b"" }],
                );
            }
        }
    }

    /// Removes a field; whether it was there and had not expired.
    pub fn remove(&mut self, field: &[u8], now_ms: u64) -> bool {
        let timed = matches!(self.form, Form::Timed(_));
        match &mut self.form {
            Form::Packed(bytes) | Form::Timed(bytes) => match pairs::find(bytes, timed, field) {
                Ok(pair) => {
                    let (span, due) = (pair.span, pair.due_ms);
                    bytes.drain(span);
                    due == 0 || due > now_ms
                }
                Err(_) => false,
            },
            Form::Table(table) => match table.find(field) {
                Some(at) => {
                    let due = Valued::due_ms(table.get(at).tail);
                    table.remove_at(at);
                    due.is_none_or(|ms| ms > now_ms)
                }
                None => false,
            },
        }
    }
}

/// A view of a hash.
#[derive(Clone, Copy)]
pub struct HashRef<'a>(View<'a>);

#[derive(Clone, Copy)]
enum View<'a> {
    Packed(&'a [u8]),
    Own(&'a Hash),
}

impl<'a> HashRef<'a> {
    /// The packed bytes and whether times follow pairs; else the table.
    #[inline]
    fn parts(self) -> Result<(&'a [u8], bool), &'a Members<Valued>> {
        match self.0 {
            View::Packed(bytes) => Ok((bytes, false)),
            View::Own(hash) => match &hash.form {
                Form::Packed(bytes) => Ok((bytes, false)),
                Form::Timed(bytes) => Ok((bytes, true)),
                Form::Table(table) => Err(table),
            },
        }
    }

    /// Number of fields, those that have expired but are still there included.
    pub fn len(self) -> usize {
        match self.parts() {
            Ok((bytes, timed)) => pairs::pairs(bytes, timed).count(),
            Err(table) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        match self.parts() {
            Ok((bytes, _)) => bytes.is_empty(),
            Err(table) => table.is_empty(),
        }
    }

    /// Whether it is packed: then it is short, and [`HashRef::len`] counts.
    pub fn is_packed(self) -> bool {
        self.parts().is_ok()
    }

    /// Whether a field may have expired by now and still be there.
    #[inline]
    pub fn may_be_due(self, now_ms: u64) -> bool {
        match self.0 {
            View::Packed(_) => false,
            View::Own(hash) => hash.due_ms <= now_ms,
        }
    }

    /// A field that has not expired.
    #[inline]
    pub fn get(self, field: &[u8], now_ms: u64) -> Option<Field<'a>> {
        let found = match self.parts() {
            Ok((bytes, timed)) => {
                let pair = pairs::find(bytes, timed, field).ok()?;
                Field {
                    value: pair.value,
                    due_ms: (pair.due_ms != 0).then_some(pair.due_ms),
                }
            }
            Err(table) => table_field(table.get(table.find(field)?).tail),
        };
        found.due_ms.is_none_or(|ms| ms > now_ms).then_some(found)
    }

    /// All fields that have not expired, in no order.
    pub fn iter(self, now_ms: u64) -> Iter<'a> {
        let inner = match self.parts() {
            Ok((bytes, timed)) => Inner::Packed(pairs::pairs(bytes, timed)),
            Err(table) => Inner::Table(table.items()),
        };
        Iter { inner, now_ms }
    }

    /// A random field that has not expired, each as likely as any other; `below(n)` gives a random number below `n`.
    pub fn random(
        self,
        now_ms: u64,
        mut below: impl FnMut(u64) -> u64,
    ) -> Option<(&'a [u8], Field<'a>)> {
        if let Err(table) = self.parts() {
            for _ in 0..100 {
                let item = table.random(&mut below)?;
                let field = table_field(item.tail);
                if field.due_ms.is_none_or(|ms| ms > now_ms) {
                    return Some((item.member, field));
                }
            }
        }
        let n = self.iter(now_ms).count();
        if n == 0 {
            return None;
        }
        self.iter(now_ms).nth(below(n as u64) as usize)
    }

    /// One step of a scan: see [`Members::scan`]. A packed hash is visited in one step.
    pub fn scan(
        self,
        cursor: u64,
        count: usize,
        now_ms: u64,
        mut visit: impl FnMut(&'a [u8], Item<'a>),
    ) -> u64 {
        match self.parts() {
            Ok(_) => {
                self.iter(now_ms)
                    .for_each(|(field, f)| visit(field, f.value));
                0
            }
            Err(table) => table.scan(cursor, count, |item| {
                let field = table_field(item.tail);
                if field.due_ms.is_none_or(|ms| ms > now_ms) {
                    visit(item.member, field.value);
                }
            }),
        }
    }
}

#[inline]
fn table_field(tail: &[u8]) -> Field<'_> {
    Field {
        value: Item::Bytes(value_in(tail)),
        due_ms: Valued::due_ms(tail),
    }
}

/// The fields of a hash with their values. See [`HashRef::iter`].
pub struct Iter<'a> {
    inner: Inner<'a>,
    now_ms: u64,
}

enum Inner<'a> {
    Packed(Pairs<'a>),
    Table(members::Items<'a, Valued>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], Field<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (name, field) = match &mut self.inner {
                Inner::Packed(pairs) => {
                    let pair = pairs.next()?;
                    let due_ms = (pair.due_ms != 0).then_some(pair.due_ms);
                    (
                        pair.field,
                        Field {
                            value: pair.value,
                            due_ms,
                        },
                    )
                }
                Inner::Table(items) => {
                    let item = items.next()?;
                    (item.member, table_field(item.tail))
                }
            };
            if field.due_ms.is_none_or(|ms| ms > self.now_ms) {
                return Some((name, field));
            }
        }
    }
}

impl Collection for Hash {
    const KIND: Type = Type::Hash;
    type Ref<'a> = HashRef<'a>;

    fn new() -> Self {
        Hash::default()
    }
    #[inline]
    fn view(&self) -> HashRef<'_> {
        HashRef(View::Own(self))
    }
    #[inline]
    fn view_packed(bytes: &[u8]) -> HashRef<'_> {
        HashRef(View::Packed(bytes))
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        Hash {
            form: Form::Packed(bytes),
            due_ms: u64::MAX,
        }
    }
    fn packed(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Packed(bytes) => Some(bytes),
            _ => None,
        }
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        match self.form {
            Form::Packed(bytes) => Some(bytes),
            _ => None,
        }
    }
    fn encoding(view: HashRef<'_>) -> &'static str {
        match view.parts() {
            Ok((_, false)) => "listpack",
            Ok((_, true)) => "listpackex",
            Err(_) => "hashtable",
        }
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
    fn memory(&self) -> usize {
        match &self.form {
            Form::Packed(bytes) | Form::Timed(bytes) => bytes.capacity(),
            Form::Table(table) => table.memory(),
        }
    }
    fn into_object(self) -> Object {
        Object::Hash(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::Hash(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::Hash(c) => Some(c),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
