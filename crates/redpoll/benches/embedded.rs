//! What a typed call costs, in one thread and in two at once.
//!
//! `cargo bench -p redpoll [-- NAME]`: 100,000 resident 16-byte keys with 32-byte values, in random order. Prints
//! nanoseconds per call, the median of several rounds, what a call takes of the processors, in the thread that makes it and
//! in all of the process, and how much more two threads do than one; with a name, only of the calls that begin with it. The
//! keys stand in the order they are asked for, so that fetching the bench's own copy of them is not part of what is
//! measured: a program that asks for a key has it at hand. What is kept in files ([`Files`], synced every second) stands in
//! a folder for temporary files, which is removed at the end. The log is not rewritten meanwhile, which at this rate it
//! would be several times a second, but for the calls that say so.

use redpoll::{Config, Db, Files};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const KEYS: usize = 100_000;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(200);

/// The processors' time that the calling thread has taken, in nanoseconds, where the system says it.
fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = stat.split_whitespace().next();
    first.and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

/// The same of the whole process.
fn all_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    // Linux counts hundredths of a second here.
    ticks.flat_map(str::parse::<f64>).sum::<f64>() * 1e7
}

/// What was measured of a call.
struct Measured {
    /// Nanoseconds per call in each thread.
    each: f64,
    /// Calls per second of all threads together.
    rate: f64,
    /// Nanoseconds of the processors' time per call: of the threads that call, and of all.
    own: f64,
    all: f64,
}

