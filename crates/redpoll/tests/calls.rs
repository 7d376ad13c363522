//! Typed calls against the commands they stand for: both ways in see and do the same.

use redpoll::door;
use redpoll::{BitOp, Config, Db, ExpireIf, SetOptions, Ttl, Type, Value};
use std::time::{Duration, SystemTime};

fn open() -> Db {
    Db::open(Config::default()).unwrap()
}

/// A reply as text.
fn run(db: &Db, line: &str) -> String {
    match db.execute(line.split(' ')) {
        Ok(Value::Bulk(b)) => String::from_utf8(b).unwrap(),
        Ok(Value::Int(n)) => n.to_string(),
        Ok(Value::Simple(s)) => s,
        Ok(Value::Null) => "nil".into(),
        Ok(other) => format!("{other:?}"),
        Err(e) => e.to_string(),
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const WRONG_NUMBER: &str = "ERR value is not an integer or out of range";

#[test]
fn strings_of_every_size() {
    let db = open();
    for len in [0, 1, 20, 54, 55, 4096, 4097, 300_000] {
        let value = "x".repeat(len);
        db.set("k", &value).unwrap();
        assert_eq!(run(&db, "GET k"), value);
        assert_eq!(db.get("k").unwrap().unwrap(), value);
        assert_eq!(
            db.get_with("k", |b| b == value.as_bytes()).unwrap(),
            Some(true)
        );
        assert_eq!(db.strlen("k").unwrap(), len);
        db.set("owned", value.clone()).unwrap();
        assert_eq!(db.get("owned").unwrap(), db.get("k").unwrap());
        // What has been read stays as it was.
        let before = db.get("k").unwrap().unwrap();
        assert_eq!(db.append("k", "y").unwrap(), len + 1);
        assert_eq!(before, value);
    }
    assert_eq!(db.get("absent").unwrap(), None);
    assert_eq!(db.get_with("absent", <[u8]>::len).unwrap(), None);
}

#[test]
fn numbers() {
    let db = open();
    db.set("n", -5).unwrap();
    assert_eq!(run(&db, "OBJECT ENCODING n"), "int");
    assert_eq!(db.get("n").unwrap().unwrap(), "-5");
    assert_eq!(db.get_with("n", <[u8]>::len).unwrap(), Some(2));
    assert_eq!(db.strlen("n").unwrap(), 2);
    db.set("text", "12").unwrap();
    assert_eq!(run(&db, "OBJECT ENCODING text"), "int");
    assert_eq!(db.incr("text").unwrap(), 13);
    // Text that became a number only by SETRANGE, say, counts too.
    db.set("raw", "x5").unwrap();
    db.setrange("raw", 0, "1").unwrap();
    assert_eq!(db.decr_by("raw", 20).unwrap(), -5);
    assert_eq!(db.incr_by_float("raw", 0.25).unwrap(), -4.75);
    assert_eq!(db.incr_by("new", 7).unwrap(), 7);
    db.set("max", i64::MAX).unwrap();
    assert_eq!(
        db.incr("max").unwrap_err().to_string(),
        "ERR increment or decrement would overflow"
    );
    assert_eq!(
        db.decr_by("max", i64::MIN).unwrap_err().to_string(),
        "ERR decrement would overflow"
    );
    db.set("word", "abc").unwrap();
    assert_eq!(db.incr("word").unwrap_err().to_string(), WRONG_NUMBER);
    db.set("long", "1".repeat(5000)).unwrap();
    assert_eq!(db.incr("long").unwrap_err().to_string(), WRONG_NUMBER);
    db.set("u", u64::MAX).unwrap();
    assert_eq!(db.get("u").unwrap().unwrap(), "18446744073709551615");
}

#[test]
fn setting_under_conditions() {
    let db = open();
    let absent = SetOptions::new().if_absent();
    assert!(db.set_with("k", "1", &absent).unwrap());
    assert!(!db.set_with("k", "2", &absent).unwrap());
    assert!(!db.setnx("k", "2").unwrap());
    assert!(
        !db.set_with("other", "2", &SetOptions::new().if_present())
            .unwrap()
    );
    assert!(
        !db.set_with("k", "3", &SetOptions::new().if_equal("2"))
            .unwrap()
    );
    assert!(
        db.set_with("k", "3", &SetOptions::new().if_equal("1").expire_in(MINUTE))
            .unwrap()
    );
    assert!(matches!(db.ttl("k").unwrap(), Ttl::In(_)));
    assert!(
        db.set_with("k", "4", &SetOptions::new().keep_expiry())
            .unwrap()
    );
    assert!(matches!(db.ttl("k").unwrap(), Ttl::In(_)));
    assert_eq!(db.getset("k", "5").unwrap().unwrap(), "4");
    assert_eq!(db.ttl("k").unwrap(), Ttl::Never);
    assert_eq!(db.set_with_get("k", "6", &absent).unwrap().unwrap(), "5");
    assert_eq!(db.getdel("k").unwrap().unwrap(), "5");
    assert_eq!(db.getdel("k").unwrap(), None);
    assert!(
        db.set_with(
            "k",
            "7",
            &SetOptions::new().expire_at(SystemTime::UNIX_EPOCH + MINUTE)
        )
        .unwrap()
    );
    assert!(!db.exists("k").unwrap());
    assert_eq!(
        db.set_for("k", "v", Duration::ZERO)
            .unwrap_err()
            .to_string(),
        "ERR invalid expire time in 'set' command"
    );
    assert!(db.set_for("k", "v", Duration::MAX).is_err());
}

#[test]
fn several_keys() {
    let db = open();
    db.mset([("a", "1"), ("b", "2")]).unwrap();
    assert!(!db.msetnx([("b", "3"), ("c", "3")]).unwrap());
    let found = db.mget(["c", "b"]).unwrap();
    assert_eq!(found[0], None);
    assert_eq!(found[1].as_ref().unwrap(), "2");
    assert_eq!(db.exists_many(["a", "a", "c"]).unwrap(), 2);
    assert_eq!(db.touch(["a", "c"]).unwrap(), 1);
    assert_eq!(db.del_many(["a", "b", "c"]).unwrap(), 2);
    // Nothing is a call without effect, not an error.
    let none: [&str; 0] = [];
    assert_eq!(db.mget(none).unwrap(), []);
    assert_eq!(db.del_many(none).unwrap(), 0);
    assert!(db.msetnx([("", ""); 0]).unwrap());
    db.mset([("", ""); 0]).unwrap();
}

#[test]
fn expiry() {
    let db = open();
    assert_eq!(db.ttl("k").unwrap(), Ttl::Absent);
    assert!(!db.expire("k", MINUTE).unwrap());
    db.set_for("k", "v", MINUTE).unwrap();
    assert!((1..=60_000).contains(&run(&db, "PTTL k").parse::<u64>().unwrap()));
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5_000_000_000);
    assert!(db.expire_at("k", at).unwrap());
    assert_eq!(db.expire_time("k").unwrap(), Some(at));
    assert_eq!(run(&db, "EXPIRETIME k"), "5000000000");
    assert!(!db.expire_if("k", MINUTE, ExpireIf::Later).unwrap());
    assert!(!db.expire_if("k", MINUTE, ExpireIf::None).unwrap());
    assert!(db.expire_if("k", MINUTE, ExpireIf::Sooner).unwrap());
    assert!(db.persist("k").unwrap());
    assert!(!db.persist("k").unwrap());
    assert_eq!(db.expire_time("k").unwrap(), None);
    assert!(!db.expire_if("k", MINUTE, ExpireIf::Some).unwrap());
    assert!(db.getex("k", Some(MINUTE)).unwrap().is_some());
    assert!(matches!(db.ttl("k").unwrap(), Ttl::In(left) if left > Duration::ZERO));
    db.getex("k", None).unwrap();
    assert_eq!(db.ttl("k").unwrap(), Ttl::Never);
    assert!(db.expire("k", Duration::ZERO).unwrap());
    assert!(!db.exists("k").unwrap());
    db.set("k", "v").unwrap();
    assert!(db.expire_at("k", SystemTime::UNIX_EPOCH - MINUTE).unwrap());
    assert!(!db.exists("k").unwrap());
}

/// A key is gone the moment it expires, on either way in, and counts as removed.
#[test]
fn expired_keys_are_not_seen() {
    let db = open();
    let mut keys = 0;
    while door::engine_of(&db).stats().sum(|c| c.expired.get()) < 1 {
        // Some calls come before the millisecond is over and see the key: then another try.
        db.set_for("k", "v", Duration::from_nanos(1)).unwrap();
        keys += 1;
        let began = std::time::Instant::now();
        while db.exists("k").unwrap() {
            assert!(began.elapsed() < MINUTE, "a key outlives its expiry");
        }
        assert!(
            !db.exists("k").unwrap()
                && db.get("k").unwrap().is_none()
                && run(&db, "GET k") == "nil"
        );
    }
    assert!(keys >= 1);
}

#[test]
fn names_and_databases() {
    let db = open();
    db.set_for("a", "1", MINUTE).unwrap();
    db.rename("a", "b").unwrap();
    assert_eq!(
        db.rename("a", "b").unwrap_err().to_string(),
        "ERR no such key"
    );
    assert!(db.copy("b", "c").unwrap());
    assert!(!db.copy("b", "c").unwrap());
    assert!(!db.renamenx("b", "c").unwrap());
    assert!(matches!(db.ttl("c").unwrap(), Ttl::In(_)));
    let other = db.select(1).unwrap();
    assert_eq!((db.index(), other.index()), (0, 1));
    assert!(db.copy_over("b", "b", 1).unwrap());
    assert!(db.copy_over("b", "b", 1).unwrap());
    assert!(!db.move_to("b", 1).unwrap());
    assert!(db.move_to("c", 1).unwrap());
    assert_eq!((db.dbsize().unwrap(), other.dbsize().unwrap()), (1, 2));
    assert_eq!(other.get("c").unwrap().unwrap(), "1");
    assert_eq!(
        other.execute(["GET", "c"]).unwrap(),
        Value::Bulk(b"1".to_vec())
    );
    assert_eq!(db.key_type("b").unwrap(), Some(Type::String));
    assert_eq!(db.key_type("c").unwrap(), None);
    assert_eq!(db.random_key().unwrap().unwrap(), "b");
    assert_eq!(
        db.select(16).unwrap_err().to_string(),
        "ERR DB index is out of range"
    );
}

#[test]
fn whole_databases() {
    let db = open();
    let other = db.select(1).unwrap();
    db.set("a", "1").unwrap();
    db.swapdb(0, 1).unwrap();
    assert_eq!((db.dbsize().unwrap(), other.dbsize().unwrap()), (0, 1));
    db.set("b", "1").unwrap();
    other.flushdb().unwrap();
    assert_eq!((db.dbsize().unwrap(), other.dbsize().unwrap()), (1, 0));
    db.flushall().unwrap();
    assert_eq!(db.dbsize().unwrap(), 0);
}

#[test]
fn scanning() {
    let db = open();
    for i in 0..3000 {
        db.set(format!("{}:{i}", if i % 3 == 0 { "a" } else { "b" }), i)
            .unwrap();
    }
    for batch in [1, 100, 10_000] {
        let mut all: Vec<_> = db.scan().batch(batch).map(Result::unwrap).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3000);
    }
    assert_eq!(db.scan().matching("a:*").batch(10).count(), 1000);
    assert_eq!(db.scan().of_type(Type::Hash).batch(1000).next(), None);
    assert_eq!(db.keys("b:1?").unwrap().len(), 7);
}

