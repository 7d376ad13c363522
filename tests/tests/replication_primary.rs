//! As a primary: real servers follow, whatever is done meanwhile and wherever the connection is cut, and what is told of them is
//! true.

use redpoll_tests::check::{check, show};
use redpoll_tests::client::encode;
use redpoll_tests::cut::Cable;
use redpoll_tests::peers::Peer;
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::program::on_path;
use redpoll_tests::replication::Stopping;
use redpoll_tests::rng::Rng;
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Peers, Server, eventually};
use resp::Value;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

/// Copies are not waited for, no signs of life come in between, and DEBUG may be asked.
const USUAL: &[&str] = &[
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "3600",
    "--enable-debug-command",
    "yes",
];

fn primary(args: &[&str]) -> Server {
    Server::redpoll_with(&[USUAL, args].concat())
}

/// A real server that follows whoever listens on a port.
fn replica(peer: &Peer, port: u16) -> Server {
    let port = port.to_string();
    Server::peer(
        peer,
        &[
            "--enable-debug-command",
            "yes",
            "--replicaof",
            "127.0.0.1",
            &port,
        ],
    )
}

fn all(peers: &Peers) -> Vec<&Peer> {
    [
        &peers.redis7,
        &peers.redis8,
        &peers.redis8_6,
        &peers.valkey8,
        &peers.valkey,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(text) | Value::Verbatim(_, text) => String::from_utf8_lossy(text).into_owned(),
        Value::Simple(text) => text.clone(),
        other => show(other),
    }
}

/// A field of INFO.
fn info(c: &mut Client, field: &str) -> String {
    let reply = text(&c.run("INFO everything"));
    let line = reply
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {reply}"))
        .to_owned()
}

fn number(c: &mut Client, field: &str) -> u64 {
    info(c, field).parse().expect("a number")
}

/// Changes of all kinds. Scores are sums of powers of two, which all servers print alike in digests.
fn change(c: &mut Client, rng: &mut Rng) {
    let n = rng.below(1000).to_string();
    let m = rng.below(40).to_string();
    let line = match rng.below(24) {
        0 => format!("SET s:{m} value-{n}"),
        1 => "INCR counter".to_owned(),
        2 => format!("RPUSH list:{m} {n} {n}x"),
        3 => format!("LPOP list:{m} 2"),
        4 => format!("SADD set:{m} {n} m{n}"),
        5 => format!("SPOP set:{m} 2"),
        6 => format!("ZADD zset:{m} {n}.5 a{n} 1 b{n}"),
        7 => format!("ZPOPMIN zset:{m}"),
        8 => format!("HSET hash:{m} f{n} {n} g {n}"),
        9 => format!("HINCRBYFLOAT hash:{m} sum 0.5"),
        10 => format!("XADD stream:{m} MAXLEN 50 * a {n}"),
        11 => format!("SET gone:{m} 1 PX {}", 1 + rng.below(30)),
        12 => format!("PEXPIRE s:{m} {}", 1 + rng.below(100)),
        13 => format!("GETEX s:{m} EX 100"),
        14 => format!("PFADD hll {n}"),
        15 => format!("SETBIT bits:{m} {n} 1"),
        16 => format!("COPY s:{m} copy:{m} REPLACE"),
        17 => format!("RENAME s:{m} renamed:{m}"),
        18 => format!("MOVE s:{m} 1"),
        19 => format!("SORT list:{m} ALPHA STORE sorted:{m}"),
        20 => {
            let script =
                "redis.call('INCR', KEYS[1]) return redis.call('SET', 'at', redis.call('TIME')[1])";
            c.call(&["EVAL", script, "1", &format!("scripted:{m}")]);
            return;
        }
        21 => {
            for line in ["MULTI", "INCR twin:a", "INCR twin:b", "EXEC"] {
                c.run(line);
            }
            return;
        }
        22 => {
            c.call(&["FCALL", "put", "1", &format!("called:{m}"), &n]);
            return;
        }
        _ => {
            for line in ["SELECT 2", &format!("SET other:{m} {n}"), "SELECT 0"] {
                c.run(line);
            }
            return;
        }
    };
    c.run(&line);
}

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";

