//! Typed calls on keys, whatever they hold.

use crate::bytes::Bytes;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::expiry::{ExpireIf, Ttl, millis, unix_millis};
use crate::reply::{to_bytes, to_int, unexpected};
use crate::value::Value;
use crate::way::Way;
use engine::{Intent, ops, unix_ms};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What kind of value a key holds. There may come to be more kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// A string, which also holds bits, numbers and HyperLogLogs.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set, which also holds places.
    SortedSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
}

impl Type {
    /// The name that TYPE prints: `zset` for a sorted set.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::SortedSet => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }

    fn of_stored(kind: store::Type) -> Type {
        match kind {
            store::Type::String => Type::String,
            store::Type::List => Type::List,
            store::Type::Set => Type::Set,
            store::Type::SortedSet => Type::SortedSet,
            store::Type::Hash => Type::Hash,
            store::Type::Stream => Type::Stream,
        }
    }
}

impl<W: Way> Db<W> {
    /// Whether a key exists.
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.look(key.as_ref(), false, |e| e.is_some())
    }

    /// How many of these keys exist, one that is named twice counting twice.
    pub fn exists_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<usize> {
        self.count(b"EXISTS", keys)
    }

    /// Deletes a key; whether it existed.
    pub fn del(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        self.on_key(key, Intent::Change, |keys| Ok(ops::keys::delete(keys, key)))
    }

    /// Deletes several keys at one moment; how many existed.
    pub fn del_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<usize> {
        self.count(b"DEL", keys)
    }

    /// Marks keys as used just now; how many exist.
    pub fn touch<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<usize> {
        self.count(b"TOUCH", keys)
    }

    fn count<K: AsRef<[u8]>>(
        &self,
        name: &[u8],
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        match self.call_many(name, keys)? {
            None => Ok(0),
            Some(reply) => Ok(to_int(reply)? as usize),
        }
    }

    /// Has a key expire after `time`; whether it exists. No time at all deletes it.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Ttl};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.set("k", "v")?;
    /// assert!(db.expire("k", Duration::from_secs(60))?);
    /// assert!(matches!(db.ttl("k")?, Ttl::In(left) if left <= Duration::from_secs(60)));
    /// assert!(db.persist("k")?);
    /// assert_eq!(db.ttl("k")?, Ttl::Never);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn expire(&self, key: impl AsRef<[u8]>, time: Duration) -> Result<bool> {
        let Some(at) = (unix_ms() as i64).checked_add(millis(time)) else {
            return Err(Error::of_engine(engine::Error::invalid_expire("pexpire")));
        };
        self.expire_at_ms(key.as_ref(), at, Default::default())
    }

    /// Has a key expire at `time`; whether it exists. A time that has passed deletes it.
    pub fn expire_at(&self, key: impl AsRef<[u8]>, time: SystemTime) -> Result<bool> {
        self.expire_at_ms(key.as_ref(), unix_millis(time), Default::default())
    }

    fn expire_at_ms(&self, key: &[u8], at: i64, only: ops::keys::ExpireIf) -> Result<bool> {
        self.on_key(key, Intent::Change, |keys| {
            Ok(ops::keys::expire(keys, key, at, only))
        })
    }

    /// Has a key expire after `time` under a condition; whether that was set.
    pub fn expire_if(
        &self,
        key: impl AsRef<[u8]>,
        time: Duration,
        condition: ExpireIf,
    ) -> Result<bool> {
        let Some(at) = (unix_ms() as i64).checked_add(millis(time)) else {
            return Err(Error::of_engine(engine::Error::invalid_expire("pexpire")));
        };
        self.expire_at_ms(key.as_ref(), at, condition.flags())
    }

    /// Has a key never expire; whether it exists and would have.
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        self.on_key(key, Intent::Change, |keys| {
            Ok(ops::keys::persist(keys, key))
        })
    }

    /// How long a key has left.
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<Ttl> {
        Ok(match self.expiry(key.as_ref())? {
            None => Ttl::Absent,
            Some(None) => Ttl::Never,
            Some(Some(at)) => Ttl::In(Duration::from_millis(at.saturating_sub(unix_ms()))),
        })
    }

    /// When a key expires; `None` if it does not exist or never does.
    pub fn expire_time(&self, key: impl AsRef<[u8]>) -> Result<Option<SystemTime>> {
        let ms = self.expiry(key.as_ref())?.flatten();
        Ok(ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))))
    }

    fn expiry(&self, key: &[u8]) -> Result<Option<Option<u64>>> {
        self.look(key, false, |e| e.map(|e| e.expiry_ms()))
    }

    /// Gives a key another name, replacing what has that name. An error if there is no such key.
    pub fn rename(&self, key: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result {
        self.call(&[b"RENAME", key.as_ref(), to.as_ref()])?;
        Ok(())
    }

    /// Gives a key another name if nothing has that name yet; whether it did so. An error if there is no such key.
    pub fn renamenx(&self, key: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<bool> {
        Ok(to_int(self.call(&[b"RENAMENX", key.as_ref(), to.as_ref()])?)? == 1)
    }

    /// Copies a key with its expiry to a key that does not exist; whether it did so.
    pub fn copy(&self, key: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<bool> {
        Ok(to_int(self.call(&[b"COPY", key.as_ref(), to.as_ref()])?)? == 1)
    }

    /// What kind of value a key holds; `None` if it does not exist.
    pub fn key_type(&self, key: impl AsRef<[u8]>) -> Result<Option<Type>> {
        self.look(key.as_ref(), false, |e| {
            e.map(|e| Type::of_stored(e.kind()))
        })
    }

    /// How many keys there are, expired ones that have not been removed yet included.
    pub fn dbsize(&self) -> Result<usize> {
        Ok(self.way.engine().keyspace().len(self.index))
    }

    /// Protects a key from ever being evicted for lack of memory; whether it was not protected before. A key that does not exist is an
    /// error. The protection ends with the key, and with [`Db::bless_clear`]; writing another value keeps it.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("settings", "x")?;
    /// assert!(db.bless("settings")?);
    /// db.set("settings", "y")?;
    /// assert!(db.is_blessed("settings")?);
    /// assert!(db.bless_clear("settings")?);
    /// assert!(db.bless("absent").is_err());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn bless(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let call = self.command("BLESS").arg("SET").arg(&key);
        call.arg("NO-EVICT").run()
    }

    /// Lets a key be evicted again; whether it was protected. A key that does not exist is an error.
    pub fn bless_clear(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let call = self.command("BLESS").arg("CLEAR").arg(&key);
        call.arg("NO-EVICT").run()
    }

    /// Whether a key is protected from eviction; see [`Db::bless`]. A key that does not exist is an error.
    pub fn is_blessed(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let from: Vec<Bytes> = self.command("BLESS").arg("GET").arg(&key).run()?;
        Ok(!from.is_empty())
    }
}

impl Db {
    /// Copies a key with its expiry over whatever is at another, possibly in another database; whether there was a
    /// key to copy.
    pub fn copy_over(
        &self,
        key: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        db: usize,
    ) -> Result<bool> {
        let db = db.to_string();
        let args: [&[u8]; 6] = [
            b"COPY",
            key.as_ref(),
            to.as_ref(),
            b"DB",
            db.as_bytes(),
            b"REPLACE",
        ];
        Ok(to_int(self.call(&args)?)? == 1)
    }

    /// Moves a key to another database, unless that has a key of this name; whether it did so.
    pub fn move_to(&self, key: impl AsRef<[u8]>, db: usize) -> Result<bool> {
        Ok(to_int(self.call(&[b"MOVE", key.as_ref(), db.to_string().as_bytes()])?)? == 1)
    }

    /// All keys that a glob pattern matches (`*`, `?`, `[a-z]`, `\`). Goes through all keys there are, so for a large
    /// database [`Db::scan`] is the better neighbour.
    pub fn keys(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<Bytes>> {
        match self.call(&[b"KEYS", pattern.as_ref()])? {
            Value::Array(items) => items
                .into_iter()
                .filter_map(|v| to_bytes(v).transpose())
                .collect(),
            other => Err(unexpected(&other)),
        }
    }

    /// Some key, each as likely as any other; `None` if there are none.
    pub fn random_key(&self) -> Result<Option<Bytes>> {
        to_bytes(self.call(&[b"RANDOMKEY"])?)
    }

    /// Deletes all keys of this database at one moment.
    pub fn flushdb(&self) -> Result {
        self.call(&[b"FLUSHDB"])?;
        Ok(())
    }

    /// Deletes all keys of all databases at one moment.
    pub fn flushall(&self) -> Result {
        self.call(&[b"FLUSHALL"])?;
        Ok(())
    }

    /// Exchanges the contents of two databases at one moment.
    pub fn swapdb(&self, a: usize, b: usize) -> Result {
        self.call(&[
            b"SWAPDB",
            a.to_string().as_bytes(),
            b.to_string().as_bytes(),
        ])?;
        Ok(())
    }
}
