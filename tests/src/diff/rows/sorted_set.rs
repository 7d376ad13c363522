//! Group `sorted-set`.

use super::How::{Exact, Scan, Shape, Unordered};
use super::{Row, row};

/// Group `sorted-set`, ranges of members excepted.
pub const SORTED_SET: &[Row] = &[
    row(
        "ZADD",
        14,
        "key {[NX|XX] [GT|LT] [CH] [INCR]} (float val)+",
        Exact,
    ),
    row("ZADD", 8, "key (float val)+", Exact),
    row("ZADD", 4, "key (int val)+", Exact),
    row(
        "ZADD",
        4,
        "key {[NX|XX] [GT|LT] [CH] INCR} float val",
        Exact,
    ),
    row("ZINCRBY", 8, "key float val", Exact),
    row("ZCARD", 3, "key", Exact),
    row("ZCOUNT", 5, "key bound bound", Exact),
    row("ZDIFF", 4, "#key+ [WITHSCORES]", Exact),
    row("ZDIFFSTORE", 3, "key #key+", Exact),
    row(
        "ZINTER",
        3,
        "#key+ {[AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]}",
        Exact,
    ),
    row(
        "ZINTER",
        3,
        "2 key key {[WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]}",
        Exact,
    ),
    row("ZINTERCARD", 3, "#key+ [LIMIT pos]", Exact),
    row(
        "ZINTERSTORE",
        3,
        "key 2 key key {[WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)]}",
        Exact,
    ),
    row("ZMPOP", 5, "#key+ (MIN|MAX) [COUNT count]", Exact),
    row("BZMPOP", 1, "0.001 #key+ (MIN|MAX) [COUNT count]", Exact),
    row(
        "BZMPOP",
        1,
        "text #key+ (MIN|MAX|text) [COUNT count]",
        Exact,
    ),
    row("BZPOPMAX", 2, "key+ 0.001", Exact),
    row("BZPOPMIN", 2, "key+ (0.001|-1|text)", Exact),
    row("ZMSCORE", 3, "key val+", Exact),
    row("ZPOPMAX", 4, "key [pos]", Exact),
    row("ZPOPMIN", 4, "key [pos]", Exact),
    row("ZRANDMEMBER", 3, "key 1000 [WITHSCORES]", Unordered).tame(),
    row(
        "ZRANDMEMBER",
        2,
        "key [(0|1|-3|-9223372036854775808|text) [WITHSCORES]]",
        Shape,
    )
    .tame(),
    row(
        "ZRANGE",
        6,
        "key pos pos {[REV] [WITHSCORES] [LIMIT int int]}",
        Exact,
    ),
    row(
        "ZRANGE",
        6,
        "key bound bound {BYSCORE [REV] [LIMIT pos pos] [WITHSCORES]}",
        Exact,
    ),
    row(
        "ZRANGEBYSCORE",
        4,
        "key bound bound {[WITHSCORES] [LIMIT pos pos]}",
        Exact,
    ),
    row("ZRANGESTORE", 4, "key key pos pos [REV]", Exact),
    row(
        "ZRANGESTORE",
        4,
        "key key bound bound {BYSCORE [REV] [LIMIT pos pos]}",
        Exact,
    ),
    row("ZRANK", 4, "key val [WITHSCORE]", Exact),
    row("ZREM", 5, "key val+", Exact),
    row("ZREMRANGEBYRANK", 3, "key pos pos", Exact),
    row("ZREMRANGEBYSCORE", 3, "key bound bound", Exact),
    row("ZREVRANGE", 3, "key pos pos [WITHSCORES]", Exact),
    row(
        "ZREVRANGEBYSCORE",
        4,
        "key bound bound {[WITHSCORES] [LIMIT pos pos]}",
        Exact,
    ),
    row("ZREVRANK", 4, "key val [WITHSCORE]", Exact),
    row(
        "ZSCAN",
        4,
        "key 0 {[MATCH pattern] [COUNT count] [@valkey NOSCORES]}",
        Scan,
    )
    .tame(),
    row(
        "ZSCAN",
        1,
        "key (0|text) [(COUNT|MATCH|NOSCORES|text)] [int]",
        Scan,
    )
    .valkey()
    .tame(),
    row("ZSCORE", 3, "key val", Exact),
    row(
        "ZUNION",
        4,
        "#key+ {[AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]}",
        Exact,
    ),
    row(
        "ZUNION",
        4,
        "2 key key {[WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]}",
        Exact,
    ),
    row(
        "ZUNIONSTORE",
        4,
        "key #key+ [AGGREGATE (SUM|MIN|MAX)]",
        Exact,
    ),
    row(
        "ZUNIONSTORE",
        3,
        "key 2 key key {[WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)]}",
        Exact,
    ),
    row("SADD", 4, "key val+", Exact),
    row("COPY", 2, "key key [REPLACE]", Exact),
    row("OBJECT ENCODING", 6, "key", Exact).tame(),
    row(
        "CONFIG SET",
        2,
        "'zset-max-listpack-entries (0|1|3|8|128)",
        Exact,
    )
    .tame()
    .alone(),
    row(
        "CONFIG SET",
        2,
        "'zset-max-listpack-value (0|5|44|64)",
        Exact,
    )
    .tame()
    .alone(),
];

