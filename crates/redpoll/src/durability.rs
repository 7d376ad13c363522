//! When a change is on the disk, and waiting for that.

use crate::error::{Error, ErrorKind, Result};
use engine::{Engine, Persistence};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

/// When a change is on the disk. Without a log it never is, but for [`Db::save`](crate::Db::save).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before the call that made it returns. Threads that change something at the same time share one sync.
    Always,
    /// Within about a second.
    #[default]
    EverySecond,
    /// When the operating system likes. What was changed survives the end of the process, however it comes, but not that of the
    /// machine.
    No,
}

impl Durability {
    /// What the directive `appendfsync` calls it.
    pub(crate) fn appendfsync(self) -> &'static str {
        match self {
            Durability::Always => "always",
            Durability::EverySecond => "everysec",
            Durability::No => "no",
        }
    }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns when a piece of the journal is as durable as a handle asks for.
#[cold]
pub(crate) fn settle(engine: &Engine, piece: u64, asked: Option<Durability>) -> Result {
    let Some(keeper) = engine.persistence() else {
        return Ok(());
    };
    let wanted = match asked {
        Some(durability) => durability == Durability::Always,
        None => keeper.promises(),
    };
    if !wanted {
        return Ok(());
    }
    let kept = match keeper.promises() {
        true => wait(&**keeper, piece),
        false => keeper.sync(piece),
    };
    kept.map_err(|why| {
        let text = format!("MISCONF what was changed is not on the disk: {why}");
        Error::of(ErrorKind::Misconf, text)
    })
}

/// Waits for the log, whose thread syncs for all who wait.
fn wait(keeper: &dyn Persistence, piece: u64) -> std::result::Result<(), String> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match keeper.poll_durable(piece, &waker) {
            Poll::Ready(kept) => return kept,
            Poll::Pending => std::thread::park(),
        }
    }
}
