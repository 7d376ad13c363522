//! What commands on expiries of elements have in common, be they fields of a hash or members of a set.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::expiry::{MILLISECONDS, SECONDS, UNIX_MILLISECONDS, UNIX_SECONDS, Unit};
use crate::context::ctx::Ctx;
use resp::Out;
use resp::number::parse_i64;

/// Latest expiry of an element in Unix milliseconds: Redis has 46 bits for it.
const LATEST_MS: i64 = (1 << 46) - 1;

/// A time in Unix milliseconds.
pub(super) fn time(text: &[u8], unit: Unit, now_ms: u64, command: &str) -> Result<u64> {
    let n = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
    if n < 0 {
        return Err(Error::new("ERR invalid expire time, must be >= 0"));
    }
    match crate::base::expiry::to_unix_ms(n, unit, now_ms) {
        Some(ms) if ms <= LATEST_MS => Ok(ms as u64),
        _ => Err(Error::invalid_expire(command)),
    }
}

/// Whether elements whose time this is go at once. On a replica that clients write to none do: they are unseen, and their removal comes
/// from the primary, as in real servers. Nor do they where the time is 0, as for what a primary has sent.
pub(super) fn goes_at_once(ctx: &Ctx<'_>, at: u64) -> bool {
    at <= ctx.keys.now_ms && !ctx.engine.standing.is_replica()
}

/// The unit that an option means.
pub(super) fn option_unit(word: &[u8]) -> Option<Unit> {
    [
        ("EX", SECONDS),
        ("PX", MILLISECONDS),
        ("EXAT", UNIX_SECONDS),
        ("PXAT", UNIX_MILLISECONDS),
    ]
    .into_iter()
    .find_map(|(name, unit)| word.eq_ignore_ascii_case(name.as_bytes()).then_some(unit))
}

/// The options of a command that sets elements with an expiry: EX and its kin, or KEEPTTL, of which there may be one.
#[derive(Default)]
pub(super) struct Lasting<'a> {
    pub keep: bool,
    pub time: Option<(&'a [u8], Unit)>,
}

impl<'a> Lasting<'a> {
    /// Takes the option whose word comes next, if it is one of them; whether it was.
    pub fn take(&mut self, args: &mut Args<'a>) -> Result<bool> {
        let Some(word) = args.peek() else {
            return Ok(false);
        };
        let unit = option_unit(word);
        if unit.is_none() && !word.eq_ignore_ascii_case(b"KEEPTTL") {
            return Ok(false);
        }
        if self.keep || self.time.is_some() {
            return Err(Error::new(
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ));
        }
        args.take();
        match unit {
            None => self.keep = true,
            Some(_) if args.left() == 0 => return Err(Error::new("ERR missing expire time")),
            Some(unit) => self.time = Some((args.take(), unit)),
        }
        Ok(true)
    }
}

/// On what an expiry may be set. Several hold together.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub nx: bool,
    pub xx: bool,
    pub gt: bool,
    pub lt: bool,
}

impl Conditions {
    /// Takes the condition that comes next; whether it was one.
    pub fn take_one(&mut self, args: &mut Args<'_>) -> bool {
        let Conditions { nx, xx, gt, lt } = self;
        let mut words = [("NX", nx), ("XX", xx), ("GT", gt), ("LT", lt)].into_iter();
        let found = words.find(|(word, _)| args.keyword(word));
        found.map(|(_, is)| *is = true).is_some()
    }

    /// Whether an expiry may become `new`. None counts as one in the infinite future.
    pub fn allow(self, old: Option<u64>, new: u64) -> bool {
        !(self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && old.is_none_or(|old| new <= old)
            || self.lt && old.is_some_and(|old| new >= old))
    }
}

/// What is shown of an expiry: `(at, now_ms)` to a number.
pub(super) type Show = fn(u64, u64) -> u64;

/// Seconds that are left.
pub(super) const SECONDS_LEFT: Show = |at, now| (at - now).div_ceil(1000);
/// Milliseconds that are left.
pub(super) const MILLISECONDS_LEFT: Show = |at, now| at - now;
/// The time in Unix seconds.
pub(super) const AT_SECONDS: Show = |at, _| at.div_ceil(1000);
/// The time in Unix milliseconds.
pub(super) const AT_MILLISECONDS: Show = |at, _| at;

/// Answers -2 for an element that is not there, -1 for one without an expiry, else what is to be shown of it.
pub(super) fn reply_expiry(out: &mut Out, found: Option<Option<u64>>, show: Show, now_ms: u64) {
    out.int(match found {
        None => -2,
        Some(due) => due.map_or(-1, |at| show(at, now_ms) as i64),
    });
}
