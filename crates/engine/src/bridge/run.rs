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
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::context::command::{ALL_SHARDS, KS_RO, NOSCRIPT, OWN_LOCKS, PATTERN_KEYS, WRITE};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::next::{Next, PARKED, PATIENCE};
use crate::door::change::{Change, Event, KeyBytes};
use crate::door::held::Held;
use crate::door::keys::Keys;
use crate::door::stored::Stored;
use crate::script::known::Running;
use crate::script::runner::Runner;
use lua::{Abort, Ended, Interrupt, LogLevel, Server, Vm};
use resp::Out;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use store::locks::Indices;

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
            self.ctx
                .engine
                .follow
                .apply(&mut self.ctx.keys, Some(&client));
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
            || command.has(PATTERN_KEYS) && crate::table::positions::has_patterns(argv)
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
        if ended.is_ok() && bridge.ctx.engine.follow.effects.listening() {
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
            let effects = &self.ctx.engine.follow.effects;
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
