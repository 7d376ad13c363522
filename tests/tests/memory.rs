//! Memory and its limit, from outside: what goes by which policy, who is refused, and that the process stays within what it may have
//! whatever grows.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::client::encode;
use redpoll_tests::{Client, Peers, Server, eventually};
use resp::Value;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const MB: usize = 1 << 20;
const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

/// A number of INFO.
fn info(client: &mut Client, field: &str) -> u64 {
    let (Value::Verbatim(_, text) | Value::Bulk(text)) = client.call(&["INFO", "all"]) else {
        panic!("INFO is no text");
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().parse().ok());
    number.unwrap_or_else(|| panic!("INFO has no number {field}"))
}

/// All keys, by walking over them.
fn walk(client: &mut Client) -> HashSet<Vec<u8>> {
    let (mut cursor, mut keys) = (b"0".to_vec(), HashSet::new());
    loop {
        let Value::Array(mut page) = client.call(&[b"SCAN", &cursor[..], b"COUNT", b"2000"]) else {
            panic!("SCAN is no array");
        };
        let (Some(Value::Array(names)), Some(Value::Bulk(next))) = (page.pop(), page.pop()) else {
            panic!("SCAN is no cursor with keys");
        };
        for name in names {
            if let Value::Bulk(name) = name {
                keys.insert(name.to_vec());
            }
        }
        cursor = next.to_vec();
        if cursor == b"0" {
            return keys;
        }
    }
}

// ---- What goes

/// Which of these keys are there.
fn there(client: &mut Client, n: usize) -> Vec<bool> {
    let mut pipeline = Vec::new();
    (0..n).for_each(|i| encode(&["EXISTS", &format!("k{i}")], &mut pipeline));
    let mut there = Vec::with_capacity(n);
    client.send_and_read(&pipeline, n, |_, raw| there.push(raw == b":1\r\n"));
    there
}

/// Every policy with an order evicts what comes first in it, those for keys with an expiry nothing else, and `noeviction` nothing.
/// How keys age is what RESTORE says of them, so that nobody has to wait.
#[test]
fn every_policy_evicts_what_it_names() {
    const N: usize = 3000;
    for (policy, hint) in [
        ("allkeys-lru", "IDLETIME"),
        ("volatile-lru", "IDLETIME"),
        ("allkeys-lrm", "IDLETIME"),
        ("volatile-lrm", "IDLETIME"),
        ("allkeys-lfu", "FREQ"),
        ("volatile-lfu", "FREQ"),
        ("allkeys-random", ""),
        ("volatile-random", ""),
        ("volatile-ttl", "TTL"),
        ("noeviction", ""),
    ] {
        let server = Server::redpoll_with(&["--maxmemory-policy", policy, "--lfu-decay-time", "0"]);
        let mut client = server.connect();
        check_args(&mut client, &["SET", "k", &"v".repeat(500)], "OK");
        let Value::Bulk(payload) = client.call(&["DUMP", "k"]) else {
            panic!("DUMP is no string");
        };
        client.run("DEL k");
        let mut pipeline = Vec::new();
        for i in 0..N {
            // By rank: the first is to go first. Those with an even number expire.
            let rank = (i * 7) % N;
            let (ttl, hint) = match hint {
                "TTL" => (1_000_000 + rank * 1000, vec![]),
                "FREQ" => (
                    1_000_000,
                    vec!["FREQ".to_owned(), (rank * 250 / N).to_string()],
                ),
                "IDLETIME" => (1_000_000, vec!["IDLETIME".into(), (N - rank).to_string()]),
                _ => (1_000_000, vec![]),
            };
            let ttl = if i % 2 == 0 { ttl } else { 0 };
            let (key, ttl) = (format!("k{i}"), ttl.to_string());
            let mut args: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), &payload];
            args.extend(hint.iter().map(String::as_bytes));
            encode(&args, &mut pipeline);
        }
        client.send_and_read(&pipeline, N, |i, raw| {
            assert_eq!(raw, b"+OK\r\n", "{policy} {i}")
        });
        // A third of them has to go.
        let limit = info(&mut client, "used_memory") as usize - N / 3 * 560;
        check(&mut client, &format!("CONFIG SET maxmemory {limit}"), "OK");
        let volatile = policy.starts_with("volatile");
        if policy == "noeviction" {
            check(&mut client, "SET one more", OOM);
            assert_eq!(info(&mut client, "evicted_keys"), 0);
            check(&mut client, "DBSIZE", &N.to_string());
            continue;
        }
        eventually(policy, || {
            info(&mut client, "used_memory") as usize <= limit
        });
        // It goes on for a moment, to have some room ahead.
        let mut gone: Vec<usize> = Vec::new();
        eventually("those that are gone are those that were evicted", || {
            let there = there(&mut client, N);
            gone = (0..N).filter(|i| !there[*i]).collect();
            info(&mut client, "evicted_keys") == gone.len() as u64
        });
        assert!(
            (N / 5..N / 2).contains(&gone.len()),
            "{policy}: {}",
            gone.len()
        );
        if volatile {
            assert!(gone.iter().all(|i| i % 2 == 0), "{policy} evicts others");
        }
        if !hint.is_empty() {
            // Where the last of them stands among those that may go, were they evicted in order.
            let may = if volatile { N / 2 } else { N };
            let last = gone.len() * N / may;
            let early = gone
                .iter()
                .filter(|i| (**i * 7) % N < last + N / 10)
                .count();
            assert!(
                early * 10 > gone.len() * 9,
                "{policy}: {early} of {}",
                gone.len()
            );
        }
        // When nothing is left that may go, who needs memory is refused.
        if volatile {
            check(&mut client, "CONFIG SET maxmemory 1", "OK");
            eventually(policy, || show(&client.run("SET one more")) == OOM);
            client.run("DEL one");
            assert_eq!(walk(&mut client).len(), N / 2, "{policy}");
        }
    }
}

