//! What whoever loads files puts into an engine.

use crate::base::clock::unix_ms;
use crate::base::memory::{Order, clock_of_idle, counted, frequency, idle_seconds, minutes};
use crate::context::engine::Engine;
use rdb::encode::Hint;
use rdb::{Loaded, Settings};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::types::{hash, set, stream};
use store::{Collection, EntryRef, Keyspace, MAX_INLINE, NewValue, Object};

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

    /// Adds a key that was read from a file to a keyspace, which may be another one. False if there is such a key already and it
    /// is not to be replaced: the file holds it twice.
    ///
    /// # Panics
    /// If there is no such database.
    pub fn load_key(
        &self,
        ks: &Keyspace,
        (db, key): (usize, &[u8]),
        value: Loaded<'_>,
        expiry_ms: Option<u64>,
        hint: Option<Hint>,
        replace: bool,
    ) -> bool {
        fn packed_or_object<C: Collection>(collection: C, put: &mut dyn FnMut(NewValue<'_>)) {
            match collection.packed() {
                Some(bytes) if bytes.len() <= store::object::MAX_INLINE_PACKED => {
                    put(NewValue::Packed(C::KIND, bytes));
                }
                _ => put(NewValue::Object(Box::new(collection.into_object()))),
            }
        }
        let place = ks.place(key);
        let hash = place.hash();
        let (aging, now_ms) = (&self.config().live.aging, unix_ms());
        let clock = match hint {
            Some(Hint::Frequency(n)) if aging.counts() => counted(minutes(now_ms), n.into()),
            Some(Hint::Idle(s)) if !aging.counts() => clock_of_idle(s, now_ms),
            _ => aging.clock(now_ms),
        };
        let mut shard = ks.lock(place.shard());
        let dict = shard.db(db);
        if let Some(found) = dict.find(hash, key) {
            if !replace {
                return false;
            }
            drop(found.change().remove());
        }
        let mut put = |value: NewValue<'_>| dict.insert(hash, key, value, expiry_ms, false, clock);
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
        true
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
        set.libraries.values().map(|l| l.source.to_vec()).collect()
    }
}
