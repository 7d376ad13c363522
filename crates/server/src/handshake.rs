//! Handshakes of TLS, on threads of their own.
//!
//! Agreeing on an encryption takes a hundred times as long as a command, and a client may take its time with it. So
//! connections come to a worker only when that is done: a flood of clients that begin and never end costs those who are in
//! nothing but some of the machine's time, and these threads give way to the workers where there is not enough of it.
//!
//! A handshake has [`PATIENCE`], and there are at most [`MOST`] under way: one more ends the one that has been at it longest,
//! which among honest clients is none.

use crate::tls::Tls;
use crate::tls_stream::{Secured, broken, encode, last_words};
use parking_lot::Mutex;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes under way at the same time.
const MOST: usize = 1024;

/// Bytes of a handshake that are kept; certificates of clients are most of it.
const MOST_BYTES: usize = 128 * 1024;
/// About what one record has.
const RECORD: u64 = 16 * 1024;

/// Where handshakes are made.
pub(crate) struct Handshakes {
    /// None once the server has stopped.
    runtime: Option<Runtime>,
    under_way: Arc<AtomicUsize>,
    /// In the order in which they began; some have ended.
    begun: Mutex<VecDeque<AbortHandle>>,
}

impl Handshakes {
    /// Starts threads for them, one for two workers.
    pub fn start(workers: usize) -> io::Result<Handshakes> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers.div_ceil(2))
            .enable_io()
            .enable_time()
            .thread_name("handshake")
            .on_thread_start(|| engine::stand_behind_workers(engine::FAR_BEHIND))
            .build()?;
        Ok(Handshakes {
            runtime: Some(runtime),
            under_way: Arc::default(),
            begun: Mutex::default(),
        })
    }

    /// How many are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// Makes a handshake with a client that has been accepted. `done` gets the socket with what was agreed on, or the reason
    /// why there is no agreement.
    pub fn begin(
        &self,
        socket: std::net::TcpStream,
        tls: Arc<Tls>,
        done: impl FnOnce(io::Result<(std::net::TcpStream, Secured)>) + Send + 'static,
    ) {
        let Some(runtime) = &self.runtime else {
            return;
        };
        let counted = Counted::new(&self.under_way);
        let task = runtime.spawn(async move {
            let made = tokio::time::timeout(PATIENCE, make(socket, tls)).await;
            drop(counted);
            done(made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
        });
        let mut begun = self.begun.lock();
        begun.push_back(task.abort_handle());
        // One for one: those that were ended already are still counted until their thread gets to them.
        while self.under_way() > MOST
            && let Some(longest) = begun.pop_front()
        {
            if !longest.is_finished() {
                longest.abort();
                break;
            }
        }
        if begun.len() > 2 * MOST {
            begun.retain(|task| !task.is_finished());
        }
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One of those under way, as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Relaxed);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn make(
    socket: std::net::TcpStream,
    tls: Arc<Tls>,
) -> io::Result<(std::net::TcpStream, Secured)> {
    let mut socket = TcpStream::from_std(socket)?;
    // Its messages are short, and each is waited for.
    socket.set_nodelay(true)?;
    let connection = UnbufferedServerConnection::new(tls.config.clone()).map_err(broken)?;
    let secured = agree(&mut socket, connection).await?;
    Ok((socket.into_std()?, secured))
}

/// What there is to do next in a handshake.
enum Step {
    Again,
    Send,
    Receive,
    Done,
    Failed(rustls::Error),
}

async fn agree(
    socket: &mut TcpStream,
    mut connection: UnbufferedServerConnection,
) -> io::Result<Secured> {
    let mut incoming = Vec::new();
    let mut outgoing = Vec::new();
    loop {
        let UnbufferedStatus { discard, state, .. } = connection.process_tls_records(&mut incoming);
        let step = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, &mut outgoing)?;
                Step::Again
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Step::Send
            }
            Ok(ConnectionState::BlockedHandshake) => Step::Receive,
            // Commands may have come with the last message: who serves the client finds them.
            Ok(ConnectionState::WriteTraffic(_) | ConnectionState::ReadTraffic(_)) => Step::Done,
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Step::Failed(error),
        };
        incoming.drain(..discard);
        match step {
            Step::Again => {}
            Step::Send => {
                socket.write_all(&outgoing).await?;
                outgoing.clear();
            }
            Step::Receive => {
                if incoming.len() > MOST_BYTES {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                incoming.reserve(2048);
                // No more at a time than a record has, however large the memory has become: what comes behind the handshake's last
                // message is taken out in one piece, into a worker's memory.
                let mut socket = (&mut *socket).take(RECORD);
                if socket.read_buf(&mut incoming).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Step::Done => break,
            // The other side is told why first.
            Step::Failed(error) => {
                last_words(&mut connection, &mut outgoing);
                socket.write_all(&outgoing).await?;
                // It is closed in any case.
                let _ = socket.shutdown().await;
                return Err(broken(error));
            }
        }
    }
    socket.write_all(&outgoing).await?;
    Ok(Secured {
        connection,
        incoming,
    })
}
