//! The command line of `redpoll bench`, checked once and turned into a `Plan` that the rest can rely on.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::draw::Distribution;
use crate::template::{self, Fill, Template};

/// Measure a server that speaks RESP: throughput, latencies, errors and, given its process id, its CPU and memory.
///
/// Without --rate every connection sends --pipeline requests, waits for all the replies and sends the next ones. With
/// --rate requests are due at fixed times whether or not the server keeps up, and a latency counts from the time the
/// request was due, so that a stall is seen by all the requests it delayed.
#[derive(Parser, Debug)]
#[command(
    name = "redpoll bench",
    bin_name = "redpoll bench",
    no_binary_name = true
)]
pub struct Args {
    /// Host name or address of the server.
    #[arg(long, default_value = "127.0.0.1", conflicts_with = "socket")]
    host: String,
    /// TCP port of the server.
    #[arg(short, long, default_value_t = 6379, conflicts_with = "socket")]
    port: u16,
    /// Unix socket to connect to instead of a TCP port.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// User to authenticate as, with --password.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Password to authenticate with.
    #[arg(long)]
    password: Option<String>,
    /// Greet with HELLO 3 and receive RESP3 replies.
    #[arg(long)]
    resp3: bool,
    /// Number of the database to work on.
    #[arg(long, value_name = "N", default_value_t = 0)]
    db: u32,

    /// Threads of the load generator.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Connections in all, shared out over the threads.
    #[arg(long, value_name = "N", default_value_t = 50)]
    connections: usize,
    /// Requests a connection has under way at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pipeline: u32,

    /// Number of keys.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,
    /// What every key begins with.
    #[arg(long, value_name = "TEXT", default_value = "key:")]
    key_prefix: String,
    /// Length of a key in bytes, prefix included; the rest is the key's number, padded with zeros.
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_size: usize,
    /// Which keys are used how often: uniform, zipf, zipf(THETA) or sequential.
    #[arg(long, value_name = "HOW", default_value = "uniform")]
    distribution: Distribution,
    /// Length of a value in bytes.
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = template::value_size)]
    value_size: usize,
    /// SETs to GETs, as in 1:9.
    #[arg(long, value_name = "SET:GET", default_value = "1:9", value_parser = ratio, conflicts_with = "command")]
    ratio: (u32, u32),
    /// Command to send instead, with placeholders {key} {value} {value:SIZE} {int} {int:LOW-HIGH} {member:N} {seq}.
    /// Commands with a word `;` between them, as in "MULTI ; SET {key} {value} ; EXEC", are sent together and count as
    /// one request. May be given several times.
    #[arg(long, value_name = "TEMPLATE")]
    command: Vec<String>,
    /// How often each --command is sent compared with the others: one for each of them, in their order.
    #[arg(long, value_name = "N", requires = "command")]
    weight: Vec<u32>,

    /// Further connections that subscribe to --channel and count the messages they receive, all of one length.
    #[arg(long, value_name = "N", default_value_t = 0)]
    subscribers: usize,
    /// Channel of the --subscribers; the messages are whatever --command publishes.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "channel",
        requires = "subscribers"
    )]
    channel: String,

    /// Stop after this many requests.
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    requests: Option<u64>,
    /// Stop after this time: a number of seconds, or with a unit as in 500ms, 10s, 2m [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Run this long before measuring.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    warmup: Duration,
    /// Requests due per second over all connections, whether or not the server keeps up.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// First set every key, in long pipelines.
    #[arg(long)]
    load: bool,
    /// Command that --load sends, with at least one {key}.
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = "SET {key} {value}",
        requires = "load"
    )]
    load_command: String,
    /// Stop after --load.
    #[arg(long, requires = "load", conflicts_with_all = ["requests", "duration", "warmup", "rate", "command", "ratio"])]
    load_only: bool,
    /// Seed of the random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Leave with status 1 if any reply was an error. Errors are counted and reported either way.
    #[arg(long)]
    verify_errors: bool,
    /// Process id of the server on this machine, to report its CPU time per request and its memory. May be given
    /// several times.
    #[arg(long, value_name = "PID")]
    server_pid: Vec<u32>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Where the server is.
