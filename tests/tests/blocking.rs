//! Blocking commands as several clients see them, held against the real servers.

use redpoll_tests::check::show;
use redpoll_tests::transcript::agree;
use redpoll_tests::{Client, Peers, Server, eventually, skip};
use resp::Value;

const LISTS: &[&str] = &[
    // One waits, one pushes; first come, first served.
    r#"
    a~ BLPOP k 0
    b~ BRPOP k 0
    c: RPUSH k 1 2 3
    a<
    b<
    c: LRANGE k 0 -1
    a: BLPOP k 0
    a: BLPOP k 0.01
    a: BLPOP none k 0.01
    a: BLPOP k -1
    a: BLPOP k x
    a: SET s x
    a: BLPOP s 0
    a: BLPOP none s 0.01
    "#,
    // Deleted before the end of the transaction: nothing for anybody.
    r#"
    a~ BLPOP x y 0
    b: MULTI
    b: RPUSH x 1
    b: DEL x
    b: EXEC
    b: RPUSH y 2
    a<
    "#,
    // Chains.
    r#"
    a~ BLMOVE one two RIGHT LEFT 0
    b~ BRPOPLPUSH two three 0
    c~ BLPOP three 0
    d: RPUSH one v
    a<
    b<
    c<
    d: EXISTS one two three
    a~ BLMOVE l l LEFT RIGHT 0
    d: RPUSH l 1 2
    a<
    d: LRANGE l 0 -1
    a~ BLMOVE src dst LEFT RIGHT 0
    d: SET dst string
    d: RPUSH src v
    a<
    d: LRANGE src 0 -1
    "#,
    // Whatever creates the key wakes.
    r#"
    a~ BLPOP k 0
    b: RPUSH other 1
    b: RENAME other k
    a<
    a~ BLPOP k 0
    b: RPUSH other 1
    b: COPY other k
    a<
    a~ BLPOP k 0
    b: SORT other STORE k
    a<
    a~ BLPOP k 0
    b: LMOVE other k LEFT RIGHT
    a<
    a~ BLPOP k 0
    b: EVAL "redis.call('RPUSH', KEYS[1], 'script') return redis.call('LLEN', KEYS[1])" 1 k
    a<
    b: EXISTS k
    a~ BLPOP k 0
    b: SELECT 1
    b: RPUSH k moved
    b: MOVE k 0
    a<
    a~ BLPOP k 0
    b: RPUSH k swapped
    b: SWAPDB 0 1
    a<
    a~ BLPOP k 0
    b: EVAL "redis.call('RPUSH', ARGV[1], 'undeclared')" 0 k
    b: SELECT 0
    b: EVAL "redis.call('RPUSH', ARGV[1], 'undeclared')" 0 k
    a<
    "#,
    // A client that leaves loses nothing for others, nor does one that is unblocked.
    r#"
    a~ BLPOP k 0
    b~ BLPOP k 0
    a-
    c: RPUSH k 1
    b<
    c: EXISTS k
    d~ BLMPOP 0 2 k j LEFT COUNT 2
    c: RPUSH j 1 2 3
    d<
    c: LRANGE j 0 -1
    d: BLMPOP 0.01 1 k LEFT
    d: BLMPOP 0 0 k LEFT
    d: BLMPOP 0 1 k MIDDLE
    d: BLMPOP 0 1 k LEFT COUNT 0
    "#,
];

/// Redis 7.0 goes by the order in which the keys changed.
const LISTS_NEWER: &[&str] = &[
    // Several keys: the one that comes first, in the order of the command.
    r#"
    a~ BLPOP x y z 0
    b: MULTI
    b: RPUSH z 3
    b: RPUSH x 1
    b: EXEC
    a<
    b: LRANGE z 0 -1
    b: DEL x y z
    "#,
    // Expired by the end of the transaction: nothing for anybody.
    r#"
    a~ BLPOP k 0
    b: MULTI
    b: RPUSH k 1
    b: PEXPIRE k 20
    b: DEBUG SLEEP 0.05
    b: EXEC
    b: RPUSH k 2
    a<
    b: EXISTS k
    "#,
];