#[test]
fn bits() {
    let db = open();
    assert!(!db.setbit("k", 9, true).unwrap());
    assert!(db.setbit("k", 9, true).unwrap());
    assert_eq!(run(&db, "GETBIT k 9"), "1");
    assert_eq!(run(&db, "OBJECT ENCODING k"), "raw");
    assert!(db.getbit("k", 9).unwrap() && !db.getbit("k", u64::MAX).unwrap());
    assert_eq!(
        db.setbit("k", 1 << 32, true).unwrap_err().to_string(),
        "ERR bit offset is not an integer or out of range"
    );
    db.set("f", b"\xff\x0f").unwrap();
    assert_eq!(db.bitcount("f", ..).unwrap(), 12);
    assert_eq!(db.bitcount("f", 4..14).unwrap(), 6);
    assert_eq!(db.bitcount("f", 4..=14).unwrap(), 7);
    assert_eq!(db.bitcount("f", 4..4).unwrap(), 0);
    assert_eq!(db.bitcount("f", ..0).unwrap(), 0);
    assert_eq!(db.bitpos("f", false, ..).unwrap(), Some(8));
    assert_eq!(db.bitpos("f", false, 12..).unwrap(), None);
    assert_eq!(db.bitpos("f", true, 8..).unwrap(), Some(12));
    assert_eq!(db.bitpos("absent", false, ..).unwrap(), None);
    assert_eq!(db.bitop(BitOp::Not, "not", ["f"]).unwrap(), 2);
    assert_eq!(db.get("not").unwrap().unwrap(), b"\x00\xf0");
    assert_eq!(db.bitop(BitOp::One, "one", ["f", "not", "not"]).unwrap(), 2);
    assert_eq!(db.get("one").unwrap().unwrap(), b"\xff\x0f");
    db.set("n", 5).unwrap();
    assert!(db.getbit("n", 2).unwrap());
    assert!(
        db.bitfield("n", &redpoll::BitField::new().get("u64", 0))
            .is_err()
    );
}

