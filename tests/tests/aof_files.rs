//! Logs as files, between Redpoll's crate of files and real servers, in both directions and by turns: what one wrote the other
//! loads, goes on with, rewrites, and gives back; and their tools find nothing wrong with ours.

use disk::check::{Repair, check_aof};
use disk::reader::{RdbPart, Summary};
use disk::{AofFolder, Event, Fsync, Log, LogReader, ReadOptions, RealDisk, Settings, SyncPlan};
use redpoll_tests::peers::Peer;
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Server, eventually, every_peer};
use resp::Value;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

/// A data folder, removed with this.
struct Data(Folder);

impl Data {
    fn new() -> Data {
        Data(Folder::new())
    }

    fn folder(&self) -> AofFolder {
        AofFolder::open(
            &RealDisk::shared(),
            &self.0.0,
            "appendonlydir",
            "appendonly.aof",
        )
        .expect("a log")
    }

    fn start(&self, peer: &Peer, more: &[&str]) -> Server {
        let dir = self.0.text();
        let mut args = vec![
            "--dir",
            dir,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ];
        args.extend_from_slice(more);
        let server = Server::peer(peer, &args);
        eventually("it has loaded", || {
            !matches!(server.connect().run("DBSIZE"), Value::Error(_))
        });
        server
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    redpoll_tests::client::encode(words, &mut out);
    out
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    command(&[b"SET", key.as_bytes(), value])
}

/// Reads a log: bytes of RDBs, commands one after the other, and what is said of it.
fn read(folder: &AofFolder) -> (usize, Vec<u8>, Summary) {
    let mut reader = LogReader::open(folder, ReadOptions::default()).expect("readable");
    let (mut rdb_bytes, mut commands) = (0, Vec::new());
    loop {
        match reader.next().expect("a log that loads") {
            Event::Rdb(mut rdb) => rdb_bytes += whole_file(&mut rdb),
            Event::Commands(given) => commands.extend_from_slice(given.bytes),
            Event::End(summary) => return (rdb_bytes, commands, summary),
        }
    }
}

/// Bases of new servers are nothing but an RDB.
fn whole_file(rdb: &mut RdbPart<'_>) -> usize {
    let mut bytes = Vec::new();
    rdb.read_to_end(&mut bytes).expect("readable");
    assert!(bytes.starts_with(b"REDIS") || bytes.starts_with(b"VALKEY"));
    bytes.len()
}

fn contains(commands: &[u8], wanted: &[u8]) -> bool {
    commands.windows(wanted.len()).any(|w| w == wanted)
}

fn text(client: &mut Client, key: &str) -> Vec<u8> {
    match client.call(&["GET", key]) {
        Value::Bulk(bytes) => bytes.to_vec(),
        other => panic!("{key}: {other:?}"),
    }
}

/// A folder with everything that ours may hold: a base of commands, two increments, times, transactions, text like our lines.
fn write_ours(data: &Data) {
    let settings = Settings {
        fsync: Fsync::Always,
        timestamps: true,
        ..Settings::default()
    };
    let log = Log::resume(data.folder(), &Summary::default(), settings).expect("a log");
    let rewrite = log.begin_rewrite().expect("begun");
    let mut base = rewrite.base(SyncPlan::incremental(true)).expect("made");
    let select = command(&[b"SELECT", b"0"]);
    base.write_all(&[select.clone(), set("base", b"1")].concat())
        .expect("written");
    log.append(
        [select.clone(), set("first", b"a\r\nb\0\xff")].concat(),
        1_700_000_000,
    )
    .expect("taken");
    rewrite.finish(base, true).expect("done");
    let rewrite = log.begin_rewrite().expect("begun");
    for n in 0..200 {
        let key = format!("k{n}");
        let piece = [
            command(&[b"MULTI"]),
            set(&key, n.to_string().as_bytes()),
            command(&[b"INCR", key.as_bytes()]),
            command(&[b"EXEC"]),
        ];
        log.append(piece.concat(), 1_700_000_001 + n / 50)
            .expect("taken");
    }
    drop(rewrite);
    log.append(
        set("like", b"\r\n#RP:1:0:0:00000000:00000000\r\n*1\r\n"),
        1_700_000_010,
    )
    .expect("taken");
    log.close().expect("closed");
}

#[test]
fn real_servers_load_ours_go_on_and_give_it_back() {
    for peer in every_peer("real_servers_load_ours_go_on_and_give_it_back") {
        let data = Data::new();
        write_ours(&data);
        let server = data.start(&peer, &["--auto-aof-rewrite-percentage", "0"]);
        let mut client = server.connect();
        assert_eq!(client.run("DBSIZE"), Value::Int(203), "{}", server.name());
        assert_eq!(text(&mut client, "first"), b"a\r\nb\0\xff");
        assert_eq!(text(&mut client, "k199"), b"200");
        assert!(text(&mut client, "like").starts_with(b"\r\n#RP:1"));
        client.run("SET theirs 1");
        // Its log is on the disk with every reply: this is kill -9.
        drop(client);
        drop(server);
        let (rdb, commands, summary) = read(&data.folder());
        assert_eq!(rdb, 0);
        assert!(
            contains(&commands, &set("theirs", b"1")),
            "{}",
            peer.version
        );
        assert_eq!(summary.last, 202);
        // We go on with it, and it with that.
        let log = Log::resume(data.folder(), &summary, Settings::default()).expect("a log");
        log.append([command(&[b"SELECT", b"0"]), set("ours", b"2")].concat(), 0)
            .expect("taken");
        log.close().expect("closed");
        let server = data.start(&peer, &["--auto-aof-rewrite-percentage", "0"]);
        let mut client = server.connect();
        assert_eq!(client.run("DBSIZE"), Value::Int(205));
        // A rewrite of its own leaves nothing of ours.
        client.run("BGREWRITEAOF");
        client.run("SET after 3");
        eventually("the rewrite is done", || {
            let Value::Bulk(info) = client.call(&["INFO", "persistence"]) else {
                panic!("INFO answers text");
            };
            let info = String::from_utf8_lossy(&info).into_owned();
            info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
        });
        client.run("SET after 4");
        drop(client);
        drop(server);
        let (rdb, commands, summary) = read(&data.folder());
        assert!(rdb > 200, "{rdb}");
        assert!(contains(&commands, &set("after", b"4")));
        assert!(!contains(&commands, b"ours"));
        assert_eq!(summary.cut, None);
        let log = Log::resume(data.folder(), &summary, Settings::default()).expect("a log");
        log.append(command(&[b"DEL", b"after"]), 0).expect("taken");
        log.close().expect("closed");
        let server = data.start(&peer, &[]);
        assert_eq!(server.connect().run("DBSIZE"), Value::Int(205));
    }
}

#[test]
fn their_bases_of_commands_and_times_are_read() {
    for peer in every_peer("their_bases_of_commands_and_times_are_read") {
        let data = Data::new();
        let more = [
            "--aof-use-rdb-preamble",
            "no",
            "--aof-timestamp-enabled",
            "yes",
        ];
        let server = data.start(&peer, &more);
        let mut client = server.connect();
        client.run("SET a 1");
        client.run("MULTI");
        client.run("INCR a");
        client.run("RPUSH l x");
        client.run("EXEC");
        client.run("BGREWRITEAOF");
        eventually("the base is written", || {
            let names = std::fs::read_dir(data.0.0.join("appendonlydir")).expect("a folder");
            let names = names.map(|e| e.expect("an entry").file_name().into_string());
            names
                .flatten()
                .any(|name| name == "appendonly.aof.2.base.aof")
        });
        client.run("SET b 2");
        drop(client);
        drop(server);
        let (rdb, commands, _) = read(&data.folder());
        assert_eq!(rdb, 0, "{}", peer.version);
        for wanted in [set("b", b"2"), command(&[b"RPUSH", b"l", b"x"])] {
            assert!(contains(&commands, &wanted), "{}", commands.escape_ascii());
        }
        assert!(!contains(&commands, b"#TS:"));
    }
}

#[test]
fn a_single_file_of_an_older_server_is_taken_in() {
    let data = Data::new();
    let old = [command(&[b"SELECT", b"0"]), set("old", b"1")].concat();
    std::fs::write(data.0.0.join("appendonly.aof"), &old).expect("written");
    let (_, commands, summary) = read(&data.folder());
    assert_eq!(commands, old);
    let log = Log::resume(data.folder(), &summary, Settings::default()).expect("a log");
    log.append(set("new", b"2"), 0).expect("taken");
    log.close().expect("closed");
    for peer in every_peer("a_single_file_of_an_older_server_is_taken_in") {
        let server = data.start(&peer, &[]);
        assert_eq!(
            server.connect().run("DBSIZE"),
            Value::Int(2),
            "{}",
            server.name()
        );
    }
}

#[test]
fn their_tools_find_ours_valid_and_ours_says_what_theirs_do() {
    for peer in every_peer("their_tools_find_ours_valid_and_ours_says_what_theirs_do") {
        let data = Data::new();
        write_ours(&data);
        let manifest = data.0.0.join("appendonlydir/appendonly.aof.manifest");
        // The servers' binaries are those tools too, by the name they are called.
        let tool = data.0.0.join(format!("{}-check-aof", peer.name));
        std::os::unix::fs::symlink(&peer.path, &tool).expect("a link");
        let theirs = |path: &Path| {
            let output = Command::new(&tool).arg(path).output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success(), text)
        };
        let (valid, text) = theirs(&manifest);
        if !text.contains("AOF") {
            // Behind a script that does not pass on its name.
            let test = "their_tools_find_ours_valid_and_ours_says_what_theirs_do";
            println!("{test}: {} {} is no such tool", peer.name, peer.version);
            continue;
        }
        assert!(
            valid && text.contains("All AOF files and manifest are valid"),
            "{text}"
        );
        let ours = |repair| {
            check_aof(&RealDisk::shared(), &manifest, repair, &mut |_| {
                Err("there is no RDB".to_owned())
            })
        };
        assert!(ours(Repair::No).is_valid());
        // A command that ends early: both offer the same cut.
        let increment = data.0.0.join("appendonlydir/appendonly.aof.2.incr.aof");
        let mut bytes = std::fs::read(&increment).expect("there");
        let size = bytes.len();
        bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$5\r\nab");
        std::fs::write(&increment, bytes).expect("written");
        let (valid, text) = theirs(&manifest);
        assert!(
            !valid && text.contains(&format!("ok_up_to={size},")),
            "{text}"
        );
        let report = ours(Repair::No);
        assert!(
            report
                .to_string()
                .contains(&format!("can be cut to {size} bytes")),
            "{report}"
        );
        assert!(ours(Repair::Fix).is_valid());
        let (valid, text) = theirs(&manifest);
        assert!(valid, "{text}");
    }
}

