//! From a batch of requests to changes and replies.

pub mod worker;