/// Changes from some connections until told to stop.
fn changing<R>(server: &Server, seed: u64, then: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for who in 0..3 {
            let (mut c, stop) = (server.connect(), &stop);
            scope.spawn(move || {
                let mut rng = Rng::new(seed * 10 + who);
                while !stop.load(SeqCst) {
                    change(&mut c, &mut rng);
                }
            });
        }
        // Should something not be so, the changing ends all the same.
        let _stopping = Stopping(&stop);
        then()
    })
}

/// Waits until nothing expires any more, and what follows has it all; then it is the same.
fn agrees(ours: &mut Client, theirs: &mut Client, who: &str) {
    let same = |ours: &mut Client, theirs: &mut Client| {
        text(&ours.run("DEBUG DIGEST")) == text(&theirs.run("DEBUG DIGEST"))
    };
    eventually(&format!("{who} has the same data"), || same(ours, theirs));
    let reply = ours.run("FUNCTION LIST WITHCODE");
    let has = |value: &Value| show(value).contains("register_function");
    assert_eq!(
        has(&reply),
        has(&theirs.run("FUNCTION LIST WITHCODE")),
        "{who}"
    );
}

fn is_linked(c: &mut Client) -> bool {
    info(c, "master_link_status") == "up"
}

#[test]
fn all_servers_follow_under_load() {
    let Some(peers) = Peers::find().or_skip("all_servers_follow_under_load") else {
        return;
    };
    let server = primary(&[]);
    let mut c = server.connect();
    c.call(&["FUNCTION", "LOAD", LIBRARY]);
    let mut rng = Rng::new(1);
    for _ in 0..2000 {
        change(&mut c, &mut rng);
    }
    // A large collection, and one for whose fields old readers have no form.
    let many: Vec<String> = (0..20_000).map(|n| format!("member-{n}")).collect();
    let mut add = vec!["SADD", "large"];
    add.extend(many.iter().map(String::as_str));
    c.call(&add);
    let replicas: Vec<(String, Server)> = changing(&server, 2, || {
        let started = all(&peers).into_iter().map(|peer| {
            let name = format!("{} {}", peer.name, peer.version);
            (name, replica(peer, server.port()))
        });
        let started: Vec<_> = started.collect();
        for (name, replica) in &started {
            let mut r = replica.connect();
            eventually(&format!("{name} is linked"), || is_linked(&mut r));
        }
        started
    });
    c.run("SET last one");
    let all = replicas.len().to_string();
    let acked = c.call(&["WAIT", &all, "30000"]);
    assert_eq!(acked, Value::Int(replicas.len() as i64));
    for (name, replica) in &replicas {
        let mut r = replica.connect();
        check(&mut r, "GET last", "\"one\"");
        agrees(&mut c, &mut r, name);
    }
    // What is told of them.
    assert_eq!(number(&mut c, "connected_slaves"), replicas.len() as u64);
    for at in 0..replicas.len() {
        let line = info(&mut c, &format!("slave{at}"));
        assert!(line.contains("state=online"), "{line}");
    }
    let Value::Array(role) = c.run("ROLE") else {
        panic!("ROLE is an array")
    };
    let Value::Array(listed) = &role[2] else {
        panic!("with replicas in it")
    };
    let mut ports: Vec<String> = (listed.iter())
        .map(|replica| match replica {
            Value::Array(fields) => text(&fields[1]),
            other => show(other),
        })
        .collect();
    let mut expected: Vec<String> = replicas.iter().map(|(_, r)| r.port().to_string()).collect();
    ports.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ports, expected);
    let clients = text(&c.run("CLIENT LIST TYPE replica"));
    assert_eq!(clients.lines().count(), replicas.len(), "{clients}");
    assert!(
        clients.lines().all(|line| line.contains(" flags=S ")),
        "{clients}"
    );
    // Those that are killed come again, and go on where they were.
    let full = number(&mut c, "sync_full");
    c.run("CLIENT KILL TYPE replica");
    eventually("they go on", || {
        number(&mut c, "sync_partial_ok") == replicas.len() as u64
    });
    assert_eq!(number(&mut c, "sync_full"), full);
}

