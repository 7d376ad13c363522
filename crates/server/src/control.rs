//! The control thread: it accepts connections, closes those that have been idle for too long, keeps INFO's running
//! figures, and stops the server when a signal, a command or the embedding program asks for it.
//!
//! It sleeps most of the time, and is a thread of its own so that a busy worker never delays an accept or a signal.

use crate::handshake::Handshakes;
use crate::host::ServerHost;
use crate::listen::{ACCEPT_PAUSE, Accepting, Address, Listener, is_passing};
use crate::seat::Arrival;
use crate::stopping::{End, Order};
use crate::system::Background;
use crate::worker::{Handle, Phase};
use engine::{Engine, Kind, Origin, SaveMode, ShutdownMode};
use socket2::Socket;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How often running figures are sampled.
const TICK: Duration = Duration::from_millis(250);

/// Samples that a running figure is averaged over.
const SAMPLES: usize = 8;

/// Everything the control thread works with.
pub(crate) struct Control {
    pub engine: Arc<Engine>,
    pub host: Arc<ServerHost>,
    pub workers: Arc<Vec<Handle>>,
    pub orders: mpsc::UnboundedReceiver<Order>,
    pub phase: watch::Sender<Phase>,
    pub listeners: Vec<Arc<Listener>>,
    pub signals: bool,
    /// Where connections go.
    pub placing: Arc<Placing>,
    /// Made once there is a port for TLS.
    pub handshakes: Option<Arc<Handshakes>>,
}

/// Gives connections to workers.
pub(crate) struct Placing {
    workers: Arc<Vec<Handle>>,
    /// Where the search for the least loaded worker begins, so that equals take turns.
    first: AtomicUsize,
}

impl Placing {
    pub fn new(workers: Arc<Vec<Handle>>) -> Placing {
        Placing {
            workers,
            first: AtomicUsize::new(0),
        }
    }

    /// Connections that there are.
    fn connections(&self) -> usize {
        let connections = self
            .workers
            .iter()
            .map(|worker| worker.load.connections.load(Relaxed));
        connections.sum()
    }

    /// Gives a connection to the worker with the fewest.
    fn place(&self, arrival: Arrival) {
        let count = self.workers.len();
        let first = self.first.load(Relaxed);
        let order = (0..count).map(|step| (first + step) % count);
        let least = order.min_by_key(|&at| self.workers[at].load.connections.load(Relaxed));
        let Some(at) = least else { return };
        self.first.store((at + 1) % count, Relaxed);
        let worker = &self.workers[at];
        worker.load.connections.fetch_add(1, Relaxed);
        if worker.arrivals.send(arrival).is_err() {
            // The worker has stopped, and the connection is closed with the arrival.
            worker.load.connections.fetch_sub(1, Relaxed);
        }
    }
}

