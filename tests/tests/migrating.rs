//! Moving data sets and keys between servers: `redpoll migrate`, by the steps of its page, and MIGRATE.

use redpoll_tests::check::show;
use redpoll_tests::replication::{DEBUG, Load, in_sync, info, real, same};
use redpoll_tests::server::{Run, run_redpoll};
use redpoll_tests::{Client, Server, eventually, every_peer};
use resp::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

/// Sends a line in which `""` is an empty word.
fn run(client: &mut Client, line: &str) -> Value {
    let words: Vec<&str> = line
        .split(' ')
        .map(|word| if word == "\"\"" { "" } else { word })
        .collect();
    client.call(&words)
}

/// The calls of `redpoll migrate` on the page, in order.
fn steps() -> Vec<Vec<String>> {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/migrating-from-redis.md"
    );
    let page = std::fs::read_to_string(page).expect("the page is there");
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("redpoll migrate "));
    lines
        .map(|line| line.split_whitespace().map(String::from).collect())
        .collect()
}

fn migrate(step: &[String], old: &Server, new: &Server) -> Run {
    let place = |arg: &String| {
        arg.replace("127.0.0.1:6379", &old.addr().to_string())
            .replace("127.0.0.1:7379", &new.addr().to_string())
    };
    let args: Vec<String> = std::iter::once("migrate".into())
        .chain(step.iter().map(place))
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_redpoll(&args, &[])
}

/// Every step of the page, from each real server, while a client goes on writing: no write that was acknowledged is lost.
#[test]
fn the_steps_of_the_page() {
    let steps = steps();
    assert_eq!(steps.len(), 3, "{steps:?}");
    for peer in every_peer("the_steps_of_the_page") {
        let old = real(&peer, &[]);
        let mut o = old.connect();
        Load::new(3).send(&mut o, 400);
        let new = Server::redpoll_with(&DEBUG);
        let mut n = new.connect();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (stop, mut client) = (stop.clone(), old.connect());
            thread::spawn(move || {
                let mut acknowledged = 0;
                while !stop.load(SeqCst) {
                    match client.call(&["INCR", "writes"]) {
                        Value::Int(n) => acknowledged = n,
                        // The old server is a replica now.
                        _ => break,
                    }
                }
                acknowledged
            })
        };
        for step in &steps {
            let run = migrate(step, &old, &new);
            assert!(
                run.status.success(),
                "{} {step:?}: {}{}",
                old.name(),
                run.stdout,
                run.stderr
            );
        }
        stop.store(true, SeqCst);
        let acknowledged = writer.join().expect("the writer ends");
        assert_eq!(show(&n.run("GET writes")), format!("\"{acknowledged}\""));
        assert_eq!(
            (info(&mut n, "role"), info(&mut o, "role")),
            ("master".into(), "slave".into())
        );
        assert_eq!(show(&n.run("SET new 1")), "OK");
        // What the new one has is what the old one had.
        o.run("REPLICAOF NO ONE");
        // It may have followed until now.
        n.run("DEL new");
        o.run("DEL new");
        same(old.name(), &mut o, &mut n);
    }
}

/// What stands in the way is said before anything is changed.
#[test]
fn what_would_not_work() {
    let (old, new) = (
        Server::redpoll(),
        Server::redpoll_with(&["--databases", "2"]),
    );
    let (mut o, mut n) = (old.connect(), new.connect());
    o.run("SELECT 7");
    o.run("SET k v");
    n.run("SET mine 1");
    let args = |more: &[&str]| -> Vec<String> {
        let base = [
            "--from",
            "redis://127.0.0.1:6379",
            "--to",
            "redis://127.0.0.1:7379",
        ];
        base.iter()
            .chain(more)
            .map(|arg| (*arg).to_owned())
            .collect()
    };
    let run = migrate(&args(&[]), &old, &new);
    assert!(!run.status.success());
    for problem in ["holds 1 keys", "database 7 of the old server"] {
        assert!(run.stdout.contains(problem), "{}", run.stdout);
    }
    assert_eq!(show(&n.run("GET mine")), "\"1\"");
    assert_eq!(info(&mut n, "role"), "master");
    let same = migrate(&args(&["--check"]), &old, &old);
    assert!(same.stdout.contains("the same server"), "{}", same.stdout);
    for (wrong, error) in [
        (&["--verify", "x"][..], "--verify"),
        (&["--nosuch"], "no option"),
    ] {
        let run = migrate(&args(wrong), &old, &new);
        assert!(
            !run.status.success() && run.stderr.contains(error),
            "{}",
            run.stderr
        );
    }
}

