//! Error replies: what a handler returns instead of a reply.
//!
//! The texts are part of the protocol: clients compare them. They stand here once, under names, and a handler
//! returns the name. Most are static; building a reply for a bad request allocates only where the text quotes the
//! request.

use std::borrow::Cow;

/// One error reply, its code first: `ERR syntax error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub Cow<'static, str>);

/// The result of a handler.
pub type Result<T = ()> = std::result::Result<T, Error>;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        impl Error { $($(#[$doc])* pub const $name: Error = Error(Cow::Borrowed($text));)* }
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
    /// What a handler that panicked answers.
    INTERNAL = "ERR internal error";
}

impl Error {
    /// An error whose text is made for the occasion, with its code.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Error {
        Error(text.into())
    }

    /// `ERR unknown command ...`, quoting the beginning of the arguments as Redis does.
    pub(crate) fn unknown_command(argv: &[&[u8]]) -> Error {
        let mut text = format!(
            "ERR unknown command '{}', with args beginning with: ",
            clip(argv[0], 128)
        );
        let mut budget = 128usize;
        for arg in &argv[1..] {
            if budget == 0 {
                break;
            }
            let shown = clip(arg, budget);
            budget = budget.saturating_sub(shown.len() + 3);
            text.push_str(&format!("'{shown}' "));
        }
        Error::new(text)
    }

    /// `ERR unknown subcommand ...` of a container.
    pub(crate) fn unknown_subcommand(argv: &[&[u8]]) -> Error {
        let sub = argv.get(1).map_or(String::new(), |s| clip(s, 128));
        Error::new(format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            sub,
            clip(argv[0], 128).to_uppercase()
        ))
    }

    /// `ERR unknown subcommand or wrong number of arguments ...`, of a subcommand with options or arguments that it does not have.
    pub(crate) fn subcommand_syntax(argv: &[&[u8]]) -> Error {
        Error::new(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.",
            argv.get(1).map_or(String::new(), |sub| shown(sub)),
            shown(argv[0]).to_uppercase()
        ))
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
        let word = self
            .0
            .split(|c: char| c.is_whitespace() || c.is_control())
            .next();
        word.filter(|word| !word.is_empty()).unwrap_or("ERR")
    }
}

/// An argument as error texts quote it: up to a zero byte, where Redis's formatting ends too.
pub fn shown(arg: &[u8]) -> String {
    clip(arg, usize::MAX)
}

/// At most `max` bytes of an argument, as text: up to a zero byte, where Redis's formatting ends too.
fn clip(bytes: &[u8], max: usize) -> String {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or(bytes);
    String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned()
}
