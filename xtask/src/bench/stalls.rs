//! How long others wait while one client has the server do something long.
//!
//! Some connections send PING in turns, enough to be spread over all workers; beside them one sends DBSIZE and some send GET, first
//! for a while with nothing else going on and then while the long command runs. The figures are the longest waits without it and
//! with it, so that what a busy machine adds is seen. Each GET is of another key, and the one in the middle counts: who asks for a
//! key of a shard that the long command holds waits for it by design.

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
    /// How often.
    times: usize,
}

/// Data of so many elements, in parts of `Settings::big_collection`.
enum Data {
    /// Made by this command, with an element for each number: (command and key, words before each element, parts).
    Made(&'static [&'static str], Option<&'static str>, u64),
    /// Made by a script that is called with a key and adds [`CHUNK`] elements each time: (script, key, parts).
    Script(&'static str, &'static str, u64),
    /// Keys.
    Keys(u64),
}

impl Stall {
    const fn of(
        name: &'static str,
        what: &'static str,
        data: &'static [Data],
        calls: &'static [&'static [&'static str]],
    ) -> Stall {
        Stall {
            name,
            what,
            data,
            calls,
            times: 1,
        }
    }

    const fn times(mut self, times: usize) -> Stall {
        self.times = times;
        self
    }
}

/// Two sets with nothing in common.
const TWO_SETS: &[Data] = &[
    Data::Made(&["SADD", "set:1"], None, 2),
    Data::Made(&["SADD", "set:2"], None, 2),
];

/// Adds to a stream.
const ADD_TO_STREAM: &str =
    "for i = 1, 1000 do redis.call('XADD', KEYS[1], '*', 'field', 'value') end";

/// Adds members with scores of chance to a sorted set.
const ADD_TO_SORTED: &str =
    "for i = 1, 2000 do redis.call('ZADD', KEYS[1], math.random(), math.random()) end";

/// The commands, with as many elements as the goals name where a part is a million.
pub const STALLS: [Stall; 13] = [
    Stall::of(
        "stall/sort-store",
        "SORT ALPHA STORE of 5 parts",
        &[Data::Made(&["RPUSH", "list"], None, 5)],
        &[&["SORT", "list", "ALPHA", "STORE", "sorted"]],
    ),
    Stall::of(
        "stall/sunionstore",
        "SUNIONSTORE of two sets of 2 parts",
        TWO_SETS,
        &[&["SUNIONSTORE", "union", "set:1", "set:2"]],
    ),
    Stall::of(
        "stall/exec",
        "the same in MULTI ... EXEC",
        TWO_SETS,
        &[
            &["MULTI"],
            &["SUNIONSTORE", "union", "set:1", "set:2"],
            &["EXEC"],
        ],
    ),
    Stall::of(
        "stall/exec-lrange",
        "LRANGE of 1 part in MULTI ... EXEC",
        &[Data::Made(&["RPUSH", "list"], None, 1)],
        &[&["MULTI"], &["LRANGE", "list", "0", "-1"], &["EXEC"]],
    ),
    Stall::of(
        "stall/exec-script",
        "the same by a script",
        &[Data::Made(&["RPUSH", "list"], None, 1)],
        &[
            &["MULTI"],
            &[
                "EVAL",
                "return #redis.call('LRANGE', KEYS[1], 0, -1)",
                "1",
                "list",
            ],
            &["EXEC"],
        ],
    ),
    Stall::of(
        "stall/del",
        "DEL of a set of 10 parts",
        &[Data::Made(&["SADD", "set"], None, 10)],
        &[&["DEL", "set"]],
    ),
    Stall::of(
        "stall/hgetall",
        "HGETALL of 1 part",
        &[Data::Made(&["HSET", "hash"], Some("field"), 1)],
        &[&["HGETALL", "hash"]],
    ),
    Stall::of(
        "stall/dump",
        "DUMP of a sorted set of 1 part",
        &[Data::Made(&["ZADD", "sorted"], Some("1.5"), 1)],
        &[&["DUMP", "sorted"]],
    ),
    Stall::of(
        "stall/zadd",
        "500 scripts of 2,000 ZADD each",
        &[],
        &[&["EVAL", ADD_TO_SORTED, "1", "sorted"]],
    )
    .times(500),
    Stall::of(
        "stall/keys",
        "KEYS among 2 parts",
        &[Data::Keys(2)],
        &[&["KEYS", "*x*"]],
    ),
    Stall::of(
        "stall/dbsize",
        "10,000 times DBSIZE among 2 parts",
        &[Data::Keys(2)],
        &[&["DBSIZE"]],
    )
    .times(10_000),
    Stall::of(
        "stall/flushall",
        "FLUSHALL of 2 parts",
        &[Data::Keys(2)],
        &[&["FLUSHALL", "SYNC"]],
    ),
    Stall::of(
        "stall/flushall-stream",
        "FLUSHALL of a stream of 1 part",
        &[Data::Script(ADD_TO_STREAM, "stream", 1)],
        &[&["FLUSHALL", "SYNC"]],
    ),
];

/// What a long command cost others.
pub struct Figure {
    pub stall: &'static Stall,
    pub contender: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// The longest waits in milliseconds, without it and with it, of each of [`PROBED`].
    pub waits: [[f64; 2]; 3],
}

/// The same of one round: how long it took, and the waits.
pub type Round = (f64, [[f64; 2]; 3]);

/// What is sent meanwhile.
pub const PROBED: [&str; 3] = ["PING", "GET", "DBSIZE"];

/// Elements sent in one command.
const CHUNK: u64 = 1000;

/// Connections that send PING, and keys that are asked for, each over a connection of its own.
const PINGS: usize = 4;
const KEYS: [&str; 3] = ["probe:1", "probe:2", "probe:3"];

/// How long they do with nothing beside them, and the pause between two calls.
const QUIET: Duration = Duration::from_secs(1);
const BREATH: Duration = Duration::from_micros(200);

/// Measures one of them in a server: how long it took, and the waits.
pub fn measure(bench: &Bench, contender: &Contender, stall: &Stall) -> Result<Round> {
    let server = bench.start(contender, bench.first_port, Cores::All)?;
    for data in stall.data {
        fill(bench, &server, data)?;
    }
    let mut client = Client::connect(&server)?;
    for key in KEYS {
        client.call(&["SET", key, "value"])?;
    }
    let connect =
        |n: usize| -> Result<Vec<Client>> { (0..n).map(|_| Client::connect(&server)).collect() };
    let mut probes = Probes {
        pings: connect(PINGS)?,
        gets: connect(KEYS.len())?,
        dbsize: connect(1)?,
    };
    super::settle(&server)?;
    let without = probes.longest_ms(|| {
        thread::sleep(QUIET);
        Ok(())
    })?;
    let mut took = Duration::ZERO;
    let with = probes.longest_ms(|| {
        let began = Instant::now();
        let mut calls = || stall.calls.iter().try_for_each(|words| client.call(words));
        (0..stall.times).try_for_each(|_| calls())?;
        took = began.elapsed();
        Ok(())
    })?;
    let took_ms = took.as_secs_f64() * 1000.0;
    let waits = [0, 1, 2].map(|probed| [without[probed], with[probed]]);
    eprintln!(
        "{}: {} took {took_ms:.0} ms; longest waits {without:.2?} ms without it, {with:.2?} ms with it",
        stall.name, contender.label
    );
    Ok((took_ms, waits))
}

/// The connections that probe.
struct Probes {
    pings: Vec<Client>,
    gets: Vec<Client>,
    dbsize: Vec<Client>,
}

impl Probes {
    /// The longest wait for each of [`PROBED`] while `work` is done, in milliseconds.
    fn longest_ms(&mut self, work: impl FnOnce() -> Result<()>) -> Result<[f64; 3]> {
        let running = AtomicBool::new(true);
        let go_on = &|| running.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let pings = scope.spawn(|| longest(&mut self.pings, &["PING"], go_on));
            let gets = self.gets.chunks_mut(1).zip(KEYS);
            let gets: Vec<_> = gets
                .map(|(probe, key)| scope.spawn(move || longest(probe, &["GET", key], go_on)))
                .collect();
            let dbsize = scope.spawn(|| longest(&mut self.dbsize, &["DBSIZE"], go_on));
            let worked = work();
            running.store(false, Ordering::Relaxed);
            worked?;
            let ended = "a probe that panics";
            let pings = pings.join().expect(ended)?;
            let mut gets = gets
                .into_iter()
                .map(|get| get.join().expect(ended))
                .collect::<Result<Vec<_>>>()?;
            gets.sort_by(f64::total_cmp);
            let dbsize = dbsize.join().expect(ended)?;
            Ok([pings, gets[KEYS.len() / 2], dbsize])
        })
    }
}

