//! Entries of streams, without groups.

use crate::testing::{TestClient, check, check3, run};

#[test]
fn ids_go_up_and_come_in_all_forms() {
    check(
        "XADD s 5-* f v; XADD s 5-* f v; XADD s 6 f v; XADD s 6-* f v",
        "\"6-1\"",
    );
    check("XADD s 0-* f v", "\"0-1\"");
    check(
        "XADD s 5-1 f v; XADD s 5-1 f v",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
    check(
        "XADD s 0-0 f v",
        "-ERR The ID specified in XADD must be greater than 0-0",
    );
    check(
        "XADD s 1-1 f",
        "-ERR wrong number of arguments for 'xadd' command",
    );
    check("XADD s NOMKSTREAM * f v; EXISTS s", "0");
    check("XADD s NOMKSTREAM 1-1 f v", "nil");
    let max = "18446744073709551615-18446744073709551615";
    check(
        &format!("XADD s {max} f v; XADD s * f v"),
        "-ERR The stream has exhausted the last possible ID, unable to add more items",
    );
}

/// The clock gives IDs that grow even within a millisecond.
#[test]
fn automatic_ids_are_distinct() {
    let mut db = TestClient::new();
    for _ in 0..50 {
        db.run("XADD s * f v");
    }
    db.check("XLEN s", "50");
}

#[test]
fn a_failed_first_xadd_leaves_no_key() {
    let mut db = TestClient::new();
    db.run("XADD s bad f v");
    db.check("EXISTS s", "0");
    db.run("SET str x");
    db.check(
        "XADD str 1-1 f v",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn trimming_by_whole_nodes_and_exactly() {
    let mut db = TestClient::with(&[("stream-node-max-entries", "3")]);
    for i in 1..=10 {
        db.run(&format!("XADD s {i}-0 f v"));
    }
    db.check("XTRIM s MAXLEN ~ 5", "3");
    db.check("XTRIM s MAXLEN ~ 0 LIMIT 2", "0");
    db.check("XTRIM s MINID = 6", "2");
    db.check(
        "XADD s MAXLEN 2 11 f v; XRANGE s - +",
        r#"[["10-0" ["f" "v"]] ["11-0" ["f" "v"]]]"#,
    );
    db.check(
        "XTRIM s MAXLEN 0 LIMIT 1",
        "-ERR syntax error, LIMIT cannot be used without the special ~ option",
    );
    db.check("XTRIM s MAXLEN 0; EXISTS s", "1");
}

#[test]
fn ranges_exclude_and_count() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XADD s 1-2 b 2; XADD s 2-0 a 1 b x");
    db.check("XRANGE s (1-1 1", r#"[["1-2" ["b" "2"]]]"#);
    db.check("XREVRANGE s + - COUNT 1", r#"[["2-0" ["a" "1" "b" "x"]]]"#);
    db.check("XRANGE s - + COUNT 0", "nil");
    db.check(
        "XRANGE s (18446744073709551615-18446744073709551615 +",
        "-ERR invalid start ID for the interval",
    );
    db.check("XDEL s 1-1 9-9; XLEN s", "2");
}

/// A stream that was set back goes on below what was deleted, in the same node: what stood behind such an entry was not found.
#[test]
fn a_stream_that_was_set_back_finds_what_came_later() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 f v; XADD s 5-1 f v; XDEL s 5-1");
    db.run("XSETID s 5-1 ENTRIESADDED 2 MAXDELETEDID 0-1; XSETID s 2-0; XADD s 3-1 f v");
    db.run("XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >");
    db.check(
        "XREVRANGE s 4-0 -",
        r#"[["3-1" ["f" "v"]] ["1-1" ["f" "v"]]]"#,
    );
    db.check("XRANGE s 3-1 3-1", r#"[["3-1" ["f" "v"]]]"#);
    db.check("XCLAIM s g d 0 3-1 JUSTID", r#"["3-1"]"#);
    db.check("XDEL s 3-1; XLEN s", "1");
}

#[test]
fn reading_is_answered_only_with_something_to_read() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XADD s 2-1 a 2");
    db.check(
        "XREAD COUNT 1 STREAMS s t 0 0",
        r#"[["s" [["1-1" ["a" "1"]]]]]"#,
    );
    db.check("XREAD STREAMS s $", "nil");
    db.check("XREAD STREAMS s +", r#"[["s" [["2-1" ["a" "2"]]]]]"#);
    db.check(
        "XREAD BLOCK 0 STREAMS s 1-1",
        r#"[["s" [["2-1" ["a" "2"]]]]]"#,
    );
    let mut db = db.resp3();
    db.check("XREAD COUNT 1 STREAMS s 0", r#"{"s": [["1-1" ["a" "1"]]]}"#);
}

#[test]
fn a_message_is_pending_until_it_is_acknowledged() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XADD s 2-1 a 2; XGROUP CREATE s g 0");
    db.check(
        "XREADGROUP GROUP g c COUNT 1 STREAMS s >",
        r#"[["s" [["1-1" ["a" "1"]]]]]"#,
    );
    db.check("XPENDING s g", r#"[1 "1-1" "1-1" [["c" "1"]]]"#);
    db.check(
        "XDEL s 1-1; XREADGROUP GROUP g c STREAMS s 0",
        r#"[["s" [["1-1" nil]]]]"#,
    );
    db.check("XACK s g 1-1 2-1; XPENDING s g", "[0 nil nil nil]");
    db.check(
        "XREADGROUP GROUP g d NOACK STREAMS s >",
        r#"[["s" [["2-1" ["a" "2"]]]]]"#,
    );
    db.check("XPENDING s g", "[0 nil nil nil]");
    db.check(
        "XREADGROUP GROUP h c STREAMS s >",
        "-NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option",
    );
}

#[test]
fn messages_change_hands() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XADD s 2-1 a 2; XADD s 3-1 a 3; XGROUP CREATE s g 0");
    db.run("XREADGROUP GROUP g c STREAMS s >");
    db.check("XCLAIM s g d 0 1-1 JUSTID", r#"["1-1"]"#);
    db.check("XCLAIM s g d 100000 2-1 JUSTID", "[]");
    db.check(
        "XDEL s 2-1; XAUTOCLAIM s g d 0 - COUNT 2 JUSTID",
        r#"["3-1" ["1-1"] ["2-1"]]"#,
    );
    db.check(
        "XAUTOCLAIM s g d 0 3-1",
        r#"["0-0" [["3-1" ["a" "3"]]] []]"#,
    );
    db.check("XPENDING s g", r#"[2 "1-1" "3-1" [["d" "2"]]]"#);
    db.check("XGROUP DELCONSUMER s g d", "2");
    let reply = db.run("XCLAIM s g e 0 3-1 FORCE JUSTID RETRYCOUNT 7; XPENDING s g - + 1");
    assert!(
        reply.starts_with(r#"[["3-1" "e""#) && reply.ends_with(" 7]]"),
        "{reply}"
    );
}

/// Groups hold what XDEL has deleted until it is acknowledged, or deleted once more together with all references.
#[test]
fn references_to_what_is_gone_go_too() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XADD s 2-1 a 2; XGROUP CREATE s g 0; XGROUP CREATE s h 0");
    db.run("XREADGROUP GROUP g c STREAMS s >; XREADGROUP GROUP h c STREAMS s >; XDEL s 1-1");
    db.check("XDELEX s IDS 2 1-1 9-9", "[-1 -1]");
    db.check("XPENDING s h", r#"[2 "1-1" "2-1" [["c" "2"]]]"#);
    db.check("XDELEX s DELREF IDS 2 1-1 9-9", "[-1 -1]");
    for group in ["g", "h"] {
        let left = r#"[1 "2-1" "2-1" [["c" "1"]]]"#;
        db.check(&format!("XPENDING s {group}"), left);
    }
}

#[test]
fn references_are_looked_after() {
    let mut db = TestClient::new();
    db.run("XADD s 1-1 a 1; XADD s 2-1 a 2; XGROUP CREATE s g 0; XGROUP CREATE s h 0");
    db.run("XREADGROUP GROUP g c STREAMS s >");
    db.check("XDELEX s ACKED IDS 1 1-1", "[2]");
    db.check("XACKDEL s g ACKED IDS 2 1-1 9-9", "[2 -1]");
    db.run("XREADGROUP GROUP h c STREAMS s >; XACK s g 2-1");
    db.check("XACKDEL s h ACKED IDS 1 2-1", "[1]");
    db.check("XDELEX s DELREF IDS 1 1-1; XPENDING s h", "[0 nil nil nil]");
    db.check(
        "XDELEX s IDS 2 1-1",
        "-ERR The `numids` parameter must match the number of arguments",
    );
}

#[test]
fn counts_of_entries_read_and_the_lag() {
    let mut db = TestClient::new().resp3();
    db.run("XADD s 1-1 a 1; XADD s 2-1 a 2; XADD s 3-1 a 3; XGROUP CREATE s g 0");
    db.run("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    let group = |read: &str, lag: &str| {
        format!(
            "[{{\"name\": \"g\" \"consumers\": 1 \"pending\": 1 \"last-delivered-id\": \"1-1\" \
             \"entries-read\": {read} \"lag\": {lag}}}]"
        )
    };
    db.check("XINFO GROUPS s", &group("1", "2"));
    // A gap ahead: nobody knows how many are left.
    db.check("XDEL s 2-1; XINFO GROUPS s", &group("1", "nil"));
    db.check(
        "XGROUP SETID s g 1-1 ENTRIESREAD 99; XINFO GROUPS s",
        &group("3", "nil"),
    );
}

#[test]
fn what_xinfo_says() {
    check3(
        "XADD s 1-1 a 1; XINFO STREAM s",
        "{\"length\": 1 \"radix-tree-keys\": 1 \"radix-tree-nodes\": 2 \"last-generated-id\": \"1-1\" \
         \"max-deleted-entry-id\": \"0-0\" \"entries-added\": 1 \"recorded-first-entry-id\": \"1-1\" \
         \"groups\": 0 \
         \"first-entry\": [\"1-1\" [\"a\" \"1\"]] \"last-entry\": [\"1-1\" [\"a\" \"1\"]]}",
    );
    check("XINFO STREAM s", "-ERR no such key");
    check(
        "XADD s 1-1 a 1; XINFO STREAM s FULL COUNT",
        "-ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.",
    );
    assert!(run("XGROUP HELP").contains("CREATECONSUMER"));
}

/// How many entries go when about so many are to stay. The numbers are those of Redis 8.2.3 and Valkey 9.1.2, whose nodes
/// are full by the bytes of their encoding.
#[test]
fn approximate_trimming_leaves_what_real_servers_leave() {
    let mut db = TestClient::new();
    let fill = |db: &mut TestClient, key: &str, n: usize, payload: &str| {
        for i in 1..=n {
            db.raw(&["XADD", key, &format!("1-{i}"), "payload", payload]);
        }
    };
    fill(&mut db, "s", 300, &"x".repeat(50));
    db.check("XTRIM s MAXLEN ~ 150", "134");
    db.check("XTRIM s MINID ~ 1-250", "67");
}
