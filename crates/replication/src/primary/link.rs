//! One replica's connection.
//!
//! It has two threads. One reads what the replica says, which is how far it is; the other sends: the stream from where the replica
//! left off, or a copy of the data set and the stream from there. Neither touches keys.

use super::Primary;
use crate::spool::{Got, Reader};
use crate::stream::Stream;
use engine::{Announced, Client, Filter, StreamWish, Wire, unix_ms};
use parking_lot::{Condvar, Mutex};
use rdb::Version;
use resp::{Batch, Limits, Parser};
use std::any::Any;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// Bytes that are sent at once.
const AT_ONCE: usize = 256 << 10;

/// How long a thread waits before it looks whether the connection is to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of what a replica says that are taken in before a command is whole.
const MOST_UNREAD: usize = 1 << 20;

/// No offset.
pub(super) const NONE: u64 = u64::MAX;

/// Where a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its wish is being looked at.
    Asks,
    /// It waits for a copy of the data set, since then.
    Waits(Instant),
    /// It is being sent one.
    Receives,
    /// It has it all and loads it.
    Loads,
    /// It has the copy that it asked for, and wants no stream.
    HasCopy,
    /// It follows.
    Online,
    /// The connection is over.
    Gone,
}

impl State {
    /// As INFO calls it. `written`: the copy that it gets is. As in real servers it waits until then, though it may be sent some of it.
    fn name(self, written: bool) -> &'static str {
        match self {
            State::Asks | State::Waits(_) => "wait_bgsave",
            State::Receives if !written => "wait_bgsave",
            State::Receives => "send_bulk",
            State::HasCopy => "rdb_transmitted",
            // It counts as one that follows once it has got the copy, as in real servers.
            State::Loads | State::Online | State::Gone => "online",
        }
    }
}

/// In which form a copy has to be, so that those who want the same can share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub version: Version,
    /// Written for a server that is told of expiries.
    pub for_replica: bool,
    pub filter: Filter,
}

/// The first version of Valkey that has a form of its own.
const VALKEY_9: u32 = 0x0009_0000;

/// The first version of Redis and Valkey that reads RDB 11.
const SINCE_11: u32 = 0x0007_0200;

impl Form {
    fn of(announced: &Announced) -> Form {
        // Who says no version may be a Redis of 7.0, unless it can do what only later ones can.
        let version = match announced.version {
            VALKEY_9.. => Version::Valkey80,
            SINCE_11.. => Version::V11,
            _ if announced.redis_8 => Version::V12,
            _ if announced.redpoll => Version::V11,
            _ => Version::V10,
        };
        Form {
            version,
            for_replica: !announced.redpoll,
            filter: announced.filter,
        }
    }
}

/// A copy of the data set that a link is to send.
pub(super) struct Job {
    /// What goes before it: the answer to PSYNC.
    pub greeting: Vec<u8>,
    pub copy: Reader,
    /// The bytes that stand around a copy of unknown length; None: its length is said, once it is known.
    pub mark: Option<[u8; 40]>,
    /// The copy's length, once it is written.
    pub length: Arc<Written>,
    /// The stream from the moment of the copy on.
    pub stream: Reader,
}

/// How long a copy is, once that is known.
#[derive(Default)]
pub(super) struct Written {
    length: Mutex<Option<Result<u64, String>>>,
    known: Condvar,
}

impl Written {
    pub fn set(&self, length: Result<u64, String>) {
        *self.length.lock() = Some(length);
        self.known.notify_all();
    }

    fn wait(&self, time: Duration) -> Option<Result<u64, String>> {
        let mut length = self.length.lock();
        if length.is_none() {
            self.known.wait_for(&mut length, time);
        }
        length.clone()
    }
}

struct Inner {
    state: State,
    job: Option<Job>,
}

