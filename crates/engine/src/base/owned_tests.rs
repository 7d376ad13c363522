//! The lock with an owner: under a model checker, with many schedules chosen at random, and with the processor's own threads.
//!
//! Threads count with a number that is no atomic one, read and written apart, with others running in between. Whatever the
//! schedule, no two are inside at once, no step is lost, and nobody waits for ever, which the model checker would report.

use super::journal_checked::owned::Owned;
use super::owned;
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const SCHEDULES: usize = 6000;

#[derive(Default)]
struct Counted {
    number: u64,
    /// Somebody is inside; not the model's, so that looking at it is no step of its own.
    inside: AtomicBool,
}

impl Counted {
    fn count(&mut self) {
        assert!(!self.inside.swap(true, Relaxed), "two are inside");
        let before = self.number;
        thread::yield_now();
        self.number = before + 1;
        self.inside.store(false, Relaxed);
    }
}

/// One thread counts with all locks again and again, as their owner; one takes all of them at once; `others` want to own the first
/// one too.
fn model(others: u64) {
    let locks: Arc<[Owned<Counted>; 2]> = Arc::default();
    let mut threads = vec![locks.clone(), locks.clone()].into_iter();
    let owner = threads
        .next()
        .map(|locks| thread::spawn(move || (0..6).for_each(|n| locks[n % 2].with(Counted::count))));
    let taker = threads.next().map(|locks| {
        thread::spawn(move || {
            for _ in 0..2 {
                let mut all = Owned::take_all(locks.iter());
                all.iter_mut().for_each(|taken| taken.count());
                drop(all);
                locks[1].take().count();
            }
        })
    });
    let others = (0..others).map(|_| {
        let locks = locks.clone();
        thread::spawn(move || (0..3).for_each(|_| locks[0].with(Counted::count)))
    });
    let others: Vec<_> = others.collect();
    let counted = others.len() as u64 * 3;
    let all = owner.into_iter().chain(taker).chain(others);
    all.for_each(|thread| thread.join().expect("no panic"));
    let last = Owned::take_all(locks.iter());
    assert_eq!(last[0].number, 3 + 2 + counted);
    assert_eq!(last[1].number, 3 + 2 + 2);
}

#[test]
fn nobody_is_inside_with_another_under_every_schedule() {
    for others in [0, 1, 2] {
        shuttle::check_random(move || model(others), SCHEDULES / 3);
        shuttle::check_pct(move || model(others), SCHEDULES / 3, 3);
    }
}

/// The same with the processor's threads and the system's barrier. That the barrier is there is not tested: what the owner writes and
/// what it reads lie in one cache line, so that x86 does without in practice.
#[test]
fn threads_that_run_lose_no_step() {
    let (lock, done) = (owned::Owned::<[u64; 2]>::default(), AtomicBool::new(false));
    let takes = 5000;
    let steps = std::thread::scope(|s| {
        let owner = s.spawn(|| {
            let mut steps = 0;
            while !done.load(Relaxed) {
                lock.with(|numbers| {
                    assert_eq!(numbers[0], numbers[1]);
                    numbers[0] += 1;
                    numbers[1] += 1;
                });
                steps += 1;
            }
            steps
        });
        for n in 0..takes {
            let mut all = owned::Owned::take_all([&lock].into_iter());
            assert_eq!(all[0][0], all[0][1]);
            all[0][0] += 1;
            all[0][1] += 1;
            drop(all);
            // So that it is owned again.
            (0..1000 + n).for_each(|_| std::hint::spin_loop());
        }
        done.store(true, Relaxed);
        owner.join().expect("no panic")
    });
    assert_eq!(*lock.take(), [steps + takes; 2]);
}

#[test]
fn who_panics_inside_has_left() {
    let lock = owned::Owned::<u64>::default();
    for n in 0..200 {
        let panics = std::panic::AssertUnwindSafe(|| {
            lock.with(|number| {
                *number += 1;
                assert!(n % 3 != 0, "as it is to");
            });
        });
        assert_eq!(std::panic::catch_unwind(panics).is_err(), n % 3 == 0);
    }
    assert_eq!(*lock.take(), 200);
}

#[test]
#[cfg(target_os = "linux")]
#[should_panic(expected = "taken once")]
fn nobody_goes_inside_twice() {
    let lock = owned::Owned::<u64>::default();
    (0..super::sync::IN_A_ROW + 1).for_each(|_| lock.with(|number| *number += 1));
    lock.with(|_| lock.with(|number| *number += 1));
}
