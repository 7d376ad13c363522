//! Data sets that cross between servers, and crashes while files are written.
//!
//! What one server saves, each other that can reads, through Redpoll, compared key by key; logs likewise. A server that is killed
//! while it saves or rewrites leaves the old file or the new one, whole.

use redpoll_tests::check::show;
use redpoll_tests::diff::grammar::{Dialect, Grammar};
use redpoll_tests::diff::rows::{self, Row};
use redpoll_tests::peers::Peer;
use redpoll_tests::rng::Rng;
use redpoll_tests::server::{Folder, redpoll_binary};
use redpoll_tests::{Client, Peers, Server, env_number, eventually, every_peer};
use resp::Value;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const DEBUG: &[&str] = &["--enable-debug-command", "yes"];

fn redpoll(folder: &Folder, args: &[&str]) -> Server {
    Server::redpoll_with(&[&["--dir", folder.text()], DEBUG, args].concat())
}

fn real(peer: &Peer, folder: &Folder, args: &[&str]) -> Server {
    Server::peer(peer, &[&["--dir", folder.text()], DEBUG, args].concat())
}

fn version(peer: &Peer) -> (u32, u32) {
    let mut numbers = peer.version.split('.').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether fields of hashes expire there.
fn times_fields(peer: &Peer) -> bool {
    version(peer) >= if peer.name == "redis" { (7, 4) } else { (9, 0) }
}

/// The newest version of RDB with which a server reads everything that it can hold.
fn rdb_version(peer: &Peer) -> &'static str {
    match (peer.name.as_str(), version(peer)) {
        ("redis", (8.., _)) => "12",
        ("valkey", (9.., _)) => "80",
        (_, (7, 0)) => "10",
        _ => "11",
    }
}

/// Every type in every encoding.
fn lines(timed_fields: bool) -> Vec<String> {
    let mut all: Vec<String> = [
        "SET int 0",
        "SET negative -129",
        "SET large 9223372036854775807",
        "SET not-a-number 007",
        "SET text hello",
        "APPEND raw abc",
        "SETBIT bits 70000 1",
        "PFADD hll a b c d",
        "SET expiring soon PXAT 33333333333333",
        "RPUSH list a b 1 -5 70000 12345678901",
        "SADD ints 1 -300 70000 123456789012",
        "SADD small a b 17",
        "ZADD zset 1.5 a -inf b inf d 0.125 e -1024.75 17 1.2676506002282294e30 f",
        "HSET hash f v 1 2 g -70000",
        "HSET hash-expiring f v",
        "PEXPIREAT hash-expiring 33333333333334",
        "XADD stream 5-1 f v g w",
        "XADD stream 5-2 f v2 g w2",
        "XADD stream 6-0 other fields here too",
        "XDEL stream 5-2",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >",
        "XGROUP CREATE stream idle $",
        "XADD gone 7-7 a b",
        "XDEL gone 7-7",
        "GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "SELECT 3",
        "SET text other",
        "LPUSH list x",
        "SELECT 0",
    ]
    .map(String::from)
    .into();
    for i in 0..300 {
        all.push(format!("RPUSH list-large item-{i} {}", i * i * 7919));
        all.push(format!("SADD set-large m{i}"));
        all.push(format!("ZADD zset-large {i}.25 m{i}"));
        all.push(format!("HSET hash-large f{i} v{i}"));
        all.push(format!("XADD stream-large {}-1 k v{i}", i + 1));
        all.push(format!("PFADD hll-dense e{i} g{i} h{i}"));
    }
    all.push(format!("SET long {}", "abcdefgh".repeat(500)));
    all.push(format!("RPUSH list-plain {} b", "x".repeat(9000)));
    all.push(format!("HSET hash-long f {}", "y".repeat(300)));
    if timed_fields {
        for line in [
            "HSET timed a 1 b 2 c 3",
            "HPEXPIREAT timed 33333333333333 FIELDS 2 a b",
            "HPEXPIREAT hash-large 33333333333335 FIELDS 1 f7",
        ] {
            all.push(line.into());
        }
    }
    all
}

fn fill(c: &mut Client, timed_fields: bool) {
    for line in lines(timed_fields) {
        let reply = c.run(&line);
        assert!(
            !matches!(reply, Value::Error(_)),
            "{line}: {}",
            show(&reply)
        );
    }
}

fn sorted(value: Value, by: usize) -> String {
    let Value::Array(items) = value else {
        return show(&value);
    };
    let mut parts: Vec<String> = items
        .chunks(by)
        .map(|chunk| chunk.iter().map(show).collect::<Vec<_>>().join(" "))
        .collect();
    parts.sort();
    parts.join(", ")
}

