//! Commands on their way in, and replies on their way out.
//!
//! Most typed calls are a command in other clothes: they name it, add arguments, and say what type the reply is to be.
//! [`Call`] puts the arguments together without copying what the caller has; [`Decode`] turns a reply into a type. A
//! reply of another shape than the type allows is an error, never a panic.

use crate::bytes::{Bytes, Payload};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::reply::unexpected;
use crate::value::Value;
use crate::way::Way;
use smallvec::SmallVec;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

/// An argument.
enum Word<'a> {
    Borrowed(&'a [u8]),
    Int { len: u8, text: [u8; 20] },
    Owned(Vec<u8>),
}

impl Word<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Word::Borrowed(bytes) => bytes,
            Word::Int { len, text } => &text[..usize::from(*len)],
            Word::Owned(bytes) => bytes,
        }
    }
}

/// A command being put together; see the module's page.
pub(crate) struct Call<'a, W> {
    db: &'a Db<W>,
    words: SmallVec<[Word<'a>; 8]>,
}

impl<W: Way> Db<W> {
    /// Begins a command.
    pub(crate) fn command<'a>(&'a self, name: &'static str) -> Call<'a, W> {
        let mut words = SmallVec::new();
        words.push(Word::Borrowed(name.as_bytes()));
        Call { db: self, words }
    }

    /// How many elements a command finds in several collections; counts up to `limit` only, if there is one.
    pub(crate) fn card<K: AsRef<[u8]>>(
        &self,
        command: &'static str,
        keys: impl IntoIterator<Item = K>,
        limit: Option<usize>,
    ) -> Result<usize> {
        // To the commands, a limit of 0 is none.
        if limit == Some(0) {
            return Ok(0);
        }
        let keys: Vec<K> = keys.into_iter().collect();
        self.command(command)
            .counted(&keys)
            .option("LIMIT", limit)
            .run()
    }
}

impl<'a, W: Way> Call<'a, W> {
    /// Adds bytes.
    pub(crate) fn arg<B: AsRef<[u8]> + ?Sized>(mut self, bytes: &'a B) -> Call<'a, W> {
        self.words.push(Word::Borrowed(bytes.as_ref()));
        self
    }

    /// Adds bytes that nobody else keeps.
    pub(crate) fn owned(mut self, bytes: impl Into<Vec<u8>>) -> Call<'a, W> {
        self.words.push(Word::Owned(bytes.into()));
        self
    }

    /// Adds a whole number.
    pub(crate) fn int(mut self, n: i64) -> Call<'a, W> {
        let mut buf = [0; 20];
        let digits = resp::format_i64(n, &mut buf);
        let mut text = [0; 20];
        text[..digits.len()].copy_from_slice(digits);
        self.words.push(Word::Int {
            len: digits.len() as u8,
            text,
        });
        self
    }

    /// Adds a number of something. What is past the range of the protocol's integers is more than there can be of it.
    pub(crate) fn count(self, n: usize) -> Call<'a, W> {
        self.int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// Adds a number that need not be whole.
    pub(crate) fn double(self, x: f64) -> Call<'a, W> {
        self.owned(double_text(x))
    }

    /// Adds a value.
    pub(crate) fn payload(self, value: &'a Payload<'_>) -> Call<'a, W> {
        match value.parts() {
            Ok(bytes) => self.arg(bytes),
            Err(n) => self.int(n),
        }
    }

    /// Adds all of some.
    pub(crate) fn all<B: AsRef<[u8]>>(mut self, many: &'a [B]) -> Call<'a, W> {
        let words = many.iter().map(|b| Word::Borrowed(b.as_ref()));
        self.words.extend(words);
        self
    }

    /// Adds how many there are and all of them.
    pub(crate) fn counted<B: AsRef<[u8]>>(self, many: &'a [B]) -> Call<'a, W> {
        self.count(many.len()).all(many)
    }

    /// Adds both parts of all of some pairs.
    pub(crate) fn pairs<A: AsRef<[u8]>, B: AsRef<[u8]>>(
        mut self,
        many: &'a [(A, B)],
    ) -> Call<'a, W> {
        for (a, b) in many {
            self.words.push(Word::Borrowed(a.as_ref()));
            self.words.push(Word::Borrowed(b.as_ref()));
        }
        self
    }

    /// Adds a word if a condition holds.
    pub(crate) fn word_if(self, condition: bool, word: &'static str) -> Call<'a, W> {
        if condition { self.arg(word) } else { self }
    }

    /// Adds a word and a number of something, if there is one.
    pub(crate) fn option(self, word: &'static str, n: Option<usize>) -> Call<'a, W> {
        match n {
            Some(n) => self.arg(word).count(n),
            None => self,
        }
    }

    /// What it works on.
    pub(crate) fn db(&self) -> &'a Db<W> {
        self.db
    }

    /// All of its words, to be kept.
    pub(crate) fn into_args(self) -> Vec<Vec<u8>> {
        self.words
            .iter()
            .map(|word| word.bytes().to_vec())
            .collect()
    }

    /// Carries it out.
    pub(crate) fn run<T: Decode>(self) -> Result<T> {
        let args: SmallVec<[&[u8]; 8]> = self.words.iter().map(Word::bytes).collect();
        T::decode(self.db.call(&args)?)
    }
}

/// A number's shortest text.
pub(crate) fn double_text(x: f64) -> Vec<u8> {
    let mut text = Vec::new();
    resp::format_f64(x, &mut text);
    text
}

/// The ends of a range as the protocol writes them: what `text` makes of a bound, with a sign before it, or one of the two
/// words for no bound.
pub(crate) fn range_texts<T>(
    range: &impl RangeBounds<T>,
    signs: [&str; 2],
    open: [&str; 2],
    text: impl Fn(&T) -> Vec<u8>,
) -> [Vec<u8>; 2] {
    let [closed, exclusive] = signs.map(str::as_bytes);
    let signed = |sign: &[u8], bound: &T| [sign, &text(bound)].concat();
    let end = |bound: Bound<&T>, open: &str| match bound {
        Bound::Included(bound) => signed(closed, bound),
        Bound::Excluded(bound) => signed(exclusive, bound),
        Bound::Unbounded => open.into(),
    };
    [
        end(range.start_bound(), open[0]),
        end(range.end_bound(), open[1]),
    ]
}

/// A type that replies can be turned into, such as those of a [`Script`](crate::Script): numbers, strings, `Option` for what may be
/// null, `Vec` for arrays, tuples for arrays of a known length, [`Value`] for anything.
///
/// A reply of another shape than the type allows is an error.
pub trait Decode: Sized {
    /// Out of a reply.
    fn decode(value: Value) -> Result<Self>;

    /// Out of an entry of a map.
    #[doc(hidden)]
    fn decode_entry(key: Value, value: Value) -> Result<Self> {
        Err(unexpected(&Value::Map(vec![(key, value)])))
    }
}

/// The elements of an array or a set.
pub(crate) fn items(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        other => Err(unexpected(&other)),
    }
}

