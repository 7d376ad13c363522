//! Dispatch: from a batch of requests to changes and replies.
//!
//! A batch is whatever a connection's socket had. For a pipeline the worker first finds every command's row, hashes
//! its first key and starts fetching the cache lines it will need, bucket first, then entry; only then does it
//! execute, in order. By the time a command runs its memory is there, and misses overlap instead of following one
//! another.
//!
//! For each command dispatch checks arity and authentication, takes the locks of all the keys it names (in ascending
//! order of shard, see [`store::locks`]), runs the handler, lets go, and drops what was freed. A handler that panics
//! loses its reply and nothing else: the connection gets an error and goes on.

use crate::base::args::Args;
use crate::base::clock::unix_nanos;
use crate::base::error::Error;
use crate::base::reclaim::BIG_VALUE;
use crate::base::stats::Counters;
use crate::context::command::Entry;
use crate::context::command::{
    ABOUT_CLIENT, ALL_SHARDS, ALLOW_BUSY, Command, Group, IN_MULTI, LIKE_WRITE, NO_AUTH, NO_MULTI,
    OWN_LOCKS, PATTERN_KEYS, READONLY, RUNS_SCRIPT, WRITE,
};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::context::multi::{Wanted, locks_of};
use crate::context::next::Next;
use crate::context::next::PARKED;
use crate::context::next::PATIENCE;
use crate::context::next::Progress;
use crate::context::session::{ReplyMode, Session};
use crate::door::change::Change;
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys, KnownKey};
use crate::follow::monitor;
use crate::script::runner::Runner;
use crate::table::registry::KeyLayout;
use resp::{Batch, Mark, Out, ProtocolError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::Blob;
use store::keyspace::Token;
use store::locks::Indices;
use store::table::{Probe, table_hash};
use store::types::sorted_set::Move;

/// Commands looked ahead in a pipeline. Each needs some three cache lines, which must all stay in the first level.
const AHEAD: usize = 64;

/// Bytes of replies after which a batch is left for later, so that a client has to read before it gets more.
const ENOUGH: usize = 1 << 20;

/// Requests with at least this many bytes of arguments are executed on a helper thread.
const LONG_REQUEST: usize = 1 << 20;

/// Multi-key commands start fetching the entries of this many keys at once.
const KEYS_AHEAD: usize = 32;

/// Bytes of request or reply per command beyond which entries probably take more than two cache lines.
const WIDE: usize = 60;

/// About how many bytes the commands `from..to` took in the buffer they were read into.
fn request_bytes(batch: &Batch<'_>, from: usize, to: usize) -> usize {
    let (first, last) = (batch.get(from), batch.get(to - 1));
    match (first.first(), last.last()) {
        (Some(first), Some(last)) => {
            let end = last.as_ptr() as usize + last.len();
            end.saturating_sub(first.as_ptr() as usize)
        }
        _ => 0,
    }
}

/// What is fetched of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Item,
    Place,
}

struct Planned {
    /// Index of a registry entry's counters, for the time spent.
    id: usize,
    entry: Option<*const Entry>,
    hash: u64,
    hashed: bool,
}

/// What one thread runs commands with: scratch memory and counters.
pub struct Worker {
    engine: Arc<Engine>,
    counters: Arc<Counters>,
    plan: Vec<Planned>,
    probes: Vec<(Probe, u64)>,
    /// Index in the plan and hash of the members that are being fetched.
    members: Vec<(usize, u64)>,
    /// Whether the last batch had to do with large sets or hashes.
    large: bool,
    /// Whether the last batch's requests or replies were so long that entries probably take more than two cache lines.
    wide: bool,
    /// Whether this worker runs on a helper thread, where long commands are at home.
    helper: bool,
    /// What it runs scripts with, once there has been one.
    runner: Option<Box<Runner>>,
    /// The memory of the list of changes; empty.
    changes: Vec<Change>,
}

// SAFETY: the plan's pointers lead into the registry of `engine`, which the worker keeps alive and which never changes.
unsafe impl Send for Worker {}

