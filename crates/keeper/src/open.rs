//! Opening a data folder, keeping what is in it, and closing it again.

use crate::keeper::{Keeper, WORKING_FOLDER};
use crate::load::{self, Loaded};
use crate::saving::{Busy, Stats, changes};
use disk::{AofFolder, Disk, RealDisk};
use engine::{Engine, OnFate, Persistence, Reload};
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How often the clock is looked at: for save points, and whether a log has grown too large.
const TICK: Duration = Duration::from_millis(100);
/// After so many of these without a change, memory that would be used for the next ones is let go of.
const IDLE_TICKS: u32 = 100;
/// How long changes gather before the log gets them, while no reply waits for it.
const NAP: Duration = Duration::from_millis(5);
/// The same while there are replicas, behind changes of which none had come for as long.
const FED_NAP: Duration = Duration::from_micros(200);
/// The same while changes come without a pause: what replicas get at once costs about as much for little as for much, since two threads are
/// woken for it and each socket is written to.
const BUSY_FED_NAP: Duration = Duration::from_millis(1);

impl Keeper {
    /// Loads what the data folder of an engine holds (`dir`, `dbfilename`, `appenddirname` ...), and keeps the engine's data from
    /// then on. To be called once, before the engine has clients.
    ///
    /// # Errors
    /// One line that says what is wrong, where: the folder is used by another process, a file is damaged or newer than what is
    /// understood, the disk fails. The engine may hold part of the data then, and is to be dropped.
    pub fn open(engine: &Arc<Engine>) -> Result<Arc<Keeper>, String> {
        Keeper::open_on(engine, RealDisk::shared(), Path::new(WORKING_FOLDER))
    }

