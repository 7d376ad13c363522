//! The whole data set gives way to another one that was built beside it.

use crate::base::clock::unix_ms;
use crate::base::journal::Records;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::door::change::Change;
use crate::door::held::Held;
use crate::door::keys::{Garbage, Keys};
use crate::door::known::KnownKeys;
use store::{Dict, Keyspace};

impl Engine {
    /// All keys are exchanged, at one moment, for those of a [twin](Keyspace::twin) of the keyspace; the old ones are freed
    /// elsewhere. To those who watch or cache keys it is as if all had been flushed. Nothing is written down of it.
    ///
    /// # Panics
    /// If the other keyspace has fewer shards or databases.
    pub fn exchange_data_set(&self, other: Keyspace, counters: &Counters) {
        let now_ms = unix_ms();
        let (mut changes, mut records) = (Vec::new(), Records::default());
        let mut known = Vec::new();
        let mut keys = Keys {
            ks: self.keyspace(),
            held: Held::of_many(self.keyspace().lock_all()),
            db: 0,
            now_ms,
            frozen: true,
            coarse: false,
            clock: self.config().live.aging.clock(now_ms),
            aging: &self.config().live.aging,
            known: KnownKeys::new(Default::default(), &mut known),
            counters,
            no_touch: false,
            garbage: Garbage::new(),
            prepared: &[],
            listening: &self.follow.effects.listening,
            changes: &mut changes,
            emptied: None,
            recording: false,
            records: &mut records,
            own_expiries: None,
            token: None,
            room: None,
            #[cfg(debug_assertions)]
            named: Default::default(),
        };
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
