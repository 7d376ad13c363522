//! MONITOR: every command that is executed, shown to the clients that asked for it.
//!
//! A command is shown when it is done, while the locks of its keys are held, so that what is said of one key is in the order
//! in which it happened. Commands of a transaction are shown when EXEC carries them out, those of a script after the
//! script, whose line has the time at which it began; they travel in the list of changes, so that nothing is shown of a script that has to start over. Administrators'
//! commands are not shown, passwords neither.
//!
//! While nobody watches, this costs a command one look at a number that hardly ever changes.

use crate::base::clock::unix_nanos;
use crate::client::clients::{Client, Kind};
use crate::client::outbox::Message;
use crate::config::Config;
use crate::config::is_secret as is_secret_setting;
use crate::table::row::{
    ADMIN, Facts, LIKE_WRITE, READONLY, RUNS_SCRIPT, SECRET, SECRET_AFTER_AUTH, SKIP_MONITOR,
    Secret, WRITE,
};
use parking_lot::RwLock;
use resp::Out;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Who watches. A cache line of its own, since every command looks at it.
#[repr(align(128))]
#[derive(Default)]
pub struct Monitors {
    watching: AtomicUsize,
    clients: RwLock<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether anybody watches.
    #[inline]
    pub fn watching(&self) -> bool {
        self.watching.load(Relaxed) != 0
    }

