//! What a connection waits for between two commands: a lock or a time, an element to come, a helper thread.

use super::{Connection, Over};
use crate::seat::Kit;
use engine::{GiveUp, Next, Progress, Session, Waiter};
use resp::{Batch, Out, Parser};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// What a connection waits for before it goes on with its commands.
pub(super) enum Busy {
    /// Something that has to change before a command can be executed: whoever changes it wakes the task, and if nobody
    /// does, time passes. True once the task has slept.
    Retry(Pin<Box<Sleep>>, bool),
    /// A blocking command that is not served yet, and when it gives up.
    Blocked(Arc<Waiter>, Option<Pin<Box<Sleep>>>),
    /// A computation on a helper thread, which writes the last command's reply.
    Job(JoinHandle<Out>),
    /// The first command of the input, executed on a helper thread. The session and the input are there meanwhile.
    Long(JoinHandle<Long>),
}

/// What a helper thread gives back of [`Busy::Long`].
pub(super) struct Long {
    session: Session,
    input: Vec<u8>,
    /// Bytes of the input that are done with.
    start: usize,
    out: Out,
    next: Next,
}

impl Connection {
    /// Notes what the engine wants done next.
    pub(super) fn follow(&mut self, next: Next, session: &Session) -> Result<(), Over> {
        match next {
            Next::Done => {}
            Next::Close => self.closing = true,
            Next::CloseNow => return Err(Over),
            Next::Retry(time) => {
                let sleep = Box::pin(tokio::time::sleep(time));
                self.busy = Some(Busy::Retry(sleep, false));
            }
            Next::Offload(job) => {
                let mut out = Out::new(session.proto);
                out.bound(session.room_for_replies());
                let run = move || {
                    engine::stand_behind_workers(engine::CLOSE_BEHIND);
                    job(&mut out);
                    out
                };
                self.busy = Some(Busy::Job(tokio::task::spawn_blocking(run)));
            }
            Next::Block(waiter) => {
                let until = waiter.until.map(|until| {
                    Box::pin(tokio::time::sleep_until(tokio::time::Instant::from_std(
                        until,
                    )))
                });
                self.busy = Some(Busy::Blocked(waiter, until));
            }
            Next::Elsewhere => self.elsewhere = true,
            Next::GiveAway(to) => self.given_to = Some(to),
        }
        Ok(())
    }

    /// Has a helper thread execute the first command of the input.
    pub(super) fn start_long(&mut self, kit: &Kit) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let (input, mut start) = self.input.take();
        let helpers = kit.helpers.clone();
        let run = move || {
            engine::stand_behind_workers(engine::CLOSE_BEHIND);
            let (mut batch, limits) = (Batch::new(), session.limits());
            let (taken, _) = batch.fill(&mut Parser::new(), &input[start..], &limits, 1);
            let mut out = Out::new(session.proto);
            let Progress { executed, next } = helpers.run_long(&mut session, &batch, &mut out);
            if executed > 0 {
                start += taken;
            }
            drop(batch);
            Long {
                session,
                input,
                start,
                out,
                next,
            }
        };
        self.busy = Some(Busy::Long(tokio::task::spawn_blocking(run)));
    }

    /// Waits for what keeps the connection from going on, if anything does, and takes in what came of it.
    pub(super) fn poll_busy(&mut self, cx: &mut Context<'_>, kit: &Kit) -> Result<Poll<()>, Over> {
        let mut out = match &mut self.busy {
            None => return Ok(Poll::Ready(())),
            Some(Busy::Retry(sleep, slept)) => {
                if sleep.as_mut().poll(cx).is_pending() && !mem::replace(slept, true) {
                    return Ok(Poll::Pending);
                }
                Out::default()
            }
            Some(Busy::Blocked(waiter, until)) => {
                if let Some(until) = until
                    && until.as_mut().poll(cx).is_ready()
                {
                    // If it has been served in this very moment, that is the reply.
                    kit.engine
                        .follow
                        .give_up(waiter, GiveUp::Timeout, kit.worker.counters());
                }
                let waiter = waiter.clone();
                if kit.engine.persistence().is_some_and(|k| k.promises())
                    && let Some(session) = &mut self.session
                {
                    if !waiter.is_served() {
                        return Ok(Poll::Pending);
                    }
                    match kit.engine.piece_of_served_soon(&waiter, session) {
                        Some(piece) => self.hold_behind(piece),
                        None => return Ok(Poll::Pending),
                    }
                }
                match waiter.take_reply() {
                    Some(out) => out,
                    None => return Ok(Poll::Pending),
                }
            }
            Some(Busy::Job(handle)) => match Pin::new(handle).poll(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(out)) if out.is_over() => {
                    if let Some(session) = &self.session {
                        session.close_over_limit();
                    }
                    return Err(Over);
                }
                Poll::Ready(Ok(out)) => out,
                Poll::Ready(Err(_)) => {
                    tracing::error!("A command panicked on a helper thread");
                    let mut out = Out::default();
                    out.error("ERR internal error");
                    out
                }
            },
            Some(Busy::Long(handle)) => match Pin::new(handle).poll(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                // The engine catches the panics of commands. If one came through, the session is lost with it.
                Poll::Ready(Err(_)) => return Err(Over),
                Poll::Ready(Ok(long)) => {
                    self.busy = None;
                    self.input.restore(long.input, long.start);
                    self.hold_until(long.session.piece(), kit);
                    let followed = self.follow(long.next, &long.session);
                    // Where it is tried again is where it was.
                    self.elsewhere |= long.session.is_parked();
                    if let Some(Busy::Retry(_, slept)) = &mut self.busy {
                        // The call came to this task while the helper was still at it.
                        *slept |= long.session.is_called();
                    }
                    self.session = Some(long.session);
                    followed?;
                    let mut out = long.out;
                    self.send(&mut out, 0)?;
                    // What the engine wanted next may be another wait.
                    return self.poll_busy(cx, kit);
                }
            },
        };
        self.busy = None;
        self.send(&mut out, 0)?;
        Ok(Poll::Ready(()))
    }
}
