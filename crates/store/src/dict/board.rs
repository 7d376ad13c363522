//! What dictionaries make known to those who do not hold their lock: where their tables are, and their counts.
//!
//! Words are written by whoever holds the shard's lock, with plain loads and stores, and read by anybody. Roots stand side
//! by side, as every worker reads them for every key and they hardly ever change. Counts change with every key that comes or
//! goes, so each shard's stand in cache lines of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Rows of counts. A shard's first row holds the bytes and the idle bytes of all its databases, each further one what
/// [`Counts`] says of one.
#[repr(align(128))]
struct Line([[AtomicUsize; 4]; ROWS]);

const ROWS: usize = 4;
const KEYS: usize = 0;
const EXPIRING: usize = 1;
const BYTES: usize = 2;
const TABLE: usize = 3;
const ALL_BYTES: usize = 0;
const ALL_IDLE: usize = 1;

/// What there is of a database, in a shard or altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys.
    pub keys: usize,
    /// Keys with an expiry.
    pub expiring: usize,
    /// Bytes in use: table, entries with their share of slab pages, blobs and collections.
    pub bytes: usize,
    /// Those of the table alone.
    pub table_bytes: usize,
}

/// Words that may be zero to begin with, and nothing but such words.
trait Words {}
impl Words for AtomicU64 {}
impl Words for AtomicUsize {}
impl Words for Line {}

/// So many of them. What nobody has written to takes no memory.
fn zeroed<T: Words>(n: usize) -> Box<[T]> {
    // SAFETY: they are made of atomic integers, for which zeros are a value.
    unsafe { Box::<[T]>::new_zeroed_slice(n).assume_init() }
}

/// All words of a keyspace. See the module's page.
pub(crate) struct Board {
    roots: Box<[AtomicU64]>,
    /// Keys that are never to be evicted, by dictionary.
    kept: Box<[AtomicUsize]>,
    /// Keys with elements that expire, by dictionary.
    timed: Box<[AtomicUsize]>,
    counts: Box<[Line]>,
    shards: usize,
    databases: usize,
    lines: usize,
}

impl Board {
    pub(crate) fn new(shards: usize, databases: usize) -> Board {
        let lines = (1 + databases).div_ceil(ROWS);
        assert!(
            u32::try_from(shards * databases.max(lines)).is_ok(),
            "too many shards and databases"
        );
        Board {
            roots: zeroed(shards * databases),
            kept: zeroed(shards * databases),
            timed: zeroed(shards * databases),
            counts: zeroed(shards * lines),
            shards,
            databases,
            lines,
        }
    }

    #[inline]
    pub(crate) fn root(&self, db: usize, shard: usize) -> u64 {
        self.roots[db * self.shards + shard].load(Relaxed)
    }

    /// Bytes of a shard.
    #[inline]
    pub(crate) fn bytes(&self, shard: usize) -> usize {
        self.counts[shard * self.lines].0[0][ALL_BYTES].load(Relaxed)
    }

    /// Bytes of a shard's slab pages that are free slots.
    pub(crate) fn idle(&self, shard: usize) -> usize {
        self.counts[shard * self.lines].0[0][ALL_IDLE].load(Relaxed)
    }

    /// Keys that are never to be evicted, of all dictionaries.
    pub(crate) fn kept(&self) -> usize {
        self.kept.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// Keys of a database with elements that expire.
    pub(crate) fn timed(&self, db: usize) -> usize {
        let of_db = &self.timed[db * self.shards..][..self.shards];
        of_db.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// A database's part of a shard.
    pub(crate) fn counts(&self, db: usize, shard: usize) -> Counts {
        assert!(db < self.databases, "there is no such database");
        let row = 1 + db;
        let words = &self.counts[shard * self.lines + row / ROWS].0[row % ROWS];
        Counts {
            keys: words[KEYS].load(Relaxed),
            expiring: words[EXPIRING].load(Relaxed),
            bytes: words[BYTES].load(Relaxed),
            table_bytes: words[TABLE].load(Relaxed),
        }
    }
}

/// Where a dictionary stands on the board.
#[derive(Clone)]
pub(crate) struct BoardRow {
    board: Arc<Board>,
    root: u32,
    line: u32,
    first_line: u32,
    row: u32,
}

impl BoardRow {
    pub(crate) fn new(board: &Arc<Board>, db: usize, shard: usize) -> BoardRow {
        let first_line = shard * board.lines;
        BoardRow {
            root: (db * board.shards + shard) as u32,
            line: (first_line + (1 + db) / ROWS) as u32,
            first_line: first_line as u32,
            row: ((1 + db) % ROWS) as u32,
            board: board.clone(),
        }
    }

    /// The number of the database.
    pub(crate) fn db(&self) -> usize {
        self.root as usize / self.board.shards
    }

    /// Makes a table's root known.
    #[inline]
    pub(crate) fn set_root(&self, word: u64) {
        let cell = &self.board.roots[self.root as usize];
        // Workers read this cell's line for every key: written only when it changes.
        if cell.load(Relaxed) != word {
            cell.store(word, Relaxed);
        }
    }

    #[inline]
    fn words(&self) -> &[AtomicUsize; 4] {
        &self.board.counts[self.line as usize].0[self.row as usize % ROWS]
    }

    /// Makes counts known.
    #[inline]
    pub(crate) fn set(&self, counts: Counts) {
        let words = self.words();
        words[KEYS].store(counts.keys, Relaxed);
        words[EXPIRING].store(counts.expiring, Relaxed);
        words[TABLE].store(counts.table_bytes, Relaxed);
        let change = counts.bytes.wrapping_sub(words[BYTES].load(Relaxed));
        if change != 0 {
            self.add_bytes(change);
        }
    }

    /// Makes the number of keys known that are never to be evicted.
    pub(crate) fn set_kept(&self, kept: usize) {
        self.board.kept[self.root as usize].store(kept, Relaxed);
    }

    /// Makes the number of keys known with elements that expire.
    pub(crate) fn set_timed(&self, timed: usize) {
        self.board.timed[self.root as usize].store(timed, Relaxed);
    }

    /// Adds to the idle bytes made known, modulo the word's size.
    #[inline]
    pub(crate) fn add_idle(&self, change: usize) {
        let word = &self.board.counts[self.first_line as usize].0[0][ALL_IDLE];
        word.store(word.load(Relaxed).wrapping_add(change), Relaxed);
    }

    /// Adds to the bytes made known, modulo the word's size.
    #[inline]
    pub(crate) fn add_bytes(&self, change: usize) {
        let all = &self.board.counts[self.first_line as usize].0[0][ALL_BYTES];
        for word in [&self.words()[BYTES], all] {
            word.store(word.load(Relaxed).wrapping_add(change), Relaxed);
        }
    }

    /// The number of keys known with elements that expire.
    #[cfg(test)]
    pub(crate) fn known_timed(&self) -> usize {
        self.board.timed[self.root as usize].load(Relaxed)
    }

    /// What is known.
    #[cfg(test)]
    pub(crate) fn known(&self) -> Counts {
        let shard = self.first_line as usize / self.board.lines;
        let row = (self.line - self.first_line) as usize * ROWS + self.row as usize;
        self.board.counts(row - 1, shard)
    }
}
