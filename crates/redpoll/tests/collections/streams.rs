//! Typed calls on streams and their groups.

use crate::{MINUTE, open, run};
use redpoll::{
    Db, GroupStart, Nack, References, StreamId, Trim, Value, XAdd, XClaim, XPending, XRead,
    XReadGroup,
};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, SystemTime};

#[test]
fn streams() {
    let db = open();
    let id = StreamId::new;
    let add = |n: u64| {
        let options = XAdd::new().id(id(n, 0));
        db.xadd_with("s", [("n", n.to_string())], &options).unwrap()
    };
    for n in 1..=5 {
        assert_eq!(add(n), Some(id(n, 0)));
    }
    let ids = |range: (std::ops::Bound<StreamId>, std::ops::Bound<StreamId>)| {
        let found = db.xrange("s", range, None).unwrap();
        found.iter().map(|e| e.id.ms).collect::<Vec<_>>()
    };
    assert_eq!(ids((Excluded(id(1, 0)), Excluded(id(4, 0)))), [2, 3]);
    assert_eq!(ids((Included(id(4, 0)), Unbounded)), [4, 5]);
    assert!(ids((Excluded(id(4, 0)), Excluded(id(4, 0)))).is_empty());
    assert!(ids((Excluded(StreamId::MAX), Unbounded)).is_empty());
    assert_eq!(db.xrevrange("s", .., Some(2)).unwrap()[1].id, id(4, 0));
    assert!(db.xrange("s", .., Some(0)).unwrap().is_empty());
    let only = XAdd::new().only_existing();
    assert_eq!(db.xadd_with("absent", [("a", "b")], &only).unwrap(), None);
    assert!(db.xadd("s", [("", ""); 0]).is_err());

    let found = db
        .xread(&XRead::new().last("s").after("absent", StreamId::MIN))
        .unwrap();
    assert_eq!((found.len(), found[0].1[0].id), (1, id(5, 0)));
    assert!(
        db.xread(&XRead::new().after("s", id(5, 0)))
            .unwrap()
            .is_empty()
    );
    assert!(db.xread(&XRead::new()).unwrap().is_empty());
    assert_eq!(
        db.xread(&XRead::new().after("s", StreamId::MIN).count(2))
            .unwrap()[0]
            .1
            .len(),
        2
    );
    assert_eq!(db.xtrim("s", &Trim::max_len(4)).unwrap(), 1);
    assert!(db.xtrim("s", &Trim::max_len(4).limit(5)).is_err());
    assert_eq!(
        db.xtrim("s", &Trim::min_id(id(3, 0)).approximate().limit(0))
            .unwrap(),
        0
    );
    assert_eq!(db.xdel("s", [id(2, 0), id(9, 9)]).unwrap(), 1);
    db.xsetid("s", id(7, 7), Some((70, id(2, 0)))).unwrap();
    let info = db.xinfo_stream("s").unwrap();
    assert_eq!(
        (info.last_id, info.entries_added, info.max_deleted_id),
        (id(7, 7), 70, id(2, 0))
    );
    assert_eq!(info.ends.unwrap().1.id, id(5, 0));
}

