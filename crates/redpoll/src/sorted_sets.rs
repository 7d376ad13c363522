//! Typed calls on sorted sets: members in the order of their scores, those with equal scores in the order of their bytes.
//! Ranges of members and sets made of others are in [`crate::sorted_set_ranges`].
//!
//! Unless a call says otherwise, a key that does not exist is an empty sorted set, and a key that holds something else
//! is an error with the code `WRONGTYPE` that changes nothing. A score that is not a number is an error. A sorted set whose last
//! member goes is gone itself.

use crate::bytes::Bytes;
use crate::call::{Call, Flat};
use crate::db::Db;
use crate::element_scan::ElementScan;
use crate::error::Result;
use crate::hashes::Sample;
use crate::way::Way;
use store::types::sorted_set::SortedSet;

/// Which members [`Db::zadd_with`], [`Db::zincr_with`] and [`Db::geoadd_with`] change, and what is counted.
///
/// ```
/// # use redpoll::{Db, Config, ZAdd};
/// # let db = Db::open(Config::default())?;
/// db.zadd("best", "ada", 100.0)?;
/// let record = ZAdd::new().if_greater().count_changed();
/// assert_eq!(db.zadd_with("best", [("ada", 90.0), ("bob", 50.0)], &record)?, 1);
/// assert_eq!(db.zscore("best", "ada")?, Some(100.0));
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ZAdd {
    presence: Option<&'static str>,
    comparison: Option<&'static str>,
    count_changed: bool,
}

impl ZAdd {
    /// Adds and changes whatever is there, and counts new members.
    pub fn new() -> ZAdd {
        ZAdd::default()
    }

    /// Only adds members, and changes none (NX). Of this and [`ZAdd::if_present`] the last counts. Does not go with
    /// [`ZAdd::if_greater`] and [`ZAdd::if_less`]: the call is an error.
    pub fn if_absent(mut self) -> ZAdd {
        self.presence = Some("NX");
        self
    }

    /// Only changes members, and adds none (XX).
    pub fn if_present(mut self) -> ZAdd {
        self.presence = Some("XX");
        self
    }

    /// Changes a member that is there only to a greater score (GT). Of this and [`ZAdd::if_less`] the last counts.
    pub fn if_greater(mut self) -> ZAdd {
        self.comparison = Some("GT");
        self
    }

    /// Changes a member that is there only to a smaller score (LT).
    pub fn if_less(mut self) -> ZAdd {
        self.comparison = Some("LT");
        self
    }

    /// Counts members that are changed as well as new ones (CH).
    pub fn count_changed(mut self) -> ZAdd {
        self.count_changed = true;
        self
    }

    pub(crate) fn add_to<'a, W: Way>(&self, mut call: Call<'a, W>) -> Call<'a, W> {
        for word in [self.presence, self.comparison].into_iter().flatten() {
            call = call.arg(word);
        }
        call.word_if(self.count_changed, "CH")
    }
}

/// Which end of a sorted set members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The lowest scores.
    Min,
    /// The highest scores.
    Max,
}

impl Extreme {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Extreme::Min => "MIN",
            Extreme::Max => "MAX",
        }
    }
}

