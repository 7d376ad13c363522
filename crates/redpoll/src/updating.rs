//! Whether this thread is inside of an update's closure, where it must make no other calls.

use crate::error::{Error, ErrorKind, Result};
use std::cell::Cell;

thread_local! {
    /// Whether the closure of an update is running on this thread.
    static UPDATING: Cell<bool> = const { Cell::new(false) };
}

/// That the closure of an update runs.
pub(crate) struct Updating(());

impl Updating {
    pub(crate) fn begin() -> Updating {
        UPDATING.set(true);
        Updating(())
    }
}

impl Drop for Updating {
    fn drop(&mut self) {
        UPDATING.set(false);
    }
}

/// Refuses a call inside of an update's closure that is made on something else than what the closure is given: the thread holds
/// locks, and would wait for itself, or for another thread that does the same the other way round.
#[inline]
pub(crate) fn check_not_updating() -> Result {
    if UPDATING.get() {
        return Err(nested());
    }
    Ok(())
}

#[cold]
fn nested() -> Error {
    Error::of(
        ErrorKind::InUpdate,
        "ERR a call inside of an update that is not made on what its closure is given",
    )
}
