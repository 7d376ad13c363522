//! What is wrong with a file, and where.

use crate::Malformed;
use std::fmt;

/// An error with where in the file it is. The caller knows the file's name.
#[derive(Debug)]
pub struct Error {
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// The database it is in, once keys have begun.
    pub db: Option<u32>,
    /// The key it is in, if it is in one.
    pub key: Option<Vec<u8>>,
    /// What is wrong.
    pub what: What,
}

/// What can be wrong.
#[derive(Debug)]
pub enum What {
    /// The source could not be read.
    Io(std::io::Error),
    /// The file does not begin like one of RDB.
    NotRdb,
    /// A version that is not understood, most likely a newer one. The text is that of the header.
    Version(String),
    /// The file ends too early.
    Truncated,
    /// Bytes that no server writes.
    Malformed(Malformed),
    /// A byte that is no type and no opcode.
    Unknown(u8),
    /// A value of a module, or what one has left beside the keys. The name is the type's.
    Module(String),
    /// Metadata of a key that must not be left out, of this class of a module.
    Metadata(String),
    /// A library of functions from a release candidate of Redis 7.0.
    OldFunction,
    /// The checksum is not that of the bytes.
    Checksum {
        /// What it should be.
        computed: u64,
        /// What stands in the file.
        stored: u64,
    },
}

impl Error {
    /// An error outside of any key.
    pub(crate) fn at(offset: u64, what: What) -> Error {
        Error {
            offset,
            db: None,
            key: None,
            what,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Io(error) => write!(f, "cannot be read: {error}"),
            What::NotRdb => {
                f.write_str("not an RDB file: it does not begin with REDIS or VALKEY and a version")
            }
            What::Version(version) => write!(
                f,
                "RDB version {version} is not understood, only REDIS0001 to REDIS0014 and VALKEY080"
            ),
            What::Truncated => f.write_str("the file ends in the middle"),
            What::Malformed(malformed) => malformed.fmt(f),
            What::Unknown(byte) => write!(f, "{byte} is neither a type of value nor an opcode"),
            What::Module(name) => write!(f, "data of a module, which cannot be loaded: {name}"),
            What::Metadata(class) => write!(
                f,
                "metadata of a module's class {class}, which it says must not be left out"
            ),
            What::OldFunction => {
                f.write_str("functions in the form of a release candidate of Redis 7.0")
            }
            What::Checksum { computed, stored } => write!(
                f,
                "the checksum is {stored:016x} but should be {computed:016x}: the file is damaged"
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.offset)?;
        if let Some(key) = &self.key {
            // Keys may be long.
            let shown = &key[..key.len().min(128)];
            write!(f, ", key '{}'", shown.escape_ascii())?;
            if shown.len() < key.len() {
                write!(f, " and {} bytes more", key.len() - shown.len())?;
            }
            if let Some(db) = self.db {
                write!(f, " in database {db}")?;
            }
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::Io(error) => Some(error),
            _ => None,
        }
    }
}
