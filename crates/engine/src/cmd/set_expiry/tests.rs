//! Members of sets that expire.

use crate::door::record::EXPIRED_AT_ONCE;
use crate::testing::TestClient;
use std::collections::BTreeMap;

/// What the published documentation says, and Redis's own tests of it: `line | reply`, in one database.
const TALK: &str = r#"
SADD s a b c; SEXPIRE s 1000 MEMBERS 2 a b | [1 1]
STTL s MEMBERS 3 a c none | [1000 -1 -2]
SMEMBERS s | ["a" "b" "c"]
OBJECT ENCODING s | "listpackex"
SEXPIRE none 1000 NX MEMBERS 2 a b | [-2 -2]
STTL none MEMBERS 1 a | [-2]
SPEXPIREAT s 9999999999999 NX MEMBERS 3 a c none | [0 1 -2]
SPEXPIRETIME s MEMBERS 1 c | [9999999999999]
SEXPIRETIME s MEMBERS 1 c | [10000000000]
SPEXPIREAT s 9999999999998 GT MEMBERS 1 c | [0]
SPEXPIREAT s 9999999999998 LT MEMBERS 1 c | [1]
SPERSIST s MEMBERS 4 a b c none | [1 1 1 -2]
SPERSIST s MEMBERS 1 a | [-1]
SPEXPIREAT s 1 GT MEMBERS 1 a | [0]
SPEXPIREAT s 9999999999998 XX MEMBERS 1 a | [0]
SPEXPIREAT s 9999999999998 LT MEMBERS 1 a | [1]
SEXPIREAT s 1 MEMBERS 2 a none | [2 -2]
SEXPIREAT s 1 MEMBERS 2 b c | [2 2]
EXISTS s | 0
SADD i 1 2 3; SEXPIRE i 100 XX MEMBERS 1 1 | [0]
OBJECT ENCODING i | "intset"
SEXPIRE i 100 MEMBERS 2 1 3 | [1 1]
SMEMBERS i | ["1" "2" "3"]
SADDEX s EX 1000 MEMBERS 2 a b | 1
SADDEX s MNX EX 1000 MEMBERS 2 a x | 0
SISMEMBER s x | 0
SADDEX s MXX EX 5000 MEMBERS 2 a b | 1
STTL s MEMBERS 2 a b | [5000 5000]
SADDEX s MEMBERS 1 a | 1
SADDEX s KEEPTTL MEMBERS 2 b c | 1
STTL s MEMBERS 3 a b c | [-1 5000 -1]
SADDEX s PXAT 1 MEMBERS 2 a none | 1
SMEMBERS s | ["b" "c"]
SADDEX t PXAT 1 MEMBERS 1 a | 1
EXISTS t | 0
SADD s b d | 1
STTL s MEMBERS 2 b d | [5000 -1]
SMOVE s t b | 1
STTL t MEMBERS 1 b | [5000]
SADD t c; SEXPIRE t 100 MEMBERS 1 c; SMOVE s t c | 1
STTL t MEMBERS 1 c | [-1]
COPY t u; STTL u MEMBERS 1 b | [5000]
RENAME u v; STTL v MEMBERS 1 b | [5000]
SUNIONSTORE w v; STTL w MEMBERS 1 b | [-1]
SEXPIRE s -1 MEMBERS 1 a | -ERR invalid expire time, must be >= 0
SEXPIRE s 281474976710 MEMBERS 1 a | -ERR invalid expire time in 'sexpire' command
SEXPIRE s x MEMBERS 1 a | -ERR value is not an integer or out of range
SEXPIRE s 100 MEMBERS 1 | -ERR wrong number of arguments for 'sexpire' command
SEXPIRE s 100 NX NX NX | -ERR missing MEMBERS argument
SEXPIRE s 100 NX NX NX NX | -ERR missing MEMBERS argument
SEXPIRE s 100 a b c d | -ERR unknown argument: a
SEXPIRE s 100 MEMBERS 0 a | -ERR Parameter `numMembers` should be greater than 0
SEXPIRE s 100 MEMBERS 3 a b | -ERR wrong number of arguments
SEXPIRE s 100 MEMBERS 1 a c | -ERR unknown argument: c
SEXPIRE s 100 MEMBERS 1 a MEMBERS 1 b | -ERR MEMBERS keyword specified multiple times
SEXPIRE s 100 GT MEMBERS 1 a LT | -ERR Multiple condition flags specified
SEXPIRE s 100 MEMBERS 1 a nx | [-2]
STTL s a 1 a | -ERR Mandatory argument MEMBERS is missing or not at the right position
STTL s MEMBERS 0 a | -ERR Number of members must be a positive integer
STTL s MEMBERS 1 a b | -ERR The `nummembers` parameter must match the number of arguments
SADDEX s EX 100 MXX | -ERR missing MEMBERS argument
SADDEX s EX 100 MXX KEEPTTL | -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
SADDEX s MEMBERS x a | -ERR invalid number of members
SADDEX s MXX MNX MEMBERS 1 a | -ERR Only one of MXX or MNX arguments can be specified
SADDEX s FNX MEMBERS 1 a | -ERR unknown argument: FNX
SADDEX s MEMBERS 1 a EX | -ERR missing expire time
SET k v; SADDEX k MEMBERS 1 a | -WRONGTYPE Operation against a key holding the wrong kind of value
STTL k MEMBERS 1 a | -WRONGTYPE Operation against a key holding the wrong kind of value
SEXPIRE k 100 MEMBERS 1 a | -WRONGTYPE Operation against a key holding the wrong kind of value
"#;

