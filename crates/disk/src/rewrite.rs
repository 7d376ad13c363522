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
}
