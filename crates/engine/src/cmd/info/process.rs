//! INFO's sections about the process and its clients: Server, Clients, CPU.

use super::Report;
use crate::base::clock::unix_nanos;
use crate::base::process;
use crate::base::replication::{CHANGES_HELD, FAILING_OVER, STOPPING};
use crate::base::ticks;
use crate::base::version::{MODE, REDIS_VERSION, VERSION};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn server(report: &Report<'_, '_>, into: &mut String) {
    let engine = report.engine;
    let uptime = engine.started.elapsed().as_secs();
    line!(into, "redis_version:{REDIS_VERSION}");
    line!(into, "redpoll_version:{VERSION}");
    line!(into, "redis_git_sha1:00000000");
    line!(into, "redis_git_dirty:0");
    line!(into, "redis_mode:{MODE}");
    line!(into, "os:{}", process::system_name());
    line!(into, "arch_bits:{}", usize::BITS);
    line!(into, "multiplexing_api:epoll");
    line!(into, "monotonic_clock:{}", ticks::clock());
    line!(into, "process_id:{}", std::process::id());
    line!(into, "run_id:{}", engine.run_id);
    // As real servers say it: the one for TLS where there is no other.
    let config = engine.config();
    let port = [config.port(), config.tls_port()];
    line!(
        into,
        "tcp_port:{}",
        port.into_iter().find(|&port| port > 0).unwrap_or(0)
    );
    line!(into, "server_time_usec:{}", unix_nanos() / 1000);
    line!(into, "uptime_in_seconds:{uptime}");
    line!(into, "uptime_in_days:{}", uptime / 86400);
    line!(into, "hz:{}", engine.config().text("hz"));
    line!(into, "configured_hz:{}", engine.config().text("hz"));
    line!(into, "lru_clock:{}", (report.now_ms / 1000) & 0xff_ffff);
    if let Ok(path) = std::env::current_exe() {
        line!(into, "executable:{}", path.display());
    }
    let file = engine
        .config()
        .file()
        .map(|path| path.display().to_string());
    line!(into, "config_file:{}", file.unwrap_or_default());
    line!(
        into,
        "io_threads_active:{}",
        u8::from(engine.config().threads() > 1)
    );
    engine.host().info("server", into);
}

pub(super) fn clients(report: &Report<'_, '_>, into: &mut String) {
    let engine = report.engine;
    let all = engine.clients().list();
    let largest = |of: fn(&crate::client::clients::Client) -> usize| {
        all.iter().map(|c| of(c)).max().unwrap_or(0)
    };
    let put_off = engine.standing.closed() & CHANGES_HELD;
    let (paused, left) = match (
        engine.pause.wait_ms(report.now_ms, false),
        engine.pause.wait_ms(report.now_ms, true),
    ) {
        (Some(ms), _) => ("all", ms),
        // Until that is decided, which takes as long as it takes.
        _ if put_off != 0 => ("write", (i64::MAX as u64).saturating_sub(report.now_ms)),
        (None, Some(ms)) => ("write", ms),
        (None, None) => ("none", 0),
    };
    let but_replicas = all.iter().filter(|c| !c.follows.load(Relaxed)).count();
    line!(into, "connected_clients:{but_replicas}");
    line!(into, "cluster_connections:0");
    line!(
        into,
        "maxclients:{}",
        engine.config().live.maxclients.load(Relaxed)
    );
    line!(
        into,
        "client_recent_max_input_buffer:{}",
        largest(|c| c.query_bytes.load(Relaxed) + c.query_free.load(Relaxed))
    );
    line!(
        into,
        "client_recent_max_output_buffer:{}",
        largest(|c| c.unsent_bytes())
    );
    let effects = &engine.follow.effects;
    // Who waits for the end of a pause counts, be it that of FAILOVER, as with real servers.
    let held = engine.pause.line.waiting() + engine.standing.held.waiting();
    let blocked = effects.blocked.load(Relaxed) + held;
    line!(into, "blocked_clients:{blocked}");
    line!(
        into,
        "tracking_clients:{}",
        engine.follow.tracking.clients()
    );
    let subscribers = all.iter().filter(|c| c.subscribes()).count();
    line!(into, "pubsub_clients:{subscribers}");
    line!(into, "watching_clients:{}", effects.watching.load(Relaxed));
    line!(
        into,
        "clients_in_timeout_table:{}",
        effects.timeouts.load(Relaxed)
    );
    line!(into, "total_watched_keys:{}", effects.watched.load(Relaxed));
    line!(
        into,
        "total_blocking_keys:{}",
        effects.blocking_keys.load(Relaxed)
    );
    line!(
        into,
        "total_blocking_keys_on_nokey:{}",
        effects.blocking_keys_on_delete.load(Relaxed)
    );
    let reason = match paused {
        "none" => "none",
        _ if put_off & STOPPING != 0 => "shutdown_in_progress",
        _ if put_off & FAILING_OVER != 0 => "failover_in_progress",
        _ => "client_pause",
    };
    line!(into, "paused_reason:{reason}");
    line!(into, "paused_actions:{paused}");
    line!(into, "paused_timeout_milliseconds:{left}");
    engine.host().info("clients", into);
}

pub(super) fn cpu(_: &Report<'_, '_>, into: &mut String) {
    if let Some(time) = process::cpu_time() {
        line!(into, "used_cpu_sys:{:.6}", time.system);
        line!(into, "used_cpu_user:{:.6}", time.user);
        line!(into, "used_cpu_sys_children:{:.6}", time.children_system);
        line!(into, "used_cpu_user_children:{:.6}", time.children_user);
    }
    if let Some(time) = process::main_thread_cpu_time() {
        line!(into, "used_cpu_sys_main_thread:{:.6}", time.system);
        line!(into, "used_cpu_user_main_thread:{:.6}", time.user);
    }
}
