//! Runs, libraries and interruptions of a `Vm`, with a server that is a small map.

mod interrupts;
mod libraries;
mod runs;
mod store;
