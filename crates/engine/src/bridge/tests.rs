//! What scripts count, may do and see, as real servers have it (Redis 8.2.3, where nothing is said).

use crate::base::stats::CommandCounters;
use crate::script::known::Running;
use crate::testing::{Asked, TestClient};
use std::sync::atomic::Ordering::Relaxed;

/// What a command has counted: (calls, rejected, failed).
fn counts(db: &TestClient, name: &str) -> (u64, u64, u64) {
    let words: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
    let entry = db.engine.registry().resolve(&words).expect("a command");
    // Of all threads: on a busy machine a script may turn out to be slow.
    let sum =
        |of: fn(&CommandCounters) -> u64| db.engine.stats().sum(|c| of(&c.commands[entry.id]));
    (
        sum(|c| c.calls.get()),
        sum(|c| c.rejected.get()),
        sum(|c| c.failed.get()),
    )
}

fn errors(db: &TestClient) -> u64 {
    db.engine.stats().sum(|c| c.error_replies.get())
}

/// An error in the reply is a failure, wherever it comes from, and is counted once.
#[test]
fn an_answer_with_an_error_is_a_failed_call() {
    let failing = [
        ("return redis.call('nosuch')", 1, 1),
        ("return redis.pcall('nosuch')", 1, 1),
        ("return redis.call('incr','str')", 1, 1),
        ("return redis.pcall('incr','str')", 1, 1),
        ("redis.pcall('incr','str') return 1", 0, 1),
        ("return {err='X y'}", 1, 1),
        ("return redis.error_reply('X y')", 1, 1),
        ("error('x')", 1, 1),
        ("error({err='FOO x'})", 1, 1),
        ("return {1,{err='X y'}}", 1, 1),
        ("return {{err='X y'},{err='Z y'}}", 1, 2),
        (
            "return {redis.pcall('incr','str'),redis.pcall('incr','str')}",
            2,
            2,
        ),
        ("return 1", 0, 0),
    ];
    for (script, failures, replies) in failing {
        let mut db = TestClient::new();
        db.run("SET str abc");
        db.raw(&["EVAL", script, "0"]);
        assert_eq!(counts(&db, "eval"), (1, 0, failures), "{script}");
        assert_eq!(errors(&db), replies, "{script}");
    }
}

/// Of the scripts that EVAL brings, 500 are kept: what nobody asks for for longest goes, and is known no more by its digest, whoever
/// has run it before.
#[test]
fn scripts_that_nobody_asks_for_are_forgotten() {
    let mut c = TestClient::new();
    let sha = |n: usize| lua::sha1_hex(format!("return {n}").as_bytes());
    let evalsha = |n: usize| format!("EVALSHA {} 0", String::from_utf8_lossy(&sha(n)));
    for n in 1..=500 {
        c.check(&format!("EVAL \"return {n}\" 0"), &n.to_string());
    }
    c.check(&evalsha(3), "3");
    c.check("EVAL \"return 1\" 0", "1");
    c.check(&evalsha(2), "2");
    c.check("EVAL \"return 1000\" 0", "1000");
    for n in [1, 2, 3, 5, 500, 1000] {
        c.check(&evalsha(n), &n.to_string());
    }
    let gone = "-NOSCRIPT No matching script. Please use EVAL.";
    c.check(&evalsha(4), gone);
    assert!(c.run("INFO stats").contains("evicted_scripts:1\\r\\n"));
    // Nothing but the last few are asked for from here on: the digest that this thread has run itself goes too.
    for n in 2001..=2500 {
        c.run(&format!("EVAL \"return {n}\" 0"));
    }
    c.check(&evalsha(3), gone);
    c.check("CONFIG RESETSTAT", "OK");
    assert!(c.run("INFO stats").contains("evicted_scripts:0\\r\\n"));
}

/// What a script asks for and does not get is rejected; what it does get counts as everybody's commands do.
#[test]
fn commands_of_scripts_are_counted() {
    let mut db = TestClient::new();
    let before = db.session.client().commands.load(Relaxed);
    db.run("EVAL \"redis.call('get','a') redis.call('get','b') return redis.pcall('get')\" 0");
    assert_eq!(counts(&db, "get"), (2, 1, 0));
    assert_eq!(db.session.client().commands.load(Relaxed), before + 3);
    assert_eq!(db.engine.stats().sum(|c| c.calls.get()), 3);
    db.run("EVAL \"return redis.pcall('subscribe','a')\" 0");
    assert_eq!(counts(&db, "subscribe"), (0, 1, 0));
}

