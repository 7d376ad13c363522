//! The text forms of numbers, exactly as Redis reads and writes them.
//!
//! Clients see these texts (`INCR` refuses `007`, `ZSCORE` answers `3` and not `3.0`), so they are part of the
//! protocol in all but name, and both the engine and the reply writer use them. Integers are 64-bit and read strictly;
//! doubles are IEEE 754 binary64 and written in the fewest digits that read back as the same number. The extended
//! precision of `INCRBYFLOAT` is in [`crate::long_double`].

use crate::shortest::write_shortest;

pub use crate::long_double::{LongDouble, LongDoubleError, add_long_double};

/// "00" to "99", so that formatting takes one division per two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Reads a signed 64-bit integer in the only form Redis writes it: no plus sign, no leading zeros, no spaces, no `-0`.
///
/// Returns None for anything else, out of range included. Since every integer has exactly one such text, a string that
/// parses can be stored as the integer and given back unchanged.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits stay below 10^19, which a u64 holds.
    let mut magnitude = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Writes `n` in decimal into the end of `buf` and returns the part used.
#[inline]
pub fn format_i64(n: i64, buf: &mut [u8; 20]) -> &[u8] {
    let mut at = buf.len();
    let mut rest = n.unsigned_abs();
    while rest >= 100 {
        at -= 2;
        buf[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        buf[at..at + 2].copy_from_slice(&PAIRS[rest as usize]);
    } else {
        at -= 1;
        buf[at] = b'0' + rest as u8;
    }
    if n < 0 {
        at -= 1;
        buf[at] = b'-';
    }
    &buf[at..]
}

/// Reads a double as ZADD and other commands do: the whole text must be a number as C's `strtod` reads it, without
/// leading space. `inf` and `infinity` with a sign and in any case are numbers, `nan` is not.
///
/// A text whose value rounds to infinity, or to zero without being zero, is refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if matches!(unsigned, [b'0', b'x' | b'X', ..]) {
        return crate::long_double::parse_hex_f64(text);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_nan() {
        return None;
    }
    if value.is_infinite() {
        return matches!(unsigned[0], b'i' | b'I').then_some(value);
    }
    if value == 0.0 {
        let mantissa = unsigned.split(|b| matches!(b, b'e' | b'E')).next().unwrap_or_default();
        return mantissa.iter().all(|b| matches!(b, b'0' | b'.')).then_some(value);
    }
    Some(value)
}

/// Appends the text of a double as Redis 7.2 and later write it: `3`, `0.1`, `1e+20`, `inf`, `-inf`, `nan`.
pub fn format_f64(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    if value == 0.0 {
        return out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    }
    // Redis writes whole numbers of at most half the range of an i64 as integers, with all their digits.
    const HALF: f64 = (1u64 << 62) as f64;
    if value.abs() <= HALF && value.trunc() == value {
        let mut digits = [0; 20];
        return out.extend_from_slice(format_i64(value as i64, &mut digits));
    }
    write_shortest(value, out);
}
