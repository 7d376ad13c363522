//! Command templates: `SET {key} {value}` and what a request is rendered from.
//!
//! A template is compiled once. If all its placeholders have a fixed width (`{key}`, `{value}`, `{member:N}`), the
//! request is one block of bytes that is copied and then overwritten at known offsets, a few nanoseconds a request.
//! Placeholders of varying width (`{int}`, `{int:A-B}`, `{seq}`) change the length headers around them; such a
//! request is assembled argument by argument.
//!
//! Commands that belong together, as MULTI and EXEC do, are one template with a `;` between them. They are sent in one
//! piece and count as one request, which is answered when the last of them is.

use crate::draw::{Distribution, Keys, Rng};

/// What the placeholders stand for.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Number of keys, at least 1.
    pub keys: u64,
    /// What every key begins with.
    pub key_prefix: String,
    /// Length of a key in bytes, prefix included: the key's number is padded with zeros up to it.
    pub key_size: usize,
    /// Length of `{value}` in bytes.
    pub value_size: usize,
}

impl Fill {
    /// How many digits a key's number gets, or why the keys do not fit in `key_size`.
    fn key_digits(&self) -> Result<usize, String> {
        let least = decimal_width(self.keys - 1);
        match self.key_size.checked_sub(self.key_prefix.len()) {
            Some(digits) if digits >= least => Ok(digits),
            _ => Err(format!(
                "--key-size {} has no room for the prefix \"{}\" and the {least} digits of {} keys",
                self.key_size, self.key_prefix, self.keys
            )),
        }
    }
}

/// One command, ready to be rendered any number of times.
#[derive(Clone, Debug)]
pub struct Template {
    /// The text it was made from.
    text: String,
    form: Form,
    /// `{key}` placeholders in it.
    keys: u64,
    /// Longest `{value}` in it, in bytes.
    longest_value: usize,
    /// Commands in it, each of which gets a reply.
    replies: u32,
}

#[derive(Clone, Debug)]
enum Form {
    /// The whole request with zeros where `slots` says what to write.
    Fixed { bytes: Vec<u8>, slots: Vec<Slot> },
    /// The commands, assembled one argument after the other.
    Varying(Vec<Command>),
}

/// The pieces of each argument.
type Command = Vec<Vec<Piece>>;

/// A place of fixed width inside the rendered bytes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: usize,
    width: usize,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Key,
    Member { n: u64 },
    Value,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<u8>),
    Fixed { width: usize, what: What },
    Int { low: i64, high: i64 },
    Seq,
}

/// The moving parts of one thread: what the next placeholder is filled with.
pub struct Source {
    rng: Rng,
    keys: Keys,
    /// Next `{seq}` and the distance to the one after it (the number of threads, so that no two are equal).
    seq: u64,
    seq_step: u64,
    /// Printable random bytes; a value is a window into them.
    pool: Vec<u8>,
    scratch: Vec<u8>,
}

/// A value begins at any of this many offsets in the pool.
const POOL_OFFSETS: usize = 4096;

impl Source {
    /// The source of thread `thread` out of `threads`, fit for templates whose longest value is `longest_value`.
    pub fn new(
        fill: &Fill,
        distribution: Distribution,
        seed: u64,
        thread: u64,
        threads: u64,
        longest_value: usize,
    ) -> Source {
        let mut rng = Rng::new(seed, thread);
        let first = (u128::from(fill.keys) * u128::from(thread) / u128::from(threads)) as u64;
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let pool = (0..longest_value.saturating_add(POOL_OFFSETS))
            .map(|_| LETTERS[rng.below(LETTERS.len() as u64) as usize])
            .collect();
        Source {
            keys: Keys::new(distribution, fill.keys, first),
            rng,
            seq: thread,
            seq_step: threads,
            pool,
            scratch: Vec::new(),
        }
    }