#[test]
fn examples() {
    let mut c = TestClient::new();
    for line in TALK.lines().filter(|line| !line.is_empty()) {
        let (call, reply) = line.rsplit_once(" | ").expect("a call and a reply");
        c.check(call, reply);
    }
}

#[test]
fn events() {
    let mut c = TestClient::new();
    c.run("SADD s a b c d");
    c.check_events("SEXPIRE s 1000 MEMBERS 2 a b", "sexpire s");
    c.check_events("SEXPIRE s 1000 NX MEMBERS 1 a", "");
    c.check_events("SPERSIST s MEMBERS 2 a b", "spersist s");
    c.check_events("SPERSIST s MEMBERS 1 c", "");
    c.check_events("SEXPIREAT s 1 MEMBERS 2 a b", "srem s");
    c.check_events("SADDEX s EX 1000 MEMBERS 1 x", "sadd s, sexpire s");
    c.check_events("SADDEX s PXAT 1 MEMBERS 3 c d x", "srem s, del s");
    c.run("SADD s a b; SADD d z y; SEXPIRE s 1000 MEMBERS 1 a; SEXPIRE d 1000 MEMBERS 1 y");
    c.check_events("SMOVE s d a", "srem s, sadd d, sexpire d");
    c.run("SADD s y");
    c.check_events("SMOVE s d y", "srem s, spersist d");
}

#[test]
fn dumped_and_restored() {
    let mut c = TestClient::new();
    for n in [3, 300] {
        c.run("FLUSHALL");
        let members: Vec<String> = (0..n).map(|i| format!("member:{i}")).collect();
        c.run(&format!("SADD s {}", members.join(" ")));
        c.run("SEXPIRE s 1000 MEMBERS 2 member:0 member:2");
        let Some(resp::Value::Bulk(bytes)) = c.call(&["DUMP", "s"]) else {
            panic!("a payload")
        };
        c.call(&[&b"RESTORE"[..], b"t", b"0", &bytes]);
        c.check("SCARD t", &n.to_string());
        c.check(
            "STTL t MEMBERS 3 member:0 member:1 member:2",
            "[1000 -1 1000]",
        );
        c.check("SDIFF s t", "[]");
    }
}

/// Members come and go by commands and by time, and every look at the set agrees with a map of member to expiry.
#[test]
fn agrees_with_a_model() {
    let mut seed = 11u64;
    let mut below = |n: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % n
    };
    for limit in ["0", "4", "128"] {
        let mut c = TestClient::with(&[("set-max-listpack-entries", limit)]);
        c.run("DEBUG SET-ACTIVE-EXPIRE 0");
        let mut model: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for _ in 0..700 {
            let m = format!("m{}", below(12));
            let far = 4_000_000_000_000 + below(5);
            match below(8) {
                0..2 => {
                    let new = model
                        .insert(m.clone(), model.get(&m).copied().flatten())
                        .is_none();
                    c.check(&format!("SADD s {m}"), &u8::from(new).to_string());
                }
                2 => {
                    let was = model.remove(&m).is_some();
                    c.check(&format!("SREM s {m}"), &u8::from(was).to_string());
                }
                3 => {
                    model.insert(m.clone(), Some(far));
                    c.check(&format!("SADDEX s PXAT {far} MEMBERS 1 {m}"), "1");
                }
                4 => {
                    let reply = match model.get_mut(&m) {
                        None => -2,
                        Some(due) => {
                            *due = Some(far);
                            1
                        }
                    };
                    c.check(
                        &format!("SPEXPIREAT s {far} MEMBERS 1 {m}"),
                        &format!("[{reply}]"),
                    );
                }
                5 => {
                    let reply = match model.get_mut(&m) {
                        None => -2,
                        Some(due) => due.take().map_or(-1, |_| 1),
                    };
                    c.check(&format!("SPERSIST s MEMBERS 1 {m}"), &format!("[{reply}]"));
                }
                6 => {
                    let reply = if model.remove(&m).is_some() { 2 } else { -2 };
                    c.check(
                        &format!("SPEXPIREAT s 1 MEMBERS 1 {m}"),
                        &format!("[{reply}]"),
                    );
                }
                _ => {
                    let due = model
                        .get(&m)
                        .map_or(-2, |due| due.map_or(-1, |at| at as i64));
                    c.check(
                        &format!("SPEXPIRETIME s MEMBERS 1 {m}"),
                        &format!("[{due}]"),
                    );
                }
            }
            c.check("SCARD s", &model.len().to_string());
            c.check(
                &format!("SISMEMBER s {m}"),
                &u8::from(model.contains_key(&m)).to_string(),
            );
        }
    }
}

