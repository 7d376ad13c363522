//! What is known of streams, their consumer groups and the consumers of those.
//!
//! A key that does not exist is an error here, and one that holds no stream an error with the code `WRONGTYPE`.

use crate::bytes::Bytes;
use crate::call::{Decode, Fields, fixed};
use crate::db::Db;
use crate::error::Result;
use crate::stream_id::StreamId;
use crate::streams::StreamEntry;
use crate::value::Value;
use crate::way::Way;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A stream; from [`Db::xinfo_stream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// How many entries it has.
    pub length: usize,
    /// The last ID that was given to an entry.
    pub last_id: StreamId,
    /// The highest ID of an entry that was deleted.
    pub max_deleted_id: StreamId,
    /// How many entries it has ever had.
    pub entries_added: u64,
    /// How many consumer groups it has.
    pub groups: usize,
    /// Its first entry and its last; `None` if it is empty.
    pub ends: Option<(StreamEntry, StreamEntry)>,
}

impl Decode for StreamInfo {
    fn decode(value: Value) -> Result<StreamInfo> {
        let mut fields = Fields::decode(value)?;
        let first: Option<StreamEntry> = fields.take("first-entry")?;
        Ok(StreamInfo {
            length: fields.take("length")?,
            last_id: fields.take("last-generated-id")?,
            max_deleted_id: fields.take("max-deleted-entry-id")?,
            entries_added: fields.take("entries-added")?,
            groups: fields.take("groups")?,
            ends: first.zip(fields.take("last-entry")?),
        })
    }
}

/// A consumer group; from [`Db::xinfo_groups`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: Bytes,
    /// How many consumers it has.
    pub consumers: usize,
    /// How many entries are pending.
    pub pending: usize,
    /// The last ID it has given out.
    pub last_id: StreamId,
    /// How many entries it has read; `None` if that is not known.
    pub entries_read: Option<u64>,
    /// How many entries it has still to give out; `None` if that is not known.
    pub lag: Option<u64>,
}

impl Decode for GroupInfo {
    fn decode(value: Value) -> Result<GroupInfo> {
        let mut fields = Fields::decode(value)?;
        Ok(GroupInfo {
            name: fields.take("name")?,
            consumers: fields.take("consumers")?,
            pending: fields.take("pending")?,
            last_id: fields.take("last-delivered-id")?,
            entries_read: fields.take("entries-read")?,
            lag: count_or_unknown(fields.take("lag")?),
        })
    }
}

/// A lag that came out negative, which is possible after IDs were set by hand, says nothing.
fn count_or_unknown(n: Option<i64>) -> Option<u64> {
    n.and_then(|n| u64::try_from(n).ok())
}

/// A consumer; from [`Db::xinfo_consumers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name.
    pub name: Bytes,
    /// How many entries are pending for it.
    pub pending: usize,
    /// How long ago it last tried to read or to claim something.
    pub idle: Duration,
    /// How long ago it last got something; `None` if it never did.
    pub inactive: Option<Duration>,
}

impl Decode for ConsumerInfo {
    fn decode(value: Value) -> Result<ConsumerInfo> {
        let mut fields = Fields::decode(value)?;
        let inactive: i64 = fields.take("inactive")?;
        Ok(ConsumerInfo {
            name: fields.take("name")?,
            pending: fields.take("pending")?,
            idle: fields.take("idle")?,
            inactive: u64::try_from(inactive).ok().map(Duration::from_millis),
        })
    }
}

/// A stream with everything in it; from [`Db::xinfo_stream_full`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfoFull {
    /// How many entries it has.
    pub length: usize,
    /// The last ID that was given to an entry.
    pub last_id: StreamId,
    /// The highest ID of an entry that was deleted.
    pub max_deleted_id: StreamId,
    /// How many entries it has ever had.
    pub entries_added: u64,
    /// The first of its entries.
    pub entries: Vec<StreamEntry>,
    /// Its consumer groups.
    pub groups: Vec<GroupInfoFull>,
}

impl Decode for StreamInfoFull {
    fn decode(value: Value) -> Result<StreamInfoFull> {
        let mut fields = Fields::decode(value)?;
        Ok(StreamInfoFull {
            length: fields.take("length")?,
            last_id: fields.take("last-generated-id")?,
            max_deleted_id: fields.take("max-deleted-entry-id")?,
            entries_added: fields.take("entries-added")?,
            entries: fields.take("entries")?,
            groups: fields.take("groups")?,
        })
    }
}

/// A consumer group of a [`StreamInfoFull`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfoFull {
    /// Its name.
    pub name: Bytes,
    /// The last ID it has given out.
    pub last_id: StreamId,
    /// How many entries it has read; `None` if that is not known.
    pub entries_read: Option<u64>,
    /// How many entries it has still to give out; `None` if that is not known.
    pub lag: Option<u64>,
    /// How many entries are pending.
    pub pending_count: usize,
    /// The first of them, with their consumers.
    pub pending: Vec<(Bytes, Delivery)>,
    /// Its consumers.
    pub consumers: Vec<ConsumerInfoFull>,
}

/// One line of a group's pending entries: ID, consumer, time, count.
struct OwnedDelivery(Bytes, Delivery);

