//! An operation is written once: a typed call and the command it stands for leave the same data, announce the same events, fail
//! with the same error, and are written down so that, done again, they give the same data.

use redpoll::door;
use redpoll::{
    Compare, Config, Db, End, Error, ExpireIf, Extreme, IncrEx, LMoveM, MSetEx, Result, SAddEx,
    SetOptions, Subscriber, Value,
};
use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);

type Typed = fn(&Db) -> Result<String>;

/// What is there before, the command, and the typed call.
type Case = (&'static str, &'static str, Typed);

fn text<T: Display>(result: Result<T>) -> Result<String> {
    result.map(|value| value.to_string())
}

fn flag(result: Result<bool>) -> Result<String> {
    text(result.map(i32::from))
}

fn found(result: Result<Option<redpoll::Bytes>>) -> Result<String> {
    result.map(|found| found.map_or("nil".into(), |bytes| bytes.to_string_lossy()))
}

fn done(result: Result) -> Result<String> {
    result.map(|()| "OK".into())
}

/// SET answers nothing where it does not store.
fn stored(result: Result<bool>) -> Result<String> {
    result.map(|stored| if stored { "OK" } else { "nil" }.into())
}

fn list(result: Result<Vec<redpoll::Bytes>>) -> Result<String> {
    let show = |all: Vec<redpoll::Bytes>| {
        let all: Vec<_> = all.into_iter().map(|b| Value::Bulk(b.to_vec())).collect();
        format!("{:?}", Value::Array(all))
    };
    result.map(show)
}

/// What moves nothing is answered with null.
fn pairs(result: Result<Vec<(redpoll::Bytes, f64)>>) -> Result<String> {
    let pair = |(member, score): (redpoll::Bytes, f64)| {
        Value::Array(vec![Value::Bulk(member.to_vec()), Value::Double(score)])
    };
    result.map(|all| match all.is_empty() {
        true => "nil".into(),
        false => format!("{:?}", Value::Array(all.into_iter().map(pair).collect())),
    })
}

fn both(result: Result<(i64, i64)>) -> Result<String> {
    result.map(|(a, b)| format!("{:?}", Value::Array(vec![Value::Int(a), Value::Int(b)])))
}

fn past() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(5)
}

fn set() -> SetOptions {
    SetOptions::new()
}

