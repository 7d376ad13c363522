//! Long lists: a deque of nodes.
//!
//! A node is a run of elements of limited size, or a single element that is larger than a node may be. Nodes stand side by
//! side in one deque, with their numbers of elements, so that the node of an index is found by adding up a few bytes for
//! each; both ends are reached at once.
//!
//! Where elements go follows Redis's quicklist step by step: when an end gets a new node, how a full node in the middle
//! is split, and which neighbours are joined afterwards. It shows: a list whose last node has become small enough is
//! a listpack again to OBJECT ENCODING, and a dump is made of nodes.

use super::compressed::Compressed;
use super::entry::{Encoded, Item, LISTPACK_FRAME, Span};
use super::iter::Chunk;
use super::run::{Packed, Run, is_body};
use super::was::Was;
use super::{End, Limits, List};
use crate::types::kind::Blob;
use crate::types::object::Object;
use crate::types::watch::{Watched, Watcher};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a node's size is estimated to grow by beside an element's text.
const ENTRY_ESTIMATE: usize = 8;

/// Bytes of a blob's counts and its vector.
const BLOB_OVERHEAD: usize = 16 + size_of::<Vec<u8>>();

/// Longest packed node in bytes: replacing elements by longer ones ends there.
const MAX_NODE: usize = 1 << 30;

/// Part of a long list.
#[derive(Clone, Debug)]
pub(in crate::types) enum Node {
    /// Several elements, or one that is not large.
    Packed(Packed),
    /// One large element.
    Plain(Blob),
    /// One of these, compressed.
    Compressed(Compressed),
}

impl Node {
    #[inline]
    pub(super) fn count(&self) -> usize {
        match self {
            Node::Packed(run) => run.count(),
            Node::Plain(_) => 1,
            Node::Compressed(node) => node.count(),
        }
    }

    /// Whether it is one large element.
    #[inline]
    fn is_plain(&self) -> bool {
        match self {
            Node::Packed(_) => false,
            Node::Plain(_) => true,
            Node::Compressed(node) => node.is_plain(),
        }
    }

    /// Bytes of its listpack, if it is one.
    #[inline]
    fn listpack_bytes(&self) -> Option<usize> {
        match self {
            Node::Packed(run) => Some(run.listpack_bytes()),
            Node::Compressed(node) if !node.is_plain() => Some(node.len()),
            _ => None,
        }
    }

    /// As a view shows it.
    pub(super) fn chunk(&self) -> Chunk<'_> {
        match self {
            Node::Packed(run) => Chunk::Packed(run.bytes(), run.count()),
            Node::Plain(blob) => Chunk::Plain(blob),
            Node::Compressed(node) => Chunk::of(node),
        }
    }

    #[inline]
    pub(super) fn heap(&self) -> usize {
        match self {
            Node::Packed(run) => run.heap(),
            Node::Plain(blob) => blob.capacity() + BLOB_OVERHEAD,
            Node::Compressed(node) => node.heap(),
        }
    }

    fn plain(value: Item<'_>) -> Node {
        Node::Plain(match value {
            Item::Blob(blob) => blob.clone(),
            value => Arc::new(value.to_vec()),
        })
    }

    fn seal(&mut self) {
        if let Node::Packed(run) = self {
            run.seal();
        }
    }
}

/// A long list. See the module's page. `limits` in its methods: the bound of nodes does not count, which is kept from when the
/// list became one.
#[derive(Debug)]
pub(in crate::types) struct Nodes {
    nodes: VecDeque<Node>,
    count: usize,
    /// Bytes that the nodes own.
    heap: usize,
    /// How many nodes are compressed.
    compressed: usize,
    fill: i32,
    /// What it was, while it is watched.
    was: Option<Box<Was>>,
}

/// See [`crate::types::watch`].
impl Drop for Nodes {
    fn drop(&mut self) {
        if let Some(was) = &mut self.was
            && let Some(watcher) = was.by.set(None)
        {
            let rest = std::mem::replace(self, Nodes::new(None, self.fill));
            watcher.take(Object::List(List::of_nodes(rest)));
        }
    }
}

