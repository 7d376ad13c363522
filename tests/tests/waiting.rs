//! Who waits for keys that somebody holds for long: in line, in order, and in nobody else's way.

use redpoll_tests::check::{check, show};
use redpoll_tests::{Client, Server, eventually};
use std::collections::HashSet;
use std::thread;

/// Holds its key until it is killed.
const FOREVER: &str = "while true do end";

/// A server of one worker on which a script holds the key `k`, and that script's client.
fn held(args: &[&str]) -> (Server, Client, Client) {
    let server = Server::redpoll_with(&[&["--threads", "1"], args].concat());
    let (mut holder, mut other) = (server.connect(), server.connect());
    holder.send(&["EVAL", FOREVER, "1", "k"]);
    eventually("the script runs", || {
        !show(&other.run("FUNCTION STATS")).starts_with("[\"running_script\", nil")
    });
    (server, holder, other)
}

fn let_go(holder: &mut Client, other: &mut Client) {
    check(other, "SCRIPT KILL", "OK");
    let reply = show(&holder.read());
    assert!(reply.starts_with("-ERR Script killed by user"), "{reply}");
}

/// Dozens wait for one key, some for all keys; everybody else is served, and so are they once it is free. Whoever goes away
/// leaves the line.
#[test]
fn a_key_that_is_held_holds_up_those_who_need_it() {
    let (server, mut holder, mut other) = held(&["--enable-debug-command", "yes"]);
    let mut waiting: Vec<Client> = (0..30).map(|_| server.connect()).collect();
    let ids: Vec<String> = waiting
        .iter_mut()
        .map(|client| show(&client.run("CLIENT ID")))
        .collect();
    for (n, client) in waiting.iter_mut().enumerate() {
        match n % 5 {
            0 => client.send(&["MSET", "k", "1", "other", "2"]),
            1 => client.send(&["SCAN", "0", "COUNT", "1000000"]),
            2 => client.send(&["KEYS", "*"]),
            3 => client.send(&["EVAL", "return redis.call('INCR', 'k:n')", "1", "k"]),
            _ => client.send(&["DEBUG", "DIGEST-VALUE", "k"]),
        }
    }
    for n in 0..100 {
        let key = format!("elsewhere:{n}");
        // Some are of the shard that is held.
        other.send(&["SET", &key, "v"]);
        if n % 10 == 0 {
            check(&mut server.connect(), "PING", "PONG");
        }
        let mut quick = server.connect();
        assert!(matches!(show(&quick.run("DBSIZE")).parse::<u32>(), Ok(..)));
        assert!(show(&quick.run("INFO")).contains("db0:") || n == 0);
        // The next is sent when it is done, or over another connection.
        other
            .set_read_timeout(std::time::Duration::from_millis(300))
            .expect("a timeout");
        if other.try_read_raw().is_err() {
            other = server.connect();
        }
    }
    let mut killer = server.connect();
    for id in &ids[..5] {
        check(&mut killer, &format!("CLIENT KILL ID {id}"), "1");
    }
    waiting.drain(..10);
    let_go(&mut holder, &mut killer);
    for client in &mut waiting {
        let reply = show(&client.read());
        assert!(
            !reply.starts_with('-') || reply.contains("no such key"),
            "{reply}"
        );
        check(client, "PING", "PONG");
    }
}

