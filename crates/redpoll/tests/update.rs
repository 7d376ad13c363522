//! `Db::update`: several calls at one moment.

use redpoll::door;
use redpoll::{Config, Db, Error, ErrorKind, Result, Value};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn open() -> Db {
    Db::open(Config::default()).unwrap()
}

/// Money moves between accounts in any order of keys, from several threads, beside commands that do the same by EXEC. Nobody ever
/// sees a sum that is not right, none is lost, and nobody waits for ever.
#[test]
fn an_invariant_holds_under_contention() {
    const ACCOUNTS: usize = 8;
    const EACH: i64 = 1000;
    let db = open();
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
    for name in &names {
        db.set(name, EACH).unwrap();
    }
    let mover = |seed: u64| {
        let mut state = seed;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..400 {
            let (from, to) = (&names[random(ACCOUNTS)], &names[random(ACCOUNTS)]);
            let amount = random(100) as i64;
            db.update([from, to], |t| {
                let there: i64 = t.incr_by(from, 0)?;
                if there >= amount {
                    t.decr_by(from, amount)?;
                    t.incr_by(to, amount)?;
                }
                Ok::<(), Error>(())
            })
            .unwrap();
        }
    };
    let watcher = || {
        for _ in 0..400 {
            let sum = db.mget(&names).unwrap().into_iter().map(|n| {
                let text = n.unwrap().to_string_lossy();
                text.parse::<i64>().unwrap()
            });
            assert_eq!(sum.sum::<i64>(), EACH * ACCOUNTS as i64);
            let sum = db.update(&names, |t| {
                let mut sum = 0;
                for name in &names {
                    sum += t.incr_by(name, 0)?;
                }
                Ok::<i64, Error>(sum)
            });
            assert_eq!(sum, Ok(EACH * ACCOUNTS as i64));
        }
    };
    let exec = || {
        let mut connection = db.connect().unwrap();
        for n in 0..200 {
            let (from, to) = (&names[n % ACCOUNTS], &names[(n * 3 + 1) % ACCOUNTS]);
            connection.execute(["MULTI"]).unwrap();
            connection.execute(["DECRBY", from, "1"]).unwrap();
            connection.execute(["INCRBY", to, "1"]).unwrap();
            connection.execute(["EXEC"]).unwrap();
        }
    };
    std::thread::scope(|s| {
        for seed in 1..4 {
            s.spawn(move || mover(seed));
        }
        s.spawn(watcher);
        s.spawn(exec);
    });
}

#[test]
fn only_declared_keys_and_calls_on_what_is_given() {
    let db = open();
    let other = open();
    db.rpush("l", "a").unwrap();
    let kind = |result: Result<()>| result.map_err(|e| e.kind());
    db.update(["k", "l"], |t| {
        let undeclared = Err(ErrorKind::Undeclared);
        assert_eq!(kind(t.set("other", "v")), undeclared);
        assert_eq!(kind(t.get("other").map(drop)), undeclared);
        assert_eq!(kind(t.rename("k", "other")), undeclared);
        assert_eq!(kind(t.lpush("other", "v").map(drop)), undeclared);
        for line in [
            "FLUSHALL",
            "MULTI",
            "EVAL return 0",
            "SELECT 1",
            "SCAN 0",
            "SUBSCRIBE c",
            "COPY k l DB 1",
            "WATCH k",
        ] {
            let result = t.execute(line.split(' ')).map(drop);
            assert_eq!(kind(result), undeclared, "{line}");
        }
        let inside = Err(ErrorKind::InUpdate);
        assert_eq!(kind(db.set("k", "v")), inside);
        assert_eq!(kind(db.get("k").map(drop)), inside);
        assert_eq!(kind(db.execute(["PING"]).map(drop)), inside);
        assert_eq!(kind(db.connect().map(drop)), inside);
        assert_eq!(kind(other.exists("k").map(drop)), inside);
        assert_eq!(kind(db.update(["k"], |_| Ok(()))), inside);
        assert_eq!(kind(t.incr("l").map(drop)), Err(ErrorKind::WrongType));
        // One and the same call as outside, by an operation or by a command.
        t.set("k", 5)?;
        assert_eq!(t.incr("k")?, 6);
        assert_eq!(t.get("k")?.unwrap(), "6");
        assert_eq!(t.lpop("l")?.unwrap(), "a");
        assert_eq!(t.llen("l")?, 0);
        assert!(t.hset("l", "f", "v")?);
        assert_eq!(t.execute(["STRLEN", "k"])?, Value::Int(1));
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "6");
    assert_eq!(db.update([""; 0], |_| Ok::<i32, Error>(3)), Ok(3));
}

/// A configuration's names are those of every way to name a command, and what a call by such a name does to its connection stays there.
#[test]
fn renamed_commands_have_one_name_everywhere() {
    let mut config = Config::new();
    for (own, other) in [("SET", "put"), ("SELECT", "use")] {
        config.directive("rename-command", &[own, other]).unwrap();
    }
    let db = Db::open(config).unwrap();
    db.execute(["put", "k", "v"]).unwrap();
    assert!(db.execute(["SET", "k", "w"]).is_err());
    db.update(["k"], |t| {
        assert!(t.execute(["SET", "k", "w"]).is_err());
        assert_eq!(t.get("k")?.unwrap(), "v");
        t.execute(["Put", "k", "w"]).map(drop)
    })
    .unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "w");
    db.execute(["use", "3"]).unwrap();
    db.execute(["put", "j", "v"]).unwrap();
    assert!(db.exists("j").unwrap());
}

