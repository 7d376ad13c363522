//! Typed calls on collections against the commands they stand for.

mod streams;

use redpoll::{
    Aggregate, Bytes, Config, Db, End, Expire, ExpireIf, Extreme, FieldExpire, GeoPoint, GeoSearch,
    GroupStart, HSetEx, LPos, Restore, Result, Sample, Sort, StreamId, Ttl, Unit, Value, XRead,
    ZAdd, ZCombine, ZRange,
};
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, SystemTime};

fn open() -> Db {
    Db::open(Config::default()).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);
const NONE: [&str; 0] = [];

/// A reply as text.
fn run(db: &Db, line: &str) -> String {
    match db.execute(line.split(' ')) {
        Ok(Value::Bulk(b) | Value::Verbatim(_, b)) => String::from_utf8(b).unwrap(),
        Ok(Value::Int(n)) => n.to_string(),
        Ok(Value::Simple(s)) => s,
        Ok(other) => format!("{other:?}"),
        Err(e) => e.to_string(),
    }
}

fn texts(all: &[Bytes]) -> Vec<String> {
    all.iter().map(Bytes::to_string_lossy).collect()
}

fn sorted(all: &[Bytes]) -> Vec<String> {
    let mut all = texts(all);
    all.sort();
    all
}

fn scored(all: &[(Bytes, f64)]) -> Vec<(String, f64)> {
    let text = |(member, score): &(Bytes, f64)| (member.to_string_lossy(), *score);
    all.iter().map(text).collect()
}

/// What goes straight to the key sees what commands have written, whatever its size and form.
#[test]
fn direct_reads_see_every_form() {
    let db = open();
    for n in [1, 3, 200, 3000] {
        db.flushdb().unwrap();
        for i in 0..n {
            let field = format!("f{i}");
            db.hset("h", &field, i64::from(i)).unwrap();
            db.hset("long", &field, "x".repeat(i as usize)).unwrap();
            db.sadd("ints", i.to_string()).unwrap();
            db.sadd("strings", &field).unwrap();
            db.zadd("z", &field, f64::from(i) / 2.0).unwrap();
            db.rpush("l", i64::from(i)).unwrap();
        }
        let (size, last) = (n as usize, n - 1);
        let field = format!("f{last}");
        assert_eq!(db.hget("h", &field).unwrap().unwrap(), last.to_string());
        assert_eq!(db.hget("h", "f").unwrap(), None);
        assert_eq!(db.hstrlen("long", &field).unwrap(), last as usize);
        assert_eq!(
            db.hget("long", &field).unwrap().unwrap(),
            "x".repeat(last as usize)
        );
        assert!(db.hexists("h", &field).unwrap() && !db.hexists("h", "f").unwrap());
        assert_eq!(db.hlen("h").unwrap(), size);
        assert!(db.sismember("ints", last.to_string()).unwrap());
        assert!(!db.sismember("ints", n.to_string()).unwrap());
        assert!(db.sismember("strings", &field).unwrap());
        assert_eq!(db.scard("ints").unwrap(), size);
        assert_eq!(db.zscore("z", &field).unwrap(), Some(f64::from(last) / 2.0));
        assert_eq!(db.zscore("z", "f").unwrap(), None);
        assert_eq!(db.zcard("z").unwrap(), size);
        assert_eq!(db.llen("l").unwrap(), size);
        assert_eq!(db.lindex("l", -1).unwrap().unwrap(), last.to_string());
    }
    let hits = |db: &Db| {
        let info = run(db, "INFO stats");
        let line = info.lines().find(|l| l.starts_with("keyspace_hits:"));
        line.unwrap()["keyspace_hits:".len()..]
            .parse::<u64>()
            .unwrap()
    };
    let before = hits(&db);
    db.hget("h", "f1").unwrap();
    db.zcard("z").unwrap();
    assert_eq!(hits(&db), before + 2);
}