const SORTED_SETS: &[&str] = &[r#"
    a~ BZPOPMIN z 0
    b~ BZPOPMAX z 0
    c: ZADD z 1 a 2 b 3 c
    a<
    b<
    c: ZRANGE z 0 -1 WITHSCORES
    a: BZPOPMIN z 0
    a: BZPOPMIN z 0.01
    a: BZPOPMAX none z 0.01
    a: BZPOPMIN z x
    a~ BZMPOP 0 2 z y MAX COUNT 2
    c: ZADD y 1 a 2 b 3 c
    a<
    c: ZRANGE y 0 -1
    a: BZMPOP 0 1 y MIN COUNT 5
    a~ BZPOPMIN z 0
    c: LPUSH z list
    c: DEL z
    c: ZADD other 1 m
    c: ZUNIONSTORE z 1 other
    a<
    a~ BZPOPMIN z 0
    c: GEOADD z 13 38 place
    a<
    "#];

const STREAMS: &[&str] = &[r#"
    a~ XREAD BLOCK 0 STREAMS s $
    b~ XREAD BLOCK 0 STREAMS t s $ 0
    c: XADD s 1-1 f v
    a<
    b<
    a: XREAD BLOCK 10 STREAMS s $
    a: XREAD BLOCK x STREAMS s $
    a: XREAD BLOCK -1 STREAMS s $
    c: XGROUP CREATE s g $
    a~ XREADGROUP GROUP g alice BLOCK 0 STREAMS s >
    b~ XREADGROUP GROUP g bob BLOCK 0 STREAMS s >
    c: XADD s 2-1 f v
    a<
    c: XADD s 3-1 f v
    b<
    c: XPENDING s g
    "#];

/// The newer servers say this differently than Redis 7.0.
const STREAMS_GONE: &[&str] = &[r#"
    c: XADD s 1-1 f v
    c: XGROUP CREATE s g $
    a~ XREADGROUP GROUP g alice BLOCK 0 STREAMS s >
    c: XGROUP DESTROY s g
    a<
    c: XGROUP CREATE s g $
    a~ XREADGROUP GROUP g alice BLOCK 0 STREAMS s >
    c: DEL s
    a<
    c: XADD s 1-1 f v
    c: XGROUP CREATE s g $
    a~ XREADGROUP GROUP g alice BLOCK 0 STREAMS s >
    c: SET s string
    a<
    "#];

fn compare(name: &str, scripts: &[&str], with_7: bool) {
    let Some(peers) = Peers::find().or_skip(name) else {
        return;
    };
    // As many workers as clients, so that they wait for one another across threads.
    let debug = ["--enable-debug-command", "yes"];
    let ours = Server::redpoll_with(&[&debug[..], &["--threads", "4"]].concat());
    let older = with_7.then_some(&peers.redis7);
    for peer in older.into_iter().chain([&peers.redis8, &peers.valkey]) {
        match peer {
            Some(peer) => agree(&ours, &Server::peer(peer, &debug), scripts),
            None => skip(name, "one of the real servers is not there"),
        }
    }
}

#[test]
fn lists() {
    compare("blocking::lists", LISTS, true);
    compare("blocking::lists", LISTS_NEWER, false);
}

#[test]
fn sorted_sets() {
    compare("blocking::sorted_sets", SORTED_SETS, true);
}

#[test]
fn streams() {
    compare("blocking::streams", STREAMS, true);
    compare("blocking::streams", STREAMS_GONE, false);
}

/// The reply with the time for which its first entry was pending left out: a number between the entry's pairs and the count
/// of deliveries.
fn claimed(mut reply: Value) -> String {
    fn leave_out(value: &mut Value) {
        let Value::Array(items) = value else { return };
        if let [
            Value::Bulk(_),
            Value::Array(_),
            idle @ Value::Int(_),
            Value::Int(_),
        ] = &mut items[..]
        {
            *idle = Value::Null;
        }
        items.iter_mut().for_each(leave_out);
    }
    leave_out(&mut reply);
    show(&reply)
}

/// Who waits with CLAIM gets what comes of age meanwhile, whoever made it so.
fn claims(server: &Server) -> Vec<String> {
    let mut c = server.connect();
    let mut waits: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    let blocks = |c: &mut Client, waits: &mut Client, number: usize, line: &str| {
        waits.send(&line.split(' ').collect::<Vec<_>>());
        eventually("it blocks", || {
            let info = show(&c.run("INFO clients"));
            info.contains(&format!("blocked_clients:{number}\\r"))
                || info.contains(&format!("blocked_clients:{number}\r"))
        });
    };
    let mut seen = Vec::new();
    let mut tell = |what: &str, text: String| seen.push(format!("{what}: {text}"));
    c.run("XADD s 1-1 f v");
    c.run("XADD s 2-1 f v");
    c.run("XGROUP CREATE s g 0");
    c.run("XREADGROUP GROUP g a COUNT 1 STREAMS s >");
    // One that is pending already.
    let line = "XREADGROUP GROUP g b COUNT 1 BLOCK 0 CLAIM 300 STREAMS s >";
    c.run("XREADGROUP GROUP g a COUNT 1 STREAMS s >");
    blocks(&mut c, &mut waits[0], 1, line);
    tell("pending", claimed(waits[0].read()));
    tell("then", show(&c.run("XPENDING s g")));
    // One that comes to be pending meanwhile; who has waited longest gets it.
    c.run("XACK s g 1-1 2-1");
    blocks(&mut c, &mut waits[0], 1, line);
    blocks(&mut c, &mut waits[1], 2, &line.replace("g b", "g d"));
    c.run("MULTI");
    c.run("XADD s 3-1 f v");
    c.run("XREADGROUP GROUP g a STREAMS s >");
    c.run("EXEC");
    tell("later", claimed(waits[0].read()));
    tell("again", claimed(waits[1].read()));
    // In two streams, and for a short while only.
    c.run("XGROUP CREATE t g $ MKSTREAM");
    let line = "XREADGROUP GROUP g e BLOCK 0 CLAIM 200 STREAMS t s > >";
    blocks(&mut c, &mut waits[2], 1, line);
    tell("of two", claimed(waits[2].read()));
    let line = "XREADGROUP GROUP g e BLOCK 50 CLAIM 10000000 STREAMS t s > >";
    tell("in vain", show(&c.run(line)));
    seen
}

#[test]
fn pending_entries_come_of_age() {
    let ours = claims(&Server::redpoll_with(&["--threads", "4"]));
    assert_eq!(ours.len(), 6);
    let name = "blocking::pending_entries_come_of_age";
    let Some(peer) = Peers::find().or_skip(name).and_then(|peers| peers.redis8_6) else {
        return skip(name, "Redis 8.6 is not there");
    };
    assert_eq!(ours, claims(&Server::peer(&peer, &[])));
}
