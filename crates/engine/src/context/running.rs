//! What a thread is at: the command that it carries out, for whom, and within which others.
//!
//! A thread that a fatal signal has stopped can say nothing itself, so each leaves a note where the report of the crash finds it: on
//! its own stack, at an address that is all a command pays for. A panic's report says the same, from the same note.

use crate::base::stats::Counters;
use crate::client::clients::Client;
use crate::context::command::Entry;
use crate::context::engine::Engine;
use crate::context::report;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

/// A command that is being carried out.
pub(crate) struct Running<'a> {
    pub entry: &'a Entry,
    pub argv: &'a [&'a [u8]],
    pub engine: &'a Engine,
    /// Of its thread; None on a helper thread that does a job for a command.
    pub counters: Option<&'a Counters>,
    /// Of the session that carries it out, which outlives that.
    pub client: *const Client,
    pub db: usize,
    pub in_script: bool,
    pub nested: bool,
    pub helper: bool,
    /// The command that it is a part of; null if none.
    pub within: *const Running<'static>,
}

thread_local! {
    /// The innermost command of the thread. Needs no set-up and no clean-up, so that a signal's handler may read it.
    static INNERMOST: Cell<*const Running<'static>> = const { Cell::new(std::ptr::null()) };
}

impl<'a> Running<'a> {
    /// What a command has left to a helper thread.
    pub fn job(entry: &'a Entry, engine: &'a Engine, client: &Client) -> Running<'a> {
        Running {
            entry,
            argv: &[],
            engine,
            counters: None,
            client,
            db: client.db.load(Relaxed),
            in_script: false,
            nested: false,
            helper: true,
            within: Running::innermost(),
        }
    }

    /// The innermost command of this thread.
    #[inline]
    pub fn innermost() -> *const Running<'static> {
        INNERMOST.get()
    }

    /// Notes it while `f` runs, which does not panic outward.
    #[inline]
    pub fn during<R>(&self, f: impl FnOnce() -> R) -> R {
        INNERMOST.set(std::ptr::from_ref(self).cast());
        let result = f();
        INNERMOST.set(self.within);
        result
    }
}

/// What the calling thread is at, for [`describe`]; null if at no command. May be called in a signal's handler.
pub fn here() -> *const () {
    Running::innermost().cast()
}

/// What a thread was at, in lines; nothing if at no command. Arguments are told only if `hide-user-data-from-log` lets them, and never secrets.
///
/// # Safety
///
/// `at` is null or what [`here`] returned on a thread that has stood still since then and goes on to do so.
pub unsafe fn describe(at: *const ()) -> Option<String> {
    let at = at.cast::<Running<'_>>();
    // SAFETY: the note lies on the stack of a thread that has not left the call which noted it.
    let running = unsafe { at.as_ref() }?;
    Some(report::lines(running))
}