#[test]
fn fields_expire_for_direct_reads_too() {
    let db = open();
    for n in [3, 3000] {
        db.del("h").unwrap();
        db.hset_many("h", (0..n).map(|i| (format!("f{i}"), "v")))
            .unwrap();
        let soon = SystemTime::now() + Duration::from_millis(30);
        let done = db.hexpire_at("h", soon, ["f0", "absent"]).unwrap();
        // Unless this thread was held up that long, the field still has some time.
        assert!(matches!(done[0], FieldExpire::Set | FieldExpire::Deleted));
        assert_eq!(done[1], FieldExpire::Absent);
        while SystemTime::now() <= soon + Duration::from_millis(1) {
            std::thread::yield_now();
        }
        assert_eq!(db.hget("h", "f0").unwrap(), None);
        assert!(!db.hexists("h", "f0").unwrap());
        assert_eq!(db.hstrlen("h", "f0").unwrap(), 0);
        assert_eq!(db.hget("h", "f1").unwrap().unwrap(), "v");
        assert_eq!(db.hkeys("h").unwrap().len(), n - 1);
        // HLEN counts a field until somebody removes it: a write does.
        db.hset("h", "f1", "v").unwrap();
        assert_eq!(db.hlen("h").unwrap(), n - 1);
        assert_eq!(run(&db, "HLEN h"), (n - 1).to_string());
    }
}

#[test]
fn expiry_of_fields() {
    let db = open();
    db.hset_many("h", [("a", "1"), ("b", "2"), ("c", "3")])
        .unwrap();
    assert_eq!(
        db.hexpire("h", MINUTE, ["a", "x"]).unwrap(),
        [FieldExpire::Set, FieldExpire::Absent]
    );
    let shorter = db.hexpire_if("h", MINUTE / 2, ExpireIf::Later, ["a"]);
    assert_eq!(shorter.unwrap(), [FieldExpire::Refused]);
    let longer = db.hexpire_if("h", MINUTE * 2, ExpireIf::Later, ["a"]);
    assert_eq!(longer.unwrap(), [FieldExpire::Set]);
    assert_eq!(
        db.hexpire("h", Duration::ZERO, ["b"]).unwrap(),
        [FieldExpire::Deleted]
    );
    let left = db.httl("h", ["a", "b", "c"]).unwrap();
    assert!(matches!(left[0], Ttl::In(t) if t > MINUTE && t <= MINUTE * 2));
    assert_eq!(left[1..], [Ttl::Absent, Ttl::Never]);
    assert_eq!(
        db.hpersist("h", ["a", "c", "x"]).unwrap(),
        [true, false, false]
    );
    let before_1970 = SystemTime::UNIX_EPOCH - MINUTE;
    assert_eq!(
        db.hexpire_at("h", before_1970, ["c"]).unwrap(),
        [FieldExpire::Deleted]
    );
    assert!(db.hexpire("h", Duration::MAX, ["a"]).is_err());

    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(5_000_000_000_123);
    db.hgetex("h", Expire::At(at), ["a"]).unwrap();
    assert_eq!(db.hexpire_time("h", ["a", "x"]).unwrap(), [Some(at), None]);
    db.hgetex("h", Expire::Never, ["a"]).unwrap();
    assert_eq!(db.httl("h", ["a"]).unwrap(), [Ttl::Never]);
    let keep = HSetEx::new()
        .if_key_present()
        .if_all_fields_present()
        .keep_expiry();
    assert!(db.hsetex("h", [("a", "9")], &keep).unwrap());
    assert!(!db.hsetex("h", [("z", "9")], &keep).unwrap());
    assert!(
        !db.hsetex("h", [("a", "8")], &HSetEx::new().if_key_absent())
            .unwrap()
    );
    assert!(
        db.hsetex("h", [("a", "8")], &HSetEx::new().expire_at(at))
            .unwrap()
    );
    assert_eq!(db.hexpire_time("h", ["a"]).unwrap(), [Some(at)]);
    assert_eq!(db.hgetdel("h", ["a"]).unwrap()[0].as_ref().unwrap(), "8");
    assert!(!db.exists("h").unwrap());
    assert_eq!(db.httl("h", ["a"]).unwrap(), [Ttl::Absent]);
}

