//! A connection that is encrypted.
//!
//! The library is used in the form in which it owns no buffers: what arrives is decrypted in a buffer of the thread, and what
//! leaves is encrypted in another. A connection that waits holds none; only the beginning of a record that has not come whole, and
//! what the socket did not take, are kept with it.

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncRead;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Plain bytes that are encrypted at once.
const PIECE: usize = 64 * 1024;

/// The longest record with all that may go around it.
const RECORD: usize = 16 * 1024 + 512;

/// Room for a piece in records, and for what TLS itself has to say.
const CIPHERTEXT: usize = PIECE + 8 * 1024;

/// What the encrypted connections of a thread share.
struct Scratch {
    read: Vec<u8>,
    /// Plain bytes of several slices, put together.
    gathered: Vec<u8>,
    write: Box<[u8]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        read: vec![0; PIECE + RECORD],
        gathered: Vec::new(),
        write: vec![0; CIPHERTEXT].into(),
    });
}

/// The state of an encryption that both sides have agreed on.
pub(crate) struct Secured {
    pub connection: UnbufferedServerConnection,
    /// What has come and is not decrypted yet.
    pub incoming: Vec<u8>,
}

/// An encrypted socket.
pub(crate) struct TlsStream {
    socket: TcpStream,
    connection: UnbufferedServerConnection,
    /// The beginning of a record.
    incoming: Vec<u8>,
    /// Encrypted bytes that the socket did not take, of which `sent` have gone since.
    outgoing: Vec<u8>,
    sent: usize,
    /// There may be something to decrypt that has come already.
    unlooked: bool,
    /// The client has said that it sends nothing more.
    ended: bool,
}

impl TlsStream {
    pub fn new(socket: TcpStream, secured: Secured) -> TlsStream {
        TlsStream {
            socket,
            connection: secured.connection,
            incoming: secured.incoming,
            outgoing: Vec::new(),
            sent: 0,
            unlooked: true,
            ended: false,
        }
    }

