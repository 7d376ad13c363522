//! When two replies count as the same.
//!
//! Most replies are compared byte for byte. Where the protocol leaves something open (the order of `KEYS`) or nature does
//! (the time), a row of the command table says which looser comparison holds. Errors are always compared byte for byte.

use crate::client::decode;
use resp::Value;

/// How a command's replies are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Byte for byte.
    Exact,
    /// An array or set whose order means nothing.
    Unordered,
    /// A map (in RESP2 a flat array) whose order means nothing.
    Pairs,
    /// A map of which these fields are each server's own: only their presence counts.
    Except(&'static [&'static str]),
    /// An integer that may differ by this much when both are positive: a time that is left. Or an array of such.
    Near(i64),
    /// An integer from zero on that may differ by this much: a time that has passed.
    Past(i64),
    /// Only the kind of reply: its first byte.
    Shape,
    /// What is said of streams and of refusals: points in time, times that have passed, the shape of the tree and the client
    /// are each server's own.
    Times,
    /// What is said of libraries: neither they nor their functions, nor the flags of one, have an order.
    Libraries,
    /// A cursor command, run to its end by the engine; compared as the set of what it returned.
    Scan,
}

/// Whether two replies, given as raw bytes, are the same to a client.
pub fn same(how: How, a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    if a.is_empty() || b.is_empty() || a[0] != b[0] || a[0] == b'-' {
        return false;
    }
    match how {
        How::Exact => false,
        How::Shape => true,
        How::Near(tolerance) => near(&decode(a), &decode(b), tolerance.unsigned_abs()),
        How::Past(tolerance) => match (decode(a), decode(b)) {
            (Value::Int(a @ 0..), Value::Int(b @ 0..)) => a.abs_diff(b) <= tolerance.unsigned_abs(),
            _ => false,
        },
        How::Times => timeless(decode(a)) == timeless(decode(b)),
        How::Libraries => orderless(decode(a)) == orderless(decode(b)),
        How::Unordered | How::Scan => sorted(items(decode(a))) == sorted(items(decode(b))),
        How::Pairs => pairs(decode(a), &[]) == pairs(decode(b), &[]),
        How::Except(fields) => pairs(decode(a), fields) == pairs(decode(b), fields),
    }
}

/// Whether two integers, or two arrays of integers, are near each other; zero and what is below it are exact.
fn near(a: &Value, b: &Value, tolerance: u64) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a == b || *a > 0 && *b > 0 && a.abs_diff(*b) <= tolerance,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b, tolerance))
        }
        _ => false,
    }
}

