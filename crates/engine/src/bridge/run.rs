//! Scripts and functions: what is known, what is running, and how one is run.
//!
//! The language lives in the crate `lua`, which knows nothing of keys. Here is what a script needs of the engine: the cache
//! of bodies by digest, the libraries of functions, and [`run`], which gives a script its locks.
//!
//! # Locks of a script
//! Dispatch takes the locks of the keys that the call declares. Most scripts touch no others. One that does reaches for
//! each further shard when it comes to it:
//!
//! * It begins *undoable* ([`crate::context::undo`]). If it reaches for a shard and cannot have it at once, everything is put back
//!   and it starts over with the locks of all it has touched so far.
//! * What cannot be kept cheaply (a large collection, FLUSHALL) makes it *definite*: it takes the keyspace's one
//!   [`Token`](store::keyspace::Token), and from then on waits for further shards while holding others; all who wait with locks
//!   in their hands let go for it ([`store::locks`]). If somebody else has the token, it starts over and waits for it first.
//! * As part of a transaction it says that it cannot go on ([`Ctx::restart`]), and the whole transaction starts over.
//!
//! So no script needs to be told how to behave, nothing is stopped but what shares its shards, and no schedule can
//! lock two scripts up.
//!
//! # Slow scripts
//! A script that turns out to be slow while it runs on a worker is undone, if it can be, and run again on a helper thread,
//! and begins there from then on, until it has been fast some times; with the whole of the transaction that it is part of. One that
//! cannot be undone stays where it is, and the worker's other connections go to another thread ([`Host::hand_over`](crate::Host::hand_over)). Whoever needs its shards waits; after `busy-reply-threshold` they are told BUSY.

use crate::base::args::Args;
use crate::base::clock::{tick_ms, unix_ms, unix_nanos};
use crate::base::error::{Error, Result};
use crate::base::journal::Readers;
use crate::context::command::{ALL_SHARDS, Entry, OWN_LOCKS, PATTERN_KEYS, WRITE};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::gate::{self, CLIENT, Closed, SCRIPT};
use crate::context::next::Next;
use crate::context::undo::Restart;
use crate::door::held::Held;
use crate::door::known::PlacedKey;
use crate::script::known::{End, Running, Scripts, Slow};
use crate::script::runner::Runner;
use lua::{Abort, Ended, Interrupt, LogLevel, Server, Vm};
use resp::Out;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::locks::Indices;

/// A script that has run for so long on a worker moves to a helper thread.
const SLOW: Duration = Duration::from_millis(5);

/// A script that works on so many bytes at once is slow.
const LONG_STEP: usize = 8 << 20;

/// A script that has a command go through so many bytes of collections is slow.
const LONG_COMMAND: usize = 1 << 20;

/// The same as [`SLOW`] in the kernel's ticks, which may be some milliseconds late.
const SLOW_TICKS: u64 = 8;

/// After so long on a worker from which it cannot move, the worker's other connections leave. Longer, since the thread that takes
/// over has Lua states of its own, in which libraries are loaded anew.
const LEAVE: Duration = Duration::from_millis(20);

/// What a script that was killed answers.
const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// A run that took less was fast.
const FAST: Duration = Duration::from_millis(2);

/// What [`run`] runs.
pub(crate) struct Call<'a> {
    pub is_function: bool,
    pub name: &'a [u8],
    /// Only reading is allowed.
    pub read_only: bool,
    /// It may take memory when there is none to be had.
    pub allow_oom: bool,
    pub slow: &'a Slow,
    pub argv: &'a [&'a [u8]],
}

/// A script's place in the list of those that run, kept while it is started over.
struct Noted<'e> {
    scripts: &'e Scripts,
    running: Option<Arc<Running>>,
}

impl Noted<'_> {
    /// Whether somebody has asked for its end.
    fn is_killed(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.end.is_killed())
    }

    /// Takes it from the list; whether somebody had asked for its end. Nobody can do so any more.
    fn end(&mut self) -> bool {
        let Some(running) = self.running.take() else {
            return false;
        };
        self.scripts.end(&running);
        running.end.is_killed()
    }
}

impl Drop for Noted<'_> {
    /// However the script has ended, by a panic too: it does not run any more.
    fn drop(&mut self) {
        self.end();
    }
}

