//! Transactions as several clients see them, held against the real servers.

use redpoll_tests::transcript::agree;
use redpoll_tests::{Peers, Server, skip};

/// Valkey words some of these errors differently.
const AS_REDIS: &[&str] = &[
    // The plain way, with errors at both times.
    r#"
    a: MULTI
    a: SET k 1
    a: INCR k
    a: LPUSH k x
    a: GET k
    a: EXEC
    a: EXEC
    a: DISCARD
    a: MULTI
    a: MULTI
    a: NOSUCH x
    a: SET k 5
    a: EXEC
    a: GET k
    a: MULTI
    a: GET
    a: DISCARD
    a: MULTI
    a: EXEC
    a: EXEC x
    a: MULTI x
    "#,
    // What is not queued, and what is refused.
    r#"
    a: MULTI
    a: WATCH k
    a: UNWATCH
    a: PING
    a: SELECT 1
    a: SET k db1
    a: SELECT 0
    a: EXEC
    a: MULTI
    a: WATCH k
    a: SET k 2
    a: EXEC
    a: GET k
    a: MULTI
    a: SET k 3
    a: RESET
    a: EXEC
    a: GET k
    a: DISCARD
    "#,
    // Scripts inside, and errors of theirs.
    r#"
    a: MULTI
    a: EVAL "return redis.call('SET', KEYS[1], ARGV[1])" 1 k v
    a: EVAL "return redis.call('INCR', 'k')" 0
    a: EVAL "return {redis.call('GET', 'k'), redis.call('DBSIZE')}" 0
    a: SCAN 0
    a: DBSIZE
    a: KEYS *
    a: RANDOMKEY
    a: EXEC
    "#,
];

const FURTHER: &[&str] = &[
    // WATCH: somebody else's change, one's own, no change, unwatched.
    r#"
    a: WATCH k
    b: SET k 1
    a: MULTI
    a: GET k
    a: EXEC
    a: WATCH k
    a: SET k 2
    a: MULTI
    a: GET k
    a: EXEC
    a: WATCH k
    b: GET k
    b: SADD s x
    a: MULTI
    a: GET k
    a: EXEC
    a: WATCH s
    b: SADD s x
    a: MULTI
    a: SCARD s
    a: EXEC
    a: WATCH k
    b: SET k 3
    a: UNWATCH
    a: MULTI
    a: GET k
    a: EXEC
    a: WATCH k
    b: SET k 4
    a: MULTI
    a: DISCARD
    a: MULTI
    a: GET k
    a: EXEC
    a: WATCH missing
    b: DEL missing
    a: MULTI
    a: PING
    a: EXEC
    "#,
    // WATCH: databases, FLUSH, SWAPDB, RENAME, expiry set and passed.
    r#"
    a: SET k 1
    a: WATCH k
    b: FLUSHDB
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH k
    b: FLUSHALL
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH k
    b: SELECT 1
    b: SET k other
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH k
    b: SWAPDB 0 1
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH none
    b: SWAPDB 0 1
    a: MULTI
    a: PING
    a: EXEC
    b: SELECT 0
    b: SET x 1
    a: WATCH y
    b: RENAME x y
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH y
    b: EXPIRE y 1000
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH y
    b: PEXPIREAT y 1
    a: MULTI
    a: PING
    a: EXEC
    a: WATCH y
    b: EXPIRE y 100
    a: MULTI
    a: PING
    a: EXEC
    "#,
    // What blocks does not block here.
    r#"
    a: MULTI
    a: BLPOP l 0
    a: BLMOVE l m LEFT RIGHT 0
    a: BRPOPLPUSH l m 0
    a: BZPOPMIN z 0
    a: BLMPOP 0 1 l LEFT
    a: XREAD BLOCK 0 STREAMS s $
    a: RPUSH l 1 2
    a: BLPOP l 0
    a: BLMOVE l m LEFT RIGHT 0
    a: EXEC
    a: LRANGE m 0 -1
    "#,
];

#[test]
fn agree_with_real_servers() {
    let Some(peers) = Peers::find().or_skip("transactions::agree_with_real_servers") else {
        return;
    };
    let ours = Server::redpoll();
    for (peer, is_redis) in [
        (&peers.redis7, true),
        (&peers.redis8, true),
        (&peers.valkey, false),
    ] {
        let Some(peer) = peer else {
            skip("transactions", "one of the real servers is not there");
            continue;
        };
        let theirs = Server::peer(peer, &[]);
        agree(&ours, &theirs, FURTHER);
        if is_redis {
            agree(&ours, &theirs, AS_REDIS);
        }
    }
}
