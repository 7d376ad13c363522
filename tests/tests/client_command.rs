//! CLIENT where it takes more than one connection: listing, killing, pausing.

use redpoll_tests::check::{check, show};
use redpoll_tests::{Client, Server, eventually};
use resp::Value;
use std::collections::BTreeMap;

/// What tools parse out of CLIENT LIST and CLIENT INFO; every version since Redis 7.0 has these.
const FIELDS: &[&str] = &[
    "id",
    "addr",
    "laddr",
    "fd",
    "name",
    "age",
    "idle",
    "flags",
    "db",
    "sub",
    "psub",
    "ssub",
    "multi",
    "qbuf",
    "qbuf-free",
    "argv-mem",
    "multi-mem",
    "tot-mem",
    "rbs",
    "rbp",
    "obl",
    "oll",
    "omem",
    "events",
    "cmd",
    "user",
    "redir",
    "resp",
];

/// The fields of each line of CLIENT LIST or CLIENT INFO.
fn lines(client: &mut Client, command: &str) -> Vec<BTreeMap<String, String>> {
    let (Value::Bulk(text) | Value::Verbatim(_, text)) = client.run(command) else {
        panic!("{command} is text")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let fields = |line: &str| {
        let pairs = line.split(' ').filter_map(|field| field.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    text.lines().map(fields).collect()
}

fn id(client: &mut Client) -> String {
    show(&client.run("CLIENT ID"))
}

/// Whether the server has closed this connection: it answers nothing any more.
fn is_closed(client: &mut Client) -> bool {
    client.try_call(&["PING"]).is_err()
}

#[test]
fn list_and_info_have_the_fields_that_tools_read() {
    let server = Server::redpoll();
    let mut c = server.connect();
    c.run("CLIENT SETNAME tester");
    c.run("CLIENT SETINFO LIB-NAME mylib");
    c.run("SELECT 3");
    let own = id(&mut c);
    for command in ["CLIENT INFO".to_owned(), format!("CLIENT LIST ID {own}")] {
        let all = lines(&mut c, &command);
        assert_eq!(all.len(), 1, "{command}");
        for field in FIELDS {
            assert!(
                all[0].contains_key(*field),
                "{command} has no {field}: {:?}",
                all[0]
            );
        }
        let expected = [
            ("id", own.as_str()),
            ("name", "tester"),
            ("db", "3"),
            ("resp", "2"),
            ("user", "default"),
            ("flags", "N"),
            ("lib-name", "mylib"),
        ];
        for (field, value) in expected {
            assert_eq!(all[0][field], value, "{command}, {field}");
        }
        assert_eq!(all[0]["laddr"], server.addr().to_string());
    }
    let mut other = server.connect();
    check(&mut other, "PING", "PONG");
    let other_id = id(&mut other);
    let ids: Vec<String> = lines(&mut c, "CLIENT LIST")
        .into_iter()
        .map(|line| line["id"].clone())
        .collect();
    assert!(ids.contains(&own) && ids.contains(&other_id), "{ids:?}");
    assert!(lines(&mut c, "CLIENT LIST TYPE pubsub").is_empty());
    assert!(
        other_id
            .parse::<u64>()
            .is_ok_and(|other| other > own.parse().expect("an id is a number"))
    );
}

#[test]
fn kill_by_every_filter() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let own = id(&mut c);
    let mut victim = server.connect();
    let victim_id = id(&mut victim);
    check(&mut c, &format!("CLIENT KILL ID {victim_id}"), "1");
    assert!(is_closed(&mut victim));
    check(&mut c, &format!("CLIENT KILL ID {victim_id}"), "0");

    let mut victim = server.connect();
    let addr = lines(&mut victim, "CLIENT INFO")[0]["addr"].clone();
    check(
        &mut c,
        &format!("CLIENT KILL ADDR {addr} USER default"),
        "1",
    );
    assert!(is_closed(&mut victim));

    let mut victim = server.connect();
    let addr = lines(&mut victim, "CLIENT INFO")[0]["addr"].clone();
    check(&mut c, &format!("CLIENT KILL {addr}"), "OK");
    assert!(is_closed(&mut victim));
    check(&mut c, "CLIENT KILL 1.2.3.4:5", "-ERR No such client");

    // All others, and only others, unless told so.
    let mut victims: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for victim in &mut victims {
        check(victim, "PING", "PONG");
    }
    // Connections killed before may still be on their way out, and count.
    let killed = c.run(&format!("CLIENT KILL LADDR {} TYPE normal", server.addr()));
    assert!(matches!(killed, Value::Int(3..)), "{}", show(&killed));
    assert!(victims.iter_mut().all(is_closed));
    check(&mut c, "PING", "PONG");
    c.send(&["CLIENT", "KILL", "ID", &own, "SKIPME", "no"]);
    assert_eq!(c.read_to_close(), b":1\r\n");
}

#[test]
fn pause_holds_writes_and_unpause_lets_them_go() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let mut writer = server.connect();
    check(&mut c, "CLIENT PAUSE 1000000 WRITE", "OK");
    writer.send(&["SET", "k", "v"]);
    check(&mut c, "GET k", "nil");
    check(&mut c, "CLIENT UNPAUSE", "OK");
    assert_eq!(show(&writer.read()), "OK");
    check(&mut c, "GET k", "\"v\"");
}

#[test]
fn a_pause_ends_by_itself() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let mut other = server.connect();
    check(&mut c, "CLIENT PAUSE 30 ALL", "OK");
    check(&mut other, "SET k v", "OK");
    check(&mut c, "CLIENT PAUSE -1", "-ERR timeout is negative");
    check(
        &mut c,
        "CLIENT PAUSE x",
        "-ERR timeout is not an integer or out of range",
    );
    check(
        &mut c,
        "CLIENT PAUSE 1 SOME",
        "-ERR CLIENT PAUSE mode must be WRITE or ALL",
    );
}