#[test]
fn lists() {
    let db = open();
    db.rpush_many("l", ["a", "b", "c", "b"]).unwrap();
    assert_eq!(db.lpos("l", "b").unwrap(), Some(1));
    let last_first = LPos::new().rank(-1).count(1);
    assert_eq!(db.lpos_with("l", "b", &last_first).unwrap(), [3]);
    assert!(db.lpos_with("l", "b", &LPos::new().rank(0)).is_err());
    assert!(
        db.lpos_with("l", "b", &LPos::new().max_len(1))
            .unwrap()
            .is_empty()
    );
    assert!(
        db.lpos_with("absent", "b", &LPos::new())
            .unwrap()
            .is_empty()
    );
    assert_eq!(db.linsert_after("l", "c", 7).unwrap(), Some(5));
    assert_eq!(db.linsert_after("absent", "c", 7).unwrap(), None);
    assert_eq!(
        texts(&db.lrange("l", 0, -1).unwrap()),
        ["a", "b", "c", "7", "b"]
    );
    assert_eq!(db.lrem("l", 1, "b").unwrap(), 1);
    assert_eq!(db.lrem("l", 0, 7).unwrap(), 1);
    let moved = db.lmove("l", "l", End::Right, End::Left).unwrap();
    assert_eq!(moved.unwrap(), "b");
    assert_eq!(texts(&db.lpop_many("l", 9).unwrap()), ["b", "a", "c"]);
    assert!(db.lpop_many("l", 9).unwrap().is_empty());
    assert_eq!(db.rpop("l").unwrap(), None);
    assert_eq!(db.rpushx("l", 1).unwrap(), 0);
    // Nothing to push is no error, and says how long the list is.
    db.rpush("l", "x".repeat(100_000)).unwrap();
    assert_eq!(db.lpush_many("l", NONE).unwrap(), 1);
    assert_eq!(db.rpop("l").unwrap().unwrap().len(), 100_000);
    assert!(db.lmpop(["l"], End::Left, 0).is_err());
    assert_eq!(db.lmpop(NONE, End::Left, 1).unwrap(), None);
}

#[test]
fn sets() {
    let db = open();
    db.sadd_many("a", ["1", "2", "3"]).unwrap();
    db.sadd_many("b", ["3", "4"]).unwrap();
    assert_eq!(
        sorted(&db.sunion(["a", "b"]).unwrap()),
        ["1", "2", "3", "4"]
    );
    assert_eq!(sorted(&db.sinter(["a", "b"]).unwrap()), ["3"]);
    assert_eq!(sorted(&db.sdiff(["a", "b", "absent"]).unwrap()), ["1", "2"]);
    assert!(db.sunion(NONE).unwrap().is_empty());
    assert_eq!(db.sintercard(["a", "b"], None).unwrap(), 1);
    assert_eq!(db.sintercard(["a", "b"], Some(0)).unwrap(), 0);
    assert!(db.sintercard(NONE, None).is_err() && db.sunionstore("to", NONE).is_err());
    assert_eq!(db.smismember("a", ["1", "4"]).unwrap(), [true, false]);
    assert_eq!(db.smismember("absent", ["1"]).unwrap(), [false]);
    assert!(!db.smove("a", "b", "9").unwrap());
    assert_eq!(db.srandmembers("a", Sample::Distinct(0)).unwrap(), NONE);
    assert_eq!(
        db.srandmembers("a", Sample::Distinct(usize::MAX))
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        db.srandmembers("absent", Sample::Repeating(3)).unwrap(),
        NONE
    );
    assert!(db.srandmembers("a", Sample::Repeating(usize::MAX)).is_err());
    assert_eq!(sorted(&db.spop_many("a", 9).unwrap()), ["1", "2", "3"]);
    assert!(!db.exists("a").unwrap());
}

