//! Reading requests.
//!
//! A request is an array of bulk strings, `*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n`, or for people at a terminal an *inline*
//! command, `GET key\r\n`, with the quoting of the Redis command line. [`Parser`] finds one command at a time at the
//! front of a read buffer and yields its arguments as slices of that buffer. A command that is not all there yet leaves
//! its progress in the parser, so that one arriving in a thousand pieces is scanned once, not a thousand times. A count
//! or length announced by the client reserves nothing: memory grows only with bytes that have arrived.
//!
//! [`Batch`] runs the parser over everything one read brought.
//!
//! # Quoted inline commands
//!
//! An inline argument whose quotes enclose it without escapes (`SET k "a b"`) is a slice of the buffer like any other.
//! One with escapes or with quotes in its middle (`SET k "a\n"`) exists nowhere in the buffer. The parser then yields
//! no arguments but keeps the whole command rewritten as an array of bulk strings, and [`Batch::fill`] stops there.
//! The connection executes what the batch holds, asks [`Parser::take_rewritten`] for the bytes, and runs them through
//! a batch (and a parser) of their own before it goes on with its buffer. Until they are taken the parser yields
//! nothing more. This costs the normal path nothing, and such commands are typed by hand.
//!
//! # Strictness
//!
//! Texts and limits are those of Redis 7.0.15 and 8.2.3. Where they depend on how bytes were spread over packets, or
//! let a malformed frame through, this parser is stricter: a line is too long whether or not its end arrived in the
//! same read, and line ends must be CR LF as in Valkey 9 (a bare LF is enough for an inline command). As in Redis
//! a NUL in an inline command hides the line's end.

use std::borrow::Cow;
use std::fmt;

use crate::number::{format_i64, parse_i64};

/// What a connection may ask for. The defaults are those of Redis for a client that has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most arguments of a command. Redis accepts any 32-bit count, as counting alone costs nothing.
    pub max_args: usize,
    /// Longest bulk string, the setting `proto-max-bulk-len` (512 MiB).
    pub max_bulk_bytes: usize,
    /// Longest inline command, and longest line announcing a count or length (64 KiB).
    pub max_inline_bytes: usize,
    /// False for a connection that must authenticate first: at most 10 arguments of 16384 bytes.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_args: i32::MAX as usize,
            max_bulk_bytes: 512 * 1024 * 1024,
            max_inline_bytes: 64 * 1024,
            authenticated: true,
        }
    }
}

const UNAUTHENTICATED_ARGS: usize = 10;
const UNAUTHENTICATED_BULK: usize = 16384;

impl Limits {
    /// The limits on count and length that hold right now, for the quick path.
    #[inline]
    fn current(&self) -> (usize, usize) {
        if self.authenticated {
            (self.max_args, self.max_bulk_bytes)
        } else {
            (
                self.max_args.min(UNAUTHENTICATED_ARGS),
                self.max_bulk_bytes.min(UNAUTHENTICATED_BULK),
            )
        }
    }
}

/// A malformed request. The connection answers with it and closes: there is no telling where the next command starts.
///
/// `Display` gives the text after `-ERR Protocol error: `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError(Malformed);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Malformed {
    ArgCount,
    BulkLength,
    ExpectedBulk(u8),
    LineEnd,
    LongArgCount,
    LongBulkLength,
    LongInline,
    Quotes,
    UnauthenticatedArgCount,
    UnauthenticatedBulkLength,
}

impl ProtocolError {
    /// Appends the text of `Display` to `out`, with the offending byte as it came where Redis quotes one.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        if let Malformed::ExpectedBulk(got) = self.0 {
            out.extend_from_slice(b"expected '$', got '");
            out.extend_from_slice(&[got, b'\'']);
        } else {
            out.extend_from_slice(self.fixed_text().as_bytes());
        }
    }

    fn fixed_text(&self) -> &'static str {
        match self.0 {
            Malformed::ArgCount => "invalid multibulk length",
            Malformed::BulkLength => "invalid bulk length",
            Malformed::ExpectedBulk(_) => "expected '$'",
            Malformed::LineEnd => "invalid CRLF in request",
            Malformed::LongArgCount => "too big mbulk count string",
            Malformed::LongBulkLength => "too big bulk count string",
            Malformed::LongInline => "too big inline request",
            Malformed::Quotes => "unbalanced quotes in request",
            Malformed::UnauthenticatedArgCount => "unauthenticated multibulk length",
            Malformed::UnauthenticatedBulkLength => "unauthenticated bulk length",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Malformed::ExpectedBulk(got) => write!(f, "expected '$', got '{}'", char::from(got)),
            _ => f.write_str(self.fixed_text()),
        }
    }
}

