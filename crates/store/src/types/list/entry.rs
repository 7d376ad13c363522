//! Elements as bytes: the entries of a listpack.
//!
//! A node of a list is a run of entries in the format that Redis calls listpack, so that its size is the one Redis
//! would count against `list-max-listpack-size`, and so that dumps can take nodes as they are. An entry can be walked
//! over from both ends:
//!
//! ```text
//! body                                            what it is
//! 0xxxxxxx                                        the integers 0 to 127
//! 110xxxxx + 1 byte                               an integer of 13 bits
//! 0xf1, 0xf2, 0xf3, 0xf4 + 2, 3, 4 or 8 bytes     an integer, little endian, two's complement
//! 10xxxxxx + that many bytes                      a string of up to 63 bytes
//! 1110xxxx + 1 byte + that many bytes             a string of up to 4095 bytes
//! 0xf0 + 4 bytes + that many bytes                a string, its length little endian
//! ```
//!
//! Behind the body stands its length, 7 bits a byte, the highest first. All these bytes but the first have their top bit
//! set, so that reading backwards one knows where to stop. A text that is the canonical form of a number is always
//! stored as that number, and a number always in the shortest form that holds it: equal elements have equal bodies.

use super::End;
use crate::types::kind::Blob;
use crate::types::number::{canonical_i64, length32};
use smallvec::SmallVec;
use std::ops::Range;

/// Bytes of a whole listpack that are not entries: its header and its end mark. We do not keep them, but count them.
pub(super) const LISTPACK_FRAME: usize = 7;

