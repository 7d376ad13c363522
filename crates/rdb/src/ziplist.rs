//! What small collections were before listpacks: ziplists (up to Redis 6), zipmaps (up to 2.6), and the sorted array of
//! integers that sets of integers still are. All are read only.
//!
//! A ziplist is a header (4 bytes of total length, 4 of where the last element is, 2 of their number), the elements, and
//! a byte 0xff. An element begins with the length of the one before (1 byte, or 0xfe and 4 bytes).

use crate::cursor::Cursor;
use crate::listpack::signed;
use crate::{Malformed, Result};
use store::packed::Item;

const BAD: Malformed = Malformed("bad ziplist");
const HEADER: usize = 10;

/// The elements of a ziplist, from the first on.
#[derive(Clone, Debug)]
pub struct Ziplist<'a> {
    rest: Cursor<'a>,
    /// Length of the element before.
    before: usize,
}

impl<'a> Ziplist<'a> {
    /// Checks the frame of a ziplist that is all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>> {
        let total = Cursor::new(bytes).u32_le()?;
        if total as usize != bytes.len() || bytes.len() <= HEADER || bytes.last() != Some(&0xff) {
            return Err(BAD);
        }
        Ok(Ziplist {
            rest: Cursor::new(&bytes[HEADER..bytes.len() - 1]),
            before: 0,
        })
    }

    /// The next element, or `None` after the last.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item<'a>>> {
        let r = &mut self.rest;
        let start = r.left();
        if start == 0 {
            return Ok(None);
        }
        let before = match r.byte()? {
            0xfe => r.u32_le()? as usize,
            0xff => return Err(BAD),
            n => usize::from(n),
        };
        if before != self.before {
            return Err(BAD);
        }
        let first = r.byte()?;
        let item = match first {
            0..=0x3f => Item::Bytes(r.take(first.into())?),
            0x40..=0x7f => {
                let n = usize::from(first & 0x3f) << 8 | usize::from(r.byte()?);
                Item::Bytes(r.take(n)?)
            }
            0x80 => {
                let n = r.take(4)?;
                let n = u32::from_be_bytes([n[0], n[1], n[2], n[3]]);
                Item::Bytes(r.take(n as usize)?)
            }
            0xc0 => Item::Int(signed(r.take(2)?)),
            0xd0 => Item::Int(signed(r.take(4)?)),
            0xe0 => Item::Int(signed(r.take(8)?)),
            0xf0 => Item::Int(signed(r.take(3)?)),
            0xfe => Item::Int(signed(r.take(1)?)),
            0xf1..=0xfd => Item::Int(i64::from(first & 0x0f) - 1),
            _ => return Err(BAD),
        };
        self.before = start - r.left();
        Ok(Some(item))
    }
}

/// Calls `f` with the members of a set of integers: 4 bytes of their width, 4 of their number, the integers in order.
pub(crate) fn intset(bytes: &[u8], mut f: impl FnMut(i64) -> Result<()>) -> Result<()> {
    const BAD: Malformed = Malformed("bad set of integers");
    let mut r = Cursor::new(bytes);
    let (width, count) = (r.u32_le()? as usize, r.u32_le()? as usize);
    if ![2, 4, 8].contains(&width) || count == 0 || count.checked_mul(width) != Some(r.left()) {
        return Err(BAD);
    }
    let mut last = None;
    for _ in 0..count {
        let n = signed(r.take(width)?);
        if last.is_some_and(|last| last >= n) {
            return Err(BAD);
        }
        last = Some(n);
        f(n)?;
    }
    Ok(())
}

/// The fields of a zipmap with their values.
///
/// A byte with their number (254 and up: count them), then field and value by turns, each behind its length (1 byte, or
/// 254 and 4 bytes); before a value's text stands a byte with how many unused bytes follow it. A byte 0xff ends it.
#[derive(Clone, Debug)]
pub struct Zipmap<'a> {
    rest: Cursor<'a>,
}

impl<'a> Zipmap<'a> {
    /// Checks the frame of a zipmap that is all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>> {
        match bytes {
            [_, inside @ .., 0xff] => Ok(Zipmap {
                rest: Cursor::new(inside),
            }),
            _ => Err(BAD_ZIPMAP),
        }
    }

    /// The next field with its value, or `None` after the last.
    pub(crate) fn next_pair(&mut self) -> Result<Option<(&'a [u8], &'a [u8])>> {
        if self.rest.left() == 0 {
            return Ok(None);
        }
        let field = self.length()?;
        let field = self.rest.take(field)?;
        let value = self.length()?;
        let unused = self.rest.byte()?;
        let value = self.rest.take(value)?;
        self.rest.take(unused.into())?;
        Ok(Some((field, value)))
    }

    fn length(&mut self) -> Result<usize> {
        match self.rest.byte()? {
            254 => Ok(self.rest.u32_le()? as usize),
            255 => Err(BAD_ZIPMAP),
            n => Ok(n.into()),
        }
    }
}

const BAD_ZIPMAP: Malformed = Malformed("bad zipmap");