#[test]
fn sorted_sets() {
    let db = open();
    db.zadd_many(
        "z",
        [("a", 1.0), ("b", 2.0), ("c", 3.0), ("inf", f64::INFINITY)],
    )
    .unwrap();
    assert_eq!(run(&db, "ZSCORE z inf"), "Double(inf)");
    assert!(db.zincr_by("z", "inf", f64::NEG_INFINITY).is_err());
    let range = |range: ZRange| texts(&db.zrange("z", &range).unwrap());
    assert_eq!(
        range(ZRange::ranks(0, -1).reversed()),
        ["inf", "c", "b", "a"]
    );
    assert_eq!(range(ZRange::scores(..)), ["a", "b", "c", "inf"]);
    assert_eq!(range(ZRange::scores(..f64::INFINITY)), ["a", "b", "c"]);
    assert_eq!(range(ZRange::scores(2.0..)), ["b", "c", "inf"]);
    assert_eq!(
        range(ZRange::scores(2.0..).reversed().limit(0, 2)),
        ["inf", "c"]
    );
    assert_eq!(range(ZRange::scores(2.0..).reversed().skip(1)), ["c", "b"]);
    assert_eq!(range(ZRange::scores((Excluded(1.0), Included(2.0)))), ["b"]);
    assert_eq!(range(ZRange::scores((Unbounded, Excluded(2.0)))), ["a"]);
    assert!(db.zrange("z", &ZRange::ranks(0, 1).limit(0, 1)).is_err());
    assert!(db.zcount("z", f64::NAN..).is_err());

    db.zadd_many("w", ["ape", "bee", "cow"].map(|m| (m, 0.0)))
        .unwrap();
    let range = |range: ZRange| texts(&db.zrange("w", &range).unwrap());
    assert_eq!(range(ZRange::members("b"..)), ["bee", "cow"]);
    assert_eq!(range(ZRange::members("b"..).reversed()), ["cow", "bee"]);
    assert_eq!(range(ZRange::members::<&str>(..)), ["ape", "bee", "cow"]);
    assert_eq!(
        range(ZRange::members::<&str>((Excluded("ape"), Excluded("cow")))),
        ["bee"]
    );
    assert_eq!(db.zlexcount("w", ..="bee").unwrap(), 2);
    // Members that look like ends of ranges are members.
    db.zadd("w", "+", 0.0).unwrap();
    assert_eq!(db.zlexcount("w", "+"..="+").unwrap(), 1);
    assert_eq!(db.zremrange_by_member("w", "+".."b").unwrap(), 2);

    let by = |z: &ZCombine| scored(&db.zunion(z).unwrap());
    db.zadd("y", "a", 10.0).unwrap();
    let both = ZCombine::new(["z", "y"]);
    assert_eq!(by(&both)[3], ("inf".into(), f64::INFINITY));
    assert_eq!(
        by(&both.clone().aggregate(Aggregate::Max))[2],
        ("a".into(), 10.0)
    );
    assert_eq!(
        scored(&db.zinter(&both.clone().weights([2.0, -1.0])).unwrap()),
        [("a".into(), -8.0)]
    );
    assert!(db.zunion(&both.clone().weights([1.0])).is_err());
    assert!(db.zunion(&ZCombine::new(NONE)).is_err());
    assert_eq!(scored(&db.zdiff(["z", "y"]).unwrap())[0], ("b".into(), 2.0));
    assert_eq!(db.zinterstore("to", &both).unwrap(), 1);
    assert_eq!(db.zdiffstore("to", ["y", "z"]).unwrap(), 0);
    assert!(!db.exists("to").unwrap());

    let nx_gt = ZAdd::new().if_absent().if_greater();
    assert!(db.zadd_with("z", [("q", 1.0)], &nx_gt).is_err());
    let xx_ch = ZAdd::new().if_present().count_changed();
    assert_eq!(
        db.zadd_with("z", [("a", 5.0), ("q", 1.0)], &xx_ch).unwrap(),
        1
    );
    assert_eq!(
        db.zincr_with("z", "a", 1.0, &ZAdd::new().if_less())
            .unwrap(),
        None
    );
    assert_eq!(db.zrank("z", "a").unwrap(), Some((2, 5.0)));
    assert_eq!(db.zpopmin("z").unwrap().unwrap().0, "b");
    assert_eq!(
        scored(&db.zpop_many("z", Extreme::Max, 1).unwrap())[0].0,
        "inf"
    );
    assert_eq!(db.zpopmin("absent").unwrap(), None);
    assert!(db.zpop_many("absent", Extreme::Min, 2).unwrap().is_empty());
    assert_eq!(db.zmpop(["absent"], Extreme::Min, 1).unwrap(), None);
}

