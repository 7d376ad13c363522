//! Which keys are hot: by operations, by processor time, by bytes received and by bytes sent.
//!
//! # What it costs
//! Each thread that runs commands goes through its work with four measuring rods, one for each [`Measure`]: it looks at one command
//! for every so many operations, so many ticks, so many bytes. The command that the end of a rod falls into is *sampled*, with the
//! rod's length as its weight. So what takes long is sampled as often as its time deserves, a long request as its bytes do, and all
//! other commands pay four subtractions. Rods grow and shrink with the load: a thread takes between some hundred and two
//! thousand samples a second of each measure ([`Rod`]); an idle server looks at every command.
//!
//! # How exact it is
//! Of each measure a thread keeps a *space-saving sketch* ([`Sketch`]) of [`SLOTS`] keys: a key that has more than a 128th of the
//! whole is in it, and what is said of it is too much by no more than the `error` that is said with it. To that comes what
//! sampling adds: with n samples in a window, a key with a share p is known to sqrt((1-p) / (p n)) of itself (one standard
//! deviation), that is 7 % for a share of 10 % in 2,000 samples.
//!
//! # The window
//! A thread's sketch begins anew every [`WINDOW_MS`]; the one before is kept. What is told is about the two together, between ten
//! and twenty seconds. They are behind a lock that only whoever asks ever contends for, and only samples take it.

use crate::base::clock::unix_ms;
use crate::base::random::random_below;
use crate::base::stats::Counter;
use crate::base::ticks;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// By what a key is hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Commands that name it.
    Ops = 0,
    /// Time that they took; a command that names several keys gives each its share.
    Cpu = 1,
    /// Bytes of requests.
    In = 2,
    /// Bytes of replies.
    Out = 3,
}

/// All of them, in the order of their numbers.
pub const MEASURES: [Measure; 4] = [Measure::Ops, Measure::Cpu, Measure::In, Measure::Out];

/// Keys of a sketch.
pub const SLOTS: usize = 128;

/// How long a sketch is added to, in milliseconds.
pub const WINDOW_MS: u64 = 10_000;

/// Of a command with more keys so many are looked at, evenly spread: to add one that is not hot takes a look at the whole sketch.
pub const SOME_KEYS: usize = 32;

/// Bytes of a key that are kept. Of longer keys that begin alike it is not told which is meant.
pub const KEY_BYTES: usize = 512;

/// Samples after which a rod is compared with the time that has passed.
const ROUND: u32 = 128;

/// A round that takes less than this makes the rod longer, in microseconds: 2,000 samples a second.
const SHORT_ROUND_US: u64 = 64_000;

/// One that takes longer makes it shorter: 250 samples a second.
const LONG_ROUND_US: u64 = 512_000;

/// The longest rod, in whatever its measure counts.
const LONGEST: i64 = 1 << 40;

/// One key of a sketch.
#[derive(Clone, Debug)]
struct Slot {
    db: u32,
    key: Box<[u8]>,
    weight: u64,
    /// How much of the weight may be other keys'.
    error: u64,
}

/// A space-saving sketch: the heaviest keys of a stream, in bounded memory. Which key has to make room for a new one is the one
/// with the least weight, and the new one takes over that weight, as an error.
#[derive(Debug, Default)]
pub struct Sketch {
    hashes: Vec<u64>,
    slots: Vec<Slot>,
    /// Weight of all that was added.
    total: u64,
}

impl Sketch {
    /// Adds weight to a key. `hash` tells keys of all databases apart; `most`: how many keys are kept.
    pub fn add(&mut self, most: usize, db: usize, key: &[u8], hash: u64, weight: u64) {
        self.total += weight;
        let key = &key[..key.len().min(KEY_BYTES)];
        let db = db as u32;
        let known = self.hashes.iter().position(|known| *known == hash);
        if let Some(at) = known {
            self.slots[at].weight += weight;
            return;
        }
        if self.slots.len() < most {
            self.hashes.push(hash);
            self.slots.push(Slot {
                db,
                key: key.into(),
                weight,
                error: 0,
            });
            return;
        }
        let least = self.slots.iter().enumerate().min_by_key(|(_, s)| s.weight);
        let Some((at, _)) = least else { return };
        let slot = &mut self.slots[at];
        self.hashes[at] = hash;
        *slot = Slot {
            db,
            key: key.into(),
            weight: slot.weight + weight,
            error: slot.weight,
        };
    }

