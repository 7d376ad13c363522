//! Typed calls on strings.

use crate::bytes::{Bytes, Payload};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::expiry::{millis, unix_millis};
use crate::reply::{to_bytes, to_int, unexpected};
use crate::string_compare::digest_text;
use crate::value::Value;
use crate::way::Way;
use engine::ops::strings::{self as ops, NewExpiry, Refresh};
use engine::{Intent, unix_ms};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};
use store::MAX_INLINE;

/// When SET stores, and for how long: what [`Db::set_with`] takes.
///
/// ```
/// # use redpoll::{Db, Config, SetOptions};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let lock = SetOptions::new().if_absent().expire_in(Duration::from_secs(10));
/// assert!(db.set_with("lock", "me", &lock)?);
/// assert!(!db.set_with("lock", "you", &lock)?);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SetOptions {
    condition: Option<Condition>,
    expiry: Option<Expiry>,
}

#[derive(Clone, Debug)]
enum Condition {
    Absent,
    Present,
    Equal(Vec<u8>),
    Different(Vec<u8>),
    Digest([u8; 16]),
    DifferentDigest([u8; 16]),
}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    Keep,
    In(Duration),
    At(SystemTime),
}

impl SetOptions {
    /// Store whatever is there, for ever.
    pub fn new() -> SetOptions {
        SetOptions::default()
    }

    /// Only if the key does not exist (NX). Of several conditions the last counts.
    pub fn if_absent(mut self) -> SetOptions {
        self.condition = Some(Condition::Absent);
        self
    }

    /// Only if the key exists (XX).
    pub fn if_present(mut self) -> SetOptions {
        self.condition = Some(Condition::Present);
        self
    }

    /// Only if the key holds exactly this string (IFEQ).
    pub fn if_equal(mut self, value: impl AsRef<[u8]>) -> SetOptions {
        self.condition = Some(Condition::Equal(value.as_ref().to_vec()));
        self
    }

    /// Only if the key holds another string, or does not exist (IFNE).
    pub fn if_different(mut self, value: impl AsRef<[u8]>) -> SetOptions {
        self.condition = Some(Condition::Different(value.as_ref().to_vec()));
        self
    }

    /// Only if the key holds a string that has this digest (IFDEQ); see [`Db::digest`].
    pub fn if_digest(mut self, digest: u64) -> SetOptions {
        self.condition = Some(Condition::Digest(digest_text(digest)));
        self
    }

    /// Only if the key holds a string that has another digest, or does not exist (IFDNE).
    pub fn if_different_digest(mut self, digest: u64) -> SetOptions {
        self.condition = Some(Condition::DifferentDigest(digest_text(digest)));
        self
    }

    /// Expire after this time (PX).
    pub fn expire_in(mut self, time: Duration) -> SetOptions {
        self.expiry = Some(Expiry::In(time));
        self
    }

    /// Expire at this time (PXAT).
    pub fn expire_at(mut self, time: SystemTime) -> SetOptions {
        self.expiry = Some(Expiry::At(time));
        self
    }

    /// Leave the key's expiry as it is (KEEPTTL).
    pub fn keep_expiry(mut self) -> SetOptions {
        self.expiry = Some(Expiry::Keep);
        self
    }

    fn condition(&self) -> ops::Condition<'_> {
        match &self.condition {
            None => ops::Condition::Always,
            Some(Condition::Absent) => ops::Condition::Absent,
            Some(Condition::Present) => ops::Condition::Present,
            Some(Condition::Equal(want)) => ops::Condition::Equals(want),
            Some(Condition::Different(from)) => ops::Condition::Differs(from),
            Some(Condition::Digest(want)) => ops::Condition::DigestEquals(want),
            Some(Condition::DifferentDigest(from)) => ops::Condition::DigestDiffers(from),
        }
    }

    fn expiry(&self) -> Result<NewExpiry> {
        match self.expiry {
            None => Ok(NewExpiry::Never),
            Some(Expiry::Keep) => Ok(NewExpiry::Keep),
            Some(Expiry::In(time)) => expiry_in(time, "set").map(NewExpiry::At),
            Some(Expiry::At(time)) => match u64::try_from(unix_millis(time)) {
                Ok(at @ 1..) => Ok(NewExpiry::At(at)),
                _ => Err(Error::of_engine(engine::Error::invalid_expire("set"))),
            },
        }
    }
}