/// The longest of many calls over these connections, in milliseconds.
fn longest(probes: &mut [Client], words: &[&str], go_on: impl Fn() -> bool) -> Result<f64> {
    let mut longest = Duration::ZERO;
    while go_on() {
        for probe in &mut *probes {
            let began = Instant::now();
            probe.call(words)?;
            longest = longest.max(began.elapsed());
        }
        thread::sleep(BREATH);
    }
    Ok(longest.as_secs_f64() * 1000.0)
}

fn fill(bench: &Bench, server: &Server, data: &Data) -> Result<()> {
    let part = bench.settings.big_collection;
    match *data {
        Data::Keys(parts) => load::fill(&bench.programs.redpoll, server, Cores::All, parts * part),
        Data::Script(script, key, parts) => {
            let mut client = Client::connect(server)?;
            for _ in 0..(parts * part).div_ceil(CHUNK) {
                client
                    .call(&["EVAL", script, "1", key])
                    .context("filling")?;
            }
            Ok(())
        }
        Data::Made(command, before, parts) => {
            let mut client = Client::connect(server)?;
            let key = command[1];
            for chunk in 0..(parts * part).div_ceil(CHUNK) {
                let mut words: Vec<String> = command.iter().map(|word| (*word).into()).collect();
                for n in chunk * CHUNK..(chunk + 1) * CHUNK {
                    // Neither in order nor numbers.
                    let element = format!("{key}:{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    match before {
                        // A field's name has to be another each time.
                        Some("field") => words.extend([element, "value".to_owned()]),
                        Some(score) => words.extend([score.to_owned(), element]),
                        None => words.push(element),
                    }
                }
                client.call(&words).context("filling")?;
            }
            Ok(())
        }
    }
}
