//! The report: a short text for people, one JSON object for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::{Plan, Until};
use crate::stage::Outcome;

/// Percentiles reported, with their names.
const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// Writes the report to standard output. A reader that has gone (`| head`) is not an error.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// The report for people.
pub fn text(plan: &Plan, load: Option<&Outcome>, measured: Option<&Outcome>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, plan, load, measured);
    out
}

fn write_text(
    out: &mut String,
    plan: &Plan,
    load: Option<&Outcome>,
    measured: Option<&Outcome>,
) -> std::fmt::Result {
    if let (Some(load), Some(template)) = (load, &plan.load) {
        writeln!(
            out,
            "load         {} on {}, {} keys",
            template.text(),
            plan.address,
            grouped(plan.fill.keys)
        )?;
        write_outcome(out, load)?;
    }
    let Some(measured) = measured else {
        return Ok(());
    };
    if load.is_some() {
        writeln!(out)?;
    }
    writeln!(
        out,
        "run          {} on {}",
        plan.describe_commands(),
        plan.address
    )?;
    writeln!(
        out,
        "             threads {}, connections {}, pipeline {}, {} keys {}, values of {} bytes",
        plan.threads,
        plan.connections,
        plan.pipeline,
        grouped(plan.fill.keys),
        plan.distribution,
        plan.fill.value_size
    )?;
    write_outcome(out, measured)?;
    if let Some(rate) = plan.rate {
        writeln!(
            out,
            "asked for    {rate:.0} requests/s; latencies count from when a request was due"
        )?;
    }
    Ok(())
}

fn write_outcome(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let seconds = seconds(outcome);
    writeln!(
        out,
        "requests     {} in {:.2} s",
        grouped(outcome.requests),
        outcome.elapsed.as_secs_f64()
    )?;
    writeln!(
        out,
        "throughput   {} requests/s, {:.1} MB/s sent, {:.1} MB/s received",
        grouped((outcome.requests as f64 / seconds) as u64),
        outcome.sent as f64 / seconds / 1e6,
        outcome.received as f64 / seconds / 1e6
    )?;
    if let Some(delivered) = outcome.delivered {
        writeln!(
            out,
            "delivered    {} messages to subscribers, {} messages/s",
            grouped(delivered),
            grouped((delivered as f64 / seconds) as u64)
        )?;
    }
    write!(out, "latency     ")?;
    for (name, percentile) in PERCENTILES {
        let ns = outcome.latencies.value_at_percentile(percentile);
        write!(out, " {name} {}", latency(ns))?;
    }
    writeln!(out, " max {}", latency(outcome.latencies.max()))?;
    write!(out, "errors       {}", grouped(outcome.errors.total))?;
    for (code, count) in &outcome.errors.by_code {
        write!(out, ", {code} {}", grouped(*count))?;
    }
    writeln!(out)?;
    if let Some(first) = &outcome.errors.first {
        writeln!(out, "             the first: {first}")?;
    }
    if let Some(cpu) = outcome.own_cpu {
        writeln!(
            out,
            "load gen.    {:.3} us CPU/request, {:.2} cores busy",
            per_request_us(cpu, outcome),
            cpu.as_secs_f64() / seconds
        )?;
    }
    for server in &outcome.servers {
        let cpu = server.after.cpu_since(&server.before);
        writeln!(
            out,
            "server       pid {}: {:.3} us CPU/request, {:.2} cores busy, resident {:.1} MB before, {:.1} MB after",
            server.pid,
            per_request_us(cpu, outcome),
            cpu.as_secs_f64() / seconds,
            server.before.resident as f64 / 1e6,
            server.after.resident as f64 / 1e6
        )?;
    }
    Ok(())
}

/// The report for programs. Times are in the unit that their names end with, sizes in bytes; `load` or `run` is null
/// when that stage did not take place.
pub fn json(plan: &Plan, load: Option<&Outcome>, measured: Option<&Outcome>) -> String {
    let report = json!({
        "config": {
            "address": plan.address.to_string(),
            "threads": plan.threads,
            "connections": plan.connections,
            "subscribers": plan.subscribers,
            "pipeline": plan.pipeline,
            "keys": plan.fill.keys,
            "key_size": plan.fill.key_size,
            "value_size": plan.fill.value_size,
            "distribution": plan.distribution.to_string(),
            "commands": plan.commands.iter().map(|(template, weight)| {
                json!({ "template": template.text(), "weight": weight })
            }).collect::<Vec<_>>(),
            "resp3": plan.greeting.resp3,
            "rate": plan.rate,
            "requests": match plan.until { Until::Requests(n) => Some(n), Until::Elapsed(_) => None },
            "duration_s": match plan.until { Until::Elapsed(time) => Some(time.as_secs_f64()), Until::Requests(_) => None },
            "warmup_s": plan.warmup.as_secs_f64(),
            "seed": plan.seed,
        },
        "load": load.map(outcome_json),
        "run": measured.map(outcome_json),
    });
    format!("{report}\n")
}

fn outcome_json(outcome: &Outcome) -> Value {
    let seconds = seconds(outcome);
    let us = |ns: u64| ns as f64 / 1000.0;
    let mut latency = serde_json::Map::new();
    latency.insert("mean".into(), json!(outcome.latencies.mean() / 1000.0));
    latency.insert("min".into(), json!(us(outcome.latencies.min())));
    for (name, percentile) in PERCENTILES {
        let value = us(outcome.latencies.value_at_percentile(percentile));
        latency.insert(name.into(), json!(value));
    }
    latency.insert("max".into(), json!(us(outcome.latencies.max())));
    json!({
        "requests": outcome.requests,
        "seconds": outcome.elapsed.as_secs_f64(),
        "throughput": outcome.requests as f64 / seconds,
        "delivered": outcome.delivered,
        "delivered_per_second": outcome.delivered.map(|delivered| delivered as f64 / seconds),
        "latency_us": latency,
        "sent_bytes": outcome.sent,
        "received_bytes": outcome.received,
        "errors": {
            "total": outcome.errors.total,
            "by_code": outcome.errors.by_code,
            "first": outcome.errors.first,
        },
        "client_cpu_us_per_request": outcome.own_cpu.map(|cpu| per_request_us(cpu, outcome)),
        "servers": outcome.servers.iter().map(|server| {
            let cpu = server.after.cpu_since(&server.before);
            json!({
                "pid": server.pid,
                "cpu_s": cpu.as_secs_f64(),
                "cpu_us_per_request": per_request_us(cpu, outcome),
                "resident_before": server.before.resident,
                "resident_after": server.after.resident,
            })
        }).collect::<Vec<_>>(),
    })
}

/// The measured time, never zero so that it can be divided by.
fn seconds(outcome: &Outcome) -> f64 {
    outcome.elapsed.as_secs_f64().max(1e-9)
}

fn per_request_us(cpu: Duration, outcome: &Outcome) -> f64 {
    cpu.as_secs_f64() * 1e6 / outcome.requests.max(1) as f64
}

/// `n` with commas between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A latency with a unit that fits it.
fn latency(ns: u64) -> String {
    let us = ns as f64 / 1e3;
    if us < 1000.0 {
        format!("{us:.1} us")
    } else if us < 1e6 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(latency(900), "0.9 us");
        assert_eq!(latency(1_500_000), "1.50 ms");
        assert_eq!(latency(2_000_000_000), "2.00 s");
    }
}
