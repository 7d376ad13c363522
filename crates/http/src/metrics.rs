//! What `/metrics` tells. Names follow Prometheus's conventions: base units, counters that end in `_total`, one family a meaning
//! with labels for its kinds.

use crate::hot_keys::hot_keys;
use crate::shared::Shared;
use crate::text::{Format, Kind, Writer};
use engine::{CommandFigures, Figures, LogKind, RoleReport, ShardFigures};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

/// Bounds of the histograms of latency: as they are written, and in nanoseconds.
const BOUNDS: &[(&str, u64)] = &[
    ("1e-06", 1_000),
    ("2.5e-06", 2_500),
    ("5e-06", 5_000),
    ("1e-05", 10_000),
    ("2.5e-05", 25_000),
    ("5e-05", 50_000),
    ("0.0001", 100_000),
    ("0.00025", 250_000),
    ("0.0005", 500_000),
    ("0.001", 1_000_000),
    ("0.0025", 2_500_000),
    ("0.005", 5_000_000),
    ("0.01", 10_000_000),
    ("0.1", 100_000_000),
    ("1", 1_000_000_000),
    ("10", 10_000_000_000),
];

/// What is told beside the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// A line for each shard (`/metrics?shards=1`): some hundred for each of their metrics.
    pub shards: bool,
    /// Names of keys: for who may run HOTKEYS.
    pub keys: bool,
}

/// Nanoseconds as seconds.
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Everything, as text in a format.
pub(crate) fn text(shared: &Shared, format: Format, wanted: Wanted) -> String {
    let engine = &shared.engine;
    let figures = engine.figures();
    let mut into = Writer::new(format, shared.metrics_bytes.load(Relaxed));
    about(&mut into, &figures);
    let bounds: Vec<u64> = BOUNDS.iter().map(|(_, ns)| *ns).collect();
    let bounds = engine::Bounds::of_nanos(&bounds);
    commands(&mut into, &figures, &engine.command_figures(&bounds));
    let mut lines = String::new();
    engine.host().info("stats", &mut lines);
    network(&mut into, &pairs(&lines));
    clients(&mut into, &figures);
    memory(&mut into, &figures);
    keys(&mut into, &figures);
    scripts_and_messages(&mut into, &figures);
    shards(&mut into, &engine.shard_figures(), wanted.shards);
    hot_keys(&mut into, shared, wanted.keys);
    if let Some(replication) = engine.replication() {
        replicas(&mut into, &replication.role());
    }
    if let Some(keeper) = engine.persistence() {
        let mut lines = String::new();
        keeper.info(&mut lines);
        persistence(&mut into, &pairs(&lines));
    }
    let text = into.finish();
    shared.metrics_bytes.store(text.len(), Relaxed);
    text
}

/// The lines of a section of INFO by their names.
fn pairs(lines: &str) -> HashMap<&str, &str> {
    let lines = lines.lines();
    lines.filter_map(|line| line.split_once(':')).collect()
}

fn about(into: &mut Writer, figures: &Figures) {
    into.family("redpoll_build", Kind::Info, "The version that runs.");
    into.sample(
        &[
            ("version", engine::VERSION),
            ("redis_version", engine::REDIS_VERSION),
        ],
        1,
    );
    into.single(
        "redpoll_start_time_seconds",
        Kind::Gauge,
        "When the server started, in Unix seconds.",
        figures.started_s,
    );
    into.single(
        "redpoll_loading",
        Kind::Gauge,
        "1 while the data set is being loaded.",
        u8::from(figures.loading),
    );
    if let Some(cpu) = figures.cpu {
        into.family(
            "redpoll_cpu_seconds",
            Kind::Counter,
            "Processor time of the process, in the program and in the kernel.",
        );
        into.sample(&[("mode", "user")], cpu.user);
        into.sample(&[("mode", "system")], cpu.system);
    }
}

