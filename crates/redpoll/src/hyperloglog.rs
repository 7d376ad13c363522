//! Typed calls on HyperLogLogs: counting how many different elements there were, in at most 12 KiB and to 0.81 per cent.
//!
//! They are strings in a format of their own, so they can be read and written with the calls on strings. A string of
//! another form is an error with the code `WRONGTYPE` or `INVALIDOBJ`, a key of another type one with `WRONGTYPE`.

use crate::db::Db;
use crate::error::Result;
use crate::way::Way;

impl<W: Way> Db<W> {
    /// Counts an element, creating the HyperLogLog if need be; whether anything changed. An element that was counted before
    /// changes nothing; another one usually does. A key that holds no HyperLogLog is an error with the code `WRONGTYPE`, and
    /// one that holds a damaged one `INVALIDOBJ`; so it is for the other calls.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// assert!(db.pfadd("visitors", "ada")?);
    /// assert!(!db.pfadd("visitors", "ada")?);
    /// assert_eq!(db.pfcount(["visitors"])?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn pfadd(&self, key: impl AsRef<[u8]>, element: impl AsRef<[u8]>) -> Result<bool> {
        self.command("PFADD").arg(&key).arg(&element).run()
    }

    /// Counts several elements; whether anything changed. Without elements, the HyperLogLog is created all the same.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.pfadd_many("visitors", (0..1000).map(|n| n.to_string()))?;
    /// let about = db.pfcount(["visitors"])?;
    /// assert!((970..1030).contains(&about));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn pfadd_many<E: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        elements: impl IntoIterator<Item = E>,
    ) -> Result<bool> {
        let elements: Vec<E> = elements.into_iter().collect();
        self.command("PFADD").arg(&key).all(&elements).run()
    }

    /// About how many different elements several HyperLogLogs have counted together.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.pfadd("monday", "ada")?;
    /// db.pfadd_many("tuesday", ["ada", "bob"])?;
    /// assert_eq!(db.pfcount(["monday", "tuesday"])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn pfcount<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64> {
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(0);
        }
        self.command("PFCOUNT").all(&keys).run()
    }

    /// Counts at `to` what it and several HyperLogLogs have counted.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.pfadd("monday", "ada")?;
    /// db.pfadd("tuesday", "bob")?;
    /// db.pfmerge("week", ["monday", "tuesday"])?;
    /// assert_eq!(db.pfcount(["week"])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn pfmerge<K: AsRef<[u8]>>(
        &self,
        to: impl AsRef<[u8]>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result {
        let keys: Vec<K> = keys.into_iter().collect();
        self.command("PFMERGE").arg(&to).all(&keys).run()
    }
}
