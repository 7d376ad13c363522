//! Playing rounds of random commands against several servers in lockstep.
//!
//! A round starts from empty servers and fresh connections, sends some sixty commands in pipelines of random depth, and
//! compares each reply, then every key that is left (type, encoding, time to live, content). A round that ends in a mismatch is
//! played again with fewer and fewer commands as long as the mismatch stays, so that a report is a handful of lines.
//!
//! In one round of three, each command is followed by a look at how many changes the servers count towards a save point.
//!
//! A round is played against one real server, and our replies must be that server's. Most rounds are played against Redis 8.2,
//! whose behaviour is ours where nothing else is said, and some against Redis 8.6. Where we differ from the server of a round,
//! [`differences`] names the case and the reason. The commands and options that only Valkey has are held against Valkey, in
//! rounds of their own. There, the other commands are bystanders: Redis 8.2 says what they should do, and if a mismatch
//! shrinks to nothing but such, it is a mismatch only if it is one against Redis 8.2 too.

use super::differences::{self, Case, Then};
use super::grammar::{Dialect, Grammar, damage, random_case};
use super::link::{CLOSED, Link, SILENCE, bulks};
use super::reply::{How, same};
use super::rows::{OTHER_TYPES, Row, SETUP};
use crate::check::{show, show_command};
use crate::peers::Peer;
use crate::rng::Rng;
use crate::{Peers, Server, env_number, skip};
use resp::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Commands in a round.
const ROUND: usize = 60;
/// Different mismatches to collect before giving up.
const ENOUGH: usize = 8;
/// The real servers, each the reference of some rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Redis 8.2.
    Redis,
    /// Redis 8.6, the newest.
    NewestRedis,
    /// Valkey 9.
    Valkey,
}

impl Reference {
    fn dialect(self) -> Dialect {
        match self {
            Reference::Redis => Dialect::Redis,
            Reference::NewestRedis => Dialect::Newest,
            Reference::Valkey => Dialect::Valkey,
        }
    }
}

/// Which protocol a test speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, as connections begin.
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// Settings that decide about encodings, with the values every round begins with. A server that does not know one
/// refuses it, which does not matter.
const THRESHOLDS: &[(&str, &str)] = &[
    ("set-max-intset-entries", "512"),
    ("set-max-listpack-entries", "128"),
    ("set-max-listpack-value", "64"),
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
    ("list-max-listpack-size", "-2"),
    ("list-compress-depth", "0"),
    ("stream-node-max-entries", "100"),
    ("stream-node-max-bytes", "4096"),
    ("hll-sparse-max-bytes", "3000"),
];

/// Plays rounds with a group's table and panics with a report if any reply is wrong.
///
/// Starts Redpoll and the real servers, or reports the test as skipped when a needed one is not there.
pub fn compare(test: &str, table: &[Row], protocol: Protocol) {
    let Some(peers) = Peers::find().or_skip(test) else {
        return;
    };
    let own = |row: &Row| {
        row.dialect == Dialect::Valkey || Grammar::parse(row.args).knows(Dialect::Valkey)
    };
    let with_valkey = table.iter().any(own);
    let mut engine = Engine::start(test, peers, protocol, with_valkey);
    let seed = seed();
    let rounds = env_number("REDPOLL_DIFF_COMMANDS", 15_000).div_ceil(ROUND as u64);
    let mut reports: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..rounds {
        let (against, steps) =
            engine.plan(table, seed.wrapping_add(round.wrapping_mul(0x5851_F42D)));
        if let Some(mismatch) = engine.play(against, &steps, true) {
            let (mismatch, steps) = engine.shrink(against, steps, mismatch);
            if engine.is_for_redis_to_say(against, &steps, &mismatch) {
                continue;
            }
            let signature = mismatch.signature(&steps);
            reports.entry(signature).or_insert_with(|| {
                let title = format!("round {round}, {protocol:?}");
                mismatch.report(&title, &steps, engine.real[against].1.name())
            });
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    println!(
        "{test}: {} commands, {} of them refused",
        engine.sent, engine.refused
    );
    for (why, times) in &engine.differences {
        println!("  {times} times: {why}");
    }
    let texts: Vec<String> = reports.into_values().collect();
    assert!(
        texts.is_empty(),
        "{test}: {} different mismatches with REDPOLL_SEED={seed}\n\n{}",
        texts.len(),
        texts.join("\n")
    );
    assert!(
        engine.refused * 10 < engine.sent * 6,
        "most commands should be accepted, or little is tested"
    );
}

/// The seed: `REDPOLL_SEED`, or a fixed one so that a run of the suite can be repeated.
fn seed() -> u64 {
    match std::env::var("REDPOLL_SEED").as_deref() {
        Ok("random") => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |d| d.as_nanos() as u64),
        Ok(number) => number
            .parse()
            .expect("REDPOLL_SEED is a number or the word random"),
        Err(_) => 20_260_729,
    }
}

/// One command of a round.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its words.
    pub args: Vec<Vec<u8>>,
    /// How its replies are compared.
    pub how: How,
    /// Whether nothing else may be under way.
    alone: bool,
    /// Common, if it uses nothing that only one server knows.
    dialect: Dialect,
    /// Whether the pipeline ends here and replies are read.
    last_of_pipeline: bool,
    /// Whether the changes it counts as are compared too.
    pub counted: bool,
}

