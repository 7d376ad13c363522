//! Loading anew while there are clients: DEBUG RELOAD, DEBUG LOADAOF, and a copy of another server's data set. They are told that
//! the data set is being loaded.

use crate::keeper::Keeper;
use crate::load::{self, Counted, How, StreamPlace, To, Twice};
use crate::saving::Busy;
use disk::{AtomicFile, SyncPlan};
use engine::{Engine, Reload};
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::Keyspace;

/// Waits for those who were let in before loading began and have their locks. Others are asked about again once they have them.
fn settle(engine: &Engine) {
    drop(engine.keyspace().lock_all());
}

impl Keeper {
    /// Has nothing else written until the guard goes.
    fn claim_for_loading<'e>(&'e self, engine: &'e Arc<Engine>) -> Closed<'e> {
        loop {
            let seen = self.freed.seen();
            if self.claim(Busy::Load).is_ok() {
                break;
            }
            self.give_up_running();
            self.freed.sleep(seen);
        }
        Closed {
            keeper: self,
            engine,
            claims: true,
        }
    }

    /// The same, and nobody looks at the data set either.
    fn close_to_all<'e>(&'e self, engine: &'e Arc<Engine>) -> Closed<'e> {
        let closed = self.claim_for_loading(engine);
        engine.loading.begin();
        settle(engine);
        closed
    }

    /// Ends the log, if it is on; changes are refused until it is on again. Whether it is to be.
    fn leave_log(&self, engine: &Engine) -> Result<bool, String> {
        if self.log().is_some() {
            self.unlike_the_log.store(true, Relaxed);
            self.end_log(engine)?;
        }
        Ok(self.unlike_the_log.load(Relaxed))
    }

    /// The same where a copy is about to take the place of the data set, which is in the next log then, with what is done meanwhile:
    /// changes are taken, but for a log that does not end as it should.
    fn leave_log_for_copy(&self, engine: &Engine) -> Result<bool, String> {
        let logs = self.log().is_some();
        if logs && let Err(why) = self.end_log(engine) {
            self.unlike_the_log.store(true, Relaxed);
            return Err(why);
        }
        Ok(logs || self.unlike_the_log.load(Relaxed))
    }

    /// Log and memory are the same again.
    fn agree_with_log(&self) {
        self.unlike_the_log.store(false, Relaxed);
        // Which also says that changes are taken again.
        self.pump_all();
    }

    /// Loads something, of which the stream to replicas says nothing. Those of a primary go on if it is the `same` as before; else they take a
    /// copy of it.
    fn unseen_by_replicas<R>(
        &self,
        engine: &Arc<Engine>,
        same: bool,
        load: impl FnOnce() -> Result<R, String>,
    ) -> Result<R, String> {
        let fed = self.fed.load(Relaxed);
        if fed {
            self.want_pieces(false, || ())?;
        }
        let loaded = load();
        if fed {
            self.want_pieces(true, || ())?;
            if let Some(replication) = engine.replication().filter(|_| !same || loaded.is_err()) {
                replication.rename_stream();
            }
        }
        loaded
    }

    /// DEBUG RELOAD.
    pub(crate) fn reload_snapshot(&self, how: Reload) -> Result<(), String> {
        let engine = self.engine()?;
        let _reloading = self.reloading.lock();
        if how.save {
            // What is done behind this moment would be gone with what is loaded.
            engine.loading.begin();
            settle(&engine);
            self.save_now().inspect_err(|_| engine.loading.end())?;
        }
        let closed = self.close_to_all(&engine);
        // Until what is loaded is its base, the log holds what there was before.
        let logs = self.leave_log(&engine)?;
        let twice = match how.merge {
            true => Twice::Replace,
            false => Twice::Refuse,
        };
        let path = self.rdb_path(&engine);
        let same = how.save && how.flush;
        let read = self.unseen_by_replicas(&engine, same, || {
            if how.flush {
                empty(&engine)?;
            }
            let read = load::snapshot(&engine, &self.disk, &path, twice)?;
            read.ok_or_else(|| format!("{}: there is no such file", path.display()))
        })?;
        *self.loaded.lock() = read;
        if logs {
            let begun = self.begin_log_anew(&engine)?;
            self.rewrite_now(&engine, Some(begun))?;
            self.agree_with_log();
        }
        drop(closed);
        self.heed_log(engine.config().flag("appendonly"))?;
        tracing::info!("The data set is reloaded from {}", path.display());
        Ok(())
    }

