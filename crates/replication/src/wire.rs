//! The connection to a primary: lines, payloads and commands, read through one buffer.
//!
//! Whoever reads here is a thread of its own that may wait, but never for longer than a moment ([`TICK`]): it wakes to say that it
//! is alive, to see whether it is still wanted, and to give up a primary that has been silent for too long.

use engine::Engine;
use parking_lot::{Condvar, Mutex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Wake;
use std::time::{Duration, Instant};

/// The longest that one read waits.
pub const TICK: Duration = Duration::from_millis(200);

/// The longest line that a primary may send.
const LONGEST_LINE: usize = 64 << 10;

/// So much is read at once.
const CHUNK: usize = 256 << 10;

/// What bytes go through: a TCP connection, or one that TLS is spoken over.
pub trait Channel: Read + Write + Send {
    /// The connection below, for its time limits and to end it.
    fn socket(&self) -> &TcpStream;

    /// Whether some of what has come stands here already, so that the connection below says nothing of it.
    fn holds_some(&self) -> bool {
        false
    }
}

impl Channel for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// Connects to a host, which may have several addresses, within a time; from the address that `bind-source-addr` names, if one that it
/// stands for can be had here and is of the host's kind.
///
/// # Errors
/// That of the last address that was tried.
pub fn connect(
    engine: &Engine,
    host: &str,
    port: u16,
    patience: Duration,
) -> io::Result<TcpStream> {
    let source = engine.config().text("bind-source-addr");
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match connect_from(&source, &address, patience) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects to an address. Like real servers it does without a source that it cannot have.
fn connect_from(source: &str, address: &SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    if !source.is_empty() {
        let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
        let mut sources = (source, 0).to_socket_addrs().into_iter().flatten();
        if sources.any(|from| socket.bind(&from.into()).is_ok()) {
            socket.connect_timeout(&(*address).into(), patience)?;
            return Ok(socket.into());
        }
    }
    TcpStream::connect_timeout(address, patience)
}

/// Makes a connection to a host and port within a time: plain, or over TLS if the configuration says so.
pub type Dial = dyn Fn(&Engine, &str, u16, Duration) -> io::Result<Box<dyn Channel>> + Send + Sync;

/// Connections without TLS.
///
/// # Errors
/// The system's, or TLS is asked for.
pub(crate) fn dial_plain(
    engine: &Engine,
    host: &str,
    port: u16,
    patience: Duration,
) -> io::Result<Box<dyn Channel>> {
    if engine.config().flag("tls-replication") {
        return Err(io::Error::other(
            "this program was built without TLS to other servers (tls-replication)",
        ));
    }
    Ok(Box::new(connect(engine, host, port, patience)?))
}

/// Rung by one thread, heard by another that waits for what comes over a wire.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// One that is silent.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new() -> io::Result<Bell> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Bell(eventfd(0, flags)?))
    }

    /// Rings until it is dropped.
    pub(crate) fn ring(&self) {
        // It is full when it has been rung.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.ring();
    }
}

/// How others end what goes over a wire. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Leash(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    state: Mutex<State>,
    bell: Condvar,
    /// How long nothing may come, in milliseconds.
    patience_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    socket: Option<TcpStream>,
}

impl Leash {
    /// Ends it: whoever reads or writes gets an error, now and later.
    pub fn end(&self) {
        self.0.state.lock().ended = true;
        self.0.bell.notify_all();
        self.cut();
    }

    /// Cuts the present connection; another may be made.
    pub fn cut(&self) {
        if let Some(socket) = &self.0.state.lock().socket {
            // If it is closed already, all the better.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.0.state.lock().ended
    }

    /// Returns after this time, or when it is ended.
    pub fn wait(&self, time: Duration) {
        let mut state = self.0.state.lock();
        let until = Instant::now() + time;
        while !state.ended && !self.0.bell.wait_until(&mut state, until).timed_out() {}
    }

    /// From now on nothing may come for this long.
    pub(crate) fn set_patience(&self, patience: Duration) {
        let ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.0.patience_ms.store(ms, Relaxed);
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.0.patience_ms.load(Relaxed))
    }

    fn hold(&self, socket: Option<TcpStream>) {
        self.0.state.lock().socket = socket;
        if self.is_ended() {
            self.cut();
        }
    }
}

