//! Strings as they come out of the database and as they go in.
//!
//! Most values are short. [`Bytes`] holds those in itself, so that reading one allocates nothing; a long value it
//! shares with the database by reference count, so that reading one copies nothing. [`Payload`] is the other
//! direction: numbers are stored as numbers, and a large `Vec` is stored as it is.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use store::packed::Item;
use store::{MAX_INLINE, NewValue, Value};

/// Longest string held in place: as much as fits beside a length and a tag in 56 bytes.
const IN_PLACE: usize = 54;

/// An immutable string of any bytes.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default()).unwrap();
/// db.set("greeting", "hello")?;
/// let greeting = db.get("greeting")?.unwrap();
/// assert_eq!(greeting, "hello");
/// assert_eq!(greeting.len(), 5);                 // all methods of a slice
/// assert_eq!(greeting.to_str(), Ok("hello"));
/// let owned: Vec<u8> = greeting.into();
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    InPlace { len: u8, bytes: [u8; IN_PLACE] },
    Owned(Box<[u8]>),
    Shared(Arc<Vec<u8>>),
}

impl Bytes {
    #[inline]
    pub(crate) fn copy(from: &[u8]) -> Bytes {
        if from.len() <= IN_PLACE {
            let mut bytes = [0; IN_PLACE];
            bytes[..from.len()].copy_from_slice(from);
            Bytes(Repr::InPlace {
                len: from.len() as u8,
                bytes,
            })
        } else {
            Bytes(Repr::Owned(from.into()))
        }
    }

    #[inline]
    pub(crate) fn of_value(value: Value<'_>) -> Bytes {
        match value {
            Value::Int(n) => Bytes::copy(resp::format_i64(n, &mut [0; 20])),
            Value::Inline(bytes) => Bytes::copy(bytes),
            Value::Blob(blob) => Bytes(Repr::Shared(blob.clone())),
        }
    }

    /// A field, a member or a value of a collection.
    #[inline]
    pub(crate) fn of_item(item: Item<'_>) -> Bytes {
        Bytes::copy(item.text(&mut [0; 20]))
    }

    /// The text, if it is UTF-8.
    pub fn to_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(self)
    }

    /// The text, with replacement characters where it is not UTF-8.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(self).into_owned()
    }
}

impl Deref for Bytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::InPlace { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Owned(bytes) => bytes,
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        if bytes.len() <= IN_PLACE {
            Bytes::copy(&bytes)
        } else {
            Bytes(Repr::Owned(bytes.into()))
        }
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Vec<u8> {
        match bytes.0 {
            Repr::InPlace { .. } => bytes.to_vec(),
            Repr::Owned(bytes) => bytes.into(),
            Repr::Shared(bytes) => Arc::unwrap_or_clone(bytes),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::copy(b"")
    }
}

impl fmt::Debug for Bytes {
    /// As a byte string literal would be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl Eq for Bytes {}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Bytes) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Bytes) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

macro_rules! equals {
    ($($other:ty: |$o:ident| $bytes:expr;)*) => {$(
        impl PartialEq<$other> for Bytes {
            fn eq(&self, $o: &$other) -> bool {
                **self == *$bytes
            }
        }
    )*};
}

equals! {
    [u8]: |o| o;
    &[u8]: |o| *o;
    Vec<u8>: |o| o.as_slice();
    str: |o| o.as_bytes();
    &str: |o| o.as_bytes();
    String: |o| o.as_bytes();
}

impl<const N: usize> PartialEq<[u8; N]> for Bytes {
    fn eq(&self, other: &[u8; N]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Bytes {
    fn eq(&self, other: &&[u8; N]) -> bool {
        **self == **other
    }
}

/// A string to store: made from text, bytes, integers, or what a call returned.
///
/// ```
/// # let db = redpoll::Db::open(redpoll::Config::default()).unwrap();
/// db.set("text", "text")?;
/// db.set("bytes", b"\x00\xff")?;
/// db.set("number", 42)?;
/// db.set("ratio", 0.5)?;                  // stored as its digits
/// assert_eq!(db.get("ratio")?.unwrap(), "0.5");
/// db.set("large", vec![7; 1_000_000])?;   // stored as it is, without a copy
/// # Ok::<(), redpoll::Error>(())
/// ```
pub struct Payload<'a>(Input<'a>);

enum Input<'a> {
    Int(i64),
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Payload<'_> {
    /// Length in bytes; a number's is given as the most that one can have.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Input::Int(_) => 20,
            Input::Borrowed(b) => b.len(),
            Input::Owned(b) => b.len(),
            Input::Shared(b) => b.len(),
        }
    }

