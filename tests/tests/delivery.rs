//! That what clients are told unasked comes whole, in order and to everybody, whichever threads they live on; that who is held back goes
//! on.

use redpoll_tests::check::show;

use redpoll_tests::{Client, Server, eventually};
use resp::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// What ends a stretch of messages.
const FENCE: &str = "that was all";

/// A client that is held back goes on when the pause ends, on whichever thread it lives.
#[test]
fn a_pause_holds_every_worker() {
    let server = Server::redpoll_with(&["--threads", "4"]);
    let mut admin = server.connect();
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.run("PING");
    }
    admin.run("CLIENT PAUSE 100000 WRITE");
    for client in &mut clients {
        assert_eq!(show(&client.run("GET n")), "nil");
        client.send(&["INCR", "n"]);
    }
    assert_eq!(show(&admin.run("GET n")), "nil");
    admin.run("CLIENT UNPAUSE");
    let mut got: Vec<String> = clients.iter_mut().map(|c| show(&c.read())).collect();
    got.sort();
    assert_eq!(got, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    admin.run("CLIENT PAUSE 100000 ALL");
    for client in &mut clients {
        client.send(&["GET", "n"]);
    }
    admin.run("CLIENT UNPAUSE");
    for client in &mut clients {
        assert_eq!(show(&client.read()), r#""8""#);
    }
}

/// A client that blocks can be let go by another.
#[test]
fn unblock_ends_a_wait() {
    let server = Server::redpoll_with(&["--threads", "2"]);
    let (mut waits, mut admin) = (server.connect(), server.connect());
    let id = show(&waits.run("CLIENT ID"));
    let unblock = format!("CLIENT UNBLOCK {id}");
    assert_eq!(show(&admin.run(&unblock)), "0");
    for (how, reply) in [
        ("", "nil"),
        (" TIMEOUT", "nil"),
        (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ] {
        waits.send(&["BLPOP", "none", "0"]);
        let blocks = |admin: &mut Client| {
            let list = show(&admin.run(&format!("CLIENT LIST ID {id}")));
            list.contains(" flags=b ")
        };
        eventually("the client blocks", || blocks(&mut admin));
        assert_eq!(show(&admin.run(&format!("{unblock}{how}"))), "1");
        assert_eq!(show(&waits.read()), reply);
        assert!(!blocks(&mut admin));
    }
    assert_eq!(
        show(&admin.run(&format!("{unblock} NEVER"))),
        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
    );
    assert_eq!(show(&admin.run("CLIENT UNBLOCK 123456")), "0");
}

/// Each subscriber sees what each publisher said in the order in which it was said, whatever threads they live on.
#[test]
fn the_order_of_each_publisher_is_kept() {
    const MESSAGES: usize = 2000;
    let server = Server::redpoll_with(&["--threads", "4"]);
    let mut subscribers: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    for (i, subscriber) in subscribers.iter_mut().enumerate() {
        if i % 2 == 0 {
            subscriber.run("HELLO 3");
        }
        subscriber.run("SUBSCRIBE x");
    }
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                for i in 0..MESSAGES {
                    client.send(&["PUBLISH", "x", &format!("{publisher}:{i}")]);
                }
                for _ in 0..MESSAGES {
                    assert_eq!(show(&client.read()), "6");
                }
            })
        })
        .collect();
    for subscriber in &mut subscribers {
        let mut next = [0; 3];
        for _ in 0..3 * MESSAGES {
            let (Value::Array(parts) | Value::Push(parts)) = subscriber.read() else {
                panic!("a message")
            };
            let text = show(&parts[2]);
            let (publisher, i) = text.trim_matches('"').split_once(':').expect("two numbers");
            let publisher: usize = publisher.parse().expect("a number");
            assert_eq!(i, next[publisher].to_string(), "of publisher {publisher}");
            next[publisher] += 1;
        }
        assert_eq!(next, [MESSAGES; 3]);
    }
    for publisher in publishers {
        publisher.join().expect("no panic");
    }
}

