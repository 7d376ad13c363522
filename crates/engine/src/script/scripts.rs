//! Scripts and functions: what is known, what is running, and how one is run.
//!
//! The language lives in the crate `lua`, which knows nothing of keys. Here is what a script needs of the engine: the cache
//! of bodies by digest, the libraries of functions, and [`run`], which gives a script its locks.
//!
//! # Locks of a script
//! Dispatch takes the locks of the keys that the call declares. Most scripts touch no others. One that does reaches for
//! each further shard when it comes to it:
//!
//! * It begins *undoable*: before a command writes to a key, the key's old value is kept. If it reaches for a shard and cannot
//!   have it at once, everything is put back, all locks are released, and it starts over with the locks of all it has
//!   touched so far. Nothing of the first try can be seen: announcements wait for the end of the script.
//! * What cannot be kept cheaply (a large collection, FLUSHALL) makes it *definite*: it takes the keyspace's one
//!   [`Token`](store::keyspace::Token), and from then on waits for further shards while holding others; all who wait with locks
//!   in their hands let go for it ([`store::locks`]). If somebody else has the token, it starts over and waits for it first.
//!
//! So no script needs to be told how to behave, nothing is stopped but what shares its shards, and no schedule can
//! lock two scripts up.
//!
//! # Slow scripts
//! A script that turns out to be slow while it runs on a worker is undone, if it can be, and run again on a helper thread,
//! and from then on always begins there. Whoever needs its shards waits; after `busy-reply-threshold` they are told BUSY.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::command::{ALL_SHARDS, KS_RO, NOSCRIPT, OWN_LOCKS, PATTERN_KEYS, WRITE};
use crate::context::ctx::{Ctx, Held, Keys, Stored};
use crate::context::engine::{Engine, unix_ms};
use crate::dispatch::worker::{Next, PARKED, PATIENCE};
use crate::follow::effects::{Change, Event, KeyBytes};
use crate::script::libraries::{Libraries, Set};
use foldhash::fast::RandomState;
use lua::{Abort, Ended, Flags, Interrupt, LogLevel, Script, Server, Sha, Vm};
use parking_lot::{Mutex, RwLock};
use resp::Out;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use store::locks::Indices;

/// Scripts that EVAL brought and that are kept; those of SCRIPT LOAD are kept beside them.
const MOST_EVALED: usize = 500;

/// Values up to this size are kept in case a script has to be undone, in bytes.
const UNDOABLE_BYTES: usize = 4096;

/// How long an undoable script waits for a further shard.
const REACH: Duration = Duration::from_micros(20);

/// A script that has run for so long on a worker moves to a helper thread.
const SLOW: Duration = Duration::from_millis(5);

/// A script that works on so many bytes at once is slow.
const LONG_STEP: usize = 8 << 20;

/// Commands of one script after which it may be slow.
const MANY_CALLS: u64 = 2000;

/// A script's source with what is known of it.
pub struct Body {
    /// SHA1 of the source, in hexadecimal.
    pub sha: Sha,
    /// The source as it was sent.
    pub source: Box<[u8]>,
    /// What its first line declares.
    pub flags: Flags,
    /// It has been slow: it begins on a helper thread.
    pub slow: AtomicBool,
    /// It had to make room; a worker that still has it makes it known again when it is next sent.
    evicted: AtomicBool,
}