/// Ranges of members: over keys of their own, as they mean something only where all scores are the same.
pub const SORTED_SET_LEX: &[Row] = &[
    row("ZADD", 20, "('lex1|'lex2) (0 val)+", Exact).tame(),
    row(
        "ZADD",
        4,
        "('lex1|'lex2) 0 int 0 int 0 text 0 text 0 name",
        Exact,
    )
    .tame(),
    row("ZREM", 4, "('lex1|'lex2) val+", Exact).tame(),
    row("ZLEXCOUNT", 8, "('lex1|'lex2) lex lex", Exact).tame(),
    row(
        "ZRANGEBYLEX",
        12,
        "('lex1|'lex2) lex lex [LIMIT pos pos]",
        Exact,
    )
    .tame(),
    row(
        "ZREVRANGEBYLEX",
        12,
        "('lex1|'lex2) lex lex [LIMIT pos pos]",
        Exact,
    )
    .tame(),
    row(
        "ZRANGEBYLEX",
        2,
        "('nothing|'lex1) lex lex {[LIMIT pos pos] [WITHSCORES] [text]}",
        Exact,
    ),
    row(
        "ZRANGE",
        10,
        "('lex1|'lex2) lex lex {BYLEX [REV] [LIMIT pos pos]}",
        Exact,
    )
    .tame(),
    row(
        "ZRANGE",
        2,
        "('lex1|'lex2) lex lex {[BYLEX] [BYSCORE] [REV] [LIMIT pos pos] [WITHSCORES]}",
        Exact,
    )
    .tame(),
    row(
        "ZRANGESTORE",
        4,
        "('lex1|'lex2) ('lex1|'lex2) lex lex {BYLEX [REV] [LIMIT pos pos]}",
        Exact,
    )
    .tame(),
    row("ZREMRANGEBYLEX", 4, "('lex1|'lex2) lex lex", Exact).tame(),
    row("ZLEXCOUNT", 1, "'nothing text lex", Exact),
    row("ZRANGE", 3, "('lex1|'lex2) 0 -1", Exact).tame(),
    row(
        "CONFIG SET",
        1,
        "'zset-max-listpack-entries (0|3|128)",
        Exact,
    )
    .tame()
    .alone(),
];

/// Twelve members, to grow quickly.
macro_rules! many {
    () => {
        "zscore zmember zscore zmember zscore zmember zscore zmember zscore zmember zscore zmember \
         zscore zmember zscore zmember zscore zmember zscore zmember zscore zmember zscore zmember"
    };
}

