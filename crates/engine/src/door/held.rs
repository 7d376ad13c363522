//! The shards that a command holds while it runs.

use std::sync::atomic::AtomicU64;
use store::Dict;
use store::Shard;
use store::keyspace::ShardGuard;
use store::keyspace::ShardGuards;
/// The shards a command holds.
pub(crate) enum Held<'e> {
    None,
    One(usize, ShardGuard<'e>),
    /// In a box, since what is held is handed on several times for each command, and most hold one.
    Many(Box<ShardGuards<'e>>),
}

impl<'e> Held<'e> {
    /// Several.
    pub(crate) fn of_many(many: ShardGuards<'e>) -> Held<'e> {
        Held::Many(Box::new(many))
    }

    /// The same, as several.
    pub(crate) fn into_many(self) -> ShardGuards<'e> {
        let mut many = ShardGuards::default();
        match self {
            Held::None => {}
            Held::One(shard, guard) => many.add(shard, guard),
            Held::Many(many) => return *many,
        }
        many
    }

    /// Whether a shard is held.
    pub(crate) fn has(&self, shard: usize) -> bool {
        match self {
            Held::None => false,
            Held::One(held, _) => *held == shard,
            Held::Many(many) => many.has(shard),
        }
    }

    /// Calls `f` with the index of every shard that is held.
    pub(crate) fn each(&self, mut f: impl FnMut(usize)) {
        match self {
            Held::None => {}
            Held::One(shard, _) => f(*shard),
            Held::Many(many) => many.indices().for_each(f),
        }
    }

    /// Calls `f` with the clock of every shard that is held.
    #[inline]
    pub(crate) fn each_clock(&self, f: &mut dyn FnMut(&AtomicU64)) {
        match self {
            Held::None => {}
            Held::One(_, shard) => f(shard.clock()),
            Held::Many(many) => many.iter().for_each(|shard| f(shard.clock())),
        }
    }

    /// A shard that is held.
    pub(crate) fn shard(&self, shard: usize) -> Option<&Shard> {
        match self {
            Held::One(held, guard) if *held == shard => Some(guard),
            Held::Many(many) => many.get(shard).map(|guard| &**guard),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn dict(&mut self, shard: usize, db: usize) -> &mut Dict {
        match self {
            Held::One(held, guard) if *held == shard => guard.db(db),
            Held::Many(many) => many
                .get_mut(shard)
                .expect("dispatch locks the shards of all keys a command names")
                .db(db),
            _ => panic!("a key was used whose shard is not locked"),
        }
    }

    #[inline]
    pub(super) fn dict_ref(&self, shard: usize, db: usize) -> &Dict {
        match self {
            Held::One(held, guard) if *held == shard => guard.db_ref(db),
            Held::Many(many) => many
                .get(shard)
                .expect("dispatch locks the shards of all keys a command names")
                .db_ref(db),
            _ => panic!("a key was used whose shard is not locked"),
        }
    }
}
