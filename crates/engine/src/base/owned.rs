//! A lock that one thread takes nearly always, and that costs this one no locked instruction.
//!
//! A locked instruction takes as long as a dozen others, and the processor lets nothing go past it: what was written before has to
//! be in its cache first. The thread that takes the lock again and again, its *owner*, needs none here: it says that it is inside,
//! and then looks whether it still is the owner, with a plain store and a plain load. Whoever else wants in takes a mutex, takes the
//! ownership away, and has the system put a barrier into every running thread of the process; behind that either the owner sees that
//! it is none any more, or the other one sees that it is inside, and waits until it has left. The owner takes the mutex from then on,
//! like everybody, and owns the lock again when it has had it several times and nobody has come between.
//!
//! The first thread to change what is in there is the owner; when another one does too, the lock is a mutex for good. Where the system
//! has no such barrier it is one from the beginning.
//!
//! # Why it is safe
//! What is in there is touched by the owner while it is inside, and by whoever has the mutex while nobody owns the lock and nobody is
//! inside. Only with the mutex is the owner written, and only the one thread that `Claim::who` names ever writes that it is inside,
//! which never is another one. So who has the mutex and has taken the ownership away has to know one thing: that this thread neither is
//! inside nor believes to be. It believes so only if it has read the owner behind writing that it is inside. If the barrier falls
//! before that read, it reads that it is not the owner; if behind it, what it wrote before is seen. What it did inside happened before
//! it wrote that it has left (release, read with acquire), or under the mutex; what others did happened before the ownership was given
//! back (the same the other way round), or under the mutex. A thread's key is another's only when that thread has ended.

use super::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use super::sync::{
    Condvar, IN_A_ROW, Mutex, MutexGuard, barrier, has_barrier, no_reordering, thread_key,
};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Owned<T> {
    /// The key of the thread that needs no mutex; or 0.
    owner: AtomicUsize,
    /// The owner is inside. Written by the thread that is named by `Claim::who` alone.
    inside: AtomicBool,
    claim: Mutex<Claim>,
    /// The owner has left, and is none any more.
    left: Condvar,
    value: UnsafeCell<T>,
}

/// Who may own a lock.
#[derive(Debug, Default)]
struct Claim {
    who: Who,
    /// How often this thread has had the mutex since somebody else had it.
    in_a_row: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Who {
    /// Whoever comes first.
    #[default]
    Anybody,
    /// The thread with this key.
    One(usize),
    Nobody,
}

// SAFETY: the value is handed from thread to thread, never to two at once: see the module's page.
unsafe impl<T: Send> Sync for Owned<T> {}

impl<T> Owned<T> {
    /// Has this thread, which is to be the same one nearly always, change what is in there. `change` must not come here again.
    #[inline(always)]
    pub fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let me = thread_key();
        // Asked first because only one thread may ever say that it is inside.
        if self.owner.load(Relaxed) == me {
            assert!(!self.inside.load(Relaxed), "the lock is taken once");
            self.inside.store(true, Relaxed);
            no_reordering();
            let leaves = Leaves { lock: self, me };
            if self.owner.load(Acquire) == me {
                // SAFETY: this thread is the owner, and is inside.
                return change(unsafe { &mut *self.value.get() });
            }
            drop(leaves);
        }
        self.with_mutex(me, change)
    }

    #[cold]
    fn with_mutex<R>(&self, me: usize, change: impl FnOnce(&mut T) -> R) -> R {
        let mut taken = Taken::new(self, self.settled(self.claim.lock()));
        let result = change(&mut taken);
        let claim = &mut *taken.claim;
        match claim.who {
            Who::Anybody if has_barrier() => claim.who = Who::One(me),
            Who::One(who) if who == me => {
                claim.in_a_row += 1;
                if claim.in_a_row >= IN_A_ROW {
                    self.owner.store(me, Release);
                }
            }
            Who::Anybody | Who::One(_) | Who::Nobody => claim.who = Who::Nobody,
        }
        result
    }

    /// Takes the lock, whoever this thread is.
    pub fn take(&self) -> Taken<'_, T> {
        let mut taken = Taken::new(self, self.settled(self.claim.lock()));
        taken.claim.in_a_row = 0;
        taken
    }

    /// Takes several locks at once, with one barrier for all of them. Only one thread at a time may do so: while it waits for an owner to leave,
    /// it is without that lock's mutex and has the others', so that two would wait for each other.
    pub fn take_all<'a>(all: impl Iterator<Item = &'a Owned<T>>) -> Vec<Taken<'a, T>>
    where
        T: 'a,
    {
        let claims: Vec<_> = all.map(|lock| (lock, lock.claim.lock())).collect();
        let mut owned = false;
        for (lock, _) in &claims {
            if lock.owner.load(Relaxed) != 0 {
                lock.owner.store(0, Relaxed);
                owned = true;
            }
        }
        if owned {
            barrier();
        }
        let settled = claims.into_iter().map(|(lock, claim)| {
            let mut taken = Taken::new(lock, lock.settled(claim));
            taken.claim.in_a_row = 0;
            taken
        });
        settled.collect()
    }

    /// Returns, with the mutex, when nobody owns the lock and nobody is inside.
    fn settled<'a>(&'a self, mut claim: MutexGuard<'a, Claim>) -> MutexGuard<'a, Claim> {
        loop {
            if self.owner.load(Relaxed) != 0 {
                self.owner.store(0, Relaxed);
                barrier();
            }
            if !self.inside.load(Acquire) {
                return claim;
            }
            // Without the mutex for so long: who was inside may have left and become the owner again.
            claim = self.left.wait(claim);
        }
    }

    /// The owner was not the owner any more when it left: somebody may wait for that.
    #[cold]
    fn tell_that_it_left(&self) {
        drop(self.claim.lock());
        self.left.notify_all();
    }
}

/// Has the owner leave, also if it panics inside.
struct Leaves<'a, T> {
    lock: &'a Owned<T>,
    me: usize,
}

impl<T> Drop for Leaves<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.inside.store(false, Release);
        no_reordering();
        // If the barrier of who takes the ownership away falls behind this read, it sees that nobody is inside.
        if self.lock.owner.load(Relaxed) != self.me {
            self.lock.tell_that_it_left();
        }
    }
}

/// A lock that is taken by somebody, with its mutex.
pub(crate) struct Taken<'a, T> {
    lock: &'a Owned<T>,
    claim: MutexGuard<'a, Claim>,
}

impl<'a, T> Taken<'a, T> {
    /// `claim` is the lock's, and is [settled](Owned::settled).
    fn new(lock: &'a Owned<T>, claim: MutexGuard<'a, Claim>) -> Taken<'a, T> {
        Taken { lock, claim }
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mutex is held, nobody owns the lock and nobody is inside.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}
