//! Group `hyperloglog`.

use super::How::Exact;
use super::{Row, row};

/// The group's commands. Bytes are compared with GET, and by what a round leaves behind.
pub const HYPERLOGLOG: &[Row] = &[
    row("PFADD", 20, "key val*", Exact),
    row("PFADD", 10, "key hllelem+", Exact),
    row(
        "PFADD",
        10,
        "key hllelem hllelem hllelem hllelem hllelem hllelem hllelem hllelem hllelem hllelem+",
        Exact,
    ),
    row("PFCOUNT", 8, "key", Exact),
    row("PFCOUNT", 6, "key+", Exact),
    row("PFMERGE", 10, "key key*", Exact),
    row("PFDEBUG ENCODING", 3, "key", Exact),
    row("PFDEBUG DECODE", 4, "key", Exact),
    row("PFDEBUG GETREG", 1, "key", Exact),
    row("PFDEBUG TODENSE", 2, "key", Exact),
    row("PFDEBUG", 1, "text key", Exact),
    row("GET", 10, "key", Exact),
    row("STRLEN", 2, "key", Exact),
    row("COPY", 3, "key key [REPLACE]", Exact),
    row("OBJECT ENCODING", 4, "key", Exact),
    // Strings that are, or pretend to be, HyperLogLogs.
    row("SET", 3, "key hll", Exact),
    row("SETRANGE", 2, "key (4|8|12|16|17|18|20) (hllbyte|hllelem)", Exact),
    row("APPEND", 1, "key hllbyte", Exact),
    row("CONFIG SET", 2, "'hll-sparse-max-bytes (0|20|30|60|200|3000)", Exact).tame().alone(),
];

/// HyperLogLogs that grow: few keys, many elements, little refused.
pub const HYPERLOGLOG_GROWTH: &[Row] = &[
    row("PFADD", 30, "('hll1|'hll2) hllmany", Exact).tame(),
    row(
        "PFADD",
        30,
        "('hll1|'hll2) hllmany hllmany hllmany hllmany hllmany hllmany hllmany hllmany hllmany hllmany hllmany hllmany hllmany+",
        Exact,
    )
    .tame(),
    row("PFCOUNT", 6, "('hll1|'hll2)", Exact).tame(),
    row("PFCOUNT", 2, "'hll1 'hll2", Exact).tame(),
    row("PFMERGE", 3, "('hll1|'hll2|'hll3) ('hll1|'hll2|'hll3)+", Exact).tame(),
    row("GET", 6, "('hll1|'hll2|'hll3)", Exact).tame(),
    row("PFDEBUG DECODE", 2, "('hll1|'hll2|'hll3)", Exact).tame(),
    row("CONFIG SET", 1, "'hll-sparse-max-bytes (100|300|600|3000)", Exact).tame().alone(),
];
