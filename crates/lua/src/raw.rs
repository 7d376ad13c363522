//! The Lua C API as the rest of this crate uses it: [`L`], a thread of a Lua state, and [`native`], the way from Lua
//! into our functions.
//!
//! # Rules of this crate
//!
//! Lua raises errors by `longjmp`: a call that can raise (anything that allocates in Lua, calls Lua code or runs
//! metamethods) may never return, and then nothing of the Rust frames between it and the `lua_pcall` below is dropped.
//! Therefore:
//!
//! - While such a call is made, no frame above the nearest `lua_pcall` holds a value with a destructor. Buffers live in
//!   the [`Ctx`], which outlives every run; functions hold references, numbers and [`L`]. Values with destructors are
//!   fine in between, where nothing of Lua is called (see `redis.call`, which gathers its arguments so).
//!   The frames of [`enter`] and of `catch_unwind` in it, which an error may skip as well, hold none either.
//! - Our functions do not raise themselves: they leave the error on the stack and return [`Raised`], and [`native`]
//!   raises at the outermost frame. Panics are caught there too, and thrown again once Lua has unwound.
//! - A function pushes at most what it has asked [`L::ensure`] for; Lua gives each call 20 slots.
//!
//! With them kept, the methods of [`L`] are safe to call from a function called by Lua, and they are not marked unsafe:
//! the alternative, every second line of this crate in an unsafe block, would hide the few that deserve attention.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua_sys as ffi;

use crate::ctx::{Ctx, Stop};

pub(crate) use ffi::{
    LUA_GCCOLLECT, LUA_GCRESTART, LUA_GCSETPAUSE, LUA_GCSETSTEPMUL, LUA_GCSTEP, LUA_GCSTOP,
    LUA_GLOBALSINDEX as GLOBALS, LUA_MULTRET as ALL_RESULTS, LUA_REGISTRYINDEX as REGISTRY,
    LUA_TBOOLEAN as BOOLEAN, LUA_TFUNCTION as FUNCTION, LUA_TLIGHTUSERDATA as LIGHT_USERDATA,
    LUA_TNIL as NIL, LUA_TNONE as NONE, LUA_TNUMBER as NUMBER, LUA_TSTRING as STRING,
    LUA_TTABLE as TABLE, lua_CFunction as CFunction, lua_State, luaopen_base, luaopen_math,
    luaopen_os, luaopen_string, luaopen_table,
};

/// An error value is on top of the stack, to be raised by the outermost frame.
#[derive(Debug)]
pub(crate) struct Raised;

/// How many results a function has left on the stack, or an error.
pub(crate) type Ret = Result<c_int, Raised>;

/// A thread of a Lua state: the main one or a coroutine.
#[derive(Clone, Copy)]
pub(crate) struct L(pub *mut lua_State);

/// The index of upvalue `i` (from 1) of the running function.
pub(crate) const fn upvalue(i: c_int) -> c_int {
    ffi::lua_upvalueindex(i)
}

/// Makes a C function of `function`, which must be the name of a function (a type without data).
pub(crate) fn native<F>(function: F) -> CFunction
where
    F: Fn(L, &Ctx) -> Ret + Copy,
{
    const { assert!(size_of::<F>() == 0) };
    // Nothing is lost: it has no data, hence none to drop.
    let _ = function;
    enter::<F>
}

/// Calls `F` from Lua, and raises what it wants raised.
unsafe extern "C-unwind" fn enter<F>(state: *mut lua_State) -> c_int
where
    F: Fn(L, &Ctx) -> Ret + Copy,
{
    // SAFETY: `native` was given a value of F, and F has no data.
    let function: F = unsafe { std::ptr::NonNull::dangling().read() };
    let l = L(state);
    l.ctx().running.set(state);
    let result = catch_unwind(AssertUnwindSafe(|| function(l, l.ctx())));
    match result {
        Ok(Ok(results)) => return results,
        Ok(Err(Raised)) => {}
        Err(panic) => {
            l.ctx().stop.set(Some(Stop::Panic));
            l.ctx().panic.set(Some(panic));
            l.push_nil();
        }
    }
    // SAFETY: the error value is on top of the stack, and this frame holds nothing with a destructor any more.
    unsafe { ffi::lua_error(state) }
}

