//! What a fatal signal leaves in the log: where in the code, which command, of which client, and those before it.
//!
//! The handler does next to nothing, since hardly anything may be done in one and its stack is small: it notes what the kernel says, wakes
//! a thread that has waited for this since the start, and stands still until that has written its report. So the report is made where
//! memory may be allocated and files be read, of a thread whose stack does not change meanwhile; and a stack that has overflowed is as
//! good to look at as any. Then the signal does what it would have done without a handler, so that a core is written where the
//! system writes one. Other threads go on until then, as they have gone on until now.

mod stack;

use self::stack::{Registers, Stack};
use engine::Engine;
use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::io::{self, PipeReader, PipeWriter, Read, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::IntoRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

/// The signals that end a process because of what it did, as they are called.
const SIGNALS: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGABRT, "SIGABRT"),
];

/// How long a thread that has crashed waits for its report, in milliseconds: what is to be read for one may be large.
const PATIENCE_MS: c_int = 30_000;

/// What the handler and the reporting thread tell each other.
struct Shared {
    /// Whose settings are heeded.
    engine: OnceLock<Arc<Engine>>,
    /// Where the handler wakes the other thread, and where it waits for it.
    wake: AtomicI32,
    done: AtomicI32,
    /// The reporting thread.
    reporter: AtomicI32,
    /// A thread has crashed: further ones are not reported.
    taken: AtomicBool,
    signal: AtomicI32,
    code: AtomicI32,
    address: AtomicUsize,
    /// Who sent the signal, if a process did.
    pid: AtomicI32,
    uid: AtomicUsize,
    /// The thread, its registers, and what it was at.
    thread: AtomicI32,
    registers: AtomicPtr<libc::ucontext_t>,
    running: AtomicPtr<()>,
}

static SHARED: Shared = Shared {
    engine: OnceLock::new(),
    wake: AtomicI32::new(-1),
    done: AtomicI32::new(-1),
    reporter: AtomicI32::new(0),
    taken: AtomicBool::new(false),
    signal: AtomicI32::new(0),
    code: AtomicI32::new(0),
    address: AtomicUsize::new(0),
    pid: AtomicI32::new(0),
    uid: AtomicUsize::new(0),
    thread: AtomicI32::new(0),
    registers: AtomicPtr::new(ptr::null_mut()),
    running: AtomicPtr::new(ptr::null_mut()),
};

/// Has fatal signals reported from now on, while `crash-log-enabled` says so. Of several calls the first counts.
pub fn install(engine: &Arc<Engine>) -> io::Result<()> {
    if SHARED.engine.set(engine.clone()).is_err() {
        return Ok(());
    }
    let (woken, wake) = io::pipe()?;
    let (wait, done) = io::pipe()?;
    SHARED.wake.store(wake.into_raw_fd(), SeqCst);
    SHARED.done.store(wait.into_raw_fd(), SeqCst);
    let stack = Stack::find();
    std::thread::Builder::new()
        .name("crash-report".into())
        .spawn(move || report(woken, done, &stack))?;
    for (signal, _) in SIGNALS {
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = crashed;
        set_action(
            signal,
            handler as libc::sighandler_t,
            // The stack for signals, which the threads of `std` have, since the usual one may be full.
            libc::SA_SIGINFO | libc::SA_ONSTACK,
        )?;
    }
    Ok(())
}

