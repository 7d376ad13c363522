//! How much work is too much for a worker, which has other connections to serve: such a command is carried out on a helper
//! thread ([`Ctx::moves_elsewhere`]). As part of a transaction or script it takes the whole along, if that can be undone; if not, the
//! worker's other connections leave.

use crate::base::error::{Error, Result};
use crate::context::ctx::Ctx;
use crate::context::next::Next;

pub use crate::context::ctx::LONG_WORK;

/// Most picks of a call that may pick the same element again: what they say would fill gigabytes.
const MAX_PICKS: u64 = 1 << 24;

/// An error if a call asks for more picks than can be answered. A negative count says that elements may repeat.
pub fn check_picks(count: i64) -> Result {
    if count < 0 && count.unsigned_abs() > MAX_PICKS {
        return Err(Error::new("ERR value is out of range"));
    }
    Ok(())
}

impl Ctx<'_> {
    /// Whether a command of so much work has to go elsewhere, should it turn out to have that much.
    pub fn must_move(&self, work: usize) -> bool {
        work >= LONG_WORK && self.can_move()
    }

    /// Moves it, before it has changed or counted anything.
    pub fn move_elsewhere(&mut self) -> Result {
        self.next = Next::Elsewhere;
        Ok(())
    }

    /// Moves it after it has read one key that is there, which does not count then.
    pub fn move_after_read(&mut self) -> Result {
        self.move_after_reads(1)
    }

    /// Moves it after it has read `n` keys that are there, which do not count then.
    pub fn move_after_reads(&mut self, n: usize) -> Result {
        self.keys.counters.hits.take_back(n as u64);
        self.move_elsewhere()
    }
}

#[cfg(test)]
mod tests;
