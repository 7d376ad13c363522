//! The writer with a clock of the test's own.

use super::*;
use crate::faulty::{FaultyDisk, Operation};
use crate::piece::ReadHeader;
use crate::temp::SyncPlan;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Bench {
    disk: FaultyDisk,
    writer: Writer,
    start: Instant,
    syncs: Arc<AtomicUsize>,
}

impl Bench {
    /// A whole log without pieces, and syncs counted from here.
    fn new(fsync: Fsync) -> Bench {
        let disk = FaultyDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let folder = AofFolder::open(&shared, Path::new("/d"), "f", "a").expect("a log");
        let start = Instant::now();
        let mut writer = Writer::fresh(folder, 0, fsync);
        // Only for tests that are about it.
        writer.room = 0;
        writer.begin(0, true, start);
        let temp = writer.folder().path("temp-a.base");
        let base = AtomicFile::create(&shared, &temp, SyncPlan::incremental(false));
        let base = base.expect("made");
        writer.finish(base, true, start).expect("begun");
        writer.last_sync = None;
        let syncs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&syncs);
        disk.script(move |operation, _| {
            if operation == Operation::Sync {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            None
        });
        Bench {
            disk,
            writer,
            start,
            syncs,
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn piece(&mut self, number: u64, ms: u64) {
        let piece = Piece {
            number,
            bytes: b"*1\r\n$4\r\nPING\r\n".to_vec(),
            unix_seconds: 0,
        };
        let now = self.at(ms);
        self.writer.pieces(&[piece], now);
        self.writer.tick(now);
    }

    fn syncs(&self) -> usize {
        self.syncs.load(Ordering::Relaxed)
    }

    fn headers(&self) -> Vec<(u64, bool, Option<u64>)> {
        let bytes = self.disk.contents("/d/f/a.1.incr.aof").expect("there");
        let mut rest = &bytes[..];
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let ReadHeader::Line(header, length) = Header::read(rest) else {
                panic!("{}", rest.escape_ascii());
            };
            headers.push((header.number, header.is_mark(), header.synced));
            rest = &rest[length + header.bytes as usize..];
        }
        headers
    }
}

#[test]
fn every_second_is_every_second_and_a_mark_when_it_is_quiet() {
    let mut bench = Bench::new(Fsync::EverySecond);
    // The first after a while is synced at once.
    bench.piece(1, 0);
    assert_eq!((bench.syncs(), bench.writer.progress()), (1, (1, 1)));
    bench.piece(2, 300);
    bench.piece(3, 999);
    assert_eq!((bench.syncs(), bench.writer.progress()), (1, (3, 1)));
    assert_eq!(bench.writer.deadline(), Some(bench.at(1000)));
    bench.writer.tick(bench.at(1000));
    assert_eq!((bench.syncs(), bench.writer.progress()), (2, (3, 3)));
    // Nobody has written down yet that 2 and 3 are on the disk.
    assert_eq!(bench.writer.deadline(), Some(bench.at(1999)));
    bench.writer.tick(bench.at(1998));
    assert_eq!(bench.headers().len(), 4);
    bench.writer.tick(bench.at(1999));
    assert_eq!(bench.writer.deadline(), None);
    bench.writer.tick(bench.at(9999));
    assert_eq!(bench.syncs(), 2, "a mark is worth no sync");
    assert_eq!(
        bench.headers(),
        [
            (0, true, Some(0)),
            (1, false, Some(0)),
            (2, false, Some(1)),
            (3, false, Some(1)),
            (3, true, Some(3)),
        ]
    );
}

#[test]
fn pieces_are_written_while_the_sync_of_every_second_takes_its_time() {
    let mut bench = Bench::new(Fsync::EverySecond);
    bench.disk.hold_syncs(true);
    bench.piece(1, 0);
    assert_eq!((bench.syncs(), bench.writer.progress()), (1, (1, 0)));
    assert_eq!(bench.writer.deadline(), Some(bench.at(5)));
    bench.piece(2, 4);
    assert_eq!(bench.writer.deadline(), Some(bench.at(9)));
    // Another one begins only once this one is done.
    bench.piece(3, 2000);
    assert_eq!((bench.syncs(), bench.writer.progress()), (1, (3, 0)));
    bench.disk.hold_syncs(false);
    bench.writer.tick(bench.at(2001));
    // It was one for the first piece, and the next one follows at once.
    assert_eq!((bench.syncs(), bench.writer.progress()), (2, (3, 3)));
    assert_eq!(
        bench.headers()[2..],
        [(2, false, Some(0)), (3, false, Some(0))]
    );
}

#[test]
fn a_sync_makes_sure_of_what_was_written_when_it_began() {
    let mut bench = Bench::new(Fsync::EverySecond);
    bench.piece(1, 0);
    bench.disk.hold_syncs(true);
    bench.piece(2, 1000);
    bench.piece(3, 1001);
    bench.disk.hold_syncs(false);
    bench.writer.tick(bench.at(1006));
    assert_eq!((bench.syncs(), bench.writer.progress()), (2, (3, 2)));
    assert_eq!(bench.writer.deadline(), Some(bench.at(2000)));
    // Whoever cannot wait waits for the one that is under way, and has another one.
    bench.disk.hold_syncs(true);
    bench.piece(4, 2000);
    bench.piece(5, 2001);
    bench.writer.sync(bench.at(2002));
    assert_eq!((bench.syncs(), bench.writer.progress()), (4, (5, 5)));
    assert_eq!(bench.writer.deadline(), Some(bench.at(3001)), "a mark");
}

/// A mark says what is on the disk, and not what is only written: a reader would take a torn end for damage.
#[test]
fn a_mark_vouches_for_what_is_synced_only() {
    let mut bench = Bench::new(Fsync::EverySecond);
    bench.piece(1, 0);
    bench.disk.hold_syncs(true);
    bench.piece(2, 1000);
    bench.piece(3, 1001);
    bench.disk.hold_syncs(false);
    bench.writer.tick(bench.at(1006));
    // The next sync takes its time.
    bench.disk.hold_syncs(true);
    bench.writer.tick(bench.at(2001));
    assert_eq!(bench.writer.progress(), (3, 2));
    assert_eq!(bench.headers().last(), Some(&(3, true, Some(2))));
}

/// Names are on the disk in the order in which they are synced, and not in that in which they were given: no list may name a file that
/// is not there after a power failure.
#[test]
fn an_increment_has_its_name_on_the_disk_before_it_is_listed() {
    for fresh in [false, true] {
        let mut bench = Bench::new(Fsync::EverySecond);
        bench.piece(1, 0);
        let seen: Arc<std::sync::Mutex<Vec<(Operation, String)>>> = Arc::default();
        let noted = Arc::clone(&seen);
        bench.disk.script(move |operation, path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut seen = noted.lock().expect("no panic");
            seen.push((operation, name.into_owned()));
            None
        });
        bench.writer.begin(1, fresh, bench.at(10));
        if fresh {
            let disk = bench.writer.disk();
            let temp = bench.writer.folder().path("temp-a.base");
            let base = AtomicFile::create(&disk, &temp, SyncPlan::incremental(false));
            let now = bench.at(20);
            let finished = bench.writer.finish(base.expect("made"), true, now);
            finished.expect("a whole log");
        }
        let seen = seen.lock().expect("no panic");
        let named = match fresh {
            true => Operation::Rename,
            false => Operation::Create,
        };
        let place = |operation, name: &str| {
            let found = seen.iter().position(|(o, n)| *o == operation && n == name);
            found.unwrap_or_else(|| panic!("no {operation:?} of {name}: {seen:?}"))
        };
        let named = place(named, "a.2.incr.aof");
        let listed = place(Operation::Rename, "a.manifest");
        let between = &seen[named..listed];
        let is_sync = |(operation, _): &(Operation, String)| *operation == Operation::SyncFolder;
        assert!(between.iter().any(is_sync), "{between:?}");
    }
}

