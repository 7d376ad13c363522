//! Typed calls that move several elements from one list to another at one moment.
//!
//! A key that holds something else than a list is an error with the code `WRONGTYPE`. A list may be moved within.

use crate::blocking::add_seconds;
use crate::bytes::Bytes;
use crate::call::{Call, Decode, OrEmpty};
use crate::db::Db;
use crate::error::Result;
use crate::lists::End;
use crate::waiting::Waiting;
use crate::way::{Direct, Way};
use std::time::Duration;

/// How many elements [`Db::lmovem`] moves, and in what order.
///
/// ```
/// # use redpoll::{Config, Db, End, LMoveM};
/// # let db = Db::open(Config::default())?;
/// db.rpush_many("l", ["1", "2", "3", "4", "5"])?;
/// // One after the other: the first ends up behind the second.
/// assert_eq!(db.lmovem("l", "m", End::Left, End::Left, LMoveM::up_to(2))?, ["2", "1"]);
/// // Together, as they stand.
/// let two = LMoveM::exactly(2).together();
/// assert_eq!(db.lmovem("l", "n", End::Left, End::Left, two)?, ["3", "4"]);
/// // There is only one left.
/// assert!(db.lmovem("l", "n", End::Left, End::Left, two)?.is_empty());
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct LMoveM {
    word: &'static str,
    count: usize,
    order: &'static str,
}

impl LMoveM {
    /// So many elements, or fewer if there are no more (COUNT).
    pub fn up_to(count: usize) -> LMoveM {
        LMoveM {
            word: "COUNT",
            count,
            order: "OBO",
        }
    }

    /// So many elements, or none if there are not enough (EXACTLY).
    pub fn exactly(count: usize) -> LMoveM {
        LMoveM {
            word: "EXACTLY",
            ..LMoveM::up_to(count)
        }
    }

    /// They stay in the order in which they stood (BULK), and are not moved one after the other, as by several calls of
    /// [`Db::lmove`].
    pub fn together(mut self) -> LMoveM {
        self.order = "BULK";
        self
    }

    fn add_to<'a, W: Way>(self, call: Call<'a, W>) -> Call<'a, W> {
        call.arg(self.word).count(self.count).arg(self.order)
    }
}

impl<W: Way> Db<W> {
    /// Moves several elements from an end of one list to an end of another; they, in the order in which they stand now. See
    /// [`LMoveM`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, End, LMoveM};
    /// # let db = Db::open(Config::default())?;
    /// db.rpush_many("waiting", ["a", "b", "c"])?;
    /// let moved = db.lmovem("waiting", "working", End::Left, End::Right, LMoveM::up_to(2))?;
    /// assert_eq!(moved, ["a", "b"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn lmovem(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        from_end: End,
        to_end: End,
        which: LMoveM,
    ) -> Result<Vec<Bytes>> {
        if which.count == 0 {
            return Ok(Vec::new());
        }
        let call = self
            .command("LMOVEM")
            .arg(&from)
            .arg(&to)
            .arg(from_end.word())
            .arg(to_end.word());
        let moved: OrEmpty<Bytes> = which.add_to(call).run()?;
        Ok(moved.0)
    }
}

impl Db {
    fn blmovem_call<'a>(
        &'a self,
        (from, to): (&'a [u8], &'a [u8]),
        (from_end, to_end): (End, End),
        which: LMoveM,
        timeout: Option<Duration>,
    ) -> Call<'a, Direct> {
        let call = self
            .command("BLMOVEM")
            .arg(from)
            .arg(to)
            .arg(from_end.word())
            .arg(to_end.word());
        which.add_to(add_seconds(call, timeout))
    }

    /// As [`Db::lmovem`], and waits for the elements if they are not there; nothing if they did not come in time.
    ///
    /// ```
    /// # use redpoll::{Config, Db, End, LMoveM};
    /// # use std::time::Duration;
    /// # let db = Db::open(Config::default())?;
    /// db.rpush("waiting", "a")?;
    /// let (two, soon) = (LMoveM::exactly(2), Some(Duration::from_millis(1)));
    /// let moved = db.blmovem("waiting", "working", End::Left, End::Right, two, soon)?;
    /// assert!(moved.is_empty());
    /// db.rpush("waiting", "b")?;
    /// let moved = db.blmovem("waiting", "working", End::Left, End::Right, two, None)?;
    /// assert_eq!(moved, ["a", "b"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn blmovem(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        from_end: End,
        to_end: End,
        which: LMoveM,
        timeout: Option<Duration>,
    ) -> Result<Vec<Bytes>> {
        if which.count == 0 {
            return Ok(Vec::new());
        }
        let keys = (from.as_ref(), to.as_ref());
        let call = self.blmovem_call(keys, (from_end, to_end), which, timeout);
        let moved: OrEmpty<Bytes> = call.run()?;
        Ok(moved.0)
    }

    /// [`Db::blmovem`] as a future.
    pub fn blmovem_async(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        from_end: End,
        to_end: End,
        which: LMoveM,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<Bytes>> {
        if which.count == 0 {
            return Waiting::ready(&self.way, Ok(Vec::new()));
        }
        let keys = (from.as_ref(), to.as_ref());
        let call = self.blmovem_call(keys, (from_end, to_end), which, timeout);
        let waiting: Waiting<Vec<Bytes>> = call.wait();
        waiting.decoded_by(|value| OrEmpty::decode(value).map(|moved| moved.0))
    }
}
