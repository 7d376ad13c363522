//! Finds the ends of replies in a stream of bytes, without building the replies.
//!
//! The load generator only needs to know how many replies have arrived and which of them were errors. The state
//! between two reads is two counters (values still to come, bytes of a bulk string still to come) and the piece of a
//! header line that a read may have cut off, so bytes are looked at once and never kept, however long a reply is.

use std::fmt;

/// Longest header or error line accepted. A server that sends more without a line end is not speaking RESP.
const MAX_LINE: usize = 64 * 1024;

/// Position within the replies of one connection.
#[derive(Default)]
pub struct Skipper {
    /// Values that the reply under way still lacks; 0 between replies.
    values: u64,
    /// Bytes to go of the bulk string under way, its CRLF included.
    body: u64,
    /// The value under way is a push message (RESP3), which answers no request.
    push: bool,
    /// Start of a header line whose end has not arrived.
    line: Vec<u8>,
}

/// The bytes are no RESP.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Skipper {
    /// Takes the bytes of one read. Returns how many replies ended in them. Calls `on_error` with the text of every
    /// error reply (without the leading `-` and the line end), also of those inside arrays.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_error: impl FnMut(&[u8]),
    ) -> Result<u32, Malformed> {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.body > 0 {
                let here = self.body.min(bytes.len() as u64);
                self.body -= here;
                bytes = &bytes[here as usize..];
                if self.body > 0 {
                    break;
                }
                self.value_ended(&mut ended);
                continue;
            }
            let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
                if self.line.len() + bytes.len() > MAX_LINE {
                    return Err(Malformed("a reply line without an end".to_string()));
                }
                self.line.extend_from_slice(bytes);
                break;
            };
            let (head, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.header(head, &mut ended, &mut on_error)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                let outcome = self.header(&line, &mut ended, &mut on_error);
                line.clear();
                self.line = line;
                outcome?;
            }
        }
        Ok(ended)
    }

    /// Takes one whole line that begins a value.
    fn header(
        &mut self,
        line: &[u8],
        ended: &mut u32,
        on_error: &mut impl FnMut(&[u8]),
    ) -> Result<(), Malformed> {
        let Some((&kind, content)) = line.strip_suffix(b"\r\n").and_then(<[u8]>::split_first)
        else {
            return Err(malformed(line));
        };
        let starts_reply = self.values == 0;
        if starts_reply {
            self.values = 1;
            self.push = kind == b'>';
        }
        match kind {
            b'+' | b':' | b'_' | b',' | b'#' | b'(' => self.value_ended(ended),
            b'-' => {
                on_error(content);
                self.value_ended(ended);
            }
            b'$' | b'=' | b'!' => match length(content).ok_or_else(|| malformed(line))? {
                None => self.value_ended(ended),
                Some(len) => {
                    if kind == b'!' {
                        on_error(b"(bulk error)");
                    }
                    self.body = len + 2;
                }
            },
            b'*' | b'~' | b'>' => {
                let n = length(content).ok_or_else(|| malformed(line))?;
                self.contains(n.unwrap_or(0), line)?;
                self.value_ended(ended);
            }
            b'%' => {
                let n = length(content).ok_or_else(|| malformed(line))?;
                self.contains(n.unwrap_or(0).saturating_mul(2), line)?;
                self.value_ended(ended);
            }
            // An attribute comes before the value it describes and is not a value itself.
            b'|' => {
                let n = length(content).ok_or_else(|| malformed(line))?;
                self.contains(n.unwrap_or(0).saturating_mul(2), line)?;
            }
            _ => return Err(malformed(line)),
        }
        Ok(())
    }

    /// The value under way is followed by `n` more that belong to it.
    fn contains(&mut self, n: u64, line: &[u8]) -> Result<(), Malformed> {
        self.values = self.values.checked_add(n).ok_or_else(|| malformed(line))?;
        Ok(())
    }

    /// One value has ended (or, for an aggregate, its header).
    fn value_ended(&mut self, ended: &mut u32) {
        self.values -= 1;
        if self.values == 0 && !self.push {
            *ended += 1;
        }
    }
}

/// The length in a header: `Some(None)` for -1 (a null), `None` when it is no length.
fn length(digits: &[u8]) -> Option<Option<u64>> {
    if digits == b"-1" {
        return Some(None);
    }
    // 15 digits are far above any length that can be sent and far below what would overflow.
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut n = 0u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n * 10 + u64::from(digit);
    }
    Some(Some(n))
}

fn malformed(line: &[u8]) -> Malformed {
    let shown = &line[..line.len().min(60)];
    Malformed(format!("not a RESP reply: {}", shown.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies that ended and error texts, feeding `bytes` in pieces of `piece` bytes.
    fn feed(bytes: &[u8], piece: usize) -> (u32, Vec<String>) {
        let mut skipper = Skipper::default();
        let mut errors = Vec::new();
        let mut ended = 0;
        for part in bytes.chunks(piece) {
            ended += skipper
                .feed(part, |text| {
                    errors.push(String::from_utf8_lossy(text).into_owned());
                })
                .expect("valid RESP");
        }
        assert_eq!(skipper.values, 0, "a reply is left open");
        assert!(skipper.line.is_empty());
        (ended, errors)
    }

    const EVERY_KIND: &[u8] = b"+OK\r\n:12\r\n$5\r\nhe\r\no\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n_\r\n,1.5\r\n#t\r\n(123\r\n\
        -ERR no\r\n=7\r\ntxt:abc\r\n*2\r\n:1\r\n*2\r\n$1\r\na\r\n-WRONG in\r\n%1\r\n+k\r\n~1\r\n:1\r\n\
        >3\r\n+invalidate\r\n*1\r\n+x\r\n:1\r\n|1\r\n+a\r\n:1\r\n+after\r\n!5\r\nSOMER\r\n";

    #[test]
    fn counts_replies_and_errors_at_every_cut() {
        for piece in 1..=EVERY_KIND.len() {
            let (ended, errors) = feed(EVERY_KIND, piece);
            assert_eq!(ended, 17, "in pieces of {piece}");
            assert_eq!(errors, ["ERR no", "WRONG in", "(bulk error)"]);
        }
    }

    #[test]
    fn a_push_between_replies_answers_nothing() {
        assert_eq!(feed(b">2\r\n+message\r\n+x\r\n", 3).0, 0);
        assert_eq!(feed(b"+a\r\n>1\r\n+m\r\n+b\r\n", 100).0, 2);
    }

    #[test]
    fn refuses_what_is_not_resp() {
        for bad in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"\r\n",
            b"+OK\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"*9999999999999999\r\n",
            b"$\r\n",
        ] {
            let outcome = Skipper::default().feed(bad, |_| {});
            assert!(outcome.is_err(), "{:?}", bad.escape_ascii().to_string());
        }
        let endless = vec![b'+'; MAX_LINE + 1];
        assert!(Skipper::default().feed(&endless, |_| {}).is_err());
    }
}
