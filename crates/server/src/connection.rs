//! One client: read what has come, execute it, write the replies.
//!
//! A connection is a task of its worker's runtime, and all of its work happens within one poll: it reads into the worker's
//! buffer, finds the complete commands there, has the engine execute them, and writes their replies with one write. Then
//! it gives the worker's buffers back and waits. Only what is left over (an incomplete command, replies that the socket
//! did not take) moves into buffers of its own.
//!
//! # Fairness and slow clients
//!
//! In one poll a connection executes [`TURN`] commands at most; then its neighbours have their turn. While more than
//! [`CLOGGED`] bytes of replies are unsent it executes nothing. It still reads, up to `client-query-buffer-limit`: many clients
//! send a whole pipeline before they read the first reply, and would wait forever for a server that stopped reading.

use crate::input::Input;
use crate::output::Unsent;
use crate::stream::Stream;
use crate::worker::{Arrival, Kit, Load, with_kit};
use engine::{Engine, Next, Session};
use resp::{Batch, Limits, Out, Parser};
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

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

/// Bytes of a client's that are read and dropped when a connection is closed on it.
const DISCARD: usize = 1024 * 1024;

/// What a connection waits for before it goes on with its commands.
enum Busy {
    /// A command that answers after a while.
    Sleep(Pin<Box<Sleep>>),
    /// A command that runs on a helper thread.
    Helper(JoinHandle<Out>),
}

/// A client's connection, a future that ends with it.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    parser: Parser,
    input: Input,
    unsent: Option<Box<Unsent>>,
    busy: Option<Busy>,
    /// Whether `input` may hold commands that are complete.
    ready: bool,
    /// The client sends nothing more.
    ended: bool,
    /// Nothing more is executed; the connection ends when its replies are sent.
    closing: bool,
    /// Whether the client's buffer sizes were last reported as other than zero.
    reported: bool,
    slot: Option<usize>,
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
    /// Takes an accepted client in. Called on its worker's thread, within the runtime.
    pub fn new(arrival: Arrival, engine: &Arc<Engine>, on_end: &Arc<Notify>) -> io::Result<Connection> {
        let load = with_kit(|kit| kit.load.clone()).ok_or_else(|| io::Error::other("not on a worker"))?;
        let keepalive = engine.config().live.tcp_keepalive_s.load(Relaxed);
        let stream = Stream::new(arrival.socket, keepalive).inspect_err(|_| {
            load.connections.fetch_sub(1, Relaxed);
        })?;
        Ok(Connection {
            stream,
            session: engine.session(arrival.origin),
            parser: Parser::new(),
            input: Input::default(),
            unsent: None,
            busy: None,
            ready: false,
            ended: false,
            closing: false,
            reported: false,
            slot: None,
            load,
            on_end: on_end.clone(),
        })
    }

    /// Does all that can be done now. `Ready` is the end of the connection.
    fn drive(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Poll<()> {
        if self.slot.is_none() {
            self.slot = Some(kit.register(cx.waker()));
            self.session.client().set_waker(cx.waker());
        }
        match self.serve(cx, kit) {
            Ok(()) => {
                self.report();
                Poll::Pending
            }
            Err(Over) => Poll::Ready(()),
        }
    }

    /// Serves the client until there is nothing to do but wait, with wakers in place for whatever comes next.
    fn serve(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Result<(), Over> {
        let mut turn = TURN;
        loop {
            if self.session.client().kill_requested() {
                return Err(Over);
            }
            if let Some(busy) = &mut self.busy {
                match poll_busy(busy, cx) {
                    Poll::Pending => {
                        self.flush(cx, kit)?;
                        return Ok(());
                    }
                    Poll::Ready(out) => {
                        self.busy = None;
                        if let Some(mut out) = out {
                            self.send(&mut out, kit)?;
                        }
                    }
                }
            }
            self.flush(cx, kit)?;
            self.closing |= kit.stopping || (self.ended && !self.ready);
            if self.closing {
                if self.unsent.is_none() {
                    self.say_goodbye(cx, kit);
                    return Err(Over);
                }
                return Ok(());
            }
            let clogged = self.unsent_bytes() >= CLOGGED;
            if self.ready && !clogged {
                if turn == 0 {
                    cx.waker().wake_by_ref();
                    return Ok(());
                }
                let (bytes, start) = self.input.take();
                let ran = self.run(&bytes[start..], kit, &mut turn);
                let ran = ran?;
                self.ready = ran.more;
                self.input.restore(bytes, start + ran.consumed);
                continue;
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
                Poll::Ready(Ok(n)) => {
                    add(&kit.load.bytes_in, n);
                    add(&self.session.client().net_in, n);
                }
            }
        }
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
                buffer[..left].copy_from_slice(self.input.as_slice());
                let bytes = &buffer[..left + n];
                self.run(bytes, kit, turn).map(|ran| {
                    self.ready = ran.more;
                    if ran.consumed < bytes.len() || left > 0 {
                        self.input.replace(&bytes[ran.consumed..]);
                    }
                    Poll::Ready(Ok(n))
                })
            }
            other => Ok(other.map_ok(|()| n)),
        };
        kit.read = buffer;
        result
    }

    /// Reads into the connection's own buffer: a long argument, or what has to wait.
    fn read_aside(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Poll<io::Result<usize>> {
        let limit = self.session.query_limit();
        if self.input.len() >= limit {
            tracing::warn!("Closing client {}: over client-query-buffer-limit", self.session.client().addr);
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let missing = if self.ready { 0 } else { self.parser.missing_bytes(self.input.len()) };
        let room = self.input.room(missing);
        let mut unread = ReadBuf::uninit(room.spare_capacity_mut());
        let _ = (&mut unread, cx, kit);
        Poll::Pending
    }
}
