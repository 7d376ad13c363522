//! Running commands for the page: on a helper thread, on a session that is there for one request.

use crate::json::{self, Budget};
use crate::peer::Peer;
use engine::{Client, Engine, GiveUp, Kind, Next, Origin, Session, Waiter, Worker};
use parking_lot::Mutex;
use resp::{Batch, Out, Proto};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// How long the commands of one request stand still at most, all together.
pub(crate) const MOST_BLOCKED: Duration = Duration::from_secs(10);

/// What is said of a command that could not begin in that time.
pub(crate) const LATE: &str = "this was not run: clients are paused, or something long has its keys, \
     for longer than a request waits";

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

/// How long a request may still stand still: for blocking commands, at closed gates and for locks. It is for all of its commands, since each of
/// them has one of few threads for as long.
pub(crate) struct Allowance {
    left: Duration,
}

impl Allowance {
    pub fn new(left: Duration) -> Allowance {
        Allowance { left }
    }

    /// Stands still until the thread is woken, and for so long at most.
    fn stand(&mut self, most: Duration) {
        let began = Instant::now();
        std::thread::park_timeout(most.min(self.left));
        self.left = self.left.saturating_sub(began.elapsed());
    }

    fn is_over(&self) -> bool {
        self.left.is_zero()
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
    /// The command could not begin for too long, and was not run.
    Late,
    /// What was changed could not be kept, as was promised.
    NotKept(String),
}

/// Runs one command; its reply is appended to `out`. The thread may stand still for as long as the command takes, and as the allowance
/// lets it. True if a connection would be closed after it.
pub(crate) fn run(
    worker: &mut Worker,
    session: &mut Session,
    args: &[&[u8]],
    out: &mut Out,
    allowance: &mut Allowance,
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
            Next::Retry(_) if allowance.is_over() => return Err(Failed::Late),
            Next::Retry(time) => allowance.stand(time),
            Next::Offload(job) => job(out),
            Next::Block(waiter) => served = wait(worker, session, &waiter, out, allowance)?,
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
    allowance: &mut Allowance,
) -> Result<u64, Failed> {
    let engine = session.engine();
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
        let left = waiter.until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if left.is_zero() || allowance.is_over() {
            // If it has been served in this very moment, that is the reply.
            let counters = worker.counters();
            engine.follow.give_up(waiter, GiveUp::Timeout, counters);
        } else {
            allowance.stand(left);
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
    mut allowance: Allowance,
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
        // Why no further commands are run.
        let mut over = None;
        for (i, command) in call.commands.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            let mut out = Out::new(session.proto);
            match over {
                Some(why) => out.error(why),
                None => {
                    let args: Vec<&[u8]> = command.iter().map(|arg| &**arg).collect();
                    match run(worker, session, &args, &mut out, &mut allowance) {
                        Ok(true) => {
                            over = Some("ERR the command before this one closed the connection");
                        }
                        Ok(false) => {}
                        // What has been run before it is told all the same; what comes behind it may need it.
                        Err(Failed::Late) => {
                            out.error(&format!("BUSY {LATE}"));
                            over = Some("ERR a command before this one was not run");
                        }
                        Err(other) => return Err(other),
                    }
                }
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

/// Somebody who waits for commands of a session. If nobody does any more, since the client has gone, they are given up.
pub(crate) struct Awaited(Option<Arc<Client>>);

impl Awaited {
    pub fn new(session: &Session) -> Awaited {
        Awaited(Some(session.client().clone()))
    }

    /// They are done.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            client.kill();
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use engine::NoHost;
    use engine::config::Config;

    fn peer() -> Peer {
        let address = ([127, 0, 0, 1], 1).into();
        Peer {
            address,
            local: address,
            encrypted: false,
        }
    }

    fn call(commands: &[&str]) -> Call {
        let words = |command: &&str| command.split(' ').map(|word| word.into()).collect();
        Call {
            db: 0,
            commands: commands.iter().map(words).collect(),
            single: false,
            limit: 100,
        }
    }

    /// The replies to commands that may stand still for a moment.
    fn answered(workers: &Workers, session: &mut Session, commands: &[&str]) -> String {
        let allowance = Allowance::new(Duration::from_millis(20));
        let answer = answer(workers, session, &call(commands), allowance).expect("an answer");
        let (replies, _) = answer.split_once(",\"us\"").expect("a time");
        replies.to_owned()
    }

    fn engine() -> (Arc<Engine>, Workers) {
        let engine = Engine::new(Config::default(), Arc::new(NoHost));
        let workers = Workers::new(engine.clone());
        (engine, workers)
    }

    /// None of these would come back by itself.
    #[test]
    fn all_commands_of_a_request_have_one_allowance() {
        let (engine, workers) = engine();
        let mut session = session(&engine, peer(), "one");
        let commands = ["SET k v", "BLPOP q 0", "BLPOP q 0", "GET k"];
        assert_eq!(
            answered(&workers, &mut session, &commands),
            r#"{"replies":[{"status":"OK"},null,null,"v"]"#
        );
        let mut allowance = Allowance::new(Duration::from_millis(20));
        for _ in 0..2 {
            let mut out = Out::new(Proto::Resp3);
            let ran = workers.with(|worker| {
                let argv: [&[u8]; 3] = [b"BLPOP", b"q", b"0"];
                run(worker, &mut session, &argv, &mut out, &mut allowance)
            });
            assert!(matches!(ran, Ok(false)));
            assert!(allowance.is_over());
        }
    }

    #[test]
    fn what_cannot_begin_is_told_and_nothing_runs_behind_it() {
        let (engine, workers) = engine();
        let mut session = session(&engine, peer(), "paused");
        let commands = ["GET k", "CLIENT PAUSE 1000000 WRITE", "SET k v", "GET k"];
        let replies = answered(&workers, &mut session, &commands);
        let late = format!("{{\"error\":\"BUSY {LATE}\"}}");
        let behind = r#"{"error":"ERR a command before this one was not run"}"#;
        assert_eq!(
            replies,
            format!("{{\"replies\":[null,{{\"status\":\"OK\"}},{late},{behind}]")
        );
    }

    #[test]
    fn commands_that_nobody_waits_for_are_given_up() {
        let (engine, workers) = engine();
        let mut session = session(&engine, peer(), "gone");
        let awaited = Awaited::new(&session);
        let calls = call(&["BLPOP q 0"; 3]);
        let answer = std::thread::scope(|scope| {
            let client = session.client().clone();
            let blocks = scope.spawn(|| {
                answer(
                    &workers,
                    &mut session,
                    &calls,
                    Allowance::new(Duration::MAX),
                )
            });
            while !client.is_blocked() {
                std::thread::yield_now();
            }
            drop(awaited);
            blocks.join().expect("an end")
        });
        assert!(matches!(answer, Err(Failed::Closed)));
        // Who is done is not killed.
        let other = super::session(&engine, peer(), "done");
        Awaited::new(&other).done();
        assert!(!other.client().kill_requested());
    }
}