fn commands(into: &mut Writer, figures: &Figures, commands: &[CommandFigures]) {
    into.single(
        "redpoll_commands_processed",
        Kind::Counter,
        "Commands carried out, those that clients sent.",
        figures.calls,
    );
    let mut each = |name, help, of: fn(&CommandFigures) -> u64| {
        into.family(name, Kind::Counter, help);
        for command in commands {
            into.count(&[("cmd", command.name)], of(command));
        }
    };
    each(
        "redpoll_commands",
        "Calls of each command that were carried out, also in transactions and scripts.",
        |c| c.calls,
    );
    each(
        "redpoll_commands_rejected",
        "Calls that were refused before they were carried out.",
        |c| c.rejected,
    );
    each(
        "redpoll_commands_failed",
        "Calls that answered an error.",
        |c| c.failed,
    );
    into.family(
        "redpoll_commands_duration_seconds",
        Kind::Counter,
        "Time that each command took.",
    );
    for command in commands {
        into.sample(&[("cmd", command.name)], seconds(command.nanos));
    }
    into.family(
        "redpoll_command_latency_seconds",
        Kind::Histogram,
        "How long single calls took, while latency-tracking was on.",
    );
    for command in commands.iter().filter(|c| c.timed > 0) {
        let named = BOUNDS.iter().zip(&command.up_to);
        into.histogram(
            ("cmd", command.name),
            named.map(|((name, _), count)| (*name, *count)),
            command.timed,
            seconds(command.nanos),
        );
    }
    into.family(
        "redpoll_errors",
        Kind::Counter,
        "Error replies by their code.",
    );
    for (code, n) in &figures.errors {
        into.sample(&[("code", code)], n);
    }
    for (name, help, value) in [
        (
            "redpoll_protocol_errors",
            "Bytes received that are no request.",
            figures.protocol_errors,
        ),
        (
            "redpoll_command_panics",
            "Commands that ended in a panic.",
            figures.panics,
        ),
    ] {
        into.single(name, Kind::Counter, help, value);
    }
    into.family(
        "redpoll_logged_commands",
        Kind::Counter,
        "Commands that were added to SLOWLOG and COMMANDLOG.",
    );
    for (kind, n) in LogKind::ALL.iter().zip(figures.logged) {
        into.sample(&[("log", kind.name())], n);
    }
    into.family(
        "redpoll_acl_denied",
        Kind::Counter,
        "What users were refused.",
    );
    into.sample(&[("reason", "auth")], figures.auth_failures);
    for (reason, n) in ["cmd", "db", "key", "channel"].iter().zip(figures.denied) {
        into.sample(&[("reason", reason)], n);
    }
}

fn network(into: &mut Writer, info: &HashMap<&str, &str>) {
    for (name, field, help) in [
        (
            "redpoll_network_received_bytes",
            "total_net_input_bytes",
            "Bytes read from clients.",
        ),
        (
            "redpoll_network_sent_bytes",
            "total_net_output_bytes",
            "Bytes written to clients.",
        ),
        (
            "redpoll_network_reads",
            "total_reads_processed",
            "How often something was read from a client's socket.",
        ),
        (
            "redpoll_network_writes",
            "total_writes_processed",
            "How often something was written to one.",
        ),
        (
            "redpoll_connections_accepted",
            "total_connections_received",
            "Connections that were accepted.",
        ),
        (
            "redpoll_connections_refused",
            "rejected_connections",
            "Connections that were refused: too many clients, or protected mode.",
        ),
    ] {
        if let Some(value) = info.get(field) {
            into.single(name, Kind::Counter, help, value);
        }
    }
}

