//! The snapshot that a primary sends, as something to read from.
//!
//! It begins with a line: `$<bytes>`, or `$EOF:` and 40 bytes that stand behind it again, for a primary that does not know how much
//! it will be. While somebody reads it, the primary is told once a second that this end is alive.

use crate::wire::{Wire, malformed};
use std::io::{self, BufRead, Read};
use std::time::{Duration, Instant};

/// How often the primary is told that this end is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How a payload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After so many bytes.
    Length(u64),
    /// With these.
    Mark([u8; 40]),
}

/// Reads the line that a payload begins with.
///
/// # Errors
/// The connection is broken, the line is another, or the primary says that it cannot: `InvalidData`.
pub fn begin(wire: &mut Wire) -> io::Result<End> {
    let line = wire.line_of_text()?;
    if let Some(error) = line.strip_prefix(b"-") {
        let text = String::from_utf8_lossy(error);
        return Err(malformed(&format!(
            "the primary gave the synchronisation up: {text}"
        )));
    }
    let wrong = || malformed("a snapshot that begins with neither a length nor a mark");
    let rest = line.strip_prefix(b"$").ok_or_else(wrong)?;
    if let Some(mark) = rest.strip_prefix(b"EOF:") {
        return mark.try_into().map(End::Mark).map_err(|_| wrong());
    }
    let length = std::str::from_utf8(rest).ok().and_then(|n| n.parse().ok());
    length.map(End::Length).ok_or_else(wrong)
}

/// Says that this end is alive.
#[derive(Debug)]
pub(crate) struct Alive(Instant);

impl Default for Alive {
    fn default() -> Alive {
        Alive(Instant::now())
    }
}

impl Alive {
    /// Tells the primary, if it is time.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn tell(&mut self, wire: &mut Wire) -> io::Result<()> {
        if self.0.elapsed() >= SIGN_OF_LIFE {
            self.0 = Instant::now();
            wire.send(b"\n")?;
        }
        Ok(())
    }
}

/// A payload that is being read.
pub struct Payload<'w> {
    wire: &'w mut Wire,
    end: End,
    /// Bytes that were read.
    read: u64,
    alive: Alive,
    /// How the connection broke, if it did.
    broken: Option<io::ErrorKind>,
}

impl<'w> Payload<'w> {
    /// Behind its first line.
    pub fn new(wire: &'w mut Wire, end: End) -> Payload<'w> {
        Payload {
            wire,
            end,
            read: 0,
            alive: Alive::default(),
            broken: None,
        }
    }

    /// How many bytes it has, if that was said.
    pub fn total(&self) -> Option<u64> {
        match self.end {
            End::Length(total) => Some(total),
            End::Mark(_) => None,
        }
    }

    /// How the connection broke, if it did.
    pub fn broken(&self) -> Option<io::Error> {
        let kind = self.broken?;
        Some(io::Error::new(
            kind,
            format!("the link broke while a copy of the data set came: {kind}"),
        ))
    }

    fn end(&mut self) -> io::Result<()> {
        match self.end {
            End::Length(total) if total == self.read => Ok(()),
            End::Length(_) => Err(malformed("bytes behind the end of the snapshot")),
            End::Mark(mark) => {
                while self.wire.bytes().len() < mark.len() {
                    self.wire.more()?;
                }
                if self.wire.bytes()[..mark.len()] != mark {
                    return Err(malformed("a snapshot that does not end with its mark"));
                }
                self.wire.consume(mark.len());
                Ok(())
            }
        }
    }
}

impl keeper::Copy for Payload<'_> {
    fn finish(&mut self) -> io::Result<()> {
        self.end()
    }

    fn wait(&mut self) -> io::Result<()> {
        // What there is to read is here by now: that the primary is gone is seen later.
        let _ = self.alive.tell(self.wire);
        Ok(())
    }
}

impl BufRead for Payload<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = match self.end {
            End::Length(total) => total - self.read,
            End::Mark(_) => u64::MAX,
        };
        if left == 0 {
            return Ok(&[]);
        }
        let mut more = self.alive.tell(self.wire);
        while more.is_ok() && self.wire.bytes().is_empty() {
            more = self.wire.more().and_then(|_| self.alive.tell(self.wire));
        }
        if let Err(error) = more {
            self.broken = Some(error.kind());
            return Err(error);
        }
        let bytes = self.wire.bytes();
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[..n])
    }

    fn consume(&mut self, n: usize) {
        self.read += n as u64;
        self.wire.consume(n);
    }
}

impl Read for Payload<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(into)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::pair;
    use keeper::Copy;
    use std::io::Write;

    const MARK: &[u8; 40] = b"0123456789abcdef0123456789abcdef01234567";

    /// What is read of what a primary sends, byte by byte, and what follows.
    fn play(sent: &[u8], bytes: usize) -> (io::Result<Vec<u8>>, Vec<u8>) {
        let (mut wire, mut far) = pair();
        let sent = sent.to_vec();
        let sender = std::thread::spawn(move || {
            sent.chunks(1).for_each(|byte| far.write_all(byte).unwrap());
            // Nothing more will come, but whoever reads may still say something.
            far.shutdown(std::net::Shutdown::Write).unwrap();
            far
        });
        let read = begin(&mut wire).and_then(|end| {
            let mut payload = Payload::new(&mut wire, end);
            let mut data = vec![0; bytes];
            payload.read_exact(&mut data)?;
            payload.finish().map(|()| data)
        });
        drop(sender.join().unwrap());
        while wire.more().is_ok() {}
        (read, wire.bytes().to_vec())
    }

    #[test]
    fn with_a_length_or_a_mark() {
        let (read, rest) = play(b"\n\n$5\r\nREDIS*1\r\n", 5);
        assert_eq!(
            (&read.unwrap()[..], &rest[..]),
            (&b"REDIS"[..], &b"*1\r\n"[..])
        );
        let sent = [b"\n$EOF:", &MARK[..], b"\r\nREDIS", MARK, b"*1\r\n"].concat();
        let (read, rest) = play(&sent, 5);
        assert_eq!(
            (&read.unwrap()[..], &rest[..]),
            (&b"REDIS"[..], &b"*1\r\n"[..])
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (sent, bytes) in [
            (&b"-ERR cannot save\r\n"[..], 0),
            (b"+OK\r\n", 0),
            (b"$x\r\n", 0),
            (b"$EOF:short\r\n", 0),
            // Longer than what is read of it.
            (b"$5\r\nREDIS", 4),
        ] {
            let (read, _) = play(sent, bytes);
            assert_eq!(
                read.unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{}",
                sent.escape_ascii()
            );
        }
        for (sent, bytes) in [
            // Cut off.
            (&b"$5\r\nREDI"[..], 5),
            (b"$5", 5),
        ] {
            let (read, _) = play(sent, bytes);
            assert_eq!(
                read.unwrap_err().kind(),
                io::ErrorKind::UnexpectedEof,
                "{}",
                sent.escape_ascii()
            );
        }
        let other = [b"$EOF:", &MARK[..], b"\r\nREDIS", &[b'x'; 40]].concat();
        assert_eq!(
            play(&other, 5).0.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
