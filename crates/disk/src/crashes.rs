//! Random lives of a log on a disk that fails and loses: pieces, rewrites, faults, kills and power failures, against a model.
//!
//! The model is the memory of a server: the list of everything that ever happened in it, taken by the log or refused. Whatever
//! happens to process and disk, what is loaded afterwards must be the beginning of that list, without a gap, and at least as long
//! as what was said to be durable.

use crate::disk::Disk;
use crate::faulty::{EIO, ENOSPC, Fault, FaultyDisk, Operation, Random};
use crate::folder::AofFolder;
use crate::reader::{Event, LogReader, ReadOptions, Summary};
use crate::temp::{AtomicFile, SyncPlan};
use crate::writer::{Fsync, Piece, Trust, Writer};
use proptest::prelude::*;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// So many pieces, with values of about this size.
    Pieces(u8, u16),
    /// Time passes, in tenths of a second.
    Time(u8),
    Begin,
    Finish,
    Abandon,
    /// The so-manieth operation from now fails once.
    Fail(u8, i32),
    /// A sync fails once.
    FailSync,
    /// Room for so many bytes more.
    Full(u16),
    Short,
    /// All is well again.
    Heal,
    Probe,
    Kill,
    Crash(u64),
    /// The power goes in the middle of an operation that takes several steps.
    CrashIn(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..6, 0u16..40).prop_map(|(n, size)| Step::Pieces(n, size)),
        1 => (1u8..3, 0u16..3000).prop_map(|(n, size)| Step::Pieces(n, size)),
        3 => (1u8..25).prop_map(Step::Time),
        2 => Just(Step::Begin),
        2 => Just(Step::Finish),
        1 => Just(Step::Abandon),
        1 => (0u8..12, prop_oneof![Just(EIO), Just(ENOSPC)]).prop_map(|(n, e)| Step::Fail(n, e)),
        1 => Just(Step::FailSync),
        1 => (0u16..300).prop_map(Step::Full),
        1 => Just(Step::Short),
        2 => Just(Step::Heal),
        1 => Just(Step::Probe),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => (0u8..20, any::<u64>()).prop_map(|(n, seed)| Step::CrashIn(n, seed)),
    ]
}

/// Little enough for pieces to go beyond it, and for more than one to fit.
const ROOM: u64 = 3000;

struct World {
    faulty: FaultyDisk,
    disk: Arc<dyn Disk>,
    fsync: Fsync,
    now: Instant,
    writer: Writer,
    /// All that ever happened in memory, by what it says.
    memory: Vec<Vec<u8>>,
    /// How much of that is promised.
    promised: usize,
    /// What memory's length was when the piece of a number had happened: `(number, length)`.
    lengths: Vec<(u64, usize)>,
    given: u64,
    refusing: bool,
    /// A rewrite that runs: the last piece before the cut, and what memory was there.
    rewrite: Option<(u64, Vec<Vec<u8>>)>,
    happened: u64,
    /// A sync failed, and with it perhaps the sign of it: what is read now may not be what is on the disk.
    doubtful: bool,
}

fn command(what: &[u8]) -> Vec<u8> {
    let mut out = format!("*2\r\n$3\r\nADD\r\n${}\r\n", what.len()).into_bytes();
    out.extend_from_slice(what);
    out.extend_from_slice(b"\r\n");
    out
}

/// Reads the log as a start does, and cuts what is to be cut.
fn load(disk: &Arc<dyn Disk>) -> Result<(AofFolder, Summary, Vec<Vec<u8>>), String> {
    let folder = AofFolder::open(disk, Path::new("/d"), "aof", "a").map_err(|e| e.to_string())?;
    let mut reader = LogReader::open(&folder, ReadOptions::default()).map_err(|e| e.to_string())?;
    let mut memory = Vec::new();
    loop {
        match reader.next().map_err(|e| e.to_string())? {
            Event::Rdb(_) => return Err("no RDB was written".to_owned()),
            Event::Commands(commands) => {
                let mut rest = commands.bytes;
                while !rest.is_empty() {
                    let rest_of = |bytes: &[u8]| {
                        let line = memchr::memchr(b'\n', &bytes[14..])? + 15;
                        let digits = std::str::from_utf8(bytes.get(14..line - 2)?).ok()?;
                        Some((line, digits.parse::<usize>().ok()?))
                    };
                    let (start, length) = rest_of(rest).ok_or("not a command of ours")?;
                    memory.push(rest[start..start + length].to_vec());
                    rest = &rest[start + length + 2..];
                }
            }
            Event::End(summary) => {
                if let Some(cut) = &summary.cut {
                    cut.apply(disk).map_err(|e| e.to_string())?;
                }
                return Ok((folder, summary, memory));
            }
        }
    }
}

