//! How far the journal has got into the log: which piece has which number there, and what the log says of the stream of changes.

use crate::feed::StreamAt;
use disk::piece::StreamLine;
use std::collections::VecDeque;

/// Where the log is.
#[derive(Default)]
pub(crate) struct Pump {
    /// The database that the log is in; None: the next piece has to say.
    pub db: Option<usize>,
    /// Where the stream is, as the log's file says last.
    pub stream: Option<StreamAt>,
    /// Nothing stands behind that.
    pub stream_is_last: bool,
    /// Pieces of the journal and the numbers they have in the log, as long as they may be asked for.
    pub numbers: VecDeque<(u64, u64)>,
    /// The last piece that was given to the log or lost.
    pub last: u64,
    /// Pieces up to this one were lost, and why.
    pub lost: Option<(u64, String)>,
}

impl Pump {
    /// The number that a piece, or what came after it, has in the log. None if none of it is in there any more.
    pub fn number_of(&self, piece: u64) -> Option<u64> {
        let at = self.numbers.partition_point(|(p, _)| *p < piece);
        self.numbers.get(at).map(|(_, number)| *number)
    }

    /// What was done up to this piece is in a base that is written, whatever became of it before.
    pub fn found_again(&mut self, upto: u64) {
        if self.lost.as_ref().is_some_and(|(lost, _)| *lost <= upto) {
            self.lost = None;
        }
    }

    /// What follows is to be understood without what came before.
    pub fn begin_anew(&mut self) {
        self.db = None;
        self.stream = None;
    }

    /// Appends where the stream is, in short if only the offset is another one than the log says.
    pub fn put_stream(&mut self, at: Option<StreamAt>, into: &mut Vec<u8>) {
        let Some(at) = at else { return };
        let before = self.stream.as_ref();
        let short = before.is_some_and(|before| before.id == at.id && before.db == at.db);
        let line = StreamLine {
            offset: at.offset,
            db: at.db,
            id: at.id.clone(),
        };
        line.write(into, short);
        self.stream = Some(at);
    }
}
