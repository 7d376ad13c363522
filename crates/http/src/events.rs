//! Event streams: numbers each second, slow commands, what MONITOR shows, and messages, as they come.
//!
//! A stream that listens has a session of its own, like any subscriber: what is for it piles up in its outbox, and if it is not
//! read fast enough the same limit ends it as ends any other (`client-output-buffer-limit`), with its connection if that takes nothing.

use crate::answer::{Answer, Body, answer};
use crate::command::{self, Allowance, Failed, MOST_BLOCKED, Workers};
use crate::history;
use crate::json::{self, Budget};
use crate::login::Login;
use crate::peer::Peer;
use crate::shared::Shared;
use bytes::Bytes;
use engine::{Client, LogEntry, LogKind, Session};
use hyper::StatusCode;
use resp::{Out, Proto, Value};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, mpsc};

/// Pieces that wait for the socket; then the stream's task waits.
const QUEUED: usize = 64;

/// Streams of one login at a time. A page needs one; whoever opens more than this leaks them.
const MOST_STREAMS: usize = 16;

/// When a command is tried again that could not begin.
const AGAIN: Duration = Duration::from_millis(100);

/// How often there is a sign of life, in which a stream whose login has ended is ended too.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Bytes of a message that are shown.
const MOST_BYTES: usize = 64 << 10;

/// Entries of the slow log that are told at once.
const MOST_SLOW: usize = 128;

/// What a stream tells.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub stats: bool,
    pub slow: bool,
    pub monitor: bool,
    pub channels: Vec<String>,
    pub patterns: Vec<String>,
}

/// A login's stream, as long as it is there.
struct Open(Arc<Login>);

