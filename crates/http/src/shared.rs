//! What all connections of the port share.

use crate::command::Workers;
use crate::history::{History, Row};
use crate::login::Logins;
use engine::Engine;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::broadcast;

/// Connections served at a time; further ones are closed.
const MOST_CONNECTIONS: usize = 512;

/// Rows of numbers that an event stream may be behind.
const ROWS_BEHIND: usize = 16;

/// See the module's page.
pub(crate) struct Shared {
    pub engine: Arc<Engine>,
    pub workers: Workers,
    pub logins: Logins,
    pub history: Mutex<History>,
    pub rows: broadcast::Sender<Row>,
    /// How long the last scrape's answer was: the next one will be about as long.
    pub metrics_bytes: AtomicUsize,
    connections: AtomicUsize,
}

impl Shared {
    pub fn new(engine: Arc<Engine>) -> Shared {
        Shared {
            workers: Workers::new(engine.clone()),
            metrics_bytes: AtomicUsize::new(64 << 10),
            logins: Logins::default(),
            history: Mutex::new(History::new()),
            rows: broadcast::Sender::new(ROWS_BEHIND),
            connections: AtomicUsize::new(0),
            engine,
        }
    }

    /// Counts one more connection, for as long as what is returned is there; None if there are enough.
    pub fn count(&self) -> Option<Counted<'_>> {
        let before = self.connections.fetch_add(1, Relaxed);
        let counted = Counted(self);
        (before < MOST_CONNECTIONS).then_some(counted)
    }
}

/// A connection, as long as it is there.
pub(crate) struct Counted<'a>(&'a Shared);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
