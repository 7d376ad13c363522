//! Much data in one direction: requests from standard input (`--pipe`), a snapshot to a file (`--rdb`, `--functions-rdb`), a
//! primary's stream of changes (`--replica`).

use super::format::{Form, Style};
use super::session::{Failure, Session, show};
use crate::link::connection::{is_timeout, plain};
use crate::link::reply::Replies;
use crate::link::{Connection, Reply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Sends what standard input holds, and counts the replies.
pub fn pipe(session: &mut Session) -> Result<(), Failure> {
    let timeout = session.options.pipe_timeout;
    let connection = session.connection()?;
    connection.set_nonblocking(true)?;
    let mut pipe = Pipe {
        last: last_word(),
        out: Vec::new(),
        sent: 0,
        done: false,
        is_last_sent: false,
        errors: 0,
        count: 0,
        replies: Replies::default(),
        heard: Instant::now(),
    };
    let mut input = io::stdin().lock();
    let mut chunk = vec![0; 64 * 1024];
    while !pipe.done {
        let mut moved = pipe.read(connection, &mut chunk)?;
        if pipe.sent == pipe.out.len() && !pipe.is_last_sent {
            pipe.out.clear();
            pipe.sent = 0;
            let n = input.read(&mut chunk)?;
            if n == 0 {
                show(b"All data transferred. Waiting for the last reply...\n")?;
                io::stdout().flush().ok();
                pipe.end();
            } else {
                pipe.out.extend_from_slice(&chunk[..n]);
            }
        }
        moved |= pipe.write(connection)?;
        if moved || pipe.done {
            continue;
        }
        let asks_to_write = pipe.sent < pipe.out.len() || connection.wants_write();
        let flags = match asks_to_write {
            true => PollFlags::IN | PollFlags::OUT,
            false => PollFlags::IN,
        };
        let wait = match timeout {
            Some(timeout) if pipe.is_last_sent => {
                let left = timeout.saturating_sub(pipe.heard.elapsed());
                if left.is_zero() {
                    io::stdout().flush().ok();
                    eprintln!("No replies for {} seconds: exiting.", timeout.as_secs());
                    pipe.errors += 1;
                    break;
                }
                left
            }
            _ => Duration::from_secs(3600),
        };
        let wait = Timespec::try_from(wait).ok();
        let mut fds = [PollFd::new(connection, flags)];
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    show(format!("errors: {}, replies: {}\n", pipe.errors, pipe.count).as_bytes())?;
    match pipe.errors {
        0 => Ok(()),
        _ => Err(Failure::Said),
    }
}

/// A transfer under way.
struct Pipe {
    /// What is sent as the very last, to know its reply.
    last: String,
    out: Vec<u8>,
    sent: usize,
    is_last_sent: bool,
    done: bool,
    errors: u64,
    count: u64,
    replies: Replies,
    heard: Instant,
}

impl Pipe {
    /// Everything has been read: what is sent now comes back as it is when all before it is done.
    fn end(&mut self) {
        self.is_last_sent = true;
        self.heard = Instant::now();
        // A line break first, for an inline command that has none.
        self.out.extend_from_slice(b"\r\n");
        resp::write_command(&mut self.out, &["ECHO", &self.last]);
    }

    fn write(&mut self, connection: &mut Connection) -> Result<bool, Failure> {
        let before = self.sent;
        while self.sent < self.out.len() {
            match connection.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if is_timeout(&error) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        match connection.flush() {
            Err(error) if !is_timeout(&error) => Err(error.into()),
            _ => Ok(self.sent > before),
        }
    }

    fn read(&mut self, connection: &mut Connection, chunk: &mut [u8]) -> Result<bool, Failure> {
        let n = match connection.read(chunk) {
            Ok(0) => {
                io::stdout().flush().ok();
                return Err("Error: Server closed the connection".into());
            }
            Ok(n) => n,
            Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.heard = Instant::now();
        self.replies.feed(&chunk[..n]);
        while let Some(reply) = self.replies.next()? {
            match &reply {
                Reply::Error(text) => {
                    io::stdout().flush().ok();
                    eprintln!("{}", String::from_utf8_lossy(text));
                    self.errors += 1;
                }
                Reply::Bulk(text) if self.is_last_sent && *text == self.last.as_bytes() => {
                    show(b"Last reply received from server.\n")?;
                    self.done = true;
                    return Ok(true);
                }
                _ => {}
            }
            self.count += 1;
        }
        Ok(true)
    }
}

/// A word that nobody else says. The standard library's seeds of hashes are random.
fn last_word() -> String {
    let random = || RandomState::new().hash_one("last");
    format!("redpoll:{:016x}{:016x}", random(), random())
}

/// Where a snapshot ends.
enum End {
    /// After so many bytes.
    After(u64),
    /// Before these.
    Mark(Vec<u8>),
}

/// Says of itself what a server is to know before SYNC; whether it took that.
fn announce(connection: &mut Connection, name: &str, value: &str) -> Result<bool, Failure> {
    eprintln!("sending REPLCONF {name} {value}");
    let reply = connection.call(&["REPLCONF", name, value])?;
    match reply.error() {
        Some(error) => {
            eprintln!("REPLCONF {name} error: {error}");
            Ok(false)
        }
        None => Ok(true),
    }
}

/// Asks for a snapshot; what has come behind the line that says how it ends, and that.
fn sync(connection: &mut Connection) -> Result<(Vec<u8>, End), Failure> {
    connection.write_all(b"SYNC\r\n")?;
    connection.flush()?;
    let mut received = connection.take_rest();
    let end = header(connection, &mut received)?;
    Ok((received, end))
}

/// How often a primary is told that its replica is there.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);

/// Becomes a replica that keeps nothing, and shows what its primary sends, until that ends.
pub fn replica(session: &mut Session) -> Result<(), Failure> {
    let style = Style {
        form: Form::Csv,
        ..session.style.clone()
    };
    let connection = session.connection()?;
    announce(connection, "capa", "eof")?;
    // Who knows this sends a snapshot with nothing in it.
    announce(connection, "rdb-filter-only", "")?;
    let (received, end) = sync(connection)?;
    match &end {
        End::After(size) => eprintln!(
            "SYNC with master, discarding {size} bytes of bulk transfer until EOF marker..."
        ),
        End::Mark(_) => {
            eprintln!("SYNC with master, discarding bytes of bulk transfer until EOF marker...");
        }
    }
    let (size, rest) = copy(connection, received, &end, &mut io::sink())?;
    eprintln!("SYNC done after {size} bytes. Logging commands from master.");
    let mut replies = Replies::default();
    replies.feed(&rest);
    let (mut told, mut chunk) = (None::<Instant>, Vec::new());
    loop {
        while let Some(command) = replies.next()? {
            show(&style.write(&command))?;
        }
        io::stdout().flush().ok();
        if told.is_none_or(|told| told.elapsed() >= ACKNOWLEDGE) {
            if told.is_none() {
                eprintln!("sending REPLCONF ACK 0");
            }
            connection.send(&["REPLCONF", "ACK", "0"])?;
            told = Some(Instant::now());
        }
        // A primary says something every some seconds, if only that it is there.
        fill(connection, &mut chunk)?;
        replies.feed(&std::mem::take(&mut chunk));
    }
}

/// Fetches a snapshot as a replica would, and writes it to a file, or to standard output if that is `-`.
pub fn rdb(session: &mut Session, file: &str, only_functions: bool) -> Result<(), Failure> {
    let connection = session.connection()?;
    // Who does not know the first two sends a snapshot all the same.
    announce(connection, "capa", "eof")?;
    announce(connection, "rdb-only", "1")?;
    if only_functions && !announce(connection, "rdb-filter-only", "functions")? {
        return Err("Failed requesting functions only RDB from server, aborting".into());
    }
    let (received, end) = sync(connection)?;
    let name = match file {
        "-" => "stdout".to_owned(),
        file => format!("'{file}'"),
    };
    match &end {
        End::After(size) => eprintln!("SYNC sent to master, writing {size} bytes to {name}"),
        End::Mark(_) => eprintln!(
            "SYNC sent to master, writing bytes of bulk transfer until EOF marker to {name}"
        ),
    }
    let size = match file {
        "-" => {
            let mut out = io::stdout().lock();
            copy(connection, received, &end, &mut out)?.0
        }
        file => {
            let say = |error: io::Error| Failure::from(format!("{file}: {}", plain(&error)));
            let mut out = File::create(file).map_err(say)?;
            let (size, _) = copy(connection, received, &end, &mut out)?;
            out.sync_all().map_err(say)?;
            size
        }
    };
    match end {
        End::After(_) => eprintln!("Transfer finished with success."),
        End::Mark(_) => eprintln!("Transfer finished with success after {size} bytes"),
    }
    Ok(())
}

/// Reads until the line that says how the snapshot comes; empty lines before it say that it is being made.
fn header(connection: &mut Connection, received: &mut Vec<u8>) -> Result<End, Failure> {
    loop {
        while received.first() == Some(&b'\n') {
            received.remove(0);
        }
        if let Some(length) = received.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = received.drain(..length + 2).take(length).collect();
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(mark) = line.strip_prefix("$EOF:") {
                return Ok(End::Mark(mark.as_bytes().to_vec()));
            }
            if let Some(size) = line.strip_prefix('$').and_then(|size| size.parse().ok()) {
                return Ok(End::After(size));
            }
            // A greeting of PSYNC's kind is followed by the snapshot.
            if !line.starts_with('+') {
                return Err(format!("SYNC with master failed: {line}").into());
            }
            continue;
        }
        fill(connection, received)?;
    }
}

fn fill(connection: &mut Connection, into: &mut Vec<u8>) -> Result<(), Failure> {
    let mut chunk = [0; 64 * 1024];
    loop {
        match connection.read(&mut chunk) {
            Ok(0) => return Err("Error: Server closed the connection".into()),
            Ok(n) => {
                into.extend_from_slice(&chunk[..n]);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes the snapshot, of which `held` has come already, and returns how many bytes it has, and what came behind it.
fn copy(
    connection: &mut Connection,
    mut held: Vec<u8>,
    end: &End,
    out: &mut impl Write,
) -> Result<(u64, Vec<u8>), Failure> {
    let mut written = 0;
    loop {
        // How much of what is held certainly belongs to the snapshot, and whether that is all of it.
        let (safe, is_all) = match end {
            End::After(size) => {
                let left = size - written;
                let safe = left.min(held.len() as u64) as usize;
                (safe, safe as u64 == left)
            }
            End::Mark(mark) => match held.windows(mark.len()).position(|part| part == mark) {
                Some(at) => (at, true),
                None => (held.len().saturating_sub(mark.len()), false),
            },
        };
        out.write_all(&held[..safe])?;
        written += safe as u64;
        held.drain(..safe);
        if is_all {
            out.flush()?;
            let mark = match end {
                End::After(_) => 0,
                End::Mark(mark) => mark.len(),
            };
            held.drain(..mark);
            return Ok((written, held));
        }
        fill(connection, &mut held)?;
    }
}
