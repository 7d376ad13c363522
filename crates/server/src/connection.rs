//! One client: read what has come, execute it, write the replies.
//!
//! A connection is a task of its worker's runtime, and all of its work happens within one poll: it reads into the worker's
//! buffer, finds the complete commands there, has the engine execute them, and leaves their replies to be sent with those of its
//! neighbours ([`crate::outbox`]), or writes them if they are long. Then it gives the worker's buffers back and waits. Only what is left over (an incomplete command, replies that the socket
//! did not take) moves into buffers of its own.
//!
//! # Fairness and slow clients
//!
//! In one poll a connection executes [`TURN`] commands at most; then its neighbours have their turn. While more than
//! [`CLOGGED`] bytes of replies are unsent it executes nothing. It still reads, up to `client-query-buffer-limit`: many clients
//! send a whole pipeline before they read the first reply, and would wait forever for a server that stopped reading.

mod busy;
mod sending;

use crate::input::Input;
use crate::output::Unsent;
use crate::seat::{Arrival, Kit, Load, Seat, be_seated, with_kit};
use crate::stream::Stream;
use crate::tls;
use busy::Busy;
use engine::{Client, Progress, Session, TakeOver};
use resp::{Batch, Limits, Parser};
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::ReadBuf;
use tokio::sync::Notify;

/// Commands executed before other connections have their turn.
const TURN: usize = 512;

/// Commands executed between two looks at how much there is to send.
const BATCH: usize = 128;

/// Reply bytes that are sent before more commands are executed.
const FLUSH: usize = 64 * 1024;

/// Unsent reply bytes at which a connection stops executing.
const CLOGGED: usize = 1024 * 1024;

/// Leftovers up to this size are copied to the front of the worker's buffer before the next read, so that most commands
/// are executed from there. Longer ones are received in the connection's own buffer.
const SMALL_LEFTOVER: usize = 8 * 1024;

/// From so many bytes on, what a client sends is reported while it is received.
const LARGE_INPUT: usize = 256 * 1024;

/// Bytes of a client's that are read and dropped when a connection is closed on it.
const DISCARD: usize = 1024 * 1024;

/// A client's connection, a future that ends with it.
pub(crate) struct Connection {
    stream: Stream,
    client: Arc<Client>,
    /// None while a helper thread has it.
    session: Option<Session>,
    parser: Parser,
    input: Input,
    unsent: Option<Box<Unsent>>,
    /// The sending of the worker's outbox that the last of its replies there are part of; 0 if it has none there.
    sending: u64,
    /// Nothing is sent before this piece of the journal is on the disk (`appendfsync always`).
    held_until: Option<u64>,
    /// The last piece of the session that was waited for, with something in it that this connection has changed.
    durable: u64,
    /// The last one that the worker's task for it knows of.
    announced: u64,
    busy: Option<Busy>,
    /// Whether `input` may hold commands that are complete.
    ready: bool,
    /// An inline command that is still to be executed, rewritten as a request.
    put_back: Vec<u8>,
    /// The input's first command is to be executed on a helper thread.
    elsewhere: bool,
    /// The connection is a client's no more: whom it goes to once its replies are sent.
    given_to: Option<TakeOver>,
    /// The client sends nothing more.
    ended: bool,
    /// Nothing more is executed; the connection ends when its replies are sent.
    closing: bool,
    /// Whether the client's buffer sizes were last reported as other than zero.
    reported: bool,
    /// Whether the client waits for the server, as others were last told.
    attended: bool,
    slot: Option<usize>,
    seat: Arc<Seat>,
    load: Arc<Load>,
    on_end: Arc<Notify>,
}

/// The connection is over, whatever is unsent.
struct Over;

/// What came of executing commands from a buffer.
struct Ran {
    /// Bytes that are done with.
    consumed: usize,
    /// Whether complete commands may be among the rest.
    more: bool,
}

