//! Tests of expiring fields: replies as Redis 8.2.3 gives them.

use crate::door::record::EXPIRED_AT_ONCE;
use crate::testing::{TestClient, check};
use crate::upkeep::sweep::Sweep;
use std::time::Duration;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NO_FIELDS: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
const MISMATCH: &str = "-ERR The `numfields` parameter must match the number of arguments";
const NEGATIVE: &str = "-ERR invalid expire time, must be >= 0";

/// The last reply of commands on a hash with the fields a, b and c, of which a expires in 100 seconds; for each form.
#[track_caller]
fn on_hash(line: &str, expected: &str) {
    for entries in ["512", "0"] {
        let mut c = TestClient::with(&[("hash-max-listpack-entries", entries)]);
        c.check("HSET h a 1 b 2 c 3; HEXPIRE h 100 FIELDS 1 a", "[1]");
        let mut last = String::new();
        for command in line.split("; ") {
            last = c.run(command);
        }
        assert_eq!(
            last, expected,
            "reply of {line}, up to {entries} fields packed"
        );
    }
}

#[test]
fn setting_an_expiry() {
    on_hash("HTTL h FIELDS 3 a b zz", "[100 -1 -2]");
    on_hash("HEXPIRE h 50 NX FIELDS 3 a b zz", "[0 1 -2]");
    on_hash("HEXPIRE h 50 XX FIELDS 2 a b", "[1 0]");
    on_hash("HEXPIRE h 50 GT FIELDS 2 a b", "[0 0]");
    on_hash(
        "HEXPIRE h 500 GT FIELDS 2 a b; HTTL h FIELDS 2 a b",
        "[500 -1]",
    );
    on_hash("HEXPIRE h 50 LT FIELDS 2 a b", "[1 1]");
    on_hash("HEXPIRE h 500 LT FIELDS 2 a b", "[0 1]");
    on_hash("HPEXPIRE h 5000 FIELDS 1 b; HTTL h FIELDS 1 b", "[5]");
    on_hash(
        "HEXPIREAT h 70368744177 FIELDS 1 b; HPEXPIRETIME h FIELDS 1 b",
        "[70368744177000]",
    );
    on_hash(
        "HPEXPIREAT h 70368744177663 FIELDS 1 b; HEXPIRETIME h FIELDS 2 b c",
        "[70368744178 -1]",
    );
    on_hash(
        "HPEXPIREAT h 70368744177664 FIELDS 1 b",
        "-ERR invalid expire time in 'hpexpireat' command",
    );
    on_hash(
        "HEXPIRE h 9223372036854775807 FIELDS 1 b",
        "-ERR invalid expire time in 'hexpire' command",
    );
    on_hash(
        "HEXPIRE h 0 FIELDS 3 b b zz; HMGET h a b c",
        r#"["1" nil "3"]"#,
    );
    on_hash("HEXPIRE h 0 FIELDS 3 b b zz", "[2 -2 -2]");
    on_hash("HEXPIRE h 0 GT FIELDS 1 b", "[0]");
    on_hash("HPERSIST h FIELDS 3 a b zz", "[1 -1 -2]");
    on_hash("HPERSIST h FIELDS 1 a; HTTL h FIELDS 1 a", "[-1]");
    check("HEXPIRE h 10 FIELDS 2 a b", "[-2 -2]");
    check("HPERSIST h FIELDS 2 a b", "[-2 -2]");
    check("HTTL h FIELDS 2 a b", "[-2 -2]");
}

#[test]
fn what_writing_does_to_an_expiry() {
    on_hash("HSET h a 5; HTTL h FIELDS 1 a", "[-1]");
    on_hash("HSETNX h a 5; HTTL h FIELDS 1 a", "[100]");
    on_hash("HINCRBY h a 5; HTTL h FIELDS 1 a", "[100]");
    on_hash("HINCRBYFLOAT h a 0.5; HTTL h FIELDS 1 a", "[100]");
    on_hash("HDEL h a; HSET h a 1; HTTL h FIELDS 1 a", "[-1]");
    on_hash(
        "HSETEX h KEEPTTL FIELDS 2 a 5 b 6; HTTL h FIELDS 2 a b",
        "[100 -1]",
    );
    on_hash("HSETEX h FIELDS 1 a 5; HTTL h FIELDS 1 a", "[-1]");
    on_hash(
        "HSETEX h EX 50 FIELDS 2 a 5 b 6; HTTL h FIELDS 3 a b c",
        "[50 50 -1]",
    );
}

