//! What a server is in a chain of replication, as commands see it: its role, the names of its stream, how far that is.
//!
//! A *stream* is what a primary did, as commands, byte after byte. It has a name of 40 hexadecimal digits, and its bytes are
//! counted by an offset. Whoever becomes a primary gives its stream a new name and remembers the old one with the offset up to
//! which it was the same, so that those who followed the same primary can go on without a copy of the data set.
//!
//! Who moves the stream (`crates/replication`) writes this; the gate looks at one word of it.

use super::random::random_bytes;
use super::wait_list::{InLine, WaitList};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::Waker;

/// Fewer replicas follow than `min-replicas-to-write` asks for.
pub const TOO_FEW_REPLICAS: u8 = 1;
/// It follows a primary, and its clients may not write (`replica-read-only`).
pub const READ_ONLY_REPLICA: u8 = 1 << 1;
/// It follows a primary that it has no link to, and its data are not shown meanwhile (`replica-serve-stale-data no`).
pub const STALE_REPLICA: u8 = 1 << 2;
/// It follows a primary. Nothing is refused for that alone.
const REPLICA: u8 = 1 << 3;

/// A replica is about to take its place (FAILOVER): changes are put off until that is decided.
pub const FAILING_OVER: u8 = 1 << 4;
/// It is about to stop: changes are put off, so that its replicas get all there is.
pub const STOPPING: u8 = 1 << 5;
/// Changes are put off, for one of these reasons.
pub const CHANGES_HELD: u8 = FAILING_OVER | STOPPING;

/// Names of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamIds {
    /// The stream's name.
    pub id: String,
    /// The name that it had before, 40 zeros if none.
    pub second: String,
    /// The first offset at which the stream of the second name is another one; -1 if there is no second name.
    pub second_until: i64,
}

/// A name that nobody has.
pub fn new_stream_id() -> String {
    let bytes = random_bytes::<20>();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// No name.
pub const NO_STREAM_ID: &str = "0000000000000000000000000000000000000000";

impl StreamIds {
    /// A new name, and none before.
    pub fn fresh() -> StreamIds {
        StreamIds {
            id: new_stream_id(),
            second: NO_STREAM_ID.into(),
            second_until: -1,
        }
    }
}

/// What a client says of itself before it asks for the stream (REPLCONF).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// The port it takes clients on; 0: it has not said.
    pub port: u16,
    /// The address it is reached at, if that is not the one it comes from.
    pub ip: String,
    /// It can take a copy of the data set whose length is not known (`capa eof`).
    pub eof: bool,
    /// It knows second names of streams (`capa psync2`).
    pub psync2: bool,
    /// It is a Redis of 8.0 or newer (`capa rdb-channel-repl`).
    pub redis_8: bool,
    /// It is a Redpoll (`capa redpoll`).
    pub redpoll: bool,
    /// Its version, three numbers in one as 0x00MMmmpp, 0 if it has not said. Valkey says it.
    pub version: u32,
    /// It wants a copy of the data set and no stream (`rdb-only`).
    pub rdb_only: bool,
    /// What of the data set it wants (`rdb-filter-only`).
    pub filter: Filter,
}

/// What a copy of the data set is to have in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// All.
    #[default]
    Nothing,
    /// Libraries of functions, and no keys.
    OnlyFunctions,
    /// Neither keys nor libraries.
    All,
}

/// What a client asks for with PSYNC or SYNC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamWish {
    /// What it has said of itself.
    pub announced: Announced,
    /// The name of the stream that it knows; empty if it knows none.
    pub id: String,
    /// The first byte that it lacks, counted from 1; None: it has nothing.
    pub from: Option<u64>,
    /// It is the primary until now, and asks this server to take its place.
    pub failover: bool,
    /// It asks with SYNC and wants the copy without an answer before it.
    pub old_style: bool,
}

/// A cache line of its own: it is looked at for each command, and what is beside it changes often.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Gate(AtomicU8);

