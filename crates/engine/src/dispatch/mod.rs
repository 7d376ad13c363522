//! Dispatch: from a batch of requests to changes and replies.
//!
//! A batch is whatever a connection's socket had. For a pipeline the worker first finds every command's row, hashes
//! its first key and starts fetching the cache lines it will need, bucket first, then entry; only then does it
//! execute, in order. By the time a command runs its memory is there, and misses overlap instead of following one
//! another.
//!
//! For each command dispatch checks arity and authentication, takes the locks of all the keys it names (in ascending
//! order of shard, see [`store::locks`]), runs the handler, lets go, and drops what was freed. A handler that panics
//! loses its reply and nothing else: the connection gets an error and goes on (see [`crate::base::guard`]).

mod admit;
mod batch;
mod execute;
#[cfg(all(test, debug_assertions))]
mod hash_tests;
#[cfg(test)]
mod held_tests;
mod locks;
mod look_ahead;
#[cfg(test)]
pub(crate) mod panic_tests;
pub mod update;
pub mod worker;
