//! The library `cjson`: JSON text to Lua values and back, as lua-cjson 2.1 has it.
//!
//! Tables with only positive integer keys become arrays, all others and empty ones objects. Depth is limited by setting
//! and by Lua's stack; neither direction uses the stack of the thread for it. Settings made with `cjson.encode_...` hold
//! for the run only, so that what a script finds does not depend on which others ran before it on the same worker;
//! `cjson.new()` gives an instance with settings of its own.

use std::cell::Cell;
use std::ffi::c_int;

use crate::budget::{ahead, charge};
use crate::ctx::{Ctx, Level};
use crate::json_settings::{Invalid, JsonSettings};
use crate::number::{format_g, strtod};
use crate::raw::{BOOLEAN, L, LIGHT_USERDATA, NIL, NUMBER, Raised, Ret, STRING, TABLE, native};
use crate::readonly::reveal;

/// Fills the table on top with functions that use the state's settings.
pub(crate) fn fill(l: L) {
    fill_with(l, || 0);
}

/// Fills the table on top; `own` pushes the upvalues of each function and says how many.
fn fill_with(l: L, own: impl Fn() -> c_int) {
    for (name, function) in [
        ("encode", native(encode)),
        ("decode", native(decode)),
        ("encode_sparse_array", native(encode_sparse_array)),
        ("encode_max_depth", native(encode_max_depth)),
        ("decode_max_depth", native(decode_max_depth)),
        ("encode_number_precision", native(encode_number_precision)),
        ("encode_keep_buffer", native(encode_keep_buffer)),
        ("encode_invalid_numbers", native(encode_invalid_numbers)),
        ("decode_invalid_numbers", native(decode_invalid_numbers)),
        ("new", native(new)),
    ] {
        l.push_bytes(name.as_bytes());
        let upvalues = own();
        l.push_function(function, upvalues);
        l.raw_set(-3);
    }
    l.push_light(std::ptr::null_mut());
    l.set_raw_field(-2, "null");
    l.push_bytes(b"cjson");
    l.set_raw_field(-2, "_NAME");
    l.push_bytes(b"2.1.0");
    l.set_raw_field(-2, "_VERSION");
}

fn new(l: L, _: &Ctx) -> Ret {
    l.new_cell(JsonSettings::default());
    let settings = l.top();
    l.new_table(0, 16);
    fill_with(l, || {
        l.push_value(settings);
        1
    });
    Ok(1)
}

/// The settings of the running function's instance.
fn config(l: L, ctx: &Ctx) -> &Cell<JsonSettings> {
    l.upvalue_cell(1).unwrap_or(&ctx.cjson)
}

/// Exactly `most` arguments, missing ones being nil.
fn options(l: L, most: c_int) -> Result<(), Raised> {
    if l.top() > most {
        l.argument_error(most + 1, c"found too many arguments")?;
    }
    l.set_top(most);
    Ok(())
}

/// Reads option `n` unless it is nil, and pushes what then holds.
fn integer_option(l: L, n: c_int, setting: &mut i32, range: (i32, i32)) -> Result<(), Raised> {
    if l.kind(n) != NIL {
        let value = l.check_int(n);
        if value < range.0 || value > range.1 {
            l.push_fmt(format_args!(
                "expected integer between {} and {}",
                range.0, range.1
            ));
            l.argument_error(1, l.c_str(-1))?;
        }
        *setting = value;
    }
    l.push_number(f64::from(*setting));
    Ok(())
}

fn bool_option(l: L, n: c_int, setting: &mut bool) -> Result<(), Raised> {
    match l.kind(n) {
        NIL => {}
        BOOLEAN => *setting = l.truth(n),
        _ => {
            l.check_bytes(n);
            invalid_option(l, n)?;
        }
    }
    l.push_bool(*setting);
    Ok(())
}

/// Raises the error about a string that is none of the words known.
fn invalid_option(l: L, n: c_int) -> Ret {
    l.push_bytes(b"invalid option '");
    l.push_value(n);
    l.push_bytes(b"'");
    l.concat(3);
    l.argument_error(n, l.c_str(-1))
}

fn encode_sparse_array(l: L, ctx: &Ctx) -> Ret {
    options(l, 3)?;
    let mut settings = config(l, ctx).get();
    bool_option(l, 1, &mut settings.sparse_convert)?;
    integer_option(l, 2, &mut settings.sparse_ratio, (0, i32::MAX))?;
    integer_option(l, 3, &mut settings.sparse_safe, (0, i32::MAX))?;
    config(l, ctx).set(settings);
    Ok(3)
}

