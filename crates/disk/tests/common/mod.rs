//! Logs of small commands, written and read back.

#![allow(dead_code, reason = "each test program uses a part")]

use redpoll_disk::faulty::FaultyDisk;
use redpoll_disk::reader::Summary;
use redpoll_disk::{AofFolder, Disk, Event, Log, LogError, LogReader, ReadOptions, Settings};
use redpoll_disk::{SyncPlan, log::Rewrite};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const NAME: &str = "appendonly.aof";

pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// `SET k <n>`
pub fn set(n: u64) -> Vec<u8> {
    command(&[b"SET", b"k", n.to_string().as_bytes()])
}

pub fn file(name: &str) -> PathBuf {
    Path::new("/d/appendonlydir").join(name)
}

pub fn shared(disk: &FaultyDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

pub fn folder(disk: &FaultyDisk) -> Result<AofFolder, LogError> {
    AofFolder::open(&shared(disk), Path::new("/d"), "appendonlydir", NAME)
}

/// All bytes of commands, and what the reader says of the log.
pub fn read_with(reader: &mut LogReader) -> Result<(Vec<u8>, Summary), LogError> {
    let mut all = Vec::new();
    loop {
        match reader.next()? {
            Event::Rdb(_) => panic!("there is no RDB"),
            Event::Commands(commands) => all.extend_from_slice(commands.bytes),
            Event::End(summary) => return Ok((all, summary)),
        }
    }
}

pub fn read(disk: &FaultyDisk, options: ReadOptions) -> Result<(Vec<u8>, Summary), LogError> {
    // Only looked at: a log may be running on it.
    let found = AofFolder::look(&shared(disk), Path::new("/d"), "appendonlydir", NAME)?;
    match found {
        Some(found) => read_with(&mut LogReader::open(&found, options)?),
        None => Ok(Default::default()),
    }
}

/// Opens a log as a start does.
pub fn open(disk: &FaultyDisk, settings: Settings) -> Log {
    let (_, summary) = read(disk, ReadOptions::default()).expect("a log that loads");
    if let Some(cut) = &summary.cut {
        cut.apply(&shared(disk)).expect("cut");
    }
    Log::resume(folder(disk).expect("a log"), &summary, settings).expect("a log")
}

/// Ends a rewrite with these commands as the base.
pub fn finish(rewrite: Rewrite, commands: &[u8]) -> Result<u64, String> {
    let mut base = rewrite
        .base(SyncPlan::incremental(true))
        .map_err(|e| e.to_string())?;
    base.write_all(commands).map_err(|e| e.to_string())?;
    rewrite.finish(base, true)
}

/// A new log with an empty base.
pub fn new_log(disk: &FaultyDisk, settings: Settings) -> Log {
    let log = open(disk, settings);
    let rewrite = log.begin_rewrite().expect("begun");
    finish(rewrite, b"").expect("a base");
    log
}