impl std::error::Error for ProtocolError {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing of a command seen that would be worth remembering.
    #[default]
    Idle,
    /// Within the line that says how many arguments follow, or within an inline command.
    FirstLine,
    /// `left` arguments are missing; the next one's length line starts at `pos`.
    Length,
    /// The next argument's bytes start at `pos` and end before `bulk_end`.
    Bulk,
    /// A rewritten inline command waits to be taken.
    Rewritten,
}

/// The state of one connection's incomplete command. Allocates nothing while no command is incomplete.
#[derive(Debug, Default)]
pub struct Parser {
    stage: Stage,
    /// Where parsing goes on, relative to the first byte of the command.
    pos: usize,
    /// How far the line at `pos` is known to hold no line end.
    scanned: usize,
    /// End of the bulk string at `pos`, without its CR LF.
    bulk_end: usize,
    /// Arguments not yet complete.
    left: usize,
    /// Arguments already complete, as ranges relative to the first byte of the command.
    spans: Vec<(usize, usize)>,
    rewritten: Option<Vec<u8>>,
    /// The command found last has the usual form: no length could be written shorter.
    usual: bool,
}

impl Parser {
    /// A parser between two commands.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Parses the command at the front of `buf`.
    ///
    /// `buf` begins at the first byte of the command being parsed: after None the caller keeps the bytes and calls
    /// again with more behind them. Appends the arguments of a complete command to `argv` and returns how many bytes it
    /// took. A command that took bytes but has no arguments is empty (a bare line end, `*0`, `*-1`) and to be
    /// skipped, unless [`Parser::take_rewritten`] has it.
    ///
    /// After an error the connection is to be closed; `argv` is as it was.
    #[inline]
    pub fn next<'b>(
        &mut self,
        buf: &'b [u8],
        limits: &Limits,
        argv: &mut Vec<&'b [u8]>,
    ) -> Result<Option<usize>, ProtocolError> {
        if self.stage != Stage::Idle || buf.first() != Some(&b'*') {
            return self.resume(buf, limits, argv);
        }
        // The quick path takes a command that is all there and all valid; whatever else it meets it leaves, with what
        // it has found, to `resume`, which knows every rule.
        let (max_args, max_bulk) = limits.current();
        let Some((count, mut pos)) = quick_length(buf, 1, max_args) else {
            return self.resume(buf, limits, argv);
        };
        let base = argv.len();
        for done in 0..count {
            let bulk = match quick_length(buf, pos + 1, max_bulk) {
                Some((len, start)) if buf[pos] == b'$' => match buf.get(start..) {
                    Some(rest)
                        if rest
                            .get(len..)
                            .is_some_and(|tail| tail.starts_with(b"\r\n")) =>
                    {
                        pos = start + len + 2;
                        Some(&rest[..len])
                    }
                    _ => None,
                },
                _ => None,
            };
            match bulk {
                Some(bulk) => argv.push(bulk),
                None => {
                    self.suspend(buf, argv, base, pos, count - done);
                    return self.resume(buf, limits, argv);
                }
            }
        }
        self.usual = true;
        Ok(Some(pos))
    }

    /// How many more bytes the bulk string now being received needs, its line end included; 0 if none is.
    ///
    /// A hint for growing the read buffer, which should still grow geometrically and not all at once: the length is what
    /// the client announced, not what it has sent.
    pub fn missing_bytes(&self, buffered: usize) -> usize {
        match self.stage {
            Stage::Bulk => self.bulk_end.saturating_add(2).saturating_sub(buffered),
            _ => 0,
        }
    }

    /// Bytes that it takes to know where the arguments are that have come so far.
    pub fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<(usize, usize)>()
    }

    /// Whether part of a command has been received.
    pub fn is_mid_command(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Rewritten)
    }

    /// The inline command just parsed, rewritten as an array of bulk strings, if its arguments could not be slices of
    /// the buffer. See the [module documentation](self).
    pub fn take_rewritten(&mut self) -> Option<Vec<u8>> {
        let rewritten = self.rewritten.take()?;
        self.stage = Stage::Idle;
        Some(rewritten)
    }

    /// Saves what the quick path found: `argv[base..]` and that `left` arguments follow from `pos`.
    #[cold]
    fn suspend<'b>(
        &mut self,
        buf: &'b [u8],
        argv: &mut Vec<&'b [u8]>,
        base: usize,
        pos: usize,
        left: usize,
    ) {
        let origin = buf.as_ptr().addr();
        let span = |arg: &[u8]| (arg.as_ptr().addr() - origin, arg.len());
        self.spans.extend(
            argv.drain(base..)
                .map(|arg| (span(arg).0, span(arg).0 + span(arg).1)),
        );
        self.stage = Stage::Length;
        self.pos = pos;
        self.left = left;
    }

    /// The complete rules, from wherever the command was left.
    #[cold]
    #[inline(never)]
    fn resume<'b>(
        &mut self,
        buf: &'b [u8],
        limits: &Limits,
        argv: &mut Vec<&'b [u8]>,
    ) -> Result<Option<usize>, ProtocolError> {
        self.usual = false;
        loop {
            match self.stage {
                Stage::Rewritten => return Ok(None),
                Stage::Idle | Stage::FirstLine => match buf.first() {
                    None => return Ok(None),
                    Some(b'*') => match self.argument_count(buf, limits)? {
                        None => return Ok(None),
                        Some(0) => return Ok(Some(self.finish(self.pos))),
                        Some(_) => {}
                    },
                    Some(_) => return self.inline(buf, limits, argv),
                },
                Stage::Length => {
                    if !self.bulk_length(buf, limits)? {
                        return Ok(None);
                    }
                }
                Stage::Bulk => {
                    // Compared without adding to the announced end, which may be close to usize::MAX.
                    match buf.get(self.bulk_end..) {
                        Some([b'\r', b'\n', ..]) => {}
                        Some([_, _, ..]) => return Err(ProtocolError(Malformed::LineEnd)),
                        _ => return Ok(None),
                    }
                    self.spans.push((self.pos, self.bulk_end));
                    self.pos = self.bulk_end + 2;
                    self.left -= 1;
                    self.stage = Stage::Length;
                    if self.left == 0 {
                        argv.extend(self.spans.iter().map(|&(start, end)| &buf[start..end]));
                        return Ok(Some(self.finish(self.pos)));
                    }
                }
            }
        }
    }

    /// Ends a command, for a next one that starts `consumed` bytes on.
    fn finish(&mut self, consumed: usize) -> usize {
        let rewritten = self.rewritten.take();
        let stage = if rewritten.is_some() {
            Stage::Rewritten
        } else {
            Stage::Idle
        };
        *self = Parser {
            stage,
            rewritten,
            ..Parser::default()
        };
        consumed
    }

    /// Reads the line `*count` at the start. None: the line is incomplete. Counts below zero are as zero.
    fn argument_count(
        &mut self,
        buf: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        self.stage = Stage::FirstLine;
        let Some(line) = self.line(buf, limits, Malformed::LongArgCount)? else {
            return Ok(None);
        };
        let count = parse_i64(&line[1..]).ok_or(ProtocolError(Malformed::ArgCount))?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > limits.max_args.min(i32::MAX as usize) {
            return Err(ProtocolError(Malformed::ArgCount));
        }
        if count > UNAUTHENTICATED_ARGS && !limits.authenticated {
            return Err(ProtocolError(Malformed::UnauthenticatedArgCount));
        }
        self.left = count;
        self.stage = Stage::Length;
        Ok(Some(count))
    }

    /// Reads the line `$length` at `pos`. False: the line is incomplete.
    fn bulk_length(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(buf, limits, Malformed::LongBulkLength)? else {
            return Ok(false);
        };
        let Some((b'$', digits)) = line.split_first() else {
            let got = line.first().copied().unwrap_or(b'\r');
            return Err(ProtocolError(Malformed::ExpectedBulk(got)));
        };
        let len = parse_i64(digits).and_then(|n| usize::try_from(n).ok());
        let len = len
            .filter(|&len| len <= limits.max_bulk_bytes)
            .ok_or(ProtocolError(Malformed::BulkLength))?;
        if len > UNAUTHENTICATED_BULK && !limits.authenticated {
            return Err(ProtocolError(Malformed::UnauthenticatedBulkLength));
        }
        self.bulk_end = self
            .pos
            .checked_add(len)
            .ok_or(ProtocolError(Malformed::BulkLength))?;
        self.stage = Stage::Bulk;
        Ok(true)
    }

    /// The line at `pos` without its CR LF, moving `pos` behind it; None if its end has not arrived.
    fn line<'b>(
        &mut self,
        buf: &'b [u8],
        limits: &Limits,
        too_long: Malformed,
    ) -> Result<Option<&'b [u8]>, ProtocolError> {
        let rest = buf.get(self.pos..).unwrap_or_default();
        let found = memchr::memchr(b'\r', rest.get(self.scanned..).unwrap_or_default());
        let end = found.map_or(rest.len(), |at| self.scanned + at);
        if end > limits.max_inline_bytes {
            return Err(ProtocolError(too_long));
        }
        match rest.get(end + 1) {
            Some(b'\n') => {
                self.scanned = 0;
                self.pos += end + 2;
                Ok(Some(&rest[..end]))
            }
            Some(_) => Err(ProtocolError(Malformed::LineEnd)),
            None => {
                self.scanned = end;
                Ok(None)
            }
        }
    }

    /// Reads an inline command.
    fn inline<'b>(
        &mut self,
        buf: &'b [u8],
        limits: &Limits,
        argv: &mut Vec<&'b [u8]>,
    ) -> Result<Option<usize>, ProtocolError> {
        self.stage = Stage::FirstLine;
        let found = memchr::memchr2(b'\n', 0, buf.get(self.scanned..).unwrap_or_default());
        let end = found.map_or(buf.len(), |at| self.scanned + at);
        if buf.get(end) != Some(&b'\n') {
            self.scanned = end;
            let too_long = buf.len() > limits.max_inline_bytes;
            return if too_long {
                Err(ProtocolError(Malformed::LongInline))
            } else {
                Ok(None)
            };
        }
        if end > limits.max_inline_bytes {
            return Err(ProtocolError(Malformed::LongInline));
        }
        let line = buf[..end].strip_suffix(b"\r").unwrap_or(&buf[..end]);
        let base = argv.len();
        let mut words = Words { line, at: 0 };
        // Stays empty as long as every word is a slice of the buffer.
        let mut rewritten: Vec<Cow<'b, [u8]>> = Vec::new();
        while let Some(word) = words.next_word().inspect_err(|_| argv.truncate(base))? {
            match word {
                Cow::Borrowed(slice) if rewritten.is_empty() => argv.push(slice),
                word => {
                    rewritten.extend(argv.drain(base..).map(Cow::Borrowed));
                    rewritten.push(word);
                }
            }
        }
        if !rewritten.is_empty() {
            let mut command = Vec::with_capacity(line.len() + 16 * rewritten.len());
            write_command(&mut command, &rewritten);
            self.rewritten = Some(command);
        }
        Ok(Some(self.finish(end + 1)))
    }
}

