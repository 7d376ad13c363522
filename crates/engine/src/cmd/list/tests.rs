//! Replies of list commands.

use super::COMMANDS;
use crate::testing::{TestClient, check, check3};

#[test]
fn elements_go_to_either_end() {
    check(
        "RPUSH l a b c; LPUSH l 1 2; LRANGE l 0 -1",
        r#"["2" "1" "a" "b" "c"]"#,
    );
    check("LPUSHX l a; EXISTS l", "0");
    check("RPUSH l a; RPUSHX l b c", "3");
    check(
        "SET s v; LPUSH s a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    check("RPUSH l a b c; LPOP l", r#""a""#);
    check("RPUSH l a b c; RPOP l 2", r#"["c" "b"]"#);
    check("RPUSH l a b c; LPOP l 9; EXISTS l", "0");
    check("LPOP l", "nil");
    check("LPOP l 1", "nil");
    check("RPUSH l a; LPOP l 0", "[]");
    check("LPOP l -1", "-ERR value is out of range, must be positive");
    check(
        "LPOP l 1 2",
        "-ERR wrong number of arguments for 'lpop' command",
    );
}

#[test]
fn elements_are_changed_in_place() {
    check(
        "RPUSH l a b c; LSET l -2 x; LRANGE l 0 -1",
        r#"["a" "x" "c"]"#,
    );
    check("LSET l zero x", "-ERR no such key");
    check("RPUSH l a; LSET l 1 x", "-ERR index out of range");
    check("RPUSH l a; LSET l 4294967295 x; LRANGE l 0 -1", r#"["x"]"#);
    check(
        "RPUSH l a b; LINSERT l after a 1; LINSERT l BEFORE a 0; LRANGE l 0 -1",
        r#"["0" "a" "1" "b"]"#,
    );
    check("RPUSH l a; LINSERT l BEFORE nothing 0", "-1");
    check("LINSERT l BEFORE a 0", "0");
    check("LINSERT l BESIDE a 0", "-ERR syntax error");
    check(
        "RPUSH l a b a b a; LREM l -2 a; LRANGE l 0 -1",
        r#"["a" "b" "b"]"#,
    );
    check("RPUSH l 1 01 1; LREM l 0 1; LRANGE l 0 -1", r#"["01"]"#);
    check(
        "RPUSH l a b c d; LTRIM l 1 -2; LRANGE l 0 -1",
        r#"["b" "c"]"#,
    );
    check("RPUSH l a b; LTRIM l 5 9; EXISTS l", "0");
}

#[test]
fn lists_are_looked_at() {
    check("RPUSH l a b c; LINDEX l -1", r#""c""#);
    check("RPUSH l a; LINDEX l 1", "nil");
    check("LINDEX l one", "nil");
    check("RPUSH l a b c; LRANGE l -100 1", r#"["a" "b"]"#);
    check("RPUSH l a b c; LRANGE l 2 1", "[]");
    check("RPUSH l a b c; LLEN l", "3");
    check("RPUSH l a b a b a; LPOS l a RANK 2", "2");
    check("RPUSH l a b a b a; LPOS l a RANK -1 COUNT 2", "[4 2]");
    check("RPUSH l a b a b a; LPOS l a COUNT 0 MAXLEN 4", "[0 2]");
    check("RPUSH l a b; LPOS l c", "nil");
    check("LPOS l c COUNT 1", "[]");
    check(
        "LPOS l c RANK -9223372036854775808",
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
}

#[test]
fn elements_move() {
    check("RPUSH l a b c; RPOPLPUSH l m; LRANGE m 0 -1", r#"["c"]"#);
    check(
        "RPUSH l a b c; RPOPLPUSH l l; LRANGE l 0 -1",
        r#"["c" "a" "b"]"#,
    );
    check("RPUSH l a; LMOVE l m LEFT RIGHT; EXISTS l m", "1");
    check("LMOVE l m LEFT UP", "-ERR syntax error");
    check("LMOVE l m LEFT RIGHT", "nil");
    check(
        "SET s v; RPUSH l a; LMOVE l s LEFT RIGHT",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    check("SET s v; RPUSH l a; LMOVE l s LEFT RIGHT; LLEN l", "1");
    check(
        "RPUSH m a b c; LMPOP 2 l m LEFT COUNT 2",
        r#"["m" ["a" "b"]]"#,
    );
    check("LMPOP 1 l RIGHT", "nil");
    check3("LMPOP 1 l RIGHT", "nil");
    check("LMPOP 2 l RIGHT", "-ERR syntax error");
    check("LMPOP 0 l RIGHT", "-ERR numkeys should be greater than 0");
    check(
        "LMPOP 1 l RIGHT COUNT 0",
        "-ERR count should be greater than 0",
    );
}

#[test]
fn the_encoding_follows_the_setting() {
    let mut db = TestClient::new();
    db.check("CONFIG SET list-max-ziplist-size 2", "OK");
    db.check("RPUSH l a b; OBJECT ENCODING l", r#""listpack""#);
    db.check("RPUSH l c; OBJECT ENCODING l", r#""quicklist""#);
    db.check("LPOP l 2; OBJECT ENCODING l", r#""listpack""#);
    db.check("CONFIG SET list-max-listpack-size -1", "OK");
    let long = "x".repeat(4100);
    db.check(
        &format!("RPUSH m {long}; OBJECT ENCODING m"),
        r#""quicklist""#,
    );
    db.check("COPY m n; LSET n 0 y; OBJECT ENCODING n", r#""listpack""#);
    db.check("LINDEX m 0", &format!("{long:?}"));
}

#[test]
fn large_elements_are_shared() {
    let mut db = TestClient::new();
    let large = vec![b'v'; 2 << 20];
    db.call(&[b"RPUSH", &b"l"[..], &large, b"small"]);
    let reply = db.raw(&[b"LMOVE", &b"l"[..], b"l", b"LEFT", b"RIGHT"]);
    assert_eq!(reply.len(), large.len() + 12);
    db.check("LINDEX l 0", r#""small""#);
    assert_eq!(db.raw(&[b"RPOP", &b"l"[..]]), reply);
}

#[test]
fn a_row_for_every_command_that_does_not_block() {
    assert_eq!(COMMANDS.len(), 17);
    assert!(COMMANDS.iter().all(|c| !c.name.starts_with('b')));
}
