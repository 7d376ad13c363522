//! A batch of requests: looked ahead, executed in order, and accounted for.

use crate::base::clock::unix_nanos;
use crate::base::error::Error;
use crate::base::guard::{self, guarded};
use crate::base::hot::Measure;
use crate::base::random::random_below;
use crate::base::ticks;
use crate::context::command::{Entry, SKIP_SLOWLOG};
use crate::context::hot;
use crate::context::next::{Next, Progress};
use crate::context::session::Session;
use crate::dispatch::look_ahead::AHEAD;
use crate::dispatch::worker::Worker;
use crate::door::known::{self, PlacedKey};
use crate::follow::command_log;
use crate::table::positions::each_key;
use crate::table::renamed::OwnCall;
use resp::{Batch, Mark, Out};
use smallvec::SmallVec;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of replies after which a batch is left for later, so that a client has to read before it gets more.
const ENOUGH: usize = 1 << 20;
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

/// Bytes of a request as clients send it, an array of strings.
fn wire_bytes(argv: &[&[u8]]) -> usize {
    let digits = |n: usize| n.checked_ilog10().map_or(1, |log| log as usize + 1);
    let strings = argv.iter().map(|a| 1 + digits(a.len()) + 2 + a.len() + 2);
    1 + digits(argv.len()) + 2 + strings.sum::<usize>()
}

/// Ticks from which a time to be noted is so long that quick commands may be timed together.
#[inline]
fn watch_each() -> u64 {
    static TICKS: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| ticks::of_micros(1000));
    *TICKS
}

/// Which commands of a batch stand out, as the settings are when it begins or a command of it has changed the thresholds of time.
struct Watch {
    /// Every command is timed by itself, also the quick ones of one kind that follow each other.
    each: bool,
    /// Times are counted.
    tracking: bool,
    /// Commands are sampled for hot keys.
    hot: bool,
    /// Ticks from which a command's time is noted.
    noted_from: u64,
    /// Bytes from which a reply is large.
    large_reply: usize,
    /// The batch has so many bytes that a request of it may be large.
    large_requests: bool,
    /// HOTKEYS START: every command's keys are recorded.
    hot_session: bool,
}

impl Watch {
    #[inline]
    fn new(session: &Session, batch: &Batch<'_>, from: usize) -> Watch {
        let live = &session.engine.config().live;
        let noted_from = live.noted_from.load(Relaxed);
        let bytes =
            |log: usize| usize::try_from(live.logs[log].from.load(Relaxed)).unwrap_or(usize::MAX);
        let hot_session = session.engine.follow.hot_session.is_on();
        Watch {
            each: noted_from < watch_each() || hot_session,
            hot_session,
            tracking: live.latency_tracking.load(Relaxed),
            hot: live.hotkey_tracking.load(Relaxed),
            noted_from,
            large_reply: bytes(2).min(usize::MAX / 2),
            large_requests: bytes(1) != usize::MAX
                && from < batch.len()
                && request_bytes(batch, from, batch.len()) + 64 * (batch.len() - from) >= bytes(1),
        }
    }
}