/// Sorted sets that outgrow one node of a tree: few keys, many members, many equal scores, and every way to a range of them.
pub const SORTED_SET_LARGE: &[Row] = &[
    row("ZADD", 30, concat!("('z1|'z2) ", many!()), Exact).tame(),
    row("ZADD", 6, "'equal 0 zmember 0 zmember 0 zmember 0 zmember 0 zmember 0 zmember 0 zmember", Exact).tame(),
    row("ZADD", 6, "('z1|'z2) {[NX|XX] [GT|LT] [CH]} (zscore zmember)+", Exact).tame(),
    row("ZADD", 3, "('z1|'z2) {[NX|XX] [GT|LT] INCR} zscore zmember", Exact).tame(),
    row("ZINCRBY", 5, "('z1|'z2) zscore zmember", Exact).tame(),
    row("SADD", 3, "'s zmember+", Exact).tame(),
    row("ZREM", 4, "('z1|'z2|'equal) zmember+", Exact).tame(),
    row("ZRANK", 6, "('z1|'z2|'equal) zmember [WITHSCORE]", Exact).tame(),
    row("ZREVRANK", 6, "('z1|'z2|'equal) zmember [WITHSCORE]", Exact).tame(),
    row("ZMSCORE", 2, "('z1|'z2) zmember+", Exact).tame(),
    row("ZCOUNT", 6, "('z1|'z2) zbound zbound", Exact).tame(),
    row("ZLEXCOUNT", 4, "'equal zlex zlex", Exact).tame(),
    row("ZRANGE", 8, "('z1|'z2|'equal) zrank zrank {[REV] [WITHSCORES]}", Exact).tame(),
    row("ZRANGE", 8, "('z1|'z2) zbound zbound {BYSCORE [REV] [LIMIT pos pos] [WITHSCORES]}", Exact).tame(),
    row("ZRANGE", 6, "'equal zlex zlex {BYLEX [REV] [LIMIT pos pos]}", Exact).tame(),
    row("ZREVRANGEBYSCORE", 4, "('z1|'z2) zbound zbound {[WITHSCORES] [LIMIT pos pos]}", Exact).tame(),
    row("ZRANGESTORE", 3, "'z3 ('z1|'z2) zrank zrank [REV]", Exact).tame(),
    row("ZRANGESTORE", 3, "'z3 ('z1|'z2) zbound zbound {BYSCORE [REV] [LIMIT pos pos]}", Exact).tame(),
    row("ZRANGESTORE", 3, "'z3 'equal zlex zlex {BYLEX [REV] [LIMIT pos pos]}", Exact).tame(),
    row("ZREMRANGEBYRANK", 2, "('z1|'z2|'z3) zrank zrank", Exact).tame(),
    row("ZREMRANGEBYSCORE", 1, "('z1|'z2|'z3) (0.1|0|1) (1|2.5)", Exact).tame(),
    row("ZREMRANGEBYLEX", 1, "'equal zlex zlex", Exact).tame(),
    row("ZPOPMIN", 3, "('z1|'z2|'z3) [count]", Exact).tame(),
    row("ZPOPMAX", 3, "('z1|'z2|'z3) [count]", Exact).tame(),
    row("ZMPOP", 2, "2 ('z3|'nothing) ('z1|'z2) (MIN|MAX) COUNT (1|7|100)", Exact).tame(),
    row("ZUNION", 3, "#('z1|'z2|'s|'nothing)+ {[AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]}", Exact).tame(),
    row("ZINTER", 3, "#('z1|'z2|'s)+ {[AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]}", Exact).tame(),
    row(
        "ZUNIONSTORE",
        4,
        "'z3 3 ('z1|'s) ('z2|'z3) ('z1|'equal) {[WEIGHTS zscore float zscore] [AGGREGATE (SUM|MIN|MAX)]}",
        Exact,
    )
    .tame(),
    row(
        "ZINTERSTORE",
        4,
        "'z3 2 ('z1|'s) ('z2|'equal) {[WEIGHTS zscore zscore] [AGGREGATE (SUM|MIN|MAX)]}",
        Exact,
    )
    .tame(),
    row("ZDIFF", 3, "#('z1|'z2|'s|'equal)+ [WITHSCORES]", Exact).tame(),
    row("ZDIFFSTORE", 2, "'z3 #('z1|'z2|'s|'equal)+", Exact).tame(),
    row("ZINTERCARD", 3, "#('z1|'z2|'s|'equal)+ [LIMIT (0|1|5|1000)]", Exact).tame(),
    row("ZRANDMEMBER", 2, "('z1|'equal) 1000 [WITHSCORES]", Unordered).tame(),
    row("ZSCAN", 2, "('z1|'equal) 0 {[MATCH ('m1*|'*)] [COUNT (1|10|1000)]}", Scan).tame(),
    row("ZCARD", 3, "('z1|'z2|'z3|'equal)", Exact).tame(),
    row("COPY", 1, "'z1 'z2 REPLACE", Exact).tame(),
    row("SORT", 3, "('z1|'equal) {BY 'nosort [LIMIT pos pos] [ASC|DESC]}", Exact).tame(),
    row("OBJECT ENCODING", 6, "('z1|'z2|'z3|'equal)", Exact).tame(),
    row(
        "CONFIG SET",
        1,
        "'zset-max-listpack-entries (0|16|128)",
        Exact,
    )
    .tame()
    .alone(),
];