/// Every key with what it holds, in words that do not depend on the server.
fn contents(c: &mut Client) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for db in [0, 3] {
        c.run(&format!("SELECT {db}"));
        let Value::Array(keys) = c.run("KEYS *") else {
            panic!("keys")
        };
        for key in keys {
            let Value::Bulk(key) = key else { continue };
            let key = String::from_utf8_lossy(&key).into_owned();
            let mut run = |line: &str| c.run(&line.replace('K', &key));
            let kind = show(&run("TYPE K"));
            let value = match kind.as_str() {
                "string" => show(&run("GET K")),
                "list" => show(&run("LRANGE K 0 -1")),
                "set" => sorted(run("SMEMBERS K"), 1),
                "zset" => show(&run("ZRANGE K 0 -1 WITHSCORES")),
                "hash" => {
                    let fields = sorted(run("HGETALL K"), 2);
                    // Servers that know no such times answer an error, which counts as none.
                    let mut times = Vec::new();
                    for field in ["a", "b", "c", "f7", "f"] {
                        if let Value::Array(time) = run(&format!("HPEXPIRETIME K FIELDS 1 {field}"))
                            && let [Value::Int(at)] = time[..]
                            && at > 0
                        {
                            times.push(format!("{field} {at}"));
                        }
                    }
                    format!("{fields} times {times:?}")
                }
                _ => {
                    let entries = show(&run("XRANGE K - +"));
                    let mut groups = Vec::new();
                    if let Value::Array(found) = run("XINFO GROUPS K") {
                        for group in found {
                            let Value::Array(fields) = group else {
                                continue;
                            };
                            let name = show(&fields[1]).trim_matches('"').to_owned();
                            let pending = show(&run(&format!("XPENDING K {name}")));
                            groups.push(format!("{name} {} {pending}", show(&fields[7])));
                        }
                    }
                    format!("{entries} groups {groups:?}")
                }
            };
            let at = match run("PTTL K") {
                Value::Int(-1) => -1,
                _ => 1,
            };
            all.insert(format!("{db}:{key}"), format!("{kind} {at} {value}"));
        }
    }
    c.run("SELECT 0");
    all
}

#[track_caller]
fn assert_same(what: &str, found: &BTreeMap<String, String>, there: &BTreeMap<String, String>) {
    for key in there.keys().chain(found.keys()) {
        assert_eq!(found.get(key), there.get(key), "{what}: {key}");
    }
}

/// What a server without such times would hold.
fn remove_timed(c: &mut Client) {
    c.run("DEL timed");
    c.run("HDEL hash-large f7");
}

#[test]
fn snapshots_cross_between_all_servers() {
    let peers = every_peer("snapshots_cross_between_all_servers");
    for writer in peers.iter().map(Some).chain([None]) {
        let folder = Folder::new();
        let (mut server, timed) = match writer {
            Some(peer) => (real(peer, &folder, &[]), times_fields(peer)),
            None => (redpoll(&folder, &[]), true),
        };
        let mut c = server.connect();
        fill(&mut c, timed);
        let there = contents(&mut c);
        assert!(there.len() > 25);
        let name = server.name().to_owned();
        c.run("SAVE");
        server.signal(Signal::KILL);
        server.wait();
        drop(server);
        let ours = redpoll(&folder, &[]);
        let mut c = ours.connect();
        assert_same(&format!("{name} to redpoll"), &contents(&mut c), &there);
        for reader in &peers {
            let mut there = there.clone();
            if timed && !times_fields(reader) {
                remove_timed(&mut c);
                there = contents(&mut c);
            }
            c.run(&format!(
                "CONFIG SET rdb-save-version {}",
                rdb_version(reader)
            ));
            assert_eq!(show(&c.run("SAVE")), "OK");
            let copy = folder.copy();
            let theirs = real(reader, &copy, &[]);
            let what = format!("{name} by redpoll to {}", theirs.name());
            assert_same(&what, &contents(&mut theirs.connect()), &there);
            // The next reader may know them.
            if timed {
                c.run("DEBUG RELOAD NOSAVE");
                fill_timed(&mut c);
            }
        }
    }
}

fn fill_timed(c: &mut Client) {
    for line in [
        "HSET timed a 1 b 2 c 3",
        "HPEXPIREAT timed 33333333333333 FIELDS 2 a b",
        "HSET hash-large f7 v7",
        "HPEXPIREAT hash-large 33333333333335 FIELDS 1 f7",
    ] {
        c.run(line);
    }
}

