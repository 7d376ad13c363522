//! What servers say to several clients, unasked things included.
//!
//! A conversation is written as lines, a client's letter and what it does:
//!
//! | line | means |
//! |---|---|
//! | `a: GET k` | sends the command; takes the reply and all that comes with it |
//! | `a! GET k` | sends the command and takes one reply: within MULTI, and where the next command matters |
//! | `a3` | speaks RESP3 from now on |
//! | `a-` | goes away |
//!
//! After each line every client but those in `!` is sent a PING of its own: whatever comes before the answer to that is what
//! the line made the server say to it. So nothing has to be waited for, and what should not come is seen as well. `{b}` in a
//! command is the id of client `b`.

use crate::Peers;
use crate::check::show;
use crate::client::Client;
use crate::server::{Server, eventually};
use crate::transcript::words;
use resp::Value;
use std::collections::BTreeMap;

const FENCE: &str = "that was all";

struct Guest {
    client: Client,
    id: String,
    /// It must not be asked anything in between.
    left_alone: bool,
}

/// All that comes before the answer to a PING.
#[track_caller]
pub fn all_said(client: &mut Client) -> Vec<Value> {
    client.send(&["PING", FENCE]);
    let mut said = Vec::new();
    loop {
        let value = client.read();
        match &value {
            Value::Bulk(text) if text == FENCE.as_bytes() => return said,
            // The answer of a client of RESP2 that subscribes.
            Value::Array(items)
                if items.len() == 2 && items[1] == Value::Bulk(FENCE.as_bytes().to_vec()) =>
            {
                return said;
            }
            _ => said.push(value),
        }
    }
}

/// A value without what differs from server to server: times and addresses in the lines of MONITOR.
fn normal(value: &Value) -> String {
    match value {
        Value::Simple(line) if line.contains(" [") => {
            let (_, rest) = line.split_once(" [").expect("just seen");
            let (who, what) = rest.split_once("] ").unwrap_or((rest, ""));
            let (db, who) = who.split_once(' ').unwrap_or((who, ""));
            let who = if who == "lua" { who } else { "client" };
            format!("[{db} {who}] {what}")
        }
        _ => show(value),
    }
}

/// What a server says, a line each.
fn conversation(server: &Server, script: &str) -> Vec<String> {
    let mut first = server.connect();
    first.run("FLUSHALL");
    first.call(&["CONFIG", "SET", "notify-keyspace-events", ""]);
    first.run("DEBUG SET-ACTIVE-EXPIRE 0");
    drop(first);
    let mut guests: BTreeMap<char, Guest> = BTreeMap::new();
    let mut said = Vec::new();
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut chars = line.chars();
        let (Some(name), Some(how)) = (chars.next(), chars.next()) else {
            panic!("a line of a conversation: {line}")
        };
        guests.entry(name).or_insert_with(|| {
            let mut client = server.connect();
            let id = show(&client.run("CLIENT ID"));
            Guest {
                client,
                id,
                left_alone: false,
            }
        });
        let mut command = chars.as_str().trim().to_owned();
        for (other, guest) in &guests {
            command = command.replace(&format!("{{{other}}}"), &guest.id);
        }
        let guest = guests.get_mut(&name).expect("just added");
        said.push(line.to_owned());
        match how {
            ':' | '!' => {
                guest.client.send(&words(&command));
                said.push(format!("  {name} {}", normal(&guest.client.read())));
                guest.left_alone = how == '!';
            }
            '3' => drop(guest.client.run("HELLO 3")),
            '-' => {
                let id = guests.remove(&name).expect("just added").id;
                let mut observer = server.connect();
                eventually("the client is gone", || {
                    let list = show(&observer.run(&format!("CLIENT LIST ID {id}")));
                    !list.contains("id=")
                });
            }
            _ => panic!("a line of a conversation: {line}"),
        }
        for (name, guest) in &mut guests {
            if !guest.left_alone {
                for value in all_said(&mut guest.client) {
                    said.push(format!("  {name} {}", normal(&value)));
                }
            }
        }
    }
    said
}

/// Compares Redpoll with the real servers; the oldest one if `with_7`.
#[track_caller]
pub fn compare(name: &str, scripts: &[&str], with_7: bool) {
    if let Some(peers) = Peers::find().or_skip(name) {
        compare_with(peers, name, scripts, with_7);
    }
}

/// The same with these of the real servers.
#[track_caller]
pub fn compare_with(peers: Peers, name: &str, scripts: &[&str], with_7: bool) {
    let debug = ["--enable-debug-command", "yes"];
    let ours = Server::redpoll_with(&["--threads", "4", debug[0], debug[1]]);
    let older = with_7.then_some(&peers.redis7);
    let mut differences = String::new();
    for peer in older.into_iter().chain([&peers.redis8, &peers.valkey]) {
        let Some(peer) = peer else {
            continue;
        };
        let theirs = Server::peer(peer, &debug);
        for script in scripts {
            let (we, they) = (conversation(&ours, script), conversation(&theirs, script));
            if we == they {
                continue;
            }
            let at = we.iter().zip(&they).position(|(w, t)| w != t);
            let at = at.unwrap_or(we.len().min(they.len()));
            let end = String::from("(nothing more)");
            let cause = we[..at].iter().rev().find(|l| !l.starts_with("  "));
            differences.push_str(&format!(
                "after {:?}\n  {:14}{}\n  {:14}{}\n",
                cause.map_or("", |l| l),
                ours.name(),
                we.get(at).unwrap_or(&end),
                theirs.name(),
                they.get(at).unwrap_or(&end)
            ));
        }
    }
    assert!(differences.is_empty(), "{name}\n{differences}");
}
