//! Who is connected: what CLIENT LIST shows and CLIENT KILL reaches.
//!
//! A [`Client`] is shared between its connection's worker, which writes it with relaxed stores as it goes along, and
//! whoever lists clients. Words (name, library) change rarely and sit behind a lock of their own.

use crate::client::outbox::Outbox;
use parking_lot::Mutex;
use resp::Proto;
use std::any::Any;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::task::Waker;

/// About what a connection takes that waits: its record, its session, its task and its place in the runtime, in bytes.
const CONNECTION: usize = 2048;

/// About what a name takes that a client subscribes to, or a key that it watches, beside its bytes.
pub(crate) const LISTED: usize = 128;

/// Clients that are shown under one hold of their list's lock: some microseconds.
const AT_ONCE: usize = 128;

/// What a client waits for.
pub(crate) type Waits = Arc<dyn Any + Send + Sync>;

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Over TCP.
    Tcp,
    /// Over a unix socket.
    Unix,
    /// Calls from the program that the engine is part of.
    Embedded,
    /// This server came to it: it is the primary that is followed.
    Primary,
}

/// What is known of a client when it arrives.
#[derive(Debug)]
pub struct Origin {
    /// Its address, as CLIENT LIST shows it.
    pub addr: String,
    /// Our address that it came to.
    pub laddr: String,
    /// File descriptor, -1 if none.
    pub fd: i64,
    /// How it came.
    pub kind: Kind,
    /// Wakes its connection's task.
    pub waker: Option<Waker>,
}

/// Words a client said about itself.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Words {
    pub name: String,
    pub lib_name: String,
    pub lib_version: String,
    pub user: String,
}

