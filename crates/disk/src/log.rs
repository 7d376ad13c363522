//! The log that is written: pieces in, numbers out, and a thread that keeps the promises.
//!
//! [`Log::append`] queues a piece and gives it a number; nothing waits there. The thread writes whatever has come since it last
//! looked with one call, syncs it if the setting says so, and publishes how far everything is durable: so one sync serves all
//! who came during the one before. Who has promised something waits with [`Log::wait`], or leaves a waker with [`Log::poll`].
//!
//! Once a write or a sync failed, pieces are refused ([`Refused`]), those not durable yet are [`Outcome::Lost`], and only a
//! rewrite that is begun after that brings the log back (see [`State`]). A rewrite:
//!
//! 1. [`Log::begin_rewrite`] at a cut: pieces appended before belong to the old files, those after it to a new increment;
//! 2. the caller writes the state at that very cut into [`Rewrite::base`];
//! 3. [`Rewrite::finish`] makes it part of the log, or dropping it gives up. The old files count until then.

use crate::disk::Disk;
use crate::error::LogError;
use crate::folder::AofFolder;
use crate::guarded::Handoff;
pub use crate::guarded::{Outcome, Progress, Refused};
use crate::reader::Summary;
use crate::temp::{AtomicFile, SyncPlan};
pub use crate::writer::{Fsync, Spent, Trust as State};
use crate::writer::{Piece, Writer};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

/// Called by the log's thread whenever it got further or failed. It must not wait for the log.
pub type OnProgress = Box<dyn Fn(&Progress) + Send>;

/// Told by the log's thread how long its longest write and its longest sync of a round took. It must not wait for the log.
pub type OnSpent = Box<dyn Fn(Spent) + Send>;

/// Asked where the stream to replicas is. It must not wait for the log.
pub type AskOffset = Box<dyn Fn() -> u64 + Send + Sync>;

/// How a log is written.
#[derive(Default)]
pub struct Settings {
    /// `appendfsync`
    pub fsync: Fsync,
    /// `aof-timestamp-enabled`: a line with the time in front of the first piece of each second.
    pub timestamps: bool,
    /// Bytes of room that are laid out at a time for pieces that are synced with [`Fsync::Always`]; None: a megabyte.
    pub room: Option<u64>,
    /// Told how far the log is.
    pub on_progress: Option<OnProgress>,
    /// Told what the disk took.
    pub on_spent: Option<OnSpent>,
    /// Files that a rewrite has replaced stay (`aof-disable-auto-gc`).
    pub keep_history: bool,
    /// Says where the stream to replicas is, which the list of files tells of increments.
    pub offset: Option<AskOffset>,
    /// Told by the log's own thread when pieces are synced, first of all and when that changes.
    pub on_fsync: Option<fn(Fsync)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("fsync", &self.fsync)
            .field("timestamps", &self.timestamps)
            .finish_non_exhaustive()
    }
}

/// What INFO tells of a log.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether the files hold all that was promised.
    pub state: State,
    /// How far pieces got.
    pub progress: Progress,
    /// When what was written is synced.
    pub fsync: Fsync,
    /// Bytes of the base.
    pub base_size: u64,
    /// Bytes of base and increments.
    pub size: u64,
    /// Whether a rewrite is running.
    pub rewriting: bool,
}

enum Job {
    Piece(Piece),
    Fsync(Fsync),
    Timestamps(bool),
    Sync(Sender<Result<(), String>>),
    Probe(Sender<Result<(), String>>),
    Begin {
        cut: u64,
        fresh: bool,
        offset: Option<u64>,
    },
    Finish(AtomicFile, bool, Sender<Result<Vec<PathBuf>, String>>),
    Abort,
    History(Sender<Vec<PathBuf>>),
    ForgetHistory(Sender<()>),
}

struct Shared {
    handoff: Handoff<Job>,
    rewriting: AtomicBool,
    keep_history: AtomicBool,
    offset: Option<AskOffset>,
    told: Mutex<Told>,
    /// Memory of pieces that are written.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// Most of it that is kept, in bytes, until whoever makes pieces takes it: as much as they may take while the disk stands still.
const SPARE: usize = 64 << 20;

/// What the thread tells after each round.
struct Told {
    state: State,
    fsync: Fsync,
    base_size: u64,
    size: u64,
    closed: Option<Result<(), String>>,
}

impl Shared {
    fn offset(&self) -> Option<u64> {
        self.offset.as_ref().map(|offset| offset())
    }

