//! A connection to a server, as `redpoll migrate` needs it.

use resp::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;
use terminal::link::tls::TlsOptions;
use terminal::link::{Connection, Target};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to take a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a server is and who one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    /// TLS is spoken there.
    pub tls: bool,
    /// Empty for the default user.
    pub user: String,
    pub password: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads a host, and a port if there is one.
fn place(text: &str, default: Option<u16>) -> Result<(String, u16), String> {
    let wrong = || format!("'{text}' is no host and port");
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address in brackets may stand alone.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None => default.ok_or_else(wrong)?,
    };
    match host {
        "" => Err(wrong()),
        host => Ok((host.to_owned(), port)),
    }
}

/// Resolves `%xx` of a URL.
fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |b: u8| (b as char).to_digit(16);
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                let value = digit(*high).unwrap_or(0) * 16 + digit(*low).unwrap_or(0);
                out.push(value as u8);
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Address {
    /// Reads `redis://[[user]:password@]host[:port][/]`, or the same with `rediss://` for TLS.
    pub fn parse(url: &str) -> Result<Address, String> {
        let (tls, rest) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => {
                return Err(format!(
                    "'{url}' begins neither with redis:// nor with rediss://"
                ));
            }
        };
        let (access, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = access.split_once(':').unwrap_or(("", access));
        let (host, port) = place(rest.split('/').next().unwrap_or_default(), Some(6379))?;
        Ok(Address {
            host,
            port,
            tls,
            user: unescaped(user),
            password: unescaped(password),
        })
    }

    /// Where this server is for another one, who is the same there: reads `host:port`, which speaks TLS if this does, or a URL.
    pub fn seen_at(&self, text: &str) -> Result<Address, String> {
        if text.contains("://") {
            let there = Address::parse(text)?;
            return Ok(match there.password.is_empty() {
                true => Address {
                    user: self.user.clone(),
                    password: self.password.clone(),
                    ..there
                },
                false => there,
            });
        }
        let (host, port) = place(text, None)?;
        Ok(Address {
            host,
            port,
            ..self.clone()
        })
    }
}

/// A server that is spoken to.
pub struct Server {
    pub address: Address,
    stream: Connection,
    buf: Vec<u8>,
}

impl Server {
    /// `tls`: whom to trust and who one is, where TLS is spoken.
    pub fn connect(address: &Address, tls: TlsOptions) -> Result<Server, String> {
        let target = Target {
            address: terminal::link::Address::Tcp(address.host.clone(), address.port),
            tls: address.tls.then_some(tls),
            ..Target::default()
        };
        let stream = Connection::dial_within(&target, Some(CONNECT), Some(PATIENCE))
            .map_err(|error| format!("{address}: {error}"))?;
        let mut server = Server {
            address: address.clone(),
            stream,
            buf: Vec::new(),
        };
        server.sign_in()?;
        Ok(server)
    }

    fn sign_in(&mut self) -> Result<(), String> {
        let Address { user, password, .. } = self.address.clone();
        if !password.is_empty() {
            match user.as_str() {
                "" => self.call(&["AUTH", &password])?,
                user => self.call(&["AUTH", user, &password])?,
            };
        }
        self.call(&["PING"]).map(drop)
    }

