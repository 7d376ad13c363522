//! The [`Vm`]: two Lua states, one for scripts and one for functions, and what they have loaded.

use std::collections::HashMap;
use std::ffi::c_int;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::resume_unwind;
use std::ptr::NonNull;

use mlua_sys as ffi;
use resp::Out;

use crate::budget::{note_block, watch};
use crate::ctx::{Ctx, Mode, Stop};
use crate::raw::{L, LUA_GCRESTART, LUA_GCSETPAUSE, LUA_GCSETSTEPMUL, Raised, Ret, TABLE, native};
use crate::run::{Ended, Run, message_of};
use crate::sandbox::{self, Built};
use crate::server::{Abort, Server};
use crate::sha::Sha;
use crate::shebang;
use crate::spec::FunctionSpec;

/// The collector's defaults: it starts a cycle at twice the memory left by the last, and works at twice the speed of
/// allocation.
const GC_PAUSE: c_int = 200;
const GC_STEP_MULTIPLIER: c_int = 200;

/// Most scripts kept compiled, and the most bytes of source of all together; beyond, those unused for longest go.
const MAX_SCRIPTS: usize = 1000;
const MAX_SOURCE: usize = 16 << 20;

/// A script as a client sent it.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// The SHA-1 digest of `body`, [`crate::sha1_hex`].
    pub sha: &'a Sha,
    /// The source, first line `#!...` included.
    pub body: &'a [u8],
}

/// A library of functions as a client sent it.
#[derive(Clone, Copy, Debug)]
pub struct Library<'a> {
    /// Its name, from [`shebang::library`].
    pub name: &'a [u8],
    /// Distinguishes it from other libraries that have had the name.
    pub version: u64,
    /// The source, first line included.
    pub body: &'a [u8],
}

/// Why a library was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The reply, `ERR Error registering functions: ...`.
    Reply(Vec<u8>),
    /// As [`Abort`].
    Abort,
}

/// Runs scripts and functions, one at a time. Each worker thread has its own; states are made when first needed.
///
/// Memory is bounded by what scripts keep: compiled scripts up to a limit, libraries for as long as they are loaded,
/// and the garbage of runs, which is collected in steps.
#[derive(Default)]
pub struct Vm {
    scripts: Option<State>,
    compiled: HashMap<Sha, Compiled, BuildHasherDefault<ShaHasher>>,
    /// Bytes of source of all in `compiled`.
    source: usize,
    /// Counts runs, to know which scripts have been unused for longest.
    clock: u64,
    functions: Option<State>,
    libraries: HashMap<Vec<u8>, Loaded>,
    /// See [`Vm::limit_memory`].
    limit: Option<usize>,
}

struct Compiled {
    function: c_int,
    source: usize,
    used: u64,
}

struct Loaded {
    version: u64,
    functions: HashMap<Vec<u8>, c_int>,
}