/// The time after some time, in Unix milliseconds. There must be some.
fn expiry_in(time: Duration, command: &str) -> Result<u64> {
    let ms = millis(time);
    match (unix_ms() as i64).checked_add(ms) {
        Some(at) if ms > 0 => Ok(at as u64),
        _ => Err(Error::of_engine(engine::Error::invalid_expire(command))),
    }
}

impl<W: Way> Db<W> {
    /// The string at a key; `None` if the key does not exist. Values up to 54 bytes are copied into the result, those
    /// over 4 KiB are shared with the database: neither allocates.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("k", "v")?;
    /// assert_eq!(db.get("k")?.unwrap(), "v");
    /// assert_eq!(db.get("absent")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.look_at_string(key.as_ref(), Bytes::of_value)
    }

    /// Lets `look` see the string at a key without allocating or copying what is large; `None` if the key does not exist.
    /// No lock is held meanwhile, so `look` may take its time and may call the database.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("csv", "3,4,5")?;
    /// let sum: Option<u32> = db.get_with("csv", |bytes| {
    ///     bytes.split(|b| *b == b',').map(|n| u32::from(n[0] - b'0')).sum()
    /// })?;
    /// assert_eq!(sum, Some(12));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    #[inline]
    pub fn get_with<R>(
        &self,
        key: impl AsRef<[u8]>,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        // What is not shared is at most this long, so it never leaves the stack.
        let mut copy: SmallVec<[u8; MAX_INLINE]> = SmallVec::new();
        let shared = self.look_at_string(key.as_ref(), |value| {
            copy.clear();
            match value {
                store::Value::Blob(blob) => return Some(blob.clone()),
                store::Value::Inline(bytes) => copy.extend_from_slice(bytes),
                store::Value::Int(n) => copy.extend_from_slice(resp::format_i64(n, &mut [0; 20])),
            }
            None
        })?;
        Ok(match shared {
            None => None,
            Some(Some(blob)) => Some(look(&blob)),
            Some(None) => Some(look(&copy)),
        })
    }

    /// Stores a string under a key, whatever was there, without an expiry.
    #[inline]
    pub fn set<'v>(&self, key: impl AsRef<[u8]>, value: impl Into<Payload<'v>>) -> Result {
        let (key, value) = (key.as_ref(), value.into());
        self.check_lengths(key.len(), value.len())?;
        value.store(|value| {
            self.on_key(key, Intent::Grow, |keys| {
                ops::set(keys, key, value);
                Ok(())
            })
        })
    }

    /// Stores a string that expires after `time`, which must not be zero.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set_for("token", "abc", Duration::from_secs(60))?;
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn set_for<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
        time: Duration,
    ) -> Result {
        let at = expiry_in(time, "set")?;
        let (key, value) = (key.as_ref(), value.into());
        self.check_lengths(key.len(), value.len())?;
        value.store(|value| {
            self.on_key(key, Intent::Grow, |keys| {
                ops::set_expiring(keys, key, value, at);
                Ok(())
            })
        })
    }

    /// Stores a string under conditions and with an expiry; whether it was stored.
    pub fn set_with<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
        options: &SetOptions,
    ) -> Result<bool> {
        let (key, value) = (key.as_ref(), value.into());
        self.check_lengths(key.len(), value.len())?;
        let (condition, expiry) = (options.condition(), options.expiry()?);
        value.store(|value| {
            self.on_key(key, Intent::Grow, |keys| {
                ops::set_with(keys, key, value, condition, expiry, None)
            })
        })
    }

    /// The same, and returns the string that was there before, stored or not (SET with GET).
    pub fn set_with_get<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
        options: &SetOptions,
    ) -> Result<Option<Bytes>> {
        let (key, value) = (key.as_ref(), value.into());
        self.check_lengths(key.len(), value.len())?;
        let (condition, expiry) = (options.condition(), options.expiry()?);
        value.store(|value| {
            self.on_key(key, Intent::Grow, |keys| {
                let mut was = None;
                let mut show = |old: Option<store::Value<'_>>| was = old.map(Bytes::of_value);
                ops::set_with(keys, key, value, condition, expiry, Some(&mut show))?;
                Ok(was)
            })
        })
    }

    /// Stores a string if the key does not exist; whether it did so.
    pub fn setnx<'v>(&self, key: impl AsRef<[u8]>, value: impl Into<Payload<'v>>) -> Result<bool> {
        let (key, value) = (key.as_ref(), value.into());
        self.check_lengths(key.len(), value.len())?;
        value.store(|value| {
            self.on_key(key, Intent::Grow, |keys| {
                Ok(ops::set_if_absent(keys, key, value))
            })
        })
    }

    /// Stores a string and returns the one that was there.
    pub fn getset<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
    ) -> Result<Option<Bytes>> {
        let (key, value) = (key.as_ref(), value.into());
        self.check_lengths(key.len(), value.len())?;
        value.store(|value| {
            self.on_key(key, Intent::Grow, |keys| {
                let mut was = None;
                ops::get_and_set(keys, key, value, |old| was = old.map(Bytes::of_value))?;
                Ok(was)
            })
        })
    }

    /// The string at a key, which is deleted.
    pub fn getdel(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        let key = key.as_ref();
        self.on_key(key, Intent::Change, |keys| {
            let mut was = None;
            ops::get_and_delete(keys, key, |old| was = old.map(Bytes::of_value))?;
            Ok(was)
        })
    }

    /// The string at a key, which from now on expires after `time`, or never.
    pub fn getex(&self, key: impl AsRef<[u8]>, time: Option<Duration>) -> Result<Option<Bytes>> {
        let key = key.as_ref();
        let refresh = match time {
            None => Refresh::Persist,
            Some(time) => Refresh::At(expiry_in(time, "getex")?),
        };
        self.on_key(key, Intent::Change, |keys| {
            let mut found = None;
            let show = |value: Option<store::Value<'_>>| found = value.map(Bytes::of_value);
            ops::get_and_expire(keys, key, || Ok(refresh), show)?;
            Ok(found)
        })
    }

    /// Adds to the end of a string, which is created if need be; its length afterwards.
    pub fn append(&self, key: impl AsRef<[u8]>, more: impl AsRef<[u8]>) -> Result<usize> {
        let (key, more) = (key.as_ref(), more.as_ref());
        self.check_lengths(key.len(), more.len())?;
        let most = self.longest();
        self.on_key(key, Intent::Grow, |keys| ops::append(keys, key, more, most))
    }

    /// How long a string may get.
    pub(crate) fn longest(&self) -> usize {
        self.way
            .engine()
            .config()
            .live
            .proto_max_bulk_len
            .load(Relaxed)
    }

    /// The length of a string, 0 if there is none.
    pub fn strlen(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let len = self.look_at_string(key.as_ref(), ops::length)?;
        Ok(len.unwrap_or(0))
    }

    /// Part of a string, from the first to the last byte; negative numbers count from the end. Empty outside of it.
    pub fn getrange(&self, key: impl AsRef<[u8]>, first: i64, last: i64) -> Result<Bytes> {
        let part = self.look_at_string(key.as_ref(), |value| {
            let mut number = [0; 20];
            let text = ops::text(value, &mut number);
            Bytes::copy(&text[ops::byte_range(first, last, text.len())])
        })?;
        Ok(part.unwrap_or_default())
    }

    /// Overwrites a string from byte `offset` on, padding it with zeros if it is shorter; its length afterwards.
    pub fn setrange(
        &self,
        key: impl AsRef<[u8]>,
        offset: usize,
        bytes: impl AsRef<[u8]>,
    ) -> Result<usize> {
        let (key, bytes) = (key.as_ref(), bytes.as_ref());
        self.check_lengths(key.len(), bytes.len())?;
        let most = self.longest();
        self.on_key(key, Intent::Grow, |keys| {
            ops::set_range(keys, key, offset, bytes, most)
        })
    }

    /// Adds 1 to the integer at a key, which counts as 0 if there is none; the sum.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.incr("visits")?, 1);
    /// assert_eq!(db.incr_by("visits", 10)?, 11);
    /// assert_eq!(db.decr("visits")?, 10);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn incr(&self, key: impl AsRef<[u8]>) -> Result<i64> {
        self.incr_by(key, 1)
    }

    /// Subtracts 1 from the integer at a key; the difference.
    pub fn decr(&self, key: impl AsRef<[u8]>) -> Result<i64> {
        self.incr_by(key, -1)
    }

    /// Adds to the integer at a key; the sum.
    pub fn incr_by(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        let key = key.as_ref();
        self.check_lengths(key.len(), 0)?;
        self.on_key(key, Intent::Grow, |keys| ops::add(keys, key, by))
    }

    /// Subtracts from the integer at a key; the difference.
    pub fn decr_by(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        match by.checked_neg() {
            Some(by) => self.incr_by(key, by),
            None => Err(Error::new("ERR decrement would overflow")),
        }
    }

    /// Adds to the decimal number at a key; the sum.
    pub fn incr_by_float(&self, key: impl AsRef<[u8]>, by: f64) -> Result<f64> {
        let mut text = Vec::new();
        resp::format_f64(by, &mut text);
        let key = key.as_ref();
        self.check_lengths(key.len(), 0)?;
        let sum = self.on_key(key, Intent::Grow, |keys| ops::add_float(keys, key, &text))?;
        resp::parse_f64(&sum).ok_or_else(|| Error::new("ERR value is not a valid float"))
    }

    /// The strings at several keys, as they were at one moment. `None` for a key that does not exist or holds something
    /// else.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.mset([("a", "1"), ("b", "2")])?;
    /// let found = db.mget(["a", "b", "c"])?;
    /// assert_eq!(found[1].as_ref().unwrap(), "2");
    /// assert_eq!(found[2], None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn mget<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>> {
        match self.call_many(b"MGET", keys)? {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(to_bytes).collect(),
            Some(other) => Err(unexpected(&other)),
        }
    }

    /// Stores several strings at one moment.
    pub fn mset<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result {
        self.call_pairs(b"MSET", pairs)?;
        Ok(())
    }

    /// Stores several strings at one moment, if none of the keys exists; whether it did so.
    pub fn msetnx<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<bool> {
        match self.call_pairs(b"MSETNX", pairs)? {
            None => Ok(true),
            Some(reply) => Ok(to_int(reply)? == 1),
        }
    }

    /// A command with any number of keys; `None` if there are none.
    pub(crate) fn call_many<K: AsRef<[u8]>>(
        &self,
        name: &[u8],
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Option<Value>> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let args: Vec<&[u8]> = std::iter::once(name)
            .chain(keys.iter().map(AsRef::as_ref))
            .collect();
        self.call(&args).map(Some)
    }

    fn call_pairs<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        name: &[u8],
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<Value>> {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Ok(None);
        }
        let mut args: Vec<&[u8]> = vec![name];
        for (k, v) in &pairs {
            args.extend([k.as_ref(), v.as_ref()]);
        }
        self.call(&args).map(Some)
    }
}
