//! Keys that clients of a writable replica have given an expiry.
//!
//! What has expired on a replica its primary removes. Of these keys it knows nothing, or not the same, so the replica removes them itself:
//! they are remembered here until they are gone or expire no more. Whoever adds or forgets one holds the lock of its shard.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A database and a key of it.
pub type OwnKey = (usize, Box<[u8]>);

/// See the module's page.
#[derive(Debug, Default)]
pub struct OwnExpiries {
    keys: Mutex<BTreeSet<OwnKey>>,
    len: AtomicUsize,
}

impl OwnExpiries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Remembers a key.
    #[cold]
    pub fn add(&self, db: usize, key: &[u8]) {
        self.change(|keys| _ = keys.insert((db, key.into())));
    }

    /// Forgets one.
    pub fn forget(&self, key: &OwnKey) {
        self.change(|keys| _ = keys.remove(key));
    }

    /// Forgets all: there is another data set.
    pub fn clear(&self) {
        if !self.is_empty() {
            self.change(BTreeSet::clear);
        }
    }

    /// Whether this one is remembered.
    pub fn has(&self, key: &OwnKey) -> bool {
        self.keys.lock().contains(key)
    }

    /// Two databases have changed places. All locks are held.
    pub fn swap(&self, a: usize, b: usize) {
        let swapped = |db| match db {
            db if db == a => b,
            db if db == b => a,
            db => db,
        };
        if !self.is_empty() {
            self.change(|keys| {
                let all = std::mem::take(keys).into_iter();
                *keys = all.map(|(db, key)| (swapped(db), key)).collect();
            });
        }
    }

    /// The next ones behind this one, in an order of which nothing is said but that it goes through all of them; none at the end.
    pub fn behind(&self, last: Option<&OwnKey>, most: usize) -> Vec<OwnKey> {
        let keys = self.keys.lock();
        match last {
            Some(last) => {
                let rest = keys.range((Excluded(last), Unbounded));
                rest.take(most).cloned().collect()
            }
            None => keys.iter().take(most).cloned().collect(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<OwnKey>)) {
        let mut keys = self.keys.lock();
        change(&mut keys);
        self.len.store(keys.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_comes_to_all_of_them() {
        let own = OwnExpiries::default();
        for db in [3, 0] {
            (0..100).for_each(|n| own.add(db, format!("k{n}").as_bytes()));
            own.add(db, b"k7");
        }
        assert_eq!(own.len(), 200);
        let (mut met, mut last) = (BTreeSet::new(), None);
        loop {
            let keys = own.behind(last.as_ref(), 7);
            let Some(key) = keys.last() else { break };
            last = Some(key.clone());
            // What goes meanwhile disturbs nobody.
            own.forget(key);
            met.extend(keys);
        }
        assert_eq!((met.len(), own.len()), (200, 200 - 200usize.div_ceil(7)));
        own.clear();
        assert!(own.is_empty());
        own.add(0, b"k");
        own.add(3, b"l");
        own.swap(0, 1);
        own.swap(5, 3);
        own.swap(7, 8);
        assert_eq!(
            own.behind(None, 3),
            [(1, (*b"k").into()), (5, (*b"l").into())]
        );
        assert!(own.has(&(5, (*b"l").into())) && !own.has(&(3, (*b"l").into())));
    }
}