/// While the limit is lowered by half under a full load of writes, every write is answered, nothing is lost that the counters do not
/// know of, and the limit holds in the end.
#[test]
fn the_limit_is_lowered_by_half_under_load() {
    let server =
        Server::redpoll_with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut control = server.connect();
    let stop = AtomicBool::new(false);
    let written: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (server, stop) = (&server, &stop);
                scope.spawn(move || {
                    let mut client = server.connect();
                    let (mut n, value) = (0, "v".repeat(400));
                    while !stop.load(Relaxed) {
                        let mut pipeline = Vec::new();
                        for i in n..n + 200 {
                            encode(&["SET", &format!("{writer}:{i}"), &value], &mut pipeline);
                        }
                        client.send_and_read(&pipeline, 200, |_, raw| assert_eq!(raw, b"+OK\r\n"));
                        n += 200;
                    }
                    n
                })
            })
            .collect();
        eventually("memory is full", || {
            info(&mut control, "evicted_keys") > 1000
        });
        check(&mut control, "CONFIG SET maxmemory 32mb", "OK");
        eventually("the new limit holds under load", || {
            (info(&mut control, "used_memory") as usize) < 33 * MB
        });
        let then = info(&mut control, "evicted_keys");
        eventually("and goes on holding", || {
            info(&mut control, "evicted_keys") > then + 20_000
        });
        stop.store(true, Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    eventually("the limit holds", || {
        info(&mut control, "used_memory") <= info(&mut control, "maxmemory")
    });
    // No key was written twice, and none expires.
    let left = walk(&mut control).len();
    check(&mut control, "DBSIZE", &left.to_string());
    assert_eq!(
        left as u64 + info(&mut control, "evicted_keys"),
        written as u64
    );
}

// ---- Who is refused

