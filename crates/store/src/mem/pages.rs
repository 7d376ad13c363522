//! The process-wide pools of pages, from which all [arenas](super::slab) take theirs.
//!
//! * Single [pages](Unit::Page) come from chunks of 2 MB that the kernel may back by huge pages: random access to entries is
//!   the cost of a large data set, and half of that is address translation. (Servers that fork must avoid huge pages; this one
//!   never forks.)
//! * [Spans](Unit::Span) of 16 pages come from chunks that it may not back so: a span is filled from its beginning, and what has
//!   not been touched takes no memory. So an arena can have one for each of many sizes.
//!
//! A chunk that is free altogether goes back to the system; [`purge`] gives back the free parts of the others too.
//!
//! # Safety argument
//! Every address handed out lies in a chunk whose first page is a [`Chunk`], and chunks stay mapped for ever. These headers are
//! accessed under the lock of the chunk's pool only.

use super::words::{PAGE, discard, map_aligned};
use parking_lot::{Mutex, MutexGuard};

/// Bytes of a span.
pub(crate) const SPAN: usize = 16 * PAGE;

const CHUNK: usize = 2 << 20;
const PAGES_PER_CHUNK: usize = CHUNK / PAGE;

/// What a pool hands out: aligned to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// [`PAGE`] bytes.
    Page,
    /// [`SPAN`] bytes.
    Span,
}

/// The first page of each chunk.
struct Chunk {
    /// Position in `Pool::partial`, if there.
    at: usize,
    listed: bool,
    /// How many of `free` count, from the first.
    free_len: usize,
    /// How many of these take no memory, from the first.
    clean_len: usize,
    /// Numbers of units that are free.
    free: [u16; PAGES_PER_CHUNK],
}

const _: () = assert!(size_of::<Chunk>() <= PAGE);

pub(crate) struct Pool {
    unit: Unit,
    /// Chunks with free units.
    partial: Vec<usize>,
    /// Free whole chunks, not resident.
    empty: Vec<usize>,
}

static PAGES: Mutex<Pool> = Mutex::new(Pool::new(Unit::Page));
static SPANS: Mutex<Pool> = Mutex::new(Pool::new(Unit::Span));

/// The pool of such units.
pub(crate) fn pool(of: Unit) -> MutexGuard<'static, Pool> {
    match of {
        Unit::Page => PAGES.lock(),
        Unit::Span => SPANS.lock(),
    }
}

/// Gives what is free in chunks that are partly in use back to the system; returns how many bytes. Whoever needs a new page
/// meanwhile waits for one chunk at most.
pub fn purge() -> usize {
    [Unit::Page, Unit::Span]
        .into_iter()
        .flat_map(|unit| (0..).map_while(move |i| pool(unit).purge(i)))
        .sum()
}

/// # Safety
/// `chunk` has a header, its pool's lock is held, and no other reference to it is alive.
unsafe fn header<'p>(chunk: usize) -> &'p mut Chunk {
    // SAFETY: as the caller promises.
    unsafe { &mut *(chunk as *mut Chunk) }
}

