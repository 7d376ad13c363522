//! The hub: both sides of this server, as the engine and the keeper see them.

mod downstream;

use crate::migrate::Migrate;
use crate::primary::Primary;
use crate::replica::status::Status;
use crate::replica::{Address, Replica};
use crate::stream::Stream;
use crate::wire::{Dial, dial_plain};
use downstream::{Below, configured, start_as_replica};
use engine::{
    Config, Engine, Failover, InSync, Migration, Replication, RoleReport, StreamMemory, StreamWish,
    Tell, Wire,
};
use keeper::{Feed, Keeper, StreamAt};
use parking_lot::Mutex;
use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// See the crate's page. The engine owns it once it is started.
pub struct Hub {
    engine: Weak<Engine>,
    keeper: Arc<Keeper>,
    stream: Arc<Stream>,
    primary: Arc<Primary>,
    replica: Arc<Replica>,
    migrate: Migrate,
    /// Held by whoever carries out a unit (a command, a whole transaction) of a primary's stream, and counts it, so that a copy of the
    /// data set is taken between two of them. Before any shard's lock.
    applying: Arc<Mutex<()>>,
}

impl Hub {
    /// Speaks to primaries and replicas for an engine from now on. Once, after the keeper is made, and before there are clients.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(engine: &Arc<Engine>, keeper: &Arc<Keeper>) -> Result<Arc<Hub>, String> {
        Hub::start_with(engine, keeper, Arc::new(dial_plain))
    }

    /// The same for a program that can make other connections than plain ones.
    ///
    /// # Errors
    /// As of [`Hub::start`].
    pub fn start_with(
        engine: &Arc<Engine>,
        keeper: &Arc<Keeper>,
        dial: Arc<Dial>,
    ) -> Result<Arc<Hub>, String> {
        let stream = Arc::new(Stream::new(engine));
        let applying = Arc::default();
        let hub = Arc::new_cyclic(|me: &Weak<Hub>| {
            start_as_replica(engine);
            let downstream = Arc::new(Below::new(me));
            let replica = Arc::new(Replica::new(engine, keeper, downstream, dial.clone()));
            Hub {
                engine: Arc::downgrade(engine),
                keeper: keeper.clone(),
                primary: Primary::new(engine, keeper, &stream, &replica, &applying),
                stream,
                replica,
                migrate: Migrate::new(dial),
                applying,
            }
        });
        let as_feed: Arc<dyn Feed> = hub.clone();
        keeper.feed_to(Arc::downgrade(&as_feed));
        engine.replicate_by(hub.clone());
        hub.primary.start()?;
        Ok(hub)
    }

    /// The data set is loaded, and there may be clients: whom the configuration names is followed from now on.
    pub fn loaded(&self) {
        let Ok(engine) = self.engine() else { return };
        let Some(primary) = configured(engine.config()) else {
            return;
        };
        self.stream.set_active(true);
        if let Err(why) = self.replica.follow(primary, None) {
            tracing::warn!("The primary is not followed: {why}");
        }
    }

    /// Ends all connections to other servers. Nobody changes anything any more; replicas get this long to have all of it, and none at
    /// all, nor a word about those who do not, if they have been waited for.
    pub fn close(&self, patience: Option<Duration>) {
        let until = patience.map(|patience| Instant::now() + patience);
        // First, so that nothing comes that replicas would have to have too.
        self.replica.close();
        if let Some(until) = until {
            (self.primary).wait_until_replicas_have_all(until, &|| false);
        }
        self.primary.stop();
        self.primary.close();
    }

    /// Follows a primary from now on.
    ///
    /// # Errors
    /// There is no thread for it, a FAILOVER is under way, or the database is being closed.
    pub fn follow(&self, host: &str, port: u16) -> Result<(), String> {
        let host = host.to_owned();
        let follow = || self.replica.follow(Address { host, port }, None);
        self.primary.change_role(follow)
    }

    /// Follows nobody any more.
    ///
    /// # Errors
    /// A FAILOVER is under way, or the database is being closed.
    pub fn lead(&self) -> Result<(), String> {
        self.primary.change_role(|| self.replica.lead())
    }

    /// What is known of the link to the primary, if one is followed.
    pub fn link(&self) -> Option<Arc<Status>> {
        self.replica.status()
    }

    #[cfg(test)]
    pub(crate) fn primary(&self) -> &Arc<Primary> {
        &self.primary
    }

    /// Does something while nothing of a primary's stream is carried out.
    #[cfg(test)]
    pub(crate) fn stop_carrying_out<R>(&self, work: impl FnOnce() -> R) -> R {
        let _applying = self.applying.lock();
        work()
    }

    fn engine(&self) -> Result<Arc<Engine>, String> {
        (self.engine.upgrade()).ok_or_else(|| "ERR the database is being closed".to_owned())
    }
}

