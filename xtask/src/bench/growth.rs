//! What must not grow faster than what it is asked for: commands with many arguments, and what stays of memory that was freed.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use super::client::Client;
use super::load;
use super::saving::{Figure, figures};
use super::scenarios::Cores;
use super::servers::Contender;

/// All of them, with what they are.
pub const ALL: [(&str, &str); 3] = [
    ("stall/watch", "WATCH of 80,000 keys, in milliseconds"),
    (
        "stall/arguments",
        "times as long with ten times as many arguments, by command",
    ),
    (
        "stall/freed",
        "megabytes that stay resident 10 s after FLUSHALL of 300 MB of small values",
    ),
];

/// Measures one of them in a server.
pub fn measure(bench: &Bench, name: &str, contender: &Contender) -> Result<Vec<Figure>> {
    let rows = match name {
        "stall/watch" => vec![(WATCH.to_owned(), watch_ms(bench, contender)?)],
        "stall/arguments" => arguments(bench, contender)?,
        _ => vec![(FREED.to_owned(), freed_mb(bench, contender)?)],
    };
    Ok(figures(rows, contender))
}

/// The rows that goals are about.
pub const WATCH: &str = "WATCH of 80,000 keys, ms";
pub const FREED: &str = "resident 10 s after FLUSHALL of 300 MB, MB more than before";
pub const ARGUMENTS: &str = "ten times the arguments, times the time: ";

/// Keys that are watched.
const WATCHED: usize = 80_000;

/// The best of so many calls counts: what comes between is no growth.
const CALLS: usize = 5;

fn watch_ms(bench: &Bench, contender: &Contender) -> Result<f64> {
    let server = bench.start(contender, bench.first_port, Cores::All)?;
    let mut client = Client::connect(&server)?;
    let mut words = vec!["WATCH".to_owned()];
    words.extend((0..WATCHED).map(|n| format!("key:{n}")));
    let mut best = f64::MAX;
    for _ in 0..CALLS {
        best = best.min(time_ms(&mut client, &words)?);
        client.call(&["UNWATCH"])?;
    }
    Ok(best)
}

fn time_ms(client: &mut Client, words: &[String]) -> Result<f64> {
    let request = super::client::request(words);
    // That one answers for each of its arguments.
    let further = match &*words[0] {
        "SUBSCRIBE" => words.len() - 2,
        _ => 0,
    };
    let began = Instant::now();
    client.send(&request)?;
    for _ in 0..further {
        client.skip()?;
    }
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// Arguments of the smaller call; the larger has ten times as many.
const FEW: usize = 10_000;

/// A command that takes any number of arguments: what stands before them, what each one is made of (`#` being its number), and
/// whether all its data go before each call.
struct Many(&'static [&'static str], &'static [&'static str], bool);

#[rustfmt::skip]
const MANY: [Many; 32] = [
    Many(&["MSET"], &["key:#", "value"], false),
    Many(&["MGET"], &["key:#"], false),
    Many(&["EXISTS"], &["key:#"], false),
    Many(&["TOUCH"], &["key:#"], false),
    Many(&["MSETNX"], &["key:#", "value"], true),
    Many(&["DEL"], &["key:#"], false),
    Many(&["UNLINK"], &["key:#"], false),
    Many(&["WATCH"], &["key:#"], false),
    Many(&["SUBSCRIBE"], &["key:#"], false),
    Many(&["RPUSH", "list"], &["element:#"], true),
    Many(&["LPUSH", "list"], &["element:#"], true),
    Many(&["SADD", "set"], &["member:#"], true),
    Many(&["SMISMEMBER", "set"], &["member:#"], false),
    Many(&["SREM", "set"], &["member:#"], false),
    Many(&["HSET", "hash"], &["field:#", "value"], true),
    Many(&["HMGET", "hash"], &["field:#"], false),
    Many(&["HDEL", "hash"], &["field:#"], false),
    Many(&["ZADD", "sorted"], &["#", "member:#"], true),
    Many(&["ZMSCORE", "sorted"], &["member:#"], false),
    Many(&["ZREM", "sorted"], &["member:#"], false),
    Many(&["GEOADD", "geo"], &["1.5", "2.5", "member:#"], true),
    Many(&["GEOPOS", "geo"], &["member:#"], false),
    Many(&["PFADD", "hll"], &["element:#"], true),
    Many(&["XADD", "stream", "*"], &["field:#", "value"], true),
    Many(&["XDEL", "stream"], &["#-1"], false),
    Many(&["SINTER"], &["set:#"], true),
    Many(&["SUNION"], &["set:#"], true),
    Many(&["BITFIELD", "bits"], &["INCRBY", "u8", "#", "1"], true),
    Many(&["EVAL", "return #ARGV", "0"], &["argument:#"], false),
    Many(&["CLIENT", "KILL"], &["ID", "1#"], false),
    Many(&["COMMAND", "INFO"], &["command:#"], false),
    Many(&["CONFIG", "GET"], &["no#"], false),
];

fn arguments(bench: &Bench, contender: &Contender) -> Result<Vec<(String, f64)>> {
    let server = bench.start(contender, bench.first_port, Cores::All)?;
    let mut rows = Vec::new();
    for Many(before, each, anew) in &MANY {
        let call = |n: usize| -> Result<f64> {
            let mut client = Client::connect(&server)?;
            let mut words: Vec<String> = before.iter().map(|word| (*word).into()).collect();
            for i in 0..n {
                let number = i.to_string();
                words.extend(each.iter().map(|word| word.replace('#', &number)));
            }
            let mut best = f64::MAX;
            for _ in 0..CALLS {
                if *anew {
                    client.call(&["FLUSHALL"])?;
                }
                best = best.min(time_ms(&mut client, &words)?);
            }
            Ok(best)
        };
        let name = match before
            .get(1)
            .filter(|_| ["CLIENT", "COMMAND", "CONFIG"].contains(&before[0]))
        {
            Some(second) => format!("{} {second}", before[0]),
            None => before[0].to_owned(),
        };
        match call(FEW).and_then(|few| Ok(call(10 * FEW)? / few)) {
            Ok(times) => rows.push((format!("{ARGUMENTS}{name}"), times)),
            // Not every server has all of it.
            Err(why) => eprintln!("{name}: {}: {why:#}", contender.label),
        }
    }
    Ok(rows)
}

/// Keys with values of 32 bytes that take some 300 MB in a real server.
const SMALL: u64 = 3_000_000;

/// How long memory has to go back to the system.
const LATER: Duration = Duration::from_secs(10);

fn freed_mb(bench: &Bench, contender: &Contender) -> Result<f64> {
    let server = bench.start(contender, bench.first_port, Cores::All)?;
    let before = server.usage()?.resident;
    let keys = SMALL.min(bench.settings.elements);
    load::fill(&bench.programs.redpoll, &server, Cores::All, keys)?;
    let filled = server.usage()?.resident;
    eprintln!(
        "{}: {} MB resident when filled",
        contender.label,
        filled >> 20
    );
    Client::connect(&server)?.call(&["FLUSHALL"])?;
    std::thread::sleep(LATER);
    let after = server.usage()?.resident;
    Ok((after as f64 - before as f64) / f64::from(1 << 20))
}
