//! IDs of a stream's entries.

use crate::error::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;
use store::types::stream::StreamId as Stored;

/// The ID of an entry of a stream: a time, and a number among the entries of that time. IDs are ordered as their entries are.
///
/// ```
/// use redpoll::StreamId;
/// let id: StreamId = "1700000000000-2".parse()?;
/// assert_eq!(id, StreamId::new(1_700_000_000_000, 2));
/// assert!(id < id.next().unwrap());
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix milliseconds, usually.
    pub ms: u64,
    /// Number among the entries of the same millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The lowest ID, which no entry can have.
    pub const MIN: StreamId = StreamId::new(0, 0);
    /// The highest ID.
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);

    /// The ID `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    fn of_stored(id: Stored) -> StreamId {
        StreamId::new(id.ms, id.seq)
    }

    fn stored(self) -> Stored {
        Stored::new(self.ms, self.seq)
    }

    /// The next higher ID; `None` after the highest.
    pub fn next(self) -> Option<StreamId> {
        self.stored().next().map(StreamId::of_stored)
    }

    /// The next lower ID; `None` before the lowest.
    pub fn previous(self) -> Option<StreamId> {
        self.stored().previous().map(StreamId::of_stored)
    }

    /// Whether it is 0-0, which stands for none.
    pub fn is_zero(self) -> bool {
        self == StreamId::MIN
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stored().fmt(f)
    }
}

impl FromStr for StreamId {
    type Err = Error;

    /// Reads what `Display` writes, and a time alone as the first ID of its millisecond.
    fn from_str(text: &str) -> Result<StreamId, Error> {
        let id = text.parse::<Stored>();
        id.map(StreamId::of_stored).map_err(|_| {
            let text = format!("ERR '{text}' is not an ID of a stream's entry");
            Error::of(ErrorKind::Decode, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_and_neighbours_found() {
        for id in [StreamId::MIN, StreamId::new(5, u64::MAX), StreamId::MAX] {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.next().is_none(), id == StreamId::MAX);
            assert_eq!(id.previous().is_none(), id.is_zero());
            if let Some(next) = id.next() {
                assert_eq!(next.previous(), Some(id));
                assert!(next > id);
            }
        }
        let wrong = "x".parse::<StreamId>().unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Decode);
    }
}
