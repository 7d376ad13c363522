//! Files of data: what was acknowledged is there after `kill -9`, a snapshot is one moment, and a restart, also by another
//! server, finds what there was.
//!
//! `REDPOLL_KILLS` sets how often the server is killed.

use redpoll_tests::check::{check, show};
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Peers, Server, env_number, eventually};
use resp::Value;
use rustix::process::Signal;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

fn start(folder: &Folder, args: &[&str]) -> Server {
    let mut all = vec!["--dir", folder.text(), "--enable-debug-command", "yes"];
    all.extend(args);
    Server::redpoll_with(&all)
}

/// Has the whole data set written, as the log's base or as a snapshot, and waits for that.
fn write_all(c: &mut Client, by_log: bool) {
    let (command, field) = match by_log {
        true => ("BGREWRITEAOF", "aof_rewrites"),
        false => ("BGSAVE", "rdb_saves"),
    };
    let before = info(c, field);
    let begun = c.run(command);
    assert!(!matches!(begun, Value::Error(_)), "{}", show(&begun));
    eventually("it is written", || info(c, field) != before);
}

/// A folder with nothing but the snapshot of another.
fn copy_of_dump(folder: &Folder) -> Folder {
    let copy = Folder::new();
    let name = "dump.rdb";
    std::fs::copy(folder.0.join(name), copy.0.join(name)).expect("a copy");
    copy
}

const LOG: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// A field of INFO persistence.
fn info(c: &mut Client, name: &str) -> String {
    field(c, "INFO persistence", name)
}

fn field(c: &mut Client, section: &str, field: &str) -> String {
    let reply = c.run(section);
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = reply else {
        panic!("INFO is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}"))
        .to_owned()
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        Value::Bulk(text) => String::from_utf8_lossy(text).parse().expect("a number"),
        Value::Null => 0,
        other => panic!("not a number: {}", show(other)),
    }
}

/// What one client was told.
#[derive(Default)]
struct Told {
    counted: AtomicI64,
    paired: AtomicI64,
    pushed: AtomicI64,
    popped: AtomicI64,
}

/// Sends until the connection breaks.
fn work(mut c: Client, who: usize, told: &Told) -> std::io::Result<()> {
    let key = |name: &str| format!("{name}:{who}");
    loop {
        let n = c.try_call(&["INCR", &key("count")])?;
        told.counted.store(number(&n), SeqCst);
        for command in [&["MULTI"][..], &["INCR", &key("a")], &["INCR", &key("b")]] {
            c.try_call(command)?;
        }
        if let Value::Array(done) = c.try_call(&["EXEC"])? {
            told.paired.store(number(&done[0]), SeqCst);
        }
        let script = "redis.call('INCR', KEYS[1]) return redis.call('INCR', 'twin:' .. ARGV[1])";
        c.try_call(&["EVAL", script, "1", &key("one"), &who.to_string()])?;
        let next = told.pushed.load(SeqCst) + 1;
        c.try_call(&["RPUSH", &key("queue"), &next.to_string()])?;
        told.pushed.store(next, SeqCst);
    }
}

