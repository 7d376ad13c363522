//! How a replica introduces itself, and what the primary says to its request to go on where it left off.
//!
//! Real servers differ in what they know: an option of REPLCONF that one of them does not know is answered with an error, which
//! means nothing but that. The protocol is the same for Redis, Valkey and Redpoll; what we say of our version makes Valkey send the
//! format of 9.x, without which it cannot write hashes whose fields expire.

use crate::wire::{Wire, malformed};
use std::io;

/// The version that is announced. Valkey writes its files by it, Redis does not look at it.
const ANNOUNCED: &str = "9.1.0";

/// What a replica says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Introduction {
    /// `masteruser`; empty for the default user.
    pub user: String,
    /// `masterauth`; empty for none.
    pub password: String,
    /// The port that others are to be told.
    pub port: u16,
    /// The address that others are to be told, if it is not the one that the connection comes from.
    pub ip: Option<String>,
    /// Where to go on: identity and the offset up to which everything is here; None if nothing is.
    pub from: Option<(String, u64)>,
    /// The request is part of a FAILOVER: who gets it is to become the primary.
    pub failover: bool,
}

/// What the primary answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A snapshot follows, then the stream from this offset of this identity.
    Full {
        /// The identity, 40 characters.
        id: String,
        /// The offset.
        offset: u64,
    },
    /// The stream follows from where it was asked for. The identity, if it is another now.
    Continue(Option<String>),
    /// It cannot serve replicas at the moment, and why: to be tried again.
    Later(String),
}

