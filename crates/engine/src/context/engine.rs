//! The engine: the keyspace, the table of commands, the settings, and who is connected.

use crate::base::stats::Stats;
use crate::client::clients::{Clients, Origin};
use crate::config::Config;
use crate::config::host::Host;
use crate::context::session::Session;
use crate::dispatch::worker::Worker;
use crate::follow::effects::Effects;
use crate::follow::messages::PubSub;
use crate::follow::monitor::Monitors;
use crate::follow::tracking::Tracking;
use crate::script::scripts::Scripts;
use crate::table::registry::Registry;
use crate::upkeep::sweep::{Maintenance, Reclaimer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::Keyspace;

/// CLIENT PAUSE: until when, and for which commands.
#[derive(Debug, Default)]
pub struct Pause {
    /// Unix milliseconds; 0: not paused.
    until_ms: AtomicU64,
    /// 1: only writes wait.
    writes_only: AtomicU64,
}

impl Pause {
    /// Whether a command has to wait, and for how many milliseconds at most.
    #[inline]
    pub fn wait_ms(&self, now_ms: u64, is_write: bool) -> Option<u64> {
        let until = self.until_ms.load(Relaxed);
        if until == 0 || until <= now_ms || (!is_write && self.writes_only.load(Relaxed) == 1) {
            return None;
        }
        Some(until - now_ms)
    }

    /// Pauses, or extends a pause; a pause of everything is not weakened to one of writes while it lasts.
    pub fn start(&self, now_ms: u64, until_ms: u64, writes_only: bool) {
        let running = self.until_ms.load(Relaxed) > now_ms;
        if !(running && writes_only && self.writes_only.load(Relaxed) == 0) {
            self.writes_only.store(u64::from(writes_only), Relaxed);
        }
        if !running || until_ms > self.until_ms.load(Relaxed) {
            self.until_ms.store(until_ms, Relaxed);
        }
    }

    /// Ends a pause.
    pub fn stop(&self) {
        self.until_ms.store(0, Relaxed);
    }
}

/// See the module's page. Shared by all workers; made once.
pub struct Engine {
    me: Weak<Engine>,
    keyspace: Keyspace,
    registry: Registry,
    config: Config,
    host: Arc<dyn Host>,
    clients: Clients,
    stats: Stats,
    /// Who listens to changes of keys.
    pub effects: Effects,
    /// Who listens to channels.
    pub pubsub: PubSub,
    /// Who watches what is executed.
    pub monitors: Monitors,
    /// Scripts and functions.
    pub scripts: Scripts,
    /// Which clients keep copies of which keys.
    pub tracking: Tracking,
    pub(crate) reclaimer: Reclaimer,
    /// See [`Engine::coarse_ms`].
    pub(crate) clock_ms: AtomicU64,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// DEBUG SLEEP: until when nothing is done, in Unix nanoseconds.
    asleep_until: AtomicU64,
    /// DEBUG PAUSE-CRON: the maintenance thread leaves everything as it is.
    pub maintenance_paused: AtomicBool,
    /// When the engine was made.
    pub started: Instant,
    /// The same in Unix seconds.
    pub started_s: u64,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
}

/// Unix nanoseconds now.
#[inline]
pub fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64)
}

/// Unix milliseconds now.
pub fn unix_ms() -> u64 {
    unix_nanos() / 1_000_000
}

/// Unix milliseconds as of the kernel's last tick, some milliseconds ago at most while the processor is busy.
#[inline]
pub fn tick_ms() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let mut at = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes one timespec to where it is told to.
        if unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut at) } == 0 {
            return at.tv_sec as u64 * 1000 + at.tv_nsec as u64 / 1_000_000;
        }
    }
    unix_ms()
}

/// Bytes nobody can predict.
///
/// # Panics
/// If the system cannot give any.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    let mut got = 0;
    while got < N {
        // SAFETY: the pointer and length describe the part of the array that is still to be filled.
        let n = unsafe { libc::getrandom(bytes[got..].as_mut_ptr().cast(), N - got, 0) };
        assert!(n >= 0, "the system gives no random bytes");
        got += n as usize;
    }
    bytes
}

/// A number below `n` (not zero), each as likely as any other.
///
/// Not for secrets: a xorshift generator per thread, seeded by the system.
pub fn random_below(n: u64) -> u64 {
    use std::cell::Cell;
    thread_local!(static STATE: Cell<u64> = Cell::new(u64::from_le_bytes(random_bytes()) | 1));
    let x = STATE.with(|s| {
        let mut x = s.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        s.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    });
    // The bias of taking the high half of a product is below n / 2^64.
    ((u128::from(x) * u128::from(n)) >> 64) as u64
}

impl Engine {
    /// An engine with an empty keyspace.
    pub fn new(config: Config, host: Arc<dyn Host>) -> Arc<Engine> {
        let seed = u64::from_le_bytes(random_bytes());
        let keyspace = Keyspace::new(config.shards(), config.databases(), seed);
        store::types::members::set_seed(u64::from_le_bytes(random_bytes()));
        let engine = Arc::new_cyclic(|me| Engine {
            me: me.clone(),
            effects: Effects::new(keyspace.shards()),
            pubsub: PubSub::default(),
            monitors: Monitors::default(),
            scripts: Scripts::default(),
            tracking: Tracking::default(),
            keyspace,
            registry: Registry::new(crate::cmd::FAMILIES),
            config,
            host,
            clients: Clients::default(),
            stats: Stats::default(),
            reclaimer: Reclaimer::new(),
            clock_ms: AtomicU64::new(unix_ms()),
            pause: Pause::default(),
            asleep_until: AtomicU64::new(0),
            maintenance_paused: AtomicBool::new(false),
            started: Instant::now(),
            started_s: unix_ms() / 1000,
            run_id: random_bytes::<20>()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
        });
        engine.heed_notify_keyspace_events();
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
        &self.clients
    }

    /// All keys.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// All commands.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What a thread runs commands with.
    pub fn worker(self: &Arc<Self>) -> Worker {
        Worker::new(self.clone())
    }

    /// A new client's state.
    pub fn session(self: &Arc<Self>, origin: Origin) -> Session {
        let trusted = origin.kind == crate::client::clients::Kind::Embedded
            || self.config.requirepass().is_none();
        let client = self.clients.add(origin, unix_ms() / 1000, 2);
        client.words.lock().user = "default".into();
        Session::new(self.clone(), client, trusted)
    }

    /// Starts the thread that removes expired keys and frees what is big, until the result is dropped.
    pub fn start_maintenance(self: &Arc<Self>) -> Maintenance {
        Maintenance::start(self)
    }
}