/// Which commands are refused, and with which text, as on the newest real servers.
#[test]
fn who_is_refused_as_on_real_servers() {
    let Some(peers) = Peers::find().or_skip("who_is_refused_as_on_real_servers") else {
        return;
    };
    const PREPARE: &[&str] = &[
        "SET s value",
        "SET n 1",
        "RPUSH l a b c",
        "HSET h f 1",
        "SADD set a b c",
        "ZADD z 1 a 2 b",
        "XADD x 1-1 f v",
        "XGROUP CREATE x g 0",
        "PFADD hll a",
        "SET other v",
        "GEOADD geo 1 1 a",
        "CONFIG SET maxmemory 1",
    ];
    const TRIED: &[&str] = &[
        "SET s w",
        "SET new v",
        "SETNX new v",
        "SETEX new 10 v",
        "GETSET s w",
        "GETEX s EX 100",
        "GETDEL other",
        "APPEND s x",
        "SETRANGE s 0 x",
        "SETBIT s 1 1",
        "BITFIELD s SET u8 0 1",
        "BITFIELD_RO s GET u8 0",
        "BITOP AND dest s",
        "INCR n",
        "INCRBYFLOAT n 1",
        "DECR n",
        "MSET a 1",
        "MSETNX a 1",
        "MGET a s",
        "LPUSH l x",
        "RPUSHX l x",
        "LINSERT l BEFORE a x",
        "LSET l 0 x",
        "LREM l 1 x",
        "LTRIM l 0 10",
        "LPOP l",
        "LMOVE l l LEFT RIGHT",
        "RPOPLPUSH l l",
        "BLMOVE l l LEFT RIGHT 1",
        "BLPOP l 1",
        "HSET h g 1",
        "HINCRBY h f 1",
        "HSETNX h g 1",
        "HDEL h nosuch",
        "HEXPIRE h 100 FIELDS 1 f",
        "SADD set x",
        "SREM set x",
        "SMOVE set other2 a",
        "SINTERSTORE dest set",
        "SUNIONSTORE dest set",
        "SPOP set",
        "ZADD z 1 c",
        "ZINCRBY z 1 a",
        "ZREM z nosuch",
        "ZPOPMIN z",
        "ZRANGESTORE dest z 0 -1",
        "ZUNIONSTORE dest 1 z",
        "XADD x * f v",
        "XDEL x 1-1",
        "XTRIM x MAXLEN 10",
        "XACK x g 1-1",
        "XREADGROUP GROUP g c STREAMS x >",
        "XGROUP CREATE x g2 0",
        "XGROUP CREATECONSUMER x g c2",
        "XGROUP DESTROY x g",
        "PFADD hll b",
        "PFCOUNT hll",
        "PFMERGE dest hll",
        "GEOADD geo 1 1 b",
        "GEOSEARCHSTORE dest geo FROMLONLAT 1 1 BYRADIUS 1 km",
        "SORT l ALPHA STORE dest",
        "SORT l ALPHA",
        "COPY s dest",
        "RENAME s s2",
        "MOVE s2 1",
        "EXPIRE n 100",
        "PERSIST n",
        "DEL n",
        "RESTORE r 0 x",
        "EVAL return(redis.call('set','q','1')) 0",
        "EVAL return(redis.call('get','q')) 0",
        "PUBLISH c m",
        "SCRIPT LOAD return(1)",
        "MULTI",
        "GET q",
        "SET q 1",
        "EXEC",
        "MULTI",
        "GET q",
        "DEL q",
        "EXEC",
        "FLUSHALL",
    ];
    let ours = {
        let server = Server::redpoll();
        replies(&mut server.connect(), PREPARE, TRIED)
    };
    for peer in [peers.redis8, peers.redis8_6, peers.valkey]
        .into_iter()
        .flatten()
    {
        let server = Server::peer(&peer, &[]);
        let theirs = replies(&mut server.connect(), PREPARE, TRIED);
        for ((line, ours), theirs) in TRIED.iter().zip(&ours).zip(&theirs) {
            let of_valkey_alone = theirs.starts_with("-ERR unknown command");
            assert!(
                ours == theirs || of_valkey_alone,
                "{line}\n  here     {ours}\n  {} {} {theirs}",
                peer.name,
                peer.version
            );
        }
    }
}

