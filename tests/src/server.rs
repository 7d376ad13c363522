//! Starting servers for a test: Redpoll or a real one, on a free port, in a folder of its own, gone when dropped.

use crate::client::Client;
use crate::peers::Peer;
use resp::Value;
use rustix::process::{Pid, Signal};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to answer its first PING, and to leave when told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct Server {
    child: Child,
    name: String,
    port: u16,
    dir: PathBuf,
}

impl Server {
    /// Redpoll with no setting but its port.
    pub fn redpoll() -> Server {
        Server::redpoll_with(&[])
    }

    /// Redpoll with more `--directive value` arguments.
    pub fn redpoll_with(args: &[&str]) -> Server {
        Server::start("redpoll", redpoll_binary(), None, args)
    }

    /// The same, but it may still be loading its data set.
    pub fn redpoll_at_once(args: &[&str]) -> Server {
        Server::start_until("redpoll", redpoll_binary(), None, args, |_| true)
    }

    /// Redpoll with a configuration file of this text, in its working directory, and more arguments.
    pub fn redpoll_with_file(text: &str, args: &[&str]) -> Server {
        Server::start("redpoll", redpoll_binary(), Some(text), args)
    }

    /// A real server with more arguments.
    pub fn peer(peer: &Peer, args: &[&str]) -> Server {
        Server::start(
            &format!("{} {}", peer.name, peer.version),
            &peer.path,
            None,
            args,
        )
    }

    /// The same with a configuration file of this text.
    pub fn peer_with_file(peer: &Peer, text: &str, args: &[&str]) -> Server {
        let name = format!("{} {}", peer.name, peer.version);
        Server::start(&name, &peer.path, Some(text), args)
    }

    /// Redpoll on a port where a server was before.
    pub fn redpoll_on(port: u16, args: &[&str]) -> Server {
        Server::start_on(port, "redpoll", redpoll_binary(), args)
    }

    /// A real server on a port where one was before.
    pub fn peer_on(port: u16, peer: &Peer, args: &[&str]) -> Server {
        let name = format!("{} {}", peer.name, peer.version);
        Server::start_on(port, &name, &peer.path, args)
    }

    fn start_on(port: u16, name: &str, binary: &Path, args: &[&str]) -> Server {
        let mut server = Server::spawn(name, binary, None, port, args);
        match server.wait_until_ready(|_| true) {
            Ok(()) => server,
            Err(log) => panic!("{name} did not start again on port {port}; its log ends:\n{log}"),
        }
    }

    /// A real server's Sentinel with this configuration.
    pub fn sentinel(peer: &Peer, configuration: &str) -> Server {
        let name = format!("{} {} sentinel", peer.name, peer.version);
        Server::start(&name, &peer.path, Some(configuration), &["--sentinel"])
    }

    fn start(name: &str, binary: &Path, file: Option<&str>, args: &[&str]) -> Server {
        // Any other reply will do: a server with a password answers NOAUTH.
        let is_loaded =
            |reply: &Value| !matches!(reply, Value::Error(text) if text.starts_with("LOADING"));
        Server::start_until(name, binary, file, args, is_loaded)
    }

    fn start_until(
        name: &str,
        binary: &Path,
        file: Option<&str>,
        args: &[&str],
        is_ready: fn(&Value) -> bool,
    ) -> Server {
        // Between choosing a free port and the server's bind another process may take it: try again then.
        for _ in 0..8 {
            let mut server = Server::spawn(name, binary, file, free_port(), args);
            match server.wait_until_ready(is_ready) {
                Ok(()) => return server,
                Err(log) if log.contains("in use") => continue,
                Err(log) => panic!("{name} did not start; its log ends:\n{log}"),
            }
        }
        panic!("{name}: every port that was tried is in use");
    }

    fn spawn(name: &str, binary: &Path, file: Option<&str>, port: u16, args: &[&str]) -> Server {
        let dir = fresh_dir();
        let mut command = Command::new(binary);
        if let Some(text) = file {
            std::fs::write(dir.join("redis.conf"), text).expect("a file can be written");
            command.arg("redis.conf");
        }
        let log = std::fs::File::create(dir.join("log")).expect("a log file can be created");
        let child = command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(args)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        Server {
            child,
            name: name.to_owned(),
            port,
            dir,
        }
    }

