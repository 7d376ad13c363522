//! The engine: the keyspace, the table of commands, the settings, and who is connected.

use crate::acl::Users;
use crate::acl::catalog::Catalog;
use crate::base::clock::unix_ms;
use crate::base::clock::unix_nanos;
use crate::base::journal::{Journal, Records, clock_at};
use crate::base::loading::Loading;
use crate::base::memory::Memory;
use crate::base::own_expiries::OwnExpiries;
use crate::base::pressure::Pressure;
use crate::base::random::random_bytes;
use crate::base::reclaim::Reclaimer;
use crate::base::replication::Standing;
use crate::base::stats::Counters;
use crate::base::stats::Stats;
use crate::base::ticks;
use crate::base::turns::Turns;
use crate::client::clients::{Clients, Origin};
use crate::config::Config;
use crate::config::host::{Host, Persistence, Replication};
use crate::context::command::{Entry, Registry};
use crate::context::hot::Frequencies;
use crate::context::pause::Pause;
use crate::context::session::Session;
use crate::context::surveyed::Surveyed;
use crate::door::keys::Keys;
use crate::follow::Follow;
use crate::follow::waiting::{GiveUp, Waiter};
use crate::script::known::Scripts;
use crate::table::renamed::{OwnCall, Renamed, by_own_name};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use store::Keyspace;

/// See the module's page. Shared by all workers; made once.
pub struct Engine {
    me: Weak<Engine>,
    keyspace: Keyspace,
    registry: Registry,
    /// Names of the configuration, where it has some, once they are loaded.
    pub(super) renamed: OnceLock<Renamed>,
    config: Arc<Config>,
    host: Arc<dyn Host>,
    /// Who may do what.
    pub(crate) users: Users,
    pub(crate) users_loaded: AtomicBool,
    /// Who listens, and to whom.
    pub follow: Follow,
    stats: Stats,
    /// The counters of all that runs on helper threads without a worker.
    jobs: Mutex<Option<Arc<Counters>>>,
    persistence: OnceLock<Arc<dyn Persistence>>,
    replication: OnceLock<Arc<dyn Replication>>,
    /// What this server is to others: a primary, or a replica of one.
    pub standing: Standing,
    /// What clients of a writable replica have let expire.
    pub(crate) own_expiries: OwnExpiries,
    /// What is written down of changes.
    pub journal: Journal,
    /// Whether the data set is being loaded.
    pub loading: Loading,
    /// Changes that wait for a snapshot.
    pub pressure: Arc<Pressure>,
    /// Whom to follow, asked for by commands.
    pub(crate) roles: Arc<Turns<(String, u16)>>,
    /// Scripts and functions.
    pub scripts: Scripts,
    pub(crate) reclaimer: Reclaimer,
    /// How much memory is in use, and may be.
    pub(super) memory: Arc<Memory>,
    /// See [`Engine::coarse_ms`].
    pub(crate) clock_ms: AtomicU64,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// What the last walk over all keys has found.
    pub(crate) surveyed: Surveyed,
    /// Operations of hot keys, as of a moment ago: see [`Engine::hot_frequency`].
    pub(super) frequencies: Mutex<Frequencies>,
    /// DEBUG SLEEP: until when nothing is done, in Unix nanoseconds.
    asleep_until: AtomicU64,
    /// DEBUG PAUSE-CRON: the maintenance thread leaves everything as it is.
    pub maintenance_paused: AtomicBool,
    /// However long something takes, it is not slow for that: for tests of what is slow by the work that it is.
    #[cfg(test)]
    pub(crate) patient: AtomicBool,
    /// When the engine was made.
    pub started: Instant,
    /// The same in Unix seconds.
    pub started_s: u64,
    /// 40 hexadecimal digits, new at each start.
    pub(crate) run_id: String,
}

