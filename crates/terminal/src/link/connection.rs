//! A connection: TCP, a unix socket, or TLS over TCP; greeted as its target says.

use super::reply::{Replies, Reply};
use super::target::{Address, Family, Target, Wish};
use rustls::{ClientConnection, StreamOwned};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to a server.
pub struct Connection {
    stream: Stream,
    replies: Replies,
    /// Messages that came between requests and their replies.
    pushes: VecDeque<Reply>,
}

/// What went wrong while a server was greeted; the connection may be used all the same.
pub type Complaints = Vec<String>;

impl Connection {
    /// Connects and greets. The complaints are the server's answers to what it was greeted with.
    pub fn open(target: &Target) -> io::Result<(Connection, Complaints)> {
        let mut connection = Connection::dial(target)?;
        let complaints = connection.greet(target)?;
        Ok((connection, complaints))
    }

    /// Connects without a word.
    pub fn dial(target: &Target) -> io::Result<Connection> {
        Connection::dial_within(target, None, None)
    }

    /// The same, within a time for each address of the host. `patience`: how long each read and write may wait, from the first on.
    pub fn dial_within(
        target: &Target,
        time: Option<Duration>,
        patience: Option<Duration>,
    ) -> io::Result<Connection> {
        let stream = match (&target.address, &target.tls) {
            (Address::Unix(path), None) => Stream::Unix(UnixStream::connect(path)?),
            (Address::Unix(_), Some(_)) => {
                return Err(io::Error::other("there is no TLS on a unix socket"));
            }
            (Address::Tcp(host, port), tls) => {
                let tcp = dial(host, *port, target.family, time.or(target.patience))?;
                tcp.set_nodelay(true)?;
                tcp.set_read_timeout(patience)?;
                tcp.set_write_timeout(patience)?;
                match tls {
                    None => Stream::Tcp(tcp),
                    Some(options) => {
                        let client = options.client(host).map_err(io::Error::other)?;
                        let mut stream = StreamOwned::new(client, tcp);
                        // Now, so that what is wrong with certificates is told of as what it is.
                        while stream.conn.is_handshaking() {
                            stream.conn.complete_io(&mut stream.sock)?;
                        }
                        Stream::Tls(Box::new(stream))
                    }
                }
            }
        };
        Ok(Connection {
            stream,
            replies: Replies::default(),
            pushes: VecDeque::new(),
        })
    }

    fn greet(&mut self, target: &Target) -> io::Result<Complaints> {
        let mut complaints = Complaints::new();
        if let Some(password) = &target.password {
            let mut request: Vec<&[u8]> = vec![b"AUTH"];
            request.extend(target.user.as_ref().map(String::as_bytes));
            request.push(password);
            if let Some(error) = self.call(&request)?.error() {
                complaints.push(format!("AUTH failed: {error}"));
            }
        }
        if target.db != 0 {
            let db = target.db.to_string();
            if let Some(error) = self.call(&["SELECT", &db])?.error() {
                complaints.push(format!("SELECT {db} failed: {error}"));
            }
        }
        if target.resp3 != Wish::Resp2
            && let Some(error) = self.call(&["HELLO", "3"])?.error()
            && target.resp3 == Wish::Resp3
        {
            complaints.push(format!("HELLO 3 failed: {error}"));
        }
        Ok(complaints)
    }

    /// Sends a request and waits for its reply. Messages that come in between are kept, see [`Connection::push`].
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.reply()
    }

    /// Sends several requests at once and waits for all their replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, requests: &[Vec<A>]) -> io::Result<Vec<Reply>> {
        let mut bytes = Vec::new();
        for request in requests {
            resp::write_command(&mut bytes, request);
        }
        self.write_all(&bytes)?;
        self.flush()?;
        requests.iter().map(|_| self.reply()).collect()
    }

    /// Sends a request.
    pub(crate) fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut bytes = Vec::new();
        resp::write_command(&mut bytes, args);
        self.write_all(&bytes)?;
        self.flush()
    }

    /// Waits for the next reply that is no push.
    pub fn reply(&mut self) -> io::Result<Reply> {
        loop {
            match self.next()? {
                push @ Reply::Push(_) => self.pushes.push_back(push),
                reply => return Ok(reply),
            }
        }
    }

    /// A message that came between a request and its reply.
    pub fn push(&mut self) -> Option<Reply> {
        self.pushes.pop_front()
    }

    /// Waits for whatever comes next. A timeout that was set is an error of its kind; nothing is lost by it.
    pub(crate) fn next(&mut self) -> io::Result<Reply> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(reply) = self.replies.next()? {
                return Ok(reply);
            }
            match self.read(&mut chunk) {
                Ok(0) => {
                    let what = "Server closed the connection";
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
                }
                Ok(n) => self.replies.feed(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What came and is no reply, for who goes on without RESP.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.replies.rest()
    }

    /// How long reading may wait.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(s) => s.set_read_timeout(timeout),
            Stream::Unix(s) => s.set_read_timeout(timeout),
            Stream::Tls(s) => s.sock.set_read_timeout(timeout),
        }
    }

    /// Whether reading and writing return at once.
    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(s) => s.set_nonblocking(on),
            Stream::Unix(s) => s.set_nonblocking(on),
            Stream::Tls(s) => s.sock.set_nonblocking(on),
        }
    }

    /// Whether there is something encrypted that the socket did not take yet.
    pub(crate) fn wants_write(&self) -> bool {
        matches!(&self.stream, Stream::Tls(s) if s.conn.wants_write())
    }
}

/// Whether an error says that nothing came in the time that reading may take.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(s) => s.as_fd(),
            Stream::Unix(s) => s.as_fd(),
            Stream::Tls(s) => s.sock.as_fd(),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Tcp(s) => s.read(buf),
            Stream::Unix(s) => s.read(buf),
            Stream::Tls(s) => match s.read(buf) {
                // Closed without a goodbye: RESP says by itself where a reply ends.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Tcp(s) => s.write(buf),
            Stream::Unix(s) => s.write(buf),
            Stream::Tls(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(s) => s.flush(),
            Stream::Unix(s) => s.flush(),
            Stream::Tls(s) => s.flush(),
        }
    }
}

/// Connects to the first of a host's addresses that answers.
fn dial(
    host: &str,
    port: u16,
    family: Option<Family>,
    time: Option<Duration>,
) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    if let Some(family) = family {
        // The others stay, behind them and in their order.
        addresses.sort_by_key(|address| address.is_ipv4() != (family == Family::V4));
    }
    for address in addresses {
        let connected = match time {
            Some(time) => TcpStream::connect_timeout(&address, time),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What the system says of an error, without the number: as C programs print it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