    /// DEBUG LOADAOF.
    pub(crate) fn reload_log(&self) -> Result<(), String> {
        let engine = self.engine()?;
        let config = engine.config();
        let _reloading = self.reloading.lock();
        self.take_folder()?;
        let closed = self.close_to_all(&engine);
        let logs = self.leave_log(&engine)?;
        let (folder, (read, summary)) = self.unseen_by_replicas(&engine, false, || {
            empty(&engine)?;
            let folder = self.log_folder()?;
            if folder.manifest().is_empty() {
                return Err(format!("{}: there is no log", folder.folder().display()));
            }
            let read = self.read_log(&engine, &folder)?;
            Ok((folder, read))
        })?;
        *self.loaded.lock() = read;
        if logs {
            self.begin_log(&engine, folder, &summary, true)?;
            self.agree_with_log();
        }
        drop(closed);
        self.heed_log(config.flag("appendonly"))?;
        tracing::info!("The data set is reloaded from the log");
        Ok(())
    }
}

/// A copy of another server's data set, as it comes.
pub trait Copy: BufRead + Send {
    /// Behind the RDB: whether the copy ends there as it should.
    ///
    /// # Errors
    /// It does not.
    fn finish(&mut self) -> io::Result<()>;

    /// Called from time to time while it is not read from: whoever sends it may have to be told that it is still wanted.
    ///
    /// # Errors
    /// It is not to be had any more.
    fn wait(&mut self) -> io::Result<()>;
}

/// How a copy takes the place of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// It goes to a file first, and nothing is removed before it is known that it can be loaded.
    ThroughFile,
    /// It is built beside the data set, which is served meanwhile, and the two change places at one moment.
    Beside,
    /// The same where there is nothing yet that could be lost or would take memory twice; it goes to the file of the snapshot too.
    BesideAndFile,
    /// What there is is removed first.
    FlushFirst,
}

/// What was read is written to a file too.
struct Tee<'t> {
    from: &'t mut dyn Copy,
    to: &'t mut AtomicFile,
    read: &'t (dyn Fn(u64) + Sync),
    failed: Option<io::Error>,
}

impl Read for Tee<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(into.len());
        into[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Tee<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.failed.take() {
            Some(failed) => Err(failed),
            None => self.from.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        // What was filled is there: nothing is read for it.
        let written = self
            .from
            .fill_buf()
            .and_then(|b| self.to.write_all(&b[..n.min(b.len())]));
        self.failed = written.err();
        self.from.consume(n);
        (self.read)(n as u64);
    }
}

/// Reads a copy that goes to a file as well, to its end.
fn read_into(
    engine: &Arc<Engine>,
    copy: &mut dyn Copy,
    file: &mut AtomicFile,
    read: &(dyn Fn(u64) + Sync),
    how: How<'_>,
) -> Result<load::Loaded, String> {
    let mut tee = Tee {
        from: &mut *copy,
        to: file,
        read,
        failed: None,
    };
    let loaded = load::read_rdb(engine, &mut tee, how)?;
    if let Some(failed) = tee.failed {
        return Err(format!("{}: {failed}", file.path().display()));
    }
    copy.finish().map_err(|e| e.to_string())?;
    Ok(loaded)
}

/// A file that is read while a copy's sender waits.
struct Waited<'w, R> {
    file: R,
    copy: &'w mut dyn Copy,
}

impl<R: BufRead> Read for Waited<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.copy.wait()?;
        self.file.read(into)
    }
}

impl<R: BufRead> BufRead for Waited<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.copy.wait()?;
        self.file.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.file.consume(n);
    }
}

