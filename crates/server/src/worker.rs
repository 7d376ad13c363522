//! A worker: a runtime of one thread whose tasks are its connections. What they share is in [`crate::seat`].

use crate::connection::Connection;
use crate::seat::{Arrival, Ends, GiveBack, Helpers, Load, Seat};
use engine::Engine;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::RuntimeMetrics;
use tokio::sync::{Notify, mpsc, watch};

/// Address space of a worker's or helper's stack, in bytes: scripts may nest calls 200 deep. Only what is used takes memory.
const STACK_BYTES: usize = 8 << 20;

/// Threads a worker may have besides its own: for commands that take long, and to hand its connections over to.
const HELPERS: usize = 16;

/// Whether the server goes on, and how long connections have if it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Stopping { patience: Duration },
}

/// A worker as the control thread sees it.
pub(crate) struct Handle {
    pub load: Arc<Load>,
    pub arrivals: mpsc::UnboundedSender<Arrival>,
    /// None once it has been waited for.
    pub thread: Mutex<Option<JoinHandle<()>>>,
    /// How often it has slept and for how long it was busy.
    pub runtime: RuntimeMetrics,
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
    let seat = Arc::new(Seat::new(index, engine, helpers));
    let load = seat.load.clone();
    let (arrivals, received) = mpsc::unbounded_channel();
    let held = seat.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_io()
        .enable_time()
        .max_blocking_threads(HELPERS)
        .thread_stack_size(STACK_BYTES)
        .thread_name(format!("worker-{index}"))
        .on_thread_park(move || held.before_sleep())
        .build()?;
    let metrics = runtime.metrics();
    let ends = Ends(load.clone());
    let body = move || {
        // What is dropped last.
        let _ends = ends;
        // Spawned, so that the runtime's thread is what does the worker's work, and this one only waits for its end.
        let serving = runtime.spawn(serve(seat, received, phase, give_back));
        let _ = runtime.block_on(serving);
        // Commands still running are not waited for: their clients have been given up.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new()
        .name(format!("keeper-{index}"))
        .spawn(body)?;
    Ok(Handle {
        load,
        arrivals,
        thread: Mutex::new(Some(thread)),
        runtime: metrics,
    })
}

/// The main task of a worker: makes a task of each arrival until the server stops.
async fn serve(
    seat: Arc<Seat>,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    mut phase: watch::Receiver<Phase>,
    mut give_back: watch::Receiver<GiveBack>,
) {
    let for_disk = seat.clone();
    tokio::spawn(async move { for_disk.held.commit(&for_disk.engine).await });
    // Signalled by each connection that ends.
    let ended = Arc::new(Notify::new());
    let patience = loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => match Connection::new(arrival, &seat, &ended) {
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
                seat.load.given_back.store(order.number, Release);
                seat.load.told.call();
            }
            changed = phase.changed() => match (changed, *phase.borrow_and_update()) {
                (Ok(()), Phase::Serving) => {}
                (Ok(()), Phase::Stopping { patience }) => break patience,
                (Err(_), _) => break Duration::ZERO,
            },
        }
    };
    seat.stop();
    let load = &seat.load;
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