    /// The socket and the state of its encryption. Nothing may be pending.
    pub fn into_parts(self) -> (TcpStream, Secured) {
        let secured = Secured {
            connection: self.connection,
            incoming: self.incoming,
        };
        (self.socket, secured)
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn is_pending(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Reads at most `room` bytes and gives what they decrypt to, at most one record more than that, to `take`. Returns how much
    /// it was; 0 at the end.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                if self.ended {
                    return Poll::Ready(Ok(0));
                }
                let left = self.incoming.len();
                if scratch.read.len() < left + RECORD {
                    // A message of the handshake's kind that is longer than a record.
                    scratch.read.resize(left + RECORD, 0);
                }
                let end = (left + room).min(scratch.read.len());
                let mut received = 0;
                if !mem::take(&mut self.unlooked) {
                    let mut unread = ReadBuf::new(&mut scratch.read[left..end]);
                    ready!(Pin::new(&mut self.socket).poll_read(cx, &mut unread))?;
                    received = unread.filled().len();
                    if received == 0 {
                        self.ended = true;
                        return Poll::Ready(Ok(0));
                    }
                }
                scratch.read[..left].copy_from_slice(&self.incoming);
                let bytes = &mut scratch.read[..left + received];
                let mut taken = 0;
                let done = self.decrypt(bytes, |plain| {
                    taken += plain.len();
                    take(plain);
                });
                let flushed = self.try_flush();
                let done = done?;
                flushed?;
                if done == bytes.len() {
                    self.incoming = Vec::new();
                } else {
                    self.incoming.clear();
                    self.incoming.extend_from_slice(&bytes[done..]);
                }
                if taken > 0 {
                    return Poll::Ready(Ok(taken));
                }
            }
        })
    }

    /// Takes the complete records out of `bytes` and returns how many bytes are done with.
    fn decrypt(&mut self, bytes: &mut [u8], mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut done = 0;
        loop {
            let UnbufferedStatus {
                mut discard, state, ..
            } = self.connection.process_tls_records(&mut bytes[done..]);
            let mut over = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        take(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.outgoing)?
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.ended = true;
                    over = true;
                }
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                    over = true
                }
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(error) => {
                    last_words(&mut self.connection, &mut self.outgoing);
                    return Err(broken(error));
                }
            }
            done += discard;
            if over {
                return Ok(done);
            }
        }
    }

    /// Encrypts the first bytes and sends them as far as the socket takes them; returns how many of the plain ones are done
    /// with. What the socket does not take now is kept. `WouldBlock` while something is kept.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.try_flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let piece = &bytes[..bytes.len().min(PIECE)];
        SCRATCH.with_borrow_mut(|scratch| {
            let encrypted = self.encrypt(piece, &mut scratch.write)?;
            self.send(&scratch.write[..encrypted])?;
            Ok(piece.len())
        })
    }

    /// The same for several slices, for a task that is woken when there is room.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.gathered.clear();
            for slice in slices {
                let room = PIECE - scratch.gathered.len();
                scratch
                    .gathered
                    .extend_from_slice(&slice[..slice.len().min(room)]);
            }
            let encrypted = self.encrypt(&scratch.gathered, &mut scratch.write)?;
            self.send(&scratch.write[..encrypted])?;
            Poll::Ready(Ok(scratch.gathered.len()))
        })
    }

    /// Encrypts into `into`, after what TLS itself has to say; returns how many bytes that makes.
    fn encrypt(&mut self, plain: &[u8], into: &mut [u8]) -> io::Result<usize> {
        let mut said = Vec::new();
        loop {
            // With what has come of a message, which it may have begun to look at.
            let status = self.connection.process_tls_records(&mut self.incoming);
            match status.state.map_err(broken)? {
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut said)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    into[..said.len()].copy_from_slice(&said);
                    let encrypted = traffic.encrypt(plain, &mut into[said.len()..]);
                    return match encrypted {
                        Ok(bytes) => Ok(said.len() + bytes),
                        Err(EncryptError::InsufficientSize(_)) => {
                            Err(io::ErrorKind::OutOfMemory.into())
                        }
                        Err(EncryptError::EncryptExhausted) => {
                            Err(io::ErrorKind::BrokenPipe.into())
                        }
                    };
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Sends encrypted bytes, before which nothing waits; keeps what the socket does not take.
    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outgoing.extend_from_slice(bytes);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it; whether that was all.
    fn try_flush(&mut self) -> io::Result<bool> {
        while self.is_pending() {
            match self.socket.try_write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.sent > 0 {
            (self.outgoing, self.sent) = (Vec::new(), 0);
        }
        Ok(true)
    }

    /// The same for a task that is woken when the socket takes more.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_pending() {
            let sent =
                ready!(Pin::new(&mut self.socket).poll_write(cx, &self.outgoing[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        if self.sent > 0 {
            (self.outgoing, self.sent) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what comes without looking at it.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(into)
    }

    /// Tells the other side that nothing more comes.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut alert = [0; 256];
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self
            .connection
            .process_tls_records(&mut self.incoming)
            .state
            && let Ok(bytes) = traffic.queue_close_notify(&mut alert)
        {
            // Without it the client sees the end of the connection, which is as good.
            let _ = self.send(&alert[..bytes]);
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Appends what TLS itself has to say.
pub(crate) fn encode<Data>(
    data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let start = into.len();
    match data.encode(&mut []) {
        Ok(_) => Ok(()),
        Err(EncodeError::InsufficientSize(size)) => {
            into.resize(start + size.required_size, 0);
            let written = data.encode(&mut into[start..]).map_err(io::Error::other)?;
            into.truncate(start + written);
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Appends what the library has to say to the other side after an error, which is what went wrong. After that nothing must be asked
/// of it any more.
pub(crate) fn last_words(connection: &mut UnbufferedServerConnection, into: &mut Vec<u8>) {
    while connection.wants_write() {
        // Nothing that has come is looked at again: what is to be sent is given out first.
        let said = match connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, into).is_ok(),
            _ => false,
        };
        if !said {
            break;
        }
    }
}

/// A mistake of the other side, or of somebody in between.
pub(crate) fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
