//! Holding several shards at once.
//!
//! A command on several keys holds the locks of all their shards for its whole run, so nobody sees it half done.
//! Everybody takes locks in ascending order of shard, and nobody waits while it holds some: [`Many::attempt`] tries for each
//! some tens of microseconds, and if that is not enough it lets go of all it has, and the caller stands in the line of
//! the one that it wants for (see [`crate::shard::parked`]). The rules live here, once, over any kind of lock, so that a
//! model checker can drive the very code the server runs.
//!
//! # Whoever finds out late
//! A script may come upon a key whose shard it does not hold. [`Many::reach`] takes that lock if it is free, in
//! whatever order: not waiting for it cannot lock anybody up. If it is not free there are two ways:
//!
//! * Who can still undo what it did lets go of everything and starts over, this time asking for all it learned to need.
//! * Who cannot must be the one holder of the [`Escalation`]. It waits for the lock while it holds others, which is safe
//!   because everybody else who tries while holding something, that is [`Many::attempt`], lets go as long as an
//!   escalation is waiting. Nobody who holds all it needs ever waits, so the escalation's wait is as long as the
//!   command that has the lock. It is the first of every line.

use crate::shard::parked::{Line, Parts, Turn};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

/// A lock that can be held.
pub trait Lockable {
    /// What holding it looks like; dropping it lets go.
    type Guard<'a>
    where
        Self: 'a;
    /// What its line is made of.
    type Parts: Parts;
    /// Takes the lock if nobody has it or claims it.
    fn try_acquire(&self) -> Option<Self::Guard<'_>>;
    /// Takes the lock if nobody has it and no number below this claims it.
    fn try_acquire_as(&self, number: u64) -> Option<Self::Guard<'_>>;
    /// Waits for the lock before everybody else. `long` is called once that has taken some time.
    fn acquire_as_first(&self, long: &mut dyn FnMut()) -> Self::Guard<'_>;
    /// Those who wait for it.
    fn line(&self) -> &Line<Self::Parts>;
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
    /// Takes the locks `wanted` (any order, repetitions allowed) out of those that `lock` gives for an index, as far as that
    /// is possible within some tens of microseconds. If it is not, nothing is held, and the error is the index of the lock
    /// that could not be had. `turn` is the place of one who has been waiting, who stands again then.
    pub fn attempt<'a, L, W: Waiting>(
        wanted: &mut Indices,
        lock: impl Fn(usize) -> &'a L,
        escalation: &Escalation<W>,
        mut turn: Option<&mut Turn>,
    ) -> Result<Many<G>, usize>
    where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        wanted.sort_unstable();
        wanted.dedup();
        let mut held: SmallVec<[(usize, G); 8]> = SmallVec::with_capacity(wanted.len());
        let mut at = 0;
        let mut since = <L::Parts as Parts>::Since::default();
        while let Some(&i) = wanted.get(at) {
            let one = lock(i);
            if let Some(guard) = one.try_acquire() {
                held.push((i, guard));
                at += 1;
                continue;
            }
            if let Some(turn) = &mut turn {
                turn.come_to(i, one.line());
            }
            loop {
                let number = turn.as_ref().map(|turn| turn.number);
                let guard = match one.line().may_be_free() {
                    true => one
                        .try_acquire()
                        .or_else(|| number.and_then(|number| one.try_acquire_as(number))),
                    false => None,
                };
                if let Some(guard) = guard {
                    held.push((i, guard));
                    at += 1;
                    break;
                }
                let over = !<L::Parts as Parts>::pause(&mut since);
                let lets_go = escalation.pending() && !held.is_empty();
                if over || lets_go {
                    held.clear();
                    at = 0;
                }
                if over {
                    return Err(i);
                }
                if lets_go {
                    break;
                }
            }
        }
        Ok(Many { held })
    }

    /// Takes the same locks however long that takes, or until some time; meanwhile this thread stands in line with nothing in
    /// its hands.
    pub fn wait<'a, L, W: Waiting>(
        wanted: &mut Indices,
        lock: impl Fn(usize) -> &'a L,
        escalation: &Escalation<W>,
        until: Option<Instant>,
    ) -> Option<Many<G>>
    where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        let first = match Many::attempt(wanted, &lock, escalation, None) {
            Ok(many) => return Some(many),
            Err(index) => index,
        };
        let mut turn = Turn::new(<L::Parts as Parts>::waker());
        turn.stand(first, |i| lock(i).line());
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let over = left.is_some_and(|left| left.is_zero());
            if !over {
                <L::Parts as Parts>::sleep(left);
            }
            match Many::attempt(wanted, &lock, escalation, Some(&mut turn)) {
                Err(index) if !over => turn.stand(index, |i| lock(i).line()),
                attempt => {
                    turn.leave(|i| lock(i).line());
                    return attempt.ok();
                }
            }
        }
    }

    /// Takes one more lock, in whatever order, if it is free or becomes free at once. True if it is held now.
    pub fn reach<'a, L>(&mut self, index: usize, lock: &'a L) -> bool
    where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        let Err(at) = self.held.binary_search_by_key(&index, |(i, _)| *i) else {
            return true;
        };
        let mut since = <L::Parts as Parts>::Since::default();
        loop {
            if lock.line().may_be_free()
                && let Some(guard) = lock.try_acquire()
            {
                self.held.insert(at, (index, guard));
                return true;
            }
            if !<L::Parts as Parts>::pause(&mut since) {
                return false;
            }
        }
    }

    /// Waits for one more lock, in whatever order. Only one thread at a time may be anywhere between its first such call
    /// and letting go of its locks. `long` is called once the wait has taken some time.
    pub fn escalate<'a, L, W: Waiting>(
        &mut self,
        index: usize,
        lock: &'a L,
        escalation: &Escalation<W>,
        long: &mut dyn FnMut(),
    ) where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        let Err(at) = self.held.binary_search_by_key(&index, |(i, _)| *i) else {
            return;
        };
        let guard = lock.try_acquire().unwrap_or_else(|| {
            escalation.waiting.enter();
            let guard = lock.acquire_as_first(long);
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
    pub fn iter(&self) -> impl Iterator<Item = &G> {
        self.held.iter().map(|(_, g)| g)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut G> {
        self.held.iter_mut().map(|(_, g)| g)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::parked::{Queue, Shared, Word};
    use shuttle::sync::atomic::{AtomicUsize as Number, Ordering};
    use shuttle::sync::{Arc, Mutex, MutexGuard};
    use shuttle::thread::Thread;
    use std::task::{Wake, Waker};
    use std::time::Duration;

    /// Lines under the model checker.
    struct Model;

    impl Word for Number {
        fn load(&self) -> usize {
            Number::load(self, Ordering::SeqCst)
        }
        fn exchange(&self, current: usize, new: usize) -> Result<(), usize> {
            self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
                .map(drop)
        }
        fn set(&self, bits: usize) {
            self.fetch_or(bits, Ordering::SeqCst);
        }
        fn clear(&self, bits: usize) {
            self.fetch_and(!bits, Ordering::SeqCst);
        }
    }

    impl Shared for Mutex<Queue> {
        fn with<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R {
            f(&mut self.lock().unwrap())
        }
    }

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }

    impl Parts for Model {
        type Word = Number;
        type Queue = Mutex<Queue>;
        type Since = u32;
        fn pause(since: &mut u32) -> bool {
            shuttle::thread::yield_now();
            *since += 1;
            *since < 2
        }
        fn waker() -> Waker {
            Waker::from(std::sync::Arc::new(Unpark(shuttle::thread::current())))
        }
        fn sleep(_: Option<Duration>) {
            shuttle::thread::park();
        }
    }

    /// A number behind a lock with a line. That two have it at a time would show.
    struct Checked {
        line: Line<Model>,
        value: Mutex<i64>,
    }

    struct Holding<'a> {
        line: &'a Line<Model>,
        value: Option<MutexGuard<'a, i64>>,
    }

    impl Holding<'_> {
        fn value(&mut self) -> &mut i64 {
            self.value.as_mut().unwrap()
        }
    }

    impl Drop for Holding<'_> {
        fn drop(&mut self) {
            self.value = None;
            self.line.unlock();
        }
    }

    impl Checked {
        fn new(n: i64) -> Checked {
            Checked {
                line: Line::of(Number::new(0), Mutex::default()),
                value: Mutex::new(n),
            }
        }

        fn taken(&self) -> Holding<'_> {
            Holding {
                line: &self.line,
                value: Some(self.value.try_lock().expect("two have a lock")),
            }
        }
    }

    impl Lockable for Checked {
        type Guard<'a> = Holding<'a>;
        type Parts = Model;
        fn try_acquire(&self) -> Option<Holding<'_>> {
            self.line.try_lock().then(|| self.taken())
        }
        fn try_acquire_as(&self, number: u64) -> Option<Holding<'_>> {
            self.line.try_lock_as(number).then(|| self.taken())
        }
        fn acquire_as_first(&self, long: &mut dyn FnMut()) -> Holding<'_> {
            self.line.wait_as_first(long);
            self.taken()
        }
        fn line(&self) -> &Line<Model> {
            &self.line
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

    /// The locks, the escalation's state, and the token that only one may escalate with: the last of the locks.
    struct World {
        shards: Vec<Checked>,
        escalation: Escalation<Number>,
    }

    type Held<'a> = Many<Holding<'a>>;

    const TOKEN: usize = 3;

    impl World {
        fn new() -> Arc<World> {
            Arc::new(World {
                shards: (0..=TOKEN).map(|_| Checked::new(10)).collect(),
                escalation: Escalation::new(Number::new(0)),
            })
        }

        /// As a thread waits.
        fn acquire(&self, wanted: &[usize]) -> Held<'_> {
            let mut wanted = Indices::from_slice(wanted);
            Many::wait(&mut wanted, |i| &self.shards[i], &self.escalation, None)
                .expect("it waits as long as it takes")
        }

        fn attempt(&self, wanted: &mut Indices, turn: &mut Turn) -> Result<Held<'_>, usize> {
            Many::attempt(wanted, |i| &self.shards[i], &self.escalation, Some(turn))
        }

        fn stand(&self, turn: &mut Turn, at: usize) {
            turn.stand(at, |i| &self.shards[i].line);
            shuttle::thread::park();
        }

        /// As a connection that is parked: the token first, then the others, and a wait with nothing in its hands for
        /// whatever could not be had.
        fn parked(
            &self,
            turn: &mut Turn,
            wanted: &[usize],
            token: bool,
        ) -> (Option<Held<'_>>, Held<'_>) {
            loop {
                let mut first = None;
                if token {
                    match self.attempt(&mut Indices::from_slice(&[TOKEN]), turn) {
                        Ok(held) => first = Some(held),
                        Err(at) => {
                            self.stand(turn, at);
                            continue;
                        }
                    }
                }
                match self.attempt(&mut Indices::from_slice(wanted), turn) {
                    Ok(held) => {
                        turn.leave(|i| &self.shards[i].line);
                        return (first, held);
                    }
                    Err(at) => {
                        drop(first);
                        self.stand(turn, at);
                    }
                }
            }
        }
    }

    fn take(held: &mut Held<'_>, from: usize, n: i64) {
        *held.get_mut(from).unwrap().value() -= n;
        shuttle::thread::yield_now();
    }

    /// As a script moves one from a shard it declared to one that it did not: undoing and starting over if it has to.
    fn move_undeclared(world: &World, from: usize, to: usize, token_at_once: bool) {
        let mut turn = Turn::new(Model::waker());
        let mut wanted = Indices::from_slice(&[from]);
        for attempt in 0.. {
            let with_token = token_at_once || attempt > 0;
            let (token, mut held) = world.parked(&mut turn, &wanted, with_token);
            take(&mut held, from, 1);
            if token.is_some() {
                held.escalate(to, &world.shards[to], &world.escalation, &mut || ());
            } else if !held.reach(to, &world.shards[to]) {
                take(&mut held, from, -1);
                wanted.push(to);
                continue;
            }
            *held.get_mut(to).unwrap().value() += 1;
            return;
        }
    }

    /// As a transaction takes one from each of two shards that it knows, and in its middle a script of it gives both to a third. With
    /// `definite` it comes in between to something that cannot be undone, for which it asks for the token without waiting.
    fn transact_undeclared(world: &World, from: [usize; 2], to: usize, definite: bool) {
        let mut turn = Turn::new(Model::waker());
        let mut wanted = Indices::from_slice(&from);
        for attempt in 0.. {
            // Twice it lets go, then it waits for the right to wait.
            let (mut token, mut held) = world.parked(&mut turn, &wanted, attempt > 1);
            take(&mut held, from[0], 1);
            if definite && token.is_none() {
                let none = &mut Turn::new(Model::waker());
                token = world.attempt(&mut Indices::from_slice(&[TOKEN]), none).ok();
                if token.is_none() {
                    take(&mut held, from[0], -1);
                    continue;
                }
            }
            take(&mut held, from[1], 1);
            if token.is_some() {
                held.escalate(to, &world.shards[to], &world.escalation, &mut || ());
            } else if !held.reach(to, &world.shards[to]) {
                take(&mut held, from[1], -1);
                take(&mut held, from[0], -1);
                wanted.push(to);
                continue;
            }
            *held.get_mut(to).unwrap().value() += 2;
            return;
        }
    }

    /// Transactions with scripts in them, which take the token late or not at all, beside commands and a reader: under any schedule
    /// all end, and every sum is whole.
    #[test]
    fn transactions_that_start_over_are_atomic_and_end_in_any_schedule() {
        shuttle::check_random(
            || {
                let world = World::new();
                let mut threads = Vec::new();
                let mut spawn = |f: Box<dyn FnOnce(&World) + Send>| {
                    let world = world.clone();
                    threads.push(shuttle::thread::spawn(move || f(&world)));
                };
                for (from, to, definite) in [
                    ([0, 1], 2, false),
                    ([1, 2], 0, false),
                    ([2, 2], 0, true),
                    ([0, 0], 2, true),
                ] {
                    spawn(Box::new(move |world| {
                        transact_undeclared(world, from, to, definite);
                    }));
                }
                spawn(Box::new(|world| move_undeclared(world, 1, 0, false)));
                spawn(Box::new(|world| {
                    let mut turn = Turn::new(Model::waker());
                    let (_, mut held) = world.parked(&mut turn, &[2, 1], false);
                    take(&mut held, 2, 1);
                    *held.get_mut(1).unwrap().value() += 1;
                }));
                spawn(Box::new(|world| {
                    let mut held = world.acquire(&[2, 1, 0]);
                    let sum: i64 = held.iter_mut().map(|g| *g.value()).sum();
                    assert_eq!(sum, 30, "a transfer was seen half done");
                }));
                for t in threads {
                    t.join().unwrap();
                }
                for shard in &world.shards {
                    assert!(shard.line.is_idle(), "something is left in a line");
                }
            },
            1000,
        );
    }

    /// Transfers between shards in every order, declared and not, by threads and by parked connections, some of which go away
    /// while they wait, with readers that sum them: under any schedule nobody waits for ever, and every sum is whole.
    #[test]
    fn any_schedule_is_atomic_and_ends() {
        shuttle::check_random(
            || {
                let world = World::new();
                let mut threads = Vec::new();
                let mut spawn = |f: Box<dyn FnOnce(&World) + Send>| {
                    let world = world.clone();
                    threads.push(shuttle::thread::spawn(move || f(&world)));
                };
                for (from, to) in [(0usize, 2usize), (1, 0)] {
                    spawn(Box::new(move |world| {
                        let mut held = world.acquire(&[from, to, from]);
                        take(&mut held, from, 1);
                        *held.get_mut(to).unwrap().value() += 1;
                    }));
                }
                for (from, to) in [(2usize, 0usize), (1, 2)] {
                    spawn(Box::new(move |world| {
                        let mut turn = Turn::new(Model::waker());
                        let (_, mut held) = world.parked(&mut turn, &[from, to], false);
                        take(&mut held, from, 1);
                        *held.get_mut(to).unwrap().value() += 1;
                    }));
                }
                for (from, to, at_once) in [(2, 0, false), (1, 0, true), (0, 2, true)] {
                    spawn(Box::new(move |world| {
                        move_undeclared(world, from, to, at_once);
                    }));
                }
                // One whose client goes away while it waits, whether it has been called or not.
                spawn(Box::new(|world| {
                    let mut turn = Turn::new(Model::waker());
                    for _ in 0..2 {
                        match world.attempt(&mut Indices::from_slice(&[0, 1]), &mut turn) {
                            Ok(held) => drop(held),
                            Err(at) => turn.stand(at, |i| &world.shards[i].line),
                        }
                        shuttle::thread::yield_now();
                    }
                    turn.leave(|i| &world.shards[i].line);
                }));
                spawn(Box::new(|world| {
                    let mut held = world.acquire(&[2, 1, 0]);
                    let sum: i64 = held.iter_mut().map(|g| *g.value()).sum();
                    assert_eq!(sum, 30, "a transfer was seen half done");
                }));
                for t in threads {
                    t.join().unwrap();
                }
                for shard in &world.shards {
                    assert!(shard.line.is_idle(), "something is left in a line");
                }
            },
            1000,
        );
    }

    /// One lock, and many who come for it again and again: whoever stands in its line gets through, under any schedule.
    #[test]
    fn nobody_is_passed_over_for_ever_in_any_schedule() {
        shuttle::check_random(
            || {
                let world = World::new();
                let mut threads = Vec::new();
                for parked in [false, true, true, false] {
                    let world = world.clone();
                    threads.push(shuttle::thread::spawn(move || {
                        for _ in 0..3 {
                            let mut turn = Turn::new(Model::waker());
                            let mut held = match parked {
                                true => world.parked(&mut turn, &[0], false).1,
                                false => world.acquire(&[0]),
                            };
                            take(&mut held, 0, 1);
                        }
                    }));
                }
                for t in threads {
                    t.join().unwrap();
                }
                assert_eq!(*world.acquire(&[0]).get_mut(0).unwrap().value(), -2);
                assert!(world.shards[0].line.is_idle());
            },
            1000,
        );
    }
    /// Of two in a line the first goes away, at whatever moment: the second is called all the same.
    #[test]
    fn who_goes_away_passes_the_call_on_in_any_schedule() {
        shuttle::check_random(
            || {
                let world = World::new();
                let held = world.acquire(&[0]);
                let leaves = world.clone();
                let leaving = shuttle::thread::spawn(move || {
                    let mut turn = Turn::new(Model::waker());
                    turn.stand(0, |i| &leaves.shards[i].line);
                    shuttle::thread::yield_now();
                    turn.leave(|i| &leaves.shards[i].line);
                });
                let stays = world.clone();
                let staying = shuttle::thread::spawn(move || {
                    let mut turn = Turn::new(Model::waker());
                    drop(stays.parked(&mut turn, &[0], false));
                });
                shuttle::thread::yield_now();
                drop(held);
                leaving.join().unwrap();
                staying.join().unwrap();
                assert!(world.shards[0].line.is_idle());
            },
            1000,
        );
    }
}
