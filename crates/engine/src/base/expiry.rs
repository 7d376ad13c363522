//! Expiry times as commands give them: in seconds or milliseconds, from now or since 1970.

use crate::base::args::Args;
use crate::base::error::{Error, Result};

/// How an expiry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// In seconds, else in milliseconds.
    pub seconds: bool,
    /// Since 1970, else from now.
    pub absolute: bool,
}

/// EX, EXPIRE, SETEX.
pub const SECONDS: Unit = Unit {
    seconds: true,
    absolute: false,
};
/// PX, PEXPIRE, PSETEX.
pub const MILLISECONDS: Unit = Unit {
    seconds: false,
    absolute: false,
};
/// EXAT, EXPIREAT.
pub const UNIX_SECONDS: Unit = Unit {
    seconds: true,
    absolute: true,
};
/// PXAT, PEXPIREAT.
pub const UNIX_MILLISECONDS: Unit = Unit {
    seconds: false,
    absolute: true,
};

/// A number in some unit as Unix milliseconds; `None` if that overflows. May be in the past, or negative.
pub fn to_unix_ms(n: i64, unit: Unit, now_ms: u64) -> Option<i64> {
    let ms = if unit.seconds {
        n.checked_mul(1000)?
    } else {
        n
    };
    if unit.absolute {
        Some(ms)
    } else {
        ms.checked_add(now_ms as i64)
    }
}

/// The expiry options of SET and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Expiry {
    /// None was given.
    #[default]
    None,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// One of EX, PX, EXAT, PXAT: the argument's index, read once all options are known.
    At(usize, Unit),
}

impl Expiry {
    /// Takes one of the four forms with a time, if the next argument is one. A second is a syntax error, unless it is of the same
    /// form: then the last one counts.
    pub fn take_time(&mut self, args: &mut Args<'_>) -> bool {
        for (word, unit) in [
            ("EX", SECONDS),
            ("PX", MILLISECONDS),
            ("EXAT", UNIX_SECONDS),
            ("PXAT", UNIX_MILLISECONDS),
        ] {
            if args.keyword_with_value(word) {
                if !matches!(*self, Expiry::None)
                    && !matches!(*self, Expiry::At(_, was) if was == unit)
                {
                    args.fail(Error::SYNTAX);
                }
                *self = Expiry::At(args.index(), unit);
                args.take();
                return true;
            }
        }
        false
    }

    /// Takes a word that excludes a time.
    pub fn take_word(&mut self, args: &mut Args<'_>, word: &str, means: Expiry) -> bool {
        if !args.keyword(word) {
            return false;
        }
        if *self != Expiry::None && *self != means {
            args.fail(Error::SYNTAX);
        }
        *self = means;
        true
    }

    /// The time in Unix milliseconds, checked as SET checks it: positive, and within 63 bits.
    pub fn time(self, argv: &[&[u8]], now_ms: u64, command: &str) -> Result<Option<u64>> {
        let Expiry::At(index, unit) = self else {
            return Ok(None);
        };
        let n = resp::number::parse_i64(argv[index]).ok_or(Error::NOT_AN_INTEGER)?;
        positive_ms(n, unit, now_ms, command).map(Some)
    }
}

/// A positive time in Unix milliseconds, or the command's error.
pub fn positive_ms(n: i64, unit: Unit, now_ms: u64, command: &str) -> Result<u64> {
    if n <= 0 {
        return Err(Error::invalid_expire(command));
    }
    match to_unix_ms(n, unit, now_ms) {
        Some(ms) => Ok(ms as u64),
        None => Err(Error::invalid_expire(command)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(to_unix_ms(3, SECONDS, 1000), Some(4000));
        assert_eq!(to_unix_ms(3, MILLISECONDS, 1000), Some(1003));
        assert_eq!(to_unix_ms(3, UNIX_SECONDS, 1000), Some(3000));
        assert_eq!(to_unix_ms(i64::MAX, SECONDS, 0), None);
        assert_eq!(to_unix_ms(i64::MAX, MILLISECONDS, 1), None);
        assert!(positive_ms(0, SECONDS, 5, "set").is_err());
    }
}
