//! The life of a log that is written: numbers, promises, rewrites, and a disk that is full or broken.

mod common;

use common::{NAME, command, file, finish, new_log, open, read, set};
use redpoll_disk::faulty::{EIO, Fault, FaultyDisk, Operation};
use redpoll_disk::{Fsync, Log, Outcome, ReadOptions, Refused, Settings, State};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

fn settings(fsync: Fsync) -> Settings {
    Settings {
        fsync,
        ..Settings::default()
    }
}

fn contents(disk: &FaultyDisk) -> Vec<u8> {
    // A mark that was written last may be torn; it says nothing of what is read.
    read(disk, ReadOptions::default())
        .expect("a log that loads")
        .0
}

/// Fails the syncs of increments until healed.
fn fail_syncs(disk: &FaultyDisk) {
    disk.script(|operation, path| {
        let increment = path.to_string_lossy().ends_with("incr.aof");
        (operation == Operation::Sync && increment).then_some(Fault::Error(EIO))
    });
}

#[test]
fn what_is_appended_is_read_in_order_by_later_processes() {
    let disk = FaultyDisk::new();
    let mut expected = Vec::new();
    let mut next = 1;
    for fsync in [Fsync::Always, Fsync::EverySecond, Fsync::No] {
        let log = if next == 1 {
            new_log(&disk, settings(fsync))
        } else {
            open(&disk, settings(fsync))
        };
        assert_eq!(log.status().state, State::Whole);
        for _ in 0..20 {
            assert_eq!(log.append(set(next), 0), Ok(next));
            expected.extend_from_slice(&set(next));
            next += 1;
        }
        // Nothing needs no piece.
        assert_eq!(log.append(Vec::new(), 0), Ok(next - 1));
        log.close().expect("closed");
        assert_eq!(
            log.append(set(0), 0),
            Err(Refused("the log is closed".to_owned()))
        );
        assert_eq!(log.progress().durable, next - 1);
        assert_eq!(contents(&disk.crash(next)), expected);
    }
    let (_, summary) = read(&disk.kill(), ReadOptions::default()).expect("loads");
    assert_eq!(summary.last, 60);
    assert_eq!(summary.commands, 60);
}

#[test]
fn one_sync_serves_all_who_came_during_the_one_before() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::Always));
    let (entered, at_sync) = channel();
    let (release, released) = channel();
    let (entered, released) = (Mutex::new(entered), Mutex::new(released));
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&syncs);
    disk.script(move |operation, _| {
        if operation == Operation::Sync && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            entered.lock().expect("fine").send(()).expect("awaited");
            released.lock().expect("fine").recv().expect("released");
        }
        None
    });
    assert_eq!(log.append(set(1), 0), Ok(1));
    at_sync.recv().expect("the thread syncs");
    for n in 2..=50 {
        assert_eq!(log.append(set(n), 0), Ok(n));
    }
    assert_eq!(log.progress().durable, 0);
    release.send(()).expect("awaited");
    for n in 1..=50 {
        assert_eq!(log.wait(n), Outcome::Durable);
    }
    assert_eq!(syncs.load(Ordering::SeqCst), 2);
    assert_eq!(log.progress().waiting_bytes, 0);
}

#[test]
fn wakers_and_the_callback_are_told() {
    struct Told(Mutex<std::sync::mpsc::Sender<()>>);
    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.lock().expect("fine").send(()).expect("awaited");
        }
    }
    let disk = FaultyDisk::new();
    let (progress, seen) = channel();
    let mut with_callback = settings(Fsync::Always);
    with_callback.on_progress = Some(Box::new(move |p| {
        let _ = progress.send(*p);
    }));
    let log = new_log(&disk, with_callback);
    let (sender, woken) = channel();
    let waker = Waker::from(Arc::new(Told(Mutex::new(sender))));
    assert_eq!(log.poll(1, &waker), Poll::Pending);
    assert_eq!(log.append(set(1), 0), Ok(1));
    woken.recv().expect("woken");
    assert_eq!(log.poll(1, &waker), Poll::Ready(Outcome::Durable));
    let durable = seen.iter().find(|p| p.durable == 1).expect("told");
    assert_eq!((durable.written, durable.given), (1, 1));
}

fn recovers(log: &Log, disk: &FaultyDisk, next: u64) {
    // The disk is well, and yet nothing is taken before disk and memory are equal.
    disk.heal();
    log.probe().expect("well");
    assert!(log.append(set(99), 0).is_err());
    let rewrite = log.begin_rewrite().expect("begun");
    assert_eq!(log.append(set(next), 0), Ok(next));
    assert!(matches!(log.status().state, State::Failing(_)));
    finish(rewrite, &command(&[b"SET", b"k", b"rewritten"])).expect("done");
    assert_eq!(log.status().state, State::Whole);
    assert_eq!(log.wait(next), Outcome::Durable);
    assert_eq!(log.append(set(next + 1), 0), Ok(next + 1));
    assert_eq!(log.wait(next + 1), Outcome::Durable);
    let expected = [
        command(&[b"SET", b"k", b"rewritten"]),
        set(next),
        set(next + 1),
    ];
    assert_eq!(contents(&disk.crash(5)), expected.concat());
}

