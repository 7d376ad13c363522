//! One run: from the loaded function to the reply.

use std::ffi::c_int;

use resp::Out;

use crate::budget::KILLED;
use crate::ctx::{Ctx, Mode, Stop};
use crate::raw::{
    L, LUA_GCCOLLECT, LUA_GCRESTART, LUA_GCSTEP, LUA_GCSTOP, NUMBER, Ret, STRING, TABLE, upvalue,
};
use crate::readonly::is_protected;
use crate::reply::{until_nul, write_result};
use crate::upvalues;

/// What [`runner`] is to run; it finds a pointer to this on its stack.
pub(crate) struct Run<'a> {
    /// The registry's reference of the function.
    pub function: c_int,
    /// What errors call it: the script's digest or the function's name.
    pub name: &'a [u8],
    pub keys: &'a [&'a [u8]],
    pub args: &'a [&'a [u8]],
    pub out: &'a mut Out,
    pub ended: Option<Ended>,
}

/// How a run that wrote a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a value, which may be an error that the script returned.
    Reply,
    /// With an error that the script raised.
    Error {
        /// Whether it came from a command whose error the server has counted already.
        counted: bool,
    },
}

/// Every so many runs the collector does a step.
const GC_PERIOD: c_int = 50;

/// A run that leaves so many bytes, and twice as many as there were after the last time, has all its garbage collected at once: to wait for
/// the next runs would cost a server that is short of memory keys.
const GARBAGE: usize = 1 << 20;

/// The C function that runs scripts and functions; its argument is a pointer to a [`Run`].
pub(crate) fn runner(l: L, ctx: &Ctx) -> Ret {
    // SAFETY: `State::run` passes a pointer to its own Run and does nothing with it until this has returned or raised.
    let run = unsafe { &mut *l.light(1).cast::<Run>() };
    l.push_value(upvalue(upvalues::HANDLER));
    l.push_ref(run.function);
    if ctx.mode.get() == Mode::Script {
        l.push_value(upvalue(upvalues::KEYS));
        push_strings(l, run.keys);
        l.raw_set(upvalue(upvalues::GLOBALS));
        l.push_value(upvalue(upvalues::ARGV));
        push_strings(l, run.args);
        l.raw_set(upvalue(upvalues::GLOBALS));
    } else {
        push_strings(l, run.keys);
        push_strings(l, run.args);
    }
    let status = l.pcall(l.top() - 3, 1, 2);
    l.remove(2);
    let mark = run.out.mark();
    // A reply that takes long is a part of the run: it may be stopped meanwhile.
    if ctx.stop.get().is_none() && status == 0 && write_result(l, run.out).is_ok() {
        run.ended = Some(Ended::Reply);
    } else {
        run.out.rollback(mark);
        match ctx.stop.get() {
            Some(Stop::Abort | Stop::Panic) => return Ok(0),
            Some(Stop::Kill) => say_killed(l),
            _ => {}
        }
        let counted = describe(l, ctx, run.name, run.out);
        run.ended = Some(Ended::Error { counted });
    }
    let runs = ctx.since_gc.get() + 1;
    ctx.since_gc.set(runs % GC_PERIOD);
    if ctx.used.get() >= GARBAGE.max(ctx.kept.get().saturating_mul(2)) {
        l.set_top(0);
        if ctx.mode.get() == Mode::Script {
            for name in [upvalues::KEYS, upvalues::ARGV] {
                l.push_value(upvalue(name));
                l.push_nil();
                l.raw_set(upvalue(upvalues::GLOBALS));
            }
        }
        l.gc(LUA_GCCOLLECT, 0);
        ctx.kept.set(ctx.used.get());
    } else if runs == GC_PERIOD {
        l.set_top(0);
        l.gc(LUA_GCSTEP, GC_PERIOD);
    }
    Ok(0)
}