fn encode_max_depth(l: L, ctx: &Ctx) -> Ret {
    options(l, 1)?;
    let mut settings = config(l, ctx).get();
    integer_option(l, 1, &mut settings.encode_max_depth, (1, i32::MAX))?;
    config(l, ctx).set(settings);
    Ok(1)
}

fn decode_max_depth(l: L, ctx: &Ctx) -> Ret {
    options(l, 1)?;
    let mut settings = config(l, ctx).get();
    integer_option(l, 1, &mut settings.decode_max_depth, (1, i32::MAX))?;
    config(l, ctx).set(settings);
    Ok(1)
}

fn encode_number_precision(l: L, ctx: &Ctx) -> Ret {
    options(l, 1)?;
    let mut settings = config(l, ctx).get();
    integer_option(l, 1, &mut settings.precision, (1, 14))?;
    config(l, ctx).set(settings);
    Ok(1)
}

/// The buffer is kept, or not, in either case: this is a hint about memory.
fn encode_keep_buffer(l: L, ctx: &Ctx) -> Ret {
    options(l, 1)?;
    let mut settings = config(l, ctx).get();
    bool_option(l, 1, &mut settings.keep_buffer)?;
    config(l, ctx).set(settings);
    Ok(1)
}

fn encode_invalid_numbers(l: L, ctx: &Ctx) -> Ret {
    options(l, 1)?;
    let mut settings = config(l, ctx).get();
    match l.kind(1) {
        NIL => {}
        BOOLEAN => {
            settings.encode_invalid = if l.truth(1) {
                Invalid::AsIs
            } else {
                Invalid::Error
            };
        }
        _ => {
            settings.encode_invalid = match l.check_bytes(1) {
                b"off" => Invalid::Error,
                b"on" => Invalid::AsIs,
                b"null" => Invalid::Null,
                _ => return invalid_option(l, 1),
            };
        }
    }
    config(l, ctx).set(settings);
    match settings.encode_invalid {
        Invalid::Error => l.push_bool(false),
        Invalid::AsIs => l.push_bool(true),
        Invalid::Null => l.push_bytes(b"null"),
    }
    Ok(1)
}

fn decode_invalid_numbers(l: L, ctx: &Ctx) -> Ret {
    options(l, 1)?;
    let mut settings = config(l, ctx).get();
    bool_option(l, 1, &mut settings.decode_invalid)?;
    config(l, ctx).set(settings);
    Ok(1)
}

fn encode(l: L, ctx: &Ctx) -> Ret {
    if l.top() != 1 {
        return l.argument_error(1, c"expected 1 argument");
    }
    let settings = config(l, ctx).get();
    let out = ctx.scratch();
    out.clear();
    let levels = ctx.levels();
    levels.clear();
    let mut done = 0;
    loop {
        // Long strings count what they are themselves.
        charge(l, ctx, 16 + (out.len() - done).min(PIECE))?;
        done = out.len();
        // A value is on top: it is written and popped, or opened and stays.
        match l.kind(-1) {
            TABLE => open(l, ctx, &settings, levels, out)?,
            _ => {
                scalar(l, ctx, &settings, out)?;
                l.pop(1);
            }
        }
        // Then to the next value, closing what has no more.
        loop {
            let Some(level) = levels.last_mut() else {
                ahead(l, ctx, out.len())?;
                l.push_bytes(out);
                return Ok(1);
            };
            let more = if level.array {
                level.index < level.len
            } else {
                l.next(-2)
            };
            if !more {
                out.push(if level.array { b']' } else { b'}' });
                l.pop(1);
                levels.pop();
                continue;
            }
            if level.index > 0 {
                out.push(b',');
            }
            level.index += 1;
            if level.array {
                l.raw_get_int(-1, level.index as c_int);
            } else {
                key(l, ctx, &settings, out)?;
            }
            break;
        }
    }
}

