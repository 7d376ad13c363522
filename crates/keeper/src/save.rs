//! Saving: when, by whom, and what came of it.

use crate::feed::StreamAt;
use crate::keeper::Keeper;
use crate::log::Begun;
use crate::saving::{Busy, Running, changes};
use crate::snapshot::{Failed, Shared, Snapshot};
use disk::{AtomicFile, SyncPlan};
use engine::{Config, Engine};
use parking_lot::Mutex;
use rdb::Version;
use rdb::encode::Options;
use rdb::file::Writer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Why nothing is written while the data set is loaded anew.
const LOADING: &str = "the data set is being loaded";

/// After a save that failed, so many seconds pass before the next is tried by itself.
const RETRY_S: u64 = 5;

/// What stands at the head of every file.
pub(crate) fn usual_aux(engine: &Engine) -> Vec<(&'static str, String)> {
    vec![
        ("redis-ver", engine::REDIS_VERSION.to_owned()),
        ("redpoll-ver", engine::VERSION.to_owned()),
        ("redis-bits", "64".to_owned()),
        ("ctime", (engine::unix_ms() / 1000).to_string()),
        ("used-mem", engine.keyspace().bytes().to_string()),
    ]
}

/// Pairs of seconds and changes.
fn points(config: &Config) -> Vec<(u64, u64)> {
    let text = config.text("save");
    let numbers: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect()
}

/// How long no rewrite begins by itself after so many in a row that failed: a disk that is full would else be filled with increments of
/// little. The numbers are those of real servers.
fn rest_after(failures: u32) -> Duration {
    const LET_PASS: u32 = 3;
    match failures.checked_sub(LET_PASS) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(60 * (1 << more.min(6)).min(60)),
    }
}

impl Keeper {
    pub(crate) fn options(&self, engine: &Engine, own: bool) -> Options {
        let config = engine.config();
        let chosen = config.text("rdb-save-version").parse().unwrap_or(11);
        // What only this server reads has a form for everything.
        let version = Version::of(if own { 11 } else { chosen }).unwrap_or(Version::V11);
        Options {
            version,
            compress: config.flag("rdbcompression"),
            now_ms: 0,
            for_replica: false,
        }
    }

    pub(crate) fn note_running(&self, shared: Arc<Shared>) {
        let mut saving = self.saving.lock();
        let rewrite = saving.busy == Some(Busy::Rewrite);
        if saving.cancelled {
            shared.abort();
        }
        saving.running = Some(Running {
            rewrite,
            began: Instant::now(),
            shared,
        });
    }

    /// What is being written is done, or given up.
    pub(crate) fn note_end(&self) {
        self.saving.lock().end();
        self.freed.call();
    }

    /// The same of a base of the log that is written. Whether a log that was beginning is there with it.
    fn note_base(&self, config: &Config) -> bool {
        let begun = {
            let mut saving = self.saving.lock();
            let begun = self.end_beginning(&saving, config);
            saving.end();
            begun
        };
        self.freed.call();
        begun
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.saving.lock().cancelled
    }

    /// Writes a snapshot into a file; None if the data set was replaced meanwhile.
    pub(crate) fn write_snapshot<W: std::io::Write>(
        &self,
        engine: &Engine,
        snapshot: Snapshot,
        file: W,
        base: bool,
        stream: Option<StreamAt>,
    ) -> Result<Option<W>, String> {
        let options = self.options(engine, base);
        let shared = snapshot.shared().clone();
        let mut aux = usual_aux(engine);
        aux.extend(stream.iter().flat_map(StreamAt::aux));
        aux.push(("aof-base", u8::from(base).to_string()));
        let checksum = engine.config().flag("rdbchecksum");
        let out = Writer::new(file, options.version, checksum);
        let written = snapshot.write(engine, out, &aux);
        let mut stats = self.stats.lock();
        stats.peaks[usize::from(base)] = shared.peak_bytes.load(Relaxed);
        let held = Duration::from_nanos(shared.longest_hold_ns.load(Relaxed));
        stats.snapshot = Some(shared);
        drop(stats);
        engine.note_latency("snapshot-hold", held);
        match written {
            Ok(file) => Ok(Some(file)),
            Err(Failed::Aborted) => Ok(None),
            Err(Failed::Io(e)) => Err(format!("cannot write a snapshot: {e}")),
        }
    }

