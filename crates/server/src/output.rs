//! The replies a connection could not send yet.
//!
//! A client that reads as fast as it asks never has any: its replies go out in the write right after they were made. When
//! the socket takes no more, the rest waits here until it does, within the limits of `client-output-buffer-limit`.

use crate::stream::Stream;
use engine::config::LiveOutputLimit;
use resp::Out;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Slices handed to one vectored write.
const SLICES: usize = 64;

/// Replies are collected in pieces of about this size, so that what is sent is freed while more is added.
const PIECE: usize = 64 * 1024;

/// Pieces that are looked at to see what others have of them.
const LOOKED_AT: usize = 64;

/// Bytes that are sent before other connections have their turn. A client that reads as fast as it is written to would else
/// keep the worker for as long as its reply is: a value of 40 MB took 40 to 70 ms.
const TURN: usize = 256 * 1024;

/// A queue of replies.
pub(crate) struct Unsent {
    pieces: VecDeque<Out>,
    /// Bytes of the first piece that are gone already.
    sent: usize,
    /// Bytes still to send, of all pieces.
    left: usize,
    /// Runs while the soft limit is exceeded.
    over_soft: Option<Pin<Box<Sleep>>>,
}

impl Unsent {
    /// Takes the replies out of `out`, of which `sent` bytes are gone.
    pub fn new(out: &mut Out, sent: usize) -> Unsent {
        let left = out.len() - sent;
        Unsent {
            pieces: VecDeque::from([out.take()]),
            sent,
            left,
            over_soft: None,
        }
    }

    /// What a socket has not taken of replies.
    pub fn of_rest(rest: &[u8]) -> Unsent {
        let mut out = Out::default();
        out.raw(rest);
        Unsent::new(&mut out, 0)
    }

    /// All of it, if nothing is gone yet and it is one string of bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match (self.sent, self.pieces.front()) {
            (0, Some(piece)) if self.pieces.len() == 1 => piece.as_bytes(),
            _ => None,
        }
    }

    /// Bytes still to send.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Bytes that others have to send, or to keep, as well: see [`Out::borne_by_others`]. Of very many pieces only some are looked at.
    pub fn borne_by_others(&self) -> usize {
        let pieces = self.pieces.iter().take(LOOKED_AT);
        pieces.map(Out::borne_by_others).sum()
    }

    /// Pieces still to send.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Takes more replies out of `out`.
    pub fn append(&mut self, out: &mut Out) {
        self.left += out.len();
        match self.pieces.back_mut() {
            Some(last) if last.len() < PIECE => last.append(out),
            _ => self.pieces.push_back(out.take()),
        }
    }

    /// Writes as much as the socket takes and other connections can wait for. `Ready(Ok)` means that all of it is gone;
    /// `Pending` that the task will be woken when it is to go on.
    pub fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut turn = TURN;
        while let Some(piece) = self.pieces.front() {
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.sent == piece.len() {
                self.pieces.pop_front();
                self.sent = 0;
                continue;
            }
            let mut slices = Vec::new();
            piece.slices(self.sent, &mut slices, SLICES);
            let (mut part, mut room) = (Vec::with_capacity(slices.len()), turn);
            for slice in &slices {
                let slice = &slice[..slice.len().min(room)];
                room -= slice.len();
                part.push(IoSlice::new(slice));
                if room == 0 {
                    break;
                }
            }
            match stream.poll_write_vectored(cx, &part) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.sent += n;
                    self.left -= n;
                    turn -= n;
                }
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the client has to go: it is over the hard limit, or has been over the soft one for too long. If it is
    /// over the soft one now, the task will be woken when its time is up.
    pub fn over_limit(&mut self, limit: &LiveOutputLimit, cx: &mut Context<'_>) -> bool {
        let (hard, soft) = (limit.hard.load(Relaxed), limit.soft.load(Relaxed));
        let len = self.left as u64;
        if hard > 0 && len >= hard {
            return true;
        }
        if soft == 0 || len < soft {
            self.over_soft = None;
            return false;
        }
        let timer = self.over_soft.get_or_insert_with(|| {
            let seconds = Duration::from_secs(limit.soft_seconds.load(Relaxed));
            Box::pin(tokio::time::sleep_until(Instant::now() + seconds))
        });
        timer.as_mut().poll(cx).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::Proto;
    use std::io::Read;
    use std::sync::Arc;

    /// However fast a client reads, others have their turn, and in the end it has all of it.
    #[test]
    fn a_long_reply_is_sent_in_turns() -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).map(|_| read.len())
        });
        let mut out = Out::new(Proto::Resp2);
        for _ in 0..100 {
            out.shared(&Arc::new(vec![b'x'; 100_000]));
            out.ok();
        }
        let all = out.len();
        runtime.block_on(async {
            let mut stream = Stream::new(std::os::fd::OwnedFd::from(ours).into(), 0, None)?;
            let mut unsent = Unsent::new(&mut out, 0);
            std::future::poll_fn(|cx| {
                let before = unsent.len();
                let flushed = unsent.poll_flush(&mut stream, cx);
                assert!(before - unsent.len() <= TURN, "more than a turn");
                flushed
            })
            .await
        })?;
        assert_eq!(reader.join().expect("a reader")?, all);
        Ok(())
    }
}