#[test]
fn read_only_scripts_publish_nothing() {
    const REFUSED: &str = "-ERR Write commands are not allowed from read-only scripts.";
    for command in [
        "'set','a','b'",
        "'pfcount','a'",
        "'publish','a','b'",
        "'spublish','a','b'",
    ] {
        let mut db = TestClient::new();
        let script = format!("return redis.pcall({command})");
        db.check(&format!("EVAL_RO \"{script}\" 0"), REFUSED);
        db.check(
            &format!("EVAL \"#!lua flags=no-writes\\n{script}\" 0"),
            REFUSED,
        );
        let name = command.split('\'').nth(1).expect("a name");
        assert_eq!(counts(&db, name), (0, 2, 0));
    }
    let mut db = TestClient::new();
    db.check(
        "EVAL_RO \"#!lua\\nreturn 1\" 0",
        "-ERR Can not execute a script with write flag using *_ro command.",
    );
    db.check("EVAL_RO 'return 1' 0", "1");
    db.check("EVAL_RO \"#!lua flags=no-writes\\nreturn 1\" 0", "1");
}

/// While writes are paused scripts are held by what they declare, not by their command.
#[test]
fn a_pause_of_writes_holds_what_may_write() {
    let mut db = TestClient::new();
    let mut other = db.another();
    let reads = "#!lua flags=no-writes\\nreturn 1";
    let writes = "#!lua\\nreturn 1";
    let read_sha = db.run(&format!("SCRIPT LOAD \"{reads}\""));
    let write_sha = db.run("SCRIPT LOAD 'return 1'");
    db.run(
        "FUNCTION LOAD \"#!lua name=l\\nredis.register_function{function_name='reads',flags={'no-writes'},\
         callback=function() return 1 end}\\nredis.register_function('writes',function() return 1 end)\"",
    );
    other.run("CLIENT PAUSE 100000 WRITE");
    for (line, held) in [
        (format!("EVAL \"{reads}\" 0"), false),
        (format!("EVAL \"{writes}\" 0"), true),
        ("EVAL 'return 1' 0".into(), true),
        ("EVAL_RO 'return 1' 0".into(), false),
        (format!("EVALSHA {read_sha} 0"), false),
        (format!("EVALSHA {write_sha} 0"), true),
        (format!("EVALSHA_RO {write_sha} 0"), false),
        ("FCALL reads 0".into(), false),
        ("FCALL writes 0".into(), true),
        ("FCALL_RO reads 0".into(), false),
    ] {
        let words = crate::testing::words(&line);
        db.raw(&words);
        assert_eq!(matches!(db.asked, Asked::Retry(_)), held, "{line}");
        db.run("MULTI; GET k");
        db.raw(&words);
        assert_eq!(matches!(db.asked, Asked::Retry(_)), held, "{line} in MULTI");
        db.raw(&["EXEC"]);
        assert_eq!(db.asked, Asked::Nothing, "EXEC of what could be queued");
        db.run("DISCARD");
    }
}

/// The time stands still in scripts and transactions.
#[test]
fn the_time_stands_still() {
    let mut db = TestClient::new();
    let script = "local a = redis.call('time') local t = os.clock() while os.clock() < t + 0.003 do end \
                  local b = redis.call('time') return {b[1] - a[1], b[2] - a[2]}";
    let reply = db.raw(&["EVAL", script, "0"]);
    assert_eq!(reply, b"*2\r\n:0\r\n:0\r\n");
    db.run("MULTI; TIME");
    db.raw(&[
        "EVAL",
        "local t = os.clock() while os.clock() < t + 0.003 do end return redis.call('time')",
        "0",
    ]);
    db.run("TIME");
    let reply = db.run("EXEC");
    let times: Vec<&str> = reply.split('[').filter(|part| part.contains('"')).collect();
    let first = times[0].trim_end_matches([']', ' ']);
    assert!(
        times.len() == 3
            && times
                .iter()
                .all(|time| time.trim_end_matches([']', ' ']) == first),
        "{reply}"
    );
    // Outside it goes on, and what was seen before is not later.
    let reply = db.pipeline(&["TIME", "EVAL \"return redis.call('time')\" 0", "TIME"]);
    let numbers: Vec<u64> = reply
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let micros: Vec<u64> = numbers.chunks(2).map(|t| t[0] * 1_000_000 + t[1]).collect();
    assert!(micros.is_sorted() && micros.len() == 3, "{reply}");
}

