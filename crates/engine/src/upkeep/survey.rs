//! The walk over all keys that MEMORY TREE tells from: where memory is by prefix, type and expiry, and which keys are large.
//!
//! A thread looks at some keys under one hold of a shard's lock, counts them after it, and rests so long that it takes
//! [`DUTY`] of a core at most, or [`IDLE_DUTY`] while the machine has little to do. While a round goes on it makes known what it has seen so far, from
//! which all can be estimated, if there is nothing better: where there is no earlier round, or that knew far fewer or more keys. When it has been through all databases it rests for longer. Keys that come or go meanwhile may be
//! missed or counted; nothing waits for it for longer than a hold.

use crate::base::clock::unix_ms;
use crate::base::process;
use crate::base::sizes::Sizes;
use crate::base::tree::{Counted, Trees};
use crate::context::engine::Engine;
use crate::context::surveyed::Round;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The part of one core that the walk may take.
const DUTY: f64 = 0.01;

/// The same while there are more than twice as many processors as threads that want one.
const IDLE_DUTY: f64 = 0.05;

/// Keys after which a round makes known what it has seen, and again whenever it has seen twice as many.
const EARLY: u64 = 2000;

/// How often it looks whether that is so.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long it works before it rests.
const SLICE: Duration = Duration::from_micros(500);

/// Keys looked at under one hold of a shard's lock: some ten microseconds.
const AT_ONCE: usize = 64;

/// How long it rests after a round; after a long one longer.
const BETWEEN: Duration = Duration::from_secs(60);

/// How many times as long as the round took.
const BETWEEN_TIMES: u32 = 2;

/// How long it waits for a shard before it goes on with the next.
const PATIENCE: Duration = Duration::from_millis(1);

