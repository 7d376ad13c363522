//! Loading anew while there are clients: DEBUG RELOAD and DEBUG LOADAOF. They are told that the data set is being loaded.

use crate::Keeper;
use crate::load::{self, Twice};
use crate::save::Busy;
use engine::{Engine, Reload};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a command that was let in before loading began may take to get its locks, or to give that up and ask again.
const SETTLE: Duration = Duration::from_millis(5);

/// How often it is looked whether something else is done.
const LOOK: Duration = Duration::from_millis(2);

impl Keeper {
    /// Has nothing else written and nobody look at the data set until the guard goes.
    fn close_to_all<'e>(&'e self, engine: &'e Arc<Engine>) -> Closed<'e> {
        while self.claim(Busy::Load).is_err() {
            self.give_up_running();
            std::thread::sleep(LOOK);
        }
        engine.loading.begin();
        std::thread::sleep(SETTLE);
        // Whoever runs now is waited for.
        drop(engine.keyspace().lock_all());
        Closed {
            keeper: self,
            engine,
        }
    }

    /// Ends the log, if it is on; changes are refused until it is on again. Whether it is to be.
    fn leave_log(&self, engine: &Engine) -> Result<bool, String> {
        if self.log().is_some() {
            self.unlike_the_log.store(true, Relaxed);
            self.end_log(engine)?;
        }
        Ok(self.unlike_the_log.load(Relaxed))
    }

    /// Log and memory are the same again.
    fn agree_with_log(&self) {
        self.unlike_the_log.store(false, Relaxed);
        // Which also says that changes are taken again.
        self.pump_all();
    }

    /// DEBUG RELOAD.
    pub(crate) fn reload_snapshot(&self, how: Reload) -> Result<(), String> {
        let engine = self.engine()?;
        if how.save {
            self.save_now()?;
        }
        let closed = self.close_to_all(&engine);
        // Until what is loaded is its base, the log holds what there was before.
        let logs = self.leave_log(&engine)?;
        if how.flush {
            empty(&engine)?;
        }
        let twice = match how.merge {
            true => Twice::Replace,
            false => Twice::Refuse,
        };
        let path = self.rdb_path(&engine);
        let read = load::snapshot(&engine, &self.disk, &path, twice)?;
        let read = read.ok_or_else(|| format!("{}: there is no such file", path.display()))?;
        *self.loaded.lock() = read;
        if logs {
            self.fresh_log(&engine)?;
            self.rewrite_now(&engine)?;
            self.agree_with_log();
        }
        drop(closed);
        tracing::info!("The data set is reloaded from {}", path.display());
        Ok(())
    }

    /// DEBUG LOADAOF.
    pub(crate) fn reload_log(&self) -> Result<(), String> {
        let engine = self.engine()?;
        let config = engine.config();
        self.take_folder()?;
        let closed = self.close_to_all(&engine);
        let logs = self.leave_log(&engine)?;
        empty(&engine)?;
        let folder = self.log_folder()?;
        if folder.manifest().is_empty() {
            return Err(format!("{}: there is no log", folder.folder().display()));
        }
        let (read, summary) = self.read_log(&engine, &folder)?;
        *self.loaded.lock() = read;
        if logs {
            self.begin_log(&engine, folder, &summary, true)?;
            self.agree_with_log();
        }
        drop(closed);
        self.heed("appendonly", config)?;
        tracing::info!("The data set is reloaded from the log");
        Ok(())
    }
}

/// Removes all keys and functions.
fn empty(engine: &Arc<Engine>) -> Result<(), String> {
    load::execute(engine, &[b"FLUSHALL", b"SYNC"])?;
    load::execute(engine, &[b"FUNCTION", b"FLUSH", b"SYNC"])
}

/// The data set is closed to everybody until this goes.
struct Closed<'e> {
    keeper: &'e Keeper,
    engine: &'e Engine,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.engine.loading.end();
        self.keeper.saving.lock().busy = None;
    }
}