/// See the module's page.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Client {
    pub id: u64,
    pub addr: String,
    pub laddr: String,
    pub fd: i64,
    pub kind: Kind,
    /// The number of the thread that serves it.
    pub thread: AtomicUsize,
    /// Unix seconds at which it arrived.
    pub(crate) since_s: u64,
    /// Unix seconds of its last command or connection.
    pub active_s: AtomicU64,
    /// It waits for the server, for what it has asked: a command on a helper thread, a lock, the end of CLIENT PAUSE, the disk.
    pub attended: AtomicBool,
    pub db: AtomicUsize,
    /// 2 or 3.
    pub proto: AtomicU8,
    /// Id of its last command, plus one.
    pub last_command: AtomicUsize,
    pub commands: AtomicU64,
    pub net_in: AtomicU64,
    pub net_out: AtomicU64,
    pub query_bytes: AtomicUsize,
    pub(crate) query_free: AtomicUsize,
    /// Bytes that it takes to know where the arguments are of the command that it is sending.
    pub argument_bytes: AtomicUsize,
    pub reply_bytes: AtomicUsize,
    pub(crate) reply_chunks: AtomicUsize,
    /// Bytes of its replies that others bear: messages that are sent to many, values that are stored.
    pub reply_shared: AtomicUsize,
    pub(crate) no_evict: AtomicBool,
    pub(crate) no_touch: AtomicBool,
    /// CLIENT CAPA REDIRECT: it can follow redirections.
    pub(crate) can_redirect: AtomicBool,
    /// Keys it watches.
    pub watched: AtomicUsize,
    /// Commands it has queued, plus one; 0 outside MULTI.
    pub(crate) queued: AtomicUsize,
    /// Bytes of the commands it has queued.
    pub(crate) queued_bytes: AtomicUsize,
    /// Bytes of the names that it subscribes to, of the keys that it watches, and of what it takes to be told of prefixes of keys.
    pub(crate) listed_bytes: AtomicUsize,
    pub words: Mutex<Words>,
    /// The number of its user; 0: it needs none.
    pub user: AtomicU64,
    /// What others want to tell it.
    pub outbox: Outbox,
    /// Channels, patterns and shard channels that it subscribes to.
    pub subscriptions: [AtomicUsize; 3],
    /// It gets what MONITOR shows.
    pub monitors: AtomicBool,
    /// It is a replica, and gets the stream of changes.
    pub follows: AtomicBool,
    /// How it tracks keys: bits of [`crate::follow::tracking::state`], 0 if it does not.
    pub tracking: AtomicU32,
    /// The id of the client that its tracking messages go to, 0 for itself.
    pub(crate) redirects_to: AtomicU64,
    /// The lock that a command of it waits for, plus one (the keyspace's token comes after the shards); 0: for none.
    pub(crate) parked_for: AtomicUsize,
    /// Since when, in Unix milliseconds.
    pub(crate) parked_ms: AtomicU64,
    /// What it waits for: known to the room that lets clients wait, here only that there is something.
    waits_for: Mutex<Option<Waits>>,
    kill: AtomicBool,
    gone: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Client {
    fn new(id: u64, origin: Origin, now_s: u64, proto: u8) -> Client {
        Client {
            id,
            addr: origin.addr,
            laddr: origin.laddr,
            fd: origin.fd,
            kind: origin.kind,
            thread: AtomicUsize::new(0),
            since_s: now_s,
            active_s: AtomicU64::new(now_s),
            attended: AtomicBool::new(false),
            db: AtomicUsize::new(0),
            proto: AtomicU8::new(proto),
            last_command: AtomicUsize::new(0),
            commands: AtomicU64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            query_bytes: AtomicUsize::new(0),
            query_free: AtomicUsize::new(0),
            argument_bytes: AtomicUsize::new(0),
            reply_bytes: AtomicUsize::new(0),
            reply_chunks: AtomicUsize::new(0),
            reply_shared: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            can_redirect: AtomicBool::new(false),
            watched: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            listed_bytes: AtomicUsize::new(0),
            words: Mutex::new(Words::default()),
            user: AtomicU64::new(0),
            outbox: Outbox::default(),
            subscriptions: Default::default(),
            monitors: AtomicBool::new(false),
            follows: AtomicBool::new(false),
            tracking: AtomicU32::new(0),
            redirects_to: AtomicU64::new(0),
            parked_for: AtomicUsize::new(0),
            parked_ms: AtomicU64::new(0),
            waits_for: Mutex::new(None),
            kill: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            waker: Mutex::new(origin.waker),
        }
    }

    /// Whether somebody wants the connection closed.
    #[inline]
    pub fn kill_requested(&self) -> bool {
        self.kill.load(Relaxed)
    }

    /// Asks for the connection to be closed and wakes its task. False if somebody has asked before.
    pub fn kill(&self) -> bool {
        let first = !self.kill.swap(true, Relaxed);
        self.wake();
        first
    }

    /// Wakes the connection's task.
    pub fn wake(&self) {
        if let Some(w) = self.waker.lock().as_ref() {
            w.wake_by_ref();
        }
    }

    /// Notes commands that no worker has carried out. `last`: the id of the last of them, if that is a command.
    pub fn note_commands(&self, commands: u64, last: Option<usize>) {
        self.commands.fetch_add(commands, Relaxed);
        self.last_command
            .store(last.map_or(0, |id| id + 1), Relaxed);
    }

    /// What wakes the connection's task; nothing if it has not said.
    pub(crate) fn waker(&self) -> Waker {
        let waker = self.waker.lock().clone();
        waker.unwrap_or_else(|| Waker::noop().clone())
    }

    /// Sets what [`Client::wake`] wakes; whether that was something else before.
    pub fn set_waker(&self, waker: &Waker) -> bool {
        let mut w = self.waker.lock();
        let differs = !w.as_ref().is_some_and(|w| w.will_wake(waker));
        if differs {
            *w = Some(waker.clone());
        }
        differs
    }

    /// The protocol version it speaks.
    #[inline]
    pub fn protocol(&self) -> Proto {
        match self.proto.load(Relaxed) {
            3 => Proto::Resp3,
            _ => Proto::Resp2,
        }
    }

    /// Whether it waits in a blocking command.
    pub fn is_blocked(&self) -> bool {
        self.waits_for.lock().is_some()
    }

    /// Notes what it waits for.
    pub(crate) fn wait_for(&self, what: Waits) {
        *self.waits_for.lock() = Some(what);
    }

    /// What it waits for, if that is a `T`.
    pub(crate) fn waits_for<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.waits_for.lock().clone()?.downcast().ok()
    }

    /// It has what it waited for, unless it waits for something else by now.
    pub(crate) fn no_longer_waits_for<T: Any + Send + Sync>(&self, what: &Arc<T>) {
        let mut waits_for = self.waits_for.lock();
        if waits_for
            .as_ref()
            .is_some_and(|w| std::ptr::addr_eq(Arc::as_ptr(w), Arc::as_ptr(what)))
        {
            *waits_for = None;
        }
    }

    /// Whoever was to tell it something finds it gone from now on, though its last reply may be still to be sent.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Whether its connection has ended, or is about to.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Whether it subscribes to anything.
    #[inline]
    pub fn subscribes(&self) -> bool {
        self.subscriptions.iter().any(|n| n.load(Relaxed) > 0)
    }

    /// Whether changes go over it, from this server's primary or to a replica.
    #[inline]
    pub fn replicates(&self) -> bool {
        self.kind == Kind::Primary || self.follows.load(Relaxed)
    }

    /// Its place among the output buffer limits: 0 for a normal client, 1 for a replica, 2 for a subscriber. A program that the engine is part
    /// of counts as one, since it may never ask for its messages.
    #[inline]
    pub fn class(&self) -> usize {
        if self.follows.load(Relaxed) {
            1
        } else if self.subscribes() || self.kind == Kind::Embedded {
            2
        } else {
            0
        }
    }

    /// Bytes that wait to be sent to it.
    pub fn unsent_bytes(&self) -> usize {
        self.reply_bytes.load(Relaxed) + self.outbox.bytes()
    }

    /// Bytes that it takes: its record and its connection's, its buffers, what it has queued and subscribes to. What others are to be sent
    /// as well counts whole, since it would take no less if this client were the only one.
    pub fn memory(&self) -> usize {
        let subscriptions: usize = self.subscriptions.iter().map(|n| n.load(Relaxed)).sum();
        let listed = (subscriptions + self.watched.load(Relaxed)) * LISTED;
        // What a replica lacks is counted once, with the stream.
        let unsent = match self.follows.load(Relaxed) {
            true => 0,
            false => self.unsent_bytes(),
        };
        // Messages are of all sizes, and an allocator rounds up.
        CONNECTION
            + self.query_bytes.load(Relaxed)
            + self.query_free.load(Relaxed)
            + self.argument_bytes.load(Relaxed)
            + unsent
            + unsent / 8
            + self.queued_bytes.load(Relaxed)
            + self.listed_bytes.load(Relaxed)
            + listed
    }

    /// Its part of the bytes that all clients take: what several are to be sent counts once.
    pub(crate) fn part_of_memory(&self) -> usize {
        if self.follows.load(Relaxed) {
            return self.memory();
        }
        let shared = self.reply_shared.load(Relaxed) + self.outbox.borne_by_others();
        // Of a message that is partly gone no more than the rest was counted.
        let shared = shared.min(self.unsent_bytes());
        self.memory().saturating_sub(shared + shared / 8)
    }

    /// The same with what a replica still has to be sent, of which others may have to be sent the same: what CLIENT LIST shows.
    pub(crate) fn memory_with_stream(&self) -> usize {
        let stream = match self.follows.load(Relaxed) {
            true => self.unsent_bytes(),
            false => 0,
        };
        self.memory() + stream
    }

    /// Notes the sizes of the connection's buffers, in bytes (`reply_chunks`: pieces).
    pub fn set_buffers(&self, query: usize, query_free: usize, reply: usize, reply_chunks: usize) {
        self.query_bytes.store(query, Relaxed);
        self.query_free.store(query_free, Relaxed);
        self.set_unsent(reply, reply_chunks);
    }

    /// Notes how many bytes wait to be sent, and in how many pieces.
    pub fn set_unsent(&self, bytes: usize, chunks: usize) {
        self.reply_bytes.store(bytes, Relaxed);
        self.reply_chunks.store(chunks, Relaxed);
    }

    /// Whether it came from this machine.
    pub fn is_local(&self) -> bool {
        self.kind != Kind::Tcp
            || ip_of(&self.addr)
                .parse()
                .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    }

    /// The address it came from, without the port and without an IPv6 address's brackets.
    pub fn ip(&self) -> &str {
        ip_of(&self.addr)
    }

    /// Seconds since its last command.
    pub fn idle_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.active_s.load(Relaxed))
    }
}