    /// Removes files that nobody needs any more, and their lines, and returns when both are gone: who is told that a rewrite is done finds
    /// them so. Not on the log's thread: it may take long. What stays is removed at the next start.
    fn remove(&self, disk: &dyn Disk, history: Vec<PathBuf>) {
        for path in history {
            let _ = disk.remove(&path);
        }
        let (sender, receiver) = channel();
        if self.handoff.job(Job::ForgetHistory(sender)).is_ok() {
            // If the thread ends meanwhile, the lines stay.
            let _ = receiver.recv();
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log being written. Dropped, it is closed like with [`Log::close`].
pub struct Log {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    base_temp: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.status()).finish()
    }
}

impl Log {
    /// Goes on with a log that was read to its end, and whose torn end, if it had one, was cut. One that has no files yet takes
    /// pieces only after its first rewrite has begun.
    pub fn resume(folder: AofFolder, read: &Summary, settings: Settings) -> Result<Log, LogError> {
        let writer = Writer::resume(folder, read, settings.fsync)?;
        Log::run(writer, read.last, settings)
    }

    /// Begins a log anew, whatever the folder holds, which stays there until the first rewrite replaces it. Pieces are
    /// numbered after `last`.
    pub fn fresh(folder: AofFolder, last: u64, settings: Settings) -> Result<Log, LogError> {
        let writer = Writer::fresh(folder, last, settings.fsync);
        Log::run(writer, last, settings)
    }

