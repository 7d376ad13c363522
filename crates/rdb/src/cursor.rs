//! Reading lengths, numbers and strings of RDB from bytes that may be anything.
//!
//! A length is 6 bits, 14 bits, 4 or 8 bytes, as its first two bits say; with both set it is no length but one of the
//! special strings: an integer of 1, 2 or 4 bytes, or compressed text.

use crate::{Malformed, Result};
use std::ops::Deref;
use store::packed::Item;

/// The bytes end before what should stand there does.
pub(crate) const TRUNCATED: Malformed = Malformed("truncated");

/// A cursor that never goes past the end.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

enum Length {
    Plain(u64),
    Special(u8),
}

/// A string that was read.
#[derive(Clone, Debug)]
pub struct Text<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    /// As it stands there.
    Plain(&'a [u8]),
    /// The digits of a number, the last so many bytes.
    Digits([u8; 11], u8),
    /// Decompressed.
    Own(Vec<u8>),
}

impl<'a> Text<'a> {
    /// A text that is somewhere else.
    pub fn plain(bytes: &'a [u8]) -> Text<'a> {
        Text(Form::Plain(bytes))
    }

    /// A text of its own.
    pub fn from_vec(bytes: Vec<u8>) -> Text<'a> {
        Text(Form::Own(bytes))
    }

    fn number(n: i32) -> Text<'a> {
        let mut buf = [0; 20];
        let digits = Item::Int(n.into()).text(&mut buf);
        let mut short = [0; 11];
        let start = short.len() - digits.len();
        short[start..].copy_from_slice(digits);
        Text(Form::Digits(short, start as u8))
    }

    /// Its bytes, without a copy if it has some of its own.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Form::Own(bytes) => bytes,
            _ => self.to_vec(),
        }
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Form::Plain(bytes) => bytes,
            Form::Digits(bytes, start) => &bytes[usize::from(*start)..],
            Form::Own(bytes) => bytes,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl<'a> Cursor<'a> {
    /// A cursor at the first byte.
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// Bytes left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// 4 bytes, little endian.
    pub(crate) fn u32_le(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// 8 bytes, little endian: times in milliseconds are stored like this.
    pub(crate) fn u64_le(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// 8 bytes, big endian: the halves of stream IDs.
    pub(crate) fn u64_be(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A double, little endian.
    pub fn double(&mut self) -> Result<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// A double as text behind its length, with three lengths that stand for what is no number.
    pub fn double_text(&mut self) -> Result<f64> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            n => resp::number::parse_f64(self.take(n.into())?)
                .ok_or(Malformed("a score is no number")),
        }
    }

    /// Goes past what [`Cursor::double_text`] reads.
    pub(crate) fn skip_double_text(&mut self) -> Result<()> {
        match self.byte()? {
            253..=255 => Ok(()),
            n => self.take(n.into()).map(drop),
        }
    }

    #[inline]
    fn length_or_special(&mut self) -> Result<Length> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(first.into()),
            1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 => match first {
                0x80 => Length::Plain(u32::from_be_bytes(self.array()?).into()),
                0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
                _ => return Err(Malformed("unknown kind of length")),
            },
            _ => Length::Special(first & 0x3f),
        })
    }

    /// A length, or any other number that is stored as one.
    #[inline]
    pub fn length(&mut self) -> Result<u64> {
        match self.length_or_special()? {
            Length::Plain(n) => Ok(n),
            Length::Special(_) => Err(Malformed("a string where a length must be")),
        }
    }

    /// A number of elements, each of which takes a byte at least: more than there are bytes is refused.
    pub fn count(&mut self) -> Result<usize> {
        let n = self.length()?;
        usize::try_from(n)
            .ok()
            .filter(|n| *n <= self.left())
            .ok_or(TRUNCATED)
    }

    /// A string in any of its forms.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>> {
        let number = match self.length_or_special()? {
            Length::Plain(n) => {
                let n = usize::try_from(n).map_err(|_| TRUNCATED)?;
                return self.take(n).map(Text::plain);
            }
            Length::Special(0) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Special(1) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Special(2) => i32::from_le_bytes(self.array()?),
            Length::Special(3) => {
                let compressed = usize::try_from(self.length()?).map_err(|_| TRUNCATED)?;
                let length = usize::try_from(self.length()?).map_err(|_| TRUNCATED)?;
                let text = store::lzf::decompress(self.take(compressed)?, length);
                let text = text.ok_or(Malformed("bad compressed string"))?;
                return Ok(Text(Form::Own(text)));
            }
            Length::Special(_) => return Err(STRING),
        };
        Ok(Text::number(number))
    }

    /// Goes past a string. If not all of it is there, says how many bytes are missing at least.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> std::result::Result<(), Short> {
        let length = match self.length_or_special()? {
            Length::Plain(n) => n,
            Length::Special(n @ 0..=2) => 1 << n,
            Length::Special(3) => {
                let compressed = self.length()?;
                self.length()?;
                compressed
            }
            Length::Special(_) => return Err(Short::Bad(STRING)),
        };
        self.skip(length)
    }

    /// Goes past so many bytes.
    #[inline]
    pub(crate) fn skip(&mut self, n: u64) -> std::result::Result<(), Short> {
        match usize::try_from(n).ok().and_then(|n| self.rest.get(n..)) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(Short::Missing(n - self.rest.len() as u64)),
        }
    }
}

const STRING: Malformed = Malformed("unknown kind of string");

/// Why something could not be skipped.
#[derive(Debug)]
pub(crate) enum Short {
    /// More bytes have to be there, so many at least.
    Missing(u64),
    /// More bytes would not help.
    Bad(Malformed),
}

impl From<Malformed> for Short {
    fn from(malformed: Malformed) -> Short {
        if malformed == TRUNCATED {
            Short::Missing(1)
        } else {
            Short::Bad(malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put;
    use proptest::prelude::*;

    proptest! {
        /// What is read and what is skipped is the same, and a cut anywhere is noticed by both.
        #[test]
        fn skipping_goes_as_far_as_reading(
            text in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                any::<i64>().prop_map(|n| n.to_string().into_bytes()),
                any::<i16>().prop_map(|n| n.to_string().into_bytes()),
                (0usize..20_000).prop_map(|n| vec![b'x'; n]),
            ],
            compress in any::<bool>(),
        ) {
            let mut bytes = Vec::new();
            put::string(&mut bytes, &text, compress);
            let whole = bytes.len();
            bytes.push(7);
            let mut read = Cursor::new(&bytes);
            prop_assert_eq!(&*read.string().unwrap(), &text[..]);
            prop_assert_eq!(read.left(), 1);
            let mut skipped = Cursor::new(&bytes);
            skipped.skip_string().unwrap();
            prop_assert_eq!(skipped.left(), 1);
            for cut in [0, 1.min(whole - 1), whole / 2, whole - 1] {
                prop_assert_eq!(Cursor::new(&bytes[..cut]).string().unwrap_err(), TRUNCATED);
                let missing = match Cursor::new(&bytes[..cut]).skip_string() {
                    Err(Short::Missing(n)) => n,
                    other => panic!("{other:?}"),
                };
                prop_assert!(missing >= 1 && cut + missing as usize <= whole);
            }
        }
    }
}
