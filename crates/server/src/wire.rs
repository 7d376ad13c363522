//! A socket that has left its worker: a replica's connection, which waits on threads of its own.
//!
//! One thread reads and one writes. Of an encrypted connection both work on the same state, for the moments in which something is
//! decrypted or encrypted; the socket is waited for without it.

use crate::stream::Stream;
use crate::tls_stream::{Secured, broken, encode};
use engine::Wire;
use parking_lot::Mutex;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use socket2::Socket;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

/// How long a read or a write waits before it says that nothing happened.
const PATIENCE: Duration = Duration::from_secs(1);

/// Plain bytes that are encrypted at once: a record.
const PIECE: usize = 16 * 1024;

/// Room for a record with all that goes around it.
const RECORD: usize = PIECE + 512;

impl Stream {
    /// Leaves the runtime. `unread` is what has come and was not looked at; `nodelay`: short writes are not held back.
    pub fn into_wire(self, mut unread: Vec<u8>, nodelay: bool) -> io::Result<Wire> {
        let (socket, secured): (Socket, Option<Secured>) = match self {
            Stream::Plain(stream) => (stream.into_socket()?, None),
            Stream::Tls(stream) => {
                let (socket, secured) = stream.into_parts();
                (socket.into_std()?.into(), Some(secured))
            }
            Stream::Gone => return Err(io::ErrorKind::NotConnected.into()),
        };
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // Of a unix socket there is nothing to say.
        let _ = socket.set_tcp_nodelay(nodelay);
        let (reading, closing) = (socket.try_clone()?, socket.try_clone()?);
        let close = Arc::new(move || {
            // It may be closed already.
            let _ = closing.shutdown(Shutdown::Both);
        });
        let (reader, writer): (Box<dyn Read + Send>, Box<dyn Write + Send>) = match secured {
            None => (Box::new(reading), Box::new(socket)),
            Some(secured) => {
                let mut state = State {
                    connection: secured.connection,
                    said: Vec::new(),
                    ended: false,
                };
                let mut incoming = secured.incoming;
                state.decrypt(&mut incoming, &mut unread)?;
                let shared = Arc::new(Mutex::new(state));
                let reader = TlsReader {
                    socket: reading,
                    shared: shared.clone(),
                    incoming,
                    plain: Vec::new(),
                    taken: 0,
                };
                let writer = TlsWriter {
                    socket,
                    shared,
                    outgoing: Vec::new(),
                    sent: 0,
                };
                (Box::new(reader), Box::new(writer))
            }
        };
        Ok(Wire {
            reader,
            writer,
            close,
            unread,
        })
    }
}

/// What both directions of an encrypted connection work on.
struct State {
    connection: UnbufferedServerConnection,
    /// What TLS itself has to say, encrypted, to go before what is encrypted next.
    said: Vec<u8>,
    ended: bool,
}

impl State {
    /// Takes the complete records out of `incoming`.
    fn decrypt(&mut self, incoming: &mut Vec<u8>, plain: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let UnbufferedStatus {
                mut discard, state, ..
            } = self.connection.process_tls_records(incoming);
            let mut over = false;
            match state.map_err(broken)? {
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut self.said)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.ended = true;
                    over = true;
                }
                ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake => over = true,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
            incoming.drain(..discard);
            if over {
                return Ok(());
            }
        }
    }

    /// Appends what `plain` is encrypted to.
    fn encrypt(&mut self, plain: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            // Nothing that has come is looked at here: that is the reader's.
            match self
                .connection
                .process_tls_records(&mut [])
                .state
                .map_err(broken)?
            {
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut self.said)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    into.append(&mut self.said);
                    let start = into.len();
                    into.resize(start + plain.len() + 512, 0);
                    let encrypted = traffic.encrypt(plain, &mut into[start..]);
                    let bytes =
                        encrypted.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
                    into.truncate(start + bytes);
                    return Ok(());
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
}

struct TlsReader {
    socket: Socket,
    shared: Arc<Mutex<State>>,
    /// The beginning of a record.
    incoming: Vec<u8>,
    plain: Vec<u8>,
    /// Bytes of `plain` that were given out.
    taken: usize,
}

impl Read for TlsReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.plain.len() {
            (self.taken, self.plain) = (0, Vec::new());
            if self.shared.lock().ended {
                return Ok(0);
            }
            let mut received = [0; RECORD];
            let n = self.socket.read(&mut received)?;
            if n == 0 {
                return Ok(0);
            }
            self.incoming.extend_from_slice(&received[..n]);
            (self.shared.lock()).decrypt(&mut self.incoming, &mut self.plain)?;
        }
        let n = into.len().min(self.plain.len() - self.taken);
        into[..n].copy_from_slice(&self.plain[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

struct TlsWriter {
    socket: Socket,
    shared: Arc<Mutex<State>>,
    /// Encrypted bytes, of which `sent` have gone.
    outgoing: Vec<u8>,
    sent: usize,
}

impl Write for TlsWriter {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let piece = &plain[..plain.len().min(PIECE)];
        self.shared.lock().encrypt(piece, &mut self.outgoing)?;
        match self.flush() {
            // What is left goes before the next piece.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Err(error)
            }
            _ => Ok(piece.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.outgoing.len() {
            match self.socket.write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }
}
