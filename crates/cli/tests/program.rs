//! The program `redpoll` as a shell sees it: flags, files, exit status, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

fn redpoll(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redpoll"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    redpoll(args).output().unwrap()
}

/// The one line on standard error of a run that fails.
fn failure(args: &[&str]) -> String {
    let output = run(args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("redpoll-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A running program that is killed when the test fails.
struct Running(Child);

impl Running {
    /// Starts the program and waits until it says that it serves.
    fn start(args: &[&str]) -> Running {
        let mut running = Running(redpoll(args).spawn().unwrap());
        let mut lines = BufReader::new(running.0.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Ready to accept connections") {
            line.clear();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "it ended without serving"
            );
        }
        running.0.stdout = Some(lines.into_inner());
        running
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn status(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.0.kill();
    }
}

fn set(mut stream: impl Read + Write) {
    stream.write_all(b"SET k v\r\n").unwrap();
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+OK\r\n");
}

#[test]
fn a_mistake_is_one_line_and_status_1() {
    assert_eq!(
        failure(&["--port", "abc"]),
        "redpoll: command line: 'port \"abc\"': argument couldn't be parsed into an integer"
    );
    assert_eq!(
        failure(&["--no-such-thing", "1"]),
        "redpoll: command line: 'no-such-thing \"1\"': Bad directive or wrong number of arguments"
    );
    assert!(failure(&["--prot", "1"]).ends_with("; is 'port' meant?"));
    assert!(failure(&["--mptcp", "yes"]).contains("is not built yet"));
    assert!(failure(&["/no/such/file.conf"]).ends_with("No such file or directory"));
    for (name, path) in [("dir", "/no/such/dir"), ("logfile", "/no/such/dir/log")] {
        assert_eq!(
            failure(&[&format!("--{name}"), path]),
            format!("redpoll: {name} '{path}': No such file or directory")
        );
    }
    assert!(failure(&["--port", "0", "--save", ""]).contains("nowhere to listen"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    // The log says that it starts; the reason why it does not is on standard error alone.
    assert_eq!(
        failure(&["--bind", "127.0.0.1", "--port", &port, "--save", ""]),
        format!("redpoll: cannot listen on 127.0.0.1:{port}: Address already in use")
    );
}

#[test]
fn help_and_version_are_asked_for_as_of_redis_server() {
    for flag in ["--help", "-h"] {
        let output = run(&[flag]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("--directive value"),
            "{text}"
        );
        assert!(text.contains("  maxclients 10000\n"), "{text}");
        let some = String::from_utf8(run(&[flag, "MaxClients"]).stdout).unwrap();
        assert!(some.starts_with("  maxclients 10000\n"), "{some}");
        assert!(!some.contains("  port "), "{some}");
        assert!(failure(&[flag, "no-such"]).contains("no directive has 'no-such' in its name"));
    }
    // Whoever reads it may have seen enough: here nobody reads it at all.
    let (reader, nobody) = std::io::pipe().unwrap();
    drop(reader);
    let output = redpoll(&["--help"]).stdout(nobody).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for flag in ["--version", "-v"] {
        let text = String::from_utf8(run(&[flag]).stdout).unwrap();
        assert!(
            text.starts_with(&format!(
                "Redpoll server v={} redpoll={} ",
                engine::REDIS_VERSION,
                env!("CARGO_PKG_VERSION")
            )),
            "{text}"
        );
    }
}

#[test]
fn signals_end_it_with_status_0_and_nothing_left_behind() {
    for signal in ["-TERM", "-INT"] {
        let dir = scratch(&format!("signal{signal}"));
        let (socket, pid) = (dir.join("socket"), dir.join("pid"));
        let port = free_port();
        let mut running = Running::start(&[
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "-::1",
            "--dir",
            dir.to_str().unwrap(),
            // Saving leaves a snapshot behind, and the lock's file.
            "--save",
            "",
            "--unixsocket",
            "socket",
            "--unixsocketperm",
            "700",
            "--pidfile",
            "pid",
        ]);
        set(TcpStream::connect(format!("127.0.0.1:{port}")).unwrap());
        while !pid.exists() {
            std::thread::yield_now();
        }
        set(UnixStream::connect(&socket).unwrap());
        assert_eq!(
            std::fs::read_to_string(&pid).unwrap(),
            format!("{}\n", running.0.id())
        );
        running.signal(signal);
        assert_eq!(running.status(), Some(0));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        std::fs::remove_dir(dir).unwrap();
    }
}

#[test]
fn standard_input_and_a_file_configure_it() {
    let dir = scratch("config");
    let (file, log, port) = (dir.join("redpoll.conf"), dir.join("log"), free_port());
    std::fs::write(
        &file,
        format!(
            "port 1\nbind 127.0.0.1\nsave \"\"\nlogfile {}\n",
            log.display()
        ),
    )
    .unwrap();
    let mut command = redpoll(&[file.to_str().unwrap(), "-"]);
    let mut running = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut stdin = running.0.stdin.take().unwrap();
    stdin
        .write_all(format!("# the port\nport {port}\n").as_bytes())
        .unwrap();
    drop(stdin);
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Ready to accept")) {
        assert!(
            running.0.try_wait().unwrap().is_none(),
            "it ended without serving"
        );
        std::thread::yield_now();
    }
    set(TcpStream::connect(format!("127.0.0.1:{port}")).unwrap());
    running.signal("-TERM");
    assert_eq!(running.status(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        text.contains(":M ") && text.contains(" * Received SIGTERM, stopping\n"),
        "{text}"
    );
    std::fs::remove_dir_all(dir).unwrap();
}
