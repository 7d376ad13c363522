//! One command: admitted, given its locks, run, and what it did worked off.

use crate::base::clock::unix_nanos;
use crate::base::error::Error;
use crate::base::guard;
use crate::base::journal::clock_at;
use crate::base::reclaim::BIG_VALUE;
use crate::base::stats::Counters;
use crate::base::ticks;
use crate::context::command::{
    ABOUT_CLIENT, Entry, FAST, GATHERS, IN_MULTI, OWN_LOCKS, RUNS_SCRIPT, WRITE,
};
use crate::context::ctx::{Ctx, LONG_WORK};
use crate::context::engine::Engine;
use crate::context::gate::{self, CLIENT, Closed, QUEUE, Request};
use crate::context::next::{Job, Next};
use crate::context::running::Running;
use crate::context::session::{ReplyMode, Session};
use crate::dispatch::admit::{enqueue, reject, reject_unknown};
use crate::dispatch::locks::{Locked, lock};
use crate::dispatch::worker::Worker;
use crate::door::change::Change;
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys};
use crate::door::known::KnownKeys;
use crate::follow::{command_log, monitor};
use crate::table::renamed::{OwnCall, by_own_name};
use resp::{Mark, Out};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::Blob;
use store::keyspace::Token;

/// Requests with at least this many bytes of arguments are executed on a helper thread.
const LONG_REQUEST: usize = 1 << 20;

/// Growth below this is never told at once, in bytes: without a limit nothing is gathered.
const STEP_LEAST: usize = 64;

impl Worker {
    /// Where some commands have been given other names: whether a planned call is by one of these, and if so the same call by the
    /// command's own.
    #[cold]
    pub(super) fn own_call<'a>(
        &self,
        planned: usize,
        argv: &[&'a [u8]],
        own: &mut OwnCall<'a>,
    ) -> bool {
        let Some(entry) = self.plan[planned].entry else {
            return false;
        };
        // SAFETY: points into the registry of `self.engine`, which never changes.
        let entry = unsafe { &*entry };
        by_own_name(entry, argv).map(|call| *own = call).is_some()
    }