/// What comes between the confirmations of SUBSCRIBE and UNSUBSCRIBE, and nothing before or after, are messages without gaps.
#[test]
fn messages_keep_within_their_subscription() {
    let server = Server::redpoll_with(&["--threads", "4"]);
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (mut client, stop) = (server.connect(), stop.clone());
        std::thread::spawn(move || {
            for i in 0.. {
                client.call(&["PUBLISH", "x", &i.to_string()]);
                if stop.load(Relaxed) {
                    break;
                }
            }
        })
    };
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    let mut seen = 0;
    for client in &mut clients {
        client.run("HELLO 3");
    }
    for round in 0..100 {
        for client in &mut clients {
            client.send(&["SUBSCRIBE", "x"]);
            assert_eq!(show(&client.read()), r#">["subscribe", "x", 1]"#);
        }
        for client in &mut clients {
            client.send(&["UNSUBSCRIBE", "x"]);
            client.send(&["PING", FENCE]);
            let mut last: Option<u64> = None;
            loop {
                let Value::Push(parts) = client.read() else {
                    panic!("a push, in round {round}")
                };
                if show(&parts[0]) == r#""unsubscribe""# {
                    break;
                }
                let text = show(&parts[2]);
                let i: u64 = text.trim_matches('"').parse().expect("a number");
                assert!(last.is_none_or(|last| i == last + 1), "{i} after {last:?}");
                last = Some(i);
                seen += 1;
            }
            assert_eq!(client.read(), Value::Bulk(FENCE.as_bytes().to_vec()));
        }
    }
    stop.store(true, Relaxed);
    publisher.join().expect("no panic");
    assert!(seen > 0);
}

/// A client that keeps what it reads until it is told to forget it ends up with what is there.
#[test]
fn caches_are_never_left_stale() {
    const WRITES: usize = 3000;
    let server = Server::redpoll_with(&["--threads", "4"]);
    let writing = Arc::new(AtomicUsize::new(2));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let mut client = server.connect();
            let writing = writing.clone();
            std::thread::spawn(move || {
                for i in 0..WRITES {
                    client.call(&["INCR", &format!("k{}", i % 3)]);
                }
                writing.fetch_sub(1, Relaxed);
            })
        })
        .collect();
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let mut client = server.connect();
            client.run("HELLO 3");
            client.run("CLIENT TRACKING ON");
            let writing = writing.clone();
            std::thread::spawn(move || {
                let mut cache: BTreeMap<String, String> = BTreeMap::new();
                let last = (2 * WRITES / 3).to_string();
                let is_done = |cache: &BTreeMap<String, String>| {
                    cache.len() == 3 && cache.values().all(|v| *v == format!("\"{last}\""))
                };
                let mut rounds_after = 0;
                while !is_done(&cache) {
                    if writing.load(Relaxed) == 0 {
                        rounds_after += 1;
                        assert!(rounds_after < 100, "stale: {cache:?}");
                    }
                    for key in ["k0", "k1", "k2"] {
                        if cache.contains_key(key) {
                            continue;
                        }
                        match reader % 2 {
                            0 => client.send(&["GET", key]),
                            _ => client.send(&[
                                "EVAL",
                                "return redis.call('get', KEYS[1])",
                                "1",
                                key,
                            ]),
                        }
                        let value = take(&mut client, &mut cache);
                        cache.insert(key.to_owned(), value);
                    }
                    client.send(&["PING"]);
                    take(&mut client, &mut cache);
                }
            })
        })
        .collect();
    for thread in writers.into_iter().chain(readers) {
        thread.join().expect("no panic");
    }
}

/// The next reply; forgets what the pushes before it say.
fn take(client: &mut Client, cache: &mut BTreeMap<String, String>) -> String {
    loop {
        match client.read() {
            Value::Push(parts) => {
                let Value::Array(keys) = &parts[1] else {
                    panic!("keys to forget")
                };
                for key in keys {
                    cache.remove(show(key).trim_matches('"'));
                }
            }
            value => return show(&value),
        }
    }
}

/// A subscriber that does not read is closed, and the publisher goes on.
#[test]
fn a_slow_subscriber_is_closed() {
    let server = Server::redpoll_with_file(
        "threads 2\nclient-output-buffer-limit pubsub 1mb 0 0\n",
        &[],
    );
    let mut slow = server.connect();
    slow.run("SUBSCRIBE x");
    let mut publisher = server.connect();
    let message = "m".repeat(100_000);
    let mut received = 1;
    for _ in 0..1000 {
        if received == 0 {
            break;
        }
        let reply = show(&publisher.call(&["PUBLISH", "x", &message]));
        received = reply.parse().expect("a number");
    }
    assert_eq!(received, 0, "the subscriber is still there");
    assert_eq!(show(&publisher.run("PUBSUB CHANNELS")), "[]");
}
