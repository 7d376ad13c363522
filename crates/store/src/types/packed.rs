//! Packed sequences: small collections as one byte string.
//!
//! A hash of ten fields does not deserve ten allocations and a table. Collections start as a run of elements, one
//! behind the other, searched from the front; a few hundred bytes are faster to walk than to hash. An element is a byte
//! string, or an integer where its text is a canonical number, which then takes as few bytes as the number needs:
//!
//! ```text
//! 0x00-0x3f   string of that many bytes, which follow
//! 0x40-0x7f   the integers 0 to 63, nothing follows
//! 0x80-0x85   integer of 1, 2, 3, 4, 6 or 8 bytes, little endian, two's complement
//! 0x90        string: 2 bytes of length, then the bytes
//! 0x91        string: 4 bytes of length, then the bytes
//! ```
//!
//! One byte of overhead for the usual element; nothing to go backwards by, which only lists need (and they have a
//! format of their own).

use crate::types::number::length32;
use std::ops::Range;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A canonical number.
    Int(i64),
    /// Any other bytes.
    Bytes(&'a [u8]),
}

/// The widths of the integer forms 0x80 and up.
const WIDTHS: [usize; 6] = [1, 2, 3, 4, 6, 8];

impl<'a> Item<'a> {
    /// The element that a text is: a number where it is the canonical text of one.
    #[inline]
    pub fn of(text: &'a [u8]) -> Item<'a> {
        match crate::types::number::canonical_i64(text) {
            Some(n) => Item::Int(n),
            None => Item::Bytes(text),
        }
    }

    /// The element's text; numbers are written into `buf`.
    #[inline]
    pub fn text(self, buf: &'a mut [u8; 20]) -> &'a [u8] {
        match self {
            Item::Bytes(b) => b,
            Item::Int(n) => decimal(n, buf),
        }
    }

    /// The element's text as a string of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut [0; 20]).to_vec()
    }

    /// Length of its text.
    pub fn text_len(self) -> usize {
        self.text(&mut [0; 20]).len()
    }

    /// Appends the encoded element.
    #[inline]
    pub(crate) fn push_to(self, buf: &mut Vec<u8>) {
        match self {
            Item::Int(n @ 0..=63) => buf.push(0x40 | n as u8),
            Item::Int(n) => {
                let form = WIDTHS
                    .iter()
                    .position(|w| {
                        let spare = 64 - 8 * *w as u32;
                        (n << spare) >> spare == n
                    })
                    .unwrap_or(WIDTHS.len() - 1);
                buf.push(0x80 | form as u8);
                buf.extend_from_slice(&n.to_le_bytes()[..WIDTHS[form]]);
            }
            Item::Bytes(b) => {
                match b.len() {
                    n @ 0..=63 => buf.push(n as u8),
                    n @ 64..=0xffff => {
                        buf.push(0x90);
                        buf.extend_from_slice(&(n as u16).to_le_bytes());
                    }
                    n => {
                        buf.push(0x91);
                        buf.extend_from_slice(&length32(n).to_le_bytes());
                    }
                }
                buf.extend_from_slice(b);
            }
        }
    }

    /// Bytes the encoded element takes.
    pub(crate) fn encoded_len(self) -> usize {
        match self {
            Item::Int(0..=63) => 1,
            Item::Int(n) => {
                1 + WIDTHS
                    .iter()
                    .copied()
                    .find(|w| {
                        let spare = 64 - 8 * *w as u32;
                        (n << spare) >> spare == n
                    })
                    .unwrap_or(8)
            }
            Item::Bytes(b) => match b.len() {
                n @ 0..=63 => 1 + n,
                n @ 64..=0xffff => 3 + n,
                n => 5 + n,
            },
        }
    }
}

/// Decimal digits of a number.
#[inline]
fn decimal(n: i64, buf: &mut [u8; 20]) -> &[u8] {
    let mut left = n.unsigned_abs();
    let mut at = buf.len();
    loop {
        at -= 1;
        buf[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if n < 0 {
        at -= 1;
        buf[at] = b'-';
    }
    &buf[at..]
}

/// The element at the front of `buf` and the number of bytes it takes. `None` at the end, or where the bytes are not
/// in this format.
#[inline]
pub fn first(buf: &[u8]) -> Option<(Item<'_>, usize)> {
    let tag = *buf.first()?;
    let string = |start: usize, len: usize| {
        let bytes = buf.get(start..start.checked_add(len)?)?;
        Some((Item::Bytes(bytes), start + len))
    };
    match tag {
        0..=0x3f => string(1, tag as usize),
        0x40..=0x7f => Some((Item::Int(i64::from(tag & 0x3f)), 1)),
        0x80..=0x85 => {
            let width = WIDTHS[(tag & 7) as usize];
            let bytes = buf.get(1..1 + width)?;
            let mut le = [if bytes[width - 1] & 0x80 != 0 {
                0xff
            } else {
                0
            }; 8];
            le[..width].copy_from_slice(bytes);
            Some((Item::Int(i64::from_le_bytes(le)), 1 + width))
        }
        0x90 => string(
            3,
            u16::from_le_bytes(buf.get(1..3)?.try_into().ok()?) as usize,
        ),
        0x91 => string(
            5,
            u32::from_le_bytes(buf.get(1..5)?.try_into().ok()?) as usize,
        ),
        _ => None,
    }
}

/// The elements of a packed sequence in order, each with the range of bytes it takes.
#[derive(Clone)]
pub struct Items<'a> {
    buf: &'a [u8],
    at: usize,
}

/// The elements of `buf` from byte `at` on.
pub(crate) fn items_from(buf: &[u8], at: usize) -> Items<'_> {
    Items { buf, at }
}

/// The elements of `buf`.
pub fn items(buf: &[u8]) -> Items<'_> {
    items_from(buf, 0)
}