fn ip_of(addr: &str) -> &str {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// All clients, by id.
#[derive(Debug, Default)]
pub struct Clients {
    next_id: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
    /// Clients that ever came.
    pub accepted: AtomicU64,
}

impl Clients {
    /// Registers a client under the next id.
    pub fn add(&self, origin: Origin, now_s: u64, proto: u8) -> Arc<Client> {
        let id = self.next_id.fetch_add(1, Relaxed) + 1;
        let kind = origin.kind;
        let client = Arc::new(Client::new(id, origin, now_s, proto));
        if kind != Kind::Embedded {
            self.accepted
                .fetch_add(u64::from(kind != Kind::Primary), Relaxed);
            self.all.lock().insert(id, client.clone());
        }
        client
    }

    /// Registers one that goes on, over another connection, where one that is gone has ended: as the same, as old, with its counts.
    pub fn add_again(&self, before: &Client, origin: Origin) -> Arc<Client> {
        let proto = before.proto.load(Relaxed);
        let client = Client::new(before.id, origin, before.since_s, proto);
        for (count, so_far) in [
            (&client.commands, &before.commands),
            (&client.net_in, &before.net_in),
            (&client.net_out, &before.net_out),
            (&client.active_s, &before.active_s),
        ] {
            count.store(so_far.load(Relaxed), Relaxed);
        }
        let last = before.last_command.load(Relaxed);
        client.last_command.store(last, Relaxed);
        let client = Arc::new(client);
        self.all.lock().insert(client.id, client.clone());
        client
    }

    /// Forgets a client.
    pub fn remove(&self, id: u64) {
        if let Some(client) = self.all.lock().remove(&id) {
            client.leave();
        }
    }

    /// Shows everybody, by id: some under one hold of the lock, so that whoever comes or goes does not wait for all of them.
    pub fn each(&self, mut look: impl FnMut(&Arc<Client>)) {
        let mut part: Vec<Arc<Client>> = Vec::with_capacity(AT_ONCE);
        let mut next = 0;
        loop {
            {
                let all = self.all.lock();
                let more = all.range(next..).take(AT_ONCE);
                part.extend(more.map(|(_, client)| client.clone()));
            }
            let Some(last) = part.last() else { return };
            next = last.id + 1;
            part.drain(..).for_each(|client| look(&client));
        }
    }

    /// The same for a glance that takes no lock and some nanoseconds, which is done while the list's is held: that saves to count
    /// who looks.
    pub fn look(&self, mut glance: impl FnMut(&Client)) {
        let mut next = 0;
        loop {
            let all = self.all.lock();
            let mut last = None;
            for (id, client) in all.range(next..).take(AT_ONCE) {
                glance(client);
                last = Some(*id);
            }
            let Some(last) = last else { return };
            next = last + 1;
        }
    }

    /// Bytes that they take together.
    pub fn memory(&self) -> usize {
        let mut bytes = 0;
        self.look(|client| {
            bytes += client.part_of_memory();
            if client.reply_shared.load(Relaxed) > 0 {
                // Others may have let go of it since. Its connection looks again, for the next who asks.
                client.wake();
            }
        });
        bytes
    }

    /// Number of connected clients.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everybody, by id.
    pub fn list(&self) -> Vec<Arc<Client>> {
        let mut all = Vec::with_capacity(self.len());
        self.each(|client| all.push(client.clone()));
        all
    }

    /// The client with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.all.lock().get(&id).cloned()
    }
}
