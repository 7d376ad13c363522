//! Redpoll as a replica of real servers: it follows them under load, over links that break, and leaves those that send what cannot
//! be loaded as it found itself.

use redpoll_tests::check::show;
use redpoll_tests::fake_primary::{FakePrimary, rdb, with_length};
use redpoll_tests::replication::{
    DEBUG, Load, Proxy, Stopping, contents, in_sync, info, real, same,
};
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Server, env_number, eventually, every_peer};
use resp::Value;
use rustix::process::Signal;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

fn replica(args: &[&str]) -> Server {
    Server::redpoll_with(&[&DEBUG[..], args].concat())
}

fn follow(replica: &mut Client, port: u16) {
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(show(&reply), "OK");
}

/// Of every server under a write load of everything, in every way a copy comes and is taken: the same data in the end.
#[test]
fn follows_real_servers_under_load() {
    let seed = env_number("REDPOLL_SEED", 1);
    let ways = ["disabled", "swapdb", "on-empty-db", "flush-before-load"];
    for (at, peer) in every_peer("follows_real_servers_under_load")
        .iter()
        .enumerate()
    {
        let diskless = ["yes", "no"][at % 2];
        let primary = real(peer, &["--repl-diskless-sync", diskless]);
        let mut p = primary.connect();
        Load::new(seed).send(&mut p, 1500);
        let server = replica(&["--repl-diskless-load", ways[at % ways.len()]]);
        let mut r = server.connect();
        r.run("SET old 1");
        let stop = Arc::new(AtomicBool::new(false));
        let loader = {
            let (stop, mut client) = (stop.clone(), primary.connect());
            thread::spawn(move || {
                let mut load = Load::new(seed + 1);
                while !stop.load(SeqCst) {
                    load.send(&mut client, 50);
                }
            })
        };
        follow(&mut r, primary.port());
        eventually("the link is up", || {
            info(&mut r, "master_link_status") == "up"
        });
        Load::new(seed + 2).send(&mut p, 1500);
        stop.store(true, SeqCst);
        loader.join().expect("the load ends");
        in_sync(&mut p, &mut r);
        assert_eq!(
            info(&mut r, "redpoll_stream_errors"),
            "0",
            "{}",
            server.log()
        );
        same(
            &format!("{} of REDPOLL_SEED={seed}", primary.name()),
            &mut p,
            &mut r,
        );
        assert_eq!(info(&mut r, "redpoll_link_full_syncs"), "1");
        // On its own again, it has what it had.
        let before = contents(&mut r);
        r.run("REPLICAOF NO ONE");
        drop(primary);
        assert_eq!(show(&r.run("SET mine 1")), "OK");
        r.run("DEL mine");
        assert_eq!(contents(&mut r).get("functions"), before.get("functions"));
    }
}

/// What real servers write into their streams and would refuse from a client, or what only some of them understand.
#[test]
fn what_only_a_primary_says() {
    for peer in every_peer("what_only_a_primary_says") {
        let primary = real(&peer, &[]);
        let (mut p, server) = (primary.connect(), replica(&[]));
        let mut r = server.connect();
        follow(&mut r, primary.port());
        eventually("the link is up", || {
            info(&mut r, "master_link_status") == "up"
        });
        for line in [
            "ZADD z -1 a 0 b 1 c 8 d 16 e inf f",
            // Redis before 8 and Valkey before 9 read bounds with strtod; _ is a space.
            "ZRANGESTORE one z _1 0x10 BYSCORE",
            "ZRANGESTORE two z (_0x1p3 __1e400 BYSCORE LIMIT 0 1",
            "ZREMRANGEBYSCORE z ( _0x.8p1",
            // The ~ becomes a =, and the limit stays.
            "XADD s MAXLEN ~ 1 LIMIT 10 1-1 a b",
            "XADD s MAXLEN ~ 1 LIMIT 10 2-1 a b",
            "XTRIM s MINID ~ 2 LIMIT 0",
        ] {
            let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
            // Who refuses it says nothing of it either.
            p.call(&words);
        }
        in_sync(&mut p, &mut r);
        assert_eq!(
            info(&mut r, "redpoll_stream_errors"),
            "0",
            "{}: {}",
            primary.name(),
            server.log()
        );
        same(primary.name(), &mut p, &mut r);
    }
}

