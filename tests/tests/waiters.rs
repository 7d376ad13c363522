//! Random conversations of clients that wait for keys, held against real servers: who is served, by what, with which error, and what is
//! counted of it.

use redpoll_tests::check::show;
use redpoll_tests::rng::Rng;
use redpoll_tests::transcript::words;
use redpoll_tests::{Client, Peers, Server, env_number, eventually, skip};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const WAITERS: [char; 3] = ['a', 'b', 'c'];

/// A client that may wait.
struct Waiter {
    client: Client,
    id: String,
    waits: bool,
}

fn info(client: &mut Client, section: &str) -> Vec<String> {
    let text = match client.run(&format!("INFO {section}")) {
        resp::Value::Bulk(text) | resp::Value::Verbatim(_, text) => text,
        other => panic!("{}", show(&other)),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().map(str::to_owned).collect()
}

fn blocked(client: &mut Client) -> usize {
    let lines = info(client, "clients");
    let line = lines
        .iter()
        .find_map(|l| l.strip_prefix("blocked_clients:"));
    line.and_then(|n| n.parse().ok()).expect("a number")
}

/// Whether the server says of a client that it waits.
fn is_blocked(observer: &mut Client, id: &str) -> bool {
    let list = show(&observer.run(&format!("CLIENT LIST ID {id}")));
    let flags = list.split(' ').find_map(|part| part.strip_prefix("flags="));
    flags.is_some_and(|flags| flags.contains('b'))
}

/// What a server says to a conversation, line by line. `a?` may wait, and `{a}` is that client's ID.
fn said(server: &Server, lines: &[String]) -> Vec<String> {
    let (mut actor, mut observer) = (server.connect(), server.connect());
    actor.run("FLUSHALL");
    actor.run("CONFIG RESETSTAT");
    let mut waiters: BTreeMap<char, Waiter> = BTreeMap::new();
    for name in WAITERS {
        let mut client = server.connect();
        let id = show(&client.run("CLIENT ID"));
        let waits = false;
        waiters.insert(name, Waiter { client, id, waits });
    }
    let mut said = Vec::new();
    for line in lines {
        let (name, command) = (line.chars().next().expect("a name"), &line[2..]);
        match waiters.get_mut(&name) {
            Some(waiter) if waiter.waits => {}
            Some(waiter) => {
                waiter.client.send(&words(command));
                let soon = Duration::from_millis(20);
                waiter.client.set_read_timeout(soon).expect("a timeout");
                let mut reply = None;
                eventually(line, || {
                    waiter.waits = is_blocked(&mut observer, &waiter.id);
                    reply = match waiter.waits {
                        true => None,
                        false => waiter.client.try_read_raw().ok(),
                    };
                    waiter.waits || reply.is_some()
                });
                let reply = reply.map(|raw| show(&redpoll_tests::client::decode(&raw)));
                said.push(format!("{line} -> {}", reply.as_deref().unwrap_or("waits")));
            }
            None => {
                let mut command = command.to_owned();
                for (name, waiter) in &waiters {
                    command = command.replace(&format!("{{{name}}}"), &waiter.id);
                }
                let reply = show(&actor.call(&words(&command)));
                // What they say of the script that erred is their own.
                let reply = reply.split(" script: ").next().unwrap_or_default();
                said.push(format!("{line} -> {reply}"));
            }
        }
        // Those who have been served since.
        let waiting = waiters.values().filter(|w| w.waits).count();
        let served = waiting - blocked(&mut observer);
        let mut found = BTreeSet::new();
        eventually("those who are served are told", || {
            let still = waiters.iter().filter(|(_, w)| w.waits);
            found = still
                .filter(|(_, w)| !is_blocked(&mut observer, &w.id))
                .map(|(name, _)| *name)
                .collect();
            found.len() == served
        });
        for name in found {
            let waiter = waiters.get_mut(&name).expect("a waiter");
            waiter.waits = false;
            let patient = Duration::from_secs(20);
            waiter.client.set_read_timeout(patient).expect("a timeout");
            said.push(format!("{name} is served {}", show(&waiter.client.read())));
        }
    }
    // Looks of this test are counted as often as it looked.
    let own = ["client", "info", "hello", "config"].map(|name| format!("cmdstat_{name}"));
    let lines = info(&mut observer, "errorstats commandstats");
    for line in (lines.iter()).filter(|line| !own.iter().any(|name| line.starts_with(name))) {
        let Some((name, numbers)) = line.split_once(':') else {
            continue;
        };
        let number = |of: &str| -> u64 {
            let mut numbers = numbers.split(',').filter_map(|part| part.split_once('='));
            let number = numbers.find_map(|(name, n)| (name == of).then_some(n));
            number.map_or(0, |n| n.parse().expect("a number"))
        };
        // Who is unblocked with an error has failed in Redis, and was refused in Valkey.
        let failed = number("failed_calls") + number("rejected_calls");
        let (calls, count) = (number("calls"), number("count"));
        said.push(format!("{name} {calls} {count} {failed}"));
    }
    let kept = said
        .iter()
        .rposition(|line| line.contains(" -> "))
        .unwrap_or(0);
    said[kept + 1..].sort();
    said
}

fn conversation(rng: &mut Rng) -> Vec<String> {
    let mut lines = Vec::new();
    let mut entry = 0;
    for _ in 0..40 {
        let key = *rng.pick(&["k", "l"]);
        let waiter = *rng.pick(&WAITERS);
        let line = match rng.below(34) {
            0 => format!("{waiter}?BLPOP {key} 0"),
            1 => format!("{waiter}?BRPOP {key} 0"),
            2 | 3 => format!("{waiter}?BLMOVE {key} d LEFT RIGHT 0"),
            4 => format!("{waiter}?BRPOPLPUSH {key} d 0"),
            5 => format!("{waiter}?BLMPOP 0 1 {key} RIGHT COUNT 2"),
            6 => format!("{waiter}?BZPOPMIN {key} 0"),
            7 => format!("{waiter}?BZMPOP 0 1 {key} MAX COUNT 2"),
            8 | 9 => format!("{waiter}?XREADGROUP GROUP g me BLOCK 0 STREAMS {key} >"),
            10 => format!("{waiter}?XREAD BLOCK 0 STREAMS {key} $"),
            11 => format!("x:CLIENT UNBLOCK {{{waiter}}} ERROR"),
            12 => format!("x:CLIENT UNBLOCK {{{waiter}}} TIMEOUT"),
            13..=15 => format!("x:LPUSH {key} 1 2"),
            16 => "x:SET d text".to_owned(),
            17 => format!("x:SET {key} text"),
            18 => format!("x:DEL {key} d"),
            19 => "x:DEL d".to_owned(),
            20 => format!("x:SADD {key} member"),
            21 => format!("x:ZADD {key} 1 a 2 b"),
            22 | 23 => {
                entry += 1;
                format!("x:XADD {key} {entry}-1 f v")
            }
            24 | 25 => format!("x:XGROUP CREATE {key} g $ MKSTREAM"),
            26 | 27 => format!("x:XGROUP DESTROY {key} g"),
            28 => "x:RENAME k l".to_owned(),
            29 => "x:FLUSHALL".to_owned(),
            30 => format!(
                "x:EVAL \"redis.call('lpush',KEYS[1],1) return redis.call('lpop',KEYS[1])\" 1 {key}"
            ),
            31 => format!("x:EVAL \"return redis.call('rpush',KEYS[1],1,2)\" 1 {key}"),
            32 => format!("x:COPY {key} d REPLACE"),
            _ => format!("x:LRANGE {key} 0 -1"),
        };
        lines.push(line);
    }
    lines
}

#[test]
fn random_waiters_are_served_as_by_real_servers() {
    let name = "waiters::random";
    let Some(peers) = Peers::find().or_skip(name) else {
        return;
    };
    let ours = Server::redpoll_with(&["--threads", "3"]);
    for peer in [&peers.redis8, &peers.valkey] {
        let Some(peer) = peer else {
            skip(name, "one of the real servers is not there");
            continue;
        };
        let theirs = Server::peer(peer, &[]);
        let mut rng = Rng::new(env_number("REDPOLL_SEED", 5));
        for round in 0..env_number("REDPOLL_DIFF_COMMANDS", 1600) / 40 {
            let lines = conversation(&mut rng);
            let (we, they) = (said(&ours, &lines), said(&theirs, &lines));
            let first = we.iter().zip(&they).position(|(w, t)| w != t);
            if let Some(at) = first {
                panic!(
                    "round {round}, line {at}\n{}\n  {:9}{}\n  {:9}{}",
                    they[..at].join("\n"),
                    ours.name(),
                    we[at],
                    theirs.name(),
                    they[at]
                );
            }
            assert_eq!(we.len(), they.len(), "round {round}");
        }
    }
}
