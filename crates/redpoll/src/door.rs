//! The way to the engine behind a handle, for the crates that stand beside the library: the server, whose data a program may use
//! through a handle, and tests. No part of the library's interface: it changes with the engine.

use crate::db::Db;
use crate::error::Result;
use crate::updating::check_not_updating;
use engine::Engine;
use std::sync::Arc;

/// A handle to the data set of an engine that somebody else runs. Its maintenance must be running, or expired keys stay in memory and
/// access times stand still.
///
/// # Errors
/// It is called inside of an update.
pub fn handle_to(engine: Arc<Engine>) -> Result<Db> {
    check_not_updating()?;
    Ok(Db::of(engine, None, None))
}

/// The engine behind a handle.
pub fn engine_of(db: &Db) -> &Arc<Engine> {
    db.engine()
}