#[test]
fn a_sync_that_fails_while_pieces_come_ends_the_log_there() {
    let mut bench = Bench::new(Fsync::EverySecond);
    bench.piece(1, 0);
    bench.disk.hold_syncs(true);
    bench.disk.script(|operation, _| {
        (operation == Operation::Sync).then_some(crate::faulty::Fault::Error(5))
    });
    bench.piece(2, 1000);
    bench.piece(3, 1001);
    assert_eq!(bench.writer.take_failure(), None);
    assert_eq!(bench.writer.progress(), (3, 1));
    bench.disk.hold_syncs(false);
    bench.writer.tick(bench.at(1006));
    let reason = bench.writer.take_failure().expect("a failure");
    assert!(
        reason.starts_with("cannot sync /d/f/a.1.incr.aof"),
        "{reason}"
    );
    assert_eq!(bench.writer.progress(), (3, 1));
    assert_eq!(bench.writer.deadline(), None);
    bench.piece(4, 2000);
    assert_eq!(
        bench.writer.progress(),
        (3, 1),
        "nothing is written any more"
    );
}

#[test]
fn always_syncs_each_group_and_no_syncs_none() {
    let mut bench = Bench::new(Fsync::Always);
    bench.piece(1, 0);
    bench.piece(2, 1);
    assert_eq!((bench.syncs(), bench.writer.progress()), (2, (2, 2)));
    assert_eq!(bench.headers()[2], (2, false, Some(1)));
    let mut bench = Bench::new(Fsync::No);
    bench.piece(1, 0);
    bench.piece(2, 5000);
    assert_eq!((bench.syncs(), bench.writer.progress()), (0, (2, 0)));
    assert_eq!(bench.writer.deadline(), None);
    assert_eq!(bench.headers()[2], (2, false, None));
    bench.writer.close(bench.at(6000)).expect("closed");
    assert_eq!(bench.writer.progress(), (2, 2));
}

