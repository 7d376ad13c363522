//! Lists of those who wait with a model checker's locks: many schedules, chosen at random.
//!
//! Threads wait for a gate that others open and close again. Whatever the schedule, nobody sleeps while it is open for good, which
//! the model checker would report as a deadlock, and nobody is called more often than the gate was opened.

#![allow(
    clippy::duplicate_mod,
    reason = "the point: the code that runs, with other locks"
)]

/// The model checker's locks, as the list knows those that run.
mod sync {
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics")
        }
    }
}
#[path = "wait_list.rs"]
#[allow(dead_code, reason = "not everything is needed under the model checker")]
mod wait_list;

use shuttle::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use std::sync::Arc;
use std::task::{Wake, Waker};
use wait_list::{InLine, WaitList};

const SCHEDULES: usize = 5000;

/// A thread that sleeps until it is called.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().expect("no thread panics") = true;
        self.changed.notify_one();
    }
}

impl Bell {
    fn sleep(&self) {
        let mut rung = self.rung.lock().expect("no thread panics");
        while !*rung {
            rung = self.changed.wait(rung).expect("no thread panics");
        }
        *rung = false;
    }
}

#[derive(Default)]
struct Gate {
    /// Why it is closed: bits, of which each waiter heeds one.
    closed: AtomicUsize,
    list: Arc<WaitList>,
}

/// Passes the gate; how often it has slept.
fn pass(gate: &Gate, topic: usize) -> usize {
    let (bell, mut place, mut slept) = (Arc::new(Bell::default()), None, 0);
    let waker = Waker::from(bell.clone());
    loop {
        let seen = gate.list.seen();
        if gate.closed.load(Relaxed) & 1 << topic == 0 {
            return slept;
        }
        let place = place.get_or_insert_with(|| InLine::last(&gate.list));
        if place.wait(seen, topic, &waker) {
            bell.sleep();
            slept += 1;
        }
    }
}

fn open(gate: &Gate, topic: usize) {
    gate.closed.fetch_and(!(1 << topic), Relaxed);
    gate.list.call_those(|of| of == topic);
}

#[test]
fn nobody_sleeps_at_an_open_gate() {
    shuttle::check_random(
        || {
            let gate = Arc::new(Gate::default());
            gate.closed.store(0b11, Relaxed);
            let waiters: Vec<_> = [0, 0, 1, 1]
                .map(|topic| {
                    let gate = gate.clone();
                    thread::spawn(move || pass(&gate, topic))
                })
                .into();
            let openers: Vec<_> = [0, 1]
                .map(|topic| {
                    let gate = gate.clone();
                    thread::spawn(move || {
                        open(&gate, topic);
                        // And closes it once more, for those who were late.
                        gate.closed.fetch_or(1 << topic, Relaxed);
                        open(&gate, topic);
                    })
                })
                .into();
            for opener in openers {
                opener.join().expect("no thread panics");
            }
            for waiter in waiters {
                // Each call lets it look once.
                assert!(waiter.join().expect("no thread panics") <= 2);
            }
        },
        SCHEDULES,
    );
}
