//! What servers tell of themselves: every field that Redis 8.6.2 and Valkey 9.1.2 have in INFO and in the descriptions of clients, memory,
//! streams and users is there, but for those that are named here.

use redpoll_tests::check::show;
use redpoll_tests::{Client, Peers, Server, eventually};
use resp::Value;
use std::collections::BTreeSet;

/// Fields of INFO that are of what does not exist here, and why. A name with `*` stands for all that begin so.
const WITHOUT: &[(&str, &str)] = &[
    ("atomicvar_api", "of a C compiler"),
    ("gcc_version", "of a C compiler"),
    ("redis_build_id", "of a C compiler"),
    ("server_name", "it is no Valkey"),
    ("server_mode", "it is no Valkey; redis_mode says it"),
    ("valkey_version", "it is no Valkey"),
    ("valkey_release_stage", "it is no Valkey"),
    ("availability_zone", "a directive of Valkey's clusters"),
    (
        "clients_hz",
        "nothing goes through the clients from time to time",
    ),
    (
        "io_threaded_total_prefetch_*",
        "no thread prefetches for another",
    ),
    (
        "io_threaded_freed_objects",
        "another thread frees: lazyfreed_objects",
    ),
    ("io_threaded_accept_processed", "one thread accepts for all"),
    ("io_threaded_poll_processed", "each thread polls for itself"),
    ("used_active_time_main_thread", "no thread is the main one"),
    (
        "engine*",
        "there is one engine of scripts, and it is no module",
    ),
    ("module", "there are no modules"),
    ("mem_cluster_slot_*", "there is no cluster"),
    ("slot_migration_fork_in_progress", "there is no cluster"),
    ("total_net_cluster_slot_*", "there is no cluster"),
    (
        "replicas_waiting_psync",
        "copies are sent over the connection that the stream follows on",
    ),
];

/// The same of other commands, whole.
const OTHERS_WITHOUT: &[(&str, &str)] = &[
    (
        r#"MEMORY STATS  "cluster.slot_export""#,
        "there is no cluster",
    ),
    (
        r#"MEMORY STATS  "cluster.slot_import""#,
        "there is no cluster",
    ),
    (
        r#"ACL GETUSER somebody  "databases""#,
        "only told of a user who may not use all",
    ),
];

/// The names of INFO's fields.
fn info(c: &mut Client) -> BTreeSet<String> {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = c.run("INFO everything") else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
        .collect()
}

/// The names of `name=value` words.
fn words(c: &mut Client, command: &str) -> BTreeSet<String> {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = c.run(command) else {
        panic!("{command} is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split_whitespace()
        .filter_map(|word| Some(word.split_once('=')?.0.to_owned()))
        .collect()
}

/// The keys of maps at any depth.
fn keys(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let at = format!("{at} {}", show(key));
                keys(value, &at, into);
                into.insert(at);
            }
        }
        Value::Array(items) | Value::Set(items) => {
            items.iter().for_each(|item| keys(item, at, into));
        }
        _ => {}
    }
}

