//! How much memory is in use, by an estimate that costs nothing to keep, and how keys age.
//!
//! # The estimate
//! What shards hold is known exactly, a number for each ([`store::Keyspace::bytes`]); but to add up hundreds of them for
//! each command would be slow, and one number for all of them would have its cache line travel with each. So each thread that
//! runs commands gathers by how much its own have made their shards grow, and adds that to [`Memory::used`] when it is much
//! ([`Memory::step`]). From time to time somebody adds up everything and corrects it ([`Memory::set_used`]). Without
//! `maxmemory` all of this is one look at [`Memory::limit`].
//!
//! # The access clock
//! Every entry has 28 bits that say how it was used lately. Which policy is in force says how to read them: the second of
//! the last use, modulo 2^24, and sixteenths of it, since in a second a busy server uses most of what it will evict; or, for LFU,
//! the minute, modulo 2^16, above a counter of 8 bits that grows with the logarithm of the number of uses and shrinks with time (and
//! 4 bits that say nothing). But for the sixteenths it is Redis's scheme, since RESTORE and RDB files carry such numbers from server
//! to server.

use crate::base::random::random_below;
use crate::base::wait_list::WaitList;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::time::Duration;
use store::EntryRef;

/// The counter of a key that is new, for LFU: so that it is not the first to go.
const NEW_COUNT: u32 = 5;

/// The largest growth that a thread keeps to itself, in bytes.
const MOST_STEP: usize = 64 << 10;

/// With a limit, what is freed goes back to the system after so many milliseconds: else it would be memory that nobody else could have.
pub(crate) const SOON: u32 = 10;

/// What is evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What was not used for longest.
    Lru,
    /// What is used least often.
    Lfu,
    /// What was not changed for longest.
    Lrm,
    /// Whatever it is.
    Random,
    /// What expires first.
    Ttl,
}

/// `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// None: nothing is evicted.
    pub order: Option<Order>,
    /// Only keys with an expiry are.
    pub volatile: bool,
}

/// All policies with the names that CONFIG knows, in the order in which Redis lists them.
pub const POLICIES: [(&str, Policy); 10] = {
    const fn policy(order: Order, volatile: bool) -> Policy {
        Policy {
            order: Some(order),
            volatile,
        }
    }
    [
        ("volatile-lru", policy(Order::Lru, true)),
        ("volatile-lfu", policy(Order::Lfu, true)),
        ("volatile-random", policy(Order::Random, true)),
        ("volatile-ttl", policy(Order::Ttl, true)),
        ("volatile-lrm", policy(Order::Lrm, true)),
        ("allkeys-lru", policy(Order::Lru, false)),
        ("allkeys-lfu", policy(Order::Lfu, false)),
        ("allkeys-random", policy(Order::Random, false)),
        ("allkeys-lrm", policy(Order::Lrm, false)),
        (
            "noeviction",
            Policy {
                order: None,
                volatile: false,
            },
        ),
    ]
};

/// The same names alone.
pub const POLICY_NAMES: &[&str] = &{
    let mut names = [""; POLICIES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = POLICIES[i].0;
        i += 1;
    }
    names
};

/// How keys age, and which of them are to go.
#[derive(Debug)]
pub struct Aging {
    /// Place of the policy in [`POLICIES`].
    policy: AtomicU8,
    /// The clock is read as LFU has it.
    counts: AtomicBool,
    /// Reading a key does not make it younger.
    by_change: AtomicBool,
    /// `lfu-log-factor`
    pub log_factor: AtomicU32,
    /// `lfu-decay-time`, in minutes
    pub decay_minutes: AtomicU32,
    /// `maxmemory-samples`
    pub samples: AtomicUsize,
    /// `maxmemory-eviction-tenacity`
    pub tenacity: AtomicU32,
}

impl Default for Aging {
    fn default() -> Aging {
        Aging {
            policy: AtomicU8::new((POLICIES.len() - 1) as u8),
            counts: AtomicBool::new(false),
            by_change: AtomicBool::new(false),
            log_factor: AtomicU32::new(10),
            decay_minutes: AtomicU32::new(1),
            samples: AtomicUsize::new(5),
            tenacity: AtomicU32::new(10),
        }
    }
}

