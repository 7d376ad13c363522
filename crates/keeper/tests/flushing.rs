//! FLUSHALL with save points: what was flushed does not come back, whatever happens next.

mod common;

use common::Kept;
use disk::faulty::{ENOSPC, Fault, FaultyDisk, Operation};
use std::time::Duration;

const FILE: &str = "/d/dump.rdb";

/// With a save point that is far away, and with keys that are saved.
fn saved() -> (FaultyDisk, Kept) {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[("save", "3600 1")]).expect("an empty disk");
    kept.ok("SET key 1");
    kept.ok("SAVE");
    (disk, kept)
}

/// The keys that a start would find after the power went.
fn keys_after_a_crash(disk: &FaultyDisk) -> String {
    let mut again = Kept::open_with(&disk.crash(1), &[("save", "3600 1")]).expect("a snapshot");
    again.ok("DBSIZE")
}

#[test]
fn what_was_flushed_is_gone_before_the_reply() {
    for line in ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHALL SYNC"] {
        let (disk, mut kept) = saved();
        assert_eq!(keys_after_a_crash(&disk), ":1\r\n");
        kept.ok("SET another 1");
        kept.ok(line);
        assert_eq!(keys_after_a_crash(&disk), ":0\r\n", "{line}");
        assert_eq!(kept.info("rdb_changes_since_last_save"), "0");
        assert_eq!(kept.info("rdb_saves"), "2");
    }
    // One database is not all of them.
    let (disk, mut kept) = saved();
    kept.ok("FLUSHDB");
    assert_eq!(keys_after_a_crash(&disk), ":1\r\n");
}

#[test]
fn a_save_in_the_background_is_given_up_for_it() {
    let (disk, mut kept) = saved();
    kept.begin_save();
    kept.ok("FLUSHALL");
    assert_eq!(kept.info("rdb_bgsave_in_progress"), "0");
    assert_eq!(kept.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(keys_after_a_crash(&disk), ":0\r\n");
}

#[test]
fn without_save_points_nothing_is_written() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[]).expect("an empty disk");
    kept.ok("SET key 1");
    kept.begin_save();
    kept.ok("FLUSHALL");
    kept.await_info("rdb_bgsave_in_progress", "0");
    assert_eq!(kept.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(kept.info("rdb_saves"), "0");
    std::thread::sleep(Duration::from_millis(300));
    assert!(disk.contents(FILE).is_none());
}

#[test]
fn in_a_transaction_it_is_written_behind_it() {
    let (disk, mut kept) = saved();
    kept.begin_save();
    kept.ok("MULTI");
    kept.ok("FLUSHALL");
    kept.ok("SET key 2");
    kept.ok("EXEC");
    kept.await_info("rdb_saves", "2");
    let mut again = Kept::open_with(&disk.crash(1), &[("save", "3600 1")]).expect("a snapshot");
    assert_eq!(again.number("key"), 2);
}

/// The keys are gone whether or not the disk takes that.
#[test]
fn a_full_disk_is_no_error_of_the_command() {
    let (disk, mut kept) = saved();
    disk.script(|operation, _| match operation {
        Operation::Append(_) | Operation::Write(_) => Some(Fault::Error(ENOSPC)),
        _ => None,
    });
    kept.ok("FLUSHALL");
    assert_eq!(kept.ok("DBSIZE"), ":0\r\n");
    assert_eq!(kept.info("rdb_last_bgsave_status"), "err");
    disk.heal();
    assert_eq!(keys_after_a_crash(&disk), ":1\r\n");
}