    /// A random number in `0..n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    fn fill(&mut self, what: What, slot: &mut [u8]) {
        match what {
            What::Key => write_digits(self.keys.next(&mut self.rng), slot),
            What::Member { n } => write_digits(self.rng.below(n), slot),
            What::Value => {
                let start = self.rng.below(POOL_OFFSETS as u64) as usize;
                slot.copy_from_slice(&self.pool[start..start + slot.len()]);
            }
        }
    }
}

impl Template {
    /// Compiles `text`: words separated by blanks, `'...'` and `"..."` quoted (with `\n \r \t \\ \" \xHH` in double
    /// quotes), `{{` for a brace, a word `;` between commands. Placeholders: `{key}`, `{value}`, `{value:SIZE}`, `{int}` (0 to 999,999),
    /// `{int:LOW-HIGH}`, `{member:N}` (`member:` and a number below N, all of one width), `{seq}` (1, 2, 3 ... over the
    /// whole run).
    pub fn new(text: &str, fill: &Fill) -> Result<Template, String> {
        let complain = |why: String| format!("command \"{text}\": {why}");
        let mut commands: Vec<Command> = Vec::new();
        for words in split(text).map_err(complain)? {
            if words.is_empty() {
                return Err("an empty command".to_string());
            }
            let args = words
                .iter()
                .map(|word| pieces(word, fill).map_err(complain));
            commands.push(args.collect::<Result<_, _>>()?);
        }
        let replies = u32::try_from(commands.len()).map_err(|_| "too many commands".to_string())?;
        let mut keys = 0;
        let mut longest_value = 0;
        let mut varying = false;
        for piece in commands.iter().flatten().flatten() {
            match piece {
                Piece::Fixed {
                    what: What::Key, ..
                } => keys += 1,
                Piece::Fixed {
                    what: What::Value,
                    width,
                } => longest_value = longest_value.max(*width),
                Piece::Int { .. } | Piece::Seq => varying = true,
                Piece::Text(_) | Piece::Fixed { .. } => {}
            }
        }
        let form = if varying {
            Form::Varying(commands)
        } else {
            fixed(&commands)
        };
        Ok(Template {
            text: text.to_string(),
            form,
            keys,
            longest_value,
            replies,
        })
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many `{key}` placeholders it has.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Length of its longest `{value}` in bytes, 0 without one.
    pub fn longest_value(&self) -> usize {
        self.longest_value
    }

    /// How many replies one request gets: at least one.
    pub fn replies(&self) -> u32 {
        self.replies
    }

    /// Appends one request to `out`.
    pub fn render(&self, source: &mut Source, out: &mut Vec<u8>) {
        match &self.form {
            Form::Fixed { bytes, slots } => {
                let start = out.len();
                out.extend_from_slice(bytes);
                for slot in slots {
                    let at = start + slot.at;
                    source.fill(slot.what, &mut out[at..at + slot.width]);
                }
            }
            Form::Varying(commands) => {
                let mut arg = std::mem::take(&mut source.scratch);
                for args in commands {
                    header(b'*', args.len(), out);
                    for pieces in args {
                        arg.clear();
                        for piece in pieces {
                            render_piece(piece, source, &mut arg);
                        }
                        header(b'$', arg.len(), out);
                        out.extend_from_slice(&arg);
                        out.extend_from_slice(b"\r\n");
                    }
                }
                source.scratch = arg;
            }
        }
    }
}

fn render_piece(piece: &Piece, source: &mut Source, arg: &mut Vec<u8>) {
    match piece {
        Piece::Text(text) => arg.extend_from_slice(text),
        Piece::Fixed { width, what } => {
            let start = arg.len();
            arg.resize(start + width, b'0');
            source.fill(*what, &mut arg[start..]);
        }
        Piece::Int { low, high } => {
            let span = high.abs_diff(*low).saturating_add(1);
            let n = low.wrapping_add_unsigned(source.rng.below(span));
            if n < 0 {
                arg.push(b'-');
            }
            decimal(n.unsigned_abs(), arg);
        }
        Piece::Seq => {
            decimal(source.seq + 1, arg);
            source.seq += source.seq_step;
        }
    }
}

/// The request as one block, with the offsets at which it changes.
fn fixed(commands: &[Command]) -> Form {
    let mut bytes = Vec::new();
    let mut slots = Vec::new();
    for args in commands {
        header(b'*', args.len(), &mut bytes);
        for pieces in args {
            let len = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.len(),
                    Piece::Fixed { width, .. } => *width,
                    Piece::Int { .. } | Piece::Seq => 0,
                })
                .sum();
            header(b'$', len, &mut bytes);
            for piece in pieces {
                match piece {
                    Piece::Text(text) => bytes.extend_from_slice(text),
                    Piece::Fixed { width, what } => {
                        slots.push(Slot {
                            at: bytes.len(),
                            width: *width,
                            what: *what,
                        });
                        bytes.resize(bytes.len() + width, b'0');
                    }
                    Piece::Int { .. } | Piece::Seq => {}
                }
            }
            bytes.extend_from_slice(b"\r\n");
        }
    }
    Form::Fixed { bytes, slots }
}

