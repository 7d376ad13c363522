//! `cargo xtask suite`: Redis's own tests, run against Redpoll.
//!
//! They are fetched (`fetch::suites`), unpacked into `target/suite/`, and run as they are: in place of the server and the tools that they
//! start stand scripts that start Redpoll's. Each unit, a file of tests, runs by itself, four at a time: most of a unit's time is waiting. What is known to differ is in the
//! table of `differences`, with a reason; `output` reads what the suite prints.
//!
//! The tests of redis-py and of fakeredis come after them (`redis_py`, `fakeredis`, run by `pytest`).
//!
//! A test that fails and is not in the table is a failure, and so is one in the table that passes: what is mended leaves it.

mod differences;
mod fakeredis;
mod output;
mod pytest;
mod redis_py;

use self::differences::{Difference, Kind};
use self::output::{Outcome, Said};
use self::pytest::Theirs;
use crate::{fetch, run};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Options of `suite`.
#[derive(clap::Args)]
pub struct Options {
    /// The first of the ports that the servers listen on; 1000 are used from there
    #[arg(long, default_value_t = 24000)]
    port: u16,
    /// Run every unit, and all of its tests, whatever the table says; say what would stand there
    #[arg(long)]
    survey: bool,
    /// Only units whose names contain one of these words
    units: Vec<String>,
}

/// How many units run side by side.
const LANES: u16 = 4;

/// The ports of a lane.
const PORTS: u16 = 250;

/// A unit that takes longer is ended, and has failed. The slowest takes about a minute.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the suite with the server that `REDPOLL_BIN` names, or builds one.
pub fn main(options: &Options) -> Result<()> {
    let report = fetch::suites();
    report.print();
    report.complete_in_ci()?;
    let server = match std::env::var_os("REDPOLL_BIN") {
        Some(server) => PathBuf::from(server),
        None => {
            run::show(&mut run::cargo(&["build", "-p", "redpoll-cli"]))?;
            run::target_dir()?.join("debug/redpoll")
        }
    };
    run(options, &server)
}

/// The same as a step of `cargo xtask test`, where all has been fetched and built.
pub fn step(server: &Path) -> Result<()> {
    let options = Options {
        port: 24000,
        survey: false,
        units: Vec::new(),
    };
    run(&options, server)
}

fn run(options: &Options, server: &Path) -> Result<()> {
    let lacks = match fetch::source("redis") {
        None => Some("its sources are not there"),
        Some(_) if run::on_path("tclsh").is_none() => Some("tclsh is not installed"),
        Some(_) if run::on_path("redis-benchmark").is_none() => {
            Some("redis-benchmark is not installed")
        }
        Some(_) => None,
    };
    if let Some(lacks) = lacks {
        ensure!(!run::in_ci(), "{lacks}, and in CI it must be");
        println!("skipped: Redis's own tests, {lacks}");
        return Ok(());
    }
    let began = Instant::now();
    let suite = Suite::unpack(server)?;
    let wanted = |name: &str| {
        options.units.is_empty()
            || options
                .units
                .iter()
                .any(|word| name.contains(word.as_str()))
    };
    // What is left out is run if it is named exactly.
    let left_out = differences::UNITS_LEFT_OUT.iter().map(|(unit, _)| *unit);
    let named = left_out.filter(|unit| options.units.iter().any(|name| name == unit));
    let mut units: Vec<&'static str> = (differences::UNITS.iter().copied())
        .filter(|unit| wanted(unit))
        .chain(named)
        .collect();
    let without_cli = their_cli(CLI).is_none();
    if without_cli && units.contains(&CLI) {
        ensure!(
            !run::in_ci(),
            "redis-cli 8 is not there, and in CI it must be"
        );
        println!("skipped: {CLI}, redis-cli 8 is not there");
        units.retain(|unit| *unit != CLI);
    }
    if units.contains(&TLS) && !fetch::has_tcl_tls() {
        ensure!(
            !run::in_ci(),
            "tcl-tls is not installed, and in CI it must be"
        );
        println!("skipped: {TLS}, tcl-tls is not installed");
        units.retain(|unit| *unit != TLS);
    }
    let of_others: Vec<&Theirs> = [&redis_py::THEIRS, &fakeredis::THEIRS]
        .into_iter()
        .filter(|theirs| wanted(theirs.name))
        .collect();
    ensure!(
        !units.is_empty() || !of_others.is_empty(),
        "no unit has such a name"
    );
    let mut failed = Vec::new();
    if options.units.is_empty() {
        failed.extend(suite.unknown()?);
    }
    let results = suite.run_all(&units, options);
    let mut counts = [0; 3];
    for (unit, verdict) in &results {
        for (count, of_unit) in counts.iter_mut().zip(verdict.counts) {
            *count += of_unit;
        }
        failed.extend(verdict.wrong.iter().map(|what| format!("{unit}: {what}")));
    }
    let [passed, differ, left_out] = counts;
    println!(
        "--- Redis's own tests, {} s: {} units, {passed} tests passed, {differ} differ on purpose, {left_out} were left out",
        began.elapsed().as_secs(),
        results.len(),
    );
    for theirs in of_others {
        let name = theirs.name;
        failed.extend(match theirs.lacks() {
            Some(lacks) => {
                ensure!(
                    !run::in_ci(),
                    "{name}'s own tests, {lacks}, and in CI it must be"
                );
                println!("skipped: {name}'s own tests, {lacks}");
                Vec::new()
            }
            None => theirs.run(&suite.server, &suite.folder, options.port, options.survey)?,
        });
    }
    for what in &failed {
        println!("FAILED: {what}");
    }
    ensure!(failed.is_empty(), "{} of them failed", failed.len());
    Ok(())
}

