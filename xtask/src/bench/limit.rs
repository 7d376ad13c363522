//! At the limit of memory: which keys are kept, what eviction costs, how much of the process `used_memory` is; and what a user with rules
//! costs.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bench;
use super::client::Client;
use super::load;
use super::saving::{Figure, figures, info};
use super::scenarios::{Cores, DATA_SETS};
use super::servers::{Contender, Server};

/// A measurement: its name, and what it is.
pub const ALL: [(&str, &str); 4] = [
    (
        "limit/hit-ratio",
        "GETs of a Zipf (0.99) trace, each miss followed by a SET, with room for a tenth of the keys",
    ),
    (
        "limit/eviction",
        "SETs of new keys at full speed, below maxmemory and at it (allkeys-lru)",
    ),
    (
        "limit/used",
        "resident bytes for each byte of used_memory, by data set",
    ),
    (
        "limit/user",
        "GETs by a user with rules and maxmemory set, and by one who may do everything without",
    ),
];

/// Measures one of them for a server.
pub fn measure(bench: &Bench, name: &str, contender: &Contender) -> Result<Vec<Figure>> {
    let mut rows = Vec::new();
    match name {
        "limit/hit-ratio" => hit_ratios(bench, contender, &mut rows)?,
        "limit/eviction" => eviction(bench, contender, &mut rows)?,
        "limit/used" => used(bench, contender, &mut rows)?,
        _ => user(bench, contender, &mut rows)?,
    }
    Ok(figures(rows, contender))
}

type Rows = Vec<(String, f64)>;

/// Keys of the trace, and those that there is room for.
const KEYS: usize = 200_000;
const ROOM: usize = KEYS / 10;

/// Bytes of a value of the trace.
const VALUE: usize = 200;

/// Requests of the trace that fill the cache, and those that are counted.
const WARM: usize = 10 * KEYS;
const COUNTED: usize = 5 * KEYS;

/// Requests under way at once.
const AT_ONCE: usize = 50;

/// The part of requests that find their key, by policy, in percent.
fn hit_ratios(bench: &Bench, contender: &Contender, rows: &mut Rows) -> Result<()> {
    for policy in ["allkeys-lru", "allkeys-lfu"] {
        let server = bench.start(contender, bench.first_port, Cores::All)?;
        let mut control = Client::connect(&server)?;
        control.call(&["CONFIG", "SET", "maxmemory-policy", policy])?;
        let mut cache = Cache::new(&server)?;
        // Room for so many keys, as the server itself counts: what a key takes is another measurement.
        let keys: Vec<usize> = (0..ROOM).collect();
        keys.chunks(AT_ONCE).try_for_each(|keys| cache.set(keys))?;
        let limit = info(&mut control, "used_memory")?.to_string();
        control.call(&["FLUSHALL"])?;
        control.call(&["CONFIG", "SET", "maxmemory", &limit])?;
        let mut zipf = Zipf::new(KEYS, 0.99);
        let mut hits = 0;
        for start in (0..WARM + COUNTED).step_by(AT_ONCE) {
            let wanted: Vec<usize> = (0..AT_ONCE).map(|_| zipf.next()).collect();
            let missed = cache.get(&wanted)?;
            if start >= WARM {
                hits += AT_ONCE - missed.len();
            }
            cache.set(&missed)?;
        }
        let percent = hits as f64 / COUNTED as f64 * 100.0;
        rows.push((
            format!("{policy}: hits of a Zipf (0.99) trace (%)"),
            percent,
        ));
    }
    Ok(())
}

/// A connection that uses the server as a cache.
struct Cache(BufReader<std::net::TcpStream>);

impl Cache {
    fn new(server: &Server) -> Result<Cache> {
        Ok(Cache(BufReader::new(server.connect()?)))
    }

    /// Those of these keys that are not there.
    fn get(&mut self, keys: &[usize]) -> Result<Vec<usize>> {
        let mut request = Vec::new();
        for key in keys {
            write!(request, "*2\r\n$3\r\nGET\r\n$10\r\nk{key:09}\r\n")?;
        }
        self.0.get_mut().write_all(&request)?;
        let mut missed = Vec::new();
        let mut value = [0; VALUE + 2];
        for key in keys {
            match self.line()?.as_str() {
                "$-1" => missed.push(*key),
                line if line.starts_with('$') => self.0.read_exact(&mut value)?,
                line => bail!("{line}"),
            }
        }
        Ok(missed)
    }