/// Once a script keeps others busy TIME goes on in it, and behind it in its transaction; for keys the time stands still.
#[test]
fn time_goes_on_in_a_script_that_keeps_others_busy() {
    let waits = "redis.call('SET', KEYS[1], 'v', 'PX', 1) local a, b, t = redis.call('time'), nil, os.clock() \
                 repeat b = redis.call('time') until b[2] ~= a[2] or os.clock() > t + tonumber(ARGV[1]) \
                 return {tostring(b[2] ~= a[2]), redis.call('PTTL', KEYS[1])}";
    let goes_on = b"*2\r\n$4\r\ntrue\r\n:1\r\n";
    let mut db = TestClient::with(&[("busy-reply-threshold", "1")]);
    assert_eq!(db.raw(&["EVAL", waits, "1", "k", "20"]), goes_on);
    db.run("MULTI; TIME");
    db.raw(&["EVAL", waits, "1", "k", "20"]);
    db.run("TIME; PTTL k");
    let reply = db.run("EXEC");
    let parts: Vec<&str> = (reply.split('['))
        .map(|part| part.trim_end_matches([']', ' ', '1']).trim_end())
        .collect();
    let [_, _, before, script, after] = parts[..] else {
        panic!("{reply}");
    };
    assert!(before != after && script == "\"true\"", "{reply}");
    assert!(reply.ends_with("] 1]"), "{reply}");
    // Without a threshold nobody is kept busy.
    db.run("CONFIG SET busy-reply-threshold 0");
    let stands_still = b"*2\r\n$5\r\nfalse\r\n:1\r\n";
    assert_eq!(db.raw(&["EVAL", waits, "1", "k", "0.05"]), stands_still);
}

/// A key that expires while a script runs is there for it to its end.
#[test]
fn nothing_expires_under_a_script() {
    let mut db = TestClient::new();
    let script = "redis.call('SET', KEYS[1], 'v', 'PX', 1) local t = os.clock() while os.clock() < t + 0.004 do end \
                  return redis.call('GET', KEYS[1])";
    assert_eq!(db.raw(&["EVAL", script, "1", "k"]), b"$1\r\nv\r\n");
}

#[test]
fn a_set_that_is_not_to_be_sorted_is_in_order_for_scripts() {
    let mut db = TestClient::new();
    db.run("SADD s b a c 1 2 10");
    for (options, expected) in [
        ("", "[\"1\" \"10\" \"2\" \"a\" \"b\" \"c\"]"),
        (",'desc'", "[\"c\" \"b\" \"a\" \"2\" \"10\" \"1\"]"),
        (",'limit','1','2'", "[\"10\" \"2\"]"),
        (",'get','#'", "[\"1\" \"10\" \"2\" \"a\" \"b\" \"c\"]"),
        (",'alpha'", "[\"1\" \"10\" \"2\" \"a\" \"b\" \"c\"]"),
    ] {
        db.check(
            &format!("EVAL \"return redis.call('sort',KEYS[1],'by','nosort'{options})\" 1 s"),
            expected,
        );
    }
}

#[test]
fn what_is_denied_to_scripts_can_be_allowed() {
    let mut db = TestClient::with(&[("enable-debug-command", "yes")]);
    let denied = "-ERR This Redis command is not allowed from script";
    db.check("EVAL \"return redis.pcall('client','getname')\" 0", denied);
    db.check(
        "DEBUG SET-DISABLE-DENY-SCRIPTS",
        "-ERR unknown subcommand or wrong number of arguments for 'SET-DISABLE-DENY-SCRIPTS'. Try DEBUG HELP.",
    );
    db.check("DEBUG SET-DISABLE-DENY-SCRIPTS 1", "OK");
    db.check("EVAL \"return redis.pcall('client','getname')\" 0", "nil");
    db.check(
        "EVAL \"return redis.pcall('config','get','port')[1]\" 0",
        "\"port\"",
    );
    for never in [
        "'eval','return 1',0",
        "'subscribe','a'",
        "'multi'",
        "'exec'",
    ] {
        db.check(&format!("EVAL \"return redis.pcall({never})\" 0"), denied);
    }
    db.check("DEBUG SET-DISABLE-DENY-SCRIPTS x", "OK");
    db.check("EVAL \"return redis.pcall('client','getname')\" 0", denied);
}

#[test]
fn texts_of_function() {
    let mut db = TestClient::new();
    for (line, name) in [
        ("FUNCTION FLUSH a b", "FLUSH"),
        ("FUNCTION restore a b c", "restore"),
    ] {
        let text = format!(
            "-ERR unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP."
        );
        db.check(line, &text);
    }
    db.check(
        "FUNCTION FLUSH a",
        "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
    );
}