/// Takes elements off a queue as they come, until the connection breaks.
fn take(mut c: Client, who: usize, told: &Told) -> std::io::Result<()> {
    loop {
        if let Value::Array(got) = c.try_call(&["BLPOP", &format!("queue:{who}"), "1"])? {
            told.popped.store(number(&got[1]), SeqCst);
        }
    }
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    const WORKERS: usize = 3;
    let folder = Folder::new();
    let kills = env_number("REDPOLL_KILLS", 8);
    let mut before = [(0, 0, 0, 0); WORKERS];
    for round in 0..kills {
        let mut server = start(&folder, LOG);
        let mut c = server.connect();
        for (who, (counted, paired, pushed, popped)) in before.iter().enumerate() {
            // What was popped had been pushed, even if the kill came before that was acknowledged.
            let pushed = pushed.max(popped);
            let mut get = |name: &str| number(&c.run(&format!("GET {name}:{who}")));
            let found = get("count");
            assert!(
                found == *counted || found == counted + 1,
                "round {round}: {counted} was acknowledged and {found} is there"
            );
            let (a, b) = (get("a"), get("b"));
            assert!(a == b && a >= *paired, "{a} and {b}, {paired} acknowledged");
            assert_eq!(get("one"), get("twin"), "a script is whole or absent");
            let Value::Array(queue) = c.run(&format!("LRANGE queue:{who} 0 -1")) else {
                panic!("a list")
            };
            let queue: Vec<i64> = queue.iter().map(number).collect();
            let first = queue.first().map_or(*pushed + 1, |n| *n);
            // What was popped stays popped; one more may have been, whose reply did not arrive.
            assert!(
                first == popped + 1 || first == popped + 2,
                "round {round}: popped up to {popped}, and {queue:?} is there"
            );
            assert!(
                queue.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "a gap in {queue:?}"
            );
            let last = queue.last().copied().unwrap_or(first - 1);
            assert!(last >= *pushed && last <= pushed + 1, "{last} of {pushed}");
        }
        // Each begins with what is there.
        let told: Vec<Told> = (0..WORKERS)
            .map(|who| {
                let told = Told::default();
                let mut get = |line: String| number(&c.run(&line));
                told.counted.store(get(format!("GET count:{who}")), SeqCst);
                told.paired.store(get(format!("GET a:{who}")), SeqCst);
                let first = get(format!("LINDEX queue:{who} 0"));
                let last = get(format!("LINDEX queue:{who} -1"));
                let (_, _, pushed, popped) = before[who];
                let (first, last) = match last {
                    // The element that is not there may have been popped without a reply.
                    0 => (pushed.max(popped) + 1, pushed.max(popped)),
                    last => (first, last),
                };
                told.popped.store(first - 1, SeqCst);
                told.pushed.store(last, SeqCst);
                told
            })
            .collect();
        let ran_dry = AtomicBool::new(false);
        thread::scope(|scope| {
            for (who, told) in told.iter().enumerate() {
                let (one, two) = (server.connect(), server.connect());
                scope.spawn(move || work(one, who, told));
                scope.spawn(move || take(two, who, told));
            }
            if round % 2 == 1 {
                let _ = c.run("BGREWRITEAOF");
            }
            // Killed at some moment while all are at work.
            let goal = 20 + (round as i64 * 37) % 300;
            let began = told[0].counted.load(SeqCst);
            let mut waited = 0;
            while told[0].counted.load(SeqCst) < began + goal && waited < 60_000 {
                thread::sleep(Duration::from_millis(1));
                waited += 1;
            }
            ran_dry.store(told[0].counted.load(SeqCst) < began + goal, SeqCst);
            server.signal(Signal::KILL);
            server.wait();
        });
        assert!(!ran_dry.load(SeqCst), "nothing went on");
        for (who, told) in told.iter().enumerate() {
            before[who] = (
                told.counted.load(SeqCst),
                told.paired.load(SeqCst),
                told.pushed.load(SeqCst),
                told.popped.load(SeqCst),
            );
        }
    }
}

