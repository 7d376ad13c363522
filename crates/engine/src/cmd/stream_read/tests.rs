//! Waiting for entries. What clients expect was looked up in Redis 8.2.

use crate::follow::waiting::GiveUp;
use crate::testing::{TestClient, check};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NO_GROUP: &str =
    "-NOGROUP No such key 'k' or consumer group 'g' in XREADGROUP with GROUP option";

/// A client that runs commands, and one that waits.
fn two() -> (TestClient, TestClient) {
    let db = TestClient::new();
    let other = db.another();
    (db, other)
}

#[test]
fn timeouts_are_whole_milliseconds() {
    for (timeout, error) in [
        ("10.5", "-ERR timeout is not an integer or out of range"),
        ("x", "-ERR timeout is not an integer or out of range"),
        ("-1", "-ERR timeout is negative"),
        ("9223372036854775807", "-ERR timeout is out of range"),
    ] {
        check(&format!("XREAD BLOCK {timeout} STREAMS k $"), error);
    }
    let mut db = TestClient::new();
    for call in [
        "XREAD BLOCK 10 STREAMS k $",
        "XREAD BLOCK 9223370000000000000 STREAMS k $",
    ] {
        db.block(call);
        assert!(db.give_up(GiveUp::Timeout));
        db.check_blocked("nil");
    }
}

