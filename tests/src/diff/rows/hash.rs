//! Group `hash`.

use super::How::{Exact, Near, Pairs, Scan, Shape, Unordered};
use super::{MILLISECONDS, Row, row};

/// The group's commands. Those that draw at random are sent in their forms that do not, or compared by the kind of reply.
pub const HASH: &[Row] = &[
    row("HSET", 16, "key (field val)+", Exact),
    row("HSET", 6, "key (field int)+", Exact),
    row("HSET", 2, "key (field val)+ val", Exact),
    row("HMSET", 3, "key (field val)+", Exact),
    row("HSETNX", 5, "key field val", Exact),
    row("HGET", 8, "key field", Exact),
    row("HMGET", 5, "key field+", Exact),
    row("HGETALL", 5, "key", Pairs),
    row("HKEYS", 3, "key", Unordered),
    row("HVALS", 3, "key", Unordered),
    row("HLEN", 4, "key", Exact),
    row("HEXISTS", 4, "key field", Exact),
    row("HSTRLEN", 4, "key field", Exact),
    row("HDEL", 6, "key field+", Exact),
    row("HINCRBY", 8, "key field int", Exact),
    row("HINCRBYFLOAT", 8, "key field float", Exact),
    row("HRANDFIELD", 2, "key", Shape).tame(),
    row("HRANDFIELD", 2, "key (-1|-2|1|2) [WITHVALUES]", Shape).tame(),
    row("HRANDFIELD", 2, "key (0|100|1000)", Unordered).tame(),
    row(
        "HRANDFIELD",
        2,
        "key (text|0|1 text|4611686018427387904 WITHVALUES)",
        Exact,
    )
    .tame(),
    row(
        "HSCAN",
        4,
        "key 0 {[MATCH pattern] [COUNT count] [NOVALUES]}",
        Scan,
    )
    .tame(),
    row(
        "HSCAN",
        2,
        "key (text|0 text|0 COUNT text|0 MATCH|0 NOVALUES text|0 COUNT 0)",
        Exact,
    )
    .tame(),
    row(
        "HEXPIRE",
        8,
        "key newsec [NX|XX|GT|LT] FIELDS #(field)+",
        Exact,
    ),
    row(
        "HPEXPIRE",
        6,
        "key newms [NX|XX|GT|LT] FIELDS #(field)+",
        Exact,
    ),
    row(
        "HEXPIREAT",
        6,
        "key at [NX|XX|GT|LT] FIELDS #(field)+",
        Exact,
    ),
    row(
        "HPEXPIREAT",
        6,
        "key atms [NX|XX|GT|LT] FIELDS #(field)+",
        Exact,
    ),
    row(
        "HEXPIRE",
        2,
        "key newsec {[NX] [XX] [GT] [LT]} FIELDS #(field)+",
        Exact,
    ),
    row(
        "HEXPIRE",
        2,
        "key sec [NX|text] [FIELDS|text] (1|2|text) field+",
        Exact,
    ),
    row("HTTL", 6, "key FIELDS #(field)+", Near(5)),
    row("HPTTL", 4, "key FIELDS #(field)+", MILLISECONDS),
    row("HEXPIRETIME", 4, "key FIELDS #(field)+", Near(5)),
    row("HPEXPIRETIME", 4, "key FIELDS #(field)+", MILLISECONDS),
    row("HTTL", 2, "key [FIELDS|text] (1|2|text) field+", Near(5)),
    row("HPERSIST", 5, "key FIELDS #(field)+", Exact),
    row(
        "HGETEX",
        8,
        "key [EX sec|PX ms|EXAT at|PXAT atms|PERSIST] FIELDS #(field)+",
        Exact,
    ),
    row(
        "HGETEX",
        2,
        "key [EX sec] [PERSIST] [FIELDS|text] (1|2|text) field+",
        Exact,
    ),
    row("HGETDEL", 5, "key FIELDS #(field)+", Exact),
    row("HGETDEL", 1, "key [FIELDS|text] (1|2|text) field+", Exact),
    row(
        "HSETEX",
        10,
        "key {[FNX|FXX] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]} FIELDS #(field val)+",
        Exact,
    ),
    row(
        "HSETEX",
        5,
        "key {(NX|XX) [FNX|FXX] [EX sec|PX ms|EXAT at|PXAT atms|KEEPTTL]} FIELDS #(field val)+",
        Exact,
    )
    .valkey()
    .tame(),
    row(
        "HSETEX",
        2,
        "key {[FNX] [FXX] [EX sec] [KEEPTTL]} [FIELDS|text] (1|2|text) (field val)+",
        Exact,
    ),
    row("OBJECT ENCODING", 8, "key", Exact),
    row("COPY", 2, "key key [REPLACE]", Exact),
    row(
        "CONFIG SET",
        3,
        "'hash-max-listpack-entries (0|2|3|5|128)",
        Exact,
    )
    .tame()
    .alone(),
    row(
        "CONFIG SET",
        2,
        "'hash-max-listpack-value (0|3|10|44|64)",
        Exact,
    )
    .tame()
    .alone(),
];