#[test]
fn scans_come_to_an_end_and_see_everything() {
    let db = open();
    for n in [0, 10, 5000] {
        db.flushdb().unwrap();
        let all: BTreeSet<String> = (0..n).map(|i| format!("m{i}")).collect();
        db.sadd_many("s", &all).unwrap();
        db.hset_many("h", all.iter().map(|m| (m, m))).unwrap();
        db.zadd_many("z", all.iter().map(|m| (m, 0.1))).unwrap();
        let text = |m: Bytes| m.to_string_lossy();
        let set: BTreeSet<String> = db.sscan("s").map(|m| text(m.unwrap())).collect();
        assert_eq!(set, all);
        let scan = db.hscan("h").batch(7).map(Result::unwrap);
        let hash: BTreeSet<String> = scan
            .inspect(|(field, value)| assert_eq!(field, value))
            .map(|(field, _)| text(field))
            .collect();
        assert_eq!(hash, all);
        let fields: BTreeSet<String> = db.hscan_fields("h").map(|f| text(f.unwrap())).collect();
        assert_eq!(fields, all);
        let scan = db.zscan("z").batch(0).map(Result::unwrap);
        let members: BTreeSet<String> = scan
            .inspect(|(_, score)| assert_eq!(*score, 0.1))
            .map(|(member, _)| text(member))
            .collect();
        assert_eq!(members, all);
        let tens = all.iter().filter(|m| m.ends_with('0')).count();
        assert_eq!(db.sscan("s").matching("*0").count(), tens);
    }
    db.set("text", "x").unwrap();
    let mut scan = db.hscan("text");
    assert!(scan.next().unwrap().unwrap_err().is_wrong_type());
    assert!(scan.next().is_none());
}

#[test]
fn places() {
    let db = open();
    let point = GeoPoint::new;
    db.geoadd_many(
        "g",
        [
            ("Palermo", point(13.361389, 38.115556)),
            ("Catania", point(15.087269, 37.502669)),
        ],
    )
    .unwrap();
    assert!(db.geoadd("g", "nowhere", point(200.0, 0.0)).is_err());
    let around = GeoSearch::circle(point(15.0, 37.0), 200.0, Unit::Kilometres);
    let found = db.geosearch("g", &around.clone().descending()).unwrap();
    assert_eq!(texts(&found), ["Palermo", "Catania"]);
    assert_eq!(
        texts(&db.geosearch("g", &around.clone().count(1)).unwrap()),
        ["Catania"]
    );
    assert_eq!(
        db.geosearch("g", &around.clone().count_any(1))
            .unwrap()
            .len(),
        1
    );
    assert!(db.geosearch("g", &around.clone().count(0)).is_err());
    let hits = db.geosearch_hits("g", &around.clone().ascending()).unwrap();
    assert_eq!(hits[1].distance, 190.4424);
    assert_eq!(hits[1].hash, 3479099956230698);
    assert_eq!(db.geopos("g", ["Palermo"]).unwrap(), [Some(hits[1].point)]);
    let sea = [point(12.0, 39.0), point(16.0, 39.0), point(14.0, 36.0)];
    assert_eq!(
        db.geosearch("g", &GeoSearch::polygon(sea)).unwrap().len(),
        1
    );
    assert!(
        db.geosearch("g", &GeoSearch::polygon(sea[..2].to_vec()))
            .is_err()
    );
    let member = GeoSearch::rectangle("absent", 1.0, 1.0, Unit::Miles);
    assert!(db.geosearch("g", &member).is_err());
    assert!(db.geosearch("absent", &member).unwrap().is_empty());
    assert_eq!(db.geosearchstore_distances("d", "g", &around).unwrap(), 2);
    let catania = db.zscore("d", "Catania").unwrap().unwrap();
    assert!((catania - 56.4413).abs() < 0.0001);
    assert_eq!(
        db.geodist("g", "Palermo", "absent", Unit::Feet).unwrap(),
        None
    );
    let compare = ZAdd::new().if_greater();
    assert!(
        db.geoadd_with("g", [("a", point(0.0, 0.0))], &compare)
            .is_err()
    );
}

