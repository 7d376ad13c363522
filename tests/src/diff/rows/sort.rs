//! SORT and SORT_RO.

use super::How::{Exact, Shape, Unordered};
use super::{Row, row};

/// SORT with what it sorts and the keys that its patterns name. Orders that real servers leave to chance (that of a set
/// not sorted at all, that of elements with equal alphabetical weights) are compared without one.
pub const SORT: &[Row] = &[
    row("RPUSH", 8, "key (int|float|'2|'10)+", Exact),
    row("RPUSH", 3, "key (int|name|text)+", Exact),
    row("RPUSH", 6, "'l (int|float|'2|'10)+", Exact),
    row("SADD", 6, "key (int|'2|'10)+", Exact),
    row("SADD", 2, "key name+", Exact),
    row("ZADD", 4, "key (float (int|name))+", Exact),
    row("ZADD", 5, "'z (float (int|name))+", Exact),
    row(
        "MSET",
        8,
        "(('w0|'w1|'w2|'w10|'w100) (int|float|val))+",
        Exact,
    ),
    row("HSET", 6, "('h0|'h1|'h2|'h10|'w100) ('f (int|val))+", Exact),
    row("DEL", 2, "('w0|'w1|'h1|'h2|'l|'z)", Exact),
    row("SORT", 8, "key {[LIMIT pos pos] [ASC|DESC] [ALPHA]}", Exact),
    row(
        "SORT",
        12,
        "key {[BY weights] [LIMIT pos pos] [GET pattern-of-get] [GET pattern-of-get] [ASC|DESC]}",
        Exact,
    ),
    row("SORT", 6, "key {BY weights ALPHA [ASC|DESC]}", Unordered),
    row("SORT", 3, "key {BY 'nosort [ALPHA] [ASC|DESC]}", Unordered),
    row(
        "SORT",
        2,
        "key {BY 'nosort [LIMIT pos pos] [GET pattern-of-get]}",
        Shape,
    ),
    row(
        "SORT",
        6,
        "('l|'z) {BY 'nosort [LIMIT pos pos] [GET pattern-of-get] [ASC|DESC]}",
        Exact,
    ),
    row(
        "SORT",
        6,
        "key {[LIMIT pos pos] [ASC|DESC] ALPHA STORE key}",
        Exact,
    ),
    row(
        "SORT",
        6,
        "key {[BY weights] [LIMIT pos pos] [GET pattern-of-get] [ASC|DESC] STORE key}",
        Exact,
    ),
    row("SORT", 3, "key BY 'nosort STORE key", Exact),
    // Windows of what is not sorted, from either end; of a set it is when the result is stored.
    row(
        "SORT",
        6,
        "('l|'z|key) {BY 'nosort LIMIT (0|1|2|-1) (1|2|3|-1) [DESC|ASC] STORE key}",
        Exact,
    ),
    row(
        "SORT",
        6,
        "('l|'z) {BY 'nosort LIMIT (0|1|2|-1) (1|2|3|-1) DESC [GET pattern-of-get]}",
        Exact,
    ),
    // BY a constant, of what has an order of its own and of what has none: stored, or called by a script, a set's members are
    // put in order first.
    row("SADD", 4, "'s (int|name|'2|'10)+", Exact),
    row(
        "SORT",
        6,
        "('l|'z|'s|key) {BY ('nosort|'w0|'constant) [LIMIT pos pos] [GET pattern-of-get] [GET pattern-of-get] [ASC|DESC] [ALPHA] STORE key}",
        Exact,
    ),
    row(
        "SORT",
        4,
        "'z {BY ('nosort|'constant) LIMIT pos pos DESC [GET pattern-of-get]}",
        Exact,
    ),
    row(
        "EVAL",
        8,
        "sort-script 1 ('l|'z|'s|key) {BY ('nosort|'w0|'constant) [LIMIT pos pos] [GET pattern-of-get] [GET pattern-of-get] [ASC|DESC] [ALPHA]}",
        Exact,
    )
    .tame(),
    row(
        "EVAL",
        4,
        "sort-script 1 ('z|'s|key) {[BY weights] [LIMIT pos pos] [GET pattern-of-get] [ASC|DESC] STORE key}",
        Exact,
    )
    .tame(),
    row(
        "SORT_RO",
        6,
        "key {[BY weights] [LIMIT pos pos] [GET pattern-of-get] [ASC|DESC]}",
        Exact,
    ),
    row("SORT_RO", 1, "key STORE key", Exact),
    row(
        "SORT",
        2,
        "key {[BY weights] [LIMIT text pos] [GET] [STORE] [text]}",
        Exact,
    ),
    row(
        "COMMAND GETKEYS",
        2,
        "SORT key {[BY weights] [STORE key] [GET pattern-of-get]}",
        Exact,
    ),
    row("LRANGE", 4, "key 0 -1", Exact),
    row("OBJECT ENCODING", 3, "key", Exact),
    row("CONFIG SET", 1, "'list-max-listpack-size (2|5|-2)", Exact)
        .tame()
        .alone(),
    row("CONFIG SET", 1, "'set-max-listpack-entries (2|128)", Exact)
        .tame()
        .alone(),
];
