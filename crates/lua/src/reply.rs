//! The value a script returns, written as a reply.
//!
//! | Lua | RESP2 | RESP3 |
//! |---|---|---|
//! | string | bulk string | bulk string |
//! | number | integer, truncated | integer, truncated |
//! | true / false | 1 / null | 1 / null |
//! | the same after `redis.setresp(3)` | 1 / 0 | boolean |
//! | nil, function and whatever else | null | null |
//! | table with a string `err` | error | error |
//! | table with a string `ok` | simple string | simple string |
//! | table with a number `double` | bulk string | double |
//! | table with a table `map` | flat array | map |
//! | table with a table `set` (its keys) | array | set |
//! | table with a string `big_number` | bulk string | big number |
//! | table with a table `verbatim_string` of two strings `string` and `format` | bulk string | verbatim string |
//! | any other table | array of its elements 1, 2, ... up to the first nil | the same |
//!
//! The fields are looked for in the order err, ok, double, big number, verbatim string, map, set, without metamethods.
//! The conversion walks nested tables with a stack of its own, so that only Lua's limit on stack slots bounds the depth;
//! a table beyond it is answered with an error in its place, and the reply stays well framed.

use resp::{Out, Proto};

use crate::budget::charge;
use crate::ctx::{Frame, Kind};
use crate::raw::{BOOLEAN, L, NIL, NUMBER, Raised, STRING, TABLE, upvalue};
use crate::upvalues;

/// Slots that one level may take: what a real server asks for, so that the limit is met at the same depth. The most are
/// taken by maps: the inner table, a key, its value and a copy of the key.
const SLOTS_PER_LEVEL: i32 = 4;

/// Writes the value on top of the stack as one reply and pops it.
///
/// Must be called by the function whose upvalues are `upvalues`'. Fails if the run is stopped meanwhile.
pub(crate) fn write_result(l: L, out: &mut Out) -> Result<(), Raised> {
    if l.kind(-1) != TABLE {
        write_scalar(l, out);
        return Ok(());
    }
    let frames = l.ctx().frames();
    frames.clear();
    begin(l, out, frames);
    while let Some(frame) = frames.last_mut() {
        charge(l, l.ctx(), 32)?;
        match frame.kind {
            Kind::Array => {
                let next = i32::try_from(frame.count + 1).unwrap_or(i32::MAX);
                l.raw_get_int(-1, next);
                if l.kind(-1) == NIL {
                    out.end_array(frame.mark, frame.count);
                    l.pop(2);
                    frames.pop();
                    continue;
                }
                frame.count += 1;
            }
            Kind::MapKey => {
                if !l.next(-2) {
                    out.end_map(frame.mark, frame.count);
                    l.pop(2);
                    frames.pop();
                    continue;
                }
                frame.count += 1;
                frame.kind = Kind::MapValue;
                // The value stays below until the copy of the key is written.
                l.push_value(-2);
            }
            Kind::MapValue => {
                // On top is the pair's value, left there by the step before.
                frame.kind = Kind::MapKey;
            }
            Kind::Set => {
                if !l.next(-2) {
                    out.end_set(frame.mark, frame.count);
                    l.pop(2);
                    frames.pop();
                    continue;
                }
                frame.count += 1;
                // A set's elements are the keys; the values mean nothing.
                l.pop(1);
                l.push_value(-1);
            }
        }
        begin(l, out, frames);
    }
    Ok(())
}