/// Sets what a signal does. May be called in a handler.
fn set_action(signal: c_int, handler: libc::sighandler_t, flags: c_int) -> io::Result<()> {
    // SAFETY: zeros are a valid action without flags and with an empty mask, which the kernel reads before the call returns; a
    // handler that is passed here does only what is allowed in one.
    let set = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The handler. Everything it calls may be called in one (signal-safety(7)).
extern "C" fn crashed(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a filled siginfo_t, whose fields are those of the signal's kind.
    let (code, address, pid, uid) = unsafe {
        let info = &*info;
        match info.si_code {
            code @ ..=0 => (code, 0, info.si_pid(), info.si_uid()),
            code => (code, info.si_addr() as usize, 0, 0),
        }
    };
    // SAFETY: takes nothing and never fails.
    let thread = unsafe { libc::gettid() };
    let wanted = SHARED
        .engine
        .get()
        .is_some_and(|engine| engine.config().live.crash_log.load(SeqCst));
    if wanted && thread != SHARED.reporter.load(SeqCst) {
        if SHARED.taken.swap(true, SeqCst) {
            // Another thread's crash is being reported, which ends the process.
            // SAFETY: waits for nothing but the time.
            unsafe { libc::poll(ptr::null_mut(), 0, PATIENCE_MS) };
        } else {
            SHARED.signal.store(signal, SeqCst);
            SHARED.code.store(code, SeqCst);
            SHARED.address.store(address, SeqCst);
            SHARED.pid.store(pid, SeqCst);
            SHARED.uid.store(uid as usize, SeqCst);
            SHARED.thread.store(thread, SeqCst);
            SHARED.registers.store(context.cast(), SeqCst);
            SHARED
                .running
                .store(engine::running_here().cast_mut(), SeqCst);
            wait_for_report();
        }
    }
    // What fails here leaves the handler in place, which then finds that a report was made.
    let _ = set_action(signal, libc::SIG_DFL, 0);
    if code <= 0 {
        // Nothing here that would bring it about again; delivered when the handler returns.
        // SAFETY: may be called in a handler.
        unsafe { libc::raise(signal) };
    }
}

/// Wakes the reporting thread and waits until it is done, or gone, or takes too long.
fn wait_for_report() {
    let late = b"redpoll: the report of a crash could not be written in time\n";
    let mut done = libc::pollfd {
        fd: SHARED.done.load(SeqCst),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the buffers live as long as the calls, which may be made in a handler.
    unsafe {
        libc::write(SHARED.wake.load(SeqCst), b"!".as_ptr().cast(), 1);
        if libc::poll(&raw mut done, 1, PATIENCE_MS) == 0 {
            libc::write(2, late.as_ptr().cast(), late.len());
        }
    }
}

/// The reporting thread: waits for a crash and reports it.
fn report(mut woken: PipeReader, mut done: PipeWriter, stack: &Stack) {
    // SAFETY: takes nothing and never fails.
    SHARED.reporter.store(unsafe { libc::gettid() }, SeqCst);
    if woken.read_exact(&mut [0]).is_err() {
        return;
    }
    let registers = SHARED.registers.load(SeqCst);
    // SAFETY: the handler stands still, and the kernel has put the registers onto its stack.
    let registers = unsafe { registers.as_ref() }.map(Registers::of);
    tracing::error!("{}", what_happened(registers.as_ref()));
    // SAFETY: so does what the thread was at.
    if let Some(running) = unsafe { engine::describe_running(SHARED.running.load(SeqCst)) } {
        tracing::error!("What it was at:{running}");
    } else {
        tracing::error!(
            "It was at no command of a client. version: {}",
            engine::VERSION
        );
    }
    // What takes longest, and reads files, comes last.
    if let Some(registers) = registers {
        tracing::error!("Where it was:{}", stack.trace(&registers));
    }
    tracing::error!("=== end of the report of a crash ===");
    // Who waits is told by the pipe's closing as well.
    let _ = done.write_all(b"!");
}

/// Which signal, of which thread, because of what.
fn what_happened(registers: Option<&Registers>) -> String {
    let (signal, code) = (SHARED.signal.load(SeqCst), SHARED.code.load(SeqCst));
    let name = SIGNALS.iter().find(|(known, _)| *known == signal);
    let thread = SHARED.thread.load(SeqCst);
    let called = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
    let mut text = format!(
        "=== report of a crash: the server ends by signal {signal} ({}), code {code} ===\n  thread: {thread} {}",
        name.map_or("?", |(_, name)| name),
        called.unwrap_or_default().trim()
    );
    // Writing to a string does not fail.
    let _ = match code {
        libc::SI_USER => write!(
            text,
            "\n  sent by process {} of user {}",
            SHARED.pid.load(SeqCst),
            SHARED.uid.load(SeqCst)
        ),
        ..=0 => write!(text, "\n  sent by the process to itself"),
        _ => {
            let address = SHARED.address.load(SeqCst) as u64;
            write!(
                text,
                "\n  address: {address:#x}, {}",
                stack::mapping_of(address, registers)
            )
        }
    };
    text
}
