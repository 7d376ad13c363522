//! Reading lengths, numbers and strings of RDB from bytes that may be anything.
//!
//! A length is 6 bits, 14 bits, 4 or 8 bytes, as its first two bits say; with both set it is no length but one of the
//! special strings: an integer of 1, 2 or 4 bytes, or compressed text.

use crate::{Malformed, Result, lzf};
use std::borrow::Cow;

const TRUNCATED: Malformed = Malformed("truncated");

/// A cursor that never goes past the end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

enum Length {
    Plain(u64),
    Special(u8),
}

impl<'a> Reader<'a> {
    /// A cursor at the first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Bytes left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// 4 bytes, little endian.
    pub fn u32_le(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// 8 bytes, little endian: times in milliseconds are stored like this.
    pub fn u64_le(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// 8 bytes, big endian: the halves of stream IDs.
    pub fn u64_be(&mut self) -> Result<u64> {
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
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        let number = match self.length_or_special()? {
            Length::Plain(n) => {
                let n = usize::try_from(n).map_err(|_| TRUNCATED)?;
                return self.take(n).map(Cow::Borrowed);
            }
            Length::Special(0) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Special(1) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Special(2) => i32::from_le_bytes(self.array()?),
            Length::Special(3) => {
                let compressed = self.count()?;
                let length = usize::try_from(self.length()?).map_err(|_| TRUNCATED)?;
                return lzf::decompress(self.take(compressed)?, length).map(Cow::Owned);
            }
            Length::Special(_) => return Err(Malformed("unknown kind of string")),
        };
        Ok(Cow::Owned(number.to_string().into_bytes()))
    }
}
