//! Reading replies: the client's side of RESP2 and RESP3.
//!
//! For clients of ours only (tests, embedded calls, the load generator), but written to be fed anything: an incomplete
//! reply is `None`, a malformed one an error, nesting is limited, and an announced length reserves no memory.
//! [`skip_reply`] measures a reply without building it, in constant space.

use std::fmt;

use crate::Out;
use crate::number::{parse_f64, parse_i64};

/// Deepest nesting [`decode`] accepts. Redis's own replies stay below ten.
pub const MAX_DEPTH: usize = 128;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`, the code included.
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `_`, and RESP2's `$-1` and `*-1`.
    Null,
    /// `*2`
    Array(Vec<Value>),
    /// `%1`
    Map(Vec<(Value, Value)>),
    /// `~2`
    Set(Vec<Value>),
    /// `>2`, a message outside the order of requests and replies.
    Push(Vec<Value>),
    /// `,1.5`
    Double(f64),
    /// `#t`
    Bool(bool),
    /// `(123`, its decimal digits.
    BigNumber(String),
    /// `=7`, its three-letter format and its text.
    Verbatim(String, Vec<u8>),
    /// `|1`, and the value the pairs are about.
    Attribute(Vec<(Value, Value)>, Box<Value>),
}

/// Bytes that are not a reply. `Display` says what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(&'static str);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for DecodeError {}

/// Decodes the reply at the front of `buf` and says how many bytes it took; None if it is not complete yet.
pub fn decode(buf: &[u8]) -> Result<Option<(Value, usize)>, DecodeError> {
    let mut reader = Reader { buf, at: 0 };
    let value = reader.value(MAX_DEPTH)?;
    Ok(value.map(|value| (value, reader.at)))
}

/// The length in bytes of the reply at the front of `buf`, its elements included; None if it is not complete yet.
///
/// Checks the framing, not the content of the lines, and accepts any depth.
pub fn skip_reply(buf: &[u8]) -> Result<Option<usize>, DecodeError> {
    let mut reader = Reader { buf, at: 0 };
    // Replies still to come, those inside aggregates included.
    let mut left = 1u64;
    while left > 0 {
        let Some((tag, line)) = reader.line()? else {
            return Ok(None);
        };
        left -= 1;
        let frame = Frame::of(tag, line)?;
        match frame {
            Frame::Line | Frame::Null => {}
            Frame::Text(len) => {
                if reader.text(len)?.is_none() {
                    return Ok(None);
                }
            }
            Frame::Elements(n) => left = left.checked_add(n).ok_or(TOO_LONG)?,
        }
    }
    Ok(Some(reader.at))
}

const TOO_LONG: DecodeError = DecodeError("length out of range");
const BAD_LENGTH: DecodeError = DecodeError("invalid length");
const BAD_LINE_END: DecodeError = DecodeError("line end is not CR LF");

/// What follows a reply's first line.
enum Frame {
    /// Nothing: the line is the reply.
    Line,
    /// Nothing: it is RESP2's null.
    Null,
    /// So many bytes and CR LF.
    Text(usize),
    /// So many replies.
    Elements(u64),
}

impl Frame {
    #[inline]
    fn of(tag: u8, line: &[u8]) -> Result<Frame, DecodeError> {
        let (per_entry, more) = match tag {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => return Ok(Frame::Line),
            b'$' | b'*' if line == b"-1" => return Ok(Frame::Null),
            b'$' | b'=' | b'!' => {
                let len = length(line)?;
                return usize::try_from(len)
                    .map(Frame::Text)
                    .map_err(|_| BAD_LENGTH);
            }
            b'*' | b'~' | b'>' => (1, 0),
            b'%' => (2, 0),
            // The pairs, and the value they are about.
            b'|' => (2, 1),
            _ => return Err(DecodeError("unknown type of reply")),
        };
        // No overflow: a length has 63 bits.
        length(line).map(|n| Frame::Elements(n * per_entry + more))
    }
}

fn length(line: &[u8]) -> Result<u64, DecodeError> {
    parse_i64(line)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or(BAD_LENGTH)
}

struct Reader<'b> {
    buf: &'b [u8],
    at: usize,
}

type Partial<T> = Result<Option<T>, DecodeError>;

