//! The library `cmsgpack`: MessagePack, as lua-cmsgpack 0.4 has it.
//!
//! Numbers that are integers are packed as such and in the fewest bytes, others as floats if that loses nothing. Tables
//! whose keys are 1 to n become arrays, empty ones too. Tables nested deeper than 16 are packed as nil, so that a table
//! that contains itself can be packed; unpacking is limited by Lua's stack.

use std::ffi::c_int;

use crate::budget::{ahead, charge};
use crate::ctx::{Ctx, Level};
use crate::raw::{BOOLEAN, L, NIL, NUMBER, Raised, Ret, STRING, TABLE, native};
use crate::readonly::reveal;

/// Fills the table on top.
pub(crate) fn fill(l: L) {
    l.set_function("pack", native(pack));
    l.set_function("unpack", native(unpack));
    l.set_function("unpack_one", native(unpack_one));
    l.set_function("unpack_limit", native(unpack_limit));
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        l.push_bytes(text.as_bytes());
        l.set_raw_field(-2, name);
    }
}

/// The slots of a call. Real servers take two of them for each array and map that is being unpacked.
const SLOTS: usize = 8000;

/// Deepest nesting packed.
const MAX_NESTING: usize = 16;

fn pack(l: L, ctx: &Ctx) -> Ret {
    let args = l.top();
    if args == 0 {
        return l.argument_error(0, c"MessagePack pack needs input.");
    }
    // Real servers keep as many strings on the stack as there are arguments.
    if !l.ensure(args.max(4 * MAX_NESTING as c_int + 8)) {
        return l.argument_error(0, c"Too many arguments for MessagePack pack.");
    }
    let out = ctx.scratch();
    out.clear();
    for n in 1..=args {
        l.push_value(n);
        pack_value(l, ctx, out, 0)?;
    }
    ahead(l, ctx, out.len())?;
    l.push_bytes(out);
    Ok(1)
}

/// Writes the value on top and pops it.
fn pack_value(l: L, ctx: &Ctx, out: &mut Vec<u8>, level: usize) -> Result<(), Raised> {
    charge(l, ctx, 16)?;
    match l.kind(-1) {
        STRING => {
            let bytes = l.bytes(-1).unwrap_or_default();
            charge(l, ctx, bytes.len() / 8)?;
            head(out, bytes.len(), &[(0xa0, 31)], Some(0xd9), 0xda);
            out.extend_from_slice(bytes);
        }
        BOOLEAN => out.push(if l.truth(-1) { 0xc3 } else { 0xc2 }),
        NUMBER => pack_number(l.number(-1), out),
        TABLE if level < MAX_NESTING => {
            reveal(l, ctx, l.top());
            if is_array(l, ctx)? {
                pack_array(l, ctx, out, level + 1)?;
            } else {
                pack_map(l, ctx, out, level + 1)?;
            }
        }
        _ => out.push(0xc0),
    }
    l.pop(1);
    Ok(())
}

/// Writes a type with a length: in one byte with the first pair's base up to its limit, else `byte` with 8 bits if there
/// is one, `wide` with 16 bits or `wide` + 1 with 32.
fn head(out: &mut Vec<u8>, len: usize, short: &[(u8, usize)], byte: Option<u8>, wide: u8) {
    if let [(base, limit)] = short
        && len <= *limit
    {
        return out.push(base | len as u8);
    }
    if let (Some(tag), Ok(len)) = (byte, u8::try_from(len)) {
        return out.extend_from_slice(&[tag, len]);
    }
    if let Ok(len) = u16::try_from(len) {
        out.push(wide);
        return out.extend_from_slice(&len.to_be_bytes());
    }
    out.push(wide + 1);
    out.extend_from_slice(&(len as u32).to_be_bytes());
}

