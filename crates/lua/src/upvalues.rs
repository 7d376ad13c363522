//! The upvalues of the function that runs scripts (`run::runner`), by index.

/// The hidden table of globals.
pub const GLOBALS: i32 = 1;
pub const KEYS: i32 = 2;
pub const ARGV: i32 = 3;
pub const ERR: i32 = 4;
pub const OK: i32 = 5;
pub const DOUBLE: i32 = 6;
pub const MAP: i32 = 7;
pub const SET: i32 = 8;
pub const BIG_NUMBER: i32 = 9;
pub const VERBATIM_STRING: i32 = 10;
pub const STRING: i32 = 11;
pub const FORMAT: i32 = 12;
/// The error handler.
pub const HANDLER: i32 = 13;
/// The strings from `KEYS` on, in order.
pub const NAMES: [&str; 11] = [
    "KEYS",
    "ARGV",
    "err",
    "ok",
    "double",
    "map",
    "set",
    "big_number",
    "verbatim_string",
    "string",
    "format",
];