impl Feed for Hub {
    fn between_units(&self, work: &mut dyn FnMut()) {
        self.primary.between_units(work);
    }

    fn loaded(&self) {
        self.primary.begin();
    }

    fn stream_at(&self, db: usize) -> Option<StreamAt> {
        let engine = self.engine.upgrade()?;
        self.stream.is_active().then(|| StreamAt {
            id: engine.standing.ids().id,
            offset: self.stream.offset(),
            // A replica's is its primary's. A primary that is killed may come back as a replica, and go on in its own.
            db: match engine.standing.is_replica() {
                true => self.replica.db() as u64,
                false => db as u64,
            },
        })
    }

    fn piece(&self, number: u64, bytes: &[u8]) {
        self.stream.piece(number, bytes);
    }

    fn passed(&self, number: u64) {
        self.stream.passed(number);
    }
}

impl Replication for Hub {
    fn follow(&self, primary: Option<(&str, u16)>) -> Result<&'static str, String> {
        match primary {
            None => self.lead()?,
            Some((host, port)) => Hub::follow(self, host, port)?,
        }
        Ok("OK")
    }

    fn migrate(&self, what: &Migration) -> Result<&'static str, String> {
        self.migrate.run(&self.engine()?, what)
    }

    fn failover(&self, how: Failover) -> Result<(), String> {
        self.primary.begin_failover(how)
    }

    fn abort_failover(&self, waits: bool) -> Result<(), String> {
        self.primary.end_failover(waits)
    }

    fn is_failing_over(&self) -> bool {
        self.primary.is_failing_over()
    }

    fn admit(&self, wish: &StreamWish) -> Result<(), String> {
        self.primary.admit(wish)
    }

    fn take(&self, keep: Box<dyn Any + Send>, client: u64, wish: StreamWish, wire: Wire) {
        self.primary.take(keep, client, wish, wire);
    }

    fn acknowledged(&self, piece: u64, on_disk: bool) -> usize {
        self.primary.count_acknowledged(piece, on_disk)
    }

    fn when_acknowledged(&self, piece: u64, replicas: usize, on_disk: bool, tell: Tell) {
        self.primary
            .tell_when_acknowledged(piece, replicas, on_disk, tell);
    }

    fn replicas_online(&self) -> usize {
        self.primary.online()
    }

    fn wait_for_replicas(&self, most: Duration, given_up: &dyn Fn() -> bool) -> InSync {
        self.primary.wait_for_replicas(most, given_up)
    }

    fn look_again(&self) {
        self.primary.look_again();
    }

    fn role(&self) -> RoleReport {
        (self.replica.role()).unwrap_or_else(|| self.primary.role())
    }

    fn info(&self, into: &mut String) {
        self.replica.info(into);
        self.primary.info(into);
    }

    fn syncs(&self) -> [u64; 3] {
        self.primary.syncs()
    }

    fn reset_syncs(&self) {
        self.primary.reset_syncs();
    }

    fn memory(&self) -> StreamMemory {
        self.primary.memory()
    }

    fn look_at_replicas(&self) {
        self.primary.look_what_replicas_lack();
    }

    fn rename_stream(&self) {
        self.stream.rename();
        self.primary.drop_replicas();
    }

    fn applied(&self, directive: &str, config: &Config) -> Result<(), String> {
        self.primary.applied(directive, config);
        self.replica.applied(directive);
        Ok(())
    }
}
