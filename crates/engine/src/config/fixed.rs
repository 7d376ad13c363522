//! Directives that a redis.conf may contain although what they configure does not exist here.
//!
//! Accepting `appendonly yes` and writing no file would be a lie, and refusing `appendonly no` would refuse every stock
//! redis.conf. So each of these is known with its kind and the one value that is true of this server. Any other value is
//! an error that says what is missing. When a feature is built its rows move to [`super::table`].

use super::directive::Change::{Runtime, Startup};
use super::directive::Kind::{Choice, Flag, Int, Size, Text, Uint, Words};
use super::directive::{Change, Directive, Kind};

const LONG: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;
const UINT: i64 = u32::MAX as i64;

// What the rows of a group are about, as it stands in their error message and in the page of directives.
const ACL: &str = "access control lists";
const CLUSTER: &str = "clustering";
const COMPRESSION: &str = "compressing the inner nodes of lists";
const DURABILITY: &str = "snapshots and the append-only file";
const INNER: &str = "a mechanism inside Redis without a counterpart here";
const REPLICATION: &str = "replication";
const SCRIPTS: &str = "scripts and modules";
const SERVICE: &str = "running as a daemon and logging to syslog";
const TLS: &str = "TLS";

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
        doc: "",
        apply: None,
    }
}

/// Lines of a redis.conf that set no value and cannot be read back, with what they need.
pub(super) const LINES: &[(&str, &str)] = &[
    ("loadmodule", SCRIPTS),
    ("rename-command", ACL),
    ("sentinel", REPLICATION),
];

