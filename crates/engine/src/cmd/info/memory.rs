//! INFO's section Memory.

use super::Report;
use crate::base::clock::unix_nanos;
use crate::base::process;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// A number of bytes as people read it: `1.50K`.
pub(super) fn human(bytes: u64) -> String {
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

pub(super) fn memory(report: &Report<'_, '_>, into: &mut String) {
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
    line!(into, "number_of_libraries:{}", libraries.len());
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
    let of_replicas = other.stream.of_replicas();
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