fn clients(into: &mut Writer, figures: &Figures) {
    let clients = &figures.clients;
    into.family(
        "redpoll_connected_clients",
        Kind::Gauge,
        "Clients by how they came.",
    );
    into.sample(&[("kind", "tcp")], clients.tcp);
    into.sample(&[("kind", "unix")], clients.unix);
    into.family(
        "redpoll_clients",
        Kind::Gauge,
        "Clients by what they are doing; one may be several.",
    );
    for (state, n) in [
        ("blocked", clients.blocked),
        ("subscribed", clients.subscribers),
        ("monitor", clients.monitors),
        ("tracking", clients.tracking),
        ("watching", clients.watching),
    ] {
        into.sample(&[("state", state)], n);
    }
    for (name, help, value) in [
        ("redpoll_clients_limit", "maxclients.", clients.limit),
        (
            "redpoll_client_largest_output_bytes",
            "The largest unsent replies of one client.",
            clients.largest_output,
        ),
        (
            "redpoll_client_largest_input_bytes",
            "The largest request of one client that has not come whole.",
            clients.largest_input,
        ),
        (
            "redpoll_blocking_keys",
            "Keys that clients in blocking commands wait for.",
            figures.blocking_keys,
        ),
    ] {
        into.single(name, Kind::Gauge, help, value);
    }
    into.family(
        "redpoll_clients_disconnected",
        Kind::Counter,
        "Clients that a limit has disconnected.",
    );
    for (limit, n) in [
        ("query-buffer", clients.over_query_limit),
        ("output-buffer", clients.over_output_limit),
        ("memory", clients.evicted),
    ] {
        into.sample(&[("limit", limit)], n);
    }
}

fn memory(into: &mut Writer, figures: &Figures) {
    let memory = &figures.memory;
    for (name, help, value) in [
        (
            "redpoll_memory_used_bytes",
            "Memory that is accounted for, which maxmemory bounds.",
            memory.used,
        ),
        (
            "redpoll_memory_peak_bytes",
            "The most of it that was found in use.",
            memory.peak,
        ),
        (
            "redpoll_memory_limit_bytes",
            "maxmemory; 0 for no limit.",
            memory.limit,
        ),
    ] {
        into.single(name, Kind::Gauge, help, value);
    }
    if let Some(resident) = memory.resident {
        into.single(
            "redpoll_memory_resident_bytes",
            Kind::Gauge,
            "Resident memory of the process.",
            resident,
        );
    }
    into.family(
        "redpoll_memory_bytes",
        Kind::Gauge,
        "What memory is used for; the free slots of pages are not part of what is used.",
    );
    for (kind, bytes) in [
        ("dataset", memory.dataset),
        ("tables", memory.tables),
        ("clients", memory.clients),
        ("tracking", memory.tracking),
        ("scripts", memory.scripts),
        ("journal", memory.journal),
        ("fixed", memory.fixed),
        ("free_slots", memory.idle),
    ] {
        into.sample(&[("kind", kind)], bytes);
    }
    into.single(
        "redpoll_memory_over_limit_seconds",
        Kind::Counter,
        "Time for which memory was over its limit.",
        seconds(figures.over_memory_nanos),
    );
    into.single(
        "redpoll_lazyfree_pending_values",
        Kind::Gauge,
        "Large values that are yet to be freed.",
        figures.lazyfree_pending,
    );
    into.single(
        "redpoll_lazyfreed_values",
        Kind::Counter,
        "Large values that were freed beside the commands.",
        figures.lazyfreed,
    );
}

fn keys(into: &mut Writer, figures: &Figures) {
    let mut each = |name, help, of: fn(&engine::DbFigures) -> u64| {
        into.family(name, Kind::Gauge, help);
        for db in &figures.dbs {
            into.sample(&[("db", &format!("db{}", db.db))], of(db));
        }
    };
    each(
        "redpoll_db_keys",
        "Keys of each database that has any.",
        |db| db.keys,
    );
    each(
        "redpoll_db_keys_expiring",
        "Those of them that will expire.",
        |db| db.expiring,
    );
    each(
        "redpoll_db_bytes",
        "Bytes of its keys, values and tables.",
        |db| db.bytes,
    );
    for (name, help, value) in [
        (
            "redpoll_keyspace_hits",
            "Keys that were found when they were to be read.",
            figures.hits,
        ),
        (
            "redpoll_keyspace_misses",
            "Keys that were not.",
            figures.misses,
        ),
        (
            "redpoll_expired_keys",
            "Keys that have expired.",
            figures.expired,
        ),
        (
            "redpoll_expired_fields",
            "Fields of hashes that have expired.",
            figures.expired_fields,
        ),
        (
            "redpoll_evicted_keys",
            "Keys that had to go for want of memory.",
            figures.evicted,
        ),
        ("redpoll_key_changes", "Changes of keys.", figures.changes),
        (
            "redpoll_expire_cycles_cut",
            "How often the search for expired keys stopped because its time was over.",
            figures.expire_time_caps,
        ),
    ] {
        into.single(name, Kind::Counter, help, value);
    }
    into.single(
        "redpoll_expire_cycle_seconds",
        Kind::Counter,
        "Time that the search for expired keys has taken.",
        seconds(figures.expire_nanos),
    );
}