/// See the module's page.
pub struct Wire {
    channel: Box<dyn Channel>,
    leash: Leash,
    buf: Vec<u8>,
    /// What has been used up of `buf`.
    at: usize,
    /// What has come of it.
    filled: usize,
    /// When something came last.
    heard: Instant,
    /// Bytes that came over it, and that went.
    received: u64,
    sent: u64,
    /// Where they are counted too.
    counted: Arc<AtomicU64>,
}

impl Wire {
    /// Over a channel. Nothing may come for `patience` at most.
    ///
    /// # Errors
    /// The system's.
    pub fn new(channel: Box<dyn Channel>, leash: Leash, patience: Duration) -> io::Result<Wire> {
        let socket = channel.socket();
        socket.set_read_timeout(Some(TICK))?;
        socket.set_write_timeout(Some(patience.max(TICK)))?;
        leash.set_patience(patience);
        leash.hold(Some(socket.try_clone()?));
        Ok(Wire {
            channel,
            leash,
            buf: Vec::new(),
            at: 0,
            filled: 0,
            heard: Instant::now(),
            received: 0,
            sent: 0,
            counted: Arc::default(),
        })
    }

    /// The connection below.
    pub fn socket(&self) -> &TcpStream {
        self.channel.socket()
    }

    /// What was sent over it, in bytes.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// What its buffer holds and how much more it could, in bytes.
    pub fn buffered(&self) -> (usize, usize) {
        let held = self.filled - self.at;
        (held, self.buf.len() - held)
    }

    /// Counts what comes over it there too.
    pub fn count(&mut self, counted: &Arc<AtomicU64>) {
        self.counted = counted.clone();
    }

