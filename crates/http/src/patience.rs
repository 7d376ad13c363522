//! Patience with who does not read: a socket that takes nothing of what is to be written is given up after a while.
//!
//! A client that sends requests and reads no answers would otherwise have its connection, one of those that the port has, for
//! as long as it likes. It stands around the socket itself, below encryption, which takes plain bytes in before any have left.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long nothing of what is to be written may leave.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket whose writes fail once one has waited for long with nothing going out.
pub struct Patient<S> {
    socket: S,
    patience: Duration,
    /// Ends the patience with the write that waits. None as long as none does.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Nothing has been written yet.
    pub fn new(socket: S) -> Patient<S> {
        Patient {
            socket,
            patience: PATIENCE,
            waits: None,
        }
    }

    /// The outcome of a write, or of what has to wait for writes: one that waits fails if none has got on for long.
    fn outcome<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waits = None;
            return outcome;
        }
        let patience = self.patience;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.outcome(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.outcome(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP socket has nothing to flush, so that this says nothing about whether anything has left.
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Takes so many writes, and then none.
    struct Takes(usize);

    impl AsyncWrite for Takes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            match self.0 {
                0 => Poll::Pending,
                _ => {
                    self.0 -= 1;
                    Poll::Ready(Ok(bytes.len()))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_socket_that_takes_nothing_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut patient = Patient::new(Takes(1));
            patient.patience = Duration::from_millis(1);
            let first = poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, b"abc")).await;
            assert_eq!(first.ok(), Some(3));
            assert!(patient.waits.is_none());
            let second = poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, b"abc")).await;
            let error = second.err().map(|error| error.kind());
            assert_eq!(error, Some(io::ErrorKind::TimedOut));
            // What goes out begins the patience anew.
            patient.socket.0 = 1;
            let third = poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, b"abc")).await;
            assert!(third.is_ok() && patient.waits.is_none());
        });
    }

    /// A flush says nothing about what has left.
    #[test]
    fn flushing_is_no_progress() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(poll_fn(|cx| {
            let mut patient = Patient::new(Takes(0));
            assert!(Pin::new(&mut patient).poll_write(cx, b"abc").is_pending());
            assert!(Pin::new(&mut patient).poll_flush(cx).is_ready());
            assert!(patient.waits.is_some());
            Poll::Ready(())
        }));
    }
}
