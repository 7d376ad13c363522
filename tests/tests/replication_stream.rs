//! What replicas are told: of the same commands Redpoll sends the same stream as Redis 8.2, but for what stands in
//! [`DIFFERENT`], each with its reason.

use redpoll_tests::check::show;
use redpoll_tests::pretender::{EOF, Pretender};
use redpoll_tests::transcript::words;
use redpoll_tests::{Client, Peers, Server, eventually, skip};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Commands with semicolons between them. A letter and `:` before one names the client, `a` if there is none; with `~` the client
/// is then blocked. `expire` lets a millisecond pass. `{s+1000}` is the time in 1,000 seconds in seconds, `{ms-1000}` that of
/// 1,000 seconds ago in milliseconds.
const SAME: &[&str] = &[
    // Strings.
    "SET k v; SET k w",
    "SET k v EX 100",
    "SET k v PX 100000",
    "SET k v EXAT {s+1000}",
    "SET k v PXAT {ms+1000}",
    "SET k v; SET k w NX; SET x v XX",
    "SET k v GET; SET k w GET EX 100",
    "SETEX k 100 v; PSETEX k 100000 v",
    "SETNX k v; SETNX k w",
    "GETSET k v; GETSET k w",
    "RPUSH l a; SET l x; LPUSH l b; GETSET l y",
    "GETDEL k; SET k v; GETDEL k",
    "SET k v; GETEX k; GETEX k PERSIST; GETEX k EX 100; GETEX k PERSIST",
    "SET k v; GETEX k PXAT {ms-1000}",
    "SET k v; GETEX k PXAT {ms+1000}",
    "MSET a 1 b 2; MSETNX a 1 c 2; MSETNX c 1 d 2",
    "APPEND k v; APPEND k w; SETRANGE k 3 v; SETRANGE x 3 \"\"",
    "INCR k; DECR k; INCRBY k 5; DECRBY k 3",
    "SET k 10 EX 100; INCRBYFLOAT k 1.5; INCRBYFLOAT j 0.1",
    "SETBIT k 7 1; SETBIT k 7 1; BITFIELD k SET u8 0 255 GET u4 0; BITFIELD k GET u8 0",
    "SET a x; BITOP NOT b a; BITOP NOT b x; BITOP NOT c x",
    "PFADD p a b; PFADD p a; PFADD p; PFMERGE q p; PFCOUNT p; PFADD r",
    // Keys.
    "DEL k; SET a 1; SET b 1; DEL a x b",
    "UNLINK k; SET a 1; SET b 1; UNLINK a x b",
    "SET a 1; EXPIRE a 100; PEXPIRE a 100000; EXPIREAT a {s+1000}; PEXPIREAT a {ms+1000}; EXPIRE a 10 GT; EXPIRE x 10",
    "SET a 1; EXPIRE a -1",
    "SET a 1; EXPIREAT a 1",
    "SET a 1; PEXPIREAT a {ms-1000}",
    "SET a 1 EX 100; PERSIST a; PERSIST a",
    "SET a 1; RENAME a b; RENAMENX b c; RENAME c c; SET d 1; RENAMENX c d",
    "SET a 1; COPY a b; COPY a b; COPY a b REPLACE; COPY a b DB 2",
    "SET a 1; MOVE a 2; MOVE a 2",
    "SET a 1; TOUCH a; EXISTS a; DUMP a; OBJECT ENCODING a; TYPE a; SCAN 0; RANDOMKEY",
    "SELECT 3; SET a 1; SELECT 4; SET b 1; SELECT 3; GET a; SET c 1",
    "SET a 1; SWAPDB 0 1; SWAPDB 1 2",
    "SET a 1; FLUSHDB; FLUSHDB; FLUSHDB ASYNC; FLUSHALL; FLUSHALL SYNC; SELECT 5; FLUSHDB",
    "RPUSH l c a b; SORT l ALPHA STORE m; SORT x STORE m; SORT x STORE m; SORT l ALPHA",
    // What has expired.
    "SET a 1 PX 1; expire; GET a",
    "SET a 1 PX 1; expire; EXISTS a",
    "SET a 1 PX 1; expire; SET a 2",
    "SET a 1 PX 1; expire; SET a 2 XX",
    "SET a 1 PX 1; expire; INCR a",
    "SET a 1 PX 1; expire; RPUSH a x",
    "SET a 1 PX 1; expire; DEL a",
    "SET a 1 PX 1; expire; GETDEL a",
    "SET a 1 PX 1; expire; EXPIRE a 10",
    "SET a 1 PX 1; expire; RENAME a b",
    "SET a 1 PX 1; SET b 2; expire; COPY b a",
    "SET a 1 PX 1; SET b 2; expire; MGET b a",
    "SET a 1 PX 1; SET b 2; expire; MULTI; INCR b; GET a; INCR b; EXEC",
    "SET a 1 PX 1; SET b 2; expire; EVAL \"redis.call('incr','b') redis.call('get','a') return 1\" 0",
    // Lists.
    "LPUSH l a b; RPUSH l c; LPUSHX l d; RPUSHX x y",
    "RPUSH l a b c; LPOP l; LPOP l 0; RPOP l 2; LPOP l",
    "RPUSH l a b c; LPOP l 9; RPUSH l a b c; RPOP l 9",
    "RPUSH l a b c; LREM l 0 b; LREM l 0 x; LSET l 0 z; LSET l 0 z; LINSERT l BEFORE z y; LINSERT l BEFORE q y",
    "RPUSH l a b c; LTRIM l 0 -1; LTRIM l 0 0; LTRIM l 5 6; LTRIM l 5 6",
    "RPUSH l a b c; LMOVE l m LEFT RIGHT; LMOVE l l LEFT RIGHT; LMOVE x y LEFT LEFT",
    "RPUSH l a b c; LMPOP 2 x l LEFT COUNT 2; LMPOP 1 l RIGHT; LMPOP 1 l LEFT",
    "RPUSH l a b c d; BLPOP l 0; BRPOP l 0; BLMOVE l m LEFT RIGHT 0; BLMPOP 0 1 l LEFT",
    // Sets.
    "SADD s a b c; SADD s a; SREM s a x; SREM s x; SREM s b c",
    "SPOP s; SADD s a; SPOP s; SADD s a b c; SPOP s 0; SPOP s 3",
    "SADD s a b c; SPOP s 9; SADD t a; SRANDMEMBER t",
    "SADD s a; SMOVE s t a; SMOVE s t a; SMOVE t t a",
    "SADD s a b; SADD t b c; SINTERSTORE d s t; SUNIONSTORE d s t; SDIFFSTORE d s t; SINTERSTORE d x s; SINTERSTORE d x s",
    // Sorted sets.
    "ZADD z 1 a 2 b; ZADD z 1 a; ZADD z CH 3 a; ZADD z NX 1 a; ZADD z GT 1 a; ZADD z INCR 1 a; ZINCRBY z 2 a; ZREM z a x; ZREM z x",
    "ZADD z 1 a 2 b 3 c; ZMPOP 2 x z MIN COUNT 2; ZMPOP 1 z MAX; ZMPOP 1 z MAX",
    "ZADD z 1 a; BZMPOP 0 1 z MIN",
    "ZADD z 1 a 2 b 3 c; ZREMRANGEBYRANK z 0 0; ZREMRANGEBYSCORE z 2 2; ZREMRANGEBYLEX z [c [c; ZREMRANGEBYLEX z - +",
    "ZADD z 1 a 2 b; ZUNIONSTORE d 1 z; ZINTERSTORE d 1 z; ZDIFFSTORE d 1 z; ZRANGESTORE d z 0 0; ZRANGESTORE d z 5 6",
    // Hashes.
    "HSET h a 1 b 2; HSET h a 1; HMSET h c 3; HSETNX h a 1; HDEL h a x; HDEL h x; HDEL h b c",
    "HSET h a 1; HEXPIRE h 100 FIELDS 1 a; HEXPIRE h 100 FIELDS 1 x; HPEXPIRE h 100000 FIELDS 1 a; HEXPIREAT h {s+1000} FIELDS 1 a",
    "HSET h a 1; HPEXPIREAT h {ms+1000} FIELDS 1 a; HPERSIST h FIELDS 1 a; HPERSIST h FIELDS 1 a",
    "HSET h a 1 b 1; HEXPIRE h 0 FIELDS 1 a; HPEXPIREAT h 1 FIELDS 1 b",
    "HSET h a 1 b 1; HGETDEL h FIELDS 1 a; HGETDEL h FIELDS 1 a; HGETDEL h FIELDS 1 b",
    "HSET h a 1 b 1; HGETEX h EX 100 FIELDS 1 a; HGETEX h PERSIST FIELDS 1 a; HGETEX h PERSIST FIELDS 1 a; HGETEX h PXAT 1 FIELDS 1 a",
    // Streams.
    "XADD x 1-1 f v; XADD x 1-* f v; XADD y NOMKSTREAM * f v; XADD x 5-1 f v g w",
    "XADD x * f v",
    "XADD x 1-0 f v; XADD x MAXLEN = 1 2-0 f v; XTRIM x MAXLEN = 1; XTRIM x MAXLEN = 0",
    "XADD x 1-0 f v; XDEL x 1 2; XDEL x 1; XSETID x 5; XSETID x 6-1 ENTRIESADDED 9 MAXDELETEDID 2",
    "XADD x 1-0 f v; XDELEX x KEEPREF IDS 1 1",
    "XGROUP CREATE x g $ MKSTREAM; XGROUP SETID x g 0; XGROUP CREATECONSUMER x g d; XGROUP CREATECONSUMER x g d; \
     XGROUP DELCONSUMER x g d; XGROUP DELCONSUMER x g d; XGROUP DESTROY x g; XGROUP DESTROY x g",
    "XADD x 1-0 f v; XGROUP CREATE x g 0; XGROUP CREATECONSUMER x g c; XREADGROUP GROUP g c STREAMS x >; XACK x g 1; XACK x g 1; \
     XREADGROUP GROUP g c STREAMS x >; XGROUP SETID x g 0; XREADGROUP GROUP g c NOACK STREAMS x >",
    "RPUSH l a b c; RPOPLPUSH l m; BRPOPLPUSH l m 0; LMOVE l m RIGHT LEFT; BLMOVE m l LEFT RIGHT 0",
    // Transactions.
    "MULTI; SET a 1; GET a; INCR a; EXEC",
    "MULTI; SET a 1; EXEC; MULTI; GET a; EXEC; MULTI; EXEC; MULTI; SET a 2; DISCARD",
    "MULTI; SET a 1; SELECT 2; SET b 1; EXEC",
    "MULTI; SET a 1; LPUSH a x; INCR a; EXEC",
    "MULTI; SPOP x; GETDEL y; SET a 1 EX 100; EXEC",
    "WATCH a; MULTI; SET a 1; EXEC; WATCH a; b: SET a 2; MULTI; SET a 3; EXEC",
    // Scripts.
    "EVAL \"return redis.call('set',KEYS[1],'v')\" 1 k",
    "EVAL \"redis.call('set',KEYS[1],'v') redis.call('incr','n') return 1\" 1 k",
    "EVAL \"redis.call('select',3) redis.call('set','k','v')\" 0; SET z 1",
    "EVAL \"redis.call('set','k','v') redis.set_repl(redis.REPL_NONE) redis.call('set','l','v') redis.set_repl(redis.REPL_AOF) \
     redis.call('set','m','v') redis.set_repl(redis.REPL_REPLICA) redis.call('set','n','v')\" 0",
    "EVAL \"return redis.call('get','k')\" 0; EVAL_RO \"return redis.call('get','k')\" 0",
    "EVAL \"redis.call('set','k','v','EX',100) return redis.call('spop','s')\" 0",
    "EVAL \"redis.call('set','a',1) error('x')\" 0",
    "EVAL \"redis.pcall('lpush','a',1) redis.pcall('incr','a') redis.call('set','b',1)\" 0",
    "MULTI; EVAL \"redis.call('set','a',1) redis.call('set','b',1)\" 0; SET c 1; EXEC",
    "SCRIPT LOAD \"return 1\"; SCRIPT FLUSH",
    "FUNCTION LOAD REPLACE \"#!lua name=l\\nredis.register_function('f',function(k) redis.call('set',k[1],1) return redis.call('incr',k[1]) end)\"; \
     FCALL f 1 k; FUNCTION DELETE l",
    "FUNCTION LOAD REPLACE \"#!lua name=l\\nredis.register_function('f',function(k) return 1 end)\"; FUNCTION FLUSH; FUNCTION FLUSH ASYNC",
    "FUNCTION LOAD \"#!lua name=l\\nredis.register_function('f',function(k) return 1 end)\"",
    // Messages.
    "PUBLISH c m; SPUBLISH c m",
    "MULTI; PUBLISH c m; SET a 1; EXEC",
    "MULTI; PUBLISH c m; EXEC; MULTI; PUBLISH c m; PUBLISH c n; EXEC",
    "EVAL \"redis.call('publish','c','m') return 1\" 0",
    "EVAL \"redis.call('set','a',1) redis.call('publish','c','m') return 1\" 0",
    "EVAL \"redis.set_repl(redis.REPL_AOF) redis.call('publish','c','m') redis.call('set','a',1)\" 0",
    "SELECT 1; SET a 1; PUBLISH c m; SELECT 0; PUBLISH c m; SET a 1",
];

