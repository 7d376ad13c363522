//! Typed calls on hashes: fields and their values. Fields that expire are in [`crate::hash_expiry`].
//!
//! Unless a call says otherwise, a key that does not exist is an empty hash, and a key that holds something else is an
//! error with the code `WRONGTYPE` that changes nothing. A hash whose last field goes is gone itself.

use crate::bytes::{Bytes, Payload};
use crate::call::Decode;
use crate::db::Db;
use crate::element_scan::ElementScan;
use crate::error::{Error, Result};
use crate::way::Way;
use engine::unix_ms;
use store::types::hash::{Hash, HashRef};

/// How many of a collection's elements to pick at random; for [`Db::hrandfields`], [`Db::srandmembers`] and
/// [`Db::zrandmembers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// So many different ones, or all if there are not as many.
    Distinct(usize),
    /// So many, each picked from all of them, so that one may come up again. At most 2^24: more is an error.
    Repeating(usize),
}

/// Most picks that may repeat elements. A call is answered as a whole, so that a larger number would fill all memory.
const MAX_PICKS: usize = 1 << 24;

impl Sample {
    /// As the commands take it.
    pub(crate) fn count(self) -> Result<i64> {
        match self {
            // Where a value comes with each element, a command takes half of what fits an integer.
            Sample::Distinct(n) => Ok(n.min(i64::MAX as usize / 2) as i64),
            Sample::Repeating(n) if n <= MAX_PICKS => Ok(-(n as i64)),
            Sample::Repeating(_) => Err(Error::new("ERR value is out of range")),
        }
    }
}

/// The time to compare expiries with. Reading the clock takes as long as the rest of a lookup, so it is read for hashes
/// with fields that expire only.
#[inline]
fn now_for(hash: HashRef<'_>) -> u64 {
    if hash.may_be_due(u64::MAX - 1) {
        unix_ms()
    } else {
        0
    }
}

impl<W: Way> Db<W> {
    /// Looks at the hash at a key.
    #[inline]
    fn look_at_hash<R>(
        &self,
        key: &[u8],
        mut look: impl FnMut(HashRef<'_>, u64) -> R,
    ) -> Result<Option<R>> {
        self.look_at::<Hash, R>(key, |hash| look(hash, now_for(hash)))
    }

    /// Sets a field, whatever was there, and takes its expiry away; whether the field is new. Creates the hash if need be.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert!(db.hset("user:1", "name", "Ada")?);
    /// assert!(!db.hset("user:1", "name", "Ada L.")?);
    /// db.hset("user:1", "born", 1815)?;
    /// assert_eq!(db.hget("user:1", "name")?.unwrap(), "Ada L.");
    /// db.set("text", "x")?;
    /// assert!(db.hset("text", "f", "v").unwrap_err().is_wrong_type());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hset<'v>(
        &self,
        key: impl AsRef<[u8]>,
        field: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
    ) -> Result<bool> {
        let value = value.into();
        self.command("HSET")
            .arg(&key)
            .arg(&field)
            .payload(&value)
            .run()
    }

