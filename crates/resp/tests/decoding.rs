//! Decoding replies: every type, every prefix, every malformation, and values written and read back.

use proptest::prelude::*;
use redpoll_resp::decode::MAX_DEPTH;
use redpoll_resp::{Out, Proto, Value, decode, skip_reply};

/// The value of exactly these bytes.
fn value(bytes: &[u8]) -> Value {
    let (value, used) = decode(bytes).unwrap().unwrap();
    assert_eq!(used, bytes.len());
    assert_eq!(skip_reply(bytes), Ok(Some(used)));
    value
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn every_type() {
    assert_eq!(value(b"+OK\r\n"), Value::Simple("OK".into()));
    assert_eq!(value(b"+\r\n"), Value::Simple(String::new()));
    assert_eq!(value(b"-ERR no\r\n"), Value::Error("ERR no".into()));
    assert_eq!(
        value(b"!6\r\nERR\r\nx\r\n"),
        Value::Error("ERR\r\nx".into())
    );
    assert_eq!(value(b":-12\r\n"), Value::Int(-12));
    assert_eq!(value(b"$4\r\na\r\nb\r\n"), bulk("a\r\nb"));
    assert_eq!(value(b"$0\r\n\r\n"), bulk(""));
    for null in [&b"$-1\r\n"[..], b"*-1\r\n", b"_\r\n"] {
        assert_eq!(value(null), Value::Null);
    }
    assert_eq!(value(b"*0\r\n"), Value::Array(vec![]));
    assert_eq!(value(b"*2\r\n:1\r\n*1\r\n+a\r\n"), {
        Value::Array(vec![
            Value::Int(1),
            Value::Array(vec![Value::Simple("a".into())]),
        ])
    });
    assert_eq!(
        value(b"%1\r\n+k\r\n_\r\n"),
        Value::Map(vec![(Value::Simple("k".into()), Value::Null)])
    );
    assert_eq!(value(b"~1\r\n#t\r\n"), Value::Set(vec![Value::Bool(true)]));
    assert_eq!(
        value(b">1\r\n#f\r\n"),
        Value::Push(vec![Value::Bool(false)])
    );
    assert_eq!(value(b",-1.5e+3\r\n"), Value::Double(-1500.0));
    assert_eq!(value(b",inf\r\n"), Value::Double(f64::INFINITY));
    assert!(matches!(value(b",nan\r\n"), Value::Double(nan) if nan.is_nan()));
    assert!(matches!(value(b",-nan\r\n"), Value::Double(nan) if nan.is_nan()));
    assert_eq!(value(b"(-123\r\n"), Value::BigNumber("-123".into()));
    assert_eq!(
        value(b"=5\r\ntxt:a\r\n"),
        Value::Verbatim("txt".into(), b"a".to_vec())
    );
    let about = Value::Attribute(vec![(bulk("ttl"), Value::Int(3))], Box::new(Value::Int(7)));
    assert_eq!(value(b"|1\r\n$3\r\nttl\r\n:3\r\n:7\r\n"), about);
}

#[test]
fn malformed_replies() {
    let framing: [&[u8]; 16] = [
        b"hello\r\n",
        b"\r\n",
        b"\0\r\n",
        b"+a\rb\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"$\r\n",
        b"$03\r\nabc\r\n",
        b"$1\r\nab\r\n",
        b"*-2\r\n",
        b"*x\r\n",
        b"%-1\r\n",
        b"%x\r\n",
        b"$?\r\n",
        b"|x\r\n",
        b"!-1\r\n",
    ];
    for bytes in framing {
        assert!(decode(bytes).is_err(), "{}", bytes.escape_ascii());
        assert!(skip_reply(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    let content: [&[u8]; 12] = [
        b":\r\n",
        b":1.5\r\n",
        b":x\r\n",
        b",x\r\n",
        b",\r\n",
        b"#\r\n",
        b"#x\r\n",
        b"(\r\n",
        b"(1x\r\n",
        b"_x\r\n",
        b"=3\r\ntxt\r\n",
        b"=4\r\ntxtx\r\n",
    ];
    for bytes in content {
        assert!(decode(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| [&b"*1\r\n".repeat(depth)[..], b":1\r\n"].concat();
    assert!(matches!(decode(&nested(MAX_DEPTH)), Ok(Some(_))));
    assert!(decode(&nested(MAX_DEPTH + 1)).is_err());
    assert!(decode(&b"*1\r\n".repeat(1_000_000)).is_err());
    assert!(decode(&b"|1\r\n".repeat(1_000_000)).is_err());
    assert!(decode(&b"|0\r\n".repeat(1_000_000)).is_err());
    // Measuring needs no stack.
    let deep = nested(1_000_000);
    assert_eq!(skip_reply(&deep), Ok(Some(deep.len())));
}

#[test]
fn huge_counts_are_waited_for_without_memory() {
    for bytes in [
        &b"*9223372036854775807\r\n:1\r\n"[..],
        b"$9223372036854775807\r\nabc",
        b"%4611686018427387903\r\n:1\r\n",
    ] {
        assert_eq!(decode(bytes), Ok(None));
        assert_eq!(skip_reply(bytes), Ok(None));
    }
    // Counts that add up to more than can be counted.
    assert!(skip_reply(&b"*9223372036854775807\r\n".repeat(3)).is_err());
}

fn line() -> impl Strategy<Value = String> {
    "[ -~]{0,12}"
}

/// A finite double with a text of its own kind: whole, tiny, huge, or anything.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-1_000_000i64..1_000_000).prop_map(|n| n as f64 / 8.0),
        Just(f64::NEG_INFINITY)
    ]
    .prop_filter("NaN is not equal to itself", |value| !value.is_nan())
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        line().prop_map(Value::Simple),
        "[A-Z]{1,5} [ -~]{0,12}".prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        prop::collection::vec(any::<u8>(), 0..120).prop_map(Value::Bulk),
        Just(Value::Null),
        double().prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        "-?[0-9]{1,30}".prop_map(Value::BigNumber),
        ("[a-z]{3}", prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(ext, text)| Value::Verbatim(ext, text)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..6);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            list.clone().prop_map(Value::Array),
            list.clone().prop_map(Value::Set),
            list.prop_map(Value::Push),
            pairs.clone().prop_map(Value::Map),
            (pairs, inner).prop_map(|(pairs, about)| Value::Attribute(pairs, Box::new(about))),
        ]
    })
}

fn written(value: &Value, proto: Proto) -> Vec<u8> {
    let mut out = Out::new(proto);
    value.write_to(&mut out);
    out.to_vec()
}

proptest! {
    #[test]
    fn values_come_back_and_prefixes_are_incomplete(sent in any_value()) {
        let bytes = written(&sent, Proto::Resp3);
        let followed = [&bytes[..], b"+next\r\n"].concat();
        prop_assert_eq!(decode(&followed).unwrap().unwrap(), (sent, bytes.len()));
        prop_assert_eq!(skip_reply(&followed), Ok(Some(bytes.len())));
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end]), Ok(None));
            prop_assert_eq!(skip_reply(&bytes[..end]), Ok(None));
        }
    }

    #[test]
    fn resp2_forms_are_whole_replies(sent in any_value()) {
        let bytes = written(&sent, Proto::Resp2);
        let (_, used) = decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(used, bytes.len());
    }

    #[test]
    fn both_readers_agree_on_damaged_replies(
        sent in any_value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"\r\n$*0123456789-:+|%x"[..])), 1..4),
    ) {
        let mut bytes = written(&sent, Proto::Resp3);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(Some((_, used))) = decode(&bytes) {
            prop_assert_eq!(skip_reply(&bytes), Ok(Some(used)));
        }
        if let Ok(None) = decode(&bytes) {
            prop_assert_eq!(skip_reply(&bytes), Ok(None));
        }
    }
}