#[test]
fn a_full_disk_loses_nothing_that_was_promised_and_takes_nothing_more() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::Always));
    assert_eq!(log.append(set(1), 0), Ok(1));
    assert_eq!(log.wait(1), Outcome::Durable);
    let whole = disk
        .contents(file("appendonly.aof.1.incr.aof"))
        .expect("there");
    let (_, summary) = read(&disk, ReadOptions::default()).expect("loads");
    let size = whole.len() - summary.room as usize;
    assert!(size < 300 && summary.room > 100_000);
    let names = redpoll_disk::Disk::list(&disk, &file("")).expect("listed");
    let used = names.iter().filter_map(|name| disk.contents(file(name)));
    let used: usize = used.map(|bytes| bytes.len()).sum();
    disk.capacity(Some(used - summary.room as usize + 100));
    // More than there is room for, laid out or not.
    let more = summary.room as usize + 500;
    assert_eq!(log.append(vec![b'x'; more], 0), Ok(2));
    let Outcome::Lost(reason) = log.wait(2) else {
        panic!("there is no room");
    };
    assert!(
        reason.contains("appendonly.aof.1.incr.aof: No space left"),
        "{reason}"
    );
    assert_eq!(log.append(set(3), 0), Err(Refused(reason.clone())));
    assert_eq!(log.status().state, State::Failing(reason.clone()));
    assert!(log.probe().is_err());
    // The torn end is gone.
    let now = disk
        .contents(file("appendonly.aof.1.incr.aof"))
        .expect("there");
    assert_eq!(now.len(), size);
    let rewrite = log.begin_rewrite().expect("begun");
    assert!(finish(rewrite, &[0; 10_000]).is_err());
    assert!(log.sync().is_err());
    assert!(log.append(set(3), 0).is_err());
    recovers(&log, &disk, 3);
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    for fsync in [Fsync::Always, Fsync::EverySecond] {
        let disk = FaultyDisk::new();
        let log = new_log(&disk, settings(fsync));
        fail_syncs(&disk);
        assert_eq!(log.append(set(1), 0), Ok(1));
        let Outcome::Lost(reason) = log.wait(1) else {
            panic!("nobody knows whether it is on the disk");
        };
        assert!(reason.contains("cannot sync"), "{reason}");
        // Whoever was told that it failed does not find it again; whoever was told nothing may.
        let killed = contents(&disk.kill());
        assert_eq!(killed.is_empty(), fsync == Fsync::Always);
        let disk = disk.kill();
        // The next process reads it, knows better, and waits for a rewrite.
        let log = open(&disk, settings(fsync));
        assert!(matches!(log.status().state, State::Failing(_)));
        let next = log.progress().given + 1;
        recovers(&log, &disk, next);
        drop(log);
        assert_eq!(open(&disk, settings(fsync)).status().state, State::Whole);
    }
}

#[test]
fn a_rewrite_divides_the_log_at_its_cut() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::EverySecond));
    for n in 1..=3 {
        log.append(set(n), 0).expect("taken");
    }
    let rewrite = log.begin_rewrite().expect("begun");
    assert_eq!(rewrite.cut(), 3);
    assert!(log.status().rewriting);
    let refused = log.begin_rewrite().expect_err("one at a time");
    assert!(refused.0.contains("running already"));
    for n in 4..=5 {
        log.append(set(n), 0).expect("taken");
    }
    log.sync().expect("synced");
    // Until it is done everything counts as it was.
    let old: Vec<u8> = (1..=5).flat_map(set).collect();
    assert_eq!(contents(&disk.crash(1)), old);
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::EverySecond));
    for n in 1..=3 {
        log.append(set(n), 0).expect("taken");
    }
    drop(rewrite);
    let rewrite = log.begin_rewrite().expect("begun");
    log.append(set(4), 0).expect("taken");
    let size = finish(rewrite, &set(3)).expect("done");
    assert_eq!(size, set(3).len() as u64);
    log.sync().expect("synced");
    assert_eq!(log.status().base_size, size);
    assert!(!log.status().rewriting);
    assert_eq!(contents(&disk), [set(3), set(4)].concat());
    log.close().expect("closed");
    let manifest = disk
        .contents(file(&format!("{NAME}.manifest")))
        .expect("there");
    assert_eq!(
        String::from_utf8_lossy(&manifest),
        "file appendonly.aof.2.base.aof seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i redpoll-after 3\n"
    );
    let names = redpoll_disk::Disk::list(&disk, &file("")).expect("listed");
    assert_eq!(
        names,
        [
            "appendonly.aof.2.base.aof",
            "appendonly.aof.2.incr.aof",
            "appendonly.aof.manifest"
        ]
    );
}

