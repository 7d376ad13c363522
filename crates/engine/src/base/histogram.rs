//! How long commands took: a histogram of ticks whose buckets grow with what they hold, as those of HDR histograms do.
//!
//! Every power of two is divided into 32 buckets of one width, so that a time is known to 3 %. One thread counts, with a
//! plain load and store; anybody may read. Percentiles and the lines of LATENCY HISTOGRAM are taken from a [`Total`] of
//! several threads' histograms.

use crate::base::stats::Counter;
use crate::base::ticks;

/// Bits below the leading one that tell buckets of one power of two apart.
const SUB_BITS: u32 = 5;
/// Buckets of a power of two.
const SUBS: usize = 1 << SUB_BITS;
/// Bits of the longest time that is told from longer ones: some hours.
const MOST_BITS: u32 = 46;
/// Buckets in all: the numbers below [`SUBS`], then a row for each further bit.
const BUCKETS: usize = SUBS * (MOST_BITS - SUB_BITS + 1) as usize;

/// Rows of buckets: one of times below [`SUBS`], and one for each further bit.
const ROWS: usize = BUCKETS / SUBS;

/// One thread's counts of times.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[Counter; BUCKETS]>,
    /// A bit for each row in which something was ever counted: those that are worth reading. Rows without one are empty; a bit stays
    /// when counts are set back.
    rows: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let counts: Box<[Counter]> = (0..BUCKETS).map(|_| Counter::default()).collect();
        match counts.try_into() {
            Ok(counts) => Histogram {
                counts,
                rows: Counter::default(),
            },
            Err(_) => unreachable!("there are as many as there are buckets"),
        }
    }
}

/// The bucket of a time in ticks.
#[inline]
fn bucket(ticks: u64) -> usize {
    let ticks = ticks.min((1 << MOST_BITS) - 1);
    let bits = u64::BITS - ticks.leading_zeros();
    if bits <= SUB_BITS {
        return ticks as usize;
    }
    let row = bits - SUB_BITS;
    row as usize * SUBS + (ticks >> (row - 1)) as usize - SUBS
}

/// The longest time in ticks that belongs to a bucket.
fn longest(bucket: usize) -> u64 {
    match (bucket / SUBS, (bucket % SUBS) as u64) {
        (0, ticks) => ticks,
        (row, sub) => ((SUBS as u64 + sub + 1) << (row - 1)) - 1,
    }
}

/// The buckets of some rows.
fn buckets_of(rows: u64) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..ROWS)
        .filter(move |row| rows & (1 << row) != 0)
        .map(|row| row * SUBS..(row + 1) * SUBS)
}

/// Times up to which calls are to be counted, as places in a histogram.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// For each bound the first bucket that is beyond it.
    below: Vec<usize>,
}

impl Bounds {
    /// Those of some times in nanoseconds, which ascend.
    pub fn of_nanos(bounds: &[u64]) -> Bounds {
        let below = |bound: &u64| {
            // The time of buckets grows with their number.
            let (mut from, mut until) = (0, BUCKETS);
            while from < until {
                let middle = (from + until) / 2;
                match ticks::nanos(longest(middle)) <= *bound {
                    true => from = middle + 1,
                    false => until = middle,
                }
            }
            from
        };
        Bounds {
            below: bounds.iter().map(below).collect(),
        }
    }
}

impl Histogram {
    /// Counts a time, so many times. Only the thread that owns the histogram may.
    #[inline]
    pub fn count(&self, ticks: u64, times: u64) {
        let bucket = bucket(ticks);
        self.counts[bucket].add(times);
        let (rows, row) = (self.rows.get(), 1 << (bucket / SUBS));
        if rows & row == 0 {
            self.rows.set(rows | row);
        }
    }

    /// Forgets all times.
    pub(crate) fn clear(&self) {
        self.counts.iter().for_each(Counter::clear);
    }
}

/// The times of one command on all threads.
#[derive(Clone, Debug)]
pub struct Total {
    counts: Box<[u64]>,
    /// The rows that may hold something, a bit each.
    rows: u64,
    /// How many there are.
    pub calls: u64,
}

impl Default for Total {
    fn default() -> Total {
        Total {
            counts: vec![0; BUCKETS].into(),
            rows: 0,
            calls: 0,
        }
    }
}

impl Total {
    /// Adds a thread's times.
    pub fn add(&mut self, histogram: &Histogram) {
        let rows = histogram.rows.get();
        self.rows |= rows;
        for range in buckets_of(rows) {
            for (sum, count) in self.counts[range.clone()]
                .iter_mut()
                .zip(&histogram.counts[range])
            {
                *sum += count.get();
                self.calls += count.get();
            }
        }
    }

    /// Forgets all times.
    pub fn clear(&mut self) {
        for range in buckets_of(std::mem::take(&mut self.rows)) {
            self.counts[range].fill(0);
        }
        self.calls = 0;
    }

