//! A primary with a replica of its own kind: what the replica costs it, how far behind that is, and a copy of the data set under load.
//!
//! Both run beside the load generator, on the cores that there are.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bench;
use super::client::Client;
use super::load;
use super::saving::{Figure, Folder, RATE, VALUE, figures, info, short};
use super::scenarios::Cores;
use super::servers::{Contender, Server};

/// A measurement: its name, and what it is.
pub const ALL: [(&str, &str); 2] = [
    (
        "replica/stream",
        "SETs in pipelines of 16 on a primary without and with a replica",
    ),
    (
        "replica/full-sync",
        "a replica is added to a primary with strings of 256 bytes under load",
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
    let start = |at: usize| {
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
        let longest = |report: &Value| {
            let us = report["run"]["latency_us"]["max"].as_f64();
            us.context("a latency").map(|us| us / 1000.0)
        };
        // What a peer's child made it copy is memory, too.
        let copied = info(&mut Client::connect(&self.primary)?, "rdb_last_cow_size");
        let extra = (peak.saturating_sub(before) as f64).max(copied.unwrap_or(0.0));
        let title = format!("a copy of {} strings of {VALUE} B", short(keys));
        Ok(vec![
            (format!("{title}: until the replica serves (s)"), seconds),
            (format!("{title}, before: longest (ms)"), longest(&quiet)?),
            (format!("{title}, meanwhile: longest (ms)"), longest(&busy)?),
            (format!("{title}: extra memory (MB)"), extra / 1e6),
        ])
    }
}
