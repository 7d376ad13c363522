//! MEMORY, and the account of memory that INFO shows too.
//!
//! The keyspace knows exactly what its tables, entries and large values take. What clients' buffers take, connections
//! report. Together with scripts, what clients track, what waits to be logged, and the fixed tables, that is `used_memory`, which
//! `maxmemory` bounds. Slots of slab pages that are free come on top as fragmentation, which is kept small by moving entries
//! together ([`crate::upkeep`]). The rest of the resident size (code, stacks, scratch buffers, pages that the general
//! allocator keeps) the operating system knows.

mod tree;

use super::command::help;
use crate::base::args::Args;
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::base::process;
use crate::context::command::{
    ADMIN, Command, Group, KS_RO, KeySpec, LOADING, OWN_LOCKS, READONLY, STALE, container, row,
};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::usage::Other;
use resp::Out;
use std::sync::atomic::Ordering::Relaxed;
use store::Counts;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("memory", Group::Server, "4.0.0", MEMORY_COMMANDS)
        .docs("Holds the commands about memory.", "Depends on the subcommand"),
];

/// The subcommands of MEMORY.
#[rustfmt::skip]
const MEMORY_COMMANDS: &[Command] = &[
    row("memory|doctor", 2, OWN_LOCKS, Group::Server, "4.0.0", memory_doctor)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs("Explains what the server's memory may be lost on.", "O(1)"),
    row("memory|help", 2, LOADING | STALE, Group::Server, "4.0.0", help)
        .docs("Lists the subcommands of MEMORY.", "O(1)"),
    row("memory|malloc-stats", 2, LOADING, Group::Server, "4.0.0", memory_malloc_stats)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs("Returns the allocator's own statistics.",
              "Depends on how much memory is allocated; may be slow"),
    row("memory|purge", 2, LOADING, Group::Server, "4.0.0", memory_purge)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Asks the allocator to give unused memory back.",
              "Depends on how much memory is allocated; may be slow"),
    row("memory|stats", 2, OWN_LOCKS, Group::Server, "4.0.0", memory_stats)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs("Tells what the server's memory is used for.", "O(1)"),
    row("memory|tree", -2, ADMIN | LOADING | STALE, Group::Server, "8.6.0", tree::memory_tree)
        .args("[PREFIX prefix] [DB db:int] [COUNT count:int] [REFRESH]")
        .tips(&["nondeterministic_output"])
        .docs("Tells where memory is by what keys' names begin with, and which keys are the largest.",
              "O(N), N being the number of prefixes at that place"),
    row("memory|usage", -3, READONLY, Group::Server, "4.0.0", memory_usage)
        .keys(&[KeySpec::at(2, KS_RO)]).args("key [SAMPLES count:int]")
        .docs("Estimates how much memory a key and its value take.",
              "O(N), N being the number of samples"),
];

/// Where the memory is.
#[derive(Debug)]
pub(crate) struct Usage {
    /// By number.
    pub dbs: Vec<Counts>,
    /// All but keys and values.
    pub other: Other,
    /// Bytes of slab pages that are free slots: held, and not used.
    pub idle: usize,
    /// The most that `used` has been when somebody looked; the maintenance thread looks every second.
    pub peak: usize,
    /// Resident bytes of the process, if the system tells.
    pub resident: Option<u64>,
}

/// What allocators have: ours of slab pages and tables, and the general one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocator {
    /// Bytes that are in use.
    pub allocated: u64,
    /// The same with free slots of pages that are not free altogether.
    pub active: u64,
    /// Resident bytes. The general allocator's are not to be told from the program's own.
    pub resident: u64,
}

impl Allocator {
    /// Bytes of pages for each one in use, and those beyond the ones in use.
    pub fn fragmentation(&self) -> (f64, i64) {
        beyond(self.active, self.allocated)
    }

    /// The same of what is resident and pages.
    pub fn resident(&self) -> (f64, i64) {
        beyond(self.resident, self.active)
    }
}

/// How many times as much, and how much more.
fn beyond(all: u64, part: u64) -> (f64, i64) {
    let ratio = if part == 0 {
        0.0
    } else {
        all as f64 / part as f64
    };
    (ratio, all as i64 - part as i64)
}