impl Pool {
    const fn new(unit: Unit) -> Pool {
        Pool {
            unit,
            partial: Vec::new(),
            empty: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        match self.unit {
            Unit::Page => PAGE,
            Unit::Span => SPAN,
        }
    }

    /// Units of a chunk; the first is not handed out, as the header stands there.
    fn units(&self) -> usize {
        CHUNK / self.bytes()
    }

    /// A unit, with whatever was in it.
    pub(crate) fn take(&mut self) -> usize {
        let chunk = match self.partial.last() {
            Some(&c) => c,
            None => self.add_chunk(),
        };
        // SAFETY: chunks in the list are mapped and have a header.
        let c = unsafe { header(chunk) };
        c.free_len -= 1;
        c.clean_len = c.clean_len.min(c.free_len);
        let number = c.free[c.free_len] as usize;
        if c.free_len == 0 {
            c.listed = false;
            self.partial.pop();
        }
        chunk + number * self.bytes()
    }

    fn add_chunk(&mut self) -> usize {
        let chunk = self.empty.pop().unwrap_or_else(|| {
            let chunk = map_aligned(CHUNK, CHUNK);
            let advice = match self.unit {
                Unit::Page => libc::MADV_HUGEPAGE,
                Unit::Span => libc::MADV_NOHUGEPAGE,
            };
            // SAFETY: advice on a mapping just made.
            unsafe { libc::madvise(chunk as *mut _, CHUNK, advice) };
            chunk
        });
        // SAFETY: the chunk is mapped, reads as zeros, and is the pool's alone; zeros are a valid `Chunk`.
        let c = unsafe { header(chunk) };
        // Handed out from the low end, so that a chunk fills in address order.
        for (i, number) in (1..self.units()).rev().enumerate() {
            c.free[i] = number as u16;
        }
        c.free_len = self.units() - 1;
        c.clean_len = c.free_len;
        self.list(chunk);
        chunk
    }

    fn list(&mut self, chunk: usize) {
        // SAFETY: only chunks with a header come here.
        let c = unsafe { header(chunk) };
        c.listed = true;
        c.at = self.partial.len();
        self.partial.push(chunk);
    }

    /// Takes a unit back.
    ///
    /// # Safety
    /// It came from [`Pool::take`] of this pool and is no longer used.
    pub(crate) unsafe fn give(&mut self, unit: usize) {
        let chunk = unit & !(CHUNK - 1);
        let number = (unit - chunk) / self.bytes();
        // SAFETY: every unit handed out lies in a chunk with a header.
        let c = unsafe { header(chunk) };
        debug_assert!(!c.free[..c.free_len].contains(&(number as u16)));
        c.free[c.free_len] = number as u16;
        c.free_len += 1;
        let (listed, at, is_free) = (c.listed, c.at, c.free_len == self.units() - 1);
        if !listed {
            self.list(chunk);
        }
        if is_free && self.partial.len() > 1 {
            self.partial.swap_remove(at);
            if let Some(&moved) = self.partial.get(at) {
                // SAFETY: another listed chunk.
                unsafe { header(moved) }.at = at;
            }
            // SAFETY: no unit of the chunk is in use, and its header is made anew when it is taken again.
            unsafe { discard(chunk, CHUNK) };
            self.empty.push(chunk);
        }
    }

    /// Gives the free units of one of the chunks back to the system; how many bytes, or `None` if there are not so many
    /// chunks.
    fn purge(&mut self, i: usize) -> Option<usize> {
        let (&chunk, bytes) = (self.partial.get(i)?, self.bytes());
        // SAFETY: listed chunks have a header.
        let c = unsafe { header(chunk) };
        // In order, so that neighbours go together.
        let dirty = &mut c.free[c.clean_len..c.free_len];
        dirty.sort_unstable_by(|a, b| b.cmp(a));
        for run in dirty.chunk_by(|a, b| *b + 1 == *a) {
            let first = chunk + run[run.len() - 1] as usize * bytes;
            // SAFETY: these units are free, so nobody needs what is in them.
            unsafe { discard(first, run.len() * bytes) };
        }
        let given = dirty.len() * bytes;
        c.clean_len = c.free_len;
        Some(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::testing::cases(64), ..ProptestConfig::default() })]
        /// Units of a pool of its own are aligned, never handed out twice, keep what is in them, and when all are given back one
        /// chunk is left.
        #[test]
        fn units_are_their_owners_alone(
            unit in prop_oneof![Just(Unit::Page), Just(Unit::Span)],
            ops in prop::collection::vec((any::<u8>(), any::<u16>()), 1..1500),
        ) {
            let mut pool = Pool::new(unit);
            let bytes = pool.bytes();
            let mut used: Vec<usize> = Vec::new();
            for (op, pick) in ops {
                if op < 160 || used.is_empty() {
                    let new = pool.take();
                    prop_assert!(new.is_multiple_of(bytes) && !new.is_multiple_of(CHUNK));
                    prop_assert!(!used.contains(&new));
                    for at in [new, new + bytes - 8] {
                        // SAFETY: ours.
                        unsafe { (at as *mut usize).write(new) };
                    }
                    used.push(new);
                } else if op < 250 {
                    let old = used.swap_remove(pick as usize % used.len());
                    // SAFETY: taken above and not used any more.
                    unsafe { pool.give(old) };
                } else {
                    while (0..pool.partial.len()).any(|i| pool.purge(i) != Some(0)) {}
                    prop_assert_eq!(pool.purge(pool.partial.len()), None);
                }
            }
            for &unit in &used {
                for at in [unit, unit + bytes - 8] {
                    // SAFETY: in use.
                    prop_assert_eq!(unsafe { (at as *const usize).read() }, unit);
                }
            }
            let in_use: usize = used.len();
            let free: usize = pool.partial.iter().map(|&chunk| {
                // SAFETY: a listed chunk.
                unsafe { header(chunk) }.free_len
            }).sum();
            prop_assert_eq!((in_use + free) % (pool.units() - 1), 0);
            for unit in used {
                // SAFETY: as above.
                unsafe { pool.give(unit) };
            }
            prop_assert_eq!(pool.partial.len(), 1);
        }
    }
}