    fn wait_until_ready(&mut self, is_ready: fn(&Value) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(self.log_tail());
            }
            if let Ok(mut client) = Client::try_connect(self.addr())
                && client
                    .try_call(&["PING"])
                    .is_ok_and(|reply| is_ready(&reply))
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        Err(format!(
            "no reply to PING in {PATIENCE:?}\n{}",
            self.log_tail()
        ))
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it is, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its working directory, removed with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory resident now.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most bytes of memory that were ever resident.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Bytes of files, of the program's own above all, that are resident now.
    pub fn resident_file_bytes(&self) -> u64 {
        self.status_bytes("RssFile:")
    }

    /// Bytes of address space in use now, touched or not.
    pub fn mapped_bytes(&self) -> u64 {
        self.status_bytes("VmSize:")
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("/proc tells about a child");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line
            .and_then(|line| line.split_whitespace().next())
            .and_then(|n| n.parse::<u64>().ok());
        kib.expect("/proc/PID/status has sizes in kB") * 1024
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child has a pid");
        rustix::process::kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits until it has left by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
            .unwrap_or_else(|| panic!("{} did not leave in {PATIENCE:?}", self.name))
    }

    /// All that it wrote to its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("log")).unwrap_or_default())
            .into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- {} on port {}, end of its log:\n{}",
                self.name,
                self.port,
                self.log_tail()
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A run of a program that ended by itself, such as a server with a bad flag.
pub struct Run {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs `redpoll` with these arguments in a folder of these files until it ends; panics if it goes on for long.
#[track_caller]
pub fn run_redpoll(args: &[&str], files: &[(&str, &str)]) -> Run {
    let dir = fresh_dir();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).expect("a file can be written");
    }
    let create =
        |name: &str| std::fs::File::create(dir.join(name)).expect("a log file can be created");
    let mut child = Command::new(redpoll_binary())
        .args(args)
        .current_dir(&dir)
        .stdin(Stdio::null())
        .stdout(create("stdout"))
        .stderr(create("stderr"))
        .spawn()
        .expect("redpoll can be started");
    let status = wait(&mut child);
    let _ = child.kill();
    let _ = child.wait();
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    let (stdout, stderr) = (read("stdout"), read("stderr"));
    let _ = std::fs::remove_dir_all(&dir);
    match status {
        Some(status) => Run {
            status,
            stdout,
            stderr,
        },
        None => panic!("redpoll {args:?} goes on instead of ending; it wrote:\n{stdout}{stderr}"),
    }
}

/// Calls `condition` until it holds; panics if it does not within the time that a server may take for anything.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "still not so after {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    None
}

/// A TCP port of the loopback that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener
        .local_addr()
        .expect("a listener has an address")
        .port()
}

/// An empty folder under the system's temporary directory.
pub fn fresh_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("redpoll-tests-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        match std::fs::create_dir(&dir) {
            Ok(()) => return dir,
            // Left behind by a test of the same process id that was killed: with files that nobody expects here.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("a temporary folder cannot be created: {error}"),
        }
    }
}

/// A folder of its own that is removed in the end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Folder {
        Folder(fresh_dir())
    }

    /// Its path.
    pub fn text(&self) -> &str {
        self.0.to_str().expect("a path that is text")
    }

    /// Another one with all that is in this.
    pub fn copy(&self) -> Folder {
        let copy = Folder::new();
        copy_all(&self.0, &copy.0);
        copy
    }
}

impl Default for Folder {
    fn default() -> Folder {
        Folder::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("a copy");
        }
    }
}

/// The server under test: `REDPOLL_BIN`, or the debug build, brought up to date once a test program.
///
/// `REDPOLL_BIN` may name a real server: the harness itself is tested that way.
pub fn redpoll_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("REDPOLL_BIN") {
            return PathBuf::from(path);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // What cargo has told this program about itself is nothing to tell the build: scripts of dependencies look at it, and
        // would be run anew each time.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"]
                .iter()
                .any(|about| text.starts_with(about))
            {
                build.env_remove(name);
            }
        }
        let built = build
            .args([
                "build",
                "--quiet",
                "--package",
                "redpoll-cli",
                "--bin",
                "redpoll",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the server does not build"
        );
        // This test program is target/PROFILE/deps/NAME; the server is target/debug/redpoll.
        let program = std::env::current_exe().expect("a program knows its path");
        let target = program
            .ancestors()
            .nth(3)
            .expect("a test program lies in a target directory");
        target.join("debug/redpoll")
    })
}