#[test]
fn sorting_and_whole_values() {
    let db = open();
    db.rpush_many("l", ["3", "1", "2"]).unwrap();
    db.set("w1", 9).unwrap();
    db.set("name1", "one").unwrap();
    let how = Sort::new().by("w*").get("#").get("name*").descending();
    let found = db.sort("l", &how).unwrap();
    assert_eq!(found[0].as_ref().unwrap(), "1");
    assert_eq!(found[1].as_ref().unwrap(), "one");
    assert_eq!((found.len(), &found[3]), (6, &None));
    assert_eq!(
        db.sort_store("l", &how.clone().limit(0, 2), "to").unwrap(),
        4
    );
    assert_eq!(texts(&db.lrange("to", 0, 1).unwrap()), ["1", "one"]);
    assert_eq!(db.sort_store("absent", &how, "to").unwrap(), 0);
    assert!(!db.exists("to").unwrap());

    let bytes = db.dump("l").unwrap().unwrap();
    assert_eq!(db.dump("absent").unwrap(), None);
    let past = Restore::new().expire_at(SystemTime::UNIX_EPOCH);
    for gone in [past, Restore::new().expire_in(Duration::ZERO)] {
        db.restore("gone", &bytes, &gone).unwrap();
        assert!(!db.exists("gone").unwrap());
    }
    let used = Restore::new()
        .replace()
        .idle(MINUTE)
        .expire_at(SystemTime::now() + MINUTE);
    db.restore("l", &bytes, &used).unwrap();
    assert!(db.object_idle_time("l").unwrap().unwrap() >= MINUTE);
    // Times are rounded up to whole milliseconds.
    assert!(
        matches!(db.ttl("l").unwrap(), Ttl::In(left) if left <= MINUTE + Duration::from_millis(1))
    );
    assert_eq!(db.object_encoding("l").unwrap().unwrap(), "listpack");
    assert_eq!(db.object_encoding("absent").unwrap(), None);
    assert_eq!(db.object_idle_time("absent").unwrap(), None);
    assert!(db.object_freq("l").unwrap().is_some());
    assert_eq!(db.memory_usage("absent", Some(0)).unwrap(), None);
    let mut damaged: Vec<u8> = bytes.into();
    damaged[2] ^= 1;
    assert!(db.restore("new", damaged, &Restore::new()).is_err());
}

#[test]
fn waiting_for_elements() {
    let db = open();
    let short = Some(Duration::from_millis(1));
    assert_eq!(db.blpop(["l", "k"], short).unwrap(), None);
    assert_eq!(db.brpop(["l"], Some(Duration::ZERO)).unwrap(), None);
    assert_eq!(
        db.blmove("l", "m", End::Left, End::Right, short).unwrap(),
        None
    );
    assert_eq!(db.blmpop(["l"], End::Left, 1, short).unwrap(), None);
    assert_eq!(db.bzpopmax(["z"], short).unwrap(), None);
    assert_eq!(db.bzmpop(["z"], Extreme::Min, 1, short).unwrap(), None);
    assert_eq!(db.blpop(NONE, None).unwrap(), None);
    assert!(db.blpop(["l"], Some(Duration::MAX)).is_err());
    assert!(
        db.xread(&XRead::new().new_entries("s").block(Some(Duration::MAX)))
            .is_err()
    );

    // Each element goes to one of them, whoever comes first: takers or givers, calls or commands.
    let takers: Vec<_> = (0..4)
        .map(|n| {
            let db = db.clone();
            std::thread::spawn(move || {
                let take = |_| match n % 2 {
                    0 => db.blpop(["a", "b"], None).unwrap().unwrap().1,
                    _ => db.brpop(["b", "a"], None).unwrap().unwrap().1,
                };
                (0..50).map(take).collect::<Vec<Bytes>>()
            })
        })
        .collect();
    for n in 0..100 {
        db.rpush("a", n).unwrap();
        run(&db, &format!("LPUSH b {}", n + 100));
    }
    let taken = takers.into_iter().flat_map(|t| t.join().unwrap());
    let mut numbers: Vec<u32> = taken
        .map(|b| b.to_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<u32>>());
    assert!(!db.exists("a").unwrap() && !db.exists("b").unwrap());
}