/// The elements of an array of a known length.
pub(crate) fn fixed<const N: usize>(value: Value) -> Result<[Value; N]> {
    items(value)?
        .try_into()
        .map_err(|items| unexpected(&Value::Array(items)))
}

/// Only that there was no error counts.
impl Decode for () {
    fn decode(_: Value) -> Result<()> {
        Ok(())
    }
}

impl Decode for Value {
    fn decode(value: Value) -> Result<Value> {
        Ok(value)
    }
}

impl Decode for i64 {
    fn decode(value: Value) -> Result<i64> {
        match value {
            Value::Int(n) => Ok(n),
            other => Err(unexpected(&other)),
        }
    }
}

impl Decode for u64 {
    fn decode(value: Value) -> Result<u64> {
        match value {
            Value::Int(n) if n >= 0 => Ok(n as u64),
            other => Err(unexpected(&other)),
        }
    }
}

impl Decode for usize {
    fn decode(value: Value) -> Result<usize> {
        u64::decode(value).map(|n| n as usize)
    }
}

impl Decode for bool {
    fn decode(value: Value) -> Result<bool> {
        match value {
            Value::Int(n @ (0 | 1)) => Ok(n == 1),
            Value::Bool(is) => Ok(is),
            other => Err(unexpected(&other)),
        }
    }
}