/// What comes of each line: the error, or only that there is none.
fn replies(client: &mut Client, prepare: &[&str], lines: &[&str]) -> Vec<String> {
    for line in prepare {
        let reply = show(&client.run(line));
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    let reply = |line: &&str| match show(&client.run(line)) {
        error if error.starts_with("-ERR unknown command") => "-ERR unknown command".into(),
        // How a script is named differs.
        error if error.starts_with('-') => {
            let (text, _) = error.split_once(" script: ").unwrap_or((&error, ""));
            text.to_owned()
        }
        _ => "no error".to_owned(),
    };
    lines.iter().map(reply).collect()
}

// ---- What the process takes

/// Limits the tests of growth set, and what the process may take at most: a tenth and 64 MB beyond.
const LIMIT: usize = 64 * MB;

fn limited(args: &[&str]) -> Server {
    let limit = LIMIT.to_string();
    let mut all = vec!["--maxmemory", &limit, "--threads", "2"];
    all.extend(args);
    Server::redpoll_with(&all)
}

/// The most that was ever resident is within what may be.
#[track_caller]
fn stays_within(server: &Server, what: &str) {
    // Pages of the program's file are none of it: a debug build has ten megabytes of them.
    let peak = (server.peak_resident_bytes() - server.resident_file_bytes()) as usize;
    println!("{what}: at most {} MB resident", peak / MB);
    assert!(
        peak <= LIMIT + LIMIT / 10 + 64 * MB,
        "{what}: {} MB were resident with a limit of {} MB",
        peak / MB,
        LIMIT / MB
    );
    check(&mut server.connect(), "PING", "PONG");
}

/// Sends the same request over and over, some at a time, and returns how many replies were errors.
fn repeat(
    client: &mut Client,
    times: usize,
    at_once: usize,
    request: impl Fn(usize) -> Vec<Vec<u8>>,
) -> usize {
    let mut errors = 0;
    for start in (0..times).step_by(at_once) {
        let mut pipeline = Vec::new();
        let n = at_once.min(times - start);
        (start..start + n).for_each(|i| encode(&request(i), &mut pipeline));
        client.send_and_read(&pipeline, n, |_, raw| errors += usize::from(raw[0] == b'-'));
    }
    errors
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn keys_grow() {
    for policy in ["noeviction", "allkeys-lru", "volatile-ttl"] {
        let server = limited(&["--maxmemory-policy", policy]);
        let mut client = server.connect();
        let value = "v".repeat(2000);
        let refused = repeat(&mut client, 50_000, 500, |i| {
            words(&["SET", &format!("key:{i}"), &value, "EX", "10000"])
        });
        assert_eq!(refused > 0, policy == "noeviction", "{policy}: {refused}");
        stays_within(&server, &format!("keys, {policy}"));
        // Of many sizes, in every type.
        let refused = repeat(&mut client, 25_000, 500, |i| {
            let (key, long) = (format!("t{}:{}", i % 5, i / 40), "x".repeat(i % 3000));
            match i % 5 {
                0 => words(&["HSET", &key, &i.to_string(), &long]),
                1 => words(&["RPUSH", &key, &long]),
                2 => words(&["SADD", &key, &format!("{i}{long}")]),
                3 => words(&["ZADD", &key, "1", &format!("{i}{long}")]),
                _ => words(&["XADD", &key, "*", "f", &long]),
            }
        });
        if policy != "volatile-ttl" {
            assert_eq!(refused > 0, policy == "noeviction", "{policy}: {refused}");
        }
        stays_within(&server, &format!("keys of all types, {policy}"));
    }
}

/// One value that grows by commands with small arguments or large ones is refused before it is too large.
#[test]
fn one_value_grows() {
    let chunk = "c".repeat(MB);
    let server = limited(&[]);
    let mut client = server.connect();
    for line in [
        "SETRANGE big 500000000 x",
        "SETBIT big 4000000000 1",
        "BITFIELD big SET u8 4000000000 1",
    ] {
        check(&mut client, line, OOM);
        check(&mut client, "EXISTS big", "0");
    }
    // Also where the gate looks at the script or the transaction and not at the call.
    let call = "return redis.pcall('SETRANGE', 'big', 500000000, 'x').err";
    let reply = show(&client.call(&["EVAL", call, "0"]));
    assert!(reply.starts_with("\"OOM command not allowed"), "{reply}");
    check(&mut client, "MULTI", "OK");
    check(&mut client, "SETRANGE big 500000000 x", "QUEUED");
    check(&mut client, "EXEC", &format!("[{OOM}]"));
    stays_within(&server, "refused offsets");
    // What fits is taken, and what is there already is no obstacle to changing it.
    check(&mut client, "SETRANGE half 37500000 x", "37500001");
    check(&mut client, "SETRANGE half 37499999 y", "37500001");
    check(&mut client, "SETBIT half 280000000 1", "0");
    check(&mut client, "COPY half copy", OOM);
    check(&mut client, "BITOP NOT copy half", "37500001");
    check(&mut client, "DEL half copy", "2");
    for request in [
        vec!["APPEND", "s", &chunk],
        vec!["RPUSH", "l", &chunk],
        vec!["HSET", "h", "", &chunk],
        vec!["XADD", "x", "*", "f", &chunk],
    ] {
        let refused = repeat(&mut client, 100, 4, |i| {
            let mut words = words(&request);
            if words[2].is_empty() {
                words[2] = i.to_string().into_bytes();
            }
            words
        });
        assert!(refused > 20, "{}: {refused}", request[0]);
        stays_within(&server, request[0]);
        client.run("FLUSHALL SYNC");
    }
    // Results that are as large as what they are made of.
    let refused = repeat(&mut client, 300, 10, |i| {
        let mut words = words(&["SADD", "set"]);
        words.extend((0..1000).map(|j| format!("{i}:{j}:{}", "m".repeat(100)).into_bytes()));
        words
    });
    assert_eq!(refused, 0);
    for line in [
        "SUNIONSTORE a set",
        "SDIFFSTORE b set",
        "ZUNIONSTORE c 1 set",
        "SORT set ALPHA STORE d",
        "SUNIONSTORE e set a b",
        "COPY set f",
    ] {
        // Whether one more fits depends on how large the others are.
        client.run(line);
        stays_within(&server, line);
    }
    check(&mut client, "SCARD set", "300000");
}

/// Requests that do not end, and replies that nobody takes.
#[test]
fn pipelines_grow() {
    let server = limited(&["--proto-max-bulk-len", "64mb"]);
    let mut control = server.connect();
    let value = "v".repeat(MB);
    check_args(&mut control, &["SET", "k", &value], "OK");
    // Short enough to be copied for each reply: longer ones are there once, whoever is to be sent them.
    check_args(&mut control, &["SET", "copied", &value[..12_000]], "OK");
    // Clients that send and never read. Their connections may be closed on them.
    let mut careless: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    let gets = b"GET copied\r\n".repeat(10_000);
    for client in &mut careless {
        let _ = client.send_raw(&gets);
    }
    eventually("somebody has replies that are not taken", || {
        info(&mut control, "mem_clients_normal") > 10 << 20
    });
    stays_within(&server, "replies that nobody takes");
    drop(careless);
    // Arguments that do not end.
    let start = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 60 * MB);
    let (part, mut taken) = (vec![b'x'; 4 * MB], 0);
    let mut endless: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    endless.iter_mut().for_each(|client| {
        let _ = client.send_raw(start.as_bytes());
    });
    for _ in 0..4 {
        for client in &mut endless {
            taken += usize::from(client.send_raw(&part).is_ok());
        }
    }
    println!("{taken} parts of 4 MB were taken");
    stays_within(&server, "arguments that do not end");
    assert!(info(&mut control, "evicted_clients") > 0);
    check(&mut control, "STRLEN k", &MB.to_string());
}

/// A client that takes more than all of them may is gone before what it has sent is carried out, whatever it takes that for.
#[test]
fn one_client_takes_more_than_all_may() {
    let server = Server::redpoll_with(&["--maxmemory-clients", "2mb"]);
    let mut control = server.connect();
    let sent = server
        .connect()
        .try_call(&["SET", "k", &"v".repeat(3 * MB)]);
    assert!(sent.is_err(), "{sent:?}");
    check(&mut control, "EXISTS k", "0");
    let mut queue = server.connect();
    check(&mut queue, "MULTI", "OK");
    let value = "v".repeat(MB / 2);
    let queued = (0..5)
        .take_while(|_| queue.try_call(&["SET", "k", &value]).is_ok())
        .count();
    assert!(queued < 5, "{queued} were queued");
    assert_eq!(info(&mut control, "evicted_clients"), 2);
    // What all take together is known to whoever looks after the limit.
    check(&mut control, "CLIENT NO-EVICT ON", "OK");
    let part = format!("*2\r\n$4\r\nECHO\r\n${}\r\n{value}", 4 * MB);
    let mut some: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut some {
        let _ = client.send_raw(part.as_bytes());
    }
    eventually("some of them have gone", || {
        info(&mut control, "evicted_clients") > 2
    });
}

/// Subscribers that do not read, whatever their own bound.
#[test]
fn subscribers_do_not_read() {
    for own in ["pubsub 0 0 0", "pubsub 8mb 2mb 60"] {
        let server = limited(&["--client-output-buffer-limit", own]);
        let mut publisher = server.connect();
        let mut silent: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        for (i, client) in silent.iter_mut().enumerate() {
            client.run(&format!("SUBSCRIBE c{i}"));
        }
        let message = "m".repeat(200_000);
        let (mut sent, mut got) = (0, 0);
        for round in 0..60 {
            for i in 0..silent.len() {
                if let Value::Int(n) = publisher.call(&["PUBLISH", &format!("c{i}"), &message]) {
                    got += n;
                }
                sent += 1;
            }
            if round % 10 == 0 {
                stays_within(&server, "subscribers that do not read");
            }
        }
        assert!(got < sent, "somebody was disconnected, with {own}");
        stays_within(&server, "subscribers that do not read");
    }
}

/// Queues of transactions count, and are no way around the limit.
#[test]
fn queues_grow() {
    let server = limited(&[]);
    let value = "v".repeat(MB / 2);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    let (mut refused, mut queued) = (0, Vec::new());
    for client in &mut clients {
        let _ = client.try_call(&["MULTI"]);
        let mut taken = 0;
        for i in 0..40 {
            match client.try_call(&["SET", &format!("k{i}"), &value]) {
                Ok(reply) if show(&reply) == "QUEUED" => taken += 1,
                Ok(reply) => {
                    assert_eq!(show(&reply), OOM);
                    refused += 1;
                }
                // The client was disconnected for it.
                Err(_) => refused += 1,
            }
        }
        queued.push(taken);
    }
    // Not all that they send fits, 160 MB; when who is refused or disconnected for it depends on time. Who was disconnected later has
    // lost what it had queued.
    let most = (LIMIT + LIMIT / 10 + 8 * MB) / (MB / 2);
    eventually("no more is queued than fits", || {
        let mut still = 0;
        for (client, taken) in clients.iter_mut().zip(&queued) {
            still += if client.try_call(&["PING"]).is_ok() {
                *taken
            } else {
                0
            };
        }
        still <= most
    });
    assert!(refused + queued.iter().sum::<usize>() == 8 * 40);
    // Something is taken before it is short.
    assert!(queued.iter().sum::<usize>() > 20, "{queued:?}");
    stays_within(&server, "queues of transactions");
    for client in &mut clients {
        let _ = client.try_call(&["EXEC"]);
    }
    stays_within(&server, "transactions");
}

/// What scripts hold is bounded, in variables, in strings and in replies.
#[test]
fn scripts_grow() {
    for (what, script) in [
        ("a table", "local t = {} for i = 1, 1e9 do t[i] = {i} end"),
        (
            "strings",
            "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1e5) .. i end",
        ),
        ("one string", "local s = 'x' while true do s = s .. s end"),
        (
            "a reply",
            "local t = {} for i = 1, 1e9 do t[i] = 'some text ' .. i end return t",
        ),
        (
            "keys",
            "for i = 1, 1e9 do redis.call('set', 'k' .. i, string.rep('x', 1000)) end",
        ),
    ] {
        let server = limited(&["--busy-reply-threshold", "600000"]);
        let mut client = server.connect();
        let _ = client.set_read_timeout(std::time::Duration::from_secs(120));
        let reply = show(&client.call(&["EVAL", script, "0"]));
        assert!(reply.starts_with('-'), "{what}: {reply:.100}");
        stays_within(&server, &format!("a script with {what}"));
        check(&mut client, "EVAL return(1) 0", "1");
    }
}

/// A walk over the keyspace, and what is left when everybody has gone, agree with the counters after clients have come, gone and
/// misbehaved at the limit for a while. `REDPOLL_SOAK_SECONDS` sets for how long.
#[test]
fn a_soak_at_the_limit() {
    let seconds = redpoll_tests::env_number("REDPOLL_SOAK_SECONDS", 12);
    let server = limited(&[
        "--maxmemory-policy",
        "allkeys-lfu",
        "--maxmemory-clients",
        "16mb",
    ]);
    let mut control = server.connect();
    let empty = info(&mut control, "used_memory");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for seed in 0..6u64 {
            let server = &server;
            scope.spawn(move || misbehave(server, seed, end));
        }
    });
    eventually("clients that have gone are forgotten", || {
        info(&mut control, "connected_clients") == 1
    });
    // Clients that ask for long things have a dozen threads at work, of which each keeps partly used pages for every size of value: tens of
    // megabytes whatever the limit is, which is why more is allowed than where one thing grows.
    let peak = server.peak_resident_bytes() as usize;
    println!("a soak: at most {} MB resident", peak / MB);
    assert!(
        peak <= LIMIT + LIMIT / 10 + 128 * MB,
        "{} MB were resident",
        peak / MB
    );
    eventually("the limit holds", || {
        info(&mut control, "used_memory") as usize <= LIMIT
    });
    assert_eq!(info(&mut control, "command_panics"), 0);
    assert_eq!(info(&mut control, "blocked_clients"), 0);
    for db in 0..2 {
        check(&mut control, &format!("SELECT {db}"), "OK");
        let keys = walk(&mut control);
        check(&mut control, "DBSIZE", &keys.len().to_string());
        // What each key takes makes up what all of them take, but for the table.
        if db == 0 {
            let mut pipeline = Vec::new();
            for key in &keys {
                encode(
                    &[&b"MEMORY"[..], b"USAGE", key, b"SAMPLES", b"0"],
                    &mut pipeline,
                );
            }
            let mut sum = 0;
            control.send_and_read(&pipeline, keys.len(), |_, raw| {
                let number = raw.strip_prefix(b":").unwrap_or_default();
                sum += String::from_utf8_lossy(number)
                    .trim()
                    .parse::<u64>()
                    .unwrap_or(0);
            });
            println!("{} keys take {sum} bytes", keys.len());
        }
    }
    check(&mut control, "FLUSHALL SYNC", "OK");
    check(&mut control, "SCRIPT FLUSH SYNC", "OK");
    // Each thread keeps what its scripts have compiled, and a little of what they left.
    eventually("nothing is left", || {
        info(&mut control, "used_memory") < empty + 8 * MB as u64
    });
    println!(
        "{} evicted keys, {} evicted clients, {} commands",
        info(&mut control, "evicted_keys"),
        info(&mut control, "evicted_clients"),
        info(&mut control, "total_commands_processed")
    );
}

