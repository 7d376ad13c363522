//! Publish and subscribe from inside the program.

use crate::bytes::{Bytes, Payload};
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use engine::Subscription as Kind;
use engine::{Kind as ClientKind, Origin, Session};
use resp::{Proto, Value};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

/// A message that somebody published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel it was sent to.
    pub channel: Bytes,
    /// The pattern that matched the channel's name; None if the channel itself is subscribed to.
    pub pattern: Option<Bytes>,
    /// What was sent.
    pub payload: Bytes,
    /// It was sent to a shard channel ([`Db::spublish`]).
    pub sharded: bool,
}

/// Receives messages. Made by [`Db::subscriber`], [`Db::subscribe`] or [`Db::psubscribe`]; its subscriptions end with it.
///
/// Messages wait here until they are asked for, those of one publisher in the order in which it sent them. A subscriber that lets
/// more than `client-output-buffer-limit pubsub` wait is cut off, as a client of the server would be: what has come
/// before can still be received, then there is nothing more.
pub struct Subscriber {
    session: Session,
    /// Wakes the thread that last waited.
    waker: Option<(ThreadId, Waker)>,
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("waiting", &self.session.client().outbox.len())
            .finish_non_exhaustive()
    }
}

impl Db {
    /// Sends a message to all who subscribe to a channel: PUBLISH. Returns how often it is received.
    pub fn publish<'a>(
        &self,
        channel: impl AsRef<[u8]>,
        message: impl Into<Payload<'a>>,
    ) -> Result<usize> {
        self.publish_to(false, channel.as_ref(), &message.into())
    }

    /// Sends a message to all who subscribe to a shard channel: SPUBLISH. Returns how often it is received.
    pub fn spublish<'a>(
        &self,
        channel: impl AsRef<[u8]>,
        message: impl Into<Payload<'a>>,
    ) -> Result<usize> {
        self.publish_to(true, channel.as_ref(), &message.into())
    }

    fn publish_to(&self, sharded: bool, channel: &[u8], message: &Payload<'_>) -> Result<usize> {
        self.check_lengths(channel.len(), message.len())?;
        let shared = &self.way.shared;
        let verb: &[u8] = if sharded { b"SPUBLISH" } else { b"PUBLISH" };
        Ok(message.with_bytes(|bytes| {
            let engine = &shared.engine;
            engine.pass_on(&[verb, channel, bytes], shared.counters());
            engine.follow.publish(sharded, channel, bytes)
        }))
    }

    /// A receiver of messages that subscribes to nothing yet.
    pub fn subscriber(&self) -> Result<Subscriber> {
        let mut session = self.engine().session(Origin {
            addr: String::new(),
            laddr: String::new(),
            fd: -1,
            kind: ClientKind::Embedded,
            waker: None,
        });
        session.set_proto(Proto::Resp3);
        Ok(Subscriber {
            session,
            waker: None,
        })
    }

    /// Subscribes to channels.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// let mut news = db.subscribe(["news"])?;
    /// assert_eq!(db.publish("news", "it works")?, 1);
    /// let message = news.recv()?;
    /// assert_eq!(message.channel, "news");
    /// assert_eq!(message.payload, "it works");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn subscribe<A: AsRef<[u8]>>(
        &self,
        channels: impl IntoIterator<Item = A>,
    ) -> Result<Subscriber> {
        let mut subscriber = self.subscriber()?;
        for channel in channels {
            subscriber.subscribe(channel)?;
        }
        Ok(subscriber)
    }

    /// Subscribes to all channels whose names match patterns: `news.*`.
    pub fn psubscribe<A: AsRef<[u8]>>(
        &self,
        patterns: impl IntoIterator<Item = A>,
    ) -> Result<Subscriber> {
        let mut subscriber = self.subscriber()?;
        for pattern in patterns {
            subscriber.psubscribe(pattern)?;
        }
        Ok(subscriber)
    }
}

impl Subscriber {
    /// Subscribes to a further channel.
    pub fn subscribe(&mut self, channel: impl AsRef<[u8]>) -> Result {
        self.session.subscribe(Kind::Channel, channel.as_ref());
        Ok(())
    }

    /// Subscribes to all channels whose names match a pattern.
    pub fn psubscribe(&mut self, pattern: impl AsRef<[u8]>) -> Result {
        self.session.subscribe(Kind::Pattern, pattern.as_ref());
        Ok(())
    }

    /// Subscribes to a shard channel.
    pub fn ssubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result {
        self.session.subscribe(Kind::Shard, channel.as_ref());
        Ok(())
    }

    /// Ends a subscription to a channel. Messages that have come before are still received.
    pub fn unsubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result {
        self.session.unsubscribe(Kind::Channel, channel.as_ref());
        Ok(())
    }

    /// Ends a subscription to a pattern.
    pub fn punsubscribe(&mut self, pattern: impl AsRef<[u8]>) -> Result {
        self.session.unsubscribe(Kind::Pattern, pattern.as_ref());
        Ok(())
    }

    /// Ends a subscription to a shard channel.
    pub fn sunsubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result {
        self.session.unsubscribe(Kind::Shard, channel.as_ref());
        Ok(())
    }

    /// The next message, if one has come already.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`]: the subscriber was cut off, and has received what had come before.
    pub fn try_recv(&mut self) -> Result<Option<Message>> {
        while let Some(bytes) = self.session.client().outbox.pop() {
            // Nothing but messages is ever sent to a client that only subscribes.
            if let Some(message) = decode(&bytes) {
                return Ok(Some(message));
            }
        }
        if self.was_cut_off() {
            return Err(Error::of(
                ErrorKind::Closed,
                "ERR the subscriber let too many messages wait and gets no more",
            ));
        }
        Ok(None)
    }