#[test]
fn commands_of_any_kind() {
    let db = open();
    // State does not leak from one call to the next.
    assert_eq!(run(&db, "SELECT 3"), "OK");
    assert_eq!(run(&db, "SET k v"), "OK");
    assert!(db.exists("k").unwrap());
    assert_eq!(run(&db, "CLIENT SETNAME me"), "OK");
    assert_ne!(run(&db, "CLIENT GETNAME"), "me");
    for line in [
        "CLIENT REPLY OFF",
        "MONITOR",
        "SUBSCRIBE c",
        "PSUBSCRIBE c*",
        "SSUBSCRIBE c",
        "MULTI",
        "WATCH k",
        "HELLO 2",
        "RESET",
        "CLIENT TRACKING ON",
        "CLIENT NO-TOUCH ON",
        "QUIT",
        "POST /",
        "SCRIPT DEBUG NO",
        "UNSUBSCRIBE",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let _ = db.execute(words);
        assert_eq!(run(&db, "ECHO here"), "here", "after {line}");
        assert_eq!(run(&db, "EXISTS k"), "1", "after {line}");
    }
    // What ends a connection of its own answers, and what comes then is an error.
    let mut connection = db.connect().unwrap();
    let id = connection.execute(["CLIENT", "ID"]).unwrap();
    let Value::Int(id) = id else { panic!("{id:?}") };
    let kill = ["CLIENT", "KILL", "ID", &id.to_string(), "SKIPME", "NO"].map(str::to_owned);
    assert_eq!(connection.execute(kill).unwrap(), Value::Int(1));
    assert!(connection.execute(["PING"]).is_err());
    let mut connection = db.connect().unwrap();
    assert_eq!(
        connection.execute(["QUIT"]).unwrap(),
        Value::Simple("OK".into())
    );
    assert!(connection.execute(["PING"]).is_err());
    assert_eq!(
        run(&db, "NOSUCH"),
        "ERR unknown command 'NOSUCH', with args beginning with: "
    );
    let none: [&str; 0] = [];
    let error = db.execute(none).unwrap_err();
    assert_eq!(error.to_string(), "ERR there is no command without a name");
    let mut connection = db.connect().unwrap();
    connection.execute(["SELECT", "3"]).unwrap();
    connection.execute(["SET", "k", "in 3"]).unwrap();
    assert_eq!(db.select(3).unwrap().get("k").unwrap().unwrap(), "in 3");
    // Large arguments and replies, and work that a server would do on another thread.
    let large = vec![b'x'; 5 << 20];
    assert_eq!(
        db.execute([b"SET", &b"large"[..], &large]).unwrap(),
        Value::Simple("OK".into())
    );
    assert_eq!(
        db.execute(["GET", "large"]).unwrap(),
        Value::Bulk(large.clone())
    );
    assert_eq!(
        db.execute(["BITCOUNT", "large"]).unwrap(),
        Value::Int(4 * large.len() as i64)
    );
}

