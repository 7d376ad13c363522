//! One of something for each thread, for every database there is.
//!
//! Counting hits must not make threads fight over a cache line, so each thread counts for itself. A [`PerThread`] is an
//! array by the threads' [numbers](store::threads). Finding a thread's own element costs a thread-local load and two
//! array loads, and the elements live as long as the array, not as the thread.

use std::sync::OnceLock;
use store::threads::number;

/// Elements of the first part; each further part has twice as many as the one before.
const FIRST: usize = 16;
const PARTS: usize = 32;

/// See the module's page.
pub(crate) struct PerThread<T> {
    parts: [OnceLock<Box<[OnceLock<T>]>>; PARTS],
}

impl<T> PerThread<T> {
    pub(crate) const fn new() -> PerThread<T> {
        PerThread {
            parts: [const { OnceLock::new() }; PARTS],
        }
    }

    /// This thread's element, made by `new` if no thread with its number has had one yet.
    #[inline]
    pub(crate) fn get(&self, new: impl FnOnce() -> T) -> &T {
        let n = number() + FIRST;
        let part = (n.ilog2() - FIRST.ilog2()) as usize;
        let size = FIRST << part;
        let elements =
            self.parts[part].get_or_init(|| (0..size).map(|_| OnceLock::new()).collect());
        elements[n - size].get_or_init(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Barrier};

    #[test]
    fn living_threads_never_share_an_element() {
        let all: Arc<PerThread<(usize, AtomicUsize)>> = Arc::new(PerThread::new());
        let made = Arc::new(AtomicUsize::new(0));
        let threads = 40;
        for _ in 0..3 {
            let together = Arc::new(Barrier::new(threads));
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    let (all, made, together) = (all.clone(), made.clone(), together.clone());
                    std::thread::spawn(move || {
                        let new = || (made.fetch_add(1, Relaxed), AtomicUsize::new(0));
                        let (id, users) = all.get(new);
                        together.wait();
                        assert_eq!(
                            users.fetch_add(1, Relaxed),
                            0,
                            "two threads have element {id}"
                        );
                        together.wait();
                        assert_eq!(all.get(new).0, *id);
                        users.fetch_sub(1, Relaxed);
                        together.wait();
                    })
                })
                .collect();
            for t in running {
                t.join().unwrap();
            }
        }
        // Numbers are used again, but other tests' threads hold some meanwhile.
        assert!(made.load(Relaxed) < 3 * threads);
    }
}
