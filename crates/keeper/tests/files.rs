//! Which files a log has, as directives and other servers' lists have it.

mod common;

use common::Kept;
use disk::faulty::FaultyDisk;

const FOLDER: &str = "/d/appendonlydir/";

fn contents(disk: &FaultyDisk, name: &str) -> Option<String> {
    let bytes = disk.contents(format!("{FOLDER}{name}"))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn list(disk: &FaultyDisk) -> String {
    contents(disk, "appendonly.aof.manifest").expect("a list")
}

fn rewrite(kept: &mut Kept, times: usize) {
    kept.ok("BGREWRITEAOF");
    kept.await_info("aof_rewrites", &times.to_string());
    kept.await_info("aof_rewrite_in_progress", "0");
}

#[test]
fn history_stays_for_as_long_as_that_is_wanted() {
    let disk = FaultyDisk::new();
    let mut kept = Kept::open(&disk, "everysec").expect("an empty disk");
    kept.ok("CONFIG SET aof-disable-auto-gc yes");
    rewrite(&mut kept, 1);
    let old = "appendonly.aof.1.base.rdb";
    assert!(list(&disk).contains(&format!("file {old} seq 1 type h")));
    assert!(contents(&disk, old).is_some());
    kept.keeper.close(false).expect("closed");
    let disk = disk.kill();
    let directives = [("appendonly", "yes"), ("aof-disable-auto-gc", "yes")];
    let mut kept = Kept::open_with(&disk, &directives).expect("a log");
    rewrite(&mut kept, 1);
    assert_eq!(list(&disk).matches("type h").count(), 4, "{}", list(&disk));
    kept.ok("CONFIG SET aof-disable-auto-gc no");
    for _ in 0..5000 {
        if !list(&disk).contains("type h") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(!list(&disk).contains("type h"), "{}", list(&disk));
    assert!(contents(&disk, old).is_none());
    // Who is told that the rewrite is done finds the list as it stays.
    rewrite(&mut kept, 2);
    assert!(!list(&disk).contains("type h"), "{}", list(&disk));
    kept.keeper.close(false).expect("closed");
}

/// What Redis 8 says of the stream, and what is said to it.
#[test]
fn where_the_stream_was_is_known_from_another_servers_list() {
    let set = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n7\r\n";
    for (ends, offset) in [(" endoffset 200", 200), ("", 100 + set.len() as u64)] {
        let disk = FaultyDisk::new();
        disk.put(format!("{FOLDER}appendonly.aof.1.incr.aof"), set.as_bytes());
        let text = format!("file appendonly.aof.1.incr.aof seq 1 type i startoffset 100{ends}\n");
        disk.put(format!("{FOLDER}appendonly.aof.manifest"), text.as_bytes());
        let mut kept = Kept::open(&disk, "everysec").expect("a log");
        assert_eq!(kept.number("k"), 7);
        assert_eq!(kept.keeper.loaded_offset(), offset);
        assert!(!list(&disk).contains("endoffset"), "{}", list(&disk));
        kept.engine.standing.set_offset(300);
        kept.ok("INCR k");
        kept.keeper.close(false).expect("closed");
        assert_eq!(
            list(&disk),
            "file appendonly.aof.1.incr.aof seq 1 type i startoffset 100 endoffset 300\n"
        );
    }
}

#[test]
fn a_base_of_commands_begins_with_the_time_if_the_log_has_it() {
    let disk = FaultyDisk::new();
    let directives = [("appendonly", "yes"), ("aof-use-rdb-preamble", "no")];
    let mut kept = Kept::open_with(&disk, &directives).expect("an empty disk");
    assert_eq!(
        contents(&disk, "appendonly.aof.1.base.aof").as_deref(),
        Some("")
    );
    kept.ok("CONFIG SET aof-timestamp-enabled yes");
    kept.ok("SET k 7");
    rewrite(&mut kept, 1);
    let base = contents(&disk, "appendonly.aof.2.base.aof").expect("a base");
    let behind = base
        .strip_prefix("#TS:")
        .and_then(|rest| rest.split_once("\r\n"));
    assert!(
        behind.is_some_and(|(_, rest)| rest.starts_with("*2\r\n$6\r\nSELECT")),
        "{base}"
    );
    kept.keeper.close(false).expect("closed");
    let again = Kept::open(&disk.kill(), "everysec");
    assert_eq!(again.expect("a log").number("k"), 7);
}
