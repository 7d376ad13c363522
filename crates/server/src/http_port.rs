//! The HTTP port: its listeners, and the thread that serves them.
//!
//! What is answered is `crates/http`'s business; here are sockets and encryption. The thread runs as long as there is a listener, and
//! gives way to the workers where there is not enough of the machine for all.

use crate::listen::{self, ACCEPT_PAUSE, Accepting, Address, ListenError, Listener, is_passing};
use crate::tls::Certificates;
use engine::Engine;
use engine::config::Config;
use http::{HELPERS, Http, Patient, Peer};
use parking_lot::Mutex;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Address space of a helper's stack, in bytes: scripts may nest calls 200 deep.
const STACK_BYTES: usize = 8 << 20;

/// See the module's page.
pub(crate) struct HttpPort {
    /// The engine keeps the host that has this.
    engine: Weak<Engine>,
    certificates: Arc<Certificates>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: Vec<Arc<Listener>>,
    /// Tells the thread which listeners there are; dropped, it ends the thread. None while there is none.
    thread: Option<watch::Sender<Vec<Arc<Listener>>>>,
    stopped: bool,
}

impl HttpPort {
    pub fn new(engine: &Arc<Engine>, certificates: Arc<Certificates>) -> HttpPort {
        HttpPort {
            engine: Arc::downgrade(engine),
            certificates,
            state: Mutex::default(),
        }
    }

    /// Opens the listeners that the configuration asks for now, and closes those it does not.
    pub fn listen(&self, config: &Config) -> Result<(), ListenError> {
        let mut state = self.state.lock();
        if state.stopped {
            return Ok(());
        }
        let wanted = listen::http(config, &state.listeners)?;
        state.listeners = wanted.clone();
        if wanted.is_empty() {
            state.thread = None;
            return Ok(());
        }
        if let Some(thread) = &state.thread {
            thread.send_replace(wanted);
            return Ok(());
        }
        let (send, receive) = watch::channel(wanted);
        match self.start(receive) {
            Ok(()) => state.thread = Some(send),
            Err(error) => tracing::error!("No thread for HTTP: {error}"),
        }
        Ok(())
    }

    /// Ends all of it; nothing is opened any more.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        *state = State {
            stopped: true,
            ..State::default()
        };
    }

    /// The addresses that are open.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let state = self.state.lock();
        let addresses = state.listeners.iter().map(|listener| &listener.address);
        addresses
            .filter_map(|address| match address {
                Address::Tcp(address) => Some(*address),
                Address::Unix(_) => None,
            })
            .collect()
    }

    fn start(&self, listeners: watch::Receiver<Vec<Arc<Listener>>>) -> io::Result<()> {
        let Some(engine) = self.engine.upgrade() else {
            return Ok(());
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .enable_time()
            .max_blocking_threads(HELPERS)
            .thread_stack_size(STACK_BYTES)
            .thread_name("http")
            .on_thread_start(|| engine::stand_behind_workers(engine::FAR_BEHIND))
            .build()?;
        let http = Http::new(engine);
        let certificates = self.certificates.clone();
        std::thread::Builder::new()
            .name("http-keeper".into())
            .spawn(move || {
                runtime.block_on(serve(http, certificates, listeners));
                // Connections go with it; commands that still run are not waited for.
                runtime.shutdown_background();
            })?;
        Ok(())
    }
}

/// Serves what listeners there are, until nobody says so any more.
async fn serve(
    http: Http,
    certificates: Arc<Certificates>,
    mut listeners: watch::Receiver<Vec<Arc<Listener>>>,
) {
    let history = tokio::spawn({
        let http = http.clone();
        async move { http.keep_history().await }
    });
    let mut accepting: Vec<(Arc<Listener>, JoinHandle<()>)> = Vec::new();
    loop {
        let wanted = listeners.borrow_and_update().clone();
        let is_wanted =
            |listener: &Arc<Listener>| wanted.iter().any(|other| Arc::ptr_eq(listener, other));
        accepting.retain(|(listener, task)| {
            let keep = is_wanted(listener);
            if !keep {
                task.abort();
            }
            keep
        });
        for listener in wanted {
            let known = accepting
                .iter()
                .any(|(other, _)| Arc::ptr_eq(&listener, other));
            if !known {
                let task = accept(http.clone(), certificates.clone(), listener.clone());
                accepting.push((listener, tokio::spawn(task)));
            }
        }
        if listeners.changed().await.is_err() {
            break;
        }
    }
    for (_, task) in accepting {
        task.abort();
    }
    history.abort();
}

/// Accepts the connections of one listener.
async fn accept(http: Http, certificates: Arc<Certificates>, listener: Arc<Listener>) {
    let socket = match Accepting::new(&listener) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!("Cannot accept on {}: {error}", listener.address),
    };
    loop {
        match socket.accept().await {
            Ok((socket, Some(peer))) => {
                let (http, tls) = (http.clone(), listener.tls.then(|| certificates.clone()));
                tokio::spawn(async move {
                    if let Err(error) = connect(http, tls, socket, peer).await {
                        tracing::debug!("HTTP with {peer}: {error}");
                    }
                });
            }
            Ok((_, None)) => {}
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::warn!("Accepting on {}: {error}", listener.address);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection, encrypted if there are `certificates`.
async fn connect(
    http: Http,
    certificates: Option<Arc<Certificates>>,
    socket: Socket,
    address: SocketAddr,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let stream = TcpStream::from_std(socket.into())?;
    let peer = Peer {
        address,
        local: stream.local_addr()?,
        encrypted: certificates.is_some(),
    };
    let stream = Patient::new(stream);
    let Some(certificates) = certificates else {
        http.serve(stream, peer).await;
        return Ok(());
    };
    let Some(tls) = certificates.current() else {
        return Ok(());
    };
    let acceptor = TlsAcceptor::from(tls.config.clone());
    let stream = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await??;
    http.serve(stream, peer).await;
    Ok(())
}
