//! The journal, before there is a file: what a random run writes down, executed by another engine, gives the same keys.
//!
//! `REDPOLL_JOURNAL_ROUNDS` sets the number of runs.

use crate::base::journal::{Journal, Piece, Records, put_command};
use crate::base::log_queue::LogQueue;
use crate::base::random::random_below;
use crate::testing::TestClient;
use resp::{Batch, Limits, Out, Parser, Value};
use std::sync::atomic::AtomicU64;

/// Commands with places to fill in: `$s` a string's key, `$l` a list's, `$t` a set's, `$z` a sorted set's, `$h` a hash's,
/// `$x` a stream's, `$p` a HyperLogLog's, `$k` any key; `$f` a field or member, `$v` a value, `$n` a small number, `$d` a
/// decimal, `$e` a time from now in milliseconds, near or far, `$i` an ID.
const TEMPLATES: &[&str] = &[
    "SET $s $v",
    "SET $s $n",
    "SET $s $v PX $e",
    "SET $s $v EX 100 NX",
    "SET $s $v KEEPTTL",
    "SET $s $v GET XX PXAT 1",
    "SETEX $s 100 $v",
    "PSETEX $s $e $v",
    "SETNX $s $v",
    "GETSET $s $v",
    "GETDEL $s",
    "GETEX $s PX $e",
    "GETEX $s PERSIST",
    "GETEX $s PXAT 5",
    "DELIFEQ $s $n",
    "DELEX $s IFNE $n",
    "SET $s $n IFNE $v",
    "SET $s $n IFDNE 0123456789abcdef PX $e",
    "INCREX $s BYINT $n UBOUND 50 SATURATE PX $e ENX",
    "INCREX $s BYFLOAT $d PERSIST",
    "INCREX $s EXAT 1",
    "MSET $s $v $s $n",
    "MSETNX $s $v $s $n",
    "MSETEX 2 $s $v $s $n PX $e",
    "MSETEX 1 $s $v KEEPTTL",
    "APPEND $s $v",
    "SETRANGE $s 3 $v",
    "INCR $s",
    "DECRBY $s $n",
    "INCRBYFLOAT $s $d",
    "SETBIT $s $n 1",
    "BITFIELD $s INCRBY u4 $n 1 SET u8 8 $n",
    "BITFIELD $s OVERFLOW FAIL SET u8 #$n -1",
    "BITOP OR $s $s $s",
    "GET $s",
    "DEL $k $k",
    "UNLINK $k",
    "BLESS SET $k NO-EVICT",
    "BLESS SET $k NO-EVICT",
    "BLESS CLEAR $k NO-EVICT",
    "EXPIRE $k 100",
    "PEXPIRE $k $e NX",
    "PEXPIRE $k $e",
    "EXPIREAT $k 1",
    "PERSIST $k",
    "RENAME $k $k",
    "RENAMENX $k $k",
    "COPY $k $k REPLACE",
    "COPY $k $k DB 1",
    "MOVE $k 1",
    "TOUCH $k",
    "LPUSH $l $v $v",
    "RPUSH $l $f",
    "RPUSHX $l $v",
    "LINSERT $l BEFORE $f $v",
    "LSET $l 0 $v",
    "LREM $l 0 $f",
    "LTRIM $l 0 6",
    "LPOP $l",
    "RPOP $l 2",
    "LMOVE $l $l LEFT RIGHT",
    "LMOVEM $l $l LEFT LEFT COUNT 2 OBO",
    "LMOVEM $l $l RIGHT RIGHT EXACTLY 2 BULK",
    "LMOVEM $l $l RIGHT LEFT COUNT 3 BULK",
    "BLMOVEM $l $l LEFT RIGHT 0.001 COUNT 2 BULK",
    "RPOPLPUSH $l $l",
    "LMPOP 2 $l $l LEFT COUNT 2",
    "BLPOP $l $l 0.001",
    "BRPOP $l 0.001",
    "BLMOVE $l $l RIGHT LEFT 0.001",
    "BLMPOP 0.001 2 $l $l RIGHT COUNT 2",
    "SORT $l ALPHA STORE $l",
    "SORT $t ALPHA STORE $l",
    "SADD $t $f $f $n",
    "SADDEX $t PX $e MEMBERS 2 $f $n",
    "SADDEX $t MNX EX 100 MEMBERS 1 $f",
    "SADDEX $t PXAT 1 MEMBERS 1 $f",
    "SADDEX $t KEEPTTL MEMBERS 2 $f $f",
    "SADDEX $t MEMBERS 1 $f",
    "SEXPIRE $t 100 MEMBERS 2 $f $f",
    "SPEXPIRE $t $e GT MEMBERS 1 $f",
    "SPEXPIRE $t $e MEMBERS 2 $f $f",
    "SPEXPIREAT $t 5 MEMBERS 1 $f",
    "SPERSIST $t MEMBERS 2 $f $f",
    "ZUNIONSTORE $z 2 $t $z AGGREGATE COUNT",
    "SREM $t $f",
    "SPOP $t",
    "SPOP $t 2",
    "SPOP $t 100",
    "SMOVE $t $t $f",
    "SUNIONSTORE $t $t $t",
    "SINTERSTORE $t $t $t",
    "SDIFFSTORE $t $t $t",
    "ZADD $z $d $f $n $f",
    "ZADD $z GT INCR $d $f",
    "ZINCRBY $z $d $f",
    "ZREM $z $f",
    "ZPOPMIN $z",
    "ZPOPMAX $z 2",
    "ZMPOP 2 $z $z MIN COUNT 2",
    "BZPOPMIN $z $z 0.001",
    "BZMPOP 0.001 2 $z $z MAX COUNT 2",
    "ZREMRANGEBYRANK $z 0 1",
    "ZREMRANGEBYSCORE $z 0 1",
    "ZUNIONSTORE $z 2 $z $z WEIGHTS 2 $n",
    "ZRANGESTORE $z $z 0 3",
    "GEOADD $z 13.3 38.1 $f",
    "HSET $h $f $v $f $n",
    "HSETNX $h $f $v",
    "HDEL $h $f",
    "HINCRBY $h $f $n",
    "HINCRBYFLOAT $h $f $d",
    "HEXPIRE $h 100 FIELDS 2 $f $f",
    "HPEXPIRE $h $e FIELDS 1 $f",
    "HPEXPIRE $h $e GT FIELDS 1 $f",
    "HPEXPIREAT $h 5 FIELDS 1 $f",
    "HPERSIST $h FIELDS 1 $f",
    "HGETEX $h PX $e FIELDS 1 $f",
    "HGETEX $h PERSIST FIELDS 2 $f $f",
    "HGETDEL $h FIELDS 1 $f",
    "HSETEX $h PX $e FIELDS 1 $f $v",
    "HSETEX $h KEEPTTL FIELDS 2 $f $v $f $v",
    "HSETEX $h FNX EX 100 FIELDS 1 $f $v",
    "HGETALL $h",
    "XADD $x IDMP p $f * $f $v",
    "XADD $x IDMPAUTO q MAXLEN 2 * $f $v",
    "XCFGSET $x IDMP-MAXSIZE 3",
    "XNACK $x g FAIL IDS 2 $i $i",
    "XNACK $x g SILENT IDS 1 $i FORCE",
    "XREADGROUP GROUP g c CLAIM 0 COUNT 2 STREAMS $x >",
    "XADD $x * $f $v",
    "XADD $x NOMKSTREAM MAXLEN ~ 20 LIMIT 5 * $f $v",
    "XADD $x MAXLEN 5 * $f $v",
    "XADD $x MINID ~ $i * $f $v",
    "XTRIM $x MAXLEN ~ 4",
    "XTRIM $x MAXLEN 3",
    "XDEL $x $i",
    "XSETID $x 99999999999999-$n",
    "XGROUP CREATE $x g 0 MKSTREAM",
    "XGROUP CREATE $x g2 $",
    "XGROUP SETID $x g 0",
    "XGROUP DESTROY $x g2",
    "XGROUP CREATECONSUMER $x g $f",
    "XGROUP DELCONSUMER $x g $f",
    "XREADGROUP GROUP g $f COUNT 2 STREAMS $x >",
    "XREADGROUP GROUP g $f NOACK STREAMS $x >",
    "XREADGROUP GROUP g2 $f STREAMS $x >",
    "XREADGROUP GROUP g $f STREAMS $x 0",
    "XREADGROUP GROUP g $f BLOCK 1 STREAMS $x >",
    "XACK $x g $i",
    "XCLAIM $x g $f 0 $i $i",
    "XCLAIM $x g $f 0 $i LASTID $i",
    "XCLAIM $x g $f 0 $i IDLE 5000 RETRYCOUNT 7 FORCE JUSTID",
    "XAUTOCLAIM $x g $f 0 0 COUNT 3",
    "XDELEX $x DELREF IDS 1 $i",
    "PFADD $p $v $v",
    "PFCOUNT $p",
    "PFMERGE $p $p",
    // Runs that end too early, or say too much: some elements are added before that shows.
    "SETRANGE $p 18 \"\\xfd\"",
    "SET $p \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x5f\\xff\"",
    "SELECT 1",
    "SELECT 0",
    "SWAPDB 0 1",
    "FLUSHDB",
    "EVAL \"redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCRBYFLOAT', KEYS[2], 1.5) return redis.call('SPOP', KEYS[3])\" 3 $s $s2 $t $v",
    "EVAL \"redis.call('LPUSH', 'list:1', 1, 2) redis.pcall('INCR', 'list:1') redis.call('PEXPIRE', 'hash:1', 100000)\" 0",
    "FUNCTION LOAD REPLACE \"#!lua name=lib$n\\nredis.register_function('f$n', function(keys) return redis.call('INCR', keys[1]) end)\"",
    "FCALL f$n 1 $s",
    "FUNCTION DELETE lib$n",
];

