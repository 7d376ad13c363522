//! Holding several shards at once.
//!
//! A command on several keys holds the locks of all their shards for its whole run, so nobody sees it half done.
//! Everybody takes locks in ascending order of shard, so no two can wait for each other. The rule lives here, once,
//! over any kind of lock, so that a model checker can drive the very code the server runs.

use smallvec::SmallVec;

/// A lock that can be held.
pub trait Lockable {
    /// What holding it looks like; dropping it lets go.
    type Guard<'a>
    where
        Self: 'a;
    /// Waits for the lock.
    fn acquire(&self) -> Self::Guard<'_>;
}

impl<T> Lockable for parking_lot::Mutex<T> {
    type Guard<'a>
        = parking_lot::MutexGuard<'a, T>
    where
        T: 'a;
    #[inline]
    fn acquire(&self) -> Self::Guard<'_> {
        self.lock()
    }
}

/// The indices of the shards that a command needs: few, so they are kept on the stack.
pub type Indices = SmallVec<[usize; 8]>;

/// The guards of several locks with their indices, ascending.
pub struct Many<G> {
    held: SmallVec<[(usize, G); 8]>,
}

impl<G> Many<G> {
    /// Takes the locks `wanted` (any order, repetitions allowed) out of those that `lock` gives for an index.
    pub fn acquire<'a, L>(wanted: &mut Indices, lock: impl Fn(usize) -> &'a L) -> Many<G>
    where
        L: Lockable<Guard<'a> = G> + 'a,
    {
        wanted.sort_unstable();
        wanted.dedup();
        let mut held = SmallVec::with_capacity(wanted.len());
        for &i in wanted.iter() {
            held.push((i, lock(i).acquire()));
        }
        Many { held }
    }

    /// The guard of lock `index`, if it is held.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut G> {
        let at = self.held.binary_search_by_key(&index, |(i, _)| *i).ok()?;
        Some(&mut self.held[at].1)
    }

    /// The guard of lock `index`, to be looked through.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&G> {
        let at = self.held.binary_search_by_key(&index, |(i, _)| *i).ok()?;
        Some(&self.held[at].1)
    }

    /// All that is held, in ascending order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut G> {
        self.held.iter_mut().map(|(_, g)| g)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shuttle::sync::{Arc, Mutex, MutexGuard};

    struct Checked(Mutex<i64>);

    impl Lockable for Checked {
        type Guard<'a> = MutexGuard<'a, i64>;
        fn acquire(&self) -> MutexGuard<'_, i64> {
            self.0.lock().unwrap()
        }
    }

    /// Transfers between shards in every order, with readers that sum them: under any schedule nobody deadlocks and
    /// every sum is whole.
    #[test]
    fn any_schedule_is_atomic_and_ends() {
        shuttle::check_random(
            || {
                let shards: Arc<Vec<Checked>> =
                    Arc::new((0..3).map(|_| Checked(Mutex::new(10))).collect());
                let mut threads = Vec::new();
                for (from, to) in [(0usize, 2usize), (2, 0), (1, 0), (2, 1)] {
                    let shards = shards.clone();
                    threads.push(shuttle::thread::spawn(move || {
                        let mut wanted = Indices::from_slice(&[from, to, from]);
                        let mut held = Many::acquire(&mut wanted, |i| &shards[i]);
                        **held.get_mut(from).unwrap() -= 1;
                        shuttle::thread::yield_now();
                        **held.get_mut(to).unwrap() += 1;
                    }));
                }
                let reader = shards.clone();
                threads.push(shuttle::thread::spawn(move || {
                    let mut wanted = Indices::from_slice(&[2, 1, 0]);
                    let mut held = Many::acquire(&mut wanted, |i| &reader[i]);
                    let sum: i64 = held.iter_mut().map(|g| **g).sum();
                    assert_eq!(sum, 30, "a transfer was seen half done");
                }));
                for t in threads {
                    t.join().unwrap();
                }
            },
            500,
        );
    }
}
