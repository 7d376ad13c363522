//! The server as a process: how it starts, reads its configuration, refuses mistakes, and leaves.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::server::run_redpoll;
use redpoll_tests::{Client, Server, eventually};
use rustix::process::Signal;

/// Runs redpoll with a mistake: one line that names it, on standard error, and a status that is not 0.
#[track_caller]
fn refuses(args: &[&str], files: &[(&str, &str)], named: &str) {
    let run = run_redpoll(args, files);
    assert!(
        !run.status.success(),
        "{args:?} is accepted; it wrote:\n{}{}",
        run.stdout,
        run.stderr
    );
    assert_eq!(
        run.stderr.lines().count(),
        1,
        "{args:?} should be one clear line, but it wrote:\n{}",
        run.stderr
    );
    assert!(
        run.stderr.contains(named),
        "{args:?}: the line does not name {named}:\n{}",
        run.stderr
    );
}

#[test]
fn mistakes_are_one_clear_line() {
    refuses(&["--nosuchdirective", "1"], &[], "nosuchdirective");
    refuses(&["--port", "abc"], &[], "port");
    refuses(&["--port", "70000"], &[], "port");
    refuses(&["--port"], &[], "port");
    refuses(&["--databases", "0"], &[], "databases");
    refuses(&["--appendonly", "perhaps"], &[], "appendonly");
    refuses(
        &["--bind", "203.0.113.1", "--port", "0", "--port", "21299"],
        &[],
        "203.0.113.1",
    );
    refuses(&["nosuchfile.conf"], &[], "nosuchfile.conf");
    refuses(
        &["a.conf"],
        &[("a.conf", "port 0\n\nnosuchdirective yes\n")],
        "nosuchdirective",
    );
    refuses(
        &["a.conf"],
        &[("a.conf", "port 0\nbind \"127.0.0.1\n")],
        "a.conf",
    );
    refuses(
        &["a.conf"],
        &[("a.conf", "include missing.conf\n")],
        "missing.conf",
    );
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let server = Server::redpoll();
    let port = server.port().to_string();
    refuses(&["--port", &port, "--bind", "127.0.0.1"], &[], &port);
    check(&mut server.connect(), "PING", "PONG");
}

#[test]
fn signals_and_shutdown_leave_with_status_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::redpoll();
        let mut client = server.connect();
        check(&mut client, "SET k v", "OK");
        server.signal(signal);
        let status = server.wait();
        assert_eq!(
            status.code(),
            Some(0),
            "after {signal:?}; its log:\n{}",
            server.log()
        );
        assert_eq!(client.read_to_close(), b"");
    }
    for command in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN NOW FORCE"] {
        let mut server = Server::redpoll();
        let mut client = server.connect();
        // What was asked before is answered before it leaves.
        client
            .send_raw(format!("SET k v\r\nGET k\r\n{command}\r\n").as_bytes())
            .expect("the server takes a pipeline");
        assert_eq!(client.read_to_close(), b"+OK\r\n$1\r\nv\r\n");
        assert_eq!(server.wait().code(), Some(0), "{command}");
    }
}

/// Scripts do not keep the process: those that can be taken back are, the others are left behind when the time is over.
#[test]
fn it_leaves_while_a_script_runs() {
    const FOREVER: &str = "while true do end";
    const LARGE: &str = "for i = 1, 2000 do redis.call('RPUSH', KEYS[1], string.rep(i, 20)) end";
    const FOREVER_AFTER_A_LARGE_WRITE: &str = "redis.call('RPUSH', KEYS[1], 'x') while true do end";
    for (script, threads) in [
        (FOREVER, "1"),
        (FOREVER, "2"),
        (FOREVER_AFTER_A_LARGE_WRITE, "2"),
    ] {
        for command in ["SHUTDOWN NOSAVE", "a signal"] {
            let args = ["--threads", threads, "--shutdown-timeout", "1"];
            let mut server = Server::redpoll_with(&args);
            let (mut stuck, mut other) = (server.connect(), server.connect());
            check_args(&mut other, &["EVAL", LARGE, "1", "k"], "nil");
            stuck.send(&["EVAL", script, "1", "k"]);
            eventually("the script runs", || {
                let stats = show(&other.run("FUNCTION STATS"));
                !stats.starts_with("[\"running_script\", nil")
            });
            match command {
                "a signal" => server.signal(Signal::TERM),
                command => other.send(&command.split(' ').collect::<Vec<_>>()),
            }
            assert_eq!(server.wait().code(), Some(0), "{command}: {script}");
            let reply = stuck.read_to_close();
            let undone = &b"-ERR The server is shutting down\r\n"[..];
            assert!(
                reply == if script == FOREVER { undone } else { b"" },
                "{}",
                reply.escape_ascii()
            );
        }
    }
}

