//! The commands that stood out: slow ones (SLOWLOG), and large requests and replies (COMMANDLOG has all three).
//!
//! A command's own time counts, not its share of a pipeline, and without what it waited for keys to come. Commands of
//! scripts and transactions are logged one by one, EXEC itself is not. What is logged of a command is bounded (32 arguments of 128
//! bytes), secrets are left out, and each log keeps only its newest entries. A command that does not stand out pays a comparison.

use crate::base::clock::unix_ms;
use crate::client::clients::Client;
use crate::config::{Live, LogSettings};
use crate::follow::monitor::is_secret;
use crate::table::row::Facts;
use parking_lot::Mutex;
use resp::{Out, Proto};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

/// What a log is about, by its place among the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Commands that took long; values are microseconds.
    Slow = 0,
    /// Requests of many bytes.
    LargeRequest = 1,
    /// Replies of many bytes.
    LargeReply = 2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Slow, Kind::LargeRequest, Kind::LargeReply];

    /// The name COMMANDLOG knows it by.
    pub fn name(self) -> &'static str {
        ["slow", "large-request", "large-reply"][self as usize]
    }
}

/// A command that stood out.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Entries of a log are numbered from 0 as long as the server runs.
    pub id: u64,
    /// Unix seconds.
    pub at_s: u64,
    /// Microseconds or bytes.
    pub value: u64,
    /// Its arguments as a RESP array of strings, see [`shown`].
    pub arguments: Box<[u8]>,
    /// The client's address, and the name that it has given itself.
    pub addr: String,
    /// See `addr`.
    pub name: String,
}

#[derive(Debug, Default)]
struct Log {
    /// The newest last.
    entries: VecDeque<Entry>,
    next_id: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct CommandLog([Mutex<Log>; 3]);

/// Most arguments of a command that are kept; the last one says how many more there were.
const MOST_ARGUMENTS: usize = 32;
/// Most bytes of an argument that are kept.
const MOST_BYTES: usize = 128;

/// A command's arguments as a RESP array, shortened and without secrets.
pub fn shown(command: &Facts, argv: &[&[u8]]) -> Box<[u8]> {
    let mut out = Out::new(Proto::Resp2);
    let kept = match argv.len() {
        all @ ..=MOST_ARGUMENTS => all,
        _ => MOST_ARGUMENTS - 1,
    };
    out.array(argv.len().min(MOST_ARGUMENTS));
    for (i, arg) in argv[..kept].iter().enumerate() {
        if is_secret(command, argv, i) {
            out.bulk(b"(redacted)");
        } else if arg.len() > MOST_BYTES {
            let more = format!("... ({} more bytes)", arg.len() - MOST_BYTES);
            out.bulk(&[&arg[..MOST_BYTES], more.as_bytes()].concat());
        } else {
            out.bulk(arg);
        }
    }
    if kept < argv.len() {
        let more = format!("... ({} more arguments)", argv.len() - kept);
        out.bulk(more.as_bytes());
    }
    out.to_vec().into()
}

impl CommandLog {
    /// Logs a command. `arguments`: see [`shown`].
    #[cold]
    pub fn add(&self, kind: Kind, live: &Live, value: u64, arguments: Box<[u8]>, client: &Client) {
        let most = live.logs[kind as usize].most.load(Relaxed);
        if most == 0 {
            return;
        }
        let (addr, name) = (client.addr.clone(), client.words.lock().name.clone());
        let mut log = self.0[kind as usize].lock();
        let id = log.next_id;
        log.next_id += 1;
        log.entries.push_back(Entry {
            id,
            at_s: unix_ms() / 1000,
            value,
            arguments,
            addr,
            name,
        });
        log.shrink(most);
    }

    /// Up to so many entries, the newest first.
    pub fn newest(&self, kind: Kind, most: usize) -> Vec<Entry> {
        let log = self.0[kind as usize].lock();
        log.entries.iter().rev().take(most).cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self, kind: Kind) -> usize {
        self.0[kind as usize].lock().entries.len()
    }

    /// How many commands were logged since the start.
    pub fn count(&self, kind: Kind) -> u64 {
        self.0[kind as usize].lock().next_id
    }

    /// Forgets a log's entries.
    pub fn reset(&self, kind: Kind) {
        self.0[kind as usize].lock().entries.clear();
    }

    /// Forgets what is too much by a limit that was lowered.
    pub(crate) fn heed_limits(&self, settings: &[LogSettings; 3]) {
        for (log, settings) in self.0.iter().zip(settings) {
            log.lock().shrink(settings.most.load(Relaxed));
        }
    }
}

impl Log {
    fn shrink(&mut self, most: usize) {
        let surplus = self.entries.len().saturating_sub(most);
        self.entries.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClient;

    fn text(c: &TestClient, argv: &[&str]) -> String {
        let argv: Vec<&[u8]> = argv.iter().map(|a| a.as_bytes()).collect();
        let entry = c.engine.registry().resolve(&argv).expect("a command");
        let shown = shown(&entry.command.facts, &argv);
        String::from_utf8_lossy(&shown).replace("\r\n", " ")
    }

    #[test]
    fn arguments_are_shortened() {
        let c = TestClient::new();
        assert_eq!(text(&c, &["get", "k"]), "*2 $3 get $1 k ");
        let long = "x".repeat(128);
        assert_eq!(text(&c, &["get", &long]), format!("*2 $3 get $128 {long} "));
        let longer = "x".repeat(130);
        let said = text(&c, &["get", &longer]);
        assert_eq!(said, format!("*2 $3 get $146 {long}... (2 more bytes) "));
        let mut many = vec!["del"; 32];
        assert!(text(&c, &many).starts_with("*32 ") && !text(&c, &many).contains("more"));
        many.push("k");
        assert!(text(&c, &many).starts_with("*32 "));
        assert!(text(&c, &many).ends_with("$22 ... (2 more arguments) "));
    }

    #[test]
    fn secrets_are_left_out() {
        let c = TestClient::new();
        let secret = "$10 (redacted) ";
        assert_eq!(
            text(&c, &["auth", "u", "p"]),
            format!("*3 $4 auth {secret}{secret}")
        );
        let hello = text(&c, &["hello", "3", "AUTH", "u", "p"]);
        assert_eq!(hello, format!("*5 $5 hello $1 3 $4 AUTH {secret}{secret}"));
        let set = text(
            &c,
            &[
                "config",
                "set",
                "requirepass",
                "p",
                "timeout",
                "5",
                "tls-key-file-pass",
                "q",
            ],
        );
        assert_eq!(set.matches("(redacted)").count(), 2);
        assert!(set.contains("requirepass") && set.contains("$1 5 "));
    }
}
