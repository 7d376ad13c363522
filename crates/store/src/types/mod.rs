//! The collections, and what some strings mean: bitmaps, HyperLogLogs, positions on the Earth.

pub mod bits;
pub mod geo;
pub mod hash;
pub mod hll;
pub(crate) mod kind;
pub mod list;
pub mod members;
pub(crate) mod number;
pub mod object;
pub mod packed;
pub mod set;
pub mod sorted_set;
pub mod stream;
pub mod watch;
