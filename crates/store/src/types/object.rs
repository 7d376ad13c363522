//! Collections as values: what every type has in common.
//!
//! A small collection is a packed byte string (see [`crate::types::packed`]) that lives inside its entry, like a short string
//! does: no allocation of its own, nothing to follow. When it is to be changed it is copied out, changed as a `Vec`,
//! and copied back; for a few hundred bytes that is cheaper than another allocation for each key. A collection that has
//! outgrown this is an [`Object`] behind one pointer.
//!
//! Each type hides which of the two it is behind [`Collection`]: readers get its `Ref`, writers a `&mut` of its own.

use crate::types::hash::Hash;
use crate::types::kind::Type;
use crate::types::list::{Chunk, List};
use crate::types::set::Set;
use crate::types::sorted_set::{Move, SortedSet};
use crate::types::stream::{Entry, Stream};
use crate::types::watch::{Element, Watched, Watcher};

/// Longest packed collection kept inside its entry, in bytes. Longer ones are objects, though still packed.
pub const MAX_INLINE_PACKED: usize = 4096;

/// A collection of its own, outside of its entry.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Object {
    List(List),
    Set(Set),
    SortedSet(SortedSet),
    Hash(Hash),
    Stream(Stream),
}

// Readers without locks look at one from several threads at a time.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Object>();
};

impl Object {
    /// The type of the value.
    pub fn kind(&self) -> Type {
        match self {
            Object::List(_) => Type::List,
            Object::Set(_) => Type::Set,
            Object::SortedSet(_) => Type::SortedSet,
            Object::Hash(_) => Type::Hash,
            Object::Stream(_) => Type::Stream,
        }
    }

    /// Bytes it owns, its own size included. Takes constant time.
    pub fn memory(&self) -> usize {
        size_of::<Object>()
            + match self {
                Object::List(c) => c.memory(),
                Object::Set(c) => c.memory(),
                Object::SortedSet(c) => c.memory(),
                Object::Hash(c) => c.memory(),
                Object::Stream(c) => c.memory(),
            }
    }

