//! The stream type: a log of entries, each a few fields with values, under IDs that only go up.
//!
//! Entries stand in packed nodes of some hundred ([`node`]), which are found by their first ID in an ordered map.
//! Adding touches the last node, trimming drops nodes from the front, a range begins with one lookup. Beside the
//! entries a stream has consumer groups ([`group`]) and a few numbers that outlive its entries, so an empty stream
//! is a value like any other and never goes away by itself.

pub mod group;
pub mod id;
pub mod idempotency;
pub mod node;
mod was;

pub use group::{Consumer, ConsumerNo, Group, NOBODY, Pending};
pub use id::StreamId;
pub use idempotency::Idempotency;
pub use node::{Entry, Limits, Pairs};

use crate::types::kind::Type;
use crate::types::number::length32;
use crate::types::object::{Collection, Object};
use crate::types::watch::{Watched, Watcher};
use node::{Entries, Node};
use std::collections::btree_map::{self, BTreeMap};
use was::Was;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream(Box<Body>);

#[derive(Clone, Debug, Default)]
struct Body {
    /// By first ID.
    nodes: BTreeMap<StreamId, Node>,
    /// Bytes the nodes own.
    node_bytes: usize,
    length: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
    /// Bytes the groups own.
    group_bytes: usize,
    /// What producers have sent that name their messages; `None`: nothing, and nothing else is said of how long to remember it.
    idempotency: Option<Box<Idempotency>>,
    /// What it was, while it is watched.
    was: Before,
}

/// What a stream was; a copy is not watched.
#[derive(Debug, Default)]
struct Before(Option<Box<Was>>);

impl Clone for Before {
    fn clone(&self) -> Before {
        Before(None)
    }
}

/// See [`crate::types::watch`].
impl Drop for Body {
    fn drop(&mut self) {
        if let Some(was) = &mut self.was.0
            && let Some(watcher) = was.by.set(None)
        {
            watcher.take(Object::Stream(Stream(Box::new(std::mem::take(self)))));
        }
    }
}

/// What stands behind a stream's entries in a file: its numbers, and its groups with their names.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// Number of entries.
    pub len: u64,
    /// See [`StreamRef::first_id`].
    pub first_id: StreamId,
    /// See [`StreamRef::last_id`].
    pub last_id: StreamId,
    /// See [`StreamRef::max_deleted_id`].
    pub max_deleted_id: StreamId,
    /// See [`StreamRef::entries_added`].
    pub entries_added: u64,
    /// In no order.
    pub groups: Vec<(&'a [u8], &'a Group)>,
    /// See [`StreamRef::idempotency`].
    pub idempotency: Option<&'a Idempotency>,
}

/// What views of packed streams see: there are none.
static EMPTY: Body = Body {
    nodes: BTreeMap::new(),
    node_bytes: 0,
    length: 0,
    first_id: StreamId::MIN,
    last_id: StreamId::MIN,
    max_deleted_id: StreamId::MIN,
    entries_added: 0,
    groups: BTreeMap::new(),
    group_bytes: 0,
    idempotency: None,
    was: Before(None),
};

/// Bytes of a node beside those it owns, in a map that is some two thirds full.
const NODE_BYTES: usize = 3 * (size_of::<StreamId>() + size_of::<Node>()) / 2;
/// The same for a group.
const GROUP_BYTES: usize = 3 * (size_of::<Box<[u8]>>() + size_of::<Group>()) / 2;

/// What happens to an entry that consumer groups still refer to when it is to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refs {
    /// It is deleted, and the groups go on listing it as pending.
    #[default]
    Keep,
    /// It is deleted, in the groups as well.
    Delete,
    /// It is deleted only if all groups have read and acknowledged it.
    Acknowledged,
}

/// Which entries to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All but the last so many.
    Last(u64),
    /// Those below this ID.
    From(StreamId),
}

/// How to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What stays.
    pub keep: Keep,
    /// Only whole nodes go, so that a few more entries stay.
    pub approximate: bool,
    /// Most entries to look at; 0 for all.
    pub limit: u64,
    /// What happens to entries that groups refer to.
    pub refs: Refs,
}

/// Being watched: see [`crate::types::watch`].
impl Stream {
    /// Who watches it.
    pub(super) fn watcher(&self) -> Option<u64> {
        self.0.was.0.as_ref()?.by.id()
    }

