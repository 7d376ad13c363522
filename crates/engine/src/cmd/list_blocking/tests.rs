//! Several clients wait and are served. What they expect was looked up in Redis 8.2.

use crate::follow::waiting::GiveUp;
use crate::testing::{TestClient, check};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// A client that runs commands, and some that wait.
fn clients<const N: usize>() -> (TestClient, [TestClient; N]) {
    let db = TestClient::new();
    let others = [0; N].map(|_| db.another());
    (db, others)
}

#[test]
fn what_is_there_is_taken_at_once() {
    check("RPUSH b 1 2 3; BLPOP a b 0", r#"["b" "1"]"#);
    check("RPUSH b 1 2 3; BRPOP a b 0.5", r#"["b" "3"]"#);
    check("RPUSH b 1 2 3; BLMPOP 0 2 a b LEFT", r#"["b" ["1"]]"#);
    check(
        "RPUSH b 1 2 3; BLMPOP 0 2 a b RIGHT COUNT 2",
        r#"["b" ["3" "2"]]"#,
    );
    check("RPUSH b 1 2 3; BLMOVE b a LEFT RIGHT 0", r#""1""#);
    check("RPUSH b 1 2 3; BRPOPLPUSH b a 0; LRANGE a 0 -1", r#"["3"]"#);
    check(
        "RPUSH b 1 2 3; BLMOVE b b LEFT RIGHT 0; LRANGE b 0 -1",
        r#"["2" "3" "1"]"#,
    );
    check("RPUSH b 1; BLPOP b 0; EXISTS b", "0");
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
        ("-1", "-ERR timeout is negative"),
        ("-0.1", "-ERR timeout is negative"),
        ("inf", TOO_LONG),
        ("1e100", TOO_LONG),
        ("1e400", TOO_LONG),
        ("1e5000", NO_FLOAT),
        ("-1e400", "-ERR timeout is negative"),
        ("9223372036854775807", TOO_LONG),
    ] {
        check(&format!("BLPOP a {timeout}"), error);
        check(&format!("BRPOP a {timeout}"), error);
        check(&format!("BLMPOP {timeout} 1 a LEFT"), error);
        check(&format!("BLMOVE a b LEFT LEFT {timeout}"), error);
        check(&format!("BRPOPLPUSH a b {timeout}"), error);
    }
    let numkeys = "-ERR numkeys should be greater than 0";
    check("BLMPOP x 0 k LEFT", numkeys);
    check("BLMPOP 1 a k LEFT", numkeys);
    check("BLMPOP 1 2 k LEFT", SYNTAX);
    check("BLMPOP x 1 k FOO", SYNTAX);
    check("BLMPOP 1 1 k LEFT COUNT 1 COUNT 1", SYNTAX);
    check("BLMPOP 1 1 k LEFT FOO", SYNTAX);
    check(
        "BLMPOP 1 1 k LEFT COUNT 0",
        "-ERR count should be greater than 0",
    );
    check("BLMOVE a b LEFT FOO x", SYNTAX);
    // The timeout comes before the types of keys.
    check("SET a x; BLPOP a x", NO_FLOAT);
    check("SET a x; BLMOVE a b LEFT LEFT x", NO_FLOAT);
}

#[test]
fn keys_of_other_types() {
    check("SET k x; BLPOP j k 0", WRONG_TYPE);
    check("SET k x; BLMPOP 0 2 j k LEFT", WRONG_TYPE);
    check("SET k x; BLMOVE k j LEFT LEFT 0", WRONG_TYPE);
    check("SET k x; RPUSH j 1; BLPOP j k 0", r#"["j" "1"]"#);
    check("SET k x; RPUSH j 1; BLPOP k j 0", WRONG_TYPE);
    check("SET d x; RPUSH s 1; BLMOVE s d LEFT LEFT 0", WRONG_TYPE);
    // What becomes a string while it is waited for is waited for on.
    let (mut db, [mut a, mut b]) = clients();
    a.block("BLPOP k 0");
    db.run("SET k x; APPEND k y; DEL k; SADD k a");
    a.check_blocked("waits");
    db.run("DEL k; RPUSH k 1");
    a.check_blocked(r#"["k" "1"]"#);
    // A target of another type ends the wait, but takes nothing.
    a.block("BLMOVE s d LEFT RIGHT 0");
    b.block("BLPOP s 0");
    db.check("SET d x; RPUSH s 1 2", "2");
    a.check_blocked(WRONG_TYPE);
    b.check_blocked(r#"["s" "1"]"#);
    db.check("LRANGE s 0 -1", r#"["2"]"#);
    assert_eq!(db.engine.follow.effects.blocked.load(Relaxed), 0);
}

/// Commands that bring a list about under the key that is waited for, and some that do not.
#[test]
fn who_can_end_a_wait() {
    let one = r#"["k" "1"]"#;
    let dumped = r"\x12\x01\x02\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff\x0c\x00\xdb\xf4\xbb\x52\xf3\x99\x6a\x0f";
    for (before, call, reply) in [
        ("PING", "LPUSH k 1", one),
        ("PING", "RPUSH k 1", one),
        ("PING", "LPUSHX k 1", "waits"),
        ("PING", "LINSERT k BEFORE a b", "waits"),
        ("RPUSH j 1", "RENAME j k", one),
        ("RPUSH j 1", "RENAMENX j k", one),
        ("RPUSH j 1", "COPY j k", one),
        ("SET j 1", "COPY j k", "waits"),
        ("SELECT 1; RPUSH j 1", "COPY j k DB 0", one),
        ("SELECT 1; RPUSH k 1", "MOVE k 0", one),
        ("SELECT 1; RPUSH k 1; SELECT 0", "SWAPDB 0 1", one),
        ("SELECT 1; RPUSH k 1", "SWAPDB 2 1", "waits"),
        ("SELECT 1", "RPUSH k 1", "waits"),
        ("RPUSH j 3 1 2", "SORT j STORE k", one),
        ("PING", "SORT j STORE k", "waits"),
        ("RPUSH j 1", "LMOVE j k LEFT LEFT", one),
        ("RPUSH j 1", "RPOPLPUSH j k", one),
        ("RPUSH j 1", "BLMOVE j k LEFT LEFT 0", one),
        ("RPUSH j 1", "LMPOP 1 j LEFT", "waits"),
        ("MULTI; RPUSH k 1", "EXEC", one),
        ("MULTI; RPUSH k 1; DEL k", "EXEC", "waits"),
        (
            "MULTI; RPUSH k 1; RPUSH k 2; LPOP k; LPUSH k 1",
            "EXEC",
            one,
        ),
        ("RPUSH j 1", "EVAL \"redis.call('RENAME','j','k')\" 0", one),
        ("PING", "FLUSHALL", "waits"),
    ] {
        let (mut db, [mut waiting]) = clients();
        waiting.block("BLPOP i k 0");
        db.run(before);
        db.run(call);
        waiting.check_blocked(reply);
    }
    let (mut db, [mut waiting]) = clients();
    waiting.block("BLPOP k 0");
    db.check(&format!("RESTORE k 0 \"{dumped}\""), "OK");
    waiting.check_blocked(one);
    db.check("EXISTS k", "0");
}

#[test]
fn who_waits_longest_is_served_first() {
    let (mut db, [mut a, mut b, mut c]) = clients();
    a.block("BLPOP j k 0");
    b.block("BRPOP k j 0");
    c.block("BLMPOP 0 2 j k LEFT COUNT 5");
    db.run("RPUSH k 1");
    a.check_blocked(r#"["k" "1"]"#);
    b.check_blocked("waits");
    // Having been served, it is last.
    a.block("BLPOP k j 0");
    db.check("RPUSH j 2 3 4 5", "4");
    b.check_blocked(r#"["j" "5"]"#);
    c.check_blocked(r#"["j" ["2" "3" "4"]]"#);
    a.check_blocked("waits");
    c.block("BLPOP j 0");
    b.block("BLPOP j 0");
    db.run("RPUSH j 6; RPUSH j 7; RPUSH j 8");
    a.check_blocked(r#"["j" "6"]"#);
    c.check_blocked(r#"["j" "7"]"#);
    b.check_blocked(r#"["j" "8"]"#);
    db.check("DBSIZE", "0");
    assert_eq!(db.engine.follow.effects.blocked.load(Relaxed), 0);
    assert!(
        !db.engine.follow.effects.listening(),
        "nobody is listed any more"
    );
}

#[test]
fn keys_are_preferred_in_their_order() {
    let (mut db, [mut a]) = clients();
    a.block("BLPOP k1 k2 0");
    db.run("MULTI; RPUSH k2 x; RPUSH k1 y; EXEC");
    a.check_blocked(r#"["k1" "y"]"#);
    db.check("LLEN k2", "1");
    // A key that is named twice is waited for once.
    a.block("BLPOP k k 0");
    db.run("RPUSH k 1 2");
    a.check_blocked(r#"["k" "1"]"#);
    db.check("LLEN k", "1");
}

#[test]
fn one_wait_ends_another() {
    for c_first in [false, true] {
        let (mut db, [mut a, mut b, mut c]) = clients();
        if c_first {
            c.block("BLPOP c 0");
        }
        a.block("BLMOVE a b LEFT LEFT 0");
        b.block("BRPOPLPUSH b c 0");
        if !c_first {
            c.block("BLPOP c 0");
        }
        db.check("RPUSH a 1", "1");
        a.check_blocked(r#""1""#);
        b.check_blocked(r#""1""#);
        c.check_blocked(r#"["c" "1"]"#);
        db.check("DBSIZE", "0");
    }
    // A list that turns around serves all who turn it, and then those who take.
    let (mut db, [mut a, mut b, mut c, mut d]) = clients();
    a.block("BLMOVE s s LEFT RIGHT 0");
    b.block("BLMOVE s s LEFT RIGHT 0");
    c.block("BLPOP s 0");
    d.block("BLPOP s 0");
    db.check("RPUSH s 1", "1");
    a.check_blocked(r#""1""#);
    b.check_blocked(r#""1""#);
    c.check_blocked(r#"["s" "1"]"#);
    d.check_blocked("waits");
}

#[test]
fn replies_of_waits_in_vain() {
    let calls = [
        "BLPOP a 5",
        "BRPOP a 5",
        "BLMPOP 5 1 a LEFT",
        "BLMOVE a b LEFT LEFT 5",
        "BRPOPLPUSH a b 5",
    ];
    for call in calls {
        for how in [
            GiveUp::Timeout,
            GiveUp::Error,
            GiveUp::Replica,
            GiveUp::Leave,
        ] {
            let (mut db, [mut a, mut b]) = clients();
            a.block(call);
            b.block("BLPOP a 0");
            assert!(a.give_up(how), "nobody has served it");
            a.check_blocked(match how {
                GiveUp::Timeout => "nil",
                GiveUp::Error => "-UNBLOCKED client unblocked via CLIENT UNBLOCK",
                GiveUp::Replica => {
                    "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
                }
                GiveUp::Leave => "waits",
            });
            db.run("RPUSH a 1");
            b.check_blocked(r#"["a" "1"]"#);
        }
    }
    let (mut db, [mut a]) = clients();
    a.block("BLPOP a 5");
    db.run("RPUSH a 1");
    assert!(!a.give_up(GiveUp::Timeout), "it has been served");
    a.check_blocked(r#"["a" "1"]"#);
}

/// In RESP2 a move that may not wait answers the null string, and one that has waited the null array.
#[test]
fn transactions_do_not_wait() {
    let mut db = TestClient::new();
    db.run("MULTI; BLMOVE a b LEFT LEFT 0; BRPOPLPUSH a b 0; BLPOP a 0; BLMPOP 0 1 a LEFT");
    let reply = db.raw(&["EXEC"]);
    assert_eq!(reply, b"*4\r\n$-1\r\n$-1\r\n*-1\r\n*-1\r\n");
    db.check(
        "MULTI; BLPOP a 0; RPUSH a 1 2; BLPOP a 0; EXEC",
        r#"[nil 2 ["a" "1"]]"#,
    );
    db.check("EVAL \"return redis.call('BLPOP','no',0)\" 0", "nil");
    let mut waiting = db.another();
    waiting.block("BLMOVE x y LEFT LEFT 0");
    assert!(waiting.give_up(GiveUp::Timeout));
    let waiter = waiting.waiter.take().expect("it has waited");
    assert_eq!(waiter.take_reply().expect("a reply").to_vec(), b"*-1\r\n");
}

#[test]
fn resp3() {
    let mut db = TestClient::new();
    let mut a = db.another().resp3();
    a.block("BLMPOP 0 1 k LEFT COUNT 2");
    db.run("RPUSH k 1 2 3");
    a.check_blocked(r#"["k" ["1" "2"]]"#);
    a.block("BLMOVE x y LEFT LEFT 0");
    assert!(a.give_up(GiveUp::Timeout));
    let waiter = a.waiter.take().expect("it has waited");
    assert_eq!(waiter.take_reply().expect("a reply").to_vec(), b"_\r\n");
}

/// Who is served announces what the command does when it need not wait.
#[test]
fn events_of_those_who_are_served() {
    for (waits, line, events) in [
        ("BLPOP k 0", "RPUSH k 1", "rpush k, lpop k, del k"),
        ("BRPOP k 0", "RPUSH k 1 2", "rpush k, rpop k"),
        (
            "BLMPOP 0 1 k LEFT COUNT 2",
            "LPUSH k 1 2",
            "lpush k, lpop k, del k",
        ),
        (
            "BLMOVE k d LEFT RIGHT 0",
            "RPUSH k 1",
            "rpush k, rpush d, lpop k, del k",
        ),
        ("BRPOPLPUSH k k 0", "RPUSH k 1", "rpush k, lpush k, rpop k"),
        (
            "BLPOP k 0",
            "MULTI; RPUSH k 1; SET a 1; EXEC",
            "rpush k, set a, lpop k, del k",
        ),
    ] {
        let (mut db, [mut waiting]) = clients();
        waiting.block(waits);
        db.check_events(line, events);
    }
}

/// Runs a command, again and again while the locks it needs are not free.
fn until_done(client: &mut TestClient, line: &str) {
    client.run(line);
    while !client.finished {
        client.run(line);
    }
}

/// Elements go round between waiting movers on many threads, and none is lost or doubled.
#[test]
fn nothing_is_lost_between_threads() {
    const ROUNDS: usize = 300;
    const THREADS: usize = 4;
    let db = TestClient::new();
    let barrier = Arc::new(Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (mut client, barrier) = (db.another(), barrier.clone());
            scope.spawn(move || {
                barrier.wait();
                for round in 0..ROUNDS {
                    let (a, b) = ((thread + round) % 3, (thread + round + 1) % 3);
                    match round % 3 {
                        0 => until_done(&mut client, &format!("RPUSH q{a} {thread}:{round}")),
                        _ if client.waiter.is_some() => {
                            if client.give_up(GiveUp::Timeout) {
                                client.check_blocked("nil");
                            } else {
                                assert_ne!(client.blocked_reply(), "waits");
                            }
                        }
                        1 => until_done(&mut client, &format!("BLMOVE q{a} q{b} LEFT RIGHT 0")),
                        _ => until_done(&mut client, &format!("BLMOVE q{b} out LEFT RIGHT 0")),
                    }
                }
                if client.waiter.is_some() {
                    client.give_up(GiveUp::Timeout);
                }
            });
        }
    });
    let mut db = db;
    let mut all = Vec::new();
    for key in ["q0", "q1", "q2", "out"] {
        let reply = db.run(&format!("LRANGE {key} 0 -1"));
        let inside = reply.trim_matches(['[', ']']);
        all.extend(inside.split_whitespace().map(str::to_owned));
    }
    let pushed = THREADS * ROUNDS / 3;
    assert_eq!(all.len(), pushed);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), pushed);
    assert_eq!(db.engine.stats().sum(|c| c.panics.get()), 0);
    assert_eq!(db.engine.follow.effects.blocked.load(Relaxed), 0);
    assert!(
        !db.engine.follow.effects.listening(),
        "nobody is listed any more"
    );
}

/// While one client again and again begins to wait and gives up, so that changes matter to somebody now and then, another
/// changes the key: it always holds the locks that the one who waits needs.
#[test]
fn who_comes_while_a_lock_is_taken_is_served() {
    const ROUNDS: usize = 3000;
    let db = TestClient::new();
    let (mut a, mut b) = (db.another(), db.another());
    let ks = db.engine.keyspace();
    let target = (0..)
        .map(|n| format!("d{n}"))
        .find(|key| ks.place(key.as_bytes()).shard() != ks.place(b"s").shard())
        .expect("more than one shard");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..ROUNDS {
                until_done(&mut a, &format!("BLMOVE s {target} LEFT LEFT 0"));
                if a.waiter.is_some() {
                    a.give_up(GiveUp::Timeout);
                    a.waiter = None;
                }
            }
        });
        scope.spawn(move || (0..ROUNDS).for_each(|_| until_done(&mut b, "RPUSH s 1")));
    });
    assert_eq!(db.engine.stats().sum(|c| c.panics.get()), 0);
}

/// Who tracks keys, but not those it changes itself: what a client that was served has done counts as its own.
#[test]
fn tracking_knows_who_was_served() {
    let db = TestClient::new();
    let [mut a, mut b, mut c] = [0; 3].map(|_| db.another().resp3());
    for client in [&mut a, &mut b, &mut c] {
        client.check("CLIENT TRACKING ON BCAST NOLOOP", "OK");
    }
    a.block("BLMOVE k j LEFT LEFT 0");
    b.check("RPUSH k 1", "1");
    a.check_blocked(r#""1""#);
    a.check_messages("");
    b.check_messages(r#">["invalidate" ["j" "k"]]"#);
    c.check_messages(r#">["invalidate" ["j" "k"]]"#);
    // By default the first change of a key is told of.
    let db = TestClient::new();
    let [mut a, mut b] = [0; 2].map(|_| db.another().resp3());
    for client in [&mut a, &mut b] {
        client.check("CLIENT TRACKING ON NOLOOP", "OK");
        client.check("LLEN k", "0");
    }
    a.block("BLPOP k 0");
    b.check("RPUSH k 1", "1");
    a.check_blocked(r#"["k" "1"]"#);
    a.check_messages(r#">["invalidate" ["k"]]"#);
    b.check_messages("");
}

/// Keys are looked at in the order in which they came to be, whatever else has happened to them.
#[test]
fn keys_are_served_in_the_order_they_came() {
    for before in ["PING", "FLUSHDB", "DEL a", "EXPIRE a 10"] {
        let (mut db, [mut a, mut b]) = clients();
        a.block("BLPOP a 0");
        b.block("BLPOP b 0");
        let line = format!("MULTI; {before}; RPUSH b 1; RPUSH a 1; RPUSH b 2; EXEC");
        let events = "rpush b, rpush a, rpush b, lpop b, lpop a, del a";
        db.check_events(&line, events);
    }
}

/// Who waits for many keys is found by each of them, and clients that wait for others are not in the way.
#[test]
fn many_clients() {
    let db = TestClient::new();
    let mut waiting: Vec<_> = (0..300).map(|_| db.another()).collect();
    for (i, client) in waiting.iter_mut().enumerate() {
        client.block(&format!("BLPOP common own:{i} group:{} 0", i % 3));
    }
    let mut db = db;
    db.run("RPUSH own:7 x; RPUSH group:1 x");
    waiting[7].check_blocked(r#"["own:7" "x"]"#);
    waiting[1].check_blocked(r#"["group:1" "x"]"#);
    let rest: Vec<usize> = (0..300).filter(|i| ![1, 7].contains(i)).collect();
    for (n, i) in rest.into_iter().enumerate() {
        db.check(&format!("RPUSH common {n}"), "1");
        waiting[i].check_blocked(&format!(r#"["common" "{n}"]"#));
    }
    assert_eq!(db.engine.follow.effects.blocked.load(Relaxed), 0);
    assert!(
        !db.engine.follow.effects.listening(),
        "nobody is listed any more"
    );
}

/// What blocks is counted when it is done, with its error if it gets one, and not at all if its client leaves. The numbers are
/// those of Redis 8.2.3.
#[test]
fn waiting_is_counted_when_it_is_over() {
    let mut db = TestClient::new();
    let mut waits = db.another();
    let stats = |db: &mut TestClient, name: &str| {
        let info = db.run("INFO commandstats");
        let line = info
            .split("\\r\\n")
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:")));
        let field = |line: &str, field: &str| -> u64 {
            let found = line
                .split(',')
                .find_map(|f| f.strip_prefix(&format!("{field}=")));
            found.expect("a field").parse().expect("a number")
        };
        line.map(|line| (field(line, "calls"), field(line, "failed_calls")))
    };
    let commands = |c: &TestClient| c.session.client().commands.load(Relaxed);
    waits.block("BLPOP a b 0");
    assert_eq!(stats(&mut db, "blpop"), None);
    assert_eq!(commands(&waits), 0);
    // Who is served is not idle.
    waits.session.client().active_s.store(5, Relaxed);
    db.run("LPUSH b x");
    assert!(waits.session.client().active_s.load(Relaxed) > 5);
    assert_eq!(stats(&mut db, "blpop"), Some((1, 0)));
    assert_eq!(commands(&waits), 1);
    waits.check_blocked("[\"b\" \"x\"]");
    for (how, counts) in [
        (GiveUp::Timeout, (2, 0)),
        (GiveUp::Error, (3, 1)),
        (GiveUp::Leave, (3, 1)),
    ] {
        waits.block("BLPOP a 0");
        assert!(waits.give_up(how));
        assert_eq!(stats(&mut db, "blpop"), Some(counts), "{how:?}");
    }
    db.run("SADD set x");
    waits.block("BLMOVE list set LEFT LEFT 0");
    db.run("LPUSH list x");
    waits.check_blocked("-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(stats(&mut db, "blmove"), Some((1, 1)));
    db.run("XGROUP CREATE s g 0 MKSTREAM");
    waits.block("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    db.run("XGROUP DESTROY s g");
    assert_eq!(stats(&mut db, "xreadgroup"), Some((1, 1)));
    let errors = db.engine.stats().errors();
    let errors: Vec<_> = errors.iter().map(|(code, n)| (code.as_str(), *n)).collect();
    assert_eq!(errors, [("NOGROUP", 1), ("UNBLOCKED", 1), ("WRONGTYPE", 1)]);
}