    /// Waits for the next message, forever if none comes. Errors are those of [`Subscriber::try_recv`].
    pub fn recv(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.wait(None)? {
                return Ok(message);
            }
        }
    }

    /// Waits for the next message, but no longer than `timeout`; None if none came. Errors are those of
    /// [`Subscriber::try_recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message>> {
        self.wait(Instant::now().checked_add(timeout))
    }

    fn wait(&mut self, until: Option<Instant>) -> Result<Option<Message>> {
        let thread = std::thread::current();
        let id = thread.id();
        if self.waker.as_ref().is_none_or(|(of, _)| *of != id) {
            self.waker = Some((id, Waker::from(Arc::new(Unpark(thread)))));
        }
        if let Some((_, waker)) = &self.waker {
            self.session.client().set_waker(waker);
        }
        loop {
            if let Some(message) = self.try_recv()? {
                return Ok(Some(message));
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Ok(None),
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }

    /// The next message, for a task: `Pending` means that the task will be woken when one comes. Errors are those of
    /// [`Subscriber::try_recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message>> {
        self.waker = None;
        self.session.client().set_waker(cx.waker());
        match self.try_recv() {
            Ok(Some(message)) => Poll::Ready(Ok(message)),
            Ok(None) => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    /// Waits for the next message, in a task of any runtime. Errors are those of [`Subscriber::try_recv`]. A future that is
    /// dropped has received nothing.
    pub async fn next(&mut self) -> Result<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Whether it let too many messages wait, so that it gets no more.
    pub fn was_cut_off(&self) -> bool {
        self.session.client().kill_requested()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let Ok(Some((Value::Push(parts), _))) = resp::decode(bytes) else {
        return None;
    };
    let mut parts = parts.into_iter().map(|part| match part {
        Value::Bulk(bytes) => Some(bytes),
        _ => None,
    });
    let mut next = || parts.next().flatten();
    let word = next()?;
    let pattern = match &word[..] {
        b"pmessage" => Some(Bytes::from(next()?)),
        b"message" | b"smessage" => None,
        _ => return None,
    };
    Some(Message {
        channel: Bytes::from(next()?),
        pattern,
        payload: Bytes::from(next()?),
        sharded: word == b"smessage",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn db() -> Db {
        Db::open(Config::default()).expect("a database")
    }

    fn payload(message: Result<Message>) -> String {
        let message = message.expect("a message");
        String::from_utf8_lossy(&message.payload).into_owned()
    }

    #[test]
    fn messages_come_in_order() {
        let db = db();
        let mut all = db.psubscribe(["*"]).expect("a subscriber");
        let mut one = db.subscribe(["a", "b"]).expect("a subscriber");
        assert_eq!(one.try_recv(), Ok(None));
        for i in 0..3 {
            assert_eq!(db.publish("a", i.to_string()), Ok(2));
        }
        assert_eq!(db.publish("c", "x"), Ok(1));
        let got: Vec<String> = (0..4).map(|_| payload(all.recv())).collect();
        assert_eq!(got, ["0", "1", "2", "x"]);
        let first = one.recv_timeout(Duration::from_secs(9)).expect("no error");
        assert_eq!(payload(Ok(first.expect("a message"))), "0");
        one.unsubscribe("a").expect("no error");
        assert_eq!(db.publish("a", "3"), Ok(1));
        assert_eq!(payload(one.recv()), "1");
        assert_eq!(payload(one.recv()), "2");
        assert_eq!(one.recv_timeout(Duration::ZERO), Ok(None));
        let message = all.recv().expect("a message");
        assert_eq!(message.pattern.expect("a pattern"), "*");
        drop((all, one));
        assert_eq!(db.publish("a", "4"), Ok(0));
    }

    #[test]
    fn a_thread_that_waits_is_woken() {
        let db = db();
        let mut inbox = db.subscribe(["in"]).expect("a subscriber");
        let mut outbox = db.subscribe(["out"]).expect("a subscriber");
        let there = db.clone();
        let echo = std::thread::spawn(move || {
            for _ in 0..1000 {
                let payload = inbox.recv().expect("a message").payload;
                there.publish("out", payload).expect("no error");
            }
        });
        for i in 0..1000 {
            db.publish("in", i.to_string()).expect("no error");
            assert_eq!(payload(outbox.recv()), i.to_string());
        }
        echo.join().expect("no panic");
    }

    #[test]
    fn who_falls_behind_is_cut_off() {
        let db = Db::open(Config::new().subscriber_backlog(1000)).expect("a database");
        let mut slow = db.subscribe(["a"]).expect("a subscriber");
        let text = "m".repeat(400);
        for _ in 0..10 {
            db.publish("a", &text[..]).expect("no error");
        }
        for _ in 0..3 {
            assert_eq!(payload(slow.recv()), text);
        }
        let closed = slow.recv().expect_err("nothing more");
        assert_eq!(closed.kind(), ErrorKind::Closed);
        assert!(slow.was_cut_off());
    }

    #[test]
    fn shard_channels_stand_for_themselves() {
        let db = db();
        let mut shard = db.subscriber().expect("a subscriber");
        shard.ssubscribe("a").expect("no error");
        assert_eq!(db.publish("a", "1"), Ok(0));
        assert_eq!(db.spublish("a", "2"), Ok(1));
        assert!(shard.recv().is_ok_and(|m| m.sharded && m.payload == "2"));
    }
}
