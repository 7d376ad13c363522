//! The payloads of DUMP and RESTORE: a value, then 2 bytes of version and 8 of checksum, both little endian.
//!
//! The version says which encodings may occur, and whose. What can be said in the version asked for is; only fields that
//! expire may need a higher one: a payload has no reader who could not be told (see [`crate::version`]).

use crate::cursor::Cursor;
use crate::encode::{self, Options, Unwritable};
use crate::version::{self, Dialect};
use crate::{Loaded, Malformed, Settings, Version, crc64, decode, kinds, metadata, opcode, put};
use store::EntryRef;
use store::types::stream::Stream;

/// Bytes of version and checksum.
const FOOTER: usize = 10;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its version is unknown, or its checksum is not that of its bytes.
    Footer,
    /// Its value makes no sense.
    Value(Malformed),
}

/// The payload of a value; `None` if there is nothing left of the value (see [`encode::value`]).
///
/// What has a form in version 10 is written as that, for then every server of the last years restores it, or as version 9
/// if that is asked for. A hash with fields that expire is written in the dialect of the version asked for, a stream that
/// remembers producers' messages as by Redis 8.6, and one with entries that were given back as by Redis 8.8.
pub fn dump(e: &EntryRef<'_>, options: &Options) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let plain = Options {
        version: options.version.min(Version::V10),
        ..*options
    };
    if let Some(kind) = e
        .view::<Stream>()
        .and_then(|s| encode::newest_needed(s, options.now_ms))
    {
        let newest = Options {
            version: Version::V12,
            ..*options
        };
        encode::value(&mut out, e, &newest).ok().flatten()?;
        let version = if kind == kinds::STREAM_LISTPACKS_4 {
            13
        } else {
            14
        };
        seal(&mut out, version);
        return Some(out);
    }
    let mut version = plain.version;
    let kind = match encode::value(&mut out, e, &plain) {
        Ok(kind) => kind,
        Err(Unwritable) => {
            version = options.version.max(Version::V12);
            let timed = Options {
                version,
                ..*options
            };
            encode::value(&mut out, e, &timed).ok().flatten()
        }
    };
    kind?;
    seal(&mut out, version.number());
    Some(out)
}

/// Appends version and checksum.
pub fn seal(out: &mut Vec<u8>, version: u16) {
    out.extend(version.to_le_bytes());
    out.extend(crc64::update(0, out).to_le_bytes());
}

/// The payload of FUNCTION DUMP: libraries' sources.
pub fn dump_functions<'a>(sources: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for source in sources {
        put::function(&mut out, source, true);
    }
    seal(&mut out, Version::V10.number());
    out
}

/// The sources in a payload of FUNCTION DUMP. [`Refused::Value`] if it holds something else.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    let (value, _) = open(payload)?;
    let mut r = Cursor::new(value);
    let mut sources = Vec::new();
    while r.left() > 0 {
        if r.byte().map_err(Refused::Value)? != opcode::FUNCTION {
            return Err(Refused::Value(Malformed("not a function")));
        }
        sources.push(r.string().map_err(Refused::Value)?.into_vec());
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
    if version > *version::REDIS.end() && !version::VALKEY.contains(&version) {
        return Err(Refused::Footer);
    }
    // Redis 8.6 takes a zero for a checksum that was left out; all others refuse it, and so do we.
    if crc64::update(0, &payload[..value.len() + 2]) != u64::from_le_bytes(sum) {
        return Err(Refused::Footer);
    }
    Ok((value, Dialect::of(version)))
}

/// The value in a payload.
pub fn restore<'a>(payload: &'a [u8], settings: &Settings) -> Result<Loaded<'a>, Refused> {
    let (value, dialect) = open(payload)?;
    let mut r = Cursor::new(value);
    let loaded = metadata::skip(&mut r, dialect)
        .and_then(|()| r.byte())
        .and_then(|kind| decode::value(kind, &mut r, dialect, settings))
        .map_err(Refused::Value)?;
    if r.left() > 0 {
        return Err(Refused::Value(Malformed("more than a value")));
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis 7.0.15 dumps of a stream whose last ID was set back behind one that had been deleted.
    #[test]
    fn a_stream_that_was_set_back() {
        let payload = b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00@NN\x00\x00\x00\x0c\x00\
            \x01\x01\x00\x01\x02\x01\x81F\x02\x81G\x02\x00\x01\x02\x01\x00\x01\x00\x01\xadforty-five bytes, one over the embedded \
            limit.\n\x01\x05\x01\xff\x01\x06\x00\x06\x00\x08\x01\x01\x01\x01g\x0c\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\
            \n\x00\xe3R\x93m\x04!\x10T";
        restore(payload, &Settings::usual(0)).unwrap();
    }
}
