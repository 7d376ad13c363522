//! What the commands on streams share: reading IDs and ranges of IDs, and writing entries.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use resp::Out;
use resp::number::{format_i64, parse_i64};
use store::packed::Item;
use store::types::stream::{Entry, StreamId};

/// An ID that is none.
pub const INVALID_ID: Error =
    Error::fixed("ERR Invalid stream ID specified as stream command argument");

/// A number of an ID. Real servers read it with C's `strtoull` unless it is plainly a negative number, so that spaces in
/// front, signs and leading zeros pass.
fn number(text: &[u8]) -> Option<u64> {
    if let Some(n) = parse_i64(text) {
        return u64::try_from(n).ok();
    }
    let space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let start = text.iter().position(|b| !space(b)).unwrap_or(text.len());
    let (negative, digits) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    Some(if negative { n.wrapping_neg() } else { n })
}

/// The text as C sees it: up to a zero byte.
pub fn c_text(text: &[u8]) -> &[u8] {
    text.split(|b| *b == 0).next().unwrap_or_default()
}

/// An ID as it was written: whole, without a sequence number, or with `*` in its place.
enum Read {
    Id(StreamId),
    Ms(u64),
    AutoSeq(u64),
}

fn read(text: &[u8]) -> Option<Read> {
    if text.len() > 127 {
        return None;
    }
    let text = c_text(text);
    match text.iter().position(|b| *b == b'-') {
        None => Some(Read::Ms(number(text)?)),
        Some(dash) => {
            let ms = number(&text[..dash])?;
            match &text[dash + 1..] {
                b"*" => Some(Read::AutoSeq(ms)),
                seq => Some(Read::Id(StreamId::new(ms, number(seq)?))),
            }
        }
    }
}

/// A whole ID: `ms-seq`, or `ms` alone, which stands for `ms-0`.
pub fn strict(text: &[u8]) -> Result<StreamId> {
    bounded(text, 0)
}

fn bounded(text: &[u8], missing_seq: u64) -> Result<StreamId> {
    match read(text) {
        Some(Read::Id(id)) => Ok(id),
        Some(Read::Ms(ms)) => Ok(StreamId::new(ms, missing_seq)),
        Some(Read::AutoSeq(_)) | None => Err(INVALID_ID),
    }
}

/// The ID of a new entry: whole, or with `*` for its sequence number, which is then `None`.
pub fn of_new(text: &[u8]) -> Result<(u64, Option<u64>)> {
    match read(text) {
        Some(Read::Id(id)) => Ok((id.ms, Some(id.seq))),
        Some(Read::Ms(ms)) => Ok((ms, Some(0))),
        Some(Read::AutoSeq(ms)) => Ok((ms, None)),
        None => Err(INVALID_ID),
    }
}

/// A bound of a range: an ID, `-` or `+`, or an ID behind `(` that is itself left out. Tells which.
fn bound(text: &[u8], missing_seq: u64) -> Result<(StreamId, bool)> {
    match text {
        b"-" => Ok((StreamId::MIN, false)),
        b"+" => Ok((StreamId::MAX, false)),
        [b'(', _, ..] => Ok((bounded(&text[1..], missing_seq)?, true)),
        _ => Ok((bounded(text, missing_seq)?, false)),
    }
}

/// A whole ID, or one of the ends `-` and `+`.
pub fn or_end(text: &[u8]) -> Result<StreamId> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => strict(text),
    }
}

/// The lower bound of a range.
pub fn start(text: &[u8]) -> Result<StreamId> {
    match bound(text, 0)? {
        (id, false) => Ok(id),
        (id, true) => id
            .next()
            .ok_or(Error::new("ERR invalid start ID for the interval")),
    }
}

/// The upper bound of a range.
pub fn end(text: &[u8]) -> Result<StreamId> {
    match bound(text, u64::MAX)? {
        (id, false) => Ok(id),
        (id, true) => id
            .previous()
            .ok_or(Error::new("ERR invalid end ID for the interval")),
    }
}

/// Every argument that is left as an ID.
pub fn rest(args: &Args<'_>) -> Result<Vec<StreamId>> {
    args.rest().iter().map(|text| strict(text)).collect()
}

/// Writes an ID.
pub fn reply(out: &mut Out, id: StreamId) {
    let (Ok(ms), Ok(seq)) = (i64::try_from(id.ms), i64::try_from(id.seq)) else {
        return out.bulk_display(id);
    };
    let mut text = [0; 41];
    let mut digits = [0; 20];
    let ms = format_i64(ms, &mut digits);
    let dash = ms.len();
    text[..dash].copy_from_slice(ms);
    text[dash] = b'-';
    let seq = format_i64(seq, &mut digits);
    let len = dash + 1 + seq.len();
    text[dash + 1..len].copy_from_slice(seq);
    out.bulk(&text[..len]);
}

/// Writes a field name or a value.
fn reply_item(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(b) => out.bulk(b),
    }
}

/// Writes an entry: its ID, then names and values.
pub fn reply_entry(out: &mut Out, entry: &Entry<'_>) {
    out.array(2);
    reply(out, entry.id);
    reply_pairs(out, entry);
}

/// Writes names and values of an entry.
pub fn reply_pairs(out: &mut Out, entry: &Entry<'_>) {
    out.array(entry.len() * 2);
    for (name, value) in entry.pairs() {
        reply_item(out, name);
        reply_item(out, value);
    }
}

/// Writes the first entries of an iterator as an array; `count` 0 is all of them.
pub fn reply_entries<'a>(
    out: &mut Out,
    entries: impl Iterator<Item = Entry<'a>>,
    count: usize,
) -> usize {
    let mark = out.begin_array();
    let most = if count == 0 { usize::MAX } else { count };
    let mut n = 0;
    for entry in entries.take(most) {
        reply_entry(out, &entry);
        n += 1;
    }
    out.end_array(mark, n);
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_real_servers_do() {
        let id = StreamId::new;
        for (text, expected) in [
            ("1-2", Some(id(1, 2))),
            ("7", Some(id(7, 0))),
            ("+1-02", Some(id(1, 2))),
            ("1--05", Some(id(1, 5u64.wrapping_neg()))),
            ("1-2\0junk", Some(id(1, 2))),
            (
                "18446744073709551615-18446744073709551615",
                Some(StreamId::MAX),
            ),
            ("18446744073709551616-0", None),
            ("1--5", None),
            ("1-", None),
            ("-1", None),
            ("-", None),
            ("", None),
            ("1-*", None),
            (" 1-1", Some(id(1, 1))),
            ("1 -1", None),
            ("1-1-1", None),
        ] {
            assert_eq!(strict(text.as_bytes()).ok(), expected, "{text}");
        }
        assert_eq!(of_new(b"5-*"), Ok((5, None)));
        assert_eq!(end(b"5"), Ok(id(5, u64::MAX)));
        assert_eq!(start(b"(5-1"), Ok(id(5, 2)));
        assert_eq!(end(b"(5-0"), Ok(id(4, u64::MAX)));
        assert!(start(b"(-").is_err() && end(b"(0-0").is_err() && start(b"(").is_err());
    }
}
