//! Finding the real servers that Redpoll is compared with.
//!
//! A peer is a `redis-server` or `valkey-server` binary, fetched into `.peers/` by `cargo xtask fetch` or installed on
//! PATH. The tests include this very file, so that tests and benches agree about what is there. It needs only `std`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server binary that answered `--version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `"redis"` or `"valkey"`.
    pub name: String,
    /// Its own version number, such as `"8.2.3"`.
    pub version: String,
    /// The binary.
    pub path: PathBuf,
}

/// Every peer found, one per name and version, oldest Redis first and Valkey last.
///
/// Looks in `REDPOLL_PEERS_DIR` (default: `.peers/` in the workspace), one folder deep, then on PATH.
pub fn find() -> Vec<Peer> {
    let dir = std::env::var_os("REDPOLL_PEERS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers"),
        PathBuf::from,
    );
    let mut found = BTreeMap::new();
    let fetched = executables(&dir)
        .into_iter()
        .chain(subfolders(&dir).into_iter().flat_map(|d| executables(&d)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path)
        .flat_map(|d| [d.join("redis-server"), d.join("valkey-server")]);
    for path in fetched.chain(installed) {
        if let Some(peer) = identify(&path) {
            found
                .entry((peer.name.clone(), version_key(&peer.version)))
                .or_insert(peer);
        }
    }
    found.into_values().collect()
}

/// Asks a binary for its version; None if it is not there or is not such a server.
pub fn identify(path: &Path) -> Option<Peer> {
    if !path.is_file() {
        return None;
    }
    let out = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let name = match text.split_whitespace().next()? {
        "Redis" => "redis",
        "Valkey" => "valkey",
        _ => return None,
    };
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))?;
    Some(Peer {
        name: name.to_owned(),
        version: version.to_owned(),
        path: path.to_owned(),
    })
}

/// Numbers of a version, so that 7.0.15 sorts after 7.0.9.
fn version_key(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// Files whose names say that they may be a server.
fn executables(dir: &Path) -> Vec<PathBuf> {
    entries(dir)
        .into_iter()
        .filter(|path| path.is_file() && may_be_server(path))
        .collect()
}

fn may_be_server(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let other_tool = ["cli", "benchmark", "check", "sentinel", "."]
        .iter()
        .any(|word| name.contains(word));
    (name.starts_with("redis") || name.starts_with("valkey")) && !other_tool
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    entries(dir)
        .into_iter()
        .filter(|path| path.is_dir())
        .collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries
}