    /// The time in nanoseconds that so many percent of the calls did not exceed, 0 if there were none.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let rank =
            ((percent / 100.0 * self.calls as f64).ceil() as u64).clamp(1, self.calls.max(1));
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map_or(0, |bucket| ticks::nanos(longest(bucket)))
    }

    /// The distribution as LATENCY HISTOGRAM prints it: microseconds, doubling from one line to the next, and how many calls
    /// took no longer. Lines that add no call to the one before are left out.
    ///
    /// Real servers count in nanoseconds and name a line by the longest time of the bucket that holds its bound, which is why
    /// there is 33 after 16; the names are the same here.
    pub(crate) fn cumulative_us(&self) -> Vec<(u64, u64)> {
        const FIRST_NS: u64 = 1024;
        let mut lines: Vec<(u64, u64)> = Vec::new();
        let (mut bound_ns, mut seen, mut told) = (FIRST_NS, 0, 0);
        for (bucket, count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let ns = ticks::nanos(longest(bucket));
            if ns > name_ns(bound_ns) {
                if seen > told {
                    lines.push((name_ns(bound_ns) / 1000, seen));
                    told = seen;
                }
                while ns > name_ns(bound_ns) {
                    bound_ns *= 2;
                }
            }
            seen += count;
        }
        if seen > told {
            lines.push((name_ns(bound_ns) / 1000, seen));
        }
        lines
    }

    /// How many calls took no longer than each of some bounds.
    pub(crate) fn up_to_each(&self, bounds: &Bounds) -> Vec<u64> {
        let mut counts = vec![0; bounds.below.len()];
        for range in buckets_of(self.rows) {
            let mut at = bounds.below.partition_point(|below| *below <= range.start);
            let mut from = range.start;
            while from < range.end && at < counts.len() {
                let until = bounds.below[at].min(range.end);
                counts[at] += self.counts[from..until].iter().sum::<u64>();
                (from, at) = (until, at + usize::from(until == bounds.below[at]));
            }
        }
        let mut seen = 0;
        for count in &mut counts {
            seen += *count;
            *count = seen;
        }
        counts
    }

    /// The calls that came since an earlier state; all of them, if the counts were set back meanwhile.
    pub fn since(&self, before: &Total) -> Total {
        let mut since = self.clone();
        if before.calls <= self.calls {
            for (now, then) in since.counts.iter_mut().zip(&before.counts) {
                *now = now.saturating_sub(*then);
            }
            since.calls = since.counts.iter().sum();
        }
        since
    }

    /// How many calls took no longer than this.
    #[cfg(test)]
    fn up_to_ns(&self, bound_ns: u64) -> u64 {
        let within = |(bucket, _): &(usize, &u64)| ticks::nanos(longest(*bucket)) <= bound_ns;
        let counts = self.counts.iter().enumerate().take_while(within);
        counts.map(|(_, count)| count).sum()
    }
}

/// The longest time of the bucket with a bound, in a histogram of two decimal digits.
fn name_ns(bound_ns: u64) -> u64 {
    bound_ns + (bound_ns >> 7) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets follow each other without a gap, and are as narrow as promised.
    #[test]
    fn buckets_cover_all_times() {
        let mut last = 0;
        for ticks in (0..10_000).chain((14..46).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power + power / 3]
        })) {
            let at = bucket(ticks);
            assert!(at >= last && longest(at) >= ticks, "{ticks}");
            assert!(at == 0 || longest(at - 1) < ticks, "{ticks}");
            assert!(
                (longest(at) - ticks) as f64 <= ticks as f64 / 32.0,
                "{ticks}"
            );
            last = at;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    fn ticks_of(micros: u64) -> u64 {
        let scale = ticks::nanos(1 << 32);
        (u128::from(micros) * 1000 * (1 << 32) / u128::from(scale)) as u64
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        ticks::start();
        let histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.count(ticks_of(micros), 1);
        }
        let mut total = Total::default();
        total.add(&histogram);
        assert_eq!(total.calls, 1000);
        for (percent, micros) in [
            (50.0, 500.0),
            (99.0, 990.0),
            (99.9, 999.0),
            (100.0, 1000.0),
            (0.0, 1.0),
        ] {
            let found = total.percentile_ns(percent) as f64 / 1000.0;
            assert!((found / micros - 1.0).abs() < 0.04, "p{percent}: {found}");
        }
        let lines = total.cumulative_us();
        let names: Vec<u64> = lines.iter().map(|line| line.0).collect();
        assert_eq!(names, [1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056]);
        assert_eq!(lines.last(), Some(&(1056, 1000)));
        assert!((500..=550).contains(&lines[9].1), "{lines:?}");
        let bounds = [500_000, 2_000_000, 3_000_000];
        let counts = total.up_to_each(&Bounds::of_nanos(&bounds));
        assert_eq!(counts, bounds.map(|bound| total.up_to_ns(bound)));
        assert!((470..=500).contains(&counts[0]) && counts[1..] == [1000, 1000]);
        let before = total.clone();
        histogram.count(ticks_of(70_000), 2);
        let mut after = Total::default();
        after.add(&histogram);
        let since = after.since(&before);
        assert_eq!(since.calls, 2);
        assert!(since.percentile_ns(1.0) >= 68_000_000);
        assert_eq!(before.since(&after).calls, 1000);
        histogram.clear();
        let mut none = Total::default();
        none.add(&histogram);
        assert_eq!((none.calls, none.percentile_ns(50.0)), (0, 0));
        assert!(none.cumulative_us().is_empty());
    }
}
