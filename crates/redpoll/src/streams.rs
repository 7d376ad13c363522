//! Typed calls on streams: adding, trimming, reading and deleting entries. Consumer groups are in
//! [`crate::stream_groups`].
//!
//! Unless a call says otherwise, a key that does not exist is an empty stream, and a key that holds something else is
//! an error with the code `WRONGTYPE` that changes nothing. A stream stays when its last entry goes.

use crate::blocking::add_block;
use crate::bytes::Bytes;
use crate::call::{Call, Decode, Flat, OrEmpty, fixed};
use crate::db::Db;
use crate::error::Result;
use crate::reply::unexpected;
use crate::stream_id::StreamId;
use crate::value::Value;
use crate::waiting::Waiting;
use crate::way::Way;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its ID.
    pub id: StreamId,
    /// Names and values, in the order they were given; a name may be there more than once. Empty if the entry has been
    /// deleted: that can be seen of messages that are pending for a consumer.
    pub fields: Vec<(Bytes, Bytes)>,
}

impl StreamEntry {
    /// The first value of a name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Bytes> {
        let is = |pair: &&(Bytes, Bytes)| *pair.0 == *name.as_ref();
        self.fields.iter().find(is).map(|pair| &pair.1)
    }
}

impl Decode for StreamId {
    fn decode(value: Value) -> Result<StreamId> {
        let Value::Bulk(text) = &value else {
            return Err(unexpected(&value));
        };
        let id = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        id.ok_or_else(|| unexpected(&value))
    }
}

impl Decode for StreamEntry {
    fn decode(value: Value) -> Result<StreamEntry> {
        let [id, fields] = fixed(value)?;
        let fields = Option::<Flat<Bytes, Bytes>>::decode(fields)?;
        Ok(StreamEntry {
            id: StreamId::decode(id)?,
            fields: fields.map_or(Vec::new(), |pairs| pairs.0),
        })
    }
}

/// What happens to consumer groups' references to entries that are deleted: to messages that are pending for a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They stay (KEEPREF); so it is unless said otherwise.
    #[default]
    Keep,
    /// They are deleted too (DELREF).
    Delete,
    /// Only entries that all groups have read and acknowledged are deleted (ACKED).
    Acknowledged,
}

impl References {
    pub(crate) fn word(self) -> &'static str {
        match self {
            References::Keep => "KEEPREF",
            References::Delete => "DELREF",
            References::Acknowledged => "ACKED",
        }
    }
}

/// What became of an entry that was to be deleted; for [`Db::xdelex`] and [`Db::xackdel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// There is no such entry, or it is not pending.
    Absent,
    /// It was deleted.
    Deleted,
    /// A consumer group still needs it.
    Referenced,
}

impl Decode for Deletion {
    fn decode(value: Value) -> Result<Deletion> {
        match value {
            Value::Int(-1) => Ok(Deletion::Absent),
            Value::Int(1) => Ok(Deletion::Deleted),
            Value::Int(2) => Ok(Deletion::Referenced),
            other => Err(unexpected(&other)),
        }
    }
}

/// Which entries a stream is to lose; for [`Db::xtrim`] and [`XAdd::trim`].
///
/// ```
/// # use redpoll::{Db, Config, Trim, XAdd};
/// # let db = Db::open(Config::default())?;
/// let latest = XAdd::new().trim(Trim::max_len(2));
/// for n in 0..5 {
///     db.xadd_with("log", [("n", n.to_string())], &latest)?;
/// }
/// assert_eq!(db.xlen("log")?, 2);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Trim {
    keep: Keep,
    approximate: bool,
    limit: Option<usize>,
    references: References,
}

#[derive(Clone, Copy, Debug)]
enum Keep {
    Last(usize),
    From(StreamId),
}

impl Trim {
    fn new(keep: Keep) -> Trim {
        Trim {
            keep,
            approximate: false,
            limit: None,
            references: References::Keep,
        }
    }