/// Cuts the connection again and again after so many bytes each, under load; then all is the same.
/// What a command did before it came upon an error reaches those who follow.
#[test]
fn what_was_done_before_an_error_is_told() {
    let Some(peers) = Peers::find().or_skip("what_was_done_before_an_error_is_told") else {
        return;
    };
    for peer in all(&peers) {
        let server = primary(&[]);
        let follower = replica(peer, server.port());
        let (mut c, mut r) = (server.connect(), follower.connect());
        eventually("it is linked", || is_linked(&mut r));
        // A run of half of the registers, and nothing for the others.
        let hll = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x5f\xff";
        c.call(&[&b"SET"[..], b"hll", hll, b"EX", b"1000"]);
        let before = show(&c.run("GET hll"));
        let reply = show(&c.run("PFADD hll d f i a b"));
        assert!(reply.starts_with("-INVALIDOBJ"), "{reply}");
        assert_ne!(show(&c.run("GET hll")), before);
        c.run("BITFIELD bits OVERFLOW FAIL SET u8 #3 -1");
        agrees(&mut c, &mut r, follower.name());
        assert_eq!(c.run("PEXPIRETIME hll"), r.run("PEXPIRETIME hll"));
    }
}

fn cut_again_and_again(peer: &Peer, cuts: impl Fn(&mut Rng) -> usize, seed: u64) {
    let name = format!("{} {}", peer.name, peer.version);
    let server = primary(&[]);
    let mut c = server.connect();
    c.call(&["FUNCTION", "LOAD", LIBRARY]);
    let mut rng = Rng::new(seed);
    for _ in 0..1500 {
        change(&mut c, &mut rng);
    }
    let cable = Cable::to(server.addr());
    cable.cut_after(cuts(&mut rng));
    let follower = replica(peer, cable.port());
    let mut r = follower.connect();
    changing(&server, seed, || {
        for cut in 0..8 {
            let made = cable.connections();
            eventually(&format!("{name} comes again, {cut}"), || {
                cable.connections() > made
            });
            cable.cut_after(cuts(&mut rng));
        }
    });
    // Nothing more comes, perhaps, that a cut could come after.
    cable.cut_after(usize::MAX >> 1);
    eventually(&format!("{name} is linked"), || is_linked(&mut r));
    agrees(&mut c, &mut r, &name);
}

#[test]
fn the_connection_is_cut_while_a_copy_is_sent() {
    let Some(peers) = Peers::find().or_skip("the_connection_is_cut_while_a_copy_is_sent") else {
        return;
    };
    // The answers to the handshake are some 100 bytes, the copy some tens of thousands.
    for peer in [&peers.redis8_6, &peers.valkey].into_iter().flatten() {
        cut_again_and_again(peer, |rng| rng.below(400), 3);
        cut_again_and_again(peer, |rng| rng.below(60_000), 4);
    }
}

#[test]
fn after_a_cut_it_goes_on_where_it_was() {
    let Some(peers) = Peers::find().or_skip("after_a_cut_it_goes_on_where_it_was") else {
        return;
    };
    for peer in all(&peers) {
        let server = primary(&[]);
        let mut c = server.connect();
        let cable = Cable::to(server.addr());
        let follower = replica(peer, cable.port());
        let mut r = follower.connect();
        eventually("it is linked", || is_linked(&mut r));
        for cut in 1..4 {
            cable.refuse(true);
            cable.cut();
            for n in 0..500 {
                c.run(&format!("SET k{n} {cut}-{n}"));
            }
            cable.refuse(false);
            eventually("it goes on", || number(&mut c, "sync_partial_ok") == cut);
            agrees(&mut c, &mut r, &peer.version);
        }
        assert_eq!(number(&mut c, "sync_full"), 1, "{}", peer.version);
    }
}

#[test]
fn a_backlog_that_is_too_small_costs_a_copy() {
    let Some(peers) = Peers::find().or_skip("a_backlog_that_is_too_small_costs_a_copy") else {
        return;
    };
    let Some(peer) = &peers.valkey else { return };
    let server = primary(&["--repl-backlog-size", "20kb"]);
    let mut c = server.connect();
    let cable = Cable::to(server.addr());
    let follower = replica(peer, cable.port());
    let mut r = follower.connect();
    eventually("it is linked", || is_linked(&mut r));
    cable.refuse(true);
    cable.cut();
    eventually("it is gone", || number(&mut c, "connected_slaves") == 0);
    let large = "x".repeat(100_000);
    for n in 0..5 {
        c.call(&["SET", &format!("large{n}"), &large]);
    }
    cable.refuse(false);
    eventually("another copy", || number(&mut c, "sync_full") == 2);
    assert_eq!(number(&mut c, "sync_partial_err"), 1);
    agrees(&mut c, &mut r, "it");
}

