//! What commands may ask of the server: to stop, to put a directive into effect, to tell about itself.

use crate::http_port::HttpPort;
use crate::listen::{self, Listener};
use crate::logging::LogLevel;
use crate::seat::{self, GiveBack, Load};
use crate::service::{OomScore, Supervisor};
use crate::stopping::{End, Order, Stopping};
use crate::system;
use crate::tls::{self, Certificates};
use engine::Config;
use engine::{Engine, Host, OnFailure, ShutdownMode};
use parking_lot::Mutex;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::RuntimeMetrics;
use tokio::sync::{mpsc, watch};

/// The host of an engine that a [`Server`](crate::Server) serves.
///
/// It exists before the engine, which keeps it, and before the server, which fills it in when it starts.
#[derive(Default)]
pub struct ServerHost {
    /// How the server stops.
    pub(crate) stopping: Arc<Stopping>,
    loads: OnceLock<Vec<Arc<Load>>>,
    runtimes: OnceLock<Vec<RuntimeMetrics>>,
    log_level: OnceLock<LogLevel>,
    /// The open TCP listeners of `bind` and `port`.
    pub(crate) tcp: Mutex<Vec<Arc<Listener>>>,
    /// The unix listener, and those of the embedding program.
    pub(crate) others: Mutex<Vec<Arc<Listener>>>,
    /// What serves HTTP, once there is an engine.
    http: OnceLock<HttpPort>,
    pub(crate) counts: Counts,
    /// What handshakes are made with.
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) give_back: watch::Sender<GiveBack>,
    allocator: OnceLock<Allocator>,
    /// Who started the server and is told how it is.
    supervisor: OnceLock<Supervisor>,
    /// Shows a title of the process.
    set_title: OnceLock<Titled>,
    oom_score: Mutex<OomScore>,
}

/// How the program is called, and what shows another title of its process.
type Titled = (String, Box<dyn Fn(&str) + Send + Sync>);

/// Resident bytes from which a process is no small one.
const GROWN: u64 = 32 << 20;

/// How long those who give memory back are waited for: one may be at a long command.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(1);

/// The allocator of the program, of which the server is told by whoever chose it.
#[derive(Clone, Debug)]
pub struct Allocator {
    /// Its name and version, for INFO.
    pub name: String,
    /// Gives the memory that the calling thread has freed, or others have of what it allocated, back to the system.
    pub collect: fn(),
    /// Has what is freed go back to the system after so many milliseconds, as long as memory is short, or after the usual while.
    pub give_back_after: Option<fn(Option<u32>)>,
    /// Its own statistics, for people, if it keeps any (MEMORY MALLOC-STATS).
    pub stats: Option<fn() -> String>,
    /// Allows the kernel huge pages, which serve large data well and make a small process large. Called once it is not small
    /// any more; None leaves the matter alone.
    pub huge_pages: Option<fn()>,
}

/// Counters of the server as a whole.
#[derive(Default)]
pub(crate) struct Counts {
    pub accepted: AtomicU64,
    pub rejected: AtomicU64,
    /// Commands per second lately.
    pub ops_per_s: AtomicU64,
    /// Bytes per second lately, read and written.
    pub in_per_s: AtomicU64,
    pub out_per_s: AtomicU64,
    /// The same of what came from a primary and went to replicas.
    pub from_primary_per_s: AtomicU64,
    pub to_replicas_per_s: AtomicU64,
    /// How often a second the workers wake up lately, and how long they are busy then, in microseconds.
    pub cycles_per_s: AtomicU64,
    pub cycle_us: AtomicU64,
    /// Bytes that CONFIG RESETSTAT has taken off the totals.
    pub in_reset: AtomicU64,
    pub out_reset: AtomicU64,
    /// The same for reads and writes.
    pub reads_reset: AtomicU64,
    pub writes_reset: AtomicU64,
}

impl ServerHost {
    /// A host whose server has not started.
    pub fn new() -> Arc<ServerHost> {
        Arc::default()
    }

    /// How the server was told to end.
    pub fn end(&self) -> End {
        self.stopping.end()
    }

    /// Ends the server at once: it has nothing that could be kept.
    pub fn stop_now(&self) {
        let now = ShutdownMode {
            now: true,
            ..ShutdownMode::default()
        };
        // If it is not running any more, there is nothing to stop.
        let _ = self.stopping.leave(End {
            mode: now,
            ..End::default()
        });
    }

    /// Says who started the server. Of several calls the first counts.
    pub fn set_supervisor(&self, supervisor: Supervisor) {
        let _ = self.supervisor.set(supervisor);
    }

