//! Tests of the hash commands: replies as Redis 8.2.3 gives them.

use crate::testing::{TestClient, check, check3, run};
use std::collections::BTreeMap;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn setting_and_getting() {
    check("HSET h a 1 b 2 a 3", "2");
    check("HSET h a 1; HSET h a 2 b 3", "1");
    check("HSET h a 1; HGET h a", r#""1""#);
    check("HSET h a 12345678; HGET h a", r#""12345678""#);
    check("HSET h a 1; HGET h b", "nil");
    check("HSET h '' ''; HGETALL h", r#"["" ""]"#);
    check(
        "HSET h a 1 b",
        "-ERR wrong number of arguments for 'hset' command",
    );
    check(
        "HMSET h a 1 b",
        "-ERR wrong number of arguments for 'hmset' command",
    );
    check("HMSET h a 1; HMGET h b a", r#"[nil "1"]"#);
    check("HMGET h b a", "[nil nil]");
    check("HSETNX h a 1; HSETNX h a 2; HGET h a", r#""1""#);
    check("HSETNX h a 1", "1");
    check("HSET h a 1; HSETNX h a 2", "0");
    check("HSET h a hello n 1234567; HSTRLEN h n", "7");
    check("HSET h a hello; HSTRLEN h b", "0");
    check("HSET h a 1; HEXISTS h a", "1");
    check("HEXISTS h a", "0");
    check("HSET h a 1 b 2; HLEN h", "2");
    check("HLEN h", "0");
    check("HSET h a 1 b 2; HKEYS h", r#"["a" "b"]"#);
    check("HSET h a 1 b 2; HVALS h", r#"["1" "2"]"#);
    check3("HSET h a 1 b 2; HGETALL h", r#"{"a": "1" "b": "2"}"#);
    check3("HGETALL h", "{}");
    check("HGETALL h", "[]");
    for command in [
        "HSET s a 1",
        "HGET s a",
        "HLEN s",
        "HGETALL s",
        "HDEL s a",
        "HSETNX s a 1",
        "HINCRBY s a 1",
    ] {
        check(&format!("SET s x; {command}"), WRONG_TYPE);
    }
    check(
        "SET s x; HSET s a 1 b",
        "-ERR wrong number of arguments for 'hset' command",
    );
}

#[test]
fn the_key_goes_with_its_last_field() {
    check("HSET h a 1 b 2; HDEL h a zz a", "1");
    check("HSET h a 1 b 2; HDEL h a b; EXISTS h", "0");
    check("HDEL h a", "0");
    check("HSET h a 1; HGETDEL h FIELDS 1 a; EXISTS h", "0");
    check("HSET h a 1; HEXPIRE h 0 FIELDS 1 a; EXISTS h", "0");
    check("HINCRBY h a x; EXISTS h", "0");
}

#[test]
fn numbers() {
    check("HINCRBY h a 5; HINCRBY h a -7", "-2");
    check(
        "HSET h a 9223372036854775807; HINCRBY h a 1",
        "-ERR increment or decrement would overflow",
    );
    check(
        "HSET h a x; HINCRBY h a 1",
        "-ERR hash value is not an integer",
    );
    check(
        "HSET h a ' 1'; HINCRBY h a 1",
        "-ERR hash value is not an integer",
    );
    check(
        "HINCRBY h a 007",
        "-ERR value is not an integer or out of range",
    );
    check(
        "SET s x; HINCRBY s a x",
        "-ERR value is not an integer or out of range",
    );
    check(
        "HINCRBYFLOAT h a 3.0e3; HINCRBYFLOAT h a -0.1",
        r#""2999.89999999999999991""#,
    );
    check("HINCRBYFLOAT h a x", "-ERR value is not a valid float");
    check("HINCRBYFLOAT h a inf", "-ERR value is NaN or Infinity");
    check(
        "HSET h a inf; HINCRBYFLOAT h a 1",
        "-ERR increment would produce NaN or Infinity",
    );
    check(
        "HSET h a nan; HINCRBYFLOAT h a 1",
        "-ERR hash value is not a float",
    );
    check("HSET h a 0x10; HINCRBYFLOAT h a 1", r#""17""#);
    check(
        "HSET h a 10; HEXPIRE h 100 FIELDS 1 a; HINCRBY h a 1; HTTL h FIELDS 1 a",
        "[100]",
    );
    check(
        "HSET h a 10; HEXPIRE h 100 FIELDS 1 a; HINCRBYFLOAT h a 1; HTTL h FIELDS 1 a",
        "[100]",
    );
}

#[test]
fn encodings_follow_the_settings() {
    let mut c = TestClient::with(&[
        ("hash-max-listpack-entries", "3"),
        ("hash-max-ziplist-value", "5"),
    ]);
    c.check("HSET h a 1 b 2 c 3; OBJECT ENCODING h", r#""listpack""#);
    c.check("HSET h d 4; OBJECT ENCODING h", r#""hashtable""#);
    c.check("HDEL h a b c; OBJECT ENCODING h", r#""hashtable""#);
    c.check("HSET v a 12345; OBJECT ENCODING v", r#""listpack""#);
    c.check("HSET v a 123456; OBJECT ENCODING v", r#""hashtable""#);
    c.check("HSET f abcdef 1; OBJECT ENCODING f", r#""hashtable""#);
    c.check(
        "HSET twice a 1 a 2 a 3 a 4; OBJECT ENCODING twice",
        r#""hashtable""#,
    );
    c.check("HINCRBY n a 123456; OBJECT ENCODING n", r#""hashtable""#);
    c.check(
        "HSET t a 1; HEXPIRE t 100 FIELDS 1 a; OBJECT ENCODING t",
        r#""listpackex""#,
    );
    c.check(
        "HPERSIST t FIELDS 1 a; OBJECT ENCODING t",
        r#""listpackex""#,
    );
    c.check("HSET t b 2 c 3 d 4; OBJECT ENCODING t", r#""hashtable""#);
    c.check(
        "CONFIG SET hash-max-listpack-entries 0; HSET z a 1; OBJECT ENCODING z",
        r#""hashtable""#,
    );
    c.check(
        "CONFIG GET hash-max-ziplist-entries",
        r#"["hash-max-ziplist-entries" "0"]"#,
    );
}

#[test]
fn scanning() {
    check("HSET h a 1 b 2; HSCAN h 0", r#"["0" ["a" "1" "b" "2"]]"#);
    check3("HSET h a 1 b 2; HSCAN h 0", r#"["0" ["a" "1" "b" "2"]]"#);
    check(
        "HSET h a 1 b 2; HSCAN h 0 MATCH b* NOVALUES COUNT 7",
        r#"["0" ["b"]]"#,
    );
    check("HSCAN h 0 COUNT x", r#"["0" []]"#);
    check("HSCAN h x", "-ERR invalid cursor");
    check("SET s x; HSCAN s 0 COUNT x", WRONG_TYPE);
    check("HSET h a 1; HSCAN h 0 COUNT 0", "-ERR syntax error");
    check(
        "HSET h a 1; HSCAN h 0 COUNT x",
        "-ERR value is not an integer or out of range",
    );
    check("HSET h a 1; HSCAN h 0 TYPE hash", "-ERR syntax error");
    check(
        "HSET h a 1; HSCAN h 18446744073709551615",
        r#"["0" ["a" "1"]]"#,
    );

    // A large one in steps, each field once.
    let mut c = TestClient::with(&[("hash-max-listpack-entries", "0")]);
    for i in 0..1000 {
        c.check(&format!("HSET h f{i} {i}"), "1");
    }
    let (mut cursor, mut seen, mut steps) = ("0".to_owned(), BTreeMap::new(), 0);
    loop {
        let reply = c.run(&format!("HSCAN h {cursor} COUNT 20 NOVALUES"));
        let words: Vec<&str> = reply
            .split(['[', ']', ' ', '"'])
            .filter(|w| !w.is_empty())
            .collect();
        cursor = words[0].to_owned();
        for name in &words[1..] {
            *seen.entry((*name).to_owned()).or_insert(0) += 1;
        }
        steps += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!(seen.len() == 1000 && seen.values().all(|&n| n == 1));
    assert!((10..=60).contains(&steps), "{steps} steps");
}

#[test]
fn random_fields() {
    check("HRANDFIELD h", "nil");
    check("HRANDFIELD h 1", "[]");
    check("HSET h a 1; HRANDFIELD h", r#""a""#);
    check(
        "HSET h a 1; HRANDFIELD h -3 WITHVALUES",
        r#"["a" "1" "a" "1" "a" "1"]"#,
    );
    check3(
        "HSET h a 1; HRANDFIELD h -2 WITHVALUES",
        r#"[["a" "1"] ["a" "1"]]"#,
    );
    check(
        "HSET h a 1 b 2; HRANDFIELD h 5 WITHVALUES",
        r#"["a" "1" "b" "2"]"#,
    );
    check("HSET h a 1; HRANDFIELD h 0", "[]");
    check(
        "HRANDFIELD h x",
        "-ERR value is not an integer or out of range",
    );
    check("HRANDFIELD h 1 foo", "-ERR syntax error");
    check("HRANDFIELD h 1 WITHVALUES foo", "-ERR syntax error");
    check(
        "HSET h a 1; HRANDFIELD h 4611686018427387904 WITHVALUES",
        "-ERR value is out of range",
    );
    check(
        "HRANDFIELD h -9223372036854775808",
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    check(
        "SET s x; HRANDFIELD s x",
        "-ERR value is not an integer or out of range",
    );
    check("SET s x; HRANDFIELD s 1", WRONG_TYPE);
}

/// Every way of drawing, from small and large hashes: chi-squared over the fields.
#[test]
fn random_fields_are_uniform() {
    for (entries, fields) in [("512", 20), ("0", 20), ("0", 300)] {
        let mut c = TestClient::with(&[("hash-max-listpack-entries", entries)]);
        for i in 0..fields {
            c.check(&format!("HSET h f{i} v"), "1");
        }
        for (command, draws, each) in [
            ("HRANDFIELD h".to_owned(), 40 * fields, 1),
            (format!("HRANDFIELD h -{}", 40 * fields), 1, 40 * fields),
            ("HRANDFIELD h 3".to_owned(), 14 * fields, 3),
            (format!("HRANDFIELD h {}", fields / 2), 80, fields / 2),
        ] {
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            for _ in 0..draws {
                let reply = c.run(&command);
                for name in reply.split(['[', ']', ' ', '"']).filter(|w| !w.is_empty()) {
                    *counts.entry(name.to_owned()).or_default() += 1;
                }
            }
            let total: u32 = counts.values().sum();
            assert_eq!(total, draws * each, "{command}");
            let expected = f64::from(total) / f64::from(fields);
            let chi: f64 = counts
                .values()
                .map(|&n| (f64::from(n) - expected).powi(2) / expected)
                .sum();
            let degrees = f64::from(fields - 1);
            assert!(counts.len() as u32 == fields, "{command} of {fields}");
            assert!(
                chi < degrees + 7.0 * (2.0 * degrees).sqrt(),
                "{command} of {fields}: chi {chi}"
            );
        }
    }
}

#[test]
fn copies_are_independent() {
    for entries in ["512", "0"] {
        let mut c = TestClient::with(&[("hash-max-listpack-entries", entries)]);
        c.check(
            "HSET h a 1 b 2; HEXPIRE h 100 FIELDS 1 a; COPY h c; HDEL h b; HGET c b",
            r#""2""#,
        );
        c.check("HTTL c FIELDS 2 a b", "[100 -1]");
        c.check("RENAME c d; HGET d a", r#""1""#);
    }
    assert_eq!(run("HSET h a 1; DEL h; HLEN h"), "0");
}