impl L {
    /// The context that belongs to the state.
    pub fn ctx<'a>(self) -> &'a Ctx {
        let mut data: *mut c_void = std::ptr::null_mut();
        // SAFETY: every state of this crate is made with its context as its allocator's data (`Vm`), and the context
        // is freed after the state is closed. Only shared references to it are made.
        unsafe {
            ffi::lua_getallocf(self.0, &mut data);
            &*data.cast::<Ctx>()
        }
    }

    pub fn top(self) -> c_int {
        // SAFETY: see the rules above; so for every block below without a comment of its own.
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub fn set_top(self, top: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_settop(self.0, top) }
    }

    pub fn pop(self, n: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_pop(self.0, n) }
    }

    pub fn kind(self, index: c_int) -> c_int {
        // SAFETY: as above.
        unsafe { ffi::lua_type(self.0, index) }
    }

    /// The name of the type at `index`, as `type()` gives it.
    pub fn kind_name(self, index: c_int) -> &'static str {
        // SAFETY: Lua's names of types are static ASCII strings.
        let name =
            unsafe { CStr::from_ptr(ffi::lua_typename(self.0, ffi::lua_type(self.0, index))) };
        name.to_str().unwrap_or("?")
    }

    /// Room for `n` more values; false if the stack's limit (8000 slots per call) does not allow them. Arguments count: who no
    /// longer needs them takes them off first.
    pub fn ensure(self, n: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_checkstack(self.0, n) != 0 }
    }

    pub fn push_nil(self) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushnil(self.0) }
    }

    pub fn push_bool(self, value: bool) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(value)) }
    }

    pub fn push_number(self, value: f64) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushnumber(self.0, value) }
    }

    pub fn push_bytes(self, bytes: &[u8]) {
        // SAFETY: as above; Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn push_light(self, pointer: *mut c_void) {
        // SAFETY: as above; the pointer is only a value to Lua.
        unsafe { ffi::lua_pushlightuserdata(self.0, pointer) }
    }

    /// Pushes `function` with the topmost `upvalues` values, popped, as its upvalues.
    pub fn push_function(self, function: CFunction, upvalues: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushcclosure(self.0, function, upvalues) }
    }

    pub fn push_value(self, index: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushvalue(self.0, index) }
    }

    pub fn insert(self, index: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_insert(self.0, index) }
    }

    pub fn replace(self, index: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_replace(self.0, index) }
    }

    pub fn remove(self, index: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_remove(self.0, index) }
    }

    pub fn number(self, index: c_int) -> f64 {
        // SAFETY: as above.
        unsafe { ffi::lua_tonumber(self.0, index) }
    }

    /// Whether the value is a number or a string that reads as one.
    pub fn is_number(self, index: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_isnumber(self.0, index) != 0 }
    }

    pub fn truth(self, index: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }

    /// The bytes of the string at `index`; a number becomes a string in place, anything else is None.
    ///
    /// They are valid for as long as the string is on the stack or in a table: the caller lets go of them before.
    pub fn bytes<'a>(self, index: c_int) -> Option<&'a [u8]> {
        let mut len = 0;
        // SAFETY: as above. Strings do not move; the caller keeps them reachable.
        unsafe {
            let start = ffi::lua_tolstring(self.0, index, &mut len);
            (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast(), len))
        }
    }

    /// `bytes` without the conversion of numbers.
    pub fn string<'a>(self, index: c_int) -> Option<&'a [u8]> {
        if self.kind(index) == STRING {
            self.bytes(index)
        } else {
            None
        }
    }

    pub fn pointer(self, index: c_int) -> *const c_void {
        // SAFETY: as above.
        unsafe { ffi::lua_topointer(self.0, index) }
    }

    pub fn light(self, index: c_int) -> *mut c_void {
        // SAFETY: as above.
        unsafe { ffi::lua_touserdata(self.0, index) }
    }

    /// Pushes a block of memory of Lua's that holds `value`, to be an upvalue that [`L::upvalue_cell`] reads.
    pub fn new_cell<T: Copy>(self, value: T) {
        const { assert!(align_of::<T>() <= 8) };
        // SAFETY: as above; the block is of the size and, as Lua's blocks are, aligned for anything up to a double.
        unsafe {
            let block = ffi::lua_newuserdata(self.0, size_of::<Cell<T>>());
            block.cast::<Cell<T>>().write(Cell::new(value));
        }
    }

    /// The value of upvalue `i`, which must be from [`L::new_cell`] with the same type; None if there is no upvalue.
    pub fn upvalue_cell<'a, T: Copy>(self, i: c_int) -> Option<&'a Cell<T>> {
        // SAFETY: as above; the running function keeps its upvalue alive.
        unsafe {
            ffi::lua_touserdata(self.0, upvalue(i))
                .cast::<Cell<T>>()
                .as_ref()
        }
    }

    /// The thread at `index`.
    pub fn thread(self, index: c_int) -> Option<*mut lua_State> {
        // SAFETY: as above.
        let thread = unsafe { ffi::lua_tothread(self.0, index) };
        (!thread.is_null()).then_some(thread)
    }

    /// Pushes upvalue `n` of the function at `index`; false if there is none.
    pub fn upvalue_of(self, index: c_int, n: c_int) -> bool {
        // SAFETY: as above.
        unsafe { !ffi::lua_getupvalue(self.0, index, n).is_null() }
    }

    /// Whether the value at `a` is less than that at `b`. May call a metamethod, and raises if they cannot be compared.
    pub fn is_less(self, a: c_int, b: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_lessthan(self.0, a, b) != 0 }
    }

    /// Replaces the key on top of the stack by its value in the table at `index`, metamethods included.
    pub fn get_table(self, index: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_gettable_(self.0, index) }
    }

    /// Has `hook` called after `count` instructions of this thread, and then again and again.
    pub fn set_hook(self, hook: ffi::lua_Hook, count: c_int) {
        // SAFETY: as above; this only writes some fields of the thread.
        unsafe {
            ffi::lua_sethook(self.0, Some(hook), ffi::LUA_MASKCOUNT, count);
        }
    }

    /// The C function at `index`.
    pub fn c_function(self, index: c_int) -> Option<CFunction> {
        // SAFETY: as above.
        unsafe { ffi::lua_tocfunction(self.0, index) }
    }

    /// Calls a C function in the running function's place: it finds its arguments and leaves its results.
    pub fn forward(self, function: CFunction) -> Ret {
        // SAFETY: `function` is one of Lua's own library functions without upvalues; it may raise, see the rules above.
        Ok(unsafe { function(self.0) })
    }

    pub fn new_table(self, array: usize, hash: usize) {
        let size = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX >> 8);
        // SAFETY: as above.
        unsafe { ffi::lua_createtable(self.0, size(array), size(hash)) }
    }

    /// Replaces the key on top of the stack by its value in the table at `index`, without metamethods.
    pub fn raw_get(self, index: c_int) {
        // SAFETY: as above; the callers know a table is there.
        unsafe { ffi::lua_rawget_(self.0, index) }
    }

    pub fn raw_get_int(self, index: c_int, n: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawgeti_(self.0, index, n) }
    }

    /// Pops a value and the key below it and sets them in the table at `index`, without metamethods.
    pub fn raw_set(self, index: c_int) {
        // SAFETY: as above; callers push no nil or NaN as the key.
        unsafe { ffi::lua_rawset(self.0, index) }
    }

    pub fn raw_set_int(self, index: c_int, n: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawseti_(self.0, index, n) }
    }

    /// Pushes the field `name` of the table at `index`, without metamethods.
    pub fn raw_field(self, index: c_int, name: &str) {
        self.push_bytes(name.as_bytes());
        self.raw_get(if index < 0 && index > REGISTRY {
            index - 1
        } else {
            index
        });
    }

    /// Pops a value into the field `name` of the table at `index`, without metamethods.
    pub fn set_raw_field(self, index: c_int, name: &str) {
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        self.raw_set(if index < 0 && index > REGISTRY {
            index - 1
        } else {
            index
        });
    }

    /// Sets field `name` of the table on top of the stack to a function.
    pub fn set_function(self, name: &str, function: CFunction) {
        self.push_bytes(name.as_bytes());
        self.push_function(function, 0);
        self.raw_set(-3);
    }

    /// Replaces the key on top by the next key and its value; false, and nothing pushed, at the end.
    pub fn next(self, index: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_next(self.0, index) != 0 }
    }

    pub fn metatable(self, index: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_getmetatable(self.0, index) != 0 }
    }

    pub fn set_metatable(self, index: c_int) {
        // SAFETY: as above.
        unsafe {
            ffi::lua_setmetatable(self.0, index);
        }
    }

    /// The length of a string, or a border of a table.
    pub fn len(self, index: c_int) -> usize {
        // SAFETY: as above.
        unsafe { ffi::lua_objlen(self.0, index) }
    }

    /// Calls the function below the topmost `args` values.
    pub fn call(self, args: c_int, results: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_call(self.0, args, results) }
    }

    /// [`L::call`] that gives errors back as a status; `handler` is the index of an error handler or 0.
    pub fn pcall(self, args: c_int, results: c_int, handler: c_int) -> c_int {
        // SAFETY: as above.
        unsafe { ffi::lua_pcall(self.0, args, results, handler) }
    }

    /// The string at `index` up to its first NUL; empty if it is none. Valid as [`L::bytes`].
    pub fn c_str<'a>(self, index: c_int) -> &'a CStr {
        // SAFETY: as above; Lua's strings end in a NUL.
        unsafe {
            let start = ffi::lua_tolstring(self.0, index, std::ptr::null_mut());
            if start.is_null() {
                c""
            } else {
                CStr::from_ptr(start)
            }
        }
    }

    /// Puts the value on top into the registry and returns its reference.
    pub fn make_ref(self) -> c_int {
        // SAFETY: as above.
        unsafe { ffi::luaL_ref(self.0, REGISTRY) }
    }

    /// Releases a reference. Allocates nothing, so that it may be called outside of a protected call.
    pub fn drop_ref(self, reference: c_int) {
        // SAFETY: as above; setting integer keys that exist does not allocate.
        unsafe { ffi::luaL_unref(self.0, REGISTRY, reference) }
    }

    pub fn push_ref(self, reference: c_int) {
        self.raw_get_int(REGISTRY, reference);
    }

    /// Fails unless argument `n` is of the kind.
    pub fn check_kind(self, n: c_int, kind: c_int) {
        // SAFETY: as above; raises.
        unsafe { ffi::luaL_checktype(self.0, n, kind) }
    }

    pub fn check_number(self, n: c_int) -> f64 {
        // SAFETY: as above; raises.
        unsafe { ffi::luaL_checknumber(self.0, n) }
    }

    /// Argument `n` as an integer.
    pub fn check_integer(self, n: c_int) -> isize {
        // SAFETY: as above; raises.
        unsafe { ffi::luaL_checkinteger(self.0, n) as isize }
    }

    /// Argument `n` truncated to a C `int`, as Lua's library functions take numbers.
    pub fn check_int(self, n: c_int) -> c_int {
        // SAFETY: as above; raises.
        let wide = unsafe { ffi::luaL_checkinteger(self.0, n) };
        wide as c_int
    }

    pub fn check_bytes<'a>(self, n: c_int) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: as above; raises. An argument stays on the stack while its function runs.
        unsafe {
            let start = ffi::luaL_checklstring(self.0, n, &mut len);
            std::slice::from_raw_parts(start.cast(), len)
        }
    }

    /// Raises "bad argument #n to 'function' (message)".
    pub fn argument_error(self, n: c_int, message: &CStr) -> Ret {
        // SAFETY: as above; raises.
        Ok(unsafe { ffi::luaL_argerror(self.0, n, message.as_ptr()) })
    }

    /// Raises "bad argument #n to 'function' (name expected, got ...)".
    pub fn type_error(self, n: c_int, name: &CStr) -> Ret {
        // SAFETY: as above; raises.
        Ok(unsafe { ffi::luaL_typerror(self.0, n, name.as_ptr()) })
    }

    /// Leaves an error message, without a place, on the stack.
    pub fn error(self, message: fmt::Arguments<'_>) -> Raised {
        if !self.ensure(1) {
            self.set_top(0);
        }
        self.push_fmt(message);
        Raised
    }

    /// Leaves an error message that starts with the place of the caller's line (`user_script:1: `) on the stack.
    pub fn error_at(self, message: fmt::Arguments<'_>) -> Raised {
        if !self.ensure(3) {
            self.set_top(0);
        }
        // SAFETY: as above.
        unsafe { ffi::luaL_where(self.0, 1) };
        self.push_fmt(message);
        // SAFETY: as above.
        unsafe { ffi::lua_concat(self.0, 2) };
        Raised
    }

    /// Pushes a formatted string.
    pub fn push_fmt(self, text: fmt::Arguments<'_>) {
        match text.as_str() {
            Some(text) => self.push_bytes(text.as_bytes()),
            None => {
                let buffer = self.ctx().message();
                buffer.clear();
                // Writing to memory cannot fail.
                let _ = std::io::Write::write_fmt(buffer, text);
                self.push_bytes(buffer);
            }
        }
    }

    /// The source and the line of the function that is `level` calls up (0 is the running one).
    ///
    /// None if there are fewer. The source is valid while that function runs.
    pub fn place<'a>(self, level: c_int) -> Option<Place<'a>> {
        let mut ar = std::mem::MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: as above; `lua_Debug` holds integers and pointers, which Lua fills in for a level that exists.
        unsafe {
            if ffi::lua_getstack(self.0, level, ar.as_mut_ptr()) == 0
                || ffi::lua_getinfo(self.0, c"nSl".as_ptr(), ar.as_mut_ptr()) == 0
            {
                return None;
            }
            let ar = ar.assume_init();
            Some(Place {
                native: CStr::from_ptr(ar.what) == c"C",
                source: CStr::from_ptr(ar.source).to_bytes(),
                line: ar.currentline,
            })
        }
    }

    pub fn concat(self, n: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_concat(self.0, n) }
    }

    /// Kilobytes in use, or whatever `what` answers.
    pub fn gc(self, what: c_int, data: c_int) -> c_int {
        // SAFETY: as above; scripts can define no finalizers, so that no Lua code runs in it.
        unsafe { ffi::lua_gc(self.0, what, data) }
    }
}