impl<'a> Iterator for Items<'a> {
    type Item = (Range<usize>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (item, len) = first(self.buf.get(self.at..)?)?;
        let start = self.at;
        self.at += len;
        Some((start..self.at, item))
    }
}

/// The range of the first element equal to `wanted` among every `stride`th one, from the one at byte `from` on.
#[inline]
pub fn find(buf: &[u8], from: usize, stride: usize, wanted: Item<'_>) -> Option<Range<usize>> {
    // Equal texts have equal encodings, so whole encodings are compared; most differ in their first byte.
    let mut it = items_from(buf, from);
    loop {
        let (range, item) = it.next()?;
        if item == wanted {
            return Some(range);
        }
        for _ in 1..stride {
            it.next()?;
        }
    }
}

/// Appends a text as an element.
pub fn push(buf: &mut Vec<u8>, text: &[u8]) {
    Item::of(text).push_to(buf);
}

/// Replaces the bytes of `range` by the encoding of `item`.
pub fn replace(buf: &mut Vec<u8>, range: Range<usize>, item: Item<'_>) {
    let mut encoded = Vec::with_capacity(item.encoded_len());
    item.push_to(&mut encoded);
    buf.splice(range, encoded);
}

/// Inserts an element before byte `at`.
pub fn insert(buf: &mut Vec<u8>, at: usize, item: Item<'_>) {
    replace(buf, at..at, item);
}

/// Whether `buf` is nothing but whole elements; how many.
pub fn count(buf: &[u8]) -> Option<usize> {
    let mut it = items(buf);
    let n = it.by_ref().count();
    (it.at == buf.len()).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            (-70i64..70).prop_map(|n| n.to_string().into_bytes()),
            (0usize..70_000).prop_map(|n| vec![b'x'; n]),
            (0u32..64, any::<bool>()).prop_map(|(b, neg)| {
                let n = 1i64.wrapping_shl(b);
                (if neg {
                    n.wrapping_neg()
                } else {
                    n.wrapping_sub(1)
                })
                .to_string()
                .into_bytes()
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(128), ..ProptestConfig::default() })]
        #[test]
        fn keeps_texts(list in prop::collection::vec(texts(), 0..20), pick in any::<prop::sample::Index>(), other in texts()) {
            let mut buf = Vec::new();
            for t in &list {
                let before = buf.len();
                push(&mut buf, t);
                prop_assert_eq!(buf.len() - before, Item::of(t).encoded_len());
            }
            let read: Vec<Vec<u8>> = items(&buf).map(|(_, i)| i.to_vec()).collect();
            prop_assert_eq!(&read, &list);
            prop_assert_eq!(count(&buf), Some(list.len()));
            if !list.is_empty() {
                let i = pick.index(list.len());
                let range = find(&buf, 0, 1, Item::of(&list[i])).unwrap();
                let at = list.iter().position(|t| *t == list[i]).unwrap();
                prop_assert_eq!(items(&buf).nth(at).unwrap().0, range.clone());
                replace(&mut buf, range, Item::of(&other));
                let read: Vec<Vec<u8>> = items(&buf).map(|(_, i)| i.to_vec()).collect();
                let mut want = list.clone();
                want[at] = other;
                prop_assert_eq!(read, want);
                // A cut sequence is noticed and never read past its end.
                let last = items(&buf).last().unwrap().0;
                let cut = &buf[..buf.len() - 1];
                prop_assert_eq!(count(cut), (last.len() == 1).then_some(list.len() - 1));
            }
        }
    }
}
