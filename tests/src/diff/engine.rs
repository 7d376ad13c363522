//! Playing rounds of random commands against several servers in lockstep.
//!
//! A round starts from empty servers and fresh connections, sends some sixty commands in pipelines of random depth, and
//! compares each reply, then every key that is left (type, encoding, time to live, content). A round that ends in a mismatch is
//! played again with fewer and fewer commands as long as the mismatch stays, so that a report is a handful of lines.
//!
//! Valkey and Redis have grown apart, so a round has a dialect. In a common round only what both know is sent (and what
//! they do differently is right if it is right for either); in a round of one dialect that server's own commands and options
//! join, and it alone is the reference.

use super::grammar::{Dialect, Grammar, damage, random_case};
use super::reply::{How, right};
use super::rows::{OTHER_TYPES, Row, SETUP};
use crate::check::{show, show_command};
use crate::rng::Rng;
use crate::{Client, Peers, Server, env_number};
use resp::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Commands in a round.
const ROUND: usize = 60;
/// Different mismatches to collect before giving up.
const ENOUGH: usize = 8;
/// What stands for the reply of a connection that the server closed.
const CLOSED: &[u8] = b"";
/// What stands for a reply that did not come within [`PATIENCE`].
const SILENCE: &[u8] = b"(no reply)";
const PATIENCE: Duration = Duration::from_secs(10);