fn scripts_and_messages(into: &mut Writer, figures: &Figures) {
    let scripts = &figures.scripts;
    for (name, help, value) in [
        (
            "redpoll_scripts_cached",
            "Scripts that are known.",
            scripts.cached,
        ),
        (
            "redpoll_script_libraries",
            "Libraries of functions.",
            scripts.libraries,
        ),
        (
            "redpoll_script_functions",
            "Functions in them.",
            scripts.functions,
        ),
        (
            "redpoll_tracked_keys",
            "Keys that clients keep copies of.",
            figures.tracked_keys,
        ),
    ] {
        into.single(name, Kind::Gauge, help, value);
    }
    into.single(
        "redpoll_script_running_seconds",
        Kind::Gauge,
        "How long the script has been running that has been for longest; 0 if none is slow.",
        scripts.running_ms as f64 / 1e3,
    );
    for (name, help, value) in [
        (
            "redpoll_scripts_evicted",
            "Scripts that had to make room for others.",
            scripts.evicted,
        ),
        (
            "redpoll_script_restarts",
            "Times that a script was undone and started over for want of a lock.",
            scripts.restarts,
        ),
    ] {
        into.single(name, Kind::Counter, help, value);
    }
    into.family(
        "redpoll_pubsub_channels",
        Kind::Gauge,
        "Channels, patterns and shard channels that somebody listens to.",
    );
    for (kind, n) in ["channel", "pattern", "shard"].iter().zip(figures.channels) {
        into.sample(&[("kind", kind)], n);
    }
}

fn shards(into: &mut Writer, shards: &[ShardFigures], each: bool) {
    into.single(
        "redpoll_shards",
        Kind::Gauge,
        "Parts of the keyspace, each with a lock of its own.",
        shards.len(),
    );
    type Of = fn(&ShardFigures) -> f64;
    let families: [(&str, Kind, &str, Of); 6] = [
        (
            "redpoll_shard_operations",
            Kind::Counter,
            "How often a shard's lock was taken.",
            |s| s.ops as f64,
        ),
        (
            "redpoll_shard_lock_waits",
            Kind::Counter,
            "How often somebody had to wait for it.",
            |s| s.waits as f64,
        ),
        (
            "redpoll_shard_lock_wait_seconds",
            Kind::Counter,
            "For how long, all of them together.",
            |s| seconds(s.wait_nanos),
        ),
        (
            "redpoll_shard_busy_seconds",
            Kind::Counter,
            "How long commands took that named keys of it, by samples.",
            |s| seconds(s.held_nanos),
        ),
        ("redpoll_shard_keys", Kind::Gauge, "Keys of it.", |s| {
            s.keys as f64
        }),
        (
            "redpoll_shard_bytes",
            Kind::Gauge,
            "Bytes of keys, values and tables.",
            |s| s.bytes as f64,
        ),
    ];
    for (name, kind, help, of) in families {
        into.family(name, kind, help);
        if each {
            for (shard, figures) in shards.iter().enumerate() {
                into.sample(&[("shard", &shard.to_string())], of(figures));
            }
        } else {
            // All of them, and the one with the most: together they tell whether the load is even.
            let sum: f64 = shards.iter().map(of).sum();
            let most = shards.iter().map(of).fold(0.0, f64::max);
            into.sample(&[("shard", "all")], sum);
            into.sample(&[("shard", "most")], most);
        }
    }
}

