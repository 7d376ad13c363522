//! `cargo xtask bench`: Redpoll and its peers side by side, in one run on one machine.
//!
//! Figures from different days or machines cannot be compared, so everything is measured together: all servers of a
//! group run at the same time, each is loaded with the same keys, and rounds are interleaved. In every round each server
//! gets its turn and another one goes first; a figure is the median of its rounds. The load comes from
//! `redpoll bench`.
//!
//! | file | what |
//! |---|---|
//! | `scenarios` | the tables: what is sent to whom, and the data sets whose memory is weighed |
//! | `collections`, `atomic` | more of them: the collection types; transactions, scripts and messages |
//! | `operations` | single commands on large collections, timed one call at a time |
//! | `servers` | starts and stops a server, on chosen cores |
//! | `load` | runs the load generator and reads its report |
//! | `process` | CPU time and resident memory of a process |
//! | `client` | a connection that sends one command at a time |
//! | `limit` | at the limit of memory, and users with rules |
//! | `saving` | what saving costs, and loading |
//! | `log` | what the append-only file costs |
//! | `following` | what a replica costs, and a copy for it |
//! | `probes` | what needs no load generator: idle connections, time to the first reply |
//! | `stalls` | how long others wait while one client has something long done |
//! | `growth` | commands with ten times the arguments, and memory that was freed |
//! | `insight` | a scrape, and what all that tells of the server costs it |
//! | `listeners` | what those who listen to keys and events cost those who set other keys |
//! | `goals` | the project's goals, held against the figures |
//! | `report` | Markdown and JSON |
//! | `plot` | pictures of a report |

mod atomic;
mod client;
mod collections;
mod following;
mod goals;
mod growth;
mod insight;
mod limit;
mod listeners;
mod load;
mod log;
mod operations;
mod plot;
mod probes;
#[path = "../../../crates/bench/src/process.rs"]
mod process;
mod report;
mod saving;
mod scenarios;
mod servers;
mod stalls;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{peers, run};
use client::Client;
use load::Measurement;
use operations::{OPERATIONS, Operation};
use scenarios::{Cores, DataSet, Prepare, Scenario, Settings};
use servers::{Contender, Server};
use stalls::{STALLS, Stall};

/// Options of `bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Fewer keys, shorter and fewer rounds: minutes instead of an hour, and rougher figures
    #[arg(long)]
    quick: bool,
    /// Only what has one of these words in its name (see --list)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the names of all measurements and end
    #[arg(long)]
    list: bool,
    /// Measure this redpoll binary instead of building one
    #[arg(long, value_name = "PATH")]
    redpoll: Option<PathBuf>,
    /// Measurements of each figure, whose median counts
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// First of the TCP ports the servers listen on; about ten are used
    #[arg(long, value_name = "PORT", default_value_t = 7400)]
    first_port: u16,
    /// Measure nothing, but draw the README's pictures from a report's tables [default: those of docs/benchmarks.md and docs/bench-report.md]
    #[arg(long, value_name = "REPORT", num_args = 0..=1)]
    plot: Option<Option<PathBuf>>,
    /// Folder for results.json and results.md [default: bench/ in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The programs that are run.
struct Programs {
    redpoll: PathBuf,
    /// The bare Tokio server; none when it is not part of what is measured.
    echo: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    loads: Vec<LoadFigure>,
    operations: Vec<OperationFigure>,
    memory: Vec<MemoryFigure>,
    idle: Vec<ProbeFigure>,
    start: Vec<ProbeFigure>,
    stalls: Vec<stalls::Figure>,
    saving: Vec<saving::Figure>,
    /// What could not be measured, and why.
    notes: Vec<String>,
}

/// A server under a scenario: the rounds and their medians.
pub struct LoadFigure {
    scenario: String,
    contender: String,
    rounds: Vec<Measurement>,
    median: Measurement,
}

