//! The text forms of numbers, exactly as Redis reads and writes them.
//!
//! Clients see these texts (`INCR` refuses `007`, `ZSCORE` answers `3` and not `3.0`), so they are part of the
//! protocol in all but name, and both the engine and the reply writer use them. Integers are 64-bit and read strictly;
//! doubles are IEEE 754 binary64 and written in the fewest digits that read back as the same number. The extended
//! precision of `INCRBYFLOAT` is in [`crate::long_double`].

use crate::shortest::write_shortest;

pub use crate::integer::{format_i64, parse_i64};
pub use crate::long_double::{LongDouble, LongDoubleError, add_long_double};

/// Reads a double as ZADD and other commands do: the whole text must be a number as C's `strtod` reads it, without
/// leading space. `inf` and `infinity` with a sign and in any case are numbers, `nan` is not.
///
/// A text whose value rounds to infinity, or to zero without being zero, is refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = text
        .strip_prefix(b"-")
        .or_else(|| text.strip_prefix(b"+"))
        .unwrap_or(text);
    if matches!(unsigned, [b'0', b'x' | b'X', ..]) {
        return crate::rounding::parse_hex_f64(text);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_nan() {
        return None;
    }
    if value.is_infinite() {
        return matches!(unsigned[0], b'i' | b'I').then_some(value);
    }
    if value == 0.0 {
        let mantissa = unsigned
            .split(|b| matches!(b, b'e' | b'E'))
            .next()
            .unwrap_or_default();
        return mantissa
            .iter()
            .all(|b| matches!(b, b'0' | b'.'))
            .then_some(value);
    }
    Some(value)
}

/// Reads a double as C's `strtod` does where the whole text must be used up: with leading space, in hexadecimal too; what is too
/// large is infinite and what is too small is 0, and so is no text at all. `nan` is no number here either.
pub fn parse_f64_of_strtod(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let spaces = text.iter().take_while(|b| is_space(b)).count();
    let text = &text[spaces..];
    let unsigned = text
        .strip_prefix(b"-")
        .or_else(|| text.strip_prefix(b"+"))
        .unwrap_or(text);
    if matches!(unsigned, [b'0', b'x' | b'X', ..]) {
        return crate::rounding::parse_hex_f64_of_any_size(text);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
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
        return out.extend_from_slice(if value.is_sign_negative() {
            b"-0"
        } else {
            b"0"
        });
    }
    // Redis writes whole numbers of at most half the range of an i64 as integers, with all their digits.
    const HALF: f64 = (1u64 << 62) as f64;
    if value.abs() <= HALF && value.trunc() == value {
        let mut digits = [0; 20];
        return out.extend_from_slice(format_i64(value as i64, &mut digits));
    }
    write_shortest(value, out);
}

/// The same where whole numbers are no special case: the shortest text that reads back as the value. For finite values.
pub fn format_f64_shortest(value: f64, out: &mut Vec<u8>) {
    if value == 0.0 || !value.is_finite() {
        return format_f64(value, out);
    }
    write_shortest(value, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = b"x".to_vec();
        format_f64(value, &mut out);
        String::from_utf8(out).unwrap().split_off(1)
    }

    /// Taken from ZSCORE of Redis 8.2.3 and Valkey 9.1.2, which agree on all of them.
    #[test]
    fn doubles_as_the_real_servers_print_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (1e17, "100000000000000000"),
            (1e18, "1000000000000000000"),
            (5e18, "5e+18"),
            (1.2e19, "1.2e+19"),
            (4611686018427387904.0, "4611686018427387904"),
            (-4611686018427387904.0, "-4611686018427387904"),
            (9223372036854774784.0, "9223372036854775000"),
            (9223372036854775807.0, "9223372036854776000"),
            (123456789012345680000.0, "123456789012345680000"),
            (1234567890123456800.0, "1234567890123456768"),
            (12345678901234567e32, "1.2345678901234566e+48"),
            // Not the shortest.
            (12.95221, "12.952209999999999"),
            (5e22, "49999999999999996000000"),
            (1e23, "99999999999999990000000"),
            (5e23, "5e+23"),
            (10.5e21, "10499999999999999000000"),
            (6.400000000000001e24, "6.400000000000001e+24"),
            (-226.0869, "-226.0869"),
            (2.9802322387695313e-8, "2.9802322387695313e-8"),
            (4.375473068702535e-140, "4.3754730687025345e-140"),
            (5.966672584960166e-154, "5.966672584960166e-154"),
            (623203260495222.8, "623203260495222.8"),
            (77052.31398308005, "7.705231398308005e+4"),
            (0.5, "0.5"),
            (5e-6, "0.000005"),
            (5e-7, "5e-7"),
            (1.2e-5, "0.000012"),
            (1.2e-6, "1.2e-6"),
            (1.2e-7, "1.2e-7"),
            (1111111111.1111112, "1.1111111111111112e+9"),
            (2251799813685248.5, "2251799813685248.5"),
            (1e-320, "1e-320"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn doubles_as_the_real_servers_read_them() {
        let cases = [
            ("1", 1.0),
            ("+1", 1.0),
            ("00012", 12.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+.5e1", 5.0),
            ("1E+5", 1e5),
            ("-0", -0.0),
            ("0e99999999999999999999", 0.0),
            ("-0.00e-5", -0.0),
            ("inf", f64::INFINITY),
            ("+INF", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x1p3", 8.0),
            ("4.9e-324", 5e-324),
            ("2.5e-324", 5e-324),
            ("1e-320", 1e-320),
            ("1.7976931348623157e308", f64::MAX),
        ];
        for (text, value) in cases {
            assert_eq!(
                parse_f64(text.as_bytes()).map(f64::to_bits),
                Some(value.to_bits()),
                "{text}"
            );
        }
        for text in [
            "",
            ".",
            "+",
            "-",
            " 1",
            "1 ",
            "\t1",
            "1\0",
            "--1",
            "+-1",
            "1e",
            "1e+",
            "1_0",
            "1f",
            "0b1",
            "nan",
            "-NaN",
            "NaN(1)",
            "infinit",
            "1e400",
            "-1e400",
            "1e-400",
            "2.4e-324",
            "1.7976931348623159e308",
            "0x",
            "0x1p1024",
            "e5",
            "\u{663}",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_f64(b"\xff"), None);
    }

    #[test]
    fn doubles_of_strtod() {
        let cases = [
            ("", 0.0),
            ("1.5", 1.5),
            (" \t\n\x0b\x0c\r-1", -1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("-inf", f64::NEG_INFINITY),
            ("0x10", 16.0),
            (" -0X1.8P1", -3.0),
            ("0x1p1024", f64::INFINITY),
            ("-0x1p99999999999999999999", f64::NEG_INFINITY),
            ("0x1p-1075", 0.0),
            ("-0x1p-99999", -0.0),
            ("0x0p99999", 0.0),
        ];
        for (text, value) in cases {
            let read = parse_f64_of_strtod(text.as_bytes()).map(f64::to_bits);
            assert_eq!(read, Some(value.to_bits()), "{text:?}");
        }
        for text in [
            " ", "1 ", "- 1", "nan", " nan", "0x", "0x1p", "0x 1", "1\0", "(1",
        ] {
            assert_eq!(parse_f64_of_strtod(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn doubles_come_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse_f64(text(value).as_bytes()).map(f64::to_bits), Some(bits));
        }
    }
}
