//! Measurements that need no load: the memory of idle connections, and the time from start to the first reply.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::load::median;
use super::scenarios::Cores;
use super::servers::{Contender, ping};

/// Name of the measurement of idle connections.
pub const IDLE: &str = "idle-connections";
/// Name of the measurement of the time to the first reply.
pub const START: &str = "start";
/// All of them, with what they are.
pub const ALL: [(&str, &str); 2] = [
    (
        IDLE,
        "resident bytes of a connection that has sent one PING",
    ),
    (
        START,
        "milliseconds from starting the process to the first PONG",
    ),
];

/// How long connections stay idle before they are weighed: servers take back buffers from idle clients after a
/// while, the peers within two seconds.
const IDLE_FOR: Duration = Duration::from_secs(4);

/// Starts of which the median is taken in each round: one start is short and easily disturbed.
const STARTS: usize = 5;

/// Resident bytes that each of many idle connections costs the server. Each has sent one PING, so that whatever a
/// server sets up for the first request and keeps is counted.
pub fn idle_connection_bytes(bench: &Bench, contender: &Contender) -> Result<f64> {
    let count = bench.settings.connections;
    let server = bench.start(contender, bench.first_port, Cores::All)?;
    let before = server.usage()?.resident;
    let mut connections = Vec::with_capacity(count);
    for n in 0..count {
        let mut connection = server
            .connect()
            .with_context(|| format!("connection {n} of {count}"))?;
        ping(&mut connection).with_context(|| format!("connection {n} of {count}"))?;
        connections.push(connection);
    }
    thread::sleep(IDLE_FOR);
    let after = server.usage()?.resident;
    Ok(after.saturating_sub(before) as f64 / count as f64)
}

/// Milliseconds from starting the process to its first PONG, with attempts every 0.2 ms.
pub fn start_to_pong_ms(bench: &Bench, contender: &Contender) -> Result<f64> {
    let mut taken = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let began = Instant::now();
        let server = bench.start(contender, bench.first_port, Cores::All)?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
        drop(server);
    }
    median(taken).context("no start was timed")
}

/// Open files that the idle connections need, on both sides.
#[cfg(target_os = "linux")]
const FILES: u64 = 12_500;

/// Lets this process, and the servers it starts, open as many files as the idle connections need; adds a note if that
/// is not allowed.
#[cfg(target_os = "linux")]
pub fn raise_file_limit(notes: &mut Vec<String>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= FILES) {
        return;
    }
    let raised = Rlimit {
        current: Some(now.maximum.map_or(FILES, |maximum| maximum.min(FILES))),
        maximum: now.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() || raised.current < Some(FILES) {
        notes.push(format!(
            "This system allows a process fewer than {FILES} open files; idle connections may not all open."
        ));
    }
}

/// Leaves the limit as it is.
#[cfg(not(target_os = "linux"))]
pub fn raise_file_limit(_notes: &mut Vec<String>) {}
