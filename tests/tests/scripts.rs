//! Scripts as the server runs them: slow ones, ones that must be ended, ones that need keys they did not name.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::{Client, Server, eventually};
use std::time::Duration;

/// Runs until it is killed, and writes nothing.
const FOREVER: &str = "while true do end";
/// The same after a write to its key.
const FOREVER_AFTER_A_WRITE: &str = "redis.call('SET', KEYS[1], 'x') while true do end";

/// Whether a script is running that has been noticed.
fn runs(client: &mut Client) -> bool {
    !show(&client.run("FUNCTION STATS")).starts_with("[\"running_script\", nil")
}

/// Even on the one worker there is: the script is moved out of its way.
#[test]
fn an_endless_script_does_not_stop_the_server() {
    let server = Server::redpoll_with(&["--threads", "1"]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    stuck.send(&["EVAL", FOREVER, "1", "k"]);
    eventually("the script runs", || runs(&mut other));
    check(&mut other, "SET elsewhere 1", "OK");
    check(&mut other, "PING", "PONG");
    let mut late = server.connect();
    check(&mut late, "GET elsewhere", "\"1\"");
    check(
        &mut other,
        "FUNCTION KILL",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    );
    check(&mut other, "SCRIPT KILL", "OK");
    let reply = show(&stuck.read());
    assert!(
        reply.starts_with("-ERR Script killed by user with SCRIPT KILL..."),
        "{reply}"
    );
    check(&mut stuck, "PING", "PONG");
    check(
        &mut other,
        "SCRIPT KILL",
        "-NOTBUSY No scripts in execution right now.",
    );
}

/// Scripts whose time goes into library functions are moved and killed like others, wherever they are.
#[test]
fn a_script_inside_of_a_library_function_does_not_stop_the_server() {
    let server = Server::redpoll_with(&["--threads", "1"]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    for script in [
        "return string.find(string.rep('a',200000), string.rep('a?',20)..string.rep('a',20)..'b')",
        "local s = string.rep('x',1000000) while true do cjson.encode({s}) end",
        "local s = string.rep('x',1000000) while true do local t = s .. 1 end",
        "local t = {} for i = 1, 100000 do t[i] = i end while true do table.sort(t, rawequal) end",
        "return xpcall(function() while true do end end, function() while true do end end)",
        "local f = function() return pcall(string.gsub, string.rep('a',200000), string.rep('a-',20)..'b', '') end \
         while true do f() end",
    ] {
        stuck.send(&["EVAL", script, "1", "k"]);
        eventually("the script runs", || runs(&mut other));
        check(&mut other, "SET elsewhere 1", "OK");
        check(&mut server.connect(), "GET elsewhere", "\"1\"");
        check(&mut other, "SCRIPT KILL", "OK");
        let reply = show(&stuck.read());
        assert!(
            reply.starts_with("-ERR Script killed by user with SCRIPT KILL..."),
            "{script}: {reply}"
        );
        check(&mut stuck, "PING", "PONG");
    }
}

/// When a slow script is moved, nothing of it runs on the worker any more: an error handler neither hangs nor leaves a trace.
#[test]
fn a_script_that_never_fails_calls_no_error_handler() {
    let server = Server::redpoll_with(&["--threads", "1"]);
    let mut client = server.connect();
    let script = "local ok, r = xpcall(function() for i = 1, 2e7 do end return 'fine' end, \
                  function(e) redis.call('INCR', KEYS[1]) while true do end end) return {tostring(ok), tostring(r)}";
    check_args(
        &mut client,
        &["EVAL", script, "1", "k"],
        "[\"true\", \"fine\"]",
    );
    check(&mut client, "GET k", "nil");
}

/// Who needs the script's keys waits, is told BUSY after the threshold, and goes on when the script is gone.
#[test]
fn those_who_need_a_slow_scripts_keys_are_told() {
    let server = Server::redpoll_with(&["--threads", "2", "--busy-reply-threshold", "300"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    let [stuck, waiting, other, more] = &mut clients[..] else {
        unreachable!()
    };
    stuck.send(&["EVAL", FOREVER, "1", "k"]);
    eventually("the script runs", || runs(other));
    let busy =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    check(waiting, "SET k 1", busy);
    check(waiting, "MGET k other", busy);
    check(waiting, "FLUSHALL", busy);
    // It needs no locks.
    check(waiting, "DBSIZE", "0");
    check(waiting, "MULTI", "OK");
    check(waiting, "SET k 2", "QUEUED");
    check(waiting, "SET j 2", "QUEUED");
    let aborted = format!(
        "-EXECABORT Transaction discarded because of: {}",
        &busy[1..]
    );
    check(waiting, "EXEC", &aborted);
    check(waiting, "PING", "PONG");
    check(other, "CONFIG SET busy-reply-threshold 100000", "OK");
    more.send(&["GET", "k"]);
    check(other, "SET unrelated 1", "OK");
    check(other, "SCRIPT KILL", "OK");
    assert_eq!(show(&more.read()), "nil");
}

/// What has written and cannot be taken back is not killed.
#[test]
fn a_script_that_has_written_is_not_killed() {
    let server = Server::redpoll_with(&["--threads", "2"]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    stuck.send(&["EVAL", FOREVER_AFTER_A_WRITE, "1", "k"]);
    eventually("a script that has written runs", || {
        let reply = show(&other.run("SCRIPT KILL"));
        if reply == "OK" {
            // It had just been undone, to go on elsewhere, and had written nothing yet.
            stuck.read();
            stuck.send(&["EVAL", FOREVER_AFTER_A_WRITE, "1", "k"]);
        }
        assert!(
            reply == "OK" || reply.starts_with("-NOTBUSY ") || reply.starts_with("-UNKILLABLE "),
            "{reply}"
        );
        reply.starts_with("-UNKILLABLE ")
    });
    check(&mut other, "PING", "PONG");
    // As with a real server, only this helps.
    other.send(&["SHUTDOWN", "NOSAVE"]);
    drop((stuck, other, server));
}

/// A script that is slow on a worker is undone and run again elsewhere; its writes are there once.
#[test]
fn a_slow_script_that_is_moved_writes_once() {
    let server = Server::redpoll_with(&["--threads", "1"]);
    let mut client = server.connect();
    let slow = "redis.call('INCR', KEYS[1]) redis.call('APPEND', 'undeclared', 'x') \
                for i = 1, 20000000 do end return redis.call('INCR', KEYS[1])";
    for expected in ["2", "4"] {
        check_args(&mut client, &["EVAL", slow, "1", "n"], expected);
    }
    check(&mut client, "GET undeclared", "\"xx\"");
}

/// What makes a script one that cannot be undone: it changes a large value.
const LARGE: &str = "for i = 1, 2000 do redis.call('RPUSH', KEYS[1], string.rep(i, 20)) end";

/// A script that cannot be undone stays on its worker, and the worker's other connections are served by another thread.
#[test]
fn an_endless_script_that_cannot_be_undone_does_not_stop_the_server() {
    let args = [
        "--threads",
        "1",
        // Long enough for the ten others to be served before the script counts as slow, on a busy machine too.
        "--busy-reply-threshold",
        "2000",
        "--shutdown-timeout",
        "1",
    ];
    let mut server = Server::redpoll_with(&args);
    let mut others: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    let mut stuck = server.connect();
    check_args(&mut stuck, &["EVAL", LARGE, "1", "k"], "nil");
    stuck.send(&[
        "EVAL",
        "redis.call('RPUSH', KEYS[1], 'x') while true do end",
        "1",
        "k",
    ]);
    for other in &mut others {
        check(other, "SET elsewhere 1", "OK");
        check(other, "PING", "PONG");
    }
    let busy =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    check(&mut others[0], "LLEN k", busy);
    let reply = show(&others[0].run("SCRIPT KILL"));
    assert!(reply.starts_with("-UNKILLABLE "), "{reply}");
    others[0].send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.wait().code(), Some(0));
}

/// The same of a script in a transaction, which is never moved.
#[test]
fn an_endless_script_in_a_transaction_does_not_stop_the_server() {
    let server = Server::redpoll_with(&["--threads", "1"]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    for _ in 0..3 {
        check(&mut stuck, "MULTI", "OK");
        check(&mut stuck, "GET j", "QUEUED");
        check_args(&mut stuck, &["EVAL", FOREVER, "0"], "QUEUED");
        stuck.send(&["EXEC"]);
        eventually("the script runs", || runs(&mut other));
        check(&mut other, "SET elsewhere 1", "OK");
        check(&mut server.connect(), "GET elsewhere", "\"1\"");
        check(&mut other, "SCRIPT KILL", "OK");
        let reply = show(&stuck.read());
        assert!(reply.contains("Script killed by user"), "{reply}");
        check(&mut stuck, "PING", "PONG");
    }
}

/// Slow scripts that cannot be undone, one after the other: threads take the worker's part in turns.
#[test]
fn slow_scripts_that_cannot_be_undone_end_as_they_should() {
    let server = Server::redpoll_with(&["--threads", "1"]);
    let mut others: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    let mut slow = server.connect();
    check_args(&mut slow, &["EVAL", LARGE, "1", "k"], "nil");
    let script = "redis.call('RPUSH', KEYS[1], 'x') for i = 1, 1000000 do end return redis.call('LLEN', KEYS[1])";
    for round in 1..=30 {
        slow.send(&["EVAL", script, "1", "k"]);
        for other in &mut others {
            check(other, "PING", "PONG");
        }
        assert_eq!(show(&slow.read()), (2000 + round).to_string());
        check(&mut slow, "PING", "PONG");
    }
}

/// The answers to those who ask about, or try to end, what is not theirs, as real servers give them.
#[test]
fn functions_beside_scripts() {
    let server = Server::redpoll_with(&["--threads", "2", "--busy-reply-threshold", "1"]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    stuck.send(&["EVAL", FOREVER_AFTER_A_WRITE, "1", "k"]);
    eventually("the script runs", || runs(&mut other));
    let busy =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    eventually("the threshold passes", || {
        show(&other.run("FUNCTION STATS")) == busy
    });
    eventually("it has written", || {
        show(&other.run("FUNCTION KILL")).starts_with("-UNKILLABLE ")
    });
}

/// A client that is gone while its script waits or runs takes nothing with it.
#[test]
fn a_client_that_leaves_its_script_behind() {
    let server = Server::redpoll_with(&["--threads", "2"]);
    let mut other = server.connect();
    let mut gone = server.connect();
    gone.send(&["EVAL", FOREVER, "1", "k"]);
    eventually("the script runs", || runs(&mut other));
    drop(gone);
    check(&mut other, "SCRIPT KILL", "OK");
    other
        .set_read_timeout(Duration::from_secs(20))
        .expect("a timeout");
    check(&mut other, "SET k 1", "OK");
}
