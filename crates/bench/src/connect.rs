//! Opens the connections and greets the server on each: authentication, protocol version, database.
//!
//! This part blocks, with a time limit; the connections become non-blocking when they are handed to the workers.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::args::{Address, Greeting};
use crate::skip::Skipper;

/// How long the server may take to accept a connection and to answer the greeting.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that has been greeted, not yet registered with a poll.
pub enum Stream {
    /// Over TCP.
    Tcp(mio::net::TcpStream),
    /// Over a unix socket.
    Unix(mio::net::UnixStream),
}

impl Stream {
    /// Asks `registry` for both directions' events.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, both),
            Stream::Unix(stream) => stream.register(registry, token, both),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buf),
            Stream::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens `count` connections. The error is one line for the user.
pub fn open(address: &Address, greeting: &Greeting, count: usize) -> Result<Vec<Stream>, String> {
    let mut streams = Vec::with_capacity(count);
    for n in 1..=count {
        let stream = open_one(address, greeting).map_err(|why| {
            if count == 1 {
                format!("{address}: {why}")
            } else {
                format!("{address}: connection {n} of {count}: {why}")
            }
        })?;
        streams.push(stream);
    }
    Ok(streams)
}

fn open_one(address: &Address, greeting: &Greeting) -> Result<Stream, String> {
    let say = |why: io::Error| why.to_string();
    match address {
        Address::Tcp(host, port) => {
            let mut stream = dial(host, *port).map_err(say)?;
            stream.set_nodelay(true).map_err(say)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(say)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(say)?;
            greet(&mut stream, greeting)?;
            stream.set_nonblocking(true).map_err(say)?;
            Ok(Stream::Tcp(mio::net::TcpStream::from_std(stream)))
        }
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path).map_err(say)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(say)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(say)?;
            greet(&mut stream, greeting)?;
            stream.set_nonblocking(true).map_err(say)?;
            Ok(Stream::Unix(mio::net::UnixStream::from_std(stream)))
        }
    }
}

/// Connects to the first of the host's addresses that answers.
fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Sends the greeting and waits for its replies, all of which must be good.
fn greet(stream: &mut (impl Read + Write), greeting: &Greeting) -> Result<(), String> {
    let (request, replies) = greeting_request(greeting);
    if replies == 0 {
        return Ok(());
    }
    stream.write_all(&request).map_err(|why| why.to_string())?;
    let mut skipper = Skipper::default();
    let mut refusal = None;
    let mut seen = 0;
    let mut buf = [0; 4096];
    while seen < replies {
        let n = match stream.read(&mut buf) {
            Ok(0) => return Err("the server closed the connection".to_string()),
            Ok(n) => n,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(why.to_string()),
        };
        seen += skipper
            .feed(&buf[..n], |text| {
                refusal.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
            })
            .map_err(|why| why.to_string())?;
        if let Some(text) = refusal.take() {
            return Err(format!("the server refuses: {text}"));
        }
    }
    Ok(())
}

/// The requests of the greeting and how many replies they get.
fn greeting_request(greeting: &Greeting) -> (Vec<u8>, u32) {
    let mut request = Vec::new();
    let mut replies = 0;
    let mut command = |args: &[&str]| {
        replies += 1;
        request.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            request.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
        }
    };
    match (&greeting.password, &greeting.user) {
        (Some(password), user) if greeting.resp3 => {
            let user = user.as_deref().unwrap_or("default");
            command(&["HELLO", "3", "AUTH", user, password]);
        }
        (Some(password), Some(user)) => command(&["AUTH", user, password]),
        (Some(password), None) => command(&["AUTH", password]),
        (None, _) if greeting.resp3 => command(&["HELLO", "3"]),
        (None, _) => {}
    }
    if greeting.db != 0 {
        command(&["SELECT", &greeting.db.to_string()]);
    }
    if let Some(channel) = &greeting.subscribe {
        command(&["SUBSCRIBE", channel]);
    }
    (request, replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(greeting: Greeting) -> (String, u32) {
        let (request, replies) = greeting_request(&greeting);
        let words = String::from_utf8(request)
            .expect("text")
            .split("\r\n")
            .filter(|line| !line.starts_with(['*', '$']) && !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        (words, replies)
    }

    #[test]
    fn greetings_say_what_was_asked() {
        let user = || Some("bob".to_string());
        let password = || Some("pw".to_string());
        assert_eq!(text(Greeting::default()), (String::new(), 0));
        let with = |user, password, resp3, db| {
            text(Greeting {
                user,
                password,
                resp3,
                db,
                subscribe: None,
            })
        };
        assert_eq!(with(None, password(), false, 0), ("AUTH pw".to_string(), 1));
        assert_eq!(
            with(user(), password(), false, 3),
            ("AUTH bob pw SELECT 3".to_string(), 2)
        );
        assert_eq!(with(None, None, true, 0), ("HELLO 3".to_string(), 1));
        assert_eq!(
            with(None, password(), true, 0),
            ("HELLO 3 AUTH default pw".to_string(), 1)
        );
        let subscriber = Greeting {
            password: password(),
            subscribe: Some("news".to_string()),
            ..Greeting::default()
        };
        assert_eq!(text(subscriber), ("AUTH pw SUBSCRIBE news".to_string(), 2));
    }
}
