//! Several clients wait and are served. What they expect was looked up in Redis 8.2.

use crate::follow::waiting::GiveUp;
use crate::testing::{TestClient, check};
use std::sync::Barrier;
use std::sync::atomic::Ordering::Relaxed;

/// A client that runs commands, and one that waits.
fn two() -> (TestClient, TestClient) {
    let db = TestClient::new();
    let other = db.another();
    (db, other)
}

#[test]
fn what_is_there_is_popped_at_once() {
    let mut db = TestClient::new();
    db.run("ZADD b 1 x 2.5 y 3 z");
    db.check("BZPOPMIN a b 0", r#"["b" "x" "1"]"#);
    db.check("BZPOPMAX a b 0", r#"["b" "z" "3"]"#);
    db.check("BZMPOP 0 2 a b MAX COUNT 5", r#"["b" [["y" "2.5"]]]"#);
    let mut db = db.resp3();
    db.run("ZADD b 1 x 2.5 y 3 z");
    db.check("BZPOPMAX a b 0", r#"["b" "z" ,3]"#);
    db.check("BZMPOP 0 2 a b MIN", r#"["b" [["x" ,1]]]"#);
}

#[test]
fn arguments_are_checked_before_anything_is_waited_for() {
    const NO_FLOAT: &str = "-ERR timeout is not a float or out of range";
    const TOO_LONG: &str = "-ERR timeout is out of range";
    const SYNTAX: &str = "-ERR syntax error";
    for (timeout, error) in [
        ("x", NO_FLOAT),
        ("nan", NO_FLOAT),
        ("\"\"", NO_FLOAT),
        ("\" 1\"", NO_FLOAT),
        ("-1", "-ERR timeout is negative"),
        ("inf", TOO_LONG),
        ("1e100", TOO_LONG),
        ("9223372036854775", TOO_LONG),
    ] {
        check(&format!("BZPOPMIN a {timeout}"), error);
        check(&format!("BZMPOP {timeout} 1 a MAX"), error);
    }
    check("BZMPOP x 0 a MAX", "-ERR numkeys should be greater than 0");
    check("BZMPOP 0 2 a MAX", SYNTAX);
    check("BZMPOP x 1 a FOO", SYNTAX);
    check("BZMPOP 0 1 a MAX COUNT 1 COUNT 1", SYNTAX);
    check(
        "BZMPOP 0 1 a MAX COUNT 0",
        "-ERR count should be greater than 0",
    );
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    check("SET a 1; BZPOPMIN b a 0", wrong_type);
    check("SET a 1; BZMPOP 0 2 b a MIN", wrong_type);
}

#[test]
fn who_waits_longest_is_served_first() {
    let mut db = TestClient::new();
    let mut clients = [0; 4].map(|_| db.another());
    let calls = [
        "BZPOPMIN a 0",
        "BZPOPMAX a 0",
        "BZMPOP 0 1 a MAX COUNT 5",
        "BZPOPMIN a 0",
    ];
    for (client, call) in clients.iter_mut().zip(calls) {
        client.block(call);
    }
    db.run("ZADD a 1 a 2 b 3 c 4 d 5 e");
    let replies = [
        r#"["a" "a" "1"]"#,
        r#"["a" "e" "5"]"#,
        r#"["a" [["d" "4"] ["c" "3"] ["b" "2"]]]"#,
        "waits",
    ];
    for (client, reply) in clients.iter_mut().zip(replies) {
        client.check_blocked(reply);
    }
    db.check("EXISTS a", "0");
    db.run("ZADD a 7 z");
    clients[3].check_blocked(r#"["a" "z" "7"]"#);
    db.check("EXISTS a", "0");
    assert_eq!(db.engine.follow.effects.blocked.load(Relaxed), 0);
}

#[test]
fn every_command_that_makes_a_sorted_set_wakes() {
    for (before, wakes) in [
        ("PING", "ZADD a 1 x"),
        ("PING", "ZADD a INCR 1 x"),
        ("PING", "ZINCRBY a 1 x"),
        ("ZADD j 1 x", "ZUNIONSTORE a 1 j"),
        ("ZADD j 1 x", "ZINTERSTORE a 1 j"),
        ("ZADD j 1 x", "ZDIFFSTORE a 1 j"),
        ("ZADD j 1 x", "ZRANGESTORE a j 0 -1"),
        (
            "GEOADD j 1 1 x",
            "GEOSEARCHSTORE a j FROMMEMBER x BYRADIUS 1 m STOREDIST",
        ),
        ("GEOADD j 1 1 x", "GEORADIUS j 1 1 1 km STOREDIST a"),
        ("PING", "GEOADD a 1 1 x"),
        ("PING", "MULTI; ZADD a 1 x; EXEC"),
        ("ZADD j 1 x", "RENAME j a"),
        ("ZADD j 1 x", "RENAMENX j a"),
        ("ZADD j 1 x", "COPY j a"),
        ("ZADD j 1 x", "COPY j a REPLACE"),
        ("SELECT 1; ZADD a 1 x", "MOVE a 0; SELECT 0"),
        ("SELECT 1; ZADD a 1 x", "SWAPDB 0 1; SELECT 0"),
    ] {
        let (mut db, mut waits) = two();
        db.run(before);
        waits.block("BZPOPMIN a 0");
        db.run(wakes);
        let reply = waits.blocked_reply();
        assert!(reply.starts_with(r#"["a" "x" ""#), "{wakes}: {reply}");
        db.check("EXISTS a", "0");
    }
}

#[test]
fn a_restored_sorted_set_wakes() {
    let (mut db, mut waits) = two();
    db.run("ZADD j 1 x");
    let Some(resp::Value::Bulk(payload)) = db.call(&["DUMP", "j"]) else {
        panic!("a payload");
    };
    waits.block("BZPOPMIN a 0");
    db.call(&[b"RESTORE", &b"a"[..], b"0", &payload]);
    waits.check_blocked(r#"["a" "x" "1"]"#);
}

#[test]
fn other_changes_do_not_wake() {
    let (mut db, mut waits) = two();
    waits.block("BZPOPMIN a b 0");
    for line in [
        "SET a 1",
        "DEL a",
        "SADD a x",
        "DEL a",
        "MULTI; ZADD a 1 x; DEL a; EXEC",
        "ZADD a XX 1 x",
        "ZADD c 1 x",
        "SELECT 1; ZADD a 1 x",
    ] {
        db.run(line);
        waits.check_blocked("waits");
    }
    db.run("SELECT 0; ZADD b 1 x");
    waits.check_blocked(r#"["b" "x" "1"]"#);
}

#[test]
fn the_first_named_key_of_a_transaction_is_taken() {
    let (mut db, mut waits) = two();
    waits.block("BZPOPMIN a b 0");
    db.run("MULTI; ZADD b 1 x; ZADD a 2 y; EXEC");
    waits.check_blocked(r#"["a" "y" "2"]"#);
    waits.run("DEL a b");
    waits.block("BZMPOP 0 3 c a b MAX");
    db.run("MULTI; ZADD b 1 x; ZADD a 2 y; EXEC");
    waits.check_blocked(r#"["a" [["y" "2"]]]"#);
    waits.run("DEL a b");
    waits.block("BZPOPMIN a b 0");
    db.run("MULTI; SET a 1; ZADD b 1 x; EXEC");
    waits.check_blocked("-WRONGTYPE Operation against a key holding the wrong kind of value");
}

#[test]
fn in_a_transaction_nobody_waits() {
    check("MULTI; BZPOPMIN a 0; EXEC", "[nil]");
    check("MULTI; BZMPOP 0 1 a MIN; EXEC", "[nil]");
    check(
        "ZADD a 1 x; MULTI; BZPOPMIN a 0; BZPOPMIN a 0; EXEC",
        r#"[["a" "x" "1"] nil]"#,
    );
}

#[test]
fn a_wait_ends_without_a_member() {
    let (mut db, mut waits) = two();
    for call in ["BZPOPMIN a 0.01", "BZPOPMAX a 0.01", "BZMPOP 0.01 1 a MIN"] {
        waits.block(call);
        assert!(waits.waiter.as_ref().is_some_and(|w| w.until.is_some()));
        assert!(waits.give_up(GiveUp::Timeout));
        waits.check_blocked("nil");
    }
    waits.block("BZPOPMIN a 0");
    assert!(waits.waiter.as_ref().is_some_and(|w| w.until.is_none()));
    assert!(waits.give_up(GiveUp::Error));
    waits.check_blocked("-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    // Whoever has given up gets nothing.
    db.check("ZADD a 1 x; ZCARD a", "1");
}

#[test]
fn what_is_popped_for_somebody_is_announced() {
    let (mut db, mut waits) = two();
    waits.block("BZPOPMAX a 0");
    db.check_events("ZADD a 1 x", "zadd a, zpopmax a, del a");
    waits.check_blocked(r#"["a" "x" "1"]"#);
    waits.block("BZMPOP 0 1 a MIN COUNT 2");
    db.check_events("ZADD a 1 x 2 y 3 z", "zadd a, zpopmin a");
    let mut watches = db.another();
    watches.run("WATCH a");
    let mut other = db.another();
    other.check("BZPOPMIN a 1", r#"["a" "z" "3"]"#);
    watches.check("MULTI; PING; EXEC", "nil");
}

/// Keys of different shards change at the same time, one of them in a way that is of no use.
#[test]
fn nobody_is_forgotten_while_another_key_is_looked_at() {
    const TURNS: usize = 2000;
    let db = TestClient::with(&[("shards", "16")]);
    let (mut useless, mut pushes, mut waits) = (db.another(), db.another(), db.another());
    // Of one shard, who is served by the one would also see the other, which is of the wrong type.
    let ks = db.engine.keyspace();
    let shard = |key: &str| ks.place(key.as_bytes()).shard();
    let mut names = (0..).map(|n| format!("b{n}"));
    let b = names.find(|name| shard(name) != shard("a"));
    let b = b.expect("a key elsewhere");
    let (begin, end) = (&Barrier::new(3), &Barrier::new(3));
    let forgotten = std::thread::scope(|scope| {
        let turns = |mut work: Box<dyn FnMut() + Send>| {
            for _ in 0..TURNS {
                begin.wait();
                work();
                end.wait();
            }
        };
        let line = ["SADD a x"; 40].join("; SREM a x; ");
        let set = move || {
            useless.run(&line);
            useless.run("DEL a");
        };
        let mut turn = 0;
        let add_one = format!("ZADD {b} 1 x");
        let add = move || {
            turn += 1;
            for _ in 0..turn % 20 {
                pushes.run("PING");
            }
            pushes.run(&add_one);
        };
        scope.spawn(move || turns(Box::new(set)));
        scope.spawn(move || turns(Box::new(add)));
        let mut forgotten = 0;
        for _ in 0..TURNS {
            waits.block(&format!("BZPOPMIN a {b} 0"));
            begin.wait();
            end.wait();
            if waits.blocked_reply() == "waits" {
                forgotten += 1;
                waits.give_up(GiveUp::Leave);
                waits.run(&format!("DEL {b}"));
            }
        }
        forgotten
    });
    assert_eq!(forgotten, 0);
}