    /// All but the last so many.
    pub fn max_len(entries: usize) -> Trim {
        Trim::new(Keep::Last(entries))
    }

    /// All before an ID.
    pub fn min_id(id: StreamId) -> Trim {
        Trim::new(Keep::From(id))
    }

    /// Leaves some of them, so that whole blocks of entries can go at once (`~`): cheaper, and as good for what is trimmed
    /// again and again.
    pub fn approximate(mut self) -> Trim {
        self.approximate = true;
        self
    }

    /// Deletes at most about so many at once; 0 means as many as there are. Only for approximate trimming, otherwise an error
    /// of the call.
    pub fn limit(mut self, entries: usize) -> Trim {
        self.limit = Some(entries);
        self
    }

    /// What happens to references to them.
    pub fn references(mut self, references: References) -> Trim {
        self.references = references;
        self
    }

    fn add_to<'a, W: Way>(&self, call: Call<'a, W>) -> Call<'a, W> {
        let tilde = if self.approximate { "~" } else { "=" };
        let call = match self.keep {
            Keep::Last(n) => call.arg("MAXLEN").arg(tilde).count(n),
            Keep::From(id) => call.arg("MINID").arg(tilde).owned(id.to_string()),
        };
        call.option("LIMIT", self.limit).arg(self.references.word())
    }
}

/// Which ID a new entry gets, and what else happens; for [`Db::xadd_with`].
///
/// ```
/// # use redpoll::{Db, Config, StreamId, XAdd};
/// # let db = Db::open(Config::default())?;
/// let id = db.xadd_with("s", [("a", "1")], &XAdd::new().id(StreamId::new(5, 0)))?;
/// assert_eq!(id, Some(StreamId::new(5, 0)));
/// let id = db.xadd_with("s", [("a", "2")], &XAdd::new().id_in_ms(5))?;
/// assert_eq!(id, Some(StreamId::new(5, 1)));
/// // IDs only grow.
/// assert!(db.xadd_with("s", [("a", "3")], &XAdd::new().id(StreamId::new(4, 0))).is_err());
/// # Ok::<(), redpoll::Error>(())
/// ```
///
/// What is sent twice, because nobody knows whether it arrived, can be added once:
///
/// ```
/// # use redpoll::{Db, Config, XAdd};
/// # let db = Db::open(Config::default())?;
/// let order = XAdd::new().once("shop-1", "order-17");
/// let id = db.xadd_with("orders", [("item", "tea")], &order)?;
/// assert_eq!(db.xadd_with("orders", [("item", "tea")], &order)?, id);
/// assert_eq!(db.xlen("orders")?, 1);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct XAdd {
    id: NewId,
    only_existing: bool,
    trim: Option<Trim>,
    once: Option<Once>,
}

/// Whose entry it is, and how it is known again: by a name, or by its fields.
#[derive(Clone, Debug)]
struct Once {
    producer: Vec<u8>,
    name: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum NewId {
    #[default]
    Auto,
    Ms(u64),
    Given(StreamId),
}

impl XAdd {
    /// An ID made of the time, in a stream that is created if need be.
    pub fn new() -> XAdd {
        XAdd::default()
    }

    /// This ID, which must be higher than all that the stream has ever had. Of this and [`XAdd::id_in_ms`] the last counts.
    pub fn id(mut self, id: StreamId) -> XAdd {
        self.id = NewId::Given(id);
        self
    }

    /// The next ID that is free in this millisecond.
    pub fn id_in_ms(mut self, ms: u64) -> XAdd {
        self.id = NewId::Ms(ms);
        self
    }

    /// Adds nothing if the key does not exist (NOMKSTREAM).
    pub fn only_existing(mut self) -> XAdd {
        self.only_existing = true;
        self
    }

