//! What takes long in the library `string`: finding patterns, and making long strings.
//!
//! Lua's own functions of these names do not stop once they have begun. These count what they do ([`charge`]), so that a
//! script inside of one is noticed and can be ended. Their results and the texts of their errors are Lua's.

use std::ffi::c_int;

use memchr::memmem;

use crate::budget::{ahead, charge};
use crate::ctx::Ctx;
use crate::pattern::{Capture, Captures, Extent, Fault, GoOn, Matcher, STEPS, is_plain};
use crate::raw::{
    Buffer, CFunction, FUNCTION, L, NIL, NUMBER, Raised, Ret, STRING, TABLE, native, upvalue,
};
use crate::readonly::original;

/// Replaces functions of the library on top.
pub(crate) fn fill(l: L) {
    l.set_function("find", native(find));
    l.set_function("match", native(match_));
    l.set_function("gmatch", native(gmatch));
    l.set_function("gfind", native(gmatch));
    l.set_function("gsub", native(gsub));
    l.set_function("rep", native(rep));
    l.set_function("reverse", native(reverse));
    l.set_function("lower", native(lower));
    l.set_function("upper", native(upper));
    l.set_function("format", native(format));
}

/// Counts a matcher's steps.
struct Counted<'a> {
    l: L,
    ctx: &'a Ctx,
}

impl GoOn for Counted<'_> {
    type No = Raised;

    fn go_on(&mut self) -> Result<(), Raised> {
        charge(self.l, self.ctx, STEPS)
    }
}

/// A matcher that can be stopped, for a text and a pattern that stay on the stack.
fn matcher<'a>(
    l: L,
    ctx: &'a Ctx,
    text: &'a [u8],
    pattern: &'a [u8],
    captures: &'a mut Captures,
) -> Matcher<'a, Counted<'a>> {
    Matcher::new(text, pattern, captures, ctx.choices(), Counted { l, ctx })
}

fn raise(l: L, fault: Fault<Raised>) -> Raised {
    match fault {
        Fault::Malformed(text) => l.error_at(format_args!("{text}")),
        Fault::Stopped(raised) => raised,
    }
}

fn find(l: L, ctx: &Ctx) -> Ret {
    search(l, ctx, true)
}

fn match_(l: L, ctx: &Ctx) -> Ret {
    search(l, ctx, false)
}

fn search(l: L, ctx: &Ctx, find: bool) -> Ret {
    let text = l.check_bytes(1);
    let pattern = l.check_bytes(2);
    let first = if l.kind(3) <= NIL {
        1
    } else {
        l.check_integer(3)
    };
    let from = match first {
        0 => 0,
        1.. => text.len().min(first as usize - 1),
        _ => text.len().saturating_sub(first.unsigned_abs()),
    };
    if find && (l.truth(4) || is_plain(pattern)) {
        charge(l, ctx, (text.len() - from) / 16)?;
        let Some(at) = memmem::find(&text[from..], pattern) else {
            l.push_nil();
            return Ok(1);
        };
        l.push_number((from + at + 1) as f64);
        l.push_number((from + at + pattern.len()) as f64);
        return Ok(2);
    }
    let anchored = pattern.first() == Some(&b'^');
    let mut captures = Captures::new();
    let mut matcher = matcher(l, ctx, text, pattern, &mut captures);
    let mut at = from;
    let found = loop {
        let found = matcher
            .match_at(at, usize::from(anchored))
            .map_err(|fault| raise(l, fault))?;
        if found.is_some() || anchored || at == text.len() {
            break found;
        }
        at += 1;
    };
    charge(l, ctx, matcher.steps())?;
    let Some(end) = found else {
        l.push_nil();
        return Ok(1);
    };
    if !find {
        return push_captures(l, ctx, text, captures.get(), Some((at, end)));
    }
    l.push_number((at + 1) as f64);
    l.push_number(end as f64);
    Ok(push_captures(l, ctx, text, captures.get(), None)? + 2)
}

/// Pushes all captures; the whole match if there is none and it is given.
fn push_captures(
    l: L,
    ctx: &Ctx,
    text: &[u8],
    captures: &[Capture],
    whole: Option<(usize, usize)>,
) -> Ret {
    if !l.ensure(captures.len().max(1) as c_int) {
        return Err(l.error_at(format_args!("stack overflow (too many captures)")));
    }
    if let ([], Some((start, end))) = (captures, whole) {
        push_part(l, ctx, &text[start..end])?;
        return Ok(1);
    }
    for capture in captures {
        push_capture(l, ctx, text, capture)?;
    }
    Ok(captures.len() as c_int)
}

