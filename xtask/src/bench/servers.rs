//! The servers that are compared: how each is started, on which cores, and that it is gone afterwards.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Programs;
use super::process::{self, Usage};
use super::scenarios::{Contenders, Cores, Scenario};
use crate::peers::Peer;

/// One column of the comparison.
#[derive(Clone)]
pub struct Contender {
    /// Name in the report.
    pub label: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// With a thread for each core it may use, or with a single one.
    Redpoll { one_thread: bool },
    /// A peer as it comes, with this many I/O threads if it is given any.
    Peer {
        path: PathBuf,
        io_threads: Option<usize>,
    },
    /// The bare Tokio server with its reply: a bulk string of so many bytes, or +OK.
    Echo { reply_size: Option<usize> },
}

impl Contender {
    /// Redpoll, the peers, and the newest Valkey once more with I/O threads where cores are shared.
    pub fn all(peers: &[Peer]) -> Vec<Contender> {
        let mut all = vec![Contender {
            label: "Redpoll".to_string(),
            kind: Kind::Redpoll { one_thread: false },
        }];
        if cpus() > 1 {
            all.push(Contender {
                label: ONE_THREAD.to_string(),
                kind: Kind::Redpoll { one_thread: true },
            });
        }
        for peer in peers {
            all.push(Contender {
                label: label(peer),
                kind: Kind::Peer {
                    path: peer.path.clone(),
                    io_threads: None,
                },
            });
        }
        if let Some(valkey) = newest_valkey(peers) {
            let threads = cpus();
            all.push(Contender {
                label: format!("{}, {threads} io-threads", label(valkey)),
                kind: Kind::Peer {
                    path: valkey.path.clone(),
                    io_threads: Some(threads),
                },
            });
        }
        for reply_size in [Some(super::scenarios::VALUE_SIZE), None] {
            all.push(Contender {
                label: ECHO.to_string(),
                kind: Kind::Echo { reply_size },
            });
        }
        all
    }

    /// Whether this server is measured under `scenario`.
    pub fn takes_part(&self, scenario: &Scenario) -> bool {
        match self.kind {
            Kind::Redpoll { one_thread: false } => true,
            Kind::Redpoll { one_thread: true } => {
                scenario.contenders == Contenders::AllAndOneThread
            }
            Kind::Peer { .. } if scenario.contenders == Contenders::RedpollAlone => false,
            Kind::Peer {
                io_threads: None, ..
            } => true,
            Kind::Peer {
                io_threads: Some(_),
                ..
            } => scenario.cores == Cores::All,
            Kind::Echo { reply_size } => scenario.echo == Some(reply_size),
        }
    }

    /// Whether it keeps what it is given.
    pub fn stores(&self) -> bool {
        !matches!(self.kind, Kind::Echo { .. })
    }

    /// Whether it is Redpoll.
    pub fn is_redpoll(&self) -> bool {
        matches!(self.kind, Kind::Redpoll { one_thread: false })
    }

    /// Whether it is Redpoll or a peer as it comes.
    pub fn is_peer_or_redpoll(&self) -> bool {
        matches!(
            self.kind,
            Kind::Redpoll { one_thread: false }
                | Kind::Peer {
                    io_threads: None,
                    ..
                }
        )
    }

    fn command(&self, programs: &Programs, port: u16, cores: Cores) -> Result<Command> {
        let port = port.to_string();
        let mut command;
        match &self.kind {
            Kind::Redpoll { one_thread } => {
                let threads = match cores {
                    Cores::All if !one_thread => cpus(),
                    Cores::All | Cores::OnePinned => 1,
                };
                command = Command::new(&programs.redpoll);
                command.args(["--port", &port, "--bind", "127.0.0.1"]);
                // As of the peers: a save point that comes while something is measured would count as its cost.
                command.args(["--save", "", "--appendonly", "no"]);
                command.args(["--threads", &threads.to_string()]);
                command.args(["--maxclients", MAX_CLIENTS, "--loglevel", "warning"]);
            }
            Kind::Peer { path, io_threads } => {
                command = Command::new(path);
                command.args(["--port", &port, "--bind", "127.0.0.1"]);
                command.args(["--save", "", "--appendonly", "no"]);
                command.args(["--maxclients", MAX_CLIENTS, "--loglevel", "warning"]);
                if let Some(threads) = io_threads {
                    command.args(["--io-threads", &threads.to_string()]);
                }
            }
            Kind::Echo { reply_size } => {
                let echo = programs.echo.as_ref().context("echo was not built")?;
                command = Command::new(echo);
                command.args(["--port", &port]);
                if let Some(size) = reply_size {
                    command.args(["--reply-size", &size.to_string()]);
                }
            }
        }
        Ok(command)
    }
}

