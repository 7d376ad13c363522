//! Runs the load generator, `redpoll bench --json`, and reads what it reports.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::scenarios::{Cores, DataSet, Scenario, Settings, Until, VALUE_SIZE};
use super::servers::{Server, on_cpu};

/// What one run of the load generator measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Requests per second.
    pub throughput: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    /// See `p50_us`.
    pub p99_us: f64,
    /// See `p50_us`.
    pub p999_us: f64,
    /// CPU time of the server per request in microseconds, user and kernel together.
    pub server_cpu_us: f64,
    /// CPU time of the load generator per request in microseconds.
    pub load_cpu_us: f64,
    /// Messages per second that arrived at subscribers.
    pub delivered: f64,
}

impl Measurement {
    /// The medians of each number.
    pub fn median(rounds: &[Measurement]) -> Option<Measurement> {
        let of = |number: fn(&Measurement) -> f64| median(rounds.iter().map(number).collect());
        Some(Measurement {
            throughput: of(|m| m.throughput)?,
            p50_us: of(|m| m.p50_us)?,
            p99_us: of(|m| m.p99_us)?,
            p999_us: of(|m| m.p999_us)?,
            server_cpu_us: of(|m| m.server_cpu_us)?,
            load_cpu_us: of(|m| m.load_cpu_us)?,
            delivered: of(|m| m.delivered)?,
        })
    }

    /// The numbers in one line.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:.0} requests/s, p99 {:.0} us, server {:.3} us CPU/request",
            self.throughput, self.p99_us, self.server_cpu_us
        );
        if self.delivered > 0.0 {
            line += &format!(", {:.0} messages/s delivered", self.delivered);
        }
        line
    }

    fn read(report: &Value) -> Result<Measurement> {
        let run = &report["run"];
        let number = |value: &Value, what: &str| {
            value
                .as_f64()
                .with_context(|| format!("the load generator does not report {what}"))
        };
        Ok(Measurement {
            throughput: number(&run["throughput"], "throughput")?,
            p50_us: number(&run["latency_us"]["p50"], "p50")?,
            p99_us: number(&run["latency_us"]["p99"], "p99")?,
            p999_us: number(&run["latency_us"]["p99.9"], "p99.9")?,
            server_cpu_us: number(&run["servers"][0]["cpu_us_per_request"], "server CPU")?,
            load_cpu_us: run["client_cpu_us_per_request"].as_f64().unwrap_or(0.0),
            delivered: run["delivered_per_second"].as_f64().unwrap_or(0.0),
        })
    }
}

/// The middle of `values`, or the mean of the two in the middle; none if there is no value.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Sets `keys` keys.
pub fn fill(redpoll: &Path, server: &Server, cores: Cores, keys: u64) -> Result<()> {
    let mut command = bench(redpoll, server);
    command.args(["--load", "--load-only", "--verify-errors"]);
    command.args(["--keys", &keys.to_string()]);
    command.args(["--value-size", &VALUE_SIZE.to_string()]);
    run(command, cores).map(drop)
}

/// Sends `template` for `keys` keys, which are numbers of 12 digits. Error replies are an error.
pub fn prepare(
    redpoll: &Path,
    server: &Server,
    cores: Cores,
    template: &str,
    keys: u64,
) -> Result<()> {
    let mut command = bench(redpoll, server);
    command.args(["--load", "--load-only", "--load-command", template]);
    command.args(["--keys", &keys.to_string()]);
    command.args(BARE_NUMBERS);
    let report = run(command, cores)?;
    refuse_errors(&report["load"]).with_context(|| template.to_string())
}

/// Options for keys that are nothing but a number.
const BARE_NUMBERS: [&str; 4] = ["--key-prefix", "", "--key-size", "12"];

/// The seed of the first round: that after the load generator's own, with which data sets are filled.
const FIRST_SEED: usize = 2;

/// An error with the text of the first error reply of a stage, if there was any.
fn refuse_errors(stage: &Value) -> Result<()> {
    match stage["errors"]["total"].as_u64() {
        Some(0) => Ok(()),
        None => bail!("the load generator does not report errors"),
        Some(_) => bail!(
            "error replies: {}",
            stage["errors"]["first"].as_str().unwrap_or("(no text)")
        ),
    }
}

/// Runs a round of `scenario`. Error replies are an error.
pub fn measure(
    redpoll: &Path,
    server: &Server,
    scenario: &Scenario,
    settings: &Settings,
    round: usize,
) -> Result<Measurement> {
    let mut command = bench(redpoll, server);
    // A round that drew what the one before it drew would find that it has nothing to change.
    command.args(["--seed", &(FIRST_SEED + round).to_string()]);
    command.args(["--command", scenario.command]);
    command.args(["--keys", &scenario.keys.to_string()]);
    if !scenario.loaded {
        command.args(BARE_NUMBERS);
    }
    command.args(["--value-size", &VALUE_SIZE.to_string()]);
    command.args(["--pipeline", &scenario.pipeline.to_string()]);
    command.args(["--connections", &scenario.connections.to_string()]);
    command.args(["--threads", &scenario.load_threads.to_string()]);
    match scenario.until {
        Until::Requests(requests) => {
            command.args(["--requests", &requests.to_string()]);
        }
        Until::TimeIsUp => {
            command.args(["--duration", &format!("{}ms", settings.time.as_millis())]);
            command.args(["--warmup", &format!("{}ms", settings.warmup.as_millis())]);
        }
    }
    if scenario.subscribers > 0 {
        command.args(["--subscribers", &scenario.subscribers.to_string()]);
    }
    if let Some(rate) = scenario.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    let report = run(command, scenario.cores)?;
    refuse_errors(&report["run"])?;
    Measurement::read(&report)
}

