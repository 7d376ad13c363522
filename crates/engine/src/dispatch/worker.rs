//! What one thread runs commands with.

use crate::base::journal::Records;
use crate::base::stats::Counters;
use crate::context::engine::Engine;
use crate::context::session::Session;
use crate::dispatch::look_ahead::{AHEAD, Planned};
use crate::door::change::Change;
use crate::door::known::KnownKey;
use crate::script::runner::Runner;
use resp::{Out, ProtocolError};
use std::sync::Arc;
use store::table::Probe;

/// What one thread runs commands with: scratch memory and counters.
pub struct Worker {
    pub(super) engine: Arc<Engine>,
    pub(super) counters: Arc<Counters>,
    pub(super) plan: Vec<Planned>,
    pub(super) probes: Vec<(Probe, u64)>,
    /// Indices in the plan of the commands whose members are being fetched.
    pub(super) members: Vec<usize>,
    /// Hashes of these members.
    pub(super) hashes: Vec<u64>,
    /// Whether the last batch had to do with large sets or hashes.
    pub(super) large: bool,
    /// Whether the last batch's requests or replies were so long that entries probably take more than two cache lines.
    pub(super) wide: bool,
    /// Whether this worker runs on a helper thread, where long commands are at home.
    pub(super) helper: bool,
    /// When the last batch began, in Unix nanoseconds.
    pub(super) began_ns: u64,
    /// How many commands were carried out, not refused nor queued, since time was last booked.
    pub(super) ran: u64,
    /// What it runs scripts with, once there has been one.
    pub(super) runner: Option<Box<Runner>>,
    /// Bytes by which its commands have made the keyspace grow and that it has not told: see [`crate::base::memory`].
    pub(super) grown: isize,
    /// The memory for the places of the running command's keys.
    pub(super) known: Vec<KnownKey>,
    /// The memory of the list of changes; empty.
    pub(super) changes: Vec<Change>,
    /// The memory of what is written down; empty.
    pub(super) records: Records,
}

// SAFETY: the plan's pointers lead into the registry of `engine`, which the worker keeps alive and which never changes.
unsafe impl Send for Worker {}

impl Worker {
    pub(crate) fn new(engine: Arc<Engine>) -> Worker {
        let counters = engine.add_counters();
        Worker::counting(engine, counters)
    }

    /// One whose commands INFO does not count.
    pub(crate) fn uncounted(engine: Arc<Engine>) -> Worker {
        let lane = engine.journal.add_lane();
        let counters = Counters::new(engine.registry().ids(), lane);
        Worker::counting(engine, Arc::new(counters))
    }

    pub(crate) fn counting(engine: Arc<Engine>, counters: Arc<Counters>) -> Worker {
        Worker {
            engine,
            counters,
            plan: Vec::with_capacity(AHEAD),
            probes: Vec::with_capacity(AHEAD),
            members: Vec::new(),
            hashes: Vec::new(),
            large: false,
            wide: false,
            helper: false,
            began_ns: 0,
            ran: 0,
            runner: None,
            grown: 0,
            known: Vec::new(),
            changes: Vec::new(),
            records: Records::default(),
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// When its last batch began, in Unix nanoseconds; 0 before the first.
    #[inline]
    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// Answers bytes that are no request, which ends the connection.
    pub fn protocol_error(&mut self, session: &Session, error: &ProtocolError, out: &mut Out) {
        out.set_proto(session.proto);
        out.protocol_error(error);
        self.counters.protocol_errors.add(1);
        self.counters.error("ERR");
    }
}