#[test]
fn copies_come_in_both_forms() {
    let server = primary(&[]);
    let mut c = server.connect();
    c.run("SET k v");
    let mut marked = Pretender::to(&server, &[EOF]);
    let mut measured = Pretender::to(&server, &[&["REPLCONF", "listening-port", "7"]]);
    let (a, _) = marked.take_copy();
    let (b, _) = measured.take_copy();
    assert!(a.starts_with(b"REDIS0010") && b.starts_with(b"REDIS0010"));
    // The old way: no answer, but the copy.
    let mut old = Pretender::to(&server, &[]);
    old.say(&["SYNC"]);
    assert!(old.copy().starts_with(b"REDIS0010"));
    // With its length, the stream comes at once; else when it is asked for.
    c.run("SET l v");
    let stream = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nl\r\n$1\r\nv\r\n";
    assert_eq!(measured.bytes(stream.len()), stream.as_bytes());
    marked.ack(1);
    assert_eq!(marked.bytes(stream.len()), stream.as_bytes());
    for (version, magic) in [("8.1.0", &b"REDIS0011"[..]), ("9.0.0", b"VALKEY080")] {
        let said: &[&[&str]] = &[EOF, &["REPLCONF", "version", version]];
        let mut one = Pretender::to(&server, said);
        assert_eq!(&one.take_copy().0[..9], magic);
    }
}

/// A copy that is being written when databases are emptied or change places is of what there was before.
#[test]
fn a_copy_survives_what_happens_to_databases() {
    let Some(peers) = Peers::find().or_skip("a_copy_survives_what_happens_to_databases") else {
        return;
    };
    let Some(peer) = &peers.redis8_6 else { return };
    for line in ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "FLUSHALL ASYNC"] {
        let server = primary(&[]);
        let mut c = server.connect();
        c.run("DEBUG POPULATE 100000");
        c.run("SELECT 1");
        c.run("SADD other a b c");
        c.run("SELECT 0");
        for n in 0..5000 {
            c.run(&format!("RPUSH long {n} {n} {n} {n} {n} {n} {n} {n}"));
        }
        let follower = replica(peer, server.port());
        let begun = "A copy of the data set begins";
        eventually("a copy begins", || server.log().contains(begun));
        check(&mut c, line, "OK");
        c.run("SET k v");
        let mut r = follower.connect();
        eventually("it is linked", || is_linked(&mut r));
        agrees(&mut c, &mut r, line);
        assert_eq!(number(&mut c, "sync_full"), 1, "{}", server.log());
        assert_eq!(server.log().matches(begun).count(), 1);
    }
}

#[test]
fn what_old_servers_have_no_form_for_is_written_without() {
    let server = primary(&[]);
    let mut c = server.connect();
    c.run("HSET h f v g w");
    check(&mut c, "HPEXPIRE h 1000000 FIELDS 1 f", "[1]");
    for (said, kind) in [
        (EOF, 16),
        (&["REPLCONF", "capa", "eof", "capa", "rdb-channel-repl"], 24),
    ] {
        let mut one = Pretender::to(&server, &[said]);
        let (copy, _) = one.take_copy();
        let at = copy
            .windows(2)
            .position(|w| w == b"\x01h")
            .expect("its key");
        let written = copy[at - 1];
        // A hash in one piece, or element by element.
        assert!(written == kind || (kind == 16 && written == 4), "{written}");
    }
}

