//! Replication in the protocol of Redis and Valkey: this server as a primary that others follow, and as a replica of another.
//!
//! A [`Hub`] joins engine and keeper with sockets. The *stream* is what the primary of a chain did, as commands; it is the same,
//! byte for byte and with the same offsets, on all servers of the chain ([`stream`]). A primary's is made of the pieces of its
//! journal, the ones its log gets too. A replica's is what it got from its primary, verbatim: its own journal feeds its log and
//! nothing else.
//!
//! All of this is synchronous: sockets that wait, each with threads of its own, which are few. So it serves the network server and
//! a program that the engine is part of alike. While nobody follows, and nobody has lately, nothing of it runs: the journal is
//! off, unless there is a log.
//!
//! | room | what |
//! |---|---|
//! | [`spool`] | bytes written once and read by several, in memory and beyond that on the disk: the backlog, and copies on their way |
//! | [`stream`] | the stream, its names and offsets |
//! | `primary` | who follows this server: copies of the data set, what they miss, what they acknowledge |
//! | `replica` | whom this server follows |

mod migrate;
mod primary;
pub mod replica;
pub mod spool;
pub mod stream;

use engine::{
    Config, Engine, Failover, Migration, Replication, RoleReport, StreamMemory, StreamWish, Wire,
};
use keeper::{Feed, Keeper, StreamAt};
use parking_lot::Mutex;
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use stream::Stream;

/// See the crate's page. The engine owns it once it is started.
pub struct Hub {
    me: Weak<Hub>,
    engine: Weak<Engine>,
    keeper: Arc<Keeper>,
    stream: Stream,
    primary: primary::Primary,
    replica: replica::Replica,
    /// Held by whoever carries out a unit (a command, a whole transaction) of a primary's stream, and counts it, so that a copy of the
    /// data set is taken between two of them. Before any shard's lock.
    pub(crate) applying: Mutex<()>,
    migrating: migrate::Counting,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(100);

impl Hub {
    /// Speaks to primaries and replicas for an engine from now on. Once, after the keeper is made, and before there are clients.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(engine: &Arc<Engine>, keeper: &Arc<Keeper>) -> Result<Arc<Hub>, String> {
        Hub::start_with(engine, keeper, Arc::new(replica::dial_plain))
    }

    /// The same for a program that can make other connections than plain ones.
    ///
    /// # Errors
    /// As of [`Hub::start`].
    pub fn start_with(
        engine: &Arc<Engine>,
        keeper: &Arc<Keeper>,
        dial: Arc<replica::Dial>,
    ) -> Result<Arc<Hub>, String> {
        let hub = Arc::new_cyclic(|me| Hub {
            me: me.clone(),
            engine: Arc::downgrade(engine),
            keeper: keeper.clone(),
            stream: Stream::new(engine),
            primary: primary::Primary::default(),
            replica: Hub::new_replica(me, engine, keeper, dial),
            applying: Mutex::default(),
            migrating: Mutex::default(),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        let as_feed: Arc<dyn Feed> = hub.clone();
        keeper.feed_to(Arc::downgrade(&as_feed));
        engine.replicate_by(hub.clone());
        let weak = Arc::downgrade(&hub);
        let thread = std::thread::Builder::new()
            .name("replication".into())
            .spawn(move || tick(&weak))
            .map_err(|e| format!("no thread for replication: {e}"))?;
        *hub.thread.lock() = Some(thread);
        Ok(hub)
    }

    /// The data set is loaded, and there may be clients: what is to be followed is followed from now on.
    pub fn loaded(&self) {
        self.begin_as_replica();
    }

    /// Ends all connections to other servers. Nobody changes anything any more; replicas get this long to have all of it.
    pub fn close(&self, patience: Duration) {
        self.wait_until_replicas_have_all(patience);
        self.stop.store(true, Relaxed);
        self.end_as_replica();
        self.end_as_primary();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }

    pub(crate) fn engine(&self) -> Result<Arc<Engine>, String> {
        (self.engine.upgrade()).ok_or_else(|| "ERR the database is being closed".to_owned())
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

fn tick(hub: &Weak<Hub>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            let Some(engine) = hub.engine.upgrade() else {
                return;
            };
            if hub.is_stopping() {
                return;
            }
            hub.tick_as_primary(&engine);
        }
        std::thread::park_timeout(TICK);
    }
}

impl Feed for Hub {
    fn between_units(&self, work: &mut dyn FnMut()) {
        let replica = self
            .engine
            .upgrade()
            .is_some_and(|e| e.standing.is_replica());
        let _applying = replica.then(|| self.applying.lock());
        work();
    }

    fn loaded(&self) {
        self.begin_as_primary();
    }

    fn stream_at(&self) -> Option<StreamAt> {
        let engine = self.engine.upgrade()?;
        self.stream.is_active().then(|| StreamAt {
            id: engine.standing.ids().id,
            offset: self.stream.offset(),
            db: match engine.standing.is_replica() {
                true => self.replica.db() as u64,
                // Behind a copy, or a start, it says so anew.
                false => 0,
            },
        })
    }

    fn piece(&self, number: u64, bytes: &[u8]) {
        self.stream.piece(number, bytes);
    }
}

impl Replication for Hub {
    fn follow(&self, primary: Option<(&str, u16)>) -> Result<&'static str, String> {
        self.follow_primary(primary)
    }

    fn migrate(&self, what: &Migration) -> Result<&'static str, String> {
        self.migrate_keys(what)
    }

    fn failover(&self, how: Failover) -> Result<(), String> {
        self.begin_failover(how)
    }

    fn abort_failover(&self) -> Result<(), String> {
        self.end_failover()
    }

    fn is_failing_over(&self) -> bool {
        Hub::is_failing_over(self)
    }

    fn admit(&self, wish: &StreamWish) -> Result<(), String> {
        self.admit_replica(wish)
    }

    fn take(&self, keep: Box<dyn Any + Send>, client: u64, wish: StreamWish, wire: Wire) {
        self.take_replica(keep, client, wish, wire);
    }

    fn acknowledged(&self, piece: u64, on_disk: bool) -> usize {
        self.count_acknowledged(piece, on_disk)
    }

    fn when_acknowledged(
        &self,
        piece: u64,
        replicas: usize,
        on_disk: bool,
        tell: Box<dyn FnOnce() + Send>,
    ) {
        self.tell_when_acknowledged(piece, replicas, on_disk, tell);
    }

    fn role(&self) -> RoleReport {
        self.role_as_replica()
            .unwrap_or_else(|| self.role_as_primary())
    }

    fn info(&self, into: &mut String) {
        self.info_as_replica(into);
        self.info_as_primary(into);
    }

    fn syncs(&self) -> [u64; 3] {
        self.counts_as_primary()
    }

    fn memory(&self) -> StreamMemory {
        self.memory_as_primary()
    }

    fn look_at_replicas(&self) {
        self.look_what_replicas_lack();
    }

    fn rename_stream(&self) {
        self.stream.rename();
        self.drop_replicas();
    }

    fn applied(&self, directive: &str, config: &Config) -> Result<(), String> {
        self.heed_as_primary(directive, config);
        self.heed_as_replica(directive, config)
    }
}