/// Long sources are compiled where nobody waits for it.
#[test]
fn long_sources_are_compiled_elsewhere() {
    let mut db = TestClient::new();
    let source = format!("return 5 --{}", "x".repeat(100_000));
    assert_eq!(db.raw(&["EVAL", &source, "0"]), b":5\r\n");
    assert!(db.moved);
    db.raw(&["SCRIPT", "LOAD", &source]);
    assert!(db.moved);
    db.raw(&["EVAL", "return 5", "0"]);
    assert!(!db.moved);
}

/// A script is slow by its own time, and until it has been fast again some times.
#[test]
fn slowness_is_a_scripts_own_and_passes() {
    let mut db = TestClient::new();
    let script = "local t = os.clock() while os.clock() < t + tonumber(ARGV[1]) do end return 1";
    db.raw(&["EVAL", script, "0", "0.02"]);
    assert!(db.moved);
    let mut moved = 0;
    while {
        db.raw(&["EVAL", script, "0", "0"]);
        db.moved
    } {
        moved += 1;
        assert!(moved < 100, "it stays slow");
    }
    assert!(moved > 1);
}

/// A script that seems to run: beside one the client of these tests does not ask again by itself for what it waits for.
fn running(db: &TestClient) -> std::sync::Arc<Running> {
    db.engine.scripts.begin(Running {
        started_ms: crate::base::clock::unix_ms(),
        is_function: false,
        name: Vec::new(),
        command: Vec::new(),
        client: 0,
        end: Default::default(),
    })
}

/// A transaction whose scripts keep to their keys needs nobody's leave; one that cannot be undone does.
#[test]
fn transactions_with_scripts_do_not_wait_for_each_other() {
    let mut db = TestClient::new();
    let engine = db.engine.clone();
    let running = running(&db);
    let token = engine.keyspace().try_token();
    db.run("MULTI; SET a 1; EVAL \"return redis.call('incr',KEYS[1])\" 1 a");
    db.run("EVAL \"return redis.call('incr','b')\" 0; LPUSH l x");
    db.check("EXEC", "[OK 2 1 1]");
    db.run("SETRANGE c 5000 x; MULTI; APPEND c y; EVAL \"return redis.call('incr','b')\" 0");
    db.check("EXEC", "");
    assert!(matches!(db.asked, Asked::Retry(_)), "{:?}", db.asked);
    drop(token);
    db.check("EXEC", "[5002 2]");
    engine.scripts.end(&running);
}

/// What started over has been done once, is counted once, and was seen by nobody.
#[test]
fn a_transaction_starts_over() {
    let slow =
        "local t = os.clock() while os.clock() < t + 0.03 do end return redis.call('incr',KEYS[1])";
    let mut db = TestClient::new();
    let mut other = db.another();
    db.run("SET n 5; SET gone v; SELECT 2; SET two v; SELECT 0; CONFIG RESETSTAT");
    other.run("SUBSCRIBE news");
    db.run("WATCH n; MULTI; INCR n; GET n; SELECT 2; DEL two; SET new v; SELECT 0; LPUSH n x; PUBLISH news x; DEL gone");
    db.run("SET expired v PXAT 1; GET expired; GET none");
    db.raw(&["EVAL", slow, "1", "n"]);
    db.raw(&["EVAL", "return redis.pcall('lpush',KEYS[1],'x')", "1", "n"]);
    db.check(
        "EXEC",
        "[6 \"6\" OK 1 OK OK -WRONGTYPE Operation against a key holding the wrong kind of value 1 1 OK nil nil 7 \
         -WRONGTYPE Operation against a key holding the wrong kind of value]",
    );
    assert!(db.moved, "it was slow on the worker");
    assert_eq!(counts(&db, "incr"), (2, 0, 0));
    assert_eq!(counts(&db, "get"), (3, 0, 0));
    assert_eq!(counts(&db, "lpush"), (2, 0, 2));
    assert_eq!(counts(&db, "publish"), (1, 0, 0));
    assert_eq!(counts(&db, "eval"), (2, 0, 1));
    let stats = db.engine.stats();
    let looks = [
        stats.sum(|c| c.hits.get()),
        stats.sum(|c| c.misses.get()),
        stats.sum(|c| c.error_replies.get()),
    ];
    assert_eq!(looks, [1, 2, 2]);
    other.check_messages("[\"message\" \"news\" \"x\"]");
    db.check("GET n", "\"7\"");
    db.check("EXISTS gone expired", "0");
    db.run("SELECT 2");
    db.check("EXISTS two new", "1");
}

