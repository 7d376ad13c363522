//! Read-only tables: empty ones whose metatable looks up reads in the hidden table and refuses writes (see `sandbox`); and Lua's own
//! library functions, for ours that know these tables.

use std::ffi::c_int;

use crate::ctx::{Ctx, Originals};
use crate::raw::{CFunction, L, Raised, Ret, TABLE, native};

/// Replaces the table on top by a read-only one of the same contents.
pub(crate) fn protect(l: L, ctx: &Ctx) {
    l.new_table(0, 0);
    l.new_table(0, 3);
    l.push_value(-3);
    l.set_raw_field(-2, "__index");
    l.push_function(native(readonly), 0);
    l.set_raw_field(-2, "__newindex");
    ctx.protected.borrow_mut().push(l.pointer(-1));
    l.set_metatable(-2);
    l.remove(-2);
}

/// Whether the value at `index` is a read-only table.
pub(crate) fn is_protected(l: L, ctx: &Ctx, index: c_int) -> bool {
    if l.kind(index) != TABLE || !l.metatable(index) {
        return false;
    }
    let found = ctx.protected.borrow().contains(&l.pointer(-1));
    l.pop(1);
    found
}

/// If the table at stack index `index` (positive) is read-only, the hidden table takes its place.
pub(crate) fn reveal(l: L, ctx: &Ctx, index: c_int) {
    if is_protected(l, ctx, index) && l.metatable(index) {
        l.raw_field(-1, "__index");
        l.replace(index);
        l.pop(1);
    }
}

const READONLY: &str = "Attempt to modify a readonly table";

fn readonly(l: L, _: &Ctx) -> Ret {
    Err(l.error_at(format_args!("{READONLY}")))
}

/// For functions that write without metamethods: real servers give no place there.
pub(crate) fn refuse_protected(l: L, ctx: &Ctx, index: c_int) -> Result<(), Raised> {
    if is_protected(l, ctx, index) {
        return Err(l.error(format_args!("{READONLY}")));
    }
    Ok(())
}

/// The library function that ours stands in front of.
pub(crate) fn original(l: L, ctx: &Ctx, choose: impl Fn(&Originals) -> CFunction) -> Ret {
    match ctx.originals.get() {
        Some(originals) => l.forward(choose(&originals)),
        None => Err(l.error(format_args!("not available yet"))),
    }
}