fn header(kind: u8, n: usize, out: &mut Vec<u8>) {
    out.push(kind);
    decimal(n as u64, out);
    out.extend_from_slice(b"\r\n");
}

fn decimal(n: u64, out: &mut Vec<u8>) {
    let width = decimal_width(n);
    let start = out.len();
    out.resize(start + width, b'0');
    write_digits(n, &mut out[start..]);
}

/// Digits of `n` in decimal.
fn decimal_width(n: u64) -> usize {
    n.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Writes `n` right-aligned over `slot`, whose bytes are `'0'` to begin with. Digits that do not fit are cut off at
/// the left; the compiler of templates sees to it that there are none.
fn write_digits(mut n: u64, slot: &mut [u8]) {
    for digit in slot.iter_mut().rev() {
        if n == 0 {
            break;
        }
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

/// Splits a command line into commands, at words that are `;` without quotes, and each into words, undoing quotes.
fn split(text: &str) -> Result<Vec<Vec<Vec<u8>>>, String> {
    let mut commands = Vec::new();
    let mut words = Vec::new();
    let mut bytes = text.bytes().peekable();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        if bytes.peek().is_none() {
            commands.push(words);
            return Ok(commands);
        }
        let mut word = Vec::new();
        let mut quoted = false;
        while let Some(byte) = bytes.next_if(|byte| !byte.is_ascii_whitespace()) {
            quoted |= matches!(byte, b'\'' | b'"');
            match byte {
                b'\'' => loop {
                    match bytes.next().ok_or("a quote that does not close")? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                },
                b'"' => loop {
                    match bytes.next().ok_or("a quote that does not close")? {
                        b'"' => break,
                        b'\\' => match bytes.next().ok_or("a quote that does not close")? {
                            b'n' => word.push(b'\n'),
                            b'r' => word.push(b'\r'),
                            b't' => word.push(b'\t'),
                            b'x' => {
                                let mut hex = || {
                                    let digit = char::from(bytes.next()?).to_digit(16)?;
                                    u8::try_from(digit).ok()
                                };
                                let (high, low) =
                                    hex().zip(hex()).ok_or("\\x needs two hex digits")?;
                                word.push(high * 16 + low);
                            }
                            byte => word.push(byte),
                        },
                        byte => word.push(byte),
                    }
                },
                byte => word.push(byte),
            }
        }
        if word == b";" && !quoted {
            commands.push(std::mem::take(&mut words));
        } else {
            words.push(word);
        }
    }
}

/// Splits a word into text and placeholders.
fn pieces(word: &[u8], fill: &Fill) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'{' {
            text.push(byte);
            continue;
        }
        if let Some(after) = rest.strip_prefix(b"{") {
            text.push(b'{');
            rest = after;
            continue;
        }
        let end = rest
            .iter()
            .position(|&b| b == b'}')
            .ok_or("a placeholder without its closing brace ({{ stands for a brace)")?;
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        let (name, parameter) = match name.split_once(':') {
            Some((name, parameter)) => (name.to_string(), Some(parameter.to_string())),
            None => (name, None),
        };
        let piece = match (name.as_str(), parameter) {
            ("key", None) => {
                text.extend_from_slice(fill.key_prefix.as_bytes());
                Piece::Fixed {
                    width: fill.key_digits()?,
                    what: What::Key,
                }
            }
            ("value", None) => Piece::Fixed {
                width: fill.value_size,
                what: What::Value,
            },
            ("value", Some(size)) => Piece::Fixed {
                width: value_size(&size)?,
                what: What::Value,
            },
            ("int", None) => Piece::Int {
                low: 0,
                high: 999_999,
            },
            ("int", Some(range)) => int_range(&range)?,
            ("member", Some(n)) => {
                let n: u64 = n
                    .parse()
                    .ok()
                    .filter(|&n| n > 0)
                    .ok_or("{member:N} needs a number above 0")?;
                text.extend_from_slice(b"member:");
                Piece::Fixed {
                    width: decimal_width(n - 1),
                    what: What::Member { n },
                }
            }
            ("seq", None) => Piece::Seq,
            _ => {
                return Err(
                    "unknown placeholder; there are {key} {value} {value:SIZE} {int} {int:LOW-HIGH} {member:N} {seq}"
                        .to_string(),
                );
            }
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(piece);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// Largest value the protocol lets a client send.
const MAX_VALUE: usize = 512 * 1024 * 1024;

/// Reads a value's size in bytes.
pub fn value_size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(size) if size <= MAX_VALUE => Ok(size),
        _ => Err("a value's size is a number of bytes up to 536870912".to_string()),
    }
}

fn int_range(range: &str) -> Result<Piece, String> {
    let why = "{int:LOW-HIGH} needs two numbers, the lower one first";
    // The dash between the numbers is the first one that does not begin the range.
    let dash = range
        .char_indices()
        .skip(1)
        .find(|&(_, c)| c == '-')
        .map(|(at, _)| at)
        .ok_or(why)?;
    let low: i64 = range[..dash].parse().map_err(|_| why)?;
    let high: i64 = range[dash + 1..].parse().map_err(|_| why)?;
    if low > high {
        return Err(why.to_string());
    }
    Ok(Piece::Int { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill() -> Fill {
        Fill {
            keys: 1000,
            key_prefix: "key:".to_string(),
            key_size: 10,
            value_size: 5,
        }
    }

    fn source(fill: &Fill, distribution: Distribution) -> Source {
        Source::new(fill, distribution, 1, 0, 1, 64)
    }

    /// What `text` renders as, `times` in a row.
    fn render(text: &str, times: usize) -> String {
        let fill = fill();
        let template = Template::new(text, &fill).expect(text);
        let mut source = source(&fill, Distribution::Sequential);
        let mut out = Vec::new();
        for _ in 0..times {
            template.render(&mut source, &mut out);
        }
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn fixed_requests_change_only_in_their_slots() {
        assert_eq!(
            render("GET {key}", 2),
            "*2\r\n$3\r\nGET\r\n$10\r\nkey:000000\r\n*2\r\n$3\r\nGET\r\n$10\r\nkey:000001\r\n"
        );
        let set = render("SET user:{key}:x {value}", 1);
        let (head, value) = set.split_at(set.len() - 7);
        assert_eq!(
            head,
            "*3\r\n$3\r\nSET\r\n$17\r\nuser:key:000000:x\r\n$5\r\n"
        );
        assert!(
            value.ends_with("\r\n") && !value.contains('\0'),
            "{value:?}"
        );
    }

    #[test]
    fn varying_requests_have_right_lengths() {
        assert_eq!(
            render("ZADD z {seq} {key}", 1),
            "*4\r\n$4\r\nZADD\r\n$1\r\nz\r\n$1\r\n1\r\n$10\r\nkey:000000\r\n"
        );
        assert_eq!(
            render("INCRBY c {int:-7--7}", 1),
            "*3\r\n$6\r\nINCRBY\r\n$1\r\nc\r\n$2\r\n-7\r\n"
        );
        let members = render("SADD s {member:50} {int:100-100}", 1);
        assert!(
            members.starts_with("*4\r\n$4\r\nSADD\r\n$1\r\ns\r\n$9\r\nmember:"),
            "{members}"
        );
        assert!(members.ends_with("\r\n$3\r\n100\r\n"), "{members}");
    }

    #[test]
    fn quotes_and_braces() {
        assert_eq!(
            render(r#"SET "a b\x41\n" '{{"x'"#, 1),
            "*3\r\n$3\r\nSET\r\n$5\r\na bA\n\r\n$3\r\n{\"x\r\n"
        );
        assert_eq!(render(r#"ECHO """#, 1), "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n");
    }

    #[test]
    fn commands_that_belong_together_are_one_request() {
        let fill = fill();
        let replies = |text: &str| Template::new(text, &fill).expect(text).replies();
        assert_eq!(
            render("MULTI ; GET {key} ; EXEC", 1),
            "*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$10\r\nkey:000000\r\n*1\r\n$4\r\nEXEC\r\n"
        );
        assert_eq!(
            render("PING ; ECHO {seq}", 2),
            "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\n1\r\n\
             *1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\n2\r\n"
        );
        assert_eq!(replies("MULTI ; GET {key} ; EXEC"), 3);
        assert_eq!(replies("PING ; ECHO {seq}"), 2);
        // Only a word of its own, without quotes, stands between commands.
        assert_eq!(replies("ECHO \";\""), 1);
        assert_eq!(replies("ECHO a;"), 1);
        assert_eq!(
            replies("EVAL \"redis.call('GET', KEYS[1]) ; return 1\" 1 {key}"),
            1
        );
    }

    #[test]
    fn refuses_what_it_cannot_render() {
        for bad in [
            "",
            "PING ;",
            "; PING",
            "PING ; ; PING",
            "  ",
            "GET {kee}",
            "GET {key",
            "GET \"x",
            "GET \"\\xg1\"",
            "SADD s {member:0}",
            "SADD s {member}",
            "INCRBY c {int:5}",
            "INCRBY c {int:5-1}",
            "SET k {value:-1}",
        ] {
            assert!(Template::new(bad, &fill()).is_err(), "{bad}");
        }
        let narrow = Fill {
            key_size: 6,
            ..fill()
        };
        assert!(Template::new("GET {key}", &narrow).is_err());
        assert!(Template::new("PING", &narrow).is_ok());
    }

    #[test]
    fn every_render_parses_back_to_its_arguments() {
        let fill = fill();
        let mut source = source(&fill, Distribution::Uniform);
        for text in [
            "SET {key} {value:64}",
            "HSET {key} f {int} g {seq}",
            "SADD {key} {member:1000000}",
        ] {
            let template = Template::new(text, &fill).expect(text);
            let mut out = Vec::new();
            for _ in 0..200 {
                out.clear();
                template.render(&mut source, &mut out);
                let mut rest = std::str::from_utf8(&out).expect("ASCII");
                let mut line = || {
                    let (line, after) = rest.split_once("\r\n").expect("a line");
                    rest = after;
                    line
                };
                let args: usize = line()[1..].parse().expect("a count");
                assert_eq!(args, text.split(' ').count());
                for _ in 0..args {
                    let len: usize = line()[1..].parse().expect("a length");
                    assert_eq!(line().len(), len, "{text}");
                }
                assert!(rest.is_empty());
            }
        }
    }
}