/// One that waits for a shard to start over with is told of what happens to watched keys meanwhile.
#[test]
fn a_transaction_that_starts_over_heeds_what_it_watches() {
    let mut db = TestClient::new();
    let mut other = db.another();
    let engine = db.engine.clone();
    let (ks, scripts) = (engine.keyspace(), &engine.scripts);
    for change in [false, true] {
        db.run("SET a 0; WATCH w; MULTI; INCR a; PING");
        let shard = ks.place(b"b").shard();
        db.raw(&["EVAL", "redis.call('incr','b') return 1", "1", "a"]);
        let running = running(&db);
        let held = ks.lock(shard);
        db.check("EXEC", "");
        assert!(matches!(db.asked, Asked::Retry(_)));
        other.check("GET a", "\"0\"");
        if change {
            other.run("SET w x");
        }
        drop(held);
        scripts.end(&running);
        db.check("EXEC", if change { "nil" } else { "[1 PONG 1]" });
        other.check("GET b", "\"1\"");
    }
}

/// Transactions with scripts of every kind beside each other, and somebody who sums up: no schedule shows half of one, none is done
/// twice, and all end.
#[test]
fn money_moves_in_transactions_with_scripts() {
    const ACCOUNTS: usize = 8;
    const ROUNDS: usize = 150;
    let mut first = TestClient::with(&[("shards", "4")]);
    for n in 0..ACCOUNTS {
        first.run(&format!("SET {n} 100"));
    }
    // Too large to be put back.
    for n in 0..1000 {
        first.run(&format!("HSET log field:{n} 0"));
    }
    let take = "return redis.call('decrby',KEYS[1],ARGV[1])";
    let give = "return redis.call('incrby',ARGV[2],ARGV[1])";
    let both = "local a, b = redis.call('get',ARGV[1]), redis.call('get',ARGV[2]) \
        redis.call('set',ARGV[1],a-1) redis.call('set',ARGV[2],b+1) return 1";
    std::thread::scope(|scope| {
        for worker in 0..6usize {
            let mut db = first.another();
            scope.spawn(move || {
                let mut seed = worker * 7919 + 1;
                let mut below = |n: usize| {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (seed >> 33) % n
                };
                for round in 0..ROUNDS {
                    let from = below(ACCOUNTS);
                    let to = (from + 1 + below(ACCOUNTS - 1)) % ACCOUNTS;
                    let (from, to) = (&from.to_string(), &to.to_string());
                    db.run("MULTI");
                    match worker {
                        0 => {
                            db.raw(&["DECRBY", from, "3"]);
                            db.raw(&["EVAL", give, "0", "3", to]);
                        }
                        1 => {
                            db.raw(&["EVAL", take, "1", from, "2"]);
                            db.raw(&["EVAL", give, "0", "2", to]);
                        }
                        2 => drop(db.raw(&["EVAL", both, "0", from, to])),
                        3 => {
                            db.raw(&["EVAL", take, "1", from, "1"]);
                            db.raw(&["INCR", to]);
                        }
                        4 => {
                            db.raw(&["INCR", to]);
                            db.raw(&["HINCRBY", "log", "field:1", "1"]);
                            db.raw(&["EVAL", give, "0", "-1", from]);
                        }
                        _ => {
                            let all: Vec<String> = (0..ACCOUNTS).map(|n| n.to_string()).collect();
                            let sum = "local sum = 0 for _, n in ipairs(ARGV) do sum = sum + redis.call('get', n) end return sum";
                            let mut argv = vec!["EVAL", sum, "0"];
                            argv.extend(all.iter().map(String::as_str));
                            db.raw(&argv);
                        }
                    }
                    // Beside a script that is slow the test's client does not ask again by itself.
                    let reply = loop {
                        let reply = db.run("EXEC");
                        if !reply.is_empty() {
                            break reply;
                        }
                    };
                    assert!(reply.starts_with('['), "{reply}");
                    if worker == 5 {
                        assert_eq!(reply, "[800]", "round {round}");
                    }
                }
            });
        }
    });
    let sum: i64 = (0..ACCOUNTS)
        .map(|n| {
            first
                .run(&format!("GET {n}"))
                .trim_matches('"')
                .parse::<i64>()
                .expect("a number")
        })
        .sum();
    assert_eq!(sum, 800);
    first.check("HGET log field:1", &format!("\"{ROUNDS}\""));
    assert!(
        first.engine.scripts.restarts.load(Relaxed) > 0,
        "nothing had to start over"
    );
}