impl Aging {
    /// Puts a policy into force.
    pub fn set_policy(&self, name: &str) {
        let Some(at) = POLICIES.iter().position(|(known, _)| *known == name) else {
            return;
        };
        let order = POLICIES[at].1.order;
        self.counts.store(order == Some(Order::Lfu), Relaxed);
        self.by_change.store(order == Some(Order::Lrm), Relaxed);
        self.policy.store(at as u8, Relaxed);
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        POLICIES[self.policy.load(Relaxed) as usize % POLICIES.len()].1
    }

    /// Whether uses are counted (LFU).
    #[inline]
    pub fn counts(&self) -> bool {
        self.counts.load(Relaxed)
    }

    /// Whether reading a key is no use of it (LRM).
    #[inline]
    pub fn by_change(&self) -> bool {
        self.by_change.load(Relaxed)
    }

    /// The 28-bit clock of a key that is new now.
    #[inline]
    pub fn clock(&self, now_ms: u64) -> u32 {
        if self.counts() {
            return counted(minutes(now_ms), NEW_COUNT);
        }
        ticks(now_ms)
    }

    /// Notes that an entry is used. `clock` is what [`Aging::clock`] gives now. Others may look at the entry.
    #[inline]
    pub fn touch(&self, e: EntryRef<'_>, clock: u32) {
        if self.counts() {
            return self.count(e, clock >> 12);
        }
        e.touch(clock);
    }

    #[inline(never)]
    fn count(&self, e: EntryRef<'_>, now_minutes: u32) {
        let mut n = self.frequency(e.clock(), now_minutes);
        if n < 255 {
            let above = u64::from(n.saturating_sub(NEW_COUNT));
            let odds = above * u64::from(self.log_factor.load(Relaxed)) + 1;
            n += u32::from(random_below(odds) == 0);
        }
        e.touch(counted(now_minutes, n));
    }

    /// The counter of uses, less what it has lost by time since.
    pub fn frequency(&self, clock: u32, now_minutes: u32) -> u32 {
        frequency(clock, now_minutes, self.decay_minutes.load(Relaxed))
    }

    /// How much an entry deserves to go, by the policy's order: the more the sooner.
    pub fn rank(&self, order: Order, e: EntryRef<'_>, now_ms: u64) -> u64 {
        match order {
            Order::Lru | Order::Lrm => u64::from(idle_ticks(e.clock(), now_ms)),
            Order::Lfu => {
                let (clock, now) = (e.clock(), minutes(now_ms));
                let passed = now.wrapping_sub(clock >> 12) & 0xffff;
                let rare = 255 - self.frequency(clock, now);
                u64::from(rare) << 16 | u64::from(passed)
            }
            Order::Random => random_below(1 << 32),
            Order::Ttl => u64::MAX - e.expiry_ms().unwrap_or(u64::MAX),
        }
    }
}

/// The counter of an LFU clock, less one for every `decay_minutes` since it was set; 0: it loses nothing.
pub fn frequency(clock: u32, now_minutes: u32, decay_minutes: u32) -> u32 {
    let passed = now_minutes.wrapping_sub(clock >> 12) & 0xffff;
    let lost = passed.checked_div(decay_minutes).unwrap_or(0);
    (clock >> 4 & 0xff).saturating_sub(lost)
}

/// The bits of an access clock.
const CLOCK: u32 = (1 << 28) - 1;

/// The sixteenth of a second, as an access clock has it.
#[inline]
fn ticks(now_ms: u64) -> u32 {
    (now_ms * 2 / 125) as u32 & CLOCK
}

/// For how many sixteenths of a second an entry with this clock was not used. They wrap around after 194 days.
fn idle_ticks(clock: u32, now_ms: u64) -> u32 {
    // Others may have used it since the time was read: then it is not one that was not used for 194 days.
    const AHEAD: u32 = 16 * 3600;
    let idle = ticks(now_ms).wrapping_sub(clock) & CLOCK;
    if idle > CLOCK - AHEAD { 0 } else { idle }
}

