//! Logs that end early or are not what was written: torn at every byte, a bit flipped at every byte, pieces missing, and files
//! of other servers.

mod common;

use common::{command, file, folder, new_log, open, read, read_with, set, shared};
use redpoll_disk::check::{Repair, Verdict, check_aof};
use redpoll_disk::error::LogErrorKind;
use redpoll_disk::faulty::FaultyDisk;
use redpoll_disk::piece::{Header, ReadHeader};
use redpoll_disk::reader::Summary;
use redpoll_disk::{Disk, Fsync, LogError, LogReader, ReadOptions, Settings};
use std::path::Path;

const INCREMENT: &str = "appendonly.aof.1.incr.aof";

/// A log with some pieces, closed, and the commands of each piece.
fn small_log(timestamps: bool) -> (FaultyDisk, Vec<Vec<u8>>) {
    let disk = FaultyDisk::new();
    let log = new_log(
        &disk,
        Settings {
            fsync: Fsync::Always,
            timestamps,
            ..Settings::default()
        },
    );
    let like_a_line = {
        let mut line = b"\r\n".to_vec();
        Header {
            number: 7,
            bytes: 0,
            synced: Some(6),
            crc: 0,
        }
        .write(&mut line);
        line
    };
    let pieces = vec![
        set(1),
        [
            command(&[b"MULTI"]),
            set(2),
            command(&[b"DEL", b"\0\xff"]),
            command(&[b"EXEC"]),
        ]
        .concat(),
        command(&[b"SET", b"text", &like_a_line]),
        set(4),
    ];
    for (n, piece) in pieces.iter().enumerate() {
        log.append(piece.clone(), 1_700_000_000 + n as u64)
            .expect("taken");
        log.wait(n as u64 + 1);
    }
    log.close().expect("closed");
    (disk, pieces)
}

/// Where each piece's line begins, and the marks'.
fn lines(bytes: &[u8]) -> Vec<(usize, Header)> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let ReadHeader::Line(header, length) = Header::read(&bytes[at..]) else {
            panic!("no line at {at}");
        };
        lines.push((at, header));
        at += length + header.bytes as usize;
    }
    lines
}

fn kind(result: Result<(Vec<u8>, Summary), LogError>) -> LogErrorKind {
    result.expect_err("not as it should be").kind
}

#[test]
fn a_torn_end_is_cut_back_to_the_last_whole_piece_at_every_byte() {
    for timestamps in [false, true] {
        let (disk, pieces) = small_log(timestamps);
        let whole = disk.contents(file(INCREMENT)).expect("there");
        let lines = lines(&whole);
        assert_eq!(lines.len(), pieces.len() + 2, "marks at both ends");
        for size in 0..whole.len() {
            disk.put(file(INCREMENT), &whole[..size]);
            // The beginnings of pieces that are there in full.
            let boundaries = lines.iter().map(|(at, _)| *at);
            let good = boundaries.filter(|at| *at <= size).max().unwrap_or(0);
            let count = lines
                .iter()
                .filter(|(at, header)| *at < good && !header.is_mark());
            let expected = pieces[..count.count()].concat();
            let (commands, summary) = read(&disk, ReadOptions::default()).expect("loads");
            assert_eq!(commands, expected, "{size} bytes");
            let cut = summary.cut.clone();
            assert_eq!(
                cut.as_ref().map(|cut| cut.offset),
                (good != size).then_some(good as u64)
            );
            let strict = ReadOptions {
                load_truncated: false,
                ..ReadOptions::default()
            };
            if cut.is_some() {
                assert_eq!(kind(read(&disk, strict)), LogErrorKind::Torn);
            } else {
                read(&disk, strict).expect("loads");
            }
            // And the log goes on from there.
            let log = open(&disk, Settings::default());
            log.append(set(99), 0).expect("taken");
            log.close().expect("closed");
            let (again, summary) = read(&disk, ReadOptions::default()).expect("loads");
            assert_eq!(again, [expected, set(99)].concat());
            assert_eq!(summary.cut, None);
        }
    }
}

