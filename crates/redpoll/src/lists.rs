//! Typed calls on lists. Elements have indices from 0; negative ones count from the end, -1 being the last.
//!
//! Unless a call says otherwise, a key that does not exist is an empty list, and a key that holds something else is an
//! error with the code `WRONGTYPE` that changes nothing. A list whose last element goes is gone itself.

use crate::bytes::{Bytes, Payload};
use crate::call::OrEmpty;
use crate::db::Db;
use crate::error::Result;
use crate::way::Way;
use store::types::list::List;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The front, with index 0.
    Left,
    /// The back, with index -1.
    Right,
}

impl End {
    pub(crate) fn word(self) -> &'static str {
        match self {
            End::Left => "LEFT",
            End::Right => "RIGHT",
        }
    }
}

/// Which of the equal elements [`Db::lpos_with`] finds.
///
/// ```
/// # use redpoll::{Db, Config, LPos};
/// # let db = Db::open(Config::default())?;
/// db.rpush_many("l", ["a", "b", "a", "a"])?;
/// assert_eq!(db.lpos_with("l", "a", &LPos::new())?, [0, 2, 3]);
/// assert_eq!(db.lpos_with("l", "a", &LPos::new().rank(2).count(1))?, [2]);
/// assert_eq!(db.lpos_with("l", "a", &LPos::new().rank(-1))?, [3, 2, 0]);
/// assert_eq!(db.lpos_with("l", "a", &LPos::new().max_len(2))?, [0]);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct LPos {
    rank: Option<i64>,
    count: usize,
    max_len: Option<usize>,
}

impl LPos {
    /// All of them, from the front.
    pub fn new() -> LPos {
        LPos::default()
    }

    /// From the so-manieth on: 1 is the first. Negative numbers go from the back to the front, -1 being the last one. 0 is an
    /// error of the call.
    pub fn rank(mut self, rank: i64) -> LPos {
        self.rank = Some(rank);
        self
    }

    /// At most so many; 0 means all.
    pub fn count(mut self, count: usize) -> LPos {
        self.count = count;
        self
    }

    /// Compares at most so many elements; 0 means all.
    pub fn max_len(mut self, elements: usize) -> LPos {
        self.max_len = Some(elements);
        self
    }
}