/// For how many seconds an entry with this clock was not used.
pub fn idle_seconds(clock: u32, now_ms: u64) -> u32 {
    idle_ticks(clock, now_ms) / 16
}

/// The clock of an entry that was not used for so many seconds.
pub fn clock_of_idle(seconds: u64, now_ms: u64) -> u32 {
    ticks(now_ms).wrapping_sub((seconds as u32).wrapping_mul(16)) & CLOCK
}

/// Unix minutes, modulo 2^16.
pub fn minutes(now_ms: u64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

/// An LFU clock.
pub fn counted(minutes: u32, count: u32) -> u32 {
    (minutes & 0xffff) << 12 | (count & 0xff) << 4
}

/// What is known of memory as a whole. See the module's page.
#[derive(Debug, Default)]
pub struct Memory {
    limit: Limit,
    used: Used,
    /// Bytes of all but keys and values when it was last added up.
    pub other: AtomicUsize,
    /// When that was, in Unix milliseconds.
    pub other_ms: AtomicU64,
    /// When all was added up, with that as it was known.
    pub measured_ms: AtomicU64,
    /// Somebody has found it over the limit since this was looked at last.
    pub was_over: AtomicBool,
    /// Clients have been looked at while all was far over the limit, and none could be disconnected.
    pub clients_stay: AtomicBool,
    /// Clients disconnected because clients took too much memory.
    pub evicted_clients: AtomicU64,
    /// Nanoseconds that `used` was over the limit, without the present time.
    exceeded_nanos: AtomicU64,
    /// Since when it is, in Unix nanoseconds; 0 if it is not.
    exceeded_since: AtomicU64,
    /// `activedefrag`
    pub tidies: AtomicBool,
    /// Since when entries are being moved together, in Unix nanoseconds; 0 while they are not.
    tidying_since: AtomicU64,
    /// How long they were, in nanoseconds, before that.
    tidied_nanos: AtomicU64,
    /// How many were moved, and how many looked at that stayed.
    pub tidied: [AtomicU64; 2],
    bell: Mutex<bool>,
    rung: Condvar,
    /// Those who wait for room, or for clients to be disconnected.
    pub(crate) line: Arc<WaitList>,
    /// The most that one of them needs, in bytes.
    asked: AtomicUsize,
}

/// Read with every command, and hardly ever written.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Limit {
    /// Bytes; 0 for none.
    bytes: AtomicUsize,
    /// See [`Memory::step`].
    step: AtomicIsize,
    /// See [`Memory::limit_of_clients`].
    of_clients: AtomicUsize,
}

/// Written when something has grown by a step.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Used(AtomicIsize);

impl Memory {
    /// `maxmemory` in bytes; 0 for none.
    #[inline]
    pub fn limit(&self) -> usize {
        self.limit.bytes.load(Relaxed)
    }

    /// Sets it.
    pub fn set_limit(&self, bytes: usize) {
        let step = (bytes / 1024).clamp(64, MOST_STEP);
        self.limit.step.store(step as isize, Relaxed);
        self.limit.bytes.store(bytes, Relaxed);
    }

    /// `maxmemory-clients` in bytes; 0 for none.
    #[inline]
    pub fn limit_of_clients(&self) -> usize {
        self.limit.of_clients.load(Relaxed)
    }

    /// Sets it.
    pub fn set_limit_of_clients(&self, bytes: usize) {
        self.limit.of_clients.store(bytes, Relaxed);
    }

    /// By how much a thread's commands may make the keyspace grow or shrink before it says so, in bytes.
    #[inline]
    pub fn step(&self) -> isize {
        self.limit.step.load(Relaxed)
    }

    /// The estimate of what is in use, in bytes. Only kept while there is a limit.
    #[inline]
    pub fn used(&self) -> usize {
        self.used.0.load(Relaxed).max(0) as usize
    }

    /// Adds to it.
    pub fn grow(&self, bytes: isize) {
        self.used.0.fetch_add(bytes, Relaxed);
    }

    /// Corrects it.
    pub fn set_used(&self, bytes: usize, now_ms: u64) {
        self.used.0.store(bytes as isize, Relaxed);
        self.measured_ms.store(now_ms, Relaxed);
    }