#[test]
fn a_flipped_bit_is_never_replayed_and_never_cuts_what_was_on_the_disk() {
    let (disk, pieces) = small_log(false);
    let whole = disk.contents(file(INCREMENT)).expect("there");
    let lines = lines(&whole);
    let all = pieces.concat();
    let last_mark = lines.last().expect("lines").0;
    let (mut refused, mut loaded) = (0, 0);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            disk.put(file(INCREMENT), &flipped);
            let place = format!("bit {bit} of byte {at}");
            match read(&disk, ReadOptions::default()) {
                // The last mark is not needed.
                Ok((commands, summary)) => {
                    loaded += 1;
                    assert!(commands == all, "{place}");
                    if let Some(cut) = summary.cut {
                        assert_eq!(cut.offset, last_mark as u64, "{place}");
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind, LogErrorKind::Damaged, "{place}: {error}");
                    assert_eq!(error.path, file(INCREMENT));
                    let offset = error.offset.expect("where") as usize;
                    // The piece that has it, or the next, if its line is not even recognized.
                    let begins = lines.iter().rev().find(|(begin, _)| *begin <= at);
                    assert_eq!(offset, begins.expect("in some piece").0, "{place}: {error}");
                }
            }
        }
    }
    assert!(
        refused >= 8 * last_mark,
        "{refused} refused, {loaded} loaded"
    );
}

#[test]
fn damage_is_cut_only_if_settings_allow_so_much_and_is_kept() {
    let (disk, pieces) = small_log(false);
    let mut bytes = disk.contents(file(INCREMENT)).expect("there");
    let third = lines(&bytes)[3].0;
    bytes[third + 60] ^= 1;
    disk.put(file(INCREMENT), &bytes);
    let tail = (bytes.len() - third) as u64;
    let allow = |corrupt_tail_max| ReadOptions {
        load_truncated: false,
        corrupt_tail_max,
    };
    let error = read(&disk, allow(tail - 1)).expect_err("too much");
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "offset {third}: piece 3 is not what its checksum says"
        )),
        "{text}"
    );
    assert!(
        text.contains("vouches for everything up to piece 4"),
        "{text}"
    );
    let (commands, summary) = read(&disk, allow(tail)).expect("allowed");
    assert_eq!(commands, pieces[..2].concat());
    let cut = summary.cut.expect("to be cut");
    assert!(cut.damaged && cut.pieces_behind == 1, "{cut:?}");
    for n in 0..2 {
        disk.put(file(INCREMENT), &bytes);
        let kept = cut.apply(&shared(&disk)).expect("cut").expect("kept");
        assert_eq!(disk.contents(&kept).expect("there"), &bytes[third..]);
        assert_eq!(kept.to_string_lossy().ends_with(".1"), n == 1);
        assert_eq!(
            disk.contents(file(INCREMENT)).expect("there"),
            &bytes[..third]
        );
    }
}

#[test]
fn a_cut_is_on_the_disk_when_it_is_done() {
    let (disk, _) = small_log(false);
    let bytes = disk.contents(file(INCREMENT)).expect("there");
    disk.put(file(INCREMENT), &bytes[..bytes.len() - 40]);
    let (_, summary) = read(&disk, ReadOptions::default()).expect("loads");
    let cut = summary.cut.expect("torn");
    cut.apply(&shared(&disk)).expect("cut");
    for seed in 0..10 {
        let after = disk.crash(seed).contents(file(INCREMENT)).expect("there");
        assert_eq!(after, &bytes[..cut.offset as usize]);
    }
}

/// A file of pieces of which the last two were written after the last sync, as `synced` says.
fn unsynced(synced: impl Fn(u64) -> Option<u64>) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (Vec::new(), Vec::new());
    for number in 1..=5 {
        let body = set(number);
        starts.push(bytes.len());
        Header {
            number,
            bytes: body.len() as u64,
            synced: synced(number),
            crc: crc32c::crc32c(&body),
        }
        .write(&mut bytes);
        bytes.extend_from_slice(&body);
    }
    starts.push(bytes.len());
    (bytes, starts)
}

