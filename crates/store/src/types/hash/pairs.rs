//! Fields and values of a small hash, one behind the other.
//!
//! ```text
//! head       field     value                     what for
//! 0x00-0xdf  1-7 B     0-31 B                    short names with short strings: (field length - 1) << 5 | value length
//! 0xe0-0xfe  0-30 B    an element                field length in the low five bits
//! 0xff       element   an element                anything longer
//! ```
//!
//! Elements are those of [`crate::types::packed`]; fields are strings always, values are numbers where that is shorter. So the
//! usual field costs one byte beyond its name and value. Where fields may expire, 8 bytes with the time (Unix
//! milliseconds, 0 for never) follow each pair.

use crate::types::number::length32;
use crate::types::packed::{self, Item};
use smallvec::SmallVec;
use std::ops::Range;

/// Longest field and value whose lengths fit the head together.
const SHORT_FIELD: usize = 7;
const SHORT_VALUE: usize = 31;
/// Heads from here on say only the field's length.
const LONG_VALUE: u8 = 0xe0;
/// The head that says nothing.
const LONG_FIELD: u8 = 0xff;
/// Texts of numbers up to this length stay text: the number would not be shorter.
const SHORT_NUMBER: usize = 4;

/// A field with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The field's name.
    pub field: &'a [u8],
    /// The value.
    pub value: Item<'a>,
    /// When it expires, in Unix milliseconds; 0: never.
    pub due_ms: u64,
    /// The bytes it takes, the time included.
    pub(crate) span: Range<usize>,
}

/// The value that a text is stored as.
#[inline]
pub(crate) fn value_of(text: &[u8]) -> Item<'_> {
    if text.len() <= SHORT_NUMBER {
        Item::Bytes(text)
    } else {
        Item::of(text)
    }
}

/// The pairs of `buf`; `timed` if times follow them.
#[derive(Clone)]
pub struct Pairs<'a> {
    buf: &'a [u8],
    at: usize,
    timed: bool,
}

/// See [`Pairs`].
pub fn pairs(buf: &[u8], timed: bool) -> Pairs<'_> {
    Pairs { buf, at: 0, timed }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        let start = self.at;
        let head = *self.buf.get(start)?;
        let (field, value, mut end) = if head < LONG_VALUE {
            let middle = start + 2 + usize::from(head >> 5);
            let end = middle + usize::from(head & 31);
            (
                self.buf.get(start + 1..middle)?,
                Item::Bytes(self.buf.get(middle..end)?),
                end,
            )
        } else {
            let (field, middle) = if head == LONG_FIELD {
                match packed::first(self.buf.get(start + 1..)?)? {
                    (Item::Bytes(field), len) => (field, start + 1 + len),
                    _ => return None,
                }
            } else {
                let middle = start + 1 + usize::from(head - LONG_VALUE);
                (self.buf.get(start + 1..middle)?, middle)
            };
            let (value, len) = packed::first(self.buf.get(middle..)?)?;
            (field, value, middle + len)
        };
        let mut due_ms = 0;
        if self.timed {
            due_ms = u64::from_le_bytes(self.buf.get(end..end + 8)?.try_into().ok()?);
            end += 8;
        }
        self.at = end;
        Some(Pair {
            field,
            value,
            due_ms,
            span: start..end,
        })
    }
}

/// Finds a field, or else says how many there are.
#[inline]
pub fn find<'a>(buf: &'a [u8], timed: bool, field: &[u8]) -> Result<Pair<'a>, usize> {
    let mut n = 0;
    for pair in pairs(buf, timed) {
        if pair.field == field {
            return Ok(pair);
        }
        n += 1;
    }
    Err(n)
}

