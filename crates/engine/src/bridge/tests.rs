//! What scripts count, may do and see, as real servers have it (Redis 8.2.3, where nothing is said).

use crate::testing::{Asked, TestClient};
use std::sync::atomic::Ordering::Relaxed;

/// What a command has counted: (calls, rejected, failed).
fn counts(db: &TestClient, name: &str) -> (u64, u64, u64) {
    let words: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
    let entry = db.engine.registry().resolve(&words).expect("a command");
    let tally = &db.worker.counters().commands[entry.id];
    (tally.calls.get(), tally.rejected.get(), tally.failed.get())
}

fn errors(db: &TestClient) -> u64 {
    db.worker.counters().error_replies.get()
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

/// What a script asks for and does not get is rejected; what it does get counts as everybody's commands do.
#[test]
fn commands_of_scripts_are_counted() {
    let mut db = TestClient::new();
    let before = db.session.client().commands.load(Relaxed);
    db.run("EVAL \"redis.call('get','a') redis.call('get','b') return redis.pcall('get')\" 0");
    assert_eq!(counts(&db, "get"), (2, 1, 0));
    assert_eq!(db.session.client().commands.load(Relaxed), before + 3);
    assert_eq!(db.worker.counters().calls.get(), 3);
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
