//! What is wrong with a call, told as real servers tell it: every command with arguments too few and too many, keys of every
//! type, and words that are no number, none that fits, no text or nothing at all, in both protocols. The reply must be, byte by byte,
//! that of one of the real servers which know the command, in the order in which they look at their arguments.
//!
//! `REDPOLL_ERRORS_OF` names the one command to look at.

use redpoll_tests::check::show;
use redpoll_tests::client::{decode, encode};
use redpoll_tests::{Client, Peers, Server, skip};
use resp::Value;
use std::collections::BTreeMap;

/// What is there before a call.
const SETUP: &[&str] = &[
    "FLUSHALL",
    "SET str abc",
    "SET num 10",
    "RPUSH list a b c",
    "HSET hash f 1 g x",
    "SADD set a b c",
    "SADD ints 1 2",
    "ZADD zset 1 a 2 b",
    "XADD stream 1-1 f v",
    "XGROUP CREATE stream group 0",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "PFADD hll a",
];

/// Keys of every type, and none.
const KEYS: &[&str] = &[
    "str", "num", "list", "hash", "set", "ints", "zset", "stream", "geo", "hll", "nokey",
];

/// Words for places where they do not fit.
const WORDS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"1.5",
    b"nan",
    b"inf",
    b"",
    b" 1",
    b"01",
    b"(1",
    b"[a",
    b"*",
    b"5-*",
    b"\xff\xfe",
    b"a\r\nb",
    b"a\0b",
    LONG,
];

/// Longer than what error texts quote.
const LONG: &[u8] = &[b'm'; 140];

/// Such words as a blocking command does not take for a time.
const NO_TIMES: &[&[u8]] = &[b"-1", b"9223372036854775808", b"nan", b"", b"\xff\xfe"];

/// Commands that are left out, with all below them, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("shutdown", "it may succeed"),
    ("failover", "it may succeed"),
    ("quit", "it has no wrong arguments"),
    ("monitor", "it has no wrong arguments"),
    ("sync", "what follows is no reply"),
    ("psync", "what follows is no reply"),
    ("replconf", "it is for servers"),
    (
        "subscribe",
        "it has no wrong arguments, and a reply for each",
    ),
    (
        "psubscribe",
        "it has no wrong arguments, and a reply for each",
    ),
    (
        "ssubscribe",
        "it has no wrong arguments, and a reply for each",
    ),
    (
        "unsubscribe",
        "it has no wrong arguments, and a reply for each",
    ),
    (
        "punsubscribe",
        "it has no wrong arguments, and a reply for each",
    ),
    (
        "sunsubscribe",
        "it has no wrong arguments, and a reply for each",
    ),
    ("debug", "every server has its own"),
    ("pfselftest", "it takes real servers seconds"),
    ("lolwut", "every version draws something else"),
    ("module", "there are no modules"),
    (
        "object|freq",
        "it answers whatever the policy is, for --hotkeys of redis-cli",
    ),
    (
        "migrate",
        "a port and a database that cannot be are refused before the key is looked for",
    ),
];

/// Commands that would change their server: only the number of their arguments is wrong.
const NUMBER_ALONE: &[&str] = &[
    "replicaof",
    "slaveof",
    "save",
    "bgsave",
    "bgrewriteaof",
    "swapdb",
    "acl|setuser",
    "acl|deluser",
    "acl|load",
    "acl|save",
    "client|pause",
    "client|kill",
    "client|reply",
    // A name with a zero byte in it is refused.
    "client|setname",
    "client|setinfo",
    "config|set",
    "config|rewrite",
    "config|resetstat",
    "hello",
];

/// Commands that change their connection.
const CONNECTION: &[&str] = &[
    "auth", "client", "discard", "exec", "hello", "multi", "reset", "select", "unwatch", "watch",
];

/// A command as our server describes it.
struct Known {
    name: String,
    arity: i64,
    writes: bool,
    blocks: bool,
}

