//! `cargo xtask test`: everything that can be tested on this machine.
//!
//! In order: fetch the peers, build the server, run the workspace's tests (with cargo-nextest where it is installed),
//! then the tests of the crates with unsafe modules once more under valgrind ([`memcheck`]), and Redis's own tests ([`suite`]). A failure does not stop the later
//! steps: the last lines say which steps failed.

use crate::{fetch, memcheck, run, suite};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `test` and `ci`.
#[derive(clap::Args)]
pub struct Options {
    /// Install and download nothing: use what is there
    #[arg(long)]
    offline: bool,
    /// Leave out valgrind memcheck
    #[arg(long)]
    no_memcheck: bool,
    /// Leave out Redis's own tests
    #[arg(long)]
    no_suite: bool,
    /// Run only tests whose names contain one of these words
    filters: Vec<String>,
}

/// Runs the tests and prints a closing summary.
pub fn main(options: &Options) -> Result<()> {
    let began = Instant::now();
    let mut failed = Vec::new();
    let missing = if options.offline {
        Vec::new()
    } else {
        let report = fetch::all();
        report.print();
        if let Err(error) = report.complete_in_ci() {
            failed.push(format!("{error:#}"));
        }
        report.missing().to_vec()
    };
    // With the tests, so that what both need is built once: alone, the server's libraries would have other features.
    run::show(&mut run::cargo(&[
        "build",
        "--workspace",
        "--bins",
        "--tests",
    ]))?;
    let skipped = skip_log();
    if let Err(error) = workspace_tests(&options.filters, &skipped) {
        failed.push(format!("workspace tests: {error:#}"));
    }
    if options.filters.is_empty() {
        if let Err(error) = run::show(&mut run::cargo(&[
            "test",
            "--quiet",
            "--workspace",
            "--doc",
        ])) {
            failed.push(format!("documentation examples: {error:#}"));
        }
        if !options.no_memcheck
            && let Err(error) = memcheck::main()
        {
            failed.push(format!("memcheck: {error:#}"));
        }
        if !options.no_suite
            && let Err(error) = server().and_then(|server| suite::step(&server))
        {
            failed.push(format!("Redis's own tests: {error:#}"));
        }
    }
    println!("\n--- cargo xtask test, {} s", began.elapsed().as_secs());
    for item in missing {
        println!("not installed: {item}");
    }
    for line in std::fs::read_to_string(&skipped)
        .unwrap_or_default()
        .lines()
    {
        println!("skipped: {line}");
    }
    for step in &failed {
        println!("FAILED: {step}");
    }
    if !failed.is_empty() {
        bail!("{} step(s) failed", failed.len());
    }
    println!("all steps of the tests passed");
    Ok(())
}

fn workspace_tests(filters: &[String], skipped: &Path) -> Result<()> {
    let nextest = run::cargo(&["nextest", "--version"])
        .output()
        .is_ok_and(|out| out.status.success());
    let mut command = if nextest {
        let mut command = run::cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        command.args(["--no-tests", "pass"]).args(filters);
        if std::env::var_os("CI").is_some() {
            // Machines of CI lose their processors for seconds. A test that fails and then passes is printed as FLAKY,
            // and counted as that in the closing line.
            command.args(["--retries", "2"]);
        }
        command
    } else {
        let mut command = run::cargo(&["test", "--workspace", "--no-fail-fast", "--tests", "--"]);
        command.args(filters);
        command
    };
    // An absolute path, and one server for all test programs: none of them builds it again.
    let server = server()?;
    run::show(
        command
            .env("REDPOLL_BIN", server)
            .env("REDPOLL_PEERS_DIR", run::peers_dir())
            .env("REDPOLL_SKIP_LOG", skipped),
    )
}

/// The server under test, which has been built with the tests.
fn server() -> Result<PathBuf> {
    Ok(run::target_dir()?.join("debug/redpoll"))
}

/// Where tests note that they were skipped, a line each: a runner shows no output of a test that passes.
fn skip_log() -> PathBuf {
    let path = run::peers_dir().join("skipped.log");
    let _ = std::fs::create_dir_all(run::peers_dir());
    let _ = std::fs::remove_file(&path);
    path
}
