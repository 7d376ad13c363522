//! Programs on the published libraries that lean on atomicity: queues, locks, transactions, scripts, blocking reads, messages.
//!
//! Each is a script in `tests/clients/` and knows nothing of Redpoll: it passes against the real servers too, and is to be seen
//! doing so before a failure here means anything. It takes a port (locks take several), flushes what is there, and says
//! at its end how many checks passed. Workers and contenders are processes of their own, started by the script.

use redpoll_tests::Server;
use redpoll_tests::program;

/// The Node script of the test's name, against a server with no settings.
#[track_caller]
fn node(test: &str, packages: &[&str]) {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    program::node(test, packages, &format!("{test}.js"), &port);
}

/// The Python script of the test's name, against a server with no settings.
#[track_caller]
fn python(test: &str, modules: &[&str]) {
    let server = Server::redpoll();
    let port = [server.port().to_string()];
    program::python(test, modules, &format!("{test}.py"), &port);
}

/// Three servers, and their ports as the scripts about locks take them.
fn three() -> ([Server; 3], [String; 1]) {
    let servers = [Server::redpoll(), Server::redpoll(), Server::redpoll()];
    let ports = servers.each_ref().map(|server| server.port().to_string());
    (servers, [ports.join(",")])
}

#[test]
fn bullmq_jobs() {
    node("bullmq_jobs", &["bullmq", "ioredis", "redis"]);
}

#[test]
fn bullmq_flows() {
    node("bullmq_flows", &["bullmq", "ioredis"]);
}

#[test]
fn bullmq_schedules() {
    node("bullmq_schedules", &["bullmq", "ioredis"]);
}

#[test]
fn bullmq_workers() {
    node("bullmq_workers", &["bullmq", "ioredis"]);
}

#[test]
fn bullmq_relay() {
    node("bullmq_relay", &["bullmq", "ioredis"]);
}

#[test]
fn rq_jobs() {
    python("rq_jobs", &["redis", "rq"]);
}

#[test]
fn celery_tasks() {
    python("celery_tasks", &["redis", "celery", "packaging"]);
}

#[test]
fn redlock() {
    node("redlock", &["redlock", "redlock5", "ioredis"]);
}

#[test]
fn redlock_over_three_servers() {
    let (_servers, ports) = three();
    program::node(
        "redlock_over_three_servers",
        &["redlock", "redlock5", "ioredis"],
        "redlock.js",
        &ports,
    );
}

#[test]
fn locks() {
    python("locks", &["redis", "redlock", "pottery"]);
}

#[test]
fn locks_over_three_servers() {
    let (_servers, ports) = three();
    program::python(
        "locks_over_three_servers",
        &["redis", "redlock", "pottery"],
        "locks.py",
        &ports,
    );
}

#[test]
fn ioredis_atomic() {
    node("ioredis_atomic", &["ioredis"]);
}

#[test]
fn node_redis_atomic() {
    node("node_redis_atomic", &["redis"]);
}

#[test]
fn redis_py_atomic() {
    python("redis_py_atomic", &["redis"]);
}
