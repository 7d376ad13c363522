//! Replies of several connections, sent together once all that were ready have had their turn.
//!
//! A write to a client that waits wakes it, and that costs more than a command does. If replies go out one connection after the
//! other, a program with many connections is woken for each, finds one reply, and sleeps again. So a connection that has
//! executed what it was sent leaves its replies here, and the worker sends them before it goes to sleep itself (or
//! earlier: see [`Outbox::push`]), when the client's program is woken once and finds all of them. A connection that is alone loses
//! nothing by this: the worker goes to sleep right after it.
//!
//! What a socket does not take goes back to its connection, which sends it like all that is too long for its socket.

use crate::plain::send_now;
use socket2::Socket;
use std::io;
use std::mem;
use std::sync::Arc;

/// Connections whose replies are held back at most. More would only make the first of them wait longer.
const MOST: usize = 32;

/// Bytes from which replies are not held back any longer.
const BYTES: usize = 64 * 1024;

/// Nanoseconds that a reply is held back at most while others are ready, not counting the batch that runs then.
const LONGEST_NS: u64 = 250_000;

/// The replies that a worker holds back.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Whose they are, in the order in which they were left here.
    due: Vec<Due>,
    /// When the first of them was left here, in Unix nanoseconds.
    since_ns: u64,
    /// How often they were sent.
    flushes: u64,
    /// What sockets did not take.
    stuck: Vec<Stuck>,
}

struct Due {
    slot: usize,
    socket: Arc<Socket>,
    /// Where its replies end.
    end: usize,
}

struct Stuck {
    slot: usize,
    /// The rest, or why there is nobody to send it to.
    rest: io::Result<Vec<u8>>,
}

/// What became of replies that were left in an [`Outbox`].
#[derive(Debug)]
pub(crate) enum Fate {
    /// They are still there.
    Waiting,
    Sent,
    /// These bytes are still to be sent.
    Left(Vec<u8>),
    /// Nobody receives them.
    Lost,
}

impl Outbox {
    /// Leaves replies here, which are sent behind all that this connection has left before. `now_ns`: when the batch began that
    /// they are the end of. Returns the number of the sending that they will be part of, and whether that should be now.
    pub fn push(
        &mut self,
        slot: usize,
        socket: &Arc<Socket>,
        replies: &[u8],
        now_ns: u64,
    ) -> (u64, bool) {
        if self.due.is_empty() {
            self.since_ns = now_ns;
        }
        self.bytes.extend_from_slice(replies);
        let end = self.bytes.len();
        match self.due.last_mut() {
            Some(last) if last.slot == slot => last.end = end,
            _ => self.due.push(Due {
                slot,
                socket: socket.clone(),
                end,
            }),
        }
        let full = self.due.len() >= MOST
            || end >= BYTES
            || now_ns.saturating_sub(self.since_ns) >= LONGEST_NS;
        (self.flushes + 1, full)
    }

