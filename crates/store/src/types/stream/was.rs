//! What a stream was when it began to be watched, as far as that is still to be written: see [`crate::types::watch`].
//!
//! Nodes only ever grow at their end, and deleting an entry sets a mark in its node. So nothing is copied: it is enough to
//! know which entries came and which were deleted since, and to keep nodes that go. Groups are small beside the entries; one
//! is copied when it is first changed.

use super::group::Group;
use super::id::StreamId;
use super::idempotency::Idempotency;
use super::node::{Entry, Node};
use super::{Body, Ending, StreamRef};
use crate::types::watch::Watched;
use std::collections::{BTreeMap, BTreeSet};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Was {
    pub by: Watched,
    /// The last ID there was.
    last_id: StreamId,
    /// Nodes whose first ID is below this are written; `None`: all are.
    next: Option<StreamId>,
    /// Entries deleted since, by node and byte.
    deleted: BTreeSet<(StreamId, usize)>,
    /// Where entries begin, in nodes there were, that were added since.
    grown: BTreeMap<StreamId, usize>,
    /// Nodes that came since, as far as they could be taken for old ones.
    fresh: BTreeSet<StreamId>,
    /// Nodes that went.
    gone: BTreeMap<StreamId, Node>,
    numbers: Numbers,
    /// Groups that were changed or destroyed.
    groups: BTreeMap<Box<[u8]>, Group>,
    /// Groups that were created.
    born: BTreeSet<Box<[u8]>>,
    /// What producers had sent, if that has changed.
    idempotency: Option<Option<Box<Idempotency>>>,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

/// What a deleted entry takes, in bytes.
const DELETED_BYTES: usize = 40;

impl Was {
    pub fn of(stream: StreamRef<'_>, by: Watched) -> Was {
        let numbers = Numbers {
            len: stream.len() as u64,
            first_id: stream.first_id(),
            last_id: stream.last_id(),
            max_deleted_id: stream.max_deleted_id(),
            entries_added: stream.entries_added(),
        };
        Was {
            by,
            last_id: numbers.last_id,
            next: Some(StreamId::MIN),
            deleted: BTreeSet::new(),
            grown: BTreeMap::new(),
            fresh: BTreeSet::new(),
            gone: BTreeMap::new(),
            numbers,
            groups: BTreeMap::new(),
            born: BTreeSet::new(),
            idempotency: None,
        }
    }

    fn count(&mut self, bytes: usize) {
        if let Some(watcher) = self.by.get() {
            watcher.kept(bytes);
        }
    }

    /// Whether the node is one that there was, and still to be written.
    fn counts(&self, first: StreamId) -> bool {
        first <= self.last_id
            && self.next.is_some_and(|next| first >= next)
            && !self.fresh.contains(&first)
    }

    /// An entry is about to be added to a node, at this byte.
    pub fn grow(&mut self, first: StreamId, at: usize) {
        if self.counts(first) {
            self.grown.entry(first).or_insert(at);
        }
    }

    /// A node has come.
    pub fn put(&mut self, first: StreamId) {
        if first <= self.last_id {
            self.fresh.insert(first);
        }
    }

    /// The entry at byte `at` of a node is about to be deleted.
    pub fn delete(&mut self, first: StreamId, at: usize) {
        if self.counts(first)
            && self.grown.get(&first).is_none_or(|&grown| at < grown)
            && self.deleted.insert((first, at))
        {
            self.count(DELETED_BYTES);
        }
    }

    /// A node has gone.
    pub fn remove(&mut self, first: StreamId, node: Node) {
        if self.counts(first) {
            self.count(node.memory());
            self.gone.insert(first, node);
        }
        self.fresh.remove(&first);
    }

    /// A group is about to be changed or destroyed.
    pub fn keep_group(&mut self, name: &[u8], group: &Group) {
        if !self.born.contains(name) && !self.groups.contains_key(name) {
            self.count(group.memory());
            self.groups.insert(name.into(), group.clone());
        }
    }

    /// A group has been created.
    pub fn create_group(&mut self, name: &[u8]) {
        if !self.groups.contains_key(name) {
            self.born.insert(name.into());
        }
    }

    /// What producers have sent is about to change.
    pub fn keep_idempotency(&mut self, known: Option<&Idempotency>) {
        if self.idempotency.is_none() {
            self.count(known.map_or(0, Idempotency::memory));
            self.idempotency = Some(known.cloned().map(Box::new));
        }
    }

    /// Visits nodes that there were, some `bytes` of them; returns whether those were the last, and how many bytes are no longer
    /// kept.
    pub fn stretch(
        &mut self,
        nodes: &BTreeMap<StreamId, Node>,
        bytes: usize,
        visit: &mut dyn FnMut(&mut dyn Iterator<Item = Entry<'_>>),
    ) -> (bool, usize) {
        let (mut seen, mut let_go) = (0, 0);
        while let Some(next) = self.next {
            let here = nodes
                .range(next..=self.last_id.max(next))
                .find(|(first, _)| self.counts(**first));
            let (first, gone) = match (here, self.gone.first_key_value()) {
                (Some((here, _)), Some((gone, _))) => (*here.min(gone), gone <= here),
                (Some((here, _)), None) => (*here, false),
                (None, Some((gone, _))) => (*gone, true),
                (None, None) => {
                    self.next = None;
                    break;
                }
            };
            let node = if gone {
                self.gone.get(&first)
            } else {
                nodes.get(&first)
            };
            if let Some(node) = node {
                let end = self.grown.get(&first).copied().unwrap_or(usize::MAX);
                let deleted = &self.deleted;
                let mut entries = node
                    .entries()
                    .take_while(|raw| raw.at < end)
                    .filter(|raw| !raw.deleted || deleted.contains(&(first, raw.at)))
                    .map(|raw| raw.entry());
                visit(&mut entries);
                seen += node.memory();
                let_go += if gone { node.memory() } else { 0 };
            }
            self.gone.remove(&first);
            self.grown.remove(&first);
            while let Some(deleted) = self.deleted.first().copied().filter(|(of, _)| *of <= first) {
                self.deleted.remove(&deleted);
                let_go += DELETED_BYTES;
            }
            self.next = first.next();
            if seen >= bytes {
                break;
            }
        }
        (self.next.is_none(), let_go)
    }

    /// What stood behind the entries.
    pub fn ending<'a>(&'a self, body: &'a Body) -> Ending<'a> {
        let now = body.groups.iter().map(|(name, group)| (&**name, group));
        let unchanged =
            now.filter(|(name, _)| !self.born.contains(*name) && !self.groups.contains_key(*name));
        let kept = self.groups.iter().map(|(name, group)| (&**name, group));
        Ending {
            len: self.numbers.len,
            first_id: self.numbers.first_id,
            last_id: self.numbers.last_id,
            max_deleted_id: self.numbers.max_deleted_id,
            entries_added: self.numbers.entries_added,
            groups: unchanged.chain(kept).collect(),
            idempotency: match &self.idempotency {
                Some(known) => known.as_deref(),
                None => body.idempotency.as_deref(),
            },
        }
    }
}
