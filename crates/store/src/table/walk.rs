//! Ways through a table that collections need beside lookups: a scan in small steps, a random entry, the first due time.

use super::{
    ADDR_BITS, FLAG, HASH_BITS, HASH_MASK, HEAD_DUE, LAST_SIZE, POSITIONS, Pos, SIZES, SLOTS,
    Segment, TAG_BITS, Table, Visited, addr_of, hash_of,
};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// A bit for each slot of a bucket in use, in bit 7 of its byte.
const USED: u64 = 0x0080_8080_8080_8080;

/// How often a random place may turn out empty before [`Table::pick`] counts instead.
const MAX_MISSES: usize = 1000;

/// What a step has met.
pub(crate) type Met = SmallVec<[Visited; 24]>;

impl Table {
    /// Visits at least `want` entries at `position` and after it, in no order, fewer only at the end of a segment;
    /// returns the position to go on from, or `None` after the last. The promise is that of [`Table::visit_from`],
    /// but a step looks at the buckets it needs, not at a whole segment.
    pub fn step_from(&self, position: u64, want: usize, visit: impl FnMut(Visited)) -> Option<u64> {
        let mut met = Met::new();
        let next = self.step_into(position, want, &mut met);
        met.into_iter().for_each(visit);
        next
    }

    /// The same for who wants to know what comes before he looks at it: appends to `met`, which is empty, what
    /// [`Table::step_from`] would visit.
    ///
    /// Entries only ever live behind their home bucket, and a bucket counts those that went past it. So once a bucket
    /// counts none, everything at home before its end has been met, and the walk may stop at the last position that
    /// ends there.
    pub(crate) fn step_into(&self, position: u64, want: usize, met: &mut Met) -> Option<u64> {
        debug_assert!(position < POSITIONS);
        let s = self.segment(position << TAG_BITS)?;
        let buckets = s.buckets();
        let first = s.home(position << TAG_BITS);
        let base = position & !((POSITIONS >> s.depth) - 1);
        for b in first..buckets {
            let spilled = meet(s, b, position, met, |home| home <= b);
            if spilled > 0 || met.len() < want || b + 1 == buckets {
                continue;
            }
            // The first hash at home in the next bucket, and the position it belongs to, which may begin in this one.
            let boundary = ((b as u64 + 1) << HASH_BITS).div_ceil(buckets as u64);
            let next = base + (boundary >> s.depth >> TAG_BITS);
            if next > position && met.iter().filter(|v| v.position < next).count() >= want {
                met.retain(|v| v.position < next);
                return Some(next);
            }
        }
        // Those that found no place up to the last bucket went on at the first.
        for b in 0..buckets {
            if s.bucket((b + buckets - 1) % buckets, 0).load(Relaxed) >> 56 == 0 {
                break;
            }
            meet(s, b, position, met, |home| home > b);
        }
        self.after(s, position)
    }

    /// Calls `moved` with the address of every entry of the segment that covers `position`, and notes the address it returns
    /// in its place, if it returns one; the position at which the next segment begins, or `None` after the last.
    pub(crate) fn relocate(
        &mut self,
        position: u64,
        mut moved: impl FnMut(usize) -> Option<usize>,
    ) -> Option<u64> {
        let s = self.segment(position << TAG_BITS)?;
        for b in 0..s.buckets() {
            let mut used = s.bucket(b, 0).load(Relaxed) & USED;
            while used != 0 {
                let word = s.bucket(b, 1 + (used.trailing_zeros() / 8) as usize);
                used &= used - 1;
                let slot = word.load(Relaxed);
                if let Some(to) = moved(addr_of(slot)) {
                    debug_assert!(to & 7 == 0 && to >> 47 == 0);
                    word.store(slot & !(FLAG - 1) | (to as u64) >> 3, Relaxed);
                }
            }
        }
        self.after(s, position)
    }