fn replicas(into: &mut Writer, role: &RoleReport) {
    let is_replica = matches!(role, RoleReport::Replica(..));
    into.single(
        "redpoll_is_replica",
        Kind::Gauge,
        "1 if this server follows a primary.",
        u8::from(is_replica),
    );
    match role {
        RoleReport::Primary(offset, replicas) => {
            into.single(
                "redpoll_replication_offset_bytes",
                Kind::Gauge,
                "Where the stream of changes is.",
                offset,
            );
            into.single(
                "redpoll_connected_replicas",
                Kind::Gauge,
                "Replicas that follow this server.",
                replicas.len(),
            );
            into.family(
                "redpoll_replica_lag_bytes",
                Kind::Gauge,
                "How far each of them is behind, by what it has acknowledged.",
            );
            for (address, port, at) in replicas {
                let name = format!("{address}:{port}");
                into.sample(&[("replica", &name)], offset.saturating_sub(*at));
            }
        }
        RoleReport::Replica(_, _, state, offset) => {
            into.single(
                "redpoll_replication_offset_bytes",
                Kind::Gauge,
                "Up to where the primary's stream was carried out; -1: nowhere.",
                offset,
            );
            into.single(
                "redpoll_primary_link_up",
                Kind::Gauge,
                "1 if the primary's stream comes.",
                u8::from(*state == "connected"),
            );
        }
    }
}

fn persistence(into: &mut Writer, info: &HashMap<&str, &str>) {
    let number = |field: &str| info.get(field).and_then(|text| text.parse::<f64>().ok());
    let is_ok = |field: &str| {
        info.get(field)
            .map(|text| f64::from(u8::from(*text == "ok")))
    };
    for (name, value, help) in [
        (
            "redpoll_changes_since_last_save",
            number("rdb_changes_since_last_save"),
            "Changes of keys since the last snapshot.",
        ),
        (
            "redpoll_last_save_timestamp_seconds",
            number("rdb_last_save_time"),
            "When the last snapshot was complete, or when the server started.",
        ),
        (
            "redpoll_last_save_success",
            is_ok("rdb_last_bgsave_status"),
            "1 if the last snapshot succeeded.",
        ),
        (
            "redpoll_save_in_progress",
            number("rdb_bgsave_in_progress"),
            "1 while a snapshot is being written.",
        ),
        (
            "redpoll_aof_enabled",
            number("aof_enabled"),
            "1 if there is a log.",
        ),
        (
            "redpoll_aof_rewrite_in_progress",
            number("aof_rewrite_in_progress"),
            "1 while the log is being written anew.",
        ),
        (
            "redpoll_aof_last_write_success",
            is_ok("aof_last_write_status"),
            "1 if changes can be written to the log.",
        ),
        (
            "redpoll_aof_last_rewrite_success",
            is_ok("aof_last_bgrewrite_status"),
            "1 if the last rewrite of the log succeeded.",
        ),
        (
            "redpoll_aof_size_bytes",
            number("aof_current_size"),
            "Bytes of the log's files.",
        ),
        (
            "redpoll_aof_base_size_bytes",
            number("aof_base_size"),
            "Bytes that they had after the last rewrite.",
        ),
        (
            "redpoll_aof_buffer_bytes",
            number("aof_buffer_length"),
            "Bytes of changes that are not in the log yet.",
        ),
        (
            "redpoll_snapshot_held_bytes",
            number("redpoll_snapshot_held_bytes"),
            "Old versions of keys that a running snapshot keeps until they are written.",
        ),
        (
            "redpoll_last_save_duration_seconds",
            number("rdb_last_bgsave_time_sec").filter(|s| *s >= 0.0),
            "How long the last snapshot took.",
        ),
    ] {
        if let Some(value) = value {
            into.single(name, Kind::Gauge, help, value);
        }
    }
    for (name, field, help) in [
        ("redpoll_saves", "rdb_saves", "Snapshots that succeeded."),
        (
            "redpoll_aof_rewrites",
            "aof_rewrites",
            "Rewrites of the log.",
        ),
        (
            "redpoll_snapshot_waits",
            "redpoll_snapshot_waits",
            "Changes that had to wait for a snapshot.",
        ),
        (
            "redpoll_log_queue_waits",
            "redpoll_log_queue_waits",
            "Changes that had to wait for the log's disk.",
        ),
    ] {
        if let Some(value) = number(field) {
            into.single(name, Kind::Counter, help, value);
        }
    }
}
