//! Both ends of a link between servers as clients: what CLIENT LIST shows of them, who counts them, and that CLIENT KILL cuts them.
//! Each test asks the same of Redpoll and of the real servers.

use redpoll_tests::check::show;
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::replication::{DEBUG, in_sync, info, real};
use redpoll_tests::rng::Rng;
use redpoll_tests::{Client, Server, eventually, every_peer};
use resp::Value;
use std::collections::BTreeMap;

/// Redpoll, with a primary's settings for tests.
fn redpoll(args: &[&str]) -> Server {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    Server::redpoll_with(&[&DEBUG[..], &at_once, args].concat())
}

/// The lines of CLIENT LIST with these arguments.
fn clients(client: &mut Client, more: &str) -> Vec<BTreeMap<String, String>> {
    let reply = client.run(&format!("CLIENT LIST{more}"));
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = reply else {
        panic!("CLIENT LIST{more}: {}", show(&reply))
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let fields = |line: &str| {
        let pairs = line.split(' ').filter_map(|field| field.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    text.lines()
        .filter(|line| !line.is_empty())
        .map(fields)
        .collect()
}

/// The only client with this flag; None if there is none.
fn flagged(client: &mut Client, flag: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Vec<_> = clients(client, "")
        .into_iter()
        .filter(|fields| fields["flags"] == flag)
        .collect();
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

fn follow(replica: &mut Client, port: u16) {
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(show(&reply), "OK");
    eventually("the link is up", || {
        info(replica, "master_link_status") == "up"
    });
}

#[test]
fn the_link_to_the_primary_is_a_client() {
    let mut replicas = vec![redpoll(&[])];
    let peers = every_peer("the_link_to_the_primary_is_a_client");
    replicas.extend(peers.iter().map(|peer| real(peer, &[])));
    for server in &replicas {
        let name = server.name();
        let primary = redpoll(&[]);
        let (mut p, mut r) = (primary.connect(), server.connect());
        p.run("SET k v");
        let came = info(&mut r, "total_connections_received");
        assert!(flagged(&mut r, "M").is_none(), "{name}");
        follow(&mut r, primary.port());
        p.run("SELECT 3");
        p.run("APPEND k v");
        in_sync(&mut p, &mut r);
        eventually("it is shown with its last command", || {
            flagged(&mut r, "M").is_some_and(|link| link["cmd"] == "append")
        });
        let link = flagged(&mut r, "M").expect("the link");
        let addr = primary.addr().to_string();
        let shown = ["addr", "user", "db", "resp", "multi", "redir", "name"]
            .map(|field| link[field].as_str());
        assert_eq!(
            shown,
            [&addr, "(superuser)", "3", "2", "-1", "-1", ""],
            "{name}"
        );
        let number = |field: &str| link[field].parse::<i64>().expect("a number");
        assert!(number("fd") > 0 && number("tot-mem") > 0, "{name} {link:?}");
        if !name.contains("7.0") && !name.contains("8.1") {
            for field in ["tot-cmds", "tot-net-in"] {
                assert!(number(field) > 0, "{name} {link:?}");
            }
        }
        // It is a client, but none that came.
        assert_eq!(info(&mut r, "connected_clients"), "2", "{name}");
        assert_eq!(info(&mut r, "total_connections_received"), came, "{name}");
        let of = |r: &mut Client, kind: &str| clients(r, &format!(" TYPE {kind}")).len();
        assert_eq!((of(&mut r, "master"), of(&mut r, "normal")), (1, 1));
        // For the primary it is a replica, which is not counted.
        assert_eq!(info(&mut p, "connected_clients"), "1", "{name}");
        let http = redpoll_tests::http::open(&primary);
        eventually("metrics count it neither", || {
            let metrics = redpoll_tests::http::get(http, "/metrics", &[]).text();
            metrics.contains("redpoll_connected_clients{kind=\"tcp\"} 1\n")
        });
        let laddr = flagged(&mut p, "S").expect("the replica")["addr"].clone();
        assert_eq!(link["laddr"], laddr, "{name}");
        // Without a primary there is no such client.
        r.run("REPLICAOF NO ONE");
        eventually("it is gone", || flagged(&mut r, "M").is_none());
        assert_eq!(show(&r.run("CLIENT KILL TYPE master")), "0", "{name}");
    }
}

/// Each way to kill the link cuts it; it comes back as the same client, and goes on where it was.
#[test]
fn a_link_that_is_killed_comes_back() {
    let mut replicas = vec![redpoll(&[])];
    let peers = every_peer("a_link_that_is_killed_comes_back");
    replicas.extend(peers.iter().map(|peer| real(peer, &[])));
    for server in &replicas {
        let name = server.name();
        let primary = redpoll(&[]);
        let (mut p, mut r) = (primary.connect(), server.connect());
        follow(&mut r, primary.port());
        p.run("SET k v");
        in_sync(&mut p, &mut r);
        let first = flagged(&mut r, "M").expect("the link");
        for (kill, answer) in [
            ("CLIENT KILL TYPE master", "1"),
            ("CLIENT KILL ID {id}", "1"),
            ("CLIENT KILL ADDR {addr}", "1"),
            ("CLIENT KILL LADDR {laddr}", "1"),
            ("CLIENT KILL {addr}", "OK"),
            ("CLIENT KILL ID {id} TYPE normal", "0"),
            ("CLIENT KILL USER default", "0"),
        ] {
            let before = info(&mut p, "sync_partial_ok");
            let link = flagged(&mut r, "M").expect("the link");
            let line = ["id", "addr", "laddr"]
                .iter()
                .fold(kill.to_owned(), |line, field| {
                    line.replace(&format!("{{{field}}}"), &link[*field])
                });
            assert_eq!(show(&r.run(&line)), answer, "{name} {line}");
            if answer != "0" {
                eventually("it goes on", || info(&mut p, "sync_partial_ok") != before);
                eventually("the link is up", || {
                    info(&mut r, "master_link_status") == "up" && flagged(&mut r, "M").is_some()
                });
                let after = flagged(&mut r, "M").expect("the link");
                assert_ne!(after["laddr"], link["laddr"], "{name} {line}");
            }
            p.run("INCR n");
            in_sync(&mut p, &mut r);
            assert_eq!(info(&mut p, "sync_full"), "1", "{name} {line}");
        }
        let last = flagged(&mut r, "M").expect("the link");
        assert_eq!(first["id"], last["id"], "{name}");
        assert_eq!(show(&r.run("GET n")), "\"7\"", "{name}");
    }
}

/// Clients are closed for their memory, and for being idle: but not the link, which takes most and is idle longest.
#[test]
fn limits_of_clients_are_not_for_the_link() {
    for limit in ["maxmemory-clients", "timeout"] {
        let primary = redpoll(&["--repl-ping-replica-period", "3600"]);
        let server = redpoll(&[]);
        let (mut p, mut r) = (primary.connect(), server.connect());
        follow(&mut r, primary.port());
        p.call(&["SET", "large", &"x".repeat(1 << 20)]);
        in_sync(&mut p, &mut r);
        r.run(&format!("CONFIG SET {limit} 1"));
        for _ in 0..2 {
            let mut other = server.connect();
            eventually("a client is closed", || other.try_read_raw().is_err());
        }
        let counts = ["connected_slaves", "sync_full", "sync_partial_ok"];
        let counts = counts.map(|field| info(&mut p, field));
        assert_eq!(counts, ["1", "1", "0"], "{limit}: {}", server.log());
    }
}

/// On the primary a replica says REPLCONF, and what it still has to be sent is shown and counted.
#[test]
fn a_replica_is_a_client_of_its_primary() {
    let mut primaries = vec![redpoll(&[])];
    let peers = every_peer("a_replica_is_a_client_of_its_primary");
    primaries.extend(peers.iter().map(|peer| real(peer, &[])));
    for server in &primaries {
        let name = server.name();
        let mut p = server.connect();
        p.run("CONFIG SET client-output-buffer-limit replica 0 0 0");
        p.run("SET k v");
        let mut pretender = Pretender::to(server, &[EOF]);
        let (_, offset) = pretender.take_copy();
        let shown =
            |p: &mut Client, field: &str| flagged(p, "S").expect("a replica")[field].clone();
        assert_eq!(shown(&mut p, "cmd"), "psync", "{name}");
        pretender.ack(offset);
        eventually("it says how far it is", || {
            shown(&mut p, "cmd") == "replconf"
        });
        // It takes nothing from now on: what it lacks is shown.
        p.call(&["SET", "large", &"x".repeat(24 << 20)]);
        let is_large = |bytes: String| bytes.parse::<usize>().expect("a number") > 8 << 20;
        eventually("what it lacks is shown", || is_large(shown(&mut p, "omem")));
        let client = flagged(&mut p, "S").expect("a replica");
        let [lacks, in_all] = ["omem", "tot-mem"].map(|field| {
            let bytes = client[field].parse::<usize>();
            bytes.expect("a number")
        });
        assert!(in_all > lacks, "{name}: {in_all} with {lacks}");
        assert_ne!(client["oll"], "0", "{name}");
        // Real servers count it in one way or another.
        if name == "redpoll" {
            assert!(is_large(info(&mut p, "mem_clients_slaves")));
        }
    }
}

/// Who has the stream and asks for something else would wait for ever, or take the answer for a part of it.
#[test]
fn a_replica_that_asks_for_more_than_the_stream_is_disconnected() {
    let primary = redpoll(&[]);
    for words in [&["PING"][..], &["GET", "k"], &["nonsense"]] {
        let mut pretender = Pretender::to(&primary, &[EOF]);
        let (_, offset) = pretender.take_copy();
        pretender.ack(offset);
        let mut p = primary.connect();
        eventually("it follows", || flagged(&mut p, "S").is_some());
        pretender.say(words);
        eventually("it is gone", || flagged(&mut p, "S").is_none());
        let said = format!("asks for '{}'", words[0]);
        assert!(primary.log().contains(&said), "{}", primary.log());
    }
}

/// A replica comes from the address that it is told to come from; where that cannot be had, from any.
#[test]
fn a_replica_comes_from_the_address_it_is_told() {
    let primary = redpoll(&["--protected-mode", "no"]);
    let mut p = primary.connect();
    let mut replicas = vec![redpoll(&[])];
    let peers = every_peer("a_replica_comes_from_the_address_it_is_told");
    replicas.extend(peers.iter().map(|peer| real(peer, &[])));
    for replica in &replicas {
        let name = replica.name();
        let mut r = replica.connect();
        // The last of them is nobody's.
        for (source, from) in [
            ("127.0.0.2", "127.0.0.2:"),
            ("127.0.0.3", "127.0.0.3:"),
            ("192.0.2.1", "127.0.0.1:"),
        ] {
            r.run(&format!("CONFIG SET bind-source-addr {source}"));
            follow(&mut r, primary.port());
            let link = flagged(&mut p, "S").expect("a replica");
            assert!(link["addr"].starts_with(from), "{name}: {}", link["addr"]);
            r.run("REPLICAOF NO ONE");
            eventually("it is gone", || flagged(&mut p, "S").is_none());
        }
    }
}

/// A copy of the data set that waits for a replica is memory of this server, as long as it waits.
#[test]
fn a_copy_that_waits_to_be_sent_is_counted() {
    let server = redpoll(&[]);
    let mut p = server.connect();
    // Random, so that it does not become less in the copy.
    let mut rng = Rng::new(1);
    for i in 0..24 {
        let value: Vec<u8> = (0..1 << 20).map(|_| rng.below(256) as u8).collect();
        p.call(&[b"SET", format!("k{i}").as_bytes(), &value]);
    }
    let fields = [
        "used_memory",
        "mem_clients_slaves",
        "mem_not_counted_for_evict",
        "used_memory_overhead",
    ];
    let numbers = |p: &mut Client| -> Vec<i64> {
        let number = |field: &&str| info(p, field).parse().expect("a number");
        fields.iter().map(number).collect()
    };
    let before = numbers(&mut p);
    let mut slow = Pretender::to(&server, &[EOF]);
    slow.say(&["PSYNC", "?", "-1"]);
    let grown = |p: &mut Client| -> Vec<i64> {
        let now = numbers(p);
        now.iter()
            .zip(&before)
            .map(|(now, was)| now - was)
            .collect()
    };
    eventually("the copy waits, and is counted", || {
        grown(&mut p).iter().all(|bytes| *bytes > 8 << 20)
    });
    // What has gone to the disk, or to the replica, is not.
    assert!(grown(&mut p).iter().all(|bytes| *bytes < 48 << 20));
    drop(slow);
    eventually("it is gone with the replica", || {
        grown(&mut p).iter().all(|bytes| *bytes < 4 << 20)
    });
}
