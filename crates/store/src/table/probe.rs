//! Looking at a table ahead of time: see *Reading without the lock* in [the table's page](super).

use super::{ADDR_BITS, HASH_BITS, Segment, TAG_BITS, addr_of, matches, tag_of};
use crate::mem::words::LINE;
use crate::mem::{paged, prefetch};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A key's way through a table, looked at ahead of time and without the lock.
///
/// Who has many keys finds all their buckets with [`Probe::new`] and then has [`fetch_all`] fetch them: a processor waits for the
/// translation of an address even if nothing but a hint asks for it, and it translates several at a time only where the hints stand
/// close to each other.
#[derive(Clone, Copy)]
pub struct Probe {
    /// 0 where there is nothing to be fetched.
    bucket: usize,
}

impl Probe {
    /// At the home bucket of `h`, found from a table's root word.
    #[inline]
    pub fn new(root: u64, h: u64) -> Probe {
        if root == 0 {
            return Probe { bucket: 0 };
        }
        let depth = (root >> 48) as u32;
        let dir = (root & 0x0000_ffff_ffff_ffff) as *const AtomicU64;
        // SAFETY: the root of a table, perhaps an old one: its directory's memory is still mapped and still atomic words,
        // and has 2^depth of them.
        let word = unsafe { (*dir.add((h >> (HASH_BITS - depth)) as usize)).load(Relaxed) };
        if word == 0 {
            // A directory that was freed and is being reused meanwhile.
            return Probe { bucket: 0 };
        }
        let s = Segment::unpack(word);
        let bucket = s.block.as_ptr() as usize + paged::offset(s.home(h) + 1) * 8;
        Probe { bucket }
    }

    /// The same, and begins to fetch it.
    #[inline]
    pub fn start(root: u64, h: u64) -> Probe {
        let probe = Probe::new(root, h);
        probe.fetch();
        probe
    }

    #[inline]
    fn fetch(self) {
        if self.bucket != 0 {
            prefetch(self.bucket);
        }
    }

    /// Once the bucket is there: begins to fetch the entry of `h`, if it is in its home bucket. `wide` fetches a third line, for
    /// entries of more than some 100 bytes.
    #[inline]
    pub fn entry(self, h: u64, wide: bool) {
        if self.bucket == 0 {
            return;
        }
        let at = self.bucket as *const AtomicU64;
        // SAFETY: a bucket of a segment that is or was alive: mapped and atomic words for ever.
        let word = |i: usize| unsafe { (*at.add(i)).load(Relaxed) };
        let mut m = matches(word(0), tag_of(h));
        let want = h >> TAG_BITS;
        while m != 0 {
            let i = (m.trailing_zeros() / 8) as usize;
            m &= m - 1;
            let slot = word(1 + i);
            if slot >> (ADDR_BITS + 1) == want {
                let addr = addr_of(slot);
                prefetch(addr);
                // An entry of the usual size straddles two lines as often as not.
                prefetch(addr + LINE - 8);
                if wide {
                    prefetch(addr + 2 * LINE - 16);
                }
                return;
            }
        }
    }
}

/// Begins to fetch the buckets of all these keys, whose hashes stand beside them, and then their entries, as [`Probe::entry`] does.
#[inline]
pub fn fetch_all(probes: &[(Probe, u64)], wide: bool) {
    probes.iter().for_each(|(probe, _)| probe.fetch());
    for &(probe, h) in probes {
        probe.entry(h, wide);
    }
}

/// Begins to fetch the home buckets of all these hashes in one table.
#[inline]
pub fn fetch_homes(root: u64, hashes: impl Iterator<Item = u64>) {
    for h in hashes {
        Probe::start(root, h);
    }
}