fn pack_number(n: f64, out: &mut Vec<u8>) {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if (-TWO_63..TWO_63).contains(&n) && n.trunc() == n {
        return pack_integer(n as i64, out);
    }
    let short = n as f32;
    if f64::from(short) == n {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

fn pack_integer(n: i64, out: &mut Vec<u8>) {
    let bytes = n.to_be_bytes();
    let (tag, len) = match n {
        -0x20..=0x7f => return out.push(n as u8),
        0x80..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..-0x20 => (0xd0, 1),
        -0x8000..-0x80 => (0xd1, 2),
        -0x8000_0000..-0x8000 => (0xd2, 4),
        ..-0x8000_0000 => (0xd3, 8),
    };
    out.push(tag);
    out.extend_from_slice(&bytes[8 - len..]);
}

/// Whether the keys of the table on top are 1 to n.
fn is_array(l: L, ctx: &Ctx) -> Result<bool, Raised> {
    let (mut largest, mut count) = (0.0f64, 0.0f64);
    l.push_nil();
    while l.next(-2) {
        l.pop(1);
        let index = if l.kind(-1) == NUMBER {
            l.number(-1)
        } else {
            0.0
        };
        if index < 1.0 || index.floor() != index || index > f64::from(i32::MAX) {
            l.pop(1);
            return Ok(false);
        }
        charge(l, ctx, 8)?;
        largest = largest.max(index);
        count += 1.0;
    }
    Ok(largest == count)
}

fn pack_array(l: L, ctx: &Ctx, out: &mut Vec<u8>, level: usize) -> Result<(), Raised> {
    let len = l.len(-1);
    head(out, len, &[(0x90, 15)], None, 0xdc);
    for i in 1..=len {
        l.raw_get_int(-1, i as c_int);
        pack_value(l, ctx, out, level)?;
    }
    Ok(())
}

fn pack_map(l: L, ctx: &Ctx, out: &mut Vec<u8>, level: usize) -> Result<(), Raised> {
    let mut len = 0;
    l.push_nil();
    while l.next(-2) {
        l.pop(1);
        len += 1;
        charge(l, ctx, 8)?;
    }
    head(out, len, &[(0x80, 15)], None, 0xde);
    l.push_nil();
    while l.next(-2) {
        l.push_value(-2);
        pack_value(l, ctx, out, level)?;
        pack_value(l, ctx, out, level)?;
    }
    Ok(())
}

/// An item of the input, a table being its header only.
enum Item {
    Scalar,
    Array(usize),
    Map(usize),
}

enum Malformed {
    Short,
    BadFormat,
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(Malformed::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A big-endian number of `n` bytes.
    fn number(&mut self, n: usize) -> Result<u64, Malformed> {
        Ok(self
            .take(n)?
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn text(&mut self, l: L, len: u64) -> Result<Item, Malformed> {
        let text = self.take(usize::try_from(len).map_err(|_| Malformed::Short)?)?;
        l.push_bytes(text);
        Ok(Item::Scalar)
    }

    /// Reads an item and pushes it unless it is a table.
    fn item(&mut self, l: L) -> Result<Item, Malformed> {
        let tag = self.number(1)? as u8;
        let signed = |value: u64, n: usize| (value << (64 - 8 * n)) as i64 >> (64 - 8 * n);
        match tag {
            0x00..=0x7f => l.push_number(f64::from(tag)),
            0xe0..=0xff => l.push_number(f64::from(tag as i8)),
            0xc0 => l.push_nil(),
            0xc2 => l.push_bool(false),
            0xc3 => l.push_bool(true),
            0xca => l.push_number(f64::from(f32::from_bits(self.number(4)? as u32))),
            0xcb => l.push_number(f64::from_bits(self.number(8)?)),
            // 64 bits are taken for signed all the same.
            0xcc..=0xcf => l.push_number(self.number(1 << (tag - 0xcc))? as i64 as f64),
            0xd0..=0xd3 => {
                let n = 1 << (tag - 0xd0);
                l.push_number(signed(self.number(n)?, n) as f64);
            }
            0xa0..=0xbf => return self.text(l, u64::from(tag & 31)),
            0xd9..=0xdb => {
                let len = self.number(1 << (tag - 0xd9))?;
                return self.text(l, len);
            }
            0x90..=0x9f => return Ok(Item::Array(usize::from(tag & 15))),
            0xdc | 0xdd => return Ok(Item::Array(self.number(2 << (tag - 0xdc))? as usize)),
            0x80..=0x8f => return Ok(Item::Map(usize::from(tag & 15))),
            0xde | 0xdf => return Ok(Item::Map(self.number(2 << (tag - 0xde))? as usize)),
            _ => return Err(Malformed::BadFormat),
        }
        Ok(Item::Scalar)
    }

    /// Reads a value with all that is in it and pushes it.
    fn value(&mut self, l: L, ctx: &Ctx) -> Result<(), Raised> {
        let levels = ctx.levels();
        levels.clear();
        let mut left = self.bytes.len();
        let mut arrays = 0;
        loop {
            charge(l, ctx, 16 + (left - self.bytes.len()) / 8)?;
            left = self.bytes.len();
            // An array's index is not on our stack.
            let taken = l.top() as usize + arrays;
            let full = |slots: usize| taken + slots > SLOTS || !l.ensure(slots as c_int);
            if full(1) {
                return Err(overflow(
                    l,
                    "too many return values at once; use unpack_one or unpack_limit instead.",
                ));
            }
            let opened = match self.item(l) {
                Ok(Item::Scalar) => None,
                Ok(Item::Array(_)) if full(2) => {
                    return Err(overflow(l, "in function mp_decode_to_lua_array"));
                }
                Ok(Item::Array(len)) => Some(Level {
                    array: true,
                    index: 0,
                    len,
                }),
                // A map's keys and values count singly.
                Ok(Item::Map(len)) => Some(Level {
                    array: false,
                    index: 0,
                    len: len * 2,
                }),
                Err(Malformed::Short) => {
                    return Err(l.error_at(format_args!("Missing bytes in input.")));
                }
                Err(Malformed::BadFormat) => {
                    return Err(l.error_at(format_args!("Bad data format in input.")));
                }
            };
            if let Some(level) = opened {
                l.new_table(0, 0);
                if level.len > 0 {
                    arrays += usize::from(level.array);
                    levels.push(level);
                    continue;
                }
            }
            // A value is complete and on top.
            loop {
                let Some(level) = levels.last_mut() else {
                    return Ok(());
                };
                level.index += 1;
                if level.array {
                    l.raw_set_int(-2, level.index as c_int);
                } else if level.index % 2 == 0 {
                    set_pair(l)?;
                }
                if level.index < level.len {
                    break;
                }
                arrays -= usize::from(level.array);
                levels.pop();
            }
        }
    }
}

fn overflow(l: L, what: &str) -> Raised {
    l.error_at(format_args!("stack overflow ({what})"))
}

fn set_pair(l: L) -> Result<(), Raised> {
    match l.kind(-2) {
        NIL => Err(l.error(format_args!("table index is nil"))),
        NUMBER if l.number(-2).is_nan() => Err(l.error(format_args!("table index is NaN"))),
        _ => {
            l.raw_set(-3);
            Ok(())
        }
    }
}

fn unpack(l: L, ctx: &Ctx) -> Ret {
    unpack_some(l, ctx, 0, 0)
}

fn unpack_one(l: L, ctx: &Ctx) -> Ret {
    let offset = optional(l, 2);
    l.set_top(l.top().min(1));
    unpack_some(l, ctx, 1, offset)
}

fn unpack_limit(l: L, ctx: &Ctx) -> Ret {
    let limit = l.check_int(2);
    let offset = optional(l, 3);
    l.set_top(1);
    unpack_some(l, ctx, limit, offset)
}

fn optional(l: L, n: c_int) -> c_int {
    if l.kind(n) <= NIL { 0 } else { l.check_int(n) }
}

/// Unpacks `limit` values from `offset` on and gives where the next starts, or all values if both are 0.
fn unpack_some(l: L, ctx: &Ctx, limit: c_int, offset: c_int) -> Ret {
    let all = limit == 0 && offset == 0;
    let bytes = l.check_bytes(1);
    let len = bytes.len();
    let (Ok(most), Ok(start)) = (usize::try_from(limit), usize::try_from(offset)) else {
        return Err(l.error_at(format_args!(
            "Invalid request to unpack with offset of {offset} and limit of {len}."
        )));
    };
    let Some(rest) = bytes.get(start..) else {
        return Err(l.error_at(format_args!(
            "Start offset {offset} greater than input length {len}."
        )));
    };
    let mut input = Input { bytes: rest };
    let mut count = 0;
    while !input.bytes.is_empty() && (all || count < most) {
        input.value(l, ctx)?;
        count += 1;
    }
    if !all {
        let next = if input.bytes.is_empty() {
            -1.0
        } else {
            (len - input.bytes.len()) as f64
        };
        if !l.ensure(1) {
            return Err(l.error_at(format_args!("stack overflow (in function mp_unpack_full)")));
        }
        l.push_number(next);
        l.insert(2);
        count += 1;
    }
    Ok(count as c_int)
}
