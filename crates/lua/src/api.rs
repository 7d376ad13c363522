//! The table `redis`, which scripts also know as `server`.
//!
//! `redis.call` and `redis.pcall` are the hot path: arguments are borrowed from Lua's strings, gathered on the stack, and
//! the reply goes through one buffer of the state's. Texts of errors are those of Redis 8.2.

use std::ffi::c_int;

use resp::{Proto, format_f64};
use smallvec::SmallVec;

use crate::budget::charge;
use crate::ctx::{Ctx, Stop};
use crate::functions;
use crate::raw::{L, NUMBER, Raised, Ret, STRING, native};
use crate::server::LogLevel;
use crate::value::{push_error_table, push_reply};

/// The version of Redis whose scripting interface this is.
pub(crate) const REDIS_VERSION: &str = "8.2.3";
const REDIS_VERSION_NUM: u32 = 0x0008_0203;

/// `redis.REPL_*`
const REPL_AOF: i32 = 1;
const REPL_REPLICA: i32 = 2;

/// Fills the table on top for running scripts; functions lack what only EVAL has.
pub(crate) fn fill(l: L, scripts: bool) {
    common(l);
    for (name, function) in [
        ("call", native(call)),
        ("pcall", native(pcall)),
        ("error_reply", native(error_reply)),
        ("status_reply", native(status_reply)),
        ("sha1hex", native(sha1hex)),
        ("setresp", native(set_resp)),
        ("set_repl", native(set_repl)),
        ("acl_check_cmd", native(acl_check_cmd)),
    ] {
        l.set_function(name, function);
    }
    for (name, value) in [
        ("REPL_NONE", 0),
        ("REPL_AOF", REPL_AOF),
        ("REPL_SLAVE", REPL_REPLICA),
        ("REPL_REPLICA", REPL_REPLICA),
        ("REPL_ALL", REPL_AOF | REPL_REPLICA),
    ] {
        set_number(l, name, f64::from(value));
    }
    if scripts {
        l.set_function("replicate_commands", native(replicate_commands));
        l.set_function("breakpoint", native(breakpoint));
        l.set_function("debug", native(debug));
    }
}

/// Fills the table on top for the loading of a library.
pub(crate) fn fill_load(l: L) {
    common(l);
    l.set_function("register_function", native(functions::register));
}

fn common(l: L) {
    l.set_function("log", native(log));
    for (name, value) in [
        ("LOG_DEBUG", LogLevel::Debug),
        ("LOG_VERBOSE", LogLevel::Verbose),
        ("LOG_NOTICE", LogLevel::Notice),
        ("LOG_WARNING", LogLevel::Warning),
    ] {
        set_number(l, name, f64::from(value as u8));
    }
    for (name, value) in [("REDIS_VERSION", REDIS_VERSION), ("SERVER_NAME", "redis")] {
        l.push_bytes(value.as_bytes());
        l.set_raw_field(-2, name);
    }
    set_number(l, "REDIS_VERSION_NUM", f64::from(REDIS_VERSION_NUM));
}

fn set_number(l: L, name: &str, value: f64) {
    l.push_number(value);
    l.set_raw_field(-2, name);
}

fn call(l: L, ctx: &Ctx) -> Ret {
    command(l, ctx, true)
}

fn pcall(l: L, ctx: &Ctx) -> Ret {
    command(l, ctx, false)
}

/// Leaves an error table on the stack: raised by `call`, returned by `pcall`.
fn fail(l: L, message: &str, raise: bool) -> Ret {
    l.set_top(0);
    l.push_fmt(format_args!("ERR {message}"));
    l.new_table(0, 4);
    l.insert(-2);
    l.set_raw_field(-2, "err");
    if raise { Err(Raised) } else { Ok(1) }
}

const BAD_ARGUMENT: &str = "Lua redis lib command arguments must be strings or integers";
const NO_ARGUMENT: &str = "Please specify at least one argument for this redis lib call";

/// Makes a string of every argument that is a number; false if one is neither.
///
/// Integers are written in full, other numbers in the fewest digits that give them back.
fn strings_only(l: L, args: c_int) -> bool {
    for index in 1..=args {
        match l.kind(index) {
            STRING => {}
            NUMBER => {
                let n = l.number(index);
                let text = l.ctx().message();
                text.clear();
                if n == 0.0 {
                    text.push(b'0');
                } else if n.is_nan() {
                    text.extend_from_slice(if n.is_sign_negative() {
                        b"-nan"
                    } else {
                        b"nan"
                    });
                } else {
                    format_f64(n, text);
                }
                l.push_bytes(text);
                l.replace(index);
            }
            _ => return false,
        }
    }
    true
}

/// The arguments, all strings, as slices of Lua's memory.
fn gather<'a>(l: L, args: c_int) -> SmallVec<[&'a [u8]; 16]> {
    (1..=args)
        .map(|index| l.bytes(index).unwrap_or_default())
        .collect()
}