impl Worker {
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
        self.began_ns = began;
        out.set_proto(session.proto);
        let empty = out.len();
        let mut watch = Watch::new(session, batch, from);
        let mut at = from;
        let mut next = Next::Done;
        // What replies may grow to before the client is over its limit.
        let room = session.room_for_replies();
        // A log and a primary call commands by their own names.
        let renamed = self.engine.renamed().is_some() && !session.replays;
        let mut own = OwnCall::new();
        while at < batch.len() && matches!(next, Next::Done) && out.len() < ENOUGH && !out.is_over()
        {
            let first = at;
            let Some(end) = self.plan_stretch(session.db, renamed, batch, first) else {
                self.answer_panic(batch, at, out, out.mark());
                at += 1;
                continue;
            };
            let mut then = ticks::now();
            // Where those begin whose time is not booked yet.
            let mut unbooked = first;
            self.ran = 0;
            let mut mark = out.mark();
            let ran = catch_unwind(AssertUnwindSafe(|| {
                while at < end && matches!(next, Next::Done) && out.len() < ENOUGH && !out.is_over()
                {
                    mark = out.mark();
                    let (before, booked) = (out.len(), self.ran);
                    out.bound(room);
                    let (argv, raw) = (batch.get(at), batch.raw(at));
                    let request = match renamed && self.own_call(at - first, argv, &mut own) {
                        true => (&own[..], &[][..]),
                        false => (argv, raw),
                    };
                    next = self.one(session, request, at - first, began, out, mark);
                    if matches!(next, Next::Retry(_) | Next::Elsewhere) {
                        break;
                    }
                    at += 1;
                    let ran = self.ran > booked;
                    let (mut slow, mut alone) = (None, 0);
                    if watch.each || !self.shares_its_time(at - first) {
                        let done = !matches!(next, Next::Block(_) | Next::Offload(_));
                        let (took, calls) =
                            self.book(at - first, &mut then, watch.tracking && done);
                        if watch.hot {
                            self.heat(session, batch, first, unbooked..at, (took, calls));
                        }
                        (unbooked, alone) = (at, took);
                        if let Next::Block(waiter) = &next {
                            waiter.tried_first(took, &self.counters);
                        }
                        // CONFIG SET of a threshold is judged by the new one itself, as on real servers.
                        if session.engine.config().live.noted_from.load(Relaxed) != watch.noted_from
                        {
                            watch = Watch::new(session, batch, at);
                        }
                        // What blocks or goes on elsewhere is noted when it is done.
                        if done && took >= watch.noted_from {
                            match calls {
                                1 => slow = Some(took),
                                _ => self.engine.follow.note_run(took),
                            }
                        }
                    }
                    let reply = out.len().saturating_sub(before);
                    if watch.hot && self.counters.hot.pass_reply(reply) {
                        self.sample(session, batch.get(at - 1), at - 1 - first, Measure::Out);
                    }
                    if watch.hot_session && ran {
                        self.record(session, batch.get(at - 1), at - 1 - first, alone, reply);
                    }
                    if ran && (slow.is_some() || reply >= watch.large_reply || watch.large_requests)
                    {
                        let argv = batch.get(at - 1);
                        self.note(session, argv, at - first, slow, reply, watch.large_requests);
                    }
                }
                if at > first && !watch.each && self.shares_its_time(at - first) {
                    let booked = self.book(at - first, &mut then, watch.tracking);
                    if watch.hot {
                        self.heat(session, batch, first, unbooked..at, booked);
                    }
                }
            }));
            if ran.is_err() {
                // Handlers' panics do not come so far.
                self.answer_panic(batch, at, out, mark);
                next = Next::Done;
                at += 1;
            }
        }
        if out.is_over() {
            session.close_over_limit();
            out.clear();
            next = Next::CloseNow;
        }
        if at > from {
            self.wide = out
                .len()
                .saturating_sub(empty)
                .max(request_bytes(batch, from, at))
                / (at - from)
                > WIDE;
        }
        if session.in_line.is_some() && !matches!(next, Next::Retry(_)) {
            session.in_line = None;
        }
        session.hand_out();
        let waits = usize::from(matches!(next, Next::Block(_)));
        self.account(session, began, at - from, waits);
        Progress { executed: at, next }
    }

    /// Whether the command before the one with this place in the plan and that one are timed together: quick ones of one
    /// kind, for which a reading of the counter would be a good part of the time they take.
    #[inline]
    fn shares_its_time(&self, next: usize) -> bool {
        let (before, next) = (&self.plan[next - 1], self.plan.get(next));
        before.quick && next.is_some_and(|next| next.quick && next.id == before.id)
    }

    /// Books the time since `then` to the commands that end before the one with this place in the plan, and returns it, with how
    /// many of them were carried out. `counted`: also as the times of single calls; of several together each gets its share.
    #[inline]
    fn book(&mut self, next: usize, then: &mut u64, counted: bool) -> (u64, u64) {
        let now = ticks::now();
        let took = now.wrapping_sub(*then);
        let calls = std::mem::take(&mut self.ran);
        let command = &self.plan[next - 1];
        if command.entry.is_some() {
            let tally = &self.counters.commands[command.id as usize];
            tally.ticks.add(took);
            self.counters.note_recent(command.id as usize);
            match calls {
                _ if !counted => {}
                0 => {}
                1 => tally.took(took),
                _ => tally.took_each(took / calls, calls),
            }
        }
        *then = now;
        (took, calls)
    }

    /// Counts the keys of commands whose time was booked together, if a sample is due. `first`: the one with which the plan begins.
    #[inline]
    fn heat(
        &self,
        session: &Session,
        batch: &Batch<'_>,
        first: usize,
        booked: Range<usize>,
        (took, calls): (u64, u64),
    ) {
        let bytes = request_bytes(batch, booked.start, booked.end);
        if self.counters.hot.pass(calls, took, bytes) {
            self.sample_one_of(session, batch, first, booked);
        }
    }

    /// Samples commands whose time was booked together: any of them for operations and time, which are alike; for bytes
    /// one according to its length.
    #[cold]
    fn sample_one_of(
        &self,
        session: &Session,
        batch: &Batch<'_>,
        first: usize,
        booked: Range<usize>,
    ) {
        let any = booked.start + random_below(booked.len() as u64) as usize;
        for measure in [Measure::Ops, Measure::Cpu] {
            if self.counters.hot.is_due(measure) {
                self.sample(session, batch.get(any), any - first, measure);
            }
        }
        if self.counters.hot.is_due(Measure::In) {
            let length =
                |at: usize| batch.get(at).iter().map(|a| a.len() + 8).sum::<usize>() as u64;
            let mut point = random_below(booked.clone().map(length).sum::<u64>().max(1));
            let at = booked.clone().find(|at| {
                let length = length(*at);
                let here = point < length;
                point = point.saturating_sub(length);
                here
            });
            let at = at.unwrap_or(any);
            self.sample(session, batch.get(at), at - first, Measure::In);
        }
    }

    /// Counts the keys of one command. `planned`: its place in the plan.
    #[cold]
    fn sample(&self, session: &Session, argv: &[&[u8]], planned: usize, measure: Measure) {
        let Some(entry) = self.plan[planned].entry else {
            return self.counters.hot.pass_over(measure);
        };
        // SAFETY: points into the registry of `self.engine`, which never changes.
        let entry = unsafe { &*entry };
        let ks = self.engine.keyspace();
        let mut of = 0;
        each_key(entry, argv, |_, _| of += 1);
        let keys = self.keys_of(entry, argv, planned, hot::some_of(of));
        let call = (entry, argv);
        hot::sample(&self.counters, ks, measure, call, (&keys, of), session.db);
    }

    /// The keys of a command that was carried out, from one on and so many further on each. `planned`: its place in the plan.
    fn keys_of(
        &self,
        entry: &Entry,
        argv: &[&[u8]],
        planned: usize,
        (from, step): (usize, usize),
    ) -> SmallVec<[PlacedKey; 4]> {
        let ks = self.engine.keyspace();
        let first = self.plan[planned].place();
        let (mut keys, mut n) = (SmallVec::new(), 0);
        each_key(entry, argv, |i, _| {
            n += 1;
            if n <= from || (n - 1 - from) % step > 0 {
                return;
            }
            let first = first.filter(|_| n == 1);
            let place = first.or_else(|| known::find(&self.known, argv[i]));
            keys.push(PlacedKey::new(
                i,
                place.unwrap_or_else(|| ks.place(argv[i])),
            ));
        });
        keys
    }

    /// Records a command's keys for HOTKEYS START.
    #[cold]
    fn record(&self, session: &Session, argv: &[&[u8]], planned: usize, took: u64, reply: usize) {
        if let Some(entry) = self.plan[planned].entry {
            // SAFETY: points into the registry of `self.engine`, which never changes.
            let entry = unsafe { &*entry };
            let keys = self.keys_of(entry, argv, planned, (0, 1));
            let keys = hot::keys_of(argv, &keys, session.db);
            let bytes = wire_bytes(argv) + reply;
            self.engine.follow.hot_session.record(&keys, took, bytes);
        }
    }

    /// Notes a command that stood out. `next`: the place in the plan of the one after it; `slow`: the ticks it took, if those
    /// may be many.
    #[cold]
    fn note(
        &self,
        session: &Session,
        argv: &[&[u8]],
        next: usize,
        slow: Option<u64>,
        reply_bytes: usize,
        large_requests: bool,
    ) {
        let Some(entry) = self.plan[next - 1].entry else {
            return;
        };
        // SAFETY: points into the registry of `self.engine`, which never changes.
        let command = &unsafe { &*entry }.command.facts;
        let (follow, client) = (&self.engine.follow, &session.client);
        let shown = || command_log::shown(command, argv);
        if let Some(took) = slow {
            follow.note_command(command, took, client, shown);
        }
        if command.flags & SKIP_SLOWLOG != 0 {
            return;
        }
        let live = &self.engine.config().live;
        let log = |kind: command_log::Kind, bytes: usize| {
            if bytes as u64 >= live.logs[kind as usize].from.load(Relaxed) {
                follow
                    .command_log
                    .add(kind, live, bytes as u64, shown(), client);
            }
        };
        log(command_log::Kind::LargeReply, reply_bytes);
        if large_requests {
            log(command_log::Kind::LargeRequest, wire_bytes(argv));
        }
    }

    /// Plans a stretch of a batch; its end. None if that panicked for its first command, else the stretch ends before the one
    /// for which it did.
    fn plan_stretch(
        &mut self,
        db: usize,
        renamed: bool,
        batch: &Batch<'_>,
        first: usize,
    ) -> Option<usize> {
        let end = batch.len().min(first + AHEAD);
        let counters = self.counters.clone();
        let planned = guarded(&counters, "the look ahead", || {
            self.look_ahead(db, renamed, batch, first..end);
        });
        if planned.is_none() {
            return (!self.plan.is_empty()).then_some(first + self.plan.len());
        }
        if end - first > 1 {
            // This is only about being early.
            guarded(&counters, "the look into collections", || {
                self.look_into(db, batch, first);
            });
        }
        Some(end)
    }

    /// Answers a command that panicked.
    #[cold]
    fn answer_panic(&mut self, batch: &Batch<'_>, at: usize, out: &mut Out, mark: Mark) {
        let name = batch.get(at).first().copied().unwrap_or_default();
        guard::note(&self.counters, &String::from_utf8_lossy(name));
        self.counters.error(Error::INTERNAL.code());
        out.rollback(mark);
        out.error_bytes(Error::INTERNAL.bytes());
        // What it has left behind is not the next one's.
        self.changes.clear();
        self.records = Default::default();
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

    /// Books a batch to the client. `waits`: how many of them block.
    fn account(&mut self, session: &Session, began: u64, executed: usize, waits: usize) {
        if executed == 0 {
            return;
        }
        // One that blocks is counted when it is done.
        let done = (executed - waits) as u64;
        self.counters.calls.add(done);
        let client = &session.client;
        client.active_s.store(began / 1_000_000_000, Relaxed);
        client.commands.fetch_add(done, Relaxed);
        if let Some(p) = self.plan.last() {
            let id = if p.entry.is_some() {
                p.id as usize + 1
            } else {
                0
            };
            client.last_command.store(id, Relaxed);
        }
    }
}
