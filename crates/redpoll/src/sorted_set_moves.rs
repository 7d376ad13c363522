//! Typed calls that move members from one sorted set to another at one moment, with their scores.
//!
//! A key that holds something else than a sorted set is an error with the code `WRONGTYPE`. Moving from a sorted set to itself does
//! nothing.

use crate::blocking::add_seconds;
use crate::bytes::Bytes;
use crate::call::{Call, Decode, OrEmpty};
use crate::db::Db;
use crate::error::Result;
use crate::sorted_set_ranges::score_texts;
use crate::sorted_sets::Extreme;
use crate::waiting::Waiting;
use crate::way::{Direct, Way};
use std::ops::RangeBounds;
use std::time::Duration;

impl<W: Way> Db<W> {
    /// Moves up to so many members with the lowest or the highest scores; they and their scores. Those that the destination has
    /// already get the score they come with.
    ///
    /// ```
    /// # use redpoll::{Config, Db, Extreme};
    /// # let db = Db::open(Config::default())?;
    /// db.zadd_many("waiting", [("a", 1.0), ("b", 2.0), ("c", 3.0)])?;
    /// let moved = db.zmove("waiting", "working", Extreme::Min, 2)?;
    /// assert_eq!((moved.len(), &*moved[1].0, moved[1].1), (2, &b"b"[..], 2.0));
    /// assert_eq!(db.zcard("working")?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zmove(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        which: Extreme,
        count: usize,
    ) -> Result<Vec<(Bytes, f64)>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let call = self.command("ZMOVE").arg(&from).arg(&to).arg(which.word());
        moved(call.arg("COUNT").count(count))
    }

    /// Moves the members with scores in a range, the lowest first; at most `count` of them, if that is given. They and their scores.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("later", [("a", 10.0), ("b", 20.0), ("c", 30.0)])?;
    /// let due = db.zmove_by_score("later", "now", ..=20.0, None)?;
    /// assert_eq!(due.len(), 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zmove_by_score(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        scores: impl RangeBounds<f64>,
        count: Option<usize>,
    ) -> Result<Vec<(Bytes, f64)>> {
        if count == Some(0) {
            return Ok(Vec::new());
        }
        let scores = score_texts(&scores);
        let call = self.command("ZMOVE").arg(&from).arg(&to);
        moved(call.arg("BYSCORE").all(&scores).option("COUNT", count))
    }

    /// Moves these members; those that were there, and their scores.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
    /// assert_eq!(db.zmovemember("a", "b", ["y", "z"])?.len(), 1);
    /// assert_eq!(db.zscore("b", "y")?, Some(2.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zmovemember<M: AsRef<[u8]>>(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<(Bytes, f64)>> {
        self.move_members(from.as_ref(), to.as_ref(), None, members)
    }

    /// Moves those of these members that the destination has already (`true`), or has not yet; they and their scores.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.zadd_many("a", [("x", 1.0), ("y", 2.0)])?;
    /// db.zadd("b", "x", 7.0)?;
    /// assert_eq!(db.zmovemember_if("a", "b", false, ["x", "y"])?[0].0, "y");
    /// assert_eq!(db.zmovemember_if("a", "b", true, ["x", "y"])?[0].0, "x");
    /// assert_eq!(db.zscore("b", "x")?, Some(1.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn zmovemember_if<M: AsRef<[u8]>>(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        present: bool,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<(Bytes, f64)>> {
        self.move_members(from.as_ref(), to.as_ref(), Some(present), members)
    }

    fn move_members<M: AsRef<[u8]>>(
        &self,
        from: &[u8],
        to: &[u8],
        present: Option<bool>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<(Bytes, f64)>> {
        let members: Vec<M> = members.into_iter().collect();
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.command("ZMOVEMEMBER").arg(from).arg(to);
        if let Some(present) = present {
            call = call.arg(if present { "XX" } else { "NX" });
        }
        moved(call.arg("MEMBERS").counted(&members))
    }
}

fn moved<W: Way>(call: Call<'_, W>) -> Result<Vec<(Bytes, f64)>> {
    let found: OrEmpty<(Bytes, f64)> = call.run()?;
    Ok(found.0)
}

impl Db {
    fn bzmove_call<'a>(
        &'a self,
        (from, to): (&'a [u8], &'a [u8]),
        which: Extreme,
        count: usize,
        timeout: Option<Duration>,
    ) -> Call<'a, Direct> {
        let call = self.command("BZMOVE").arg(from).arg(to).arg(which.word());
        add_seconds(call, timeout).arg("COUNT").count(count)
    }

    /// As [`Db::zmove`], and waits if there are no members to move; nothing if none came in time.
    ///
    /// ```
    /// # use redpoll::{Config, Db, Extreme};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// let worker = std::thread::spawn({
    ///     let db = db.clone();
    ///     move || db.bzmove("waiting", "working", Extreme::Min, 1, None)
    /// });
    /// db.zadd("waiting", "job", 1.0)?;
    /// assert_eq!(worker.join().unwrap()?[0].0, "job");
    /// let soon = Some(Duration::from_millis(1));
    /// assert!(db.bzmove("waiting", "working", Extreme::Min, 1, soon)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bzmove(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        which: Extreme,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<(Bytes, f64)>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        moved(self.bzmove_call((from.as_ref(), to.as_ref()), which, count, timeout))
    }

    /// [`Db::bzmove`] as a future.
    pub fn bzmove_async(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        which: Extreme,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<(Bytes, f64)>> {
        if count == 0 {
            return Waiting::ready(&self.way, Ok(Vec::new()));
        }
        let call = self.bzmove_call((from.as_ref(), to.as_ref()), which, count, timeout);
        let waiting: Waiting<Vec<(Bytes, f64)>> = call.wait();
        waiting.decoded_by(|value| OrEmpty::decode(value).map(|found| found.0))
    }
}