impl Usage {
    /// Adds up what is there now. Takes no lock.
    pub fn measure(engine: &Engine) -> Usage {
        Usage::measure_with(engine, engine.clients().memory())
    }

    /// The same, with the bytes that clients take.
    pub fn measure_with(engine: &Engine, clients: usize) -> Usage {
        let ks = engine.keyspace();
        let dbs = (0..ks.databases()).map(|db| ks.counts(db)).collect();
        let mut usage = Usage {
            dbs,
            other: engine.measure_other_with(clients),
            idle: ks.idle_bytes(),
            peak: 0,
            resident: process::resident_bytes(),
        };
        let used = usage.used();
        let before = engine.stats().peak_memory.fetch_max(used, Relaxed);
        usage.peak = used.max(before);
        if used > before {
            engine.stats().peak_at_s.store(unix_ms() / 1000, Relaxed);
        }
        usage
    }

    /// Keys of all databases.
    pub fn keys(&self) -> usize {
        self.dbs.iter().map(|d| d.keys).sum()
    }

    /// Bytes of all databases.
    pub fn data(&self) -> usize {
        self.dbs.iter().map(|d| d.bytes).sum()
    }

    /// Bytes of all databases' tables.
    pub fn tables(&self) -> usize {
        self.dbs.iter().map(|d| d.table_bytes).sum()
    }

    /// All bytes that are accounted for.
    pub fn used(&self) -> usize {
        self.data() + self.other.all()
    }

    /// What of it is not keys and values.
    pub fn overhead(&self) -> usize {
        self.tables() + self.other.all()
    }

    /// Keys and values.
    pub fn dataset(&self) -> usize {
        self.data() - self.tables()
    }

    /// Keys and values in percent of what an empty server does not take.
    pub fn dataset_percent(&self) -> f64 {
        percent(self.dataset(), self.used() - self.other.fixed)
    }

    /// `used` in percent of its peak.
    pub fn peak_percent(&self) -> f64 {
        percent(self.used(), self.peak)
    }

    /// What the allocator has, if it is known what is resident.
    pub fn allocator(&self) -> Option<Allocator> {
        Some(Allocator {
            allocated: self.used() as u64,
            active: (self.used() + self.idle) as u64,
            resident: self.resident?,
        })
    }