    fn run(mut writer: Writer, last: u64, mut settings: Settings) -> Result<Log, LogError> {
        writer.timestamps = settings.timestamps;
        writer.room = settings.room.unwrap_or(writer.room);
        let refusing = match writer.trust() {
            State::Whole => None,
            State::NoBase => Some("the log has no base yet: it begins with a rewrite".to_owned()),
            State::Failing(reason) => Some(reason.clone()),
        };
        let folder = writer.folder();
        let (disk, base_temp) = (
            Arc::clone(folder.disk()),
            folder.path(&format!("temp-{}.base", folder.name())),
        );
        let folder = folder.folder().to_owned();
        let (base_size, size) = writer.sizes();
        let shared = Arc::new(Shared {
            handoff: Handoff::new(last, writer.progress().1, refusing),
            rewriting: AtomicBool::new(false),
            keep_history: AtomicBool::new(settings.keep_history),
            offset: settings.offset.take(),
            told: Mutex::new(Told {
                state: writer.trust().clone(),
                fsync: writer.fsync,
                base_size,
                size,
                closed: None,
            }),
            spare: Mutex::default(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("redpoll-log".to_owned())
            .spawn(move || write(writer, &for_thread, &settings))
            .map_err(|e| LogError::io(folder, "start a thread for it", &e))?;
        Ok(Log {
            shared,
            disk,
            base_temp,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a piece: whole commands, whole transactions. Gives its number, by which one can wait for it. Nothing to log needs
    /// no piece: it has the number of the last one.
    pub fn append(&self, bytes: Vec<u8>, unix_seconds: u64) -> Result<u64, Refused> {
        if bytes.is_empty() {
            return Ok(self.shared.handoff.progress().given);
        }
        self.shared.handoff.piece(bytes.len(), |number| {
            Job::Piece(Piece {
                number,
                bytes,
                unix_seconds,
            })
        })
    }

    /// Memory of a piece that is written, empty, for another one: fresh memory costs more than what is put there.
    pub fn take_spare(&self) -> Option<Vec<u8>> {
        let mut spare = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spare.pop()
    }

    /// Waits until a piece is on the disk, or cannot get there.
    pub fn wait(&self, number: u64) -> Outcome {
        self.shared.handoff.wait(number)
    }

    /// Whether a piece is on the disk; the waker is woken when that is decided.
    pub fn poll(&self, number: u64, waker: &Waker) -> Poll<Outcome> {
        self.shared.handoff.poll(number, waker)
    }

    /// How far pieces got.
    pub fn progress(&self) -> Progress {
        self.shared.handoff.progress()
    }

    /// Why pieces are refused at the moment.
    pub fn refusing(&self) -> Option<String> {
        self.shared.handoff.refusing()
    }

    /// Whether the files lack pieces, which a rewrite that is complete ends. Pieces may be taken before that, for the rewrite's increment.
    pub fn is_failing(&self) -> bool {
        matches!(self.shared.told().state, State::Failing(_))
    }

    /// What INFO tells.
    pub fn status(&self) -> Status {
        let told = self.shared.told();
        Status {
            state: told.state.clone(),
            progress: self.shared.handoff.progress(),
            fsync: told.fsync,
            base_size: told.base_size,
            size: told.size,
            rewriting: self.shared.rewriting.load(Ordering::Acquire),
        }
    }

    /// Changes when pieces are synced; `always` begins with what was written already.
    pub fn set_fsync(&self, fsync: Fsync) -> Result<(), Refused> {
        self.shared.handoff.job(Job::Fsync(fsync))
    }

    /// Changes whether pieces carry the time.
    pub fn set_timestamps(&self, timestamps: bool) -> Result<(), Refused> {
        self.shared.handoff.job(Job::Timestamps(timestamps))
    }

    /// Changes whether files that a rewrite has replaced stay.
    pub fn set_keep_history(&self, keep: bool) {
        self.shared.keep_history.store(keep, Ordering::Relaxed);
    }

    /// Removes files that rewrites have replaced, on this thread, which may take long.
    pub fn remove_history(&self) {
        let (sender, receiver) = channel();
        let asked = self.shared.handoff.job(Job::History(sender));
        if let (Ok(()), Ok(history)) = (asked, receiver.recv()) {
            self.shared.remove(&*self.disk, history);
        }
    }

    /// Writes and syncs all that was queued so far, whatever the setting, and waits for it.
    pub fn sync(&self) -> Result<(), String> {
        self.ask(Job::Sync)
    }

    /// Whether the disk of a failing log seems well again. If so a rewrite is worth trying.
    pub fn probe(&self) -> Result<(), String> {
        self.ask(Job::Probe)
    }

    fn ask(&self, job: impl FnOnce(Sender<Result<(), String>>) -> Job) -> Result<(), String> {
        let (sender, receiver) = channel();
        self.shared
            .handoff
            .job(job(sender))
            .map_err(|refused| refused.0)?;
        receiver
            .recv()
            .unwrap_or_else(|_| Err("the log's thread has ended".to_owned()))
    }

    /// Begins a rewrite: see the module. One at a time.
    pub fn begin_rewrite(&self) -> Result<Rewrite, Refused> {
        if self.shared.rewriting.swap(true, Ordering::AcqRel) {
            return Err(Refused(
                "a rewrite of the log is running already".to_owned(),
            ));
        }
        let mut number = 0;
        let offset = self.shared.offset();
        let queued = self.shared.handoff.cut(true, |cut, fresh| {
            number = cut;
            Job::Begin { cut, fresh, offset }
        });
        if let Err(refused) = queued {
            self.shared.rewriting.store(false, Ordering::Release);
            return Err(refused);
        }
        Ok(Rewrite {
            shared: Arc::clone(&self.shared),
            disk: Arc::clone(&self.disk),
            temp: self.base_temp.clone(),
            cut: number,
            done: false,
        })
    }

    /// Writes and syncs all that was queued, and ends. An error if not everything that was appended is on the disk.
    pub fn close(&self) -> Result<(), String> {
        self.shared.handoff.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let closed = self.shared.told().closed.clone();
        closed.unwrap_or_else(|| Err("the log's thread has ended before its work".to_owned()))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// A rewrite that has begun. Dropped, it is given up.
#[derive(Debug)]
pub struct Rewrite {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    temp: PathBuf,
    cut: u64,
    done: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Rewrite {
    /// The last piece whose effects the base must hold, and no later one's.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The file to write the base into.
    pub fn base(&self, plan: SyncPlan) -> io::Result<AtomicFile> {
        AtomicFile::create(&self.disk, &self.temp, plan)
    }

    /// The base is complete: an RDB, or with `aof` commands. Makes it durable and part of the log; gives its size. After an
    /// error the log is as if the rewrite had not been begun.
    pub fn finish(mut self, mut base: AtomicFile, aof: bool) -> Result<u64, String> {
        let size = base.len();
        // Here and not on the log's thread: it may take long.
        base.sync()
            .map_err(|e| format!("cannot write {}: {e}", base.path().display()))?;
        let (sender, receiver) = channel();
        self.done = true;
        self.shared
            .handoff
            .job(Job::Finish(base, aof, sender))
            .map_err(|refused| refused.0)?;
        let history = receiver
            .recv()
            .unwrap_or_else(|_| Err("the log's thread has ended".to_owned()))?;
        if !self.shared.keep_history.load(Ordering::Relaxed) {
            self.shared.remove(&*self.disk, history);
        }
        Ok(size)
    }
}

impl Drop for Rewrite {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.shared.handoff.job(Job::Abort);
        }
    }
}

/// Says at the end of the thread, however it ends, that nothing further is done.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.rewriting.store(false, Ordering::Release);
        self.0.handoff.ended();
    }
}

/// Most bytes written before progress is published: who waits for room in the queue is not to wait for all of it.
const ROUND_BYTES: usize = 8 << 20;

/// The thread.
fn write(mut writer: Writer, shared: &Shared, settings: &Settings) {
    let on_progress = settings.on_progress.as_ref();
    let on_fsync = settings.on_fsync.unwrap_or(|_| ());
    let _end = End(shared);
    on_fsync(writer.fsync);
    let mut jobs = VecDeque::new();
    let mut pieces: Vec<Piece> = Vec::new();
    loop {
        let open = shared.handoff.take(&mut jobs, writer.deadline());
        while let Some(job) = jobs.pop_front() {
            let mut done = 0;
            match job {
                Job::Piece(piece) => {
                    done = piece.bytes.len();
                    pieces.push(piece);
                    while done < ROUND_BYTES
                        && let Some(Job::Piece(piece)) =
                            jobs.pop_front_if(|job| matches!(job, Job::Piece(_)))
                    {
                        done += piece.bytes.len();
                        pieces.push(piece);
                    }
                    writer.pieces(&pieces, Instant::now());
                    let mut spare = shared.spare.lock().unwrap_or_else(PoisonError::into_inner);
                    for mut piece in pieces.drain(..) {
                        let kept: usize = spare.iter().map(Vec::capacity).sum();
                        if kept + piece.bytes.capacity() <= SPARE {
                            piece.bytes.clear();
                            spare.push(piece.bytes);
                        }
                    }
                }
                Job::Fsync(fsync) => {
                    on_fsync(fsync);
                    writer.set_fsync(fsync, Instant::now());
                }
                Job::Timestamps(timestamps) => writer.timestamps = timestamps,
                Job::Sync(answer) => {
                    writer.sync(Instant::now());
                    // First, so that who asked finds it said.
                    tell(&mut writer, shared, on_progress, 0);
                    // Nobody may wait for the answer any more; the same below.
                    let _ = answer.send(match writer.trust() {
                        State::Failing(reason) => Err(reason.clone()),
                        State::Whole | State::NoBase => Ok(()),
                    });
                }
                Job::Probe(answer) => {
                    let _ = answer.send(writer.probe());
                }
                Job::Begin { cut, fresh, offset } => {
                    writer.offset = offset;
                    writer.begin(cut, fresh, Instant::now());
                }
                Job::Finish(base, aof, answer) => {
                    let result = writer.finish(base, aof, Instant::now());
                    shared.rewriting.store(false, Ordering::Release);
                    tell(&mut writer, shared, on_progress, 0);
                    let _ = answer.send(result);
                }
                Job::Abort => {
                    writer.abandon("the rewrite was given up");
                    shared.rewriting.store(false, Ordering::Release);
                }
                Job::History(answer) => {
                    let _ = answer.send(writer.folder().history());
                }
                Job::ForgetHistory(answer) => {
                    writer.forget_history();
                    let _ = answer.send(());
                }
            }
            tell(&mut writer, shared, on_progress, done as u64);
        }
        writer.tick(Instant::now());
        tell(&mut writer, shared, on_progress, 0);
        let spent = std::mem::take(&mut writer.spent);
        if let Some(on_spent) = &settings.on_spent
            && spent != Spent::default()
        {
            on_spent(spent);
        }
        if !open {
            break;
        }
    }
    writer.offset = shared.offset();
    let closed = writer.close(Instant::now());
    tell(&mut writer, shared, on_progress, 0);
    shared.told().closed = Some(closed);
}

/// Publishes where the writer is.
fn tell(writer: &mut Writer, shared: &Shared, on_progress: Option<&OnProgress>, done: u64) {
    let failure = writer.take_failure();
    let (written, durable) = writer.progress();
    {
        let mut told = shared.told();
        if told.state != *writer.trust() {
            told.state = writer.trust().clone();
        }
        told.fsync = writer.fsync;
        (told.base_size, told.size) = writer.sizes();
    }
    let before = shared.handoff.progress();
    // What is durable first: the rest is lost.
    if (written, durable) != (before.written, before.durable) || done > 0 {
        shared.handoff.publish(written, durable, done);
    }
    if let Some(reason) = &failure {
        shared.handoff.fail(reason);
    }
    let after = shared.handoff.progress();
    if let Some(on_progress) = on_progress
        && (failure.is_some()
            || done > 0
            || (after.written, after.durable) != (before.written, before.durable))
    {
        on_progress(&after);
    }
}