    pub(crate) fn add(&self, client: &Arc<Client>) {
        self.clients.write().push(client.clone());
        self.watching.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove(&self, client: &Client) {
        let mut clients = self.clients.write();
        let before = clients.len();
        clients.retain(|c| c.id != client.id);
        self.watching.fetch_sub(before - clients.len(), Relaxed);
    }

    /// Shows a line to all who watch.
    pub(crate) fn show(&self, config: &Config, line: &[u8]) {
        let mut message = Message::new(|out: &mut Out| out.raw(line));
        for client in &*self.clients.read() {
            message.send(client, &config.live.output_limits);
        }
    }
}

/// Whether a command is shown at all. A script is, though its row says otherwise: it is shown before what it does.
pub(crate) fn is_shown(command: &Facts) -> bool {
    !command.has(ADMIN) && (!command.has(SKIP_MONITOR) || command.has(RUNS_SCRIPT))
}

/// Whether a command is one that real servers do not let a client that watches use.
pub(crate) fn is_refused(command: &Facts) -> bool {
    command.has(WRITE | READONLY | LIKE_WRITE | RUNS_SCRIPT)
}

/// The time of a line: of a script that in which it begins, since its line comes before those of what it does; of other commands that
/// in which they are done. To be asked before the command is carried out; zero while nobody watches.
#[inline]
pub(crate) fn time_of(monitors: &Monitors, command: &Facts) -> u64 {
    match command.has(RUNS_SCRIPT) && monitors.watching() {
        true => unix_nanos(),
        false => 0,
    }
}

/// The line that tells of a command: when, in which database, by whom, and its arguments in quotes. `time`: see [`time_of`].
pub(crate) fn line(
    time: u64,
    db: usize,
    client: &Client,
    in_script: bool,
    command: &Facts,
    argv: &[&[u8]],
) -> Vec<u8> {
    let nanos = if time != 0 { time } else { unix_nanos() };
    let micros = nanos / 1000;
    let mut line = Vec::with_capacity(64 + argv.iter().map(|a| a.len() + 3).sum::<usize>());
    let (s, us) = (micros / 1_000_000, micros % 1_000_000);
    // Writing to memory cannot fail.
    let _ = write!(line, "+{s}.{us:06} [{db} ");
    let _ = match client.kind {
        _ if in_script => write!(line, "lua"),
        Kind::Unix => write!(line, "unix:{}", client.addr.trim_end_matches(":0")),
        _ => write!(line, "{}", client.addr),
    };
    line.push(b']');
    for (i, arg) in argv.iter().enumerate() {
        line.push(b' ');
        quote(
            &mut line,
            if is_secret(command, argv, i) {
                b"(redacted)"
            } else {
                arg
            },
        );
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Whether an argument is a user's name or password.
pub(crate) fn is_secret(command: &Facts, argv: &[&[u8]], i: usize) -> bool {
    if command.has(SECRET_AFTER_AUTH) {
        let mut words = argv.iter().skip(2);
        let auth = words.position(|a| a.eq_ignore_ascii_case(b"auth"));
        return auth.is_some_and(|at| i == at + 3 || i == at + 4);
    }
    match command.secret {
        Secret::From(first) if i >= first => true,
        Secret::Settings if i >= 3 => is_secret_setting(argv[i - 1]),
        Secret::Peer => is_for_peer(argv, i),
        _ => command.has(SECRET) && i > 0,
    }
}

/// Whether an argument of MIGRATE is a name or a password. Behind KEYS there are only keys, whatever they are called.
fn is_for_peer(argv: &[&[u8]], i: usize) -> bool {
    const OPTIONS: usize = 6;
    let mut at = OPTIONS;
    while let Some(word) = argv.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let secrets = match () {
            () if is("copy") || is("replace") => 0,
            () if is("auth") => 1,
            () if is("auth2") => 2,
            () => return false,
        };
        if (at + 1..=at + secrets).contains(&i) {
            return true;
        }
        at += 1 + secrets;
    }
    false
}

fn quote(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            7 => line.extend_from_slice(b"\\a"),
            8 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    /// What a client was shown, without the times.
    fn shown(client: &mut TestClient) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = client.session.client().outbox.pop() {
            let line = String::from_utf8(line.to_vec()).expect("text");
            let (time, rest) = line.split_once(" [").expect("a time");
            let (s, us) = time[1..].split_once('.').expect("a fraction");
            assert!(s.parse::<u64>().is_ok() && us.len() == 6, "{time}");
            lines.push(rest.trim_end().to_owned());
        }
        lines
    }

    #[test]
    fn what_migrate_tells_the_other_server_is_secret() {
        let secret = |line: &str| -> Vec<String> {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let hidden = (0..words.len()).filter(|i| super::is_for_peer(&words, *i));
            hidden
                .map(|i| String::from_utf8_lossy(words[i]).into_owned())
                .collect()
        };
        let start = "MIGRATE host 6379 key 0 1000";
        assert!(secret(start).is_empty());
        assert_eq!(secret(&format!("{start} COPY auth pw REPLACE")), ["pw"]);
        assert_eq!(secret(&format!("{start} AUTH2 me pw COPY")), ["me", "pw"]);
        assert_eq!(secret(&format!("{start} AUTH auth KEYS auth a")), ["auth"]);
        assert!(secret(&format!("{start} KEYS auth a auth2 b c")).is_empty());
    }

    #[test]
    fn commands_are_shown_as_they_are_done() {
        let mut m = TestClient::new();
        let mut c = m.another();
        m.check("MONITOR", "OK");
        m.check("MONITOR", "");
        c.run(r#"SET k "v w\r\n\t\x00\"\\""#);
        assert_eq!(
            shown(&mut m),
            [r#"0 127.0.0.1:5000] "SET" "k" "v w\r\n\t\x00\"\\""#]
        );
        c.run("NOSUCH; GET; CONFIG GET port; SELECT 3");
        assert_eq!(shown(&mut m), [r#"3 127.0.0.1:5000] "SELECT" "3""#]);
        c.run("MULTI; GET k");
        assert_eq!(shown(&mut m), [r#"3 127.0.0.1:5000] "MULTI""#]);
        c.run("EXEC");
        assert_eq!(
            shown(&mut m),
            [
                r#"3 127.0.0.1:5000] "GET" "k""#,
                r#"3 127.0.0.1:5000] "EXEC""#
            ]
        );
        m.check("GET k", "-ERR Replica can't interact with the keyspace");
        m.check("RESET", "RESET");
        c.run("PING");
        assert!(shown(&mut m).is_empty());
        m.check("GET k", r#""v w\r\n\t\x00\"\\""#);
    }

    #[test]
    fn passwords_are_not_shown() {
        let mut m = TestClient::new();
        let mut c = m.another();
        m.run("MONITOR");
        c.run("AUTH secret; AUTH default secret; HELLO 3 SETNAME me AUTH default secret");
        let lines = shown(&mut m);
        assert_eq!(
            lines,
            [
                r#"0 127.0.0.1:5000] "AUTH" "(redacted)""#,
                r#"0 127.0.0.1:5000] "AUTH" "(redacted)" "(redacted)""#,
                r#"0 127.0.0.1:5000] "HELLO" "3" "SETNAME" "me" "AUTH" "(redacted)" "(redacted)""#,
            ]
        );
    }

    #[test]
    fn a_script_is_shown_before_what_it_does() {
        let mut m = TestClient::new();
        let mut c = m.another();
        m.run("MONITOR");
        c.run("EVAL \"return redis.call('get', 'k')\" 0");
        assert_eq!(
            shown(&mut m),
            [
                r#"0 127.0.0.1:5000] "EVAL" "return redis.call('get', 'k')" "0""#,
                r#"0 lua] "get" "k""#
            ]
        );
    }
}
