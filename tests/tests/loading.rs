//! While a server loads its data set it listens, says so, and shows nobody half of it.

use redpoll_tests::check::show;
use redpoll_tests::replication::{in_sync, same};
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Peers, Server, eventually};
use resp::Value;
use rustix::process::Signal;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The text of an older server's log, one file, beside which a manifest is made at the first start.
fn log_of(text: &str) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.0.join("appendonly.aof"), text).expect("a log");
    folder
}

fn start(folder: &Folder, args: &[&str]) -> Server {
    let mut all = vec!["--dir", folder.text(), "--enable-debug-command", "yes"];
    all.extend(args);
    Server::redpoll_at_once(&all)
}

const LOG: &[&str] = &["--appendonly", "yes"];

fn command(into: &mut String, words: &[&str]) {
    let _ = write!(into, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(into, "${}\r\n{word}\r\n", word.len());
    }
}

/// A log that takes a while, whose last command sets `end`.
fn long_log() -> String {
    let mut text = String::new();
    command(&mut text, &["SET", "first", "1"]);
    for n in 0..400_000 {
        command(&mut text, &["SET", &format!("key:{n}"), "value"]);
    }
    command(&mut text, &["SET", "end", "1"]);
    text
}

fn text(value: &Value) -> String {
    match value {
        Value::Error(text) | Value::Simple(text) => text.clone(),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        other => format!("{other:?}"),
    }
}

fn ask(c: &mut Client, line: &str) -> String {
    text(&c.run(line))
}

fn info(c: &mut Client, field: &str) -> Option<String> {
    let all = ask(c, "INFO persistence");
    let line = all
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(str::to_owned)
}

const LOADING: &str = "LOADING Redis is loading the dataset in memory";