impl Body {
    fn new(source: &[u8]) -> Result<Body> {
        let header = lua::shebang::script(source).map_err(error_of)?;
        Ok(Body {
            sha: lua::sha1_hex(source),
            source: source.into(),
            flags: header.flags,
            slow: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
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
    Error::new(String::from_utf8_lossy(&line).into_owned())
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
    /// It has written.
    pub wrote: AtomicBool,
    kill: AtomicBool,
}

#[derive(Default)]
struct Cache {
    bodies: HashMap<Sha, Arc<Body>>,
    /// Those that EVAL brought, the oldest first.
    evaled: VecDeque<Sha>,
}

/// Scripts that are known, libraries, and what runs.
#[derive(Default)]
pub struct Scripts {
    cache: RwLock<Cache>,
    /// Raised by SCRIPT FLUSH.
    epoch: AtomicU64,
    running: Mutex<Vec<Arc<Running>>>,
    running_count: AtomicUsize,
    /// Functions.
    pub libraries: Libraries,
    /// Scripts that were forgotten because EVAL brought too many.
    pub evicted: AtomicU64,
    /// Times that a script was undone and started over, for want of a lock.
    pub restarts: AtomicU64,
    vms: Mutex<Vec<Arc<VmMemory>>>,
}

/// Bytes of one worker's Lua states, as of a while ago.
#[derive(Default)]
struct VmMemory {
    scripts: AtomicUsize,
    functions: AtomicUsize,
}

impl Scripts {
    fn busy(&self, now_ms: u64, threshold_ms: u64) -> Option<Error> {
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
    #[inline]
    pub(crate) fn any_running(&self) -> bool {
        self.running_count.load(Relaxed) != 0
    }

    /// What has been running the longest.
    pub fn longest(&self) -> Option<Arc<Running>> {
        let running = self.running.lock();
        running.iter().min_by_key(|r| r.started_ms).cloned()
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
        if of_kind.peek().is_none() {
            return Err(Error::new(if functions {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            } else {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }));
        }
        let mut killed = false;
        for r in of_kind.filter(|r| !r.wrote.load(Relaxed)) {
            r.kill.store(true, Relaxed);
            killed = true;
        }
        if !killed {
            return Err(Error::new(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        Ok(())
    }

    fn begin(&self, running: Running) -> Arc<Running> {
        let running = Arc::new(running);
        self.running.lock().push(running.clone());
        self.running_count.fetch_add(1, Relaxed);
        running
    }

    fn end(&self, running: &Arc<Running>) {
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
                cache.evaled.retain(|sha| *sha != known.sha);
            }
            return known;
        }
        if evaled {
            if cache.evaled.len() >= MOST_EVALED
                && let Some(oldest) = cache.evaled.pop_front()
            {
                if let Some(body) = cache.bodies.remove(&oldest) {
                    body.evicted.store(true, Relaxed);
                }
                self.evicted.fetch_add(1, Relaxed);
            }
            cache.evaled.push_back(body.sha);
        }
        cache.bodies.insert(body.sha, body.clone());
        body
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

/// A handle of one worker's own to what all workers share: cloning it does not touch a counter that others count with too.
pub(crate) type Own<T> = Arc<Arc<T>>;

/// What a worker runs scripts with.
pub(crate) struct Runner {
    pub vm: Vm,
    epoch: u64,
    by_source: HashMap<Box<[u8]>, Own<Body>, RandomState>,
    by_sha: HashMap<Sha, Own<Body>, RandomState>,
    libraries: Own<Set>,
    libraries_epoch: u64,
    out: Out,
    memory: Arc<VmMemory>,
    runs: u32,
}

impl Runner {
    pub fn new(scripts: &Scripts) -> Runner {
        let memory = Arc::new(VmMemory::default());
        let mut vms = scripts.vms.lock();
        vms.retain(|vm| Arc::strong_count(vm) > 1);
        vms.push(memory.clone());
        Runner {
            memory,
            runs: 0,
            vm: Vm::new(),
            epoch: 0,
            by_source: HashMap::default(),
            by_sha: HashMap::default(),
            libraries: Arc::default(),
            libraries_epoch: 0,
            out: Out::default(),
        }
    }

    /// The libraries of now. Those that are gone are dropped from the worker's state.
    pub fn libraries(&mut self, scripts: &Scripts) -> Own<Set> {
        let epoch = scripts.libraries.epoch();
        if self.libraries_epoch != epoch {
            let now = scripts.libraries.current();
            for (name, old) in &self.libraries.libraries {
                let kept = now.libraries.get(name);
                if kept.is_none_or(|l| l.version != old.version) {
                    self.vm.drop_library(name);
                }
            }
            (self.libraries, self.libraries_epoch) = (Arc::new(now), epoch);
        }
        self.libraries.clone()
    }

    /// Notes from time to time how large the states are.
    fn note_memory(&mut self) {
        if self.runs.is_multiple_of(256) {
            let (vm, memory) = (&self.vm, &self.memory);
            memory.scripts.store(vm.memory_scripts(), Relaxed);
            memory.functions.store(vm.memory_functions(), Relaxed);
        }
        self.runs = self.runs.wrapping_add(1);
    }

    fn follow(&mut self, scripts: &Scripts) {
        let epoch = scripts.epoch.load(Relaxed);
        if self.epoch != epoch || self.by_source.len() + self.by_sha.len() > 4 * MOST_EVALED {
            self.epoch = epoch;
            self.by_source.clear();
            self.by_sha.clear();
            self.vm.clear();
        }
    }

    /// The script with this source; new ones become known to everybody.
    pub fn eval(&mut self, scripts: &Scripts, source: &[u8]) -> Result<Own<Body>> {
        self.follow(scripts);
        if let Some(body) = self.by_source.get(source) {
            if body.evicted.load(Relaxed) && body.evicted.swap(false, Relaxed) {
                scripts.add(Arc::clone(body), true);
            }
            return Ok(body.clone());
        }
        let body = Arc::new(Body::new(source)?);
        if scripts.get(&body.sha).is_none() {
            // What does not compile is not kept.
            self.vm.compile(&body.script()).map_err(error_of)?;
        }
        let body = Arc::new(scripts.add(body, true));
        self.by_source.insert(source.into(), body.clone());
        Ok(body)
    }

    /// The script with this digest.
    pub fn evalsha(&mut self, scripts: &Scripts, sha: &[u8]) -> Result<Own<Body>> {
        self.follow(scripts);
        let unknown = || Error::new("NOSCRIPT No matching script. Please use EVAL.");
        let sha: Sha = sha.to_ascii_lowercase().try_into().map_err(|_| unknown())?;
        if let Some(body) = self.by_sha.get(&sha) {
            return Ok(body.clone());
        }
        let body = Arc::new(scripts.get(&sha).ok_or_else(unknown)?);
        self.by_sha.insert(sha, body.clone());
        Ok(body)
    }

    /// SCRIPT LOAD.
    pub fn load(&mut self, scripts: &Scripts, source: &[u8]) -> Result<Sha> {
        self.follow(scripts);
        let body = Arc::new(Body::new(source)?);
        self.vm.compile(&body.script()).map_err(error_of)?;
        Ok(scripts.add(body, false).sha)
    }
}

/// Why a script was unwound before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// A shard that it does not hold.
    Shard(usize),
    /// It did what cannot be undone, and somebody else has the token.
    Token,
    /// It is slow, and this is a worker.
    Elsewhere,
}

/// A script's values as they were before it wrote to them.
#[derive(Default)]
struct Undo {
    saved: Vec<(usize, KeyBytes, Option<Stored>)>,
}

/// What [`run`] runs.
pub(crate) struct Call<'a> {
    pub is_function: bool,
    pub name: &'a [u8],
    /// Only reading is allowed.
    pub read_only: bool,
    /// Set once it has been slow.
    pub slow: &'a AtomicBool,
    pub argv: &'a [&'a [u8]],
}

/// The engine as a running script sees it.
struct Bridge<'a, 'e> {
    ctx: &'a mut Ctx<'e>,
    call: &'a Call<'a>,
    undo: Option<Undo>,
    restart: Option<Restart>,
    calls: u64,
    wrote: bool,
    running: Option<Arc<Running>>,
    began_ms: u64,
}

impl Bridge<'_, '_> {
    /// Makes sure that a shard is held.
    fn reach(&mut self, shard: usize) -> std::result::Result<(), Abort> {
        let keys = &mut self.ctx.keys;
        if keys.held.has(shard) {
            return Ok(());
        }
        let mut many = std::mem::replace(&mut keys.held, Held::None).into_many();
        let got = match &keys.token {
            Some(token) => {
                keys.ks.escalate(&mut many, shard, token);
                true
            }
            None => keys.ks.reach(&mut many, shard, REACH),
        };
        keys.held = Held::Many(many);
        if got {
            return Ok(());
        }
        self.restart = Some(Restart::Shard(shard));
        Err(Abort)
    }

    /// Makes the script one that is not undone any more.
    fn become_definite(&mut self) -> std::result::Result<(), Abort> {
        if self.ctx.keys.token.is_none() {
            match self.ctx.engine.keyspace().token(Duration::ZERO) {
                Some(token) => self.ctx.keys.token = Some(token),
                None => {
                    self.restart = Some(Restart::Token);
                    return Err(Abort);
                }
            }
        }
        self.undo = None;
        Ok(())
    }

    /// Keeps a key's value before it changes.
    fn save(&mut self, db: usize, key: &[u8]) -> std::result::Result<(), Abort> {
        let Some(undo) = &mut self.undo else {
            return Ok(());
        };
        if undo.saved.iter().any(|(d, k, _)| *d == db && **k == *key) {
            return Ok(());
        }
        let keys = &self.ctx.keys;
        let hash = keys.ks.hash(key);
        let shard = keys.held.shard(keys.ks.shard_of(hash));
        let entry = shard.and_then(|s| s.db_ref(db).get(hash, key));
        if entry.is_some_and(|e| e.memory() > UNDOABLE_BYTES) || undo.saved.len() >= 64 {
            return self.become_definite();
        }
        let stored = entry.map(Stored::copy_of);
        undo.saved.push((db, KeyBytes::from_slice(key), stored));
        Ok(())
    }

    /// Takes back all that was done.
    fn undo(&mut self) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        let keys = &mut self.ctx.keys;
        for (db, key, stored) in undo.saved {
            keys.remove_in(db, &key);
            if let Some(stored) = stored {
                keys.put_stored(db, &key, stored);
            }
        }
        keys.emptied = None;
        // What it found expired is gone for good, which nobody will find out another time.
        let ks = keys.ks;
        let Keys { held, changes, .. } = &mut self.ctx.keys;
        changes.retain(|change| match change {
            Change::Key { db, key, event } if *event == Event::EXPIRED => {
                let hash = ks.hash(key);
                let shard = held.shard(ks.shard_of(hash));
                shard.is_some_and(|s| s.db_ref(*db).get(hash, key).is_none())
            }
            _ => false,
        });
        if !changes.is_empty() {
            let client = self.ctx.session.client.clone();
            self.ctx.engine.apply(&mut self.ctx.keys, Some(&client));
        }
    }

    /// Notes that the script has been running for a while, so that it can be seen and killed.
    fn note_running(&mut self) -> &Arc<Running> {
        let (call, began_ms, wrote) = (self.call, self.began_ms, self.wrote);
        let scripts = &self.ctx.engine.scripts;
        self.running.get_or_insert_with(|| {
            scripts.begin(Running {
                started_ms: began_ms,
                is_function: call.is_function,
                name: call.name.to_vec(),
                command: call.argv.iter().take(16).map(|a| a.to_vec()).collect(),
                wrote: AtomicBool::new(wrote),
                kill: AtomicBool::new(false),
            })
        })
    }

    fn refuse(&mut self, reply: &mut Out, text: &str) {
        let error = Error::new(text.to_owned());
        self.ctx.keys.counters.error(error.code());
        reply.error(&error.0);
    }
}

impl Drop for Bridge<'_, '_> {
    /// However the script has ended, by a panic too: it does not run any more.
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.ctx.engine.scripts.end(&running);
        }
    }
}

impl Server for Bridge<'_, '_> {
    fn call(&mut self, argv: &[&[u8]], reply: &mut Out) -> std::result::Result<(), Abort> {
        self.calls += 1;
        if self.calls.is_multiple_of(MANY_CALLS)
            && let Some(Interrupt::Abort) = self.poll(0)
        {
            return Err(Abort);
        }
        let engine = self.ctx.engine;
        let Some(entry) = engine.registry().resolve(argv) else {
            self.refuse(reply, "ERR Unknown Redis command called from script");
            return Ok(());
        };
        let command = entry.command;
        if !command.accepts(argv.len()) {
            self.refuse(
                reply,
                "ERR Wrong number of args calling Redis command from script",
            );
            return Ok(());
        }
        if command.has(NOSCRIPT) {
            self.refuse(reply, "ERR This Redis command is not allowed from script");
            return Ok(());
        }
        let writes = command.has(WRITE);
        if writes && self.call.read_only {
            self.refuse(
                reply,
                "ERR Write commands are not allowed from read-only scripts.",
            );
            return Ok(());
        }
        let ks = engine.keyspace();
        if command.has(ALL_SHARDS | OWN_LOCKS)
            || command.has(PATTERN_KEYS) && crate::cmd::sort::has_patterns(argv)
        {
            for shard in 0..ks.shards() {
                self.reach(shard)?;
            }
            if writes {
                self.become_definite()?;
            }
        } else {
            let mut keys: SmallVec<[(usize, u32); 8]> = SmallVec::new();
            crate::table::positions::each_key(entry, argv, |i, flags| keys.push((i, flags)));
            for (i, _) in &keys {
                self.reach(ks.shard_of(ks.hash(argv[*i])))?;
            }
            if writes {
                // These write into another database.
                if matches!(command.name, "move" | "copy") {
                    self.become_definite()?;
                }
                let db = self.ctx.keys.db;
                for (i, flags) in &keys {
                    // XREADGROUP's keys are said to be only read, but it changes their groups.
                    if flags & KS_RO == 0 || command.name == "xreadgroup" {
                        self.save(db, argv[*i])?;
                    }
                }
            }
        }
        if writes && !self.wrote {
            self.wrote = true;
            if let Some(running) = &self.running {
                running.wrote.store(true, Relaxed);
            }
        }
        std::mem::swap(self.ctx.out, reply);
        self.ctx.call(entry, argv, Default::default());
        std::mem::swap(self.ctx.out, reply);
        Ok(())
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(level, message);
    }

