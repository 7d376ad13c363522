//! Programs on the published libraries that lean on atomicity: queues, locks, transactions, scripts, blocking reads, messages.
//!
//! Each is a script in `tests/clients/` and knows nothing of Redpoll: it passes against the real servers too, which is to be
//! seen before a failure here means anything. It takes a port (some take two more, of further servers) and says at its
//! end how many checks passed.

use redpoll_tests::Server;
use redpoll_tests::program;

fn node(test: &str, packages: &[&str]) {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    program::node(test, packages, &format!("{test}.js"), &port);
}

fn python(test: &str, modules: &[&str]) {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    program::python(test, modules, &format!("{test}.py"), &port);
}

#[test]
fn bullmq_jobs() {
    node("bullmq_jobs", &["bullmq", "ioredis", "redis"]);
}
