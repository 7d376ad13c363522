//! Typed calls on ranges of sorted sets, and on sorted sets made of others.
//!
//! A key that does not exist is an empty sorted set. One that holds something else is an error with the code `WRONGTYPE`, except
//! that sets may take part in unions, intersections and differences: their members have score 1.

use crate::bytes::Bytes;
use crate::call::{Call, Decode, double_text, range_texts};
use crate::db::Db;
use crate::error::Result;
use crate::way::Way;
use std::ops::RangeBounds;

/// A range of a sorted set's members, in either direction; for [`Db::zrange`] and [`Db::zrangestore`].
///
/// ```
/// # use redpoll::{Db, Config, ZRange};
/// # let db = Db::open(Config::default())?;
/// db.zadd_many("z", [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)])?;
/// // By rank: the two highest.
/// assert_eq!(db.zrange("z", &ZRange::ranks(0, 1).reversed())?, ["d", "c"]);
/// // By score: above 1 up to 3, the second of them.
/// use std::ops::Bound::{Excluded, Included};
/// let above_one = (Excluded(1.0), Included(3.0));
/// assert_eq!(db.zrange("z", &ZRange::scores(above_one).limit(1, 1))?, ["c"]);
/// assert_eq!(db.zrange("z", &ZRange::scores(3.0..))?, ["c", "d"]);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ZRange {
    by: Option<&'static str>,
    ends: [Vec<u8>; 2],
    reversed: bool,
    limit: Option<(usize, Option<usize>)>,
}

/// As commands take a range of scores.
pub(crate) fn score_texts(range: &impl RangeBounds<f64>) -> [Vec<u8>; 2] {
    range_texts(range, ["", "("], ["-inf", "+inf"], |score| {
        double_text(*score)
    })
}

/// As commands take a range of members.
fn member_texts<M: AsRef<[u8]>>(range: &impl RangeBounds<M>) -> [Vec<u8>; 2] {
    range_texts(range, ["[", "("], ["-", "+"], |member| {
        member.as_ref().to_vec()
    })
}

impl ZRange {
    fn new(by: Option<&'static str>, ends: [Vec<u8>; 2]) -> ZRange {
        ZRange {
            by,
            ends,
            reversed: false,
            limit: None,
        }
    }

    /// From the first to the last rank; 0 is the lowest score, negative numbers count from the highest. In a reversed
    /// range 0 is the highest.
    pub fn ranks(first: i64, last: i64) -> ZRange {
        let ends = [first, last].map(|n| n.to_string().into_bytes());
        ZRange::new(None, ends)
    }

    /// Members with scores in a range.
    pub fn scores(range: impl RangeBounds<f64>) -> ZRange {
        ZRange::new(Some("BYSCORE"), score_texts(&range))
    }

    /// Members in a range of their bytes. This is for sorted sets whose members all have the same score; for others, what
    /// comes out is not specified.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZRange};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("words", [("ape", 0.0), ("bee", 0.0), ("cow", 0.0)])?;
    /// assert_eq!(db.zrange("words", &ZRange::members("b".."d"))?, ["bee", "cow"]);
    /// assert_eq!(db.zrange("words", &ZRange::members(..="bee"))?, ["ape", "bee"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn members<M: AsRef<[u8]>>(range: impl RangeBounds<M>) -> ZRange {
        ZRange::new(Some("BYLEX"), member_texts(&range))
    }

    /// From the highest to the lowest. The range itself is still given from its low to its high end.
    pub fn reversed(mut self) -> ZRange {
        self.reversed = true;
        self
    }

    /// Leaves the first `offset` members out and takes at most `count` of the rest. For ranges by score and by member; by
    /// rank it is an error of the call.
    pub fn limit(mut self, offset: usize, count: usize) -> ZRange {
        self.limit = Some((offset, Some(count)));
        self
    }

    /// Leaves the first `offset` members out.
    pub fn skip(mut self, offset: usize) -> ZRange {
        self.limit = Some((offset, None));
        self
    }

    fn add_to<'a, W: Way>(&'a self, call: Call<'a, W>) -> Call<'a, W> {
        // By score and by member, a reversed range is written from its high end.
        let [low, high] = &self.ends;
        let (first, second) = match self.by {
            Some(_) if self.reversed => (high, low),
            _ => (low, high),
        };
        let mut call = call.arg(first).arg(second);
        if let Some(by) = self.by {
            call = call.arg(by);
        }
        call = call.word_if(self.reversed, "REV");
        match self.limit {
            None => call,
            Some((offset, None)) => call.arg("LIMIT").count(offset).int(-1),
            Some((offset, Some(count))) => call.arg("LIMIT").count(offset).count(count),
        }
    }
}