fn command(l: L, ctx: &Ctx, raise: bool) -> Ret {
    if ctx.stop.get().is_some() {
        // An error handler of an unwinding run.
        l.push_nil();
        return Err(Raised);
    }
    let args = l.top();
    if args == 0 {
        return fail(l, NO_ARGUMENT, raise);
    }
    if !strings_only(l, args) {
        return fail(l, BAD_ARGUMENT, raise);
    }
    let reply = ctx.reply();
    reply.clear();
    reply.set_proto(ctx.proto.get());
    let done = match ctx.server() {
        Some(server) => server.call(&gather(l, args), reply),
        None => return fail(l, "redis.call is not available here", raise),
    };
    // Their slots are needed for the reply, of which the arguments may have left none.
    l.set_top(0);
    if done.is_err() {
        ctx.stop.set(Some(Stop::Abort));
        l.push_nil();
        return Err(Raised);
    }
    if reply.as_bytes().is_none() {
        *ctx.flat() = reply.to_vec();
    }
    let bytes = reply.as_bytes().unwrap_or(ctx.flat());
    push_reply(l, ctx, bytes)?;
    if raise && bytes.first() == Some(&b'-') {
        return Err(Raised);
    }
    Ok(1)
}

/// Whether the call has one argument and it is a string; otherwise an error table is pushed, to be returned.
fn one_string(l: L) -> bool {
    let right = l.top() == 1 && l.kind(1) == STRING;
    if !right {
        l.new_table(0, 1);
        l.push_bytes(b"ERR wrong number or type of arguments");
        l.set_raw_field(-2, "err");
    }
    right
}

fn error_reply(l: L, _: &Ctx) -> Ret {
    if one_string(l) {
        let text = l.bytes(1).unwrap_or_default();
        push_error_table(l, text.strip_prefix(b"-").unwrap_or(text));
    }
    Ok(1)
}

fn status_reply(l: L, _: &Ctx) -> Ret {
    if one_string(l) {
        l.new_table(0, 1);
        l.push_value(1);
        l.set_raw_field(-2, "ok");
    }
    Ok(1)
}

fn sha1hex(l: L, ctx: &Ctx) -> Ret {
    /// Bytes between two looks at whether to go on, of which each takes about two nanoseconds.
    const PIECE: usize = 128 << 10;
    if l.top() != 1 {
        return fail(l, "wrong number of arguments", true);
    }
    let mut sha = sha1_smol::Sha1::new();
    for piece in l.bytes(1).unwrap_or_default().chunks(PIECE) {
        sha.update(piece);
        charge(l, ctx, 2 * piece.len())?;
    }
    l.push_bytes(&crate::sha::hex_of(sha));
    Ok(1)
}

fn log(l: L, ctx: &Ctx) -> Ret {
    let args = l.top();
    if args < 2 {
        return fail(l, "redis.log() requires two arguments or more.", true);
    }
    if !l.is_number(1) {
        return fail(l, "First argument must be a number (log level).", true);
    }
    let level = match l.number(1) as i32 {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => return fail(l, "Invalid log level.", true),
    };
    let line = ctx.scratch();
    line.clear();
    for index in 2..=args {
        // What is neither string nor number is left out.
        if let Some(text) = l.bytes(index) {
            if index > 2 {
                line.push(b' ');
            }
            line.extend_from_slice(text);
        }
    }
    if let Some(server) = ctx.server() {
        server.log(level, line);
    }
    Ok(0)
}

fn set_resp(l: L, ctx: &Ctx) -> Ret {
    if l.top() != 1 {
        return fail(l, "redis.setresp() requires one argument.", true);
    }
    match l.number(1) as i64 {
        2 => ctx.proto.set(Proto::Resp2),
        3 => ctx.proto.set(Proto::Resp3),
        _ => return fail(l, "RESP version must be 2 or 3.", true),
    }
    Ok(0)
}

fn set_repl(l: L, ctx: &Ctx) -> Ret {
    if l.top() != 1 {
        return fail(l, "redis.set_repl() requires one argument.", true);
    }
    let flags = l.number(1) as i32;
    if flags & !(REPL_AOF | REPL_REPLICA) != 0 {
        return fail(
            l,
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
            true,
        );
    }
    if let Some(server) = ctx.server() {
        server.set_repl(flags & REPL_AOF != 0, flags & REPL_REPLICA != 0);
    }
    Ok(0)
}

/// Effects are what is replicated, always: this was the switch to them.
fn replicate_commands(l: L, _: &Ctx) -> Ret {
    l.push_bool(true);
    Ok(1)
}

/// False: no debugger is attached.
fn breakpoint(l: L, _: &Ctx) -> Ret {
    l.push_bool(false);
    Ok(1)
}

/// Prints to the debugger; there is none.
fn debug(_: L, _: &Ctx) -> Ret {
    Ok(0)
}

fn acl_check_cmd(l: L, ctx: &Ctx) -> Ret {
    let args = l.top();
    if args == 0 {
        return fail(l, NO_ARGUMENT, true);
    }
    if !strings_only(l, args) {
        return fail(l, BAD_ARGUMENT, true);
    }
    let allowed = match ctx.server() {
        Some(server) => server.acl_check(&gather(l, args)),
        None => None,
    };
    match allowed {
        Some(allowed) => {
            l.push_bool(allowed);
            Ok(1)
        }
        None => fail(l, "Invalid command passed to redis.acl_check_cmd()", true),
    }
}
