//! Typed calls on entries that a group has given to a consumer and that nobody has acknowledged yet: listing, acknowledging, giving back,
//! and claiming those that have been pending for too long.
//!
//! A key or a group that does not exist is an error with the code `NOGROUP` where nothing else is said, and a key that
//! holds no stream one with the code `WRONGTYPE`.

use crate::bytes::Bytes;
use crate::call::{Call, Decode, OrEmpty, fixed, items};
use crate::db::Db;
use crate::error::Result;
use crate::expiry::{millis, unix_millis};
use crate::reply::unexpected;
use crate::stream_id::StreamId;
use crate::streams::{Deletion, References, StreamEntry, id_ends, id_texts};
use crate::value::Value;
use crate::way::Way;
use std::ops::RangeBounds;
use std::time::{Duration, SystemTime};

/// How [`Db::xnack`] gives entries back.
///
/// ```
/// # use redpoll::{Db, Config, GroupStart, Nack, XReadGroup};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let id = db.xadd("jobs", [("url", "/a")])?;
/// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
/// let new = XReadGroup::new().new_entries("jobs");
/// db.xreadgroup("workers", "w1", &new)?;
/// // It could not be done; who claims next gets it, however young it is.
/// assert_eq!(db.xnack("jobs", "workers", Nack::failed(), [id])?, 1);
/// let claimed = db.xreadgroup_claim("workers", "w2", Duration::from_secs(3600), &new)?;
/// assert_eq!(claimed[0].1[0].entry.id, id);
/// assert_eq!(claimed[0].1[0].deliveries, 1);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Nack {
    mode: &'static str,
    deliveries: Option<u64>,
    force: bool,
}

impl Nack {
    fn new(mode: &'static str) -> Nack {
        Nack {
            mode,
            deliveries: None,
            force: false,
        }
    }

    /// As if they had not been given to the consumer (SILENT): it counts one delivery less.
    pub fn silent() -> Nack {
        Nack::new("SILENT")
    }

    /// The consumer could not do what they ask for (FAIL): the delivery counts.
    pub fn failed() -> Nack {
        Nack::new("FAIL")
    }

    /// Nobody can (FATAL): they count as given out as often as can be counted.
    pub fn fatal() -> Nack {
        Nack::new("FATAL")
    }

    /// They count as given out so often (RETRYCOUNT).
    pub fn deliveries(mut self, times: u64) -> Nack {
        self.deliveries = Some(times);
        self
    }

    /// Gives back entries as well that are pending for nobody (FORCE).
    pub fn force(mut self) -> Nack {
        self.force = true;
        self
    }
}

/// What is pending in a group; from [`Db::xpending`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSummary {
    /// How many entries are.
    pub count: usize,
    /// The lowest ID and the highest; `None` if nothing is pending.
    pub ids: Option<(StreamId, StreamId)>,
    /// The consumers for whom anything is, and how many entries.
    pub consumers: Vec<(Bytes, usize)>,
}

impl Decode for PendingSummary {
    fn decode(value: Value) -> Result<PendingSummary> {
        let [count, first, last, consumers] = fixed(value)?;
        let ids = Option::decode(first)?.zip(Option::decode(last)?);
        // Their numbers come as text.
        let consumers: OrEmpty<(Bytes, Bytes)> = OrEmpty::decode(consumers)?;
        let number = |(name, text): (Bytes, Bytes)| match resp::parse_i64(&text) {
            Some(n) if n >= 0 => Ok((name, n as usize)),
            _ => Err(unexpected(&Value::Bulk(text.into()))),
        };
        Ok(PendingSummary {
            count: usize::decode(count)?,
            ids,
            consumers: consumers.0.into_iter().map(number).collect::<Result<_>>()?,
        })
    }
}

/// An entry that is pending; from [`Db::xpending_entries`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// Its ID.
    pub id: StreamId,
    /// For whom.
    pub consumer: Bytes,
    /// How long ago it was given to that consumer.
    pub idle: Duration,
    /// How often it has been given to a consumer.
    pub deliveries: u64,
}