    /// Calls `visit` with the addresses of about `want` entries from the place of hash `random` on, round about; returns how
    /// many buckets it has looked at, `most` at most, each once. `flagged`: only of those with the flag.
    pub fn sample(
        &self,
        random: u64,
        want: usize,
        most: usize,
        flagged: bool,
        mut visit: impl FnMut(usize),
    ) -> usize {
        let (mut looked, mut found) = (0, 0);
        if self.len == 0 {
            return 0;
        }
        let h = random & HASH_MASK;
        let all = self.resident / super::LINE - self.segments();
        let Some(mut s) = self.segment(h) else {
            return 0;
        };
        let mut i = self.dir_index(h);
        let mut b = s.home(h);
        let most = most.min(all);
        while found < want && looked < most {
            let skipped = flagged && s.head(HEAD_DUE).load(Relaxed) == u64::MAX;
            if b == s.buckets() || skipped {
                looked += s.buckets() - b;
                let span = 1usize << (self.depth - s.depth);
                i = ((i & !(span - 1)) + span) & ((1 << self.depth) - 1);
                s = Segment::unpack(self.dir_word(i).load(Relaxed));
                b = 0;
                continue;
            }
            let ctrl = s.bucket(b, 0).load(Relaxed);
            let mut used = ctrl & USED;
            while used != 0 {
                let slot = s
                    .bucket(b, 1 + (used.trailing_zeros() / 8) as usize)
                    .load(Relaxed);
                used &= used - 1;
                if !flagged || slot & FLAG != 0 {
                    visit(addr_of(slot));
                    found += 1;
                }
            }
            looked += 1;
            b += 1;
        }
        looked
    }

    /// A random entry, each as likely as any other, as its hash and place; `below(n)` gives a random number below `n`.
    /// `None` if there is no entry.
    pub fn pick(&self, mut below: impl FnMut(u64) -> u64) -> Option<(u64, Pos)> {
        if self.len == 0 {
            return None;
        }
        // A place is drawn among more than there are, so that every one is as likely whatever its segment's size and
        // depth, and drawn again if it is empty or not there.
        let widest = match self.segments {
            1 => Segment::unpack(self.dir_word(0).load(Relaxed)).buckets(),
            _ => SIZES[LAST_SIZE] - 1,
        };
        let places = (widest * SLOTS) as u64;
        for _ in 0..MAX_MISSES {
            let drawn = below(places << self.depth);
            let (i, place) = ((drawn / places) as usize, (drawn % places) as usize);
            let s = Segment::unpack(self.dir_word(i).load(Relaxed));
            let span = 1usize << (self.depth - s.depth);
            let (bucket, slot) = (place / SLOTS, place % SLOTS);
            // Of the words that lead to a segment only the first counts.
            if i % span != 0 || bucket >= s.buckets() {
                continue;
            }
            let ctrl = s.bucket(bucket, 0).load(Relaxed);
            if ctrl & USED & (0xff << (8 * slot)) != 0 {
                let word = s.bucket(bucket, 1 + slot).load(Relaxed);
                let h = u64::from(hash_of(word, ctrl >> (8 * slot)));
                return Some((h, s.pos(bucket, slot)));
            }
        }
        self.place_of_nth(below(self.len as u64) as usize)
    }

    /// The hash and place of the `n`th entry: takes time in proportion to the table's size.
    fn place_of_nth(&self, mut n: usize) -> Option<(u64, Pos)> {
        let mut i = 0;
        while i < 1 << self.depth {
            let s = Segment::unpack(self.dir_word(i).load(Relaxed));
            for bucket in 0..s.buckets() {
                let ctrl = s.bucket(bucket, 0).load(Relaxed);
                for slot in (0..SLOTS).filter(|slot| ctrl & USED & (0xff << (8 * slot)) != 0) {
                    if n == 0 {
                        let word = s.bucket(bucket, 1 + slot).load(Relaxed);
                        let h = u64::from(hash_of(word, ctrl >> (8 * slot)));
                        return Some((h, s.pos(bucket, slot)));
                    }
                    n -= 1;
                }
            }
            i += 1 << (self.depth - s.depth);
        }
        None
    }

