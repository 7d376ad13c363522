//! Typed calls that compare the string at a key before they do something to it, and what it is compared with.

use crate::bytes::Payload;
use crate::db::Db;
use crate::error::Result;
use crate::expiry::NewExpiry;
use crate::way::Way;
use engine::Intent;
use engine::ops::strings as ops;
use std::time::{Duration, SystemTime};

/// What the string at a key has to be; for [`Db::delex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare<'a> {
    /// Exactly this (IFEQ).
    Equal(&'a [u8]),
    /// Something else (IFNE).
    Different(&'a [u8]),
    /// One that has this digest (IFDEQ); see [`Db::digest`].
    Digest(u64),
    /// One that has another digest (IFDNE).
    DifferentDigest(u64),
}

/// The text of a digest.
pub(crate) fn digest_text(digest: u64) -> [u8; 16] {
    let mut text = [0; 16];
    text.copy_from_slice(format!("{digest:016x}").as_bytes());
    text
}

/// When [`Db::msetex`] sets keys, and for how long.
///
/// ```
/// # use redpoll::{Db, Config, MSetEx, Ttl};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// let once = MSetEx::new().if_all_absent().expire_in(Duration::from_secs(60));
/// assert!(db.msetex([("a", "1"), ("b", "2")], &once)?);
/// assert!(!db.msetex([("b", "3"), ("c", "4")], &once)?);
/// assert_eq!(db.get("c")?, None);
/// assert!(matches!(db.ttl("a")?, Ttl::In(_)));
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct MSetEx {
    condition: Option<&'static str>,
    expiry: Option<NewExpiry>,
}

impl MSetEx {
    /// Sets whatever is there, for ever.
    pub fn new() -> MSetEx {
        MSetEx::default()
    }

    /// Only if none of the keys exists (NX). Of the two conditions the last counts.
    pub fn if_all_absent(mut self) -> MSetEx {
        self.condition = Some("NX");
        self
    }

    /// Only if all of the keys exist (XX).
    pub fn if_all_present(mut self) -> MSetEx {
        self.condition = Some("XX");
        self
    }

    /// Expire after this time (PX).
    pub fn expire_in(mut self, time: Duration) -> MSetEx {
        self.expiry = Some(NewExpiry::In(time));
        self
    }

    /// Expire at this time (PXAT).
    pub fn expire_at(mut self, time: SystemTime) -> MSetEx {
        self.expiry = Some(NewExpiry::At(time));
        self
    }

    /// Leave the keys' expiries as they are (KEEPTTL).
    pub fn keep_expiry(mut self) -> MSetEx {
        self.expiry = Some(NewExpiry::Keep);
        self
    }
}

impl<W: Way> Db<W> {
    /// Deletes a key if it holds a string that compares as it should; whether it did so. A key that holds something else is an
    /// error with the code `WRONGTYPE`. To delete without looking there is [`Db::del`].
    ///
    /// ```
    /// # use redpoll::{Compare, Config, Db};
    /// # let db = Db::open(Config::default())?;
    /// db.set("lock", "mine")?;
    /// assert!(!db.delex("lock", Compare::Equal(b"yours"))?);
    /// assert!(db.delex("lock", Compare::Equal(b"mine"))?);
    /// assert!(!db.exists("lock")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn delex(&self, key: impl AsRef<[u8]>, compare: Compare<'_>) -> Result<bool> {
        let key = key.as_ref();
        let (digest, condition);
        condition = match compare {
            Compare::Equal(want) => ops::Condition::Equals(want),
            Compare::Different(from) => ops::Condition::Differs(from),
            Compare::Digest(want) => {
                digest = digest_text(want);
                ops::Condition::DigestEquals(&digest)
            }
            Compare::DifferentDigest(from) => {
                digest = digest_text(from);
                ops::Condition::DigestDiffers(&digest)
            }
        };
        self.on_key(key, Intent::Change, |keys| {
            ops::delete_if(keys, key, condition)
        })
    }

    /// Deletes a key if it holds exactly this string; whether it did so: [`Db::delex`] in its most common form.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("lock", "mine")?;
    /// assert!(db.delifeq("lock", "mine")?);
    /// assert!(!db.delifeq("lock", "mine")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn delifeq(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        self.delex(key, Compare::Equal(value.as_ref()))
    }

    /// The digest of the string at a key, by which it can be compared without sending it: its XXH3 hash of 64 bits. `None` if the key
    /// does not exist.
    ///
    /// ```
    /// # use redpoll::{Config, Db, SetOptions};
    /// # let db = Db::open(Config::default())?;
    /// db.set("page", "a long text")?;
    /// let seen = db.digest("page")?.unwrap();
    /// let unchanged = SetOptions::new().if_digest(seen);
    /// assert!(db.set_with("page", "another long text", &unchanged)?);
    /// assert!(!db.set_with("page", "a third", &unchanged)?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn digest(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.look_at_string(key.as_ref(), |value| {
            let mut number = [0; 20];
            let text = ops::digest_of(ops::text(value, &mut number));
            // Its sixteen digits.
            let digit = |n: u64, d: &u8| n << 4 | u64::from((*d as char).to_digit(16).unwrap_or(0));
            text.iter().fold(0, digit)
        })
    }

    /// Sets several keys at one moment, under conditions and with one expiry for all; whether they were set: all of them or none.
    /// See [`MSetEx`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, MSetEx};
    /// # let db = Db::open(Config::default())?;
    /// assert!(!db.msetex([("a", "1")], &MSetEx::new().if_all_present())?);
    /// assert!(db.msetex([("a", "1"), ("b", "2")], &MSetEx::new())?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn msetex<'v, K: AsRef<[u8]>, V: Into<Payload<'v>>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
        options: &MSetEx,
    ) -> Result<bool> {
        let pairs: Vec<(K, Payload<'v>)> = pairs
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        if pairs.is_empty() {
            return Ok(true);
        }
        let mut call = self.command("MSETEX").count(pairs.len());
        for (key, value) in &pairs {
            call = call.arg(key).payload(value);
        }
        if let Some(word) = options.condition {
            call = call.arg(word);
        }
        match options.expiry {
            Some(expiry) => expiry.add_to(call).run(),
            None => call.run(),
        }
    }
}
