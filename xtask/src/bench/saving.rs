//! Files of data: what saving costs those who are served meanwhile, and how fast files are written and loaded. What a log costs
//! is in `log`.
//!
//! Each server runs alone, with a folder of its own. The load comes at a fixed rate, far below what any of the servers can do,
//! so that a latency counts from when a request was due and a stall shows in all the requests it delays.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bench;
use super::client::Client;
use super::load;
use super::scenarios::Cores;
use super::servers::{Contender, Server};

/// A measurement: its name, and what it is.
pub const ALL: [(&str, &str); 3] = [
    (
        "saving/strings",
        "BGSAVE and BGREWRITEAOF of strings of 256 bytes under load, and loading that file",
    ),
    (
        "saving/sorted-set",
        "BGSAVE and BGREWRITEAOF while a large sorted set is written to",
    ),
    ("saving/log", "starting with a log of SETs"),
];

/// A figure of a server.
pub struct Figure {
    /// What was measured, with its unit.
    pub row: String,
    pub contender: String,
    pub value: f64,
}

/// Rows of one server as figures, said as they come.
pub fn figures(rows: Vec<(String, f64)>, contender: &Contender) -> Vec<Figure> {
    let figure = |(row, value)| {
        eprintln!("{row}: {} {value:.3}", contender.label);
        Figure {
            row,
            contender: contender.label.clone(),
            value,
        }
    };
    rows.into_iter().map(figure).collect()
}

/// Requests a second beside a save.
pub const RATE: u64 = 20_000;
/// Bytes of a value.
pub const VALUE: &str = "256";

/// A folder that goes away.
pub struct Folder(PathBuf);