/// The engine as a running script sees it.
struct Bridge<'a, 'e> {
    ctx: &'a mut Ctx<'e>,
    call: &'a Call<'a>,
    noted: &'a mut Noted<'e>,
    restart: Option<Restart>,
    /// There was no memory to be had when it began, and it has not said that it does without.
    short: bool,
    /// Commands carried out.
    calls: u64,
    wrote: bool,
    began_ms: u64,
    /// The kernel's last tick at that time.
    began_tick: u64,
    /// Errors in its reply: their code, unless they have been counted.
    errors: SmallVec<[Option<String>; 1]>,
    /// The database that was selected before.
    db: usize,
    /// [`Scripts::stops`] when the call began.
    stops: u64,
    /// When to try again to give away the worker's other connections.
    leave_at_ms: u64,
}

impl Drop for Bridge<'_, '_> {
    /// However the script has ended, by a panic too: what it selected was for itself.
    fn drop(&mut self) {
        if self.ctx.session.db != self.db {
            self.ctx.session.select(self.db);
        }
        self.ctx.keys.db = self.db;
    }
}

impl Bridge<'_, '_> {
    /// Makes sure that a shard is held.
    fn reach(&mut self, shard: usize) -> std::result::Result<(), Abort> {
        let keys = &mut self.ctx.keys;
        if keys.held.has(shard) {
            return Ok(());
        }
        let mut many = std::mem::replace(&mut keys.held, Held::None).into_many();
        let mut got = keys.ks.reach(&mut many, shard);
        if !got && let Some(token) = &keys.token {
            let (host, helper) = (self.ctx.engine.host(), &self.ctx.helper);
            keys.ks.escalate(&mut many, shard, token, &mut || {
                // The worker's other connections are not to wait too.
                helper.set(helper.get() || host.hand_over());
            });
            got = true;
        }
        let first = many.indices().nth(1).is_none();
        keys.held = Held::of_many(many);
        if got {
            if first {
                // Without a lock nobody could know whether changes are written down.
                keys.recording = self.ctx.engine.journal.is_on();
            }
            return Ok(());
        }
        self.restart = Some(Restart::Shard(shard));
        Err(Abort)
    }

    /// Notes that the script has been running for a while, so that it can be seen and killed.
    fn note_running(&mut self) -> &Arc<Running> {
        let (call, began_ms, wrote) = (self.call, self.began_ms, self.wrote);
        let client = self.ctx.session.client.id;
        let scripts = self.noted.scripts;
        self.noted.running.get_or_insert_with(|| {
            scripts.begin(Running {
                started_ms: began_ms,
                is_function: call.is_function,
                name: call.name.to_vec(),
                command: call.argv.iter().take(16).map(|a| a.to_vec()).collect(),
                client,
                end: End::new(wrote),
            })
        })
    }

    /// Whether a script's first change may be made, asked with the locks of its keys held; if changes are put off, the script waits for
    /// them, and begins anew.
    #[cold]
    fn ask_again(&mut self, entry: &Entry, argv: &[&[u8]]) -> std::result::Result<Result, Abort> {
        let (undoable, nested) = (self.ctx.undo.is_some(), self.ctx.nested);
        let request = self.ctx.request(entry, argv);
        if let Err(closed) = gate::admit::<SCRIPT>(&request) {
            return Ok(Err(closed.into_error()));
        }
        match gate::admit_held(&request, CLIENT) {
            Err(Closed::Until(_)) if undoable || !nested => {
                self.restart = Some(Restart::AtTheGate);
                Err(Abort)
            }
            Err(Closed::Refused(error)) if request.engine.loading.is_on() => Ok(Err(error)),
            _ => Ok(Ok(())),
        }
    }

    /// Answers a command that is not carried out.
    fn refuse(&mut self, entry: Option<&Entry>, reply: &mut Out, error: &Error) {
        let counters = self.ctx.keys.counters;
        if let Some(entry) = entry {
            counters.commands[entry.id].rejected.add(1);
        }
        counters.error(error.code());
        reply.error_bytes(error.bytes());
        if let Some(undo) = &mut self.ctx.undo {
            undo.counted_rejected(entry.map(|entry| entry.id), error);
        }
    }