/// What a call of an operation takes in a server, in milliseconds.
pub struct OperationFigure {
    operation: &'static Operation,
    contender: String,
    /// From sending the command to the end of its reply.
    wall_ms: f64,
    /// CPU time of the server.
    cpu_ms: f64,
}

/// Resident bytes of an element of a data set.
pub struct MemoryFigure {
    data_set: &'static DataSet,
    contender: String,
    elements: u64,
    bytes_per_element: f64,
}

/// A server and one number.
pub struct ProbeFigure {
    contender: String,
    value: f64,
}

/// Measures what `options` ask for, prints it, and writes it to files.
pub fn main(options: &Options) -> Result<()> {
    if let Some(report) = &options.plot {
        return plot::main(report.as_deref());
    }
    let mut settings = if options.quick {
        Settings::quick()
    } else {
        Settings::full()
    };
    if let Some(rounds) = options.rounds {
        settings.rounds = rounds.max(1);
    }
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|word| name.contains(word));
    let scenarios: Vec<Scenario> = scenarios::all(&settings)
        .into_iter()
        .filter(|scenario| wanted(&scenario.name))
        .collect();
    let data_sets: Vec<&'static DataSet> = scenarios::DATA_SETS
        .iter()
        .filter(|data_set| wanted(data_set.name))
        .collect();
    let operations: Vec<&'static Operation> = OPERATIONS
        .iter()
        .filter(|operation| wanted(operation.name))
        .collect();
    let (idle, start) = (wanted(probes::IDLE), wanted(probes::START));
    let stalls: Vec<&'static Stall> = STALLS.iter().filter(|stall| wanted(stall.name)).collect();
    let savings: Vec<&str> = (saving::ALL.iter().chain(&log::ALL).chain(&following::ALL))
        .chain(limit::ALL.iter().chain(&growth::ALL))
        .chain(insight::ALL.iter().chain(&listeners::ALL))
        .map(|(name, _)| *name)
        .filter(|name| wanted(name))
        .collect();
    if options.list {
        let mut list = String::new();
        for scenario in &scenarios {
            list += &format!("{:32} {}\n", scenario.name, scenario.describe());
        }
        for operation in &operations {
            let call = operation.call.join(" ");
            list += &format!("{:32} {call}, one call at a time\n", operation.name);
        }
        for data_set in &data_sets {
            list += &format!("{:32} {}\n", data_set.name, data_set.what);
        }
        for (probe, what) in (probes::ALL.into_iter())
            .chain(saving::ALL)
            .chain(log::ALL)
            .chain(following::ALL)
            .chain(limit::ALL)
            .chain(growth::ALL)
            .chain(insight::ALL)
            .chain(listeners::ALL)
        {
            if wanted(probe) {
                list += &format!("{probe:32} {what}\n");
            }
        }
        for stall in &stalls {
            list += &format!(
                "{:32} milliseconds that others wait at most during {}\n",
                stall.name, stall.what
            );
        }
        return match std::io::stdout().write_all(list.as_bytes()) {
            // A reader that has seen enough is no failure.
            Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            outcome => Ok(outcome?),
        };
    }
    let nothing = scenarios.is_empty() && operations.is_empty() && data_sets.is_empty();
    if nothing && savings.is_empty() && !idle && !start && stalls.is_empty() {
        bail!("nothing has such a name; --list shows the names");
    }

    let with_echo = scenarios.iter().any(|scenario| scenario.echo.is_some());
    let programs = programs(options, with_echo)?;
    // Of a name and major version the newest minor ones are what people run; Valkey 8 is here for its files alone.
    let mut peers = peers::find();
    peers.retain(|peer| !(peer.name == "valkey" && peer.version.starts_with("8.")));
    let mut bench = Bench {
        settings,
        programs,
        first_port: options.first_port,
        contenders: Contender::all(&peers),
        results: Results::default(),
    };
    if peers.is_empty() {
        let note = "No peer was found; `cargo xtask fetch` brings them.";
        eprintln!("{note}");
        bench.results.notes.push(note.to_string());
    }
    probes::raise_file_limit(&mut bench.results.notes);
    bench.loads(&scenarios)?;
    bench.operations(&operations)?;
    bench.memory(&data_sets)?;
    if idle {
        bench.results.idle = bench.probe(probes::IDLE, probes::idle_connection_bytes)?;
    }
    if start {
        bench.results.start = bench.probe(probes::START, probes::start_to_pong_ms)?;
    }
    bench.stalls(&stalls)?;
    bench.saving(&savings)?;

    let outcome = report::Report::new(&bench.settings, &bench.contenders, &bench.results);
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| target_dir().join("bench"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    for (name, text) in [
        ("results.json", outcome.json()?),
        ("results.md", outcome.markdown()),
    ] {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", outcome.markdown());
    println!("Written to {}.", out.display());
    Ok(())
}

/// Finds or builds the programs.
fn programs(options: &Options, with_echo: bool) -> Result<Programs> {
    let redpoll = match &options.redpoll {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("--redpoll {}", path.display()))?,
        None => build("redpoll-cli", "redpoll")?,
    };
    let echo = if with_echo {
        Some(build("redpoll-benches", "echo")?)
    } else {
        None
    };
    Ok(Programs { redpoll, echo })
}