    /// Has it watched from now on.
    pub(super) fn watch(&mut self, watcher: Box<dyn Watcher>) {
        let mut by = Watched::NO;
        by.set(Some(watcher));
        let was = Was::of(self.body(), by);
        // Who watched it before does not get it.
        if let Some(before) = &mut self.0.was.0 {
            before.by.set(None);
        }
        self.0.was.0 = Some(Box::new(was));
    }

    /// Ends the watching.
    pub(super) fn unwatch(&mut self) -> Option<Box<dyn Watcher>> {
        self.0.was.0.take()?.by.set(None)
    }

    pub(super) fn watched_mut(&mut self) -> Option<&mut Watched> {
        Some(&mut self.0.was.0.as_mut()?.by)
    }

    /// See [`Object::stretch_entries`].
    pub(super) fn stretch(
        &mut self,
        bytes: usize,
        visit: &mut dyn FnMut(&mut dyn Iterator<Item = Entry<'_>>),
    ) -> (bool, usize) {
        let Body { nodes, was, .. } = &mut *self.0;
        match &mut was.0 {
            Some(was) => was.stretch(nodes, bytes, visit),
            None => (true, 0),
        }
    }

    /// What stood behind the entries when the watching began.
    pub fn ending(&self) -> Option<Ending<'_>> {
        Some(self.0.was.0.as_ref()?.ending(&self.0))
    }
}

