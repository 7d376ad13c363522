//! INFO's sections and what their lines count.

use super::memory::human;
use super::*;
use crate::base::replication::{FAILING_OVER, STOPPING};
use crate::testing::{TestClient, run};

/// The lines of an INFO reply.
fn lines(reply: &str) -> Vec<String> {
    let text = reply.trim_start_matches("=txt:").trim_matches('"');
    text.split("\\r\\n").map(str::to_owned).collect()
}

fn headers(line: &str) -> Vec<String> {
    let lines = lines(&run(line));
    lines
        .iter()
        .filter_map(|l| l.strip_prefix("# "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn sections_are_chosen_by_name() {
    let all: Vec<&str> = SECTIONS.iter().map(|s| s.name).collect();
    let default: Vec<&str> = SECTIONS
        .iter()
        .filter(|s| s.by_default)
        .map(|s| s.name)
        .collect();
    assert_eq!(headers("INFO"), default);
    assert_eq!(headers("INFO default"), default);
    assert_eq!(headers("INFO ALL"), all);
    assert_eq!(headers("INFO everything"), all);
    assert_eq!(
        headers("INFO keyspace SERVER server"),
        ["Server", "Keyspace"]
    );
    assert_eq!(headers("INFO default commandstats latencystats"), all);
    assert_eq!(run("INFO nosuch"), "\"\"");
    assert_eq!(
        run("INFO cluster modules"),
        r##""# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n""##
    );
    assert!(
        TestClient::new()
            .resp3()
            .run("INFO cpu")
            .starts_with("=txt:\"# CPU")
    );
}

#[test]
fn lines_are_a_name_and_a_value() {
    for line in lines(&run("SET k v; SET t v EX 100; INFO everything")) {
        let pair = line
            .split_once(':')
            .is_some_and(|(name, _)| !name.contains(' '));
        assert!(line.is_empty() || line.starts_with("# ") || pair, "{line}");
    }
}

#[test]
fn commands_and_errors_are_counted() {
    let mut c = TestClient::new();
    c.run("SET k v; SET k v; GET; GET k; GET nosuch; INCR k; HELLO 9; CLIENT ID; CLIENT nosuch; NOSUCH");
    let report = lines(&c.run("INFO commandstats errorstats stats"));
    let counts = |name: &str| {
        let line = report
            .iter()
            .find(|l| l.starts_with(&format!("cmdstat_{name}:")))
            .unwrap();
        let number = |field: &str| {
            let field = line
                .split([':', ','])
                .find_map(|f| f.strip_prefix(&format!("{field}=")));
            field.unwrap().parse::<u64>().unwrap()
        };
        (
            number("calls"),
            number("rejected_calls"),
            number("failed_calls"),
        )
    };
    assert_eq!(counts("set"), (2, 0, 0));
    assert_eq!(counts("get"), (2, 1, 0));
    assert_eq!(counts("incr"), (1, 0, 1));
    assert_eq!(counts("client|id"), (1, 0, 0));
    for line in [
        "errorstat_ERR:count=4",
        "errorstat_NOPROTO:count=1",
        "keyspace_hits:1",
        "keyspace_misses:1",
        "total_error_replies:5",
    ] {
        assert!(report.iter().any(|l| l == line), "{line} in {report:?}");
    }
    for absent in ["cmdstat_del:", "cmdstat_client:"] {
        assert!(!report.iter().any(|l| l.starts_with(absent)));
    }
}

#[test]
fn keyspace_counts_keys_and_estimates_their_time() {
    let mut c = TestClient::new();
    c.run("SET a 1; SET b 1 PX 1000000; SELECT 9; SET c 1");
    let report = lines(&c.run("INFO keyspace"));
    let ttl = report[1]
        .strip_prefix("db0:keys=2,expires=1,avg_ttl=")
        .and_then(|rest| rest.strip_suffix(",subexpiry=0"))
        .expect("two keys");
    let ttl: u64 = ttl.parse().unwrap();
    assert!((900_000..=1_000_000).contains(&ttl), "{ttl}");
    assert_eq!(report[2], "db9:keys=1,expires=0,avg_ttl=0,subexpiry=0");
}

/// Keys with elements that expire are counted, however they came there and whatever becomes of them.
#[test]
fn keyspace_counts_keys_with_elements_that_expire() {
    let mut c = TestClient::new();
    let mut counts = |lines: &str, expected: &[(usize, usize)]| {
        c.run(lines);
        let report = self::lines(&c.run("INFO keyspace"));
        let counts: Vec<(usize, usize)> = report
            .iter()
            .filter(|line| line.starts_with("db"))
            .map(|line| {
                let (db, rest) = line.split_once(":keys=").expect("a database");
                let (_, timed) = rest.split_once(",subexpiry=").expect("the count");
                (db[2..].parse().unwrap(), timed.parse().unwrap())
            })
            .collect();
        assert_eq!(counts, expected, "after {lines}");
    };
    counts("SET x 1; HSET h f 1 g 2; HSET i f 1", &[(0, 0)]);
    counts("HPEXPIRE h 1000000 FIELDS 1 f", &[(0, 1)]);
    counts("HPEXPIRE h 1000000 FIELDS 1 g", &[(0, 1)]);
    counts(
        "COPY h j; RENAME h k; SADDEX s EX 1000 MEMBERS 2 m n",
        &[(0, 3)],
    );
    counts(
        "HSET i g 2; HPEXPIRE i 1000000 FIELDS 1 g; EXPIRE i 1000",
        &[(0, 4)],
    );
    counts("SET j 1; SADD t a; SINTERSTORE s t t", &[(0, 2)]);
    counts("MOVE i 1", &[(0, 1), (1, 1)]);
    counts("SWAPDB 0 1", &[(0, 1), (1, 1)]);
    counts("SET y 1; DEL i", &[(0, 0), (1, 1)]);
    counts("FLUSHDB; SELECT 1; DEL k", &[(1, 0)]);
    counts(
        "HSET h f 1; HPEXPIRE h 1000000 FIELDS 1 f; FLUSHALL; SET x 1",
        &[(1, 0)],
    );
}

/// A number of INFO.
fn number(c: &mut TestClient, name: &str) -> u64 {
    let name = format!("{name}:");
    let lines = lines(&c.run("INFO everything"));
    let value = lines.iter().find_map(|line| line.strip_prefix(&name));
    let value = value.unwrap_or_else(|| panic!("no {name}"));
    value.parse().unwrap_or_else(|_| panic!("{name}{value}"))
}

/// Every number that counts something, before and after what it counts.
#[test]
fn numbers_count_what_they_say() {
    let is_local = ("enable-debug-command", "yes");
    let long: String = "x ".repeat(2000);
    let many = format!("RPUSH long {long}");
    for (field, setup, line, change) in [
        // The two calls of INFO before count too.
        ("total_commands_processed", "", "PING", 3),
        ("total_error_replies", "", "NOSUCH", 1),
        ("keyspace_hits", "SET k v", "GET k", 1),
        ("keyspace_misses", "", "GET k", 1),
        (
            "expired_keys",
            "SET k v PX 1; DEBUG SLEEP 0.003",
            "GET k",
            1,
        ),
        (
            "expired_keys",
            "SET k v PX 1; DEBUG SLEEP 0.003",
            "SCAN 0 COUNT 1000",
            1,
        ),
        (
            "expired_keys",
            "SET k v PX 1; DEBUG SLEEP 0.003",
            "RANDOMKEY",
            1,
        ),
        (
            "expired_keys",
            "SET k v PX 1; DEBUG SLEEP 0.003; CLIENT PAUSE 100000 WRITE",
            "GET k",
            0,
        ),
        (
            "expired_keys",
            "SET k v PX 1; DEBUG SLEEP 0.003; CLIENT PAUSE 100000 WRITE",
            "SCAN 0 COUNT 1000",
            0,
        ),
        ("total_watched_keys", "", "WATCH a b a", 2),
        ("watching_clients", "", "WATCH a b a", 1),
        ("tracking_clients", "", "CLIENT TRACKING ON", 1),
        ("tracking_total_keys", "CLIENT TRACKING ON", "MGET a b", 2),
        ("tracking_total_items", "CLIENT TRACKING ON", "MGET a b", 2),
        (
            "tracking_total_prefixes",
            "",
            "CLIENT TRACKING ON BCAST PREFIX a PREFIX b",
            2,
        ),
        ("acl_access_denied_auth", "", "AUTH nosuch x", 1),
        ("number_of_cached_scripts", "", "EVAL \"return 1\" 0", 1),
        ("lazyfreed_objects", "MSET a 1 b 2 c 3", "FLUSHALL ASYNC", 3),
        ("lazyfreed_objects", "SETRANGE big 999999 x", "DEL big", 1),
        ("lazyfreed_objects", &many, "PING", 0),
    ] {
        let mut c = TestClient::with(&[is_local]);
        if !setup.is_empty() {
            c.run(setup);
        }
        let before = number(&mut c, field);
        c.run(line);
        // Freed on another thread.
        while number(&mut c, "lazyfree_pending_objects") > 0 {
            std::thread::yield_now();
        }
        let after = number(&mut c, field);
        assert_eq!(after - before, change, "{field}: {line}");
    }
    for (field, line) in [
        ("pubsub_channels", "SUBSCRIBE a b"),
        ("pubsub_patterns", "PSUBSCRIBE a b"),
        ("pubsubshard_channels", "SSUBSCRIBE a b"),
    ] {
        let mut c = TestClient::new();
        let mut other = c.another();
        other.raw(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(number(&mut c, field), 2, "{field}");
        assert_eq!(number(&mut c, "pubsub_clients"), 1, "{field}");
    }
}

#[test]
fn who_waits_for_the_end_of_a_pause_counts_as_blocked() {
    let mut c = TestClient::new();
    let mut other = c.another();
    c.run("CLIENT PAUSE 100000 WRITE");
    assert_eq!(number(&mut c, "blocked_clients"), 0);
    other.run("SET k v");
    assert_eq!(number(&mut c, "blocked_clients"), 1);
    c.run("CLIENT UNPAUSE");
    assert_eq!(number(&mut c, "blocked_clients"), 0);
    // So does FAILOVER hold changes up.
    other.run("PING");
    for (why, reason) in [
        (FAILING_OVER, "failover_in_progress"),
        (STOPPING, "shutdown_in_progress"),
    ] {
        c.engine.standing.close(why, true);
        other.run("SET k v");
        assert_eq!(number(&mut c, "blocked_clients"), 1);
        let clients = c.run("INFO clients");
        assert!(clients.contains(&format!("paused_reason:{reason}\\r\\n")));
        assert!(clients.contains("paused_actions:write\\r\\n"));
        c.engine.standing.close(why, false);
        assert_eq!(number(&mut c, "blocked_clients"), 0);
        assert!(c.run("INFO clients").contains("paused_reason:none\\r\\n"));
    }
}

/// Who waits, for what, and for how long.
#[test]
fn waiting_is_told() {
    let mut c = TestClient::new();
    let (mut a, mut b) = (c.another(), c.another());
    let numbers = |a: &mut TestClient| {
        [
            "blocked_clients",
            "clients_in_timeout_table",
            "total_blocking_keys",
            "total_blocking_keys_on_nokey",
        ]
        .map(|name| number(a, name))
    };
    assert_eq!(numbers(&mut c), [0, 0, 0, 0]);
    a.block("BLPOP x y 0");
    assert_eq!(numbers(&mut c), [1, 0, 2, 0]);
    b.block("BLPOP y z 1000");
    assert_eq!(numbers(&mut c), [2, 1, 3, 0]);
    c.run("RPUSH y 1 2");
    assert_eq!(numbers(&mut c), [0, 0, 0, 0]);
    c.run("XGROUP CREATE s g 0 MKSTREAM; XGROUP CREATE s h 0");
    a.block("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    b.block("XREADGROUP GROUP h c BLOCK 0 STREAMS s >");
    assert_eq!(numbers(&mut c), [2, 0, 1, 1]);
    c.run("XGROUP DESTROY s g");
    assert_eq!(numbers(&mut c), [1, 0, 1, 1]);
    drop(b);
    assert_eq!(numbers(&mut c), [0, 0, 0, 0]);
}

/// Clients that are disconnected by a limit: while a reply grows, by one command or by many of a transaction.
#[test]
fn disconnections_are_counted() {
    let mut c = TestClient::new();
    c.run("CONFIG SET client-output-buffer-limit \"normal 100000 0 0\"");
    c.raw(&["SET", "k", &"x".repeat(15_000)]);
    let queue = "GET k; ".repeat(10);
    for line in [
        &format!("MGET {}", "k ".repeat(10))[..],
        &format!("MULTI; {queue}EXEC"),
        "EVAL \"local t = {} for i = 1, 10 do t[i] = redis.call('get', 'k') end return t\" 0",
    ] {
        let before = number(&mut c, "client_output_buffer_limit_disconnections");
        let mut other = c.another();
        assert_eq!(other.run(line), "", "{line}");
        assert_eq!(other.asked, crate::testing::Asked::CloseNow, "{line}");
        let after = number(&mut c, "client_output_buffer_limit_disconnections");
        assert_eq!(after - before, 1, "{line}");
    }
    c.run("MGET k k k k k k");
    assert_eq!(c.asked, crate::testing::Asked::Nothing);
    c.run("CONFIG RESETSTAT");
    assert_eq!(
        number(&mut c, "client_output_buffer_limit_disconnections"),
        0
    );
}

#[test]
fn clients_and_pauses_are_told() {
    let mut c = TestClient::new();
    let other = c.another();
    let has =
        |c: &mut TestClient, line: &str| lines(&c.run("INFO clients")).iter().any(|l| l == line);
    assert!(has(&mut c, "connected_clients:2"));
    drop(other);
    assert!(has(&mut c, "connected_clients:1"));
    assert!(has(&mut c, "paused_actions:none"));
    c.run("CLIENT PAUSE 100000 WRITE");
    assert!(has(&mut c, "paused_actions:write"));
}

#[test]
fn sizes_for_people() {
    for (bytes, text) in [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.00K"),
        (1536 << 10, "1.50M"),
        (3 << 30, "3.00G"),
        (5 << 40, "5.00T"),
        (2 << 50, "2.00P"),
    ] {
        assert_eq!(human(bytes), text);
    }
}
