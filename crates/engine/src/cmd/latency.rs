//! LATENCY: what took long and when, and how long commands take.
//!
//! Events are kept in [`crate::follow::latency`] while `latency-monitor-threshold` is set; the times of commands are counted in
//! [`crate::base::histogram`] while `latency-tracking` is on.

use super::command::help;
use crate::base::args::Args;
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::base::histogram::Total;
use crate::context::command::{ADMIN, Command, Group, LOADING, NOSCRIPT, STALE, container, row};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::follow::latency::{EVENTS, Event};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("latency", Group::Server, "2.8.13", LATENCY_COMMANDS)
        .docs("Holds the commands about latency.", "Depends on the subcommand"),
];

const FLAGS: u64 = ADMIN | NOSCRIPT | LOADING | STALE;

/// The subcommands of LATENCY.
#[rustfmt::skip]
const LATENCY_COMMANDS: &[Command] = &[
    row("latency|doctor", 2, FLAGS, Group::Server, "2.8.13", doctor)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs("Explains what took long.", "O(1)"),
    row("latency|graph", 3, FLAGS, Group::Server, "2.8.13", graph)
        .args("event")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs("Draws the samples of an event.", "O(1)"),
    row("latency|help", 2, LOADING | STALE, Group::Server, "2.8.13", help)
        .docs("Lists the subcommands of LATENCY.", "O(1)"),
    row("latency|histogram", -2, FLAGS, Group::Server, "7.0.0", histogram)
        .args("[command...]")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs("Returns how the times of commands are distributed.", "O(N), N being the number of commands with times"),
    row("latency|history", 3, FLAGS, Group::Server, "2.8.13", history)
        .args("event")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs("Returns the samples of an event.", "O(1)"),
    row("latency|latest", 2, FLAGS, Group::Server, "2.8.13", latest)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs("Returns the latest sample of every event.", "O(1)"),
    row("latency|reset", -2, FLAGS, Group::Server, "2.8.13", reset)
        .args("[event...]")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
        .docs("Forgets the samples of some events, or of all.", "O(1)"),
];

fn latest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let events = ctx.engine.follow.latency.events();
    ctx.out.array(events.len());
    for (name, event) in events {
        let (at_s, ms) = event.samples.back().copied().unwrap_or_default();
        // Valkey has the sum and the number of all times behind these. There are clients that take an entry of six for an error.
        ctx.out.array(4);
        ctx.out.bulk(name.as_bytes());
        for number in [at_s, ms, event.worst_ms] {
            ctx.out.int(number as i64);
        }
    }
    Ok(())
}

