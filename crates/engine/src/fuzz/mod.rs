//! The engine against a model: bytes become commands, and every reply must be the model's.
//!
//! [`commands`] is a target for cargo-fuzz (in `fuzz/`, which builds the engine with the feature `fuzz`), and the tests here call
//! it with the inputs in `fuzz/seeds/commands/` and with random ones. An input chooses the sizes at which collections change their
//! form, then pipelines of commands of [`model`], some within MULTI, some called by a script, and between them moments at which
//! the clock goes on or the sweeper comes by. The clock stands still otherwise: see [`clock`](crate::base::clock).

mod collections;
mod model;
mod settings;

pub use settings::{acl_rules, conf, config_set};

use crate::base::clock;
use crate::client::clients::{Kind, Origin};
use crate::config::Config;
use crate::config::host::NoHost;
use crate::context::engine::Engine;
use crate::context::next::Next;
use crate::context::session::Session;
use crate::dispatch::worker::Worker;
use crate::upkeep::sweep::Sweep;
use model::{Call, Model, Reply};
use resp::{Batch, Limits, Out, Parser, Proto, Value};
use std::sync::Arc;
use std::time::Duration;

/// When an input's clock begins.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// Calls an input may make: enough to get anywhere, and an input stays quick.
const MOST: usize = 2000;

/// The bytes of an input, taken one by one.
pub(crate) struct Input<'a>(&'a [u8]);

impl Input<'_> {
    /// The next byte; 0 when there are none.
    pub fn byte(&mut self) -> usize {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                usize::from(byte)
            }
            None => 0,
        }
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.byte() % from.len()]
    }
}

/// How a call reaches the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Script,
}

/// Runs one input; panics where the engine and the model disagree.
pub fn commands(data: &[u8]) {
    let mut input = Input(data);
    let mut db = Db::new(input.byte());
    let mut model = Model::new(BEGIN_MS);
    let mut calls = 0;
    while !input.0.is_empty() && calls < MOST {
        match input.byte() % 16 {
            0 => {
                model.now_ms += input.of(&[1, 7, 50, 1000, 60_000]);
                clock::freeze(Some(model.now_ms));
            }
            1 => db.sweep(),
            kind => {
                let count = 1 + input.byte() % 8;
                let in_multi = kind < 5;
                let mut batch = Vec::new();
                for _ in 0..count {
                    let way = input.of(&[Way::Plain, Way::Plain, Way::Plain, Way::Script]);
                    let call = model.call(&mut input);
                    // A number of Lua is a double.
                    let exact =
                        !matches!(call.reply, Reply::Is(Value::Int(n)) if n.abs() >= 1 << 53);
                    batch.push((if exact { way } else { Way::Plain }, call));
                }
                calls += count;
                db.play(&batch, in_multi);
            }
        }
    }
    for call in model.everything() {
        db.play(&[(Way::Plain, call)], false);
    }
    clock::freeze(None);
}

/// An engine and its one client.
struct Db {
    engine: Arc<Engine>,
    worker: Worker,
    session: Session,
    sweep: Sweep,
}

impl Db {
    fn new(sizes: usize) -> Db {
        clock::freeze(Some(BEGIN_MS));
        let mut config = Config::default();
        let entries = ["1", "4", "16", "128"][sizes % 4];
        for name in [
            "hash-max-listpack-entries",
            "set-max-intset-entries",
            "set-max-listpack-entries",
            "zset-max-listpack-entries",
            "list-max-listpack-size",
        ] {
            config.directive(name, &[entries]).expect("a directive");
        }
        let engine = Engine::new(config, Arc::new(NoHost));
        let origin = Origin {
            addr: "127.0.0.1:1".into(),
            laddr: "127.0.0.1:2".into(),
            fd: -1,
            kind: Kind::Tcp,
            waker: None,
        };
        Db {
            worker: engine.worker(),
            session: engine.session(origin),
            engine,
            sweep: Sweep::default(),
        }
    }

    fn sweep(&mut self) {
        let time = Duration::from_millis(1);
        self.sweep.slice(&self.engine, self.worker.counters(), time);
    }

