//! The whole data set gives way to another one that was built beside it.

use crate::base::clock::unix_ms;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::door::change::Change;
use crate::door::held::Held;
use crate::door::keys::{Keys, Said};
use store::{Dict, Keyspace};

impl Engine {
    /// All keys are exchanged, at one moment, for those of a [twin](Keyspace::twin) of the keyspace; the old ones are freed
    /// elsewhere. To those who watch or cache keys it is as if all had been flushed. Nothing is written down of it.
    ///
    /// # Panics
    /// If the other keyspace has fewer shards or databases.
    pub fn exchange_data_set(&self, other: Keyspace, counters: &Counters) {
        let mut said = Said::default();
        let mut keys = Keys::of_nobody(
            (self.keyspace(), Held::of_many(self.keyspace().lock_all())),
            (&self.config().live.aging, &self.follow.effects.listening),
            counters,
            unix_ms(),
            &mut said,
        );
        (keys.frozen, keys.recording) = (true, false);
        self.follow.touch_before_flush(&keys, None);
        if let Some(keeper) = self.persistence() {
            keeper.data_set_replaced();
        }
        for (at, shard) in keys.all_shards().enumerate() {
            shard.swap_with(&mut other.lock(at));
        }
        self.own_expiries.clear();
        keys.happened(Change::Flushed(None));
        keys.count_changes(1);
        self.follow.apply(&mut keys, None);
        let Keys { held, garbage, .. } = keys;
        drop(held);
        for freed in garbage {
            self.reclaimer.take(freed);
        }
        let mut old: Vec<Dict> = Vec::new();
        for shard in 0..other.shards() {
            let mut shard = other.lock(shard);
            for db in 0..other.databases() {
                if shard.db_ref(db).bytes() > 0 {
                    old.push(shard.take_db(db));
                }
            }
        }
        self.reclaimer.dicts(old);
    }
}