    /// What a key that is not in it may weigh.
    fn unseen(&self, most: usize) -> u64 {
        if self.slots.len() < most {
            return 0;
        }
        self.slots.iter().map(|s| s.weight).min().unwrap_or(0)
    }

    /// The heaviest keys.
    pub fn top(&self, most: usize) -> Vec<(Box<[u8]>, u64)> {
        let mut all: Vec<&Slot> = self.slots.iter().collect();
        all.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.key.cmp(&b.key)));
        all.truncate(most);
        all.iter().map(|s| (s.key.clone(), s.weight)).collect()
    }
}

/// What a thread keeps of a time.
#[derive(Debug, Default)]
struct Window {
    began_ms: u64,
    ended_ms: u64,
    sketches: [Sketch; 4],
}

/// How far apart a measure's samples are.
#[derive(Debug)]
struct Rod {
    length: i64,
    samples: u32,
    round_began: u64,
}

impl Default for Rod {
    fn default() -> Rod {
        Rod {
            length: 1,
            samples: 0,
            round_began: 0,
        }
    }
}

impl Rod {
    /// Notes a sample, and takes another length if there were many or few lately.
    fn count(&mut self) {
        self.samples += 1;
        let now = ticks::now();
        if self.samples == 1 {
            self.round_began = now;
        }
        let us = ticks::nanos(now.wrapping_sub(self.round_began)) / 1000;
        if us > LONG_ROUND_US && self.length > 1 {
            // As many times shorter as there were too few.
            let times = (us / LONG_ROUND_US).min(63).ilog2() + 1;
            self.length = (self.length >> times).max(1);
            self.samples = 0;
        } else if self.samples >= ROUND {
            if us < SHORT_ROUND_US {
                self.length = (self.length * 2).min(LONGEST);
            }
            self.samples = 0;
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    rods: [Rod; 4],
    now: Window,
    before: Window,
}

/// One thread's part. See the module's page.
#[derive(Debug, Default)]
pub struct Hot {
    /// How much of each measure is left until the next sample. Written by the thread alone.
    left: [AtomicI64; 4],
    /// Ticks that commands with keys of each shard took, as far as samples say.
    held: OnceLock<Box<[Counter]>>,
    kept: Mutex<Kept>,
}

impl Hot {
    /// Goes on by this much; whether the end of a rod was passed. Only the owning thread may.
    #[inline]
    pub fn pass(&self, ops: u64, ticks: u64, bytes_in: usize) -> bool {
        let go = |measure: Measure, by: u64| {
            let left = &self.left[measure as usize];
            let now = left.load(Relaxed).wrapping_sub(by as i64);
            left.store(now, Relaxed);
            now
        };
        let ops = go(Measure::Ops, ops);
        let cpu = go(Measure::Cpu, ticks);
        let bytes = go(Measure::In, bytes_in as u64);
        (ops | cpu | bytes) < 0
    }

    /// The same with the bytes of one reply.
    #[inline]
    pub fn pass_reply(&self, bytes: usize) -> bool {
        let left = &self.left[Measure::Out as usize];
        let now = left.load(Relaxed).wrapping_sub(bytes as i64);
        left.store(now, Relaxed);
        now < 0
    }

    /// Whether a sample of a measure is due.
    pub fn is_due(&self, measure: Measure) -> bool {
        self.left[measure as usize].load(Relaxed) < 0
    }

    /// Adds the sample of a measure that is due, of a command with these keys, each with a hash that tells keys of all databases
    /// apart, and lays the next rod. They may stand for more: `of` is how many keys it has. Only the owning thread may.
    ///
    /// Returns the sample's weight.
    #[cold]
    pub fn sample(&self, measure: Measure, db: usize, keys: &[(&[u8], u64)], of: usize) -> u64 {
        let mut kept = self.kept.lock();
        let weight = self.lay(&mut kept, measure);
        let sketch = &mut kept.now.sketches[measure as usize];
        match (measure, keys) {
            (_, []) => sketch.total += weight,
            (Measure::Ops, keys) => {
                let each = weight.saturating_mul(of as u64) / keys.len() as u64;
                for (key, hash) in keys {
                    sketch.add(SLOTS, db, key, *hash, each);
                }
            }
            (_, keys) => {
                // One for all, which is fair in the long run.
                let (key, hash) = keys[random_below(keys.len() as u64) as usize];
                sketch.add(SLOTS, db, key, hash, weight);
            }
        }
        weight
    }

    /// Books ticks to a shard, out of so many. Only the owning thread may.
    pub fn hold(&self, shards: usize, shard: usize, ticks: u64) {
        let held = self
            .held
            .get_or_init(|| (0..shards).map(|_| Counter::default()).collect());
        if let Some(sum) = held.get(shard) {
            sum.add(ticks);
        }
    }

    /// Ticks that were booked to a shard.
    pub fn held(&self, shard: usize) -> u64 {
        let sum = self.held.get().and_then(|held| held.get(shard));
        sum.map_or(0, Counter::get)
    }

    /// Lays the next rod without a sample. Only the owning thread may.
    pub fn pass_over(&self, measure: Measure) {
        let mut kept = self.kept.lock();
        self.lay(&mut kept, measure);
    }

    /// Lays the next rods until none has its end within what was passed; the weight of those that had.
    fn lay(&self, kept: &mut Kept, measure: Measure) -> u64 {
        let at = measure as usize;
        let left = &self.left[at];
        kept.turn(unix_ms());
        let rod = &mut kept.rods[at];
        // That of the rod whose end was passed. Others may follow within the same command.
        let mut weight = rod.length as u64;
        rod.count();
        let length = rod.length;
        // Of random lengths, so that no rhythm of the load can be that of the samples.
        let draw = || 1 + random_below(2 * length as u64 - 1) as i64;
        let mut rest = left.load(Relaxed).saturating_add(draw());
        let many = rest.saturating_neg() / length - 16;
        if many > 0 {
            rest += many * length;
            weight = weight.saturating_add(many as u64 * length as u64);
        }
        while rest < 0 {
            rest += draw();
            weight = weight.saturating_add(length as u64);
        }
        left.store(rest, Relaxed);
        weight
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut kept = self.kept.lock();
        (kept.now, kept.before) = Default::default();
    }
}

impl Kept {
    /// Begins a new window if this one's time is over.
    fn turn(&mut self, now_ms: u64) {
        if self.now.began_ms == 0 {
            self.now.began_ms = now_ms;
        }
        if now_ms.saturating_sub(self.now.began_ms) >= WINDOW_MS {
            self.now.ended_ms = now_ms;
            self.before = std::mem::take(&mut self.now);
            self.now.began_ms = now_ms;
        }
    }
}

/// A hot key, from the sketches of all threads.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its database.
    pub db: usize,
    /// Its first [`KEY_BYTES`] bytes.
    pub key: Box<[u8]>,
    /// What was counted of it in the window: operations, nanoseconds or bytes.
    pub value: u64,
    /// How much of that may be other keys'.
    pub error: u64,
}

/// What is known of one measure.
#[derive(Clone, Debug, Default)]
pub struct HotKeys {
    /// The hottest first.
    pub keys: Vec<HotKey>,
    /// What was counted of all keys together.
    pub total: u64,
    /// The time that all this is about, in milliseconds.
    pub window_ms: u64,
}

/// What sketches know of a key.
#[derive(Debug, Default)]
struct Known {
    weight: u64,
    error: u64,
    /// What the sketches that know it would have to allow for if they did not.
    seen: u64,
}

/// Merges threads' sketches of one measure.
#[derive(Debug)]
pub struct Merge {
    measure: Measure,
    now_ms: u64,
    /// By database and name.
    keys: HashMap<(u32, Box<[u8]>), Known>,
    /// What a key may weigh of which no sketch knows anything.
    unseen: u64,
    total: u64,
    began_ms: u64,
}

impl Merge {
    /// Nothing yet.
    pub fn new(measure: Measure) -> Merge {
        Merge {
            measure,
            now_ms: unix_ms(),
            keys: HashMap::new(),
            unseen: 0,
            total: 0,
            began_ms: u64::MAX,
        }
    }