    /// When something came last.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Bytes that came over it.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.channel.write_all(bytes)?;
        self.sent += bytes.len() as u64;
        self.channel.flush()
    }

    /// Sends a command.
    ///
    /// # Errors
    /// The system's.
    pub fn command<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> io::Result<()> {
        let mut request = Vec::new();
        resp::write_command(&mut request, argv);
        self.send(&request)
    }

    /// What has come and was not used up.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.at..self.filled]
    }

    /// So much of it is used up.
    pub fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.filled);
    }

    /// Waits a moment for more; whether anything came.
    ///
    /// # Errors
    /// The connection is broken or was closed, nothing came for too long, or it was ended from here.
    pub fn more(&mut self) -> io::Result<bool> {
        if self.leash.is_ended() {
            return Err(io::Error::other("the link was ended"));
        }
        if self.at == self.filled {
            (self.at, self.filled) = (0, 0);
        } else if self.at > CHUNK || self.filled == self.buf.len() && self.at > 0 {
            self.buf.copy_within(self.at..self.filled, 0);
            (self.at, self.filled) = (0, self.filled - self.at);
        }
        // Memory grows with what has come, never with what was announced.
        if self.buf.len() - self.filled < CHUNK / 4 {
            let size = (self.filled + CHUNK).max(self.filled + self.filled / 2);
            self.buf.resize(size, 0);
        }
        match self.channel.read(&mut self.buf[self.filled..]) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the primary closed the connection",
            )),
            Ok(n) => {
                self.filled += n;
                self.received += n as u64;
                self.counted.fetch_add(n as u64, Relaxed);
                self.heard = Instant::now();
                Ok(true)
            }
            Err(error) if is_moment(&error) => self.nothing_came().map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Waits for this time, [`TICK`] at most, for more as [`Wire::more`] does, or until the bell rings; whether that rang. If it does
    /// not take more, it only finds out that the connection was cut.
    ///
    /// # Errors
    /// As of [`Wire::more`].
    pub(crate) fn more_or(&mut self, bell: &Bell, time: Duration, takes: bool) -> io::Result<bool> {
        if takes && self.channel.holds_some() {
            return self.more().map(|_| false);
        }
        let awaited = match takes {
            true => PollFlags::IN,
            false => PollFlags::empty(),
        };
        let mut both = [
            PollFd::new(self.channel.socket(), awaited),
            PollFd::new(&bell.0, PollFlags::IN),
        ];
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: time.min(TICK).subsec_nanos().into(),
        };
        match poll(&mut both, Some(&tick)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [came, rang] = both.map(|one| !one.revents().is_empty());
        match came || self.leash.is_ended() {
            true => self.more().map(|_| rang),
            false if !takes => Ok(rang),
            false => self.nothing_came().map(|()| rang),
        }
    }

    /// A moment has passed.
    fn nothing_came(&self) -> io::Result<()> {
        let patience = self.leash.patience();
        if self.heard.elapsed() > patience {
            let text = format!("nothing came for {} seconds", patience.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        Ok(())
    }

    /// Takes a line, without its end. `meanwhile` is called when a moment has passed.
    ///
    /// # Errors
    /// As of [`Wire::more`], or the line is too long.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = 0;
        loop {
            let found = self.bytes()[looked..].iter().position(|b| *b == b'\n');
            if let Some(end) = found {
                let end = looked + end;
                let line = &self.bytes()[..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.consume(end + 1);
                return Ok(line);
            }
            looked = self.bytes().len();
            if looked > LONGEST_LINE {
                return Err(malformed("a line that does not end"));
            }
            self.more()?;
        }
    }

    /// The same, but empty lines, which only say that the primary is alive, are passed over.
    ///
    /// # Errors
    /// As of [`Wire::line`].
    pub(crate) fn line_of_text(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let line = self.line()?;
            if !line.is_empty() {
                return Ok(line);
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.leash.hold(None);
    }
}

/// Whether a read ended because a moment has passed.
fn is_moment(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// What came is not what the protocol says.
pub(crate) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Takes a whole reply of any type.
///
/// # Errors
/// The connection breaks, or what comes is no reply.
pub fn reply(wire: &mut Wire) -> io::Result<resp::Value> {
    loop {
        match resp::decode(wire.bytes()) {
            Ok(Some((value, used))) => {
                wire.consume(used);
                return Ok(value);
            }
            Ok(None) => {
                wire.more()?;
            }
            Err(_) => return Err(malformed("something that is no reply")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Both ends of a connection.
    pub fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let near = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (far, _) = listener.accept().unwrap();
        let wire = Wire::new(Box::new(near), Leash::default(), Duration::from_secs(20));
        (wire.unwrap(), far)
    }

    #[test]
    fn lines_come_however_they_are_cut() {
        let (mut wire, mut far) = pair();
        let sender = std::thread::spawn(move || {
            for byte in b"\n\r\n+PONG\r\n\n$5\r\nrest" {
                far.write_all(&[*byte]).unwrap();
            }
            far
        });
        assert_eq!(wire.line_of_text().unwrap(), b"+PONG");
        assert_eq!(wire.line_of_text().unwrap(), b"$5");
        drop(sender.join().unwrap());
        let error = wire.line_of_text().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(wire.bytes(), b"rest");
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        let (mut wire, mut far) = pair();
        let sender = std::thread::spawn(move || {
            // It may be cut off in the middle.
            let _ = far.write_all(&[b'x'; 3 * LONGEST_LINE]);
            far
        });
        assert_eq!(wire.line().unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(wire);
        drop(sender.join().unwrap());
    }

    #[test]
    fn who_waits_for_more_hears_a_bell() {
        let (mut wire, mut far) = pair();
        let bell = Arc::new(Bell::new().unwrap());
        far.write_all(b"x").unwrap();
        while wire.bytes().is_empty() {
            assert!(!wire.more_or(&bell, TICK, true).unwrap());
        }
        let ringer = bell.clone();
        let ringing = std::thread::spawn(move || ringer.ring());
        while !wire.more_or(&bell, TICK, true).unwrap() {}
        ringing.join().unwrap();
        assert!(wire.more_or(&bell, TICK, true).unwrap(), "it goes on");
        far.write_all(b"y").unwrap();
        while wire.bytes() != b"xy" {
            wire.more_or(&bell, TICK, true).unwrap();
        }
        drop(far);
        while wire.more_or(&bell, TICK, true).is_ok() {}
    }

    #[test]
    fn whoever_reads_can_be_ended() {
        let (mut wire, far) = pair();
        let leash = wire.leash.clone();
        let reader = std::thread::spawn(move || wire.line().is_err());
        leash.end();
        assert!(reader.join().unwrap());
        drop(far);
    }
}