/// Scripts of which something else is said, what that is, and why.
const DIFFERENT: &[(&str, &[&str], &str)] = &[
    ("SET k v NX", &["SET k v"], MET),
    ("SET k v NX GET", &["SET k v"], MET),
    (
        "SET k v; SET k w XX GET KEEPTTL",
        &["SET k v", "SET k w"],
        MET,
    ),
    (
        "SET a 1; EXPIRE a 100 NX; EXPIRE a 200 GT",
        &["SET a 1", "PEXPIREAT a <+100>", "PEXPIREAT a <+200>"],
        MET,
    ),
    ("HSETNX h d 4", &["HSET h d 4"], MET),
    (
        "XADD x 1-0 f v; XADD x NOMKSTREAM 2-0 f v",
        &["XADD x 1-0 f v", "XADD x 2-0 f v"],
        MET,
    ),
    (
        "SET a 1 PX 1; expire; SET a 2 NX",
        &["SET a 1 PXAT <+0>", "MULTI", "DEL a", "SET a 2", "EXEC"],
        MET,
    ),
    (
        "SET k v EX 100; SET k w KEEPTTL",
        &["SET k v PXAT <+100>", "SET k w PXAT <+100>"],
        "the expiry that is kept is said",
    ),
    (
        "SET k v PXAT {ms-1000}",
        &["DEL k"],
        "what has expired when it is set is not set on replicas either",
    ),
    (
        "BITFIELD k OVERFLOW FAIL INCRBY u2 0 9",
        &["BITFIELD k OVERFLOW FAIL INCRBY u2 0 9"],
        "it makes the key, of which Redis tells nobody, so that its replicas lack it",
    ),
    (
        "ZADD z 1 a 2 b 3 c 4 d; ZPOPMIN z; BZPOPMAX z 0; ZPOPMAX z 5; ZPOPMIN z",
        &[
            "ZADD z 1 a 2 b 3 c 4 d",
            "ZPOPMIN z 1",
            "ZPOPMAX z 1",
            "ZPOPMAX z 2",
        ],
        "how many went is said",
    ),
    (
        "b~ BZPOPMIN z 0; ZADD z 1 a 2 b",
        &["MULTI", "ZADD z 1 a 2 b", "ZPOPMIN z 1", "EXEC"],
        SERVED,
    ),
    (
        "b~ BLPOP l 0; RPUSH l x y",
        &["MULTI", "RPUSH l x y", "LPOP l", "EXEC"],
        SERVED,
    ),
    (
        "b~ BLMOVE l m LEFT RIGHT 0; RPUSH l x",
        &["MULTI", "RPUSH l x", "LMOVE l m LEFT RIGHT", "EXEC"],
        SERVED,
    ),
    (
        "b~ BLMPOP 0 1 l LEFT COUNT 5; RPUSH l x y z",
        &["MULTI", "RPUSH l x y z", "LPOP l 3", "EXEC"],
        SERVED,
    ),
    (
        "b~ BZMPOP 0 1 z MIN; ZADD z 1 a",
        &["MULTI", "ZADD z 1 a", "ZPOPMIN z 1", "EXEC"],
        SERVED,
    ),
    (
        "b~ BLPOP l 0; MULTI; RPUSH l x; SET k v; EXEC",
        &["MULTI", "RPUSH l x", "SET k v", "LPOP l", "EXEC"],
        SERVED,
    ),
    (
        "b~ BLPOP l 0; EVAL \"redis.call('rpush','l','x') redis.call('set','k','v')\" 0",
        &["MULTI", "RPUSH l x", "SET k v", "LPOP l", "EXEC"],
        SERVED,
    ),
    (
        "GEOADD g 13.3 38.1 a; GEOADD g 13.3 38.1 a",
        &["GEOADD g 13.3 38.1 a"],
        "Redis says the score that it has made of the place",
    ),
    (
        "HINCRBY h a 5; HINCRBYFLOAT h a 1.5",
        &["HSET h a 5", "HSET h a 6.5"],
        FIELDS,
    ),
    (
        "HSET h a 1; HEXPIRE h 100 FIELDS 1 a; HINCRBY h a 5; HINCRBYFLOAT h a 1.5",
        &[
            "HSET h a 1",
            "HPEXPIREAT h <+100> FIELDS 1 a",
            "MULTI",
            "HSET h a 6",
            "HPEXPIREAT h <+100> FIELDS 1 a",
            "EXEC",
            "MULTI",
            "HSET h a 7.5",
            "HPEXPIREAT h <+100> FIELDS 1 a",
            "EXEC",
        ],
        FIELDS,
    ),
    (
        "HSETEX h EX 100 FIELDS 1 a 1; HSETEX h FNX EX 100 FIELDS 1 a 1; HSETEX h FIELDS 1 a 2; HSETEX h PXAT 1 FIELDS 1 a 3",
        &[
            "MULTI",
            "HSET h a 1",
            "HPEXPIREAT h <+100> FIELDS 1 a",
            "EXEC",
            "HSET h a 2",
            "HDEL h a",
        ],
        FIELDS,
    ),
    (
        "HSET h a 1 b 1 c 1; HPEXPIREAT h 1 FIELDS 2 a b",
        &["HSET h a 1 b 1 c 1", "HDEL h a b"],
        "fields that go together are one command",
    ),
    (
        "XADD x 1 f v; XADD x 2 f v; XADD x MAXLEN 1 3 f v; XADD x MAXLEN ~ 1 5 f v; XADD x MINID 5 6 f v; XADD x MINID ~ 5 LIMIT 10 7 f v",
        &[
            "XADD x 1-0 f v",
            "XADD x 2-0 f v",
            "XADD x MAXLEN = 1 3-0 f v",
            "XADD x 5-0 f v",
            "XADD x MAXLEN = 2 6-0 f v",
            "XADD x 7-0 f v",
        ],
        "IDs are whole, and of trimming it is said what came of it",
    ),
    (
        "XADD x 1-0 f v; XADD x 2-0 f v; XTRIM x MAXLEN 1; XTRIM x MAXLEN 1; XTRIM x MINID 9",
        &[
            "XADD x 1-0 f v",
            "XADD x 2-0 f v",
            "XTRIM x MAXLEN = 1",
            "XTRIM x MAXLEN = 0",
        ],
        "of trimming it is said what came of it",
    ),
    (
        "XADD x 1-0 f v; XGROUP CREATE x g 0; XREADGROUP GROUP g c STREAMS x 0; XREADGROUP GROUP g c STREAMS x >",
        &[
            "XADD x 1-0 f v",
            "XGROUP CREATE x g 0",
            "XGROUP CREATECONSUMER x g c",
            "MULTI",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 1-0",
            "XGROUP SETID x g 1-0 ENTRIESREAD 1",
            "EXEC",
        ],
        CONSUMERS,
    ),
    (
        "XADD x 1-0 f v; XGROUP CREATE x g 0; XGROUP CREATECONSUMER x g c; XREADGROUP GROUP g c STREAMS x >; XREADGROUP GROUP g c STREAMS x 0",
        &[
            "XADD x 1-0 f v",
            "XGROUP CREATE x g 0",
            "XGROUP CREATECONSUMER x g c",
            "MULTI",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 1-0",
            "XGROUP SETID x g 1-0 ENTRIESREAD 1",
            "EXEC",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 2 FORCE JUSTID LASTID 1-0",
        ],
        "that an entry was delivered again is said",
    ),
    (
        "XADD x 1-0 f v; XGROUP CREATE x g 0; XGROUP CREATECONSUMER x g c; XREADGROUP GROUP g c STREAMS x >; XDEL x 1-0; \
         XDELEX x DELREF IDS 1 1-0",
        &[
            "XADD x 1-0 f v",
            "XGROUP CREATE x g 0",
            "XGROUP CREATECONSUMER x g c",
            "MULTI",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 1-0",
            "XGROUP SETID x g 1-0 ENTRIESREAD 1",
            "EXEC",
            "XDEL x 1-0",
            "XDELEX x DELREF IDS 1 1-0",
        ],
        "Redis takes what was deleted from the groups, and tells nobody",
    ),
    (
        "XADD x 1-0 f v; XADD x 2-0 f v; XGROUP CREATE x g 0; XGROUP CREATECONSUMER x g c; XREADGROUP GROUP g c STREAMS x >; \
         XCLAIM x g c 0 1; XCLAIM x g d 0 1 IDLE 5 RETRYCOUNT 7 FORCE JUSTID; XAUTOCLAIM x g c 0 0; XCLAIM x g d 10000000 1",
        &[
            "XADD x 1-0 f v",
            "XADD x 2-0 f v",
            "XGROUP CREATE x g 0",
            "XGROUP CREATECONSUMER x g c",
            "MULTI",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 2-0",
            "XCLAIM x g c 0 2-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 2-0",
            "XGROUP SETID x g 2-0 ENTRIESREAD 2",
            "EXEC",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 2 FORCE JUSTID LASTID 2-0",
            "MULTI",
            "XGROUP CREATECONSUMER x g d",
            "XCLAIM x g d 0 1-0 TIME <+0> RETRYCOUNT 7 FORCE JUSTID LASTID 2-0",
            "EXEC",
            "MULTI",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 8 FORCE JUSTID LASTID 2-0",
            "XCLAIM x g c 0 2-0 TIME <+0> RETRYCOUNT 2 FORCE JUSTID LASTID 2-0",
            "EXEC",
        ],
        CONSUMERS,
    ),
    (
        "XADD x 1-0 f v; XADD x 2-0 f v; XGROUP CREATE x g 0; XGROUP CREATECONSUMER x g c; XREADGROUP GROUP g c STREAMS x >; \
         XDEL x 1; XAUTOCLAIM x g c 0 0",
        &[
            "XADD x 1-0 f v",
            "XADD x 2-0 f v",
            "XGROUP CREATE x g 0",
            "XGROUP CREATECONSUMER x g c",
            "MULTI",
            "XCLAIM x g c 0 1-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 2-0",
            "XCLAIM x g c 0 2-0 TIME <+0> RETRYCOUNT 1 FORCE JUSTID LASTID 2-0",
            "XGROUP SETID x g 2-0 ENTRIESREAD 2",
            "EXEC",
            "XDEL x 1",
            "MULTI",
            "XACK x g 1-0",
            "XCLAIM x g c 0 2-0 TIME <+0> RETRYCOUNT 2 FORCE JUSTID LASTID 2-0",
            "EXEC",
        ],
        "what is pending no more since its entry is gone is acknowledged, which Redis leaves to what its replicas find out",
    ),
];