impl World {
    fn new(fsync: Fsync) -> World {
        let faulty = FaultyDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
        let (folder, summary, memory) = load(&disk).expect("an empty disk");
        let mut writer = Writer::resume(folder, &summary, fsync).expect("an empty log");
        writer.room = ROOM;
        let mut world = World {
            faulty,
            disk,
            fsync,
            now: Instant::now(),
            writer,
            memory,
            promised: 0,
            lengths: Vec::new(),
            given: 0,
            refusing: true,
            rewrite: None,
            happened: 0,
            doubtful: false,
        };
        world.begin();
        world.finish();
        assert_eq!(*world.writer.trust(), Trust::Whole);
        world
    }

    /// What the log's thread does after each job.
    fn settle(&mut self) {
        if self.writer.take_failure().is_some() {
            self.refusing = true;
        }
        let (_, durable) = self.writer.progress();
        let length = self
            .lengths
            .iter()
            .filter(|(number, _)| *number <= durable)
            .map(|(_, length)| *length)
            .max();
        self.promised = self.promised.max(length.unwrap_or(0));
    }

    fn pieces(&mut self, n: u8, size: u16) {
        let mut pieces = Vec::new();
        for _ in 0..n {
            self.happened += 1;
            let mut what = format!("{} ", self.happened).into_bytes();
            what.resize(what.len() + usize::from(size), b'#');
            self.memory.push(what.clone());
            if self.refusing {
                continue;
            }
            self.given += 1;
            self.lengths.push((self.given, self.memory.len()));
            pieces.push(Piece {
                number: self.given,
                bytes: command(&what),
                unix_seconds: 1_700_000_000 + self.happened / 4,
            });
        }
        self.writer.pieces(&pieces, self.now);
        self.settle();
        self.writer.tick(self.now);
        self.settle();
    }

    fn begin(&mut self) {
        if self.rewrite.is_some() {
            return;
        }
        self.rewrite = Some((self.given, self.memory.clone()));
        let fresh = std::mem::take(&mut self.refusing);
        self.writer.begin(self.given, fresh, self.now);
        self.settle();
    }

    fn finish(&mut self) {
        let Some((cut, memory)) = self.rewrite.take() else {
            return;
        };
        let temp = Path::new("/d/aof/temp-a.base");
        let written = AtomicFile::create(&self.disk, temp, SyncPlan::incremental(true)).and_then(
            |mut file| {
                for what in &memory {
                    file.write_all(&command(what))?;
                }
                file.sync()?;
                Ok(file)
            },
        );
        match written {
            Ok(file) => {
                if let Ok(history) = self.writer.finish(file, true, self.now) {
                    for path in history {
                        let _ = self.disk.remove(&path);
                    }
                    self.writer.forget_history();
                    assert_eq!(*self.writer.trust(), Trust::Whole);
                    // Whatever had been lost before is in the base.
                    self.lengths.push((cut, memory.len()));
                }
            }
            Err(_) => self.writer.abandon("no base"),
        }
        self.settle();
    }

    /// Another process starts on what is left of the disk.
    fn restart(&mut self, faulty: FaultyDisk, at_least: usize) -> Result<(), TestCaseError> {
        self.disk = Arc::new(faulty.clone());
        self.faulty = faulty;
        let (folder, summary, loaded) = match load(&self.disk) {
            Ok(loaded) => loaded,
            // Nobody synced, so that nothing tells what a power failure left from damage: a person has to say.
            Err(_) if self.fsync == Fsync::No => return Err(TestCaseError::reject("refused")),
            Err(error) => return Err(TestCaseError::fail(error)),
        };
        prop_assert!(
            loaded.len() >= at_least,
            "{} of {at_least} are there; last {} synced {:?} cut {:?}",
            loaded.len(),
            summary.last,
            summary.synced,
            summary.cut
        );
        prop_assert!(loaded.len() <= self.memory.len());
        prop_assert_eq!(&loaded[..], &self.memory[..loaded.len()]);
        self.memory = loaded;
        self.rewrite = None;
        self.given = summary.last;
        let resumed = Writer::resume(folder, &summary, self.fsync);
        self.writer = resumed.map_err(|e| TestCaseError::fail(e.to_string()))?;
        self.writer.room = ROOM;
        self.refusing = *self.writer.trust() != Trust::Whole;
        self.lengths = vec![(self.given, self.memory.len())];
        // What was synced before may be all that is sure, if the sign of a failed sync was found.
        self.promised = if self.refusing {
            self.promised.min(self.memory.len())
        } else {
            self.memory.len()
        };
        Ok(())
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Pieces(n, size) => self.pieces(n, size),
            Step::Time(tenths) => {
                self.now += Duration::from_millis(100) * u32::from(tenths);
                self.writer.tick(self.now);
                self.settle();
            }
            Step::Begin => self.begin(),
            Step::Finish => self.finish(),
            Step::Abandon => {
                self.rewrite = None;
                self.writer.abandon("given up");
                self.settle();
            }
            Step::Fail(after, number) => {
                let count = AtomicU64::new(0);
                self.doubtful = true;
                self.faulty.script(move |_, _| {
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    (n == u64::from(after)).then_some(Fault::Error(number))
                });
            }
            Step::FailSync => {
                let count = AtomicU64::new(0);
                self.faulty.script(move |operation, path| {
                    let increment = path.to_string_lossy().ends_with("incr.aof");
                    let hit = operation == Operation::Sync
                        && increment
                        && count.fetch_add(1, Ordering::Relaxed) == 0;
                    hit.then_some(Fault::Error(EIO))
                });
            }
            Step::Full(bytes) => {
                let files = self.disk.list(Path::new("/d/aof")).unwrap_or_default();
                let used: u64 = files
                    .iter()
                    .filter_map(|name| self.disk.size(&Path::new("/d/aof").join(name)).ok()?)
                    .sum();
                self.faulty
                    .capacity(Some(used as usize + usize::from(bytes)));
            }
            Step::Short => {
                let random = std::sync::Mutex::new(Random::new(self.happened));
                self.faulty.script(move |operation, _| match operation {
                    Operation::Append(n) | Operation::Write(n) => {
                        let n = random.lock().expect("no panic").below(n + 1);
                        Some(Fault::Short(n))
                    }
                    _ => None,
                });
            }
            Step::Heal => self.faulty.heal(),
            Step::Probe => {
                let _ = self.writer.probe();
            }
            Step::Kill => {
                if self.doubtful {
                    // The sign of the failed sync may have failed as well.
                    return self.crash(7);
                }
                let (written, _) = self.writer.progress();
                let whole = *self.writer.trust() == Trust::Whole;
                let there = self.lengths.iter().filter(|(number, _)| *number <= written);
                let there = there.map(|(_, length)| *length).max().unwrap_or(0);
                let at_least = if whole { there } else { self.promised };
                let killed = self.faulty.kill();
                self.restart(killed, at_least.max(self.promised))?;
            }
            Step::Crash(seed) => self.crash(seed)?,
            Step::CrashIn(after, seed) => {
                let count = AtomicU64::new(0);
                self.faulty.script(move |_, _| {
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    (n >= u64::from(after)).then_some(Fault::Error(EIO))
                });
                self.pieces(2, 10);
                self.begin();
                self.pieces(2, 10);
                self.finish();
                self.pieces(1, 10);
                self.crash(seed)?;
            }
        }
        Ok(())
    }

    fn crash(&mut self, seed: u64) -> Result<(), TestCaseError> {
        let crashed = self.faulty.crash(seed);
        self.doubtful = false;
        let promised = self.promised;
        self.restart(crashed, promised)
    }
}

