//! What all handles to one data set share.

use crate::connection::Idle;
use crate::kept::Kept;
use crate::threads::PerThread;
use engine::{Counters, Engine, Maintenance};
use std::sync::Arc;

/// See the module's page.
pub(crate) struct Shared {
    /// First, so that all is on the disk before anything else goes.
    #[cfg_attr(not(feature = "replication"), expect(dead_code))]
    pub(crate) kept: Option<Kept>,
    pub(crate) engine: Arc<Engine>,
    counters: PerThread<Arc<Counters>>,
    pub(crate) idle: Idle,
    /// Stops when the last handle is gone.
    _maintenance: Option<Maintenance>,
}

impl Shared {
    pub(crate) fn new(
        engine: Arc<Engine>,
        maintenance: Option<Maintenance>,
        kept: Option<Kept>,
    ) -> Shared {
        Shared {
            kept,
            engine,
            counters: PerThread::new(),
            idle: Idle::new(),
            _maintenance: maintenance,
        }
    }

    /// This thread's.
    #[inline]
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        self.counters.get(|| self.new_counters())
    }

    #[cold]
    fn new_counters(&self) -> Arc<Counters> {
        self.engine.add_counters()
    }
}
