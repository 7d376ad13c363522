//! Room that is laid out behind the pieces of a log that is synced with each of them: what is seen where a write over it stops, at every
//! byte and block, and that nothing stays of it once it is of no use.

mod common;

use common::{command, file, new_log, open, read, set, shared};
use redpoll_disk::check::{Repair, Verdict, check_aof};
use redpoll_disk::faulty::FaultyDisk;
use redpoll_disk::{Disk, Fsync, ReadOptions, Settings};

const INCREMENT: &str = "appendonly.aof.1.incr.aof";

/// Enough for all that is written here.
const ROOM: u64 = 8 << 10;

fn always() -> Settings {
    Settings {
        fsync: Fsync::Always,
        room: Some(ROOM),
        ..Settings::default()
    }
}

fn contents(disk: &FaultyDisk) -> Vec<u8> {
    disk.contents(file(INCREMENT)).expect("there")
}

/// A log that runs, with some pieces, the last of them over several blocks; the file before that one and after it, and where
/// it begins and ends.
struct Written {
    disk: FaultyDisk,
    before: Vec<u8>,
    after: Vec<u8>,
    from: usize,
    to: usize,
    pieces: Vec<Vec<u8>>,
}

impl Written {
    /// `first`: bytes of a value, which say where the last piece lies; `last`: those of its own.
    fn new(first: usize, last: usize) -> Written {
        let disk = FaultyDisk::new();
        let log = new_log(&disk, always());
        let value = |n| command(&[b"SET", b"k", &vec![b'v'; n]]);
        let pieces = vec![set(1), value(first), value(last)];
        let mut states = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            log.append(piece.clone(), 0).expect("taken");
            log.wait(n as u64 + 1);
            let (all, summary) = read(&disk, ReadOptions::default()).expect("loads");
            assert_eq!(all, pieces[..=n].concat());
            assert_eq!(summary.cut, None);
            let size = contents(&disk).len();
            states.push((contents(&disk), size - summary.room as usize));
        }
        let (after, to) = states.pop().expect("three");
        let (before, from) = states.pop().expect("two");
        // As it is after a kill: the log is not closed.
        let disk = disk.kill();
        Written {
            disk,
            before,
            after,
            from,
            to,
            pieces,
        }
    }

    /// What is loaded from this file, and where it was cut. The log goes on from there.
    fn load(&self, bytes: &[u8]) -> (Vec<u8>, Option<u64>) {
        let disk = self.disk.kill();
        disk.put(file(INCREMENT), bytes);
        let (all, summary) = read(&disk, ReadOptions::default()).expect("loads");
        let log = open(&disk, always());
        log.append(set(99), 0).expect("taken");
        log.close().expect("closed");
        let (again, closed) = read(&disk, ReadOptions::default()).expect("loads");
        assert_eq!(again, [all.clone(), set(99)].concat());
        assert_eq!((closed.cut, closed.room), (None, 0));
        assert_eq!(closed.bytes, closed_size(&disk));
        (all, summary.cut.map(|cut| cut.offset))
    }
}

fn closed_size(disk: &FaultyDisk) -> u64 {
    let names = Disk::list(disk, &file("")).expect("listed");
    let logs = names.iter().filter(|name| name.ends_with(".aof"));
    let sizes = logs.map(|name| disk.size(&file(name)).expect("asked").unwrap_or(0));
    sizes.sum()
}

#[test]
fn a_write_over_room_counts_whole_or_not_at_all_wherever_it_stops() {
    // The last piece begins at every kind of place in a line.
    for first in [300, 319, 320, 321, 322, 323, 324] {
        let w = Written::new(first, 1100);
        let seam = w.after[w.to..].iter().take_while(|&&b| b == b'#').count();
        for stop in w.from..=w.to + seam {
            let bytes = [&w.after[..stop], &w.before[stop..]].concat();
            let (all, cut) = w.load(&bytes);
            let whole = stop >= w.to;
            let expected = &w.pieces[..if whole { 3 } else { 2 }];
            assert_eq!(all, expected.concat(), "first {first}, stopped at {stop}");
            // The first byte of a piece is what stood there before.
            let seen = !whole && bytes != w.before;
            assert_eq!(cut, seen.then_some(w.from as u64), "{first}: {stop}");
        }
    }
}

