//! `cargo xtask memcheck`: the tests of the crates with unsafe modules, under valgrind memcheck.
//!
//! Memcheck knows what the allocator gave and took back. So the store is built with its feature `memcheck`, which takes every entry
//! from the allocator instead of from pages of its own: else an entry that is used after it was freed would be memory like any
//! other. That this is so is proved first, by a test that makes just this mistake when it is told to: a run in which memcheck
//! says nothing is a failure.
//!
//! It is 20 to 50 times slower than the machine, so few random cases are tried. `REDPOLL_MEMCHECK_CASES` (default 4) says how many,
//! `REDPOLL_MEMCHECK_FILTER` picks tests by words in their names, and `REDPOLL_MEMCHECK_SKIP` leaves some out: unless it says
//! otherwise those that explore thread schedules with shuttle, which switches stacks by itself; memcheck takes that for errors. One
//! that counts how often functions of long strings ask the server is left out too: it takes minutes here, and others run the same code.
//!
//! Memcheck runs one thread of a program at a time, so each processor gets a program of its own with a share of the tests.

use crate::run;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// Crates with unsafe modules, and the features that their tests are built with. Each reads how many random cases to try from a
/// variable that begins with its name.
const CRATES: [(&str, &[&str]); 2] = [("store", &["--features", "memcheck"]), ("lua", &[])];

/// The test that makes a mistake, and the variable that tells it to.
const PLANTED: (&str, &str) = (
    "dict::planted::a_value_is_read_after_its_key_is_gone",
    "STORE_PLANT_USE_AFTER_FREE",
);

/// Tests of one run: few enough that no processor is left with all of the long ones.
const SHARE: usize = 24;

/// The status of a run in which memcheck found something; no test program ends with it by itself.
const FOUND: i32 = 99;

/// Proves that memcheck sees mistakes, then runs the tests.
pub fn main() -> Result<()> {
    if run::on_path("valgrind").is_none() {
        if run::in_ci() {
            bail!("valgrind is not installed, and in CI it must be");
        }
        println!("skipped: memcheck, valgrind is not installed");
        return Ok(());
    }
    let cases = std::env::var("REDPOLL_MEMCHECK_CASES").unwrap_or_else(|_| "4".to_owned());
    let skipped = words("REDPOLL_MEMCHECK_SKIP", "schedule worked_on_in_pieces");
    let mut shares = Vec::new();
    for (name, features) in CRATES {
        for binary in test_programs(name, features)? {
            if name == "store" && shares.is_empty() {
                sees_what_is_planted(&binary)?;
            }
            let tests = tests_of(name, &binary, &skipped)?;
            for tests in tests.chunks(SHARE) {
                let mut command = valgrind(name, &binary);
                command.arg("--exact").args(tests);
                command.env(format!("{}_PROPTEST_CASES", name.to_uppercase()), &cases);
                shares.push((name, command));
            }
        }
    }
    let failed = run_all(shares);
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// Runs shares of the tests, as many at a time as there are processors, and returns what failed.
fn run_all(mut shares: Vec<(&'static str, Command)>) -> Vec<String> {
    shares.reverse();
    let (left, failed) = (Mutex::new(shares), Mutex::new(Vec::new()));
    let take = || left.lock().expect("no holder panics").pop();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, mut command)) = take() {
                    let began = Instant::now();
                    let out = command.stdin(Stdio::null()).output();
                    let said = match &out {
                        Ok(out) => {
                            let both = [out.stdout.as_slice(), &out.stderr].concat();
                            String::from_utf8_lossy(&both).into_owned()
                        }
                        Err(error) => error.to_string(),
                    };
                    println!("memcheck, {name}, {} s:\n{said}", began.elapsed().as_secs());
                    if !out.is_ok_and(|out| out.status.success()) {
                        failed
                            .lock()
                            .expect("no holder panics")
                            .push(format!("tests of {name}"));
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no holder panics")
}

/// The names of the tests in a program that are to run here.
fn tests_of(name: &str, binary: &Path, skipped: &[String]) -> Result<Vec<String>> {
    let mut list = run::command(binary, &["--list", "--format", "terse"]);
    list.current_dir(run::root().join("crates").join(name));
    let wanted = words("REDPOLL_MEMCHECK_FILTER", "");
    let has = |test: &str, words: &[String]| words.iter().any(|word| test.contains(word.as_str()));
    let listed = run::output(&mut list).context("cannot list the tests")?;
    let mut tests = Vec::new();
    for test in listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
    {
        if (wanted.is_empty() || has(test, &wanted)) && !has(test, skipped) {
            tests.push(test.to_owned());
        }
    }
    Ok(tests)
}

/// Runs the test with a mistake, and fails unless memcheck finds it.
fn sees_what_is_planted(binary: &Path) -> Result<()> {
    let (test, variable) = PLANTED;
    let out = valgrind("store", binary)
        .args(["--exact", test])
        .env(variable, "1")
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    let seen = said.contains("Invalid read") && said.contains("free'd");
    if out.status.code() != Some(FOUND) || !seen {
        bail!(
            "memcheck does not see a use after free that was planted ({}): is the store's feature `memcheck` on?\n{said}",
            out.status
        );
    }
    println!("memcheck sees a use after free that was planted in {test}");
    Ok(())
}

fn valgrind(name: &str, binary: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--leak-check=full"])
        .arg(format!("--error-exitcode={FOUND}"))
        .args([
            "--errors-for-leak-kinds=definite",
            "--show-leak-kinds=definite",
        ])
        .arg(binary)
        .args(["--test-threads", "1"])
        // A crate's tests start in its folder, under cargo and here.
        .current_dir(run::root().join("crates").join(name));
    command
}

fn words(variable: &str, default: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    value.split_whitespace().map(str::to_owned).collect()
}

/// Builds a crate's tests and returns their executables, those of its library first.
fn test_programs(name: &str, features: &[&str]) -> Result<Vec<PathBuf>> {
    let package = format!("redpoll-{name}");
    let mut build = run::cargo(&["test", "--package", &package, "--no-run"]);
    build.arg("--message-format=json").args(features);
    let messages = run::output(&mut build)?;
    let mut programs: Vec<(bool, PathBuf)> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| {
            message["reason"] == "compiler-artifact" && message["profile"]["test"] == true
        })
        .filter_map(|message| {
            let executable = message["executable"].as_str().map(PathBuf::from)?;
            Some((message["target"]["kind"][0] != "lib", executable))
        })
        .collect();
    programs.sort();
    Ok(programs.into_iter().map(|(_, path)| path).collect())
}
