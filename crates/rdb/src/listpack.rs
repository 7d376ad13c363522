//! Listpacks: small collections as one byte string, since Redis 7.
//!
//! A header (4 bytes of total length, 2 bytes of the number of elements, or 65535 if they must be counted), the elements,
//! and a byte 0xff. The forms of an element are in the table of `store`'s list entries, which are the same: a body, then
//! the body's length, 7 bits a byte, to walk backwards by.

use crate::cursor::Cursor;
use crate::{Malformed, Result};
use store::packed::Item;

const HEADER: usize = 6;
pub(crate) const END: u8 = 0xff;
/// The number of elements when it is too large for the header.
const UNCOUNTED: u16 = u16::MAX;

const BAD: Malformed = Malformed("bad listpack");

/// The elements of a listpack, from the first on.
#[derive(Clone, Debug)]
pub struct Listpack<'a> {
    rest: Cursor<'a>,
    /// What the header says is left to come, if it says so.
    left: Option<u16>,
}

impl<'a> Listpack<'a> {
    /// Checks the frame of a listpack that is all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Listpack<'a>> {
        let mut header = Cursor::new(bytes);
        let total = header.u32_le()?;
        let count = header.take(2)?;
        let count = u16::from_le_bytes([count[0], count[1]]);
        if total as usize != bytes.len() || bytes.len() <= HEADER || bytes.last() != Some(&END) {
            return Err(BAD);
        }
        Ok(Listpack {
            rest: Cursor::new(&bytes[HEADER..bytes.len() - 1]),
            left: (count != UNCOUNTED).then_some(count),
        })
    }

    /// The next element, or `None` after the last.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item<'a>>> {
        let before = self.rest.left();
        if before == 0 {
            return if self.left.unwrap_or(0) == 0 {
                Ok(None)
            } else {
                Err(BAD)
            };
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or(BAD)?;
        }
        let item = body(&mut self.rest)?;
        let length = before - self.rest.left();
        if length <= 127 {
            return if self.rest.byte()? == length as u8 {
                Ok(Some(item))
            } else {
                Err(BAD)
            };
        }
        for byte in back_length(length).iter() {
            if self.rest.byte()? != *byte {
                return Err(BAD);
            }
        }
        Ok(Some(item))
    }

    /// An element that must be there.
    pub fn item(&mut self) -> Result<Item<'a>> {
        self.next_item()?.ok_or(BAD)
    }

    /// A number that must be there.
    pub fn number(&mut self) -> Result<i64> {
        match self.item()? {
            Item::Int(n) => Ok(n),
            Item::Bytes(_) => Err(BAD),
        }
    }
}

fn body<'a>(r: &mut Cursor<'a>) -> Result<Item<'a>> {
    let first = r.byte()?;
    Ok(match first {
        0..=0x7f => Item::Int(first.into()),
        0x80..=0xbf => Item::Bytes(r.take(usize::from(first & 0x3f))?),
        0xc0..=0xdf => {
            let bits = u16::from(first & 0x1f) << 8 | u16::from(r.byte()?);
            // 13 bits, the highest of which is the sign.
            Item::Int(i64::from((bits << 3) as i16 >> 3))
        }
        0xe0..=0xef => {
            let n = usize::from(first & 0x0f) << 8 | usize::from(r.byte()?);
            Item::Bytes(r.take(n)?)
        }
        0xf0 => {
            let n = r.u32_le()?;
            Item::Bytes(r.take(n as usize)?)
        }
        0xf1 => Item::Int(signed(r.take(2)?)),
        0xf2 => Item::Int(signed(r.take(3)?)),
        0xf3 => Item::Int(signed(r.take(4)?)),
        0xf4 => Item::Int(signed(r.take(8)?)),
        _ => return Err(BAD),
    })
}

