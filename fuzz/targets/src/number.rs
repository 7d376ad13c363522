//! Any bytes as numbers: no panic, and what is printed reads back.

use resp::{LongDouble, add_long_double, format_f64, parse_f64, parse_i64};

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    if let Some(n) = parse_i64(data) {
        assert_eq!(n.to_string().as_bytes(), data);
    }
    if let Some(value) = parse_f64(data) {
        let mut text = Vec::new();
        format_f64(value, &mut text);
        assert_eq!(parse_f64(&text).map(f64::to_bits), Some(value.to_bits()));
    }
    let (a, b) = data.split_at(data.iter().position(|&b| b == b' ').unwrap_or(data.len()));
    let b = b.strip_prefix(b" ").unwrap_or(b"1");
    assert_eq!(add_long_double(a, b), add_long_double(b, a));
    if let Some(number) = LongDouble::parse(a) {
        let text = number.to_string();
        assert_eq!(
            LongDouble::parse(text.as_bytes()).map(|again| again.to_string()),
            Some(text)
        );
    }
}
