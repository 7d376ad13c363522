//! Paged blocks: what the segments of large tables stand in, side by side with those of their kind, on huge pages where these are full.
//!
//! A block has up to [`PAGES`] pages and uses as many as it needs, from the first on. Blocks of one table are almost equally full, as hashes
//! fall evenly. So the pages of 512 blocks stand in eight **stripes** of 2 MB: all their first pages in one, all their second pages in the next,
//! and so on ([`offset`] finds a line). Most stripes are then either full or empty, and one that is full can be a single huge page,
//! which takes no more memory and saves most of the address translation: a sixth of the time of GET of one of 10 million keys.
//!
//! ```text
//!            block 0   block 1   ...   block 511
//! stripe 0   page 0    page 0          page 0        <- 2 MB, the address of block n is that of its page here
//! stripe 1   page 1    page 1          page 1
//! ...
//! stripe 7   page 7    page 7          page 7
//! ```
//!
//! The kernel is told not to make huge pages of its own accord: it would make all of a stripe resident for the first page. Whoever
//! keeps the engine up calls [`gather`] now and then, which has the kernel make one of the pages of a stripe that is full. A huge stripe that has
//! become sparse is taken apart again. So at most an eighth of a huge stripe is resident in vain.
//!
//! # Safety argument
//! Blocks lie in regions that stay mapped for ever. A page is its block's from when the block takes it until it is given back, and only its owner
//! writes to it; that it is gathered with others meanwhile neither changes what stands in it nor when it may be read.

use super::words::{Block, LINE, PAGE, block, discard, map_aligned};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// Pages that a block may have.
pub(crate) const PAGES: usize = 8;

/// Bytes of a stripe: what a huge page has.
const STRIPE: usize = 2 << 20;
/// Blocks of a region.
const BLOCKS: usize = STRIPE / PAGE;
const REGION: usize = PAGES * STRIPE;

/// So many pages of a stripe in use, of 512, are worth a huge page.
const FULL: usize = BLOCKS - BLOCKS / 32;
/// Fewer than so many are not.
const SPARSE: usize = BLOCKS - BLOCKS / 8;

/// Where a line of a block begins, in words from the block's beginning. For blocks of at most a page, paged or not, lines follow one another.
#[inline]
pub(crate) const fn offset(line: usize) -> usize {
    const LINES: usize = PAGE / LINE;
    (line / LINES) * (STRIPE / 8) + (line % LINES) * (LINE / 8)
}

/// As Linux has it since 6.1; the C libraries' headers do not all know it.
const MADV_COLLAPSE: libc::c_int = 25;

/// The same page of all blocks of a region.
#[derive(Clone, Default)]
struct Stripe {
    /// Which blocks use it.
    used: [u64; BLOCKS / 64],
    count: usize,
    is_huge: bool,
    /// Whether it stands in [`Pool::full`].
    is_listed: bool,
}

impl Stripe {
    fn take(&mut self, number: usize) {
        debug_assert!(self.used[number / 64] >> (number % 64) & 1 == 0);
        self.used[number / 64] |= 1 << (number % 64);
        self.count += 1;
    }

    fn give(&mut self, number: usize) {
        debug_assert!(self.used[number / 64] >> (number % 64) & 1 == 1);
        self.used[number / 64] &= !(1 << (number % 64));
        self.count -= 1;
    }

    /// Makes small pages of it and gives back those that nobody uses.
    fn spread(&mut self, start: usize) {
        self.is_huge = false;
        advise(start, libc::MADV_NOHUGEPAGE);
        let is_used = |number: usize| self.used[number / 64] >> (number % 64) & 1 == 1;
        let mut at = 0;
        while at < BLOCKS {
            let end = (at..BLOCKS).find(|&n| is_used(n)).unwrap_or(BLOCKS);
            if end > at {
                // SAFETY: pages of a stripe that no block uses.
                unsafe { discard(start + at * PAGE, (end - at) * PAGE) };
            }
            at = end + 1;
        }
    }
}

type Region = [Stripe; PAGES];

