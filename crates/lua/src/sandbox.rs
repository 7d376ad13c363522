//! The globals of scripts and functions, and what keeps a run from changing what the next one finds.
//!
//! Real servers run a Lua of their own in which tables can be marked read-only. PUC Lua cannot, so a read-only table is
//! an empty table whose metatable looks up reads in the hidden one and refuses writes. The few library functions that go
//! past metatables (rawset, next, table.insert, ...) are replaced by ones that know these tables, so that a script
//! cannot tell the difference: the texts and places of errors are the same. [`Ctx::protected`] has their metatables.
//!
//! Other replacements: `pcall` gives the message of an error table, and nothing that catches errors stops an unwinding run, or
//! lets anything of the script run while it is unwound; `load` and `loadstring` take no bytecode; `unpack` checks its range;
//! what can take long in `string` and `table` is in [`crate::strings`] and [`crate::tables`]; `math.random` is in
//! [`crate::random`].

use std::ffi::c_int;

use crate::budget::{ahead, charge};
use crate::ctx::{BUDGET, Ctx, Mode, Originals};
use crate::random::{LARGEST, Lrand48};
use crate::raw::{
    ALL_RESULTS, CFunction, FUNCTION, GLOBALS, L, NIL, NONE, NUMBER, Raised, Ret, STRING, TABLE,
    luaopen_base, luaopen_math, luaopen_os, luaopen_string, luaopen_table, native, upvalue,
};
use crate::readonly::{is_protected, original, protect, refuse_protected, reveal};
use crate::{api, bit, cjson, cmsgpack, run, strings, structs, tables, upvalues};

/// Functions of Lua that scripts get as they are.
const PLAIN: &[&str] = &[
    "assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring", "type",
    "_VERSION",
];

/// What [`build`] leaves in the registry.
#[derive(Clone, Copy, Default)]
pub(crate) struct Built {
    /// `run::runner`, with its upvalues.
    pub runner: c_int,
    /// The metatable of the table of globals, whose `__index` decides what is global.
    pub globals_meta: c_int,
    /// What is global while scripts and functions run, and while a library is loaded.
    pub runtime: c_int,
    pub load: c_int,
}

/// Fills a new state. Runs protected; everything the state needs later is referred to by `built`.
pub(crate) fn build(l: L, ctx: &Ctx, built: &mut Built) -> Result<(), Raised> {
    l.ensure(40);
    for (open, name) in [
        (luaopen_base as CFunction, ""),
        (luaopen_table, "table"),
        (luaopen_string, "string"),
        (luaopen_math, "math"),
        (luaopen_os, "os"),
    ] {
        l.push_function(open, 0);
        l.push_bytes(name.as_bytes());
        l.call(1, 0);
    }
    ctx.originals.set(Some(originals(l)?));

    // The hidden globals, and the empty table that stands for them.
    l.new_table(0, 64);
    let hidden = l.top();
    for name in PLAIN {
        l.raw_field(GLOBALS, name);
        l.set_raw_field(hidden, name);
    }
    base_functions(l, hidden);
    l.new_table(0, 1);
    l.push_function(native(missing), 0);
    l.set_raw_field(-2, "__index");
    l.set_metatable(hidden);

    library(l, hidden, "string", strings::fill);
    library(l, hidden, "table", tables::fill);
    library(l, hidden, "math", |l| {
        l.set_function("random", native(random));
        l.set_function("randomseed", native(random_seed));
    });
    library(l, hidden, "coroutine", |l| {
        l.set_function("resume", native(resume));
        l.set_function("wrap", native(wrap));
    });
    l.new_table(0, 1);
    l.raw_field(GLOBALS, "os");
    l.raw_field(-1, "clock");
    l.set_raw_field(-3, "clock");
    l.pop(1);
    protect(l, ctx);
    l.set_raw_field(hidden, "os");
    for (name, fill) in [
        ("bit", bit::fill as fn(L)),
        ("struct", structs::fill),
        ("cjson", cjson::fill),
        ("cmsgpack", cmsgpack::fill),
    ] {
        l.new_table(0, 16);
        fill(l);
        protect(l, ctx);
        l.set_raw_field(hidden, name);
    }
    l.new_table(0, 40);
    api::fill(l, ctx.mode.get() == Mode::Script);
    protect(l, ctx);
    l.push_value(-1);
    l.set_raw_field(hidden, "redis");
    l.set_raw_field(hidden, "server");
    if ctx.mode.get() == Mode::Script {
        for name in ["__redis__err__handler", "__server__err__handler"] {
            l.push_function(native(run::error_handler), 0);
            l.set_raw_field(hidden, name);
        }
    }

    // The strings' metatable: methods are found in the library itself; what getmetatable('') shows is read-only.
    l.push_bytes(b"");
    if l.metatable(-1) {
        l.raw_field(GLOBALS, "string");
        l.set_raw_field(-2, "__index");
        l.pop(1);
    }
    l.pop(1);
    l.new_table(0, 1);
    l.raw_field(hidden, "string");
    l.set_raw_field(-2, "__index");
    protect(l, ctx);
    ctx.string_view.set(l.make_ref());

    l.push_value(hidden);
    built.runtime = l.make_ref();
    l.new_table(0, 2);
    api::fill_load(l);
    add_missing(l);
    protect(l, ctx);
    l.new_table(0, 2);
    l.push_value(-2);
    l.set_raw_field(-2, "redis");
    l.push_value(-2);
    l.set_raw_field(-2, "server");
    add_missing(l);
    built.load = l.make_ref();
    l.pop(1);

    // The visible globals.
    l.push_value(hidden);
    protect(l, ctx);
    l.metatable(-1);
    l.new_table(0, 1);
    l.push_function(native(missing), 0);
    l.set_raw_field(-2, "__index");
    protect(l, ctx);
    l.set_raw_field(-2, VIEW);
    built.globals_meta = l.make_ref();
    l.push_value(-1);
    l.set_raw_field(hidden, "_G");
    l.replace(GLOBALS);

    l.push_value(hidden);
    for name in upvalues::NAMES {
        l.push_bytes(name.as_bytes());
    }
    l.push_function(native(run::error_handler), 0);
    l.push_function(native(run::runner), upvalues::HANDLER);
    built.runner = l.make_ref();
    Ok(())
}

