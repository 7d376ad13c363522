//! Memory: where entries and tables live.

pub(crate) mod either;
pub mod paged;
pub mod pages;
mod same;
pub(crate) mod slab;
pub(crate) mod words;

pub use same::same;

/// Fetches the cache line of something that is looked at soon.
#[inline]
pub(crate) fn prefetch_of<T>(what: &T) {
    prefetch(std::ptr::from_ref(what) as usize);
}

/// Fetches the cache line of something that is written to soon, so that another core that has it gives it up at once and not
/// when it is written to.
#[inline]
pub(crate) fn prefetch_to_write<T>(what: &T) {
    // The intrinsic with the hint for it becomes an instruction that fetches for reading unless the program is built for newer
    // processors only; this one is known to all that run 64-bit systems, if only as one that does nothing.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint that faults on no address and changes nothing that a program sees.
    unsafe {
        std::arch::asm!(
            "prefetchw [{}]",
            in(reg) std::ptr::from_ref(what),
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// Fetches the memory that is appended to next, to be written to: so many cache lines behind the one that it begins in.
#[inline]
pub fn prefetch_room<T>(of: &mut Vec<T>, lines: usize) {
    let room = of.spare_capacity_mut();
    for line in 1..=lines {
        if let Some(next) = room.get((64 * line).div_ceil(size_of::<T>().max(1))) {
            prefetch_to_write(next);
        }
    }
}

/// Fetches the cache line at `addr`; any address will do.
#[inline]
pub(crate) fn prefetch(addr: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint that faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(addr as *const i8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = addr;
}
