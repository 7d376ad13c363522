//! Large writes that go to the disk past the system's cache of files.
//!
//! A log is read again only at the next start. Kept in the cache it takes memory from what is read, and each of its pages is found, counted
//! and filled anew, which costs more than all else about writing; most of all where a host first has to give a virtual machine the
//! memory for it. What is written with `O_DIRECT` goes from memory that is used again and again.
//!
//! Such a write waits for the disk. So only large ones are made this way, and none where so much has come meanwhile that the disk seems
//! to be slower than what comes: the cache takes that at once. Only whole blocks can be written so. The rest before and behind goes
//! through the cache, in blocks of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Blocks of disks are no larger, as far as there is hardware; one that has larger ones refuses.
const BLOCK: usize = 4 << 10;
/// The least that is written this way: each write takes two turns of the thread, and one of the disk.
const LEAST: usize = 256 << 10;
/// What is written this way at a time, and so most of the memory for it.
const MOST: usize = 2 << 20;
/// So much at once has waited for the disk.
const LATE: usize = 4 << 20;
/// So many small writes in a row, and the memory is let go of.
const IDLE: u32 = 100;

/// Which way the next bytes of a file are written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// So many through the cache.
    Cache(usize),
    /// So many past it.
    Past(usize),
}

/// Which way so many bytes are written behind the end of a file.
fn way(end: u64, bytes: usize) -> Way {
    let head = (end.next_multiple_of(BLOCK as u64) - end) as usize;
    let blocks = bytes.saturating_sub(head) / BLOCK * BLOCK;
    match head {
        _ if blocks < LEAST || bytes >= LATE => Way::Cache(bytes),
        0 => Way::Past(blocks.min(MOST)),
        head => Way::Cache(head),
    }
}

/// A file opened a second time, for such writes.
pub(crate) struct Direct {
    file: File,
    /// What is written, from the first whole block on.
    memory: Vec<u8>,
    idle: u32,
}

impl Direct {
    /// The file that is open and has this name. None where the system, or the file's disk, has no such writes, or it has the name no more.
    pub fn open(path: &Path, of: &File) -> Option<Direct> {
        let mut options = OpenOptions::new();
        let file = (options.write(true))
            .custom_flags(flag()?)
            .open(path)
            .ok()?;
        let place = |file: &File| Some((file.metadata().ok()?.dev(), file.metadata().ok()?.ino()));
        if place(&file)? != place(of)? {
            return None;
        }
        Some(Direct {
            file,
            memory: Vec::new(),
            idle: 0,
        })
    }

    /// Which way so many bytes go behind the end of the file.
    pub fn way(&mut self, end: u64, bytes: usize) -> Way {
        let way = way(end, bytes);
        self.idle = match way {
            Way::Cache(all) if all == bytes => self.idle.saturating_add(1),
            _ => 0,
        };
        if self.idle == IDLE {
            self.memory = Vec::new();
        }
        way
    }

    /// Writes the first of these bytes, whole blocks, at the end of the file, and says how many. None: it cannot be done with this file.
    pub fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        bytes: usize,
        end: u64,
    ) -> Option<io::Result<usize>> {
        if self.memory.is_empty() {
            self.memory = vec![0; MOST + BLOCK];
        }
        let from = self.memory.as_ptr().align_offset(BLOCK);
        let memory = self.memory.get_mut(from..)?.get_mut(..bytes)?;
        let mut at = 0;
        for slice in first(slices, bytes) {
            memory[at..at + slice.len()].copy_from_slice(&slice);
            at += slice.len();
        }
        match self.file.write_at(memory, end) {
            Err(error) if is_refusal(&error) => None,
            Ok(0) => Some(Err(io::ErrorKind::WriteZero.into())),
            written => Some(written),
        }
    }
}