    /// Resident bytes for each byte used, and the bytes that are resident beyond those used.
    pub fn fragmentation(&self) -> Option<(f64, i64)> {
        let resident = self.resident?;
        let used = self.used();
        Some((resident as f64 / used as f64, resident as i64 - used as i64))
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

fn memory_usage(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let key = args.take();
    while args.left() > 0 {
        if !args.keyword_with_value("SAMPLES") {
            return Err(Error::SYNTAX);
        }
        // Of a collection this many elements would be measured. Strings are measured whole.
        let samples = args.int();
        args.check()?;
        if samples < 0 {
            return Err(Error::SYNTAX);
        }
    }
    match ctx.keys.peek(key) {
        Some(entry) => ctx.out.int(entry.memory() as i64),
        None => ctx.out.null(),
    }
    Ok(())
}

fn memory_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let usage = Usage::measure(ctx.engine);
    let out = &mut *ctx.out;
    let start = out.begin_array();
    let mut fields = 0;
    let mut int = |out: &mut Out, name: &str, n: usize| {
        out.bulk(name.as_bytes());
        out.int(n as i64);
        fields += 1;
    };
    int(out, "peak.allocated", usage.peak);
    int(out, "total.allocated", usage.used());
    int(out, "startup.allocated", usage.other.fixed);
    let stream = usage.other.stream;
    int(out, "replication.backlog", stream.backlog);
    int(out, "clients.slaves", stream.behind() + stream.clients);
    int(out, "replica.fullsync.buffer", 0);
    int(out, "replicas.repl.buffer", 0);
    int(out, "cluster.links", 0);
    int(out, "aof.buffer", usage.other.journal);
    let Other { sources, vms, .. } = usage.other;
    int(out, "lua.caches", sources.0);
    int(out, "functions.caches", sources.1);
    int(out, "script.VMs", vms.0 + vms.1);
    int(out, "clients.tracking", usage.other.tracking);
    let normal = usage.other.clients.saturating_sub(stream.clients);
    int(out, "clients.normal", normal);
    int(out, "overhead.db.hashtable.lut", usage.tables());
    // Tables grow a segment at a time: none is ever there twice.
    int(out, "overhead.db.hashtable.rehashing", 0);
    int(out, "overhead.total", usage.overhead());
    int(out, "db.dict.rehashing.count", 0);
    int(out, "keys.count", usage.keys());
    int(
        out,
        "keys.bytes-per-key",
        // As in real servers, of no keys it is nothing.
        (usage.used() - usage.other.fixed)
            .checked_div(usage.keys())
            .unwrap_or(0),
    );
    int(out, "dataset.bytes", usage.dataset());
    for (number, db) in usage.dbs.iter().enumerate().filter(|(_, db)| db.keys > 0) {
        out.bulk(format!("db.{number}").as_bytes());
        out.map(2);
        out.bulk(b"overhead.hashtable.main");
        out.int(db.table_bytes as i64);
        // Expiries are kept with their keys.
        out.bulk(b"overhead.hashtable.expires");
        out.int(0);
        fields += 1;
    }
    let mut double = |name: &str, n: f64| {
        out.bulk(name.as_bytes());
        out.double(n);
        fields += 1;
    };
    double("dataset.percentage", usage.dataset_percent());
    double("peak.percentage", usage.peak_percent());
    if let Some(allocator) = usage.allocator() {
        let mut int = |name: &str, n: u64| {
            out.bulk(name.as_bytes());
            out.int(n as i64);
            fields += 1;
        };
        int("allocator.allocated", allocator.allocated);
        int("allocator.active", allocator.active);
        int("allocator.resident", allocator.resident);
        int("allocator.muzzy", 0);
        let mut pair = |name: &str, (ratio, bytes): (f64, i64)| {
            out.bulk(format!("{name}.ratio").as_bytes());
            out.double(ratio);
            out.bulk(format!("{name}.bytes").as_bytes());
            out.int(bytes);
            fields += 2;
        };
        pair("allocator-fragmentation", allocator.fragmentation());
        pair("allocator-rss", allocator.resident());
        pair("rss-overhead", (1.0, 0));
    }
    if let Some((ratio, bytes)) = usage.fragmentation() {
        out.bulk(b"fragmentation");
        out.double(ratio);
        out.bulk(b"fragmentation.bytes");
        out.int(bytes);
        fields += 2;
    }
    out.end_map(start, fields);
    Ok(())
}

/// Below this many used bytes there is nothing to diagnose.
const TOO_SMALL: usize = 5 << 20;

fn memory_doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let usage = Usage::measure(ctx.engine);
    ctx.out.verbatim("txt", diagnose(&usage).as_bytes());
    Ok(())
}

fn diagnose(usage: &Usage) -> String {
    let used = usage.used();
    if used < TOO_SMALL {
        return "There is too little data to say anything about its memory.\n".into();
    }
    let mut findings = String::new();
    if usage.peak > used + used / 2 {
        findings += "* Peak: the server has used more than 1.5 times of what it uses now. Memory that was freed may \
                     still be resident.\n";
    }
    if let Some((ratio, bytes)) = usage.fragmentation()
        && ratio > 1.4
        && bytes > 10 << 20
    {
        findings += "* Fragmentation: more than 1.4 times the used memory is resident. That is freed memory the \
                     allocator keeps, or pages that are partly empty after many deletions.\n";
    }
    if usage.other.clients > used / 2 {
        findings += "* Clients: their buffers take more than half of the memory. See tot-mem in CLIENT LIST, and bound \
                     them with client-output-buffer-limit and client-query-buffer-limit.\n";
    }
    if findings.is_empty() {
        return "No memory problems were found.\n".into();
    }
    findings
}

fn memory_malloc_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let engine = ctx.engine.handle();
    ctx.offload(Box::new(move |out| {
        let stats = engine.host().allocator_stats();
        let text = stats.unwrap_or_else(|| "Stats not supported for the current allocator".into());
        out.verbatim("txt", text.as_bytes());
    }));
    Ok(())
}