const CASES: &[Case] = &[
    ("", "SET k v", |db| done(db.set("k", "v"))),
    ("RPUSH k a", "SET k 12", |db| done(db.set("k", 12))),
    ("SET k v EX 9", "SET k w", |db| done(db.set("k", "w"))),
    ("", "SET k v PX 3600000", |db| {
        done(db.set_for("k", "v", HOUR))
    }),
    ("", "SET k v PX 0", |db| {
        done(db.set_for("k", "v", Duration::ZERO))
    }),
    ("", "SET k v NX", |db| {
        stored(db.set_with("k", "v", &set().if_absent()))
    }),
    ("RPUSH k a", "SET k v NX", |db| {
        stored(db.set_with("k", "v", &set().if_absent()))
    }),
    ("RPUSH k a", "SET k v XX", |db| {
        stored(db.set_with("k", "v", &set().if_present()))
    }),
    ("", "SET k v XX", |db| {
        stored(db.set_with("k", "v", &set().if_present()))
    }),
    ("SET k u", "SET k v IFEQ u", |db| {
        stored(db.set_with("k", "v", &set().if_equal("u")))
    }),
    ("SET k u", "SET k v IFEQ x", |db| {
        stored(db.set_with("k", "v", &set().if_equal("x")))
    }),
    ("RPUSH k a", "SET k v IFEQ x", |db| {
        stored(db.set_with("k", "v", &set().if_equal("x")))
    }),
    ("SET k u EX 5000", "SET k v KEEPTTL", |db| {
        stored(db.set_with("k", "v", &set().keep_expiry()))
    }),
    ("SET k u EX 5000", "SET k v PXAT 5", |db| {
        stored(db.set_with("k", "v", &set().expire_at(past())))
    }),
    ("SET k 7", "SET k v GET PX 3600000", |db| {
        found(db.set_with_get("k", "v", &set().expire_in(HOUR)))
    }),
    ("RPUSH k a", "SET k v GET", |db| {
        found(db.set_with_get("k", "v", &set()))
    }),
    ("", "SETNX k v", |db| flag(db.setnx("k", "v"))),
    ("SET k u", "SETNX k v", |db| flag(db.setnx("k", "v"))),
    ("SET k u", "GETSET k v", |db| found(db.getset("k", "v"))),
    ("", "GETSET k v", |db| found(db.getset("k", "v"))),
    ("RPUSH k a", "GETSET k v", |db| found(db.getset("k", "v"))),
    ("SET k u", "GETDEL k", |db| found(db.getdel("k"))),
    ("", "GETDEL k", |db| found(db.getdel("k"))),
    ("SADD k a", "GETDEL k", |db| found(db.getdel("k"))),
    ("SET k u EX 9", "GETEX k PERSIST", |db| {
        found(db.getex("k", None))
    }),
    ("SET k u", "GETEX k PERSIST", |db| {
        found(db.getex("k", None))
    }),
    ("SET k u", "GETEX k PX 3600000", |db| {
        found(db.getex("k", Some(HOUR)))
    }),
    ("", "GETEX k PX 3600000", |db| {
        found(db.getex("k", Some(HOUR)))
    }),
    ("SADD k a", "GETEX k PERSIST", |db| {
        found(db.getex("k", None))
    }),
    ("", "INCR k", |db| text(db.incr("k"))),
    ("SET k 41 EX 5000", "INCRBY k 1", |db| {
        text(db.incr_by("k", 1))
    }),
    ("SET k 41", "DECRBY k 50", |db| text(db.decr_by("k", 50))),
    ("SET k x", "INCR k", |db| text(db.incr("k"))),
    ("SET k 9223372036854775807", "INCR k", |db| {
        text(db.incr("k"))
    }),
    ("RPUSH k a", "DECR k", |db| text(db.decr("k"))),
    ("SET k 1.5", "INCRBYFLOAT k 0.25", |db| {
        text(db.incr_by_float("k", 0.25))
    }),
    ("", "INCRBYFLOAT k 3", |db| text(db.incr_by_float("k", 3.0))),
    ("SET k x", "INCRBYFLOAT k 3", |db| {
        text(db.incr_by_float("k", 3.0))
    }),
    ("", "APPEND k ab", |db| text(db.append("k", "ab"))),
    ("SET k 12 EX 5000", "APPEND k ab", |db| {
        text(db.append("k", "ab"))
    }),
    ("HSET k f v", "APPEND k ab", |db| text(db.append("k", "ab"))),
    ("", "SETRANGE k 3 ab", |db| text(db.setrange("k", 3, "ab"))),
    ("SET k 12345", "SETRANGE k 3 abc", |db| {
        text(db.setrange("k", 3, "abc"))
    }),
    ("", "SETRANGE k 536870912 a", |db| {
        text(db.setrange("k", 536_870_912, "a"))
    }),
    ("SET k 12345", "GETRANGE k 1 -2", |db| {
        found(db.getrange("k", 1, -2).map(Some))
    }),
    ("SET k 12345", "STRLEN k", |db| text(db.strlen("k"))),
    ("", "SETBIT k 9 1", |db| flag(db.setbit("k", 9, true))),
    ("SET k abc", "SETBIT k 9 1", |db| {
        flag(db.setbit("k", 9, true))
    }),
    ("SADD k a", "SETBIT k 9 1", |db| {
        flag(db.setbit("k", 9, true))
    }),
    ("SET k v", "DEL k", |db| flag(db.del("k"))),
    ("ZADD k 1 a", "UNLINK k", |db| flag(db.del("k"))),
    ("", "DEL k", |db| flag(db.del("k"))),
    ("SET k v", "PEXPIRE k 3600000", |db| {
        flag(db.expire("k", HOUR))
    }),
    ("HSET k f v", "PEXPIRE k 3600000", |db| {
        flag(db.expire("k", HOUR))
    }),
    ("", "PEXPIRE k 3600000", |db| flag(db.expire("k", HOUR))),
    ("HSET k f v", "PEXPIREAT k 5", |db| {
        flag(db.expire_at("k", past()))
    }),
    ("SET k v EX 5", "PEXPIRE k 3600000 NX", |db| {
        flag(db.expire_if("k", HOUR, ExpireIf::None))
    }),
    ("SET k v EX 5", "PEXPIRE k 3600000 XX", |db| {
        flag(db.expire_if("k", HOUR, ExpireIf::Some))
    }),
    ("SET k v EX 5", "PEXPIRE k 3600000 GT", |db| {
        flag(db.expire_if("k", HOUR, ExpireIf::Later))
    }),
    ("SET k v", "PEXPIRE k 3600000 GT", |db| {
        flag(db.expire_if("k", HOUR, ExpireIf::Later))
    }),
    ("SET k v", "PEXPIRE k 3600000 LT", |db| {
        flag(db.expire_if("k", HOUR, ExpireIf::Sooner))
    }),
    ("LPUSH k a|PEXPIRE k 99999", "PERSIST k", |db| {
        flag(db.persist("k"))
    }),
    ("LPUSH k a", "PERSIST k", |db| flag(db.persist("k"))),
    ("", "PERSIST k", |db| flag(db.persist("k"))),
    ("LPUSH k a", "EXISTS k", |db| flag(db.exists("k"))),
    ("SET k v", "RENAME k l", |db| done(db.rename("k", "l"))),
    ("", "RENAME k l", |db| done(db.rename("k", "l"))),
    ("SET k v|SET l w", "RENAMENX k l", |db| {
        flag(db.renamenx("k", "l"))
    }),
    ("LPUSH k a|SET l w", "COPY k l", |db| {
        flag(db.copy("k", "l"))
    }),
    ("", "HSET k f v", |db| flag(db.hset("k", "f", "v"))),
    ("", "RPUSH k a", |db| text(db.rpush("k", "a"))),
    ("SET k v", "SADD k a", |db| flag(db.sadd("k", "a"))),
    ("", "ZADD k 1.5 a", |db| flag(db.zadd("k", "a", 1.5))),
    ("SET k u", "SET k v IFNE x", |db| {
        stored(db.set_with("k", "v", &set().if_different("x")))
    }),
    ("SET k u", "SET k v IFNE u", |db| {
        stored(db.set_with("k", "v", &set().if_different("u")))
    }),
    ("SET k 5", "SET k v IFDEQ 7b2c8c67ab5f4e0d", |db| {
        stored(db.set_with("k", "v", &set().if_digest(0x7b2c_8c67_ab5f_4e0d)))
    }),
    ("RPUSH k a", "SET k v IFDNE 0000000000000001", |db| {
        stored(db.set_with("k", "v", &set().if_different_digest(1)))
    }),
    ("", "SET k v IFDNE 0000000000000001", |db| {
        stored(db.set_with("k", "v", &set().if_different_digest(1)))
    }),
    ("SET k v", "DELEX k IFEQ v", |db| {
        flag(db.delex("k", Compare::Equal(b"v")))
    }),
    ("SET k v", "DELIFEQ k w", |db| flag(db.delifeq("k", "w"))),
    ("SET k 12", "DELEX k IFNE 13", |db| {
        flag(db.delex("k", Compare::Different(b"13")))
    }),
    ("SET k v", "DELEX k IFDEQ 00000000000000ab", |db| {
        flag(db.delex("k", Compare::Digest(0xab)))
    }),
    ("SET k v", "DELEX k IFDNE 00000000000000ab", |db| {
        flag(db.delex("k", Compare::DifferentDigest(0xab)))
    }),
    ("RPUSH k v", "DELIFEQ k v", |db| flag(db.delifeq("k", "v"))),
    ("", "DELEX k IFNE v", |db| {
        flag(db.delex("k", Compare::Different(b"v")))
    }),
    ("SET k 12", "DIGEST k", |db| {
        let digest = db.digest("k");
        digest.map(|d| d.map_or("nil".into(), |d| format!("{d:016x}")))
    }),
    ("RPUSH k a", "DIGEST k", |db| {
        let digest = db.digest("k");
        digest.map(|d| d.map_or("nil".into(), |d| format!("{d:016x}")))
    }),
    ("SET k 4", "MSETEX 2 k 5 l v NX PX 3600000", |db| {
        let options = MSetEx::new().if_all_absent().expire_in(HOUR);
        flag(db.msetex([("k", "5"), ("l", "v")], &options))
    }),
    ("", "MSETEX 2 k 5 l v PX 3600000", |db| {
        let options = MSetEx::new().expire_in(HOUR);
        flag(db.msetex([("k", "5"), ("l", "v")], &options))
    }),
    (
        "SET k 4 EX 5000|SET l 1",
        "MSETEX 2 k 5 l v XX KEEPTTL",
        |db| {
            let options = MSetEx::new().if_all_present().keep_expiry();
            flag(db.msetex([("k", "5"), ("l", "v")], &options))
        },
    ),
    ("SET k 4", "INCREX k BYINT 3 UBOUND 5", |db| {
        both(db.increx("k", 3, &IncrEx::new().at_most(5)))
    }),
    (
        "SET k 4",
        "INCREX k BYINT -9 LBOUND -2 SATURATE PX 3600000",
        |db| {
            let options = IncrEx::new().at_least(-2).saturate().expire_in(HOUR);
            both(db.increx("k", -9, &options))
        },
    ),
    ("SET k 4 EX 5000", "INCREX k BYINT 1 PX 3600000 ENX", |db| {
        both(db.increx("k", 1, &IncrEx::new().expire_new_in(HOUR)))
    }),
    ("SET k 4 EX 5000", "INCREX k BYINT 1 PERSIST", |db| {
        both(db.increx("k", 1, &IncrEx::new().persist()))
    }),
    ("SET k x", "INCREX k BYINT 1", |db| {
        both(db.increx("k", 1, &IncrEx::new()))
    }),
    ("RPUSH k 1 2 3", "LMOVEM k l LEFT LEFT COUNT 2 OBO", |db| {
        list(db.lmovem("k", "l", End::Left, End::Left, LMoveM::up_to(2)))
    }),
    (
        "RPUSH k 1 2 3",
        "LMOVEM k k RIGHT LEFT EXACTLY 2 BULK",
        |db| {
            let two = LMoveM::exactly(2).together();
            // All or nothing: the command answers null then.
            let moved = list(db.lmovem("k", "k", End::Right, End::Left, two));
            moved.map(|all| {
                if all == "Array([])" {
                    "nil".into()
                } else {
                    all
                }
            })
        },
    ),
    ("SET k v", "LMOVEM k l LEFT LEFT COUNT 2 OBO", |db| {
        list(db.lmovem("k", "l", End::Left, End::Left, LMoveM::up_to(2)))
    }),
    ("SADD k a b c|SADD l c d", "SDIFFCARD 2 k l LIMIT 1", |db| {
        text(db.sdiffcard(["k", "l"], Some(1)))
    }),
    ("", "SADDEX k PXAT 4102444800000 MEMBERS 2 a b", |db| {
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
        flag(db.saddex("k", ["a", "b"], &SAddEx::new().expire_at(later)))
    }),
    ("SADD k a", "SADDEX k MNX MEMBERS 2 a b", |db| {
        let options = SAddEx::new().if_no_member_present();
        flag(db.saddex("k", ["a", "b"], &options))
    }),
    (
        "SADD k a|SPEXPIREAT k 4102444800000 MEMBERS 1 a",
        "SADDEX k MXX KEEPTTL MEMBERS 1 a",
        |db| {
            let options = SAddEx::new().if_all_members_present().keep_expiry();
            flag(db.saddex("k", ["a"], &options))
        },
    ),
    ("SADD k a", "SADDEX k PXAT 5 MEMBERS 1 a", |db| {
        flag(db.saddex("k", ["a"], &SAddEx::new().expire_at(past())))
    }),
    ("ZADD k 1 a 2 b 3 c", "ZMOVE k l MAX COUNT 2", |db| {
        pairs(db.zmove("k", "l", Extreme::Max, 2))
    }),
    (
        "ZADD k 1 a 2 b 3 c",
        "ZMOVE k l BYSCORE -inf (2.5 COUNT 9",
        |db| pairs(db.zmove_by_score("k", "l", ..2.5, Some(9))),
    ),
    (
        "ZADD k 1 a 2 b|ZADD l 7 a",
        "ZMOVEMEMBER k l NX MEMBERS 2 a b",
        |db| pairs(db.zmovemember_if("k", "l", false, ["a", "b"])),
    ),
    ("ZADD k 1 a 2 b", "ZMOVEMEMBER k l MEMBERS 2 a x", |db| {
        pairs(db.zmovemember("k", "l", ["a", "x"]))
    }),
    ("SET k v", "BLESS SET k NO-EVICT", |db| flag(db.bless("k"))),
    (
        "SET k v|BLESS SET k NO-EVICT",
        "BLESS CLEAR k NO-EVICT",
        |db| flag(db.bless_clear("k")),
    ),
    ("", "BLESS SET k NO-EVICT", |db| flag(db.bless("k"))),
];