    /// Who started the server.
    pub fn supervisor(&self) -> &Supervisor {
        static NOBODY: Supervisor = Supervisor::None;
        self.supervisor.get().unwrap_or(&NOBODY)
    }

    /// Lets `proc-title-template` reach the process: how the program is called, and what shows a title. Of several calls the first
    /// counts.
    pub fn set_title(&self, program: &str, show: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.set_title.set((program.to_owned(), Box::new(show)));
    }

    /// Shows the title that the configuration asks for.
    pub fn show_title(&self, config: &Config) {
        if let Some((program, show)) = self.set_title.get()
            && let Some(title) = engine::config::title::of(config, program)
        {
            show(&title);
        }
    }

    /// Tells the kernel how readily it may end the process.
    pub fn apply_oom_score(&self, config: &Config) -> io::Result<()> {
        self.oom_score.lock().apply(config)
    }

    /// Lets CONFIG SET loglevel reach the log. Of several calls the first counts.
    pub fn set_log_level(&self, level: LogLevel) {
        let _ = self.log_level.set(level);
    }

    /// Lets MEMORY PURGE and the upkeep give memory back. Of several calls the first counts.
    pub fn set_allocator(&self, allocator: Allocator) {
        let _ = self.allocator.set(allocator);
    }

    /// How many connections each worker has.
    pub fn connections(&self) -> Vec<usize> {
        let loads = self.loads.get().map(Vec::as_slice).unwrap_or_default();
        loads
            .iter()
            .map(|load| load.connections.load(Relaxed))
            .collect()
    }

    /// Connects the host with its server; false if it has one already.
    pub(crate) fn start(
        &self,
        engine: &Arc<Engine>,
        orders: mpsc::UnboundedSender<Order>,
        (loads, runtimes): (Vec<Arc<Load>>, Vec<RuntimeMetrics>),
    ) -> bool {
        self.stopping.start(engine, orders)
            && self.loads.set(loads).is_ok()
            && self.runtimes.set(runtimes).is_ok()
    }

    /// How often the workers have gone to sleep, and for how many microseconds they were busy, since the start.
    pub(crate) fn cycles(&self) -> (u64, u64) {
        let runtimes = self.runtimes.get().map(Vec::as_slice).unwrap_or_default();
        let of = |runtime: &RuntimeMetrics| {
            let busy = runtime.worker_total_busy_duration(0).as_micros();
            (runtime.worker_park_count(0), busy as u64)
        };
        let all = runtimes.iter().map(of);
        all.fold((0, 0), |(cycles, busy), (more, longer)| {
            (cycles + more, busy + longer)
        })
    }

    /// A line for each worker.
    fn info_threads(&self, into: &mut String) {
        let loads = self.loads.get().map(Vec::as_slice).unwrap_or_default();
        for (at, load) in loads.iter().enumerate() {
            let _ = write!(
                into,
                "io_thread_{at}:clients={},reads={},writes={}\r\n",
                load.connections.load(Relaxed),
                load.reads.load(Relaxed),
                load.writes.load(Relaxed)
            );
        }
    }

