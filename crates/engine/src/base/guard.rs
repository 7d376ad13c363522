//! Panics: what a bug in one command may cost is its reply.
//!
//! Whoever calls a function that carries out a command calls it through [`guarded`], makes good what it left half done, and
//! goes on with an error in its place. Locks are released by their guards; what has been changed and said to be is announced.

use crate::base::stats::Counters;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of `f`; None if it panicked, which is counted and logged. `what` says what it was.
#[inline]
pub fn guarded<R>(counters: &Counters, what: &str, f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(_) => {
            note(counters, what);
            None
        }
    }
}

/// Counts and logs a panic that was caught.
#[cold]
pub fn note(counters: &Counters, what: &str) {
    counters.panics.add(1);
    tracing::error!("a panic was caught: {what}");
}
