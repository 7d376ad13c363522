//! Typed calls on sets whose members expire one by one. A member that has expired is gone like one that was removed, and with its
//! last member a set is.
//!
//! They are to sets what the calls of [`crate::hash_expiry`] are to hashes: times are kept in milliseconds, the latest is some
//! 2,200 years after 1970, and a key that holds no set is an error with the code `WRONGTYPE`.

use crate::call::{Call, Decode};
use crate::db::Db;
use crate::error::Result;
use crate::expiry::{ExpireIf, NewExpiry, Ttl, millis, unix_millis};
use crate::hash_expiry::{FieldExpire, times};
use crate::way::Way;
use std::time::{Duration, SystemTime};

/// When [`Db::saddex`] adds members, and for how long.
///
/// ```
/// # use redpoll::{Db, Config, SAddEx};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let once = SAddEx::new().if_no_member_present().expire_in(Duration::from_secs(60));
/// assert!(db.saddex("online", ["ada"], &once)?);
/// assert!(!db.saddex("online", ["ada", "bob"], &once)?);
/// assert!(!db.sismember("online", "bob")?);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct SAddEx {
    members: Option<&'static str>,
    expiry: Option<NewExpiry>,
}

impl SAddEx {
    /// Adds whatever is there, for ever.
    pub fn new() -> SAddEx {
        SAddEx::default()
    }

    /// Only if the set has none of the members (MNX). Of the two conditions the last counts.
    pub fn if_no_member_present(mut self) -> SAddEx {
        self.members = Some("MNX");
        self
    }

    /// Only if the set has all of the members (MXX).
    pub fn if_all_members_present(mut self) -> SAddEx {
        self.members = Some("MXX");
        self
    }

    /// Expire after this time (PX).
    pub fn expire_in(mut self, time: Duration) -> SAddEx {
        self.expiry = Some(NewExpiry::In(time));
        self
    }

    /// Expire at this time (PXAT).
    pub fn expire_at(mut self, time: SystemTime) -> SAddEx {
        self.expiry = Some(NewExpiry::At(time));
        self
    }

    /// Leave the members' expiries as they are (KEEPTTL).
    pub fn keep_expiry(mut self) -> SAddEx {
        self.expiry = Some(NewExpiry::Keep);
        self
    }
}

impl<W: Way> Db<W> {
    /// `name key ... MEMBERS n member ...`; without members nothing is done.
    fn on_members<M: AsRef<[u8]>, T: Decode>(
        &self,
        name: &'static str,
        key: &[u8],
        members: impl IntoIterator<Item = M>,
        options: impl FnOnce(Call<'_, W>) -> Call<'_, W>,
    ) -> Result<Vec<T>> {
        let members: Vec<M> = members.into_iter().collect();
        if members.is_empty() {
            return Ok(Vec::new());
        }
        options(self.command(name).arg(key))
            .arg("MEMBERS")
            .counted(&members)
            .run()
    }

    /// Adds members with one expiry for all, on a condition if asked; whether that was done: all of them or none. See [`SAddEx`].
    ///
    /// ```
    /// # use redpoll::{Db, Config, SAddEx, Ttl};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.saddex("online", ["ada", "bob"], &SAddEx::new().expire_in(Duration::from_secs(60)))?;
    /// assert!(matches!(db.sttl("online", ["bob"])?[0], Ttl::In(_)));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn saddex<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
        options: &SAddEx,
    ) -> Result<bool> {
        let members: Vec<M> = members.into_iter().collect();
        if members.is_empty() {
            return Ok(true);
        }
        let mut call = self.command("SADDEX").arg(&key);
        if let Some(word) = options.members {
            call = call.arg(word);
        }
        if let Some(expiry) = options.expiry {
            call = expiry.add_to(call);
        }
        call.arg("MEMBERS").counted(&members).run()
    }

    /// Has members expire after `time`; what became of each. No time at all removes them.
    ///
    /// ```
    /// # use redpoll::{Db, Config, FieldExpire, Ttl};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.sadd_many("s", ["a", "b"])?;
    /// let done = db.sexpire("s", Duration::from_secs(60), ["a", "x"])?;
    /// assert_eq!(done, [FieldExpire::Set, FieldExpire::Absent]);
    /// assert_eq!(db.sttl("s", ["b"])?, [Ttl::Never]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sexpire<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        time: Duration,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<FieldExpire>> {
        let ms = millis(time);
        self.on_members("SPEXPIRE", key.as_ref(), members, |call| call.int(ms))
    }

    /// Has members expire after `time`, each under a condition on the expiry it has; what became of each.
    ///
    /// ```
    /// # use redpoll::{Db, Config, ExpireIf, FieldExpire};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.sadd("s", "a")?;
    /// let some = db.sexpire_if("s", Duration::from_secs(60), ExpireIf::Some, ["a"])?;
    /// assert_eq!(some, [FieldExpire::Refused]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sexpire_if<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        time: Duration,
        condition: ExpireIf,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<FieldExpire>> {
        let ms = millis(time);
        self.on_members("SPEXPIRE", key.as_ref(), members, |call| {
            call.int(ms).arg(condition.word())
        })
    }

    /// Has members expire at `time`; what became of each. A time that has passed removes them.
    ///
    /// ```
    /// # use redpoll::{Db, Config, FieldExpire};
    /// # use std::time::SystemTime;
    /// # let db = Db::open(Config::default())?;
    /// db.sadd("s", "a")?;
    /// let done = db.sexpire_at("s", SystemTime::UNIX_EPOCH, ["a"])?;
    /// assert_eq!(done, [FieldExpire::Deleted]);
    /// assert!(!db.exists("s")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sexpire_at<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        time: SystemTime,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<FieldExpire>> {
        // The command takes no times before 1970, which have passed all the same.
        let ms = unix_millis(time).max(0);
        self.on_members("SPEXPIREAT", key.as_ref(), members, |call| call.int(ms))
    }

    /// Has members never expire; for each, whether it is there and would have.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("s", ["a", "b"])?;
    /// db.sexpire("s", Duration::from_secs(60), ["a"])?;
    /// assert_eq!(db.spersist("s", ["a", "b"])?, [true, false]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn spersist<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<bool>> {
        let done: Vec<i64> = self.on_members("SPERSIST", key.as_ref(), members, |call| call)?;
        Ok(done.into_iter().map(|n| n == 1).collect())
    }

    /// How long each of several members has left; see [`Db::sexpire`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, Ttl};
    /// # let db = Db::open(Config::default())?;
    /// db.sadd("s", "a")?;
    /// assert_eq!(db.sttl("s", ["a", "x"])?, [Ttl::Never, Ttl::Absent]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sttl<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Ttl>> {
        self.on_members("SPTTL", key.as_ref(), members, |call| call)
    }

    /// When each of several members expires; `None` if it is not there or never does.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd_many("s", ["a", "b"])?;
    /// let time = SystemTime::UNIX_EPOCH + Duration::from_secs(7_000_000_000);
    /// db.sexpire_at("s", time, ["a"])?;
    /// assert_eq!(db.sexpire_time("s", ["a", "b"])?, [Some(time), None]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sexpire_time<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Option<SystemTime>>> {
        self.on_members("SPEXPIRETIME", key.as_ref(), members, |call| call)
            .map(times)
    }
}
