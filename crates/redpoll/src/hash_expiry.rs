//! Typed calls on hashes whose fields expire one by one. A field that has expired is gone like one that was deleted, and
//! with its last field a hash is.
//!
//! Times are kept in milliseconds. The latest is some 2,200 years after 1970; a later one is an error. A key that holds
//! no hash is an error with the code `WRONGTYPE`.

use crate::bytes::Bytes;
use crate::call::{Call, Decode};
use crate::db::Db;
use crate::error::Result;
use crate::expiry::{ExpireIf, NewExpiry, Ttl, millis, unix_millis};
use crate::reply::unexpected;
use crate::value::Value;
use crate::way::Way;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What became of a field, or of a member of a set, that was to expire; see [`Db::hexpire`] and [`Db::sexpire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpire {
    /// There is no such field, or no such hash.
    Absent,
    /// The condition does not hold, so the field is as it was.
    Refused,
    /// It will expire.
    Set,
    /// The time has passed already, so it was deleted.
    Deleted,
}

impl Decode for FieldExpire {
    fn decode(value: Value) -> Result<FieldExpire> {
        match value {
            Value::Int(-2) => Ok(FieldExpire::Absent),
            Value::Int(0) => Ok(FieldExpire::Refused),
            Value::Int(1) => Ok(FieldExpire::Set),
            Value::Int(2) => Ok(FieldExpire::Deleted),
            other => Err(unexpected(&other)),
        }
    }
}

/// What [`Db::hgetex`] does to the expiry of the fields it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// They never expire.
    Never,
    /// They expire after this time.
    In(Duration),
    /// They expire at this time.
    At(SystemTime),
}

/// When [`Db::hsetex`] sets fields, and for how long.
///
/// ```
/// # use redpoll::{Db, Config, HSetEx};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let once = HSetEx::new().if_no_field_present().expire_in(Duration::from_secs(60));
/// assert!(db.hsetex("codes", [("ada", "1234")], &once)?);
/// assert!(!db.hsetex("codes", [("ada", "5678"), ("bob", "9")], &once)?);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct HSetEx {
    key: Option<&'static str>,
    fields: Option<&'static str>,
    expiry: Option<NewExpiry>,
}

/// Times as HPEXPIRETIME and SPEXPIRETIME answer them; what is negative stands for none.
pub(crate) fn times(ms: Vec<i64>) -> Vec<Option<SystemTime>> {
    let time = |ms: i64| {
        let since = Duration::from_millis(u64::try_from(ms).ok()?);
        UNIX_EPOCH.checked_add(since)
    };
    ms.into_iter().map(time).collect()
}

impl HSetEx {
    /// Sets whatever is there, for ever.
    pub fn new() -> HSetEx {
        HSetEx::default()
    }

    /// Only if the key does not exist (NX). Of the two conditions on the key the last counts.
    pub fn if_key_absent(mut self) -> HSetEx {
        self.key = Some("NX");
        self
    }

    /// Only if the key exists (XX).
    pub fn if_key_present(mut self) -> HSetEx {
        self.key = Some("XX");
        self
    }

    /// Only if the hash has none of the fields (FNX). Of the two conditions on the fields the last counts.
    pub fn if_no_field_present(mut self) -> HSetEx {
        self.fields = Some("FNX");
        self
    }

    /// Only if the hash has all of the fields (FXX).
    pub fn if_all_fields_present(mut self) -> HSetEx {
        self.fields = Some("FXX");
        self
    }

    /// Expire after this time (PX).
    pub fn expire_in(mut self, time: Duration) -> HSetEx {
        self.expiry = Some(NewExpiry::In(time));
        self
    }

    /// Expire at this time (PXAT).
    pub fn expire_at(mut self, time: SystemTime) -> HSetEx {
        self.expiry = Some(NewExpiry::At(time));
        self
    }

    /// Leave the fields' expiries as they are (KEEPTTL).
    pub fn keep_expiry(mut self) -> HSetEx {
        self.expiry = Some(NewExpiry::Keep);
        self
    }

    fn add_to<'a, W: Way>(&self, mut call: Call<'a, W>) -> Call<'a, W> {
        for word in [self.key, self.fields].into_iter().flatten() {
            call = call.arg(word);
        }
        match self.expiry {
            None => call,
            Some(expiry) => expiry.add_to(call),
        }
    }
}

impl<W: Way> Db<W> {
    /// `name key ... FIELDS n field ...`; without fields nothing is done.
    fn on_fields<F: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        key: &[u8],
        fields: impl IntoIterator<Item = F>,
        options: impl FnOnce(Call<'_, W>) -> Call<'_, W>,
    ) -> Result<Vec<T>> {
        let fields: Vec<F> = fields.into_iter().collect();
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        options(self.command(name).arg(key))
            .arg("FIELDS")
            .counted(&fields)
            .run()
    }

