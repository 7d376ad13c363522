//! What those see who read on a replica, or ask how far it is, while a copy of the data set or the stream comes.

use redpoll_tests::check::show;
use redpoll_tests::replication::{DEBUG, Proxy, Stopping, in_sync, info};
use redpoll_tests::{Client, Server, eventually};
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

/// While such a copy comes INFO says so, and the old data are served.
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