impl Control {
    /// Serves until told to stop; then tells the workers, and returns.
    pub async fn run(mut self) {
        let mut accepting: Vec<(Arc<Listener>, JoinHandle<()>)> = Vec::new();
        let listeners = std::mem::take(&mut self.listeners);
        self.listen(&mut accepting, listeners);
        let mut signals = Signals::new(self.signals);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut figures = Figures::default();
        let mut certificates_read = Instant::now();
        let mut tick = 0u32;
        let mut grown = false;
        let mut background = Background::of(self.engine.config());
        // A signal has begun a stop.
        let mut asked = false;
        let now = loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Stop { now }) => break now,
                    Some(Order::Listen(listeners)) => self.listen(&mut accepting, listeners),
                    // The host is gone, and with it whoever could ask for anything.
                    None => break true,
                },
                name = signals.next() => {
                    asked &= self.host.stopping.is_underway();
                    if asked && name == SIGINT {
                        tracing::warn!("Received {name} again, leaving without a save");
                        let mode = ShutdownMode {
                            save: SaveMode::NoSave,
                            now: true,
                            ..ShutdownMode::default()
                        };
                        let _ = self.host.stopping.leave(End {
                            mode,
                            ..End::default()
                        });
                        break true;
                    }
                    asked = true;
                    tracing::info!("Received {name}, stopping");
                    // What comes of it the log says.
                    let _ = self.host.stopping.begin(self.asked_by(name), None);
                }
                _ = ticks.tick() => {
                    figures.sample(&self.engine, &self.host);
                    grown = grown || self.host.heed_growth();
                    tick = tick.wrapping_add(1);
                    if tick.is_multiple_of(4) {
                        background.look();
                        self.close_idle();
                        let config = self.engine.config();
                        let every = config.number("tls-auto-reload-interval") as u64;
                        if every > 0 && certificates_read.elapsed().as_secs() >= every {
                            certificates_read = Instant::now();
                            self.host.certificates.reload_if_changed(config);
                        }
                    }
                }
            }
        };
        self.host.supervisor().tell_stopping();
        // First, so that a log is not taken for whole whose script is ended.
        self.engine.loading.stop();
        // Nobody could end a script any more that never ends by itself.
        self.engine.scripts.stop();
        for (_, task) in accepting.drain(..) {
            task.abort();
        }
        let seconds = self.engine.config().live.shutdown_timeout_s.load(Relaxed);
        let patience = if now {
            Duration::ZERO
        } else {
            Duration::from_secs(seconds)
        };
        self.phase.send_replace(Phase::Stopping { patience });
        // A second signal ends the wait for slow clients.
        tokio::select! {
            () = self.drained(patience) => {}
            name = signals.next() => {
                tracing::warn!("Received {name} again, leaving at once");
                self.phase.send_replace(Phase::Stopping { patience: Duration::ZERO });
            }
        }
    }

    /// What a signal asks for.
    fn asked_by(&self, signal: &str) -> ShutdownMode {
        let directive = match signal {
            SIGINT => "shutdown-on-sigint",
            _ => "shutdown-on-sigterm",
        };
        let words = self.engine.config().text(directive);
        let has = |word: &str| words.split(' ').any(|each| each == word);
        ShutdownMode {
            save: match (has("save"), has("nosave")) {
                (true, _) => SaveMode::Save,
                (_, true) => SaveMode::NoSave,
                _ => SaveMode::Configured,
            },
            now: has("now"),
            force: has("force"),
        }
    }

    /// Waits until the workers have closed their connections, or their patience is over.
    async fn drained(&self, patience: Duration) {
        let ended = async {
            for load in self.workers.iter().map(|worker| &worker.load) {
                while !load.ended.load(Acquire) {
                    load.gone.notified().await;
                }
            }
        };
        let _ = tokio::time::timeout(patience, ended).await;
    }

    /// Accepts on these listeners and on no others.
    fn listen(
        &mut self,
        accepting: &mut Vec<(Arc<Listener>, JoinHandle<()>)>,
        wanted: Vec<Arc<Listener>>,
    ) {
        accepting.retain(|(listener, task)| {
            let keep = wanted.iter().any(|other| Arc::ptr_eq(listener, other));
            if !keep {
                task.abort();
            }
            keep
        });
        for listener in wanted {
            if !accepting
                .iter()
                .any(|(other, _)| Arc::ptr_eq(&listener, other))
            {
                if listener.tls && self.handshakes.is_none() {
                    match Handshakes::start(self.workers.len()) {
                        Ok(started) => self.handshakes = Some(Arc::new(started)),
                        Err(error) => {
                            tracing::error!("No thread for handshakes of TLS: {error}");
                            continue;
                        }
                    }
                }
                let acceptor = Acceptor {
                    engine: self.engine.clone(),
                    host: self.host.clone(),
                    placing: self.placing.clone(),
                    handshakes: self.handshakes.clone().filter(|_| listener.tls),
                    listener: listener.clone(),
                };
                accepting.push((listener, tokio::spawn(acceptor.run())));
            }
        }
    }

    /// Closes clients that have neither sent anything nor taken any reply for `timeout` seconds, though nothing that they have asked
    /// was still to be done.
    fn close_idle(&self) {
        let timeout = self.engine.config().live.timeout_s.load(Relaxed);
        if timeout == 0 {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        for client in self.engine.clients().list() {
            let waits = client.subscribes()
                || client.replicates()
                || client.monitors.load(Relaxed)
                || client.is_blocked();
            if client.attended.load(Relaxed) {
                // Its turn begins when that is over. Noted here, so that a connection need not look at the clock whenever it waits.
                client.active_s.store(now, Relaxed);
            } else if !waits && client.idle_s(now) > timeout {
                tracing::debug!("Closing idle client {} ({})", client.id, client.addr);
                client.kill();
            }
        }
    }
}

