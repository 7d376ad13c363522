//! CONFIG SET appendonly: no write is refused for it, whatever else is being written, and the next start finds what there was. And the
//! log that ends for a copy of another server's data set, and begins behind it.

mod common;

use common::Kept;
use disk::faulty::{EIO, ENOSPC, Fault, FaultyDisk, Operation};
use engine::{Engine, Persistence};
use redpoll_keeper::{Copy, Replace};
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

/// Waits until the log has its base.
fn await_log(kept: &mut Kept) {
    kept.await_info("aof_rewrite_scheduled", "0");
    kept.await_info("aof_rewrite_in_progress", "0");
    assert_eq!(kept.info("aof_enabled"), "1");
    assert_eq!(kept.info("aof_last_bgrewrite_status"), "ok");
}

/// Without a log, and with a key, and a save under way that ends when it is cancelled.
fn saving() -> (FaultyDisk, Kept) {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[]).expect("an empty disk");
    kept.ok("SET before 1");
    kept.begin_save();
    (disk, kept)
}

fn enabled_and_scheduled(kept: &mut Kept) -> [String; 3] {
    [
        "aof_enabled",
        "aof_rewrite_scheduled",
        "aof_rewrite_in_progress",
    ]
    .map(|name| kept.info(name))
}

#[test]
fn a_log_that_is_turned_on_during_a_save_begins_after_it() {
    let (disk, mut kept) = saving();
    kept.ok("CONFIG SET appendonly yes");
    assert_eq!(enabled_and_scheduled(&mut kept), ["1", "1", "0"]);
    for _ in 0..100 {
        kept.ok("INCR meanwhile");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The same again is nothing new, and a rewrite is what is scheduled anyway.
    kept.ok("CONFIG SET appendonly yes");
    let scheduled = "+Background append only file rewriting scheduled\r\n";
    assert_eq!(kept.ok("BGREWRITEAOF"), scheduled);
    assert_eq!(kept.info("rdb_bgsave_in_progress"), "1");
    // Nothing is on the disk yet, whoever asks.
    assert!(!kept.keeper.is_on_disk(0));
    assert!(kept.keeper.sync(0).is_err());
    kept.ok("BGSAVE CANCEL");
    await_log(&mut kept);
    kept.ok("INCR meanwhile");
    kept.keeper.sync(kept.session.piece()).expect("a sync");
    assert!(kept.keeper.is_on_disk(kept.session.piece()));
    let mut again = Kept::open(&disk.crash(1), "everysec").expect("a log");
    assert_eq!(again.number("before"), 1);
    assert_eq!(again.number("meanwhile"), 101);
}

#[test]
fn a_log_that_was_to_begin_can_be_called_off() {
    let (disk, mut kept) = saving();
    kept.ok("CONFIG SET appendonly yes");
    kept.ok("CONFIG SET appendonly no");
    assert_eq!(enabled_and_scheduled(&mut kept), ["0", "0", "0"]);
    kept.ok("BGSAVE CANCEL");
    kept.await_info("rdb_bgsave_in_progress", "0");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(enabled_and_scheduled(&mut kept), ["0", "0", "0"]);
    assert!(
        disk.contents("/d/appendonlydir/appendonly.aof.manifest")
            .is_none()
    );
    // And turned on after all.
    kept.ok("CONFIG SET appendonly yes");
    await_log(&mut kept);
    let mut again = Kept::open(&disk.crash(1), "everysec").expect("a log");
    assert_eq!(again.number("before"), 1);
}

/// Who sees that the log is there may have it rewritten at once.
#[test]
fn a_log_that_has_begun_may_be_rewritten_at_once() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[("appendfsync", "always")]).expect("an empty disk");
    for round in 0..200 {
        kept.ok("CONFIG SET appendonly yes");
        while !match round % 2 {
            0 => kept.keeper.is_on_disk(0),
            _ => kept.keeper.promises(),
        } {
            std::thread::yield_now();
        }
        assert_eq!(
            kept.keeper.rewrite(),
            Ok("Background append only file rewriting started"),
            "round {round}"
        );
        kept.await_info("aof_rewrite_in_progress", "0");
        kept.ok("CONFIG SET appendonly no");
        while kept.keeper.promises() {
            std::thread::yield_now();
        }
    }
}

