//! What those see who read on a replica, or ask how far it is, while a copy of the data set or the stream comes.

use redpoll_tests::check::show;
use redpoll_tests::replication::{DEBUG, Proxy, Stopping, in_sync, info, real};
use redpoll_tests::rng::Rng;
use redpoll_tests::{Client, Server, eventually, every_peer};
use resp::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

const KEYS: usize = 1000;

fn redpoll(args: &[&str]) -> Server {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    Server::redpoll_with(&[&DEBUG[..], &at_once, args].concat())
}

fn follow(replica: &mut Client, port: u16) {
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(show(&reply), "OK");
}

/// A primary on which all keys, and a function, say which one it is.
fn saying(version: &str) -> Server {
    let server = redpoll(&[]);
    let mut c = server.connect();
    for n in 0..KEYS {
        c.send(&["SET", &format!("k{n}"), version]);
    }
    (0..KEYS).for_each(|_| drop(c.read()));
    c.call(&["HSET", "hash", "version", version]);
    let code = format!(
        "#!lua name=lib\nredis.register_function{{function_name='version', flags={{'no-writes'}}, \
         callback=function() return '{version}' end}}"
    );
    assert_eq!(show(&c.call(&["FUNCTION", "LOAD", &code])), "\"lib\"");
    server
}

/// Reads until it is told to stop: each look finds all of one data set, or all of the other.
fn read_on(server: &Server, stop: &AtomicBool, looks: &AtomicUsize) {
    let mut c = server.connect();
    let mut n = 0;
    while !stop.load(SeqCst) {
        const TOGETHER: usize = 20;
        for _ in 0..TOGETHER {
            n = (n + 7919) % KEYS;
            let other = (n * 31 + 5) % KEYS;
            c.send(&["MGET", &format!("k{n}"), &format!("k{other}")]);
            c.send(&["HGET", "hash", "version"]);
            c.send(&["FCALL_RO", "version", "0"]);
            c.send(&["DBSIZE"]);
        }
        for _ in 0..TOGETHER {
            let both = show(&c.read());
            assert!(
                both == "[\"old\", \"old\"]" || both == "[\"new\", \"new\"]",
                "{both}"
            );
            for _ in 0..2 {
                let one = show(&c.read());
                assert!(one == "\"old\"" || one == "\"new\"", "{one}");
            }
            assert_eq!(show(&c.read()), (KEYS + 1).to_string());
        }
        looks.fetch_add(TOGETHER, SeqCst);
    }
}

/// With `repl-diskless-load swapdb` the data set changes from one moment to the next: nobody is refused, and nobody sees half of it.
#[test]
fn a_copy_takes_the_place_of_the_old_data_at_one_moment() {
    let primaries = ["old", "new"].map(saying);
    for (log, rounds) in [("no", 1..4), ("yes", 1..2)] {
        let server = redpoll(&["--repl-diskless-load", "swapdb", "--appendonly", log]);
        let mut r = server.connect();
        follow(&mut r, primaries[0].port());
        in_sync(&mut primaries[0].connect(), &mut r);
        let (stop, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let stopping = Stopping(&stop);
            let readers = [(); 2].map(|()| scope.spawn(|| read_on(&server, &stop, &looks)));
            for round in rounds {
                let seen = looks.load(SeqCst);
                let primary = &primaries[round % 2];
                follow(&mut r, primary.port());
                in_sync(&mut primary.connect(), &mut r);
                let version = ["\"old\"", "\"new\""][round % 2];
                assert_eq!(show(&r.run("GET k0")), version);
                eventually("they go on reading", || {
                    looks.load(SeqCst) > seen + 40 || readers.iter().any(|r| r.is_finished())
                });
            }
            drop(stopping);
        });
        assert_eq!(info(&mut r, "redpoll_stream_errors"), "0");
    }
}

