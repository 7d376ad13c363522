//! A file as it is read: a part of it in memory, moving forwards.

use crate::disk::{Disk, File, read_full};
use crate::error::LogError;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

/// The part of a file that is being looked at.
pub(super) struct Window {
    pub file: Box<dyn File>,
    pub path: PathBuf,
    /// Size of the file.
    pub size: u64,
    buffer: Vec<u8>,
    /// What of the buffer is not used yet.
    start: usize,
    end: usize,
    /// Where in the file `start` is.
    pub offset: u64,
}

/// Least bytes read at a time.
const BLOCK: usize = 256 * 1024;

impl Window {
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Window> {
        let file = disk.open(path)?;
        let size = file.size()?;
        Ok(Window {
            file,
            path: path.to_owned(),
            size,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
        })
    }

    /// Bytes from here to the end of the file.
    pub fn left(&self) -> u64 {
        self.size - self.offset
    }

    /// The next `n` bytes or more, or all if there are fewer.
    pub fn peek(&mut self, n: usize) -> Result<&[u8], LogError> {
        if self.end - self.start < n {
            self.fill(n)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    #[cold]
    fn fill(&mut self, n: usize) -> Result<(), LogError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let read_so_far = self.offset + self.end as u64;
        let left = usize::try_from(self.size - read_so_far).unwrap_or(usize::MAX);
        // Doubled for what needs more, so that a long command is not looked at from its start for every block of it.
        let want = n.max(BLOCK).max(self.end * 2).min(self.end + left);
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        let got = read_full(&*self.file, &mut self.buffer[self.end..want], read_so_far)
            .map_err(|e| LogError::io(&self.path, "read it", &e))?;
        self.end += got;
        if self.end < want {
            // Shorter than it was when it was opened.
            self.size = read_so_far + got as u64;
        }
        Ok(())
    }

    pub fn skip(&mut self, n: usize) {
        self.start += n;
        self.offset += n as u64;
    }

    /// Moves the next `n` bytes, of which there must be so many, behind `out`.
    pub fn take(&mut self, n: usize, out: &mut Vec<u8>) -> Result<(), LogError> {
        let buffered = n.min(self.end - self.start);
        out.extend_from_slice(&self.buffer[self.start..self.start + buffered]);
        self.skip(buffered);
        let mut rest = n - buffered;
        if rest == 0 {
            return Ok(());
        }
        if rest < BLOCK / 2 {
            let bytes = self.peek(rest)?;
            rest = rest.min(bytes.len());
            out.extend_from_slice(&bytes[..rest]);
            self.skip(rest);
            return Ok(());
        }
        let from = out.len();
        out.resize(from + rest, 0);
        let got = read_full(&*self.file, &mut out[from..], self.offset)
            .map_err(|e| LogError::io(&self.path, "read it", &e))?;
        out.truncate(from + got);
        self.offset += got as u64;
        self.start = 0;
        self.end = 0;
        Ok(())
    }
}

/// An RDB at the start of a file. What is read of it is used up; what follows it is read by the [`LogReader`](super::LogReader).
pub struct RdbPart<'a> {
    pub(super) window: &'a mut Window,
}

impl std::fmt::Debug for RdbPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RdbPart").field(&self.window.path).finish()
    }
}

impl RdbPart<'_> {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.window.path
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.window.size
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.window.offset
    }
}

impl BufRead for RdbPart<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.window
            .peek(1)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    fn consume(&mut self, n: usize) {
        self.window.skip(n);
    }
}

impl Read for RdbPart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(into)?;
        self.consume(n);
        Ok(n)
    }
}
