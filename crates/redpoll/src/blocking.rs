//! Typed calls that wait for an element to take.
//!
//! They put the calling thread to sleep; in async code each has a twin that is a future ([`Db::blpop_async`] ...). Of several callers and clients that wait for one key, the one that has waited longest is served first.
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
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! db.rpush("tasks", "a")?;
//! let (_, task) = db.blpop_async(["tasks"], None).await?.unwrap();
//! assert_eq!(task, "a");
//! # Ok::<(), redpoll::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::bytes::Bytes;
use crate::call::{Call, Decode};
use crate::db::Db;
use crate::error::Result;
use crate::expiry::millis;
use crate::lists::End;
use crate::sorted_sets::Extreme;
use crate::waiting::Waiting;
use crate::way::{Direct, Way};
use std::time::Duration;

/// Adds seconds, to the millisecond; 0 stands for no limit.
pub(crate) fn add_seconds<'a, W: Way>(call: Call<'a, W>, timeout: Option<Duration>) -> Call<'a, W> {
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

impl Call<'_, Direct> {
    /// Carries it out when it is polled.
    pub(crate) fn wait<T: Decode>(self) -> Waiting<T> {
        let db = self.db();
        Waiting::new(&db.way, db.index, self.into_args())
    }
}

impl Db {
    /// A command on keys with a timeout behind them.
    fn pop_call<'a, K: AsRef<[u8]>>(
        &'a self,
        name: &'static str,
        keys: &'a [K],
        timeout: Option<Duration>,
    ) -> Call<'a, Direct> {
        add_seconds(self.command(name).all(keys), timeout)
    }

    /// The same. Without keys there is nothing to wait for.
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
        self.pop_call(name, &keys, timeout).run()
    }

    fn pop_of_async<K: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<Option<T>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Waiting::ready(&self.way, Ok(None));
        }
        self.pop_call(name, &keys, timeout).wait()
    }

    /// A command that takes several elements from one of several keys.
    fn pop_several_call<'a, K: AsRef<[u8]>>(
        &'a self,
        name: &'static str,
        keys: &'a [K],
        from: &'static str,
        count: usize,
        timeout: Option<Duration>,
    ) -> Call<'a, Direct> {
        add_seconds(self.command(name), timeout)
            .counted(keys)
            .arg(from)
            .arg("COUNT")
            .count(count)
    }

    /// The same. Without keys there is nothing to wait for.
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
        self.pop_several_call(name, &keys, from, count, timeout)
            .run()
    }

    fn pop_several_of_async<K: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        keys: impl IntoIterator<Item = K>,
        from: &'static str,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Option<T>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Waiting::ready(&self.way, Ok(None));
        }
        self.pop_several_call(name, &keys, from, count, timeout)
            .wait()
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

    /// [`Db::blpop`] as a future.
    pub fn blpop_async<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<Option<(Bytes, Bytes)>> {
        self.pop_of_async("BLPOP", keys, timeout)
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

    /// [`Db::brpop`] as a future.
    pub fn brpop_async<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<Option<(Bytes, Bytes)>> {
        self.pop_of_async("BRPOP", keys, timeout)
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

    /// [`Db::blmove`] as a future.
    pub fn blmove_async(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        from_end: End,
        to_end: End,
        timeout: Option<Duration>,
    ) -> Waiting<Option<Bytes>> {
        let call = self
            .command("BLMOVE")
            .arg(&from)
            .arg(&to)
            .arg(from_end.word())
            .arg(to_end.word());
        add_seconds(call, timeout).wait()
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

    /// [`Db::blmpop`] as a future.
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn blmpop_async<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        from: End,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Option<(Bytes, Vec<Bytes>)>> {
        self.pop_several_of_async("BLMPOP", keys, from.word(), count, timeout)
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

    /// [`Db::bzpopmin`] as a future.
    pub fn bzpopmin_async<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<Option<(Bytes, Bytes, f64)>> {
        self.pop_of_async("BZPOPMIN", keys, timeout)
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

    /// [`Db::bzpopmax`] as a future.
    pub fn bzpopmax_async<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<Option<(Bytes, Bytes, f64)>> {
        self.pop_of_async("BZPOPMAX", keys, timeout)
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

    /// [`Db::bzmpop`] as a future.
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn bzmpop_async<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        from: Extreme,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Option<(Bytes, Vec<(Bytes, f64)>)>> {
        self.pop_several_of_async("BZMPOP", keys, from.word(), count, timeout)
    }
}
