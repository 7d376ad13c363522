//! Typed calls that sort: the elements of a list, a set or a sorted set, by themselves or by what other keys hold.

use crate::bytes::Bytes;
use crate::call::Call;
use crate::db::Db;
use crate::error::Result;
use crate::way::Way;

/// How to sort, and what to return; for [`Db::sort`] and [`Db::sort_store`].
///
/// ```
/// # use redpoll::{Db, Config, Sort};
/// # let db = Db::open(Config::default())?;
/// db.rpush_many("ids", ["2", "10", "1"])?;
/// let numbers: Vec<_> = db.sort("ids", &Sort::new())?.into_iter().flatten().collect();
/// assert_eq!(numbers, ["1", "2", "10"]);
/// // By a field of other keys, returning another field; `#` is the element itself.
/// for (id, name, age) in [("1", "Ada", "36"), ("2", "Bob", "20")] {
///     db.hset_many(format!("user:{id}"), [("name", name), ("age", age)])?;
/// }
/// let youngest = Sort::new().by("user:*->age").get("user:*->name").limit(1, 1);
/// assert_eq!(db.sort("ids", &youngest)?[0].as_ref().unwrap(), "Bob");
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Sort {
    by: Option<Vec<u8>>,
    limit: Option<(usize, usize)>,
    get: Vec<Vec<u8>>,
    descending: bool,
    alpha: bool,
}

impl Sort {
    /// By the numbers that the elements are, the smallest first.
    pub fn new() -> Sort {
        Sort::default()
    }

    /// By what keys hold whose names a pattern gives: `*` stands for the element, and what follows `->` is a field of a
    /// hash. A key that does not exist counts as 0, or as empty. A pattern without `*` leaves the elements as they are.
    pub fn by(mut self, pattern: impl AsRef<[u8]>) -> Sort {
        self.by = Some(pattern.as_ref().to_vec());
        self
    }

    /// Leaves the first `offset` elements out and takes at most `count` of the rest.
    pub fn limit(mut self, offset: usize, count: usize) -> Sort {
        self.limit = Some((offset, count));
        self
    }

    /// Returns, for each element, what a key holds whose name a pattern gives, instead of the element; `#` gives the element.
    /// Given several times, several results come for each element, one behind the other.
    pub fn get(mut self, pattern: impl AsRef<[u8]>) -> Sort {
        self.get.push(pattern.as_ref().to_vec());
        self
    }

    /// The greatest first.
    pub fn descending(mut self) -> Sort {
        self.descending = true;
        self
    }

    /// By bytes instead of by numbers.
    pub fn alpha(mut self) -> Sort {
        self.alpha = true;
        self
    }

    fn add_to<'a, W: Way>(&'a self, mut call: Call<'a, W>) -> Call<'a, W> {
        if let Some(pattern) = &self.by {
            call = call.arg("BY").arg(pattern);
        }
        if let Some((offset, count)) = self.limit {
            call = call.arg("LIMIT").count(offset).count(count);
        }
        for pattern in &self.get {
            call = call.arg("GET").arg(pattern);
        }
        call.word_if(self.descending, "DESC")
            .word_if(self.alpha, "ALPHA")
    }
}

impl<W: Way> Db<W> {
    /// The elements of a list, a set or a sorted set in another order; see [`Sort`]. `None` stands for a key or a field that
    /// [`Sort::get`] does not find. An element that should be a number and is none is an error, and so is a key of another
    /// type (`WRONGTYPE`). A key that does not exist is empty.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Sort};
    /// # let db = Db::open(Config::default())?;
    /// db.sadd_many("s", ["b", "a"])?;
    /// assert!(db.sort("s", &Sort::new()).is_err());                // no numbers
    /// assert_eq!(db.sort("s", &Sort::new().alpha())?[0].as_ref().unwrap(), "a");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sort(&self, key: impl AsRef<[u8]>, how: &Sort) -> Result<Vec<Option<Bytes>>> {
        how.add_to(self.command("SORT_RO").arg(&key)).run()
    }

    /// Stores the same as a list at a key, whatever was there; its length. What is not found is empty. Nothing at all deletes
    /// the key.
    ///
    /// ```
    /// # use redpoll::{Db, Config, Sort};
    /// # let db = Db::open(Config::default())?;
    /// db.sadd_many("s", ["2", "1"])?;
    /// assert_eq!(db.sort_store("s", &Sort::new().descending(), "sorted")?, 2);
    /// assert_eq!(db.lrange("sorted", 0, -1)?, ["2", "1"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn sort_store(
        &self,
        key: impl AsRef<[u8]>,
        how: &Sort,
        to: impl AsRef<[u8]>,
    ) -> Result<usize> {
        how.add_to(self.command("SORT").arg(&key))
            .arg("STORE")
            .arg(&to)
            .run()
    }
}