impl<'b> Reader<'b> {
    /// The type byte and the rest of the line at `at`.
    #[inline]
    fn line(&mut self) -> Partial<(u8, &'b [u8])> {
        let rest = &self.buf[self.at..];
        let Some(end) = memchr::memchr(b'\r', rest) else {
            return Ok(None);
        };
        match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                let (&tag, line) = rest[..end].split_first().ok_or(DecodeError("empty line"))?;
                self.at += end + 2;
                Ok(Some((tag, line)))
            }
            Some(_) => Err(BAD_LINE_END),
        }
    }

    /// `len` bytes followed by CR LF.
    #[inline]
    fn text(&mut self, len: usize) -> Partial<&'b [u8]> {
        let rest = &self.buf[self.at..];
        match rest.get(len..) {
            Some([b'\r', b'\n', ..]) => {
                self.at += len + 2;
                Ok(Some(&rest[..len]))
            }
            Some([_, _, ..]) => Err(BAD_LINE_END),
            _ => Ok(None),
        }
    }

    fn value(&mut self, depth: usize) -> Partial<Value> {
        let Some((tag, line)) = self.line()? else {
            return Ok(None);
        };
        let (depth, frame) = match (depth.checked_sub(1), Frame::of(tag, line)?) {
            (None, Frame::Elements(_)) => return Err(DecodeError("nested too deeply")),
            (depth, frame) => (depth.unwrap_or(0), frame),
        };
        match frame {
            Frame::Null => Ok(Some(Value::Null)),
            Frame::Line => line_value(tag, line).map(Some),
            Frame::Text(len) => self
                .text(len)?
                .map(|text| text_value(tag, text))
                .transpose(),
            Frame::Elements(n) => match tag {
                b'%' => Ok(self.pairs(n / 2, depth)?.map(Value::Map)),
                b'|' => {
                    let Some(pairs) = self.pairs(n / 2, depth)? else {
                        return Ok(None);
                    };
                    Ok(self
                        .value(depth)?
                        .map(|about| Value::Attribute(pairs, Box::new(about))))
                }
                _ => {
                    let Some(elements) = self.elements(n, depth)? else {
                        return Ok(None);
                    };
                    Ok(Some(match tag {
                        b'~' => Value::Set(elements),
                        b'>' => Value::Push(elements),
                        _ => Value::Array(elements),
                    }))
                }
            },
        }
    }

    fn elements(&mut self, n: u64, depth: usize) -> Partial<Vec<Value>> {
        let mut elements = Vec::new();
        for _ in 0..n {
            let Some(element) = self.value(depth)? else {
                return Ok(None);
            };
            elements.push(element);
        }
        Ok(Some(elements))
    }

    fn pairs(&mut self, n: u64, depth: usize) -> Partial<Vec<(Value, Value)>> {
        let mut pairs = Vec::new();
        for _ in 0..n {
            let Some(key) = self.value(depth)? else {
                return Ok(None);
            };
            let Some(value) = self.value(depth)? else {
                return Ok(None);
            };
            pairs.push((key, value));
        }
        Ok(Some(pairs))
    }
}

/// Text that may quote bytes of a request, which need not be UTF-8.
fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn line_value(tag: u8, line: &[u8]) -> Result<Value, DecodeError> {
    Ok(match tag {
        b'+' => Value::Simple(lossy(line)),
        b'-' => Value::Error(lossy(line)),
        b':' => Value::Int(parse_i64(line).ok_or(DecodeError("invalid integer"))?),
        b',' if line.eq_ignore_ascii_case(b"nan") || line.eq_ignore_ascii_case(b"-nan") => {
            Value::Double(f64::NAN)
        }
        b',' => Value::Double(parse_f64(line).ok_or(DecodeError("invalid double"))?),
        b'#' => match line {
            b"t" => Value::Bool(true),
            b"f" => Value::Bool(false),
            _ => return Err(DecodeError("invalid boolean")),
        },
        b'(' => {
            let digits = line.strip_prefix(b"-").unwrap_or(line);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(DecodeError("invalid big number"));
            }
            Value::BigNumber(lossy(line))
        }
        _ if line.is_empty() => Value::Null,
        _ => return Err(DecodeError("invalid null")),
    })
}

fn text_value(tag: u8, text: &[u8]) -> Result<Value, DecodeError> {
    Ok(match tag {
        b'$' => Value::Bulk(text.to_vec()),
        b'!' => Value::Error(lossy(text)),
        _ => match text {
            [a, b, c, b':', body @ ..] => Value::Verbatim(lossy(&[*a, *b, *c]), body.to_vec()),
            _ => return Err(DecodeError("invalid verbatim string")),
        },
    })
}

impl Value {
    /// Writes the value as a reply in the version of `out`, which is the inverse of [`decode`] in RESP3. RESP2 has
    /// other forms for most types and leaves attributes out.
    pub fn write_to(&self, out: &mut Out) {
        match self {
            Value::Simple(text) => out.simple(text),
            Value::Error(line) => out.error(line),
            Value::Int(n) => out.int(*n),
            Value::Bulk(bytes) => out.bulk(bytes),
            Value::Null => out.null(),
            Value::Double(value) => out.double(*value),
            Value::Bool(value) => out.bool(*value),
            Value::BigNumber(digits) => out.big_number(digits),
            Value::Verbatim(ext, bytes) => out.verbatim(ext, bytes),
            Value::Array(elements) => {
                out.array(elements.len());
                write_all(elements, out);
            }
            Value::Set(elements) => {
                out.set(elements.len());
                write_all(elements, out);
            }
            Value::Push(elements) => {
                out.push(elements.len());
                write_all(elements, out);
            }
            Value::Map(pairs) => {
                out.map(pairs.len());
                write_pairs(pairs, out);
            }
            Value::Attribute(pairs, about) => {
                if out.attribute(pairs.len()) {
                    write_pairs(pairs, out);
                }
                about.write_to(out);
            }
        }
    }
}

fn write_all(elements: &[Value], out: &mut Out) {
    for element in elements {
        element.write_to(out);
    }
}

fn write_pairs(pairs: &[(Value, Value)], out: &mut Out) {
    for (key, value) in pairs {
        key.write_to(out);
        value.write_to(out);
    }
}