/// A base was written when a key had little time left, and a command behind it gave it more, or none: it is there though that time is over.
#[test]
fn what_had_expired_by_the_base_may_live_by_what_follows() {
    let data = Data::new();
    let log = Log::resume(data.folder(), &Summary::default(), Settings::default()).expect("a log");
    let rewrite = log.begin_rewrite().expect("begun");
    let mut base = rewrite.base(SyncPlan::incremental(true)).expect("made");
    let mut rdb = b"REDIS0010\xfe\0".to_vec();
    for key in [b"kept", b"long", b"gone"] {
        rdb.push(0xfc);
        rdb.extend(1_700_000_000_000_u64.to_le_bytes());
        rdb.extend([0, 4]);
        rdb.extend(key);
        rdb.extend(b"\x01v");
    }
    rdb.push(0xff);
    rdb.extend([0; 8]);
    base.write_all(&rdb).expect("written");
    rewrite.finish(base, false).expect("done");
    let commands = [
        command(&[b"SELECT", b"0"]),
        command(&[b"PERSIST", b"kept"]),
        command(&[b"PEXPIREAT", b"long", b"9999999999999"]),
        command(&[b"APPEND", b"kept", b"w"]),
    ];
    log.append(commands.concat(), 0).expect("taken");
    log.close().expect("closed");
    let check = |server: &Server| {
        let mut client = server.connect();
        assert_eq!(text(&mut client, "kept"), b"vw", "{}", server.name());
        assert_eq!(text(&mut client, "long"), b"v", "{}", server.name());
        assert_eq!(client.run("TTL kept"), Value::Int(-1));
        assert_eq!(client.run("EXISTS gone"), Value::Int(0));
        eventually("what is over is swept away", || {
            client.run("DBSIZE") == Value::Int(2)
        });
    };
    let args = ["--dir", data.0.text(), "--appendonly", "yes"];
    check(&Server::redpoll_with(&args));
    for peer in every_peer("what_had_expired_by_the_base_may_live_by_what_follows") {
        check(&data.start(&peer, &[]));
    }
}
