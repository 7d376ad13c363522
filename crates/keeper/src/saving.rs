//! What is being written, what is to be written next, and what came of it so far.

use crate::feed::StreamAt;
use crate::snapshot::Shared;
use engine::Engine;
use std::sync::Arc;
use std::time::Instant;

/// What is being written.
pub(crate) struct Running {
    pub rewrite: bool,
    pub began: Instant,
    pub shared: Arc<Shared>,
}

/// What is being written and what is to be written next.
#[derive(Default)]
pub(crate) struct Saving {
    /// A thread has begun; its snapshot is in `running` once it is taken.
    pub busy: Option<Busy>,
    pub running: Option<Running>,
    pub save_scheduled: bool,
    pub rewrite_scheduled: bool,
    pub cancelled: bool,
    /// Somebody waits for it: it is not given up because of a command of others.
    pub awaited: bool,
    /// Somebody ends the log; the next one begins after that.
    pub ending_log: bool,
}

impl Saving {
    /// Nobody else writes until whoever has claimed that is done; or what is being written.
    pub fn claim(&mut self, busy: Busy) -> Result<(), Busy> {
        match self.busy {
            Some(other) => Err(other),
            None if self.ending_log && matches!(busy, Busy::Rewrite | Busy::Load) => {
                Err(Busy::Rewrite)
            }
            None => {
                self.busy = Some(busy);
                self.cancelled = false;
                Ok(())
            }
        }
    }

    /// What was claimed is done, or given up.
    pub fn end(&mut self) {
        self.busy = None;
        self.running = None;
        self.cancelled = false;
        self.awaited = false;
    }

    /// Has what is being written given up.
    pub fn give_up(&mut self) {
        self.cancelled = true;
        self.begin_again();
    }

    /// Has the snapshot that is being written begun again, or given up if that is wanted.
    pub fn begin_again(&self) {
        if let Some(running) = &self.running {
            running.shared.abort();
        }
    }
}

/// What a thread is at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    Save,
    Rewrite,
    /// The data set is loaded anew: DEBUG RELOAD, DEBUG LOADAOF.
    Load,
    /// A copy for replicas.
    Send,
}

/// What INFO tells of the past.
pub(crate) struct Stats {
    pub last_save_s: u64,
    pub last_save_ok: bool,
    pub last_save_tried: Instant,
    pub last_save_secs: Option<u64>,
    pub saves: u64,
    /// How many failed since the last that did not.
    pub save_failures: u32,
    pub changes_at_last_save: u64,
    /// Where the stream of changes was then.
    pub stream_at_last_save: Option<StreamAt>,
    pub rewrite_ok: bool,
    pub rewrites: u64,
    pub rewrite_secs: Option<u64>,
    pub rewrite_failures: u32,
    pub rewrite_tried: Instant,
    /// The snapshot that was written last.
    pub snapshot: Option<Arc<Shared>>,
    /// The most that was held back at a time for the last save, and for the last rewrite of the log, in bytes.
    pub peaks: [usize; 2],
}

impl Stats {
    pub fn new(engine: &Engine) -> Stats {
        Stats {
            last_save_s: engine::unix_ms() / 1000,
            last_save_ok: true,
            last_save_tried: Instant::now(),
            last_save_secs: None,
            saves: 0,
            save_failures: 0,
            changes_at_last_save: changes(engine),
            stream_at_last_save: None,
            rewrite_ok: true,
            rewrites: 0,
            rewrite_secs: None,
            rewrite_failures: 0,
            rewrite_tried: Instant::now(),
            snapshot: None,
            peaks: [0; 2],
        }
    }
}

/// Changes of keys so far.
pub(crate) fn changes(engine: &Engine) -> u64 {
    engine.stats().sum(|c| c.changes.get())
}
