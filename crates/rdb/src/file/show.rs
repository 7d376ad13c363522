//! Values as text, for people: what a key of a file holds, on one line.

use crate::Loaded;
use std::fmt::Write;
use store::packed::Item;
use store::types::stream::{StreamId, StreamRef};
use store::{Collection, Object};

/// A value as one line of text. Members of sets and fields of hashes are sorted, so that equal values have equal texts.
/// `now_ms` tells which fields have expired.
pub fn show(value: &Loaded<'_>, now_ms: u64) -> String {
    let mut out = String::new();
    match value {
        Loaded::String(text) => quote(&mut out, text),
        Loaded::Object(Object::List(list)) => {
            let items = list.view().iter().texts();
            joined(&mut out, "[]", items, |out, item| quote(out, &item));
        }
        Loaded::Object(Object::Set(set)) => {
            let mut members = Vec::new();
            set.view().for_each(|member| members.push(member.to_vec()));
            members.sort();
            joined(&mut out, "{}", members, |out, member| quote(out, &member));
        }
        Loaded::Object(Object::SortedSet(set)) => {
            joined(
                &mut out,
                "{}",
                set.view().entries(),
                |out, (member, score)| {
                    quote_item(out, member);
                    let mut text = Vec::new();
                    resp::number::format_f64(score, &mut text);
                    let _ = write!(out, ": {}", String::from_utf8_lossy(&text));
                },
            );
        }
        Loaded::Object(Object::Hash(hash)) => {
            let mut fields: Vec<_> = hash.view().iter(now_ms).collect();
            fields.sort_by_key(|(name, _)| *name);
            joined(&mut out, "{}", fields, |out, (name, field)| {
                quote(out, name);
                out.push_str(": ");
                quote_item(out, field.value);
                if let Some(ms) = field.due_ms {
                    let _ = write!(out, " until {ms}");
                }
            });
        }
        Loaded::Object(Object::Stream(stream)) => show_stream(&mut out, stream.view()),
    }
    out
}

fn show_stream(out: &mut String, stream: StreamRef<'_>) {
    joined(
        out,
        "[]",
        stream.range(StreamId::MIN, StreamId::MAX),
        |out, entry| {
            let _ = write!(out, "{} ", entry.id);
            joined(out, "{}", entry.pairs(), |out, (name, value)| {
                quote_item(out, name);
                out.push_str(": ");
                quote_item(out, value);
            });
        },
    );
    let _ = write!(
        out,
        " last {}, highest deleted {}, {} added",
        stream.last_id(),
        stream.max_deleted_id(),
        stream.entries_added()
    );
    for (name, group) in stream.groups() {
        out.push_str(", group ");
        quote(out, name);
        let _ = write!(out, " at {}", group.last_id);
        if let Some(n) = group.entries_read {
            let _ = write!(out, ", {n} read");
        }
        for consumer in group.consumers() {
            out.push_str(", consumer ");
            quote(out, &consumer.name);
            let _ = write!(out, " seen {}", consumer.seen_ms);
            if let Some(ms) = consumer.active_ms {
                let _ = write!(out, " active {ms}");
            }
            let pending = consumer.pending_from(StreamId::MIN);
            out.push(' ');
            joined(out, "[]", pending, |out, id| {
                let _ = write!(out, "{id}");
                if let Some(pending) = group.pending(id) {
                    let (at, times) = (pending.delivered_ms, pending.deliveries);
                    let _ = write!(out, " at {at} times {times}");
                }
            });
        }
    }
}

fn quote(out: &mut String, text: &[u8]) {
    let _ = write!(out, "\"{}\"", text.escape_ascii());
}

fn quote_item(out: &mut String, item: Item<'_>) {
    quote(out, item.text(&mut [0; 20]));
}

fn joined<T>(
    out: &mut String,
    brackets: &str,
    items: impl IntoIterator<Item = T>,
    mut show: impl FnMut(&mut String, T),
) {
    out.push_str(&brackets[..1]);
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        show(out, item);
    }
    out.push_str(&brackets[1..]);
}
