//! Large collections that are written down while they change.
//!
//! A snapshot cannot hold a collection of millions of elements still until it is written. So it *watches* it: from then on
//! the collection is written a stretch at a time, and whoever changes an element that is not written yet hands its old
//! state to the [`Watcher`] first. What a collection is made of decides how:
//!
//! * sets and hashes are written in the order of their table's positions, sorted sets from the highest element down. The watcher
//!   is told of each element that is about to change or to come, and knows by its place whether it was written already;
//! * lists and streams are written node by node, and keep the old state of nodes that change themselves
//!   ([`crate::types::list`], [`crate::types::stream`]).
//!
//! A watched collection that is no longer wanted is not freed but handed over ([`Watcher::take`]), wherever that happens: as a
//! part of dropping it. So deleting or replacing what is half written copies nothing and makes nobody wait. Copies are not
//! watched.

use crate::types::object::Object;
use std::fmt;

/// An element of a set, a sorted set or a hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element<'a> {
    /// Of a set.
    Member(&'a [u8]),
    /// Of a sorted set.
    Scored(&'a [u8], f64),
    /// Of a hash: name, value, and when it expires, in Unix milliseconds.
    Field(&'a [u8], &'a [u8], Option<u64>),
}

/// Told of what happens to a collection. Called under the lock that guards it, but for [`Watcher::take`]; must be quick and not
/// panic.
pub trait Watcher: Send + Sync {
    /// A number that tells it from all others.
    fn id(&self) -> u64;

    /// An element is about to be changed or removed. `position`: see [`crate::table::position_of`]; 0 in a sorted set.
    fn before_change(&mut self, position: u64, old: Element<'_>);

    /// An element is about to be added, or a member of a sorted set to come to another place in the order.
    fn before_insert(&mut self, position: u64, new: Element<'_>);

    /// A list or stream keeps so many bytes more of what it was.
    fn kept(&mut self, bytes: usize);

    /// The collection stands in another place from now on.
    fn moved(&mut self, db: usize, hash: u64, key: &[u8]);

    /// The collection is at its end where it was, and belongs to the watcher from now on. Called without any lock, or with
    /// some, by whoever drops it.
    fn take(self: Box<Self>, rest: Object);
}

/// Who watches a collection, if anybody: part of its large form.
#[derive(Default)]
pub(crate) struct Watched(Option<Box<dyn Watcher>>);

impl Watched {
    pub(crate) const NO: Watched = Watched(None);

    /// Who watches, to be told.
    #[inline]
    pub(crate) fn get(&mut self) -> Option<&mut Box<dyn Watcher>> {
        self.0.as_mut()
    }

    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn id(&self) -> Option<u64> {
        self.0.as_ref().map(|watcher| watcher.id())
    }

    pub(crate) fn set(&mut self, watcher: Option<Box<dyn Watcher>>) -> Option<Box<dyn Watcher>> {
        std::mem::replace(&mut self.0, watcher)
    }
}

/// A copy is not watched.
impl Clone for Watched {
    fn clone(&self) -> Watched {
        Watched(None)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.id()).finish()
    }
}
