//! The arithmetic of `INCRBYFLOAT` and `HINCRBYFLOAT`.
//!
//! Redis computes these in C's `long double`, which on x86-64 is the 80-bit extended format of the x87: a sign, 15 bits
//! of exponent and 64 bits of significand. The sum is then printed with 17 digits after the point, trailing zeros cut.
//! Clients see the result (3.0 + 0.2 answers `3.2` and not `3.20000000000000018`), and it is what is stored, so
//! a server that used doubles would answer differently. Rust has no such type; here it is in integer arithmetic, rounded
//! to nearest even as the hardware does, exact for every input that `strtold` reads.

use std::fmt;

use crate::bigint::BigUint;

/// A binary floating-point format.
struct Format {
    /// Bits of the significand, the leading one included.
    bits: u32,
    /// Exponents of the significand's last bit: of the smallest (and every subnormal) number, and of the largest.
    min_exponent: i32,
    max_exponent: i32,
}

const EXTENDED: Format = Format { bits: 64, min_exponent: -16445, max_exponent: 16320 };
const DOUBLE: Format = Format { bits: 53, min_exponent: -1074, max_exponent: 971 };

/// The exponent that stands for infinity.
const INFINITE: i32 = i32::MAX;

/// Redis copies the text into a buffer of this size, its final NUL included, before it reads it.
const MAX_TEXT: usize = 5 * 1024;

/// A number of the x87's 80-bit format, infinities included; there is no NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    /// The value is `significand * 2^exponent`; unless it is zero or subnormal the top bit is set.
    significand: u64,
    exponent: i32,
}

/// Why there is no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongDoubleError {
    /// One of the texts is not a number: "ERR value is not a valid float".
    NotAFloat,
    /// The sum is infinite or undefined: "ERR increment would produce NaN or Infinity".
    NanOrInf,
}

impl fmt::Display for LongDoubleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LongDoubleError::NotAFloat => "value is not a valid float",
            LongDoubleError::NanOrInf => "increment would produce NaN or Infinity",
        })
    }
}

impl std::error::Error for LongDoubleError {}

/// `a + b` as INCRBYFLOAT computes and prints it.
pub fn add_long_double(a: &[u8], b: &[u8]) -> Result<String, LongDoubleError> {
    let a = LongDouble::parse(a).ok_or(LongDoubleError::NotAFloat)?;
    let b = LongDouble::parse(b).ok_or(LongDoubleError::NotAFloat)?;
    a.checked_add(b).map(|sum| sum.to_string()).ok_or(LongDoubleError::NanOrInf)
}

impl LongDouble {
    const ZERO: LongDouble = LongDouble { negative: false, significand: 0, exponent: EXTENDED.min_exponent };