/// Writes the value on top and pops it, or starts writing it if it has elements.
fn begin(l: L, out: &mut Out, frames: &mut Vec<Frame>) {
    // Real servers ask for room before they look what it is.
    if !l.ensure(SLOTS_PER_LEVEL) {
        out.error("ERR reached lua stack limit");
        return l.pop(1);
    }
    if l.kind(-1) != TABLE {
        return write_scalar(l, out);
    }
    if field(l, upvalues::ERR) == STRING {
        let text = until_nul(l.bytes(-1).unwrap_or_default());
        out.error_bytes(text);
        l.raw_field(-2, "ignore_error_stats_update");
        if let Some(server) = l.ctx().server() {
            server.replied_error(text, l.truth(-1));
        }
        return l.pop(3);
    }
    l.pop(1);
    if field(l, upvalues::OK) == STRING {
        write_simple(l.bytes(-1).unwrap_or_default(), out);
        return l.pop(2);
    }
    l.pop(1);
    if field(l, upvalues::DOUBLE) == NUMBER {
        out.double(l.number(-1));
        return l.pop(2);
    }
    l.pop(1);
    if field(l, upvalues::BIG_NUMBER) == STRING {
        write_big_number(l.bytes(-1).unwrap_or_default(), out);
        return l.pop(2);
    }
    l.pop(1);
    if field(l, upvalues::VERBATIM_STRING) == TABLE {
        l.push_value(upvalue(upvalues::FORMAT));
        l.raw_get(-2);
        l.push_value(upvalue(upvalues::STRING));
        l.raw_get(-3);
        if let (Some(format), Some(text)) = (l.string(-2), l.string(-1)) {
            out.verbatim(std::str::from_utf8(format).unwrap_or("txt"), text);
            return l.pop(4);
        }
        l.pop(2);
    }
    l.pop(1);
    if field(l, upvalues::MAP) == TABLE {
        l.push_nil();
        let mark = out.begin_array();
        return frames.push(Frame {
            kind: Kind::MapKey,
            mark,
            count: 0,
        });
    }
    l.pop(1);
    if field(l, upvalues::SET) == TABLE {
        l.push_nil();
        let mark = out.begin_array();
        return frames.push(Frame {
            kind: Kind::Set,
            mark,
            count: 0,
        });
    }
    l.pop(1);
    let mark = out.begin_array();
    frames.push(Frame {
        kind: Kind::Array,
        mark,
        count: 0,
    });
}

/// Pushes the field whose name is upvalue `name` of the table on top, and returns its type.
fn field(l: L, name: i32) -> i32 {
    l.push_value(upvalue(name));
    l.raw_get(-2);
    l.kind(-1)
}

/// Writes the value on top, which is not a table, and pops it.
fn write_scalar(l: L, out: &mut Out) {
    match l.kind(-1) {
        STRING => out.bulk(l.bytes(-1).unwrap_or_default()),
        NUMBER => out.int(truncated(l.number(-1))),
        // It is the protocol between the script and the server that decides, not that of the client.
        BOOLEAN => match (l.ctx().proto.get(), l.truth(-1)) {
            (Proto::Resp3, value) => out.bool(value),
            (Proto::Resp2, true) => out.int(1),
            (Proto::Resp2, false) => out.null(),
        },
        _ => out.null(),
    }
    l.pop(1);
}

/// A number as an integer. Those without one, NaN and infinity included, become the smallest, as on x86.
fn truncated(n: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

/// A simple string of any bytes, line breaks becoming spaces.
fn write_simple(text: &[u8], out: &mut Out) {
    let text = until_nul(text);
    match std::str::from_utf8(text) {
        Ok(text) => out.simple(text),
        Err(_) => write_line(b"+", text, out),
    }
}

/// Line breaks become spaces in RESP2 too, where nothing forbids them.
fn write_big_number(text: &[u8], out: &mut Out) {
    match (std::str::from_utf8(text), out.proto()) {
        (Ok(digits), Proto::Resp3) => out.big_number(digits),
        (Err(_), Proto::Resp3) => write_line(b"(", text, out),
        (_, Proto::Resp2) => {
            out.raw(format!("${}\r\n", text.len()).as_bytes());
            write_line(b"", text, out);
        }
    }
}

/// Writes a line of any bytes, line breaks becoming spaces.
fn write_line(tag: &[u8], text: &[u8], out: &mut Out) {
    out.raw(tag);
    for (i, line) in text.split(|b| matches!(b, b'\r' | b'\n')).enumerate() {
        if i > 0 {
            out.raw(b" ");
        }
        out.raw(line);
    }
    out.raw(b"\r\n");
}

/// The text up to the first NUL, where real servers take it to end.
pub(crate) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&b| b == 0).next().unwrap_or_default()
}
