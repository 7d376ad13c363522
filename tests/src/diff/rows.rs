//! The commands that differential tests send: a row each, by group.
//!
//! A new command is a new row; a new group is a new table and a line in `tests/differential.rs`. Left out on purpose are
//! commands that stop or block a server (SHUTDOWN, CLIENT PAUSE, DEBUG SLEEP of a random length) or silence a connection
//! (CLIENT REPLY): tests of their own cover them.

mod geo;
mod hash;
mod hyperloglog;
mod script;
mod sessions;
mod sort;
mod sorted_set;
mod stream;

pub use geo::GEO;
pub use hash::HASH;
pub use hyperloglog::{HYPERLOGLOG, HYPERLOGLOG_GROWTH, HYPERLOGLOG_WHOLE};
pub use script::{FUNCTION, SCRIPT};
pub use sessions::{ACL, MESSAGES, TRANSACTION};
pub use sort::SORT;
pub use sorted_set::{SORTED_SET, SORTED_SET_LARGE, SORTED_SET_LEX};
pub use stream::{STREAM, STREAM_ONCE};

use super::grammar::Dialect;
use super::reply::How::{self, Exact, Except, Near, Pairs, Past, Scan, Shape, Unordered};

/// One command (or one way of calling it).
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The command's words, such as `"CLIENT ID"`.
    pub name: &'static str,
    /// How often it is drawn, relative to the other rows of its table.
    pub weight: usize,
    /// Its arguments, in the language of `grammar`.
    pub args: &'static str,
    /// How its replies are compared.
    pub how: How,
    /// Which servers know it.
    pub dialect: Dialect,
    /// Its arguments are sent as they are generated, never damaged.
    pub tame: bool,
    /// Nothing else is under way when it is sent: it is a pipeline by itself.
    pub alone: bool,
}

impl Row {
    const fn redis(mut self) -> Row {
        self.dialect = Dialect::Redis;
        self
    }

    const fn valkey(mut self) -> Row {
        self.dialect = Dialect::Valkey;
        self
    }

    const fn newest(mut self) -> Row {
        self.dialect = Dialect::Newest;
        self
    }

    const fn alone(mut self) -> Row {
        self.alone = true;
        self
    }

    const fn tame(mut self) -> Row {
        self.tame = true;
        self
    }
}

const fn row(name: &'static str, weight: usize, args: &'static str, how: How) -> Row {
    Row {
        name,
        weight,
        args,
        how,
        dialect: Dialect::Common,
        tame: false,
        alone: false,
    }
}

/// Seconds left may differ by the time a slow machine takes for a round.
const SECONDS: How = Near(5);
/// The same in milliseconds.
const MILLISECONDS: How = Near(5000);

/// Commands that give the other groups something to work on, mixed into every round.
pub const SETUP: &[Row] = &[
    row("SET", 8, "key val", Exact),
    row("SET", 3, "key val (EX sec|PXAT atms)", Exact),
    row("APPEND", 1, "key val", Exact),
    row("DEL", 1, "key", Exact),
];

/// Keys of other types, for WRONGTYPE errors; a row is used once Redpoll knows the command.
pub const OTHER_TYPES: &[Row] = &[
    row("RPUSH", 1, "key val+", Exact),
    row("SADD", 1, "key val+", Exact),
    row("HSET", 1, "key (val val)+", Exact),
    row("ZADD", 1, "key (float val)+", Exact),
    row("XADD", 1, "key 1-1 val val", Exact),
];