fn pick<'a>(of: &[&'a str]) -> &'a str {
    of[random_below(of.len() as u64) as usize]
}

/// A template with its places filled in.
fn fill(template: &str, ids: &[String]) -> String {
    let n = |n: u64| random_below(n).to_string();
    let mut line = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        line.push_str(&rest[..at]);
        let name = rest[at + 1..].chars().next();
        let key = |kind: &str| format!("{kind}:{}", n(3));
        let filled = match name {
            Some('s') => key("str"),
            Some('l') => key("list"),
            Some('t') => key("set"),
            Some('z') => key("zset"),
            Some('h') => key("hash"),
            Some('x') => key("stream"),
            Some('p') => key("hll"),
            Some('k') => key(pick(&["str", "list", "set", "zset", "hash", "stream"])),
            Some('f') => pick(&["a", "b", "c", "d", "e"]).to_owned(),
            Some('v') => format!("{}{}", pick(&["x", "a long value ", "", "\\x00"]), n(9)),
            Some('n') => n(8),
            Some('d') => format!("{}.{}", n(5), n(100)),
            Some('e') => pick(&["1", "2", "3", "100000", "200000"]).to_owned(),
            Some('i') => match ids.len() {
                0 => "1-1".to_owned(),
                len => ids[random_below(len as u64) as usize].clone(),
            },
            _ => "$".to_owned(),
        };
        let quoted = filled.contains([' ', '\\']) || filled.is_empty();
        if quoted {
            line.push_str(&format!("\"{filled}\""));
        } else {
            line.push_str(&filled);
        }
        rest = &rest[at + 1 + usize::from(filled != "$")..];
    }
    line + rest
}

