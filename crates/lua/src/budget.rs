//! How much a run has done: the hook that comes every so many instructions, and what library functions count themselves. Both
//! ask the server from time to time whether to go on ([`Server::poll`](crate::Server::poll)).

use std::ffi::c_int;
use std::time::{Duration, Instant};

use crate::ctx::{BUDGET, Ctx, FIRST_HOOK, Stop};
use crate::raw::{L, Raised, lua_State};
use crate::server::Interrupt;

/// What killed scripts and, in Redis, functions too end with.
pub(crate) const KILLED: &[u8] = b"ERR Script killed by user with SCRIPT KILL...";

/// The longest that loading a library may take.
const LOAD_LIMIT: Duration = Duration::from_millis(500);

/// The most instructions between two calls of the hook.
const MOST_HOOK: c_int = 16_384;

/// How far apart the hook's calls are to be: more instructions if they are closer, fewer if they are further apart.
const NEAR: Duration = Duration::from_micros(50);
const FAR: Duration = Duration::from_micros(500);

/// Some instructions take time in proportion to their operands' size (`..`, comparing strings, reading them as numbers): with a
/// block of so many bytes the hook comes at each.
const HUGE: usize = 64 << 20;

/// A block of this size has the hook come at once, wherever the run is.
const LARGE: usize = 1 << 20;

/// Has the hook called during a run that begins.
pub(crate) fn watch(l: L) {
    l.set_hook(hook, FIRST_HOOK);
}

/// Called by Lua every so many instructions.
unsafe extern "C-unwind" fn hook(state: *mut lua_State, _: *mut mlua_sys::lua_Debug) {
    let l = L(state);
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let ctx = l.ctx();
        pace(l, ctx);
        poll(l, ctx, ctx.largest.get())
    }));
    match polled {
        Ok(Ok(())) => return,
        Ok(Err(Raised)) => {}
        Err(panic) => {
            l.ctx().stop.set(Some(Stop::Panic));
            l.ctx().panic.set(Some(panic));
            l.push_nil();
        }
    }
    // SAFETY: the error value is on top of the stack, and this frame holds nothing with a destructor any more.
    unsafe { mlua_sys::lua_error(state) }
}

/// Chooses when the hook is to be called next.
fn pace(l: L, ctx: &Ctx) {
    let now = Instant::now();
    let passed = ctx.hooked.replace(Some(now)).map(|last| now - last);
    let count = ctx.hook_count.get();
    let next = match passed {
        Some(passed) if passed > FAR => count / 8,
        Some(passed) if passed > NEAR => count,
        _ => count.saturating_mul(2),
    };
    let most = (HUGE / ctx.largest.get().max(1)).min(MOST_HOOK as usize) as c_int;
    let next = next.min(most).max(1);
    ctx.hook_count.set(next);
    l.set_hook(hook, next);
}

/// Called by Lua's allocator when it has made a block.
#[inline]
pub(crate) fn note_block(ctx: &Ctx, bytes: usize) {
    if bytes > ctx.largest.get() {
        ctx.largest.set(bytes);
    }
    let running = ctx.running.get();
    if bytes >= LARGE && !running.is_null() {
        L(running).set_hook(hook, 1);
    }
}

/// Counts work of a library function, and asks the server from time to time whether to go on.
#[inline]
pub(crate) fn charge(l: L, ctx: &Ctx, units: usize) -> Result<(), Raised> {
    let left = ctx.budget.get();
    if units < left {
        ctx.budget.set(left - units);
        return Ok(());
    }
    ctx.budget.set(BUDGET);
    poll(l, ctx, 0)
}

/// The same for work on so many bytes that is about to be done and cannot be interrupted.
pub(crate) fn ahead(l: L, ctx: &Ctx, bytes: usize) -> Result<(), Raised> {
    if bytes >= LARGE {
        ctx.budget.set(BUDGET);
        return poll(l, ctx, bytes);
    }
    charge(l, ctx, bytes / 8)
}

#[cold]
fn poll(l: L, ctx: &Ctx, ahead: usize) -> Result<(), Raised> {
    if ctx.stop.get().is_none() {
        let late = ctx
            .load_started
            .get()
            .is_some_and(|start| start.elapsed() > LOAD_LIMIT);
        let stop = match ctx.server().and_then(|server| server.poll(ahead)) {
            Some(Interrupt::Kill) => Stop::Kill,
            Some(Interrupt::Abort) => Stop::Abort,
            None if late => Stop::Timeout,
            None => return Ok(()),
        };
        ctx.stop.set(Some(stop));
    }
    if !l.ensure(4) {
        // Whoever is interrupted does not go on.
        l.set_top(0);
    }
    l.new_table(0, 3);
    l.push_bytes(match ctx.stop.get() {
        Some(Stop::Timeout) => b"ERR FUNCTION LOAD timeout",
        _ => KILLED,
    });
    l.set_raw_field(-2, "err");
    Err(Raised)
}
