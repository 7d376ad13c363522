//! What commands mean.
//!
//! The engine takes requests that are already parsed and executes them on the keyspace: [`dispatch`] runs them,
//! [`cmd`] holds the commands by family, [`context`] is what a handler works with, [`table`] says what a command is.
//! It is synchronous, knows nothing of sockets, and asks its [`Host`] for the little it needs from outside.

pub mod base;
pub mod client;
pub mod cmd;
pub mod config;
pub mod context;
pub mod direct;
pub mod dispatch;
pub mod follow;
pub mod script;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod upkeep;

pub use base::error::Error;
pub use client::clients::{Client, Clients, Kind, Origin};
pub use config::Config;
pub use config::host::{Host, NoHost};
pub use context::engine::Engine;
pub use context::session::Session;
pub use dispatch::worker::{Job, Next, Progress, Worker};

/// The version of Redis that this server stands in for: what HELLO and INFO say, and what clients choose features by.
pub const REDIS_VERSION: &str = "8.2.3";
/// Redpoll's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What HELLO and INFO call a server that is neither a cluster's nor a sentinel.
pub const MODE: &str = "standalone";
/// The replication role that HELLO and INFO tell: there is no replication yet, so every server is on its own.
pub const ROLE: &str = "master";
