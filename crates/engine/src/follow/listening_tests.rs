//! Who listens to some keys, or to some events, is told of these, whatever is not listed of others.

use crate::base::glob;
use crate::door::listening::mark_of;
use crate::follow::messages::{Kind, marks_of};
use crate::testing::TestClient;

/// What followers were told of since the last time.
fn told(client: &TestClient) -> Vec<String> {
    std::mem::take(&mut *client.engine.follow.effects.recorded.lock())
}

/// A key whose mark is another than that of the first.
fn another_key(client: &TestClient, than: &str) -> String {
    let listening = &client.engine.follow.effects.listening;
    let ks = client.engine.keyspace();
    assert!(listening.is_marked(ks.place(than.as_bytes())));
    (0..)
        .map(|n| format!("other:{n}"))
        .find(|key| !listening.is_marked(ks.place(key.as_bytes())))
        .expect("not all keys have one mark")
}

#[test]
fn changes_are_listed_for_those_who_listen_to_their_keys() {
    let mut a = TestClient::new();
    let mut b = a.another();
    a.run("WATCH k");
    let other = another_key(&b, "k");
    b.run(&format!("SET {other} 1; LPUSH l{other} 1; DEL {other}"));
    let ours = |told: Vec<String>| told.into_iter().filter(|e| e.ends_with(" k")).count();
    let all = told(&b);
    assert!(
        !all.iter().any(|e| e.ends_with(&format!(" {other}"))),
        "{all:?}"
    );
    b.run("SET k 1");
    assert!(ours(told(&b)) > 0);
    a.check("MULTI; GET k; EXEC", "nil");
    b.run("SET k 2");
    assert_eq!(told(&b), [""; 0], "nobody watches any more");
    assert!(!b.engine.follow.effects.listening());
}

#[test]
fn a_key_that_one_of_several_leaves_is_still_listened_to() {
    let mut a = TestClient::new();
    let (mut b, mut c) = (a.another(), a.another());
    a.run("WATCH k");
    b.run("WATCH k");
    a.run("UNWATCH");
    c.run("SET k 1");
    b.check("MULTI; GET k; EXEC", "nil");
}

#[test]
fn notifications_are_made_of_what_somebody_subscribes_to() {
    let mut a = TestClient::new();
    let mut b = a.another();
    b.run("CONFIG SET notify-keyspace-events KEA");
    assert!(!b.engine.follow.effects.listening(), "nobody subscribes");
    a.run("SUBSCRIBE news");
    assert!(!b.engine.follow.effects.listening(), "to no such channel");
    a.run("SUBSCRIBE __keyevent@0__:del");
    b.run("SET k v; RPUSH l 1; EXPIRE k 100");
    assert_eq!(told(&b), [""; 0]);
    // Of what a pop does, this follows.
    b.run("LPOP l; DEL k");
    a.check_messages(
        r#"["message" "__keyevent@0__:del" "l"] ["message" "__keyevent@0__:del" "k"]"#,
    );
    a.run("UNSUBSCRIBE news; UNSUBSCRIBE __keyevent@0__:del; PSUBSCRIBE __keyspace@0__:k");
    b.run("SET k v; SELECT 1; SET k v");
    a.check_messages(r#"["pmessage" "__keyspace@0__:k" "__keyspace@0__:k" "set"]"#);
    a.run("PUNSUBSCRIBE");
    assert!(!b.engine.follow.effects.listening());
}

/// What a key held that is set had expired: that is an event of its own.
#[test]
fn who_waits_for_keys_to_expire_is_told_when_they_are_replaced() {
    let mut a = TestClient::new();
    let mut b = a.another();
    a.run("PSUBSCRIBE __keyevent@*__:expired");
    b.run("CONFIG SET notify-keyspace-events Ex; SET k v PX 1");
    let began = crate::base::clock::unix_ms();
    while crate::base::clock::unix_ms() < began + 2 {
        std::thread::yield_now();
    }
    b.run("SET k v");
    a.check_messages(r#"["pmessage" "__keyevent@*__:expired" "__keyevent@0__:expired" "k"]"#);
}

/// Whatever pattern lets a notification through has its marks.
#[test]
fn marks_leave_nothing_out() {
    const EVENTS: [&str; 6] = ["set", "del", "expired", "lpush", "x__:set", ""];
    const PATTERNS: [&str; 22] = [
        "*",
        "__key*",
        "__key*__:*",
        "__keyevent@0__:set",
        "__keyevent@*__:set",
        "__keyevent@*:set",
        "__keyevent@0__:s?t",
        "__keyevent@[01]__:set",
        "__keyevent@[0__:set",
        "__keyevent@0__:[sx]et",
        "__keyevent@0__:\\set",
        "?_keyevent@0__:del",
        "*__:set",
        "*set",
        "*@0__:*",
        "__keyspace@0__:set",
        "__keyspace@*__:set",
        "__keyspace@0__:*",
        "__keyspace@?__:x__:set",
        "__key[es]*@0__:del",
        "_*t",
        "__*d",
    ];
    for pattern in PATTERNS {
        let (events, keys) = marks_of(Kind::Pattern, pattern.as_bytes());
        for name in EVENTS {
            let tells = |kind: &str| {
                let channel = format!("__{kind}@0__:{name}");
                glob::matches(pattern.as_bytes(), channel.as_bytes())
            };
            let mark = mark_of(name.as_bytes());
            let is_event = name != "x__:set";
            assert!(
                !tells("keyevent") || !is_event || events & mark != 0,
                "{pattern} {name}"
            );
            assert!(!tells("keyspace") || keys & mark != 0, "{pattern} {name}");
        }
    }
    let of = |name: &str| marks_of(Kind::Channel, name.as_bytes());
    assert_eq!(of("__keyevent@0__:set"), (mark_of(b"set"), 0));
    assert_eq!(of("__keyspace@12__:a__:b"), (0, mark_of(b"a__:b")));
    assert_eq!(of("news"), (0, 0));
    assert_eq!(of("__keyspace"), (0, 0));
    assert_eq!(marks_of(Kind::Shard, b"__keyspace@0__:k"), (0, 0));
    assert_eq!(marks_of(Kind::Pattern, b"news*"), (0, 0));
    let expired = marks_of(Kind::Pattern, b"__keyevent@*__:expired");
    assert_eq!(expired, (mark_of(b"expired"), 0));
}
