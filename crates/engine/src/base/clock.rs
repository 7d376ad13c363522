//! Reading the clock: exactly, or as of the kernel's last tick.

use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(any(test, feature = "fuzz"))]
thread_local! {
    /// The time at which this thread's clock stands still, if it does.
    static FROZEN_MS: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Stops the clock of this thread at a time, or lets it go again.
#[cfg(any(test, feature = "fuzz"))]
pub fn freeze(at_ms: Option<u64>) {
    FROZEN_MS.set(at_ms);
}

/// Unix nanoseconds now.
#[inline]
pub fn unix_nanos() -> u64 {
    #[cfg(any(test, feature = "fuzz"))]
    if let Some(ms) = FROZEN_MS.get() {
        return ms * 1_000_000;
    }
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64)
}

/// Unix milliseconds now.
pub fn unix_ms() -> u64 {
    unix_nanos() / 1_000_000
}

/// Unix milliseconds as of the kernel's last tick, some milliseconds ago at most while the processor is busy.
#[inline]
pub fn tick_ms() -> u64 {
    #[cfg(any(test, feature = "fuzz"))]
    if let Some(ms) = FROZEN_MS.get() {
        return ms;
    }
    #[cfg(target_os = "linux")]
    {
        let mut at = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes one timespec to where it is told to.
        if unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut at) } == 0 {
            return at.tv_sec as u64 * 1000 + at.tv_nsec as u64 / 1_000_000;
        }
    }
    unix_ms()
}