fn history(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let name = String::from_utf8_lossy(args.take());
    let event = ctx.engine.follow.latency.event(&name).unwrap_or_default();
    ctx.out.array(event.samples.len());
    for (at_s, ms) in event.samples {
        ctx.out.array(2);
        ctx.out.int(at_s as i64);
        ctx.out.int(ms as i64);
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let names = args.rest();
    let gone = ctx.engine.follow.latency.reset(names);
    ctx.out.int(gone as i64);
    Ok(())
}

fn histogram(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let engine = ctx.engine;
    let asked = args.rest();
    let named = |name: &str| {
        let of = |asked: &&[u8]| {
            let container = name.split('|').next().unwrap_or(name);
            asked.eq_ignore_ascii_case(name.as_bytes())
                || asked.eq_ignore_ascii_case(container.as_bytes())
        };
        asked.is_empty() || asked.iter().any(of)
    };
    let told: Vec<(&str, Total)> = engine
        .registry()
        .iter_all()
        .filter(|entry| named(entry.command.name))
        .map(|entry| (entry.command.name, engine.stats().times(entry.id)))
        .filter(|(_, times)| times.calls > 0)
        .collect();
    ctx.out.map(told.len());
    for (name, times) in told {
        ctx.out.bulk(name.as_bytes());
        ctx.out.map(2);
        ctx.out.bulk(b"calls");
        ctx.out.int(times.calls as i64);
        ctx.out.bulk(b"histogram_usec");
        let lines = times.cumulative_us();
        ctx.out.map(lines.len());
        for (us, calls) in lines {
            ctx.out.int(us as i64);
            ctx.out.int(calls as i64);
        }
    }
    Ok(())
}

fn graph(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let asked = args.take();
    let named = str::from_utf8(asked).ok();
    let found = named.and_then(|name| Some((name, ctx.engine.follow.latency.event(name)?)));
    let (name, event) =
        found.ok_or_else(|| Error::quoting("ERR No samples available for event '{}'", &[asked]))?;
    let drawn = draw(name, &event, unix_ms() / 1000);
    ctx.out.verbatim("txt", drawn.as_bytes());
    Ok(())
}

/// Columns of a graph.
const COLUMNS: usize = 80;
/// Lines of its bars.
const ROWS: u64 = 4;

/// A graph of the last samples: bars from the least to the most, and below each how long ago it was, read downwards.
fn draw(name: &str, event: &Event, now_s: u64) -> String {
    let skipped = event.samples.len().saturating_sub(COLUMNS);
    let samples: Vec<(u64, u64)> = event.samples.iter().skip(skipped).copied().collect();
    let high = samples.iter().map(|s| s.1).max().unwrap_or(0);
    let low = samples.iter().map(|s| s.1).min().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.worst_ms,
        "-".repeat(COLUMNS)
    );
    // A third of a row is a step: a full row is a bar, the top one says how full it is.
    let steps = |ms: u64| match high - low {
        0 => 0,
        range => (ms - low) * (ROWS * 3 - 1) / range,
    };
    for row in (0..ROWS).rev() {
        for (_, ms) in &samples {
            let steps = steps(*ms);
            text.push(match steps.checked_sub(row * 3) {
                None => ' ',
                Some(above @ 0..=2) => ['_', 'o', '#'][above as usize],
                Some(_) => '|',
            });
        }
        text.push('\n');
    }
    text.push('\n');
    let labels: Vec<Vec<u8>> = samples
        .iter()
        .map(|s| ago(now_s.saturating_sub(s.0)).into_bytes())
        .collect();
    let longest = labels.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..longest {
        for label in &labels {
            text.push(label.get(line).map_or(' ', |c| *c as char));
        }
        text.push('\n');
    }
    text
}

