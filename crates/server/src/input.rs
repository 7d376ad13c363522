//! The bytes a connection has received and not executed.
//!
//! Most reads bring whole commands: they are executed where the worker's shared buffer holds them, and nothing is kept. What
//! is kept are the first bytes of an incomplete command, and commands that have to wait while one before them sleeps or
//! while the client is slow to take its replies.

use std::mem;

/// The most room made for one read. Growth beyond it follows what has been received, never what was announced.
const STEP: usize = 64 * 1024;

/// A byte queue that gives its memory back when it runs empty.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Bytes at the front that are done with.
    start: usize,
}

impl Input {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Room for more bytes before the queue has to grow.
    pub fn free(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Replaces the contents.
    pub fn replace(&mut self, bytes: &[u8]) {
        self.start = 0;
        if bytes.is_empty() {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes the contents out, to be given back with [`Input::restore`].
    pub fn take(&mut self) -> (Vec<u8>, usize) {
        (mem::take(&mut self.bytes), mem::take(&mut self.start))
    }

    /// Gives back what [`Input::take`] took, of which `start` bytes are done with by now.
    pub fn restore(&mut self, bytes: Vec<u8>, start: usize) {
        if start == bytes.len() {
            *self = Input::default();
            return;
        }
        (self.bytes, self.start) = (bytes, start);
        // Moving what is left costs no more than was consumed since the last move.
        if self.start > self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Makes room for the next read and returns the vector to append to. `missing` is how many bytes the command being
    /// received still needs, if that is known.
    ///
    /// The room at most doubles what is there, so that a client can make the server reserve no more than about as much
    /// as it has sent.
    pub fn room(&mut self, missing: usize) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.free() == 0 {
            let most = self.bytes.len().max(STEP);
            let wanted = if missing > 0 {
                missing.clamp(4096.min(most), most)
            } else {
                STEP.min(most)
            };
            self.bytes.reserve_exact(wanted);
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut input = Input::default();
        input.replace(b"abc");
        assert_eq!(input.as_slice(), b"abc");
        let (bytes, start) = input.take();
        assert_eq!((bytes.as_slice(), start, input.len()), (&b"abc"[..], 0, 0));
        input.restore(bytes, 3);
        assert_eq!(input.len(), 0);
        assert_eq!(input.bytes.capacity(), 0);
        input.replace(b"abc");
        input.replace(b"");
        assert_eq!(input.bytes.capacity(), 0);
    }

    #[test]
    fn what_is_consumed_is_moved_away_only_once_it_is_the_larger_part() {
        let mut input = Input::default();
        input.restore((0..100).collect(), 40);
        assert_eq!((input.start, input.len()), (40, 60));
        let (bytes, start) = input.take();
        input.restore(bytes, start + 20);
        assert_eq!((input.start, input.as_slice()[0]), (0, 60));
    }

    #[test]
    fn room_grows_with_what_was_received_not_with_what_was_announced() {
        let mut input = Input::default();
        input.replace(b"*1\r\n$536870912\r\n");
        assert!(input.room(536_870_912).capacity() <= 2 * STEP);
        let mut received = 0;
        while received < 10 << 20 {
            let room = input.room((512 << 20) - received);
            assert!(room.capacity() <= 2 * room.len().max(STEP) + 4096);
            received += room.capacity() - room.len();
            let full = room.capacity();
            room.resize(full, 0);
        }
        // The end of a long string is not doubled for.
        let len = input.len();
        assert!(input.room(10).capacity() <= len + 4096);
    }
}
