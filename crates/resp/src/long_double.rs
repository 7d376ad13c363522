//! The arithmetic of `INCRBYFLOAT` and `HINCRBYFLOAT`.
//!
//! Redis computes these in C's `long double`, which on x86-64 is the 80-bit extended format of the x87: a sign, 15 bits
//! of exponent and 64 bits of significand. The sum is then printed with 17 digits after the point, trailing zeros cut.
//! Clients see the result (3.0 + 0.2 answers `3.2` and not `3.20000000000000018`), and it is what is stored, so
//! a server that used doubles would answer differently. Rust has no such type; here it is in integer arithmetic, rounded
//! to nearest even as the hardware does, exact for every input that `strtold` reads.

use std::cmp::Ordering;
use std::fmt;

use crate::bigint::BigUint;
use crate::rounding::{EXTENDED, Magnitude, read_decimal, read_hex, round, split_sign};

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
    a.checked_add(b)
        .map(|sum| sum.to_string())
        .ok_or(LongDoubleError::NanOrInf)
}

impl LongDouble {
    /// 0.
    pub const ZERO: LongDouble = LongDouble {
        negative: false,
        significand: 0,
        exponent: EXTENDED.min_exponent,
    };

    /// 1.
    pub const ONE: LongDouble = LongDouble {
        negative: false,
        significand: 1 << 63,
        exponent: -63,
    };

    /// The largest finite number, C's `LDBL_MAX`.
    pub const MAX: LongDouble = LongDouble {
        negative: false,
        significand: u64::MAX,
        exponent: 16383 - 63,
    };

    /// The smallest finite number.
    pub const MIN: LongDouble = LongDouble {
        negative: true,
        ..LongDouble::MAX
    };

    /// The same with the other sign.
    pub fn negated(self) -> LongDouble {
        LongDouble {
            negative: !self.negative,
            ..self
        }
    }

    /// Orders numbers, infinities included; zeros are equal whatever their signs.
    pub fn compare(&self, other: &LongDouble) -> Ordering {
        let sign = |n: &LongDouble| match (n.significand, n.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        by_sign.then_with(|| match sign(self) {
            1 => self.magnitude().cmp(&other.magnitude()),
            -1 => other.magnitude().cmp(&self.magnitude()),
            _ => Ordering::Equal,
        })
    }

    /// Reads a number as Redis does: the whole text as C's `strtold` reads it (decimal, hexadecimal, `inf`, `infinity`),
    /// without leading space. `nan` is refused, so is what rounds to infinity or, not being zero, to zero.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, magnitude) = split_sign(text);
        if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble {
                negative,
                significand: 1 << 63,
                exponent: INFINITE,
            });
        }
        let read = match magnitude {
            [b'0', b'x' | b'X', digits @ ..] => read_hex(digits, &EXTENDED),
            _ => read_decimal(magnitude),
        };
        let (significand, exponent) = match read? {
            Magnitude::Zero => (0, EXTENDED.min_exponent),
            Magnitude::Number(significand, exponent) => (significand, exponent),
        };
        Some(LongDouble {
            negative,
            significand,
            exponent,
        })
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
        let (large, small) = if self.magnitude() >= other.magnitude() {
            (self, other)
        } else {
            (other, self)
        };
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
        let sum = if same_sign {
            a + b
        } else {
            a - b - u128::from(cut)
        };
        if sum == 0 {
            // Only -0 + -0 is negative; x - x is not.
            return Some(LongDouble {
                negative: self.negative && other.negative,
                ..LongDouble::ZERO
            });
        }
        match round(sum, large.exponent - ROOM as i32, cut, &EXTENDED)? {
            Magnitude::Zero => Some(LongDouble {
                negative: large.negative,
                ..LongDouble::ZERO
            }),
            Magnitude::Number(significand, exponent) => Some(LongDouble {
                negative: large.negative,
                significand,
                exponent,
            }),
        }
    }

    /// Orders numbers without their signs.
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
            let (units, rest, half) = (
                scaled >> shift,
                scaled & ((1 << shift) - 1),
                1 << (shift - 1),
            );
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
        LongDouble {
            negative: n < 0,
            significand: magnitude << shift,
            exponent: -(shift as i32),
        }
    }
}

impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write_text(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(a: &str, b: &str) -> String {
        add_long_double(a.as_bytes(), b.as_bytes()).unwrap_or_else(|error| format!("ERR {error}"))
    }

    /// Taken from INCRBYFLOAT of Redis 7.0.15, Redis 8.2.3 and Valkey 9.1.2, which agree on all of them.
    #[test]
    fn sums_as_the_real_servers_print_them() {
        let cases = [
            ("3.0", "0.2", "3.2"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("1", "-1", "0"),
            ("-0", "0", "0"),
            ("-0.0", "-0.0", "0"),
            ("0", "-0.00000000000000000001", "0"),
            ("0", "0.000000000000000005", "0"),
            ("0", "0.000000000000000015", "0.00000000000000002"),
            ("0", "-0.000000000000000005", "0"),
            ("1e-17", "1e-18", "0.00000000000000001"),
            // Half way between two texts: 3.814697265625e-6 and three times that.
            ("0x1p-18", "0", "0.00000381469726562"),
            ("0x3p-18", "0", "0.00001144409179688"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "0", "18446744073709551615"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("18446744073709551614", "0.5", "18446744073709551614"),
            ("36893488147419103232", "1", "36893488147419103232"),
            ("36893488147419103232", "2", "36893488147419103232"),
            ("36893488147419103232", "3", "36893488147419103236"),
            ("36893488147419103232", "-1", "36893488147419103232"),
            ("36893488147419103232", "-1.5", "36893488147419103230"),
            (
                "123456789012345678901234567890",
                "0",
                "123456789012345678899921813504",
            ),
            ("1e20", "0", "100000000000000000000"),
            ("1e27", "1", "1000000000000000000000000000"),
            ("1.5e-5", "0", "0.000015"),
            ("17179869184", "0.1", "17179869184.09999999962747097"),
            ("-17179869184", "-0.1", "-17179869184.09999999962747097"),
            ("1e17", "0.1", "100000000000000000.1015625"),
            (
                "0.12345678901234567",
                "0.00000000000000001",
                "0.12345678901234568",
            ),
            ("1", "1e-20", "1"),
            ("1", "-1e-20", "1"),
            ("3.6e-4951", "0", "0"),
            ("0x10", "0x.8", "16.5"),
            ("-0XAp-2", "0", "-2.5"),
            ("00012", "+3", "15"),
            (".5", "5.", "5.5"),
            ("1E2", "1e+2", "200"),
        ];
        for (a, b, sum) in cases {
            assert_eq!(add(a, b), sum, "{a} + {b}");
        }
        let largest = add("1.18973149535723176502e4932", "0x1p16318");
        assert_eq!(
            (&largest[..30], largest.len()),
            ("118973149535723176502126385303", 4933)
        );
        let power = add("1e4932", "0");
        assert_eq!(
            (&power[..30], power.len()),
            ("100000000000000000000601894938", 4933)
        );
    }

    #[test]
    fn sums_that_do_not_exist() {
        for (a, b) in [
            ("inf", "1"),
            ("-inf", "inf"),
            ("1", "+Infinity"),
            ("1e4932", "1e4932"),
            ("1.18973149535723176502e4932", "0x1p16320"),
        ] {
            assert_eq!(
                add(a, b),
                "ERR increment would produce NaN or Infinity",
                "{a} + {b}"
            );
        }
    }

    #[test]
    fn what_is_not_a_number() {
        let long = "1".repeat(5 * 1024);
        for text in [
            "",
            " 1",
            "1 ",
            "\t1",
            "1\n",
            "nan",
            "-nan",
            "nan(1)",
            "infinit",
            "in",
            "1e",
            "1e+",
            "1e-",
            "e5",
            ".",
            "+",
            "-",
            "--1",
            "+-1",
            "1.2.3",
            "1,5",
            "1f",
            "1_0",
            "1\0",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "0x1p+",
            "0x1.8.8",
            "1e5000",
            "1e-5000",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0x1p16384",
            "0x1p99999999999999999999",
            "1p3",
            "1e4933",
            "1.18973149535723176509e4932",
            "\u{663}",
            &long,
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(add("x", "inf"), "ERR value is not a valid float");
        assert!(LongDouble::parse(&long.as_bytes()[..4900]).is_some());
        let zeros = "0".repeat(5 * 1024);
        assert!(LongDouble::parse(&zeros.as_bytes()[1..]).is_some());
        assert!(LongDouble::parse(zeros.as_bytes()).is_none());
        assert!(LongDouble::parse(format!("0.{}", &long[..5000]).as_bytes()).is_some());
    }

    /// Significand and exponent of a text.
    fn parts(text: &str) -> (u64, i32) {
        let number = LongDouble::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        (number.significand, number.exponent)
    }

    #[test]
    fn rounding_is_to_nearest_and_ties_to_even() {
        const ONE: u64 = 1 << 63;
        let cases = [
            ("1", ONE),
            ("0x1.0000000000000001p0", ONE),
            (
                "0x1.00000000000000010000000000000000000000000000000000000000000000000001p0",
                ONE + 1,
            ),
            ("0x1.0000000000000002p0", ONE + 1),
            ("0x1.0000000000000003p0", ONE + 2),
            // 1 + 2^-64 and the digits next to it, in decimal.
            (
                "1.0000000000000000000542101086242752217003726400434970855712890625",
                ONE,
            ),
            (
                "1.00000000000000000005421010862427522170037264004349708557128906250",
                ONE,
            ),
            (
                "1.0000000000000000000542101086242752217003726400434970855712890626",
                ONE + 1,
            ),
            (
                "1.00000000000000000005421010862427522170037264004349708557128906250000000000000000000001",
                ONE + 1,
            ),
            // 1 + 3 * 2^-64.
            (
                "1.0000000000000000001626303258728256651011179201304912567138671875",
                ONE + 2,
            ),
            (
                "1.0000000000000000001626303258728256651011179201304912567138671874",
                ONE + 1,
            ),
        ];
        for (text, significand) in cases {
            assert_eq!(parts(text), (significand, -63), "{text}");
        }
        // Rounding up to the next power of two.
        assert_eq!(parts("0x1.fffffffffffffffffp0"), (ONE, -62));
        assert_eq!(parts("1.9999999999999999999999999"), (ONE, -62));
    }

    #[test]
    fn bits_shifted_out_of_a_sum_count() {
        let sum = |a: &str, b: &str| {
            let (a, b) = (
                LongDouble::parse(a.as_bytes()),
                LongDouble::parse(b.as_bytes()),
            );
            let sum = a.unwrap().checked_add(b.unwrap()).unwrap();
            (sum.negative, sum.significand, sum.exponent)
        };
        // Half way between two numbers below 1, and a little less, and a little more.
        assert_eq!(
            sum("1", "-0xC000000000000000p-127"),
            (false, u64::MAX - 1, -64)
        );
        assert_eq!(
            sum("1", "-0xC000000000000001p-127"),
            (false, u64::MAX - 1, -64)
        );
        assert_eq!(sum("1", "-0xBFFFFFFFFFFFFFFFp-127"), (false, u64::MAX, -64));
        assert_eq!(
            sum("0x1.0000000000000002p0", "0x8000000000000000p-127"),
            (false, (1 << 63) + 2, -63)
        );
        assert_eq!(sum("1", "0x8000000000000000p-127"), (false, 1 << 63, -63));
        assert_eq!(
            sum("1", "0x8000000000000001p-127"),
            (false, (1 << 63) + 1, -63)
        );
        assert_eq!(sum("-1", "-1e-4000"), (true, 1 << 63, -63));
        // Zeros.
        assert_eq!(sum("-1", "1"), (false, 0, -16445));
        assert_eq!(sum("-0", "0"), (false, 0, -16445));
        assert_eq!(sum("-0", "-0"), (true, 0, -16445));
    }

    #[test]
    fn the_smallest_numbers() {
        assert_eq!(parts("0x1p-16445"), (1, -16445));
        assert_eq!(parts("0x.8000001p-16445"), (1, -16445));
        assert_eq!(parts("0x1.8p-16445"), (2, -16445));
        assert_eq!(parts("3.6e-4951"), (1, -16445));
        assert_eq!(parts("1.9e-4951"), (1, -16445));
        assert_eq!(parts("0x1p-16382"), (1 << 63, -16445));
        assert_eq!(parts("0x.fffffffffffffffep-16382"), ((1 << 63) - 1, -16445));
        assert_eq!(parts("0"), (0, -16445));
        // Exactly half of the smallest is rounded to zero, which is refused.
        assert_eq!(LongDouble::parse(b"0x.8p-16445"), None);
        // With so many digits that all of them are shifted out.
        assert_eq!(
            parts("0xc0000000000000000000000000000000p-16573"),
            (1, -16445)
        );
        assert_eq!(
            parts("0x80000000000000000000000000000001p-16573"),
            (1, -16445)
        );
        assert_eq!(
            parts("0x800000000000000000000000000000001p-16577"),
            (1, -16445)
        );
        assert_eq!(
            LongDouble::parse(b"0x80000000000000000000000000000000p-16573"),
            None
        );
        assert_eq!(
            LongDouble::parse(b"0x7fffffffffffffffffffffffffffffff1p-16577"),
            None
        );
        assert_eq!(
            LongDouble::parse(b"0xffffffffffffffffffffffffffffffffp-16575"),
            None
        );
        assert_eq!(LongDouble::parse(b"1.8e-4951"), None);
        let sum = LongDouble::parse(b"0x1p-16382")
            .unwrap()
            .checked_add(LongDouble::parse(b"-0x1p-16445").unwrap());
        assert_eq!(sum.unwrap().significand, (1 << 63) - 1);
    }

    proptest! {
        #[test]
        fn integers_of_64_bits_are_exact(a in any::<i64>(), b in any::<i64>()) {
            // The sum has at most 64 bits and a sign.
            let expected = (i128::from(a) + i128::from(b)).to_string();
            prop_assert_eq!(LongDouble::from(a).checked_add(LongDouble::from(b)).unwrap().to_string(), expected);
            prop_assert_eq!(LongDouble::parse(a.to_string().as_bytes()), Some(LongDouble::from(a)));
        }

        /// Below 16 the last bit is worth less than a tenth of the last digit printed.
        #[test]
        fn decimals_of_seventeen_places_are_exact(a in 0i128..800_000_000_000_000_000, b in 0i128..800_000_000_000_000_000, minus: bool) {
            let text = |n: i128| {
                let sign = if n < 0 { "-" } else { "" };
                let n = n.abs();
                format!("{sign}{}.{:017}", n / 10i128.pow(17), n % 10i128.pow(17))
            };
            let b = if minus { -b } else { b };
            let expected = text(a + b);
            let expected = expected.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(add(&text(a), &text(b)), if expected == "-0" { "0" } else { expected });
        }

        #[test]
        fn addition_is_symmetric_and_never_panics(a in "[-+]?[0-9]{0,30}(\\.[0-9]{0,30})?(e[-+]?[0-9]{1,5})?", b in "[-+]?(0x)?[0-9a-f]{0,30}(p-?[0-9]{1,5})?") {
            prop_assert_eq!(add(&a, &b), add(&b, &a));
        }
    }
}
