//! Sorted-set commands as clients see them. The differential tests compare far more with the real servers; these say what
//! matters and keep what is not random.

use crate::testing::{TestClient, check, check3};
use resp::Value;
use std::collections::{BTreeMap, BTreeSet};

const ABC: &str = "ZADD z 1 a 2 b 3 c; ";

fn abc(line: &str, expected: &str) {
    check(&format!("{ABC}{line}"), expected);
}

fn abc3(line: &str, expected: &str) {
    check3(&format!("{ABC}{line}"), expected);
}

/// A client whose sorted sets are never packed.
fn large() -> TestClient {
    TestClient::with(&[("zset-max-listpack-entries", "0")])
}

#[test]
fn zadd_and_its_options() {
    abc("ZADD z 1 a 5 b 9 d", "1");
    abc("ZADD z CH 1 a 5 b 9 d", "2");
    abc(
        "ZADD z NX 7 a 7 d; ZRANGE z 0 -1 WITHSCORES",
        r#"["a" "1" "b" "2" "c" "3" "d" "7"]"#,
    );
    abc(
        "ZADD z XX CH 7 a 7 d; ZRANGE z 0 -1 WITHSCORES",
        r#"["b" "2" "c" "3" "a" "7"]"#,
    );
    abc("ZADD z GT CH 0 a 5 b", "1");
    abc("ZADD z LT CH 0 a 5 b", "1");
    abc("ZADD z INCR 2.5 a", r#""3.5""#);
    abc3("ZADD z INCR 2.5 a", ",3.5");
    abc("ZADD z NX INCR 1 a", "nil");
    abc("ZADD z GT INCR -1 a", "nil");
    check("ZADD none XX INCR 1 a", "nil");
    check("ZADD none XX 1 a; EXISTS none", "0");
    abc(
        "ZADD z inf a; ZINCRBY z -inf a",
        "-ERR resulting score is not a number (NaN)",
    );
    abc(
        "ZADD z NX XX 1 a",
        "-ERR XX and NX options at the same time are not compatible",
    );
    abc(
        "ZADD z GT LT 1 a",
        "-ERR GT, LT, and/or NX options at the same time are not compatible",
    );
    abc(
        "ZADD z INCR 1 a 2 b",
        "-ERR INCR option supports a single increment-element pair",
    );
    abc("ZADD z 1 a 2", "-ERR syntax error");
    // Nothing is done if any score is wrong.
    abc("ZADD z 9 new x bad; ZCARD z", "3");
    check(
        "SET z v; ZADD z 1 a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn ranks_scores_and_removal() {
    abc("ZRANK z c", "2");
    abc("ZREVRANK z c WITHSCORE", r#"[0 "3"]"#);
    abc3("ZRANK z b WITHSCORE", "[1 ,2]");
    abc("ZRANK z nobody WITHSCORE", "nil");
    abc(
        "ZRANK z a WITHSCORE more",
        "-ERR wrong number of arguments for 'zrank' command",
    );
    abc("ZMSCORE z a nobody c", r#"["1" nil "3"]"#);
    check("ZMSCORE none a b", "[nil nil]");
    abc("ZREM z a nobody c", "2");
    abc("ZREM z a b c; EXISTS z", "0");
    abc("ZINCRBY z -0.5 c", r#""2.5""#);
    for setting in ["128", "0"] {
        let mut db = TestClient::with(&[("zset-max-listpack-entries", setting)]);
        db.run("ZADD z 0 b 0 a 0 c -0 d 1e300 e -inf f");
        db.check("ZRANGE z 0 -1", r#"["f" "a" "b" "c" "d" "e"]"#);
        db.check("ZRANK z d", "4");
    }
}

#[test]
fn pops() {
    abc("ZPOPMIN z", r#"["a" "1"]"#);
    abc("ZPOPMAX z 2", r#"["c" "3" "b" "2"]"#);
    abc("ZPOPMAX z 9; EXISTS z", "0");
    abc3("ZPOPMIN z", r#"["a" ,1]"#);
    abc3("ZPOPMIN z 1", r#"[["a" ,1]]"#);
    abc("ZPOPMIN z 0", "[]");
    check("ZPOPMIN none 3", "[]");
    abc(
        "ZPOPMIN z -1",
        "-ERR value is out of range, must be positive",
    );
    abc(
        "ZMPOP 2 none z MAX COUNT 2",
        r#"["z" [["c" "3"] ["b" "2"]]]"#,
    );
    abc("ZMPOP 1 none MIN", "nil");
    abc("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0");
    abc("ZMPOP 2 z MIN", "-ERR syntax error");
    abc(
        "ZMPOP 1 z MIN COUNT 0",
        "-ERR count should be greater than 0",
    );
    abc("ZMPOP 9223372036854775807 z MIN", "-ERR syntax error");
}

#[test]
fn ranges() {
    abc("ZRANGE z 0 -2", r#"["a" "b"]"#);
    abc("ZRANGE z 0 -2 REV WITHSCORES", r#"["c" "3" "b" "2"]"#);
    abc3("ZRANGE z 1 1 WITHSCORES", r#"[["b" ,2]]"#);
    abc("ZRANGE z (1 +inf BYSCORE LIMIT 1 5", r#"["c"]"#);
    abc("ZRANGE z +inf (1 BYSCORE REV LIMIT 1 5", r#"["b"]"#);
    abc("ZREVRANGEBYSCORE z 3 1 LIMIT 0 2", r#"["c" "b"]"#);
    abc("ZRANGEBYSCORE z 1 3 LIMIT -1 2", "[]");
    abc("ZRANGEBYLEX z [b +", r#"["b" "c"]"#);
    abc("ZREVRANGEBYLEX z (c -", r#"["b" "a"]"#);
    abc("ZLEXCOUNT z - (c", "2");
    abc("ZCOUNT z (1 3", "2");
    abc("ZCOUNT z 3 1", "0");
    abc("ZCOUNT z x 1", "-ERR min or max is not a float");
    abc(
        "ZLEXCOUNT z a +",
        "-ERR min or max not valid string range item",
    );
    abc(
        "ZRANGE z 0 1 LIMIT 0 1",
        "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
    );
    abc(
        "ZRANGEBYLEX z - + WITHSCORES",
        "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
    );
    abc(
        "ZRANGESTORE d z 1 2; ZRANGE d 0 -1 WITHSCORES",
        r#"["b" "2" "c" "3"]"#,
    );
    abc(
        "ZRANGESTORE z z (1 3 BYSCORE LIMIT 0 1; ZRANGE z 0 -1",
        r#"["b"]"#,
    );
    abc("ZRANGESTORE z none 0 -1; EXISTS z", "0");
    abc("ZREMRANGEBYRANK z 0 -2; ZRANGE z 0 -1", r#"["c"]"#);
    abc("ZREMRANGEBYSCORE z (1 inf; ZRANGE z 0 -1", r#"["a"]"#);
    abc("ZREMRANGEBYLEX z - +; EXISTS z", "0");
}

#[test]
fn set_algebra() {
    const TWO: &str = "ZADD x 1 a 2 b 3 c; ZADD y 10 b 20 c 30 d; SADD s a d; ";
    let two = |line: &str, expected: &str| check(&format!("{TWO}{line}"), expected);
    two(
        "ZUNION 2 x y WITHSCORES",
        r#"["a" "1" "b" "12" "c" "23" "d" "30"]"#,
    );
    two(
        "ZUNION 2 x y WEIGHTS 2 -1 AGGREGATE MIN WITHSCORES",
        r#"["d" "-30" "c" "-20" "b" "-10" "a" "2"]"#,
    );
    two("ZINTER 3 x y none", "[]");
    two("ZINTER 2 x s WITHSCORES", r#"["a" "2"]"#);
    two("ZDIFF 2 x y WITHSCORES", r#"["a" "1"]"#);
    two("ZDIFF 2 s x WITHSCORES", r#"["d" "1"]"#);
    two("ZINTERCARD 2 x y", "2");
    two("ZINTERCARD 2 x y LIMIT 1", "1");
    two(
        "ZUNIONSTORE x 3 x y s; ZRANGE x 0 -1 WITHSCORES",
        r#"["a" "2" "b" "12" "c" "23" "d" "31"]"#,
    );
    two("ZINTERSTORE d 2 x none; EXISTS d", "0");
    two("SET d v; ZDIFFSTORE d 1 x; ZCARD d", "3");
    // Infinities that cancel out are zero.
    check(
        "ZADD a inf m; ZADD b -inf m; ZUNION 2 a b WITHSCORES",
        r#"["m" "0"]"#,
    );
    check(
        "ZADD a inf m; ZUNION 1 a WEIGHTS 0 WITHSCORES",
        r#"["m" "0"]"#,
    );
    two(
        "ZUNION 0 x",
        "-ERR at least 1 input key is needed for 'zunion' command",
    );
    two("ZUNION 3 x y", "-ERR syntax error");
    two(
        "ZUNION 2 x y WEIGHTS 1 z",
        "-ERR weight value is not a float",
    );
    two("ZDIFF 1 x WEIGHTS 1", "-ERR syntax error");
    two("ZINTERCARD 1 x LIMIT -1", "-ERR LIMIT can't be negative");
    // The keys' types are looked at before the options.
    two(
        "SET v 1; ZUNION 2 x v nonsense",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn encodings_follow_the_settings() {
    let mut db = TestClient::new();
    db.run("CONFIG SET zset-max-listpack-entries 3 zset-max-listpack-value 5");
    db.check("ZADD z 1 a 2 b 3 c; OBJECT ENCODING z", r#""listpack""#);
    db.check("ZADD z 4 d; OBJECT ENCODING z", r#""skiplist""#);
    db.check("ZADD y 1 123456; OBJECT ENCODING y", r#""skiplist""#);
    db.check("ZADD x 1 a 1 a 1 a 1 a; OBJECT ENCODING x", r#""skiplist""#);
    db.check("ZUNIONSTORE u 1 x; OBJECT ENCODING u", r#""listpack""#);
    db.check(
        "ZADD w 1 a; ZADD w XX 1 123456; OBJECT ENCODING w",
        r#""listpack""#,
    );
    db.check(
        "CONFIG GET zset-max-ziplist-value",
        r#"["zset-max-ziplist-value" "5"]"#,
    );
}

#[test]
fn scanning_meets_everything() {
    let mut db = large();
    let mut want = BTreeSet::new();
    for n in 0..5000 {
        db.run(&format!("ZADD z {n} m{n}"));
        want.insert(format!("m{n}").into_bytes());
    }
    let (mut cursor, mut seen, mut calls) = (b"0".to_vec(), BTreeSet::new(), 0);
    loop {
        let Some(Value::Array(reply)) = db.call(&[b"ZSCAN", &b"z"[..], &cursor, b"COUNT", b"100"])
        else {
            panic!("no array");
        };
        let [Value::Bulk(next), Value::Array(pairs)] = &reply[..] else {
            panic!("no scan reply")
        };
        for pair in pairs.chunks_exact(2) {
            let Value::Bulk(member) = &pair[0] else {
                panic!("no member")
            };
            seen.insert(member.clone());
        }
        // Of the members that come and go meanwhile any may be missing, of the others none.
        db.run(&format!("ZADD z 1 new{calls}; ZREM z new{}", calls / 2));
        calls += 1;
        cursor = next.clone();
        if cursor == b"0" {
            break;
        }
    }
    assert!(want.is_subset(&seen));
    assert!((40..100).contains(&calls), "{calls} calls");
    db.check(
        "ZADD y 0.1 a; ZSCAN y 0",
        r#"["0" ["a" "0.10000000000000001"]]"#,
    );
    db.check(
        "ZADD y 1e-7 a; ZSCAN y 0",
        r#"["0" ["a" "9.9999999999999995e-08"]]"#,
    );
    db.check("ZADD y 1e17 a; ZSCAN y 0", r#"["0" ["a" "1e+17"]]"#);
    db.check(
        "ZADD y 12345678901234567 a; ZSCAN y 0",
        r#"["0" ["a" "12345678901234568"]]"#,
    );
    db.check("ZSCAN y 0 NOSCORES", r#"["0" ["a"]]"#);
    check(
        "ZADD y 0.1 a; ZSCAN y 0 MATCH [ab] COUNT 5",
        r#"["0" ["a" "0.1"]]"#,
    );
    check("ZSCAN none 0 nonsense", r#"["0" []]"#);
}

/// Every member, and with a count every set of members, is drawn about as often as any other: chi-squared below what is
/// exceeded once in a million times.
#[test]
fn random_members_are_uniform() {
    for mut db in [large(), TestClient::new()] {
        for n in 0..20 {
            db.run(&format!("ZADD z {n} m{n}"));
        }
        for (command, draws) in [
            ("ZRANDMEMBER z", 1),
            ("ZRANDMEMBER z 5", 5),
            ("ZRANDMEMBER z -5", 5),
        ] {
            let mut counts = BTreeMap::new();
            let rounds = 4000;
            for _ in 0..rounds {
                let members = db.run(command);
                let list: Vec<String> = members
                    .trim_matches(['[', ']'])
                    .split(' ')
                    .map(Into::into)
                    .collect();
                assert_eq!(list.len(), draws);
                if command == "ZRANDMEMBER z 5" {
                    assert_eq!(
                        list.iter().collect::<BTreeSet<_>>().len(),
                        5,
                        "each only once"
                    );
                }
                for member in list {
                    *counts.entry(member).or_insert(0u32) += 1;
                }
            }
            let expected = f64::from(rounds * draws as u32) / 20.0;
            let deviation: f64 = counts
                .values()
                .map(|&n| (f64::from(n) - expected).powi(2) / expected)
                .sum();
            assert_eq!(counts.len(), 20);
            assert!(deviation < 65.0, "{command}: {deviation}");
        }
    }
    abc3(
        "ZRANDMEMBER z 9 WITHSCORES",
        r#"[["a" ,1] ["b" ,2] ["c" ,3]]"#,
    );
    abc("ZRANDMEMBER z 0", "[]");
    check("ZRANDMEMBER none", "nil");
    check("ZRANDMEMBER none -5", "[]");
    abc(
        "ZRANDMEMBER z -9223372036854775807 WITHSCORES",
        "-ERR value is out of range",
    );
}

#[test]
fn copies_stand_on_their_own() {
    let mut db = large();
    for n in 0..500 {
        db.run(&format!("ZADD z {n} m{n}"));
    }
    db.check("COPY z copy; ZREMRANGEBYRANK z 0 -1; ZCARD copy", "500");
    db.check("ZSCORE copy m499", r#""499""#);
    db.check("ZRANK copy m250", "250");
}
