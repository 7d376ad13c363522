//! Which files make up a log, what the list says of them, and cutting a log at a moment.

mod common;

use common::{command, file, finish, folder, new_log, open, read, set, shared};
use redpoll_disk::check::{Repair, Report, Verdict, check_aof};
use redpoll_disk::faulty::FaultyDisk;
use redpoll_disk::{Fsync, ReadOptions, Settings};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const MANIFEST: &str = "appendonly.aof.manifest";

fn manifest(disk: &FaultyDisk) -> String {
    let text = disk.contents(file(MANIFEST)).expect("a list");
    String::from_utf8(text).expect("text")
}

fn is_there(disk: &FaultyDisk, name: &str) -> bool {
    disk.contents(file(name)).is_some()
}

fn contents(disk: &FaultyDisk) -> Vec<u8> {
    let read = read(disk, ReadOptions::default());
    read.expect("a log that loads").0
}

#[test]
fn replaced_files_stay_as_history_until_that_is_not_wanted_any_more() {
    let disk = FaultyDisk::new();
    let keeping = || Settings {
        keep_history: true,
        ..Settings::default()
    };
    let log = new_log(&disk, keeping());
    for n in 1..=2 {
        assert_eq!(log.append(set(n), 0), Ok(n));
        let rewrite = log.begin_rewrite().expect("begun");
        finish(rewrite, &set(n)).expect("a base");
    }
    let old = [
        "appendonly.aof.1.base.aof",
        "appendonly.aof.2.base.aof",
        "appendonly.aof.1.incr.aof",
        "appendonly.aof.2.incr.aof",
    ];
    let listed = |disk: &FaultyDisk, name: &str| manifest(disk).contains(&format!("file {name} "));
    for name in old {
        assert!(is_there(&disk, name) && listed(&disk, name), "{name}");
    }
    assert_eq!(manifest(&disk).matches("type h").count(), 4);
    assert_eq!(contents(&disk), set(2));
    log.remove_history();
    for name in old {
        assert!(!is_there(&disk, name) && !listed(&disk, name), "{name}");
    }
    // A start that does not keep them removes those of an earlier process.
    let rewrite = log.begin_rewrite().expect("begun");
    finish(rewrite, &set(3)).expect("a base");
    log.close().expect("closed");
    assert!(is_there(&disk, "appendonly.aof.3.base.aof"));
    drop(folder(&disk).expect("a log"));
    assert!(!is_there(&disk, "appendonly.aof.3.base.aof"));
    assert!(!manifest(&disk).contains("type h"));
    // And what is not kept is removed with the rewrite.
    let log = open(&disk, keeping());
    log.set_keep_history(false);
    let rewrite = log.begin_rewrite().expect("begun");
    finish(rewrite, &set(4)).expect("a base");
    assert!(!is_there(&disk, "appendonly.aof.4.base.aof"));
    assert!(!manifest(&disk).contains("type h"));
    assert_eq!(contents(&disk), set(4));
}

#[test]
fn the_list_says_which_stretch_of_the_stream_increments_have() {
    let disk = FaultyDisk::new();
    let at = Arc::new(AtomicU64::new(0));
    let counting = || {
        let at = at.clone();
        Settings {
            offset: Some(Box::new(move || at.load(Relaxed))),
            ..Settings::default()
        }
    };
    let log = new_log(&disk, counting());
    assert!(manifest(&disk).contains("appendonly.aof.1.incr.aof seq 1 type i startoffset 0 "));
    assert_eq!(log.append(set(1), 0), Ok(1));
    at.store(100, Relaxed);
    let rewrite = log.begin_rewrite().expect("begun");
    at.store(150, Relaxed);
    finish(rewrite, &set(1)).expect("a base");
    let begins = "appendonly.aof.2.incr.aof seq 2 type i startoffset 100 ";
    assert!(manifest(&disk).contains(begins), "{}", manifest(&disk));
    let size = |disk: &FaultyDisk| {
        let increment = disk.contents(file("appendonly.aof.2.incr.aof"));
        increment.expect("there").len() as u64
    };
    // Killed, it ends where its size says.
    let killed = disk.kill();
    let found = folder(&killed).expect("a log");
    assert_eq!(found.stream_offset(), Some(100 + size(&killed)));
    at.store(200, Relaxed);
    log.close().expect("closed");
    assert!(manifest(&disk).contains("startoffset 100 endoffset 200 redpoll-after"));
    assert_eq!(folder(&disk).expect("a log").stream_offset(), Some(200));
    // It goes on, and ends there no more.
    let log = open(&disk, counting());
    assert!(manifest(&disk).contains(begins) && !manifest(&disk).contains("endoffset"));
    drop(log);
    // What says nothing of its beginning says nothing of its end.
    let disk = FaultyDisk::new();
    drop(new_log(&disk, Settings::default()));
    let log = open(&disk, counting());
    log.close().expect("closed");
    assert!(!manifest(&disk).contains("offset"), "{}", manifest(&disk));
    assert_eq!(folder(&disk).expect("a log").stream_offset(), None);
}

