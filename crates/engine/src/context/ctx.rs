//! What a handler works with: the keys that dispatch has locked for it, the reply it writes, its session, and the engine.

use crate::base::args::Args;
use crate::base::clock::tick_ms;
use crate::base::error::Error;
use crate::base::guard::guarded;
use crate::base::hot::MEASURES;
use crate::base::ticks;
use crate::context::command::Command;
use crate::context::command::Entry;
use crate::context::command::Registry;
use crate::context::engine::Engine;
use crate::context::gate::Request;
use crate::context::hot;
use crate::context::next::Job;
use crate::context::next::Next;
use crate::context::report;
use crate::context::session::Session;
use crate::context::undo::Restart;
use crate::door::change::Change;
use crate::door::change::Event;
use crate::door::change::KeyBytes;
use crate::door::keys::Keys;
use crate::door::known::PlacedKey;
use crate::door::undo::Undo;
use crate::follow::claims::NEVER;
use crate::follow::pending::Pending;
use crate::follow::waiting::Wait;
use crate::follow::waiting::{NEXT_NUMBER, Waiter};
use crate::follow::{command_log, monitor};
use crate::script::runner::Runner;
use crate::table::positions::each_key;
use crate::table::registry::KeyLayout;
use crate::table::row::{
    CHANGES_READ_KEYS, KS_RO, OTHER_DB, RUNS_QUEUE, RUNS_SCRIPT, WHOLE, WRITE,
};
use parking_lot::Mutex;
use resp::{Mark, Out};
use smallvec::SmallVec;
use std::cell::Cell;
use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use store::{Place, Type};

/// From so many elements of collections on, to be looked at, removed or returned, a command is long: together they take
/// about a millisecond.
pub const LONG_WORK: usize = 10_000;

/// After how long a worker's connections are offered again, if nobody could take them.
const LEAVE_AGAIN_MS: u64 = 1000;

/// What a handler gets. See the module's page.
pub struct Ctx<'e> {
    /// The keys it may use.
    pub keys: Keys<'e>,
    /// Where its reply goes.
    pub out: &'e mut Out,
    /// Its connection.
    pub session: &'e mut Session,
    /// Everything else.
    pub engine: &'e Engine,
    /// Its own row.
    pub command: &'static Command,
    pub(crate) helper: Cell<bool>,
    /// What the thread runs scripts with.
    pub(crate) runner: &'e mut Option<Box<Runner>>,
    /// Whether the command is part of a transaction or a script: it must neither block nor be put off, and its keys' locks
    /// are held by what it is part of.
    pub(crate) nested: bool,
    /// Whether it is part of a script.
    pub(crate) in_script: bool,
    /// When the transaction or script began that it is part of, in Unix nanoseconds: for them the time stands still.
    pub(crate) moment: Option<NonZeroU64>,
    /// What is needed to take back the script or transaction that runs, if that is possible.
    pub(crate) undo: Option<Undo>,
    /// A script that is part of a transaction cannot go on: the whole has to start over.
    pub(crate) restart: Cell<Option<Restart>>,
    /// When to try again to give away the worker's other connections, by [`tick_ms`].
    pub(crate) stays_until_ms: Cell<u64>,
    pub(crate) next: Next,
}

/// The keys that a call names, unless it is one that may work on any: those that take all locks or their own, and those that are
/// made of others.
#[cfg(debug_assertions)]
fn named(entry: &Entry, argv: &[&[u8]]) -> crate::door::keys::Named {
    use crate::table::row::{ALL_SHARDS, OWN_LOCKS, PATTERN_KEYS};
    let command = entry.command;
    if command.has(ALL_SHARDS | OWN_LOCKS | RUNS_SCRIPT | RUNS_QUEUE)
        || command.has(PATTERN_KEYS) && crate::table::positions::has_patterns(argv)
    {
        return crate::door::keys::Named(None);
    }
    let mut keys = HashSet::new();
    each_key(entry, argv, |i, _| {
        keys.insert(argv[i].into());
    });
    crate::door::keys::Named(Some(keys))
}

