//! What a call can answer instead of a result.

use std::borrow::Cow;
use std::fmt;

/// What kind of error it is. There will be more kinds, so that a `match` needs an arm for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A key holds a value of another type than the call works on.
    WrongType,
    /// A value that must be an integer is none.
    NotInteger,
    /// A value that must be a number is none.
    NotFloat,
    /// A number, an index, a time or a length is out of the range that there is, or would get out of it.
    OutOfRange,
    /// A key that must exist does not.
    NoSuchKey,
    /// A stream or a consumer group of it does not exist.
    NoGroup,
    /// What was to be made is there already: a consumer group, a key that is to be restored.
    Exists,
    /// Nothing may grow, because memory is at its limit (`maxmemory`).
    OutOfMemory,
    /// What changes cannot be kept in files at the moment, so nothing is changed.
    Misconf,
    /// Nothing may be changed: the data are a replica's.
    ReadOnly,
    /// Whoever asks has no right to it.
    NoPermission,
    /// The data are still being loaded.
    Loading,
    /// A script that takes long is in the way.
    Busy,
    /// No script of this digest is known.
    NoScript,
    /// A script, or a command that it calls, failed.
    Script,
    /// The connection or the subscriber is closed.
    Closed,
    /// [`Db::update`](crate::Db::update) was not told of this key, or does not allow this command.
    Undeclared,
    /// The call was made inside of an update on something else than what its closure is given.
    InUpdate,
    /// A value is not what it was to be decoded as.
    Decode,
    /// Something in the library failed that should not.
    Internal,
    /// None of these: the [text](Error#impl-Display-for-Error) says what.
    Other,
}

/// An error: its [kind](Error::kind), and a line of text that begins with a code such as `WRONGTYPE` or `ERR`. The texts are those
/// that clients of the server get.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default()).unwrap();
/// use redpoll::ErrorKind;
/// db.set("name", "Ada")?;
/// let error = db.incr("name").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotInteger);
/// assert_eq!(error.code(), "ERR");
/// assert_eq!(error.to_string(), "ERR value is not an integer or out of range");
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    text: Cow<'static, str>,
    /// None: what the text says.
    kind: Option<ErrorKind>,
}

/// The result of a call.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(line: impl Into<Cow<'static, str>>) -> Error {
        Error {
            text: line.into(),
            kind: None,
        }
    }

    pub(crate) fn of(kind: ErrorKind, line: impl Into<Cow<'static, str>>) -> Error {
        Error {
            text: line.into(),
            kind: Some(kind),
        }
    }

    /// The engine's error, which has the same texts.
    pub(crate) fn of_engine(error: engine::Error) -> Error {
        Error::new(error.into_text())
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
            .unwrap_or_else(|| kind_of(self.code(), &self.text))
    }

    /// The first word of the text.
    pub fn code(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// Whether a key holds a value of another type than the call works on.
    pub fn is_wrong_type(&self) -> bool {
        self.kind() == ErrorKind::WrongType
    }
}

/// The kind of an error reply.
fn kind_of(code: &str, text: &str) -> ErrorKind {
    match code {
        "WRONGTYPE" => return ErrorKind::WrongType,
        "OOM" => return ErrorKind::OutOfMemory,
        "MISCONF" => return ErrorKind::Misconf,
        "READONLY" => return ErrorKind::ReadOnly,
        "NOPERM" | "NOAUTH" | "WRONGPASS" => return ErrorKind::NoPermission,
        "LOADING" => return ErrorKind::Loading,
        "BUSY" => return ErrorKind::Busy,
        "NOSCRIPT" => return ErrorKind::NoScript,
        "NOGROUP" => return ErrorKind::NoGroup,
        "BUSYGROUP" | "BUSYKEY" => return ErrorKind::Exists,
        "ERR" => {}
        _ => return ErrorKind::Other,
    }
    let says = |words: &str| text.contains(words);
    if says(" script: ") {
        ErrorKind::Script
    } else if says("an update works on the keys") || says("is not possible inside of an update") {
        ErrorKind::Undeclared
    } else if text == engine::Error::INTERNAL.text() {
        ErrorKind::Internal
    } else if says("no such key") {
        ErrorKind::NoSuchKey
    } else if text.starts_with("ERR bit ") {
        ErrorKind::OutOfRange
    } else if says("is not an integer") {
        ErrorKind::NotInteger
    } else if says("is not a valid float") || says("is not a float") {
        ErrorKind::NotFloat
    } else if says("out of range")
        || says("overflow")
        || says("NaN or Infinity")
        || says("exceeds maximum allowed")
        || says("invalid expire time")
    {
        ErrorKind::OutOfRange
    } else {
        ErrorKind::Other
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?})", self.text)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_kinds() {
        use engine::Error as E;
        for (error, kind) in [
            (E::WRONG_TYPE, ErrorKind::WrongType),
            (E::NOT_AN_INTEGER, ErrorKind::NotInteger),
            (E::NOT_A_FLOAT, ErrorKind::NotFloat),
            (E::OVERFLOW, ErrorKind::OutOfRange),
            (E::NAN_OR_INFINITY, ErrorKind::OutOfRange),
            (E::BIT_OFFSET, ErrorKind::OutOfRange),
            (E::STRING_TOO_LONG, ErrorKind::OutOfRange),
            (E::invalid_expire("set"), ErrorKind::OutOfRange),
            (E::DB_INDEX, ErrorKind::OutOfRange),
            (E::NO_SUCH_KEY, ErrorKind::NoSuchKey),
            (E::NO_AUTH, ErrorKind::NoPermission),
            (E::INTERNAL, ErrorKind::Internal),
            (E::SYNTAX, ErrorKind::Other),
            (
                E::new("ERR hash value is not an integer"),
                ErrorKind::NotInteger,
            ),
            (E::new("ERR hash value is not a float"), ErrorKind::NotFloat),
            (E::new("MISCONF no"), ErrorKind::Misconf),
            (E::new("OOM no"), ErrorKind::OutOfMemory),
            (E::new("BUSYGROUP is there"), ErrorKind::Exists),
        ] {
            assert_eq!(Error::of_engine(error.clone()).kind(), kind, "{error:?}");
        }
    }
}