/// The running walk; stops it when dropped.
pub(crate) struct Survey {
    engine: Weak<Engine>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Survey {
    pub fn start(engine: &Arc<Engine>) -> Survey {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (stop, engine) = (stop.clone(), Arc::downgrade(engine));
            std::thread::Builder::new()
                .name("survey".into())
                .spawn(move || run(&engine, &stop))
        };
        Survey {
            engine: Arc::downgrade(engine),
            stop,
            thread: thread
                .inspect_err(|e| tracing::warn!("no thread for the survey of keys: {e}"))
                .ok(),
        }
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(engine) = self.engine.upgrade() {
            engine.surveyed.ring();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The part of one core that the walk may take now.
fn duty_now() -> f64 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    match process::load() {
        Some(load) if load < processors as f64 / 2.0 => IDLE_DUTY,
        _ => DUTY,
    }
}

fn run(engine: &Weak<Engine>, stop: &AtomicBool) {
    process::stand_behind_workers(process::FAR_BEHIND);
    let mut walk: Option<Walk> = None;
    let (mut duty, mut looked) = (DUTY, Instant::now());
    while !stop.load(Relaxed) {
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let wanted = engine.config().flag("memory-survey");
        let may = wanted && !engine.loading.is_on() && !engine.maintenance_paused.load(Relaxed);
        if !may {
            walk = None;
            engine.surveyed.wait(Duration::from_secs(1), true);
            continue;
        }
        engine.sleep_if_asleep();
        let began = Instant::now();
        let at = walk.get_or_insert_with(Walk::new);
        let ended = at.slice(&engine, SLICE);
        if at.seen >= at.early {
            at.early = at.seen * 2;
            engine.surveyed.put_early(keys_of(&engine), || at.so_far());
        }
        let worked = began.elapsed();
        if ended && let Some(done) = walk.take() {
            let rest = (done.began.elapsed() * BETWEEN_TIMES).max(BETWEEN);
            let due = engine.surveyed.put(done.round());
            if !due {
                engine.surveyed.wait(rest, true);
            }
            continue;
        }
        if looked.elapsed() >= LOOK_EVERY {
            (duty, looked) = (duty_now(), Instant::now());
        }
        engine
            .surveyed
            .wait(worked.mul_f64((1.0 - duty) / duty), false);
    }
}

/// How many keys there are.
fn keys_of(engine: &Engine) -> u64 {
    let ks = engine.keyspace();
    (0..ks.databases())
        .map(|db| ks.counts(db).keys as u64)
        .sum()
}

/// Where a round is.
struct Walk {
    began: Instant,
    began_ms: u64,
    trees: Trees,
    sizes: Sizes,
    /// Keys that were counted, and from how many on that is made known.
    seen: u64,
    early: u64,
    shard: usize,
    db: usize,
    position: u64,
    /// Names of the keys of one hold, one behind the other.
    names: Vec<u8>,
    met: Vec<(usize, Counted, usize)>,
}

impl Walk {
    fn new() -> Walk {
        Walk {
            began: Instant::now(),
            began_ms: unix_ms(),
            trees: Trees::default(),
            sizes: Sizes::default(),
            seen: 0,
            early: EARLY,
            shard: 0,
            db: 0,
            position: 0,
            names: Vec::new(),
            met: Vec::new(),
        }
    }

    fn so_far(&self) -> Round {
        Round {
            trees: self.trees.clone(),
            sizes: self.sizes.clone(),
            began_ms: self.began_ms,
            took_ms: self.began.elapsed().as_millis() as u64,
        }
    }

    fn round(self) -> Round {
        Round {
            trees: self.trees,
            sizes: self.sizes,
            began_ms: self.began_ms,
            took_ms: self.began.elapsed().as_millis() as u64,
        }
    }

    /// Goes on for some time. True at the end of the round.
    fn slice(&mut self, engine: &Engine, time: Duration) -> bool {
        let (began, ks) = (Instant::now(), engine.keyspace());
        while began.elapsed() < time {
            if self.shard >= ks.shards() {
                return true;
            }
            if ks.shard_counts(self.db, self.shard).keys == 0 {
                self.next_dict(ks.databases());
                continue;
            }
            let lock = ks
                .try_lock(self.shard)
                .or_else(|| ks.lock_for(self.shard, PATIENCE));
            let Some(shard) = lock else {
                // Somebody has it for long. Its keys are missing this time.
                (self.db, self.position) = (0, 0);
                self.shard += 1;
                continue;
            };
            let now_ms = unix_ms();
            let (names, met) = (&mut self.names, &mut self.met);
            let next = shard
                .db_ref(self.db)
                .step_from(self.position, AT_ONCE, |_, entry| {
                    let key = entry.key();
                    // The tree keeps no more of it.
                    names.extend_from_slice(&key[..key.len().min(1024)]);
                    let counted = Counted {
                        kind: entry.kind(),
                        bytes: entry.memory() as u64,
                        left_ms: entry.expiry_ms().map(|at| at.saturating_sub(now_ms)),
                    };
                    met.push((key.len().min(1024), counted, entry.length()));
                });
            drop(shard);
            let mut at = 0;
            self.seen += self.met.len() as u64;
            for (length, counted, size) in self.met.drain(..) {
                self.sizes.count(self.db, counted.kind, size);
                self.trees
                    .count(self.db, &self.names[at..at + length], counted);
                at += length;
            }
            self.names.clear();
            match next {
                Some(position) => self.position = position,
                None => self.next_dict(ks.databases()),
            }
        }
        self.shard >= ks.shards()
    }

    fn next_dict(&mut self, databases: usize) {
        self.position = 0;
        self.db += 1;
        if self.db == databases {
            self.db = 0;
            self.shard += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClient;

    #[test]
    fn a_round_counts_every_key() {
        let mut c = TestClient::new();
        for i in 0..2000 {
            c.raw(&["SET", &format!("user:{i}:name"), "x"]);
        }
        c.run("SELECT 2; RPUSH list a b c; SET t v EX 1000");
        let mut walk = Walk::new();
        while !walk.slice(&c.engine, Duration::from_millis(1)) {}
        let trees = walk.trees;
        assert_eq!(trees.roots[&0].all.keys, 2000);
        let bytes = c.engine.keyspace().counts(0);
        // But for what the dictionaries themselves take.
        let (own, all) = (
            trees.roots[&0].all.bytes,
            (bytes.bytes - bytes.table_bytes) as u64,
        );
        assert!(own <= all && all - own < all / 50, "{own} of {all}");
        assert_eq!(trees.roots[&2].all.keys, 2);
        assert_eq!(trees.roots[&2].expiring.keys, 1);
        assert!(trees.find(0, b"user:5:").is_some());
        let sizes = walk.sizes.lines();
        let sizes: Vec<&str> = sizes.iter().map(String::as_str).collect();
        let all = [
            "db0_distrib_strings_sizes:1=2000",
            "db2_distrib_strings_sizes:1=1",
            "db2_distrib_lists_items:2=1",
        ];
        assert_eq!(sizes, all);
    }

    /// Some shards are a sample of all: what is told after them is near what there is.
    #[test]
    fn what_a_round_has_seen_so_far_says_how_much_there_is() {
        let mut c = TestClient::new();
        for i in 0..20_000 {
            let name = if i % 4 == 0 { "log" } else { "user" };
            c.raw(&["SET", &format!("{name}:{i}"), "x", "EX", "1000"]);
        }
        c.check("MEMORY TREE", "nil");
        let mut walk = Walk::new();
        while walk.seen < 5000 {
            walk.slice(&c.engine, Duration::from_micros(1));
        }
        // A round that was complete before there were so many keys is no better.
        c.engine.surveyed.put(Walk::new().round());
        c.check("MEMORY TREE", "nil");
        c.engine.surveyed.put_early(20_000, || walk.so_far());
        let told = c.run("MEMORY TREE");
        let part = format!(r#""seen-percent" {}"#, walk.seen * 100 / 20_000);
        assert!(told.contains(&part), "{told}");
        assert!(told.contains(r#""prefix" "" "keys" 20000 "#), "{told}");
        let after = |name: &str| {
            let name = format!(r#""prefix" "{name}:" "keys" "#);
            let at = told.find(&name).expect("a child") + name.len();
            let number = told[at..].split(' ').next().unwrap_or_default();
            number.parse::<i64>().expect("a number")
        };
        assert!((after("log") - 5000).abs() < 500, "{told}");
        assert!((after("user") - 15_000).abs() < 500, "{told}");
        while !walk.slice(&c.engine, Duration::from_millis(1)) {}
        c.engine.surveyed.put(walk.round());
        c.engine
            .surveyed
            .put_early(20_100, || unreachable!("there is a complete round"));
        let told = c.run("MEMORY TREE");
        assert!(told.contains(r#""seen-percent" 100 "#), "{told}");
    }
}
