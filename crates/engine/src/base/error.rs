//! Error replies: what a handler returns instead of a reply.
//!
//! The texts are part of the protocol: clients compare them. They stand here once, under names, and a handler
//! returns the name. Most are static; building a reply for a bad request allocates only where the text quotes the
//! request.

use std::borrow::Cow;
use std::fmt;

/// One error reply, its code first: `ERR syntax error`. It may quote bytes of the request, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?})", self.text())
    }
}

/// The result of a handler.
pub type Result<T = ()> = std::result::Result<T, Error>;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        impl Error { $($(#[$doc])* pub const $name: Error = Error(Cow::Borrowed($text.as_bytes()));)* }
    };
}

texts! {
    /// Options or keywords that do not fit.
    SYNTAX = "ERR syntax error";
    /// A command on a key that holds another type.
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// A number that is no 64-bit integer.
    NOT_AN_INTEGER = "ERR value is not an integer or out of range";
    /// A number that must not be below zero.
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    /// A number that is no double.
    NOT_A_FLOAT = "ERR value is not a valid float";
    /// INCR and its kin past the 64-bit range.
    OVERFLOW = "ERR increment or decrement would overflow";
    /// INCRBYFLOAT past the finite range.
    NAN_OR_INFINITY = "ERR increment would produce NaN or Infinity";
    /// A key that must exist.
    NO_SUCH_KEY = "ERR no such key";
    /// CLUSTER and its kin, on a server that is not part of a cluster.
    NO_CLUSTER = "ERR This instance has cluster support disabled";
    /// A database number past the last.
    DB_INDEX = "ERR DB index is out of range";
    /// An index past the end of a list.
    INDEX_RANGE = "ERR index out of range";
    /// An offset below zero or past 512 MB.
    OFFSET_RANGE = "ERR offset is out of range";
    /// A string that would grow past `proto-max-bulk-len`.
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// A negative or malformed SETBIT offset.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// A SETBIT value that is not 0 or 1.
    BIT_VALUE = "ERR bit is not an integer or out of range";
    /// A cursor that is no number.
    INVALID_CURSOR = "ERR invalid cursor";
    /// Source and destination are the same.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// There is no memory to be had below `maxmemory`.
    OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
    /// A client has not said who it is.
    NO_AUTH = "NOAUTH Authentication required.";
    /// The data set is not there yet.
    LOADING = "LOADING Redis is loading the dataset in memory";
    /// AUTH or HELLO AUTH with a bad name or password.
    WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
    /// A HELLO with a version other than 2 and 3.
    NO_PROTO = "NOPROTO unsupported protocol version";
    /// EVALSHA of what is not known.
    NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL.";
    /// What a handler that panicked answers.
    INTERNAL = "ERR internal error";
}

impl Error {
    /// An error whose text is always the same, with its code.
    pub(crate) const fn fixed(text: &'static str) -> Error {
        Error(Cow::Borrowed(text.as_bytes()))
    }

    /// An error whose text is made for the occasion, with its code.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Error {
        Error(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// An error that somebody else has written, with its code.
    pub(crate) fn of_bytes(line: Vec<u8>) -> Error {
        Error(Cow::Owned(line))
    }

    /// An error that quotes the request: each `{}` of `text` is the next of `quoted`, as it is, up to a zero byte, where Redis's
    /// formatting ends too.
    pub(crate) fn quoting(text: &str, quoted: &[&[u8]]) -> Error {
        let mut line = Vec::new();
        let mut parts = text.split("{}");
        line.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        debug_assert_eq!(parts.clone().count(), quoted.len(), "{text}");
        for (part, quoted) in parts.zip(quoted) {
            line.extend_from_slice(shown(quoted));
            line.extend_from_slice(part.as_bytes());
        }
        Error::of_bytes(line)
    }

    /// The whole line as it is sent, without the dash.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The line as text, for whoever is no client.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The same of an error that is not needed any more.
    pub fn into_text(self) -> Cow<'static, str> {
        match self.0 {
            Cow::Borrowed(line) => String::from_utf8_lossy(line),
            Cow::Owned(line) => String::from_utf8_lossy(&line).into_owned().into(),
        }
    }

    /// `ERR unknown command ...`, quoting the beginning of the arguments as Redis does.
    pub(crate) fn unknown_command(argv: &[&[u8]]) -> Error {
        let mut line = b"ERR unknown command '".to_vec();
        line.extend_from_slice(clip(argv[0], 128));
        line.extend_from_slice(b"', with args beginning with: ");
        let mut budget = 128usize;
        for arg in &argv[1..] {
            if budget == 0 {
                break;
            }
            let shown = clip(arg, budget);
            budget = budget.saturating_sub(shown.len() + 3);
            line.push(b'\'');
            line.extend_from_slice(shown);
            line.extend_from_slice(b"' ");
        }
        Error::of_bytes(line)
    }

    /// `ERR unknown subcommand ...` of a container.
    pub(crate) fn unknown_subcommand(argv: &[&[u8]]) -> Error {
        let sub = argv.get(1).map_or(&b""[..], |sub| clip(sub, 128));
        let container = clip(argv[0], 128).to_ascii_uppercase();
        Error::quoting(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            &[sub, &container],
        )
    }

    /// `ERR unknown subcommand or wrong number of arguments ...`, of a subcommand with options or arguments that it does not have.
    pub(crate) fn subcommand_syntax(argv: &[&[u8]]) -> Error {
        let sub = argv.get(1).map_or(&b""[..], |sub| clip(sub, 128));
        let container = clip(argv[0], 128).to_ascii_uppercase();
        Error::quoting(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.",
            &[sub, &container],
        )
    }

    /// `ERR wrong number of arguments ...`; a subcommand's name is `container|sub`.
    pub(crate) fn wrong_arity(name: &str) -> Error {
        Error::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// What a client of RESP2 may not do while it subscribes to something.
    pub(crate) fn only_while_subscribed(name: &str) -> Error {
        Error::new(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        ))
    }

    /// What an update of the library may not do.
    pub(crate) fn not_in_update(name: &str) -> Error {
        Error::new(format!("ERR '{name}' is not possible inside of an update"))
    }

    /// `ERR invalid expire time in '...' command`.
    pub fn invalid_expire(name: &str) -> Error {
        Error::new(format!("ERR invalid expire time in '{name}' command"))
    }

    /// The code: the text's first word, if it could be one.
    pub fn code(&self) -> &str {
        let ends = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control();
        let word = self.0.split(ends).next().unwrap_or_default();
        let word = std::str::from_utf8(word).unwrap_or_default();
        if word.is_empty() { "ERR" } else { word }
    }
}

/// An argument as error texts quote it: up to a zero byte.
pub fn shown(arg: &[u8]) -> &[u8] {
    arg.split(|b| *b == 0).next().unwrap_or(arg)
}

/// At most `max` bytes of an argument as error texts quote it.
fn clip(arg: &[u8], max: usize) -> &[u8] {
    let arg = shown(arg);
    &arg[..arg.len().min(max)]
}