/// The link breaks everywhere: in the handshake, in the copy, in the stream. The data are the same in the end, and a copy that was
/// taken is not taken again.
#[test]
fn links_that_break() {
    for peer in every_peer("links_that_break").iter().step_by(4) {
        let primary = real(
            peer,
            &["--repl-backlog-size", "10mb", "--rdbcompression", "no"],
        );
        let mut p = primary.connect();
        let mut load = Load::new(7);
        load.send(&mut p, 600);
        p.call(&["SET", "large", &"x".repeat(200_000)]);
        let proxy = Proxy::to(&primary);
        let server = replica(&["--repl-timeout", "20"]);
        let mut r = server.connect();
        // Before the copy is whole nothing of it is seen.
        r.run("SET old 1");
        for bytes in [0, 3, 40, 130, 300, 5_000, 90_000] {
            let before = proxy.connections();
            proxy.cut_after(bytes);
            if bytes == 0 {
                follow(&mut r, proxy.port());
            }
            eventually("it has tried again", || proxy.connections() > before);
            eventually("it was cut", || {
                !info(&mut r, "redpoll_link_error").is_empty()
            });
            assert_eq!(show(&r.run("GET old")), "\"1\"", "after {bytes} bytes");
        }
        proxy.open(true);
        in_sync(&mut p, &mut r);
        let copies = info(&mut r, "redpoll_link_full_syncs");
        for bytes in [1u64, 7, 33, 64, 500] {
            proxy.cut_after(bytes);
            load.send(&mut p, 120);
            proxy.open(true);
            eventually("the link is cut", || {
                p.run("INCR cuts");
                info(&mut r, "redpoll_link_partial_syncs") != "0"
            });
        }
        in_sync(&mut p, &mut r);
        same(primary.name(), &mut p, &mut r);
        assert_eq!(
            info(&mut r, "redpoll_link_full_syncs"),
            copies,
            "{}",
            server.log()
        );
    }
}

/// What cannot be loaded is said, the link is left, and nothing that was here is gone.
#[test]
fn a_primary_whose_data_cannot_be_loaded() {
    // A key, "k", of type string; then what is wrong.
    let key = b"\0\x01k\x01v";
    let module = [&[7][..], b"\x01m", &[129, 0, 0, 0, 0, 0, 0, 0, 9], &[0]].concat();
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("not an RDB", with_length(b"HTTP/1.1 400 Bad Request")),
        (
            "cannot be loaded",
            with_length(&rdb(&[key, &module[..]].concat())),
        ),
        (
            "cannot be loaded",
            with_length(&rdb(&[&key[..], b"\x22\x01x\x01y"].concat())),
        ),
        ("version", with_length(&[b"REDIS9999", &key[..]].concat())),
        (
            "cannot be loaded",
            with_length(&rdb(&[&key[..], &key[..], &[254, 99], &key[..]].concat())),
        ),
        (
            "cannot be loaded",
            with_length(&rdb(&[&[245, 5][..], b"hello", &key[..]].concat())),
        ),
        (
            "gave the synchronisation up",
            b"-ERR no memory\r\n".to_vec(),
        ),
        (
            "neither a length nor a mark",
            b"*1\r\n$4\r\nPING\r\n".to_vec(),
        ),
        (
            "does not end with its mark",
            [&b"$EOF:"[..], &[b'm'; 40], b"\r\n", &rdb(key), &[b'n'; 40]].concat(),
        ),
        (
            "behind the end",
            with_length(&[rdb(key), b"more".to_vec()].concat()),
        ),
    ];
    for way in ["disabled", "swapdb"] {
        let server = replica(&["--repl-diskless-load", way]);
        let mut r = server.connect();
        r.run("SET old 1");
        r.call(&[
            "FUNCTION",
            "LOAD",
            "#!lua name=mine\nredis.register_function('f', function() return 1 end)",
        ]);
        let before = contents(&mut r);
        for (error, copy) in &files {
            let fake = FakePrimary::new(copy.clone(), Vec::new());
            follow(&mut r, fake.port);
            eventually("it says what is wrong", || {
                info(&mut r, "redpoll_link_error").contains(error)
            });
            assert_eq!(info(&mut r, "master_link_status"), "down");
            assert_eq!(contents(&mut r), before, "{way}: {error}");
        }
        r.run("REPLICAOF NO ONE");
        assert_eq!(show(&r.run("SET new 1")), "OK");
    }
}