#[test]
fn wait_counts_who_has_acknowledged() {
    let server = primary(&[]);
    let mut c = server.connect();
    c.run("SET k v");
    let mut one = Pretender::to(&server, &[EOF]);
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || {
        info(&mut c, "slave0").contains("state=online")
    });
    eventually("it has what was done before", || {
        c.run("WAIT 1 10") == Value::Int(1)
    });
    c.run("SET k w");
    check(&mut c, "WAIT 1 20", "0");
    let end = number(&mut c, "master_repl_offset");
    let mut waiting = server.connect();
    waiting.run("SET k x");
    waiting.send(&["WAIT", "1", "0"]);
    one.ack(end);
    check(&mut c, "WAIT 1 10000", "1");
    let end = number(&mut c, "master_repl_offset");
    one.ack(end);
    assert_eq!(waiting.read(), Value::Int(1));
    check(&mut c, "WAIT 2 10", "1");
    check(&mut c, "WAITAOF 0 1 10", "[0, 0]");
    let end = end.to_string();
    one.say(&["REPLCONF", "ACK", &end, "FACK", &end]);
    check(&mut waiting, "WAITAOF 0 1 10000", "[0, 1]");
    drop(one);
    eventually("it has left", || number(&mut c, "connected_slaves") == 0);
    check(&mut c, "WAIT 1 10", "0");
}

#[test]
fn with_too_few_replicas_nothing_is_changed() {
    let server = primary(&["--min-replicas-to-write", "1"]);
    let mut c = server.connect();
    let few = "-NOREPLICAS Not enough good replicas to write.";
    eventually("it has noticed", || show(&c.run("SET k v")) == few);
    check(&mut c, "GET k", "nil");
    let script = "return redis.pcall('SET', 'k', 1)";
    assert_eq!(show(&c.call(&["EVAL", script, "0"])), few);
    let mut one = Pretender::to(&server, &[EOF]);
    let (_, offset) = one.take_copy();
    check(&mut c, "SET k v", few);
    one.ack(offset);
    eventually("there is one", || show(&c.run("SET k v")) == "OK");
    assert_eq!(info(&mut c, "min_slaves_good_slaves"), "1");
    drop(one);
    eventually("there is none", || show(&c.run("SET k v")) == few);
    check(&mut c, "CONFIG SET min-replicas-to-write 0", "OK");
    check(&mut c, "SET k v", "OK");
}

#[test]
fn what_is_missed_goes_to_the_disk() {
    let folder = Folder::new();
    let server = primary(&[
        "--repl-backlog-size",
        "1mb",
        "--repl-spill-dir",
        folder.text(),
    ]);
    let mut c = server.connect();
    let mut one = Pretender::to(&server, &[EOF]);
    let (_, offset) = one.take_copy();
    // It loads, and says nothing.
    let large = "x".repeat(1 << 20);
    for n in 0..60 {
        c.call(&["SET", &format!("large{}", n % 3), &large]);
    }
    eventually("some is on the disk", || {
        number(&mut c, "redpoll_repl_spilled_bytes") > 10 << 20
    });
    let end = number(&mut c, "master_repl_offset");
    one.ack(offset);
    let stream = one.bytes((end - offset) as usize);
    let sets = stream.windows(8).filter(|w| w == b"$3\r\nSET\r").count();
    assert_eq!(sets, 60);
    eventually("nothing is", || {
        number(&mut c, "redpoll_repl_spilled_bytes") == 0
    });
    // Its files have no names.
    assert_eq!(std::fs::read_dir(&folder.0).expect("a folder").count(), 0);
}

/// What is kept for replicas is memory that is used, as real servers count it: the backlog, and beyond it what somebody still lacks, which
/// no keys are evicted for.
#[test]
fn what_is_kept_for_replicas_is_counted() {
    let server = primary(&["--repl-backlog-size", "1mb"]);
    let mut c = server.connect();
    let mut one = Pretender::to(&server, &[EOF]);
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || c.run("WAIT 1 10") == Value::Int(1));
    let before = number(&mut c, "used_memory");
    let value = "v".repeat(100_000);
    // It takes no more than what fits in sockets.
    for _ in 0..300 {
        c.call(&["SET", "k", &value]);
    }
    let mib = 1 << 20;
    eventually("it waits", || {
        number(&mut c, "mem_total_replication_buffers") > 8 * mib
    });
    let stream = number(&mut c, "mem_total_replication_buffers");
    assert_eq!(number(&mut c, "mem_replication_backlog"), mib);
    assert!(number(&mut c, "mem_clients_slaves") > 7 * mib);
    assert_eq!(number(&mut c, "mem_not_counted_for_evict"), stream - mib);
    assert!(number(&mut c, "used_memory") > before + stream);
    assert!(number(&mut c, "mem_clients_normal") < mib);
    drop(one);
    eventually("only the backlog is left", || {
        number(&mut c, "mem_clients_slaves") < mib
            && number(&mut c, "used_memory") < before + 3 * mib
    });
}