/// The unit about redis-cli. It asks for what its makers built into it for tests, so it is theirs that speaks to Redpoll there.
const CLI: &str = "integration/redis-cli";

/// The unit about TLS, the only one that is run over it.
const TLS: &str = "unit/tls";

/// Their program, if this is its unit.
fn their_cli(unit: &str) -> Option<PathBuf> {
    let program = run::peers_dir().join("redis-cli-8/redis-cli");
    (unit == CLI && program.is_file()).then_some(program)
}

/// The suite, unpacked once for each lane.
struct Suite {
    folder: PathBuf,
    server: PathBuf,
}

/// What came of one unit.
struct Verdict {
    /// Tests that passed, that failed as the table says, and that were not run.
    counts: [usize; 3],
    /// What the table does not say, a sentence each.
    wrong: Vec<String>,
}

impl Suite {
    /// Unpacks the suite and puts scripts where it looks for the programs.
    fn unpack(server: &Path) -> Result<Suite> {
        let archive = fetch::source("redis").context("the sources are not there")?;
        let folder = run::target_dir()?.join("suite");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("logs"))?;
        let server =
            fs::canonicalize(server).with_context(|| format!("no server {}", server.display()))?;
        let suite = Suite { folder, server };
        for lane in 0..LANES {
            let root = suite.root(lane);
            fs::create_dir_all(root.join("src"))?;
            run::output(
                Command::new("tar")
                    .args(["--strip-components=1", "--no-same-owner", "-xzf"])
                    .arg(&archive)
                    .args(["--wildcards", "*/tests", "*/utils", "*/redis.conf"])
                    .current_dir(&root),
            )?;
            prepare(&root)?;
        }
        Ok(suite)
    }

    fn root(&self, lane: u16) -> PathBuf {
        self.folder.join(format!("redis-{lane}"))
    }

    /// Units of the suite that the tables do not name, and names there that are no units.
    fn unknown(&self) -> Result<Vec<String>> {
        let mut there = Vec::new();
        for folder in ["unit", "unit/type", "integration"] {
            for entry in fs::read_dir(self.root(0).join("tests").join(folder))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if let Some(name) = name.strip_suffix(".tcl") {
                    there.push(format!("{folder}/{name}"));
                }
            }
        }
        let named = || {
            let left_out = differences::UNITS_LEFT_OUT.iter().map(|(unit, _)| unit);
            differences::UNITS.iter().chain(left_out)
        };
        let mut wrong = Vec::new();
        for unit in &there {
            if !named().any(|name| name == unit) {
                wrong.push(format!("{unit}: the table does not say whether it is run"));
            }
        }
        for name in named() {
            if !there.iter().any(|unit| unit == name) {
                wrong.push(format!("{name}: the suite has no such unit"));
            }
        }
        Ok(wrong)
    }

    /// Runs units in their order, some at a time, and says of each what came of it.
    fn run_all(
        &self,
        units: &[&'static str],
        options: &Options,
    ) -> BTreeMap<&'static str, Verdict> {
        let left = Mutex::new(units.iter().rev().copied().collect::<Vec<_>>());
        let results = Mutex::new(BTreeMap::new());
        let take = || left.lock().expect("no holder panics").pop();
        std::thread::scope(|scope| {
            for lane in 0..LANES {
                let (take, results) = (&take, &results);
                scope.spawn(move || {
                    while let Some(unit) = take() {
                        let verdict = self.run_unit(unit, lane, options);
                        let mut results = results.lock().expect("no holder panics");
                        results.insert(unit, verdict);
                    }
                });
            }
        });
        results.into_inner().expect("no holder panics")
    }

    /// Runs one unit, and prints a line about it and what went wrong. In CI, whose machines lose their processors for seconds, what went
    /// wrong is tried once more, and printed.
    fn run_unit(&self, unit: &'static str, lane: u16, options: &Options) -> Verdict {
        let began = Instant::now();
        let once = || match self.said_by(unit, lane, options) {
            Ok(said) if options.survey => Verdict {
                counts: said.counts(),
                wrong: said
                    .failed()
                    .map(|(name, why)| format!("{name:?}: {why}"))
                    .collect(),
            },
            Ok(said) => judge(unit, &said),
            Err(error) => Verdict {
                counts: [0; 3],
                wrong: vec![format!("{error:#}")],
            },
        };
        let mut verdict = once();
        let mut text = String::new();
        if run::in_ci() && !verdict.wrong.is_empty() {
            for what in &verdict.wrong {
                text += &format!("\n    tried again: {what}");
            }
            verdict = once();
        }
        let [passed, differ, left_out] = verdict.counts;
        for what in &verdict.wrong {
            text += &format!("\n    {what}");
        }
        println!(
            "{unit}, {} s: {passed} passed, {differ} differ on purpose, {left_out} left out, {} wrong{text}",
            began.elapsed().as_secs(),
            verdict.wrong.len()
        );
        verdict
    }

    /// What the suite prints when it runs one unit. It is kept in `target/suite/logs/`.
    fn said_by(&self, unit: &str, lane: u16, options: &Options) -> Result<Said> {
        let root = self.root(lane);
        // What its servers leave can be looked at until the next unit runs.
        let _ = fs::remove_dir_all(root.join("tests/tmp"));
        fs::create_dir_all(root.join("tests/tmp"))?;
        let log = format!("logs/{}.log", unit.replace('/', "-"));
        let log = self.folder.join(log);
        let out = File::create(&log)?;
        let mut command = Command::new("tclsh");
        let port = options.port + lane * PORTS;
        // The suite's own process listens on one of the 32 ports before the first.
        command
            .args(["tests/test_helper.tcl", "--single", unit, "--clients", "1"])
            .args(["--durable", "--dont-clean", "--dont-pre-clean"])
            .args(["--timeout", "120", "--baseport", &(port + 32).to_string()])
            .args(["--portcount", &(PORTS - 32).to_string()])
            .args(["--tags", &differences::TAGS.join(" ")]);
        if unit == TLS {
            certificates(&root.join("tests/tls"))?;
            command.arg("--tls");
        }
        if !options.survey {
            for difference in differences::of(unit) {
                if difference.kind == Kind::LeftOut {
                    command.args(["--skiptest", difference.test]);
                }
            }
        }
        command
            .current_dir(&root)
            .env("REDPOLL_BIN", &self.server)
            .envs(their_cli(unit).map(|program| ("REDIS_CLI", program)))
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0);
        let mut child = command.spawn().context("cannot start tclsh")?;
        let began = Instant::now();
        let in_time = loop {
            if child.try_wait()?.is_some() {
                break true;
            }
            if began.elapsed() > LIMIT {
                break false;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        // Its servers too, which a unit that was broken off leaves behind.
        let group = format!("-{}", child.id());
        let _ = run::output(Command::new("kill").args(["-KILL", "--", &group]));
        let _ = child.wait();
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        ensure!(in_time, "it took more than {} s", LIMIT.as_secs());
        Ok(Said::read(&text, unit))
    }
}

