//! The shortest text of a double, as Redis 7.2, Valkey and later versions write it.
//!
//! They use Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers", 2010): the
//! decimal digits of a number within half a step of the double, found with 64-bit integers. It always reads
//! back as the same double, but in about one of a thousand cases is not the shortest such text, and answers
//! 49999999999999996000000 where 5e22 would do. A reply must be the same text, so this is Grisu2 and not one of the newer
//! algorithms that are always shortest. Which power of ten it scales by is part of the result, too.

use crate::integer::format_i64;

/// The leading one of a normal number's significand, which its bits leave out.
const HIDDEN_BIT: u64 = 1 << 52;

/// A floating-point number with a 64-bit significand: `f * 2^e`.
#[derive(Clone, Copy)]
struct Wide {
    f: u64,
    e: i32,
}

impl Wide {
    /// The same number with the top bit of the significand set.
    fn normalized(self) -> Wide {
        let shift = self.f.leading_zeros();
        Wide {
            f: self.f << shift,
            e: self.e - shift as i32,
        }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Wide) -> Wide {
        let product = u128::from(self.f) * u128::from(other.f);
        Wide {
            f: ((product + (1 << 63)) >> 64) as u64,
            e: self.e + other.e + 64,
        }
    }
}

/// Powers of ten from 10^-348 in steps of 10^8, as significands rounded to 64 bits; the exponents follow from the power.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea,
    0x9a6bb0aa55653b2d, 0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f,
    0xbe5691ef416bd60c, 0x8dd01fad907ffc3c, 0xd3515c2831559a83, 0x9d71ac8fada6c9b5,
    0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57, 0xc21094364dfb5637,
    0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
    0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996,
    0xdbac6c247d62a584, 0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8,
    0x87625f056c7c4a8b, 0xc9bcff6034c13053, 0x964e858c91ba2655, 0xdff9772470297ebd,
    0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
    0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
    0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c,
    0x9c40000000000000, 0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984,
    0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068, 0x9f4f2726179a2245,
    0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db, 0xc45d1df942711d9a,
    0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
    0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3,
    0xde469fbd99a05fe3, 0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece,
    0x88fcf317f22241e2, 0xcc20ce9bd35c78a5, 0x98165af37b2153df, 0xe2a0b5dc971f303a,
    0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410, 0x8bab8eefb6409c1a,
    0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
    0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841,
    0x9e19db92b4e31ba9, 0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
];
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

fn power(index: i32) -> Wide {
    let index = index.clamp(0, POWERS.len() as i32 - 1);
    // 217706 / 2^16 is log2(10), close enough for every power in the table.
    let e = (((FIRST_POWER + POWER_STEP * index) * 217_706) >> 16) - 63;
    Wide {
        f: POWERS[index as usize],
        e,
    }
}

/// The power that scales a number with this exponent so that its integer part fits 32 bits, and its decimal exponent.
fn power_for(e: i32) -> (Wide, i32) {
    // The product's exponent, -60 to -32, leaves 4 to 32 bits of integer part. The first fit counts.
    let guess = (-f64::from(e + 87) * std::f64::consts::LOG10_2) as i32;
    let mut index = (guess - FIRST_POWER) / POWER_STEP;
    loop {
        let scaled = e + power(index).e + 64;
        if scaled < -60 {
            index += 1;
        } else if scaled > -32 {
            index -= 1;
        } else {
            return (power(index), FIRST_POWER + POWER_STEP * index);
        }
    }
}

/// Up to 18 decimal digits.
struct Digits {
    text: [u8; 18],
    len: usize,
}