/// All that a server tells, as `command field`.
fn told(server: &Server) -> BTreeSet<String> {
    let mut c = server.connect();
    for line in [
        "HELLO 3",
        "SET a 1",
        "HSET h f v",
        "HEXPIRE h 100 FIELDS 1 f",
        "XADD s 1-1 f v",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c STREAMS s >",
        "CLIENT TRACKING ON",
        "ACL SETUSER somebody on",
    ] {
        let reply = c.run(line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
    // What only some servers know, and tell of where it is used; and an error for all of them.
    for line in [
        "CLIENT CAPA redirect",
        "XADD s IDMP producer message * f v",
        "XADD s",
    ] {
        c.run(line);
    }
    let mut all = BTreeSet::new();
    let mut add = |command: &str, fields: BTreeSet<String>| {
        all.extend(fields.into_iter().map(|field| format!("{command} {field}")));
    };
    add("INFO", info(&mut c));
    for command in ["CLIENT LIST", "CLIENT INFO"] {
        add(command, words(&mut c, command));
    }
    for command in [
        "HELLO 3",
        "MEMORY STATS",
        "XINFO STREAM s",
        "XINFO STREAM s FULL",
        "XINFO GROUPS s",
        "XINFO CONSUMERS s g",
        "CLIENT TRACKINGINFO",
        "FUNCTION STATS",
        "ACL GETUSER somebody",
        "COMMAND DOCS get",
    ] {
        let mut fields = BTreeSet::new();
        keys(&c.run(command), "", &mut fields);
        // Of what is different with every server: which modules there are.
        fields.retain(|field| !field.starts_with(" \"modules\" "));
        add(command, fields);
    }
    all
}

fn is_excused(field: &str) -> bool {
    let is = |(name, _): &(&str, &str)| match name.strip_suffix('*') {
        Some(start) => field.starts_with(&format!("INFO {start}")),
        None => field == format!("INFO {name}"),
    };
    // What was called is told command by command.
    let is_of_a_call = ["cmdstat_", "latency_percentiles_"]
        .iter()
        .any(|start| field.starts_with(&format!("INFO {start}")));
    is_of_a_call || WITHOUT.iter().any(is) || OTHERS_WITHOUT.iter().any(|(name, _)| field == *name)
}

#[test]
fn every_field_of_newer_servers_is_there() {
    let Some(peers) = Peers::find().or_skip("every_field_of_newer_servers_is_there") else {
        return;
    };
    let ours = told(&Server::redpoll());
    let mut lacks = Vec::new();
    for peer in [&peers.redis8, &peers.redis8_6, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let server = Server::peer(peer, &[]);
        for field in told(&server).difference(&ours) {
            if !is_excused(field) {
                lacks.push(format!("{}: {field}", server.name()));
            }
        }
    }
    assert!(lacks.is_empty(), "{lacks:#?}");
    let of_calls = |field: &&String| field.contains("cmdstat_") || field.contains("latency_");
    let there: Vec<_> = ours
        .iter()
        .filter(|field| is_excused(field) && !of_calls(field))
        .collect();
    assert!(there.is_empty(), "they are there after all: {there:?}");
}

/// INFO's section Keysizes, without what is ours alone.
fn sizes(c: &mut Client) -> Vec<String> {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = c.run("INFO keysizes") else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with("redpoll_"));
    lines.map(str::to_owned).collect()
}

#[test]
fn sizes_of_keys_are_counted_as_by_redis() {
    let Some(peers) = Peers::find().or_skip("sizes_of_keys_are_counted_as_by_redis") else {
        return;
    };
    let Some(peer) = &peers.redis8_6 else {
        return;
    };
    let (theirs, ours) = (Server::peer(peer, &[]), Server::redpoll());
    let (mut a, mut b) = (theirs.connect(), ours.connect());
    let mut both = |args: &[&str]| {
        let (theirs, ours) = (a.call(args), b.call(args));
        assert_eq!(show(&theirs), show(&ours), "{args:?}");
        assert_eq!(sizes(&mut a), sizes(&mut b), "after {args:?}");
    };
    for line in [
        "SET empty ''",
        "SET number 12345678",
        "SET negative -9",
        "INCRBY number 99999999999",
        "APPEND number x",
        "SETRANGE long 3000000 x",
        "SETBIT bits 100000 1",
        "PFADD counted a b c",
        "HSET h f v",
        "HSET h g v h v i v",
        "HDEL h f",
        "HSET timed a 1 b 2",
        "HPEXPIRE timed 10000000 FIELDS 1 a",
        "RPUSH l 1 2 3 4 5 6 7",
        "LPOP l 4",
        "SADD s 1 2 3",
        "SADD s a",
        "SREM s 1 2 3 a",
        "ZADD z 1 a 2 b",
        "ZADD z 3 c 4 d",
        "XADD stream 1-1 a b",
        "COPY l copied",
        "RENAME l moved",
        "SELECT 3",
        "RPUSH elsewhere a",
        "SET 3 x",
        "SWAPDB 0 3",
        "FLUSHDB",
        "SELECT 3",
        "DEL z h",
    ] {
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| word.trim_matches('\''))
            .collect();
        both(&words);
    }
    // Of many lengths, and collections that are no longer packed.
    for n in 0..40_usize {
        let elements: Vec<String> = (0..n * n).map(|i| format!("element {i}")).collect();
        both(&["SET", &format!("string:{n}"), &"x".repeat(n * n * n)]);
        for (command, key) in [("RPUSH", "list"), ("SADD", "set")] {
            let key = format!("{key}:{n}");
            let mut args = vec![command, &key];
            args.extend(elements.iter().map(String::as_str));
            if n > 0 {
                both(&args);
            }
        }
    }
    both(&["FLUSHALL"]);
}

/// Where there are many keys they are not looked at for INFO, but what a walk has found is told, with its age.
#[test]
fn sizes_of_many_keys_are_those_of_a_walk() {
    let server = Server::redpoll_with(&["--enable-debug-command", "local"]);
    let mut c = server.connect();
    c.run("DEBUG POPULATE 6000 key 100");
    eventually("a walk has seen them all", || {
        c.run("MEMORY TREE REFRESH");
        sizes(&mut c) == ["# Keysizes", "db0_distrib_strings_sizes:64=6000"]
    });
    let age = number(&mut c, "redpoll_keysizes_age_ms");
    eventually("it gets older", || {
        number(&mut c, "redpoll_keysizes_age_ms") > age
    });
}

/// A field of INFO that is a number.
fn number(c: &mut Client, field: &str) -> u64 {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = c.run("INFO everything") else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no number {field} in {text}"))
}

#[test]
fn bytes_of_replication_are_counted_at_both_ends() {
    let primary = Server::redpoll();
    let replica = Server::redpoll();
    let (mut a, mut b) = (primary.connect(), replica.connect());
    let port = primary.addr().port();
    assert_eq!(show(&b.run(&format!("REPLICAOF 127.0.0.1 {port}"))), "OK");
    let long = "x".repeat(100_000);
    a.call(&["SET", "k", &long]);
    eventually("the replica has it", || {
        show(&b.run("STRLEN k")) == "100000"
    });
    a.call(&["SET", "k", &long]);
    eventually("all that went out came", || {
        let out = number(&mut a, "total_net_repl_output_bytes");
        let came = number(&mut b, "total_net_repl_input_bytes");
        // The replies to what a replica says before it is one are no stream yet.
        out >= 100_000 && (out..out + 500).contains(&came)
    });
    a.run("CONFIG RESETSTAT");
    assert!(number(&mut a, "total_net_repl_output_bytes") < 100_000);
    assert_eq!(number(&mut b, "total_net_repl_output_bytes"), 0);
}
