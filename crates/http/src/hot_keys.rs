//! What `/metrics` tells of hot keys. Keys are any bytes, and labels are text.

use crate::shared::Shared;
use crate::text::{Kind, Writer};
use engine::{HotKey, HotKeys, MEASURES};
use std::collections::HashSet;
use std::fmt::Write as _;

/// Bytes of a key in a label.
const MOST_LABEL: usize = 128;

/// Hot keys told by each measure.
const HOT_KEYS: usize = 10;

/// Tells how hot the hottest keys are, and their names if those may be told.
pub(crate) fn hot_keys(into: &mut Writer, shared: &Shared, told: bool) {
    if !shared.engine.config().flag("hotkey-tracking") {
        return;
    }
    let found = MEASURES.map(|measure| shared.engine.stats().hot_keys(measure, HOT_KEYS));
    let names = ["ops", "cpu", "in", "out"];
    into.single(
        "redpoll_hot_key_window_seconds",
        Kind::Gauge,
        "The time that the shares of hot keys are about.",
        found[0].window_ms as f64 / 1e3,
    );
    into.family(
        "redpoll_hottest_key_ratio",
        Kind::Gauge,
        "The share of the whole that the hottest key has, by operations, time, bytes received and bytes sent.",
    );
    for (name, found) in names.iter().zip(&found) {
        let share = found.keys.first().map_or(0.0, |hot| share(hot, found));
        into.sample(&[("by", name)], share);
    }
    if !told {
        return;
    }
    into.family(
        "redpoll_hot_key_ratio",
        Kind::Gauge,
        "The same of the hottest keys, for who may run HOTKEYS.",
    );
    for (name, found) in names.iter().zip(&found) {
        hottest(into, name, found);
    }
}

/// The hottest keys by one measure. Of names that are cut to the same text the hottest is told, which comes first: a series that is there twice
/// makes a scrape of all others fail.
fn hottest(into: &mut Writer, measure: &str, found: &HotKeys) {
    let mut told = HashSet::new();
    for hot in &found.keys {
        let key = key_label(&hot.key);
        if !told.insert((hot.db, key.clone())) {
            continue;
        }
        let labels = [
            ("by", measure),
            ("db", &format!("db{}", hot.db)),
            ("key", &key),
        ];
        into.sample(&labels, share(hot, found));
    }
}

/// The beginning of a key as a label: as it is where it is UTF-8, and else with `\xff` for a byte.
fn key_label(key: &[u8]) -> String {
    let mut label = String::new();
    // Of text only a character that is cut in two is none.
    let is_text = std::str::from_utf8(key).is_ok();
    for chunk in key[..key.len().min(MOST_LABEL)].utf8_chunks() {
        label.push_str(chunk.valid());
        let invalid = if is_text { &[] } else { chunk.invalid() };
        for byte in invalid {
            // Writing to a string does not fail.
            let _ = write!(label, "\\x{byte:02x}");
        }
    }
    label
}

fn share(hot: &HotKey, of: &HotKeys) -> f64 {
    hot.value as f64 / of.total.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Format;

    fn told(keys: &[&[u8]]) -> Vec<String> {
        let mut found = HotKeys {
            total: 10,
            ..HotKeys::default()
        };
        for (i, key) in keys.iter().enumerate() {
            found.keys.push(HotKey {
                db: 0,
                key: (*key).into(),
                value: 9 - i as u64,
                error: 0,
            });
        }
        let mut into = Writer::new(Format::Prometheus, 0);
        into.family("hot", Kind::Gauge, "Hot.");
        hottest(&mut into, "ops", &found);
        let text = into.finish();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn keys_that_are_no_text_are_told_apart() {
        assert_eq!(
            told(&[b"\xff", b"\xfe", "gr\u{fc}n\"".as_bytes(), b"a\xc3"]),
            [
                r#"hot{by="ops",db="db0",key="\\xff"} 0.9"#,
                r#"hot{by="ops",db="db0",key="\\xfe"} 0.8"#,
                r#"hot{by="ops",db="db0",key="grün\""} 0.7"#,
                r#"hot{by="ops",db="db0",key="a\\xc3"} 0.6"#,
            ]
        );
    }

    #[test]
    fn text_is_cut_between_characters() {
        let key = format!("{}\u{fc}", "k".repeat(MOST_LABEL - 1));
        assert_eq!(key_label(key.as_bytes()), key[..MOST_LABEL - 1]);
    }

    #[test]
    fn no_series_is_there_twice() {
        let long = |end: &str| format!("{}{end}", "k".repeat(MOST_LABEL)).into_bytes();
        let found = told(&[&long("1"), b"other", &long("2"), b"\xff", b"\\xff"]);
        assert_eq!(found.len(), 3);
        assert!(found[0].ends_with(" 0.9") && found[1].ends_with(" 0.8"));
        assert!(found[2].ends_with(" 0.6"));
    }
}
