//! Random commands to Redpoll and to Redis 8.2: the same replies, the same keyspace notifications, and the same clients
//! served with the same.
//!
//! A failure prints the last commands and the seed to set as `REDPOLL_SEED`.

use redpoll_tests::check::show;
use redpoll_tests::rng::Rng;
use redpoll_tests::transcript::words;
use redpoll_tests::{Client, Peers, Server, env_number, eventually};
use std::collections::BTreeSet;
use std::time::Duration;

/// Commands; for a K stands one of four keys, for a V a value, for an N a number, for an S a side.
const COMMANDS: &str = "
SET K V|SET K V EX 10000|SET K V NX|SET K V XX GET|SET K V KEEPTTL|SETEX K 10000 V|SETNX K V|GETSET K V|GETDEL K|GETEX K
GETEX K EX 10000|GETEX K PERSIST|GETEX K PXAT 1|MSET K V K V|MSETNX K V K V|INCR K|DECRBY K N|INCRBYFLOAT K 1.5
APPEND K V|SETRANGE K 2 V|SETRANGE K 0 ''|GET K|MGET K K|STRLEN K|SETBIT K 9 1|SETBIT K 3 0|BITFIELD K SET u8 0 5
BITFIELD K INCRBY u4 4 3|BITFIELD K GET u8 0|BITFIELD K OVERFLOW FAIL INCRBY u2 0 3|BITOP AND K K K|BITOP NOT K K
DEL K K|UNLINK K|RENAME K K|RENAMENX K K|COPY K K REPLACE|COPY K K DB 1|MOVE K 1|EXPIRE K 10000|EXPIRE K -1|EXPIRE K 50000 GT
PERSIST K|TOUCH K|EXISTS K|SELECT 0|SELECT 1|SELECT 0|FLUSHDB|PFADD K V|PFMERGE K K|PFCOUNT K
LPUSH K V|RPUSH K V V|RPUSH K 1 2|RPUSH K V|LPUSHX K V|LPOP K|RPOP K 2|LPOP K 0|LINSERT K BEFORE V V|LSET K N V
LREM K N V|LTRIM K N N|LMOVE K K S S|RPOPLPUSH K K|LMPOP 2 K K S COUNT 2|LRANGE K 0 -1|BLPOP K K 0.001
BLMOVE K K S S 0.001|BLMPOP 0.001 2 K K S COUNT 2|SORT K ALPHA STORE K|SORT K LIMIT 5 2 ALPHA STORE K|TYPE K
";

/// Commands that wait.
const WAITS: &str = "
BLPOP K 0|BRPOP K 0|BLMOVE K K S S 0|BRPOPLPUSH K K 0|BLMPOP 0 1 K S COUNT 2
";

/// Commands that end waits, or do not.
const WAKES: &str = "
RPUSH K V|RPUSH K V V V|LPUSH K V|LPUSHX K V|RENAME K K|COPY K K REPLACE|LMOVE K K S S|SET K V|DEL K|FLUSHDB|LPOP K
SADD K V|MOVE K 1|DEL a b c d|RPUSH K V V|LPUSH K V
";

/// A server, and clients of it.
struct Side {
    server: Server,
    client: Client,
    subscriber: Client,
    waiting: Vec<Client>,
    /// Which of them wait.
    blocked: BTreeSet<usize>,
}

impl Side {
    fn new(server: Server) -> Side {
        let mut client = server.connect();
        client.run("CONFIG SET notify-keyspace-events KEAn");
        let mut subscriber = server.connect();
        subscriber.run("PSUBSCRIBE __keyevent@*");
        subscriber.run("SUBSCRIBE mark");
        let waiting = (0..4).map(|_| server.connect()).collect();
        Side {
            client,
            subscriber,
            waiting,
            server,
            blocked: BTreeSet::new(),
        }
    }

    /// The notifications since the last call, and replies that clients have waited for.
    fn happened(&mut self) -> Vec<String> {
        let mut happened = Vec::new();
        let mut observer = self.server.connect();
        let mut count = || {
            let info = observer.run("INFO clients");
            let info = show(&info);
            let (_, n) = info.split_once("blocked_clients:").expect("a line");
            let digits: String = n.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().expect("a number")
        };
        eventually("as many clients block as have not been answered", || {
            for i in self.blocked.clone() {
                if self.blocked.len() == count() {
                    return true;
                }
                if let Ok(reply) = self.waiting[i].try_read_raw() {
                    let reply = redpoll_tests::client::decode(&reply);
                    happened.push(format!("{i} gets {}", show(&reply)));
                    self.blocked.remove(&i);
                }
            }
            self.blocked.len() == count()
        });
        happened.sort();
        self.client.run("PUBLISH mark .");
        loop {
            let message = show(&self.subscriber.read());
            if message.contains("\"mark\"") {
                return happened;
            }
            happened.push(message);
        }
    }
}