    /// Saves a snapshot, on this thread.
    fn save_once(&self, engine: &Arc<Engine>) -> Result<(), String> {
        let config = engine.config();
        let target = self.dir.join(config.text("dbfilename"));
        loop {
            let temp: PathBuf = self.dir.join(AtomicFile::temp_name("rdb"));
            let plan = SyncPlan::incremental(config.flag("rdb-save-incremental-fsync"));
            let file = AtomicFile::create(&self.disk, &temp, plan)
                .map_err(|e| format!("cannot create {}: {e}", temp.display()))?;
            let (snapshot, (at, stream)) = self.between_units(|| {
                Snapshot::take(engine, self.options(engine, false), |shared| {
                    self.note_running(shared.clone());
                    (changes(engine), self.settled_stream(engine))
                })
            });
            match self.write_snapshot(engine, snapshot, file, false, stream.clone())? {
                Some(file) => {
                    file.commit(&target).map_err(|e| e.to_string())?;
                    let mut stats = self.stats.lock();
                    (stats.changes_at_last_save, stats.stream_at_last_save) = (at, stream);
                    return Ok(());
                }
                None if !self.is_cancelled() => {}
                None => return Err("given up".into()),
            }
        }
    }

    /// Does what is to be written, if nothing else is being written, and notes what came of it.
    pub(crate) fn write_as(&self, busy: Busy, begun: Option<Begun>) -> Result<(), String> {
        let began = Instant::now();
        let done = self.engine().and_then(|engine| {
            self.take_folder()?;
            match busy {
                Busy::Save => self.save_once(&engine),
                Busy::Rewrite => self.rewrite_now(&engine, begun),
                Busy::Load | Busy::Send => Err(LOADING.into()),
            }
        });
        let based = match self.engine() {
            Ok(engine) if busy == Busy::Rewrite => {
                if done.is_err() {
                    self.give_beginning_up(&engine);
                }
                done.is_ok().then_some(engine)
            }
            _ => None,
        };
        let secs = Some(began.elapsed().as_secs());
        // Somebody wanted that: nothing has failed.
        let given_up = done.is_err() && self.is_cancelled();
        match (&done, busy) {
            (Ok(()), Busy::Save) => tracing::info!("The data set is saved"),
            (Ok(()), Busy::Rewrite) => tracing::info!("The log is rewritten"),
            (Err(e), Busy::Save) => tracing::warn!("The data set is not saved: {e}"),
            (Err(e), Busy::Rewrite) => tracing::warn!("The log is not rewritten: {e}"),
            (_, Busy::Load | Busy::Send) => {}
        }
        // Together, as INFO looks at both: who sees there that it is done may begin the next one at once.
        let mut stats = self.stats.lock();
        match busy {
            Busy::Save => {
                stats.last_save_ok = done.is_ok() || given_up && stats.last_save_ok;
                stats.last_save_secs = secs;
                stats.last_save_tried = Instant::now();
                if done.is_ok() {
                    stats.saves += 1;
                    stats.save_failures = 0;
                    stats.last_save_s = engine::unix_ms() / 1000;
                } else if !given_up {
                    stats.save_failures += 1;
                }
            }
            Busy::Load | Busy::Send => {}
            Busy::Rewrite => {
                stats.rewrite_ok = done.is_ok() || given_up && stats.rewrite_ok;
                stats.rewrite_secs = secs;
                stats.rewrite_tried = Instant::now();
                if done.is_ok() {
                    stats.rewrites += 1;
                    stats.rewrite_failures = 0;
                } else if !given_up {
                    stats.rewrite_failures += 1;
                    let rest = rest_after(stats.rewrite_failures);
                    if !rest.is_zero() {
                        tracing::warn!(
                            "Rewrites of the log go on failing: none begins by itself for {} minutes",
                            rest.as_secs() / 60
                        );
                    }
                }
            }
        }
        let Some(engine) = based else {
            self.note_end();
            return done;
        };
        let begun = self.note_base(engine.config());
        drop(stats);
        if begun {
            self.pump_all();
            // Some may wait for what the base has.
            engine.journal.ring();
        }
        done
    }

    pub(crate) fn claim(&self, busy: Busy) -> Result<(), Busy> {
        self.saving.lock().claim(busy)
    }

    /// The same for a save that a command waits for.
    fn claim_awaited(&self) -> Result<(), Busy> {
        let mut saving = self.saving.lock();
        let claimed = saving.claim(Busy::Save);
        saving.awaited |= claimed.is_ok();
        claimed
    }

    /// SAVE.
    pub(crate) fn save_now(&self) -> Result<(), String> {
        loop {
            let seen = self.freed.seen();
            match self.claim_awaited() {
                Ok(()) => return self.write_as(Busy::Save, None),
                Err(Busy::Save) => return Err("Background save already in progress".into()),
                // These are short enough to be waited for.
                Err(Busy::Rewrite | Busy::Load | Busy::Send) => self.freed.sleep(seen),
            }
        }
    }

