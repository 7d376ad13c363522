//! A command that could not get its locks: its session stands in line for them, and the command is tried again when it is called.

use crate::base::clock::unix_ms;
use crate::base::error::Error;
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::gate::{self, CLIENT, Closed, Request};
use crate::context::next::Next;
use crate::context::session::Session;
use crate::door::held::Held;
use std::any::Any;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::Shard;
use store::keyspace::Ticket;
use store::locks::Indices;

/// A session's place in line.
pub(crate) struct Parked {
    ticket: Ticket,
    /// Shards of which a script has found out that it needs them.
    pub needs: Indices,
    /// It has also found out that it needs the keyspace's token.
    pub needs_token: bool,
    /// What a command has done that goes on from there.
    done: Option<Box<dyn Any + Send>>,
}

impl Parked {
    /// Whether it may have its lock, for all that was known when it was called.
    pub(super) fn is_called(&self) -> bool {
        self.ticket.is_called()
    }
}

impl Session {
    /// Its ticket, if it has been waiting for locks.
    pub(crate) fn ticket(&mut self) -> Option<&mut Ticket> {
        self.parked.as_mut().map(|parked| &mut parked.ticket)
    }

    /// Waits for the lock with this index (see [`Ticket::stand`]): the client is woken when it may be had. None is held.
    pub(crate) fn stand(&mut self, index: usize) -> &mut Parked {
        let (engine, waker) = (&self.engine, self.client.waker());
        let parked = self.parked.get_or_insert_with(|| {
            Box::new(Parked {
                ticket: engine.keyspace().ticket(),
                needs: Indices::new(),
                needs_token: false,
                done: None,
            })
        });
        if self.client.parked_for.swap(index + 1, Relaxed) == 0 {
            self.client.parked_ms.store(unix_ms(), Relaxed);
        }
        parked.ticket.stand(index, waker);
        parked
    }

    /// Whether a command of it stands in line for its locks.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Leaves all lines. For somebody who will not try again soon: others would wait for it to.
    pub fn leave_lines(&mut self) {
        if self.parked.take().is_some() {
            self.client.parked_for.store(0, Relaxed);
            let since = self.client.parked_ms.load(Relaxed);
            let time = Duration::from_millis(unix_ms().saturating_sub(since));
            self.engine.note_latency("lock-wait", time);
        }
    }
}

impl Ctx<'_> {
    /// Has the command tried again once the lock with this index may be had; it returns then without having changed or counted
    /// anything. An error if a script has been holding things up for too long.
    pub(crate) fn park(&mut self, index: usize) -> Result<(), Error> {
        let request = Request {
            engine: self.engine,
            session: Some(self.session),
            facts: &self.command.facts,
            entry: None,
            within: self.command.name,
            argv: &[],
            now_ms: unix_ms(),
            in_reader: false,
            short: false,
            more: 0,
            counters: self.keys.counters,
        };
        gate::admit_parked::<CLIENT>(&request).map_err(Closed::into_error)?;
        self.session.stand(index);
        self.next = Next::Retry(self.engine.until_busy());
        Ok(())
    }

    /// Keeps what a command has done that [`Ctx::look`] has parked, so that it goes on from there.
    pub(crate) fn put_off<T: Any + Send>(&mut self, done: Box<T>) {
        if let Some(parked) = &mut self.session.parked {
            parked.done = Some(done);
        }
    }

    /// What the same command had done when it was parked before, if it was.
    pub(crate) fn take_up<T: Any>(&mut self) -> Option<Box<T>> {
        let done = self.session.parked.as_mut()?.done.take()?;
        done.downcast().ok()
    }

    /// Takes the locks of these keys, for a command that takes its locks itself and has none yet; one that is part of another
    /// has them. False if that is not possible at present: it is to return at once, and is tried again.
    pub(crate) fn hold(&mut self, keys: &[&[u8]]) -> Result<bool, Error> {
        if self.nested || keys.is_empty() {
            return Ok(true);
        }
        let ks = self.engine.keyspace();
        let mut wanted: Indices = keys
            .iter()
            .map(|key| self.keys.place(key).shard())
            .collect();
        match ks.lock_many_soon(&mut wanted, self.session.ticket()) {
            Ok(held) => {
                self.keys.held = Held::of_many(held);
                Ok(true)
            }
            Err(index) => self.park(index).map(|()| false),
        }
    }

    /// Lets `look` see a shard, for a command that takes its locks one by one. None if that is not possible at present: the
    /// command is to return at once, and is tried again: from its beginning, or from where it was ([`Ctx::put_off`]).
    pub(crate) fn look<R>(
        &mut self,
        shard: usize,
        look: impl FnOnce(&Shard) -> R,
    ) -> Result<Option<R>, Error> {
        if let Some(held) = self.keys.held.shard(shard) {
            return Ok(Some(look(held)));
        }
        let ks = self.engine.keyspace();
        let free = ks.try_lock(shard);
        match free.or_else(|| ks.lock_soon(shard, self.session.ticket())) {
            Some(guard) => Ok(Some(look(&guard))),
            None => self.park(shard).map(|()| None),
        }
    }
}

impl Engine {
    /// After how long a command that waits for its locks asks whether it goes on waiting or is told that a script is busy, if
    /// it is not called before.
    pub(crate) fn until_busy(&self) -> Duration {
        let threshold_ms = self.busy_after_ms();
        let left_ms = match self.scripts.longest() {
            None => threshold_ms.max(1),
            Some(script) => {
                match (script.started_ms.saturating_add(threshold_ms)).saturating_sub(unix_ms()) {
                    // It need not be told.
                    0 => 100,
                    left => left,
                }
            }
        };
        Duration::from_millis(left_ms.min(1000))
    }
}
