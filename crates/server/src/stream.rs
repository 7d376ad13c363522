//! A connected socket, TCP or unix.

use socket2::{Domain, Socket, TcpKeepalive};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Probes without an answer before the kernel gives a connection up.
const KEEPALIVE_PROBES: u32 = 3;

/// A client's socket, registered with the runtime of the thread it was made on.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Registers an accepted socket with the current runtime. `keepalive_s` of 0 leaves probes off.
    pub fn new(socket: Socket, keepalive_s: u64) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            return Ok(Stream::Unix(UnixStream::from_std(socket.into())?));
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
        Ok(Stream::Tcp(TcpStream::from_std(socket.into())?))
    }

    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    /// Appends what there is to `bytes`, at most as much as it has room for.
    pub fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => pin!(stream.read_buf(bytes)).poll(cx),
            Stream::Unix(stream) => pin!(stream.read_buf(bytes)).poll(cx),
        }
    }

    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        }
    }

    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_read(into),
            Stream::Unix(stream) => stream.try_read(into),
        }
    }

    /// Tells the other side that nothing more comes.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
