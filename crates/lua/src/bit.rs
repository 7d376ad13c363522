//! The library `bit`: operations on 32-bit integers, as LuaBitOp has them.
//!
//! Arguments are taken modulo 2^32, halves rounding to even; results are signed.

use crate::ctx::Ctx;
use crate::raw::{L, NONE, Raised, Ret, native};

/// Fills the table on top.
pub(crate) fn fill(l: L) {
    for (name, function) in [
        ("tobit", native(|l: L, _: &Ctx| give(l, argument(l, 1)?))),
        ("bnot", native(|l: L, _: &Ctx| give(l, !argument(l, 1)?))),
        ("band", native(|l: L, _: &Ctx| fold(l, |a, b| a & b))),
        ("bor", native(|l: L, _: &Ctx| fold(l, |a, b| a | b))),
        ("bxor", native(|l: L, _: &Ctx| fold(l, |a, b| a ^ b))),
        (
            "lshift",
            native(|l: L, _: &Ctx| shift(l, |value, n| value << n)),
        ),
        (
            "rshift",
            native(|l: L, _: &Ctx| shift(l, |value, n| value >> n)),
        ),
        (
            "arshift",
            native(|l: L, _: &Ctx| shift(l, |value, n| ((value as i32) >> n) as u32)),
        ),
        ("rol", native(|l: L, _: &Ctx| shift(l, u32::rotate_left))),
        ("ror", native(|l: L, _: &Ctx| shift(l, u32::rotate_right))),
        (
            "bswap",
            native(|l: L, _: &Ctx| give(l, argument(l, 1)?.swap_bytes())),
        ),
        ("tohex", native(to_hex)),
    ] {
        l.set_function(name, function);
    }
}

/// Argument `n`, a number or a string that reads as one.
fn argument(l: L, n: i32) -> Result<u32, Raised> {
    // 2^52 + 2^51: adding it puts the integer part into the low bits of the mantissa.
    const ALIGN: f64 = 6_755_399_441_055_744.0;
    let bits = (l.number(n) + ALIGN).to_bits() as u32;
    if bits == 0 && !l.is_number(n) {
        l.type_error(n, c"number")?;
    }
    Ok(bits)
}

fn give(l: L, value: u32) -> Ret {
    l.push_number(f64::from(value as i32));
    Ok(1)
}

fn fold(l: L, operation: fn(u32, u32) -> u32) -> Ret {
    let mut value = argument(l, 1)?;
    for n in (2..=l.top()).rev() {
        value = operation(value, argument(l, n)?);
    }
    give(l, value)
}

fn shift(l: L, operation: fn(u32, u32) -> u32) -> Ret {
    let value = argument(l, 1)?;
    let count = argument(l, 2)? & 31;
    give(l, operation(value, count))
}

/// The lowest digits in hexadecimal: 8 or as many as the second argument says, capitals if that is negative.
fn to_hex(l: L, _: &Ctx) -> Ret {
    let value = argument(l, 1)?;
    let wanted = if l.kind(2) == NONE {
        8
    } else {
        argument(l, 2)? as i32
    };
    let digits: &[u8; 16] = if wanted < 0 {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let count = wanted.unsigned_abs().min(8) as usize;
    let mut text = [0; 8];
    for (i, digit) in text[..count].iter_mut().rev().enumerate() {
        *digit = digits[(value >> (4 * i)) as usize & 15];
    }
    l.push_bytes(&text[..count]);
    Ok(1)
}
