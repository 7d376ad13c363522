//! What a handler works with: the engine's shared state, the session, and the command's own context.

pub(crate) mod claims;
pub mod command;
pub mod ctx;
mod declared;
pub(crate) mod describe;
pub mod engine;
pub mod gate;
mod greedy;
pub(crate) mod hot;
pub mod listen;
pub mod multi;
pub mod next;
pub mod parked;
pub mod pause;
pub(crate) mod permissions;
pub(crate) mod report;
pub mod running;
pub mod session;
pub(crate) mod shards;
pub mod surveyed;
pub(crate) mod undo;
pub mod usage;