    /// Executes one command. `raw`: its bytes as they came, if the log may have them so.
    #[inline]
    pub(super) fn one(
        &mut self,
        session: &mut Session,
        (argv, raw): (&[&[u8]], &[u8]),
        planned: usize,
        began: u64,
        out: &mut Out,
        mark: Mark,
    ) -> Next {
        let engine = &*self.engine;
        let counters = &*self.counters;
        let planned = &self.plan[planned];
        let Some(entry) = planned.entry else {
            return reject_unknown(counters, session, argv, out, mark);
        };
        // SAFETY: points into the registry of `self.engine`, which never changes.
        let entry = unsafe { &*entry };
        let command = entry.command;
        let tally = &counters.commands[entry.id];
        let clock_ms = began / 1_000_000;
        let now_ms = match session.replays {
            true => 0,
            false => clock_ms,
        };
        session.heed_users();
        let request = Request {
            engine,
            session: Some(session),
            facts: &command.facts,
            entry: Some(entry),
            within: command.name,
            argv,
            now_ms,
            in_reader: false,
            short: false,
            more: 0,
            counters,
        };
        if session.multi.is_some() && !command.has(IN_MULTI) {
            return match gate::admit::<QUEUE>(&request) {
                Ok(()) => {
                    let flags = gate::does(&request);
                    let places = (planned, &mut self.known);
                    enqueue(session, entry, places, flags, argv, out, mark)
                }
                Err(closed) => reject(counters, session, entry, closed, out, mark),
            };
        }
        if let Err(closed) = gate::admit::<CLIENT>(&request) {
            return reject(counters, session, entry, closed, out, mark);
        }
        if session.outgoing.is_some() && !command.has(GATHERS) {
            session.hand_out();
        }
        if argv.len() >= LONG_WORK && !self.helper {
            return Next::Elsewhere;
        }
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
        let clock = engine.config().live.aging.clock(clock_ms);
        // Between here and where it is put into its place nothing may unwind: it is handed over in registers then.
        let Locked { held, first, token } =
            match lock(engine, session, entry, planned, argv, &mut self.known) {
                Ok(locked) => locked,
                Err(index) => {
                    let request = Request {
                        now_ms: unix_nanos() / 1_000_000,
                        ..request_of(engine, session, entry, argv, counters)
                    };
                    if let Err(closed) = gate::admit_parked::<CLIENT>(&request) {
                        return reject(counters, session, entry, closed, out, mark);
                    }
                    session.stand(index);
                    return Next::Retry(engine.until_busy());
                }
            };
        let (mut locked, mut frozen) = ((held, token), false);
        if engine.standing.closed() != 0
            || engine.pause.wait_ms(now_ms, true).is_some()
            || engine.loading.is_on() && !session.replays
        {
            let request = (entry, argv, now_ms);
            match ask_again(engine, session, request, counters, locked) {
                Ok(open) => (locked, frozen) = open,
                Err(closed) => return reject(counters, session, entry, closed, out, mark),
            }
        }
        let (held, token) = locked;
        let mut ctx = Ctx {
            keys: Keys {
                ks: engine.keyspace(),
                held,
                db: session.db,
                now_ms,
                frozen,
                coarse: false,
                clock,
                aging: &engine.config().live.aging,
                known: KnownKeys::new(first, &mut self.known),
                counters,
                no_touch: session.client.no_touch.load(Relaxed),
                garbage: Garbage::new(),
                prepared: &prepared,
                listening: &engine.follow.effects.listening,
                changes: &mut self.changes,
                emptied: None,
                recording: engine.journal.is_on(),
                records: &mut self.records,
                own_expiries: engine.own_expiries(session.replays),
                token,
                room: if session.replays { None } else { engine.room() },
                #[cfg(debug_assertions)]
                named: Default::default(),
            },
            out,
            session,
            engine,
            command,
            helper: self.helper.into(),
            runner: &mut self.runner,
            nested: false,
            in_script: false,
            moment: None,
            undo: None,
            restart: Cell::new(None),
            stays_until_ms: Cell::new(0),
            next: Next::Done,
        };
        if ctx.session.is_parked() && !command.has(OWN_LOCKS) {
            ctx.session.leave_lines();
        }
        self.ran += 1;
        // What a command makes its shard grow by is told to who keeps to the limit, if there is one.
        let metered = match &ctx.keys.held {
            // What only looks can but let go of what has expired, which the next count of all of it finds.
            Held::One(shard, _) if engine.memory().limit() != 0 && command.has(WRITE) => {
                Some((*shard, engine.keyspace().shard_bytes(*shard)))
            }
            _ => None,
        };
        let db = ctx.keys.db;
        if ctx.keys.recording {
            ctx.session.clock = ctx.session.clock.max(clock_at(began));
            ctx.expire_named_keys(entry, argv);
        }
        let shown_at = monitor::time_of(&engine.follow.monitors, command);
        let result = ctx.carry_out(entry, argv);
        if let Next::Block(waiter) = &ctx.next
            && let Some(may_still) = ctx.session.may_still(entry, argv)
        {
            // Nobody has served it yet: the locks of its keys are held.
            let _ = waiter.may_still.set(may_still);
        }
        // What is nothing but the command as it came goes into the log from where it is.
        let mut verbatim = false;
        if ctx.keys.recording {
            verbatim = !raw.is_empty()
                && ctx.keys.changes.is_empty()
                && ctx.keys.records.take_as_it_came();
            if !verbatim {
                ctx.keys.records.finish(db, argv);
            }
        }
        // What a log holds is no news.
        let shown =
            engine.follow.monitors.watching() && (!ctx.session.replays || ctx.session.follows);
        if shown && command.has(RUNS_SCRIPT) {
            show(&mut ctx, argv, Some(shown_at));
        }
        if !ctx.keys.changes.is_empty() {
            let client = ctx.session.client.clone();
            engine.follow.apply(&mut ctx.keys, Some(&client));
        }
        if shown && !command.has(RUNS_SCRIPT) {
            show(&mut ctx, argv, None);
        }
        if verbatim {
            let clock = &mut ctx.session.clock;
            ctx.session.piece = engine.write_down_raw(&ctx.keys, db, raw, clock);
        } else if ctx.keys.recording
            && let Some(piece) = engine.write_down(&mut ctx.keys, &mut ctx.session.clock)
        {
            ctx.session.piece = piece;
        }
        if ctx.session.tracks_reads {
            note_reads(&mut ctx, entry, argv);
        }
        if let Next::Block(waiter) = &ctx.next
            && engine.follow.logs_slow()
        {
            waiter.show(&command.facts, argv);
        }
        let Ctx {
            keys:
                Keys {
                    held,
                    garbage,
                    token,
                    ..
                },
            out,
            session,
            mut next,
            ..
        } = ctx;
        if let Some((shard, before)) = metered {
            let after = engine.keyspace().shard_bytes(shard);
            self.grown += after.wrapping_sub(before) as isize;
        }
        drop(held);
        drop(token);
        if self.grown.unsigned_abs() >= STEP_LEAST && self.grown.abs() >= engine.memory().step() {
            engine.memory().grow(std::mem::take(&mut self.grown));
        }
        if !garbage.is_empty() {
            free(engine, garbage);
        }
        if let Next::Elsewhere | Next::Retry(_) = next {
            out.rollback(mark);
            return next;
        }
        if session.is_parked() {
            session.leave_lines();
        }
        if !matches!(next, Next::Block(_)) {
            // What blocks is counted when it is done.
            tally.calls.add(1);
        }
        if let Err(e) = result {
            tally.failed.add(1);
            counters.error(e.code());
            out.rollback(mark);
            out.error_bytes(e.bytes());
        }
        let muted = session.reply_mode != ReplyMode::On;
        if let Next::Offload(job) = next {
            next = Next::Offload(guarded_job(session, entry, argv, muted, job));
        }
        if muted {
            mute(session, out, mark);
            if let Next::Block(waiter) = &next {
                waiter.muted.store(true, Relaxed);
            }
        }
        next
    }
}