impl<W: Way> Db<W> {
    fn push<'v>(
        &self,
        name: &'static str,
        key: &[u8],
        element: impl Into<Payload<'v>>,
    ) -> Result<usize> {
        let element = element.into();
        self.command(name).arg(key).payload(&element).run()
    }

    fn push_many<V: AsRef<[u8]>>(
        &self,
        name: &'static str,
        key: &[u8],
        elements: impl IntoIterator<Item = V>,
    ) -> Result<usize> {
        let elements: Vec<V> = elements.into_iter().collect();
        if elements.is_empty() {
            return self.llen(key);
        }
        self.command(name).arg(key).all(&elements).run()
    }

    /// Puts an element at the front of a list, which is created if need be; its length afterwards.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.lpush("l", "world")?, 1);
    /// assert_eq!(db.lpush("l", "hello")?, 2);
    /// assert_eq!(db.lrange("l", 0, -1)?, ["hello", "world"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpush<'v>(
        &self,
        key: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<usize> {
        self.push("LPUSH", key.as_ref(), element)
    }

    /// Puts elements at the front of a list one after another, so that the last of them is its first; its length
    /// afterwards.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.lpush_many("l", ["a", "b"])?, 2);
    /// assert_eq!(db.lrange("l", 0, -1)?, ["b", "a"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpush_many<V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        elements: impl IntoIterator<Item = V>,
    ) -> Result<usize> {
        self.push_many("LPUSH", key.as_ref(), elements)
    }

    /// Puts an element at the back of a list, which is created if need be; its length afterwards.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush("l", 1)?;
    /// assert_eq!(db.rpush("l", 2)?, 2);
    /// assert_eq!(db.lrange("l", 0, -1)?, ["1", "2"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn rpush<'v>(
        &self,
        key: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<usize> {
        self.push("RPUSH", key.as_ref(), element)
    }

    /// Puts elements at the back of a list, in their order; its length afterwards.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.rpush_many("l", ["a", "b"])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn rpush_many<V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        elements: impl IntoIterator<Item = V>,
    ) -> Result<usize> {
        self.push_many("RPUSH", key.as_ref(), elements)
    }

    /// Puts an element at the front of a list that exists; its length afterwards, 0 if there is no such list.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.lpushx("l", "a")?, 0);
    /// assert!(!db.exists("l")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpushx<'v>(
        &self,
        key: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<usize> {
        self.push("LPUSHX", key.as_ref(), element)
    }

    /// Puts an element at the back of a list that exists; its length afterwards, 0 if there is no such list.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush("l", "a")?;
    /// assert_eq!(db.rpushx("l", "b")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn rpushx<'v>(
        &self,
        key: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<usize> {
        self.push("RPUSHX", key.as_ref(), element)
    }

    /// Takes the first element out of a list; `None` if there is none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// assert_eq!(db.lpop("l")?.unwrap(), "a");
    /// assert_eq!(db.lpop("absent")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpop(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("LPOP").arg(&key).run()
    }

    /// Takes up to so many elements from the front of a list, the first one first.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b", "c"])?;
    /// assert_eq!(db.lpop_many("l", 2)?, ["a", "b"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpop_many(&self, key: impl AsRef<[u8]>, count: usize) -> Result<Vec<Bytes>> {
        let popped: OrEmpty<Bytes> = self.command("LPOP").arg(&key).count(count).run()?;
        Ok(popped.0)
    }

    /// Takes the last element out of a list; `None` if there is none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// assert_eq!(db.rpop("l")?.unwrap(), "b");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn rpop(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("RPOP").arg(&key).run()
    }

    /// Takes up to so many elements from the back of a list, the last one first.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b", "c"])?;
    /// assert_eq!(db.rpop_many("l", 2)?, ["c", "b"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn rpop_many(&self, key: impl AsRef<[u8]>, count: usize) -> Result<Vec<Bytes>> {
        let popped: OrEmpty<Bytes> = self.command("RPOP").arg(&key).count(count).run()?;
        Ok(popped.0)
    }

    /// Takes up to so many elements from an end of the first list that has any; that list's key and the elements. A
    /// count of 0 is an error.
    ///
    /// ```
    /// # use redpoll::{Db, Config, End};
    /// # let db = Db::open(Config::default())?;
    /// db.rpush_many("second", ["a", "b"])?;
    /// let (key, elements) = db.lmpop(["first", "second"], End::Left, 10)?.unwrap();
    /// assert_eq!(key, "second");
    /// assert_eq!(elements, ["a", "b"]);
    /// assert_eq!(db.lmpop(["first", "second"], End::Left, 10)?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lmpop<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        from: End,
        count: usize,
    ) -> Result<Option<(Bytes, Vec<Bytes>)>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(None);
        }
        self.command("LMPOP")
            .counted(&keys)
            .arg(from.word())
            .arg("COUNT")
            .count(count)
            .run()
    }

    /// Moves an element from an end of one list to an end of another, or of the same one, at one moment; the element.
    /// `None` if there is none.
    ///
    /// ```
    /// # use redpoll::{Db, Config, End};
    /// # let db = Db::open(Config::default())?;
    /// db.rpush_many("waiting", ["a", "b"])?;
    /// assert_eq!(db.lmove("waiting", "working", End::Left, End::Right)?.unwrap(), "a");
    /// assert_eq!(db.lrange("working", 0, -1)?, ["a"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lmove(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        from_end: End,
        to_end: End,
    ) -> Result<Option<Bytes>> {
        self.command("LMOVE")
            .arg(&from)
            .arg(&to)
            .arg(from_end.word())
            .arg(to_end.word())
            .run()
    }

    /// How many elements a list has.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// assert_eq!(db.llen("l")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn llen(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let len = self.look_at::<List, _>(key.as_ref(), |list| list.len())?;
        Ok(len.unwrap_or(0))
    }

    /// The element at an index; `None` if there is none. Those near an end are found at once, others in time
    /// proportional to their distance from the nearer end.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b", "c"])?;
    /// assert_eq!(db.lindex("l", 1)?.unwrap(), "b");
    /// assert_eq!(db.lindex("l", -1)?.unwrap(), "c");
    /// assert_eq!(db.lindex("l", 3)?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lindex(&self, key: impl AsRef<[u8]>, index: i64) -> Result<Option<Bytes>> {
        self.command("LINDEX").arg(&key).int(index).run()
    }

    /// The elements from the first to the last index. Indices outside are taken for the nearest one inside.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b", "c"])?;
    /// assert_eq!(db.lrange("l", 1, -1)?, ["b", "c"]);
    /// assert!(db.lrange("l", 5, 9)?.is_empty());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lrange(&self, key: impl AsRef<[u8]>, first: i64, last: i64) -> Result<Vec<Bytes>> {
        self.command("LRANGE").arg(&key).int(first).int(last).run()
    }

    /// Replaces the element at an index. An error if there is no such key or no such index.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// db.lset("l", -1, "z")?;
    /// assert_eq!(db.lset("l", 2, "c").unwrap_err().to_string(), "ERR index out of range");
    /// assert_eq!(db.lset("absent", 0, "c").unwrap_err().to_string(), "ERR no such key");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lset<'v>(
        &self,
        key: impl AsRef<[u8]>,
        index: i64,
        element: impl Into<Payload<'v>>,
    ) -> Result {
        let element = element.into();
        self.command("LSET")
            .arg(&key)
            .int(index)
            .payload(&element)
            .run()
    }

    fn insert<'v>(
        &self,
        key: &[u8],
        place: &'static str,
        pivot: &[u8],
        element: impl Into<Payload<'v>>,
    ) -> Result<Option<usize>> {
        let element = element.into();
        let call = self.command("LINSERT").arg(key).arg(place).arg(pivot);
        // -1: no such element, 0: no such list.
        let len: i64 = call.payload(&element).run()?;
        Ok(usize::try_from(len).ok().filter(|len| *len > 0))
    }

    /// Inserts an element before the first one that equals `pivot`; the list's length afterwards, `None` if it has no
    /// such element.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "c"])?;
    /// assert_eq!(db.linsert_before("l", "c", "b")?, Some(3));
    /// assert_eq!(db.linsert_before("l", "x", "b")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn linsert_before<'v>(
        &self,
        key: impl AsRef<[u8]>,
        pivot: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<Option<usize>> {
        self.insert(key.as_ref(), "BEFORE", pivot.as_ref(), element)
    }

    /// Inserts an element behind the first one that equals `pivot`; the list's length afterwards, `None` if it has no
    /// such element.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "c"])?;
    /// db.linsert_after("l", "a", "b")?;
    /// assert_eq!(db.lrange("l", 0, -1)?, ["a", "b", "c"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn linsert_after<'v>(
        &self,
        key: impl AsRef<[u8]>,
        pivot: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<Option<usize>> {
        self.insert(key.as_ref(), "AFTER", pivot.as_ref(), element)
    }

    /// Removes elements that equal `element`: the first `count` ones, the last `-count` ones if `count` is negative, all
    /// if it is 0. How many were removed.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["x", "a", "x", "b", "x"])?;
    /// assert_eq!(db.lrem("l", -1, "x")?, 1);
    /// assert_eq!(db.lrange("l", 0, -1)?, ["x", "a", "x", "b"]);
    /// assert_eq!(db.lrem("l", 0, "x")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lrem<'v>(
        &self,
        key: impl AsRef<[u8]>,
        count: i64,
        element: impl Into<Payload<'v>>,
    ) -> Result<usize> {
        let element = element.into();
        self.command("LREM")
            .arg(&key)
            .int(count)
            .payload(&element)
            .run()
    }

    /// Keeps the elements from the first to the last index and removes all others.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("log", ["a", "b", "c"])?;
    /// db.ltrim("log", -2, -1)?;
    /// assert_eq!(db.lrange("log", 0, -1)?, ["b", "c"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn ltrim(&self, key: impl AsRef<[u8]>, first: i64, last: i64) -> Result {
        self.command("LTRIM").arg(&key).int(first).int(last).run()
    }

    /// The index of the first element that equals `element`.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// assert_eq!(db.lpos("l", "b")?, Some(1));
    /// assert_eq!(db.lpos("l", "c")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpos<'v>(
        &self,
        key: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
    ) -> Result<Option<usize>> {
        let element = element.into();
        self.command("LPOS").arg(&key).payload(&element).run()
    }

    /// The indices of the elements that equal `element`; see [`LPos`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, LPos};
    /// # let db = Db::open(Config::default())?;
    /// db.rpush_many("l", ["a", "b", "a"])?;
    /// assert_eq!(db.lpos_with("l", "a", &LPos::new())?, [0, 2]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lpos_with<'v>(
        &self,
        key: impl AsRef<[u8]>,
        element: impl Into<Payload<'v>>,
        which: &LPos,
    ) -> Result<Vec<usize>> {
        let element = element.into();
        let mut call = self
            .command("LPOS")
            .arg(&key)
            .payload(&element)
            .arg("COUNT")
            .count(which.count)
            .option("MAXLEN", which.max_len);
        if let Some(rank) = which.rank {
            call = call.arg("RANK").int(rank);
        }
        call.run()
    }
}