/// Replies that differ: of the step at `at`, or (past the last step) of a look at what the round left behind.
struct Mismatch {
    at: usize,
    /// The question that looked at what was left; empty for a step.
    look: String,
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

struct Engine {
    ours: Server,
    real: Vec<(Reference, Server)>,
    protocol: Protocol,
    other_types: Vec<Row>,
    grammars: BTreeMap<&'static str, Grammar>,
    sent: usize,
    refused: usize,
    /// How often a named difference was met.
    differences: BTreeMap<&'static str, usize>,
}

/// Whether a command ends a server, so that there is nothing to compare.
///
/// Redis 8.6.2 aborts when HSETEX with a time names a field twice and the hash is a hash table.
fn crashes(reference: Reference, args: &[Vec<u8>]) -> bool {
    let twice = |words: &[Vec<u8>]| (1..words.len()).any(|i| words[..i].contains(&words[i]));
    reference == Reference::NewestRedis
        && args[0].eq_ignore_ascii_case(b"HSETEX")
        && args.get(2..).is_some_and(twice)
}

impl Engine {
    fn start(test: &str, peers: Peers, protocol: Protocol, with_valkey: bool) -> Engine {
        let debug = ["--enable-debug-command", "yes"];
        let ours = Server::redpoll_with(&debug);
        let known: [(Reference, &str, Option<Peer>); 3] = [
            (Reference::Redis, "redis", peers.redis8),
            (Reference::NewestRedis, "newest", peers.redis8_6),
            (Reference::Valkey, "valkey", peers.valkey),
        ];
        let only = std::env::var("REDPOLL_DIFF_AGAINST").ok();
        let mut real = Vec::new();
        for (reference, name, peer) in known {
            match peer {
                _ if only.as_ref().is_some_and(|only| only != name) => {}
                _ if reference == Reference::Valkey && !with_valkey && only.is_none() => {}
                Some(peer) => real.push((reference, Server::peer(&peer, &debug))),
                None => skip(
                    test,
                    &format!("no rounds against {reference:?}: it was not found"),
                ),
            }
        }
        assert!(
            !real.is_empty(),
            "REDPOLL_DIFF_AGAINST is one of redis, newest, valkey"
        );
        let mut client = ours.connect();
        let known = |row: &&Row| match client.call(&["COMMAND", "INFO", row.name]) {
            Value::Array(infos) => infos.first().is_some_and(|info| *info != Value::Null),
            _ => false,
        };
        let other_types = OTHER_TYPES.iter().filter(known).copied().collect();
        Engine {
            ours,
            real,
            protocol,
            other_types,
            grammars: BTreeMap::new(),
            sent: 0,
            refused: 0,
            differences: BTreeMap::new(),
        }
    }

