//! What others have to say to a client: messages of channels, keys to forget, what MONITOR shows.
//!
//! Whoever has a message puts it into the client's [`Outbox`] and goes on: it waits neither for the client's worker nor for
//! its socket. A message is encoded once for each protocol version and shared by all who get it. The client's task is
//! woken by the first message only, until it has taken what there is; it sends the replies of the commands it has executed
//! before that.
//!
//! A client that does not read is closed by whoever finds that too much has piled up for it
//! (`client-output-buffer-limit`), so that it costs others no more than that much memory.

use crate::client::clients::{Client, Kind};
use crate::config::LiveOutputLimit;
use parking_lot::Mutex;
use resp::{Out, Proto};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Messages handed over under one hold of the lock, which those who have more to say wait for.
const AT_ONCE: usize = 256;

/// Places for messages that an empty outbox keeps at most.
const KEEP: usize = 1024;

/// With fewer bytes in it nobody asks who else has the messages.
const WORTH_A_LOOK: usize = 16 * 1024;

/// Messages that are looked at for that.
const LOOKED_AT: usize = 64;

/// The output buffer limits of normal clients, replicas and subscribers.
pub(crate) type Limits = [LiveOutputLimit; 3];

/// Messages for one client, in the order in which they are to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Bytes of the messages.
    bytes: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Arc<Vec<u8>>>,
    /// The client's task has been woken since it last looked.
    woken: bool,
}

impl Outbox {
    /// Bytes that wait in it.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Messages that wait in it.
    pub fn len(&self) -> usize {
        self.queue.lock().messages.len()
    }

    /// Whether nothing waits in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Bytes in it that others bear, if everybody who has a message bears an equal part of it. Of very many messages it looks at some, and
    /// takes the others to be like them.
    pub fn borne_by_others(&self) -> usize {
        let bytes = self.bytes();
        if bytes < WORTH_A_LOOK {
            return 0;
        }
        let queue = self.queue.lock();
        let every = queue.messages.len() / LOOKED_AT + 1;
        let (mut all, mut own) = (0, 0);
        for message in queue.messages.iter().step_by(every) {
            all += message.len();
            own += message.len() / Arc::strong_count(message);
        }
        match all {
            0 => 0,
            _ => ((all - own) as u128 * bytes as u128 / all as u128) as usize,
        }
    }

    /// Moves all messages to a connection's output.
    pub fn drain(&self, out: &mut Out) {
        loop {
            let mut queue = self.queue.lock();
            let n = queue.messages.len().min(AT_ONCE);
            let mut taken = 0;
            for message in queue.messages.drain(..n) {
                taken += message.len();
                out.raw_shared(&message);
            }
            self.bytes.fetch_sub(taken, Relaxed);
            if queue.messages.is_empty() {
                queue.woken = false;
                if queue.messages.capacity() > KEEP {
                    queue.messages = VecDeque::new();
                }
                return;
            }
        }
    }

    /// Drops all messages: nobody gets them any more.
    fn forget(&self) {
        let mut queue = self.queue.lock();
        let dropped = std::mem::take(&mut queue.messages);
        self.bytes
            .fetch_sub(dropped.iter().map(|m| m.len()).sum(), Relaxed);
        drop(queue);
    }

    /// Takes the first message.
    pub fn pop(&self) -> Option<Arc<Vec<u8>>> {
        let mut queue = self.queue.lock();
        let message = queue.messages.pop_front();
        match &message {
            Some(message) => {
                self.bytes.fetch_sub(message.len(), Relaxed);
            }
            None => queue.woken = false,
        }
        message
    }

    /// Adds a message; whether the client has to be woken for it. `form` chooses the message's form under the lock: a
    /// client that changes its protocol version does so and then takes what is here, and nothing of the old form comes later.
    fn push<'a>(&self, form: impl FnOnce() -> &'a Arc<Vec<u8>>) -> bool {
        let mut queue = self.queue.lock();
        let message = form().clone();
        self.bytes.fetch_add(message.len(), Relaxed);
        queue.messages.push_back(message);
        !std::mem::replace(&mut queue.woken, true)
    }
}

/// A message and its encoded forms, made when the first client needs them.
pub(crate) struct Message<W: Fn(&mut Out)> {
    write: W,
    forms: [Option<Arc<Vec<u8>>>; 2],
}

impl<W: Fn(&mut Out)> Message<W> {
    pub fn new(write: W) -> Message<W> {
        Message {
            write,
            forms: [None, None],
        }
    }

    fn form(&mut self, proto: Proto) -> &Arc<Vec<u8>> {
        let at = usize::from(proto == Proto::Resp3);
        self.forms[at].get_or_insert_with(|| {
            let mut out = Out::new(proto);
            (self.write)(&mut out);
            Arc::new(out.to_vec())
        })
    }

    /// Gives a client the message.
    pub fn send(&mut self, to: &Client, limits: &Limits) {
        if to.kill_requested() {
            return;
        }
        let limit = &limits[to.class()];
        let hard = limit.hard.load(Relaxed);
        let unsent = to.outbox.bytes() + to.reply_bytes.load(Relaxed);
        if hard > 0 && unsent as u64 >= hard {
            let (id, addr) = (to.id, &to.addr);
            tracing::warn!("Closing client {id} ({addr}): over client-output-buffer-limit");
            limit.disconnections.fetch_add(1, Relaxed);
            to.kill();
            // Whoever serves it may not come by for long, as for a page that is asleep. A program's own subscriber still gets them.
            if to.kind != Kind::Embedded {
                to.outbox.forget();
            }
            return;
        }
        if to.outbox.push(|| self.form(to.protocol())) {
            to.wake();
        }
    }
}
