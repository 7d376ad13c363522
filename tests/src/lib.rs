//! The harness of the tests that need running servers: Redpoll, the real servers it is compared with, and clients.
//!
//! - [`server`] starts and stops servers, each on a port and in a folder of its own;
//! - [`client`] speaks RESP over a socket and keeps the raw bytes of every reply;
//! - [`conversation`] compares what several clients of a server are told;
//! - [`certificates`] makes what TLS needs;
//! - [`check`] writes expectations as one line each;
//! - [`http`] speaks to the HTTP port;
//! - [`pretender`] and [`fake_primary`] are a replica and a primary that say what they are told to;
//! - [`cut`] is a connection between servers that can be cut;
//! - [`program`] runs client programs and ends what they leave behind;
//! - [`diff`] sends the same random commands to Redpoll and to real servers and compares what they answer.
//!
//! What a test needs and the machine lacks is reported by [`skip`]: `cargo test` passes without network and without
//! peers, and says what it left out. `cargo xtask test` fetches the peers first. In CI nothing is left out: there, a test
//! that lacks something fails.

pub mod certificates;
pub mod check;
pub mod client;
pub mod conversation;
pub mod cut;
pub mod diff;
pub mod fake_primary;
pub mod http;
pub mod lua_programs;
#[path = "../../xtask/src/peers.rs"]
pub mod peers;
pub mod pretender;
pub mod program;
pub mod replication;
pub mod rng;
pub mod server;
pub mod transcript;

pub use client::Client;
pub use server::{Server, eventually};

use peers::Peer;
use std::io::Write;
use std::path::PathBuf;

/// The real servers by the part they play in comparisons.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Redis 7.0: the oldest version whose clients we serve.
    pub redis7: Option<Peer>,
    /// Redis 8.2, whose behaviour is ours where nothing else is said.
    pub redis8: Option<Peer>,
    /// Redis 8.6, the newest.
    pub redis8_6: Option<Peer>,
    /// Valkey 8, the last that speaks of nothing which Redis does not know.
    pub valkey8: Option<Peer>,
    /// Valkey 9.
    pub valkey: Option<Peer>,
}

impl Peers {
    /// The peers present on this machine.
    pub fn find() -> Peers {
        let mut peers = Peers::default();
        for peer in peers::find() {
            let mut numbers = peer.version.split('.').map(|n| n.parse().unwrap_or(0));
            let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            match (peer.name.as_str(), version) {
                ("redis", (7, _)) => peers.redis7 = Some(peer),
                ("redis", (8, ..6)) => peers.redis8 = Some(peer),
                ("redis", (8.., _)) => peers.redis8_6 = Some(peer),
                ("valkey", (8, _)) => peers.valkey8 = Some(peer),
                ("valkey", (9.., _)) => peers.valkey = Some(peer),
                _ => {}
            }
        }
        peers
    }

    /// Whether Redis 8.2 or Valkey is there; if not, the calling test is reported as skipped. In CI all of them must be.
    pub fn or_skip(self, test: &str) -> Option<Peers> {
        let all = [
            ("Redis 7.0", &self.redis7),
            ("Redis 8.2", &self.redis8),
            ("Redis 8.6", &self.redis8_6),
            ("Valkey 9", &self.valkey),
        ];
        for (name, peer) in all {
            if peer.is_none() && in_ci() {
                skip(test, &format!("{name} was not found"));
            }
        }
        if self.redis8.is_none() && self.valkey.is_none() {
            skip(test, "no peer: neither Redis 8 nor Valkey 9 found");
            return None;
        }
        Some(self)
    }
}

/// Every real server of this machine; if there is none, the calling test is reported as skipped.
#[track_caller]
pub fn every_peer(test: &str) -> Vec<Peer> {
    let peers = peers::find();
    if peers.is_empty() {
        skip(test, "no real server was found");
    }
    peers
}

/// Whether this is CI, by the variable that every such service sets.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Reports that a test (or a part of it) did not run, and why. `cargo xtask test` lists these lines at its end. In CI the test
/// fails instead.
#[track_caller]
pub fn skip(test: &str, why: &str) {
    assert!(!in_ci(), "{test} cannot run, and in CI it must: {why}");
    println!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("REDPOLL_SKIP_LOG")
        && let Ok(mut log) = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
    {
        let _ = writeln!(log, "{test}: {why}");
    }
}

/// The folder where `cargo xtask fetch` keeps what it fetched.
pub fn peers_dir() -> PathBuf {
    std::env::var_os("REDPOLL_PEERS_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.peers"),
        PathBuf::from,
    )
}

/// A number from the environment, or the default.
pub fn env_number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}