/// Reads a length and its line end at `at`, if it is in the usual form and at most `max`: digits without a leading
/// zero, then CR LF. Returns it and where the line ends.
#[inline(always)]
fn quick_length(buf: &[u8], at: usize, max: usize) -> Option<(usize, usize)> {
    // One and two digits make up nearly all lengths.
    let (len, next) = match *buf.get(at..)? {
        [a @ b'0'..=b'9', b'\r', b'\n', ..] => (usize::from(a - b'0'), at + 3),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
            (usize::from(a - b'0') * 10 + usize::from(b - b'0'), at + 4)
        }
        _ => long_length(buf, at)?,
    };
    (len <= max).then_some((len, next))
}

/// [`quick_length`] for three to nine digits.
fn long_length(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut len = 0usize;
    // Nine digits and the carriage return.
    for (i, &byte) in buf[at..].iter().take(10).enumerate() {
        match byte {
            b'0'..=b'9' if len > 0 || i == 0 => len = len * 10 + usize::from(byte - b'0'),
            b'\r' if i > 0 && buf.get(at + i + 1) == Some(&b'\n') => {
                return Some((len, at + i + 2));
            }
            _ => return None,
        }
    }
    None
}

/// Splits an inline command into words.
///
/// A word ends at a space. Double quotes enclose text with the escapes `\xHH \n \r \t \b \a` (any other escaped byte
/// stands for itself), single quotes text in which only `\'` is an escape. A quoted part may follow unquoted text
/// (`a"b c"` is one word) but nothing may follow its closing quote.
struct Words<'b> {
    line: &'b [u8],
    at: usize,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Spaces that end an unquoted word: Redis takes vertical tab and form feed for part of it.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'b> Words<'b> {
    fn next_word(&mut self) -> Result<Option<Cow<'b, [u8]>>, ProtocolError> {
        while self.line.get(self.at).is_some_and(|&b| is_space(b)) {
            self.at += 1;
        }
        let rest = &self.line[self.at..];
        match rest.first() {
            None => return Ok(None),
            Some(&quote @ (b'"' | b'\'')) => {
                let special = |b: &u8| *b == quote || *b == b'\\';
                let end = rest[1..]
                    .iter()
                    .position(special)
                    .map_or(rest.len(), |at| at + 1);
                let closed =
                    rest.get(end) == Some(&quote) && rest.get(end + 1).is_none_or(|&b| is_space(b));
                if closed {
                    self.at += end + 1;
                    return Ok(Some(Cow::Borrowed(&rest[1..end])));
                }
            }
            Some(_) => {
                let special = |b: &u8| ends_word(*b) || matches!(b, b'"' | b'\'');
                let end = rest.iter().position(special).unwrap_or(rest.len());
                if !matches!(rest.get(end), Some(b'"' | b'\'')) {
                    self.at += end;
                    return Ok(Some(Cow::Borrowed(&rest[..end])));
                }
            }
        }
        self.unquoted().map(|word| Some(Cow::Owned(word)))
    }

    /// The word at `at` with its quotes and escapes resolved.
    fn unquoted(&mut self) -> Result<Vec<u8>, ProtocolError> {
        let unbalanced = ProtocolError(Malformed::Quotes);
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            let rest = &self.line[self.at..];
            let taken = match (quote, rest) {
                (None, []) => return Ok(word),
                (None, [b, ..]) if ends_word(*b) => return Ok(word),
                (None, [b @ (b'"' | b'\''), ..]) => {
                    quote = Some(*b);
                    1
                }
                (Some(_), []) => return Err(unbalanced),
                (Some(open), [b, after @ ..]) if *b == open => {
                    if after.first().is_some_and(|&b| !is_space(b)) {
                        return Err(unbalanced);
                    }
                    self.at += 1;
                    return Ok(word);
                }
                (Some(b'\''), [b'\\', b'\'', ..]) => {
                    word.push(b'\'');
                    2
                }
                (Some(b'"'), [b'\\', b'x', high, low, ..])
                    if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                {
                    word.push(hex_digit(*high) << 4 | hex_digit(*low));
                    4
                }
                (Some(b'"'), [b'\\', escaped, ..]) => {
                    word.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 0x08,
                        b'a' => 0x07,
                        other => *other,
                    });
                    2
                }
                (_, [b, ..]) => {
                    word.push(*b);
                    1
                }
            };
            self.at += taken;
        }
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// The commands of one read, their arguments in place in the read buffer.
#[derive(Debug, Default)]
pub struct Batch<'b> {
    args: Vec<&'b [u8]>,
    /// Where each command's arguments end in `args`.
    ends: Vec<usize>,
    /// Each command as it came, if it has the usual form; else nothing.
    raw: Vec<&'b [u8]>,
}

