//! What the append-only file costs: each server without one and with one, all of them in turns.
//!
//! Server and load share the cores that there are. The CPU time is that of the server's process: what the kernel's own threads do for a
//! file system is not in it, and shows in the requests a second.

use anyhow::{Context, Result};

use super::Bench;
use super::client::Client;
use super::load;
use super::saving::{Figure, Folder, figures};
use super::scenarios::Cores;
use super::servers::{Contender, Server};

/// A measurement: its name, and what it is.
pub const ALL: [(&str, &str); 3] = [
    (
        "log/always",
        "SETs with appendfsync always, 50 connections, one at a time",
    ),
    (
        "log/everysec",
        "SETs in pipelines of 16 without a log and with appendfsync everysec",
    ),
    (
        "log/off",
        "SETs in pipelines of 16 where a log was never on, and where it was turned off again",
    ),
];

const SET: &str = "SET {key} {value}";

/// How a server keeps its log.
#[derive(Clone, Copy)]
enum Kept {
    Never,
    With(&'static str),
    /// On for a moment, before anything is measured.
    OffAgain,
}

/// Takes the figures of a measurement from all these servers.
///
/// Each server is started anew for each round: where its memory happens to lie makes some percent, for as long as it runs.
pub fn measure(bench: &Bench, name: &str, contenders: &[Contender]) -> Result<Vec<Figure>> {
    let (pipeline, ways): (&str, &[(Kept, &str)]) = match name {
        "log/always" => ("1", &[(Kept::With("always"), "always")]),
        "log/everysec" => (
            "16",
            &[
                (Kept::Never, "no log"),
                (Kept::With("everysec"), "everysec"),
            ],
        ),
        _ => (
            "16",
            &[
                (Kept::Never, "log never on"),
                (Kept::OffAgain, "log turned off"),
            ],
        ),
    };
    let settings = &bench.settings;
    let time = format!("{}ms", settings.time.as_millis());
    // The keys come into being before anything counts.
    let args = ["--command", SET, "--pipeline", pipeline];
    let args = [&args[..], &["--duration", &time, "--warmup", "1500ms"]].concat();
    // Requests a second and CPU time of each, by contender and way.
    let mut taken = vec![vec![(Vec::new(), Vec::new()); ways.len()]; contenders.len()];
    let turns = contenders.len() * ways.len();
    for round in 0..settings.rounds {
        for turn in 0..turns {
            let turn = (turn + round) % turns;
            let (at, kept) = (turn / ways.len(), turn % ways.len());
            let contender = &contenders[at];
            let folder = Folder::new(bench.first_port)?;
            let server = start(bench, contender, bench.first_port, &folder, ways[kept].0)
                .with_context(|| contender.label.clone())?;
            let report = load::report(&bench.programs.redpoll, &server, &args)?;
            let run = &report["run"];
            let number = |value: &serde_json::Value| value.as_f64().context("a figure of the load");
            let of = &mut taken[at][kept];
            of.0.push(number(&run["throughput"])?);
            of.1.push(number(&run["servers"][0]["cpu_us_per_request"])?);
        }
    }
    let mut all = Vec::new();
    for (contender, taken) in contenders.iter().zip(taken) {
        let mut rows = Vec::new();
        let mut cpu = Vec::new();
        for ((_, way), (throughput, us)) in ways.iter().zip(taken) {
            let title = format!("SET, pipelines of {pipeline}, {way}");
            let throughput = load::median(throughput).unwrap_or_default();
            let us = load::median(us).unwrap_or_default();
            rows.push((format!("{title}: requests a second"), throughput));
            rows.push((format!("{title}: server CPU (us)"), us));
            cpu.push(us);
        }
        if let [without, with] = cpu[..] {
            let title = format!("SET, pipelines of {pipeline}, {}", ways[1].1);
            let more = (with / without - 1.0) * 100.0;
            rows.push((format!("{title}: more CPU (%)"), more));
        }
        all.extend(figures(rows, contender));
    }
    Ok(all)
}

fn start(
    bench: &Bench,
    contender: &Contender,
    port: u16,
    folder: &Folder,
    kept: Kept,
) -> Result<Server> {
    let dir = folder.text();
    let mut args = vec!["--dir", &dir, "--save", ""];
    args.extend(["--auto-aof-rewrite-percentage", "0"]);
    if let Kept::With(fsync) = kept {
        args.extend(["--appendonly", "yes", "--appendfsync", fsync]);
    }
    let server = Server::start_with(&bench.programs, contender, port, Cores::All, &args)?;
    if let Kept::OffAgain = kept {
        let mut client = Client::connect(&server)?;
        client.call(&["CONFIG", "SET", "appendonly", "yes"])?;
        client.call(&["SET", "one", "change"])?;
        client.call(&["CONFIG", "SET", "appendonly", "no"])?;
    }
    Ok(server)
}
