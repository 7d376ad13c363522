//! Waiting for a key: what BLPOP and its kin do when there is nothing yet.
//!
//! A blocking command first tries to do its work like any other. If it cannot, it leaves a [`Waiter`] in the lists of its
//! keys and its connection goes to sleep. Whoever later changes one of those keys serves the waiters before it lets go of
//! the key's lock: nobody else can take the element first, and a waiter that came earlier is always served earlier,
//! whichever worker its connection lives on. The waiter carries the rest of its command, a function that tries once more
//! and writes the reply.
//!
//! The rest of the command is done or given up once, under a lock of its own ([`Pending`]), so an element is never
//! handed to a client that has given up, and a client that is handed one does not give up.
//!
//! # Commands that need a second key
//! BLMOVE puts what it takes into another key, whose shard the one who pushes need not hold. The shard is noted with the
//! waiter; dispatch looks there after it has taken a write command's locks and before it runs it, and takes those shards'
//! locks as well.

use crate::base::clock::unix_ms;
use crate::base::error::Error;
use crate::base::guard::guarded;
use crate::base::stats::Counters;
use crate::base::ticks;
use crate::client::clients::Client;
use crate::door::change::{Change, Event};
use crate::door::keys::Keys;
use crate::follow::pending::Pending;
use crate::follow::{Follow, command_log};
use crate::table::row::Facts;
use parking_lot::Mutex;
use resp::{LongDouble, Out, Proto};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use store::Place;

/// Tries to do for a key what the waiting command is about; writes the reply and returns true if it could. An error that
/// it returns is the reply.
pub type Attempt = Box<dyn FnMut(&mut Keys<'_>, &[u8], &mut Out) -> Result<bool, Error> + Send>;

/// Whether a client that waits may still do so; the error if it may not.
pub(crate) type MayStill = Box<dyn Fn() -> Result<(), Error> + Send + Sync>;

/// A time in Unix milliseconds; [`u64::MAX`]: never.
pub type Again = Arc<AtomicU64>;

/// What a command that has waited in vain answers.
#[derive(Clone)]
pub enum Empty {
    /// The null array.
    NullArray,
    /// The null bulk string.
    Null,
    /// What is to be told at the end (WAIT, WAITAOF).
    Told(Tell),
}

/// Writes what is to be told.
pub type Tell = Arc<dyn Fn(&mut Out) + Send + Sync>;

impl std::fmt::Debug for Empty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Empty::NullArray => "NullArray",
            Empty::Null => "Null",
            Empty::Told(_) => "Told",
        })
    }
}

impl Empty {
    pub(crate) fn write(&self, out: &mut Out) {
        match self {
            Empty::NullArray => out.null_array(),
            Empty::Null => out.null(),
            Empty::Told(tell) => tell(out),
        }
    }
}

/// A blocking command that could not be done at once, as its handler describes it.
pub struct Wait<'a> {
    /// The keys it waits for, in the order it prefers them.
    pub keys: SmallVec<[&'a [u8]; 4]>,
    /// How long; None: as long as it takes.
    pub timeout: Option<Duration>,
    /// The rest of the command.
    pub attempt: Attempt,
    /// What it answers in the end if nothing comes.
    pub empty: Empty,
    /// A further key that `attempt` will change.
    pub further: Option<&'a [u8]>,
    /// `attempt` also wants to know when a key is deleted or becomes something else (XREADGROUP).
    pub on_delete: bool,
    /// When `attempt` is to be made again although nothing has changed; it may set another time whenever it is made.
    pub again: Option<Again>,
}