impl Clone for Nodes {
    fn clone(&self) -> Nodes {
        // Copied nodes have no room to spare.
        let nodes = self.nodes.clone();
        let heap = nodes.iter().map(Node::heap).sum();
        Nodes {
            nodes,
            heap,
            count: self.count,
            compressed: self.compressed,
            fill: self.fill,
            was: None,
        }
    }
}

impl Nodes {
    pub(super) fn new(first: Option<Packed>, fill: i32) -> Nodes {
        let mut list = Nodes {
            nodes: VecDeque::new(),
            count: 0,
            heap: 0,
            compressed: 0,
            fill,
            was: None,
        };
        if let Some(run) = first.filter(|run| run.count() > 0) {
            list.put(0, Node::Packed(run));
        }
        list
    }

    /// Who watches it.
    pub(in crate::types) fn watcher(&self) -> Option<u64> {
        self.was.as_ref()?.by.id()
    }

    /// Has it watched from now on.
    pub(in crate::types) fn watch(&mut self, watcher: Box<dyn Watcher>) {
        let mut by = Watched::NO;
        by.set(Some(watcher));
        // Who watched it before does not get it.
        drop(self.unwatch());
        self.was = Some(Box::new(Was::of(self.nodes.len(), by)));
    }

    /// Ends the watching.
    pub(in crate::types) fn unwatch(&mut self) -> Option<Box<dyn Watcher>> {
        self.was.take()?.by.set(None)
    }

    pub(in crate::types) fn watched_mut(&mut self) -> Option<&mut Watched> {
        Some(&mut self.was.as_mut()?.by)
    }

