//! What was refused of late, for ACL LOG.

use super::selector::Reason;
use std::collections::VecDeque;

/// Refusals of one kind that come within so many milliseconds are one entry.
const TOGETHER_MS: u64 = 60_000;

/// How many of the newest entries a refusal is compared with.
const COMPARED: usize = 10;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// AUTH or HELLO AUTH.
    Authentication,
    Permission(Reason),
    /// A certificate that names nobody who can come.
    Certificate,
}

impl Kind {
    /// The word that ACL LOG prints.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Authentication => "auth",
            Kind::Certificate => "tls-cert",
            Kind::Permission(Reason::Command) => "command",
            Kind::Permission(Reason::Key) => "key",
            Kind::Permission(Reason::Channel) => "channel",
            Kind::Permission(Reason::Database) => "database",
        }
    }
}

/// Refusals that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub number: u64,
    pub count: u64,
    pub kind: Kind,
    /// `toplevel`, `multi` or `lua`.
    pub context: &'static str,
    /// The command, key, channel or database.
    pub object: Vec<u8>,
    pub user: Vec<u8>,
    /// The client of the last of them, as CLIENT LIST shows it.
    pub client: String,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds.
    pub updated_ms: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The newest first.
    entries: VecDeque<Entry>,
    next: u64,
}

impl Log {
    /// Adds a refusal, to an entry that is like it if there is one. At most `most` entries are kept.
    pub fn add(&mut self, mut new: Entry, most: usize) {
        let like = |old: &Entry| {
            old.context == new.context
                && old.kind == new.kind
                && old.object == new.object
                && old.user == new.user
                && new.updated_ms.abs_diff(old.updated_ms) <= TOGETHER_MS
        };
        if let Some(at) = self.entries.iter().take(COMPARED).position(like)
            && let Some(old) = self.entries.remove(at)
        {
            new = Entry {
                number: old.number,
                count: old.count + 1,
                created_ms: old.created_ms,
                ..new
            };
        } else {
            new.number = self.next;
            self.next += 1;
        }
        self.entries.push_front(new);
        self.entries.truncate(most);
    }

    /// The newest entries.
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        self.entries.iter().take(most).cloned().collect()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
