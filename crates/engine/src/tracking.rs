//! Client-side caching: who keeps copies of which keys.

use crate::clients::Client;
use std::sync::Arc;

/// Which clients keep copies of which keys.
#[derive(Default)]
pub struct Tracking {}

impl Tracking {
    /// A key has changed: clients that keep a copy are told.
    pub(crate) fn changed(&self, _db: usize, _key: &[u8], _by: Option<&Arc<Client>>) {}

    /// A database, or all, lost their keys.
    pub(crate) fn flushed(&self, _db: Option<usize>, _by: Option<&Arc<Client>>) {}
}
