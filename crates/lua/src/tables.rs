//! What takes long in the library `table`, and what it must know of read-only tables.
//!
//! As in [`crate::strings`]: the functions count what they do. Where Lua's own are as good, because little is to be done, they
//! do the work.

use std::ffi::c_int;

use crate::budget::{ahead, charge};
use crate::ctx::Ctx;
use crate::raw::{ALL_RESULTS, FUNCTION, L, NIL, NUMBER, Ret, STRING, TABLE, native, upvalue};
use crate::readonly::{original, refuse_protected, reveal};

/// Replaces functions of the library on top.
pub(crate) fn fill(l: L) {
    l.set_function("concat", native(concat));
    l.set_function("foreach", native(foreach));
    l.set_function("foreachi", native(foreachi));
    l.set_function("insert", native(insert));
    l.set_function("maxn", native(maxn));
    l.set_function("remove", native(remove));
    l.set_function("sort", native(sort));
}

/// Elements moved or compared, below which Lua's own functions are quick.
const FEW: c_int = 2048;

fn concat(l: L, ctx: &Ctx) -> Ret {
    let separator = if l.kind(2) <= NIL {
        &b""[..]
    } else {
        l.check_bytes(2)
    };
    l.check_kind(1, TABLE);
    let first = if l.kind(3) <= NIL { 1 } else { l.check_int(3) };
    let last = if l.kind(4) <= NIL {
        l.len(1) as c_int
    } else {
        l.check_int(4)
    };
    let out = ctx.scratch();
    out.clear();
    for i in first..=last {
        l.raw_get_int(1, i);
        match l.kind(-1) {
            STRING | NUMBER => {}
            _ => {
                let kind = l.kind_name(-1);
                return Err(l.error_at(format_args!(
                    "invalid value ({kind}) at index {i} in table for 'concat'"
                )));
            }
        }
        let text = l.bytes(-1).unwrap_or_default();
        let wanted = text.len() + separator.len();
        if out.try_reserve(wanted).is_err() {
            return Err(l.error(format_args!("not enough memory")));
        }
        out.extend_from_slice(text);
        if i < last {
            out.extend_from_slice(separator);
        }
        l.pop(1);
        charge(l, ctx, 16 + wanted / 8)?;
    }
    ahead(l, ctx, out.len())?;
    l.push_bytes(out);
    Ok(1)
}

/// The length of the table that argument 1 must be, as Lua's library takes it.
fn length(l: L) -> c_int {
    l.check_kind(1, TABLE);
    l.len(1) as c_int
}

fn insert(l: L, ctx: &Ctx) -> Ret {
    refuse_protected(l, ctx, 1)?;
    if l.top() == 3 {
        let end = length(l).wrapping_add(1);
        let position = l.check_int(2);
        if i64::from(end) - i64::from(position) > i64::from(FEW) {
            for i in (position + 1..=end).rev() {
                l.raw_get_int(1, i - 1);
                l.raw_set_int(1, i);
                charge(l, ctx, 8)?;
            }
            l.raw_set_int(1, position);
            return Ok(0);
        }
    }
    original(l, ctx, |o| o.insert)
}

fn remove(l: L, ctx: &Ctx) -> Ret {
    let end = length(l);
    if l.kind(2) > NIL {
        let position = l.check_int(2);
        if position >= 1 && i64::from(end) - i64::from(position) > i64::from(FEW) {
            l.raw_get_int(1, position);
            for i in position..end {
                l.raw_get_int(1, i + 1);
                l.raw_set_int(1, i);
                charge(l, ctx, 8)?;
            }
            l.push_nil();
            l.raw_set_int(1, end);
            return Ok(1);
        }
    }
    original(l, ctx, |o| o.remove)
}

fn maxn(l: L, ctx: &Ctx) -> Ret {
    l.check_kind(1, TABLE);
    let mut largest = 0.0f64;
    l.push_nil();
    while l.next(1) {
        l.pop(1);
        if l.kind(-1) == NUMBER {
            largest = largest.max(l.number(-1));
        }
        charge(l, ctx, 8)?;
    }
    l.push_number(largest);
    Ok(1)
}

/// Puts a function that counts its calls in place of the C function at `index`; those of Lua are counted by their
/// instructions.
fn count_calls(l: L, index: c_int) {
    if l.c_function(index).is_some() {
        l.push_value(index);
        l.push_function(native(counted), 1);
        l.replace(index);
    }
}

fn counted(l: L, ctx: &Ctx) -> Ret {
    charge(l, ctx, 64)?;
    l.push_value(upvalue(1));
    l.insert(1);
    l.call(l.top() - 1, ALL_RESULTS);
    Ok(l.top())
}

fn foreach(l: L, ctx: &Ctx) -> Ret {
    reveal(l, ctx, 1);
    count_calls(l, 2);
    original(l, ctx, |o| o.foreach)
}

fn foreachi(l: L, ctx: &Ctx) -> Ret {
    count_calls(l, 2);
    original(l, ctx, |o| o.foreachi)
}

fn sort(l: L, ctx: &Ctx) -> Ret {
    if length(l) > FEW {
        if l.kind(2) == FUNCTION {
            count_calls(l, 2);
        } else if l.kind(2) <= NIL {
            l.set_top(1);
            l.push_function(native(less), 0);
        }
    }
    original(l, ctx, |o| o.sort)
}

/// The order that `sort` uses by itself.
fn less(l: L, ctx: &Ctx) -> Ret {
    let bytes = match l.kind(1) {
        STRING => l.len(1),
        _ => 0,
    };
    charge(l, ctx, 32 + bytes / 8)?;
    l.push_bool(l.is_less(1, 2));
    Ok(1)
}
