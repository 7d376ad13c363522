//! Typed calls on sets.
//!
//! Unless a call says otherwise, a key that does not exist is an empty set, and a key that holds something else is an
//! error with the code `WRONGTYPE` that changes nothing. A set whose last member goes is gone itself.

use crate::bytes::Bytes;
use crate::db::Db;
use crate::element_scan::ElementScan;
use crate::error::Result;
use crate::hashes::Sample;
use crate::way::Way;
use store::types::set::Set;

impl<W: Way> Db<W> {
    /// Adds a member, creating the set if need be; whether it is new.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert!(db.sadd("colours", "red")?);
    /// assert!(!db.sadd("colours", "red")?);
    /// db.set("text", "x")?;
    /// assert!(db.sadd("text", "red").unwrap_err().is_wrong_type());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sadd(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> Result<bool> {
        self.command("SADD").arg(&key).arg(&member).run()
    }

    /// Adds several members at one moment; how many are new.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.sadd_many("colours", ["red", "green", "red"])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sadd_many<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.how_many("SADD", key.as_ref(), members)
    }

    /// Removes a member; whether it was there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert!(db.srem("s", "a")?);
    /// assert!(!db.srem("s", "a")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn srem(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> Result<bool> {
        self.command("SREM").arg(&key).arg(&member).run()
    }

    /// Removes several members at one moment; how many were there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("s", ["a", "b"])?;
    /// assert_eq!(db.srem_many("s", ["a", "b", "c"])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn srem_many<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.how_many("SREM", key.as_ref(), members)
    }

    /// Whether a set has a member. Goes straight to the key, in most cases without a lock.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert!(db.sismember("s", "a")?);
    /// assert!(!db.sismember("s", "b")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn sismember(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> Result<bool> {
        let member = member.as_ref();
        let is = self.look_at::<Set, _>(key.as_ref(), |set| set.contains(member))?;
        Ok(is.unwrap_or(false))
    }

    /// Which of several members a set has, at one moment.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert_eq!(db.smismember("s", ["a", "b"])?, [true, false]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn smismember<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<bool>> {
        self.many("SMISMEMBER", key.as_ref(), members)
    }

    /// All members, in no order, as they were at one moment. For a large set [`Db::sscan`] is the better neighbour.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert_eq!(db.smembers("s")?, ["a"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn smembers(&self, key: impl AsRef<[u8]>) -> Result<Vec<Bytes>> {
        self.command("SMEMBERS").arg(&key).run()
    }

    /// How many members a set has.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("s", ["a", "b"])?;
    /// assert_eq!(db.scard("s")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn scard(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let len = self.look_at::<Set, _>(key.as_ref(), |set| set.len())?;
        Ok(len.unwrap_or(0))
    }

    /// Moves a member from one set to another at one moment; whether the first had it.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("waiting", "job:1")?;
    /// assert!(db.smove("waiting", "done", "job:1")?);
    /// assert_eq!(db.smembers("done")?, ["job:1"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn smove(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
    ) -> Result<bool> {
        self.command("SMOVE").arg(&from).arg(&to).arg(&member).run()
    }

    /// Takes some member out, each as likely as any other; `None` if there are none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert_eq!(db.spop("s")?.unwrap(), "a");
    /// assert_eq!(db.spop("s")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn spop(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("SPOP").arg(&key).run()
    }

    /// Takes up to so many members out.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("s", ["a", "b", "c"])?;
    /// assert_eq!(db.spop_many("s", 2)?.len(), 2);
    /// assert_eq!(db.scard("s")?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn spop_many(&self, key: impl AsRef<[u8]>, count: usize) -> Result<Vec<Bytes>> {
        self.command("SPOP").arg(&key).count(count).run()
    }

    /// Some member, each as likely as any other; `None` if there are none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert_eq!(db.srandmember("s")?.unwrap(), "a");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn srandmember(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("SRANDMEMBER").arg(&key).run()
    }

    /// Members picked at random.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Sample};
    /// # let db = Db::open(Config::default())?;
    /// db.sadd_many("s", ["a", "b", "c"])?;
    /// assert_eq!(db.srandmembers("s", Sample::Distinct(2))?.len(), 2);
    /// assert_eq!(db.srandmembers("s", Sample::Repeating(5))?.len(), 5);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn srandmembers(&self, key: impl AsRef<[u8]>, sample: Sample) -> Result<Vec<Bytes>> {
        self.command("SRANDMEMBER")
            .arg(&key)
            .int(sample.count()?)
            .run()
    }

    /// The members of any of several sets, at one moment.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// db.sadd_many("b", ["2", "3"])?;
    /// assert_eq!(db.sunion(["a", "b"])?.len(), 3);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sunion<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Bytes>> {
        self.of_keys("SUNION", keys)
    }

    /// The members that all of several sets have, at one moment.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// db.sadd_many("b", ["2", "3"])?;
    /// assert_eq!(db.sinter(["a", "b"])?, ["2"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sinter<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Bytes>> {
        self.of_keys("SINTER", keys)
    }

    /// The members of the first set that none of the others has, at one moment.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// db.sadd_many("b", ["2", "3"])?;
    /// assert_eq!(db.sdiff(["a", "b"])?, ["1"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sdiff<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Bytes>> {
        self.of_keys("SDIFF", keys)
    }

    fn of_keys<K: AsRef<[u8]>>(
        &self,
        name: &'static str,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Bytes>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.command(name).all(&keys).run()
    }

    /// Stores the union of several sets at a key, whatever was there; its size. An empty result deletes the key. No keys
    /// at all are an error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// db.sadd_many("b", ["2", "3"])?;
    /// assert_eq!(db.sunionstore("all", ["a", "b"])?, 3);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sunionstore<K: AsRef<[u8]>>(
        &self,
        to: impl AsRef<[u8]>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        self.store_set("SUNIONSTORE", to.as_ref(), keys)
    }

    /// Stores the intersection of several sets; otherwise as [`Db::sunionstore`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// assert_eq!(db.sinterstore("both", ["a", "absent"])?, 0);
    /// assert!(!db.exists("both")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sinterstore<K: AsRef<[u8]>>(
        &self,
        to: impl AsRef<[u8]>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        self.store_set("SINTERSTORE", to.as_ref(), keys)
    }

    /// Stores what the first of several sets has and no other; otherwise as [`Db::sunionstore`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// db.sadd("b", "2")?;
    /// assert_eq!(db.sdiffstore("rest", ["a", "b"])?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sdiffstore<K: AsRef<[u8]>>(
        &self,
        to: impl AsRef<[u8]>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        self.store_set("SDIFFSTORE", to.as_ref(), keys)
    }

    fn store_set<K: AsRef<[u8]>>(
        &self,
        name: &'static str,
        to: &[u8],
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let keys: Vec<K> = keys.into_iter().collect();
        self.command(name).arg(to).all(&keys).run()
    }

    /// How many members all of several sets have; counts up to `limit` only, if there is one. No keys at all are an error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2", "3"])?;
    /// assert_eq!(db.sintercard(["a", "a"], None)?, 3);
    /// assert_eq!(db.sintercard(["a", "a"], Some(2))?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sintercard<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        limit: Option<usize>,
    ) -> Result<usize> {
        self.card("SINTERCARD", keys, limit)
    }

    /// How many members any of several sets has; counts up to `limit` only, if there is one. No keys at all are an error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2"])?;
    /// db.sadd_many("b", ["2", "3"])?;
    /// assert_eq!(db.sunioncard(["a", "b"], None)?, 3);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sunioncard<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        limit: Option<usize>,
    ) -> Result<usize> {
        self.card("SUNIONCARD", keys, limit)
    }

    /// Estimates how many members any of several sets has (APPROX): within about one percent, and in little memory.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", (0..1000).map(|n| n.to_string()))?;
    /// assert!((950..1050).contains(&db.sunioncard_approximate(["a", "b"])?));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sunioncard_approximate<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let keys: Vec<K> = keys.into_iter().collect();
        self.command("SUNIONCARD")
            .counted(&keys)
            .arg("APPROX")
            .run()
    }

    /// How many members of the first set none of the others has; counts up to `limit` only, if there is one. No keys at all are an
    /// error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("a", ["1", "2", "3"])?;
    /// db.sadd_many("b", ["2"])?;
    /// assert_eq!(db.sdiffcard(["a", "b"], None)?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sdiffcard<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        limit: Option<usize>,
    ) -> Result<usize> {
        self.card("SDIFFCARD", keys, limit)
    }
}

impl Db {
    /// Goes through the members a few at a time, while others work on the set; see [`ElementScan`].
    ///
    /// ```
    /// # use redpoll::{Config, Db};
    /// # let db = Db::open(Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert_eq!(db.sscan("s").next().unwrap()?, "a");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sscan(&self, key: impl AsRef<[u8]>) -> ElementScan<Bytes> {
        ElementScan::new(self, "SSCAN", key.as_ref(), None)
    }
}