impl Decode for PendingEntry {
    fn decode(value: Value) -> Result<PendingEntry> {
        let [id, consumer, idle, deliveries] = fixed(value)?;
        Ok(PendingEntry {
            id: StreamId::decode(id)?,
            consumer: Bytes::decode(consumer)?,
            idle: Duration::decode(idle)?,
            deliveries: u64::decode(deliveries)?,
        })
    }
}

/// Which pending entries [`Db::xpending_entries`] lists.
///
/// ```
/// # use redpoll::{Db, Config, GroupStart, XPending, XReadGroup};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let id = db.xadd("jobs", [("url", "/a")])?;
/// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
/// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
/// let listed = db.xpending_entries("jobs", "workers", &XPending::new().consumer("w1"))?;
/// assert_eq!((listed[0].id, listed[0].deliveries), (id, 1));
/// let old = XPending::new().min_idle(Duration::from_secs(3600));
/// assert!(db.xpending_entries("jobs", "workers", &old)?.is_empty());
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct XPending {
    ids: Option<[String; 2]>,
    count: usize,
    min_idle: Option<Duration>,
    consumer: Option<Vec<u8>>,
}

impl XPending {
    /// All of them.
    pub fn new() -> XPending {
        XPending {
            ids: id_ends(&..),
            count: usize::MAX,
            min_idle: None,
            consumer: None,
        }
    }

    /// Only those with IDs in a range.
    pub fn range(mut self, range: impl RangeBounds<StreamId>) -> XPending {
        self.ids = id_ends(&range);
        self
    }

    /// At most so many, those with the lowest IDs.
    pub fn count(mut self, entries: usize) -> XPending {
        self.count = entries;
        self
    }

    /// Only those that were given to their consumer at least so long ago.
    pub fn min_idle(mut self, time: Duration) -> XPending {
        self.min_idle = Some(time);
        self
    }

    /// Only those of one consumer.
    pub fn consumer(mut self, name: impl AsRef<[u8]>) -> XPending {
        self.consumer = Some(name.as_ref().to_vec());
        self
    }
}

impl Default for XPending {
    fn default() -> XPending {
        XPending::new()
    }
}

/// What [`Db::xclaim`] notes of the entries it claims.
///
/// ```
/// # use redpoll::{Db, Config, GroupStart, XClaim};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let id = db.xadd("jobs", [("url", "/a")])?;
/// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
/// // Nobody has it yet, so it has to be forced.
/// let claimed = db.xclaim("jobs", "workers", "w1", Duration::ZERO, [id], &XClaim::new())?;
/// assert!(claimed.is_empty());
/// let force = XClaim::new().force().deliveries(3);
/// let claimed = db.xclaim("jobs", "workers", "w1", Duration::ZERO, [id], &force)?;
/// assert_eq!(claimed[0].id, id);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct XClaim {
    given: Option<Given>,
    deliveries: Option<u64>,
    force: bool,
    last_id: Option<StreamId>,
}

#[derive(Clone, Copy, Debug)]
enum Given {
    Ago(Duration),
    At(SystemTime),
}

impl XClaim {
    /// They have been given to their new consumer just now, once more than before.
    pub fn new() -> XClaim {
        XClaim::default()
    }

    /// They count as given so long ago (IDLE). Of this and [`XClaim::time`] the last counts.
    pub fn idle(mut self, time: Duration) -> XClaim {
        self.given = Some(Given::Ago(time));
        self
    }

    /// They count as given at this time (TIME).
    pub fn time(mut self, time: SystemTime) -> XClaim {
        self.given = Some(Given::At(time));
        self
    }

    /// They count as given so often (RETRYCOUNT).
    pub fn deliveries(mut self, times: u64) -> XClaim {
        self.deliveries = Some(times);
        self
    }

    /// Claims entries that are pending for nobody as well.
    pub fn force(mut self) -> XClaim {
        self.force = true;
        self
    }

    /// Raises the last ID that the group has given out to this one.
    pub fn last_id(mut self, id: StreamId) -> XClaim {
        self.last_id = Some(id);
        self
    }