fn memory_purge(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let engine = ctx.engine.handle();
    ctx.offload(Box::new(move |out| {
        store::mem::pages::purge();
        match engine.host().give_back_memory() {
            true => out.ok(),
            false => out.error(NO_PURGE),
        }
    }));
    Ok(())
}

/// What MEMORY PURGE answers in a program that has chosen its allocator itself.
const NO_PURGE: &str =
    "ERR MEMORY PURGE is not supported: the allocator is that of the program around this database";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestClient, check};

    #[test]
    fn usage_counts_the_entry_and_its_value() {
        let mut c = TestClient::new();
        let mut usage = |line: &str| c.run(line).parse::<usize>().unwrap();
        let small = usage("SET k v; MEMORY USAGE k");
        assert!((16..64).contains(&small), "{small}");
        let large = usage("SETRANGE big 99999 x; MEMORY USAGE big SAMPLES 0 SAMPLES 5");
        assert!((100_000..150_000).contains(&large), "{large}");
        c.check("MEMORY USAGE nosuch", "nil");
        c.check("MEMORY USAGE k SAMPLES", "-ERR syntax error");
        c.check("MEMORY USAGE k SAMPLES -1", "-ERR syntax error");
        c.check("MEMORY USAGE k DEPTH 1", "-ERR syntax error");
        c.check(
            "MEMORY USAGE k SAMPLES x",
            "-ERR value is not an integer or out of range",
        );
        c.check(
            "SET k v PX 1000000; MEMORY USAGE k SAMPLES 0",
            &(small + 8).to_string(),
        );
    }

    #[test]
    fn the_account_follows_the_data() {
        let mut c = TestClient::new();
        let empty = Usage::measure(&c.engine);
        assert_eq!((empty.data(), empty.keys()), (0, 0));
        c.run("SETRANGE big 999999 x; SELECT 2; SET k v EX 1000");
        let full = Usage::measure(&c.engine);
        assert_eq!((full.keys(), full.dbs[2].expiring), (2, 1));
        assert!((1_000_000..1_200_000).contains(&full.data()), "{full:?}");
        assert!(full.tables() > 0 && full.tables() < 10_000, "{full:?}");
        assert_eq!(full.used(), full.dataset() + full.overhead());
        assert_eq!(full.peak, full.used());
        c.run("FLUSHALL");
        let again = Usage::measure(&c.engine);
        assert_eq!((again.data(), again.peak), (0, full.peak));
    }

    #[test]
    fn stats_is_a_map_with_a_map_for_each_database() {
        let mut c = TestClient::new().resp3();
        let stats = c.run("SET k v; MEMORY STATS");
        assert!(stats.starts_with(r#"{"peak.allocated": "#), "{stats}");
        assert!(stats.contains(r#""keys.count": 1 "#), "{stats}");
        assert!(
            stats.contains(r#""db.0": {"overhead.hashtable.main": "#),
            "{stats}"
        );
        assert!(stats.contains(r#""peak.percentage": ,"#), "{stats}");
    }

    #[test]
    fn the_doctor_looks_at_the_figures() {
        check(
            "MEMORY DOCTOR",
            r#""There is too little data to say anything about its memory.\n""#,
        );
        let mut usage = Usage {
            dbs: vec![Counts {
                keys: 1,
                expiring: 0,
                bytes: 100 << 20,
                table_bytes: 0,
            }],
            other: Other::default(),
            idle: 0,
            peak: 100 << 20,
            resident: Some(100 << 20),
        };
        assert_eq!(diagnose(&usage), "No memory problems were found.\n");
        usage.peak = 200 << 20;
        assert!(diagnose(&usage).starts_with("* Peak"));
        usage.resident = Some(200 << 20);
        assert!(diagnose(&usage).contains("* Fragmentation"));
        usage.other.clients = 110 << 20;
        assert!(diagnose(&usage).contains("* Clients"));
    }

    #[test]
    fn what_the_allocator_does_not_offer_is_said() {
        check(
            "MEMORY MALLOC-STATS",
            r#""Stats not supported for the current allocator""#,
        );
        check("MEMORY PURGE", &format!("-{NO_PURGE}"));
        check(
            "MEMORY nosuch",
            "-ERR unknown subcommand 'nosuch'. Try MEMORY HELP.",
        );
    }
}
