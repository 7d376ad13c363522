//! The payloads of DUMP and RESTORE: a value, then 2 bytes of version and 8 of checksum, both little endian.
//!
//! The version says which encodings may occur. Redis 7.0 writes and understands up to 10, Redis 7.4 and 8 up to 12.
//! Valkey left that numbering: 9 writes 80, and reads Redis's up to 11. So what can be said in version 10 is.

use crate::encode::{self, Options};
use crate::reader::Reader;
use crate::writer;
use crate::{Loaded, Malformed, Settings, crc64, decode, kinds};
use store::EntryRef;

/// The version of everything that Redis 7.0 has a form for.
const COMMON: u16 = 10;
/// The version that brought fields that expire.
const FIELD_EXPIRY: u16 = 12;
/// The highest version of Redis that is understood.
const LAST_REDIS: u16 = 12;
/// Valkey's versions.
const VALKEY: std::ops::RangeInclusive<u16> = 80..=80;

/// Bytes of version and checksum.
const FOOTER: usize = 10;

/// Whose numbers a payload uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dialect {
    Redis,
    Valkey,
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its version is unknown, or its checksum is not that of its bytes.
    Footer,
    /// Its value makes no sense.
    Value(Malformed),
}

/// The payload of a value; `None` if there is nothing left of the value (see [`encode::value`]).
pub fn dump(e: &EntryRef<'_>, options: &Options) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let kind = encode::value(&mut out, e, options)?;
    let version = if kind == kinds::HASH_METADATA {
        FIELD_EXPIRY
    } else {
        COMMON
    };
    seal(&mut out, version);
    Some(out)
}

/// Appends version and checksum.
pub fn seal(out: &mut Vec<u8>, version: u16) {
    out.extend(version.to_le_bytes());
    out.extend(crc64::update(0, out).to_le_bytes());
}

/// What stands before the names of the sources of functions, in a payload as in an RDB file.
const FUNCTION2: u8 = 245;

/// The payload of FUNCTION DUMP: libraries' sources.
pub fn dump_functions<'a>(sources: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for source in sources {
        out.push(FUNCTION2);
        writer::string(&mut out, source, true);
    }
    seal(&mut out, COMMON);
    out
}

/// The sources in a payload of FUNCTION DUMP. [`Refused::Value`] if it holds something else.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    let (value, _) = open(payload)?;
    let mut r = Reader::new(value);
    let mut sources = Vec::new();
    while r.left() > 0 {
        if r.byte().map_err(Refused::Value)? != FUNCTION2 {
            return Err(Refused::Value(Malformed("not a function")));
        }
        sources.push(r.string().map_err(Refused::Value)?.into_owned());
    }
    Ok(sources)
}

/// Checks version and checksum and returns what stands before them.
fn open(payload: &[u8]) -> Result<(&[u8], Dialect), Refused> {
    let (value, footer) = payload
        .split_last_chunk::<FOOTER>()
        .ok_or(Refused::Footer)?;
    let [v0, v1, sum @ ..] = *footer;
    let version = u16::from_le_bytes([v0, v1]);
    let dialect = match version {
        0..=LAST_REDIS => Dialect::Redis,
        v if VALKEY.contains(&v) => Dialect::Valkey,
        _ => return Err(Refused::Footer),
    };
    if crc64::update(0, &payload[..value.len() + 2]) != u64::from_le_bytes(sum) {
        return Err(Refused::Footer);
    }
    Ok((value, dialect))
}

/// The value in a payload.
pub fn restore(payload: &[u8], settings: &Settings) -> Result<Loaded, Refused> {
    let (value, dialect) = open(payload)?;
    let mut r = Reader::new(value);
    let loaded = r
        .byte()
        .and_then(|kind| decode::value(kind, &mut r, dialect, settings))
        .map_err(Refused::Value)?;
    if r.left() > 0 {
        return Err(Refused::Value(Malformed("more than a value")));
    }
    Ok(loaded)
}