/// See the module's page.
pub(super) struct Link {
    pub client: Arc<Client>,
    pub announced: Announced,
    pub form: Form,
    close: Arc<dyn Fn() + Send + Sync>,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// The offset that it has acknowledged, and the one that is on its disk.
    pub acked: AtomicU64,
    pub on_disk: AtomicU64,
    /// It has acknowledged something.
    pub has_acked: AtomicBool,
    /// When it was heard of last, in Unix milliseconds.
    pub heard_ms: AtomicU64,
    /// The offset up to which the stream has gone to its socket; [`NONE`]: it has no place in it yet.
    sent: AtomicU64,
    /// The copy that it gets, or has got, is written.
    pub copy_written: AtomicBool,
    /// It lacked less than its output buffer may hold at least once since it has loaded.
    pub caught_up: AtomicBool,
    /// Since when it is over the soft limit of its output buffer, in Unix milliseconds; 0: it is not.
    pub over_since_ms: AtomicU64,
    /// Its session, which keeps it in the list of clients.
    session: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Closes a link whose client is to be killed.
struct OnKill(Weak<Link>);

impl Wake for OnKill {
    fn wake(self: Arc<Self>) {
        if let Some(link) = self.0.upgrade()
            && link.client.kill_requested()
        {
            link.close();
        }
    }
}

impl Link {
    pub fn state(&self) -> State {
        self.inner.lock().state
    }

    /// Where it is, as INFO calls it.
    pub fn state_name(&self) -> &'static str {
        self.state().name(self.copy_written.load(Relaxed))
    }

    /// Where it is from now on, unless it is gone; whether it was not.
    fn set(&self, state: State) -> bool {
        let mut inner = self.inner.lock();
        let alive = inner.state != State::Gone;
        if alive {
            inner.state = state;
        }
        drop(inner);
        self.changed.notify_all();
        alive
    }

    /// It follows, or is about to.
    pub fn is_online(&self) -> bool {
        self.state() == State::Online
    }

    /// Gives it a copy to send. False: it is gone.
    pub fn give(&self, job: Job) -> bool {
        let mut inner = self.inner.lock();
        if inner.state == State::Gone {
            return false;
        }
        inner.state = State::Receives;
        self.sent.store(job.stream.position(), Relaxed);
        inner.job = Some(job);
        drop(inner);
        self.changed.notify_all();
        true
    }

    /// Ends the connection.
    pub fn close(&self) {
        (self.close)();
        self.inner.lock().state = State::Gone;
        self.changed.notify_all();
    }

    /// The address that others reach it at.
    pub fn ip(&self) -> &str {
        match self.announced.ip.is_empty() {
            true => self.client.ip(),
            false => &self.announced.ip,
        }
    }

    /// Seconds since it was heard of.
    pub fn lag_s(&self) -> u64 {
        unix_ms().saturating_sub(self.heard_ms.load(Relaxed)) / 1000
    }

    pub fn who(&self) -> String {
        format!("{}:{}", self.ip(), self.announced.port)
    }

    fn heard(&self) {
        self.heard_ms.store(unix_ms(), Relaxed);
    }

    /// Bytes of the stream that have not gone to its socket. CLIENT LIST shows them from now on, and in how many blocks they are.
    pub fn look_what_it_lacks(&self, stream: &Stream) -> u64 {
        let (lacks, blocks) = match self.sent.load(Relaxed) {
            NONE => (0, 0),
            sent => (
                stream.offset().saturating_sub(sent),
                stream.spool().blocks_from(sent),
            ),
        };
        self.client.set_unsent(lacks as usize, blocks);
        lacks
    }
}

/// Why a link ends.
type Ended = String;

/// What sends.
struct Sender {
    writer: Box<dyn Write + Send>,
    link: Arc<Link>,
    primary: Weak<Primary>,
    /// Bytes that go to replicas.
    sent: Arc<AtomicU64>,
}

impl Primary {
    /// Takes the connection of a client that asked for the stream.
    pub(crate) fn take(
        &self,
        keep: Box<dyn Any + Send>,
        client: u64,
        wish: StreamWish,
        wire: Wire,
    ) {
        let Ok(engine) = self.engine() else { return };
        let Some(client) = engine.clients().get(client) else {
            return;
        };
        client.follows.store(true, Relaxed);
        let link = Arc::new(Link {
            form: self.form_for(&wish.announced),
            announced: wish.announced.clone(),
            close: wire.close.clone(),
            inner: Mutex::new(Inner {
                state: State::Asks,
                job: None,
            }),
            changed: Condvar::new(),
            acked: AtomicU64::new(0),
            on_disk: AtomicU64::new(NONE),
            has_acked: AtomicBool::new(false),
            heard_ms: AtomicU64::new(unix_ms()),
            sent: AtomicU64::new(NONE),
            copy_written: AtomicBool::new(false),
            caught_up: AtomicBool::new(false),
            over_since_ms: AtomicU64::new(0),
            session: Mutex::new(Some(keep)),
            client,
        });
        let waker = Waker::from(Arc::new(OnKill(Arc::downgrade(&link))));
        link.client.set_waker(&waker);
        self.links.lock().push(link.clone());
        if link.client.kill_requested() || self.is_stopping() {
            link.close();
        }
        let sender = Sender {
            writer: wire.writer,
            link: link.clone(),
            primary: self.me.clone(),
            sent: engine.stats().to_replicas.clone(),
        };
        let (primary, listening) = (self.me.clone(), link.clone());
        let (reader, unread) = (wire.reader, wire.unread);
        let threads = std::thread::Builder::new()
            .name("replica-acks".into())
            .spawn(move || listen(&primary, &listening, reader, unread))
            .and_then(|_| {
                std::thread::Builder::new()
                    .name("replica".into())
                    .spawn(move || sender.run(&wish))
            });
        if let Err(error) = threads {
            tracing::warn!("No thread for the replica {}: {error}", link.who());
            self.end_link(&link);
        }
    }

