//! A primary with a replica of its own kind: what the replica costs it, how far behind that is, and a copy of the data set under load.
//!
//! Both run beside the load generator, on the cores that there are. How Redpoll keeps up as a replica is measured with each server as
//! its primary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bench;
use super::client::Client;
use super::load;
use super::saving::{Figure, Folder, RATE, VALUE, figures, info, short};
use super::scenarios::Cores;
use super::servers::{Contender, Server};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A measurement: its name, and what it is.
pub const ALL: [(&str, &str); 4] = [
    (
        "replica/stream",
        "SETs in pipelines of 16 on a primary without and with a replica",
    ),
    (
        "replica/full-sync",
        "a replica is added to a primary with strings of 256 bytes under load",
    ),
    (
        "replica/keeps-up",
        "how far Redpoll as a replica is behind while SETs come in pipelines of 16 for a minute",
    ),
    (
        "replica/failover",
        "how long nobody can write when a replica takes over by FAILOVER",
    ),
];

/// How long a replica may take to get a copy, or what it is behind.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);

/// A primary, and a server that is to follow it.
struct Pair<'b> {
    bench: &'b Bench,
    primary: Server,
    replica: Server,
    /// What they write goes there.
    _folders: [Folder; 2],
}

/// Takes the figures of a measurement from a server.
pub fn measure(bench: &Bench, name: &str, contender: &Contender) -> Result<Vec<Figure>> {
    let ports = [bench.first_port, bench.first_port + 1];
    let folders = [Folder::new(ports[0])?, Folder::new(ports[1])?];
    let ours = (bench.contenders.iter())
        .find(|contender| contender.is_redpoll())
        .context("Redpoll is measured")?;
    let start = |at: usize| {
        let contender = match (name, at) {
            ("replica/keeps-up", 1) => ours,
            _ => contender,
        };
        let dir = folders[at].text();
        let args = [
            "--dir",
            &dir,
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ];
        Server::start_with(&bench.programs, contender, ports[at], Cores::All, &args)
    };
    let pair = Pair {
        bench,
        primary: start(0)?,
        replica: start(1)?,
        _folders: folders,
    };
    let rows = match name {
        "replica/stream" => pair.stream()?,
        "replica/keeps-up" => pair.keeps_up()?,
        "replica/failover" => pair.failover()?,
        _ => pair.full_sync()?,
    };
    Ok(figures(rows, contender))
}

