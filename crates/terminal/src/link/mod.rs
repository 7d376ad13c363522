//! Connections to a server: where it is, how to get in, requests and replies.

pub(crate) mod connection;
pub mod reply;
pub mod target;
pub mod tls;

pub use connection::Connection;
pub use reply::Reply;
pub use target::{Address, Target};
