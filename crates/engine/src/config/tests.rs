//! The table as a whole: what a file, a flag and a client can do to it.

use super::page::markdown;
use super::*;
use crate::config::host::{Host, OnFailure, ShutdownMode};

/// A host that refuses the directive it is given and remembers what it was told.
#[derive(Default)]
struct Picky {
    refuses: &'static str,
    told: Mutex<Vec<String>>,
}

impl Host for Picky {
    fn shutdown(&self, _mode: ShutdownMode, _failed: OnFailure) -> Result<(), String> {
        Ok(())
    }

    fn applied(&self, directive: &str, config: &Config) -> Result<(), String> {
        let value = config.text(directive);
        self.told.lock().push(format!("{directive}={value}"));
        if directive == self.refuses && value == "7001" {
            Err("Unable to listen on this port.".into())
        } else {
            Ok(())
        }
    }

    fn info(&self, _section: &str, _into: &mut String) {}
}

fn from(args: &[&str]) -> Result<Config, String> {
    Config::from_args_and(args.iter().map(OsString::from), &mut std::io::empty())
        .map_err(|e| e.to_string())
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    (config.set(&pairs, &Picky::default())).map_err(|error| error.into_text().into_owned())
}

fn get(config: &Config, pattern: &str) -> Vec<String> {
    let mut found = Vec::new();
    config.get_matching(pattern.as_bytes(), &mut |name, value| {
        found.push(format!("{name}={value}"))
    });
    found
}

#[test]
fn every_default_is_a_value_of_its_kind_and_every_name_is_there_once() {
    let mut names = std::collections::HashSet::new();
    for row in DIRECTIVES.iter() {
        assert!(row.parse_default().is_ok(), "{}", row.name);
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(names.insert(*name), "{name} twice");
            assert_eq!(*name, name.to_ascii_lowercase());
        }
        assert_eq!(row.built, !row.doc.is_empty(), "{}", row.name);
    }
}

#[test]
fn flags_set_values_and_the_last_one_counts() {
    let config = from(&[
        "--port",
        "7000",
        "--bind",
        "127.0.0.1",
        "-::1",
        "--io-threads",
        "3",
        "--port",
        "7001",
    ])
    .unwrap();
    assert_eq!((config.port(), config.threads()), (7001, 3));
    assert_eq!(config.bind(), ["127.0.0.1", "-::1"]);
    assert_eq!(config.databases(), 16);
    assert_eq!(config.requirepass(), None);
    assert_eq!(
        config
            .live
            .maxclients
            .load(std::sync::atomic::Ordering::Relaxed),
        10000
    );
    let config = from(&[
        "--maxclients",
        "77",
        "--requirepass",
        "a b",
        "--unixsocketperm",
        "700",
    ])
    .unwrap();
    assert_eq!(
        config
            .live
            .maxclients
            .load(std::sync::atomic::Ordering::Relaxed),
        77
    );
    assert_eq!(config.requirepass().as_deref(), Some("a b"));
    assert_eq!(config.unixsocketperm(), Some(0o700));
}

#[test]
fn an_error_names_the_place_and_the_reason() {
    let error = |args: &[&str]| from(args).unwrap_err();
    assert_eq!(
        error(&["--port", "abc"]),
        "command line: 'port \"abc\"': argument couldn't be parsed into an integer"
    );
    assert_eq!(
        error(&["--foo", "b r"]),
        "command line: 'foo \"b r\"': Bad directive or wrong number of arguments"
    );
    assert_eq!(
        error(&["--port"]),
        "command line: 'port': wrong number of arguments"
    );
    assert_eq!(
        error(&["--maxclients", "1", "2"]),
        "command line: 'maxclients \"1\" \"2\"': wrong number of arguments"
    );
}

#[test]
fn what_is_not_built_is_refused_and_its_absence_accepted() {
    let plain = [
        "--appendonly",
        "no",
        "--save",
        "",
        "--maxmemory",
        "0mb",
        "--cluster-enabled",
        "NO",
    ];
    from(&plain).unwrap();
    for (name, value) in [
        ("mptcp", "yes"),
        ("cluster-enabled", "yes"),
        ("watchdog-period", "100"),
    ] {
        let error = from(&[&format!("--{name}"), value]).unwrap_err();
        assert!(error.contains("is not built yet"), "{error}");
        let error = set(&Config::default(), &[(name, value)]).unwrap_err();
        assert!(
            error.contains("is not built yet") || error.contains("immutable"),
            "{error}"
        );
    }
    let error = from(&["--rename-command", "GET"]).unwrap_err();
    assert!(error.contains("wrong number of arguments"), "{error}");
    let config = Config::default();
    set(&config, &[("maxmemory-policy", "noeviction")]).unwrap();
    // A value that is no value at all is told from one that is only missing its feature.
    let error = set(&config, &[("appendonly", "2")]).unwrap_err();
    assert_eq!(
        error,
        "ERR CONFIG SET failed (possibly related to argument 'appendonly') - argument must be 'yes' or 'no'"
    );
}

