//! What the server says it is.

/// The version of Redis that this server stands in for: what HELLO and INFO say, and what clients choose features by.
pub const REDIS_VERSION: &str = "8.2.3";
/// Redpoll's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What HELLO and INFO call a server that is neither a cluster's nor a sentinel.
pub(crate) const MODE: &str = "standalone";
