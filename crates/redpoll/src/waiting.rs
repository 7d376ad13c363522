//! Calls that wait, as futures.

use crate::call::Decode;
use crate::connection::new_session;
use crate::durability::settle;
use crate::error::Result;
use crate::reply::{closed, reply_of};
use crate::timer::Alarm;
use crate::updating::check_not_updating;
use crate::value::Value;
use crate::way::Direct;
use engine::{GiveUp, Next, Session, Waiter};
use resp::{Batch, Out, Proto};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// A call that waits for something to take, in a task of any runtime: what [`Db::blpop_async`](crate::Db::blpop_async) and its kin
/// return.
///
/// It begins when it is polled for the first time, and from then on has its place among all who wait for its keys. Dropping it ends
/// the wait. If it has been served in that very moment, what it got is lost, as if a client had closed its connection then: a task
/// that may be cancelled and must lose nothing moves elements (BLMOVE) or reads a group (XREADGROUP) instead of popping.
#[must_use = "a future does nothing unless it is polled"]
pub struct Waiting<T> {
    way: Direct,
    index: usize,
    args: Vec<Vec<u8>>,
    session: Option<Session>,
    waiter: Option<Arc<Waiter>>,
    alarm: Option<Alarm>,
    decode: fn(Value) -> Result<T>,
    /// There is nothing to wait for.
    ready: Option<Result<T>>,
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.args.first().map(|name| String::from_utf8_lossy(name));
        f.debug_struct("Waiting")
            .field("command", &command)
            .finish_non_exhaustive()
    }
}

impl<T> Waiting<T> {
    pub(crate) fn new(way: &Direct, index: usize, args: Vec<Vec<u8>>) -> Waiting<T>
    where
        T: Decode,
    {
        Waiting {
            way: way.clone(),
            index,
            args,
            session: None,
            waiter: None,
            alarm: None,
            decode: T::decode,
            ready: None,
        }
    }

    /// One that has its result.
    pub(crate) fn ready(way: &Direct, result: Result<T>) -> Waiting<T>
    where
        T: Decode,
    {
        Waiting {
            ready: Some(result),
            ..Waiting::new(way, 0, Vec::new())
        }
    }

    /// Decodes the reply in another way.
    pub(crate) fn decoded_by(mut self, decode: fn(Value) -> Result<T>) -> Waiting<T> {
        self.decode = decode;
        self
    }

    /// Carries the command out; its reply, unless it blocks or is to be tried again at some time.
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<Out> {
        let engine = &self.way.shared.engine;
        let session = self
            .session
            .get_or_insert_with(|| new_session(engine, self.index));
        // Whoever is to wake this task must know it before.
        session.client().set_waker(cx.waker());
        let mut out = Out::new(Proto::Resp3);
        let args: Vec<&[u8]> = self.args.iter().map(Vec::as_slice).collect();
        let mut batch = Batch::new();
        batch.push(&args);
        let mut connection = self
            .way
            .shared
            .idle
            .take(engine, self.index, self.way.asked);
        let next = loop {
            let worker = connection.worker();
            match worker.run_long(session, &batch, 0, &mut out).next {
                // Known to be long: it runs right here.
                Next::Elsewhere => {}
                next => break next,
            }
        };
        self.way.shared.idle.give_back(engine, connection, &[]);
        match next {
            Next::Retry(time) => {
                let at = Instant::now() + time;
                self.alarm = Some(Alarm::set(at, cx.waker()));
                return Poll::Pending;
            }
            Next::Block(waiter) => {
                self.waiter = Some(waiter);
                return Poll::Pending;
            }
            Next::Offload(job) => job(&mut out),
            Next::Done | Next::Elsewhere | Next::Close | Next::CloseNow | Next::GiveAway(_) => {}
        }
        Poll::Ready(out)
    }

    /// The reply, once there is one.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Out>> {
        self.alarm = None;
        if self.waiter.is_none()
            && let Poll::Ready(out) = self.begin(cx)
        {
            return Poll::Ready(Ok(out));
        }
        let (Some(waiter), Some(session)) = (&self.waiter, &self.session) else {
            return Poll::Pending;
        };
        session.client().set_waker(cx.waker());
        loop {
            if let Some(reply) = waiter.take_reply() {
                return Poll::Ready(Ok(reply));
            }
            if session.client().kill_requested() {
                return Poll::Ready(Err(closed()));
            }
            match waiter.until {
                Some(until) if until <= Instant::now() => {
                    // If it has been served in this very moment, that is the reply.
                    let follow = &self.way.shared.engine.follow;
                    follow.give_up(waiter, GiveUp::Timeout, self.way.shared.counters());
                }
                Some(until) => {
                    self.alarm = Some(Alarm::set(until, cx.waker()));
                    return Poll::Pending;
                }
                None => return Poll::Pending,
            }
        }
    }
}

impl<T> Future for Waiting<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        check_not_updating()?;
        if let Some(result) = this.ready.take() {
            return Poll::Ready(result);
        }
        let mut out = match this.poll_reply(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(out) => out?,
        };
        let engine = &this.way.shared.engine;
        if engine.journal.is_on() {
            // Durable as asked for, like any other call: on the disk before it returns, where that was promised.
            let served = this.waiter.as_ref().map(|w| engine.piece_of_served(w));
            let own = this.session.as_ref().map_or(0, Session::piece);
            settle(engine, served.unwrap_or(0).max(own), this.way.asked)?;
        }
        // The client is listed no longer than it waits.
        this.session = None;
        let value = reply_of(&mut out)?.unwrap_or(Value::Null);
        Poll::Ready((this.decode)(value))
    }
}

// The result is only made when it is there.
impl<T> Unpin for Waiting<T> {}
