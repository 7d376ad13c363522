//! Random numbers and the choice of the next key.
//!
//! Every request draws a few random numbers, so the generator is one addition and two multiplications (SplitMix64),
//! seeded per thread: a run with the same `--seed` and thread count sends the same requests.

/// A SplitMix64 generator. Fast and evenly distributed; not for secrets.
pub struct Rng(u64);

impl Rng {
    /// A generator for stream number `stream` of a run seeded with `seed`. Streams do not overlap in practice: their
    /// starting points are scattered over the whole period.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mut scatter = Rng(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Rng(scatter.next())
    }

    /// The next 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..n` (0 when `n` is 0): the high half of a 128-bit product, which costs no division. Some
    /// numbers are likelier than others by at most n / 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `[0, 1)` with 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// How keys are spread over `0..n`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// All keys equally often.
    Uniform,
    /// Key k in proportion to 1 / (k + 1)^theta.
    Zipf(f64),
    /// 0, 1, 2 ... and round again; each thread starts at its own part of the range.
    Sequential,
}

impl std::str::FromStr for Distribution {
    type Err = String;

    /// Reads `uniform`, `sequential`, `zipf` (theta 0.99, as YCSB has it), `zipf(1.2)` or `zipf:1.2`.
    fn from_str(s: &str) -> Result<Distribution, String> {
        match s {
            "uniform" => return Ok(Distribution::Uniform),
            "sequential" => return Ok(Distribution::Sequential),
            "zipf" => return Ok(Distribution::Zipf(0.99)),
            _ => {}
        }
        let theta = s
            .strip_prefix("zipf(")
            .and_then(|rest| rest.strip_suffix(')'))
            .or_else(|| s.strip_prefix("zipf:"))
            .ok_or("expected uniform, sequential, zipf or zipf(THETA)")?;
        match theta.parse::<f64>() {
            Ok(theta) if theta > 0.0 && theta <= 10.0 => Ok(Distribution::Zipf(theta)),
            _ => Err("zipf's THETA is a number above 0 and at most 10".to_string()),
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Sequential => f.write_str("sequential"),
            Distribution::Zipf(theta) => write!(f, "zipf({theta})"),
        }
    }
}

/// Draws key numbers for one thread.
pub struct Keys {
    n: u64,
    pick: Pick,
}

enum Pick {
    Uniform,
    Zipf(Zipf),
    Sequential { next: u64 },
}

impl Keys {
    /// Keys `0..n` spread as `distribution` says; a sequential draw begins at `first`.
    pub fn new(distribution: Distribution, n: u64, first: u64) -> Keys {
        let pick = match distribution {
            Distribution::Uniform => Pick::Uniform,
            Distribution::Zipf(theta) => Pick::Zipf(Zipf::new(n, theta)),
            Distribution::Sequential => Pick::Sequential { next: first },
        };
        Keys { n, pick }
    }

    /// The number of the next key, in `0..n`.
    pub fn next(&mut self, rng: &mut Rng) -> u64 {
        match &mut self.pick {
            Pick::Uniform => rng.below(self.n),
            Pick::Zipf(zipf) => zipf.sample(rng),
            Pick::Sequential { next } => {
                let key = *next;
                *next = if key + 1 >= self.n { 0 } else { key + 1 };
                key
            }
        }
    }
}

/// Zipf's distribution over `0..n` by rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to
/// generate variates from monotone discrete distributions", 1996): no table and no sum over all keys to begin with,
/// any theta above 0, and fewer than two tries a sample.
///
/// The idea: under the curve h(x) = x^-theta the area up to x, H(x), can be inverted. A uniform point of that area is
/// mapped back to x and rounded to the rank k; the share of points that belong to the curve but not to the bar of
/// height h(k) is rejected.
struct Zipf {
    n: f64,
    theta: f64,
    /// The area's bounds: from H(1.5) - h(1) to H(n + 0.5).
    low: f64,
    high: f64,
    /// When x lies this close below its rank it is accepted without computing H again.
    shortcut: f64,
}

