//! Looking at a shard without taking its lock.
//!
//! A lock's cache line travels to whoever takes it, so two cores that read different keys of one shard, and even of
//! two, wait for each other's lines most of the time. A program that reads in many threads need not pay that. A shard
//! can be *open to readers*: then each reader announces the shard in a slot of its own, which nobody else
//! writes, and looks. Who wants to change the shard takes its lock as always, closes it, and waits until no slot
//! announces it any more. (Dice and Kogan describe such locks under the name BRAVO.)
//!
//! Closing costs a look at every reader's slot, so a shard is opened again only after many readers have had to take
//! its lock: one that is mostly written stays closed, and nobody pays for this but with one comparison. The server's
//! workers never open shards.
//!
//! # Why it is safe
//! All accesses below are sequentially consistent but for the one that leaves. A reader announces the shard *and then*
//! sees that it is open; a writer closes it *and then* looks at the slots. In the single order of all four, either
//! the reader sees it closed, or the writer sees the announcement and waits for it to be taken back. Taking back
//! releases and seeing it acquires, so what the reader read was read before what the writer writes. Opening happens under the
//! lock, so no writer is at work, and a reader that sees the shard open also sees all that was written before.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A word that the protocol is about; a trait so that a model checker can take the place of the processor.
pub trait Word {
    /// Reads it, in the order of all such accesses.
    fn load(&self) -> usize;
    /// Writes it, in the order of all such accesses.
    fn store(&self, value: usize);
    /// Sets it to 0 after everything before.
    fn clear(&self);
}

impl Word for AtomicUsize {
    #[inline]
    fn load(&self) -> usize {
        AtomicUsize::load(self, Ordering::SeqCst)
    }
    #[inline]
    fn store(&self, value: usize) {
        AtomicUsize::store(self, value, Ordering::SeqCst);
    }
    #[inline]
    fn clear(&self) {
        AtomicUsize::store(self, 0, Ordering::Release);
    }
}

/// The slots of all readers, and how many of them have ever been used: those that closing has to look at.
pub(crate) struct Slots<S, W> {
    /// One for each reader: 0, or one more than the shard it looks at.
    pub slots: Box<[S]>,
    /// One more than the highest reader that has registered.
    pub used: W,
}

impl<S: Word, W: Word> Slots<S, W> {
    /// Announces that `reader` looks at `shard`, if that is open and the reader has registered. The caller clears the
    /// slot when it is done, and enters no other meanwhile: the slot holds one shard.
    #[inline]
    pub fn enter(&self, reader: usize, shard: usize, open: &W) -> Option<&S> {
        if open.load() == 0 || reader >= self.used.load() {
            return None;
        }
        let slot = &self.slots[reader];
        debug_assert!(slot.load() == 0, "a reader looks at one shard at a time");
        slot.store(shard + 1);
        if open.load() != 0 {
            return Some(slot);
        }
        slot.clear();
        None
    }

    /// Makes closing look at this reader's slot from now on; whether there is one. Callers hold some lock that keeps
    /// two of them from registering at a time.
    pub fn register(&self, reader: usize) -> bool {
        if reader >= self.slots.len() {
            return false;
        }
        if reader >= self.used.load() {
            self.used.store(reader + 1);
        }
        true
    }

    /// Closes `shard`, whose lock the caller holds, and calls `wait` until no reader looks at it.
    pub fn close(&self, shard: usize, open: &W, mut wait: impl FnMut()) {
        open.store(0);
        for slot in &self.slots[..self.used.load()] {
            while slot.load() == shard + 1 {
                wait();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shuttle::sync::atomic::{AtomicBool, AtomicUsize as Checked};
    use shuttle::sync::{Arc, Mutex};

    impl Word for Checked {
        fn load(&self) -> usize {
            Checked::load(self, Ordering::SeqCst)
        }
        fn store(&self, value: usize) {
            Checked::store(self, value, Ordering::SeqCst);
        }
        fn clear(&self) {
            Checked::store(self, 0, Ordering::Release);
        }
    }

    struct Shard {
        lock: Mutex<()>,
        open: Checked,
        readers: Slots<Checked, Checked>,
        /// Whether a writer is in the middle of a change.
        writing: AtomicBool,
    }

    /// Readers, writers and openings in any order: no reader ever looks while somebody writes.
    #[test]
    fn under_any_schedule_nobody_reads_what_is_being_written() {
        shuttle::check_random(
            || {
                let shard = Arc::new(Shard {
                    lock: Mutex::new(()),
                    open: Checked::new(1),
                    readers: Slots {
                        slots: Box::new([Checked::new(0), Checked::new(0)]),
                        used: Checked::new(0),
                    },
                    writing: AtomicBool::new(false),
                });
                let mut threads = Vec::new();
                for reader in 0..2 {
                    let shard = shard.clone();
                    threads.push(shuttle::thread::spawn(move || {
                        for _ in 0..3 {
                            if let Some(slot) = shard.readers.enter(reader, 7, &shard.open) {
                                assert!(!shard.writing.load(Ordering::SeqCst));
                                shuttle::thread::yield_now();
                                assert!(!shard.writing.load(Ordering::SeqCst));
                                slot.clear();
                            } else {
                                let _held = shard.lock.lock().unwrap();
                                assert!(shard.readers.register(reader));
                                Word::store(&shard.open, 1);
                            }
                        }
                    }));
                }
                for _ in 0..2 {
                    let shard = shard.clone();
                    threads.push(shuttle::thread::spawn(move || {
                        for _ in 0..2 {
                            let _held = shard.lock.lock().unwrap();
                            if Word::load(&shard.open) != 0 {
                                shard
                                    .readers
                                    .close(7, &shard.open, shuttle::thread::yield_now);
                            }
                            shard.writing.store(true, Ordering::SeqCst);
                            shuttle::thread::yield_now();
                            shard.writing.store(false, Ordering::SeqCst);
                        }
                    }));
                }
                for t in threads {
                    t.join().unwrap();
                }
            },
            3000,
        );
    }
}