impl Worker {
    pub(crate) fn new(engine: Arc<Engine>) -> Worker {
        let counters = engine.stats().add_worker(engine.registry().ids());
        Worker {
            engine,
            counters,
            plan: Vec::with_capacity(AHEAD),
            probes: Vec::with_capacity(AHEAD),
            members: Vec::new(),
            large: false,
            wide: false,
            helper: false,
            runner: None,
            changes: Vec::new(),
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Executes the commands of a batch from index `from` on and appends their replies to `out`, until the batch is
    /// done or something else has to happen first. Never panics and never waits for more than locks.
    pub fn run(
        &mut self,
        session: &mut Session,
        batch: &Batch<'_>,
        from: usize,
        out: &mut Out,
    ) -> Progress {
        self.engine.sleep_if_asleep();
        let began = unix_nanos();
        out.set_proto(session.proto);
        let empty = out.len();
        let mut at = from;
        let mut next = Next::Done;
        while at < batch.len() && matches!(next, Next::Done) && out.len() < ENOUGH {
            let first = at;
            let end = batch.len().min(first + AHEAD);
            self.look_ahead(session.db, batch, first..end);
            if end - first > 1 {
                self.look_into(session.db, batch, first);
            }
            let mut mark = out.mark();
            let ran = catch_unwind(AssertUnwindSafe(|| {
                while at < end && matches!(next, Next::Done) && out.len() < ENOUGH {
                    mark = out.mark();
                    next = self.one(session, batch.get(at), at - first, began, out, mark);
                    at += usize::from(!matches!(next, Next::Retry(_) | Next::Elsewhere));
                }
            }));
            if ran.is_err() {
                out.rollback(mark);
                out.error(&Error::INTERNAL.0);
                self.counters.panics.add(1);
                self.counters.error("ERR");
                tracing::error!(
                    "a command panicked: {}",
                    String::from_utf8_lossy(batch.get(at).first().unwrap_or(&&b""[..]))
                );
                next = Next::Done;
                at += 1;
            }
        }
        if at > from {
            self.wide =
                (out.len() - empty).max(request_bytes(batch, from, at)) / (at - from) > WIDE;
        }
        session.hand_out();
        let waits = usize::from(matches!(next, Next::Block(_)));
        self.account(session, began, at - from, waits);
        Progress { executed: at, next }
    }

    /// Executes one command that [`Next::Elsewhere`] sent to a helper thread.
    pub fn run_long(
        &mut self,
        session: &mut Session,
        batch: &Batch<'_>,
        at: usize,
        out: &mut Out,
    ) -> Progress {
        self.helper = true;
        self.run(session, batch, at, out)
    }

    /// Answers bytes that are no request, which ends the connection.
    pub fn protocol_error(&mut self, session: &Session, error: &ProtocolError, out: &mut Out) {
        out.set_proto(session.proto);
        out.protocol_error(error);
        self.counters.protocol_errors.add(1);
        self.counters.error("ERR");
    }

    /// Books the time of a batch to its commands and to the client. `waits`: how many of them block.
    fn account(&mut self, session: &Session, began: u64, executed: usize, waits: usize) {
        if executed == 0 {
            return;
        }
        let share = unix_nanos().saturating_sub(began) / executed as u64;
        // Of a batch longer than the look-ahead the last stretch stands for all: the sums stay right, and pipelines of
        // such length are of one kind.
        let n = self.plan.len().min(executed);
        if n > 0 {
            let each = share * executed as u64 / n as u64;
            for p in &self.plan[..n] {
                if p.entry.is_some() {
                    self.counters.commands[p.id].nanos.add(each);
                }
            }
        }
        // One that blocks is counted when it is done.
        let done = (executed - waits) as u64;
        self.counters.calls.add(done);
        let client = &session.client;
        client.active_s.store(began / 1_000_000_000, Relaxed);
        client.commands.fetch_add(done, Relaxed);
        if let Some(p) = self.plan.last() {
            let id = if p.entry.is_some() { p.id + 1 } else { 0 };
            client.last_command.store(id, Relaxed);
        }
    }

    /// Plans a stretch of a batch: finds rows, hashes first keys and begins to fetch what they need.
    #[inline]
    fn look_ahead(&mut self, db: usize, batch: &Batch<'_>, range: std::ops::Range<usize>) {
        let engine = &*self.engine;
        let ks = engine.keyspace();
        self.plan.clear();
        self.probes.clear();
        let alone = range.len() == 1;
        // Pipelines mostly repeat one command: the last one found is tried first.
        let mut last: Option<(&[u8], &Entry)> = None;
        for i in range {
            let argv = batch.get(i);
            let entry = match last {
                Some((name, e)) if name == argv[0] => Some(e),
                _ => engine.registry().resolve(argv),
            };
            if let Some(e) = entry
                && e.command.subs.is_empty()
                && !e.command.name.contains('|')
            {
                last = Some((argv[0], e));
            }
            let mut p = Planned {
                id: entry.map_or(0, |e| e.id),
                entry: entry.map(|e| e as *const Entry),
                hash: 0,
                hashed: false,
            };
            let first = match entry.map(|e| e.keys) {
                Some(KeyLayout::One(i) | KeyLayout::Range { first: i, .. }) => argv.get(i),
                _ => None,
            };
            if let Some(key) = first {
                p.hash = ks.hash(key);
                p.hashed = true;
                if !alone {
                    self.probes.push((ks.probe(db, p.hash), p.hash));
                }
            }
            self.plan.push(p);
        }
        for (probe, hash) in &self.probes {
            probe.entry(table_hash(*hash), self.wide);
        }
    }

    /// Begins to fetch the members that a stretch's commands name in large sets and hashes. Unlike keys they are looked
    /// for under the shard's lock, once for the members' places and once for the members; so that batches without large
    /// collections pay little, only the first such command is looked into until one is found.
    #[inline]
    fn look_into(&mut self, db: usize, batch: &Batch<'_>, first: usize) {
        let ks = self.engine.keyspace();
        // The key, the member, and what a sorted set's member is to be scored with; whether that is added.
        let member = |p: &Planned, i: usize| {
            // SAFETY: points into the registry of `self.engine`, which never changes.
            let command = unsafe { &*p.entry? }.command;
            if !p.hashed {
                return None;
            }
            match (command.group, batch.get(first + i)) {
                (Group::Hash | Group::Set, [_, key, member, ..]) => Some((*key, *member, None)),
                (Group::SortedSet, [_, key, member]) => Some((*key, *member, None)),
                (Group::SortedSet, [_, key, score, member]) if command.has(WRITE) => {
                    Some((*key, *member, Some((*score, command.name == "zincrby"))))
                }
                _ => None,
            }
        };
        self.members.clear();
        let mut large = false;
        let mut i = 0;
        while i < self.plan.len() {
            let p = &self.plan[i];
            let Some((key, ..)) = member(p, i) else {
                i += 1;
                continue;
            };
            // Whoever has the lock may keep it for long; this is only about being early.
            let Some(guard) = ks.try_lock(ks.shard_of(p.hash)) else {
                i += 1;
                continue;
            };
            let object = guard
                .db_ref(db)
                .get(p.hash, key)
                .and_then(|e| e.own_object());
            // All that follow on the same key, under one lock.
            while i < self.plan.len() && self.plan[i].hash == p.hash {
                if let Some(object) = object
                    && let Some((_, member, _)) = member(&self.plan[i], i)
                    && let Some(hash) = object.fetch(member)
                {
                    self.members.push((i, hash));
                    large = true;
                }
                i += 1;
            }
            if !large && !self.large {
                return;
            }
        }
        self.large = large;
        // First the members, then, for those that will move in their order, their places.
        let mut places: smallvec::SmallVec<[Move<'_>; AHEAD]> = smallvec::SmallVec::new();
        for step in [Step::Item, Step::Place] {
            let mut rest = &self.members[..];
            let mut moves = false;
            while let Some(&(i, _)) = rest.first() {
                let p = &self.plan[i];
                let guard = ks.try_lock(ks.shard_of(p.hash));
                let object = member(p, i)
                    .and_then(|(key, ..)| guard.as_ref()?.db_ref(db).get(p.hash, key))
                    .and_then(|e| e.own_object());
                while let Some(&(i, hash)) = rest.first()
                    && self.plan[i].hash == p.hash
                {
                    let (member, score) =
                        member(&self.plan[i], i).map_or((&b""[..], None), |(_, m, s)| (m, s));
                    moves |= score.is_some();
                    match (object, step, score) {
                        (Some(object), Step::Item, _) => object.fetch_item(hash),
                        (Some(_), Step::Place, Some((score, adds))) => places.push(Move {
                            hash,
                            member,
                            score: resp::parse_f64(score).unwrap_or_default(),
                            adds,
                        }),
                        _ => {}
                    }
                    rest = &rest[1..];
                }
                if let Some(object) = object
                    && !places.is_empty()
                {
                    object.fetch_places(&places);
                }
                places.clear();
            }
            if !moves {
                return;
            }
        }
    }

    /// Executes one command.
    #[inline]
    fn one(
        &mut self,
        session: &mut Session,
        argv: &[&[u8]],
        planned: usize,
        began: u64,
        out: &mut Out,
        mark: Mark,
    ) -> Next {
        let engine = &*self.engine;
        let counters = &*self.counters;
        let planned = &self.plan[planned];
        let Some(entry) = planned.entry else {
            if is_http(argv[0]) {
                tracing::warn!(
                    "a client speaks HTTP (perhaps against its user's will); its connection is closed"
                );
                return Next::CloseNow;
            }
            if let Some(multi) = &mut session.multi {
                multi.aborted = true;
            }
            return refuse(counters, session, out, mark, &Error::unknown_command(argv));
        };
        // SAFETY: points into the registry of `self.engine`, which never changes.
        let entry = unsafe { &*entry };
        let command = entry.command;
        let tally = &counters.commands[entry.id];
        if !command.accepts(argv.len()) {
            tally.rejected.add(1);
            let mut error = Error::wrong_arity(command.name);
            if let Some(multi) = &mut session.multi {
                multi.aborted = true;
            }
            if command.name == "exec" {
                error = abort_exec(session, &error);
            }
            return refuse(counters, session, out, mark, &error);
        }
        if !session.authenticated && !command.has(NO_AUTH) {
            tally.rejected.add(1);
            return refuse(counters, session, out, mark, &Error::NO_AUTH);
        }
        if session.outgoing.is_some() && command.name != "publish" {
            session.hand_out();
        }
        if session.subscriptions.is_some()
            && session.proto == resp::Proto::Resp2
            && !goes_on_while_subscribed(command)
        {
            tally.rejected.add(1);
            if command.name == "exec" {
                session.end_multi();
                session.unwatch();
            } else if let Some(multi) = &mut session.multi {
                multi.aborted = true;
            }
            let error = Error::only_while_subscribed(command.name);
            return refuse(counters, session, out, mark, &error);
        }
        let now_ms = began / 1_000_000;
        let mut writes =
            command.has(WRITE | LIKE_WRITE) || command.has(RUNS_SCRIPT) && !command.has(READONLY);
        if let Some(multi) = &mut session.multi {
            if !command.has(IN_MULTI) {
                return enqueue(counters, session, entry, planned, argv, out, mark);
            }
            writes |= multi.writes && command.name == "exec";
        }
        if engine.follow.monitors.watching()
            && session.client.monitors.load(Relaxed)
            && monitor::is_refused(command)
        {
            tally.rejected.add(1);
            let error = Error::new("ERR Replica can't interact with the keyspace");
            return refuse(counters, session, out, mark, &error);
        }
        if let Some(ms) = engine.pause.wait_ms(now_ms, writes)
            && !command.has(NO_AUTH)
            && !command.has(ABOUT_CLIENT)
        {
            return Next::Retry(Duration::from_millis(ms.min(1000)));
        }
        // What goes on during a pause finds nothing expired that would have to be removed.
        let frozen = !writes && engine.pause.wait_ms(now_ms, true).is_some();
        let mut prepared: Vec<(usize, Blob)> = Vec::new();
        if command.has(WRITE) && argv.iter().any(|a| a.len() >= BIG_VALUE) {
            if !self.helper && argv.iter().map(|a| a.len()).sum::<usize>() >= LONG_REQUEST {
                return Next::Elsewhere;
            }
            // Copied before any lock is taken; see `Keys::value`.
            prepared = argv
                .iter()
                .filter(|a| a.len() >= BIG_VALUE)
                .map(|a| (a.as_ptr() as usize, Arc::new(a.to_vec())))
                .collect();
        }
        let Some(Locked { held, first, token }) =
            lock(engine, session, entry, planned, argv, self.helper)
        else {
            if !command.has(ALLOW_BUSY)
                && let Some(busy) = engine.busy(unix_nanos() / 1_000_000)
            {
                tally.rejected.add(1);
                let busy = match command.name {
                    "exec" => abort_exec(session, &busy),
                    _ => busy,
                };
                return refuse(counters, session, out, mark, &busy);
            }
            return Next::Retry(PARKED);
        };
        let mut ctx = Ctx {
            keys: Keys {
                ks: engine.keyspace(),
                held,
                db: session.db,
                now_ms,
                frozen,
                coarse: false,
                clock: (now_ms / 1000) as u32 & 0xff_ffff,
                first,
                counters,
                no_touch: session.client.no_touch.load(Relaxed),
                garbage: Garbage::new(),
                prepared: &prepared,
                listening: &engine.follow.effects.listening,
                changes: std::mem::take(&mut self.changes),
                emptied: None,
                token,
            },
            out,
            session,
            engine,
            command,
            helper: self.helper,
            runner: &mut self.runner,
            nested: false,
            next: Next::Done,
        };
        let result = (command.run)(&mut ctx, Args::new(argv, 1));
        if engine.follow.monitors.watching() && command.has(RUNS_SCRIPT) {
            show(&mut ctx, argv, true);
        }
        if !ctx.keys.changes.is_empty() {
            let client = ctx.session.client.clone();
            engine.follow.apply(&mut ctx.keys, Some(&client));
        }
        if engine.follow.monitors.watching() && !command.has(RUNS_SCRIPT) {
            show(&mut ctx, argv, false);
        }
        if ctx.session.tracks_reads {
            note_reads(&mut ctx, entry, argv);
        }
        let Ctx {
            keys:
                Keys {
                    held,
                    garbage,
                    token,
                    changes,
                    ..
                },
            out,
            session,
            next,
            ..
        } = ctx;
        drop(held);
        drop(token);
        self.changes = changes;
        for freed in garbage {
            engine.reclaimer.take(freed);
        }
        if let Next::Elsewhere | Next::Retry(_) = next {
            return next;
        }
        if !matches!(next, Next::Block(_)) {
            // What blocks is counted when it is done.
            tally.calls.add(1);
        }
        if let Err(e) = result {
            tally.failed.add(1);
            counters.error(e.code());
            out.rollback(mark);
            out.error(&e.0);
        }
        if session.reply_mode != ReplyMode::On {
            mute(session, out, mark);
            if let Next::Offload(job) = next {
                // What it will write is not wanted either.
                return Next::Offload(Box::new(move |out| job(&mut Out::new(out.proto()))));
            }
            if let Next::Block(waiter) = &next {
                waiter.muted.store(true, Relaxed);
            }
        }
        next
    }
}

/// Whether a first word is that of an HTTP request. A web page can make a browser send one to any local port, with a body
/// of the page's choice, so such a connection must be closed before more of it is taken for commands.
#[cold]
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

/// Ends a transaction whose EXEC is refused; the error that says so.
#[cold]
fn abort_exec(session: &mut Session, why: &Error) -> Error {
    session.end_multi();
    session.unwatch();
    let text = why.0.trim_start_matches("ERR ");
    Error::new(format!(
        "EXECABORT Transaction discarded because of: {text}"
    ))
}

/// Answers a command that is not executed.
#[cold]
fn refuse(
    counters: &Counters,
    session: &mut Session,
    out: &mut Out,
    mark: Mark,
    error: &Error,
) -> Next {
    counters.error(error.code());
    out.error(&error.0);
    if session.tracks_reads {
        session.end_caching();
    }
    if session.reply_mode != ReplyMode::On {
        mute(session, out, mark);
    }
    Next::Done
}

/// Shows a command to those who watch: now, or as the first of all that it has listed.
#[cold]
fn show(ctx: &mut Ctx<'_>, argv: &[&[u8]], first: bool) {
    if matches!(ctx.next, Next::Elsewhere | Next::Retry(_)) || !monitor::is_shown(ctx.command) {
        return;
    }
    let line = monitor::line(
        ctx.session.db,
        &ctx.session.client,
        false,
        ctx.command,
        argv,
    );
    if first {
        ctx.keys.changes.insert(0, Change::Shown(line));
    } else {
        ctx.engine.follow.monitors.show(ctx.engine.config(), &line);
    }
}

/// Notes the keys that a client which tracks has read, while their locks are held.
#[cold]
fn note_reads(ctx: &mut Ctx<'_>, entry: &Entry, argv: &[&[u8]]) {
    if matches!(ctx.next, Next::Elsewhere | Next::Retry(_)) {
        return;
    }
    let (engine, session) = (ctx.engine, &*ctx.session);
    if session.notes_reads() {
        crate::follow::tracking::each_read(entry, argv, |key| {
            engine
                .follow
                .tracking
                .remember(&engine.follow, key, &session.client);
        });
    }
    if !entry.command.has(ABOUT_CLIENT) {
        session.end_caching();
    }
}

/// Whether a command is one of the few that a client of RESP2, which could not tell replies from messages, may use while it
/// subscribes to something.
#[cold]
fn goes_on_while_subscribed(command: &Command) -> bool {
    [
        "ping",
        "subscribe",
        "ssubscribe",
        "unsubscribe",
        "sunsubscribe",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ]
    .contains(&command.name)
}

/// Takes a reply back that CLIENT REPLY does not want.
#[cold]
fn mute(session: &mut Session, out: &mut Out, mark: Mark) {
    let pushed = out.mark();
    let mark = match std::mem::take(&mut session.pushing) {
        true => pushed,
        false => mark,
    };
    match session.reply_mode {
        ReplyMode::On => {}
        ReplyMode::Off => out.rollback(mark),
        ReplyMode::SkipNext => {
            out.rollback(mark);
            session.reply_mode = ReplyMode::Skipping;
        }
        ReplyMode::Skipping => {
            out.rollback(mark);
            session.reply_mode = ReplyMode::On;
        }
    }
}

/// Puts a command into the queue of the transaction that it is part of.
fn enqueue(
    counters: &Counters,
    session: &mut Session,
    entry: &Entry,
    planned: &Planned,
    argv: &[&[u8]],
    out: &mut Out,
    mark: Mark,
) -> Next {
    let Some(multi) = &mut session.multi else {
        unreachable!("only a transaction's commands are queued")
    };
    if entry.command.has(NO_MULTI) {
        multi.aborted = true;
        counters.commands[entry.id].rejected.add(1);
        let error = Error::new("ERR Command not allowed inside a transaction");
        return refuse(counters, session, out, mark, &error);
    }
    let hash = match entry.keys {
        KeyLayout::One(i) if planned.hashed => Some((i, planned.hash)),
        _ => None,
    };
    multi.push(entry, argv, hash);
    let limits = &session.engine.config().live;
    if multi.memory() >= limits.client_query_buffer_limit.load(Relaxed) {
        tracing::warn!(
            "client {} has queued more than client-query-buffer-limit allows; its connection is closed",
            session.client.id
        );
        return Next::CloseNow;
    }
    session.client.queued.store(multi.len() + 1, Relaxed);
    out.simple("QUEUED");
    if session.reply_mode != ReplyMode::On {
        mute(session, out, mark);
    }
    Next::Done
}

/// What a command holds while it runs.
struct Locked<'e> {
    held: Held<'e>,
    /// The first key.
    first: KnownKey,
    token: Option<Token<'e>>,
}

impl<'e> Locked<'e> {
    fn of(held: Held<'e>, first: KnownKey) -> Locked<'e> {
        Locked {
            held,
            first,
            token: None,
        }
    }
}

/// Takes the locks a command needs. None if one of them could not be had for some time, on a worker, which has others to
/// serve.
#[inline]
fn lock<'e>(
    engine: &'e Engine,
    session: &Session,
    entry: &Entry,
    planned: &Planned,
    argv: &[&[u8]],
    patient: bool,
) -> Option<Locked<'e>> {
    let ks = engine.keyspace();
    let may_serve = || engine.follow.effects.listening() && entry.command.has(WRITE);
    if let KeyLayout::One(i) = entry.keys
        && planned.hashed
        && !may_serve()
    {
        let shard = ks.shard_of(planned.hash);
        let guard = match ks.try_lock(shard) {
            Some(guard) => guard,
            None if patient => ks.lock(shard),
            None => ks.lock_for(shard, PATIENCE)?,
        };
        // Asked again with the lock held, under which whoever waits for the key was listed meanwhile.
        if !may_serve() {
            let first = (argv[i].as_ptr() as usize, argv[i].len(), planned.hash);
            return Some(Locked::of(Held::One(shard, guard), first));
        }
    }
    lock_several(engine, session, entry, argv, patient)
}

fn lock_several<'e>(
    engine: &'e Engine,
    session: &Session,
    entry: &Entry,
    argv: &[&[u8]],
    patient: bool,
) -> Option<Locked<'e>> {
    let ks = engine.keyspace();
    let command = entry.command;
    if command.has(ALL_SHARDS | OWN_LOCKS) && !patient && engine.scripts.any_running() {
        // It would come to the shards that a slow script holds.
        return None;
    }
    let mut wanted = Wanted::default();
    let mut ahead: smallvec::SmallVec<[(Probe, u64); KEYS_AHEAD]> = smallvec::SmallVec::new();
    let mut first = KnownKey::default();
    if command.has(ALL_SHARDS)
        || command.has(PATTERN_KEYS) && crate::table::positions::has_patterns(argv)
    {
        wanted.all = true;
    } else if command.name == "exec" {
        locks_of(engine, session, &mut wanted);
    } else if !command.has(OWN_LOCKS) {
        let db = session.db;
        let mut add = |key: &[u8]| {
            let hash = ks.hash(key);
            if wanted.shards.is_empty() {
                first = (key.as_ptr() as usize, key.len(), hash);
            }
            wanted.shards.push(ks.shard_of(hash));
            if ahead.len() < KEYS_AHEAD {
                ahead.push((ks.probe(db, hash), hash));
            }
        };
        match entry.keys {
            KeyLayout::None => {}
            KeyLayout::One(i) => argv.get(i).into_iter().for_each(|key| add(key)),
            KeyLayout::Range { first, last, step } => {
                let last = if last < 0 {
                    argv.len().saturating_sub(last.unsigned_abs() as usize)
                } else {
                    (last as usize).min(argv.len() - 1)
                };
                let mut i = first;
                while i <= last && i < argv.len() {
                    add(argv[i]);
                    i += step;
                }
            }
            KeyLayout::General => {
                crate::table::positions::each_key(entry, argv, |i, _| add(argv[i]))
            }
        }
    }
    for (probe, hash) in &ahead {
        probe.entry(table_hash(*hash), false);
    }
    let patience = (!patient).then_some(PATIENCE);
    let token = match wanted.token {
        true => Some(ks.token(patience.unwrap_or(Duration::MAX))?),
        false => None,
    };
    if wanted.all {
        wanted.shards = (0..ks.shards()).collect();
    }
    let mut held = match wanted.shards[..] {
        [] => Held::None,
        [shard] => Held::One(
            shard,
            match patience {
                None => ks.lock(shard),
                Some(patience) => ks
                    .try_lock(shard)
                    .or_else(|| ks.lock_for(shard, patience))?,
            },
        ),
        _ => Held::Many(ks.lock_many_for(&mut wanted.shards, patience)?),
    };
    // Clients that wait for these keys may, when they are served, change keys of further shards.
    if engine.follow.effects.listening()
        && !wanted.all
        && command.has(WRITE | IN_MULTI | RUNS_SCRIPT)
    {
        loop {
            let mut more = Indices::new();
            held.each(|shard| {
                engine
                    .follow
                    .effects
                    .further_shards(shard, &mut |s| more.push(s))
            });
            more.retain(|shard| !held.has(*shard));
            if more.is_empty() {
                break;
            }
            held.each(|shard| more.push(shard));
            drop(held);
            held = Held::Many(ks.lock_many_for(&mut more, patience)?);
        }
    }
    Some(Locked { held, first, token })
}