    /// The same in another folder, which is made if there is none.
    pub fn open_in(engine: &Arc<Engine>, dir: &Path) -> Result<Arc<Keeper>, String> {
        let disk = RealDisk::shared();
        let in_folder = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AlreadyExists => format!("{} is not a folder", dir.display()),
            _ => format!("{}: {e}", dir.display()),
        };
        if !disk.is_folder(dir).map_err(in_folder)? {
            disk.create_folder(dir).map_err(in_folder)?;
        }
        Keeper::open_on(engine, disk, dir)
    }

    /// The same with another disk or folder.
    pub fn open_on(
        engine: &Arc<Engine>,
        disk: Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<Arc<Keeper>, String> {
        let keeper = Keeper::prepare_on(engine, disk, dir)?;
        keeper.load()?;
        Ok(keeper)
    }

    /// Takes the data folder, and has the engine [loading](engine::Loading): clients may come now and are told so, until
    /// [`Keeper::load`] has returned.
    ///
    /// # Errors
    /// The folder is used by another process, or the disk fails.
    pub fn prepare(engine: &Arc<Engine>) -> Result<Arc<Keeper>, String> {
        Keeper::prepare_on(engine, RealDisk::shared(), Path::new(WORKING_FOLDER))
    }

    /// The same with another disk or folder.
    pub(crate) fn prepare_on(
        engine: &Arc<Engine>,
        disk: Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<Arc<Keeper>, String> {
        let config = engine.config();
        let mut lock = None;
        if config.flag("appendonly") || !config.text("save").is_empty() {
            lock = Some(disk::lock_folder(
                &*disk,
                dir,
                &config.text("appenddirname"),
            )?);
            // What a process that ended in the middle of it left behind.
            let _ = disk::temp::remove_leftovers(&*disk, dir, "rdb");
        }
        let keeper = Arc::new_cyclic(|me| Keeper {
            engine: Arc::downgrade(engine),
            me: me.clone(),
            disk,
            dir: dir.to_owned(),
            lock: Mutex::new(lock),
            log: RwLock::new(None),
            pump: Mutex::default(),
            feed: RwLock::default(),
            fed: AtomicBool::new(false),
            promises: AtomicBool::new(false),
            beginning: AtomicBool::new(false),
            saving: Mutex::default(),
            freed: Arc::default(),
            stats: Mutex::new(Stats::new(engine)),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
            loaded: Mutex::default(),
            waiting: Mutex::default(),
            asked: Arc::default(),
            unlike_the_log: AtomicBool::new(false),
            reloading: Mutex::new(()),
            counters: OnceLock::new(),
        });
        engine.loading.begin();
        engine.keep_by(keeper.clone());
        Ok(keeper)
    }

    /// A keeper of data that are kept in no files: the engine's configuration has neither a log nor save points. What replicas and
    /// primaries ask of a keeper it does.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn in_memory(engine: &Arc<Engine>) -> Result<Arc<Keeper>, String> {
        let keeper = Keeper::prepare(engine)?;
        keeper.begin()?;
        engine.loading.end();
        Ok(keeper)
    }

    fn begin(&self) -> Result<(), String> {
        let for_thread = self.me.clone();
        let thread = std::thread::Builder::new()
            .name("keeper".into())
            .spawn(move || run(&for_thread))
            .map_err(|e| format!("no thread to keep the data: {e}"))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Loads what the folder holds, and keeps the data from then on. Once, after [`Keeper::prepare`].
    ///
    /// # Errors
    /// As of [`Keeper::open`]; the engine goes on to be loading then.
    pub fn load(&self) -> Result<(), String> {
        let engine = self.engine()?;
        let config = engine.config();
        let began = Instant::now();
        let mut loaded = Loaded::default();
        let mut from = None;
        let mut opened = None;
        if config.flag("appendonly") {
            self.take_folder()?;
            let folder = self.log_folder()?;
            let has_log = !folder.manifest().is_empty();
            let summary = if has_log {
                let (read, summary) = self.read_log(&engine, &folder)?;
                loaded = read;
                if loaded.stream.id.is_empty() {
                    // Another server's, which says no more of the stream than this.
                    loaded.stream.offset = folder.stream_offset().unwrap_or(0);
                }
                from = Some(folder.folder().display().to_string());
                summary
            } else {
                disk::reader::Summary::default()
            };
            opened = Some((folder, summary, has_log));
        }
        let rdb = self.rdb_path(&engine);
        if opened.as_ref().is_none_or(|(_, _, has_log)| !has_log)
            && let Some(read) = load::snapshot(&engine, &self.disk, &rdb, load::Twice::Refuse)?
        {
            loaded = read;
            from = Some(rdb.display().to_string());
        }
        if engine.loading.is_stopped() {
            return Err(load::GIVEN_UP.into());
        }
        if let Some(from) = from {
            tracing::info!(
                "Loaded {} keys and {} commands from {from} in {:.3} seconds; {} keys had expired",
                loaded.keys,
                loaded.commands,
                began.elapsed().as_secs_f64(),
                loaded.expired
            );
        }
        *self.loaded.lock() = loaded;
        *self.stats.lock() = Stats::new(&engine);
        if let Some((folder, summary, has_log)) = opened {
            self.begin_log(&engine, folder, &summary, has_log)?;
        }
        self.begin()?;
        self.tell_loaded();
        engine.loading.end();
        // It may have been changed meanwhile.
        self.heed_log(config.flag("appendonly"))
    }

    /// Carries out what a log holds, and cuts its end off if that is torn.
    pub(crate) fn read_log(
        &self,
        engine: &Arc<Engine>,
        folder: &AofFolder,
    ) -> Result<(Loaded, disk::reader::Summary), String> {
        let config = engine.config();
        let options = disk::ReadOptions {
            load_truncated: config.flag("aof-load-truncated"),
            corrupt_tail_max: config.number("aof-load-corrupt-tail-max-size") as u64,
        };
        let (read, summary) = load::log(engine, folder, options)?;
        if let Some(cut) = &summary.cut {
            tracing::warn!("The log's end is cut off: {cut}");
            cut.apply(&self.disk).map_err(|e| e.to_string())?;
        }
        Ok((read, summary))
    }

    /// Ends the keeping: what was changed is in the log, and in a snapshot if `save`. To be called when nobody changes anything
    /// any more.
    pub fn close(&self, save: bool) -> Result<(), String> {
        self.stop.store(true, Relaxed);
        if self.engine.upgrade().is_some_and(|e| e.loading.is_on()) {
            // Half a data set does not take the place of the whole one.
            return Ok(());
        }
        if let Some(engine) = self.engine.upgrade() {
            engine.journal.ring();
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
        let mut result = self.finish_beginning();
        self.give_up_running();
        let stream = self.stream_at(&self.pump.lock());
        let changed = self.engine.upgrade().is_some_and(|e| {
            let stats = self.stats.lock();
            // Signs of life move the stream too, and who has got them goes on only where that is known.
            changes(&e) != stats.changes_at_last_save
                || stream.is_some() && stream != stats.stream_at_last_save
        });
        if save && (changed || !self.is_saved()) {
            result = result.and(self.save_now());
        }
        self.pump_all();
        self.between_units(|| self.note_stream());
        let log = self.log.write().take();
        if let Some(log) = log {
            result = result.and(log.close());
        }
        if let Some(engine) = self.engine.upgrade() {
            engine.journal.log_has_got_to(0);
            // Whoever still has the engine does not change what is not kept any more.
            engine.journal.refuse(true);
        }
        if let Err(why) = &result {
            tracing::warn!("Not everything is on the disk: {why}");
        }
        result
    }

    /// Whether a stop without further words writes a snapshot: there are save points.
    pub fn saves_at_the_end(&self) -> bool {
        self.engine
            .upgrade()
            .is_some_and(|engine| !engine.config().text("save").is_empty())
    }

    /// Whether there is a snapshot.
    fn is_saved(&self) -> bool {
        let engine = self.engine.upgrade();
        engine.is_some_and(|engine| matches!(self.disk.size(&self.rdb_path(&engine)), Ok(Some(_))))
    }
}

fn run(keeper: &Weak<Keeper>) {
    let mut ticked = Instant::now();
    let (mut cuts, mut fed_nap, mut idle) = (0, FED_NAP, 0u32);
    loop {
        let Some(this) = keeper.upgrade() else { return };
        let Ok(engine) = this.engine() else { return };
        if this.stop.load(Relaxed) {
            return;
        }
        this.pump_all();
        this.tell_fates();
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            this.tick(&engine);
        }
        // Somebody waits for what is being done, who does not see to it himself as those do who are promised that it is kept.
        let hurries = this.asked.load(Relaxed);
        let fed = this.fed.load(Relaxed);
        engine::wait_for_turn(!hurries && !fed && !this.promises.load(Relaxed));
        // Held only while there is something to do, so that whoever drops them last is not this thread.
        let journal = engine.clone();
        drop((this, engine));
        let journal = &journal.journal;
        let before = std::mem::replace(&mut cuts, journal.last_piece());
        idle = if before == cuts {
            idle.saturating_add(1)
        } else {
            0
        };
        if idle == IDLE_TICKS {
            journal.let_go();
        }
        if before == cuts || hurries {
            journal.sleep(TICK);
            fed_nap = FED_NAP;
        } else {
            // More will come soon, and whoever adds it wakes nobody, which would cost it more than what it adds.
            fed_nap = (fed_nap * 2).min(BUSY_FED_NAP);
        }
        if !hurries {
            journal.nap(if fed { fed_nap } else { NAP });
        }
    }
}

impl Persistence for Keeper {
    fn save(&self) -> Result<(), String> {
        self.save_now()
    }

    fn save_before_stop(&self) -> Result<(), String> {
        Keeper::save_before_stop(self)
    }

    fn save_in_background(&self, schedule: bool) -> Result<&'static str, String> {
        self.begin_save(schedule)
    }

    fn cancel_save(&self) -> Result<&'static str, String> {
        self.cancel()
    }

    fn rewrite(&self) -> Result<&'static str, String> {
        self.begin_rewrite()
    }

    fn reload(&self, how: Reload) -> Result<(), String> {
        self.reload_snapshot(how)
    }

    fn load_log(&self) -> Result<(), String> {
        self.reload_log()
    }

    fn last_save_s(&self) -> u64 {
        self.stats.lock().last_save_s
    }

    fn commit(&self) {
        self.pump_all();
    }

    fn poll_durable(&self, piece: u64, waker: &Waker) -> Poll<Result<(), String>> {
        self.poll_piece(piece, waker)
    }

    fn has_log(&self) -> bool {
        self.log_is_on()
    }

    fn is_on_disk(&self, piece: u64) -> bool {
        self.fate_of(piece) == Some(true)
    }

    fn when_on_disk(&self, piece: u64, tell: OnFate) {
        Keeper::when_on_disk(self, piece, tell);
    }

    fn sync(&self, piece: u64) -> Result<(), String> {
        self.sync_piece(piece)
    }

    fn rewrite_now(&self) -> Result<(), String> {
        self.rewrite_here()
    }

    fn promises(&self) -> bool {
        self.promises.load(Relaxed)
    }

    fn data_set_replaced(&self) {
        self.saving.lock().begin_again();
    }

    fn all_flushed(&self) -> bool {
        {
            let mut saving = self.saving.lock();
            match saving.busy {
                Some(Busy::Save) if !saving.awaited => saving.give_up(),
                // Replicas get what there was, and that it was flushed.
                Some(Busy::Send) | None => {}
                Some(Busy::Save | Busy::Rewrite | Busy::Load) => saving.begin_again(),
            }
        }
        self.saves_at_the_end()
    }

    fn save_flushed(&self, later: bool) {
        self.save_what_is_left(later);
    }

    fn move_to(&self, folder: &Path, enter: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
        Keeper::move_to(self, folder, enter)
    }

    fn applied(&self, directive: &str, config: &engine::Config) -> Result<(), String> {
        self.heed(directive, config)
    }

    fn info(&self, into: &mut String) {
        self.write_info(into);
    }
}