impl Zipf {
    fn new(n: u64, theta: f64) -> Zipf {
        let mut zipf = Zipf {
            n: n as f64,
            theta,
            low: 0.0,
            high: 0.0,
            shortcut: 0.0,
        };
        zipf.low = zipf.area(1.5) - 1.0;
        zipf.high = zipf.area(zipf.n + 0.5);
        zipf.shortcut = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.height(2.0));
        zipf
    }

    /// h(x) = x^-theta.
    fn height(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// H(x), the integral of h from 1 to x: (x^(1-theta) - 1) / (1 - theta), or ln x when theta is 1. Written with
    /// `exp_m1` so that it stays exact as theta nears 1.
    fn area(&self, x: f64) -> f64 {
        let a = (1.0 - self.theta) * x.ln();
        if a.abs() < 1e-9 {
            x.ln()
        } else {
            a.exp_m1() / (1.0 - self.theta)
        }
    }

    /// The x whose area is `y`.
    fn area_inverse(&self, y: f64) -> f64 {
        let a = (1.0 - self.theta) * y;
        if a.abs() < 1e-9 {
            y.exp()
        } else {
            (a.ln_1p() / (1.0 - self.theta)).exp()
        }
    }

    fn sample(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.high - rng.unit() * (self.high - self.low);
            let x = self.area_inverse(u);
            let rank = x.round().clamp(1.0, self.n);
            if rank - x <= self.shortcut || u >= self.area(rank + 0.5) - self.height(rank) {
                return rank as u64 - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut rng = Rng::new(1, 0);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
        }
        assert!(
            seen.iter().all(|&count| (800..1200).contains(&count)),
            "{seen:?}"
        );
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.next(), rng.next()]
        };
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
    }

    #[test]
    fn zipf_frequencies_follow_the_power_law() {
        for theta in [0.5, 0.99, 1.0, 1.5] {
            let n = 1000u64;
            let draws = 400_000;
            let mut keys = Keys::new(Distribution::Zipf(theta), n, 0);
            let mut rng = Rng::new(42, 0);
            let mut counts = vec![0f64; n as usize];
            for _ in 0..draws {
                counts[keys.next(&mut rng) as usize] += 1.0;
            }
            let total: f64 = (1..=n).map(|k| (k as f64).powf(-theta)).sum();
            // The frequent ranks exactly enough, the long tail as one sum.
            for rank in [1u64, 2, 3, 10] {
                let expected = f64::from(draws) * (rank as f64).powf(-theta) / total;
                let got = counts[rank as usize - 1];
                let allowed = 6.0 * expected.sqrt();
                assert!(
                    (got - expected).abs() < allowed,
                    "theta {theta}, rank {rank}: {got} of {expected}"
                );
            }
            let tail: f64 = counts[500..].iter().sum();
            let expected: f64 =
                (501..=n).map(|k| (k as f64).powf(-theta)).sum::<f64>() / total * f64::from(draws);
            assert!(
                (tail - expected).abs() < 6.0 * expected.sqrt(),
                "theta {theta}, tail: {tail} of {expected}"
            );
        }
    }

    #[test]
    fn zipf_over_one_key_is_that_key() {
        let mut keys = Keys::new(Distribution::Zipf(0.99), 1, 0);
        let mut rng = Rng::new(1, 1);
        assert!((0..100).all(|_| keys.next(&mut rng) == 0));
    }

    #[test]
    fn sequential_covers_the_range_and_wraps() {
        let mut keys = Keys::new(Distribution::Sequential, 4, 2);
        let mut rng = Rng::new(1, 1);
        let drawn: Vec<u64> = (0..6).map(|_| keys.next(&mut rng)).collect();
        assert_eq!(drawn, [2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn distributions_are_read_and_refused() {
        assert_eq!("uniform".parse(), Ok(Distribution::Uniform));
        assert_eq!("zipf".parse(), Ok(Distribution::Zipf(0.99)));
        assert_eq!("zipf(1.2)".parse(), Ok(Distribution::Zipf(1.2)));
        assert_eq!("zipf:0.5".parse(), Ok(Distribution::Zipf(0.5)));
        for bad in ["", "zipf(", "zipf(0)", "zipf(nan)", "zipf:-1", "gauss"] {
            assert!(bad.parse::<Distribution>().is_err(), "{bad}");
        }
    }
}