/// Label of Redpoll with a single thread where it may use all cores.
pub const ONE_THREAD: &str = "Redpoll, 1 thread";

/// Label of the bare Tokio server.
pub const ECHO: &str = "bare Tokio echo";

/// Connections every server accepts: more than the idle ones that are opened.
const MAX_CLIENTS: &str = "12000";

fn label(peer: &Peer) -> String {
    let name = match peer.name.as_str() {
        "redis" => "Redis",
        "valkey" => "Valkey",
        other => other,
    };
    format!("{name} {}", peer.version)
}

/// Peers come oldest first.
fn newest_valkey(peers: &[Peer]) -> Option<&Peer> {
    peers.iter().rfind(|peer| peer.name == "valkey")
}

/// How long a server may take to answer its first PING.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for one that loads files.
const LOADING: Duration = Duration::from_secs(300);

/// A server that runs until this is dropped.
pub struct Server {
    child: Child,
    port: u16,
    /// Where it runs; goes away with it.
    folder: std::path::PathBuf,
}

impl Server {
    /// Starts `contender` and waits until it answers.
    pub fn start(
        programs: &Programs,
        contender: &Contender,
        port: u16,
        cores: Cores,
    ) -> Result<Server> {
        Server::start_with(programs, contender, port, cores, &[])
    }

    /// The same with further arguments; what there is to be loaded is loaded when it returns.
    pub fn start_with(
        programs: &Programs,
        contender: &Contender,
        port: u16,
        cores: Cores,
        args: &[&str],
    ) -> Result<Server> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect(address).is_ok() {
            bail!("something else listens on port {port}; --first-port chooses other ports");
        }
        let mut command = contender.command(programs, port, cores)?;
        // One of its own: a file that another server has left would be loaded.
        let folder = std::env::temp_dir().join(format!(
            "redpoll-bench-{}-server-{port}",
            std::process::id()
        ));
        std::fs::create_dir_all(&folder)?;
        command
            .args(args)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = match cores {
            Cores::OnePinned => on_cpu(0, || command.spawn()),
            Cores::All => command.spawn(),
        }?;
        let mut server = Server {
            child,
            port,
            folder,
        };
        let patience = if args.is_empty() { PATIENCE } else { LOADING };
        let give_up = Instant::now() + patience;
        while !server.answers(contender.stores()) {
            if let Some(status) = server.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if Instant::now() > give_up {
                bail!("it does not answer within {} s", patience.as_secs());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(server)
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time and resident memory of the process so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.pid()).map_err(anyhow::Error::msg)
    }

    /// Opens a connection.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Whether it accepts a connection and, if it understands commands, answers PING with PONG.
    fn answers(&self, understands: bool) -> bool {
        match self.connect() {
            Ok(mut stream) => !understands || ping(&mut stream).is_ok(),
            Err(_) => false,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing worth keeping. Failing to end it means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sends PING and expects PONG.
pub fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    if &reply == b"+PONG\r\n" {
        Ok(())
    } else {
        let reply = String::from_utf8_lossy(&reply).into_owned();
        Err(io::Error::other(format!("PING was answered with {reply}")))
    }
}

/// Cores this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `start` while this thread is bound to core `cpu`: a process started there inherits the binding. Where cores
/// cannot be chosen, the process runs wherever it likes.
#[cfg(target_os = "linux")]
pub fn on_cpu<T>(cpu: usize, start: impl FnOnce() -> T) -> T {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let before = sched_getaffinity(None);
    let mut only = CpuSet::new();
    only.set(cpu);
    if let Err(why) = sched_setaffinity(None, &only) {
        eprintln!("cannot bind to core {cpu}: {why}");
    }
    let outcome = start();
    if let Ok(before) = before {
        // It was in force a moment ago.
        let _ = sched_setaffinity(None, &before);
    }
    outcome
}

/// Runs `start`; cores cannot be chosen on this system.
#[cfg(not(target_os = "linux"))]
pub fn on_cpu<T>(_cpu: usize, start: impl FnOnce() -> T) -> T {
    start()
}
