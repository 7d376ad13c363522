//! What is wrong with bytes that should be a value.

/// Why bytes are no value. The text says what is wrong with them, for logs; clients get one text for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// The result of reading.
pub type Result<T> = std::result::Result<T, Malformed>;

/// What old servers sometimes left in files: a collection without elements.
pub(crate) const EMPTY: Malformed = Malformed("a collection without elements");
