//! Scripts that are known and scripts that run: what all workers share.

use crate::base::error::{Error, Result};
use crate::script::libraries::Libraries;
use lua::{Flags, Script, Sha};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Sources of this length are compiled on helper threads.
pub(crate) const LONG_SOURCE: usize = 64 << 10;

/// Scripts that EVAL brought and that are kept; those of SCRIPT LOAD are kept beside them.
pub(super) const MOST_EVALED: usize = 500;

/// Whether a script or function has been slow lately: it begins on a helper thread then.
#[derive(Debug, Default)]
pub struct Slow(AtomicU8);

impl Slow {
    /// Runs that must be fast before a script that was slow is taken for a fast one.
    const TRIALS: u8 = 8;

    /// Whether it is.
    pub(crate) fn is(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// It was slow.
    pub(crate) fn note_slow(&self) {
        self.0.store(Slow::TRIALS, Relaxed);
    }

    /// It was fast this time.
    pub(crate) fn note_fast(&self) {
        let left = self.0.load(Relaxed);
        // Two at a time may count as one.
        self.0.store(left.saturating_sub(1), Relaxed);
    }
}

/// A script's source with what is known of it.
pub struct Body {
    /// SHA1 of the source, in hexadecimal.
    pub sha: Sha,
    /// The source as it was sent.
    pub source: Box<[u8]>,
    /// What its first line declares; None without such a line.
    pub flags: Option<Flags>,
    /// Whether it has been slow.
    pub slow: Slow,
    /// It had to make room; a worker that still has it makes it known again when it is next sent.
    pub(super) evicted: AtomicBool,
    /// How many scripts EVAL had brought when it was last asked for.
    used: AtomicU64,
}

impl Body {
    pub(super) fn new(source: &[u8]) -> Result<Body> {
        let header = lua::shebang::script(source).map_err(error_of)?;
        Ok(Body {
            sha: lua::sha1_hex(source),
            source: source.into(),
            flags: header.present.then_some(header.flags),
            slow: Slow::default(),
            evicted: AtomicBool::new(false),
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn script(&self) -> Script<'_> {
        Script {
            sha: &self.sha,
            body: &self.source,
        }
    }
}

pub(crate) fn error_of(line: Vec<u8>) -> Error {
    Error::of_bytes(line)
}

/// A script or function that has been running for some time.
pub struct Running {
    /// Unix milliseconds.
    pub started_ms: u64,
    /// Whether FCALL began it.
    pub is_function: bool,
    /// The function's name, or the script's digest.
    pub name: Vec<u8>,
    /// The call's first arguments.
    pub command: Vec<Vec<u8>>,
    /// The id of the client that called it.
    pub client: u64,
    /// Whether it may be ended.
    pub(crate) end: End,
}

/// Whether a script may be ended, which it may until it has written, and whether it is to be. Which of the two comes first is decided
/// at one place: who was told that it is killed must not find that it has written and goes on.
#[derive(Debug, Default)]
pub(crate) struct End(AtomicU8);

impl End {
    const OPEN: u8 = 0;
    const WROTE: u8 = 1;
    const KILLED: u8 = 2;

    /// Of one that has written already or not.
    pub fn new(wrote: bool) -> End {
        End(AtomicU8::new(if wrote { End::WROTE } else { End::OPEN }))
    }

    /// It is about to write. False if it must not, because it was killed.
    #[must_use]
    pub fn write(&self) -> bool {
        self.change(End::OPEN, End::WROTE) != End::KILLED
    }

    /// What it has written was taken back.
    pub fn take_back(&self) {
        self.change(End::WROTE, End::OPEN);
    }

    /// It is to end. False if it cannot be ended any more.
    #[must_use]
    pub fn kill(&self) -> bool {
        self.change(End::OPEN, End::KILLED) != End::WROTE
    }

    /// Whether it has written.
    pub fn wrote(&self) -> bool {
        self.0.load(Relaxed) == End::WROTE
    }

    /// Whether it is to end.
    pub fn is_killed(&self) -> bool {
        self.0.load(Relaxed) == End::KILLED
    }

    /// Changes it from one to another; returns what it was.
    fn change(&self, from: u8, to: u8) -> u8 {
        match self.0.compare_exchange(from, to, Relaxed, Relaxed) {
            Ok(was) | Err(was) => was,
        }
    }
}

#[derive(Default)]
struct Cache {
    bodies: HashMap<Sha, Arc<Body>>,
    /// Those that EVAL brought, those first that were not asked for for longest, and when that was as far as is noted here.
    evaled: VecDeque<(Sha, u64)>,
}

/// Scripts that are known, libraries, and what runs.
#[derive(Default)]
pub struct Scripts {
    cache: RwLock<Cache>,
    /// Scripts that EVAL brought. By that they age: it changes only when one may have to go.
    brought: AtomicU64,
    /// Raised by SCRIPT FLUSH.
    pub(super) epoch: AtomicU64,
    running: Mutex<Vec<Arc<Running>>>,
    running_count: AtomicUsize,
    /// Functions.
    pub libraries: Libraries,
    /// Scripts that were forgotten because EVAL brought too many.
    pub evicted: AtomicU64,
    /// Times that a script was undone and started over, for want of a lock.
    pub restarts: AtomicU64,
    pub(super) vms: Mutex<Vec<Arc<VmMemory>>>,
    /// Raised when the server stops: of the scripts that began before it, those are ended that can be undone.
    pub(crate) stops: AtomicU64,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may use commands that are otherwise not for them.
    pub(crate) allow_denied: AtomicBool,
}

/// Bytes of one worker's Lua states, as of a while ago.
#[derive(Default)]
pub(super) struct VmMemory {
    pub(super) scripts: AtomicUsize,
    pub(super) functions: AtomicUsize,
}

impl Scripts {
    pub(crate) fn busy(&self, now_ms: u64, threshold_ms: u64) -> Option<Error> {
        if self.running_count.load(Relaxed) == 0 {
            return None;
        }
        let running = self.running.lock();
        let late = |r: &&Arc<Running>| now_ms.saturating_sub(r.started_ms) >= threshold_ms;
        let kind = if running.iter().find(late)?.is_function {
            "FUNCTION"
        } else {
            "SCRIPT"
        };
        Some(Error::new(format!(
            "BUSY Redis is busy running a script. You can only call {kind} KILL or SHUTDOWN NOSAVE."
        )))
    }

    /// Whether a script has been running for some time.
    #[cfg(test)]
    pub(crate) fn any_running(&self) -> bool {
        self.running_count.load(Relaxed) != 0
    }

    /// What has been running the longest.
    pub fn longest(&self) -> Option<Arc<Running>> {
        let running = self.running.lock();
        running.iter().min_by_key(|r| r.started_ms).cloned()
    }

    /// All that have been running for some time, the longest first.
    pub fn all_running(&self) -> Vec<Arc<Running>> {
        let mut all = self.running.lock().clone();
        all.sort_by_key(|running| running.started_ms);
        all
    }

    /// SCRIPT KILL and FUNCTION KILL: ends what runs.
    pub(crate) fn kill(&self, functions: bool) -> Result {
        let running = self.running.lock();
        if running.is_empty() {
            return Err(Error::new("NOTBUSY No scripts in execution right now."));
        }
        let mut of_kind = running
            .iter()
            .filter(|r| r.is_function == functions)
            .peekable();
        if of_kind.peek().is_none() && running.iter().any(|r| !r.end.wrote()) {
            return Err(Error::new(if functions {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            } else {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }));
        }
        let mut killed = false;
        for r in of_kind {
            killed |= r.end.kill();
        }
        if !killed {
            return Err(Error::new(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        Ok(())
    }

    /// Ends all scripts that run and whose changes can be taken back. Others go on.
    pub fn stop(&self) {
        self.stops.fetch_add(1, Relaxed);
    }

    pub(crate) fn begin(&self, running: Running) -> Arc<Running> {
        let running = Arc::new(running);
        self.running.lock().push(running.clone());
        self.running_count.fetch_add(1, Relaxed);
        running
    }

    pub(crate) fn end(&self, running: &Arc<Running>) {
        self.running.lock().retain(|r| !Arc::ptr_eq(r, running));
        self.running_count.fetch_sub(1, Relaxed);
    }

    /// The script with this digest, in any case.
    pub fn get(&self, sha: &[u8]) -> Option<Arc<Body>> {
        let sha: Sha = sha.to_ascii_lowercase().try_into().ok()?;
        self.cache.read().bodies.get(&sha).cloned()
    }

    /// Adds a script. `evaled`: it makes room for others when there are too many.
    pub(crate) fn add(&self, body: Arc<Body>, evaled: bool) -> Arc<Body> {
        let mut cache = self.cache.write();
        if let Some(known) = cache.bodies.get(&body.sha) {
            let known = known.clone();
            if !evaled {
                // SCRIPT LOAD makes it stay.
                cache.evaled.retain(|(sha, _)| *sha != known.sha);
            }
            self.note_use(&known);
            return known;
        }
        if evaled {
            if cache.evaled.len() >= MOST_EVALED {
                self.make_room(&mut cache);
            }
            let now = self.brought.fetch_add(1, Relaxed) + 1;
            body.used.store(now, Relaxed);
            cache.evaled.push_back((body.sha, now));
        }
        cache.bodies.insert(body.sha, body.clone());
        body
    }

    /// Forgets the script that EVAL brought and that nobody asked for for longest.
    fn make_room(&self, cache: &mut Cache) {
        while let Some((sha, noted)) = cache.evaled.pop_front() {
            let used = cache.bodies.get(&sha).map(|body| body.used.load(Relaxed));
            if let Some(used) = used.filter(|used| *used > noted) {
                let place = cache.evaled.partition_point(|(_, noted)| *noted <= used);
                cache.evaled.insert(place, (sha, used));
                continue;
            }
            if let Some(body) = cache.bodies.remove(&sha) {
                body.evicted.store(true, Relaxed);
            }
            self.evicted.fetch_add(1, Relaxed);
            return;
        }
    }

    /// A script is asked for.
    #[inline]
    pub(super) fn note_use(&self, body: &Body) {
        let now = self.brought.load(Relaxed);
        if body.used.load(Relaxed) != now {
            body.used.store(now, Relaxed);
        }
    }

    /// Forgets all scripts.
    pub(crate) fn flush(&self) {
        *self.cache.write() = Cache::default();
        self.epoch.fetch_add(1, Relaxed);
    }

    /// Bytes of all workers' Lua states: (of scripts, of functions).
    pub fn vm_memory(&self) -> (usize, usize) {
        let vms = self.vms.lock();
        vms.iter().fold((0, 0), |(scripts, functions), vm| {
            (
                scripts + vm.scripts.load(Relaxed),
                functions + vm.functions.load(Relaxed),
            )
        })
    }

    /// (number of scripts, bytes of their sources).
    pub fn totals(&self) -> (usize, usize) {
        let cache = self.cache.read();
        let bytes = cache.bodies.values().map(|b| b.source.len()).sum();
        (cache.bodies.len(), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_killed_or_has_written() {
        let end = End::default();
        assert!(end.write() && end.write() && !end.kill() && !end.is_killed());
        // Taken back, it may be killed again, and then writes nothing.
        end.take_back();
        assert!(!end.wrote() && end.kill() && end.kill() && !end.write());
        end.take_back();
        assert!(end.is_killed() && !end.wrote());
        assert!(End::new(true).wrote() && !End::new(false).wrote());
    }

    /// Of a kill and a write at the same time one is told that it came too late.
    #[test]
    fn a_kill_and_a_write_at_the_same_time() {
        for _ in 0..2000 {
            let end = End::default();
            let (killed, written) = std::thread::scope(|scope| {
                let kill = scope.spawn(|| end.kill());
                (end.write(), kill.join().expect("no panic"))
            });
            assert_ne!(killed, written);
        }
    }
}