/// Everything in a database that can be read: sorted where order means nothing, and without the times at which consumers were
/// last seen.
fn state(c: &mut TestClient) -> Vec<String> {
    let mut all = Vec::new();
    for db in 0..2 {
        c.run(&format!("SELECT {db}"));
        let keys = c.run("KEYS *");
        let mut keys: Vec<String> = keys
            .trim_matches(['[', ']'])
            .split_whitespace()
            .map(|k| k.trim_matches('"').to_owned())
            .collect();
        keys.sort();
        for key in keys {
            // Reading it removes what has expired.
            let kind = c.run(&format!("TYPE {key}"));
            let mut shown = vec![format!(
                "{db} {key} {kind} {}",
                c.run(&format!("PEXPIRETIME {key}"))
            )];
            let show = |c: &mut TestClient, shown: &mut Vec<String>, line: &str| {
                shown.push(c.run(line));
            };
            show(c, &mut shown, &format!("BLESS GET {key}"));
            match &*kind {
                "string" => show(c, &mut shown, &format!("GET {key}")),
                "list" => show(c, &mut shown, &format!("LRANGE {key} 0 -1")),
                "zset" => show(c, &mut shown, &format!("ZRANGE {key} 0 -1 WITHSCORES")),
                "set" => show(c, &mut shown, &format!("SORT {key} ALPHA")),
                "hash" => {
                    for f in ["a", "b", "c", "d", "e"] {
                        show(c, &mut shown, &format!("HGET {key} {f}"));
                        show(c, &mut shown, &format!("HPEXPIRETIME {key} FIELDS 1 {f}"));
                    }
                }
                "stream" => {
                    show(c, &mut shown, &format!("XRANGE {key} - +"));
                    show(c, &mut shown, &format!("XINFO GROUPS {key}"));
                    for group in ["g", "g2"] {
                        show(c, &mut shown, &format!("XPENDING {key} {group}"));
                        if let Some(Value::Array(pending)) =
                            c.call(&["XPENDING", &key, group, "-", "+", "1000"])
                        {
                            for one in pending {
                                let Value::Array(one) = one else { continue };
                                // Without how long ago, which goes on.
                                shown.push(format!("{:?} {:?} {:?}", one[0], one[1], one[3]));
                            }
                        }
                    }
                    let mut info = c.run(&format!("XINFO STREAM {key}"));
                    info.truncate(info.find("radix").unwrap_or(info.len()));
                    shown.push(info);
                }
                _ => {}
            }
            // A hash all of whose fields have expired is no key any more, whenever it is removed.
            let alive = shown[1..]
                .iter()
                .any(|text| text != "nil" && text != "[-2]");
            if kind == "hash" && !alive {
                continue;
            }
            all.push(shown.join(" | "));
        }
    }
    all.push(c.run("FUNCTION LIST WITHCODE"));
    all
}

fn has_error(value: &Value) -> bool {
    match value {
        Value::Error(_) => true,
        Value::Array(all) => all.iter().any(has_error),
        _ => false,
    }
}

/// Executes what a piece holds.
fn replay(c: &mut TestClient, piece: &Piece, lines: &mut Vec<String>) {
    c.session.replay();
    let (mut parser, mut batch) = (Parser::new(), Batch::new());
    let (used, error) = batch.fill(&mut parser, &piece.bytes, &Limits::default(), usize::MAX);
    assert_eq!((used, error), (piece.bytes.len(), None), "whole commands");
    for i in 0..batch.len() {
        let words = batch.get(i).iter().map(|a| a.escape_ascii().to_string());
        lines.push(format!("    > {}", words.collect::<Vec<_>>().join(" ")));
    }
    let mut out = Out::new(c.session.proto);
    let mut at = 0;
    while at < batch.len() {
        let progress = c.worker.run(&mut c.session, &batch, at, &mut out);
        at = progress.executed;
        if let crate::Next::Offload(job) = progress.next {
            job(&mut out);
        }
        let replies = out.to_vec();
        let mut rest = &replies[..];
        while !rest.is_empty() {
            let (value, used) = resp::decode(rest).expect("a reply").expect("a whole one");
            assert!(
                !has_error(&value),
                "{value:?} in
{}",
                lines.join(
                    "
"
                )
            );
            rest = &rest[used..];
        }
        out.clear();
    }
}