/// A little-endian number in two's complement of up to 8 bytes.
pub(crate) fn signed(bytes: &[u8]) -> i64 {
    let mut all = [if bytes.last().is_some_and(|b| *b >= 0x80) {
        0xff
    } else {
        0
    }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

/// The bytes behind a body of this length.
struct BackLength {
    bytes: [u8; 5],
    len: usize,
}

impl BackLength {
    fn iter(&self) -> std::slice::Iter<'_, u8> {
        self.bytes[..self.len].iter()
    }
}

fn back_length(body: usize) -> BackLength {
    let len = match body {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    let mut bytes = [0; 5];
    for (i, byte) in bytes[..len].iter_mut().enumerate() {
        let bits = (body >> (7 * (len - 1 - i))) as u8 & 0x7f;
        *byte = if i == 0 { bits } else { bits | 0x80 };
    }
    BackLength { bytes, len }
}

/// The header of a listpack with this many bytes of entries, and how long it is as a whole.
pub(crate) fn frame(entries: usize, count: usize) -> ([u8; HEADER], usize) {
    let total = HEADER + entries + 1;
    let [a, b, c, d] = (total as u32).to_le_bytes();
    let [e, f] = u16::try_from(count).unwrap_or(UNCOUNTED).to_le_bytes();
    ([a, b, c, d, e, f], total)
}

/// A listpack being written.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    /// Where it begins in `bytes`.
    start: usize,
    count: usize,
}

impl Builder {
    /// One without elements.
    pub fn new() -> Builder {
        Builder::behind(Vec::with_capacity(256))
    }

    /// One without elements, behind what these bytes hold.
    pub(crate) fn behind(mut bytes: Vec<u8>) -> Builder {
        let start = bytes.len();
        bytes.extend([0; HEADER]);
        Builder {
            bytes,
            start,
            count: 0,
        }
    }

    /// Appends the elements of another.
    pub fn append(&mut self, other: &Builder) {
        self.bytes
            .extend_from_slice(&other.bytes[other.start + HEADER..]);
        self.count += other.count;
    }

    /// Its length so far, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends an element.
    pub fn push(&mut self, item: Item<'_>) {
        let start = self.bytes.len();
        let out = &mut self.bytes;
        match item {
            Item::Int(n @ 0..=127) => out.push(n as u8),
            Item::Int(n @ -4096..=4095) => out.extend([0xc0 | (n >> 8 & 0x1f) as u8, n as u8]),
            Item::Int(n) => {
                let (mark, width) = match n {
                    -0x8000..=0x7fff => (0xf1, 2),
                    -0x80_0000..=0x7f_ffff => (0xf2, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xf3, 4),
                    _ => (0xf4, 8),
                };
                out.push(mark);
                out.extend_from_slice(&n.to_le_bytes()[..width]);
            }
            Item::Bytes(text) => {
                match text.len() {
                    n @ 0..=63 => out.push(0x80 | n as u8),
                    n @ 64..=4095 => out.extend([0xe0 | (n >> 8) as u8, n as u8]),
                    n => {
                        out.push(0xf0);
                        out.extend((n as u32).to_le_bytes());
                    }
                }
                out.extend_from_slice(text);
            }
        }
        let length = self.bytes.len() - start;
        if length <= 127 {
            self.bytes.push(length as u8);
        } else {
            self.bytes.extend(back_length(length).iter());
        }
        self.count += 1;
    }

    /// Appends a text, as a number if it is one.
    pub fn push_text(&mut self, text: &[u8]) {
        self.push(Item::of(text));
    }

    /// The whole listpack, behind what was before it.
    pub fn finish(mut self) -> Vec<u8> {
        let (header, _) = frame(self.len() - HEADER, self.count);
        self.bytes[self.start..self.start + HEADER].copy_from_slice(&header);
        self.bytes.push(END);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
            (0i64..1 << 40).prop_map(|n| n.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..200),
            (0usize..20_000).prop_map(|n| vec![b'x'; n]),
        ]
    }

    proptest! {
        #[test]
        fn round_trip(texts in prop::collection::vec(texts(), 0..40)) {
            let mut builder = Builder::new();
            texts.iter().for_each(|t| builder.push_text(t));
            let bytes = builder.finish();
            let mut read = Listpack::new(&bytes).unwrap();
            for text in &texts {
                prop_assert_eq!(&read.item().unwrap().to_vec(), text);
            }
            prop_assert_eq!(read.next_item().unwrap(), None);
        }

        #[test]
        fn any_bytes_are_harmless(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if bytes.len() >= 7 {
                let total = bytes.len() as u32;
                bytes[..4].copy_from_slice(&total.to_le_bytes());
                bytes[4..6].fill(0xff);
                *bytes.last_mut().unwrap() = END;
            }
            if let Ok(mut read) = Listpack::new(&bytes) {
                while let Ok(Some(_)) = read.next_item() {}
            }
        }
    }

    #[test]
    fn more_elements_than_the_header_can_count() {
        let mut builder = Builder::new();
        (0..70_000).for_each(|n| builder.push(Item::Int(n)));
        let bytes = builder.finish();
        let mut read = Listpack::new(&bytes).unwrap();
        for n in 0..70_000 {
            assert_eq!(read.number(), Ok(n));
        }
        assert_eq!(read.next_item(), Ok(None));
    }
}