/// Group `string`.
pub const STRING: &[Row] = &[
    row("APPEND", 6, "key val", Exact),
    row("DECR", 4, "key", Exact),
    row("DECRBY", 6, "key int", Exact),
    row(
        "DELEX",
        8,
        "key (IFEQ val|IFNE val|IFDEQ digest|IFDNE digest)",
        Exact,
    )
    .newest(),
    row("DELEX", 3, "key [text val]", Exact).newest(),
    row("DELIFEQ", 6, "key val", Exact).valkey(),
    row("DIGEST", 6, "key", Exact).newest(),
    row("GET", 8, "key", Exact),
    row("GETDEL", 3, "key", Exact),
    row(
        "GETEX",
        8,
        "key [EX sec|PX ms|EXAT at|PXAT atms|PERSIST]",
        Exact,
    ),
    row("GETEX", 1, "key [EX sec] [PX ms] [PERSIST]", Exact),
    row("GETRANGE", 6, "key pos pos", Exact),
    row("GETSET", 3, "key val", Exact),
    row("INCR", 4, "key", Exact),
    row("INCRBY", 6, "key int", Exact),
    row("INCRBYFLOAT", 8, "key float", Exact),
    row(
        "LCS",
        6,
        "key key {[LEN] [IDX] [MINMATCHLEN int] [WITHMATCHLEN]}",
        Exact,
    ),
    row("MGET", 4, "key+", Exact),
    row("MSET", 4, "(key val)+", Exact),
    row(
        "MSETEX",
        8,
        "#(key val)+ {[NX|XX] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]}",
        Exact,
    )
    .valkey(),
    row(
        "MSETEX",
        8,
        "#(key val)+ {[NX|XX] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]}",
        Exact,
    )
    .newest(),
    row(
        "MSETEX",
        2,
        "(1|2|0|text) (key val)+ {[NX] [EX sec] [PX ms]}",
        Exact,
    )
    .newest(),
    row("SET", 4, "key val EX sec EX sec", Exact),
    row("MSETNX", 4, "(key val)+", Exact),
    row("PSETEX", 4, "key ms val", Exact),
    row("SET", 6, "key val", Exact),
    row(
        "SET",
        16,
        "key val {[NX|XX|@valkey IFEQ val|@newest (IFEQ val|IFNE val)|@newest (IFDEQ digest|IFDNE digest)] [GET] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]}",
        Exact,
    ),
    row(
        "SET",
        2,
        "key val {[NX] [XX] [@valkey IFEQ val|@newest IFNE val] [GET] [EX sec] [PX ms] [KEEPTTL]}",
        Exact,
    ),
    row("SETEX", 4, "key sec val", Exact),
    row("SETNX", 3, "key val", Exact),
    row("SETRANGE", 6, "key offset val", Exact),
    row("STRLEN", 4, "key", Exact),
    row("SUBSTR", 2, "key pos pos", Exact),
    row("TTL", 4, "key", SECONDS),
    row("OBJECT ENCODING", 4, "key", Exact),
];

/// Group `generic`, and what moves keys between databases.
pub const GENERIC: &[Row] = &[
    row("COPY", 8, "key key {[DB db] [REPLACE]}", Exact),
    row("DEL", 3, "key+", Exact),
    row("EXISTS", 4, "key+", Exact),
    row("EXPIRE", 6, "key sec [NX|XX]", Exact),
    row("EXPIRE", 4, "key newsec (GT|LT)", Exact),
    row("EXPIREAT", 8, "key at [NX|XX|GT|LT]", Exact),
    row("EXPIRE", 2, "key newsec {[NX] [XX] [GT] [LT]}", Exact),
    row("EXPIRETIME", 4, "key", SECONDS),
    row("KEYS", 4, "pattern", Unordered),
    row("MOVE", 6, "key db", Exact),
    row("OBJECT ENCODING", 4, "key", Exact),
    row("OBJECT FREQ", 2, "key", Exact),
    row("OBJECT IDLETIME", 2, "key", Past(5)),
    row("OBJECT HELP", 1, "", Shape),
    // How often a value is shared is an implementation's own business.
    row("OBJECT REFCOUNT", 2, "key", Shape),
    row("PERSIST", 5, "key", Exact),
    row("PEXPIRE", 6, "key ms [NX|XX]", Exact),
    row("PEXPIRE", 4, "key newms (GT|LT)", Exact),
    row("PEXPIREAT", 8, "key atms [NX|XX|GT|LT]", Exact),
    row("PEXPIRETIME", 4, "key", MILLISECONDS),
    row("PTTL", 5, "key", MILLISECONDS),
    row("RANDOMKEY", 2, "", Shape),
    row("RENAME", 6, "key key", Exact),
    row("RENAMENX", 6, "key key", Exact),
    row(
        "RESTORE",
        8,
        "key (0|ms) payload {[REPLACE] [ABSTTL] [IDLETIME (0|10|sec)|FREQ (pos|255)]}",
        Exact,
    )
    // Undamaged, as a time of one millisecond is over for one server and not yet for another.
    .tame(),
    row("RESTORE", 4, "key atms payload REPLACE ABSTTL", Exact).tame(),
    row(
        "RESTORE",
        2,
        "key (0|ms|text) (text|payload) {[REPLACE] [IDLETIME] [FREQ] [text]}",
        Exact,
    )
    .tame(),
    row("DUMP", 1, "key", Shape),
    row(
        "SCAN",
        6,
        "0 {[MATCH pattern] [COUNT count] [TYPE type]}",
        Scan,
    )
    .tame(),
    row(
        "SCAN",
        2,
        "(text|0 text|0 COUNT text|0 MATCH|0 TYPE|0 COUNT 1 text val)",
        Exact,
    )
    .tame(),
    row("SELECT", 2, "db", Exact),
    row("SWAPDB", 1, "db db", Exact),
    row("TOUCH", 3, "key+", Exact),
    row("TTL", 5, "key", SECONDS),
    row("TYPE", 4, "key", Exact),
    row("UNLINK", 3, "key+", Exact),
    row("DBSIZE", 2, "", Exact),
    row("GET", 2, "key", Exact),
];

