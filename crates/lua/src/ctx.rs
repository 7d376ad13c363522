//! What belongs to a Lua state and is not in it: the server of the current run, buffers, settings of libraries.
//!
//! Functions called by Lua find it with `L::ctx`. Only shared references to it exist, hence the cells. The buffers are
//! here rather than on the stack because errors raised by Lua skip destructors (see `raw`).

use std::any::Any;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::time::Instant;

use mlua_sys::{lua_CFunction as CFunction, lua_State};
use resp::{Mark, Out, Proto};

use crate::json_settings::JsonSettings;
use crate::pattern::Choice;
use crate::random::Lrand48;
use crate::server::Server;
use crate::spec::Registration;

/// Why a run is being unwound past every pcall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The server asked for it; the run leaves no reply.
    Abort,
    /// The user killed it; the run ends with an error.
    Kill,
    /// A library took too long to load.
    Timeout,
    /// Our code panicked; the panic goes on in the caller of the run.
    Panic,
}

/// What a state is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Script,
    Function,
    /// A library's code, which registers functions.
    Load,
}

/// Lua's own library functions that ours stand in front of.
#[derive(Clone, Copy)]
pub(crate) struct Originals {
    pub next: CFunction,
    pub xpcall: CFunction,
    pub rawset: CFunction,
    pub rawget: CFunction,
    pub getmetatable: CFunction,
    pub setmetatable: CFunction,
    pub collectgarbage: CFunction,
    pub unpack: CFunction,
    pub insert: CFunction,
    pub remove: CFunction,
    pub sort: CFunction,
    pub foreach: CFunction,
    pub foreachi: CFunction,
    pub resume: CFunction,
    pub wrap: CFunction,
    /// What `wrap` gives.
    pub wrapped: CFunction,
    pub format: CFunction,
}

/// A table that a library is writing or filling.
pub(crate) struct Level {
    pub array: bool,
    /// Elements done.
    pub index: usize,
    /// Elements there are, where that is known before.
    pub len: usize,
}

/// A table on the Lua stack whose elements are being written.
pub(crate) struct Frame {
    pub kind: Kind,
    pub mark: Mark,
    /// Elements (pairs of a map) written or begun.
    pub count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On the stack: the table.
    Array,
    /// On the stack: the outer table, the map's table, the current key; and its value while the key is written.
    MapKey,
    /// On the stack: the outer table, the map's table, the current key.
    MapValue,
    /// On the stack: the outer table, the set's table, the current key.
    Set,
}

/// Instructions of a run before the hook is first called.
pub(crate) const FIRST_HOOK: c_int = 128;

/// Work that library functions may do before the server is asked again. One unit is about what takes a nanosecond.
pub(crate) const BUDGET: usize = 500_000;

/// See the module.
pub(crate) struct Ctx {
    /// The server of the current run, its lifetime erased; only [`Ctx::server`] looks at it.
    server: Cell<Option<*mut dyn Server>>,
    pub mode: Cell<Mode>,
    pub stop: Cell<Option<Stop>>,
    pub panic: Cell<Option<Box<dyn Any + Send>>>,
    /// What `redis.setresp` has chosen for this run.
    pub proto: Cell<Proto>,
    pub random: Cell<Lrand48>,
    pub cjson: Cell<JsonSettings>,
    /// Whether the script has called `collectgarbage` with anything that outlives it.
    pub gc_touched: Cell<bool>,
    /// The registry's reference of what `getmetatable('')` gives.
    pub string_view: Cell<c_int>,
    pub originals: Cell<Option<Originals>>,
    /// The metatables of read-only tables (`sandbox`).
    pub protected: RefCell<Vec<*const c_void>>,
    /// What the library being loaded has registered, and when its loading began.
    pub registered: RefCell<Vec<Registration>>,
    pub load_started: Cell<Option<Instant>>,
    /// Runs since the collector was last given time.
    pub since_gc: Cell<c_int>,
    /// Bytes allocated by Lua.
    pub used: Cell<usize>,
    /// The same after all garbage was collected the last time.
    pub kept: Cell<usize>,
    /// What they may grow to: allocating more fails, which ends the run with Lua's error.
    pub limit: Cell<usize>,
    /// The largest block that the current run has made.
    pub largest: Cell<usize>,
    /// The thread that runs; null outside of a run.
    pub running: Cell<*mut lua_State>,
    /// Work that may be done before the server is asked again, in the units of `budget::charge`.
    pub budget: Cell<usize>,
    /// After how many instructions the hook comes.
    pub hook_count: Cell<c_int>,
    /// When the hook was last called in this run.
    pub hooked: Cell<Option<Instant>>,
    reply: UnsafeCell<Out>,
    flat: UnsafeCell<Vec<u8>>,
    scratch: UnsafeCell<Vec<u8>>,
    message: UnsafeCell<Vec<u8>>,
    frames: UnsafeCell<Vec<Frame>>,
    levels: UnsafeCell<Vec<Level>>,
    choices: UnsafeCell<Vec<Choice>>,
}

/// Buffers that grew beyond this are freed after the run.
const KEEP_CAPACITY: usize = 64 * 1024;

