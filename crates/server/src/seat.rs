//! A worker's place, whichever thread has it, and what its connections are lent there.
//!
//! What a connection needs only while it is being served (a buffer to read into, the engine's scratch space, a buffer for
//! replies) exists once per worker, in [`Kit`], and is lent to one connection after the other. So an idle connection
//! costs its socket and little else. The kit is thread-local and borrowed only within one poll of one task, which
//! is why tasks on this thread never find it taken.
//!
//! # When the thread is busy for long
//! A command that can neither be put off nor moved to a helper thread (a script in the middle of what cannot be undone) would
//! leave all other connections of its worker waiting. Then [`hand_over`] gives the runtime, with all its tasks, to another thread,
//! which makes itself a kit; the busy one has only its own connection left. That is why the runtime is of the kind that
//! can move to another thread, although it never has more than one.

use crate::commit::Held;
use crate::outbox::{Fate, Outbox};
use crate::tls_stream::Secured;
use engine::{Engine, Origin, Progress, Session, WaitList};
use parking_lot::Mutex;
use resp::{Batch, Out, Proto};
use socket2::Socket;
use std::cell::{Cell, OnceCell, RefCell};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, Release},
};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::runtime::RuntimeFlavor;
use tokio::sync::Notify;

/// Bytes of the shared read buffer: room for a deep pipeline, small enough to stay in the second-level cache.
const READ_BYTES: usize = 64 * 1024;

/// How long [`hand_over`] waits for the thread that takes over.
const HANDING_OVER: Duration = Duration::from_millis(100);

/// Turns of connections after which replies that are held back are sent, though others are ready still.
const TURNS: usize = 32;

/// A client that has been accepted and not yet served.
pub(crate) struct Arrival {
    pub socket: Socket,
    pub origin: Origin,
    /// What was agreed on with a client of TLS.
    pub secured: Option<Box<Secured>>,
}

/// An order to give freed memory back to the system.
#[derive(Clone, Copy, Default)]
pub(crate) struct GiveBack {
    /// Later ones have higher numbers.
    pub number: u64,
    /// Does it for the thread that calls it.
    pub collect: Option<fn()>,
}

/// What others may know of a worker. (While a thread that has handed over ends its command, two write the same numbers, and a
/// count may be lost.)
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
    /// Its thread is at its end.
    pub ended: AtomicBool,
    /// Threads that wait for one of these two.
    pub told: Arc<WaitList>,
    /// The same for the control thread's task.
    pub gone: Notify,
}

impl Load {
    /// Has this thread sleep until that is so, or until then; whether it is.
    pub fn wait_until(&self, then: Instant, is_so: impl Fn(&Load) -> bool) -> bool {
        loop {
            let seen = self.told.seen();
            if is_so(self) {
                return true;
            }
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.told.sleep_for(seen, left);
        }
    }
}

/// Says, when it goes, that a worker's thread is at its end.
pub(crate) struct Ends(pub Arc<Load>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended.store(true, Release);
        self.0.told.call();
        self.0.gone.notify_one();
    }
}

/// What helper threads execute long commands with: as many of the engine's workers as were ever needed at once.
pub(crate) struct Helpers {
    engine: Arc<Engine>,
    idle: Mutex<Vec<engine::Worker>>,
    /// What threads have left that were workers for a while.
    left: Mutex<Vec<engine::Worker>>,
}