/// Starts an array or object, the table on top.
fn open(
    l: L,
    ctx: &Ctx,
    settings: &JsonSettings,
    levels: &mut Vec<Level>,
    out: &mut Vec<u8>,
) -> Result<(), Raised> {
    let depth = levels.len() + 1;
    if depth > settings.encode_max_depth as usize || !l.ensure(3) {
        return Err(l.error_at(format_args!(
            "Cannot serialise, excessive nesting ({depth})"
        )));
    }
    reveal(l, ctx, l.top());
    match array_length(l, ctx, settings)? {
        Some(len) if len > 0 => {
            out.push(b'[');
            levels.push(Level {
                array: true,
                index: 0,
                len,
            });
        }
        _ => {
            out.push(b'{');
            levels.push(Level {
                array: false,
                index: 0,
                len: 0,
            });
            l.push_nil();
        }
    }
    Ok(())
}

/// The largest index if all keys are integers from 1 on; None if the table is to be an object.
fn array_length(l: L, ctx: &Ctx, settings: &JsonSettings) -> Result<Option<usize>, Raised> {
    let (mut largest, mut items) = (0i32, 0i64);
    l.push_nil();
    while l.next(-2) {
        let index = if l.kind(-2) == NUMBER {
            l.number(-2)
        } else {
            0.0
        };
        if index < 1.0 || index.floor() != index {
            l.pop(2);
            return Ok(None);
        }
        if index > f64::from(largest) {
            // An index beyond a C int makes the table an object, as the conversion of x86 does.
            largest = if index <= f64::from(i32::MAX) {
                index as i32
            } else {
                i32::MIN
            };
        }
        items += 1;
        l.pop(1);
        charge(l, ctx, 8)?;
    }
    if settings.sparse_ratio > 0
        && i64::from(largest) > items * i64::from(settings.sparse_ratio)
        && largest > settings.sparse_safe
    {
        if !settings.sparse_convert {
            return Err(cannot(l, -1, "excessively sparse array"));
        }
        return Ok(None);
    }
    Ok(usize::try_from(largest).ok())
}

fn cannot(l: L, index: c_int, why: &str) -> Raised {
    let kind = l.kind_name(index);
    l.error_at(format_args!("Cannot serialise {kind}: {why}"))
}

/// Writes the key of the pair on top and its colon.
fn key(l: L, ctx: &Ctx, settings: &JsonSettings, out: &mut Vec<u8>) -> Result<(), Raised> {
    match l.kind(-2) {
        NUMBER => {
            out.push(b'"');
            number(l, -2, settings, out)?;
            out.extend_from_slice(b"\":");
        }
        STRING => {
            string(l, ctx, l.bytes(-2).unwrap_or_default(), out)?;
            out.push(b':');
        }
        _ => return Err(cannot(l, -2, "table key must be a number or string")),
    }
    Ok(())
}

fn scalar(l: L, ctx: &Ctx, settings: &JsonSettings, out: &mut Vec<u8>) -> Result<(), Raised> {
    match l.kind(-1) {
        STRING => string(l, ctx, l.bytes(-1).unwrap_or_default(), out)?,
        NUMBER => number(l, -1, settings, out)?,
        BOOLEAN => out.extend_from_slice(if l.truth(-1) { b"true" } else { b"false" }),
        NIL => out.extend_from_slice(b"null"),
        LIGHT_USERDATA if l.light(-1).is_null() => out.extend_from_slice(b"null"),
        _ => return Err(cannot(l, -1, "type not supported")),
    }
    Ok(())
}

fn number(l: L, index: c_int, settings: &JsonSettings, out: &mut Vec<u8>) -> Result<(), Raised> {
    let value = l.number(index);
    if !value.is_finite() {
        match settings.encode_invalid {
            Invalid::Error => return Err(cannot(l, index, "must not be NaN or Inf")),
            Invalid::Null => {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            Invalid::AsIs if value.is_nan() => {
                out.extend_from_slice(b"nan");
                return Ok(());
            }
            Invalid::AsIs => {}
        }
    }
    format_g(value, settings.precision as usize, out);
    Ok(())
}

/// Writes a string; bytes from 0x80 on are taken for UTF-8 and left as they are.
fn string(l: L, ctx: &Ctx, text: &[u8], out: &mut Vec<u8>) -> Result<(), Raised> {
    if out.try_reserve(text.len() + 2).is_err() {
        return Err(l.error(format_args!("not enough memory")));
    }
    out.push(b'"');
    for piece in text.chunks(PIECE) {
        string_piece(piece, out);
        charge(l, ctx, piece.len())?;
    }
    out.push(b'"');
    Ok(())
}

/// Bytes of a string between two looks at whether to go on.
const PIECE: usize = 64 << 10;

fn string_piece(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (i, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            0..0x20 | 0x7f => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[plain..i]);
        plain = i + 1;
        if short != 0 {
            out.extend_from_slice(&[b'\\', short]);
        } else {
            let digits = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(digits[usize::from(byte >> 4)]);
            out.push(digits[usize::from(byte & 15)]);
        }
    }
    out.extend_from_slice(&text[plain..]);
}