/// A stream that is none ends the link; the server goes on.
#[test]
fn a_primary_whose_stream_is_garbage() {
    let server = replica(&[]);
    let mut r = server.connect();
    for garbage in [
        &b"\0\xff\xfe garbage"[..],
        b"*-5\r\n*1\r\n$-7\r\n",
        b"*1000000\r\n$3\r\nSET\r\n:5\r\n",
        b"$5\r\nhello\r\n",
        b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n",
    ] {
        let fake = FakePrimary::new(with_length(&rdb(b"\0\x01k\x01v")), garbage.to_vec());
        follow(&mut r, fake.port);
        eventually("it tries again", || fake.connections() > 1);
        assert_eq!(show(&r.run("GET k")), "\"v\"");
        r.run("REPLICAOF NO ONE");
    }
    // What cannot be carried out is counted.
    let mut stream = Vec::new();
    for line in [
        "NOSUCH thing",
        "SET k w",
        "MULTI",
        "INCR k",
        "SET l 1",
        "EXEC",
        "BLPOP none 0",
        "SET m 1",
    ] {
        redpoll_tests::client::encode(&line.split(' ').collect::<Vec<_>>(), &mut stream);
    }
    let fake = FakePrimary::new(with_length(&rdb(b"\0\x01k\x01v")), stream);
    follow(&mut r, fake.port);
    eventually("the stream is carried out", || {
        show(&r.run("GET m")) == "\"1\""
    });
    assert_eq!(show(&r.run("MGET k l")), "[\"w\", \"1\"]");
    eventually("errors are counted", || {
        info(&mut r, "redpoll_stream_errors") == "3"
    });
    let asked = fake.asked().join("\n");
    assert!(asked.contains("[\"REPLCONF\", \"ACK\", \"100\""), "{asked}");
}

/// Fields that clients let expire on a writable replica: unseen once it is their time, and counted until the primary removes them, or
/// this server is one.
#[test]
fn fields_that_expire_on_a_writable_replica() {
    let writable = ["--replica-read-only", "no"];
    let mut replicas = vec![replica(&writable)];
    let peers = every_peer("fields_that_expire_on_a_writable_replica");
    replicas.extend(peers.iter().map(|peer| real(peer, &writable)));
    for server in replicas {
        let primary = Server::redpoll_with(&["--repl-diskless-sync-delay", "0"]);
        let (mut p, mut r) = (primary.connect(), server.connect());
        if show(&r.run("HPEXPIRE none 1 FIELDS 1 f")).starts_with("-ERR unknown") {
            continue;
        }
        p.run("HSET theirs f 1 g 2 h 3");
        follow(&mut r, primary.port());
        in_sync(&mut p, &mut r);
        for (line, reply) in [
            ("HSET own f 1 g 2", "2"),
            ("HPEXPIREAT own 1000 FIELDS 1 f", "[1]"),
            ("HGET own f", "nil"),
            ("HEXISTS own f", "0"),
            ("HGETALL own", "[\"g\", \"2\"]"),
            ("HPEXPIRETIME own FIELDS 2 f g", "[-2, -1]"),
            ("HLEN own", "2"),
            ("HSET last f 1", "1"),
            ("HEXPIREAT last 1 FIELDS 1 f", "[1]"),
            ("HGETALL last", "[]"),
            ("EXISTS last", "1"),
            ("HSETEX new PXAT 1000 FIELDS 1 f 1", "1"),
            ("HVALS new", "[]"),
            ("HLEN new", "1"),
            ("HSET got f 1 g 2", "2"),
            ("HGETEX got PXAT 1000 FIELDS 1 f", "[\"1\"]"),
            ("HMGET got f g", "[nil, \"2\"]"),
            ("HLEN got", "2"),
            ("HPEXPIREAT theirs 1000 FIELDS 1 f", "[1]"),
            ("HMGET theirs f g", "[nil, \"2\"]"),
            // It is there anew.
            ("HSETNX own f 3", "1"),
            ("HGET own f", "\"3\""),
        ] {
            assert_eq!(show(&r.run(line)), reply, "{} {line}", server.name());
        }
        // The primary knows nothing of it, and what it does counts.
        assert_eq!(show(&p.run("HGET theirs f")), "\"1\"");
        p.run("HDEL theirs f");
        p.run("HPEXPIREAT theirs 1000 FIELDS 1 g");
        eventually("what the primary removes is removed", || {
            show(&r.run("HGETALL theirs")) == "[\"h\", \"3\"]" && show(&r.run("HLEN theirs")) == "1"
        });
        // Its own master, it removes what nobody sees.
        r.run("REPLICAOF NO ONE");
        eventually("what had expired is removed", || {
            show(&r.run("EXISTS last new")) == "0" && show(&r.run("HLEN got")) == "1"
        });
    }
}

