//! When memory that was freed is to be given back to the system.
//!
//! An allocator keeps what a thread has freed for what it will ask for next, and looks at what others have freed of its pages only
//! when it is asked for more. A server that stands still after FLUSHALL would so keep it all. So once a second somebody looks
//! at how much is in use, and when much less is than there was, all threads are told to collect.

/// So much less in use than there was, in bytes, is worth it.
const LEAST: usize = 8 << 20;

/// And such a part of it: to collect takes time in proportion to what is there.
const PART: usize = 8;

/// Looks at which it is done once that much is free: what was taken out of the keyspace is freed little by little.
const ROUNDS: u32 = 3;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct GiveBack {
    /// The most that was in use since the last time.
    high: usize,
    /// Looks at which it is still to be done.
    rounds: u32,
}

impl GiveBack {
    /// Whether it is to be done now, when this much is in use.
    pub fn is_due(&mut self, used: usize) -> bool {
        self.high = self.high.max(used);
        let less = self.high - used;
        if less >= LEAST && less >= self.high / PART {
            self.high = used;
            self.rounds = ROUNDS;
        }
        let due = self.rounds > 0;
        self.rounds = self.rounds.saturating_sub(1);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_much_was_freed_and_a_little_later() {
        let mut give_back = GiveBack::default();
        let mut due = |mb: usize| give_back.is_due(mb << 20);
        // It grows, and what goes is little, or little of it all.
        for mb in [1, 7, 1, 1000, 900] {
            assert!(!due(mb), "{mb}");
        }
        for mb in [800, 790, 790] {
            assert!(due(mb), "{mb}");
        }
        assert!(!due(790));
        assert!(due(10));
    }
}
