//! As a replica: whom this server follows.

use crate::Hub;
use engine::{Config, Engine, RoleReport};

/// The link to the primary.
#[derive(Default)]
pub(crate) struct Replica {}

impl Hub {
    /// REPLICAOF.
    pub(crate) fn follow_primary(
        &self,
        _primary: Option<(&str, u16)>,
    ) -> Result<&'static str, String> {
        Err("ERR following a primary is not built yet".into())
    }

    /// The data set is loaded: follows whom the configuration names.
    pub(crate) fn begin_as_replica(&self) {}

    pub(crate) fn end_as_replica(&self) {}

    /// Called every tenth of a second.
    pub(crate) fn tick_as_replica(&self, _engine: &Engine) {}

    /// What ROLE tells; None of a primary.
    pub(crate) fn role_as_replica(&self) -> Option<RoleReport> {
        None
    }

    /// INFO's lines on the primary that is followed.
    pub(crate) fn info_as_replica(&self, _into: &mut String) {}

    pub(crate) fn heed_as_replica(&self, _directive: &str, _config: &Config) -> Result<(), String> {
        Ok(())
    }
}