/// An element of a list.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A canonical number.
    Int(i64),
    /// A text; to be stored, it may also be that of a number.
    Bytes(&'a [u8]),
    /// A text in memory of its own, which can be shared.
    Blob(&'a Blob),
}

impl<'a> Item<'a> {
    /// The element's text; numbers are written into `buf`.
    #[inline]
    pub fn text(self, buf: &'a mut [u8; 20]) -> &'a [u8] {
        match self {
            Item::Int(n) => crate::types::packed::Item::Int(n).text(buf),
            Item::Bytes(text) => text,
            Item::Blob(blob) => blob,
        }
    }

    /// The element's text as a string of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut [0; 20]).to_vec()
    }

    /// Length of its text.
    #[inline]
    pub fn text_len(self) -> usize {
        match self {
            Item::Int(_) => self.text(&mut [0; 20]).len(),
            Item::Bytes(text) => text.len(),
            Item::Blob(blob) => blob.len(),
        }
    }
}

/// The longest head of a body: a mark and eight bytes.
const MAX_HEAD: usize = 9;

/// An element on its way into a run.
pub(super) struct Encoded<'a> {
    head: [u8; MAX_HEAD],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(super) fn of(item: Item<'a>) -> Encoded<'a> {
        match item {
            Item::Int(n) => Encoded::number(n),
            Item::Bytes(text) => Encoded::text(text),
            Item::Blob(blob) => Encoded::text(blob),
        }
    }

    #[inline]
    fn text(text: &'a [u8]) -> Encoded<'a> {
        if let Some(n) = canonical_i64(text) {
            return Encoded::number(n);
        }
        let mut head = [0; MAX_HEAD];
        let head_len = match text.len() {
            n @ 0..=63 => {
                head[0] = 0x80 | n as u8;
                1
            }
            n @ 64..=4095 => {
                head[0] = 0xe0 | (n >> 8) as u8;
                head[1] = n as u8;
                2
            }
            n => {
                head[0] = 0xf0;
                head[1..5].copy_from_slice(&length32(n).to_le_bytes());
                5
            }
        };
        Encoded {
            head,
            head_len,
            text,
        }
    }

    fn number(n: i64) -> Encoded<'a> {
        let mut head = [0; MAX_HEAD];
        let le = n.to_le_bytes();
        let mut wide = |mark: u8, bytes: usize| {
            head[0] = mark;
            head[1..=bytes].copy_from_slice(&le[..bytes]);
            1 + bytes
        };
        let head_len = match n {
            0..=127 => {
                head[0] = n as u8;
                1
            }
            -4096..=4095 => {
                head[0] = 0xc0 | (n >> 8 & 0x1f) as u8;
                head[1] = n as u8;
                2
            }
            -0x8000..=0x7fff => wide(0xf1, 2),
            -0x80_0000..=0x7f_ffff => wide(0xf2, 3),
            -0x8000_0000..=0x7fff_ffff => wide(0xf3, 4),
            _ => wide(0xf4, 8),
        };
        Encoded {
            head,
            head_len,
            text: &[],
        }
    }

    #[inline]
    fn body_len(&self) -> usize {
        self.head_len + self.text.len()
    }

    /// Bytes of the whole entry.
    #[inline]
    pub(super) fn len(&self) -> usize {
        with_trailer(self.body_len())
    }

    /// Writes the entry to `to`, which is as long as it.
    #[inline]
    pub(super) fn write(&self, to: &mut [u8]) {
        let body = self.body_len();
        let (head, rest) = to.split_at_mut(self.head_len);
        match head {
            // Nearly all of them: not worth the call of a copy.
            [mark] => *mark = self.head[0],
            _ => head.copy_from_slice(&self.head[..self.head_len]),
        }
        let (text, trailer) = rest.split_at_mut(self.text.len());
        text.copy_from_slice(self.text);
        let mut left = body;
        for (i, byte) in trailer.iter_mut().enumerate().rev() {
            *byte = (left & 0x7f) as u8 | if i == 0 { 0 } else { 0x80 };
            left >>= 7;
        }
    }

    /// The body alone, to compare others with.
    pub(super) fn body(&self) -> SmallVec<[u8; 64]> {
        let mut body = SmallVec::with_capacity(self.body_len());
        body.extend_from_slice(&self.head[..self.head_len]);
        body.extend_from_slice(self.text);
        body
    }
}

/// Bytes of an entry with a body of this length. The bounds are those of the format, which leaves one value of each
/// width unused.
#[inline]
fn with_trailer(body: usize) -> usize {
    body + match body {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Length of the body at the front of `run`.
#[inline]
pub(super) fn body_len(run: &[u8]) -> usize {
    match run[0] {
        0..=0x7f => 1,
        mark @ 0x80..=0xbf => 1 + (mark & 0x3f) as usize,
        0xc0..=0xdf => 2,
        mark @ 0xe0..=0xef => 2 + ((mark as usize & 15) << 8 | run[1] as usize),
        0xf0 => 5 + u32::from_le_bytes([run[1], run[2], run[3], run[4]]) as usize,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        _ => 9,
    }
}

/// Length of the entry at the front of `run`.
#[inline]
pub(super) fn entry_len(run: &[u8]) -> usize {
    with_trailer(body_len(run))
}

/// Length of the entry at the end of `run`.
#[inline]
pub(super) fn last_entry_len(run: &[u8]) -> usize {
    let mut body = 0;
    let mut trailer = 0;
    loop {
        let byte = run[run.len() - 1 - trailer];
        body |= ((byte & 0x7f) as usize) << (7 * trailer);
        trailer += 1;
        if byte & 0x80 == 0 {
            return body + trailer;
        }
    }
}

/// The element at the front of `run`.
#[inline]
pub(super) fn item(run: &[u8]) -> Item<'_> {
    let wide = |bytes: usize| {
        let mut le = [if run[bytes] & 0x80 != 0 { 0xff } else { 0 }; 8];
        le[..bytes].copy_from_slice(&run[1..=bytes]);
        Item::Int(i64::from_le_bytes(le))
    };
    match run[0] {
        n @ 0..=0x7f => Item::Int(n.into()),
        mark @ 0x80..=0xbf => Item::Bytes(&run[1..1 + (mark & 0x3f) as usize]),
        mark @ 0xc0..=0xdf => {
            let n = i64::from(mark & 0x1f) << 8 | i64::from(run[1]);
            Item::Int(if n < 4096 { n } else { n - 8192 })
        }
        0xe0..=0xef => Item::Bytes(&run[2..body_len(run)]),
        0xf0 => Item::Bytes(&run[5..body_len(run)]),
        0xf1 => wide(2),
        0xf2 => wide(3),
        0xf3 => wide(4),
        _ => wide(8),
    }
}

/// Where the entry of this index begins in a run of `count` entries; the end for an index of `count`.
pub(super) fn offset_of(run: &[u8], count: usize, index: usize) -> usize {
    if index <= count / 2 {
        let mut at = 0;
        for _ in 0..index {
            at += entry_len(&run[at..]);
        }
        at
    } else {
        let mut end = run.len();
        for _ in index..count {
            end -= last_entry_len(&run[..end]);
        }
        end
    }
}

/// The places of a run's entries that are still to be taken, from either end.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    start: usize,
    end: usize,
}

impl Places {
    /// All of a run.
    pub(super) fn of(run: &[u8]) -> Places {
        Places {
            start: 0,
            end: run.len(),
        }
    }

    /// Those from this index on if they are to be taken from the front, those up to it from the back.
    pub(super) fn starting(run: &[u8], count: usize, index: usize, from: End) -> Places {
        let mut places = Places::of(run);
        match from {
            End::Front => places.start = offset_of(run, count, index),
            End::Back => places.end = offset_of(run, count, index + 1),
        }
        places
    }

    /// The bytes of the next entry at this end of the run, which is always the same.
    #[inline]
    pub(super) fn next(&mut self, run: &[u8], end: End) -> Option<Range<usize>> {
        if self.start == self.end {
            return None;
        }
        Some(match end {
            End::Front => {
                let at = self.start;
                self.start += entry_len(&run[at..]);
                at..self.start
            }
            End::Back => {
                let end = self.end;
                self.end -= last_entry_len(&run[..end]);
                self.end..end
            }
        })
    }
}

/// A run and the places of its entries.
#[derive(Clone, Debug)]
pub(super) struct Span<'a> {
    run: &'a [u8],
    places: Places,
}

