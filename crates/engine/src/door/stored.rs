//! A value taken out of the keyspace whole: on its way to another key, or kept in case a script has to be undone.

use smallvec::SmallVec;
use store::Blob;
use store::EntryRef;
use store::Object;
use store::ObjectValue;
use store::Type;
use store::Value;
/// A value on its way from one key to another, with its expiry.
pub struct Stored {
    pub(super) value: StoredValue,
    pub(super) expiry_ms: Option<u64>,
    pub(super) raw: bool,
    /// See [`EntryRef::is_kept`].
    pub kept: bool,
}

pub(super) enum StoredValue {
    Int(i64),
    /// Inline bytes of this type.
    Bytes(Type, SmallVec<[u8; 64]>),
    Blob(Blob),
    Object(Box<Object>),
}

impl Stored {
    /// A copy; a blob is shared until one of the two changes.
    pub fn copy_of(e: EntryRef<'_>) -> Stored {
        let value = Stored::inline_value(e).unwrap_or_else(|| match e.kind() {
            Type::String => match e.value() {
                Value::Blob(b) => StoredValue::Blob(b.clone()),
                _ => unreachable!("inline values are taken above"),
            },
            _ => match e.object() {
                ObjectValue::Object(o) => StoredValue::Object(Box::new(o.clone())),
                ObjectValue::Packed(_) => unreachable!("inline values are taken above"),
            },
        });
        Stored {
            value,
            expiry_ms: e.expiry_ms(),
            raw: e.is_raw(),
            kept: e.is_kept(),
        }
    }

    /// A copy of a value that lives inside its entry.
    pub(super) fn inline_value(e: EntryRef<'_>) -> Option<StoredValue> {
        match e.kind() {
            Type::String => match e.value() {
                Value::Int(i) => Some(StoredValue::Int(i)),
                Value::Inline(b) => Some(StoredValue::Bytes(Type::String, SmallVec::from_slice(b))),
                Value::Blob(_) => None,
            },
            kind => match e.object() {
                ObjectValue::Packed(b) => Some(StoredValue::Bytes(kind, SmallVec::from_slice(b))),
                ObjectValue::Object(_) => None,
            },
        }
    }
}
