//! Differential tests: the same random commands to Redpoll and to real servers, replies compared.
//!
//! - [`rows`] is the table of commands: a row a command, with a grammar for its arguments;
//! - [`grammar`] turns a row into random arguments;
//! - [`words`] has the arguments that are no data: users and their rules, scripts, channels;
//! - [`reply`] decides when replies count as the same;
//! - [`differences`] names where we differ from a real server, and why;
//! - [`engine`] plays rounds over [`link`]s, finds mismatches and shrinks them.
//!
//! `REDPOLL_SEED` (a number, or `random`) picks other commands, `REDPOLL_DIFF_COMMANDS` how many each test sends, and
//! `REDPOLL_DIFF_AGAINST` (`redis`, `newest` or `valkey`) plays against one server alone.

pub mod differences;
pub mod engine;
pub mod grammar;
pub mod link;
pub mod reply;
pub mod rows;
pub mod words;