#[test]
fn consumer_groups() {
    let db = open();
    let id = StreamId::new;
    for n in 1..=4 {
        let options = XAdd::new().id(id(n, 0));
        db.xadd_with("s", [("n", n.to_string())], &options).unwrap();
    }
    // Words of the syntax are names like any other.
    let (group, one, two) = ("STREAMS", "COUNT", "BLOCK");
    db.xgroup_create("s", group, GroupStart::after(id(1, 0)).entries_read(1))
        .unwrap();
    let new = XReadGroup::new().new_entries("s").count(2);
    let found = db.xreadgroup(group, one, &new).unwrap();
    assert_eq!(found[0].1[0].get("n").unwrap(), "2");
    assert_eq!(db.xreadgroup(group, two, &new).unwrap()[0].1.len(), 1);
    let summary = db.xpending("s", group).unwrap();
    assert_eq!(
        (summary.count, summary.ids),
        (3, Some((id(2, 0), id(4, 0))))
    );
    assert_eq!(summary.consumers[1].0, one);
    assert_eq!(summary.consumers[1].1, 2);

    // What has been deleted meanwhile is seen without fields.
    db.xdel("s", [id(2, 0)]).unwrap();
    let pending = XReadGroup::new().pending_after("s", StreamId::MIN);
    let mine = db.xreadgroup(group, one, &pending).unwrap();
    assert_eq!((mine[0].1[0].id, mine[0].1[0].fields.len()), (id(2, 0), 0));
    assert_eq!(mine[0].1[1].fields.len(), 1);

    let listed = |which: XPending| db.xpending_entries("s", group, &which).unwrap();
    assert_eq!(listed(XPending::new()).len(), 3);
    assert_eq!(listed(XPending::new().count(1)).len(), 1);
    assert_eq!(listed(XPending::new().consumer(two))[0].id, id(4, 0));
    assert!(listed(XPending::new().range(id(9, 0)..)).is_empty());
    assert!(listed(XPending::new().range(id(9, 0)..id(9, 0))).is_empty());
    assert!(listed(XPending::new().min_idle(MINUTE)).is_empty());

    let claim = XClaim::new()
        .idle(MINUTE * 2)
        .deliveries(7)
        .last_id(id(4, 0));
    let ids = db
        .xclaim_ids("s", group, two, Duration::ZERO, [id(3, 0)], &claim)
        .unwrap();
    assert_eq!(ids, [id(3, 0)]);
    let entry = &listed(XPending::new().min_idle(MINUTE))[0];
    assert_eq!((entry.id, entry.deliveries), (id(3, 0), 7));
    assert_eq!(entry.consumer, two);
    assert!(entry.idle >= MINUTE * 2);
    let time = SystemTime::now() - MINUTE;
    db.xclaim(
        "s",
        group,
        one,
        MINUTE,
        [id(3, 0)],
        &XClaim::new().time(time).force(),
    )
    .unwrap();
    let found = db
        .xautoclaim("s", group, two, Duration::ZERO, StreamId::MIN, Some(2))
        .unwrap();
    assert_eq!(found.deleted, [id(2, 0)]);
    assert_eq!(found.claimed[0].id, id(3, 0));
    assert_eq!(found.next, id(4, 0));
    let rest = db
        .xautoclaim_ids("s", group, two, Duration::ZERO, found.next, None)
        .unwrap();
    assert_eq!(rest.claimed, [id(4, 0)]);
    assert!(
        db.xautoclaim("s", group, two, MINUTE, StreamId::MIN, Some(0))
            .is_err()
    );

    let full = db.xinfo_stream_full("s", 0).unwrap();
    assert_eq!(full.entries.len(), 3);
    let told = &full.groups[0];
    assert_eq!((told.pending_count, told.pending.len()), (2, 2));
    assert_eq!(told.consumers.len(), 2);
    let consumers = db.xinfo_consumers("s", group).unwrap();
    assert_eq!(consumers.iter().map(|c| c.pending).sum::<usize>(), 2);
    assert!(consumers[0].inactive.is_some());
    assert_eq!(db.xinfo_groups("s").unwrap()[0].name, group);

    assert_eq!(db.xack("s", group, [id(3, 0), id(2, 0)]).unwrap(), 1);
    let done = db
        .xackdel("s", group, References::Delete, [id(4, 0)])
        .unwrap();
    assert_eq!(done, [redpoll::Deletion::Deleted]);
    let no_ack = XReadGroup::new().new_entries("s").no_ack();
    db.xgroup_setid("s", group, GroupStart::beginning())
        .unwrap();
    assert_eq!(db.xreadgroup(group, one, &no_ack).unwrap()[0].1.len(), 2);
    assert_eq!(db.xpending("s", group).unwrap().count, 0);
    assert!(db.xgroup_create_consumer("s", group, "three").unwrap());
    assert_eq!(db.xgroup_delete_consumer("s", group, "three").unwrap(), 0);
    assert!(db.xgroup_destroy("s", group).unwrap());
    let gone = db.xreadgroup(group, one, &new).unwrap_err();
    assert_eq!(gone.code(), "NOGROUP");
    assert_eq!(db.xpending("absent", group).unwrap_err().code(), "NOGROUP");
}