fn turn_on(c: &TestClient) {
    let ks = c.engine.keyspace();
    let mut all = (0..ks.shards()).collect();
    let _held = ks.lock_many(&mut all);
    c.engine.journal.turn(true);
}

#[test]
fn what_a_random_run_wrote_down_gives_the_same_keys() {
    let rounds = std::env::var("REDPOLL_JOURNAL_ROUNDS").ok();
    for round in 0..rounds.map_or(12, |n| n.parse().expect("a number")) {
        let mut c = TestClient::new();
        turn_on(&c);
        let mut waits: Vec<TestClient> = (0..3).map(|_| c.another()).collect();
        let mut copy = TestClient::new();
        let (mut db, mut ids, mut lines) = (None, Vec::new(), Vec::new());
        let (mut in_multi, mut payloads) = (0, Vec::new());
        for i in 0..600 {
            let mut line = fill(pick(TEMPLATES), &ids);
            if in_multi == 0 && random_below(20) == 0 {
                c.run("MULTI");
                in_multi = 1 + random_below(5);
            }
            let at = random_below(3) as usize;
            if line.starts_with('B') && in_multi == 0 && waits[at].waiter.is_none() {
                // Another waits, until somebody serves it.
                line = line.replace("0.001", "0");
                if waits[at].raw(&crate::testing::words(&line)).is_empty() {
                    lines.push(format!("(waits) {line}"));
                    continue;
                }
            } else {
                let reply = c.run(&line);
                if line.starts_with("XADD") && reply.contains('-') {
                    ids.push(reply.trim_matches('"').to_owned());
                }
                if let Some(waiter) = c.waiter.take() {
                    let counters = c.worker.counters().clone();
                    c.engine
                        .follow
                        .give_up(&waiter, crate::GiveUp::Timeout, &counters);
                }
            }
            if in_multi == 0 && random_below(20) == 0 {
                // What it holds may expire before it is restored.
                let key = fill(pick(&["$t", "$h", "$k"]), &[]);
                if let Some(Value::Bulk(payload)) = c.call(&["DUMP", &key]) {
                    payloads.push((key, payload));
                }
                let (key, payload) = match payloads.len() {
                    0 => continue,
                    n => &payloads[random_below(n as u64) as usize],
                };
                let argv: [&[u8]; 5] = [b"RESTORE", key.as_bytes(), b"0", payload, b"REPLACE"];
                assert_eq!(c.raw(&argv), b"+OK\r\n");
                lines.push(format!("RESTORE {key} 0 ... REPLACE"));
            }
            for w in &mut waits {
                if w.waiter.as_ref().is_some_and(|w| w.take_reply().is_some()) {
                    w.waiter = None;
                }
            }
            lines.push(line);
            if in_multi > 0 {
                in_multi -= 1;
                if in_multi == 0 {
                    c.run("EXEC");
                }
            }
            if i % 50 == 49
                && let Some(piece) = c.engine.journal.cut(&mut db)
            {
                replay(&mut copy, &piece, &mut lines);
            }
        }
        c.run("DISCARD");
        // What has a short time to live is gone by now, or will be before the states are compared.
        let until = crate::base::clock::unix_ms() + 5;
        while crate::base::clock::unix_ms() < until {
            std::thread::yield_now();
        }
        let there = state(&mut c);
        if let Some(piece) = c.engine.journal.cut(&mut db) {
            replay(&mut copy, &piece, &mut lines);
        }
        copy = copy.another();
        let copied = state(&mut copy);
        if there != copied {
            let differs = there.iter().zip(&copied).find(|(a, b)| a != b);
            panic!("round {round}: {differs:#?}\n{}", lines.join("\n"));
        }
    }
}

/// Holds that who carries out what was written down has the same keys, when `line` is run behind `before` and these members of the set
/// `s` have expired in between, unseen.
#[track_caller]
fn same_after_expiry(before: &str, members: &str, line: &str) {
    let (mut c, mut copy) = (TestClient::new(), TestClient::new());
    turn_on(&c);
    c.run("DEBUG SET-ACTIVE-EXPIRE 0");
    c.run(before);
    let n = members.split(' ').count();
    let [expire, ttl] = match before.starts_with("HSET h") {
        true => ["HPEXPIRE h 1 FIELDS", "HTTL h FIELDS"],
        false => ["SPEXPIRE s 1 MEMBERS", "STTL s MEMBERS"],
    };
    c.run(&format!("{expire} {n} {members}"));
    while !c.run(&format!("{ttl} {n} {members}")).contains("-2") {
        std::thread::yield_now();
    }
    c.run(line);
    let piece = c.engine.journal.cut(&mut None).expect("a change");
    let mut lines = vec![line.to_owned()];
    replay(&mut copy, &piece, &mut lines);
    copy = copy.another();
    assert_eq!(state(&mut c), state(&mut copy), "{}", lines.join("\n"));
    let len = "SELECT 0; HLEN h";
    assert_eq!(c.run(len), copy.run(len), "{}", lines.join("\n"));
}