/// Elements stored to see whether a server knows the command.
const TRIAL: u64 = 16;

/// Stores `elements` elements of `data_set` in a fresh server and returns the resident bytes each has cost; none if
/// the server answers the commands with errors.
pub fn weigh(
    redpoll: &Path,
    server: &Server,
    data_set: &DataSet,
    elements: u64,
) -> Result<Option<f64>> {
    let store = |keys: u64| {
        let mut command = bench(redpoll, server);
        command.args(["--load", "--load-only", "--load-command", data_set.command]);
        command.args(["--keys", &keys.to_string()]);
        command.args(["--value-size", &data_set.value_size.to_string()]);
        run(command, Cores::All)
    };
    // The trial also brings in what a server allocates once, so that it is not counted as the elements' share.
    let errors = |report: &Value| report["load"]["errors"]["total"].as_u64();
    if errors(&store(TRIAL)?) != Some(0) {
        return Ok(None);
    }
    let report = store(elements)?;
    if errors(&report) != Some(0) {
        return Ok(None);
    }
    let usage = &report["load"]["servers"][0];
    let bytes = |when: &str| {
        usage[when]
            .as_f64()
            .context("the load generator does not report resident memory")
    };
    let grown = bytes("resident_after")? - bytes("resident_before")?;
    Ok(Some(grown / elements as f64))
}

/// What a load is told that has one core, and the server another.
pub fn on_one_core<'a>(
    command: &'a str,
    keys: &'a str,
    pipeline: &'a str,
    time: &'a str,
) -> [&'a str; 12] {
    [
        "--command",
        command,
        "--keys",
        keys,
        "--pipeline",
        pipeline,
        "--threads",
        "1",
        "--duration",
        time,
        "--warmup",
        "300ms",
    ]
}

/// The CPU time that the server took for a request, in microseconds, by a report of a load.
pub fn cpu_us(report: &Value) -> Result<f64> {
    let cpu = report.pointer("/run/servers/0/cpu_us_per_request");
    cpu.and_then(Value::as_f64).context("no server CPU")
}

/// What the load generator reports with these arguments.
pub fn report(redpoll: &Path, server: &Server, args: &[&str]) -> Result<Value> {
    let mut command = bench(redpoll, server);
    command.args(args);
    run(command, Cores::All)
}

fn bench(redpoll: &Path, server: &Server) -> Command {
    let mut command = Command::new(redpoll);
    command.args(["bench", "--json"]);
    command.args(["--port", &server.port().to_string()]);
    command.args(["--server-pid", &server.pid().to_string()]);
    command
}

/// Runs the load generator, on the core beside the server's if that has one, and parses its report.
fn run(mut command: Command, cores: Cores) -> Result<Value> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = match cores {
        Cores::OnePinned => on_cpu(1, || command.spawn()),
        Cores::All => command.spawn(),
    };
    let out = child
        .and_then(std::process::Child::wait_with_output)
        .context("cannot run the load generator")?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!(
            "the load generator ended with {}: {}",
            out.status,
            said.trim()
        );
    }
    serde_json::from_slice(&out.stdout).context("the load generator's report is no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn reads_a_report_and_says_what_it_lacks() {
        let mut report = serde_json::json!({ "run": {
            "throughput": 1000.0,
            "latency_us": { "p50": 1.0, "p99": 2.0, "p99.9": 3.0 },
            "client_cpu_us_per_request": 0.5,
            "servers": [{ "cpu_us_per_request": 6.5 }],
        }});
        let read = Measurement::read(&report).expect("a measurement");
        assert_eq!((read.p999_us, read.server_cpu_us), (3.0, 6.5));
        assert_eq!(read.delivered, 0.0, "nobody subscribed");
        report["run"]["servers"] = serde_json::json!([]);
        let why = Measurement::read(&report).expect_err("nothing about the server");
        assert!(why.to_string().contains("server CPU"), "{why}");
    }

    #[test]
    fn error_replies_are_no_figures() {
        let stage = |errors| serde_json::json!({ "errors": errors });
        let none = stage(serde_json::json!({ "total": 0, "first": null }));
        assert!(refuse_errors(&none).is_ok());
        let some = stage(serde_json::json!({ "total": 3, "first": "ERR unknown command" }));
        let why = refuse_errors(&some).expect_err("three errors");
        assert!(why.to_string().contains("ERR unknown command"), "{why}");
        assert!(refuse_errors(&Value::Null).is_err());
    }
}
