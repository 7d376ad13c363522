//! The hand-over between those who log and the log's thread, with a model checker's locks: many schedules, chosen at random.

#![allow(
    clippy::duplicate_mod,
    reason = "the point: the code that runs, with other locks"
)]

mod primitives {
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
}
#[path = "guarded/handoff.rs"]
#[allow(dead_code, reason = "not everything is needed under the model checker")]
mod handoff;

use handoff::{Handoff, Outcome};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;

const SCHEDULES: usize = 2000;

/// A writer as the log's thread is one: takes all there is, makes it durable at once, publishes. It fails at a piece, if told.
fn write(handoff: &Handoff<u64>, synced: &AtomicU64, fail_at: Option<u64>) {
    let mut jobs = VecDeque::new();
    let mut broken = false;
    loop {
        let open = handoff.take(&mut jobs, None);
        let (count, last) = (jobs.len() as u64, jobs.back().copied());
        let failing = fail_at.filter(|at| jobs.contains(at));
        jobs.clear();
        broken |= failing.is_some();
        if let Some(last) = last.filter(|_| !broken) {
            synced.store(last, Ordering::SeqCst);
            handoff.publish(last, last, count);
        }
        if let Some(at) = failing {
            handoff.fail(&format!("at {at}"));
        }
        if !open {
            break;
        }
    }
    handoff.ended();
}

fn run(fail_at: Option<u64>) {
    shuttle::check_random(
        move || {
            let handoff = Arc::new(Handoff::new(0, 0, None));
            let synced = Arc::new(AtomicU64::new(0));
            let writer = {
                let (handoff, synced) = (Arc::clone(&handoff), Arc::clone(&synced));
                shuttle::thread::spawn(move || write(&handoff, &synced, fail_at))
            };
            let clients: Vec<_> = (0..3)
                .map(|_| {
                    let (handoff, synced) = (Arc::clone(&handoff), Arc::clone(&synced));
                    shuttle::thread::spawn(move || {
                        let mut told = Vec::new();
                        for _ in 0..2 {
                            let Ok(number) = handoff.piece(1, |number| number) else {
                                assert!(fail_at.is_some());
                                break;
                            };
                            match handoff.wait(number) {
                                Outcome::Durable => {
                                    assert!(synced.load(Ordering::SeqCst) >= number);
                                    told.push((number, true));
                                }
                                Outcome::Lost(_) => told.push((number, false)),
                            }
                        }
                        told
                    })
                })
                .collect();
            let told = clients
                .into_iter()
                .flat_map(|client| client.join().expect("no panic"));
            let mut told: Vec<(u64, bool)> = told.collect();
            handoff.close();
            writer.join().expect("no panic");
            told.sort_unstable();
            let numbers: Vec<u64> = told.iter().map(|(n, _)| *n).collect();
            assert_eq!(numbers, (1..=told.len() as u64).collect::<Vec<_>>());
            let synced = synced.load(Ordering::SeqCst);
            for (number, durable) in &told {
                assert_eq!(*durable, *number <= synced, "piece {number}");
            }
            match fail_at {
                None => assert_eq!(told.len(), 6),
                Some(at) => assert!(synced < at),
            }
            assert_eq!(handoff.progress().durable, synced);
        },
        SCHEDULES,
    );
}

#[test]
fn everyone_is_told_the_truth_once() {
    run(None);
}

#[test]
fn after_a_failure_everyone_is_told_and_nothing_more_is_taken() {
    run(Some(3));
}

#[test]
fn a_waker_left_in_time_is_woken() {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Poll, Wake, Waker};

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    shuttle::check_random(
        || {
            let handoff = Arc::new(Handoff::new(0, 0, None));
            let synced = Arc::new(AtomicU64::new(0));
            let writer = {
                let (handoff, synced) = (Arc::clone(&handoff), Arc::clone(&synced));
                shuttle::thread::spawn(move || write(&handoff, &synced, None))
            };
            let count = std::sync::Arc::new(Count(AtomicUsize::new(0)));
            let waker = Waker::from(std::sync::Arc::clone(&count));
            let number = handoff.piece(1, |number| number).expect("taken");
            let polled = handoff.poll(number, &waker);
            handoff.close();
            writer.join().expect("no panic");
            let woken = count.0.load(Ordering::SeqCst);
            assert_eq!(woken, usize::from(polled == Poll::Pending));
            assert_eq!(handoff.poll(number, &waker), Poll::Ready(Outcome::Durable));
        },
        SCHEDULES,
    );
}