    fn add_to<'a, W: Way>(&self, mut call: Call<'a, W>) -> Call<'a, W> {
        match self.given {
            None => {}
            Some(Given::Ago(time)) => call = call.arg("IDLE").int(millis(time)),
            Some(Given::At(time)) => call = call.arg("TIME").int(unix_millis(time)),
        }
        if let Some(times) = self.deliveries {
            call = call.arg("RETRYCOUNT").owned(times.to_string());
        }
        if let Some(id) = self.last_id {
            call = call.arg("LASTID").owned(id.to_string());
        }
        call.word_if(self.force, "FORCE")
    }
}

/// What [`Db::xautoclaim`] found: entries ([`StreamEntry`]) or their IDs alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoClaimed<T> {
    /// Where to go on from; [`StreamId::MIN`] if all pending entries have been looked at.
    pub next: StreamId,
    /// What is pending for the new consumer now.
    pub claimed: Vec<T>,
    /// Entries that were pending but have been deleted; they are not pending any more.
    pub deleted: Vec<StreamId>,
}

impl<T: Decode> Decode for AutoClaimed<T> {
    fn decode(value: Value) -> Result<AutoClaimed<T>> {
        let [next, claimed, deleted] = fixed(value)?;
        Ok(AutoClaimed {
            next: StreamId::decode(next)?,
            claimed: items(claimed)?
                .into_iter()
                .map(T::decode)
                .collect::<Result<_>>()?,
            deleted: Vec::decode(deleted)?,
        })
    }
}

impl<W: Way> Db<W> {
    /// Gives pending entries back to the group, for whoever claims next; how many. See [`Nack`].
    pub fn xnack(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        how: Nack,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<usize> {
        let ids = id_texts(ids);
        if ids.is_empty() {
            return Ok(0);
        }
        let mut call = self
            .command("XNACK")
            .arg(&key)
            .arg(&group)
            .arg(how.mode)
            .arg("IDS")
            .counted(&ids);
        if let Some(times) = how.deliveries {
            call = call.arg("RETRYCOUNT").owned(times.to_string());
        }
        call.word_if(how.force, "FORCE").run()
    }

    /// Acknowledges entries, so that they are not pending any more; how many were. A key or group that does not exist
    /// has none.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.xack("absent", "workers", [redpoll::StreamId::new(1, 1)])?, 0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xack(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<usize> {
        let ids = id_texts(ids);
        if ids.is_empty() {
            return Ok(0);
        }
        self.command("XACK").arg(&key).arg(&group).all(&ids).run()
    }