#[test]
fn hits_and_misses_are_counted_on_both_ways_in() {
    let db = open();
    db.set("k", "v").unwrap();
    db.get("k").unwrap();
    db.get_with("absent", |_| ()).unwrap();
    assert!(db.exists("k").unwrap());
    run(&db, "GET k");
    let other = db.clone();
    std::thread::spawn(move || other.get("absent").unwrap())
        .join()
        .unwrap();
    let stats = door::engine_of(&db).stats();
    assert_eq!(stats.sum(|c| c.hits.get()), 3);
    assert_eq!(stats.sum(|c| c.misses.get()), 2);
}

/// Calls that take no command are changes all the same: those who watch a key are told.
#[test]
fn direct_calls_tell_who_watches() {
    let db = open();
    let mut watching = db.connect().unwrap();
    let mut told = |what: &str, call: &dyn Fn()| {
        watching.execute(["WATCH", "k"]).unwrap();
        call();
        watching.execute(["MULTI"]).unwrap();
        watching.execute(["PING"]).unwrap();
        let told = watching.execute(["EXEC"]).unwrap() == Value::Null;
        assert_eq!(told, !what.starts_with("not "), "{what}");
    };
    told("not yet there", &|| assert!(!db.del("k").unwrap()));
    told("set", &|| db.set("k", "1").unwrap());
    told("set for a time", &|| db.set_for("k", "1", MINUTE).unwrap());
    told("add", &|| assert_eq!(db.incr("k").unwrap(), 2));
    told("persist", &|| assert!(db.persist("k").unwrap()));
    told("not persist again", &|| assert!(!db.persist("k").unwrap()));
    told("expire", &|| assert!(db.expire("k", MINUTE).unwrap()));
    told("delete", &|| assert!(db.del("k").unwrap()));
    told("add to nothing", &|| assert_eq!(db.decr("k").unwrap(), -1));
    told("delete by a time in the past", &|| {
        assert!(db.expire("k", Duration::ZERO).unwrap());
    });
    told("set a bit", &|| assert!(!db.setbit("k", 9, true).unwrap()));
    told("not a bit that is set", &|| {
        assert!(db.setbit("k", 9, true).unwrap())
    });
    told("clear a bit", &|| {
        assert!(db.setbit("k", 9, false).unwrap())
    });
    told("not look", &|| assert!(db.get("k").unwrap().is_some()));
    told("not another key", &|| db.set("j", "1").unwrap());
}

/// Keys may be slices of one another.
#[test]
fn arguments_that_begin_at_one_address() {
    let db = open();
    let name = "key:0";
    for end in 3..=name.len() {
        db.set(&name[..end], end.to_string()).unwrap();
    }
    let reply = db.execute(["MGET", &name[..3], &name[..4], name]).unwrap();
    let expected = ["3", "4", "5"].map(|n| Value::Bulk(n.into()));
    assert_eq!(reply, Value::Array(expected.into()));
}

#[test]
fn files_that_nobody_would_keep_are_refused() {
    let db = open();
    let before = db.execute(["CONFIG", "GET", "appendonly"]).unwrap();
    let error = db
        .execute(["CONFIG", "SET", "appendonly", "yes"])
        .unwrap_err();
    assert!(error.to_string().contains("not kept in files"), "{error}");
    assert_eq!(db.execute(["CONFIG", "GET", "appendonly"]).unwrap(), before);
    assert!(db.execute(["SAVE"]).is_err());
    assert!(db.save().is_err() && db.rewrite().is_err() && db.sync().is_err());
}