/// Measures `call` in `threads` threads at once.
fn measure(threads: usize, call: &(dyn Fn(usize) + Sync)) -> Measured {
    let (all, all_calls, own) = (all_cpu(), AtomicU64::new(0), AtomicU64::new(0));
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Barrier::new(threads);
            let rates: Vec<f64> = std::thread::scope(|s| {
                let running: Vec<_> = (0..threads)
                    .map(|t| {
                        let (start, all_calls, own) = (&start, &all_calls, &own);
                        s.spawn(move || {
                            // Threads start apart from each other and never meet.
                            let mut at = t * KEYS / threads;
                            start.wait();
                            let (began, cpu) = (Instant::now(), own_cpu());
                            let mut calls = 0;
                            while began.elapsed() < ROUND {
                                for _ in 0..2000 {
                                    call(at);
                                    at = if at + 1 == KEYS { 0 } else { at + 1 };
                                }
                                calls += 2000;
                            }
                            own.fetch_add((own_cpu() - cpu) as u64, Relaxed);
                            all_calls.fetch_add(calls, Relaxed);
                            calls as f64 / began.elapsed().as_secs_f64()
                        })
                    })
                    .collect();
                running
                    .into_iter()
                    .map(|t| t.join().expect("a thread that only calls"))
                    .collect()
            });
            rates.iter().sum()
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let rate = rounds[ROUNDS / 2];
    let calls = all_calls.into_inner() as f64;
    Measured {
        each: threads as f64 * 1e9 / rate,
        rate,
        own: own.into_inner() as f64 / calls,
        all: (all_cpu() - all) / calls,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` runs this without `--bench`: then only that it runs is of interest.
    let only_try = !std::env::args().any(|a| a == "--bench");
    let wanted = std::env::args()
        .skip(1)
        .find(|a| !a.starts_with('-'))
        .unwrap_or_default();
    let db = Db::open(Config::default())?;
    // Multiplication by an odd number that has no factor in common with KEYS visits every number once.
    let number = |i: usize| i * 61_803_399 % KEYS;
    let key = |letter: char, i: usize| -> [u8; 16] {
        let text = format!("{letter}ey:{:012}", number(i));
        text.into_bytes().try_into().expect("sixteen characters")
    };
    let keys: Vec<[u8; 16]> = (0..KEYS).map(|i| key('k', i)).collect();
    let absent: Vec<[u8; 16]> = (0..KEYS).map(|i| key('a', i)).collect();
    let numbers: Vec<[u8; 16]> = (0..KEYS).map(|i| key('n', i)).collect();
    // In another order than they are asked for, so that neighbours in memory are not neighbours in time.
    let expiring: Vec<[u8; 16]> = (0..KEYS).map(|i| key('t', i)).collect();
    let hashes: Vec<[u8; 16]> = (0..KEYS).map(|i| key('h', i)).collect();
    let lists: Vec<[u8; 16]> = (0..KEYS).map(|i| key('l', i)).collect();
    for i in (0..KEYS).map(|i| i * 41_421_357 % KEYS) {
        db.set(keys[i], &[i as u8; 32])?;
        db.set_for(expiring[i], &[i as u8; 32], Duration::from_secs(3600))?;
        db.hset(hashes[i], "field", &[i as u8; 32])?;
        db.sadd("set", keys[i])?;
        db.zadd("sorted set", keys[i], number(i) as f64)?;
    }
    let folder = std::env::temp_dir().join(format!("redpoll-bench-{}", std::process::id()));
    let kept = Db::open(Files::at(&folder))?;
    for i in (0..KEYS).map(|i| i * 41_421_357 % KEYS) {
        kept.set(keys[i], &[i as u8; 32])?;
        kept.hset(hashes[i], "field", &[i as u8; 32])?;
    }
    let rewrites = |percent: &str| {
        let set: [&[u8]; 4] = [
            b"CONFIG",
            b"SET",
            b"auto-aof-rewrite-percentage",
            percent.as_bytes(),
        ];
        kept.execute(set).map(|_| ())
    };
    let value = [7u8; 32];
    type Call<'a> = Box<dyn Fn(usize) + Sync + 'a>;
    let calls: Vec<(&str, Call<'_>)> = vec![
        (
            "nothing (included below)",
            Box::new(|i| _ = black_box(&keys[i])),
        ),
        ("get", Box::new(|i| _ = black_box(db.get(keys[i])))),
        (
            "get_with",
            Box::new(|i| _ = black_box(db.get_with(keys[i], |v| v.len()))),
        ),
        (
            "get, absent",
            Box::new(|i| _ = black_box(db.get(absent[i]))),
        ),
        (
            "exists",
            Box::new(|i| _ = black_box(db.exists(keys[i]).unwrap())),
        ),
        (
            "set, 32 bytes",
            Box::new(|i| _ = black_box(db.set(keys[i], &value))),
        ),
        (
            "set_for",
            Box::new(|i| _ = black_box(db.set_for(expiring[i], &value, Duration::from_secs(3600)))),
        ),
        (
            "get, of keys that expire",
            Box::new(|i| _ = black_box(db.get(expiring[i]))),
        ),
        (
            "set, kept every second",
            Box::new(|i| _ = black_box(kept.set(keys[i], &value))),
        ),
        (
            "set, kept and rewritten",
            Box::new(|i| _ = black_box(kept.set(keys[i], &value))),
        ),
        (
            "hset, kept every second",
            Box::new(|i| _ = black_box(kept.hset(hashes[i], "field", &value))),
        ),
        ("incr", Box::new(|i| _ = black_box(db.incr(numbers[i])))),
        (
            "hget, of one field",
            Box::new(|i| _ = black_box(db.hget(hashes[i], "field"))),
        ),
        (
            "hset, of one field",
            Box::new(|i| _ = black_box(db.hset(hashes[i], "field", &value))),
        ),
        (
            "sismember, of 100,000",
            Box::new(|i| _ = black_box(db.sismember("set", keys[i]))),
        ),
        (
            "zscore, of 100,000",
            Box::new(|i| _ = black_box(db.zscore("sorted set", keys[i]))),
        ),
        (
            "zadd, of 100,000",
            Box::new(|i| _ = black_box(db.zadd("sorted set", keys[i], i as f64))),
        ),
        (
            "rpush and lpop",
            Box::new(|i| {
                _ = black_box(db.rpush(lists[i], &value));
                _ = black_box(db.lpop(lists[i]));
            }),
        ),
        (
            "execute GET",
            Box::new(|i| _ = black_box(db.execute([b"GET", &keys[i][..]]))),
        ),
    ];
    println!(
        "{:26} {:>10} {:>7} {:>7} {:>12} {:>7} {:>7} {:>8}",
        "call", "1 thread", "CPU", "in all", "2 threads", "CPU", "in all", "speed-up"
    );
    for (name, call) in calls.iter().filter(|(name, _)| name.starts_with(&wanted)) {
        rewrites(if name.contains("rewritten") {
            "100"
        } else {
            "0"
        })?;
        if only_try {
            call(1);
            continue;
        }
        let (one, two) = (measure(1, &**call), measure(2, &**call));
        println!(
            "{name:26} {:7.1} ns {:7.1} {:7.1} {:9.1} ns {:7.1} {:7.1} {:7.2} x",
            one.each,
            one.own,
            one.all,
            two.each,
            two.own,
            two.all,
            two.rate / one.rate
        );
    }
    drop(calls);
    drop(kept);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
