//! Sending replies: what goes out with those of other connections, what the socket takes at once, what is kept for later, and what
//! waits for the disk.

use super::{Connection, Over, add};
use crate::outbox::Fate;
use crate::output::Unsent;
use crate::seat::{Kit, may_hold_back};
use resp::Out;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// Replies of at most so many bytes may wait for those of other connections.
const HELD_BACK: usize = 16 * 1024;

/// More unsent bytes than this nobody may have who has not said who it is: else whoever knows no password could fill the memory.
const FOR_STRANGERS: usize = 1024;

impl Connection {
    /// Sends replies, after those that are still unsent, or leaves them to be sent with those of others. Leaves `out` empty.
    /// `now_ns`: when the batch began that they answer, in Unix nanoseconds, or 0.
    pub(super) fn send(&mut self, out: &mut Out, now_ns: u64) -> Result<(), Over> {
        if out.is_empty() {
            return Ok(());
        }
        if self.unsent.is_none() && self.held_until.is_none() {
            if let Some(replies) = out.as_bytes()
                && self.hold_back(replies, now_ns)
            {
                out.clear();
                return Ok(());
            }
            // Who sends much may be ready all the time, and others have waited for it.
            self.seat.before_sleep();
        }
        self.send_held()?;
        if let Some(unsent) = &mut self.unsent {
            unsent.append(out);
            return Ok(());
        }
        if self.held_until.is_some() {
            self.unsent = Some(Box::new(Unsent::new(out, 0)));
            return Ok(());
        }
        let mut sent = 0;
        // Replies with large strings in them take a vectored write, which flush makes.
        let bytes = out.as_bytes().unwrap_or_default();
        while sent < bytes.len() {
            match self.stream.try_write(&bytes[sent..]) {
                Ok(0) => break,
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    out.clear();
                    return Err(Over);
                }
            }
        }
        self.count_out(sent);
        add(&self.load.writes, 1);
        if sent < out.len() {
            self.unsent = Some(Box::new(Unsent::new(out, sent)));
        } else {
            out.clear();
        }
        Ok(())
    }

    /// Leaves replies to be sent with those of others, if they are short; whether it has.
    #[inline]
    fn hold_back(&mut self, replies: &[u8], now_ns: u64) -> bool {
        let (Some(plain), Some(slot)) = (self.stream.plain(), self.slot) else {
            return false;
        };
        if replies.len() > HELD_BACK || !may_hold_back() {
            return false;
        }
        self.sending = self.seat.leave(slot, plain.socket(), replies, now_ns);
        add(&self.client.net_out, replies.len());
        true
    }

    /// Has its replies sent that were left to be sent with those of others, so that what follows them may be.
    pub(super) fn send_held(&mut self) -> Result<(), Over> {
        if self.sending == 0 {
            return Ok(());
        }
        self.seat.before_sleep();
        self.see_to_replies()
    }

    /// Sees to what the socket has not taken of replies that others have sent.
    #[cold]
    pub(super) fn see_to_replies(&mut self) -> Result<(), Over> {
        let Some(slot) = self.slot else { return Ok(()) };
        match self.seat.fate(slot, self.sending) {
            Fate::Waiting => return Ok(()),
            Fate::Sent => {}
            Fate::Left(rest) => {
                debug_assert!(self.unsent.is_none(), "what is held back comes first");
                self.unsent = Some(Box::new(Unsent::of_rest(&rest)));
            }
            Fate::Lost => return Err(Over),
        }
        self.sending = 0;
        Ok(())
    }

    /// Sends what is unsent, as far as the socket takes it; the task is woken when it takes more.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, kit: &Kit) -> Result<(), Over> {
        if let Some(piece) = self.held_until
            && let Some(keeper) = kit.engine.persistence()
        {
            if self.announced < piece {
                self.announced = piece;
                self.seat.held.wait(piece, cx.waker());
            }
            if !self.seat.held.is_decided(piece) {
                return Ok(());
            }
            match keeper.poll_durable(piece, cx.waker()) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => {
                    self.held_until = None;
                    // Others wait for the same sync.
                    if let Some(unsent) = self.unsent.take()
                        && !unsent
                            .as_bytes()
                            .is_some_and(|replies| self.hold_back(replies, 0))
                    {
                        self.unsent = Some(unsent);
                    }
                }
                Poll::Ready(Err(why)) => {
                    // It was promised that what is answered is kept.
                    self.warn(&format!("its changes could not be kept ({why})"));
                    return Err(Over);
                }
            }
        }
        let Some(unsent) = &mut self.unsent else {
            if self.stream.is_pending()
                && matches!(self.stream.poll_pending(cx), Poll::Ready(Err(_)))
            {
                return Err(Over);
            }
            return Ok(());
        };
        let before = unsent.len();
        let flushed = unsent.poll_flush(&mut self.stream, cx);
        let written = before - unsent.len();
        let over = match flushed {
            Poll::Ready(Ok(())) => {
                self.unsent = None;
                if let Poll::Ready(Err(_)) = self.stream.poll_pending(cx) {
                    return Err(Over);
                }
                false
            }
            Poll::Ready(Err(_)) => return Err(Over),
            Poll::Pending => {
                let limits = &kit.engine.config().live.output_limits;
                let limit = &limits[self.client.class()];
                let stranger =
                    (self.session.as_ref()).is_some_and(|session| !session.limits().authenticated);
                let over = unsent.over_limit(limit, cx) || stranger && unsent.len() > FOR_STRANGERS;
                limit.disconnections.fetch_add(u64::from(over), Relaxed);
                over
            }
        };
        if written > 0 {
            add(&self.load.writes, 1);
            self.count_out(written);
            // A client that takes a long reply bit by bit is not idle.
            self.not_idle();
        }
        if over {
            self.warn("over client-output-buffer-limit");
            return Err(Over);
        }
        Ok(())
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.len())
    }

    fn count_out(&self, bytes: usize) {
        add(&self.load.bytes_out, bytes);
        add(&self.client.net_out, bytes);
    }
}