    /// Adds nothing if this producer has added an entry of this name lately, but answers with that one's ID (IDMP). Neither may be empty,
    /// and the ID has to be one made of the time. How long names are remembered: [`Db::xcfgset`].
    pub fn once(mut self, producer: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> XAdd {
        self.once = Some(Once {
            producer: producer.as_ref().to_vec(),
            name: Some(name.as_ref().to_vec()),
        });
        self
    }

    /// The same with a name that is made of the entry's fields (IDMPAUTO): adds nothing if this producer has added the same lately.
    pub fn once_by_fields(mut self, producer: impl AsRef<[u8]>) -> XAdd {
        self.once = Some(Once {
            producer: producer.as_ref().to_vec(),
            name: None,
        });
        self
    }

    /// Then trims the stream.
    pub fn trim(mut self, trim: Trim) -> XAdd {
        self.trim = Some(trim);
        self
    }
}

/// Streams to read, and from where; for [`Db::xread`].
///
/// ```
/// # use redpoll::{Db, Config, StreamId, XRead};
/// # let db = Db::open(Config::default())?;
/// let first = db.xadd("s", [("n", "1")])?;
/// let second = db.xadd("s", [("n", "2")])?;
/// let found = db.xread(&XRead::new().after("s", first).after("absent", StreamId::MIN))?;
/// assert_eq!(found.len(), 1);
/// let (key, entries) = &found[0];
/// assert_eq!(*key, "s");
/// assert_eq!(entries[0].id, second);
/// assert_eq!(entries[0].get("n").unwrap(), "2");
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct XRead {
    most: Most,
    block: Option<Option<Duration>>,
    streams: Vec<(Vec<u8>, String)>,
}

impl XRead {
    /// No streams.
    pub fn new() -> XRead {
        XRead::default()
    }

    fn add(mut self, key: impl AsRef<[u8]>, from: String) -> XRead {
        self.streams.push((key.as_ref().to_vec(), from));
        self
    }

    /// Reads a stream's entries after an ID; [`StreamId::MIN`] is before all of them.
    pub fn after(self, key: impl AsRef<[u8]>, id: StreamId) -> XRead {
        self.add(key, id.to_string())
    }

    /// Reads a stream's last entry.
    pub fn last(self, key: impl AsRef<[u8]>) -> XRead {
        self.add(key, "+".into())
    }

    /// Reads entries of a stream that are added after the call has begun: of use only with [`XRead::block`].
    pub fn new_entries(self, key: impl AsRef<[u8]>) -> XRead {
        self.add(key, "$".into())
    }

    /// If there is nothing to read, waits for it: for so long, or as long as it takes. Puts the calling thread to sleep,
    /// so in async code this belongs on a thread of its own.
    ///
    /// ```
    /// # use redpoll::{Db, Config, StreamId, XRead};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// let reader = std::thread::spawn({
    ///     let db = db.clone();
    ///     move || db.xread(&XRead::new().after("s", StreamId::MIN).block(None))
    /// });
    /// db.xadd("s", [("n", "1")])?;
    /// assert_eq!(reader.join().unwrap()?[0].1[0].get("n").unwrap(), "1");
    /// let soon = XRead::new().new_entries("s").block(Some(Duration::from_millis(1)));
    /// assert!(db.xread(&soon)?.is_empty());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn block(mut self, timeout: Option<Duration>) -> XRead {
        self.block = Some(timeout);
        self
    }

    /// Reads at most so many entries of each stream; 0 means all.
    pub fn count(mut self, entries: usize) -> XRead {
        self.most.count = Some(entries);
        self
    }

    /// Reads at most so many entries of all streams together (MAXCOUNT). 0 is an error of the call, and so is less than
    /// [`XRead::count`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, StreamId, XRead};
    /// # let db = Db::open(Config::default())?;
    /// for key in ["a", "b"] {
    ///     db.xadd(key, [("n", "1")])?;
    ///     db.xadd(key, [("n", "2")])?;
    /// }
    /// let both = XRead::new().after("a", StreamId::MIN).after("b", StreamId::MIN).max_count(3);
    /// let found = db.xread(&both)?;
    /// assert_eq!(found.iter().map(|(_, entries)| entries.len()).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn max_count(mut self, entries: usize) -> XRead {
        self.most.total = Some(entries);
        self
    }

