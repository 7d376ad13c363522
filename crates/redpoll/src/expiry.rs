//! Times at which keys, fields and members expire, and how calls say them.

use crate::call::{Call, Decode};
use crate::error::Result;
use crate::value::Value;
use crate::way::Way;
use engine::ops;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a key has left; see [`Db::ttl`](crate::Db::ttl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The key does not exist.
    Absent,
    /// It does not expire.
    Never,
    /// It expires after this time.
    In(Duration),
}

/// A number of milliseconds, or what stands for there being none: as PTTL answers.
impl Decode for Ttl {
    fn decode(value: Value) -> Result<Ttl> {
        match value {
            Value::Int(-2) => Ok(Ttl::Absent),
            Value::Int(-1) => Ok(Ttl::Never),
            left => Duration::decode(left).map(Ttl::In),
        }
    }
}

/// When [`Db::expire_if`](crate::Db::expire_if) sets an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireIf {
    /// If the key has none (NX).
    None,
    /// If the key has one (XX).
    Some,
    /// If it is later than the one the key has (GT); a key without one never expires, so that is later still.
    Later,
    /// If it is sooner than the one the key has (LT).
    Sooner,
}

impl ExpireIf {
    /// As operations take it.
    pub(crate) fn flags(self) -> ops::keys::ExpireIf {
        ops::keys::ExpireIf {
            nx: self == ExpireIf::None,
            xx: self == ExpireIf::Some,
            gt: self == ExpireIf::Later,
            lt: self == ExpireIf::Sooner,
        }
    }

    /// As commands take it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            ExpireIf::None => "NX",
            ExpireIf::Some => "XX",
            ExpireIf::Later => "GT",
            ExpireIf::Sooner => "LT",
        }
    }
}

/// The expiry that is given to what is set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewExpiry {
    /// The one that was there.
    Keep,
    /// After this time.
    In(Duration),
    /// At this time.
    At(SystemTime),
}

impl NewExpiry {
    pub(crate) fn add_to<W: Way>(self, call: Call<'_, W>) -> Call<'_, W> {
        match self {
            NewExpiry::Keep => call.arg("KEEPTTL"),
            NewExpiry::In(time) => call.arg("PX").int(millis(time)),
            NewExpiry::At(time) => call.arg("PXAT").int(unix_millis(time).max(0)),
        }
    }
}

/// Whole milliseconds, rounded up so that a short time does not become none.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// Unix milliseconds; what is before 1970 is negative.
pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}
