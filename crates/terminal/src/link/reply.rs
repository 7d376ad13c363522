//! Replies as a client shows them.
//!
//! Unlike `resp::Value` they keep what the server wrote, byte for byte: the digits of a double, statuses that are no UTF-8.
//! [`Replies`] takes bytes as they come and goes over each of them once, however long a reply is.

use std::io::{Error, ErrorKind, Result};

/// Deepest nesting that is accepted.
const MAX_DEPTH: usize = 256;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`
    Status(Vec<u8>),
    /// `-ERR ...`, the code included.
    Error(Vec<u8>),
    /// `:1`
    Int(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `_`, and RESP2's `$-1` and `*-1`.
    Nil,
    /// `*2`
    Array(Vec<Reply>),
    /// `%1`
    Map(Vec<(Reply, Reply)>),
    /// `~2`
    Set(Vec<Reply>),
    /// `>2`, a message that answers no request.
    Push(Vec<Reply>),
    /// `,1.5`, as it was written.
    Double(Vec<u8>),
    /// `#t`
    Bool(bool),
    /// `(123`, its digits.
    BigNumber(Vec<u8>),
    /// `=7`, without its format.
    Verbatim(Vec<u8>),
}

impl Reply {
    /// The bytes of what is text in one form or another.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Status(b)
            | Reply::Bulk(b)
            | Reply::Verbatim(b)
            | Reply::Double(b)
            | Reply::BigNumber(b) => Some(b),
            _ => None,
        }
    }

    /// The same as a string, with a mark for what is no UTF-8.
    pub fn text(&self) -> Option<String> {
        self.bytes()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The text of an error.
    pub fn error(&self) -> Option<String> {
        match self {
            Reply::Error(line) => Some(String::from_utf8_lossy(line).into_owned()),
            _ => None,
        }
    }

    /// A number, as such or as text.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Reply::Int(n) => Some(*n),
            other => std::str::from_utf8(other.bytes()?).ok()?.parse().ok(),
        }
    }

    /// The elements of an array, a set or a push.
    pub(crate) fn elements(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(e) | Reply::Set(e) | Reply::Push(e) => Some(e),
            _ => None,
        }
    }

    /// The pairs of a map, or of the array that stands for it in RESP2.
    pub fn pairs(&self) -> Vec<(&Reply, &Reply)> {
        match self {
            Reply::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
            Reply::Array(flat) => {
                let (pairs, _) = flat.as_chunks::<2>();
                pairs.iter().map(|[key, value]| (key, value)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The value of a pair whose key is this text.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        let pairs = self.pairs();
        let found = pairs
            .into_iter()
            .find(|(key, _)| key.bytes() == Some(name.as_bytes()));
        found.map(|(_, value)| value)
    }
}

/// Bytes that came, and the replies in them.
pub(crate) struct Replies {
    buf: Vec<u8>,
    /// Where the next reply starts.
    start: usize,
    /// How far it is known to be whole.
    at: usize,
    /// How many replies are still to come until it is, those inside of it included.
    left: u64,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies {
            buf: Vec::new(),
            start: 0,
            at: 0,
            left: 1,
        }
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("Protocol error, {what}"))
}

/// What follows a reply's first line.
enum Frame {
    Line,
    Text(usize),
    Elements(u64),
}

fn frame(tag: u8, line: &[u8]) -> Result<Frame> {
    let length = || {
        let n = std::str::from_utf8(line).ok().and_then(|l| l.parse().ok());
        n.ok_or_else(|| wrong("a length is no number"))
    };
    let count = |per_entry: u64| {
        let n: u64 = length()?;
        let n = n.checked_mul(per_entry);
        n.ok_or_else(|| wrong("a length is out of range"))
    };
    Ok(match tag {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Frame::Line,
        b'$' | b'*' if line == b"-1" => Frame::Line,
        b'$' | b'=' | b'!' => {
            Frame::Text(usize::try_from(length()?).map_err(|_| wrong("a length is out of range"))?)
        }
        b'*' | b'~' | b'>' => Frame::Elements(count(1)?),
        // The value that an attribute is about comes after it.
        b'%' | b'|' => Frame::Elements(count(2)?),
        other => {
            let what = format!("got \"{}\" as reply type byte", other.escape_ascii());
            return Err(wrong(&what));
        }
    })
}

/// The type and the rest of the line at `at`, and where the next one starts; None if it is not there yet.
fn line(buf: &[u8], at: usize) -> Result<Option<(u8, &[u8], usize)>> {
    let rest = &buf[at.min(buf.len())..];
    let Some(end) = rest.iter().position(|&byte| byte == b'\r') else {
        return Ok(None);
    };
    match rest.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => match rest[..end].split_first() {
            Some((&tag, line)) => Ok(Some((tag, line, at + end + 2))),
            None => Err(wrong("a line is empty")),
        },
        Some(_) => Err(wrong("a line does not end with CR LF")),
    }
}

impl Replies {
    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Takes out what is not looked at yet, for who goes on without RESP.
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = self.buf.split_off(self.start);
        *self = Replies::default();
        rest
    }

    /// The next reply, if it is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>> {
        while self.left > 0 {
            let Some((tag, text, after)) = line(&self.buf, self.at)? else {
                return Ok(None);
            };
            let (next, more) = match frame(tag, text)? {
                Frame::Line => (after, 0),
                Frame::Text(len) => match after.checked_add(len).and_then(|n| n.checked_add(2)) {
                    Some(end) if end <= self.buf.len() => (end, 0),
                    Some(_) => return Ok(None),
                    None => return Err(wrong("a length is out of range")),
                },
                Frame::Elements(n) => (after, n + u64::from(tag == b'|')),
            };
            let left = (self.left - 1).checked_add(more);
            self.left = left.ok_or_else(|| wrong("a length is out of range"))?;
            self.at = next;
        }
        let mut reader = Reader {
            buf: &self.buf[..self.at],
            at: self.start,
        };
        let reply = reader.value(MAX_DEPTH)?;
        self.start = self.at;
        self.left = 1;
        if self.start == self.buf.len() {
            self.buf.clear();
        } else if self.start > 1 << 20 {
            self.buf.drain(..self.start);
        } else {
            return Ok(Some(reply));
        }
        (self.start, self.at) = (0, 0);
        Ok(Some(reply))
    }
}

