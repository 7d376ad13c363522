//! The reply of a command, as the Lua value that `redis.call` returns.
//!
//! | reply | Lua |
//! |---|---|
//! | integer | number |
//! | bulk string | string |
//! | simple string | table with `ok` |
//! | error | table with `err`, the line |
//! | array, push | table of the elements |
//! | null of RESP2 | false |
//! | null of RESP3 | nil |
//! | boolean | boolean |
//! | double | table with `double` |
//! | map | table with `map` |
//! | set | table with `set`, each element being a key with the value true |
//! | big number | table with `big_number`, its digits |
//! | verbatim string | table with `verbatim_string`, of `string` and `format` |
//!
//! The bytes come from our own reply writer, and the reader needs to be neither fast at rejecting nor exact about
//! malformed ones: it never reads out of bounds, and takes the end of the bytes for a nil.

use resp::{parse_f64, parse_i64};

use crate::budget::charge;
use crate::ctx::Ctx;
use crate::raw::{L, Raised};

/// Pushes the reply at the front of `bytes`.
pub(crate) fn push_reply(l: L, ctx: &Ctx, bytes: &[u8]) -> Result<(), Raised> {
    let mut reader = Reader { ctx, bytes, at: 0 };
    reader.push(l, MAX_DEPTH)
}

/// Deepest nesting converted; replies of commands stay below ten.
const MAX_DEPTH: usize = 128;

struct Reader<'a> {
    ctx: &'a Ctx,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The rest of the line at `at`, which is then behind its end.
    #[inline]
    fn line(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == b'\r').unwrap_or(rest.len());
        self.at += end + 2;
        &rest[..end]
    }

    /// The number that is the rest of the line; None for -1, RESP2's null.
    #[inline]
    fn length(&mut self) -> Option<usize> {
        let line = self.line();
        if let [digit @ b'0'..=b'9'] = line {
            return Some(usize::from(digit - b'0'));
        }
        parse_i64(line).and_then(|n| usize::try_from(n).ok())
    }

    /// `len` bytes and the line end behind them.
    fn text(&mut self, len: usize) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let text = &rest[..len.min(rest.len())];
        self.at += len + 2;
        text
    }

    /// Pushes the reply at `at` and moves behind it.
    fn push(&mut self, l: L, depth: usize) -> Result<(), Raised> {
        let tag = self.bytes.get(self.at).copied().unwrap_or(b'_');
        self.at += 1;
        if depth == 0 || !l.ensure(5) {
            return Err(l.error(format_args!("ERR reached lua stack limit")));
        }
        charge(l, self.ctx, 32)?;
        match tag {
            b'$' => match self.length() {
                Some(len) => l.push_bytes(self.text(len)),
                None => l.push_bool(false),
            },
            b':' => l.push_number(parse_i64(self.line()).unwrap_or(0) as f64),
            b'+' => {
                let text = self.line();
                l.new_table(0, 1);
                l.push_bytes(text);
                l.set_raw_field(-2, "ok");
            }
            b'-' => push_error(l, self.line()),
            b'*' | b'>' => match self.length() {
                Some(n) => {
                    // The count may be wrong, the bytes are there: at least three an element.
                    l.new_table(n.min(self.left() / 3 + 1), 0);
                    for i in 1..=n {
                        if self.left() == 0 {
                            break;
                        }
                        self.push(l, depth - 1)?;
                        l.raw_set_int(-2, i32::try_from(i).unwrap_or(i32::MAX));
                    }
                }
                None => l.push_bool(false),
            },
            b'_' => {
                self.line();
                l.push_nil();
            }
            b'#' => l.push_bool(self.line() == b"t"),
            b',' => {
                let value = match self.line() {
                    b"nan" => f64::NAN,
                    text => parse_f64(text).unwrap_or(0.0),
                };
                l.new_table(0, 1);
                l.push_number(value);
                l.set_raw_field(-2, "double");
            }
            b'%' => {
                let n = self.length().unwrap_or(0);
                l.new_table(0, 1);
                l.new_table(0, n.min(self.left() / 6 + 1));
                for _ in 0..n {
                    if self.left() == 0 {
                        break;
                    }
                    self.push(l, depth - 1)?;
                    self.push(l, depth - 1)?;
                    set_pair(l);
                }
                l.set_raw_field(-2, "map");
            }
            b'~' => {
                let n = self.length().unwrap_or(0);
                l.new_table(0, 1);
                l.new_table(0, n.min(self.left() / 3 + 1));
                for _ in 0..n {
                    if self.left() == 0 {
                        break;
                    }
                    self.push(l, depth - 1)?;
                    l.push_bool(true);
                    set_pair(l);
                }
                l.set_raw_field(-2, "set");
            }
            b'(' => {
                let digits = self.line();
                l.new_table(0, 1);
                l.push_bytes(digits);
                l.set_raw_field(-2, "big_number");
            }
            b'=' => {
                let len = self.length().unwrap_or(0);
                let (format, text) = match self.text(len) {
                    [a, b, c, b':', text @ ..] => ([*a, *b, *c], text),
                    text => (*b"txt", text),
                };
                l.new_table(0, 1);
                l.new_table(0, 2);
                l.push_bytes(text);
                l.set_raw_field(-2, "string");
                l.push_bytes(&format);
                l.set_raw_field(-2, "format");
                l.set_raw_field(-2, "verbatim_string");
            }
            b'|' => {
                // Attributes are for clients; a script gets the reply they are about.
                let n = self.length().unwrap_or(0);
                for _ in 0..n.saturating_mul(2) {
                    if self.left() == 0 {
                        break;
                    }
                    self.push(l, depth - 1)?;
                    l.pop(1);
                }
                self.push(l, depth - 1)?;
            }
            _ => l.push_nil(),
        }
        Ok(())
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }
}

/// Pops a value and the key below it into the table below; a key that no table can have drops the pair.
fn set_pair(l: L) {
    let key = l.kind(-2);
    if key == crate::raw::NIL || (key == crate::raw::NUMBER && l.number(-2).is_nan()) {
        return l.pop(2);
    }
    l.raw_set(-3);
}

/// Pushes the table that stands for an error reply; `line` is the reply without its `-`.
///
/// The field `ignore_error_stats_update` says that the server has counted the error already.
pub(crate) fn push_error(l: L, line: &[u8]) {
    push_error_table(l, line);
    l.push_bool(true);
    l.set_raw_field(-2, "ignore_error_stats_update");
}

/// Pushes a table with `err`; a line of a single word is taken for a message without code and gets `ERR`.
pub(crate) fn push_error_table(l: L, line: &[u8]) {
    let end = line
        .iter()
        .rposition(|b| !matches!(b, b'\r' | b'\n'))
        .map_or(0, |last| last + 1);
    let line = &line[..end];
    l.new_table(0, 4);
    if line.contains(&b' ') {
        l.push_bytes(line);
    } else {
        let message = l.ctx().message();
        message.clear();
        message.extend_from_slice(b"ERR ");
        message.extend_from_slice(line);
        l.push_bytes(message);
    }
    l.set_raw_field(-2, "err");
}
