//! The [`Keeper`]: what it has, and where its files are.

use crate::feed::{Feed, StreamAt};
use crate::load::Loaded;
use crate::pump::Pump;
use crate::saving::{Busy, Saving, Stats};
use disk::{AofFolder, Disk, Lock, Log};
use engine::{Counters, Engine, OnFate, WaitList};
use parking_lot::{Mutex, RwLock};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

/// Where a server's files are.
pub(crate) const WORKING_FOLDER: &str = ".";

/// See the crate's page.
pub struct Keeper {
    pub(crate) engine: Weak<Engine>,
    pub(crate) me: Weak<Keeper>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    /// One process, one folder: taken when something is to be written there.
    pub(crate) lock: Mutex<Option<Lock>>,
    pub(crate) log: RwLock<Option<Arc<Log>>>,
    pub(crate) pump: Mutex<Pump>,
    /// Who gets what the log gets, whether or not there is a log.
    pub(crate) feed: RwLock<Option<Weak<dyn Feed>>>,
    /// It wants to.
    pub(crate) fed: AtomicBool,
    /// `appendfsync always`, and the log is on.
    pub(crate) promises: AtomicBool,
    /// The log was turned on and its first base is not there yet: it has not even begun while something else is being written. Changes
    /// are taken meanwhile, and nothing of them is promised. Changed under the lock of `saving`.
    pub(crate) beginning: AtomicBool,
    pub(crate) saving: Mutex<Saving>,
    /// Those who wait for what is being written, or loaded, to be done.
    pub(crate) freed: Arc<WaitList>,
    pub(crate) stats: Mutex<Stats>,
    pub(crate) stop: AtomicBool,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) loaded: Mutex<Loaded>,
    /// Who waits for pieces of the journal to be on the disk, whatever the log promises; whether anybody does.
    pub(crate) waiting: Mutex<Vec<(u64, OnFate)>>,
    pub(crate) asked: Arc<AtomicBool>,
    /// What is in memory could not be made like the log again: changes are refused until it could.
    pub(crate) unlike_the_log: AtomicBool,
    /// Held while the data set is loaded anew from its own files, and by whoever carries a primary's stream out.
    pub(crate) reloading: Mutex<()>,
    /// What it counts with when it changes keys itself.
    pub(crate) counters: OnceLock<Arc<Counters>>,
}

impl Keeper {
    pub(crate) fn engine(&self) -> Result<Arc<Engine>, String> {
        self.engine
            .upgrade()
            .ok_or_else(|| "the database is being closed".to_owned())
    }

    /// The disk that the data are kept on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The folder that the data are kept in.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The file of the snapshot.
    pub(crate) fn rdb_path(&self, engine: &Engine) -> PathBuf {
        self.dir.join(engine.config().text("dbfilename"))
    }

    /// The folder of the log, as the configuration names it.
    pub(crate) fn log_folder(&self) -> Result<AofFolder, String> {
        let engine = self.engine()?;
        let config = engine.config();
        let (dirname, name) = (config.text("appenddirname"), config.text("appendfilename"));
        let open = match config.flag("aof-disable-auto-gc") {
            true => AofFolder::open_with_history,
            false => AofFolder::open,
        };
        open(&self.disk, &self.dir, &dirname, &name).map_err(|e| e.to_string())
    }

    /// Takes the data folder for this process, unless it has it.
    pub(crate) fn take_folder(&self) -> Result<(), String> {
        let mut lock = self.lock.lock();
        if lock.is_none() {
            *lock = Some(self.lock_folder(&self.dir)?);
        }
        Ok(())
    }

    fn lock_folder(&self, folder: &Path) -> Result<disk::Lock, String> {
        let log = self.engine()?.config().text("appenddirname");
        disk::lock_folder(&*self.disk, folder, &log)
    }

    /// CONFIG SET dir: the data folder is another one once `enter` has made it the working directory. Not while files are written or read
    /// there: some of them would be found in the one folder, some in the other.
    pub(crate) fn move_to(
        &self,
        folder: &Path,
        enter: &dyn Fn() -> Result<(), String>,
    ) -> Result<(), String> {
        // What is no folder cannot be entered either, and the system says it best.
        if is_same(folder, &self.dir) || !self.disk.is_folder(folder).unwrap_or(false) {
            return enter();
        }
        if self.dir != Path::new(WORKING_FOLDER) {
            return Err("the data stay in the folder that they were opened in".into());
        }
        // Held to the end: nothing begins to be written meanwhile.
        let saving = self.saving.lock();
        if self.engine()?.loading.is_on() {
            return Err("the data set is being loaded".into());
        }
        if self.beginning.load(Relaxed) || self.log().is_some() || saving.ending_log {
            return Err(
                "the append-only file is in the present one: turn it off first (appendonly no)"
                    .into(),
            );
        }
        if matches!(saving.busy, Some(Busy::Save | Busy::Rewrite | Busy::Load)) {
            return Err(
                "files are being written to the present one: try again when that is done".into(),
            );
        }
        let mut lock = self.lock.lock();
        let next = match *lock {
            Some(_) => Some(self.lock_folder(folder)?),
            None => None,
        };
        enter()?;
        *lock = next;
        Ok(())
    }

    /// The log, if it is on.
    pub(crate) fn log(&self) -> Option<Arc<Log>> {
        self.log.read().clone()
    }

    pub(crate) fn any_feed(&self) -> Option<Arc<dyn Feed>> {
        self.feed.read().as_ref().and_then(Weak::upgrade)
    }

    pub(crate) fn feed(&self) -> Option<Arc<dyn Feed>> {
        if !self.fed.load(Relaxed) {
            return None;
        }
        self.any_feed()
    }

    /// Where the stream is, for a file, behind the pieces that were pumped. With all locks held, and nothing in the journal.
    pub(crate) fn stream_at(&self, pump: &Pump) -> Option<StreamAt> {
        self.any_feed()?.stream_at(pump.db.unwrap_or(0))
    }

    /// The same for a snapshot. Only who is fed has the journal's pieces in its stream: else nobody waits for who is giving them.
    pub(crate) fn settled_stream(&self, engine: &Engine) -> Option<StreamAt> {
        if self.feed().is_none() {
            return self.any_feed()?.stream_at(0);
        }
        let mut pump = self.pump.lock();
        // What was done before is in the stream before its offset is written down.
        self.pump(engine, &mut pump, true);
        self.stream_at(&pump)
    }

    /// Does something that changes the data set, whatever the gate says, and so must not come between its being saved and its being loaded
    /// anew (DEBUG RELOAD): waits for the end of that.
    pub fn beside_no_reload<R>(&self, work: impl FnOnce() -> R) -> R {
        let _none = self.reloading.lock();
        work()
    }

    /// Does something while nothing of a primary's stream is half carried out.
    pub(crate) fn between_units<R>(&self, work: impl FnOnce() -> R) -> R {
        let Some(feed) = self.any_feed() else {
            return work();
        };
        let (mut work, mut result) = (Some(work), None);
        feed.between_units(&mut || result = work.take().map(|work| work()));
        match (result, work) {
            (Some(result), _) => result,
            (None, Some(work)) => work(),
            (None, None) => unreachable!("what was called has a result"),
        }
    }
}

/// Whether both are one folder, by whatever names.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    matches!((real(one), real(other)), (Some(one), Some(other)) if one == other)
}