#[test]
fn who_takes_nothing_is_given_up() {
    let server = primary(&[
        "--repl-backlog-size",
        "100kb",
        "--client-output-buffer-limit",
        "replica 2mb 0 0",
    ]);
    let mut c = server.connect();
    let mut one = Pretender::to(&server, &[EOF]);
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || {
        info(&mut c, "slave0").contains("state=online")
    });
    let large = "x".repeat(1 << 20);
    eventually("it is closed", || {
        c.call(&["SET", "large", &large]);
        number(&mut c, "connected_slaves") == 0
    });
    eventually("it is counted", || {
        number(&mut c, "client_output_buffer_limit_disconnections") == 1
    });
}

#[test]
fn redis_cli_takes_files() {
    let Some(cli) = on_path("redis_cli_takes_files", "redis-cli") else {
        return;
    };
    let server = primary(&["--rdbcompression", "no"]);
    let mut c = server.connect();
    c.call(&["FUNCTION", "LOAD", LIBRARY]);
    for n in 0..1000 {
        c.run(&format!("SET key-{n} value-{n}"));
    }
    let folder = Folder::new();
    for (option, keys) in [("--rdb", true), ("--functions-rdb", false)] {
        let file = folder.0.join(option);
        let port = server.port().to_string();
        let done = Command::new(&cli)
            .args(["-p", &port, option])
            .arg(&file)
            .output()
            .expect("redis-cli runs");
        assert!(done.status.success(), "{done:?}");
        let bytes = std::fs::read(&file).expect("it has written a file");
        let has = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        assert!(bytes.starts_with(b"REDIS00"));
        assert!(has(b"register_function"), "{option}");
        assert_eq!(has(b"key-999"), keys, "{option}");
    }
    // Nobody follows, and so nothing is kept for anybody.
    eventually("it has left", || number(&mut c, "connected_slaves") == 0);
}

#[test]
fn what_replicas_say_before_is_looked_at() {
    let server = primary(&[]);
    let mut c = server.connect();
    for (line, reply) in [
        ("REPLCONF", "OK"),
        (
            "REPLCONF listening-port 7000 ip-address 10.0.0.1 capa what-is-not-known",
            "OK",
        ),
        ("REPLCONF listening-port", "-ERR syntax error"),
        (
            "REPLCONF listening-port x",
            "-ERR value is not an integer or out of range",
        ),
        (
            "REPLCONF what is-that",
            "-ERR Unrecognized REPLCONF option: what",
        ),
        (
            "REPLCONF rdb-filter-only keys",
            "-ERR Unsupported rdb-filter-only option: keys",
        ),
        ("PSYNC ? x", "-ERR value is not an integer or out of range"),
        ("ROLE", "[\"master\", 0, []]"),
    ] {
        check(&mut c, line, reply);
    }
    // What a replica has said stands in what is told of it.
    let mut one = Pretender::to(
        &server,
        &[
            EOF,
            &[
                "REPLCONF",
                "listening-port",
                "7001",
                "ip-address",
                "10.0.0.9",
            ],
        ],
    );
    let (_, offset) = one.take_copy();
    one.ack(offset);
    eventually("it is online", || {
        info(&mut c, "slave0").starts_with("ip=10.0.0.9,port=7001,state=online,")
    });
    check(&mut c, "MULTI", "OK");
    check(
        &mut c,
        "PSYNC ? -1",
        "-ERR Command not allowed inside a transaction",
    );
}

