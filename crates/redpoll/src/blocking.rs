//! Typed calls that wait for an element to take.
//!
//! They put the calling thread to sleep, so in async code they belong on a thread of their own (Tokio:
//! `spawn_blocking`). Of several callers and clients that wait for one key, the one that has waited longest is served first.
//! A `timeout` of `None` waits as long as it takes; what would be longer than some hundred million years is an error. A call
//! that was not served in time returns `None`. To wait for entries of streams there are [`XRead::block`](crate::XRead::block)
//! and [`XReadGroup::block`](crate::XReadGroup::block).
//!
//! ```
//! # use redpoll::{Db, Config};
//! # use std::time::Duration;
//! # let db = Db::open(Config::default())?;
//! let worker = std::thread::spawn({
//!     let db = db.clone();
//!     move || db.bzpopmin(["jobs"], None)
//! });
//! db.zadd("jobs", "first", 1.0)?;
//! let (_, job, _) = worker.join().unwrap()?.unwrap();
//! assert_eq!(job, "first");
//! # Ok::<(), redpoll::Error>(())
//! ```

use crate::bytes::Bytes;
use crate::call::{Call, Decode};
use crate::db::Db;
use crate::error::Result;
use crate::lists::End;
use crate::sorted_sets::Extreme;
use crate::strings::millis;
use crate::way::Way;
use std::time::Duration;

/// Adds seconds, to the millisecond; 0 stands for no limit.
fn add_seconds<'a, W: Way>(call: Call<'a, W>, timeout: Option<Duration>) -> Call<'a, W> {
    match timeout.map(|time| millis(time).max(1)) {
        None => call.arg("0"),
        Some(ms) => call.owned(format!("{}.{:03}", ms / 1000, ms % 1000)),
    }
}

/// Adds BLOCK and milliseconds; 0 stands for no limit.
pub(crate) fn add_block<'a, W: Way>(
    call: Call<'a, W>,
    block: Option<Option<Duration>>,
) -> Call<'a, W> {
    match block {
        None => call,
        Some(timeout) => call
            .arg("BLOCK")
            .int(timeout.map_or(0, |time| millis(time).max(1))),
    }
}

impl Db {
    /// A command on keys with a timeout behind them. Without keys there is nothing to wait for.
    fn pop_of<K: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Result<Option<T>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(None);
        }
        add_seconds(self.command(name).all(&keys), timeout).run()
    }

    /// A command that takes several elements from one of several keys.
    fn pop_several_of<K: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        keys: impl IntoIterator<Item = K>,
        from: &'static str,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<T>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(None);
        }
        add_seconds(self.command(name), timeout)
            .counted(&keys)
            .arg(from)
            .arg("COUNT")
            .count(count)
            .run()
    }

    /// Takes the first element out of the first list that has any, and waits if none has; that list's key and the element.
    /// An error with the code `WRONGTYPE` if a key holds something else when the call comes to it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush("second", "a")?;
    /// let (key, element) = db.blpop(["first", "second"], None)?.unwrap();
    /// assert_eq!((key.to_str(), element.to_str()), (Ok("second"), Ok("a")));
    /// assert_eq!(db.blpop(["first"], Some(Duration::from_millis(1)))?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn blpop<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Result<Option<(Bytes, Bytes)>> {
        self.pop_of("BLPOP", keys, timeout)
    }

    /// Takes the last element out of the first list that has any, and waits if none has; otherwise as [`Db::blpop`].
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// assert_eq!(db.brpop(["l"], None)?.unwrap().1, "b");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn brpop<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Result<Option<(Bytes, Bytes)>> {
        self.pop_of("BRPOP", keys, timeout)
    }

    /// Moves an element from an end of one list to an end of another, and waits if there is none; the element. See
    /// [`Db::lmove`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, End};
    /// # let db = Db::open(Config::default())?;
    /// db.rpush("waiting", "job")?;
    /// let job = db.blmove("waiting", "working", End::Left, End::Right, None)?;
    /// assert_eq!(job.unwrap(), "job");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn blmove(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        from_end: End,
        to_end: End,
        timeout: Option<Duration>,
    ) -> Result<Option<Bytes>> {
        let call = self
            .command("BLMOVE")
            .arg(&from)
            .arg(&to)
            .arg(from_end.word())
            .arg(to_end.word());
        add_seconds(call, timeout).run()
    }

    /// Takes up to so many elements from an end of the first list that has any, and waits if none has; see
    /// [`Db::lmpop`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, End};
    /// # let db = Db::open(Config::default())?;
    /// db.rpush_many("l", ["a", "b"])?;
    /// assert_eq!(db.blmpop(["l"], End::Right, 2, None)?.unwrap().1, ["b", "a"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn blmpop<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        from: End,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<(Bytes, Vec<Bytes>)>> {
        self.pop_several_of("BLMPOP", keys, from.word(), count, timeout)
    }

    /// Takes the member with the lowest score out of the first sorted set that has any, and waits if none has; that set's
    /// key, the member and its score. An error with the code `WRONGTYPE` if a key holds something else when the call comes to it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd("z", "a", 1.5)?;
    /// let (key, member, score) = db.bzpopmin(["z"], None)?.unwrap();
    /// assert_eq!((key.to_str(), member.to_str(), score), (Ok("z"), Ok("a"), 1.5));
    /// assert_eq!(db.bzpopmin(["z"], Some(Duration::from_millis(1)))?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn bzpopmin<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Result<Option<(Bytes, Bytes, f64)>> {
        self.pop_of("BZPOPMIN", keys, timeout)
    }

    /// The same with the highest score.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0)])?;
    /// assert_eq!(db.bzpopmax(["z"], None)?.unwrap().1, "b");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn bzpopmax<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Result<Option<(Bytes, Bytes, f64)>> {
        self.pop_of("BZPOPMAX", keys, timeout)
    }

    /// Takes up to so many members out of the first sorted set that has any, and waits if none has; see [`Db::zmpop`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, Extreme};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("z", [("a", 1.0), ("b", 2.0)])?;
    /// let (_, members) = db.bzmpop(["z"], Extreme::Max, 5, None)?.unwrap();
    /// assert_eq!(members[0].0, "b");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn bzmpop<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        from: Extreme,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<(Bytes, Vec<(Bytes, f64)>)>> {
        self.pop_several_of("BZMPOP", keys, from.word(), count, timeout)
    }
}