fn live(fsync: Fsync, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(fsync);
    for step in steps {
        world.run(step)?;
    }
    // In the end the disk is well: one rewrite and everything is right again.
    world.faulty.heal();
    world.rewrite = None;
    world.writer.abandon("the end");
    world.settle();
    world.begin();
    world.pieces(2, 5);
    world.finish();
    prop_assert_eq!(world.writer.trust(), &Trust::Whole);
    prop_assert!(world.writer.close(world.now).is_ok());
    world.settle();
    prop_assert_eq!(world.promised, world.memory.len());
    world.crash(1)?;
    prop_assert_eq!(world.promised, world.memory.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_promised_is_lost_with_always(steps in proptest::collection::vec(step(), 1..40)) {
        live(Fsync::Always, &steps)?;
    }

    #[test]
    fn nothing_promised_is_lost_with_everysec(steps in proptest::collection::vec(step(), 1..40)) {
        live(Fsync::EverySecond, &steps)?;
    }

    #[test]
    fn nothing_promised_is_lost_without_syncs(steps in proptest::collection::vec(step(), 1..20)) {
        live(Fsync::No, &steps)?;
    }
}

#[test]
fn a_log_begins_wherever_the_power_goes() {
    let mut after = 0;
    loop {
        let faulty = FaultyDisk::new();
        let count = AtomicU64::new(0);
        faulty.script(move |_, _| {
            (count.fetch_add(1, Ordering::Relaxed) >= after).then_some(Fault::Error(EIO))
        });
        let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
        let begun = load(&disk).and_then(|(folder, _, _)| {
            let now = Instant::now();
            let mut writer = Writer::fresh(folder, 0, Fsync::Always);
            writer.begin(0, true, now);
            let temp = writer.folder().path("temp-a.base");
            let base = AtomicFile::create(&disk, &temp, SyncPlan::incremental(true))
                .and_then(|mut file| {
                    file.write_all(&command(b"base"))?;
                    Ok(file)
                })
                .map_err(|e| e.to_string())?;
            writer.pieces(
                &[Piece {
                    number: 1,
                    bytes: command(b"one"),
                    unix_seconds: 0,
                }],
                now,
            );
            writer.finish(base, true, now)
        });
        for seed in 0..20 {
            let crashed: Arc<dyn Disk> = Arc::new(faulty.crash(seed));
            let (_, _, memory) = load(&crashed).expect("it begins, or has begun");
            let whole = [b"base".to_vec(), b"one".to_vec()];
            assert!(
                memory == whole || memory.is_empty() && begun.is_err(),
                "operation {after}, seed {seed}: {memory:?}"
            );
        }
        after += 1;
        if begun.is_ok() {
            break;
        }
    }
    assert!(after > 15, "{after}");
}