/// Valkey 9 reads no hexadecimal numbers, and went on without what it was told in them.
#[test]
fn numbers_are_written_down_in_decimal() {
    let mut c = TestClient::new();
    turn_on(&c);
    c.run("ZADD z 1 0x10; GEOADD g 1 1 0x10 2 2 b");
    let _ = c.engine.journal.cut(&mut None);
    for (line, written) in [
        ("ZADD z 0x10 0x10", "ZADD z 16 0x10"),
        ("ZADD z NX CH 5 a -0X1.8p3 0x1", "ZADD z NX CH 5 a -12 0x1"),
        ("ZINCRBY z 0x10 0x1", "ZINCRBY z 16 0x1"),
        ("ZADD z INCR +0x1 0x1", "ZADD z INCR 1 0x1"),
        (
            "ZUNIONSTORE 0xd 1 z WEIGHTS 0x2",
            "ZUNIONSTORE 0xd 1 z WEIGHTS 2",
        ),
        (
            "ZINTERSTORE 0xd 2 z z WEIGHTS 0x.8 1 AGGREGATE MAX",
            "ZINTERSTORE 0xd 2 z z WEIGHTS 0.5 1 AGGREGATE MAX",
        ),
        ("GEOADD g 0x1 0x2 0x3", "GEOADD g 1 2 0x3"),
        (
            "GEOSEARCHSTORE 0xd g FROMMEMBER 0x10 BYRADIUS 0x100 km",
            "GEOSEARCHSTORE 0xd g FROMMEMBER 0x10 BYRADIUS 256 km",
        ),
        (
            "GEOSEARCHSTORE 0xd g FROMLONLAT 0x1 0x1 BYBOX 0x100 300 km",
            "GEOSEARCHSTORE 0xd g FROMLONLAT 1 1 BYBOX 256 300 km",
        ),
        (
            "GEORADIUS g 0x1 0x2 0x100 km STORE 0xd",
            "GEORADIUS g 1 2 256 km STORE 0xd",
        ),
        (
            "GEORADIUSBYMEMBER g 0x10 0x100 km STORE 0xd",
            "GEORADIUSBYMEMBER g 0x10 256 km STORE 0xd",
        ),
    ] {
        let reply = c.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        let piece = c.engine.journal.cut(&mut None).expect("a change");
        let (mut copy, mut lines) = (TestClient::new(), Vec::new());
        replay(&mut copy, &piece, &mut lines);
        assert_eq!(
            lines.last().map(|l| l.trim_start_matches("    > ")),
            Some(written),
            "{line}"
        );
    }
    // What changes nothing is not written down.
    c.run("ZADD z NX 0x11 0x10");
    assert!(c.engine.journal.cut(&mut None).is_none());
}

/// Where a log is read nothing expires but what it says, and so what a command has not seen any more has to be gone there, too.
///
/// SORT of a set was written down as it came, and made its list of members that had expired as well.
#[test]
fn what_was_made_without_expired_members_is_made_so_again() {
    for line in [
        "SORT s ALPHA STORE d",
        "SORT s BY nosort LIMIT 0 1 STORE d",
        "SORT s BY w* ALPHA GET # STORE d",
        "SUNIONSTORE d s o",
        "SINTERSTORE d s o",
        "SDIFFSTORE d o s",
        "ZUNIONSTORE d 2 s o",
        "ZINTERSTORE d 2 s o",
        "ZDIFFSTORE d 2 o s",
        "SMOVE s d e",
        "SMOVE o s e",
        "COPY s d",
        "RENAME s d",
    ] {
        same_after_expiry("SADD s e 1 2; SADD o e 1", "e", line);
    }
}

/// All members have expired when others come: the set is the same, and keeps its time to live and whatever else is known of it.
///
/// The expired ones were written down ahead of the new ones, so that the log had another set, which lived for ever.
#[test]
fn a_set_whose_members_have_all_expired_is_still_that_set() {
    for line in [
        "SADD s n",
        "SADD s e",
        "SADD s e n",
        "SADDEX s MEMBERS 2 e n",
        "SADDEX s EX 100 MEMBERS 1 e",
        "SADDEX s EX 100 MEMBERS 2 f n",
        "SADDEX s KEEPTTL MEMBERS 2 e n",
        "MULTI; SADD s e; SADDEX s EX 100 MEMBERS 1 f; EXEC",
        "EVAL \"redis.call('SADD', KEYS[1], 'e') redis.call('SREM', KEYS[1], 'n')\" 1 s",
        "SREM s e",
        "SPOP s",
        "SMOVE o s m",
        "SPEXPIRE s 100000 MEMBERS 1 e",
    ] {
        let set = "SADD s e f; SADD o m; EXPIRE s 1000; BLESS SET s NO-EVICT";
        same_after_expiry(set, "e f", line);
    }
}