/// Digests are random already: eight of their digits are as good as any hash.
#[derive(Default)]
struct ShaHasher(u64);

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((_, last)) = bytes.split_last_chunk::<8>() {
            // Hexadecimal digits leave bits constant; the product brings all of them to the top bits.
            self.0 = u64::from_le_bytes(*last).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Vm {
    /// A Vm with nothing loaded.
    pub fn new() -> Vm {
        Vm::default()
    }

    /// Compiles a script and keeps it; the error is the reply. Does nothing for one that is compiled already.
    pub fn compile(&mut self, script: &Script) -> Result<(), Vec<u8>> {
        self.function_of(script).map(|_| ())
    }

    /// Runs a script and appends one reply to `out`, in its protocol: the script's value or an error.
    ///
    /// Compiles it first if need be. On [`Abort`] nothing has been appended, and the script may be run again.
    pub fn run(
        &mut self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
        server: &mut dyn Server,
        out: &mut Out,
    ) -> Result<Ended, Abort> {
        let function = match self.function_of(script) {
            Ok(function) => function,
            Err(line) => {
                out.error_bytes(&line);
                return Ok(Ended::Error { counted: false });
            }
        };
        let name = script.sha;
        let limit = self.limit;
        match &mut self.scripts {
            Some(state) => state.within(limit, |state| {
                state.run(Mode::Script, function, name, keys, args, server, out)
            }),
            // `function_of` has made it.
            None => Err(Abort),
        }
    }

    /// The reference of the compiled script.
    fn function_of(&mut self, script: &Script) -> Result<c_int, Vec<u8>> {
        self.clock += 1;
        if let Some(known) = self.compiled.get_mut(script.sha) {
            known.used = self.clock;
            return Ok(known.function);
        }
        let code_at = shebang::script(script.body)?.code_at;
        let state = State::get(&mut self.scripts, Mode::Script)
            .ok_or_else(|| b"ERR not enough memory for a Lua interpreter".to_vec())?;
        let function = state
            .compile(&script.body[code_at..], c"@user_script")
            .map_err(|text| [b"ERR Error compiling script (new function): ", &text[..]].concat())?;
        let source = script.body.len();
        self.source += source;
        while self.compiled.len() >= MAX_SCRIPTS
            || (self.source > MAX_SOURCE && !self.compiled.is_empty())
        {
            let oldest = self
                .compiled
                .iter()
                .min_by_key(|(_, known)| known.used)
                .map(|(sha, _)| *sha);
            match oldest {
                Some(sha) => self.forget(&sha),
                None => break,
            }
        }
        let used = self.clock;
        self.compiled.insert(
            *script.sha,
            Compiled {
                function,
                source,
                used,
            },
        );
        Ok(function)
    }

    /// Forgets one compiled script.
    pub fn forget(&mut self, sha: &Sha) {
        if let (Some(known), Some(state)) = (self.compiled.remove(sha), &mut self.scripts) {
            self.source -= known.source;
            state.l().drop_ref(known.function);
        }
    }

    /// Forgets all scripts, and whatever their runs have left in the interpreter (SCRIPT FLUSH).
    pub fn clear(&mut self) {
        self.compiled = HashMap::default();
        self.source = 0;
        self.scripts = None;
    }

    /// Loads a library: runs its code, which registers functions. One of the same name is replaced if that succeeds.
    ///
    /// The functions are given in the order of their registration.
    pub fn load_library(
        &mut self,
        library: &Library,
        server: &mut dyn Server,
    ) -> Result<Vec<FunctionSpec>, LoadError> {
        let reply = |line: &[u8]| LoadError::Reply(line.to_vec());
        let code_at = shebang::library(library.body)
            .map_err(LoadError::Reply)?
            .code_at;
        let state = State::get(&mut self.functions, Mode::Function)
            .ok_or_else(|| reply(b"ERR not enough memory for a Lua interpreter"))?;
        let code = state
            .compile(&library.body[code_at..], c"@user_function")
            .map_err(|text| reply(&[b"ERR Error compiling function: ", &text[..]].concat()))?;
        let loaded = state.load(code, server);
        let registered = state.ctx().registered.take();
        let failed = match loaded {
            Ok(()) if !registered.is_empty() => None,
            Ok(()) => Some(reply(b"ERR No functions registered")),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            for registration in &registered {
                state.l().drop_ref(registration.function);
            }
            return Err(error);
        }
        let functions = registered
            .iter()
            .map(|r| (r.spec.name.clone(), r.function))
            .collect();
        self.drop_library(library.name);
        let version = library.version;
        self.libraries
            .insert(library.name.to_vec(), Loaded { version, functions });
        Ok(registered.into_iter().map(|r| r.spec).collect())
    }

    /// Whether this version of the library is loaded.
    pub fn has_library(&self, name: &[u8], version: u64) -> bool {
        self.libraries
            .get(name)
            .is_some_and(|loaded| loaded.version == version)
    }

    /// Calls a function of a loaded library, as [`Vm::run`] runs a script; None if there is no such function.
    pub fn call_function(
        &mut self,
        library: &[u8],
        function: &[u8],
        keys: &[&[u8]],
        args: &[&[u8]],
        server: &mut dyn Server,
        out: &mut Out,
    ) -> Option<Result<Ended, Abort>> {
        let reference = *self.libraries.get(library)?.functions.get(function)?;
        let state = self.functions.as_mut()?;
        Some(state.within(self.limit, |state| {
            state.run(Mode::Function, reference, function, keys, args, server, out)
        }))
    }

    /// Bounds what Lua may have allocated for scripts, and for functions, while one runs, in bytes; one that needs more ends with
    /// Lua's error "not enough memory". None: as much as there is.
    pub fn limit_memory(&mut self, bytes: Option<usize>) {
        self.limit = bytes;
    }

    /// Forgets a library.
    pub fn drop_library(&mut self, name: &[u8]) {
        if let (Some(loaded), Some(state)) = (self.libraries.remove(name), &mut self.functions) {
            for function in loaded.functions.into_values() {
                state.l().drop_ref(function);
            }
        }
    }

    /// Forgets all libraries (FUNCTION FLUSH).
    pub fn clear_libraries(&mut self) {
        self.libraries = HashMap::new();
        self.functions = None;
    }

    /// Bytes that Lua has allocated for scripts.
    pub fn memory_scripts(&self) -> usize {
        self.scripts
            .as_ref()
            .map_or(0, |state| state.ctx().used.get())
    }

    /// Bytes that Lua has allocated for functions.
    pub fn memory_functions(&self) -> usize {
        self.functions
            .as_ref()
            .map_or(0, |state| state.ctx().used.get())
    }

    /// Scripts that are compiled.
    pub fn scripts(&self) -> usize {
        self.compiled.len()
    }
}

/// A Lua state with its context.
struct State {
    lua: NonNull<ffi::lua_State>,
    /// Made by `Box::into_raw`; shared references to it are made all over.
    ctx: NonNull<Ctx>,
    built: Built,
}

// SAFETY: nothing in a state or its context is tied to a thread, and `State` is the only way to them: whoever moves it
// moves all. References into them are not handed out of this crate.
unsafe impl Send for State {}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: both are ours and used by nobody after this. Lua frees its memory through the context, so it goes
        // first; scripts can define no finalizers that would run here.
        unsafe {
            ffi::lua_close(self.lua.as_ptr());
            drop(Box::from_raw(self.ctx.as_ptr()));
        }
    }
}