impl<'e> Ctx<'e> {
    /// All commands.
    pub fn registry(&self) -> &'e Registry {
        self.engine.registry()
    }

    /// For a transaction or a script the time stands still, in Unix nanoseconds. Where a log is read, there is none: see
    /// [`Session::replay`].
    pub(crate) fn stand_still_at(&mut self, now: u64) {
        self.moment = NonZeroU64::new(now);
        if !self.session.replays {
            self.keys.now_ms = now / 1_000_000;
        }
    }

    /// The time that TIME tells within a script that has been running for long, in Unix nanoseconds: who waits for a time to come must
    /// see it come. For keys it stands still all the same.
    pub(crate) fn tell_the_time(&mut self, now: u64) {
        self.moment = NonZeroU64::new(now).max(self.moment);
    }

    /// A command that is part of this one, as the [gate](crate::context::gate) is asked about it.
    pub(crate) fn request<'a>(&'a mut self, entry: &'a Entry, argv: &'a [&'a [u8]]) -> Request<'a> {
        self.session.heed_users();
        Request {
            engine: self.engine,
            session: Some(self.session),
            facts: &entry.command.facts,
            entry: Some(entry),
            within: self.command.name,
            argv,
            now_ms: self.keys.now_ms,
            in_reader: false,
            more: 0,
            short: false,
            counters: self.keys.counters,
        }
    }

    /// Has the connection closed once its replies are sent.
    pub fn close_after_reply(&mut self) {
        self.next = Next::Close;
    }

    /// Leaves the reply to a job that runs on a helper thread without any lock, while the connection waits for it.
    pub fn offload(&mut self, job: Job) {
        self.next = Next::Offload(job);
    }

    /// For a command that turns out to be long once its keys are seen: whether it is to return at once, without a reply
    /// and without having changed or counted anything, because it will be executed again on a helper thread. There its
    /// locks are held, but the worker's other connections do not wait. False if this is a helper thread already.
    pub fn moves_elsewhere(&mut self) -> bool {
        let moves = self.can_move();
        if moves {
            self.next = Next::Elsewhere;
        }
        moves
    }

    /// The same for one that will then say so itself ([`Next::Elsewhere`]).
    pub(crate) fn can_move(&self) -> bool {
        if self.helper.get() || !self.nested {
            return !self.helper.get();
        }
        if self.undo.is_some() {
            self.restart.set(Some(Restart::Elsewhere));
            return true;
        }
        self.leave_the_others();
        false
    }

    /// About how many bytes of collections a command that is part of this one goes through. Its keys' shards are held.
    pub(crate) fn goes_through(&self, entry: &Entry, argv: &[&[u8]]) -> usize {
        let mut bytes = 0;
        if entry.command.has(WHOLE) {
            each_key(entry, argv, |i, _| {
                let found = self.keys.peek(argv[i]);
                bytes += found
                    .filter(|e| e.kind() != Type::String)
                    .map_or(0, |e| e.memory());
            });
        }
        bytes
    }

    /// For what takes long on a worker and cannot be moved: the worker's other connections go to another thread, if there is
    /// one to be had. This one is a helper's from then on.
    pub(crate) fn leave_the_others(&self) {
        let now_ms = tick_ms();
        if !self.helper.get() && now_ms >= self.stays_until_ms.get() {
            self.helper.set(self.engine.host().hand_over());
            self.stays_until_ms.set(now_ms + LEAVE_AGAIN_MS);
        }
    }

    /// Removes those of a write command's keys that have expired. Who only looks at a key may leave it there, and
    /// who does the command again, at a time when they had not expired, would see them.
    pub(crate) fn expire_named_keys(&mut self, entry: &Entry, argv: &[&[u8]]) {
        if !entry.command.has(WRITE) {
            return;
        }
        match entry.keys {
            // Nearly all, without a look at what their keys are, where keys with an expiry are few.
            KeyLayout::One(_) if !self.keys.held_may_have_expired() => {}
            KeyLayout::One(i) => argv
                .get(i)
                .into_iter()
                .for_each(|key| self.expire_named(key)),
            _ => each_key(entry, argv, |i, _| self.expire_named(argv[i])),
        }
    }

    #[inline]
    fn expire_named(&mut self, key: &[u8]) {
        if self.keys.may_have_expired(key) {
            let _ = self.keys.peek_or_expire(key);
        }
    }

    /// Lists the line of a command that was part of another for those who watch. `listed`: length of the list before it
    /// was carried out.
    #[cold]
    fn show_nested(&mut self, argv: &[&[u8]], (in_script, time): (bool, u64), listed: usize) {
        let (command, client) = (self.command, &self.session.client);
        if monitor::is_shown(command) {
            let line = monitor::line(time, self.session.db, client, in_script, command, argv);
            // What a script did comes after it.
            let changes = &mut self.keys.changes;
            let at = match command.has(RUNS_SCRIPT) {
                true => listed.min(changes.len()),
                false => changes.len(),
            };
            changes.insert(at, Change::Shown(line));
        }
    }

    /// Answers a command that is part of this one and is not carried out.
    #[cold]
    pub(crate) fn refuse(&mut self, entry: &Entry, error: &Error) {
        self.keys.counters.commands[entry.id].rejected.add(1);
        self.keys.counters.error(error.code());
        self.out.error_bytes(error.bytes());
        if let Some(undo) = &mut self.undo {
            undo.counted_rejected(Some(entry.id), error);
        }
    }

    /// Lets the handler of a command run. One that panics costs its reply: what it may have changed is said for it, and the
    /// error is the reply.
    #[inline]
    pub(crate) fn carry_out(&mut self, entry: &Entry, argv: &[&[u8]]) -> Result<(), Error> {
        let counters = self.keys.counters;
        let (in_script, moment) = (self.in_script, self.moment);
        #[cfg(debug_assertions)]
        let named = std::mem::replace(&mut self.keys.named, named(entry, argv));
        let running = self.running(entry, argv);
        let ran = running.during(|| {
            guarded(counters, entry.command.name, || {
                let result = (entry.command.run)(self, Args::new(argv, 1));
                if self.nested {
                    self.finish_job();
                }
                result
            })
        });
        #[cfg(debug_assertions)]
        {
            self.keys.named = named;
        }
        ran.unwrap_or_else(|| {
            (self.in_script, self.moment) = (in_script, moment);
            report::panicked(self, entry, argv);
            self.make_good(entry, argv);
            Err(Error::INTERNAL)
        })
    }

    /// Does at once what a command would have left to a helper thread.
    fn finish_job(&mut self) {
        if let Next::Offload(_) = self.next
            && let Next::Offload(job) = std::mem::replace(&mut self.next, Next::Done)
        {
            job(self.out);
        }
    }

    /// Makes good what a handler left behind that panicked.
    #[cold]
    fn make_good(&mut self, entry: &Entry, argv: &[&[u8]]) {
        let (command, session) = (entry.command, &mut *self.session);
        if let Next::Block(waiter) = std::mem::replace(&mut self.next, Next::Done) {
            self.engine.follow.leave(&waiter);
        }
        if command.has(RUNS_QUEUE) {
            session.end_multi();
            session.unwatch();
            session.client.queued.store(0, Relaxed);
        }
        let keys = &mut self.keys;
        keys.db = session.db;
        keys.say_what_was_emptied();
        if !command.has(WRITE) {
            return;
        }
        // Nobody knows how far it got: of all keys that it was to change it is said that they have.
        let dbs = match command.has(OTHER_DB) {
            true => 0..keys.ks.databases(),
            false => keys.db..keys.db + 1,
        };
        each_key(entry, argv, |i, flags| {
            if flags & KS_RO == 0 || command.has(CHANGES_READ_KEYS) {
                dbs.clone()
                    .for_each(|db| keys.changed_in(db, argv[i], Event::SILENT));
                keys.record_what_is_there(argv[i]);
            }
        });
    }

    /// Carries out a command that is part of this one and writes its reply. Its keys' shards are held.
    ///
    /// `keys`: those that it names.
    pub(crate) fn call(&mut self, entry: &Entry, argv: &[&[u8]], keys: &[PlacedKey]) {
        let listed = self.keys.changes.len();
        let command = std::mem::replace(&mut self.command, entry.command);
        let nested = std::mem::replace(&mut self.nested, true);
        self.keys.known.set(argv, keys);
        let mark = self.out.mark();
        let tally = &self.keys.counters.commands[entry.id];
        let db = self.keys.db;
        if self.keys.recording {
            self.expire_named_keys(entry, argv);
        }
        let shown_at = monitor::time_of(&self.engine.follow.monitors, &entry.command.facts);
        let began = ticks::now();
        let result = self.carry_out(entry, argv);
        if self.restart.get().is_some() {
            // It has not been.
            self.next = Next::Done;
            (self.command, self.nested) = (command, nested);
            return;
        }
        if self.keys.recording {
            self.keys.records.finish(db, argv);
        }
        self.keys.known.forget();
        self.keys.db = self.session.db;
        if self.engine.follow.monitors.watching() {
            self.show_nested(argv, (command.has(RUNS_SCRIPT), shown_at), listed);
        }
        if self.session.tracks_reads && self.session.notes_reads() {
            let changes = &mut self.keys.changes;
            crate::follow::tracking::each_read(entry, argv, |key| {
                changes.push(Change::Read(KeyBytes::from_slice(key)));
            });
        }
        tally.calls.add(1);
        let took = ticks::now() - began;
        tally.ticks.add(took);
        let live = &self.engine.config().live;
        if live.latency_tracking.load(Relaxed) {
            tally.took(took);
        }
        if !self.in_script {
            self.count_keys(entry, argv, keys, took, mark);
        }
        if took >= live.noted_from.load(Relaxed) {
            let shown = || command_log::shown(&entry.command.facts, argv);
            let (follow, client) = (&self.engine.follow, &self.session.client);
            follow.note_command(&entry.command.facts, took, client, shown);
        }
        if let Some(undo) = &mut self.undo {
            undo.counted(entry.id, result.as_ref().err());
        }
        if let Err(e) = result {
            tally.failed.add(1);
            self.keys.counters.error(e.code());
            self.out.rollback(mark);
            self.out.error_bytes(e.bytes());
        }
        (self.command, self.nested) = (command, nested);
    }
}

