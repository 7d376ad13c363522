//! What [`super::journal`], [`super::owned`] and [`super::wait_list`] stand on, which are model-checked with other locks.

pub(super) use super::process::{barrier, has_barrier};
pub use parking_lot::{Mutex, MutexGuard};
pub use std::sync::atomic;
use std::time::Duration;

/// See [`super::owned`].
pub const IN_A_ROW: u32 = 64;

/// Threads that wait for a change.
#[derive(Debug, Default)]
pub struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// Waits, without the mutex, and has it again then.
    pub fn wait<'a, T>(&self, mut held: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(&mut held);
        held
    }

    /// The same for no longer than this.
    pub fn wait_for<T>(&self, held: &mut MutexGuard<'_, T>, time: Duration) {
        self.0.wait_for(held, time);
    }

    /// Wakes all of them.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// What no other thread has the same of while this one runs; never 0.
#[inline]
pub fn thread_key() -> usize {
    store::threads::number() + 1
}

/// What stands in front of this comes first for a [barrier] that another thread has put into this one.
#[inline]
pub fn no_reordering() {
    atomic::compiler_fence(atomic::Ordering::SeqCst);
}
