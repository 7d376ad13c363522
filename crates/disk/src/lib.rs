//! Files of data: the append-only log, its manifest, snapshots' temporary files, the lock of a data folder.
//!
//! This crate is the only one that opens them. It does so through a [`Disk`], so that tests can put in its place one that is
//! full, slow, failing, or that loses what was not synced (`faulty`, with the feature `testing`).
//!
//! - [`folder`] knows which files make up a log: Redis's multi-part layout, one base and increments, listed by a [`manifest`].
//! - [`log`] appends *pieces* to the last increment, on a thread of its own; it syncs them as `appendfsync` says, tells which
//!   are durable, and leads a rewrite through its life.
//! - [`reader`] gives the commands of a log back, and finds a torn or rotten place instead of replaying it.
//! - [`check`] does the same for a person: what is wrong, where, and what would be cut.
//! - [`temp`] replaces a file as a whole or not at all.
//!
//! What a piece looks like is in [`piece`]. The crate knows RESP's arrays only as far as it must to see where a command ends;
//! it knows nothing of commands' meaning, and not of asynchronous runtimes: who waits for the disk leaves a
//! [`Waker`](std::task::Waker) or a callback.

#![forbid(unsafe_code)]

pub mod check;
#[cfg(test)]
mod checked;
pub mod command;
#[cfg(test)]
mod crashes;
mod direct;
pub mod disk;
pub mod error;
#[cfg(feature = "testing")]
pub mod faulty;
pub mod folder;
#[cfg_attr(test, allow(clippy::duplicate_mod))]
mod guarded {
    //! The hand-over with the standard library's locks.
    mod primitives {
        pub use std::sync::{Condvar, Mutex, MutexGuard};
    }
    mod handoff;
    pub use handoff::{Handoff, Outcome, Progress, Refused};
}
pub mod log;
pub mod manifest;
pub mod piece;
pub mod reader;
pub mod rewrite;
mod room;
pub mod temp;
mod writer;

pub use disk::{Disk, File, Lock, LockError, RealDisk, lock_folder};
pub use error::LogError;
pub use folder::AofFolder;
pub use log::{Fsync, Log, Outcome, Progress, Refused, Rewrite, Settings, State, Status};
pub use manifest::Manifest;
pub use reader::{Event, LogReader, ReadOptions};
pub use temp::{AtomicFile, SyncPlan};
