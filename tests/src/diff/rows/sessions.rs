//! Transactions, messages and users: what a connection's own state decides about.

use super::How::{Exact, Shape, Times, Unordered};
use super::{Row, row};

/// Group `transaction`: errors when a command is queued and when it is carried out, and changes to what is watched.
pub const TRANSACTION: &[Row] = &[
    row("MULTI", 16, "", Exact),
    row("EXEC", 10, "", Exact),
    row("DISCARD", 2, "", Exact),
    row("WATCH", 6, "key+", Exact),
    row("UNWATCH", 1, "", Exact),
    row("GET", 6, "key", Exact),
    row("SET", 8, "key val", Exact),
    row("INCR", 4, "key", Exact),
    row("LPUSH", 4, "key elem", Exact),
    row("LRANGE", 3, "key 0 -1", Exact),
    row("HSET", 4, "key field val", Exact),
    row("EXPIRE", 3, "key (sec|newsec)", Exact),
    row("PERSIST", 2, "key", Exact),
    row("RENAME", 2, "key key", Exact),
    row("COPY", 2, "key key [DB db] [REPLACE]", Exact),
    row("MOVE", 2, "key db", Exact),
    row("TYPE", 2, "key", Exact),
    row("SELECT", 3, "(0|1|2)", Exact),
    row("SWAPDB", 1, "0 1", Exact),
    row("FLUSHDB", 1, "", Exact),
    row("EVAL", 6, "script 1 key [val]", Exact),
    row("EVALSHA", 1, "sha 0", Exact),
    row("BLPOP", 1, "key key 0.01", Exact).tame(),
    row("BLMOVE", 1, "key key LEFT RIGHT 0.01", Exact).tame(),
    row("PING", 1, "", Exact),
    row("PUBLISH", 1, "channel text", Exact),
    row("CLIENT SETNAME", 1, "name", Exact),
    row("CLIENT GETNAME", 1, "", Exact),
    row("CONFIG", 1, "text", Exact),
    row("NOSUCHCOMMAND", 1, "text", Exact),
    row("RESET", 1, "", Exact),
];

/// Group `messages`. A confirmation is a reply for each channel, so that one channel is named at a time; messages themselves
/// come between replies, and are passed over.
pub const MESSAGES: &[Row] = &[
    row("PUBLISH", 10, "channel text", Exact),
    row("SPUBLISH", 5, "channel text", Exact),
    row("PUBSUB CHANNELS", 6, "[channels]", Unordered),
    row("PUBSUB SHARDCHANNELS", 4, "[channels]", Unordered),
    row("PUBSUB NUMSUB", 6, "channel*", Exact),
    row("PUBSUB SHARDNUMSUB", 4, "channel*", Exact),
    row("PUBSUB NUMPAT", 4, "", Exact),
    row("PUBSUB", 1, "text", Exact),
    row("SUBSCRIBE", 4, "channel", Exact).tame(),
    row("PSUBSCRIBE", 3, "channels", Exact).tame(),
    row("SSUBSCRIBE", 3, "channel", Exact).tame(),
    row("UNSUBSCRIBE", 4, "channel", Exact).tame(),
    row("PUNSUBSCRIBE", 3, "channels", Exact).tame(),
    row("SUNSUBSCRIBE", 3, "channel", Exact).tame(),
    row("RESET", 10, "", Exact),
    row("PING", 3, "[text]", Exact),
    row("GET", 1, "key", Exact),
];

/// Group `acl`: users that come, change and go, what they may do, and doing it as one of them. What changes the user that a
/// connection begins with is not sent.
pub const ACL: &[Row] = &[
    row("ACL SETUSER", 30, "user rule+", Exact),
    row("ACL GETUSER", 14, "(user|'default|'nosuch)", Exact),
    row("ACL DELUSER", 3, "(user|'nosuch)+", Exact).tame(),
    row("ACL DELUSER", 1, "user 'default", Exact).tame(),
    row("ACL LIST", 4, "", Unordered),
    row("ACL USERS", 2, "", Unordered),
    row(
        "ACL DRYRUN",
        16,
        "user (GET key|SET key text [GET]|MGET key+|COPY key key|DEL key|GETEX key [PERSIST]|STRLEN key|SORT key BY weights|CONFIG (GET|SET|text) text|CLIENT ID|SELECT (0|1)|PUBLISH channel text|SUBSCRIBE channel+|PSUBSCRIBE channels|EVAL text 1 key|ACL WHOAMI|MULTI|AUTH text|text word)",
        Exact,
    ),
    row("ACL CAT", 1, "text", Exact).tame(),
    row("ACL CAT", 1, "[(READ|'scripting|'dangerous)]", Shape).tame(),
    row("ACL WHOAMI", 3, "", Exact),
    row("ACL LOG", 4, "[(1|2|0|-1|RESET|text)]", Times),
    row("ACL GENPASS", 1, "(0|-1|4097|text)", Exact).tame(),
    row("ACL", 1, "(text|SAVE|LOAD)", Exact),
    // Redis 8.2.3 loses the reply to a refused AUTH that stands in a pipeline.
    row("AUTH", 8, "user password", Exact).tame().alone(),
    row("AUTH", 10, "'default 'any", Exact).tame().alone(),
    row("GET", 6, "key", Exact),
    row("SET", 6, "key val [GET]", Exact),
    row("PUBLISH", 3, "channel text", Exact),
    row("CONFIG GET", 2, "'timeout", Exact),
    row("SELECT", 2, "(0|1)", Exact),
    row("RESET", 1, "", Exact),
];
