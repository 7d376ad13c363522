//! What all connections of the port share.

use crate::command::{MOST_BLOCKED, Workers};
use crate::history::{History, Row};
use crate::login::Logins;
use engine::Engine;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::timeout;

/// Connections served at a time; further ones are closed.
const MOST_CONNECTIONS: usize = 512;

/// Threads for what blocks.
pub(crate) const HELPERS: usize = 16;

/// Of these, how many requests may have at a time that run commands, and how many that sign in, where a password takes its time. The rest
/// is for metrics.
const COMMANDS: usize = HELPERS / 2;
const SIGN_INS: usize = HELPERS / 4;

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
    commands: Arc<Semaphore>,
    sign_ins: Arc<Semaphore>,
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
            commands: Arc::new(Semaphore::new(COMMANDS)),
            sign_ins: Arc::new(Semaphore::new(SIGN_INS)),
            engine,
        }
    }

    /// A place among the requests that run commands, once there is one; None if there is none for long.
    pub async fn place_for_commands(&self) -> Option<OwnedSemaphorePermit> {
        place(&self.commands).await
    }

    /// The same among those that sign in.
    pub async fn place_to_sign_in(&self) -> Option<OwnedSemaphorePermit> {
        place(&self.sign_ins).await
    }

    /// Counts one more connection, for as long as what is returned is there; None if there are enough.
    pub fn count(&self) -> Option<Counted<'_>> {
        let before = self.connections.fetch_add(1, Relaxed);
        let counted = Counted(self);
        (before < MOST_CONNECTIONS).then_some(counted)
    }
}

async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let place = places.clone().acquire_owned();
    timeout(MOST_BLOCKED, place).await.ok()?.ok()
}

/// A connection, as long as it is there.
pub(crate) struct Counted<'a>(&'a Shared);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