impl Engine {
    /// An engine with an empty keyspace.
    pub(crate) fn with_commands(
        registry: Registry,
        config: Config,
        host: Arc<dyn Host>,
    ) -> Arc<Engine> {
        ticks::start();
        let config = Arc::new(config);
        let seed = u64::from_le_bytes(random_bytes());
        let keyspace = Keyspace::new(config.shards(), config.databases(), seed);
        store::types::members::set_seed(u64::from_le_bytes(random_bytes()));
        let engine = Arc::new_cyclic(|me| Engine {
            me: me.clone(),
            scripts: Scripts::default(),
            users: Users::new(
                Catalog::new(&registry),
                config.requirepass().as_deref().map(str::as_bytes),
            ),
            users_loaded: AtomicBool::new(false),
            follow: Follow::new(config.clone(), keyspace.shards()),
            persistence: OnceLock::new(),
            replication: OnceLock::new(),
            standing: Standing::default(),
            own_expiries: OwnExpiries::default(),
            journal: Journal::default(),
            loading: Loading::default(),
            roles: Arc::default(),
            pressure: Arc::new(Pressure::new(keyspace.shards())),
            keyspace,
            registry,
            renamed: OnceLock::new(),
            config,
            host,
            stats: Stats::default(),
            jobs: Mutex::new(None),
            reclaimer: Reclaimer::new(),
            memory: Arc::default(),
            clock_ms: AtomicU64::new(unix_ms()),
            pause: Pause::default(),
            surveyed: Surveyed::default(),
            frequencies: Mutex::default(),
            asleep_until: AtomicU64::new(0),
            maintenance_paused: AtomicBool::new(false),
            #[cfg(test)]
            patient: AtomicBool::new(false),
            started: Instant::now(),
            started_s: unix_ms() / 1000,
            run_id: random_bytes::<20>()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
        });
        engine.follow.heed_notify_keyspace_events();
        engine.heed_memory_settings(None);
        engine
    }

    /// A handle that outlives the borrow.
    ///
    /// # Panics
    /// While the engine is being dropped, when nobody can hold a borrow of it.
    pub fn handle(&self) -> Arc<Engine> {
        self.me.upgrade().expect("a borrowed engine is alive")
    }

    /// Has everybody stand still for this long: see [`Engine::sleep_if_asleep`].
    pub(crate) fn sleep(&self, time: Duration) {
        let until = unix_nanos().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.asleep_until.fetch_max(until, Relaxed);
        self.sleep_if_asleep();
    }

    /// Returns once DEBUG SLEEP is over; at once, if it is not on. Whoever executes commands asks before that, and before
    /// it does anything else for clients.
    #[inline]
    pub fn sleep_if_asleep(&self) {
        if self.asleep_until.load(Relaxed) != 0 {
            self.sleep_it_out();
        }
    }