impl Ctx {
    pub fn new() -> Ctx {
        Ctx {
            server: Cell::new(None),
            mode: Cell::new(Mode::Script),
            stop: Cell::new(None),
            panic: Cell::new(None),
            proto: Cell::new(Proto::Resp2),
            random: Cell::default(),
            cjson: Cell::default(),
            gc_touched: Cell::new(false),
            string_view: Cell::new(0),
            originals: Cell::new(None),
            protected: RefCell::default(),
            registered: RefCell::default(),
            load_started: Cell::new(None),
            since_gc: Cell::new(0),
            used: Cell::new(0),
            kept: Cell::new(0),
            limit: Cell::new(usize::MAX),
            largest: Cell::new(0),
            running: Cell::new(std::ptr::null_mut()),
            budget: Cell::new(BUDGET),
            hook_count: Cell::new(FIRST_HOOK),
            hooked: Cell::new(None),
            reply: UnsafeCell::default(),
            flat: UnsafeCell::default(),
            scratch: UnsafeCell::default(),
            message: UnsafeCell::default(),
            frames: UnsafeCell::default(),
            levels: UnsafeCell::default(),
            choices: UnsafeCell::default(),
        }
    }

    /// Gets ready for a run with `server`, which must be taken back ([`Ctx::end`]) before its borrow ends.
    pub fn begin(&self, mode: Mode, server: &mut dyn Server, state: *mut lua_State) {
        let server: *mut (dyn Server + '_) = server;
        // SAFETY: only the lifetime changes. `State::protected` calls `end` before its own borrow of the server ends,
        // and nothing looks at it after that.
        let server: *mut (dyn Server + 'static) = unsafe { std::mem::transmute(server) };
        self.server.set(Some(server));
        self.mode.set(mode);
        self.stop.set(None);
        self.proto.set(Proto::Resp2);
        self.cjson.set(JsonSettings::default());
        self.largest.set(0);
        self.running.set(state);
        self.budget.set(BUDGET);
        self.hooked.set(None);
        self.hook_count.set(FIRST_HOOK);
    }

    /// Ends the run and gives large buffers back.
    pub fn end(&self) {
        self.server.set(None);
        self.running.set(std::ptr::null_mut());
        let out = self.reply();
        out.clear();
        for buffer in [self.flat(), self.scratch(), self.message()] {
            if buffer.capacity() > KEEP_CAPACITY {
                *buffer = Vec::new();
            }
        }
        const KEEP_LEVELS: usize = 64;
        if self.frames().capacity() > KEEP_LEVELS {
            *self.frames() = Vec::new();
        }
        if self.levels().capacity() > KEEP_LEVELS {
            *self.levels() = Vec::new();
        }
        if self.choices().capacity() > KEEP_LEVELS {
            *self.choices() = Vec::new();
        }
    }

    /// The server of the current run; None outside of one.
    #[allow(clippy::mut_from_ref)]
    pub fn server(&self) -> Option<&mut dyn Server> {
        // SAFETY: the run that set it holds the exclusive borrow it came from. The reference made here is used for one
        // call and dropped, and the server cannot get back into this state meanwhile: the run borrows the Vm.
        self.server.get().map(|server| unsafe { &mut *server })
    }

    /// What commands write their replies to.
    #[allow(clippy::mut_from_ref)]
    pub fn reply(&self) -> &mut Out {
        // SAFETY: used by `redis.call` and the conversion that follows it only, which cannot meet themselves again
        // before they are done with it: neither calls Lua code.
        unsafe { &mut *self.reply.get() }
    }

    /// A reply made contiguous.
    #[allow(clippy::mut_from_ref)]
    pub fn flat(&self) -> &mut Vec<u8> {
        // SAFETY: as `reply`.
        unsafe { &mut *self.flat.get() }
    }

    /// The buffer of library functions that build a string; none of those calls Lua code while it uses it.
    #[allow(clippy::mut_from_ref)]
    pub fn scratch(&self) -> &mut Vec<u8> {
        // SAFETY: see above: at most one function uses it at a time.
        unsafe { &mut *self.scratch.get() }
    }

    /// The buffer of `L::push_fmt`.
    #[allow(clippy::mut_from_ref)]
    pub fn message(&self) -> &mut Vec<u8> {
        // SAFETY: `push_fmt` fills it and copies it to Lua at once; formatting calls nothing of Lua.
        unsafe { &mut *self.message.get() }
    }

    /// The stack of the conversion of a result to a reply.
    #[allow(clippy::mut_from_ref)]
    pub fn frames(&self) -> &mut Vec<Frame> {
        // SAFETY: only that conversion uses it, once a run, after the script.
        unsafe { &mut *self.frames.get() }
    }

    /// The ways that a pattern's matcher has not tried; it calls no Lua code.
    #[allow(clippy::mut_from_ref)]
    pub fn choices(&self) -> &mut Vec<Choice> {
        // SAFETY: as `scratch`.
        unsafe { &mut *self.choices.get() }
    }

    /// The tables that a library is inside of.
    #[allow(clippy::mut_from_ref)]
    pub fn levels(&self) -> &mut Vec<Level> {
        // SAFETY: as `scratch`.
        unsafe { &mut *self.levels.get() }
    }
}
