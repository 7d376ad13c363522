//! The stream of a chain of replication, its names and offsets, and the last of it for those who come back: the backlog.
//!
//! Positions in the spool are offsets: that of a byte is the number of bytes before it. PSYNC counts from 1, so who asks for byte `n`
//! lacks all from position `n - 1` on.

use crate::spool::{Reader, Spool};
use engine::{Engine, NO_STREAM_ID, StreamIds, new_stream_id};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Pieces of the journal whose ends are remembered.
const PIECES: usize = 1 << 14;

/// Ends of pieces of the journal.
#[derive(Default)]
struct Pieces {
    /// Numbers of pieces, and the offsets behind them.
    ends: VecDeque<(u64, u64)>,
    /// The last one that was seen.
    last: u64,
}

/// See the module's page.
pub struct Stream {
    engine: Weak<Engine>,
    spool: Arc<Spool>,
    /// Taken by whoever appends, so that all is in one order.
    pieces: Mutex<Pieces>,
    /// What is done is counted and kept.
    active: AtomicBool,
}

impl Stream {
    pub(crate) fn new(engine: &Arc<Engine>) -> Stream {
        let keep = engine.config().number("repl-backlog-size") as u64;
        Stream {
            engine: Arc::downgrade(engine),
            spool: Spool::new(0, keep),
            pieces: Mutex::default(),
            active: AtomicBool::new(false),
        }
    }

    /// The bytes.
    pub(crate) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// Whether what is done is counted and kept.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// From now on, or no longer, it is. Where the journal is given to the stream, with all locks held.
    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Relaxed);
    }

    /// Bytes so far.
    pub fn offset(&self) -> u64 {
        self.spool.written()
    }

    /// A piece of the journal. It is part of the stream if this server is a primary.
    pub(crate) fn piece(&self, number: u64, bytes: &[u8]) {
        let Some(engine) = self.engine.upgrade() else {
            return;
        };
        let mut pieces = self.pieces.lock();
        pieces.last = number;
        if engine.standing.is_replica() {
            return;
        }
        let end = self.spool.append(bytes);
        engine.standing.set_offset(end);
        pieces.ends.push_back((number, end));
        if pieces.ends.len() > PIECES {
            pieces.ends.pop_front();
        }
    }

    /// Pieces up to this one are part of the stream, or of every copy of the data set that is made from now on.
    pub(crate) fn passed(&self, number: u64) {
        let mut pieces = self.pieces.lock();
        pieces.last = pieces.last.max(number);
    }

    /// Appends what came from this replica's primary, verbatim, once that is carried out: whole commands.
    pub fn append(&self, bytes: &[u8]) -> u64 {
        let _order = self.pieces.lock();
        let end = self.spool.append(bytes);
        if let Some(engine) = self.engine.upgrade() {
            engine.standing.set_offset(end);
        }
        end
    }

    /// Appends what a primary says itself, PING or GETACK, and returns the offset behind it. None: this server has become a replica,
    /// whose offset counts its primary's bytes alone.
    pub(crate) fn say(&self, bytes: &[u8]) -> Option<u64> {
        let engine = self.engine.upgrade()?;
        let _order = self.pieces.lock();
        if engine.standing.is_replica() {
            return None;
        }
        let end = self.spool.append(bytes);
        engine.standing.set_offset(end);
        Some(end)
    }

    /// Waits for who is just appending. Where this server has been made a replica, nothing of its own is appended any more then.
    pub(crate) fn settle(&self) {
        drop(self.pieces.lock());
    }

    /// The offset behind a piece of the journal, or behind a later one if that is not known any more. None: the piece has not come
    /// yet, or came while nobody kept what was done.
    pub(crate) fn end_of(&self, piece: u64) -> Option<u64> {
        let pieces = self.pieces.lock();
        let at = pieces.ends.partition_point(|(number, _)| *number < piece);
        pieces.ends.get(at).map(|(_, end)| *end)
    }

    /// The number of the last piece that came.
    pub(crate) fn last_piece(&self) -> u64 {
        self.pieces.lock().last
    }

    /// A reader of all from this offset on, for who knows the stream by this name; None if that is another stream, or the bytes are
    /// gone or were never written.
    pub fn resume(&self, id: &str, at: u64) -> Option<Reader> {
        let ids = self.engine.upgrade()?.standing.ids();
        let same = id == ids.id
            || id == ids.second && i64::try_from(at).is_ok_and(|at| at < ids.second_until);
        if !same || !self.is_active() {
            return None;
        }
        self.spool.reader(at)
    }

    /// The stream is that of another primary from now on, and stands at this offset: nothing of it is here yet. Whoever reads it is to be
    /// dropped before anything is appended.
    pub(crate) fn restart(&self, id: &str, at: u64) {
        let Some(engine) = self.engine.upgrade() else {
            return;
        };
        let mut pieces = self.pieces.lock();
        pieces.ends.clear();
        self.spool.restart(at);
        engine.standing.set_offset(at);
        engine.standing.set_ids(StreamIds {
            id: id.to_owned(),
            second: NO_STREAM_ID.to_owned(),
            second_until: -1,
        });
    }

    /// The stream goes on where it is under this name, and was the same as that of the old name up to here: this server becomes a
    /// primary, or its primary has another one's stream now.
    pub(crate) fn go_on_as(&self, id: &str) {
        let Some(engine) = self.engine.upgrade() else {
            return;
        };
        // What was done before is where it was: who waits for it is not to be told of replicas that have less.
        let _order = self.pieces.lock();
        let old = engine.standing.ids();
        let until = self.spool.written() + 1;
        engine.standing.set_ids(StreamIds {
            id: id.to_owned(),
            second: old.id,
            second_until: i64::try_from(until).unwrap_or(i64::MAX),
        });
    }

    /// Another name, and none before: nobody goes on with it who has had it so far.
    pub fn rename(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.standing.set_ids(StreamIds {
                id: new_stream_id(),
                second: NO_STREAM_ID.to_owned(),
                second_until: -1,
            });
        }
    }

    /// What was saved of a stream's name and offset, when the data set was loaded: this server goes on from there, under a name of
    /// its own if it is a primary.
    pub fn restore(&self, id: &str, at: u64) {
        self.restart(id, at);
        let is_replica = (self.engine.upgrade()).is_some_and(|engine| engine.standing.is_replica());
        if !is_replica {
            self.go_on_as(&new_stream_id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Config, NoHost};

    /// Else who waits for what was done before would be told of replicas that have nothing of it.
    #[test]
    fn what_was_done_stays_where_it_was_under_another_name() {
        let engine = Engine::new(Config::default(), Arc::new(NoHost));
        let stream = Stream::new(&engine);
        stream.piece(3, b"SET");
        stream.go_on_as(&new_stream_id());
        assert_eq!(stream.end_of(3), Some(3));
        stream.restart(&new_stream_id(), 0);
        assert_eq!(stream.end_of(3), None);
    }

    /// Else its offset would be ahead of what it has, and it would go on in the middle of a command.
    #[test]
    fn a_replica_says_nothing_of_its_own() {
        let engine = Engine::new(Config::default(), Arc::new(NoHost));
        let stream = Stream::new(&engine);
        assert_eq!(stream.say(b"PING"), Some(4));
        engine.standing.set_replica(true);
        assert_eq!(stream.say(b"PING"), None);
        assert_eq!(stream.append(b"what its primary said"), 25);
        assert_eq!(stream.offset(), 25);
    }
}