    /// The commands of a round and the number of the server it is played against: a function of the round's seed, the table
    /// and the time.
    fn plan(&mut self, table: &[Row], seed: u64) -> (usize, Vec<Step>) {
        let mut rng = Rng::new(seed);
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as u64);
        // Half of the rounds are the first server's: Redis 8.2, where it is there.
        let against = if rng.chance(50) {
            0
        } else {
            rng.below(self.real.len())
        };
        let dialect = self.real[against].0.dialect();
        let usable: Vec<&Row> = table
            .iter()
            .filter(|row| row.dialect.spoken_in(dialect))
            .collect();
        let total: usize = usable.iter().map(|row| row.weight).sum();
        let mut steps = Vec::with_capacity(ROUND);
        // INFO is queued in a transaction, and not every user or subscriber may send it.
        let told = |row: &Row| !["MULTI", "SUBSCRIBE", "ACL SETUSER"].contains(&row.name);
        let counted = table.iter().all(told) && Rng::new(!seed).chance(33);
        while steps.len() < ROUND {
            let row = if rng.chance(15) {
                *rng.pick(SETUP)
            } else if !self.other_types.is_empty() && rng.chance(6) {
                *rng.pick(&self.other_types)
            } else {
                let mut ticket = rng.below(total);
                let drawn = usable.iter().find(|row| {
                    let hit = ticket < row.weight;
                    ticket = ticket.wrapping_sub(row.weight);
                    hit
                });
                **drawn.unwrap_or(&usable[0])
            };
            let mut step = self.step(&row, &mut rng, dialect, now_ms);
            // A scan asks for more before anything else may.
            step.counted = counted && row.how != How::Scan;
            if !crashes(self.real[against].0, &step.args) {
                steps.push(step);
            }
        }
        (against, steps)
    }

    fn step(&mut self, row: &Row, rng: &mut Rng, dialect: Dialect, now_ms: u64) -> Step {
        let grammar = self
            .grammars
            .entry(row.args)
            .or_insert_with(|| Grammar::parse(row.args));
        let mut args: Vec<Vec<u8>> = row
            .name
            .split(' ')
            .map(|word| random_case(rng, word))
            .collect();
        let (spoken, generated) = grammar.generate(rng, dialect, now_ms);
        args.extend(generated);
        let dialect = if row.dialect == Dialect::Common {
            spoken
        } else {
            row.dialect
        };
        if !row.tame && rng.chance(12) {
            damage(rng, &mut args, now_ms);
        }
        let alone = row.alone || row.how == How::Scan;
        let last_of_pipeline = alone || rng.chance(25);
        Step {
            args,
            how: row.how,
            alone,
            dialect,
            last_of_pipeline,
            counted: false,
        }
    }

    /// Plays a round; `look` compares what it leaves behind as well.
    fn play(&mut self, against: usize, steps: &[Step], look: bool) -> Option<Mismatch> {
        let [mut ours, mut theirs] = self.connect(against);
        let mut changes = [ours.changes(), theirs.changes()];
        let mut begin = 0;
        while begin < steps.len() {
            let end = (begin..steps.len())
                .find(|&i| steps[i].last_of_pipeline || steps.get(i + 1).is_some_and(|s| s.alone))
                .map_or(steps.len(), |i| i + 1);
            ours.send(&steps[begin..end]);
            theirs.send(&steps[begin..end]);
            for (at, step) in steps.iter().enumerate().take(end).skip(begin) {
                let links = (&mut ours, &mut theirs);
                let (ours, theirs) = (links.0.reply(step), links.1.reply(step));
                self.sent += 1;
                self.refused += usize::from(ours.first() == Some(&b'-'));
                match self.judge(against, step.how, &steps[..=at], &step.args, &ours, &theirs) {
                    Some(Then::GoOn) => {}
                    Some(Then::EndRound) => return None,
                    None => {
                        return Some(Mismatch {
                            at,
                            look: String::new(),
                            ours,
                            theirs,
                        });
                    }
                }
                if ours == CLOSED || ours == SILENCE {
                    return None;
                }
                if step.counted {
                    let before = changes;
                    changes = [links.0.next_changes(), links.1.next_changes()];
                    let [ours, theirs] = [0, 1].map(|i| {
                        let more = changes[i].wrapping_sub(before[i]) as i64;
                        format!("(counted as {more} changes)").into_bytes()
                    });
                    let how = How::Exact;
                    match self.judge(against, how, &steps[..=at], &step.args, &ours, &theirs) {
                        Some(Then::GoOn) => {}
                        Some(Then::EndRound) => return None,
                        None => {
                            return Some(Mismatch {
                                at,
                                look: String::new(),
                                ours,
                                theirs,
                            });
                        }
                    }
                }
            }
            begin = end;
        }
        if look {
            self.look_around(against, steps).err()
        } else {
            None
        }
    }

