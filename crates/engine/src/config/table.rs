//! The directives that do something, one row each.
//!
//! A new setting is a row here: its kind decides how it is read, `apply` copies it into [`Live`] where the running server
//! sees it, and the row's text becomes its entry in docs/configuration.md.

use super::directive::Change::{Protected, Runtime, Startup};
use super::directive::Kind::{
    Choice, Events, Flag, Int, Names, Octal, OutputLimits, Percentiles, PowerOfTwo, Save, Size,
    Text, Threads, Uint, Words,
};
use super::directive::{Change, Check, Directive, Kind, Value};
use super::{Live, OutputLimit};
use crate::base::memory::POLICY_NAMES;
use std::sync::atomic::Ordering::Relaxed;

const NETWORK: &str = "Network";
const SERVICE: &str = "Running as a service";
const SCRIPTS: &str = "Scripts";
const CLIENTS: &str = "Clients";
const USERS: &str = "Users";
const TLS: &str = "TLS";
const MESSAGES: &str = "Notifications and caches";
const GENERAL: &str = "General";
const DURABILITY: &str = "Durability";
const INSIGHT: &str = "Insight";
const LONG: i64 = i64::MAX;
const DATA_TYPES: &str = "Data types";
const MEMORY: &str = "Memory";
const REPLICATION: &str = "Replication";
const TESTS: &str = "For tests";

/// What the log of the system calls those who write to it.
const FACILITIES: &[&str] = &[
    "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// What a signal may ask for, as SHUTDOWN has it.
const ENDINGS: Kind = Names(&[
    "default", "save", "nosave", "now", "force", "safe", "failover",
]);

const LOCAL: Kind = Choice(&["no", "yes", "local"]);

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    change: Change,
    group: &'static str,
    doc: &'static str,
) -> Directive {
    Directive {
        name,
        aliases: &[],
        kind,
        default,
        change,
        group,
        built: true,
        moot: false,
        hidden: false,
        doc,
        check: None,
        apply: None,
    }
}

impl Directive {
    const fn alias(self, aliases: &'static [&'static str]) -> Directive {
        Directive { aliases, ..self }
    }

    const fn check(self, check: Check) -> Directive {
        Directive {
            check: Some(check),
            ..self
        }
    }

    const fn live(self, apply: fn(&Live, &Value)) -> Directive {
        Directive {
            apply: Some(apply),
            ..self
        }
    }
}

fn number(value: &Value) -> u64 {
    if let Value::Int(n) = value {
        *n as u64
    } else {
        0
    }
}

/// A threshold of a log of commands: a negative one is never reached.
fn threshold(value: &Value) -> u64 {
    match value {
        Value::Int(n) => u64::try_from(*n).unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

fn events(value: &Value) -> u32 {
    if let Value::Events(classes) = value {
        *classes
    } else {
        0
    }
}

fn flag(value: &Value) -> bool {
    matches!(value, Value::Flag(true))
}

fn tls_protocols(value: &Value) -> Result<(), String> {
    let text = value.text();
    let mut names = text.split_ascii_whitespace();
    let known = |name: &str| ["tlsv1.2", "tlsv1.3"].contains(&name.to_ascii_lowercase().as_str());
    match names.find(|name| !known(name)) {
        Some(name) => Err(format!("'{name}' is none of TLSv1.2 and TLSv1.3")),
        None => Ok(()),
    }
}

/// Nothing, `no one`, or a host and a port.
fn primary_address(value: &Value) -> Result<(), String> {
    let text = value.text();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        [] => Ok(()),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(()),
        [_, port] if port.parse::<u16>().is_ok() => Ok(()),
        [_, _] => Err("Invalid master port".into()),
        _ => Err("wrong number of arguments".into()),
    }
}

fn not_both(value: &Value) -> Result<(), String> {
    match value {
        Value::Words(words)
            if words.iter().any(|w| w == "save") && words.iter().any(|w| w == "nosave") =>
        {
            Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into())
        }
        _ => Ok(()),
    }
}

fn three_scores(value: &Value) -> Result<(), String> {
    let text = value.text();
    let words: Vec<&str> = text.split(' ').collect();
    if words.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let good = |word: &&str| word.parse().is_ok_and(|n: i32| (-2000..=2000).contains(&n));
    if words.iter().all(good) {
        return Ok(());
    }
    Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into())
}

fn title_template(value: &Value) -> Result<(), String> {
    match super::title::expand(&value.text(), |_| Some(String::new())) {
        Some(_) => Ok(()),
        None => Err("template format is invalid or contains unknown variables".into()),
    }
}

fn cpu_list(value: &Value) -> Result<(), String> {
    super::cpus::parse(&value.text())
        .map(drop)
        .ok_or_else(|| "Invalid CPU list: give numbers and ranges like 0,2,4-7 or 0-7:2".into())
}

fn limits(value: &Value) -> [OutputLimit; 3] {
    if let Value::Limits(limits) = value {
        *limits
    } else {
        Default::default()
    }
}