/// Group `bitmap`.
pub const BITMAP: &[Row] = &[
    row("BITCOUNT", 10, "key [pos pos] [BYTE|BIT]", Exact),
    row("BITCOUNT", 6, "key pos pos [BYTE|BIT]", Exact),
    row(
        "BITFIELD",
        14,
        "key (GET bittype bitfield|SET bittype bitfield int|INCRBY bittype bitfield int|OVERFLOW (WRAP|SAT|FAIL))+",
        Exact,
    ),
    row("BITFIELD_RO", 5, "key (GET bittype bitfield)+", Exact),
    row(
        "BITOP",
        12,
        "(AND|OR|XOR|@redis DIFF|@redis DIFF1|@redis ANDOR|@redis ONE) key key+",
        Exact,
    ),
    row("BITOP", 4, "NOT key key", Exact),
    row("BITPOS", 12, "key bit [pos] [pos] [BYTE|BIT]", Exact),
    row("BITPOS", 8, "key bit pos pos [BYTE|BIT]", Exact),
    row("GETBIT", 8, "key bitpos", Exact),
    row("SETBIT", 12, "key bitpos bit", Exact),
    row("GET", 3, "key", Exact),
    row("OBJECT ENCODING", 2, "key", Exact),
];

/// Group `connection`.
pub const CONNECTION: &[Row] = &[
    // Redis 8.2.3 loses the reply to a refused AUTH that stands in a pipeline.
    row("AUTH", 4, "[name] text", Exact).alone(),
    row("CLIENT CACHING", 2, "(YES|NO|text)", Exact),
    row("CLIENT CAPA", 2, "('redirect|text)+", Exact).valkey(),
    row("CLIENT GETNAME", 4, "", Exact),
    row("CLIENT GETREDIR", 2, "", Exact),
    row("CLIENT HELP", 1, "", Shape).tame(),
    row("CLIENT ID", 3, "", Shape),
    row("CLIENT IMPORT-SOURCE", 2, "(ON|OFF|text)", Exact).valkey(),
    row("CLIENT INFO", 2, "", Shape),
    row("CLIENT KILL", 4, "ID id", Exact),
    row(
        "CLIENT KILL",
        3,
        "(ID id|TYPE ('pubsub|'replica|text)|USER name|LADDR text|MAXAGE sec|SKIPME text)",
        Exact,
    )
    .tame(),
    row(
        "CLIENT LIST",
        3,
        "[TYPE ('normal|'pubsub|text)|ID id+|@valkey TYPE 'normal ID id+]",
        Shape,
    ),
    row("CLIENT NO-EVICT", 2, "(ON|OFF|text)", Exact),
    row("CLIENT NO-TOUCH", 2, "(ON|OFF|text)", Exact),
    row("CLIENT REPLY", 1, "(ON|text)", Exact).tame(),
    row("CLIENT SETINFO", 4, "(LIB-NAME|LIB-VER|text) name", Exact),
    row("CLIENT SETNAME", 4, "name", Exact),
    // ON would have invalidations come between the replies.
    row("CLIENT TRACKING", 2, "OFF", Exact).tame(),
    row("CLIENT TRACKINGINFO", 2, "", Exact),
    row("CLIENT UNBLOCK", 2, "id [TIMEOUT|ERROR|text]", Exact),
    row("CLIENT UNPAUSE", 1, "", Exact),
    row("CLIENT", 1, "text", Exact),
    row("ASKING", 1, "", Exact),
    row(
        "CLUSTER",
        2,
        "(INFO|SLOTS|NODES|SHARDS|MYID|KEYSLOT text|COUNTKEYSINSLOT int|RESET|HELP|text)",
        Exact,
    ),
    row("ECHO", 6, "text", Exact),
    row(
        "HELLO",
        2,
        "",
        Except(&["server", "version", "id", "modules"]),
    ),
    row(
        "HELLO",
        3,
        "(2|3|int) [AUTH name text] [SETNAME name]",
        Except(&["server", "version", "id", "modules"]),
    )
    .alone(),
    row("PING", 6, "[text]", Exact),
    row("READONLY", 1, "", Exact),
    row("READWRITE", 1, "", Exact),
    row("RESET", 2, "", Exact),
    row("SELECT", 6, "db", Exact),
    row("NOSUCHCOMMAND", 3, "text*", Exact),
    row("DBSIZE", 2, "", Exact),
];

