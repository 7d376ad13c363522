//! Which calls are long.

use super::LONG_WORK;
use crate::config::Config;
use crate::config::host::{Host, OnFailure, ShutdownMode};
use crate::script::known::Running;
use crate::testing::{Asked, TestClient, check};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A client of a database with collections just large enough, and small ones beside them.
fn large() -> TestClient {
    let mut db = TestClient::new();
    for (command, each) in [("SADD set", ""), ("HSET hash", "v"), ("ZADD sorted 1", "1")] {
        for part in 0..10 {
            let mut line = command.to_owned();
            for i in 0..LONG_WORK / 10 {
                let gap = if i > 0 || each == "v" { each } else { "" };
                if each == "1" {
                    write!(line, " {gap} m{part}x{i}").expect("text");
                } else {
                    write!(line, " m{part}x{i} {each}").expect("text");
                }
            }
            db.run(&line);
        }
    }
    for part in 0..10 {
        let mut line = "GEOADD geo".to_owned();
        for i in 0..LONG_WORK / 10 {
            write!(line, " 1.{i} 1.{part} m{part}x{i}").expect("text");
        }
        db.run(&line);
    }
    for i in 1..=LONG_WORK {
        db.run(&format!("XADD log 1-{i} a 1"));
    }
    db.run("XGROUP CREATE log g 0; XADD brief 1-1 a 1; XGROUP CREATE brief g 0");
    db.run("SADD few a b c; HSET little a 1; ZADD couple 1 a 2 b");
    db
}

/// Whether a call was moved, and how many keys it was counted to have found.
fn run(db: &mut TestClient, line: &str) -> (bool, u64) {
    let found = |db: &TestClient| db.engine.stats().sum(|c| c.hits.get());
    let before = found(db);
    let reply = db.run(line);
    assert!(
        !reply.starts_with('-') && !reply.is_empty(),
        "{line}: {reply}"
    );
    assert!(db.finished, "{line}");
    (db.moved, found(db) - before)
}

/// Where a transaction goes through large collections, all of it is moved before it begins, with what it watches.
#[test]
fn long_transactions_are_moved() {
    let mut db = large();
    let mut other = db.another();
    for (queue, moved) in [
        ("SUNIONSTORE d few set", true),
        ("SET a 1; SUNIONSTORE d few set", true),
        ("SORT set BY nosort STORE d", true),
        ("HGETALL hash", true),
        (
            "SADD set x; HSET hash x 1; ZADD sorted 1 x; SREM set x",
            false,
        ),
        ("SUNIONSTORE d few few; SMEMBERS few", false),
    ] {
        db.run(&format!("WATCH few; MULTI; {queue}"));
        assert_eq!(run(&mut db, "EXEC").0, moved, "{queue}");
    }
    db.check("GET a", "\"1\"");
    db.run("WATCH few; MULTI; SUNIONSTORE d set");
    other.run("SADD few d");
    db.check("EXEC", "nil");
    assert!(!db.moved);
    // A script does what is long once, wherever that is.
    let script = "redis.call('INCR', 'a') return redis.call('SUNIONSTORE', KEYS[1], unpack(ARGV))";
    let line = format!("EVAL \"{script}\" 1 d set few");
    db.check(&line, "10004");
    db.check("GET a", "\"2\"");
}

/// Whoever asks for another thread gets one.
#[derive(Default)]
struct Generous(AtomicUsize);

impl Host for Generous {
    fn shutdown(&self, _: ShutdownMode, _: OnFailure) -> Result<(), String> {
        Ok(())
    }
    fn applied(&self, _: &str, _: &Config) -> Result<(), String> {
        Ok(())
    }
    fn info(&self, _: &str, _: &mut String) {}
    fn hand_over(&self) -> bool {
        self.0.fetch_add(1, Relaxed);
        true
    }
}

