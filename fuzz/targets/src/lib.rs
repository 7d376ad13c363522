//! What is fuzzed: a function for each target, which takes any bytes and panics if something is wrong.
//!
//! cargo-fuzz calls them through the programs in `fuzz/`, which need a nightly toolchain; `tests/replay.rs` calls them on a stable
//! one with samples, damaged at random. The engine's own target, `commands`, lies in `crates/engine/src/fuzz/`, and its tests with
//! it.

pub mod decode;
mod forms;
pub mod log;
pub mod lua;
pub mod number;
pub mod rdb_file;
pub mod request;
pub mod restore;