/// A reply as text.
fn shown(reply: Result<Value>) -> Result<String> {
    reply.map(|value| match value {
        Value::Bulk(b) => String::from_utf8_lossy(&b).into_owned(),
        Value::Int(n) => n.to_string(),
        Value::Simple(s) => s,
        Value::Null => "nil".into(),
        other => format!("{other:?}"),
    })
}

fn run(db: &Db, line: &str) -> Result<String> {
    shown(db.execute(line.split(' ')))
}

/// A data set whose changes are announced and written down.
fn open(before: &str) -> (Db, Subscriber) {
    let db = Db::open(Config::default()).unwrap();
    // What has expired is for the calls to find.
    door::engine_of(&db).maintenance_paused.store(true, Relaxed);
    run(&db, "CONFIG SET notify-keyspace-events KEAmn").unwrap();
    for line in before.split('|').filter(|line| !line.is_empty()) {
        run(&db, line).unwrap();
    }
    door::engine_of(&db).journal.turn(true);
    let events = db.psubscribe(["__keyevent@0__:*"]).unwrap();
    (db, events)
}

/// All keys, what they hold and about when they expire.
fn data(db: &Db) -> Vec<String> {
    let with_encoding = data_and_encoding(db);
    with_encoding.into_iter().map(|(shown, _)| shown).collect()
}

