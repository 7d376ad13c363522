//! The collections, and what some strings mean: bitmaps, HyperLogLogs, positions on the Earth.

pub mod bits;
pub mod geo;
pub mod hash;
pub mod hll;
pub mod list;
pub mod members;
pub mod set;
pub mod sorted_set;
pub mod stream;
