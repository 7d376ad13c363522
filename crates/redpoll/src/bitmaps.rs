//! Typed calls on strings as arrays of bits. Bit 0 is the most significant bit of the first byte.

use crate::db::Db;
use crate::error::{Error, Result};
use crate::reply::{to_int, unexpected};
use crate::value::Value;
use crate::way::Way;
use engine::Intent;
use engine::ops::bits::set_bit;
use engine::ops::strings::text;
use std::ops::{Bound, RangeBounds};
use store::types::bits;

/// How [`Db::bitop`] combines strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOp {
    /// Bits set in all.
    And,
    /// Bits set in any.
    Or,
    /// Bits set in an odd number.
    Xor,
    /// Bits not set in the only one.
    Not,
    /// Bits set in the first and in no other.
    Diff,
    /// Bits set in another, but not in the first.
    Diff1,
    /// Bits set in the first and in another.
    AndOr,
    /// Bits set in exactly one.
    One,
}

/// What [`BitField`] does with a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Keeps the lowest bits; so it is unless said otherwise.
    Wrap,
    /// Takes the nearest number that fits.
    Saturate,
    /// Changes nothing and returns nothing.
    Fail,
}

/// Operations on integers of any width at any bit, for [`Db::bitfield`]. A field's `kind` is `i` or `u` and a number of bits:
/// `u1` to `u63`, `i1` to `i64`.
///
/// ```
/// # use redpoll::{Db, Config, BitField, Overflow};
/// # let db = Db::open(Config::default())?;
/// let hit = BitField::new().overflow(Overflow::Saturate).incr_by("u4", 8, 10).get("u8", 0);
/// assert_eq!(db.bitfield("counts", &hit)?, [Some(10), Some(0)]);
/// assert_eq!(db.bitfield("counts", &hit)?, [Some(15), Some(0)]);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct BitField {
    words: Vec<String>,
}

impl BitField {
    /// No operations.
    pub fn new() -> BitField {
        BitField::default()
    }

    fn add(mut self, words: impl IntoIterator<Item = String>) -> BitField {
        self.words.extend(words);
        self
    }

    /// Returns the number at bit `offset`.
    pub fn get(self, kind: &str, offset: u64) -> BitField {
        self.add(["GET".into(), kind.into(), offset.to_string()])
    }

    /// Stores a number and returns the one that was there.
    pub fn set(self, kind: &str, offset: u64, number: i64) -> BitField {
        self.add([
            "SET".into(),
            kind.into(),
            offset.to_string(),
            number.to_string(),
        ])
    }

    /// Adds to a number and returns the sum.
    pub fn incr_by(self, kind: &str, offset: u64, by: i64) -> BitField {
        self.add([
            "INCRBY".into(),
            kind.into(),
            offset.to_string(),
            by.to_string(),
        ])
    }

    /// What the operations after this one do with numbers that do not fit.
    pub fn overflow(self, overflow: Overflow) -> BitField {
        let word = match overflow {
            Overflow::Wrap => "WRAP",
            Overflow::Saturate => "SAT",
            Overflow::Fail => "FAIL",
        };
        self.add(["OVERFLOW".into(), word.into()])
    }
}

/// The first and last index of a range, -1 for an open end; `None` if it is empty.
fn ends(range: impl RangeBounds<u64>) -> Option<(i64, i64)> {
    let index = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let first = match range.start_bound() {
        Bound::Included(n) => index(*n),
        Bound::Excluded(n) => index(n.saturating_add(1)),
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(n) => index(*n),
        Bound::Excluded(n) => index(n.checked_sub(1)?),
        Bound::Unbounded => -1,
    };
    (last == -1 || first <= last).then_some((first, last))
}

