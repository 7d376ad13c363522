//! CONFIG SET appendonly: the log is turned on and off.
//!
//! A log begins with a snapshot, of which there is one at a time. So the one that is turned on while something else is being written
//! begins after that. Until its first base is there it is *beginning*: changes are taken whatever becomes of it, since nothing that
//! was promised can be lost yet, and a base that cannot be written is tried again.

use crate::keeper::Keeper;
use crate::saving::{Busy, Saving};
use engine::{Config, Engine};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long after a first base that could not be written the next is tried.
const RETRY: Duration = Duration::from_secs(1);

impl Keeper {
    /// Whether the log is on, or is to be as soon as it can.
    pub(crate) fn log_is_on(&self) -> bool {
        let saving = self.saving.lock();
        self.beginning.load(Relaxed) || self.log().is_some() && !saving.ending_log
    }

    /// Whether changes are to be refused that the log does not take: it has its base, and is not being turned off.
    pub(crate) fn relies_on_log(&self) -> bool {
        let saving = self.saving.lock();
        !self.beginning.load(Relaxed) && !saving.ending_log
    }

    /// CONFIG SET appendonly.
    pub(crate) fn heed_log(&self, on: bool) -> Result<(), String> {
        if self.engine()?.loading.is_on() {
            // Whoever loads looks when that is over.
            return Ok(());
        }
        match on {
            true => self.turn_on(),
            false => self.turn_off(),
        }
    }

    fn turn_on(&self) -> Result<(), String> {
        if self.log_is_on() {
            return Ok(());
        }
        // Who turns the log on is told that another process has the folder.
        self.take_folder()?;
        let begins = {
            let mut saving = self.saving.lock();
            self.beginning.store(true, Relaxed);
            self.claim_first_base(&mut saving)
        };
        match begins {
            true => self.spawn(Busy::Rewrite, None),
            false => Ok(()),
        }
    }

    /// Claims the writing of the first base, if there is one to be written and nothing else is being written.
    fn claim_first_base(&self, saving: &mut Saving) -> bool {
        self.beginning.load(Relaxed) && saving.claim(Busy::Rewrite).is_ok()
    }

    /// Begins the log that was turned on while something else was being written, or whose first base could not be written.
    pub(crate) fn begin_late(&self) -> bool {
        let waited = {
            let stats = self.stats.lock();
            stats.rewrite_failures == 0 || stats.rewrite_tried.elapsed() >= RETRY
        };
        let begins = waited && self.claim_first_base(&mut self.saving.lock());
        if begins {
            let _ = self.spawn(Busy::Rewrite, None);
        }
        begins
    }

    /// A base could not be written: the log that was to begin with it ends, if that is what it was for. Whoever claimed the writing has
    /// not said yet that it is over.
    pub(crate) fn give_beginning_up(&self, engine: &Engine) {
        if self.beginning.load(Relaxed) {
            // There is nothing in it that was promised.
            let _ = self.end_log(engine);
        }
    }

    /// A base was written: a log that was beginning is there, unless it is being turned off. Whether that is so. Under the lock of
    /// `saving`, and together with the end of the claim: who sees that the log is there may ask for the next rewrite at once.
    pub(crate) fn end_beginning(&self, saving: &Saving, config: &Config) -> bool {
        let ends = self.beginning.load(Relaxed) && !saving.ending_log && self.log().is_some();
        if ends {
            self.unlike_the_log.store(false, Relaxed);
            self.beginning.store(false, Relaxed);
            self.heed_fsync(config);
        }
        ends
    }

    fn turn_off(&self) -> Result<(), String> {
        {
            let mut saving = self.saving.lock();
            let begins = self.beginning.swap(false, Relaxed) && saving.busy == Some(Busy::Rewrite);
            saving.rewrite_scheduled = false;
            let is_off = self.log().is_none() && !begins;
            if is_off || saving.ending_log {
                return Ok(());
            }
            saving.ending_log = true;
        }
        // Not here: the caller is a worker.
        let me = self.me.upgrade().ok_or("the database is being closed")?;
        let spawned = std::thread::Builder::new()
            .name("appendonly".into())
            .spawn(move || {
                if let Err(e) = me.end_log_for_good() {
                    tracing::warn!("appendonly: {e}");
                }
            });
        spawned.map(|_| ()).map_err(|e| {
            self.saving.lock().ending_log = false;
            e.to_string()
        })
    }

    /// Ends the log, and its rewrite if there is one.
    fn end_log_for_good(&self) -> Result<(), String> {
        loop {
            let seen = self.freed.seen();
            let mut saving = self.saving.lock();
            match saving.busy {
                Some(Busy::Rewrite) => saving.give_up(),
                // It may begin the log anew.
                Some(Busy::Load) => {}
                None | Some(Busy::Save | Busy::Send) => break,
            }
            drop(saving);
            self.freed.sleep(seen);
        }
        let ended = self.engine().and_then(|engine| self.end_log(&engine));
        let begins = {
            let mut saving = self.saving.lock();
            saving.ending_log = false;
            self.claim_first_base(&mut saving)
        };
        self.freed.call();
        if begins {
            self.spawn(Busy::Rewrite, None)?;
        }
        ended
    }

    /// Writes the first base of a log that was turned on, if it is not there yet: the next start is to find what the log was turned on
    /// for, and no older log. When nobody changes anything any more.
    pub(crate) fn finish_beginning(&self) -> Result<(), String> {
        loop {
            let seen = self.freed.seen();
            {
                let mut saving = self.saving.lock();
                if !self.beginning.load(Relaxed) || saving.busy == Some(Busy::Load) {
                    return Ok(());
                }
                if self.claim_first_base(&mut saving) {
                    break;
                }
                if saving.busy != Some(Busy::Rewrite) {
                    saving.give_up();
                }
            }
            self.freed.sleep(seen);
        }
        self.write_as(Busy::Rewrite, None)
    }
}
