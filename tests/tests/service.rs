//! The server as a service: in the background, under a supervisor, told by signals to leave, and as other programs of the system see it.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::server::{free_port, fresh_dir, redpoll_binary, run_redpoll};
use redpoll_tests::{Client, Server, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A process in the background that a test has started, killed when the test is over.
struct Background {
    pid: Pid,
    dir: PathBuf,
}

impl Background {
    fn of(dir: &Path) -> Background {
        let pid = std::fs::read_to_string(dir.join("pid")).expect("the pid file is there");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        Background {
            pid: pid.expect("the pid file holds a number"),
            dir: dir.to_owned(),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has ended by itself if all went well.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// `daemonize`: the program returns when the server listens; that one has a session of its own, a pid file and a log.
#[test]
fn in_the_background() {
    let dir = fresh_dir();
    let mut started = None;
    // Another process may take the port between its choice and its use.
    for _ in 0..8 {
        let port = free_port();
        let status = Command::new(redpoll_binary())
            .args([
                "--daemonize",
                "yes",
                "--port",
                &port.to_string(),
                "--save",
                "",
            ])
            .args([
                "--pidfile",
                "pid",
                "--logfile",
                "log",
                "--bind",
                "127.0.0.1",
            ])
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("redpoll can be started");
        if status.success() {
            started = Some(port);
            break;
        }
    }
    let port = started.expect("it starts on one of the ports");
    let background = Background::of(&dir);
    // It listened before the program returned, and may say for a moment that it is loading.
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    eventually("it has loaded", || show(&client.run("PING")) == "PONG");
    let pid = background.pid.as_raw_nonzero().get();
    let info = show(&client.run("INFO server"));
    assert!(info.contains(&format!("process_id:{pid}\\r")), "{info}");
    // pid (name) state parent group session
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(fields[3], pid.to_string(), "it leads its session: {stat}");
    check(&mut client, "SET k v", "OK");
    let _ = client.try_call(&["SHUTDOWN", "NOSAVE"]);
    eventually("it has left and taken its pid file along", || {
        !dir.join("pid").exists()
    });
    let log = std::fs::read_to_string(dir.join("log")).unwrap();
    assert!(log.contains("Ready to accept connections tcp"), "{log}");
}

/// What keeps a server from starting is told by the program that was to start it, also if it was to go on in the background.
#[test]
fn in_the_background_mistakes_are_told_by_who_starts_it() {
    let taken = Server::redpoll();
    let port = taken.port().to_string();
    let run = run_redpoll(
        &[
            "--daemonize",
            "yes",
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--pidfile",
            "pid",
        ],
        &[],
    );
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains(&port), "{}", run.stderr);
}

/// systemd is told when the data set is loaded and when the server begins to stop.
#[test]
fn under_systemd() {
    let dir = fresh_dir();
    let socket = UnixDatagram::bind(dir.join("notify")).expect("a socket can be bound");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let next = || {
        let mut bytes = [0; 500];
        let n = socket.recv(&mut bytes).expect("a notice comes");
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    };
    let port = free_port();
    let mut child = Command::new(redpoll_binary())
        .args([
            "--supervised",
            "auto",
            "--port",
            &port.to_string(),
            "--save",
            "",
        ])
        // Without effect: who supervises wants to keep its child.
        .args(["--daemonize", "yes"])
        .env("NOTIFY_SOCKET", dir.join("notify"))
        .current_dir(&dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redpoll can be started");
    assert!(next().starts_with("STATUS=Loading"));
    assert_eq!(next(), "STATUS=Ready to accept connections\nREADY=1\n");
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert!(show(&client.run("INFO server")).contains("process_supervised:systemd\\r"));
    let _ = client.try_call(&["SHUTDOWN"]);
    assert!(next().contains("STOPPING=1"));
    assert!(child.wait().unwrap().success());
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn a_supervisor_that_is_not_there_is_one_clear_line() {
    for (name, variable) in [("systemd", "NOTIFY_SOCKET"), ("upstart", "UPSTART_JOB")] {
        if std::env::var_os(variable).is_some() {
            continue;
        }
        let run = run_redpoll(&["--supervised", name, "--port", "0"], &[]);
        assert_eq!(run.status.code(), Some(1));
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(variable), "{}", run.stderr);
    }
}

/// A signal saves as SHUTDOWN does: a server that has to and cannot goes on, unless it is to leave by force or without saving.
#[test]
fn signals_do_what_their_directives_say() {
    let dump = |server: &Server| server.dir().join("dump.rdb");
    // With save points, by default.
    let mut server = Server::redpoll_with(&["--save", "3600 1000"]);
    check(&mut server.connect(), "SET k v", "OK");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(dump(&server).is_file());

    let mut server =
        Server::redpoll_with(&["--shutdown-on-sigint", "nosave now", "--save", "3600 1000"]);
    check(&mut server.connect(), "SET k v", "OK");
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!dump(&server).exists());

    // Without save points, where it is asked for.
    let mut server = Server::redpoll_with(&["--shutdown-on-sigterm", "save"]);
    let mut client = server.connect();
    check(&mut client, "SET k v", "OK");
    // Nothing can take the place of a folder.
    std::fs::create_dir(dump(&server)).unwrap();
    server.signal(Signal::TERM);
    eventually("it says that it goes on", || {
        server
            .log()
            .contains("cannot be saved, so the server goes on")
    });
    check(&mut client, "GET k", "\"v\"");
    std::fs::remove_dir(dump(&server)).unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(dump(&server).is_file());

    let mut server = Server::redpoll_with(&[]);
    check_args(
        &mut server.connect(),
        &["CONFIG", "SET", "shutdown-on-sigint", "save force"],
        "OK",
    );
    std::fs::create_dir(dump(&server)).unwrap();
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
}

/// A snapshot that is being written in the background keeps nobody from stopping: it is given up, and what there is by then is saved.
#[test]
fn a_stop_does_not_wait_for_a_background_save() {
    for by_signal in [true, false] {
        let mut server = Server::redpoll_with(&["--save", "3600 1000"]);
        let mut client = server.connect();
        check(&mut client, "SET k before", "OK");
        let delay = |client: &mut Client, micros: &str| {
            let set = format!("CONFIG SET rdb-key-save-delay {micros}");
            check(client, &set, "OK");
        };
        delay(&mut client, "1000000000");
        check(&mut client, "BGSAVE", "Background saving started");
        eventually("the save looks at the delay", || {
            let info = show(&client.run("INFO persistence"));
            info.contains("rdb_bgsave_in_progress:1")
                && !info.contains("current_save_keys_processed:0")
        });
        delay(&mut client, "0");
        check(&mut client, "SET k after", "OK");
        if by_signal {
            server.signal(Signal::TERM);
        } else {
            // Its client does not wait for what comes of it, as Perl's does not.
            client.send(&["SHUTDOWN"]);
            drop(client);
        }
        assert_eq!(server.wait().code(), Some(0), "by signal: {by_signal}");
        let log = server.log();
        assert!(log.contains("given up"), "by signal: {by_signal}\n{log}");
        let snapshot = std::fs::read(server.dir().join("dump.rdb")).unwrap();
        assert!(snapshot.windows(5).any(|bytes| bytes == b"after"));
    }
}

/// What `ps` shows, and how readily the kernel may end the process.
#[test]
fn as_the_system_sees_it() {
    let server = Server::redpoll_with(&["--oom-score-adj", "relative"]);
    let mut client = server.connect();
    let proc = |name: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{name}", server.pid())).unwrap();
        String::from_utf8_lossy(&bytes)
            .trim_end_matches('\0')
            .trim()
            .to_owned()
    };
    let shown = format!(" 127.0.0.1:{}", server.port());
    assert!(proc("cmdline").ends_with(&shown), "{}", proc("cmdline"));
    let long = format!("{{title}} {} {{port}}", "x".repeat(60));
    check_args(
        &mut client,
        &["CONFIG", "SET", "proc-title-template", &long],
        "OK",
    );
    assert!(
        proc("cmdline").ends_with(&format!("{} {}", "x".repeat(60), server.port())),
        "{}",
        proc("cmdline")
    );
    check_args(
        &mut client,
        &["CONFIG", "SET", "proc-title-template", "{nosuch}"],
        "-ERR CONFIG SET failed (possibly related to argument 'proc-title-template') - template format is invalid or \
         contains unknown variables",
    );
    let base: i32 = proc("oom_score_adj").parse().unwrap();
    for (values, change) in [("100 1 1", 100), ("250 1 1", 250), ("0 1 1", 0)] {
        if base + change > 1000 {
            continue;
        }
        check_args(
            &mut client,
            &["CONFIG", "SET", "oom-score-adj-values", values],
            "OK",
        );
        assert_eq!(proc("oom_score_adj"), (base + change).to_string());
    }
    // A replica has its own, and one that is not told keeps what others have set.
    let score = || proc("oom_score_adj").parse::<i32>().unwrap();
    let mut set = |name: &str, value: &str| {
        check_args(&mut client, &["CONFIG", "SET", name, value], "OK");
    };
    if base + 60 <= 1000 {
        set("oom-score-adj-values", "10 20 30");
        check(&mut server.connect(), "REPLICAOF 127.0.0.1 1", "OK");
        assert_eq!(score(), base + 20);
        check(&mut server.connect(), "REPLICAOF NO ONE", "OK");
        assert_eq!(score(), base + 10);
        set("oom-score-adj", "no");
        assert_eq!(score(), base);
        std::fs::write(
            format!("/proc/{}/oom_score_adj", server.pid()),
            (base + 5).to_string(),
        )
        .unwrap();
        set("oom-score-adj-values", "50 1 1");
        assert_eq!(score(), base + 5);
        set("oom-score-adj", "yes");
        assert_eq!(score(), base + 55);
    }
    check_args(
        &mut client,
        &["CONFIG", "SET", "oom-score-adj-values", "1 2"],
        "-ERR CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - wrong number of arguments",
    );
}

/// Valkey's words for a stop are about clusters: a server that is in none stops as without them.
#[test]
fn words_for_a_stop_that_are_about_clusters() {
    let mut server = Server::redpoll_with(&["--shutdown-on-sigterm", "safe failover nosave"]);
    let mut client = server.connect();
    check(&mut client, "SET k v", "OK");
    check_args(
        &mut client,
        &["CONFIG", "SET", "shutdown-on-sigint", "safe"],
        "OK",
    );
    check(
        &mut client,
        "CONFIG GET shutdown-on-sigint",
        "[\"shutdown-on-sigint\", \"safe\"]",
    );
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(!server.dir().join("dump.rdb").exists());
}

/// Its threads run on the processors that it was given.
#[test]
fn on_chosen_processors() {
    let server = Server::redpoll_with(&["--server-cpulist", "0"]);
    check(&mut server.connect(), "PING", "PONG");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    for task in tasks {
        let status = std::fs::read_to_string(task.unwrap().path().join("status"));
        // A thread may have ended meanwhile.
        let Ok(status) = status else { continue };
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        assert_eq!(list.map(str::trim), Some("0"));
    }
    let run = run_redpoll(&["--server-cpulist", "a-b"], &[]);
    assert!(run.stderr.contains("server-cpulist"), "{}", run.stderr);
}

/// The threads behind commands run on those that they were given, while the others stay where they are.
#[test]
fn background_threads_on_chosen_processors() {
    let server = Server::redpoll_with(&["--bio-cpulist", "0", "--appendonly", "yes"]);
    check(&mut server.connect(), "PING", "PONG");
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let mut found = Vec::new();
        for task in tasks.flatten() {
            // A thread may have ended meanwhile.
            let Ok(status) = std::fs::read_to_string(task.path().join("status")) else {
                continue;
            };
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            found.push((field("Name:"), field("Cpus_allowed_list:")));
        }
        found
    };
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = all
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap()
        .trim();
    eventually("they are where they belong", || {
        let threads = threads();
        let on = |name: &str| {
            let thread = threads.iter().find(|(known, _)| known == name);
            thread.map(|(_, cpus)| cpus.clone())
        };
        ["reclaim", "redpoll-log", "keeper"]
            .iter()
            .all(|name| on(name).as_deref() == Some("0"))
            && on("control").as_deref() == Some(all)
    });
    let run = run_redpoll(&["--bio-cpulist", "9-1"], &[]);
    assert!(run.stderr.contains("bio-cpulist"), "{}", run.stderr);
}

/// Log lines take another form while the server runs.
#[test]
fn forms_of_log_lines() {
    let server = Server::redpoll_with(&[
        "--log-format",
        "logfmt",
        "--log-timestamp-format",
        "milliseconds",
    ]);
    let mut client = server.connect();
    let ready = "level=notice message=\"Ready to accept connections tcp\"";
    assert!(server.log().contains(ready), "{}", server.log());
    assert!(
        server
            .log()
            .contains(&format!("pid={} role=primary timestamp=\"1", server.pid()))
    );
    check(
        &mut client,
        "CONFIG SET log-format legacy log-timestamp-format legacy",
        "OK",
    );
    check(&mut client, "CONFIG SET hz 50", "OK");
    eventually("the next line has the usual form", || {
        server.log().contains(" * hz changes nothing")
    });
}

/// What the packages install as the configuration starts a server, once its folders are others.
#[test]
fn the_packaged_configuration() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let text = std::fs::read_to_string(packaging.join("redpoll.conf")).unwrap();
    let mut changed = String::new();
    for line in text.lines() {
        // Those that the tests' server is told on its command line win.
        let line = match line.split(' ').next() {
            Some("dir") => "dir .",
            Some("logfile") => "logfile \"\"",
            Some("unixsocket") => "unixsocket redpoll.sock",
            _ => line,
        };
        changed.push_str(line);
        changed.push('\n');
    }
    let server = Server::redpoll_with_file(&changed, &[]);
    check(&mut server.connect(), "PING", "PONG");
    let mut client = Client::connect_unix(&server.dir().join("redpoll.sock")).unwrap();
    check(&mut client, "PING", "PONG");
}