/// Makes the error on top say that the run was killed, whatever error handlers of the script have made of it.
fn say_killed(l: L) {
    l.ensure(4);
    if l.kind(-1) != TABLE || is_protected(l, l.ctx(), -1) {
        l.pop(1);
        l.new_table(0, 1);
    }
    l.push_bytes(KILLED);
    l.set_raw_field(-2, "err");
}

/// So many strings are pushed without the collector looking in between: all of them stay, and it would go over them again and again.
const MANY_STRINGS: usize = 4096;

fn push_strings(l: L, strings: &[&[u8]]) {
    l.new_table(strings.len(), 0);
    let many = strings.len() >= MANY_STRINGS;
    if many {
        l.gc(LUA_GCSTOP, 0);
    }
    for (i, string) in (1..).zip(strings) {
        l.push_bytes(string);
        l.raw_set_int(-2, i);
    }
    if many {
        l.gc(LUA_GCRESTART, 0);
    }
}

/// Writes the error on top of the stack as a reply; true if the server has counted it.
fn describe(l: L, ctx: &Ctx, name: &[u8], out: &mut Out) -> bool {
    l.ensure(4);
    let line = ctx.scratch();
    line.clear();
    let error = l.top();
    if l.kind(error) != TABLE {
        // Out of memory, or an error in the error handler.
        line.extend_from_slice(b"ERR Error running script ");
        line.extend_from_slice(name);
        line.extend_from_slice(b", ");
        let message = l.bytes(error).unwrap_or(b"execution failure");
        line.extend_from_slice(&message[..message.len().min(100)]);
        out.error_bytes(line);
        return false;
    }
    message_of(l, error, line);
    l.raw_field(error, "source");
    l.raw_field(error, "line");
    if let (Some(source), Some(number)) = (l.bytes(-2), l.bytes(-1)) {
        line.extend_from_slice(b" script: ");
        line.extend_from_slice(name);
        line.extend_from_slice(b", on ");
        line.extend_from_slice(until_nul(source));
        line.push(b':');
        line.extend_from_slice(until_nul(number));
        line.push(b'.');
    }
    out.error_bytes(line);
    l.raw_field(error, "ignore_error_stats_update");
    l.truth(-1)
}

/// Appends the message of the error table at `index` to `line`.
pub(crate) fn message_of(l: L, index: c_int, line: &mut Vec<u8>) {
    l.raw_field(index, "err");
    match l.kind(-1) {
        STRING | NUMBER => line.extend_from_slice(until_nul(l.bytes(-1).unwrap_or_default())),
        _ => line.extend_from_slice(b"ERR unknown error"),
    }
    l.pop(1);
}

/// The error handler: turns any error value into a table with `err`, `source` and `line`.
pub(crate) fn error_handler(l: L, ctx: &Ctx) -> Ret {
    l.ensure(6);
    l.set_top(1);
    if l.kind(1) != TABLE || is_protected(l, ctx, 1) {
        l.new_table(0, 3);
        match l.kind(1) {
            STRING | NUMBER => {
                l.push_bytes(b"ERR ");
                l.push_value(1);
                l.concat(2);
            }
            crate::raw::BOOLEAN => l.push_fmt(format_args!("ERR {}", l.truth(1))),
            crate::raw::NIL => l.push_bytes(b"ERR nil"),
            // As C writes the null pointer, which is what cjson.null is.
            _ if l.pointer(1).is_null() => {
                l.push_fmt(format_args!("ERR {}: (nil)", l.kind_name(1)));
            }
            _ => l.push_fmt(format_args!("ERR {}: {:p}", l.kind_name(1), l.pointer(1))),
        }
        l.set_raw_field(-2, "err");
        l.replace(1);
    }
    // Level 0 is this handler. An error raised by a C function is blamed on its caller.
    let place = match l.place(1) {
        Some(place) if place.native => l.place(2),
        place => place,
    };
    if let Some(place) = place {
        l.push_bytes(place.source);
        l.set_raw_field(1, "source");
        l.push_number(f64::from(place.line));
        l.set_raw_field(1, "line");
    }
    l.set_top(1);
    Ok(1)
}
