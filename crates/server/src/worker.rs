//! A worker thread: a single-threaded runtime whose tasks are its connections.
//!
//! What a connection needs only while it is being served (a buffer to read into, the engine's scratch space, a buffer for
//! replies) exists once per worker, in [`Kit`], and is lent to one connection after the other. So an idle connection
//! costs its socket and little else. The kit is thread-local and borrowed only within one poll of one task, which
//! is why tasks on this thread never find it taken.

use crate::connection::Connection;
use engine::Origin;
use engine::{Engine, Progress, Session};
use parking_lot::Mutex;
use resp::{Batch, Out, Proto};
use socket2::Socket;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, Release},
};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Bytes of the shared read buffer: room for a deep pipeline, small enough to stay in the second-level cache.
const READ_BYTES: usize = 64 * 1024;

/// Address space of a worker's or helper's stack, in bytes: scripts may nest calls 200 deep. Only what is used takes memory.
const STACK_BYTES: usize = 8 << 20;

/// Helper threads a worker may have for commands that take long.
const HELPERS: usize = 4;

/// A client that has been accepted and not yet served.
pub(crate) struct Arrival {
    pub socket: Socket,
    pub origin: Origin,
}

/// Whether the server goes on, and how long connections have if it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Stopping { patience: Duration },
}

/// An order to give freed memory back to the system.
#[derive(Clone, Copy, Default)]
pub(crate) struct GiveBack {
    /// Later ones have higher numbers.
    pub number: u64,
    /// Does it for the thread that calls it.
    pub collect: Option<fn()>,
}

/// What others may know of a worker.
#[derive(Default)]
pub(crate) struct Load {
    /// Connections it has, or has been sent.
    pub connections: AtomicUsize,
    /// Bytes it has read from sockets. Written by the worker alone.
    pub bytes_in: AtomicU64,
    /// Bytes it has written to sockets. Written by the worker alone.
    pub bytes_out: AtomicU64,
    /// How often it has read something from a socket. Written by the worker alone.
    pub reads: AtomicU64,
    /// How often it has written to one. Written by the worker alone.
    pub writes: AtomicU64,
    /// The last order to give memory back that it has carried out.
    pub given_back: AtomicU64,
}

/// A worker as the control thread sees it.
pub(crate) struct Handle {
    pub load: Arc<Load>,
    pub arrivals: mpsc::UnboundedSender<Arrival>,
    pub thread: JoinHandle<()>,
}

/// What helper threads execute long commands with: as many of the engine's workers as were ever needed at once.
pub(crate) struct Helpers {
    engine: Arc<Engine>,
    idle: Mutex<Vec<engine::Worker>>,
}

impl Helpers {
    pub fn new(engine: Arc<Engine>) -> Helpers {
        Helpers {
            engine,
            idle: Mutex::default(),
        }
    }

    /// Executes the first command of a batch, on a thread that may take its time.
    pub fn run_long(&self, session: &mut Session, batch: &Batch<'_>, out: &mut Out) -> Progress {
        let idle = self.idle.lock().pop();
        let mut worker = idle.unwrap_or_else(|| self.engine.worker());
        let progress = worker.run_long(session, batch, 0, out);
        self.idle.lock().push(worker);
        progress
    }
}

/// What the connections of a worker share.
pub(crate) struct Kit {
    pub read: Box<[u8]>,
    pub engine: Arc<Engine>,
    pub worker: engine::Worker,
    pub helpers: Arc<Helpers>,
    pub batch: Batch<'static>,
    pub out: Out,
    pub load: Arc<Load>,
    /// True once connections are to flush and leave.
    pub stopping: bool,
    tasks: Tasks,
}

/// The wakers of a worker's connections, so that all of them can be told to stop.
#[derive(Default)]
struct Tasks {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

thread_local! {
    static KIT: RefCell<Option<Kit>> = const { RefCell::new(None) };
}

/// Lends the kit of this worker for the time of a call; None outside a worker, or within another such call.
pub(crate) fn with_kit<R>(f: impl FnOnce(&mut Kit) -> R) -> Option<R> {
    KIT.try_with(|kit| Some(f(kit.try_borrow_mut().ok()?.as_mut()?)))
        .ok()
        .flatten()
}

impl Kit {
    /// Adds a task to those woken when the worker stops; returns its slot.
    pub fn register(&mut self, waker: &Waker) -> usize {
        let tasks = &mut self.tasks;
        let slot = tasks.free.pop().unwrap_or_else(|| {
            tasks.slots.push(None);
            tasks.slots.len() - 1
        });
        tasks.slots[slot] = Some(waker.clone());
        slot
    }

