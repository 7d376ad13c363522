//! One connection's state as commands see it.

use crate::acl::user::User;
use crate::base::replication::Announced;
use crate::base::wait_list::InLine;
use crate::client::clients::{Client, Kind};
use crate::context::engine::Engine;
use crate::context::multi::{Multi, Watching};
use crate::context::parked::Parked;
use crate::follow::messages::{Outgoing, Subscriptions};
use crate::follow::waiting::Waiter;
use resp::{Limits, Proto};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What CLIENT REPLY asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every command is answered.
    #[default]
    On,
    /// None is.
    Off,
    /// The one after this is not.
    SkipNext,
    /// This one is not.
    Skipping,
}

/// A connection's (or an embedding program's) state between commands. Made by [`Engine::session`]; the client is
/// listed until it is dropped.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) client: Arc<Client>,
    /// The selected database.
    pub db: usize,
    /// The protocol version replies are written in.
    pub proto: Proto,
    /// Whether the client may run commands.
    pub authenticated: bool,
    /// It has shown who it is, or did not have to when it came.
    pub(crate) signed_in: bool,
    /// Who it is; None: it may do everything. See [`crate::context::permissions`].
    pub(crate) user: Option<Arc<User>>,
    /// Its user may do everything.
    pub(crate) unrestricted: bool,
    /// Which version of the list of users it has heeded.
    pub(crate) users_version: u64,
    /// What CLIENT REPLY asked for.
    pub(crate) reply_mode: ReplyMode,
    /// It has asked for the debugger of scripts, and so means no script of its to leave anything behind.
    pub(crate) debugs_scripts: bool,
    /// It executes what a log holds: see [`Session::replay`].
    pub(crate) replays: bool,
    /// What it executes comes from a primary: see [`Session::follow`].
    pub(crate) follows: bool,
    /// There was no memory to be had when its last command or transaction began that asked for some.
    pub(crate) short: AtomicBool,
    /// See [`crate::base::journal`].
    pub(crate) clock: u64,
    /// Number of the piece of the journal that the last change of this session is in; 0 if there was none.
    pub(crate) piece: u64,
    /// Commands since MULTI.
    pub(crate) multi: Option<Box<Multi>>,
    pub(crate) spare_multi: Option<Box<Multi>>,
    /// What WATCH guards.
    pub(crate) watching: Option<Box<Watching>>,
    /// Keys that it reads are noted: see [`crate::follow::tracking`].
    pub(crate) tracks_reads: bool,
    /// What it has published and not handed out yet.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// What it subscribes to; None if nothing.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// What the last command wrote are pushes, which CLIENT REPLY does not silence.
    pub(crate) pushing: bool,
    /// What it has said of itself with REPLCONF.
    pub(crate) announced: Option<Box<Announced>>,
    /// Its place in line, while a command of it waits for its locks.
    pub(crate) parked: Option<Box<Parked>>,
    /// Its place in line, while a command of it waits for the gate to open.
    pub(crate) in_line: Option<InLine>,
}

/// A reply of so many bytes may always be made, however short memory is.
const SHORT_REPLY: usize = 1 << 20;

impl Session {
    /// Of a client that is nobody yet, who may do everything.
    pub(crate) fn new(engine: Arc<Engine>, client: Arc<Client>) -> Session {
        Session {
            engine,
            client,
            db: 0,
            proto: Proto::Resp2,
            authenticated: true,
            signed_in: true,
            user: None,
            unrestricted: true,
            users_version: 0,
            reply_mode: ReplyMode::On,
            debugs_scripts: false,
            replays: false,
            follows: false,
            short: AtomicBool::new(false),
            clock: 0,
            piece: 0,
            multi: None,
            spare_multi: None,
            watching: None,
            tracks_reads: false,
            outgoing: None,
            subscriptions: None,
            pushing: false,
            announced: None,
            parked: None,
            in_line: None,
        }
    }

    /// What executes its commands.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What is known of the client.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The bounds its requests are read within.
    pub fn limits(&self) -> Limits {
        Limits {
            max_bulk_bytes: self.engine.config().live.proto_max_bulk_len.load(Relaxed),
            authenticated: self.authenticated || self.engine.users.is_open(),
            ..Limits::default()
        }
    }

    /// Bytes that a reply may have: as many as the client may still have unsent (`client-output-buffer-limit`). What the
    /// program around the engine asks for is its own concern.
    pub fn room_for_replies(&self) -> usize {
        let client = &self.client;
        if client.kind == Kind::Embedded {
            return usize::MAX;
        }
        let limit = &self.engine.config().live.output_limits[client.class()];
        let own = match limit.hard.load(Relaxed) {
            0 => usize::MAX,
            hard => usize::try_from(hard)
                .unwrap_or(usize::MAX)
                .saturating_sub(client.unsent_bytes()),
        };
        let memory = self.engine.memory();
        match memory.limit() {
            0 => own,
            _ => own.min(memory.most().saturating_sub(memory.used()).max(SHORT_REPLY)),
        }
    }

    /// Says that the client is closed because a reply grew over its limit, or what there is of memory.
    pub fn close_over_limit(&self) {
        let (client, limits) = (&self.client, &self.engine.config().live.output_limits);
        let limit = &limits[client.class()];
        let (id, addr) = (client.id, &client.addr);
        if limit.hard.load(Relaxed) == 0 {
            let memory = self.engine.memory();
            memory.evicted_clients.fetch_add(1, Relaxed);
            tracing::warn!(
                "Closing client {id} ({addr}): a reply does not fit into memory (maxmemory)"
            );
            return;
        }
        limit.disconnections.fetch_add(1, Relaxed);
        tracing::warn!("Closing client {id} ({addr}): a reply over client-output-buffer-limit");
    }

    /// From now on it executes what a log holds. For such commands there is no now: they run at time 0, when nothing has
    /// expired yet, since what had expired when they ran for the first time is removed by commands of its own. Times in a log
    /// are absolute.
    pub fn replay(&mut self) {
        self.replays = true;
        self.user = None;
        (self.authenticated, self.signed_in, self.unrestricted) = (true, true, true);
        // It is nobody's connection.
        self.engine.clients().remove(self.client.id);
    }

    /// From now on it executes the stream of a primary. That is as with a log: nothing expires by itself. But it is news, and
    /// access clocks know what time it is.
    pub fn follow(&mut self) {
        self.replay();
        self.follows = true;
    }

    /// Number of the piece of the journal that the last change of this session is in; 0 if there was none. Whoever promises
    /// that a reply is durable waits for that piece.
    pub fn piece(&self) -> u64 {
        self.piece
    }

    /// Whether its client's waker was woken since its command began to wait for its locks, or for the gate to open.
    pub fn is_called(&self) -> bool {
        let by_gate = self.in_line.as_ref().is_some_and(InLine::is_called);
        by_gate
            || self
                .parked
                .as_ref()
                .is_some_and(|parked| parked.is_called())
    }

    /// Sets the protocol version, for COMMAND LIST's eyes too.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
        let n = if proto == Proto::Resp3 { 3 } else { 2 };
        self.client.proto.store(n, Relaxed);
    }

    /// Selects a database.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db, Relaxed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.take_leave();
        if let Some(waiter) = self.client.waits_for::<Waiter>() {
            self.engine.follow.leave(&waiter);
        }
        self.engine.clients().remove(self.client.id);
    }
}
