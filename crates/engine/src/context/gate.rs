//! The gate: whether a command may run now is asked here, and nowhere else.
//!
//! `GATES` is a list. Each gate says for which ways in it holds, and looks at a [`Request`]: the command's row, its
//! arguments, the session and the engine. They are asked in order, which is the order in which real servers ask, and the first
//! that is closed decides. Who wants one more adds an entry and a function; nothing else changes.
//!
//! [`admit`] is made for each way in, so that a gate that does not hold there costs nothing, and one that holds is a look at
//! something that is at hand: what takes longer stands in functions of its own, behind that look.
//!
//! A gate tells commands apart by the flags of their rows. Where it matters what a call does, it asks [`does`]: a script does
//! what it declares, and EXEC what is queued.

use crate::base::error::Error;
use crate::base::memory::Memory;
use crate::base::pressure::EVERY_SHARD;
use crate::base::replication::{CHANGES_HELD, READ_ONLY_REPLICA, STALE_REPLICA, TOO_FEW_REPLICAS};
use crate::base::stats::Counters;
use crate::base::wait_list::{InLine, Seen, Topic, WaitList};
use crate::context::command::Entry;
use crate::context::engine::Engine;
use crate::context::permissions;
use crate::context::session::Session;
use crate::evict::Outcome;
use crate::follow::monitor;
use crate::table::positions;
use crate::table::row::{
    ABOUT_CLIENT, ALL_SHARDS, ALLOW_BUSY, CHANGES_SESSION, DENYOOM, Facts, Group, IN_MULTI,
    LIKE_WRITE, LOADING, NO_ASYNC_LOADING, NO_AUTH, NO_MULTI, NOSCRIPT, OTHER_DB, OWN_LOCKS,
    READONLY, RUNS_QUEUE, RUNS_SCRIPT, STALE, WHILE_SUBSCRIBED, WRITE, row,
};
use resp::Proto;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Duration;

/// A request of a client, to be carried out now.
pub(crate) const CLIENT: u8 = 1;
/// A request of a client that MULTI queues.
pub(crate) const QUEUE: u8 = 1 << 1;
/// A queued command that EXEC carries out.
pub(crate) const EXEC: u8 = 1 << 2;
/// A command that a script calls.
pub(crate) const SCRIPT: u8 = 1 << 3;
/// A typed call of the program that the engine is part of.
pub(crate) const LIBRARY: u8 = 1 << 4;
/// A command or a typed call inside of a program's update, whose locks are held.
pub(crate) const UPDATE: u8 = 1 << 5;

/// What stands before the gate.
pub(crate) struct Request<'a> {
    pub engine: &'a Engine,
    /// Who asks; None of a typed call, which nobody in particular makes.
    pub session: Option<&'a Session>,
    pub facts: &'static Facts,
    /// The command; None of a typed call.
    pub entry: Option<&'a Entry>,
    /// The name of the command that it is part of, or its own.
    pub within: &'static str,
    pub argv: &'a [&'a [u8]],
    /// Bytes of memory that it needs beside those of its arguments.
    pub more: usize,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// It comes from a script that only reads.
    pub in_reader: bool,
    /// It comes from a script that began when there was no memory to be had, and has not changed anything yet.
    pub short: bool,
    /// Who asks counts with these.
    pub counters: &'a Counters,
}

impl Request<'_> {
    /// About how much memory it needs, in bytes.
    #[inline]
    fn needs(&self) -> usize {
        let of_arguments: usize = self.argv.iter().map(|arg| arg.len()).sum();
        of_arguments.saturating_add(self.more)
    }
}

/// What a typed call is about to do, as the gate asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It only looks.
    Look,
    /// It changes something that takes no more memory afterwards.
    Change,
    /// What it changes may grow.
    Grow,
}