/// Commands that are long run on helper threads, of which there are not many: none stands still there while it waits.
#[test]
fn long_commands_that_wait_keep_no_thread() {
    let server = Server::redpoll_with(&["--threads", "1", "--enable-debug-command", "yes"]);
    let (mut holder, mut other) = (server.connect(), server.connect());
    for set in ["a", "b"] {
        for part in 0..20 {
            let members = (0..1000).map(|n| format!(" {set}{part}:{n}"));
            let line = format!("SADD {set}{}", members.collect::<String>());
            check(&mut other, &line, "1000");
        }
    }
    check(&mut other, "DEBUG POPULATE 25000", "OK");
    // A key whose shard is none of those of the keys that are to be free. Where keys belong is another with each server.
    let held = (0..).map(|n| format!("held:{n}")).find(|held| {
        holder.send(&["EVAL", FOREVER, "1", held]);
        eventually("the script runs", || {
            !show(&other.run("FUNCTION STATS")).starts_with("[\"running_script\", nil")
        });
        let mut probe = server.connect();
        let patience = std::time::Duration::from_millis(500);
        probe.set_read_timeout(patience).expect("a timeout");
        probe.send(&["EXISTS", "a", "b", "target"]);
        let free = probe.try_read_raw().is_ok();
        if !free {
            let_go(&mut holder, &mut other);
        }
        free
    });
    let held = held.expect("one of them is");
    let mut waiting: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for (n, client) in waiting.iter_mut().enumerate() {
        match n % 3 {
            0 => client.send(&["SUNIONSTORE", &held, "a", "b"]),
            1 => client.send(&["KEYS", "key:*"]),
            _ => client.send(&["DEBUG", "DIGEST"]),
        }
    }
    check(&mut other, "SUNIONSTORE target a b", "40000");
    check(&mut other, "SORT a ALPHA LIMIT 0 1", "[\"a0:0\"]");
    let_go(&mut holder, &mut other);
    for (n, client) in waiting.iter_mut().enumerate() {
        let reply = client.read();
        match reply {
            resp::Value::Int(n) => assert_eq!(n, 40_000),
            resp::Value::Array(keys) => {
                let names: HashSet<String> = keys.iter().map(show).collect();
                assert_eq!((keys.len(), names.len()), (25_000, 25_000));
            }
            digest => assert_eq!(show(&digest).len(), 40, "{n}"),
        }
        check(client, "PING", "PONG");
    }
}

/// Those who wait when the server stops do not keep it.
#[test]
fn a_server_stops_with_a_line() {
    let (mut server, _holder, mut other) = held(&["--shutdown-timeout", "1"]);
    let mut waiting: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(&["GET", "k"]);
    }
    other.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.wait().code(), Some(0));
}

/// Everybody wants everything, all the time: single keys, several, all of them, scripts that reach further. All come
/// through, and nothing is lost.
#[test]
fn a_crowd_gets_through() {
    let server = Server::redpoll_with(&["--threads", "2"]);
    let rounds = 150;
    thread::scope(|scope| {
        for n in 0..12 {
            let mut client = server.connect();
            scope.spawn(move || {
                for round in 0..rounds {
                    let keys = [round % 7, (round + n) % 7, (round * 3) % 7].map(|k| format!("n:{k}"));
                    match n % 6 {
                        0 => drop(client.run(&format!("INCR {}", keys[0]))),
                        1 => {
                            client.run("MULTI");
                            client.run(&format!("INCR {}", keys[0]));
                            client.run(&format!("DECR {}", keys[1]));
                            client.run("EXEC");
                            client.run(&format!("INCR {}", keys[2]));
                        }
                        2 => {
                            let script = format!(
                                "redis.call('DECR', '{}') redis.call('INCR', '{}') return redis.call('INCR', KEYS[1])",
                                keys[1], keys[2]
                            );
                            client.call(&["EVAL", &script, "1", &keys[0]]);
                        }
                        3 => {
                            client.run("MULTI");
                            client.call(&["EVAL", "return redis.call('INCR', KEYS[1])", "1", &keys[0]]);
                            client.run("EXEC");
                        }
                        4 => {
                            client.run("SCAN 0 COUNT 100");
                            client.run("RANDOMKEY");
                            client.run(&format!("INCR {}", keys[2]));
                        }
                        _ => {
                            client.run("SWAPDB 1 2");
                            client.run("KEYS *");
                            client.run(&format!("INCR {}", keys[0]));
                        }
                    }
                }
            });
        }
    });
    let mut client = server.connect();
    let sum: i64 = (0..7)
        .map(|k| {
            show(&client.run(&format!("GET n:{k}")))
                .trim_matches('"')
                .parse::<i64>()
                .unwrap_or(0)
        })
        .sum();
    assert_eq!(sum, 12 * rounds);
}