const MET: &str = "a condition that was met is left out";
const FIELDS: &str = "fields are said as they are, in words that replicas of older versions know";
const SERVED: &str =
    "who waited was served at the same moment, at which it is done on replicas, too";
const CONSUMERS: &str = "a consumer is said to be new, also where it gets nothing";

/// Unix milliseconds.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |t| t.as_millis() as i64)
}

/// Puts times in their places.
fn filled(line: &str, now_ms: i64) -> String {
    let mut text = String::new();
    let mut parts = line.split('{');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (time, rest) = part.split_once('}').expect("it is closed");
        let (number, of) = match time.strip_prefix("ms") {
            Some(number) => (number, 1),
            None => (time.strip_prefix('s').expect("a unit"), 1000),
        };
        let seconds: i64 = number.parse().expect("a number of seconds");
        text.push_str(&((now_ms + seconds * 1000) / of).to_string());
        text.push_str(rest);
    }
    text
}

/// A command of the stream: its name in capitals, and times of about now as how many seconds that is from now, in steps of 50.
fn shown(argv: &[Vec<u8>], now_ms: i64) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in argv {
        let word = String::from_utf8_lossy(word).into_owned();
        let digits = word
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(word.len());
        let time = word[..digits].parse().ok().filter(|_| digits == 13);
        words.push(match time {
            Some(ms) => format!("<{:+}>{}", round(ms, now_ms), &word[digits..]),
            None => word,
        });
    }
    words[0].make_ascii_uppercase();
    words.join(" ")
}

