//! INFO: what the server tells about itself, section by section.
//!
//! The lines carry the names that dashboards and clients know from Redis. A line is there if its value is known and true:
//! counts of features that do not exist yet are zero, and lines about the inner workings of Redis are left out. What
//! only the network server knows (traffic, listeners) it adds itself, see [`crate::config::host::Host::info`].

use super::memory::Usage;
use crate::base::args::Args;
use crate::base::clock::unix_nanos;
use crate::base::error::Result;
use crate::base::process;
use crate::base::random::random_below;
use crate::base::stats::Counters;
use crate::base::ticks;
use crate::base::version::{MODE, REDIS_VERSION, VERSION};
use crate::context::command::{Command, Group, LOADING, OWN_LOCKS, STALE, row};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::door::held::Held;
use crate::follow::messages::Kind;
use crate::table::categories::CAT_DANGEROUS;
use std::cell::OnceCell;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use store::table::POSITIONS;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("info", -1, LOADING | STALE | OWN_LOCKS, Group::Server, "1.0.0", info)
        .args("[section...]").acl(CAT_DANGEROUS)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs("Reports on the server, section by section.", "O(1)")
        .history(&[("7.0.0", "Several sections may be given.")]),
];

/// A section: its name, and whether INFO without arguments shows it.
struct Section {
    name: &'static str,
    by_default: bool,
    write: fn(&Report<'_, '_>, &mut String),
}

/// All sections, in the order they are shown in.
const SECTIONS: &[Section] = &[
    Section {
        name: "Server",
        by_default: true,
        write: server,
    },
    Section {
        name: "Clients",
        by_default: true,
        write: clients,
    },
    Section {
        name: "Memory",
        by_default: true,
        write: memory,
    },
    Section {
        name: "TLS",
        by_default: true,
        write: |report, into| report.engine.host().info("tls", into),
    },
    Section {
        name: "Persistence",
        by_default: true,
        write: persistence,
    },
    Section {
        name: "Stats",
        by_default: true,
        write: stats,
    },
    Section {
        name: "Replication",
        by_default: true,
        write: replication,
    },
    Section {
        name: "Threads",
        by_default: true,
        write: |report, into| report.engine.host().info("threads", into),
    },
    Section {
        name: "CPU",
        by_default: true,
        write: cpu,
    },
    Section {
        name: "Hotkeys",
        by_default: true,
        write: hotkeys,
    },
    Section {
        name: "Modules",
        by_default: true,
        write: |_, _| {},
    },
    Section {
        name: "Commandstats",
        by_default: false,
        write: commandstats,
    },
    Section {
        name: "Errorstats",
        by_default: true,
        write: errorstats,
    },
    Section {
        name: "Latencystats",
        by_default: false,
        write: latencystats,
    },
    Section {
        name: "Cluster",
        by_default: true,
        write: cluster,
    },
    Section {
        name: "Keyspace",
        by_default: true,
        write: keyspace,
    },
    Section {
        name: "Keysizes",
        by_default: true,
        write: keysizes::keysizes,
    },
];

/// Sections that are shown only to who asks for them by name: hundreds of lines that no exporter knows.
const BY_NAME: &[Section] = &[Section {
    name: "Shards",
    by_default: false,
    write: shards,
}];

/// What the sections are written from.
struct Report<'a, 'e> {
    engine: &'a Engine,
    held: &'a Held<'e>,
    now_ms: u64,
    usage: OnceCell<Usage>,
}

impl Report<'_, '_> {
    fn usage(&self) -> &Usage {
        self.usage.get_or_init(|| Usage::measure(self.engine))
    }
}

macro_rules! line {
    ($into:expr, $($part:tt)*) => {{
        // Writing to a string does not fail.
        let _ = write!($into, $($part)*);
        $into.push_str("\r\n");
    }};
}

