//! What a handler works with: the keys that dispatch has locked for it, the reply it writes, and its session.
//!
//! [`Keys`] is the only way from a command to the keyspace. It knows the time (read once a batch), removes what has
//! expired before anybody sees it, counts hits and misses, and keeps what was freed until the locks are gone. It is a
//! field of its own so that a handler can hold on to an entry while it writes the reply.

use crate::base::class;
use crate::base::clock::{tick_ms, unix_ms};
use crate::base::error::{Error, Result};
use crate::base::journal::Records;
use crate::base::memory::Aging;
use crate::base::own_expiries::OwnExpiries;
use crate::base::stats::Counters;
use crate::door::change::{Change, Event, note};
use crate::door::held::Held;
use crate::door::known::{KnownKey, KnownKeys};
use crate::door::listening::Listening;
use crate::door::room::Room;
use crate::door::stored::{Stored, StoredValue};
use smallvec::SmallVec;
use store::keyspace::{ShardGuard, Token};
use store::{
    Blob, Collection, EntryMut, EntryRef, Found, Freed, Keyspace, NewValue, Place, Removed, Type,
};

/// Whether an expiry has come; see [`Keys::coarse`].
#[inline]
pub(crate) fn is_past(expiry_ms: u64, now_ms: u64, coarse: bool) -> bool {
    // The kernel's last tick costs a fraction of reading the clock, and says enough of an expiry that is not near.
    const NEAR_MS: u64 = 1000;
    expiry_ms <= now_ms || (coarse && expiry_ms <= tick_ms() + NEAR_MS && expiry_ms <= unix_ms())
}

/// Freed values, kept until the locks are gone.
pub(crate) type Garbage = SmallVec<[Freed; 2]>;

/// See the module's page. Methods without `_in` work on the selected database.
pub struct Keys<'e> {
    pub(crate) ks: &'e Keyspace,
    pub(crate) held: Held<'e>,
    /// The selected database.
    pub db: usize,
    /// Unix milliseconds at the start of the batch.
    pub now_ms: u64,
    /// What has expired stays where it is, unseen (CLIENT PAUSE). Only of a command that changes nothing.
    pub(crate) frozen: bool,
    /// `now_ms` may lag behind: entries that expire after it are compared with the exact time.
    pub(crate) coarse: bool,
    /// The 28-bit access clock of what is new now: see [`Aging::clock`].
    pub(crate) clock: u32,
    /// How keys age.
    pub(crate) aging: &'e Aging,
    /// The places of its keys, from when they were locked.
    pub(crate) known: KnownKeys<'e>,
    pub(crate) counters: &'e Counters,
    pub(crate) no_touch: bool,
    pub(crate) garbage: Garbage,
    /// Large arguments, copied before the locks were taken: (address, copy).
    pub(crate) prepared: &'e [(usize, Blob)],
    /// Who listens to changes.
    pub(crate) listening: &'e Listening,
    /// What has changed since the locks were taken, if anybody listens.
    pub(crate) changes: &'e mut Vec<Change>,
    /// The collection that was last removed because nothing was left in it, until somebody says what it was.
    pub(crate) emptied: Option<Box<[u8]>>,
    /// Changes are written down.
    pub(crate) recording: bool,
    /// What is written down of them.
    pub(crate) records: &'e mut Records,
    /// Where keys are noted that are given an expiry, of a client of a writable replica.
    pub(crate) own_expiries: Option<&'e OwnExpiries>,
    /// The right to wait for further locks, of a command that may need them.
    pub(crate) token: Option<Token<'e>>,
    /// Who has memory for what is large; None where there is always some.
    pub(crate) room: Option<&'e dyn Room>,
    /// The keys that the command names.
    #[cfg(debug_assertions)]
    pub(crate) named: Named,
}

/// The keys that a command names, which are those that the gate has checked. While they are known, every other is refused: a handler
/// must not work on what its row does not say. Only in builds with debug assertions.
#[cfg(debug_assertions)]
#[derive(Debug, Default)]
pub(crate) struct Named(pub Option<std::collections::HashSet<Box<[u8]>>>);

#[cfg(debug_assertions)]
impl Named {
    fn check(&self, key: &[u8]) {
        if let Some(named) = &self.0 {
            assert!(
                named.contains(key),
                "a command works on a key that it does not name: {}",
                key.escape_ascii()
            );
        }
    }
}

/// What a key was before it got another value.
#[derive(Clone, Copy, Debug)]
pub struct Was {
    /// The type of its value.
    pub kind: Type,
    /// It is never to be evicted.
    pub kept: bool,
}

