//! Writing a file: header, what is to be known, entries that were encoded anywhere, checksum.

use crate::encode::{self, Meta, Options, Unwritable};
use crate::version::Version;
use crate::{crc64, opcode, put};
use std::io::{self, Write};
use store::EntryRef;

/// Writes a file to a sink. Gathers what it is given into large writes by itself: the sink needs no buffer.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    buf: Vec<u8>,
    version: Version,
    checksum: bool,
    crc: u64,
    /// Bytes that have gone to the sink.
    written: u64,
}

/// So much is gathered before it is written.
const CHUNK: usize = 256 << 10;

impl<W: Write> Writer<W> {
    /// Begins a file of a version; with a checksum at its end or a zero in its place (`rdbchecksum`).
    pub fn new(sink: W, version: Version, checksum: bool) -> Writer<W> {
        let mut buf = Vec::with_capacity(CHUNK + CHUNK / 4);
        buf.extend_from_slice(version.magic());
        Writer {
            sink,
            buf,
            version,
            checksum,
            crc: 0,
            written: 0,
        }
    }

    /// The version it was begun with.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes of the file so far.
    pub fn len(&self) -> u64 {
        self.written + self.buf.len() as u64
    }

    /// Whether there is nothing: never, since a file begins with a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sink, for instance to tell the system to write back what it has.
    pub fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Writes something to be known about the file.
    pub fn aux(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        self.buf.push(opcode::AUX);
        put::string(&mut self.buf, name.as_bytes(), false);
        put::string(&mut self.buf, value, false);
        self.flush_if_full()
    }

    /// Says that the entries that follow are in this database.
    pub fn select(&mut self, db: u32) -> io::Result<()> {
        self.buf.push(opcode::SELECT);
        put::length(&mut self.buf, db.into());
        self.flush_if_full()
    }

    /// Says how many entries follow in this database, and how many of them expire. Readers make room for so many.
    pub fn resize(&mut self, keys: u64, expires: u64) -> io::Result<()> {
        self.buf.push(opcode::RESIZE);
        put::length(&mut self.buf, keys);
        put::length(&mut self.buf, expires);
        self.flush_if_full()
    }

    /// Writes a library of functions.
    pub fn function(&mut self, source: &[u8], compress: bool) -> io::Result<()> {
        put::function(&mut self.buf, source, compress);
        self.flush_if_full()
    }

    /// Writes an entry. False if there was nothing to write: see [`encode::value`].
    pub fn entry(
        &mut self,
        meta: &Meta<'_>,
        e: &EntryRef<'_>,
        options: &Options,
    ) -> io::Result<Result<bool, Unwritable>> {
        let written = encode::entry(&mut self.buf, meta, e, options);
        self.flush_if_full()?;
        Ok(written.map(|kind| kind.is_some()))
    }

    /// Writes entries, or parts of one, that [`crate::encode`] has put into a buffer.
    pub fn encoded(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= CHUNK {
            self.flush()?;
            return self.push(bytes);
        }
        self.buf.extend_from_slice(bytes);
        self.flush_if_full()
    }

    /// Hands everything to the sink that it has been given.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut buf = std::mem::take(&mut self.buf);
        let pushed = self.push(&buf);
        buf.clear();
        self.buf = buf;
        pushed
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buf.len() >= CHUNK {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.checksum {
            self.crc = crc64::update(self.crc, bytes);
        }
        self.sink.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Ends the file, and gives back the sink with the number of bytes written. The sink is flushed, but not synced: that
    /// is a matter of files.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.buf.push(opcode::END);
        self.flush()?;
        let crc = if self.checksum { self.crc } else { 0 };
        self.sink.write_all(&crc.to_le_bytes())?;
        self.sink.flush()?;
        Ok((self.sink, self.written + 8))
    }
}
