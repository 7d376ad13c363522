//! Tests of others that pytest runs, against Redpoll as they are: with their makers' files, in parts beside each other, each with a server of
//! its own. What they are, and what does not pass, is in the tables of a file each.

use super::{LIMIT, PORTS};
use crate::{fetch, run};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Somebody's tests.
pub struct Theirs {
    /// What `cargo xtask suite` calls them, and [`fetch::source`].
    pub name: &'static str,
    /// What must be there to run them.
    pub imports: &'static str,
    /// What ids of tests begin with.
    pub folder: &'static str,
    /// What runs beside each other, as pytest is told.
    pub parts: &'static [&'static [&'static str]],
    /// Further options of pytest.
    pub options: &'static [&'static str],
    /// The marks of what is run.
    pub marks: &'static str,
    /// Files that are not read.
    pub files_left_out: &'static [&'static str],
    /// How they are told where the server is.
    pub address: Address,
    /// Tests that fail, by the beginning of their ids, and why.
    pub fail: &'static [(&'static str, &'static str)],
    /// Tests that are not run, in the same way.
    pub left_out: &'static [(&'static str, &'static str)],
}

/// How tests are told where the server is.
pub enum Address {
    /// With an option of pytest, in which `PORT` stands for the port.
    Option(&'static str),
    /// Not at all: this port stands in their files, and another is put in its place.
    Written(&'static str),
}

impl Theirs {
    /// Why they cannot be run here, if they cannot.
    pub fn lacks(&self) -> Option<&'static str> {
        if fetch::source(self.name).is_none() {
            return Some("its sources are not there");
        }
        let import = format!("import {}", self.imports);
        let there = run::output(Command::new(python()).args(["-c", &import])).is_ok();
        (!there).then_some("what they import is not installed")
    }

    /// Runs them, and says what is wrong, a sentence each. `survey`: whatever the tables say.
    pub fn run(
        &self,
        server: &Path,
        folder: &Path,
        port: u16,
        survey: bool,
    ) -> Result<Vec<String>> {
        let began = Instant::now();
        let name = self.name;
        let part = |lane: u16, tests: &[&str]| {
            let part = Part {
                theirs: self,
                server,
                root: folder.join(format!("{name}-{lane}")),
                log: folder.join(format!("logs/{name}-{lane}.log")),
                port: port + lane * PORTS,
                survey,
            };
            part.run(tests)
        };
        let mut said = std::thread::scope(|scope| {
            let parts: Vec<_> = (0..)
                .zip(self.parts)
                .map(|(lane, tests)| scope.spawn(move || part(lane, tests)))
                .collect();
            let said = parts.into_iter().map(|part| part.join());
            said.map(|said| said.expect("no part panics"))
                .collect::<Result<Vec<Said>>>()
        })?;
        let mut wrong = self.judge(&said, survey);
        let known = |id: &str| self.fail.iter().any(|(known, _)| *known == id);
        let ids: Vec<String> = wrong.iter().map(|(id, _)| id.clone()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let ids: Vec<&str> = ids.into_iter().filter(|id| !known(id)).collect();
        if run::in_ci() && !ids.is_empty() {
            // Its machines lose their processors for seconds.
            println!("    tried again: {}", ids.join(", "));
            let again = part(0, &ids)?;
            wrong.retain(|(id, _)| again.failed.contains(id) || known(id));
            said[0].passed += again.passed;
        }
        let passed: u32 = said.iter().map(|said| said.passed).sum();
        println!(
            "{name}, {} s: {passed} passed, {} wrong",
            began.elapsed().as_secs(),
            wrong.len()
        );
        for (id, why) in &wrong {
            println!("    {id}: {why}");
        }
        let sentence = |(id, why): &(String, String)| format!("{name}: {id}: {why}");
        Ok(wrong.iter().map(sentence).collect())
    }

    /// What is not as the tables say: the test's id, and how.
    fn judge(&self, said: &[Said], survey: bool) -> Vec<(String, String)> {
        let failed: BTreeSet<&String> = said.iter().flat_map(|said| &said.failed).collect();
        let known = |id: &str| self.fail.iter().any(|(known, _)| id.starts_with(known));
        let mut wrong: Vec<(String, String)> = failed
            .iter()
            .filter(|id| survey || !known(id))
            .map(|id| ((*id).clone(), "it fails".to_owned()))
            .collect();
        for (known, reason) in self.fail.iter().filter(|_| !survey) {
            if !failed.iter().any(|id| id.starts_with(known)) {
                let why = format!("it is in the table, and does not fail ({reason})");
                wrong.push(((*known).to_owned(), why));
            }
        }
        wrong
    }
}

/// A part of the tests, with its server.
struct Part<'a> {
    theirs: &'a Theirs,
    server: &'a Path,
    root: PathBuf,
    log: PathBuf,
    port: u16,
    survey: bool,
}

/// What pytest says.
#[derive(Default)]
struct Said {
    failed: BTreeSet<String>,
    passed: u32,
}

impl Part<'_> {
    fn run(&self, tests: &[&str]) -> Result<Said> {
        self.unpack()?;
        let data = self.root.join(format!("data-{}", self.port));
        fs::create_dir_all(&data)?;
        let port = self.port.to_string();
        let mut command = Command::new(self.server);
        command
            .args(["--port", &port, "--save", "", "--loglevel", "warning"])
            .args(["--enable-debug-command", "yes"])
            .current_dir(&data);
        let _server = Group::start(&mut command)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            ensure!(
                began.elapsed() < Duration::from_secs(20),
                "the server does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let theirs = self.theirs;
        let out = File::create(&self.log)?;
        let mut command = Command::new(python());
        command
            .args(["-m", "pytest", "-q", "-rfE", "--tb=short", "-W", "ignore"])
            .args(["-p", "no:cacheprovider", "--timeout", "60"])
            .args(["-m", theirs.marks])
            .args(theirs.options)
            .args(tests);
        if let Address::Option(option) = theirs.address {
            command.arg(option.replace("PORT", &port));
        }
        for file in theirs.files_left_out {
            command.arg(format!("--ignore={file}"));
        }
        for (id, _) in theirs.left_out.iter().filter(|_| !self.survey) {
            command.args(["--deselect", id]);
        }
        command
            .current_dir(&self.root)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(out.try_clone()?)
            .stderr(out);
        let mut pytest = Group::start(&mut command)?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = pytest.0.try_wait()? {
                break status;
            }
            if began.elapsed() > LIMIT {
                bail!(
                    "{}'s tests took more than {} s",
                    theirs.name,
                    LIMIT.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        // 1: some have failed. Everything else but 0 says that they were not run to the end.
        ensure!(
            matches!(status.code(), Some(0 | 1)),
            "pytest ended with {status}: see {}",
            self.log.display()
        );
        read(&fs::read_to_string(&self.log)?, theirs.folder)
    }

    /// Lays the sources where the part runs.
    fn unpack(&self) -> Result<()> {
        let archive = fetch::source(self.theirs.name).context("the sources are not there")?;
        let _ = fs::remove_dir_all(&self.root);
        fs::create_dir_all(&self.root)?;
        run::output(
            Command::new("tar")
                .args(["--strip-components=1", "--no-same-owner", "-xzf"])
                .arg(&archive)
                .current_dir(&self.root),
        )?;
        if let Address::Written(theirs) = self.theirs.address {
            put(&self.root.join(self.theirs.folder), theirs, self.port)?;
        }
        Ok(())
    }
}

/// Writes `port` where a Python file below `folder` says `theirs`.
fn put(folder: &Path, theirs: &str, port: u16) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            put(&path, theirs, port)?;
        } else if path.extension().is_some_and(|end| end == "py") {
            let text = fs::read_to_string(&path)?;
            if text.contains(theirs) {
                fs::write(&path, text.replace(theirs, &port.to_string()))?;
            }
        }
    }
    Ok(())
}