impl Connection {
    /// Takes an accepted client in. Called within its worker's runtime.
    pub fn new(arrival: Arrival, seat: &Arc<Seat>, on_end: &Arc<Notify>) -> io::Result<Connection> {
        let (engine, load) = (&seat.engine, seat.load.clone());
        let config = engine.config();
        let keepalive = config.live.tcp_keepalive_s.load(Relaxed);
        let shown = arrival.secured.as_ref();
        let names = shown.and_then(|s| tls::names(config, s.connection.peer_certificates()));
        let stream = Stream::new(arrival.socket, keepalive, arrival.secured).inspect_err(|_| {
            load.connections.fetch_sub(1, Relaxed);
        })?;
        let mut session = engine.session(arrival.origin);
        session.client().thread.store(seat.index, Relaxed);
        if let Some(names) = names {
            session.sign_in_by_certificate(&names);
        }
        Ok(Connection {
            stream,
            client: session.client().clone(),
            session: Some(session),
            parser: Parser::new(),
            input: Input::default(),
            unsent: None,
            sending: 0,
            held_until: None,
            durable: 0,
            announced: 0,
            busy: None,
            ready: false,
            put_back: Vec::new(),
            elsewhere: false,
            given_to: None,
            ended: false,
            closing: false,
            reported: false,
            attended: false,
            slot: None,
            seat: seat.clone(),
            load,
            on_end: on_end.clone(),
        })
    }

