//! A blocking client that hides nothing: it sends any bytes, and keeps the raw bytes of each reply.

use resp::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than any reply takes; a server that does not answer fails the test instead of hanging it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to a server.
pub struct Client {
    stream: Stream,
    /// Received and not yet consumed bytes, from `start`.
    buf: Vec<u8>,
    start: usize,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Connects over TCP; panics with the address if nobody listens.
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Client {
        Client::try_connect(addr)
            .unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"))
    }

    /// Connects over TCP.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Client {
            stream: Stream::Tcp(stream),
            buf: Vec::new(),
            start: 0,
        })
    }

    /// Connects to a unix socket.
    pub fn connect_unix(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Client {
            stream: Stream::Unix(stream),
            buf: Vec::new(),
            start: 0,
        })
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Sends a command as an array of bulk strings and does not wait for its reply.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let mut bytes = Vec::new();
        encode(args, &mut bytes);
        self.send_raw(&bytes)
            .expect("the connection takes a command");
    }

    /// The raw bytes of the next reply.
    pub fn try_read_raw(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match resp::skip_reply(&self.buf[self.start..]) {
                Ok(Some(length)) => {
                    let reply = self.buf[self.start..self.start + length].to_vec();
                    self.start += length;
                    if self.start == self.buf.len() {
                        self.buf.clear();
                        self.start = 0;
                    }
                    return Ok(reply);
                }
                Ok(None) => self.fill()?,
                Err(error) => {
                    let bytes = self.buf[self.start..].escape_ascii();
                    return Err(io::Error::other(format!(
                        "not a reply: {error:?} in {bytes}"
                    )));
                }
            }
        }
    }

    /// The next reply's bytes; panics if the connection ends first.
    #[track_caller]
    pub fn read_raw(&mut self) -> Vec<u8> {
        self.try_read_raw()
            .unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next reply.
    #[track_caller]
    pub fn read(&mut self) -> Value {
        decode(&self.read_raw())
    }

    /// Sends a command and waits for its reply.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(args);
        self.read()
    }

    /// As [`Client::call`], for a connection that may fail.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        let mut bytes = Vec::new();
        encode(args, &mut bytes);
        self.send_raw(&bytes)?;
        self.try_read_raw().map(|raw| decode(&raw))
    }

    /// Sends a command written as words with spaces between them.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Value {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Sends a long pipeline from another thread while reading its replies here: neither side's socket buffer can fill up and
    /// stop both. `each` is given every reply's number, from 0, and its raw bytes.
    #[track_caller]
    pub fn send_and_read(
        &mut self,
        bytes: &[u8],
        replies: usize,
        mut each: impl FnMut(usize, &[u8]),
    ) {
        let Stream::Tcp(stream) = &self.stream else {
            panic!("only over TCP")
        };
        let mut writer = stream.try_clone().expect("a socket can be cloned");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                writer
                    .write_all(bytes)
                    .expect("the server takes a pipeline")
            });
            for i in 0..replies {
                let raw = self.read_raw();
                each(i, &raw);
            }
        });
    }

    /// All bytes until the server closes the connection. A reset counts as closing: the server may leave bytes of ours unread.
    pub fn read_to_close(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ) =>
                {
                    return self.buf.split_off(self.start);
                }
                Err(error) => panic!("the server does not close the connection: {error}"),
            }
        }
    }

    /// Reads once from the socket; the end of the stream is an error.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 64 * 1024];
        let n = loop {
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut chunk),
                Stream::Unix(stream) => stream.read(&mut chunk),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.buf.extend_from_slice(&chunk[..n]);
        Ok(())
    }

    /// Sets how long a read may wait.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }
}

/// Appends a command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        into.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        into.extend_from_slice(arg);
        into.extend_from_slice(b"\r\n");
    }
}

/// Decodes one whole reply; panics on anything else.
#[track_caller]
pub fn decode(raw: &[u8]) -> Value {
    match resp::decode(raw) {
        Ok(Some((value, length))) if length == raw.len() => value,
        other => panic!("not one whole reply: {} gave {other:?}", raw.escape_ascii()),
    }
}
