//! Where all rooms come together: an engine with every command, its workers, and its upkeep.

use crate::base::stats::Counters;
use crate::cmd::{FAMILIES, command};
use crate::config::Config;
use crate::config::host::Host;
use crate::context::command::Registry;
use crate::context::engine::Engine;
use crate::dispatch::worker::Worker;
use crate::upkeep::sweep::Maintenance;
use resp::{Out, Proto};
use std::sync::Arc;

impl Engine {
    /// An engine with an empty keyspace.
    pub fn new(config: Config, host: Arc<dyn Host>) -> Arc<Engine> {
        Engine::with_commands(Registry::new(FAMILIES), config, host)
    }

    /// What a thread runs commands with.
    pub fn worker(self: &Arc<Self>) -> Worker {
        Worker::new(self.clone())
    }

    /// What a thread runs commands with that comes and goes: it counts with what others like it have counted with, of which there
    /// is one at a time.
    pub fn worker_counting(self: &Arc<Self>, counters: Arc<Counters>) -> Worker {
        Worker::counting(self.clone(), counters)
    }

    /// What whoever reads a log carries out its commands with: they are no news, and not counted.
    pub fn replayer(self: &Arc<Self>) -> Worker {
        Worker::uncounted(self.clone())
    }

    /// Starts the thread that removes expired keys and frees what is big, until the result is dropped.
    pub fn start_maintenance(self: &Arc<Self>) -> Maintenance {
        Maintenance::start(self)
    }
}

/// What COMMAND DOCS answers, in RESP3: for programs that explain commands without a server.
pub fn command_docs() -> Vec<u8> {
    let mut out = Out::new(Proto::Resp3);
    command::write_docs(&Registry::new(FAMILIES), &mut out);
    out.to_vec()
}