#[test]
fn more_pieces_than_one_call_takes_are_written_all_the_same() {
    let mut bench = Bench::new(Fsync::Always);
    let pieces: Vec<Piece> = (1..=2000)
        .map(|number| Piece {
            number,
            bytes: b"*1\r\n$4\r\nPING\r\n".to_vec(),
            unix_seconds: 0,
        })
        .collect();
    bench.writer.pieces(&pieces, bench.start);
    assert_eq!((bench.syncs(), bench.writer.progress()), (1, (2000, 2000)));
    assert_eq!(bench.headers().len(), 2001);
}

#[test]
fn a_disk_without_room_for_a_mark_has_lost_nothing() {
    let mut bench = Bench::new(Fsync::Always);
    bench.piece(1, 0);
    let used: usize = bench
        .disk
        .list(Path::new("/d/f"))
        .expect("listed")
        .iter()
        .filter_map(|name| bench.disk.contents(Path::new("/d/f").join(name)))
        .map(|bytes| bytes.len())
        .sum();
    bench.disk.capacity(Some(used + 10));
    bench.writer.tick(bench.at(1000));
    assert_eq!(*bench.writer.trust(), Trust::Whole);
    assert_eq!(bench.headers().len(), 2, "nothing half written stays");
    // It is tried again when another second has passed.
    assert_eq!(bench.writer.deadline(), Some(bench.at(2000)));
    bench.disk.capacity(None);
    bench.writer.tick(bench.at(2000));
    assert_eq!(bench.headers()[2], (1, true, Some(1)));
    assert_eq!(bench.writer.deadline(), None);
}

#[test]
fn what_was_cut_off_a_file_is_not_there_again_once_it_has_a_successor() {
    let mut bench = Bench::new(Fsync::EverySecond);
    bench.piece(1, 0);
    let names = bench.disk.list(Path::new("/d/f")).expect("listed");
    let sizes = names.iter().filter_map(|name| {
        let path = Path::new("/d/f").join(name);
        bench.disk.contents(path).map(|bytes| bytes.len())
    });
    let used: usize = sizes.sum();
    // Of a mark there is room for some bytes.
    bench.disk.capacity(Some(used + 3));
    bench.writer.tick(bench.at(1000));
    bench.disk.capacity(None);
    bench.writer.begin(1, false, bench.at(1100));
    for seed in 0..100 {
        let crashed: Arc<dyn Disk> = Arc::new(bench.disk.crash(seed));
        let folder = AofFolder::open(&crashed, Path::new("/d"), "f", "a").expect("a log");
        let options = crate::reader::ReadOptions::default();
        let mut reader = crate::LogReader::open(&folder, options).expect("its files");
        while !matches!(reader.next().expect("loads"), crate::Event::End(_)) {}
    }
}