impl Stream {
    /// A view.
    fn body(&self) -> StreamRef<'_> {
        StreamRef { body: &self.0 }
    }

    /// The ID that the next entry gets on its own: the time, or one more than the last ID. `None` after the last
    /// possible ID.
    pub fn next_id(&self, now_ms: u64) -> Option<StreamId> {
        if now_ms > self.0.last_id.ms {
            Some(StreamId::new(now_ms, 0))
        } else {
            self.0.last_id.next()
        }
    }

    /// Adds an entry, names and values by turns, under an ID higher than the last one.
    pub fn append(&mut self, id: StreamId, pairs: &[&[u8]], limits: Limits) {
        let body = &mut *self.0;
        debug_assert!(id > body.last_id, "IDs only go up");
        let text_len = pairs.iter().map(|t| t.len()).sum();
        let mut before = 0;
        let fits = body.nodes.last_entry().is_some_and(|mut last| {
            before = last.get().memory();
            let full = last.get().is_full(text_len, limits);
            if full {
                last.get_mut().seal();
            } else {
                if let Some(was) = &mut body.was.0 {
                    was.grow(*last.key(), last.get().end());
                }
                last.get_mut().push(id, pairs);
            }
            body.node_bytes = body.node_bytes + last.get().memory() - before;
            !full
        });
        if !fits {
            let mut node = Node::new(id, pairs);
            node.push(id, pairs);
            body.node_bytes += NODE_BYTES + node.memory();
            body.nodes.insert(id, node);
            if let Some(was) = &mut body.was.0 {
                was.put(id);
            }
        }
        if body.length == 0 {
            body.first_id = id;
        }
        body.length += 1;
        body.entries_added = body.entries_added.saturating_add(1);
        body.last_id = id;
    }

    /// Deletes an entry whatever refers to it; whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let body = &mut *self.0;
        let Some((&first, node)) = body.nodes.range_mut(..=id).next_back() else {
            return false;
        };
        let Some(at) = node.find(id) else {
            return false;
        };
        if let Some(was) = &mut body.was.0 {
            was.delete(first, at);
        }
        node.delete_at(at);
        if node.live == 0 {
            body.remove_node(first);
        }
        body.length -= 1;
        body.max_deleted_id = body.max_deleted_id.max(id);
        if id == body.first_id {
            body.find_first();
        }
        true
    }

    /// Deletes an entry as `refs` says; whether it is gone. `None`: there is no such entry.
    pub fn delete_with(&mut self, id: StreamId, refs: Refs) -> Option<bool> {
        // A group refers to what it has yet to read, whether or not there is such an entry.
        if refs == Refs::Acknowledged && self.body().is_referenced(id) {
            return Some(false);
        }
        if !self.body().contains(id) {
            return None;
        }
        if refs == Refs::Delete {
            self.drop_references(id);
        }
        Some(self.delete(id))
    }

    /// Makes an entry pending in no group, whether or not the stream has it; whether it was in one.
    pub fn drop_references(&mut self, id: StreamId) -> bool {
        let body = &mut *self.0;
        let mut dropped = false;
        for (name, group) in &mut body.groups {
            let before = group.memory();
            if let Some(was) = &mut body.was.0
                && group.pending(id).is_some()
            {
                was.keep_group(name, group);
            }
            dropped |= group.acknowledge(id);
            body.group_bytes = body.group_bytes + group.memory() - before;
        }
        dropped
    }

    /// Deletes the oldest entries; returns how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut deleted = 0u64;
        let mut looked_at = 0u64;
        let mut from = StreamId::MIN;
        loop {
            let body = &mut *self.0;
            if matches!(trim.keep, Keep::Last(n) if body.length <= n) {
                break;
            }
            let Some((&first, node)) = body.nodes.range(from..).next() else {
                break;
            };
            let live = u64::from(node.live);
            if trim.limit != 0 && looked_at + live > trim.limit {
                break;
            }
            let whole = match trim.keep {
                Keep::Last(n) => body.length - live >= n,
                Keep::From(id) => node.last_raw() < id,
            };
            if whole && trim.refs == Refs::Keep {
                body.remove_node(first);
                body.length -= live;
                deleted += live;
                looked_at += live;
                continue;
            }
            // Where references matter entries go one by one, which real servers never do approximately.
            if trim.approximate {
                break;
            }
            let (gone, stopped) = self.trim_node(first, trim);
            deleted += gone;
            looked_at += live;
            let Some(next) = first.next().filter(|_| !stopped) else {
                break;
            };
            from = next;
        }
        if deleted > 0 {
            self.0.find_first();
        }
        deleted
    }

    /// Deletes entries of one node from the front as far as `trim` wants. Returns how many, and whether the first
    /// entry to stay was met.
    fn trim_node(&mut self, first: StreamId, trim: Trim) -> (u64, bool) {
        let mut stopped = false;
        let mut chosen = Vec::new();
        let view = self.body();
        let length = view.body.length;
        if let Some(node) = view.body.nodes.get(&first) {
            for raw in node.entries().filter(|raw| !raw.deleted) {
                stopped = match trim.keep {
                    Keep::Last(n) => length - chosen.len() as u64 <= n,
                    Keep::From(id) => raw.id >= id,
                };
                if stopped {
                    break;
                }
                if trim.refs != Refs::Acknowledged || !view.is_referenced(raw.id) {
                    chosen.push((raw.at, raw.id));
                }
            }
        }
        if trim.refs == Refs::Delete {
            for (_, id) in &chosen {
                self.drop_references(*id);
            }
        }
        let body = &mut *self.0;
        if let Some(node) = body.nodes.get_mut(&first) {
            for (at, _) in &chosen {
                if let Some(was) = &mut body.was.0 {
                    was.delete(first, *at);
                }
                node.delete_at(*at);
            }
            if node.live == 0 {
                body.remove_node(first);
            }
        }
        body.length -= chosen.len() as u64;
        (chosen.len() as u64, stopped)
    }

    /// What producers have sent, to be changed.
    pub fn idempotency_mut(&mut self) -> &mut Idempotency {
        let body = &mut *self.0;
        if let Some(was) = &mut body.was.0 {
            was.keep_idempotency(body.idempotency.as_deref());
        }
        body.idempotency.get_or_insert_default()
    }

    /// Sets the last ID, and what else XSETID may set.
    pub fn set_last_id(
        &mut self,
        id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) {
        self.0.last_id = id;
        if let Some(n) = entries_added {
            self.0.entries_added = n;
        }
        if let Some(id) = max_deleted_id {
            self.0.max_deleted_id = id;
        }
    }

    /// Adds a group; whether the name was free.
    pub fn create_group(&mut self, name: &[u8], group: Group) -> bool {
        let body = &mut *self.0;
        if body.groups.contains_key(name) {
            return false;
        }
        body.group_bytes += GROUP_BYTES + name.len() + group.memory();
        body.groups.insert(name.into(), group);
        if let Some(was) = &mut body.was.0 {
            was.create_group(name);
        }
        true
    }

    /// Deletes a group; whether it was there.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.0.groups.remove(name) else {
            return false;
        };
        if let Some(was) = &mut self.0.was.0 {
            was.keep_group(name, &group);
        }
        self.0.group_bytes -= GROUP_BYTES + name.len() + group.memory();
        true
    }

    /// Changes a group while looking at the entries; `None` if there is no such group.
    pub fn edit_group<R>(
        &mut self,
        name: &[u8],
        f: impl FnOnce(StreamRef<'_>, &mut Group) -> R,
    ) -> Option<R> {
        let body = &mut *self.0;
        // Taken out for the time being, so that the entries can be looked at beside it.
        let group = body.groups.get_mut(name)?;
        if let Some(was) = &mut body.was.0 {
            was.keep_group(name, group);
        }
        let mut taken = std::mem::replace(group, Group::new(StreamId::MIN, None));
        let before = taken.memory();
        let r = f(StreamRef { body }, &mut taken);
        body.group_bytes = body.group_bytes + taken.memory() - before;
        if let Some(group) = body.groups.get_mut(name) {
            *group = taken;
        }
        Some(r)
    }
}

