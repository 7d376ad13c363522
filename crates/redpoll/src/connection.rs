//! Commands through dispatch, as a client of the server has them.

use crate::durability::{Durability, settle};
use crate::error::{Error, Result};
use crate::reply::{closed, reply_of};
use crate::threads::PerThread;
use crate::updating::check_not_updating;
use crate::value::Value;
use engine::CHANGES_SESSION;
use engine::{Engine, Kind, Next, Origin, Session, Worker};
use engine::{GiveUp, Waiter};
use parking_lot::Mutex;
use resp::{Batch, Out, Proto};
use std::any::Any;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// Executes commands one after another with a state of its own, like a client's connection: a selected database, a
/// name, and so on. Made by [`Db::connect`](crate::Db::connect), for the database that the `Db` works on.
///
/// ```
/// # use redpoll::{Db, Config, Value};
/// # let db = Db::open(Config::default())?;
/// let mut connection = db.connect()?;
/// connection.execute(["SELECT", "2"])?;
/// connection.execute(["SET", "k", "v"])?;
/// assert_eq!(db.select(2)?.get("k")?.unwrap(), "v");
/// # Ok::<(), redpoll::Error>(())
/// ```
pub struct Connection {
    worker: Worker,
    session: Session,
    batch: Batch<'static>,
    out: Out,
    /// The engine has ended it (QUIT, SHUTDOWN, CLIENT KILL): it executes nothing any more.
    closed: bool,
    asked: Option<Durability>,
    /// The last piece of the journal that was settled.
    settled: u64,
    /// What it works on is kept open by it.
    held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Connection {
    pub(crate) fn new(engine: &Arc<Engine>, db: usize, asked: Option<Durability>) -> Connection {
        Connection {
            worker: engine.worker(),
            session: new_session(engine, db),
            batch: Batch::new(),
            out: Out::new(Proto::Resp3),
            closed: false,
            asked,
            settled: 0,
            held: None,
        }
    }

    /// Keeps the data set open for as long as this is there. (A connection of the pool does not: the data set holds it.)
    pub(crate) fn hold(&mut self, data_set: Arc<dyn Any + Send + Sync>) {
        self.held = Some(data_set);
    }

    /// Carries out a command; see [`Db::execute`](crate::Db::execute). After `CLIENT REPLY OFF` the result is [`Value::Null`].
    pub fn execute<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Result<Value> {
        let args: smallvec::SmallVec<[A; 8]> = args.into_iter().collect();
        let args: smallvec::SmallVec<[&[u8]; 8]> = args.iter().map(AsRef::as_ref).collect();
        self.call(&args)
    }

    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Result<Value> {
        check_not_updating()?;
        if self.closed || self.session.client().kill_requested() {
            return Err(closed());
        }
        let most = self.session.limits().max_bulk_bytes;
        if args.is_empty() {
            return Err(Error::new("ERR there is no command without a name"));
        }
        if args.iter().any(|a| a.len() > most) {
            return Err(Error::new("ERR Protocol error: invalid bulk length"));
        }
        let mut batch = std::mem::take(&mut self.batch).recycle();
        batch.push(args);
        let mut from = 0;
        let mut served = 0;
        while from < batch.len() {
            // Long commands may run right here: this thread has nobody else to serve.
            let progress = self
                .worker
                .run_long(&mut self.session, &batch, from, &mut self.out);
            from = progress.executed;
            match progress.next {
                Next::Done | Next::Elsewhere => {}
                Next::Close | Next::CloseNow | Next::GiveAway(_) => {
                    self.closed = true;
                    break;
                }
                // Whoever is to wake this thread must know it before.
                Next::Retry(time) if !self.wakes_this_thread() => std::thread::park_timeout(time),
                Next::Retry(_) => {}
                Next::Offload(job) => job(&mut self.out),
                Next::Block(waiter) => served = self.wait(&waiter),
            }
        }
        self.batch = batch.recycle();
        let reply = reply_of(&mut self.out);
        self.settle(served)?;
        match reply? {
            Some(value) => Ok(value),
            None if self.closed => Err(closed()),
            None => Ok(Value::Null),
        }
    }

    /// Returns when what this connection has changed, or what served it did (`served`), is as durable as was asked for.
    pub(crate) fn settle(&mut self, served: u64) -> Result {
        let piece = self.session.piece().max(served);
        if piece > self.settled {
            settle(self.session.engine(), piece, self.asked)?;
            self.settled = piece;
        }
        Ok(())
    }

    /// What runs its commands.
    pub(crate) fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }

    /// See [`Worker::update`].
    pub(crate) fn update<R>(
        &mut self,
        keys: &[&[u8]],
        work: impl for<'e> FnOnce(engine::Update<'e>) -> (R, engine::Update<'e>),
    ) -> engine::Result<R> {
        let (session, out) = (&mut self.session, &mut self.out);
        self.worker.update(session, keys, out, work)
    }
}

/// The state of a connection of the program's own.
pub(crate) fn new_session(engine: &Arc<Engine>, db: usize) -> Session {
    let mut session = engine.session(Origin {
        addr: String::new(),
        laddr: String::new(),
        fd: -1,
        kind: Kind::Embedded,
        waker: None,
    });
    session.set_proto(Proto::Resp3);
    session.select(db);
    session
}

impl Connection {
    /// Lets this thread sleep until a blocking command has its reply. Returns the piece of the journal that has what served it.
    fn wait(&mut self, waiter: &Arc<Waiter>) -> u64 {
        self.session
            .client()
            .set_waker(&Waker::from(Arc::new(Unpark(std::thread::current()))));
        loop {
            if let Some(mut reply) = waiter.take_reply() {
                self.out.append(&mut reply);
                let engine = self.session.engine();
                return match engine.journal.is_on() {
                    true => engine.piece_of_served(waiter),
                    false => 0,
                };
            }
            match waiter
                .until
                .map(|u| u.saturating_duration_since(Instant::now()))
            {
                Some(Duration::ZERO) => {
                    // If it has been served in this very moment, that is the reply.
                    let counters = self.worker.counters();
                    self.session
                        .engine()
                        .follow
                        .give_up(waiter, GiveUp::Timeout, counters);
                }
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }
}

impl Connection {
    /// Has this thread woken when a command may be tried again; whether that is new.
    fn wakes_this_thread(&self) -> bool {
        let waker = store::parked::this_thread();
        self.session.client().set_waker(&waker)
    }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The connections that single commands use: one for each thread, so that its memory stays with the thread's core.
pub(crate) struct Idle(PerThread<Mutex<Option<Connection>>>);

impl Idle {
    pub(crate) const fn new() -> Idle {
        Idle(PerThread::new())
    }

    fn own(&self) -> &Mutex<Option<Connection>> {
        self.0.get(Mutex::default)
    }

    pub(crate) fn take(
        &self,
        engine: &Arc<Engine>,
        db: usize,
        asked: Option<Durability>,
    ) -> Connection {
        let idle = self.own().lock().take();
        match idle {
            Some(mut connection) => {
                connection.session.select(db);
                connection.asked = asked;
                connection
            }
            None => Connection::new(engine, db, asked),
        }
    }

    /// Keeps a connection, unless the command may have changed its state.
    pub(crate) fn give_back(&self, engine: &Engine, connection: Connection, args: &[&[u8]]) {
        let changed = !args.is_empty()
            && engine
                .resolve(args)
                .is_some_and(|entry| entry.command.has(CHANGES_SESSION));
        if !changed && !connection.closed {
            *self.own().lock() = Some(connection);
        }
    }
}