/// The same with how values are stored, which the record does not tell.
fn data_and_encoding(db: &Db) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = db
        .keys("*")
        .unwrap()
        .into_iter()
        .map(|key| {
            let value = db.dump(&key).unwrap();
            let encoding = db.execute([&b"OBJECT"[..], b"ENCODING", &key]);
            let left = shown(db.execute([&b"PTTL"[..], &key])).unwrap();
            let left = left.parse::<i64>().unwrap();
            let left = if left > 0 {
                (left + 30_000) / 60_000
            } else {
                left
            };
            (format!("{key:?} {value:?} {left}"), format!("{encoding:?}"))
        })
        .collect();
    all.sort();
    all
}

fn events(mut subscriber: Subscriber) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(message) = subscriber.try_recv().unwrap() {
        all.push(format!("{:?} {:?}", message.channel, message.payload));
    }
    all
}

/// What is written down of a data set's changes.
fn record(db: &Db) -> Vec<resp::Value> {
    let mut all = Vec::new();
    let mut at = Some(0);
    while let Some(piece) = door::engine_of(db).journal.cut(&mut at) {
        let mut rest = &piece.bytes[..];
        while let Some((command, used)) = resp::decode(rest).unwrap() {
            all.push(command);
            rest = &rest[used..];
        }
    }
    all
}

