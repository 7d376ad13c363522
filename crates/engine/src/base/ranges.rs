//! Ranges as commands write them: `(1.5`, `+inf`, `[member`, `-`, and index ranges that count from the end.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use resp::number::parse_f64_of_strtod;
use std::ops::Range;
use store::types::sorted_set::{LexBound, LexRange, ScoreRange};

/// What a score range that cannot be read is answered with.
const NOT_A_SCORE: Error = Error::fixed("ERR min or max is not a float");
/// What a range of members that cannot be read is answered with.
const NOT_A_LEX: Error = Error::fixed("ERR min or max not valid string range item");

/// One end of a score range and whether it is open.
///
/// More is a number here than elsewhere, and Redis and Valkey agree on it: no text at all is 0, a number too large is
/// infinite and one too small is 0, and a zero byte ends the text. `replayed`: what Redis before 8 and Valkey before 9 take for a
/// number too, leading space and hexadecimal digits, is one. They write it into streams and logs as it came.
fn score_bound(text: &[u8], replayed: bool) -> Option<(f64, bool)> {
    let (number, open) = match text.strip_prefix(b"(") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let number = number.split(|&b| b == 0).next().unwrap_or_default();
    if replayed || number.is_empty() {
        return Some((parse_f64_of_strtod(number)?, open));
    }
    let score: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    (!score.is_nan()).then_some((score, open))
}

/// A score range from its two ends. `replayed`: it stands in a log, or in a primary's stream.
pub fn score_range(min: &[u8], max: &[u8], replayed: bool) -> Result<ScoreRange> {
    let bound = |text| score_bound(text, replayed);
    let (Some((min, min_open)), Some((max, max_open))) = (bound(min), bound(max)) else {
        return Err(NOT_A_SCORE);
    };
    Ok(ScoreRange {
        min,
        max,
        min_open,
        max_open,
    })
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Min),
        b"+" => Some(LexBound::Max),
        [b'[', member @ ..] => Some(LexBound::Closed(member)),
        [b'(', member @ ..] => Some(LexBound::Open(member)),
        _ => None,
    }
}

/// A range of members from its two ends.
pub fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>> {
    match (lex_bound(min), lex_bound(max)) {
        (Some(min), Some(max)) => Ok(LexRange { min, max }),
        _ => Err(NOT_A_LEX),
    }
}

/// The indices from `start` to `stop`, both included and both counted from the end if negative, of `len` elements.
pub fn index_range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let n = len as i64;
    let from_front = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let start = from_front(start).max(0);
    let stop = from_front(stop).min(n - 1);
    if start > stop {
        0..0
    } else {
        start as usize..stop as usize + 1
    }
}

/// LIMIT: how many to pass over, and how many to return at most (all, if negative).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Negative: nothing is returned at all.
    pub offset: i64,
    /// See above.
    pub count: i64,
}

impl Limit {
    /// Nothing is cut.
    pub const ALL: Limit = Limit {
        offset: 0,
        count: -1,
    };

    /// Reads `LIMIT offset count` if it comes next.
    pub fn take(&mut self, args: &mut Args<'_>) -> bool {
        let found = args.left() >= 3 && args.keyword("LIMIT");
        if found {
            *self = Limit {
                offset: args.int(),
                count: args.int(),
            };
        }
        found
    }

    /// What is left of a range that is gone through from its start, or from its end if `downwards`.
    pub fn cut(self, range: Range<usize>, downwards: bool) -> Range<usize> {
        let len = range.len();
        let Ok(offset) = usize::try_from(self.offset) else {
            return 0..0;
        };
        if offset >= len {
            return 0..0;
        }
        let count =
            usize::try_from(self.count).map_or(len - offset, |count| count.min(len - offset));
        if downwards {
            range.end - offset - count..range.end - offset
        } else {
            range.start + offset..range.start + offset + count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores() {
        let bound = |text: &str| score_bound(text.as_bytes(), false);
        assert_eq!(bound("1.5"), Some((1.5, false)));
        assert_eq!(bound("(-inf"), Some((f64::NEG_INFINITY, true)));
        assert_eq!(bound("(+Infinity"), Some((f64::INFINITY, true)));
        assert_eq!(bound("1e400"), Some((f64::INFINITY, false)));
        for zero in ["", "(", "1e-400", "\0", "(\0 1"] {
            assert_eq!(bound(zero).map(|b| b.0), Some(0.0), "{zero:?}");
        }
        for bad in ["nan", "(nan", " 1", "1 ", "((1", "[1", "0x10", "1e", "x"] {
            assert_eq!(bound(bad), None, "{bad:?}");
        }
        let replayed = |text: &str| score_bound(text.as_bytes(), true);
        assert_eq!(replayed(" 1"), Some((1.0, false)));
        assert_eq!(replayed("(\t0x10"), Some((16.0, true)));
        assert_eq!(replayed(""), Some((0.0, false)));
        for bad in ["nan", " (1", "1 ", "((1", "x"] {
            assert_eq!(replayed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn members() {
        assert_eq!(
            lex_range(b"-", b"(").unwrap(),
            LexRange {
                min: LexBound::Min,
                max: LexBound::Open(b"")
            }
        );
        assert_eq!(
            lex_range(b"[a", b"+").unwrap(),
            LexRange {
                min: LexBound::Closed(b"a"),
                max: LexBound::Max
            }
        );
        for bad in [&b""[..], b"a", b"+x", b"-x"] {
            assert!(lex_range(bad, b"+").is_err() && lex_range(b"-", bad).is_err());
        }
    }

    #[test]
    fn indices() {
        assert_eq!(index_range(0, -1, 5), 0..5);
        assert_eq!(index_range(-2, 100, 5), 3..5);
        assert_eq!(index_range(i64::MIN, i64::MAX, 5), 0..5);
        for (start, stop) in [(3, 2), (5, 9), (0, -6), (-1, -2)] {
            assert_eq!(index_range(start, stop, 5), 0..0, "{start} {stop}");
        }
        assert_eq!(index_range(0, -1, 0), 0..0);
    }

    #[test]
    fn limits() {
        let limit = |offset, count| Limit { offset, count };
        assert_eq!(limit(1, 2).cut(10..20, false), 11..13);
        assert_eq!(limit(1, 2).cut(10..20, true), 17..19);
        assert_eq!(limit(8, 5).cut(10..20, false), 18..20);
        assert_eq!(limit(8, -1).cut(10..20, true), 10..12);
        assert_eq!(Limit::ALL.cut(3..7, true), 3..7);
        for nothing in [limit(-1, 5), limit(10, 1), limit(i64::MAX, i64::MAX)] {
            assert!(nothing.cut(10..20, false).is_empty());
        }
    }
}
