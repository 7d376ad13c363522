//! The cursor over a command's arguments.
//!
//! A handler reads its arguments from left to right and asks for each as what it should be. The first thing that
//! does not fit latches an error; reading goes on with harmless values, so that handlers need no `?` after each
//! step, and [`Args::finish`] reports the first error, or a syntax error if something is left over.

use crate::base::error::{Error, Result};

/// See the module's page. `Copy`-cheap; made anew for each command.
pub struct Args<'a> {
    argv: &'a [&'a [u8]],
    at: usize,
    error: Option<Error>,
}

impl<'a> Args<'a> {
    /// A cursor that stands before argument `at` (1 is the first after the command's name).
    #[inline]
    pub fn new(argv: &'a [&'a [u8]], at: usize) -> Args<'a> {
        Args {
            argv,
            at,
            error: None,
        }
    }

    /// All arguments, the command's name first.
    #[inline]
    pub fn argv(&self) -> &'a [&'a [u8]] {
        self.argv
    }

    /// How many arguments are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.argv.len().saturating_sub(self.at)
    }

    /// The arguments that are left.
    #[inline]
    pub fn rest(&self) -> &'a [&'a [u8]] {
        &self.argv[self.at.min(self.argv.len())..]
    }

    /// Index of the next argument.
    #[inline]
    pub fn index(&self) -> usize {
        self.at
    }

    /// Latches an error, unless there is one already.
    #[cold]
    pub fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Whether an error has latched.
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// The next argument, whatever it is.
    #[inline]
    pub fn take(&mut self) -> &'a [u8] {
        match self.argv.get(self.at) {
            Some(arg) => {
                self.at += 1;
                arg
            }
            None => {
                self.fail(Error::SYNTAX);
                b""
            }
        }
    }

    /// The next argument, left where it is.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.argv.get(self.at).copied()
    }

    /// Takes the next argument if it is this keyword, in any case.
    #[inline]
    pub fn keyword(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(found);
        found
    }

    /// Takes the next argument if it is this keyword and is followed by at least one more.
    pub fn keyword_with_value(&mut self, word: &str) -> bool {
        self.left() >= 2 && self.keyword(word)
    }

    /// The next argument as a 64-bit integer.
    #[inline]
    pub fn int(&mut self) -> i64 {
        self.int_or(Error::NOT_AN_INTEGER)
    }

    /// The next argument as a 64-bit integer, with an error of its own.
    pub fn int_or(&mut self, error: Error) -> i64 {
        let arg = self.take();
        resp::number::parse_i64(arg).unwrap_or_else(|| {
            self.fail(error);
            0
        })
    }

    /// The next argument as a 32-bit integer, with Redis's two errors for text and for numbers past the range.
    pub fn int32(&mut self) -> i32 {
        let n = self.int();
        i32::try_from(n).unwrap_or_else(|_| {
            self.fail(Error::new(
                "ERR value is out of range, value must between -2147483648 and 2147483647",
            ));
            0
        })
    }

    /// The next argument as an integer in a range, with an error for both kinds of misfit.
    pub fn int_in(&mut self, range: std::ops::RangeInclusive<i64>, error: Error) -> i64 {
        let n = self.int_or(error.clone());
        if !range.contains(&n) {
            self.fail(error);
        }
        n
    }

    /// The next argument as a double.
    pub fn double(&mut self) -> f64 {
        let arg = self.take();
        resp::number::parse_f64(arg).unwrap_or_else(|| {
            self.fail(Error::NOT_A_FLOAT);
            0.0
        })
    }

    /// The first error that latched.
    #[inline]
    pub fn check(&mut self) -> Result {
        match self.error.take() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// The first error that latched, or a syntax error if arguments are left over.
    #[inline]
    pub fn finish(mut self) -> Result {
        if self.left() > 0 {
            self.fail(Error::SYNTAX);
        }
        self.check()
    }
}