impl Helpers {
    pub fn new(engine: Arc<Engine>) -> Helpers {
        Helpers {
            engine,
            idle: Mutex::default(),
            left: Mutex::default(),
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

/// A worker, whichever thread it is at the moment.
pub(crate) struct Seat {
    /// Its number.
    pub index: usize,
    pub engine: Arc<Engine>,
    helpers: Arc<Helpers>,
    pub load: Arc<Load>,
    /// True once connections are to flush and leave.
    stopping: AtomicBool,
    tasks: Mutex<Tasks>,
    /// Replies that wait for the disk.
    pub held: Held,
    /// Replies that wait for those of others.
    outbox: Mutex<Outbox>,
    /// Turns since something was left there, and that one; 0 if nothing is there.
    turns_held: AtomicUsize,
    /// Something was not taken by its socket, and its connection has not seen to that.
    stuck: AtomicBool,
}

/// The wakers of a worker's connections, so that all of them can be told to stop.
#[derive(Default)]
struct Tasks {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Seat {
    pub fn new(index: usize, engine: Arc<Engine>, helpers: Arc<Helpers>) -> Seat {
        Seat {
            index,
            engine,
            helpers,
            load: Arc::default(),
            stopping: AtomicBool::new(false),
            tasks: Mutex::default(),
            held: Held::default(),
            outbox: Mutex::default(),
            turns_held: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
        }
    }

    /// Leaves replies of the connection with this slot to be sent with those of others: see [`Outbox::push`]. Returns the number of the
    /// sending that they are part of.
    pub fn leave(&self, slot: usize, socket: &Arc<Socket>, replies: &[u8], now_ns: u64) -> u64 {
        let (sending, full) = self.outbox.lock().push(slot, socket, replies, now_ns);
        if full {
            self.send_held();
        } else if self.turns_held.load(Relaxed) == 0 {
            self.turns_held.store(1, Relaxed);
        }
        sending
    }

    /// Sends the replies that are held back.
    pub fn send_held(&self) {
        let mut outbox = self.outbox.lock();
        let mut sent = (0, 0);
        outbox.flush(
            |n| sent = (sent.0 + 1, sent.1 + n),
            |slot| {
                if let Some(Some(waker)) = self.tasks.lock().slots.get(slot) {
                    waker.wake_by_ref();
                }
            },
        );
        self.turns_held.store(0, Relaxed);
        self.stuck.store(outbox.is_stuck(), Relaxed);
        drop(outbox);
        let Load {
            writes, bytes_out, ..
        } = &*self.load;
        writes.store(writes.load(Relaxed) + sent.0, Relaxed);
        bytes_out.store(bytes_out.load(Relaxed) + sent.1 as u64, Relaxed);
    }

    /// Sends the replies that are held back, if there are any.
    #[inline]
    pub fn before_sleep(&self) {
        if self.turns_held.load(Relaxed) != 0 {
            self.send_held();
        }
    }

    /// Counts a turn of a connection, and sends the replies that were held back for too many of them.
    #[inline]
    pub fn count_turn(&self) {
        match self.turns_held.load(Relaxed) {
            0 => {}
            TURNS.. => self.send_held(),
            turns => self.turns_held.store(turns + 1, Relaxed),
        }
    }

    /// Whether the connection that owns some of what sockets did not take has to ask for it.
    #[inline]
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// What became of a connection's replies: see [`Outbox::fate`].
    pub fn fate(&self, slot: usize, sending: u64) -> Fate {
        let mut outbox = self.outbox.lock();
        let fate = outbox.fate(slot, sending);
        self.stuck.store(outbox.is_stuck(), Relaxed);
        fate
    }

    /// Adds a task to those woken when the worker stops; returns its slot.
    pub fn register(&self, waker: &Waker) -> usize {
        let mut tasks = self.tasks.lock();
        let slot = tasks.free.pop().unwrap_or_else(|| {
            tasks.slots.push(None);
            tasks.slots.len() - 1
        });
        tasks.slots[slot] = Some(waker.clone());
        slot
    }

    /// Takes a task out again.
    pub fn unregister(&self, slot: usize) {
        let mut tasks = self.tasks.lock();
        if tasks.slots.get_mut(slot).and_then(Option::take).is_some() {
            tasks.free.push(slot);
        }
    }

    /// Tells all connections to flush and leave.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        let tasks = self.tasks.lock();
        let wakers: Vec<Waker> = tasks.slots.iter().flatten().cloned().collect();
        drop(tasks);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The engine's worker of a thread; left for the next thread that becomes one.
pub(crate) struct Own {
    worker: Option<engine::Worker>,
    helpers: Arc<Helpers>,
}

impl Deref for Own {
    type Target = engine::Worker;
    fn deref(&self) -> &engine::Worker {
        self.worker
            .as_ref()
            .expect("it is there until it is dropped")
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut engine::Worker {
        self.worker
            .as_mut()
            .expect("it is there until it is dropped")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.helpers.left.lock().extend(self.worker.take());
    }
}

/// What the connections of a worker share while its thread is one.
pub(crate) struct Kit {
    pub read: Box<[u8]>,
    pub engine: Arc<Engine>,
    pub worker: Own,
    pub helpers: Arc<Helpers>,
    pub batch: Batch<'static>,
    pub out: Out,
    seat: Arc<Seat>,
}

thread_local! {
    static KIT: RefCell<Option<Kit>> = const { RefCell::new(None) };
    /// The worker whose connections this thread serves.
    static SEAT: OnceCell<Arc<Seat>> = const { OnceCell::new() };
    /// The runtime has been given to another thread while this one serves a connection.
    static HANDED_OVER: Cell<bool> = const { Cell::new(false) };
    /// It may have been: nothing is held back here, as nobody may come to send it.
    static UNSURE: Cell<bool> = const { Cell::new(false) };
}

/// Whether replies of the connection that this thread serves may be held back.
#[inline]
pub(crate) fn may_hold_back() -> bool {
    !UNSURE.get()
}

/// Makes sure that this thread, which serves a connection of this worker, has a kit.
#[inline]
pub(crate) fn be_seated(seat: &Arc<Seat>) {
    // Without thread-local memory the thread is ending, and serves nobody.
    let _ = KIT.try_with(|kit| {
        if let Ok(mut kit) = kit.try_borrow_mut() {
            HANDED_OVER.set(false);
            UNSURE.set(false);
            kit.get_or_insert_with(|| {
                let _ = SEAT.try_with(|mine| mine.set(seat.clone()));
                Kit::new(seat)
            });
        }
    });
}

/// Lends this thread's kit for the time of a call; None if it has none, or within another such call.
#[inline]
pub(crate) fn with_kit<R>(f: impl FnOnce(&mut Kit) -> R) -> Option<R> {
    KIT.try_with(|kit| Some(f(kit.try_borrow_mut().ok()?.as_mut()?)))
        .ok()
        .flatten()
}

/// Gives the runtime of the worker that calls this, in the middle of a command, to another thread, which serves the other
/// connections from then on. False if this is no worker, or is none any more, or no thread is to be had.
pub(crate) fn hand_over() -> bool {
    let serving = KIT.try_with(|kit| kit.try_borrow_mut().is_err());
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return false;
    };
    if serving != Ok(true)
        || HANDED_OVER.get()
        || runtime.runtime_flavor() != RuntimeFlavor::MultiThread
    {
        return false;
    }
    // Replies that others wait for must not wait for this command, should no thread be had.
    let _ = SEAT.try_with(|seat| seat.get().map(|seat| seat.before_sleep()));
    // A runtime goes to another thread when its own is about to block, and comes back if nobody has taken it by then: so
    // this thread blocks until a task has run, which only another can have done.
    let (taken, wait) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        // If nobody waits any more, it has come back.
        let _ = taken.send(());
    });
    UNSURE.set(true);
    let taken = tokio::task::block_in_place(|| wait.recv_timeout(HANDING_OVER).is_ok());
    HANDED_OVER.set(taken);
    taken
}

impl Kit {
    fn new(seat: &Arc<Seat>) -> Kit {
        let left = seat.helpers.left.lock().pop();
        Kit {
            read: read_buffer(),
            worker: Own {
                worker: Some(left.unwrap_or_else(|| seat.engine.worker())),
                helpers: seat.helpers.clone(),
            },
            engine: seat.engine.clone(),
            helpers: seat.helpers.clone(),
            batch: Batch::new(),
            out: Out::new(Proto::Resp2),
            seat: seat.clone(),
        }
    }

    /// Whether connections are to flush and leave.
    pub fn stopping(&self) -> bool {
        self.seat.stopping.load(Relaxed)
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
}

fn read_buffer() -> Box<[u8]> {
    vec![0; READ_BYTES].into()
}