#[derive(Clone, Debug)]
pub enum Address {
    /// A host and a TCP port.
    Tcp(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What is said on a connection before the load.
#[derive(Clone, Debug, Default)]
pub struct Greeting {
    /// User name, if not the default user.
    pub user: Option<String>,
    /// Password; none means no authentication.
    pub password: Option<String>,
    /// Switch to RESP3.
    pub resp3: bool,
    /// Database to select.
    pub db: u32,
    /// Channel to subscribe to.
    pub subscribe: Option<String>,
}

/// When the measurement ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// After this many requests.
    Requests(u64),
    /// After this time.
    Elapsed(Duration),
}

/// A run, checked: every number is in range and every template compiles.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server is.
    pub address: Address,
    /// What is said first.
    pub greeting: Greeting,
    /// Threads, at least 1.
    pub threads: usize,
    /// Connections in all, at least one for each thread.
    pub connections: usize,
    /// Connections that subscribe to a channel, in addition.
    pub subscribers: usize,
    /// What is said first on those.
    pub subscribers_greeting: Greeting,
    /// Requests under way on each connection, at least 1.
    pub pipeline: u32,
    /// Keys and values.
    pub fill: Fill,
    /// Which keys are used how often.
    pub distribution: Distribution,
    /// Commands and their weights; the weights are above 0.
    pub commands: Vec<(Template, u32)>,
    /// The command of the loading stage, if there is one.
    pub load: Option<Template>,
    /// No measurement after loading.
    pub load_only: bool,
    /// When the measurement ends.
    pub until: Until,
    /// Time before the measurement.
    pub warmup: Duration,
    /// Requests due per second, if the loop is open.
    pub rate: Option<f64>,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Fail if any reply was an error.
    pub verify_errors: bool,
    /// Processes whose CPU and memory are reported.
    pub server_pids: Vec<u32>,
    /// Report as JSON.
    pub json: bool,
}

impl Plan {
    /// Checks `args`. The error is one line for the user.
    pub fn new(args: &Args) -> Result<Plan, String> {
        let fill = Fill {
            keys: at_least_one("--keys", args.keys)?,
            key_prefix: args.key_prefix.clone(),
            key_size: args.key_size,
            value_size: args.value_size,
        };
        let threads = at_least_one("--threads", args.threads)?;
        let connections = at_least_one("--connections", args.connections)?;
        if connections < threads {
            return Err(format!(
                "--connections {connections} leaves some of {threads} threads without one"
            ));
        }
        if args.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e9)) {
            return Err("--rate is a number above 0 and at most 1000000000".to_string());
        }
        if args.requests == Some(0) {
            return Err("--requests must be at least 1".to_string());
        }
        let load = if args.load {
            let template = Template::new(&args.load_command, &fill)?;
            if template.keys() == 0 {
                return Err("--load-command needs a {key}".to_string());
            }
            Some(template)
        } else {
            None
        };
        Ok(Plan {
            address: match &args.socket {
                Some(path) => Address::Unix(path.clone()),
                None => Address::Tcp(args.host.clone(), args.port),
            },
            greeting: Greeting {
                user: args.user.clone(),
                password: args.password.clone(),
                resp3: args.resp3,
                db: args.db,
                subscribe: None,
            },
            threads,
            connections,
            subscribers: args.subscribers,
            // RESP2, where a message is an array like any other.
            subscribers_greeting: Greeting {
                user: args.user.clone(),
                password: args.password.clone(),
                resp3: false,
                db: 0,
                subscribe: Some(args.channel.clone()),
            },
            pipeline: at_least_one("--pipeline", args.pipeline)?,
            commands: commands(args, &fill)?,
            fill,
            distribution: args.distribution,
            load,
            load_only: args.load_only,
            until: match (args.requests, args.duration) {
                (Some(requests), _) => Until::Requests(requests),
                (None, duration) => Until::Elapsed(duration.unwrap_or(Duration::from_secs(10))),
            },
            warmup: args.warmup,
            rate: args.rate,
            seed: args.seed,
            verify_errors: args.verify_errors,
            server_pids: args.server_pid.clone(),
            json: args.json,
        })
    }

    /// The commands of the measurement in one line, with their weights when there are several.
    pub fn describe_commands(&self) -> String {
        let described: Vec<String> = self
            .commands
            .iter()
            .map(|(template, weight)| {
                if self.commands.len() == 1 {
                    template.text().to_string()
                } else {
                    format!("{weight} x {}", template.text())
                }
            })
            .collect();
        described.join(", ")
    }
}