#[test]
fn what_a_power_failure_leaves_is_cut_and_what_it_cannot_leave_is_not() {
    let synced = |number: u64| Some(number.min(4) - 1);
    let (whole, starts) = unsynced(synced);
    let disk = FaultyDisk::new();
    let outcome = |bytes: &[u8]| {
        foreign(&disk, bytes);
        read(&disk, ReadOptions::default())
            .map(|(_, summary)| summary.cut.map(|cut| cut.offset as usize))
            .map_err(|error| error.kind)
    };
    assert_eq!(outcome(&whole), Ok(None));
    let damaged = Err(LogErrorKind::Damaged);
    let body = |piece: usize| starts[piece] + 45;
    let zeroed = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0);
        bytes
    };
    // The last piece, in its bytes, in its line, or both.
    assert_eq!(outcome(&zeroed(body(4), body(4) + 4)), Ok(Some(starts[4])));
    assert_eq!(
        outcome(&zeroed(starts[4], starts[4] + 3)),
        Ok(Some(starts[4]))
    );
    assert_eq!(
        outcome(&zeroed(starts[4] + 2, starts[4] + 9)),
        Ok(Some(starts[4]))
    );
    // The one before, which nobody vouches for either, with a whole piece behind it, a torn one, or one without a line.
    let hole = zeroed(body(3), body(3) + 4);
    assert_eq!(outcome(&hole), Ok(Some(starts[3])));
    for size in starts[4]..hole.len() {
        assert_eq!(outcome(&hole[..size]), Ok(Some(starts[3])), "{size}");
    }
    let mut no_line = hole.clone();
    no_line[starts[4]..starts[4] + 8].fill(0);
    assert_eq!(outcome(&no_line), Ok(Some(starts[3])));
    // Commands that another server added behind a piece it could not read are not thrown away.
    let mut added = hole[..starts[4]].to_vec();
    added.extend_from_slice(&set(6));
    assert_eq!(outcome(&added), damaged);
    // Pieces that were on the disk.
    for piece in 0..3 {
        assert_eq!(
            outcome(&zeroed(body(piece), body(piece) + 4)),
            damaged,
            "{piece}"
        );
    }
    // Where nobody synced, nothing speaks for the one or the other, but for zeros up to the end.
    let (whole, starts) = unsynced(|_| None);
    let mut bytes = whole.clone();
    bytes[starts[3] + 45] ^= 1;
    assert_eq!(outcome(&bytes), damaged);
    bytes[starts[3] + 45..].fill(0);
    assert_eq!(outcome(&bytes), Ok(Some(starts[3])));
}

#[test]
fn a_missing_piece_is_a_gap_wherever_it_is_missing() {
    let (disk, _) = small_log(false);
    let whole = disk.contents(file(INCREMENT)).expect("there");
    let lines = lines(&whole);
    for missing in 1..=4 {
        let mut bytes = whole[..lines[missing].0].to_vec();
        bytes.extend_from_slice(&whole[lines[missing + 1].0..]);
        disk.put(file(INCREMENT), &bytes);
        let error = read(&disk, ReadOptions::default()).expect_err("a gap");
        assert_eq!(error.kind, LogErrorKind::Damaged);
        assert_eq!(error.offset, Some(lines[missing].0 as u64));
    }
    // A piece twice.
    let mut bytes = whole[..lines[3].0].to_vec();
    bytes.extend_from_slice(&whole[lines[2].0..]);
    disk.put(file(INCREMENT), &bytes);
    assert_eq!(
        kind(read(&disk, ReadOptions::default())),
        LogErrorKind::Damaged
    );
}

#[test]
fn only_the_last_file_may_end_anywhere() {
    let (disk, pieces) = small_log(false);
    let log = open(&disk, Settings::default());
    let rewrite = log.begin_rewrite().expect("begun");
    log.append(set(5), 0).expect("taken");
    log.sync().expect("synced");
    drop(rewrite);
    log.close().expect("closed");
    let (commands, _) = read(&disk, ReadOptions::default()).expect("loads");
    assert_eq!(commands, [pieces.concat(), set(5)].concat());
    let whole = disk.contents(file(INCREMENT)).expect("there");
    for size in 0..whole.len() {
        disk.put(file(INCREMENT), &whole[..size]);
        let everything = ReadOptions {
            load_truncated: true,
            corrupt_tail_max: u64::MAX,
        };
        match read(&disk, everything) {
            Err(error) => assert_eq!(error.kind, LogErrorKind::Damaged, "{size}"),
            // Only the mark at its end may be missing.
            Ok((again, summary)) => {
                assert_eq!(size, lines(&whole).last().expect("a mark").0);
                assert_eq!((again, summary.cut), (commands.clone(), None));
            }
        }
    }
}

fn foreign(disk: &FaultyDisk, bytes: &[u8]) {
    disk.put(
        file("appendonly.aof.manifest"),
        format!("file {INCREMENT} seq 1 type i\n").as_bytes(),
    );
    disk.put(file(INCREMENT), bytes);
}