    /// Sets several fields at one moment; how many are new.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.hset_many("h", [("a", "1"), ("b", "2")])?, 2);
    /// assert_eq!(db.hset_many("h", [("b", "3"), ("c", "4")])?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hset_many<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        pairs: impl IntoIterator<Item = (F, V)>,
    ) -> Result<usize> {
        let pairs: Vec<(F, V)> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Ok(0);
        }
        self.command("HSET").arg(&key).pairs(&pairs).run()
    }

    /// Sets a field if the hash does not have it; whether it did so.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert!(db.hsetnx("h", "f", 1)?);
    /// assert!(!db.hsetnx("h", "f", 2)?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hsetnx<'v>(
        &self,
        key: impl AsRef<[u8]>,
        field: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
    ) -> Result<bool> {
        let value = value.into();
        self.command("HSETNX")
            .arg(&key)
            .arg(&field)
            .payload(&value)
            .run()
    }

    /// The value of a field; `None` if there is no such field. Goes straight to the key, in most cases without a lock.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", 42)?;
    /// assert_eq!(db.hget("h", "f")?.unwrap(), "42");
    /// assert_eq!(db.hget("h", "absent")?, None);
    /// assert_eq!(db.hget("absent", "f")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn hget(&self, key: impl AsRef<[u8]>, field: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        let field = field.as_ref();
        let found = self.look_at_hash(key.as_ref(), |hash, now_ms| {
            hash.get(field, now_ms).map(|f| Bytes::of_item(f.value))
        })?;
        Ok(found.flatten())
    }

    /// The values of several fields, as they were at one moment; `None` for a field that is not there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2")])?;
    /// let found = db.hmget("h", ["b", "x"])?;
    /// assert_eq!(found[0].as_ref().unwrap(), "2");
    /// assert_eq!(found[1], None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hmget<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Option<Bytes>>> {
        self.many("HMGET", key.as_ref(), fields)
    }

    /// All fields with their values, in no order, as they were at one moment. For a large hash [`Db::hscan`] is the better
    /// neighbour.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// let all = db.hgetall("h")?;
    /// assert_eq!(all[0].0, "f");
    /// assert_eq!(all[0].1, "v");
    /// // A map, if that is what is wanted:
    /// let map: std::collections::HashMap<_, _> = all.into_iter().collect();
    /// assert_eq!(map[&b"f"[..]], "v");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hgetall(&self, key: impl AsRef<[u8]>) -> Result<Vec<(Bytes, Bytes)>> {
        self.command("HGETALL").arg(&key).run()
    }

    /// All fields, in no order.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// assert_eq!(db.hkeys("h")?, ["f"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hkeys(&self, key: impl AsRef<[u8]>) -> Result<Vec<Bytes>> {
        self.command("HKEYS").arg(&key).run()
    }

    /// All values, in no order.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// assert_eq!(db.hvals("h")?, ["v"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hvals(&self, key: impl AsRef<[u8]>) -> Result<Vec<Bytes>> {
        self.command("HVALS").arg(&key).run()
    }

    /// Whether a hash has a field.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// assert!(db.hexists("h", "f")?);
    /// assert!(!db.hexists("h", "g")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn hexists(&self, key: impl AsRef<[u8]>, field: impl AsRef<[u8]>) -> Result<bool> {
        let field = field.as_ref();
        let found = self.look_at_hash(key.as_ref(), |hash, now_ms| {
            hash.get(field, now_ms).is_some()
        })?;
        Ok(found.unwrap_or(false))
    }

    /// How many fields a hash has. In a large one, fields that have expired count until they have been removed.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2")])?;
    /// assert_eq!(db.hlen("h")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn hlen(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let len = self.look_at_hash(key.as_ref(), |hash, now_ms| {
            if hash.is_packed() && hash.may_be_due(now_ms) {
                hash.iter(now_ms).count()
            } else {
                hash.len()
            }
        })?;
        Ok(len.unwrap_or(0))
    }

    /// Length of a field's value in bytes, 0 if there is none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "value")?;
    /// assert_eq!(db.hstrlen("h", "f")?, 5);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hstrlen(&self, key: impl AsRef<[u8]>, field: impl AsRef<[u8]>) -> Result<usize> {
        let field = field.as_ref();
        let len = self.look_at_hash(key.as_ref(), |hash, now_ms| {
            hash.get(field, now_ms).map_or(0, |f| f.value.text_len())
        })?;
        Ok(len.unwrap_or(0))
    }

    /// Deletes a field; whether it was there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// assert!(db.hdel("h", "f")?);
    /// assert!(!db.exists("h")?);                      // that was the last one
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hdel(&self, key: impl AsRef<[u8]>, field: impl AsRef<[u8]>) -> Result<bool> {
        self.command("HDEL").arg(&key).arg(&field).run()
    }

    /// Deletes several fields at one moment; how many were there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2")])?;
    /// assert_eq!(db.hdel_many("h", ["a", "b", "c"])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hdel_many<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<usize> {
        self.how_many("HDEL", key.as_ref(), fields)
    }

    /// Adds to the integer in a field, which counts as 0 if there is none; the sum. The field keeps its expiry. A value
    /// that is no integer and a sum that does not fit 64 bits are errors.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.hincr_by("h", "visits", 2)?, 2);
    /// assert_eq!(db.hincr_by("h", "visits", -3)?, -1);
    /// db.hset("h", "name", "Ada")?;
    /// let error = db.hincr_by("h", "name", 1).unwrap_err();
    /// assert_eq!(error.to_string(), "ERR hash value is not an integer");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hincr_by(&self, key: impl AsRef<[u8]>, field: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        self.command("HINCRBY").arg(&key).arg(&field).int(by).run()
    }

    /// Adds to the decimal number in a field; the sum. An error if the value is no number or the sum not finite.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.hincr_by_float("h", "score", 0.5)?, 0.5);
    /// assert!(db.hincr_by_float("h", "score", f64::INFINITY).is_err());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hincr_by_float(
        &self,
        key: impl AsRef<[u8]>,
        field: impl AsRef<[u8]>,
        by: f64,
    ) -> Result<f64> {
        self.command("HINCRBYFLOAT")
            .arg(&key)
            .arg(&field)
            .double(by)
            .run()
    }

    /// Some field, each as likely as any other; `None` if there are none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// assert_eq!(db.hrandfield("h")?.unwrap(), "f");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hrandfield(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("HRANDFIELD").arg(&key).run()
    }

    /// Fields picked at random with their values.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Sample};
    /// # let db = Db::open(Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(db.hrandfields("h", Sample::Distinct(2))?.len(), 2);
    /// assert_eq!(db.hrandfields("h", Sample::Distinct(9))?.len(), 3);
    /// assert_eq!(db.hrandfields("h", Sample::Repeating(9))?.len(), 9);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hrandfields(
        &self,
        key: impl AsRef<[u8]>,
        sample: Sample,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        self.command("HRANDFIELD")
            .arg(&key)
            .int(sample.count()?)
            .arg("WITHVALUES")
            .run()
    }

    /// A command on a key and some of its elements, which are answered one by one. Without elements nothing is done.
    pub(crate) fn many<E: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        key: &[u8],
        elements: impl IntoIterator<Item = E>,
    ) -> Result<Vec<T>> {
        let elements: Vec<E> = elements.into_iter().collect();
        if elements.is_empty() {
            return Ok(Vec::new());
        }
        self.command(name).arg(key).all(&elements).run()
    }

    /// A command on a key and some elements, which is answered by a number of them. Without elements nothing is done.
    pub(crate) fn how_many<E: AsRef<[u8]>>(
        &self,
        name: &'static str,
        key: &[u8],
        elements: impl IntoIterator<Item = E>,
    ) -> Result<usize> {
        let elements: Vec<E> = elements.into_iter().collect();
        if elements.is_empty() {
            return Ok(0);
        }
        self.command(name).arg(key).all(&elements).run()
    }
}

impl Db {
    /// Goes through the fields and values a few at a time, while others work on the hash; see [`ElementScan`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset_many("h", [("a:1", "x"), ("a:2", "y"), ("b:1", "z")])?;
    /// let found = db.hscan("h").matching("a:*").collect::<redpoll::Result<Vec<_>>>()?;
    /// assert_eq!(found.len(), 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hscan(&self, key: impl AsRef<[u8]>) -> ElementScan<(Bytes, Bytes)> {
        ElementScan::new(self, "HSCAN", key.as_ref(), None)
    }

    /// Goes through the fields alone.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "f", "v")?;
    /// assert_eq!(db.hscan_fields("h").next().unwrap()?, "f");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hscan_fields(&self, key: impl AsRef<[u8]>) -> ElementScan<Bytes> {
        ElementScan::new(self, "HSCAN", key.as_ref(), Some("NOVALUES"))
    }
}
