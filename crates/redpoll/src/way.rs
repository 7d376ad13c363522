//! The ways in which typed calls reach the data: straight, or inside of an update that holds their keys' locks.
//!
//! A typed call is written once, for any [`Way`]; all it does goes through the three functions of this trait.

use crate::durability::{Durability, settle};
use crate::error::{Error, ErrorKind, Result};
use crate::reply::reply_of;
use crate::shared::Shared;
use crate::updating::check_not_updating;
use crate::value::Value;
use engine::{Engine, Intent, Keys};
use std::cell::RefCell;
use std::sync::Arc;
use store::EntryRef;

/// See the module's page.
pub trait Way {
    #[doc(hidden)]
    fn engine(&self) -> &Arc<Engine>;

    /// Works on one key under its shard's lock; see [`Engine::with_key`].
    #[doc(hidden)]
    fn on_key<R>(
        &self,
        db: usize,
        key: &[u8],
        intent: Intent,
        work: impl FnOnce(&mut Keys<'_>) -> engine::Result<R>,
    ) -> Result<R>;

    /// Looks at one key; see [`Engine::look`].
    #[doc(hidden)]
    fn look<R>(
        &self,
        db: usize,
        key: &[u8],
        touch: bool,
        look: impl FnMut(Option<EntryRef<'_>>) -> R,
    ) -> Result<R>;

    /// Carries out one command.
    #[doc(hidden)]
    fn call(&self, db: usize, args: &[&[u8]]) -> Result<Value>;
}

/// Calls that stand for themselves: those of [`Db`](crate::Db).
#[derive(Clone)]
pub struct Direct {
    pub(crate) shared: Arc<Shared>,
    /// What was asked for with [`Db::with_durability`](crate::Db::with_durability).
    pub(crate) asked: Option<Durability>,
}

impl Way for Direct {
    #[inline]
    fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    #[inline]
    fn on_key<R>(
        &self,
        db: usize,
        key: &[u8],
        intent: Intent,
        work: impl FnOnce(&mut Keys<'_>) -> engine::Result<R>,
    ) -> Result<R> {
        check_not_updating()?;
        let engine = &*self.shared.engine;
        let counters = self.shared.counters();
        let done = engine
            .with_key(db, key, intent, counters, work)
            .map_err(Error::of_engine)?;
        if intent.writes() && engine.journal.is_on() {
            settle(engine, counters.piece.get(), self.asked)?;
        }
        Ok(done)
    }

    #[inline]
    fn look<R>(
        &self,
        db: usize,
        key: &[u8],
        touch: bool,
        look: impl FnMut(Option<EntryRef<'_>>) -> R,
    ) -> Result<R> {
        check_not_updating()?;
        let shared = &*self.shared;
        let seen = shared.engine.look(db, key, touch, shared.counters(), look);
        seen.map_err(Error::of_engine)
    }

    fn call(&self, db: usize, args: &[&[u8]]) -> Result<Value> {
        let shared = &*self.shared;
        let mut connection = shared.idle.take(&shared.engine, db, self.asked);
        let result = connection.call(args);
        shared.idle.give_back(&shared.engine, connection, args);
        result
    }
}

/// Calls inside of an update: those of [`Update`](crate::Update).
pub struct InUpdate<'e> {
    pub(crate) engine: Arc<Engine>,
    pub(crate) update: RefCell<engine::Update<'e>>,
}

impl Way for InUpdate<'_> {
    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn on_key<R>(
        &self,
        _: usize,
        key: &[u8],
        intent: Intent,
        work: impl FnOnce(&mut Keys<'_>) -> engine::Result<R>,
    ) -> Result<R> {
        let done = self.update.borrow_mut().with_key(key, intent, work);
        done.map_err(Error::of_engine)
    }

    fn look<R>(
        &self,
        db: usize,
        key: &[u8],
        touch: bool,
        mut look: impl FnMut(Option<EntryRef<'_>>) -> R,
    ) -> Result<R> {
        self.on_key(db, key, Intent::Look, |keys| {
            Ok(look(if touch {
                keys.read(key)
            } else {
                keys.read_untouched(key)
            }))
        })
    }

    fn call(&self, _: usize, args: &[&[u8]]) -> Result<Value> {
        let mut update = self.update.borrow_mut();
        update.call(args);
        reply_of(update.out())?
            .ok_or_else(|| Error::of(ErrorKind::Internal, "ERR a command without a reply"))
    }
}