/// Group `server`: what can be compared with anything.
pub const SERVER: &[Row] = &[
    row(
        "COMMAND GETKEYS",
        8,
        "(GET key|SET key val|MSET (key val)+|COPY key key|DEL key+|BITOP AND key key+|PING|text)",
        Exact,
    ),
    row(
        "COMMAND GETKEYSANDFLAGS",
        8,
        "(GET key|SET key val [GET]|MSET (key val)+|RENAME key key|DEL key+|text)",
        Exact,
    ),
    row(
        "COMMAND LIST",
        2,
        "FILTERBY (PATTERN listpattern|ACLCAT text|text name)",
        Unordered,
    ),
    row("COMMAND INFO", 2, "text", Exact).tame(),
    row("COMMAND HELP", 1, "", Shape).tame(),
    row("COMMAND", 1, "text val", Exact),
    row(
        "CONFIG GET",
        4,
        "('timeout|'databases|'appendonly|'save|'maxmemory|'tcp-keepalive|'proto-max-bulk-len|'requirepass|'nothing)+",
        Pairs,
    ),
    row(
        "CONFIG SET",
        4,
        "('timeout (0|100)|'tcp-keepalive 300|'nothing 1)+",
        Exact,
    )
    .tame(),
    row("CONFIG RESETSTAT", 1, "", Exact),
    row("CONFIG HELP", 1, "", Shape).tame(),
    row("CONFIG", 1, "text", Exact),
    row("DBSIZE", 6, "", Exact),
    row("DEBUG HELP", 1, "", Shape).tame(),
    row("DEBUG SLEEP", 1, "0", Exact).tame(),
    row("DEBUG SET-ACTIVE-EXPIRE", 1, "0", Exact).tame(),
    row("DEBUG DIGEST-VALUE", 2, "key key", Exact).tame(),
    row(
        "COMMAND GETKEYS",
        2,
        "MIGRATE 'host 0 key 0 100 [KEYS key key]",
        Exact,
    ),
    row("WAIT", 2, "(0|-1|text|pos) (1|text)", Exact).tame(),
    row("WAITAOF", 2, "(0|2|text) (0|pos|text) (1|text)", Exact).tame(),
    row("FLUSHALL", 1, "[ASYNC|SYNC]", Exact),
    row("FLUSHDB", 2, "[ASYNC|SYNC]", Exact),
    row("LOLWUT", 2, "[VERSION (5|6)]", Shape).tame(),
    row("MEMORY USAGE", 4, "key [SAMPLES count]", Shape),
    row("MEMORY HELP", 1, "", Shape).tame(),
    row("SELECT", 3, "db", Exact),
    row("SWAPDB", 4, "db db", Exact),
    row("TIME", 2, "", Shape),
    row("GET", 4, "key", Exact),
];