impl Decode for f64 {
    fn decode(value: Value) -> Result<f64> {
        match value {
            Value::Double(x) => Ok(x),
            Value::Bulk(text) => {
                resp::parse_f64(&text).ok_or_else(|| Error::new("ERR value is not a valid float"))
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl Decode for Bytes {
    fn decode(value: Value) -> Result<Bytes> {
        match value {
            Value::Bulk(bytes) => Ok(bytes.into()),
            other => Err(unexpected(&other)),
        }
    }
}

impl Decode for String {
    fn decode(value: Value) -> Result<String> {
        match value {
            Value::Bulk(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            other => Err(unexpected(&other)),
        }
    }
}

/// A number of milliseconds.
impl Decode for Duration {
    fn decode(value: Value) -> Result<Duration> {
        u64::decode(value).map(Duration::from_millis)
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(value: Value) -> Result<Option<T>> {
        match value {
            Value::Null => Ok(None),
            value => T::decode(value).map(Some),
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(value: Value) -> Result<Vec<T>> {
        match value {
            Value::Map(entries) => entries
                .into_iter()
                .map(|(key, value)| T::decode_entry(key, value))
                .collect(),
            value => items(value)?.into_iter().map(T::decode).collect(),
        }
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(value: Value) -> Result<(A, B)> {
        let [a, b] = fixed(value)?;
        Self::decode_entry(a, b)
    }

    fn decode_entry(key: Value, value: Value) -> Result<(A, B)> {
        Ok((A::decode(key)?, B::decode(value)?))
    }
}

impl<A: Decode, B: Decode, C: Decode> Decode for (A, B, C) {
    fn decode(value: Value) -> Result<(A, B, C)> {
        let [a, b, c] = fixed(value)?;
        Ok((A::decode(a)?, B::decode(b)?, C::decode(c)?))
    }
}

/// A list of elements, where there may be none at all to speak of: null is the empty list.
pub(crate) struct OrEmpty<T>(pub(crate) Vec<T>);

impl<T: Decode> Decode for OrEmpty<T> {
    fn decode(value: Value) -> Result<OrEmpty<T>> {
        Option::decode(value).map(|list| OrEmpty(list.unwrap_or_default()))
    }
}

/// Pairs whose parts follow each other in one array.
pub(crate) struct Flat<A, B>(pub(crate) Vec<(A, B)>);

impl<A: Decode, B: Decode> Decode for Flat<A, B> {
    fn decode(value: Value) -> Result<Flat<A, B>> {
        let items = items(value)?;
        if items.len() % 2 == 1 {
            return Err(unexpected(&Value::Array(items)));
        }
        let mut pairs = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(a), Some(b)) = (items.next(), items.next()) {
            pairs.push((A::decode(a)?, B::decode(b)?));
        }
        Ok(Flat(pairs))
    }
}

/// A map with names for keys, whose entries are taken out one by one. What is not taken does not matter: it is there for
/// readers of another version.
pub(crate) struct Fields(Vec<(Value, Value)>);

impl Decode for Fields {
    fn decode(value: Value) -> Result<Fields> {
        match value {
            Value::Map(entries) => Ok(Fields(entries)),
            other => Err(unexpected(&other)),
        }
    }
}

impl Fields {
    /// The entry of a name.
    pub(crate) fn take<T: Decode>(&mut self, name: &str) -> Result<T> {
        let is = |entry: &mut (Value, Value)| match &entry.0 {
            Value::Bulk(bytes) => bytes == name.as_bytes(),
            Value::Simple(text) => text == name,
            _ => false,
        };
        match self
            .0
            .iter_mut()
            .find_map(|entry| is(entry).then(|| std::mem::replace(&mut entry.1, Value::Null)))
        {
            Some(value) => T::decode(value),
            None => Err(Error::new(format!("ERR a reply without {name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ttl;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn replies_become_types_or_errors() {
        let pair = || Value::Array(vec![bulk("a"), Value::Double(1.5)]);
        let a = Bytes::from(b"a".to_vec());
        assert_eq!(<(Bytes, f64)>::decode(pair()).unwrap(), (a.clone(), 1.5));
        let map = Value::Map(vec![(bulk("a"), bulk("2"))]);
        assert_eq!(
            Vec::<(Bytes, f64)>::decode(map.clone()).unwrap(),
            [(a.clone(), 2.0)]
        );
        assert!(Vec::<Bytes>::decode(map).is_err());
        let flat = Flat::<Bytes, f64>::decode(pair()).unwrap();
        assert_eq!(flat.0, [(a, 1.5)]);
        assert!(Flat::<Bytes, Bytes>::decode(Value::Array(vec![bulk("a")])).is_err());
        assert_eq!(Option::<i64>::decode(Value::Null).unwrap(), None);
        assert!(OrEmpty::<i64>::decode(Value::Null).unwrap().0.is_empty());
        assert!(Vec::<i64>::decode(Value::Null).is_err());
        assert!(usize::decode(Value::Int(-1)).is_err());
        assert!(bool::decode(Value::Int(2)).is_err());
        assert!(f64::decode(bulk("x")).is_err());
        assert!(<(Bytes, Bytes)>::decode(Value::Array(vec![bulk("a")])).is_err());
        for (reply, ttl) in [
            (-2, Ttl::Absent),
            (-1, Ttl::Never),
            (7, Ttl::In(Duration::from_millis(7))),
        ] {
            assert_eq!(Ttl::decode(Value::Int(reply)).unwrap(), ttl);
        }
        let mut fields = Fields::decode(Value::Map(vec![(bulk("n"), Value::Int(3))])).unwrap();
        assert!(fields.take::<i64>("m").is_err());
        assert_eq!(fields.take::<i64>("n").unwrap(), 3);
    }

    #[test]
    fn ranges_are_written_with_their_signs() {
        let texts = |range: (Bound<f64>, Bound<f64>)| {
            range_texts(&range, ["", "("], ["-inf", "+inf"], |x| double_text(*x))
                .map(|text| String::from_utf8(text).unwrap())
        };
        use Bound::{Excluded, Included, Unbounded};
        assert_eq!(texts((Included(1.0), Excluded(2.5))), ["1", "(2.5"]);
        assert_eq!(texts((Unbounded, Unbounded)), ["-inf", "+inf"]);
        assert_eq!(texts((Excluded(f64::NEG_INFINITY), Unbounded))[0], "(-inf");
    }
}