    /// Sends calls as one pipeline and compares their replies.
    fn play(&mut self, batch: &[(Way, Call)], in_multi: bool) {
        const SCRIPT: &[u8] = b"return redis.pcall(unpack(ARGV))";
        let mut requests = Vec::new();
        if in_multi {
            resp::write_command(&mut requests, &[b"MULTI"]);
        }
        for (way, call) in batch {
            let mut argv: Vec<&[u8]> = call.argv.iter().map(Vec::as_slice).collect();
            if *way == Way::Script {
                argv.splice(..0, [b"EVAL", SCRIPT, b"0"]);
            }
            resp::write_command(&mut requests, &argv);
        }
        if in_multi {
            resp::write_command(&mut requests, &[b"EXEC"]);
        }
        let mut replies = self.send(&requests);
        if in_multi {
            let before = replies.len() - 1;
            assert!(
                replies[1..before]
                    .iter()
                    .all(|r| *r == Value::Simple("QUEUED".into())),
                "{replies:?}"
            );
            replies = match replies.pop() {
                Some(Value::Array(replies)) => replies,
                other => panic!("EXEC answers {other:?}"),
            };
        }
        assert_eq!(replies.len(), batch.len(), "replies");
        for ((_, call), reply) in batch.iter().zip(replies) {
            assert!(
                call.reply.is(&reply),
                "{}\n  replied  {reply:?}\n  expected {:?}",
                crate::fuzz::line(&call.argv),
                call.reply
            );
        }
    }

    fn send(&mut self, requests: &[u8]) -> Vec<Value> {
        let (mut parser, mut batch) = (Parser::new(), Batch::new());
        let (_, error) = batch.fill(&mut parser, requests, &Limits::default(), usize::MAX);
        assert_eq!(error, None);
        let mut out = Out::new(Proto::Resp2);
        let mut at = 0;
        while at < batch.len() {
            let progress = self.worker.run(&mut self.session, &batch, at, &mut out);
            at += progress.executed;
            match progress.next {
                Next::Done => {}
                Next::Offload(job) => job(&mut out),
                Next::Elsewhere => {
                    let mut helper = self.engine.worker();
                    at += helper
                        .run_long(&mut self.session, &batch, at, &mut out)
                        .executed;
                }
                _ => panic!("one client waits for nobody"),
            }
        }
        let bytes = out.to_vec();
        let (mut replies, mut from) = (Vec::new(), 0);
        while from < bytes.len() {
            let (value, used) = resp::decode(&bytes[from..])
                .expect("a valid reply")
                .expect("a whole reply");
            replies.push(value);
            from += used;
        }
        replies
    }
}

/// A command as one would type it.
fn line(argv: &[Vec<u8>]) -> String {
    let words: Vec<String> = argv
        .iter()
        .map(|word| format!("\"{}\"", word.escape_ascii()))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Random inputs beside those in the folder; the long run is cargo-fuzz's.
    const INPUTS: u64 = 400;

    #[test]
    fn the_engine_does_what_the_model_does() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/commands");
        for entry in std::fs::read_dir(seeds).expect("inputs to begin with") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            commands(&std::fs::read(path).expect("an input"));
        }
        let inputs = std::env::var("REDPOLL_FUZZ_INPUTS")
            .ok()
            .and_then(|n| n.parse().ok())
            .unwrap_or(INPUTS);
        let first: u64 = match std::env::var("REDPOLL_SEED").as_deref() {
            Ok("random") => clock::unix_nanos(),
            Ok(number) => number.parse().expect("a number or the word random"),
            Err(_) => 1,
        };
        for seed in first..first + inputs {
            println!("REDPOLL_SEED={seed}");
            // A generator of no merit (SplitMix64): all that matters is that a seed gives the same input again.
            let mut state = seed;
            let input: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed ^ (mixed >> 27))
                    .wrapping_mul(0x94d0_49bb_1331_11eb)
                    .to_le_bytes()
            })
            .flatten()
            .take(600 + seed as usize % 2000)
            .collect();
            commands(&input);
        }
    }

    #[test]
    fn a_wrong_reply_is_seen() {
        let mut db = Db::new(0);
        let call = |expected: i64| Call {
            argv: vec![b"INCR".to_vec(), b"n".to_vec()],
            reply: Reply::Is(Value::Int(expected)),
        };
        db.play(&[(Way::Plain, call(1)), (Way::Script, call(2))], true);
        let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.play(&[(Way::Plain, call(7))], false);
        }));
        clock::freeze(None);
        assert!(wrong.is_err());
    }
}
