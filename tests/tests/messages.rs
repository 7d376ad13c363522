//! What servers tell clients unasked: messages of channels, keyspace notifications, keys to forget, MONITOR's lines. Held against
//! the real servers, in [conversations](redpoll_tests::conversation).

use redpoll_tests::check::show;
use redpoll_tests::conversation::{all_said, compare, compare_with};
use redpoll_tests::rng::Rng;
use redpoll_tests::{Peers, Server, env_number, every_peer, skip};

const CHANNELS: &[&str] = &[
    // RESP2.
    r#"
    a: SUBSCRIBE x y x
    b: PUBLISH x 1
    b: PUBLISH nobody 1
    b: PUBLISH y "a\r\nb\x00"
    a: GET k
    a: PUBLISH x 1
    a: CLIENT ID
    a: PING
    a: PING hi
    a: SUBSCRIBE
    a: UNSUBSCRIBE x
    b: PUBLISH x 2
    a: PSUBSCRIBE ?* z?
    a: PUNSUBSCRIBE ?*
    a: PSUBSCRIBE y*
    b: PUBLISH y 3
    a: SSUBSCRIBE s
    b: SPUBLISH s 4
    b: PUBLISH s 5
    b: PUBSUB NUMSUB x y s
    b: PUBSUB NUMPAT
    b: PUBSUB CHANNELS
    b: PUBSUB CHANNELS y?
    b: PUBSUB SHARDCHANNELS
    b: PUBSUB SHARDNUMSUB s y
    b: PUBSUB NOSUCH
    b: PUBSUB CHANNELS a b
    b: PUBSUB NUMSUB
    a: UNSUBSCRIBE nosuch
    a: UNSUBSCRIBE
    a: UNSUBSCRIBE
    a: PUNSUBSCRIBE y*
    a: PUNSUBSCRIBE
    a: PUNSUBSCRIBE
    a: SUNSUBSCRIBE
    a: SUNSUBSCRIBE
    a: GET k
    b: PUBLISH y 3
    b: PUBSUB CHANNELS
    "#,
    // RESP3, side by side with RESP2.
    r#"
    a3
    a: SUBSCRIBE x
    c: SUBSCRIBE x
    a: GET k
    a: PING
    b: PUBLISH x 1
    a: PUNSUBSCRIBE
    a: PSUBSCRIBE *
    a: PUNSUBSCRIBE
    a: UNSUBSCRIBE x
    a: UNSUBSCRIBE
    a: SSUBSCRIBE x
    b: SPUBLISH x 1
    c: RESET
    c: GET k
    b: PUBLISH x 1
    a-
    b: SPUBLISH x 1
    "#,
    // Within transactions and scripts.
    r#"
    a3
    a: PSUBSCRIBE *
    b! MULTI
    b! PUBLISH x 1
    b! SET k 1
    b! PUBLISH x 2
    b: EXEC
    b! MULTI
    b! PUBLISH x 3
    b: DISCARD
    b: EVAL "redis.call('publish', 'x', '4') redis.call('set', 'k', '2') return redis.call('publish', KEYS[1], '5')" 1 y
    b: EVAL "return redis.call('spublish', 'x', '4')" 0
    c! MULTI
    c! SUBSCRIBE x y
    c! GET k
    c: EXEC
    b: PUBLISH x 6
    c: EXEC
    c: UNSUBSCRIBE x
    c: PUNSUBSCRIBE
    c: UNSUBSCRIBE y
    c: GET k
    "#,
    // Patterns.
    r#"
    a: PSUBSCRIBE h[ae]llo
    a: PSUBSCRIBE h*o
    a: PUNSUBSCRIBE h*o
    b: PUBLISH hello 1
    b: PUBLISH hillo 1
    a: PSUBSCRIBE h\[a
    b: PUBLISH h[a 1
    "#,
];

#[test]
fn channels() {
    // What a publisher subscribes to itself comes before the reply in the oldest one.
    compare("messages::channels", CHANNELS, true);
}

#[test]
fn a_publisher_gets_its_reply_before_its_message() {
    let script = r#"
    a3
    a: SUBSCRIBE x
    a: PUBLISH x 1
    a! MULTI
    a! PUBLISH x 2
    a! GET k
    a: EXEC
    "#;
    compare("messages::publisher", &[script], false);
}

/// Commands of every family, each followed by what is announced of it.
const NOTIFICATIONS: &[&str] = &[
    r#"
    p: PSUBSCRIBE __key*
    a: SET k v
    p: PUNSUBSCRIBE
    a: CONFIG SET notify-keyspace-events KEA
    p: SUBSCRIBE __keyspace@0__:k __keyevent@1__:set
    a: SET k v
    a: GETSET k w
    a: SELECT 1
    a: SET k v
    a: MSET k v j v
    a: CONFIG SET notify-keyspace-events Kg
    a: SELECT 0
    a: SET k v
    a: DEL k
    a: CONFIG SET notify-keyspace-events A
    a: SET k v
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events EAmn
    p: PSUBSCRIBE __keyevent@*
    a: SET k v
    a: SET k v KEEPTTL
    a: SET k v EX 100
    a: SETNX k v
    a: SETNX k v
    a: SETEX k 100 v
    a: PSETEX k 100000 v
    a: GETEX k PERSIST
    a: GETEX k EX 100
    a: GETEX k
    a: GETDEL k
    a: GETDEL k
    a: APPEND k x
    a: APPEND k x
    a: SETRANGE k 1 abc
    a: SETRANGE k 1 ""
    a: MSETNX k 1 j 1
    a: MSETNX i 1 j 1
    a: INCR i
    a: DECRBY i 3
    a: INCRBYFLOAT i 1.5
    a: SETBIT bits 7 1
    a: BITFIELD bits SET u8 0 1 INCRBY u8 0 1
    a: BITFIELD bits GET u8 0
    a: BITOP AND bits2 bits bits
    a: BITOP AND bits2 none none
    a: PFADD h1 a b
    a: PFADD h1 a
    a: PFMERGE h2 h1
    a: PFCOUNT h1 h2 h3
    a: STRLEN none
    a: GETRANGE none 0 1
    a: MGET k none
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events EAmn
    p: PSUBSCRIBE __keyevent@*
    a: SET k v
    a: EXPIRE k 100
    a: EXPIRE k 100 NX
    a: EXPIRE none 100
    a: PERSIST k
    a: PERSIST k
    a: EXPIRE k 1000
    a: RENAME k j
    a: RENAME j j
    a: RENAMENX j k
    a: SET j v
    a: RENAMENX j k
    a: COPY k c
    a: COPY k c
    a: COPY k c DB 1
    a: MOVE k 1
    a: MOVE j 2
    a: UNLINK c none
    a: EXISTS none
    a: TYPE none
    a: TTL none
    a: TOUCH none
    a: OBJECT ENCODING none
    a: DUMP none
    a: SET r v PX 1
    a: RPUSH l 3 1 2
    a: SORT l STORE l2
    a: SORT none STORE l2
    a: SWAPDB 0 1
    a: FLUSHDB
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events EAmn
    p: PSUBSCRIBE __keyevent@*
    a: LPUSH l a b c
    a: RPUSHX l d
    a: LPUSHX none d
    a: LINSERT l BEFORE a x
    a: LINSERT l BEFORE nosuch x
    a: LSET l 0 y
    a: LREM l 0 y
    a: LREM l 0 nosuch
    a: LTRIM l 0 2
    a: LTRIM l 5 9
    a: RPUSH l a b
    a: LMOVE l m LEFT RIGHT
    a: RPOPLPUSH l m
    a: LMOVE m m LEFT RIGHT
    a: RPOP m
    a: LPOP m 5
    a: LPOP none
    a: RPUSH l a b c
    a: LMPOP 2 none l LEFT COUNT 2
    a: BLPOP none l 0
    a: RPUSH l a
    a: BLMOVE l m LEFT LEFT 0
    a: LRANGE none 0 1
    a: LLEN none
    b! BLPOP late 0.001
    a: RPUSH late x
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events EAmn
    p: PSUBSCRIBE __keyevent@*
    a: SADD s a b c
    a: SADD s a
    a: SREM s nosuch
    a: SREM s a
    a: SMOVE s t b
    a: SMOVE s t nosuch
    a: SPOP none
    a: SADD s a b c d
    a: DEL s
    a: SADD s a
    a: SPOP s 9
    a: SADD s a b
    a: SUNIONSTORE u s t
    a: SINTERSTORE u s none
    a: SDIFFSTORE u s none
    a: SDIFF none s
    a: SINTERCARD 2 none none2
    a: SISMEMBER none a
    a: SMEMBERS none
    a: SINTER none s
    a: ZADD z 1 a 2 b
    a: ZADD z 1 a
    a: ZADD z XX 3 a
    a: ZADD z INCR 1 a
    a: ZINCRBY z 1 a
    a: ZREM z nosuch
    a: ZREM z a
    a: ZPOPMIN z
    a: ZPOPMAX none
    a: ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
    a: ZREMRANGEBYRANK z 0 0
    a: ZREMRANGEBYSCORE z 2 2
    a: ZREMRANGEBYLEX z [c [c
    a: ZMPOP 1 z MIN
    a: BZPOPMAX z 0
    a: ZUNIONSTORE y 1 z
    a: ZINTERSTORE y 2 z none
    a: ZRANGESTORE y z 0 -1
    a: ZDIFFSTORE y 1 z
    a: ZDIFFSTORE y 2 z z
    a: ZSCORE none a
    a: GEOADD g 1 1 a 2 2 b
    a: GEOSEARCHSTORE h g FROMLONLAT 1 1 BYRADIUS 500 km
    a: GEOSEARCHSTORE h none FROMLONLAT 1 1 BYRADIUS 500 km
    a: GEODIST none a b
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events EAmn
    p: PSUBSCRIBE __keyevent@*
    a: HSET h f v g v
    a: HSET h f v
    a: HMSET h f v
    a: HSETNX h f v
    a: HSETNX h new v
    a: HINCRBY h n 1
    a: HINCRBYFLOAT h n 1.5
    a: HDEL h nosuch
    a: HDEL h f
    a: HDEL h g new n
    a: HGET none f
    a: HGETALL none
    a: XADD x 1-1 a b
    a: XADD x MAXLEN 1 2-1 a b
    a: XADD x NOMKSTREAM 3-1 a b
    a: XADD none NOMKSTREAM 3-1 a b
    a: XTRIM x MAXLEN 1
    a: XTRIM x MAXLEN 1
    a: XDEL x 1-1
    a: XSETID x 9-1
    a: XGROUP CREATE x g 0
    a: XGROUP CREATE y g 0 MKSTREAM
    a: XGROUP CREATECONSUMER x g c
    a: XGROUP CREATECONSUMER x g c
    a: XREADGROUP GROUP g c STREAMS x >
    a: XREADGROUP GROUP g d STREAMS x >
    a: XACK x g 3-1
    a: XGROUP SETID x g 0
    a: XGROUP DELCONSUMER x g c
    a: XGROUP DESTROY x g
    a: XGROUP DESTROY x g
    a: XDEL x 3-1
    a: XLEN none
    a: XRANGE none - +
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events EAmn
    p: PSUBSCRIBE __keyevent@*
    a! MULTI
    a! SET k v
    a! DEL k
    a! RPUSH l 1
    a! LPOP l
    a: EXEC
    a: EVAL "redis.call('set', 'k', 1) redis.call('incr', 'k') return redis.call('get', 'none')" 0
    "#,
];

/// Where Valkey says `expired` of a key that is given a time in the past, Redis says `del`; classes that only Redis has.
const NOTIFICATIONS_OF_REDIS: &[&str] = &[
    r#"
    a: CONFIG SET notify-keyspace-events Eg$x
    p: PSUBSCRIBE __keyevent@*
    a: SET k v
    a: PEXPIREAT k 1
    a: SET k v
    a: EXPIRE k -1
    a: SET k v
    a: GETEX k EXAT 1
    a: GET k
    "#,
    r#"
    a: CONFIG SET notify-keyspace-events Eg$lshzoc
    p: PSUBSCRIBE __keyevent@*
    a: SET k v
    a: SET k w
    a: LPUSH l a
    a: SET l 1
    a: MSET k 1 j 2
    a: GETSET k w
    a: SETEX k 100 v
    a: APPEND k x
    a: SADD s 1
    a: SUNIONSTORE d s
    a: SUNIONSTORE d s
    a: SUNIONSTORE k s
    a: SORT s STORE d
    a: ZADD z 1 a
    a: ZUNIONSTORE k 1 z
    a: ZRANGESTORE k z 0 -1
    a: SET b x
    a: BITOP AND k b b
    a: BITOP AND k b b
    a: RENAME z k
    a: COPY k s REPLACE
    a: COPY k s REPLACE
    a: RENAME s j
    "#,
];

#[test]
fn notifications() {
    compare("messages::notifications", NOTIFICATIONS, false);
    let name = "messages::notifications_of_redis";
    if let Some(mut peers) = Peers::find().or_skip(name) {
        peers.valkey = None;
        compare_with(peers, name, NOTIFICATIONS_OF_REDIS, false);
    }
}

const TRACKING: &[&str] = &[
    r#"
    a3
    a: CLIENT TRACKING on
    a: CLIENT TRACKINGINFO
    a: GET k
    b: SET k 1
    b: SET k 2
    a: MGET k k2 k3
    b: MSET k 1 k2 2 other 3
    a: SET k3 1
    a: GET k3
    a: SET k3 2
    a: SET k3 3
    a: SINTER s t
    b: SADD t 1
    a: EXISTS k
    a: TTL k
    b: DEL k
    a: GETSET k 1
    a: INCR k
    b: SET k 2
    a: GET k
    b: SELECT 1
    b: SET k 2
    b: SELECT 0
    a: GET k
    b: FLUSHDB
    b: SET k 1
    a: GET k
    a: CLIENT TRACKING off
    b: SET k 2
    a: CLIENT TRACKINGINFO
    "#,
    r#"
    a3
    b: SET k 1
    a: CLIENT TRACKING on
    a! MULTI
    a! GET k
    a! SET k 2
    a! GET k
    a! GET k2
    a: EXEC
    b: MSET k 1 k2 1
    a: EVAL "return redis.call('get', KEYS[1])" 1 k
    a: EVAL_RO "return redis.call('get', KEYS[1])" 1 k2
    a: EVAL "return 1" 1 k3
    b: MSET k 1 k2 1 k3 1
    b! MULTI
    b! SET k 1
    b! SET k2 1
    a! GET k
    b: EXEC
    a: GET k2
    b: EVAL "redis.call('set', 'k2', 1) redis.call('set', 'k2', 2)" 0
    "#,
    r#"
    a3
    a: CLIENT TRACKING on NOLOOP
    a: CLIENT TRACKINGINFO
    a: GET k
    a: SET k 1
    b: SET k 1
    a: GET k
    b: SET k 1
    a: GET k
    b: EXPIRE k 100
    a: GET k
    b: PEXPIREAT k 1
    a: LRANGE l 0 -1
    b: RPUSH l 1
    a: LRANGE l 0 -1
    b: LPOP l
    a: HGET h f
    b: HSET h f 1
    a: ZSCORE z a
    b: ZADD z 1 a
    a: XRANGE x - +
    b: XADD x 1-1 a b
    a: SORT l
    b: RENAME z l
    "#,
    r#"
    a3
    a: CLIENT TRACKING on OPTIN
    a: GET k
    b: SET k 1
    a: CLIENT CACHING NO
    a! CLIENT CACHING YES
    a! CLIENT TRACKINGINFO
    a: GET k
    b: SET k 1
    a! CLIENT CACHING YES
    a! MULTI
    a! GET k
    a! GET k2
    a: EXEC
    a: GET k3
    b: MSET k 1 k2 1 k3 1
    a! CLIENT CACHING YES
    a! NOSUCH
    a: GET k
    b: SET k 1
    a: CLIENT TRACKING on OPTOUT
    a: CLIENT TRACKING off
    a: CLIENT CACHING YES
    a: CLIENT TRACKING on OPTOUT
    a: CLIENT CACHING YES
    a: CLIENT CACHING MAYBE
    a! CLIENT CACHING NO
    a! CLIENT TRACKINGINFO
    a: GET k
    a: GET k2
    b: MSET k 1 k2 1
    a: CLIENT TRACKING on
    a: CLIENT CACHING YES
    "#,
    r#"
    a3
    a: CLIENT TRACKING on PREFIX a
    a: CLIENT TRACKING on BCAST OPTIN
    a: CLIENT TRACKING on BCAST PREFIX ab PREFIX abc
    a: CLIENT TRACKING on BCAST PREFIX ab PREFIX x
    a: CLIENT TRACKING on BCAST PREFIX abz
    a: CLIENT TRACKING on BCAST PREFIX a
    a: CLIENT TRACKING on
    a: CLIENT TRACKINGINFO
    b: SET ab1 1
    b: SET b 1
    b: MSET x2 1 ab2 1 x1 1 b 1
    b: SET x1 1
    a: SET x1 1
    a: GET x1
    b! MULTI
    b! SET x1 1
    b! SET x1 2
    b! DEL x2
    b! DEL nosuch
    b: EXEC
    b: FLUSHALL
    a: CLIENT TRACKING on BCAST
    a: CLIENT TRACKINGINFO
    b: SET ab1 1
    a: CLIENT TRACKING off
    a: CLIENT TRACKING on BCAST NOLOOP
    a: SET k 1
    b: SET k 1
    a: RESET
    a: CLIENT TRACKINGINFO
    b: SET k 1
    "#,
    r#"
    t: SUBSCRIBE __redis__:invalidate
    a: CLIENT TRACKING on REDIRECT {t} REDIRECT {t}
    a: CLIENT TRACKING on REDIRECT 123456789
    a: CLIENT TRACKING on REDIRECT {t}
    a: GET k
    b: SET k 1
    a: GET k
    b: FLUSHALL
    a: GET k
    t: UNSUBSCRIBE
    b: SET k 1
    t3
    a: GET k
    b: SET k 2
    c: CLIENT TRACKING on BCAST PREFIX p REDIRECT {t}
    b: MSET p1 1 p2 1
    c: GET p1
    "#,
];

#[test]
fn client_side_caching() {
    compare("messages::client_side_caching", TRACKING, false);
}

/// Commands for clients that track; for a K stands a key.
const READS_AND_WRITES: &str = "
GET K|MGET K K|SET K 1|SET K 2 EX 1000|SETNX K 1|MSET K 1 K 2|INCR K|APPEND K x|DEL K K|GETDEL K|EXPIRE K 1000|EXPIRE K -1
PERSIST K|RENAME K K|COPY K K REPLACE|MOVE K 1|TTL K|EXISTS K K|TYPE K|STRLEN K|TOUCH K|DUMP K|OBJECT ENCODING K
LPUSH K a|LPOP K|LRANGE K 0 -1|LMOVE K K LEFT RIGHT|LLEN K|SADD K a|SREM K a|SMEMBERS K|SINTER K K|SUNIONSTORE K K K
ZADD K 1 a|ZREM K a|ZSCORE K a|ZUNIONSTORE K 1 K|ZRANGESTORE K K 0 -1|HSET K f 1|HDEL K f|HGET K f|HGETALL K
XADD K 1-1 a b|XRANGE K - +|XLEN K|SORT K ALPHA STORE K|SORT_RO K ALPHA|PFADD K a|PFCOUNT K K|BITOP OR K K K|GETEX K PERSIST
PUBLISH x 1|PING|SELECT 0
";

/// What clients that track in all modes, and one that subscribes, are told after random commands of theirs.
#[test]
fn random_commands_invalidate_the_same() {
    let name = "messages::random_commands_invalidate_the_same";
    let Some(peers) = Peers::find().or_skip(name) else {
        return;
    };
    let Some(peer) = peers.redis8 else {
        return skip(name, "Redis 8 is not there");
    };
    let servers = [
        Server::redpoll_with(&["--threads", "4"]),
        Server::peer(&peer, &[]),
    ];
    let mut guests = servers.each_ref().map(|server| {
        server
            .connect()
            .run("CONFIG SET notify-keyspace-events KEA");
        let begin = |command: &str| {
            let mut client = server.connect();
            client.run("HELLO 3");
            client.run(command);
            client
        };
        [
            begin("PING"),
            begin("CLIENT TRACKING ON"),
            begin("CLIENT TRACKING ON NOLOOP"),
            begin("CLIENT TRACKING ON BCAST PREFIX a NOLOOP"),
            begin("PSUBSCRIBE *"),
        ]
    });
    let seed = env_number("REDPOLL_SEED", 1);
    let mut rng = Rng::new(seed);
    let templates: Vec<&'static str> = READS_AND_WRITES
        .split(['|', '\n'])
        .filter(|t| !t.is_empty())
        .collect();
    for step in 0..env_number("REDPOLL_DIFF_COMMANDS", 15_000) / 10 {
        let actor = rng.below(4);
        let in_transaction = rng.chance(15);
        let lines: Vec<String> = (0..if in_transaction { 3 } else { 1 })
            .map(|_| {
                let mut line = String::new();
                for word in rng.pick(&templates).split(' ') {
                    line += match word {
                        "K" => *rng.pick(&["a", "ab", "b", "c"]),
                        word => word,
                    };
                    line += " ";
                }
                line
            })
            .collect();
        let said = guests.each_mut().map(|guests| {
            let client = &mut guests[actor];
            if in_transaction {
                client.run("MULTI");
            }
            lines.iter().for_each(|line| drop(client.run(line)));
            if in_transaction {
                client.run("EXEC");
            }
            let all = guests.iter_mut().map(|guest| {
                let said = all_said(guest);
                said.iter().map(show).collect::<Vec<_>>()
            });
            all.collect::<Vec<_>>()
        });
        assert_eq!(
            said[0], said[1],
            "step {step}: client {actor} did {lines:?} (transaction: {in_transaction}), REDPOLL_SEED={seed}"
        );
    }
}

const MONITOR: &[&str] = &[r#"
    m: MONITOR
    a: SET k "v w\r\n\t\x00\"\\'\xff"
    a: GET
    a: NOSUCH
    a: LPUSH k 1
    a: AUTH secret
    a: AUTH default secret
    a: SELECT 2
    a: GET k
    a: CONFIG GET timeout
    a: SET k v
    a! MULTI
    a! GET k
    a! SET k w
    a: EXEC
    a: EXEC
    a! MULTI
    a! GET k
    a: DISCARD
    a: EVAL "redis.call('set', 'k', ARGV[1]) return redis.call('get', 'k')" 0 arg
    a! MULTI
    a! EVAL "return redis.call('get', 'k')" 0
    a! GET k
    a: EXEC
    a: PUBLISH x y
    a: WATCH k
    a: BLPOP none 0.001
    a! MULTI
    a! MONITOR
    a: EXEC
    "#];

#[test]
fn monitor() {
    compare("messages::monitor", MONITOR, false);
}

/// The line of a script has the time at which it began, alone and in a transaction, so that times go upwards from line to line.
#[test]
fn times_of_monitor_do_not_descend() {
    let mut servers = vec![Server::redpoll()];
    let peers = every_peer("times_of_monitor_do_not_descend");
    servers.extend(peers.iter().map(|peer| Server::peer(peer, &[])));
    for server in &servers {
        let (mut c, mut m) = (server.connect(), server.connect());
        m.run("MONITOR");
        let script = "for i = 1, 50 do redis.call('get', KEYS[1]) for j = 1, 5000 do end end";
        c.call(&["EVAL", script, "1", "k"]);
        c.run("MULTI");
        c.run("PING");
        c.call(&["EVAL", script, "1", "k"]);
        c.run("EXEC");
        let mut last = String::new();
        for n in 0..105 {
            let line = show(&m.read());
            let time = line.split(' ').next().expect("a time").to_owned();
            assert!(
                time >= last,
                "{}, line {n}: {line} after {last}",
                server.name()
            );
            last = time;
        }
    }
}
