//! The versions of the protocol.

/// The version of the protocol a connection speaks; it decides how replies are written, not how requests are read.
///
/// Every connection starts with RESP2 and changes with `HELLO 3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proto {
    /// Version 2: simple strings, errors, integers, bulk strings and arrays.
    #[default]
    Resp2,
    /// Version 3: adds maps, sets, doubles, booleans, nulls, big numbers, verbatim strings, attributes and pushes.
    Resp3,
}