    /// Whether our reply is right, if only by a named difference; None if it is wrong.
    fn judge<A: AsRef<[u8]>>(
        &mut self,
        against: usize,
        how: How,
        round: &[Step],
        args: &[A],
        ours: &[u8],
        theirs: &[u8],
    ) -> Option<Then> {
        if same(how, ours, theirs) {
            return Some(Then::GoOn);
        }
        let case = Case::new(self.real[against].0, round, args, ours, theirs);
        let (why, then) = differences::named(&case)?;
        *self.differences.entry(why).or_default() += 1;
        Some(then)
    }

    /// Fresh connections to our server and that of the round, their data gone.
    fn connect(&self, against: usize) -> [Link; 2] {
        [&self.ours, &self.real[against].1].map(|server| {
            let mut link = Link::new(server);
            if self.protocol == Protocol::Resp3 {
                link.client.call(&["HELLO", "3"]);
            }
            // Else DBSIZE would depend on whether the sweeper has come by.
            link.client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
            let flushed = link.client.call(&["FLUSHALL"]);
            assert_eq!(show(&flushed), "OK", "{} cannot be emptied", server.name());
            // Not every round leaves any.
            for kind in ["FUNCTION", "SCRIPT"] {
                link.client.call(&[kind, "FLUSH"]);
            }
            link.client.call(&["ACL", "LOG", "RESET"]);
            for user in bulks(&link.ask(&[b"ACL", b"USERS"])) {
                if user != b"default" {
                    link.ask(&[b"ACL", b"DELUSER", &user]);
                }
            }
            link.client
                .call(&["CONFIG", "SET", "timeout", "0", "tcp-keepalive", "300"]);
            // Rounds change them, and not every server takes part in every round.
            for (name, value) in THRESHOLDS {
                link.client.call(&["CONFIG", "SET", name, value]);
            }
            link
        })
    }

