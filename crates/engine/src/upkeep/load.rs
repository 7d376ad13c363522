//! What whoever loads files puts into an engine.

use crate::base::clock::unix_ms;
use crate::context::engine::Engine;
use rdb::{Loaded, Settings};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use store::types::{hash, set, stream};
use store::{Collection, MAX_INLINE, NewValue, Object};

impl Engine {
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

    /// Adds a key that was read from a file. False if there is such a key already and it is not to be replaced: the file holds
    /// it twice.
    ///
    /// # Panics
    /// If there is no such database.
    pub fn load_key(
        &self,
        db: usize,
        key: &[u8],
        value: Loaded<'_>,
        expiry_ms: Option<u64>,
        idle_s: u64,
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
        let ks = self.keyspace();
        let hash = ks.hash(key);
        let clock = ((unix_ms() / 1000).saturating_sub(idle_s)) as u32 & 0xff_ffff;
        let mut shard = ks.lock(ks.shard_of(hash));
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

    /// The sources of all libraries of functions.
    pub fn function_sources(&self) -> Vec<Vec<u8>> {
        let set = self.scripts.libraries.current();
        set.libraries.values().map(|l| l.source.to_vec()).collect()
    }
}
