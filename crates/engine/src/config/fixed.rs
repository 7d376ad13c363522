//! Directives that a redis.conf may contain although what they configure does not exist here.
//!
//! Accepting `appendonly yes` and writing no file would be a lie, and refusing `appendonly no` would refuse every stock
//! redis.conf. So each of these is known with its kind and the one value that is true of this server. Any other value is
//! an error that says what is missing. When a feature is built its rows move to [`super::table`].

use super::directive::Change::{Runtime, Startup};
use super::directive::Kind::{Choice, Flag, Int, Size, Text, Words};
use super::directive::{Change, Directive, Kind};

const INT: i64 = i32::MAX as i64;

// What the rows of a group are about, as it stands in their error message and in the page of directives.
const CLUSTER: &str = "clustering";
const UNKNOWN_VERSIONS: &str = "the loading of snapshots of unknown versions";
const INNER: &str = "a mechanism inside Redis without a counterpart here";
const IMPORT: &str = "Valkey's import mode";
const SCRIPTS: &str = "scripts and modules";
const WATCHDOG: &str = "a software watchdog";
const TRANSPORTS: &str = "RDMA and multipath TCP";
const VECTORS: &str = "vector sets";

const fn later(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    only: &'static str,
    change: Change,
    feature: &'static str,
) -> Directive {
    Directive {
        name,
        aliases,
        kind,
        default: only,
        change,
        group: feature,
        built: false,
        moot: false,
        hidden: false,
        doc: "",
        check: None,
        apply: None,
    }
}

/// Lines of a redis.conf that set no value and cannot be read back, with why they are refused.
pub(super) const LINES: &[(&str, &str)] = &[
    (
        "loadmodule",
        "modules are not built: there is no interface for code that was built for another server",
    ),
    (
        "loadmodule-ex",
        "modules are not built: there is no interface for code that was built for another server",
    ),
    (
        "sentinel",
        "the sentinel is a program of its own, which is not built",
    ),
];

/// The directives whose feature is missing, each with its only true value as the default.
#[rustfmt::skip]
pub(super) const FIXED: &[Directive] = &[
    later("enable-module-command", &[], Choice(&["no", "yes", "local"]), "no", Startup, SCRIPTS),
    later("cluster-enabled", &[], Flag, "no", Startup, CLUSTER),
    later("cluster-port", &[], Int { min: 0, max: 65_535 }, "0", Startup, CLUSTER),
    later("locale-collate", &[], Text, "", Runtime, INNER),
    later("availability-zone", &[], Text, "", Runtime, CLUSTER),
    later("cluster-databases", &[], Int { min: 1, max: INT }, "1", Startup, CLUSTER),
    later("cluster-slot-stats-enabled", &[], Flag, "no", Runtime, CLUSTER),
    later("hash-seed", &[], Text, "", Startup, INNER),
    later("import-mode", &[], Flag, "no", Runtime, IMPORT),
    later("key-memory-histograms", &[], Flag, "no", Startup, INNER),
    later("mptcp", &[], Flag, "no", Startup, TRANSPORTS),
    later("rdb-version-check", &[], Choice(&["strict", "relaxed"]), "strict", Runtime, UNKNOWN_VERSIONS),
    later("rdma-bind", &[], Words, "", Startup, TRANSPORTS),
    later("rdma-completion-vector", &[], Int { min: -1, max: 1024 }, "-1", Startup, TRANSPORTS),
    later("rdma-port", &[], Int { min: 0, max: 65_535 }, "0", Startup, TRANSPORTS),
    later("rdma-rx-size", &[], Size { min: 65_536, max: 16_777_216 }, "1048576", Startup, TRANSPORTS),
    later("repl-mptcp", &[], Flag, "no", Startup, TRANSPORTS),
    later("vset-force-single-threaded-execution", &[], Flag, "no", Runtime, VECTORS),
    later("watchdog-period", &[], Int { min: 0, max: INT }, "0", Runtime, WATCHDOG).hidden(),
];