/// While such a copy comes INFO says so, the old data are served, and some commands are refused.
#[test]
fn loading_beside_the_data_set_is_told() {
    let primary = saying("new");
    let mut p = primary.connect();
    // Enough for the proxy to be slow with.
    for n in 0..50 {
        p.call(&["SETRANGE", &format!("large{n}"), "20000", &n.to_string()]);
    }
    p.run("CONFIG SET rdbcompression no");
    let proxy = Proxy::to(&primary);
    let server = redpoll(&["--repl-diskless-load", "swapdb"]);
    let mut r = server.connect();
    r.run("SET k0 old");
    assert_eq!(info(&mut r, "async_loading"), "0");
    proxy.slow(5);
    follow(&mut r, proxy.port());
    eventually("it is told", || info(&mut r, "async_loading") == "1");
    assert_eq!(info(&mut r, "loading"), "0");
    assert!(!info(&mut r, "loading_loaded_perc").is_empty());
    assert_eq!(show(&r.run("GET k0")), "\"old\"");
    // What would save the old data, send them on, or ask for others, is not done now.
    for line in ["REPLICAOF NO ONE", "SAVE", "BGREWRITEAOF", "PSYNC ? -1"] {
        let reply = show(&r.run(line));
        assert!(reply.starts_with("-LOADING"), "{line}: {reply}");
    }
    proxy.slow(0);
    in_sync(&mut p, &mut r);
    assert_eq!(show(&r.run("GET k0")), "\"new\"");
    assert_eq!(info(&mut r, "async_loading"), "0");
}

/// Who asks a primary how long its stream is learns of what it has just seen done there.
#[test]
fn the_offset_has_what_was_answered() {
    let primary = redpoll(&[]);
    let replica = redpoll(&[]);
    let (mut p, mut r) = (primary.connect(), replica.connect());
    follow(&mut r, primary.port());
    in_sync(&mut p, &mut r);
    let mut role = String::new();
    for n in 0..200 {
        let before = info(&mut p, "master_repl_offset");
        p.call(&["SET", "k", &n.to_string()]);
        assert_ne!(info(&mut p, "master_repl_offset"), before);
        p.call(&["SET", "k", "again"]);
        let now = show(&p.run("ROLE"));
        assert_ne!(now, role);
        role = now;
    }
}

/// Money goes from one account to another in transactions, by scripts and by single commands, while copies come and the stream goes on:
/// whoever looks at all accounts of the replica finds all of the money.
#[test]
fn nobody_sees_half_a_transfer() {
    const ACCOUNTS: usize = 6;
    let primary = redpoll(&[]);
    let mut p = primary.connect();
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
    for name in &names {
        p.call(&["SET", name, "100"]);
        p.call(&["HSET", "book", name, "100"]);
    }
    let replica = redpoll(&["--repl-diskless-load", "swapdb"]);
    let mut r = replica.connect();
    follow(&mut r, primary.port());
    in_sync(&mut p, &mut r);
    let (stop, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let stopping = Stopping(&stop);
        scope.spawn(|| {
            let (mut c, mut rng) = (primary.connect(), Rng::new(11));
            let script =
                "redis.call('DECRBY', KEYS[1], ARGV[1]) redis.call('INCRBY', KEYS[2], ARGV[1])";
            while !stop.load(SeqCst) {
                let (from, to) = (&names[rng.below(ACCOUNTS)], &names[rng.below(ACCOUNTS)]);
                let sum = rng.below(50).to_string();
                c.send(&["EVAL", script, "2", from, to, &sum]);
                c.send(&["MULTI"]);
                c.send(&["DECRBY", from, &sum]);
                c.send(&["HINCRBY", "book", from, &format!("-{sum}")]);
                c.send(&["HINCRBY", "book", to, &sum]);
                c.send(&["INCRBY", to, &sum]);
                c.send(&["EXEC"]);
                (0..7).for_each(|_| drop(c.read()));
            }
        });
        let reader = scope.spawn(|| {
            let mut c = replica.connect();
            let look: Vec<&str> = std::iter::once("MGET")
                .chain(names.iter().map(|n| &**n))
                .collect();
            while !stop.load(SeqCst) {
                for look in [&look[..], &["HVALS", "book"]] {
                    let Value::Array(all) = c.call(look) else {
                        panic!("all accounts are there");
                    };
                    let sum: i64 = all
                        .iter()
                        .map(|value| {
                            show(value)
                                .trim_matches('"')
                                .parse::<i64>()
                                .expect("a number")
                        })
                        .sum();
                    assert_eq!((all.len(), sum), (ACCOUNTS, 100 * ACCOUNTS as i64));
                }
                looks.fetch_add(1, SeqCst);
            }
        });
        for _ in 0..2 {
            let before = looks.load(SeqCst);
            let copies = info(&mut p, "sync_full");
            // On its own it writes something, so that it needs a copy.
            r.run("REPLICAOF NO ONE");
            r.run("SET own 1");
            follow(&mut r, primary.port());
            eventually("another copy is taken", || {
                info(&mut p, "sync_full") != copies && info(&mut r, "master_link_status") == "up"
            });
            eventually("it is looked at", || {
                looks.load(SeqCst) > before + 5 || reader.is_finished()
            });
        }
        drop(stopping);
    });
}