/// Group `set`. Commands that draw at random are sent in their forms that do not, or compared by the kind of reply.
pub const SET_GROUP: &[Row] = &[
    row("SADD", 12, "key val+", Exact),
    row("SADD", 6, "key int+", Exact),
    row(
        "SADD",
        2,
        "key int int int int int int int int int int",
        Exact,
    ),
    row("SREM", 6, "key val+", Exact),
    row("SREM", 3, "key int+", Exact),
    row("SCARD", 4, "key", Exact),
    row("SISMEMBER", 4, "key val", Exact),
    row("SMISMEMBER", 4, "key (val|int)+", Exact),
    row("SMEMBERS", 3, "key", Unordered),
    row("SMOVE", 6, "key key (val|int)", Exact),
    row("SPOP", 2, "key 1000", Unordered).tame(),
    row("SPOP", 1, "key 0", Exact).tame(),
    row("SPOP", 1, "key -1", Exact).tame(),
    row("SRANDMEMBER", 2, "key 1000", Unordered).tame(),
    row(
        "SRANDMEMBER",
        2,
        "key (0|-3|-9223372036854775808|'x)",
        Shape,
    )
    .tame(),
    row("SSCAN", 4, "key 0 {[COUNT pos] [MATCH pattern]}", Scan),
    row("SINTER", 5, "key+", Unordered),
    row("SUNION", 5, "key+", Unordered),
    row("SDIFF", 5, "key+", Unordered),
    row("SINTERSTORE", 4, "key key+", Exact),
    row("SUNIONSTORE", 4, "key key+", Exact),
    row("SDIFFSTORE", 4, "key key+", Exact),
    row("SINTERCARD", 5, "#key+ [LIMIT pos]", Exact),
    row("OBJECT ENCODING", 6, "key", Exact),
    row(
        "CONFIG SET",
        1,
        "'set-max-intset-entries (0|3|8|512)",
        Exact,
    )
    .tame()
    .alone(),
    row(
        "CONFIG SET",
        1,
        "'set-max-listpack-entries (0|3|8|128)",
        Exact,
    )
    .tame()
    .alone(),
    row("CONFIG SET", 1, "'set-max-listpack-value (5|64)", Exact)
        .tame()
        .alone(),
];

/// Group `list`: what can go wrong with arguments, and what is answered.
pub const LIST: &[Row] = &[
    row("LINDEX", 8, "key pos", Exact),
    row("LINSERT", 10, "key (BEFORE|AFTER|text) elem elem", Exact),
    row("LLEN", 4, "key", Exact),
    row("LMOVE", 8, "key key (LEFT|RIGHT|text) (LEFT|RIGHT)", Exact),
    row("LMPOP", 8, "#key+ (LEFT|RIGHT) [COUNT count]", Exact),
    row("LPOP", 6, "key [pos]", Exact),
    row(
        "LPOS",
        12,
        "key elem {[RANK pos] [COUNT count] [MAXLEN pos]}",
        Exact,
    ),
    row(
        "LPOS",
        2,
        "key elem {[RANK int] [COUNT int] [MAXLEN int]}",
        Exact,
    ),
    row("LPUSH", 12, "key elem+", Exact),
    row("LPUSHX", 3, "key elem+", Exact),
    row("LRANGE", 8, "key pos pos", Exact),
    row("LREM", 8, "key pos elem", Exact),
    row("LREM", 2, "key int elem", Exact),
    row("LSET", 8, "key pos elem", Exact),
    row("LTRIM", 5, "key pos pos", Exact),
    row("RPOP", 6, "key [pos]", Exact),
    row("RPOPLPUSH", 5, "key key", Exact),
    row("RPUSH", 12, "key elem+", Exact),
    row("RPUSHX", 3, "key elem+", Exact),
    row("COPY", 3, "key key [REPLACE]", Exact),
    row("OBJECT ENCODING", 8, "key", Exact),
    row(
        "CONFIG SET",
        2,
        "'list-max-listpack-size (0|1|2|4|8|-1|-2|-3)",
        Exact,
    )
    .tame()
    .alone(),
];

