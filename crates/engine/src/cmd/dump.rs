//! DUMP and RESTORE: values as bytes that Redis and Valkey understand. The format is the `rdb` crate's.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::memory::{clock_of_idle, counted, minutes};
use crate::context::command::{
    Command, DENYOOM, Group, KS_ACCESS, KS_OW, KS_RO, KS_UPDATE, KeySpec, READONLY, WHOLE, WRITE,
    row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use crate::door::record::Gone;
use crate::table::categories::{CAT_DANGEROUS, CAT_KEYSPACE};
use rdb::encode::Options;
use rdb::payload::{self, Refused};
use rdb::{Loaded, Settings, Version};
use resp::number::format_i64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::types::stream;
use store::{Collection, MAX_INLINE, NewValue, Object};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("dump", 2, WHOLE | READONLY, Group::Generic, "2.6.0", dump)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key").tips(&["nondeterministic_output"])
        .docs("Returns a value in serialized form.",
              "O(N*M), N being the number of objects in the value and M their average size"),
    row("restore", -4, WRITE | DENYOOM, Group::Generic, "2.6.0", restore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE)])
        .args("key ttl:int serialized-value [REPLACE@3.0.0] [ABSTTL@5.0.0] \
               [IDLETIME seconds:int@5.0.0] [FREQ frequency:int@5.0.0]")
        .acl(CAT_KEYSPACE | CAT_DANGEROUS)
        .docs("Creates a key from a serialized value.",
              "O(N*M), N being the number of objects in the value and M their average size; \
               O(N*M*log(N)) for sorted sets")
        .history(&[
            ("3.0.0", "New option REPLACE."),
            ("5.0.0", "New option ABSTTL."),
            ("5.0.0", "New options IDLETIME and FREQ."),
        ]),
];

/// Larger values are written, read and copied on a helper thread.
pub(super) const LONG_VALUE: usize = 1 << 17;

fn dump(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.take();
    let size = ctx.keys.peek(key).map_or(0, |e| e.memory());
    if size > LONG_VALUE && ctx.moves_elsewhere() {
        return Ok(());
    }
    let options = Options {
        version: Version::V10,
        compress: ctx.engine.config().live.rdb_compression.load(Relaxed),
        now_ms: ctx.keys.now_ms,
        for_replica: false,
    };
    match ctx.keys.read(key).and_then(|e| payload::dump(&e, &options)) {
        Some(bytes) if bytes.len() > LONG_VALUE => ctx.out.shared(&Arc::new(bytes)),
        Some(bytes) => ctx.out.bulk(&bytes),
        None => ctx.out.null(),
    }
    Ok(())
}

