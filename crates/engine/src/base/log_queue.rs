//! What waits to be written to the log: so many bytes, and no more. Where the disk, or whoever empties the lanes of the journal, is slower
//! than those who change keys, changes wait until enough has been taken; nothing else does.
//!
//! While nothing of the kind happens, this is one look at a flag for each command.

use super::wait_list::WaitList;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// See the module's page.
#[derive(Debug, Default)]
pub struct LogQueue {
    full: AtomicBool,
    /// What waits for the disk. What is in the lanes of the journal these know themselves.
    bytes: AtomicUsize,
    /// How often somebody had to wait.
    waits: AtomicU64,
    /// Those who wait.
    pub(crate) line: Arc<WaitList>,
}

impl LogQueue {
    /// Most bytes that wait. What is on its way when there are as many comes on top.
    pub const BOUND: usize = 64 << 20;

    /// Changes wait no longer once there are no more than these: with some distance, so that those who wait find room for more
    /// than one.
    const AGAIN: usize = LogQueue::BOUND / 4 * 3;

    /// Whether changes wait.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// What waits has grown: `bytes` says how much that is by now, for the disk and before it. Asked again behind the decision that
    /// changes wait: the last who takes something may have done so before that, and looks no more.
    pub(crate) fn has_grown(&self, bytes: impl Fn() -> (usize, usize)) {
        let mut now = bytes();
        if now.0.saturating_add(now.1) > LogQueue::BOUND && !self.full.swap(true, Relaxed) {
            now = bytes();
        }
        self.has_got_to(now.0, || now.1);
    }

    /// What waits has become less: so much waits for the disk now, and so much before it.
    pub(crate) fn has_got_to(&self, bytes: usize, before: impl FnOnce() -> usize) {
        self.bytes.store(bytes, Relaxed);
        if self.is_full() && bytes.saturating_add(before()) <= LogQueue::AGAIN {
            self.full.store(false, Relaxed);
            self.line.call();
        }
    }

    /// So much waits before the disk: changes wait if that is too much together. Whoever calls this has those looked at then who empty
    /// the lanes, who say how much it is behind that ([`LogQueue::has_grown`]).
    pub(crate) fn has_before(&self, bytes: usize) {
        if self.bytes().saturating_add(bytes) > LogQueue::BOUND {
            self.full.store(true, Relaxed);
        }
    }

    /// Has this thread wait for as long as changes wait, if they do: for who carries out what others did, and asks no gate.
    pub fn wait_for_room(&self) {
        while self.is_full() {
            let seen = self.line.seen();
            if self.is_full() {
                self.note_wait();
                self.line.sleep(seen);
            }
        }
    }

    /// Bytes that wait for the disk.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Somebody begins to wait.
    pub(crate) fn note_wait(&self) {
        self.waits.fetch_add(1, Relaxed);
    }

    /// How often somebody had to wait.
    pub fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn it_is_full_from_the_bound_until_there_is_room_again() {
        for before in [0, 1000] {
            let queue = LogQueue::default();
            queue.has_grown(|| (LogQueue::BOUND - before, before));
            assert!(!queue.is_full());
            queue.has_grown(|| (LogQueue::BOUND + 1 - before, before));
            assert!(queue.is_full());
            queue.has_got_to(LogQueue::AGAIN + 1 - before, || before);
            assert!(queue.is_full());
            assert_eq!(queue.bytes(), LogQueue::AGAIN + 1 - before);
            queue.has_got_to(LogQueue::AGAIN - before, || before);
            assert!(!queue.is_full());
        }
    }

    /// Nobody is left to say that there is room.
    #[test]
    fn what_is_taken_while_it_becomes_full_opens_it() {
        let (queue, left) = (LogQueue::default(), Cell::new(LogQueue::BOUND + 1));
        queue.has_grown(|| (left.replace(0), 0));
        assert!(!queue.is_full());
    }

    #[test]
    fn what_is_before_the_disk_counts_too() {
        let queue = LogQueue::default();
        queue.has_grown(|| (1000, 0));
        queue.has_before(LogQueue::BOUND - 1000);
        assert!(!queue.is_full());
        queue.has_before(LogQueue::BOUND - 999);
        assert!(queue.is_full());
    }
}