/// What was said last holds, however fast it is said.
#[test]
fn off_and_on_in_one_breath_is_on() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    for n in 1..=50 {
        kept.ok("CONFIG SET appendonly no");
        assert_eq!(kept.info("aof_enabled"), "0");
        kept.ok("INCR count");
        kept.ok("CONFIG SET appendonly yes");
        assert_eq!(kept.info("aof_enabled"), "1");
        kept.ok("INCR count");
        if n % 5 == 0 {
            await_log(&mut kept);
            kept.keeper.sync(kept.session.piece()).expect("a sync");
            let mut again = Kept::open(&disk.crash(n), "everysec").expect("a log");
            assert_eq!(again.number("count") as u64, 2 * n);
        }
    }
}

/// The next start is to find what the log was turned on for, though it had not even begun.
#[test]
fn a_log_that_was_to_begin_is_there_after_the_end() {
    let (disk, mut kept) = saving();
    kept.ok("CONFIG SET appendonly yes");
    kept.ok("SET meanwhile 7");
    assert_eq!(kept.keeper.close(false), Ok(()));
    let mut again = Kept::open(&disk.kill(), "everysec").expect("a log");
    assert_eq!(again.number("before"), 1);
    assert_eq!(again.number("meanwhile"), 7);
}

/// A full disk is no reason to refuse what nobody was promised.
#[test]
fn a_log_that_cannot_begin_is_tried_again_and_refuses_nothing() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[]).expect("an empty disk");
    kept.ok("CONFIG SET appendfsync always");
    kept.ok("SET before 1");
    disk.script(|operation, _| match operation {
        Operation::Append(_) | Operation::Write(_) => Some(Fault::Error(ENOSPC)),
        _ => None,
    });
    kept.ok("CONFIG SET appendonly yes");
    kept.await_info("aof_last_bgrewrite_status", "err");
    for _ in 0..50 {
        kept.ok("INCR meanwhile");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(kept.info("aof_enabled"), "1");
    disk.heal();
    kept.await_info("aof_last_bgrewrite_status", "ok");
    await_log(&mut kept);
    assert!(kept.keeper.promises());
    kept.ok("INCR meanwhile");
    let mut again = Kept::open(&disk.crash(1), "always").expect("a log");
    assert_eq!(again.number("before"), 1);
    assert_eq!(again.number("meanwhile"), 51);
}

/// While its first base is being written nobody waits for it, and a log that fails in that time refuses nothing.
#[test]
fn a_log_without_its_base_promises_nothing_and_refuses_nothing() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[("appendfsync", "always")]).expect("an empty disk");
    kept.ok("SET before 1");
    disk.script(|operation, path| {
        let appends = matches!(operation, Operation::Append(_) | Operation::Write(_));
        let increment = path.to_string_lossy().contains(".incr.");
        (appends && increment).then_some(Fault::Error(ENOSPC))
    });
    kept.ok("CONFIG SET rdb-key-save-delay 1000000000");
    kept.ok("CONFIG SET appendonly yes");
    kept.await_info("current_save_keys_total", "1");
    kept.ok("CONFIG SET rdb-key-save-delay 0");
    for _ in 0..100 {
        assert!(!kept.keeper.promises());
        kept.ok("INCR meanwhile");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(kept.info("aof_rewrite_in_progress"), "1");
    assert_eq!(kept.info("aof_last_write_status"), "ok");
    disk.heal();
    kept.ok("CONFIG SET appendonly no");
    kept.ok("CONFIG SET appendonly yes");
    await_log(&mut kept);
    assert!(kept.keeper.promises());
    let mut again = Kept::open(&disk.crash(1), "always").expect("a log");
    assert_eq!(again.number("meanwhile"), 100);
}