fn push_capture(l: L, ctx: &Ctx, text: &[u8], capture: &Capture) -> Result<(), Raised> {
    let start = capture.start;
    match capture.extent {
        Extent::Open => return Err(l.error_at(format_args!("unfinished capture"))),
        Extent::Place => l.push_number((start + 1) as f64),
        Extent::Bytes(len) => push_part(l, ctx, &text[start..start + len])?,
    }
    Ok(())
}

/// Pushes what Lua has to copy.
fn push_part(l: L, ctx: &Ctx, part: &[u8]) -> Result<(), Raised> {
    ahead(l, ctx, part.len())?;
    l.push_bytes(part);
    Ok(())
}

/// Pushes capture `at`, or the whole match if it is the first that is asked for and there is none.
fn push_capture_or_whole(
    l: L,
    ctx: &Ctx,
    text: &[u8],
    captures: &[Capture],
    at: usize,
    (start, end): (usize, usize),
) -> Result<(), Raised> {
    match captures.get(at) {
        Some(capture) => push_capture(l, ctx, text, capture),
        None if at == 0 => push_part(l, ctx, &text[start..end]),
        None => Err(l.error_at(format_args!("invalid capture index"))),
    }
}

fn gmatch(l: L, _: &Ctx) -> Ret {
    l.check_bytes(1);
    l.check_bytes(2);
    l.set_top(2);
    l.push_number(0.0);
    l.push_function(native(gmatch_next), 3);
    Ok(1)
}

/// The function that `gmatch` gives. Its upvalues: the text, the pattern, where to go on.
fn gmatch_next(l: L, ctx: &Ctx) -> Ret {
    let text = l.bytes(upvalue(1)).unwrap_or_default();
    let pattern = l.bytes(upvalue(2)).unwrap_or_default();
    let from = l.number(upvalue(3)) as usize;
    let mut captures = Captures::new();
    let mut matcher = matcher(l, ctx, text, pattern, &mut captures);
    for at in from..=text.len() {
        let found = matcher.match_at(at, 0).map_err(|fault| raise(l, fault))?;
        if let Some(end) = found {
            charge(l, ctx, matcher.steps())?;
            // After an empty match one byte further.
            let next = if end == at { end + 1 } else { end };
            l.push_number(next as f64);
            l.replace(upvalue(3));
            return push_captures(l, ctx, text, captures.get(), Some((at, end)));
        }
    }
    charge(l, ctx, matcher.steps())?;
    Ok(0)
}

fn gsub(l: L, ctx: &Ctx) -> Ret {
    let text = l.check_bytes(1);
    let pattern = l.check_bytes(2);
    let most = if l.kind(4) <= NIL {
        text.len() as isize + 1
    } else {
        // As a C int.
        l.check_int(4) as isize
    };
    let kind = l.kind(3);
    if !matches!(kind, NUMBER | STRING | FUNCTION | TABLE) {
        return l.argument_error(3, c"string/function/table expected");
    }
    let anchored = pattern.first() == Some(&b'^');
    let mut buffer = Buffer::begin(l);
    let mut captures = Captures::new();
    let (mut at, mut count, mut copied) = (0, 0isize, 0);
    while count < most {
        // Made anew each time: a replacement may call a function that uses the same memory.
        let mut matcher = matcher(l, ctx, text, pattern, &mut captures);
        let found = matcher
            .match_at(at, usize::from(anchored))
            .map_err(|fault| raise(l, fault))?;
        charge(l, ctx, 4 + matcher.steps())?;
        if let Some(end) = found {
            count += 1;
            buffer.add(&text[copied..at]);
            charge(l, ctx, 32 + (at - copied) / 16)?;
            add_replacement(l, ctx, &mut buffer, text, captures.get(), (at, end))?;
            copied = end;
        }
        match found {
            Some(end) if end > at => at = end,
            _ if at < text.len() => at += 1,
            _ => break,
        }
        if anchored {
            break;
        }
    }
    let rest = &text[copied..];
    buffer.add(rest);
    ahead(l, ctx, buffer.len())?;
    buffer.finish();
    l.push_number(count as f64);
    Ok(2)
}