    fn poll(&mut self, ahead: usize) -> Option<Interrupt> {
        let now_ms = unix_ms();
        if ahead >= LONG_STEP || now_ms.saturating_sub(self.began_ms) >= SLOW.as_millis() as u64 {
            self.call.slow.store(true, Relaxed);
            let on_worker = !self.ctx.helper && !self.ctx.nested;
            let nothing_done = !self.wrote && self.ctx.keys.changes.is_empty();
            if on_worker && (self.undo.is_some() || nothing_done) {
                self.restart = Some(Restart::Elsewhere);
                return Some(Interrupt::Abort);
            }
        }
        if !self.ctx.helper && !self.ctx.nested && self.undo.is_some() {
            // It will be moved before it can be a nuisance; who ends it must find the one that goes on.
            return None;
        }
        let running = self.note_running();
        if running.kill.load(Relaxed) && !running.wrote.load(Relaxed) {
            return Some(Interrupt::Kill);
        }
        None
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Option<bool> {
        self.ctx.engine.registry().resolve(argv).map(|_| true)
    }

    fn set_repl(&mut self, _aof: bool, _replicas: bool) {}
}

/// What [`run`] lets run: once, or again after it was undone.
pub(crate) type Run<'a> =
    dyn FnMut(&mut Vm, &mut dyn Server, &mut Out) -> std::result::Result<Ended, Abort> + 'a;

/// Runs a script or function with all the locks it turns out to need, and writes its reply.
pub(crate) fn run(
    ctx: &mut Ctx<'_>,
    runner: &mut Runner,
    call: &Call<'_>,
    body: &mut Run<'_>,
) -> Result {
    if call.slow.load(Relaxed) && ctx.moves_elsewhere() {
        return Ok(());
    }
    let ks = ctx.engine.keyspace();
    let (db, helper) = (ctx.session.db, ctx.helper || ctx.nested);
    let patience = (!helper).then_some(PATIENCE);
    let mut needed = Indices::new();
    ctx.keys.held.each(|shard| needed.push(shard));
    let mut out = std::mem::take(&mut runner.out);
    for attempt in 0.. {
        out.clear();
        out.set_proto(ctx.session.proto);
        let definite = ctx.keys.token.is_some();
        let began_ms = if attempt == 0 {
            ctx.keys.now_ms
        } else {
            unix_ms()
        };
        let mut bridge = Bridge {
            ctx,
            call,
            undo: (!definite).then(Undo::default),
            restart: None,
            calls: 0,
            wrote: false,
            running: None,
            began_ms,
        };
        if call.slow.load(Relaxed) {
            // Others must know before they wait for its shards.
            bridge.note_running();
        }
        let mut ended = body(&mut runner.vm, &mut bridge, &mut out);
        // Clients that are served when this is announced may need further shards.
        if ended.is_ok() && bridge.ctx.engine.effects.listening() {
            ended = ended.and_then(|ended| {
                bridge.reach_for_waiters()?;
                Ok(ended)
            });
        }
        let restart = bridge.restart;
        if ended.is_err() {
            bridge.undo();
        }
        drop(bridge);
        ctx.session.select(db);
        ctx.keys.db = db;
        match (ended, restart) {
            (Ok(ended), _) => {
                if let Ended::Error { counted: false } = ended {
                    let line = out.as_bytes().unwrap_or_default();
                    let line = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
                    let code = line.split([' ', '\r']).next().unwrap_or("ERR");
                    ctx.keys.counters.error(code);
                }
                ctx.out.append(&mut out);
                break;
            }
            (Err(Abort), Some(Restart::Elsewhere)) => {
                ctx.next = Next::Elsewhere;
                break;
            }
            (Err(Abort), restart) => {
                ctx.engine.scripts.restarts.fetch_add(1, Relaxed);
                ctx.keys.held.each(|shard| needed.push(shard));
                if let Some(Restart::Shard(shard)) = restart {
                    needed.push(shard);
                }
                ctx.keys.held = Held::None;
                ctx.keys.token = None;
                if restart == Some(Restart::Token) || attempt >= 2 {
                    ctx.keys.token = ks.token(patience.unwrap_or(Duration::MAX));
                    if ctx.keys.token.is_none() {
                        park(ctx)?;
                        break;
                    }
                }
                match ks.lock_many_for(&mut needed, patience) {
                    Some(held) => ctx.keys.held = Held::Many(held),
                    None => {
                        park(ctx)?;
                        break;
                    }
                }
            }
        }
    }
    runner.out = out;
    runner.note_memory();
    Ok(())
}

/// Has the call tried again later, unless it has been waiting for another script for too long.
fn park(ctx: &mut Ctx<'_>) -> Result {
    match ctx.engine.busy(unix_ms()) {
        Some(busy) => Err(busy),
        None => {
            ctx.next = Next::Retry(PARKED);
            Ok(())
        }
    }
}

impl Engine {
    /// The error that a command gets that would have to wait for a script which has been running for too long.
    pub(crate) fn busy(&self, now_ms: u64) -> Option<Error> {
        let threshold_ms = self.config().live.busy_reply_threshold_ms.load(Relaxed);
        self.scripts.busy(now_ms, threshold_ms)
    }
}

impl Bridge<'_, '_> {
    fn reach_for_waiters(&mut self) -> std::result::Result<(), Abort> {
        loop {
            let mut more = Indices::new();
            let effects = &self.ctx.engine.effects;
            let held = &self.ctx.keys.held;
            held.each(|shard| effects.further_shards(shard, &mut |s| more.push(s)));
            more.retain(|shard| !held.has(*shard));
            if more.is_empty() {
                return Ok(());
            }
            for shard in more {
                self.reach(shard)?;
            }
        }
    }
}

/// The server as a library sees it while it is loaded: it may only log.
pub(crate) struct Silent<'e>(pub &'e Engine);

impl Server for Silent<'_> {
    fn call(&mut self, _argv: &[&[u8]], reply: &mut Out) -> std::result::Result<(), Abort> {
        reply.error("ERR This Redis command is not allowed from script");
        Ok(())
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(level, message);
    }

    fn poll(&mut self, _ahead: usize) -> Option<Interrupt> {
        None
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Option<bool> {
        self.0.registry().resolve(argv).map(|_| true)
    }

    fn set_repl(&mut self, _aof: bool, _replicas: bool) {}
}

fn log(level: LogLevel, message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    match level {
        LogLevel::Debug | LogLevel::Verbose => tracing::debug!(target: "script", "{text}"),
        LogLevel::Notice => tracing::info!(target: "script", "{text}"),
        LogLevel::Warning => tracing::warn!(target: "script", "{text}"),
    }
}

/// Some of a call's arguments.
type Words<'a> = &'a [&'a [u8]];

/// The keys and the other arguments of EVAL and FCALL.
pub(crate) fn keys_and_args<'a>(
    args: &Args<'a>,
    not_a_number: &Error,
) -> Result<(Words<'a>, Words<'a>)> {
    let argv = args.argv();
    let n = resp::number::parse_i64(argv[2]).ok_or_else(|| not_a_number.clone())?;
    let rest = &argv[3..];
    if n > rest.len() as i64 {
        return Err(Error::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    if n < 0 {
        return Err(Error::new("ERR Number of keys can't be negative"));
    }
    Ok(rest.split_at(n as usize))
}
