//! INFO: what the server tells about itself, section by section.
//!
//! The lines carry the names that dashboards and clients know from Redis. A line is there if its value is known and true:
//! counts of features that do not exist yet are zero, and lines about the inner workings of Redis are left out. What
//! only the network server knows (traffic, listeners) it adds itself, see [`crate::config::host::Host::info`].

use super::memory::Usage;
use crate::base::args::Args;
use crate::base::error::Result;
use crate::context::command::{Command, Group, LOADING, OWN_LOCKS, STALE, row};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::door::held::Held;
use crate::table::categories::CAT_DANGEROUS;
use std::cell::OnceCell;
use std::fmt::Write;

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
        write: process::server,
    },
    Section {
        name: "Clients",
        by_default: true,
        write: process::clients,
    },
    Section {
        name: "Memory",
        by_default: true,
        write: memory::memory,
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
        write: counts::stats,
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
        write: process::cpu,
    },
    Section {
        name: "Hotkeys",
        by_default: true,
        write: counts::hotkeys,
    },
    Section {
        name: "Modules",
        by_default: true,
        write: |_, _| {},
    },
    Section {
        name: "Commandstats",
        by_default: false,
        write: counts::commandstats,
    },
    Section {
        name: "Errorstats",
        by_default: true,
        write: counts::errorstats,
    },
    Section {
        name: "Latencystats",
        by_default: false,
        write: counts::latencystats,
    },
    Section {
        name: "Cluster",
        by_default: true,
        write: cluster,
    },
    Section {
        name: "Keyspace",
        by_default: true,
        write: keyspace::keyspace,
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
    write: counts::shards,
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

// Behind what they write with.
mod counts;
mod keysizes;
mod keyspace;
mod memory;
mod process;

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

fn replication(report: &Report<'_, '_>, into: &mut String) {
    line!(into, "role:{}", report.engine.role());
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

fn cluster(_: &Report<'_, '_>, into: &mut String) {
    line!(into, "cluster_enabled:0");
}

#[cfg(test)]
mod tests;
