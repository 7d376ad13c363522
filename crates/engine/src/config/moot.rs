//! Directives of other servers that ask for something Redpoll has no use for.
//!
//! Each takes every value that the other servers take, and no value changes anything a client or an operator could notice:
//! what it tunes is not there. That is said in its row, on the page of directives, and in the log when a configuration
//! sets one to something else than its default. The same holds of what tunes a feature that is missing and cannot be turned on. A directive whose absence would be noticed does not belong here but in
//! [`super::fixed`], where it is refused.

use super::directive::Change::{Runtime, Startup};
use super::directive::Kind::{Choice, Flag, Int, Size, Text};
use super::directive::{Change, Directive, Kind};

const LONG: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;

const FREES_ANYWAY: &str =
    "large values are always freed by a thread of their own, which no client waits for";
const NO_CHILD: &str = "nothing forks, so that there is no child process to bind to a processor";
const NO_DEFRAG: &str = "it tunes activedefrag, which decides by itself how much there is to do: a round moves at most a tenth of the time";
const CLUSTER: &str = "it tunes clustering, which is not built yet";
const ONE_CONNECTION: &str = "a copy of the data set and the stream behind it come over one connection, and what waits at the primary may go to its disk";
const NO_OTHERS: &str =
    "it is about connections between the servers of a cluster, and clustering is not built yet";
const NO_TIMER: &str = "no work hangs on a timer that ticks at a fixed rate";
const LOOKS_AHEAD: &str =
    "each worker looks ahead over the commands that have come, up to 64 of them";

const fn moot(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    change: Change,
    why: &'static str,
) -> Directive {
    Directive {
        name,
        aliases: &[],
        kind,
        default,
        change,
        group: "",
        built: true,
        moot: true,
        hidden: false,
        doc: why,
        check: None,
        apply: None,
    }
}

const fn also(row: Directive, aliases: &'static [&'static str]) -> Directive {
    Directive { aliases, ..row }
}

