//! Typed calls on strings.

use crate::bytes::{Bytes, Payload};
use crate::db::{Db, unexpected};
use crate::error::{Error, Result};
use engine::Event;
use engine::Keys;
use engine::unix_ms;
use resp::Value;
use smallvec::SmallVec;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{MAX_INLINE, NewValue};

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

    /// Calls `with` with the arguments of SET.
    fn args<R>(
        &self,
        key: &[u8],
        value: &Payload<'_>,
        get: bool,
        with: impl FnOnce(&[&[u8]]) -> R,
    ) -> R {
        let mut time = [0; 20];
        value.with_bytes(|value| {
            let mut args: SmallVec<[&[u8]; 8]> = SmallVec::from_slice(&[b"SET", key, value]);
            match &self.condition {
                None => {}
                Some(Condition::Absent) => args.push(b"NX"),
                Some(Condition::Present) => args.push(b"XX"),
                Some(Condition::Equal(want)) => args.extend_from_slice(&[b"IFEQ", want]),
            }
            match self.expiry {
                None => {}
                Some(Expiry::Keep) => args.push(b"KEEPTTL"),
                Some(Expiry::In(d)) => {
                    args.extend_from_slice(&[b"PX", resp::format_i64(millis(d), &mut time)])
                }
                Some(Expiry::At(t)) => {
                    args.extend_from_slice(&[b"PXAT", resp::format_i64(unix_millis(t), &mut time)]);
                }
            }
            if get {
                args.push(b"GET");
            }
            with(&args)
        })
    }
}

/// Whole milliseconds, rounded up so that a short time does not become none.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// Unix milliseconds; what is before 1970 is negative.
pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