#[test]
fn logs_cross_between_all_servers() {
    let peers = every_peer("logs_cross_between_all_servers");
    let log = ["--appendonly", "yes", "--appendfsync", "always"];
    for writer in &peers {
        let folder = Folder::new();
        let mut server = real(writer, &folder, &log);
        let mut c = server.connect();
        // Field times would keep the log from those who do not know them.
        fill(&mut c, false);
        c.run("BGREWRITEAOF");
        eventually("their log is rewritten", || {
            info(&mut c, "aof_rewrite_in_progress") == "0"
                && info(&mut c, "aof_rewrite_scheduled") == "0"
        });
        c.run("RPUSH list after-the-rewrite");
        let there = contents(&mut c);
        let name = server.name().to_owned();
        server.signal(Signal::KILL);
        server.wait();
        drop(server);
        let mut ours = redpoll(
            &folder,
            &[&log[..], &["--aof-use-rdb-preamble", "no"]].concat(),
        );
        let mut c = ours.connect();
        assert_same(
            &format!("the log of {name} to redpoll"),
            &contents(&mut c),
            &there,
        );
        c.run("RPUSH list from-redpoll");
        c.run("BGREWRITEAOF");
        eventually("our log is rewritten", || {
            info(&mut c, "aof_rewrites") == "1"
        });
        c.run("RPUSH list and-on");
        let there = contents(&mut c);
        ours.signal(Signal::KILL);
        ours.wait();
        drop(ours);
        for reader in &peers {
            let copy = folder.copy();
            let theirs = real(reader, &copy, &log);
            let what = format!("the log of {name} by redpoll to {}", theirs.name());
            assert_same(&what, &contents(&mut theirs.connect()), &there);
        }
    }
}