    fn set(&mut self, keys: &[usize]) -> Result<()> {
        let (mut request, value) = (Vec::new(), "v".repeat(VALUE));
        for key in keys {
            write!(
                request,
                "*3\r\n$3\r\nSET\r\n$10\r\nk{key:09}\r\n${VALUE}\r\n{value}\r\n"
            )?;
        }
        self.0.get_mut().write_all(&request)?;
        for _ in keys {
            let line = self.line()?;
            if line != "+OK" {
                bail!("{line}");
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// Draws numbers whose frequency falls with their rank, the same ones in every run. Ranks are spread over the numbers.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(n: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=n).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf {
            sums: sums.collect(),
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let all = self.sums[self.sums.len() - 1];
        let at = (self.state >> 11) as f64 / (1u64 << 53) as f64 * all;
        let rank = self.sums.partition_point(|sum| *sum <= at);
        // A prime that divides no number of keys used here: every rank has a number of its own.
        (rank * 7919) % self.sums.len()
    }
}

/// A number of the load generator's report.
fn number(run: &Value, path: &str) -> Result<f64> {
    run.pointer(path)
        .and_then(Value::as_f64)
        .with_context(|| format!("the load generator reports no {path}"))
}

/// Writes of new keys at full speed, while there is room and when there is none.
fn eviction(bench: &Bench, contender: &Contender, rows: &mut Rows) -> Result<()> {
    let time = format!("{}ms", bench.settings.time.as_millis());
    let keys = 100_000_000.to_string();
    for (what, limit) in [("below maxmemory", "0"), ("at maxmemory", "100mb")] {
        let server = bench.start(contender, bench.first_port, Cores::All)?;
        let mut control = Client::connect(&server)?;
        control.call(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
        control.call(&["CONFIG", "SET", "maxmemory", limit])?;
        let args = [
            "--command",
            "SET {key} {value}",
            "--keys",
            &keys,
            "--value-size",
            "200",
            "--pipeline",
            "16",
            "--duration",
            &time,
            "--warmup",
            "2000ms",
        ];
        let report = load::report(&bench.programs.redpoll, &server, &args)?;
        let run = &report["run"];
        let evicted = info(&mut control, "evicted_keys")?;
        if (limit != "0") != (evicted > 0.0) {
            bail!("{what}: {evicted} keys were evicted");
        }
        rows.push((
            format!("SET of new keys {what} (1/s)"),
            number(run, "/throughput")?,
        ));
        rows.push((
            format!("SET of new keys {what}: p99.9 (us)"),
            number(run, "/latency_us/p99.9")?,
        ));
    }
    Ok(())
}

/// How much of the process is in `used_memory`.
fn used(bench: &Bench, contender: &Contender, rows: &mut Rows) -> Result<()> {
    for data_set in &DATA_SETS {
        let server = bench.start(contender, bench.first_port, Cores::All)?;
        let elements = data_set.elements(&bench.settings);
        if load::weigh(&bench.programs.redpoll, &server, data_set, elements)?.is_none() {
            continue;
        }
        super::settle(&server)?;
        let mut control = Client::connect(&server)?;
        let used = info(&mut control, "used_memory")?;
        let resident = server.usage()?.resident as f64;
        let name = data_set.name.trim_start_matches("memory/");
        rows.push((format!("{name}: resident / used_memory"), resident / used));
    }
    Ok(())
}

/// What rules cost: CPU of the server for each request.
fn user(bench: &Bench, contender: &Contender, rows: &mut Rows) -> Result<()> {
    let time = format!("{}ms", bench.settings.time.as_millis());
    let keys = bench.settings.shared_keys.to_string();
    let server = bench.start(contender, bench.first_port, Cores::OnePinned)?;
    load::fill(
        &bench.programs.redpoll,
        &server,
        Cores::OnePinned,
        bench.settings.shared_keys,
    )?;
    let mut control = Client::connect(&server)?;
    let rules = "ACL SETUSER rules on >secret ~key:* ~0* ~1* ~* +@read +@write -@dangerous";
    control.call(&rules.split(' ').collect::<Vec<_>>())?;
    let command = load::on_one_core("GET {key}", &keys, "16", &time);
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..bench.settings.rounds {
        for (with, taken) in [false, true].into_iter().zip(&mut taken) {
            let limit = if with { "100gb" } else { "0" };
            control.call(&["CONFIG", "SET", "maxmemory", limit])?;
            let mut args = command.to_vec();
            if with {
                args.extend(["--user", "rules", "--password", "secret"]);
            }
            let report = load::report(&bench.programs.redpoll, &server, &args)?;
            taken.push(load::cpu_us(&report)?);
        }
    }
    let [plain, rules] = taken.map(|taken| load::median(taken).unwrap_or_default());
    rows.push((
        "GET, P=16, default user, no limit: server CPU (us)".into(),
        plain,
    ));
    rows.push((
        "GET, P=16, user with rules, maxmemory: server CPU (us)".into(),
        rules,
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_few_frequent_keys_and_every_key_is_one() {
        let mut zipf = Zipf::new(1000, 0.99);
        let mut counts = vec![0; 1000];
        (0..100_000).for_each(|_| counts[zipf.next()] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let first: i32 = counts[..100].iter().sum();
        // Of a thousand keys the first hundred have seven tenths.
        assert!((65_000..75_000).contains(&first), "{first}");
        assert!(counts.iter().all(|count| *count > 0));
    }
}