/// Such keys are removed in whatever database they are when their time comes, and those of the same name in the other are not.
#[test]
fn keys_that_expire_on_a_writable_replica_go_with_their_database() {
    let server = replica(&["--replica-read-only", "no"]);
    let primary =
        Server::redpoll_with(&[&DEBUG[..], &["--repl-diskless-sync-delay", "0"]].concat());
    let (mut p, mut r) = (primary.connect(), server.connect());
    p.run("DEBUG SET-ACTIVE-EXPIRE 0");
    follow(&mut r, primary.port());
    in_sync(&mut p, &mut r);
    for n in 0..20 {
        r.run(&format!("SET own{n} v PX 1500"));
    }
    p.run("SELECT 1");
    p.run("SET own3 v PX 1");
    p.run("SWAPDB 0 1");
    in_sync(&mut p, &mut r);
    eventually("they are gone", || {
        r.run("SELECT 1");
        show(&r.run("DBSIZE")) == "0"
    });
    r.run("SELECT 0");
    assert_eq!(show(&r.run("DBSIZE")), "1");
    assert_eq!(info(&mut r, "slave_expires_tracked_keys"), "0");
}

/// Keys that clients let expire on a writable replica: it removes them itself, and no others.
#[test]
fn keys_that_expire_on_a_writable_replica() {
    let writable = ["--replica-read-only", "no"];
    let mut replicas = vec![replica(&writable)];
    let peers = every_peer("keys_that_expire_on_a_writable_replica");
    replicas.extend(peers.iter().map(|peer| real(peer, &writable)));
    for server in replicas {
        let name = server.name();
        let primary =
            Server::redpoll_with(&[&DEBUG[..], &["--repl-diskless-sync-delay", "0"]].concat());
        let (mut p, mut r) = (primary.connect(), server.connect());
        p.run("DEBUG SET-ACTIVE-EXPIRE 0");
        p.run("SET named v EX 1000");
        follow(&mut r, primary.port());
        in_sync(&mut p, &mut r);
        let tracked = |r: &mut Client, n: &str| {
            eventually(&format!("{name} knows of {n} such keys"), || {
                info(r, "slave_expires_tracked_keys") == n
            });
        };
        // What only the primary removes, or what never expires, is none.
        p.run("SET theirs v PX 1");
        in_sync(&mut p, &mut r);
        r.run("SET named w KEEPTTL");
        r.run("APPEND named x");
        r.run("SET plain v");
        assert_eq!(info(&mut r, "slave_expires_tracked_keys"), "0", "{name}");
        for line in [
            "SET a v EX 1000",
            "SETEX b 1000 v",
            "GETEX named EX 500",
            "EXPIRE plain 1000",
            "RPUSH list 1",
            "PEXPIRE list 100000",
        ] {
            assert!(!show(&r.run(line)).starts_with('-'), "{name} {line}");
        }
        let script =
            "redis.call('SET', KEYS[1], 'v', 'EX', 1000) redis.call('EXPIRE', KEYS[1], 50)";
        r.call(&["EVAL", script, "1", "e"]);
        tracked(&mut r, "6");
        // Forgotten when they are gone or expire no more, by whomever.
        r.run("PERSIST a");
        r.run("DEL b");
        p.run("SET named again");
        in_sync(&mut p, &mut r);
        tracked(&mut r, "3");
        // Removed when their time has come, though nobody asks for them; that of the primary is not.
        let keys = show(&r.run("DBSIZE"));
        r.run("SET short v PX 1");
        r.run("SADD set 1");
        r.run("PEXPIRE set 1");
        r.run("PEXPIREAT plain 1000");
        r.run("SELECT 3");
        r.run("SET short v PX 1");
        let rest = keys.parse::<usize>().expect("a number") - 1;
        eventually("they are removed", || {
            let there = show(&r.run("DBSIZE"));
            r.run("SELECT 0");
            let here = show(&r.run("DBSIZE"));
            r.run("SELECT 3");
            (there, here) == ("0".into(), rest.to_string())
        });
        r.run("SELECT 0");
        assert_eq!(show(&r.run("GET theirs")), "nil");
        assert_eq!(show(&r.run("DBSIZE")), rest.to_string(), "{name}");
        tracked(&mut r, "2");
        // With the data set all of it is gone.
        r.run("FLUSHALL");
        assert_eq!(info(&mut r, "slave_expires_tracked_keys"), "0", "{name}");
    }
}