    /// Has fields expire after `time`; what became of each. No time at all deletes them.
    ///
    /// ```
    /// # use redpoll::{Db, Config, FieldExpire, Ttl};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2")])?;
    /// let done = db.hexpire("h", Duration::from_secs(60), ["a", "x"])?;
    /// assert_eq!(done, [FieldExpire::Set, FieldExpire::Absent]);
    /// let left = db.httl("h", ["a", "b"])?;
    /// assert!(matches!(left[0], Ttl::In(time) if time <= Duration::from_secs(60)));
    /// assert_eq!(left[1], Ttl::Never);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hexpire<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        time: Duration,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<FieldExpire>> {
        let ms = millis(time);
        self.on_fields("HPEXPIRE", key.as_ref(), fields, |call| call.int(ms))
    }

    /// Has fields expire after `time`, each under a condition on the expiry it has; what became of each.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ExpireIf, FieldExpire};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.hset("h", "a", 1)?;
    /// let minute = Duration::from_secs(60);
    /// let some = db.hexpire_if("h", minute, ExpireIf::Some, ["a"])?;
    /// assert_eq!(some, [FieldExpire::Refused]);
    /// let none = db.hexpire_if("h", minute, ExpireIf::None, ["a"])?;
    /// assert_eq!(none, [FieldExpire::Set]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hexpire_if<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        time: Duration,
        condition: ExpireIf,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<FieldExpire>> {
        let ms = millis(time);
        self.on_fields("HPEXPIRE", key.as_ref(), fields, |call| {
            call.int(ms).arg(condition.word())
        })
    }

    /// Has fields expire at `time`; what became of each. A time that has passed deletes them.
    ///
    /// ```
    /// # use redpoll::{Db, Config, FieldExpire};
    /// # use std::time::SystemTime;
    /// # let db = Db::open(Config::default())?;
    /// db.hset("h", "a", 1)?;
    /// let done = db.hexpire_at("h", SystemTime::UNIX_EPOCH, ["a"])?;
    /// assert_eq!(done, [FieldExpire::Deleted]);
    /// assert!(!db.exists("h")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hexpire_at<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        time: SystemTime,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<FieldExpire>> {
        // The command takes no times before 1970, which have passed all the same.
        let ms = unix_millis(time).max(0);
        self.on_fields("HPEXPIREAT", key.as_ref(), fields, |call| call.int(ms))
    }

    /// Has fields never expire; for each, whether it is there and would have.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2")])?;
    /// db.hexpire("h", Duration::from_secs(60), ["a"])?;
    /// assert_eq!(db.hpersist("h", ["a", "b"])?, [true, false]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hpersist<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<bool>> {
        let done: Vec<i64> = self.on_fields("HPERSIST", key.as_ref(), fields, |call| call)?;
        Ok(done.into_iter().map(|n| n == 1).collect())
    }

    /// How long each of several fields has left; see [`Db::hexpire`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, Ttl};
    /// # let db = Db::open(Config::default())?;
    /// db.hset("h", "a", 1)?;
    /// assert_eq!(db.httl("h", ["a", "x"])?, [Ttl::Never, Ttl::Absent]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn httl<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Ttl>> {
        self.on_fields("HPTTL", key.as_ref(), fields, |call| call)
    }

    /// When each of several fields expires; `None` if it is not there or never does.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset_many("h", [("a", "1"), ("b", "2")])?;
    /// let time = SystemTime::UNIX_EPOCH + Duration::from_secs(7_000_000_000);
    /// db.hexpire_at("h", time, ["a"])?;
    /// assert_eq!(db.hexpire_time("h", ["a", "b"])?, [Some(time), None]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hexpire_time<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Option<SystemTime>>> {
        self.on_fields("HPEXPIRETIME", key.as_ref(), fields, |call| call)
            .map(times)
    }

    /// The values of fields, which are deleted; `None` for a field that is not there.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.hset("h", "a", 1)?;
    /// assert_eq!(db.hgetdel("h", ["a"])?[0].as_ref().unwrap(), "1");
    /// assert_eq!(db.hgetdel("h", ["a"])?, [None]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hgetdel<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Option<Bytes>>> {
        self.on_fields("HGETDEL", key.as_ref(), fields, |call| call)
    }

    /// The values of fields, which get an expiry or lose it; `None` for a field that is not there.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Expire, Ttl};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.hset("sessions", "ada", "token")?;
    /// let half_hour = Expire::In(Duration::from_secs(1800));
    /// let found = db.hgetex("sessions", half_hour, ["ada"])?;
    /// assert_eq!(found[0].as_ref().unwrap(), "token");
    /// assert!(matches!(db.httl("sessions", ["ada"])?[0], Ttl::In(_)));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hgetex<F: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        expire: Expire,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Option<Bytes>>> {
        self.on_fields("HGETEX", key.as_ref(), fields, |call| match expire {
            Expire::Never => call.arg("PERSIST"),
            Expire::In(time) => call.arg("PX").int(millis(time)),
            Expire::At(time) => call.arg("PXAT").int(unix_millis(time).max(0)),
        })
    }

    /// Sets fields under conditions and with one expiry for all; whether they were set: all of them or none.
    ///
    /// ```
    /// # use redpoll::{Db, Config, HSetEx, Ttl};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// let minute = HSetEx::new().expire_in(Duration::from_secs(60));
    /// db.hsetex("h", [("a", "1"), ("b", "2")], &minute)?;
    /// assert!(matches!(db.httl("h", ["b"])?[0], Ttl::In(_)));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn hsetex<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        pairs: impl IntoIterator<Item = (F, V)>,
        options: &HSetEx,
    ) -> Result<bool> {
        let pairs: Vec<(F, V)> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Ok(true);
        }
        options
            .add_to(self.command("HSETEX").arg(&key))
            .arg("FIELDS")
            .count(pairs.len())
            .pairs(&pairs)
            .run()
    }
}