/// Lists that grow and shrink: few keys, little refused, and often a look at the encoding, which depends on what Redis's
/// nodes have come to look like.
pub const LIST_NODES: &[Row] = &[
    row("LPUSH", 10, "('list1|'list2) elem+", Exact).tame(),
    row("RPUSH", 10, "('list1|'list2) elem+", Exact).tame(),
    row(
        "RPUSH",
        3,
        "('list1|'list2) elem elem elem elem elem elem elem+",
        Exact,
    )
    .tame(),
    row(
        "LINSERT",
        16,
        "('list1|'list2) (BEFORE|AFTER) elem elem",
        Exact,
    )
    .tame(),
    row("LSET", 16, "('list1|'list2) nth elem", Exact).tame(),
    row("LREM", 5, "('list1|'list2) nth elem", Exact).tame(),
    row("LTRIM", 2, "('list1|'list2) (1|2|0) (-2|-1|-3)", Exact).tame(),
    row("LPOP", 4, "('list1|'list2) [(1|2|3)]", Exact).tame(),
    row("RPOP", 4, "('list1|'list2) [(1|2|3)]", Exact).tame(),
    row(
        "LMOVE",
        6,
        "('list1|'list2) ('list1|'list2) (LEFT|RIGHT) (LEFT|RIGHT)",
        Exact,
    )
    .tame(),
    row(
        "LMPOP",
        2,
        "1 ('list1|'list2) (LEFT|RIGHT) COUNT (1|2|3)",
        Exact,
    )
    .tame(),
    row("LINDEX", 4, "('list1|'list2) nth", Exact).tame(),
    row(
        "LPOS",
        4,
        "('list1|'list2) elem {[RANK nth] COUNT 0}",
        Exact,
    )
    .tame(),
    row("LRANGE", 4, "('list1|'list2) nth nth", Exact).tame(),
    row("COPY", 1, "('list1|'list2) ('list1|'list2) REPLACE", Exact).tame(),
    row("DEL", 1, "('list1|'list2)", Exact).tame(),
    row("OBJECT ENCODING", 30, "('list1|'list2)", Exact).tame(),
    row(
        "CONFIG SET",
        3,
        "'list-max-listpack-size (1|2|3|4|5|6|8|-1|-2)",
        Exact,
    )
    .tame()
    .alone(),
    row("CONFIG SET", 3, "'list-compress-depth (0|1|2|3)", Exact)
        .tame()
        .alone(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::grammar::Grammar;
    use crate::rng::Rng;

    #[test]
    fn every_grammar_can_be_parsed_and_spoken() {
        let tables = [
            SETUP,
            OTHER_TYPES,
            STRING,
            STREAM,
            STREAM_ONCE,
            GENERIC,
            BITMAP,
            CONNECTION,
            SERVER,
            HASH,
            LIST,
            LIST_NODES,
            GEO,
            HYPERLOGLOG,
            HYPERLOGLOG_GROWTH,
            SCRIPT,
            FUNCTION,
            TRANSACTION,
            MESSAGES,
            ACL,
            SET_GROUP,
            SORT,
            SORTED_SET,
            SORTED_SET_LEX,
            SORTED_SET_LARGE,
        ];
        let mut rng = Rng::new(1);
        for row in tables.concat() {
            let grammar = Grammar::parse(row.args);
            for round in [
                Dialect::Common,
                Dialect::Valkey,
                Dialect::Redis,
                Dialect::Newest,
            ] {
                for _ in 0..50 {
                    grammar.generate(&mut rng, round, 1_700_000_000_000);
                }
            }
        }
    }
}
