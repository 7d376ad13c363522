//! What every other room stands on: arguments and errors of commands, clocks, counters, and small algorithms without state.

pub mod args;
pub mod error;
pub mod expiry;
pub mod glob;
pub mod process;
pub mod ranges;
pub mod stats;