    /// Reads no more entries once there are so many bytes of them (MAXSIZE), but at least one if there is any. 0 is an error of the
    /// call.
    pub fn max_size(mut self, bytes: usize) -> XRead {
        self.most.bytes = Some(bytes);
        self
    }
}

/// How much is read at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Most {
    /// Entries of each stream.
    pub count: Option<usize>,
    /// Entries of all streams together.
    pub total: Option<usize>,
    /// Bytes of the reply.
    pub bytes: Option<usize>,
}

impl Most {
    pub(crate) fn add_to<W: Way>(self, call: Call<'_, W>) -> Call<'_, W> {
        call.option("COUNT", self.count)
            .option("MAXCOUNT", self.total)
            .option("MAXSIZE", self.bytes)
    }
}

/// Adds STREAMS with keys and IDs, the end of XREAD and XREADGROUP.
pub(crate) fn add_streams<'a, W: Way>(
    call: Call<'a, W>,
    streams: &'a [(Vec<u8>, String)],
) -> Call<'a, W> {
    let mut call = call.arg("STREAMS");
    for (key, _) in streams {
        call = call.arg(key);
    }
    for (_, id) in streams {
        call = call.arg(id);
    }
    call
}

/// The first and the last ID of a range; `None` if it is empty.
pub(crate) fn id_ends(range: &impl RangeBounds<StreamId>) -> Option<[String; 2]> {
    let first = match range.start_bound() {
        Bound::Included(id) => *id,
        Bound::Excluded(id) => id.next()?,
        Bound::Unbounded => StreamId::MIN,
    };
    let last = match range.end_bound() {
        Bound::Included(id) => *id,
        Bound::Excluded(id) => id.previous()?,
        Bound::Unbounded => StreamId::MAX,
    };
    (first <= last).then(|| [first.to_string(), last.to_string()])
}