impl Pair<'_> {
    /// Sends something to the primary, and returns the load generator's report on it.
    fn load(&self, args: &[&str]) -> Result<Value> {
        load::report(&self.bench.programs.redpoll, &self.primary, args)
    }

    /// Has the one follow the other; the time until its copy is in place.
    fn follow(&self) -> Result<f64> {
        let (mut client, port) = (Client::connect(&self.replica)?, self.primary.port());
        let began = Instant::now();
        client.call(&["REPLICAOF", "127.0.0.1", &port.to_string()])?;
        loop {
            // While it loads it may refuse to say.
            let text = client.text(&["INFO", "replication"]).unwrap_or_default();
            if text.contains("master_link_status:up") {
                return Ok(began.elapsed().as_secs_f64());
            }
            if began.elapsed() > PATIENCE {
                bail!("the replica has no link");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The time until the replica has what the primary has now.
    fn catch_up(&self) -> Result<f64> {
        let began = Instant::now();
        let offset = info(&mut Client::connect(&self.primary)?, "master_repl_offset")?;
        let mut client = Client::connect(&self.replica)?;
        while info(&mut client, "slave_repl_offset")? < offset {
            if began.elapsed() > PATIENCE {
                bail!("the replica does not catch up");
            }
            std::thread::sleep(LOOK);
        }
        Ok(began.elapsed().as_secs_f64())
    }

    fn stream(&self) -> Result<Vec<(String, f64)>> {
        let time = format!("{}ms", self.bench.settings.saving.as_millis());
        let mut args = vec!["--command", "SET {key} {value}", "--pipeline", "16"];
        args.extend(["--duration", &time, "--warmup", "300ms"]);
        let rounds = 0..self.bench.settings.rounds.min(3);
        let cpu = || -> Result<f64> {
            let report = self.load(&args)?;
            let cpu = report["run"]["servers"][0]["cpu_us_per_request"].as_f64();
            cpu.context("CPU time")
        };
        let alone = rounds.clone().map(|_| cpu()).collect::<Result<_>>()?;
        self.follow()?;
        let (mut followed, mut behind) = (Vec::new(), Vec::new());
        for _ in rounds {
            followed.push(cpu()?);
            behind.push(self.catch_up()?);
        }
        let title = "SET, pipelines of 16";
        let median = |values| load::median(values).unwrap_or_default();
        Ok(vec![
            (
                format!("{title}, no replica: server CPU (us)"),
                median(alone),
            ),
            (
                format!("{title}, a replica: server CPU (us)"),
                median(followed),
            ),
            (
                format!("{title}: until the replica has all (s)"),
                median(behind),
            ),
        ])
    }

    /// Bytes of the stream that the replica has not carried out yet.
    fn lag(&self) -> Result<f64> {
        let done = info(&mut Client::connect(&self.replica)?, "slave_repl_offset")?;
        let made = info(&mut Client::connect(&self.primary)?, "master_repl_offset")?;
        Ok((made - done).max(0.0))
    }

    fn keeps_up(&self) -> Result<Vec<(String, f64)>> {
        self.follow()?;
        let time = self.bench.settings.saving * 6;
        let duration = format!("{}ms", time.as_millis());
        let mut args = vec!["--command", "SET {key} {value}", "--pipeline", "16"];
        args.extend(["--duration", &duration, "--warmup", "300ms"]);
        let (mut halves, began) = ([0.0f64; 2], Instant::now());
        let rate = std::thread::scope(|scope| -> Result<f64> {
            let load = scope.spawn(|| self.load(&args));
            while !load.is_finished() {
                std::thread::sleep(Duration::from_millis(100));
                let half = usize::from(began.elapsed() > time / 2);
                halves[half] = halves[half].max(self.lag()?);
            }
            let report = load.join();
            let report = report.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            let rate = report["run"]["throughput"].as_f64();
            rate.context("a rate")
        })?;
        let behind = self.catch_up()?;
        let title = format!("SETs in pipelines of 16 for {} s", time.as_secs());
        Ok(vec![
            (format!("{title}: requests a second"), rate),
            (
                format!("{title}: Redpoll behind at most, first half (MB)"),
                halves[0] / 1e6,
            ),
            (format!("{title}: second half (MB)"), halves[1] / 1e6),
            (format!("{title}: until it has all (s)"), behind),
        ])
    }

    /// A client writes to whichever of the two takes it.
    fn failover(&self) -> Result<Vec<(String, f64)>> {
        let keys = self.bench.settings.saved_strings;
        let n = keys.to_string();
        self.load(&["--load", "--load-only", "--keys", &n, "--value-size", VALUE])?;
        self.follow()?;
        self.catch_up()?;
        let (stop, sides) = (AtomicBool::new(false), [&self.primary, &self.replica]);
        let longest = std::thread::scope(|scope| -> Result<Duration> {
            let writer = scope.spawn(|| -> Result<Duration> {
                let (mut at, mut longest) = (0, Duration::ZERO);
                let mut clients = [Client::connect(sides[0])?, Client::connect(sides[1])?];
                let mut last = Instant::now();
                while !stop.load(Relaxed) {
                    match clients[at].call(&["SET", "written", "now"]) {
                        Ok(()) => {
                            longest = longest.max(last.elapsed());
                            last = Instant::now();
                        }
                        // It is a replica now, or still, or has closed the connection.
                        Err(_) => {
                            at = 1 - at;
                            if let Ok(client) = Client::connect(sides[at]) {
                                clients[at] = client;
                            }
                        }
                    }
                    if last.elapsed() > PATIENCE {
                        bail!("nobody takes a write any more");
                    }
                }
                Ok(longest)
            });
            std::thread::sleep(Duration::from_millis(500));
            Client::connect(&self.primary)?.call(&["FAILOVER"])?;
            let mut new = Client::connect(&self.replica)?;
            let began = Instant::now();
            let turned = loop {
                let text = new.text(&["INFO", "replication"]).unwrap_or_default();
                if text.contains("role:master") || began.elapsed() > PATIENCE {
                    break text.contains("role:master");
                }
                std::thread::sleep(LOOK);
            };
            std::thread::sleep(Duration::from_millis(1500));
            stop.store(true, Relaxed);
            let longest = writer.join();
            let longest = longest.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            if !turned {
                bail!("the replica did not take over");
            }
            Ok(longest)
        })?;
        let title = format!("FAILOVER with {} strings of {VALUE} B", short(keys));
        Ok(vec![(
            format!("{title}: longest time without a write (ms)"),
            longest.as_secs_f64() * 1000.0,
        )])
    }

    fn full_sync(&self) -> Result<Vec<(String, f64)>> {
        let keys = self.bench.settings.saved_strings;
        let n = keys.to_string();
        let data = ["--keys", &n, "--value-size", VALUE];
        self.load(&[&["--load", "--load-only"], &data[..]].concat())?;
        let (rate, time) = (RATE.to_string(), self.bench.settings.saving.as_millis());
        let time = format!("{time}ms");
        let mut args = vec!["--command", "SET {key} {value}", "--rate", &rate];
        args.extend(["--duration", &time, "--warmup", "500ms"]);
        args.extend(data);
        let quiet = self.load(&args)?;
        let before = self.primary.usage()?.resident;
        let (busy, seconds, peak) = std::thread::scope(|scope| -> Result<_> {
            let load = scope.spawn(|| self.load(&args));
            std::thread::sleep(Duration::from_secs(1));
            let follows = scope.spawn(|| self.follow());
            let mut peak = before;
            while !follows.is_finished() {
                peak = peak.max(self.primary.usage()?.resident);
                std::thread::sleep(LOOK);
            }
            let panicked = |_| anyhow::anyhow!("a thread panicked");
            let seconds = follows.join().map_err(panicked)??;
            Ok((load.join().map_err(panicked)??, seconds, peak))
        })?;
        self.catch_up()?;
        let latency = |report: &Value, which: &str| {
            let us = report["run"]["latency_us"][which].as_f64();
            us.context("a latency").map(|us| us / 1000.0)
        };
        // What a peer's child made it copy is memory, too.
        let copied = info(&mut Client::connect(&self.primary)?, "rdb_last_cow_size");
        let extra = (peak.saturating_sub(before) as f64).max(copied.unwrap_or(0.0));
        let title = format!("a copy of {} strings of {VALUE} B", short(keys));
        Ok(vec![
            (format!("{title}: until the replica serves (s)"), seconds),
            (
                format!("{title}, before: p99.9 (ms)"),
                latency(&quiet, "p99.9")?,
            ),
            (
                format!("{title}, before: longest (ms)"),
                latency(&quiet, "max")?,
            ),
            (
                format!("{title}, meanwhile: p99.9 (ms)"),
                latency(&busy, "p99.9")?,
            ),
            (
                format!("{title}, meanwhile: longest (ms)"),
                latency(&busy, "max")?,
            ),
            (format!("{title}: extra memory (MB)"), extra / 1e6),
        ])
    }
}