/// WAITAOF waits for the disk, and no longer than it was told to.
#[test]
fn waitaof_waits_for_the_log() {
    let folder = Folder::new();
    let mut server = start(
        &folder,
        &["--appendonly", "yes", "--appendfsync", "everysec"],
    );
    let mut c = server.connect();
    let check =
        |c: &mut Client, line: &str, reply: &str| assert_eq!(show(&c.run(line)), reply, "{line}");
    check(&mut c, "WAITAOF 1 0 0", "[1, 0]");
    for n in 1..=3 {
        c.run(&format!("SET k {n}"));
        check(&mut c, "WAITAOF 1 0 0", "[1, 0]");
    }
    // No replica will ever have it: that is known when the time is over.
    c.run("SET k 4");
    check(&mut c, "WAITAOF 1 1 1500", "[1, 0]");
    check(&mut c, "WAITAOF 0 0 0", "[1, 0]");
    check(&mut c, "WAIT 1 10", "0");
    c.run("MULTI");
    c.run("SET k 5");
    c.run("WAITAOF 1 1 0");
    let exec = show(&c.run("EXEC"));
    assert!(exec == "[OK, [1, 0]]" || exec == "[OK, [0, 0]]", "{exec}");
    check(&mut c, "WAITAOF 1 0 0", "[1, 0]");
    server.signal(Signal::KILL);
    server.wait();
    drop(server);
    let server = start(&folder, LOG);
    let mut c = server.connect();
    check(&mut c, "GET k", "\"5\"");
    // With `always` a reply comes after that anyway, and with no log there is nothing to wait for.
    c.run("SET k 6");
    check(&mut c, "WAITAOF 1 0 0", "[1, 0]");
    c.run("CONFIG SET appendonly no");
    eventually("the log is off", || info(&mut c, "aof_enabled") == "0");
    let error = show(&c.run("WAITAOF 1 0 0"));
    assert!(
        error.contains("WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
        "{error}"
    );
    check(&mut c, "WAITAOF 0 0 0", "[0, 0]");
}

/// With `always` a change is on the disk when it is answered, also behind a command that waited for something and changed nothing.
#[test]
fn what_is_done_behind_a_command_that_waited_is_on_the_disk_too() {
    let folder = Folder::new();
    let server = start(&folder, LOG);
    let (mut c, mut other) = (server.connect(), server.connect());
    for n in 0..200 {
        match n % 3 {
            0 => drop(c.run("BLPOP list 0.001")),
            1 => drop(c.run("WAIT 1 1")),
            _ => {
                c.send(&["BLPOP", "list", "0"]);
                other.run("RPUSH list x");
                assert_eq!(show(&c.read()), "[\"list\", \"x\"]");
            }
        }
        c.run("INCR k");
        assert_eq!(show(&c.run("WAITAOF 0 0 0")), "[1, 0]", "round {n}");
    }
}

/// A base of commands: what it makes is what there was, here and on real servers.
#[test]
fn a_base_of_commands_makes_the_same() {
    let folder = Folder::new();
    let mut server = start(
        &folder,
        &["--appendonly", "yes", "--aof-use-rdb-preamble", "no"],
    );
    let mut c = server.connect();
    fill(&mut c);
    for i in 0..300 {
        c.run(&format!("RPUSH biglist e{i} {i}"));
        c.run(&format!("SADD bigset e{i}"));
        c.run(&format!("ZADD bigzset {i}.25 e{i}"));
        c.run(&format!("HSET bighash f{i} v{i}"));
    }
    for line in [
        "ZADD odd inf a -inf b 1e300 c 0.1 d",
        "HPEXPIREAT bighash 4102444800000 FIELDS 2 f1 f2",
        "XADD emptied 7-7 a b",
        "XDEL emptied 7-7",
        "XGROUP CREATE emptied g $",
        "XGROUP CREATECONSUMER stream:1 g idle",
        "SELECT 5",
        "SET other 1 PXAT 4102444800000",
        "SELECT 0",
    ] {
        let reply = c.run(line);
        assert!(
            !matches!(reply, Value::Error(_)),
            "{line}: {}",
            show(&reply)
        );
    }
    c.run("BGREWRITEAOF");
    eventually("the log is rewritten", || {
        info(&mut c, "aof_rewrites") == "1" && info(&mut c, "aof_rewrite_in_progress") == "0"
    });
    let before = (
        digest(&mut c),
        values(&mut c),
        show(&c.run("XINFO STREAM emptied")),
    );
    let _ = c.try_call(&["SHUTDOWN"]);
    server.wait();
    drop(server);
    let names: Vec<String> = std::fs::read_dir(folder.0.join("appendonlydir"))
        .expect("a log")
        .map(|f| {
            f.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert!(names.iter().any(|n| n.ends_with(".base.aof")), "{names:?}");
    let server = start(&folder, LOG);
    let mut c = server.connect();
    assert_eq!(
        (
            digest(&mut c),
            values(&mut c),
            show(&c.run("XINFO STREAM emptied"))
        ),
        before
    );
    drop(server);
    let Some(peers) = Peers::find().or_skip("a_base_of_commands_makes_the_same") else {
        return;
    };
    for peer in [&peers.redis8, &peers.redis8_6, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let copy = Folder::new();
        copy_folder(&folder.0, &copy.0);
        let server = Server::peer(
            peer,
            &[
                "--dir",
                copy.text(),
                "--appendonly",
                "yes",
                "--enable-debug-command",
                "yes",
            ],
        );
        assert_eq!(values(&mut server.connect()), before.1, "{}", server.name());
    }
}

/// Writes all types with and without expiries.
fn fill(c: &mut Client) {
    for i in 0..200 {
        for line in [
            format!("SET str:{i} value-{i}"),
            format!("SET num:{i} {i} EX 100000"),
            format!("APPEND str:{i} -more"),
            format!("RPUSH list:{} a{i} b{i} {i}", i % 20),
            format!("SADD set:{} m{i} {i}", i % 20),
            format!("SADD ints:{} {i} {}", i % 20, i * 1000),
            format!("ZADD zset:{} {i}.5 m{i} -{i} n{i}", i % 20),
            format!("HSET hash:{} f{i} v{i} g{i} {i}", i % 20),
            format!("XADD stream:{} {}-1 k v{i}", i % 20, i + 1),
            format!("PFADD hll:{} e{i}", i % 5),
            format!("SPOP set:{}", i % 20),
            format!("INCRBYFLOAT float:{} 0.1", i % 7),
            format!("EXPIRE list:{} 100000", i % 3),
        ] {
            let reply = c.run(&line);
            assert!(
                !matches!(reply, Value::Error(_)),
                "{line}: {}",
                show(&reply)
            );
        }
    }
    for line in [
        "SELECT 3",
        "SET elsewhere 1",
        "SELECT 0",
        "XGROUP CREATE stream:1 g 0",
        "XREADGROUP GROUP g c COUNT 3 STREAMS stream:1 >",
        "MULTI",
        "SET t1 1",
        "SET t2 2",
        "EXEC",
        "DEL str:7 str:8",
        "RENAME str:9 renamed",
    ] {
        c.run(line);
    }
    c.call(&["SET", "long", &"x".repeat(300_000)]);
    c.call(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('f', function() return 7 end)",
    ]);
}

fn digest(c: &mut Client) -> String {
    show(&c.run("DEBUG DIGEST"))
}

/// The values of all keys of the selected database but streams, of which newer servers make other digests.
fn values(c: &mut Client) -> Vec<(String, String)> {
    let Value::Array(keys) = c.run("KEYS *") else {
        panic!("keys")
    };
    let mut keys: Vec<String> = keys.iter().map(show).collect();
    keys.retain(|key| !key.contains("stream"));
    keys.sort();
    let value = |key: String| {
        let digest = show(&c.run(&format!("DEBUG DIGEST-VALUE {key}")));
        (key, digest)
    };
    keys.into_iter().map(value).collect()
}

/// A log that holds commands only.
const COMMANDS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--aof-use-rdb-preamble",
    "no",
];

/// Protects keys of all sizes from eviction, one of them with a time to live.
fn bless(c: &mut Client) {
    for i in 0..3000 {
        c.run(&format!("HSET table field:{i} value:{i}"));
    }
    for key in [
        "str:1", "num:1", "long", "table", "list:1", "stream:1", "set:1",
    ] {
        check(c, &format!("BLESS SET {key} NO-EVICT"), "1");
    }
    check(c, "BLESS CLEAR set:1 NO-EVICT", "1");
}

/// The keys of all databases that are protected.
fn blessed(c: &mut Client) -> (String, String) {
    let Value::Array(mut found) = c.run("BLESS SCAN 0 NO-EVICT COUNT 100000") else {
        panic!("an array")
    };
    let mut keys = match found.pop() {
        Some(Value::Array(keys)) => keys.iter().map(show).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    keys.sort();
    (keys.join(" "), field(c, "INFO stats", "blessed_keys"))
}

#[test]
fn real_servers_read_past_what_is_blessed() {
    let Some(peers) = Peers::find().or_skip("real_servers_read_past_what_is_blessed") else {
        return;
    };
    let folder = Folder::new();
    let mut server = start(&folder, &["--save", "", "--rdb-save-version", "11"]);
    let mut c = server.connect();
    fill(&mut c);
    bless(&mut c);
    check(&mut c, "SAVE", "OK");
    let there = values(&mut c);
    server.signal(Signal::KILL);
    server.wait();
    for peer in [&peers.redis8, &peers.redis8_6, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let copy = Folder::new();
        copy_folder(&folder.0, &copy.0);
        let server = Server::peer(
            peer,
            &["--dir", copy.text(), "--enable-debug-command", "yes"],
        );
        assert_eq!(values(&mut server.connect()), there, "{}", server.name());
    }
}

#[test]
fn a_restart_finds_what_there_was() {
    // (how it is started, what is done before the end, how it ends)
    let kept: &[(&[&str], &[&str], &str)] = &[
        (LOG, &[], "kill"),
        (
            LOG,
            &["BGREWRITEAOF", "SET after 1", "LPUSH list:1 x"],
            "kill",
        ),
        (&["--appendonly", "yes"], &[], "SHUTDOWN"),
        (&[], &["SAVE"], "kill"),
        (&["--save", "3600 1"], &[], "SHUTDOWN"),
        (&["--rdb-save-version", "12"], &[], "SHUTDOWN SAVE"),
        (
            COMMANDS,
            &["BGREWRITEAOF", "BLESS SET zset:1 NO-EVICT"],
            "kill",
        ),
    ];
    for (args, before, end) in kept {
        let folder = Folder::new();
        let mut server = start(&folder, args);
        let mut c = server.connect();
        fill(&mut c);
        bless(&mut c);
        for line in *before {
            c.run(line);
        }
        eventually("the rewrite is done", || {
            info(&mut c, "aof_rewrite_in_progress") == "0"
                && info(&mut c, "aof_rewrite_scheduled") == "0"
        });
        let there = (digest(&mut c), blessed(&mut c));
        let blessed_keys = if before.len() == 2 && *args == COMMANDS {
            "7"
        } else {
            "6"
        };
        assert_eq!(there.1.1, blessed_keys);
        match *end {
            "kill" => server.signal(Signal::KILL),
            line => drop(c.try_call(&line.split(' ').collect::<Vec<_>>())),
        }
        server.wait();
        let server = start(&folder, args);
        let mut c = server.connect();
        let found = (digest(&mut c), blessed(&mut c));
        assert_eq!(found, there, "{args:?} {before:?} {end}");
        check(&mut c, "FCALL f 0", "7");
        check(&mut c, "SELECT 3", "OK");
        check(&mut c, "GET elsewhere", "\"1\"");
        check(&mut c, "SELECT 0", "OK");
        let Value::Int(ttl) = c.run("TTL num:1") else {
            panic!("a number")
        };
        assert!((1..=100_000).contains(&ttl));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[test]
fn real_servers_find_the_same_and_give_it_back() {
    let Some(peers) = Peers::find().or_skip("real_servers_find_the_same_and_give_it_back") else {
        return;
    };
    let folder = Folder::new();
    let mut server = start(&folder, LOG);
    let mut c = server.connect();
    fill(&mut c);
    c.run("BGREWRITEAOF");
    eventually("the rewrite is done", || {
        info(&mut c, "aof_rewrite_in_progress") == "0"
    });
    for i in 0..50 {
        c.run(&format!("LPUSH list:{i} tail"));
    }
    let there = values(&mut c);
    server.signal(Signal::KILL);
    server.wait();
    for peer in [&peers.redis8, &peers.redis8_6, &peers.valkey]
        .into_iter()
        .flatten()
    {
        let folder_of_peer = Folder::new();
        copy_folder(&folder.0, &folder_of_peer.0);
        let args = [
            "--dir",
            folder_of_peer.text(),
            "--appendonly",
            "yes",
            "--enable-debug-command",
            "yes",
        ];
        let mut server = Server::peer(peer, &args);
        let mut c = server.connect();
        eventually("the peer has loaded its files", || {
            !matches!(c.run("DBSIZE"), Value::Error(_))
        });
        assert_eq!(values(&mut c), there, "{}", server.name());
        // And back: what it writes after a rewrite of its own.
        c.run("BGREWRITEAOF");
        eventually("the peer's rewrite is done", || {
            info(&mut c, "aof_rewrite_in_progress") == "0"
        });
        c.run("RPUSH back 1 2 3");
        c.run("SET back:again 5");
        let theirs = values(&mut c);
        let _ = c.try_call(&["SHUTDOWN", "NOSAVE"]);
        server.wait();
        let server = start(&folder_of_peer, LOG);
        let mut c = server.connect();
        assert_eq!(values(&mut c), theirs, "{}", server.name());
    }
}

/// Tells writers to stop when it is dropped.
struct StopInTheEnd<'a>(&'a AtomicBool);

impl Drop for StopInTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Writers keep pairs of keys equal, by MSET, by transactions and by scripts that do not declare a key, and move amounts
/// between accounts; each snapshot and each rewritten log taken meanwhile holds pairs that are equal and the same sum.
#[test]
fn a_snapshot_is_one_moment() {
    const PAIRS: usize = 300;
    const ACCOUNTS: usize = 40;
    for by_log in [false, true] {
        let folder = Folder::new();
        let args: &[&str] = if by_log {
            &["--appendonly", "yes"]
        } else {
            &[]
        };
        let mut server = start(&folder, args);
        let mut c = server.connect();
        for i in 0..20_000 {
            c.run(&format!("SET filler:{i} {i}"));
        }
        for i in 0..ACCOUNTS {
            c.run(&format!("SET account:{i} 100"));
        }
        let stop = AtomicBool::new(false);
        let copies: Vec<Folder> = thread::scope(|scope| {
            for who in 0..3 {
                let (mut c, stop) = (server.connect(), &stop);
                scope.spawn(move || {
                    let mut n = who;
                    while !stop.load(SeqCst) {
                        n += 7;
                        let pair = n % PAIRS;
                        let (x, y) = (format!("x:{who}:{pair}"), format!("y:{who}:{pair}"));
                        let value = n.to_string();
                        match n % 3 {
                            0 => drop(c.call(&["MSET", &x, &value, &y, &value])),
                            1 => {
                                for command in [&["MULTI"][..], &["SET", &x, &value], &["SET", &y, &value], &["EXEC"]] {
                                    c.call(command);
                                }
                            }
                            _ => {
                                let script = "redis.call('SET', ARGV[1], ARGV[3]) redis.call('SET', ARGV[2], ARGV[3])";
                                c.call(&["EVAL", script, "0", &x, &y, &value]);
                            }
                        }
                        let script = "redis.call('DECRBY', KEYS[1], 3) redis.call('INCRBY', KEYS[2], 3)";
                        let (from, to) = (n % ACCOUNTS, (n * 13 + 1) % ACCOUNTS);
                        c.call(&["EVAL", script, "2", &format!("account:{from}"), &format!("account:{to}")]);
                        if n % 5 == 0 {
                            c.call(&["DEL", &format!("filler:{}", n % 20_000)]);
                        }
                    }
                });
            }
            // Also if one of the checks fails, or nobody would see which.
            let _stop = StopInTheEnd(&stop);
            eventually("the writers are at work", || {
                let there = |who: usize, n: usize| format!("x:{who}:{}", (who + 7 * n) % PAIRS);
                let all = (0..3).flat_map(|who| (1..9).map(move |n| there(who, n)));
                let all: Vec<String> = all.collect();
                number(&c.run(&format!("EXISTS {}", all.join(" ")))) == all.len() as i64
            });
            let mut copies = Vec::new();
            for _ in 0..4 {
                write_all(&mut c, by_log);
                if !by_log {
                    copies.push(copy_of_dump(&folder));
                }
            }
            copies
        });
        server.signal(Signal::KILL);
        server.wait();
        let copies = match by_log {
            true => vec![folder],
            false => copies,
        };
        for copy in copies {
            let server = start(&copy, args);
            let mut c = server.connect();
            let mut seen = 0;
            for who in 0..3 {
                for pair in 0..PAIRS {
                    let x = show(&c.run(&format!("GET x:{who}:{pair}")));
                    assert_eq!(
                        x,
                        show(&c.run(&format!("GET y:{who}:{pair}"))),
                        "log: {by_log}"
                    );
                    seen += usize::from(x != "nil");
                }
            }
            let sum: i64 = (0..ACCOUNTS)
                .map(|i| number(&c.run(&format!("GET account:{i}"))))
                .sum();
            assert_eq!(sum, 100 * ACCOUNTS as i64, "log: {by_log}");
            assert!(seen > 10, "the writers were at work");
        }
    }
}

/// Large collections of every type change at full speed while they are written, a stretch at a time: transactions keep the sums
/// of a sorted set and of a hash, the size of a set, the elements of a list, and a stream's entries without a gap up to a counter.
/// They also go to other names and come back.
#[test]
fn a_large_collection_is_written_as_it_was_at_one_moment() {
    const N: usize = 30_000;
    const FILL: &str = "for i = 0, ARGV[1] - 1 do
        redis.call('ZADD', 'zset', 100, 'm' .. i) redis.call('SADD', 'set', 'm' .. i)
        redis.call('HSET', 'hash', 'f' .. i, 100) redis.call('RPUSH', 'list', 'element ' .. i)
        redis.call('XADD', 'stream', (i + 1) .. '-0', 'n', i)
    end redis.call('SET', 'next', ARGV[1])";
    const ROUND: &str = "local a, b = ARGV[1], ARGV[2]
        redis.call('ZINCRBY', 'zset', -3, 'm' .. a) redis.call('ZINCRBY', 'zset', 3, 'm' .. b)
        redis.call('HINCRBY', 'hash', 'f' .. a, -3) redis.call('HINCRBY', 'hash', 'f' .. b, 3)
        if redis.call('SREM', 'set', 'm' .. a) == 1 then redis.call('SADD', 'set', 'm' .. a .. 'x') end
        redis.call('LMOVE', 'list', 'list', 'LEFT', 'RIGHT')
        local x, y = redis.call('LINDEX', 'list', a % 500), redis.call('LINDEX', 'list', b % 700)
        redis.call('LSET', 'list', a % 500, y) redis.call('LSET', 'list', b % 700, x)
        local n = redis.call('INCR', 'next')
        redis.call('XADD', 'stream', n .. '-0', 'n', n - 1)
        redis.call('XTRIM', 'stream', 'MAXLEN', ARGV[3])
        if a % 50 == 0 then for _, key in ipairs({'zset', 'set', 'hash', 'list', 'stream'}) do
            redis.call('RENAME', key, key .. '2') redis.call('RENAME', key .. '2', key)
        end end";
    for by_log in [false, true] {
        let folder = Folder::new();
        let args: &[&str] = match by_log {
            true => &["--appendonly", "yes"],
            false => &[],
        };
        let mut server = start(&folder, args);
        let mut c = server.connect();
        c.call(&["EVAL", FILL, "0", &N.to_string()]);
        let stop = AtomicBool::new(false);
        let mut changed = 0;
        let copies: Vec<Folder> = thread::scope(|scope| {
            for who in 0..3 {
                let (mut c, stop) = (server.connect(), &stop);
                scope.spawn(move || {
                    let mut n = who * 7919;
                    while !stop.load(SeqCst) {
                        n += 7;
                        let (a, b) = (n % N, (n * 31 + 1) % N);
                        c.call(&[
                            "EVAL",
                            ROUND,
                            "0",
                            &a.to_string(),
                            &b.to_string(),
                            &N.to_string(),
                        ]);
                    }
                });
            }
            let _stop = StopInTheEnd(&stop);
            let mut copies = Vec::new();
            for _ in 0..3 {
                write_all(&mut c, by_log);
                let large = info(&mut c, "redpoll_snapshot_last_collections");
                assert_eq!(large, "5", "all are written in stretches");
                let old = info(&mut c, "redpoll_snapshot_last_old_elements");
                changed += old.parse::<u64>().expect("a number");
                if !by_log {
                    copies.push(copy_of_dump(&folder));
                }
            }
            copies
        });
        assert!(changed > 0, "the writers were at work");
        server.signal(Signal::KILL);
        server.wait();
        let copies = match by_log {
            true => vec![folder],
            false => copies,
        };
        for copy in copies {
            let server = start(&copy, args);
            let mut c = server.connect();
            let script = "local zset, hash, list, entries = 0, 0, {}, {}
                local all = redis.call('ZRANGE', 'zset', 0, -1, 'WITHSCORES')
                for i = 2, #all, 2 do zset = zset + all[i] end
                for _, n in ipairs(redis.call('HVALS', 'hash')) do hash = hash + n end
                local different = 0
                for _, element in ipairs(redis.call('LRANGE', 'list', 0, -1)) do
                    if not list[element] then different = different + 1 end
                    list[element] = true
                end
                local next, gaps = tonumber(redis.call('GET', 'next')), 0
                local first = next - ARGV[1]
                for i, entry in ipairs(redis.call('XRANGE', 'stream', '-', '+')) do
                    if tonumber(entry[2][2]) ~= first + i - 1 then gaps = gaps + 1 end
                end
                return {#all / 2, zset, hash, redis.call('SCARD', 'set'), redis.call('LLEN', 'list'), different,
                    redis.call('XLEN', 'stream'), gaps}";
            let got = c.call(&["EVAL", script, "0", &N.to_string()]);
            let n = N as i64;
            let want = [n, 100 * n, 100 * n, n, n, n, n, 0].map(Value::Int);
            assert_eq!(
                show(&got),
                show(&Value::Array(want.to_vec())),
                "log: {by_log}"
            );
        }
    }
}

#[test]
fn what_is_damaged_stops_the_start_and_is_named() {
    let folder = Folder::new();
    let mut server = start(&folder, &["--save", "3600 1"]);
    let mut c = server.connect();
    fill(&mut c);
    let _ = c.try_call(&["SHUTDOWN"]);
    server.wait();
    let path = folder.0.join("dump.rdb");
    let mut bytes = std::fs::read(&path).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, bytes).expect("a file can be written");
    let run = redpoll_tests::server::run_redpoll(
        &[
            "--port",
            "0",
            "--unixsocket",
            "s",
            "--dir",
            folder.text(),
            "--save",
            "3600 1",
        ],
        &[],
    );
    assert!(!run.status.success());
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("dump.rdb"), "{said}");
}

#[test]
fn one_folder_has_one_server() {
    let folder = Folder::new();
    let _server = start(&folder, LOG);
    let run = redpoll_tests::server::run_redpoll(
        &["--port", "0", "--dir", folder.text(), "--appendonly", "yes"],
        &[],
    );
    assert!(!run.status.success());
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("is in use by the process"), "{said}");
}

