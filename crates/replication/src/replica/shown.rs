//! The link to the primary as a client: what CLIENT LIST shows of it while the stream comes, and CLIENT KILL reaches.
//!
//! As on real servers it is no client before the two have agreed where the stream goes on, and one that goes on where another
//! broke is the same client as before.

use crate::wire::{Leash, Wire};
use engine::{Client, Engine, Kind, Origin};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};

/// The name of a user that nobody can sign in as, as real servers print it for who needs none.
const NOBODYS: &str = "(superuser)";

/// A link in the list of clients, for as long as this is there.
pub struct Shown {
    engine: Arc<Engine>,
    client: Arc<Client>,
    /// What the wire had counted before.
    received: u64,
    sent: u64,
    /// Commands that were carried out before.
    commands: u64,
}

/// Cuts the link when its client is to be killed.
struct OnKill {
    client: OnceLock<Weak<Client>>,
    leash: Leash,
}

impl Wake for OnKill {
    fn wake(self: Arc<Self>) {
        let client = self.client.get().and_then(Weak::upgrade);
        if client.is_some_and(|client| client.kill_requested()) {
            self.leash.cut();
        }
    }
}

/// An address as CLIENT LIST shows it; nothing of a connection that is broken already.
fn text(address: std::io::Result<SocketAddr>) -> String {
    address.map_or_else(|_| String::new(), |address| address.to_string())
}

impl Shown {
    /// Puts a link into the list. `before`: the client that it was until it broke; `worker`: whose commands are its.
    pub fn new(
        engine: &Arc<Engine>,
        wire: &Wire,
        leash: &Leash,
        before: Option<&Client>,
        worker: &Client,
    ) -> Shown {
        let on_kill = Arc::new(OnKill {
            client: OnceLock::new(),
            leash: leash.clone(),
        });
        let origin = Origin {
            addr: text(wire.socket().peer_addr()),
            laddr: text(wire.socket().local_addr()),
            fd: i64::from(wire.socket().as_raw_fd()),
            kind: Kind::Primary,
            waker: Some(Waker::from(on_kill.clone())),
        };
        let client = match before {
            Some(before) => engine.clients().add_again(before, origin),
            None => {
                let now_s = engine::unix_ms() / 1000;
                engine.clients().add(origin, now_s, 2)
            }
        };
        client.words.lock().user = NOBODYS.into();
        let _ = on_kill.client.set(Arc::downgrade(&client));
        if client.kill_requested() {
            // By somebody who found it before it could be woken.
            leash.cut();
        }
        let shown = Shown {
            engine: engine.clone(),
            client,
            received: wire.received() - wire.bytes().len() as u64,
            sent: wire.sent(),
            commands: worker.commands.load(Relaxed),
        };
        shown.client.db.store(worker.db.load(Relaxed), Relaxed);
        shown
    }

    /// Whether somebody wants the link closed.
    pub fn is_killed(&self) -> bool {
        self.client.kill_requested()
    }

    /// The client, which a later link may go on as.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Notes what has come and gone, and what was done.
    pub fn note(&mut self, wire: &Wire, worker: &Client) {
        let client = &self.client;
        let received = wire.received();
        if received != self.received {
            client.net_in.fetch_add(received - self.received, Relaxed);
            let active = worker.active_s.load(Relaxed);
            client.active_s.store(active, Relaxed);
            self.received = received;
        }
        if wire.sent() != self.sent {
            client.net_out.fetch_add(wire.sent() - self.sent, Relaxed);
            self.sent = wire.sent();
        }
        let commands = worker.commands.load(Relaxed);
        if commands != self.commands {
            client.commands.fetch_add(commands - self.commands, Relaxed);
            let last = worker.last_command.load(Relaxed);
            client.last_command.store(last, Relaxed);
            client.db.store(worker.db.load(Relaxed), Relaxed);
            self.commands = commands;
        }
        let (held, free) = wire.buffered();
        client.set_buffers(held, free, 0, 0);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.engine.clients().remove(self.client.id);
    }
}
