//! The hash type.

use crate::entry::Type;
use crate::object::{Collection, Object};
use crate::packed;

/// A hash.
#[derive(Clone, Debug, Default)]
pub struct Hash {
    packed: Vec<u8>,
}

impl Hash {
    /// When the first field expires, in Unix milliseconds.
    pub fn next_due_ms(&self) -> Option<u64> {
        None
    }

    /// Removes the fields that have expired; returns how many.
    pub fn expire_fields(&mut self, _now_ms: u64) -> usize {
        0
    }
}

/// A view of a hash.
#[derive(Clone, Copy)]
pub struct HashRef<'a> {
    packed: &'a [u8],
}

impl HashRef<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        packed::items(self.packed).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

impl Collection for Hash {
    const KIND: Type = Type::Hash;
    type Ref<'a> = HashRef<'a>;

    fn new() -> Self {
        Hash::default()
    }
    fn view(&self) -> HashRef<'_> {
        HashRef { packed: &self.packed }
    }
    fn view_packed(bytes: &[u8]) -> HashRef<'_> {
        HashRef { packed: bytes }
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        Hash { packed: bytes }
    }
    fn packed(&self) -> Option<&[u8]> {
        Some(&self.packed)
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        Some(self.packed)
    }
    fn encoding(_view: HashRef<'_>) -> &'static str {
        "listpack"
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        self.packed.capacity()
    }
    fn into_object(self) -> Object {
        Object::Hash(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::Hash(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::Hash(c) => Some(c),
            _ => None,
        }
    }
}
