//! The sorted set type.

use crate::entry::Type;
use crate::object::{Collection, Object};
use crate::packed;

/// A sorted set.
#[derive(Clone, Debug, Default)]
pub struct SortedSet {
    packed: Vec<u8>,
}

impl SortedSet {}

/// A view of a sorted set.
#[derive(Clone, Copy)]
pub struct SortedSetRef<'a> {
    packed: &'a [u8],
}

impl SortedSetRef<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        packed::items(self.packed).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

impl Collection for SortedSet {
    const KIND: Type = Type::SortedSet;
    type Ref<'a> = SortedSetRef<'a>;

    fn new() -> Self {
        SortedSet::default()
    }
    fn view(&self) -> SortedSetRef<'_> {
        SortedSetRef { packed: &self.packed }
    }
    fn view_packed(bytes: &[u8]) -> SortedSetRef<'_> {
        SortedSetRef { packed: bytes }
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        SortedSet { packed: bytes }
    }
    fn packed(&self) -> Option<&[u8]> {
        Some(&self.packed)
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        Some(self.packed)
    }
    fn encoding(_view: SortedSetRef<'_>) -> &'static str {
        "listpack"
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        self.packed.capacity()
    }
    fn into_object(self) -> Object {
        Object::SortedSet(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::SortedSet(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::SortedSet(c) => Some(c),
            _ => None,
        }
    }
}