/// Builds a reply that is known to be whole.
struct Reader<'b> {
    buf: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Reply> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| wrong("nested too deeply"))?;
        let (tag, text, after) = line(self.buf, self.at)?.ok_or_else(|| wrong("cut off"))?;
        self.at = after;
        let frame = frame(tag, text)?;
        Ok(match (tag, frame) {
            (b'$' | b'*', Frame::Line) | (b'_', _) => Reply::Nil,
            (b'+', _) => Reply::Status(text.to_vec()),
            (b'-', _) => Reply::Error(text.to_vec()),
            (b',', _) => Reply::Double(text.to_vec()),
            (b'(', _) => Reply::BigNumber(text.to_vec()),
            (b'#', _) => Reply::Bool(text == b"t"),
            (b':', _) => {
                let n = std::str::from_utf8(text).ok().and_then(|n| n.parse().ok());
                Reply::Int(n.ok_or_else(|| wrong("an integer is none"))?)
            }
            (_, Frame::Text(len)) => {
                let body = self.buf[self.at..self.at + len].to_vec();
                self.at += len + 2;
                match tag {
                    b'!' => Reply::Error(body),
                    // Three letters and a colon say how the text is written.
                    b'=' => Reply::Verbatim(body.get(4..).unwrap_or_default().to_vec()),
                    _ => Reply::Bulk(body),
                }
            }
            (b'%' | b'|', Frame::Elements(n)) => {
                let mut pairs = Vec::new();
                for _ in 0..n / 2 {
                    let key = self.value(depth)?;
                    pairs.push((key, self.value(depth)?));
                }
                match tag {
                    b'%' => Reply::Map(pairs),
                    // Redis's own client has no place for attributes either.
                    _ => self.value(depth)?,
                }
            }
            (_, Frame::Elements(n)) => {
                let mut elements = Vec::new();
                for _ in 0..n {
                    elements.push(self.value(depth)?);
                }
                match tag {
                    b'~' => Reply::Set(elements),
                    b'>' => Reply::Push(elements),
                    _ => Reply::Array(elements),
                }
            }
            (_, Frame::Line) => return Err(wrong("unknown type")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\0b\r\n$-1\r\n*-1\r\n_\r\n,1.50\r\n#t\r\n(123\r\n=7\r\ntxt:abc\r\n*2\r\n:1\r\n*0\r\n%1\r\n+k\r\n~1\r\n#f\r\n>1\r\n+m\r\n!3\r\nERR\r\n|1\r\n+a\r\n+b\r\n:5\r\n";

    fn bulk(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn expected() -> Vec<Reply> {
        vec![
            Reply::Status(bulk("OK")),
            Reply::Error(bulk("ERR no")),
            Reply::Int(-7),
            Reply::Bulk(bulk("a\0b")),
            Reply::Nil,
            Reply::Nil,
            Reply::Nil,
            Reply::Double(bulk("1.50")),
            Reply::Bool(true),
            Reply::BigNumber(bulk("123")),
            Reply::Verbatim(bulk("abc")),
            Reply::Array(vec![Reply::Int(1), Reply::Array(vec![])]),
            Reply::Map(vec![(
                Reply::Status(bulk("k")),
                Reply::Set(vec![Reply::Bool(false)]),
            )]),
            Reply::Push(vec![Reply::Status(bulk("m"))]),
            Reply::Error(bulk("ERR")),
            Reply::Int(5),
        ]
    }

    #[test]
    fn replies_come_out_however_they_are_cut() {
        for step in [1, 2, 3, 7, ALL.len()] {
            let (mut replies, mut got) = (Replies::default(), Vec::new());
            for chunk in ALL.chunks(step) {
                replies.feed(chunk);
                while let Some(reply) = replies.next().unwrap() {
                    got.push(reply);
                }
            }
            assert_eq!(got, expected(), "by {step}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_reserves_nothing() {
        for bytes in [
            &b"?1\r\n"[..],
            b"*x\r\n",
            b"\r\n",
            b"+a\rb\r\n",
            b"%18446744073709551615\r\n",
            b"$18446744073709551615\r\n",
            b":x\r\n",
        ] {
            let mut replies = Replies::default();
            replies.feed(bytes);
            assert!(replies.next().is_err(), "{}", bytes.escape_ascii());
        }
        let mut replies = Replies::default();
        replies.feed(b"*1000000000\r\n$900000000\r\nabc");
        assert_eq!(replies.next().unwrap(), None);
        let mut replies = Replies::default();
        replies.feed(&b"*1\r\n".repeat(MAX_DEPTH + 1));
        replies.feed(b":1\r\n");
        assert!(replies.next().is_err());
    }

    #[test]
    fn pairs_are_the_same_in_both_versions() {
        let name = || Reply::Bulk(bulk("name"));
        let map = Reply::Map(vec![(name(), Reply::Int(1))]);
        let flat = Reply::Array(vec![name(), Reply::Int(1)]);
        assert_eq!(map.field("name"), Some(&Reply::Int(1)));
        assert_eq!(flat.field("name"), Some(&Reply::Int(1)));
        assert_eq!(flat.field("other"), None);
    }
}
