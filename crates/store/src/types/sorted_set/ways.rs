//! What a thread has found out about the members whose scores its next commands set: see [`super::tree::Way`].
//!
//! The look ahead is far from the command it is for: they have a member in common, and the thread. So what was found is noted by the
//! member's hash in a small table of the thread's own, where later notes take the place of older ones. Whatever is read
//! from it is a guess that the tree verifies.

use super::tree::Way;
use std::cell::Cell;

/// Notes that a thread keeps: several times as many as it looks ahead, so that few share a place.
const NOTES: usize = 512;

/// Where a member is in the order, and where it will be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ways {
    /// To its present place.
    pub old: Way,
    /// To its new one.
    pub new: Way,
}

#[derive(Clone, Copy)]
struct Note {
    hash: u64,
    ways: Ways,
}

const NOTHING: Note = Note {
    hash: 0,
    ways: Ways {
        old: Way::NONE,
        new: Way::NONE,
    },
};

thread_local! {
    static ALL: [Cell<Note>; NOTES] = const { [const { Cell::new(NOTHING) }; NOTES] };
}

/// Notes the ways of the member with this hash.
#[inline]
pub fn note(hash: u64, ways: Ways) {
    ALL.with(|all| all[hash as usize % NOTES].set(Note { hash, ways }));
}

/// What was noted last for a member with this hash, as far as it is still there.
#[inline]
pub fn noted(hash: u64) -> Ways {
    let note = ALL.with(|all| all[hash as usize % NOTES].get());
    if note.hash == hash {
        note.ways
    } else {
        Ways::default()
    }
}