    /// Number of elements, which tells how long freeing it may take.
    pub fn len(&self) -> usize {
        match self {
            Object::List(c) => c.len(),
            Object::Set(c) => c.len(),
            Object::SortedSet(c) => c.len(),
            Object::Hash(c) => c.len(),
            Object::Stream(c) => c.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an element of a large collection is known by to [`Object::fetch_homes`] and, once what that fetches is there,
    /// [`Object::fetch_items`]. `None` where there is nothing to gain.
    ///
    /// All of a stretch's elements take each step together: a processor waits for the translation of an address even if nothing but a
    /// hint asks for it, and it translates several at a time only where the hints stand close to each other.
    #[inline]
    pub fn hash_of(&self, element: &[u8]) -> Option<u64> {
        match self {
            Object::Hash(h) => h.hash_of(element),
            Object::Set(s) => s.hash_of(element),
            Object::SortedSet(s) => s.hash_of(element),
            _ => None,
        }
    }

    /// Begins to fetch what lookups of elements need first: see [`Object::hash_of`].
    #[inline]
    pub fn fetch_homes(&self, hashes: &[u64]) {
        match self {
            Object::Hash(h) => h.fetch_homes(hashes),
            Object::Set(s) => s.fetch_homes(hashes),
            Object::SortedSet(s) => s.fetch_homes(hashes),
            _ => {}
        }
    }

    /// Begins to fetch the elements: see [`Object::hash_of`].
    #[inline]
    pub fn fetch_items(&self, hashes: &[u64]) {
        match self {
            Object::Hash(h) => h.fetch_items(hashes),
            Object::Set(s) => s.fetch_items(hashes),
            Object::SortedSet(s) => s.fetch_items(hashes),
            _ => {}
        }
    }

    /// For a sorted set some of whose members' scores are about to be changed, after [`Object::fetch_items`]: fetches
    /// the old and the new places in the order.
    #[inline]
    pub fn fetch_places(&self, moves: &[Move<'_>]) {
        if let Object::SortedSet(s) = self {
            s.fetch_places(moves);
        }
    }

    /// Whether it is in a form that can be watched: see [`crate::types::watch`].
    pub fn is_watchable(&self) -> bool {
        match self {
            Object::SortedSet(c) => c.own().is_some(),
            Object::Set(c) => c.members().is_some(),
            Object::Hash(c) => c.members().is_some(),
            Object::List(c) => c.nodes().is_some(),
            Object::Stream(_) => true,
        }
    }

    /// The number of who watches it.
    pub fn watcher(&self) -> Option<u64> {
        match self {
            Object::SortedSet(c) => c.own()?.watched.id(),
            Object::Set(c) => c.members()?.watched.id(),
            Object::Hash(c) => c.members()?.watched.id(),
            Object::List(c) => c.nodes()?.watcher(),
            Object::Stream(c) => c.watcher(),
        }
    }

    /// Has it watched from now on; who did so before is told no more. Nothing happens if its form cannot be watched.
    pub fn watch(&mut self, watcher: Box<dyn Watcher>) {
        match self {
            Object::List(c) => {
                if let Some(nodes) = c.nodes_mut() {
                    nodes.watch(watcher);
                }
            }
            Object::Stream(c) => c.watch(watcher),
            _ => {
                if let Some(watched) = self.watched_mut() {
                    watched.set(Some(watcher));
                }
            }
        }
    }

    /// Ends the watching.
    pub fn unwatch(&mut self) -> Option<Box<dyn Watcher>> {
        match self {
            Object::List(c) => c.nodes_mut()?.unwatch(),
            Object::Stream(c) => c.unwatch(),
            _ => self.watched_mut()?.set(None),
        }
    }

    fn watched_mut(&mut self) -> Option<&mut Watched> {
        match self {
            Object::SortedSet(c) => c.own_mut().map(|large| &mut large.watched),
            Object::Set(c) => c.members_mut().map(|members| &mut members.watched),
            Object::Hash(c) => c.members_mut().map(|members| &mut members.watched),
            Object::List(c) => c.nodes_mut()?.watched_mut(),
            Object::Stream(c) => c.watched_mut(),
        }
    }

    /// Tells who watches it that it stands in another place from now on.
    #[cold]
    pub(crate) fn tell_moved(&mut self, db: usize, hash: u64, key: &[u8]) {
        if let Some(watcher) = self.watched_mut().and_then(Watched::get) {
            watcher.moved(db, hash, key);
        }
    }

    /// Of a watched list: visits some `bytes` of the nodes that it had when the watching began, in order, going on behind those
    /// visited before. Returns whether those were the last, and how many bytes of what it was are no longer kept.
    pub fn stretch_nodes(
        &mut self,
        bytes: usize,
        visit: &mut dyn FnMut(Chunk<'_>),
    ) -> (bool, usize) {
        match self {
            Object::List(c) => c.nodes_mut().map_or((true, 0), |n| n.stretch(bytes, visit)),
            _ => (true, 0),
        }
    }

    /// The same of a stream: its entries, node by node.
    pub fn stretch_entries(
        &mut self,
        bytes: usize,
        visit: &mut dyn FnMut(&mut dyn Iterator<Item = Entry<'_>>),
    ) -> (bool, usize) {
        match self {
            Object::Stream(c) => c.stretch(bytes, visit),
            _ => (true, 0),
        }
    }

    /// Visits about `want` elements of a large set or hash at a position of its table and after it; returns the position to go
    /// on from, or `None` after the last. An element that stays where it is is met once by a walk through all positions, whatever
    /// comes and goes beside it.
    pub fn stretch(
        &self,
        position: u64,
        want: usize,
        visit: &mut dyn FnMut(Element<'_>),
    ) -> Option<u64> {
        match self {
            Object::Set(c) => c.members()?.stretch(position, want, visit),
            Object::Hash(c) => c.members()?.stretch(position, want, visit),
            _ => None,
        }
    }

    /// Visits up to `want` members of a large sorted set below a place in the order (`None`: all are below), from the highest
    /// down.
    pub fn stretch_down(
        &self,
        below: Option<(f64, &[u8])>,
        want: usize,
        visit: &mut dyn FnMut(Element<'_>),
    ) {
        if let Object::SortedSet(c) = self
            && let Some(large) = c.own()
        {
            large.stretch(below, want, visit);
        }
    }

    /// When the first of its elements expires, in Unix milliseconds. Takes constant time; may be too early, never too
    /// late.
    pub fn next_due_ms(&self) -> Option<u64> {
        match self {
            Object::Hash(h) => h.next_due_ms(),
            Object::Set(s) => s.next_due_ms(),
            _ => None,
        }
    }

    /// Removes elements that have expired, of a large collection `most` at most, and calls `gone` with each; returns how many.
    pub fn expire_elements(
        &mut self,
        now_ms: u64,
        most: usize,
        gone: &mut dyn FnMut(&[u8]),
    ) -> usize {
        match self {
            Object::Hash(h) => h.expire_fields(now_ms, most, gone),
            Object::Set(s) => s.expire_members(now_ms, most, gone),
            _ => 0,
        }
    }
}

/// What the types have in common. See the module's page.
pub trait Collection: Sized {
    /// Its type.
    const KIND: Type;
    /// A view of it, wherever it is.
    type Ref<'a>
    where
        Self: 'a;
    /// An empty one.
    fn new() -> Self;
    /// A view.
    fn view(&self) -> Self::Ref<'_>;
    /// A view of a packed one.
    fn view_packed(bytes: &[u8]) -> Self::Ref<'_>;
    /// A packed one from its bytes.
    fn from_packed(bytes: Vec<u8>) -> Self;
    /// Its bytes, if it is packed and may stay so inside its entry.
    fn packed(&self) -> Option<&[u8]>;
    /// Gives back the vector of a packed one, to be used again.
    fn into_scratch(self) -> Option<Vec<u8>>;
    /// The name of its encoding, as OBJECT ENCODING prints it.
    fn encoding(view: Self::Ref<'_>) -> &'static str;
    /// Number of elements.
    fn len(&self) -> usize;
    /// Whether there is no element.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes it owns beyond itself. Takes constant time.
    fn memory(&self) -> usize;
    /// As an object.
    fn into_object(self) -> Object;
    /// Out of an object.
    fn of(object: &Object) -> Option<&Self>;
    /// Out of an object.
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
}

/// A value taken out of its entry, to be dropped when the locks are gone.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Freed {
    Blob(crate::types::kind::Blob),
    Object(Box<Object>),
}

impl Freed {
    /// About how many bytes dropping it has to go through.
    pub fn weight(&self) -> usize {
        match self {
            // A blob is one block; giving a large one back to the system takes time by its pages.
            Freed::Blob(b) => b.capacity(),
            Freed::Object(o) => o.memory(),
        }
    }
}
