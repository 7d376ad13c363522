//! What is known of the link to the primary: for INFO, ROLE and whoever waits for it.

use parking_lot::{Condvar, Mutex};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Where the link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is none, and it will be tried again.
    #[default]
    Down,
    /// A connection is being made.
    Connecting,
    /// The two introduce themselves.
    Handshake,
    /// A copy of the data set comes.
    Copying,
    /// The stream comes.
    Up,
}

impl Phase {
    /// As ROLE calls it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Down => "connect",
            Phase::Connecting => "connecting",
            Phase::Handshake => "handshake",
            Phase::Copying => "sync",
            Phase::Up => "connected",
        }
    }
}

/// A copy of the data set on its way.
#[derive(Clone, Copy, Debug)]
struct Copying {
    total: Option<u64>,
    read: u64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    /// Since when there has been no link.
    down_since: Option<Instant>,
    heard: Option<Instant>,
    copying: Option<Copying>,
    /// Why there is no link.
    error: String,
    copies: u64,
    resumed: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct Status {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Bytes of the stream that have come, whether or not they were carried out.
    received: AtomicU64,
    /// Commands of the stream that were answered with errors.
    errors: AtomicU64,
}

impl Status {
    /// The link gets on.
    pub fn enter(&self, phase: Phase) {
        let mut inner = self.inner.lock();
        if inner.phase == Phase::Up && phase != Phase::Up {
            inner.down_since = Some(Instant::now());
        }
        if phase == Phase::Up {
            inner.down_since = None;
            inner.error.clear();
        }
        if phase != Phase::Copying {
            inner.copying = None;
        }
        inner.phase = phase;
        self.changed.notify_all();
    }

    /// There is no link, and why. Whether that is another reason than the last time.
    pub fn fail(&self, error: &str) -> bool {
        self.enter(Phase::Down);
        let mut inner = self.inner.lock();
        let new = inner.error != error;
        error.clone_into(&mut inner.error);
        self.changed.notify_all();
        new
    }

    /// A copy of so many bytes, if that is known, is coming.
    pub fn begin_copy(&self, total: Option<u64>) {
        let mut inner = self.inner.lock();
        let (read, at) = (0, Instant::now());
        inner.copying = Some(Copying { total, read, at });
    }

    /// So many more bytes of it have come.
    pub fn copied(&self, bytes: u64) {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        inner.heard = Some(now);
        if let Some(copying) = &mut inner.copying {
            copying.read += bytes;
            copying.at = now;
        }
    }

    /// A copy is in place.
    pub(crate) fn end_copy(&self) {
        self.inner.lock().copies += 1;
    }

    /// The stream goes on from where it was left.
    pub fn resume(&self) {
        self.inner.lock().resumed += 1;
    }

    /// Something came from the primary, up to this place in the stream.
    pub fn heard(&self, at: Instant, received: u64, errors: u64) {
        self.inner.lock().heard = Some(at);
        self.received.store(received, Relaxed);
        self.errors.store(errors, Relaxed);
    }

    /// Where the link is.
    pub fn phase(&self) -> Phase {
        self.inner.lock().phase
    }

    /// Why there is no link; empty if there is one, or none was tried.
    pub fn error(&self) -> String {
        self.inner.lock().error.clone()
    }

    /// Waits until the link is up, for this long at most; whether it is.
    pub fn wait_until_up(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut inner = self.inner.lock();
        while inner.phase != Phase::Up {
            if self.changed.wait_until(&mut inner, until).timed_out() {
                return inner.phase == Phase::Up;
            }
        }
        true
    }

    /// Appends what INFO tells of the link. `offset`: up to where the stream was carried out.
    pub fn info(&self, offset: u64, into: &mut String) {
        let inner = self.inner.lock();
        let up = inner.phase == Phase::Up;
        let ago = |at: Option<Instant>| at.map_or(-1, |at| at.elapsed().as_secs() as i64);
        let copying = inner.phase == Phase::Copying;
        let heard = if up || copying { ago(inner.heard) } else { -1 };
        let _ = write!(
            into,
            "master_link_status:{}\r\nmaster_last_io_seconds_ago:{heard}\r\nmaster_sync_in_progress:{}\r\n\
             slave_read_repl_offset:{}\r\nslave_repl_offset:{offset}\r\n",
            if up { "up" } else { "down" },
            u8::from(copying),
            self.received.load(Relaxed).max(offset),
        );
        if let (true, Some(copy)) = (copying, inner.copying) {
            let total = copy.total.unwrap_or(0);
            let percent = match total {
                0 => 0.0,
                total => copy.read as f64 * 100.0 / total as f64,
            };
            let _ = write!(
                into,
                "master_sync_total_bytes:{total}\r\nmaster_sync_read_bytes:{}\r\nmaster_sync_left_bytes:{}\r\n\
                 master_sync_perc:{percent:.2}\r\nmaster_sync_last_io_seconds_ago:{}\r\n",
                copy.read,
                total as i64 - copy.read as i64,
                copy.at.elapsed().as_secs(),
            );
        }
        if !up {
            let _ = write!(
                into,
                "master_link_down_since_seconds:{}\r\n",
                ago(inner.down_since)
            );
        }
        let _ = write!(
            into,
            "redpoll_link_error:{}\r\nredpoll_link_full_syncs:{}\r\nredpoll_link_partial_syncs:{}\r\nredpoll_stream_errors:{}\r\n",
            inner.error.replace(['\r', '\n'], " "),
            inner.copies,
            inner.resumed,
            self.errors.load(Relaxed),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_far_it_is() {
        let status = Status::default();
        let text = |status: &Status| {
            let mut text = String::new();
            status.info(7, &mut text);
            text
        };
        assert!(
            text(&status).contains("master_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n")
        );
        assert!(text(&status).contains("master_link_down_since_seconds:-1\r\n"));
        status.enter(Phase::Copying);
        status.begin_copy(Some(200));
        status.copied(50);
        let copying = text(&status);
        assert!(
            copying.contains("master_sync_in_progress:1\r\n"),
            "{copying}"
        );
        assert!(
            copying.contains("master_sync_left_bytes:150\r\nmaster_sync_perc:25.00\r\n"),
            "{copying}"
        );
        status.enter(Phase::Up);
        assert!(status.wait_until_up(Duration::ZERO));
        let up = text(&status);
        assert!(up.starts_with(
            "master_link_status:up\r\nmaster_last_io_seconds_ago:0\r\nmaster_sync_in_progress:0\r\n"
        ));
        assert!(
            !up.contains("down_since")
                && up.contains("slave_read_repl_offset:7\r\nslave_repl_offset:7\r\n")
        );
        assert!(status.fail("no\nroute") && !status.fail("no\nroute"));
        assert!(text(&status).contains("redpoll_link_error:no route\r\n"));
        assert!(!status.wait_until_up(Duration::ZERO));
    }
}