/// Lua's allocator: the process's, with a count.
unsafe extern "C" fn allocate(
    data: *mut std::ffi::c_void,
    block: *mut std::ffi::c_void,
    old: usize,
    new: usize,
) -> *mut std::ffi::c_void {
    use std::alloc::{Layout, alloc, dealloc, realloc};
    const ALIGN: usize = 16;
    // Smaller blocks make no instruction slow.
    const NOTED: usize = 4096;
    // SAFETY: `data` is the context (`State::new`). Lua passes a block it got from here with the size it asked for, or
    // null with size 0. Sizes come from Lua, which limits them far below isize::MAX; one that is not gives null.
    unsafe {
        let ctx = &*data.cast::<Ctx>();
        let used = &ctx.used;
        let Ok(layout) = Layout::from_size_align(old, ALIGN) else {
            return std::ptr::null_mut();
        };
        let block: *mut u8 = block.cast();
        if new == 0 {
            if !block.is_null() {
                dealloc(block, layout);
                used.set(used.get() - old);
            }
            return std::ptr::null_mut();
        }
        let Ok(wanted) = Layout::from_size_align(new, ALIGN) else {
            return std::ptr::null_mut();
        };
        let kept = if block.is_null() { 0 } else { old };
        // Making a block smaller must not fail.
        if new > kept && (used.get() - kept).saturating_add(new) > ctx.limit.get() {
            return std::ptr::null_mut();
        }
        let made = if block.is_null() {
            alloc(wanted)
        } else {
            realloc(block, layout, new)
        };
        if !made.is_null() {
            let freed = if block.is_null() { 0 } else { old };
            used.set(used.get() - freed + new);
            if new >= NOTED && new > old {
                note_block(ctx, new);
            }
        }
        made.cast()
    }
}

impl State {
    /// The state in `slot`, made if it is not there; None if memory is not to be had.
    fn get(slot: &mut Option<State>, mode: Mode) -> Option<&mut State> {
        if slot.is_none() {
            *slot = State::new(mode);
        }
        slot.as_mut()
    }

    fn new(mode: Mode) -> Option<State> {
        let ctx = NonNull::from(Box::leak(Box::new(Ctx::new())));
        // SAFETY: the allocator gets the context it expects.
        let lua = unsafe { ffi::lua_newstate(allocate, ctx.as_ptr().cast()) };
        let Some(lua) = NonNull::new(lua) else {
            // SAFETY: made above, and nobody has it.
            drop(unsafe { Box::from_raw(ctx.as_ptr()) });
            return None;
        };
        let mut state = State {
            lua,
            ctx,
            built: Built::default(),
        };
        state.ctx().mode.set(mode);
        let mut built = Built::default();
        state
            .protect(|l, ctx| sandbox::build(l, ctx, &mut built))
            .ok()?;
        state.built = built;
        Some(state)
    }

    /// Runs something that may not have more allocated than this.
    fn within<R>(&mut self, limit: Option<usize>, run: impl FnOnce(&mut State) -> R) -> R {
        self.ctx().limit.set(limit.unwrap_or(usize::MAX));
        let result = run(self);
        self.ctx().limit.set(usize::MAX);
        result
    }

    fn l(&self) -> L {
        L(self.lua.as_ptr())
    }

    fn ctx(&self) -> &Ctx {
        // SAFETY: lives as long as the state; only shared references are made.
        unsafe { self.ctx.as_ref() }
    }