    /// Carries a command out and writes its reply to `reply`, where it is left by a panic too.
    fn carry_out(&mut self, entry: &Entry, argv: &[&[u8]], keys: &[PlacedKey], reply: &mut Out) {
        struct Lent<'a, 'e>(&'a mut Ctx<'e>, &'a mut Out);
        impl Drop for Lent<'_, '_> {
            fn drop(&mut self) {
                std::mem::swap(self.0.out, self.1);
            }
        }
        let lent = Lent(self.ctx, reply);
        std::mem::swap(lent.0.out, lent.1);
        lent.0.call(entry, argv, keys);
    }

    /// Books what the run has done, once it is certain that it counts.
    fn book(&mut self) {
        let (ctx, errors) = (&mut *self.ctx, std::mem::take(&mut self.errors));
        let client = &ctx.session.client;
        let commands = client.commands.load(Relaxed) + self.calls;
        client.commands.store(commands, Relaxed);
        ctx.keys.counters.calls.add(self.calls);
        if errors.is_empty() {
            return;
        }
        // As real servers have it: one failure for each error of a command that it passes on, and one for all of its own.
        let own = errors.iter().flatten().count();
        let failures = errors.len() - own + usize::from(own > 0);
        if let Some(entry) = ctx.engine.registry().resolve(self.call.argv) {
            let tally = &ctx.keys.counters.commands[entry.id];
            tally.failed.add(failures as u64);
        }
        errors
            .iter()
            .flatten()
            .for_each(|code| ctx.keys.counters.error(code));
    }
}

impl Server for Bridge<'_, '_> {
    fn call(&mut self, argv: &[&[u8]], reply: &mut Out) -> std::result::Result<(), Abort> {
        let engine = self.ctx.engine;
        let called = match self.ctx.session.replays {
            false => engine.resolve_nested(argv),
            true => engine.registry().resolve(argv).map(|entry| (entry, None)),
        };
        let Some((entry, own)) = called else {
            self.refuse(None, reply, &gate::unknown(engine, SCRIPT, argv));
            return Ok(());
        };
        let argv = own.as_deref().unwrap_or(argv);
        let command = entry.command;
        let mut request = self.ctx.request(entry, argv);
        request.in_reader = self.call.read_only;
        request.short = self.short && !self.wrote;
        if let Err(closed) = gate::admit::<SCRIPT>(&request) {
            self.refuse(Some(entry), reply, &closed.into_error());
            return Ok(());
        }
        let writes = command.has(WRITE);
        let ks = engine.keyspace();
        let mut keys: SmallVec<[PlacedKey; 8]> = SmallVec::new();
        if command.has(ALL_SHARDS | OWN_LOCKS)
            || command.has(PATTERN_KEYS) && crate::table::positions::has_patterns(argv)
        {
            for shard in 0..ks.shards() {
                self.reach(shard)?;
            }
        } else {
            crate::table::positions::each_key(entry, argv, |i, _| {
                keys.push(PlacedKey::new(i, ks.place(argv[i])));
            });
            for key in &keys {
                self.reach(key.place.shard())?;
            }
        }
        if writes
            && !self.wrote
            && engine.may_close_to_changes()
            && engine.closes_to_changes(unix_ms())
        {
            // That may have begun before it had any lock, and is then over for whoever waited for all of them.
            if let Err(closed) = self.ask_again(entry, argv)? {
                self.refuse(Some(entry), reply, &closed);
                return Ok(());
            }
        }
        if let Err(restart) = self.ctx.keep_what_changes(entry, argv, &keys) {
            self.restart = Some(restart);
            return Err(Abort);
        }
        if writes && !self.wrote {
            if let Some(running) = &self.noted.running
                && !running.end.write()
            {
                // It was killed before it had written anything.
                return Err(Abort);
            }
            self.wrote = true;
        }
        self.ctx.keys.known.set(argv, &keys);
        if !self.ctx.helper.get() && self.ctx.goes_through(entry, argv) >= LONG_COMMAND {
            // It is not asked again until that is over.
            self.leave_at_ms = 0;
            if let Some(Interrupt::Abort) = self.poll(LONG_STEP) {
                return Err(Abort);
            }
        }
        self.carry_out(entry, argv, &keys, reply);
        if let Some(restart) = self.ctx.restart.take() {
            // It is long, and is not to be begun here.
            self.call.slow.note_slow();
            self.restart = Some(restart);
            return Err(Abort);
        }
        self.calls += 1;
        // The kernel's tick is cheap to look at, and good enough to notice that commands take long.
        if tick_ms().saturating_sub(self.began_tick) >= SLOW_TICKS
            && let Some(Interrupt::Abort) = self.poll(0)
        {
            return Err(Abort);
        }
        Ok(())
    }