/// What turns out to be long as part of something else takes that along, or has the worker's other connections leave.
#[test]
fn long_parts_of_transactions_and_scripts_make_room() {
    let host = Arc::new(Generous::default());
    let mut db = TestClient::behind(host.clone(), &[]);
    let elements: String = (0..LONG_WORK / 2).map(|i| format!(" {i}")).collect();
    db.run(&format!("RPUSH l{elements}; RPUSH l{elements}"));
    let pings = "PING; ".repeat(3000);
    let mget = format!("MGET{elements}; MGET{elements}; MGET{elements}");
    let sum = "EVAL \"return #redis.call('lrange',KEYS[1],0,-1)\" 1 l";
    let definite = format!("SETRANGE big 5000 x; {sum}");
    // On a busy machine what is short may take long.
    db.engine.patient.store(true, Relaxed);
    for (queue, moved, left) in [
        ("PING; LLEN l", false, 0),
        // Known before.
        (&pings[..], true, 0),
        (&mget, true, 0),
        ("LRANGE l 0 -1", false, 1),
        ("LPOS l nosuch; LRANGE l 0 -1", false, 1),
        // With a script in it, it can be undone.
        (sum, true, 0),
        (&format!("LRANGE l 0 -1; {sum}"), true, 0),
        (
            "INCR n; EVAL \"return redis.call('incr','n')\" 0; LRANGE l 0 -1",
            false,
            1,
        ),
        (&definite, false, 1),
    ] {
        db.run("SETRANGE big 5000 x; MULTI");
        db.run(queue.trim_end_matches("; "));
        host.0.store(0, Relaxed);
        let reply = db.run("EXEC");
        assert!(
            reply.starts_with('[') && !reply.contains("-ERR"),
            "{queue}: {reply:.100}"
        );
        assert_eq!(db.moved, moved, "{queue:.100}");
        assert_eq!(host.0.load(Relaxed), left, "{queue:.100}");
    }
    db.check("GET n", "\"2\"");
    // A script by itself.
    db.check(
        "EVAL \"redis.call('incr','n') return #redis.call('lrange','l',0,-1)\" 0",
        "10000",
    );
    assert!(db.moved);
    db.check("GET n", "\"3\"");
    // Of many arguments.
    db.run(&format!("MGET{elements}{elements}"));
    assert!(db.moved);
    db.run(&format!("MGET{elements}"));
    assert!(!db.moved);
}

#[test]
fn long_calls_are_moved_and_count_once() {
    let mut db = large();
    db.check("SCARD set", "10000");
    db.check("HLEN hash", "10000");
    db.check("ZCARD sorted", "10000");
    for (line, hits) in [
        ("SMEMBERS set", 1),
        ("SRANDMEMBER set 10000", 1),
        ("SRANDMEMBER few -10000", 1),
        ("SSCAN set 0 COUNT 10000", 1),
        ("SUNION few set", 0),
        ("SINTER set set", 0),
        ("SINTERCARD 2 set set", 0),
        ("SDIFF set few", 0),
        ("SUNIONSTORE d few set", 0),
        ("SINTERSTORE d set set", 0),
        ("SDIFFSTORE d set few", 0),
        ("HGETALL hash", 1),
        ("HKEYS hash", 1),
        ("HVALS hash", 1),
        ("HRANDFIELD hash 10000", 1),
        ("HRANDFIELD little -10000", 1),
        ("HSCAN hash 0 COUNT 10000", 1),
        ("ZRANGE sorted 0 -1", 1),
        ("ZREVRANGEBYSCORE sorted 5 0", 1),
        ("ZRANGESTORE d sorted 0 -1", 1),
        ("ZRANDMEMBER sorted 10000", 1),
        ("ZRANDMEMBER couple -10000", 1),
        ("ZSCAN sorted 0 COUNT 10000", 1),
        ("GEOSEARCH geo FROMLONLAT 1 1 BYRADIUS 900 km", 1),
        ("GEORADIUS geo 1 1 900 km STORE d", 1),
        ("XRANGE log - +", 1),
        ("XREVRANGE log + - COUNT 20000", 1),
        ("XREAD STREAMS log brief 0 0", 2),
        ("XREADGROUP GROUP g c STREAMS log >", 1),
        ("XREADGROUP GROUP g c STREAMS log 0", 1),
        ("ZUNION 2 couple sorted", 2),
        ("ZINTER 2 set sorted", 2),
        ("ZINTERCARD 2 set sorted", 2),
        ("ZDIFF 2 sorted couple", 2),
        ("ZUNIONSTORE d 2 couple sorted", 2),
        ("ZINTERSTORE d 2 set sorted", 2),
        ("ZDIFFSTORE d 2 sorted couple", 2),
    ] {
        assert_eq!(run(&mut db, line), (true, hits), "{line}");
    }
    for line in [
        "SPOP set 10000",
        "ZPOPMIN sorted 10000",
        "ZUNIONSTORE sorted 1 d",
        "ZMPOP 1 sorted MAX COUNT 10000",
        "ZUNIONSTORE sorted 1 d",
        "BZMPOP 0 1 sorted MAX COUNT 10000",
        "ZUNIONSTORE sorted 1 d",
        "ZREMRANGEBYRANK sorted 0 -1",
        "ZUNIONSTORE sorted 1 d",
        "ZREMRANGEBYSCORE sorted -inf inf",
        "ZUNIONSTORE sorted 1 d",
        "ZREMRANGEBYLEX sorted - +",
    ] {
        assert!(run(&mut db, line).0, "{line}");
    }
    db.check("EXISTS set sorted", "0");
}

