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
//! | `servers` | starts and stops a server, on chosen cores |
//! | `load` | runs the load generator and reads its report |
//! | `probes` | what needs no load generator: idle connections, time to the first reply |
//! | `goals` | the project's goals, held against the figures |
//! | `report` | Markdown and JSON |

mod goals;
mod load;
mod probes;
mod report;
mod scenarios;
mod servers;

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{peers, run};
use load::Measurement;
use scenarios::{Cores, DataSet, Scenario, Settings};
use servers::{Contender, Server};

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
    memory: Vec<MemoryFigure>,
    idle: Vec<ProbeFigure>,
    start: Vec<ProbeFigure>,
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
    let (idle, start) = (wanted(probes::IDLE), wanted(probes::START));
    if options.list {
        for scenario in &scenarios {
            println!("{:32} {}", scenario.name, scenario.describe());
        }
        for data_set in &data_sets {
            println!("{:32} {}", data_set.name, data_set.what);
        }
        for (probe, what) in probes::ALL {
            if wanted(probe) {
                println!("{probe:32} {what}");
            }
        }
        return Ok(());
    }
    if scenarios.is_empty() && data_sets.is_empty() && !idle && !start {
        bail!("nothing has such a name; --list shows the names");
    }

    let with_echo = scenarios.iter().any(|scenario| scenario.echo.is_some());
    let programs = programs(options, with_echo)?;
    let peers = peers::find();
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
    bench.memory(&data_sets)?;
    if idle {
        bench.results.idle = bench.probe(probes::IDLE, probes::idle_connection_bytes)?;
    }
    if start {
        bench.results.start = bench.probe(probes::START, probes::start_to_pong_ms)?;
    }

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
        None => build("server", "redpoll")?,
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
    /// Runs all scenarios, group by group: those that share the number of keys and the cores share loaded servers.
    fn loads(&mut self, scenarios: &[Scenario]) -> Result<()> {
        for group in scenarios.chunk_by(|a, b| (a.cores, a.keys) == (b.cores, b.keys)) {
            let (cores, keys) = (group[0].cores, group[0].keys);
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
                if contender.stores() {
                    eprintln!("loading {keys} keys into {}", contender.label);
                    load::fill(&self.programs.redpoll, &server, cores, keys)?;
                }
                running.push((contender.clone(), server));
            }
            self.interleave(group, &running)?;
        }
        Ok(())
    }

    /// Every scenario on every server that takes part, `rounds` times over, another server going first each time.
    fn interleave(&mut self, group: &[Scenario], running: &[(Contender, Server)]) -> Result<()> {
        let mut rounds: Vec<Vec<Vec<Measurement>>> = group
            .iter()
            .map(|_| running.iter().map(|_| Vec::new()).collect())
            .collect();
        for round in 0..self.settings.rounds {
            for (scenario, of_servers) in group.iter().zip(&mut rounds) {
                for turn in 0..running.len() {
                    let which = (turn + round) % running.len();
                    let (contender, server) = &running[which];
                    if !contender.takes_part(scenario) {
                        continue;
                    }
                    let measured =
                        load::measure(&self.programs.redpoll, server, scenario, &self.settings)
                            .with_context(|| {
                                format!("{} with {}", scenario.name, contender.label)
                            })?;
                    eprintln!(
                        "{} round {}/{}: {} {}",
                        scenario.name,
                        round + 1,
                        self.settings.rounds,
                        contender.label,
                        measured.line()
                    );
                    of_servers[which].push(measured);
                }
            }
        }
        for (scenario, of_servers) in group.iter().zip(rounds) {
            for ((contender, _), rounds) in running.iter().zip(of_servers) {
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
    fn probe(&self, name: &str, take: probes::Take) -> Result<Vec<ProbeFigure>> {
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

    fn start(&self, contender: &Contender, port: u16, cores: Cores) -> Result<Server> {
        Server::start(&self.programs, contender, port, cores)
            .with_context(|| format!("cannot start {}", contender.label))
    }
}
