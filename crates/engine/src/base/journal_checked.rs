//! The journal with a model checker's locks: many schedules, chosen at random.
//!
//! Threads change two shards, alone and together, and write down what they did; one empties the lanes; one takes a snapshot at a
//! cut, as the keeper does. Whatever the schedule, the pieces before the snapshot give what it holds, and the pieces after it, over
//! what it holds, give what there is in the end.

#![allow(
    clippy::duplicate_mod,
    reason = "the point: the code that runs, with other locks"
)]

/// The model checker's locks, as the journal knows those that run.
pub(super) mod sync {
    pub use shuttle::sync::MutexGuard;
    pub use shuttle::sync::atomic;

    /// Soon, so that all that follows from it is tried.
    pub const IN_A_ROW: u32 = 1;

    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics")
        }
    }

    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
        pub fn wait<'a, T>(&self, held: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(held).expect("no thread panics")
        }
        /// Nobody sleeps for a time in the model.
        pub fn wait_for<T>(&self, _: &mut MutexGuard<'_, T>, _: std::time::Duration) {}
    }

    pub fn thread_key() -> usize {
        usize::from(shuttle::current::me()) + 1
    }

    /// In the model everything is done in one order anyway: what is left of a barrier in the one thread that stands for one in all.
    pub fn no_reordering() {
        atomic::fence(atomic::Ordering::SeqCst);
    }
    pub fn barrier() {
        atomic::fence(atomic::Ordering::SeqCst);
    }
    pub fn has_barrier() -> bool {
        true
    }
}
/// How much waits is no matter of order.
mod log_queue {
    #[derive(Debug, Default)]
    pub struct LogQueue;

    impl LogQueue {
        pub fn has_grown(&self, _: impl Fn() -> (usize, usize)) {}
        pub fn has_got_to(&self, _: usize, _: impl FnOnce() -> usize) {}
        pub fn has_before(&self, _: usize) {}
    }
}
#[path = "journal.rs"]
#[allow(dead_code, reason = "not everything is needed under the model checker")]
mod journal;
#[path = "owned.rs"]
pub(super) mod owned;

use journal::{Journal, Records};
use shuttle::thread;
use std::sync::Arc;
use sync::atomic::AtomicU64;
use sync::{Mutex, MutexGuard};

const SCHEDULES: usize = 6000;

type Shard = [u64; 2];

struct World {
    journal: Journal,
    shards: [Mutex<Shard>; 2],
    clocks: [AtomicU64; 2],
    /// What the log has: the bytes of all pieces.
    log: Mutex<Vec<u8>>,
}

impl World {
    /// Both locks, ascending.
    fn lock_all(&self) -> [MutexGuard<'_, Shard>; 2] {
        let first = self.shards[0].lock();
        [first, self.shards[1].lock()]
    }

    /// Empties the lanes into the log.
    fn pump(&self) -> MutexGuard<'_, Vec<u8>> {
        let mut log = self.log.lock();
        while let Some(piece) = self.journal.cut(&mut Some(0)) {
            log.extend_from_slice(&piece.bytes);
        }
        log
    }
}

/// Does what a log says, in which every value is one more than that before it.
fn replay(log: &[u8], shards: &mut [Shard; 2]) {
    let text = String::from_utf8_lossy(log);
    let words: Vec<&str> = text.split("\r\n").collect();
    for at in (0..words.len()).filter(|at| words[*at] == "SET") {
        let number = |n: usize| words[at + n].parse::<u64>().expect("a number");
        let place = &mut shards[number(2) as usize][number(4) as usize];
        assert_eq!(number(6), *place + 1, "in the order of execution");
        *place = number(6);
    }
}

/// Adds to places of shards that are held, and writes down what is there then.
fn add(held: &mut [(usize, &mut Shard)], place: usize, records: &mut Records) {
    for (number, shard) in held {
        shard[place] += 1;
        let [shard_text, place_text, value] =
            [*number as u64, place as u64, shard[place]].map(|n| n.to_string());
        records.push(0, &["SET", &shard_text, &place_text, &value]);
    }
}

fn work(world: &World, who: usize) {
    let lane = world.journal.add_lane();
    let (mut records, mut clock) = (Records::default(), 0);
    for round in 0..3 {
        let place = usize::from(round == 2);
        if round == who {
            let [mut a, mut b] = world.lock_all();
            add(&mut [(0, &mut a), (1, &mut b)], place, &mut records);
            if world.journal.is_on() {
                let held = |f: &mut dyn FnMut(&AtomicU64)| world.clocks.iter().for_each(f);
                (world.journal).write_down(&lane, &mut records, held, &mut clock);
            }
        } else {
            let number = usize::from(who == 1 && round == 2);
            let mut shard = world.shards[number].lock();
            add(&mut [(number, &mut shard)], place, &mut records);
            if world.journal.is_on() {
                let held = |f: &mut dyn FnMut(&AtomicU64)| f(&world.clocks[number]);
                (world.journal).write_down(&lane, &mut records, held, &mut clock);
            }
        }
        records = Records::default();
    }
}

/// Runs the model once.
fn model() {
    let world = Arc::new(World {
        journal: Journal::default(),
        shards: Default::default(),
        clocks: [0; 2].map(AtomicU64::new),
        log: Mutex::default(),
    });
    world.journal.turn(true);
    let mut threads: Vec<_> = (0..3)
        .map(|who| {
            let world = world.clone();
            thread::spawn(move || work(&world, who))
        })
        .collect();
    let pumped = world.clone();
    threads.push(thread::spawn(move || {
        for _ in 0..4 {
            drop(pumped.pump());
            thread::yield_now();
        }
    }));
    // The snapshot's moment: all locks, a cut, and what there is.
    let (taken, at) = {
        let all = world.lock_all();
        let log = world.pump();
        ([*all[0], *all[1]], log.len())
    };
    threads
        .into_iter()
        .for_each(|t| t.join().expect("no panic"));
    let log = world.pump().clone();
    let last = world.lock_all().map(|shard| *shard);
    let mut before = [Shard::default(); 2];
    replay(&log[..at], &mut before);
    assert_eq!(before, taken, "the log up to the cut");
    let mut after = taken;
    replay(&log[at..], &mut after);
    assert_eq!(after, last, "the log from the cut on");
}

#[test]
fn pieces_continue_a_snapshot_under_every_schedule() {
    shuttle::check_random(model, SCHEDULES / 3);
    // Threads that wait for long at a few places are what finds a cut that is none.
    shuttle::check_pct(model, SCHEDULES, 3);
}
