//! A connection to a server, as `redpoll migrate` needs it.

use resp::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to take a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a server is and who one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
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

/// Reads `host:port`.
pub fn host_and_port(text: &str) -> Result<(String, u16), String> {
    place(text, None)
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
    /// Reads `redis://[[user]:password@]host[:port][/]`.
    pub fn parse(url: &str) -> Result<Address, String> {
        if url.starts_with("rediss://") {
            return Err("TLS is not spoken by redpoll migrate itself: use a tunnel, or a port without TLS on this machine".into());
        }
        let rest = url
            .strip_prefix("redis://")
            .ok_or(format!("'{url}' does not begin with redis://"))?;
        let (access, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = access.split_once(':').unwrap_or(("", access));
        let (host, port) = place(rest.split('/').next().unwrap_or_default(), Some(6379))?;
        Ok(Address {
            host,
            port,
            user: unescaped(user),
            password: unescaped(password),
        })
    }

    pub fn place(&self) -> (String, u16) {
        (self.host.clone(), self.port)
    }
}

/// A server that is spoken to.
pub struct Server {
    pub address: Address,
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Server {
    pub fn connect(address: &Address) -> Result<Server, String> {
        let failed = |error: std::io::Error| format!("{address}: {error}");
        let place = (address.host.as_str(), address.port);
        let mut last = format!("{address}: the name has no address");
        for socket in place.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&socket, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
                    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
                    let mut server = Server {
                        address: address.clone(),
                        stream,
                        buf: Vec::new(),
                    };
                    server.sign_in()?;
                    return Ok(server);
                }
                Err(error) => last = failed(error),
            }
        }
        Err(last)
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
        for bad in [
            "h:1",
            "http://h",
            "redis://",
            "redis://h:x",
            "rediss://h",
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