/// Builds a release binary and returns its path, as cargo reports it.
fn build(package: &str, bin: &str) -> Result<PathBuf> {
    let mut command = run::cargo(&[
        "build",
        "--release",
        "--package",
        package,
        "--bin",
        bin,
        "--message-format=json-render-diagnostics",
    ]);
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !out.status.success() {
        bail!("cargo cannot build {bin}");
    }
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == bin)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built {bin} but does not say where it is"))
}

/// Cargo's target folder: this program lies two folders below it.
fn target_dir() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()))
        .unwrap_or_else(|| run::root().join("target"))
}

/// A run under way.
struct Bench {
    settings: Settings,
    programs: Programs,
    first_port: u16,
    contenders: Vec<Contender>,
    results: Results,
}

impl Bench {
    /// Runs all scenarios, group by group: those that share the number of keys and the cores share servers.
    fn loads(&mut self, scenarios: &[Scenario]) -> Result<()> {
        for group in scenarios.chunk_by(|a, b| a.group() == b.group()) {
            let (cores, keys, loaded) = group[0].group();
            if cores == Cores::OnePinned && servers::cpus() < 2 {
                let note =
                    "One-core scenarios need two cores: one for the server, one for the load.";
                self.results.notes.push(note.to_string());
                continue;
            }
            let mut running = Vec::new();
            for contender in &self.contenders {
                if !group.iter().any(|scenario| contender.takes_part(scenario)) {
                    continue;
                }
                let port = self.first_port + running.len() as u16;
                let server = self.start(contender, port, cores)?;
                if loaded && contender.stores() {
                    eprintln!("loading {keys} keys into {}", contender.label);
                    load::fill(&self.programs.redpoll, &server, cores, keys)?;
                }
                running.push((contender.clone(), server));
            }
            self.interleave(group, &running)?;
        }
        Ok(())
    }

