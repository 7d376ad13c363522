//! What a typed call costs, in one thread and in two at once.
//!
//! `cargo bench -p redpoll [-- NAME]`: 100,000 resident 16-byte keys with 32-byte values, drawn at random. Prints
//! nanoseconds per call, the median of several rounds, and how much more two threads do than one; with a name, only of
//! the calls that contain it.

use redpoll::{Config, Db};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const KEYS: usize = 100_000;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(200);

/// xorshift: the next key costs less than a nanosecond to draw.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * n as u128) >> 64) as usize
    }
}

/// Nanoseconds per call of `call` in each of `threads` threads at once, and calls per second of all together.
fn measure(threads: usize, call: &(dyn Fn(usize) + Sync)) -> (f64, f64) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let start = Barrier::new(threads);
            let rates: Vec<f64> = std::thread::scope(|s| {
                let running: Vec<_> = (0..threads)
                    .map(|t| {
                        let start = &start;
                        s.spawn(move || {
                            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round * 8 + t + 1) as u64);
                            start.wait();
                            let began = Instant::now();
                            let mut calls = 0;
                            while began.elapsed() < ROUND {
                                for _ in 0..2000 {
                                    call(random.below(KEYS));
                                }
                                calls += 2000;
                            }
                            calls as f64 / began.elapsed().as_secs_f64()
                        })
                    })
                    .collect();
                running.into_iter().map(|t| t.join().expect("a thread that only calls")).collect()
            });
            rates.iter().sum()
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let rate = rounds[ROUNDS / 2];
    (threads as f64 * 1e9 / rate, rate)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` runs this without `--bench`: then only that it runs is of interest.
    let only_try = !std::env::args().any(|a| a == "--bench");
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let db = Db::open(Config::default())?;
    let keys: Vec<String> = (0..KEYS).map(|i| format!("key:{i:012}")).collect();
    for (i, key) in keys.iter().enumerate() {
        db.set(key, &[i as u8; 32])?;
        db.set(format!("n{}", &key[1..]), i as u64)?;
    }
    let numbers: Vec<String> = keys.iter().map(|k| format!("n{}", &k[1..])).collect();
    let value = [7u8; 32];
    type Call<'a> = Box<dyn Fn(usize) + Sync + 'a>;
    let calls: Vec<(&str, Call<'_>)> = vec![
        ("draw a key (included below)", Box::new(|i| _ = black_box(&keys[i]))),
        ("get", Box::new(|i| _ = black_box(db.get(&keys[i])))),
        ("get_with", Box::new(|i| _ = black_box(db.get_with(&keys[i], |v| v.len())))),
        ("get, absent", Box::new(|i| _ = black_box(db.get(&keys[i].as_bytes()[1..])))),
        ("exists", Box::new(|i| _ = black_box(db.exists(&keys[i])))),
        ("set, 32 bytes", Box::new(|i| _ = black_box(db.set(&keys[i], &value)))),
        ("set_for, 60 s", Box::new(|i| _ = black_box(db.set_for(&keys[i], &value, Duration::from_secs(60))))),
        ("get, of keys that expire", Box::new(|i| _ = black_box(db.get(&keys[i])))),
        ("incr", Box::new(|i| _ = black_box(db.incr(&numbers[i])))),
        ("execute GET", Box::new(|i| _ = black_box(db.execute(["GET", &numbers[i]])))),
    ];
    println!("{:32} {:>10} {:>12} {:>8}", "call", "1 thread", "2 threads", "speed-up");
    for (name, call) in calls.iter().filter(|(name, _)| name.contains(&wanted)) {
        if only_try {
            call(1);
            continue;
        }
        let (one, one_rate) = measure(1, &**call);
        let (two, two_rate) = measure(2, &**call);
        println!("{name:32} {one:7.1} ns {two:9.1} ns {:7.2} x", two_rate / one_rate);
    }
    Ok(())
}
