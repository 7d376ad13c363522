//! Libraries of functions: what `redis.register_function` takes.

use std::ffi::c_int;

use crate::ctx::Ctx;
use crate::raw::{BOOLEAN, FUNCTION, L, NUMBER, Raised, Ret, STRING, TABLE};
use crate::shebang::{Flags, is_name};
use crate::spec::{FunctionSpec, Registration};

fn fail(l: L, message: &str) -> Raised {
    l.push_fmt(format_args!("ERR {message}"));
    l.new_table(0, 3);
    l.insert(-2);
    l.set_raw_field(-2, "err");
    Raised
}

/// `redis.register_function(name, callback)` or `redis.register_function{function_name=, callback=, flags=, description=}`.
pub(crate) fn register(l: L, ctx: &Ctx) -> Ret {
    if ctx.load_started.get().is_none() {
        return Err(fail(
            l,
            "redis.register_function can only be called on FUNCTION LOAD command",
        ));
    }
    let flags = match l.top() {
        1 => named(l)?,
        2 => {
            if !matches!(l.kind(1), STRING | NUMBER) {
                return Err(fail(
                    l,
                    "first argument to redis.register_function must be a string",
                ));
            }
            if l.kind(2) != FUNCTION {
                return Err(fail(
                    l,
                    "second argument to redis.register_function must be a function",
                ));
            }
            l.push_nil();
            Flags::default()
        }
        _ => {
            return Err(fail(
                l,
                "wrong number of arguments to redis.register_function",
            ));
        }
    };
    // The name, the callback and the description are at 1, 2 and 3. Strings of real servers end at a NUL, names cannot
    // have one.
    let name = l.bytes(1).unwrap_or_default();
    if !is_name(name) {
        return Err(fail(
            l,
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    if ctx
        .registered
        .borrow()
        .iter()
        .any(|known| known.spec.name == name)
    {
        return Err(fail(l, "Function already exists in the library"));
    }
    let description = l.bytes(3);
    l.push_value(2);
    let function = l.make_ref();
    let spec = FunctionSpec {
        name: name.to_vec(),
        description: description.map(<[u8]>::to_vec),
        flags,
    };
    ctx.registered
        .borrow_mut()
        .push(Registration { spec, function });
    Ok(0)
}

/// Reads the table of named arguments at 1 and leaves the name, the callback and the description at 1, 2 and 3.
fn named(l: L) -> Result<Flags, Raised> {
    if l.kind(1) != TABLE {
        return Err(fail(
            l,
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ));
    }
    const NAME: c_int = 2;
    const CALLBACK: c_int = 3;
    const DESCRIPTION: c_int = 4;
    l.ensure(12);
    for _ in NAME..=DESCRIPTION {
        l.push_nil();
    }
    let mut flags = Flags::default();
    l.push_nil();
    while l.next(1) {
        // A numeric key must stay one for `next`.
        match l.string(-2).unwrap_or_default() {
            b"function_name" => {
                if !matches!(l.kind(-1), STRING | NUMBER) {
                    return Err(fail(
                        l,
                        "function_name argument given to redis.register_function must be a string",
                    ));
                }
                l.replace(NAME);
            }
            b"description" => {
                if !matches!(l.kind(-1), STRING | NUMBER) {
                    return Err(fail(
                        l,
                        "description argument given to redis.register_function must be a string",
                    ));
                }
                l.replace(DESCRIPTION);
            }
            b"callback" => {
                if l.kind(-1) != FUNCTION {
                    return Err(fail(
                        l,
                        "callback argument given to redis.register_function must be a function",
                    ));
                }
                l.replace(CALLBACK);
            }
            b"flags" => {
                if l.kind(-1) != TABLE {
                    return Err(fail(
                        l,
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                }
                flags = read_flags(l)?;
                l.pop(1);
            }
            _ => return Err(fail(l, "unknown argument given to redis.register_function")),
        }
    }
    if l.kind(NAME) <= BOOLEAN {
        return Err(fail(
            l,
            "redis.register_function must get a function name argument",
        ));
    }
    if l.kind(CALLBACK) != FUNCTION {
        return Err(fail(
            l,
            "redis.register_function must get a callback argument",
        ));
    }
    l.remove(1);
    Ok(flags)
}

/// The flags in the table on top.
fn read_flags(l: L) -> Result<Flags, Raised> {
    let mut flags = Flags::default();
    for i in 1.. {
        l.raw_get_int(-1, i);
        match l.kind(-1) {
            crate::raw::NIL => break,
            STRING => match Flags::named(l.bytes(-1).unwrap_or_default()) {
                Some(flag) => flags |= flag,
                None => return Err(fail(l, "unknown flag given")),
            },
            _ => return Err(fail(l, "unknown flag given")),
        }
        l.pop(1);
    }
    l.pop(1);
    Ok(flags)
}
