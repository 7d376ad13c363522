//! Memory for buckets and directories: words that may be read by anyone at any time.
//!
//! A worker that prefetches for a pipeline looks at directories and buckets *without* holding the shard's lock (see
//! [`crate::table`]). What it reads may be stale, which only costs a useless prefetch; it must not be unmapped or
//! hold anything but such words. The pools here guarantee both ("type-stable" memory): memory once handed out as a
//! directory is only ever a directory again, memory of buckets only ever buckets of the same size, and none is
//! returned to the system's address space.
//!
//! Two kinds of block:
//!
//! * *small*: a power of two of 64-byte lines, for directories and (apart from them) for segments of young tables;
//! * *paged* (see [`paged`](super::paged)): up to eight pages, for the segments of tables that have grown.

use parking_lot::Mutex;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a line: the unit of allocation, and a bucket.
pub const LINE: usize = 64;
/// Bytes of a page, the unit in which paged blocks grow and are given back.
pub const PAGE: usize = 4096;

const CHUNK: usize = 2 << 20;

/// The start of a block of words.
pub type Block = NonNull<AtomicU64>;

struct Pool {
    /// Free small blocks by log2 of their lines.
    small: [Vec<usize>; 26],
    small_bump: (usize, usize),
}

impl Pool {
    const EMPTY: Pool = Pool {
        small: [const { Vec::new() }; 26],
        small_bump: (0, 0),
    };
}

static DIRECTORIES: Mutex<Pool> = Mutex::new(Pool::EMPTY);
static SEGMENTS: Mutex<Pool> = Mutex::new(Pool::EMPTY);

/// What a small block is for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Use {
    Directory,
    Segment,
}

impl Use {
    fn pool(self) -> &'static Mutex<Pool> {
        match self {
            Use::Directory => &DIRECTORIES,
            Use::Segment => &SEGMENTS,
        }
    }
}

/// Maps `bytes` of zeroed memory at a multiple of `align` (a power of two of at least a page).
///
/// # Panics
/// When the system has no address space left, like any failed allocation.
pub(crate) fn map_aligned(bytes: usize, align: usize) -> usize {
    let total = bytes + align;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
    let p = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            total,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if p == libc::MAP_FAILED {
        std::alloc::handle_alloc_error(std::alloc::Layout::from_size_align(bytes, align).unwrap());
    }
    let start = p as usize;
    let aligned = (start + align - 1) & !(align - 1);
    let (head, tail) = (aligned - start, start + total - (aligned + bytes));
    // SAFETY: both ranges are parts of the mapping just made, outside of what is returned.
    unsafe {
        if head > 0 {
            libc::munmap(p, head);
        }
        if tail > 0 {
            libc::munmap((aligned + bytes) as *mut _, tail);
        }
    }
    aligned
}

/// Gives the pages of a range back to the system; the range stays mapped and reads as zeros.
///
/// # Safety
/// The range is page-aligned, mapped by this crate, and nothing in it is needed any more.
pub(crate) unsafe fn discard(start: usize, bytes: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::madvise(start as *mut _, bytes, libc::MADV_DONTNEED) };
}

pub(super) fn block(addr: usize) -> Block {
    NonNull::new(addr as *mut AtomicU64).expect("a mapping is never at zero")
}

/// A zeroed block of at least `lines` lines (rounded up to a power of two).
pub fn alloc_small(of: Use, lines: usize) -> Block {
    let class = lines.next_power_of_two().trailing_zeros() as usize;
    let bytes = LINE << class;
    let reused = {
        let mut pool = of.pool().lock();
        match pool.small[class].pop() {
            Some(addr) => addr,
            None if bytes >= CHUNK => {
                drop(pool);
                return block(map_aligned(bytes, PAGE));
            }
            None => {
                let (next, end) = pool.small_bump;
                let start = (next + bytes - 1) & !(bytes - 1);
                let start = if next == 0 || start + bytes > end {
                    let chunk = map_aligned(CHUNK, CHUNK);
                    pool.small_bump.1 = chunk + CHUNK;
                    chunk
                } else {
                    start
                };
                pool.small_bump.0 = start + bytes;
                return block(start);
            }
        }
    };
    let b = block(reused);
    for i in 0..bytes / 8 {
        // SAFETY: the block has that many words and is ours alone but for prefetching readers, who read atomically.
        unsafe { b.add(i).as_ref().store(0, Relaxed) };
    }
    b
}

/// Takes back a block of [`alloc_small`].
///
/// # Safety
/// `b` came from `alloc_small(of, lines)` and nobody uses it any more (prefetching readers excepted).
pub unsafe fn free_small(of: Use, b: Block, lines: usize) {
    let class = lines.next_power_of_two().trailing_zeros() as usize;
    of.pool().lock().small[class].push(b.as_ptr() as usize);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_again_and_aligned() {
        for lines in [1, 2, 3, 16, 64, 4096] {
            let b = alloc_small(Use::Segment, lines);
            assert_eq!(b.as_ptr() as usize % LINE, 0);
            for i in 0..lines * 8 {
                // SAFETY: within the block.
                let w = unsafe { b.add(i).as_ref() };
                assert_eq!(w.load(Relaxed), 0);
                w.store(u64::MAX, Relaxed);
            }
            // SAFETY: allocated above with the same size.
            unsafe { free_small(Use::Segment, b, lines) };
        }
    }
}
