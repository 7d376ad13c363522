//! Dropping what is big: unmapping a value of hundreds of megabytes takes milliseconds, which no command should wait for. Such
//! values, and whole databases that were flushed, are handed to a thread to drop.

use std::sync::mpsc;
use store::{Dict, Freed};

/// Values at least this large are dropped on the reclaiming thread, in bytes.
pub const BIG_VALUE: usize = 256 << 10;

enum Rubbish {
    Value(#[allow(dead_code, reason = "held to be dropped")] Freed),
    Dicts(#[allow(dead_code, reason = "held to be dropped")] Vec<Dict>),
}

/// Drops what is big on a thread of its own.
pub(crate) struct Reclaimer {
    queue: mpsc::Sender<Rubbish>,
}

impl Reclaimer {
    pub(crate) fn new() -> Reclaimer {
        let (queue, incoming) = mpsc::channel::<Rubbish>();
        // Ends when the engine, and with it the sender, is gone.
        let spawned = std::thread::Builder::new()
            .name("reclaim".into())
            .spawn(move || incoming.into_iter().for_each(drop));
        if let Err(e) = spawned {
            // Sending then fails, and values are dropped where they are.
            tracing::warn!("no thread for big frees: {e}");
        }
        Reclaimer { queue }
    }

    #[inline]
    pub(crate) fn take(&self, freed: Freed) {
        if freed.weight() >= BIG_VALUE {
            // If the thread is gone, the error carries the value, which is dropped here.
            let _ = self.queue.send(Rubbish::Value(freed));
        }
    }

    pub(crate) fn dicts(&self, dicts: Vec<Dict>) {
        let _ = self.queue.send(Rubbish::Dicts(dicts));
    }
}