struct Pool {
    /// Blocks that have been freed.
    free: Vec<usize>,
    /// The next block never used yet, and the end of such.
    fresh: (usize, usize),
    /// By their addresses.
    regions: BTreeMap<usize, Box<Region>>,
    /// Stripes that were full when they were last looked at and are not huge.
    full: Vec<(usize, usize)>,
    /// The system makes no huge pages.
    is_unable: bool,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: Vec::new(),
    fresh: (0, 0),
    regions: BTreeMap::new(),
    full: Vec::new(),
    is_unable: false,
});

/// The region of a block, and the block's number there.
fn place_of(block: usize) -> (usize, usize) {
    (block & !(REGION - 1), block % REGION / PAGE)
}

fn advise(stripe: usize, advice: libc::c_int) -> bool {
    // SAFETY: a stripe is mapped by us; none of the kinds of advice given here changes what stands in it.
    unsafe { libc::madvise(stripe as *mut _, STRIPE, advice) == 0 }
}

impl Pool {
    fn stripe(&mut self, region: usize, page: usize) -> &mut Stripe {
        &mut self.regions.get_mut(&region).expect("a region")[page]
    }

    fn take(&mut self, block: usize, page: usize) {
        let (region, number) = place_of(block);
        let is_unable = self.is_unable;
        let stripe = self.stripe(region, page);
        stripe.take(number);
        if stripe.count >= FULL && !stripe.is_huge && !stripe.is_listed && !is_unable {
            stripe.is_listed = true;
            self.full.push((region, page));
        }
    }

    fn give(&mut self, block: usize, page: usize) {
        let (region, number) = place_of(block);
        let stripe = self.stripe(region, page);
        stripe.give(number);
        if stripe.is_huge && stripe.count < SPARSE {
            stripe.spread(region + page * STRIPE);
        }
    }

    fn add_region(&mut self) -> usize {
        let region = map_aligned(REGION, REGION);
        for page in 0..PAGES {
            advise(region + page * STRIPE, libc::MADV_NOHUGEPAGE);
        }
        self.regions.insert(region, Box::default());
        self.fresh = (region + PAGE, region + STRIPE);
        region
    }
}

/// A block of so many pages, which are zeros.
pub(crate) fn alloc(pages: usize) -> Block {
    debug_assert!((1..=PAGES).contains(&pages));
    let mut pool = POOL.lock();
    let addr = match pool.free.pop() {
        Some(addr) => addr,
        None if pool.fresh.0 < pool.fresh.1 => {
            pool.fresh.0 += PAGE;
            pool.fresh.0 - PAGE
        }
        None => pool.add_region(),
    };
    (0..pages).for_each(|page| pool.take(addr, page));
    block(addr)
}

/// Gives a block more pages, which are zeros, or fewer.
///
/// # Safety
/// `b` has `from` pages; those from `to` on are needed by nobody any more, prefetching readers excepted.
pub(crate) unsafe fn resize(b: Block, from: usize, to: usize) {
    debug_assert!((1..=PAGES).contains(&from) && (1..=PAGES).contains(&to));
    // SAFETY: as the caller promises.
    unsafe { set_pages(b, from, to) };
}

/// Takes back a block.
///
/// # Safety
/// It has so many pages, and nobody uses it any more, prefetching readers excepted.
pub(crate) unsafe fn free(b: Block, pages: usize) {
    // SAFETY: as the caller promises.
    unsafe { set_pages(b, pages, 0) };
    POOL.lock().free.push(b.as_ptr() as usize);
}

/// # Safety
/// That of [`resize`].
unsafe fn set_pages(b: Block, from: usize, to: usize) {
    let addr = b.as_ptr() as usize;
    let mut pool = POOL.lock();
    (from..to).for_each(|page| pool.take(addr, page));
    let mut to_discard = 0u32;
    for page in to..from {
        let (region, _) = place_of(addr);
        if pool.stripe(region, page).is_huge {
            for line in 0..PAGE / LINE {
                let start = offset(page * PAGE / LINE + line);
                for word in start..start + LINE / 8 {
                    // SAFETY: a word of the block's, which a reader without the lock reads as an atomic.
                    unsafe { b.add(word).as_ref() }.store(0, Relaxed);
                }
            }
            pool.give(addr, page);
        } else {
            to_discard |= 1 << page;
        }
    }
    if to_discard == 0 {
        return;
    }
    // The system takes its time, and nobody else has these pages before they are given back.
    drop(pool);
    let pages = || (to..from).filter(|page| to_discard >> page & 1 == 1);
    for page in pages() {
        // SAFETY: a page of the block's that is not needed any more.
        unsafe { discard(addr + page * STRIPE, PAGE) };
    }
    let mut pool = POOL.lock();
    pages().for_each(|page| pool.give(addr, page));
}

