//! What whoever loads files puts into an engine.

use crate::base::clock::unix_ms;
use crate::base::memory::{Order, clock_of_idle, counted, frequency, idle_seconds, minutes};
use crate::context::engine::Engine;
use rdb::encode::Hint;
use rdb::{Loaded, Settings, Text};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::keyspace::ShardGuard;
use store::types::{hash, set, stream};
use store::{Collection, Dict, EntryRef, Keyspace, MAX_INLINE, NewValue, Object, Place};

/// How a key's access clock is written beside it in a file, for eviction.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    order: Option<Order>,
    decay_minutes: u32,
    now_ms: u64,
}

impl Hints {
    /// What stands beside this key: nothing if the policy has no use for it.
    pub fn of(&self, e: &EntryRef<'_>) -> Option<Hint> {
        match self.order? {
            Order::Lru | Order::Lrm => {
                let idle_s = idle_seconds(e.clock(), self.now_ms);
                Some(Hint::Idle(idle_s.into()))
            }
            Order::Lfu => {
                let n = frequency(e.clock(), minutes(self.now_ms), self.decay_minutes);
                Some(Hint::Frequency(n as u8))
            }
            Order::Random | Order::Ttl => None,
        }
    }
}

/// A key that was read from a file.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// The database.
    pub db: usize,
    /// The key.
    pub key: Text<'a>,
    /// Its value.
    pub value: Loaded<'a>,
    /// When it expires, in Unix milliseconds.
    pub expiry_ms: Option<u64>,
    /// How much it was used.
    pub hint: Option<Hint>,
    /// Where its value stands in the file.
    pub offset: u64,
}

/// So many keys ahead of the one that is added the place in the table is fetched.
const AHEAD: usize = 12;

/// Adds a key that is not there, with its value, which is taken.
fn add(dict: &mut Dict, hash: u64, key: &mut NewKey<'_>, clock: u32) {
    fn packed_or_object<C: Collection>(collection: C, put: &mut dyn FnMut(NewValue<'_>)) {
        match collection.packed() {
            Some(bytes) if bytes.len() <= store::object::MAX_INLINE_PACKED => {
                put(NewValue::Packed(C::KIND, bytes));
            }
            _ => put(NewValue::Object(Box::new(collection.into_object()))),
        }
    }
    let value = std::mem::replace(&mut key.value, Loaded::String(Text::plain(b"")));
    let (name, expiry_ms) = (&*key.key, key.expiry_ms);
    let mut put = |value: NewValue<'_>| dict.insert(hash, name, value, expiry_ms, false, clock);
    match value {
        Loaded::String(text) if text.len() > MAX_INLINE => {
            put(NewValue::Blob(Arc::new(text.into_vec())));
        }
        Loaded::String(text) => put(store::new_value(&text)),
        Loaded::Object(Object::List(value)) => packed_or_object(value, &mut put),
        Loaded::Object(Object::Set(value)) => packed_or_object(value, &mut put),
        Loaded::Object(Object::SortedSet(value)) => packed_or_object(value, &mut put),
        Loaded::Object(Object::Hash(value)) => packed_or_object(value, &mut put),
        Loaded::Object(Object::Stream(value)) => packed_or_object(value, &mut put),
    }
}

impl Engine {
    /// How access clocks are written to a file now.
    pub fn hints(&self) -> Hints {
        let aging = &self.config().live.aging;
        Hints {
            order: aging.policy().order,
            decay_minutes: aging.decay_minutes.load(Relaxed),
            now_ms: unix_ms(),
        }
    }

    /// In which form values that are read from a file are stored.
    pub fn load_settings(&self) -> Settings {
        let live = &self.config().live;
        Settings {
            now_ms: unix_ms(),
            list: crate::cmd::list::limits(self),
            set: set::Limits {
                intset_entries: live.set_max_intset_entries.load(Relaxed),
                listpack_entries: live.set_max_listpack_entries.load(Relaxed),
                listpack_value: live.set_max_listpack_value.load(Relaxed),
            },
            hash: hash::Limits {
                entries: live.hash_max_listpack_entries.load(Relaxed),
                value: live.hash_max_listpack_value.load(Relaxed),
            },
            sorted_set: crate::cmd::sorted_set::limits(self),
            stream: stream::Limits {
                node_bytes: live.stream_node_max_bytes.load(Relaxed),
                node_entries: live.stream_node_max_entries.load(Relaxed),
            },
        }
    }

    /// Adds keys that were read from a file to a keyspace, which may be another one, and takes their values. They are added shard by
    /// shard, so that a lock is taken once for all that belong there. `now_ms` is the time that access clocks count from.
    ///
    /// # Errors
    /// A key that is there already and is not to be replaced: the file holds it twice. Others may have been added.
    ///
    /// # Panics
    /// If there is no such database.
    pub fn load_keys<'k>(
        &self,
        ks: &Keyspace,
        keys: &'k mut [NewKey<'_>],
        now_ms: u64,
        replace: bool,
    ) -> std::result::Result<(), &'k NewKey<'k>> {
        let aging = &self.config().live.aging;
        let mut order: Vec<(Place, u32)> = (0u32..)
            .zip(&*keys)
            .map(|(n, key)| (ks.place(&key.key), n))
            .collect();
        order.sort_unstable_by_key(|(place, n)| (place.shard(), *n));
        let mut held: Option<(usize, ShardGuard<'_>)> = None;
        for (at, &(place, n)) in order.iter().enumerate() {
            if let Some(&(ahead, n)) = order.get(at + AHEAD) {
                ks.probe(keys[n as usize].db, ahead);
            }
            let key = &mut keys[n as usize];
            let clock = match key.hint {
                Some(Hint::Frequency(n)) if aging.counts() => counted(minutes(now_ms), n.into()),
                Some(Hint::Idle(s)) if !aging.counts() => clock_of_idle(s, now_ms),
                _ => aging.clock(now_ms),
            };
            if held
                .as_ref()
                .is_none_or(|(shard, _)| *shard != place.shard())
            {
                // The last one first: nobody waits for a lock with another in his hands.
                drop(held.take());
            }
            let (_, shard) = held.get_or_insert_with(|| (place.shard(), ks.lock(place.shard())));
            let dict = shard.db(key.db);
            if let Some(found) = dict.find(place.hash(), &key.key) {
                if !replace {
                    return Err(&keys[n as usize]);
                }
                drop(found.change().remove());
            }
            add(dict, place.hash(), key, clock);
        }
        Ok(())
    }

    /// Has a key that was read from a file never evicted, if it is there.
    pub fn keep_loaded_key(&self, ks: &Keyspace, db: usize, key: &[u8]) {
        let place = ks.place(key);
        let mut shard = ks.lock(place.shard());
        if db < ks.databases()
            && let Some(found) = shard.db(db).find(place.hash(), key)
        {
            found.change().set_kept(true);
        }
    }

    /// The sources of all libraries of functions.
    pub fn function_sources(&self) -> Vec<Vec<u8>> {
        let set = self.scripts.libraries.current();
        let libraries = set.libraries();
        libraries.iter().map(|l| l.source.to_vec()).collect()
    }
}
