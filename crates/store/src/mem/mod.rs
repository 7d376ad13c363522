//! Memory: where entries and tables live.

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

/// Fetches the cache line of something that is written to soon.
/// A hint: where the program is built for processors that need not know how to fetch for writing, it is fetched for reading.
#[inline]
pub fn prefetch_to_write<T>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint that faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_ET0>(std::ptr::from_ref(what).cast());
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