/// What clients of a replica may do, before, while and after there is a link.
#[test]
fn what_a_replica_lets_clients_do() {
    let server = replica(&[]);
    let mut r = server.connect();
    r.run("SET k v");
    assert_eq!(
        show(&r.run("REPLICAOF 127.0.0.1 x")),
        "-ERR Invalid master port"
    );
    assert_eq!(
        show(&r.run("REPLICAOF 127.0.0.1 99999")),
        "-ERR Invalid master port"
    );
    // Nobody listens there, but it is a port.
    assert_eq!(show(&r.run("REPLICAOF 127.0.0.1 0")), "OK");
    follow(&mut r, 1);
    let already = r.call(&["SLAVEOF", "127.0.0.1", "1"]);
    assert_eq!(show(&already), "OK Already connected to specified master");
    assert_eq!(
        show(&r.run("CONFIG GET slaveof")),
        "[\"slaveof\", \"127.0.0.1 1\"]"
    );
    let role = show(&r.run("ROLE"));
    assert!(
        role.starts_with("[\"slave\", \"127.0.0.1\", 1, \"connect"),
        "{role}"
    );
    let read_only = "-READONLY You can't write against a read only replica.";
    assert_eq!(show(&r.run("SET k w")), read_only);
    assert!(
        show(&r.call(&["EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "k"]))
            .contains("READONLY")
    );
    assert_eq!(show(&r.run("GET k")), "\"v\"");
    assert_eq!(
        show(&r.call(&["EVAL", "return redis.call('GET', KEYS[1])", "1", "k"])),
        "\"v\""
    );
    r.run("CONFIG SET replica-serve-stale-data no");
    assert!(show(&r.run("GET k")).starts_with("-MASTERDOWN"));
    assert_eq!(
        show(&r.run("PING")),
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    );
    r.run("CONFIG SET replica-serve-stale-data yes");
    r.run("CONFIG SET replica-read-only no");
    assert_eq!(show(&r.run("SET k w")), "OK");
    r.run("CONFIG SET replica-read-only yes");
    assert_eq!(show(&r.run("SET k x")), read_only);
    // In a transaction, as sentinels do it.
    for line in [
        "MULTI",
        "SLAVEOF NO ONE",
        "CLIENT KILL TYPE normal SKIPME yes",
    ] {
        r.run(line);
    }
    let done = show(&r.run("EXEC"));
    assert_eq!(done, "[OK, 0]");
    eventually("it is a primary", || show(&r.run("SET k y")) == "OK");
    assert_eq!(info(&mut r, "role"), "master");
    assert_eq!(
        show(&r.run("CONFIG GET replicaof")),
        "[\"replicaof\", \"\"]"
    );
    // What stands behind it in there finds a replica, whatever is still under way.
    for _ in 0..50 {
        for line in ["MULTI", "SLAVEOF 127.0.0.1 1", "INFO replication", "ROLE"] {
            r.run(line);
        }
        let done = show(&r.run("EXEC"));
        for part in [
            "role:slave",
            "master_host:127.0.0.1",
            "master_port:1\\r",
            "master_link_status:down",
            "[\"slave\", \"127.0.0.1\", 1, \"connect",
        ] {
            assert!(done.contains(part), "{part} in {done}");
        }
        assert_eq!(info(&mut r, "role"), "slave");
        assert_eq!(show(&r.run("REPLICAOF NO ONE")), "OK");
        assert_eq!(info(&mut r, "role"), "master");
    }
}

/// Lines of the log say what the server is, and the kernel which of several is to go first.
#[test]
fn a_server_says_in_its_log_what_it_is() {
    let scores = [
        "--oom-score-adj",
        "relative",
        "--oom-score-adj-values",
        "100 200 300",
    ];
    let server = replica(&[&scores[..], &["--replicaof", "127.0.0.1 1"]].concat());
    let score = || {
        let path = format!("/proc/{}/oom_score_adj", server.pid());
        let text = std::fs::read_to_string(path).unwrap();
        text.trim().parse::<i32>().unwrap()
    };
    let as_replica = score();
    let mut r = server.connect();
    assert_eq!(show(&r.run("REPLICAOF NO ONE")), "OK");
    assert_eq!(as_replica - score(), 100);
    r.run("REPLICAOF 127.0.0.1 2");
    eventually("it is tried", || server.log().contains("127.0.0.1:2"));
    let log = server.log();
    let line = |text: &str| {
        let found = log.lines().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("{text} in {log}"))
    };
    assert!(line("Ready to accept").contains(":S "), "{log}");
    assert!(line("127.0.0.1:2").contains(":S "), "{log}");
}

/// How long a primary may say nothing is heeded at once, also by who waits for its first word.
#[test]
fn a_silent_primary_is_given_up_after_the_time_that_is_set() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = replica(&["--repl-timeout", "3600"]);
    let mut r = server.connect();
    follow(&mut r, silent.local_addr().unwrap().port());
    silent.set_nonblocking(true).unwrap();
    let mut calls = Vec::new();
    let mut called = |times: usize| {
        calls.extend(silent.accept());
        calls.len() == times
    };
    eventually("it calls", || called(1));
    eventually("it waits", || show(&r.run("ROLE")).contains("handshake"));
    assert_eq!(show(&r.run("CONFIG SET repl-timeout 1")), "OK");
    eventually("it calls again", || called(2));
    let log = server.log();
    assert!(log.contains("nothing came for 1 seconds"), "{log}");
}

/// On a replica what has expired is not seen, and removed by the primary alone.
#[test]
fn expiry_is_the_primarys() {
    for peer in every_peer("expiry_is_the_primarys") {
        let primary = real(&peer, &[]);
        let mut p = primary.connect();
        p.run("DEBUG SET-ACTIVE-EXPIRE 0");
        let server = replica(&[]);
        let mut r = server.connect();
        p.run("SET loaded v PX 1");
        follow(&mut r, primary.port());
        in_sync(&mut p, &mut r);
        p.run("SET k v PX 1");
        p.run("SET other v PX 1");
        in_sync(&mut p, &mut r);
        eventually("it has expired", || show(&r.run("GET k")) == "nil");
        assert_eq!(show(&r.run("EXISTS k loaded other")), "0");
        assert_eq!(
            show(&r.call(&["EVAL", "return redis.call('EXISTS', 'other')", "0"])),
            "0"
        );
        assert_eq!(show(&r.run("TTL k")), "-2");
        // Still there, and the commands of the primary find it.
        let keys = show(&r.run("DBSIZE"));
        assert!(keys == "3" || keys == "2", "{keys} on {}", primary.name());
        p.run("GET k");
        p.run("GET other");
        p.run("GET loaded");
        in_sync(&mut p, &mut r);
        assert_eq!(show(&r.run("DBSIZE")), "0");
    }
}

/// Commands that wait are let go when their server becomes a replica.
#[test]
fn who_waits_is_let_go() {
    let server = replica(&[]);
    let mut waits = server.connect();
    waits.send(&["BLPOP", "none", "0"]);
    let mut r = server.connect();
    eventually("it waits", || info(&mut r, "blocked_clients") == "1");
    follow(&mut r, 1);
    let reply = show(&waits.read());
    assert!(reply.starts_with("-UNBLOCKED force unblock"), "{reply}");
    assert!(matches!(r.run("REPLICAOF NO ONE"), Value::Simple(_)));
}

/// On a replica without its primary that shows no old data, scripts run that say that they may, and those not even one that reads nothing.
#[test]
fn scripts_say_whether_data_may_be_stale() {
    let name = "scripts_say_whether_data_may_be_stale";
    let args = ["--replica-serve-stale-data", "no"];
    let mut servers = vec![Server::redpoll_with(&args)];
    servers.extend((every_peer(name).iter()).map(|peer| Server::peer(peer, &args)));
    let said = |server: &Server| {
        let mut c = server.connect();
        c.call(&[
            "FUNCTION",
            "LOAD",
            "#!lua name=l\nredis.register_function('strict', function() return 1 end)\n\
             redis.register_function{function_name='may', callback=function() return redis.call('GET', 'k') end,\n\
             flags={'allow-stale'}}",
        ]);
        c.run("REPLICAOF 127.0.0.1 1");
        let may = "#!lua flags=allow-stale,no-writes\nreturn ";
        let calls: &[&[&str]] = &[
            &["EVAL", "return 1", "0"],
            &["EVAL_RO", "return 1", "0"],
            &["EVAL", &format!("{may}1"), "0"],
            &["EVAL", &format!("{may}redis.call('GET', 'k')"), "0"],
            &["EVAL", &format!("{may}redis.pcall('PING').err"), "0"],
            &["EVAL", "#!lua\nreturn 1", "0"],
            &["EVALSHA", "nosuch", "0"],
            &["FCALL", "strict", "0"],
            &["FCALL", "may", "0"],
            &["FCALL", "nosuch", "0"],
            &["MULTI"],
            &["EVAL", "return 1", "0"],
            &["EVAL", &format!("{may}1"), "0"],
            &["EXEC"],
            &["MULTI"],
            &["EVAL", "#!lua\nreturn 1", "0"],
            &["EXEC"],
        ];
        let replies = calls.iter().map(|call| {
            let reply = show(&c.call(call));
            // What a script is called in its error, and what to do about it, is another matter.
            let ends = [" script: ", " Please use EVAL"].map(|words| reply.find(words));
            let end = ends.into_iter().flatten().min().unwrap_or(reply.len());
            format!("{call:?}: {}", &reply[..end])
        });
        replies.collect::<Vec<_>>()
    };
    let ours = said(&servers[0]);
    for server in &servers[1..] {
        if server.name() != "redis 7.0.15" {
            assert_eq!(ours, said(server), "{}", server.name());
        }
    }
}

/// Who may write to a replica that keeps a log may do so while the log begins anew behind a copy, and when the log is turned on.
#[test]
fn a_log_that_begins_anew_holds_up_no_writes() {
    let primary = replica(&["--repl-diskless-sync-delay", "0"]);
    Load::new(7).send(&mut primary.connect(), 300);
    let folder = Folder::new();
    let kept = ["--appendonly", "yes", "--replica-read-only", "no", "--dir"];
    let mut server = replica(&[&kept[..], &[folder.text()]].concat());
    let mut r = server.connect();
    for round in 0..6 {
        let way = ["disabled", "swapdb", "flush-before-load"][round % 3];
        r.call(&["CONFIG", "SET", "repl-diskless-load", way]);
        let stop = AtomicBool::new(false);
        let refused = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (mut c, mut refused) = (server.connect(), Vec::new());
                while !stop.load(SeqCst) {
                    let reply = show(&c.run("SET own 1"));
                    // Where it is not built beside what there is, nobody sees the data while they are loaded.
                    if reply != "OK" && !reply.contains("LOADING") {
                        refused.push(reply);
                    }
                }
                refused
            });
            let _stopping = Stopping(&stop);
            follow(&mut r, primary.port());
            in_sync(&mut primary.connect(), &mut r);
            eventually("it has a base", || {
                info(&mut r, "aof_rewrite_in_progress") == "0"
            });
            r.run("REPLICAOF NO ONE");
            r.run("CONFIG SET appendonly no");
            eventually("it is off", || info(&mut r, "aof_enabled") == "0");
            r.run("CONFIG SET appendonly yes");
            eventually("it is on", || {
                info(&mut r, "aof_enabled") == "1" && info(&mut r, "aof_rewrite_in_progress") == "0"
            });
            stop.store(true, SeqCst);
            writer.join().expect("no panic")
        });
        assert_eq!(refused, [""; 0], "{way}");
        // Another stream, so that a copy is needed again.
        r.run("DEBUG CHANGE-REPL-ID");
    }
    r.run("SET last 1");
    assert_eq!(show(&r.run("WAITAOF 1 0 20000")), "[1, 0]");
    server.signal(Signal::KILL);
    server.wait();
    let again = replica(&[&kept[..], &[folder.text()]].concat());
    assert_eq!(
        show(&again.connect().run("MGET own last")),
        "[\"1\", \"1\"]"
    );
}

