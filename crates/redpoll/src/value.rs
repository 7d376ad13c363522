//! Replies of commands.

use std::fmt;

/// A reply, as [`Db::execute`](crate::Db::execute) and scripts give it: in the types of RESP3. There may be more of them, so that a
/// `match` needs an arm for others.
///
/// ```
/// # use redpoll::{Config, Db, Value};
/// # let db = Db::open(Config::default())?;
/// db.execute(["RPUSH", "l", "a", "b"])?;
/// let Value::Array(values) = db.execute(["LRANGE", "l", "0", "-1"])? else { panic!("LRANGE answers with an array") };
/// assert_eq!(values, [Value::Bulk(b"a".to_vec()), Value::Bulk(b"b".to_vec())]);
/// // Strings are shown as they would stand in code.
/// assert_eq!(format!("{values:?}"), r#"[Bulk(b"a"), Bulk(b"b")]"#);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A word of the server's own, such as `OK`.
    Simple(String),
    /// An error inside of another reply, with its code. (One that is the whole reply is an [`Error`](crate::Error).)
    Error(String),
    /// A whole number.
    Int(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// Nothing there.
    Null,
    /// Several, in order.
    Array(Vec<Value>),
    /// Pairs of a key and its value.
    Map(Vec<(Value, Value)>),
    /// Several, in no order.
    Set(Vec<Value>),
    /// A message that nobody has asked for.
    Push(Vec<Value>),
    /// A number that need not be whole.
    Double(f64),
    /// Yes or no.
    Bool(bool),
    /// A whole number of any length, in decimal digits.
    BigNumber(String),
    /// A text for people, with its format in three letters.
    Verbatim(String, Vec<u8>),
    /// A reply, and what else is said of it.
    Attribute(Vec<(Value, Value)>, Box<Value>),
}

impl fmt::Debug for Value {
    /// As it would be written in code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, field): (&str, &dyn fmt::Debug) = match self {
            Value::Simple(text) => ("Simple", text),
            Value::Error(line) => ("Error", line),
            Value::Int(n) => ("Int", n),
            Value::Bulk(bytes) => ("Bulk", &Literal(bytes)),
            Value::Null => return f.write_str("Null"),
            Value::Array(values) => ("Array", values),
            Value::Map(pairs) => ("Map", pairs),
            Value::Set(values) => ("Set", values),
            Value::Push(values) => ("Push", values),
            Value::Double(x) => ("Double", x),
            Value::Bool(is) => ("Bool", is),
            Value::BigNumber(digits) => ("BigNumber", digits),
            Value::Verbatim(format, text) => {
                let mut both = f.debug_tuple("Verbatim");
                return both.field(format).field(&Literal(text)).finish();
            }
            Value::Attribute(about, value) => {
                let mut both = f.debug_tuple("Attribute");
                return both.field(about).field(value).finish();
            }
        };
        f.debug_tuple(name).field(field).finish()
    }
}

/// Bytes as a byte string literal.
struct Literal<'a>(&'a [u8]);

impl fmt::Debug for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Value {
    /// A reply as it was decoded.
    pub(crate) fn of_reply(value: resp::Value) -> Value {
        use resp::Value as V;
        let all = |values: Vec<V>| values.into_iter().map(Value::of_reply).collect();
        let pairs = |pairs: Vec<(V, V)>| {
            let both = pairs
                .into_iter()
                .map(|(key, value)| (Value::of_reply(key), Value::of_reply(value)));
            both.collect()
        };
        match value {
            V::Simple(text) => Value::Simple(text),
            V::Error(line) => Value::Error(line),
            V::Int(n) => Value::Int(n),
            V::Bulk(bytes) => Value::Bulk(bytes),
            V::Null => Value::Null,
            V::Array(values) => Value::Array(all(values)),
            V::Map(entries) => Value::Map(pairs(entries)),
            V::Set(values) => Value::Set(all(values)),
            V::Push(values) => Value::Push(all(values)),
            V::Double(x) => Value::Double(x),
            V::Bool(is) => Value::Bool(is),
            V::BigNumber(digits) => Value::BigNumber(digits),
            V::Verbatim(format, text) => Value::Verbatim(format, text),
            V::Attribute(about, value) => {
                Value::Attribute(pairs(about), Box::new(Value::of_reply(*value)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_is_taken_over() {
        use Value as V;
        let text = b"*13\r\n+OK\r\n-ERR x\r\n:1\r\n$1\r\na\r\n_\r\n%1\r\n:1\r\n:2\r\n~1\r\n:3\r\n>1\r\n:4\r\n,1.5\r\n#t\r\n(12\r\n=5\r\ntxt:a\r\n\
                     |1\r\n:1\r\n:2\r\n:5\r\n";
        let (value, _) = resp::decode(text).unwrap().unwrap();
        let expected = V::Array(vec![
            V::Simple("OK".into()),
            V::Error("ERR x".into()),
            V::Int(1),
            V::Bulk(b"a".into()),
            V::Null,
            V::Map(vec![(V::Int(1), V::Int(2))]),
            V::Set(vec![V::Int(3)]),
            V::Push(vec![V::Int(4)]),
            V::Double(1.5),
            V::Bool(true),
            V::BigNumber("12".into()),
            V::Verbatim("txt".into(), b"a".into()),
            V::Attribute(vec![(V::Int(1), V::Int(2))], Box::new(V::Int(5))),
        ]);
        let value = V::of_reply(value);
        assert_eq!(value, expected);
        assert_eq!(
            format!("{value:?}"),
            "Array([Simple(\"OK\"), Error(\"ERR x\"), Int(1), Bulk(b\"a\"), Null, Map([(Int(1), Int(2))]), Set([Int(3)]), Push([Int(4)]), \
             Double(1.5), Bool(true), BigNumber(\"12\"), Verbatim(\"txt\", b\"a\"), Attribute([(Int(1), Int(2))], Int(5))])"
        );
    }
}
