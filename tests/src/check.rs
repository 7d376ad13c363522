//! Expectations of one line: `check(&mut c, "INCR n", "1")`.
//!
//! A reply is written down so that types stay visible:
//!
//! | reply | written |
//! |---|---|
//! | simple string | `OK` |
//! | error | `-ERR syntax error` |
//! | integer | `1` |
//! | bulk string | `"text"`, other bytes escaped as in Rust |
//! | null | `nil` |
//! | array, set, push | `[1, "a"]`, `~[1]`, `>[1]` |
//! | map | `{"a": 1}` |
//! | double, boolean, big number | `,1.5`, `#t`, `(123` |
//! | verbatim | `=txt:"text"` |

use crate::client::Client;
use resp::Value;

/// Sends `line`, words with spaces between them, and compares the reply as [`show`] writes it.
#[track_caller]
pub fn check(client: &mut Client, line: &str, expected: &str) {
    let reply = show(&client.run(line));
    assert!(
        reply == expected,
        "{line}\n  replied  {reply}\n  expected {expected}"
    );
}

/// As [`check`], with arguments of any bytes.
#[track_caller]
pub fn check_args<A: AsRef<[u8]>>(client: &mut Client, args: &[A], expected: &str) {
    let reply = show(&client.call(args));
    let line = show_command(args);
    assert!(
        reply == expected,
        "{line}\n  replied  {reply}\n  expected {expected}"
    );
}

/// Checks the next reply's raw bytes.
#[track_caller]
pub fn check_raw(client: &mut Client, expected: &[u8]) {
    let reply = client.read_raw();
    let (reply, expected) = (
        reply.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
    );
    assert!(
        reply == expected,
        "\n  replied  {reply}\n  expected {expected}"
    );
}

/// A command as one would type it, with bytes that are not plain escaped.
pub fn show_command<A: AsRef<[u8]>>(args: &[A]) -> String {
    let word = |arg: &A| {
        let arg = arg.as_ref();
        let plain = !arg.is_empty()
            && arg
                .iter()
                .all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
        let text = arg.escape_ascii().to_string();
        if plain { text } else { format!("\"{text}\"") }
    };
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A reply as this module's table writes it.
pub fn show(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    match value {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("-{text}"),
        Value::Int(n) => n.to_string(),
        Value::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::Null => "nil".to_owned(),
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Set(items) => format!("~[{}]", list(items)),
        Value::Push(items) => format!(">[{}]", list(items)),
        Value::Map(pairs) => {
            let pair = |(k, v): &(Value, Value)| format!("{}: {}", show(k), show(v));
            format!(
                "{{{}}}",
                pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Double(n) => format!(",{n}"),
        Value::Bool(true) => "#t".to_owned(),
        Value::Bool(false) => "#f".to_owned(),
        Value::BigNumber(digits) => format!("({digits}"),
        Value::Verbatim(kind, bytes) => format!("={kind}:\"{}\"", bytes.escape_ascii()),
        other => format!("{other:?}"),
    }
}