#[test]
fn short_calls_stay() {
    let mut db = large();
    for line in [
        "SMEMBERS few",
        "SRANDMEMBER few 10000",
        "SRANDMEMBER set 9999",
        "SSCAN few 0 COUNT 10000",
        "SSCAN set 0",
        "SUNION few few",
        "SINTER few set",
        "SDIFF few set",
        "SINTER set none",
        "HGETALL little",
        "HRANDFIELD little 10000",
        "HSCAN little 0 COUNT 10000",
        "ZRANGE sorted 0 9998",
        "ZRANDMEMBER couple 10000",
        "ZSCAN couple 0 COUNT 10000",
        "GEOSEARCH geo FROMLONLAT 1 1 BYRADIUS 1 m",
        "GEOSEARCH geo FROMLONLAT 1 1 BYRADIUS 900 km COUNT 5 ANY",
        "XRANGE log 1-0 1-1000",
        "XREAD COUNT 100 STREAMS log 0",
        "XREAD STREAMS log 1-9000",
        "XREAD STREAMS log brief 1-9000 +",
        "XREADGROUP GROUP g c COUNT 10 STREAMS log >",
        "XREADGROUP GROUP g c STREAMS brief >",
        "XREADGROUP GROUP g c COUNT 9999 STREAMS log >",
        "ZINTER 2 couple sorted",
        "ZPOPMIN couple 10000",
        "ZREMRANGEBYRANK sorted 0 9998",
        "SPOP few 10000",
        "SPOP set 5",
    ] {
        assert!(!run(&mut db, line).0, "{line}");
    }
}