/// See the module's page.
#[derive(Debug)]
pub struct Standing {
    closed: Gate,
    offset: AtomicU64,
    ids: Mutex<StreamIds>,
    /// Those whose changes are put off.
    pub(crate) held: Arc<WaitList>,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing {
            closed: Gate::default(),
            offset: AtomicU64::new(0),
            ids: Mutex::new(StreamIds::fresh()),
            held: Arc::default(),
        }
    }
}

impl Standing {
    /// Why commands may be refused: bits of this module. Zero nearly always.
    #[inline]
    pub fn closed(&self) -> u8 {
        self.closed.0.load(Relaxed)
    }

    /// Sets or takes away some of these reasons.
    pub fn close(&self, why: u8, closed: bool) {
        if (self.closed() & why == why) != closed || (self.closed() & why != 0) != closed {
            match closed {
                true => self.closed.0.fetch_or(why, Relaxed),
                false => self.closed.0.fetch_and(!why, Relaxed),
            };
            if !closed && why & CHANGES_HELD != 0 && self.closed() & CHANGES_HELD == 0 {
                self.held.call();
            }
        }
    }

    /// Whether what a primary sends is to wait: its replicas are to have all there is, and then it stops.
    pub fn holds_stream(&self) -> bool {
        self.closed() & STOPPING != 0
    }

    /// Has this waker called when the stream goes on, for as long as the place is kept. None: it does, or has just begun to.
    pub fn call_when_stream_goes_on(&self, waker: &Waker) -> Option<InLine> {
        let seen = self.held.seen();
        if !self.holds_stream() {
            return None;
        }
        let place = InLine::last(&self.held);
        place.wait(seen, 0, waker).then_some(place)
    }

    /// Whether it follows a primary.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.closed() & REPLICA != 0
    }

    /// Whether what has expired is to stay where it is, unseen, whoever finds it: its removal comes from the primary. Of a
    /// replica that clients write to only for those who just look.
    #[inline]
    pub(crate) fn keeps_expired(&self, writes: impl FnOnce() -> bool) -> bool {
        let closed = self.closed();
        closed & REPLICA != 0 && (closed & READ_ONLY_REPLICA != 0 || !writes())
    }

    /// It follows a primary from now on, or is one. With the locks of all shards held, so that every change is wholly before
    /// it or wholly after it.
    pub fn set_replica(&self, replica: bool) {
        self.close(REPLICA, replica);
    }

    /// `master` or `slave`.
    pub(crate) fn role(&self) -> &'static str {
        if self.is_replica() { "slave" } else { "master" }
    }

    /// Bytes of the stream so far.
    pub fn offset(&self) -> u64 {
        self.offset.load(Relaxed)
    }

    /// Notes how long the stream is.
    pub fn set_offset(&self, offset: u64) {
        self.offset.store(offset, Relaxed);
    }

    /// The names of the stream.
    pub fn ids(&self) -> StreamIds {
        self.ids.lock().clone()
    }

    /// Gives the stream other names.
    pub fn set_ids(&self, ids: StreamIds) {
        *self.ids.lock() = ids;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_and_go_one_by_one() {
        let standing = Standing::default();
        standing.close(TOO_FEW_REPLICAS, true);
        standing.close(READ_ONLY_REPLICA | STALE_REPLICA, true);
        standing.close(STALE_REPLICA, false);
        assert_eq!(standing.closed(), TOO_FEW_REPLICAS | READ_ONLY_REPLICA);
        standing.close(TOO_FEW_REPLICAS | READ_ONLY_REPLICA, false);
        assert_eq!(standing.closed(), 0);
    }

    #[test]
    fn names_are_fresh() {
        let (a, b) = (StreamIds::fresh(), StreamIds::fresh());
        assert_ne!(a.id, b.id);
        assert_eq!(
            (a.id.len(), &*a.second, a.second_until),
            (40, NO_STREAM_ID, -1)
        );
    }
}
