//! Scripts that run.

use crate::error::Error;

/// Scripts that are known and those that run.
#[derive(Default)]
pub struct Scripts {}

impl Scripts {
    /// The error that a command gets that would have to wait for a script which has been running for too long.
    pub(crate) fn busy(&self, _now_ms: u64) -> Option<Error> {
        None
    }
}