    fn form_for(&self, announced: &Announced) -> Form {
        let form = Form::of(announced);
        // Who keeps the file gets what a save would write.
        let chosen = |engine: &engine::Engine| {
            let number = engine.config().text("rdb-save-version").parse().ok()?;
            Version::of(number)
        };
        match self.engine().ok().as_deref().and_then(chosen) {
            Some(version) if announced.rdb_only && !announced.redpoll => Form {
                version,
                for_replica: false,
                ..form
            },
            _ => form,
        }
    }

    /// A link is over: nobody hears of it any more.
    pub(super) fn end_link(&self, link: &Arc<Link>) {
        link.close();
        let was_there = {
            let mut links = self.links.lock();
            let before = links.len();
            links.retain(|other| !Arc::ptr_eq(other, link));
            before != links.len()
        };
        // The client goes from the list with it.
        drop(link.session.lock().take());
        if was_there {
            self.replicas_changed();
        }
    }
}

impl Sender {
    fn run(mut self, wish: &StreamWish) {
        let ended = self.serve(wish);
        let Some(primary) = self.primary.upgrade() else {
            return;
        };
        if let Err(why) = ended
            && self.link.state() != State::Gone
            && !primary.is_stopping()
        {
            tracing::warn!(
                "The connection to the replica {} ends: {why}",
                self.link.who()
            );
        }
        primary.end_link(&self.link);
    }

    fn serve(&mut self, wish: &StreamWish) -> Result<(), Ended> {
        let primary = self.primary()?;
        if let Some(stream) = primary.resume(wish, &self.link)? {
            let ids = primary.engine()?.standing.ids();
            let greeting = match self.link.announced.psync2 {
                true => format!("+CONTINUE {}\r\n", ids.id),
                false => "+CONTINUE\r\n".to_owned(),
            };
            drop(primary);
            self.link.sent.store(stream.position(), Relaxed);
            self.send(greeting.as_bytes())?;
            self.online()?;
            return self.stream(&stream);
        }
        self.link.set(State::Waits(Instant::now()));
        primary.wake();
        drop(primary);
        let mut job = self.wait_for_copy()?;
        if !wish.old_style {
            let greeting = std::mem::take(&mut job.greeting);
            self.send(&greeting)?;
        }
        job = self.send_copy_behind(job)?;
        let Job {
            copy, mark, stream, ..
        } = job;
        // What there is left of it in memory goes.
        drop(copy);
        if self.link.announced.rdb_only {
            return self.wait_for_leave();
        }
        if mark.is_some() {
            self.link.set(State::Loads);
            self.wait_for_first_ack()?;
        }
        self.online()?;
        self.stream(&stream)
    }

    fn primary(&self) -> Result<Arc<Primary>, Ended> {
        self.primary
            .upgrade()
            .ok_or_else(|| "the database is being closed".into())
    }

    fn online(&self) -> Result<(), Ended> {
        self.link.heard();
        self.link.set(State::Online);
        let primary = self.primary()?;
        primary.replicas_changed();
        primary.ask_who_has_come();
        Ok(())
    }

    /// Waits for a copy to send. The replica gets empty lines meanwhile, so that it knows that there is somebody.
    fn wait_for_copy(&mut self) -> Result<Job, Ended> {
        loop {
            {
                let mut inner = self.link.inner.lock();
                if inner.job.is_none() && inner.state != State::Gone {
                    self.link.changed.wait_for(&mut inner, PATIENCE);
                }
                if inner.state == State::Gone {
                    return Err("it has left".into());
                }
                if let Some(job) = inner.job.take() {
                    return Ok(job);
                }
            }
            self.send(b"\n")?;
        }
    }