/// Holds what a unit said against the table.
fn judge(unit: &str, said: &Said) -> Verdict {
    let mut verdict = Verdict {
        counts: said.counts(),
        wrong: Vec::new(),
    };
    let listed: &[Difference] = differences::of(unit);
    for (name, why) in said.failed() {
        let known = listed
            .iter()
            .any(|difference| difference.kind == Kind::Fails && difference.test == name);
        if !known {
            verdict.wrong.push(format!("{name}: {why}"));
        }
    }
    for difference in listed {
        let name = difference.test;
        let wrong = match (difference.kind, said.outcome(name)) {
            (_, None) => "it is in the table, and there is no such test",
            (Kind::Fails, Some(Outcome::Passed)) => "it is in the table, and it passes",
            (Kind::Fails, Some(Outcome::LeftOut)) => "it is to fail, and was not run",
            (Kind::LeftOut, Some(Outcome::Passed | Outcome::Failed(_))) => {
                "it is to be left out, and was run"
            }
            _ => continue,
        };
        verdict
            .wrong
            .push(format!("{name}: {wrong} ({})", difference.reason));
    }
    if !said.ended() {
        verdict.wrong.push("it broke off".to_owned());
    }
    verdict
}

/// Puts Redpoll in place of the server and its tools.
fn prepare(root: &Path) -> Result<()> {
    let put = |name: &str, text: &str| script(&root.join("src").join(name), text);
    // The suite waits for a line of the log that only Redis writes. The shell's process becomes the server.
    put(
        "redis-server",
        "echo \" PID: $$, Server initialized\"\nexec \"$REDPOLL_BIN\" \"$@\"",
    )?;
    put(
        "redis-cli",
        "exec ${REDIS_CLI:-\"$REDPOLL_BIN\" cli} \"$@\"",
    )?;
    for (name, task) in [
        ("redis-check-aof", "check-aof"),
        ("redis-check-rdb", "check-rdb"),
    ] {
        put(name, &format!("exec \"$REDPOLL_BIN\" {task} \"$@\""))?;
    }
    put("redis-benchmark", "exec redis-benchmark \"$@\"")?;
    // There are no modules, and so no directive that allows them.
    let path = root.join("tests/assets/default.conf");
    let text = fs::read_to_string(&path)?;
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("enable-module-command"));
    fs::write(&path, kept.collect::<Vec<_>>().join("\n") + "\n")?;
    // Nor is there a debugger for scripts: an error between two tests would end the unit.
    let path = root.join("tests/unit/scripting.tcl");
    let text = fs::read_to_string(&path)?;
    let kept = text
        .lines()
        .filter(|line| *line != "    r script debug sync");
    fs::write(&path, kept.collect::<Vec<_>>().join("\n") + "\n")?;
    Ok(())
}

/// Makes the certificates and keys that the suite expects, in a folder of theirs. Those that its own script makes are of X.509's first
/// version, which are not taken here, and take the better part of a minute.
fn certificates(folder: &Path) -> Result<()> {
    const SECTIONS: &str = "[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
[server]
keyUsage = digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
[client]
keyUsage = digitalSignature, keyEncipherment
extendedKeyUsage = clientAuth
[redis]
basicConstraints = CA:FALSE
";
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    fs::write(folder.join("sections"), SECTIONS)?;
    // The suite names a file of parameters, which nothing here reads.
    fs::write(folder.join("redis.dh"), "")?;
    for name in ["ca", "server", "client", "redis"] {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-nodes", "-newkey", "rsa:2048"])
            .args(["-sha256", "-days", "30", "-config", "sections"])
            .args(["-extensions", name, "-subj", &format!("/CN={name}")])
            .args(["-keyout", &format!("{name}.key")])
            .args(["-out", &format!("{name}.crt")])
            .current_dir(folder);
        if name != "ca" {
            command.args(["-CA", "ca.crt", "-CAkey", "ca.key"]);
        }
        run::output(&mut command)?;
    }
    Ok(())
}

/// Writes a script of the shell.
fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    fetch::make_executable(path)
}
