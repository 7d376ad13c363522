//! How fast the log takes pieces and gives commands back.
//!
//! ```sh
//! cargo run --release -p redpoll-disk --example throughput -- append FOLDER 10   # seconds for each setting
//! cargo run --release -p redpoll-disk --example throughput -- read FOLDER 10     # millions of SETs
//! ```
//!
//! The folder must be on the disk that is to be measured. It is made, and what the example wrote is removed at the end.

use redpoll_disk::reader::Summary;
use redpoll_disk::{AofFolder, Disk, Event, Fsync, Log, LogReader, Outcome, ReadOptions, RealDisk};
use redpoll_disk::{Settings, SyncPlan};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, what, folder, n] = &args[..] else {
        return Err("use: throughput append|read FOLDER NUMBER".into());
    };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    let n = n.parse()?;
    match what.as_str() {
        "append" => append(folder, Duration::from_secs(n)),
        "read" => read(folder, n * 1_000_000),
        _ => Err("append or read".into()),
    }
}

/// `SET key:000000001234 <64 bytes>`
fn set(n: u64, into: &mut Vec<u8>) {
    let text = format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{n:012}\r\n$64\r\n{n:064}\r\n");
    into.extend_from_slice(text.as_bytes());
}

fn begin(folder: &Path, fsync: Fsync) -> Result<Log, Box<dyn Error>> {
    remove(folder);
    let disk = RealDisk::shared();
    let files = AofFolder::open(&disk, folder, "appendonlydir", "appendonly.aof")?;
    let settings = Settings {
        fsync,
        ..Settings::default()
    };
    let log = Log::resume(files, &Summary::default(), settings)?;
    let rewrite = log.begin_rewrite().map_err(|r| r.0)?;
    let base = rewrite.base(SyncPlan::incremental(true))?;
    rewrite.finish(base, true)?;
    Ok(log)
}

fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder.join("appendonlydir"));
}

/// Clients that log one SET each and wait until it is durable, as connections do without a pipeline.
fn append(folder: &Path, time: Duration) -> Result<(), Box<dyn Error>> {
    let file = RealDisk.create(&folder.join("raw"))?;
    let mut file = file;
    let (start, mut syncs) = (Instant::now(), 0);
    while start.elapsed() < time / 4 {
        redpoll_disk::disk::append_all(&mut *file, &[b'x'; 160])?;
        file.sync()?;
        syncs += 1;
    }
    let each = start.elapsed() / syncs;
    println!("a write of 160 bytes and a sync, alone: {each:?}");
    std::fs::remove_file(folder.join("raw"))?;
    for clients in [1, 10, 50, 200] {
        let log = Arc::new(begin(folder, Fsync::Always)?);
        let count = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                let (log, count, stop) = (Arc::clone(&log), Arc::clone(&count), Arc::clone(&stop));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let mut bytes = Vec::new();
                        set(client, &mut bytes);
                        let number = log.append(bytes, 0).expect("taken");
                        assert_eq!(log.wait(number), Outcome::Durable);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("no panic");
        }
        let rate = count.load(Ordering::Relaxed) as f64 / time.as_secs_f64();
        println!("always, {clients} clients that wait: {rate:.0} SETs a second");
    }
    for fsync in [Fsync::EverySecond, Fsync::No] {
        let log = begin(folder, fsync)?;
        let mut n = 0;
        let start = Instant::now();
        while start.elapsed() < time {
            let mut bytes = Vec::with_capacity(8000);
            for _ in 0..64 {
                set(n, &mut bytes);
                n += 1;
            }
            log.append(bytes, 0).map_err(|r| r.0)?;
            while log.progress().waiting_bytes > 16 << 20 {
                std::thread::yield_now();
            }
        }
        log.sync()?;
        let seconds = start.elapsed().as_secs_f64();
        let (rate, mb) = (n as f64 / seconds, log.status().size as f64 / seconds / 1e6);
        println!("{fsync:?}, pieces of 64 SETs: {rate:.0} SETs a second, {mb:.0} MB/s");
    }
    remove(folder);
    Ok(())
}

/// Writes so many SETs, in pieces of 64 and again as another server would, and reads them back.
fn read(folder: &Path, commands: u64) -> Result<(), Box<dyn Error>> {
    let log = begin(folder, Fsync::No)?;
    let foreign = folder.join("foreign.aof");
    let mut plain = RealDisk.create(&foreign)?;
    for first in (0..commands).step_by(64) {
        let mut bytes = Vec::with_capacity(8000);
        for n in first..(first + 64).min(commands) {
            set(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % commands, &mut bytes);
        }
        redpoll_disk::disk::append_all(&mut *plain, &bytes)?;
        log.append(bytes, 0).map_err(|r| r.0)?;
        while log.progress().waiting_bytes > 16 << 20 {
            std::thread::yield_now();
        }
    }
    log.close()?;
    let disk = RealDisk::shared();
    let files = AofFolder::open(&disk, folder, "appendonlydir", "appendonly.aof")?;
    for round in 1..=3 {
        let pieces = LogReader::open(&files, ReadOptions::default())?;
        time(&format!("pieces with checksums, round {round}"), pieces)?;
        let plain = LogReader::file(&disk, &foreign, ReadOptions::default())?;
        time(&format!("plain commands, round {round}"), plain)?;
    }
    std::fs::remove_file(&foreign)?;
    remove(folder);
    Ok(())
}

fn time(what: &str, mut reader: LogReader) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let summary = loop {
        match reader.next()? {
            Event::End(summary) => break summary,
            Event::Commands(_) | Event::Rdb(_) => {}
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let rate = summary.bytes as f64 / seconds / 1e9;
    println!(
        "{what}: {} commands, {:.2} s, {rate:.2} GB/s, {:.0} ns each",
        summary.commands,
        seconds,
        seconds * 1e9 / summary.commands as f64
    );
    Ok(())
}