impl Digits {
    fn push(&mut self, digit: u64) {
        // No leading zeros, so that digits counted are digits that matter.
        if (digit > 0 || self.len > 0) && self.len < self.text.len() {
            self.text[self.len] = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// Lowers the last digit while that brings the number, which is `rest` below the upper bound, nearer to its target,
    /// `target` below the bound, and keeps it within `range`. One in the last place is worth `unit`.
    fn approach(&mut self, target: u64, range: u64, mut rest: u64, unit: u64) {
        while rest < target
            && range - rest >= unit
            && (rest + unit < target || target - rest > rest + unit - target)
        {
            if let Some(last) = self.text[..self.len].last_mut() {
                *last -= 1;
            }
            rest += unit;
        }
    }
}

/// The digits of a positive finite double, and the power of ten of the last.
fn shortest(value: f64) -> (Digits, i32) {
    let bits = value.to_bits();
    let (fraction, biased) = (bits & (HIDDEN_BIT - 1), (bits >> 52) as i32);
    let exact = match biased {
        0 => Wide {
            f: fraction,
            e: -1074,
        },
        _ => Wide {
            f: fraction | HIDDEN_BIT,
            e: biased - 1075,
        },
    };
    // Half way to the neighbours. Below a power of two the doubles are twice as dense.
    let upper = Wide {
        f: exact.f * 2 + 1,
        e: exact.e - 1,
    }
    .normalized();
    let lower = match exact.f {
        HIDDEN_BIT => Wide {
            f: exact.f * 4 - 1,
            e: exact.e - 2,
        },
        f => Wide {
            f: f * 2 - 1,
            e: exact.e - 1,
        },
    };
    let lower = Wide {
        f: lower.f << (lower.e - upper.e),
        e: upper.e,
    };
    let (scale, decimal) = power_for(upper.e);
    let exact = exact.normalized().times(scale);
    // One less and one more make up for the rounding of the products.
    let mut upper = upper.times(scale);
    upper.f -= 1;
    let mut lower = lower.times(scale);
    lower.f += 1;

    let point = -upper.e as u32;
    let target = upper.f - exact.f;
    let range = upper.f - lower.f;
    let mut whole = upper.f >> point;
    let mut fraction = upper.f & ((1 << point) - 1);
    let mut digits = Digits {
        text: [0; 18],
        len: 0,
    };
    let mut unit = 1_000_000_000u64;
    for place in (0..10).rev() {
        digits.push(whole / unit);
        whole %= unit;
        let rest = (whole << point) + fraction;
        if rest <= range {
            digits.approach(target, range, rest, unit << point);
            return (digits, place - decimal);
        }
        unit /= 10;
    }
    // Here `range` is less than `fraction`, which is less than 2^60: multiplying by ten stays within 64 bits.
    let (mut range, mut target) = (range, target);
    let mut place = 0;
    loop {
        fraction *= 10;
        range *= 10;
        target *= 10;
        place -= 1;
        digits.push(fraction >> point);
        fraction &= (1 << point) - 1;
        if fraction < range {
            digits.approach(target, range, fraction, 1 << point);
            return (digits, place - decimal);
        }
    }
}

/// Appends a finite double other than zero.
pub(crate) fn write_shortest(value: f64, out: &mut Vec<u8>) {
    if value < 0.0 {
        out.push(b'-');
    }
    let (digits, power) = shortest(value.abs());
    let digits = &digits.text[..digits.len];
    let len = digits.len() as i32;
    // The power of ten of the first digit.
    let first = power + len - 1;
    if power >= 0 && first < len + 7 {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', power as usize));
    } else if power < 0 && (power > -7 || first.abs() < 4) {
        if first >= 0 {
            let (whole, fraction) = digits.split_at(first as usize + 1);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', (-first - 1) as usize));
            out.extend_from_slice(digits);
        }
    } else {
        out.push(digits[0]);
        if len > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if first < 0 { b"e-" } else { b"e+" });
        let mut exponent = [0; 20];
        out.extend_from_slice(format_i64(i64::from(first.abs()), &mut exponent));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bigint::BigUint;

    #[test]
    fn the_powers_are_those_of_ten_rounded() {
        for index in 0..POWERS.len() as i32 {
            let exponent = FIRST_POWER + POWER_STEP * index;
            let mut ten = BigUint::from_u64(1);
            ten.multiply_power_of_ten(exponent.unsigned_abs());
            let (bits, e, sticky) = match exponent {
                ..0 => BigUint::from_u64(1).divide(ten),
                _ => {
                    let (bits, e, sticky) = ten.top_bits();
                    (bits, e as i32, sticky)
                }
            };
            // To 64 bits, rounded to nearest. No power in the table is half way between two, or rounds up to 2^64.
            let length = 128 - bits.leading_zeros();
            let power = power(index);
            assert_eq!(power.e, e + length as i32 - 64, "10^{exponent}");
            match length.checked_sub(64) {
                None | Some(0) => assert_eq!(
                    (u128::from(power.f) >> (64 - length), sticky),
                    (bits, false)
                ),
                Some(cut) => assert_eq!(
                    u128::from(power.f),
                    (bits + (1 << (cut - 1))) >> cut,
                    "10^{exponent}"
                ),
            }
        }
    }

    proptest! {
        /// The standard library's digits are always the fewest; Grisu2 may need more, but never more than 17.
        #[test]
        fn digits_are_few_and_exact(bits in 1u64..0x7ff0_0000_0000_0000) {
            let value = f64::from_bits(bits);
            let (digits, power) = shortest(value);
            let digits = std::str::from_utf8(&digits.text[..digits.len]).unwrap();
            prop_assert_eq!(format!("{digits}e{power}").parse::<f64>().unwrap().to_bits(), bits);
            prop_assert!(!digits.starts_with('0') && digits.len() <= 17);
        }
    }
}
