//! What goes wrong with a log: always with the file, and the offset where there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a log cannot be used as it is.
#[derive(Debug)]
pub struct LogError {
    /// The file or folder.
    pub path: PathBuf,
    /// Where in it.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What kind of trouble it is.
    pub kind: LogErrorKind,
}

/// What kind of trouble a [`LogError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogErrorKind {
    /// The disk said no.
    Io,
    /// The manifest cannot be read, or does not agree with what is there.
    Manifest,
    /// The end of the last file is missing or was never written, and settings do not allow to cut it.
    Torn,
    /// Bytes are not what was written.
    Damaged,
    /// Whoever takes the commands refused one.
    Refused,
}

impl LogError {
    /// The disk said no.
    pub fn io(path: impl AsRef<Path>, doing: &str, error: &io::Error) -> LogError {
        LogError {
            path: path.as_ref().to_owned(),
            offset: None,
            what: format!("cannot {doing}: {error}"),
            kind: LogErrorKind::Io,
        }
    }

    /// The manifest, or the files beside it, are not as they must be.
    pub fn manifest(path: impl AsRef<Path>, what: impl Into<String>) -> LogError {
        LogError {
            path: path.as_ref().to_owned(),
            offset: None,
            what: what.into(),
            kind: LogErrorKind::Manifest,
        }
    }

    /// Something is wrong at an offset.
    pub fn at(
        kind: LogErrorKind,
        path: impl AsRef<Path>,
        offset: u64,
        what: impl Into<String>,
    ) -> LogError {
        LogError {
            path: path.as_ref().to_owned(),
            offset: Some(offset),
            what: what.into(),
            kind,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for LogError {}