/// Why there is no link.
#[derive(Debug)]
pub enum Failed {
    /// The connection is broken.
    Io(io::Error),
    /// It broke after the primary had been asked for the stream, and before it answered.
    Unanswered(io::Error),
    /// The primary refuses, and will again: what it says.
    Refused(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Io(error) | Failed::Unanswered(error) => error.fmt(f),
            Failed::Refused(text) => f.write_str(text),
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Whether an error of the primary says that it is not ready yet.
fn is_passing(error: &str) -> bool {
    ["NOMASTERLINK", "LOADING", "MASTERDOWN", "BUSY", "TRYAGAIN"]
        .iter()
        .any(|code| {
            error
                .strip_prefix(code)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
}

/// Whether a string is the identity of a stream.
pub(crate) fn is_identity(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|b| b.is_ascii_graphic())
}

/// Introduces this server and asks for the stream.
///
/// # Errors
/// The connection breaks, or the primary refuses.
pub(crate) fn greet(wire: &mut Wire, who: &Introduction) -> Result<Answer, Failed> {
    wire.command(&["PING"])?;
    let pong = text(&wire.line_of_text()?);
    // Those that want a password say so; all the rest is an error.
    if let Some(error) = pong.strip_prefix('-') {
        let asks = ["NOAUTH", "NOPERM", "ERR operation not permitted"];
        if is_passing(error) {
            return Ok(Answer::Later(error.to_owned()));
        }
        if !asks.iter().any(|start| error.starts_with(start)) {
            return Err(Failed::Refused(format!("PING was answered with '{error}'")));
        }
    } else if !pong.starts_with('+') {
        return Err(malformed("PING was answered with something else than a line").into());
    }
    if !who.password.is_empty() {
        let mut auth = vec!["AUTH"];
        if !who.user.is_empty() {
            auth.push(&who.user);
        }
        auth.push(&who.password);
        wire.command(&auth)?;
        let reply = text(&wire.line_of_text()?);
        if let Some(error) = reply.strip_prefix('-') {
            return match is_passing(error) {
                true => Ok(Answer::Later(error.to_owned())),
                false => Err(Failed::Refused(format!("AUTH was answered with '{error}'"))),
            };
        }
    }
    let port = who.port.to_string();
    let mut about: Vec<Vec<&str>> = vec![vec!["REPLCONF", "listening-port", &port]];
    if let Some(ip) = &who.ip {
        about.push(vec!["REPLCONF", "ip-address", ip]);
    }
    about.push(vec![
        "REPLCONF", "capa", "eof", "capa", "psync2", "capa", "redpoll",
    ]);
    about.push(vec!["REPLCONF", "version", ANNOUNCED]);
    for command in &about {
        wire.command(command)?;
    }
    for command in &about {
        let reply = text(&wire.line_of_text()?);
        if let Some(error) = reply.strip_prefix('-') {
            if is_passing(error) {
                return Ok(Answer::Later(error.to_owned()));
            }
            // Without the right to say so there is none to ask for the stream either.
            if error.starts_with("NOAUTH") || error.starts_with("NOPERM") {
                return Err(Failed::Refused(error.to_owned()));
            }
            tracing::debug!("The primary does not know REPLCONF {}: {error}", command[1]);
        }
    }
    let (id, offset) = match &who.from {
        Some((id, offset)) => (id.as_str(), (offset + 1).to_string()),
        None => ("?", "-1".to_owned()),
    };
    let mut psync = vec!["PSYNC", id, &offset];
    if who.failover {
        psync.push("FAILOVER");
    }
    wire.command(&psync)?;
    answer(&text(&wire.line_of_text().map_err(Failed::Unanswered)?))
}

/// Reads the answer to PSYNC.
fn answer(line: &str) -> Result<Answer, Failed> {
    if let Some(error) = line.strip_prefix('-') {
        return match is_passing(error) {
            true => Ok(Answer::Later(error.to_owned())),
            false => Err(Failed::Refused(format!(
                "PSYNC was answered with '{error}'"
            ))),
        };
    }
    let mut words = line.split_ascii_whitespace();
    match words.next() {
        Some("+FULLRESYNC") => {
            let id = words.next().filter(|id| is_identity(id));
            let offset = words.next().and_then(|n| n.parse().ok());
            match (id, offset) {
                (Some(id), Some(offset)) => Ok(Answer::Full {
                    id: id.to_owned(),
                    offset,
                }),
                _ => Err(malformed("FULLRESYNC without an identity and an offset").into()),
            }
        }
        Some("+CONTINUE") => match words.next() {
            None => Ok(Answer::Continue(None)),
            Some(id) if is_identity(id) => Ok(Answer::Continue(Some(id.to_owned()))),
            Some(_) => Err(malformed("CONTINUE with something that is no identity").into()),
        },
        _ => Err(malformed("PSYNC was answered with neither FULLRESYNC nor CONTINUE").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::pair;
    use std::io::{Read, Write};

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    /// Plays a primary that answers so; what it was asked, and what came of it.
    fn play(who: Introduction, answers: &str) -> (String, Result<Answer, Failed>) {
        let (mut wire, mut far) = pair();
        far.write_all(answers.as_bytes()).unwrap();
        // It says no more.
        far.shutdown(std::net::Shutdown::Write).unwrap();
        let result = greet(&mut wire, &who);
        drop(wire);
        let mut asked = String::new();
        // What was not read of the answers makes the connection end with an error.
        let _ = far.read_to_string(&mut asked);
        let words = asked.split("\r\n").filter(|w| !w.starts_with(['*', '$']));
        (
            words.collect::<Vec<_>>().join(" ").trim().to_owned(),
            result,
        )
    }

    #[test]
    fn introduces_itself_as_real_replicas_do() {
        let who = Introduction {
            port: 6380,
            ..Introduction::default()
        };
        let full = format!(
            "+PONG\r\n+OK\r\n+OK\r\n-ERR Unrecognized REPLCONF option: version\r\n\n\n+FULLRESYNC {ID} 17\r\n"
        );
        let (asked, answer) = play(who, &full);
        assert_eq!(
            asked,
            "PING REPLCONF listening-port 6380 REPLCONF capa eof capa psync2 capa redpoll REPLCONF version 9.1.0 PSYNC ? -1"
        );
        let id = ID.to_owned();
        assert_eq!(answer.unwrap(), Answer::Full { id, offset: 17 });

        let who = Introduction {
            user: "u".into(),
            password: "p".into(),
            ip: Some("10.0.0.1".into()),
            from: Some((ID.to_owned(), 99)),
            failover: true,
            ..Introduction::default()
        };
        let cont =
            "-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE\r\n";
        let (asked, answer) = play(who, cont);
        assert!(
            asked.starts_with(
                "PING AUTH u p REPLCONF listening-port 0 REPLCONF ip-address 10.0.0.1"
            ),
            "{asked}"
        );
        assert!(
            asked.ends_with(&format!("PSYNC {ID} 100 FAILOVER")),
            "{asked}"
        );
        assert_eq!(answer.unwrap(), Answer::Continue(None));
    }

    #[test]
    fn refusals_are_told_apart() {
        let play = |answers: &str| play(Introduction::default(), answers).1;
        let ok = "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n";
        for passing in [
            "-LOADING Redis is loading",
            "-NOMASTERLINK Can't SYNC",
            "-MASTERDOWN x",
        ] {
            let text = passing[1..].to_owned();
            assert_eq!(
                play(&format!("{ok}{passing}\r\n")).unwrap(),
                Answer::Later(text)
            );
        }
        assert_eq!(
            play("-LOADING x\r\n").unwrap(),
            Answer::Later("LOADING x".into())
        );
        for bad in [
            "-ERR unknown command 'PING'\r\n".to_owned(),
            format!("{ok}-ERR unknown command 'PSYNC'\r\n"),
            "+PONG\r\n-NOPERM no\r\n+OK\r\n+OK\r\n".to_owned(),
        ] {
            assert!(matches!(play(&bad), Err(Failed::Refused(_))), "{bad}");
        }
        assert!(matches!(play(ok), Err(Failed::Unanswered(_))));
        for bad in [
            format!("{ok}+FULLRESYNC short 1\r\n"),
            format!("{ok}+FULLRESYNC {ID} x\r\n"),
            format!("{ok}+CONTINUE short\r\n"),
            format!("{ok}:1\r\n"),
            "HTTP/1.1 400 Bad Request\r\n".to_owned(),
        ] {
            assert!(matches!(play(&bad), Err(Failed::Io(_))), "{bad}");
        }
    }
}