impl Folder {
    /// That of a server on this port, empty.
    pub fn new(port: u16) -> Result<Folder> {
        let path =
            std::env::temp_dir().join(format!("redpoll-bench-{}-{port}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// Its path, as an argument.
    pub fn text(&self) -> String {
        self.0.display().to_string()
    }

    /// Bytes of all files in it.
    fn bytes(&self) -> u64 {
        fn of(path: &Path) -> u64 {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(meta) if meta.is_dir() => of(&entry.path()),
                    Ok(meta) => meta.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        of(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One server under one measurement.
struct Run<'b> {
    bench: &'b Bench,
    contender: &'b Contender,
    folder: Folder,
    rows: Vec<(String, f64)>,
}

/// Takes the figures of a measurement from a server.
pub fn measure(bench: &Bench, name: &str, contender: &Contender) -> Result<Vec<Figure>> {
    let mut run = Run {
        bench,
        contender,
        folder: Folder::new(bench.first_port)?,
        rows: Vec::new(),
    };
    match name {
        "saving/strings" => run.strings()?,
        "saving/sorted-set" => run.sorted_set()?,
        _ => run.log()?,
    }
    let figures = run.rows.into_iter().map(|(row, value)| Figure {
        row,
        contender: contender.label.clone(),
        value,
    });
    Ok(figures.collect())
}

impl Run<'_> {
    fn start(&self, more: &[&str]) -> Result<Server> {
        let dir = self.folder.text();
        let mut args = vec![
            "--dir",
            &dir,
            "--save",
            "",
            "--auto-aof-rewrite-percentage",
            "0",
        ];
        args.extend(more);
        let bench = self.bench;
        Server::start_with(
            &bench.programs,
            self.contender,
            bench.first_port,
            Cores::All,
            &args,
        )
    }

    fn note(&mut self, row: impl Into<String>, value: f64) {
        let row = row.into();
        eprintln!("{row}: {} {value:.2}", self.contender.label);
        self.rows.push((row, value));
    }

    /// Sends something, and returns the load generator's report.
    fn load(&self, server: &Server, args: &[&str]) -> Result<Value> {
        load::report(&self.bench.programs.redpoll, server, args)
    }

    fn strings(&mut self) -> Result<()> {
        let keys = self.bench.settings.saved_strings;
        let server = self.start(&[])?;
        let n = keys.to_string();
        self.load(
            &server,
            &["--load", "--load-only", "--keys", &n, "--value-size", VALUE],
        )?;
        let command = [
            "--command",
            "SET {key} {value}",
            "--keys",
            &n,
            "--value-size",
            VALUE,
        ];
        let title = format!("{} strings of {VALUE} B", short(keys));
        self.beside_saves(&server, &title, &command)?;
        self.load_again(server, &title, &[])
    }

    fn sorted_set(&mut self) -> Result<()> {
        let members = self.bench.settings.saved_members;
        let server = self.start(&[])?;
        let n = members.to_string();
        let add = "ZADD big {int:0-1000000000} {key}";
        self.load(
            &server,
            &["--load", "--load-only", "--load-command", add, "--keys", &n],
        )?;
        let title = format!("a sorted set of {}", short(members));
        self.beside_saves(&server, &title, &["--command", add, "--keys", &n])?;
        self.load_again(server, &title, &[])
    }

    /// Load without a save, with BGSAVE, and with BGREWRITEAOF.
    fn beside_saves(&mut self, server: &Server, title: &str, command: &[&str]) -> Result<()> {
        let quiet = self.loaded(server, command, None)?;
        self.note(format!("{title}, no save: p99.9 (us)"), quiet.p999_us);
        self.note(
            format!("{title}, no save: longest (ms)"),
            quiet.max_us / 1000.0,
        );
        for (save, field) in [
            ("BGSAVE", "rdb_bgsave_in_progress"),
            ("BGREWRITEAOF", "aof_rewrite_in_progress"),
        ] {
            if save == "BGREWRITEAOF" {
                Client::connect(server)?.call(&["CONFIG", "SET", "appendonly", "yes"])?;
                self.await_end(server, field)?;
            }
            let beside = self.loaded(server, command, Some((save, field)))?;
            self.note(format!("{title}, {save}: p99.9 (us)"), beside.p999_us);
            self.note(
                format!("{title}, {save}: longest (ms)"),
                beside.max_us / 1000.0,
            );
            self.note(
                format!("{title}, {save}: file written (MB/s)"),
                beside.bytes / beside.seconds / 1e6,
            );
            self.note(
                format!("{title}, {save}: extra memory (MB)"),
                beside.extra / 1e6,
            );
        }
        Client::connect(server)?.call(&["CONFIG", "SET", "appendonly", "no"])
    }

    /// Load for some seconds, with a save that begins in their midst.
    fn loaded(
        &self,
        server: &Server,
        command: &[&str],
        save: Option<(&str, &str)>,
    ) -> Result<Loaded> {
        let time = self.bench.settings.saving.as_millis();
        let (rate, time) = (RATE.to_string(), format!("{time}ms"));
        let mut args = vec!["--rate", &rate, "--duration", &time, "--warmup", "500ms"];
        args.extend(command);
        let mut loaded = Loaded::default();
        let report = std::thread::scope(|scope| -> Result<Value> {
            let load = scope.spawn(|| self.load(server, &args));
            if let Some((command, field)) = save {
                std::thread::sleep(Duration::from_millis(1000));
                let before = server.usage()?.resident;
                let mut client = Client::connect(server)?;
                let began = Instant::now();
                client.call(&[command])?;
                let mut peak = before;
                while info(&mut client, field)? != 0.0 {
                    peak = peak.max(server.usage()?.resident);
                    std::thread::sleep(Duration::from_millis(5));
                }
                loaded.seconds = began.elapsed().as_secs_f64();
                // What the peers' child made them copy, and by how much ours grew.
                let copied =
                    ["rdb_last_cow_size", "aof_last_cow_size"][usize::from(command != "BGSAVE")];
                let copied = info(&mut client, copied).unwrap_or(0.0);
                loaded.extra = (peak.saturating_sub(before) as f64).max(copied);
            }
            load.join()
                .map_err(|_| anyhow::anyhow!("the load panicked"))?
        })?;
        let latency = &report["run"]["latency_us"];
        let us = |name: &str| latency[name].as_f64().context("a latency");
        (loaded.p999_us, loaded.max_us) = (us("p99.9")?, us("max")?);
        if let Some((command, _)) = save {
            let written = match command {
                "BGSAVE" => self.folder.0.join("dump.rdb"),
                _ => self.newest_base()?,
            };
            loaded.bytes = std::fs::metadata(written)?.len() as f64;
        }
        Ok(loaded)
    }

    /// The base of the log.
    fn newest_base(&self) -> Result<PathBuf> {
        let entries = std::fs::read_dir(self.folder.0.join("appendonlydir"))?.flatten();
        let bases = entries
            .map(|e| e.path())
            .filter(|path| path.to_string_lossy().contains(".base."));
        bases
            .max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok())
            .context("a base file")
    }

    fn await_end(&self, server: &Server, field: &str) -> Result<()> {
        let mut client = Client::connect(server)?;
        let give_up = Instant::now() + Duration::from_secs(300);
        std::thread::sleep(Duration::from_millis(300));
        while info(&mut client, field)? != 0.0 || info(&mut client, "aof_rewrite_scheduled")? != 0.0
        {
            if Instant::now() > give_up {
                bail!("{field} does not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the server and times its start with what it has left.
    fn load_again(&mut self, server: Server, title: &str, args: &[&str]) -> Result<()> {
        let keys = info(&mut Client::connect(&server)?, "db0:keys=")?;
        drop(server);
        let bytes = self.folder.bytes() as f64;
        let began = Instant::now();
        let server = self.start(args)?;
        let mut client = Client::connect(&server)?;
        while info(&mut client, "loading").unwrap_or(1.0) != 0.0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = began.elapsed().as_secs_f64();
        if info(&mut client, "db0:keys=")? != keys {
            bail!("not all keys were loaded");
        }
        let _ = bytes;
        self.note(format!("{title}: loaded (s)"), seconds);
        Ok(())
    }

    fn log(&mut self) -> Result<()> {
        let sets = self.bench.settings.logged;
        let args = ["--appendonly", "yes", "--appendfsync", "no"];
        let server = self.start(&args)?;
        let (n, keys) = (sets.to_string(), (sets / 10).max(1).to_string());
        let command = [
            "--command",
            "SET {key} {value}",
            "--keys",
            &keys,
            "--requests",
            &n,
            "--pipeline",
            "16",
        ];
        self.load(&server, &command)?;
        // A moment in which what was written goes to the file.
        std::thread::sleep(Duration::from_millis(1500));
        self.load_again(server, &format!("a log of {} SETs", short(sets)), &args)
    }
}

#[derive(Default)]
struct Loaded {
    p999_us: f64,
    max_us: f64,
    seconds: f64,
    bytes: f64,
    extra: f64,
}

/// A number of INFO.
pub fn info(client: &mut Client, field: &str) -> Result<f64> {
    let text = client.text(&["INFO", "everything"])?;
    let value = text.lines().find_map(|line| {
        let rest = line.strip_prefix(field)?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        rest[..end].parse().ok()
    });
    value.with_context(|| format!("INFO has no {field}"))
}

/// A number of keys in a title.
pub fn short(n: u64) -> String {
    match n {
        1_000_000.. => format!("{} M", n as f64 / 1e6),
        _ => format!("{} k", n / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_named_shortly() {
        assert_eq!(short(3_000_000), "3 M");
        assert_eq!(short(150_000), "150 k");
    }
}