fn info(c: &mut Client, field: &str) -> String {
    let reply = c.run("INFO persistence");
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = reply else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

/// Killed at some moment of a save or a rewrite: the file there was is whole, or the new one is, and what was acknowledged is
/// there.
#[test]
fn killed_while_it_saves_or_rewrites() {
    let folder = Folder::new();
    let log = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut rng = Rng::new(env_number("REDPOLL_SEED", 7));
    let mut counted = 0;
    for round in 0..env_number("REDPOLL_KILLS", 8) {
        let mut server = redpoll(&folder, &log);
        let mut c = server.connect();
        let Value::Bulk(found) = c.run("GET count") else {
            assert_eq!(round, 0, "the counter is lost");
            // Not by DEBUG POPULATE, whose keys are in no log.
            let fill =
                "for i = 1, 20000 do redis.call('SET', 'key:' .. i, string.rep('x', 500)) end";
            assert_eq!(show(&c.call(&["EVAL", fill, "0"])), "nil");
            c.run("SAVE");
            c.run("SET count 0");
            continue;
        };
        let found: u64 = String::from_utf8_lossy(&found).parse().expect("a number");
        assert!(
            found == counted || found == counted + 1,
            "{found} of {counted}"
        );
        assert_eq!(show(&c.run("DBSIZE")), "20001");
        counted = found;
        c.run(if round % 2 == 0 {
            "BGSAVE"
        } else {
            "BGREWRITEAOF"
        });
        let until = Instant::now() + Duration::from_millis(rng.below(120) as u64);
        while Instant::now() < until {
            if let Value::Int(n) = c.run("INCR count") {
                counted = n as u64;
            }
        }
        server.signal(Signal::KILL);
        server.wait();
        drop(server);
        let dump = folder.0.join("dump.rdb");
        for (tool, path) in [
            ("check-rdb", &dump),
            ("check-aof", &folder.0.join("appendonlydir")),
        ] {
            let run = Command::new(redpoll_binary())
                .arg(tool)
                .arg(path)
                .output()
                .expect("a run");
            assert!(
                run.status.success(),
                "round {round}: {}",
                String::from_utf8_lossy(&run.stdout)
            );
        }
    }
    let server = redpoll(&folder, &log);
    let left: Vec<String> = std::fs::read_dir(&folder.0)
        .expect("a folder")
        .map(|f| {
            f.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.starts_with("temp-"))
        .collect();
    assert_eq!(
        left,
        [] as [&str; 0],
        "what a killed process left is removed"
    );
    drop(server);
}

/// `everysec`: what was acknowledged a good second before the end is there, and what is there has no gap.
#[test]
fn everysec_loses_no_more_than_it_says() {
    let folder = Folder::new();
    let mut server = redpoll(
        &folder,
        &["--appendonly", "yes", "--appendfsync", "everysec"],
    );
    let mut c = server.connect();
    let mut acknowledged = 0;
    let mut reached = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        for _ in 0..20 {
            acknowledged += 1;
            c.run(&format!("RPUSH list {acknowledged}"));
        }
        reached.push((began.elapsed(), acknowledged));
        thread::sleep(Duration::from_millis(1));
    }
    server.signal(Signal::KILL);
    let end = began.elapsed();
    server.wait();
    drop(server);
    let server = redpoll(&folder, &["--appendonly", "yes"]);
    let Value::Array(list) = server.connect().run("LRANGE list 0 -1") else {
        panic!("a list")
    };
    let numbers: Vec<i64> = list
        .iter()
        .map(|v| show(v).trim_matches('"').parse().expect("a number"))
        .collect();
    assert!(
        numbers.iter().enumerate().all(|(i, n)| *n == i as i64 + 1),
        "a gap"
    );
    let promised = reached
        .iter()
        .rev()
        .find(|(at, _)| *at + Duration::from_secs(2) < end);
    let promised = promised.map_or(0, |(_, n)| *n);
    assert!(
        numbers.len() as i64 >= promised,
        "{} of {promised}",
        numbers.len()
    );
}

/// Random commands of a group's table, without those that end or change the server as a whole.
fn random(
    rng: &mut Rng,
    tables: &[&'static [Row]],
    grammars: &mut BTreeMap<&'static str, Grammar>,
) -> Vec<Vec<u8>> {
    loop {
        let table = tables[rng.below(tables.len())];
        let row = &table[rng.below(table.len())];
        if row.dialect != Dialect::Common
            || ["DEBUG", "OBJECT", "CONFIG", "CLIENT"]
                .iter()
                .any(|w| row.name.starts_with(w))
        {
            continue;
        }
        let grammar = grammars
            .entry(row.args)
            .or_insert_with(|| Grammar::parse(row.args));
        let now_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |t| t.as_millis() as u64);
        let (_, args) = grammar.generate(rng, Dialect::Common, now_ms);
        let mut argv: Vec<Vec<u8>> = row.name.split(' ').map(|w| w.as_bytes().to_vec()).collect();
        argv.extend(args);
        return argv;
    }
}

/// After random commands a restart finds what there was, by DEBUG DIGEST; and so do real servers, key by key.
#[test]
fn random_commands_and_a_restart_come_to_the_same_end() {
    let tables: [&'static [Row]; 7] = [
        rows::STRING,
        rows::HASH,
        rows::LIST,
        rows::SET_GROUP,
        rows::SORTED_SET,
        rows::STREAM,
        rows::BITMAP,
    ];
    let seed = env_number("REDPOLL_SEED", 11);
    let mut rng = Rng::new(seed);
    let mut grammars = BTreeMap::new();
    let folder = Folder::new();
    let log = ["--appendonly", "yes", "--appendfsync", "always"];
    for round in 0..3 {
        // A base with RDB in it has fields that expire in a form that only Redis reads.
        let preamble = if round == 1 { "yes" } else { "no" };
        let log = [&log[..], &["--aof-use-rdb-preamble", preamble]].concat();
        let mut server = redpoll(&folder, &log);
        let mut c = server.connect();
        // Nothing expires between the two looks.
        c.run("DEBUG SET-ACTIVE-EXPIRE 0");
        for n in 0..800 {
            let argv = random(&mut rng, &tables, &mut grammars);
            if c.try_call(&argv).is_err() {
                // The command was such as to end the connection.
                c = server.connect();
            }
            if n == 400 && round > 0 {
                c.run("BGREWRITEAOF");
            }
        }
        c.run("SELECT 0");
        eventually("the rewrite is done", || {
            info(&mut c, "aof_rewrite_in_progress") == "0"
        });
        let keep_only_lasting = |c: &mut Client| {
            // Keys that expire may do so before the restart.
            for db in 0..16 {
                c.run(&format!("SELECT {db}"));
                if let Value::Array(keys) = c.run("KEYS *") {
                    for key in keys {
                        if let Value::Bulk(key) = key
                            && c.call(&[&b"PERSIST"[..], &key]) == Value::Int(1)
                        {
                            continue;
                        }
                    }
                }
            }
            c.run("SELECT 0");
        };
        keep_only_lasting(&mut c);
        let before = show(&c.run("DEBUG DIGEST"));
        server.signal(Signal::KILL);
        server.wait();
        drop(server);
        let server = redpoll(&folder, &log);
        let mut c = server.connect();
        let after = show(&c.run("DEBUG DIGEST"));
        assert_eq!(after, before, "round {round} of REDPOLL_SEED={seed}");
        drop(server);
        let Some(peers) =
            Peers::find().or_skip("random_commands_and_a_restart_come_to_the_same_end")
        else {
            continue;
        };
        let ours = redpoll(&folder, &log);
        let there = contents(&mut ours.connect());
        drop(ours);
        for peer in [&peers.redis8_6, &peers.valkey].into_iter().flatten() {
            if round == 1 && peer.name == "valkey" {
                continue;
            }
            let copy = folder.copy();
            let theirs = real(peer, &copy, &log);
            let what = format!("round {round} of REDPOLL_SEED={seed} on {}", theirs.name());
            assert_same(&what, &contents(&mut theirs.connect()), &there);
        }
    }
}
