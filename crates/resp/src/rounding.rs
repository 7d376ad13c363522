//! Numbers read from text into a binary floating-point format, rounded to nearest even: decimal ones into the extended format, and
//! hexadecimal ones, which are rare, also into doubles.

use crate::bigint::BigUint;

/// A binary floating-point format.
pub(crate) struct Format {
    /// Bits of the significand, the leading one included.
    bits: u32,
    /// Exponents of the significand's last bit: of the smallest (and every subnormal) number, and of the largest.
    pub min_exponent: i32,
    max_exponent: i32,
}

/// That of the x87: a sign, 15 bits of exponent and 64 of significand.
pub(crate) const EXTENDED: Format = Format {
    bits: 64,
    min_exponent: -16445,
    max_exponent: 16320,
};
const DOUBLE: Format = Format {
    bits: 53,
    min_exponent: -1074,
    max_exponent: 971,
};

/// A number without its sign: significand and exponent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Magnitude {
    Zero,
    Number(u64, i32),
}

/// Whether there is a minus, and what comes after the sign.
pub(crate) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Rounds `bits * 2^exponent` (and a little more, if `sticky`) to nearest even. None if that is too large.
///
/// A sticky value must have more bits than the format.
pub(crate) fn round(bits: u128, exponent: i32, sticky: bool, format: &Format) -> Option<Magnitude> {
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
pub(crate) fn read_decimal(text: &[u8]) -> Option<Magnitude> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, after_point) = join_digits(mantissa, |b| b.is_ascii_digit())?;
    let leading = digits.iter().take_while(|&&b| b == b'0').count();
    let trailing = digits[leading..]
        .iter()
        .rev()
        .take_while(|&&b| b == b'0')
        .count();
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
        0..=19 if (-17..=19).contains(&power) => round_short(significant, power),
        _ => round_long(significant, power),
    };
    read.filter(|read| matches!(read, Magnitude::Number(..)))
}

/// Rounds `digits * 10^power` for up to 19 digits and powers from -17 to 19, within 128 bits.
fn round_short(digits: &[u8], power: i32) -> Option<Magnitude> {
    let number = u128::from(
        digits
            .iter()
            .fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0')),
    );
    let ten = 10u128.pow(power.unsigned_abs());
    if power >= 0 {
        // 10^19 is below 2^64.
        return round(number * ten, 0, false, &EXTENDED);
    }
    // 128 bits over at most 57 leave a quotient of 71 or more.
    let shift = number.leading_zeros();
    let number = number << shift;
    round(number / ten, -(shift as i32), number % ten != 0, &EXTENDED)
}

/// Rounds `digits * 10^power` for any number of digits.
fn round_long(digits: &[u8], power: i32) -> Option<Magnitude> {
    let mut number = BigUint::from_digits(digits);
    if power >= 0 {
        number.multiply_power_of_ten(power.unsigned_abs());
        let (bits, below, sticky) = number.top_bits();
        return round(bits, below as i32, sticky, &EXTENDED);
    }
    let mut ten = BigUint::from_u64(1);
    ten.multiply_power_of_ten(power.unsigned_abs());
    let (bits, exponent, sticky) = number.divide(ten);
    round(bits, exponent, sticky, &EXTENDED)
}

/// Reads hexadecimal digits (behind `0x`) with an optional point and binary exponent, as bits, the exponent of the lowest of them,
/// and whether there is a little more.
fn hex_bits(text: &[u8]) -> Option<(u128, i32, bool)> {
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
    let exponent = exponent + 4 * (dropped - after_point as i64);
    // Far outside of either format's range, but an i32.
    Some((bits, exponent.clamp(-100_000, 100_000) as i32, sticky))
}

/// The number that such digits stand for, unless it is too large or too small for the format.
pub(crate) fn read_hex(text: &[u8], format: &Format) -> Option<Magnitude> {
    let (bits, exponent, sticky) = hex_bits(text)?;
    if bits == 0 {
        return Some(Magnitude::Zero);
    }
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
    let magnitude = digits.iter().fold(0i64, |n, digit| {
        (n * 10 + i64::from(digit - b'0')).min(1 << 40)
    });
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads a double in C's hexadecimal form, `-0x1.8p3`, under the rules of [`crate::parse_f64`].
pub(crate) fn parse_hex_f64(text: &[u8]) -> Option<f64> {
    let (negative, magnitude) = split_sign(text);
    let [b'0', b'x' | b'X', digits @ ..] = magnitude else {
        return None;
    };
    Some(double(negative, read_hex(digits, &DOUBLE)?))
}

/// The same, but that what is too large is infinite, and what is too small is 0.
pub(crate) fn parse_hex_f64_of_any_size(text: &[u8]) -> Option<f64> {
    let (negative, magnitude) = split_sign(text);
    let [b'0', b'x' | b'X', digits @ ..] = magnitude else {
        return None;
    };
    let (bits, exponent, sticky) = hex_bits(digits)?;
    let magnitude = match bits {
        0 => Some(Magnitude::Zero),
        _ => round(bits, exponent, sticky, &DOUBLE),
    };
    Some(match magnitude {
        Some(magnitude) => double(negative, magnitude),
        None if negative => f64::NEG_INFINITY,
        None => f64::INFINITY,
    })
}

fn double(negative: bool, magnitude: Magnitude) -> f64 {
    let bits = match magnitude {
        Magnitude::Zero => 0,
        // The leading one of a normal number is not stored; subnormal ones have none and share the lowest exponent.
        Magnitude::Number(significand, exponent) => {
            let biased = (exponent - DOUBLE.min_exponent) as u64 + (significand >> 52);
            biased << 52 | (significand & ((1 << 52) - 1))
        }
    };
    f64::from_bits(bits | u64::from(negative) << 63)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hexadecimal_doubles() {
        let cases = [
            ("0x1p3", 8.0),
            ("-0X1.8P-1", -0.75),
            ("0x.8", 0.5),
            ("0x1.", 1.0),
            ("+0x10", 16.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1p-1022", f64::MIN_POSITIVE),
            ("0x.fffffffffffff8p-1022", f64::MIN_POSITIVE),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
        ];
        for (text, value) in cases {
            assert_eq!(
                parse_hex_f64(text.as_bytes()).map(f64::to_bits),
                Some(value.to_bits()),
                "{text}"
            );
        }
        assert_eq!(
            parse_hex_f64(b"-0x0").map(f64::to_bits),
            Some((-0.0f64).to_bits())
        );
        for text in [
            "0x",
            "0x.p1",
            "0x1p",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "0x1p-1075",
            "0x1p-1080",
            "x1",
            "0x 1",
        ] {
            assert_eq!(parse_hex_f64(text.as_bytes()), None, "{text}");
        }
    }

    /// Where the quotient is half way but for its remainder is met every few hundred numbers.
    #[test]
    fn remainders_break_ties() {
        for i in 0..3000u64 {
            let number = 1 + i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10_000_000_000_000_000_000;
            let digits = number.to_string();
            let digits = digits.as_bytes();
            assert_eq!(
                round_short(digits, -17),
                round_long(digits, -17),
                "{number}"
            );
        }
    }

    proptest! {
        #[test]
        fn short_and_long_ways_round_alike(number in 1u64..10_000_000_000_000_000_000, power in -17i32..=19) {
            let digits = number.to_string();
            prop_assert_eq!(round_short(digits.as_bytes(), power), round_long(digits.as_bytes(), power));
        }
    }
}