/// Each call on a key of another type says so, and changes nothing.
#[test]
fn wrong_types() {
    let db = open();
    db.set("k", "text").unwrap();
    let k = "k";
    let id = StreamId::new(1, 1);
    let errors = [
        db.hget(k, "f").err(),
        db.hlen(k).err(),
        db.hexists(k, "f").err(),
        db.hset(k, "f", "v").err(),
        db.hset_many(k, [("f", "v")]).err(),
        db.hgetall(k).err(),
        db.hmget(k, ["f"]).err(),
        db.hincr_by(k, "f", 1).err(),
        db.hexpire(k, MINUTE, ["f"]).err(),
        db.hgetdel(k, ["f"]).err(),
        db.hsetex(k, [("f", "v")], &HSetEx::new()).err(),
        db.llen(k).err(),
        db.lpush(k, 1).err(),
        db.lpush_many(k, NONE).err(),
        db.rpop(k).err(),
        db.lrange(k, 0, 1).err(),
        db.lset(k, 0, 1).err(),
        db.sismember(k, "m").err(),
        db.scard(k).err(),
        db.sadd(k, "m").err(),
        db.sunion([k]).err(),
        db.spop(k).err(),
        db.zscore(k, "m").err(),
        db.zcard(k).err(),
        db.zadd(k, "m", 1.0).err(),
        db.zrange(k, &ZRange::ranks(0, 1)).err(),
        db.zunion(&ZCombine::new([k])).err(),
        db.zpopmin(k).err(),
        db.xadd(k, [("a", "b")]).err(),
        db.xlen(k).err(),
        db.xrange(k, .., None).err(),
        db.xread(&XRead::new().after(k, id)).err(),
        db.xgroup_create(k, "g", GroupStart::end()).err(),
        db.xinfo_stream(k).err(),
        db.pfadd(k, "e").err(),
        db.geoadd(k, "m", GeoPoint::new(0.0, 0.0)).err(),
        db.sort(k, &Sort::new()).err(),
        db.blpop([k], None).err(),
        db.bzpopmin([k], None).err(),
    ];
    for (n, error) in errors.into_iter().enumerate() {
        assert!(error.is_some_and(|e| e.is_wrong_type()), "call {n}");
    }
    assert_eq!(db.get(k).unwrap().unwrap(), "text");
}

/// The commands of these groups that no typed call stands for, and what does it instead.
const WITHOUT: &[(&str, &str)] = &[
    ("hmset", "hset_many"),
    ("hexpireat", "hexpire_at, in milliseconds"),
    ("hexpiretime", "hexpire_time, in milliseconds"),
    ("httl", "httl, in milliseconds"),
    ("hexpire", "hexpire, in milliseconds"),
    ("rpoplpush", "lmove"),
    ("brpoplpush", "blmove"),
    ("zrangebylex", "zrange"),
    ("zrangebyscore", "zrange"),
    ("zrevrange", "zrange"),
    ("zrevrangebylex", "zrange"),
    ("zrevrangebyscore", "zrange"),
    ("georadius", "geosearch"),
    ("georadius_ro", "geosearch"),
    ("georadiusbymember", "geosearch"),
    ("georadiusbymember_ro", "geosearch"),
    ("pfdebug", "nothing: it is for tests"),
    ("pfselftest", "nothing: it is for tests"),
    ("sexpire", "sexpire, in milliseconds"),
    ("sexpireat", "sexpire_at, in milliseconds"),
    ("sexpiretime", "sexpire_time, in milliseconds"),
    ("sttl", "sttl, in milliseconds"),
    ("xidmprecord", "nothing: it is for files and replicas"),
    ("hget", "a direct read"),
    ("hexists", "a direct read"),
    ("hlen", "a direct read"),
    ("hstrlen", "a direct read"),
    ("llen", "a direct read"),
    ("sismember", "a direct read"),
    ("scard", "a direct read"),
    ("zscore", "a direct read"),
    ("zcard", "a direct read"),
];