pub(super) fn restore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, ttl, bytes) = (args.take(), args.take(), args.take());
    if bytes.len() > LONG_VALUE && ctx.moves_elsewhere() {
        return Ok(());
    }
    let (mut replace, mut absolute) = (false, false);
    let (mut idle_s, mut frequency) = (None, None);
    while args.left() > 0 {
        if args.keyword("REPLACE") {
            replace = true;
        } else if args.keyword("ABSTTL") {
            absolute = true;
        } else if frequency.is_none() && args.keyword_with_value("IDLETIME") {
            idle_s = Some(args.int());
            args.check()?;
            if idle_s < Some(0) {
                return Err(Error::new("ERR Invalid IDLETIME value, must be >= 0"));
            }
        } else if idle_s.is_none() && args.keyword_with_value("FREQ") {
            let n = args.int();
            args.check()?;
            if !(0..=255).contains(&n) {
                return Err(Error::new(
                    "ERR Invalid FREQ value, must be >= 0 and <= 255",
                ));
            }
            frequency = Some(n);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if !replace && ctx.keys.write(key).is_some() {
        return Err(Error::new("BUSYKEY Target key name already exists."));
    }
    let ttl = resp::number::parse_i64(ttl).ok_or(Error::NOT_AN_INTEGER)?;
    if ttl < 0 {
        return Err(Error::new("ERR Invalid TTL value, must be >= 0"));
    }
    // With what has expired in it: whoever does this again gets the same payload, and must be told what of it is gone.
    let all = Settings {
        now_ms: 0,
        ..settings(ctx)
    };
    let mut loaded = payload::restore(bytes, &all).map_err(|refused| match refused {
        Refused::Footer => Error::new("ERR DUMP payload version or checksum are wrong"),
        Refused::Value(_) => Error::new("ERR Bad data format"),
    })?;
    let mut expired = Gone::default();
    if let Loaded::Object(object) = &mut loaded {
        let now_ms = ctx.keys.now_ms;
        object.expire_elements(now_ms, usize::MAX, &mut |element| expired.add(element));
    }
    // A payload may hold what is compressed.
    let larger = match &loaded {
        Loaded::String(text) => text.len(),
        Loaded::Object(object) => object.memory(),
    };
    ctx.keys.make_room(larger.saturating_sub(bytes.len()), 0)?;
    let was = ctx.keys.remove_to_replace(key);
    let now_ms = ctx.keys.now_ms as i64;
    let expiry_ms = match ttl {
        0 => None,
        at if absolute => Some(at),
        // Past the range it wraps around to a time long gone, as in Redis.
        ttl => Some(ttl.wrapping_add(now_ms)),
    };
    if expiry_ms.is_none_or(|at| at > now_ms) {
        let stored = insert(ctx, key, loaded, expiry_ms.map(|ms| ms as u64));
        if stored {
            // A payload says nothing of it: it is the key that is protected.
            let kept = was.is_some_and(|was| was.kept);
            ctx.keys.keep_on(ctx.keys.db, key, kept);
            ctx.keys.changed(key, Event::generic("restore"));
            let mut digits = [0; 20];
            let at = format_i64(expiry_ms.unwrap_or(0), &mut digits);
            ctx.keys
                .record(&[b"RESTORE", key, at, bytes, b"REPLACE", b"ABSTTL"]);
            ctx.keys.record_expired_elements(key, &expired);
        } else if was.is_some() {
            ctx.keys.changed(key, Event::DEL);
            ctx.keys.record(&[b"DEL", key]);
        }
        // As the policy has it: an idle time says nothing of how often a key is used, and the other way round.
        let now_ms = ctx.keys.now_ms;
        let clock = match (idle_s, frequency) {
            (Some(idle_s), _) if !ctx.keys.aging.counts() => {
                Some(clock_of_idle(idle_s as u64, now_ms))
            }
            (_, Some(n)) if ctx.keys.aging.counts() => Some(counted(minutes(now_ms), n as u32)),
            _ => None,
        };
        if let Some(clock) = clock
            && let Some(found) = ctx.keys.write(key)
        {
            found.touch(clock);
        }
    } else if was.is_some() {
        ctx.keys.changed(key, Event::DEL);
        ctx.keys.record(&[b"DEL", key]);
    }
    ctx.out.ok();
    Ok(())
}

/// Adds a value under a key that is not there. False if there is nothing to add: all elements have expired.
fn insert(ctx: &mut Ctx<'_>, key: &[u8], loaded: Loaded<'_>, expiry_ms: Option<u64>) -> bool {
    fn collection<C: Collection>(ctx: &mut Ctx<'_>, key: &[u8], value: C, expiry_ms: Option<u64>) {
        ctx.keys
            .insert_collection(ctx.keys.db, key, value, expiry_ms);
    }
    match loaded {
        Loaded::String(text) if text.len() > MAX_INLINE => {
            ctx.keys
                .set(key, NewValue::Blob(Arc::new(text.into_vec())), expiry_ms);
        }
        Loaded::String(text) => ctx.keys.set(key, store::new_value(&text), expiry_ms),
        Loaded::Object(Object::List(value)) => collection(ctx, key, value, expiry_ms),
        Loaded::Object(Object::Set(value)) if value.is_empty() => return false,
        Loaded::Object(Object::Set(value)) => collection(ctx, key, value, expiry_ms),
        Loaded::Object(Object::SortedSet(value)) => collection(ctx, key, value, expiry_ms),
        Loaded::Object(Object::Hash(value)) if value.is_empty() => return false,
        Loaded::Object(Object::Hash(value)) => collection(ctx, key, value, expiry_ms),
        Loaded::Object(Object::Stream(value)) => collection(ctx, key, value, expiry_ms),
    }
    true
}

fn stream_limits(ctx: &Ctx<'_>) -> stream::Limits {
    let live = &ctx.engine.config().live;
    stream::Limits {
        node_bytes: live.stream_node_max_bytes.load(Relaxed),
        node_entries: live.stream_node_max_entries.load(Relaxed),
    }
}

fn settings(ctx: &Ctx<'_>) -> Settings {
    Settings {
        now_ms: ctx.keys.now_ms,
        list: super::list::limits(ctx.engine),
        set: super::set::limits(ctx),
        hash: super::hash::limits(ctx),
        sorted_set: super::sorted_set::limits(ctx.engine),
        stream: stream_limits(ctx),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;
    use resp::Value;

    #[track_caller]
    fn dump(db: &mut TestClient, key: &str) -> Vec<u8> {
        match db.call(&["DUMP", key]) {
            Some(Value::Bulk(bytes)) => bytes,
            other => panic!("no payload: {other:?}"),
        }
    }

    #[track_caller]
    fn restore(db: &mut TestClient, args: &[&[u8]]) -> Value {
        db.call(&[&[b"RESTORE".as_slice()], args].concat()).unwrap()
    }

    /// Every type and encoding, and what shows that nothing of it is lost.
    const VALUES: &[(&str, &str, &str)] = &[
        ("SET k 12", "GET k", r#""12""#),
        ("SET k -70000", "GET k", r#""-70000""#),
        (
            "SET k 123456789012345678",
            "GET k",
            r#""123456789012345678""#,
        ),
        (
            "SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
            "GETRANGE k -3 -1",
            r#""aab""#,
        ),
        ("SETRANGE k 100000 x", "BITCOUNT k", "4"),
        (
            "RPUSH k a 1 -300 70000",
            "LRANGE k 0 -1",
            r#"["a" "1" "-300" "70000"]"#,
        ),
        (
            "CONFIG SET list-max-listpack-size 2; RPUSH k a b c d e",
            "LRANGE k 0 -1",
            r#"["a" "b" "c" "d" "e"]"#,
        ),
        ("SADD k 3 1 2", "SMEMBERS k", r#"["1" "2" "3"]"#),
        ("SADD k a 2", "SMEMBERS k", r#"["a" "2"]"#),
        (
            "CONFIG SET set-max-listpack-entries 1; SADD k a b c",
            "SCARD k",
            "3",
        ),
        (
            "ZADD k 1.5 a -inf b 3 4",
            "ZRANGE k 0 -1 WITHSCORES",
            r#"["b" "-inf" "a" "1.5" "4" "3"]"#,
        ),
        (
            "CONFIG SET zset-max-listpack-entries 1; ZADD k 1.5 a -inf b",
            "ZRANGE k 0 -1 WITHSCORES",
            r#"["b" "-inf" "a" "1.5"]"#,
        ),
        ("HSET k f v 1 2", "HGETALL k", r#"["f" "v" "1" "2"]"#),
        (
            "CONFIG SET hash-max-listpack-entries 1; HSET k f v g w",
            "HMGET k f g",
            r#"["v" "w"]"#,
        ),
        (
            "HSET k f v g w; HPEXPIREAT k 33333333333333 FIELDS 1 f",
            "HPEXPIRETIME k FIELDS 2 f g",
            "[33333333333333 -1]",
        ),
    ];

    #[test]
    fn round_trips_keep_value_and_encoding() {
        for (make, look, expected) in VALUES {
            let mut db = TestClient::new();
            db.run(make);
            let encoding = db.call(&["OBJECT", "ENCODING", "k"]);
            let payload = dump(&mut db, "k");
            assert_eq!(
                restore(&mut db, &[b"k", b"0", &payload, b"REPLACE"]),
                Value::Simple("OK".into()),
                "{make}"
            );
            db.check(look, expected);
            assert_eq!(db.call(&["OBJECT", "ENCODING", "k"]), encoding, "{make}");
            assert_eq!(dump(&mut db, "k"), payload, "{make}");
        }
    }

    #[test]
    fn options_and_errors() {
        let mut db = TestClient::new();
        db.check("DUMP nothing", "nil");
        db.run("SET k 5; SET other 6");
        let payload = dump(&mut db, "k");
        let error = |text: &str| Value::Error(text.into());
        let ok = Value::Simple("OK".into());
        assert_eq!(
            restore(&mut db, &[b"other", b"0", &payload]),
            error("BUSYKEY Target key name already exists.")
        );
        assert_eq!(
            restore(&mut db, &[b"new", b"-1", &payload]),
            error("ERR Invalid TTL value, must be >= 0")
        );
        let mut broken = payload.clone();
        broken[1] ^= 1;
        assert_eq!(
            restore(&mut db, &[b"new", b"0", &broken]),
            error("ERR DUMP payload version or checksum are wrong")
        );
        let mut odd = vec![99];
        rdb::payload::seal(&mut odd, 10);
        assert_eq!(
            restore(&mut db, &[b"new", b"0", &odd]),
            error("ERR Bad data format")
        );
        // A refused payload leaves what is there.
        assert_eq!(
            restore(&mut db, &[b"k", b"0", &odd, b"REPLACE"]),
            error("ERR Bad data format")
        );
        db.check("GET k", r#""5""#);
        assert_eq!(
            restore(&mut db, &[b"new", b"33333333333333", &payload, b"ABSTTL"]),
            ok
        );
        db.check("PEXPIRETIME new", "33333333333333");
        assert_eq!(
            restore(&mut db, &[b"idle", b"0", &payload, b"IDLETIME", b"1000"]),
            ok
        );
        db.check("OBJECT IDLETIME idle", "1000");
        // A time in the past deletes what was there.
        assert_eq!(
            restore(&mut db, &[b"other", b"1", &payload, b"ABSTTL", b"REPLACE"]),
            ok
        );
        db.check("EXISTS other", "0");
        // So does one past the range.
        let end = i64::MAX.to_string();
        assert_eq!(
            restore(&mut db, &[b"new", end.as_bytes(), &payload, b"REPLACE"]),
            ok
        );
        db.check("EXISTS new", "0");
    }
}