    /// Every scenario on every server that takes part, `rounds` times over, another server going first each time. A
    /// server that cannot do a scenario, because it answers with errors for one, is left out of it with a note.
    fn interleave(&mut self, group: &[Scenario], running: &[(Contender, Server)]) -> Result<()> {
        let mut rounds: Vec<Vec<Option<Vec<Measurement>>>> = group
            .iter()
            .map(|scenario| {
                let takes_part = |(contender, _): &(Contender, Server)| {
                    contender.takes_part(scenario).then(Vec::new)
                };
                running.iter().map(takes_part).collect()
            })
            .collect();
        for (round, n) in self.order(group) {
            let scenario = &group[n];
            for turn in 0..running.len() {
                let which = (turn + round) % running.len();
                let (contender, server) = &running[which];
                let Some(so_far) = &mut rounds[n][which] else {
                    continue;
                };
                match self.measure(scenario, server, round) {
                    Ok(measured) => {
                        eprintln!(
                            "{} round {}/{}: {} {}",
                            scenario.name,
                            round + 1,
                            self.settings.rounds,
                            contender.label,
                            measured.line()
                        );
                        so_far.push(measured);
                    }
                    Err(why) => {
                        let note = format!(
                            "{}: {} could not be measured: {why:#}",
                            scenario.name, contender.label
                        );
                        eprintln!("{note}");
                        self.results.notes.push(note);
                        rounds[n][which] = None;
                    }
                }
            }
        }
        for (scenario, of_servers) in group.iter().zip(rounds) {
            for ((contender, _), rounds) in running.iter().zip(of_servers) {
                let rounds = rounds.unwrap_or_default();
                if let Some(median) = Measurement::median(&rounds) {
                    self.results.loads.push(LoadFigure {
                        scenario: scenario.name.clone(),
                        contender: contender.label.clone(),
                        rounds,
                        median,
                    });
                }
            }
        }
        Ok(())
    }

    /// The rounds of `group`: number of the round, and of the scenario. Where servers are loaded once for all
    /// scenarios, these take turns; where each scenario prepares its own data, it gets all its rounds before the next.
    fn order(&self, group: &[Scenario]) -> Vec<(usize, usize)> {
        let (rounds, scenarios) = (0..self.settings.rounds, 0..group.len());
        if group[0].loaded {
            rounds
                .flat_map(|round| scenarios.clone().map(move |n| (round, n)))
                .collect()
        } else {
            scenarios
                .flat_map(|n| rounds.clone().map(move |round| (round, n)))
                .collect()
        }
    }

