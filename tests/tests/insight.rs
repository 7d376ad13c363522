//! What the server tells of commands that stood out, held against the real servers: SLOWLOG, COMMANDLOG, LATENCY.
//!
//! Times, sizes of replies with times in them, and addresses differ from run to run; they are left out of the comparison.

use redpoll_tests::transcript::words;
use redpoll_tests::{Peers, Server, skip};
use resp::Value;

/// What is done while everything is logged.
const DONE: &str = r#"
    SLOWLOG RESET
    SET k v
    GET
    NOSUCH a b
    LPUSH k x
    AUTH user password
    HELLO 3 AUTH user password
    CLIENT SETNAME me
    CONFIG SET maxmemory 0 requirepass ""
    MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 k 11 l 12 m 13 n 14 o 15 p 16 q 17 r 18 s 19
    MULTI
    SET x 1
    INCR x
    NOSUCH
    EXEC
    MULTI
    SET x 1
    INCR x
    GET x
    EXEC
    MULTI
    SET x 2
    DISCARD
    BLPOP nothing 0.05
    BLPOP l 0.05
    RPUSH l a
    BLPOP l 1
    EVAL "redis.call('SET', KEYS[1], ARGV[1]) return redis.pcall('LPUSH', KEYS[1], 'x')" 1 k v
    SUBSCRIBE c
    UNSUBSCRIBE c
    EXPIRE k 100
    OBJECT ENCODING k
"#;

/// The arguments and the client's name of each entry.
fn entries(reply: &Value) -> Vec<String> {
    let Value::Array(entries) = reply else {
        panic!("a log is an array: {reply:?}")
    };
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("text, not {other:?}"),
    };
    let line = |entry: &Value| {
        let Value::Array(fields) = entry else {
            panic!("an entry is an array: {entry:?}")
        };
        let [
            Value::Int(_),
            Value::Int(at),
            Value::Int(_),
            Value::Array(argv),
            Value::Bulk(_),
            name,
        ] = &fields[..]
        else {
            panic!("not the fields of an entry: {fields:?}")
        };
        assert!(*at > 1_700_000_000, "{at}");
        let argv: Vec<String> = argv.iter().map(text).collect();
        format!("{} [{}]", argv.join(" "), text(name))
    };
    entries.iter().map(line).collect()
}

fn logged(server: &Server) -> Vec<String> {
    let mut client = server.connect();
    client.run("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 1000");
    for line in DONE.lines().map(str::trim).filter(|line| !line.is_empty()) {
        client.call(&words(line));
        if line.starts_with("UNSUBSCRIBE") {
            client.run("PING");
        }
    }
    client.run("CONFIG SET slowlog-log-slower-than -1");
    let all = entries(&client.run("SLOWLOG GET -1"));
    assert_eq!(client.run("SLOWLOG LEN"), Value::Int(all.len() as i64));
    assert_eq!(entries(&client.run("SLOWLOG GET")), all[..10]);
    all
}

#[test]
fn slow_commands_are_those_of_a_real_server() {
    let Some(peers) = Peers::find().or_skip("insight::slow_commands") else {
        return;
    };
    let ours = logged(&Server::redpoll());
    for peer in [&peers.redis8, &peers.redis8_6, &peers.valkey] {
        let Some(peer) = peer else {
            skip("insight", "one of the real servers is not there");
            continue;
        };
        let theirs = logged(&Server::peer(peer, &[]));
        // Redis does not say whose script called a command; Valkey does.
        let whole = peer.name == "valkey";
        let cut = |lines: &[String]| -> Vec<String> {
            let line = |line: &String| match whole {
                true => line.clone(),
                false => line.replace("[me]", "[]"),
            };
            lines.iter().map(line).collect()
        };
        assert_eq!(cut(&ours), cut(&theirs), "{} {}", peer.name, peer.version);
    }
}
