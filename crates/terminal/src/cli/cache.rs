//! `--lru-test`: a load as caches have it, most of which is for few of the keys, and how much of it finds what it looks for.

use super::session::{Failure, Session, show};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Requests of one pipeline.
const BATCH: usize = 250;

/// How often what came of it is told.
const PERIOD: Duration = Duration::from_secs(1);

/// Of requests, four fifths go to the first fifth of the keys, and in each fifth of the keys it is the same again.
/// So of the share u of requests that miss the first keys, the share of keys that is left is the `1 / SKEW`th power.
const SKEW: f64 = 7.212;

/// Random numbers: splitmix64, begun anywhere.
struct Random(u64);

impl Random {
    fn new() -> Random {
        Random(RandomState::new().hash_one(0))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A key out of so many.
    fn key(&mut self, keys: u64) -> String {
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let at = keys as f64 * (1.0 - part.powf(1.0 / SKEW));
        format!("lru:{}", (at as u64).min(keys - 1))
    }

    /// A value of five letters.
    fn value(&mut self) -> String {
        let word = self.next();
        (0..5)
            .map(|n| char::from(b'A' + (word >> (8 * n)) as u8 % 26))
            .collect()
    }
}

/// Writes and reads these keys until somebody ends it, and says each second how much was found.
pub fn simulate(session: &mut Session, keys: u64) -> Result<(), Failure> {
    let mut random = Random::new();
    let connection = session.connection()?;
    loop {
        let begun = Instant::now();
        let (mut hits, mut misses) = (0_u64, 0_u64);
        while begun.elapsed() < PERIOD {
            let set = |random: &mut Random| vec!["SET".into(), random.key(keys), random.value()];
            let sets: Vec<_> = (0..BATCH).map(|_| set(&mut random)).collect();
            for reply in connection.pipeline(&sets)? {
                if let Some(error) = reply.error() {
                    return Err(format!("SET failed: {error}").into());
                }
            }
            let gets: Vec<_> = (0..BATCH)
                .map(|_| vec!["GET".into(), random.key(keys)])
                .collect();
            for reply in connection.pipeline(&gets)? {
                match reply.bytes() {
                    Some(_) => hits += 1,
                    None => misses += 1,
                }
                if let Some(error) = reply.error() {
                    return Err(format!("GET failed: {error}").into());
                }
            }
        }
        let all = (hits + misses).max(1);
        let percent = |part: u64| 100.0 * part as f64 / all as f64;
        let line = format!(
            "{} Gets/sec | Hits: {hits} ({:.2}%) | Misses: {misses} ({:.2}%)\n",
            hits + misses,
            percent(hits),
            percent(misses)
        );
        show(line.as_bytes())?;
        io::stdout().flush().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_of_the_load_are_for_a_fifth_of_the_keys() {
        let mut random = Random(1);
        let mut hot = 0;
        for _ in 0..100_000 {
            let key = random.key(1000);
            let number: u64 = key.strip_prefix("lru:").unwrap().parse().unwrap();
            assert!(number < 1000);
            hot += u64::from(number < 200);
        }
        assert!((79_000..81_000).contains(&hot), "{hot}");
        assert_eq!(random.key(1), "lru:0");
    }
}