    /// How it is to be stored. Copies a large value, so call it before taking locks.
    #[inline]
    pub(crate) fn store<R>(self, with: impl FnOnce(NewValue<'_>) -> R) -> R {
        match self.0 {
            Input::Int(n) => with(NewValue::Int(n)),
            Input::Borrowed(b) => with(store::new_value(b)),
            Input::Owned(b) if b.len() <= MAX_INLINE => with(store::new_value(&b)),
            Input::Owned(b) => with(NewValue::Blob(Arc::new(b))),
            Input::Shared(b) if b.len() <= MAX_INLINE => with(store::new_value(&b)),
            Input::Shared(b) => with(NewValue::Blob(b)),
        }
    }

    /// The bytes, or the number that it is.
    pub(crate) fn parts(&self) -> Result<&[u8], i64> {
        match &self.0 {
            Input::Int(n) => Err(*n),
            Input::Borrowed(b) => Ok(b),
            Input::Owned(b) => Ok(b),
            Input::Shared(b) => Ok(b),
        }
    }

    /// The bytes, as an argument of a command.
    pub(crate) fn with_bytes<R>(&self, with: impl FnOnce(&[u8]) -> R) -> R {
        match &self.0 {
            Input::Int(n) => with(resp::format_i64(*n, &mut [0; 20])),
            Input::Borrowed(b) => with(b),
            Input::Owned(b) => with(b),
            Input::Shared(b) => with(b),
        }
    }
}

macro_rules! payloads {
    ($($from:ty: |$v:ident| $input:expr;)*) => {$(
        impl<'a> From<$from> for Payload<'a> {
            #[inline]
            fn from($v: $from) -> Payload<'a> {
                Payload($input)
            }
        }
    )*};
}

payloads! {
    &'a [u8]: |v| Input::Borrowed(v);
    &'a str: |v| Input::Borrowed(v.as_bytes());
    &'a String: |v| Input::Borrowed(v.as_bytes());
    &'a Vec<u8>: |v| Input::Borrowed(v);
    Vec<u8>: |v| Input::Owned(v);
    String: |v| Input::Owned(v.into_bytes());
    Arc<Vec<u8>>: |v| Input::Shared(v);
    i64: |v| Input::Int(v);
    i32: |v| Input::Int(v.into());
    u32: |v| Input::Int(v.into());
    u64: |v| unsigned(v);
    usize: |v| unsigned(v as u64);
}

impl From<f64> for Payload<'_> {
    /// In decimal digits, as few as say which number it is.
    fn from(x: f64) -> Self {
        let mut text = Vec::new();
        resp::format_f64(x, &mut text);
        Payload(Input::Owned(text))
    }
}

