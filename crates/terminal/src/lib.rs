//! What people type into Redpoll, and what they see of it, in a terminal: `redpoll cli` and `redpoll top`.
//!
//! - [`mod@cli`] is an interactive client in the manner of redis-cli, with its options and its forms of output;
//! - [`mod@top`] shows what happens in a server now.
//!
//! Both speak RESP over [`link`] to any server that does: Redpoll, Redis, Valkey. Neither needs a runtime: a person waits for
//! one reply at a time.

#![forbid(unsafe_code)]

mod cli;
pub mod link;
mod top;

pub use cli::main as cli;
pub use top::main as top;
