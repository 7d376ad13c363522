//! Strings that are numbers, and lengths as they are written.

/// The number whose canonical decimal text `b` is: no plus, no leading zero, no "-0".
#[inline]
pub fn canonical_i64(b: &[u8]) -> Option<i64> {
    let (negative, digits) = match b {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, b),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut n: u64 = 0;
    for &d in digits {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n * 10 + u64::from(d);
    }
    if negative {
        (n <= 1 << 63).then(|| (n as i64).wrapping_neg())
    } else {
        i64::try_from(n).ok()
    }
}

/// A length to be written with 32 bits.
///
/// # Panics
/// If it does not fit. Arguments of 4 GiB and more are refused before they come here; a length is never cut silently.
#[inline]
pub fn length32(length: usize) -> u32 {
    u32::try_from(length).expect("a length of 4 GiB or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_canonical() {
        for (text, n) in [
            ("0", Some(0)),
            ("-0", None),
            ("", None),
            ("-", None),
            ("01", None),
            ("+1", None),
            ("12 ", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(canonical_i64(text.as_bytes()), n, "{text}");
        }
    }
}