impl<'a> Wait<'a> {
    /// For a change of one of the keys, with nothing else to heed; in vain it answers null.
    pub fn new(keys: &[&'a [u8]], timeout: Option<Duration>, attempt: Attempt) -> Wait<'a> {
        Wait {
            keys: keys.iter().copied().collect(),
            timeout,
            attempt,
            empty: Empty::NullArray,
            further: None,
            on_delete: false,
            again: None,
        }
    }
}

/// See the module's page.
pub struct Waiter {
    /// Later ones have higher numbers: drawn while the locks of all its keys are held, so that waiters stand in the same
    /// order at each of them.
    pub(crate) number: u64,
    pub(crate) client: Arc<Client>,
    /// Index of its command's counters.
    pub(crate) command: usize,
    pub(crate) db: usize,
    /// With where they belong.
    pub(crate) keys: SmallVec<[(Place, Box<[u8]>); 4]>,
    pub(crate) attempt: Pending<Mutex<Option<Attempt>>>,
    pub(crate) reply: Mutex<Option<Out>>,
    pub(crate) proto: Proto,
    pub(crate) empty: Empty,
    pub(crate) on_delete: bool,
    /// See [`Wait::again`].
    pub(crate) again: Option<Again>,
    /// By which time it is listed to be tried again.
    pub(crate) listed_at: AtomicU64,
    /// Its reply is not wanted (CLIENT REPLY OFF).
    pub(crate) muted: AtomicBool,
    /// When it gives up.
    pub until: Option<Instant>,
    /// Asked before it is served: whether the client may still do what it waits for.
    pub(crate) may_still: OnceLock<MayStill>,
    /// A further key that `attempt` will change, and where that is.
    pub(crate) further: Option<Box<[u8]>>,
    pub(crate) further_shards: SmallVec<[usize; 1]>,
    /// The time that attempts to serve it took, the first of them included. It is its command's when that is done.
    pub(crate) ticks: AtomicU64,
    /// Its arguments for the log of slow commands.
    pub(crate) shown: OnceLock<Box<[u8]>>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waiter of client {}", self.client.id)
    }
}

impl Waiter {
    /// Whether there is a reply.
    pub fn is_served(&self) -> bool {
        self.reply.lock().is_some()
    }

    /// Takes the reply, once there is one.
    pub fn take_reply(&self) -> Option<Out> {
        let mut reply = self.reply.lock().take()?;
        if self.muted.load(Relaxed) {
            reply.clear();
        }
        Some(reply)
    }

    fn answer(&self, write: impl FnOnce(&mut Out)) {
        let mut out = Out::new(self.proto);
        write(&mut out);
        *self.reply.lock() = Some(out);
    }

    /// Keeps what the log of slow commands is to show of it.
    pub(crate) fn show(&self, command: &Facts, argv: &[&[u8]]) {
        self.shown.get_or_init(|| command_log::shown(command, argv));
    }

    /// Its first attempt, after which it waits, took so many ticks, which `counters` have as its command's: they are that when it is
    /// done.
    pub(crate) fn tried_first(&self, took: u64, counters: &Counters) {
        // Who was served before this has been counted without them.
        if !self.is_served() {
            counters.commands[self.command].ticks.take_back(took);
            self.ticks.fetch_add(took, Relaxed);
        }
    }

    /// Counts the command as one that its user may not do (any more), as if it came only now.
    fn count_rejected(&self, error: &Error, counters: &Counters) {
        counters.commands[self.command].rejected.add(1);
        counters.error(error.code());
    }