#[test]
fn so_many_picks_are_refused() {
    for (before, call) in [
        ("SADD k a", "SRANDMEMBER k"),
        ("HSET k a 1", "HRANDFIELD k"),
        ("ZADD k 1 a", "ZRANDMEMBER k"),
    ] {
        let error = "-ERR value is out of range";
        check(&format!("{before}; {call} -16777217"), error);
        check(&format!("{before}; {call} -9223372036854775807"), error);
        check(&format!("{before}; {call} 9223372036854775807"), r#"["a"]"#);
    }
}

/// Lists; beside those that are moved the same calls that have little to do.
#[test]
fn long_work_on_lists() {
    let elements: String = (0..LONG_WORK / 10).map(|i| format!(" {i}")).collect();
    let fill = |db: &mut TestClient| {
        db.run("DEL l short");
        for _ in 0..10 {
            db.run(&format!("RPUSH l{elements}"));
        }
        db.run("RPUSH short a b c");
    };
    let mut db = TestClient::new();
    for (line, moved, hits) in [
        ("LRANGE l 0 -1", true, 1),
        ("LRANGE l 0 9998", false, 1),
        ("LRANGE short 0 -1", false, 1),
        ("LPOS l nosuch", true, 1),
        ("LPOS l nosuch MAXLEN 0", true, 1),
        ("LPOS l nosuch MAXLEN 9999", false, 1),
        ("LPOS short a", false, 1),
        ("LREM l 0 nosuch", true, 0),
        ("LREM short 0 a", false, 0),
        ("LINSERT l AFTER 999 x", true, 0),
        ("LINSERT short AFTER b x", false, 0),
        ("LTRIM l 0 0", false, 0),
        ("LTRIM l 1 0", false, 0),
        ("LTRIM l -1 -1", false, 0),
        ("LPOP l 9999", false, 0),
        ("LPOP l 10000", true, 0),
        ("LPOP short 10000", false, 0),
        ("LMPOP 2 nosuch l RIGHT COUNT 10000", true, 0),
        ("LMPOP 1 l RIGHT", false, 0),
        ("BLMPOP 0 2 nosuch l RIGHT COUNT 10000", true, 0),
        ("BLMPOP 0 1 short RIGHT COUNT 10000", false, 0),
        ("COPY short l REPLACE", false, 1),
    ] {
        fill(&mut db);
        assert_eq!(run(&mut db, line), (moved, hits), "{line}");
    }
    fill(&mut db);
    db.run("RPUSH l x");
    assert_eq!(run(&mut db, "LTRIM l -1 -1"), (true, 0));
    db.check("LRANGE l 0 -1", r#"["x"]"#);
    let many: String = (0..LONG_WORK).map(|i| format!(" {i}")).collect();
    assert_eq!(run(&mut db, &format!("LPUSH l{many}")), (true, 0));
    for _ in 0..4 {
        db.run(&format!("RPUSH l{many}"));
    }
    db.check("LLEN l", "50001");
    assert_eq!(run(&mut db, "COPY l short REPLACE"), (true, 1));
    db.check("LLEN short", "50001");
    db.check("RENAME short l", "OK");
    assert!(!db.moved);
}

/// Of a key that is not there nothing is drawn, however often.
#[test]
fn nothing_is_drawn_from_nothing() {
    for call in [
        "SRANDMEMBER none -9223372036854775807",
        "HRANDFIELD none -9223372036854775807",
        "HRANDFIELD none -4611686018427387903 WITHVALUES",
        "ZRANDMEMBER none -9223372036854775807",
        "ZRANDMEMBER none -4611686018427387903 WITHSCORES",
    ] {
        check(call, "[]");
    }
    let out_of_range = "-ERR value is out of range";
    check(
        "HRANDFIELD none -4611686018427387905 WITHVALUES",
        out_of_range,
    );
    check("SADD k a; SRANDMEMBER k -9223372036854775807", out_of_range);
}

/// What looks at every key and has to wait for a shard goes on from where it was, with what it has.
#[test]
fn what_looks_at_all_keys_goes_on_where_it_was() {
    let mut db = TestClient::with(&[("enable-debug-command", "yes"), ("shards", "8")]);
    let mut other = db.another();
    db.run("DEBUG POPULATE 30000; SELECT 3; DEBUG POPULATE 500; SELECT 0");
    let whole = db.run("DEBUG DIGEST");
    assert!(db.moved);
    let engine = db.engine.clone();
    let ks = engine.keyspace();
    // Beside a script that runs the client of this test does not ask again by itself.
    let running = engine.scripts.begin(Running {
        started_ms: crate::base::clock::unix_ms(),
        is_function: false,
        name: Vec::new(),
        command: Vec::new(),
        client: 0,
        end: Default::default(),
    });
    for line in ["KEYS *", "DEBUG DIGEST"] {
        let held = ks.lock(5);
        db.check(line, "");
        assert!(matches!(db.asked, Asked::Retry(_)));
        drop(held);
        if line == "KEYS *" {
            // It has been there already.
            let seen = (0..).map(|n| format!("key:{n}"));
            let mut seen = seen.filter(|key| ks.place(key.as_bytes()).shard() == 0);
            other.run(&format!("DEL {}", seen.next().expect("a key")));
        }
        let held = ks.lock(6);
        db.check(line, "");
        drop(held);
        let reply = db.run(line);
        match line {
            "KEYS *" => assert_eq!(reply.split(' ').count(), 30_000),
            // But for the key that is gone.
            _ => assert!(reply.len() == 40 && reply != whole, "{reply}"),
        }
    }
    engine.scripts.end(&running);
    let (now, again) = (db.run("DEBUG DIGEST"), db.run("DEBUG DIGEST"));
    assert_eq!(now, again);
    db.run("MULTI; DEBUG DIGEST; KEYS *");
    let reply = db.run("EXEC");
    assert!(reply.starts_with(&format!("[{now} [")), "{reply:.100}");
    assert_eq!(reply.split(' ').count(), 30_000);
}