    /// See [`Object::stretch_nodes`].
    pub(in crate::types) fn stretch(
        &mut self,
        bytes: usize,
        visit: &mut dyn FnMut(Chunk<'_>),
    ) -> (bool, usize) {
        match &mut self.was {
            Some(was) => was.stretch(&self.nodes, bytes, visit),
            None => (true, 0),
        }
    }

    /// Number of elements.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes it owns.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        self.heap + self.nodes.capacity() * size_of::<Node>()
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// The number of nodes.
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The run of a list that has but one.
    pub(super) fn single(&self) -> Option<&Packed> {
        match self.nodes.front() {
            Some(Node::Packed(run)) if self.nodes.len() == 1 => Some(run),
            _ => None,
        }
    }

    /// The same, taken out.
    pub(super) fn take_single(&mut self) -> Option<Packed> {
        self.single()?;
        match self.take(0) {
            Node::Packed(run) => Some(run),
            Node::Plain(_) | Node::Compressed(_) => None,
        }
    }

    /// The node that holds the element of this index, which must be there, and the element's index in it.
    pub(super) fn locate(&self, index: usize) -> (usize, usize) {
        if index <= self.count / 2 {
            let mut left = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if left < node.count() {
                    return (at, left);
                }
                left -= node.count();
            }
        } else {
            let mut first = self.count;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                first -= node.count();
                if index >= first {
                    return (at, index - first);
                }
            }
        }
        (self.nodes.len(), 0)
    }

    // ---- Nodes, with their counts

    fn put(&mut self, at: usize, node: Node) {
        self.count += node.count();
        self.heap += node.heap();
        if let Some(was) = &mut self.was {
            was.put(at);
        }
        self.nodes.insert(at, node);
    }

    fn take(&mut self, at: usize) -> Node {
        let node = self.nodes.remove(at).expect("the node of an element");
        if let Some(was) = &mut self.was {
            let old = match was.is_same(at) {
                true => node.clone(),
                false => Node::Packed(Packed::default()),
            };
            was.take(at, std::iter::once(old));
        }
        self.count -= node.count();
        self.heap -= node.heap();
        if self.nodes.capacity() > 16 && self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
        match node {
            Node::Compressed(node) => {
                self.compressed -= 1;
                node.expand()
            }
            node => node,
        }
    }

    /// Changes a packed node, which is not compressed then, and keeps the counts.
    #[inline]
    fn change<R>(&mut self, at: usize, f: impl FnOnce(&mut Packed, usize) -> R) -> R {
        let likely_max = self.likely_max();
        if let Some(was) = &mut self.was {
            was.change(at, &self.nodes[at]);
        }
        self.expand(at);
        let Some(Node::Packed(run)) = self.nodes.get_mut(at) else {
            unreachable!("asked to be packed before")
        };
        let (heap, count) = (run.heap(), run.count());
        let r = f(run, likely_max);
        self.heap = self.heap + run.heap() - heap;
        self.count = self.count + run.count() - count;
        r
    }

    /// The length that the entries of a node stay below.
    #[inline]
    fn likely_max(&self) -> usize {
        Limits::node_bytes(self.fill) - LISTPACK_FRAME
    }

    // ---- Compression

    /// Exchanges a node for one with the same elements.
    fn exchange(&mut self, at: usize, node: Node) {
        self.heap = self.heap + node.heap() - self.nodes[at].heap();
        self.nodes[at] = node;
    }

    /// Makes a node, if there is such, one that is not compressed.
    #[inline]
    fn expand(&mut self, at: usize) {
        if self.compressed > 0
            && let Some(Node::Compressed(node)) = self.nodes.get(at)
        {
            let node = node.expand();
            self.compressed -= 1;
            self.exchange(at, node);
        }
    }

    /// Compresses a node if that is worth it.
    fn compress(&mut self, at: usize) {
        let compressed = match &mut self.nodes[at] {
            Node::Packed(run) if run.is_incompressible() => return,
            Node::Packed(run) => Compressed::of_run(run),
            Node::Plain(blob) => Compressed::of_blob(blob),
            Node::Compressed(_) => return,
        };
        if let Some(node) = compressed {
            self.compressed += 1;
            self.exchange(at, Node::Compressed(node));
        } else if let Node::Packed(run) = &mut self.nodes[at] {
            self.heap -= run.heap();
            run.note_incompressible();
            self.heap += run.heap();
        }
    }

    /// Whether a node is further from both ends than those that stay as they are.
    #[inline]
    fn is_inner(&self, at: usize, depth: usize) -> bool {
        depth > 0 && at >= depth && self.nodes.len().saturating_sub(depth) > at
    }

    /// Compresses a node or expands it, as its place wants it.
    fn settle(&mut self, at: usize, depth: usize) {
        if self.is_inner(at, depth) {
            self.compress(at);
        } else {
            self.expand(at);
        }
    }

    /// Does so where the nodes begin that are to be compressed, since there are more nodes or fewer now.
    #[inline]
    fn settle_ends(&mut self, limits: Limits) {
        let depth = limits.compress_depth;
        if depth == 0 && self.compressed == 0 {
            return;
        }
        self.settle_both_ends(depth);
    }

    #[cold]
    fn settle_both_ends(&mut self, depth: usize) {
        let len = self.nodes.len();
        self.settle(depth, depth);
        if let Some(at) = len.checked_sub(depth + 1) {
            self.settle(at, depth);
        }
        // What has come near an end does not stay compressed.
        let is_compressed = |node: Option<&Node>| matches!(node, Some(Node::Compressed(_)));
        for at in (0..depth.min(len)).rev() {
            if !is_compressed(self.nodes.get(at)) {
                break;
            }
            self.expand(at);
        }
        for at in len.saturating_sub(depth)..len {
            if !is_compressed(self.nodes.get(at)) {
                break;
            }
            self.expand(at);
        }
    }

    /// Does so with all nodes that a change of this one may have changed, and at the ends.
    fn settle_around(&mut self, at: usize, limits: Limits) {
        // A node is split in three at most, and joined with the next but one.
        const REACH: usize = 3;
        let depth = limits.compress_depth;
        if depth == 0 && self.compressed == 0 {
            return;
        }
        for at in at.saturating_sub(REACH)..=at + REACH {
            self.settle(at, depth);
        }
        self.settle_both_ends(depth);
    }

    // ---- The rules of a quicklist

    #[inline]
    fn is_large(&self, len: usize, limits: Limits) -> bool {
        match limits.packed_threshold {
            0 => len > Limits::node_bytes(self.fill),
            threshold => len >= threshold.min(MAX_NODE),
        }
    }

    /// Whether the node at `at`, if there is one, takes one more element of this length.
    #[inline]
    fn allows(&self, at: usize, len: usize, limits: Limits) -> bool {
        let Some(node) = self.nodes.get(at) else {
            return false;
        };
        node.listpack_bytes().is_some_and(|bytes| {
            !self.is_large(len, limits)
                && !Limits::exceeded(self.fill, bytes + len + ENTRY_ESTIMATE, node.count() + 1)
        })
    }

    /// Joins the nodes at `at` and behind it if there are such and they may be joined.
    fn merge(&mut self, at: usize) -> bool {
        let (Some(a), Some(b)) = (self.nodes.get(at), self.nodes.get(at + 1)) else {
            return false;
        };
        let (Some(first), Some(second)) = (a.listpack_bytes(), b.listpack_bytes()) else {
            return false;
        };
        let bytes = first + second - LISTPACK_FRAME;
        if Limits::exceeded(self.fill, bytes, a.count() + b.count()) {
            return false;
        }
        if let Node::Packed(b) = self.take(at + 1) {
            self.change(at, |a, likely_max| a.append(&b, likely_max));
        }
        true
    }

    /// Joins what may be joined around a node: first its neighbours with theirs, then it with them.
    fn merge_around(&mut self, mut at: usize) {
        if at >= 2 && self.merge(at - 2) {
            at -= 1;
        }
        self.merge(at + 1);
        if at >= 1 && self.merge(at - 1) {
            at -= 1;
        }
        self.merge(at);
    }

    // ---- Elements

    /// Adds an element at an end.
    #[inline]
    pub(super) fn push(&mut self, end: End, value: Item<'_>, limits: Limits) {
        let len = value.text_len();
        let at = if end == End::Front {
            0
        } else {
            self.nodes.len().saturating_sub(1)
        };
        if self.allows(at, len, limits) {
            self.change(at, |run, likely_max| run.push(end, value, likely_max));
        } else {
            self.push_node(end, value, len, limits);
        }
    }

    /// Adds an element as a new node.
    fn push_node(&mut self, end: End, value: Item<'_>, len: usize, limits: Limits) {
        // The node that was the end will not grow soon.
        let last = if end == End::Front {
            self.nodes.front_mut()
        } else {
            self.nodes.back_mut()
        };
        if let Some(node) = last {
            self.heap -= node.heap();
            node.seal();
            self.heap += node.heap();
        }
        let node = if self.is_large(len, limits) {
            Node::plain(value)
        } else {
            // An eighth of what the list takes already, so that a list of little more than one node is not mostly room.
            let room = (self.heap / 8).min(self.likely_max());
            Node::Packed(Packed::new(value, end, room))
        };
        let at = if end == End::Front {
            0
        } else {
            self.nodes.len()
        };
        self.put(at, node);
        self.settle_ends(limits);
    }

    /// Removes the element at an end after `f` has seen it.
    #[inline]
    pub(super) fn pop<R>(
        &mut self,
        end: End,
        limits: Limits,
        f: impl FnOnce(Item<'_>) -> R,
    ) -> Option<R> {
        let at = if end == End::Front {
            0
        } else {
            self.nodes.len().checked_sub(1)?
        };
        if self.nodes.get(at)?.count() > 1 {
            return Some(self.change(at, |run, _| run.pop(end, f)));
        }
        let node = self.take(at);
        self.settle_ends(limits);
        Some(match node {
            Node::Packed(mut run) => run.pop(end, f),
            Node::Plain(blob) => f(Item::Blob(&blob)),
            Node::Compressed(_) => unreachable!("expanded when it was taken"),
        })
    }

    /// Removes `n` elements from this index on, which must be there.
    pub(super) fn remove(&mut self, index: usize, n: usize, limits: Limits) {
        if n == 0 {
            return;
        }
        let (mut at, skip) = self.locate(index);
        let mut left = n;
        if skip > 0 {
            let part = left.min(self.nodes[at].count() - skip);
            self.change(at, |run, _| run.remove(skip..skip + part));
            left -= part;
            at += 1;
        }
        let mut whole = at;
        while whole < self.nodes.len() && left >= self.nodes[whole].count() && left > 0 {
            left -= self.nodes[whole].count();
            self.count -= self.nodes[whole].count();
            self.heap -= self.nodes[whole].heap();
            self.compressed -= usize::from(matches!(self.nodes[whole], Node::Compressed(_)));
            whole += 1;
        }
        let gone = self.nodes.drain(at..whole);
        match &mut self.was {
            Some(was) => was.take(at, gone),
            None => drop(gone),
        }
        if left > 0 {
            self.change(at, |run, _| run.remove(0..left));
        }
        if self.nodes.capacity() > 16 && self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
        self.settle_around(at, limits);
    }

    /// Inserts an element before or behind the one of `index` in the node at `at`.
    pub(super) fn insert(
        &mut self,
        at: usize,
        index: usize,
        behind: bool,
        value: Item<'_>,
        limits: Limits,
    ) {
        self.insert_only(at, index, behind, value, limits);
        self.settle_around(at, limits);
    }

    fn insert_only(
        &mut self,
        at: usize,
        index: usize,
        behind: bool,
        value: Item<'_>,
        limits: Limits,
    ) {
        let len = value.text_len();
        let place = index + usize::from(behind);
        let is_edge = place == if behind { self.nodes[at].count() } else { 0 };
        // Where a new node goes, and which of the neighbours is beside the place.
        let beside = if behind { at + 1 } else { at };
        let neighbour = if behind {
            Some(at + 1)
        } else {
            at.checked_sub(1)
        };
        if self.is_large(len, limits) {
            if is_edge || self.nodes[at].is_plain() {
                self.put(beside, Node::plain(value));
            } else {
                self.split(at, place);
                self.put(at + 1, Node::plain(value));
            }
        } else if self.allows(at, len, limits) {
            self.change(at, |run, likely_max| {
                run.insert(run.offset(place), value, likely_max)
            });
        } else if is_edge {
            match neighbour.filter(|next| self.allows(*next, len, limits)) {
                Some(next) => {
                    let end = if behind { End::Front } else { End::Back };
                    self.change(next, |run, likely_max| run.push(end, value, likely_max));
                }
                None => self.put(beside, Node::Packed(Packed::new(value, End::Back, 0))),
            }
        } else {
            // The half without the neighbour is the one that gets the element.
            self.split(at, place);
            let (half, end) = if behind {
                (at + 1, End::Front)
            } else {
                (at, End::Back)
            };
            match &self.nodes[half] {
                Node::Packed(run) if run.bytes().len() + len < MAX_NODE => {
                    self.change(half, |run, likely_max| run.push(end, value, likely_max));
                    self.merge_around(if behind { at } else { at + 1 });
                }
                _ => self.put(at + 1, Node::Packed(Packed::new(value, End::Back, 0))),
            }
        }
    }

    /// Splits a packed node in two before the element of this index.
    fn split(&mut self, at: usize, index: usize) {
        let tail = self.change(at, |run, _| run.split_off(index));
        self.put(at + 1, Node::Packed(tail));
    }

    /// Replaces the element of this index, which must be there.
    pub(super) fn replace(&mut self, index: usize, value: Item<'_>, limits: Limits) {
        let (at, index) = self.locate(index);
        self.expand(at);
        self.replace_at(at, index, value, limits);
        self.settle_around(at, limits);
    }

    /// Replaces an element of a node that is not compressed.
    fn replace_at(&mut self, at: usize, index: usize, value: Item<'_>, limits: Limits) {
        let len = value.text_len();
        let large = self.is_large(len, limits);
        match &self.nodes[at] {
            Node::Packed(run)
                if !large && run.bytes().len() + Encoded::of(value).len() <= MAX_NODE =>
            {
                self.change(at, |run, likely_max| run.replace(index, value, likely_max));
            }
            Node::Plain(_) if large => {
                self.take(at);
                self.put(at, Node::plain(value));
            }
            Node::Plain(_) => {
                self.insert_only(at, 0, true, value, limits);
                self.take(at);
            }
            Node::Compressed(_) => unreachable!("expanded before"),
            Node::Packed(run) => {
                if index + 1 < run.count() {
                    self.split(at, index + 1);
                }
                let node = if large {
                    Node::plain(value)
                } else {
                    Node::Packed(Packed::new(value, End::Back, 0))
                };
                self.put(at + 1, node);
                // The element that was replaced is the last of its node.
                if index == 0 {
                    self.take(at);
                } else {
                    self.change(at, |run, _| run.remove(index..index + 1));
                    self.merge_around(at + 1);
                }
            }
        }
    }

    /// Removes up to `most` elements with this body and text, from an end on; returns how many.
    pub(super) fn remove_equal(
        &mut self,
        body: &[u8],
        text: &[u8],
        (end, most): (End, usize),
        limits: Limits,
    ) -> usize {
        let mut scratch = Vec::new();
        let mut removed = 0;
        let mut emptied = false;
        for step in 0..self.nodes.len() {
            let at = if end == End::Front {
                step
            } else {
                self.nodes.len() - 1 - step
            };
            if let Node::Compressed(node) = &self.nodes[at] {
                let run = node.read(&mut scratch);
                let found = match node.is_plain() {
                    true => run == text,
                    false => {
                        let mut span = Span::of(run);
                        std::iter::from_fn(|| span.next(End::Front))
                            .any(|entry| is_body(&run[entry], body))
                    }
                };
                if !found {
                    continue;
                }
                if let Some(was) = &mut self.was {
                    was.change(at, &self.nodes[at]);
                }
                self.expand(at);
            }
            let here = match &self.nodes[at] {
                Node::Packed(run) => {
                    let found = run.find_all(body, end, most - removed);
                    if !found.is_empty() {
                        self.change(at, |run, _| run.remove_all(&found));
                    }
                    found.len()
                }
                Node::Plain(blob) if blob[..] == *text => {
                    if let Some(was) = &mut self.was {
                        was.change(at, &self.nodes[at]);
                    }
                    self.count -= 1;
                    self.heap -= self.nodes[at].heap();
                    self.nodes[at] = Node::Packed(Packed::default());
                    1
                }
                Node::Plain(_) | Node::Compressed(_) => 0,
            };
            if self.nodes[at].count() > 0 {
                self.settle(at, limits.compress_depth);
            }
            removed += here;
            emptied |= self.nodes[at].count() == 0;
            if removed == most {
                break;
            }
        }
        if emptied {
            let mut heap = 0;
            if let Some(was) = &mut self.was {
                was.retain(|at| self.nodes[at].count() > 0);
            }
            self.nodes.retain(|node| {
                let keep = node.count() > 0;
                heap += if keep { 0 } else { node.heap() };
                keep
            });
            self.heap -= heap;
            self.nodes.shrink_to(self.nodes.len() * 2);
            self.settle_ends(limits);
        }
        removed
    }

    /// The first element with this body and text, as the place of its node and its index there.
    pub(super) fn find(&self, body: &[u8], text: &[u8]) -> Option<(usize, usize)> {
        let mut scratch = Vec::new();
        self.nodes.iter().enumerate().find_map(|(at, node)| {
            let run = match node {
                Node::Packed(run) => run.bytes(),
                Node::Plain(blob) => blob,
                Node::Compressed(node) => node.read(&mut scratch),
            };
            if node.is_plain() {
                return (run == text).then_some((at, 0));
            }
            let mut span = Span::of(run);
            let mut entries = std::iter::from_fn(|| span.next(End::Front));
            let index = entries.position(|entry| is_body(&run[entry], body));
            index.map(|index| (at, index))
        })
    }

    /// Checks the counts against what is there; for tests.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(
            self.count,
            self.nodes.iter().map(Node::count).sum::<usize>()
        );
        assert_eq!(self.heap, self.nodes.iter().map(Node::heap).sum::<usize>());
        let is_compressed = |node: &&Node| matches!(node, Node::Compressed(_));
        assert_eq!(
            self.compressed,
            self.nodes.iter().filter(is_compressed).count()
        );
        for node in &self.nodes {
            assert!(node.count() > 0, "an empty node");
            if let Node::Packed(run) = node {
                let mut span = Span::of(run.bytes());
                assert_eq!(
                    std::iter::from_fn(|| span.next(End::Front)).count(),
                    run.count()
                );
            }
        }
    }
}