    /// SHUTDOWN and signals: the save before the end takes the place of what is being written, which has less, or which nobody needs any
    /// more, and would be waited for. But for the first base of a log, without which there is none.
    pub(crate) fn save_before_stop(&self) -> Result<(), String> {
        loop {
            let seen = self.freed.seen();
            match self.claim_awaited() {
                Ok(()) => return self.write_as(Busy::Save, None),
                Err(_) => {
                    let mut saving = self.saving.lock();
                    let gives_up = match saving.busy {
                        Some(Busy::Save) => !saving.awaited,
                        Some(Busy::Rewrite) => !self.beginning.load(Relaxed),
                        Some(Busy::Send) => true,
                        None | Some(Busy::Load) => false,
                    };
                    if gives_up {
                        saving.give_up();
                    }
                }
            }
            self.freed.sleep(seen);
        }
    }

    /// FLUSHALL with save points: what was flushed does not come back. What comes of it is in the server's log: the keys are gone.
    pub(crate) fn save_what_is_left(&self, later: bool) {
        loop {
            let seen = self.freed.seen();
            match self.claim_awaited() {
                Ok(()) if later => {
                    let _ = self.spawn(Busy::Save, None);
                    return;
                }
                Ok(()) => {
                    let _ = self.write_as(Busy::Save, None);
                    return;
                }
                Err(_) if later => {
                    self.saving.lock().save_scheduled = true;
                    return;
                }
                // There is another data set soon.
                Err(Busy::Load) => return,
                Err(Busy::Save | Busy::Rewrite | Busy::Send) => self.freed.sleep(seen),
            }
        }
    }

    /// Rewrites the log, on this thread.
    pub(crate) fn rewrite_here(&self) -> Result<(), String> {
        if !self.log_is_on() {
            return Err("the append-only file is off".into());
        }
        loop {
            let seen = self.freed.seen();
            match self.claim(Busy::Rewrite) {
                Ok(()) => return self.write_as(Busy::Rewrite, None),
                Err(_) => self.freed.sleep(seen),
            }
        }
    }