    /// The earliest time noted for any segment, `u64::MAX` if there is none: looks at each segment's header.
    pub(crate) fn earliest_due(&self) -> u64 {
        let mut earliest = u64::MAX;
        let mut i = 0;
        while self.dir.is_some() && i < 1 << self.depth {
            let s = Segment::unpack(self.dir_word(i).load(Relaxed));
            earliest = earliest.min(s.head(HEAD_DUE).load(Relaxed));
            i += 1 << (self.depth - s.depth);
        }
        earliest
    }
}

/// Collects the entries of bucket `b` at `position` or after it whose home is wanted; returns how many entries passed
/// the bucket.
fn meet(
    s: Segment,
    b: usize,
    position: u64,
    into: &mut Met,
    wanted: impl Fn(usize) -> bool,
) -> u64 {
    let ctrl = s.bucket(b, 0).load(Relaxed);
    let mut used = ctrl & USED;
    while used != 0 {
        let i = (used.trailing_zeros() / 8) as usize;
        used &= used - 1;
        let slot = s.bucket(b, 1 + i).load(Relaxed);
        let at = slot >> (ADDR_BITS + 1);
        if at >= position && wanted(s.home(u64::from(hash_of(slot, ctrl >> (8 * i))))) {
            into.push(Visited {
                position: at,
                addr: addr_of(slot),
                flag: slot & FLAG != 0,
            });
        }
    }
    ctrl >> 56
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn mix(n: u64) -> u64 {
        (n + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn filled(n: u64) -> Table {
        let mut table = Table::new();
        for i in 0..n {
            table.insert(
                super::super::table_hash(mix(i)),
                (i as usize + 1) << 3,
                i % 3 == 0,
            );
        }
        table
    }

    /// Any step width, any size: everything exactly once while nothing changes.
    #[test]
    fn steps_meet_everything_once() {
        for n in [1u64, 5, 14, 60, 1000, 3000, 20_000] {
            let table = filled(n);
            for want in [1usize, 10, 1000] {
                let mut seen: BTreeMap<usize, u32> = BTreeMap::new();
                let mut at = Some(0);
                let mut steps = 0;
                while let Some(p) = at {
                    let mut now = 0;
                    at = table.step_from(p, want, |v| {
                        now += 1;
                        *seen.entry(v.addr >> 3).or_default() += 1;
                        assert_eq!(v.flag, (v.addr as u64 / 8 - 1).is_multiple_of(3));
                    });
                    assert!(at.is_none_or(|next| next > p));
                    assert!(now <= want + 300, "{now} entries in a step of {want}");
                    steps += 1;
                }
                assert_eq!(seen.len() as u64, n, "{n} by {want}");
                assert!(seen.values().all(|&times| times == 1), "{n} by {want}");
                assert!(steps <= n as usize / want + table.segments() + 1);
            }
        }
    }

    #[test]
    fn steps_meet_what_stays_while_the_table_changes() {
        let n = if cfg!(feature = "memcheck") {
            6000
        } else {
            30_000
        };
        let mut table = filled(n / 10);
        let mut seen = vec![false; n as usize];
        let (mut at, mut step, mut added) = (Some(0), 0, n / 10);
        while let Some(p) = at {
            at = table.step_from(p, 20, |v| seen[(v.addr >> 3) - 1] = true);
            step += 1;
            if step % 3 != 0 && added < n {
                for i in added..(added + 700).min(n) {
                    table.insert(
                        super::super::table_hash(mix(i)),
                        (i as usize + 1) << 3,
                        false,
                    );
                }
                added = (added + 700).min(n);
            } else if added > n / 10 {
                let down = (n / 10).max(added.saturating_sub(1000));
                for i in down..added {
                    let h = super::super::table_hash(mix(i));
                    let pos = table
                        .find(h, |a| a >> 3 == i as usize + 1)
                        .expect("was added");
                    table.remove(h, pos);
                }
                added = down;
            }
        }
        assert!(seen[..n as usize / 10].iter().all(|&s| s));
    }

    /// Chi-squared over tables of one and of many segments.
    #[test]
    fn picks_are_uniform() {
        // One with segments of different depths: between the first split of a round and the last.
        let mut growing = filled(6000);
        let mut uneven = 6000;
        while growing.segments == 1 << growing.depth {
            growing.insert(
                super::super::table_hash(mix(uneven)),
                (uneven as usize + 1) << 3,
                false,
            );
            uneven += 1;
        }
        for n in [1u64, 3, 40, 500, 9000, uneven] {
            let table = filled(n);
            let mut state = 0x1234_5678_9abc_def1u64;
            let mut below = |m: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                ((u128::from(state.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(m)) >> 64)
                    as u64
            };
            let draws = n * if cfg!(feature = "memcheck") { 4 } else { 40 };
            let mut counts = vec![0u64; n as usize];
            for _ in 0..draws {
                let (h, pos) = table.pick(&mut below).expect("not empty");
                let i = (table.addr(pos) >> 3) - 1;
                assert_eq!(h, super::super::table_hash(mix(i as u64)));
                counts[i] += 1;
            }
            let expected = draws as f64 / n as f64;
            let chi: f64 = counts
                .iter()
                .map(|&c| (c as f64 - expected).powi(2) / expected)
                .sum();
            let degrees = (n - 1) as f64;
            assert!(
                chi < degrees + 6.0 * (2.0 * degrees).sqrt() + 1.0,
                "n {n}: chi {chi}"
            );
        }
        assert!(Table::new().pick(|_| 0).is_none());
        // A generator that always says the same ends, too.
        assert!(filled(100).pick(|n| n - 1).is_some());
    }

    /// Wherever it begins, a sample has no entry twice, and one that is as large as the table has all; over many samples every
    /// entry comes about as often.
    #[test]
    fn samples_are_of_different_entries_from_all_over() {
        for n in [1u64, 20, 500, 9000, 30_000] {
            let table = filled(n);
            let mut counts = vec![0u32; n as usize];
            let rounds = if cfg!(feature = "memcheck") { 4 } else { 400 };
            for round in 0..rounds {
                let mut met = std::collections::BTreeSet::new();
                table.sample(mix(round + 77) >> 7, 64, usize::MAX, false, |addr| {
                    assert!(met.insert(addr));
                    counts[(addr >> 3) - 1] += 1;
                });
                assert!(
                    met.len() as u64 >= n.min(64) && met.len() <= 64 + 7,
                    "{}",
                    met.len()
                );
            }
            let all: u32 = counts.iter().sum();
            let most = *counts.iter().max().unwrap();
            let fair = f64::from(all) / n as f64;
            assert!(f64::from(most) < 12.0 + 4.0 * fair, "{n}: {most} of {fair}");
            let mut all = 0;
            let looked = table.sample(5, usize::MAX, usize::MAX, false, |_| all += 1);
            assert_eq!(all, n);
            assert_eq!(looked, table.shape().1);
            let mut few = 0;
            let looked = table.sample(5, usize::MAX, 10, false, |_| few += 1);
            assert!(looked <= 10 && few <= 70);
            // Something flagged is due some time, as far as the segments' headers know.
            let mut table = table;
            let mut flagged = 0;
            table.sample(9, usize::MAX, usize::MAX, true, |_| flagged += 1);
            assert_eq!(flagged, 0);
            for i in 0..n {
                table.note_due(super::super::table_hash(mix(i)), 900);
            }
            table.sample(9, usize::MAX, usize::MAX, true, |_| flagged += 1);
            assert_eq!(flagged, n.div_ceil(3));
        }
    }

    #[test]
    fn the_earliest_due_time_of_all_segments() {
        let mut table = filled(9000);
        assert_eq!(table.earliest_due(), u64::MAX);
        for (i, ms) in [(5u64, 900), (77, 300), (8000, 700)] {
            table.note_due(super::super::table_hash(mix(i)), ms);
        }
        assert_eq!(table.earliest_due(), 300);
    }
}
