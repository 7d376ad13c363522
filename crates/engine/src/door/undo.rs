//! Taking back what a script or transaction did that has to start over: the values it wrote to as they were, and what was
//! counted of it.

use crate::base::error::Error;
use crate::base::journal::RecordMark;
use crate::door::change::{Change, Event, KeyBytes};
use crate::door::keys::Keys;
use crate::door::stored::Stored;
use smallvec::SmallVec;
use std::collections::HashMap;
use store::Place;

/// Values up to this size are kept, in bytes: to copy larger ones would cost more than it is worth.
const MOST_BYTES: usize = 4096;

/// Most keys whose values are kept.
const MOST_KEYS: usize = 1024;

/// With so many keys or fewer they are compared one by one.
const FEW: usize = 16;

/// See the module's page.
pub(crate) struct Undo {
    saved: Vec<Saved>,
    /// Where a key is among them, once there are more than a few.
    index: HashMap<(usize, KeyBytes), usize>,
    /// What was written down before.
    mark: RecordMark,
    /// Keys found and not found by then.
    looks: (u64, u64),
    counted: SmallVec<[Counted; 4]>,
    errors: Vec<(String, u64)>,
}

/// A key's value as it was before it changed.
struct Saved {
    db: usize,
    key: KeyBytes,
    place: Place,
    value: Option<Stored>,
    /// How many changes had been listed by then.
    listed: usize,
}

/// What was counted of a command.
struct Counted {
    id: usize,
    calls: u64,
    failed: u64,
    rejected: u64,
}

impl Undo {
    fn saved(&self, db: usize, key: &[u8]) -> Option<&Saved> {
        if self.saved.len() <= FEW {
            return self.saved.iter().find(|s| s.db == db && *s.key == *key);
        }
        let at = self.index.get(&(db, KeyBytes::from_slice(key)))?;
        Some(&self.saved[*at])
    }

    fn of(&mut self, id: usize) -> &mut Counted {
        let at = self.counted.iter().position(|counted| counted.id == id);
        let at = at.unwrap_or_else(|| {
            self.counted.push(Counted {
                id,
                calls: 0,
                failed: 0,
                rejected: 0,
            });
            self.counted.len() - 1
        });
        &mut self.counted[at]
    }

    /// Notes that a call of the command with this id has been counted, and its error if it had one.
    pub fn counted(&mut self, id: usize, error: Option<&Error>) {
        let counted = self.of(id);
        counted.calls += 1;
        counted.failed += u64::from(error.is_some());
        error
            .into_iter()
            .for_each(|error| self.counted_error(error));
    }

    /// Notes that a call has been counted as refused, of a command that is known.
    pub fn counted_rejected(&mut self, id: Option<usize>, error: &Error) {
        if let Some(id) = id {
            self.of(id).rejected += 1;
        }
        self.counted_error(error);
    }

    fn counted_error(&mut self, error: &Error) {
        let code = error.code();
        match self.errors.iter_mut().find(|(known, _)| known == code) {
            Some((_, n)) => *n += 1,
            None => self.errors.push((code.to_owned(), 1)),
        }
    }
}

impl Keys<'_> {
    /// Begins to keep what is needed to take everything back from here on.
    pub(crate) fn undo_from_here(&self) -> Undo {
        Undo {
            saved: Vec::new(),
            index: HashMap::new(),
            mark: self.records.mark(),
            looks: (self.counters.hits.get(), self.counters.misses.get()),
            counted: SmallVec::new(),
            errors: Vec::new(),
        }
    }

    /// Whether elements of a key have expired and are still there; its shard is held.
    pub(crate) fn has_due_elements(&self, key: &[u8], place: Place) -> bool {
        let shard = self.held.shard(place.shard());
        let entry = shard.and_then(|s| s.db_ref(self.db).get(place.hash(), key));
        let object = entry.and_then(|e| e.own_object());
        let due_ms = object.and_then(|object| object.next_due_ms());
        due_ms.is_some_and(|due_ms| due_ms <= self.now_ms)
    }

    /// Keeps a key's value before it changes; its shard is held. False if that would cost too much.
    pub(crate) fn save(&self, undo: &mut Undo, db: usize, (key, place): (&[u8], Place)) -> bool {
        if undo.saved(db, key).is_some() {
            return true;
        }
        let shard = self.held.shard(place.shard());
        let entry = shard.and_then(|s| s.db_ref(db).get(place.hash(), key));
        if entry.is_some_and(|e| e.memory() > MOST_BYTES) || undo.saved.len() >= MOST_KEYS {
            return false;
        }
        undo.saved.push(Saved {
            db,
            key: KeyBytes::from_slice(key),
            place,
            value: entry.map(Stored::copy_of),
            listed: self.changes.len(),
        });
        let known = undo.index.len();
        if undo.saved.len() > FEW {
            for (at, saved) in undo.saved.iter().enumerate().skip(known) {
                undo.index.insert((saved.db, saved.key.clone()), at);
            }
        }
        true
    }

    /// Takes everything back. What is left in the list of changes is true in any case: keys were found expired, which nobody
    /// will find out another time.
    pub(crate) fn take_back(&mut self, undo: Undo) {
        let Keys { held, changes, .. } = self;
        let mut n = 0;
        changes.retain(|change| {
            n += 1;
            match change {
                Change::Key {
                    db,
                    key,
                    place,
                    event,
                } if *event == Event::EXPIRED => {
                    let shard = held.shard(place.shard());
                    match undo.saved(*db, key) {
                        // What it was given since, and had passed, is not its time any more.
                        Some(saved) => n <= saved.listed,
                        None => {
                            shard.is_some_and(|s| s.db_ref(*db).get(place.hash(), key).is_none())
                        }
                    }
                }
                _ => false,
            }
        });
        let listed = self.changes.len();
        for saved in undo.saved {
            self.known.set_one(&saved.key, saved.place);
            self.remove_in(saved.db, &saved.key);
            if let Some(value) = saved.value {
                self.put_stored(saved.db, &saved.key, value);
            }
        }
        self.known.forget();
        self.changes.truncate(listed);
        self.emptied = None;
        self.records.undo_to(undo.mark);
        let counters = self.counters;
        for (counter, before) in [
            (&counters.hits, undo.looks.0),
            (&counters.misses, undo.looks.1),
        ] {
            counter.take_back(counter.get().wrapping_sub(before));
        }
        for counted in &undo.counted {
            let of = &counters.commands[counted.id];
            of.calls.take_back(counted.calls);
            of.failed.take_back(counted.failed);
            of.rejected.take_back(counted.rejected);
        }
        for (code, n) in &undo.errors {
            counters.take_back_errors(code, *n);
        }
    }
}
