//! Typed calls on consumer groups of streams.
//!
//! A group remembers how far its stream has been given out. Each entry goes to one of the group's consumers and is
//! pending until that one acknowledges it, of which [`crate::stream_pending`] has the calls. What describes streams, groups and
//! consumers is in [`crate::stream_info`].
//!
//! A key or a group that does not exist is an error with the code `NOGROUP` where nothing else is said, and a key that
//! holds no stream one with the code `WRONGTYPE`.

use crate::blocking::add_block;
use crate::bytes::Bytes;
use crate::call::{Call, Decode, OrEmpty, fixed};
use crate::db::Db;
use crate::error::Result;
use crate::expiry::millis;
use crate::stream_id::StreamId;
use crate::streams::{Most, StreamEntry, add_streams};
use crate::value::Value;
use crate::waiting::Waiting;
use crate::way::Way;
use std::time::Duration;

/// From where on a group gives entries out; for [`Db::xgroup_create`] and [`Db::xgroup_setid`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct GroupStart {
    after: Option<StreamId>,
    entries_read: Option<u64>,
}

impl GroupStart {
    /// All entries there are.
    pub fn beginning() -> GroupStart {
        GroupStart::after(StreamId::MIN)
    }

    /// Entries that are yet to come.
    pub fn end() -> GroupStart {
        GroupStart {
            after: None,
            entries_read: None,
        }
    }

    /// Entries with IDs higher than this one.
    pub fn after(id: StreamId) -> GroupStart {
        GroupStart {
            after: Some(id),
            entries_read: None,
        }
    }

    /// How many entries the group counts as read, from which its lag is computed.
    pub fn entries_read(mut self, entries: u64) -> GroupStart {
        self.entries_read = Some(entries);
        self
    }

    fn id(&self) -> String {
        self.after.map_or("$".into(), |id| id.to_string())
    }

    fn add_to<'a, W: Way>(&self, call: Call<'a, W>) -> Call<'a, W> {
        match self.entries_read {
            None => call,
            Some(n) => call.arg("ENTRIESREAD").owned(n.to_string()),
        }
    }
}

/// Streams to read as a consumer; for [`Db::xreadgroup`].
///
/// ```
/// # use redpoll::{Db, Config, GroupStart, StreamId, XReadGroup};
/// # let db = Db::open(Config::default())?;
/// let id = db.xadd("jobs", [("url", "/a")])?;
/// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
/// // New entries, which become pending:
/// let new = XReadGroup::new().new_entries("jobs").count(10);
/// let found = db.xreadgroup("workers", "w1", &new)?;
/// assert_eq!(found[0].1[0].id, id);
/// assert!(db.xreadgroup("workers", "w2", &new)?.is_empty());
/// // After a crash: what was given to this consumer and is not acknowledged.
/// let pending = XReadGroup::new().pending_after("jobs", StreamId::MIN);
/// assert_eq!(db.xreadgroup("workers", "w1", &pending)?[0].1.len(), 1);
/// assert_eq!(db.xack("jobs", "workers", [id])?, 1);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct XReadGroup {
    most: Most,
    block: Option<Option<Duration>>,
    no_ack: bool,
    streams: Vec<(Vec<u8>, String)>,
}

impl XReadGroup {
    /// No streams.
    pub fn new() -> XReadGroup {
        XReadGroup::default()
    }

    /// Reads entries of a stream that the group has not given to anybody yet.
    pub fn new_entries(mut self, key: impl AsRef<[u8]>) -> XReadGroup {
        self.streams.push((key.as_ref().to_vec(), ">".into()));
        self
    }

    /// Reads this consumer's own pending entries of a stream after an ID once more.
    pub fn pending_after(mut self, key: impl AsRef<[u8]>, id: StreamId) -> XReadGroup {
        self.streams.push((key.as_ref().to_vec(), id.to_string()));
        self
    }

    /// Reads at most so many entries of each stream; 0 means all.
    pub fn count(mut self, entries: usize) -> XReadGroup {
        self.most.count = Some(entries);
        self
    }

    /// Reads at most so many entries of all streams together; as [`XRead::max_count`](crate::XRead::max_count).
    pub fn max_count(mut self, entries: usize) -> XReadGroup {
        self.most.total = Some(entries);
        self
    }

