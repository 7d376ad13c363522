//! From the journal to the log.

use crate::commands::AsCommands;
use crate::feed::StreamAt;
use crate::keeper::Keeper;
use crate::pump::Pump;
use crate::snapshot::Snapshot;
use disk::{AofFolder, Fsync, Log, Outcome, Rewrite, Settings};
use engine::{Config, Engine, OnFate};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};

/// Numbers kept.
const NUMBERS: usize = 1 << 14;

/// A rewrite of the log that has begun: what is to be written into its base.
pub(crate) struct Begun {
    pub(crate) snapshot: Snapshot,
    rewrite: Rewrite,
    stream: Option<StreamAt>,
    /// The last piece that is in the snapshot.
    last: u64,
    /// The log is to hold this base and nothing else: it is off.
    alone: Option<Arc<Log>>,
}

pub(crate) fn fsync(config: &Config) -> Fsync {
    match &*config.text("appendfsync") {
        "always" => Fsync::Always,
        "no" => Fsync::No,
        _ => Fsync::EverySecond,
    }
}

impl Keeper {
    /// Goes on with a log that was loaded, or begins one that has no files with what the engine holds.
    pub(crate) fn begin_log(
        &self,
        engine: &Arc<Engine>,
        folder: AofFolder,
        summary: &disk::reader::Summary,
        has_log: bool,
    ) -> Result<(), String> {
        let config = engine.config();
        let log =
            Log::resume(folder, summary, self.log_settings(config)).map_err(|e| e.to_string())?;
        *self.log.write() = Some(Arc::new(log));
        let sound = self.log().is_some_and(|log| log.refusing().is_none());
        if has_log && sound {
            let ks = engine.keyspace();
            let _all = ks.lock_all();
            engine.journal.turn(true);
        } else {
            self.rewrite_now(engine, None)?;
        }
        self.heed_fsync(config);
        Ok(())
    }

    pub(crate) fn log_settings(&self, config: &Config) -> Settings {
        Settings {
            fsync: fsync(config),
            timestamps: config.flag("aof-timestamp-enabled"),
            room: None,
            keep_history: config.flag("aof-disable-auto-gc"),
            offset: Some(self.stream_offset()),
            on_progress: Some(self.on_progress()),
            on_spent: Some(self.on_spent()),
            // Where replies wait for it, it comes first.
            on_fsync: Some(|fsync| engine::wait_for_turn(fsync != Fsync::Always)),
        }
    }

    pub(crate) fn heed_fsync(&self, config: &Config) {
        let on = self.log().is_some() && !self.beginning.load(Relaxed);
        self.promises
            .store(on && fsync(config) == Fsync::Always, Relaxed);
    }

    /// Gives the log what the journal has.
    pub(crate) fn pump_all(&self) {
        let Ok(engine) = self.engine() else { return };
        let fed = self.fed.load(Relaxed);
        let give = || {
            let mut pump = self.pump.lock();
            // Whoever has become a replica meanwhile carries out what this did not wait for.
            let settled = fed == self.fed.load(Relaxed);
            self.pump(&engine, &mut pump, settled);
        };
        match fed || self.log().is_none() {
            true => give(),
            false => self.between_units(give),
        }
    }

    /// Writes down in the log where the stream of changes is, if it has moved since. A primary's moves without a change too: signs
    /// of life do that. That of a replica stands beside its own journal: nothing of it may be carried out meanwhile.
    pub fn note_stream(&self) {
        let (Ok(engine), Some(log)) = (self.engine(), self.log()) else {
            return;
        };
        let mut pump = self.pump.lock();
        self.pump(&engine, &mut pump, true);
        let at = self.stream_at(&pump);
        if at.is_none() || at == pump.stream && pump.stream_is_last {
            return;
        }
        let mut line = Vec::new();
        pump.put_stream(at, &mut line);
        pump.stream_is_last = true;
        if log.append(line, engine::unix_ms() / 1000).is_err() {
            pump.begin_anew();
        }
    }