impl Keeper {
    /// Has a copy of another server's data set take the place of this one's. `total` are its bytes, if that is known; `read` is
    /// told how many more have come. `done` is called when the data set is another one and before anybody sees it: with what the file
    /// says of replication, or with None if there is nothing now, because the copy could not be loaded when what there was had been
    /// removed.
    ///
    /// # Errors
    /// What is wrong with it. Everything is as it was then, unless `done` was called.
    pub fn take_copy(
        &self,
        how: Replace,
        total: Option<u64>,
        copy: &mut dyn Copy,
        read: &(dyn Fn(u64) + Sync),
        done: &mut dyn FnMut(Option<&StreamPlace>),
    ) -> Result<(), String> {
        let engine = self.engine()?;
        let plan = |to| How {
            total,
            twice: Twice::Refuse,
            keep_expired: true,
            to,
        };
        match how {
            Replace::ThroughFile => {
                let incremental = engine.config().flag("rdb-save-incremental-fsync");
                let mut file = self.file_for_copy(SyncPlan::incremental(incremental))?;
                let temp = file.path().to_owned();
                read_into(&engine, copy, &mut file, read, plan(To::Nowhere))?;
                file.sync()
                    .map_err(|e| format!("{}: {e}", temp.display()))?;
                let in_file = |e: &dyn std::fmt::Display| format!("{}: {e}", temp.display());
                // Before anything is removed: it may fail.
                let size = self.disk.size(&temp).map_err(|e| in_file(&e))?;
                let written = self.disk.open(&temp).map_err(|e| in_file(&e))?;
                let closed = self.close_to_all(&engine);
                let logs = self.leave_log_for_copy(&engine)?;
                engine.loading.expect(size.unwrap_or(0));
                let loaded = empty(&engine).and_then(|()| {
                    let mut counted = Counted {
                        inner: Waited {
                            file: load::buffered(written),
                            copy,
                        },
                        loading: &engine.loading,
                    };
                    let how = How {
                        total: size,
                        ..plan(To::DataSet)
                    };
                    load::read_rdb(&engine, &mut counted, how).map_err(|e| in_file(&e))
                });
                // It is a snapshot like any other, and the data set's. Before a newer one can be written.
                if loaded.is_ok()
                    && let Err(why) = file.commit(&self.rdb_path(&engine))
                {
                    tracing::warn!("The copy of the data set is not kept in a file: {why}");
                }
                self.settle(closed, &engine, logs, loaded, done)
            }
            Replace::Beside => {
                let twin = engine.keyspace().twin();
                let beside = LoadingBeside::begin(&engine, total);
                let mut counted = Counted {
                    inner: CountedCopy { copy, read },
                    loading: &engine.loading,
                };
                let loaded = load::read_rdb(&engine, &mut counted, plan(To::Beside(&twin)))?;
                copy.finish().map_err(|e| e.to_string())?;
                let closed = self.claim_for_loading(&engine);
                let logs = self.leave_log_for_copy(&engine)?;
                let result = self.exchange(&engine, twin, loaded);
                drop(beside);
                self.reopen(closed, &engine, logs, result, done)
            }
            Replace::BesideAndFile => {
                let twin = engine.keyspace().twin();
                // It is synced while the copy is served already.
                let mut file = self.file_for_copy(SyncPlan::incremental(false))?;
                let loaded = read_into(&engine, copy, &mut file, read, plan(To::Beside(&twin)))?;
                let mut closed = self.claim_for_loading(&engine);
                let logs = self.leave_log_for_copy(&engine)?;
                let result = self.exchange(&engine, twin, loaded);
                if let Ok(loaded) = &result {
                    // First: once the file is kept another may be written, which is to say where the stream is now.
                    done(Some(&loaded.stream));
                    self.keep_file(&mut closed, &engine, file);
                }
                self.reopen(closed, &engine, logs, result, &mut |_| ())
            }
            Replace::FlushFirst => {
                let closed = self.close_to_all(&engine);
                let logs = self.leave_log_for_copy(&engine)?;
                engine.loading.expect(total.unwrap_or(0));
                let loaded = empty(&engine).and_then(|()| {
                    let mut counted = Counted {
                        inner: CountedCopy { copy, read },
                        loading: &engine.loading,
                    };
                    let loaded = load::read_rdb(&engine, &mut counted, plan(To::DataSet))?;
                    copy.finish().map_err(|e| e.to_string())?;
                    Ok(loaded)
                });
                self.settle(closed, &engine, logs, loaded, done)
            }
        }
    }

    /// A file for a copy that comes.
    fn file_for_copy(&self, plan: SyncPlan) -> Result<AtomicFile, String> {
        let name = AtomicFile::temp_name("rdb");
        let temp = self.dir.join(format!("sync-{name}"));
        AtomicFile::create(&self.disk, &temp, plan).map_err(|e| format!("{}: {e}", temp.display()))
    }

    /// Puts what was built beside the data set in its place. That stays open: with all locks held it is another one from one moment to
    /// the next. If it fails, everything is as it was.
    fn exchange(
        &self,
        engine: &Arc<Engine>,
        twin: Keyspace,
        mut loaded: load::Loaded,
    ) -> Result<load::Loaded, String> {
        // First: only this may fail.
        load::replace_functions(engine, &std::mem::take(&mut loaded.functions))?;
        let counters = self.counters.get_or_init(|| engine.add_counters());
        engine.exchange_data_set(twin, counters);
        Ok(loaded)
    }

