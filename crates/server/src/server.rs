//! Starting and stopping the server.

use crate::control::{Control, Placing};
use crate::host::ServerHost;
use crate::listen::{self, Address, Listener};
use crate::seat::Helpers;
use crate::stopping::Order;
use crate::worker::{self, Handle, Phase};
use engine::Engine;
use engine::Maintenance;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How a server is run, apart from its configuration.
pub struct ServerOptions {
    /// The host that the engine was made with.
    pub host: Arc<ServerHost>,
    /// Whether SIGTERM and SIGINT stop the server. False leaves signals to the program around it.
    pub signals: bool,
    /// Sockets to serve besides those of the configuration: for a program that chooses its port itself, or whose sockets
    /// were opened by somebody else.
    pub listeners: Vec<TcpListener>,
    /// Whether the server expires keys in the background. False if the embedding program has had the engine start
    /// that already.
    pub maintenance: bool,
}

impl ServerOptions {
    /// The options of a server inside another program.
    pub fn new(host: Arc<ServerHost>) -> ServerOptions {
        ServerOptions {
            host,
            signals: false,
            listeners: Vec::new(),
            maintenance: true,
        }
    }
}

/// Why a server did not start: one line.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError(error.to_string())
    }
}

/// How much longer than its clients' patience a worker may take to leave.
const GRACE: Duration = Duration::from_millis(500);

/// Serves an engine over the network.
pub struct Server;

impl Server {
    /// Opens the sockets that the engine's configuration and `options` ask for and starts to serve them.
    ///
    /// When this returns, clients can connect. Fails if a socket cannot be opened or there is none, if a thread cannot be
    /// started, or if the host serves another server already.
    pub fn start(engine: Arc<Engine>, options: ServerOptions) -> Result<RunningServer, StartError> {
        let ServerOptions {
            host,
            signals,
            listeners: adopted,
            maintenance,
        } = options;
        engine.load_users().map_err(StartError)?;
        let config = engine.config();
        let failed = |error: listen::ListenError| StartError(error.to_string());
        host.certificates.load(config).map_err(StartError)?;
        let tcp = listen::tcp(config, &[]).map_err(failed)?;
        let mut others: Vec<Arc<Listener>> =
            listen::unix(config).map_err(failed)?.into_iter().collect();
        let unix_socket = UnixSocket(others.first().cloned());
        for listener in adopted {
            others.push(listen::adopt(listener)?);
        }
        let listeners: Vec<Arc<Listener>> = tcp.iter().chain(&others).cloned().collect();
        if listeners.is_empty() {
            return Err(StartError(
                "nowhere to listen: port and tls-port are 0 or bind is empty, and there is no unixsocket".into(),
            ));
        }
        (*host.tcp.lock(), *host.others.lock()) = (tcp, others);

        let (phase, stopping) = watch::channel(Phase::Serving);
        let helpers = Arc::new(Helpers::new(engine.clone()));
        let workers: Vec<Handle> = (0..config.threads())
            .map(|index| {
                let (stopping, give_back) = (stopping.clone(), host.give_back.subscribe());
                worker::start(index, engine.clone(), helpers.clone(), stopping, give_back)
            })
            .collect::<io::Result<_>>()?;
        let workers = Arc::new(workers);
        let (send, orders) = mpsc::unbounded_channel();
        if !host.start(
            &engine,
            send,
            workers
                .iter()
                .map(|worker| (worker.load.clone(), worker.runtime.clone()))
                .unzip(),
        ) {
            return Err(StartError("this host has a server already".into()));
        }
        host.start_http(&engine).map_err(failed)?;
        let maintenance = maintenance.then(|| engine.start_maintenance());
        for listener in &listeners {
            tracing::debug!("Listening on {} ({})", listener.address, listener.kind());
        }
        let addresses = listeners
            .iter()
            .map(|listener| (listener.address.clone(), listener.tls))
            .collect();
        let served = engine.clone();
        let control = Control {
            engine,
            host: host.clone(),
            workers: workers.clone(),
            orders,
            phase,
            listeners,
            signals,
            placing: Arc::new(Placing::new(workers.clone())),
            handshakes: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                runtime.block_on(control.run());
                // The acceptors go, and their sockets.
                drop(runtime);
            })?;
        Ok(RunningServer {
            engine: served,
            host,
            thread,
            workers,
            addresses,
            _maintenance: maintenance,
            _unix_socket: unix_socket,
        })
    }
}

/// A server that serves until it is stopped. Dropping it does not stop it.
pub struct RunningServer {
    engine: Arc<Engine>,
    host: Arc<ServerHost>,
    thread: JoinHandle<()>,
    workers: Arc<Vec<Handle>>,
    /// What was opened, and whether it takes TLS.
    addresses: Vec<(Address, bool)>,
    _maintenance: Option<Maintenance>,
    _unix_socket: UnixSocket,
}

impl RunningServer {
    /// A handle to database 0 of what it serves: a program's own calls, beside those of clients. It can be used for as long as the
    /// program likes, also when the server has stopped.
    ///
    /// # Errors
    /// It is called inside of an update.
    pub fn db(&self) -> redpoll::Result<redpoll::Db> {
        redpoll::door::handle_to(self.engine.clone())
    }

    /// Begins an orderly stop, as SHUTDOWN does, and returns at once: no new connections, running commands end, and
    /// clients have `shutdown-timeout` seconds to take their replies.
    pub fn stop(&self) {
        // If the order does not arrive the server has stopped already.
        let _ = self.host.stopping.order(Order::Stop { now: false });
    }

    /// The TCP addresses that were opened at the start, but for those of TLS.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        self.opened(false)
    }

    /// The addresses for TLS that were opened at the start.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.opened(true)
    }

    /// The addresses that are open for HTTP now.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.host.http_addresses()
    }

    fn opened(&self, of_tls: bool) -> Vec<SocketAddr> {
        let tcp = |(address, tls): &(Address, bool)| match address {
            Address::Tcp(address) if *tls == of_tls => Some(*address),
            _ => None,
        };
        self.addresses.iter().filter_map(tcp).collect()
    }

    /// Whether the server still serves: false once a stop has completed.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until the server has stopped.
    ///
    /// Once the patience of a stop is over nothing is waited for: a thread in the middle of a script that cannot be taken
    /// back is left behind.
    pub fn join(self) {
        // A thread that panicked has ended too; the panic was reported when it happened.
        let _ = self.thread.join();
        self.host.stop_http();
        let deadline = Instant::now() + GRACE;
        for worker in self.workers.iter() {
            if !(worker.load).wait_until(deadline, |load| load.ended.load(Acquire)) {
                tracing::warn!("A worker is in the middle of something and is not waited for");
            } else if let Some(thread) = worker.thread.lock().take() {
                let _ = thread.join();
            }
        }
        self.host.tcp.lock().clear();
        self.host.others.lock().clear();
    }
}

/// Removes the unix socket's file when the server is gone.
struct UnixSocket(Option<Arc<Listener>>);

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if let Some(Address::Unix(path)) = self.0.as_ref().map(|listener| &listener.address) {
            // Somebody may have removed it already, which is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}