impl<W: Way> Db<W> {
    /// Adds a member, or gives it another score, creating the sorted set if need be; whether the member is new.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert!(db.zadd("best", "ada", 99.5)?);
    /// assert!(!db.zadd("best", "ada", 100.0)?);
    /// assert_eq!(db.zscore("best", "ada")?, Some(100.0));
    /// let error = db.zadd("best", "bob", f64::NAN).unwrap_err();
    /// assert_eq!(error.to_string(), "ERR value is not a valid float");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zadd(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
        score: f64,
    ) -> Result<bool> {
        self.command("ZADD")
            .arg(&key)
            .double(score)
            .arg(&member)
            .run()
    }

    /// Adds several members at one moment, or gives them other scores; how many are new.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.zadd_many("best", [("ada", 100.0), ("bob", 50.0)])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zadd_many<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = (M, f64)>,
    ) -> Result<usize> {
        self.zadd_with(key, members, &ZAdd::new())
    }

    /// The same under conditions; how many members are new, or new or changed; see [`ZAdd`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, ZAdd};
    /// # let db = Db::open(Config::default())?;
    /// let only_new = ZAdd::new().if_absent();
    /// assert_eq!(db.zadd_with("z", [("a", 1.0), ("a", 2.0)], &only_new)?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zadd_with<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = (M, f64)>,
        options: &ZAdd,
    ) -> Result<usize> {
        let members: Vec<(M, f64)> = members.into_iter().collect();
        if members.is_empty() {
            return Ok(0);
        }
        let mut call = options.add_to(self.command("ZADD").arg(&key));
        for (member, score) in &members {
            call = call.double(*score).arg(member);
        }
        call.run()
    }

    /// Adds to a member's score, which counts as 0 if there is no such member; the sum. An error if that is not a number:
    /// infinity and minus infinity.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.zincr_by("best", "ada", 2.5)?, 2.5);
    /// assert_eq!(db.zincr_by("best", "ada", -1.0)?, 1.5);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zincr_by(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
        by: f64,
    ) -> Result<f64> {
        self.command("ZINCRBY")
            .arg(&key)
            .double(by)
            .arg(&member)
            .run()
    }

    /// The same under conditions; `None` if they do not hold, and nothing is changed.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZAdd};
    /// # let db = Db::open(Config::default())?;
    /// assert_eq!(db.zincr_with("best", "ada", 1.0, &ZAdd::new().if_present())?, None);
    /// assert_eq!(db.zincr_with("best", "ada", 1.0, &ZAdd::new())?, Some(1.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zincr_with(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
        by: f64,
        options: &ZAdd,
    ) -> Result<Option<f64>> {
        options
            .add_to(self.command("ZADD").arg(&key))
            .arg("INCR")
            .double(by)
            .arg(&member)
            .run()
    }

    /// A member's score; `None` if there is no such member. Goes straight to the key, in most cases without a lock.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("best", "ada", 100.0)?;
    /// assert_eq!(db.zscore("best", "ada")?, Some(100.0));
    /// assert_eq!(db.zscore("best", "bob")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn zscore(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> Result<Option<f64>> {
        let member = member.as_ref();
        let score = self.look_at::<SortedSet, _>(key.as_ref(), |set| set.score(member))?;
        Ok(score.flatten())
    }

    /// The scores of several members, at one moment.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("best", "ada", 100.0)?;
    /// assert_eq!(db.zmscore("best", ["ada", "bob"])?, [Some(100.0), None]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zmscore<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Option<f64>>> {
        self.many("ZMSCORE", key.as_ref(), members)
    }

    /// How many members a sorted set has.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("best", "ada", 100.0)?;
    /// assert_eq!(db.zcard("best")?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn zcard(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let len = self.look_at::<SortedSet, _>(key.as_ref(), |set| set.len())?;
        Ok(len.unwrap_or(0))
    }

    /// How many members are before one, and its score; `None` if there is no such member. Takes logarithmic time.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("best", [("ada", 100.0), ("bob", 50.0)])?;
    /// assert_eq!(db.zrank("best", "ada")?, Some((1, 100.0)));
    /// assert_eq!(db.zrevrank("best", "ada")?, Some((0, 100.0)));
    /// assert_eq!(db.zrank("best", "eve")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrank(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
    ) -> Result<Option<(usize, f64)>> {
        self.command("ZRANK")
            .arg(&key)
            .arg(&member)
            .arg("WITHSCORE")
            .run()
    }

    /// How many members are behind one, and its score; see [`Db::zrank`].
    ///
    /// ```
    /// # use redpoll::{Config, Db};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("best", [("ada", 100.0), ("bob", 50.0)])?;
    /// assert_eq!(db.zrevrank("best", "bob")?, Some((1, 50.0)));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrevrank(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
    ) -> Result<Option<(usize, f64)>> {
        self.command("ZREVRANK")
            .arg(&key)
            .arg(&member)
            .arg("WITHSCORE")
            .run()
    }

    /// Removes a member; whether it was there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("best", "ada", 100.0)?;
    /// assert!(db.zrem("best", "ada")?);
    /// assert!(!db.exists("best")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrem(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> Result<bool> {
        self.command("ZREM").arg(&key).arg(&member).run()
    }

    /// Removes several members at one moment; how many were there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("best", "ada", 100.0)?;
    /// assert_eq!(db.zrem_many("best", ["ada", "bob"])?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrem_many<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.how_many("ZREM", key.as_ref(), members)
    }

    fn zpop(&self, name: &'static str, key: &[u8]) -> Result<Option<(Bytes, f64)>> {
        // Without a count the reply is flat, also in RESP3.
        let popped: Flat<Bytes, f64> = self.command(name).arg(key).run()?;
        Ok(popped.0.into_iter().next())
    }

    /// Takes the member with the lowest score out; `None` if there is none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("jobs", [("later", 2.0), ("now", 1.0)])?;
    /// let (job, due) = db.zpopmin("jobs")?.unwrap();
    /// assert_eq!((job.to_str(), due), (Ok("now"), 1.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zpopmin(&self, key: impl AsRef<[u8]>) -> Result<Option<(Bytes, f64)>> {
        self.zpop("ZPOPMIN", key.as_ref())
    }

    /// Takes the member with the highest score out; `None` if there is none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("best", [("ada", 100.0), ("bob", 50.0)])?;
    /// assert_eq!(db.zpopmax("best")?.unwrap().0, "ada");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zpopmax(&self, key: impl AsRef<[u8]>) -> Result<Option<(Bytes, f64)>> {
        self.zpop("ZPOPMAX", key.as_ref())
    }

    /// Takes up to so many members out, the outermost first.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Extreme};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0), ("c", 3.0)])?;
    /// let highest = db.zpop_many("z", Extreme::Max, 2)?;
    /// assert_eq!(highest[0].0, "c");
    /// assert_eq!(highest[1].0, "b");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zpop_many(
        &self,
        key: impl AsRef<[u8]>,
        from: Extreme,
        count: usize,
    ) -> Result<Vec<(Bytes, f64)>> {
        let name = match from {
            Extreme::Min => "ZPOPMIN",
            Extreme::Max => "ZPOPMAX",
        };
        self.command(name).arg(&key).count(count).run()
    }

    /// Takes up to so many members out of the first sorted set that has any; that set's key and the members. A count of 0
    /// is an error.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Extreme};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd("second", "a", 1.0)?;
    /// let (key, members) = db.zmpop(["first", "second"], Extreme::Min, 10)?.unwrap();
    /// assert_eq!(key, "second");
    /// assert_eq!(members.len(), 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn zmpop<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        from: Extreme,
        count: usize,
    ) -> Result<Option<(Bytes, Vec<(Bytes, f64)>)>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(None);
        }
        self.command("ZMPOP")
            .counted(&keys)
            .arg(from.word())
            .arg("COUNT")
            .count(count)
            .run()
    }

    /// Some member, each as likely as any other; `None` if there are none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("z", "a", 1.0)?;
    /// assert_eq!(db.zrandmember("z")?.unwrap(), "a");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrandmember(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("ZRANDMEMBER").arg(&key).run()
    }

    /// Members picked at random with their scores.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Sample};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0)])?;
    /// assert_eq!(db.zrandmembers("z", Sample::Distinct(5))?.len(), 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrandmembers(&self, key: impl AsRef<[u8]>, sample: Sample) -> Result<Vec<(Bytes, f64)>> {
        self.command("ZRANDMEMBER")
            .arg(&key)
            .int(sample.count()?)
            .arg("WITHSCORES")
            .run()
    }
}

impl Db {
    /// Goes through the members and scores a few at a time, while others work on the sorted set; see [`ElementScan`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.5)])?;
    /// let sum = db.zscan("z").map(|m| m.map(|(_, score)| score)).sum::<redpoll::Result<f64>>()?;
    /// assert_eq!(sum, 3.5);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zscan(&self, key: impl AsRef<[u8]>) -> ElementScan<(Bytes, f64)> {
        ElementScan::new(self, "ZSCAN", key.as_ref(), None)
    }
}
