//! Going through the elements of a collection while it is in use.

use crate::bytes::Bytes;
use crate::call::{Decode, Flat, fixed};
use crate::db::Db;
use crate::error::Result;
use crate::value::Value;
use std::collections::VecDeque;

/// A part of the elements, as a SCAN command answers it.
pub(crate) trait Part: Sized {
    /// The elements of the array behind the cursor.
    fn part(value: Value) -> Result<Vec<Self>>;
}

impl Part for Bytes {
    fn part(value: Value) -> Result<Vec<Bytes>> {
        Vec::decode(value)
    }
}

impl<T: Decode> Part for (Bytes, T) {
    fn part(value: Value) -> Result<Vec<(Bytes, T)>> {
        Flat::decode(value).map(|pairs| pairs.0)
    }
}

/// Turns a reply's elements into the iterator's.
type PartOf<T> = fn(Value) -> Result<Vec<T>>;

/// An iterator over the elements of a hash, a set or a sorted set, from [`Db::hscan`], [`Db::sscan`] and [`Db::zscan`].
///
/// It fetches a few elements at a time and holds no lock in between. An element that is there all the while comes at
/// least once; one that comes or goes meanwhile may or may not. If the key holds, or comes to hold, something else than
/// such a collection, there is one item with the error `WRONGTYPE`, and then no more. A key that does not exist has no elements.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default())?;
/// db.sadd_many("s", (0..1000).map(|n| n.to_string()))?;
/// let mut n = 0;
/// for member in db.sscan("s").matching("*7").batch(50) {
///     assert!(member?.ends_with(b"7"));
///     n += 1;
/// }
/// assert_eq!(n, 100);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct ElementScan<T> {
    db: Db,
    command: &'static str,
    word: Option<&'static str>,
    key: Vec<u8>,
    pattern: Option<Vec<u8>>,
    batch: usize,
    /// `None`: the end has been reached.
    cursor: Option<Bytes>,
    fetched: VecDeque<T>,
    part: PartOf<T>,
}

impl<T> ElementScan<T> {
    /// `word` is one more option of the command.
    pub(crate) fn new(
        db: &Db,
        command: &'static str,
        key: &[u8],
        word: Option<&'static str>,
    ) -> ElementScan<T>
    where
        T: Part,
    {
        ElementScan {
            db: db.clone(),
            command,
            word,
            key: key.to_vec(),
            pattern: None,
            batch: 100,
            cursor: Some(Bytes::from(b"0".to_vec())),
            fetched: VecDeque::new(),
            part: T::part,
        }
    }

    /// Only elements whose field or member this glob pattern matches.
    pub fn matching(mut self, pattern: impl AsRef<[u8]>) -> ElementScan<T> {
        self.pattern = Some(pattern.as_ref().to_vec());
        self
    }

    /// About how many elements to look at in one go: 100 if not said otherwise. A small collection comes whole.
    pub fn batch(mut self, elements: usize) -> ElementScan<T> {
        self.batch = elements.max(1);
        self
    }

    fn fetch(&mut self, cursor: &Bytes) -> Result {
        let mut call = self
            .db
            .command(self.command)
            .arg(&self.key)
            .arg(cursor)
            .arg("COUNT")
            .count(self.batch);
        if let Some(pattern) = &self.pattern {
            call = call.arg("MATCH").arg(pattern);
        }
        if let Some(word) = self.word {
            call = call.arg(word);
        }
        let [next, elements] = fixed(call.run()?)?;
        let next = Bytes::decode(next)?;
        self.fetched.extend((self.part)(elements)?);
        self.cursor = (next != "0").then_some(next);
        Ok(())
    }
}

impl<T> Iterator for ElementScan<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        while self.fetched.is_empty() {
            let cursor = self.cursor.take()?;
            if let Err(e) = self.fetch(&cursor) {
                return Some(Err(e));
            }
        }
        self.fetched.pop_front().map(Ok)
    }
}
