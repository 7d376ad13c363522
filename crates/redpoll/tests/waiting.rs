//! Calls that wait, as futures, on an executor of a few lines.

use redpoll::{Config, Db, End, ErrorKind, Extreme, GroupStart, LMoveM, Value, XRead, XReadGroup};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = waker();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(&waker()))
}

fn open() -> Db {
    Db::open(Config::default()).unwrap()
}

fn blocked(db: &Db) -> String {
    let Ok(Value::Verbatim(_, text) | Value::Bulk(text)) = db.execute(["INFO", "clients"]) else {
        panic!("no INFO")
    };
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find(|l| l.starts_with("blocked_clients:"));
    line.unwrap().split(':').nth(1).unwrap().to_owned()
}

#[test]
fn what_is_there_is_taken_at_once_and_what_comes_wakes() {
    let db = open();
    db.rpush("l", "a").unwrap();
    let (key, element) = block_on(db.blpop_async(["k", "l"], None)).unwrap().unwrap();
    assert_eq!((key.to_str(), element.to_str()), (Ok("l"), Ok("a")));
    let pushes = std::thread::spawn({
        let db = db.clone();
        move || {
            while blocked(&db) != "1" {
                std::thread::yield_now();
            }
            db.zadd("z", "m", 1.5).unwrap();
        }
    });
    let popped = block_on(db.bzpopmin_async(["z"], Some(MINUTE)))
        .unwrap()
        .unwrap();
    assert_eq!((popped.1.to_str(), popped.2), (Ok("m"), 1.5));
    pushes.join().unwrap();
    assert_eq!(blocked(&db), "0");
    let none: [&str; 0] = [];
    assert_eq!(block_on(db.brpop_async(none, None)), Ok(None));
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    let db = open();
    let short = Some(Duration::from_millis(5));
    assert_eq!(block_on(db.blpop_async(["l"], short)), Ok(None));
    assert_eq!(
        block_on(db.blmove_async("a", "b", End::Left, End::Right, short)),
        Ok(None)
    );
    assert_eq!(
        block_on(db.bzmpop_async(["z"], redpoll::Extreme::Max, 2, short)),
        Ok(None)
    );
    let new = XRead::new().after("s", redpoll::StreamId::MIN).block(short);
    assert_eq!(block_on(db.xread_async(&new)), Ok(Vec::new()));
    assert_eq!(blocked(&db), "0");
}

/// Many waits on one thread: each is served once, those who began first first, and one that is dropped leaves its element to others.
#[test]
fn many_waits_on_one_thread() {
    let db = open();
    let mut waits: Vec<_> = (0..100)
        .map(|_| db.blpop_async(["l"], Some(MINUTE)))
        .collect();
    for wait in &mut waits {
        assert!(poll_once(wait).is_pending());
    }
    assert_eq!(blocked(&db), "100");
    let dropped = waits.remove(0);
    drop(dropped);
    assert_eq!(blocked(&db), "99");
    for n in 0..100 {
        db.rpush("l", n).unwrap();
    }
    for (n, wait) in waits.into_iter().enumerate() {
        assert_eq!(block_on(wait).unwrap().unwrap().1, n.to_string());
    }
    assert_eq!(db.lrange("l", 0, -1).unwrap(), ["99"]);
}

#[test]
fn streams_and_groups() {
    let db = open();
    db.xgroup_create_with_stream("s", "g", GroupStart::end())
        .unwrap();
    let read = XReadGroup::new().new_entries("s").block(Some(MINUTE));
    let mut wait = db.xreadgroup_async("g", "c", &read);
    assert!(poll_once(&mut wait).is_pending());
    let id = db.xadd("s", [("n", "1")]).unwrap();
    let found = block_on(wait).unwrap();
    assert_eq!(found[0].1[0].id, id);
}

/// A call that is held back goes on by itself, and one that is wrong says so.
#[test]
fn gates_and_errors() {
    let db = open();
    // Tried again once the pause is over, which nobody says.
    db.execute(["CLIENT", "PAUSE", "30", "ALL"]).unwrap();
    let mut wait = db.blpop_async(["l"], Some(Duration::from_millis(5)));
    assert!(poll_once(&mut wait).is_pending());
    assert_eq!(block_on(wait), Ok(None));
    db.set("text", "x").unwrap();
    let wrong = block_on(db.blpop_async(["text"], None));
    assert_eq!(wrong.map_err(|e| e.kind()), Err(ErrorKind::WrongType));
}

#[test]
fn a_subscriber_is_woken() {
    let db = open();
    let mut news = db.subscribe(["news"]).unwrap();
    let publishes = std::thread::spawn({
        let db = db.clone();
        move || db.publish("news", "it works").unwrap()
    });
    assert_eq!(block_on(news.next()).unwrap().payload, "it works");
    publishes.join().unwrap();
}

#[test]
fn several_are_moved_when_they_come() {
    let db = open();
    let pushes = |what: fn(&Db)| {
        let db = db.clone();
        std::thread::spawn(move || {
            while blocked(&db) != "1" {
                std::thread::yield_now();
            }
            what(&db);
        })
    };
    let (left, right) = (End::Left, End::Right);
    let pusher = pushes(|db| {
        db.rpush("l", "a").unwrap();
        db.rpush_many("l", ["b", "c"]).unwrap();
    });
    let two = LMoveM::exactly(2);
    let moved = block_on(db.blmovem_async("l", "m", left, right, two, None)).unwrap();
    assert_eq!(moved, ["a", "b"]);
    pusher.join().unwrap();
    let soon = Some(Duration::from_millis(1));
    let moved = block_on(db.blmovem_async("l", "m", left, right, two, soon)).unwrap();
    assert!(moved.is_empty());
    let pusher = pushes(|db| {
        db.zadd_many("z", [("a", 1.0), ("b", 2.0)]).unwrap();
    });
    let moved = block_on(db.bzmove_async("z", "y", Extreme::Max, 5, None)).unwrap();
    assert_eq!((moved.len(), moved[0].1), (2, 2.0));
    pusher.join().unwrap();
    let moved = block_on(db.bzmove_async("z", "y", Extreme::Max, 5, soon)).unwrap();
    assert!(moved.is_empty());
    // What is pending comes of age.
    db.xadd("s", [("n", "1")]).unwrap();
    db.xgroup_create("s", "g", GroupStart::beginning()).unwrap();
    let new = XReadGroup::new().new_entries("s").block(None);
    db.xreadgroup("g", "a", &new).unwrap();
    let age = Duration::from_millis(30);
    let found = block_on(db.xreadgroup_claim_async("g", "b", age, &new)).unwrap();
    assert_eq!(found[0].1[0].deliveries, 1);
    let not_yet = new.block(soon);
    let found = block_on(db.xreadgroup_claim_async("g", "b", MINUTE, &not_yet)).unwrap();
    assert!(found.is_empty());
}
