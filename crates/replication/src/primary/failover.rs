//! FAILOVER: giving the role of the primary to a replica.

use crate::Hub;
use engine::Failover;

impl Hub {
    pub(crate) fn begin_failover(&self, _how: Failover) -> Result<(), String> {
        Err("ERR FAILOVER is not built yet".into())
    }

    pub(crate) fn end_failover(&self) -> Result<(), String> {
        Err("ERR No failover in progress.".into())
    }

    pub(super) fn is_failing_over(&self) -> bool {
        false
    }

    pub(super) fn failover_state(&self) -> &'static str {
        "no-failover"
    }

    pub(super) fn drive_failover(&self) {}
}