    /// Reads no more entries once there are so many bytes of them; as [`XRead::max_size`](crate::XRead::max_size).
    pub fn max_size(mut self, bytes: usize) -> XReadGroup {
        self.most.bytes = Some(bytes);
        self
    }

    /// If there are no new entries, waits for them: for so long, or as long as it takes. Puts the calling thread to
    /// sleep, so in async code this belongs on a thread of its own. The call is an error if the stream or the group is
    /// deleted meanwhile.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// let worker = std::thread::spawn({
    ///     let db = db.clone();
    ///     move || db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs").block(None))
    /// });
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// assert_eq!(worker.join().unwrap()?[0].1[0].id, id);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn block(mut self, timeout: Option<Duration>) -> XReadGroup {
        self.block = Some(timeout);
        self
    }

    /// New entries do not become pending: they count as acknowledged (NOACK).
    pub fn no_ack(mut self) -> XReadGroup {
        self.no_ack = true;
        self
    }
}

/// An entry that was read by [`Db::xreadgroup_claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedEntry {
    /// It.
    pub entry: StreamEntry,
    /// How long ago it had been given to another consumer; nothing if it is new.
    pub idle: Duration,
    /// How often it had been given to a consumer; 0 if it is new.
    pub deliveries: u64,
}

impl Decode for ClaimedEntry {
    fn decode(value: Value) -> Result<ClaimedEntry> {
        let [id, fields, idle, deliveries] = fixed(value)?;
        Ok(ClaimedEntry {
            entry: StreamEntry::decode(Value::Array(vec![id, fields]))?,
            idle: Duration::decode(idle)?,
            deliveries: u64::decode(deliveries)?,
        })
    }
}