    /// Has a thread send it that stands behind the workers, as whoever sends the stream does not: clients wait for that.
    fn send_copy_behind(&mut self, job: Job) -> Result<Job, Ended> {
        let sent = std::thread::scope(|scope| {
            let send = || {
                engine::stand_behind_workers(engine::CLOSE_BEHIND);
                self.send_copy(&job).map(|()| job)
            };
            let thread = std::thread::Builder::new().name("full-sync-send".into());
            let thread = thread.spawn_scoped(scope, send);
            thread.map(|thread| thread.join())
        });
        match sent {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err("sending the copy panicked".to_owned()),
            Err(error) => Err(format!("no thread to send the copy: {error}")),
        }
    }

    fn send_copy(&mut self, job: &Job) -> Result<(), Ended> {
        let mut head = Vec::new();
        match &job.mark {
            Some(mark) => {
                head.extend_from_slice(b"$EOF:");
                head.extend_from_slice(mark);
            }
            None => {
                let length = loop {
                    if let Some(length) = job.length.wait(PATIENCE) {
                        break length?;
                    }
                    self.send(b"\n")?;
                };
                head.extend_from_slice(format!("${length}").as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n");
        self.send(&head)?;
        let mut bytes = Vec::with_capacity(AT_ONCE);
        loop {
            bytes.clear();
            match job.copy.read(&mut bytes, AT_ONCE, PATIENCE)? {
                Got::Bytes => self.send(&bytes)?,
                Got::Nothing if self.link.state() == State::Gone => {
                    return Err("it has left".into());
                }
                Got::Nothing => {}
                Got::End => break,
            }
        }
        if let Some(mark) = &job.mark {
            self.send(mark)?;
        }
        tracing::info!(
            "The replica {} has been sent a copy of the data set",
            self.link.who()
        );
        Ok(())
    }

    /// Whoever loads a copy whose end it had to look for tells when it is ready for the stream.
    fn wait_for_first_ack(&self) -> Result<(), Ended> {
        let mut inner = self.link.inner.lock();
        while inner.state == State::Loads && !self.link.has_acked.load(Relaxed) {
            self.link.changed.wait_for(&mut inner, PATIENCE);
        }
        match inner.state {
            State::Gone => Err("it has left while it loaded".into()),
            _ => Ok(()),
        }
    }

    /// Whoever wanted a copy alone closes the connection when it has it.
    fn wait_for_leave(&self) -> Result<(), Ended> {
        self.link.set(State::HasCopy);
        let mut inner = self.link.inner.lock();
        while inner.state == State::HasCopy {
            self.link.changed.wait_for(&mut inner, PATIENCE);
        }
        Ok(())
    }

    fn stream(&mut self, stream: &Reader) -> Result<(), Ended> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let got = stream.read(&mut bytes, AT_ONCE, PATIENCE)?;
            match got {
                Got::Bytes => self.send_counting(&bytes, Some(&self.link.clone().sent))?,
                Got::End => return Ok(()),
                Got::Nothing => {}
            }
            if self.link.state() == State::Gone {
                return Err("it has left".into());
            }
            if bytes.capacity() > 2 * AT_ONCE {
                bytes = Vec::new();
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.send_counting(bytes, None)
    }

    /// Sends all of this, as long as the replica takes something now and then. `counts` what has gone, too.
    fn send_counting(&mut self, mut bytes: &[u8], counts: Option<&AtomicU64>) -> Result<(), Ended> {
        let mut progress = Instant::now();
        loop {
            let wrote = match bytes.is_empty() {
                true => self.writer.flush().map(|()| 0),
                false => self.writer.write(bytes),
            };
            match wrote {
                Ok(_) if bytes.is_empty() => return Ok(()),
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).to_string()),
                Ok(n) => {
                    bytes = &bytes[n..];
                    let client = &self.link.client;
                    client.net_out.fetch_add(n as u64, Relaxed);
                    self.sent.fetch_add(n as u64, Relaxed);
                    if let Some(count) = counts {
                        count.fetch_add(n as u64, Relaxed);
                    }
                    progress = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    let timeout = self.primary()?.timeout();
                    if progress.elapsed() > timeout {
                        return Err(format!("it took nothing for {} seconds", timeout.as_secs()));
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            if self.link.state() == State::Gone {
                return Err("it has left".into());
            }
        }
    }
}

/// Takes in what a replica says, until it says nothing more.
fn listen(
    primary: &Weak<Primary>,
    link: &Arc<Link>,
    mut reader: Box<dyn Read + Send>,
    mut unread: Vec<u8>,
) {
    let mut buffer = vec![0; 4096];
    loop {
        if take_in(primary, link, &mut unread).is_err() || link.state() == State::Gone {
            break;
        }
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                link.client.net_in.fetch_add(n as u64, Relaxed);
                link.heard();
                unread.extend_from_slice(&buffer[..n]);
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    if link.state() != State::Gone {
        tracing::info!("The replica {} has left", link.who());
    }
    match primary.upgrade() {
        Some(primary) => primary.end_link(link),
        None => link.close(),
    }
}

/// Takes the whole commands out of what has come. An error: it cannot be understood.
fn take_in(primary: &Weak<Primary>, link: &Arc<Link>, unread: &mut Vec<u8>) -> Result<(), ()> {
    while !unread.is_empty() {
        let mut batch = Batch::new();
        let (taken, error) = batch.fill(&mut Parser::new(), unread, &Limits::default(), 64);
        if error.is_some() || unread.len() > MOST_UNREAD {
            tracing::warn!("The replica {} says what cannot be understood", link.who());
            return Err(());
        }
        for at in 0..batch.len() {
            // An empty line is a sign of life.
            let command = batch.get(at).first().copied().unwrap_or(b"replconf");
            if !command.eq_ignore_ascii_case(b"replconf") {
                // The answer would stand in the middle of the stream, and without one it might wait for ever.
                tracing::warn!(
                    "The replica {} asks for '{}', which cannot be answered in its stream: it is disconnected",
                    link.who(),
                    command.escape_ascii()
                );
                return Err(());
            }
            acknowledge(primary, link, batch.get(at));
        }
        if !batch.is_empty() {
            note_command(primary, link, &batch);
        }
        drop(batch);
        if taken == 0 {
            break;
        }
        unread.drain(..taken);
    }
    Ok(())
}

/// CLIENT LIST shows what a replica says as commands of it.
fn note_command(primary: &Weak<Primary>, link: &Arc<Link>, batch: &Batch<'_>) {
    let engine = primary.upgrade().and_then(|primary| primary.engine().ok());
    let Some(engine) = engine else { return };
    let client = &link.client;
    let last = batch.get(batch.len() - 1).first();
    client.note_commands(
        batch.len() as u64,
        last.and_then(|name| engine.command_id(name)),
    );
    client.active_s.store(unix_ms() / 1000, Relaxed);
}

/// REPLCONF ACK offset [FACK offset]. Nothing else that a replica says so is of interest.
fn acknowledge(primary: &Weak<Primary>, link: &Arc<Link>, argv: &[&[u8]]) {
    let Some((_, options)) = argv.split_first() else {
        return;
    };
    let mut acknowledged = false;
    for pair in options.chunks_exact(2) {
        let number = resp::number::parse_i64(pair[1]).and_then(|n| u64::try_from(n).ok());
        let Some(offset) = number else { continue };
        if pair[0].eq_ignore_ascii_case(b"ack") {
            link.acked.fetch_max(offset, Relaxed);
            acknowledged = true;
        } else if pair[0].eq_ignore_ascii_case(b"fack") {
            link.on_disk.store(offset, Relaxed);
        }
    }
    if acknowledged {
        link.has_acked.store(true, Relaxed);
        link.changed.notify_all();
        if let Some(primary) = primary.upgrade() {
            primary.acknowledged_something();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_what_it_can_load() {
        let form = |announced: Announced| {
            let form = Form::of(&announced);
            (form.version, form.for_replica)
        };
        let of_version = |version| Announced {
            version,
            ..Announced::default()
        };
        assert_eq!(form(Announced::default()), (Version::V10, true));
        assert_eq!(form(of_version(0x0008_0108)), (Version::V11, true));
        assert_eq!(form(of_version(0x0009_0102)), (Version::Valkey80, true));
        let redis_8 = Announced {
            redis_8: true,
            ..Announced::default()
        };
        assert_eq!(form(redis_8), (Version::V12, true));
        let redpoll = Announced {
            redpoll: true,
            ..Announced::default()
        };
        assert_eq!(form(redpoll), (Version::V11, false));
    }
}
