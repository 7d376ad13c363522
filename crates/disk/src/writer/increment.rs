//! The increment that is written: what its file holds, and the room behind that.

use crate::disk::{File, write_all_at};
use crate::manifest::Entry;
use crate::room;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::time::Instant;

/// See the module's page.
pub(super) struct Increment {
    pub file: Box<dyn File>,
    pub entry: Entry,
    /// Where it is; another name until it is listed.
    pub path: PathBuf,
    /// Bytes of whole pieces.
    pub size: u64,
    pub synced_size: u64,
    /// Where the room ends that is laid out behind them, and how far that is on the disk; no more than `size`: there is none.
    pub room: u64,
    pub synced_room: u64,
    /// The disk has none for that: it is not tried again with this file.
    pub roomless: bool,
    /// There is a mark that counts as synced and is not: it may be lost, but not torn once there is a next file.
    pub mark: bool,
    /// Something may be behind `size`.
    pub torn: bool,
    /// Nothing is written to it any more.
    pub broken: bool,
    /// The sync that is under way while more is written.
    pub syncing: Option<Syncing>,
}

/// A sync that was begun, and what is on the disk when it is done.
pub(super) struct Syncing {
    pub size: u64,
    pub room: u64,
    /// The last piece.
    pub written: u64,
    pub began: Instant,
    /// When it was last asked whether it is done.
    pub asked: Instant,
}

impl Increment {
    /// One whose `size` bytes are whole and on the disk.
    pub fn new(mut file: Box<dyn File>, entry: Entry, path: PathBuf, size: u64) -> Increment {
        file.is_not_read_soon();
        Increment {
            file,
            entry,
            path,
            size,
            synced_size: size,
            room: size,
            synced_room: size,
            roomless: false,
            mark: false,
            torn: false,
            broken: false,
            syncing: None,
        }
    }

    /// Writes these slices behind the pieces, into the room if they fit there, and says how much went there before an error. What
    /// goes to the end of the file comes in place of the room.
    pub fn put(&mut self, slices: &mut [IoSlice<'_>]) -> (u64, io::Result<()>) {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let end = self.size + bytes as u64;
        if end <= room::limit(self.synced_room) {
            let mut all = Vec::with_capacity(bytes + 2);
            slices.iter().for_each(|slice| all.extend_from_slice(slice));
            all.extend_from_slice(room::seam(end));
            let (took, result) = write_all_at(&mut *self.file, &all, self.size);
            return (took.min(bytes as u64), result);
        }
        if let Err(error) = self.drop_room() {
            return (0, Err(error));
        }
        append_slices(&mut *self.file, slices)
    }

    /// Lays out room behind the pieces where there is little left. It is used only once it is on the disk, with the next sync: so
    /// nothing but pieces ever stands half written. An error is one of cutting off what came of it.
    pub fn lay_room(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.room.saturating_sub(self.size);
        if self.roomless || left >= bytes / 2 {
            return Ok(());
        }
        let end = room::end_of(self.size, bytes);
        let from = match left {
            0 => self.size,
            // In place of its end.
            _ => self.room - room::END.len() as u64,
        };
        match write_all_at(&mut *self.file, &room::lay(from, end), from) {
            (_, Ok(())) => {
                self.room = end;
                Ok(())
            }
            // There is no need of it.
            (took, Err(_)) => {
                self.roomless = true;
                self.room = self.room.max(from + took);
                self.drop_room()
            }
        }
    }

    /// Cuts off the room.
    pub fn drop_room(&mut self) -> io::Result<()> {
        if self.room > self.size {
            self.file.truncate(self.size)?;
            (self.room, self.synced_room) = (0, 0);
        }
        Ok(())
    }
}

/// Appends these slices, and says how much went there before an error.
fn append_slices(file: &mut dyn File, slices: &mut [IoSlice<'_>]) -> (u64, io::Result<()>) {
    let mut rest = slices;
    let mut took = 0;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.append(rest) {
            Ok(n) => {
                took += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (took, Err(error)),
        }
    }
    (took, Ok(()))
}
