//! What a piece of the log looks like.
//!
//! A piece is the bytes of whole commands that belong together: a cut of what happened, in order. In a file it stands behind one
//! line of its own, which Redis and Valkey take for an annotation and skip:
//!
//! ```text
//! #RP:<number>:<bytes>:<synced>:<crc32c of the bytes>:<crc32c of this line up to here>\r\n
//! *3\r\n$3\r\nSET\r\n ...
//! ```
//!
//! Numbers are decimal, checksums eight hexadecimal digits. The line comes first so that a reader knows how much must follow
//! before it looks at any of it, and can hop from piece to piece. It has a checksum of its own so that a damaged length is not
//! believed, and so that the next whole line can be found behind damage.
//!
//! `<synced>` is the number of the last piece that was known to be on the disk when this one was written; `-` if nobody syncs
//! (`appendfsync no`). So the log itself says how far it must be whole: damage at or before a number that a later line vouches for is
//! rot, and an error; damage behind it is what a power failure leaves of writes that nobody promised anything about, and is
//! cut. Lines with `<bytes>` 0 are *marks*: they repeat the last number, only to vouch, when no piece has come for a while.
//!
//! Numbers follow each other, over the increments' ends. Commands that stand behind no such line were appended by another server.

use std::io::Write;

/// How every line of ours begins.
pub(crate) const PREFIX: &[u8] = b"#RP:";

/// No line of ours is longer.
pub(crate) const MAX_LINE: usize = PREFIX.len() + 3 * 21 + 2 * 8 + 1 + 2;

/// How a line begins that says how long the stream of changes is that replicas follow, and perhaps its name. It stands inside of a
/// piece, at its end, and is right there.
pub const STREAM: &str = "#RS:";

/// Where a stream of changes is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamLine {
    /// Its bytes so far.
    pub offset: u64,
    /// The database that it is in.
    pub db: u64,
    /// Its name.
    pub id: String,
}

impl StreamLine {
    /// Appends the line, `#RS:<offset>:<database>:<name>`; in short `#RS:<offset>`, where the rest is as the line before in the same
    /// file says.
    pub fn write(&self, out: &mut Vec<u8>, short: bool) {
        // Writing to a Vec cannot fail.
        let _ = match short {
            true => write!(out, "{STREAM}{}\r\n", self.offset),
            false => write!(out, "{STREAM}{}:{}:{}\r\n", self.offset, self.db, self.id),
        };
    }

    /// Takes in what a line says. False: it is another line.
    pub fn read(&mut self, line: &[u8]) -> bool {
        let text = str::from_utf8(line).unwrap_or_default();
        let Some(fields) = text.strip_prefix(STREAM) else {
            return false;
        };
        let mut fields = fields.trim_end().splitn(3, ':');
        let Some(offset) = fields.next().and_then(|field| field.parse().ok()) else {
            return false;
        };
        self.offset = offset;
        if let (Some(db), Some(id)) = (fields.next(), fields.next()) {
            self.db = db.parse().unwrap_or(0);
            id.clone_into(&mut self.id);
        }
        !self.id.is_empty()
    }
}

/// What the line before a piece says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The piece's number, or for a mark that of the last piece.
    pub number: u64,
    /// Bytes that follow the line.
    pub bytes: u64,
    /// The last piece known to be on the disk; none if nobody syncs.
    pub synced: Option<u64>,
    /// CRC32C of those bytes.
    pub crc: u32,
}

impl Header {
    /// Whether it only vouches for what came before.
    pub fn is_mark(&self) -> bool {
        self.bytes == 0
    }

    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(PREFIX);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}:{}:", self.number, self.bytes);
        let _ = match self.synced {
            Some(synced) => write!(out, "{synced}"),
            None => write!(out, "-"),
        };
        let _ = write!(out, ":{:08x}", self.crc);
        let line = crc32c::crc32c(&out[start..]);
        let _ = write!(out, ":{line:08x}\r\n");
    }

    /// Reads the line at the start of these bytes.
    pub fn read(bytes: &[u8]) -> ReadHeader {
        let line = &bytes[..bytes.len().min(MAX_LINE)];
        let Some(end) = memchr::memchr(b'\n', line) else {
            return if line.len() < MAX_LINE {
                ReadHeader::Incomplete
            } else {
                ReadHeader::Invalid
            };
        };
        match parse(&line[..=end]) {
            Some(header) => ReadHeader::Line(header, end + 1),
            None => ReadHeader::Invalid,
        }
    }
}

/// What [`Header::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadHeader {
    /// A line with its checksum right, and its length.
    Line(Header, usize),
    /// The bytes end before the line does.
    Incomplete,
    /// Not a line of ours, or not any more.
    Invalid,
}

fn parse(line: &[u8]) -> Option<Header> {
    let line = line.strip_suffix(b"\r\n")?;
    let (signed, crc) = split_last(line)?;
    if hex(crc)? != crc32c::crc32c(signed) {
        return None;
    }
    let mut fields = signed.strip_prefix(PREFIX)?.split(|&b| b == b':');
    let number = decimal(fields.next()?)?;
    let bytes = decimal(fields.next()?)?;
    let synced = match fields.next()? {
        b"-" => None,
        digits => Some(decimal(digits)?),
    };
    let crc = hex(fields.next()?)?;
    fields.next().is_none().then_some(Header {
        number,
        bytes,
        synced,
        crc,
    })
}

fn split_last(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memrchr(b':', line)?;
    Some((&line[..colon], &line[colon + 1..]))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let lower = digits
        .iter()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    let text = std::str::from_utf8(digits).ok()?;
    (digits.len() == 8 && lower)
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(header: &Header) -> Vec<u8> {
        let mut out = Vec::new();
        header.write(&mut out);
        out
    }

    #[test]
    fn a_line_says_what_was_put_into_it() {
        for header in [
            Header {
                number: 17,
                bytes: 4,
                synced: Some(16),
                crc: crc32c::crc32c(b"abcd"),
            },
            Header {
                number: u64::MAX,
                bytes: u64::MAX,
                synced: Some(u64::MAX),
                crc: u32::MAX,
            },
            Header {
                number: 0,
                bytes: 0,
                synced: None,
                crc: 0,
            },
        ] {
            let mut bytes = line(&header);
            assert!(bytes.len() <= MAX_LINE);
            assert_eq!(
                Header::read(&bytes[..bytes.len() - 1]),
                ReadHeader::Incomplete
            );
            let length = bytes.len();
            bytes.extend_from_slice(b"abcd\n");
            assert_eq!(Header::read(&bytes), ReadHeader::Line(header, length));
        }
        assert!(
            line(&Header {
                number: 17,
                bytes: 4,
                synced: None,
                crc: 0x92c8_0a31
            })
            .starts_with(b"#RP:17:4:-:92c80a31:")
        );
        assert_eq!(
            crc32c::crc32c(b"123456789"),
            0xe306_9283,
            "the check value of CRC32C"
        );
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let bytes = line(&Header {
            number: 1_234_567,
            bytes: 890,
            synced: Some(1_234_560),
            crc: 0xdead_beef,
        });
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(
                    !matches!(Header::read(&flipped), ReadHeader::Line(..)),
                    "bit {bit} of byte {at}"
                );
            }
        }
    }

    #[test]
    fn a_long_line_is_not_waited_for() {
        let mut bytes = b"#RP:1".to_vec();
        bytes.resize(MAX_LINE - 1, b'1');
        assert_eq!(Header::read(&bytes), ReadHeader::Incomplete);
        bytes.push(b'1');
        assert_eq!(Header::read(&bytes), ReadHeader::Invalid);
    }
}
