//! redis-py's own tests, run against Redpoll as they are: its makers' pytest files, in two parts beside each other, each with a server
//! of its own.
//!
//! Tests of modules, of clusters and of TLS are not run. What else does not pass is in the tables here, and does not with Redis 8.2.3 either.

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

/// What `cargo xtask suite` calls it.
pub const NAME: &str = "redis-py";

const PORT: &str = "it asks a server at a port of its own choice";
const OLDER: &str = "it wants what servers answered before Redis 8";
const MOCKED: &str = "the server that it plays itself refuses all databases but the first";

/// Tests that fail, by the beginning of their ids.
const FAIL: &[(&str, &str)] = &[
    (
        "tests/test_asyncio/test_commands.py::TestRedisCommands::test_xgroup_setid[",
        OLDER,
    ),
    (
        "tests/test_asyncio/test_connection.py::test_connection_disconect_race[",
        MOCKED,
    ),
    (
        "tests/test_commands.py::TestRedisCommands::test_xgroup_create_entriesread",
        OLDER,
    ),
    (
        "tests/test_commands.py::TestRedisCommands::test_xgroup_setid",
        OLDER,
    ),
];

/// Tests that are not run, in the same way.
#[rustfmt::skip]
const LEFT_OUT: &[(&str, &str)] = &[
    ("tests/test_asyncio/test_commands.py::TestRedisCommands::test_client_setinfo", PORT),
    ("tests/test_asyncio/test_connection_pool.py::TestConnectionPool::test_max_connections", PORT),
    ("tests/test_asyncio/test_connection_pool.py::TestConnectionPool::test_multiple_connections", PORT),
    ("tests/test_asyncio/test_connection_pool.py::TestConnectionPool::test_reuse_previously_released_connection", PORT),
    ("tests/test_asyncio/test_sentinel.py::test_master_for", PORT),
    ("tests/test_asyncio/test_sentinel.py::test_repr_correctly_represents_connection_object", PORT),
    ("tests/test_asyncio/test_sentinel.py::test_slave_for", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_client_setinfo", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_psync", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_tfcall", PORT),
    ("tests/test_commands.py::TestRedisCommands::test_tfunction", PORT),
    ("tests/test_connection.py::TestConnection::test_retry_connect_on_timeout_error", PORT),
    ("tests/test_connection.py::test_create_single_connection_client_from_url", PORT),
    ("tests/test_sentinel.py::test_dead_pool", PORT),
    ("tests/test_sentinel.py::test_master_for", PORT),
    ("tests/test_sentinel.py::test_slave_for", PORT),
];

/// Files that are about what is not run, or cannot be read without it.
const FILES_LEFT_OUT: &[&str] = &[
    "bloom",
    "cluster",
    "graph",
    "json",
    "search",
    "ssl",
    "timeseries",
];

/// Marks of such tests in other files.
const MARKS: &str = "not redismod and not onlycluster and not ssl";

/// Why they cannot be run here, if they cannot.
pub fn lacks() -> Option<&'static str> {
    if fetch::source(NAME).is_none() {
        return Some("its sources are not there");
    }
    let import = "import pytest, pytest_asyncio, pytest_timeout";
    let there = run::output(Command::new(python()).args(["-c", import])).is_ok();
    (!there).then_some("pytest is not installed")
}

/// Runs them, and says what is wrong, a sentence each. `survey`: whatever the tables say.
pub fn run(server: &Path, folder: &Path, port: u16, survey: bool) -> Result<Vec<String>> {
    let began = Instant::now();
    let archive = fetch::source(NAME).context("the sources are not there")?;
    let root = folder.join(NAME);
    fs::create_dir_all(&root)?;
    run::output(
        Command::new("tar")
            .args(["--strip-components=1", "--no-same-owner", "-xzf"])
            .arg(&archive)
            .current_dir(&root),
    )?;
    let part = |lane: u16, tests: &[&str]| {
        let part = Part {
            server,
            root: &root,
            log: folder.join(format!("logs/{NAME}-{lane}.log")),
            port: port + lane * PORTS,
            survey,
        };
        part.run(tests)
    };
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| part(1, &["tests/test_asyncio"]));
        let first = part(0, &["tests", "--ignore=tests/test_asyncio"]);
        (first, second.join().expect("no part panics"))
    });
    let mut said = [first?, second?];
    let mut wrong = judge(&said, survey);
    let known = |id: &str| FAIL.iter().any(|(known, _)| *known == id);
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
        "{NAME}, {} s: {passed} passed, {} wrong",
        began.elapsed().as_secs(),
        wrong.len()
    );
    for (id, why) in &wrong {
        println!("    {id}: {why}");
    }
    let sentence = |(id, why): &(String, String)| format!("{NAME}: {id}: {why}");
    Ok(wrong.iter().map(sentence).collect())
}

/// What is not as the tables say: the test's id, and how.
fn judge(said: &[Said], survey: bool) -> Vec<(String, String)> {
    let failed: BTreeSet<&String> = said.iter().flat_map(|said| &said.failed).collect();
    let mut wrong: Vec<(String, String)> = failed
        .iter()
        .filter(|id| survey || !FAIL.iter().any(|(known, _)| id.starts_with(known)))
        .map(|id| ((*id).clone(), "it fails".to_owned()))
        .collect();
    for (known, reason) in FAIL.iter().filter(|_| !survey) {
        if !failed.iter().any(|id| id.starts_with(known)) {
            let why = format!("it is in the table, and does not fail ({reason})");
            wrong.push(((*known).to_owned(), why));
        }
    }
    wrong
}

/// A part of the tests, with its server.
struct Part<'a> {
    server: &'a Path,
    root: &'a Path,
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
        let out = File::create(&self.log)?;
        let mut command = Command::new(python());
        command
            .args(["-m", "pytest", "-q", "-rfE", "--tb=short", "-W", "ignore"])
            .args(["-p", "no:cacheprovider", "-o", "asyncio_mode=auto"])
            .args(["--timeout", "60", "-m", MARKS])
            .arg(format!("--redis-url=redis://127.0.0.1:{port}/9"))
            .args(tests);
        for file in FILES_LEFT_OUT {
            for folder in ["tests", "tests/test_asyncio"] {
                command.arg(format!("--ignore={folder}/test_{file}.py"));
            }
        }
        for (id, _) in LEFT_OUT.iter().filter(|_| !self.survey) {
            command.args(["--deselect", id]);
        }
        command
            .current_dir(self.root)
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
                bail!("redis-py's tests took more than {} s", LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        // 1: some have failed. Everything else but 0 says that they were not run to the end.
        ensure!(
            matches!(status.code(), Some(0 | 1)),
            "pytest ended with {status}: see {}",
            self.log.display()
        );
        read(&fs::read_to_string(&self.log)?)
    }
}

/// Reads the summary: lines `FAILED id - why` and `ERROR id - why`, and at the end `3 failed, 20 passed, 4 skipped in 1.00s`.
fn read(text: &str) -> Result<Said> {
    let mut said = Said::default();
    for line in text.lines() {
        let id = (line.strip_prefix("FAILED ")).or_else(|| line.strip_prefix("ERROR "));
        if let Some(id) = id.filter(|id| id.starts_with("tests/")) {
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