fn until(disk: &FaultyDisk, path: &Path, time: u64) -> Report {
    check_aof(&shared(disk), path, Repair::Until(time), &mut |_| Ok(()))
}

#[test]
fn a_log_is_cut_where_its_timestamps_are_later() {
    let disk = FaultyDisk::new();
    for fsync in [Fsync::EverySecond, Fsync::Always] {
        let log = new_log(
            &disk,
            Settings {
                fsync,
                timestamps: true,
                ..Settings::default()
            },
        );
        let last = log.progress().given;
        for n in 1..=4 {
            log.append(set(n), 1000 + n / 2).expect("taken");
        }
        log.wait(last + 4);
        drop(log);
        let list = file(MANIFEST);
        let report = until(&disk, &list, 1002);
        assert!(
            report.is_valid() && matches!(report.verdict, Verdict::NothingLater),
            "{report}"
        );
        assert_eq!(contents(&disk), [set(1), set(2), set(3), set(4)].concat());
        let report = until(&disk, &list, 1001);
        assert!(report.is_valid(), "{report}");
        assert!(matches!(report.verdict, Verdict::CutAtTime(..)), "{report}");
        assert_eq!(report.summary.commands, 3);
        assert_eq!(contents(&disk), [set(1), set(2), set(3)].concat());
        let report = until(&disk, &list, 999);
        assert!(!report.is_valid(), "{report}");
        assert!(report.to_string().contains("aborting"), "{report}");
        assert_eq!(contents(&disk), [set(1), set(2), set(3)].concat());
        // It goes on from there.
        let log = open(&disk, Settings::default());
        let next = log.append(set(9), 0).expect("taken");
        assert_eq!(next, last + 4);
        drop(log);
        assert_eq!(contents(&disk), [set(1), set(2), set(3), set(9)].concat());
        disk.put(list, b"# a log without files so far\n");
    }
}

/// Of other servers, whose commands stand in no pieces.
#[test]
fn only_the_last_file_is_cut_at_a_time() {
    let disk = FaultyDisk::new();
    let multi = [
        command(&[b"MULTI"]),
        b"#TS:12\r\n".to_vec(),
        set(2),
        command(&[b"EXEC"]),
    ];
    let one = [&b"#TS:10\r\n"[..], &set(1), &multi.concat()].concat();
    disk.put(file("a.1.incr.aof"), &one);
    disk.put(file("a.2.incr.aof"), &set(3));
    let list = "file a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n";
    disk.put(file("a.manifest"), list.as_bytes());
    let report = until(&disk, &file("a.manifest"), 11);
    assert!(!report.is_valid());
    assert!(report.to_string().contains("not the last file"), "{report}");
    // By itself it is, and a transaction goes as a whole.
    let report = until(&disk, &file("a.1.incr.aof"), 11);
    assert!(report.is_valid(), "{report}");
    let kept = [&b"#TS:10\r\n"[..], &set(1)].concat();
    assert_eq!(disk.contents(file("a.1.incr.aof")), Some(kept));
    let report = until(&disk, &file("a.1.incr.aof"), 9);
    assert!(!report.is_valid(), "{report}");
}