    /// Bytes read from and written to sockets since the start.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let loads = self.loads.get().map(Vec::as_slice).unwrap_or_default();
        let sum =
            |of: fn(&Load) -> &AtomicU64| loads.iter().map(|load| of(load).load(Relaxed)).sum();
        (sum(|load| &load.bytes_in), sum(|load| &load.bytes_out))
    }

    /// Allows huge pages as soon as it is known that a large file is being loaded, and not only when much of it is in memory.
    pub fn heed_load(&self, loading: &engine::Loading) {
        let Some(allow) = self.allocator.get().and_then(|a| a.huge_pages) else {
            return;
        };
        let once = Once::new();
        loading.watch(Box::new(move |progress| {
            if progress.total_bytes >= GROWN {
                once.call_once(allow);
            }
        }));
    }

    /// Allows huge pages if the process has grown, and if they are to be allowed then. True once there is nothing left to do.
    pub(crate) fn heed_growth(&self) -> bool {
        let Some(allow) = self.allocator.get().and_then(|a| a.huge_pages) else {
            return true;
        };
        let grown = system::resident_bytes().is_none_or(|bytes| bytes >= GROWN);
        if grown {
            allow();
        }
        grown
    }

    /// How often something was read from and written to sockets since the start.
    fn calls(&self) -> (u64, u64) {
        let loads = self.loads.get().map(Vec::as_slice).unwrap_or_default();
        let sum =
            |of: fn(&Load) -> &AtomicU64| loads.iter().map(|load| of(load).load(Relaxed)).sum();
        (sum(|load| &load.reads), sum(|load| &load.writes))
    }

    /// Opens the listeners the configuration asks for now, and closes those it does not.
    fn listen(&self, config: &Config) -> Result<(), String> {
        let mut open = self.tcp.lock();
        let wanted = listen::tcp(config, &open).map_err(|error| {
            tracing::warn!("{error}");
            "Unable to listen on this port. Check server logs.".to_owned()
        })?;
        *open = wanted;
        let mut all = open.clone();
        all.extend(self.others.lock().iter().cloned());
        self.stopping.order(Order::Listen(all));
        Ok(())
    }

    /// Serves an engine over HTTP, if the configuration asks for that now or later. Of several calls the first counts.
    pub(crate) fn start_http(
        &self,
        engine: &Arc<engine::Engine>,
    ) -> Result<(), listen::ListenError> {
        let http = self
            .http
            .get_or_init(|| HttpPort::new(engine, self.certificates.clone()));
        http.listen(engine.config())
    }

    /// Ends that.
    pub(crate) fn stop_http(&self) {
        if let Some(http) = self.http.get() {
            http.stop();
        }
    }

    /// The addresses that are open for HTTP.
    pub(crate) fn http_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.http.get().map_or_else(Vec::new, HttpPort::addresses)
    }

    fn listen_http(&self, config: &Config) -> Result<(), String> {
        self.certificates.load(config).map_err(|error| {
            tracing::warn!("{error}");
            "Unable to update TLS configuration. Check server logs.".to_owned()
        })?;
        let Some(http) = self.http.get() else {
            return Ok(());
        };
        http.listen(config).map_err(|error| {
            tracing::warn!("{error}");
            "Unable to listen on this port. Check server logs.".to_owned()
        })
    }

    fn info_server(&self, into: &mut String) {
        let supervisor = self.supervisor().name();
        let _ = write!(into, "process_supervised:{supervisor}\r\n");
        self.stopping.info(into);
        let tcp = self.tcp.lock();
        let others = self.others.lock();
        for (at, listener) in tcp.iter().chain(others.iter()).enumerate() {
            let _ = match &listener.address {
                listen::Address::Tcp(address) => {
                    write!(
                        into,
                        "listener{at}:name={},bind={},port={}\r\n",
                        listener.kind(),
                        listener.name,
                        address.port()
                    )
                }
                listen::Address::Unix(path) => {
                    write!(into, "listener{at}:name=unix,bind={}\r\n", path.display())
                }
            };
        }
    }

    fn info_stats(&self, into: &mut String) {
        let counts = &self.counts;
        let get = |count: &AtomicU64| count.load(Relaxed);
        let (bytes_in, bytes_out) = self.traffic();
        let (reads, writes) = self.calls();
        let kb = |count: &AtomicU64| get(count) as f64 / 1024.0;
        let (cycles, busy) = self.cycles();
        let _ = write!(
            into,
            "total_connections_received:{}\r\nrejected_connections:{}\r\ninstantaneous_ops_per_sec:{}\r\n\
             total_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\n\
             instantaneous_input_kbps:{:.2}\r\ninstantaneous_output_kbps:{:.2}\r\n\
             instantaneous_input_repl_kbps:{:.2}\r\ninstantaneous_output_repl_kbps:{:.2}\r\n\
             total_reads_processed:{}\r\ntotal_writes_processed:{}\r\n\
             io_threaded_reads_processed:{}\r\nio_threaded_writes_processed:{}\r\n\
             eventloop_cycles:{cycles}\r\neventloop_duration_sum:{busy}\r\n\
             instantaneous_eventloop_cycles_per_sec:{}\r\ninstantaneous_eventloop_duration_usec:{}\r\n",
            get(&counts.accepted),
            get(&counts.rejected),
            get(&counts.ops_per_s),
            bytes_in.saturating_sub(get(&counts.in_reset)),
            bytes_out.saturating_sub(get(&counts.out_reset)),
            kb(&counts.in_per_s),
            kb(&counts.out_per_s),
            kb(&counts.from_primary_per_s),
            kb(&counts.to_replicas_per_s),
            reads.saturating_sub(get(&counts.reads_reset)),
            writes.saturating_sub(get(&counts.writes_reset)),
            // All of them: every thread serves connections.
            reads.saturating_sub(get(&counts.reads_reset)),
            writes.saturating_sub(get(&counts.writes_reset)),
            get(&counts.cycles_per_s),
            get(&counts.cycle_us),
        );
    }
}

impl Host for ServerHost {
    fn shutdown(&self, mode: ShutdownMode, failed: OnFailure) -> Result<(), String> {
        self.stopping.begin(mode, Some(failed))
    }

    fn abort_shutdown(&self) -> bool {
        self.stopping.abort()
    }

