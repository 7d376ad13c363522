//! Eviction against a model of each policy, as a change like others, and what it does to counts.

use super::*;
use crate::base::memory::{POLICIES, clock_of_idle};
use crate::testing::TestClient;
use std::collections::BTreeMap;

/// Has the server over its limit: whatever needs memory evicts what may go. `config` with nothing in it takes this much.
fn over(db: &mut TestClient) {
    db.check("CONFIG SET maxmemory 1", "OK");
}

fn evict_some(db: &TestClient, bytes: usize) -> Outcome {
    let memory = db.engine.memory();
    db.engine.measure_memory(true);
    let goal = memory.used() - bytes;
    let now_ms = crate::base::clock::unix_ms();
    let counters = db.worker.counters();
    db.engine
        .evictor()
        .evict(counters, now_ms, (goal, goal), Duration::MAX, 1)
}

/// A key's access clock, as the policy has it.
fn set_clock(db: &TestClient, key: &str, clock: u32) {
    let ks = db.engine.keyspace();
    let place = ks.place(key.as_bytes());
    let shard = ks.lock(place.shard());
    let e = shard.db_ref(0).get(place.hash(), key.as_bytes());
    e.expect("it is there").touch(clock);
}

/// With fewer keys than a sample has, exactly those go that the policy names, in its order.
#[test]
fn few_keys_go_in_exactly_the_order_of_the_policy() {
    for (name, policy) in POLICIES {
        let Some(order) = policy.order else { continue };
        let mut db = TestClient::with(&[("maxmemory-policy", name)]);
        let now_ms = crate::base::clock::unix_ms();
        // By rank: the first is to go first.
        let mut ranked = BTreeMap::new();
        for i in 0..20u64 {
            // Half of them expire; the order of neither is that of their names.
            let mixed = (i * 7) % 20;
            let expires = i % 2 == 0;
            let at = now_ms + 1_000_000 + mixed * 1000;
            db.run(&format!("SET k{i} v"));
            if expires {
                db.run(&format!("PEXPIREAT k{i} {at}"));
            }
            let clock = match order {
                Order::Lfu => counted_now(now_ms, mixed as u32 + 10),
                _ => clock_of_idle(500 - 10 * mixed, now_ms),
            };
            set_clock(&db, &format!("k{i}"), clock);
            if expires || !policy.volatile {
                ranked.insert(mixed, format!("k{i}"));
            }
        }
        db.engine.memory().set_limit(usize::MAX / 2);
        let mut expected: Vec<String> = ranked.into_values().collect();
        while !expected.is_empty() {
            assert_eq!(evict_some(&db, 1), Outcome::Enough, "{name}");
            let gone: Vec<usize> = (0..expected.len())
                .filter(|&at| db.run(&format!("EXISTS {}", expected[at])) == "0")
                .collect();
            match order {
                Order::Random => assert_eq!(gone.len(), 1, "{name}"),
                _ => assert_eq!(gone, [0], "{name}: {expected:?}"),
            }
            expected.remove(gone[0]);
        }
        assert_eq!(evict_some(&db, 1), Outcome::Nothing);
        let left = if policy.volatile { "10" } else { "0" };
        db.check("DBSIZE", left);
    }
}

fn counted_now(now_ms: u64, n: u32) -> u32 {
    crate::base::memory::counted(crate::base::memory::minutes(now_ms), n)
}

/// Of many keys those that go are near the beginning of the policy's order.
#[test]
fn of_many_keys_the_first_go() {
    let mut db = TestClient::with(&[("maxmemory-policy", "allkeys-lru")]);
    let n = 20_000u32;
    let now_ms = crate::base::clock::unix_ms();
    for i in 0..n {
        db.run(&format!("SET k{i} v"));
        let clock = clock_of_idle(u64::from(n - i), now_ms);
        set_clock(&db, &format!("k{i}"), clock);
    }
    let ks = db.engine.keyspace();
    let counters = db.worker.counters();
    let aging = &db.engine.config().live.aging;
    for at_once in [FEW, MANY] {
        let mut round = Round {
            need: usize::MAX,
            ..Round::default()
        };
        let candidates =
            db.engine
                .evictor()
                .candidates(now_ms, aging, Order::Lru, false, at_once, &mut round);
        assert_eq!(candidates.len(), at_once);
        let mut rank: Vec<f64> = candidates
            .iter()
            .map(|c| f64::from(n) - c.rank as f64)
            .map(|at| at / f64::from(n))
            .collect();
        rank.sort_by(f64::total_cmp);
        let mean: f64 = rank.iter().sum::<f64>() / rank.len() as f64;
        // A random order would make it a half; ten samples for each, a tenth.
        assert!(mean < 0.06, "{at_once}: {mean}");
    }
    let before = ks.len(0);
    assert_eq!(evict_some(&db, 10_000), Outcome::Enough);
    assert!(ks.len(0) < before);
    let evicted = counters.evicted.get() as usize;
    assert_eq!(evicted, before - ks.len(0));
    let old = (0..n / 2)
        .filter(|i| db.run(&format!("EXISTS k{i}")) == "0")
        .count();
    assert_eq!(old, evicted);
}