    /// Runs `task` where Lua's errors end; the error is its message. The stack is empty before and after.
    fn protect<F>(&mut self, mut task: F) -> Result<(), Vec<u8>>
    where
        F: FnMut(L, &Ctx) -> Result<(), Raised>,
    {
        fn trampoline<F>(l: L, ctx: &Ctx) -> Ret
        where
            F: FnMut(L, &Ctx) -> Result<(), Raised>,
        {
            // SAFETY: `protect` passes a pointer to its task and waits.
            let task = unsafe { &mut *l.light(1).cast::<F>() };
            task(l, ctx).map(|()| 0)
        }
        let l = self.l();
        // SAFETY: `trampoline` gets the pointer it expects. This frame holds nothing that an error would skip: it is
        // below the protected call.
        let status =
            unsafe { ffi::lua_cpcall(l.0, native(trampoline::<F>), (&raw mut task).cast()) };
        if status == 0 {
            return Ok(());
        }
        let mut message = Vec::new();
        if l.kind(-1) == TABLE {
            message_of(l, l.top(), &mut message);
        } else {
            message.extend_from_slice(l.string(-1).unwrap_or(b"unknown error"));
        }
        l.set_top(0);
        Err(message)
    }

    /// Compiles source text; the reference of the function, or the compiler's message.
    fn compile(&mut self, text: &[u8], name: &std::ffi::CStr) -> Result<c_int, Vec<u8>> {
        let mut function = 0;
        // What has stopped the last run is none of this one's business.
        self.ctx().stop.set(None);
        self.protect(|l, _| {
            if !l.load_text(text, name) {
                return Err(Raised);
            }
            function = l.make_ref();
            Ok(())
        })?;
        Ok(function)
    }

    #[allow(clippy::too_many_arguments)]
    fn run(
        &mut self,
        mode: Mode,
        function: c_int,
        name: &[u8],
        keys: &[&[u8]],
        args: &[&[u8]],
        server: &mut dyn Server,
        out: &mut Out,
    ) -> Result<Ended, Abort> {
        let mark = out.mark();
        let l = self.l();
        self.ctx().begin(mode, server, l.0);
        watch(l);
        let mut run = Run {
            function,
            name,
            keys,
            args,
            out,
            ended: None,
        };
        l.push_ref(self.built.runner);
        l.push_light((&raw mut run).cast());
        let status = l.pcall(1, 0, 0);
        let Run { ended, out, .. } = run;
        self.finish();
        match (self.ctx().stop.get(), ended) {
            (Some(Stop::Panic), _) => {
                l.set_top(0);
                out.rollback(mark);
                match self.ctx().panic.take() {
                    Some(panic) => resume_unwind(panic),
                    None => Err(Abort),
                }
            }
            (Some(Stop::Abort), _) => {
                l.set_top(0);
                out.rollback(mark);
                Err(Abort)
            }
            (_, Some(ended)) if status == 0 => Ok(ended),
            _ => {
                // Memory ran out while the tables were made or the reply was written.
                out.rollback(mark);
                let message = l.string(-1).unwrap_or(b"execution failure");
                out.error_bytes(&[b"ERR Error running script, ", message].concat());
                l.set_top(0);
                // It may have stood still while the tables were made.
                l.gc(LUA_GCRESTART, 0);
                Ok(Ended::Error { counted: false })
            }
        }
    }

    /// Takes back what a run may have changed for the next one.
    fn finish(&mut self) {
        self.ctx().end();
        if self.ctx().gc_touched.replace(false) {
            let l = self.l();
            l.gc(LUA_GCSETPAUSE, GC_PAUSE);
            l.gc(LUA_GCSETSTEPMUL, GC_STEP_MULTIPLIER);
            l.gc(LUA_GCRESTART, 0);
        }
    }

    /// Runs a library's code, a reference that it releases, with the globals of loading; what it registers is left in
    /// the context.
    fn load(&mut self, code: c_int, server: &mut dyn Server) -> Result<(), LoadError> {
        let Built {
            globals_meta,
            runtime,
            load,
            ..
        } = self.built;
        // A load that a panic ended may have left some.
        for registration in self.ctx().registered.take() {
            self.l().drop_ref(registration.function);
        }
        self.ctx().begin(Mode::Load, server, self.l().0);
        watch(self.l());
        self.ctx().load_started.set(Some(std::time::Instant::now()));
        let use_globals = move |l: L, globals: c_int| {
            l.push_ref(globals_meta);
            l.push_ref(globals);
            l.set_raw_field(-2, "__index");
            l.pop(1);
        };
        let loaded = self.protect(|l, _| {
            use_globals(l, load);
            l.push_function(native(crate::run::error_handler), 0);
            l.push_ref(code);
            let status = l.pcall(0, 0, l.top() - 1);
            use_globals(l, runtime);
            if status == 0 { Ok(()) } else { Err(Raised) }
        });
        self.l().drop_ref(code);
        self.ctx().load_started.set(None);
        self.finish();
        match self.ctx().stop.get() {
            Some(Stop::Panic) => match self.ctx().panic.take() {
                Some(panic) => resume_unwind(panic),
                None => Err(LoadError::Abort),
            },
            Some(Stop::Abort) => Err(LoadError::Abort),
            _ => loaded.map_err(|message| {
                LoadError::Reply([b"ERR Error registering functions: ", &message[..]].concat())
            }),
        }
    }
}