pub(crate) fn to_int(value: Value) -> Result<i64> {
    match value {
        Value::Int(n) => Ok(n),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn to_bytes(value: Value) -> Result<Option<Bytes>> {
    match value {
        Value::Null => Ok(None),
        Value::Bulk(bytes) => Ok(Some(bytes.into())),
        other => Err(unexpected(&other)),
    }
}

fn to_double(value: Value) -> Result<f64> {
    to_bytes(value)?
        .and_then(|text| resp::parse_f64(&text))
        .ok_or_else(|| Error::new("ERR value is not a valid float"))
}

impl Db {
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
        self.store(key.as_ref(), value.into(), None)
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
        let ms = millis(time);
        let at = unix_ms() as i64;
        match at.checked_add(ms) {
            Some(at) if ms > 0 => self.store(key.as_ref(), value.into(), Some(at as u64)),
            _ => Err(engine::Error::invalid_expire("set").into()),
        }
    }

    #[inline]
    fn store(&self, key: &[u8], value: Payload<'_>, expiry_ms: Option<u64>) -> Result {
        self.check_lengths(key.len(), value.len())?;
        value.store(|value| {
            self.on_key(key, true, |keys| {
                keys.set(key, value, expiry_ms);
                keys.changed(key, Event::string("set"));
                if expiry_ms.is_some() {
                    keys.changed(key, Event::generic("expire"));
                }
            })
        });
        Ok(())
    }

    /// Stores a string under conditions and with an expiry; whether it was stored.
    pub fn set_with<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
        options: &SetOptions,
    ) -> Result<bool> {
        let reply = options.args(key.as_ref(), &value.into(), false, |args| self.call(args))?;
        Ok(reply != Value::Null)
    }

    /// The same, and returns the string that was there before, stored or not (SET with GET).
    pub fn set_with_get<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
        options: &SetOptions,
    ) -> Result<Option<Bytes>> {
        options.args(key.as_ref(), &value.into(), true, |args| {
            to_bytes(self.call(args)?)
        })
    }

    /// Stores a string if the key does not exist; whether it did so.
    pub fn setnx<'v>(&self, key: impl AsRef<[u8]>, value: impl Into<Payload<'v>>) -> Result<bool> {
        self.set_with(key, value, &SetOptions::new().if_absent())
    }

    /// Stores a string and returns the one that was there.
    pub fn getset<'v>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Payload<'v>>,
    ) -> Result<Option<Bytes>> {
        self.set_with_get(key, value, &SetOptions::new())
    }

    /// The string at a key, which is deleted.
    pub fn getdel(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        to_bytes(self.call(&[b"GETDEL", key.as_ref()])?)
    }

    /// The string at a key, which from now on expires after `time`, or never.
    pub fn getex(&self, key: impl AsRef<[u8]>, time: Option<Duration>) -> Result<Option<Bytes>> {
        let key = key.as_ref();
        to_bytes(match time {
            None => self.call(&[b"GETEX", key, b"PERSIST"])?,
            Some(time) => self.call(&[
                b"GETEX",
                key,
                b"PX",
                resp::format_i64(millis(time), &mut [0; 20]),
            ])?,
        })
    }

    /// Adds to the end of a string, which is created if need be; its length afterwards.
    pub fn append(&self, key: impl AsRef<[u8]>, more: impl AsRef<[u8]>) -> Result<usize> {
        Ok(to_int(self.call(&[b"APPEND", key.as_ref(), more.as_ref()])?)? as usize)
    }

    /// The length of a string, 0 if there is none.
    pub fn strlen(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let len = self.look_at_string(key.as_ref(), |value| match value {
            store::Value::Int(n) => resp::format_i64(n, &mut [0; 20]).len(),
            store::Value::Inline(bytes) => bytes.len(),
            store::Value::Blob(blob) => blob.len(),
        })?;
        Ok(len.unwrap_or(0))
    }

    /// Part of a string, from the first to the last byte; negative numbers count from the end. Empty outside of it.
    pub fn getrange(&self, key: impl AsRef<[u8]>, first: i64, last: i64) -> Result<Bytes> {
        let (mut a, mut b) = ([0; 20], [0; 20]);
        let args: [&[u8]; 4] = [
            b"GETRANGE",
            key.as_ref(),
            resp::format_i64(first, &mut a),
            resp::format_i64(last, &mut b),
        ];
        Ok(to_bytes(self.call(&args)?)?.unwrap_or_default())
    }

    /// Overwrites a string from byte `offset` on, padding it with zeros if it is shorter; its length afterwards.
    pub fn setrange(
        &self,
        key: impl AsRef<[u8]>,
        offset: usize,
        bytes: impl AsRef<[u8]>,
    ) -> Result<usize> {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let mut buf = [0; 20];
        let args: [&[u8]; 4] = [
            b"SETRANGE",
            key.as_ref(),
            resp::format_i64(offset, &mut buf),
            bytes.as_ref(),
        ];
        Ok(to_int(self.call(&args)?)? as usize)
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
        self.on_key(key, true, |keys| add(keys, key, by))
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
        to_double(self.call(&[b"INCRBYFLOAT", key.as_ref(), &text])?)
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

const INCRBY: Event = Event::string("incrby");

/// INCRBY.
fn add(keys: &mut Keys<'_>, key: &[u8], by: i64) -> Result<i64> {
    let Some(mut found) = keys.write_string(key)? else {
        keys.insert_in(keys.db, key, NewValue::Int(by), None, false);
        keys.changed(key, INCRBY);
        return Ok(by);
    };
    let old = match found.get().value() {
        store::Value::Int(n) => Some(n),
        store::Value::Inline(text) => resp::parse_i64(text),
        store::Value::Blob(_) => None,
    };
    let new = old
        .ok_or(engine::Error::NOT_AN_INTEGER)?
        .checked_add(by)
        .ok_or(engine::Error::OVERFLOW)?;
    // An integer's text is never a blob, so nothing is freed.
    found.set_value(NewValue::Int(new), false);
    keys.changed(key, INCRBY);
    Ok(new)
}
