//! What a batch of commands costs inside the engine: parsed, looked ahead, carried out, without a socket.
//!
//! ```text
//! cargo run --release -p redpoll-engine --example batches -- 16 1000000 set get incr
//! ```
//!
//! Arguments: commands a batch, keys there are, and which commands: `get set setifeq setifdeq setifne delex digest incr sadd sismember
//! lpush rpop hset zadd mset`, and the pairs `setdel` and `setdelex`, which count as one. `setifeq` finds what it compares with, and
//! `delex` alone does not: it deletes nothing. On a sorted set of so many members, whose scores are drawn from a million: `zmove`, which
//! gives present members other scores, `zincrby zrank`, `zrange` and `zrangebyscore` of ten, and the pair `zpop` of ZPOPMIN and ZADD of
//! a new member. Prints nanoseconds a command: the quickest of many short rounds, which a busy machine disturbs least, and the median
//! of all rounds. To compare two states of the code, run both in turn.

use redpoll_engine::{Config, Engine, Kind, NoHost, Origin};
use resp::{Batch, Limits, Out, Parser};
use std::sync::Arc;
use std::time::Instant;
use store::mem::paged::{Gathered, gather};

/// Batches of a round.
const BATCHES: usize = 400;
/// Scores of a sorted set.
const SCORES: u64 = 1_000_000;
/// Rounds of each command.
const ROUNDS: usize = 400;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A command on a random key.
fn command(name: &str, key: u64, score: u64, into: &mut Vec<u8>) {
    let value = [b'x'; 64];
    let value = std::str::from_utf8(&value).unwrap_or_default();
    let digest = redpoll_engine::ops::strings::digest_of(value.as_bytes());
    let digest = str::from_utf8(&digest).unwrap_or_default();
    let string = format!("key:{key:012}");
    let number = format!("number:{key:012}");
    let member = format!("element:{key:012}");
    // Hardly ever one that is there.
    let other = format!("element:{:012}", key << 20 | score);
    let (rank, to_rank) = (key.to_string(), (key + 9).to_string());
    let score = score.to_string();
    let argv: Vec<&str> = match name {
        "set" => vec!["SET", &string, value],
        "setifeq" => vec!["SET", &string, value, "IFEQ", value],
        "setifne" => vec!["SET", &string, value, "IFNE", "other"],
        "setifdeq" => vec!["SET", &string, value, "IFDEQ", digest],
        "delex" => vec!["DELEX", &string, "IFEQ", "other"],
        "digest" => vec!["DIGEST", &string],
        "setdel" | "setdelex" => {
            resp::write_command(into, &["SET", &string, value]);
            match name {
                "setdel" => vec!["DEL", &string],
                _ => vec!["DELEX", &string, "IFEQ", value],
            }
        }
        "sismember" => vec!["SISMEMBER", "set", &member],
        "incr" => vec!["INCR", &number],
        "sadd" => vec!["SADD", "set", &member],
        "lpush" => vec!["LPUSH", "list", value],
        "rpop" => vec!["RPOP", "list"],
        "hset" => vec!["HSET", "hash", &member, value],
        "zadd" => vec!["ZADD", "sorted", "1", &member],
        "zmove" => vec!["ZADD", "moved", &score, &member],
        "zincrby" => vec!["ZINCRBY", "moved", "1", &member],
        "zrank" => vec!["ZRANK", "moved", &member],
        "zrange" => vec!["ZRANGE", "moved", &rank, &to_rank],
        "zrangebyscore" => vec!["ZRANGEBYSCORE", "moved", &score, "+inf", "LIMIT", "0", "10"],
        "zpop" => {
            resp::write_command(into, &["ZPOPMIN", "moved"]);
            vec!["ZADD", "moved", &score, &other]
        }
        "mset" => vec![
            "MSET", &string, value, &number, "1", &member, value, "a", value, "b", value,
        ],
        "get" => vec!["GET", &string],
        other => panic!("{other}: see the top of this file for what there is"),
    };
    resp::write_command(into, &argv);
}

/// Whether a command is on the sorted set that is filled for it.
fn on_moved(name: &str) -> bool {
    name.starts_with('z') && name != "zadd"
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| {
        args.next()
            .map_or(default, |n| n.parse().expect("a number"))
    };
    let (each, keys) = (number(16), number(1_000_000) as u64);
    let names: Vec<String> = args.collect();
    let engine = Engine::new(Config::default(), Arc::new(NoHost));
    let origin = Origin {
        addr: "127.0.0.1:5000".into(),
        laddr: "127.0.0.1:6379".into(),
        fd: 8,
        kind: Kind::Tcp,
        waker: None,
    };
    let (mut worker, mut session) = (engine.worker(), engine.session(origin));
    let mut parser = Parser::new();
    let mut out = Out::new(resp::Proto::Resp2);
    let mut run = |bytes: &[u8]| {
        let mut batch = Batch::new();
        let (_, error) = batch.fill(&mut parser, bytes, &Limits::default(), usize::MAX);
        assert_eq!(error, None);
        let mut at = 0;
        while at < batch.len() {
            at = worker.run(&mut session, &batch, at, &mut out).executed;
            out.clear();
        }
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut filled = Vec::new();
    let fills = [
        names.iter().any(|n| !on_moved(n)),
        names.iter().any(|n| on_moved(n)),
    ];
    for (fill, _) in ["set", "zmove"]
        .iter()
        .zip(fills)
        .filter(|(_, wanted)| *wanted)
    {
        for key in 0..keys {
            command(fill, key, random.below(SCORES), &mut filled);
            if key % 64 == 63 || key + 1 == keys {
                run(&filled);
                filled.clear();
            }
        }
    }
    // As the engine's upkeep does, a little later.
    while gather() == Gathered::One {}
    for name in &names {
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let batches: Vec<Vec<u8>> = (0..BATCHES)
                    .map(|_| {
                        let mut bytes = Vec::new();
                        (0..each).for_each(|_| {
                            let (key, score) = (random.below(keys), random.below(SCORES));
                            command(name, key, score, &mut bytes);
                        });
                        bytes
                    })
                    .collect();
                let began = Instant::now();
                batches.iter().for_each(|batch| run(batch));
                began.elapsed().as_nanos() as f64 / (BATCHES * each) as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{name:>9}: quickest {:7.1}, median {:7.1} ns a command",
            times[0],
            times[ROUNDS / 2]
        );
    }
}