#[test]
fn names_are_seen_by_others_and_reset_clears_them() {
    let server = Server::redpoll();
    let mut c = server.connect();
    let mut other = server.connect();
    let other_id = id(&mut other);
    check(&mut other, "CLIENT SETNAME someone", "OK");
    let line = |c: &mut Client| lines(c, &format!("CLIENT LIST ID {other_id}"))[0].clone();
    assert_eq!(line(&mut c)["name"], "someone");
    check(&mut other, "CLIENT NO-EVICT ON", "OK");
    assert!(line(&mut c)["flags"].contains('e'));
    check(&mut other, "SELECT 5", "OK");
    check(&mut other, "RESET", "RESET");
    eventually(
        "RESET has cleared the name, the database and the flags",
        || {
            let line = line(&mut c);
            line["name"].is_empty() && line["db"] == "0" && line["flags"] == "N"
        },
    );
}

/// Who waits, listens or caches is not idle when it is told something, as in real servers.
#[test]
fn being_told_something_ends_idleness() {
    let server = Server::redpoll_with(&["--enable-debug-command", "yes"]);
    let mut c = server.connect();
    let mut waits = server.connect();
    let mut listens = server.connect();
    let mut caches = server.connect();
    let ids = [&mut waits, &mut listens, &mut caches].map(id);
    waits.send(&["BLPOP", "list", "0"]);
    listens.run("SUBSCRIBE news");
    caches.run("HELLO 3");
    caches.run("CLIENT TRACKING ON");
    caches.run("GET key");
    let mut idle = || -> Vec<u32> {
        let lines = lines(&mut c, "CLIENT LIST");
        ids.iter()
            .map(|id| {
                let line = lines.iter().find(|line| line["id"] == *id);
                line.expect("the client")["idle"].parse().expect("a number")
            })
            .collect()
    };
    eventually("all are idle", || idle().iter().all(|s| *s > 0));
    let mut other = server.connect();
    other.run("LPUSH list x");
    other.run("PUBLISH news x");
    other.run("SET key x");
    eventually("none is", || idle().iter().all(|s| *s == 0));
}

/// What expires by itself does not while writes are paused, as in real servers.
#[test]
fn nothing_expires_by_itself_in_a_pause() {
    let server = Server::redpoll_with(&["--enable-debug-command", "yes"]);
    let mut c = server.connect();
    check(&mut c, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    check(&mut c, "SET key v PX 1", "OK");
    check(&mut c, "CLIENT PAUSE 1000000 WRITE", "OK");
    check(&mut c, "DEBUG SET-ACTIVE-EXPIRE 1", "OK");
    // Meanwhile the sweep comes by several times.
    let mut looks = 0;
    eventually("some time has passed", || {
        looks += 1;
        looks > 150
    });
    check(&mut c, "DBSIZE", "1");
    check(&mut c, "CLIENT UNPAUSE", "OK");
    eventually("it is gone", || show(&c.run("DBSIZE")) == "0");
}
