//! Numbers as C writes and reads them: `%.14g` and `strtod`, which cjson's texts are made of.

use std::fmt::Write;

/// The most digits [`format_g`] is asked for.
pub(crate) const MAX_PRECISION: usize = 17;

/// A formatter's target of fixed size.
struct Buffer {
    bytes: [u8; 48],
    len: usize,
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Appends `value` as `%.*g` with `precision` digits, 1 to [`MAX_PRECISION`].
pub(crate) fn format_g(value: f64, precision: usize, out: &mut Vec<u8>) {
    let precision = precision.clamp(1, MAX_PRECISION);
    if value.is_nan() {
        return out.extend_from_slice(if value.is_sign_negative() {
            b"-nan"
        } else {
            b"nan"
        });
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    // Integers of at most that many digits are most of all numbers.
    if value.abs() < 1e14
        && precision >= 14
        && value.trunc() == value
        && (value != 0.0 || value.is_sign_positive())
    {
        let mut digits = [0; 20];
        return out.extend_from_slice(resp::format_i64(value as i64, &mut digits));
    }
    let mut text = Buffer {
        bytes: [0; 48],
        len: 0,
    };
    // "-1.2345e-300": at most 17 digits, which fits.
    let _ = write!(text, "{:.*e}", precision - 1, value);
    let text = &text.bytes[..text.len];
    let Some(e) = text.iter().position(|&b| b == b'e') else {
        return out.extend_from_slice(text);
    };
    let exponent: i32 = std::str::from_utf8(&text[e + 1..])
        .ok()
        .and_then(|t| t.parse().ok())
        .unwrap_or(0);
    let (negative, mantissa) = match &text[..e] {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // The digits without the point, and without zeros at the end.
    let mut digits = [0; MAX_PRECISION];
    let mut count = 0;
    for &byte in mantissa
        .iter()
        .filter(|b| b.is_ascii_digit())
        .take(MAX_PRECISION)
    {
        digits[count] = byte;
        count += 1;
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    let digits = &digits[..count];
    if negative {
        out.push(b'-');
    }
    if exponent < -4 || exponent >= precision as i32 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        let mut buffer = [0; 20];
        out.extend_from_slice(resp::format_i64(i64::from(exponent.abs()), &mut buffer));
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        for i in 0..whole {
            out.push(digits.get(i).copied().unwrap_or(b'0'));
        }
        if count > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// The number at the front of `text` as C's `strtod` reads it, and how many bytes it takes; None if there is none.
///
/// Decimal and hexadecimal numbers, infinity and NaN in any case, with a sign; no leading space.
pub(crate) fn strtod(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let rest = &text[signed..];
    let with_sign = |value: f64| if negative { -value } else { value };
    let starts = |word: &str| {
        rest.get(..word.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(word.as_bytes()))
    };
    for (word, value) in [
        ("infinity", f64::INFINITY),
        ("inf", f64::INFINITY),
        ("nan", f64::NAN),
    ] {
        if starts(word) {
            return Some((with_sign(value), signed + word.len()));
        }
    }
    let run = |from: usize, of: fn(&u8) -> bool| {
        rest[from.min(rest.len())..]
            .iter()
            .take_while(|b| of(b))
            .count()
    };
    let exponent = |from: usize, marks: &[u8]| {
        if !rest.get(from).is_some_and(|b| marks.contains(b)) {
            return 0;
        }
        let sign = usize::from(matches!(rest.get(from + 1), Some(b'-' | b'+')));
        match run(from + 1 + sign, u8::is_ascii_digit) {
            0 => 0,
            digits => 1 + sign + digits,
        }
    };
    if starts("0x") {
        let whole = run(2, u8::is_ascii_hexdigit);
        let mut end = 2 + whole;
        let fraction = if rest.get(end) == Some(&b'.') {
            run(end + 1, u8::is_ascii_hexdigit)
        } else {
            0
        };
        if rest.get(end) == Some(&b'.') && whole + fraction > 0 {
            end += 1 + fraction;
        }
        if whole + fraction > 0 {
            end += exponent(end, b"pP");
            return Some((hexadecimal(&rest[2..end]).map(with_sign)?, signed + end));
        }
        // Only the zero is a number.
        return Some((with_sign(0.0), signed + 1));
    }
    let whole = run(0, u8::is_ascii_digit);
    let mut end = whole;
    if rest.get(end) == Some(&b'.') {
        let fraction = run(end + 1, u8::is_ascii_digit);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    end += exponent(end, b"eE");
    let value: f64 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((with_sign(value), signed + end))
}

/// The value of hexadecimal digits with a point and an exponent of two, `1F.8p3`.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (digits, exponent) = match text.iter().position(|b| matches!(b, b'p' | b'P')) {
        Some(at) => (
            &text[..at],
            std::str::from_utf8(&text[at + 1..])
                .ok()?
                .parse()
                .unwrap_or(i64::MAX),
        ),
        None => (text, 0),
    };
    // 60 bits of the digits are more than a double holds; a bit below them says that there was more, for rounding.
    let (mut mantissa, mut scale, mut fraction) = (0u64, 0i64, false);
    for &byte in digits {
        let Some(digit) = char::from(byte).to_digit(16) else {
            fraction = true;
            continue;
        };
        if mantissa >> 58 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            scale -= if fraction { 4 } else { 0 };
        } else {
            mantissa |= u64::from(digit != 0);
            scale += if fraction { 0 } else { 4 };
        }
    }
    let scale = exponent.saturating_add(scale).clamp(-2000, 2000) as i32;
    // Two steps keep the intermediate factors finite.
    Some(mantissa as f64 * 2f64.powi(scale / 2) * 2f64.powi(scale - scale / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_formats_as_c_does() {
        for (value, precision, expected) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (-17.0, 14, "-17"),
            (0.1, 14, "0.1"),
            (1e15, 14, "1e+15"),
            (1e14, 14, "1e+14"),
            (99999999999999.0, 14, "99999999999999"),
            (123456789012345.0, 14, "1.2345678901234e+14"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (1e100, 14, "1e+100"),
            (1.5e-300, 14, "1.5e-300"),
            (2.7584, 3, "2.76"),
            (123456.0, 3, "1.23e+05"),
            (100.0, 3, "100"),
            (9.9999, 3, "10"),
            (0.1, 17, "0.10000000000000001"),
            (f64::INFINITY, 14, "inf"),
        ] {
            let mut out = Vec::new();
            format_g(value, precision, &mut out);
            assert_eq!(
                String::from_utf8_lossy(&out),
                expected,
                "{value} {precision}"
            );
        }
    }

    #[test]
    fn strtod_reads_the_longest_number() {
        for (text, expected) in [
            ("12,3", Some((12.0, 2))),
            ("-1.5e3]", Some((-1500.0, 6))),
            ("1.", Some((1.0, 2))),
            (".5", Some((0.5, 2))),
            ("1e", Some((1.0, 1))),
            ("1e+", Some((1.0, 1))),
            ("007", Some((7.0, 3))),
            ("0x1F", Some((31.0, 4))),
            ("0x1.8p1", Some((3.0, 7))),
            ("0x", Some((0.0, 1))),
            ("0xg", Some((0.0, 1))),
            ("+5", Some((5.0, 2))),
            ("1e999", Some((f64::INFINITY, 5))),
            ("-Infinityx", Some((f64::NEG_INFINITY, 9))),
            ("inf", Some((f64::INFINITY, 3))),
            ("-", None),
            (".", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(strtod(text.as_bytes()), expected, "{text}");
        }
        assert!(strtod(b"nan").is_some_and(|(value, len)| value.is_nan() && len == 3));
    }
}
