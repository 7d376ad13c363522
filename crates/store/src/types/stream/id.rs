//! Stream IDs: a time in milliseconds and a number within it, `1526919030474-55`.
//!
//! IDs order the entries of a stream, so everything that walks, trims or remembers a stream speaks of them.

use std::fmt;
use std::str::FromStr;

/// The ID of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix milliseconds, usually.
    pub ms: u64,
    /// Number among the entries of the same millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The lowest ID, which no entry can have.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The highest ID.
    pub const MAX: StreamId = StreamId {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// The ID `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The next higher ID; `None` after the highest.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId {
                ms: self.ms.checked_add(1)?,
                seq: 0,
            }),
        }
    }

    /// The next lower ID; `None` before the lowest.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId {
                ms: self.ms.checked_sub(1)?,
                seq: u64::MAX,
            }),
        }
    }

    /// Whether it is 0-0, which stands for none.
    pub fn is_zero(self) -> bool {
        self == StreamId::MIN
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A text that is no ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a stream ID")
    }
}

impl std::error::Error for NotAnId {}

impl FromStr for StreamId {
    type Err = NotAnId;

    /// Reads what `Display` writes, and a time alone as the first ID of its millisecond.
    fn from_str(text: &str) -> Result<StreamId, NotAnId> {
        // Not `u64::from_str` alone, which takes a sign.
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NotAnId),
            false => Err(NotAnId),
        };
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        Ok(StreamId::new(number(ms)?, number(seq)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for id in [StreamId::MIN, StreamId::new(5, 12), StreamId::MAX] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("7".parse(), Ok(StreamId::new(7, 0)));
        for text in [
            "",
            "-",
            "1-",
            "-1",
            "+1-1",
            "1-1-1",
            "1 -1",
            "18446744073709551616",
        ] {
            assert_eq!(text.parse::<StreamId>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn neighbours_carry_over() {
        assert_eq!(StreamId::MIN.next(), Some(StreamId::new(0, 1)));
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(
            StreamId::new(2, 0).previous(),
            Some(StreamId::new(1, u64::MAX))
        );
        assert_eq!(StreamId::MIN.previous(), None);
    }
}
