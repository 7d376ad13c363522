//! Going through all keys while the database is in use.

use crate::bytes::Bytes;
use crate::db::Db;
use crate::error::Result;
use crate::keys::Type;
use std::collections::VecDeque;

/// An iterator over keys, from [`Db::scan`].
///
/// It fetches a few keys at a time and holds no lock in between. A key that is there all the while comes exactly once
/// or, if the database grew or shrank much meanwhile, perhaps again; one that comes or goes meanwhile may or may not. If it cannot
/// go on, there is one item with the error, and then no more.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default())?;
/// db.mset([("user:1", "a"), ("user:2", "b"), ("session:1", "c")])?;
/// let mut users = db.scan().matching("user:*").collect::<redpoll::Result<Vec<_>>>()?;
/// users.sort();
/// assert_eq!(users, ["user:1", "user:2"]);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Scan {
    db: Db,
    pattern: Option<Vec<u8>>,
    kind: Option<Type>,
    batch: usize,
    /// `None`: the end has been reached.
    cursor: Option<Bytes>,
    fetched: VecDeque<Bytes>,
}

impl Scan {
    pub(crate) fn new(db: Db) -> Scan {
        Scan {
            db,
            pattern: None,
            kind: None,
            batch: 100,
            cursor: Some(Bytes::from(b"0".to_vec())),
            fetched: VecDeque::new(),
        }
    }

    /// Only keys that this glob pattern matches.
    pub fn matching(mut self, pattern: impl AsRef<[u8]>) -> Scan {
        self.pattern = Some(pattern.as_ref().to_vec());
        self
    }

    /// Only keys that hold this kind of value.
    pub fn of_type(mut self, kind: Type) -> Scan {
        self.kind = Some(kind);
        self
    }

    /// About how many keys to look at in one go: 100 if not said otherwise.
    pub fn batch(mut self, keys: usize) -> Scan {
        self.batch = keys.max(1);
        self
    }

    fn fetch(&mut self, cursor: &Bytes) -> Result {
        let mut call = self.db.command("SCAN").arg(cursor);
        call = call.arg("COUNT").count(self.batch);
        if let Some(pattern) = &self.pattern {
            call = call.arg("MATCH").arg(pattern);
        }
        if let Some(kind) = self.kind {
            call = call.arg("TYPE").arg(kind.name());
        }
        let (next, keys): (Bytes, Vec<Bytes>) = call.run()?;
        self.fetched.extend(keys);
        self.cursor = (next != "0").then_some(next);
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        while self.fetched.is_empty() {
            let cursor = self.cursor.take()?;
            if let Err(e) = self.fetch(&cursor) {
                return Some(Err(e));
            }
        }
        self.fetched.pop_front().map(Ok)
    }
}

impl Db {
    /// Goes through the keys a few at a time, while others work on the database; see [`Scan`].
    pub fn scan(&self) -> Scan {
        Scan::new(self.clone())
    }
}