fn again(before: &str, record: &[resp::Value]) -> Vec<String> {
    let (db, _) = open(before);
    // What belongs together is written down as a transaction.
    let mut connection = db.connect().unwrap();
    for command in record {
        let resp::Value::Array(words) = command else {
            panic!("{command:?}")
        };
        let words: Vec<&[u8]> = words
            .iter()
            .map(|word| match word {
                resp::Value::Bulk(word) => &word[..],
                other => panic!("{other:?}"),
            })
            .collect();
        connection.execute(words).unwrap();
    }
    data(&db)
}

#[test]
fn typed_calls_do_what_their_commands_do() {
    for (before, line, typed) in CASES {
        let what = format!("{before} | {line}");
        let (by_command, its_events) = open(before);
        let (by_call, own_events) = open(before);
        let reply = run(&by_command, line);
        let result = typed(&by_call);
        assert_eq!(
            result.clone().map_err(|e| e.to_string()),
            reply.map_err(|e| e.to_string()),
            "{what}"
        );
        assert_eq!(events(own_events), events(its_events), "{what}");
        let (its_record, own_record) = (record(&by_command), record(&by_call));
        assert_eq!(own_record.is_empty(), its_record.is_empty(), "{what}");
        let after = data(&by_command);
        assert_eq!(
            data_and_encoding(&by_call),
            data_and_encoding(&by_command),
            "{what}"
        );
        assert_eq!(again(before, &own_record), after, "{what}: {own_record:?}");
        assert_eq!(again(before, &its_record), after, "{what}: {its_record:?}");
    }
}