#[test]
fn a_log_of_another_server_is_cut_at_commands_and_transactions() {
    let commands = [
        command(&[b"SELECT", b"0"]),
        set(1),
        [command(&[b"MULTI"]), set(2), set(3), command(&[b"EXEC"])].concat(),
        set(4),
    ];
    let mut whole = b"#TS:1700000000\r\n".to_vec();
    let mut ends = vec![0];
    for part in &commands {
        whole.extend_from_slice(part);
        ends.push(whole.len());
    }
    for size in 0..=whole.len() {
        let disk = FaultyDisk::new();
        foreign(&disk, &whole[..size]);
        let (read, summary) = read(&disk, ReadOptions::default()).expect("loads");
        let good = *ends.iter().rfind(|end| **end <= size).expect("0");
        let count = ends.iter().position(|end| *end == good).expect("there");
        assert_eq!(read, commands[..count].concat(), "{size}");
        // A whole annotation before what is torn stays.
        let offset = if (16..ends[1]).contains(&size) {
            16
        } else {
            good
        };
        assert_eq!(
            summary.cut.map(|cut| cut.offset),
            (offset != size).then_some(offset as u64),
            "{size}"
        );
        assert_eq!(summary.last, 0);
    }
    // Bytes that are no command are damage, zeros up to the end are not.
    let disk = FaultyDisk::new();
    foreign(&disk, &[&whole[..], b"garbage"].concat());
    assert_eq!(
        kind(read(&disk, ReadOptions::default())),
        LogErrorKind::Damaged
    );
    foreign(&disk, &[&whole[..], &[0; 5000]].concat());
    let (_, summary) = read(&disk, ReadOptions::default()).expect("loads");
    assert_eq!(summary.cut.map(|cut| cut.bytes), Some(5000));
    foreign(&disk, &[&whole[..], &[0; 50], &set(5)].concat());
    assert_eq!(
        kind(read(&disk, ReadOptions::default())),
        LogErrorKind::Damaged
    );
    // Damage within a transaction cuts all of it.
    let open = [command(&[b"MULTI"]), set(5), b"garbage".to_vec()].concat();
    foreign(&disk, &[&whole[..], &open].concat());
    let lenient = ReadOptions {
        load_truncated: true,
        corrupt_tail_max: open.len() as u64,
    };
    let (read, summary) = read(&disk, lenient).expect("allowed");
    assert_eq!(read, commands.concat());
    assert_eq!(summary.cut.expect("cut").offset, whole.len() as u64);
}

#[test]
fn servers_may_take_turns() {
    let (disk, pieces) = small_log(false);
    let mut bytes = disk.contents(file(INCREMENT)).expect("there");
    let theirs = [command(&[b"SELECT", b"0"]), set(10)].concat();
    bytes.extend_from_slice(&theirs);
    disk.put(file(INCREMENT), &bytes);
    let log = open(&disk, Settings::default());
    assert_eq!(log.append(set(11), 0), Ok(5));
    log.close().expect("closed");
    let (commands, summary) = read(&disk, ReadOptions::default()).expect("loads");
    assert_eq!(commands, [pieces.concat(), theirs, set(11)].concat());
    assert_eq!((summary.last, summary.commands), (5, 10));
}

#[test]
fn a_piece_must_be_whole_commands() {
    for bytes in [
        command(&[b"MULTI"]),
        b"*1\r\n$4\r\nPI".to_vec(),
        b"PING\r\n".to_vec(),
    ] {
        let disk = FaultyDisk::new();
        let log = new_log(&disk, Settings::default());
        log.append(bytes, 0).expect("taken");
        log.close().expect("closed");
        let error = read(&disk, ReadOptions::default()).expect_err("not commands");
        assert!(
            error.to_string().contains("piece 1 was written wrong"),
            "{error}"
        );
    }
}

#[test]
fn large_commands_and_many_small_ones_are_read_and_found_again() {
    let disk = FaultyDisk::new();
    let log = new_log(&disk, Settings::default());
    let big = command(&[b"SET", b"big", &vec![b'x'; 3 << 20]]);
    let mut expected = Vec::new();
    for n in 0..20_000 {
        let mut piece = set(n);
        if n % 7000 == 0 {
            piece.extend_from_slice(&big);
        }
        expected.extend_from_slice(&piece);
        log.append(piece, 0).expect("taken");
    }
    log.close().expect("closed");
    let bytes = disk.contents(file(INCREMENT)).expect("there");
    let folder = folder(&disk).expect("a log");
    let mut reader = LogReader::open(&folder, ReadOptions::default()).expect("open");
    let mut at = 0;
    while let redpoll_disk::Event::Commands(commands) = reader.next().expect("fine") {
        let all = commands.bytes;
        assert!(expected[at..].starts_with(all));
        for place in [0, all.len() / 3, all.len() - 1] {
            let offset = commands.offset(place) as usize;
            let n = 5.min(all.len() - place);
            // Not over the end of a piece, where a line comes between.
            if let Some(same) = bytes.get(offset..offset + n)
                && same != &all[place..place + n]
            {
                assert!(same.contains(&b'#'), "{place}");
            }
            assert_eq!(bytes[offset], all[place]);
        }
        let refused = commands.refuse(0, "unknown command");
        assert_eq!(refused.offset, Some(commands.offset(0)));
        at += all.len();
    }
    assert_eq!(at, expected.len());
    assert_eq!(reader.position(), (bytes.len() as u64, bytes.len() as u64));
    // The same as one file of another server.
    disk.put("/d/foreign.aof", &expected);
    let mut reader = LogReader::file(
        &shared(&disk),
        Path::new("/d/foreign.aof"),
        ReadOptions::default(),
    )
    .expect("open");
    let (commands, summary) = read_with(&mut reader).expect("fine");
    assert!(commands == expected);
    assert_eq!(summary.commands, 20_003);
}