    /// Gives the log, and the stream, what the journal has. `settled`: nothing of a primary's stream is half carried out, so that the
    /// place in it that a replica says it is at is the one where its journal ends.
    pub(crate) fn pump(&self, engine: &Engine, pump: &mut Pump, settled: bool) {
        let log = self.log();
        let feed = self.feed();
        while let Some(spare) = log.as_ref().and_then(|log| log.take_spare()) {
            engine.journal.reuse(spare);
        }
        let note_queue = || {
            let waiting = || log.as_ref().map_or(0, |log| log.progress().waiting_bytes);
            let waiting = || usize::try_from(waiting()).unwrap_or(usize::MAX);
            engine.journal.log_has_grown(waiting);
        };
        note_queue();
        while let Some(mut piece) = engine.journal.cut(&mut pump.db) {
            pump.last = piece.number;
            if let Some(feed) = &feed {
                feed.piece(piece.number, &piece.for_replicas());
            }
            let Some(log) = &log else {
                engine.journal.reuse(piece.bytes);
                continue;
            };
            piece.keep_for_log();
            if piece.bytes.is_empty() {
                // Nothing but messages. Where the stream is now is written down with what comes next, or once a tick.
                pump.stream_is_last = false;
                engine.journal.reuse(piece.bytes);
                continue;
            }
            pump.stream_is_last = settled;
            if settled {
                pump.put_stream(self.stream_at(pump), &mut piece.bytes);
            }
            match log.append(piece.bytes, engine::unix_ms() / 1000) {
                Ok(number) => {
                    pump.numbers.push_back((piece.number, number));
                    if pump.numbers.len() > NUMBERS {
                        pump.numbers.pop_front();
                    }
                }
                Err(refused) => {
                    // The log says nothing of it, and what follows must not stand behind a gap.
                    pump.begin_anew();
                    pump.lost = Some((piece.number, refused.0));
                }
            }
            engine.journal.is_given();
            // Those who write may be faster than this.
            note_queue();
        }
        if engine.journal.queue.is_full() {
            // Not all was for the log.
            note_queue();
        }
        // Also while a fresh base is being written: until it is there, what is done stands in no file that a start would read.
        let refusing = log.is_some_and(|log| log.is_failing() || log.refusing().is_some());
        engine.journal.refuse(
            refusing && self.relies_on_log()
                || self.last_save_failed(engine)
                || self.unlike_the_log.load(Relaxed),
        );
    }

    /// When the log got further, wakes those whose changes wait for that, and the keeper's thread if somebody wants to be told.
    fn on_progress(&self) -> disk::log::OnProgress {
        let (engine, asked) = (self.engine.clone(), self.asked.clone());
        Box::new(move |progress| {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            let waiting = usize::try_from(progress.waiting_bytes).unwrap_or(usize::MAX);
            engine.journal.log_has_got_to(waiting);
            if asked.load(Relaxed) {
                engine.journal.ring();
            }
        })
    }

    /// Where the stream to replicas is, also while nobody follows and it is not counted.
    fn stream_offset(&self) -> disk::log::AskOffset {
        let engine = self.engine.clone();
        Box::new(move || {
            engine
                .upgrade()
                .map_or(0, |engine| engine.standing.offset())
        })
    }

    /// What LATENCY shows of the log's writes and syncs.
    fn on_spent(&self) -> disk::log::OnSpent {
        let engine = self.engine.clone();
        Box::new(move |spent| {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            for (event, time) in [("aof-write", spent.write), ("aof-fsync", spent.sync)] {
                engine.note_latency(event, time);
            }
        })
    }