/// The directives whose feature is missing, each with its only true value as the default.
#[rustfmt::skip]
pub(super) const FIXED: &[Directive] = &[
    later("active-defrag-cycle-max", &[], Int { min: 1, max: 99 }, "25", Runtime, INNER),
    later("active-defrag-cycle-min", &[], Int { min: 1, max: 99 }, "1", Runtime, INNER),
    later("active-defrag-ignore-bytes", &[], Size { min: 0, max: LONG }, "104857600", Runtime, INNER),
    later("active-defrag-max-scan-fields", &[], Int { min: 1, max: LONG }, "1000", Runtime, INNER),
    later("active-defrag-threshold-lower", &[], Int { min: 0, max: 1000 }, "10", Runtime, INNER),
    later("active-defrag-threshold-upper", &[], Int { min: 0, max: 1000 }, "100", Runtime, INNER),
    later("active-expire-effort", &[], Int { min: 1, max: 10 }, "1", Runtime, INNER),
    later("activedefrag", &[], Flag, "no", Runtime, INNER),
    later("activerehashing", &[], Flag, "yes", Runtime, INNER),
    later("always-show-logo", &[], Flag, "no", Startup, INNER),
    later("bgsave-cpulist", &["bgsave_cpulist"], Text, "", Startup, INNER),
    later("bind-source-addr", &[], Text, "", Runtime, INNER),
    later("bio-cpulist", &["bio_cpulist"], Text, "", Startup, INNER),
    later("crash-log-enabled", &[], Flag, "no", Runtime, INNER),
    later("crash-memcheck-enabled", &[], Flag, "no", Runtime, INNER),
    later("dynamic-hz", &[], Flag, "yes", Runtime, INNER),
    later("hz", &[], Int { min: 1, max: 500 }, "10", Runtime, INNER),
    later("io-threads-do-reads", &[], Flag, "yes", Startup, INNER),
    later("jemalloc-bg-thread", &[], Flag, "yes", Runtime, INNER),
    later("oom-score-adj", &[], Choice(&["no", "yes", "relative", "absolute"]), "no", Runtime, INNER),
    later("oom-score-adj-values", &[], Words, "0 200 800", Runtime, INNER),
    later("proc-title-template", &[], Text, "{title} {listen-addr} {server-mode}", Runtime, INNER),
    later("server-cpulist", &["server_cpulist"], Text, "", Startup, INNER),
    later("set-proc-title", &[], Flag, "yes", Startup, INNER),
    later("socket-mark-id", &[], Uint { min: 0, max: UINT }, "0", Startup, INNER),
    later("aof-rewrite-cpulist", &["aof_rewrite_cpulist"], Text, "", Startup, DURABILITY),
    later("shutdown-on-sigint", &[], Choice(&["default", "save", "nosave", "now", "force"]), "default", Runtime, DURABILITY),
    later("shutdown-on-sigterm", &[], Choice(&["default", "save", "nosave", "now", "force"]), "default", Runtime, DURABILITY),
    later("enable-module-command", &[], Choice(&["no", "yes", "local"]), "no", Startup, SCRIPTS),
    later("cluster-allow-pubsubshard-when-down", &[], Flag, "yes", Runtime, CLUSTER),
    later("cluster-allow-reads-when-down", &[], Flag, "no", Runtime, CLUSTER),
    later("cluster-allow-replica-migration", &[], Flag, "yes", Runtime, CLUSTER),
    later("cluster-announce-bus-port", &[], Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    later("cluster-announce-hostname", &[], Text, "", Runtime, CLUSTER),
    later("cluster-announce-human-nodename", &[], Text, "", Runtime, CLUSTER),
    later("cluster-announce-ip", &[], Text, "", Runtime, CLUSTER),
    later("cluster-announce-port", &[], Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    later("cluster-announce-tls-port", &[], Int { min: 0, max: 65_535 }, "0", Runtime, CLUSTER),
    later("cluster-config-file", &[], Text, "nodes.conf", Startup, CLUSTER),
    later("cluster-enabled", &[], Flag, "no", Startup, CLUSTER),
    later("cluster-link-sendbuf-limit", &[], Size { min: 0, max: LONG }, "0", Runtime, CLUSTER),
    later("cluster-migration-barrier", &[], Int { min: 0, max: INT }, "1", Runtime, CLUSTER),
    later("cluster-node-timeout", &[], Int { min: 0, max: LONG }, "15000", Runtime, CLUSTER),
    later("cluster-port", &[], Int { min: 0, max: 65_535 }, "0", Startup, CLUSTER),
    later("cluster-preferred-endpoint-type", &[], Choice(&["ip", "hostname", "unknown-endpoint"]), "ip", Runtime, CLUSTER),
    later("cluster-replica-no-failover", &["cluster-slave-no-failover"], Flag, "no", Runtime, CLUSTER),
    later("cluster-replica-validity-factor", &["cluster-slave-validity-factor"], Int { min: 0, max: INT }, "10", Runtime, CLUSTER),
    later("cluster-require-full-coverage", &[], Flag, "yes", Runtime, CLUSTER),
    later("daemonize", &[], Flag, "no", Startup, SERVICE),
    later("supervised", &[], Choice(&["upstart", "systemd", "auto", "no"]), "no", Startup, SERVICE),
    later("syslog-enabled", &[], Flag, "no", Startup, SERVICE),
    later("syslog-facility", &[], Text, "local0", Startup, SERVICE),
    later("syslog-ident", &[], Text, "redis", Startup, SERVICE),
    later("list-compress-depth", &[], Int { min: 0, max: INT }, "0", Runtime, COMPRESSION),
    later("locale-collate", &[], Text, "", Runtime, INNER),
    later("masterauth", &[], Text, "", Runtime, REPLICATION),
    later("masteruser", &[], Text, "", Runtime, REPLICATION),
    later("min-replicas-max-lag", &["min-slaves-max-lag"], Int { min: 0, max: INT }, "10", Runtime, REPLICATION),
    later("min-replicas-to-write", &["min-slaves-to-write"], Int { min: 0, max: INT }, "0", Runtime, REPLICATION),
    later("rdb-del-sync-files", &[], Flag, "no", Runtime, REPLICATION),
    later("dual-channel-replication-enabled", &[], Flag, "no", Runtime, REPLICATION),
    later("repl-backlog-size", &[], Size { min: 0, max: LONG }, "1048576", Runtime, REPLICATION),
    later("repl-backlog-ttl", &[], Int { min: 0, max: LONG }, "3600", Runtime, REPLICATION),
    later("repl-disable-tcp-nodelay", &[], Flag, "no", Runtime, REPLICATION),
    later("repl-diskless-load", &[], Choice(&["disabled", "on-empty-db", "swapdb"]), "disabled", Runtime, REPLICATION),
    later("repl-diskless-sync", &[], Flag, "yes", Runtime, REPLICATION),
    later("repl-diskless-sync-delay", &[], Int { min: 0, max: INT }, "5", Runtime, REPLICATION),
    later("repl-diskless-sync-max-replicas", &[], Int { min: 0, max: INT }, "0", Runtime, REPLICATION),
    later("repl-ping-replica-period", &["repl-ping-slave-period"], Int { min: 1, max: INT }, "10", Runtime, REPLICATION),
    later("repl-timeout", &[], Int { min: 1, max: INT }, "60", Runtime, REPLICATION),
    later("replica-announce-ip", &["slave-announce-ip"], Text, "", Runtime, REPLICATION),
    later("replica-announce-port", &["slave-announce-port"], Int { min: 0, max: 65_535 }, "0", Runtime, REPLICATION),
    later("replica-announced", &[], Flag, "yes", Runtime, REPLICATION),
    later("replica-ignore-disk-write-errors", &[], Flag, "no", Runtime, REPLICATION),
    later("replica-ignore-maxmemory", &["slave-ignore-maxmemory"], Flag, "yes", Runtime, REPLICATION),
    later("replica-priority", &["slave-priority"], Int { min: 0, max: INT }, "100", Runtime, REPLICATION),
    later("replica-read-only", &["slave-read-only"], Flag, "yes", Runtime, REPLICATION),
    later("replica-serve-stale-data", &["slave-serve-stale-data"], Flag, "yes", Runtime, REPLICATION),
    later("replicaof", &["slaveof"], Text, "", Runtime, REPLICATION),
    later("tls-auth-clients", &[], Choice(&["no", "yes", "optional"]), "yes", Runtime, TLS),
    later("tls-ca-cert-dir", &[], Text, "", Runtime, TLS),
    later("tls-ca-cert-file", &[], Text, "", Runtime, TLS),
    later("tls-cert-file", &[], Text, "", Runtime, TLS),
    later("tls-ciphers", &[], Text, "", Runtime, TLS),
    later("tls-ciphersuites", &[], Text, "", Runtime, TLS),
    later("tls-client-cert-file", &[], Text, "", Runtime, TLS),
    later("tls-client-key-file", &[], Text, "", Runtime, TLS),
    later("tls-client-key-file-pass", &[], Text, "", Runtime, TLS),
    later("tls-cluster", &[], Flag, "no", Runtime, TLS),
    later("tls-dh-params-file", &[], Text, "", Runtime, TLS),
    later("tls-key-file", &[], Text, "", Runtime, TLS),
    later("tls-key-file-pass", &[], Text, "", Runtime, TLS),
    later("tls-port", &[], Int { min: 0, max: 65_535 }, "0", Runtime, TLS),
    later("tls-prefer-server-ciphers", &[], Flag, "no", Runtime, TLS),
    later("tls-protocols", &[], Text, "", Runtime, TLS),
    later("tls-replication", &[], Flag, "no", Runtime, TLS),
    later("tls-session-cache-size", &[], Int { min: 0, max: INT }, "20480", Runtime, TLS),
    later("tls-session-cache-timeout", &[], Int { min: 0, max: INT }, "300", Runtime, TLS),
    later("tls-session-caching", &[], Flag, "yes", Runtime, TLS),
];