/// What groups give out is claimed, given back and counted as the commands do.
#[test]
fn what_is_claimed_and_given_back() {
    let db = open();
    let other = open();
    let read = |db: &Db, line: &str| match db.execute(line.split(' ')) {
        Ok(value) => format!("{value:?}"),
        Err(e) => e.to_string(),
    };
    for db in [&db, &other] {
        for line in [
            "XADD s 1-1 n 1",
            "XADD s 2-1 n 2",
            "XADD s 3-1 n 3",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g a COUNT 2 STREAMS s >",
        ] {
            run(db, line);
        }
    }
    let (one, two) = (StreamId::new(1, 1), StreamId::new(2, 1));
    assert_eq!(db.xnack("s", "g", Nack::silent(), [one]).unwrap(), 1);
    assert_eq!(
        db.xnack("s", "g", Nack::failed().deliveries(9), [two])
            .unwrap(),
        1
    );
    let fatal = Nack::fatal().force();
    assert_eq!(db.xnack("s", "g", fatal, [StreamId::new(3, 1)]).unwrap(), 1);
    assert_eq!(db.xnack("s", "g", Nack::silent(), []).unwrap(), 0);
    assert_eq!(
        db.xnack("s", "none", Nack::silent(), [one])
            .unwrap_err()
            .code(),
        "NOGROUP"
    );
    for line in [
        "XNACK s g SILENT IDS 1 1-1",
        "XNACK s g FAIL IDS 1 2-1 RETRYCOUNT 9",
        "XNACK s g FATAL IDS 1 3-1 FORCE",
    ] {
        assert_eq!(run(&other, line), "1");
    }
    // What belongs to nobody is pending since 1970.
    let counts = |db: &Db| {
        let Ok(Value::Array(rows)) = db.execute("XPENDING s g - + 9".split(' ')) else {
            panic!("rows")
        };
        rows.into_iter()
            .map(|row| match row {
                Value::Array(row) => format!("{:?} {:?} {:?}", row[0], row[1], row[3]),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(&db), counts(&other));
    let what = XReadGroup::new().new_entries("s").count(5).max_count(5);
    let found = db.xreadgroup_claim("g", "b", MINUTE, &what).unwrap();
    let line = "XREADGROUP GROUP g b CLAIM 60000 COUNT 5 MAXCOUNT 5 STREAMS s >";
    assert!(read(&other, line).contains("9"));
    let shown: Vec<_> = found[0]
        .1
        .iter()
        .map(|e| (e.entry.id, e.deliveries))
        .collect();
    assert_eq!(shown[..2], [(one, 0), (two, 9)]);
    assert!(found[0].1[0].idle > MINUTE);
    assert_eq!(counts(&db), counts(&other));
    assert!(
        db.xreadgroup_claim("g", "b", MINUTE, &what)
            .unwrap()
            .is_empty()
    );
    assert!(db.xreadgroup("g", "b", &what.clone().max_size(0)).is_err());
}

#[test]
fn entries_that_are_added_once() {
    let db = open();
    let named = XAdd::new().once("p", "n");
    let first = db.xadd_with("s", [("a", "1")], &named).unwrap();
    assert_eq!(db.xadd_with("s", [("a", "2")], &named).unwrap(), first);
    let by_fields = XAdd::new().once_by_fields("p");
    let second = db.xadd_with("s", [("a", "1")], &by_fields).unwrap();
    assert_ne!(second, first);
    assert_eq!(db.xadd_with("s", [("a", "1")], &by_fields).unwrap(), second);
    assert_ne!(db.xadd_with("s", [("a", "2")], &by_fields).unwrap(), second);
    assert_eq!(db.xlen("s").unwrap(), 3);
    assert!(
        db.xadd_with("s", [("a", "1")], &XAdd::new().once("", "n"))
            .is_err()
    );
    assert!(db.xadd_with("s", [("a", "1")], &named.id_in_ms(5)).is_err());
    db.xcfgset("s", None, Some(7)).unwrap();
    db.xcfgset("s", None, None).unwrap();
    assert!(run(&db, "XINFO STREAM s").contains("7"));
    assert!(db.xcfgset("s", Some(Duration::ZERO), None).is_err());
    assert!(db.xcfgset("absent", None, Some(7)).is_err());
}
