//! What a command did to keys, listed while it does it.
//!
//! A handler says what it changed ([`Keys::changed`]), in the order a real server would announce it. What follows from the
//! list is not the business of this room: see [`crate::follow`]. While nobody listens, all of this costs a write command one
//! look at a number that hardly ever changes, and while nobody listens to this key or this event, a second one
//! ([`super::listening`]).

use crate::base::class;
use crate::client::clients::Client;
use crate::door::keys::Keys;
use smallvec::SmallVec;
use std::sync::Arc;
use store::Place;

/// What happened to a key: the name of a keyspace notification and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// One of [`class`]; 0: a change that no notification tells of.
    pub class: u32,
    /// `"lpush"`
    pub name: &'static str,
}

macro_rules! events {
    ($($name:ident = $class:ident;)*) => {
        impl Event {
            $(#[doc = concat!("An event of class [`class::", stringify!($class), "`].")]
            pub const fn $name(name: &'static str) -> Event {
                Event { class: class::$class, name }
            })*
        }
    };
}

events! {
    generic = GENERIC;
    string = STRING;
    list = LIST;
    set = SET;
    hash = HASH;
    sorted_set = SORTED_SET;
    stream = STREAM;
}

impl Event {
    /// A change that no notification tells of.
    pub(crate) const SILENT: Event = Event { class: 0, name: "" };
    /// The key is gone.
    pub const DEL: Event = Event::generic("del");
    /// The key had expired and was removed.
    pub const EXPIRED: Event = Event {
        class: class::EXPIRED,
        name: "expired",
    };
    /// The key came to be.
    pub const NEW: Event = Event {
        class: class::NEW,
        name: "new",
    };
    /// The key was given another value, whatever it held before: no change that it is not told of otherwise.
    pub(crate) const OVERWRITTEN: Event = Event {
        class: class::OVERWRITTEN | class::ASIDE,
        name: "overwritten",
    };
    /// The same when the new value is of another type.
    pub(crate) const TYPE_CHANGED: Event = Event {
        class: class::TYPE_CHANGED | class::ASIDE,
        name: "type_changed",
    };
    /// The key was asked for and is not there: no change.
    pub(crate) const KEY_MISS: Event = Event {
        class: class::KEY_MISS,
        name: "keymiss",
    };

    /// A field of a hash had expired and was removed.
    pub(crate) const HASH_EXPIRED: Event = Event::hash("hexpired");
    /// A member of a set had expired and was removed.
    pub(crate) const SET_EXPIRED: Event = Event::set("sexpired");

    /// The same for a change that real servers do not count as one of the key: it may be announced, but WATCH, client-side
    /// caches and those who wait for the key take no notice. So it is with the groups of a stream.
    pub const fn aside(self) -> Event {
        Event {
            class: self.class | class::ASIDE,
            ..self
        }
    }

    /// The same, but that those who wait for the key take notice.
    pub(crate) const fn waking(self) -> Event {
        Event {
            class: self.class | class::WAKES,
            ..self
        }
    }

    /// The same, but that those take notice who wait for entries that are pending for long enough: which ones are, and since
    /// when, has changed.
    pub(crate) const fn of_pending(self) -> Event {
        Event {
            class: self.class | class::PENDING,
            ..self
        }
    }

    /// Whether it tells of a change of the key.
    pub(crate) const fn is_change(self) -> bool {
        self.class & (class::KEY_MISS | class::NEW | class::ASIDE) == 0
    }

    /// Whether those have to look who wait for pending entries of the key.
    pub(crate) const fn concerns_claims(self) -> bool {
        self.class & class::PENDING != 0
    }

    /// Whether those who wait for the key have to look.
    pub(crate) const fn concerns_waiters(self) -> bool {
        self.is_change() || self.class & class::WAKES != 0
    }
}

/// The bytes of a key in a list of changes.
pub type KeyBytes = SmallVec<[u8; 64]>;