/// A thousand at a time had been removed ahead of a command, which took the others for members that are there: it added none of them, and
/// they were gone the next moment.
#[test]
fn of_many_members_that_have_expired_none_is_taken_for_one_that_is_there() {
    let all: Vec<String> = (0..3000).map(|n| format!("m{n}")).collect();
    let all = all.join(" ");
    let mut c = TestClient::new();
    for (line, expected) in [
        (format!("SADD s {all}"), "3000"),
        (format!("SADDEX s MNX EX 100 MEMBERS 3000 {all}"), "1"),
        (format!("SREM s {all}"), "0"),
        ("SUNIONSTORE d s o".to_owned(), "1"),
        ("ZUNIONSTORE d 2 s o".to_owned(), "1"),
        ("SORT s ALPHA STORE d".to_owned(), "1"),
        ("SPOP s 5".to_owned(), "[\"last\"]"),
        ("SMOVE s o m2999".to_owned(), "0"),
    ] {
        same_after_expiry(&format!("SADD s {all} last; SADD o last"), &all, &line);
        c.run(&format!(
            "FLUSHALL; DEBUG SET-ACTIVE-EXPIRE 0; SADD o last; SADD s {all} last"
        ));
        c.run(&format!(
            "SPEXPIREAT s 1 MEMBERS 1 m0; SPEXPIRE s 1 MEMBERS 3000 {all}"
        ));
        wait_for(&mut c, "STTL s MEMBERS 1 m2999", "[-2]");
        c.check(&line, expected);
    }
    c.run("FLUSHALL");
    let pairs: Vec<String> = (0..3000).map(|n| format!("m{n} v")).collect();
    let fill = format!("HSET h last v {}", pairs.join(" "));
    for line in [
        format!("HDEL h {all}"),
        format!("HSET h {}", pairs.join(" ")),
        format!("HGETDEL h FIELDS 3000 {all}"),
        format!("HSETEX h FNX KEEPTTL FIELDS 3000 {}", pairs.join(" ")),
        "HINCRBY h m2999 1".to_owned(),
        "HSETNX h m2999 v".to_owned(),
    ] {
        same_after_expiry(&fill, &all, &line);
    }
    c.run(&format!("{fill}; HPEXPIRE h 1 FIELDS 3000 {all}"));
    wait_for(&mut c, "HTTL h FIELDS 1 m2999", "[-2]");
    c.check("HSET h m2999 v", "1");
    c.check("HTTL h FIELDS 3 last m2999 m0", "[-1 -1 -2]");
}

#[track_caller]
fn wait_for(c: &mut TestClient, line: &str, expected: &str) {
    while c.run(line) != expected {
        std::thread::yield_now();
    }
}

/// Has the payload of a key restored as `k` once some of its elements have expired, runs `then`, and has it all carried out again.
#[track_caller]
fn same_after_restore(make: &str, expired: &str, then: &str) -> TestClient {
    let (mut c, mut copy) = (TestClient::new(), TestClient::new());
    c.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let payload = loop {
        c.run(make);
        // It may be over already.
        if let Some(Value::Bulk(payload)) = c.call(&["DUMP", "from"]) {
            break payload;
        }
    };
    wait_for(&mut c, expired, "[-2]");
    c.run("FLUSHALL");
    turn_on(&c);
    let restore: [&[u8]; 4] = [b"RESTORE", b"k", b"0", &payload];
    assert_eq!(c.raw(&restore), b"+OK\r\n");
    c.run(then);
    let mut lines = vec![then.to_owned()];
    if let Some(piece) = c.engine.journal.cut(&mut None) {
        replay(&mut copy, &piece, &mut lines);
    }
    copy = copy.another();
    assert_eq!(state(&mut c), state(&mut copy), "{}", lines.join("\n"));
    c
}

/// The payload was written down as it came, and what had expired in it stood in the log, with its time, for whatever came to be there
/// later.
#[test]
fn what_had_expired_in_a_payload_is_not_written_down() {
    let set = "SADD from a b; SPEXPIRE from 9 MEMBERS 1 a";
    let hash = "HSET from a 1 b 2; HPEXPIRE from 9 FIELDS 1 a";
    let set_is_over = "STTL from MEMBERS 1 a";
    let hash_is_over = "HTTL from FIELDS 1 a";
    same_after_restore(set, set_is_over, "SADDEX k KEEPTTL MEMBERS 1 a");
    same_after_restore(set, set_is_over, "SADD k a");
    same_after_restore(hash, hash_is_over, "HSETEX k KEEPTTL FIELDS 1 a v");
    same_after_restore(hash, hash_is_over, "HINCRBY k a 1");
}

/// It was a set without members, which nothing ever removed.
#[test]
fn nothing_comes_of_a_payload_all_of_which_has_expired() {
    let set = "SADD from a; SPEXPIRE from 9 MEMBERS 1 a";
    let mut c = same_after_restore(set, "STTL from MEMBERS 1 a", "SET other v");
    c.check("SELECT 0", "OK");
    c.check("DBSIZE", "1");
    let hash = "HSET from a 1; HPEXPIRE from 9 FIELDS 1 a";
    let mut c = same_after_restore(hash, "HTTL from FIELDS 1 a", "SET other v");
    c.check("SELECT 0", "OK");
    c.check("DBSIZE", "1");
}