/// The directives in the order of their page.
pub(super) const BUILT: &[Directive] = &[
    row("port", Int { min: 0, max: 65535 }, "6379", Runtime, NETWORK, "The TCP port; 0 listens on no TCP port."),
    row(
        "bind",
        Words,
        "127.0.0.1 -::1",
        Runtime,
        NETWORK,
        "Addresses to listen on. `*` is every IPv4 address, `::*` every IPv6 address. An address after a minus may be \
         missing on this machine. An empty list listens on no TCP port.",
    ),
    row(
        "protected-mode",
        Flag,
        "yes",
        Runtime,
        NETWORK,
        "While no password is set, refuse clients that do not come from this machine.",
    )
    .live(|live, value| live.protected_mode.store(flag(value), Relaxed)),
    row("unixsocket", Text, "", Startup, NETWORK, "Path of a unix socket to listen on as well."),
    row("unixsocketperm", Octal, "0", Startup, NETWORK, "Permissions of that socket; 0 leaves them to the umask."),
    row("unixsocketgroup", Text, "", Startup, NETWORK, "The group that socket belongs to, by its name or number; empty: the server's own."),
    row(
        "socket-mark-id",
        Uint { min: 0, max: u32::MAX as i64 },
        "0",
        Startup,
        NETWORK,
        "The mark that the kernel puts on the packets of TCP connections, for rules of the firewall and of routing (SO_MARK); 0 for none.",
    ),
    row(
        "tcp-backlog",
        Int { min: 0, max: i32::MAX as i64 },
        "511",
        Startup,
        NETWORK,
        "Connections that may wait to be accepted; the kernel may bound it further.",
    ),
    row(
        "tcp-keepalive",
        Int { min: 0, max: i32::MAX as i64 },
        "300",
        Runtime,
        NETWORK,
        "Seconds of silence after which the kernel probes whether a TCP client is still there; 0 never. Applies to \
         connections made from then on.",
    )
    .live(|live, value| live.tcp_keepalive_s.store(number(value), Relaxed)),
    row(
        "max-new-connections-per-cycle",
        Int { min: 1, max: 1000 },
        "10",
        Runtime,
        NETWORK,
        "Connections accepted from one listener before the others get their turn.",
    )
    .live(|live, value| live.accepts_per_turn.store(number(value) as usize, Relaxed)),
    row("tls-port", Int { min: 0, max: 65535 }, "0", Runtime, TLS, "The TCP port on which clients have to speak TLS; 0 for none."),
    row("tls-cert-file", Text, "", Runtime, TLS, "The server's certificate, in PEM form, with those that lead to one that clients trust after it. Setting it, or \
         any other of these directives, reads all of the files anew; connections that are open stay as they are."),
    row("tls-key-file", Text, "", Runtime, TLS, "The certificate's private key, in PEM form."),
    row("tls-key-file-pass", Text, "", Runtime, TLS, "The password that protects the private key (PKCS #8)."),
    row("tls-ca-cert-file", Text, "", Runtime, TLS, "Certificates, in PEM form, of those from whom clients' certificates must come."),
    row("tls-ca-cert-dir", Text, "", Runtime, TLS, "A folder of such files."),
    row(
        "tls-auth-clients",
        Choice(&["no", "yes", "optional"]),
        "yes",
        Runtime,
        TLS,
        "Whether clients have to show a certificate, may show one, or are not asked. One that is shown must be good.",
    ),
    row("tls-protocols", Text, "", Runtime, TLS, "The versions that are spoken: `TLSv1.2`, `TLSv1.3` or both; empty for both.").check(tls_protocols),
    row("tls-ciphers", Text, "", Runtime, TLS, "The ciphers of TLS 1.2 in OpenSSL's notation; empty for all that are safe. Names of others are passed over."),
    row("tls-ciphersuites", Text, "", Runtime, TLS, "The ciphers of TLS 1.3, with colons between them; empty for all."),
    row("tls-prefer-server-ciphers", Flag, "no", Runtime, TLS, "Whether the server's order of ciphers decides, and not the client's."),
    row("tls-session-caching", Flag, "yes", Runtime, TLS, "Whether clients may resume a session with a shorter handshake."),
    row("tls-session-cache-size", Int { min: 0, max: i32::MAX as i64 }, "20480", Runtime, TLS, "Sessions that are kept for that, the oldest forgotten first; 0 for a million."),
    row("tls-session-cache-timeout", Int { min: 0, max: i32::MAX as i64 }, "300", Runtime, TLS, "Seconds after which a session cannot be resumed; 0 for never."),
    row("tls-auto-reload-interval", Int { min: 0, max: i32::MAX as i64 }, "0", Runtime, TLS, "Seconds after which the files are looked at again, and used if they have changed; 0 for never."),
    row(
        "tls-auth-clients-user",
        Choice(&["off", "cn", "uri"]),
        "off",
        Runtime,
        TLS,
        "Whether a client is the user whom its certificate names when it comes, without a password: by the common name of its subject, or by the \
         first URI among its alternative names that is a user. If there is no such user that is on, it is the default user as ever.",
    ),
    row(
        "max-new-tls-connections-per-cycle",
        Int { min: 1, max: 1000 },
        "1",
        Runtime,
        TLS,
        "Connections accepted from one listener for TLS before the others get their turn.",
    )
    .live(|live, value| live.tls_accepts_per_turn.store(number(value) as usize, Relaxed)),
    row(
        "timeout",
        Int { min: 0, max: i32::MAX as i64 },
        "0",
        Runtime,
        CLIENTS,
        "Seconds of idleness after which a client is disconnected; 0 never.",
    )
    .live(|live, value| live.timeout_s.store(number(value), Relaxed)),
    row(
        "maxclients",
        Uint { min: 1, max: u32::MAX as i64 },
        "10000",
        Runtime,
        CLIENTS,
        "Clients that may be connected at the same time. Lowered at the start if the system allows fewer open files.",
    )
    .live(|live, value| live.maxclients.store(number(value) as usize, Relaxed)),
    row(
        "client-output-buffer-limit",
        OutputLimits,
        "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        Runtime,
        CLIENTS,
        "Unsent replies at which a client is disconnected, by class: bytes for at once, bytes and seconds for \
         staying over them. 0 is no limit. A client over 1 MB of unsent replies has its further commands wait.",
    )
    .live(|live, value| {
        for (place, limit) in live.output_limits.iter().zip(limits(value)) {
            place.hard.store(limit.hard, Relaxed);
            place.soft.store(limit.soft, Relaxed);
            place.soft_seconds.store(limit.soft_seconds, Relaxed);
        }
    }),
    row(
        "client-query-buffer-limit",
        Size { min: 1 << 20, max: i64::MAX },
        "1gb",
        Runtime,
        CLIENTS,
        "Unexecuted bytes of requests at which a client is disconnected.",
    )
    .live(|live, value| live.client_query_buffer_limit.store(number(value) as usize, Relaxed)),
    row(
        "busy-reply-threshold",
        Int { min: 0, max: i64::MAX },
        "5000",
        Runtime,
        SCRIPTS,
        "Milliseconds that a script may run before commands that wait for its keys are answered BUSY, and TIME goes on within it. 0 is never.",
    )
    .alias(&["lua-time-limit"])
    .live(|live, value| live.busy_reply_threshold_ms.store(number(value), Relaxed)),
    row(
        "proto-max-bulk-len",
        // Lengths of keys and of members are written with 32 bits.
        Size { min: 1 << 20, max: store::MAX_KEY as i64 },
        "512mb",
        Runtime,
        CLIENTS,
        "The longest argument a command may have, and the longest string value.",
    )
    .live(|live, value| live.proto_max_bulk_len.store(number(value) as usize, Relaxed)),
    row(
        "requirepass",
        Text,
        "",
        Runtime,
        CLIENTS,
        "The password clients must give with AUTH or HELLO before anything else; empty asks for none.",
    ),
    row(
        "acl-pubsub-default",
        Choice(&["allchannels", "resetchannels"]),
        "resetchannels",
        Runtime,
        USERS,
        "Whether users that are made may listen and publish to all channels or to none, until a rule says otherwise.",
    ),
    row(
        "aclfile",
        Text,
        "",
        Startup,
        USERS,
        "The file that holds all users, for ACL LOAD and ACL SAVE; empty: they are lines of the configuration, or none.",
    ),
    row(
        "acllog-max-len",
        Int { min: 0, max: LONG },
        "128",
        Runtime,
        USERS,
        "How many kinds of refusals ACL LOG remembers.",
    ),
    row(
        "threads",
        Threads,
        "auto",
        Startup,
        GENERAL,
        "Worker threads, each with its own connections; all work on the one keyspace. `auto` is one a core.",
    )
    .alias(&["io-threads"]),
    row(
        "maxmemory",
        Kind::Memory,
        "0",
        Runtime,
        MEMORY,
        "How much memory may be in use, as `used_memory` of INFO counts it; 0 for no limit. In percent, of the memory that the \
         machine has or the control group of the process may use. Above it keys are evicted as `maxmemory-policy` says, and if that is not \
         enough, commands that need memory are refused.",
    ),
    row(
        "maxmemory-policy",
        Choice(POLICY_NAMES),
        "noeviction",
        Runtime,
        MEMORY,
        "Which keys are evicted: of all (allkeys) or of those with an expiry (volatile), those not used for longest (lru), used \
         least often (lfu), not changed for longest (lrm), expiring first (ttl), or any (random).",
    )
    .live(|live, value| live.aging.set_policy(&value.text())),
    row(
        "maxmemory-samples",
        Int { min: 1, max: 64 },
        "5",
        Runtime,
        MEMORY,
        "How many keys are compared for each one that is evicted, in units of four: at the default the one evicted is among the \
         first of some twenty. More come closer to the policy and take longer.",
    )
    .live(|live, value| live.aging.samples.store(number(value) as usize, Relaxed)),
    row(
        "maxmemory-eviction-tenacity",
        Int { min: 0, max: 100 },
        "10",
        Runtime,
        MEMORY,
        "How long a command that needs memory may evict keys before it is carried out: at the default some tens of \
         microseconds. The rest is evicted in the background. 100 is as long as it takes.",
    )
    .live(|live, value| live.aging.tenacity.store(number(value) as u32, Relaxed)),
    row(
        "maxmemory-clients",
        Kind::Memory,
        "0",
        Runtime,
        MEMORY,
        "How much memory the buffers of all clients together may take; 0 for no limit. In percent, of `maxmemory`. Above it those \
         that take most are disconnected, unless they have said CLIENT NO-EVICT ON.",
    ),
    row(
        "lfu-log-factor",
        Int { min: 0, max: i32::MAX as i64 },
        "10",
        Runtime,
        MEMORY,
        "How slowly the counter of a key's uses grows: the larger it is, the more uses it takes to reach its end, 255.",
    )
    .live(|live, value| live.aging.log_factor.store(number(value) as u32, Relaxed)),
    row(
        "lfu-decay-time",
        Int { min: 0, max: i32::MAX as i64 },
        "1",
        Runtime,
        MEMORY,
        "Minutes after which the counter of a key's uses is one less; 0 for never.",
    )
    .live(|live, value| live.aging.decay_minutes.store(number(value) as u32, Relaxed)),
    row(
        "shards",
        PowerOfTwo { min: 1, max: 65536 },
        "256",
        Startup,
        GENERAL,
        "Parts of the keyspace, each with its own lock. More parts make waiting for one rarer and cost a little memory.",
    ),
    row("databases", Int { min: 1, max: 65536 }, "16", Startup, GENERAL, "The number of databases SELECT can choose."),
    row(
        "enable-debug-command",
        LOCAL,
        "no",
        Startup,
        GENERAL,
        "Who may call DEBUG: nobody, everybody, or clients on this machine.",
    ),
    row(
        "enable-protected-configs",
        LOCAL,
        "no",
        Startup,
        GENERAL,
        "Who may change protected directives with CONFIG SET: nobody, everybody, or clients on this machine.",
    ),
    row(
        "save",
        Save,
        "3600 1 300 100 60 10000",
        Runtime,
        DURABILITY,
        "When the data set is saved to `dbfilename`: pairs of seconds and changes; a save begins when at least so many changes \
         were made and so many seconds have passed since the last one. Empty: never by itself.",
    ),
    row("dbfilename", Text, "dump.rdb", Protected, DURABILITY, "The file that snapshots are saved to, in `dir`."),
    row("rdbchecksum", Flag, "yes", Startup, DURABILITY, "Whether snapshots carry a checksum, and it is compared when they are loaded."),
    row(
        "rdb-save-version",
        Choice(&["9", "10", "11", "12", "80"]),
        "11",
        Runtime,
        DURABILITY,
        "The version of RDB that is written, which decides who can read it: 9 Redis 5 and up, 10 Redis 7.0, 11 Redis 7.2 and \
         Valkey 7.2 and up, 12 Redis 7.4 and up, 80 Valkey 9.0 and up.",
    ),
    row("rdb-save-incremental-fsync", Flag, "yes", Runtime, DURABILITY, "Whether a snapshot goes to the disk in steps while it is written."),
    row(
        "sanitize-dump-payload",
        Choice(&["no", "yes", "clients"]),
        "no",
        Runtime,
        DURABILITY,
        "Changes nothing: what RESTORE and files bring is always checked through before any of it is used.",
    ),
    row(
        "stop-writes-on-bgsave-error",
        Flag,
        "yes",
        Runtime,
        DURABILITY,
        "Whether changes are refused while the last background save, with save points set, has failed.",
    ),
    row("appendonly", Flag, "no", Runtime, DURABILITY, "Whether every change is also appended to a log of commands, which is what a start loads then. Where the disk is slower than those who \
         change keys, up to 64 MB wait for it in memory; then changes wait, and reads go on (`redpoll_log_queue_*` in INFO)."),
    row(
        "appendfsync",
        Choice(&["everysec", "always", "no"]),
        "everysec",
        Runtime,
        DURABILITY,
        "When the log goes to the disk: `always` before a change is answered, for many clients with one sync; `everysec` once a \
         second; `no` when the system likes.",
    ),
    row("appenddirname", Text, "appendonlydir", Startup, DURABILITY, "The folder of the log, in `dir`."),
    row("appendfilename", Text, "appendonly.aof", Startup, DURABILITY, "How the names of the log's files begin."),
    row(
        "aof-use-rdb-preamble",
        Flag,
        "yes",
        Runtime,
        DURABILITY,
        "Whether a rewrite of the log begins it with an RDB; `no` writes commands, which are larger and slower to load.",
    ),
    row("aof-load-truncated", Flag, "yes", Runtime, DURABILITY, "Whether a log whose end is cut off is loaded as far as it goes."),
    row(
        "aof-load-corrupt-tail-max-size",
        Size { min: 0, max: LONG },
        "0",
        Runtime,
        DURABILITY,
        "So many bytes of damage at the end of a log are cut off like an end that is missing.",
    ),
    row(
        "aof-disable-auto-gc",
        Flag,
        "no",
        Runtime,
        DURABILITY,
        "Whether files of the log that a rewrite has replaced stay, listed as history, until this is `no` again.",
    )
    .hidden(),
    row("aof-timestamp-enabled", Flag, "no", Runtime, DURABILITY, "Whether the log holds the time, second by second."),
    row("aof-rewrite-incremental-fsync", Flag, "yes", Runtime, DURABILITY, "Whether a rewrite goes to the disk in steps while it is written."),
    row(
        "auto-aof-rewrite-percentage",
        Int { min: 0, max: i32::MAX as i64 },
        "100",
        Runtime,
        DURABILITY,
        "By how much the log may grow after a rewrite before the next one begins by itself; 0 for never.",
    ),
    row(
        "auto-aof-rewrite-min-size",
        Size { min: 0, max: LONG },
        "67108864",
        Runtime,
        DURABILITY,
        "A log smaller than this is not rewritten by itself.",
    ),
    row(
        "no-appendfsync-on-rewrite",
        Flag,
        "no",
        Runtime,
        DURABILITY,
        "Changes nothing: a rewrite does not fork and does not hold up the log.",
    ),
    row("dir", Text, "./", Protected, GENERAL, "The working directory; other relative paths start from it. Not to be changed while files of data are read or written there, the log \
         included."),
    row("pidfile", Text, "", Startup, GENERAL, "A file that holds the process id while the server runs."),
    row("logfile", Text, "", Startup, GENERAL, "The file that log lines are appended to; empty is standard output."),
    row(
        "loglevel",
        Choice(&["debug", "verbose", "notice", "warning", "nothing"]),
        "notice",
        Runtime,
        GENERAL,
        "The least important lines that are logged.",
    ),
    row(
        "shutdown-timeout",
        Int { min: 0, max: i32::MAX as i64 },
        "10",
        Runtime,
        GENERAL,
        "Seconds that a stopping server waits for its replicas to have all changes, and then for running commands and for clients to take their \
         replies.",
    )
    .live(|live, value| live.shutdown_timeout_s.store(number(value), Relaxed)),
    row(
        "activedefrag",
        Flag,
        "no",
        Runtime,
        MEMORY,
        "Whether entries are moved together in the background wherever partly used pages hold more than a twelfth of the data in vain. \
         With `maxmemory` that is done in any case once memory is short.",
    ),
    row("daemonize", Flag, "no", Startup, SERVICE, "Whether the server goes on in the background: the program returns once it listens, or with the one line that \
         says why it cannot. It then logs to `logfile` and `syslog-enabled` alone. Without `pidfile` its process id is in /var/run/redpoll.pid."),
    row(
        "supervised",
        Choice(&["upstart", "systemd", "auto", "no"]),
        "no",
        Startup,
        SERVICE,
        "Who is told that the data set is loaded and the server serves, and that it stops: systemd (`Type=notify`), upstart (`expect stop`), or `auto` for \
         whoever has started it. `daemonize` then has no effect.",
    ),
    row("syslog-enabled", Flag, "no", Startup, SERVICE, "Whether log lines also go to the log of the system."),
    row("syslog-ident", Text, "redis", Startup, SERVICE, "The name that they have there."),
    row("syslog-facility", Choice(FACILITIES), "local0", Startup, SERVICE, "The facility that they have there."),
    row(
        "shutdown-on-sigterm",
        ENDINGS,
        "default",
        Runtime,
        SERVICE,
        "What SIGTERM does, in the words of SHUTDOWN: `save` or `nosave`, `now`, `force`. A server that has to save and cannot goes on, \
         unless it is to leave by force. Valkey's `safe` and `failover` are about primaries of a cluster: a server that is in none stops as \
         without them, as it does there.",
    )
    .check(not_both),
    row("shutdown-on-sigint", ENDINGS, "default", Runtime, SERVICE, "The same of SIGINT.").check(not_both),
    row(
        "oom-score-adj",
        Choice(&["no", "yes", "relative", "absolute"]),
        "no",
        Runtime,
        SERVICE,
        "Whether the kernel is told how readily it may end the process when memory is short: by one of `oom-score-adj-values`, as it is (absolute) or \
         added to what the process had before (relative, yes).",
    ),
    row(
        "oom-score-adj-values",
        Words,
        "0 200 800",
        Runtime,
        SERVICE,
        "Three numbers from -2000 to 2000: of a server, of a replica, and of a process that saves, which there is none of.",
    )
    .check(three_scores),
    row("set-proc-title", Flag, "yes", Startup, SERVICE, "Whether `ps` shows the process as `proc-title-template` says."),
    row(
        "proc-title-template",
        Text,
        "{title} {listen-addr} {server-mode}",
        Runtime,
        SERVICE,
        "What `ps` shows: `{title}` is the program as it was called; `{listen-addr}`, `{server-mode}`, `{port}`, `{tls-port}`, `{unixsocket}` and \
         `{config-file}` are what they say.",
    )
    .check(title_template),
    row("server-cpulist", Text, "", Startup, SERVICE, "The processors that the threads of the server run on, as `0,2,4-7` or `0-7:2`; empty for all.")
        .alias(&["server_cpulist"])
        .check(cpu_list),
    row(
        "bio-cpulist",
        Text,
        "",
        Startup,
        SERVICE,
        "The processors that those of them run on which free large values, write the log and sync it, in the same form; empty for those \
         of `server-cpulist`.",
    )
    .alias(&["bio_cpulist"])
    .check(cpu_list),
    row("log-format", Choice(&["legacy", "logfmt"]), "legacy", Runtime, SERVICE, "The form of log lines: that of Redis, or fields with their names."),
    row(
        "log-timestamp-format",
        Choice(&["legacy", "iso8601", "milliseconds"]),
        "legacy",
        Runtime,
        SERVICE,
        "The time in log lines: as Redis writes it, as ISO 8601 has it, or in milliseconds since 1970.",
    ),
    row(
        "disable-thp",
        Flag,
        "no",
        Startup,
        GENERAL,
        "Ask the kernel for no transparent huge pages. Redpoll does not fork, so that they cost it nothing.",
    ),
    row(
        "lazyfree-lazy-user-flush",
        Flag,
        "no",
        Runtime,
        GENERAL,
        "Whether FLUSHALL and FLUSHDB without an option mean ASYNC.",
    )
    .live(|live, value| live.lazy_user_flush.store(flag(value), Relaxed)),
    row(
        "notify-keyspace-events",
        Events,
        "",
        Runtime,
        MESSAGES,
        "Which changes of keys are announced to subscribers. `K` announces them on `__keyspace@<db>__:<key>`, `E` on \
         `__keyevent@<db>__:<event>`; at least one of the two is needed. The others choose the events: `g` of commands for \
         all types, `$` strings, `l` lists, `s` sets, `h` hashes, `z` sorted sets, `t` streams, `x` expired, `e` evicted, \
         `d` modules, `A` all of these; `m` keys asked for that are not there, `n` new keys, `o` values overwritten, `c` \
         values replaced by one of another type. `S`, `T`, `I` and `V` say, beside that and for `h` only, which fields of a hash an event is \
         about: on `__subkeyspace@<db>__:<key>`, `__subkeyevent@<db>__:<event>`, `__subkeyspaceitem@<db>__:<key>\\n<field>` and \
         `__subkeyspaceevent@<db>__:<event>|<key>`.",
    )
    .live(|live, value| live.notify_keyspace_events.store(events(value), Relaxed)),
    row(
        "tracking-table-max-keys",
        Uint { min: 0, max: i64::MAX },
        "1000000",
        Runtime,
        MESSAGES,
        "Keys remembered for clients that cache them (CLIENT TRACKING); beyond that, keys are forgotten and their clients \
         told so. 0 for no bound.",
    )
    .live(|live, value| live.tracking_table_max_keys.store(number(value) as usize, Relaxed)),
    row(
        "slowlog-log-slower-than",
        Int { min: -1, max: LONG },
        "10000",
        Runtime,
        INSIGHT,
        "Microseconds from which a command is logged as slow (SLOWLOG, COMMANDLOG); 0 logs every command, -1 none.",
    )
    .alias(&["commandlog-execution-slower-than"])
    .live(|live, value| {
        live.logs[0].from.store(threshold(value), Relaxed);
        live.heed_thresholds();
    }),
    row("slowlog-max-len", Int { min: 0, max: LONG }, "128", Runtime, INSIGHT, "Entries of the log of slow commands; the oldest go first.")
        .alias(&["commandlog-slow-execution-max-len"])
        .live(|live, value| live.logs[0].most.store(number(value) as usize, Relaxed)),
    row(
        "commandlog-request-larger-than",
        Int { min: -1, max: LONG },
        "1048576",
        Runtime,
        INSIGHT,
        "Bytes from which a request is logged as large (COMMANDLOG); -1 for none.",
    )
    .live(|live, value| live.logs[1].from.store(threshold(value), Relaxed)),
    row("commandlog-large-request-max-len", Int { min: 0, max: LONG }, "128", Runtime, INSIGHT, "Entries of the log of large requests.")
        .live(|live, value| live.logs[1].most.store(number(value) as usize, Relaxed)),
    row(
        "commandlog-reply-larger-than",
        Int { min: -1, max: LONG },
        "1048576",
        Runtime,
        INSIGHT,
        "Bytes from which a reply is logged as large (COMMANDLOG); -1 for none.",
    )
    .live(|live, value| live.logs[2].from.store(threshold(value), Relaxed)),
    row("commandlog-large-reply-max-len", Int { min: 0, max: LONG }, "128", Runtime, INSIGHT, "Entries of the log of large replies.")
        .live(|live, value| live.logs[2].most.store(number(value) as usize, Relaxed)),
    row(
        "http-port",
        Int { min: 0, max: 65535 },
        "0",
        Runtime,
        INSIGHT,
        "The TCP port for HTTP: metrics for Prometheus at `/metrics`, `/healthz`, `/readyz`, and the console at `/`. 0 for none.",
    ),
    row(
        "http-bind",
        Words,
        "127.0.0.1 -::1",
        Runtime,
        INSIGHT,
        "Addresses to listen on for HTTP, written as for `bind`. Whoever may reach them still has to show a user or the token, unless the default \
         user needs no password; then `protected-mode` lets in only this machine.",
    ),
    row(
        "http-tls",
        Flag,
        "no",
        Runtime,
        INSIGHT,
        "Whether the HTTP port speaks TLS (HTTPS), with the same certificates and demands as `tls-port`.",
    ),
    row(
        "http-token",
        Text,
        "",
        Runtime,
        INSIGHT,
        "A token that lets whoever shows it have `/metrics` (`Authorization: Bearer ...`), without being a user; empty for none.",
    ),
    row(
        "memory-survey",
        Flag,
        "yes",
        Runtime,
        INSIGHT,
        "Whether a thread walks over all keys, with a hundredth of a core (a twentieth while the machine has little to do), so that MEMORY TREE can tell where \
         memory is by prefix, and INFO KEYSIZES how many keys there are of which size where they are many. After each walk it rests for a minute, or twice as long \
         as the walk took.",
    ),
    row(
        "hotkey-tracking",
        Flag,
        "yes",
        Runtime,
        INSIGHT,
        "Whether commands are sampled, by operations, time and bytes, so that HOTKEYS TOP, OBJECT FREQ without an LFU policy, the console and `/metrics` know \
         which keys are hot, and INFO SHARDS how long commands took on each. HOTKEYS START records without it.",
    )
    .live(|live, value| live.hotkey_tracking.store(flag(value), Relaxed)),
    row(
        "hotkey-top-k",
        Int { min: 0, max: 100 },
        "0",
        Runtime,
        INSIGHT,
        "Keys that HOTKEYS GET returns while no session was started, with their operations per second, as Valkey 9.2 does; 0: it returns none then. \
         HOTKEYS TOP knows the hottest keys in any case. Both know none with `hotkey-tracking no`.",
    ),
    row(
        "latency-monitor-threshold",
        Int { min: 0, max: LONG },
        "0",
        Runtime,
        INSIGHT,
        "Milliseconds from which LATENCY keeps what took long (commands, rounds of expiry); 0 for nothing.",
    )
    .live(|live, value| {
        live.latency_threshold_ms.store(number(value), Relaxed);
        live.heed_thresholds();
    }),
    row(
        "crash-log-enabled",
        Flag,
        "yes",
        Runtime,
        INSIGHT,
        "Whether a fatal signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is reported in the log before it ends the process: where in \
         the code, which command, of which client, and those before it. A panic ends one command, not the process, and is always reported.",
    )
    .live(|live, value| live.crash_log.store(flag(value), Relaxed)),
    row(
        "hide-user-data-from-log",
        Flag,
        "yes",
        Runtime,
        INSIGHT,
        "Whether the report of a crash or a panic leaves out the arguments of the command that ran, and what a panic says as far as it was put together \
         while the server ran. Passwords are left out of arguments in any case, and no other line of the log holds keys, values or arguments of clients, but for what DEBUG LOG and scripts write.",
    )
    .live(|live, value| live.hide_user_data.store(flag(value), Relaxed)),
    row(
        "latency-tracking",
        Flag,
        "yes",
        Runtime,
        INSIGHT,
        "Whether the time of every call is counted for LATENCY HISTOGRAM and the percentiles of INFO.",
    )
    .live(|live, value| live.latency_tracking.store(flag(value), Relaxed)),
    row(
        "latency-tracking-info-percentiles",
        Percentiles,
        "50 99 99.9",
        Runtime,
        INSIGHT,
        "Which percentiles INFO latencystats shows.",
    ),
    row(
        "hash-max-listpack-entries",
        Uint { min: 0, max: i64::MAX },
        "512",
        Runtime,
        DATA_TYPES,
        "Fields a hash may hold as a packed sequence.",
    )
    .alias(&["hash-max-ziplist-entries"])
    .live(|live, value| live.hash_max_listpack_entries.store(number(value) as usize, Relaxed)),
    row(
        "hash-max-listpack-value",
        Size { min: 0, max: i64::MAX },
        "64",
        Runtime,
        DATA_TYPES,
        "Bytes of the longest field name or value of a packed hash.",
    )
    .alias(&["hash-max-ziplist-value"])
    .live(|live, value| live.hash_max_listpack_value.store(number(value) as usize, Relaxed)),
    row(
        "list-max-listpack-size",
        Int { min: i32::MIN as i64, max: i32::MAX as i64 },
        "-2",
        Runtime,
        DATA_TYPES,
        "The size up to which a list is one packed sequence, and of the pieces a longer one is made of: so many elements, \
         or, if negative, 4 KB (-1), 8 KB (-2), 16 KB (-3), 32 KB (-4) or 64 KB (-5).",
    )
    .alias(&["list-max-ziplist-size"])
    .live(|live, value| live.list_max_listpack_size.store(number(value) as i32, Relaxed)),
    row(
        "list-compress-depth",
        Int { min: 0, max: i32::MAX as i64 },
        "0",
        Runtime,
        DATA_TYPES,
        "So many pieces at either end of a long list are kept as they are; those between them are compressed (LZF). 0 compresses none. \
         A list that is there already follows where it is changed.",
    )
    .live(|live, value| live.list_compress_depth.store(number(value) as usize, Relaxed)),
    row("set-max-intset-entries", Uint { min: 0, max: i64::MAX }, "512", Runtime, DATA_TYPES, "Integers a set may hold as a sorted array.")
        .live(|live, value| live.set_max_intset_entries.store(number(value) as usize, Relaxed)),
    row("set-max-listpack-entries", Uint { min: 0, max: i64::MAX }, "128", Runtime, DATA_TYPES, "Members a set may hold as a packed sequence.")
        .live(|live, value| live.set_max_listpack_entries.store(number(value) as usize, Relaxed)),
    row("set-max-listpack-value", Uint { min: 0, max: i64::MAX }, "64", Runtime, DATA_TYPES, "Bytes of the longest member of a packed set.")
        .live(|live, value| live.set_max_listpack_value.store(number(value) as usize, Relaxed)),
    row(
        "zset-max-listpack-entries",
        Uint { min: 0, max: i64::MAX },
        "128",
        Runtime,
        DATA_TYPES,
        "Members that a sorted set may have in its packed form.",
    )
    .alias(&["zset-max-ziplist-entries"])
    .live(|live, value| live.zset_max_listpack_entries.store(number(value) as usize, Relaxed)),
    row(
        "zset-max-listpack-value",
        Size { min: 0, max: i64::MAX },
        "64",
        Runtime,
        DATA_TYPES,
        "Bytes that a member of a sorted set in its packed form may have.",
    )
    .alias(&["zset-max-ziplist-value"])
    .live(|live, value| live.zset_max_listpack_value.store(number(value) as usize, Relaxed)),
    row(
        "stream-node-max-bytes",
        Size { min: 0, max: i64::MAX },
        "4096",
        Runtime,
        DATA_TYPES,
        "Bytes of a node of a stream; 0 for the most there may be.",
    )
    .live(|live, value| live.stream_node_max_bytes.store(number(value) as usize, Relaxed)),
    row(
        "stream-node-max-entries",
        Int { min: 0, max: i64::MAX },
        "100",
        Runtime,
        DATA_TYPES,
        "Entries of a node of a stream; 0 for no bound.",
    )
    .live(|live, value| live.stream_node_max_entries.store(number(value) as usize, Relaxed)),
    row(
        "stream-idmp-duration",
        Int { min: 1, max: 86400 },
        "100",
        Runtime,
        DATA_TYPES,
        "For how many seconds new streams remember the names of producers' messages (XADD IDMP).",
    )
    .live(|live, value| live.stream_idmp_duration.store(number(value) as usize, Relaxed)),
    row(
        "stream-idmp-maxsize",
        Int { min: 1, max: 10000 },
        "100",
        Runtime,
        DATA_TYPES,
        "How many names of messages new streams remember of each producer.",
    )
    .live(|live, value| live.stream_idmp_maxsize.store(number(value) as usize, Relaxed)),
    row(
        "rdbcompression",
        Flag,
        "yes",
        Runtime,
        DATA_TYPES,
        "Whether strings longer than 20 bytes are compressed where that makes them shorter, in DUMP, files and copies for replicas. Where many \
         short strings in a row do not get shorter, only some of the next are tried.",
    )
    .live(|live, value| live.rdb_compression.store(flag(value), Relaxed)),
    row(
        "hll-sparse-max-bytes",
        Size { min: 0, max: i64::MAX },
        "3000",
        Runtime,
        DATA_TYPES,
        "Bytes up to which a HyperLogLog stays sparse, its header included; it then takes 12 KB.",
    )
    .live(|live, value| live.hll_sparse_max_bytes.store(number(value) as usize, Relaxed)),
    row(
        "repl-backlog-size",
        Size { min: 1, max: LONG },
        "10485760",
        Runtime,
        REPLICATION,
        "Bytes of what was done that are kept for replicas that were away and come back: they get what they lack and need no copy of the data set.",
    ),
    row(
        "repl-backlog-ttl",
        Int { min: 0, max: LONG },
        "3600",
        Runtime,
        REPLICATION,
        "Seconds after which a primary without replicas keeps nothing more for them; 0: it always does.",
    ),
    row(
        "repl-diskless-sync",
        Flag,
        "yes",
        Runtime,
        REPLICATION,
        "Whether a copy of the data set is sent while it is written. No: it is written to a file first.",
    ),
    row(
        "repl-diskless-sync-delay",
        Int { min: 0, max: i32::MAX as i64 },
        "5",
        Runtime,
        REPLICATION,
        "Seconds that a copy of the data set waits for further replicas that want one.",
    ),
    row(
        "repl-diskless-sync-max-replicas",
        Int { min: 0, max: i32::MAX as i64 },
        "0",
        Runtime,
        REPLICATION,
        "So many replicas that want a copy of the data set are enough to begin at once; 0: the delay is always waited for.",
    ),
    row(
        "repl-ping-replica-period",
        Int { min: 1, max: i32::MAX as i64 },
        "10",
        Runtime,
        REPLICATION,
        "Seconds between two signs of life of a primary.",
    )
    .alias(&["repl-ping-slave-period"]),
    row(
        "repl-timeout",
        Int { min: 1, max: i32::MAX as i64 },
        "60",
        Runtime,
        REPLICATION,
        "Seconds without a sign of life after which a primary or a replica is given up.",
    ),
    row(
        "repl-disable-tcp-nodelay",
        Flag,
        "no",
        Runtime,
        REPLICATION,
        "Whether small pieces of the stream to replicas are gathered by the system: fewer packets, and up to 40 ms later.",
    ),
    row(
        "repl-spill-dir",
        Text,
        "",
        Runtime,
        REPLICATION,
        "The folder for what replicas miss while they load, once it outgrows memory; empty: that of the data.",
    ),
    row(
        "repl-spill-limit",
        Size { min: 0, max: LONG },
        "0",
        Runtime,
        REPLICATION,
        "Bytes that may lie there; a replica that lacks more has to begin again. 0: no limit but the disk.",
    ),
    row(
        "min-replicas-to-write",
        Int { min: 0, max: i32::MAX as i64 },
        "0",
        Runtime,
        REPLICATION,
        "Changes are refused while fewer replicas follow; 0: they never are.",
    )
    .alias(&["min-slaves-to-write"]),
    row(
        "min-replicas-max-lag",
        Int { min: 0, max: i32::MAX as i64 },
        "10",
        Runtime,
        REPLICATION,
        "Seconds since its last sign of life within which a replica counts as one that follows.",
    )
    .alias(&["min-slaves-max-lag"]),
    row(
        "replicaof",
        Words,
        "",
        Startup,
        REPLICATION,
        "Host and port of the primary that this server follows; empty, or `no one`: none. REPLICAOF changes it.",
    )
    .alias(&["slaveof"])
    .check(primary_address),
    row(
        "masterauth",
        Text,
        "",
        Runtime,
        REPLICATION,
        "The password that the primary asks for.",
    )
    .alias(&["primaryauth"]),
    row(
        "bind-source-addr",
        Text,
        "",
        Runtime,
        REPLICATION,
        "The address that connections to a primary come from; empty for what the system chooses, which it also does where this one cannot be had.",
    ),
    row(
        "masteruser",
        Text,
        "",
        Runtime,
        REPLICATION,
        "The user of the primary that a replica is; empty for its default user.",
    )
    .alias(&["primaryuser"]),
    row(
        "tls-client-cert-file",
        Text,
        "",
        Runtime,
        TLS,
        "The certificate that this server shows where it is itself a client (`tls-replication`), in PEM form; empty for that of `tls-cert-file`.",
    ),
    row("tls-client-key-file", Text, "", Runtime, TLS, "The private key of that certificate, in PEM form."),
    row("tls-client-key-file-pass", Text, "", Runtime, TLS, "The password that protects that key (PKCS #8)."),
    row("tls-replication", Flag, "no", Runtime, REPLICATION, "Whether TLS is spoken with the primary, and by MIGRATE."),
    row(
        "replica-read-only",
        Flag,
        "yes",
        Runtime,
        REPLICATION,
        "Whether clients of a replica may not write. What they write stays here, and goes with the next copy of the primary's data set.",
    )
    .alias(&["slave-read-only"]),
    row(
        "replica-serve-stale-data",
        Flag,
        "yes",
        Runtime,
        REPLICATION,
        "Whether a replica without a link to its primary answers from the data that it has; no: with MASTERDOWN.",
    )
    .alias(&["slave-serve-stale-data"]),
    row(
        "repl-diskless-load",
        Choice(&["disabled", "on-empty-db", "swapdb", "flush-before-load"]),
        "disabled",
        Runtime,
        REPLICATION,
        "How a replica takes a copy of the primary's data set. `disabled`: it goes to a file first, and nothing is removed before it is \
         known that it can be loaded; where there are no keys yet and no append-only file, it is built while it goes there. `swapdb`: it \
         is built beside the old data, which are served until the new ones take their place at one moment, so both take memory. \
         `on-empty-db`: straight from the connection if there are no keys, else as `disabled`. `flush-before-load`: straight from \
         the connection, after the old data were removed.",
    ),
    row(
        "rdb-del-sync-files",
        Flag,
        "no",
        Runtime,
        REPLICATION,
        "Whether the file that a copy of the primary's data set came in goes again, where there are neither snapshots nor a log. Else it \
         is the snapshot.",
    ),
    row(
        "replica-ignore-maxmemory",
        Flag,
        "yes",
        Runtime,
        REPLICATION,
        "Whether a replica evicts nothing by itself: its primary does.",
    )
    .alias(&["slave-ignore-maxmemory"])
    .live(|live, value| live.replica_ignore_maxmemory.store(flag(value), Relaxed)),
    row(
        "replica-priority",
        Int { min: 0, max: i32::MAX as i64 },
        "100",
        Runtime,
        REPLICATION,
        "Among several replicas a sentinel makes the one with the lowest priority the primary; 0: never this one.",
    )
    .alias(&["slave-priority"]),
    row(
        "replica-announced",
        Flag,
        "yes",
        Runtime,
        REPLICATION,
        "Whether sentinels are to tell clients of this replica.",
    ),
    row(
        "replica-announce-ip",
        Text,
        "",
        Runtime,
        REPLICATION,
        "The address under which others reach this replica, if not that from which it comes.",
    )
    .alias(&["slave-announce-ip"]),
    row(
        "replica-announce-port",
        Int { min: 0, max: 65535 },
        "0",
        Runtime,
        REPLICATION,
        "The port under which others reach this replica; 0: that on which it listens.",
    )
    .alias(&["slave-announce-port"]),
    row(
        "rdb-key-save-delay",
        Int { min: i32::MIN as i64, max: i32::MAX as i64 },
        "0",
        Runtime,
        TESTS,
        "Microseconds that a snapshot or a copy of the data set that begins from now on stops after each key; a negative number is so many \
         keys that it stops for one.",
    )
    .hidden(),
    row(
        "key-load-delay",
        Int { min: i32::MIN as i64, max: i32::MAX as i64 },
        "0",
        Runtime,
        TESTS,
        "The same for loading a snapshot or a copy, and for each command of a log. Clients are answered meanwhile; 0 ends it at once.",
    )
    .hidden(),
];
