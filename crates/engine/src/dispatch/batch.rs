//! A batch of requests: looked ahead, executed in order, and accounted for.

use crate::base::clock::unix_nanos;
use crate::base::error::Error;
use crate::context::next::{Next, Progress};
use crate::context::session::Session;
use crate::dispatch::look_ahead::AHEAD;
use crate::dispatch::worker::Worker;
use resp::{Batch, Out};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of replies after which a batch is left for later, so that a client has to read before it gets more.
const ENOUGH: usize = 1 << 20;
/// Bytes of request or reply per command beyond which entries probably take more than two cache lines.
const WIDE: usize = 60;

/// About how many bytes the commands `from..to` took in the buffer they were read into.
fn request_bytes(batch: &Batch<'_>, from: usize, to: usize) -> usize {
    let (first, last) = (batch.get(from), batch.get(to - 1));
    match (first.first(), last.last()) {
        (Some(first), Some(last)) => {
            let end = last.as_ptr() as usize + last.len();
            end.saturating_sub(first.as_ptr() as usize)
        }
        _ => 0,
    }
}

impl Worker {
    /// Executes the commands of a batch from index `from` on and appends their replies to `out`, until the batch is
    /// done or something else has to happen first. Never panics and never waits for more than locks.
    pub fn run(
        &mut self,
        session: &mut Session,
        batch: &Batch<'_>,
        from: usize,
        out: &mut Out,
    ) -> Progress {
        self.engine.sleep_if_asleep();
        let began = unix_nanos();
        out.set_proto(session.proto);
        let empty = out.len();
        let mut at = from;
        let mut next = Next::Done;
        // What replies may grow to before the client is over its limit.
        let room = session.room_for_replies();
        while at < batch.len() && matches!(next, Next::Done) && out.len() < ENOUGH && !out.is_over()
        {
            let first = at;
            let end = batch.len().min(first + AHEAD);
            self.look_ahead(session.db, batch, first..end);
            if end - first > 1 {
                self.look_into(session.db, batch, first);
            }
            let mut mark = out.mark();
            let ran = catch_unwind(AssertUnwindSafe(|| {
                while at < end && matches!(next, Next::Done) && out.len() < ENOUGH && !out.is_over()
                {
                    mark = out.mark();
                    out.bound(room);
                    next = self.one(session, batch.get(at), at - first, began, out, mark);
                    at += usize::from(!matches!(next, Next::Retry(_) | Next::Elsewhere));
                }
            }));
            if ran.is_err() {
                out.rollback(mark);
                out.error(&Error::INTERNAL.0);
                self.counters.panics.add(1);
                self.counters.error("ERR");
                tracing::error!(
                    "a command panicked: {}",
                    String::from_utf8_lossy(batch.get(at).first().unwrap_or(&&b""[..]))
                );
                next = Next::Done;
                at += 1;
            }
        }
        if out.is_over() {
            session.close_over_limit();
            out.clear();
            next = Next::CloseNow;
        }
        if at > from {
            self.wide = out
                .len()
                .saturating_sub(empty)
                .max(request_bytes(batch, from, at))
                / (at - from)
                > WIDE;
        }
        session.hand_out();
        let waits = usize::from(matches!(next, Next::Block(_)));
        self.account(session, began, at - from, waits);
        Progress { executed: at, next }
    }

    /// Executes one command that [`Next::Elsewhere`] sent to a helper thread.
    pub fn run_long(
        &mut self,
        session: &mut Session,
        batch: &Batch<'_>,
        at: usize,
        out: &mut Out,
    ) -> Progress {
        self.helper = true;
        self.run(session, batch, at, out)
    }

    /// Books the time of a batch to its commands and to the client. `waits`: how many of them block.
    fn account(&mut self, session: &Session, began: u64, executed: usize, waits: usize) {
        if executed == 0 {
            return;
        }
        let share = unix_nanos().saturating_sub(began) / executed as u64;
        // Of a batch longer than the look-ahead the last stretch stands for all: the sums stay right, and pipelines of
        // such length are of one kind.
        let n = self.plan.len().min(executed);
        if n > 0 {
            let each = share * executed as u64 / n as u64;
            for p in &self.plan[..n] {
                if p.entry.is_some() {
                    self.counters.commands[p.id].nanos.add(each);
                }
            }
        }
        // One that blocks is counted when it is done.
        let done = (executed - waits) as u64;
        self.counters.calls.add(done);
        let client = &session.client;
        client.active_s.store(began / 1_000_000_000, Relaxed);
        client.commands.fetch_add(done, Relaxed);
        if let Some(p) = self.plan.last() {
            let id = if p.entry.is_some() { p.id + 1 } else { 0 };
            client.last_command.store(id, Relaxed);
        }
    }
}