// Behind what it writes with.
mod keysizes;

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let asked = args.rest();
    let is_asked = |name: &str| {
        asked
            .iter()
            .any(|a| a.eq_ignore_ascii_case(name.as_bytes()))
    };
    let default = asked.is_empty() || is_asked("default");
    let all = is_asked("all") || is_asked("everything");
    let report = Report {
        engine: ctx.engine,
        held: &ctx.keys.held,
        now_ms: ctx.keys.now_ms,
        usage: OnceCell::new(),
    };
    let mut text = String::new();
    for section in SECTIONS.iter().chain(BY_NAME) {
        let all = all && !BY_NAME.iter().any(|known| known.name == section.name);
        if all || (default && section.by_default) || is_asked(section.name) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line!(text, "# {}", section.name);
            (section.write)(&report, &mut text);
        }
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn server(report: &Report<'_, '_>, into: &mut String) {
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

fn clients(report: &Report<'_, '_>, into: &mut String) {
    let engine = report.engine;
    let all = engine.clients().list();
    let largest = |of: fn(&crate::client::clients::Client) -> usize| {
        all.iter().map(|c| of(c)).max().unwrap_or(0)
    };
    let (paused, left) = match (
        engine.pause.wait_ms(report.now_ms, false),
        engine.pause.wait_ms(report.now_ms, true),
    ) {
        (Some(ms), _) => ("all", ms),
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
    line!(into, "blocked_clients:{}", effects.blocked.load(Relaxed));
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
    let failing_over = engine.replication().is_some_and(|r| r.is_failing_over());
    let reason = match (paused, failing_over) {
        ("none", _) => "none",
        (_, true) => "failover_in_progress",
        (_, false) => "client_pause",
    };
    line!(into, "paused_reason:{reason}");
    line!(into, "paused_actions:{paused}");
    line!(into, "paused_timeout_milliseconds:{left}");
    engine.host().info("clients", into);
}

/// A number of bytes as people read it: `1.50K`.
fn human(bytes: u64) -> String {
    let mut n = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    for unit in ["K", "M", "G", "T"] {
        n /= 1024.0;
        if n < 1024.0 {
            return format!("{n:.2}{unit}");
        }
    }
    format!("{:.2}P", n / 1024.0)
}

/// A line with a number of bytes and one with the same for people.
fn size(into: &mut String, name: &str, bytes: u64) {
    line!(into, "{name}:{bytes}");
    line!(into, "{name}_human:{}", human(bytes));
}

fn memory(report: &Report<'_, '_>, into: &mut String) {
    let usage = report.usage();
    let config = report.engine.config();
    size(into, "used_memory", usage.used() as u64);
    if let Some(resident) = usage.resident {
        size(into, "used_memory_rss", resident);
    }
    size(into, "used_memory_peak", usage.peak as u64);
    line!(
        into,
        "used_memory_peak_time:{}",
        report.engine.stats().peak_at_s.load(Relaxed)
    );
    line!(into, "used_memory_peak_perc:{:.2}%", usage.peak_percent());
    line!(into, "used_memory_overhead:{}", usage.overhead());
    line!(into, "used_memory_startup:{}", usage.other.fixed);
    line!(into, "used_memory_dataset:{}", usage.dataset());
    line!(
        into,
        "used_memory_dataset_perc:{:.2}%",
        usage.dataset_percent()
    );
    if let Some(allocator) = usage.allocator() {
        line!(into, "allocator_allocated:{}", allocator.allocated);
        line!(into, "allocator_active:{}", allocator.active);
        line!(into, "allocator_resident:{}", allocator.resident);
        line!(into, "allocator_muzzy:0");
    }
    if let Some(bytes) = process::machine_bytes() {
        size(into, "total_system_memory", bytes);
    }
    let scripts = &report.engine.scripts;
    let (of_scripts, of_functions) = scripts.vm_memory();
    let (cached, cached_bytes) = scripts.totals();
    let libraries = scripts.libraries.current();
    size(into, "used_memory_lua", of_scripts as u64);
    line!(into, "used_memory_vm_eval:{of_scripts}");
    line!(into, "used_memory_scripts_eval:{cached_bytes}");
    line!(into, "number_of_cached_scripts:{cached}");
    line!(into, "number_of_functions:{}", libraries.functions());
    line!(into, "number_of_libraries:{}", libraries.libraries.len());
    line!(into, "used_memory_vm_functions:{of_functions}");
    size(
        into,
        "used_memory_vm_total",
        (of_scripts + of_functions) as u64,
    );
    line!(into, "used_memory_functions:{}", libraries.bytes());
    size(
        into,
        "used_memory_scripts",
        (cached_bytes + libraries.bytes()) as u64,
    );
    size(into, "maxmemory", report.engine.memory().limit() as u64);
    line!(into, "maxmemory_policy:{}", config.text("maxmemory-policy"));
    if let Some(allocator) = usage.allocator() {
        let (ratio, bytes) = allocator.fragmentation();
        line!(into, "allocator_frag_ratio:{ratio:.2}");
        line!(into, "allocator_frag_bytes:{bytes}");
        let (ratio, bytes) = allocator.resident();
        line!(into, "allocator_rss_ratio:{ratio:.2}");
        line!(into, "allocator_rss_bytes:{bytes}");
        line!(into, "rss_overhead_ratio:1.00");
        line!(into, "rss_overhead_bytes:0");
    }
    if let Some((ratio, bytes)) = usage.fragmentation() {
        line!(into, "mem_fragmentation_ratio:{ratio:.2}");
        line!(into, "mem_fragmentation_bytes:{bytes}");
    }
    let other = &usage.other;
    let not_counted = other.not_evicted_for();
    line!(into, "mem_not_counted_for_evict:{not_counted}");
    line!(into, "mem_replication_backlog:{}", other.stream.backlog);
    let stream = other.stream.stream();
    line!(into, "mem_total_replication_buffers:{stream}");
    let of_replicas = other.stream.behind() + other.stream.clients;
    line!(into, "mem_clients_slaves:{of_replicas}");
    // What comes while a copy is loaded stays in the socket, or on the disk.
    line!(into, "mem_replica_full_sync_buffer:0");
    line!(into, "mem_replicas_repl_buffer:0");
    let normal = other.clients.saturating_sub(other.stream.clients);
    line!(into, "mem_clients_normal:{normal}");
    line!(into, "mem_tracking:{}", usage.other.tracking);
    line!(into, "mem_cluster_links:0");
    line!(into, "mem_aof_buffer:{}", usage.other.journal);
    if let Some(name) = report.engine.host().allocator() {
        line!(into, "mem_allocator:{name}");
    }
    line!(into, "mem_overhead_db_hashtable_rehashing:0");
    let (_, tidying) = report.engine.memory().tidying_nanos(unix_nanos());
    line!(
        into,
        "active_defrag_running:{}",
        u8::from(tidying.is_some())
    );
    let reclaimer = &report.engine.reclaimer;
    line!(into, "lazyfree_pending_objects:{}", reclaimer.pending());
    line!(into, "lazyfreed_objects:{}", reclaimer.freed());
    report.engine.host().info("memory", into);
}

fn persistence(report: &Report<'_, '_>, into: &mut String) {
    if let Some(keeper) = report.engine.persistence() {
        keeper.info(into);
    } else {
        // Nothing is kept.
        for name in [
            "loading",
            "async_loading",
            "current_cow_peak",
            "current_cow_size",
            "current_cow_size_age",
            "current_fork_perc",
            "rdb_bgsave_in_progress",
            "rdb_last_cow_size",
            "aof_enabled",
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
            "aof_last_cow_size",
        ] {
            line!(into, "{name}:0");
        }
    }
    // There are no modules.
    line!(into, "module_fork_in_progress:0");
    line!(into, "module_fork_last_cow_size:0");
    report.engine.host().info("persistence", into);
}

fn stats(report: &Report<'_, '_>, into: &mut String) {
    let engine = report.engine;
    let stats = engine.stats();
    engine.host().info("stats", into);
    line!(
        into,
        "total_net_repl_input_bytes:{}",
        stats.from_primary.load(Relaxed)
    );
    line!(
        into,
        "total_net_repl_output_bytes:{}",
        stats.to_replicas.load(Relaxed)
    );
    line!(
        into,
        "total_commands_processed:{}",
        stats.sum(|c| c.calls.get())
    );
    line!(
        into,
        "expired_subkeys:{}",
        stats.sum(|c| c.expired_fields.get())
    );
    let sweeper = |of: fn(&Counters) -> u64| stats.sweeper.get().map_or(0, |set| of(set));
    line!(
        into,
        "expired_subkeys_active:{}",
        sweeper(|c| c.expired_fields.get())
    );
    line!(
        into,
        "expired_fields:{}",
        stats.sum(|c| c.expired_fields.get())
    );
    line!(into, "expired_keys:{}", stats.sum(|c| c.expired.get()));
    line!(into, "expired_keys_active:{}", sweeper(|c| c.expired.get()));
    // The search goes where something is due; it draws no samples that would tell a share.
    line!(into, "expired_stale_perc:0.00");
    line!(into, "expired_keys_with_volatile_items_stale_perc:0.00");
    line!(
        into,
        "expired_time_cap_reached_count:{}",
        stats.expire_time_caps.load(Relaxed)
    );
    line!(
        into,
        "expire_cycle_cpu_milliseconds:{}",
        stats.expire_nanos.load(Relaxed) / 1_000_000
    );
    line!(into, "evicted_keys:{}", stats.sum(|c| c.evicted.get()));
    line!(into, "blessed_keys:{}", engine.keyspace().kept());
    line!(
        into,
        "evicted_scripts:{}",
        report.engine.scripts.evicted.load(Relaxed)
    );
    let memory = report.engine.memory();
    line!(
        into,
        "evicted_clients:{}",
        memory.evicted_clients.load(Relaxed)
    );
    let (all, now) = memory.exceeded_nanos(unix_nanos());
    line!(into, "total_eviction_exceeded_time:{}", all / 1_000_000);
    line!(into, "current_eviction_exceeded_time:{}", now / 1_000_000);
    line!(into, "keyspace_hits:{}", stats.sum(|c| c.hits.get()));
    line!(into, "keyspace_misses:{}", stats.sum(|c| c.misses.get()));
    let syncs = engine.replication().map_or([0; 3], |r| r.syncs());
    let names = ["sync_full", "sync_partial_ok", "sync_partial_err"];
    for (name, count) in names.into_iter().zip(syncs) {
        line!(into, "{name}:{count}");
    }
    line!(
        into,
        "slave_expires_tracked_keys:{}",
        engine.own_expiries.len()
    );
    // What real servers count of things that do not exist here.
    for name in [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "dump_payload_sanitizations",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
    ] {
        line!(into, "{name}:0");
    }
    // A key's entry is what moves, or stays.
    for name in ["active_defrag", "active_defrag_key"] {
        for (what, count) in ["hits", "misses"].iter().zip(&memory.tidied) {
            line!(into, "{name}_{what}:{}", count.load(Relaxed));
        }
    }
    let (all, now) = memory.tidying_nanos(unix_nanos());
    line!(into, "total_active_defrag_time:{}", all / 1_000_000);
    let now = now.unwrap_or(0) / 1_000_000;
    line!(into, "current_active_defrag_time:{now}");
    let (pubsub, tracking) = (&engine.follow.pubsub, &engine.follow.tracking);
    line!(into, "pubsub_channels:{}", pubsub.len(Kind::Channel));
    line!(into, "pubsub_patterns:{}", pubsub.len(Kind::Pattern));
    line!(into, "pubsubshard_channels:{}", pubsub.len(Kind::Shard));
    line!(into, "tracking_total_keys:{}", tracking.keys());
    line!(into, "tracking_total_items:{}", tracking.items());
    line!(into, "tracking_total_prefixes:{}", tracking.prefixes());
    line!(
        into,
        "unexpected_error_replies:{}",
        stats.unexpected_errors.load(Relaxed)
    );
    line!(
        into,
        "client_query_buffer_limit_disconnections:{}",
        stats.query_limit_disconnections.load(Relaxed)
    );
    let limits = &engine.config().live.output_limits;
    let disconnections = limits
        .iter()
        .map(|limit| limit.disconnections.load(Relaxed));
    line!(
        into,
        "client_output_buffer_limit_disconnections:{}",
        disconnections.sum::<u64>()
    );
    line!(
        into,
        "total_error_replies:{}",
        stats.sum(|c| c.error_replies.get())
    );
    line!(
        into,
        "protocol_errors:{}",
        stats.sum(|c| c.protocol_errors.get())
    );
    line!(into, "command_panics:{}", stats.sum(|c| c.panics.get()));
    line!(
        into,
        "acl_access_denied_auth:{}",
        stats.sum(|c| c.auth_failures.get())
    );
    line!(
        into,
        "acl_access_denied_tls_cert:{}",
        report.engine.users.denied_certificates.load(Relaxed)
    );
    let reasons = ["cmd", "db", "key", "channel"];
    for (reason, denied) in reasons.iter().zip(&report.engine.users.denied) {
        line!(into, "acl_access_denied_{reason}:{}", denied.load(Relaxed));
    }
    let busy = stats.sum(|c| c.commands.iter().map(|c| c.ticks.get()).sum());
    line!(
        into,
        "eventloop_duration_cmd_sum:{}",
        ticks::nanos(busy) / 1000
    );
    let ks = engine.keyspace();
    let loads = (0..ks.shards()).map(|shard| ks.shard_load(shard));
    let (waits, nanos) = loads.fold((0, 0), |(waits, nanos), load| {
        (waits + load.waits, nanos + load.wait_nanos)
    });
    line!(into, "redpoll_lock_waits:{waits}");
    line!(into, "redpoll_lock_wait_usec:{}", nanos / 1000);
}

fn shards(report: &Report<'_, '_>, into: &mut String) {
    for (shard, figures) in report.engine.shard_figures().iter().enumerate() {
        line!(
            into,
            "shard_{shard}:keys={},bytes={},ops={},waits={},wait_usec={},held_usec={}",
            figures.keys,
            figures.bytes,
            figures.ops,
            figures.waits,
            figures.wait_nanos / 1000,
            figures.held_nanos / 1000
        );
    }
}

fn replication(report: &Report<'_, '_>, into: &mut String) {
    line!(into, "role:{}", report.engine.standing.role());
    match report.engine.replication() {
        Some(replication) => replication.info(into),
        None => {
            let standing = &report.engine.standing;
            let ids = standing.ids();
            line!(into, "connected_slaves:0");
            line!(into, "master_failover_state:no-failover");
            line!(into, "master_replid:{}", ids.id);
            line!(into, "master_replid2:{}", ids.second);
            line!(into, "master_repl_offset:{}", standing.offset());
            for (name, none) in [
                ("second_repl_offset", -1),
                ("repl_backlog_active", 0),
                ("repl_backlog_size", 0),
                ("repl_backlog_first_byte_offset", 0),
                ("repl_backlog_histlen", 0),
            ] {
                line!(into, "{name}:{none}");
            }
        }
    }
    report.engine.host().info("replication", into);
}

fn cpu(_: &Report<'_, '_>, into: &mut String) {
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

/// Empty while no session of HOTKEYS was begun.
fn hotkeys(report: &Report<'_, '_>, into: &mut String) {
    if let Some(active) = report.engine.follow.hot_session.is_active() {
        line!(into, "hotkeys-tracking-active:{}", u8::from(active));
    }
}

fn commandstats(report: &Report<'_, '_>, into: &mut String) {
    let stats = report.engine.stats();
    for entry in report.engine.registry().iter_all() {
        let sum = |of: fn(&crate::base::stats::CommandCounters) -> u64| {
            stats.sum(|c| of(&c.commands[entry.id]))
        };
        let calls = sum(|c| c.calls.get());
        let rejected = sum(|c| c.rejected.get());
        if calls == 0 && rejected == 0 {
            continue;
        }
        let usec = ticks::nanos(sum(|c| c.ticks.get())) / 1000;
        line!(
            into,
            "cmdstat_{}:calls={calls},usec={usec},usec_per_call={:.2},rejected_calls={rejected},failed_calls={}",
            entry.command.name,
            if calls == 0 {
                0.0
            } else {
                usec as f64 / calls as f64
            },
            sum(|c| c.failed.get())
        );
    }
}

fn latencystats(report: &Report<'_, '_>, into: &mut String) {
    let percents = report
        .engine
        .config()
        .text("latency-tracking-info-percentiles");
    for entry in report.engine.registry().iter_all() {
        let times = report.engine.stats().times(entry.id);
        if times.calls == 0 {
            continue;
        }
        let values = percents.split_whitespace().map(|percent| {
            let us = times.percentile_ns(percent.parse().unwrap_or(0.0)) as f64 / 1000.0;
            format!("p{percent}={us:.3}")
        });
        let values = values.collect::<Vec<_>>().join(",");
        line!(
            into,
            "latency_percentiles_usec_{}:{values}",
            entry.command.name
        );
    }
}

fn errorstats(report: &Report<'_, '_>, into: &mut String) {
    for (code, n) in report.engine.stats().errors() {
        line!(into, "errorstat_{code}:count={n}");
    }
}

fn cluster(_: &Report<'_, '_>, into: &mut String) {
    line!(into, "cluster_enabled:0");
}

fn keyspace(report: &Report<'_, '_>, into: &mut String) {
    for (number, db) in report
        .usage()
        .dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| db.keys > 0)
    {
        let ttl = if db.expiring > 0 {
            average_ttl(report, number)
        } else {
            0
        };
        line!(
            into,
            "db{number}:keys={},expires={},avg_ttl={ttl}",
            db.keys,
            db.expiring
        );
    }
}

/// Segments that are looked at for the average time to live.
const TTL_SAMPLES: usize = 4;

/// The average of the remaining times, in milliseconds, of a sample of the keys that will expire: those from some place
/// on in a segment of a few shards.
fn average_ttl(report: &Report<'_, '_>, db: usize) -> u64 {
    let (ks, now_ms) = (report.engine.keyspace(), report.now_ms);
    let first = random_below(ks.shards() as u64) as usize;
    let (mut sum, mut n, mut looked) = (0u128, 0u128, 0);
    for i in 0..ks.shards() {
        let shard = (first + i) % ks.shards();
        if ks.shard_counts(db, shard).expiring == 0 {
            continue;
        }
        let guard;
        let dict = match report.held.shard(shard) {
            Some(held) => held.db_ref(db),
            None => {
                // One that is held for long is no loss to a sample.
                match ks.try_lock(shard) {
                    Some(free) => guard = free,
                    None => continue,
                }
                guard.db_ref(db)
            }
        };
        let mut add = |_, entry: store::EntryRef<'_>| {
            if let Some(left) = entry.expiry_ms().and_then(|at| at.checked_sub(now_ms)) {
                sum += u128::from(left);
                n += 1;
            }
        };
        // A small table is one segment: all of it, from its beginning.
        let position = if dict.shape().0 == 1 {
            0
        } else {
            random_below(POSITIONS)
        };
        dict.visit_from(position, &mut add);
        looked += 1;
        if looked >= TTL_SAMPLES && n > 0 {
            break;
        }
    }
    sum.checked_div(n).map_or(0, |average| average as u64)
}

#[cfg(test)]
mod tests;