/// A client's command, as the gate is asked about it again.
#[cold]
fn request_of<'a>(
    engine: &'a Engine,
    session: &'a Session,
    entry: &'a Entry,
    argv: &'a [&'a [u8]],
    counters: &'a Counters,
) -> Request<'a> {
    Request {
        engine,
        session: Some(session),
        facts: &entry.command.facts,
        entry: Some(entry),
        within: entry.command.name,
        argv,
        now_ms: 0,
        in_reader: false,
        short: false,
        more: 0,
        counters,
    }
}

/// Asks with the locks of a command held whether it may still change something: who closes a gate to changes has all locks for a moment,
/// and so none that was let in before makes them after that. It is also said whether what has expired is to stay where it is. It
/// takes the locks and gives them back, so that nothing has to be dropped by who calls if this unwinds.
#[cold]
fn ask_again<'e>(
    engine: &Engine,
    session: &Session,
    (entry, argv, now_ms): (&Entry, &[&[u8]], u64),
    counters: &Counters,
    locked: (Held<'e>, Option<Token<'e>>),
) -> Result<((Held<'e>, Option<Token<'e>>), bool), Closed> {
    let request = Request {
        now_ms,
        ..request_of(engine, session, entry, argv, counters)
    };
    if !session.replays {
        gate::admit_held(&request, CLIENT)?;
    }
    // What goes on during a pause finds nothing expired that would have to be removed.
    // On a replica nothing does that, whoever asks: its primary removes what has expired.
    let frozen = engine.holds_changes(now_ms) && !gate::writes(&request)
        || engine.standing.keeps_expired(|| gate::writes(&request));
    Ok((locked, frozen))
}

/// Leaves what a command has freed to who frees it.
#[inline(never)]
fn free(engine: &Engine, garbage: Garbage) {
    for freed in garbage {
        engine.reclaimer.take(freed);
    }
}

/// A job for a helper thread that cannot panic, and whose time is its command's. `muted`: what it writes is not wanted.
#[cold]
fn guarded_job(session: &Session, entry: &Entry, argv: &[&[u8]], muted: bool, job: Job) -> Job {
    let (id, name, fast) = (entry.id, entry.command.name, entry.command.has(FAST));
    let (engine, client) = (session.engine.clone(), session.client.clone());
    let shown = command_log::shown(&entry.command.facts, argv);
    Box::new(move |out| {
        let began = ticks::now();
        let mut unwanted = Out::new(out.proto());
        let out = if muted { &mut unwanted } else { out };
        let mark = out.mark();
        let mut all = engine.registry().iter_all();
        let running = all
            .find(|entry| entry.id == id)
            .map(|entry| Running::job(entry, &engine, &client));
        let run = || catch_unwind(AssertUnwindSafe(|| job(out)));
        let ran = match &running {
            Some(running) => running.during(run),
            None => run(),
        };
        let took = ticks::now() - began;
        let live = &engine.config().live;
        engine.count_job(|counters| {
            if ran.is_err() {
                guard::note(counters, name);
                out.rollback(mark);
                out.error_bytes(Error::INTERNAL.bytes());
                counters.commands[id].failed.add(1);
                counters.error(Error::INTERNAL.code());
            }
            counters.commands[id].ticks.add(took);
            if live.latency_tracking.load(Relaxed) {
                counters.commands[id].took(took);
            }
        });
        if took >= live.noted_from.load(Relaxed) {
            engine.follow.note_slow(fast, took, &client, || shown);
        }
    })
}

/// Shows a command to those who watch: now, or, a script that began at some time, as the first of all that it has listed.
#[cold]
fn show(ctx: &mut Ctx<'_>, argv: &[&[u8]], began: Option<u64>) {
    if matches!(ctx.next, Next::Elsewhere | Next::Retry(_)) || !monitor::is_shown(ctx.command) {
        return;
    }
    let line = monitor::line(
        began.unwrap_or(0),
        ctx.session.db,
        &ctx.session.client,
        false,
        ctx.command,
        argv,
    );
    if began.is_some() {
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

/// Takes a reply back that CLIENT REPLY does not want.
#[cold]
pub(super) fn mute(session: &mut Session, out: &mut Out, mark: Mark) {
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
