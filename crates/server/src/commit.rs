//! Replies that wait for the disk (`appendfsync always`), per worker.
//!
//! What connections changed goes to the log together, once all that were ready have had their turn: one write and one sync
//! serve them all, and the log's thread wakes one task, which wakes them. If each went to the log by itself, it
//! would be synced for one or two of them at a time, and waking costs more than a command does.

use engine::{Engine, Persistence};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// The connections of a worker that hold replies back.
#[derive(Default)]
pub(crate) struct Held {
    waiting: Mutex<Waiting>,
    /// What became of pieces up to this one is known.
    decided: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// Pieces of the journal and who waits for them, in ascending order.
    connections: VecDeque<(u64, Waker)>,
    /// The last piece that the log has been given.
    committed: u64,
    task: Option<Waker>,
}

impl Held {
    /// Has a connection woken when it is known what became of a piece that it has written.
    pub fn wait(&self, piece: u64, connection: &Waker) {
        let mut waiting = self.waiting.lock();
        let at = waiting.connections.partition_point(|(p, _)| *p <= piece);
        waiting.connections.insert(at, (piece, connection.clone()));
        // Once for all who come before it has its turn.
        let task = waiting.task.take();
        drop(waiting);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Whether it is known what became of a piece.
    pub fn is_decided(&self, piece: u64) -> bool {
        piece <= self.decided.load(Relaxed)
    }

    /// The task that gives the log what is waited for, and wakes those whose pieces are on the disk, or lost.
    pub async fn commit(&self, engine: &Engine) {
        loop {
            poll_fn(|cx| self.poll_new(engine, cx)).await;
            // Behind all tasks that are ready now.
            tokio::task::yield_now().await;
            let last = match self.waiting.lock().connections.back() {
                Some((piece, _)) => *piece,
                None => continue,
            };
            if let Some(keeper) = engine.persistence() {
                if engine.standing.is_replica() {
                    // It waits until what comes from the primary stands between two of its commands, which may be long.
                    let keeper = keeper.clone();
                    let _ = tokio::task::spawn_blocking(move || keeper.commit()).await;
                } else {
                    keeper.commit();
                }
            }
            self.waiting.lock().committed = last;
        }
    }

    /// Ready when somebody waits for a piece that the log has not been given.
    fn poll_new(&self, engine: &Engine, cx: &mut Context<'_>) -> Poll<()> {
        let mut woken = Vec::new();
        let mut waiting = self.waiting.lock();
        while let Some((piece, _)) = waiting.connections.front()
            && *piece <= waiting.committed
            && is_decided(engine.persistence().map(|k| &**k), *piece, cx.waker())
        {
            let piece = *piece;
            self.decided.fetch_max(piece, Relaxed);
            let upto = waiting.connections.partition_point(|(p, _)| *p <= piece);
            woken.extend(waiting.connections.drain(..upto).map(|(_, waker)| waker));
        }
        let new = waiting.connections.back();
        let poll = match new.is_some_and(|(piece, _)| *piece > waiting.committed) {
            true => Poll::Ready(()),
            false => {
                waiting.task = Some(cx.waker().clone());
                Poll::Pending
            }
        };
        drop(waiting);
        woken.into_iter().for_each(Waker::wake);
        poll
    }
}

fn is_decided(keeper: Option<&dyn Persistence>, piece: u64, waker: &Waker) -> bool {
    keeper.is_none_or(|keeper| keeper.poll_durable(piece, waker).is_ready())
}
