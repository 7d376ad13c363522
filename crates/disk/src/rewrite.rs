//! When a log is due for a rewrite: plain functions of sizes and times.

/// Whether a log has grown enough (`auto-aof-rewrite-percentage`, `auto-aof-rewrite-min-size`).
///
/// `size` is that of base and increments now, `base` what it was after the last rewrite, or at the start. A percentage of 0
/// means never.
pub fn is_due(size: u64, base: u64, percentage: u32, min_size: u64) -> bool {
    if percentage == 0 || size < min_size {
        return false;
    }
    let base = u128::from(base.max(1));
    u128::from(size) * 100 >= base * (100 + u128::from(percentage))
}

/// Keeps rewrites that fail from following each other closely: after three failures a pause of a minute, doubled by each
/// further failure, an hour at most. One asked for by a person is not held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    count: u32,
    last_ms: u64,
}

const PATIENCE: u32 = 3;
const FIRST_PAUSE_MS: u64 = 60_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;

impl Failures {
    /// A rewrite failed at this time, in milliseconds of any clock that goes forward.
    pub fn failed(&mut self, now_ms: u64) {
        self.count = self.count.saturating_add(1);
        self.last_ms = now_ms;
    }

    /// A rewrite went well.
    pub fn succeeded(&mut self) {
        *self = Failures::default();
    }

    /// When the next one may begin by itself; none: now.
    pub fn next_ms(&self) -> Option<u64> {
        let doublings = self.count.checked_sub(PATIENCE)?;
        let pause = FIRST_PAUSE_MS
            .checked_shl(doublings)
            .map_or(LONGEST_PAUSE_MS, |pause| pause.min(LONGEST_PAUSE_MS));
        Some(self.last_ms.saturating_add(pause))
    }

    /// Whether one may begin by itself.
    pub fn allow(&self, now_ms: u64) -> bool {
        self.next_ms().is_none_or(|next| now_ms >= next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_counted_from_the_last_rewrite() {
        let mb = 1 << 20;
        assert!(!is_due(127 * mb, 64 * mb, 100, 64 * mb));
        assert!(is_due(128 * mb, 64 * mb, 100, 64 * mb));
        assert!(is_due(64 * mb, 0, 100, 64 * mb));
        assert!(!is_due(63 * mb, 0, 100, 64 * mb));
        assert!(!is_due(u64::MAX, 1, 0, 0));
        assert!(is_due(u64::MAX, u64::MAX / 3, 150, 0));
        assert!(!is_due(u64::MAX, u64::MAX, u32::MAX, 0));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        let mut failures = Failures::default();
        for _ in 0..2 {
            failures.failed(1_000);
            assert!(failures.allow(1_000));
        }
        failures.failed(1_000);
        assert!(!failures.allow(60_999));
        assert!(failures.allow(61_000));
        failures.failed(61_000);
        assert_eq!(failures.next_ms(), Some(181_000));
        for _ in 0..100 {
            failures.failed(200_000);
        }
        assert_eq!(failures.next_ms(), Some(3_800_000));
        failures.succeeded();
        assert!(failures.allow(200_000));
    }
}
