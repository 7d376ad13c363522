//! As a primary, or in the middle of a chain: who follows this server.

use crate::Hub;
use engine::{Config, Engine, Failover, RoleReport, StreamWish, Wire};
use std::any::Any;
use std::time::Duration;

/// Those who follow.
#[derive(Default)]
pub(crate) struct Primary {}

const NOT_BUILT: &str = "ERR being followed is not built yet";

impl Hub {
    pub(crate) fn begin_as_primary(&self) {}

    pub(crate) fn end_as_primary(&self) {}

    /// Ends the connections of all who follow: they are to come again, since the stream is another.
    pub(crate) fn drop_replicas(&self) {}

    pub(crate) fn tick_as_primary(&self, _engine: &Engine) {}

    pub(crate) fn begin_failover(&self, _how: Failover) -> Result<(), String> {
        Err(NOT_BUILT.into())
    }

    pub(crate) fn end_failover(&self) -> Result<(), String> {
        Err("ERR No failover in progress.".into())
    }

    pub(crate) fn admit_replica(&self, _wish: &StreamWish) -> Result<(), String> {
        Err(NOT_BUILT.into())
    }

    pub(crate) fn take_replica(
        &self,
        _keep: Box<dyn Any + Send>,
        _client: u64,
        _wish: StreamWish,
        _wire: Wire,
    ) {
    }

    pub(crate) fn count_acknowledged(&self, _piece: u64, _on_disk: bool) -> usize {
        0
    }

    pub(crate) fn tell_when_acknowledged(
        &self,
        _piece: u64,
        _replicas: usize,
        _on_disk: bool,
        _tell: Box<dyn FnOnce() + Send>,
    ) {
    }

    pub(crate) fn role_as_primary(&self) -> RoleReport {
        RoleReport::Primary(self.stream.offset(), Vec::new())
    }

    pub(crate) fn info_as_primary(&self, _into: &mut String) {}

    pub(crate) fn memory_as_primary(&self) -> [usize; 3] {
        [self.stream.spool().memory(), 0, 0]
    }

    pub(crate) fn heed_as_primary(&self, directive: &str, config: &Config) {
        if directive == "repl-backlog-size" {
            self.stream
                .spool()
                .set_keep(config.number(directive) as u64);
        }
    }

    pub(crate) fn wait_until_replicas_have_all(&self, _time: Duration) -> bool {
        true
    }
}