/// Keys go there and come back, of every type, with every server.
#[test]
fn migrate_between_any_two() {
    for peer in every_peer("migrate_between_any_two") {
        let there = real(&peer, &["--requirepass", "secret"]);
        let here = Server::redpoll_with(&DEBUG);
        let (mut t, mut h) = (there.connect(), here.connect());
        t.run("AUTH secret");
        let keys = ["s", "l", "set", "z", "h", "x"];
        for line in [
            "SET s v EX 1000",
            "RPUSH l 1 2 three",
            "SADD set a b 3",
            "ZADD z 1 a 2.5 b",
            "HSET h f v g w",
            "XADD x 1-1 f v",
        ] {
            h.run(line);
        }
        let digests = |c: &mut Client| -> Vec<String> {
            keys[..5]
                .iter()
                .map(|key| show(&c.run(&format!("DEBUG DIGEST-VALUE {key}"))))
                .collect()
        };
        let before = digests(&mut h);
        let port = there.port();
        let refused = show(&h.run(&format!("MIGRATE 127.0.0.1 {port} s 0 5000")));
        assert!(
            refused.starts_with("-ERR Target instance replied with error: NOAUTH"),
            "{refused}"
        );
        let all = keys.join(" ");
        let copied = run(
            &mut h,
            &format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 COPY AUTH secret KEYS {all} none"),
        );
        assert_eq!(show(&copied), "OK", "{}", there.name());
        assert_eq!(show(&h.run(&format!("EXISTS {all}"))), "6");
        let busy = show(&h.run(&format!("MIGRATE 127.0.0.1 {port} s 0 5000 AUTH secret")));
        assert!(busy.contains("BUSYKEY"), "{busy}");
        let moved = run(
            &mut h,
            &format!(
                "MIGRATE 127.0.0.1 {port} \"\" 0 5000 REPLACE AUTH2 default secret KEYS {all}"
            ),
        );
        assert_eq!(show(&moved), "OK");
        assert_eq!(show(&h.run("DBSIZE")), "0");
        assert_eq!(digests(&mut t), before, "{}", there.name());
        assert_eq!(
            show(&h.run(&format!("MIGRATE 127.0.0.1 {port} s 0 5000"))),
            "NOKEY"
        );
        let back = run(
            &mut t,
            &format!("MIGRATE 127.0.0.1 {} \"\" 0 5000 KEYS {all}", here.port()),
        );
        assert_eq!(show(&back), "OK", "{}", there.name());
        assert_eq!(digests(&mut h), before);
        assert_eq!(show(&t.run("DBSIZE")), "0");
    }
}

/// A key that others change while it is sent arrives as it was in the end, and whoever is not there is said to be.
#[test]
fn keys_that_change_meanwhile() {
    let (here, there) = (Server::redpoll(), Server::redpoll());
    let (mut h, mut t) = (here.connect(), there.connect());
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, mut client) = (stop.clone(), here.connect());
        thread::spawn(move || {
            let mut added = 0;
            while !stop.load(SeqCst) {
                client.call(&["INCR", "n"]);
                added += 1;
                thread::yield_now();
            }
            added
        })
    };
    eventually("somebody writes", || show(&h.run("EXISTS n")) == "1");
    for _ in 0..20 {
        let reply = show(&h.run(&format!(
            "MIGRATE 127.0.0.1 {} n 0 5000 REPLACE",
            there.port()
        )));
        // It may go on changing for too long; then it is here.
        assert!(
            ["OK", "NOKEY"].contains(&reply.as_str()) || reply.contains("changes faster"),
            "{reply}"
        );
    }
    stop.store(true, SeqCst);
    writer.join().expect("the writer ends");
    // Whether there are keys is looked at first, as in real servers: neither the port nor the database is.
    for more in [
        "1 none 0",
        "x none 0",
        "70000 none 0",
        "1 none -1",
        "1 none 5000000000",
    ] {
        let reply = h.run(&format!("MIGRATE 127.0.0.1 {more} 100"));
        assert_eq!(show(&reply), "NOKEY", "{more}");
    }
    h.run("SET k v");
    let unreachable = show(&h.run("MIGRATE 127.0.0.1 x k 0 100"));
    assert!(unreachable.starts_with("-IOERR"), "{unreachable}");
    for db in ["-1", "99", "5000000000"] {
        let reply = show(&h.run(&format!("MIGRATE 127.0.0.1 {} k {db} 100", there.port())));
        assert!(
            reply.starts_with("-ERR Target instance replied with error"),
            "{reply}"
        );
    }
    let reply = show(&h.run("MIGRATE 127.0.0.1 1 k x 100"));
    assert_eq!(reply, "-ERR value is not an integer or out of range");
    let reply = show(&h.run("MIGRATE 127.0.0.1 1 k 0 100"));
    assert_eq!(reply, "-IOERR error or timeout connecting to the client");
    h.run("MULTI");
    h.run(&format!("MIGRATE 127.0.0.1 {} k 0 100", there.port()));
    assert!(show(&h.run("EXEC")).contains("not done inside of a transaction"));
    assert_eq!(show(&h.run("GET k")), "\"v\"");
    let _ = t.run("PING");
}

/// A new server that follows the old one already goes on from there.
#[test]
fn the_new_server_may_follow_already() {
    for peer in every_peer("the_new_server_may_follow_already")
        .iter()
        .take(1)
    {
        let (old, new) = (real(peer, &[]), Server::redpoll_with(&DEBUG));
        let (mut o, mut n) = (old.connect(), new.connect());
        o.run("SET k v");
        n.call(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
        in_sync(&mut o, &mut n);
        let step = &steps()[2];
        let run = migrate(step, &old, &new);
        assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
        assert_eq!(show(&n.run("GET k")), "\"v\"");
    }
}