impl Intent {
    /// The same as a row of the table of commands says it.
    #[inline]
    pub(crate) fn facts(self) -> &'static Facts {
        static LOOK: Facts = row("typed call", 0, READONLY, Group::Generic, "", ()).facts;
        static CHANGE: Facts = row("typed call", 0, WRITE, Group::Generic, "", ()).facts;
        static GROW: Facts = row("typed call", 0, WRITE | DENYOOM, Group::Generic, "", ()).facts;
        match self {
            Intent::Look => &LOOK,
            Intent::Change => &CHANGE,
            Intent::Grow => &GROW,
        }
    }

    /// Whether it changes anything.
    #[inline]
    pub fn writes(self) -> bool {
        self != Intent::Look
    }
}

/// Why it does not come in.
#[derive(Debug)]
pub(crate) enum Closed {
    /// This is the reply.
    Refused(Error),
    /// It is to wait. Only for those who can: clients and programs.
    Until(Box<Opens>),
}

/// When it is to try again: once the list is called, or after a time.
#[derive(Debug)]
pub(crate) struct Opens {
    list: Arc<WaitList>,
    seen: Seen,
    topic: Topic,
    most: Duration,
}

impl Opens {
    /// Stands in line, where it stood before if that is the line, and has this waker called. How long it waits at most.
    pub fn wait(self, place: &mut Option<InLine>, waker: &Waker) -> Duration {
        let place = match place {
            Some(place) if place.is_in(&self.list) => place,
            other => other.insert(InLine::last(&self.list)),
        };
        match place.wait(self.seen, self.topic, waker) {
            true => self.most,
            // It may have opened meanwhile.
            false => Duration::ZERO,
        }
    }
}

/// Until this list is called, or the time is over that `closed` says. In if that says None: it is asked once more, since who opens
/// may have called before there was anybody in the line.
#[cold]
fn until(list: &Arc<WaitList>, topic: Topic, closed: impl FnOnce() -> Option<Duration>) -> Passed {
    let seen = list.seen();
    let Some(most) = closed() else { return Ok(()) };
    let list = list.clone();
    Err(Closed::Until(Box::new(Opens {
        list,
        seen,
        topic,
        most,
    })))
}

impl Closed {
    /// The reply to one that cannot wait.
    pub fn into_error(self) -> Error {
        match self {
            Closed::Refused(error) => error,
            Closed::Until(_) => Error::INTERNAL,
        }
    }
}

/// For what opens when somebody opens it, and not with time.
const CALLED: Duration = Duration::from_secs(24 * 3600);

/// For room, of which nobody may say that there is some if the thread that sees to it could not be started.
const ROOM: Duration = Duration::from_secs(1);

/// Of lists that know one kind of waiting.
const ANY: Topic = 0;

type Passed = Result<(), Closed>;

/// Closed with this error.
#[cold]
fn refused(error: Error) -> Passed {
    Err(Closed::Refused(error))
}