/// The field of a read-only table's metatable that says what `getmetatable` answers for it; nil without.
const VIEW: &str = "view";

/// Moves a library from Lua's globals, changed by `change`, to ours.
fn library(l: L, hidden: c_int, name: &str, change: impl Fn(L)) {
    l.raw_field(GLOBALS, name);
    change(l);
    protect(l, l.ctx());
    l.set_raw_field(hidden, name);
}

/// Gives the table on top a metatable that refuses to look up what is not there.
fn add_missing(l: L) {
    l.new_table(0, 1);
    l.push_function(native(missing), 0);
    l.set_raw_field(-2, "__index");
    l.set_metatable(-2);
}

fn originals(l: L) -> Result<Originals, Raised> {
    let find = |library: &str, name: &str| {
        if library.is_empty() {
            l.raw_field(GLOBALS, name);
        } else {
            l.raw_field(GLOBALS, library);
            l.raw_field(-1, name);
            l.remove(-2);
        }
        let function = l.c_function(-1);
        l.pop(1);
        function.ok_or_else(|| l.error(format_args!("no function {name}")))
    };
    Ok(Originals {
        next: find("", "next")?,
        xpcall: find("", "xpcall")?,
        rawget: find("", "rawget")?,
        rawset: find("", "rawset")?,
        getmetatable: find("", "getmetatable")?,
        setmetatable: find("", "setmetatable")?,
        collectgarbage: find("", "collectgarbage")?,
        unpack: find("", "unpack")?,
        insert: find("table", "insert")?,
        remove: find("table", "remove")?,
        sort: find("table", "sort")?,
        foreach: find("table", "foreach")?,
        foreachi: find("table", "foreachi")?,
        resume: find("coroutine", "resume")?,
        wrap: find("coroutine", "wrap")?,
        wrapped: wrapped_function(l)?,
        format: find("string", "format")?,
    })
}

/// What `coroutine.wrap` makes its functions of.
fn wrapped_function(l: L) -> Result<CFunction, Raised> {
    let top = l.top();
    l.raw_field(GLOBALS, "coroutine");
    l.raw_field(-1, "wrap");
    // It takes Lua functions only.
    if !l.load_text(b"", c"=wrapped") {
        return Err(Raised);
    }
    l.call(1, 1);
    let function = l.c_function(-1);
    l.set_top(top);
    function.ok_or_else(|| l.error(format_args!("no wrapped function")))
}

