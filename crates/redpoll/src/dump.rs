//! Typed calls on values as a whole: taking them out and putting them back as bytes, and what is known of how they are
//! kept.

use crate::bytes::Bytes;
use crate::db::Db;
use crate::error::Result;
use crate::expiry::{millis, unix_millis};
use crate::way::Way;
use std::time::{Duration, SystemTime};

/// What [`Db::restore`] makes of a value.
///
/// ```
/// # use redpoll::{Db, Config, Restore, Ttl};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// db.rpush_many("l", ["a", "b"])?;
/// let bytes = db.dump("l")?.unwrap();
/// let minute = Restore::new().expire_in(Duration::from_secs(60)).replace();
/// db.restore("l", &bytes, &minute)?;
/// assert!(matches!(db.ttl("l")?, Ttl::In(_)));
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Restore {
    expiry: Option<Expiry>,
    replace: bool,
    idle: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    In(Duration),
    At(SystemTime),
}

impl Restore {
    /// A key that never expires, and was used just now.
    pub fn new() -> Restore {
        Restore::default()
    }

    /// It expires after this time. Of this and [`Restore::expire_at`] the last counts.
    pub fn expire_in(mut self, time: Duration) -> Restore {
        self.expiry = Some(Expiry::In(time));
        self
    }

    /// It expires at this time; if that has passed, nothing is stored.
    pub fn expire_at(mut self, time: SystemTime) -> Restore {
        self.expiry = Some(Expiry::At(time));
        self
    }

    /// Replaces what is there.
    pub fn replace(mut self) -> Restore {
        self.replace = true;
        self
    }

    /// It was last used so long ago, in whole seconds.
    pub fn idle(mut self, time: Duration) -> Restore {
        self.idle = Some(time);
        self
    }
}

impl<W: Way> Db<W> {
    /// The value of a key as bytes, with a checksum, in the format of DUMP, which Redis and Valkey can restore too; `None` if
    /// the key does not exist. The key's expiry is not in it.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Restore};
    /// # let db = Db::open(Config::default())?;
    /// db.sadd_many("s", ["a", "b"])?;
    /// let bytes = db.dump("s")?.unwrap();
    /// db.restore("copy", &bytes, &Restore::new())?;
    /// assert!(db.sismember("copy", "a")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn dump(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.command("DUMP").arg(&key).run()
    }

    /// Stores a value that [`Db::dump`], Redis or Valkey has turned into bytes. Errors: `BUSYKEY` if the key exists and is
    /// not to be replaced, and `ERR` for bytes that are damaged or come from a later version.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Restore};
    /// # let db = Db::open(Config::default())?;
    /// db.set("k", "v")?;
    /// let bytes = db.dump("k")?.unwrap();
    /// assert_eq!(db.restore("k", &bytes, &Restore::new()).unwrap_err().code(), "BUSYKEY");
    /// assert!(db.restore("new", &bytes[1..], &Restore::new()).is_err());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn restore(
        &self,
        key: impl AsRef<[u8]>,
        bytes: impl AsRef<[u8]>,
        options: &Restore,
    ) -> Result {
        // A time of 0 stands for never. What has passed is put at the beginning of 1970 instead.
        let (time, absolute) = match options.expiry {
            None => (0, false),
            Some(Expiry::In(time)) if time.is_zero() => (1, true),
            Some(Expiry::In(time)) => (millis(time), false),
            Some(Expiry::At(time)) => (unix_millis(time).max(1), true),
        };
        let mut call = self
            .command("RESTORE")
            .arg(&key)
            .int(time)
            .arg(&bytes)
            .word_if(options.replace, "REPLACE")
            .word_if(absolute, "ABSTTL");
        if let Some(idle) = options.idle {
            call = call.arg("IDLETIME").owned(idle.as_secs().to_string());
        }
        call.run()
    }

    /// The name of how a value is kept, as OBJECT ENCODING prints it: `int`, `embstr`, `raw`, `listpack`, `quicklist`,
    /// `intset`, `hashtable`, `skiplist` or `stream`; `None` if the key does not exist.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.sadd("s", "1")?;
    /// assert_eq!(db.object_encoding("s")?.unwrap(), "intset");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn object_encoding(&self, key: impl AsRef<[u8]>) -> Result<Option<String>> {
        self.command("OBJECT").arg("ENCODING").arg(&key).run()
    }

    /// How long ago a key was last used, in whole seconds; `None` if it does not exist. This call does not count as a use.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("k", "v")?;
    /// assert!(db.object_idle_time("k")?.unwrap() < Duration::from_secs(60));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn object_idle_time(&self, key: impl AsRef<[u8]>) -> Result<Option<Duration>> {
        let seconds: Option<u64> = self.command("OBJECT").arg("IDLETIME").arg(&key).run()?;
        Ok(seconds.map(Duration::from_secs))
    }

    /// How often a key is used, on a logarithmic scale up to 255; `None` if it does not exist. Unless `maxmemory-policy` is one that
    /// counts this, it is about the last seconds, and 0 of keys that are not hot; typed calls are not counted then.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert_eq!(db.object_freq("absent")?, None);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn object_freq(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.command("OBJECT").arg("FREQ").arg(&key).run()
    }

    /// How many references to a value there are, which is 1; `None` if the key does not exist.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("k", "v")?;
    /// assert_eq!(db.object_refcount("k")?, Some(1));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn object_refcount(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.command("OBJECT").arg("REFCOUNT").arg(&key).run()
    }

    /// About how many bytes a key takes with its value; `None` if it does not exist. Of a large collection, `samples` elements
    /// are looked at, 5 if that is not given, and all if it is 0.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set("k", "v")?;
    /// assert!(db.memory_usage("k", None)?.unwrap() > 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn memory_usage(
        &self,
        key: impl AsRef<[u8]>,
        samples: Option<usize>,
    ) -> Result<Option<usize>> {
        self.command("MEMORY")
            .arg("USAGE")
            .arg(&key)
            .option("SAMPLES", samples)
            .run()
    }
}
