//! A disk that is slower than those who change keys: what waits for it is bounded, and only changes wait.

mod common;

use common::Kept;
use disk::faulty::{FaultyDisk, Operation};
use engine::{LogQueue, Persistence};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A disk that takes nothing while it is held.
#[derive(Default)]
struct Held(Mutex<bool>, Condvar);

impl Held {
    fn hold(&self, on: bool) {
        *self.0.lock().expect("no panic") = on;
        self.1.notify_all();
    }

    fn wait(&self) {
        let held = self.0.lock().expect("no panic");
        drop(self.1.wait_while(held, |held| *held).expect("no panic"));
    }
}

#[test]
fn what_waits_for_the_disk_is_bounded_and_reads_go_on() {
    let (disk, held) = (FaultyDisk::new(), Arc::new(Held::default()));
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    let waits = held.clone();
    disk.script(move |operation, _| {
        if matches!(operation, Operation::Append(_)) {
            waits.wait();
        }
        None
    });
    held.hold(true);
    let (stop, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut writer = kept.another();
    let thread = std::thread::spawn({
        let (stop, written) = (stop.clone(), written.clone());
        move || {
            let value = "x".repeat(1 << 20);
            while !stop.load(SeqCst) {
                writer.ok(&format!("SET large {value}"));
                written.fetch_add(1, SeqCst);
            }
        }
    });
    let queue = &kept.engine.journal.queue;
    for _ in 0..20_000 {
        if queue.waits() > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(queue.waits() > 0);
    // Until what is on its way from the journal to the log is counted once.
    let bounded = LogQueue::BOUND..LogQueue::BOUND + (4 << 20);
    for left in (0..200).rev() {
        let waiting = queue.bytes() + kept.engine.journal.waiting_bytes();
        if bounded.contains(&waiting) {
            break;
        }
        assert!(left > 0, "{waiting}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = written.load(SeqCst);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(written.load(SeqCst), before, "changes wait");
    assert_eq!(kept.ok("EXISTS large"), ":1\r\n");
    assert!(
        kept.info("aof_buffer_length")
            .parse::<usize>()
            .expect("a number")
            > LogQueue::BOUND
    );
    stop.store(true, SeqCst);
    held.hold(false);
    thread.join().expect("it goes on");
    assert!(written.load(SeqCst) > before);
    kept.keeper.sync(0).expect("a sync");
    assert_eq!(kept.info("redpoll_log_queue_bytes"), "0");
}
