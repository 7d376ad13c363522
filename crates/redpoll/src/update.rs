//! Several calls at one moment.

use crate::db::Db;
use crate::error::{Error, Result};
use crate::updating::{Updating, check_not_updating};
use crate::way::InUpdate;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What the closure of [`Db::update`] is given: all typed calls, on the keys that the update declares.
pub type Update<'e> = Db<InUpdate<'e>>;

impl Db {
    /// Lets `work` make calls that all happen at one moment: nobody, be it another thread or a client of the server, sees a state in
    /// between or comes in between. What `work` returns is returned.
    ///
    /// All keys that it uses have to be named. Their locks are held while it runs, so it should be short; a call on any other key is
    /// [`ErrorKind::Undeclared`](crate::ErrorKind::Undeclared), and so is a command that needs more than its keys, such as
    /// a script or FLUSHALL. Calls have to be made on what the closure is given. One on any other handle, of this data set or
    /// another, is [`ErrorKind::InUpdate`](crate::ErrorKind::InUpdate): it could wait for a lock that its own thread
    /// holds. So an update cannot deadlock.
    ///
    /// An error, or a panic, takes nothing back: what had been done before it stays done, and is announced and written down as a whole.
    /// Check first, then change. Calls that would wait for something to take return at once if there is nothing. The time stands still.
    ///
    /// ```
    /// # use redpoll::{Config, Db, Error};
    /// # let db = Db::open(Config::default())?;
    /// db.set("from", 100)?;
    /// let moved = db.update(["from", "to"], |t| {
    ///     let there = t.incr_by("from", 0)?;
    ///     if there < 30 {
    ///         return Ok(false);
    ///     }
    ///     t.decr_by("from", 30)?;
    ///     t.incr_by("to", 30)?;
    ///     t.rpush("log", "30 moved").expect_err("a key that is not declared");
    ///     Ok::<bool, Error>(true)
    /// })?;
    /// assert!(moved);
    /// assert_eq!(db.mget(["from", "to"])?.into_iter().flatten().collect::<Vec<_>>(), ["70", "30"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn update<K: AsRef<[u8]>, T, E: From<Error>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        work: impl FnOnce(&Update<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        check_not_updating()?;
        let keys: SmallVec<[K; 4]> = keys.into_iter().collect();
        let keys: SmallVec<[&[u8]; 4]> = keys.iter().map(AsRef::as_ref).collect();
        let shared = &*self.way.shared;
        let mut connection = shared.idle.take(&shared.engine, self.index, self.way.asked);
        let done = connection.update(&keys, |update| {
            let updating = Updating::begin();
            let t = Db {
                way: InUpdate {
                    engine: shared.engine.clone(),
                    update: RefCell::new(update),
                },
                index: self.index,
            };
            let result = catch_unwind(AssertUnwindSafe(|| work(&t)));
            drop(updating);
            (result, t.way.update.into_inner())
        });
        let settled = connection.settle(0);
        shared.idle.give_back(&shared.engine, connection, &[]);
        match done {
            Ok(Ok(result)) => {
                let value = result?;
                settled?;
                Ok(value)
            }
            // The caller's own, now that nothing is locked.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(error) => Err(Error::of_engine(error).into()),
        }
    }
}