/// A string that is being put together. It is for those who call Lua code meanwhile; others have a buffer in [`Ctx`].
///
/// What does not fit into it is in a block of Lua's memory, in a slot of the stack that [`Buffer::begin`] pushes: an error that skips
/// this frame leaves it to the collector. Lua's own buffers are made of many small strings instead, which are joined again and
/// again: seconds for some hundred megabytes, in which nobody is asked whether to go on.
pub(crate) struct Buffer {
    l: L,
    slot: c_int,
    len: usize,
    /// Of the block; 0 while there is none.
    capacity: usize,
    block: *mut u8,
    first: MaybeUninit<[u8; FIRST_BYTES]>,
}

/// Bytes of a [`Buffer`] that need no block.
const FIRST_BYTES: usize = 1024;

impl Buffer {
    /// An empty one, which takes a slot of the stack.
    pub fn begin(l: L) -> Buffer {
        l.push_nil();
        Buffer {
            l,
            slot: l.top(),
            len: 0,
            capacity: 0,
            block: std::ptr::null_mut(),
            first: MaybeUninit::uninit(),
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    fn start(&mut self) -> *mut u8 {
        match self.capacity {
            0 => self.first.as_mut_ptr().cast(),
            _ => self.block,
        }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        let wanted = self.len + bytes.len();
        if wanted > self.capacity.max(FIRST_BYTES) {
            let capacity = wanted.max(self.capacity.max(FIRST_BYTES) * 2);
            // SAFETY: as for the methods of L. The block is alive as long as it is in its slot: the old one until its
            // bytes are copied.
            unsafe {
                let block: *mut u8 = ffi::lua_newuserdata(self.l.0, capacity).cast();
                std::ptr::copy_nonoverlapping(self.start(), block, self.len);
                self.l.replace(self.slot);
                (self.block, self.capacity) = (block, capacity);
            }
        }
        let (start, len) = (self.start(), self.len);
        // SAFETY: there is room for them, and `bytes` is memory of somebody else's.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(len), bytes.len()) };
        self.len = wanted;
    }

    /// Adds the string or number on top and pops it.
    pub fn add_value(&mut self) {
        self.add(self.l.bytes(-1).unwrap_or_default());
        self.l.pop(1);
    }

    /// Pushes the string.
    pub fn finish(&mut self) {
        let (start, len) = (self.start(), self.len);
        // SAFETY: so many bytes have been written there; Lua copies them while the block is in its slot.
        self.l
            .push_bytes(unsafe { std::slice::from_raw_parts(start, len) });
    }
}

/// A line of a running function.
pub(crate) struct Place<'a> {
    /// Whether the function is not a Lua function.
    pub native: bool,
    /// The name of its chunk, `@user_script`.
    pub source: &'a [u8],
    /// The line, or -1 if it has none.
    pub line: c_int,
}