/// What [`gather`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// Nothing was to be done.
    Nothing,
    /// There is a huge page more.
    One,
    /// The system has no huge page at the moment.
    NotNow,
}

/// Makes a huge page of one stripe that is full, if there is one: copies 2 MB, for which who touches these waits.
///
/// A system that makes none is asked once.
pub fn gather() -> Gathered {
    let (region, page) = {
        let mut pool = POOL.lock();
        loop {
            let Some((region, page)) = pool.full.pop() else {
                return Gathered::Nothing;
            };
            let stripe = pool.stripe(region, page);
            stripe.is_listed = false;
            if stripe.count >= FULL && !stripe.is_huge {
                break (region, page);
            }
        }
    };
    let start = region + page * STRIPE;
    advise(start, libc::MADV_HUGEPAGE);
    let done = advise(start, MADV_COLLAPSE);
    let why = std::io::Error::last_os_error();
    if !done {
        advise(start, libc::MADV_NOHUGEPAGE);
    }
    let mut pool = POOL.lock();
    if done {
        let stripe = pool.stripe(region, page);
        stripe.is_huge = true;
        if stripe.count < SPARSE {
            stripe.spread(start);
        }
        return Gathered::One;
    }
    if why.raw_os_error() == Some(libc::EINVAL) {
        pool.is_unable = true;
        pool.full = Vec::new();
        return Gathered::Nothing;
    }
    pool.stripe(region, page).is_listed = true;
    pool.full.push((region, page));
    Gathered::NotNow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::words::Block;

    const LINES: usize = PAGE / LINE;

    fn words_of(page: usize) -> impl Iterator<Item = usize> {
        (page * LINES..(page + 1) * LINES).flat_map(|line| offset(line)..offset(line) + LINE / 8)
    }

    fn word(b: Block, at: usize) -> u64 {
        // SAFETY: tests look at words of blocks that they have.
        unsafe { b.add(at).as_ref() }.load(Relaxed)
    }

    fn fill(b: Block, page: usize, with: u64) {
        for at in words_of(page) {
            // SAFETY: as above.
            unsafe { b.add(at).as_ref() }.store(with, Relaxed);
        }
    }

    fn has(b: Block, page: usize, what: u64) -> bool {
        words_of(page).all(|at| word(b, at) == what)
    }

    fn is_huge(b: Block, page: usize) -> bool {
        let (region, _) = place_of(b.as_ptr() as usize);
        POOL.lock().stripe(region, page).is_huge
    }

    /// Whether a page is resident.
    fn resident(b: Block, page: usize) -> bool {
        let addr = b.as_ptr() as usize + page * STRIPE;
        let mut there = 0u8;
        // SAFETY: a mapped page, and a byte for the answer.
        let asked = unsafe { libc::mincore(addr as *mut _, PAGE, &raw mut there as *mut _) };
        asked == 0 && there & 1 == 1
    }

    #[test]
    fn lines_of_a_block_are_words_of_its_own() {
        let all: std::collections::BTreeSet<usize> = (0..PAGES).flat_map(words_of).collect();
        assert_eq!(all.len(), PAGES * PAGE / 8);
        assert!(all.iter().all(|word| word * 8 % STRIPE < PAGE));
        let young: Vec<usize> = (0..LINES).map(offset).collect();
        assert_eq!(young, (0..LINES).map(|line| line * 8).collect::<Vec<_>>());
    }

    /// Whatever grows, shrinks and goes, and whatever is gathered meanwhile: new pages are zeros, and all others stay as they are.
    #[test]
    fn pages_are_their_blocks_alone() {
        let mut random = 1u64;
        let mut below = |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % n as u64) as usize
        };
        let mut blocks: Vec<(Block, usize, u64)> = Vec::new();
        let mut gathered = 0;
        for round in 1..30_000u64 {
            if blocks.len() < 1200 {
                let pages = 1 + below(PAGES);
                let b = alloc(pages);
                blocks.push((b, 0, round));
                let last = blocks.len() - 1;
                grow(&mut blocks[last], pages);
            }
            let at = below(blocks.len());
            let (b, pages, with) = blocks[at];
            // For a time almost all grow, so that there is something to gather, and then many shrink.
            match below(if round / 5000 % 2 == 0 { 256 } else { 8 }) {
                0 => {
                    assert!((0..pages).all(|page| has(b, page, with)));
                    // SAFETY: it is forgotten.
                    unsafe { free(b, pages) };
                    blocks.swap_remove(at);
                }
                1 => {
                    let fewer = 1 + below(pages);
                    // SAFETY: what is behind them is forgotten.
                    unsafe { resize(b, pages, fewer) };
                    blocks[at].1 = fewer;
                }
                _ => {
                    // SAFETY: they become more.
                    unsafe { resize(b, pages, PAGES) };
                    grow(&mut blocks[at], PAGES);
                }
            }
            if round % 64 == 0 {
                gathered += usize::from(gather() == Gathered::One);
            }
        }
        assert!(
            gathered > 30 || POOL.lock().is_unable,
            "{gathered} gathered"
        );
        for (b, pages, with) in blocks {
            assert!((0..pages).all(|page| has(b, page, with)));
            // SAFETY: nobody has it any more.
            unsafe { free(b, pages) };
        }
    }

    /// The new pages are zeros, and get the block's value.
    fn grow(block: &mut (Block, usize, u64), pages: usize) {
        let (b, had, with) = *block;
        for page in had..pages {
            assert!(has(b, page, 0), "a page that was not empty");
            fill(b, page, with);
        }
        block.1 = pages;
    }

    #[test]
    fn a_full_stripe_becomes_huge_and_a_sparse_one_gives_back_what_it_does_not_use() {
        // So many that some of their regions are new, whatever other tests have freed.
        let mut regions: BTreeMap<usize, Vec<Block>> = BTreeMap::new();
        let all: Vec<Block> = (0..8 * BLOCKS).map(|_| alloc(2)).collect();
        for &b in &all {
            fill(b, 0, 7);
            fill(b, 1, 8);
            let (region, _) = place_of(b.as_ptr() as usize);
            regions.entry(region).or_default().push(b);
        }
        while gather() == Gathered::One {}
        let whole = regions.values().find(|blocks| blocks.len() == BLOCKS);
        let whole = whole.expect("a region of which all blocks are the test's");
        if is_huge(whole[0], 0) {
            assert!(is_huge(whole[0], 1) && !is_huge(whole[0], 2));
            // What is given back singly stays there, empty, until it is much.
            for (n, &b) in whole.iter().take(BLOCKS / 2).enumerate() {
                // SAFETY: the second page is not looked at as the block's any more.
                unsafe { resize(b, 2, 1) };
                assert!(has(b, 1, 0));
                assert_eq!(is_huge(b, 1), n < BLOCKS - SPARSE, "{n}");
            }
            assert!(!resident(whole[3], 1) && resident(whole[BLOCKS - 1], 1));
            assert!(whole[BLOCKS / 2..].iter().all(|&b| has(b, 1, 8)));
            assert!(whole.iter().all(|&b| is_huge(b, 0) && has(b, 0, 7)));
            for &b in whole.iter().take(BLOCKS / 2) {
                // SAFETY: it becomes larger.
                unsafe { resize(b, 1, 2) };
                assert!(has(b, 1, 0));
            }
        } else {
            eprintln!("no huge pages here");
        }
        for b in all {
            // SAFETY: nobody has it any more.
            unsafe { free(b, 2) };
        }
        assert!(!resident(regions.values().next().expect("one")[0], 1));
    }
}
