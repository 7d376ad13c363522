//! `Db::replicate`: a program's own copy of what a server has, be it Redis, Valkey or Redpoll.

use redpoll::{Db, ErrorKind, Value};
use redpoll_tests::check::show;
use redpoll_tests::replication::{DEBUG, Load, Proxy, Stopping, info, real};
use redpoll_tests::{Client, Server, eventually, every_peer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Redpoll, and every real server, each with these arguments.
fn sources(test: &str, args: &[&str]) -> Vec<Server> {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let ours = Server::redpoll_with(&[&DEBUG[..], &at_once, args].concat());
    let peers = every_peer(test);
    let theirs = peers.iter().map(|peer| real(peer, args));
    std::iter::once(ours).chain(theirs).collect()
}

/// All strings, hashes, lists, sets and sorted sets of database 0, as text.
fn all_of(mut call: impl FnMut(&[&str]) -> resp::Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let resp::Value::Array(keys) = call(&["KEYS", "*"]) else {
        panic!("KEYS is a list");
    };
    for key in keys {
        let resp::Value::Bulk(key) = key else {
            continue;
        };
        // Others have bytes that are no text.
        let Ok(key) = String::from_utf8(key) else {
            continue;
        };
        let look: &[&str] = match show(&call(&["TYPE", &key])).as_str() {
            "string" => &["GET", &key],
            "list" => &["LRANGE", &key, "0", "-1"],
            "zset" => &["ZRANGE", &key, "0", "-1"],
            "set" => &["SORT_RO", &key, "ALPHA"],
            "hash" => &["HLEN", &key],
            _ => continue,
        };
        let value = show(&call(look));
        // What has expired in between is gone.
        if show(&call(&["EXISTS", &key])) == "1" {
            found.insert(key, value);
        }
    }
    found
}

/// What a command is answered by the copy, as a server's reply.
fn call(db: &Db, args: &[&str]) -> resp::Value {
    fn reply(value: Value) -> resp::Value {
        match value {
            Value::Bulk(text) => resp::Value::Bulk(text),
            Value::Simple(text) => resp::Value::Simple(text),
            Value::Int(n) => resp::Value::Int(n),
            Value::Array(all) | Value::Set(all) => {
                resp::Value::Array(all.into_iter().map(reply).collect())
            }
            _ => resp::Value::Null,
        }
    }
    match db.execute(args) {
        Ok(value) => reply(value),
        Err(error) => resp::Value::Error(error.to_string()),
    }
}

#[test]
fn a_programs_own_copy_of_a_server() {
    for server in sources(
        "a_programs_own_copy_of_a_server",
        &["--requirepass", "p@ss"],
    ) {
        let name = server.name();
        let mut c = server.connect();
        c.run("AUTH p@ss");
        Load::new(21).send(&mut c, 500);
        c.run("SELECT 0");
        c.run("ACL SETUSER ann on >pw +psync +replconf +ping +sync");
        let port = server.port();
        // With a wrong password it says so, and has nothing.
        let db = Db::replicate(&format!("redis://:wrong@127.0.0.1:{port}")).expect("a copy");
        eventually("it says why", || {
            let error = db.link_error().expect("it follows");
            error.is_some_and(|error| error.contains("WRONGPASS") || error.contains("invalid"))
        });
        assert_eq!(db.dbsize(), Ok(0), "{name}");
        drop(db);
        let proxy = Proxy::to(&server);
        let url = format!("redis://ann:pw@127.0.0.1:{}", proxy.port());
        let db = Db::replicate(&url).expect("a copy");
        assert_eq!(db.wait_for_link(PATIENCE), Ok(true), "{name}");
        c.run("SET marker 1");
        let has = |marker: &str| {
            let value = db.get("marker").expect("a string");
            value.is_some_and(|value| value == marker)
        };
        eventually("what is done is seen", || has("1"));
        // Typed calls and commands alike, and both are refused changes.
        let copy = |args: &[&str]| call(&db, args);
        eventually("all is as it is there", || {
            all_of(|args| c.call(args)) == all_of(copy)
        });
        let refused = db.set("mine", "1").expect_err("a copy");
        assert_eq!(refused.kind(), ErrorKind::ReadOnly, "{name}: {refused}");
        assert!(show(&copy(&["LPUSH", "mine", "1"])).starts_with("-READONLY"));
        // What is missed while the link is cut comes afterwards, and nothing else.
        proxy.cut();
        Load::new(22).send(&mut c, 300);
        c.run("SELECT 0");
        c.run("SET marker 2");
        eventually("it goes on", || has("2"));
        eventually("all is as it is there", || {
            all_of(|args| c.call(args)) == all_of(copy)
        });
        assert_eq!(info(&mut c, "sync_full"), "1", "{name}");
        // Without the server it is what it was, until it is this program's own.
        drop(server);
        eventually("it says why there is no link", || {
            db.link_error().expect("it follows").is_some()
        });
        assert!(has("2"));
        db.promote().expect("it follows");
        db.set("mine", "1").expect("its own");
        assert_eq!(db.wait_for_link(Duration::ZERO), Ok(false));
    }
}

/// A transaction is seen whole, at whatever moment it is looked at; and a database is the one that was asked for.
#[test]
fn a_copy_is_never_torn() {
    for server in sources("a_copy_is_never_torn", &[]) {
        let name = server.name();
        let url = format!("redis://127.0.0.1:{}/3", server.port());
        let db = Db::replicate(&url).expect("a copy");
        assert_eq!(db.wait_for_link(PATIENCE), Ok(true), "{name}");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stopping = Stopping(&stop);
            scope.spawn(|| {
                let mut client: Client = server.connect();
                client.run("SELECT 3");
                let lines = ["MULTI", "INCR a", "INCR b", "EXEC"];
                while !stop.load(SeqCst) {
                    lines.iter().for_each(|line| client.send(&words(line)));
                    lines.iter().for_each(|_| drop(client.read()));
                }
            });
            let mut seen: u64 = 0;
            while seen < 500 {
                let both = call(&db, &["MGET", "a", "b"]);
                let resp::Value::Array(both) = both else {
                    panic!("{name}: {both:?}");
                };
                assert_eq!(both[0], both[1], "{name}");
                let now = match &both[0] {
                    resp::Value::Bulk(n) => String::from_utf8_lossy(n).parse().expect("a number"),
                    _ => 0,
                };
                assert!(now >= seen, "{name}: {now} after {seen}");
                seen = now;
            }
            drop(stopping);
        });
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}