/// An evicted key is announced, told to caches, fails transactions, is written down, and counted.
#[test]
fn it_is_a_change_like_others() {
    let mut db = TestClient::with(&[
        ("maxmemory-policy", "allkeys-random"),
        ("maxmemory-eviction-tenacity", "100"),
        ("notify-keyspace-events", "KEA"),
    ]);
    let mut watcher = db.another();
    db.run("SET k v; RPUSH l a b");
    watcher.run("WATCH k; MULTI; GET k");
    db.engine.follow.effects.recorded.lock().clear();
    over(&mut db);
    db.check(
        "SET other v",
        "-OOM command not allowed when used memory > 'maxmemory'.",
    );
    db.check("CONFIG SET maxmemory 0", "OK");
    db.check("DBSIZE", "0");
    let mut recorded = db.engine.follow.effects.recorded.lock().clone();
    recorded.sort();
    assert_eq!(recorded, ["evicted k", "evicted l"]);
    watcher.check("EXEC", "nil");
    assert!(db.run("INFO stats").contains("evicted_keys:2\\r\\n"));
}

/// Only commands that need memory are refused, and only if nothing may go.
#[test]
fn who_is_refused() {
    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
    let mut db = TestClient::new();
    db.run("SET k v; RPUSH l a");
    over(&mut db);
    for line in [
        "SET k w",
        "LPUSH l x",
        "HSET h f v",
        "APPEND k x",
        "COPY k j",
        "SETRANGE k 0 x",
    ] {
        db.check(line, OOM);
    }
    for (line, reply) in [
        ("GET k", r#""v""#),
        ("DEL l", "1"),
        ("EXPIRE k 100", "1"),
        ("GETDEL k", r#""v""#),
    ] {
        db.check(line, reply);
    }
    // Keys that expire may go by this policy, and there is none.
    db.check("CONFIG SET maxmemory-policy volatile-lru", "OK");
    db.check("SET k w EX 100", OOM);
    db.check("CONFIG SET maxmemory 0 maxmemory-policy noeviction", "OK");
    db.check("SET k w EX 100", "OK");
    db.check("MULTI", "OK");
    db.check("SET k x", "QUEUED");
    over(&mut db.another());
    let text = &OOM[1..];
    db.check(
        "EXEC",
        &format!("-EXECABORT Transaction discarded because of: {text}"),
    );
    db.check("EXEC", "-ERR EXEC without MULTI");
}

/// Scripts are judged by what they declare, before they run; those that declare nothing by what they call, until they have
/// changed something.
#[test]
fn scripts_and_functions() {
    const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    let mut db = TestClient::new();
    db.run("SET k v");
    let library = "#!lua name=lib\nredis.register_function('plain', function() return redis.call('set', 'x', 'y') end)\n\
        redis.register_function{function_name='big', flags={'allow-oom'}, callback=function() return redis.call('set', 'x', 'y') end}\n\
        redis.register_function{function_name='reads', flags={'no-writes'}, callback=function() return redis.call('get', 'k') end}";
    db.call(&["FUNCTION", "LOAD", library]);
    over(&mut db);
    let mut run = |argv: &[&str]| String::from_utf8_lossy(&db.raw(argv)).into_owned();
    let set = "return redis.call('set', 'x', 'y')";
    for (argv, reply) in [
        (vec!["EVAL", set, "0"], OOM),
        (
            vec!["EVAL", "return redis.call('get', 'k')", "0"],
            "$1\r\nv",
        ),
        (
            vec!["EVAL", "return redis.pcall('set', 'x', 'y').err", "0"],
            OOM,
        ),
        (
            vec![
                "EVAL",
                "redis.call('del', 'nosuch'); return redis.call('set', 'x', 'y')",
                "0",
            ],
            "+OK",
        ),
        (vec!["EVAL", "#!lua\nreturn 1", "0"], OOM),
        (
            vec![
                "EVAL",
                "#!lua flags=no-writes\nreturn redis.call('get', 'k')",
                "0",
            ],
            "$1\r\nv",
        ),
        (
            vec![
                "EVAL",
                "#!lua flags=allow-oom\nreturn redis.call('set', 'x', 'y')",
                "0",
            ],
            "+OK",
        ),
        (vec!["FCALL", "plain", "0"], OOM),
        (vec!["FCALL", "big", "0"], "+OK"),
        (vec!["FCALL", "reads", "0"], "$1\r\nv"),
    ] {
        let got = run(&argv);
        assert!(got.contains(reply), "{argv:?}: {got}");
    }
}

/// OBJECT FREQ and IDLETIME, and RESTORE's hints, mean what the policy keeps.
#[test]
fn access_clocks_by_policy() {
    let mut db = TestClient::new();
    db.run("SET k v");
    db.check("OBJECT IDLETIME k", "0");
    // By what is known of hot keys: one SET and one look at it.
    db.check("OBJECT FREQ k", "5");
    db.check("CONFIG SET maxmemory-policy allkeys-lfu", "OK");
    assert!(
        db.run("OBJECT IDLETIME k")
            .starts_with("-ERR An LFU maxmemory policy is selected")
    );
    db.check("SET n v; OBJECT FREQ n", "5");
    db.check("OBJECT FREQ nosuch", "nil");
    // Uses are counted with falling odds, by writes as well as by reads.
    for _ in 0..300 {
        db.run("GET n");
    }
    let n: u32 = db.run("OBJECT FREQ n").parse().unwrap();
    assert!((6..40).contains(&n), "{n}");
    db.check("CONFIG SET lfu-log-factor 0", "OK");
    for _ in 0..300 {
        db.run("SET n w");
    }
    db.check("OBJECT FREQ n", "255");
    db.check("SET t v; OBJECT FREQ t", "5");
    db.check("CLIENT NO-TOUCH ON; GET t; OBJECT FREQ t", "5");
    db.check("TOUCH t; OBJECT FREQ t", "6");
    db.check("GET t; OBJECT FREQ t", "6");
    db.check("CLIENT NO-TOUCH OFF; GET t; OBJECT FREQ t", "7");
    let Some(resp::Value::Bulk(payload)) = db.call(&["DUMP", "n"]) else {
        panic!("no payload")
    };
    let mut restore = |name: &str, option: &str, n: &str| {
        let argv: [&[u8]; 6] = [
            b"RESTORE",
            name.as_bytes(),
            b"0",
            &payload,
            option.as_bytes(),
            n.as_bytes(),
        ];
        db.call(&argv);
    };
    restore("f", "FREQ", "77");
    restore("i", "IDLETIME", "1000");
    db.check("OBJECT FREQ f", "77");
    db.check("OBJECT FREQ i", "5");
    // Under LRM reading a key does not make it younger.
    for (policy, idle) in [("allkeys-lrm", 1000), ("allkeys-lru", 0)] {
        db.check(&format!("CONFIG SET maxmemory-policy {policy}"), "OK");
        let now_ms = crate::base::clock::unix_ms();
        set_clock(&db, "i", clock_of_idle(1000, now_ms));
        db.run("GET i");
        let got: u32 = db.run("OBJECT IDLETIME i").parse().unwrap();
        assert!(got.abs_diff(idle) <= 1, "{policy}: {got}");
        db.run("APPEND i x");
        assert!(db.run("OBJECT IDLETIME i").parse::<u32>().unwrap() <= 1);
    }
}

/// As Redis has it: what a counter loses by time.
#[test]
fn counters_of_uses_decay() {
    use crate::base::memory::{counted, frequency};
    for (clock, now, decay, n) in [
        (counted(100, 50), 100, 1, 50),
        (counted(100, 50), 130, 1, 20),
        (counted(100, 50), 130, 10, 47),
        (counted(100, 50), 200, 1, 0),
        (counted(100, 50), 200, 0, 50),
        // The minutes wrap around.
        (counted(65_530, 50), 4, 1, 40),
    ] {
        assert_eq!(frequency(clock, now, decay), n, "{clock} {now} {decay}");
    }
}

/// Keys that BLESS protects never go, whatever the policy, and whatever else there is to go.
#[test]
fn protected_keys_stay() {
    for (name, policy) in POLICIES {
        if policy.order.is_none() {
            continue;
        }
        let mut db = TestClient::with(&[("maxmemory-policy", name)]);
        for i in 0..600 {
            db.run(&format!("SET k{i} v EX {}", 1000 + i));
            // Those that would go first, and most of all.
            if i % 10 != 9 {
                db.run(&format!("BLESS SET k{i} NO-EVICT"));
                set_clock(&db, &format!("k{i}"), 0);
            }
        }
        db.engine.memory().set_limit(usize::MAX / 2);
        for left in (0..60).rev() {
            assert_eq!(evict_some(&db, 1), Outcome::Enough, "{name}");
            assert_eq!(db.run("DBSIZE"), (540 + left).to_string(), "{name}");
        }
        assert_eq!(evict_some(&db, 1), Outcome::Nothing, "{name}");
        db.check("DBSIZE", "540");
        db.check("BLESS CLEAR k0 NO-EVICT", "1");
        assert_eq!(evict_some(&db, 1), Outcome::Enough, "{name}");
        db.check("EXISTS k0", "0");
        assert!(db.run("INFO stats").contains("blessed_keys:539\\r\\n"));
    }
}

/// Protecting a key takes memory as other writes do; ending that does not.
#[test]
fn protection_can_be_ended_without_memory() {
    let mut db = TestClient::new();
    db.run("SET a v; SET b v; BLESS SET b NO-EVICT");
    over(&mut db);
    db.check(
        "BLESS SET a NO-EVICT",
        "-OOM command not allowed when used memory > 'maxmemory'.",
    );
    db.check("BLESS CLEAR b NO-EVICT", "1");
}

/// Large values go one by one, not as many at once as of small ones, whoever evicts.
#[test]
fn no_more_large_values_go_than_must() {
    for at_once in [FEW, MANY] {
        for policy in ["allkeys-random", "allkeys-lru", "volatile-ttl"] {
            let mut db = TestClient::with(&[("maxmemory-policy", policy)]);
            let value = "v".repeat(100_000);
            for i in 0..100 {
                db.raw(&["SET", &format!("k{i}"), &value, "EX", "1000"]);
            }
            // Small ones among them mislead about what the others take.
            for i in 0..1000 {
                db.run(&format!("SET s{i} v"));
            }
            db.engine.measure_memory(true);
            let memory = db.engine.memory();
            let used = memory.used();
            memory.set_limit(used - 1000);
            let goals = (used - 1000, used - 1000 - memory.ahead());
            let now_ms = crate::base::clock::unix_ms();
            let (evictor, counters) = (db.engine.evictor(), db.worker.counters());
            let outcome = evictor.evict(counters, now_ms, goals, Duration::MAX, at_once);
            assert_eq!(outcome, Outcome::Enough);
            let gone = used - memory.used();
            // What is too much and the room that is kept ahead, and one value beyond.
            let most = 1000 + memory.ahead() + 110_000;
            assert!(gone <= most, "{policy}, {at_once}: {gone}");
        }
    }
}

/// Who lowers the limit finds with the next request that keys have gone, and what is written down of them behind all that
/// was done before, whichever thread evicts.
#[test]
fn who_lowers_the_limit_finds_keys_gone() {
    let mut db = TestClient::with(&[
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-eviction-tenacity", "100"),
    ]);
    db.engine.journal.turn(true);
    db.run("SET a 1; SET b 2; SET c 3");
    over(&mut db);
    db.check("DBSIZE", "0");
    db.check("CONFIG SET maxmemory 0", "OK");
    for line in ["SET a 1", "SET b 2", "SET c 3"] {
        db.run(line);
        // Some look at the time lies between them.
        std::thread::sleep(Duration::from_micros(50));
    }
    db.engine.memory().set_limit(1);
    db.engine.measure_memory(true);
    let (thread, now_ms) = (db.engine.add_counters(), crate::base::clock::unix_ms());
    let evictor = db.engine.evictor();
    evictor.evict(&thread, now_ms, (0, 0), Duration::MAX, MANY);
    let piece = db.engine.journal.cut(&mut Some(0)).expect("something");
    let text = String::from_utf8_lossy(&piece.bytes);
    let order: String = ["SET", "DEL", "set", "del"]
        .iter()
        .flat_map(|word| text.match_indices(*word))
        .collect::<BTreeMap<usize, &str>>()
        .into_values()
        .map(|word| word[..1].to_uppercase())
        .collect();
    assert_eq!(order, "SSSDDDSSSDDD", "{text}");
}
