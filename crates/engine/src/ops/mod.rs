//! What commands do to a value, each written once: plain functions on [`Keys`](crate::door::keys::Keys) that return a result
//! and say what has changed, as an event and, where the command could not be done again as it came, as a record.
//!
//! Handlers parse arguments and write replies around them, and the library's typed calls are the very same functions without
//! a request. So an operation knows neither arguments nor replies: what it read of a key it hands to a closure, while the
//! key's lock is held, and so without a copy.

pub mod bits;
pub mod keys;
pub mod strings;
