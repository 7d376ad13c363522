//! Brings the real servers and clients that the tests speak to, into the git-ignored folder `.peers/`.
//!
//! Every item is independent: what cannot be had is reported with its reason, and the rest is fetched all the same.
//! Nothing is started and no service is left behind. `servers` says where the servers come from, `suites` the test suites of theirs,
//! `debian` fetches from Debian 13 whatever this machine is.

mod debian;
mod servers;
mod suites;

pub use servers::make_executable;
pub use suites::source;

use crate::run;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
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

    /// An error in CI, if anything is missing: there, no test may be left out for want of it.
    pub fn complete_in_ci(&self) -> Result<()> {
        if run::in_ci() && !self.missing.is_empty() {
            bail!(
                "not there, and in CI it must be: {}",
                self.missing.join("; ")
            );
        }
        Ok(())
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
    report.add(
        "redis-cli, redis-benchmark",
        "client tests",
        servers::redis_tools(),
    );
    report.add(
        "redis-cli 8",
        "what redpoll cli has of it",
        servers::newer_cli(),
    );
    for (name, why, found) in servers::all() {
        report.add(name, why, found);
    }
    report.add(
        "Python clients and programs",
        "client tests",
        python_clients(),
    );
    report.add("Node clients and programs", "client tests", node_clients());
    report.add("Chromium", "the console in a browser", chromium());
    report.add(
        "prometheus-redis-exporter",
        "INFO as it is read",
        exporter(),
    );
    report.add(
        "valgrind",
        "memcheck over the tests of crates with unsafe modules",
        valgrind(),
    );
    add_suites(&mut report);
    report
}

/// Fetches only what `crate::suite` needs.
pub fn suites() -> Report {
    let mut report = Report::default();
    report.add(
        "redis-benchmark",
        "Redis's own tests",
        servers::redis_tools(),
    );
    report.add("redis-cli 8", "Redis's own tests", servers::newer_cli());
    report.add("pytest", "the tests of Python clients", python_clients());
    add_suites(&mut report);
    report
}

fn add_suites(report: &mut Report) {
    report.add("Tcl", "Redis's own tests", tcl());
    report.add("tcl-tls", "Redis's own tests of TLS", tcl_tls());
    for source in suites::ALL {
        report.add(source.title, "its own tests", suites::fetch(source));
    }
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
const PYTHON_PACKAGES: [(&str, &str); 14] = [
    ("redis", "8.1.0"),
    ("rq", "3.0.0"),
    ("celery", "5.7.0"),
    // Celery's Redis transport wants it and does not say so.
    ("packaging", "26.3"),
    // Two makers' locks over several servers.
    ("redlock-py", "1.0.8"),
    ("pottery", "3.0.1"),
    // Reads metrics in both of their formats.
    ("prometheus_client", "0.26.0"),
    // What the tests of redis-py and of fakeredis are run with.
    ("pytest", "8.3.4"),
    ("pytest-asyncio", "0.23.8"),
    ("pytest-timeout", "2.3.1"),
    ("pytest-mock", "3.17.0"),
    ("fakeredis", "2.41.0"),
    ("lupa", "2.8"),
    ("valkey", "6.2.0"),
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
const NODE_PACKAGES: [(&str, &str); 6] = [
    ("ioredis", "5.11.1"),
    ("redis", "5.12.1"),
    ("bullmq", "6.7.0"),
    // The release that most programs use, and the one it is about to be replaced with.
    ("redlock", "4.2.0"),
    ("redlock5", "5.0.0-beta.2"),
    // Drives Chromium through the console; without a browser of its own.
    ("puppeteer-core", "24.43.1"),
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

fn exporter() -> Result<String> {
    const NAME: &str = "prometheus-redis-exporter";
    if run::on_path(NAME).is_none() {
        apt_install(&[NAME])?;
    }
    match run::on_path(NAME) {
        Some(path) => Ok(path.display().to_string()),
        None => bail!("its package has no program of this name"),
    }
}

fn chromium() -> Result<String> {
    if run::on_path("chromium").is_none() {
        apt_install(&["chromium"])?;
    }
    Ok(run::output(Command::new("chromium").arg("--version"))?
        .trim()
        .to_owned())
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

fn tcl() -> Result<String> {
    if run::on_path("tclsh").is_none() {
        apt_install(&["tcl"])?;
    }
    match run::on_path("tclsh") {
        Some(path) => Ok(path.display().to_string()),
        None => bail!("its package has no tclsh"),
    }
}

/// Whether Tcl finds its package for TLS.
pub fn has_tcl_tls() -> bool {
    let asks = || -> Result<bool> {
        let mut tclsh = Command::new("tclsh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = tclsh.stdin.take().context("a pipe")?;
        stdin.write_all(b"if {[catch {package require tls 1.6}]} {exit 1}\n")?;
        drop(stdin);
        Ok(tclsh.wait()?.success())
    };
    asks().unwrap_or(false)
}

fn tcl_tls() -> Result<String> {
    if !has_tcl_tls() {
        apt_install(&["tcl-tls"])?;
    }
    match has_tcl_tls() {
        true => Ok("Tcl finds it".into()),
        false => bail!("Tcl does not find what its package has"),
    }
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