fn round(ms: i64, now_ms: i64) -> i64 {
    let seconds = (ms - now_ms) / 1000;
    (seconds + 25).div_euclid(50) * 50
}

/// A server whose stream is read.
struct Read {
    server: Server,
    stream: Pretender,
    own: Client,
    marks: usize,
}

impl Read {
    fn new(server: Server) -> Read {
        let mut stream = Pretender::to(&server, &[EOF]);
        let (_, offset) = stream.take_copy();
        stream.ack(offset);
        let mut own = server.connect();
        // What has expired is removed by who comes across it, and not whenever that may be.
        assert_eq!(show(&own.run("DEBUG SET-ACTIVE-EXPIRE 0")), "OK");
        let mut read = Read {
            server,
            stream,
            own,
            marks: 0,
        };
        // Until it follows, FLUSHALL would end the copy's child.
        read.sent(None);
        read
    }

    /// What was sent since it was last asked, up to what this client did last: what different clients do with different keys stands in
    /// whatever order.
    fn sent(&mut self, client: Option<&mut Client>) -> Vec<Vec<Vec<u8>>> {
        self.marks += 1;
        let mark = self.marks.to_string();
        let client = client.unwrap_or(&mut self.own);
        client.run("SELECT 0");
        client.call(&["SET", "mark", &mark]);
        self.stream.commands_until(&["SET", "mark", &mark])
    }