fn fill(rng: &mut Rng, template: &str) -> String {
    let word = |word: &str, rng: &mut Rng| -> String {
        let choices: &[&str] = match word {
            "K" => &["a", "b", "c", "d"],
            "V" => &["1", "2", "x", "''", "10", "hello"],
            "N" => &["0", "1", "2", "-1", "3", "-2", "100"],
            "S" => &["LEFT", "RIGHT"],
            word => return word.into(),
        };
        (*rng.pick(choices)).into()
    };
    let words: Vec<String> = template.split(' ').map(|w| word(w, rng)).collect();
    words.join(" ")
}

fn templates(text: &'static str) -> Vec<&'static str> {
    text.split(['|', '\n']).filter(|t| !t.is_empty()).collect()
}

/// Our server and Redis 8, unless it is not there.
fn sides(test: &str) -> Option<[Side; 2]> {
    let Some(redis8) = Peers::find().redis8 else {
        redpoll_tests::skip(test, "no peer: Redis 8 not found");
        return None;
    };
    Some([Server::redpoll(), Server::peer(&redis8, &[])].map(Side::new))
}

/// Compares what a command line answered and caused.
fn compare(
    line: &str,
    replies: [String; 2],
    sides: &mut [Side; 2],
    past: &mut Vec<String>,
    seed: u64,
) {
    let [ours, theirs] = sides;
    let happened = [ours.happened(), theirs.happened()];
    past.push(line.to_owned());
    assert!(
        replies[0] == replies[1] && happened[0] == happened[1],
        "after {:#?}\nours: {} {:#?}\ntheirs: {} {:#?}\nREDPOLL_SEED={seed}",
        &past[past.len().saturating_sub(12)..],
        replies[0],
        happened[0],
        replies[1],
        happened[1],
    );
}

#[test]
fn commands_announce_the_same() {
    let Some(mut sides) = sides("commands_announce_the_same") else {
        return;
    };
    let seed = env_number("REDPOLL_SEED", 1);
    let (mut rng, templates, mut past) = (Rng::new(seed), templates(COMMANDS), Vec::new());
    for _ in 0..env_number("REDPOLL_DIFF_COMMANDS", 15_000) / 5 {
        let template = *rng.pick(&templates);
        let line = fill(&mut rng, template);
        let replies = sides
            .each_mut()
            .map(|side| show(&side.client.call(&words(&line))));
        compare(&line, replies, &mut sides, &mut past, seed);
    }
}

#[test]
fn the_same_clients_are_served() {
    let Some(mut sides) = sides("the_same_clients_are_served") else {
        return;
    };
    for side in &sides {
        for client in &side.waiting {
            let short = Duration::from_millis(20);
            client.set_read_timeout(short).expect("a timeout");
        }
    }
    let seed = env_number("REDPOLL_SEED", 1);
    let (mut rng, mut past) = (Rng::new(seed), Vec::new());
    let (waits, wakes) = (templates(WAITS), templates(WAKES));
    for _ in 0..env_number("REDPOLL_DIFF_COMMANDS", 15_000) / 30 {
        let free: Vec<usize> = (0..4).filter(|i| !sides[1].blocked.contains(i)).collect();
        if !free.is_empty() && rng.chance(50) {
            let i = *rng.pick(&free);
            let template = *rng.pick(&waits);
            let line = fill(&mut rng, template);
            for side in &mut sides {
                side.waiting[i].send(&words(&line));
                side.blocked.insert(i);
            }
            compare(
                &format!("{i}: {line}"),
                Default::default(),
                &mut sides,
                &mut past,
                seed,
            );
            continue;
        }
        let mut lines = vec![];
        let together = if rng.chance(25) { 2 + rng.below(3) } else { 1 };
        for _ in 0..together {
            let template = *rng.pick(&wakes);
            lines.push(fill(&mut rng, template));
        }
        if together > 1 {
            lines.insert(0, "MULTI".into());
            lines.push("EXEC".into());
        }
        let replies = sides.each_mut().map(|side| {
            let replies = lines
                .iter()
                .map(|line| show(&side.client.call(&words(line))));
            replies.collect::<Vec<_>>().join(" ")
        });
        compare(&lines.join("; "), replies, &mut sides, &mut past, seed);
    }
}