/// The first of these bytes.
pub(crate) fn first<'a>(slices: &'a [IoSlice<'_>], mut bytes: usize) -> Vec<IoSlice<'a>> {
    let mut first = Vec::with_capacity(slices.len());
    for slice in slices {
        let n = slice.len().min(bytes);
        if n > 0 {
            first.push(IoSlice::new(&slice[..n]));
        }
        bytes -= n;
        if bytes == 0 {
            break;
        }
    }
    first
}

/// What has a file opened for such writes.
fn flag() -> Option<i32> {
    #[cfg(target_os = "linux")]
    return Some(libc::O_DIRECT);
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether a write was refused for the way it was asked for: the disk's blocks are larger, or its file system takes no such writes.
fn is_refusal(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    number == Some(libc::EINVAL) || number == Some(libc::EOPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};

    #[test]
    fn only_whole_blocks_go_past_the_cache_and_only_many() {
        assert_eq!(way(0, LEAST - 1), Way::Cache(LEAST - 1));
        assert_eq!(way(0, LEAST), Way::Past(LEAST));
        assert_eq!(way(0, LEAST + 4095), Way::Past(LEAST));
        assert_eq!(way(4095, LEAST + 1), Way::Cache(1));
        assert_eq!(way(4097, LEAST + 4094), Way::Cache(LEAST + 4094));
        assert_eq!(way(4097, LEAST + 4095), Way::Cache(4095));
        assert_eq!(way(8192, LATE - 1), Way::Past(MOST));
        assert_eq!(way(8192, LATE), Way::Cache(LATE));
    }

    #[test]
    fn the_first_bytes_of_slices() {
        let slices = [&b"abc"[..], b"", b"def", b"ghi"].map(IoSlice::new);
        for n in 0..=9 {
            let text: Vec<u8> = (first(&slices, n).iter())
                .flat_map(|s| s.to_vec())
                .collect();
            assert_eq!(text, b"abcdefghi"[..n]);
        }
    }

    /// Whatever the system has, what is appended stands there, behind what was there before and however it is cut.
    #[test]
    fn what_is_appended_either_way_is_what_the_file_holds() {
        let folder = std::env::temp_dir().join(format!("redpoll-direct-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("log");
        let mut expected = Vec::new();
        {
            let mut file = RealDisk.create(&path).expect("a file");
            file.is_not_read_soon();
            let sizes = [3, 700_000, 1 << 20, 17, 900_001, 3 << 20, 5 << 20, 600_000];
            for (round, &bytes) in sizes.iter().enumerate() {
                let piece: Vec<u8> = (0..bytes).map(|n| ((n + round) % 251) as u8).collect();
                let (head, tail) = piece.split_at(bytes / 3);
                let mut slices = [IoSlice::new(head), IoSlice::new(tail)];
                let mut rest = &mut slices[..];
                while !rest.is_empty() {
                    let n = file.append(rest).expect("it is written");
                    IoSlice::advance_slices(&mut rest, n);
                }
                expected.extend_from_slice(&piece);
                if round == 2 {
                    // It goes on where it was cut.
                    expected.truncate(1_000_001);
                    file.truncate(1_000_001).expect("it is cut");
                }
                if round % 3 == 1 {
                    file.sync().expect("a sync");
                }
            }
            assert_eq!(file.size().expect("a size"), expected.len() as u64);
        }
        let found = std::fs::read(&path).expect("the file");
        std::fs::remove_dir_all(&folder).expect("it is ours");
        assert!(found == expected);
    }

    /// What no such write can be made to is written as ever.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_refusal_is_no_error() {
        let mut ordinary = Direct {
            file: File::create("/dev/null").expect("it is there"),
            memory: Vec::new(),
            idle: 0,
        };
        let bytes = vec![0; LEAST];
        let slices = [IoSlice::new(&bytes)];
        assert!(matches!(ordinary.write(&slices, LEAST, 0), Some(Ok(LEAST))));
        let path = std::env::temp_dir().join(format!("redpoll-direct-{}.odd", std::process::id()));
        let file = File::create(&path).expect("a file");
        assert!(
            Direct::open(&path, &ordinary.file).is_none(),
            "another file"
        );
        // Where the disk has no such writes at all there is nothing to refuse.
        if let Some(mut direct) = Direct::open(&path, &file) {
            // No place for a block.
            assert!(direct.write(&slices, LEAST, 1).is_none());
            assert!(matches!(direct.write(&slices, LEAST, 0), Some(Ok(LEAST))));
        }
        std::fs::remove_file(&path).expect("it is ours");
        assert!(is_refusal(&io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        assert!(!is_refusal(&io::Error::from_raw_os_error(libc::ENOSPC)));
    }

    /// Memory for such writes is let go of when there have been none for a while.
    #[test]
    fn what_is_idle_has_no_memory() {
        let mut direct = Direct {
            file: File::open("/dev/null").expect("it is there"),
            memory: vec![0; 1],
            idle: 0,
        };
        for _ in 0..IDLE - 1 {
            direct.way(0, 100);
        }
        direct.way(0, LEAST);
        for _ in 0..IDLE - 1 {
            direct.way(0, 100);
        }
        assert!(!direct.memory.is_empty());
        direct.way(0, 100);
        assert!(direct.memory.is_empty());
    }
}