    /// Whether a piece is on the disk, whatever the log promises. None: not yet.
    pub(crate) fn fate_of(&self, piece: u64) -> Option<bool> {
        if self.beginning.load(Relaxed) {
            return None;
        }
        if piece == 0 {
            return Some(true);
        }
        let number = {
            let pump = self.pump.lock();
            if piece > pump.last {
                return None;
            }
            let at = pump.numbers.partition_point(|(p, _)| *p < piece);
            let number = pump.numbers.get(at).copied();
            match (&pump.lost, number) {
                (Some((upto, _)), found)
                    if piece <= *upto && found.is_none_or(|(p, _)| p != piece) =>
                {
                    return Some(false);
                }
                (_, Some((_, number))) => number,
                (_, None) => return Some(true),
            }
        };
        let log = self.log()?;
        if log.progress().durable >= number {
            return Some(true);
        }
        log.refusing().is_some().then_some(false)
    }

    /// Tells those who wait for pieces what became of them.
    pub(crate) fn tell_fates(&self) {
        if !self.asked.load(Relaxed) {
            return;
        }
        let mut known = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            let mut at = 0;
            while at < waiting.len() {
                match self.fate_of(waiting[at].0) {
                    Some(kept) => known.push((waiting.swap_remove(at).1, kept)),
                    None => at += 1,
                }
            }
            self.asked.store(!waiting.is_empty(), Relaxed);
        }
        for (tell, kept) in known {
            tell(kept);
        }
    }

    pub(crate) fn when_on_disk(&self, piece: u64, tell: OnFate) {
        self.waiting.lock().push((piece, tell));
        self.asked.store(true, Relaxed);
        if let Ok(engine) = self.engine() {
            engine.journal.ring();
        }
    }

    /// Has a piece, and all before it, on the disk, whatever `appendfsync` says; 0: all that there is.
    pub(crate) fn sync_piece(&self, piece: u64) -> Result<(), String> {
        if self.beginning.load(Relaxed) {
            return Err(
                "the append-only file has only begun: its base is still to be written".into(),
            );
        }
        if piece != 0 && self.fate_of(piece) == Some(true) {
            return Ok(());
        }
        self.pump_all();
        let log = self.log().ok_or("the append-only file is off")?;
        log.sync()?;
        // Who was served asks for the piece behind what has been cut, and somebody else may have had that cut before.
        let piece = piece.min(self.pump.lock().last);
        match self.fate_of(piece) {
            Some(true) => Ok(()),
            _ => Err("what was changed is not on the disk; the log says why".into()),
        }
    }

    pub(crate) fn poll_piece(&self, piece: u64, waker: &Waker) -> Poll<Result<(), String>> {
        let mut pump = self.pump.lock();
        if piece > pump.last {
            match self.engine() {
                Ok(engine) => self.pump(&engine, &mut pump, self.fed.load(Relaxed)),
                Err(why) => return Poll::Ready(Err(why)),
            }
        }
        let cut = piece.min(pump.last);
        if let Some((upto, why)) = &pump.lost
            && cut <= *upto
            && !pump.numbers.iter().any(|(p, _)| *p == cut)
        {
            return Poll::Ready(Err(why.clone()));
        }
        // Who was served asks for the piece behind what has been cut. If there is none, somebody else has had that cut meanwhile, and it
        // is in the last one that the log was given, or before it.
        let number = match piece > pump.last {
            true => pump.numbers.back().map(|(_, number)| *number),
            false => pump.number_of(piece),
        };
        let Some(number) = number else {
            return Poll::Ready(Ok(()));
        };
        drop(pump);
        match self.log() {
            None => Poll::Ready(Ok(())),
            Some(log) => match log.poll(number, waker) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Outcome::Durable) => Poll::Ready(Ok(())),
                Poll::Ready(Outcome::Lost(why)) => Poll::Ready(Err(why)),
            },
        }
    }

    /// Writes the log anew with what the engine holds, and returns when it is done. `begun`: its moment is past.
    pub(crate) fn rewrite_now(
        &self,
        engine: &Arc<Engine>,
        mut begun: Option<Begun>,
    ) -> Result<(), String> {
        loop {
            let Begun {
                snapshot,
                rewrite,
                stream,
                last,
                alone,
            } = match begun.take() {
                Some(begun) => begun,
                None if self.log().is_none() && self.beginning.load(Relaxed) => {
                    self.begin_log_anew(engine)?
                }
                None if self.log().is_none() => self.begin_base_alone(engine)?,
                None => self.begin_base(engine, None)?,
            };
            // A log that refused pieces for want of a base takes them now. A replica's a little later: what carries out the stream of its
            // primary may be waiting, in the middle of a unit, for this snapshot to hold back less.
            if !engine.standing.is_replica() {
                self.pump_all();
            }
            let plan =
                disk::SyncPlan::incremental(engine.config().flag("aof-rewrite-incremental-fsync"));
            let base = match rewrite.base(plan) {
                Ok(base) => base,
                Err(error) => {
                    // Else who changes something would go on keeping old states for it.
                    snapshot.give_up(engine);
                    return Err(error.to_string());
                }
            };
            let written = if engine.config().flag("aof-use-rdb-preamble") {
                let written = self.write_snapshot(engine, snapshot, base, true, stream)?;
                written.map(|base| (base, false))
            } else {
                let stamps = engine.config().flag("aof-timestamp-enabled");
                let stamp = stamps.then(|| engine::unix_ms() / 1000);
                let base = AsCommands::new(base, engine.load_settings(), stamp);
                let written = self.write_snapshot(engine, snapshot, base, true, stream)?;
                let base = written.map(AsCommands::finish).transpose();
                let base = base.map_err(|e| format!("cannot write a snapshot: {e}"))?;
                base.map(|base| (base, true))
            };
            match written {
                Some((base, as_commands)) => {
                    rewrite.finish(base, as_commands)?;
                    match alone {
                        Some(log) => return log.close(),
                        None => self.pump.lock().found_again(last),
                    }
                    // A log that was failing takes changes again.
                    if !engine.standing.is_replica() {
                        self.pump_all();
                    }
                    return Ok(());
                }
                // The data set was replaced meanwhile: there is another one to write.
                None if !self.is_cancelled() => {
                    drop(rewrite);
                    // The log's thread has heard of that before it is asked to begin the next. What is wrong with the disk the next one finds.
                    if let Some(log) = self.log() {
                        let _ = log.sync();
                    }
                }
                None => return Err("given up".into()),
            }
        }
    }

    /// Takes the moment of a rewrite: what was done before it is in the snapshot and in the old increment, what comes later in the new
    /// one. With `new` it is that of a log that begins with it, and that nobody has seen before: so there is no time at which there
    /// is a log and it takes nothing.
    pub(crate) fn begin_base(
        &self,
        engine: &Arc<Engine>,
        new: Option<Arc<Log>>,
    ) -> Result<Begun, String> {
        let log = new.clone().or_else(|| self.log());
        let log = log.ok_or("the append-only file is off")?;
        let (snapshot, (rewrite, stream, last)) = self.between_units(|| {
            Snapshot::take(engine, self.options(engine, true), |shared| {
                self.note_running(shared.clone());
                let mut pump = self.pump.lock();
                self.pump(engine, &mut pump, true);
                pump.begin_anew();
                let rewrite = log.begin_rewrite();
                if new.is_some() && rewrite.is_ok() {
                    *self.log.write() = new;
                }
                engine
                    .journal
                    .turn(rewrite.is_ok() || engine.journal.is_on());
                (rewrite, self.stream_at(&pump), pump.last)
            })
        });
        match rewrite {
            Ok(rewrite) => Ok(Begun {
                snapshot,
                rewrite,
                stream,
                last,
                alone: None,
            }),
            Err(refused) => {
                snapshot.give_up(engine);
                Err(refused.0)
            }
        }
    }

    /// The same while the log is off: the next start with `appendonly yes` finds what there is now, as with real servers.
    fn begin_base_alone(&self, engine: &Arc<Engine>) -> Result<Begun, String> {
        let log = self.fresh_log(engine)?;
        let (snapshot, (rewrite, stream)) = self.between_units(|| {
            Snapshot::take(engine, self.options(engine, true), |shared| {
                self.note_running(shared.clone());
                let stream = self.settled_stream(engine);
                (log.begin_rewrite(), stream)
            })
        });
        match rewrite {
            Ok(rewrite) => Ok(Begun {
                snapshot,
                rewrite,
                stream,
                last: 0,
                alone: Some(log),
            }),
            Err(refused) => {
                snapshot.give_up(engine);
                Err(refused.0)
            }
        }
    }

    /// Ends the log with what has been done so far. Nothing may be being written.
    pub(crate) fn end_log(&self, engine: &Engine) -> Result<(), String> {
        self.promises.store(false, Relaxed);
        let log = {
            let _all = engine.keyspace().lock_all();
            let mut pump = self.pump.lock();
            self.pump(engine, &mut pump, self.fed.load(Relaxed));
            engine.journal.turn(self.fed.load(Relaxed));
            pump.begin_anew();
            self.log.write().take()
        };
        let closed = match log {
            Some(log) => log.close(),
            None => Ok(()),
        };
        engine.journal.log_has_got_to(0);
        // The numbers of the next log are others.
        let mut pump = self.pump.lock();
        pump.numbers.clear();
        if let Err(why) = &closed {
            pump.lost = Some((pump.last, why.clone()));
        }
        closed
    }

    /// A log that begins anew. It takes nothing before its first rewrite.
    fn fresh_log(&self, engine: &Engine) -> Result<Arc<Log>, String> {
        self.take_folder()?;
        let folder = self.log_folder()?;
        let settings = self.log_settings(engine.config());
        let log = Log::fresh(folder, 0, settings).map_err(|e| e.to_string())?;
        Ok(Arc::new(log))
    }

    /// Begins the log anew with what the engine holds now; its base is still to be written ([`Keeper::rewrite_now`]), by whoever has
    /// claimed that.
    pub(crate) fn begin_log_anew(&self, engine: &Arc<Engine>) -> Result<Begun, String> {
        let begun = self.begin_base(engine, Some(self.fresh_log(engine)?))?;
        self.heed_fsync(engine.config());
        Ok(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::faulty::FaultyDisk;
    use engine::{NoHost, Persistence};
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    /// Too much waits just when the log ends, and its disk has no further progress to tell of.
    #[test]
    fn a_log_that_ends_holds_nobody_up() {
        for closes in [false, true] {
            let (disk, mut config) = (FaultyDisk::new(), Config::default());
            config
                .directive("appendonly", &["yes"])
                .expect("a directive");
            let engine = Engine::new(config, Arc::new(NoHost));
            let keeper = Keeper::open_on(&engine, Arc::new(disk.clone()), Path::new("/d"));
            let keeper = keeper.expect("an empty disk");
            keeper.sync(0).expect("a sync");
            // Its thread would see to it too, but only later, and not behind its own end.
            keeper.stop.store(true, Relaxed);
            engine.journal.ring();
            let thread = keeper.thread.lock().take().expect("it runs");
            thread.join().expect("no panic");
            let was_full = Arc::new(AtomicBool::new(false));
            disk.script({
                let (engine, was_full) = (Arc::downgrade(&engine), was_full.clone());
                move |_, _| {
                    if let Some(engine) = engine.upgrade() {
                        engine.journal.log_has_grown(|| usize::MAX);
                        was_full.store(engine.journal.queue.is_full(), Relaxed);
                    }
                    None
                }
            });
            let ended = match closes {
                true => keeper.close(false),
                false => keeper.end_log(&engine),
            };
            assert_eq!(ended, Ok(()), "closes: {closes}");
            assert!(was_full.load(Relaxed), "closes: {closes}");
            assert!(!engine.journal.queue.is_full(), "closes: {closes}");
        }
    }
}
