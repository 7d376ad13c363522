//! A key is hashed once for a command that names it, from the look ahead by way of the gate, the locks and the door to what
//! follows from the change.

use crate::context::command::Entry;
use crate::table::positions::each_key;
use crate::testing::{TestClient, words};
use std::sync::atomic::Ordering::Relaxed;
use store::place::count;

/// Makes what the commands work on.
const SETUP: &str = "FLUSHALL; MSET s 1 s2 2 s3 3; RPUSH l 3 1 2; RPUSH l2 4; SADD set 1 2; SADD set2 2 3; HSET h f 1 g 2; \
                     ZADD z 1 a 2 b; ZADD z2 3 a 4 c; PFADD p a; PFADD p2 b; GEOADD geo 1 1 a 2 2 b; XADD x 1-1 f v; \
                     XGROUP CREATE x grp 0; SETBIT bits 7 1; SETBIT bits2 9 1; SET e v EX 1000";

/// Commands of every way to name keys: one, several, in pairs, counted, behind a word, and with a destination.
const COMMANDS: &str = "\
    GET s|SET s v|SET fresh v|SET s v GET|GETDEL s|GETEX s EX 100|INCR s|INCRBYFLOAT s 1.5|APPEND s x|SETRANGE s 3 x|STRLEN s\n\
    MGET s s2 absent s3|MSET s a s2 b fresh c|MSETNX n1 a n2 b|DEL s absent l s2|UNLINK l set|EXISTS s s s2|TOUCH s s2 l\n\
    RENAME s s9|RENAMENX s s9|COPY l l9|COPY l l2 REPLACE|TYPE s|OBJECT ENCODING l|EXPIRE s 100|PERSIST e|TTL e|DUMP l|EXPIRE s 0\n\
    LPUSH l a b|RPUSHX l a|LPOP l|LPOP l 9|RPOPLPUSH l l2|LMOVE l l2 LEFT RIGHT|LMPOP 3 absent l l2 LEFT COUNT 9|LRANGE l 0 -1\n\
    BLPOP absent l l2 1|BLMOVE l l2 LEFT RIGHT 1|BRPOPLPUSH l l2 1|LINSERT l BEFORE 1 x|LTRIM l 1 0|LREM l 0 1|LSET l 0 x\n\
    SADD set 9|SREM set 1 2|SMOVE set set2 1|SINTER set set2|SUNION set set2 absent|SDIFF set set2|SINTERSTORE d set set2\n\
    SUNIONSTORE set set set2|SINTERCARD 2 set set2|SPOP set|SPOP set 9|SRANDMEMBER set|SMISMEMBER set 1 9|SDIFFSTORE d set set\n\
    HSET h f 2 k 3|HDEL h f g|HINCRBY h f 1|HGETALL h|HEXPIRE h 100 FIELDS 1 f|HGETDEL h FIELDS 2 f g|HSETEX h EX 9 FIELDS 1 f 1\n\
    ZADD z 5 a|ZINCRBY z 1 a|ZREM z a b|ZPOPMIN z 9|ZUNION 2 z z2|ZINTER 2 z z2|ZUNIONSTORE d 2 z z2|ZINTERSTORE z 2 z z2\n\
    ZDIFFSTORE d 2 z z2|ZRANGESTORE d z 0 -1|ZMPOP 2 absent z MIN|BZPOPMIN absent z 1|BZMPOP 1 2 absent z MAX|ZRANGE z 0 -1\n\
    PFADD p z|PFCOUNT p p2|PFMERGE p9 p p2|GEOADD geo 3 3 c|GEOSEARCH geo FROMMEMBER a BYRADIUS 1000 km\n\
    GEOSEARCHSTORE d geo FROMMEMBER a BYRADIUS 1000 km|GEORADIUS geo 1 1 1000 km STORE d|SORT l|SORT l STORE d\n\
    BITOP AND d bits bits2|BITOP NOT d bits|BITCOUNT bits|SETBIT bits 3 1|BITFIELD bits SET u8 0 7|GETBIT bits 7\n\
    XADD x * f v|XREAD COUNT 1 STREAMS x absent 0 0|XREADGROUP GROUP grp me COUNT 1 STREAMS x >|XDEL x 1-1|XTRIM x MAXLEN 0\n\
    XACK x grp 1-1|XRANGE x - +|XINFO STREAM x|XGROUP CREATE x grp2 0|XAUTOCLAIM x grp me 0 0|XSETID x 5-5\n\
    LCS s s2|MOVE s 3|RESTORE s 0 bad REPLACE|OBJECT FREQ s|DEBUG OBJECT l|WATCH s s2 absent|SETNX s v|GETSET s v|MGET s";

fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.split(['\n', '|']).map(str::trim)
}

/// How many keys a call names.
fn keys(db: &TestClient, line: &str) -> u64 {
    let argv = words(line);
    let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
    let entry: &Entry = db.engine.registry().resolve(&argv).expect("a command");
    let mut keys = 0;
    each_key(entry, &argv, |_, _| keys += 1);
    keys
}

