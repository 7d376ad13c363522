//! How long others wait while one client has the server do something long.
//!
//! Probing connections, enough to be spread over all workers, send PING, GET and DBSIZE in turns, first for a while with nothing
//! beside them and then while the long command runs. The figure is the longest wait of any of them with the command over the
//! longest without, so that what a busy machine adds is not counted twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::client::Client;
use super::load;
use super::scenarios::Cores;
use super::servers::{Contender, Server};

/// A long command.
pub struct Stall {
    /// Name for `--only`.
    pub name: &'static str,
    /// What stands in the report.
    pub what: &'static str,
    /// What is there before: collections of so many elements, or keys.
    data: &'static [Data],
    /// The command, or several that are sent one after the other.
    calls: &'static [&'static [&'static str]],
}

/// Data of so many elements, in parts of `Settings::big_collection`.
enum Data {
    /// Made by this command, with an element for each number: (command and key, words before each element, parts).
    Made(&'static [&'static str], Option<&'static str>, u64),
    /// Keys.
    Keys(u64),
}

/// The commands, with as many elements as the goals name where a part is a million.
pub const STALLS: [Stall; 7] = [
    Stall {
        name: "stall/sort-store",
        what: "SORT ALPHA STORE of 5 parts",
        data: &[Data::Made(&["RPUSH", "list"], None, 5)],
        calls: &[&["SORT", "list", "ALPHA", "STORE", "sorted"]],
    },
    Stall {
        name: "stall/sunionstore",
        what: "SUNIONSTORE of two sets of 2 parts",
        data: &[
            Data::Made(&["SADD", "set:1"], None, 2),
            Data::Made(&["SADD", "set:2"], None, 2),
        ],
        calls: &[&["SUNIONSTORE", "union", "set:1", "set:2"]],
    },
    Stall {
        name: "stall/exec",
        what: "the same in MULTI ... EXEC",
        data: &[
            Data::Made(&["SADD", "set:1"], None, 2),
            Data::Made(&["SADD", "set:2"], None, 2),
        ],
        calls: &[
            &["MULTI"],
            &["SUNIONSTORE", "union", "set:1", "set:2"],
            &["EXEC"],
        ],
    },
    Stall {
        name: "stall/del",
        what: "DEL of a set of 10 parts",
        data: &[Data::Made(&["SADD", "set"], None, 10)],
        calls: &[&["DEL", "set"]],
    },
    Stall {
        name: "stall/dump",
        what: "DUMP of a sorted set of 1 part",
        data: &[Data::Made(&["ZADD", "sorted"], Some("1.5"), 1)],
        calls: &[&["DUMP", "sorted"]],
    },
    Stall {
        name: "stall/keys",
        what: "KEYS among 2 parts",
        data: &[Data::Keys(2)],
        calls: &[&["KEYS", "*x*"]],
    },
    Stall {
        name: "stall/flushall",
        what: "FLUSHALL of 2 parts",
        data: &[Data::Keys(2)],
        calls: &[&["FLUSHALL", "SYNC"]],
    },
];

/// Elements sent in one command.
const CHUNK: u64 = 1000;

/// Connections that probe.
const PROBES: usize = 4;

/// How long they do with nothing beside them, and the pause between two calls.
const QUIET: Duration = Duration::from_secs(1);
const BREATH: Duration = Duration::from_micros(100);

/// The longest wait, in milliseconds, that the long command adds.
pub fn added_ms(bench: &Bench, contender: &Contender, stall: &Stall) -> Result<f64> {
    let server = bench.start(contender, bench.first_port, Cores::All)?;
    for data in stall.data {
        fill(bench, &server, data)?;
    }
    let mut client = Client::connect(&server)?;
    client.call(&["SET", "probe", "value"])?;
    let mut probes = (0..PROBES)
        .map(|_| Client::connect(&server))
        .collect::<Result<Vec<_>>>()?;
    super::settle(&server)?;
    let began = Instant::now();
    let without = longest_ms(&mut probes, || began.elapsed() < QUIET)?;
    let running = AtomicBool::new(true);
    let (with, took) = thread::scope(|scope| {
        let long = scope.spawn(|| -> Result<Duration> {
            let began = Instant::now();
            let called = stall.calls.iter().try_for_each(|words| client.call(words));
            running.store(false, Ordering::Relaxed);
            called?;
            Ok(began.elapsed())
        });
        let with = longest_ms(&mut probes, || running.load(Ordering::Relaxed))?;
        let took = long.join().expect("a client that panics")?;
        anyhow::Ok((with, took))
    })?;
    eprintln!(
        "{}: {} took {:.0} ms; longest wait {with:.2} ms, without {without:.2} ms",
        stall.name,
        contender.label,
        took.as_secs_f64() * 1000.0
    );
    Ok(with - without)
}

fn longest_ms(probes: &mut [Client], mut go_on: impl FnMut() -> bool) -> Result<f64> {
    let mut longest = Duration::ZERO;
    while go_on() {
        for probe in &mut *probes {
            for words in [&["PING"][..], &["GET", "probe"], &["DBSIZE"]] {
                let began = Instant::now();
                probe.call(words)?;
                longest = longest.max(began.elapsed());
            }
            thread::sleep(BREATH);
        }
    }
    Ok(longest.as_secs_f64() * 1000.0)
}

fn fill(bench: &Bench, server: &Server, data: &Data) -> Result<()> {
    let part = bench.settings.big_collection;
    match *data {
        Data::Keys(parts) => load::fill(&bench.programs.redpoll, server, Cores::All, parts * part),
        Data::Made(command, before, parts) => {
            let mut client = Client::connect(server)?;
            let key = command[1];
            for chunk in 0..(parts * part).div_ceil(CHUNK) {
                let mut words: Vec<String> = command.iter().map(|word| (*word).into()).collect();
                for n in chunk * CHUNK..(chunk + 1) * CHUNK {
                    words.extend(before.map(String::from));
                    // Neither in order nor numbers.
                    words.push(format!(
                        "{key}:{:016x}",
                        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    ));
                }
                client.call(&words).context("filling")?;
            }
            Ok(())
        }
    }
}
