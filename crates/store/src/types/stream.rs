//! The stream type.

use crate::entry::Type;
use crate::object::{Collection, Object};
use crate::packed;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    packed: Vec<u8>,
}

impl Stream {}

/// A view of a stream.
#[derive(Clone, Copy)]
pub struct StreamRef<'a> {
    packed: &'a [u8],
}

impl StreamRef<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        packed::items(self.packed).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

impl Collection for Stream {
    const KIND: Type = Type::Stream;
    type Ref<'a> = StreamRef<'a>;

    fn new() -> Self {
        Stream::default()
    }
    fn view(&self) -> StreamRef<'_> {
        StreamRef { packed: &self.packed }
    }
    fn view_packed(bytes: &[u8]) -> StreamRef<'_> {
        StreamRef { packed: bytes }
    }
    fn from_packed(bytes: Vec<u8>) -> Self {
        Stream { packed: bytes }
    }
    fn packed(&self) -> Option<&[u8]> {
        Some(&self.packed)
    }
    fn into_scratch(self) -> Option<Vec<u8>> {
        Some(self.packed)
    }
    fn encoding(_view: StreamRef<'_>) -> &'static str {
        "stream"
    }
    fn len(&self) -> usize {
        self.view().len()
    }
    fn memory(&self) -> usize {
        self.packed.capacity()
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