    fn applied(&self, directive: &str, config: &Config) -> Result<(), String> {
        if let Some(why) = Config::why_moot(directive) {
            tracing::info!("{directive} changes nothing: {why}");
        }
        match directive {
            "port" => self.listen(config),
            tls if tls.starts_with("tls-") => {
                self.certificates.load(config).map_err(|error| {
                    tracing::warn!("{error}");
                    "Unable to update TLS configuration. Check server logs.".to_owned()
                })?;
                if tls == "tls-port" {
                    self.listen(config)?;
                }
                Ok(())
            }
            "http-port" | "http-bind" | "http-tls" => self.listen_http(config),
            "bind" => self
                .listen(config)
                .map_err(|_| "Failed to bind to specified addresses.".into()),
            "maxclients" => {
                let wanted = config.number("maxclients") as usize;
                let possible = system::allow_clients(wanted);
                if possible < wanted {
                    return Err(format!(
                        "The operating system is not able to handle the specified number of clients, try with {possible}"
                    ));
                }
                Ok(())
            }
            "loglevel" => {
                if let Some(level) = self.log_level.get() {
                    level.set(&config.loglevel());
                }
                Ok(())
            }
            "log-format" | "log-timestamp-format" | "hide-user-data-from-log" => {
                if let Some(level) = self.log_level.get() {
                    level.heed_style(config);
                }
                Ok(())
            }
            "proc-title-template" => {
                self.show_title(config);
                Ok(())
            }
            "oom-score-adj" | "oom-score-adj-values" => {
                self.apply_oom_score(config).map_err(|error| {
                    tracing::warn!("oom-score-adj: {error}");
                    "Failed to set current oom_score_adj. Check server logs.".into()
                })
            }
            "dir" => system::enter_dir(config).map_err(|error| system::reason(&error)),
            _ => Ok(()),
        }
    }

    fn role_changed(&self, is_replica: bool, config: &Config) {
        if let Some(level) = self.log_level.get() {
            level.heed_role(is_replica);
        }
        let mut oom_score = self.oom_score.lock();
        oom_score.is_replica = is_replica;
        if let Err(error) = oom_score.apply(config) {
            tracing::warn!("oom-score-adj: {error}");
        }
    }

    fn replace_config(&self, path: &Path, change: &dyn Fn(&str) -> String) -> Result<(), String> {
        let replaced = system::rewrite_file(path, change);
        match &replaced {
            Ok(()) => tracing::info!("Wrote the configuration to {}", path.display()),
            Err(error) => tracing::warn!("Could not write {}: {error}", path.display()),
        }
        replaced.map_err(|error| system::reason(&error))
    }

    fn info(&self, section: &str, into: &mut String) {
        match section {
            "server" => self.info_server(into),
            "stats" => self.info_stats(into),
            "threads" => self.info_threads(into),
            "tls" => tls::info(self.certificates.current().as_deref(), into),
            _ => {}
        }
    }

    fn read_file(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| system::reason(&error))
    }

    fn replace_file(&self, path: &Path, contents: &[u8]) -> Result<(), String> {
        system::replace_file(path, contents).map_err(|error| system::reason(&error))
    }

    fn allocator(&self) -> Option<&str> {
        self.allocator.get().map(|allocator| &*allocator.name)
    }

    fn allocator_stats(&self) -> Option<String> {
        let stats = self.allocator.get()?.stats?;
        Some(stats())
    }

    fn hand_over(&self) -> bool {
        seat::hand_over()
    }

    fn give_back_after(&self, ms: Option<u32>) {
        if let Some(after) = self.allocator.get().and_then(|a| a.give_back_after) {
            after(ms);
        }
    }

    fn give_back_memory(&self) -> bool {
        let Some(allocator) = self.allocator.get() else {
            return false;
        };
        let collect = allocator.collect;
        let mut number = 0;
        self.give_back.send_modify(|order| {
            order.number += 1;
            order.collect = Some(collect);
            number = order.number;
        });
        let loads = self.loads.get().map(Vec::as_slice).unwrap_or_default();
        let until = Instant::now() + GIVE_BACK_PATIENCE;
        for load in loads {
            load.wait_until(until, |load| load.given_back.load(Acquire) >= number);
        }
        // The last, so that what they have let go of goes too.
        collect();
        true
    }

    fn reset_stats(&self) {
        let (reads, writes) = self.calls();
        self.counts.reads_reset.store(reads, Relaxed);
        self.counts.writes_reset.store(writes, Relaxed);
        let (bytes_in, bytes_out) = self.traffic();
        self.counts.in_reset.store(bytes_in, Relaxed);
        self.counts.out_reset.store(bytes_out, Relaxed);
        self.counts.accepted.store(0, Relaxed);
        self.counts.rejected.store(0, Relaxed);
    }
}