impl<W: Way> Db<W> {
    /// Sets or clears a bit of a string, which grows if need be; what the bit was.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert!(!db.setbit("seen", 1000, true)?);
    /// assert!(db.getbit("seen", 1000)?);
    /// assert_eq!(db.bitcount("seen", ..)?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn setbit(&self, key: impl AsRef<[u8]>, offset: u64, on: bool) -> Result<bool> {
        let key = key.as_ref();
        self.check_lengths(key.len(), 0)?;
        let most = self.longest() as u64;
        if offset / 8 >= most {
            return Err(Error::of_engine(engine::Error::BIT_OFFSET));
        }
        self.on_key(key, Intent::Grow, |keys| set_bit(keys, key, offset, on))
    }

    /// A bit of a string; bits past its end are clear.
    pub fn getbit(&self, key: impl AsRef<[u8]>, offset: u64) -> Result<bool> {
        let on = self.look_at_string(key.as_ref(), |value| {
            bits::get(text(value, &mut [0; 20]), offset)
        })?;
        Ok(on.unwrap_or(false))
    }

    /// How many bits of a range are set.
    pub fn bitcount(&self, key: impl AsRef<[u8]>, bits: impl RangeBounds<u64>) -> Result<u64> {
        let Some((first, last)) = ends(bits) else {
            return Ok(0);
        };
        let (mut a, mut b) = ([0; 20], [0; 20]);
        let args: [&[u8]; 5] = [
            b"BITCOUNT",
            key.as_ref(),
            resp::format_i64(first, &mut a),
            resp::format_i64(last, &mut b),
            b"BIT",
        ];
        Ok(to_int(self.call(&args)?)? as u64)
    }

    /// The first bit of a range that is set or clear. The bits behind a string's end do not count, unlike in BITPOS
    /// without an end.
    pub fn bitpos(
        &self,
        key: impl AsRef<[u8]>,
        on: bool,
        bits: impl RangeBounds<u64>,
    ) -> Result<Option<u64>> {
        let key = key.as_ref();
        let Some((first, last)) = ends(bits) else {
            return Ok(None);
        };
        if !self.exists(key)? {
            return Ok(None);
        }
        let (mut a, mut b) = ([0; 20], [0; 20]);
        let on: &[u8] = if on { b"1" } else { b"0" };
        let args: [&[u8]; 6] = [
            b"BITPOS",
            key,
            on,
            resp::format_i64(first, &mut a),
            resp::format_i64(last, &mut b),
            b"BIT",
        ];
        Ok(u64::try_from(to_int(self.call(&args)?)?).ok())
    }

    /// Combines strings bit by bit, the shorter ones padded with zeros, and stores the result under `to`; its length.
    pub fn bitop<K: AsRef<[u8]>>(
        &self,
        op: BitOp,
        to: impl AsRef<[u8]>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let op: &[u8] = match op {
            BitOp::And => b"AND",
            BitOp::Or => b"OR",
            BitOp::Xor => b"XOR",
            BitOp::Not => b"NOT",
            BitOp::Diff => b"DIFF",
            BitOp::Diff1 => b"DIFF1",
            BitOp::AndOr => b"ANDOR",
            BitOp::One => b"ONE",
        };
        let keys: Vec<K> = keys.into_iter().collect();
        let mut args: Vec<&[u8]> = vec![b"BITOP", op, to.as_ref()];
        args.extend(keys.iter().map(AsRef::as_ref));
        Ok(to_int(self.call(&args)?)? as usize)
    }

    /// Carries out operations on integers inside a string, all at one moment; what each returns.
    pub fn bitfield(
        &self,
        key: impl AsRef<[u8]>,
        operations: &BitField,
    ) -> Result<Vec<Option<i64>>> {
        let mut args: Vec<&[u8]> = vec![b"BITFIELD", key.as_ref()];
        args.extend(operations.words.iter().map(String::as_bytes));
        let Value::Array(replies) = self.call(&args)? else {
            return Ok(Vec::new());
        };
        let number = |reply: Value| match reply {
            Value::Int(n) => Ok(Some(n)),
            Value::Null => Ok(None),
            other => Err(unexpected(&other)),
        };
        replies.into_iter().map(number).collect()
    }
}