#[test]
fn shutdown_refuses_what_it_does_not_know() {
    let server = Server::redpoll();
    let mut c = server.connect();
    check(&mut c, "SHUTDOWN SAVE NOSAVE", "-ERR syntax error");
    check(&mut c, "SHUTDOWN MAYBE", "-ERR syntax error");
    check(&mut c, "SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    check(&mut c, "PING", "PONG");
}

#[test]
fn it_says_when_it_is_ready() {
    let server = Server::redpoll();
    assert!(
        server.log().contains("Ready to accept connections"),
        "its log:\n{}",
        server.log()
    );
}

#[test]
fn a_unix_socket_is_the_same_server() {
    let server = Server::redpoll_with(&["--unixsocket", "redpoll.sock"]);
    let path = server.dir().join("redpoll.sock");
    let mut unix = Client::connect_unix(&path).expect("the socket is there");
    let mut tcp = server.connect();
    check(&mut unix, "SET k over-unix", "OK");
    check(&mut tcp, "GET k", "\"over-unix\"");
    let list = show(&unix.run("CLIENT LIST"));
    assert!(list.contains("redpoll.sock:0"), "{list}");
}

#[test]
fn a_configuration_file_with_quotes_comments_and_includes() {
    let text = "# a comment\n\n  databases 4  \ntimeout 300\nrequirepass \"a \\\"quoted\\\" p\\x61ss\"\n\
        include more.conf\ntcp-keepalive 60\n";
    let dir = redpoll_tests::server::fresh_dir();
    let more = dir.join("more.conf");
    std::fs::write(
        &more,
        "maxclients '77'\nProto-Max-Bulk-Len 100mb\ntcp-keepalive 1\n",
    )
    .expect("a file can be written");
    let text = text.replace("more.conf", &more.display().to_string());
    // The command line comes after the file.
    let server = Server::redpoll_with_file(&text, &["--timeout", "100"]);
    let mut c = server.connect();
    check(&mut c, "PING", "-NOAUTH Authentication required.");
    check_args(&mut c, &["AUTH", "a \"quoted\" pass"], "OK");
    for (name, value) in [
        ("databases", "4"),
        ("timeout", "100"),
        ("maxclients", "77"),
        ("proto-max-bulk-len", "104857600"),
        ("tcp-keepalive", "60"),
    ] {
        check(
            &mut c,
            &format!("CONFIG GET {name}"),
            &format!("[\"{name}\", \"{value}\"]"),
        );
    }
    check(&mut c, "SELECT 3", "OK");
    check(&mut c, "SELECT 4", "-ERR DB index is out of range");
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn config_set_changes_what_it_says() {
    let server = Server::redpoll();
    let mut c = server.connect();
    check(&mut c, "CONFIG SET timeout 50 maxclients 200", "OK");
    check(&mut c, "CONFIG GET timeout", "[\"timeout\", \"50\"]");
    check(&mut c, "CONFIG GET timeout nosuch", "[\"timeout\", \"50\"]");
    let both = show(&c.run("CONFIG GET m?xclients timeou*"));
    assert!(
        both.contains("\"maxclients\", \"200\"") && both.contains("\"timeout\", \"50\""),
        "{both}"
    );
    let refused = [
        (
            "CONFIG SET nosuch 1",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
        ),
        (
            "CONFIG SET timeout",
            "-ERR wrong number of arguments for 'config|set' command",
        ),
        (
            "CONFIG SET timeout abc",
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer",
        ),
        (
            "CONFIG SET databases 5",
            "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
        ),
        (
            "CONFIG SET timeout 1 timeout 2",
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter",
        ),
    ];
    for (command, error) in refused {
        check(&mut c, command, error);
    }
    // All or nothing.
    c.run("CONFIG SET timeout 60 maxclients abc");
    check(&mut c, "CONFIG GET timeout", "[\"timeout\", \"50\"]");
    check(&mut c, "CONFIG SET requirepass secret", "OK");
    let mut stranger = server.connect();
    check(&mut stranger, "GET k", "-NOAUTH Authentication required.");
    check(
        &mut stranger,
        "AUTH wrong",
        "-WRONGPASS invalid username-password pair or user is disabled.",
    );
    check(&mut stranger, "AUTH default secret", "OK");
    check(&mut stranger, "CONFIG SET requirepass nosuch", "OK");
    check_args(&mut stranger, &["CONFIG", "SET", "requirepass", ""], "OK");
    check(&mut server.connect(), "GET k", "nil");
}

#[test]
fn several_threads_share_one_keyspace() {
    let server = Server::redpoll_with(&["--threads", "4"]);
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        check(client, &format!("SET key:{i} {i}"), "OK");
    }
    for (i, client) in clients.iter_mut().rev().enumerate() {
        check(client, &format!("GET key:{i}"), &format!("\"{i}\""));
        check(client, "DBSIZE", "16");
    }
}

#[test]
fn info_counts() {
    let server = Server::redpoll();
    let mut c = server.connect();
    check(&mut c, "CONFIG RESETSTAT", "OK");
    check(&mut c, "SET k v", "OK");
    check(&mut c, "GET k", "\"v\"");
    check(&mut c, "GET missing", "nil");
    c.run("GET");
    c.run("INCR k");
    let info = show(&c.run("INFO everything"));
    for wanted in [
        "keyspace_hits:1\\r",
        "keyspace_misses:1\\r",
        "cmdstat_set:calls=1,",
        "cmdstat_get:calls=2,",
        "errorstat_ERR:count=2\\r",
        "connected_clients:",
        "used_memory:",
        "db0:keys=1,expires=0,",
        "redis_version:",
        "tcp_port:",
        "uptime_in_seconds:",
        "total_commands_processed:",
    ] {
        assert!(info.contains(wanted), "INFO has no {wanted}: {info}");
    }
    eventually("INFO of one section is only that section", || {
        let keyspace = show(&c.run("INFO keyspace"));
        keyspace.contains("# Keyspace") && !keyspace.contains("# Server")
    });
}
