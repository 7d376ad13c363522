//! Differential tests: the same random commands to Redpoll and to real servers, replies compared.
//!
//! - [`rows`] is the table of commands: a row a command, with a grammar for its arguments;
//! - [`grammar`] turns a row into random arguments;
//! - [`reply`] decides when replies count as the same;
//! - [`engine`] plays rounds, finds mismatches and shrinks them.
//!
//! `REDPOLL_SEED` (a number, or `random`) picks other commands, `REDPOLL_DIFF_COMMANDS` how many each test sends.

pub mod engine;
pub mod grammar;
pub mod reply;
pub mod rows;