/// What the text of a JSON document is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Its bytes are in the parser's buffer.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
    /// The run is to end; its error is on the stack.
    Stopped,
}

impl Token {
    /// The name that errors use.
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(what) => what,
            Token::Stopped => "",
        }
    }
}

struct Parser<'a> {
    l: L,
    ctx: &'a Ctx,
    text: &'a [u8],
    at: usize,
    /// Where the current token starts.
    start: usize,
    /// The current string.
    string: &'a mut Vec<u8>,
    decode_invalid: bool,
}

fn decode(l: L, ctx: &Ctx) -> Ret {
    if l.top() != 1 {
        return l.argument_error(1, c"expected 1 argument");
    }
    let settings = config(l, ctx).get();
    let text = l.check_bytes(1);
    if let [0, _, ..] | [_, 0, ..] = text {
        return Err(l.error_at(format_args!(
            "JSON parser does not support UTF-16 or UTF-32"
        )));
    }
    let mut parser = Parser {
        l,
        ctx,
        text,
        at: 0,
        start: 0,
        string: ctx.scratch(),
        decode_invalid: settings.decode_invalid,
    };
    let levels = ctx.levels();
    levels.clear();
    let mut token = parser.next();
    let mut done = 0;
    loop {
        // Long strings count what they are themselves.
        charge(l, ctx, 16 + (parser.at - done).min(PIECE))?;
        done = parser.at;
        // A value starts with `token`.
        match token {
            Token::String => {
                ahead(l, ctx, parser.string.len())?;
                l.push_bytes(parser.string);
            }
            Token::Number(value) => l.push_number(value),
            Token::Boolean(value) => l.push_bool(value),
            Token::Null => l.push_light(std::ptr::null_mut()),
            Token::ObjectBegin | Token::ArrayBegin => {
                let depth = levels.len() + 1;
                let array = token == Token::ArrayBegin;
                let slots = if array { 2 } else { 3 };
                if depth > settings.decode_max_depth as usize || !l.ensure(slots) {
                    let at = parser.at;
                    return Err(l.error_at(format_args!(
                        "Found too many nested data structures ({depth}) at character {at}"
                    )));
                }
                l.new_table(0, 0);
                token = parser.next();
                if token
                    != (if array {
                        Token::ArrayEnd
                    } else {
                        Token::ObjectEnd
                    })
                {
                    levels.push(Level {
                        array,
                        index: 0,
                        len: 0,
                    });
                    if !array {
                        token = parser.key(l, token)?;
                    }
                    continue;
                }
            }
            _ => return Err(parser.expected(l, "value", token)),
        }
        // A value is complete and on top: it goes into what it is in, which may be complete then.
        loop {
            let Some(level) = levels.last_mut() else {
                token = parser.next();
                if token != Token::End {
                    return Err(parser.expected(l, "the end", token));
                }
                return Ok(1);
            };
            let (end, expected) = if level.array {
                level.index += 1;
                l.raw_set_int(-2, level.index as c_int);
                (Token::ArrayEnd, "comma or array end")
            } else {
                l.raw_set(-3);
                (Token::ObjectEnd, "comma or object end")
            };
            token = parser.next();
            if token == end {
                levels.pop();
                continue;
            }
            if token != Token::Comma {
                return Err(parser.expected(l, expected, token));
            }
            token = parser.next();
            if end == Token::ObjectEnd {
                token = parser.key(l, token)?;
            }
            break;
        }
    }
}