/// Puts an encoded pair in the place of `span`; `due_ms` is `None` where no times follow pairs.
pub fn replace(
    buf: &mut Vec<u8>,
    span: Range<usize>,
    field: &[u8],
    value: Item<'_>,
    due_ms: Option<u64>,
) {
    let mut head: SmallVec<[u8; 8]> = SmallVec::new();
    let mut tail: SmallVec<[u8; 16]> = SmallVec::new();
    let mut bytes: &[u8] = b"";
    match value {
        Item::Bytes(v) if (1..=SHORT_FIELD).contains(&field.len()) && v.len() <= SHORT_VALUE => {
            head.push(((field.len() - 1) << 5 | v.len()) as u8);
            bytes = v;
        }
        _ => {
            if field.len() < usize::from(LONG_FIELD - LONG_VALUE) {
                head.push(LONG_VALUE | field.len() as u8);
            } else {
                head.push(LONG_FIELD);
                push_head(&mut head, field.len());
            }
            match value {
                Item::Int(_) => {
                    let mut number = Vec::with_capacity(9);
                    value.push_to(&mut number);
                    tail.extend_from_slice(&number);
                }
                Item::Bytes(v) => {
                    push_head(&mut tail, v.len());
                    bytes = v;
                }
            }
        }
    }
    let time = due_ms.map(u64::to_le_bytes);
    let time: &[u8] = time.as_ref().map_or(b"", |t| t);
    let parts: [&[u8]; 5] = [&head, field, &tail, bytes, time];
    let size: usize = parts.iter().map(|p| p.len()).sum();
    // Makes the gap the right size, then fills it.
    let start = span.start;
    let (old_len, end) = (buf.len(), span.end);
    let new_len = old_len - span.len() + size;
    if size > span.len() {
        buf.resize(new_len, 0);
    }
    buf.copy_within(end..old_len, start + size);
    buf.truncate(new_len);
    let mut at = start;
    for part in parts {
        buf[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
}

/// The head of a string element.
fn push_head<const N: usize>(into: &mut SmallVec<[u8; N]>, len: usize)
where
    [u8; N]: smallvec::Array<Item = u8>,
{
    match len {
        n @ 0..=63 => into.push(n as u8),
        n @ 64..=0xffff => {
            into.push(0x90);
            into.extend_from_slice(&(n as u16).to_le_bytes());
        }
        n => {
            into.push(0x91);
            into.extend_from_slice(&length32(n).to_le_bytes());
        }
    }
}

/// Sets the time of a pair of a timed sequence.
pub(crate) fn set_due(buf: &mut [u8], span: &Range<usize>, due_ms: u64) {
    buf[span.end - 8..span.end].copy_from_slice(&due_ms.to_le_bytes());
}

/// The same pairs with a time behind each, none of which expires.
pub fn timed(buf: &[u8]) -> Vec<u8> {
    let mut with = Vec::with_capacity(buf.len() + buf.len() / 2 + 16);
    for pair in pairs(buf, false) {
        with.extend_from_slice(&buf[pair.span]);
        with.extend_from_slice(&[0; 8]);
    }
    with
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            3 => prop::collection::vec(any::<u8>(), 0..10),
            2 => prop::collection::vec(any::<u8>(), 0..70),
            1 => (0usize..70_000).prop_map(|n| vec![b'x'; n]),
            1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            1 => (-70i64..70).prop_map(|n| n.to_string().into_bytes()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(256), ..ProptestConfig::default() })]
        #[test]
        fn keep_fields_and_values(list in prop::collection::vec((text(), text(), 0u64..5), 0..12), pick in any::<prop::sample::Index>(), new in text(), with_times in any::<bool>()) {
            let mut buf = Vec::new();
            let mut want: Vec<(Vec<u8>, Vec<u8>, u64)> = Vec::new();
            for (field, value, due) in list {
                if want.iter().any(|(f, ..)| *f == field) {
                    continue;
                }
                let end = buf.len();
                replace(&mut buf, end..end, &field, value_of(&value), with_times.then_some(due));
                want.push((field, value, if with_times { due } else { 0 }));
            }
            let read = |buf: &[u8], timed| -> Vec<(Vec<u8>, Vec<u8>, u64)> {
                pairs(buf, timed).map(|p| (p.field.to_vec(), p.value.to_vec(), p.due_ms)).collect()
            };
            prop_assert_eq!(&read(&buf, with_times), &want);
            if !with_times {
                let never: Vec<_> = want.iter().cloned().map(|(f, v, _)| (f, v, 0)).collect();
                prop_assert_eq!(read(&timed(&buf), true), never);
            }
            if !want.is_empty() {
                let i = pick.index(want.len());
                let field = want[i].0.clone();
                let span = find(&buf, with_times, &field).expect("a field of the list").span;
                replace(&mut buf, span, &field, value_of(&new), with_times.then_some(7));
                want[i] = (field.clone(), new, if with_times { 7 } else { 0 });
                prop_assert_eq!(&read(&buf, with_times), &want);
                if with_times {
                    let span = find(&buf, true, &field).expect("still there").span;
                    set_due(&mut buf, &span, 9);
                    want[i].2 = 9;
                    prop_assert_eq!(&read(&buf, true), &want);
                }
                // A cut sequence ends early and is never read past its end.
                buf.pop();
                prop_assert_eq!(pairs(&buf, with_times).count(), want.len() - 1);
            }
        }
    }

    #[test]
    fn the_usual_field_costs_one_byte() {
        let mut buf = Vec::new();
        for i in 0..10 {
            let end = buf.len();
            replace(
                &mut buf,
                end..end,
                format!("field:{i}").as_bytes(),
                Item::Bytes(b"sixteen bytes of"),
                None,
            );
        }
        assert_eq!(buf.len(), 10 * (1 + 7 + 16));
        assert_eq!(find(&buf, false, b"field:"), Err(10));
    }
}