    fn replied_error(&mut self, line: &[u8], counted: bool) {
        // As real servers have it: a line without a space near its beginning has no code.
        let end = line.iter().take(32).position(|&b| b == b' ');
        let code = end.map_or(&b"ERR"[..], |end| &line[..end]);
        let code = (!counted).then(|| String::from_utf8_lossy(code).into_owned());
        self.errors.push(code);
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(level, message);
    }

    fn poll(&mut self, ahead: usize) -> Option<Interrupt> {
        let now = unix_nanos();
        let now_ms = now / 1_000_000;
        let nothing_done = !self.ctx.nested && !self.wrote && self.ctx.keys.changes.is_empty();
        let can_be_undone = self.ctx.undo.is_some() || nothing_done;
        // One that begins when the stop has begun, as the next of a log that is being loaded, must not keep it waiting either.
        let stopping = self.noted.scripts.stops.load(Relaxed) != self.stops
            || self.ctx.engine.loading.is_stopped();
        if can_be_undone && stopping {
            self.restart = Some(Restart::Stopping);
            return Some(Interrupt::Abort);
        }
        let passed_ms = now_ms.saturating_sub(self.began_ms);
        let slow = self.ctx.engine.is_slow(passed_ms, SLOW.as_millis() as u64);
        if ahead >= LONG_STEP || slow {
            self.call.slow.note_slow();
            if !self.ctx.helper.get() && can_be_undone {
                self.restart = Some(Restart::Elsewhere);
                return Some(Interrupt::Abort);
            }
            if now_ms >= self.leave_at_ms {
                self.ctx.leave_the_others();
            }
        }
        if passed_ms >= self.ctx.engine.busy_after_ms() {
            self.ctx.tell_the_time(now);
        }
        if !self.ctx.helper.get() && can_be_undone {
            // It will be moved before it can be a nuisance; who ends it must find the one that goes on.
            return None;
        }
        let running = self.note_running();
        if running.end.is_killed() {
            return Some(Interrupt::Kill);
        }
        None
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Option<bool> {
        let entry = self.ctx.engine.resolve(argv)?;
        self.ctx.session.heed_users();
        Some(self.ctx.session.may(entry, argv).is_ok())
    }

    fn set_repl(&mut self, aof: bool, replicas: bool) {
        let readers = Readers { log: aof, replicas };
        self.ctx.keys.records.keep_for(readers);
    }
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
    if call.slow.is() && !ctx.helper.get() && ctx.undo.is_some() {
        ctx.restart.set(Some(Restart::Elsewhere));
        return Ok(());
    }
    if call.slow.is() && ctx.moves_elsewhere() {
        return Ok(());
    }
    let ks = ctx.engine.keyspace();
    let (db, nested) = (ctx.session.db, ctx.nested);
    let mut needed = Indices::new();
    ctx.keys.held.each(|shard| needed.push(shard));
    let mut out = std::mem::take(&mut runner.out);
    let mut noted = Noted {
        scripts: &ctx.engine.scripts,
        running: None,
    };
    let stops = noted.scripts.stops.load(Relaxed);
    let (mut result, mut again) = (Ok(()), false);
    for attempt in 0.. {
        out.clear();
        out.set_proto(ctx.session.proto);
        let definite = ctx.keys.token.is_some();
        let began = unix_nanos();
        if !nested {
            // For a script the time stands still; one of a transaction has the transaction's.
            ctx.stand_still_at(began);
        }
        if !nested && !definite {
            ctx.begin_undoable();
        }
        let in_script = std::mem::replace(&mut ctx.in_script, true);
        let short = ctx.session.short.load(Relaxed) && ctx.engine.memory().is_over();
        let mut bridge = Bridge {
            short: short && !call.allow_oom,
            ctx,
            call,
            noted: &mut noted,
            restart: None,
            calls: 0,
            wrote: false,
            began_ms: began / 1_000_000,
            began_tick: tick_ms(),
            errors: SmallVec::new(),
            db,
            stops,
            leave_at_ms: began / 1_000_000 + LEAVE.as_millis() as u64,
        };
        if call.slow.is() {
            // Others must know before they wait for its shards.
            bridge.note_running();
        }
        if let Some(running) = &bridge.noted.running {
            running.end.take_back();
        }
        let mut ended = body(&mut runner.vm, &mut bridge, &mut out);
        // It was for what the script itself did.
        bridge.ctx.keys.records.keep_for(Readers::ALL);
        // Clients that are served when this is announced may need further shards.
        if ended.is_ok() && bridge.ctx.engine.follow.effects.listening() {
            ended = ended.and_then(|ended| {
                bridge.reach_for_waiters()?;
                Ok(ended)
            });
        }
        let (restart, wrote) = (bridge.restart, bridge.wrote);
        match ended {
            Ok(ended) => {
                if let Ended::Error { counted } = ended {
                    let line = out.as_bytes().unwrap_or_default();
                    bridge.replied_error(line.get(1..).unwrap_or_default(), counted);
                }
                bridge.book();
            }
            Err(Abort) if !nested => bridge.ctx.take_back(),
            Err(Abort) => {}
        }
        drop(bridge);
        ctx.in_script = in_script;
        if !nested {
            ctx.undo = None;
        }
        if ended.is_ok() {
            if call.slow.is() && unix_nanos().saturating_sub(began) < FAST.as_nanos() as u64 {
                call.slow.note_fast();
            }
            ctx.out.append(&mut out);
            again = false;
            break;
        }
        again = true;
        if noted.is_killed() && !(nested && wrote) {
            result = Err(Error::new(KILLED));
            break;
        }
        if nested {
            ctx.restart.set(restart);
            break;
        }
        match restart {
            Some(Restart::Stopping) => {
                result = Err(Error::new("ERR The server is shutting down"));
                break;
            }
            Some(Restart::Elsewhere) => {
                ctx.next = Next::Elsewhere;
                break;
            }
            Some(Restart::AtTheGate) => {
                ctx.next = Next::Retry(Duration::ZERO);
                break;
            }
            restart => {
                ctx.engine.scripts.restarts.fetch_add(1, Relaxed);
                ctx.keys.held.each(|shard| needed.push(shard));
                if let Some(Restart::Shard(shard)) = restart {
                    needed.push(shard);
                }
                ctx.keys.held = Held::None;
                ctx.keys.token = None;
                let needs_token = restart == Some(Restart::Token) || attempt >= 2;
                if needs_token {
                    ctx.keys.token = ks.token_soon(None);
                    if ctx.keys.token.is_none() {
                        result = park(ctx, ks.token_index(), needed, needs_token);
                        break;
                    }
                }
                match ks.lock_many_soon(&mut needed, None) {
                    Ok(held) => {
                        ctx.keys.held = Held::of_many(held);
                        ctx.keys.recording = ctx.engine.journal.is_on();
                    }
                    Err(index) => {
                        ctx.keys.token = None;
                        result = park(ctx, index, needed, needs_token);
                        break;
                    }
                }
            }
        }
    }
    if noted.end() && again && result.is_ok() {
        // Between the look above and this. It is not begun again: who killed it was told that it ends.
        ctx.restart.set(None);
        ctx.next = Next::Done;
        ctx.session.leave_lines();
        result = Err(Error::new(KILLED));
    }
    drop(noted);
    runner.out = out;
    runner.note_memory();
    result
}

/// Has the call tried again with all that it turned out to need, once the lock with this index may be had.
fn park(ctx: &mut Ctx<'_>, index: usize, needs: Indices, needs_token: bool) -> Result {
    ctx.park(index)?;
    if let Some(parked) = &mut ctx.session.parked {
        (parked.needs, parked.needs_token) = (needs, needs_token);
    }
    Ok(())
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
pub(crate) struct Silent<'e> {
    engine: &'e Engine,
    began_ms: u64,
    /// The worker's other connections have been offered to other threads.
    left: bool,
}

impl<'e> Silent<'e> {
    pub fn new(engine: &'e Engine) -> Silent<'e> {
        Silent {
            engine,
            began_ms: unix_ms(),
            left: false,
        }
    }
}

impl Server for Silent<'_> {
    fn replied_error(&mut self, _line: &[u8], _counted: bool) {}

    fn call(&mut self, _argv: &[&[u8]], reply: &mut Out) -> std::result::Result<(), Abort> {
        reply.error("ERR This Redis command is not allowed from script");
        Ok(())
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(level, message);
    }

    fn poll(&mut self, ahead: usize) -> Option<Interrupt> {
        let passed_ms = unix_ms().saturating_sub(self.began_ms);
        if !self.left && (ahead >= LONG_STEP || passed_ms >= LEAVE.as_millis() as u64) {
            self.left = true;
            self.engine.host().hand_over();
        }
        None
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Option<bool> {
        self.engine.resolve(argv).map(|_| true)
    }

    /// Nothing is written down meanwhile.
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
