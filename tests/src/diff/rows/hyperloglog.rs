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

/// HyperLogLogs whose runs always make sense, under keys of their own. To a sparse one of which they stop making sense on the way,
/// PFADD adds some elements and then answers with an error, and real servers tell neither their replicas nor their log of those: what
/// a real primary has of it, nobody else can have, be it a replica of its own kind.
pub const HYPERLOGLOG_WHOLE: &[Row] = &[
    row("PFADD", 10, "('hll1|'hll2|'hll3) val*", Exact).tame(),
    row("PFADD", 10, "('hll1|'hll2|'hll3) hllelem+", Exact).tame(),
    row(
        "PFADD",
        10,
        "('hll1|'hll2|'hll3) hllmany hllmany hllmany hllmany hllmany+",
        Exact,
    )
    .tame(),
    row("PFCOUNT", 10, "('hll1|'hll2|'hll3)+", Exact).tame(),
    row("PFMERGE", 8, "('hll1|'hll2|'hll3)+", Exact).tame(),
    row("PFDEBUG TODENSE", 1, "('hll1|'hll2|'hll3)", Exact).tame(),
    row("PFDEBUG GETREG", 1, "('hll1|'hll2|'hll3)", Exact).tame(),
    row(
        "COPY",
        3,
        "('hll1|'hll2|'hll3) ('hll1|'hll2|'hll3) REPLACE",
        Exact,
    )
    .tame(),
    row(
        "RENAME",
        2,
        "('hll1|'hll2|'hll3) ('hll1|'hll2|'hll3)",
        Exact,
    )
    .tame(),
    row("DEL", 1, "('hll1|'hll2|'hll3)", Exact).tame(),
    row("PEXPIRE", 2, "('hll1|'hll2|'hll3) (1|5|20|100000)", Exact).tame(),
    row("GETEX", 1, "('hll1|'hll2|'hll3) PERSIST", Exact).tame(),
    // The estimate that is kept, and bytes that mean nothing.
    row(
        "SETRANGE",
        3,
        "('hll1|'hll2|'hll3) (5|8|12|15) hllbyte",
        Exact,
    )
    .tame(),
    row(
        "SETBIT",
        2,
        "('hll1|'hll2|'hll3) (40|64|100|120) (0|1)",
        Exact,
    )
    .tame(),
];
