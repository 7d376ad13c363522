//! What every other room stands on: arguments and errors of commands, clocks, counters, and small algorithms without state.

pub mod args;
pub mod class;
pub mod clock;
pub mod error;
pub mod expiry;
pub(crate) mod fault;
pub mod glob;
pub mod guard;
pub mod histogram;
pub mod hot;
pub mod journal;
#[cfg(test)]
mod journal_checked;
pub mod loading;
pub mod log_queue;
pub mod memory;
pub mod own_expiries;
mod owned;
#[cfg(test)]
mod owned_tests;
pub mod pressure;
pub mod process;
pub mod random;
pub mod ranges;
pub mod reclaim;
pub mod replication;
pub mod sizes;
pub mod stats;
mod sync;
pub mod ticks;
pub mod tree;
pub(crate) mod turns;
pub mod version;
pub mod wait_list;
#[cfg(test)]
mod wait_list_checked;
#[cfg(test)]
mod wait_list_tests;
