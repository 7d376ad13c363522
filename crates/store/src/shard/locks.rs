//! Holding several shards at once.
//!
//! A command on several keys holds the locks of all their shards for its whole run, so nobody sees it half done.
//! Everybody takes locks in ascending order of shard, so no two can wait for each other. The rule lives here, once,
//! over any kind of lock, so that a model checker can drive the very code the server runs.
//!
//! # Whoever finds out late
//! A script may come upon a key whose shard it does not hold. [`Many::reach`] takes that lock if it is free, in
//! whatever order: not waiting for it cannot lock anybody up. If it is not free there are two ways:
//!
//! * Who can still undo what it did lets go of everything and starts over, this time asking for all it learned to need.
//! * Who cannot must be the one holder of the [`Escalation`]. It waits for the lock while it holds others, which is safe
//!   because everybody else who waits while holding something, that is [`Many::acquire`], lets go as long as an
//!   escalation is waiting. Nobody who holds all it needs ever waits, so the escalation's wait is as long as the
//!   command that has the lock.

use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// How long a lock is waited for at a time before looking whether somebody escalates.
const GLANCE: Duration = Duration::from_micros(50);

/// A lock that can be held.
pub trait Lockable {
    /// What holding it looks like; dropping it lets go.
    type Guard<'a>
    where
        Self: 'a;
    /// Waits for the lock.
    fn acquire(&self) -> Self::Guard<'_>;
    /// Takes the lock if nobody has it.
    fn try_acquire(&self) -> Option<Self::Guard<'_>>;
    /// Waits for the lock no longer than this.
    fn acquire_for(&self, patience: Duration) -> Option<Self::Guard<'_>>;
    /// Lets others run.
    fn relax() {
        std::thread::yield_now();
    }
}

impl<T> Lockable for parking_lot::Mutex<T> {
    type Guard<'a>
        = parking_lot::MutexGuard<'a, T>
    where
        T: 'a;
    #[inline]
    fn acquire(&self) -> Self::Guard<'_> {
        self.lock()
    }
    #[inline]
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        self.try_lock()
    }
    fn acquire_for(&self, patience: Duration) -> Option<Self::Guard<'_>> {
        self.try_lock_for(patience)
    }
}

/// A number that threads share and count escalations with: an atomic integer, or what a model checker has in its place.
pub trait Waiting {
    /// Reads it.
    fn get(&self) -> usize;
    /// Adds one.
    fn enter(&self);
    /// Takes one off.
    fn leave(&self);
}

impl Waiting for AtomicUsize {
    #[inline]
    fn get(&self) -> usize {
        self.load(SeqCst)
    }
    fn enter(&self) {
        self.fetch_add(1, SeqCst);
    }
    fn leave(&self) {
        self.fetch_sub(1, SeqCst);
    }
}

/// Whether somebody waits for a lock while holding others. At most one may at a time; whoever uses [`Many::escalate`] sees
/// to that with a lock of its own, taken before all others.
#[derive(Debug, Default)]
pub struct Escalation<W = AtomicUsize> {
    waiting: W,
}

impl<W: Waiting> Escalation<W> {
    /// None is waiting; `waiting` is zero.
    pub const fn new(waiting: W) -> Escalation<W> {
        Escalation { waiting }
    }

    #[inline]
    fn pending(&self) -> bool {
        self.waiting.get() != 0
    }
}

/// The indices of the shards that a command needs: few, so they are kept on the stack.
pub type Indices = SmallVec<[usize; 8]>;

/// The guards of several locks with their indices, ascending.
pub struct Many<G> {
    held: SmallVec<[(usize, G); 8]>,
}

impl<G> Default for Many<G> {
    fn default() -> Many<G> {
        Many {
            held: SmallVec::new(),
        }
    }
}