/// A copy takes the place of all keys at once, which is told as a flush is: to who watches a key, and to who has said that it keeps copies
/// of keys.
#[test]
fn a_copy_is_told_as_a_flush() {
    let ours = ["disabled", "swapdb", "on-empty-db", "flush-before-load"];
    let peers = every_peer("a_copy_is_told_as_a_flush");
    let ours = ours.map(|way| (way, redpoll(&[])));
    let theirs = ["disabled", "swapdb"].map(|way| (way, &peers));
    let theirs = theirs
        .iter()
        .flat_map(|(way, peers)| peers.iter().map(|peer| (*way, real(peer, &[]))));
    let primary = saying("1");
    for (way, server) in ours.into_iter().chain(theirs) {
        let what = format!("{way} {}", server.name());
        let mut r = server.connect();
        r.call(&["CONFIG", "SET", "repl-diskless-load", way]);
        r.run("SET k v");
        let (mut watches, mut tracks) = (server.connect(), server.connect());
        watches.run("WATCH k");
        tracks.run("HELLO 3");
        tracks.run("CLIENT TRACKING ON");
        tracks.run("GET k");
        follow(&mut r, primary.port());
        eventually("the copy is there", || {
            info(&mut r, "master_link_status") == "up"
        });
        watches.run("MULTI");
        watches.run("GET k");
        assert_eq!(show(&watches.run("EXEC")), "nil", "{what}");
        assert_eq!(show(&tracks.read()), ">[\"invalidate\", nil]", "{what}");
        assert_eq!(show(&r.run("GET k")), "nil", "{what}");
    }
}

/// What DEBUG POPULATE makes only those see who read on the server that was asked for it, be that a replica: it is in no stream and in no
/// log.
#[test]
fn populated_keys_are_told_to_nobody() {
    let logged = ["--appendonly", "yes"];
    let mut servers = vec![Server::redpoll_with(&[&DEBUG[..], &logged].concat())];
    let peers = every_peer("populated_keys_are_told_to_nobody");
    servers.extend(peers.iter().map(|peer| real(peer, &logged)));
    for server in &servers {
        let name = server.name();
        let follower = Server::redpoll_with(&DEBUG);
        let (mut p, mut r) = (server.connect(), follower.connect());
        r.call(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
        in_sync(&mut p, &mut r);
        let said = |client: &mut Client, line: &str, reply: &str| {
            assert_eq!(show(&client.run(line)), reply, "{name}: {line}");
        };
        said(&mut p, "DEBUG POPULATE 20", "OK");
        said(&mut p, "MULTI", "OK");
        said(&mut p, "DEBUG POPULATE 5 more", "QUEUED");
        said(&mut p, "SET k v", "QUEUED");
        said(&mut p, "EXEC", "[OK, OK]");
        in_sync(&mut p, &mut r);
        said(&mut r, "DBSIZE", "1");
        said(&mut r, "DEBUG POPULATE 7 mine", "OK");
        said(&mut r, "DBSIZE", "8");
        said(&mut p, "DBSIZE", "26");
        said(&mut p, "DEBUG LOADAOF", "OK");
        said(&mut p, "DBSIZE", "1");
    }
}

/// What the primary sends waits for a script that is in its way, however long that takes: it was answered with BUSY, and so lost.
#[test]
fn the_stream_waits_for_a_script_that_reads() {
    let primary = redpoll(&[]);
    let mut p = primary.connect();
    let server = redpoll(&["--busy-reply-threshold", "50"]);
    let mut r = server.connect();
    follow(&mut r, primary.port());
    p.run("SET k 1");
    in_sync(&mut p, &mut r);
    let mut stuck = server.connect();
    stuck.send(&["EVAL", "while true do end", "1", "k"]);
    eventually("others are told that it is slow", || {
        show(&r.run("GET k")).starts_with("-BUSY ")
    });
    p.run("SET k 2");
    assert_eq!(show(&p.run("WAIT 1 300")), "0");
    assert_eq!(info(&mut r, "unexpected_error_replies"), "0");
    assert_eq!(show(&r.run("SCRIPT KILL")), "OK");
    let reply = show(&stuck.read());
    assert!(reply.starts_with("-ERR Script killed"), "{reply}");
    assert_eq!(show(&p.run("WAIT 1 0")), "1");
    assert_eq!(show(&r.run("GET k")), "\"2\"");
}