/// The parts that servers play, in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ours,
    Valkey,
    Redis8,
    Redis7,
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
    let mut engine = Engine::start(peers, protocol);
    let seed = seed();
    let rounds = env_number("REDPOLL_DIFF_COMMANDS", 15_000).div_ceil(ROUND as u64);
    let mut reports: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..rounds {
        let (dialect, steps) =
            engine.plan(table, seed.wrapping_add(round.wrapping_mul(0x5851_F42D)));
        if let Some(mismatch) = engine.play(dialect, &steps, true) {
            let (mismatch, steps) = engine.shrink(dialect, steps, mismatch);
            if engine.is_free_choice(dialect, &steps, &mismatch) {
                continue;
            }
            let signature = mismatch.signature(&steps);
            reports.entry(signature).or_insert_with(|| {
                let title = format!("round {round}, {dialect:?} dialect, {protocol:?}");
                mismatch.report(&title, &steps, &engine)
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
struct Step {
    args: Vec<Vec<u8>>,
    how: How,
    /// Whether nothing else may be under way.
    alone: bool,
    /// Common, if it uses nothing that only one server knows.
    dialect: Dialect,
    /// Whether the pipeline ends here and replies are read.
    last_of_pipeline: bool,
}

/// Replies that differ: of the step at `at`, or (past the last step) of a look at what the round left behind.
struct Mismatch {
    at: usize,
    /// The question that looked at what was left; empty for a step.
    look: String,
    replies: Vec<(Role, Vec<u8>)>,
}

struct Engine {
    servers: Vec<(Role, Server)>,
    protocol: Protocol,
    other_types: Vec<Row>,
    grammars: BTreeMap<&'static str, Grammar>,
    sent: usize,
    refused: usize,
}

impl Engine {
    fn start(peers: Peers, protocol: Protocol) -> Engine {
        let debug = ["--enable-debug-command", "yes"];
        let mut servers = vec![(Role::Ours, Server::redpoll_with(&debug))];
        let real = [
            (Role::Valkey, peers.valkey),
            (Role::Redis8, peers.redis8),
            (Role::Redis7, peers.redis7),
        ];
        for (role, peer) in real {
            if let Some(peer) = peer {
                servers.push((role, Server::peer(&peer, &debug)));
            }
        }
        let mut ours = servers[0].1.connect();
        let known = |row: &&Row| match ours.call(&["COMMAND", "INFO", row.name]) {
            Value::Array(infos) => infos.first().is_some_and(|info| *info != Value::Null),
            _ => false,
        };
        let other_types = OTHER_TYPES.iter().filter(known).copied().collect();
        Engine {
            servers,
            protocol,
            other_types,
            grammars: BTreeMap::new(),
            sent: 0,
            refused: 0,
        }
    }

    /// The commands of a round, a function of its seed, the table and the time.
    fn plan(&mut self, table: &[Row], seed: u64) -> (Dialect, Vec<Step>) {
        let mut rng = Rng::new(seed);
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as u64);
        let has = |role| self.servers.iter().any(|(r, _)| *r == role);
        let dialect = match rng.below(4) {
            0 if has(Role::Valkey) => Dialect::Valkey,
            1 if has(Role::Redis8) => Dialect::Redis,
            _ if has(Role::Valkey) && has(Role::Redis8) => Dialect::Common,
            _ if has(Role::Valkey) => Dialect::Valkey,
            _ => Dialect::Redis,
        };
        let usable: Vec<&Row> = table
            .iter()
            .filter(|row| row.dialect.spoken_in(dialect))
            .collect();
        let total: usize = usable.iter().map(|row| row.weight).sum();
        let mut steps = Vec::with_capacity(ROUND);
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
            steps.push(self.step(&row, &mut rng, dialect, now_ms));
        }
        (dialect, steps)
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
        let (own, generated) = grammar.generate(rng, dialect, now_ms);
        args.extend(generated);
        let dialect = if row.dialect == Dialect::Common {
            own
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
        }
    }

    /// Plays a round; `look` compares what it leaves behind as well.
    fn play(&mut self, dialect: Dialect, steps: &[Step], look: bool) -> Option<Mismatch> {
        let mut links = self.connect(dialect);
        let mut begin = 0;
        while begin < steps.len() {
            let end = (begin..steps.len())
                .find(|&i| steps[i].last_of_pipeline || steps.get(i + 1).is_some_and(|s| s.alone))
                .map_or(steps.len(), |i| i + 1);
            for (_, link) in &mut links {
                link.send(&steps[begin..end]);
            }
            for (at, step) in steps.iter().enumerate().take(end).skip(begin) {
                let replies: Vec<_> = links
                    .iter_mut()
                    .map(|(role, link)| (*role, link.reply(step)))
                    .collect();
                self.sent += 1;
                self.refused += usize::from(replies[0].1.first() == Some(&b'-'));
                if !is_right(step.how, &replies) {
                    return Some(Mismatch {
                        at,
                        look: String::new(),
                        replies,
                    });
                }
                if replies[0].1 == CLOSED || replies[0].1 == SILENCE {
                    return None;
                }
            }
            begin = end;
        }
        if look {
            self.look_around(dialect, steps.len())
        } else {
            None
        }
    }

    /// Fresh connections to the servers of a dialect, their data gone.
    fn connect(&self, dialect: Dialect) -> Vec<(Role, Link)> {
        let takes_part = |role: Role| match dialect {
            Dialect::Common => true,
            Dialect::Valkey => matches!(role, Role::Ours | Role::Valkey),
            Dialect::Redis => matches!(role, Role::Ours | Role::Redis8),
        };
        let servers = self.servers.iter().filter(|(role, _)| takes_part(*role));
        let mut links: Vec<_> = servers
            .map(|(role, server)| (*role, Link::new(server)))
            .collect();
        for (role, link) in &mut links {
            if self.protocol == Protocol::Resp3 {
                link.client.call(&["HELLO", "3"]);
            }
            // Else DBSIZE would depend on whether the sweeper has come by.
            link.client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
            let flushed = link.client.call(&["FLUSHALL"]);
            assert_eq!(
                show(&flushed),
                "OK",
                "{} cannot be emptied",
                self.server_name(*role)
            );
            link.client
                .call(&["CONFIG", "SET", "timeout", "0", "tcp-keepalive", "300"]);
            // Rounds change them, and not every server takes part in every round.
            for (name, value) in THRESHOLDS {
                link.client.call(&["CONFIG", "SET", name, value]);
            }
        }
        links
    }

    /// Compares all keys of the databases that rounds use.
    fn look_around(&self, dialect: Dialect, at: usize) -> Option<Mismatch> {
        let takes_part = |role: Role| match dialect {
            Dialect::Common => role != Role::Redis7,
            Dialect::Valkey => matches!(role, Role::Ours | Role::Valkey),
            Dialect::Redis => matches!(role, Role::Ours | Role::Redis8),
        };
        let servers: Vec<_> = self
            .servers
            .iter()
            .filter(|(role, _)| takes_part(*role))
            .collect();
        let mut links: Vec<_> = servers
            .iter()
            .map(|(role, server)| (*role, Link::new(server)))
            .collect();
        let mut ask = |args: &[&[u8]], how: How| -> Result<Vec<u8>, Mismatch> {
            let replies: Vec<_> = links
                .iter_mut()
                .map(|(role, link)| (*role, link.ask(args)))
                .collect();
            if is_right(how, &replies) {
                return Ok(replies
                    .into_iter()
                    .next()
                    .map(|(_, raw)| raw)
                    .unwrap_or_default());
            }
            Err(Mismatch {
                at,
                look: show_command(args),
                replies,
            })
        };
        let mut all = || -> Result<(), Mismatch> {
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
        };
        all().err()
    }

    /// Drops commands as long as a mismatch of the same command stays.
    fn shrink(
        &mut self,
        dialect: Dialect,
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
        match self.play(dialect, &alone, looks) {
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
                if let Some(again) = self.play(dialect, &fewer, looks)
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

    /// Whether a mismatch in a round against one server alone is only this: the two newer servers differ, and ours follows
    /// the other one. That can be asked when the commands that are left are all common ones.
    fn is_free_choice(&mut self, dialect: Dialect, steps: &[Step], found: &Mismatch) -> bool {
        dialect != Dialect::Common
            && steps.iter().all(|step| step.dialect == Dialect::Common)
            && self
                .play(Dialect::Common, steps, !found.look.is_empty())
                .is_none()
    }

    fn server_name(&self, role: Role) -> &str {
        self.servers
            .iter()
            .find(|(r, _)| *r == role)
            .map_or("", |(_, server)| server.name())
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
        let replies = self.replies.iter().take(2).map(|(_, raw)| beginning(raw));
        format!(
            "{} {}",
            self.what(steps),
            replies.collect::<Vec<_>>().join(" ")
        )
    }

    fn report(&self, title: &str, steps: &[Step], engine: &Engine) -> String {
        let mut text = format!("{title}, after shrinking:\n");
        for step in steps {
            let _ = writeln!(text, "  {}", show_command(&step.args));
        }
        if !self.look.is_empty() {
            let _ = writeln!(text, "  (and then, on another connection) {}", self.look);
        }
        for (role, raw) in &self.replies {
            let reply = if raw == CLOSED {
                "(connection closed)".to_owned()
            } else {
                raw.escape_ascii().to_string()
            };
            let shown: String = reply.chars().take(1500).collect();
            let _ = writeln!(text, "    {:<14} {shown}", engine.server_name(*role));
        }
        text
    }
}

/// Whether our reply, the first one, equals that of a newer server.
fn is_right(how: How, replies: &[(Role, Vec<u8>)]) -> bool {
    if replies.len() == 2 && is_either_encoding(&replies[0].1, &replies[1].1) {
        return true;
    }
    let newer: Vec<&[u8]> = replies
        .iter()
        .filter(|(role, _)| matches!(role, Role::Valkey | Role::Redis8))
        .map(|(_, raw)| raw.as_slice())
        .collect();
    right(how, &replies[0].1, &newer)
}

/// The differences between the newer servers that show in rounds of one dialect too often to be argued one by one: up to
/// which length a string is "embstr" (Redis draws the line at 44 bytes, Valkey where key and value fill two cache lines), and
/// what a small hash becomes when a field of it gets an expiry.
fn is_either_encoding(ours: &[u8], theirs: &[u8]) -> bool {
    const EITHER: [[&[u8]; 2]; 2] = [
        [b"$6\r\nembstr\r\n", b"$3\r\nraw\r\n"],
        [b"$10\r\nlistpackex\r\n", b"$9\r\nhashtable\r\n"],
    ];
    EITHER
        .iter()
        .any(|both| both.contains(&ours) && both.contains(&theirs))
}

/// A connection of a round.
struct Link {
    client: Client,
}

impl Link {
    fn new(server: &Server) -> Link {
        let client = server.connect();
        client
            .set_read_timeout(PATIENCE)
            .expect("a timeout can be set");
        Link { client }
    }

    fn send(&mut self, steps: &[Step]) {
        let mut bytes = Vec::new();
        for step in steps {
            crate::client::encode(&step.args, &mut bytes);
        }
        // A connection that the server has closed shows when its reply is read.
        let _ = self.client.send_raw(&bytes);
    }

    /// The reply's raw bytes, invalidation messages of CLIENT TRACKING passed over.
    fn next(&mut self) -> Vec<u8> {
        loop {
            match self.client.try_read_raw() {
                Ok(raw) if raw.starts_with(b">") => {}
                Ok(raw) => return raw,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return SILENCE.to_vec();
                }
                Err(_) => return CLOSED.to_vec(),
            }
        }
    }

    fn ask(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        crate::client::encode(args, &mut bytes);
        let _ = self.client.send_raw(&bytes);
        self.next()
    }

    fn reply(&mut self, step: &Step) -> Vec<u8> {
        let first = self.next();
        if step.how == How::Scan && first.starts_with(b"*2") {
            self.scan_on(&step.args, first)
        } else {
            first
        }
    }

    /// Goes on with a SCAN until its cursor is back at 0; the reply is the array of all that was returned, each once.
    fn scan_on(&mut self, args: &[Vec<u8>], first: Vec<u8>) -> Vec<u8> {
        let mut seen = BTreeSet::new();
        let mut page = bulks(&first);
        loop {
            let cursor = if page.is_empty() {
                Vec::new()
            } else {
                page.remove(0)
            };
            seen.extend(page);
            if cursor == b"0" || cursor.is_empty() {
                break;
            }
            let mut next: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            // SCAN's cursor comes first, that of SSCAN and its like after the key.
            let at = if args[0].eq_ignore_ascii_case(b"SCAN") {
                1
            } else {
                2
            };
            next[at] = &cursor;
            page = bulks(&self.ask(&next));
        }
        let items: Vec<Vec<u8>> = seen.into_iter().collect();
        let mut raw = Vec::new();
        crate::client::encode(&items, &mut raw);
        raw
    }
}

/// All bulk strings of a reply, at any depth, in order.
fn bulks(raw: &[u8]) -> Vec<Vec<u8>> {
    fn collect(value: Value, into: &mut Vec<Vec<u8>>) {
        match value {
            Value::Bulk(bytes) => into.push(bytes),
            Value::Array(items) | Value::Set(items) => {
                for item in items {
                    collect(item, into);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if !raw.is_empty() && !raw.starts_with(b"-") {
        collect(crate::client::decode(raw), &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::reply::same;
    use super::*;

    #[test]
    fn our_reply_needs_a_newer_server_on_its_side() {
        let replies = |ours: &[u8], valkey: &[u8], redis8: &[u8], redis7: &[u8]| {
            let roles = [Role::Ours, Role::Valkey, Role::Redis8, Role::Redis7];
            roles
                .into_iter()
                .zip([ours, valkey, redis8, redis7].map(<[u8]>::to_vec))
                .collect::<Vec<_>>()
        };
        assert!(is_right(
            How::Exact,
            &replies(b":1\r\n", b":1\r\n", b":2\r\n", b":2\r\n")
        ));
        assert!(!is_right(
            How::Exact,
            &replies(b":1\r\n", b":2\r\n", b":3\r\n", b":1\r\n")
        ));
    }

    #[test]
    fn two_closed_connections_agree() {
        assert!(same(How::Exact, CLOSED, CLOSED));
        assert!(!same(How::Shape, CLOSED, b"+OK\r\n"));
    }
}