impl Ctx<'_> {
    /// Counts the keys of a command of a transaction as hot. `mark`: where its reply began.
    fn count_keys(&self, entry: &Entry, argv: &[&[u8]], keys: &[PlacedKey], took: u64, mark: Mark) {
        let (counters, ks, db) = (self.keys.counters, self.engine.keyspace(), self.keys.db);
        let bytes: usize = argv.iter().map(|arg| arg.len() + 8).sum();
        let reply = self.out.since(mark);
        let is_tracked = self.engine.config().live.hotkey_tracking.load(Relaxed);
        if is_tracked && counters.hot.pass(1, took, bytes) | counters.hot.pass_reply(reply) {
            let (first, step) = hot::some_of(keys.len());
            let some: SmallVec<[PlacedKey; 4]> =
                keys.iter().skip(first).step_by(step).copied().collect();
            for measure in MEASURES {
                if counters.hot.is_due(measure) {
                    let keys = (&some[..], keys.len());
                    hot::sample(counters, ks, measure, (entry, argv), keys, db);
                }
            }
        }
        let session = &self.engine.follow.hot_session;
        if session.is_on() {
            let keys = hot::keys_of(argv, keys, db);
            session.record(&keys, took, bytes + reply);
        }
    }

    /// Blocks the client until one of the keys has something for it, or answers at once that there is nothing if it may not
    /// block (in a transaction or a script). The handler has tried already and writes nothing.
    pub fn block(&mut self, wait: Wait<'_>) {
        if self.nested {
            wait.empty.write(self.out);
            return;
        }
        let further = wait.further.map(|key| self.keys.place(key).shard());
        let mut listed = HashSet::with_capacity(wait.keys.len());
        let mut keys: SmallVec<[(Place, Box<[u8]>); 4]> = SmallVec::new();
        for key in wait.keys {
            if listed.insert(key) {
                keys.push((self.keys.place(key), Box::from(key)));
            }
        }
        let command = self.registry().by_full_name(self.command.name.as_bytes());
        let waiter = Arc::new(Waiter {
            number: NEXT_NUMBER.fetch_add(1, Relaxed),
            command: command.map_or(0, |entry| entry.id),
            client: self.session.client.clone(),
            db: self.keys.db,
            keys,
            attempt: Pending::new(Mutex::new(Some(wait.attempt))),
            reply: Mutex::new(None),
            proto: self.session.proto,
            empty: wait.empty,
            on_delete: wait.on_delete,
            again: wait.again,
            listed_at: AtomicU64::new(NEVER),
            muted: AtomicBool::new(false),
            until: wait.timeout.and_then(|t| Instant::now().checked_add(t)),
            may_still: OnceLock::new(),
            further: wait.further.map(Box::from),
            further_shards: further.into_iter().collect(),
            ticks: AtomicU64::new(0),
            shown: OnceLock::new(),
        });
        for (place, key) in &waiter.keys {
            self.engine
                .follow
                .effects
                .wait(*place, waiter.db, key, &waiter);
        }
        let effects = &self.engine.follow.effects;
        effects.blocked.fetch_add(1, Relaxed);
        effects
            .timeouts
            .fetch_add(usize::from(waiter.until.is_some()), Relaxed);
        self.engine.follow.claims.begin(&waiter);
        self.session.client.wait_for(waiter.clone());
        self.next = Next::Block(waiter);
    }
}