/// Adds what argument 3 puts in place of a match.
fn add_replacement(
    l: L,
    ctx: &Ctx,
    buffer: &mut Buffer,
    text: &[u8],
    captures: &[Capture],
    (start, end): (usize, usize),
) -> Result<(), Raised> {
    match l.kind(3) {
        FUNCTION => {
            l.push_value(3);
            let args = push_captures(l, ctx, text, captures, Some((start, end)))?;
            l.call(args, 1);
        }
        TABLE => {
            push_capture_or_whole(l, ctx, text, captures, 0, (start, end))?;
            l.get_table(3);
        }
        _ => {
            let news = l.bytes(3).unwrap_or_default();
            charge(l, ctx, news.len() / 4)?;
            let mut rest = news;
            while let Some(escape) = memchr::memchr(b'%', rest) {
                buffer.add(&rest[..escape]);
                // At the end of the string is a NUL.
                let what = rest.get(escape + 1).copied().unwrap_or(0);
                match what {
                    b'0' => buffer.add(&text[start..end]),
                    b'1'..=b'9' => {
                        let at = usize::from(what - b'1');
                        push_capture_or_whole(l, ctx, text, captures, at, (start, end))?;
                        buffer.add_value();
                    }
                    _ => buffer.add(&[what]),
                }
                charge(l, ctx, 8 + (end - start) / 4)?;
                rest = rest.get(escape + 2..).unwrap_or_default();
            }
            buffer.add(rest);
            return Ok(());
        }
    }
    match l.kind(-1) {
        STRING | NUMBER => buffer.add_value(),
        _ if !l.truth(-1) => {
            l.pop(1);
            buffer.add(&text[start..end]);
        }
        _ => {
            let kind = l.kind_name(-1);
            return Err(l.error_at(format_args!("invalid replacement value (a {kind})")));
        }
    }
    Ok(())
}

/// Bytes written between two looks at whether to go on.
const PIECE: usize = 1 << 20;

/// The empty buffer of [`Ctx::scratch`], with room for so many bytes.
fn room(l: L, ctx: &Ctx, bytes: Option<usize>) -> Result<&mut Vec<u8>, Raised> {
    let out = ctx.scratch();
    out.clear();
    ahead(l, ctx, bytes.unwrap_or(usize::MAX))?;
    match bytes.map(|bytes| out.try_reserve_exact(bytes)) {
        Some(Ok(())) => Ok(out),
        _ => Err(l.error(format_args!("not enough memory"))),
    }
}

/// Pushes what is in that buffer. Lua makes a copy.
fn push_made(l: L, ctx: &Ctx) -> Ret {
    push_part(l, ctx, ctx.scratch())?;
    Ok(1)
}

fn rep(l: L, ctx: &Ctx) -> Ret {
    let text = l.check_bytes(1);
    let count = usize::try_from(l.check_int(2)).unwrap_or(0);
    let total = text.len().checked_mul(count);
    let out = room(l, ctx, total)?;
    let total = total.unwrap_or(0);
    // Twice as much each time, up to a piece.
    while out.len() < total {
        let left = total - out.len();
        match out.len() {
            0 => out.extend_from_slice(text),
            done => {
                // A whole number of repetitions, and all of what is there if that is little.
                let part = done.min(PIECE.max(text.len()) / text.len() * text.len());
                out.extend_from_within(..part.min(left));
            }
        }
        charge(l, ctx, out.len().min(PIECE) / 8)?;
    }
    push_made(l, ctx)
}

fn reverse(l: L, ctx: &Ctx) -> Ret {
    let text = l.check_bytes(1);
    let out = room(l, ctx, Some(text.len()))?;
    for piece in text.rchunks(PIECE) {
        out.extend(piece.iter().rev());
        charge(l, ctx, piece.len() / 8)?;
    }
    push_made(l, ctx)
}

fn lower(l: L, ctx: &Ctx) -> Ret {
    each_byte(l, ctx, |byte| byte.to_ascii_lowercase())
}

fn upper(l: L, ctx: &Ctx) -> Ret {
    each_byte(l, ctx, |byte| byte.to_ascii_uppercase())
}

fn each_byte(l: L, ctx: &Ctx, change: impl Fn(&u8) -> u8) -> Ret {
    let text = l.check_bytes(1);
    let out = room(l, ctx, Some(text.len()))?;
    for piece in text.chunks(PIECE) {
        out.extend(piece.iter().map(&change));
        charge(l, ctx, piece.len() / 8)?;
    }
    push_made(l, ctx)
}

/// Arguments of `format` with fewer bytes are left to Lua's own.
const LONG_ARGUMENTS: usize = PIECE / 16;

/// Bytes from which on Lua's `format` takes an argument of `%s` as it is, whatever its width.
const AS_IT_IS: usize = 100;

/// Lua's own puts long strings together out of pieces of some kilobytes, again and again.
fn format(l: L, ctx: &Ctx) -> Ret {
    let strings = (1..=l.top()).filter(|&n| l.kind(n) == STRING);
    let bytes: usize = strings.map(|n| l.len(n)).sum();
    if bytes > LONG_ARGUMENTS {
        ahead(l, ctx, bytes)?;
        if let Some(originals) = ctx.originals.get()
            && format_long(l, ctx, originals.format)?
        {
            return push_made(l, ctx);
        }
    }
    original(l, ctx, |o| o.format)
}