impl<'a> Span<'a> {
    pub(super) fn of(run: &'a [u8]) -> Span<'a> {
        Span {
            run,
            places: Places::of(run),
        }
    }

    /// The bytes of the next entry at this end.
    #[inline]
    pub(super) fn next(&mut self, end: End) -> Option<Range<usize>> {
        self.places.next(self.run, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(item: Item<'_>) -> Vec<u8> {
        let e = Encoded::of(item);
        let mut bytes = vec![0; e.len()];
        e.write(&mut bytes);
        bytes
    }

    /// Bytes that Redis 8.2.3 puts into dumps.
    #[test]
    fn entries_are_those_of_redis() {
        for (text, bytes) in [
            ("", &[0x80, 1][..]),
            ("a", &[0x81, b'a', 2]),
            ("127", &[127, 1]),
            ("128", &[0xc0, 128, 2]),
            ("-1", &[0xdf, 0xff, 2]),
            ("4095", &[0xcf, 0xff, 2]),
            ("-4096", &[0xd0, 0, 2]),
            ("4096", &[0xf1, 0, 0x10, 3]),
            ("-32769", &[0xf2, 0xff, 0x7f, 0xff, 4]),
            ("8388608", &[0xf3, 0, 0, 0x80, 0, 5]),
            (
                "-9223372036854775808",
                &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9],
            ),
            ("-0", &[0x82, b'-', b'0', 3]),
        ] {
            assert_eq!(encoded(Item::Bytes(text.as_bytes())), bytes, "{text}");
        }
        let long = encoded(Item::Bytes(&[b'x'; 200]));
        assert_eq!(
            (&long[..3], &long[202..]),
            (&[0xe0, 200, b'x'][..], &[1, 0xca][..])
        );
        let longer = encoded(Item::Bytes(&[b'x'; 16_378]));
        assert_eq!(
            (&longer[..6], &longer[16_383..]),
            (&[0xf0, 0xfa, 0x3f, 0, 0, b'x'][..], &[0, 0xff, 0xff][..])
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(256), ..ProptestConfig::default() })]
        #[test]
        fn entries_are_read_from_both_ends(texts in prop::collection::vec(super::super::tests::text(), 0..40)) {
            let mut run = Vec::new();
            for text in &texts {
                run.extend(encoded(Item::Bytes(text)));
            }
            let mut at = 0;
            for (i, text) in texts.iter().enumerate() {
                prop_assert_eq!(offset_of(&run, texts.len(), i), at);
                prop_assert_eq!(&item(&run[at..]).to_vec(), text);
                prop_assert_eq!(item(&run[at..]).text_len(), text.len());
                // A number comes back as one, and is encoded the same way again.
                let whole = &run[at..at + entry_len(&run[at..])];
                prop_assert_eq!(&encoded(item(whole)), whole);
                prop_assert_eq!(&Encoded::of(Item::Bytes(text)).body()[..], &whole[..body_len(whole)]);
                at += whole.len();
            }
            prop_assert_eq!(at, run.len());
            for text in texts.iter().rev() {
                at -= last_entry_len(&run[..at]);
                prop_assert_eq!(&item(&run[at..]).to_vec(), text);
            }
            prop_assert_eq!(at, 0);
        }
    }
}