/// One thing that a command did.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event of a key.
    Key {
        /// The key's database.
        db: usize,
        /// The key.
        key: KeyBytes,
        /// Where it belongs.
        place: Place,
        /// What happened to it.
        event: Event,
    },
    /// The fields that an event of a key was about.
    Fields {
        /// The key's database.
        db: usize,
        /// The key.
        key: KeyBytes,
        /// What happened to them.
        event: Event,
        /// Their names, as often as the command named them.
        fields: Vec<KeyBytes>,
    },
    /// A whole database, or with None all of them, lost their keys.
    Flushed(Option<usize>),
    /// Two databases changed places.
    Swapped(usize, usize),
    /// What follows was done by this client, which had waited and was served.
    By(Arc<Client>),
    /// A client that tracks has read a key, as part of what else is listed.
    Read(KeyBytes),
    /// A line for those who watch what is executed.
    Shown(Vec<u8>),
    /// A message for a channel: (is sharded, channel, message).
    Publish(bool, Vec<u8>, Vec<u8>),
}

/// Adds an event to a list of changes.
#[cold]
pub(crate) fn note(
    changes: &mut Vec<Change>,
    db: usize,
    (key, place): (&[u8], Place),
    event: Event,
) {
    changes.push(Change::Key {
        db,
        key: KeyBytes::from_slice(key),
        place,
        event,
    });
}

/// Adds the fields that an event was about to a list of changes, if there are any.
#[cold]
pub(crate) fn note_fields<'f>(
    changes: &mut Vec<Change>,
    db: usize,
    key: &[u8],
    event: Event,
    fields: impl Iterator<Item = &'f [u8]>,
) {
    let fields: Vec<KeyBytes> = fields.map(KeyBytes::from_slice).collect();
    if !fields.is_empty() {
        changes.push(Change::Fields {
            db,
            key: KeyBytes::from_slice(key),
            event,
            fields,
        });
    }
}

