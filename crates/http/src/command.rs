//! Running commands for the page: on a helper thread, on a session that is there for one request.

use crate::json::{self, Budget};
use crate::peer::Peer;
use engine::{Engine, GiveUp, Kind, Next, Origin, Session, Waiter, Worker};
use parking_lot::Mutex;
use resp::{Batch, Out, Proto};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// How long a blocking command waits at most.
const MOST_BLOCKED: Duration = Duration::from_secs(10);

/// Engine's workers that are kept for the next request.
const KEPT: usize = 4;

/// What commands are run with: as many of the engine's workers as were needed at once.
pub(crate) struct Workers {
    engine: Arc<Engine>,
    idle: Mutex<Vec<Worker>>,
}

impl Workers {
    pub fn new(engine: Arc<Engine>) -> Workers {
        Workers {
            engine,
            idle: Mutex::default(),
        }
    }

    /// Lends a worker for the time of a call.
    pub fn with<R>(&self, work: impl FnOnce(&mut Worker) -> R) -> R {
        let idle = self.idle.lock().pop();
        let mut worker = idle.unwrap_or_else(|| self.engine.worker());
        let result = work(&mut worker);
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(worker);
        }
        result
    }
}

/// A session for somebody at the other end of a connection. Like any client's it is the default user's at first, or nobody's.
pub(crate) fn session(engine: &Arc<Engine>, peer: Peer, name: &str) -> Session {
    let mut session = engine.session(Origin {
        addr: peer.address.to_string(),
        laddr: peer.local.to_string(),
        fd: -1,
        kind: Kind::Tcp,
        waker: None,
    });
    session.set_proto(Proto::Resp3);
    session.client().words.lock().name = name.to_owned();
    session
}

/// Why a request was not answered by a reply.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The request is wrong, and why.
    Request(String),
    /// The connection would have been closed by the server.
    Closed,
    /// What was changed could not be kept, as was promised.
    NotKept(String),
}

/// Runs one command; its reply is appended to `out`. The thread may stand still for as long as the command takes. True if a
/// connection would be closed after it.
pub(crate) fn run(
    worker: &mut Worker,
    session: &mut Session,
    args: &[&[u8]],
    out: &mut Out,
) -> Result<bool, Failed> {
    let most = session.limits().max_bulk_bytes;
    if args.is_empty() || args.iter().any(|arg| arg.len() > most) {
        return Err(Failed::Request(
            "no command, or an argument too long".into(),
        ));
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    session.client().set_waker(&waker);
    let mut batch = Batch::new();
    batch.push(args);
    let (mut at, mut served, mut closes) = (0, 0, false);
    while at < batch.len() {
        if session.client().kill_requested() {
            return Err(Failed::Closed);
        }
        // This thread has nobody else to serve: what takes long may take long here.
        let progress = worker.run_long(session, &batch, at, out);
        at = progress.executed;
        match progress.next {
            Next::Done | Next::Elsewhere => {}
            Next::Close => closes = true,
            Next::CloseNow => return Err(Failed::Closed),
            // Of a replica, which has no place in a request.
            Next::GiveAway(_) => return Err(Failed::Closed),
            Next::Retry(time) => std::thread::park_timeout(time),
            Next::Offload(job) => job(out),
            Next::Block(waiter) => served = wait(worker, session, &waiter, out)?,
        }
        if closes {
            break;
        }
    }
    settle(session, served)?;
    Ok(closes)
}

/// Waits until a blocking command is served or its time is over. Returns the piece of the journal that has what served it.
fn wait(
    worker: &Worker,
    session: &Session,
    waiter: &Arc<Waiter>,
    out: &mut Out,
) -> Result<u64, Failed> {
    let engine = session.engine();
    let most = Instant::now() + MOST_BLOCKED;
    let until = waiter.until.map_or(most, |until| until.min(most));
    loop {
        if let Some(mut reply) = waiter.take_reply() {
            out.append(&mut reply);
            return Ok(match engine.journal.is_on() {
                true => engine.piece_of_served(waiter),
                false => 0,
            });
        }
        if session.client().kill_requested() {
            return Err(Failed::Closed);
        }
        match until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => std::thread::park_timeout(left),
            // If it has been served in this very moment, that is the reply.
            _ => {
                let counters = worker.counters();
                engine.follow.give_up(waiter, GiveUp::Timeout, counters);
            }
        }
    }
}

/// Returns once what the session has changed is as durable as every client is promised.
fn settle(session: &Session, served: u64) -> Result<(), Failed> {
    let piece = session.piece().max(served);
    match session.engine().persistence() {
        Some(keeper) if piece > 0 && keeper.promises() => {
            keeper.sync(piece).map_err(Failed::NotKept)
        }
        _ => Ok(()),
    }
}

/// What the page wants to have run.
#[derive(Debug)]
pub(crate) struct Call {
    pub db: usize,
    /// One, whose reply is the answer's; else several with a list of theirs.
    pub commands: Vec<Vec<Vec<u8>>>,
    pub single: bool,
    /// Bytes of a string that are shown.
    pub limit: usize,
}

/// Runs what the page wants, and returns its answer.
pub(crate) fn answer(
    workers: &Workers,
    session: &mut Session,
    call: &Call,
) -> Result<String, Failed> {
    if call.db >= session.engine().keyspace().databases() {
        return Err(Failed::Request("there is no such database".into()));
    }
    let began = Instant::now();
    let (mut text, mut bytes) = (String::new(), 0);
    text.push_str(if call.single {
        "{\"reply\":"
    } else {
        "{\"replies\":["
    });
    let mut budget = Budget::new(call.limit);
    session.select(call.db);
    workers.with(|worker| {
        let mut closed = false;
        for (i, command) in call.commands.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            let mut out = Out::new(session.proto);
            if !closed {
                let args: Vec<&[u8]> = command.iter().map(|arg| &**arg).collect();
                closed = run(worker, session, &args, &mut out)?;
            } else {
                out.error("ERR the command before this one closed the connection");
            }
            bytes += out.len();
            match replies_of(&out, &mut budget) {
                // CLIENT REPLY OFF.
                reply if reply.is_empty() => text.push_str("null"),
                reply => text.push_str(&reply),
            }
        }
        Ok(())
    })?;
    let us = began.elapsed().as_micros();
    text.push_str(if call.single { "" } else { "]" });
    text.push_str(&format!(",\"us\":{us},\"bytes\":{bytes}}}"));
    Ok(text)
}

/// A command's reply; several (SUBSCRIBE of several channels) as a list.
fn replies_of(out: &Out, budget: &mut Budget) -> String {
    let mut text = String::new();
    match json::replies(&mut text, out, budget) {
        0 | 1 => text,
        _ => format!("[{text}]"),
    }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
