//! The set type.

use crate::entry::Type;
use crate::object::{Collection, Object};
use crate::packed;

/// A set.
#[derive(Clone, Debug, Default)]
pub struct Set {
    packed: Vec<u8>,
}

impl Set {}

/// A view of a set.
#[derive(Clone, Copy)]
pub struct SetRef<'a> {
    packed: &'a [u8],
}

impl SetRef<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        packed::items(self.packed).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

impl Collection for Set {
    const KIND: Type = Type::Set;
    type Ref<'a> = SetRef<'a>;

    fn new() -> Self {
        Set::default()
    }
    fn view(&self) -> SetRef<'_> {
        SetRef { packed: &self.packed }
    }
    fn view_packed(bytes: &[u8]) -> SetRef<'_> {
        SetRef { packed: bytes }
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        Set { packed: bytes }
    }
    fn packed(&self) -> Option<&[u8]> {
        Some(&self.packed)
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        Some(self.packed)
    }
    fn encoding(_view: SetRef<'_>) -> &'static str {
        "listpack"
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        self.packed.capacity()
    }
    fn into_object(self) -> Object {
        Object::Set(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::Set(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::Set(c) => Some(c),
            _ => None,
        }
    }
}
