//! Memory: where entries and tables live.

pub mod pages;
mod same;
pub(crate) mod slab;
pub(crate) mod words;

pub use same::same;

/// Fetches the cache line of something that is looked at soon.
#[inline]
pub fn prefetch_of<T>(what: &T) {
    prefetch(std::ptr::from_ref(what) as usize);
}

/// Fetches the memory that is appended to next, a few cache lines of it, to be written to.
#[inline]
pub fn prefetch_room(of: &mut Vec<u8>) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        let room = of.spare_capacity_mut();
        for line in 1..4 {
            if let Some(byte) = room.get(64 * line) {
                // SAFETY: prefetching is a hint that faults on no address.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(std::ptr::from_ref(byte).cast()) };
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = of;
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