/// The commands of the measurement and their weights.
fn commands(args: &Args, fill: &Fill) -> Result<Vec<(Template, u32)>, String> {
    let (texts, weights): (Vec<&str>, Vec<u32>) = if args.command.is_empty() {
        let (sets, gets) = args.ratio;
        (vec!["SET {key} {value}", "GET {key}"], vec![sets, gets])
    } else {
        let weights = if args.weight.is_empty() {
            vec![1; args.command.len()]
        } else {
            args.weight.clone()
        };
        (args.command.iter().map(String::as_str).collect(), weights)
    };
    if texts.len() != weights.len() {
        return Err(format!(
            "{} --weight for {} --command; give each command one",
            weights.len(),
            texts.len()
        ));
    }
    let mut commands = Vec::new();
    for (text, weight) in texts.into_iter().zip(weights) {
        if weight > 0 {
            commands.push((Template::new(text, fill)?, weight));
        }
    }
    if commands.is_empty() {
        return Err("all commands have weight 0".to_string());
    }
    Ok(commands)
}

fn at_least_one<N: PartialOrd + From<u8>>(name: &str, n: N) -> Result<N, String> {
    if n >= N::from(1) {
        Ok(n)
    } else {
        Err(format!("{name} must be at least 1"))
    }
}

/// Reads SET:GET.
fn ratio(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once(':');
    match parts.map(|(sets, gets)| (sets.parse(), gets.parse())) {
        Some((Ok(0), Ok(0))) => Err("0:0 leaves nothing to send".to_string()),
        Some((Ok(sets), Ok(gets))) => Ok((sets, gets)),
        _ => Err("expected two numbers, as in 1:9".to_string()),
    }
}

/// Reads a time such as `10`, `10s`, `1.5s`, `500ms` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text, 1.0)
    };
    number
        .parse::<f64>()
        .ok()
        .map(|seconds| seconds * unit)
        .filter(|&seconds| seconds <= 1e8)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a time such as 10s, 500ms or 2m".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, String> {
        let args = Args::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        Plan::new(&args)
    }

    #[test]
    fn defaults_are_ten_seconds_of_mostly_gets() {
        let plan = plan("").expect("a plan");
        assert_eq!(plan.until, Until::Elapsed(Duration::from_secs(10)));
        assert_eq!(
            plan.describe_commands(),
            "1 x SET {key} {value}, 9 x GET {key}"
        );
        assert!(plan.load.is_none());
    }

    #[test]
    fn the_port_is_said_as_to_other_clients() {
        for line in ["-p 7000", "--port 7000"] {
            let args = Args::try_parse_from(line.split(' ')).expect("arguments");
            assert_eq!(args.port, 7000, "{line}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1", "nan", "inf", "1h", "1e300"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ratio_with_a_zero_sends_one_command() {
        let plan = plan("--ratio 0:1").expect("a plan");
        assert_eq!(plan.describe_commands(), "GET {key}");
    }

    #[test]
    fn weights_belong_to_commands() {
        let plan = plan("--command PING --weight 3 --command TIME --weight 2").expect("a plan");
        assert_eq!(plan.describe_commands(), "3 x PING, 2 x TIME");
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for bad in [
            "--connections 0",
            "--threads 0",
            "--pipeline 0",
            "--keys 0",
            "--requests 0",
            "--threads 3 --connections 2",
            "--requests 5 --duration 5",
            "--rate 0",
            "--rate nan",
            "--ratio 0:0",
            "--ratio 1",
            "--weight 1",
            "--command PING --weight 0",
            "--command PING --command TIME --weight 1",
            "--command PING --ratio 1:1",
            "--key-size 4",
            "--load --load-command PING",
            "--load-only",
            "--load --load-only --duration 1",
            "--user bob",
            "--channel news",
            "--socket x --port 1",
            "extra",
        ] {
            assert!(plan(bad).is_err(), "{bad}");
        }
    }
}
