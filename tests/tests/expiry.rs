//! Keys with a time to live: gone when read, gone when nobody reads, and what keeps or drops the time.
//!
//! Nothing here asserts how long something takes: tests wait until a condition holds, and fail if it never does.

use redpoll_tests::check::{check, show};
use redpoll_tests::client::encode;
use redpoll_tests::{Client, Peers, Server, eventually};
use resp::Value;

/// A field of INFO.
fn info(client: &mut Client, section: &str, field: &str) -> String {
    let reply = client.run(&format!("INFO {section}"));
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = reply else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| {
        line.strip_prefix(field)?
            .strip_prefix(':')
            .map(str::to_owned)
    });
    line.unwrap_or_else(|| panic!("INFO {section} has no {field}:\n{text}"))
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        other => panic!("not a number: {}", show(other)),
    }
}

#[test]
fn an_expired_key_is_gone_for_every_command() {
    let server = Server::redpoll_with(&["--enable-debug-command", "yes"]);
    let mut c = server.connect();
    // Without the sweeper, so that it is reading that notices.
    check(&mut c, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    let gone = [
        ("GET k", "nil"),
        ("EXISTS k", "0"),
        ("TYPE k", "none"),
        ("TTL k", "-2"),
        ("PTTL k", "-2"),
        ("EXPIRETIME k", "-2"),
        ("STRLEN k", "0"),
        ("GETRANGE k 0 -1", "\"\""),
        ("PERSIST k", "0"),
        ("EXPIRE k 100", "0"),
        ("TOUCH k", "0"),
        ("DEL k", "0"),
        ("UNLINK k", "0"),
        ("RENAME k other", "-ERR no such key"),
        ("COPY k other", "0"),
        ("MOVE k 1", "0"),
        ("OBJECT ENCODING k", "nil"),
        ("MGET k k", "[nil, nil]"),
        ("SET k new XX", "nil"),
        ("KEYS *", "[]"),
        ("SCAN 0 COUNT 1000", "[\"0\", []]"),
        ("APPEND k a", "1"),
        ("INCR k", "1"),
        ("SETNX k v", "1"),
        ("SETBIT k 0 1", "0"),
        ("GETSET k v", "nil"),
    ];
    for (command, expected) in gone {
        check(&mut c, "FLUSHALL", "OK");
        check(&mut c, "SET k 10 PX 1", "OK");
        eventually("the key's time is over", || number(&c.run("PTTL k")) == -2);
        // PTTL has removed it; a fresh one expires unseen, before one that is set after it.
        check(&mut c, "SET k 10 PX 1", "OK");
        check(&mut c, "SET probe 1 PX 2", "OK");
        eventually("a later key's time is over", || {
            number(&c.run("PTTL probe")) == -2
        });
        check(&mut c, command, expected);
    }
}

/// SCAN removes what it finds expired, be it of the type and the name that are asked for or not.
#[test]
fn a_scan_removes_what_has_expired() {
    let name = "a_scan_removes_what_has_expired";
    let args = ["--enable-debug-command", "yes"];
    let mut servers = vec![Server::redpoll_with(&args)];
    let peers = Peers::find().or_skip(name);
    servers.extend(peers.and_then(|p| p.redis8.map(|peer| Server::peer(&peer, &args))));
    for server in &servers {
        let mut c = server.connect();
        check(&mut c, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
        for scan in [
            "MATCH x*",
            "TYPE string",
            "TYPE hash",
            "MATCH x* TYPE hash",
            "",
        ] {
            c.run("SET k v PX 1");
            c.run("HSET h f v");
            c.run("PEXPIRE h 1");
            // Until then both are there.
            check(&mut c, "DBSIZE", "2");
            c.run("SET clock v PX 2");
            eventually("all of them are over", || {
                show(&c.run("GET clock")) == "nil"
            });
            c.run(&format!("SCAN 0 COUNT 1000 {scan}"));
            assert_eq!(show(&c.run("DBSIZE")), "0", "{}: {scan}", server.name());
        }
    }
}

#[test]
fn keys_that_nobody_reads_are_swept() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let mut pipeline = Vec::new();
    for i in 0..20_000 {
        encode(
            &[
                "SET",
                &format!("key:{i}"),
                "some value of a few bytes",
                "PX",
                &(1 + i % 300).to_string(),
            ],
            &mut pipeline,
        );
    }
    for i in 0..100 {
        encode(&["SET", &format!("stays:{i}"), "v"], &mut pipeline);
    }
    c.send_and_read(&pipeline, 20_100, |_, raw| assert_eq!(raw, b"+OK\r\n"));
    eventually("only keys without expiry are left", || {
        number(&c.run("DBSIZE")) == 100
    });
    assert_eq!(info(&mut c, "stats", "expired_keys"), "20000");
    assert!(info(&mut c, "keyspace", "db0").starts_with("keys=100,expires=0,"));
}

#[test]
fn the_sweeper_can_be_stopped_and_started() {
    let server = Server::redpoll_with(&["--enable-debug-command", "yes"]);
    let mut c = server.connect();
    check(&mut c, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    check(&mut c, "SET unread v PX 1", "OK");
    check(&mut c, "SET read v PX 2", "OK");
    eventually("the later key's time is over", || {
        number(&c.run("PTTL read")) == -2
    });
    check(&mut c, "DBSIZE", "1");
    check(&mut c, "DEBUG SET-ACTIVE-EXPIRE 1", "OK");
    eventually("the unread key is swept", || number(&c.run("DBSIZE")) == 0);
}

#[test]
fn what_keeps_and_what_drops_the_time() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let kept = [
        "APPEND k 1",
        "INCR k",
        "INCRBY k 5",
        "INCRBYFLOAT k 1.5",
        "SETRANGE k 0 7",
        "SETBIT k 1 1",
        "GET k",
        "GETEX k",
        "SET k 5 KEEPTTL",
        "TOUCH k",
        "BITFIELD k SET u8 0 1",
    ];
    for command in kept {
        check(&mut c, "SET k 10 EX 1000", "OK");
        c.run(command);
        assert!(
            (990..=1000).contains(&number(&c.run("TTL k"))),
            "{command} loses the time"
        );
    }
    for command in [
        "SET k 5",
        "GETSET k 5",
        "GETEX k PERSIST",
        "PERSIST k",
        "MSET k 5",
        "BITOP NOT k k",
    ] {
        check(&mut c, "SET k 10 EX 1000", "OK");
        c.run(command);
        check(&mut c, "TTL k", "-1");
    }
    for (command, key) in [("RENAME k other", "other"), ("COPY k copy", "copy")] {
        check(&mut c, "SET k 10 EX 1000", "OK");
        c.run(command);
        assert!(
            number(&c.run(&format!("TTL {key}"))) > 0,
            "{command} loses the time"
        );
    }
    check(&mut c, "SET k 10 EX 1000", "OK");
    check(&mut c, "MOVE k 1", "1");
    check(&mut c, "SELECT 1", "OK");
    assert!(number(&c.run("TTL k")) > 0, "MOVE loses the time");
}

#[test]
fn times_in_the_past_delete() {
    let server = Server::redpoll();
    let mut c = server.connect();
    for command in [
        "EXPIRE k 0",
        "EXPIRE k -1",
        "PEXPIRE k -1",
        "EXPIREAT k 1",
        "PEXPIREAT k 1",
    ] {
        check(&mut c, "SET k v", "OK");
        check(&mut c, command, "1");
        check(&mut c, "EXISTS k", "0");
        check(&mut c, "DBSIZE", "0");
    }
    check(&mut c, "SET k v EXAT 1", "OK");
    check(&mut c, "GET k", "nil");
    check(
        &mut c,
        "SET k v EX 0",
        "-ERR invalid expire time in 'set' command",
    );
    check(&mut c, "SET k v", "OK");
    check(
        &mut c,
        "EXPIRE k 9223372036854775807",
        "-ERR invalid expire time in 'expire' command",
    );
    check(&mut c, "TTL k", "-1");
}
