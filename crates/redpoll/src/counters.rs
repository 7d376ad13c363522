//! Numbers that are raised within bounds, and expire.

use crate::call::{Decode, double_text};
use crate::db::Db;
use crate::error::Result;
use crate::expiry::NewExpiry;
use crate::way::Way;
use std::time::{Duration, SystemTime};

mod sealed {
    pub trait Sealed {
        /// The option that stands for adding one, and a number's text.
        const WORD: &'static str;
        fn text(self) -> Vec<u8>;
    }
}

/// A number that [`Db::increx`] can add: an `i64`, or an `f64`.
pub trait Increment: sealed::Sealed + Copy + Decode {}

impl sealed::Sealed for i64 {
    const WORD: &'static str = "BYINT";

    fn text(self) -> Vec<u8> {
        self.to_string().into()
    }
}

impl sealed::Sealed for f64 {
    const WORD: &'static str = "BYFLOAT";

    fn text(self) -> Vec<u8> {
        double_text(self)
    }
}

impl Increment for i64 {}
impl Increment for f64 {}

/// Within what bounds [`Db::increx`] adds, and what becomes of the key's expiry.
///
/// ```
/// # use redpoll::{Db, Config, IncrEx};
/// # use std::time::Duration;
/// # let db = Db::open(Config::default())?;
/// // Three calls a minute:
/// let minute = IncrEx::new().at_most(3).expire_new_in(Duration::from_secs(60));
/// for n in 1..=3 {
///     assert_eq!(db.increx("calls", 1, &minute)?, (n, 1));
/// }
/// let (_, added) = db.increx("calls", 1, &minute)?;
/// assert_eq!(added, 0); // One too many.
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct IncrEx<N> {
    least: Option<N>,
    most: Option<N>,
    saturate: bool,
    expiry: Option<Option<NewExpiry>>,
    only_new: bool,
}

impl<N> Default for IncrEx<N> {
    fn default() -> IncrEx<N> {
        IncrEx {
            least: None,
            most: None,
            saturate: false,
            expiry: None,
            only_new: false,
        }
    }
}

impl<N> IncrEx<N> {
    /// No bounds but those of the type, and the expiry stays as it is.
    pub fn new() -> IncrEx<N> {
        IncrEx::default()
    }

    /// The sum must not be less (LBOUND): otherwise nothing is added.
    pub fn at_least(mut self, bound: N) -> IncrEx<N> {
        self.least = Some(bound);
        self
    }

    /// The sum must not be more (UBOUND): otherwise nothing is added.
    pub fn at_most(mut self, bound: N) -> IncrEx<N> {
        self.most = Some(bound);
        self
    }

    /// A sum out of bounds becomes the bound (SATURATE).
    pub fn saturate(mut self) -> IncrEx<N> {
        self.saturate = true;
        self
    }

    fn expiry(mut self, expiry: Option<NewExpiry>, only_new: bool) -> IncrEx<N> {
        (self.expiry, self.only_new) = (Some(expiry), only_new);
        self
    }

    /// The key expires after this time (PX). Of several such options the last counts.
    pub fn expire_in(self, time: Duration) -> IncrEx<N> {
        self.expiry(Some(NewExpiry::In(time)), false)
    }

    /// The key expires at this time (PXAT).
    pub fn expire_at(self, time: SystemTime) -> IncrEx<N> {
        self.expiry(Some(NewExpiry::At(time)), false)
    }

    /// The key expires after this time, unless it has an expiry already (PX with ENX).
    pub fn expire_new_in(self, time: Duration) -> IncrEx<N> {
        self.expiry(Some(NewExpiry::In(time)), true)
    }

    /// The key expires at this time, unless it has an expiry already (PXAT with ENX).
    pub fn expire_new_at(self, time: SystemTime) -> IncrEx<N> {
        self.expiry(Some(NewExpiry::At(time)), true)
    }

    /// The key never expires (PERSIST).
    pub fn persist(self) -> IncrEx<N> {
        self.expiry(None, false)
    }
}

impl<W: Way> Db<W> {
    /// Adds to the number at a key within bounds, and sets or removes its expiry; the number afterwards and what was added. A key
    /// that does not exist counts as 0. Where nothing is added because the sum would be out of bounds, the expiry stays as it is too.
    /// See [`IncrEx`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, IncrEx};
    /// # let db = Db::open(Config::default())?;
    /// let stock = IncrEx::new().at_least(0);
    /// db.set("stock", 5)?;
    /// assert_eq!(db.increx("stock", -3, &stock)?, (2, -3));
    /// assert_eq!(db.increx("stock", -3, &stock)?, (2, 0));
    /// assert_eq!(db.increx("stock", -3, &stock.saturate())?, (0, -2));
    /// assert_eq!(db.increx("weight", 0.25, &IncrEx::new())?, (0.25, 0.25));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn increx<N: Increment>(
        &self,
        key: impl AsRef<[u8]>,
        by: N,
        options: &IncrEx<N>,
    ) -> Result<(N, N)> {
        let mut call = self
            .command("INCREX")
            .arg(&key)
            .arg(<N as sealed::Sealed>::WORD)
            .owned(by.text());
        for (word, bound) in [("LBOUND", options.least), ("UBOUND", options.most)] {
            if let Some(bound) = bound {
                call = call.arg(word).owned(bound.text());
            }
        }
        call = call.word_if(options.saturate, "SATURATE");
        call = match options.expiry {
            None => call,
            Some(None) => call.arg("PERSIST"),
            Some(Some(expiry)) => expiry.add_to(call),
        };
        call.word_if(options.only_new, "ENX").run()
    }
}