impl<G> Many<G> {
    /// Takes the locks `wanted` (any order, repetitions allowed) out of those that `lock` gives for an index.
    ///
    /// Waits for each no longer than `patience`; None, with nothing held, if that was not enough.
    pub fn acquire<'a, L, W: Waiting>(
        wanted: &mut Indices,
        lock: impl Fn(usize) -> &'a L,
        escalation: &Escalation<W>,
        patience: Option<Duration>,
    ) -> Option<Many<G>>
    where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        wanted.sort_unstable();
        wanted.dedup();
        let mut held: SmallVec<[(usize, G); 8]> = SmallVec::with_capacity(wanted.len());
        let mut at = 0;
        let mut waited = Duration::ZERO;
        while let Some(&i) = wanted.get(at) {
            let guard = match lock(i).try_acquire() {
                Some(guard) => Some(guard),
                None => lock(i).acquire_for(GLANCE),
            };
            match guard {
                Some(guard) => {
                    held.push((i, guard));
                    at += 1;
                }
                None => {
                    waited += GLANCE;
                    if patience.is_some_and(|most| waited >= most) {
                        return None;
                    }
                    if escalation.pending() && !held.is_empty() {
                        held.clear();
                        at = 0;
                        L::relax();
                    }
                }
            }
        }
        Some(Many { held })
    }

    /// Takes one more lock, in whatever order, if it is free or becomes free at once. True if it is held now.
    pub fn reach<'a, L>(&mut self, index: usize, lock: &'a L, patience: Duration) -> bool
    where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        let Err(at) = self.held.binary_search_by_key(&index, |(i, _)| *i) else {
            return true;
        };
        let Some(guard) = lock.try_acquire().or_else(|| lock.acquire_for(patience)) else {
            return false;
        };
        self.held.insert(at, (index, guard));
        true
    }

    /// Waits for one more lock, in whatever order. Only one thread at a time may be anywhere between its first such call
    /// and letting go of its locks.
    pub fn escalate<'a, L, W: Waiting>(
        &mut self,
        index: usize,
        lock: &'a L,
        escalation: &Escalation<W>,
    ) where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        let Err(at) = self.held.binary_search_by_key(&index, |(i, _)| *i) else {
            return;
        };
        let guard = lock.try_acquire().unwrap_or_else(|| {
            escalation.waiting.enter();
            let guard = lock.acquire();
            escalation.waiting.leave();
            guard
        });
        self.held.insert(at, (index, guard));
    }

    /// Adds a lock that is held already.
    pub fn add(&mut self, index: usize, guard: G) {
        match self.held.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(_) => unreachable!("a lock cannot be held twice"),
            Err(at) => self.held.insert(at, (index, guard)),
        }
    }

    /// Whether lock `index` is held.
    #[inline]
    pub fn has(&self, index: usize) -> bool {
        self.held.binary_search_by_key(&index, |(i, _)| *i).is_ok()
    }

    /// The indices of all that is held, ascending.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        self.held.iter().map(|(i, _)| *i)
    }

    /// The guard of lock `index`, if it is held.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut G> {
        let at = self.held.binary_search_by_key(&index, |(i, _)| *i).ok()?;
        Some(&mut self.held[at].1)
    }

    /// The guard of lock `index`, to be looked through.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&G> {
        let at = self.held.binary_search_by_key(&index, |(i, _)| *i).ok()?;
        Some(&self.held[at].1)
    }

    /// All that is held, in ascending order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut G> {
        self.held.iter_mut().map(|(_, g)| g)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shuttle::sync::atomic::{AtomicUsize as Number, Ordering};
    use shuttle::sync::{Arc, Mutex, MutexGuard};

    struct Checked(Mutex<i64>);

    impl Lockable for Checked {
        type Guard<'a> = MutexGuard<'a, i64>;
        fn acquire(&self) -> MutexGuard<'_, i64> {
            self.0.lock().unwrap()
        }
        fn try_acquire(&self) -> Option<MutexGuard<'_, i64>> {
            self.0.try_lock().ok()
        }
        fn acquire_for(&self, _: Duration) -> Option<MutexGuard<'_, i64>> {
            shuttle::thread::yield_now();
            self.try_acquire()
        }
        fn relax() {
            shuttle::thread::yield_now();
        }
    }

    impl Waiting for Number {
        fn get(&self) -> usize {
            self.load(Ordering::SeqCst)
        }
        fn enter(&self) {
            self.fetch_add(1, Ordering::SeqCst);
        }
        fn leave(&self) {
            self.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The locks, the escalation's state, and the token that only one may escalate with.
    struct World {
        shards: Vec<Checked>,
        escalation: Escalation<Number>,
        token: Mutex<()>,
    }

    type Held<'a> = Many<MutexGuard<'a, i64>>;

    impl World {
        fn acquire(&self, wanted: &[usize]) -> Held<'_> {
            Many::acquire(
                &mut Indices::from_slice(wanted),
                |i| &self.shards[i],
                &self.escalation,
                None,
            )
            .unwrap()
        }
    }

    fn take(held: &mut Held<'_>, from: usize, n: i64) {
        **held.get_mut(from).unwrap() -= n;
        shuttle::thread::yield_now();
    }

    /// As a script moves one from a shard it declared to one that it did not: undoing and starting over if it has to.
    fn move_undeclared(world: &World, from: usize, to: usize, token_at_once: bool) {
        let mut wanted = Indices::from_slice(&[from]);
        for attempt in 0.. {
            let token = (token_at_once || attempt > 0).then(|| world.token.lock().unwrap());
            let mut held = world.acquire(&wanted);
            take(&mut held, from, 1);
            if token.is_some() {
                held.escalate(to, &world.shards[to], &world.escalation);
            } else if !held.reach(to, &world.shards[to], Duration::ZERO) {
                take(&mut held, from, -1);
                wanted.push(to);
                continue;
            }
            **held.get_mut(to).unwrap() += 1;
            return;
        }
    }

    /// Transfers between shards in every order, declared and not, with readers that sum them: under any schedule nobody
    /// deadlocks and every sum is whole.
    #[test]
    fn any_schedule_is_atomic_and_ends() {
        shuttle::check_random(
            || {
                let world = Arc::new(World {
                    shards: (0..3).map(|_| Checked(Mutex::new(10))).collect(),
                    escalation: Escalation::new(Number::new(0)),
                    token: Mutex::new(()),
                });
                let mut threads = Vec::new();
                for (from, to) in [(0usize, 2usize), (2, 0), (1, 0)] {
                    let world = world.clone();
                    threads.push(shuttle::thread::spawn(move || {
                        let mut held = world.acquire(&[from, to, from]);
                        take(&mut held, from, 1);
                        **held.get_mut(to).unwrap() += 1;
                    }));
                }
                for (from, to, at_once) in
                    [(2, 0, false), (0, 1, false), (1, 0, true), (0, 2, true)]
                {
                    let world = world.clone();
                    threads.push(shuttle::thread::spawn(move || {
                        move_undeclared(&world, from, to, at_once);
                    }));
                }
                let reader = world.clone();
                threads.push(shuttle::thread::spawn(move || {
                    let mut held = reader.acquire(&[2, 1, 0]);
                    let sum: i64 = held.iter_mut().map(|g| **g).sum();
                    assert_eq!(sum, 30, "a transfer was seen half done");
                }));
                for t in threads {
                    t.join().unwrap();
                }
            },
            1000,
        );
    }
}
