//! Going through all keys while the database is in use.

use crate::bytes::Bytes;
use crate::db::Db;
use resp::Value;
use std::collections::VecDeque;
use store::Type;

/// An iterator over keys, from [`Db::scan`].
///
/// It fetches a few keys at a time and holds no lock in between. A key that is there all the while comes exactly once
/// or, if the database grew or shrank much meanwhile, perhaps again; one that comes or goes meanwhile may or may not.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default())?;
/// db.mset([("user:1", "a"), ("user:2", "b"), ("session:1", "c")])?;
/// let mut users: Vec<_> = db.scan().matching("user:*").collect();
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
    cursor: Option<Vec<u8>>,
    fetched: VecDeque<Bytes>,
}

impl Scan {
    pub(crate) fn new(db: Db) -> Scan {
        Scan {
            db,
            pattern: None,
            kind: None,
            batch: 100,
            cursor: Some(b"0".to_vec()),
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

    fn fetch(&mut self) {
        let Some(cursor) = self.cursor.take() else {
            return;
        };
        let count = self.batch.to_string();
        let mut args: Vec<&[u8]> = vec![b"SCAN", &cursor, b"COUNT", count.as_bytes()];
        if let Some(pattern) = &self.pattern {
            args.extend([b"MATCH", pattern.as_slice()]);
        }
        if let Some(kind) = self.kind {
            args.extend([b"TYPE", kind.name().as_bytes()]);
        }
        // A call with arguments like these has no way to fail.
        let Ok(Value::Array(reply)) = self.db.call(&args) else {
            return;
        };
        let mut reply = reply.into_iter();
        if let (Some(Value::Bulk(next)), Some(Value::Array(keys))) = (reply.next(), reply.next()) {
            self.fetched
                .extend(keys.into_iter().filter_map(|key| match key {
                    Value::Bulk(key) => Some(Bytes::from(key)),
                    _ => None,
                }));
            self.cursor = (next != b"0").then_some(next);
        }
    }
}

impl Iterator for Scan {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.fetched.is_empty() && self.cursor.is_some() {
            self.fetch();
        }
        self.fetched.pop_front()
    }
}
