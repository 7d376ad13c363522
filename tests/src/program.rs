//! Running client programs: those on PATH, and the scripts of `tests/clients/` with the packages that `cargo xtask fetch` brings.
//!
//! A program runs in a process group of its own, which is killed when the program is done or takes too long: workers that it
//! started do not outlive the test.

use crate::server::fresh_dir;
use crate::{peers_dir, skip};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take; the scripts give up earlier by themselves and say at what.
const PATIENCE: Duration = Duration::from_secs(200);

/// Kills the group of a child when dropped, also by a panic.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // An error says that nobody is left of the group.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Runs a program that must end in time and well, and returns what it wrote to standard output and error.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let dir = fresh_dir();
    let file = dir.join("output");
    let output = std::fs::File::create(&file).expect("a file can be created");
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a file handle can be cloned"))
        .stderr(output)
        .process_group(0)
        .spawn()
        .expect("the program can be started");
    let mut group = Group(child);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match group.0.try_wait().expect("a child can be waited for") {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(3)),
            ended => break ended,
        }
    };
    drop(group);
    let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()).into_owned();
    let _ = std::fs::remove_dir_all(&dir);
    match status {
        Some(status) if status.success() => text,
        Some(status) => panic!("{command:?} ended with {status}:\n{text}"),
        None => panic!("{command:?} goes on after {PATIENCE:?}; it wrote:\n{text}"),
    }
}

/// A program on PATH, or a test that is skipped.
pub fn on_path(test: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(test, &format!("{name} is not installed"));
    }
    found
}

/// Runs a Node script of `tests/clients/` that needs these npm packages, or skips the test; it must say that checks passed.
#[track_caller]
pub fn node(test: &str, packages: &[&str], script: &str, args: &[String]) {
    let modules = peers_dir().join("node/node_modules");
    for package in packages {
        if !modules.join(package).join("package.json").is_file() {
            skip(
                test,
                &format!("the npm package {package} is not installed; cargo xtask fetch brings it"),
            );
            return;
        }
    }
    let Some(node) = on_path(test, "node") else {
        return;
    };
    let mut command = Command::new(node);
    command.env("NODE_PATH", modules);
    script_with(&mut command, script, args);
}

/// Runs a Python script of `tests/clients/` that needs these modules, or skips the test; it must say that checks passed.
#[track_caller]
pub fn python(test: &str, modules: &[&str], script: &str, args: &[String]) {
    let python = peers_dir().join("python/bin/python");
    let import = format!("import {}", modules.join(", "));
    let there = Command::new(&python)
        .args(["-B", "-c", &import])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        skip(
            test,
            &format!(
                "the Python packages {} are not installed; cargo xtask fetch brings them",
                modules.join(", ")
            ),
        );
        return;
    }
    let mut command = Command::new(python);
    // No compiled files beside the sources.
    command.arg("-B").env("PYTHONDONTWRITEBYTECODE", "1");
    script_with(&mut command, script, args);
}

#[track_caller]
fn script_with(command: &mut Command, script: &str, args: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(script);
    let text = run(command.arg(path).args(args));
    assert!(text.contains("checks passed"), "{text}");
    // Some tell what they have measured.
    print!("{text}");
}
