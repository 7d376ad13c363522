//! Who listens to changes of keys, as far as those have to know who make them: whether what a command does has to be listed.
//!
//! While nobody listens that is one look at a number. Who listens to a few keys (WATCH, a client that waits) marks them in a word of
//! their shard, and who listens to notifications marks the events and the keys that their channels tell of; so changes of all other
//! keys go on at the cost of a second look. Marks may say of a key or of an event that somebody listens where nobody does, never the other
//! way round.

use crate::base::class;
use crate::door::change::Event;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use store::Place;

/// See the module's page. In a cache line of its own, since every write looks at it.
#[repr(align(128))]
#[derive(Debug)]
pub struct Listening {
    /// All reasons to list changes.
    reasons: AtomicUsize,
    /// Those of them that are reasons to list every change.
    all: AtomicUsize,
    /// The names of fields have to be listed that something happens to.
    fields: AtomicBool,
    /// The classes of events that notifications may tell of.
    classes: AtomicU32,
    /// The events, by [`mark_of`] their names, that notifications may tell of.
    events: AtomicU64,
    /// The keys, by `mark_of` their names, of which notifications may tell everything.
    keys: AtomicU64,
    shards: Box<[Marks]>,
}

/// Which keys of a shard somebody listens to. In a cache line of its own, as what changes with clients that come to wait.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Marks {
    /// How often one was listed.
    listed: AtomicUsize,
    /// By their hashes.
    keys: AtomicU64,
}

/// The mark of a key by its hash: by bits that choose neither its shard nor its bucket.
#[inline]
fn mark_at(place: Place) -> u64 {
    1 << (place.hash() >> 28 & 63)
}

/// The mark of the name of an event or a key.
#[inline]
pub(crate) fn mark_of(name: &[u8]) -> u64 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return 1;
    };
    let mixed = name.len() as u32 * 7 + u32::from(*first) * 31 + u32::from(*last) * 5;
    1 << (mixed & 63)
}

/// What notifications may tell of: events of these classes whose names, or whose keys' names, have these marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub classes: u32,
    pub events: u64,
    pub keys: u64,
}

impl Listening {
    /// Nobody listens, of a keyspace with this many shards.
    pub fn new(shards: usize) -> Listening {
        Listening {
            reasons: AtomicUsize::new(0),
            all: AtomicUsize::new(0),
            fields: AtomicBool::new(false),
            classes: AtomicU32::new(0),
            events: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            shards: (0..shards).map(|_| Marks::default()).collect(),
        }
    }

    /// Whether some changes have to be listed. To be read with the locks of the changed keys held: whoever wants to know of
    /// their changes has been counted before it held them.
    #[inline]
    pub fn any(&self) -> bool {
        self.reasons.load(Relaxed) != 0
    }

    /// Whether changes of this key have to be listed, whatever they are.
    #[inline]
    pub(crate) fn to_key(&self, place: Place) -> bool {
        self.all.load(Relaxed) != 0 || self.is_marked(place)
    }

    /// Whether notifications may have to tell of this.
    #[inline]
    pub(crate) fn to_event(&self, event: Event, key: &[u8]) -> bool {
        event.class & class::KNOWN & self.classes.load(Relaxed) != 0
            && (self.events.load(Relaxed) & mark_of(event.name.as_bytes()) != 0
                || self.keys.load(Relaxed) & mark_of(key) != 0)
    }

    /// Whether events of these classes may have to be listed, whatever keys they are of.
    #[inline]
    pub(crate) fn to_classes(&self, classes: u32) -> bool {
        self.any() && (self.classes.load(Relaxed) & classes != 0 || self.all.load(Relaxed) != 0)
    }

    /// The marks of events and of keys that notifications may tell of.
    #[inline]
    pub(crate) fn told(&self) -> (u64, u64) {
        (self.events.load(Relaxed), self.keys.load(Relaxed))
    }

    /// Whether somebody watches this key or waits for it, perhaps.
    #[inline]
    pub(crate) fn is_marked(&self, place: Place) -> bool {
        self.shards[place.shard()].keys.load(Relaxed) & mark_at(place) != 0
    }

    /// Whether somebody watches a key of this shard or waits for one.
    #[inline]
    pub(crate) fn is_listed(&self, shard: usize) -> bool {
        self.shards[shard].listed.load(Relaxed) != 0
    }

    /// Whether the names of fields have to be listed that something happens to.
    #[inline]
    pub fn to_fields(&self) -> bool {
        self.fields.load(Relaxed)
    }

    /// Lists the names of fields from now on, or no more. It takes a reason to list changes too.
    pub(crate) fn heed_fields(&self, on: bool) {
        self.fields.store(on, Relaxed);
    }

    /// Counts a reason to list every change.
    pub(crate) fn begin(&self) {
        self.all.fetch_add(1, Relaxed);
        self.reasons.fetch_add(1, Relaxed);
    }

    /// Takes one off.
    pub(crate) fn end(&self) {
        self.reasons.fetch_sub(1, Relaxed);
        self.all.fetch_sub(1, Relaxed);
    }

    /// Counts a reason to list changes of one key, whose shard's lock is held, and so is the lock under which its shard's marks
    /// are changed.
    pub(crate) fn begin_at(&self, place: Place) {
        let marks = &self.shards[place.shard()];
        marks.listed.fetch_add(1, Relaxed);
        marks.keys.fetch_or(mark_at(place), Relaxed);
        self.reasons.fetch_add(1, Relaxed);
    }

    /// Takes one off, of any key of a shard. The lock is held under which the shard's marks are changed.
    pub(crate) fn end_at(&self, shard: usize) {
        let marks = &self.shards[shard];
        if marks.listed.fetch_sub(1, Relaxed) == 1 {
            marks.keys.store(0, Relaxed);
        }
        self.reasons.fetch_sub(1, Relaxed);
    }

    /// From now on notifications tell of this; `was` is what they told of until now.
    pub(crate) fn tell(&self, told: Told, was: Told) {
        self.classes.store(told.classes, Relaxed);
        self.events.store(told.events, Relaxed);
        self.keys.store(told.keys, Relaxed);
        match (was.classes != 0, told.classes != 0) {
            (false, true) => {
                self.reasons.fetch_add(1, Relaxed);
            }
            (true, false) => {
                self.reasons.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
    }
}