    /// Counts the command, now that it is done, with the counters of the thread that has done it.
    fn count(&self, follow: &Follow, error: Option<&str>, now_ms: u64, counters: &Counters) {
        let took = self.ticks.load(Relaxed);
        let live = &follow.config().live;
        if live.latency_tracking.load(Relaxed) {
            counters.commands[self.command].took(took);
        }
        if took >= live.noted_from.load(Relaxed)
            && let Some(shown) = self.shown.get()
        {
            follow.note_slow(false, took, &self.client, || shown.clone());
        }
        let command = &counters.commands[self.command];
        command.ticks.add(took);
        command.calls.add(1);
        counters.calls.add(1);
        self.client.commands.fetch_add(1, Relaxed);
        self.client.active_s.store(now_ms / 1000, Relaxed);
        if let Some(code) = error {
            command.failed.add(1);
            counters.error(code);
        }
    }
}

/// Reads a timeout in seconds, which need not be whole; None: as long as it takes (0).
///
/// The texts are those of real servers, and so is that what is less than a millisecond counts as one.
pub fn timeout_seconds(text: &[u8], now_ms: u64) -> Result<Option<Duration>, Error> {
    let seconds = resp::parse_f64(text)
        .or_else(|| beyond_f64(text))
        .ok_or(Error::new("ERR timeout is not a float or out of range"))?;
    let ms = (seconds * 1000.0).ceil();
    if ms >= i64::MAX as f64 {
        return Err(OUT_OF_RANGE);
    }
    timeout_of(ms as i64, now_ms)
}

/// Stands for a number that only 80 bits can hold, which is what real servers read a timeout into: it is too large, or next to nothing.
fn beyond_f64(text: &[u8]) -> Option<f64> {
    let number = LongDouble::parse(text)?;
    Some(match number.compare(&LongDouble::ZERO) {
        _ if number.compare(&LongDouble::ONE).is_gt() => f64::INFINITY,
        Ordering::Less => f64::NEG_INFINITY,
        Ordering::Equal => 0.0,
        Ordering::Greater => f64::MIN_POSITIVE,
    })
}

/// Reads a timeout in whole milliseconds; None: as long as it takes (0).
pub fn timeout_ms(text: &[u8], now_ms: u64) -> Result<Option<Duration>, Error> {
    let ms =
        resp::parse_i64(text).ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    timeout_of(ms, now_ms)
}

const OUT_OF_RANGE: Error = Error::fixed("ERR timeout is out of range");

fn timeout_of(ms: i64, now_ms: u64) -> Result<Option<Duration>, Error> {
    match u64::try_from(ms) {
        Err(_) => Err(Error::new("ERR timeout is negative")),
        Ok(0) => Ok(None),
        Ok(_) if ms.checked_add_unsigned(now_ms).is_none() => Err(OUT_OF_RANGE),
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
    }
}

/// The number of the next waiter.
pub(crate) static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Which of those who wait for a key are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// All of them: it has changed.
    All,
    /// Those who wait for pending entries: some have been pending for long enough, or others are pending now.
    Claims,
}

/// Serves the clients that wait for a key, the longest first, as long as there is something for them.
pub(crate) fn serve(
    follow: &Follow,
    keys: &mut Keys<'_>,
    db: usize,
    (key, place): (&[u8], Place),
    whom: Whom,
) {
    // Time goes on between those who are served; what it was they find again who changed the key.
    let own_ms = keys.now_ms;
    serve_all(follow, keys, db, (key, place), whom);
    keys.now_ms = own_ms;
}

fn serve_all(
    follow: &Follow,
    keys: &mut Keys<'_>,
    db: usize,
    (key, place): (&[u8], Place),
    whom: Whom,
) {
    let mut last = 0;
    loop {
        keys.known.set_one(key, place);
        let gone = keys.peek_in(db, key).is_none();
        let next = follow
            .effects
            .next_waiter(place.shard(), db, key, last, gone, whom);
        let Some((number, waiter)) = next else {
            return;
        };
        // What comes may have expired by now, if the time of who brought it stood still for long: in EXEC, or in a script.
        let now_ms = unix_ms();
        if !gone && keys.now_ms != 0 && now_ms > keys.now_ms {
            keys.now_ms = now_ms;
            if keys.peek_in(db, key).is_none() {
                continue;
            }
            keys.known.set_one(key, place);
        }
        last = number;
        // Another thread, which has changed another of its keys, may be at it just now and come to nothing.
        let served = waiter.attempt.settle(|attempt| {
            let mut out = Out::new(waiter.proto);
            let (own_db, own_touch) = (keys.db, keys.no_touch);
            keys.db = db;
            keys.no_touch = waiter.client.no_touch.load(Relaxed);
            keys.changes.push(Change::By(waiter.client.clone()));
            let counters = keys.counters;
            let began = ticks::now();
            let mut rejected = false;
            let tried = guarded(counters, "a command that waited", || {
                let may_still = waiter.may_still.get().map_or(Ok(()), |may| may());
                may_still.inspect_err(|_| rejected = true)?;
                attempt(keys, key, &mut out)
            });
            let tried = tried.unwrap_or_else(|| {
                keys.db = db;
                keys.say_what_was_emptied();
                // Nobody knows how far it got.
                for key in std::iter::once(key).chain(waiter.further.as_deref()) {
                    keys.changed(key, Event::SILENT);
                    keys.record_what_is_there(key);
                }
                Err(Error::INTERNAL)
            });
            // It has no command of its own any more: what it did has been said.
            keys.records.finish(db, &[]);
            (keys.db, keys.no_touch) = (own_db, own_touch);
            let took = ticks::now() - began;
            waiter.ticks.fetch_add(took, Relaxed);
            let error = match tried {
                Ok(true) => None,
                Ok(false) => return None,
                Err(e) => {
                    out.clear();
                    out.error_bytes(e.bytes());
                    Some(e)
                }
            };
            match error {
                Some(error) if rejected => waiter.count_rejected(&error, counters),
                error => {
                    let code = error.as_ref().map(Error::code);
                    waiter.count(follow, code, keys.now_ms, counters);
                }
            }
            *waiter.reply.lock() = Some(out);
            Some(())
        });
        if served.is_none() {
            follow.claims.list(&waiter);
            continue;
        }
        follow.forget(&waiter);
        waiter.client.wake();
    }
}

