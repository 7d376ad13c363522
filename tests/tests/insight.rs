//! What the server tells of commands that stood out, held against the real servers: SLOWLOG, COMMANDLOG, LATENCY, HOTKEYS; and what
//! only Redpoll tells.
//!
//! Times, sizes of replies with times in them, and addresses differ from run to run; they are left out of the comparison.

use redpoll_tests::check::show;
use redpoll_tests::program::{on_path, run};
use redpoll_tests::transcript::words;
use redpoll_tests::{Peers, Server, eventually, skip};
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

/// What is done while keys are recorded.
const RECORDED: &[&str] = &[
    "HOTKEYS GET",
    "HOTKEYS STOP",
    "HOTKEYS START METRICS 2 NET CPU COUNT 3",
    "HOTKEYS START METRICS 1 CPU",
    "HOTKEYS RESET",
    "SET a 1",
    "SET a 2",
    "GET a",
    "GET b",
    "MSET a 1 b 2 c 3",
    "PING",
    "GET",
    "NOSUCH x",
    "LPUSH a x",
    "LPUSH d x y z",
    "LRANGE d 0 -1",
    "LRANGE d 0 -1",
    "CONFIG SET maxmemory 0",
    "FLUSHALL",
    "HOTKEYS GET",
    "HOTKEYS STOP",
    "HOTKEYS STOP",
    "SET a 1",
    "HOTKEYS GET",
    "HOTKEYS RESET",
    "HOTKEYS GET",
    "HOTKEYS START METRICS 1 NET",
    "SET k v",
    "HOTKEYS GET",
    "HOTKEYS STOP",
    "HOTKEYS RESET",
    "HOTKEYS START",
    "HOTKEYS START METRICS",
    "HOTKEYS START METRICS x CPU",
    "HOTKEYS START METRICS 0",
    "HOTKEYS START METRICS 3 CPU NET",
    "HOTKEYS START METRICS 1 FOO",
    "HOTKEYS START METRICS 1 CPU NET",
    "HOTKEYS START METRICS 2 CPU",
    "HOTKEYS START METRICS 2 CPU CPU",
    "HOTKEYS START METRICS 1 CPU COUNT",
    "HOTKEYS START METRICS 1 CPU COUNT 0",
    "HOTKEYS START METRICS 1 CPU COUNT 65",
    "HOTKEYS START METRICS 1 CPU DURATION 0",
    "HOTKEYS START METRICS 1 CPU SAMPLE 0",
    "HOTKEYS START METRICS 1 CPU SLOTS 1 5",
    "HOTKEYS START METRICS 1 CPU FOO",
    "HOTKEYS START COUNT 5",
    "HOTKEYS",
    "HOTKEYS FOO",
    "HOTKEYS GET x",
    "HOTKEYS STOP x",
];

/// A reply without times; of the keys by time only which they are, since their order is that of times too.
fn without_times(reply: Value) -> Value {
    let Value::Array(nodes) = &reply else {
        return reply;
    };
    let Some(Value::Array(fields)) = nodes.first() else {
        return reply;
    };
    let mut kept = Vec::new();
    for pair in fields.chunks(2) {
        let [Value::Bulk(name), value] = pair else {
            panic!("a name and a value, not {pair:?}")
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let value = match value {
            Value::Array(keys) if name == "by-cpu-time-us" => {
                // Which of them are there depends on their times: not who took less than a microsecond.
                Value::Int(i64::from(!keys.is_empty()))
            }
            Value::Int(_) if name.contains("-us") || name.contains("-ms") => Value::Null,
            other => other.clone(),
        };
        kept.push(Value::Array(vec![Value::Bulk(name.into()), value]));
    }
    Value::Array(kept)
}

#[test]
fn hot_keys_of_a_session_are_those_of_a_real_server() {
    let peers = Peers::find().or_skip("insight::hot_keys_of_a_session");
    let Some(peer) = peers.and_then(|peers| peers.redis8_6) else {
        return;
    };
    let (ours, theirs) = (Server::redpoll(), Server::peer(&peer, &[]));
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    for line in RECORDED {
        let (a, b) = (
            without_times(ours.run(line)),
            without_times(theirs.run(line)),
        );
        assert_eq!(a, b, "{line}");
    }
}

/// `redis-cli --hotkeys` works whatever the policy is, and finds the key that is used most.
#[test]
fn redis_cli_finds_the_hottest_key() {
    let Some(cli) = on_path("insight::redis_cli_finds_the_hottest_key", "redis-cli") else {
        return;
    };
    let server = Server::redpoll();
    let mut client = server.connect();
    for i in 0..500 {
        client.run(&format!("SET cold:{i} x"));
        client.run("GET hot");
        client.run("SET hot x");
    }
    let found =
        run(std::process::Command::new(cli).args(["-p", &server.port().to_string(), "--hotkeys"]));
    let line = found
        .lines()
        .find(|line| line.starts_with("hot key found with counter"));
    assert!(
        line.is_some_and(|line| line.contains("keyname: \"hot\"")),
        "{found}"
    );
}

/// MEMORY TREE has every key after a walk, INFO's Shards every one too, and CLIENT WAITS who waits.
#[test]
fn where_memory_is_and_who_waits() {
    let server = Server::redpoll();
    let mut client = server.connect();
    for i in 0..300 {
        client.run(&format!("SET user:{i}:name x"));
    }
    client.run("SETRANGE big 100000 x");
    let told = |client: &mut redpoll_tests::Client| show(&client.run("MEMORY TREE REFRESH"));
    eventually("a walk after the last write", || {
        told(&mut client).contains("\"keys\", 301,")
    });
    let tree = told(&mut client);
    assert!(
        tree.contains("\"prefix\", \"user:\", \"keys\", 300"),
        "{tree}"
    );
    assert!(
        tree.contains("\"key\", \"big\", \"type\", \"string\""),
        "{tree}"
    );
    let below = show(&client.run("MEMORY TREE PREFIX user:"));
    assert!(
        below.contains("\"prefix\", \"user:*:\", \"keys\", 300"),
        "{below}"
    );
    let shards = show(&client.run("INFO shards"));
    let keys = shards.split("keys=").skip(1);
    let keys: u64 = keys
        .map(|part| {
            part.split(',')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0u64)
        })
        .sum();
    assert_eq!(keys, 301, "{shards}");
    assert!(!show(&client.run("INFO everything")).contains("shard_0"));
    let mut other = server.connect();
    other.send(&["BLPOP", "queue", "0"]);
    eventually("it waits", || {
        show(&client.run("CLIENT WAITS")).contains("\"keys\", [\"queue\"]")
    });
}
