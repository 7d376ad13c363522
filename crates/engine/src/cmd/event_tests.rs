//! What commands on sets, sorted sets, hashes and streams announce, and to whom.
//!
//! Each line of a table has commands, of which the last counts; the events it causes, as Redis 8.2 publishes them; and which
//! of the keys `k` and `d` has changed for a client that watches it.

use crate::testing::TestClient;

/// Events of a line's last command, without those that nobody is told of.
fn events(db: &mut TestClient, line: &str) -> String {
    let effects = &db.engine.follow.effects;
    effects.listen();
    effects.recorded.lock().clear();
    db.run(line);
    let effects = &db.engine.follow.effects;
    effects.unlisten();
    let mut events = std::mem::take(&mut *effects.recorded.lock());
    let quiet = ["new ", "keymiss ", "overwritten ", "type_changed ", " "];
    events.retain(|event| !quiet.iter().any(|start| event.starts_with(start)));
    events.join(", ")
}

#[track_caller]
pub(super) fn check(table: &str) {
    for row in table.lines().filter(|row| !row.is_empty()) {
        let mut columns = row.split('|').map(str::trim);
        let mut column = || columns.next().unwrap_or_default();
        let (commands, announced, changed) = (column(), column(), column());
        let (before, last) = commands.rsplit_once("; ").unwrap_or(("PING", commands));
        let mut db = TestClient::new();
        db.run(before);
        let mut watching = ["k", "d"].map(|key| (key, db.another()));
        for (key, watcher) in &mut watching {
            watcher.check(&format!("WATCH {key}"), "OK");
        }
        assert_eq!(events(&mut db, last), announced, "events of {commands}");
        let dirty = |(key, watcher): &mut (&'static str, TestClient)| {
            (watcher.run("MULTI; PING; EXEC") == "nil").then_some(*key)
        };
        let dirty: Vec<_> = watching.iter_mut().filter_map(dirty).collect();
        assert_eq!(dirty.join(" "), changed, "keys changed by {commands}");
    }
}

const SETS: &str = "
SADD k a b | sadd k | k
SADD k a; SADD k a |
SADD k a; SADD k a b | sadd k | k
SREM k a |
SADD k a; SREM k a | srem k, del k | k
SADD k a b; SREM k a | srem k | k
SADD k a b; SREM k x |
SADD k a; SMOVE k d a | srem k, del k, sadd d | k d
SADD k a b; SMOVE k d a | srem k, sadd d | k d
SADD k a b; SMOVE k k a |
SADD k a b; SMOVE k d x |
SADD k a b; SADD d a; SMOVE k d a | srem k | k
SADD k a; SPOP k | spop k, del k | k
SADD k a b; SPOP k | spop k | k
SPOP k |
SADD k a b c; SPOP k 1 | spop k | k
SADD k a b c; SPOP k 3 | spop k, del k | k
SADD k a b c; SPOP k 0 |
SADD k a b c; SPOP k 5 | spop k, del k | k
SADD k a b c d e f g h i j; SPOP k 9 | spop k | k
SADD k a; SRANDMEMBER k 3 |
SADD k a; SUNIONSTORE d k | sunionstore d | d
SUNIONSTORE d k |
SET d 1; SUNIONSTORE d k | del d | d
SET d 1; SADD k a; SUNIONSTORE d k | sunionstore d | d
SADD k a; SUNIONSTORE k k | sunionstore k | k
SADD d a; SINTERSTORE d k e | del d | d
SADD d a; SADD k a; SINTERSTORE d k k | sinterstore d | d
SADD d a; SADD k a; SADD e b; SINTERSTORE d k e | del d | d
SADD d a; SDIFFSTORE d k | del d | d
SADD d a; SADD k a; SDIFFSTORE d k | sdiffstore d | d
SADD d a; SADD k a; SDIFFSTORE d k d | del d | d
";