    /// Measures `scenario` once, and prepares its data first if that is due.
    fn measure(&self, scenario: &Scenario, server: &Server, round: usize) -> Result<Measurement> {
        let redpoll = &self.programs.redpoll;
        if !scenario.loaded && (round == 0 || scenario.uses_up()) {
            let mut client = Client::connect(server)?;
            client.call(&["FLUSHALL"])?;
            for step in &scenario.prepare {
                match *step {
                    Prepare::Fill(template, keys) => {
                        load::prepare(redpoll, server, scenario.cores, template, keys)?;
                    }
                    Prepare::Call(words) => client.call(words)?,
                }
            }
            settle(server)?;
        }
        let Some(words) = scenario.beside else {
            return load::measure(redpoll, server, scenario, &self.settings, round);
        };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let beside = scope.spawn(|| -> Result<()> {
                let mut client = Client::connect(server)?;
                while !over.load(Ordering::Relaxed) {
                    client.call(words)?;
                }
                Ok(())
            });
            let measured = load::measure(redpoll, server, scenario, &self.settings, round);
            over.store(true, Ordering::Relaxed);
            match beside.join() {
                Ok(outcome) => outcome.context("beside the load")?,
                Err(_) => bail!("the thread beside the load panicked"),
            }
            measured
        })
    }

    /// Times the operations, `rounds` times in interleaved fashion.
    fn operations(&mut self, operations: &[&'static Operation]) -> Result<()> {
        if operations.is_empty() {
            return Ok(());
        }
        if servers::cpus() < 2 {
            let note = "Operations need two cores: one for the server, one for the client.";
            self.results.notes.push(note.to_string());
            return Ok(());
        }
        let mut running = Vec::new();
        let contenders = self.contenders.iter().filter(|c| c.is_peer_or_redpoll());
        for contender in contenders {
            let port = self.first_port + running.len() as u16;
            let server = self.start(contender, port, Cores::OnePinned)?;
            operations::prepare(&server, &self.settings)
                .with_context(|| format!("operations with {}", contender.label))?;
            running.push((contender.clone(), server));
        }
        for &operation in operations {
            let mut taken: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); running.len()];
            let mut excuses: Vec<Option<String>> = vec![None; running.len()];
            for round in 0..self.settings.rounds {
                for turn in 0..running.len() {
                    let which = (turn + round) % running.len();
                    if excuses[which].is_some() {
                        continue;
                    }
                    let (contender, server) = &running[which];
                    match operations::time(server, operation, self.settings.calls) {
                        Ok(round) => {
                            eprintln!(
                                "{}: {} {:.2} ms, server {:.2} ms CPU",
                                operation.name, contender.label, round.wall_ms, round.cpu_ms
                            );
                            taken[which].0.push(round.wall_ms);
                            taken[which].1.push(round.cpu_ms);
                        }
                        Err(why) => excuses[which] = Some(format!("{why:#}")),
                    }
                }
            }
            for (((contender, _), (wall, cpu)), excuse) in running.iter().zip(taken).zip(excuses) {
                let label = contender.label.clone();
                if let Some(why) = excuse {
                    let note = format!("{}: {label} could not be measured: {why}", operation.name);
                    eprintln!("{note}");
                    self.results.notes.push(note);
                } else if let (Some(wall_ms), Some(cpu_ms)) =
                    (load::median(wall), load::median(cpu))
                {
                    self.results.operations.push(OperationFigure {
                        operation,
                        contender: label,
                        wall_ms,
                        cpu_ms,
                    });
                }
            }
        }
        Ok(())
    }

    /// Weighs the data sets, each in a fresh server. One that Redpoll cannot hold yet is left out with a note.
    fn memory(&mut self, data_sets: &[&'static DataSet]) -> Result<()> {
        for &data_set in data_sets {
            let contenders = self.contenders.clone();
            for contender in contenders.iter().filter(|c| c.is_peer_or_redpoll()) {
                let elements = data_set.elements(&self.settings);
                let server = self.start(contender, self.first_port, Cores::All)?;
                let weighed = load::weigh(&self.programs.redpoll, &server, data_set, elements)?;
                let Some(bytes_per_element) = weighed else {
                    let note = format!(
                        "{}: {} answers its commands with errors.",
                        data_set.name, contender.label
                    );
                    eprintln!("{note}");
                    self.results.notes.push(note);
                    if contender.is_redpoll() {
                        break;
                    }
                    continue;
                };
                eprintln!(
                    "{}: {} {bytes_per_element:.1} bytes",
                    data_set.name, contender.label
                );
                self.results.memory.push(MemoryFigure {
                    data_set,
                    contender: contender.label.clone(),
                    elements,
                    bytes_per_element,
                });
            }
        }
        Ok(())
    }

    /// Takes a number from each server, `rounds` times in interleaved fashion.
    fn probe(
        &self,
        name: &str,
        take: impl Fn(&Bench, &Contender) -> Result<f64>,
    ) -> Result<Vec<ProbeFigure>> {
        let contenders: Vec<Contender> = self
            .contenders
            .iter()
            .filter(|contender| contender.is_peer_or_redpoll())
            .cloned()
            .collect();
        let mut taken: Vec<Vec<f64>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..self.settings.rounds {
            for turn in 0..contenders.len() {
                let which = (turn + round) % contenders.len();
                let value = take(self, &contenders[which])
                    .with_context(|| contenders[which].label.clone())?;
                taken[which].push(value);
            }
        }
        Ok(contenders
            .into_iter()
            .zip(taken)
            .filter_map(|(contender, values)| {
                let value = load::median(values)?;
                eprintln!("{name}: {} {value:.1}", contender.label);
                Some(ProbeFigure {
                    contender: contender.label,
                    value,
                })
            })
            .collect())
    }

    /// Redpoll and the newest of each peer.
    fn newest(&self) -> Vec<Contender> {
        let all: Vec<&Contender> = (self.contenders.iter())
            .filter(|contender| contender.is_peer_or_redpoll())
            .collect();
        let kind = |contender: &Contender| {
            let word = contender.label.split(' ').next();
            word.unwrap_or_default().to_owned()
        };
        (all.iter().enumerate())
            .filter(|(at, one)| !all[at + 1..].iter().any(|later| kind(later) == kind(one)))
            .map(|(_, one)| (*one).clone())
            .collect()
    }

    /// Measures how long others wait, in Redpoll and the newest of each peer: the medians of three rounds at most, since each has to
    /// be filled anew. One that fails is left out with a note.
    fn stalls(&mut self, stalls: &[&'static Stall]) -> Result<()> {
        let newest = match stalls {
            [] => Vec::new(),
            _ => self.newest(),
        };
        for &stall in stalls {
            for contender in &newest {
                let rounds = (0..self.settings.rounds.min(3))
                    .map(|_| stalls::measure(self, contender, stall))
                    .collect::<Result<Vec<_>>>();
                let rounds = match rounds {
                    Ok(rounds) => rounds,
                    Err(why) => {
                        let (name, label) = (stall.name, &contender.label);
                        let note = format!("{name}: {label} could not be measured: {why:#}");
                        eprintln!("{note}");
                        self.results.notes.push(note);
                        continue;
                    }
                };
                let middle = |of: &dyn Fn(&stalls::Round) -> f64| {
                    load::median(rounds.iter().map(of).collect()).unwrap_or_default()
                };
                let mut waits = [[0.0; 2]; 3];
                for (probed, waits) in waits.iter_mut().enumerate() {
                    for (with, wait) in waits.iter_mut().enumerate() {
                        *wait = middle(&|round| round.1[probed][with]);
                    }
                }
                self.results.stalls.push(stalls::Figure {
                    stall,
                    contender: contender.label.clone(),
                    took_ms: middle(&|round| round.0),
                    waits,
                });
            }
        }
        Ok(())
    }

    /// Measures saving, loading and replicas, in Redpoll and the newest of each peer. One that fails is left out with a note.
    fn saving(&mut self, names: &[&str]) -> Result<()> {
        let newest = self.newest();
        for name in names {
            if name.starts_with("log/") {
                // Its servers take turns.
                match log::measure(self, name, &newest) {
                    Ok(figures) => self.results.saving.extend(figures),
                    Err(why) => {
                        let note = format!("{name} could not be measured: {why:#}");
                        eprintln!("{note}");
                        self.results.notes.push(note);
                    }
                }
                continue;
            }
            for contender in &newest {
                let measured = match name.split_once('/').map(|(group, _)| group) {
                    Some("replica") => following::measure(self, name, contender),
                    Some("limit") => limit::measure(self, name, contender),
                    Some("insight") => insight::measure(self, name, contender),
                    Some("listeners") => listeners::measure(self, contender),
                    Some("stall") => growth::measure(self, name, contender),
                    _ => saving::measure(self, name, contender),
                };
                match measured {
                    Ok(figures) => self.results.saving.extend(figures),
                    Err(why) => {
                        let label = &contender.label;
                        let note = format!("{name}: {label} could not be measured: {why:#}");
                        eprintln!("{note}");
                        self.results.notes.push(note);
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&self, contender: &Contender, port: u16, cores: Cores) -> Result<Server> {
        Server::start(&self.programs, contender, port, cores)
            .with_context(|| format!("cannot start {}", contender.label))
    }
}

/// How long a server is watched at a time for being at rest, and for how long at most.
const REST: Duration = Duration::from_millis(50);
const UNREST: Duration = Duration::from_secs(10);
/// CPU time that a server at rest uses while it is watched: periodic work takes some.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(2);

/// Waits until `server` has done what it does behind its replies, such as freeing memory, so that this is not counted
/// as part of what comes next. Gives up after ten seconds.
fn settle(server: &Server) -> Result<()> {
    let give_up = Instant::now() + UNREST;
    let mut before = server.usage()?;
    while Instant::now() < give_up {
        thread::sleep(REST);
        let now = server.usage()?;
        if now.cpu_since(&before) <= NEXT_TO_NOTHING {
            break;
        }
        before = now;
    }
    Ok(())
}
