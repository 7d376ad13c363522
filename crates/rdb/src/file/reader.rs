//! Reading a file one item after the other, or one batch after the other, from anything that can be read.

use super::batch::{Batch, Item, Items};
use super::error::{Error, What};
use super::scanner::{ReadOptions, Scanner, Step, Summary};
use crate::version::Dialect;
use std::io::Read;

/// Reads a file from a source. Reads in large pieces by itself: the source needs no buffer.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    scanner: Scanner,
    /// The batch whose items are being handed out, and where in it.
    current: Option<(Batch, (usize, usize, u32))>,
    summary: Option<Summary>,
}

impl<R: Read> Reader<R> {
    /// At the beginning of a file.
    pub fn new(source: R, options: ReadOptions) -> Reader<R> {
        Reader {
            source,
            scanner: Scanner::new(options),
            current: None,
            summary: None,
        }
    }

    /// The next item, or `None` at the end, where the checksum has been found to be right. Large collections come in pieces.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        loop {
            if let Some((batch, (_, n, _))) = &self.current
                && *n < batch.ends.len()
            {
                break;
            }
            if let Some((batch, _)) = self.current.take() {
                self.scanner.recycle(batch);
            }
            match self.next_batch()? {
                Some(batch) => {
                    let place = batch.items().place();
                    self.current = Some((batch, place));
                }
                None => return Ok(None),
            }
        }
        let Some((batch, place)) = &mut self.current else {
            return Ok(None);
        };
        let mut items = Items::from(batch, place.0, place.1, place.2);
        let item = items.next();
        *place = items.place();
        item.transpose()
    }

    /// The next items, to be taken elsewhere; `None` at the end. Not to be mixed with [`Reader::next`] in the middle of a
    /// batch.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            match self.scanner.step()? {
                Step::Batch(batch) => return Ok(Some(batch)),
                Step::End(summary) => {
                    self.summary = Some(summary);
                    return Ok(None);
                }
                Step::More(missing) => {
                    if let Err(error) = self.scanner.read_from(&mut self.source, missing) {
                        return Err(Error::at(self.scanner.offset(), What::Io(error)));
                    }
                }
            }
        }
    }

    /// Gives back the memory of a batch, to be used for another.
    pub fn recycle(&mut self, batch: Batch) {
        self.scanner.recycle(batch);
    }

    /// How far into the file it is.
    pub fn offset(&self) -> u64 {
        self.scanner.offset()
    }

    /// The version in the header; zero before the first item has been read.
    pub fn version(&self) -> (u16, Dialect) {
        self.scanner.version()
    }

    /// What is known at the end, once that has been reached.
    pub fn summary(&self) -> Option<Summary> {
        self.summary
    }

    /// The source, and what has been read from it beyond the end of the file: the commands behind an AOF's preamble.
    pub fn into_rest(self) -> (R, Vec<u8>) {
        (self.source, self.scanner.rest().to_vec())
    }
}