impl Keys<'_> {
    /// Says that a key of the selected database has changed. A handler says so for every key it changed, in the order in
    /// which a real server announces it, after the change; for a key that is gone with its last element, only what was
    /// done to the element (`Event::list("lpop")`): that the key is gone with it is added here.
    #[inline]
    pub fn changed(&mut self, key: &[u8], event: Event) {
        self.changed_in(self.db, key, event);
    }

    /// The same for a key of any database.
    #[inline]
    pub(crate) fn changed_in(&mut self, db: usize, key: &[u8], event: Event) {
        self.counters.changes.add(1);
        self.changed_uncounted_in(db, key, event);
    }

    /// The same for a change that counts as `times` of them towards a save point: in real servers, of a collection each
    /// element that was added or removed does.
    #[inline]
    pub(crate) fn changed_times(&mut self, key: &[u8], event: Event, times: usize) {
        self.counters.changes.add(times as u64);
        self.changed_uncounted_in(self.db, key, event);
    }

    /// The same for one that is counted already, as a part of what was said before.
    #[inline]
    pub(crate) fn changed_too(&mut self, key: &[u8], event: Event) {
        self.changed_uncounted_in(self.db, key, event);
    }

    /// Counts this many changes more towards a save point, where nothing further is to be said of them.
    #[inline]
    pub(crate) fn count_changes(&self, times: usize) {
        self.counters.changes.add(times as u64);
    }

    #[inline]
    fn changed_uncounted_in(&mut self, db: usize, key: &[u8], event: Event) {
        if self.recording {
            self.records.touch();
        }
        if self.listening.any() && self.is_heard(key, event) {
            self.note(db, key, event);
        }
    }

    /// Whether anybody may want to know that this happened to a key, or what follows from it: that the key is gone with its last
    /// element.
    #[inline(never)]
    fn is_heard(&self, key: &[u8], event: Event) -> bool {
        self.emptied.is_some()
            || self.listening.to_event(event, key)
            || self.listening.to_key(self.place(key))
    }

    /// Says that several things happened to a key in turn, after all of them; if it is gone in the end, that comes last. Together
    /// they count as `times` changes towards a save point.
    #[inline]
    pub(crate) fn changed_in_turn(
        &mut self,
        key: &[u8],
        events: impl IntoIterator<Item = Event>,
        times: usize,
    ) {
        self.counters.changes.add(times as u64);
        if self.recording {
            return self.write_down_in_turn(key, events);
        }
        if self.listening.any() {
            self.note_in_turn(key, events);
        }
    }

    #[cold]
    fn write_down_in_turn(&mut self, key: &[u8], events: impl IntoIterator<Item = Event>) {
        // What has expired is written down where it was found to be.
        let events: SmallVec<[Event; 4]> = events.into_iter().collect();
        if events
            .iter()
            .any(|event| ![Event::HASH_EXPIRED, Event::SET_EXPIRED].contains(event))
        {
            self.records.touch();
        }
        if self.listening.any() {
            self.note_in_turn(key, events);
        }
    }

    /// Says which fields of a key an event was about that has been said, if anybody wants to know.
    #[inline]
    pub(crate) fn of_fields<'f>(
        &mut self,
        key: &[u8],
        event: Event,
        fields: impl IntoIterator<Item = &'f [u8]>,
    ) {
        if self.listening.to_fields() {
            self.note_fields(key, event, &mut fields.into_iter());
        }
    }

    #[cold]
    fn note_fields(&mut self, key: &[u8], event: Event, fields: &mut dyn Iterator<Item = &[u8]>) {
        note_fields(self.changes, self.db, key, event, fields);
    }

    /// Writes a command down in place of the running one, which is of the selected database.
    #[inline]
    pub fn record(&mut self, argv: &[&[u8]]) {
        if self.recording {
            self.records.say();
            self.records.push(self.db, argv);
        }
    }

    /// Whether changes are written down, and how has to be said if the running command, executed again, would not do the
    /// same.
    #[inline]
    pub(crate) fn recording(&self) -> bool {
        self.recording
    }

    #[cold]
    fn note_in_turn(&mut self, key: &[u8], events: impl IntoIterator<Item = Event>) {
        let emptied = self.emptied.take_if(|emptied| **emptied == *key).is_some();
        for event in events {
            if emptied || self.is_heard(key, event) {
                self.note(self.db, key, event);
            }
        }
        if emptied {
            self.note(self.db, key, Event::DEL);
        }
    }

    /// Says of a collection that was removed with its last element that it is gone, if nobody has: of a command that panicked.
    pub(crate) fn say_what_was_emptied(&mut self) {
        if let Some(key) = self.emptied.take() {
            let place = self.place(&key);
            note(self.changes, self.db, (&key, place), Event::DEL);
        }
    }

    /// Adds to the list of changes whatever it is that happened, if anybody listens. Messages are always sent. As how many changes
    /// it counts is the caller's to say ([`Keys::count_changes`]).
    pub fn happened(&mut self, change: Change) {
        if self.recording && matches!(change, Change::Flushed(_) | Change::Swapped(..)) {
            self.records.touch();
        }
        if matches!(change, Change::Publish(..)) || self.listening.any() {
            self.changes.push(change);
        }
    }

    #[cold]
    fn note(&mut self, db: usize, key: &[u8], event: Event) {
        let place = self.place(key);
        note(self.changes, db, (key, place), event);
        if self.emptied.as_deref() == Some(key) {
            self.emptied = None;
            if event != Event::DEL {
                note(self.changes, db, (key, place), Event::DEL);
            }
        }
    }

    /// Notes that a collection was removed because nothing was left in it.
    #[inline]
    pub(crate) fn note_emptied(&mut self, key: &[u8]) {
        if self.listening.any() {
            self.emptied = Some(key.into());
        }
    }
}
