//! Group `hyperloglog`.

use super::How::Exact;
use super::{Row, row};

/// The group's commands. Bytes are compared with GET, and by what a round leaves behind.
pub const HYPERLOGLOG: &[Row] = &[
    row("PFADD", 20, "hkey val*", Exact),
    row("PFADD", 10, "hkey hllelem+", Exact),
    row(
        "PFADD",
        10,
        "hkey hllelem hllelem hllelem hllelem hllelem hllelem hllelem hllelem hllelem hllelem+",
        Exact,
    ),
    row("PFCOUNT", 8, "hkey", Exact),
    row("PFCOUNT", 6, "hkey+", Exact),
    row("PFMERGE", 10, "hkey hkey*", Exact),
    row("PFDEBUG ENCODING", 3, "hkey", Exact),
    row("PFDEBUG DECODE", 4, "hkey", Exact),
    row("PFDEBUG GETREG", 1, "hkey", Exact),
    row("PFDEBUG TODENSE", 2, "hkey", Exact),
    row("PFDEBUG", 1, "text hkey", Exact),
    row("GET", 10, "hkey", Exact),
    row("STRLEN", 2, "hkey", Exact),
    row("COPY", 3, "hkey ('hll1|'hll2) [REPLACE]", Exact).tame(),
    row("OBJECT ENCODING", 4, "hkey", Exact),
    // Strings that are, or pretend to be, HyperLogLogs; under keys that get no other text, for a run that is cut off is
    // read past the string's end by Redis.
    row("SET", 3, "('hll1|'hll2) hll", Exact).tame(),
    row("SETRANGE", 2, "('hll1|'hll2) (4|8|12|15|16) hllbyte", Exact).tame(),
    row("APPEND", 1, "('hll1|'hll2) hllbyte", Exact).tame(),
    row(
        "CONFIG SET",
        2,
        "'hll-sparse-max-bytes (0|20|30|60|200|3000)",
        Exact,
    )
    .tame()
    .alone(),
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