    /// Has a file that holds the data set be its snapshot, on a thread of its own. No newer one is written before it is.
    fn keep_file(&self, closed: &mut Closed<'_>, engine: &Engine, mut file: AtomicFile) {
        let Some(me) = self.me.upgrade() else { return };
        let path = self.rdb_path(engine);
        self.saving.lock().busy = Some(Busy::Save);
        closed.claims = false;
        let kept = std::thread::Builder::new()
            .name("save".into())
            .spawn(move || {
                let kept = file.sync().map_err(|e| e.to_string());
                let kept = kept.and_then(|()| file.commit(&path).map_err(|e| e.to_string()));
                if let Err(why) = kept {
                    tracing::warn!("The copy of the data set is not kept in a file: {why}");
                }
                me.note_end();
            });
        if let Err(why) = kept {
            tracing::warn!("The copy of the data set is not kept in a file: {why}");
            self.note_end();
        }
    }

    /// A copy was loaded where the data set was: it is in place, or there is nothing, or half of it because the server stops.
    fn settle(
        &self,
        closed: Closed<'_>,
        engine: &Arc<Engine>,
        logs: bool,
        loaded: Result<load::Loaded, String>,
        done: &mut dyn FnMut(Option<&StreamPlace>),
    ) -> Result<(), String> {
        if engine.loading.is_stopped() {
            // Half a data set is nobody's: it goes on to be loading, so that nothing saves it.
            std::mem::forget(closed);
            return Err(load::GIVEN_UP.into());
        }
        if loaded.is_err() {
            done(None);
            empty(engine).inspect_err(|_| self.unlike_the_log.store(logs, Relaxed))?;
        }
        self.reopen(closed, engine, logs, loaded, done)
    }

    /// A copy is in place, or is not: opens the data set again, and has the log begin anew with it.
    fn reopen(
        &self,
        mut closed: Closed<'_>,
        engine: &Arc<Engine>,
        logs: bool,
        loaded: Result<load::Loaded, String>,
        done: &mut dyn FnMut(Option<&StreamPlace>),
    ) -> Result<(), String> {
        if let Ok(loaded) = &loaded {
            done(Some(&loaded.stream));
            *self.loaded.lock() = loaded.clone();
        }
        if logs {
            // Its base is written once others may go on, and until it is there nothing of all this is on the disk.
            {
                let mut saving = self.saving.lock();
                saving.busy = Some(Busy::Rewrite);
                self.beginning.store(true, Relaxed);
            }
            match self.begin_log_anew(engine) {
                Ok(begun) => {
                    self.agree_with_log();
                    closed.claims = false;
                    if let Err(why) = self.spawn(Busy::Rewrite, Some(begun)) {
                        tracing::warn!("The log is not written anew: {why}");
                    }
                }
                // It is still to begin, and tried again ([`Keeper::begin_late`]).
                Err(why) => tracing::warn!("The log does not begin anew yet: {why}"),
            }
        }
        drop(closed);
        if let Err(why) = self.heed_log(engine.config().flag("appendonly")) {
            tracing::warn!("appendonly: {why}");
        }
        loaded.map(drop)
    }
}

/// A copy whose bytes are counted.
struct CountedCopy<'c> {
    copy: &'c mut dyn Copy,
    read: &'c (dyn Fn(u64) + Sync),
}

impl Read for CountedCopy<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.copy.read(into)?;
        (self.read)(n as u64);
        Ok(n)
    }
}

impl BufRead for CountedCopy<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.copy.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.copy.consume(n);
        (self.read)(n as u64);
    }
}

/// Removes all keys and functions.
fn empty(engine: &Arc<Engine>) -> Result<(), String> {
    load::execute(engine, &[b"FLUSHALL", b"SYNC"])?;
    load::execute(engine, &[b"FUNCTION", b"FLUSH", b"SYNC"])
}

/// A data set is being loaded beside the one that is served, until this goes.
struct LoadingBeside<'e>(&'e Engine);

impl LoadingBeside<'_> {
    fn begin(engine: &Engine, total: Option<u64>) -> LoadingBeside<'_> {
        engine.loading.beside(true);
        engine.loading.expect(total.unwrap_or(0));
        LoadingBeside(engine)
    }
}

impl Drop for LoadingBeside<'_> {
    fn drop(&mut self) {
        self.0.loading.beside(false);
    }
}

/// Nothing else is written until this goes, and if the data set was closed, it is open then.
struct Closed<'e> {
    keeper: &'e Keeper,
    engine: &'e Engine,
    /// Somebody else has taken over to write something.
    claims: bool,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.engine.loading.end();
        if self.claims {
            self.keeper.note_end();
        }
    }
}