/// How a wait is ended before anything came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Its time is over, or CLIENT UNBLOCK TIMEOUT.
    Timeout,
    /// CLIENT UNBLOCK ERROR.
    Error,
    /// The server has become a replica, where the command may not be done.
    Replica,
    /// The client is gone, or does not want a reply any more: a command that is never done is not counted.
    Leave,
}

impl Follow {
    /// Ends a wait. False if the client has been served already: its reply is there then. `counters` are those of the calling
    /// thread.
    pub fn give_up(&self, waiter: &Arc<Waiter>, how: GiveUp, counters: &Counters) -> bool {
        self.end_wait(waiter, |waiter| {
            let now_ms = unix_ms();
            match how {
                GiveUp::Timeout => {
                    waiter.count(self, None, now_ms, counters);
                    waiter.answer(|out| waiter.empty.write(out));
                }
                GiveUp::Error => {
                    waiter.count(self, Some("UNBLOCKED"), now_ms, counters);
                    waiter.answer(|out| out.error("UNBLOCKED client unblocked via CLIENT UNBLOCK"));
                }
                GiveUp::Replica => {
                    waiter.count(self, Some("UNBLOCKED"), now_ms, counters);
                    waiter.answer(|out| {
                        out.error("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");
                    });
                }
                GiveUp::Leave => {}
            }
        })
    }

    /// Ends a wait that is not for a key: what it waited for has come, and `write` is the reply.
    pub(crate) fn answer(
        &self,
        waiter: &Arc<Waiter>,
        counters: &Counters,
        write: impl FnOnce(&mut Out),
    ) -> bool {
        self.end_wait(waiter, |waiter| {
            waiter.count(self, None, unix_ms(), counters);
            waiter.answer(write);
        })
    }

    /// Ends a wait that comes to nothing: the reply is this error, which has no code.
    pub(crate) fn fail(&self, waiter: &Arc<Waiter>, why: &str, counters: &Counters) -> bool {
        self.end_wait(waiter, |waiter| {
            waiter.count(self, Some("ERR"), unix_ms(), counters);
            waiter.answer(|out| out.error(&format!("ERR {why}")));
        })
    }

    /// [`GiveUp::Leave`].
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        self.end_wait(waiter, |_| {});
    }

    fn end_wait(&self, waiter: &Arc<Waiter>, end: impl FnOnce(&Waiter)) -> bool {
        // While somebody tries to serve it, the outcome is open.
        let given_up = waiter.attempt.settle(|_| {
            end(waiter);
            Some(())
        });
        if given_up.is_none() {
            return false;
        }
        self.forget(waiter);
        waiter.client.wake();
        true
    }

    fn forget(&self, waiter: &Arc<Waiter>) {
        for (place, key) in &waiter.keys {
            self.effects.unwait(place.shard(), waiter.db, key, waiter);
        }
        self.claims.strike(waiter);
        self.effects.blocked.fetch_sub(1, Relaxed);
        self.effects
            .timeouts
            .fetch_sub(usize::from(waiter.until.is_some()), Relaxed);
        // The client may have got its reply by now, and wait for something else.
        waiter.client.no_longer_waits_for(waiter);
    }
}
