//! One handle in many threads at once.

use redpoll::door;
use redpoll::{Config, Db, Value};
use std::sync::Barrier;
use std::time::{Duration, Instant};

const THREADS: usize = 8;

fn together(work: impl Fn(usize) + Sync) {
    let start = Barrier::new(THREADS);
    std::thread::scope(|s| {
        for t in 0..THREADS {
            let (start, work) = (&start, &work);
            s.spawn(move || {
                start.wait();
                work(t);
            });
        }
    });
}

#[test]
fn nothing_is_lost() {
    let db = Db::open(Config::default()).unwrap();
    together(|t| {
        for i in 0..2000 {
            // Half of them as a typed call, half as a command.
            if i % 2 == 0 {
                db.incr("n").unwrap();
            } else {
                db.execute(["INCR", "n"]).unwrap();
            }
            db.setbit("bits", (i * THREADS + t) as u64, true).unwrap();
            db.append("text", "x").unwrap();
        }
    });
    assert_eq!(db.incr_by("n", 0).unwrap(), 2000 * THREADS as i64);
    assert_eq!(db.bitcount("bits", ..).unwrap(), 2000 * THREADS as u64);
    assert_eq!(db.strlen("text").unwrap(), 2000 * THREADS);
}

/// Writers exchange whole values of different sizes; readers only ever see whole ones, however they read.
#[test]
fn values_are_seen_whole() {
    let db = Db::open(Config::default()).unwrap();
    let sizes = [1, 30, 60, 4096, 5000];
    let whole = |bytes: &[u8]| sizes.contains(&bytes.len()) && bytes.iter().all(|b| *b == bytes[0]);
    db.set("k", "a").unwrap();
    together(|t| {
        for i in 0..1000 {
            match t % 4 {
                0 => db
                    .set("k", vec![b'a' + (i % 20) as u8; sizes[i % sizes.len()]])
                    .unwrap(),
                1 => assert!(whole(&db.get("k").unwrap().unwrap())),
                2 => assert_eq!(db.get_with("k", whole).unwrap(), Some(true)),
                _ => match db.execute(["GET", "k"]).unwrap() {
                    Value::Bulk(bytes) => assert!(whole(&bytes)),
                    other => panic!("{other:?}"),
                },
            }
        }
    });
}

/// Moving money between two keys by commands that take both: their sum is always the same.
#[test]
fn several_keys_change_at_one_moment() {
    let db = Db::open(Config::default()).unwrap();
    db.mset([("a", "0"), ("b", "0")]).unwrap();
    together(|t| {
        for i in 0..500 {
            if t % 2 == 0 {
                let n = (t * 500 + i).to_string();
                db.mset([("a", n.as_str()), ("b", n.as_str())]).unwrap();
            } else {
                let both = db.mget(["a", "b"]).unwrap();
                assert_eq!(both[0], both[1]);
            }
        }
    });
}

/// A closure may use the database, even the very key it looks at: no lock is held while it runs.
#[test]
fn closures_may_call_back() {
    let db = Db::open(Config::default()).unwrap();
    for value in ["small", &"large".repeat(10_000)] {
        db.set("k", value).unwrap();
        let seen = db.get_with("k", |outer| {
            db.set("k", "changed").unwrap();
            db.flushall().unwrap();
            outer == value.as_bytes()
        });
        assert_eq!(seen.unwrap(), Some(true));
        assert!(!db.exists("k").unwrap());
    }
}

/// CLIENT PAUSE holds calls from the program back like those from clients.
#[test]
fn a_pause_is_waited_out() {
    let db = Db::open(Config::default()).unwrap();
    let pause = Duration::from_millis(50);
    for write in [false, true] {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64;
        let began = Instant::now();
        door::engine_of(&db)
            .pause
            .start(now, now + pause.as_millis() as u64 + 1, true);
        if write {
            db.set("k", "v").unwrap();
            assert!(began.elapsed() >= pause);
        } else {
            db.get("k").unwrap();
            door::engine_of(&db).pause.stop();
        }
    }
}

#[test]
fn an_engine_can_be_shared() {
    let db = Db::open(Config::default()).unwrap();
    let other = door::handle_to(door::engine_of(&db).clone()).unwrap();
    other.set("k", "v").unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
}