impl Open {
    /// None if the login has enough of them.
    fn new(login: Arc<Login>) -> Option<Open> {
        let before = login.streams.fetch_add(1, Relaxed);
        let open = Open(login);
        (before < MOST_STREAMS).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

/// Answers with a stream, which a task of this runtime feeds until nobody reads it. `cut` ends the connection at once.
pub(crate) fn answer_stream(
    shared: &Arc<Shared>,
    login: Arc<Login>,
    peer: Peer,
    cut: Arc<Notify>,
    wanted: Wanted,
) -> Answer {
    let (send, receive) = mpsc::channel(QUEUED);
    let Some(open) = Open::new(login.clone()) else {
        return crate::answer::error(
            StatusCode::TOO_MANY_REQUESTS,
            "this login has too many event streams; close some of them",
        );
    };
    let mut session = command::session(&shared.engine, peer, "console-events");
    if !session.sign_in_as(login.user.as_bytes()) {
        return crate::answer::error(StatusCode::UNAUTHORIZED, "log in again");
    }
    let stream = Stream {
        shared: shared.clone(),
        login: open,
        session,
        send,
        cut,
        told_slow: None,
    };
    tokio::spawn(stream.feed(wanted));
    answer(
        StatusCode::OK,
        "text/event-stream; charset=utf-8",
        Body::Stream(receive),
    )
}

/// What feeds a stream.
struct Stream {
    shared: Arc<Shared>,
    login: Open,
    session: Session,
    send: mpsc::Sender<Bytes>,
    cut: Arc<Notify>,
    /// The last entry of the slow log that was told, if slow commands are.
    told_slow: Option<u64>,
}

/// Nobody reads the stream any more, or it has to end.
struct Over;

/// What happened next.
enum News {
    Row(history::Row),
    Messages,
    Time,
    Nothing,
    Gone,
}

impl Stream {
    async fn feed(mut self, wanted: Wanted) {
        // Whoever is gone need not be told.
        let _ = self.run(wanted).await;
    }

    async fn run(&mut self, wanted: Wanted) -> Result<(), Over> {
        let mut rows = self.shared.rows.subscribe();
        self.tell("hello", "{}").await?;
        let stats = wanted.stats && self.may(&[b"info"], "stats").await?;
        if wanted.slow && self.may(&[b"slowlog", b"get"], "slow").await? {
            let log = &self.shared.engine.follow.command_log;
            self.told_slow = Some(log.count(LogKind::Slow));
        }
        for (command, names) in [
            ("SUBSCRIBE", &wanted.channels),
            ("PSUBSCRIBE", &wanted.patterns),
        ] {
            for name in names {
                self.ask(&[command.as_bytes(), name.as_bytes()], name)
                    .await?;
            }
        }
        if wanted.monitor {
            self.ask(&[b"MONITOR"], "monitor").await?;
        }
        let mut life = tokio::time::interval(SIGN_OF_LIFE);
        life.tick().await;
        loop {
            let client = self.session.client().clone();
            let messages = poll_fn(|cx| {
                client.set_waker(cx.waker());
                match client.outbox.is_empty() && !client.kill_requested() {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                }
            });
            let news = tokio::select! {
                row = rows.recv() => match row {
                    Ok(row) => News::Row(row),
                    // Slow readers miss some.
                    Err(RecvError::Lagged(_)) => News::Nothing,
                    Err(RecvError::Closed) => News::Gone,
                },
                () = messages => News::Messages,
                _ = life.tick() => News::Time,
                () = self.send.closed() => News::Gone,
            };
            if client.kill_requested() || self.login.0.is_killed() {
                return self.tell("ended", "{}").await;
            }
            match news {
                News::Row(row) => {
                    if stats {
                        self.tell("stats", &history::object(&row)).await?;
                    }
                    self.tell_slow().await?;
                }
                News::Messages => self.tell_messages().await?,
                News::Time => self.send(Bytes::from_static(b": still here\n\n")).await?,
                News::Nothing => {}
                News::Gone => return Ok(()),
            }
        }
    }

    /// Hands a piece to the connection. Whoever does not read keeps it waiting here, where only a kill ends it; the kill is for having too much
    /// unread, as a rule, so everything of the stream goes with it, and the connection, which would wait for its reader as well.
    async fn send(&mut self, bytes: Bytes) -> Result<(), Over> {
        tokio::select! {
            biased;
            sent = self.send.send(bytes) => sent.map_err(|_| Over),
            () = killed(self.session.client()) => {
                self.cut.notify_one();
                Err(Over)
            }
        }
    }

    /// Sends an event. `data` is JSON, which has no line ends.
    async fn tell(&mut self, event: &str, data: &str) -> Result<(), Over> {
        self.send(Bytes::from(format!("event: {event}\ndata: {data}\n\n")))
            .await
    }

    async fn refuse(&mut self, what: &str, why: &str) -> Result<(), Over> {
        let data = serde_json::json!({"what": what, "error": why});
        self.tell("refused", &data.to_string()).await
    }

    /// Whether the user may make a call; says so if not.
    async fn may(&mut self, argv: &[&[u8]], what: &str) -> Result<bool, Over> {
        match self.session.check_call(argv) {
            Ok(()) => Ok(true),
            Err(why) => self.refuse(what, &why.text()).await.map(|()| false),
        }
    }

    /// Carries out a command that has the session listen; says so if that is refused.
    async fn ask(&mut self, argv: &[&[u8]], what: &str) -> Result<(), Over> {
        let mut left = MOST_BLOCKED;
        let reply = loop {
            let mut out = Out::new(Proto::Resp3);
            match run_now(&self.shared.workers, &mut self.session, argv, &mut out) {
                Ok(_) => break out.to_vec(),
                Err(Failed::Late) if left.is_zero() => {
                    return self.refuse(what, command::LATE).await;
                }
                Err(Failed::Late) => {}
                Err(_) => return Err(Over),
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => left = left.saturating_sub(AGAIN),
                () = killed(self.session.client()) => return Err(Over),
                () = self.send.closed() => return Err(Over),
            }
        };
        match reply.first() {
            Some(b'-') => {
                let line = String::from_utf8_lossy(&reply[1..]);
                self.refuse(what, line.trim_end()).await
            }
            _ => Ok(()),
        }
    }

    async fn tell_slow(&mut self) -> Result<(), Over> {
        let Some(told) = self.told_slow else {
            return Ok(());
        };
        let log = &self.shared.engine.follow.command_log;
        if log.count(LogKind::Slow) <= told {
            return Ok(());
        }
        let mut new = log.newest(LogKind::Slow, MOST_SLOW);
        new.retain(|entry| entry.id >= told);
        new.reverse();
        for entry in new {
            self.told_slow = Some(entry.id + 1);
            self.tell("slow", &slow(&entry)).await?;
        }
        Ok(())
    }

    async fn tell_messages(&mut self) -> Result<(), Over> {
        // Who was killed is told no more than that.
        while !self.session.client().kill_requested()
            && let Some(message) = self.session.client().outbox.pop()
        {
            if let Some((event, data)) = message_event(&message) {
                self.tell(event, &data).await?;
            }
        }
        Ok(())
    }
}

/// Returns when a client is to go.
async fn killed(client: &Client) {
    poll_fn(|cx| {
        client.set_waker(cx.waker());
        match client.kill_requested() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// Runs a command that takes no time and no locks of keys. This thread serves all connections, so it does not wait: where the command
/// cannot begin, as while clients are paused, it is not run.
fn run_now(
    workers: &Workers,
    session: &mut Session,
    argv: &[&[u8]],
    out: &mut Out,
) -> Result<bool, Failed> {
    let mut none = Allowance::new(Duration::ZERO);
    workers.with(|worker| command::run(worker, session, argv, out, &mut none))
}

/// An entry of the slow log.
fn slow(entry: &LogEntry) -> String {
    let args = match resp::decode(&entry.arguments) {
        Ok(Some((Value::Array(args), _))) => args,
        _ => Vec::new(),
    };
    let args = args.iter().map(|arg| match arg {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    });
    serde_json::json!({
        "id": entry.id,
        "at_s": entry.at_s,
        "us": entry.value,
        "args": args.collect::<Vec<_>>(),
        "addr": entry.addr,
        "name": entry.name,
    })
    .to_string()
}

/// The event that an outbox's message is, with its data.
fn message_event(message: &[u8]) -> Option<(&'static str, String)> {
    if let Some(line) = message.strip_prefix(b"+") {
        let line = String::from_utf8_lossy(line);
        let data = serde_json::json!({"line": line.trim_end()});
        return Some(("monitor", data.to_string()));
    }
    let (Value::Push(parts), _) = resp::decode(message).ok()?? else {
        return None;
    };
    let (pattern, channel, data) = match parts.as_slice() {
        [Value::Bulk(kind), channel, data] if kind == b"message" || kind == b"smessage" => {
            (None, channel, data)
        }
        [Value::Bulk(kind), pattern, channel, data] if kind == b"pmessage" => {
            (Some(pattern), channel, data)
        }
        _ => return None,
    };
    let mut budget = Budget::new(MOST_BYTES);
    let mut shown = |value: &Value| {
        let mut out = Out::new(Proto::Resp3);
        value.write_to(&mut out);
        let mut text = String::new();
        json::replies(&mut text, &out, &mut budget);
        text
    };
    let mut text = String::from("{");
    if let Some(pattern) = pattern {
        text.push_str(&format!("\"pattern\":{},", shown(pattern)));
    }
    text.push_str(&format!(
        "\"channel\":{},\"data\":{}}}",
        shown(channel),
        shown(data)
    ));
    Some(("message", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_events() {
        let event = |message: &[u8]| message_event(message);
        assert_eq!(
            event(b"+1.5 [0 a] \"GET\" \"k\"\r\n"),
            Some(("monitor", r#"{"line":"1.5 [0 a] \"GET\" \"k\""}"#.into()))
        );
        assert_eq!(
            event(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"),
            Some(("message", r#"{"channel":"c","data":"hi"}"#.into()))
        );
        assert_eq!(
            event(b">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$1\r\n\xff\r\n"),
            Some((
                "message",
                r#"{"pattern":"c*","channel":"c","data":{"b64":"/w==","len":1}}"#.into()
            ))
        );
        assert_eq!(event(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"), None);
        assert_eq!(event(b"nonsense"), None);
    }
}