/// What had been done before an error or a panic stays done, is announced, and leaves nothing locked.
#[test]
fn errors_and_panics_take_nothing_back() {
    let db = open();
    seen_nothing(&db);
    let mut first = db.connect().unwrap();
    first.execute(["WATCH", "k"]).unwrap();
    let failed = db.update(["k"], |t| {
        t.set("k", "1")?;
        t.lpush("k", "x")?;
        Ok(())
    });
    assert_eq!(
        failed.map_err(|e: Error| e.kind()),
        Err(ErrorKind::WrongType)
    );
    first.execute(["MULTI"]).unwrap();
    assert_eq!(first.execute(["EXEC"]).unwrap(), Value::Null);
    let mut second = db.connect().unwrap();
    second.execute(["WATCH", "k"]).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        db.update(["k"], |t| {
            t.append("k", "2")?;
            if t.strlen("k")? == 2 {
                panic!("told to");
            }
            Ok::<(), Error>(())
        })
    }));
    assert!(panicked.is_err());
    second.execute(["MULTI"]).unwrap();
    assert_eq!(second.execute(["EXEC"]).unwrap(), Value::Null);
    assert_eq!(db.get("k").unwrap().unwrap(), "12");
}

fn seen_nothing(db: &Db) {
    let mut connection = db.connect().unwrap();
    connection.execute(["WATCH", "k"]).unwrap();
    db.update(["k"], |t| t.get("k").map(drop)).unwrap();
    connection.execute(["MULTI"]).unwrap();
    assert_eq!(
        connection.execute(["EXEC"]).unwrap(),
        Value::Array(Vec::new())
    );
}

/// An update is one unit of the record, and who waits for its keys is served when it is done.
#[test]
fn what_follows_comes_once_it_is_done() {
    let db = open();
    door::engine_of(&db).journal.turn(true);
    let waits = std::thread::spawn({
        let db = db.clone();
        move || db.blpop(["l"], Some(Duration::from_secs(60)))
    });
    let is_waiting = || match db.execute(["INFO", "clients"]) {
        Ok(Value::Bulk(list) | Value::Verbatim(_, list)) => {
            String::from_utf8_lossy(&list).contains("blocked_clients:1")
        }
        other => panic!("{other:?}"),
    };
    while !is_waiting() {
        std::thread::yield_now();
    }
    let left = db.update(["k", "l", "h"], |t| {
        t.rpush("l", "a")?;
        t.rpush("l", "b")?;
        t.incr("k")?;
        t.expire("h", Duration::from_secs(9))?;
        t.hset("h", "f", "v")?;
        t.expire("h", Duration::from_secs(9))?;
        t.llen("l")
    });
    assert_eq!(left, Ok(2));
    assert_eq!(waits.join().unwrap().unwrap().unwrap().1, "a");
    let piece = door::engine_of(&db)
        .journal
        .cut(&mut Some(0))
        .expect("something");
    let text = String::from_utf8_lossy(&piece.bytes).replace("\r\n", " ");
    let words: Vec<&str> = text
        .split(' ')
        .filter(|w| !w.starts_with(['*', '$']))
        .collect();
    let shown = words.join(" ");
    assert!(
        shown.starts_with("MULTI RPUSH l a RPUSH l b SET k 1 HSET h f v PEXPIREAT h ")
            && shown.trim_end().ends_with("LPOP l EXEC"),
        "{shown}"
    );
}

/// What would refuse a client's command refuses an update.
#[test]
fn gates_hold() {
    let db = open();
    door::engine_of(&db).journal.refuse(true);
    let refused = db.update(["k"], |t| t.set("k", "v"));
    assert_eq!(refused.map_err(|e| e.kind()), Err(ErrorKind::Misconf));
}