#[test]
fn everybody_who_reads_is_told_of_an_entry() {
    let mut db = TestClient::new();
    db.run("XADD k 1-1 a 1");
    let mut clients = [0; 3].map(|_| db.another());
    clients[2].run("HELLO 3");
    for client in &mut clients {
        client.block("XREAD BLOCK 0 STREAMS k j $ $");
    }
    db.run("XADD k 2-1 a 2; XADD k 2-2 a 3");
    for client in &mut clients[..2] {
        client.check_blocked(r#"[["k" [["2-1" ["a" "2"]]]]]"#);
    }
    clients[2].check_blocked(r#"{"k": [["2-1" ["a" "2"]]]}"#);
}

#[test]
fn a_transaction_is_read_as_one() {
    let (mut db, mut waits) = two();
    waits.block("XREAD BLOCK 0 STREAMS k j $ $");
    db.run("MULTI; XADD j 2-1 a 1; XADD k 2-2 b 1; XADD k 2-3 c 1; EXEC");
    waits.check_blocked(
        r#"[["k" [["2-2" ["b" "1"]] ["2-3" ["c" "1"]]]] ["j" [["2-1" ["a" "1"]]]]]"#,
    );
    waits.block("XREAD COUNT 1 BLOCK 0 STREAMS k $");
    db.run("MULTI; XADD k 3-1 a 1; XADD k 3-2 b 1; EXEC");
    waits.check_blocked(r#"[["k" [["3-1" ["a" "1"]]]]]"#);
    waits.block("XREAD BLOCK 0 STREAMS k $");
    db.run("MULTI; XADD k 4-1 a 1; XDEL k 4-1; EXEC");
    waits.check_blocked("waits");
    db.run("MULTI; XADD k 5-1 a 1; SET j 1; EXEC");
    waits.check_blocked(r#"[["k" [["5-1" ["a" "1"]]]]]"#);
}

#[test]
fn an_id_means_what_it_meant_when_the_wait_began() {
    let (mut db, mut waits) = two();
    waits.block("XREAD BLOCK 0 STREAMS k 5-5");
    db.run("XADD k 5-5 a 1");
    waits.check_blocked("waits");
    db.run("XADD k 6-6 b 1");
    waits.check_blocked(r#"[["k" [["6-6" ["b" "1"]]]]]"#);
    waits.block("XREAD BLOCK 0 STREAMS k $");
    db.run("DEL k; XADD k 1-1 a 1");
    waits.check_blocked("waits");
    db.run("XADD k 7-7 c 1");
    waits.check_blocked(r#"[["k" [["7-7" ["c" "1"]]]]]"#);
    // The last entry, whichever it will be.
    waits.block("XREAD BLOCK 0 STREAMS new +");
    db.run("MULTI; XADD new 1-1 a 1; XADD new 2-1 b 1; EXEC");
    waits.check_blocked(r#"[["new" [["2-1" ["b" "1"]]]]]"#);
}

#[test]
fn a_reader_waits_on_whatever_else_becomes_of_the_key() {
    let (mut db, mut waits) = two();
    waits.block("XREAD BLOCK 0 STREAMS k j $ $");
    for line in [
        "SET k 1",
        "DEL k",
        "XGROUP CREATE k g $ MKSTREAM",
        "XGROUP DESTROY k g",
        "DEL k",
        "SELECT 1; XADD k 1-1 a 1",
        "SELECT 0; XADD other 1-1 a 1",
    ] {
        db.run(line);
        waits.check_blocked("waits");
    }
    db.run("XADD j 1-1 a 1");
    waits.check_blocked(r#"[["j" [["1-1" ["a" "1"]]]]]"#);
}

#[test]
fn a_message_goes_to_the_consumer_that_waits_longest() {
    let mut db = TestClient::new();
    db.run("XADD k 1-1 a 1; XGROUP CREATE k g $");
    let mut clients = [0; 3].map(|_| db.another());
    for (client, name) in clients.iter_mut().zip("xyz".chars()) {
        client.block(&format!(
            "XREADGROUP GROUP g {name} COUNT 1 BLOCK 0 STREAMS k >"
        ));
    }
    db.run("MULTI; XADD k 2-1 a 1; XADD k 2-2 b 1; EXEC");
    clients[0].check_blocked(r#"[["k" [["2-1" ["a" "1"]]]]]"#);
    clients[1].check_blocked(r#"[["k" [["2-2" ["b" "1"]]]]]"#);
    clients[2].check_blocked("waits");
    db.check("XPENDING k g", r#"[2 "2-1" "2-2" [["x" "1"] ["y" "1"]]]"#);
    // All that there is goes to one if it does not say how many.
    assert!(clients[2].give_up(GiveUp::Timeout));
    clients[2].check_blocked("nil");
    clients[2].block("XREADGROUP GROUP g z NOACK BLOCK 0 STREAMS k >");
    clients[0].block("XREADGROUP GROUP g x BLOCK 0 STREAMS k >");
    db.run("MULTI; XADD k 3-1 a 1; XADD k 3-2 b 1; EXEC");
    clients[2].check_blocked(r#"[["k" [["3-1" ["a" "1"]] ["3-2" ["b" "1"]]]]]"#);
    clients[0].check_blocked("waits");
    db.check("XPENDING k g", r#"[2 "2-1" "2-2" [["x" "1"] ["y" "1"]]]"#);
}

#[test]
fn history_is_never_waited_for() {
    let mut db = TestClient::new();
    db.run("XGROUP CREATE k g $ MKSTREAM");
    db.check("XREADGROUP GROUP g c BLOCK 0 STREAMS k 0", r#"[["k" []]]"#);
}

#[test]
fn who_waits_in_a_group_is_told_when_there_will_be_nothing() {
    for (line, reply) in [
        ("XGROUP DESTROY k g", NO_GROUP),
        ("DEL k", NO_GROUP),
        ("MULTI; DEL k; XADD k 9-9 a 1; EXEC", NO_GROUP),
        ("SET k 1", WRONG_TYPE),
        ("XGROUP DESTROY k h", "waits"),
        ("XGROUP SETID k g 0", "waits"),
        ("XACK k g 1-1", "waits"),
        ("MULTI; DEL k; XGROUP CREATE k g $ MKSTREAM; EXEC", "waits"),
    ] {
        let (mut db, mut waits) = two();
        db.run("XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP CREATE k h $");
        db.run("XGROUP CREATE j g $ MKSTREAM");
        waits.block("XREADGROUP GROUP g c BLOCK 0 STREAMS j k > >");
        db.run(line);
        assert_eq!(waits.blocked_reply(), reply, "after {line}");
    }
}

/// Lets this much time go by for those who wait for pending entries.
fn pass_ms(db: &TestClient, ms: u64) {
    let later = crate::base::clock::unix_ms() + ms;
    crate::context::claims::serve_until(&db.engine, db.worker.counters(), later);
}

/// The reply to what blocked, without the time for which its first entry was pending.
fn claimed(waits: &mut TestClient) -> String {
    let reply = waits.blocked_reply();
    match reply.split_once("\"]") {
        Some((entry, rest)) => match rest.trim_start().split_once(' ') {
            Some((_, rest)) => format!("{entry}\"] .. {rest}"),
            None => reply,
        },
        None => reply,
    }
}

/// As Redis 8.6.2, which looks ten times a second.
#[test]
fn an_entry_that_comes_of_age_wakes_who_waits_to_claim_it() {
    let entry = r#"[["k" [["1-1" ["a" "1"] .. 1]]]]"#;
    let (mut db, mut waits) = two();
    db.run("XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATE k h 0; XREADGROUP GROUP g a STREAMS k >");
    waits.block("XREADGROUP GROUP g b BLOCK 0 CLAIM 60000 STREAMS k >");
    pass_ms(&db, 30_000);
    waits.check_blocked("waits");
    // What happens in another group is nothing to it.
    db.run("XREADGROUP GROUP h a STREAMS k >");
    pass_ms(&db, 30_000);
    waits.check_blocked("waits");
    pass_ms(&db, 61_000);
    assert_eq!(claimed(&mut waits), entry);
    db.check("XPENDING k g", r#"[1 "1-1" "1-1" [["b" "1"]]]"#);
    // Nothing is left to be looked at again.
    assert_eq!(db.engine.follow.claims.next_ms(), None);
    // Whoever has waited longest gets it of those for whom it is old enough.
    let mut impatient = db.another();
    waits.block("XREADGROUP GROUP g c BLOCK 0 CLAIM 9000000 STREAMS k >");
    impatient.block("XREADGROUP GROUP g d BLOCK 0 CLAIM 8000000 STREAMS k >");
    pass_ms(&db, 8_100_000);
    waits.check_blocked("waits");
    assert_eq!(claimed(&mut impatient), entry.replace("1]]]]", "2]]]]"));
    assert!(waits.give_up(GiveUp::Timeout));
    waits.check_blocked("nil");
    assert_eq!(db.engine.follow.claims.next_ms(), None);
    assert!(!db.engine.follow.claims.any());
}

#[test]
fn what_others_make_of_pending_entries_is_seen_by_who_waits_to_claim_them() {
    for (line, deliveries) in [
        // The last to have it says that it has had it for long.
        ("XCLAIM k g z 0 1-1 IDLE 70000", Some("2")),
        ("XNACK k g FAIL IDS 1 1-1", Some("1")),
        ("XCLAIM k g z 0 1-1 IDLE 50000", None),
        ("XCLAIM k g z 0 1-1", None),
        ("XACK k g 1-1", None),
        ("XDEL k 1-1", None),
    ] {
        let (mut db, mut waits) = two();
        db.run("XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATE j g $ MKSTREAM");
        db.run("XREADGROUP GROUP g a STREAMS k >");
        waits.block("XREADGROUP GROUP g b BLOCK 0 CLAIM 60000 STREAMS j k > >");
        db.run(line);
        let reply = claimed(&mut waits);
        match deliveries {
            Some(n) => assert_eq!(reply, format!(r#"[["k" [["1-1" ["a" "1"] .. {n}]]]]"#)),
            None => {
                assert_eq!(reply, "waits", "after {line}");
                pass_ms(&db, 61_000);
                let is_there = line.starts_with("XCLAIM");
                assert_eq!(claimed(&mut waits) != "waits", is_there, "after {line}");
            }
        }
    }
    // An entry that comes to be pending while somebody waits.
    let (mut db, mut waits) = two();
    db.run("XGROUP CREATE k g $ MKSTREAM");
    waits.block("XREADGROUP GROUP g b BLOCK 0 CLAIM 60000 STREAMS k >");
    assert_eq!(db.engine.follow.claims.next_ms(), None);
    db.run("MULTI; XADD k 1-1 a 1; XREADGROUP GROUP g a STREAMS k >; EXEC");
    waits.check_blocked("waits");
    pass_ms(&db, 61_000);
    assert_eq!(claimed(&mut waits), r#"[["k" [["1-1" ["a" "1"] .. 1]]]]"#);
    // Those who wait for new entries alone are not concerned.
    waits.block("XREADGROUP GROUP g c BLOCK 0 STREAMS k >");
    db.run("XNACK k g FAIL IDS 1 1-1");
    pass_ms(&db, 61_000);
    waits.check_blocked("waits");
}

/// Limits of all streams together, as Redis 8.10 documents them (redis.io, XREAD and XREADGROUP; its client libraries test the
/// first four).
#[test]
fn what_is_read_of_all_streams_together_is_bounded() {
    let mut db = TestClient::new();
    db.run("XADD a 1-1 f 1; XADD a 1-2 f 2; XADD a 1-3 f 3; XADD b 2-1 f 1; XADD b 2-2 f 2");
    let (a1, a2, a3) = (
        r#"["1-1" ["f" "1"]]"#,
        r#"["1-2" ["f" "2"]]"#,
        r#"["1-3" ["f" "3"]]"#,
    );
    let b1 = r#"["2-1" ["f" "1"]]"#;
    let two = format!(r#"[["a" [{a1} {a2}]]]"#);
    let four = format!(r#"[["a" [{a1} {a2} {a3}]] ["b" [{b1}]]]"#);
    let one = format!(r#"[["a" [{a1}]]]"#);
    for read in ["XREAD", "XREADGROUP GROUP g c"] {
        let mut check = |options: &str, expected: &str| {
            db.run(
                "XGROUP DESTROY a g; XGROUP DESTROY b g; XGROUP CREATE a g 0; XGROUP CREATE b g 0",
            );
            let from = if read == "XREAD" { "0 0" } else { "> >" };
            db.check(&format!("{read} {options} STREAMS a b {from}"), expected);
        };
        check("MAXCOUNT 2", &two);
        check("COUNT 3 MAXCOUNT 4", &four);
        check("MAXSIZE 1", &one);
        check("MAXSIZE 65536 MAXCOUNT 2", &two);
        // Entries of 31 bytes, behind some twenty of the reply and its first key.
        check("MAXSIZE 60", &one);
        check("MAXSIZE 100", &two);
        check("COUNT 1 MAXSIZE 60", &one);
        check(
            "MAXCOUNT 3 COUNT 2",
            &format!(r#"[["a" [{a1} {a2}]] ["b" [{b1}]]]"#),
        );
        for (options, error) in [
            ("MAXCOUNT 0", "-ERR MAXCOUNT must be a positive integer"),
            ("MAXCOUNT -1", "-ERR MAXCOUNT must be a positive integer"),
            ("MAXCOUNT x", "-ERR MAXCOUNT must be a positive integer"),
            ("MAXSIZE 0", "-ERR MAXSIZE must be a positive integer"),
            (
                "COUNT 5 MAXCOUNT 3",
                "-ERR MAXCOUNT must be greater than or equal to COUNT",
            ),
        ] {
            check(options, error);
        }
    }
    // What had no room is pending for nobody, and comes next.
    db.run("XGROUP DESTROY a g; XGROUP DESTROY b g; XGROUP CREATE a g 0; XGROUP CREATE b g 0");
    db.check("XREADGROUP GROUP g c MAXSIZE 1 STREAMS a b > >", &one);
    db.check("XPENDING a g", r#"[1 "1-1" "1-1" [["c" "1"]]]"#);
    db.check("XPENDING b g", "[0 nil nil nil]");
    db.check("XINFO CONSUMERS b g", "[]");
    let rest = format!(r#"[["a" [{a2} {a3}]] ["b" [{b1}]]]"#);
    db.check("XREADGROUP GROUP g c MAXCOUNT 3 STREAMS a b > >", &rest);
    // Old ones of a consumer, and claimed ones before new ones.
    db.check("XREADGROUP GROUP g c MAXCOUNT 1 STREAMS a b 0 0", &one);
    let reply = db.run("XREADGROUP GROUP g d MAXCOUNT 4 CLAIM 0 STREAMS a b > >");
    let mut ids: Vec<&str> = reply.split('"').filter(|word| word.contains('-')).collect();
    // Claimed are those first that were delivered first, and 1-1 was delivered again: in the same millisecond or not.
    ids[..3].sort_unstable();
    assert_eq!(ids, ["1-1", "1-2", "1-3", "2-1"], "{reply}");
    // It holds too for what is read in the end by who waits.
    let (mut db, mut waits) = self::two();
    waits.block("XREAD MAXCOUNT 1 BLOCK 0 STREAMS a b $ $");
    db.run("MULTI; XADD a 1-1 f 1; XADD b 1-1 f 1; XADD a 1-2 f 2; EXEC");
    waits.check_blocked(&one);
}

#[test]
fn in_a_transaction_nobody_waits() {
    check("MULTI; XREAD BLOCK 0 STREAMS k $; EXEC", "[nil]");
    check(
        "XGROUP CREATE k g $ MKSTREAM; MULTI; XREADGROUP GROUP g c BLOCK 0 STREAMS k >; EXEC",
        "[nil]",
    );
}

#[test]
fn a_delivery_is_a_change_beside_the_stream() {
    let (mut db, mut waits) = two();
    db.run("XGROUP CREATE k g $ MKSTREAM");
    db.check_events(
        "XREADGROUP GROUP g c STREAMS k >",
        "xgroup-createconsumer k",
    );
    waits.block("XREADGROUP GROUP g c BLOCK 0 STREAMS k >");
    db.check_events("XADD k 1-1 a 1", "xadd k,  k");
    waits.check_blocked(r#"[["k" [["1-1" ["a" "1"]]]]]"#);
    let mut watches = db.another();
    watches.run("WATCH k");
    db.run("XADD j 1-1 a 1; XREADGROUP GROUP g d STREAMS k 0; XACK k g 1-1");
    watches.check("MULTI; PING; EXEC", "[PONG]");
}

/// Redis and Valkey read the options one by one, so the word that the keys follow may also be a name before.
#[test]
fn groups_and_consumers_may_have_the_names_of_options() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XGROUP CREATE s streams 0; XGROUP CREATE s g 0");
    db.run("XGROUP CREATE s other 0");
    let entry = r#"[["s" [["1-1" ["a" "1"]]]]]"#;
    db.check("XREADGROUP COUNT 1 GROUP g streams STREAMS s >", entry);
    db.check("XREADGROUP COUNT 1 GROUP streams count STREAMS s >", entry);
    db.check("XREADGROUP GROUP other streams STREAMS s >", entry);
    db.check(
        "XREADGROUP NOACK GROUP streams STREAMS STREAMS s 0",
        r#"[["s" []]]"#,
    );
    db.check(
        "COMMAND GETKEYS XREADGROUP COUNT 1 GROUP g streams STREAMS s >",
        r#"["STREAMS"]"#,
    );
}
