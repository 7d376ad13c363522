//! What was promised stays so, and what cannot be kept is not taken: while a log that failed is made anew, where another client's
//! change took one's own along, and when the setting changes in between.

mod common;

use common::Kept;
use disk::faulty::{EIO, ENOSPC, Fault, FaultyDisk, Operation};
use engine::Persistence;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

/// What waits while it is held.
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

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("not in time: {what}");
}

/// Changes were taken from the moment on at which the rewrite began that was to make the log whole. Until it was complete they stood in no file
/// that a start reads, and if the disk was full once more they were gone with a crash, however long ago they had been answered.
#[test]
fn a_log_that_failed_takes_nothing_before_it_is_whole_again() {
    let (disk, held) = (FaultyDisk::new(), Arc::new(Held::default()));
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    kept.ok("INCR before");
    let (fails, waits) = (Arc::new(AtomicBool::new(true)), held.clone());
    disk.script({
        let fails = fails.clone();
        move |operation, path| {
            let path = path.to_string_lossy();
            if !matches!(operation, Operation::Append(_) | Operation::Write(_)) {
                return None;
            }
            if path.contains(".base") {
                waits.wait();
            }
            (path.contains(".incr.") && fails.load(SeqCst)).then_some(Fault::Error(ENOSPC))
        }
    });
    held.hold(true);
    eventually("the log fails", || {
        let _ = kept.run("INCR meanwhile");
        kept.info("aof_last_write_status") == "err"
    });
    fails.store(false, SeqCst);
    kept.await_info("aof_rewrite_in_progress", "1");
    for _ in 0..50 {
        let (reply, _) = kept.run("INCR after");
        assert!(reply.starts_with("-MISCONF"), "{reply}");
        std::thread::sleep(Duration::from_millis(1));
    }
    held.hold(false);
    eventually("changes are taken", || {
        kept.run("INCR after").0.starts_with(':')
    });
    assert_eq!(kept.info("aof_last_write_status"), "ok");
    kept.keeper.sync(0).expect("a sync");
    let mut again = Kept::open(&disk.crash(1), "everysec").expect("a whole log");
    for key in ["before", "meanwhile", "after"] {
        assert_eq!(again.number(key), kept.number(key), "{key}");
    }
}

/// Who was served by somebody else's change asks for the piece behind all that has been cut. If that change has been cut by then, there is
/// no such piece, and the answer left before the change was on the disk.
#[test]
fn who_was_served_waits_for_what_was_cut_before_it_asked() {
    let (disk, held) = (FaultyDisk::new(), Arc::new(Held::default()));
    let kept = Kept::open(&disk, "always").expect("an empty disk");
    let waits = held.clone();
    disk.script(move |operation, _| {
        if matches!(operation, Operation::Sync) {
            waits.wait();
        }
        None
    });
    held.hold(true);
    let mut writer = kept.another();
    let before = kept.engine.journal.last_piece();
    let thread = std::thread::spawn(move || writer.ok("INCR a"));
    eventually("it is cut", || kept.engine.journal.last_piece() > before);
    let asked = kept.engine.journal.last_piece() + 1;
    let poll = || kept.keeper.poll_durable(asked, Waker::noop());
    for _ in 0..20 {
        assert_eq!(poll(), Poll::Pending);
        std::thread::sleep(Duration::from_millis(1));
    }
    held.hold(false);
    eventually("it is on the disk", || poll() == Poll::Ready(Ok(())));
    // With a handle that asks for it, whatever the setting.
    assert_eq!(kept.keeper.sync(asked), Ok(()));
    thread.join().expect("no panic");
}

/// With `no` nothing is synced before a rewrite. Who waited for the disk when `always` was taken back waited until then.
#[test]
fn who_was_promised_the_disk_does_not_wait_for_ever_when_the_setting_changes() {
    for setting in ["no", "everysec"] {
        let disk = FaultyDisk::new();
        let mut kept = Kept::open(&disk, "always").expect("an empty disk");
        // Done, and not yet given to the log: its thread is told of the setting first.
        let piece = {
            let mut writer = kept.another();
            writer.run_unkept("INCR a");
            writer.session.piece()
        };
        assert!(piece > 0);
        kept.ok(&format!("CONFIG SET appendfsync {setting}"));
        eventually("it is on the disk", || {
            kept.keeper.poll_durable(piece, Waker::noop()) == Poll::Ready(Ok(()))
        });
        let mut again = Kept::open(&disk.crash(1), "always").expect("a log");
        assert_eq!(again.number("a"), 1);
    }
}

/// The snapshot that was taken for it went on keeping what changed, for nobody, until changes of all keys waited for it to keep less.
#[test]
fn a_rewrite_that_has_no_file_lets_go_of_what_it_was_to_write() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    for n in 0..100 {
        kept.ok(&format!("SET key:{n} value"));
    }
    disk.script(|operation, path| {
        let base = path.to_string_lossy().contains(".base");
        (base && matches!(operation, Operation::Create)).then_some(Fault::Error(EIO))
    });
    assert!(kept.keeper.rewrite_now().is_err());
    let keyspace = kept.engine.keyspace();
    for shard in 0..keyspace.shards() {
        let observed = keyspace.lock(shard).db(0).observe(None);
        assert!(observed.is_none(), "shard {shard}");
    }
    assert_eq!(kept.info("aof_last_bgrewrite_status"), "err");
}
