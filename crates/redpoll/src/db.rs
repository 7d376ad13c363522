//! The handle: opening, sharing, and the two ways to a key.

use crate::connection::{Connection, Idle};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Kept, Open};
use crate::threads::PerThread;
use crate::value::Value;
use crate::way::{Direct, Way, check_not_updating};
use engine::Engine;
use engine::{Counters, Intent, Keys, Maintenance};
use std::fmt;
use std::sync::Arc;
use store::{Collection, EntryRef};

/// Longest key, in bytes.
const MAX_KEY: usize = 512 << 20;

pub(crate) struct Shared {
    /// First, so that all is on the disk before anything else goes.
    #[cfg_attr(not(feature = "replication"), expect(dead_code))]
    pub(crate) kept: Option<Kept>,
    pub(crate) engine: Arc<Engine>,
    counters: PerThread<Arc<Counters>>,
    pub(crate) idle: Idle,
    /// Stops when the last handle is gone.
    _maintenance: Option<Maintenance>,
}

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
    /// Opens a data set with a thread of its own that removes expired keys; the result is database 0. A path, or
    /// [`Files`](crate::Files), opens what is kept in a folder, and keeps it there; a [`Config`](crate::Config) an empty data set in memory. Of
    /// the configuration, what concerns sockets has no effect, and what concerns files only with `appendonly yes` or in
    /// [`Files::config`](crate::Files::config).
    ///
    /// # Errors
    /// The folder is used by another process, a file in it is damaged or newer than what is understood, or the disk fails.
    ///
    /// ```
    /// use redpoll::{Config, Db};
    /// let db = Db::open(Config::new().databases(4))?;
    /// assert!(db.select(3).is_ok() && db.select(4).is_err());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn open(what: impl Into<Open>) -> Result<Db> {
        let (engine, kept) = what.into().open()?;
        let maintenance = engine.start_maintenance();
        Ok(Db::of(engine, Some(maintenance), kept))
    }

    /// A handle to the data set of an engine that somebody else runs, such as a server in the same program. Its
    /// maintenance must be running, or expired keys stay in memory and access times stand still.
    ///
    /// # Errors
    /// It is called inside of an update.
    pub fn from_engine(engine: Arc<Engine>) -> Result<Db> {
        check_not_updating()?;
        Ok(Db::of(engine, None, None))
    }

    pub(crate) fn of(
        engine: Arc<Engine>,
        maintenance: Option<Maintenance>,
        kept: Option<Kept>,
    ) -> Db {
        let shared = Shared {
            kept,
            engine,
            counters: PerThread::new(),
            idle: Idle::new(),
            _maintenance: maintenance,
        };
        let way = Direct {
            shared: Arc::new(shared),
            asked: None,
        };
        Db { way, index: 0 }
    }

    /// What the server works on too: configuration, clients, statistics.
    pub fn engine(&self) -> &Arc<Engine> {
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
            return Err(engine::Error::DB_INDEX.into());
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
            Some(e) if e.kind() != store::Type::String => Err(engine::Error::WRONG_TYPE.into()),
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
                None => Err(engine::Error::WRONG_TYPE.into()),
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
            return Err(engine::Error::STRING_TOO_LONG.into());
        }
        Ok(())
    }
}

impl Shared {
    /// This thread's.
    #[inline]
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        self.counters.get(|| self.new_counters())
    }

    #[cold]
    fn new_counters(&self) -> Arc<Counters> {
        self.engine.add_counters()
    }
}

impl<W> fmt::Debug for Db<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// A reply that no command of this name gives.
#[cold]
pub(crate) fn unexpected(value: &Value) -> Error {
    Error::of(
        ErrorKind::Decode,
        format!("ERR an unexpected reply: {value:?}"),
    )
}