    /// Acknowledges entries and deletes them from the stream; what became of each.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Deletion, GroupStart, References, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
    /// let done = db.xackdel("jobs", "workers", References::Acknowledged, [id])?;
    /// assert_eq!(done, [Deletion::Deleted]);
    /// assert_eq!(db.xlen("jobs")?, 0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xackdel(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        references: References,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<Vec<Deletion>> {
        let ids = id_texts(ids);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.command("XACKDEL")
            .arg(&key)
            .arg(&group)
            .arg(references.word())
            .arg("IDS")
            .counted(&ids)
            .run()
    }

    /// What is pending in a group, in short.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// assert_eq!(db.xpending("jobs", "workers")?.ids, None);
    /// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
    /// let pending = db.xpending("jobs", "workers")?;
    /// assert_eq!((pending.count, pending.ids), (1, Some((id, id))));
    /// assert_eq!(pending.consumers[0].0, "w1");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xpending(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
    ) -> Result<PendingSummary> {
        self.command("XPENDING").arg(&key).arg(&group).run()
    }

    /// What is pending in a group, entry by entry; see [`XPending`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, GroupStart, XPending};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// assert!(db.xpending_entries("jobs", "workers", &XPending::new())?.is_empty());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xpending_entries(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        which: &XPending,
    ) -> Result<Vec<PendingEntry>> {
        let Some([first, last]) = &which.ids else {
            return Ok(Vec::new());
        };
        let mut call = self.command("XPENDING").arg(&key).arg(&group);
        if let Some(time) = which.min_idle {
            call = call.arg("IDLE").int(millis(time));
        }
        call = call.arg(first).arg(last).count(which.count);
        if let Some(consumer) = &which.consumer {
            call = call.arg(consumer);
        }
        call.run()
    }

    fn claim<T: Decode>(
        &self,
        [key, group, consumer]: [&[u8]; 3],
        min_idle: Duration,
        ids: impl IntoIterator<Item = StreamId>,
        options: &XClaim,
        only_ids: bool,
    ) -> Result<Vec<T>> {
        let ids = id_texts(ids);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let call = self
            .command("XCLAIM")
            .arg(key)
            .arg(group)
            .arg(consumer)
            .int(millis(min_idle))
            .all(&ids);
        options.add_to(call).word_if(only_ids, "JUSTID").run()
    }

    /// Gives pending entries to another consumer, those that were given to theirs at least `min_idle` ago; the entries. Ones
    /// that have been deleted are not pending any more then. See [`XClaim`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, GroupStart, XClaim, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// # use std::time::Duration;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
    /// let claimed = db.xclaim("jobs", "workers", "w2", Duration::ZERO, [id], &XClaim::new())?;
    /// assert_eq!(claimed[0].get("url").unwrap(), "/a");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xclaim(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        ids: impl IntoIterator<Item = StreamId>,
        options: &XClaim,
    ) -> Result<Vec<StreamEntry>> {
        let names = [key.as_ref(), group.as_ref(), consumer.as_ref()];
        self.claim(names, min_idle, ids, options, false)
    }

    /// The same, but returns IDs only, and does not count as another delivery.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, XClaim, XReadGroup};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
    /// let claimed = db.xclaim_ids("jobs", "workers", "w2", Duration::ZERO, [id], &XClaim::new())?;
    /// assert_eq!(claimed, [id]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xclaim_ids(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        ids: impl IntoIterator<Item = StreamId>,
        options: &XClaim,
    ) -> Result<Vec<StreamId>> {
        let names = [key.as_ref(), group.as_ref(), consumer.as_ref()];
        self.claim(names, min_idle, ids, options, true)
    }

    fn auto_claim<T: Decode>(
        &self,
        [key, group, consumer]: [&[u8]; 3],
        min_idle: Duration,
        from: StreamId,
        count: Option<usize>,
        only_ids: bool,
    ) -> Result<AutoClaimed<T>> {
        self.command("XAUTOCLAIM")
            .arg(key)
            .arg(group)
            .arg(consumer)
            .int(millis(min_idle))
            .owned(from.to_string())
            .option("COUNT", count)
            .word_if(only_ids, "JUSTID")
            .run()
    }

    /// Gives pending entries from an ID on to another consumer, those that were given to theirs at least `min_idle` ago:
    /// at most `count`, or 100 if that is not given; 0 is an error.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, StreamId, XReadGroup};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
    /// let found = db.xautoclaim("jobs", "workers", "w2", Duration::ZERO, StreamId::MIN, None)?;
    /// assert_eq!(found.claimed[0].id, id);
    /// assert_eq!(found.next, StreamId::MIN);                     // that was all
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xautoclaim(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        from: StreamId,
        count: Option<usize>,
    ) -> Result<AutoClaimed<StreamEntry>> {
        let names = [key.as_ref(), group.as_ref(), consumer.as_ref()];
        self.auto_claim(names, min_idle, from, count, false)
    }

    /// The same, but returns IDs only, and does not count as another delivery.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, StreamId};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::beginning())?;
    /// let minute = Duration::from_secs(60);
    /// let found = db.xautoclaim_ids("jobs", "workers", "w2", minute, StreamId::MIN, None)?;
    /// assert!(found.claimed.is_empty());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xautoclaim_ids(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        from: StreamId,
        count: Option<usize>,
    ) -> Result<AutoClaimed<StreamId>> {
        let names = [key.as_ref(), group.as_ref(), consumer.as_ref()];
        self.auto_claim(names, min_idle, from, count, true)
    }
}