/// A piece of a format.
enum Directive<'a> {
    /// To be copied.
    Text(&'a [u8]),
    /// What an argument is written by: all of it, whether it says a precision, and its letter.
    Of(&'a [u8], bool, u8),
}

/// Takes the next piece off a format; None if Lua would not take it.
fn directive<'a>(format: &mut &'a [u8]) -> Option<Directive<'a>> {
    let all = *format;
    let (piece, len) = match all {
        [b'%', b'%', ..] => (Directive::Text(&all[..1]), 2),
        [b'%', rest @ ..] => {
            let flags = rest.iter().take_while(|b| b"-+ #0".contains(b)).count();
            let digits = |at: usize| {
                let digits = rest[at..].iter().take(2);
                digits.take_while(|b| b.is_ascii_digit()).count()
            };
            let mut at = flags + digits(flags);
            let precise = rest.get(at) == Some(&b'.');
            if precise {
                at += 1 + digits(at + 1);
            }
            let letter = *rest.get(at)?;
            if flags > 5 || !letter.is_ascii_alphabetic() {
                return None;
            }
            let len = at + 2;
            (Directive::Of(&all[..len], precise, letter), len)
        }
        _ => {
            let len = memchr::memchr(b'%', all).unwrap_or(all.len());
            (Directive::Text(&all[..len]), len)
        }
    };
    *format = &all[len..];
    Some(piece)
}

/// Formats into the buffer, long strings piece by piece and everything else with Lua's own function. False if there is something
/// wrong with an argument, which Lua's own says best.
fn format_long(l: L, ctx: &Ctx, own: CFunction) -> Result<bool, Raised> {
    let top = l.top();
    let mut format = l.check_bytes(1);
    let out = ctx.scratch();
    out.clear();
    let mut arg = 1;
    while !format.is_empty() {
        let (text, precise, letter) = match directive(&mut format) {
            Some(Directive::Text(text)) => {
                add_pieces(l, ctx, out, text)?;
                continue;
            }
            Some(Directive::Of(text, precise, letter)) => (text, precise, letter),
            None => return Ok(false),
        };
        arg += 1;
        let kind = if arg <= top { l.kind(arg) } else { NIL };
        match letter {
            b's' if kind == STRING && !precise && l.len(arg) >= AS_IT_IS => {
                add_pieces(l, ctx, out, l.bytes(arg).unwrap_or_default())?;
            }
            b'q' if kind == STRING => add_quoted(l, ctx, out, l.bytes(arg).unwrap_or_default())?,
            b's' | b'q' if !matches!(kind, STRING | NUMBER) => return Ok(false),
            b'c' | b'd' | b'i' | b'o' | b'u' | b'x' | b'X' | b'e' | b'E' | b'f' | b'g' | b'G'
                if !l.is_number(arg) =>
            {
                return Ok(false);
            }
            b's' | b'q' | b'c' | b'd' | b'i' | b'o' | b'u' | b'x' | b'X' | b'e' | b'E' | b'f'
            | b'g' | b'G' => {
                l.push_function(own, 0);
                l.push_bytes(text);
                l.push_value(arg);
                l.call(2, 1);
                out.extend_from_slice(l.bytes(-1).unwrap_or_default());
                l.pop(1);
                charge(l, ctx, 64)?;
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn add_pieces(l: L, ctx: &Ctx, out: &mut Vec<u8>, text: &[u8]) -> Result<(), Raised> {
    if out.try_reserve(text.len()).is_err() {
        return Err(l.error(format_args!("not enough memory")));
    }
    for piece in text.chunks(PIECE) {
        out.extend_from_slice(piece);
        charge(l, ctx, piece.len() / 8)?;
    }
    Ok(())
}

/// A string as Lua reads it.
fn add_quoted(l: L, ctx: &Ctx, out: &mut Vec<u8>, text: &[u8]) -> Result<(), Raised> {
    out.push(b'"');
    for piece in text.chunks(PIECE) {
        if out.try_reserve(piece.len()).is_err() {
            return Err(l.error(format_args!("not enough memory")));
        }
        for &byte in piece {
            match byte {
                b'"' | b'\\' | b'\n' => out.extend_from_slice(&[b'\\', byte]),
                b'\r' => out.extend_from_slice(b"\\r"),
                0 => out.extend_from_slice(b"\\000"),
                _ => out.push(byte),
            }
        }
        charge(l, ctx, piece.len())?;
    }
    out.push(b'"');
    Ok(())
}