fn base_functions(l: L, hidden: c_int) {
    for (name, function) in [
        ("collectgarbage", native(collect_garbage)),
        ("getmetatable", native(get_metatable)),
        ("load", native(load)),
        ("loadstring", native(load_string)),
        ("next", native(next)),
        ("pcall", native(pcall)),
        ("rawget", native(raw_get)),
        ("rawset", native(raw_set)),
        ("setmetatable", native(set_metatable)),
        ("unpack", native(unpack)),
        ("xpcall", native(xpcall)),
    ] {
        l.push_function(function, 0);
        l.set_raw_field(hidden, name);
    }
    l.raw_field(hidden, "next");
    l.push_function(native(pairs), 1);
    l.set_raw_field(hidden, "pairs");
}

fn missing(l: L, ctx: &Ctx) -> Ret {
    if l.kind(2) != STRING && l.kind(2) != NUMBER {
        return Err(l.error_at(format_args!(
            "Second argument to luaProtectedTableError must be a string or number"
        )));
    }
    let name = ctx.scratch();
    name.clear();
    name.extend_from_slice(crate::reply::until_nul(l.bytes(2).unwrap_or_default()));
    l.error_at(format_args!(
        "Script attempted to access nonexistent global variable '"
    ));
    l.push_bytes(name);
    l.push_bytes(b"'");
    l.concat(3);
    Err(Raised)
}

/// For whoever may just have caught an error: goes on unwinding if the run is to be stopped.
fn unless_stopped(l: L, ctx: &Ctx) -> Result<(), Raised> {
    ctx.running.set(l.0);
    if ctx.stop.get().is_none() {
        return Ok(());
    }
    if l.top() == 0 {
        l.push_nil();
    }
    Err(Raised)
}

fn pcall(l: L, ctx: &Ctx) -> Ret {
    let args = l.top();
    if args == 0 {
        l.push_bool(false);
        return Ok(1);
    }
    l.push_bool(true);
    l.insert(1);
    let status = l.pcall(args - 1, ALL_RESULTS, 0);
    unless_stopped(l, ctx)?;
    if status == 0 {
        return Ok(l.top());
    }
    l.remove(1);
    if l.kind(-1) == TABLE {
        l.raw_field(-1, "err");
        if l.kind(-1) == STRING || l.kind(-1) == NUMBER {
            l.replace(-2);
        } else {
            l.pop(1);
        }
    }
    l.push_bool(false);
    l.insert(-2);
    Ok(2)
}

/// Calls the handler through [`on_error`], which knows better than to do so while the run is unwound.
fn xpcall(l: L, ctx: &Ctx) -> Ret {
    if l.kind(2) != FUNCTION {
        // Whatever this gives, no code of the script's is called.
        let results = original(l, ctx, |o| o.xpcall)?;
        unless_stopped(l, ctx)?;
        return Ok(results);
    }
    l.set_top(2);
    l.push_function(native(on_error), 1);
    l.insert(1);
    // Pushed now, since the results may leave no room for it.
    l.push_bool(true);
    l.insert(2);
    let status = l.pcall(0, ALL_RESULTS, 1);
    unless_stopped(l, ctx)?;
    if status != 0 {
        l.push_bool(false);
        l.replace(2);
    }
    l.remove(1);
    Ok(l.top())
}

/// Lua calls this where an error is raised, before anything is unwound: within the hook, if that is where the run is stopped,
/// in which no other hook would ever come.
fn on_error(l: L, ctx: &Ctx) -> Ret {
    l.set_top(1);
    if ctx.stop.get().is_none() {
        l.push_value(upvalue(1));
        l.insert(1);
        l.call(1, 1);
    }
    Ok(1)
}

fn resume(l: L, ctx: &Ctx) -> Ret {
    if let Some(thread) = l.thread(1) {
        ctx.running.set(thread);
    }
    let results = original(l, ctx, |o| o.resume)?;
    unless_stopped(l, ctx)?;
    Ok(results)
}

fn wrap(l: L, ctx: &Ctx) -> Ret {
    original(l, ctx, |o| o.wrap)?;
    if l.upvalue_of(-1, 1) {
        l.push_function(native(wrapped), 1);
    }
    Ok(1)
}

/// A function that `coroutine.wrap` made. Its upvalue is the coroutine, where Lua's own finds it too.
fn wrapped(l: L, ctx: &Ctx) -> Ret {
    if let Some(thread) = l.thread(upvalue(1)) {
        ctx.running.set(thread);
    }
    let results = original(l, ctx, |o| o.wrapped)?;
    unless_stopped(l, ctx)?;
    Ok(results)
}

/// Every so many elements the clock is read: what lies between two is not known, a table may be large and nearly empty.
const NEXT_UNITS: usize = BUDGET / 16;

fn next(l: L, ctx: &Ctx) -> Ret {
    reveal(l, ctx, 1);
    charge(l, ctx, NEXT_UNITS)?;
    original(l, ctx, |o| o.next)
}