/// Every command on collections has a typed call: its name stands in the source of the library.
#[test]
fn every_command_has_a_call() {
    let sources = [
        include_str!("../../src/blocking.rs"),
        include_str!("../../src/hashes.rs"),
        include_str!("../../src/hash_expiry.rs"),
        include_str!("../../src/lists.rs"),
        include_str!("../../src/list_moves.rs"),
        include_str!("../../src/sets.rs"),
        include_str!("../../src/set_expiry.rs"),
        include_str!("../../src/sorted_sets.rs"),
        include_str!("../../src/sorted_set_ranges.rs"),
        include_str!("../../src/sorted_set_moves.rs"),
        include_str!("../../src/streams.rs"),
        include_str!("../../src/stream_groups.rs"),
        include_str!("../../src/stream_info.rs"),
        include_str!("../../src/stream_pending.rs"),
        include_str!("../../src/hyperloglog.rs"),
        include_str!("../../src/geo.rs"),
        include_str!("../../src/sort.rs"),
        include_str!("../../src/dump.rs"),
    ]
    .concat();
    let db = open();
    let groups = [
        "hash",
        "list",
        "set",
        "sorted-set",
        "stream",
        "hyperloglog",
        "geo",
    ];
    let mut seen = 0;
    let Value::Map(docs) = db.execute(["COMMAND", "DOCS"]).unwrap() else {
        panic!("COMMAND DOCS is a map");
    };
    let text = |value: &Value| match value {
        Value::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    for (name, doc) in &docs {
        let Value::Map(doc) = doc else {
            panic!("{name:?} is described by a map");
        };
        let group = doc.iter().find(|(key, _)| text(key) == "group");
        let name = text(name);
        if !groups.contains(&&*text(&group.unwrap().1)) {
            continue;
        }
        seen += 1;
        let called = sources.contains(&format!("\"{}\"", name.to_uppercase()));
        let excused = WITHOUT.iter().any(|(without, _)| *without == name);
        assert!(called != excused, "{name}");
    }
    assert!(seen > 100, "{seen} commands");
}

#[test]
fn members_that_expire() {
    let db = open();
    db.sadd_many("s", ["a", "b", "c"]).unwrap();
    let set = [FieldExpire::Set];
    assert_eq!(db.sexpire("s", MINUTE, ["a"]).unwrap(), set);
    assert_eq!(
        db.sexpire_if("s", MINUTE * 2, ExpireIf::Later, ["a"])
            .unwrap(),
        set
    );
    let sooner = db.sexpire_if("s", MINUTE * 3, ExpireIf::Sooner, ["a"]);
    assert_eq!(sooner.unwrap(), [FieldExpire::Refused]);
    let left: i64 = run(&db, "SPTTL s MEMBERS 1 a")
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap();
    assert!((60_000..=120_000).contains(&left));
    assert!(matches!(db.sttl("s", ["a"]).unwrap()[0], Ttl::In(t) if t > MINUTE));
    assert_eq!(db.spersist("s", ["a", "b"]).unwrap(), [true, false]);
    assert_eq!(
        db.sexpire("s", Duration::ZERO, ["b"]).unwrap(),
        [FieldExpire::Deleted]
    );
    let past = SystemTime::UNIX_EPOCH - MINUTE;
    assert_eq!(
        db.sexpire_at("s", past, ["c"]).unwrap(),
        [FieldExpire::Deleted]
    );
    assert_eq!(sorted(&db.smembers("s").unwrap()), ["a"]);
    assert!(db.sexpire("s", MINUTE, NONE).unwrap().is_empty());
    assert!(db.sexpire_time("s", ["a"]).unwrap()[0].is_none());
    run(&db, "SET text x");
    assert!(db.sttl("text", ["a"]).unwrap_err().is_wrong_type());
}
