//! The list type.

use crate::entry::Type;
use crate::object::{Collection, Object};
use crate::packed;

/// A list.
#[derive(Clone, Debug, Default)]
pub struct List {
    packed: Vec<u8>,
}

impl List {}

/// A view of a list.
#[derive(Clone, Copy)]
pub struct ListRef<'a> {
    packed: &'a [u8],
}

impl ListRef<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        packed::items(self.packed).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

impl Collection for List {
    const KIND: Type = Type::List;
    type Ref<'a> = ListRef<'a>;

    fn new() -> Self {
        List::default()
    }
    fn view(&self) -> ListRef<'_> {
        ListRef { packed: &self.packed }
    }
    fn view_packed(bytes: &[u8]) -> ListRef<'_> {
        ListRef { packed: bytes }
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        List { packed: bytes }
    }
    fn packed(&self) -> Option<&[u8]> {
        Some(&self.packed)
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        Some(self.packed)
    }
    fn encoding(_view: ListRef<'_>) -> &'static str {
        "listpack"
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        self.packed.capacity()
    }
    fn into_object(self) -> Object {
        Object::List(self)
    }
    fn of(object: &Object) -> Option<&Self> {
        match object {
            Object::List(c) => Some(c),
            _ => None,
        }
    }
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        match object {
            Object::List(c) => Some(c),
            _ => None,
        }
    }
}
