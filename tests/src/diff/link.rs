//! A connection of a round: raw replies, scans run to their ends.

use super::engine::Step;
use super::reply::How;
use crate::{Client, Server};
use resp::Value;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

/// What stands for the reply of a connection that the server closed.
pub const CLOSED: &[u8] = b"";
/// What stands for a reply that did not come within [`PATIENCE`].
pub const SILENCE: &[u8] = b"(no reply)";
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection of a round.
pub struct Link {
    /// What it speaks through.
    pub client: Client,
}

impl Link {
    /// Connects.
    pub fn new(server: &Server) -> Link {
        let client = server.connect();
        client
            .set_read_timeout(PATIENCE)
            .expect("a timeout can be set");
        Link { client }
    }

    /// Sends a pipeline.
    pub fn send(&mut self, steps: &[Step]) {
        let mut bytes = Vec::new();
        for step in steps {
            crate::client::encode(&step.args, &mut bytes);
            if step.counted {
                crate::client::encode(&["INFO", "persistence"], &mut bytes);
            }
        }
        // A connection that the server has closed shows when its reply is read.
        let _ = self.client.send_raw(&bytes);
    }

    /// The reply's raw bytes, passing over messages and the invalidations of CLIENT TRACKING.
    fn next(&mut self) -> Vec<u8> {
        loop {
            match self.client.try_read_raw() {
                Ok(raw) if raw.starts_with(b">") && !confirms(&raw) => {}
                Ok(raw) => return raw,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return SILENCE.to_vec();
                }
                Err(_) => return CLOSED.to_vec(),
            }
        }
    }

    /// Sends one command and returns the raw bytes of its reply.
    pub fn ask(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        crate::client::encode(args, &mut bytes);
        let _ = self.client.send_raw(&bytes);
        self.next()
    }

    /// The number of changes that the server counts towards a save point.
    pub fn changes(&mut self) -> u64 {
        changes_in(&self.ask(&[b"INFO", b"persistence"]))
    }

    /// The same, asked for behind a step that was sent with [`Step::counted`].
    pub fn next_changes(&mut self) -> u64 {
        changes_in(&self.next())
    }

    /// The reply to a step that was sent, raw; to a SCAN, all that its scan returns.
    pub fn reply(&mut self, step: &Step) -> Vec<u8> {
        let first = self.next();
        if step.how == How::Scan && first.starts_with(b"*2") {
            self.scan_on(&step.args, first)
        } else {
            first
        }
    }

    /// Goes on with a SCAN until its cursor is back at 0; the reply is the array of all that was returned, each once.
    fn scan_on(&mut self, args: &[Vec<u8>], first: Vec<u8>) -> Vec<u8> {
        let mut seen = BTreeSet::new();
        let mut page = bulks(&first);
        loop {
            let cursor = if page.is_empty() {
                Vec::new()
            } else {
                page.remove(0)
            };
            seen.extend(page);
            if cursor == b"0" || cursor.is_empty() {
                break;
            }
            let mut next: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            // SCAN's cursor comes first, that of SSCAN and its like after the key.
            let at = if args[0].eq_ignore_ascii_case(b"SCAN") {
                1
            } else {
                2
            };
            next[at] = &cursor;
            page = bulks(&self.ask(&next));
        }
        let items: Vec<Vec<u8>> = seen.into_iter().collect();
        let mut raw = Vec::new();
        crate::client::encode(&items, &mut raw);
        raw
    }
}

/// Whether a push is the reply to SUBSCRIBE or one of its like.
fn confirms(push: &[u8]) -> bool {
    let mut lines = push.split(|byte| *byte == b'\n');
    let kind = lines.nth(2).unwrap_or_default();
    kind.trim_ascii_end().ends_with(b"subscribe")
}

/// The number of changes that INFO tells of; 0 where a server did not answer it.
fn changes_in(info: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(info);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// All bulk strings of a reply, at any depth, in order.
pub fn bulks(raw: &[u8]) -> Vec<Vec<u8>> {
    fn collect(value: Value, into: &mut Vec<Vec<u8>>) {
        match value {
            Value::Bulk(bytes) => into.push(bytes),
            Value::Array(items) | Value::Set(items) => {
                for item in items {
                    collect(item, into);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if !raw.is_empty() && !raw.starts_with(b"-") {
        collect(crate::client::decode(raw), &mut found);
    }
    found
}