impl<W: Way> Db<W> {
    /// Creates a consumer group. An error if there is no such key, and one with the code `BUSYGROUP` if there is such a
    /// group.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::end())?;
    /// let again = db.xgroup_create("jobs", "workers", GroupStart::end());
    /// assert_eq!(again.unwrap_err().code(), "BUSYGROUP");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xgroup_create(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        start: GroupStart,
    ) -> Result {
        let call = self.command("XGROUP").arg("CREATE").arg(&key).arg(&group);
        start.add_to(call.owned(start.id())).run()
    }

    /// Creates a consumer group, and an empty stream if there is no such key (MKSTREAM).
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::beginning())?;
    /// assert_eq!(db.xlen("jobs")?, 0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xgroup_create_with_stream(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        start: GroupStart,
    ) -> Result {
        let call = self.command("XGROUP").arg("CREATE").arg(&key).arg(&group);
        start.add_to(call.owned(start.id()).arg("MKSTREAM")).run()
    }

    /// Has a group go on from somewhere else. What is pending stays pending.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::end())?;
    /// db.xgroup_setid("jobs", "workers", GroupStart::beginning())?;
    /// let new = XReadGroup::new().new_entries("jobs");
    /// assert_eq!(db.xreadgroup("workers", "w1", &new)?.len(), 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xgroup_setid(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        start: GroupStart,
    ) -> Result {
        let call = self.command("XGROUP").arg("SETID").arg(&key).arg(&group);
        start.add_to(call.owned(start.id())).run()
    }

    /// Deletes a consumer group with all that is pending; whether there was one. An error if there is no such key.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// assert!(db.xgroup_destroy("jobs", "workers")?);
    /// assert!(!db.xgroup_destroy("jobs", "workers")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xgroup_destroy(&self, key: impl AsRef<[u8]>, group: impl AsRef<[u8]>) -> Result<bool> {
        self.command("XGROUP")
            .arg("DESTROY")
            .arg(&key)
            .arg(&group)
            .run()
    }

    /// Creates a consumer; whether it is new. Reading and claiming do so by themselves.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// assert!(db.xgroup_create_consumer("jobs", "workers", "w1")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xgroup_create_consumer(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
    ) -> Result<bool> {
        self.command("XGROUP")
            .arg("CREATECONSUMER")
            .arg(&key)
            .arg(&group)
            .arg(&consumer)
            .run()
    }

    /// Deletes a consumer with all that is pending for it, which nobody can claim then; how many entries that were.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// assert_eq!(db.xgroup_delete_consumer("jobs", "workers", "w1")?, 0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xgroup_delete_consumer(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
    ) -> Result<usize> {
        self.command("XGROUP")
            .arg("DELCONSUMER")
            .arg(&key)
            .arg(&group)
            .arg(&consumer)
            .run()
    }

    /// Reads entries of several streams as a consumer of a group that all of them have: those streams that have any,
    /// with their keys. A pending entry that has been deleted comes without fields. An error with the code `NOGROUP` if one of them does not
    /// have the group. See [`XReadGroup`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, GroupStart, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// let new = XReadGroup::new().new_entries("jobs");
    /// assert_eq!(db.xreadgroup("workers", "w1", &new)?[0].1[0].get("url").unwrap(), "/a");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xreadgroup(
        &self,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        what: &XReadGroup,
    ) -> Result<Vec<(Bytes, Vec<StreamEntry>)>> {
        if what.streams.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.xreadgroup_call(group.as_ref(), consumer.as_ref(), None, what);
        let found: OrEmpty<_> = call.run()?;
        Ok(found.0)
    }

    fn xreadgroup_call<'a>(
        &'a self,
        group: &'a [u8],
        consumer: &'a [u8],
        claim: Option<Duration>,
        what: &'a XReadGroup,
    ) -> Call<'a, W> {
        let call = self
            .command("XREADGROUP")
            .arg("GROUP")
            .arg(group)
            .arg(consumer)
            .word_if(what.no_ack, "NOACK");
        let call = match claim {
            Some(min_idle) => call.arg("CLAIM").int(millis(min_idle)),
            None => call,
        };
        add_streams(add_block(what.most.add_to(call), what.block), &what.streams)
    }

    /// As [`Db::xreadgroup`], and claims what has been pending for any consumer for at least `min_idle`: that comes first, and new
    /// entries after it. With [`XReadGroup::block`] it waits for whichever is there first.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, XReadGroup};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// let new = XReadGroup::new().new_entries("jobs").block(None);
    /// // This one crashes.
    /// db.xreadgroup("workers", "w1", &new)?;
    /// // Another gets it ten milliseconds later.
    /// let found = db.xreadgroup_claim("workers", "w2", Duration::from_millis(10), &new)?;
    /// assert_eq!(found[0].1[0].entry.id, id);
    /// assert!(found[0].1[0].idle >= Duration::from_millis(10));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn xreadgroup_claim(
        &self,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        what: &XReadGroup,
    ) -> Result<Vec<(Bytes, Vec<ClaimedEntry>)>> {
        if what.streams.is_empty() {
            return Ok(Vec::new());
        }
        let (group, consumer) = (group.as_ref(), consumer.as_ref());
        let call = self.xreadgroup_call(group, consumer, Some(min_idle), what);
        let found: OrEmpty<_> = call.run()?;
        Ok(found.0)
    }
}

impl Db {
    /// [`Db::xreadgroup`] as a future, for an [`XReadGroup::block`] that puts no thread to sleep.
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn xreadgroup_async(
        &self,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        what: &XReadGroup,
    ) -> Waiting<Vec<(Bytes, Vec<StreamEntry>)>> {
        if what.streams.is_empty() {
            return Waiting::ready(&self.way, Ok(Vec::new()));
        }
        let call = self.xreadgroup_call(group.as_ref(), consumer.as_ref(), None, what);
        let waiting: Waiting<Vec<_>> = call.wait();
        waiting.decoded_by(|value| OrEmpty::decode(value).map(|found| found.0))
    }

    /// [`Db::xreadgroup_claim`] as a future.
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn xreadgroup_claim_async(
        &self,
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        what: &XReadGroup,
    ) -> Waiting<Vec<(Bytes, Vec<ClaimedEntry>)>> {
        if what.streams.is_empty() {
            return Waiting::ready(&self.way, Ok(Vec::new()));
        }
        let call = self.xreadgroup_call(group.as_ref(), consumer.as_ref(), Some(min_idle), what);
        let waiting: Waiting<Vec<_>> = call.wait();
        waiting.decoded_by(|value| OrEmpty::decode(value).map(|found| found.0))
    }
}