macro_rules! gates {
    (
        first: $($(#[doc = $doc:literal])* $name:literal $ways:tt $check:path;)*
        parked: $($(#[doc = $late_doc:literal])* $late:literal $late_ways:tt $late_check:path;)*
    ) => {
        /// The names of all gates in order, and for which ways in they hold.
        #[cfg(test)]
        const GATES: &[(&str, u8)] = &[$(($name, gates!(ways $ways)),)* $(($late, gates!(ways $late_ways)),)*];

        /// Whether a command may run, or be queued, before any lock is taken for it.
        #[inline(always)]
        pub(crate) fn admit<const WAY: u8>(request: &Request<'_>) -> Passed {
            $(
                $(#[doc = $doc])*
                if const { gates!(ways $ways) & WAY != 0 } {
                    $check(request, WAY)?;
                }
            )*
            Ok(())
        }

        /// Whether a command that could not get its locks for some time may go on waiting for them.
        pub(crate) fn admit_parked<const WAY: u8>(request: &Request<'_>) -> Passed {
            $(
                $(#[doc = $late_doc])*
                if const { gates!(ways $late_ways) & WAY != 0 } {
                    $late_check(request, WAY)?;
                }
            )*
            Ok(())
        }
    };
    (ways [$($way:ident)*]) => { 0 $(| $way)* };
}

gates! {
    first:
    "arity"           [CLIENT QUEUE SCRIPT UPDATE] arity;
    "authentication"  [CLIENT QUEUE]         authentication;
    "in MULTI"        [QUEUE]                in_multi;
    "in scripts"      [SCRIPT]               in_scripts;
    "permissions"     [CLIENT QUEUE EXEC SCRIPT] permissions;
    "script reads"    [SCRIPT]               script_reads;
    "in updates"      [UPDATE]               in_updates;
    "memory"          [CLIENT QUEUE EXEC SCRIPT LIBRARY UPDATE] memory;
    "replication"     [CLIENT QUEUE SCRIPT LIBRARY] replication;
    "subscribed"      [CLIENT QUEUE]         subscribed;
    "monitoring"      [CLIENT QUEUE]         monitoring;
    "stale"           [CLIENT QUEUE EXEC SCRIPT LIBRARY] stale;
    "loading"         [CLIENT QUEUE LIBRARY] loading;
    "kept"            [CLIENT QUEUE LIBRARY] kept;
    "paused"          [CLIENT QUEUE LIBRARY] paused;
    "held up"         [CLIENT LIBRARY]       held_up;
    "log queue"       [CLIENT LIBRARY]       log_queue;
    // Asked last, and only by those who cannot get their locks: nobody else is in a script's way.
    parked:
    "busy script"     [CLIENT LIBRARY]       busy_script;
}

/// Whether a change that was let in may be made, asked with the locks of its keys held. Who closes these gates takes all locks
/// after that, or while doing so, so that each change is wholly before it, or is asked about here.
#[cold]
pub(crate) fn admit_held(request: &Request<'_>, way: u8) -> Passed {
    loading(request, way)?;
    replication(request, way)?;
    match writes(request) {
        true => paused(request, way),
        false => Ok(()),
    }
}

/// The error for a command or a subcommand that there is not.
#[cold]
pub(crate) fn unknown(engine: &Engine, way: u8, argv: &[&[u8]]) -> Error {
    match way {
        SCRIPT => Error::new("ERR Unknown Redis command called from script"),
        _ if engine.called(argv[0]).is_some() => Error::unknown_subcommand(argv),
        _ => Error::unknown_command(argv),
    }
}

/// What a call does: the flags of its row, but of a script those that it declares, and of EXEC those of all that is queued
/// too.
pub(crate) fn does(request: &Request<'_>) -> u64 {
    let facts = request.facts;
    if facts.has(RUNS_SCRIPT) {
        return request.engine.flags_of_script(facts, request.argv);
    }
    let multi = request.session.and_then(|s| s.multi.as_ref());
    match multi {
        Some(multi) if facts.has(RUNS_QUEUE) => facts.flags | multi.flags,
        _ => facts.flags,
    }
}

/// Whether a call changes something, or sends something that goes to replicas.
pub(crate) fn writes(request: &Request<'_>) -> bool {
    does(request) & (WRITE | LIKE_WRITE) != 0
}

#[inline(always)]
fn arity(request: &Request<'_>, way: u8) -> Passed {
    if request.facts.accepts(request.argv.len()) {
        return Ok(());
    }
    refused(match way {
        SCRIPT => Error::new("ERR Wrong number of args calling Redis command from script"),
        _ => Error::wrong_arity(request.facts.name),
    })
}

#[inline(always)]
fn authentication(request: &Request<'_>, _: u8) -> Passed {
    if request.session.is_none_or(|s| s.authenticated) || request.facts.has(NO_AUTH) {
        return Ok(());
    }
    refused(Error::NO_AUTH)
}

/// Whether the session's user may. The session has heeded what has changed of it.
#[inline(always)]
fn permissions(request: &Request<'_>, way: u8) -> Passed {
    match (request.session, request.entry) {
        (Some(session), Some(entry)) if !session.unrestricted => {
            match session.may(entry, request.argv) {
                Ok(()) => Ok(()),
                Err(denied) => refused(permissions::refusal(request, session, entry, denied, way)),
            }
        }
        _ => Ok(()),
    }
}

#[inline(always)]
fn in_multi(request: &Request<'_>, _: u8) -> Passed {
    if !request.facts.has(NO_MULTI) {
        return Ok(());
    }
    refused(Error::new("ERR Command not allowed inside a transaction"))
}

#[inline(always)]
fn in_scripts(request: &Request<'_>, _: u8) -> Passed {
    if !request.facts.has(NOSCRIPT) || may_be_tested(request) {
        return Ok(());
    }
    refused(Error::new(
        "ERR This Redis command is not allowed from script",
    ))
}

/// Whether scripts may use a command that is not for them all the same, for tests. Those that would take the locks out of the
/// script's hands they may not.
#[cold]
fn may_be_tested(request: &Request<'_>) -> bool {
    request.engine.scripts.allow_denied.load(Relaxed)
        && !request.facts.has(RUNS_SCRIPT | IN_MULTI | NO_MULTI)
        && request.facts.group != Group::Pubsub
}

#[inline(always)]
fn script_reads(request: &Request<'_>, _: u8) -> Passed {
    if !request.in_reader || !request.facts.has(WRITE | LIKE_WRITE) {
        return Ok(());
    }
    refused(Error::new(
        "ERR Write commands are not allowed from read-only scripts.",
    ))
}

/// An update holds the locks of its keys and takes no others, and it is no client's connection.
#[inline(always)]
fn in_updates(request: &Request<'_>, _: u8) -> Passed {
    const NOT: u64 = NOSCRIPT
        | RUNS_SCRIPT
        | RUNS_QUEUE
        | IN_MULTI
        | NO_MULTI
        | ALL_SHARDS
        | OWN_LOCKS
        | OTHER_DB
        | CHANGES_SESSION;
    if !request.facts.has(NOT) {
        return Ok(());
    }
    refused(Error::not_in_update(request.facts.name))
}

/// Who needs memory makes room first, and is refused if there is none. With a limit and room it is a look at two numbers.
#[inline(always)]
fn memory(request: &Request<'_>, way: u8) -> Passed {
    let memory = request.engine.memory();
    let limit = memory.limit();
    if limit == 0 {
        return Ok(());
    }
    let needs = match request.facts.has(DENYOOM) {
        true => request.needs(),
        false => 0,
    };
    if memory.used().saturating_add(needs) <= limit {
        return Ok(());
    }
    itself_memory(request, way)
}

/// Arguments of so many bytes are asked for room before they are taken in; less does not matter.
const LARGE: usize = 64 << 10;

#[cold]
fn itself_memory(request: &Request<'_>, way: u8) -> Passed {
    let (engine, facts, memory) = (request.engine, request.facts, request.engine.memory());
    // What a log holds was let in once.
    if request.session.is_some_and(|s| s.replays) || engine.leaves_memory_to_primary() {
        return Ok(());
    }
    if way == CLIENT && facts.group == Group::Pubsub && facts.has(LIKE_WRITE) {
        return sends_on(memory);
    }
    if way & (CLIENT | QUEUE | LIBRARY) != 0 && engine.holds_changes(request.now_ms) {
        // It waits, or is refused, at one of the next gates: no key is to go for it meanwhile.
        return Ok(());
    }
    let nested = way & (SCRIPT | EXEC | UPDATE) != 0;
    let grows = DENYOOM & if nested { facts.flags } else { does(request) } != 0;
    if !grows && !facts.has(RUNS_SCRIPT | RUNS_QUEUE) {
        return Ok(());
    }
    let bytes: usize = match grows {
        true => request.needs(),
        false => 0,
    };
    let bytes = if bytes < LARGE { 0 } else { bytes };
    if memory.used() + bytes <= memory.limit() {
        return Ok(());
    }
    let bound = memory.bound();
    let outcome = match bytes > bound {
        // Whatever went, it would not fit.
        true => Outcome::Nothing,
        false => engine.make_room(request.counters, request.now_ms, bytes),
    };
    let over = memory.is_over() && outcome == Outcome::Nothing;
    let far_over = memory.used() + bytes > bound;
    if !nested && let Some(session) = request.session {
        session.short.store(over, Relaxed);
    }
    if !grows {
        return Ok(());
    }
    let no_room = refused(Error::OUT_OF_MEMORY);
    match outcome {
        // What has begun to change something goes on, as in real servers, but not for ever.
        _ if nested && !request.short && !far_over => Ok(()),
        _ if nested && (over || far_over) => no_room,
        Outcome::Nothing if over || far_over => no_room,
        // Eviction is behind.
        Outcome::NotYet if !nested && far_over => {
            memory.ask(bytes);
            until(&memory.line, ANY, || {
                (memory.used() + bytes > bound).then_some(ROOM)
            })
        }
        _ => Ok(()),
    }
}

/// A primary with too few replicas takes no changes, and a replica takes them from its primary alone.
#[inline(always)]
fn replication(request: &Request<'_>, way: u8) -> Passed {
    if request.engine.standing.closed() & (TOO_FEW_REPLICAS | READ_ONLY_REPLICA | CHANGES_HELD) != 0
    {
        return itself_replication(request, way);
    }
    Ok(())
}

#[cold]
fn itself_replication(request: &Request<'_>, way: u8) -> Passed {
    let does = match way {
        SCRIPT => request.facts.flags,
        _ => does(request),
    };
    let closed = request.engine.standing.closed();
    if closed & CHANGES_HELD != 0 && way & (CLIENT | QUEUE | LIBRARY) != 0 {
        // What has begun is finished. A script, which may change something, is put off, and so is a message, which replicas are
        // to have too; what MULTI would queue is put off there, as real servers do, and if it was queued before, with EXEC.
        let changes = does & (WRITE | LIKE_WRITE) != 0;
        if changes && !replays(request) {
            let standing = &request.engine.standing;
            until(&standing.held, ANY, || {
                (standing.closed() & CHANGES_HELD != 0).then_some(CALLED)
            })?;
        }
    }
    if closed & (TOO_FEW_REPLICAS | READ_ONLY_REPLICA) == 0 || does & WRITE == 0 || replays(request)
    {
        return Ok(());
    }
    if closed & TOO_FEW_REPLICAS != 0 {
        return refused(Error::new("NOREPLICAS Not enough good replicas to write."));
    }
    refused(Error::new(
        "READONLY You can't write against a read only replica.",
    ))
}

/// A replica without its primary shows no old data, if that is wanted.
#[inline(always)]
fn stale(request: &Request<'_>, way: u8) -> Passed {
    if request.engine.standing.closed() & STALE_REPLICA != 0 {
        return itself_stale(request, way);
    }
    Ok(())
}

#[cold]
fn itself_stale(request: &Request<'_>, way: u8) -> Passed {
    let missing = match request.session.and_then(|session| session.multi.as_ref()) {
        Some(multi) if request.facts.has(RUNS_QUEUE) => multi.missing_flags,
        _ => 0,
    };
    let may = match request.facts.has(RUNS_SCRIPT) {
        true => (request.engine).may_be_stale(request.facts, request.argv, way == QUEUE),
        // What is queued was looked at when it came.
        false => way == EXEC || request.facts.flags & !missing & STALE != 0,
    };
    if may || replays(request) {
        return Ok(());
    }
    refused(Error::new(match way {
        SCRIPT => "ERR Can not execute the command on a stale replica",
        _ => "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    }))
}

/// Who sends messages waits while those who do not take theirs are being disconnected for it.
fn sends_on(memory: &Memory) -> Passed {
    if memory.used() <= memory.bound() || memory.clients_stay.load(Relaxed) {
        return Ok(());
    }
    until(&memory.line, ANY, || {
        memory.ring();
        let waits = memory.used() > memory.bound() && !memory.clients_stay.load(Relaxed);
        waits.then_some(ROOM)
    })
}

/// A client of RESP2 that subscribes to something could not tell a reply from a message.
#[inline(always)]
fn subscribed(request: &Request<'_>, _: u8) -> Passed {
    match request.session {
        Some(session)
            if session.subscriptions.is_some()
                && session.proto == Proto::Resp2
                && !request.facts.has(WHILE_SUBSCRIBED) =>
        {
            refused(Error::only_while_subscribed(request.facts.name))
        }
        _ => Ok(()),
    }
}

/// To real servers a client that uses MONITOR is a kind of replica.
#[inline(always)]
fn monitoring(request: &Request<'_>, _: u8) -> Passed {
    if request.engine.follow.monitors.watching() {
        return itself_monitoring(request);
    }
    Ok(())
}

#[cold]
fn itself_monitoring(request: &Request<'_>) -> Passed {
    let monitors = request
        .session
        .is_some_and(|s| s.client.monitors.load(Relaxed));
    if monitors && monitor::is_refused(request.facts) {
        return refused(Error::new("ERR Replica can't interact with the keyspace"));
    }
    Ok(())
}

/// Whether it stands in a log that is being read.
fn replays(request: &Request<'_>) -> bool {
    request.session.is_some_and(|session| session.replays)
}

/// Nobody sees half a data set. What a log holds is carried out all the same: that is how it is loaded. While another data set
/// is being loaded that will take the place of the one that is served, nothing is done that would save the one, send it on, or
/// ask for a third.
#[inline(always)]
fn loading(request: &Request<'_>, _: u8) -> Passed {
    if request.engine.loading.any() {
        return itself_loading(request);
    }
    Ok(())
}

#[cold]
fn itself_loading(request: &Request<'_>) -> Passed {
    if !request.engine.loading.is_on() {
        return match does(request) & NO_ASYNC_LOADING {
            0 => Ok(()),
            _ => refused(Error::LOADING),
        };
    }
    let Some(session) = request.session else {
        // A program that uses the data set of a server waits for it.
        let loading = &request.engine.loading;
        return until(&loading.line, ANY, || loading.is_on().then_some(CALLED));
    };
    let missing = match &session.multi {
        Some(multi) if request.facts.has(RUNS_QUEUE) => multi.missing_flags,
        _ => 0,
    };
    if replays(request) || request.facts.flags & !missing & LOADING != 0 {
        return Ok(());
    }
    refused(Error::LOADING)
}

/// What cannot be kept in files is not done. Messages between clients are not kept, so they go on.
#[inline(always)]
fn kept(request: &Request<'_>, _: u8) -> Passed {
    if request.engine.journal.refuses() {
        return itself_kept(request);
    }
    Ok(())
}

#[cold]
fn itself_kept(request: &Request<'_>) -> Passed {
    if request.facts.group == Group::Pubsub || does(request) & WRITE == 0 || replays(request) {
        return Ok(());
    }
    refused(Error::new(
        "MISCONF Changes cannot be kept in files at the moment, so none are made. The log of the server says why.",
    ))
}

#[inline(always)]
fn paused(request: &Request<'_>, _: u8) -> Passed {
    if request.engine.pause.wait_ms(request.now_ms, true).is_some() {
        return itself_paused(request);
    }
    Ok(())
}

#[cold]
fn itself_paused(request: &Request<'_>) -> Passed {
    let pause = &request.engine.pause;
    if request.facts.has(NO_AUTH | ABOUT_CLIENT) || replays(request) {
        return Ok(());
    }
    let writes = writes(request);
    if pause.wait_ms(request.now_ms, writes).is_none() {
        return Ok(());
    }
    until(&pause.line, ANY, || {
        (pause.wait_ms(request.now_ms, writes)).map(Duration::from_millis)
    })
}

/// A snapshot holds back as much as it may: what would make it more waits, but what is queued by MULTI only when it is carried
/// out.
#[inline(always)]
fn held_up(request: &Request<'_>, way: u8) -> Passed {
    if request.engine.pressure.any() {
        return itself_held_up(request, way);
    }
    Ok(())
}

/// Whether it changes something here and now, and is not only queued by MULTI.
fn changes_now(request: &Request<'_>) -> bool {
    let queues = request.session.is_some_and(|s| s.multi.is_some());
    let runs = request.facts.has(RUNS_QUEUE | RUNS_SCRIPT);
    let does = does(request);
    let changes = does & WRITE != 0 || runs && does & LIKE_WRITE != 0;
    changes && (runs || !queues)
}

#[cold]
fn itself_held_up(request: &Request<'_>, way: u8) -> Passed {
    let engine = request.engine;
    if !changes_now(request) {
        return Ok(());
    }
    // What a transaction or a script works on is not looked for, and a typed call does not say.
    let runs = request.facts.has(RUNS_QUEUE | RUNS_SCRIPT);
    let pressure = &engine.pressure;
    let mut waits_for = (way == LIBRARY || runs).then_some(EVERY_SHARD);
    if waits_for.is_none() {
        let _ = positions::extract(request.facts, request.argv, |at, _| {
            if let Some(key) = request.argv.get(at) {
                let shard = engine.keyspace().place(key).shard();
                waits_for = waits_for.or(pressure.concerns(shard).then_some(shard));
            }
        });
    }
    let Some(topic) = waits_for else {
        return Ok(());
    };
    until(&pressure.line, topic, || {
        let waits = pressure.any() && (topic == EVERY_SHARD || pressure.concerns(topic));
        waits.then(|| {
            pressure.note_wait();
            CALLED
        })
    })
}

/// As much waits for the disk as may: what would be written down beside it waits too.
#[inline(always)]
fn log_queue(request: &Request<'_>, _: u8) -> Passed {
    if request.engine.journal.queue.is_full() {
        return itself_log_queue(request);
    }
    Ok(())
}

#[cold]
fn itself_log_queue(request: &Request<'_>) -> Passed {
    // Who carries out a primary's stream has waited for room before, and must come to where the keeper may empty the journal.
    let follows = request.session.is_some_and(|session| session.follows);
    if follows || !changes_now(request) {
        return Ok(());
    }
    let queue = &request.engine.journal.queue;
    until(&queue.line, ANY, || {
        queue.is_full().then(|| {
            queue.note_wait();
            CALLED
        })
    })
}

fn busy_script(request: &Request<'_>, _: u8) -> Passed {
    // What a log or a stream holds cannot be told to come again: it waits.
    if request.facts.has(ALLOW_BUSY) || replays(request) {
        return Ok(());
    }
    match request.engine.busy(request.now_ms) {
        Some(busy) => refused(busy),
        None => Ok(()),
    }
}

impl Engine {
    /// Whether changes are refused or put off at the moment, by a gate that is asked about again with locks held.
    #[inline]
    pub(crate) fn holds_changes(&self, now_ms: u64) -> bool {
        self.standing.closed() & (READ_ONLY_REPLICA | CHANGES_HELD) != 0
            || self.pause.wait_ms(now_ms, true).is_some()
    }

    /// The same, and whether nothing is let in because a data set is being loaded.
    #[inline]
    pub(crate) fn closes_to_changes(&self, now_ms: u64) -> bool {
        self.loading.is_on() || self.holds_changes(now_ms)
    }

    /// Whether that is worth asking with the time of day, which takes longer to find out.
    #[inline]
    pub(crate) fn may_close_to_changes(&self) -> bool {
        self.standing.closed() != 0 || self.pause.was_begun() || self.loading.is_on()
    }

    /// The error for those whom a script keeps waiting that has been running for too long.
    pub(crate) fn busy(&self, now_ms: u64) -> Option<Error> {
        self.scripts.busy(now_ms, self.busy_after_ms())
    }

    /// After how long a script keeps others busy: never, if `busy-reply-threshold` is 0.
    pub(crate) fn busy_after_ms(&self) -> u64 {
        match self.config().live.busy_reply_threshold_ms.load(Relaxed) {
            0 => u64::MAX,
            threshold_ms => threshold_ms,
        }
    }
}

#[cfg(test)]
mod tests;