/// CLIENT PAUSE on a replica holds back what its primary sends too, until it ends, is ended, or the replica is promoted, which does without
/// it then.
#[test]
fn a_pause_holds_the_stream_back() {
    let primary = Server::redpoll_with(&["--repl-diskless-sync-delay", "0"]);
    let mut p = primary.connect();
    let large = "x".repeat(1 << 20);
    // A transaction, so that it comes at once or not at all; `megabytes`: what else is in it.
    let set = |p: &mut Client, value: &str, megabytes: usize| {
        p.call(&["MULTI"]);
        p.call(&["SET", "k", value]);
        for part in 0..megabytes {
            p.call(&["SET", &format!("large{part}"), &large]);
        }
        p.call(&["EXEC"]);
    };
    let held_back = |p: &mut Client| assert_eq!(show(&p.run("WAIT 1 100")), "0");
    let there = |p: &mut Client, r: &mut Client, value: &str| {
        assert_eq!(show(&p.run("WAIT 1 0")), "1");
        assert_eq!(show(&r.run("GET k")), format!("\"{value}\""));
    };
    let real = every_peer("a_pause_holds_the_stream_back");
    let real = real.iter().map(|peer| self::real(peer, &[]));
    for server in [replica(&[])].into_iter().chain(real) {
        let mut r = server.connect();
        follow(&mut r, primary.port());
        set(&mut p, "before", 0);
        in_sync(&mut p, &mut r);
        r.run("CLIENT PAUSE 600000 WRITE");
        set(&mut p, "in a pause", 0);
        held_back(&mut p);
        assert_eq!(show(&r.run("GET k")), "\"before\"", "{}", server.name());
        assert_eq!(info(&mut r, "master_link_status"), "up");
        r.run("CLIENT UNPAUSE");
        there(&mut p, &mut r, "in a pause");
    }
    // Of ours a pause of everything can be ended too.
    let server = replica(&[]);
    let mut r = server.connect();
    follow(&mut r, primary.port());
    in_sync(&mut p, &mut r);
    r.run("CLIENT PAUSE 600000 ALL");
    // More than it takes in meanwhile.
    set(&mut p, "much", 30);
    held_back(&mut p);
    r.run("CLIENT UNPAUSE");
    there(&mut p, &mut r, "much");
    r.run("CLIENT PAUSE 200 WRITE");
    set(&mut p, "later", 0);
    there(&mut p, &mut r, "later");
    r.run("CLIENT PAUSE 600000 WRITE");
    set(&mut p, "too late", 0);
    held_back(&mut p);
    assert_eq!(show(&r.run("REPLICAOF NO ONE")), "OK");
    r.run("CLIENT UNPAUSE");
    assert_eq!(show(&r.run("GET k")), "\"later\"");
}