    /// Compares all keys of the databases that rounds use.
    fn look_around(&mut self, against: usize, steps: &[Step]) -> Result<(), Mismatch> {
        let mut links = [&self.ours, &self.real[against].1].map(Link::new);
        let mut ask = |args: &[&[u8]], how: How| -> Result<Vec<u8>, Mismatch> {
            let [ours, theirs] = links.each_mut().map(|link| link.ask(args));
            if self
                .judge(against, how, steps, args, &ours, &theirs)
                .is_some()
            {
                return Ok(ours);
            }
            Err(Mismatch {
                at: steps.len(),
                look: show_command(args),
                ours,
                theirs,
            })
        };
        for db in [b"0".as_slice(), b"1", b"2", b"15"] {
            ask(&[b"SELECT", db], How::Exact)?;
            let keys = ask(&[b"KEYS", b"*"], How::Unordered)?;
            for key in bulks(&keys) {
                let kind = ask(&[b"TYPE", &key], How::Exact)?;
                ask(&[b"OBJECT", b"ENCODING", &key], How::Exact)?;
                ask(&[b"PTTL", &key], How::Near(10_000))?;
                match kind.as_slice() {
                    b"+string\r\n" => ask(&[b"GET", &key], How::Exact)?,
                    b"+list\r\n" => ask(&[b"LRANGE", &key, b"0", b"-1"], How::Exact)?,
                    b"+set\r\n" => ask(&[b"SMEMBERS", &key], How::Unordered)?,
                    b"+hash\r\n" => ask(&[b"HGETALL", &key], How::Pairs)?,
                    b"+zset\r\n" => {
                        ask(&[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"], How::Exact)?
                    }
                    b"+stream\r\n" => ask(&[b"XRANGE", &key, b"-", b"+"], How::Exact)?,
                    _ => continue,
                };
            }
        }
        Ok(())
    }

    /// Drops commands as long as a mismatch of the same command stays.
    fn shrink(
        &mut self,
        against: usize,
        steps: Vec<Step>,
        found: Mismatch,
    ) -> (Mismatch, Vec<Step>) {
        let (mut best, mut kept) = (found, steps);
        kept.truncate(best.at + 1);
        let mut alone = kept.clone();
        for step in &mut alone {
            step.last_of_pipeline = true;
        }
        let looks = !best.look.is_empty();
        let name = best.what(&kept);
        // A mismatch that needs a pipeline stays as it was found.
        match self.play(against, &alone, looks) {
            Some(again) if again.what(&alone) == name => (best, kept) = (again, alone),
            _ => return (best, kept),
        }
        let mut size = (kept.len() / 2).max(1);
        loop {
            let mut end = kept.len();
            while end > 0 {
                let begin = end.saturating_sub(size);
                let mut fewer = kept.clone();
                fewer.drain(begin..end);
                if let Some(again) = self.play(against, &fewer, looks)
                    && again.what(&fewer) == name
                {
                    fewer.truncate(again.at + 1);
                    (best, kept) = (again, fewer);
                }
                end = begin.min(kept.len());
            }
            if size == 1 {
                return (best, kept);
            }
            size /= 2;
        }
    }

    /// Whether a mismatch in a round against Valkey uses nothing that is Valkey's own, and is none against Redis 8.2.
    fn is_for_redis_to_say(&mut self, against: usize, steps: &[Step], found: &Mismatch) -> bool {
        let is = |wanted| self.real.iter().position(|(r, _)| *r == wanted);
        is(Reference::Valkey) == Some(against)
            && steps.iter().all(|step| step.dialect == Dialect::Common)
            && is(Reference::Redis)
                .is_none_or(|redis| self.play(redis, steps, !found.look.is_empty()).is_none())
    }
}

impl Mismatch {
    /// The command whose replies differ.
    fn what(&self, steps: &[Step]) -> String {
        match steps.get(self.at) {
            Some(step) => {
                let words = step
                    .args
                    .iter()
                    .take(1)
                    .map(|w| String::from_utf8_lossy(w).to_uppercase());
                words.collect::<Vec<_>>().join(" ")
            }
            None => self.look.split(' ').take(1).collect(),
        }
    }

    /// What makes two mismatches the same finding: the command, and how our reply and one other begin.
    fn signature(&self, steps: &[Step]) -> String {
        let beginning = |raw: &[u8]| raw[..raw.len().min(16)].escape_ascii().to_string();
        let (ours, theirs) = (beginning(&self.ours), beginning(&self.theirs));
        format!("{} {ours} {theirs}", self.what(steps))
    }

    fn report(&self, title: &str, steps: &[Step], real: &str) -> String {
        let mut text = format!("{title}, after shrinking:\n");
        for step in steps {
            let _ = writeln!(text, "  {}", show_command(&step.args));
        }
        if !self.look.is_empty() {
            let _ = writeln!(text, "  (and then, on another connection) {}", self.look);
        }
        for (name, raw) in [("redpoll", &self.ours), (real, &self.theirs)] {
            let reply = if raw == CLOSED {
                "(connection closed)".to_owned()
            } else {
                raw.escape_ascii().to_string()
            };
            let shown: String = reply.chars().take(1500).collect();
            let _ = writeln!(text, "    {name:<14} {shown}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_closed_connections_agree() {
        assert!(same(How::Exact, CLOSED, CLOSED));
        assert!(!same(How::Shape, CLOSED, b"+OK\r\n"));
    }
}