const SORTED_SETS: &str = "
ZADD k 1 a | zadd k | k
ZADD k 1 a; ZADD k 1 a |
ZADD k 1 a; ZADD k 2 a | zadd k | k
ZADD k 1 a; ZADD k NX 2 a |
ZADD k XX 1 a |
ZADD k 1 a; ZADD k XX INCR 1 a | zincr k | k
ZADD k 1 a; ZADD k INCR 0 a |
ZADD k INCR 0 a | zincr k | k
ZADD k 1 a; ZADD k GT 0 a |
ZADD k inf a; ZADD k INCR -inf a |
ZINCRBY k 1 a | zincr k | k
ZADD k 1 a; ZINCRBY k 0 a |
ZADD k 1 a; ZREM k a | zrem k, del k | k
ZADD k 1 a 2 b; ZREM k a | zrem k | k
ZADD k 1 a 2 b; ZREM k x |
ZADD k 1 a 2 b; ZPOPMIN k | zpopmin k | k
ZADD k 1 a; ZPOPMIN k | zpopmin k, del k | k
ZADD k 1 a 2 b; ZPOPMAX k | zpopmax k | k
ZADD k 1 a 2 b; ZPOPMAX k 0 |
ZADD k 1 a 2 b; ZPOPMAX k 5 | zpopmax k, del k | k
ZADD k 1 a 2 b; ZMPOP 2 d k MIN | zpopmin k | k
ZADD k 1 a 2 b; ZMPOP 2 d k MAX COUNT 10 | zpopmax k, del k | k
ZMPOP 2 d k MAX COUNT 10 |
ZADD k 1 a 2 b; BZMPOP 0 2 d k MAX COUNT 10 | zpopmax k, del k | k
ZADD k 1 a 2 b; BZPOPMIN k 0 | zpopmin k | k
ZADD k 1 a; BZPOPMAX k d 0 | zpopmax k, del k | k
ZADD k 1 a 2 b; ZRANGESTORE d k 0 -1 | zrangestore d | d
ZRANGESTORE d k 0 -1 |
ZADD d 1 a; ZRANGESTORE d k 0 -1 | del d | d
ZADD d 1 a; ZADD k 1 a; ZRANGESTORE d k 0 -1 | zrangestore d | d
ZADD k 1 a; ZRANGESTORE k k 1 2 | del k | k
ZADD k 1 a 2 b; ZREMRANGEBYRANK k 0 0 | zremrangebyrank k | k
ZADD k 1 a 2 b; ZREMRANGEBYRANK k 0 -1 | zremrangebyrank k, del k | k
ZADD k 1 a 2 b; ZREMRANGEBYRANK k 5 6 |
ZADD k 1 a 2 b; ZREMRANGEBYRANK k 1 0 |
ZADD k 1 a 2 b; ZREMRANGEBYSCORE k 1 1 | zremrangebyscore k | k
ZADD k 1 a 2 b; ZREMRANGEBYSCORE k 1 2 | zremrangebyscore k, del k | k
ZADD k 1 a 2 b; ZREMRANGEBYSCORE k 5 6 |
ZADD k 1 a 1 b; ZREMRANGEBYLEX k [a [a | zremrangebylex k | k
ZADD k 1 a 1 b; ZREMRANGEBYLEX k [a [b | zremrangebylex k, del k | k
ZADD k 1 a 1 b; ZREMRANGEBYLEX k [x [y |
ZADD k 1 a; ZUNIONSTORE d 2 k e | zunionstore d | d
ZUNIONSTORE d 2 k e |
ZADD d 1 a; ZUNIONSTORE d 2 k e | del d | d
ZADD d 1 a; ZADD k 1 a; ZUNIONSTORE d 2 k d | zunionstore d | d
ZADD d 1 a; ZADD k 1 a; ZINTERSTORE d 2 k d | zinterstore d | d
ZADD d 1 a; ZINTERSTORE d 2 k e | del d | d
ZADD d 1 a; ZDIFFSTORE d 2 d d | del d | d
ZADD k 1 a; ZDIFFSTORE d 2 k e | zdiffstore d | d
SET d a; ZADD k 1 a; ZDIFFSTORE d 2 k e | zdiffstore d | d
";

const GEO: &str = "
GEOADD k 1 1 a | zadd k | k
GEOADD k 1 1 a; GEOADD k 1 1 a |
GEOADD k 1 1 a; GEOADD k 2 1 a | zadd k | k
GEOADD k XX 1 1 a |
GEOADD k 1 1 a; GEORADIUS k 1 1 10 km STORE d | georadiusstore d | d
GEOADD k 1 1 a; GEORADIUS k 9 9 10 km STORE d |
GEOADD k 1 1 a; SET d 1; GEORADIUS k 9 9 10 km STORE d | del d | d
GEOADD k 1 1 a; SET d 1; GEORADIUS k 1 1 10 km STOREDIST d | georadiusstore d | d
SET d 1; GEORADIUS k 1 1 10 km STOREDIST d | del d | d
SET d 1; GEORADIUSBYMEMBER k a 10 km STOREDIST d | del d | d
GEOADD k 1 1 a; SET d 1; GEORADIUSBYMEMBER k a 10 km STOREDIST d | georadiusstore d | d
GEOADD k 1 1 a; SET d 1; GEOSEARCHSTORE d k FROMLONLAT 1 1 BYRADIUS 10 km | geosearchstore d | d
GEOADD k 1 1 a; SET d 1; GEOSEARCHSTORE d k FROMLONLAT 9 9 BYRADIUS 10 km | del d | d
SET d 1; GEOSEARCHSTORE d k FROMLONLAT 9 9 BYRADIUS 10 km | del d | d
GEOSEARCHSTORE d k FROMLONLAT 9 9 BYRADIUS 10 km |
";

const HASHES: &str = "
HSET k a 1 | hset k | k
HSET k a 1; HSET k a 1 | hset k | k
HSET k a 1; HSET k a 2 b 3 | hset k | k
HMSET k a 1 | hset k | k
HSETNX k a 1 | hset k | k
HSET k a 1; HSETNX k a 1 |
HINCRBY k a 1 | hincrby k | k
HSET k a 1; HINCRBY k a 0 | hincrby k | k
HSET k a x; HINCRBY k a 0 |
HINCRBYFLOAT k a 1.5 | hincrbyfloat k | k
HSET k a 1; HINCRBYFLOAT k a 0 | hincrbyfloat k | k
HDEL k a |
HSET k a 1; HDEL k a | hdel k, del k | k
HSET k a 1; HDEL k b |
HSET k a 1 b 2; HDEL k a | hdel k | k
HSET k a 1 b 2; HGETDEL k FIELDS 1 a | hdel k | k
HSET k a 1 b 2; HGETDEL k FIELDS 1 x |
HSET k a 1 b 2; HGETDEL k FIELDS 2 a b | hdel k, del k | k
HGETDEL k FIELDS 2 a b |
HSET k a 1 b 2; HGETEX k FIELDS 1 a |
HSET k a 1 b 2; HGETEX k EX 100 FIELDS 1 a | hexpire k | k
HSET k a 1 b 2; HGETEX k EX 100 FIELDS 1 x |
HSET k a 1 b 2; HGETEX k EX 0 FIELDS 1 a | hdel k | k
HSET k a 1 b 2; HGETEX k PXAT 1 FIELDS 1 a | hdel k | k
HSET k a 1 b 2; HGETEX k PXAT 1 FIELDS 2 a b | hdel k, del k | k
HSET k a 1 b 2; HGETEX k PXAT 1 FIELDS 1 x |
HSET k a 1 b 2; HGETEX k PERSIST FIELDS 1 a |
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 a; HGETEX k PERSIST FIELDS 1 a | hpersist k | k
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 a; HGETEX k EX 100 FIELDS 1 a | hexpire k | k
HSETEX k FIELDS 1 a 1 | hset k | k
HSETEX k EX 100 FIELDS 1 a 1 | hset k, hexpire k | k
HSETEX k EX 100 FIELDS 2 a 1 b 2 | hset k, hexpire k | k
HSETEX k KEEPTTL FIELDS 1 a 1 | hset k | k
HSETEX k FXX FIELDS 1 a 1 |
HSET k a 1; HSETEX k FXX FIELDS 1 a 1 | hset k | k
HSET k a 1; HSETEX k FXX EX 100 FIELDS 1 a 1 | hset k, hexpire k | k
HSET k a 1; HSETEX k PXAT 1 FIELDS 1 a 1 | hset k, hdel k, del k | k
HSET k a 1; HSETEX k PXAT 1 FIELDS 1 b 1 | hset k, hdel k | k
HSETEX k PXAT 1 FIELDS 1 b 1 | hset k, hdel k, del k | k
HSET k a 1 b 2; HSETEX k PXAT 1 FIELDS 2 a 1 b 1 | hset k, hdel k, del k | k
HSET k a 1; HSETEX k FNX FIELDS 1 a 1 |
HSET k a 1; HSETEX k FNX FIELDS 1 b 1 | hset k | k
HSET k a 1; HEXPIRE k 100 FIELDS 1 a; HSETEX k FIELDS 1 a 2 | hset k | k
HSET k a 1; HEXPIRE k 100 FIELDS 1 a; HSET k a 2 | hset k | k
HEXPIRE k 100 FIELDS 1 a |
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 a | hexpire k | k
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 2 a b | hexpire k | k
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 2 a x | hexpire k | k
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 x |
HSET k a 1 b 2; HEXPIRE k 0 FIELDS 1 a | hdel k | k
HSET k a 1 b 2; HEXPIRE k 0 FIELDS 2 a b | hdel k, del k | k
HSET k a 1 b 2; HEXPIRE k 0 FIELDS 1 x |
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 a; HEXPIRE k 100 NX FIELDS 1 a |
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 a; HEXPIRE k 100 FIELDS 1 a | hexpire k | k
HSET k a 1 b 2; HPEXPIREAT k 1 FIELDS 1 a | hdel k | k
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 1 a; HPERSIST k FIELDS 1 a | hpersist k | k
HSET k a 1 b 2; HPERSIST k FIELDS 1 a |
HPERSIST k FIELDS 1 a |
HSET k a 1 b 2; HEXPIRE k 100 FIELDS 2 a b; HPERSIST k FIELDS 2 a b | hpersist k | k
";

const STREAMS: &str = "
XADD k 1-1 a 1 | xadd k | k
XADD k 1-1 a 1; XADD k 1-1 a 1 |
XADD k NOMKSTREAM 1-1 a 1 |
XADD k 1-1 a 1; XADD k MAXLEN 1 2-1 a 1 | xadd k, xtrim k | k
XADD k MAXLEN 0 2-1 a 1 | xadd k, xtrim k | k
XADD k 1-1 a 1; XADD k MAXLEN 5 2-1 a 1 | xadd k | k
XADD k 1-1 a 1; XTRIM k MAXLEN 0 | xtrim k | k
XADD k 1-1 a 1; XTRIM k MAXLEN 1 |
XTRIM k MAXLEN 1 |
XADD k 1-1 a 1; XDEL k 1-1 | xdel k | k
XADD k 1-1 a 1; XDEL k 1-2 |
XDEL k 1-2 |
XADD k 1-1 a 1; XDELEX k IDS 1 1-1 | xdel k | k
XADD k 1-1 a 1; XDELEX k IDS 1 1-2 |
XADD k 1-1 a 1; XDELEX k ACKED IDS 1 1-1 | xdel k | k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XDELEX k ACKED IDS 1 1-1 |
XADD k 1-1 a 1; XSETID k 5-5 | xsetid k
XADD k 1-1 a 1; XSETID k 0-1 |
XGROUP CREATE k g $ MKSTREAM | xgroup-create k | k
XADD k 1-1 a 1; XGROUP CREATE k g $ | xgroup-create k
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP CREATE k g $ |
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP SETID k g 0 | xgroup-setid k
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP DESTROY k g | xgroup-destroy k
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP DESTROY k h |
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP CREATECONSUMER k g c | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP CREATECONSUMER k g c; XGROUP CREATECONSUMER k g c |
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP CREATECONSUMER k g c; XGROUP DELCONSUMER k g c | xgroup-delconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP DELCONSUMER k g c |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k > | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c NOACK STREAMS k > | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATECONSUMER k g c; XREADGROUP GROUP g c STREAMS k > |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATECONSUMER k g c; XREADGROUP GROUP g c NOACK STREAMS k > |
XADD k 1-1 a 1; XGROUP CREATE k g $; XREADGROUP GROUP g c STREAMS k > | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g $; XGROUP CREATECONSUMER k g c; XREADGROUP GROUP g c STREAMS k > |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XREADGROUP GROUP g c STREAMS k 0 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XREADGROUP GROUP g c2 STREAMS k 0 | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACK k g 1-1 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACK k g 1-2 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACKDEL k g IDS 1 1-1 | xdel k | k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACKDEL k g IDS 1 1-2 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATE k h 0; XREADGROUP GROUP h c STREAMS k >; XREADGROUP GROUP g c STREAMS k >; XACKDEL k g ACKED IDS 1 1-1 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XGROUP CREATE k h 0; XREADGROUP GROUP h c STREAMS k >; XREADGROUP GROUP g c STREAMS k >; XDEL k 1-1; XACKDEL k g IDS 1 1-1 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g d 0 1-1 | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g c 0 1-1 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g c 0 1-1 JUSTID |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g c 10000 1-1 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g c 0 1-2 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g c 0 1-2 LASTID 9-9 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XDEL k 1-1; XCLAIM k g c 0 1-1 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XDEL k 1-1; XCLAIM k g d 0 1-1 | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XAUTOCLAIM k g c 0 0 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XAUTOCLAIM k g d 0 0 | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XAUTOCLAIM k g c 10000 0 |
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XAUTOCLAIM k g d 10000 0 | xgroup-createconsumer k
XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XDEL k 1-1; XAUTOCLAIM k g c 0 0 |
XADD k 1-1 a 1; XREAD STREAMS k 0 |
";

#[test]
fn sets() {
    check(SETS);
}

#[test]
fn sorted_sets() {
    check(SORTED_SETS);
}

#[test]
fn geo() {
    check(GEO);
}

#[test]
fn hashes() {
    check(HASHES);
}

#[test]
fn streams() {
    check(STREAMS);
}
