//! Measurements that other programs do not disturb.
//!
//! On two cores a compiler in the background changes what contention looks like more than any mutex does. Linux tells
//! how busy all cores were and how much of it was this process; the rest were others.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Share of all cores' time that other programs may use during a measurement.
const OTHERS: f64 = 0.05;
/// How long others must have been quiet before a measurement begins.
const QUIET_FOR: Duration = Duration::from_millis(300);

/// Takes measurements, waiting for other programs as long as patience lasts.
pub struct Patience {
    left: Duration,
    disturbed: usize,
}

impl Patience {
    /// So much time may be spent on waiting, and on measurements that come to nothing.
    pub fn new(time: Duration) -> Patience {
        Patience {
            left: time,
            disturbed: 0,
        }
    }

    /// Measurements that count although they were disturbed.
    pub fn disturbed(&self) -> usize {
        self.disturbed
    }

    /// Calls `measure` until others kept quiet meanwhile or patience has run out, and returns what it measured last.
    pub fn undisturbed<T>(&mut self, measure: impl Fn() -> Result<T, String>) -> Result<T, String> {
        loop {
            while !self.left.is_zero() && !quiet_during(|| thread::sleep(QUIET_FOR)).1 {
                self.left = self.left.saturating_sub(QUIET_FOR);
            }
            let began = Instant::now();
            let (sample, quiet) = quiet_during(&measure);
            let sample = sample?;
            if quiet {
                return Ok(sample);
            }
            if self.left.is_zero() {
                self.disturbed += 1;
                return Ok(sample);
            }
            self.left = self.left.saturating_sub(began.elapsed());
        }
    }
}

/// Calls `work`, and says whether others kept quiet meanwhile. Where the system does not tell, they did.
fn quiet_during<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let before = Ticks::now();
    let outcome = work();
    let others = before
        .zip(Ticks::now())
        .map_or(0.0, |(before, after)| after.others_since(&before));
    (outcome, others <= OTHERS)
}

/// CPU time used so far, in the kernel's ticks: by everything, and by this process.
struct Ticks {
    all: u64,
    own: u64,
    /// Busy and idle together.
    total: u64,
}

impl Ticks {
    /// The counters now; none where the system does not tell.
    fn now() -> Option<Ticks> {
        let all = fs::read_to_string("/proc/stat").ok()?;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        Ticks::parse(&all, &own)
    }

    /// Reads `/proc/stat` (first line: user, nice, system, idle, iowait, irq, softirq, steal) and `/proc/self/stat`
    /// (fields 14 and 15, counted after the program's name in parentheses).
    fn parse(all: &str, own: &str) -> Option<Ticks> {
        let numbers: Vec<u64> = all
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .take(8)
            .map_while(|number| number.parse().ok())
            .collect();
        let &[user, nice, system, idle, iowait, irq, softirq, steal] = numbers.as_slice() else {
            return None;
        };
        let mut own = own.rsplit_once(')')?.1.split_whitespace().skip(11);
        let busy = user + nice + system + irq + softirq + steal;
        Some(Ticks {
            all: busy,
            own: own.next()?.parse::<u64>().ok()? + own.next()?.parse::<u64>().ok()?,
            total: busy + idle + iowait,
        })
    }

    /// The share of all cores' time, from 0 to 1, that others used since `before`.
    fn others_since(&self, before: &Ticks) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let own = self.own.saturating_sub(before.own);
        let total = self.total.saturating_sub(before.total).max(1);
        all.saturating_sub(own) as f64 / total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_what_is_busy_and_not_this_process() {
        let before = Ticks::parse(
            "cpu  100 0 50 850 0 0 0 0 0 0\ncpu0 1 2\n",
            "7 (a b) R 1 1 1 0 0 0 0 0 0 0 40 10 0 0\n",
        );
        let after = Ticks::parse(
            "cpu  150 10 60 930 10 0 10 10 0 0\n",
            "7 (a b) R 1 1 1 0 0 0 0 0 0 0 80 15 0 0\n",
        );
        let (before, after) = before.zip(after).expect("both parse");
        // 90 busy ticks, 45 of them ours, of 180 in all.
        assert_eq!(after.others_since(&before), 0.25);
        assert_eq!(before.others_since(&after), 0.0);
    }

    #[test]
    fn without_patience_the_first_measurement_counts() {
        let mut patience = Patience::new(Duration::ZERO);
        let calls = std::cell::Cell::new(0);
        let outcome = patience.undisturbed(|| {
            calls.set(calls.get() + 1);
            Ok(calls.get())
        });
        assert_eq!((outcome, calls.get()), (Ok(1), 1));
        assert!(patience.disturbed() <= 1);
        let outcome = patience.undisturbed(|| Err::<(), _>("broken".to_string()));
        assert_eq!(outcome, Err("broken".to_string()));
    }

    #[test]
    fn what_does_not_parse_is_unknown() {
        assert!(Ticks::parse("", "").is_none());
        assert!(Ticks::parse("cpu  1 2 3\n", "1 (x) R\n").is_none());
    }
}