/// How many keys are hashed for a command line.
fn hashed(db: &mut TestClient, setup: &[&str], line: &str) -> u64 {
    db.run("UNWATCH");
    setup.iter().for_each(|line| drop(db.run(line)));
    let before = count::hashed();
    db.run(line);
    count::hashed() - before
}

#[track_caller]
fn check(db: &mut TestClient, way: &str) {
    let wrong: Vec<String> = commands()
        .filter_map(|line| {
            let (hashed, keys) = (hashed(db, &[SETUP], line), keys(db, line));
            (hashed != keys).then(|| format!("{line}: {hashed} for {keys} keys"))
        })
        .collect();
    assert!(wrong.is_empty(), "{way}:\n{}", wrong.join("\n"));
}

#[test]
fn a_command_hashes_each_of_its_keys_once() {
    check(&mut TestClient::new(), "alone");
}

/// In a pipeline on one key it is hashed once for all of them, and as soon as there is another key once for each command.
#[test]
fn a_pipeline_on_one_key_hashes_it_once() {
    let mut db = TestClient::new();
    for (lines, hashed) in [
        (&["RPUSH l a", "PING", "RPUSH l b", "LLEN l"][..], 1),
        (&["LPOP l", "LLEN l", "SET k v", "LLEN l", "GET k"], 4),
        (&["SET kk v", "GET k", "GET kk"], 3),
    ] {
        let before = count::hashed();
        db.pipeline(lines);
        assert_eq!(count::hashed() - before, hashed, "{lines:?}");
    }
    assert_eq!(
        db.pipeline(&["RPUSH l c", "RPUSH l d", "LRANGE l 0 -1"]),
        ":2 :3 *3 $1 b $1 c $1 d"
    );
}

/// Also while others watch, wait, cache and are notified, and while what happens is written down.
#[test]
fn also_with_all_that_follows_from_a_change() {
    let mut db = TestClient::with(&[("notify-keyspace-events", "KEAnm")]);
    let mut other = db.another();
    other.run("WATCH s l z x");
    let mut told = db.another();
    told.run("PSUBSCRIBE __key*");
    check(&mut db, "listened to");
    db.engine.journal.turn(true);
    check(&mut db, "written down");
}

/// In a transaction when it is queued, and not again when it is carried out; in a script when it is called.
#[test]
fn also_in_transactions_and_scripts() {
    let mut db = TestClient::new();
    // A script that is moved to another thread begins again, and hashes again.
    db.engine.patient.store(true, Relaxed);
    let mut wrong = Vec::new();
    for line in commands() {
        let keys = keys(&db, line);
        let mut note = |way: &str, hashed: u64, wanted: u64| {
            if hashed != wanted {
                wrong.push(format!("{way} {line}: {hashed} for {keys} keys"));
            }
        };
        if !line.starts_with("WATCH") {
            note("queued", hashed(&mut db, &[SETUP, "MULTI"], line), keys);
            db.run("DISCARD");
            let queue = format!("MULTI; {line}");
            note("carried out", hashed(&mut db, &[SETUP, &queue], "EXEC"), 0);
        }
    }
    for line in [
        "MSET s a s2 b",
        "LMOVE l l2 LEFT RIGHT",
        "SUNIONSTORE d set set2",
    ] {
        let quoted: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!("EVAL \"redis.call({})\" 0", quoted.join(","));
        let (hashed, keys) = (hashed(&mut db, &[SETUP], &script), keys(&db, line));
        if hashed != keys {
            wrong.push(format!("in a script {line}: {hashed} for {keys} keys"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An update of the library, for what it declares; a typed call.
#[test]
fn also_for_typed_calls_and_updates() {
    use crate::context::gate::Intent;
    let mut db = TestClient::new();
    db.run(SETUP);
    let counters = db.worker.counters().clone();
    let (a, b): (&[u8], &[u8]) = (b"s", b"s2");
    let before = count::hashed();
    let read = db.engine.with_key(0, a, Intent::Look, &counters, |keys| {
        Ok(keys.read(a).is_some() && keys.peek(a).is_some())
    });
    assert_eq!(read, Ok(true));
    assert_eq!(count::hashed() - before, 1);
    let before = count::hashed();
    let mut out = resp::Out::new(resp::Proto::Resp2);
    let (worker, session) = (&mut db.worker, &mut db.session);
    let done = worker.update(session, &[a, b], &mut out, |mut update| {
        update.call(&[b"MSET", a, b"5", b, b"6"]);
        update.call(&[b"INCR", a]);
        let seen = update.with_key(b, Intent::Look, |keys| Ok(keys.read(b).is_some()));
        (seen, update)
    });
    assert_eq!(done, Ok(Ok(true)));
    assert_eq!(count::hashed() - before, 2);
}