/// What one of the program's tools says of a file, and whether it likes it.
fn tool(words: &[&str]) -> (bool, String) {
    let run = redpoll_tests::server::run_redpoll(words, &[]);
    (run.status.success(), run.stdout + &run.stderr)
}

/// The file of a log's folder that is written to.
fn increment_of(log: &std::path::Path) -> std::path::PathBuf {
    std::fs::read_dir(log)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .max()
        .expect("an increment")
}

#[test]
fn the_tools_say_what_files_hold_and_cut_a_torn_end() {
    let folder = Folder::new();
    let mut server = start(&folder, LOG);
    let mut c = server.connect();
    fill(&mut c);
    c.run("SAVE");
    c.run("BGREWRITEAOF");
    eventually("the rewrite is done", || {
        info(&mut c, "aof_rewrite_in_progress") == "0"
    });
    c.run("SET behind:base 1");
    let keys = number(&c.run("DBSIZE")) - 1;
    let there = values(&mut c);

    let snapshot = folder.0.join("dump.rdb");
    let snapshot = snapshot.to_str().expect("text");
    let (valid, said) = tool(&["check-rdb", snapshot]);
    assert!(valid && said.ends_with("valid\n"), "{said}");
    assert!(said.contains(&format!("database 0: {keys} keys")), "{said}");
    assert!(said.contains("checksum is right"), "{said}");

    let log = folder.0.join("appendonlydir");
    let log_text = log.to_str().expect("text");
    let (valid, said) = tool(&["check-aof", log_text]);
    assert!(valid && said.ends_with("valid\n"), "{said}");
    let (cut, said) = tool(&["check-aof", "--fix", log_text]);
    assert!(!cut && said.contains("is in use by the process"), "{said}");
    let increment = increment_of(&log);
    let (cut, said) = tool(&["check-aof", "--fix", &increment.to_string_lossy()]);
    assert!(!cut && said.contains("is in use by the process"), "{said}");
    // Nobody writes to a copy, wherever it lies.
    for copy in ["copy", "copies/appendonlydir"] {
        let copy = folder.0.join(copy);
        std::fs::create_dir_all(&copy).expect("made");
        for entry in std::fs::read_dir(&log).expect("a folder") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("copied");
        }
        let (fine, said) = tool(&["check-aof", "--fix", &copy.to_string_lossy()]);
        assert!(fine, "{said}");
    }

    server.signal(Signal::KILL);
    server.wait();
    let mut bytes = std::fs::read(&increment).expect("there");
    let whole = bytes.len();
    bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$5\r\nab");
    std::fs::write(&increment, bytes).expect("written");
    let (valid, said) = tool(&["check-aof", log_text]);
    let offer = format!("can be cut to {whole} bytes");
    assert!(!valid && said.contains(&offer), "{said}");
    let (valid, said) = tool(&["check-aof", "--fix", log_text]);
    assert!(
        valid && said.contains(&format!("cut to {whole} bytes")),
        "{said}"
    );
    let (valid, said) = tool(&["check-aof", log_text]);
    assert!(valid, "{said}");
    let server = start(&folder, LOG);
    assert_eq!(values(&mut server.connect()), there);

    let mut bytes = std::fs::read(snapshot).expect("there");
    bytes.extend_from_slice(b"more");
    std::fs::write(snapshot, &bytes).expect("written");
    let (valid, said) = tool(&["check-rdb", snapshot]);
    assert!(!valid && said.contains("4 bytes behind the end"), "{said}");
    bytes.truncate(bytes.len() - 4);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(snapshot, &bytes).expect("written");
    let (valid, said) = tool(&["check-rdb", snapshot]);
    assert!(!valid && said.contains("not valid"), "{said}");
    let (valid, said) = tool(&["check-rdb", "/no/such/file"]);
    assert!(!valid && said.contains("/no/such/file"), "{said}");
    let (valid, said) = tool(&["check-aof", "--frob", log_text]);
    assert!(!valid && said.contains("--frob"), "{said}");
}