#[test]
fn who_comes_while_it_loads_is_told_so() {
    let log = long_log();
    let folder = log_of(&log);
    let mut server = start(&folder, LOG);
    let mut c = server.connect();
    for line in [
        "PING",
        "GET first",
        "SET k v",
        "DBSIZE",
        "EVAL return 0",
        "BGSAVE",
        "BGREWRITEAOF",
        "DEBUG RELOAD",
    ] {
        assert_eq!(ask(&mut c, line), LOADING, "{line}");
    }
    assert_eq!(ask(&mut c, "SELECT 3"), "OK");
    assert_eq!(ask(&mut c, "PUBLISH c m"), "Int(0)");
    assert_eq!(ask(&mut c, "MULTI"), "OK");
    assert_eq!(ask(&mut c, "SET k v"), LOADING);
    assert_eq!(
        ask(&mut c, "EXEC"),
        "EXECABORT Transaction discarded because of previous errors."
    );
    assert!(ask(&mut c, "NOSUCH").starts_with("ERR unknown command"));
    assert_eq!(info(&mut c, "loading").as_deref(), Some("1"));
    assert_eq!(info(&mut c, "async_loading").as_deref(), Some("0"));
    let size = log.len().to_string();
    eventually("it knows how much there is to load", || {
        info(&mut c, "loading_total_bytes").as_deref() == Some(&size)
    });
    for field in [
        "loading_start_time",
        "loading_rdb_used_mem",
        "loading_loaded_bytes",
        "loading_loaded_perc",
        "loading_eta_seconds",
    ] {
        assert!(info(&mut c, field).is_some(), "{field}");
    }
    let clients = ask(&mut c, "CLIENT LIST");
    assert!(!clients.contains("addr=log"), "{clients}");
    // It leaves when it is told to, saving nothing.
    c.send(&["SHUTDOWN", "SAVE"]);
    assert!(server.wait().success());
    assert!(!folder.0.join("dump.rdb").exists());
    let mut server = start(&folder, LOG);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

/// A stop ends scripts; one of a log that is ended so must not count.
#[test]
fn a_stop_while_a_script_of_the_log_runs_saves_nothing() {
    let mut log = String::new();
    command(&mut log, &["SET", "k", "v"]);
    let script = "local x = 0 for i = 1, 1e18 do x = x + 1 end redis.call('SET', 'last', x)";
    command(&mut log, &["EVAL", script, "0"]);
    let folder = log_of(&log);
    let mut server = start(&folder, &["--appendonly", "yes", "--save", "3600 1"]);
    assert_eq!(ask(&mut server.connect(), "PING"), LOADING);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(!folder.0.join("dump.rdb").exists());
    assert!(
        server.log().contains("before its data set is loaded"),
        "{}",
        server.log()
    );
}

#[test]
fn nobody_sees_half_a_data_set() {
    let folder = log_of(&long_log());
    let server = start(&folder, LOG);
    let mut c = server.connect();
    let mut refused = 0;
    eventually("it has loaded", || {
        let reply = ask(&mut c, "MGET first key:399999 end");
        let whole = reply.matches("Bulk").count() == 3;
        assert!(whole || reply == LOADING, "{reply}");
        refused += usize::from(!whole);
        whole
    });
    assert_eq!(info(&mut c, "loading").as_deref(), Some("0"));
    assert_eq!(info(&mut c, "loading_total_bytes"), None);
    println!("refused {refused} times");
}

#[test]
fn a_log_that_cannot_be_loaded_ends_the_server() {
    let mut log = String::new();
    command(&mut log, &["SET", "k", "v"]);
    command(&mut log, &["NOSUCH", "x"]);
    let folder = log_of(&log);
    let mut args = vec![
        "--dir",
        folder.0.to_str().expect("text"),
        "--save",
        "",
        "--port",
        "0",
        "--unixsocket",
        "s",
    ];
    args.extend(LOG);
    let run = redpoll_tests::server::run_redpoll(&args, &[]);
    assert!(!run.status.success());
    assert!(
        run.stderr.contains("unknown command 'NOSUCH'"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("appendonly.aof"), "{}", run.stderr);
}

/// DEBUG RELOAD and DEBUG LOADAOF, as on real servers.
#[test]
fn what_debug_reloads_is_what_there_was() {
    let run = |server: &Server, log: bool| -> Vec<String> {
        let mut c = server.connect();
        let mut replies = Vec::new();
        let lines = [
            "SET s v EX 100000",
            "RPUSH l a b c",
            "SADD set 1 2 x",
            "HSET h f v g 2",
            "ZADD z 1 a 2.5 b",
            "XADD x 1-1 f v",
            "SELECT 5",
            "SET five 5",
            "SELECT 0",
            "DEBUG RELOAD",
            "DBSIZE",
            "GET s",
            "LRANGE l 0 -1",
            "HGET h g",
            "SET new 1",
            "DEBUG RELOAD NOSAVE",
            "EXISTS new",
            "SET new 2",
            "SET s other",
            "DEBUG RELOAD NOSAVE NOFLUSH MERGE",
            "GET s",
            "GET new",
            "DEBUG RELOAD NOSUCH",
            "DEBUG RELOAD NOSAVE",
            "ZRANGE z 0 -1 WITHSCORES",
            "EXISTS new",
            "SELECT 5",
            "GET five",
            "FLUSHALL",
            "DEBUG RELOAD",
            "DBSIZE",
        ];
        for line in lines {
            replies.push(format!("{line}: {:?}", c.run(line)));
        }
        if log {
            for line in [
                "SET a 1",
                "INCR a",
                "DEBUG LOADAOF",
                "GET a",
                "INCR a",
                "DEBUG LOADAOF",
                "GET a",
                "DBSIZE",
            ] {
                replies.push(format!("{line}: {:?}", c.run(line)));
            }
        } else {
            replies.push(format!("{:?}", c.run("DEBUG LOADAOF")));
        }
        replies
    };
    let Some(peers) = Peers::find().or_skip("what_debug_reloads_is_what_there_was") else {
        return;
    };
    let Some(peer) = &peers.redis8_6 else {
        return;
    };
    for log in [false, true] {
        let args: &[&str] = match log {
            true => &[
                "--enable-debug-command",
                "yes",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ],
            false => &["--enable-debug-command", "yes"],
        };
        let theirs = run(&Server::peer(peer, args), log);
        let ours = run(&Server::redpoll_with(args), log);
        assert_eq!(ours, theirs);
    }
}

/// What was reloaded is what a restart finds, and what is written after it too.
#[test]
fn the_log_follows_a_reload() {
    let folder = Folder::new();
    let mut server = start(&folder, &["--appendonly", "yes", "--appendfsync", "always"]);
    let mut c = server.connect();
    eventually("it has loaded", || ask(&mut c, "PING") == "PONG");
    for line in [
        "SET kept 1",
        "SAVE",
        "SET lost 1",
        "DEBUG RELOAD NOSAVE",
        "SET after 1",
    ] {
        assert_eq!(ask(&mut c, line), "OK", "{line}");
    }
    server.signal(Signal::KILL);
    server.wait();
    drop(server);
    let server = start(&folder, LOG);
    let mut c = server.connect();
    eventually("it has loaded", || ask(&mut c, "PING") == "PONG");
    assert_eq!(ask(&mut c, "EXISTS kept after"), "Int(2)");
    assert_eq!(ask(&mut c, "EXISTS lost"), "Int(0)");
}

/// With a delay for each key, loading and saving go on for as long as somebody wants to look at them, and are given up at once.
#[test]
fn delays_show_what_is_over_in_a_moment() {
    let folder = Folder::new();
    let days = "1000000000";
    {
        let mut server = start(&folder, &["--rdb-key-save-delay", days]);
        let mut c = server.connect();
        assert_eq!(ask(&mut c, "SET k v"), "OK");
        // Whoever does not know of it does not see it.
        assert!(!show(&c.run("CONFIG GET *")).contains("key-save-delay"));
        let delay = show(&c.run("CONFIG GET rdb-key-save-delay"));
        assert!(delay.contains("rdb-key-save-delay"), "{delay}");
        assert_eq!(ask(&mut c, "BGSAVE"), "Background saving started");
        for _ in 0..20 {
            assert_eq!(info(&mut c, "rdb_bgsave_in_progress").as_deref(), Some("1"));
            assert_eq!(ask(&mut c, "GET k"), "v");
        }
        ask(&mut c, "CONFIG SET rdb-key-save-delay 0");
        assert_eq!(ask(&mut c, "BGSAVE CANCEL"), "Background saving cancelled");
        eventually("it is given up", || {
            info(&mut c, "rdb_bgsave_in_progress").as_deref() == Some("0")
        });
        assert_eq!(ask(&mut c, "SAVE"), "OK");
        c.send(&["SHUTDOWN", "NOSAVE"]);
        assert_eq!(server.wait().code(), Some(0));
    }
    let mut server = start(&folder, &["--key-load-delay", days]);
    let mut c = server.connect();
    for _ in 0..20 {
        assert_eq!(info(&mut c, "loading").as_deref(), Some("1"));
        assert_eq!(ask(&mut c, "GET k"), LOADING);
    }
    c.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.wait().code(), Some(0));
    // What is held up already goes on at once when that is called off.
    let server = start(&folder, &["--key-load-delay", days]);
    let mut c = server.connect();
    assert_eq!(ask(&mut c, "GET k"), LOADING);
    assert_eq!(ask(&mut c, "CONFIG SET key-load-delay 0"), "OK");
    eventually("it has loaded", || ask(&mut c, "GET k") == "v");
}

/// Who comes as soon as a server listens finds a small data set there. Where the machine has no time for it, it may still be loading once.
#[test]
fn a_small_data_set_is_there_before_the_first_client() {
    let folder = Folder::new();
    {
        let mut server = start(&folder, &[]);
        let mut c = server.connect();
        assert_eq!(ask(&mut c, "SET k v"), "OK");
        c.send(&["SHUTDOWN", "SAVE"]);
        assert_eq!(server.wait().code(), Some(0));
    }
    // Microseconds for the key and for each field at the head of the file.
    let delay = ["--key-load-delay", "4000"];
    let is_there = (0..5).any(|_| {
        let mut server = start(&folder, &delay);
        let mut c = server.connect();
        let is_there = ask(&mut c, "GET k") == "v";
        c.send(&["SHUTDOWN", "NOSAVE"]);
        server.wait();
        is_there
    });
    assert!(is_there, "it is loading whenever it listens");
}

/// What clients and the primary of a server do while it saves and loads itself anew is done before that, or behind it, or refused.
#[test]
fn a_reload_loses_nothing_that_is_done_meanwhile() {
    let usual = [
        "--enable-debug-command",
        "yes",
        "--repl-diskless-sync-delay",
        "0",
    ];
    for log in ["no", "yes"] {
        let args = [&usual[..], &["--appendonly", log]].concat();
        let (primary, replica) = (Server::redpoll_with(&args), Server::redpoll_with(&args));
        let (mut p, mut r) = (primary.connect(), replica.connect());
        r.call(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
        for n in 0..2000 {
            p.call(&["SET", &format!("key{n}"), "v"]);
        }
        in_sync(&mut p, &mut r);
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (stop, mut c) = (stop.clone(), primary.connect());
            std::thread::spawn(move || {
                let mut done = 0;
                while !stop.load(Relaxed) {
                    match c.call(&["INCR", "n"]) {
                        Value::Int(_) => done += 1,
                        // It is loading.
                        other => assert!(show(&other).starts_with("-LOADING"), "{other:?}"),
                    }
                    c.call(&["SET", &format!("new{}", done % 500), "v"]);
                }
                done
            })
        };
        for _ in 0..5 {
            assert_eq!(ask(&mut r, "DEBUG RELOAD"), "OK");
            assert_eq!(ask(&mut p, "DEBUG RELOAD"), "OK");
        }
        stop.store(true, Relaxed);
        let done = writer.join().expect("the writer").to_string();
        assert_eq!(ask(&mut p, "GET n"), done);
        in_sync(&mut p, &mut r);
        same("behind reloads", &mut p, &mut r);
        // What is loaded is not what there was: a replica takes a copy of it.
        p.call(&["SET", "unsaved", "1"]);
        in_sync(&mut p, &mut r);
        assert_eq!(ask(&mut p, "DEBUG RELOAD NOSAVE"), "OK");
        assert_eq!(ask(&mut p, "EXISTS unsaved"), "Int(0)");
        in_sync(&mut p, &mut r);
        same("behind a reload of what is old", &mut p, &mut r);
        if log == "yes" {
            // What the replica has beside it goes with the copy that it takes.
            assert_eq!(ask(&mut r, "DEBUG POPULATE 3 beside"), "OK");
            assert_eq!(ask(&mut p, "DEBUG LOADAOF"), "OK");
            in_sync(&mut p, &mut r);
            same("behind a reload of the log", &mut p, &mut r);
        }
    }
}
