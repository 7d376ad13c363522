//! Strings: one whole value at a key.

use crate::base::error::{Error, Result};
use crate::door::change::Event;
use crate::door::keys::Keys;
use resp::LongDouble;
use resp::number::{format_i64, parse_i64};
use smallvec::SmallVec;
use store::{Blob, EntryMut, EntryRef, MAX_INLINE, NewValue, Type, Value, string_value};
use twox_hash::XxHash3_64;

const SET: Event = Event::string("set");
const EXPIRE: Event = Event::generic("expire");

/// The text of a string value; numbers are written into `buf`.
#[inline]
pub fn text<'a>(value: Value<'a>, buf: &'a mut [u8; 20]) -> &'a [u8] {
    match value {
        Value::Int(i) => format_i64(i, buf),
        Value::Inline(b) => b,
        Value::Blob(b) => b,
    }
}

/// The length of a string value in bytes.
#[inline]
pub fn length(value: Value<'_>) -> usize {
    text(value, &mut [0; 20]).len()
}

/// What is required of a key's present state before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    Always,
    /// NX: there is no such key.
    Absent,
    /// XX: there is one.
    Present,
    /// IFEQ: it holds this string.
    Equals(&'a [u8]),
    /// IFNE: it holds another string, or there is none.
    Differs(&'a [u8]),
    /// IFDEQ: it holds a string of this digest.
    DigestEquals(&'a [u8]),
    /// IFDNE: it holds a string of another digest, or there is none.
    DigestDiffers(&'a [u8]),
}

impl Condition<'_> {
    /// Whether it looks at the value, which then has to be a string.
    pub(crate) fn compares(&self) -> bool {
        !matches!(
            self,
            Condition::Always | Condition::Absent | Condition::Present
        )
    }

    /// Whether a key meets it. The caller has made sure that it holds a string if the condition compares. An error if a digest
    /// that has to be compared with is not of 16 characters.
    pub(crate) fn met_by(&self, found: Option<&EntryRef<'_>>) -> Result<bool> {
        let mut digits = [0; 20];
        Ok(match *self {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Equals(want) => found.is_some_and(|e| text(e.value(), &mut digits) == want),
            Condition::Differs(want) => found.is_none_or(|e| text(e.value(), &mut digits) != want),
            Condition::DigestEquals(want) => match found {
                None => false,
                Some(e) => has_digest(text(e.value(), &mut digits), want)?,
            },
            Condition::DigestDiffers(want) => match found {
                None => true,
                Some(e) => !has_digest(text(e.value(), &mut digits), want)?,
            },
        })
    }
}

/// A string's digest as DIGEST writes it.
pub fn digest_of(bytes: &[u8]) -> [u8; 16] {
    let mut rest = XxHash3_64::oneshot(bytes);
    let mut digits = [0; 16];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    digits
}

/// Whether a string has this digest, given in either case.
fn has_digest(bytes: &[u8], want: &[u8]) -> Result<bool> {
    if want.len() != 16 {
        return Err(Error::new("ERR must be exactly 16 hexadecimal characters"));
    }
    Ok(digest_of(bytes).eq_ignore_ascii_case(want))
}

/// What becomes of a key's expiry when it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewExpiry {
    /// It has none.
    Never,
    /// It keeps the one it has.
    Keep,
    /// It expires then, in Unix milliseconds. What is past already is announced and not there.
    At(u64),
}

/// A string to be written down after it was stored, which uses it up.
enum Text {
    Number(i64),
    Bytes(SmallVec<[u8; 64]>),
    Shared(Blob),
}

impl Text {
    fn of(value: &NewValue<'_>) -> Text {
        match value {
            NewValue::Int(n) => Text::Number(*n),
            NewValue::Inline(b) => Text::Bytes(SmallVec::from_slice(b)),
            NewValue::Blob(b) => Text::Shared(b.clone()),
            NewValue::Packed(..) | NewValue::Object(_) => Text::Bytes(SmallVec::new()),
        }
    }
}

/// Writes down that a key was set, and when it expires.
#[cold]
fn record_set(keys: &mut Keys<'_>, key: &[u8], value: &Text, at: Option<u64>) {
    let (mut number, mut digits) = ([0; 20], [0; 20]);
    let text: &[u8] = match value {
        Text::Number(n) => format_i64(*n, &mut number),
        Text::Bytes(b) => b,
        Text::Shared(b) => b,
    };
    match at {
        None => keys.record(&[b"SET", key, text]),
        Some(at) => {
            let at = format_i64(at as i64, &mut digits);
            keys.record(&[b"SET", key, text, b"PXAT", at]);
        }
    }
}

/// SET: stores a string at a key, whatever was there, without an expiry.
#[inline]
pub fn set(keys: &mut Keys<'_>, key: &[u8], value: NewValue<'_>) {
    keys.set(key, value, None);
    keys.changed(key, SET);
}

/// SETEX: the same with an expiry in Unix milliseconds that is still to come.
pub fn set_expiring(keys: &mut Keys<'_>, key: &[u8], value: NewValue<'_>, at_ms: u64) {
    let text = keys.recording().then(|| Text::of(&value));
    keys.set(key, value, Some(at_ms));
    keys.changed(key, SET);
    keys.changed_too(key, EXPIRE);
    if let Some(text) = text {
        record_set(keys, key, &text, Some(at_ms));
    }
}

/// Sets a key that may have to expire at once. `kept`: the expiry is the one it had.
pub(crate) fn set_or_expire(
    keys: &mut Keys<'_>,
    key: &[u8],
    value: NewValue<'_>,
    at_ms: Option<u64>,
    kept: bool,
) {
    let gone = at_ms.is_some_and(|ms| keys.has_come(ms));
    let text = keys.recording().then(|| Text::of(&value));
    if gone {
        keys.remove(key);
    } else {
        keys.set(key, value, at_ms);
    }
    keys.changed(key, SET);
    if at_ms.is_some() && !kept {
        keys.changed_too(key, EXPIRE);
    }
    if gone {
        keys.changed_too(key, Event::EXPIRED);
        keys.record(&[b"DEL", key]);
    } else if let Some(text) = text {
        record_set(keys, key, &text, at_ms);
    }
}

/// Lets somebody see the string that was at a key, or that there was none.
pub type Show<'a> = &'a mut dyn FnMut(Option<Value<'_>>);

/// SET with options; whether it was stored. `show`: what SET's GET wants, stored or not; then a key that holds something else
/// is an error.
pub fn set_with(
    keys: &mut Keys<'_>,
    key: &[u8],
    value: NewValue<'_>,
    condition: Condition<'_>,
    expiry: NewExpiry,
    show: Option<Show<'_>>,
) -> Result<bool> {
    let mut kept = None;
    if show.is_some() || condition != Condition::Always || expiry == NewExpiry::Keep {
        let found = match show {
            Some(_) => keys.read(key),
            None => keys.read_silently(key),
        };
        let compares = show.is_some() || condition.compares();
        if compares && found.as_ref().is_some_and(|e| e.kind() != Type::String) {
            return Err(Error::WRONG_TYPE);
        }
        let met = condition.met_by(found.as_ref())?;
        if let Some(show) = show {
            show(found.as_ref().map(|e| e.value()));
        }
        kept = found.as_ref().and_then(|e| e.expiry_ms());
        if !met {
            return Ok(false);
        }
    }
    match expiry {
        NewExpiry::Never => set_or_expire(keys, key, value, None, false),
        NewExpiry::Keep => set_or_expire(keys, key, value, kept, true),
        NewExpiry::At(at_ms) => set_or_expire(keys, key, value, Some(at_ms), false),
    }
    Ok(true)
}

/// SETNX: stores a string if there is no such key; whether it did so.
pub fn set_if_absent(keys: &mut Keys<'_>, key: &[u8], value: NewValue<'_>) -> bool {
    let absent = keys.write(key).is_none();
    if absent {
        keys.insert_in(keys.db, key, value, None, false);
        keys.changed(key, SET);
    }
    absent
}

/// GETSET: stores a string and shows the one that was there.
pub fn get_and_set(
    keys: &mut Keys<'_>,
    key: &[u8],
    value: NewValue<'_>,
    show: impl FnOnce(Option<Value<'_>>),
) -> Result {
    show(keys.read_string(key)?.map(|e| e.value()));
    let text = keys.recording().then(|| Text::of(&value));
    set(keys, key, value);
    if let Some(text) = text {
        record_set(keys, key, &text, None);
    }
    Ok(())
}

/// GETDEL: shows the string at a key and deletes the key.
pub fn get_and_delete(
    keys: &mut Keys<'_>,
    key: &[u8],
    show: impl FnOnce(Option<Value<'_>>),
) -> Result {
    let found = keys.read_string(key)?;
    let is_there = found.is_some();
    show(found.map(|e| e.value()));
    if is_there {
        keys.remove(key);
        keys.changed(key, Event::DEL);
        keys.record(&[b"DEL", key]);
    }
    Ok(())
}

/// DELEX and DELIFEQ: deletes a key that meets a condition; whether it did. One that holds something else than a string that is
/// to be compared is an error.
pub fn delete_if(keys: &mut Keys<'_>, key: &[u8], condition: Condition<'_>) -> Result<bool> {
    let Some(found) = keys.write(key) else {
        return Ok(false);
    };
    if condition.compares() && found.get().kind() != Type::String {
        return Err(Error::WRONG_TYPE);
    }
    if !condition.met_by(Some(&found.get()))? {
        return Ok(false);
    }
    super::keys::delete(keys, key);
    keys.record(&[b"DEL", key]);
    Ok(true)
}

/// What GETEX does to the expiry of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Nothing.
    Leave,
    /// It has none any more.
    Persist,
    /// It is this, in Unix milliseconds; a time that has passed deletes the key.
    At(u64),
}

/// GETEX: shows the string at a key and changes its expiry. What it is to be is asked for once there is a key.
pub fn get_and_expire(
    keys: &mut Keys<'_>,
    key: &[u8],
    refresh: impl FnOnce() -> Result<Refresh>,
    show: impl FnOnce(Option<Value<'_>>),
) -> Result {
    let Some(e) = keys.read_string(key)? else {
        show(None);
        return Ok(());
    };
    let refresh = refresh()?;
    show(Some(e.value()));
    match refresh {
        Refresh::Leave => {}
        Refresh::Persist => {
            super::keys::persist(keys, key);
        }
        Refresh::At(at_ms) => {
            super::keys::expire(keys, key, at_ms as i64, Default::default());
        }
    }
    Ok(())
}

/// The integer that a string is, for INCR and its kin.
pub(crate) fn integer(value: Value<'_>) -> Result<i64> {
    match value {
        Value::Int(i) => Ok(i),
        Value::Inline(b) => parse_i64(b).ok_or(Error::NOT_AN_INTEGER),
        Value::Blob(_) => Err(Error::NOT_AN_INTEGER),
    }
}

/// INCRBY: adds to the integer at a key, which counts as 0 if there is none; the sum.
#[inline]
pub fn add(keys: &mut Keys<'_>, key: &[u8], by: i64) -> Result<i64> {
    let new = match keys.write_string(key)? {
        Some(mut f) => {
            let old = integer(f.get().value())?;
            let new = old.checked_add(by).ok_or(Error::OVERFLOW)?;
            // An integer is never a blob, so nothing is freed.
            f.set_value(NewValue::Int(new), false);
            new
        }
        None => {
            keys.insert_in(keys.db, key, NewValue::Int(by), None, false);
            by
        }
    };
    keys.changed(key, Event::string("incrby"));
    Ok(new)
}

/// INCRBYFLOAT: adds a decimal, given as text, to the one at a key; the text of the sum. It stays text, even where it is a whole
/// number.
pub fn add_float(keys: &mut Keys<'_>, key: &[u8], by: &[u8]) -> Result<Vec<u8>> {
    let mut new = Vec::new();
    let mut add_to = |old: &[u8]| {
        let old = LongDouble::parse(old).ok_or(Error::NOT_A_FLOAT)?;
        let by = LongDouble::parse(by).ok_or(Error::NOT_A_FLOAT)?;
        let sum = old.checked_add(by).ok_or(Error::NAN_OR_INFINITY)?;
        sum.write_text(&mut new);
        Ok::<_, Error>(())
    };
    match keys.write_string(key)? {
        Some(mut f) => {
            add_to(text(f.get().value(), &mut [0; 20]))?;
            let removed = f.set_value(string_value(&new), false);
            keys.discard(removed);
        }
        None => {
            add_to(b"0")?;
            keys.insert_in(keys.db, key, string_value(&new), None, false);
        }
    }
    keys.changed(key, Event::string("incrbyfloat"));
    keys.record(&[b"SET", key, &new, b"KEEPTTL"]);
    Ok(new)
}

fn check_length(len: usize, most: usize) -> Result {
    if len > most {
        return Err(Error::STRING_TOO_LONG);
    }
    Ok(())
}

/// APPEND: adds to the end of a string, which is created if need be and must not get longer than `most`; its length afterwards.
pub fn append(keys: &mut Keys<'_>, key: &[u8], more: &[u8], most: usize) -> Result<usize> {
    let Some(mut f) = keys.write_string(key)? else {
        check_length(more.len(), most)?;
        let value = keys.value(more);
        keys.set(key, value, None);
        keys.changed(key, Event::string("append"));
        return Ok(more.len());
    };
    let old_len = length(f.get().value());
    check_length(old_len.saturating_add(more.len()), most)?;
    // Its bytes the gate has asked for.
    let passing = moved(&f, old_len + more.len());
    if passing >= LARGE {
        keys.make_room(0, passing)?;
        let Some(again) = keys.write_string(key)? else {
            return Ok(0);
        };
        f = again;
    }
    let len = extend(&mut f, old_len + more.len(), old_len, more);
    keys.changed(key, Event::string("append"));
    Ok(len)
}

/// SETRANGE: overwrites a string from an offset on, padding it with zeros, to no more than `most` bytes; its length afterwards.
pub fn set_range(
    keys: &mut Keys<'_>,
    key: &[u8],
    offset: usize,
    bytes: &[u8],
    most: usize,
) -> Result<usize> {
    let found = keys.write_string(key)?;
    let old_len = found.as_ref().map_or(0, |f| length(f.get().value()));
    if bytes.is_empty() {
        return Ok(old_len);
    }
    check_length(offset.saturating_add(bytes.len()), most)?;
    let end = offset + bytes.len();
    let passing = found.as_ref().map_or(0, |f| moved(f, end));
    let more = end.saturating_sub(old_len);
    let found = if more + passing >= LARGE {
        keys.make_room(more, passing)?;
        keys.write_string(key)?
    } else {
        found
    };
    let len = match found {
        Some(mut f) => extend(&mut f, old_len.max(end), offset, bytes),
        None => {
            let mut whole = vec![0; end];
            whole[offset..].copy_from_slice(bytes);
            let value = if end <= MAX_INLINE {
                NewValue::Inline(&whole)
            } else {
                NewValue::Blob(Blob::new(std::mem::take(&mut whole)))
            };
            keys.insert_in(keys.db, key, value, None, true);
            end
        }
    };
    keys.changed(key, Event::string("setrange"));
    Ok(len)
}

/// From here on it is asked whether there is memory.
const LARGE: usize = 64 << 10;

/// Bytes of a string that are copied to another place, and for that time in memory twice, if it grows to this length.
fn moved(f: &EntryMut<'_>, len: usize) -> usize {
    match f.get().value() {
        Value::Blob(blob) if blob.capacity() < len => blob.len(),
        _ => 0,
    }
}

/// Makes a string `len` bytes long (at least as long as it is) with `bytes` at `offset`, zeros in between, and returns its
/// length. It is raw afterwards.
fn extend(f: &mut EntryMut<'_>, len: usize, offset: usize, bytes: &[u8]) -> usize {
    let edited = f.edit_blob(|b| {
        if len > b.len() {
            // Doubling, so that many small appends copy each byte a bounded number of times.
            if len > b.capacity() {
                let room = len.saturating_mul(2).min(len + (1 << 20).max(len / 8));
                b.reserve_exact(room - b.len());
            }
            b.resize(len, 0);
        }
        b[offset..offset + bytes.len()].copy_from_slice(bytes);
    });
    if edited.is_some() {
        return len;
    }
    let mut buf = [0; 20];
    let old = text(f.get().value(), &mut buf);
    if len <= MAX_INLINE {
        let mut whole = [0u8; MAX_INLINE];
        whole[..old.len()].copy_from_slice(old);
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
        f.set_value(NewValue::Inline(&whole[..len]), true);
    } else {
        let mut whole = Vec::with_capacity(len);
        whole.extend_from_slice(old);
        whole.resize(len, 0);
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
        f.set_value(NewValue::Blob(Blob::new(whole)), true);
    }
    len
}

/// The byte range that first and last index mean in a string, negative ones counting from its end.
pub fn byte_range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let n = len as i64;
    let from_end = |i: i64| if i < 0 { n.saturating_add(i).max(0) } else { i };
    let (first, last) = (from_end(start), from_end(end).min(n - 1));
    if first > last || n == 0 {
        return 0..0;
    }
    first as usize..last as usize + 1
}