impl Decode for OwnedDelivery {
    fn decode(value: Value) -> Result<OwnedDelivery> {
        let [id, consumer, time, deliveries] = fixed(value)?;
        let delivery = Delivery::decode(Value::Array(vec![id, time, deliveries]))?;
        Ok(OwnedDelivery(Bytes::decode(consumer)?, delivery))
    }
}

impl Decode for GroupInfoFull {
    fn decode(value: Value) -> Result<GroupInfoFull> {
        let mut fields = Fields::decode(value)?;
        let pending: Vec<OwnedDelivery> = fields.take("pending")?;
        Ok(GroupInfoFull {
            name: fields.take("name")?,
            last_id: fields.take("last-delivered-id")?,
            entries_read: fields.take("entries-read")?,
            lag: count_or_unknown(fields.take("lag")?),
            pending_count: fields.take("pel-count")?,
            pending: pending.into_iter().map(|p| (p.0, p.1)).collect(),
            consumers: fields.take("consumers")?,
        })
    }
}

/// An entry that was given to a consumer and is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its ID.
    pub id: StreamId,
    /// When it was given to the consumer.
    pub time: SystemTime,
    /// How often it has been given to a consumer.
    pub deliveries: u64,
}

impl Decode for Delivery {
    fn decode(value: Value) -> Result<Delivery> {
        let [id, time, deliveries] = fixed(value)?;
        Ok(Delivery {
            id: StreamId::decode(id)?,
            time: UNIX_EPOCH + Duration::decode(time)?,
            deliveries: u64::decode(deliveries)?,
        })
    }
}

/// A consumer of a [`GroupInfoFull`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfoFull {
    /// Its name.
    pub name: Bytes,
    /// When it last tried to read or to claim something.
    pub seen: SystemTime,
    /// When it last got something; `None` if it never did.
    pub active: Option<SystemTime>,
    /// How many entries are pending for it.
    pub pending_count: usize,
    /// The first of them.
    pub pending: Vec<Delivery>,
}

impl Decode for ConsumerInfoFull {
    fn decode(value: Value) -> Result<ConsumerInfoFull> {
        let mut fields = Fields::decode(value)?;
        let seen: Duration = fields.take("seen-time")?;
        let active: i64 = fields.take("active-time")?;
        let active = u64::try_from(active).ok().map(Duration::from_millis);
        Ok(ConsumerInfoFull {
            name: fields.take("name")?,
            seen: UNIX_EPOCH + seen,
            active: active.map(|time| UNIX_EPOCH + time),
            pending_count: fields.take("pel-count")?,
            pending: fields.take("pending")?,
        })
    }
}

impl<W: Way> Db<W> {
    /// Describes a stream.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// let id = db.xadd("s", [("n", "1")])?;
    /// let info = db.xinfo_stream("s")?;
    /// assert_eq!((info.length, info.last_id), (1, id));
    /// assert_eq!(info.ends.unwrap().0.id, id);
    /// assert_eq!(db.xinfo_stream("absent").unwrap_err().to_string(), "ERR no such key");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xinfo_stream(&self, key: impl AsRef<[u8]>) -> Result<StreamInfo> {
        self.command("XINFO").arg("STREAM").arg(&key).run()
    }

    /// Describes a stream with its first entries, its groups, their consumers, and what is pending: at most `count` entries of
    /// each kind, 0 meaning all.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart, XReadGroup};
    /// # let db = Db::open(Config::default())?;
    /// let id = db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// db.xreadgroup("workers", "w1", &XReadGroup::new().new_entries("jobs"))?;
    /// let info = db.xinfo_stream_full("jobs", 10)?;
    /// assert_eq!(info.entries[0].id, id);
    /// assert_eq!(info.groups[0].pending[0].0, "w1");
    /// assert_eq!(info.groups[0].consumers[0].pending[0].deliveries, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xinfo_stream_full(&self, key: impl AsRef<[u8]>, count: usize) -> Result<StreamInfoFull> {
        self.command("XINFO")
            .arg("STREAM")
            .arg(&key)
            .arg("FULL")
            .arg("COUNT")
            .count(count)
            .run()
    }

    /// Describes the consumer groups of a stream.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("jobs", [("url", "/a")])?;
    /// db.xgroup_create("jobs", "workers", GroupStart::beginning())?;
    /// let groups = db.xinfo_groups("jobs")?;
    /// assert_eq!(groups[0].name, "workers");
    /// assert_eq!(groups[0].lag, Some(1));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xinfo_groups(&self, key: impl AsRef<[u8]>) -> Result<Vec<GroupInfo>> {
        self.command("XINFO").arg("GROUPS").arg(&key).run()
    }

    /// Describes the consumers of a group. An error with the code `NOGROUP` if there is no such group.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GroupStart};
    /// # let db = Db::open(Config::default())?;
    /// db.xgroup_create_with_stream("jobs", "workers", GroupStart::end())?;
    /// db.xgroup_create_consumer("jobs", "workers", "w1")?;
    /// let consumers = db.xinfo_consumers("jobs", "workers")?;
    /// assert_eq!(consumers[0].name, "w1");
    /// assert_eq!(consumers[0].inactive, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xinfo_consumers(
        &self,
        key: impl AsRef<[u8]>,
        group: impl AsRef<[u8]>,
    ) -> Result<Vec<ConsumerInfo>> {
        self.command("XINFO")
            .arg("CONSUMERS")
            .arg(&key)
            .arg(&group)
            .run()
    }
}