/// What is said and written down where no command is at work, which has lists of its own.
#[derive(Default)]
pub(crate) struct Said {
    pub changes: Vec<Change>,
    pub records: Records,
    known: Vec<KnownKey>,
}

impl Said {
    /// What has been gathered so far.
    pub fn of(changes: Vec<Change>, records: Records) -> Said {
        Said {
            changes,
            records,
            known: Vec::new(),
        }
    }
}

impl<'e> Keys<'e> {
    /// Keys whose shards are held where no command is at work: the sweep, eviction, and whatever else the server does by itself. In
    /// database 0, and changes are written down, unless that is set otherwise.
    pub(crate) fn of_nobody(
        (ks, held): (&'e Keyspace, Held<'e>),
        (aging, listening): (&'e Aging, &'e Listening),
        counters: &'e Counters,
        now_ms: u64,
        said: &'e mut Said,
    ) -> Keys<'e> {
        Keys {
            ks,
            held,
            db: 0,
            now_ms,
            frozen: false,
            coarse: false,
            clock: aging.clock(now_ms),
            aging,
            known: KnownKeys::new(KnownKey::default(), &mut said.known),
            counters,
            no_touch: false,
            garbage: Garbage::new(),
            prepared: &[],
            listening,
            changes: &mut said.changes,
            emptied: None,
            recording: true,
            records: &mut said.records,
            own_expiries: None,
            token: None,
            room: None,
            #[cfg(debug_assertions)]
            named: Default::default(),
        }
    }

    /// Where a key belongs: known of those that the command names, if the argument itself is given.
    #[inline]
    pub(crate) fn place(&self, key: &[u8]) -> Place {
        #[cfg(debug_assertions)]
        self.named.check(key);
        self.known.place(key).unwrap_or_else(|| self.ks.place(key))
    }

    /// Whether a time in Unix milliseconds has come.
    #[inline]
    pub(crate) fn has_come(&self, at_ms: u64) -> bool {
        is_past(at_ms, self.now_ms, self.coarse)
    }

    /// Looks a key up and counts a hit or a miss.
    #[inline]
    fn look_and_count(&mut self, key: &[u8], touch: bool, announce: bool) -> Option<EntryRef<'_>> {
        let counters = self.counters;
        let touch = touch && !self.aging.by_change();
        let found = self.look_up(self.db, key, touch, announce);
        if found.is_some() {
            counters.hits.add(1);
        } else {
            counters.misses.add(1);
        }
        found.map(Found::into_ref)
    }

    /// Looks a key up to show something of it: counts a hit or a miss and sets the access clock.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.look_and_count(key, true, true)
    }

    /// The same for commands that do not count as an access (TYPE, TTL, OBJECT).
    #[inline]
    pub fn read_untouched(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.look_and_count(key, false, true)
    }

    /// The same where real servers do not announce that a key is not there (OBJECT).
    pub(crate) fn read_unannounced(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.look_and_count(key, false, false)
    }

    /// What reading several keys does beside showing them, for a command that only peeks at them: those that have expired
    /// are removed, and that one is not there is announced, up to the first that is of another type. While nobody listens,
    /// nothing.
    pub(crate) fn look_for(&mut self, keys: &[&[u8]], kind: Type) {
        if self.listening.any() || self.recording {
            for key in keys {
                let found = self.look_up(self.db, key, false, true);
                if found.is_some_and(|found| found.get().kind() != kind) {
                    return;
                }
            }
        }
    }

    /// The same for a look that is not a read of the key's own (SET's conditions): counts nothing.
    #[inline]
    pub(crate) fn read_silently(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let touch = !self.aging.by_change();
        self.lookup(self.db, key, touch).map(Found::into_ref)
    }

    /// A string to show: an error if the key holds something else.
    #[inline]
    pub(crate) fn read_string(&mut self, key: &[u8]) -> Result<Option<EntryRef<'_>>> {
        match self.read(key) {
            Some(e) if e.kind() != Type::String => Err(Error::WRONG_TYPE),
            e => Ok(e),
        }
    }

    /// Looks a key up to change it.
    #[inline]
    pub fn write(&mut self, key: &[u8]) -> Option<EntryMut<'_>> {
        self.lookup(self.db, key, true).map(Found::change)
    }

    /// Looks a key of any database up to change it.
    pub(crate) fn write_in(&mut self, db: usize, key: &[u8]) -> Option<EntryMut<'_>> {
        self.lookup(db, key, true).map(Found::change)
    }

    /// A string to change: an error if the key holds something else.
    #[inline]
    pub(crate) fn write_string(&mut self, key: &[u8]) -> Result<Option<EntryMut<'_>>> {
        match self.write(key) {
            Some(f) if f.get().kind() != Type::String => Err(Error::WRONG_TYPE),
            f => Ok(f),
        }
    }

    #[inline]
    fn lookup(&mut self, db: usize, key: &[u8], touch: bool) -> Option<Found<'_>> {
        self.look_up(db, key, touch, false)
    }

    /// `shown`: that the key is not there is an event.
    #[inline]
    fn look_up(&mut self, db: usize, key: &[u8], touch: bool, shown: bool) -> Option<Found<'_>> {
        let place = self.place(key);
        let dict = self.held.dict(place.shard(), db);
        let Some(found) = dict.find(place.hash(), key) else {
            if shown && self.listening.to_classes(class::KEY_MISS) {
                note(self.changes, db, (key, place), Event::KEY_MISS);
            }
            return None;
        };
        if found
            .expiry_ms()
            .is_some_and(|ms| is_past(ms, self.now_ms, self.coarse))
        {
            if !self.frozen {
                self.garbage.extend(found.change().remove().freed);
                self.counters.expired.add(1);
                if self.recording {
                    self.records.push_expired(db, &[b"DEL", key]);
                }
            }
            if self.listening.any() {
                if !self.frozen {
                    note(self.changes, db, (key, place), Event::EXPIRED);
                }
                if shown && self.listening.to_classes(class::KEY_MISS) {
                    note(self.changes, db, (key, place), Event::KEY_MISS);
                }
            }
            return None;
        }
        if touch && !self.no_touch {
            self.aging.touch(found.get(), self.clock);
        }
        Some(found)
    }

    /// Looks a key up without any trace of the look, but that it is removed if it has expired.
    pub(crate) fn peek_or_expire(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.lookup(self.db, key, false).map(Found::into_ref)
    }

    /// Looks at a key without removing it should it have expired (it is then not seen), so that several entries can
    /// be looked at together.
    pub fn peek(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.peek_in(self.db, key)
    }

    /// The same for a key of any database.
    pub(crate) fn peek_in(&self, db: usize, key: &[u8]) -> Option<EntryRef<'_>> {
        let place = self.place(key);
        let e = self
            .held
            .dict_ref(place.shard(), db)
            .get(place.hash(), key)?;
        if e.expiry_ms()
            .is_some_and(|ms| is_past(ms, self.now_ms, self.coarse))
        {
            return None;
        }
        Some(e)
    }

    /// The expiry of a key that is there, whether or not it has come.
    pub(crate) fn expiry_in(&self, db: usize, key: &[u8]) -> Option<Option<u64>> {
        self.expiry_at(self.place(key), db, key)
    }

    /// The same for a key whose place is known.
    pub(crate) fn expiry_at(&self, place: Place, db: usize, key: &[u8]) -> Option<Option<u64>> {
        let dict = self.held.dict_ref(place.shard(), db);
        dict.get(place.hash(), key).map(|e| e.expiry_ms())
    }

    /// How to store an argument as a string value: as a number where it is one.
    #[inline]
    pub fn value<'v>(&self, bytes: &'v [u8]) -> NewValue<'v> {
        for (at, blob) in self.prepared {
            if *at == bytes.as_ptr() as usize && blob.len() == bytes.len() {
                return NewValue::Blob(blob.clone());
            }
        }
        store::new_value(bytes)
    }

    /// Sets a key to a string with this expiry (Unix milliseconds) or none.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: NewValue<'_>, expiry_ms: Option<u64>) {
        self.set_in(self.db, key, value, expiry_ms);
    }

    /// Sets a key of any database.
    #[inline]
    pub(crate) fn set_in(
        &mut self,
        db: usize,
        key: &[u8],
        value: NewValue<'_>,
        expiry_ms: Option<u64>,
    ) {
        if self.listening.any() {
            self.note_string(db, key);
        }
        let place = self.place(key);
        let own = self.own_expiries.filter(|_| expiry_ms.is_some());
        let dict = self.held.dict(place.shard(), db);
        if let Some(own) = own
            && dict.get(place.hash(), key).and_then(|e| e.expiry_ms()) != expiry_ms
        {
            own.add(db, key);
        }
        match dict.find(place.hash(), key) {
            None => dict.insert(place.hash(), key, value, expiry_ms, false, self.clock),
            Some(found) => {
                self.aging.touch(found.get(), self.clock);
                let removed = found.change().set(value, expiry_ms, false);
                self.garbage.extend(removed.freed);
            }
        }
    }

    /// Adds a key that is known not to be there. `raw`: see [`EntryRef::is_raw`].
    pub(crate) fn insert_in(
        &mut self,
        db: usize,
        key: &[u8],
        value: NewValue<'_>,
        expiry_ms: Option<u64>,
        raw: bool,
    ) {
        if self.listening.any() && self.heeds_new(key) {
            self.note_new(db, key);
        }
        self.insert_quietly(db, key, value, expiry_ms, raw);
    }

    /// The same without an event.
    fn insert_quietly(
        &mut self,
        db: usize,
        key: &[u8],
        value: NewValue<'_>,
        expiry_ms: Option<u64>,
        raw: bool,
    ) {
        self.will_expire(db, key, expiry_ms);
        let place = self.place(key);
        let dict = self.held.dict(place.shard(), db);
        dict.insert(place.hash(), key, value, expiry_ms, raw, self.clock);
    }

    /// A key is given this expiry. Whoever sets one by [`EntryMut::set_expiry`] says so.
    #[inline]
    pub(crate) fn will_expire(&self, db: usize, key: &[u8], expiry_ms: Option<u64>) {
        if expiry_ms.is_some()
            && let Some(own) = self.own_expiries
        {
            own.add(db, key);
        }
    }

    /// Whether anybody may want to know that a key is given a value.
    #[inline(never)]
    fn heeds_new(&self, key: &[u8]) -> bool {
        const CLASSES: u32 = class::NEW | class::OVERWRITTEN | class::TYPE_CHANGED;
        self.listening.to_classes(CLASSES) || self.listening.to_key(self.place(key))
    }

    /// Lists the events of a key that is about to be set to a string.
    #[inline(never)]
    fn note_string(&mut self, db: usize, key: &[u8]) {
        if self.heeds_new(key) {
            let was = self.kind_of(db, key);
            self.note_new_value(db, key, was, Type::String);
        } else if self.held.dict_ref(self.place(key).shard(), db).expiring() > 0 {
            // What it held may have expired, which is an event.
            let _ = self.kind_of(db, key);
        }
    }

    /// The type of what a key holds. Removes the key if it has expired.
    #[cold]
    fn kind_of(&mut self, db: usize, key: &[u8]) -> Option<Type> {
        self.lookup(db, key, false).map(|found| found.get().kind())
    }

    #[cold]
    fn note_new(&mut self, db: usize, key: &[u8]) {
        let place = self.place(key);
        note(self.changes, db, (key, place), Event::NEW);
    }

    /// Lists the events of a key that is given a value, whatever it held before.
    #[cold]
    fn note_new_value(&mut self, db: usize, key: &[u8], was: Option<Type>, is: Type) {
        let place = self.place(key);
        let Some(was) = was else {
            return note(self.changes, db, (key, place), Event::NEW);
        };
        note(self.changes, db, (key, place), Event::OVERWRITTEN);
        if was != is {
            note(self.changes, db, (key, place), Event::TYPE_CHANGED);
        }
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.remove_in(self.db, key)
    }

    /// Removes a key of any database; whether it was there.
    pub(crate) fn remove_in(&mut self, db: usize, key: &[u8]) -> bool {
        let removed = self
            .lookup(db, key, false)
            .map(|found| found.change().remove());
        let was = removed.is_some();
        self.garbage.extend(removed.and_then(|r: Removed| r.freed));
        was
    }

    /// A collection to show: an error if the key holds something else. Counts as [`Keys::read`] does.
    #[inline]
    pub fn view<C: Collection + 'static>(&mut self, key: &[u8]) -> Result<Option<C::Ref<'_>>> {
        match self.read(key) {
            None => Ok(None),
            Some(e) => e.view::<C>().map(Some).ok_or(Error::WRONG_TYPE),
        }
    }

    /// The same for looking at several together: see [`Keys::peek`].
    pub(crate) fn peek_view<C: Collection + 'static>(
        &self,
        key: &[u8],
    ) -> Result<Option<C::Ref<'_>>> {
        match self.peek(key) {
            None => Ok(None),
            Some(e) => e.view::<C>().map(Some).ok_or(Error::WRONG_TYPE),
        }
    }

    /// Changes a collection, which is removed if nothing is left in it; `None` if there is no such key, an error if
    /// it holds something else.
    #[inline]
    pub(crate) fn edit<C: Collection, R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<R>> {
        match self.lookup(self.db, key, true) {
            None => Ok(None),
            Some(found) => {
                let mut change = found.change();
                let r = change.edit(f).ok_or(Error::WRONG_TYPE)?;
                if change.is_empty_of::<C>() {
                    let freed = change.remove().freed;
                    self.garbage.extend(freed);
                    self.note_emptied(key);
                }
                Ok(Some(r))
            }
        }
    }

    /// Changes a collection, or makes one if there is no such key and `f` puts something into it.
    #[inline]
    pub(crate) fn edit_or_create<C: Collection, R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut C) -> R,
    ) -> Result<R> {
        if let Some(found) = self.lookup(self.db, key, true) {
            let mut change = found.change();
            let r = change.edit(f).ok_or(Error::WRONG_TYPE)?;
            if change.is_empty_of::<C>() {
                let freed = change.remove().freed;
                self.garbage.extend(freed);
                self.note_emptied(key);
            }
            return Ok(r);
        }
        let mut collection = C::new();
        let r = f(&mut collection);
        if !collection.is_empty() || C::KIND == Type::Stream {
            self.insert_collection(self.db, key, collection, None);
        }
        Ok(r)
    }

    /// Makes a key hold this collection and nothing else, with no expiry; removes it if the collection is empty.
    pub fn put<C: Collection>(&mut self, key: &[u8], collection: C) {
        let was = self.remove_to_replace(key);
        if !collection.is_empty() || C::KIND == Type::Stream {
            self.insert_in_place_of(key, was, collection);
        }
    }

    /// The same for the result of a command that stores it, and says so: `event` if there is a result, else that the key
    /// is gone if it was there.
    pub(crate) fn store_result<C: Collection>(&mut self, key: &[u8], collection: C, event: Event) {
        self.store_result_of(key, collection, event, 1);
    }

    /// The same for a result that counts as `times` changes towards a save point.
    pub(crate) fn store_result_of<C: Collection>(
        &mut self,
        key: &[u8],
        collection: C,
        event: Event,
        times: usize,
    ) {
        let was = self.remove_to_replace(key);
        if !collection.is_empty() {
            self.insert_in_place_of(key, was, collection);
            self.changed_times(key, event, times);
        } else if was.is_some() {
            self.changed(key, Event::DEL);
        }
    }

    /// Makes a key hold this string and nothing else, with no expiry. `raw`: see [`EntryRef::is_raw`].
    pub(crate) fn put_string(&mut self, key: &[u8], value: NewValue<'_>, raw: bool) {
        let was = self.remove_to_replace(key);
        if self.listening.any() && self.heeds_new(key) {
            self.note_new_value(self.db, key, was.map(|was| was.kind), Type::String);
        }
        self.insert_quietly(self.db, key, value, None, raw);
        self.keep_on(self.db, key, was.is_some_and(|was| was.kept));
    }

    /// Announces that a key's value was replaced by another, of a command that has announced the new one already. `was`:
    /// type of the old value, if there was one.
    pub fn replaced(&mut self, db: usize, key: &[u8], was: Option<Was>) {
        if self.listening.any()
            && self.heeds_new(key)
            && let Some(was) = was
            && let Some(is) = self.kind_of(db, key)
        {
            self.note_new_value(db, key, Some(was.kind), is);
        }
    }

    /// Removes a key that is to get another value; what it was.
    pub(crate) fn remove_to_replace(&mut self, key: &[u8]) -> Option<Was> {
        self.remove_to_replace_in(self.db, key)
    }

    /// The same for a key of any database.
    pub(crate) fn remove_to_replace_in(&mut self, db: usize, key: &[u8]) -> Option<Was> {
        let found = self.lookup(db, key, false)?;
        let e = found.get();
        let (kind, kept) = (e.kind(), e.is_kept());
        let was = Was { kind, kept };
        let freed = found.change().remove().freed;
        self.garbage.extend(freed);
        Some(was)
    }

    fn insert_in_place_of<C: Collection>(&mut self, key: &[u8], was: Option<Was>, collection: C) {
        if self.listening.any() && self.heeds_new(key) {
            self.note_new_value(self.db, key, was.map(|was| was.kind), C::KIND);
        }
        self.insert_collection_quietly(self.db, key, collection, None);
        self.keep_on(self.db, key, was.is_some_and(|was| was.kept));
    }

    /// Adds a collection under a key that is not there.
    pub(crate) fn insert_collection<C: Collection>(
        &mut self,
        db: usize,
        key: &[u8],
        collection: C,
        expiry_ms: Option<u64>,
    ) {
        if self.listening.any() && self.heeds_new(key) {
            self.note_new(db, key);
        }
        self.insert_collection_quietly(db, key, collection, expiry_ms);
    }

    fn insert_collection_quietly<C: Collection>(
        &mut self,
        db: usize,
        key: &[u8],
        collection: C,
        expiry_ms: Option<u64>,
    ) {
        match collection.packed() {
            Some(bytes) if bytes.len() <= store::object::MAX_INLINE_PACKED => {
                let value = NewValue::Packed(C::KIND, bytes);
                self.insert_quietly(db, key, value, expiry_ms, false);
            }
            _ => {
                let value = NewValue::Object(Box::new(collection.into_object()));
                self.insert_quietly(db, key, value, expiry_ms, false);
            }
        }
    }

    /// Takes a key out with all it is.
    pub(crate) fn take_stored(&mut self, db: usize, key: &[u8]) -> Option<Stored> {
        let found = self.lookup(db, key, false)?;
        let e = found.get();
        let (expiry_ms, raw, kept) = (e.expiry_ms(), e.is_raw(), e.is_kept());
        let inline = Stored::inline_value(e);
        let freed = found.change().remove().freed;
        let value = match (inline, freed) {
            (Some(value), _) => value,
            (None, Some(Freed::Blob(b))) => StoredValue::Blob(b),
            (None, Some(Freed::Object(o))) => StoredValue::Object(o),
            (None, None) => unreachable!("a value is inline or owned"),
        };
        Some(Stored {
            value,
            expiry_ms,
            raw,
            kept,
        })
    }

    /// Puts it back under a key that is not there.
    pub(crate) fn put_stored(&mut self, db: usize, key: &[u8], stored: Stored) {
        let Stored {
            value,
            expiry_ms,
            raw,
            kept,
        } = stored;
        let value = match &value {
            StoredValue::Int(i) => NewValue::Int(*i),
            StoredValue::Bytes(Type::String, b) => NewValue::Inline(b),
            StoredValue::Bytes(kind, b) => NewValue::Packed(*kind, b),
            StoredValue::Blob(b) => NewValue::Blob(b.clone()),
            StoredValue::Object(_) => {
                let StoredValue::Object(o) = value else {
                    unreachable!("just matched")
                };
                self.insert_in(db, key, NewValue::Object(o), expiry_ms, raw);
                self.keep_on(db, key, kept);
                return;
            }
        };
        self.insert_in(db, key, value, expiry_ms, raw);
        self.keep_on(db, key, kept);
    }

    /// Has a key that was put in place of another never evicted, if that one was not to be.
    pub(crate) fn keep_on(&mut self, db: usize, key: &[u8], kept: bool) {
        if kept {
            let place = self.place(key);
            let dict = self.held.dict(place.shard(), db);
            if let Some(found) = dict.find(place.hash(), key) {
                found.change().set_kept(true);
            }
        }
    }

    /// Whether a key's lock is held, so that it may be looked at.
    pub fn holds(&self, key: &[u8]) -> bool {
        self.held.has(self.place(key).shard())
    }

    /// Whether the shard of a key is held, and keys of the selected database in it have an expiry at all.
    #[inline]
    pub(crate) fn may_have_expired(&self, key: &[u8]) -> bool {
        let shard = self.place(key).shard();
        self.held.has(shard) && self.held.dict_ref(shard, self.db).expiring() > 0
    }

    /// Whether keys of the selected database in the one shard that is held have an expiry at all; true of several shards.
    #[inline]
    pub(crate) fn held_may_have_expired(&self) -> bool {
        match &self.held {
            Held::None => false,
            Held::One(_, shard) => shard.db_ref(self.db).expiring() > 0,
            Held::Many(_) => true,
        }
    }

    /// Keeps a freed value until the locks are gone.
    pub fn discard(&mut self, removed: Removed) {
        self.garbage.extend(removed.freed);
    }

    /// All shards, of a command that holds them all.
    ///
    /// # Panics
    /// Of any other command.
    pub(crate) fn all_shards(&mut self) -> impl Iterator<Item = &mut ShardGuard<'e>> {
        if self.ks.shards() == 1 {
            self.held = Held::of_many(std::mem::replace(&mut self.held, Held::None).into_many());
        }
        match &mut self.held {
            Held::Many(many) => many.iter_mut(),
            _ => panic!("a command worked on all shards without holding them"),
        }
    }
}