#[test]
fn those_behind_a_replica_follow_it_and_go_on_when_it_leads() {
    let Some(peers) = Peers::find().or_skip("those_behind_a_replica_follow_it") else {
        return;
    };
    let (Some(first), Some(last)) = (&peers.valkey, &peers.redis8_6) else {
        return;
    };
    let top = Server::peer(
        first,
        &[
            "--enable-debug-command",
            "yes",
            "--repl-diskless-sync-delay",
            "0",
        ],
    );
    let above = format!("127.0.0.1 {}", top.port());
    let middle = primary(&["--replicaof", &above]);
    let (mut t, mut m) = (top.connect(), middle.connect());
    t.call(&["FUNCTION", "LOAD", LIBRARY]);
    eventually("the middle is linked", || is_linked(&mut m));
    let leaf = changing(&top, 7, || {
        let leaf = replica(last, middle.port());
        let mut l = leaf.connect();
        eventually("the last is linked", || is_linked(&mut l));
        leaf
    });
    let mut l = leaf.connect();
    agrees(&mut t, &mut m, "the middle");
    agrees(&mut t, &mut l, "the last");
    // The stream is the same everywhere, so that nobody needs a copy when there is another primary.
    let full = number(&mut m, "sync_full");
    check(&mut m, "REPLICAOF NO ONE", "OK");
    check(&mut m, "SET led by", "OK");
    eventually("the last has it", || show(&l.run("GET led")) == "\"by\"");
    assert_eq!(number(&mut m, "sync_full"), full);
    assert!(number(&mut m, "sync_partial_ok") > 0);
}

/// Who is told to follow somebody else has its own replicas get what it has done, though they have not taken it yet, and what it
/// answers meanwhile is done and sent to them, or refused.
#[test]
fn who_becomes_a_replica_leaves_its_own_nothing_out() {
    let peers = Peers::find();
    let real = all(&peers)
        .into_iter()
        .map(|peer| Server::peer(peer, USUAL));
    // What is between two steps of it is seldom met.
    let often = (0..10).map(|_| primary(&[]));
    for server in often.chain(real) {
        let mut c = server.connect();
        let mut one = Pretender::to(&server, &[EOF]);
        let (_, offset) = one.take_copy();
        c.run("SET begin 1");
        one.ack(offset);
        one.commands_until(&["SET", "begin", "1"]);
        let (large, mut bytes) = ("x".repeat(100_000), Vec::new());
        for n in 0..200 {
            encode(&["SET", &format!("large{n}"), &large], &mut bytes);
        }
        // A port that nobody listens on.
        encode(&["REPLICAOF", "127.0.0.1", "1"], &mut bytes);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let mut client = server.connect();
                thread::spawn(move || write_until_refused(&mut client, &format!("w{writer}")))
            })
            .collect();
        c.send_and_read(&bytes, 201, |_, raw| assert_eq!(raw, b"+OK\r\n"));
        assert_eq!(info(&mut c, "role"), "slave");
        let mut sent = one.commands_until(&["SET", "large199", &large]);
        for (writer, thread) in writers.into_iter().enumerate() {
            let (name, last) = (format!("w{writer}"), thread.join().expect("a writer"));
            let (last, key) = (last.to_string(), name.as_bytes());
            let of_it = |argv: &&Vec<Vec<u8>>| argv.len() == 3 && argv[1] == key;
            let last_sent = sent.iter().rev().find(of_it).map(|argv| argv[2].clone());
            if last_sent.as_deref() != Some(last.as_bytes()) {
                sent.extend(one.commands_until(&["SET", &name, &last]));
            }
        }
        let large = sent.iter().filter(|argv| argv[1].starts_with(b"large"));
        assert_eq!(large.count(), 199, "{}", server.name());
        assert_eq!(info(&mut c, "connected_slaves"), "1", "{}", server.name());
    }
}

/// Sets a key to one number after the other, many in a pipeline, until that is refused; the last that was set.
fn write_until_refused(client: &mut Client, key: &str) -> u64 {
    const AT_ONCE: u64 = 500;
    let mut set = 0;
    for pipeline in 0.. {
        let mut bytes = Vec::new();
        for n in 0..AT_ONCE {
            let number = (pipeline * AT_ONCE + n + 1).to_string();
            encode(&["SET", key, &number], &mut bytes);
        }
        let mut refused = 0;
        client.send_and_read(&bytes, AT_ONCE as usize, |_, raw| {
            match raw.starts_with(b"-READONLY") {
                true => refused += 1,
                // Behind one that was refused none is done.
                false => assert_eq!((raw, refused), (&b"+OK\r\n"[..], 0)),
            }
        });
        set += AT_ONCE - refused;
        if refused > 0 {
            return set;
        }
    }
    unreachable!("it ends by being refused")
}