    /// Sends all that is here. Calls `written` with the bytes that a socket took, and `wake` with the slot of each
    /// connection that has to see to the rest.
    pub fn flush(&mut self, mut written: impl FnMut(usize), mut wake: impl FnMut(usize)) {
        if self.due.is_empty() {
            return;
        }
        self.flushes += 1;
        let mut start = 0;
        for Due { slot, socket, end } in self.due.drain(..) {
            let mut replies = &self.bytes[mem::replace(&mut start, end)..end];
            if let Some(stuck) = self.stuck.iter_mut().find(|stuck| stuck.slot == slot) {
                if let Ok(rest) = &mut stuck.rest {
                    rest.extend_from_slice(replies);
                }
                // It may have had a turn in between, when there was no more to see to yet.
                wake(slot);
                continue;
            }
            let rest = loop {
                match send_now(&socket, replies) {
                    Ok(n) if n > 0 => {
                        written(n);
                        replies = &replies[n..];
                        if replies.is_empty() {
                            break None;
                        }
                    }
                    Ok(_) => break Some(Ok(replies.to_vec())),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        break Some(Ok(replies.to_vec()));
                    }
                    Err(e) => break Some(Err(e)),
                }
            };
            if let Some(rest) = rest {
                self.stuck.push(Stuck { slot, rest });
                wake(slot);
            }
        }
        self.bytes.clear();
    }

    /// Whether there is something that sockets did not take.
    pub fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// What became of the replies that a connection has left here last, which is then not to be asked again unless they are
    /// [`Fate::Waiting`]. `sending`: what [`Outbox::push`] said of them.
    pub fn fate(&mut self, slot: usize, sending: u64) -> Fate {
        match self.stuck.iter().position(|stuck| stuck.slot == slot) {
            Some(at) if self.flushes >= sending => match self.stuck.swap_remove(at).rest {
                Ok(rest) => Fate::Left(rest),
                Err(_) => Fate::Lost,
            },
            _ if self.flushes >= sending => Fate::Sent,
            _ => Fate::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Arc<Socket>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("an option of a socket");
        (Arc::new(OwnedFd::from(ours).into()), theirs)
    }

    fn read(from: &mut UnixStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).expect("bytes that were sent");
        bytes
    }

    #[test]
    fn each_gets_what_is_its_own_in_order() {
        let ((a, mut at_a), (b, mut at_b)) = (pair(), pair());
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(1, &a, b"1", 0), (1, false));
        assert_eq!(outbox.push(2, &b, b"x", 0), (1, false));
        assert_eq!(outbox.push(2, &b, b"y", 0), (1, false));
        assert_eq!(outbox.push(1, &a, b"2", 0), (1, false));
        assert!(matches!(outbox.fate(1, 1), Fate::Waiting));
        let mut written = 0;
        outbox.flush(
            |n| written += n,
            |slot| panic!("{slot} has nothing to see to"),
        );
        assert_eq!(written, 4);
        assert_eq!(
            (read(&mut at_a, 2), read(&mut at_b, 2)),
            (b"12".into(), b"xy".into())
        );
        assert!(matches!(outbox.fate(1, 1), Fate::Sent));
        assert_eq!(outbox.push(1, &a, b"3", 0).0, 2);
    }

    #[test]
    fn it_is_full_by_connections_bytes_and_time() {
        let (socket, _theirs) = pair();
        let full = |pushes: &mut dyn Iterator<Item = (usize, usize, u64)>| {
            let mut outbox = Outbox::default();
            let full =
                pushes.map(|(slot, len, ns)| outbox.push(slot, &socket, &vec![0; len], ns).1);
            full.collect::<Vec<_>>()
        };
        let by_connections = full(&mut (0..MOST).map(|slot| (slot, 1, 0)));
        assert_eq!(by_connections.iter().position(|full| *full), Some(MOST - 1));
        let by_bytes = full(&mut [(0, BYTES - 1, 0), (1, 1, 0)].into_iter());
        assert_eq!(by_bytes, [false, true]);
        let by_time = [(0, 1, 5), (1, 1, 4 + LONGEST_NS), (2, 1, 5 + LONGEST_NS)];
        assert_eq!(full(&mut by_time.into_iter()), [false, false, true]);
    }

    /// What a socket does not take goes back to its connection, with all that was left behind it, and others get theirs.
    #[test]
    fn the_rest_goes_back() {
        let ((a, mut at_a), (b, mut at_b)) = (pair(), pair());
        let mut outbox = Outbox::default();
        let long: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).collect();
        let (mut written, mut woken) = (0, Vec::new());
        outbox.push(1, &a, &long, 0);
        outbox.push(2, &b, b"x", 0);
        outbox.flush(|n| written += n, |slot| woken.push(slot));
        assert!(outbox.is_stuck());
        assert_eq!(read(&mut at_b, 1), b"x");
        // It was not asked for before more was left.
        outbox.push(1, &a, b"more", 0);
        assert!(matches!(outbox.fate(1, 2), Fate::Waiting));
        outbox.flush(|n| written += n, |slot| woken.push(slot));
        assert_eq!(woken, [1, 1]);
        let Fate::Left(rest) = outbox.fate(1, 2) else {
            panic!("the socket cannot take as much");
        };
        assert!(!outbox.is_stuck());
        let sent = read(&mut at_a, written - 1);
        assert_eq!([sent, rest].concat(), [long.as_slice(), b"more"].concat());
    }

    #[test]
    fn nobody_receives_it() {
        let (a, theirs) = pair();
        drop(theirs);
        let (mut outbox, mut woken) = (Outbox::default(), Vec::new());
        outbox.push(7, &a, b"1", 0);
        outbox.flush(|_| panic!("nobody takes it"), |slot| woken.push(slot));
        assert_eq!(woken, [7]);
        assert!(matches!(outbox.fate(7, 1), Fate::Lost));
        assert!(!outbox.is_stuck());
    }
}
