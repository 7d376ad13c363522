//! `cargo xtask fuzz`: each target for a moment, where there is a fuzzer.
//!
//! Without one nothing is lost that a test has found before: the tests replay samples, and inputs drawn at random, on a stable
//! toolchain (`fuzz/targets/tests/replay.rs` and `crates/engine/src/fuzz/`).

use crate::run;
use anyhow::{Result, bail};

/// Runs every target for so many seconds; in CI it is no failure that there is no fuzzer, as the tests have run.
pub fn main(seconds: u32) -> Result<()> {
    // Cargo's own path, which `run::cargo` takes, knows no other toolchain.
    let there = run::output(&mut run::command(
        "cargo",
        &["+nightly", "fuzz", "--version"],
    ))
    .is_ok();
    if !there {
        println!(
            "no fuzzing: cargo-fuzz and a nightly toolchain are not both here; the tests replay samples"
        );
        return Ok(());
    }
    let list = run::output(&mut run::command("cargo", &["+nightly", "fuzz", "list"]))?;
    let mut failed = Vec::new();
    for target in list.lines() {
        let seeds = run::root().join("fuzz/seeds").join(target);
        let corpus = run::root().join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        let mut command = run::command("cargo", &["+nightly", "fuzz", "run", target]);
        command.arg(corpus);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        command.args(["--", "-timeout=20", &format!("-max_total_time={seconds}")]);
        if run::show(&mut command).is_err() {
            failed.push(target.to_owned());
        }
    }
    if !failed.is_empty() {
        bail!("fuzzing found something in: {}", failed.join(", "));
    }
    Ok(())
}
