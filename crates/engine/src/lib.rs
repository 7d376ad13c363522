//! What commands mean.
//!
//! The engine takes requests that are already parsed and executes them on the keyspace: [`worker`] dispatches,
//! [`cmd`] holds the commands by family, [`ctx`] is what a handler works with, [`command`] says what a command is.
//! It is synchronous, knows nothing of sockets, and asks its [`host::Host`] for the little it needs from outside.

pub mod acl_categories;
pub mod args;
pub mod blocking;
pub mod clients;
pub mod cmd;
pub mod command;
pub mod commands_page;
pub mod config;
pub mod ctx;
pub mod direct;
pub mod docs;
pub mod effects;
pub mod engine;
pub mod error;
pub mod expiry;
pub mod functions;
pub mod glob;
pub mod host;
pub mod keys;
pub mod maintenance;
pub mod monitor;
pub mod outbox;
pub mod pending;
pub mod process;
pub mod pubsub;
pub mod ranges;
pub mod registry;
pub mod scripts;
pub mod session;
pub mod stats;
#[cfg(test)]
pub(crate) mod testing;
pub mod tracking;
pub mod transaction;
pub mod worker;

pub use clients::{Client, Clients, Kind, Origin};
pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use host::{Host, NoHost};
pub use session::Session;
pub use worker::{Job, Next, Progress, Worker};

/// The version of Redis that this server stands in for: what HELLO and INFO say, and what clients choose features by.
pub const REDIS_VERSION: &str = "8.2.3";
/// Redpoll's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What HELLO and INFO call a server that is neither a cluster's nor a sentinel.
pub const MODE: &str = "standalone";
/// The replication role that HELLO and INFO tell: there is no replication yet, so every server is on its own.
pub const ROLE: &str = "master";