/// What had been removed ahead of it stayed in the log: there the key was gone when the transaction ran again, and its time to live with it.
#[test]
fn elements_that_were_found_expired_are_there_again_when_all_starts_over() {
    // What takes so long begins anew on another thread.
    let slow = "local t = os.clock() while os.clock() < t + 0.03 do end";
    for first in [
        "SADD s n",
        "SMOVE s o e; SADD s n",
        "SPOP s; SADD s n",
        "SUNIONSTORE d s o; SADD s n",
    ] {
        let line = format!("MULTI; {first}; EVAL \"{slow}\" 1 s; EXEC");
        same_after_expiry("SADD s e f; EXPIRE s 1000", "e f", &line);
    }
}

#[test]
fn a_command_is_written_down_alike_in_whatever_form_it_came() {
    let forms: [&[u8]; 2] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n",
        b"SET k  'vv'\r\n",
    ];
    for form in forms {
        let mut c = TestClient::new();
        turn_on(&c);
        c.run("SET k old PX 1");
        let until = crate::base::clock::unix_ms() + 3;
        while crate::base::clock::unix_ms() < until {
            std::thread::yield_now();
        }
        let mut db = Some(0);
        c.engine.journal.cut(&mut db).expect("what was there");
        let with_what_had_expired = [
            &b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"[..],
            forms[0],
            b"*1\r\n$4\r\nEXEC\r\n",
        ];
        for expected in [&with_what_had_expired.concat()[..], forms[0]] {
            let (mut batch, mut out) = (Batch::new(), Out::new(c.session.proto));
            let filled = batch.fill(&mut Parser::new(), form, &Limits::default(), 9);
            assert_eq!(filled, (form.len(), None));
            c.worker.run(&mut c.session, &batch, 0, &mut out);
            assert_eq!(out.to_vec(), b"+OK\r\n");
            let piece = c.engine.journal.cut(&mut db).expect("something");
            assert_eq!(
                piece.bytes.escape_ascii().to_string(),
                expected.escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn units_of_several_lanes_stand_in_the_order_of_their_shards() {
    units_stand_in_order(0);
}

#[test]
fn units_of_lanes_that_have_no_number_stand_in_the_order_of_their_shards() {
    units_stand_in_order(5000);
}

/// Two lanes write down what they did to two shards, after so many others have come and gone.
fn units_stand_in_order(lanes_before: usize) {
    let journal = Journal::default();
    for _ in 0..lanes_before {
        journal.add_lane();
    }
    let shards = [0; 2].map(AtomicU64::new);
    journal.turn(true);
    let lanes = [journal.add_lane(), journal.add_lane()];
    let mut clocks = [0; 2];
    let mut write = |lane: usize, shard: usize, db: usize, names: &[&str]| {
        let mut records = Records::default();
        names
            .iter()
            .for_each(|name| records.push(db, &[name.as_bytes()]));
        let held = |f: &mut dyn FnMut(&AtomicU64)| f(&shards[shard]);
        journal.write_down(&lanes[lane], &mut records, held, &mut clocks[lane])
    };
    write(0, 0, 0, &["a1"]);
    write(0, 0, 0, &["a2"]);
    write(1, 1, 0, &["b1"]);
    write(1, 0, 1, &["a3", "a4"]);
    write(0, 0, 0, &["a5"]);
    write(0, 1, 0, &["b2"]);
    let piece = journal.cut(&mut None).expect("something is there");
    let text = String::from_utf8_lossy(&piece.bytes);
    let words: Vec<&str> = text
        .split("\r\n")
        .filter(|word| !word.starts_with(['*', '$']) && !word.is_empty())
        .collect();
    let place = |name: &str| words.iter().position(|w| *w == name).expect(name);
    for order in [["a1", "a2"], ["a2", "a3"], ["a4", "a5"], ["b1", "b2"]] {
        assert!(place(order[0]) < place(order[1]), "{words:?}");
    }
    let at = place("a3");
    let stretch = &words[at - 3..at + 3];
    assert_eq!(stretch, ["SELECT", "1", "MULTI", "a3", "a4", "EXEC"]);
    assert_eq!(piece.number, 1);
    assert!(journal.cut(&mut None).is_none() && journal.waiting_bytes() == 0);
}

#[test]
fn commands_of_any_length_are_written_as_arrays_of_strings() {
    for words in [0, 1, 9, 10, 11, 99, 100, 1000] {
        for bytes in [0, 1, 9, 10, 99, 100, 101, 999, 1000, 70_000] {
            if words * bytes > 1 << 20 {
                continue;
            }
            let argv: Vec<String> = (0..words).map(|n| "x".repeat(bytes + n % 2)).collect();
            let mut expected = format!("before*{words}\r\n");
            for arg in &argv {
                expected += &format!("${}\r\n{arg}\r\n", arg.len());
            }
            let mut written = b"before".to_vec();
            put_command(&mut written, &argv);
            assert!(
                written == expected.as_bytes(),
                "{words} words of {bytes} bytes"
            );
        }
    }
}

/// What lies in the lanes counts as what waits for the disk does, from the first moment on, and until it is given on.
#[test]
fn changes_wait_when_too_much_lies_in_the_lanes() {
    let mut c = TestClient::new();
    let mut other = c.another();
    let engine = c.engine.clone();
    let journal = &engine.journal;
    turn_on(&c);
    let value = "x".repeat(1 << 20);
    let mut written = 0usize;
    while !journal.queue.is_full() {
        assert!(journal.waiting_bytes() <= LogQueue::BOUND);
        let client = if written.is_multiple_of(2) {
            &mut c
        } else {
            &mut other
        };
        let reply = client.raw(&["SET", &written.to_string(), &value]);
        assert_eq!(reply, b"+OK\r\n");
        written += 1;
    }
    assert_eq!(written, 64);
    let piece = journal.cut(&mut Some(0)).expect("all that was written");
    assert_eq!(journal.waiting_bytes(), piece.bytes.len());
    journal.log_has_grown(|| 0);
    assert!(journal.queue.is_full(), "nobody has it yet");
    journal.is_given();
    journal.log_has_grown(|| 0);
    assert!(!journal.queue.is_full());
}

/// Whoever has the reply of one connection before it asks on another, about other keys, finds both in that order.
#[test]
fn what_is_done_behind_a_reply_to_somebody_else_stands_behind_it() {
    let mut one = TestClient::new();
    one.engine.journal.turn(true);
    let mut other = one.another();
    let mut wanted = Vec::new();
    for n in 0..20 {
        // The other's clock is ahead, by the key that both have changed.
        for at in 0..3 {
            let client = if at == 1 { &mut other } else { &mut one };
            let (key, value) = (if at < 2 { "key" } else { "last" }, format!("{n}-{at}"));
            assert_eq!(client.raw(&["SET", key, &value]), b"+OK\r\n");
            wanted.push(format!("SET {key} {value}"));
            // Some look at the time lies between them.
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    }
    let piece = one.engine.journal.cut(&mut Some(0)).expect("something");
    assert_eq!(words(&piece.bytes), wanted.join(" "));
}

/// A replica is not to see a key gone that has expired, and what was done before not done yet.
#[test]
fn what_expires_by_itself_stands_behind_what_was_answered_before() {
    let mut c = TestClient::new();
    c.engine.journal.turn(true);
    c.run("DEBUG SET-ACTIVE-EXPIRE 0; SET k v PX 1");
    let ks = c.engine.keyspace();
    let shard = |key: &str| ks.place(key.as_bytes()).shard();
    let mut names = (0..).map(|n| format!("apart:{n}"));
    let apart = names.find(|name| shard(name) != shard("k")).expect("one");
    let until = crate::base::clock::unix_ms() + 3;
    while crate::base::clock::unix_ms() < until {
        std::thread::yield_now();
    }
    c.run(&format!("SET {apart} v"));
    let counters = c.engine.add_counters();
    let time = std::time::Duration::from_secs(10);
    let removed = crate::upkeep::sweep::Sweep::default().slice(&c.engine, &counters, time);
    assert_eq!(removed, 1);
    let piece = c.engine.journal.cut(&mut Some(0)).expect("something");
    let said = words(&piece.bytes);
    assert!(said.ends_with(&format!(" SET {apart} v DEL k")), "{said}");
}

/// What XDELEX takes from groups is written down although it deletes nothing, as real servers leave out; once it is gone, nothing is.
#[test]
fn dropped_references_to_deleted_entries_are_written_down() {
    let mut c = TestClient::new();
    turn_on(&c);
    c.run("XADD s 1-1 a 1; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XDEL s 1-1");
    let mut db = Some(0);
    c.engine.journal.cut(&mut db).expect("what was there");
    for expected in [Some("XDELEX s DELREF IDS 1 1-1"), None] {
        c.check("XDELEX s KEEPREF IDS 1 1-1", "[-1]");
        c.check("XDELEX s DELREF IDS 1 1-1", "[-1]");
        let piece = c.engine.journal.cut(&mut db);
        let said = piece.map(|piece| words(&piece.bytes));
        assert_eq!(said.as_deref(), expected);
    }
}

/// The words of commands, one after the other.
fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text
        .split("\r\n")
        .filter(|word| !word.starts_with(['*', '$']));
    words.collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[test]
fn a_script_says_who_gets_what_it_does() {
    let check = |what: &str, log: &str, replicas: &str| {
        let mut c = TestClient::new();
        turn_on(&c);
        let script = what
            .replace("<", "redis.call('SET', '")
            .replace(">", "', '') ")
            .replace("[", "redis.set_repl(redis.REPL_")
            .replace("]", ") ");
        assert_eq!(c.run(&format!("EVAL \"{script}\" 0")), "nil", "{script}");
        // It is over with the script.
        c.run("SET e 1");
        let mut piece = c.engine.journal.cut(&mut Some(0)).expect("SET");
        assert_eq!(
            words(&piece.for_replicas()),
            format!("{replicas}SET e 1"),
            "{what}"
        );
        piece.keep_for_log();
        assert_eq!(words(&piece.bytes), format!("{log}SET e 1"), "{what}");
    };
    check(
        "<a>[NONE]<b>[AOF]<c>[REPLICA]<d>[ALL]<f>",
        "MULTI SET a  SET c  SET f  EXEC ",
        "MULTI SET a  SET d  SET f  EXEC ",
    );
    check("[AOF]<a>", "SET a  ", "");
    check("[REPLICA]<a>", "", "SET a  ");
    check("[NONE]<a>", "", "");
}
