//! Room ahead of time: a table whose future size is known need not grow step by step.

use super::{HEAD_DUE, LAST_SIZE, LINE, MAX_DEPTH, SIZES, Segment, Table, Use, limit, words};
use std::sync::atomic::Ordering::Relaxed;

impl Table {
    /// Makes room for `n` entries in all, if the table is far from that. It takes the memory then that a table of so many entries takes.
    pub fn reserve(&mut self, n: usize) {
        // On average: hashes do not fall evenly.
        let most = limit(LAST_SIZE) * 15 / 16;
        let depth = n.div_ceil(most).next_power_of_two().trailing_zeros();
        if n == 0 || n < 2 * self.len || depth < self.depth || depth > MAX_DEPTH {
            return;
        }
        let size = fitting_evenly(n >> depth);
        let mut all = Vec::with_capacity(self.len);
        let (mut due, mut largest) = (u64::MAX, None);
        self.for_each_segment(|s| {
            s.collect(&mut all);
            due = due.min(s.head(HEAD_DUE).load(Relaxed));
            largest = largest.max(Some(s.size));
        });
        if depth == self.depth && largest >= Some(size) {
            return;
        }
        let lines = (1usize << depth).div_ceil(8);
        let mut made = Table {
            dir: Some(words::alloc_small(Use::Directory, lines)),
            depth,
            len: 0,
            segments: 1 << depth,
            resident: (SIZES[size] * LINE) << depth,
        };
        for i in 0..1 << depth {
            let s = Segment::alloc(size, depth);
            s.head(HEAD_DUE).store(due, Relaxed);
            made.dir_word(i).store(s.pack(), Relaxed);
        }
        for (hash, slot) in all {
            made.insert_slot(u64::from(hash), slot);
        }
        // The old one frees its segments; entries are not its own.
        *self = made;
    }
}

/// The smallest size that holds what may fall to a segment to which `count` fall on average.
fn fitting_evenly(count: usize) -> usize {
    (0..LAST_SIZE)
        .find(|&s| limit(s) >= count + count / 16)
        .unwrap_or(LAST_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::table_hash;

    fn hash(n: usize) -> u64 {
        let mixed = (n as u64 + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(31)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9);
        table_hash(mixed ^ mixed >> 29)
    }

    /// Whatever is there and whatever is asked for, all is found, and what was announced needs no more growth.
    #[test]
    fn there_is_room_for_what_was_announced() {
        for before in [0, 1, 5, 100, 700, 3000, 9000] {
            for n in [0, 1, 6, 50, 900, 3000, 11_700, 50_000] {
                let mut table = Table::new();
                let put = |table: &mut Table, i: usize| {
                    table.insert(hash(i), 8 * (i + 1), i.is_multiple_of(3));
                    table.note_due(hash(i), 1000 + i as u64);
                };
                (0..before).for_each(|i| put(&mut table, i));
                table.reserve(n);
                table.check();
                assert_eq!(due(&table), before.div_ceil(3), "{before} and room for {n}");
                let shape = table.shape();
                (before..n).for_each(|i| put(&mut table, i));
                table.check();
                if n >= 900 && n >= 2 * before {
                    assert_eq!(table.shape(), shape, "{before} and then {n}");
                    let (bytes, natural) = (table.bytes(), grown(n).bytes());
                    assert!(bytes < natural * 4 / 3, "{n}: {bytes} and {natural}");
                }
                for i in 0..before.max(n) {
                    let found = table.find(hash(i), |addr| addr == 8 * (i + 1));
                    assert!(found.is_some(), "{before} and then {n}: {i}");
                }
                assert_eq!(
                    due(&table),
                    before.max(n).div_ceil(3),
                    "{before} and then {n}"
                );
            }
        }
    }

    /// How many entries are found by when they are due.
    fn due(table: &Table) -> usize {
        let mut due = 0;
        let mut at = (!table.is_empty()).then_some(0);
        while let Some(position) = at {
            let visit = |_| {
                due += 1;
                1000
            };
            at = table.visit_due(position, 1_000_000, visit).1;
        }
        due
    }

    fn grown(n: usize) -> Table {
        let mut table = Table::new();
        (0..n).for_each(|i| table.insert(hash(i), 8 * (i + 1), false));
        table
    }
}