/// A connection in each protocol.
struct Peer {
    server: Server,
    links: [Client; 2],
    /// Whether its data may be other than [`SETUP`] made them: a call that is refused changes nothing.
    changed: bool,
}

impl Peer {
    fn new(server: Server) -> Peer {
        let links = [2, 3].map(|proto| connect(&server, proto));
        Peer {
            server,
            links,
            changed: true,
        }
    }

    fn set_up(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut bytes = Vec::new();
        for line in SETUP {
            encode(&line.split(' ').collect::<Vec<_>>(), &mut bytes);
        }
        let link = &mut self.links[0];
        link.send_raw(&bytes)
            .expect("the server takes what is there before a call");
        for line in SETUP {
            let reply = link.read();
            assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
        }
    }

    /// The raw reply, with Redis's name in it.
    fn ask(&mut self, resp3: bool, call: &[Vec<u8>]) -> Vec<u8> {
        const BEHIND: &str = "behind the reply";
        let link = &mut self.links[usize::from(resp3)];
        let mut bytes = Vec::new();
        encode(call, &mut bytes);
        encode(&["ECHO", BEHIND], &mut bytes);
        link.send_raw(&bytes).expect("the server takes a call");
        let reply = link.try_read_raw();
        let behind = link.try_read_raw().map(|raw| show(&decode(&raw)));
        if !behind.is_ok_and(|behind| behind.contains(BEHIND)) {
            // The connection was closed, or something stands there that is no reply: real servers quote line breaks here and there.
            self.connect_anew();
        }
        let reply = reply.unwrap_or_else(|error| panic!("{}: {error}", call_text(call)));
        self.changed |= succeeded(&reply);
        renamed(&reply)
    }

    fn connect_anew(&mut self) {
        self.links = [2, 3].map(|proto| connect(&self.server, proto));
    }
}

fn connect(server: &Server, proto: u8) -> Client {
    let mut client = server.connect();
    client.call(&["HELLO", &proto.to_string()]);
    client
}

/// A reply with Redis's name in place of Valkey's.
fn renamed(raw: &[u8]) -> Vec<u8> {
    let mut text = raw.to_vec();
    while let Some(at) = text.windows(6).position(|w| w == b"Valkey") {
        text.splice(at..at + 6, *b"Redis");
    }
    text
}

fn call_text(call: &[Vec<u8>]) -> String {
    let words: Vec<String> = call
        .iter()
        .map(|w| format!("'{}'", w.escape_ascii()))
        .collect();
    words.join(" ")
}

/// Every command and subcommand of this server.
fn known(client: &mut Client) -> Vec<Known> {
    fn add(described: Value, into: &mut Vec<Known>) {
        let Value::Array(fields) = described else {
            panic!("{described:?}");
        };
        let Some(Value::Bulk(name)) = fields.first() else {
            panic!("{fields:?}");
        };
        let Some(Value::Int(arity)) = fields.get(1) else {
            panic!("{fields:?}");
        };
        let flags = format!("{:?}", fields.get(2));
        let has = |flag: &str| flags.contains(&format!("\"{flag}\""));
        into.push(Known {
            name: String::from_utf8_lossy(name).into_owned(),
            arity: *arity,
            writes: has("write"),
            blocks: has("blocking"),
        });
        if let Some(Value::Array(below)) = fields.into_iter().nth(9) {
            below.into_iter().for_each(|sub| add(sub, into));
        }
    }
    let mut commands = Vec::new();
    let Value::Array(described) = client.run("COMMAND") else {
        panic!("COMMAND is an array");
    };
    described
        .into_iter()
        .for_each(|one| add(one, &mut commands));
    commands.sort_by(|a, b| a.name.cmp(&b.name));
    commands
}