/// Accepts the connections of one listener.
struct Acceptor {
    engine: Arc<Engine>,
    host: Arc<ServerHost>,
    placing: Arc<Placing>,
    handshakes: Option<Arc<Handshakes>>,
    listener: Arc<Listener>,
}

impl Acceptor {
    async fn run(self) {
        let socket = match Accepting::new(&self.listener) {
            Ok(socket) => socket,
            Err(error) => {
                return tracing::error!("Cannot accept on {}: {error}", self.listener.address);
            }
        };
        loop {
            let live = &self.engine.config().live;
            let turn = if self.listener.tls {
                &live.tls_accepts_per_turn
            } else {
                &live.accepts_per_turn
            };
            for _ in 0..turn.load(Relaxed) {
                match socket.accept().await {
                    Ok((socket, peer)) => self.admit(socket, peer),
                    Err(error) if is_passing(&error) => {}
                    Err(error) => {
                        // Most likely there are no file descriptors left; the connection stays in the queue.
                        tracing::warn!("Accepting on {}: {error}", self.listener.address);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Gives a connection to a worker, unless there is a reason to refuse it.
    fn admit(&self, socket: Socket, peer: Option<SocketAddr>) {
        let config = self.engine.config();
        let half_open = self
            .handshakes
            .as_ref()
            .map_or(0, |handshakes| handshakes.under_way());
        let full = self.placing.connections() + half_open >= config.live.maxclients.load(Relaxed);
        let protected =
            config.live.protected_mode.load(Relaxed) && self.engine.is_without_password();
        let counts = &self.host.counts;
        if let Some(reason) = refusal(full, protected, peer.map(|peer| peer.ip())) {
            counts.rejected.fetch_add(1, Relaxed);
            // It may not even get that, which makes no difference. Before a handshake it could not be read.
            if !self.listener.tls {
                let _ = socket.set_nonblocking(true);
                let _ = socket.send(reason.as_bytes());
            }
            return;
        }
        counts.accepted.fetch_add(1, Relaxed);
        let origin = self.origin(&socket, peer);
        let Some(handshakes) = &self.handshakes else {
            return self.placing.place(Arrival {
                socket,
                origin,
                secured: None,
            });
        };
        let Some(tls) = self.host.certificates.current() else {
            return;
        };
        let placing = self.placing.clone();
        handshakes.begin(socket.into(), tls, move |made| match made {
            Ok((socket, secured)) => placing.place(Arrival {
                socket: socket.into(),
                origin,
                secured: Some(Box::new(secured)),
            }),
            Err(error) => tracing::debug!("No handshake with {}: {error}", origin.addr),
        });
    }

    fn origin(&self, socket: &Socket, peer: Option<SocketAddr>) -> Origin {
        let fd = socket.as_raw_fd().into();
        if let Address::Unix(path) = &self.listener.address {
            let addr = format!("{}:0", path.display());
            return Origin {
                laddr: addr.clone(),
                addr,
                fd,
                kind: Kind::Unix,
                waker: None,
            };
        }
        let text =
            |addr: Option<SocketAddr>| addr.map_or_else(String::new, |addr| addr.to_string());
        let local = socket.local_addr().ok().and_then(|addr| addr.as_socket());
        let (addr, laddr) = (text(peer), text(local));
        Origin {
            addr,
            laddr,
            fd,
            kind: Kind::Tcp,
            waker: None,
        }
    }
}

/// What a client that is not served is told. `peer` is None for one that came over a unix socket.
fn refusal(full: bool, protected: bool, peer: Option<IpAddr>) -> Option<&'static str> {
    if full {
        return Some("-ERR max number of clients reached\r\n");
    }
    let from_here = peer.is_none_or(|ip| ip.to_canonical().is_loopback());
    (protected && !from_here).then_some(
        "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
         default user. Only clients on the server's own machine may connect. To let others in, set a password \
         (requirepass), or set protected-mode to no if nobody else can reach this port.\r\n",
    )
}

/// What Ctrl-C sends.
const SIGINT: &str = "SIGINT";

/// The signals that stop the server.
struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    fn new(wanted: bool) -> Signals {
        let open = |kind| if wanted { signal(kind).ok() } else { None };
        Signals {
            terminate: open(SignalKind::terminate()),
            interrupt: open(SignalKind::interrupt()),
        }
    }

    /// The next signal's name; waits forever if signals are left to the embedding program.
    async fn next(&mut self) -> &'static str {
        async fn received(signal: &mut Option<Signal>) {
            let arrived = match signal {
                Some(signal) => signal.recv().await,
                None => None,
            };
            if arrived.is_none() {
                std::future::pending().await
            }
        }
        tokio::select! {
            () = received(&mut self.terminate) => "SIGTERM",
            () = received(&mut self.interrupt) => SIGINT,
        }
    }
}

/// The figures of INFO that are averages over the last seconds.
#[derive(Default)]
struct Figures {
    samples: VecDeque<(Instant, [u64; 7])>,
}

impl Figures {
    fn sample(&mut self, engine: &Engine, host: &ServerHost) {
        let (bytes_in, bytes_out) = host.traffic();
        let (cycles, busy_us) = host.cycles();
        let now = Instant::now();
        let counted = [
            engine.stats().sum(|counters| counters.calls.get()),
            bytes_in,
            bytes_out,
            engine.stats().from_primary.load(Relaxed),
            engine.stats().to_replicas.load(Relaxed),
            cycles,
            busy_us,
        ];
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        if let Some((then, before)) = self.samples.front() {
            let counts = &host.counts;
            let seconds = now.duration_since(*then).as_secs_f64().max(0.001);
            // CONFIG RESETSTAT may have set a count back.
            let change = |at: usize| counted[at].saturating_sub(before[at]);
            let figures = [
                &counts.ops_per_s,
                &counts.in_per_s,
                &counts.out_per_s,
                &counts.from_primary_per_s,
                &counts.to_replicas_per_s,
                &counts.cycles_per_s,
            ];
            for (at, figure) in figures.into_iter().enumerate() {
                figure.store((change(at) as f64 / seconds) as u64, Relaxed);
            }
            let each = change(6).checked_div(change(5)).unwrap_or(0);
            counts.cycle_us.store(each, Relaxed);
        }
        self.samples.push_back((now, counted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_mode_lets_in_only_this_machine() {
        let of = |ip: &str| refusal(false, true, Some(ip.parse().unwrap()));
        for here in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(here), None, "{here}");
        }
        for there in ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1"] {
            assert!(
                of(there)
                    .unwrap()
                    .starts_with("-DENIED Redis is running in protected mode")
            );
            assert_eq!(refusal(false, false, Some(there.parse().unwrap())), None);
        }
        assert_eq!(refusal(false, true, None), None);
        assert_eq!(
            refusal(true, false, None),
            Some("-ERR max number of clients reached\r\n")
        );
    }
}
