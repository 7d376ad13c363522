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
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::sorted_set::{Move, SortedSet};
use crate::types::stream::Stream;

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

    /// Begins to fetch what a lookup of an element of a large collection needs first; [`Object::fetch_item`] with the
    /// result goes on once that is there. `None` where there is nothing to gain.
    #[inline]
    pub fn fetch(&self, element: &[u8]) -> Option<u64> {
        match self {
            Object::Hash(h) => h.fetch(element),
            Object::Set(s) => s.fetch(element),
            Object::SortedSet(s) => s.fetch_member(element),
            _ => None,
        }
    }

    /// See [`Object::fetch`].
    #[inline]
    pub fn fetch_item(&self, hash: u64) {
        match self {
            Object::Hash(h) => h.fetch_item(hash),
            Object::Set(s) => s.fetch_item(hash),
            Object::SortedSet(s) => s.fetch_item(hash),
            _ => {}
        }
    }

    /// For a sorted set some of whose members' scores are about to be changed, after [`Object::fetch_item`]: fetches
    /// the old and the new places in the order.
    #[inline]
    pub fn fetch_places(&self, moves: &[Move<'_>]) {
        if let Object::SortedSet(s) = self {
            s.fetch_places(moves);
        }
    }

    /// When the first of its elements expires, in Unix milliseconds. Takes constant time; may be too early, never too
    /// late.
    pub fn next_due_ms(&self) -> Option<u64> {
        match self {
            Object::Hash(h) => h.next_due_ms(),
            _ => None,
        }
    }

    /// Removes the elements that have expired, and calls `gone` with each; returns how many.
    pub fn expire_elements(&mut self, now_ms: u64, gone: &mut dyn FnMut(&[u8])) -> usize {
        match self {
            Object::Hash(h) => h.expire_fields(now_ms, gone),
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