/// The directives that change nothing, each with the reason.
#[rustfmt::skip]
pub(super) const MOOT: &[Directive] = &[
    moot("active-defrag-cycle-max", Int { min: 1, max: 99 }, "25", Runtime, NO_DEFRAG),
    moot("active-defrag-cycle-min", Int { min: 1, max: 99 }, "1", Runtime, NO_DEFRAG),
    moot("active-defrag-cycle-us", Int { min: 0, max: 100_000 }, "500", Runtime, NO_DEFRAG),
    moot("active-defrag-ignore-bytes", Size { min: 1, max: LONG }, "104857600", Runtime, NO_DEFRAG),
    moot("active-defrag-max-scan-fields", Int { min: 1, max: LONG }, "1000", Runtime, NO_DEFRAG),
    moot("active-defrag-threshold-lower", Int { min: 0, max: 1000 }, "10", Runtime, NO_DEFRAG),
    moot("active-defrag-threshold-upper", Int { min: 0, max: 1000 }, "100", Runtime, NO_DEFRAG),
    moot("active-expire-effort", Int { min: 1, max: 10 }, "1", Runtime,
         "the sweep knows where expired keys are, and finds all of them within its share of one processor"),
    moot("activerehashing", Flag, "yes", Runtime, "a table grows by segments, and none is ever being rehashed"),
    moot("always-show-logo", Flag, "no", Startup, "there is no logo"),
    also(moot("aof-rewrite-cpulist", Text, "", Startup, NO_CHILD), &["aof_rewrite_cpulist"]),
    also(moot("bgsave-cpulist", Text, "", Startup, NO_CHILD), &["bgsave_cpulist"]),
    moot("crash-memcheck-enabled", Flag, "yes", Runtime,
         "memory is not tested after a crash: other threads still work with it, and what they write down must not change under their hands"),
    moot("dynamic-hz", Flag, "yes", Runtime, NO_TIMER),
    moot("extended-redis-compatibility", Flag, "no", Runtime, "clients are always told that they speak to a Redis"),
    moot("hz", Int { min: 0, max: INT }, "10", Runtime, NO_TIMER),
    moot("ignore-warnings", Text, "", Runtime, "the warnings it silences are about forks, of which there are none"),
    moot("io-threads-do-reads", Flag, "yes", Startup, "a worker always reads, executes and writes for its own connections"),
    moot("jemalloc-bg-thread", Flag, "yes", Runtime, "the allocator is another, and freed memory goes back to the system anyway"),
    moot("lazyfree-lazy-eviction", Flag, "no", Runtime, FREES_ANYWAY),
    moot("lazyfree-lazy-expire", Flag, "no", Runtime, FREES_ANYWAY),
    moot("lazyfree-lazy-server-del", Flag, "no", Runtime, FREES_ANYWAY),
    moot("lazyfree-lazy-user-del", Flag, "no", Runtime, FREES_ANYWAY),
    moot("lookahead", Int { min: 1, max: INT }, "16", Runtime, LOOKS_AHEAD),
    moot("prefetch-batch-max-size", Int { min: 0, max: 128 }, "16", Runtime, LOOKS_AHEAD),
    also(moot("replica-lazy-flush", Flag, "no", Runtime, FREES_ANYWAY), &["slave-lazy-flush"]),
    moot("cluster-allow-pubsubshard-when-down", Flag, "yes", Runtime, CLUSTER),
    moot("cluster-allow-reads-when-down", Flag, "no", Runtime, CLUSTER),
    moot("cluster-allow-replica-migration", Flag, "yes", Runtime, CLUSTER),
    moot("cluster-announce-bus-port", Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    moot("cluster-announce-client-port", Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    moot("cluster-announce-client-tls-port", Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    moot("cluster-announce-port", Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    moot("cluster-announce-tls-port", Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    moot("cluster-announce-client-ipv4", Text, "", Runtime, CLUSTER),
    moot("cluster-announce-client-ipv6", Text, "", Runtime, CLUSTER),
    moot("cluster-announce-hostname", Text, "", Runtime, CLUSTER),
    moot("cluster-announce-human-nodename", Text, "", Runtime, CLUSTER),
    moot("cluster-announce-ip", Text, "", Runtime, CLUSTER),
    moot("cluster-config-file", Text, "nodes.conf", Startup, CLUSTER),
    moot("cluster-link-sendbuf-limit", Size { min: 0, max: LONG }, "0", Runtime, CLUSTER),
    moot("cluster-migration-barrier", Int { min: 0, max: INT }, "1", Runtime, CLUSTER),
    moot("cluster-node-timeout", Int { min: 0, max: LONG }, "15000", Runtime, CLUSTER),
    moot("cluster-preferred-endpoint-type", Choice(&["ip", "hostname", "unknown-endpoint"]), "ip", Runtime, CLUSTER),
    also(moot("cluster-replica-no-failover", Flag, "no", Runtime, CLUSTER), &["cluster-slave-no-failover"]),
    also(moot("cluster-replica-validity-factor", Int { min: 0, max: INT }, "10", Runtime, CLUSTER), &["cluster-slave-validity-factor"]),
    moot("cluster-require-full-coverage", Flag, "yes", Runtime, CLUSTER),
    moot("dual-channel-replication-enabled", Flag, "no", Runtime, ONE_CONNECTION),
    moot("repl-rdb-channel", Flag, "yes", Runtime, ONE_CONNECTION).hidden(),
    moot("loading-process-events-interval-bytes", Size { min: 1024, max: INT }, "524288", Runtime,
         "clients are answered by other threads than those that load").hidden(),
    moot("replica-ignore-disk-write-errors", Flag, "no", Runtime,
         "a replica goes on to do what its primary does, whatever its disk says; the log tells"),
    moot("cluster-blacklist-ttl", Int { min: 0, max: LONG }, "60", Runtime, CLUSTER),
    moot("cluster-compatibility-sample-ratio", Int { min: 0, max: 100 }, "0", Runtime, CLUSTER),
    moot("cluster-config-save-behavior", Choice(&["sync", "best-effort"]), "sync", Runtime, CLUSTER),
    moot("cluster-manual-failover-timeout", Int { min: 0, max: INT }, "5000", Runtime, CLUSTER),
    moot("cluster-slot-migration-handoff-max-lag-bytes", Size { min: 0, max: LONG }, "1048576", Runtime, CLUSTER),
    moot("cluster-slot-migration-log-max-len", Int { min: 0, max: LONG }, "1000", Runtime, CLUSTER),
    moot("cluster-slot-migration-write-pause-timeout", Int { min: 0, max: LONG }, "10000", Runtime, CLUSTER),
    moot("slot-migration-max-failover-repl-bytes", Size { min: -1, max: LONG }, "0", Runtime, CLUSTER),
    moot("propagation-error-behavior", Choice(&["ignore", "panic", "panic-on-replicas"]), "ignore", Runtime,
         "what a command of the primary was answered with is logged and counted, and never the end of the process"),
    moot("replica-full-sync-buffer-limit", Size { min: 0, max: LONG }, "0", Runtime, ONE_CONNECTION),
    moot("tls-cluster", Flag, "no", Runtime, NO_OTHERS),
    moot("tls-dh-params-file", Text, "", Runtime, "keys are agreed on by elliptic curves, which need no such parameters"),
];
