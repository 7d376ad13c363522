//! Benchmarks that need more than a load generator: strategies side by side in one process.
//!
//! - `cargo run --release -p redpoll-benches --bin shared-state`: the ways of sharing a map that the Tokio tutorial's
//!   chapter "Shared state" names, under contention. Writes docs/shared-state.csv and docs/shared-state.svg.
//! - `cargo run --release -p redpoll-benches --bin echo`: the least a Tokio server can do for a request, the yardstick
//!   of `cargo xtask bench`.

pub mod shared_state;