    /// Whether more is in use than may be.
    #[inline]
    pub fn is_over(&self) -> bool {
        let limit = self.limit();
        limit != 0 && self.used.0.load(Relaxed) > limit as isize
    }

    /// What must not be exceeded whatever happens, in bytes: the limit, and room for what goes on while something is done about it.
    pub fn bound(&self) -> usize {
        match self.limit() {
            0 => usize::MAX,
            limit => limit.saturating_add(limit / 32).saturating_add(4 << 20),
        }
    }

    /// The same of the process as a whole, with what is in memory twice for a moment.
    pub fn most(&self) -> usize {
        match self.limit() {
            0 => usize::MAX,
            limit => limit.saturating_add(limit / 10).saturating_add(8 << 20),
        }
    }

    /// How much room is kept free below the limit while there is somebody who needs some, in bytes.
    pub fn ahead(&self) -> usize {
        (self.limit() / 256).min(8 << 20)
    }

    /// Notes whether the limit is exceeded.
    pub fn note_exceeded(&self, exceeded: bool, now_nanos: u64) {
        let since = self.exceeded_since.load(Relaxed);
        match (since, exceeded) {
            (0, true) => self.exceeded_since.store(now_nanos, Relaxed),
            (1.., false) if self.exceeded_since.swap(0, Relaxed) != 0 => {
                let passed = now_nanos.saturating_sub(since);
                self.exceeded_nanos.fetch_add(passed, Relaxed);
            }
            _ => {}
        }
    }

    /// Nanoseconds that the limit was exceeded: (altogether, this time).
    pub fn exceeded_nanos(&self, now_nanos: u64) -> (u64, u64) {
        let now = match self.exceeded_since.load(Relaxed) {
            0 => 0,
            since => now_nanos.saturating_sub(since),
        };
        (self.exceeded_nanos.load(Relaxed) + now, now)
    }

    /// Notes whether entries are being moved together.
    pub fn note_tidying(&self, tidying: bool, now_nanos: u64) {
        let since = self.tidying_since.load(Relaxed);
        if tidying && since == 0 {
            self.tidying_since.store(now_nanos, Relaxed);
        } else if !tidying && since != 0 {
            self.tidying_since.store(0, Relaxed);
            let passed = now_nanos.saturating_sub(since);
            self.tidied_nanos.fetch_add(passed, Relaxed);
        }
    }

    /// Nanoseconds that they were: (altogether, this time). None of this time if they are not.
    pub fn tidying_nanos(&self, now_nanos: u64) -> (u64, Option<u64>) {
        let now = match self.tidying_since.load(Relaxed) {
            0 => None,
            since => Some(now_nanos.saturating_sub(since)),
        };
        (self.tidied_nanos.load(Relaxed) + now.unwrap_or(0), now)
    }

    /// Starts counts at zero (CONFIG RESETSTAT).
    pub fn reset(&self) {
        self.tidied_nanos.store(0, Relaxed);
        self.tidied.iter().for_each(|count| count.store(0, Relaxed));
        self.evicted_clients.store(0, Relaxed);
        self.exceeded_nanos.store(0, Relaxed);
    }

    /// Has who looks after the limit make room for so many bytes more.
    #[cold]
    pub(crate) fn ask(&self, bytes: usize) {
        self.asked.fetch_max(bytes, Relaxed);
        self.ring();
    }

    /// For how much there is to be room, since the last time that this was asked.
    pub(crate) fn take_asked(&self) -> usize {
        self.asked.swap(0, Relaxed)
    }

    /// Has who looks after the limit look at once.
    #[cold]
    pub fn ring(&self) {
        let mut bell = self.bell.lock();
        if !std::mem::replace(&mut *bell, true) {
            self.rung.notify_all();
        }
    }

    /// Waits until somebody rings, or for so long; for ever if that is None.
    pub fn wait(&self, rest: Option<Duration>) {
        let mut bell = self.bell.lock();
        if !*bell {
            match rest {
                Some(rest) => {
                    self.rung.wait_for(&mut bell, rest);
                }
                None => self.rung.wait(&mut bell),
            }
        }
        *bell = false;
    }
}