#[test]
fn blocks_that_never_reached_the_disk_leave_no_gap() {
    for first in [300, 322, 400] {
        let w = Written::new(first, 2300);
        let blocks: Vec<usize> = (w.from / 512..=w.to / 512).collect();
        for missing in 1u32..1 << blocks.len() {
            let mut bytes = w.after.clone();
            for (n, block) in blocks.iter().enumerate() {
                if missing & 1 << n != 0 {
                    let block = block * 512..(block + 1) * 512;
                    bytes[block.clone()].copy_from_slice(&w.before[block]);
                }
            }
            let (all, cut) = w.load(&bytes);
            // The last block may hold the seam alone, or nothing that is another byte than before.
            let whole = bytes[..w.to] == w.after[..w.to];
            let expected = &w.pieces[..if whole { 3 } else { 2 }];
            assert_eq!(all, expected.concat(), "first {first}, {missing:b}");
            if !whole && bytes != w.before {
                assert_eq!(cut, Some(w.from as u64), "first {first}, {missing:b}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_room_costs_no_piece() {
    let w = Written::new(300, 50);
    for at in (w.to..w.to + 1100).chain(w.after.len() - 20..w.after.len()) {
        let mut bytes = w.after.clone();
        bytes[at] ^= 1 << (at % 8);
        let (all, _) = w.load(&bytes);
        assert_eq!(all, w.pieces.concat(), "byte {at}");
    }
    // Of what pieces hold nothing is replayed that was not written.
    for at in 0..w.from {
        let mut bytes = w.after.clone();
        bytes[at] ^= 1 << (at % 8);
        let disk = w.disk.kill();
        disk.put(file(INCREMENT), &bytes);
        assert!(read(&disk, ReadOptions::default()).is_err(), "byte {at}");
    }
}

#[test]
fn a_check_takes_a_log_with_room_for_whole() {
    let w = Written::new(300, 50);
    let mut no_rdb = |_: &mut redpoll_disk::reader::RdbPart<'_>| Ok(());
    let report = check_aof(&shared(&w.disk), &file(""), Repair::No, &mut no_rdb);
    assert!(matches!(report.verdict, Verdict::Valid), "{report}");
    let mut bytes = w.after.clone();
    let behind = w.to + 1000;
    bytes[behind..behind + 5].copy_from_slice(b"*1\r\n$");
    w.disk.put(file(INCREMENT), &bytes);
    let report = check_aof(&shared(&w.disk), &file(""), Repair::Fix, &mut no_rdb);
    let Verdict::WasCut(cut, _) = &report.verdict else {
        panic!("{report}");
    };
    assert_eq!(cut.offset, w.to as u64);
    assert_eq!(contents(&w.disk).len(), w.to);
}

#[test]
fn room_goes_where_it_is_of_no_use() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, always());
    let size = |name: &str| disk.size(&file(name)).expect("asked").expect("there");
    for n in 1..=3 {
        log.append(set(n), 0).expect("taken");
        log.wait(n);
    }
    let told = log.status().size - log.status().base_size;
    assert!(size(INCREMENT) > ROOM && told < 500, "{told}");
    log.set_fsync(Fsync::EverySecond).expect("taken");
    log.sync().expect("synced");
    assert_eq!(size(INCREMENT), told);
    log.set_fsync(Fsync::Always).expect("taken");
    log.append(set(4), 0).expect("taken");
    log.wait(4);
    assert!(size(INCREMENT) > ROOM);
    // The next one is begun, and this one ends where its pieces do.
    let rewrite = log.begin_rewrite().expect("begun");
    log.append(set(5), 0).expect("taken");
    log.wait(5);
    assert!(size(INCREMENT) < 1000);
    assert!(size("appendonly.aof.2.incr.aof") > ROOM);
    drop(rewrite);
    log.close().expect("closed");
    assert!(size("appendonly.aof.2.incr.aof") < 1000);
    let (all, summary) = read(&disk, ReadOptions::default()).expect("loads");
    assert_eq!(all, (1..=5).flat_map(set).collect::<Vec<u8>>());
    assert_eq!((summary.cut, summary.room), (None, 0));
}

#[test]
fn what_another_server_appends_behind_room_is_read() {
    let w = Written::new(300, 50);
    let theirs = set(7);
    let bytes = [&w.after[..], &theirs].concat();
    let (all, cut) = w.load(&bytes);
    assert_eq!(all, [w.pieces.concat(), theirs.clone()].concat());
    assert_eq!(cut, None);
    // In the midst of it, it is what came of a write whose beginning is missing.
    let end = w.to + 2000;
    let bytes = [&w.after[..end], &theirs].concat();
    let (all, cut) = w.load(&bytes);
    assert_eq!((all, cut), (w.pieces.concat(), Some(w.to as u64)));
}