/// A reply in which arrays of nothing but arrays, maps or status replies have an order of their own; see [`How::Libraries`].
fn orderless(value: Value) -> Value {
    let list = |items: Vec<Value>| {
        let mut items: Vec<Value> = items.into_iter().map(orderless).collect();
        let has_none =
            |item: &Value| matches!(item, Value::Array(_) | Value::Map(_) | Value::Simple(_));
        if items.iter().all(has_none) {
            items.sort_by_key(|item| format!("{item:?}"));
        }
        items
    };
    match value {
        Value::Array(items) => Value::Array(list(items)),
        Value::Set(items) => Value::Set(list(items)),
        Value::Map(pairs) => {
            let pairs = pairs.into_iter();
            Value::Map(
                pairs
                    .map(|(name, value)| (name, orderless(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

/// Unix milliseconds are at least this much.
const A_TIME: i64 = 1_000_000_000_000;

/// A reply with its times taken out; see [`How::Times`].
fn timeless(value: Value) -> Value {
    let list = |items: Vec<Value>| -> Vec<Value> {
        // A pending message: ID, consumer, time since it was delivered, deliveries.
        let pending = matches!(
            items.as_slice(),
            [Value::Bulk(_), Value::Bulk(_), Value::Int(_), Value::Int(_)]
        );
        // An entry that XREADGROUP has claimed: ID, fields, time since it was delivered, deliveries.
        let claimed = |item: &Value| {
            matches!(item, Value::Array(parts) if matches!(
                parts.as_slice(),
                [Value::Bulk(_), Value::Array(_), Value::Int(_), Value::Int(_)]
            ))
        };
        let is_claimed = matches!(
            items.as_slice(),
            [
                Value::Bulk(_),
                Value::Array(_),
                Value::Int(_),
                Value::Int(_)
            ]
        );
        let pending = pending || is_claimed;
        // Those of one millisecond come in no order.
        let unordered = !items.is_empty() && items.iter().all(claimed);
        let mut timeless: Vec<Value> = Vec::with_capacity(items.len());
        for item in items {
            let passed = pending && timeless.len() == 2;
            let item = match (timeless.last(), item) {
                (Some(name), Value::Int(n)) if passed || is_own(name) => Value::Int(n.min(0)),
                (Some(name), _) if is_own(name) => Value::Null,
                (_, item) => self::timeless(item),
            };
            timeless.push(item);
        }
        if unordered {
            timeless.sort_by_key(|item| format!("{item:?}"));
        }
        timeless
    };
    match value {
        Value::Int(A_TIME..) => Value::Int(0),
        Value::Array(items) => Value::Array(list(items)),
        Value::Map(pairs) => {
            let flat = pairs.into_iter().flat_map(|(name, value)| [name, value]);
            Value::Array(list(flat.collect()))
        }
        other => other,
    }
}

/// Whether what stands behind this name is each server's own.
fn is_own(name: &Value) -> bool {
    let own: [&[u8]; 7] = [
        b"idle",
        b"inactive",
        b"radix-tree-keys",
        b"radix-tree-nodes",
        b"age-seconds",
        b"entry-id",
        b"client-info",
    ];
    matches!(name, Value::Bulk(name) if own.contains(&name.as_slice()))
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
        other => vec![other],
    }
}

fn sorted(items: Vec<Value>) -> Vec<String> {
    let mut texts: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    texts.sort();
    texts
}

/// Keys and values in the order of their keys, the values of `blank` left out.
fn pairs(value: Value, blank: &[&str]) -> Vec<(String, String)> {
    let flat: Vec<(Value, Value)> = match value {
        Value::Map(pairs) => pairs,
        other => {
            let mut rest = items(other).into_iter();
            let mut pairs = Vec::new();
            while let Some(key) = rest.next() {
                pairs.push((key, rest.next().unwrap_or(Value::Null)));
            }
            pairs
        }
    };
    let is_blank = |key: &Value| matches!(key, Value::Bulk(name) if blank.iter().any(|b| b.as_bytes() == name));
    let mut texts: Vec<_> = flat
        .iter()
        .map(|(k, v)| {
            (
                format!("{k:?}"),
                if is_blank(k) {
                    String::new()
                } else {
                    format!("{v:?}")
                },
            )
        })
        .collect();
    texts.sort();
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_means_bytes() {
        assert!(same(How::Exact, b"+OK\r\n", b"+OK\r\n"));
        assert!(!same(How::Exact, b"+OK\r\n", b"$2\r\nOK\r\n"));
        assert!(
            !same(How::Shape, b"-ERR a\r\n", b"-ERR b\r\n"),
            "errors are never loose"
        );
        assert!(!same(How::Shape, b":1\r\n", b"$1\r\n1\r\n"));
    }

    #[test]
    fn times_are_near_but_signs_are_exact() {
        assert!(same(How::Near(5), b":100\r\n", b":96\r\n"));
        assert!(!same(How::Near(5), b":100\r\n", b":90\r\n"));
        assert!(!same(How::Near(5), b":-1\r\n", b":-2\r\n"));
        assert!(!same(How::Near(5), b":1\r\n", b":-1\r\n"));
        assert!(same(How::Past(5), b":0\r\n", b":1\r\n"));
        assert!(!same(How::Past(5), b":0\r\n", b":-1\r\n"));
        assert!(!same(How::Past(5), b":0\r\n", b":9\r\n"));
        let times = b"*2\r\n:100\r\n:-1\r\n";
        assert!(same(How::Near(5), times, b"*2\r\n:99\r\n:-1\r\n"));
        assert!(!same(How::Near(5), times, b"*2\r\n:99\r\n:-2\r\n"));
        assert!(!same(How::Near(5), times, b"*1\r\n:100\r\n"));
    }

    #[test]
    fn order_means_nothing_where_it_is_said() {
        let (ab, ba) = (
            b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            b"*2\r\n$1\r\nb\r\n$1\r\na\r\n",
        );
        assert!(same(How::Unordered, ab, ba));
        assert!(!same(How::Exact, ab, ba));
        assert!(!same(How::Unordered, ab, b"*1\r\n$1\r\na\r\n"));
        assert!(!same(How::Pairs, ab, ba), "a key is not a value");
    }

    #[test]
    fn libraries_have_no_order_but_their_parts_do() {
        let (fg, gf) = (
            b"*2\r\n*1\r\n$1\r\nf\r\n*1\r\n$1\r\ng\r\n",
            b"*2\r\n*1\r\n$1\r\ng\r\n*1\r\n$1\r\nf\r\n",
        );
        assert!(same(How::Libraries, fg, gf));
        let (ab, ba) = (
            b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            b"*2\r\n$1\r\nb\r\n$1\r\na\r\n",
        );
        assert!(!same(How::Libraries, ab, ba));
        // In RESP3 they are maps; the flags of a function are a set.
        let map = |library: &str, flags: &str| format!("%1\r\n+{library}\r\n~2\r\n{flags}");
        let (f, g) = (map("f", "+x\r\n+y\r\n"), map("g", "+x\r\n+y\r\n"));
        let turned = map("f", "+y\r\n+x\r\n");
        let both = |a: &str, b: &str| format!("*2\r\n{a}{b}").into_bytes();
        assert!(same(How::Libraries, &both(&f, &g), &both(&g, &turned)));
        assert!(!same(How::Libraries, &both(&f, &g), &both(&f, &f)));
    }

    #[test]
    fn times_are_left_out_but_not_their_absence() {
        let consumers = |idle: i64, inactive: i64, pending: i64| {
            format!("*6\r\n$4\r\nidle\r\n:{idle}\r\n$8\r\ninactive\r\n:{inactive}\r\n$7\r\npending\r\n:{pending}\r\n").into_bytes()
        };
        assert!(same(How::Times, &consumers(1, 5, 1), &consumers(9, 6, 1)));
        assert!(!same(How::Times, &consumers(1, -1, 1), &consumers(1, 6, 1)));
        assert!(!same(How::Times, &consumers(1, 5, 1), &consumers(1, 5, 2)));
        assert!(same(
            How::Times,
            b"*1\r\n:1700000000000\r\n",
            b"*1\r\n:1700000000009\r\n"
        ));
    }

    #[test]
    fn excepted_fields_must_still_be_there() {
        let one = b"%2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$1\r\nx\r\n";
        let two = b"%2\r\n$4\r\nmode\r\n$1\r\nx\r\n$2\r\nid\r\n:2\r\n";
        assert!(same(How::Except(&["id"]), one, two));
        assert!(!same(How::Pairs, one, two));
        assert!(!same(
            How::Except(&["id"]),
            one,
            b"%1\r\n$4\r\nmode\r\n$1\r\nx\r\n"
        ));
    }
}