/// A typed call on what has expired finds nothing, and says so.
#[test]
fn typed_calls_find_what_has_expired_as_commands_do() {
    for (_, line, typed) in CASES {
        let lists = [false, true].map(|is_typed| {
            let (db, subscriber) = open("SET k 5 PX 1|SET l 5");
            // While changes are written down, commands that fail remove what has expired too.
            door::engine_of(&db).journal.turn(false);
            std::thread::sleep(Duration::from_millis(3));
            let reply = if is_typed { typed(&db) } else { run(&db, line) };
            (
                reply.map_err(|e: Error| e.to_string()),
                events(subscriber),
                data(&db),
            )
        });
        assert_eq!(lists[0], lists[1], "{line}");
    }
}

/// What would refuse a client's command refuses a typed call.
#[test]
fn gates_hold_for_typed_calls() {
    let (db, _) = open("SET k v");
    door::engine_of(&db).journal.refuse(true);
    for (_, line, typed) in CASES.iter().filter(|case| !case.1.ends_with("PX 0")) {
        let writes = !["GETRANGE", "STRLEN", "EXISTS", "DIGEST", "SUNION", "SDIFF"]
            .iter()
            .any(|word| line.starts_with(word));
        let result = typed(&db);
        let refused = result
            .as_ref()
            .is_err_and(|e| e.kind() == redpoll::ErrorKind::Misconf);
        assert_eq!(refused, writes, "{line}: {result:?}");
    }
    door::engine_of(&db).journal.refuse(false);
    assert_eq!(data(&db).len(), 1);
}
