//! INFO's sections of counts: Stats, Shards, Hotkeys, and those of commands and errors.

use super::Report;
use crate::base::clock::unix_nanos;
use crate::base::stats::Counters;
use crate::base::ticks;
use crate::follow::messages::Kind;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn stats(report: &Report<'_, '_>, into: &mut String) {
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

pub(super) fn shards(report: &Report<'_, '_>, into: &mut String) {
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

/// Empty while no session of HOTKEYS was begun.
pub(super) fn hotkeys(report: &Report<'_, '_>, into: &mut String) {
    if let Some(active) = report.engine.follow.hot_session.is_active() {
        line!(into, "hotkeys-tracking-active:{}", u8::from(active));
    }
}

pub(super) fn commandstats(report: &Report<'_, '_>, into: &mut String) {
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

pub(super) fn latencystats(report: &Report<'_, '_>, into: &mut String) {
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

pub(super) fn errorstats(report: &Report<'_, '_>, into: &mut String) {
    for (code, n) in report.engine.stats().errors() {
        line!(into, "errorstat_{code}:count={n}");
    }
}