    /// Has a thread write what was claimed.
    pub(crate) fn spawn(&self, busy: Busy, begun: Option<Begun>) -> Result<(), String> {
        let me = self.me.upgrade().ok_or("the database is being closed")?;
        let begun = Arc::new(Mutex::new(begun));
        let its_own = begun.clone();
        let spawned = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || {
                // The cores that are idle are its own.
                engine::stand_behind_workers(engine::FAR_BEHIND);
                let begun = its_own.lock().take();
                let _ = me.write_as(busy, begun);
            });
        spawned.map(|_| ()).map_err(|e| {
            if let (Some(begun), Ok(engine)) = (begun.lock().take(), self.engine()) {
                // Else who changes something would go on keeping old states for it.
                begun.snapshot.give_up(&engine);
            }
            self.note_end();
            format!("no thread to write: {e}")
        })
    }

    /// BGSAVE.
    pub(crate) fn begin_save(&self, schedule: bool) -> Result<&'static str, String> {
        match self.claim(Busy::Save) {
            Ok(()) => {
                self.spawn(Busy::Save, None)?;
                Ok("Background saving started")
            }
            Err(Busy::Save) => Err("Background save already in progress".into()),
            Err(Busy::Load) => Err(LOADING.into()),
            Err(Busy::Rewrite | Busy::Send) if schedule => {
                self.saving.lock().save_scheduled = true;
                Ok("Background saving scheduled")
            }
            Err(Busy::Rewrite | Busy::Send) => Err(
                "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a \
                 BGSAVE whenever possible."
                    .into(),
            ),
        }
    }

    /// BGSAVE CANCEL.
    pub(crate) fn cancel(&self) -> Result<&'static str, String> {
        let mut saving = self.saving.lock();
        if saving.busy == Some(Busy::Save) && !saving.awaited {
            saving.give_up();
            return Ok("Background saving cancelled");
        }
        if std::mem::take(&mut saving.save_scheduled) {
            return Ok("Scheduled background saving cancelled");
        }
        Err("Background saving is currently not in progress or scheduled".into())
    }

    /// BGREWRITEAOF.
    pub(crate) fn begin_rewrite(&self) -> Result<&'static str, String> {
        match self.claim(Busy::Rewrite) {
            Ok(()) => {
                self.spawn(Busy::Rewrite, None)?;
                Ok("Background append only file rewriting started")
            }
            Err(Busy::Rewrite) => {
                Err("Background append only file rewriting already in progress".into())
            }
            Err(Busy::Load) => Err(LOADING.into()),
            Err(Busy::Save | Busy::Send) => {
                self.saving.lock().rewrite_scheduled = true;
                Ok("Background append only file rewriting scheduled")
            }
        }
    }

    /// Has what is being written given up, and waits until it is.
    pub(crate) fn give_up_running(&self) {
        loop {
            let seen = self.freed.seen();
            {
                let mut saving = self.saving.lock();
                if saving.busy.is_none_or(|busy| busy == Busy::Load) {
                    return;
                }
                saving.give_up();
            }
            self.freed.sleep(seen);
        }
    }

    /// Whether changes are to be refused because a save has failed.
    pub(crate) fn last_save_failed(&self, engine: &Engine) -> bool {
        let config = engine.config();
        !self.stats.lock().last_save_ok
            && config.flag("stop-writes-on-bgsave-error")
            && !config.text("save").is_empty()
    }

    /// Begins what is due.
    pub(crate) fn tick(&self, engine: &Arc<Engine>) {
        if self.begin_late() {
            return;
        }
        let (save, rewrite) = {
            let mut saving = self.saving.lock();
            if saving.busy.is_some() {
                return;
            }
            (
                std::mem::take(&mut saving.save_scheduled),
                std::mem::take(&mut saving.rewrite_scheduled),
            )
        };
        if rewrite {
            let _ = self.begin_rewrite();
            self.saving.lock().save_scheduled |= save;
            return;
        }
        let due = save || {
            let stats = self.stats.lock();
            let since = (engine::unix_ms() / 1000).saturating_sub(stats.last_save_s);
            let made = changes(engine).saturating_sub(stats.changes_at_last_save);
            let may = stats.last_save_ok || stats.last_save_tried.elapsed().as_secs() >= RETRY_S;
            may && points(engine.config())
                .iter()
                .any(|(secs, n)| made >= (*n).max(1) && since >= *secs)
        };
        if due {
            let _ = self.begin_save(false);
            return;
        }
        let Some(log) = self.log() else { return };
        let status = log.status();
        if log.refusing().is_some() {
            // When the disk is well again, a fresh base makes it equal to what is held.
            let waited = self.stats.lock().rewrite_tried.elapsed().as_secs() >= 1;
            if waited && log.probe().is_ok() {
                let _ = self.begin_rewrite();
            }
            return;
        }
        let config = engine.config();
        let percentage = config.number("auto-aof-rewrite-percentage") as u32;
        let least = config.number("auto-aof-rewrite-min-size") as u64;
        let may = {
            let stats = self.stats.lock();
            stats.rewrite_tried.elapsed() >= rest_after(stats.rewrite_failures)
        };
        if may && disk::rewrite::is_due(status.size, status.base_size, percentage, least) {
            let _ = self.begin_rewrite();
        }
    }

    /// Has what was done so far on the disk: replies may wait for it that were promised it, and the setting that would bring it there
    /// in time is gone.
    fn keep_promises(&self) -> Result<(), String> {
        let me = self.me.upgrade().ok_or("the database is being closed")?;
        // Not here: the caller is a worker.
        let spawned = std::thread::Builder::new()
            .name("sync".into())
            .spawn(move || {
                me.pump_all();
                if let Some(log) = me.log() {
                    // Who waits is told if it fails.
                    let _ = log.sync();
                }
            });
        spawned.map(drop).map_err(|e| e.to_string())
    }

    /// CONFIG SET aof-disable-auto-gc: what was kept goes with that.
    fn heed_history(&self, keep: bool) -> Result<(), String> {
        let Some(log) = self.log() else { return Ok(()) };
        log.set_keep_history(keep);
        if keep {
            return Ok(());
        }
        // Not here: the caller is a worker.
        let spawned = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || log.remove_history());
        spawned.map(drop).map_err(|e| e.to_string())
    }

    /// CONFIG SET.
    pub(crate) fn heed(&self, directive: &str, config: &Config) -> Result<(), String> {
        match directive {
            "appendonly" => self.heed_log(config.flag("appendonly")),
            "appendfsync" => {
                let promised = self.promises.load(Relaxed);
                if let Some(log) = self.log() {
                    log.set_fsync(crate::log::fsync(config)).map_err(|r| r.0)?;
                }
                self.heed_fsync(config);
                match promised && !self.promises.load(Relaxed) {
                    true => self.keep_promises(),
                    false => Ok(()),
                }
            }
            "aof-timestamp-enabled" => match self.log() {
                Some(log) => log
                    .set_timestamps(config.flag("aof-timestamp-enabled"))
                    .map_err(|r| r.0),
                None => Ok(()),
            },
            "aof-disable-auto-gc" => self.heed_history(config.flag("aof-disable-auto-gc")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rest_after;

    #[test]
    fn rewrites_that_go_on_failing_rest_for_longer_and_longer() {
        let minutes = |failures| rest_after(failures).as_secs() / 60;
        let rests: Vec<u64> = (0..12).chain([u32::MAX]).map(minutes).collect();
        assert_eq!(rests, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }
}
