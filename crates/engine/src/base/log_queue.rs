//! What waits to be written to the log: so many bytes, and no more. Where the disk is slower than those who change keys, changes wait
//! until it has taken enough; nothing else does.
//!
//! While nothing of the kind happens, this is one look at a flag for each command.

use super::wait_list::WaitList;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// See the module's page.
#[derive(Debug, Default)]
pub struct LogQueue {
    full: AtomicBool,
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

    /// What waits has grown: `bytes` says how much that is by now. Asked again behind the decision that changes wait: the last who
    /// takes something may have done so before that, and looks no more.
    pub fn has_grown(&self, bytes: impl Fn() -> usize) {
        let mut now = bytes();
        if now > LogQueue::BOUND && !self.full.swap(true, Relaxed) {
            now = bytes();
        }
        self.has_got_to(now);
    }

    /// What waits has become less, and is so much now.
    pub fn has_got_to(&self, bytes: usize) {
        self.bytes.store(bytes, Relaxed);
        if bytes <= LogQueue::AGAIN && self.is_full() {
            self.full.store(false, Relaxed);
            self.line.call();
        }
    }

    /// Bytes that wait.
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
        let queue = LogQueue::default();
        queue.has_grown(|| LogQueue::BOUND);
        assert!(!queue.is_full());
        queue.has_grown(|| LogQueue::BOUND + 1);
        assert!(queue.is_full());
        queue.has_got_to(LogQueue::AGAIN + 1);
        assert!(queue.is_full());
        assert_eq!(queue.bytes(), LogQueue::AGAIN + 1);
        queue.has_got_to(LogQueue::AGAIN);
        assert!(!queue.is_full());
    }

    /// Nobody is left to say that there is room.
    #[test]
    fn what_is_taken_while_it_becomes_full_opens_it() {
        let (queue, left) = (LogQueue::default(), Cell::new(LogQueue::BOUND + 1));
        queue.has_grown(|| left.replace(0));
        assert!(!queue.is_full());
    }
}
