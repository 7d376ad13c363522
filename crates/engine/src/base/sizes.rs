//! How many keys there are of which size: by type, in powers of two.

use std::collections::BTreeMap;
use std::fmt::Write;
use store::Type;

/// Sizes that are told apart: 0, 1, 2 and 3, 4 to 7, and so on up to what no value exceeds.
const BINS: usize = 41;

/// The types that are counted, and what INFO calls their sizes.
const KINDS: [(Type, &str); 5] = [
    (Type::String, "strings_sizes"),
    (Type::List, "lists_items"),
    (Type::Set, "sets_items"),
    (Type::SortedSet, "zsets_items"),
    (Type::Hash, "hashes_items"),
];

/// Keys by database, type and size.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    dbs: BTreeMap<usize, Box<[[u64; BINS]; KINDS.len()]>>,
}

impl Sizes {
    /// Counts a key whose value has so many bytes or elements.
    pub fn count(&mut self, db: usize, kind: Type, length: usize) {
        let Some(kind) = KINDS.iter().position(|(known, _)| *known == kind) else {
            return;
        };
        let bins = self
            .dbs
            .entry(db)
            .or_insert_with(|| Box::new([[0; BINS]; KINDS.len()]));
        let bin = (usize::BITS - length.leading_zeros()) as usize;
        bins[kind][bin.min(BINS - 1)] += 1;
    }

    /// All of it, where this is about a sample of so many keys out of so many.
    pub fn scaled(&self, seen: u64, keys: u64) -> Sizes {
        let mut all = self.clone();
        let scale = |n: u64| (u128::from(n) * u128::from(keys)).div_ceil(seen.max(1).into()) as u64;
        for bins in all.dbs.values_mut().flat_map(|kinds| kinds.iter_mut()) {
            bins.iter_mut().for_each(|n| *n = scale(*n));
        }
        all
    }

    /// As INFO has them: a line for each type of each database that has some, of sizes (the smallest of their kind) and numbers of keys.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (db, kinds) in &self.dbs {
            for ((_, name), bins) in KINDS.iter().zip(kinds.iter()) {
                let mut line = format!("db{db}_distrib_{name}");
                let mut between = ':';
                for (bin, keys) in bins.iter().enumerate().filter(|(_, keys)| **keys > 0) {
                    // Writing to a string does not fail.
                    let _ = write!(line, "{between}{}={keys}", least(bin));
                    between = ',';
                }
                if between == ',' {
                    lines.push(line);
                }
            }
        }
        lines
    }
}

/// The smallest size of a bin.
fn least(bin: usize) -> String {
    let Some(power) = bin.checked_sub(1) else {
        return "0".to_owned();
    };
    let units = ["", "K", "M", "G", "T"];
    format!("{}{}", 1 << (power % 10), units[power / 10])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_by_powers_of_two() {
        let mut sizes = Sizes::default();
        for length in [0, 1, 2, 3, 4, 7, 8, 1023, 1024, 3 << 20, 512 << 20, 1 << 39] {
            sizes.count(0, Type::String, length);
        }
        sizes.count(3, Type::Hash, 5);
        sizes.count(3, Type::Set, 1);
        sizes.count(3, Type::Stream, 1);
        sizes.count(4, Type::Stream, 1);
        assert_eq!(
            sizes.lines(),
            [
                "db0_distrib_strings_sizes:0=1,1=1,2=2,4=2,8=1,512=1,1K=1,2M=1,512M=1,512G=1",
                "db3_distrib_sets_items:1=1",
                "db3_distrib_hashes_items:4=1",
            ]
        );
        let estimate = sizes.scaled(10, 40).lines();
        assert_eq!(estimate[1], "db3_distrib_sets_items:1=4");
    }
}