/// Reads the summary: lines of ids below `folder`, `FAILED id - why` and `ERROR id - why`, and at the end `3 failed, 20 passed, 4 skipped in 1.00s`.
fn read(text: &str, folder: &str) -> Result<Said> {
    let mut said = Said::default();
    for line in text.lines() {
        let id = (line.strip_prefix("FAILED ")).or_else(|| line.strip_prefix("ERROR "));
        if let Some(id) = id.filter(|id| id.starts_with(folder)) {
            let id = id.split(" - ").next().unwrap_or(id);
            said.failed.insert(id.to_owned());
        }
    }
    let last = text.lines().last().unwrap_or_default();
    ensure!(
        last.contains(" in "),
        "pytest does not say how many have passed: {last}"
    );
    if let Some((before, _)) = last.split_once(" passed") {
        let count = before.rsplit(' ').next().unwrap_or_default();
        said.passed = count
            .parse()
            .with_context(|| format!("no count in {last}"))?;
    }
    Ok(said)
}

/// A process with all that it starts, which end with it.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Result<Group> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        Ok(Group(child.with_context(|| format!("{command:?}"))?))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = run::output(Command::new("kill").args(["-KILL", "--", &group]));
        let _ = self.0.wait();
    }
}

fn python() -> PathBuf {
    run::peers_dir().join("python/bin/python")
}
