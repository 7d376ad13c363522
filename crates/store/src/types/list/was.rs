//! What a long list was when it began to be watched, as far as that is still to be written: see [`crate::types::watch`].
//!
//! Beside the list's nodes stands a slot for each. It says whether the node is one of the old list and as it was, and
//! holds the old nodes that have their place before it: those that it was changed from, and those that were taken out there.
//! Nodes never change their order, so going through the slots, and the old nodes in them, gives the old list. Only nodes that
//! are changed for the first time are copied; those that go as they are are moved.

use super::iter::Chunk;
use super::nodes::Node;
use crate::types::watch::Watched;
use std::collections::VecDeque;

#[derive(Debug, Default)]
struct Slot {
    /// The node is one of the old list, as it was, and still to be written.
    same: bool,
    /// Old nodes that come before it.
    #[expect(
        clippy::box_collection,
        reason = "there is a slot for each node, and hardly any keeps something"
    )]
    kept: Option<Box<VecDeque<Node>>>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Was {
    pub by: Watched,
    slots: VecDeque<Slot>,
    /// Old nodes behind all that there are.
    tail: VecDeque<Node>,
    /// Slots before this one hold nothing to be written.
    next: usize,
}

/// `first`, then `then`. The longer one stays where it is.
fn joined(mut first: VecDeque<Node>, mut then: VecDeque<Node>) -> VecDeque<Node> {
    if first.len() < then.len() {
        while let Some(node) = first.pop_back() {
            then.push_front(node);
        }
        then
    } else {
        first.append(&mut then);
        first
    }
}

impl Was {
    /// Of a list of so many nodes.
    pub fn of(nodes: usize, by: Watched) -> Was {
        Was {
            by,
            slots: (0..nodes)
                .map(|_| Slot {
                    same: true,
                    kept: None,
                })
                .collect(),
            tail: VecDeque::new(),
            next: 0,
        }
    }

    /// Whether a node is still as it was, and to be written.
    pub fn is_same(&self, at: usize) -> bool {
        self.slots[at].same
    }

    fn count(&mut self, node: &Node) {
        if let Some(watcher) = self.by.get() {
            watcher.kept(node.heap());
        }
    }

    /// A node has come.
    pub fn put(&mut self, at: usize) {
        self.slots.insert(at, Slot::default());
        self.next += usize::from(at < self.next);
    }

    /// A node is about to be changed.
    pub fn change(&mut self, at: usize, node: &Node) {
        let slot = &mut self.slots[at];
        if std::mem::take(&mut slot.same) {
            slot.kept.get_or_insert_default().push_back(node.clone());
            self.count(node);
        }
    }

    /// Nodes are about to be taken out.
    pub fn take(&mut self, at: usize, nodes: impl ExactSizeIterator<Item = Node>) {
        let mut carried = VecDeque::new();
        let count = nodes.len();
        for (i, node) in nodes.enumerate() {
            let slot = std::mem::take(&mut self.slots[at + i]);
            carried.extend(slot.kept.into_iter().flat_map(|kept| *kept));
            if slot.same {
                self.count(&node);
                carried.push_back(node);
            }
        }
        self.slots.drain(at..at + count);
        self.next -= self.next.saturating_sub(at).min(count);
        self.attach(at, carried);
    }

    /// Puts old nodes before what is at `at`.
    fn attach(&mut self, at: usize, old: VecDeque<Node>) {
        if old.is_empty() {
            return;
        }
        match self.slots.get_mut(at) {
            Some(slot) => {
                let then = slot.kept.take().map(|kept| *kept).unwrap_or_default();
                slot.kept = Some(Box::new(joined(old, then)));
            }
            None => self.tail = joined(old, std::mem::take(&mut self.tail)),
        }
    }

    /// Nodes that have become empty, all of which were told of, go.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut carried = VecDeque::new();
        let mut next = 0;
        let slots = std::mem::take(&mut self.slots);
        for (at, mut slot) in slots.into_iter().enumerate() {
            if let Some(kept) = slot.kept.take() {
                carried.extend(*kept);
            }
            if keep(at) {
                next += usize::from(at < self.next);
                if !carried.is_empty() {
                    slot.kept = Some(Box::new(std::mem::take(&mut carried)));
                }
                self.slots.push_back(slot);
            }
        }
        self.next = next;
        self.attach(self.slots.len(), carried);
    }

    /// Visits nodes of the old list in order, some `bytes` of them; returns whether those were the last, and how many bytes are no
    /// longer kept.
    pub fn stretch(
        &mut self,
        nodes: &VecDeque<Node>,
        bytes: usize,
        visit: &mut dyn FnMut(Chunk<'_>),
    ) -> (bool, usize) {
        let (mut seen, mut let_go) = (0, 0);
        while let Some(slot) = self.slots.get_mut(self.next) {
            while let Some(node) = slot.kept.as_mut().and_then(|kept| kept.pop_front()) {
                visit(node.chunk());
                let_go += node.heap();
                seen += node.heap();
                if seen >= bytes {
                    return (false, let_go);
                }
            }
            slot.kept = None;
            if std::mem::take(&mut slot.same)
                && let Some(node) = nodes.get(self.next)
            {
                visit(node.chunk());
                seen += node.heap();
            }
            self.next += 1;
            if seen >= bytes {
                return (false, let_go);
            }
        }
        while let Some(node) = self.tail.pop_front() {
            visit(node.chunk());
            let_go += node.heap();
            seen += node.heap();
            if seen >= bytes {
                return (false, let_go);
            }
        }
        (true, let_go)
    }
}