/// The calls of a command that are tried.
fn calls(command: &Known) -> Vec<Vec<Vec<u8>>> {
    let words: Vec<Vec<u8>> = command
        .name
        .split('|')
        .map(|w| w.to_uppercase().into_bytes())
        .collect();
    let least = command.arity.unsigned_abs() as usize - words.len();
    let call = |rest: Vec<&[u8]>| {
        let rest = rest.into_iter().map(<[u8]>::to_vec);
        words.iter().cloned().chain(rest).collect::<Vec<_>>()
    };
    let mut calls: Vec<_> = (0..least + 3).map(|n| call(vec![b"str"; n])).collect();
    if NUMBER_ALONE.contains(&&*command.name) {
        let fits =
            |n: usize| n as i64 == command.arity || command.arity < 0 && n as i64 >= -command.arity;
        calls.retain(|call| !fits(call.len()));
        return calls;
    }
    let pool = if command.blocks { NO_TIMES } else { WORDS };
    for n in least.max(1)..least + 2 {
        let with = |key: &'static [u8], word: &'static [u8]| {
            let mut rest = vec![word; n];
            rest[0] = key;
            call(rest)
        };
        if !command.blocks {
            calls.extend(KEYS.iter().map(|key| with(key.as_bytes(), b"1")));
        }
        for word in pool {
            calls.extend([with(b"str", word), with(b"nokey", word), with(word, word)]);
        }
    }
    calls
}

/// Whether a reply is no error.
fn succeeded(reply: &[u8]) -> bool {
    reply[0] != b'-'
}

/// Whether a server knows nothing of what another one has answered.
fn is_unknown(reply: &[u8], answered: &[u8]) -> bool {
    ["-ERR unknown command ", "-ERR unknown subcommand '"]
        .iter()
        .any(|begin| reply.starts_with(begin.as_bytes()) && !answered.starts_with(begin.as_bytes()))
}

#[test]
fn what_is_wrong_with_a_call_is_told_as_real_servers_tell_it() {
    let peers = Peers::find();
    let (Some(redis), Some(newest), Some(valkey)) = (peers.redis8, peers.redis8_6, peers.valkey)
    else {
        return skip(
            "argument errors",
            "Redis 8.2, Redis 8.6 and Valkey 9 are needed",
        );
    };
    let mut servers = vec![Peer::new(Server::redpoll())];
    servers.extend([redis, newest, valkey].map(|peer| Peer::new(Server::peer(&peer, &[]))));
    let only = std::env::var("REDPOLL_ERRORS_OF").ok();
    let (mut tried, mut differences) = (0, BTreeMap::new());
    for command in known(&mut servers[0].links[0]) {
        let name = &*command.name;
        let container = name.split('|').next().unwrap_or(name);
        let left_out = |(out, _): &(&str, &str)| *out == name || *out == container;
        if LEFT_OUT.iter().any(left_out) || only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        for (i, call) in calls(&command).iter().enumerate() {
            let ask = |server: &mut Peer| {
                if i == 0 || CONNECTION.contains(&container) {
                    server.connect_anew();
                }
                server.changed |= i == 0;
                if i == 0 || command.writes {
                    server.set_up();
                }
                server.ask(i % 2 == 1, call)
            };
            let mut replies: Vec<Vec<u8>> = servers.iter_mut().map(ask).collect();
            let ours = replies.remove(0);
            replies.retain(|reply| !is_unknown(reply, &ours));
            let same = |reply: &Vec<u8>| *reply == ours || succeeded(&ours) && succeeded(reply);
            tried += 1;
            if replies.iter().any(same) {
                continue;
            }
            // What Redpoll alone has is held against nothing.
            let Some(theirs) = replies.first() else {
                continue;
            };
            let (ours, theirs) = (ours.escape_ascii(), theirs.escape_ascii());
            let report = format!("{}\n  here  {ours}\n  there {theirs}", call_text(call));
            let of_command: &mut Vec<String> = differences.entry(command.name.clone()).or_default();
            of_command.push(report);
        }
    }
    assert!(tried > 10_000 || only.is_some(), "{tried} calls were tried");
    let reports = differences
        .values()
        .flat_map(|reports| reports.iter().take(3));
    let reports: Vec<&str> = reports.map(String::as_str).collect();
    let number = differences.len();
    assert!(
        number == 0,
        "{number} commands differ:\n{}",
        reports.join("\n")
    );
}