impl Parser<'_> {
    fn expected(&self, l: L, what: &str, found: Token) -> Raised {
        if found == Token::Stopped {
            return Raised;
        }
        let at = self.start + 1;
        l.error_at(format_args!(
            "Expected {what} but found {} at character {at}",
            found.name()
        ))
    }

    /// Pushes the object key that `token` must be; returns the token that starts its value.
    fn key(&mut self, l: L, token: Token) -> Result<Token, Raised> {
        if token != Token::String {
            return Err(self.expected(l, "object key string", token));
        }
        l.push_bytes(self.string);
        let token = self.next();
        if token != Token::Colon {
            return Err(self.expected(l, "colon", token));
        }
        Ok(self.next())
    }

    /// The byte at `at`; 0 at the end, as the C string has it.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        let before = self.at;
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
            if (self.at - before).is_multiple_of(PIECE) && self.is_stopped() {
                return Token::Stopped;
            }
        }
        self.start = self.at;
        let rest = &self.text[self.at.min(self.text.len())..];
        let (token, len) = match self.byte(self.at) {
            b'{' => (Token::ObjectBegin, 1),
            b'}' => (Token::ObjectEnd, 1),
            b'[' => (Token::ArrayBegin, 1),
            b']' => (Token::ArrayEnd, 1),
            b',' => (Token::Comma, 1),
            b':' => (Token::Colon, 1),
            0 => (Token::End, 0),
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' if !self.decode_invalid && is_invalid_number(rest) => {
                (Token::Error("invalid number"), 0)
            }
            b'-' | b'0'..=b'9' => return self.number(rest),
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            b'i' | b'I' | b'n' | b'N' | b'+' if self.decode_invalid && is_invalid_number(rest) => {
                return self.number(rest);
            }
            _ => (Token::Error("invalid token"), 0),
        };
        self.at += len;
        token
    }

    fn number(&mut self, rest: &[u8]) -> Token {
        match strtod(rest) {
            Some((value, len)) => {
                self.at += len;
                Token::Number(value)
            }
            None => Token::Error("invalid number"),
        }
    }

    /// Whether the run is to end, after another piece of the text.
    fn is_stopped(&self) -> bool {
        charge(self.l, self.ctx, PIECE).is_err()
    }

    /// Reads a string, whose first quote is at `at`, into the buffer. Errors are where they are, not at the quote.
    fn string(&mut self) -> Token {
        let token = self.string_content();
        if let Token::Error(_) = token {
            self.start = self.at;
        }
        token
    }

    fn string_content(&mut self) -> Token {
        self.string.clear();
        self.at += 1;
        let mut asked = self.at;
        loop {
            let rest = &self.text[self.at.min(self.text.len())..];
            let plain = rest
                .iter()
                .take(PIECE)
                .take_while(|&&b| !matches!(b, b'"' | b'\\' | 0))
                .count();
            self.string.extend_from_slice(&rest[..plain]);
            self.at += plain;
            if self.at - asked >= PIECE {
                if self.is_stopped() {
                    return Token::Stopped;
                }
                asked = self.at;
                continue;
            }
            match self.byte(self.at) {
                b'"' => {
                    self.at += 1;
                    return Token::String;
                }
                b'\\' => {}
                _ => return Token::Error("unexpected end of string"),
            }
            let escaped = match self.byte(self.at + 1) {
                b @ (b'"' | b'\\' | b'/') => b,
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 12,
                b'r' => b'\r',
                b'u' => match self.unicode() {
                    Some((character, len)) => {
                        let mut utf8 = [0; 4];
                        self.string
                            .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                        self.at += len;
                        continue;
                    }
                    None => return Token::Error("invalid unicode escape code"),
                },
                _ => return Token::Error("invalid escape code"),
            };
            self.string.push(escaped);
            self.at += 2;
        }
    }

    /// The character of the escape at `at`, `\u1234` or a pair of surrogates, and the length of the escape.
    fn unicode(&self) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.text.get(at + 2..at + 6)?;
            if self.byte(at) != b'\\'
                || self.byte(at + 1) != b'u'
                || !digits.iter().all(u8::is_ascii_hexdigit)
            {
                return None;
            }
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let first = unit(self.at)?;
        match first {
            0xD800..0xDC00 => {
                let second = unit(self.at + 6).filter(|unit| (0xDC00..0xE000).contains(unit))?;
                let code = 0x10000 + ((first & 0x3FF) << 10 | (second & 0x3FF));
                Some((char::from_u32(code)?, 12))
            }
            _ => Some((char::from_u32(first)?, 6)),
        }
    }
}

/// Numbers that JSON does not have and `strtod` reads: with a plus sign, hexadecimal, with leading zeros, not finite.
fn is_invalid_number(text: &[u8]) -> bool {
    if text.first() == Some(&b'+') {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match text {
        [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
        [first, ..] if *first <= b'9' => false,
        [] => false,
        _ => text.get(..3).is_some_and(|word| {
            word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
        }),
    }
}
