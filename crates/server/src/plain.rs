//! A socket without encryption, registered with its worker's runtime, on which the worker may write as well.
//!
//! It is shared, so that replies of several connections can be sent together ([`crate::outbox`]) without asking their tasks. All
//! else is as in the runtime's own sockets: what readiness the kernel has told of is believed until a call finds
//! otherwise, and a read that did not fill its buffer has emptied the socket.

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::Socket;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// A TCP or unix socket.
pub(crate) struct Plain(AsyncFd<Arc<Socket>>);

impl Plain {
    /// Registers a socket that does not block with the current runtime.
    #[expect(
        deprecated,
        reason = "what is unsound about it, a descriptor that changes while it is registered, no Socket can do"
    )]
    pub fn new(socket: Socket) -> io::Result<Plain> {
        AsyncFd::new(Arc::new(socket)).map(Plain)
    }

    /// The socket, to be written to on the thread that serves it.
    #[inline]
    pub fn socket(&self) -> &Arc<Socket> {
        self.0.get_ref()
    }

    /// Leaves the runtime. An error while others have the socket as well.
    pub fn into_socket(self) -> io::Result<Socket> {
        Arc::try_unwrap(self.0.into_inner()).map_err(|_| io::ErrorKind::ResourceBusy.into())
    }

    /// Reads what has come.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.poll_receive(cx, buf.remaining(), |socket| {
            recv(socket, buf.initialize_unfilled(), RecvFlags::empty()).map(|(n, _)| n)
        });
        read.map_ok(|n| buf.advance(n))
    }

    /// Appends what has come to `bytes`, as much as it has room for.
    pub fn poll_read_buf(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(64);
        }
        let room = bytes.capacity() - bytes.len();
        self.poll_receive(cx, room, |socket| {
            recv(socket, spare_capacity(bytes), RecvFlags::empty()).map(|(n, _)| n)
        })
    }

    #[inline]
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut receive: impl FnMut(&Socket) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readiness = ready!(self.0.poll_read_ready(cx))?;
            match receive(self.socket()) {
                Ok(n) => {
                    if 0 < n && n < room {
                        readiness.clear_ready();
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(rustix::io::Errno::AGAIN) => readiness.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Writes what the socket takes.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readiness = ready!(self.0.poll_write_ready(cx))?;
            let flags = SendFlags::NOSIGNAL.bits() as i32;
            match readiness.try_io(|fd| fd.get_ref().send_vectored_with_flags(slices, flags)) {
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    /// Writes what the socket takes now.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .try_io(Interest::WRITABLE, |socket| send_now(socket, bytes))
    }

    /// Reads what has come, if anything has.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_io(Interest::READABLE, |socket| {
            let (n, _) = recv(&**socket, into, RecvFlags::empty())?;
            Ok(n)
        })
    }

    /// Tells the other side that nothing more comes.
    pub fn shutdown(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }
}

/// Writes what a socket takes now. No signal is raised if there is nobody at the other end.
#[inline]
pub(crate) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
}
