//! Snapshots that are written while keys change.

mod common;

use common::Kept;
use disk::faulty::FaultyDisk;
use std::time::Duration;

/// What `rdb-key-save-delay` says is for each key, whoever hands it over: with one that is long a copy is as long in the making as a
/// test counts on, though all of its keys are changed at once. (Old versions took no time.)
#[test]
fn keys_that_are_changed_meanwhile_take_their_time_too() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open_with(&disk, &[]).expect("an empty disk");
    let all = "MSET a 1 b 2 c 3 d 4 e 5 f 6";
    kept.ok(all);
    kept.ok("CONFIG SET rdb-key-save-delay 400000");
    kept.ok("BGSAVE");
    kept.await_info("current_save_keys_total", "6");
    kept.ok(all);
    // At least four of them were ahead of it, and are handed over when it goes on.
    let held = kept.info("redpoll_snapshot_held_bytes");
    while kept.info("redpoll_snapshot_held_bytes") == held {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(kept.info("rdb_bgsave_in_progress"), "1");
    kept.ok("BGSAVE CANCEL");
    kept.await_info("rdb_bgsave_in_progress", "0");
}