    /// Sends several commands at once; their replies, errors among them.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Result<Vec<Value>, String> {
        let mut request = Vec::new();
        for command in commands {
            resp::write_command(&mut request, command);
        }
        let failed = |error: std::io::Error, address: &Address| format!("{address}: {error}");
        self.stream
            .write_all(&request)
            .and_then(|()| self.stream.flush())
            .map_err(|e| failed(e, &self.address))?;
        let mut replies = Vec::with_capacity(commands.len());
        let mut chunk = vec![0; 64 << 10];
        while replies.len() < commands.len() {
            match resp::decode(&self.buf) {
                Ok(Some((value, used))) => {
                    self.buf.drain(..used);
                    replies.push(value);
                }
                Ok(None) => match self.stream.read(&mut chunk) {
                    Ok(0) => return Err(format!("{}: the connection was closed", self.address)),
                    Ok(n) => self.buf.extend_from_slice(&chunk[..n]),
                    Err(error) => return Err(failed(error, &self.address)),
                },
                Err(error) => return Err(format!("{}: not a reply: {error:?}", self.address)),
            }
        }
        Ok(replies)
    }

    /// Sends a command; an error reply is an error.
    pub fn call<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Result<Value, String> {
        let command: Vec<&[u8]> = argv.iter().map(AsRef::as_ref).collect();
        let name = String::from_utf8_lossy(command[0]).into_owned();
        match self.pipeline(&[command])?.pop() {
            Some(Value::Error(text)) => Err(format!(
                "{}: {name} was answered with '{text}'",
                self.address
            )),
            Some(value) => Ok(value),
            None => Err(format!("{}: no reply", self.address)),
        }
    }

    /// All that INFO tells.
    pub fn info(&mut self) -> Result<String, String> {
        match self.call(&["INFO", "everything"])? {
            Value::Bulk(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            other => Err(format!(
                "{}: INFO was answered with {other:?}",
                self.address
            )),
        }
    }

    /// What it is, in a few words.
    pub fn describe(&mut self) -> Result<String, String> {
        let info = self.info()?;
        let known = [
            ("Redpoll", "redpoll_version"),
            ("Valkey", "valkey_version"),
            ("Redis", "redis_version"),
        ];
        let found = known
            .iter()
            .find(|(_, name)| !field(&info, name).is_empty());
        let what = found.map_or("a server".into(), |(what, name)| {
            format!("{what} {}", field(&info, name))
        });
        let keys: u64 = keyspace(&info).values().sum();
        Ok(format!("{} ({what}, {keys} keys)", self.address))
    }

    /// A setting; None if it may not be asked for or is not known.
    pub fn setting(&mut self, name: &str) -> Option<String> {
        let reply = self.call(&["CONFIG", "GET", name]).ok()?;
        texts(&reply).into_iter().nth(1)
    }
}

/// A field of INFO; empty if there is none.
pub fn field<'i>(info: &'i str, name: &str) -> &'i str {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

/// Keys by database.
pub fn keyspace(info: &str) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for line in info.lines() {
        let parts = line
            .strip_prefix("db")
            .and_then(|rest| rest.split_once(":keys="));
        if let Some((db, rest)) = parts
            && let Ok(db) = db.parse()
        {
            let keys = rest.split(',').next().unwrap_or_default();
            all.insert(db, keys.trim().parse().unwrap_or(0));
        }
    }
    all
}

/// The texts of a reply, however deep they are.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Bulk(text) => vec![String::from_utf8_lossy(text).into_owned()],
        Value::Simple(text) => vec![text.clone()],
        Value::Array(items) | Value::Set(items) => items.iter().flat_map(texts).collect(),
        Value::Map(pairs) => pairs
            .iter()
            .flat_map(|(k, v)| [texts(k), texts(v)].concat())
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = |url| Address::parse(url).map(|a| (a.host, a.port, a.user, a.password));
        let is = |host: &str, port, user: &str, password: &str| {
            Ok((host.into(), port, user.into(), password.into()))
        };
        assert_eq!(parse("redis://h"), is("h", 6379, "", ""));
        assert_eq!(
            parse("redis://10.0.0.1:7000/"),
            is("10.0.0.1", 7000, "", "")
        );
        assert_eq!(parse("redis://:p%40ss:w@h:1"), is("h", 1, "", "p@ss:w"));
        assert_eq!(parse("redis://u:p@[::1]:2"), is("::1", 2, "u", "p"));
        assert_eq!(parse("redis://[::1]"), is("::1", 6379, "", ""));
        assert!(Address::parse("rediss://h").unwrap().tls);
        let seen = |from: &str, text| {
            let address = Address::parse(from).unwrap().seen_at(text).unwrap();
            (address.host, address.port, address.tls)
        };
        assert_eq!(seen("rediss://h:1", "g:2"), ("g".into(), 2, true));
        assert_eq!(seen("rediss://h:1", "redis://g:3"), ("g".into(), 3, false));
        assert_eq!(seen("redis://h:1", "rediss://g"), ("g".into(), 6379, true));
        for bad in [
            "h:1",
            "http://h",
            "redis://",
            "redis://h:x",
            "rediss://",
            "redis://:1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_info_tells() {
        let info = "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb12:keys=7,expires=0\r\nrole:master\r\n";
        assert_eq!(keyspace(info), BTreeMap::from([(0, 5), (12, 7)]));
        assert_eq!((field(info, "role"), field(info, "rol")), ("master", ""));
    }
}