/// One who comes and goes: writes, reads, blocks, subscribes, leaves in the middle of a request, does not read. No reply that it waits
/// for is missing, and none is another's.
fn misbehave(server: &Server, seed: u64, end: std::time::Instant) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    while std::time::Instant::now() < end {
        let Ok(mut client) = Client::try_connect(server.addr()) else {
            continue;
        };
        // A connection may be closed for what all of them take together: then the next one comes.
        let work = (|| -> std::io::Result<()> {
            if random(2) == 0 {
                client.try_call(&["SELECT", "1"])?;
            }
            for _ in 0..random(60) {
                // Some of what it asks takes long on a busy machine.
                if std::time::Instant::now() >= end {
                    break;
                }
                let (key, value) = (format!("k{}", random(60_000)), "v".repeat(1 << random(15)));
                match random(12) {
                    0..=3 => drop(client.try_call(&["SET", &key, &value])?),
                    4 => drop(client.try_call(&["RPUSH", &format!("l{}", random(50)), &value])?),
                    5 => drop(client.try_call(&[
                        "HSET",
                        &format!("h{}", random(50)),
                        &key,
                        &value,
                    ])?),
                    6 => drop(client.try_call(&[
                        "SETRANGE",
                        &key,
                        &random(1 << 22).to_string(),
                        "x",
                    ])?),
                    7 => drop(client.try_call(&[
                        "EVAL",
                        "local t = {} for i = 1, ARGV[1] do t[i] = i .. 'x' end return #t",
                        "0",
                        &random(10_000).to_string(),
                    ])?),
                    8 => drop(client.try_call(&["BLPOP", "nosuch", "0.01"])?),
                    9 => drop(client.try_call(&["SUNIONSTORE", "u", "s1", "s2"])?),
                    10 => drop(client.try_call(&[
                        "SADD",
                        &format!("s{}", random(3)),
                        &random(2000).to_string(),
                    ])?),
                    _ => {
                        let token = format!("{seed}:{}", random(1 << 30));
                        let reply = client.try_call(&["ECHO", &token])?;
                        assert_eq!(show(&reply), format!("\"{token}\""));
                    }
                }
            }
            match random(6) {
                0 => client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10000\r\nhalf of it"),
                1 => client.send_raw(&b"LRANGE l1 0 -1\r\n".repeat(20)),
                2 => {
                    client.try_call(&["SUBSCRIBE", "c"])?;
                    client.send_raw(b"PING\r\n")
                }
                3 => client.send_raw(b"MULTI\r\nSET k v\r\nGET k\r\n"),
                4 => client.send_raw(b"BLPOP nosuch 100\r\n"),
                _ => client.try_call(&["PUBLISH", "c", "m"]).map(drop),
            }
        })();
        if let Err(error) = work {
            use std::io::ErrorKind as K;
            assert!(
                matches!(
                    error.kind(),
                    K::UnexpectedEof | K::ConnectionReset | K::BrokenPipe
                ),
                "{error}: a reply is missing"
            );
        }
    }
}