fn pairs(l: L, _: &Ctx) -> Ret {
    l.check_kind(1, TABLE);
    l.push_value(upvalue(1));
    l.push_value(1);
    l.push_nil();
    Ok(3)
}

fn raw_get(l: L, ctx: &Ctx) -> Ret {
    reveal(l, ctx, 1);
    original(l, ctx, |o| o.rawget)
}

fn raw_set(l: L, ctx: &Ctx) -> Ret {
    refuse_protected(l, ctx, 1)?;
    original(l, ctx, |o| o.rawset)
}

fn get_metatable(l: L, ctx: &Ctx) -> Ret {
    if l.kind(1) == STRING {
        l.push_ref(ctx.string_view.get());
        return Ok(1);
    }
    if is_protected(l, ctx, 1) && l.metatable(1) {
        l.raw_field(-1, VIEW);
        return Ok(1);
    }
    original(l, ctx, |o| o.getmetatable)
}

fn set_metatable(l: L, ctx: &Ctx) -> Ret {
    refuse_protected(l, ctx, 1)?;
    original(l, ctx, |o| o.setmetatable)
}

fn collect_garbage(l: L, ctx: &Ctx) -> Ret {
    // Whether the collector runs, and how eagerly, must not outlive the run.
    if !matches!(l.string(1), None | Some(b"count" | b"collect" | b"step")) {
        ctx.gc_touched.set(true);
    }
    if !matches!(l.string(1), Some(b"count")) {
        ahead(l, ctx, ctx.used.get() / 4)?;
    }
    original(l, ctx, |o| o.collectgarbage)
}

/// Longest source text compiled, far below where the lexer's counters could overflow.
const MAX_SOURCE: usize = 1 << 30;

fn load(l: L, ctx: &Ctx) -> Ret {
    let name = if l.kind(2) <= NIL {
        b"=(load)"
    } else {
        l.check_bytes(2)
    };
    l.check_kind(1, FUNCTION);
    l.set_top(2);
    let loaded = l.load_pieces(name);
    unless_stopped(l, ctx)?;
    loaded_or_nil(l, loaded)
}

fn load_string(l: L, ctx: &Ctx) -> Ret {
    let text = l.check_bytes(1);
    if l.kind(2) > NIL {
        l.check_bytes(2);
    } else {
        l.set_top(1);
        l.push_value(1);
    }
    if text.len() > MAX_SOURCE {
        l.push_nil();
        l.push_bytes(b"chunk too long");
        return Ok(2);
    }
    let loaded = l.load_text(text, l.c_str(2));
    unless_stopped(l, ctx)?;
    loaded_or_nil(l, loaded)
}

fn loaded_or_nil(l: L, loaded: bool) -> Ret {
    if loaded {
        return Ok(1);
    }
    l.push_nil();
    l.insert(-2);
    Ok(2)
}

/// Most results of `unpack`: the slots of a call.
const MAX_UNPACK: i64 = 8000;

fn unpack(l: L, ctx: &Ctx) -> Ret {
    l.check_kind(1, TABLE);
    let first = if l.kind(2) <= NIL { 1 } else { l.check_int(2) };
    let last = if l.kind(3) <= NIL {
        l.len(1) as c_int
    } else {
        l.check_int(3)
    };
    // In int, as Lua does it, the difference could overflow.
    if i64::from(last) - i64::from(first) >= MAX_UNPACK {
        return Err(l.error_at(format_args!("too many results to unpack")));
    }
    original(l, ctx, |o| o.unpack)
}

fn random(l: L, ctx: &Ctx) -> Ret {
    let mut generator = ctx.random.get();
    let share = f64::from(generator.next() % LARGEST) / f64::from(LARGEST);
    ctx.random.set(generator);
    let value = match l.top() {
        0 => share,
        1 => {
            let upper = l.check_int(1);
            if upper < 1 {
                return l.argument_error(1, c"interval is empty");
            }
            (share * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (l.check_int(1), l.check_int(2));
            if lower > upper {
                return l.argument_error(2, c"interval is empty");
            }
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            (share * f64::from(width)).floor() + f64::from(lower)
        }
        _ => return Err(l.error_at(format_args!("wrong number of arguments"))),
    };
    l.push_number(value);
    Ok(1)
}

fn random_seed(l: L, ctx: &Ctx) -> Ret {
    ctx.random.set(Lrand48::seeded(l.check_int(1)));
    Ok(0)
}

const _: () = assert!(NONE < NIL, "an argument that is not there counts as nil");
