//! The whole way from commands to a disk that fails and forgets, and back: what was promised is there, what is damaged is said, and
//! nothing comes back that was answered with an error.

mod common;

use common::Kept;
use disk::faulty::{ENOSPC, Fault, FaultyDisk, Operation};
use engine::Persistence;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn what_was_promised_survives_a_power_failure() {
    for seed in 0..40 {
        let disk = FaultyDisk::new();
        let mut kept = Kept::open(&disk, "always").expect("an empty disk");
        let mut crashed = Vec::new();
        for n in 1..=12usize {
            kept.ok("INCR count");
            kept.ok("MULTI");
            kept.ok("INCR a");
            kept.ok("INCR b");
            kept.ok("EXEC");
            if n == 6 {
                kept.keeper.rewrite_now().expect("a rewrite");
            }
            if n % 3 == 0 {
                crashed.push((n, disk.crash(seed * 100 + n as u64)));
            }
        }
        for (n, disk) in crashed {
            let mut kept = Kept::open(&disk, "always").expect("what a power failure leaves");
            assert_eq!(kept.number("count"), n, "seed {seed}");
            assert_eq!(kept.number("a"), n, "seed {seed}");
            assert_eq!(kept.number("b"), n, "seed {seed}");
        }
    }
}

/// With `everysec` and `no` what is lost is an end: everything before it is there, or a start says where the damage is.
#[test]
fn what_was_not_promised_is_lost_from_the_end_only() {
    for (seed, fsync) in (0..20).flat_map(|seed| [(seed, "everysec"), (seed, "no")]) {
        let disk = FaultyDisk::new();
        let mut kept = Kept::open(&disk, fsync).expect("an empty disk");
        for n in 1..=30 {
            kept.ok(&format!("RPUSH list {n}"));
            if n == 10 {
                kept.keeper.sync(0).expect("a sync");
            }
        }
        let mut kept = match Kept::open(&disk.crash(seed), fsync) {
            Ok(kept) => kept,
            Err(why) => {
                // Where nobody syncs, the log cannot tell a hole that a power failure left from damage; so it says where it is.
                assert!(fsync == "no" && why.contains("incr.aof, offset"), "{why}");
                continue;
            }
        };
        let (list, _) = kept.run("LRANGE list 0 -1");
        let numbers: Vec<usize> = list
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with('$'))
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert!(numbers.len() >= 10, "{numbers:?}");
        let counted = numbers.iter().enumerate();
        assert!(counted.clone().all(|(i, n)| *n == i + 1), "{numbers:?}");
    }
}

/// The increment of a small log, the counter's value behind each of its bytes, and its path.
fn small_log() -> (FaultyDisk, String, Vec<u8>) {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "always").expect("an empty disk");
    for _ in 0..4 {
        kept.ok("INCR count");
    }
    let end = kept.keeper.close(false);
    assert_eq!(end, Ok(()));
    let path = "/d/appendonlydir/appendonly.aof.1.incr.aof".to_owned();
    let bytes = disk.contents(&path).expect("the log's increment");
    (disk, path, bytes)
}

#[test]
fn a_log_torn_at_any_byte_is_loaded_up_to_there() {
    let (disk, path, bytes) = small_log();
    let mut last = 0;
    for length in 0..=bytes.len() {
        let torn = disk.kill();
        torn.put(&path, &bytes[..length]);
        let mut kept = Kept::open(&torn, "always").unwrap_or_else(|e| panic!("{length}: {e}"));
        let count = kept.number("count");
        assert!(
            count == last || count == last + 1,
            "{length} bytes: {count} after {last}"
        );
        last = count;
        // It goes on from there, and the next start finds both.
        kept.ok("INCR count");
        drop(kept);
        let mut kept = Kept::open(&torn.kill(), "always").expect("a log that was cut");
        assert_eq!(kept.number("count"), count + 1);
    }
    assert_eq!(last, 4);
}

#[test]
fn a_flipped_bit_never_passes_unseen() {
    let (disk, path, bytes) = small_log();
    let mut refused = 0;
    for at in 0..bytes.len() {
        let flipped = disk.kill();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        flipped.put(&path, &damaged);
        match Kept::open(&flipped, "always") {
            Ok(mut kept) => {
                // Only what need not have been on the disk may be missing: the last piece.
                let count = kept.number("count");
                assert!((3..=4).contains(&count), "byte {at}: {count}");
            }
            Err(why) => {
                refused += 1;
                assert!(
                    why.contains("appendonly.aof.1.incr.aof"),
                    "byte {at}: {why}"
                );
            }
        }
    }
    assert!(refused > bytes.len() / 2, "{refused} of {}", bytes.len());
}

/// A disk that is full refuses changes, and reads go on; when there is room again the data set is whole, and what was answered
/// with an error never comes back.
#[test]
fn a_full_disk_refuses_changes_until_there_is_room() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "always").expect("an empty disk");
    kept.ok("SET before 1");
    disk.script(|operation, _| match operation {
        Operation::Append(_) | Operation::Write(_) => Some(Fault::Error(ENOSPC)),
        _ => None,
    });
    let (_, lost) = kept.run("SET lost 1");
    assert!(lost.is_err(), "a promise that the disk did not keep");
    let mut refused = false;
    for _ in 0..2000 {
        let (reply, kept_it) = kept.run("SET refused 1");
        refused = reply.starts_with("-MISCONF");
        if refused {
            break;
        }
        assert!(kept_it.is_err());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(refused);
    assert_eq!(kept.number("before"), 1);
    disk.heal();
    let mut taken = false;
    for _ in 0..10_000 {
        let (reply, kept_it) = kept.run("SET after 1");
        taken = reply.starts_with("+OK") && kept_it.is_ok();
        if taken {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(taken, "changes are taken again");
    let (there, _) = kept.run("DEBUG DIGEST");
    let mut again = Kept::open(&disk.crash(1), "always").expect("a log that is whole again");
    // Memory and disk are the same: what was in memory when the disk was well again is what a start finds.
    assert_eq!(again.run("DEBUG DIGEST").0, there);
    assert_eq!(again.number("after"), 1);
    assert!(!kept.engine.loading.is_on());
}

/// What was done before a rewrite's moment is in its base and nowhere else, and what follows says which database it is in.
#[test]
fn a_rewrite_parts_the_log_at_one_moment() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    kept.ok("SELECT 1");
    for n in 1..=20usize {
        kept.ok("INCR count");
        kept.keeper.rewrite_now().expect("a rewrite");
        kept.ok("INCR count");
        kept.keeper.sync(0).expect("a sync");
        let mut again = Kept::open(&disk.crash(n as u64), "everysec").expect("a log");
        again.ok("SELECT 1");
        assert_eq!(again.number("count"), 2 * n);
        assert_eq!(again.ok("DBSIZE"), ":1\r\n");
    }
}

/// Who waits for the disk is not told of what is only written.
#[test]
fn what_is_written_and_not_synced_is_not_on_the_disk() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    let held = Arc::new(AtomicBool::new(true));
    let holds = held.clone();
    disk.script(move |operation, _| {
        while operation == Operation::Sync && holds.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    });
    kept.ok("INCR count");
    let piece = kept.session.piece();
    kept.await_info("aof_pending_bio_fsync", "1");
    assert!(!kept.keeper.is_on_disk(piece));
    held.store(false, SeqCst);
    for _ in 0..20_000 {
        if kept.keeper.is_on_disk(piece) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it never is on the disk");
}
