//! Where a server is and how to get in: the options and URLs that say so.

use super::tls::TlsOptions;
use std::fmt;
use std::time::Duration;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// A unix socket's path.
    Unix(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => f.write_str(path),
        }
    }
}

/// A server, and how to greet it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is.
    pub address: Address,
    /// How to encrypt, if at all.
    pub tls: Option<TlsOptions>,
    /// The user of `password`; without one, the default user.
    pub user: Option<String>,
    /// What to authenticate with.
    pub password: Option<Vec<u8>>,
    /// The database to select.
    pub db: u32,
    /// How long connecting may take; None is as long as the system tries.
    pub patience: Option<Duration>,
    /// Which of a name's addresses are tried first.
    pub family: Option<Family>,
    /// Whether to ask for RESP3, and whether a server that has none is to be told of.
    pub resp3: Wish,
}

/// A kind of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Which version of the protocol is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// RESP2, without asking.
    Resp2,
    /// RESP3 if the server has it.
    Resp3IfThere,
    /// RESP3, or a complaint.
    Resp3,
}

impl Default for Target {
    fn default() -> Target {
        Target {
            address: Address::Tcp("127.0.0.1".into(), 6379),
            tls: None,
            user: None,
            password: None,
            db: 0,
            patience: None,
            family: None,
            resp3: Wish::Resp2,
        }
    }
}

impl Target {
    /// Takes what `redis[s]://[[user]:password@][host][:port][/db]` or `unix://path` (also `valkey[s]://`) says. A part that is
    /// not there changes nothing. The error is one line.
    pub(crate) fn apply_url(&mut self, url: &str) -> Result<(), String> {
        let (scheme, rest) = url.split_once("://").ok_or("Invalid URI scheme")?;
        match scheme {
            "redis" | "valkey" => {}
            "rediss" | "valkeys" => self.tls = Some(self.tls.take().unwrap_or_default()),
            "unix" => {
                self.address = Address::Unix(decode(rest)?);
                return Ok(());
            }
            _ => return Err("Invalid URI scheme".into()),
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let place = match authority.rsplit_once('@') {
            None => authority,
            Some((who, place)) => {
                match who.split_once(':') {
                    Some((user, password)) => {
                        if !user.is_empty() {
                            self.user = Some(decode(user)?);
                        }
                        self.password = Some(decode(password)?.into_bytes());
                    }
                    // A lone word is a password, as redis-cli has it.
                    None => self.password = Some(decode(who)?.into_bytes()),
                }
                place
            }
        };
        let (mut host, mut port) = match &self.address {
            Address::Tcp(host, port) => (host.clone(), *port),
            Address::Unix(_) => {
                return Err("a URL of a host and a path of a socket do not go together".into());
            }
        };
        let (name, number) = match place.strip_prefix('[') {
            Some(v6) => {
                let (name, rest) = v6.split_once(']').ok_or("Invalid URI: ] is missing")?;
                (name, rest.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((name, number)) => (name, Some(number)),
                None => (place, None),
            },
        };
        if !name.is_empty() {
            host = decode(name)?;
        }
        if let Some(number) = number.filter(|number| !number.is_empty()) {
            port = number
                .parse()
                .map_err(|_| format!("Invalid URI: {number} is no port"))?;
        }
        self.address = Address::Tcp(host, port);
        let path = path.split('?').next().unwrap_or_default();
        if !path.is_empty() {
            self.db = path
                .parse()
                .map_err(|_| format!("Invalid URI: {path} is no number of a database"))?;
        }
        Ok(())
    }
}

/// Percent-encoding undone.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("Invalid URI: incomplete percent-encoding".into());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "Invalid URI: not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Target, String> {
        let mut target = Target::default();
        target.apply_url(url).map(|()| target)
    }

    #[test]
    fn urls_say_where_and_who() {
        let target = of("redis://bob:p%40ss@example.org:7000/3").unwrap();
        assert_eq!(target.address, Address::Tcp("example.org".into(), 7000));
        assert_eq!(target.user.as_deref(), Some("bob"));
        assert_eq!(target.password.as_deref(), Some(&b"p@ss"[..]));
        assert_eq!((target.db, target.tls.is_some()), (3, false));

        let target = of("rediss://:secret@[::1]").unwrap();
        assert_eq!(target.address, Address::Tcp("::1".into(), 6379));
        assert_eq!(
            (target.user, target.password),
            (None, Some(b"secret".to_vec()))
        );
        assert!(target.tls.is_some());

        assert_eq!(of("redis://word@h").unwrap().password.unwrap(), b"word");
        assert_eq!(
            of("valkey://").unwrap().address,
            Address::Tcp("127.0.0.1".into(), 6379)
        );
        assert_eq!(
            of("unix:///run/r.sock").unwrap().address,
            Address::Unix("/run/r.sock".into())
        );
        for bad in [
            "http://h",
            "h:1",
            "redis://h:port",
            "redis://h/x",
            "redis://%4@h",
            "redis://[::1",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_written_as_they_are_typed() {
        assert_eq!(Address::Tcp("h".into(), 1).to_string(), "h:1");
        assert_eq!(Address::Tcp("::1".into(), 1).to_string(), "[::1]:1");
        assert_eq!(Address::Unix("/s".into()).to_string(), "/s");
    }
}
