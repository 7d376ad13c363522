//! Values as they are stored and as they are given to be stored.

use crate::types::kind::{Blob, Type};
use crate::types::number::canonical_i64;
use crate::types::object::Object;
use std::sync::Arc;

/// Longest value kept inside its entry, in bytes. Longer ones are blobs: a reply then only counts a reference up
/// under the lock, where copying this much takes about a third of a microsecond.
pub const MAX_INLINE: usize = 4096;

/// A string value as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string that is the canonical text of this number.
    Int(i64),
    /// Bytes inside the entry.
    Inline(&'a [u8]),
    /// Bytes of their own.
    Blob(&'a Blob),
}

/// A string value to store.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// Stored as a number.
    Int(i64),
    /// At most [`MAX_INLINE`] bytes, stored inside the entry.
    Inline(&'a [u8]),
    /// Stored by reference.
    Blob(Blob),
    /// A packed collection of at most `MAX_INLINE_PACKED` bytes, stored inside the entry.
    Packed(Type, &'a [u8]),
    /// A collection of its own.
    Object(Box<Object>),
}

/// A collection as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum ObjectValue<'a> {
    /// Packed inside the entry.
    Packed(&'a [u8]),
    /// Of its own.
    Object(&'a Object),
}

/// A value to be changed in place.
pub enum ValueMut<'a> {
    /// A number: replaced, not changed in place.
    Int,
    /// Bytes inside the entry: their number is fixed.
    Inline(&'a mut [u8]),
    /// Bytes of their own.
    Blob(&'a mut Blob),
}

/// How to store a string: as a number if it is the canonical text of one, inline if short, else as a blob.
#[inline]
pub fn new_value(bytes: &[u8]) -> NewValue<'_> {
    if bytes.len() <= 20
        && let Some(i) = canonical_i64(bytes)
    {
        return NewValue::Int(i);
    }
    string_value(bytes)
}

/// How to store a string that is not to be taken for a number.
#[inline]
pub fn string_value(bytes: &[u8]) -> NewValue<'_> {
    if bytes.len() <= MAX_INLINE {
        NewValue::Inline(bytes)
    } else {
        NewValue::Blob(Arc::new(bytes.to_vec()))
    }
}