impl Body {
    fn remove_node(&mut self, first: StreamId) {
        if let Some(node) = self.nodes.remove(&first) {
            self.node_bytes -= NODE_BYTES + node.memory();
            if let Some(was) = &mut self.was.0 {
                was.remove(first, node);
            }
        }
    }

    /// Works out the first ID after entries at the front have gone.
    fn find_first(&mut self) {
        let first = StreamRef { body: self }.first();
        self.first_id = first.map_or(StreamId::MIN, |e| e.id);
    }
}

/// A view of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRef<'a> {
    body: &'a Body,
}

impl<'a> StreamRef<'a> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.body.length as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.body.length == 0
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.body.nodes.len()
    }

    /// ID of the first entry; 0-0 if there is none.
    pub fn first_id(&self) -> StreamId {
        self.body.first_id
    }

    /// The last ID given, whether or not its entry is still there.
    pub fn last_id(&self) -> StreamId {
        self.body.last_id
    }

    /// The highest ID that was deleted by name rather than trimmed.
    pub fn max_deleted_id(&self) -> StreamId {
        self.body.max_deleted_id
    }

    /// Number of entries ever added.
    pub fn entries_added(&self) -> u64 {
        self.body.entries_added
    }

    /// The first entry.
    pub fn first(&self) -> Option<Entry<'a>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<Entry<'a>> {
        self.range_back(StreamId::MIN, StreamId::MAX).next()
    }

    /// An entry.
    pub fn get(&self, id: StreamId) -> Option<Entry<'a>> {
        let (_, node) = self.body.nodes.range(..=id).next_back()?;
        let raw = node.entries_from(node.find(id)?).next()?;
        Some(raw.entry())
    }

    /// Whether there is an entry of this ID.
    pub fn contains(&self, id: StreamId) -> bool {
        let node = self.body.nodes.range(..=id).next_back();
        node.is_some_and(|(_, node)| node.find(id).is_some())
    }

    /// The nodes that may hold entries from `start` to `end`.
    fn nodes_of(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> Option<btree_map::Range<'a, StreamId, Node>> {
        if start > end {
            return None;
        }
        let before = self.body.nodes.range(..=start).next_back();
        let from = before.map_or(start, |(first, _)| *first);
        Some(self.body.nodes.range(from..=end))
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'a> {
        Range {
            nodes: self.nodes_of(start, end),
            entries: None,
            start,
            end,
        }
    }

    /// The same from the last to the first.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> RangeBack<'a> {
        RangeBack {
            nodes: self.nodes_of(start, end),
            node: None,
            offsets: Vec::new(),
            start,
            end,
        }
    }

    /// The first node at `start` or behind: where it begins, and its entries, one at least. Going on from just behind where
    /// a node begins visits each node once.
    pub fn node_from(&self, start: StreamId) -> Option<(StreamId, Range<'a>)> {
        let (&first, _) = self.body.nodes.range(start..).next()?;
        let entries = Range {
            nodes: Some(self.body.nodes.range(first..=first)),
            entries: None,
            start: StreamId::MIN,
            end: StreamId::MAX,
        };
        Some((first, entries))
    }

    /// What producers have sent that name their messages, if there is anything to say of it.
    pub fn idempotency(&self) -> Option<&'a Idempotency> {
        self.body.idempotency.as_deref()
    }

    /// What stands behind its entries in a file.
    pub fn ending(&self) -> Ending<'a> {
        Ending {
            len: self.body.length,
            first_id: self.body.first_id,
            last_id: self.body.last_id,
            max_deleted_id: self.body.max_deleted_id,
            entries_added: self.body.entries_added,
            groups: self.groups().collect(),
            idempotency: self.idempotency(),
        }
    }

    /// A group.
    pub fn group(&self, name: &[u8]) -> Option<&'a Group> {
        self.body.groups.get(name)
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a Group)> + use<'a> {
        self.body
            .groups
            .iter()
            .map(|(name, group)| (&**name, group))
    }

    /// Whether a group has this entry pending or has yet to read it.
    pub fn is_referenced(&self, id: StreamId) -> bool {
        let mut groups = self.body.groups.values();
        groups.any(|g| id > g.last_id || g.pending(id).is_some())
    }

    /// Whether entries between `start` and the end may have been deleted by name.
    pub fn has_gap_after(&self, start: StreamId) -> bool {
        let deleted = self.body.max_deleted_id;
        !self.is_empty() && !deleted.is_zero() && start <= deleted
    }

    /// How many entries there have ever been up to `id`, as far as that can be told: at the ends of a stream without
    /// gaps.
    pub fn entries_up_to(&self, id: StreamId) -> Option<i64> {
        let body = self.body;
        let (added, length) = (body.entries_added as i64, body.length as i64);
        if added == 0 {
            return Some(0);
        }
        if length == 0 && id <= body.last_id {
            return Some(added);
        }
        if !id.is_zero() && id < body.max_deleted_id {
            return None;
        }
        match id.cmp(&body.last_id) {
            std::cmp::Ordering::Equal => return Some(added),
            std::cmp::Ordering::Greater => return None,
            std::cmp::Ordering::Less => {}
        }
        if body.max_deleted_id.is_zero() || body.max_deleted_id < body.first_id {
            if id < body.first_id {
                return Some(added.wrapping_sub(length));
            }
            if id == body.first_id {
                return Some(added.wrapping_sub(length).wrapping_add(1));
            }
        }
        None
    }

    /// How many entries a group has yet to read, as far as that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let body = self.body;
        let added = body.entries_added as i64;
        if added == 0 || body.length == 0 {
            return Some(0);
        }
        if group.last_id < body.first_id && body.max_deleted_id < body.first_id {
            return Some(body.length as i64);
        }
        match group.entries_read {
            Some(read) if !self.has_gap_after(group.last_id) => Some(added.wrapping_sub(read)),
            _ => self
                .entries_up_to(group.last_id)
                .map(|read| added.wrapping_sub(read)),
        }
    }
}