    /// What a script has it send.
    fn play(&mut self, script: &str) -> Vec<String> {
        for line in ["FLUSHALL", "FUNCTION FLUSH", "SCRIPT FLUSH"] {
            self.own.run(line);
        }
        self.sent(None);
        let (mut clients, began) = (BTreeMap::new(), now_ms());
        for line in script.split("; ") {
            if line == "expire" {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let (who, waits, line) = match line.split_at(2) {
                ("b:", line) => ('b', false, line.trim_start()),
                ("b~", line) => ('b', true, line.trim_start()),
                _ => ('a', false, line),
            };
            let client = clients.entry(who).or_insert_with(|| self.server.connect());
            let argv = words(&filled(line, began));
            if !waits {
                client.call(&argv);
                continue;
            }
            client.send(&argv);
            eventually("it is blocked", || {
                redpoll_tests::replication::info(&mut self.own, "blocked_clients") == "1"
            });
        }
        let sent = self.sent(clients.get_mut(&'a'));
        // In which database the next one begins is not its own.
        let mut sent: Vec<String> = sent.iter().map(|argv| shown(argv, began)).collect();
        if sent.last().is_some_and(|last| last == "SELECT 0") {
            sent.pop();
        }
        sent
    }
}

#[test]
fn replicas_are_told_what_those_of_redis_are_told() {
    const TEST: &str = "replicas_are_told_what_those_of_redis_are_told";
    let Some(peer) = Peers::find().redis8 else {
        return skip(TEST, "Redis 8.2 is needed");
    };
    let usual = [
        "--enable-debug-command",
        "yes",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let mut ours = Read::new(Server::redpoll_with(&usual));
    let mut theirs = Read::new(Server::peer(&peer, &usual));
    let mut wrong = Vec::new();
    for script in SAME {
        let (ours, theirs) = (ours.play(script), theirs.play(script));
        if ours != theirs {
            wrong.push(format!(
                "{script}\n   ours:   {ours:?}\n   theirs: {theirs:?}"
            ));
        }
    }
    for (script, expected, why) in DIFFERENT {
        let (ours, theirs) = (ours.play(script), theirs.play(script));
        if ours != *expected {
            wrong.push(format!(
                "{script} ({why})\n   ours:     {ours:?}\n   expected: {expected:?}"
            ));
        }
        if theirs == ours {
            wrong.push(format!("{script} is no difference any more: {theirs:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
