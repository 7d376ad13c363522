//! Keeping the data: loading at the start, snapshots, and the log.
//!
//! The engine changes keys and writes down what it did; it opens no file. The crates `rdb` and `disk` know what stands in
//! files and how to write them safely. A [`Keeper`] joins them: it loads what a data folder holds, empties the engine's
//! journal into the log, writes [snapshots](snapshot) without a fork, and answers what commands ask
//! ([`Persistence`](engine::Persistence)).
//!
//! One thread, `keeper`, empties the journal and looks at the clock; a snapshot or a rewrite has a thread of its own while it
//! runs; the log's file is written and synced by the log's thread.

mod commands;
mod delay;
mod feed;
mod info;
mod keeper;
pub mod load;
mod log;
mod open;
mod pump;
mod reload;
mod save;
mod saving;
mod send;
pub mod snapshot;
mod turn;

pub use feed::{Feed, StreamAt};
pub use keeper::Keeper;
pub use reload::{Copy, Replace};
pub use send::Contents;