/// See [`StreamRef::range`].
#[derive(Clone)]
pub struct Range<'a> {
    nodes: Option<btree_map::Range<'a, StreamId, Node>>,
    entries: Option<Entries<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(entries) = &mut self.entries else {
                let (_, node) = self.nodes.as_mut()?.next()?;
                self.entries = Some(node.entries());
                continue;
            };
            let (start, end) = (self.start, self.end);
            match entries.find(|raw| raw.id >= start && !raw.deleted) {
                Some(raw) if raw.id <= end => return Some(raw.entry()),
                Some(_) => {
                    self.nodes = None;
                    self.entries = None;
                }
                None => self.entries = None,
            }
        }
    }
}

/// See [`StreamRef::range_back`].
pub struct RangeBack<'a> {
    nodes: Option<btree_map::Range<'a, StreamId, Node>>,
    node: Option<&'a Node>,
    /// Where the entries of `node` start that are still to come: a node can only be walked forwards.
    offsets: Vec<u32>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let (Some(at), Some(node)) = (self.offsets.pop(), self.node) {
                return node.entries_from(at as usize).next().map(|r| r.entry());
            }
            let (_, node) = self.nodes.as_mut()?.next_back()?;
            self.node = Some(node);
            let (start, end) = (self.start, self.end);
            // Only those that live are in order: see `Node::find`.
            let live = node.entries().filter(|raw| !raw.deleted);
            let wanted = live.take_while(|raw| raw.id <= end);
            let wanted = wanted.filter(|raw| raw.id >= start);
            self.offsets.extend(wanted.map(|raw| length32(raw.at)));
        }
    }
}

impl Collection for Stream {
    const KIND: Type = Type::Stream;
    type Ref<'a> = StreamRef<'a>;

    fn new() -> Self {
        Stream::default()
    }
    fn view(&self) -> StreamRef<'_> {
        self.body()
    }
    // Streams are never packed inside their entries: what little there would be to save is lost on their numbers.
    fn view_packed(_: &[u8]) -> StreamRef<'_> {
        StreamRef { body: &EMPTY }
    }
    fn from_packed(_: Vec<u8>) -> Self {
        Stream::default()
    }
    fn packed(&self) -> Option<&[u8]> {
        None
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        None
    }
    fn encoding(_view: StreamRef<'_>) -> &'static str {
        "stream"
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        let names = self.0.idempotency.as_ref().map_or(0, |i| i.memory());
        size_of::<Body>() + self.0.node_bytes + self.0.group_bytes + names
    }
    fn into_object(self) -> Object {
        Object::Stream(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::Stream(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::Stream(c) => Some(c),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
