//! Being a service: who is told that the server serves and that it stops (`supervised`), and how readily the kernel may end it.

use engine::config::Config;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whoever started the server and wants to know how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Supervisor {
    /// Nobody.
    #[default]
    None,
    /// systemd, at this socket.
    Systemd(OsString),
    /// upstart, which waits for the process to stop itself once.
    Upstart,
}

impl Supervisor {
    /// Whom `supervised` names, or found to be there by `auto`. The error is one line about what is missing.
    pub fn of(config: &Config) -> Result<Supervisor, String> {
        Supervisor::find(&config.text("supervised"), |name| std::env::var_os(name))
    }

    fn find(
        wanted: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Supervisor, String> {
        let systemd = variable("NOTIFY_SOCKET").map(Supervisor::Systemd);
        let upstart = variable("UPSTART_JOB").map(|_| Supervisor::Upstart);
        match wanted {
            "systemd" => systemd.ok_or_else(|| {
                "supervised by systemd, but NOTIFY_SOCKET is not set: the unit needs Type=notify".into()
            }),
            "upstart" => upstart.ok_or_else(|| {
                "supervised by upstart, but UPSTART_JOB is not set: the job needs expect stop".into()
            }),
            "auto" => Ok(upstart.or(systemd).unwrap_or_default()),
            _ => Ok(Supervisor::None),
        }
    }

    /// As INFO has it.
    pub fn name(&self) -> &'static str {
        match self {
            Supervisor::None => "no",
            Supervisor::Systemd(_) => "systemd",
            Supervisor::Upstart => "upstart",
        }
    }

    /// The server listens, and what it does now takes as long as it takes.
    pub fn tell_loading(&self) {
        self.tell("STATUS=Loading the data set\n");
    }

    /// The data set is there.
    pub fn tell_ready(&self) {
        match self {
            Supervisor::Upstart => {
                tracing::info!("Supervised by upstart: stopping once, to be continued");
                let this = rustix::process::getpid();
                if let Err(error) =
                    rustix::process::kill_process(this, rustix::process::Signal::STOP)
                {
                    tracing::warn!("Cannot stop for upstart: {error}");
                }
            }
            _ => self.tell("STATUS=Ready to accept connections\nREADY=1\n"),
        }
    }

    /// The server has begun to stop.
    pub(crate) fn tell_stopping(&self) {
        self.tell("STATUS=Saving and leaving\nSTOPPING=1\n");
    }

    fn tell(&self, state: &str) {
        if let Supervisor::Systemd(socket) = self
            && let Err(error) = send(socket, state)
        {
            tracing::warn!("Cannot tell systemd: {error}");
        }
    }
}

/// sd_notify(3): one datagram of lines. A name that begins with `@` is one of the abstract ones.
fn send(socket: &OsString, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// Where the kernel keeps how readily it ends this process.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// `oom-score-adj`: what the process had before, and what it is.
#[derive(Debug, Default)]
pub(crate) struct OomScore {
    /// What it had when it was told; none while it is not.
    base: Option<i32>,
    /// It follows a primary.
    pub is_replica: bool,
}

impl OomScore {
    /// Puts the directives into effect. Of a server that is not told otherwise nothing is touched: others may have set it.
    pub fn apply(&mut self, config: &Config) -> io::Result<()> {
        let how = config.text("oom-score-adj");
        if how == "no" {
            return match self.base.take() {
                Some(base) => std::fs::write(OOM_SCORE, base.to_string()),
                None => Ok(()),
            };
        }
        let base = match self.base {
            Some(base) => base,
            None => {
                let text = std::fs::read_to_string(OOM_SCORE)?;
                let base = text.trim().parse().map_err(io::Error::other)?;
                *self.base.insert(base)
            }
        };
        let values = config.text("oom-score-adj-values");
        let mine = values.split(' ').nth(usize::from(self.is_replica));
        let value = mine.and_then(|n| n.parse().ok()).unwrap_or(0);
        std::fs::write(OOM_SCORE, score(&how, base, value).to_string())
    }
}

fn score(how: &str, base: i32, value: i32) -> i32 {
    let wanted = match how {
        "absolute" => value,
        _ => base + value,
    };
    // The kernel's bounds.
    wanted.clamp(-1000, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_supervises() {
        let find = |wanted: &str, set: &[&str]| {
            let variable = |name: &str| set.contains(&name).then(|| OsString::from("@x"));
            Supervisor::find(wanted, variable).map(|found| found.name())
        };
        let both = ["NOTIFY_SOCKET", "UPSTART_JOB"];
        assert_eq!(find("no", &both), Ok("no"));
        assert_eq!(find("auto", &[]), Ok("no"));
        assert_eq!(find("auto", &["NOTIFY_SOCKET"]), Ok("systemd"));
        assert_eq!(find("auto", &["UPSTART_JOB"]), Ok("upstart"));
        assert_eq!(find("systemd", &both), Ok("systemd"));
        assert_eq!(find("upstart", &both), Ok("upstart"));
        assert!(
            find("systemd", &["UPSTART_JOB"])
                .unwrap_err()
                .contains("NOTIFY_SOCKET")
        );
        assert!(find("upstart", &["NOTIFY_SOCKET"]).is_err());
    }

    #[test]
    fn states_are_datagrams_to_either_kind_of_address() {
        let name = format!("redpoll-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let path = std::env::temp_dir().join(&name);
        let _ = std::fs::remove_file(&path);
        for (listener, address) in [
            (
                UnixDatagram::bind_addr(&abstract_name).unwrap(),
                OsString::from(format!("@{name}")),
            ),
            (
                UnixDatagram::bind(&path).unwrap(),
                path.clone().into_os_string(),
            ),
        ] {
            let supervisor = Supervisor::Systemd(address);
            supervisor.tell_ready();
            let mut bytes = [0; 100];
            let n = listener.recv(&mut bytes).unwrap();
            assert_eq!(
                &bytes[..n],
                b"STATUS=Ready to accept connections\nREADY=1\n"
            );
        }
        let _ = std::fs::remove_file(&path);
    }

    #[test]
    fn scores_are_absolute_or_added() {
        assert_eq!(score("absolute", 100, 5), 5);
        assert_eq!(score("relative", 100, 5), 105);
        assert_eq!(score("yes", 100, 2000), 1000);
        assert_eq!(score("yes", 100, -2000), -1000);
    }
}