#[test]
fn a_rewrite_that_is_given_up_leaves_the_log_as_it_was() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::Always));
    log.append(set(1), 0).expect("taken");
    let rewrite = log.begin_rewrite().expect("begun");
    log.append(set(2), 0).expect("taken");
    drop(rewrite);
    log.append(set(3), 0).expect("taken");
    log.sync().expect("synced");
    assert!(!log.status().rewriting);
    let rewrite = log.begin_rewrite().expect("begun");
    log.append(set(4), 0).expect("taken");
    // The base cannot be given its name.
    disk.script(|operation, path| {
        let base = path.to_string_lossy().ends_with("base.aof");
        (operation == Operation::Rename && base).then_some(Fault::Error(EIO))
    });
    let error = finish(rewrite, &set(3)).expect_err("no base");
    assert!(error.contains("cannot rename"), "{error}");
    disk.heal();
    log.append(set(5), 0).expect("the log goes on");
    log.close().expect("closed");
    let all: Vec<u8> = (1..=5).flat_map(set).collect();
    assert_eq!(contents(&disk.crash(2)), all);
}

/// The base had its name when the folder could not be synced, and stayed there, as large as the data set, listed nowhere.
#[test]
fn a_base_whose_name_is_not_on_the_disk_does_not_stay() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::Always));
    log.append(set(1), 0).expect("taken");
    let rewrite = log.begin_rewrite().expect("begun");
    let named = AtomicBool::new(false);
    disk.script(move |operation, path| {
        let base = path.to_string_lossy().ends_with("base.aof");
        named.fetch_or(operation == Operation::Rename && base, Relaxed);
        (operation == Operation::SyncFolder && named.load(Relaxed)).then_some(Fault::Error(EIO))
    });
    finish(rewrite, &set(1)).expect_err("no base");
    disk.heal();
    log.close().expect("closed");
    let names = redpoll_disk::Disk::list(&disk, &file("")).expect("listed");
    let manifest = format!("{NAME}.manifest");
    let listed = disk.contents(file(&manifest)).expect("there");
    let listed = String::from_utf8_lossy(&listed);
    for name in names.iter().filter(|name| **name != manifest) {
        assert!(listed.contains(&**name), "{name} is not in {listed}");
    }
}

#[test]
fn a_log_begun_anew_replaces_the_old_one_only_when_it_has_a_base() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, settings(Fsync::Always));
    log.append(set(1), 0).expect("taken");
    log.close().expect("closed");
    let folder = common::folder(&disk).expect("a log");
    let log = Log::fresh(folder, 0, settings(Fsync::Always)).expect("a log");
    assert_eq!(log.status().state, State::NoBase);
    assert!(log.append(set(2), 0).is_err());
    let rewrite = log.begin_rewrite().expect("begun");
    assert_eq!(log.append(set(3), 0), Ok(1));
    log.sync().expect("synced");
    assert_eq!(log.progress().durable, 0, "not before there is a base");
    assert_eq!(contents(&disk), set(1));
    finish(rewrite, &set(2)).expect("done");
    assert_eq!(log.wait(1), Outcome::Durable);
    assert_eq!(contents(&disk.crash(4)), [set(2), set(3)].concat());
}

#[test]
fn settings_change_while_it_runs() {
    let disk = FaultyDisk::new();
    let mut with_time = settings(Fsync::No);
    with_time.timestamps = true;
    let log = new_log(&disk, with_time);
    log.append(set(1), 1_700_000_000).expect("taken");
    log.append(set(2), 1_700_000_000).expect("taken");
    log.append(set(3), 1_700_000_001).expect("taken");
    log.set_fsync(Fsync::Always).expect("open");
    assert_eq!(log.wait(3), Outcome::Durable, "without a further piece");
    log.set_timestamps(false).expect("open");
    log.append(set(4), 1_700_000_002).expect("taken");
    assert_eq!(log.wait(4), Outcome::Durable);
    assert_eq!(log.status().fsync, Fsync::Always);
    let bytes = disk
        .contents(file("appendonly.aof.1.incr.aof"))
        .expect("there");
    let text = String::from_utf8_lossy(&bytes);
    let times: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("#TS:"))
        .collect();
    assert_eq!(times, ["#TS:1700000000", "#TS:1700000001"]);
    assert_eq!(contents(&disk), (1..=4).flat_map(set).collect::<Vec<_>>());
}