/// BGREWRITEAOF with the log off leaves a base that the next start with a log finds; what comes later is not in it.
#[test]
fn a_rewrite_without_a_log_is_for_the_next_start() {
    for preamble in ["yes", "no"] {
        let disk = FaultyDisk::new();
        let mut kept = Kept::open_with(&disk, &[]).expect("an empty disk");
        kept.ok(&format!("CONFIG SET aof-use-rdb-preamble {preamble}"));
        for n in 1..=2 {
            kept.ok(&format!("SET key {n}"));
            let started = "+Background append only file rewriting started\r\n";
            assert_eq!(kept.ok("BGREWRITEAOF"), started);
            kept.await_info("aof_rewrites", &n.to_string());
            kept.await_info("aof_rewrite_in_progress", "0");
            kept.ok("SET later 1");
        }
        assert_eq!(kept.info("aof_enabled"), "0");
        assert_eq!(kept.info("aof_last_bgrewrite_status"), "ok");
        assert!(!kept.engine.journal.is_on());
        let disk = disk.crash(1);
        let mut again = Kept::open(&disk, "always").expect("a log");
        assert_eq!(again.number("key"), 2);
        again.ok("INCR key");
        let mut again = Kept::open(&disk.crash(1), "always").expect("a log");
        assert_eq!(again.number("key"), 3);
    }
}

/// It is not the first base of a log that is turned on meanwhile, and turning off what is off leaves it alone.
#[test]
fn a_rewrite_without_a_log_is_beside_turning_it_on() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[]).expect("an empty disk");
    kept.ok("SET before 1");
    kept.ok("CONFIG SET rdb-key-save-delay 100000");
    kept.ok("BGREWRITEAOF");
    kept.await_info("current_save_keys_total", "1");
    kept.ok("CONFIG SET rdb-key-save-delay 0");
    kept.ok("CONFIG SET appendonly no");
    assert_eq!(kept.info("aof_rewrite_in_progress"), "1");
    kept.ok("CONFIG SET appendonly yes");
    kept.ok("SET meanwhile 1");
    kept.await_info("aof_rewrites", "2");
    await_log(&mut kept);
    kept.ok("SET later 1");
    kept.keeper.sync(0).expect("a sync");
    let mut again = Kept::open(&disk.crash(1), "everysec").expect("a log");
    let numbers = ["before", "meanwhile", "later"].map(|key| again.number(key));
    assert_eq!(numbers, [1, 1, 1]);
}

/// A copy that has come already.
struct Here<'c>(&'c [u8]);

impl Read for Here<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl BufRead for Here<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.0)
    }

    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl Copy for Here<'_> {
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The data set is another one by then, and the log still to come.
#[test]
fn a_log_that_cannot_begin_behind_a_copy_is_tried_again_and_refuses_nothing() {
    let theirs = FaultyDisk::new();
    let mut other = Kept::open_with(&theirs, &[]).expect("an empty disk");
    other.ok("SET theirs 1");
    other.ok("SAVE");
    let copy = theirs.contents("/d/dump.rdb").expect("a snapshot");
    for how in [Replace::ThroughFile, Replace::Beside, Replace::FlushFirst] {
        let disk = FaultyDisk::new();
        let mut kept = Kept::open(&disk, "always").expect("an empty disk");
        kept.ok("SET ours 1");
        disk.script(|operation, path| {
            let manifest = path.to_string_lossy().ends_with(".manifest");
            (manifest && operation == Operation::Open).then_some(Fault::Error(EIO))
        });
        let (mut whole, mut done) = (Here(&copy), 0);
        let taken = (kept.keeper).take_copy(how, None, &mut whole, &|_| (), &mut |place| {
            done += usize::from(place.is_some());
        });
        assert_eq!((taken, done), (Ok(()), 1), "{how:?}");
        kept.ok("SET meanwhile 2");
        assert_eq!(kept.info("aof_enabled"), "1");
        disk.heal();
        await_log(&mut kept);
        assert!(kept.keeper.promises());
        kept.ok("SET later 3");
        let mut again = Kept::open(&disk.crash(1), "always").expect("a log");
        let numbers = ["ours", "theirs", "meanwhile", "later"].map(|key| again.number(key));
        assert_eq!(numbers, [0, 1, 2, 3], "{how:?}");
    }
}