/// IDs as arguments.
pub(crate) fn id_texts(ids: impl IntoIterator<Item = StreamId>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

impl<W: Way> Db<W> {
    /// Adds an entry with an ID made of the time, creating the stream if need be; the ID. An entry without fields is an error.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// let first = db.xadd("visits", [("page", "/"), ("user", "ada")])?;
    /// let second = db.xadd("visits", [("page", "/about")])?;
    /// assert!(second > first);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xadd<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<StreamId> {
        let fields: Vec<(N, V)> = fields.into_iter().collect();
        self.command("XADD").arg(&key).arg("*").pairs(&fields).run()
    }

    /// Adds an entry with options; its ID, `None` if there is no stream and none was to be created. An ID that is not
    /// higher than all before is an error. See [`XAdd`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, XAdd};
    /// # let db = Db::open(Config::default())?;
    /// let only_existing = XAdd::new().only_existing();
    /// assert_eq!(db.xadd_with("absent", [("a", "1")], &only_existing)?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xadd_with<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = (N, V)>,
        options: &XAdd,
    ) -> Result<Option<StreamId>> {
        let fields: Vec<(N, V)> = fields.into_iter().collect();
        let mut call = self
            .command("XADD")
            .arg(&key)
            .word_if(options.only_existing, "NOMKSTREAM");
        if let Some(once) = &options.once {
            call = match &once.name {
                Some(name) => call.arg("IDMP").arg(&once.producer).arg(name),
                None => call.arg("IDMPAUTO").arg(&once.producer),
            };
        }
        if let Some(trim) = &options.trim {
            call = trim.add_to(call);
        }
        call.owned(match options.id {
            NewId::Auto => "*".into(),
            NewId::Ms(ms) => format!("{ms}-*"),
            NewId::Given(id) => id.to_string(),
        })
        .pairs(&fields)
        .run()
    }

    /// How long a stream remembers the names of entries that are to be added once, and how many of each producer; what is `None` stays as
    /// it is. Without the stream, or out of range (a day, and ten thousand), it is an error. See [`XAdd::once`].
    ///
    /// ```
    /// # use redpoll::{Config, Db};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("orders", [("item", "tea")])?;
    /// db.xcfgset("orders", Some(Duration::from_secs(600)), Some(1000))?;
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xcfgset(
        &self,
        key: impl AsRef<[u8]>,
        duration: Option<Duration>,
        names: Option<usize>,
    ) -> Result {
        let seconds = duration.map(|time| time.as_nanos().div_ceil(1_000_000_000) as usize);
        if seconds.is_none() && names.is_none() {
            return Ok(());
        }
        self.command("XCFGSET")
            .arg(&key)
            .option("IDMP-DURATION", seconds)
            .option("IDMP-MAXSIZE", names)
            .run()
    }

    /// Deletes entries at a stream's beginning; how many. See [`Trim`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, StreamId, Trim};
    /// # let db = Db::open(Config::default())?;
    /// let first = db.xadd("s", [("n", "1")])?;
    /// let second = db.xadd("s", [("n", "2")])?;
    /// assert_eq!(db.xtrim("s", &Trim::min_id(second))?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xtrim(&self, key: impl AsRef<[u8]>, trim: &Trim) -> Result<usize> {
        trim.add_to(self.command("XTRIM").arg(&key)).run()
    }

    /// How many entries a stream has.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.xadd("s", [("n", "1")])?;
    /// assert_eq!(db.xlen("s")?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xlen(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        self.command("XLEN").arg(&key).run()
    }

    fn entries(
        &self,
        key: &[u8],
        range: &impl RangeBounds<StreamId>,
        count: Option<usize>,
        reversed: bool,
    ) -> Result<Vec<StreamEntry>> {
        let Some([first, last]) = id_ends(range).filter(|_| count != Some(0)) else {
            return Ok(Vec::new());
        };
        let call = if reversed {
            self.command("XREVRANGE").arg(key).owned(last).owned(first)
        } else {
            self.command("XRANGE").arg(key).owned(first).owned(last)
        };
        let found: OrEmpty<StreamEntry> = call.option("COUNT", count).run()?;
        Ok(found.0)
    }

    /// The entries with IDs in a range, from the lowest; at most `count` of them, if that is given.
    ///
    /// ```
    /// # use redpoll::{Db, Config, StreamId};
    /// # let db = Db::open(Config::default())?;
    /// let first = db.xadd("s", [("n", "1")])?;
    /// db.xadd("s", [("n", "2")])?;
    /// assert_eq!(db.xrange("s", .., None)?.len(), 2);
    /// assert_eq!(db.xrange("s", ..=first, None)?[0].get("n").unwrap(), "1");
    /// // Whole milliseconds:
    /// let since = StreamId::new(first.ms, 0);
    /// assert_eq!(db.xrange("s", since.., Some(1))?.len(), 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xrange(
        &self,
        key: impl AsRef<[u8]>,
        range: impl RangeBounds<StreamId>,
        count: Option<usize>,
    ) -> Result<Vec<StreamEntry>> {
        self.entries(key.as_ref(), &range, count, false)
    }

    /// The same from the highest ID.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.xadd("s", [("n", "1")])?;
    /// db.xadd("s", [("n", "2")])?;
    /// assert_eq!(db.xrevrange("s", .., Some(1))?[0].get("n").unwrap(), "2");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xrevrange(
        &self,
        key: impl AsRef<[u8]>,
        range: impl RangeBounds<StreamId>,
        count: Option<usize>,
    ) -> Result<Vec<StreamEntry>> {
        self.entries(key.as_ref(), &range, count, true)
    }

    /// Entries of several streams, at one moment: those streams that have any, with their keys. See [`XRead`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, XRead};
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("s", [("n", "1")])?;
    /// let found = db.xread(&XRead::new().last("s"))?;
    /// assert_eq!(found[0].1[0].get("n").unwrap(), "1");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xread(&self, what: &XRead) -> Result<Vec<(Bytes, Vec<StreamEntry>)>> {
        if what.streams.is_empty() {
            return Ok(Vec::new());
        }
        let found: OrEmpty<_> = self.xread_call(what).run()?;
        Ok(found.0)
    }

    fn xread_call<'a>(&'a self, what: &'a XRead) -> Call<'a, W> {
        let call = what.most.add_to(self.command("XREAD"));
        add_streams(add_block(call, what.block), &what.streams)
    }

    /// Deletes entries; how many there were. Consumers' references to them stay.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// let id = db.xadd("s", [("n", "1")])?;
    /// assert_eq!(db.xdel("s", [id, id])?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xdel(
        &self,
        key: impl AsRef<[u8]>,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<usize> {
        self.how_many("XDEL", key.as_ref(), id_texts(ids))
    }

    /// Deletes entries and minds references to them; what became of each.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Deletion, References, StreamId};
    /// # let db = Db::open(Config::default())?;
    /// let id = db.xadd("s", [("n", "1")])?;
    /// let done = db.xdelex("s", References::Delete, [id, StreamId::MAX])?;
    /// assert_eq!(done, [Deletion::Deleted, Deletion::Absent]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xdelex(
        &self,
        key: impl AsRef<[u8]>,
        references: References,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<Vec<Deletion>> {
        let ids = id_texts(ids);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.command("XDELEX")
            .arg(&key)
            .arg(references.word())
            .arg("IDS")
            .counted(&ids)
            .run()
    }

    /// Sets a stream's last ID, below which no new entry can be, and what it counts: how many entries it has ever had, and
    /// the highest ID that was deleted. An error if there is no such key, or if the last ID is below that of an entry.
    ///
    /// ```
    /// # use redpoll::{Db, Config, StreamId};
    /// # let db = Db::open(Config::default())?;
    /// db.xadd("s", [("n", "1")])?;
    /// let far = StreamId::new(u64::MAX, 0);
    /// db.xsetid("s", far, None)?;
    /// assert!(db.xadd("s", [("n", "2")])? > far);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn xsetid(
        &self,
        key: impl AsRef<[u8]>,
        last: StreamId,
        counters: Option<(u64, StreamId)>,
    ) -> Result {
        let mut call = self.command("XSETID").arg(&key).owned(last.to_string());
        if let Some((added, deleted)) = counters {
            call = call
                .arg("ENTRIESADDED")
                .owned(added.to_string())
                .arg("MAXDELETEDID")
                .owned(deleted.to_string());
        }
        call.run()
    }
}

