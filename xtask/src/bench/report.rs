//! The figures as Markdown, for docs/bench-report.md, and as JSON.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::goals::{self, Outcome};
use super::load::Measurement;
use super::scenarios::{CONNECTIONS, DATA_SETS, Settings, VALUE_SIZE};
use super::servers::Contender;
use super::{LoadFigure, ProbeFigure, Results, collections};

/// A run's figures, ready to be written down.
pub struct Report<'a> {
    settings: &'a Settings,
    contenders: &'a [Contender],
    results: &'a Results,
    goals: Vec<Outcome>,
    date: String,
    machine: String,
}

impl Report<'_> {
    /// Holds the goals against `results` and notes when and where this is.
    pub fn new<'a>(
        settings: &'a Settings,
        contenders: &'a [Contender],
        results: &'a Results,
    ) -> Report<'a> {
        Report {
            settings,
            contenders,
            results,
            goals: goals::check(settings, results),
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            machine: machine(),
        }
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_markdown(&mut out);
        out
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        let Settings { rounds, time, .. } = self.settings;
        writeln!(
            out,
            "Measured {} on {}, by `cargo xtask bench`: medians of {rounds} interleaved rounds of {:.1} s, \
             {CONNECTIONS} connections, 16-byte keys, {VALUE_SIZE}-byte values, loopback TCP.\n",
            self.date,
            self.machine,
            time.as_secs_f64()
        )?;
        if !self.goals.is_empty() {
            writeln!(
                out,
                "| goal | measured | asked for | met |\n|---|---:|---:|---|"
            )?;
            for outcome in &self.goals {
                writeln!(
                    out,
                    "| {} | {} | {} {} | {} |",
                    outcome.goal,
                    number(outcome.measured),
                    if outcome.at_most {
                        "at most"
                    } else {
                        "at least"
                    },
                    outcome.bound,
                    if outcome.met() { "yes" } else { "**no**" }
                )?;
            }
            writeln!(out)?;
        }
        let (short, long): (Vec<_>, Vec<_>) = self
            .results
            .loads
            .iter()
            .partition(|figure| in_short(figure));
        self.write_loads(out, &long)?;
        self.write_cpu(out, &short)?;
        self.write_operations(out)?;
        self.write_memory(out)?;
        write_probe(
            out,
            &format!(
                "resident bytes of each of {} idle connections",
                self.settings.connections
            ),
            &self.results.idle,
        )?;
        write_probe(
            out,
            "milliseconds from start to the first PONG",
            &self.results.start,
        )?;
        self.write_stalls(out)?;
        self.write_saving(out)?;
        for note in &self.results.notes {
            writeln!(out, "- {note}")?;
        }
        Ok(())
    }

    /// One row a scenario and server.
    fn write_loads(&self, out: &mut String, figures: &[&LoadFigure]) -> std::fmt::Result {
        if figures.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "| scenario | server | requests/s | p50 us | p99 us | p99.9 us | server CPU us/request | load CPU us/request |\n\
             |---|---|---:|---:|---:|---:|---:|---:|"
        )?;
        let mut last = "";
        for figure in figures {
            let scenario = if figure.scenario == last {
                ""
            } else {
                &figure.scenario
            };
            last = &figure.scenario;
            let m = &figure.median;
            writeln!(
                out,
                "| {scenario} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.3} | {:.3} |",
                figure.contender,
                m.throughput,
                m.p50_us,
                m.p99_us,
                m.p999_us,
                m.server_cpu_us,
                m.load_cpu_us
            )?;
        }
        writeln!(out)?;
        if figures.iter().any(|figure| figure.median.delivered > 0.0) {
            writeln!(
                out,
                "| scenario | server | delivered messages/s |\n|---|---|---:|"
            )?;
            for figure in figures.iter().filter(|f| f.median.delivered > 0.0) {
                writeln!(
                    out,
                    "| {} | {} | {:.0} |",
                    figure.scenario, figure.contender, figure.median.delivered
                )?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Labels of Redpoll and the peers as they come.
    fn servers(&self) -> Vec<&str> {
        self.contenders
            .iter()
            .filter(|contender| contender.is_peer_or_redpoll())
            .map(|contender| contender.label.as_str())
            .collect()
    }

    /// One row a scenario, one column a server.
    fn write_cpu(&self, out: &mut String, figures: &[&LoadFigure]) -> std::fmt::Result {
        if figures.is_empty() {
            return Ok(());
        }
        let servers = self.servers();
        header(out, "server CPU us/request", &servers)?;
        for of_scenario in figures.chunk_by(|a, b| a.scenario == b.scenario) {
            let cells = servers.iter().map(|server| {
                let figure = of_scenario.iter().find(|f| f.contender == *server)?;
                Some(format!("{:.3}", figure.median.server_cpu_us))
            });
            row(out, &of_scenario[0].scenario, cells)?;
        }
        writeln!(out)
    }

    /// One row an operation, one column a server.
    fn write_operations(&self, out: &mut String) -> std::fmt::Result {
        let figures = &self.results.operations;
        if figures.is_empty() {
            return Ok(());
        }
        let servers = self.servers();
        let title = format!(
            "milliseconds a call (server CPU), {} elements",
            self.settings.operands
        );
        header(out, &title, &servers)?;
        for of_operation in figures.chunk_by(|a, b| a.operation.name == b.operation.name) {
            let cells = servers.iter().map(|server| {
                let figure = of_operation.iter().find(|f| f.contender == *server)?;
                Some(format!("{:.2} ({:.2})", figure.wall_ms, figure.cpu_ms))
            });
            row(out, &of_operation[0].operation.call.join(" "), cells)?;
        }
        writeln!(out)
    }

    /// One row a data set, one column a server.
    fn write_memory(&self, out: &mut String) -> std::fmt::Result {
        if self.results.memory.is_empty() {
            return Ok(());
        }
        let servers = self.servers();
        write!(
            out,
            "| resident bytes an element | elements | payload | goal |"
        )?;
        for server in &servers {
            write!(out, " {server} |")?;
        }
        writeln!(
            out,
            "\n|---|---:|---:|---:|{}",
            "---:|".repeat(servers.len())
        )?;
        for data_set in &DATA_SETS {
            let of_set: Vec<_> = self
                .results
                .memory
                .iter()
                .filter(|figure| figure.data_set.name == data_set.name)
                .collect();
            let Some(first) = of_set.first() else {
                continue;
            };
            let payload = data_set.payload.map_or("-".to_string(), |n| n.to_string());
            write!(
                out,
                "| {} | {} | {payload} | {} |",
                data_set.what, first.elements, data_set.goal
            )?;
            for server in &servers {
                match of_set.iter().find(|figure| figure.contender == *server) {
                    Some(figure) => write!(out, " {:.1} |", figure.bytes_per_element)?,
                    None => write!(out, " - |")?,
                }
            }
            writeln!(out)?;
        }
        writeln!(out)
    }

    /// One row a long command and server: what it took, and others' longest waits without it and with it, in milliseconds.
    fn write_stalls(&self, out: &mut String) -> std::fmt::Result {
        let figures = &self.results.stalls;
        if figures.is_empty() {
            return Ok(());
        }
        let part = self.settings.big_collection;
        writeln!(
            out,
            "The longest waits of others while something long is done, in milliseconds. A part is {part} elements.\n"
        )?;
        let columns: String = super::stalls::PROBED
            .iter()
            .map(|probed| format!(" {probed} without | {probed} with |"))
            .collect();
        writeln!(out, "| while | server | takes |{columns}")?;
        writeln!(out, "|---|---|---:|{}", "---:|".repeat(6))?;
        let mut last = "";
        for figure in figures {
            let what = match figure.stall.what == last {
                true => "",
                false => figure.stall.what,
            };
            last = figure.stall.what;
            write!(
                out,
                "| {what} | {} | {:.0} |",
                figure.contender, figure.took_ms
            )?;
            for wait in figure.waits.iter().flatten() {
                write!(out, " {wait:.2} |")?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }

    /// One row a figure of saving and loading, one column a server.
    fn write_saving(&self, out: &mut String) -> std::fmt::Result {
        let figures = &self.results.saving;
        if figures.is_empty() {
            return Ok(());
        }
        let mut servers = self.servers();
        servers.retain(|server| figures.iter().any(|f| f.contender == *server));
        header(out, "saving, loading, replicas, limits, growth", &servers)?;
        let mut rows: Vec<&str> = Vec::new();
        for figure in figures {
            if !rows.contains(&&*figure.row) {
                rows.push(&figure.row);
            }
        }
        for name in rows {
            let cells = servers.iter().map(|server| {
                let of = |f: &&super::saving::Figure| f.row == name && f.contender == *server;
                Some(number(figures.iter().find(of)?.value))
            });
            row(out, name, cells)?;
        }
        writeln!(out)
    }

    /// The report as JSON, every round included. Times are in the units the names end with, sizes in bytes.
    pub fn json(&self) -> Result<String> {
        let loads: Vec<Value> = self
            .results
            .loads
            .iter()
            .map(|figure| {
                json!({
                    "scenario": figure.scenario,
                    "server": figure.contender,
                    "median": measurement(&figure.median),
                    "rounds": figure.rounds.iter().map(measurement).collect::<Vec<_>>(),
                })
            })
            .collect();
        let operations: Vec<Value> = self
            .results
            .operations
            .iter()
            .map(|figure| {
                json!({
                    "operation": figure.operation.name,
                    "server": figure.contender,
                    "wall_ms": figure.wall_ms,
                    "cpu_ms": figure.cpu_ms,
                })
            })
            .collect();
        let memory: Vec<Value> = self
            .results
            .memory
            .iter()
            .map(|figure| {
                json!({
                    "data_set": figure.data_set.name,
                    "server": figure.contender,
                    "elements": figure.elements,
                    "bytes_per_element": figure.bytes_per_element,
                    "payload": figure.data_set.payload,
                    "goal": figure.data_set.goal,
                })
            })
            .collect();
        let probe = |figures: &[ProbeFigure]| -> Vec<Value> {
            figures
                .iter()
                .map(|figure| json!({ "server": figure.contender, "value": figure.value }))
                .collect()
        };
        let saving: Vec<Value> = (self.results.saving.iter())
            .map(|f| json!({ "row": f.row, "server": f.contender, "value": f.value }))
            .collect();
        let goals: Vec<Value> = self
            .goals
            .iter()
            .map(|outcome| {
                json!({
                    "goal": outcome.goal,
                    "measured": outcome.measured,
                    "bound": outcome.bound,
                    "at_most": outcome.at_most,
                    "met": outcome.met(),
                })
            })
            .collect();
        let report = json!({
            "date": self.date,
            "machine": self.machine,
            "rounds": self.settings.rounds,
            "seconds": self.settings.time.as_secs_f64(),
            "loads": loads,
            "operations": operations,
            "memory": memory,
            "idle_connection_bytes": probe(&self.results.idle),
            "start_to_pong_ms": probe(&self.results.start),
            "stalls_ms": self.results.stalls.iter().map(|figure| {
                let waits: serde_json::Map<String, Value> = (super::stalls::PROBED.iter())
                    .zip(figure.waits)
                    .map(|(name, [without, with])| {
                        ((*name).to_owned(), json!({ "without": without, "with": with }))
                    })
                    .collect();
                json!({
                    "name": figure.stall.name,
                    "server": figure.contender,
                    "took": figure.took_ms,
                    "longest": waits,
                })
            }).collect::<Vec<Value>>(),
            "saving": saving,
            "goals": goals,
            "notes": self.results.notes,
        });
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    }
}

fn measurement(m: &Measurement) -> Value {
    json!({
        "throughput": m.throughput,
        "p50_us": m.p50_us,
        "p99_us": m.p99_us,
        "p99.9_us": m.p999_us,
        "server_cpu_us": m.server_cpu_us,
        "load_cpu_us": m.load_cpu_us,
        "delivered_per_second": m.delivered,
    })
}

/// Whether a figure is one of many of which only the CPU time is of interest.
fn in_short(figure: &LoadFigure) -> bool {
    figure.scenario.starts_with(collections::PREFIX)
}

/// The head of a table with a column for each of `servers`.
fn header(out: &mut String, title: &str, servers: &[&str]) -> std::fmt::Result {
    writeln!(
        out,
        "| {title} | {} |\n|---|{}",
        servers.join(" | "),
        "---:|".repeat(servers.len())
    )
}

/// A row of such a table; what was not measured is a dash.
fn row(
    out: &mut String,
    name: &str,
    cells: impl Iterator<Item = Option<String>>,
) -> std::fmt::Result {
    let cells: Vec<String> = cells
        .map(|cell| cell.unwrap_or_else(|| "-".to_string()))
        .collect();
    writeln!(out, "| {name} | {} |", cells.join(" | "))
}

fn write_probe(out: &mut String, title: &str, figures: &[ProbeFigure]) -> std::fmt::Result {
    if figures.is_empty() {
        return Ok(());
    }
    writeln!(out, "| server | {title} |\n|---|---:|")?;
    for figure in figures {
        writeln!(out, "| {} | {} |", figure.contender, number(figure.value))?;
    }
    writeln!(out)
}

/// Ratios with two decimals, large numbers with none.
fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Processor, cores and kernel, as far as the system tells.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{} cores of {model}, {} {}",
        super::servers::cpus(),
        std::env::consts::OS,
        kernel.trim().split('-').next().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let mut out = String::new();
        header(&mut out, "x", &["A", "B"]).expect("a String");
        row(&mut out, "y", [Some("1".to_string()), None].into_iter()).expect("a String");
        assert_eq!(out, "| x | A | B |\n|---|---:|---:|\n| y | 1 | - |\n");
    }

    #[test]
    fn numbers() {
        assert_eq!(number(0.804), "0.80");
        assert_eq!(number(69.97), "70.0");
        assert_eq!(number(4095.6), "4096");
    }
}
