//! Room for what is about to take much memory.
//!
//! The gate asks for room for a command's arguments. What a command takes beyond them is known only once its keys are seen: a string that
//! a far offset makes long, a copy, the union of large sets. Whoever is about to take that asks here first, and is refused before it is
//! taken.

use crate::base::error::{Error, Result};
use crate::base::stats::Counters;
use crate::door::keys::Keys;
use store::EntryRef;

/// Less than this is not asked for.
const LARGE: usize = 64 << 10;

/// Whoever knows how much memory there is.
pub(crate) trait Room: Sync {
    /// Whether so many bytes may be taken, and `passing` for a moment beside them; keys may be evicted for that. Locks may be held.
    fn make(&self, counters: &Counters, now_ms: u64, bytes: usize, passing: usize) -> bool;
}

impl Keys<'_> {
    /// Asks for room for bytes that are about to be taken, and `passing` bytes that are given back as soon as the command is done. An error
    /// if there is none: then nothing must be changed.
    #[inline]
    pub(crate) fn make_room(&self, bytes: usize, passing: usize) -> Result<()> {
        match self.room {
            Some(room) if bytes.saturating_add(passing) >= LARGE => {
                match room.make(self.counters, self.now_ms, bytes, passing) {
                    true => Ok(()),
                    false => Err(Error::OUT_OF_MEMORY),
                }
            }
            _ => Ok(()),
        }
    }

    /// Asks for room for a result that is made of these keys before it takes a key's place, by what they take: of all of them together,
    /// of the smallest, or of the first alone.
    pub(crate) fn make_room_for_result(&self, keys: &[&[u8]], of: Sources) -> Result<()> {
        if self.room.is_none() {
            return Ok(());
        }
        let mut sizes = keys
            .iter()
            .map(|key| self.peek(key).as_ref().map_or(0, EntryRef::memory));
        let bytes: usize = match of {
            Sources::All => sizes.sum(),
            Sources::Smallest => sizes.min().unwrap_or(0),
            Sources::First => sizes.next().unwrap_or(0),
        };
        // Elements that several have in common count once in the result, and what it replaces goes.
        self.make_room(0, bytes)
    }
}

/// What the size of a result is reckoned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    All,
    Smallest,
    First,
}