/// [`Batch::recycle`] keeps room for this many arguments (64 KiB).
const KEEP_ARGS: usize = 4096;

impl<'b> Batch<'b> {
    /// An empty batch.
    pub fn new() -> Batch<'b> {
        Batch::default()
    }

    /// Number of commands.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no commands.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a command whose arguments are at hand; one without arguments is skipped.
    pub fn push(&mut self, argv: &[&'b [u8]]) {
        if !argv.is_empty() {
            self.args.extend_from_slice(argv);
            self.ends.push(self.args.len());
            self.raw.push(&[]);
        }
    }

    /// The arguments of the command at `index`, its name first; never empty for an index below [`Batch::len`], and
    /// empty beyond.
    #[inline]
    pub fn get(&self, index: usize) -> &[&'b [u8]] {
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.args[start..end]
    }

    /// The bytes of the command at `index`, if they are those that [`write_command`] makes of its arguments; else none.
    #[inline]
    pub fn raw(&self, index: usize) -> &'b [u8] {
        self.raw.get(index).copied().unwrap_or_default()
    }

    /// The commands in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[&'b [u8]]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Adds complete commands from the front of `buf` until there are `max_commands` in the batch, empty ones skipped.
    ///
    /// Returns how many bytes they took (what is left begins the next call's `buf`) and the error that ended the stream,
    /// if one did: the commands before it are valid and to be executed first. Also stops behind a command for
    /// [`Parser::take_rewritten`], and behind every command while the connection must authenticate, as that one
    /// may be the AUTH that lifts the limits for the next.
    pub fn fill(
        &mut self,
        parser: &mut Parser,
        buf: &'b [u8],
        limits: &Limits,
        max_commands: usize,
    ) -> (usize, Option<ProtocolError>) {
        let mut consumed = 0;
        let max_commands = if limits.authenticated {
            max_commands
        } else {
            max_commands.min(self.len() + 1)
        };
        while self.ends.len() < max_commands {
            let before = self.args.len();
            match parser.next(&buf[consumed..], limits, &mut self.args) {
                Ok(Some(taken)) => {
                    let from = consumed;
                    consumed += taken;
                    if self.args.len() > before {
                        self.ends.push(self.args.len());
                        self.raw.push(match parser.usual {
                            true => &buf[from..consumed],
                            false => &[],
                        });
                    }
                }
                Ok(None) => break,
                Err(error) => return (consumed, Some(error)),
            }
        }
        (consumed, None)
    }

    /// Empties the batch and frees it from its buffer, keeping the allocations (up to 64 KiB) for the next read.
    pub fn recycle<'c>(mut self) -> Batch<'c> {
        if self.args.capacity() > KEEP_ARGS {
            return Batch::default();
        }
        self.args.clear();
        self.ends.clear();
        self.raw.clear();
        // Collecting a Vec's own iterator into a Vec of the same layout reuses its allocation.
        let empty = |slices: Vec<&'b [u8]>| -> Vec<&'c [u8]> {
            slices.into_iter().map(|_| -> &'c [u8] { &[] }).collect()
        };
        Batch {
            args: empty(self.args),
            ends: self.ends,
            raw: empty(self.raw),
        }
    }
}

/// Appends a command as an array of bulk strings: how clients send one, and how logs and replicas get it.
pub fn write_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    let mut digits = [0; 20];
    let mut header = |out: &mut Vec<u8>, tag: u8, n: usize| {
        out.push(tag);
        out.extend_from_slice(format_i64(
            i64::try_from(n).unwrap_or(i64::MAX),
            &mut digits,
        ));
        out.extend_from_slice(b"\r\n");
    };
    header(out, b'*', args.len());
    for arg in args {
        let arg = arg.as_ref();
        header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
