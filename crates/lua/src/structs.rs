//! The library `struct`: numbers and strings to bytes and back, by a format.
//!
//! `>` big endian, `<` little endian, `!n` alignment up to n, `x` padding, `b`/`B` byte, `h`/`H` 16 bits, `l`/`L` and
//! `T` 64 bits, `in`/`In` n bytes (4), capitals being unsigned; `f` float, `d` double, `s` string that ends in a NUL,
//! `cn` n bytes of a string, where 0 means the whole string or, unpacking, as many as the number before says.

use crate::budget::charge;
use crate::ctx::Ctx;
use crate::raw::{L, NIL, Raised, Ret, native};

/// Fills the table on top.
pub(crate) fn fill(l: L) {
    l.set_function("pack", native(pack));
    l.set_function("unpack", native(unpack));
    l.set_function("size", native(size));
}

/// Largest size of an `i`.
const MAX_INTEGER: usize = 32;
/// What `!` without a number means: the alignment of a double.
const MAX_ALIGN: usize = 8;

/// A format being read.
struct Format<'a> {
    text: &'a [u8],
    big_endian: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Format<'a> {
        // As everywhere in C, the format ends at a NUL.
        Format {
            text: crate::reply::until_nul(text),
            big_endian: false,
            align: 1,
        }
    }

    /// The next option and the size it speaks of.
    fn next(&mut self, l: L) -> Result<Option<(u8, usize)>, Raised> {
        charge(l, l.ctx(), 8)?;
        let Some((&option, rest)) = self.text.split_first() else {
            return Ok(None);
        };
        self.text = rest;
        let size = match option {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'f' => 4,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'c' => self.number(l, 1)?,
            b'i' | b'I' => {
                let size = self.number(l, 4)?;
                if size > MAX_INTEGER {
                    return Err(l.error_at(format_args!(
                        "integral size {size} is larger than limit of {MAX_INTEGER}"
                    )));
                }
                size
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    /// The digits that follow, as a C `int`; `default` if there are none.
    fn number(&mut self, l: L, default: usize) -> Result<usize, Raised> {
        let digits = self.text.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (text, rest) = self.text.split_at(digits);
        self.text = rest;
        let mut n = 0i32;
        for digit in text {
            n = match n
                .checked_mul(10)
                .and_then(|n| n.checked_add(i32::from(digit - b'0')))
            {
                Some(n) => n,
                None => return Err(l.error_at(format_args!("integral size overflow"))),
            };
        }
        Ok(n as usize)
    }

    /// Bytes of padding before an item at `at`.
    fn padding(&self, at: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        // A size that is no power of two gives what the bits give.
        let size = size.min(self.align);
        size.wrapping_sub(at & (size - 1)) & (size - 1)
    }

    /// An option that stands for no item.
    fn control(&mut self, l: L, option: u8) -> Result<(), Raised> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(l, MAX_ALIGN)?;
                if !align.is_power_of_two() {
                    return Err(l.error_at(format_args!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            _ => {
                l.push_bytes(b"invalid format option '");
                l.push_bytes(&[option]);
                l.push_bytes(b"'");
                l.concat(3);
                l.argument_error(1, l.c_str(-1))?;
            }
        }
        Ok(())
    }

    /// The bytes of an item in the format's order, given in little endian.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }
}

fn is_integer(option: u8) -> bool {
    b"bBhHlLTiI".contains(&option)
}

fn pack(l: L, ctx: &Ctx) -> Ret {
    let mut format = Format::new(l.check_bytes(1));
    let out = ctx.scratch();
    out.clear();
    // Where the arguments end; one that is missing is taken for this nil.
    l.push_nil();
    let mut argument = 1;
    while let Some((option, size)) = format.next(l)? {
        let padding = format.padding(out.len(), option, size);
        out.resize(out.len() + padding, 0);
        if !matches!(option, b'x') && (is_integer(option) || b"fdcs".contains(&option)) {
            argument += 1;
        }
        match option {
            _ if is_integer(option) => {
                let value = to_bits(l.check_number(argument));
                let start = out.len();
                out.extend((0..size).map(|i| if i < 8 { (value >> (8 * i)) as u8 } else { 0 }));
                if format.big_endian {
                    out[start..].reverse();
                }
            }
            b'x' => out.push(0),
            b'f' => out.extend_from_slice(
                &format.ordered((l.check_number(argument) as f32).to_le_bytes()),
            ),
            b'd' => out.extend_from_slice(&format.ordered(l.check_number(argument).to_le_bytes())),
            b'c' | b's' => {
                let text = l.check_bytes(argument);
                let size = if size == 0 { text.len() } else { size };
                let Some(part) = text.get(..size) else {
                    return l.argument_error(argument + 1, c"string too short");
                };
                charge(l, l.ctx(), size / 8)?;
                out.extend_from_slice(part);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => format.control(l, option)?,
        }
    }
    l.push_bytes(out);
    Ok(1)
}

/// A number as 64 bits, two's complement; out of range it is what the conversions of x86 give.
fn to_bits(n: f64) -> u64 {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if n.is_nan() || n < -TWO_63 {
        1 << 63
    } else if n < TWO_63 {
        n as i64 as u64
    } else if n < 2.0 * TWO_63 {
        n as u64
    } else {
        0
    }
}

fn unpack(l: L, _: &Ctx) -> Ret {
    let mut format = Format::new(l.check_bytes(1));
    let data = l.check_bytes(2);
    let start = if l.kind(3) <= NIL {
        1
    } else {
        l.check_number(3) as i64
    };
    if start == 0 {
        return l.argument_error(3, c"offset must be 1 or greater");
    }
    // A negative offset is beyond any end.
    let mut at = (start as usize).wrapping_sub(1);
    let mut results = 0;
    while let Some((option, mut size)) = format.next(l)? {
        // Room for an item and the position behind the last.
        if !l.ensure(2) {
            return Err(l.error_at(format_args!("stack overflow (too many results)")));
        }
        at = at.saturating_add(format.padding(at, option, size));
        let short =
            |at: usize, size: usize| at.checked_add(size).is_none_or(|end| end > data.len());
        if short(at, size) {
            return l.argument_error(2, c"data string too short");
        }
        match option {
            _ if is_integer(option) => {
                let value = integer(
                    &data[at..at + size],
                    format.big_endian,
                    option.is_ascii_lowercase(),
                );
                l.push_number(value);
                results += 1;
            }
            b'x' => {}
            b'f' => {
                let bytes = data[at..].first_chunk::<4>().copied().unwrap_or_default();
                l.push_number(f64::from(f32::from_le_bytes(format.ordered(bytes))));
                results += 1;
            }
            b'd' => {
                let bytes = data[at..].first_chunk::<8>().copied().unwrap_or_default();
                l.push_number(f64::from_le_bytes(format.ordered(bytes)));
                results += 1;
            }
            b'c' => {
                if size == 0 {
                    if results == 0 || !l.is_number(-1) {
                        return Err(l.error_at(format_args!("format 'c0' needs a previous size")));
                    }
                    size = to_bits(l.number(-1)) as usize;
                    l.pop(1);
                    results -= 1;
                    if short(at, size) {
                        return l.argument_error(2, c"data string too short");
                    }
                }
                l.push_bytes(&data[at..at + size]);
                results += 1;
            }
            b's' => {
                let rest = &data[at..];
                let Some(len) = rest.iter().position(|&b| b == 0) else {
                    return Err(l.error_at(format_args!("unfinished string in data")));
                };
                l.push_bytes(&rest[..len]);
                results += 1;
                size = len + 1;
            }
            _ => format.control(l, option)?,
        }
        at += size;
    }
    l.push_number(at.wrapping_add(1) as i64 as f64);
    Ok(results + 1)
}

/// An integer of at most 32 bytes, of which the lowest eight count.
fn integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let mut value = 0u64;
    for i in 0..bytes.len() {
        let byte = if big_endian {
            bytes[i]
        } else {
            bytes[bytes.len() - 1 - i]
        };
        value = value << 8 | u64::from(byte);
    }
    if !signed {
        return value as f64;
    }
    let sign_bit = (8 * bytes.len()).wrapping_sub(1) as u32;
    let mask = u64::MAX.wrapping_shl(sign_bit);
    if value & mask != 0 {
        value |= mask;
    }
    value as i64 as f64
}

fn size(l: L, _: &Ctx) -> Ret {
    let mut format = Format::new(l.check_bytes(1));
    let mut total = 0usize;
    while let Some((option, size)) = format.next(l)? {
        total = total.wrapping_add(format.padding(total, option, size));
        match option {
            b's' => return l.argument_error(1, c"option 's' has no fixed size"),
            b'c' if size == 0 => return l.argument_error(1, c"option 'c0' has no fixed size"),
            _ if !option.is_ascii_alphanumeric() => format.control(l, option)?,
            _ => {}
        }
        total = total.wrapping_add(size);
    }
    l.push_number(total as f64);
    Ok(1)
}