/// Which score a member gets that several sets have, in a union or an intersection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The sum.
    Sum,
    /// The smallest.
    Min,
    /// The greatest.
    Max,
}

/// Sorted sets to unite or intersect; for [`Db::zunion`], [`Db::zinter`] and their storing forms.
///
/// ```
/// # use redpoll::{Db, Config, Aggregate, ZCombine};
/// # let db = Db::open(Config::default())?;
/// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
/// db.zadd_many("b", [("y", 10.0)])?;
/// let both = ZCombine::new(["a", "b"]).weights([3.0, 1.0]).aggregate(Aggregate::Min);
/// let found = db.zinter(&both)?;
/// assert_eq!((found[0].0.to_str(), found[0].1), (Ok("y"), 6.0));
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ZCombine {
    keys: Vec<Vec<u8>>,
    weights: Vec<f64>,
    aggregate: Option<&'static str>,
}

impl ZCombine {
    /// The keys of the sets; none at all are an error of the call. Weights are 1, and scores are added.
    pub fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> ZCombine {
        ZCombine {
            keys: keys.into_iter().map(|k| k.as_ref().to_vec()).collect(),
            weights: Vec::new(),
            aggregate: None,
        }
    }

    /// A factor for the scores of each set, in the order of the keys. Another number of them than of keys is an error of
    /// the call.
    pub fn weights(mut self, weights: impl IntoIterator<Item = f64>) -> ZCombine {
        self.weights = weights.into_iter().collect();
        self
    }

    /// What becomes of several scores of a member.
    pub fn aggregate(mut self, aggregate: Aggregate) -> ZCombine {
        self.aggregate = Some(match aggregate {
            Aggregate::Sum => "SUM",
            Aggregate::Min => "MIN",
            Aggregate::Max => "MAX",
        });
        self
    }

    fn add_to<'a, W: Way>(&'a self, call: Call<'a, W>) -> Call<'a, W> {
        let mut call = call.counted(&self.keys);
        if !self.weights.is_empty() {
            call = call.arg("WEIGHTS");
            for weight in &self.weights {
                call = call.double(*weight);
            }
        }
        match self.aggregate {
            None => call,
            Some(word) => call.arg("AGGREGATE").arg(word),
        }
    }
}

