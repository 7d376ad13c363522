//! Small numbers for threads.
//!
//! What each thread has for itself in every keyspace (a reader's slot, a set of counters) stands in arrays by thread. A
//! thread gets a number when it first needs one, and when it ends the number is given to another, so that the arrays
//! stay as small as the most threads there have been at a time.

use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeSet;

const NONE: usize = usize::MAX;

struct Numbers {
    next: usize,
    returned: BTreeSet<usize>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers {
    next: 0,
    returned: BTreeSet::new(),
});

thread_local! {
    // Apart from the guard because a thread-local without a destructor is a plain load.
    static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    static GUARD: Guard = const { Guard(Cell::new(NONE)) };
}

/// Gives a thread's number back when the thread ends.
struct Guard(Cell<usize>);

impl Drop for Guard {
    fn drop(&mut self) {
        NUMBER.set(NONE);
        NUMBERS.lock().returned.insert(self.0.get());
    }
}

/// This thread's number: no other thread has it as long as this one runs.
#[inline]
pub fn number() -> usize {
    match NUMBER.get() {
        NONE => take(),
        n => n,
    }
}

#[cold]
fn take() -> usize {
    let mut numbers = NUMBERS.lock();
    let n = numbers.returned.pop_first().unwrap_or_else(|| {
        numbers.next += 1;
        numbers.next - 1
    });
    drop(numbers);
    NUMBER.set(n);
    // In a thread that is ending and has dropped its guard the number is lost, which does no harm.
    let _ = GUARD.try_with(|guard| guard.0.set(n));
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    #[test]
    fn running_threads_have_different_numbers() {
        let threads = 40;
        let mut highest = 0;
        for _ in 0..10 {
            let together = Arc::new(Barrier::new(threads));
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    let together = together.clone();
                    std::thread::spawn(move || {
                        let n = number();
                        together.wait();
                        assert_eq!(number(), n);
                        n
                    })
                })
                .collect();
            let mut numbers: Vec<usize> = running.into_iter().map(|t| t.join().unwrap()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), threads);
            highest = highest.max(numbers[threads - 1]);
        }
        // They are used again; other tests' threads hold some meanwhile.
        assert!(highest < 9 * threads);
    }
}
