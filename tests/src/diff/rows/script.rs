//! Scripts and libraries of functions.

use super::How::{Exact, Libraries, Shape};
use super::{Row, row};

/// Group `script`. The hash that scripts list has one field: the order of several is nobody's promise.
pub const SCRIPT: &[Row] = &[
    row("EVAL", 20, "script #key* val*", Exact),
    row("EVAL_RO", 6, "script #key* val*", Exact),
    row("EVAL", 3, "script (int|text) key val", Exact),
    row("SCRIPT LOAD", 6, "script", Exact),
    row("SCRIPT LOAD", 6, "known-script", Exact),
    row("EVALSHA", 10, "sha #key* val*", Exact),
    row("EVALSHA_RO", 4, "sha #key* val*", Exact),
    row("SCRIPT EXISTS", 3, "sha+", Exact),
    row("SCRIPT FLUSH", 1, "[SYNC|text]", Exact),
    row("SCRIPT KILL", 1, "", Exact),
    row("SCRIPT", 1, "text", Exact),
    row("GET", 2, "key", Exact),
    row("HSET", 2, "'h 'f val", Exact),
];

/// Group `function`.
pub const FUNCTION: &[Row] = &[
    row("FUNCTION LOAD", 10, "library", Exact),
    row("FUNCTION LOAD", 14, "REPLACE library", Exact),
    row("FCALL", 20, "function #key* val*", Exact),
    row("FCALL_RO", 6, "function #key* val*", Exact),
    row("FCALL", 2, "function (int|text) key val", Exact),
    row(
        "FUNCTION LIST",
        5,
        "{[WITHCODE] [LIBRARYNAME (libname|channels)]}",
        Libraries,
    )
    // Redis 8.2.3 quotes a line break in an error as it is, and replies two lines.
    .tame(),
    row("FUNCTION DELETE", 3, "(libname|'nosuch)", Exact),
    row("FUNCTION DUMP", 2, "", Shape),
    row(
        "FUNCTION RESTORE",
        8,
        "functions [FLUSH|APPEND|REPLACE|REPLACE|text]",
        Exact,
    ),
    row("FUNCTION STATS", 4, "", Exact),
    // Not ASYNC: Redis 8.2.3 has ended at a flush behind a call with bad arguments.
    row("FUNCTION FLUSH", 1, "[SYNC|text]", Exact),
    row("FUNCTION KILL", 1, "", Exact),
    row("FUNCTION", 1, "text", Exact),
    row("GET", 2, "key", Exact),
    row("HSET", 2, "'h 'f val", Exact),
];
