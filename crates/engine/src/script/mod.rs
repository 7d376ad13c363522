//! Scripts and functions: what is known, what is running, and how one is run.

pub mod known;
pub mod libraries;
pub mod runner;
