//! Single commands on large collections, timed one call at a time: nothing else is under way, so a call's time is its
//! own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::Client;
use super::load::median;
use super::scenarios::Settings;
use super::servers::{Server, on_cpu};

/// A command that is timed.
pub struct Operation {
    /// Name for `--only`.
    pub name: &'static str,
    /// Its words.
    pub call: &'static [&'static str],
    /// Its time over the best peer's, at most.
    pub bound: f64,
}

/// The operations. Sets and sorted sets come in pairs of which one half is common.
pub const OPERATIONS: [Operation; 4] = [
    Operation {
        name: "operations/sinter",
        call: &["SINTER", "set:1", "set:2"],
        bound: 0.75,
    },
    Operation {
        name: "operations/sunion",
        call: &["SUNION", "set:1", "set:2"],
        bound: 0.75,
    },
    Operation {
        name: "operations/zunionstore",
        call: &["ZUNIONSTORE", "union", "2", "sorted-set:1", "sorted-set:2"],
        bound: 0.75,
    },
    Operation {
        name: "operations/sort",
        call: &["SORT", "list"],
        bound: 0.75,
    },
];

/// Elements sent in one command while preparing.
const CHUNK: usize = 1000;

/// What the calls of one round took.
pub struct Round {
    /// Median time from sending the command to the end of its reply, in milliseconds.
    pub wall_ms: f64,
    /// CPU time of the server for a call, in milliseconds: the mean, which has a share of what is done afterwards, such
    /// as freeing.
    pub cpu_ms: f64,
}

/// Stores the collections that the operations work on.
pub fn prepare(server: &Server, settings: &Settings) -> Result<()> {
    let elements = settings.operands;
    let mut client = Client::connect(server)?;
    for (n, first) in [(1, 0), (2, elements / 2)] {
        let members = (first..first + elements).map(|m| format!("element:{m:08}"));
        add(&mut client, &["SADD", &format!("set:{n}")], members, 1)?;
        let scored = (first..first + elements)
            .flat_map(|m| [scattered(m).to_string(), format!("element:{m:08}")]);
        add(
            &mut client,
            &["ZADD", &format!("sorted-set:{n}")],
            scored,
            2,
        )?;
    }
    let items = (0..elements).map(|m| scattered(m).to_string());
    add(&mut client, &["RPUSH", "list"], items, 1)
}

/// Sends `words`, of which `each` make an element, behind `command` in chunks.
fn add(
    client: &mut Client,
    command: &[&str],
    words: impl Iterator<Item = String>,
    each: usize,
) -> Result<()> {
    let mut words = words.peekable();
    while words.peek().is_some() {
        let mut call: Vec<String> = command.iter().map(|word| word.to_string()).collect();
        call.extend(words.by_ref().take(CHUNK * each));
        client.call(&call).with_context(|| command.join(" "))?;
    }
    Ok(())
}

/// A number for `n` that follows no order: the same for all servers.
fn scattered(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 34
}

/// Times `calls` calls of `operation`, after one that is not counted. The client runs on the core beside the server's.
pub fn time(server: &Server, operation: &Operation, calls: usize) -> Result<Round> {
    on_cpu(1, || {
        let mut client = Client::connect(server)?;
        client.call(operation.call)?;
        super::settle(server)?;
        let before = server.usage()?;
        let mut taken = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = Instant::now();
            client.call(operation.call)?;
            taken.push(milliseconds(began.elapsed()));
        }
        super::settle(server)?;
        let cpu = server.usage()?.cpu_since(&before);
        Ok(Round {
            wall_ms: median(taken).context("nothing was timed")?,
            cpu_ms: milliseconds(cpu) / calls.max(1) as f64,
        })
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_numbers_are_in_no_order_and_rarely_equal() {
        let numbers: Vec<u64> = (0..1000).map(scattered).collect();
        let rising = numbers.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((300..700).contains(&rising), "{rising}");
        let mut sorted = numbers;
        sorted.sort_unstable();
        sorted.dedup();
        assert!(sorted.len() > 990, "{}", sorted.len());
    }
}
