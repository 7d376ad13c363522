//! The log of the system (`syslog-enabled`): lines as datagrams to the socket where it takes them, in the form of RFC 3164.

use crate::lines::Form;
use chrono::{DateTime, Local};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// Where the log of the system listens.
pub(crate) const SOCKET: &str = "/dev/log";

/// Where lines go, shared by all who write.
#[derive(Clone)]
pub(crate) struct Syslog {
    path: Arc<PathBuf>,
    socket: Arc<Mutex<UnixDatagram>>,
}

impl Syslog {
    /// Fails if nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Syslog> {
        let socket = open(path).map_err(|error| {
            let text = format!(
                "syslog-enabled, but nobody listens at {}: {}",
                path.display(),
                crate::system::reason(&error)
            );
            io::Error::new(error.kind(), text)
        })?;
        Ok(Syslog {
            path: Arc::new(path.to_owned()),
            socket: Arc::new(Mutex::new(socket)),
        })
    }
}

fn open(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    // A log that is not being read must not hold up a worker.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Write for Syslog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = socket.send(text)
            && error.kind() != io::ErrorKind::WouldBlock
            // It may have been started anew.
            && let Ok(again) = open(&self.path)
        {
            *socket = again;
            // There is nobody to whom a failure could be told.
            let _ = socket.send(text);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Syslog;

    fn make_writer(&'a self) -> Syslog {
        self.clone()
    }
}

/// The number of a facility by its name in `syslog-facility`.
pub(crate) fn facility(name: &str) -> u8 {
    match name.strip_prefix("local").and_then(|n| n.parse().ok()) {
        Some(n @ 0..=7u8) => 16 + n,
        _ => 1,
    }
}

/// The form of lines.
pub(crate) struct Named {
    pub ident: String,
    pub facility: u8,
}

impl Form for Named {
    fn line(&self, level: Level, now: DateTime<Local>, text: &str) -> String {
        let severity = match level {
            Level::TRACE => 7,
            Level::DEBUG => 6,
            Level::INFO => 5,
            Level::WARN | Level::ERROR => 4,
        };
        let priority = self.facility * 8 + severity;
        let time = now.format("%b %e %H:%M:%S");
        let (ident, pid) = (&self.ident, std::process::id());
        format!("<{priority}>{time} {ident}[{pid}]: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_datagram_with_its_priority() {
        let path = std::env::temp_dir().join(format!("redpoll-syslog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(Syslog::connect(&path).is_err(), "nobody listens yet");
        let listen = || UnixDatagram::bind(&path).unwrap();
        let receive = |listener: &UnixDatagram| {
            let mut bytes = [0; 200];
            let n = listener.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        };
        let listener = listen();
        let mut to = Syslog::connect(&path).unwrap();
        let named = Named {
            ident: "redis".into(),
            facility: facility("local3"),
        };
        let mut send = |level, text: &str| {
            writeln!(to, "{}", named.line(level, Local::now(), text)).unwrap();
        };
        send(Level::WARN, "hello");
        let got = receive(&listener);
        let end = format!(" redis[{}]: hello", std::process::id());
        assert!(got.starts_with("<156>") && got.ends_with(&end), "{got}");
        // Whoever reads it is started anew.
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let listener = listen();
        send(Level::TRACE, "again");
        let got = receive(&listener);
        assert!(
            got.starts_with("<159>") && got.ends_with(": again"),
            "{got}"
        );
        let _ = std::fs::remove_file(&path);
        assert_eq!((facility("user"), facility("local0")), (1, 16));
    }
}