#[test]
fn check_says_what_a_start_would_do_and_fixes_when_asked() {
    let no_rdb = &mut |_: &mut redpoll_disk::reader::RdbPart<'_>| Ok(());
    let (disk, _) = small_log(false);
    let shared = shared(&disk);
    let manifest = file("appendonly.aof.manifest");
    // As a kill leaves it that hits while a manifest is written.
    disk.put(file("temp-appendonly.aof.manifest"), b"file half a");
    for path in [&manifest, Path::new("/d/appendonlydir"), &file(INCREMENT)] {
        let report = check_aof(&shared, path, Repair::No, no_rdb);
        assert!(report.is_valid(), "{report}");
        assert!(
            report
                .to_string()
                .contains("pieces up to 4, checksums right\nvalid"),
            "{report}"
        );
    }
    let whole = disk.contents(file(INCREMENT)).expect("there");
    let mut bytes = whole.clone();
    let second = lines(&bytes)[2].0;
    bytes[second + 70] ^= 4;
    disk.put(file(INCREMENT), &bytes);
    let report = check_aof(&shared, &manifest, Repair::No, no_rdb);
    assert!(!report.is_valid());
    let text = report.to_string();
    for part in [
        &format!(
            "{} bytes at its end do not count, from offset {second} on: piece 2",
            bytes.len() - second
        )[..],
        "2 later pieces go with them",
        &format!("not valid, but can be cut to {second} bytes"),
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        disk.contents(file(INCREMENT)).expect("there"),
        bytes,
        "nothing was changed"
    );
    let report = check_aof(&shared, &manifest, Repair::Fix, no_rdb);
    assert!(report.is_valid(), "{report}");
    let Verdict::WasCut(_, Some(kept)) = &report.verdict else {
        panic!("{report}");
    };
    assert_eq!(disk.contents(kept).expect("kept"), &bytes[second..]);
    assert!(matches!(
        check_aof(&shared, &manifest, Repair::No, no_rdb).verdict,
        Verdict::Valid
    ));
    // What cannot be mended is named.
    disk.put(&manifest, b"file a seq 1 type b\nfile b seq 2 type b\n");
    let report = check_aof(&shared, &manifest, Repair::Fix, no_rdb);
    assert!(
        report
            .to_string()
            .contains("not valid: /d/appendonlydir/appendonly.aof.manifest: line 2"),
        "{report}"
    );
    disk.put("/d/x.rdb.aof", b"REDIS0011garbage");
    let report = check_aof(
        &shared,
        Path::new("/d/x.rdb.aof"),
        Repair::Fix,
        &mut |rdb| {
            assert_eq!(rdb.size(), 16);
            Err("no RDB".to_owned())
        },
    );
    assert!(matches!(report.verdict, Verdict::Broken(_)), "{report}");
    let report = check_aof(&shared, Path::new("/d/none"), Repair::No, no_rdb);
    assert!(report.to_string().contains("is missing"), "{report}");
    assert!(disk.size(Path::new("/d/none")).expect("asked").is_none());
}

#[test]
fn an_rdb_may_come_first() {
    use std::io::Read;
    let disk = FaultyDisk::new();
    foreign(
        &disk,
        &[b"REDIS0011 eighteen bytes".to_vec(), set(1)].concat(),
    );
    let mut reader =
        LogReader::open(&folder(&disk).expect("a log"), ReadOptions::default()).expect("open");
    let redpoll_disk::Event::Rdb(mut rdb) = reader.next().expect("fine") else {
        panic!("it comes first");
    };
    let mut bytes = [0; 24];
    rdb.read_exact(&mut bytes).expect("read");
    assert_eq!(&bytes, b"REDIS0011 eighteen bytes");
    assert_eq!(rdb.offset(), 24);
    let (commands, _) = read_with(&mut reader).expect("fine");
    assert_eq!(commands, set(1));
}