    /// Whether DEBUG SLEEP is on.
    #[cfg(test)]
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep_until.load(Relaxed) != 0
    }

    /// Whether what has taken so long on a worker, in whatever unit, is slow.
    #[inline]
    pub(crate) fn is_slow(&self, passed: u64, most: u64) -> bool {
        #[cfg(test)]
        if self.patient.load(Relaxed) {
            return false;
        }
        passed >= most
    }

    #[cold]
    fn sleep_it_out(&self) {
        let until = self.asleep_until.load(Relaxed);
        if let Some(left) = until.checked_sub(unix_nanos()) {
            std::thread::sleep(Duration::from_nanos(left));
        }
        // Unless somebody has made it longer.
        let _ = self
            .asleep_until
            .compare_exchange(until, 0, Relaxed, Relaxed);
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The surroundings.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Who is connected.
    pub fn clients(&self) -> &Clients {
        &self.follow.clients
    }

    /// All keys.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The id of a command, which has no subcommands, as `Client::note_commands` wants it.
    pub fn command_id(&self, name: &[u8]) -> Option<usize> {
        self.registry.get(name).map(|entry| entry.id)
    }

    /// All commands.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What clients call otherwise than by its own name, if anything.
    #[inline]
    pub(crate) fn renamed(&self) -> Option<&Renamed> {
        self.renamed.get()
    }

    /// The command that clients call by this first word.
    pub(crate) fn called(&self, name: &[u8]) -> Option<&Entry> {
        match self.renamed() {
            Some(renamed) => renamed.get(&self.registry, name),
            None => self.registry.get(name),
        }
    }

    /// The command or subcommand that clients mean by a call; a container's first word alone means the container.
    #[inline]
    pub fn resolve(&self, argv: &[&[u8]]) -> Option<&Entry> {
        match self.renamed() {
            Some(renamed) => renamed.get(&self.registry, argv[0])?.meant(argv),
            None => self.registry.resolve(argv),
        }
    }

    /// The same for a call inside of another, with its arguments where it is not by the command's own name.
    pub(crate) fn resolve_nested<'a>(
        &self,
        argv: &[&'a [u8]],
    ) -> Option<(&Entry, Option<OwnCall<'a>>)> {
        let entry = self.resolve(argv)?;
        let own = self.renamed().and_then(|_| by_own_name(entry, argv));
        Some((entry, own))
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Who keeps the data, if anybody does.
    pub fn persistence(&self) -> Option<&Arc<dyn Persistence>> {
        self.persistence.get()
    }

    /// From now on the data is kept by this. Once, before there are clients.
    ///
    /// # Panics
    /// If there is a keeper already.
    pub fn keep_by(&self, persistence: Arc<dyn Persistence>) {
        let kept = self.persistence.set(persistence);
        assert!(kept.is_ok(), "an engine's data is kept by one");
    }

    /// Who speaks to primaries and replicas, if anybody does.
    pub fn replication(&self) -> Option<&Arc<dyn Replication>> {
        self.replication.get()
    }

    /// The primary that this server is just about to follow, as a transaction asked for, by its host and port: whoever asks is told so
    /// from then on.
    pub fn about_to_follow(&self) -> Option<(String, u16)> {
        self.roles.last()
    }

    /// `master` or `slave`, as INFO and HELLO call it.
    pub(crate) fn role(&self) -> &'static str {
        match self.about_to_follow() {
            Some(_) => "slave",
            None => self.standing.role(),
        }
    }

    /// Whether nothing is evicted here, since the primary sees to that.
    #[inline]
    pub(crate) fn leaves_memory_to_primary(&self) -> bool {
        let live = &self.config.live;
        self.standing.is_replica() && live.replica_ignore_maxmemory.load(Relaxed)
    }

    /// Where it is noted which keys are given an expiry, if that is to be known: on a replica, of its clients. `replayed`: it is not
    /// they who do it, but the primary's stream or a log.
    #[inline]
    pub(crate) fn own_expiries(&self, replayed: bool) -> Option<&OwnExpiries> {
        (self.standing.is_replica() && !replayed).then_some(&self.own_expiries)
    }

    /// Lets clients go that wait for something, with an error: this server has become a replica.
    pub fn release_blocked_clients(&self) {
        for client in self.clients().list() {
            if let Some(waiter) = client.waits_for::<Waiter>() {
                self.count_job(|counters| self.follow.give_up(&waiter, GiveUp::Replica, counters));
            }
        }
    }

    /// From now on this speaks to primaries and replicas. Once, before there are clients.
    ///
    /// # Panics
    /// If somebody does already.
    pub fn replicate_by(&self, replication: Arc<dyn Replication>) {
        let set = self.replication.set(replication);
        assert!(set.is_ok(), "an engine's stream is moved by one");
    }

    /// Counters, and a lane of the journal, for a thread that runs commands.
    pub fn add_counters(&self) -> Arc<Counters> {
        self.stats
            .add_worker(self.registry.ids(), self.journal.add_lane())
    }

    /// Writes down what a command that is done has changed. Its locks are held. `clock` is the session's; returns the number
    /// of the piece that it will be in, if there is anything.
    #[cold]
    pub(crate) fn write_down(&self, keys: &mut Keys<'_>, clock: &mut u64) -> Option<u64> {
        if keys.records.is_empty() {
            return None;
        }
        let (held, records) = (&keys.held, &mut *keys.records);
        let lane = &keys.counters.lane;
        Some(
            self.journal
                .write_down(lane, records, |f| held.each_clock(f), clock),
        )
    }

    /// The same of what nobody has asked for: it stands behind what anybody was told before.
    pub(crate) fn write_down_unasked(&self, keys: &mut Keys<'_>) {
        if !keys.records.is_empty() {
            self.write_down(keys, &mut clock_at(unix_nanos()));
        }
    }

    // The next two get all that they need in registers: what is handed over in memory is read in other pieces than it was written in,
    // and so only when all that was written before, the entry too, is in the cache.

    /// The same for a command that is written down as it came and nothing else.
    #[inline(never)]
    pub(crate) fn write_down_raw(
        &self,
        keys: &Keys<'_>,
        db: usize,
        bytes: &[u8],
        clock: &mut u64,
    ) -> u64 {
        let put = |into: &mut Vec<u8>| into.extend_from_slice(bytes);
        let lane = &keys.counters.lane;
        self.journal
            .write_down_one(lane, (db, put), |f| keys.held.each_clock(f), clock)
    }

    /// The same for a typed call of which nothing is to be written down but what the key holds now.
    #[inline(never)]
    pub(crate) fn write_down_state(&self, keys: &Keys<'_>, key: &[u8]) -> u64 {
        let put = |into: &mut Vec<u8>| keys.put_state(key, into);
        let lane = &keys.counters.lane;
        self.journal
            .write_down_one(lane, (keys.db, put), |f| keys.held.each_clock(f), &mut 0)
    }

    /// Has the replicas do a command too that changes nothing here, if there are any.
    pub fn pass_on(&self, argv: &[&[u8]], counters: &Counters) {
        if self.journal.has_replicas() {
            let mut records = Records::default();
            records.pass_on();
            records.finish(0, argv);
            let mut clock = clock_at(unix_nanos());
            self.journal
                .write_down(&counters.lane, &mut records, |_| {}, &mut clock);
        }
    }

    /// Counts something of a command that was left to a helper thread.
    pub(crate) fn count_job<R>(&self, count: impl FnOnce(&Counters) -> R) -> R {
        let mut jobs = self.jobs.lock();
        count(jobs.get_or_insert_with(|| self.add_counters()))
    }

    /// The number of the piece of the journal in which what served a waiting client is, or a later one. The thread stands still
    /// until that is certain.
    pub fn piece_of_served(&self, waiter: &Waiter) -> u64 {
        // Whoever served it holds the lock of the key's shard until that is written down.
        if let Some((place, _)) = waiter.keys.first() {
            drop(self.keyspace.lock(place.shard()));
        }
        self.journal.last_piece() + 1
    }

    /// The same for a client of a server. None if it is not certain yet: the client is woken when this is to be asked again.
    pub fn piece_of_served_soon(&self, waiter: &Waiter, session: &mut Session) -> Option<u64> {
        if let Some((place, _)) = waiter.keys.first() {
            let shard = place.shard();
            if self.keyspace.lock_soon(shard, session.ticket()).is_none() {
                session.stand(shard);
                return None;
            }
            session.leave_lines();
        }
        Some(self.journal.last_piece() + 1)
    }

    /// A new client's state.
    pub fn session(self: &Arc<Self>, origin: Origin) -> Session {
        let client = self.follow.clients.add(origin, unix_ms() / 1000, 2);
        let mut session = Session::new(self.clone(), client);
        session.sign_out();
        session
    }
}
