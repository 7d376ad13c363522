//! What a call can answer instead of a result.

use std::borrow::Cow;
use std::fmt;

/// An error reply: a code such as `WRONGTYPE` or `ERR`, and a sentence. The texts are those that clients of the server get.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default()).unwrap();
/// db.set("name", "Ada")?;
/// let error = db.incr("name").unwrap_err();
/// assert_eq!(error.code(), "ERR");
/// assert_eq!(error.to_string(), "ERR value is not an integer or out of range");
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, str>);

/// The result of a call.
pub type Result<T = ()> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(line: impl Into<Cow<'static, str>>) -> Error {
        Error(line.into())
    }

    /// The first word of the text, which says what kind of error it is.
    pub fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// Whether a key holds a value of another type than the call works on.
    pub fn is_wrong_type(&self) -> bool {
        self.code() == "WRONGTYPE"
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?})", self.0)
    }
}

impl std::error::Error for Error {}

impl From<engine::Error> for Error {
    fn from(e: engine::Error) -> Error {
        Error(e.0)
    }
}
