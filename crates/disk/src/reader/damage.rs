//! What is behind a place where a file is not as it should be, and cutting it off.

use super::window::Window;
use crate::disk::{Disk, read_full};
use crate::error::LogError;
use crate::piece::{Header, MAX_LINE, PREFIX, ReadHeader};
use crate::room;
use crate::temp::{AtomicFile, SyncPlan};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a place is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The file ends within one of our pieces, whose line, if it is all there, is right.
    Ends,
    /// The file ends within a command or transaction without a checksum.
    EndsUnchecked,
    /// The bytes are not what they should be.
    Differs,
    /// This piece's line is right, but not its bytes.
    Piece(Header),
    /// A piece is missing.
    Gap,
    /// Room for pieces begins there, and something is behind it before it ends.
    Room,
}

/// What is found from a wrong place to the end of the file.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The highest number that a line vouches for.
    pub synced: Option<u64>,
    /// How many lines of later pieces there are.
    pub pieces: u64,
    /// None of them is of a time when nobody synced.
    pub all_synced: bool,
    /// The place begins like a line of ours.
    pub ours: bool,
    /// Zeros only.
    pub zeros_from_here: bool,
    /// The last byte is a zero.
    pub ends_in_zeros: bool,
    /// A zero where a line should be.
    pub zeros_in_line: bool,
    /// Where the piece that is wrong ends the file does too, or there is a line of ours, if only what is left of one, or room.
    pub alone: bool,
    /// The line that begins there ends as room does.
    pub ends_as_room: bool,
}

pub(super) fn look_ahead(window: &Window, at: u64, last: u64, wrong: Wrong) -> io::Result<Ahead> {
    let mut ahead = Ahead {
        all_synced: true,
        zeros_from_here: true,
        ..Ahead::default()
    };
    // A line that was read already and is right vouches only where a piece before it is missing.
    let mut from = if wrong == Wrong::Gap { at } else { at + 1 };
    let mut start = [0; MAX_LINE];
    let n = read_full(&*window.file, &mut start, at)?;
    ahead.ours = start[..n].starts_with(&PREFIX[..PREFIX.len().min(n)]);
    ahead.zeros_from_here &= start.first() == Some(&0);
    if wrong == Wrong::Differs && start[..n].starts_with(b"#") {
        let mut line = [0; room::MOST];
        let n = read_full(&*window.file, &mut line, at)?;
        ahead.ends_as_room = room::ends_line(&line[..n], at);
    }
    ahead.zeros_in_line = wrong == Wrong::Differs && start[..n].contains(&0);
    if let (Wrong::Piece(header), ReadHeader::Line(_, length)) = (wrong, Header::read(&start[..n]))
    {
        let end = at + length as u64 + header.bytes;
        let mut next = [0; room::MOST];
        let n = read_full(&*window.file, &mut next, end)?;
        let (line, more) = (&next[..n.min(MAX_LINE)], &next[..n]);
        let like_ours = line.starts_with(&PREFIX[..PREFIX.len().min(n)]);
        let room = room::find(more, end) != room::Found::Other;
        ahead.alone = like_ours || line.contains(&0) || room;
    }
    let mut buffer = vec![0; 1 << 20];
    while from < window.size {
        let n = read_full(&*window.file, &mut buffer, from)?;
        let bytes = &buffer[..n];
        if n == 0 {
            break;
        }
        let complete = from + n as u64 >= window.size;
        for found in memchr::memmem::find_iter(bytes, PREFIX) {
            if let ReadHeader::Line(header, _) = Header::read(&bytes[found..])
                && header.number > last
            {
                ahead.pieces += u64::from(!header.is_mark());
                ahead.all_synced &= header.synced.is_some();
                ahead.synced = ahead.synced.max(header.synced);
            }
        }
        ahead.zeros_from_here &= bytes.iter().all(|&b| b == 0);
        ahead.ends_in_zeros = bytes.last() == Some(&0);
        if complete {
            break;
        }
        // A line may lie across the end of what was read.
        from += (n - MAX_LINE.min(n - 1)) as u64;
    }
    Ok(ahead)
}

/// An end of a file that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// What counts ends here.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
    /// Why they do not count.
    pub why: String,
    /// It may have been on the disk once, whole.
    pub damaged: bool,
    /// Pieces behind it that have a line.
    pub pieces_behind: u64,
    /// More is behind it than one unfinished write: it is kept in a file of its own.
    pub keep: bool,
}

impl Cut {
    /// Cuts the file, durably. Gives the file that keeps what was cut, if it is worth that.
    pub fn apply(&self, disk: &Arc<dyn Disk>) -> Result<Option<PathBuf>, LogError> {
        let failed = |doing: &'static str| move |e: io::Error| LogError::io(&self.path, doing, &e);
        let kept = if self.keep {
            Some(
                self.save(disk)
                    .map_err(failed("keep what is to be cut from it"))?,
            )
        } else {
            None
        };
        let mut file = disk
            .append(&self.path)
            .map_err(failed("open it to cut it"))?;
        file.truncate(self.offset)
            .and_then(|()| file.sync())
            .map_err(failed("cut it"))?;
        Ok(kept)
    }

    fn save(&self, disk: &Arc<dyn Disk>) -> io::Result<PathBuf> {
        let name = |n: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".cut-{}", self.offset));
            if n > 0 {
                name.push(format!(".{n}"));
            }
            PathBuf::from(name)
        };
        let mut target = name(0);
        for n in 1.. {
            if disk.size(&target)?.is_none() {
                break;
            }
            target = name(n);
        }
        let source = disk.open(&self.path)?;
        let mut temp = target.clone().into_os_string();
        temp.push(".tmp");
        let mut copy = AtomicFile::create(disk, Path::new(&temp), SyncPlan::incremental(false))?;
        let mut buffer = vec![0; 256 * 1024];
        let mut offset = self.offset;
        loop {
            let n = source.read_at(&mut buffer, offset)?;
            if n == 0 {
                break;
            }
            copy.write_all(&buffer[..n])?;
            offset += n as u64;
        }
        copy.commit(&target)?;
        Ok(target)
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cut {
            path,
            offset,
            bytes,
            why,
            ..
        } = self;
        write!(
            f,
            "{}: {bytes} bytes at its end do not count, from offset {offset} on: {why}",
            path.display()
        )
    }
}