impl Db {
    /// [`Db::xread`] as a future, for an [`XRead::block`] that puts no thread to sleep.
    #[allow(clippy::type_complexity)] // Each part is what it says.
    pub fn xread_async(&self, what: &XRead) -> Waiting<Vec<(Bytes, Vec<StreamEntry>)>> {
        if what.streams.is_empty() {
            return Waiting::ready(&self.way, Ok(Vec::new()));
        }
        let waiting: Waiting<Vec<_>> = self.xread_call(what).wait();
        waiting.decoded_by(|value| OrEmpty::decode(value).map(|found| found.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ids_have_ends() {
        use Bound::{Excluded, Included, Unbounded};
        let id = StreamId::new;
        let ends = |a, b| id_ends(&(a, b)).map(|ends| ends.join(" "));
        assert_eq!(
            ends(Excluded(id(1, u64::MAX)), Excluded(id(3, 0))),
            Some(format!("2-0 2-{}", u64::MAX))
        );
        assert_eq!(
            ends(Included(id(1, 1)), Included(id(1, 1))),
            Some("1-1 1-1".into())
        );
        assert_eq!(ends(Included(id(1, 1)), Excluded(id(1, 1))), None);
        assert_eq!(ends(Excluded(StreamId::MAX), Unbounded), None);
        assert_eq!(ends(Unbounded, Excluded(StreamId::MIN)), None);
    }
}