#[test]
fn the_lines_of_a_stock_redis_conf_load() {
    let path = std::env::temp_dir().join(format!("redpoll-stock-{}.conf", std::process::id()));
    let lines = "bind 127.0.0.1 -::1\nprotected-mode yes\nport 6379\ntcp-backlog 511\ntimeout 0\ntcp-keepalive 300\n\
        daemonize no\npidfile /var/run/redis_6379.pid\nloglevel notice\nlogfile \"\"\ndatabases 16\nalways-show-logo no\n\
        set-proc-title yes\nproc-title-template \"{title} {listen-addr} {server-mode}\"\nlocale-collate \"\"\n\
        stop-writes-on-bgsave-error yes\nrdbcompression yes\nrdbchecksum yes\ndbfilename dump.rdb\nrdb-del-sync-files no\n\
        dir ./\nreplica-serve-stale-data yes\nreplica-read-only yes\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 5\n\
        repl-diskless-sync-max-replicas 0\nrepl-diskless-load disabled\nrepl-disable-tcp-nodelay no\n\
        replica-priority 100\nacllog-max-len 128\nlazyfree-lazy-eviction no\nlazyfree-lazy-expire no\n\
        lazyfree-lazy-server-del no\nreplica-lazy-flush no\nlazyfree-lazy-user-del no\nlazyfree-lazy-user-flush no\n\
        oom-score-adj no\noom-score-adj-values 0 200 800\ndisable-thp yes\nappendonly no\n\
        appendfilename \"appendonly.aof\"\nappenddirname \"appendonlydir\"\nappendfsync everysec\n\
        no-appendfsync-on-rewrite no\nauto-aof-rewrite-percentage 100\nauto-aof-rewrite-min-size 64mb\n\
        aof-load-truncated yes\naof-use-rdb-preamble yes\naof-timestamp-enabled no\nslowlog-log-slower-than 10000\n\
        slowlog-max-len 128\nlatency-monitor-threshold 0\nnotify-keyspace-events \"\"\nhash-max-listpack-entries 512\n\
        hash-max-listpack-value 64\nlist-max-listpack-size -2\nlist-compress-depth 0\nset-max-intset-entries 512\n\
        set-max-listpack-entries 128\nset-max-listpack-value 64\nzset-max-listpack-entries 128\n\
        zset-max-listpack-value 64\nhll-sparse-max-bytes 3000\nstream-node-max-bytes 4096\n\
        stream-node-max-entries 100\nactiverehashing yes\nclient-output-buffer-limit normal 0 0 0\n\
        client-output-buffer-limit replica 256mb 64mb 60\nclient-output-buffer-limit pubsub 32mb 8mb 60\nhz 10\n\
        dynamic-hz yes\naof-rewrite-incremental-fsync yes\nrdb-save-incremental-fsync yes\njemalloc-bg-thread yes\n";
    // What that of Valkey 9 has beside it, or otherwise.
    let valkey = "pidfile /var/run/valkey_6379.pid\nhide-user-data-from-log yes\ndual-channel-replication-enabled no\n\
        lazyfree-lazy-eviction yes\nlazyfree-lazy-expire yes\nlazyfree-lazy-server-del yes\nreplica-lazy-flush yes\n\
        lazyfree-lazy-user-del yes\nlazyfree-lazy-user-flush yes\n";
    for lines in [lines.to_owned(), lines.to_owned() + valkey] {
        std::fs::write(&path, lines).unwrap();
        from(&[path.to_str().unwrap()]).unwrap();
    }
    let config = from(&[path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    let config = config.unwrap();
    assert_eq!(config.file(), Some(path.as_path()));
    assert_eq!(config.bind(), ["127.0.0.1", "-::1"]);
}

#[test]
fn what_changes_nothing_takes_any_value_and_says_why() {
    let config = from(&[
        "--hz",
        "100",
        "--lazyfree-lazy-expire",
        "yes",
        "--dynamic-hz",
        "yes",
    ])
    .unwrap();
    let moot: Vec<&str> = config.moot().iter().map(|(name, _)| *name).collect();
    assert_eq!(moot, ["hz", "lazyfree-lazy-expire"]);
    set(&config, &[("activerehashing", "no")]).unwrap();
    assert_eq!(config.text("activerehashing"), "no");
    assert!(from(&["--hz", "fast"]).is_err());
    assert!(Config::why_moot("HZ").is_some() && Config::why_moot("port").is_none());
    for row in moot::MOOT {
        // It is quoted behind "changes nothing: ".
        assert!(
            !row.doc.ends_with('.') && row.apply.is_none(),
            "{}",
            row.name
        );
    }
}

#[test]
fn save_points_of_several_lines_add_up() {
    let save = |args: &[&str]| from(args).unwrap().text("save");
    assert_eq!(
        save(&["--save", "3600", "1", "--save", "60 100"]),
        "3600 1 60 100"
    );
    assert_eq!(
        save(&["--save", "3600", "1", "--save", "", "--save", "5", "6"]),
        "5 6"
    );
    assert_eq!(save(&["--save", "3600", "1", "--save"]), "");
    let config = from(&["--save", "3600", "1"]).unwrap();
    set(&config, &[("save", "7 8")]).unwrap();
    assert_eq!(config.text("save"), "7 8");
}

#[test]
fn config_get_matches_names_and_aliases() {
    let config = Config::default();
    assert_eq!(get(&config, "Port"), ["Port=6379"]);
    assert_eq!(get(&config, "P[o]rt"), ["port=6379"]);
    assert_eq!(get(&config, "slaveof"), ["slaveof="]);
    assert_eq!(get(&config, "slave-read*"), ["slave-read-only=yes"]);
    assert_eq!(
        get(&config, "proto-max-bulk-len"),
        ["proto-max-bulk-len=536870912"]
    );
    assert_eq!(
        get(&config, "client-output*"),
        [
            "client-output-buffer-limit=normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        ]
    );
    assert!(get(&config, "nothing").is_empty() && get(&config, "\u{1}*").is_empty());
    assert!(get(&config, "*").len() > 150);
    config.get_matching(b"\xff", &mut |name, _| panic!("{name}"));
}

#[test]
fn config_set_errors_are_those_of_redis() {
    let config = Config::default();
    let error = |pairs: &[(&str, &str)]| set(&config, pairs).unwrap_err();
    assert_eq!(
        error(&[("foo", "1")]),
        "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"
    );
    let about = |name: &str, reason: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    };
    assert_eq!(
        error(&[("databases", "3")]),
        about("databases", "can't set immutable config")
    );
    assert_eq!(
        error(&[("dir", "/")]),
        about("dir", "can't set protected config")
    );
    assert_eq!(
        error(&[("timeout", "1"), ("TIMEOUT", "2")]),
        about("TIMEOUT", "duplicate parameter")
    );
    assert_eq!(
        error(&[("timeout", "-1")]),
        about(
            "timeout",
            "argument must be between 0 and 2147483647 inclusive"
        )
    );
    let integer = "argument couldn't be parsed into an integer";
    assert_eq!(error(&[("TimeOut", "x")]), about("timeout", integer));
    assert_eq!(config.text("timeout"), "0");
}

#[test]
fn config_set_changes_all_or_nothing() {
    let config = Config::default();
    let error = set(&config, &[("tcp-keepalive", "400"), ("maxclients", "0")]).unwrap_err();
    assert!(error.contains("'maxclients'"));
    assert_eq!(config.text("tcp-keepalive"), "300");

    let host = Picky {
        refuses: "port",
        ..Picky::default()
    };
    let pairs: [(&[u8], &[u8]); 2] = [(b"timeout", b"5"), (b"port", b"7001")];
    let error = config.set(&pairs, &host).unwrap_err();
    assert_eq!(
        error.text(),
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port."
    );
    assert_eq!((config.text("timeout"), config.port()), ("0".into(), 6379));
    assert_eq!(
        config
            .live
            .timeout_s
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
    assert_eq!(
        *host.told.lock(),
        ["timeout=5", "port=7001", "timeout=0", "port=6379"]
    );

    config.set(&pairs, &Picky::default()).unwrap();
    assert_eq!((config.text("timeout"), config.port()), ("5".into(), 7001));
    assert_eq!(
        config
            .live
            .timeout_s
            .load(std::sync::atomic::Ordering::Relaxed),
        5
    );
}

/// Their lengths are written with 32 bits.
#[test]
fn no_argument_may_be_of_4_gib_or_more() {
    let mut config = Config::default();
    config
        .directive("proto-max-bulk-len", &["4294967295"])
        .unwrap();
    for long in ["4294967296", "4gb", "1tb"] {
        assert!(config.directive("proto-max-bulk-len", &[long]).is_err());
    }
}

#[test]
fn protected_directives_ask_who_is_calling() {
    let mut config = Config::default();
    let pair: [(&[u8], &[u8]); 1] = [(b"dir", b"/tmp")];
    assert!(config.set_for(&pair, &Picky::default(), true).is_err());
    config
        .directive("enable-protected-configs", &["local"])
        .unwrap();
    assert!(config.set_for(&pair, &Picky::default(), false).is_err());
    config.set_for(&pair, &Picky::default(), true).unwrap();
    assert_eq!(config.text("dir"), "/tmp");
}

/// Set REDPOLL_BLESS=1 to write the page instead of comparing it.
#[test]
fn the_page_of_directives_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("REDPOLL_BLESS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/configuration.md is out of date: REDPOLL_BLESS=1 cargo test -p redpoll-engine config"
    );
}