/// A copy that is cut off is no data set: there is nothing where the old one had to go first, and the log begins anew with that. Else all is
/// as it was.
#[test]
fn behind_a_copy_that_failed_the_log_goes_on() {
    let theirs = FaultyDisk::new();
    let mut other = Kept::open_with(&theirs, &[]).expect("an empty disk");
    other.ok("SET theirs 1");
    // More than is loaded at once, so that some of it is there already.
    other.ok("DEBUG POPULATE 1000 key 10000");
    other.ok("SAVE");
    let copy = theirs.contents("/d/dump.rdb").expect("a snapshot");
    for (how, ours) in [
        (Replace::FlushFirst, 0),
        (Replace::ThroughFile, 1),
        (Replace::Beside, 1),
        (Replace::BesideAndFile, 1),
    ] {
        let disk = FaultyDisk::new();
        let mut kept = Kept::open(&disk, "always").expect("an empty disk");
        kept.ok("SET ours 1");
        let (mut torn, mut done) = (Here(&copy[..copy.len() - 9]), Vec::new());
        let taken = (kept.keeper).take_copy(how, None, &mut torn, &|_| (), &mut |place| {
            done.push(place.is_some());
        });
        assert!(taken.is_err(), "{how:?}");
        assert_eq!(done, vec![false; 1 - ours], "{how:?}");
        await_log(&mut kept);
        assert!(kept.keeper.promises(), "{how:?}");
        assert_eq!(kept.ok("DBSIZE"), format!(":{ours}\r\n"), "{how:?}");
        kept.ok("SET later 3");
        let mut again = Kept::open(&disk.crash(1), "always").expect("a log");
        let numbers = ["ours", "theirs", "later"].map(|key| again.number(key));
        assert_eq!(numbers, [ours, 0, 3], "{how:?}");
    }
}

/// What is seen when somebody is told that the data set is another one.
struct Looks(Weak<Engine>, Mutex<Vec<usize>>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let functions = self
            .0
            .upgrade()
            .map(|engine| engine.function_sources().len());
        self.1.lock().expect("no panic").extend(functions);
    }
}

/// Who sees the keys of a copy finds its functions there too.
#[test]
fn functions_of_a_copy_are_there_before_its_keys() {
    let theirs = FaultyDisk::new();
    let mut other = Kept::open_with(&theirs, &[]).expect("an empty disk");
    let library = "#!lua name=lib\nredis.register_function('f', function() end)";
    other.run_words(&["FUNCTION", "LOAD", library]);
    other.ok("SAVE");
    let copy = theirs.contents("/d/dump.rdb").expect("a snapshot");
    for how in [Replace::Beside, Replace::BesideAndFile] {
        let mut kept = Kept::open_with(&FaultyDisk::new(), &[]).expect("an empty disk");
        let looks = Arc::new(Looks(Arc::downgrade(&kept.engine), Mutex::default()));
        for line in ["HELLO 3", "CLIENT TRACKING ON", "GET k"] {
            kept.ok(line);
        }
        (kept.session.client()).set_waker(&Waker::from(looks.clone()));
        let taken = (kept.keeper).take_copy(how, None, &mut Here(&copy), &|_| (), &mut |_| ());
        assert_eq!(taken, Ok(()), "{how:?}");
        assert_eq!(*looks.1.lock().expect("no panic"), [1], "{how:?}");
    }
}

/// A disk that is full would else be filled with the beginnings of new logs.
#[test]
fn rewrites_that_go_on_failing_do_not_begin_by_themselves() {
    let disk = FaultyDisk::new();
    let always = [
        ("appendonly", "yes"),
        ("auto-aof-rewrite-percentage", "1"),
        ("auto-aof-rewrite-min-size", "1"),
    ];
    let mut kept = Kept::open_with(&disk, &always).expect("an empty disk");
    disk.script(|operation, path| {
        let appends = matches!(operation, Operation::Append(_) | Operation::Write(_));
        let base = path.to_string_lossy().contains(".base");
        (appends && base).then_some(Fault::Error(ENOSPC))
    });
    kept.ok(&format!("SET key {}", "x".repeat(1000)));
    kept.await_info("aof_rewrites_consecutive_failures", "3");
    // More than one look at whether one is due.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(kept.info("aof_rewrites_consecutive_failures"), "3");
    disk.heal();
    kept.ok("BGREWRITEAOF");
    kept.await_info("aof_rewrites_consecutive_failures", "0");
}
