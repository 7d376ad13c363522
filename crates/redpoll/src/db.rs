//! The handle, and the two ways to a key.

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::shared::Shared;
use crate::updating::check_not_updating;
use crate::value::Value;
use crate::way::{Direct, Way};
use engine::{Engine, Intent, Keys, Maintenance};
use std::fmt;
use std::sync::Arc;
use store::{Collection, EntryRef};

/// Longest key, in bytes.
const MAX_KEY: usize = 512 << 20;

/// A handle to one numbered database of a data set. See the [crate's page](crate).
///
/// Clones share everything. The data live until the last handle is dropped.
///
/// `W` is how calls reach the data: [`Direct`], or inside of an [`Update`](crate::Update).
#[derive(Clone)]
pub struct Db<W = Direct> {
    pub(crate) way: W,
    pub(crate) index: usize,
}

impl Db {
    /// Database 0 of an engine.
    pub(crate) fn of(
        engine: Arc<Engine>,
        maintenance: Option<Maintenance>,
        kept: Option<Kept>,
    ) -> Db {
        let way = Direct {
            shared: Arc::new(Shared::new(engine, maintenance, kept)),
            asked: None,
        };
        Db { way, index: 0 }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.way.shared.engine
    }

    /// A handle to another of the numbered databases of the same data set.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// let sessions = db.select(1)?;
    /// sessions.set("k", "in database 1")?;
    /// assert!(!db.exists("k")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn select(&self, index: usize) -> Result<Db> {
        if index >= self.engine().keyspace().databases() {
            return Err(Error::of_engine(engine::Error::DB_INDEX));
        }
        Ok(Db {
            way: self.way.clone(),
            index,
        })
    }

    /// A connection: commands with a state that lasts from one to the next.
    ///
    /// # Errors
    /// It is called inside of an update.
    pub fn connect(&self) -> Result<Connection> {
        check_not_updating()?;
        let mut connection = Connection::new(self.engine(), self.index, self.way.asked);
        connection.hold(self.way.shared.clone());
        Ok(connection)
    }
}

impl<W: Way> Db<W> {
    /// The number of the database that calls work on.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Carries out any command, in the syntax of the protocol. Replies come in the types of RESP3; an error reply is
    /// an `Err`.
    ///
    /// Each call stands for itself: a command that changes a connection's state (SELECT, CLIENT REPLY ...) has no
    /// effect on later calls. For those there is [`Db::connect`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, Value};
    /// # let db = Db::open(Config::default())?;
    /// db.execute(["SET", "k", "v", "PX", "60000", "NX"])?;
    /// assert_eq!(db.execute([b"GET", &b"k"[..]])?, Value::Bulk(b"v".to_vec()));
    /// assert_eq!(db.execute(["GET", "nosuch"])?, Value::Null);
    /// assert_eq!(db.execute(["INCR", "k"]).unwrap_err().to_string(), "ERR value is not an integer or out of range");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn execute<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> Result<Value> {
        let args: smallvec::SmallVec<[A; 8]> = args.into_iter().collect();
        let args: smallvec::SmallVec<[&[u8]; 8]> = args.iter().map(AsRef::as_ref).collect();
        self.call(&args)
    }

    /// Works on one key under its shard's lock.
    #[inline]
    pub(crate) fn on_key<R>(
        &self,
        key: &[u8],
        intent: Intent,
        work: impl FnOnce(&mut Keys<'_>) -> engine::Result<R>,
    ) -> Result<R> {
        self.way.on_key(self.index, key, intent, work)
    }

    /// Looks at one key, in most cases without a lock.
    #[inline]
    pub(crate) fn look<R>(
        &self,
        key: &[u8],
        touch: bool,
        look: impl FnMut(Option<EntryRef<'_>>) -> R,
    ) -> Result<R> {
        self.way.look(self.index, key, touch, look)
    }

    /// Carries out one command.
    pub(crate) fn call(&self, args: &[&[u8]]) -> Result<Value> {
        self.way.call(self.index, args)
    }

    /// Looks at the string at a key: an error if it holds something else.
    #[inline]
    pub(crate) fn look_at_string<R>(
        &self,
        key: &[u8],
        mut look: impl FnMut(store::Value<'_>) -> R,
    ) -> Result<Option<R>> {
        self.look(key, true, |e| match e {
            None => Ok(None),
            Some(e) if e.kind() != store::Type::String => {
                Err(Error::of_engine(engine::Error::WRONG_TYPE))
            }
            Some(e) => Ok(Some(look(e.value()))),
        })?
    }

    /// Looks at the collection at a key: an error if it holds something else.
    #[inline]
    pub(crate) fn look_at<C: Collection + 'static, R>(
        &self,
        key: &[u8],
        mut look: impl FnMut(C::Ref<'_>) -> R,
    ) -> Result<Option<R>> {
        self.look(key, true, |e| match e {
            None => Ok(None),
            Some(e) => match e.view::<C>() {
                Some(view) => Ok(Some(look(view))),
                None => Err(Error::of_engine(engine::Error::WRONG_TYPE)),
            },
        })?
    }

    /// Refuses keys and values that are longer than the protocol lets clients send.
    #[inline]
    pub(crate) fn check_lengths(&self, key: usize, value: usize) -> Result {
        // No configuration makes values bounded by less than this.
        const ALWAYS_FINE: usize = 1 << 20;
        if key.max(value) > ALWAYS_FINE {
            return self.check_long(key, value);
        }
        Ok(())
    }

    #[cold]
    fn check_long(&self, key: usize, value: usize) -> Result {
        let most = self.longest();
        if key > MAX_KEY.min(most) || value > most {
            return Err(Error::of_engine(engine::Error::STRING_TOO_LONG));
        }
        Ok(())
    }
}

impl<W> fmt::Debug for Db<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
