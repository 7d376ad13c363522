//! Work that no command waits for.

pub mod sweep;