    /// Adds a thread's windows, as far as they are of the last time.
    pub fn add(&mut self, hot: &Hot) {
        let kept = hot.kept.lock();
        let is_recent = |window: &&Window| {
            window.began_ms != 0 && self.now_ms.saturating_sub(window.began_ms) <= 2 * WINDOW_MS
        };
        for window in [&kept.now, &kept.before].into_iter().filter(is_recent) {
            let sketch = &window.sketches[self.measure as usize];
            self.began_ms = self.began_ms.min(window.began_ms);
            self.total += sketch.total;
            let unseen = sketch.unseen(SLOTS);
            self.unseen += unseen;
            for slot in &sketch.slots {
                let known = self.keys.entry((slot.db, slot.key.clone())).or_default();
                known.weight += slot.weight;
                known.error += slot.error;
                known.seen += unseen;
            }
        }
    }

    /// The hottest keys.
    pub fn top(self, most: usize) -> HotKeys {
        let is_time = self.measure == Measure::Cpu;
        let scaled = |n: u64| if is_time { ticks::nanos(n) } else { n };
        let mut keys: Vec<HotKey> = self
            .keys
            .into_iter()
            .map(|((db, key), known)| HotKey {
                db: db as usize,
                key,
                value: scaled(known.weight),
                error: scaled(known.error + self.unseen - known.seen),
            })
            .collect();
        keys.sort_by(|a, b| {
            let order = b.value.cmp(&a.value);
            order.then_with(|| (a.db, &a.key).cmp(&(b.db, &b.key)))
        });
        keys.truncate(most);
        let window_ms = match self.began_ms {
            u64::MAX => 0,
            began => self.now_ms.saturating_sub(began).max(1),
        };
        HotKeys {
            keys,
            total: scaled(self.total),
            window_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::random_below;

    fn hash(key: &[u8]) -> u64 {
        key.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
            (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
        })
    }

    fn top(hots: &[&Hot], measure: Measure, most: usize) -> HotKeys {
        let mut merge = Merge::new(measure);
        hots.iter().for_each(|hot| merge.add(hot));
        merge.top(most)
    }

    fn run(hot: &Hot, key: &[u8], cost: u64, bytes: usize) {
        let keys = [(key, hash(key))];
        if hot.pass(1, cost, bytes) {
            for measure in [Measure::Ops, Measure::Cpu, Measure::In] {
                if hot.is_due(measure) {
                    hot.sample(measure, 0, &keys, 1);
                }
            }
        }
        if hot.pass_reply(bytes) {
            hot.sample(Measure::Out, 0, &keys, 1);
        }
    }

    /// A number between 0 and `n`, the r-th of which comes with a probability of 1 / r, times something.
    fn zipf(n: u64) -> u64 {
        let u = random_below(1 << 30) as f64 / f64::from(1 << 30);
        ((n as f64).powf(u) as u64).min(n - 1)
    }

    #[test]
    fn a_sketch_has_every_heavy_key_within_its_error() {
        let mut sketch = Sketch::default();
        let mut exact: HashMap<u64, u64> = HashMap::new();
        for _ in 0..200_000 {
            let key = zipf(100_000);
            *exact.entry(key).or_default() += 1;
            let bytes = key.to_le_bytes();
            sketch.add(SLOTS, 0, &bytes, hash(&bytes), 1);
        }
        assert_eq!(sketch.total, 200_000);
        for (key, count) in exact.iter().filter(|(_, n)| **n > 200_000 / SLOTS as u64) {
            let at = sketch.slots.iter().find(|s| *s.key == key.to_le_bytes());
            let slot = at.unwrap_or_else(|| panic!("{key} with {count} is missing"));
            assert!(slot.weight >= *count && slot.weight - slot.error <= *count);
        }
    }

    /// The true five hottest keys of a Zipf trace on two threads are found, in their order of magnitude.
    #[test]
    fn the_hottest_keys_of_a_trace_are_found() {
        let hots = [Hot::default(), Hot::default()];
        let mut exact: HashMap<u64, u64> = HashMap::new();
        for i in 0..2_000_000u64 {
            let key = zipf(1_000_000);
            *exact.entry(key).or_default() += 1;
            run(&hots[i as usize % 2], &key.to_le_bytes(), 10, 100);
        }
        let mut order: Vec<(u64, u64)> = exact.into_iter().map(|(key, n)| (n, key)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let parts: Vec<&Hot> = hots.iter().collect();
        for measure in MEASURES {
            let found = top(&parts, measure, 30);
            let scale = match measure {
                Measure::Ops => 1.0,
                Measure::Cpu => ticks::nanos(10_000) as f64 / 1000.0,
                Measure::In | Measure::Out => 100.0,
            };
            // All that there was, but for one rod each.
            let total = found.total as f64 / scale;
            assert!((total / 2e6 - 1.0).abs() < 0.3, "{measure:?}: {total}");
            // The further ones are seen too seldom for every run to agree on them.
            for (n, key) in &order[..5] {
                let at = found.keys.iter().find(|k| *k.key == key.to_le_bytes());
                let hot = at.unwrap_or_else(|| panic!("{measure:?}: {key} with {n} is missing"));
                let value = hot.value as f64 / scale;
                let ratio = value / *n as f64;
                assert!(
                    (0.4..2.5).contains(&ratio),
                    "{measure:?} {key}: {value}, not {n}"
                );
            }
        }
    }

    /// One command that takes as long as ten thousand others is as hot by time as they are together.
    #[test]
    fn what_takes_long_is_hot_by_time() {
        let hot = Hot::default();
        for i in 0..100_000u64 {
            run(&hot, &(i % 1000).to_le_bytes(), 1_000, 10);
            if i % 10_000 == 0 {
                run(&hot, b"slow", 10_000_000, 10);
            }
        }
        let found = top(&[&hot], Measure::Cpu, 1);
        assert_eq!(*found.keys[0].key, *b"slow");
        let share = found.keys[0].value as f64 / found.total as f64;
        assert!((0.3..0.7).contains(&share), "{share}");
        assert_ne!(*top(&[&hot], Measure::Ops, 1).keys[0].key, *b"slow");
    }

    #[test]
    fn few_commands_are_counted_exactly() {
        let hot = Hot::default();
        for (key, n) in [(&b"a"[..], 5), (b"b", 3), (b"c", 1)] {
            (0..n).for_each(|_| run(&hot, key, 1, 1));
        }
        let found = top(&[&hot], Measure::Ops, 2);
        let pairs: Vec<_> = found
            .keys
            .iter()
            .map(|k| (&*k.key, k.value, k.error))
            .collect();
        assert_eq!(pairs, [(&b"a"[..], 5, 0), (b"b", 3, 0)]);
        assert_eq!(found.total, 9);
        hot.clear();
        assert!(top(&[&hot], Measure::Ops, 2).keys.is_empty());
    }

    #[test]
    fn old_windows_are_forgotten() {
        let mut kept = Kept::default();
        kept.turn(1_000);
        kept.now.sketches[0].add(SLOTS, 0, b"old", 1, 1);
        kept.turn(1_000 + WINDOW_MS);
        assert_eq!(kept.before.sketches[0].total, 1);
        assert_eq!(kept.now.sketches[0].total, 0);
        kept.turn(1_000 + 2 * WINDOW_MS);
        assert_eq!(kept.before.sketches[0].total, 0);
        let hot = Hot::default();
        *hot.kept.lock() = kept;
        assert_eq!(top(&[&hot], Measure::Ops, 1).total, 0);
    }

    /// Some keys stand for all of a command that has many, each of which counts once.
    #[test]
    fn some_keys_stand_for_many() {
        let hot = Hot::default();
        let names: Vec<String> = (0..SOME_KEYS).map(|n| format!("key:{n}")).collect();
        let keys: Vec<(&[u8], u64)> = (names.iter())
            .map(|name| (name.as_bytes(), hash(name.as_bytes())))
            .collect();
        hot.sample(Measure::Ops, 0, &keys, 100 * SOME_KEYS);
        let found = top(&[&hot], Measure::Ops, SLOTS);
        assert_eq!(found.keys.len(), SOME_KEYS);
        assert!(found.keys.iter().all(|key| key.value == 100));
        assert_eq!(found.total, 100 * SOME_KEYS as u64);
    }
}
