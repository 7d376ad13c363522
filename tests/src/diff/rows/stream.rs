//! Group `stream`.

use super::{Row, row};
use crate::diff::reply::How::{Exact, Shape, Times};

/// The group's commands. IDs are given, as those that come from the clock cannot be compared; what waits
/// gives up at once, as nobody else adds anything.
pub const STREAM: &[Row] = &[
    row(
        "XREADGROUP",
        10,
        "GROUP group consumer {[NOACK] [CLAIM (0|10000000|-1|text)]} STREAMS skey (>|sid)",
        Times,
    )
    .newest(),
    row("XREAD", 1, "[CLAIM (0|10)] STREAMS skey sid", Exact).newest(),
    row(
        "XCFGSET",
        4,
        "skey {[IDMP-DURATION (100|200|0|86401|text)] [IDMP-MAXSIZE (100|1|2|10000|10001|-1)]}",
        Exact,
    )
    .newest(),
    row("XADD", 30, "skey newsid (F val|F val G val|val val)", Exact),
    row("XADD", 6, "skey 99-* F val", Exact),
    row(
        "XADD",
        8,
        "skey {[NOMKSTREAM] [MAXLEN [~|=] small|MINID [~|=] sid] [LIMIT small] [@redis KEEPREF|@redis DELREF|@redis ACKED]} newsid F val",
        Exact,
    ),
    row("XADD", 3, "skey (MAXLEN|MINID) ~ sid newsid F val", Exact),
    row("XLEN", 3, "skey", Exact),
    row("XRANGE", 8, "skey sbound sbound [COUNT small]", Exact),
    row("XREVRANGE", 8, "skey sbound sbound [COUNT small]", Exact),
    row("XRANGE", 3, "skey sid sid", Exact),
    row("XDEL", 10, "skey sid+", Exact),
    row(
        "XTRIM",
        8,
        "skey (MAXLEN [~|=] small|MINID [~|=] sid) [LIMIT small] [@redis KEEPREF|@redis DELREF|@redis ACKED]",
        Exact,
    ),
    row(
        "XTRIM",
        2,
        "skey {[MAXLEN small] [MINID sid] [LIMIT small]}",
        Exact,
    ),
    row(
        "XSETID",
        3,
        "skey sid {[ENTRIESADDED small] [MAXDELETEDID sid]}",
        Exact,
    ),
    row(
        "XREAD",
        6,
        "[COUNT small] STREAMS (skey sid|skey skey sid sid)",
        Exact,
    ),
    row("XREAD", 2, "[COUNT small] STREAMS skey (+|$)", Exact),
    row(
        "XREAD",
        2,
        "[BLOCK 1] STREAMS skey skey (+|$|sid) sid",
        Exact,
    ),
    row(
        "XREAD",
        2,
        "{[COUNT small] [NOACK] [GROUP group consumer] [BLOCK text]} STREAMS skey sid",
        Exact,
    ),
    row(
        "XGROUP CREATE",
        14,
        "skey group (0|0|$|sid) {[MKSTREAM] [ENTRIESREAD small]}",
        Exact,
    ),
    row(
        "XGROUP SETID",
        5,
        "skey group (0|$|sid) [ENTRIESREAD small]",
        Exact,
    ),
    row("XGROUP DESTROY", 1, "skey group", Exact),
    row("XGROUP CREATECONSUMER", 3, "skey group consumer", Exact),
    row("XGROUP DELCONSUMER", 2, "skey group consumer", Exact),
    row("XGROUP HELP", 1, "", Shape).tame(),
    row("XGROUP", 1, "text val val", Exact),
    row(
        "XREADGROUP",
        24,
        "GROUP group consumer {[COUNT small] [NOACK]} STREAMS (skey >|skey >|skey >|skey sid|skey skey > sid)",
        Exact,
    ),
    row(
        "XREADGROUP",
        3,
        "GROUP group consumer BLOCK 1 STREAMS (skey >|skey >|skey skey > >|skey sid)",
        Exact,
    ),
    row(
        "XREADGROUP",
        3,
        "GROUP group consumer STREAMS skey ($|+|0)",
        Exact,
    ),
    row("XACK", 8, "skey group sid+", Exact),
    row("XPENDING", 6, "skey group", Exact),
    row(
        "XPENDING",
        8,
        "skey group [IDLE idle] sbound sbound small [consumer]",
        Times,
    ),
    row(
        "XCLAIM",
        12,
        "skey group consumer idle sid+ {[IDLE (50000|20000000)] [TIME small] [RETRYCOUNT small] [FORCE] [JUSTID] [LASTID sid]}",
        Exact,
    ),
    row(
        "XAUTOCLAIM",
        10,
        "skey group consumer idle (0|sbound) {[COUNT small] [JUSTID]}",
        Exact,
    ),
    row("XINFO STREAM", 6, "skey", Times),
    row("XINFO STREAM", 12, "skey FULL [COUNT small]", Times),
    row("XINFO GROUPS", 8, "skey", Exact),
    row("XINFO CONSUMERS", 6, "skey group", Times),
    row("XINFO HELP", 1, "", Shape).tame(),
    row("XINFO", 1, "text val val", Exact),
    row(
        "XDELEX",
        10,
        "skey [KEEPREF|DELREF|ACKED] IDS #(sid)+",
        Exact,
    )
    .redis(),
    row("XDELEX", 2, "skey {[KEEPREF] [ACKED] IDS small sid}", Exact).redis(),
    row(
        "XACKDEL",
        14,
        "skey group [KEEPREF|DELREF|ACKED] IDS #(sid)+",
        Exact,
    )
    .redis(),
    row(
        "XACKDEL",
        2,
        "skey group {[DELREF] [ACKED] IDS small sid}",
        Exact,
    )
    .redis(),
    row("COPY", 2, "skey skey [REPLACE]", Exact),
    row("OBJECT ENCODING", 1, "skey", Exact),
    row(
        "CONFIG SET",
        4,
        "'stream-node-max-entries (0|1|2|3|5|100)",
        Exact,
    )
    .tame()
    .alone(),
    // A few bytes, so that nodes are full by their bytes.
    row(
        "CONFIG SET",
        3,
        "'stream-node-max-bytes (50|60|75|100|150|250|4096)",
        Exact,
    )
    .tame()
    .alone(),
];

