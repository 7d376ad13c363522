//! Any bytes as the increment of a log: no panic, no memory that the bytes do not account for; what is given are whole commands,
//! and once a cut was made the same is given again, without a cut.
//!
//! The first byte chooses settings. With its lowest bit set the rest becomes pieces with right checksums first, cut by the bytes
//! themselves, and is then changed at one place, so that damage is found behind whole pieces too.

use disk::command::{Found, find};
use disk::faulty::FaultyDisk;
use disk::piece::Header;
use disk::reader::Summary;
use disk::{AofFolder, Disk, Event, LogReader, ReadOptions};
use std::path::Path;
use std::sync::Arc;

/// The commands of a log, or nothing if it does not load.
fn read(disk: &Arc<dyn Disk>, options: ReadOptions) -> Option<(Vec<u8>, Summary)> {
    let folder = AofFolder::look(disk, Path::new("/d"), "f", "a").ok()??;
    let mut reader = LogReader::open(&folder, options).ok()?;
    let mut all = Vec::new();
    loop {
        match reader.next().ok()? {
            Event::Rdb(_) => return None,
            Event::Commands(commands) => all.extend_from_slice(commands.bytes),
            Event::End(summary) => return Some((all, summary)),
        }
    }
}

fn pieces(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, body) in data.chunks(40).enumerate() {
        let header = Header {
            number: number as u64 + 1,
            bytes: body.len() as u64,
            synced: (body[0] & 3 != 0).then_some(number as u64 / 2),
            crc: crc32c::crc32c(body),
        };
        header.write(&mut out);
        out.extend_from_slice(body);
    }
    out
}

/// Runs one input; panics if anything is wrong.
pub fn run(data: &[u8]) {
    let [settings, place, change, rest @ ..] = data else {
        return;
    };
    let mut bytes = rest.to_vec();
    if settings & 1 != 0 {
        bytes = pieces(rest);
        let at = usize::from(*place) * 7;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change;
        }
    }
    let disk = FaultyDisk::new();
    disk.put("/d/f/a.manifest", b"file a.1.incr.aof seq 1 type i\n");
    disk.put("/d/f/a.1.incr.aof", &bytes);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let options = ReadOptions {
        load_truncated: settings & 2 == 0,
        corrupt_tail_max: if settings & 4 == 0 { 0 } else { 100 },
    };
    let Some((commands, summary)) = read(&disk, options) else {
        return;
    };
    let mut left = &commands[..];
    let mut count = 0;
    while !left.is_empty() {
        let Found::Command(length, _) = find(left) else {
            panic!("not a whole command: {}", left.escape_ascii());
        };
        left = &left[length..];
        count += 1;
    }
    assert_eq!(count, summary.commands);
    let Some(cut) = &summary.cut else {
        return;
    };
    cut.apply(&disk).expect("a disk without faults");
    let (again, after) = read(&disk, options).expect("what is left loads");
    assert!(again == commands);
    assert_eq!(after.cut, None);
}