    /// Reads a number as Redis does: the whole text as C's `strtold` reads it (decimal, hexadecimal, `inf`, `infinity`),
    /// without leading space. `nan` is refused, so is what rounds to infinity or, not being zero, to zero.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, magnitude) = split_sign(text);
        if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble { negative, significand: 1 << 63, exponent: INFINITE });
        }
        let read = match magnitude {
            [b'0', b'x' | b'X', digits @ ..] => read_hex(digits, &EXTENDED),
            _ => read_decimal(magnitude),
        };
        let (significand, exponent) = match read? {
            Magnitude::Zero => (0, EXTENDED.min_exponent),
            Magnitude::Number(significand, exponent) => (significand, exponent),
        };
        Some(LongDouble { negative, significand, exponent })
    }

    /// Whether this is not an infinity.
    pub fn is_finite(&self) -> bool {
        self.exponent != INFINITE
    }

    /// The sum, rounded to nearest even; None if it is infinite or undefined.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        if !self.is_finite() || !other.is_finite() {
            return None;
        }
        // Zero has the smallest exponent, and every other number's significand is longer the larger its exponent.
        let (large, small) = if self.magnitude() >= other.magnitude() { (self, other) } else { (other, self) };
        // 62 bits below the larger significand leave room for the carry above it.
        const ROOM: u32 = 62;
        let distance = large.exponent.abs_diff(small.exponent);
        let a = u128::from(large.significand) << ROOM;
        let b = u128::from(small.significand) << ROOM;
        let (b, cut) = match distance {
            0..128 => (b >> distance, b & ((1 << distance) - 1) != 0),
            _ => (0, b != 0),
        };
        let same_sign = large.negative == small.negative;
        // What is cut off is less than the last bit kept: taken away it leaves one less, and something.
        let sum = if same_sign { a + b } else { a - b - u128::from(cut) };
        if sum == 0 {
            // Only -0 + -0 is negative; x - x is not.
            return Some(LongDouble { negative: self.negative && other.negative, ..LongDouble::ZERO });
        }
        match round(sum, large.exponent - ROOM as i32, cut, &EXTENDED)? {
            Magnitude::Zero => Some(LongDouble { negative: large.negative, ..LongDouble::ZERO }),
            Magnitude::Number(significand, exponent) => {
                Some(LongDouble { negative: large.negative, significand, exponent })
            }
        }
    }

    /// Orders finite numbers without their signs.
    fn magnitude(&self) -> (i32, u64) {
        (self.exponent, self.significand)
    }

    /// Appends the number as `%.17Lf` prints it, without trailing zeros: `3`, `-0.5`, `100000000000000000000`, `inf`.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        if !self.is_finite() {
            return out.extend_from_slice(b"inf");
        }
        if self.exponent >= 0 {
            let mut integer = BigUint::from_u64(self.significand);
            integer.shift_left(self.exponent.unsigned_abs());
            return integer.write_decimal(out);
        }
        // In units of the last digit printed: 64 + 57 bits fit.
        const UNIT: u128 = 100_000_000_000_000_000;
        let scaled = u128::from(self.significand) * UNIT;
        let shift = self.exponent.unsigned_abs();
        let units = if shift < 127 {
            let (units, rest, half) = (scaled >> shift, scaled & ((1 << shift) - 1), 1 << (shift - 1));
            units + u128::from(rest > half || (rest == half && units & 1 == 1))
        } else {
            0
        };
        if units == 0 {
            // Without its sign: "-0" is printed "0".
            out.truncate(start);
            return out.push(b'0');
        }
        let fraction = format!("{:017}", units % UNIT);
        let fraction = fraction.trim_end_matches('0');
        out.extend_from_slice((units / UNIT).to_string().as_bytes());
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
    }
}

impl From<i64> for LongDouble {
    fn from(n: i64) -> LongDouble {
        if n == 0 {
            return LongDouble::ZERO;
        }
        let magnitude = n.unsigned_abs();
        let shift = magnitude.leading_zeros();
        LongDouble { negative: n < 0, significand: magnitude << shift, exponent: -(shift as i32) }
    }
}

impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write_text(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// A number without its sign: significand and exponent.
enum Magnitude {
    Zero,
    Number(u64, i32),
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Rounds `bits * 2^exponent` (and a little more, if `sticky`) to nearest even. None if that is too large.
///
/// A sticky value must have more bits than the format.
fn round(bits: u128, exponent: i32, sticky: bool, format: &Format) -> Option<Magnitude> {
    let length = (128 - bits.leading_zeros()) as i32;
    let mut target = (exponent + length - format.bits as i32).max(format.min_exponent);
    let shift = target - exponent;
    let significand = match shift {
        ..=0 => bits << shift.unsigned_abs(),
        1..=127 => {
            let (kept, rest, half) = (bits >> shift, bits & ((1 << shift) - 1), 1 << (shift - 1));
            kept + u128::from(rest > half || (rest == half && (sticky || kept & 1 == 1)))
        }
        128 => u128::from(bits > 1 << 127 || (bits == 1 << 127 && sticky)),
        _ => 0,
    };
    let mut significand = significand;
    if significand >> format.bits != 0 {
        significand >>= 1;
        target += 1;
    }
    if significand == 0 {
        return Some(Magnitude::Zero);
    }
    (target <= format.max_exponent).then_some(Magnitude::Number(significand as u64, target))
}

/// Reads decimal digits with an optional point and exponent.
fn read_decimal(text: &[u8]) -> Option<Magnitude> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, after_point) = join_digits(mantissa, |b| b.is_ascii_digit())?;
    let leading = digits.iter().take_while(|&&b| b == b'0').count();
    let trailing = digits[leading..].iter().rev().take_while(|&&b| b == b'0').count();
    let significant = &digits[leading..digits.len() - trailing];
    if significant.is_empty() {
        return Some(Magnitude::Zero);
    }
    // The value is `significant * 10^power`, its first digit at 10^(power + length - 1).
    let power = exponent - after_point as i64 + trailing as i64;
    let place = power + significant.len() as i64;
    if !(-4960..=4940).contains(&place) {
        return None;
    }
    let power = power as i32;
    let read = match significant.len() {
        0..=19 if (-17..=19).contains(&power) => {
            let number = significant.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
            let number = u128::from(number);
            let ten = 10u128.pow(power.unsigned_abs());
            if power >= 0 {
                // 10^19 is below 2^64.
                round(number * ten, 0, false, &EXTENDED)
            } else {
                // 128 bits over at most 57 leave a quotient of 71 or more.
                let shift = number.leading_zeros();
                let number = number << shift;
                round(number / ten, -(shift as i32), number % ten != 0, &EXTENDED)
            }
        }
        _ => {
            let mut number = BigUint::from_digits(significant);
            if power >= 0 {
                number.multiply_power_of_ten(power.unsigned_abs());
                let (bits, below, sticky) = number.top_bits();
                round(bits, below as i32, sticky, &EXTENDED)
            } else {
                let mut ten = BigUint::from_u64(1);
                ten.multiply_power_of_ten(power.unsigned_abs());
                let (bits, exponent, sticky) = number.divide(ten);
                round(bits, exponent, sticky, &EXTENDED)
            }
        }
    };
    read.filter(|read| matches!(read, Magnitude::Number(..)))
}

/// Reads hexadecimal digits (behind `0x`) with an optional point and binary exponent.
fn read_hex(text: &[u8], format: &Format) -> Option<Magnitude> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'p' | b'P')) {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, after_point) = join_digits(mantissa, |b| b.is_ascii_hexdigit())?;
    let mut bits = 0u128;
    let mut dropped = 0i64;
    let mut sticky = false;
    for digit in digits {
        let digit = char::from(digit).to_digit(16).unwrap_or(0);
        if bits >> 124 == 0 {
            bits = bits << 4 | u128::from(digit);
        } else {
            dropped += 1;
            sticky |= digit != 0;
        }
    }
    if bits == 0 {
        return Some(Magnitude::Zero);
    }
    let exponent = exponent + 4 * (dropped - after_point as i64);
    // Far outside of either format's range, but an i32.
    let exponent = exponent.clamp(-100_000, 100_000) as i32;
    round(bits, exponent, sticky, format).filter(|read| matches!(read, Magnitude::Number(..)))
}

/// The digits around an optional point, and how many come after it. None if there are none or something else is there.
fn join_digits(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<(Vec<u8>, usize)> {
    let point = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    let digits = [whole, fraction].concat();
    (!digits.is_empty() && digits.iter().all(is_digit)).then_some((digits, fraction.len()))
}

/// Reads a signed decimal exponent; one too large for any format stays so without overflowing.
fn read_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0i64, |n, digit| (n * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads a double in C's hexadecimal form, `-0x1.8p3`, under the rules of [`crate::parse_f64`].
pub(crate) fn parse_hex_f64(text: &[u8]) -> Option<f64> {
    let (negative, magnitude) = split_sign(text);
    let [b'0', b'x' | b'X', digits @ ..] = magnitude else { return None };
    let bits = match read_hex(digits, &DOUBLE)? {
        Magnitude::Zero => 0,
        // The leading one of a normal number is not stored; subnormal ones have none and share the lowest exponent.
        Magnitude::Number(significand, exponent) => {
            let biased = (exponent - DOUBLE.min_exponent) as u64 + (significand >> 52);
            biased << 52 | (significand & ((1 << 52) - 1))
        }
    };
    Some(f64::from_bits(bits | u64::from(negative) << 63))
}
