//! Dropping what is big: unmapping a value of hundreds of megabytes takes milliseconds, which no command should wait for. Such
//! values, and whole databases that were flushed, are handed to a thread to drop.

use super::process;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use store::{Dict, Freed};

/// Values at least this large are dropped on the reclaiming thread, in bytes.
pub const BIG_VALUE: usize = 256 << 10;

enum Rubbish {
    Value(#[allow(dead_code, reason = "held to be dropped")] Freed),
    Dicts(Vec<Dict>),
}

impl Rubbish {
    /// Number of keys it was the value of, or held.
    fn objects(&self) -> usize {
        match self {
            Rubbish::Value(_) => 1,
            Rubbish::Dicts(dicts) => dicts.iter().map(Dict::len).sum(),
        }
    }
}

/// What waits to be dropped, and what has been.
#[derive(Debug, Default)]
struct Objects {
    pending: AtomicUsize,
    freed: AtomicU64,
}

/// Drops what is big on a thread of its own.
pub(crate) struct Reclaimer {
    queue: mpsc::Sender<Rubbish>,
    objects: Arc<Objects>,
}

impl Reclaimer {
    pub(crate) fn new() -> Reclaimer {
        let (queue, incoming) = mpsc::channel::<Rubbish>();
        let objects = Arc::new(Objects::default());
        let counted = objects.clone();
        let body = move || {
            process::stand_behind_workers(process::CLOSE_BEHIND);
            for rubbish in incoming {
                let n = rubbish.objects();
                drop(rubbish);
                counted.freed.fetch_add(n as u64, Relaxed);
                counted.pending.fetch_sub(n, Relaxed);
            }
        };
        // Ends when the engine, and with it the sender, is gone.
        let spawned = std::thread::Builder::new()
            .name("reclaim".into())
            .spawn(body);
        if let Err(e) = spawned {
            // Sending then fails, and values are dropped where they are.
            tracing::warn!("no thread for big frees: {e}");
        }
        Reclaimer { queue, objects }
    }

    /// Objects that wait to be dropped.
    pub(crate) fn pending(&self) -> usize {
        self.objects.pending.load(Relaxed)
    }

    /// Objects that have been.
    pub(crate) fn freed(&self) -> u64 {
        self.objects.freed.load(Relaxed)
    }

    /// Starts that count at zero.
    pub(crate) fn reset(&self) {
        self.objects.freed.store(0, Relaxed);
    }

    fn send(&self, rubbish: Rubbish) {
        let n = rubbish.objects();
        self.objects.pending.fetch_add(n, Relaxed);
        // If the thread is gone, the error carries what was sent, which is dropped here.
        if self.queue.send(rubbish).is_err() {
            self.objects.pending.fetch_sub(n, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn take(&self, freed: Freed) {
        if freed.weight() >= BIG_VALUE {
            self.send(Rubbish::Value(freed));
        }
    }

    pub(crate) fn dicts(&self, dicts: Vec<Dict>) {
        self.send(Rubbish::Dicts(dicts));
    }
}