fn unsigned<'a>(n: u64) -> Input<'a> {
    i64::try_from(n).map_or_else(|_| Input::Owned(n.to_string().into_bytes()), Input::Int)
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    #[inline]
    fn from(v: &'a [u8; N]) -> Payload<'a> {
        Payload(Input::Borrowed(v))
    }
}

impl<'a> From<&'a Bytes> for Payload<'a> {
    fn from(v: &'a Bytes) -> Payload<'a> {
        match &v.0 {
            Repr::Shared(b) => Payload(Input::Shared(b.clone())),
            _ => Payload(Input::Borrowed(v)),
        }
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(v: Bytes) -> Self {
        match v.0 {
            Repr::Shared(b) => Payload(Input::Shared(b)),
            _ => Payload(Input::Owned(v.into())),
        }
    }
}

/// Feature `bytes`.
#[cfg(feature = "bytes")]
mod shared {
    use super::{Bytes, Input, Payload, Repr};
    use std::sync::Arc;

    /// A value that is shared with the database.
    struct Value(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Value {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl From<Bytes> for ::bytes::Bytes {
        /// A long value stays shared with the database; only what is held in place is copied.
        fn from(from: Bytes) -> ::bytes::Bytes {
            match from.0 {
                Repr::InPlace { .. } => ::bytes::Bytes::copy_from_slice(&from),
                Repr::Owned(bytes) => bytes.into(),
                Repr::Shared(bytes) => ::bytes::Bytes::from_owner(Value(bytes)),
            }
        }
    }

    impl From<::bytes::Bytes> for Payload<'_> {
        /// Copied, unless nobody else has it.
        fn from(from: ::bytes::Bytes) -> Self {
            Payload(Input::Owned(from.into()))
        }
    }

    impl<'a> From<&'a ::bytes::Bytes> for Payload<'a> {
        fn from(from: &'a ::bytes::Bytes) -> Payload<'a> {
            Payload(Input::Borrowed(from))
        }
    }

    impl PartialEq<::bytes::Bytes> for Bytes {
        fn eq(&self, other: &::bytes::Bytes) -> bool {
            **self == **other
        }
    }

    #[cfg(test)]
    mod tests {
        use crate::{Config, Db};

        #[test]
        fn bytes_go_in_and_come_out() {
            let db = Db::open(Config::default()).expect("a database");
            for len in [0, 5, 54, 55, 4096, 100_000] {
                let value = ::bytes::Bytes::from(vec![b'x'; len]);
                db.set("k", &value).expect("no error");
                db.set(&value, value.clone()).expect("no error");
                let found = db.get(&value).expect("no error").expect("a value");
                assert_eq!(found, value);
                assert_eq!(::bytes::Bytes::from(found), value);
            }
            // A long one is shared both ways.
            let one = db.get("k").expect("no error").expect("a value");
            let at = one.as_ptr();
            assert_eq!(::bytes::Bytes::from(one).as_ptr(), at);
        }
    }
}

/// As bytes, for any format (feature `serde`).
#[cfg(feature = "serde")]
impl serde::Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for len in [0, 1, IN_PLACE, IN_PLACE + 1, MAX_INLINE, MAX_INLINE + 1] {
            let original: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let shared = Arc::new(original.clone());
            for bytes in [
                Bytes::copy(&original),
                Bytes::from(original.clone()),
                Bytes::of_value(Value::Blob(&shared)),
            ] {
                assert_eq!(bytes, original);
                assert_eq!(bytes, bytes.clone());
                assert_eq!(Vec::from(bytes), original);
            }
        }
        assert_eq!(Bytes::of_value(Value::Int(-12)), "-12");
        assert_eq!(size_of::<Option<Bytes>>(), 56);
    }

    #[test]
    fn is_shown_as_a_literal() {
        assert_eq!(format!("{:?}", Bytes::copy(b"a\0\"")), r#"b"a\x00\"""#);
    }

    #[test]
    fn payloads_keep_what_they_need_not_copy() {
        let blob = Arc::new(vec![1; MAX_INLINE + 1]);
        let payload = Payload::from(blob.clone());
        payload.store(|v| assert!(matches!(v, NewValue::Blob(b) if Arc::ptr_eq(&b, &blob))));
        Payload::from("12").store(|v| assert!(matches!(v, NewValue::Int(12))));
        Payload::from(vec![b'x'; 10])
            .store(|v| assert!(matches!(v, NewValue::Inline(b"xxxxxxxxxx"))));
        Payload::from(7).with_bytes(|b| assert_eq!(b, b"7"));
        let back = Bytes::of_value(Value::Blob(&blob));
        Payload::from(&back)
            .store(|v| assert!(matches!(v, NewValue::Blob(b) if Arc::ptr_eq(&b, &blob))));
    }
}