    /// Does all that can be done now. `Ready` is the end of the connection.
    fn drive(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Poll<()> {
        if self.slot.is_none() {
            self.slot = Some(self.seat.register(cx.waker()));
            self.client.set_waker(cx.waker());
        }
        kit.mend();
        kit.engine.sleep_if_asleep();
        self.seat.count_turn();
        match self.serve(cx, kit) {
            Ok(()) => {
                self.report();
                match kit.engine.is_too_large(&self.client) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            }
            Err(Over) => Poll::Ready(()),
        }
    }

    /// Serves the client until there is nothing to do but wait, with wakers in place for whatever comes next.
    fn serve(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Result<(), Over> {
        let mut turn = TURN;
        loop {
            if self.client.kill_requested() {
                return Err(Over);
            }
            if self.sending != 0 && self.seat.is_stuck() {
                self.see_to_replies()?;
            }
            let busy = self.poll_busy(cx, kit)?.is_pending();
            self.take_messages(kit)?;
            let leaving = self.closing || kit.stopping() || (self.ended && !self.ready);
            if leaving || self.given_to.is_some() {
                self.send_held()?;
            }
            if busy {
                self.flush(cx, kit)?;
                return self.mind_the_client(cx, kit);
            }
            self.flush(cx, kit)?;
            if self.given_to.is_some() {
                if self.unsent.is_none() && !self.stream.is_pending() {
                    self.give_away();
                    return Err(Over);
                }
                return if kit.stopping() { Err(Over) } else { Ok(()) };
            }
            self.closing |= leaving;
            if self.closing {
                if self.unsent.is_none() && !self.stream.is_pending() {
                    self.say_goodbye(cx, kit);
                    return Err(Over);
                }
                return Ok(());
            }
            let clogged = self.unsent_bytes() >= CLOGGED;
            if self.ready && !clogged {
                if mem::take(&mut self.elsewhere) {
                    self.start_long(kit);
                    continue;
                }
                if turn == 0 {
                    cx.waker().wake_by_ref();
                    return Ok(());
                }
                let (bytes, start) = self.input.take();
                let ran = self.run(&bytes[start..], kit, &mut turn)?;
                self.input.restore(bytes, start + ran.consumed);
                self.ready = self.prepend() || ran.more;
                continue;
            }
            if let Some(session) = &mut self.session
                && session.is_parked()
            {
                // It has been called and cannot go on: others are not to wait for it.
                session.leave_lines();
            }
            if self.ended {
                return Ok(());
            }
            let arrived = if clogged || self.input.len() > SMALL_LEFTOVER {
                self.read_aside(cx, kit)
            } else {
                self.read_and_run(cx, kit, &mut turn)?
            };
            match arrived {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => return Err(Over),
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Sends what others have for the client. The replies of all that it has had executed went before.
    fn take_messages(&mut self, kit: &mut Kit) -> Result<(), Over> {
        if self.client.outbox.is_empty() {
            return Ok(());
        }
        let mut out = mem::take(&mut kit.out);
        self.client.outbox.drain(&mut out);
        let sent = self.send(&mut out, 0);
        kit.out = out;
        self.not_idle();
        sent
    }

    /// Notes that the client has sent or been sent something, other than a command that was executed and its reply.
    fn not_idle(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        self.client.active_s.store(now, Relaxed);
    }

    /// Reads into the worker's buffer, behind what is left from before, and executes what is there.
    fn read_and_run(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        turn: &mut usize,
    ) -> Result<Poll<io::Result<usize>>, Over> {
        let left = self.input.len();
        // Taken out, so that commands can point into it while the kit serves them.
        let mut buffer = mem::take(&mut kit.read);
        let mut unread = ReadBuf::new(&mut buffer[left..]);
        let read = self.stream.poll_read(cx, &mut unread);
        let n = unread.filled().len();
        let result = match read {
            Poll::Ready(Ok(())) if n > 0 => {
                self.count_in(n);
                buffer[..left].copy_from_slice(self.input.as_slice());
                let bytes = &buffer[..left + n];
                self.run(bytes, kit, turn).map(|ran| {
                    if ran.consumed == 0 {
                        // Part of a command: nothing that was executed says when.
                        self.not_idle();
                    }
                    self.input.replace(&bytes[ran.consumed..]);
                    self.ready = self.prepend() || ran.more;
                    Poll::Ready(Ok(n))
                })
            }
            other => Ok(other.map_ok(|()| n)),
        };
        kit.read = buffer;
        result
    }

    /// While a command blocks, takes in what the client sends meanwhile, and notices that it is gone.
    fn mind_the_client(&mut self, cx: &mut Context<'_>, kit: &Kit) -> Result<(), Over> {
        if matches!(self.busy, Some(Busy::Retry(..))) && kit.stopping() && self.unsent.is_none() {
            // It would not get its locks in time, or CLIENT PAUSE goes on.
            return Err(Over);
        }
        if !matches!(self.busy, Some(Busy::Blocked(..))) {
            return Ok(());
        }
        if kit.stopping() {
            return Err(Over);
        }
        loop {
            match self.read_aside(cx, kit) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Ok(0) | Err(_)) => return Err(Over),
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Reads into the connection's own buffer: a long argument, or what has to wait.
    fn read_aside(&mut self, cx: &mut Context<'_>, kit: &Kit) -> Poll<io::Result<usize>> {
        let live = &kit.engine.config().live;
        if self.input.len() >= live.client_query_buffer_limit.load(Relaxed) {
            self.warn("over client-query-buffer-limit");
            let stats = kit.engine.stats();
            stats.query_limit_disconnections.fetch_add(1, Relaxed);
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let missing = self.parser.missing_bytes(self.input.len());
        let len = self.input.len();
        if len >= LARGE_INPUT && self.input.free() == 0 {
            // It is copied to where there is more room, at most twice as much.
            let more = if missing > 0 { missing.min(len) } else { 0 };
            if !kit.engine.may_buffer(&self.client, more, len) {
                self.warn("what it sends does not fit into memory (maxmemory)");
                return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
            }
        }
        let read = self.stream.poll_read_buf(cx, self.input.room(missing));
        if let Poll::Ready(Ok(n @ 1..)) = read {
            self.count_in(n);
            self.not_idle();
            self.ready = true;
            if self.input.len() >= LARGE_INPUT {
                // It may go on for long before this is reported, and others have to know what it takes.
                self.report();
                if kit.engine.is_too_large(&self.client) {
                    return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
                }
            }
        }
        read
    }

    /// Executes the commands in `bytes`, which begin where the parser left off, and sends their replies.
    fn run(&mut self, bytes: &[u8], kit: &mut Kit, turn: &mut usize) -> Result<Ran, Over> {
        let Some(mut session) = self.session.take() else {
            return Ok(Ran {
                consumed: 0,
                more: true,
            });
        };
        let ran = self.run_as(&mut session, bytes, kit, turn);
        self.session = Some(session);
        ran
    }

    fn run_as(
        &mut self,
        session: &mut Session,
        bytes: &[u8],
        kit: &mut Kit,
        turn: &mut usize,
    ) -> Result<Ran, Over> {
        // What was sent to the client before it sent this goes before the replies.
        self.take_messages(kit)?;
        let mut ran = Ran {
            consumed: 0,
            more: true,
        };
        while !self.must_wait() {
            let limits = session.limits();
            // Whoever is not known yet is read one command at a time, since AUTH changes the limits of the next.
            let most = if limits.authenticated {
                BATCH.min(*turn)
            } else {
                1.min(*turn)
            };
            if most == 0 || self.unsent_bytes() >= CLOGGED {
                break;
            }
            let rest = &bytes[ran.consumed..];
            let mut batch = mem::take(&mut kit.batch).recycle();
            let (taken, error) = batch.fill(&mut self.parser, rest, &limits, most);
            let filled = batch.len();
            let executed = self.execute(session, &batch, kit);
            kit.batch = batch.recycle();
            let executed = executed?;
            *turn = turn.saturating_sub(executed.max(1));
            if executed < filled || self.must_wait() {
                // What follows is parsed again when its time comes.
                self.parser = Parser::new();
                ran.consumed += length_of(rest, executed, &limits);
            } else {
                ran.consumed += taken;
                let rewritten = self.parser.take_rewritten();
                if let Some(command) = &rewritten {
                    self.run_rewritten(session, command, &limits, kit)?;
                    if !self.put_back.is_empty() {
                        break;
                    }
                }
                if let Some(error) = &error {
                    kit.worker.protocol_error(session, error, &mut kit.out);
                    self.closing = true;
                }
                if filled < most && rewritten.is_none() {
                    ran.more = false;
                    break;
                }
            }
            if kit.out.len() >= FLUSH {
                self.send(&mut kit.out, kit.worker.began_ns())?;
            }
        }
        self.send(&mut kit.out, kit.worker.began_ns())?;
        Ok(ran)
    }

    /// Puts a command that was taken out of the input and not executed back before the rest; whether there was one.
    fn prepend(&mut self) -> bool {
        let mut bytes = mem::take(&mut self.put_back);
        if bytes.is_empty() {
            return false;
        }
        bytes.extend_from_slice(self.input.as_slice());
        self.input.replace(&bytes);
        true
    }

    /// Whether the next command is not to be executed here and now.
    fn must_wait(&self) -> bool {
        self.closing || self.elsewhere || self.busy.is_some() || self.given_to.is_some()
    }

    /// Executes a batch as far as it goes and notes what the connection has to do then. Returns how many commands were
    /// executed; the rest of the batch is to be executed later, if at all.
    fn execute(
        &mut self,
        session: &mut Session,
        batch: &Batch<'_>,
        kit: &mut Kit,
    ) -> Result<usize, Over> {
        if batch.is_empty() {
            return Ok(0);
        }
        let Progress { executed, next } = kit.worker.run(session, batch, 0, &mut kit.out);
        self.hold_until(session.piece(), kit);
        if let Err(Over) = self.follow(next, session) {
            kit.out.clear();
            return Err(Over);
        }
        Ok(executed)
    }

    /// Has replies wait for a piece of the journal, if that was promised.
    #[inline]
    fn hold_until(&mut self, piece: u64, kit: &Kit) {
        if piece > self.durable && kit.engine.persistence().is_some_and(|k| k.promises()) {
            self.durable = piece;
            self.held_until = Some(piece);
        }
    }

    /// Has the reply of a command that waited stand behind what served it, which is in this piece at the latest. That one may still be
    /// to come, with something in it then that this connection does later: it has not been waited for.
    fn hold_behind(&mut self, piece: u64) {
        if piece > self.durable {
            self.held_until = Some(piece);
        }
    }

    /// Executes an inline command whose quotes had to be resolved outside of the read buffer.
    fn run_rewritten(
        &mut self,
        session: &mut Session,
        command: &[u8],
        limits: &Limits,
        kit: &mut Kit,
    ) -> Result<(), Over> {
        let mut batch = Batch::new();
        let (_, error) = batch.fill(&mut Parser::new(), command, limits, 1);
        if let Some(error) = error {
            kit.worker.protocol_error(session, &error, &mut kit.out);
            self.closing = true;
        }
        if self.execute(session, &batch, kit)? < batch.len() {
            // Its time comes later: it stands before what has not been executed then.
            self.put_back = command.to_vec();
        }
        Ok(())
    }

    fn warn(&self, reason: &str) {
        let (id, addr) = (self.client.id, &self.client.addr);
        tracing::warn!("Closing client {id} ({addr}): {reason}");
    }

    fn count_in(&self, bytes: usize) {
        add(&self.load.reads, 1);
        add(&self.load.bytes_in, bytes);
        add(&self.client.net_in, bytes);
    }

    /// Ends the conversation so that the client gets the last reply. Closing a socket with unread bytes in it would make
    /// the kernel throw away what the client has not received yet.
    fn say_goodbye(&mut self, cx: &mut Context<'_>, kit: &mut Kit) {
        let _ = self.stream.poll_shutdown(cx);
        let mut dropped = 0;
        while dropped < DISCARD {
            match self.stream.try_read(&mut kit.read) {
                Ok(n @ 1..) => dropped += n,
                _ => break,
            }
        }
    }

    /// Gives the socket, what has come over it and was not looked at, and the session to whoever wants them.
    fn give_away(&mut self) {
        let (Some(to), Some(session)) = (self.given_to.take(), self.session.take()) else {
            return;
        };
        let stream = mem::replace(&mut self.stream, Stream::Gone);
        let (bytes, start) = self.input.take();
        let nodelay = !session.engine().config().flag("repl-disable-tcp-nodelay");
        match stream.into_wire(bytes[start..].to_vec(), nodelay) {
            Ok(wire) => to(session, wire),
            Err(error) => self.warn(&format!(
                "it cannot be given to a thread of its own: {error}"
            )),
        }
    }

    /// Tells the engine's list of clients how much is waiting here, and who waits for whom.
    fn report(&mut self) {
        let (query, reply) = (self.input.len(), self.unsent_bytes());
        let waiting = query + reply > 0;
        if waiting || self.reported {
            let (pieces, shared) = (self.unsent.as_ref())
                .map_or((0, 0), |unsent| (unsent.pieces(), unsent.borne_by_others()));
            self.client
                .set_buffers(query, self.input.free(), reply, pieces);
            self.client.reply_shared.store(shared, Relaxed);
            (self.client.argument_bytes).store(self.parser.memory(), Relaxed);
            self.reported = waiting;
        }
        let blocked = matches!(self.busy, Some(Busy::Blocked(..)));
        let attended = self.busy.is_some() && !blocked || self.held_until.is_some();
        if attended != self.attended {
            self.attended = attended;
            self.client.attended.store(attended, Relaxed);
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.get_mut();
        // Without a kit this is not a worker, and there is nobody to serve the client.
        be_seated(&connection.seat);
        with_kit(|kit| connection.drive(cx, kit)).unwrap_or(Poll::Ready(()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            // What it was promised goes out, and its slot is somebody else's after this.
            let _ = self.send_held();
            self.seat.unregister(slot);
        }
        self.load.connections.fetch_sub(1, Relaxed);
        self.on_end.notify_one();
    }
}

/// The length of the first `commands` commands of `bytes`, which begin at the start of a command.
fn length_of(bytes: &[u8], commands: usize, limits: &Limits) -> usize {
    let (mut parser, mut args) = (Parser::new(), Vec::new());
    let (mut length, mut found) = (0, 0);
    while found < commands {
        args.clear();
        let Ok(Some(taken)) = parser.next(&bytes[length..], limits, &mut args) else {
            break;
        };
        length += taken;
        found += usize::from(!args.is_empty());
    }
    length
}

/// Adds to a counter that only this thread writes.
fn add(counter: &AtomicU64, n: usize) {
    counter.store(counter.load(Relaxed).wrapping_add(n as u64), Relaxed);
}