/// A time as a graph's label.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let text = report(ctx.engine);
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// What can be said of the events, in words.
fn report(engine: &Engine) -> String {
    let live = &engine.config().live;
    let threshold_ms = live.latency_threshold_ms.load(Relaxed);
    let events = engine.follow.latency.events();
    if threshold_ms == 0 && events.is_empty() {
        return "Nothing is noted: latency-monitor-threshold is 0. CONFIG SET latency-monitor-threshold <milliseconds> \
                notes what takes that long.\n"
            .into();
    }
    if events.is_empty() {
        return format!("Nothing has taken {threshold_ms} ms or longer since it is noted.\n");
    }
    let mut text = String::from("What took long:\n\n");
    for (number, (name, event)) in events.iter().enumerate() {
        let about = EVENTS.iter().find(|(known, _)| known == name);
        let about = about.map_or("", |(_, about)| about);
        let n = event.samples.len() as u64;
        let average = event.samples.iter().map(|s| s.1).sum::<u64>() / n.max(1);
        let apart: u64 = event
            .samples
            .iter()
            .map(|s| s.1.abs_diff(average))
            .sum::<u64>()
            / n.max(1);
        let since = event.samples.front().map_or(0, |s| s.0);
        let until = event.samples.back().map_or(0, |s| s.0);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}. {name} ({about}): in {n} seconds within {} s, {} times in all. On average {average} ms, mean deviation \
             {apart} ms, at most {} ms ever.",
            number + 1,
            until - since + 1,
            event.times,
            event.worst_ms
        );
    }
    text.push_str("\nWhat may help:\n\n");
    let seen = |name: &str| events.iter().any(|(event, _)| *event == name);
    if seen("command") || seen("fast-command") {
        match engine.follow.logs_slow() {
            true => text.push_str("- SLOWLOG GET names the slow commands and their arguments.\n"),
            false => text.push_str(
                "- Set slowlog-log-slower-than, so that SLOWLOG GET names the slow commands and their arguments.\n",
            ),
        }
        text.push_str(
            "- A slow command holds the locks of its own keys and nothing else: give keys that must answer quickly other \
             names than those of large collections, and read these in pieces (SCAN, HSCAN, SSCAN, ZSCAN).\n",
        );
    }
    if seen("fast-command") {
        text.push_str(
            "- Commands of constant time are slow when the machine has no processor for them: look for other programs, or \
             fewer worker threads than cores.\n",
        );
    }
    if seen("expire-cycle") {
        text.push_str("- Many keys expire at once: spread the times at which they do.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClient;

    #[test]
    fn slow_commands_are_events() {
        let mut c = TestClient::with(&[("enable-debug-command", "yes")]);
        c.check("LATENCY LATEST", "[]");
        assert!(
            c.run("LATENCY DOCTOR")
                .contains("latency-monitor-threshold is 0")
        );
        c.check("CONFIG SET latency-monitor-threshold 400", "OK");
        assert!(c.run("LATENCY DOCTOR").contains("Nothing has taken 400 ms"));
        c.run("DEBUG SLEEP 0.5");
        let latest = c.run("LATENCY LATEST");
        assert!(latest.starts_with("[[\"command\" "), "{latest}");
        assert_eq!(latest.split(' ').count(), 4, "{latest}");
        assert!(c.run("LATENCY HISTORY command").starts_with("[["));
        c.check("LATENCY HISTORY nosuch", "[]");
        assert!(c.run("LATENCY GRAPH command").contains("command - high "));
        assert!(
            c.run("LATENCY DOCTOR")
                .contains("1. command (a command that may take long): in ")
        );
        c.check("LATENCY RESET nosuch", "0");
        c.check("LATENCY RESET", "1");
        c.check("LATENCY LATEST", "[]");
        c.check(
            "LATENCY GRAPH command",
            "-ERR No samples available for event 'command'",
        );
        c.check(
            "LATENCY foo",
            "-ERR unknown subcommand 'foo'. Try LATENCY HELP.",
        );
    }

    #[test]
    fn a_graph_is_drawn() {
        let mut event = Event {
            worst_ms: 900,
            ..Event::default()
        };
        event.samples = [(35, 10), (95, 50), (100, 110)].into();
        let expected = "command - high 110 ms, low 10 ms (all time high 900 ms)\n".to_owned()
            + &"-".repeat(80)
            + "\n  #\n  |\n o|\n_||\n\n150\nmss\n";
        assert_eq!(draw("command", &event, 100), expected);
    }

    #[test]
    fn times_of_commands_are_counted() {
        let mut c = TestClient::new();
        c.run("SET k v; GET k; GET k; GET; CONFIG GET port");
        let told = c.run("LATENCY HISTOGRAM GET set nosuch");
        assert!(
            told.contains("\"get\" [\"calls\" 2 \"histogram_usec\" ["),
            "{told}"
        );
        assert!(
            told.contains("\"set\" [\"calls\" 1 ") && !told.contains("config"),
            "{told}"
        );
        assert!(
            c.run("LATENCY HISTOGRAM config")
                .contains("\"config|get\" ")
        );
        let info = c.run("INFO latencystats");
        assert!(info.contains("latency_percentiles_usec_get:p50="), "{info}");
        assert!(info.contains(",p99=") && info.contains(",p99.9="), "{info}");
        c.check(
            "CONFIG SET latency-tracking-info-percentiles \"0 50.50\"",
            "OK",
        );
        assert!(c.run("INFO latencystats").contains(",p50.5="));
        c.run("MULTI; INCR n; EXEC");
        assert!(c.run("LATENCY HISTOGRAM incr").contains("\"calls\" 1"));
        c.check("CONFIG RESETSTAT", "OK");
        c.check("LATENCY HISTOGRAM get", "[]");
        c.check("CONFIG SET latency-tracking no", "OK");
        c.run("GET k; GET k");
        c.check("LATENCY HISTOGRAM get", "[]");
    }
}
