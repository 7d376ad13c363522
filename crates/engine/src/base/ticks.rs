//! The time that single commands take, in ticks of the processor's own counter.
//!
//! Reading the clock takes longer than some commands do. Processors count time at a constant rate, and that counter is read
//! within some nanoseconds. How long a tick takes is measured once, when the first engine starts. Where there is no such counter
//! a tick is a nanosecond of the system's clock.
//!
//! Ticks are for differences: their beginning is anything.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

/// Nanoseconds of a tick, times 2^32.
static SCALE: AtomicU64 = AtomicU64::new(1 << 32);

/// Whether the processor's counter is read.
static COUNTS: AtomicBool = AtomicBool::new(false);

/// How long the rate is measured for.
const MEASURED: Duration = Duration::from_millis(2);

/// Ticks now. Only differences between two readings after [`start`] mean something.
#[inline]
pub fn now() -> u64 {
    if COUNTS.load(Relaxed) {
        return counter::read();
    }
    system()
}

/// The same by the system's clock, in nanoseconds.
#[cold]
fn system() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed().as_nanos() as u64
}

/// How many nanoseconds so many ticks are.
pub fn nanos(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(SCALE.load(Relaxed))) >> 32) as u64
}

/// How many ticks so many microseconds are.
pub fn of_micros(micros: u64) -> u64 {
    start();
    let ticks = ((u128::from(micros) * 1000) << 32) / u128::from(SCALE.load(Relaxed));
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// What counts, as INFO calls it.
pub fn clock() -> String {
    match COUNTS.load(Relaxed) {
        true => format!("{} @ {} ticks/us", counter::NAME, of_micros(1)),
        false => "POSIX clock_gettime".into(),
    }
}

/// Finds out, once, whether there is a counter and how fast it counts.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Some(scale) = counter::scale() {
            SCALE.store(scale, Relaxed);
            COUNTS.store(true, Relaxed);
        }
    });
}

/// The scale of a counter that counts so many times in this time.
#[allow(dead_code, reason = "not every processor's rate has to be measured")]
fn scale_of(ticks: u64, time: Duration) -> Option<u64> {
    let scale = (time.as_nanos() << 32).checked_div(u128::from(ticks))?;
    u64::try_from(scale).ok().filter(|scale| *scale > 0)
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::time::Instant;

    pub const NAME: &str = "X86 TSC";

    #[inline]
    pub fn read() -> u64 {
        // SAFETY: every x86-64 processor has the instruction, it touches no memory, and Linux lets programs use it.
        unsafe { _rdtsc() }
    }

    /// Whether the counter has one rate, whatever the processor does.
    fn is_constant() -> bool {
        const ADVANCED_POWER: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        let most = __cpuid(0x8000_0000).eax;
        most >= ADVANCED_POWER && __cpuid(ADVANCED_POWER).edx & INVARIANT != 0
    }

    /// One moment by both clocks: of some readings that between which the least time went by.
    fn moment() -> (u64, Instant) {
        let read_both = |_| {
            let (before, now, after) = (read(), Instant::now(), read());
            (
                after.wrapping_sub(before),
                before.wrapping_add(after.wrapping_sub(before) / 2),
                now,
            )
        };
        let best = (0..16).map(read_both).min_by_key(|(took, ..)| *took);
        best.map_or_else(|| (read(), Instant::now()), |(_, ticks, now)| (ticks, now))
    }

    pub fn scale() -> Option<u64> {
        if !is_constant() {
            return None;
        }
        let (first, began) = moment();
        std::thread::sleep(super::MEASURED);
        let (last, ended) = moment();
        super::scale_of(last.wrapping_sub(first), ended - began)
    }
}

#[cfg(target_arch = "aarch64")]
mod counter {
    use std::arch::asm;

    pub const NAME: &str = "ARM CNTVCT";

    #[inline]
    pub fn read() -> u64 {
        let ticks: u64;
        // SAFETY: reads the virtual counter, which programs may, into a register; no memory, no flags.
        unsafe {
            asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags))
        };
        ticks
    }

    pub fn scale() -> Option<u64> {
        let per_second: u64;
        // SAFETY: reads the counter's rate, which programs may, into a register; no memory, no flags.
        unsafe {
            asm!("mrs {}, cntfrq_el0", out(reg) per_second, options(nomem, nostack, preserves_flags))
        };
        super::scale_of(per_second, std::time::Duration::from_secs(1))
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod counter {
    pub const NAME: &str = "none";

    pub fn read() -> u64 {
        super::system()
    }

    pub fn scale() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks go by as time does, as long as nobody keeps this thread from looking at both.
    #[test]
    fn ticks_are_time() {
        start();
        let close = |_| {
            let (began, first) = (Instant::now(), now());
            while began.elapsed() < Duration::from_millis(5) {}
            let (time, ticks) = (began.elapsed(), nanos(now() - first));
            let apart = (time.as_nanos() as u64).abs_diff(ticks);
            apart < time.as_nanos() as u64 / 100
        };
        assert!((0..100).any(close));
    }

    #[test]
    fn micros_and_nanos_agree() {
        for micros in [1, 20, 10_000, 3_600_000_000] {
            let nanos = nanos(of_micros(micros));
            assert!(
                nanos.abs_diff(micros * 1000) <= micros * 1000 / 100,
                "{micros}: {nanos}"
            );
        }
        assert_eq!(of_micros(0), 0);
    }

    #[test]
    fn scales() {
        let second = Duration::from_secs(1);
        assert_eq!(scale_of(1_000_000_000, second), Some(1 << 32));
        assert_eq!(scale_of(500_000_000, second), Some(2 << 32));
        assert_eq!(scale_of(0, second), None);
        assert_eq!(scale_of(u64::MAX, Duration::ZERO), None);
    }
}
