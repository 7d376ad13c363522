//! A connected socket: TCP, encrypted or not, or unix.

use crate::plain::Plain;
use crate::tls_stream::{Secured, TlsStream};
use socket2::{Domain, Socket, TcpKeepalive};
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// Probes without an answer before the kernel gives a connection up.
const KEEPALIVE_PROBES: u32 = 3;

/// What an encrypted stream may hold back of earlier reads, in plain bytes: the beginning of a record, and one that came with
/// the handshake.
const RECORDS: usize = 2 * (16 * 1024 + 512);

/// Bytes of an encrypted stream that are read at once.
const LARGEST_READ: usize = 64 * 1024;

/// A client's socket, registered with the runtime of the thread it was made on.
pub(crate) enum Stream {
    Plain(Plain),
    Tls(Box<TlsStream>),
    /// It was given away.
    Gone,
}

impl Stream {
    /// Registers an accepted socket with the current runtime. `keepalive_s` of 0 leaves probes off. `secured` is what was agreed
    /// on with a client of TLS.
    pub fn new(
        socket: Socket,
        keepalive_s: u64,
        secured: Option<Box<Secured>>,
    ) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            return Ok(Stream::Plain(Plain::new(socket)?));
        }
        // Replies are written whole, so that holding back a short one only adds delay.
        socket.set_tcp_nodelay(true)?;
        if keepalive_s > 0 {
            let probes = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive_s))
                .with_interval(Duration::from_secs((keepalive_s / 3).max(1)))
                .with_retries(KEEPALIVE_PROBES);
            // The kernel bounds these times; a client that cannot be probed is still a client.
            let _ = socket.set_tcp_keepalive(&probes);
        }
        Ok(match secured {
            Some(secured) => {
                let socket = TcpStream::from_std(socket.into())?;
                Stream::Tls(Box::new(TlsStream::new(socket, *secured)))
            }
            None => Stream::Plain(Plain::new(socket)?),
        })
    }

    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Plain(stream) => stream.poll_read(cx, buf),
            Stream::Tls(stream) => {
                // What has come before and one record at most are decrypted besides.
                let room = buf.remaining().saturating_sub(RECORDS);
                let read = stream.poll_read(cx, room, |plain| buf.put_slice(plain));
                read.map_ok(|_| ())
            }
        }
    }

    /// Appends what there is to `bytes`, at most as much as it has room for; of an encrypted stream a record more.
    pub fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Plain(stream) => stream.poll_read_buf(cx, bytes),
            Stream::Tls(stream) => {
                let room = (bytes.capacity() - bytes.len()).clamp(1, LARGEST_READ);
                stream.poll_read(cx, room, |plain| bytes.extend_from_slice(plain))
            }
        }
    }

    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Plain(stream) => stream.poll_write_vectored(cx, slices),
            Stream::Tls(stream) => stream.poll_write_vectored(cx, slices),
        }
    }

    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
            Stream::Plain(stream) => stream.try_write(bytes),
            Stream::Tls(stream) => stream.try_write(bytes),
        }
    }

    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
            Stream::Plain(stream) => stream.try_read(into),
            Stream::Tls(stream) => stream.try_read(into),
        }
    }

    /// The socket, if what is written to it goes out as it is.
    #[inline]
    pub fn plain(&self) -> Option<&Plain> {
        match self {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(_) | Stream::Gone => None,
        }
    }

    /// Whether bytes that count as written still wait for the socket: what they were encrypted to.
    #[inline]
    pub fn is_pending(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.is_pending())
    }

    /// Sends those, as far as the socket takes them; the task is woken when it takes more.
    pub fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tls(stream) => stream.poll_flush(cx),
            Stream::Plain(_) | Stream::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Tells the other side that nothing more comes. Reading afterwards gives what comes as it is, to be thrown away.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Gone => Poll::Ready(Ok(())),
            Stream::Plain(stream) => Poll::Ready(stream.shutdown()),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}