/// What is over is nowhere seen, before anybody has removed it.
#[test]
fn what_has_expired_is_not_seen() {
    let mut c = TestClient::new();
    c.run("DEBUG SET-ACTIVE-EXPIRE 0; SADD o e x y");
    let fill = |c: &mut TestClient| {
        c.run("DEL s; SADD s e x");
        c.run("SPEXPIRE s 1 MEMBERS 1 e");
        while c.run("STTL s MEMBERS 1 e") != "[-2]" {
            std::thread::yield_now();
        }
    };
    for (line, reply) in [
        ("SMEMBERS s", "[\"x\"]"),
        ("SISMEMBER s e", "0"),
        ("SMISMEMBER s e x", "[0 1]"),
        ("SRANDMEMBER s 5", "[\"x\"]"),
        ("SINTER s o", "[\"x\"]"),
        ("SDIFF o s", "[\"e\" \"y\"]"),
        ("SDIFFCARD 2 o s", "2"),
        ("SSCAN s 0", "[\"0\" [\"x\"]]"),
        ("SORT s ALPHA", "[\"x\"]"),
        ("ZUNION 1 s", "[\"x\"]"),
        ("SADD s e", "1"),
        ("SPERSIST s MEMBERS 1 e", "[-2]"),
        ("SMOVE s o e", "0"),
        ("SADDEX s MXX MEMBERS 2 e x", "0"),
        ("SPOP s", "\"x\""),
        ("SUNIONSTORE d s", "1"),
    ] {
        fill(&mut c);
        c.check(line, reply);
    }
    fill(&mut c);
    c.check_events("SADD s y", "sexpired s, sadd s");
    fill(&mut c);
    c.check("SPOP s 5; EXISTS s", "0");
}

/// As for hashes: a write removes the members that it is about, and so many others as take no time to speak of.
#[test]
fn a_write_removes_few_of_very_many_that_have_expired() {
    let (n, mut c) = (10 * EXPIRED_AT_ONCE, TestClient::new());
    c.run("DEBUG SET-ACTIVE-EXPIRE 0; SADD s kept");
    for command in ["SADD s", "SPEXPIRE s 700 MEMBERS 500"] {
        for i in (0..n).step_by(500) {
            let names: String = (i..i + 500).map(|i| format!(" m{i}")).collect();
            c.run(&format!("{command}{names}"));
        }
    }
    while c.run(&format!("STTL s MEMBERS 1 m{}", n - 1)) != "[-2]" {
        std::thread::yield_now();
    }
    c.check_events("SADD s m1", "sexpired s, sadd s");
    c.check("SREM s m2", "0");
    c.check("SMOVE s other m3", "0");
    c.check("SADDEX s MNX MEMBERS 1 m4", "1");
    c.check("SPERSIST s MEMBERS 1 m5", "[-2]");
    c.check("SPEXPIRE s 100 MEMBERS 1 m6", "[-2]");
    c.check("SADD other m7; SMOVE other s m7", "1");
    c.check("STTL s MEMBERS 3 m1 m4 m7", "[-1 -1 -1]");
    let left: usize = c.run("SCARD s").parse().unwrap();
    assert!(
        left > n - 7 * (EXPIRED_AT_ONCE + 2),
        "{left} of {n} are left"
    );
    let shown = ["kept", "m1", "m4", "m7"].map(|m| format!("{m:?}"));
    for (line, all) in [
        ("SMEMBERS s", true),
        ("SRANDMEMBER s 9", true),
        ("SRANDMEMBER s -200", true),
        ("SRANDMEMBER s 1", false),
        ("SPOP s", false),
    ] {
        let reply = c.run(line);
        let mut names: Vec<&str> = reply.trim_matches(['[', ']']).split(' ').collect();
        names.sort();
        names.dedup();
        assert!(
            names.iter().all(|name| shown.contains(&(*name).into())),
            "{line}: {names:?}"
        );
        assert_eq!(names.len(), if all { 4 } else { 1 }, "{line}");
    }
    // Who picks among them has removed all others.
    c.check("SCARD s", "3");
}

/// On a replica that clients write to they are unseen when their time has come, like fields of hashes; a later change of the set by a
/// client removes them.
#[test]
fn on_a_replica_members_go_later() {
    let mut db = TestClient::new();
    db.run("SADD s a b c; SADD last a");
    db.engine.standing.set_replica(true);
    for (line, reply) in [
        ("SPEXPIREAT s 1000 MEMBERS 2 a none", "[1 -2]"),
        ("SPEXPIREAT last 1000 MEMBERS 1 a", "[1]"),
        ("SMEMBERS s", r#"["b" "c"]"#),
        ("SISMEMBER s a", "0"),
        ("EXISTS last", "1"),
        ("SMEMBERS last", "[]"),
        ("SADDEX s PXAT 1000 MEMBERS 1 d", "1"),
        ("SMISMEMBER s a d", "[0 0]"),
        ("SADD s a", "1"),
        ("SISMEMBER s a", "1"),
    ] {
        db.check(line, reply);
    }
    db.engine.standing.set_replica(false);
    db.check("SPEXPIREAT s 1000 MEMBERS 1 a", "[2]");
}