#[test]
fn getting_with_a_new_expiry() {
    on_hash("HGETEX h FIELDS 2 a zz", r#"["1" nil]"#);
    on_hash(
        "HGETEX h EX 50 FIELDS 2 a b; HTTL h FIELDS 3 a b c",
        "[50 50 -1]",
    );
    on_hash("HGETEX h PERSIST FIELDS 2 a b; HTTL h FIELDS 1 a", "[-1]");
    on_hash("HGETEX h PXAT 1 FIELDS 3 b b c", r#"["2" nil "3"]"#);
    on_hash("HGETEX h EXAT 1 FIELDS 3 a b c; EXISTS h", "0");
    on_hash("HGETEX h EX 10 PX 10 FIELDS 1 a", NO_FIELDS);
    on_hash("HGETEX h EX -1 FIELDS 1 a", NEGATIVE);
    on_hash(
        "HGETEX h EX x FIELDS 1 a",
        "-ERR value is not an integer or out of range",
    );
    on_hash(
        "HGETEX h EX 10 foo",
        "-ERR wrong number of arguments for 'hgetex' command",
    );
    on_hash(
        "HGETEX h FIELDS 0 a",
        "-ERR Number of fields must be a positive integer",
    );
    on_hash("HGETEX h FIELDS 2 a", MISMATCH);
    check("HGETEX h EX 10 FIELDS 2 a b", "[nil nil]");
    on_hash("HGETDEL h FIELDS 3 a a zz", r#"["1" nil nil]"#);
    on_hash("HGETDEL h FIELDS 1 a; HMGET h a b", r#"[nil "2"]"#);
    on_hash("HGETDEL h FIELDS 2 a", MISMATCH);
    check("HGETDEL h FIELDS 1 a", "[nil]");
}

#[test]
fn setting_with_conditions() {
    on_hash("HSETEX h FNX FIELDS 2 a 5 z 6; HMGET h a z", r#"["1" nil]"#);
    on_hash("HSETEX h FNX FIELDS 2 y 5 z 6", "1");
    on_hash("HSETEX h FXX FIELDS 2 a 5 z 6", "0");
    on_hash("HSETEX h FXX FIELDS 2 a 5 b 6", "1");
    on_hash("HSETEX h NX FIELDS 1 z 6", "0");
    on_hash("HSETEX h XX FNX FIELDS 1 z 6", "1");
    check("HSETEX h XX FIELDS 1 z 6; EXISTS h", "0");
    check("HSETEX h NX FIELDS 1 z 6", "1");
    check("HSETEX h FXX FIELDS 1 z 6; EXISTS h", "0");
    on_hash("HSETEX h EXAT 1 FIELDS 3 a 1 b 2 z 3; HKEYS h", r#"["c"]"#);
    check("HSETEX h EXAT 1 FIELDS 1 a 1", "1");
    check("HSETEX h EXAT 1 FIELDS 1 a 1; EXISTS h", "0");
    on_hash(
        "HSETEX h FXX FNX FIELDS 1 a 1",
        "-ERR Only one of FXX or FNX arguments can be specified",
    );
    on_hash("HSETEX h NX XX FIELDS 1 a 1", "-ERR syntax error");
    on_hash("HSETEX h NX EX -1 FIELDS 1 a 1", "0");
    on_hash(
        "HSETEX h EX -1 XX FIELDS 1 a 1",
        "-ERR invalid expire time in 'hsetex' command",
    );
    on_hash(
        "HSETEX h EX -1 XX FIELDS 2 a 1",
        "-ERR numfields should be greater than 0 and match the provided number of fields",
    );
    on_hash(
        "HSETEX h EX 10 KEEPTTL FIELDS 1 a 1",
        "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
    );
    on_hash(
        "HSETEX h PERSIST FIELDS 1 a 1",
        "-ERR unknown argument: PERSIST",
    );
    on_hash("HSETEX h FIELDS 0 a 1", "-ERR invalid number of fields");
    on_hash(
        "HSETEX h FIELDS 1 a 1 b 2",
        "-ERR wrong number of arguments for 'hsetex' command",
    );
    on_hash("HSETEX h EX -1 FIELDS 1 a 1", NEGATIVE);
    check("SET s x; HSETEX s EX -1 FIELDS 1 a 1", NEGATIVE);
    check("SET s x; HSETEX s FIELDS 1 a 1", WRONG_TYPE);
}

#[test]
fn the_order_of_checks() {
    for command in [
        "HEXPIRE s x FIELDS 1 a",
        "HTTL s foo 0 a",
        "HPERSIST s FIELDS 0 a",
        "HGETEX s EX -1 foo",
        "HGETDEL s FIELDS 3 a",
    ] {
        check(&format!("SET s x; {command}"), WRONG_TYPE);
    }
    on_hash(
        "HEXPIRE h x foo 1 a",
        "-ERR value is not an integer or out of range",
    );
    on_hash("HEXPIRE h -1 foo 1 a", NEGATIVE);
    on_hash("HEXPIRE h 10 foo 1 a", NO_FIELDS);
    on_hash(
        "HEXPIRE h 10 FIELDS 0 a",
        "-ERR Parameter `numFields` should be greater than 0",
    );
    on_hash("HEXPIRE h 10 FIELDS 2 a", MISMATCH);
    on_hash("HEXPIRE h 10 NX GT FIELDS 1 a", NO_FIELDS);
    on_hash("HEXPIRE h 10 GT LT FIELDS 1 a", NO_FIELDS);
    on_hash("HEXPIRE h 10 XX GT FIELDS 2 a", NO_FIELDS);
    on_hash("HEXPIRE h 200 XX GT FIELDS 2 a b", "[1 0]");
    on_hash(
        "HTTL h FIELDS x a",
        "-ERR Number of fields must be a positive integer",
    );
    on_hash("HTTL h foo 1 a", NO_FIELDS);
    on_hash("HTTL h FIELDS 5000000000 a", MISMATCH);
}

/// Nobody has removed them yet: no sweeper runs.
#[test]
fn expired_fields_are_not_seen() {
    for entries in ["512", "0"] {
        let mut c = TestClient::with(&[("hash-max-listpack-entries", entries)]);
        c.check("HSET h a 1 b 2 c 3; HPEXPIRE h 1 FIELDS 2 a b", "[1 1]");
        // Commands read the system's clock, which has to move past the fields' last millisecond.
        let due = crate::base::clock::unix_ms() + 2;
        while crate::base::clock::unix_ms() < due {
            std::hint::spin_loop();
        }
        c.check("HGET h a", "nil");
        c.check("HEXISTS h b", "0");
        c.check("HMGET h a b c", r#"[nil nil "3"]"#);
        c.check("HGETALL h", r#"["c" "3"]"#);
        c.check("HKEYS h", r#"["c"]"#);
        c.check("HRANDFIELD h 5", r#"["c"]"#);
        c.check("HRANDFIELD h", r#""c""#);
        c.check("HSCAN h 0", r#"["0" ["c" "3"]]"#);
        c.check("HTTL h FIELDS 3 a b c", "[-2 -2 -1]");
        c.check("HLEN h", "3");
        // Whoever writes removes them.
        c.check("HSETNX h a 5", "1");
        c.check("HLEN h", "2");
        c.check("HTTL h FIELDS 1 a", "[-1]");
    }
}

/// A write used to remove all that had expired, however many, while everybody who wanted the shard waited: a second for some millions of
/// fields. It removes the fields that it is about, and so many others as take no time to speak of.
#[test]
fn a_write_removes_few_of_very_many_that_have_expired() {
    let (n, mut c) = (12 * EXPIRED_AT_ONCE, TestClient::new());
    c.run("HSET h kept 1");
    for i in (0..n).step_by(500) {
        let names: Vec<String> = (i..n.min(i + 500)).map(|i| format!("f{i}")).collect();
        let (count, names) = (names.len(), names.join(" "));
        c.run(&format!(
            "HSETEX h PXAT 10000000000000 FIELDS {count} {} 1",
            names.replace(' ', " 1 ")
        ));
    }
    // All at once, as if their time had come.
    c.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for i in (0..n).step_by(500) {
        let names: Vec<String> = (i..n.min(i + 500)).map(|i| format!("f{i}")).collect();
        c.run(&format!(
            "HPEXPIRE h 700 FIELDS {} {}",
            names.len(),
            names.join(" ")
        ));
    }
    while c.run(&format!("HTTL h FIELDS 1 f{}", n - 1)) != "[-2]" {
        std::thread::yield_now();
    }
    c.check("HLEN h", &(n + 1).to_string());
    c.check_events("HSET h f1 x", "hexpired h, hset h");
    c.check("HINCRBY h f2 5", "5");
    c.check("HSETNX h f3 x", "1");
    c.check("HDEL h f4", "0");
    c.check("HEXPIRE h 100 FIELDS 1 f5", "[-2]");
    c.check("HSETEX h FNX FIELDS 2 f6 x f7 x", "1");
    c.check("HGETDEL h FIELDS 1 f8", "[nil]");
    c.check("HTTL h FIELDS 4 f1 f2 f3 f6", "[-1 -1 -1 -1]");
    let left: usize = c.run("HLEN h").parse().unwrap();
    assert!(
        left > n - 7 * (EXPIRED_AT_ONCE + 2),
        "{left} of {n} are left"
    );
    let shown = ["f1", "f2", "f3", "f6", "f7", "kept"].map(|f| format!("{f:?}"));
    let sorted = |reply: String| {
        let mut names: Vec<String> = reply
            .trim_matches(['[', ']'])
            .split(' ')
            .map(String::from)
            .collect();
        names.sort();
        names
    };
    assert_eq!(sorted(c.run("HKEYS h")), shown);
    assert_eq!(sorted(c.run("HRANDFIELD h 9")), shown);
    assert_eq!(sorted(c.run("HRANDFIELD h 1")).len(), 1);
    let mut picked = sorted(c.run("HRANDFIELD h -300"));
    picked.dedup();
    assert_eq!(picked, shown);
}

#[test]
fn the_sweeper_removes_fields_and_then_the_key() {
    for entries in ["512", "0"] {
        let mut c = TestClient::with(&[("hash-max-listpack-entries", entries)]);
        c.check("HSET h a 1 b 2 c 3; HPEXPIRE h 1 FIELDS 2 a b", "[1 1]");
        c.check("HSET gone a 1; HPEXPIRE gone 1 FIELDS 1 a", "[1]");
        c.check("HSET later a 1; HPEXPIRE later 100000 FIELDS 1 a", "[1]");
        let due = crate::base::clock::unix_ms() + 2;
        while crate::base::clock::unix_ms() < due {
            std::hint::spin_loop();
        }
        let counters = c.engine.add_counters();
        Sweep::default().slice(&c.engine, &counters, Duration::from_secs(10));
        c.check("DBSIZE", "2");
        c.check("HLEN h", "1");
        c.check("HLEN later", "1");
        c.check("EXISTS gone", "0");
    }
}

/// Of a large collection the sweep removes so many elements at a time, and says how many: where it said that nothing was due it would rest,
/// with expired elements left.
#[test]
fn the_sweeper_says_that_elements_were_due() {
    let names: Vec<String> = (0..2500).map(|n| format!("element:{n}")).collect();
    let (members, pairs) = (names.join(" "), names.join(" v ") + " v");
    for (add, expire) in [
        (format!("HSET k {pairs}"), "HPEXPIRE k 1 FIELDS"),
        (format!("SADD k {members}"), "SPEXPIRE k 1 MEMBERS"),
    ] {
        let mut c = TestClient::new();
        c.check(&add, "2500");
        c.run(&format!("{expire} 2500 {members}"));
        pass_two_milliseconds();
        let (mut sweep, counters) = (Sweep::default(), c.engine.add_counters());
        let mut slice = || sweep.slice(&c.engine, &counters, Duration::from_secs(10));
        assert_eq!([(); 4].map(|()| slice()), [1024, 1024, 452, 0], "{expire}");
        c.check("EXISTS k", "0");
    }
}

/// Waits until what expires in a millisecond from now has expired.
fn pass_two_milliseconds() {
    let due = crate::base::clock::unix_ms() + 2;
    while crate::base::clock::unix_ms() < due {
        std::hint::spin_loop();
    }
}

#[test]
fn that_fields_have_expired_is_announced_by_whoever_removes_them() {
    for (fields, call, events) in [
        ("a 1 b 2", "HSET h c 3", "hexpired h, hset h"),
        ("a 1", "HSET h a 1", "hexpired h, hset h"),
        ("a 1 b 2", "HDEL h a", "hexpired h"),
        ("a 1 b 2", "HDEL h b", "hexpired h, hdel h, del h"),
        ("a 1", "HDEL h a", "hexpired h, del h"),
        ("a 1 b x", "HINCRBY h b 1", "hexpired h"),
        (
            "a 1 b 2",
            "HINCRBYFLOAT h a 5",
            "hexpired h, hincrbyfloat h",
        ),
        ("a 1 b 2", "HEXPIRE h 9 FIELDS 1 a", "hexpired h"),
        (
            "a 1 b 2",
            "HEXPIRE h 0 FIELDS 1 b",
            "hexpired h, hdel h, del h",
        ),
        ("a 1", "HPERSIST h FIELDS 1 a", "hexpired h, del h"),
        (
            "a 1 b 2",
            "HGETDEL h FIELDS 2 a b",
            "hexpired h, hdel h, del h",
        ),
        (
            "a 1 b 2",
            "HGETEX h EX 9 FIELDS 2 a b",
            "hexpired h, hexpire h",
        ),
        ("a 1 b 2", "HSETNX h a 1", "hexpired h, hset h"),
        (
            "a 1 b 2",
            "HSETEX h FNX EX 9 FIELDS 1 a 1",
            "hexpired h, hset h, hexpire h",
        ),
        ("a 1 b 2", "HGETALL h", ""),
    ] {
        for entries in ["512", "0"] {
            let mut c = TestClient::with(&[("hash-max-listpack-entries", entries)]);
            c.run(&format!("HSET h {fields}; HPEXPIRE h 1 FIELDS 1 a"));
            pass_two_milliseconds();
            c.check_events(call, events);
            let expired = u64::from(!events.is_empty());
            assert_eq!(c.engine.stats().sum(|c| c.expired_fields.get()), expired);
        }
    }
}

#[test]
fn the_sweeper_announces_what_has_expired() {
    let mut c = TestClient::new();
    c.run("HSET h a 1 b 2; HPEXPIRE h 1 FIELDS 1 a");
    c.run("HSET gone a 1 b 2; HPEXPIRE gone 1 FIELDS 2 a b");
    c.run("SET s 1 PX 1; XADD x 1-1 a 1; XGROUP CREATE x g $");
    let mut waits = c.another();
    waits.block("XREADGROUP GROUP g c BLOCK 0 STREAMS x >");
    // Only now: it must not expire before somebody waits for it.
    c.run("PEXPIRE x 1");
    let mut watches = c.another();
    watches.run("WATCH h");
    pass_two_milliseconds();
    c.engine.follow.effects.recorded.lock().clear();
    let counters = c.engine.add_counters();
    Sweep::default().slice(&c.engine, &counters, Duration::from_secs(10));
    let mut events = c.engine.follow.effects.recorded.lock().clone();
    events.sort();
    assert_eq!(
        events,
        [
            "del gone",
            "expired s",
            "expired x",
            "hexpired gone",
            "hexpired h"
        ]
    );
    assert!(c.run("INFO stats").contains("\\nexpired_subkeys:3\\r"));
    watches.check("MULTI; PING; EXEC", "nil");
    waits.check_blocked(
        "-NOGROUP No such key 'x' or consumer group 'g' in XREADGROUP with GROUP option",
    );
}