impl<W: Way> Db<W> {
    /// The members of a range; see [`ZRange`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, ZRange};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0)])?;
    /// assert_eq!(db.zrange("z", &ZRange::scores(..2.0))?, ["a"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrange(&self, key: impl AsRef<[u8]>, range: &ZRange) -> Result<Vec<Bytes>> {
        range.add_to(self.command("ZRANGE").arg(&key)).run()
    }

    /// The members of a range with their scores.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZRange};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd("z", "a", 1.5)?;
    /// let all = db.zrange_with_scores("z", &ZRange::ranks(0, -1))?;
    /// assert_eq!((all[0].0.to_str(), all[0].1), (Ok("a"), 1.5));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrange_with_scores(
        &self,
        key: impl AsRef<[u8]>,
        range: &ZRange,
    ) -> Result<Vec<(Bytes, f64)>> {
        range
            .add_to(self.command("ZRANGE").arg(&key))
            .arg("WITHSCORES")
            .run()
    }

    /// Stores the members of a range as a sorted set at a key, whatever was there; how many they are. None at all delete
    /// the key.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZRange};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0)])?;
    /// assert_eq!(db.zrangestore("top", "z", &ZRange::ranks(-1, -1))?, 1);
    /// assert_eq!(db.zscore("top", "b")?, Some(2.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zrangestore(
        &self,
        to: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        range: &ZRange,
    ) -> Result<usize> {
        range
            .add_to(self.command("ZRANGESTORE").arg(&to).arg(&key))
            .run()
    }

    fn on_range<T: Decode>(&self, name: &'static str, key: &[u8], ends: [Vec<u8>; 2]) -> Result<T> {
        let [low, high] = ends;
        self.command(name).arg(key).owned(low).owned(high).run()
    }

    /// How many members have scores in a range. Takes logarithmic time.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0), ("c", 3.0)])?;
    /// assert_eq!(db.zcount("z", 1.0..3.0)?, 2);
    /// assert_eq!(db.zcount("z", ..)?, 3);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zcount(&self, key: impl AsRef<[u8]>, scores: impl RangeBounds<f64>) -> Result<usize> {
        self.on_range("ZCOUNT", key.as_ref(), score_texts(&scores))
    }

    /// How many members are in a range of their bytes; see [`ZRange::members`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("z", [("a", 0.0), ("b", 0.0), ("c", 0.0)])?;
    /// assert_eq!(db.zlexcount("z", "b"..)?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zlexcount<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl RangeBounds<M>,
    ) -> Result<usize> {
        self.on_range("ZLEXCOUNT", key.as_ref(), member_texts(&members))
    }

    /// Removes the members from the first to the last rank; how many there were.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0), ("c", 3.0)])?;
    /// assert_eq!(db.zremrange_by_rank("z", 0, -2)?, 2);          // all but the highest
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zremrange_by_rank(&self, key: impl AsRef<[u8]>, first: i64, last: i64) -> Result<usize> {
        self.command("ZREMRANGEBYRANK")
            .arg(&key)
            .int(first)
            .int(last)
            .run()
    }

    /// Removes the members with scores in a range; how many there were.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("seen", [("a", 100.0), ("b", 200.0)])?;
    /// assert_eq!(db.zremrange_by_score("seen", ..150.0)?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zremrange_by_score(
        &self,
        key: impl AsRef<[u8]>,
        scores: impl RangeBounds<f64>,
    ) -> Result<usize> {
        self.on_range("ZREMRANGEBYSCORE", key.as_ref(), score_texts(&scores))
    }

    /// Removes the members in a range of their bytes; how many there were. See [`ZRange::members`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("z", [("a", 0.0), ("b", 0.0), ("c", 0.0)])?;
    /// assert_eq!(db.zremrange_by_member("z", "a"..="b")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zremrange_by_member<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl RangeBounds<M>,
    ) -> Result<usize> {
        self.on_range("ZREMRANGEBYLEX", key.as_ref(), member_texts(&members))
    }

    /// The members of any of several sets with their scores, in order, at one moment.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZCombine};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd("a", "x", 1.0)?;
    /// db.zadd("b", "x", 2.0)?;
    /// let found = db.zunion(&ZCombine::new(["a", "b"]))?;
    /// assert_eq!((found[0].0.to_str(), found[0].1), (Ok("x"), 3.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zunion(&self, sets: &ZCombine) -> Result<Vec<(Bytes, f64)>> {
        sets.add_to(self.command("ZUNION")).arg("WITHSCORES").run()
    }

    /// The members that all of several sets have with their scores, in order, at one moment; see [`ZCombine`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, ZCombine};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
    /// db.zadd("b", "y", 3.0)?;
    /// assert_eq!(db.zinter(&ZCombine::new(["a", "b"]))?[0].1, 5.0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zinter(&self, sets: &ZCombine) -> Result<Vec<(Bytes, f64)>> {
        sets.add_to(self.command("ZINTER")).arg("WITHSCORES").run()
    }

    /// The members of the first set that none of the others has, with their scores, in order, at one moment.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
    /// db.zadd("b", "x", 5.0)?;
    /// let found = db.zdiff(["a", "b"])?;
    /// assert_eq!((found[0].0.to_str(), found[0].1), (Ok("y"), 2.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zdiff<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<(Bytes, f64)>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.command("ZDIFF").counted(&keys).arg("WITHSCORES").run()
    }

    /// Stores a union at a key, whatever was there; its size. An empty result deletes the key.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZCombine};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd("monday", "ada", 3.0)?;
    /// db.zadd("tuesday", "ada", 4.0)?;
    /// assert_eq!(db.zunionstore("week", &ZCombine::new(["monday", "tuesday"]))?, 1);
    /// assert_eq!(db.zscore("week", "ada")?, Some(7.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zunionstore(&self, to: impl AsRef<[u8]>, sets: &ZCombine) -> Result<usize> {
        sets.add_to(self.command("ZUNIONSTORE").arg(&to)).run()
    }

    /// Stores an intersection at a key, whatever was there; its size. An empty result deletes the key.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ZCombine};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd("a", "x", 1.0)?;
    /// assert_eq!(db.zinterstore("both", &ZCombine::new(["a", "absent"]))?, 0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zinterstore(&self, to: impl AsRef<[u8]>, sets: &ZCombine) -> Result<usize> {
        sets.add_to(self.command("ZINTERSTORE").arg(&to)).run()
    }

    /// Stores a difference at a key, whatever was there; its size. An empty result deletes the key. No keys at all are
    /// an error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
    /// db.zadd("b", "x", 5.0)?;
    /// assert_eq!(db.zdiffstore("rest", ["a", "b"])?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zdiffstore<K: AsRef<[u8]>>(
        &self,
        to: impl AsRef<[u8]>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let keys: Vec<K> = keys.into_iter().collect();
        self.command("ZDIFFSTORE").arg(&to).counted(&keys).run()
    }

    /// How many members all of several sets have; counts up to `limit` only, if there is one. No keys at all are an error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
    /// assert_eq!(db.zintercard(["a", "a"], None)?, 2);
    /// assert_eq!(db.zintercard(["a", "a"], Some(1))?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zintercard<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        limit: Option<usize>,
    ) -> Result<usize> {
        self.card("ZINTERCARD", keys, limit)
    }
}