/// Messages that are added once. Streams begin with an ID in the future, so that those that follow are known.
pub const STREAM_ONCE: &[Row] = &[
    row(
        "XADD",
        12,
        "fkey 9999999999999-1 F val",
        Exact,
    )
    .newest()
    .tame(),
    row(
        "XADD",
        40,
        "fkey NOMKSTREAM {[IDMP pid iid] [MAXLEN [~] (3|9)]} star F val",
        Exact,
    )
    .newest()
    .tame(),
    row(
        "XADD",
        10,
        "fkey NOMKSTREAM IDMPAUTO pid star ('f val|'g val|'f val 'g val|'g val 'f val)",
        Exact,
    )
    .newest()
    .tame(),
    row(
        "XADD",
        6,
        "fkey NOMKSTREAM {[IDMP pid [iid]] [IDMPAUTO [pid]] [IDMP pid iid]} (star|star|5-5|newsid) F val",
        Exact,
    )
    .newest()
    .tame(),
    row("XIDMPRECORD", 8, "fkey pid iid fsid", Exact)
        .newest()
        .tame(),
    row(
        "XCFGSET",
        6,
        "fkey {[IDMP-DURATION (100|100|200|0|86401|text)] [IDMP-MAXSIZE (100|1|2|3|10001|-1)]}",
        Exact,
    )
    .newest()
    .tame(),
    row(
        "XCFGSET",
        2,
        "(fkey|key) IDMP-DURATION 100 [IDMP-MAXSIZE] [text]",
        Exact,
    )
    .newest()
    .tame(),
    row("XDEL", 3, "fkey fsid", Exact).tame(),
    row("XTRIM", 2, "fkey MAXLEN (0|2|5)", Exact).tame(),
    row("XINFO STREAM", 16, "fkey [FULL]", Times)
        .newest()
        .tame(),
    row("DEL", 1, "fkey", Exact).tame(),
    row("COPY", 2, "fkey fkey REPLACE", Exact).tame(),
];