    /// Takes a task out again.
    pub fn unregister(&mut self, slot: usize) {
        if self
            .tasks
            .slots
            .get_mut(slot)
            .and_then(Option::take)
            .is_some()
        {
            self.tasks.free.push(slot);
        }
    }

    /// Puts right what a panic in another connection's turn may have left behind. The engine catches those of commands, so
    /// that there is hardly ever anything to do, but no client must ever see the replies of another.
    pub fn mend(&mut self) {
        if !self.out.is_empty() {
            self.out.clear();
        }
        if self.read.is_empty() {
            self.read = read_buffer();
        }
    }

    fn wake_all(&self) {
        self.tasks
            .slots
            .iter()
            .flatten()
            .for_each(Waker::wake_by_ref);
    }
}

fn read_buffer() -> Box<[u8]> {
    vec![0; READ_BYTES].into()
}

/// Starts a worker.
///
/// It serves until `phase` says otherwise, then waits for its connections to leave, for as long as their patience lasts.
pub(crate) fn start(
    index: usize,
    engine: Arc<Engine>,
    helpers: Arc<Helpers>,
    phase: watch::Receiver<Phase>,
    give_back: watch::Receiver<GiveBack>,
) -> std::io::Result<Handle> {
    let load = Arc::new(Load::default());
    let (arrivals, received) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(HELPERS)
        .thread_stack_size(STACK_BYTES)
        .thread_name(format!("helper-{index}"))
        .build()?;
    let kit = Kit {
        read: read_buffer(),
        worker: engine.worker(),
        engine: engine.clone(),
        helpers,
        batch: Batch::new(),
        out: Out::new(Proto::Resp2),
        load: load.clone(),
        stopping: false,
        tasks: Tasks::default(),
    };
    let body = move || {
        KIT.with(|place| *place.borrow_mut() = Some(kit));
        runtime.block_on(serve(engine, received, phase, give_back));
        // A command still running on a helper thread is not waited for: its client has been given up.
        runtime.shutdown_background();
        KIT.with(|place| place.borrow_mut().take());
    };
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .stack_size(STACK_BYTES)
        .spawn(body)?;
    Ok(Handle {
        load,
        arrivals,
        thread,
    })
}

/// The main task of a worker: makes a task of each arrival until the server stops.
async fn serve(
    engine: Arc<Engine>,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    mut phase: watch::Receiver<Phase>,
    mut give_back: watch::Receiver<GiveBack>,
) {
    // Signalled by each connection that ends.
    let ended = Arc::new(Notify::new());
    let patience = loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => match Connection::new(arrival, &engine, &ended) {
                    Ok(connection) => drop(tokio::spawn(connection)),
                    Err(error) => tracing::debug!("Could not serve a connection: {error}"),
                },
                None => break Duration::ZERO,
            },
            Ok(()) = give_back.changed() => {
                let order = *give_back.borrow_and_update();
                if let Some(collect) = order.collect {
                    collect();
                }
                with_kit(|kit| kit.load.given_back.store(order.number, Release));
            }
            changed = phase.changed() => match (changed, *phase.borrow_and_update()) {
                (Ok(()), Phase::Serving) => {}
                (Ok(()), Phase::Stopping { patience }) => break patience,
                (Err(_), _) => break Duration::ZERO,
            },
        }
    };
    let load = with_kit(|kit| {
        kit.stopping = true;
        kit.wake_all();
        kit.load.clone()
    });
    let Some(load) = load else { return };
    arrivals.close();
    while arrivals.try_recv().is_ok() {
        load.connections.fetch_sub(1, Relaxed);
    }
    let gone = async {
        while load.connections.load(Relaxed) > 0 {
            ended.notified().await;
        }
    };
    // Those that are left are closed with the runtime.
    let _ = tokio::time::timeout(patience, gone).await;
}
