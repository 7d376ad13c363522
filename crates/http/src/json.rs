//! Replies as JSON: see `ui/README.md` for what becomes of what.
//!
//! A reply may be hundreds of megabytes of which the page shows the beginning, so it is not put together first: its pieces are
//! gone through, and of each string only what is wanted is copied. All that is written is counted, so that an answer stays about as long
//! as it may be whatever it consists of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use resp::Out;
use std::fmt::Write;
use std::io::IoSlice;

/// Bytes of the JSON of all replies of one request together. One string may go beyond it by what has to be escaped in it, and what says that
/// something was cut is written all the same.
const MOST_BYTES: usize = 8 << 20;

/// Elements of an array that are shown.
const MOST_ELEMENTS: usize = 100_000;

/// Deepest nesting that is shown.
const MOST_DEPTH: usize = 64;

/// Bytes of a number, a status or an error that are shown however little is wanted of strings, and whatever is left: what went wrong can be
/// read then.
const LEAST_LINE: usize = 1024;

/// The largest integer that every reader of JSON has exactly.
const EXACT: u64 = (1 << 53) - 1;

/// Appends a string in quotes.
pub(crate) fn text(into: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => into.push_str(&quoted),
        Err(_) => into.push_str("\"\""),
    }
}

/// How much of what is shown.
pub(crate) struct Budget {
    /// Bytes of a single string.
    pub each: usize,
    left: usize,
}

impl Budget {
    /// For one request.
    pub fn new(each: usize) -> Budget {
        Budget {
            each,
            left: MOST_BYTES,
        }
    }

    /// Writes something that is no list, and counts it.
    fn write(&mut self, into: &mut String, write: impl FnOnce(&mut String)) {
        let before = into.len();
        write(into);
        self.left = self.left.saturating_sub(into.len() - before);
    }

    fn push(&mut self, into: &mut String, text: &str) {
        self.write(into, |into| into.push_str(text));
    }

    /// Bytes that are kept of a string of so many.
    fn keep(&self, length: usize) -> usize {
        length.min(self.each).min(self.left)
    }
}

/// Appends all replies of an output, with commas between them. Returns how many there were.
pub(crate) fn replies(into: &mut String, out: &Out, budget: &mut Budget) -> usize {
    let mut pieces = Pieces::new(out);
    let (mut n, mut cut) = (0, false);
    while !pieces.is_empty() {
        n += 1;
        // Of each command there is one, but few commands have very many.
        cut |= n > 1 && budget.left == 0;
        let start = into.len();
        let well = match cut {
            true => pieces.skip(1),
            false => {
                if n > 1 {
                    budget.push(into, ",");
                }
                value(into, &mut pieces, budget, 0)
            }
        };
        if well.is_none() {
            // The engine's replies are well formed; what is not is the last.
            into.truncate(start);
            into.push_str(if n > 1 { "," } else { "" });
            into.push_str("{\"error\":\"ERR a malformed reply\"}");
            return n;
        }
    }
    if cut {
        into.push(',');
        cut_list(into, n);
    }
    n
}

/// Says that a list of so many elements is not shown whole.
fn cut_list(into: &mut String, length: usize) {
    let _ = write!(into, "{{\"cut\":true,\"len\":{length}}}");
}

/// Appends one value. None if the bytes are no reply.
fn value(
    into: &mut String,
    pieces: &mut Pieces<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Option<()> {
    let (line, length) = loop {
        let most = budget.keep(usize::MAX).max(LEAST_LINE);
        let (line, length) = pieces.line(most)?;
        match line.split_first()? {
            // What is said about the value; the page has no use for it.
            (b'|', rest) => pieces.skip(number(rest)?.checked_mul(2)?)?,
            _ => break (line, length - 1),
        }
    };
    let (tag, rest) = line.split_first()?;
    let number = || number(rest);
    let lossy = String::from_utf8_lossy(rest);
    match tag {
        b'+' => budget.write(into, |into| tagged(into, "status", rest, length)),
        b'-' => budget.write(into, |into| tagged(into, "error", rest, length)),
        b',' => budget.write(into, |into| tagged(into, "double", rest, length)),
        b'(' => budget.write(into, |into| tagged(into, "big", rest, length)),
        b':' => {
            let n: i64 = lossy.parse().ok()?;
            budget.write(into, |into| {
                let _ = match n.unsigned_abs() <= EXACT {
                    true => write!(into, "{n}"),
                    false => write!(into, "{{\"int\":\"{n}\"}}"),
                };
            });
        }
        b'#' => budget.push(into, if *rest == *b"t" { "true" } else { "false" }),
        b'_' => budget.push(into, "null"),
        b'$' | b'!' | b'=' => {
            let Some(length) = number() else {
                budget.push(into, "null");
                return Some(());
            };
            let bytes = pieces.bytes(length, budget.keep(length))?;
            pieces.bytes(2, 0)?;
            budget.write(into, |into| match tag {
                b'!' => tagged(into, "error", &bytes, length),
                b'=' => verbatim(into, &bytes, length),
                _ => string(into, &bytes, length),
            });
        }
        b'*' | b'~' | b'>' | b'%' => {
            let Some(n) = number() else {
                budget.push(into, "null");
                return Some(());
            };
            let each = if *tag == b'%' { 2 } else { 1 };
            if depth > MOST_DEPTH {
                budget.write(into, |into| cut_list(into, n));
                return pieces.skip(n.checked_mul(each)?);
            }
            let wrapper = match tag {
                b'~' => Some("set"),
                b'>' => Some("push"),
                b'%' => Some("map"),
                _ => None,
            };
            if let Some(name) = wrapper {
                budget.write(into, |into| {
                    let _ = write!(into, "{{\"{name}\":");
                });
            }
            elements(into, pieces, budget, (n, each), depth + 1)?;
            if wrapper.is_some() {
                budget.push(into, "}");
            }
        }
        _ => return None,
    }
    Some(())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends a list of so many elements, of one value each or of two in a list of their own. Those beyond [`MOST_ELEMENTS`], and those for which
/// nothing is left, are passed over.
fn elements(
    into: &mut String,
    pieces: &mut Pieces<'_>,
    budget: &mut Budget,
    (n, each): (usize, usize),
    depth: usize,
) -> Option<()> {
    budget.push(into, "[");
    let mut shown = 0;
    while shown < n.min(MOST_ELEMENTS) && budget.left > 0 {
        if shown > 0 {
            budget.push(into, ",");
        }
        shown += 1;
        if each == 1 {
            value(into, pieces, budget, depth)?;
            continue;
        }
        budget.push(into, "[");
        value(into, pieces, budget, depth)?;
        budget.push(into, ",");
        value(into, pieces, budget, depth)?;
        budget.push(into, "]");
    }
    if shown < n {
        pieces.skip((n - shown).checked_mul(each)?)?;
        into.push_str(if shown > 0 { "," } else { "" });
        // Readers of a map find nothing but pairs in it.
        into.push_str(if each == 1 { "" } else { "[" });
        cut_list(into, n);
        into.push_str(if each == 1 { "" } else { ",null]" });
    }
    budget.push(into, "]");
    Some(())
}

/// Bytes of which these are the first, of so many, as text whatever they are.
fn tagged(into: &mut String, name: &str, bytes: &[u8], length: usize) {
    let _ = write!(into, "{{\"{name}\":");
    text(into, &String::from_utf8_lossy(bytes));
    if bytes.len() < length {
        let _ = write!(into, ",\"len\":{length},\"cut\":true");
    }
    into.push('}');
}

/// A string of which these are the first bytes, of so many.
fn string(into: &mut String, bytes: &[u8], length: usize) {
    let cut = bytes.len() < length;
    let valid = match std::str::from_utf8(bytes) {
        Ok(word) => Some(word),
        // A character was cut in two.
        Err(error) if cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match (valid, cut) {
        (Some(word), false) => text(into, word),
        (Some(word), true) => {
            into.push_str("{\"text\":");
            text(into, word);
            let _ = write!(into, ",\"len\":{length},\"cut\":true}}");
        }
        (None, _) => {
            let _ = write!(
                into,
                "{{\"b64\":\"{}\",\"len\":{length}",
                STANDARD.encode(bytes)
            );
            into.push_str(if cut { ",\"cut\":true}" } else { "}" });
        }
    }
}

/// `txt:` and the text.
fn verbatim(into: &mut String, bytes: &[u8], length: usize) {
    let (kind, rest) = bytes.split_at(bytes.len().min(4));
    let kind = String::from_utf8_lossy(kind);
    into.push_str("{\"verbatim\":");
    text(into, kind.trim_end_matches(':'));
    into.push_str(",\"text\":");
    text(into, &String::from_utf8_lossy(rest));
    if bytes.len() < length {
        let _ = write!(into, ",\"len\":{},\"cut\":true", length.saturating_sub(4));
    }
    into.push('}');
}

/// The pieces of an output, and how far they were read.
struct Pieces<'a> {
    pieces: Vec<IoSlice<'a>>,
    piece: usize,
    at: usize,
}

impl<'a> Pieces<'a> {
    fn new(out: &'a Out) -> Pieces<'a> {
        let mut pieces = Vec::new();
        out.slices(0, &mut pieces, usize::MAX);
        Pieces {
            pieces,
            piece: 0,
            at: 0,
        }
    }

    /// What is left of the piece that is being read.
    fn rest(&self) -> &[u8] {
        self.pieces
            .get(self.piece)
            .map_or(&[], |piece| &piece[self.at..])
    }

    fn advance(&mut self, n: usize) {
        self.at += n;
        while self
            .pieces
            .get(self.piece)
            .is_some_and(|piece| self.at >= piece.len())
        {
            self.at -= self.pieces[self.piece].len();
            self.piece += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.piece >= self.pieces.len()
    }

    /// The beginning of a line, of so many bytes at most, and the length of the whole without its end.
    fn line(&mut self, most: usize) -> Option<(Vec<u8>, usize)> {
        let (mut line, mut length, mut returns) = (Vec::new(), 0, false);
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = &rest[..end.unwrap_or(rest.len())];
            let wanted = part.len().min(most - line.len());
            line.extend_from_slice(&part[..wanted]);
            length += part.len();
            returns = part.last().map_or(returns, |byte| *byte == b'\r');
            let n = part.len();
            self.advance(n + usize::from(end.is_some()));
            if end.is_some() {
                length -= usize::from(returns);
                line.truncate(length);
                return Some((line, length));
            }
        }
    }

    /// Passes over so many values, with all that is in them.
    fn skip(&mut self, values: usize) -> Option<()> {
        let mut left = values;
        while left > 0 {
            left -= 1;
            let (line, _) = self.line(LEAST_LINE)?;
            let (tag, rest) = line.split_first()?;
            let n = number(rest);
            let within = match tag {
                b'$' | b'!' | b'=' => {
                    if let Some(length) = n {
                        self.bytes(length, 0)?;
                        self.bytes(2, 0)?;
                    }
                    0
                }
                b'*' | b'~' | b'>' => n.unwrap_or(0),
                b'%' => n.unwrap_or(0).checked_mul(2)?,
                // With the value that it is about.
                b'|' => n?.checked_mul(2)?.checked_add(1)?,
                _ => 0,
            };
            left = left.checked_add(within)?;
        }
        Some(())
    }

    /// The next so many bytes, of which only the first are kept.
    fn bytes(&mut self, length: usize, keep: usize) -> Option<Vec<u8>> {
        let mut kept = Vec::with_capacity(keep);
        let mut left = length;
        while left > 0 {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            let n = rest.len().min(left);
            let wanted = n.min(keep - kept.len());
            kept.extend_from_slice(&rest[..wanted]);
            self.advance(n);
            left -= n;
        }
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::Proto;
    use std::sync::Arc;

    fn shown(each: usize, write: impl FnOnce(&mut Out)) -> String {
        let mut out = Out::new(Proto::Resp3);
        write(&mut out);
        let mut into = String::new();
        replies(&mut into, &out, &mut Budget::new(each));
        into
    }

    #[test]
    fn every_kind_of_reply_has_its_form() {
        let all = shown(100, |out| {
            out.array(11);
            out.ok();
            out.error("ERR no \"way\"");
            out.int(5);
            out.int(i64::MAX);
            out.bulk("gr\u{fc}n\n".as_bytes());
            out.bulk(b"\xff\0");
            out.double(f64::INFINITY);
            out.bool(true);
            out.null();
            out.set(1);
            out.bulk(b"a");
            out.map(1);
            out.int(1);
            out.verbatim("txt", b"two\nlines");
        });
        assert_eq!(
            all,
            r#"[{"status":"OK"},{"error":"ERR no \"way\""},5,{"int":"9223372036854775807"},"grün\n",{"b64":"/wA=","len":2},{"double":"inf"},true,null,{"set":["a"]},{"map":[[1,{"verbatim":"txt","text":"two\nlines"}]]}]"#
        );
        let parsed: serde_json::Value = serde_json::from_str(&all).expect("JSON");
        assert_eq!(parsed[4], "gr\u{fc}n\n");
        assert_eq!(shown(9, |out| (0..3).for_each(|n| out.int(n))), "0,1,2");
    }

    #[test]
    fn strings_are_cut_between_characters() {
        let cut = |each, bytes: &[u8]| shown(each, |out| out.bulk(bytes));
        assert_eq!(cut(3, b"abcdef"), r#"{"text":"abc","len":6,"cut":true}"#);
        let umlauts = "a\u{fc}\u{fc}".as_bytes();
        assert_eq!(cut(2, umlauts), r#"{"text":"a","len":5,"cut":true}"#);
        assert_eq!(cut(5, umlauts), "\"aüü\"");
        assert_eq!(
            cut(2, b"\xff\xfe\xfd"),
            r#"{"b64":"//4=","len":3,"cut":true}"#
        );
        assert_eq!(cut(0, b"x"), r#"{"text":"","len":1,"cut":true}"#);
    }

    /// A string that is not copied into the output is not copied whole out of it either.
    #[test]
    fn long_strings_are_read_piece_by_piece() {
        let long = Arc::new(vec![b'x'; 1 << 20]);
        let text = shown(4, |out| {
            out.array(3);
            out.shared(&long);
            out.int(7);
            out.shared(&long);
        });
        let cut = r#"{"text":"xxxx","len":1048576,"cut":true}"#;
        assert_eq!(text, format!("[{cut},7,{cut}]"));
    }

    /// What is written is counted, be it strings or what stands around them.
    #[test]
    fn a_request_has_a_budget() {
        let part = vec![b'y'; 1 << 20];
        let text = shown(1 << 20, |out| {
            out.array(10);
            (0..10).for_each(|_| out.bulk(&part));
        });
        let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!((MOST_BYTES..MOST_BYTES + 100).contains(&text.len()));
        assert_eq!(all.as_array().map(Vec::len), Some(9));
        assert_eq!(all[7]["len"], 1 << 20);
        assert_eq!(all[8], serde_json::json!({"cut": true, "len": 10}));
        // Small elements, of one command after the other.
        let mut budget = Budget::new(100);
        let mut total = 0;
        for _ in 0..100 {
            let mut out = Out::new(Proto::Resp3);
            out.array(50_000);
            for _ in 0..50_000 {
                out.map(1);
                out.bulk(b"\xff");
                out.bool(true);
            }
            out.int(7);
            let mut text = String::new();
            assert_eq!(replies(&mut text, &out, &mut budget), 2);
            let one: Vec<serde_json::Value> =
                serde_json::from_str(&format!("[{text}]")).expect("JSON");
            assert_eq!(one.len(), 2);
            total += text.len();
        }
        assert!(
            (MOST_BYTES..MOST_BYTES + 100 * 100).contains(&total),
            "{total}"
        );
    }

    #[test]
    fn what_is_cut_of_a_map_is_a_pair() {
        let mut out = Out::new(Proto::Resp3);
        out.map(2);
        (0..4).for_each(|n| out.int(n));
        let mut budget = Budget::new(9);
        budget.left = "{\"map\":[[0,1]".len();
        let mut text = String::new();
        replies(&mut text, &out, &mut budget);
        assert_eq!(text, r#"{"map":[[0,1],[{"cut":true,"len":2},null]]}"#);
    }

    #[test]
    fn long_lines_are_cut_too() {
        let long = "e".repeat(5000);
        let text = shown(9, |out| {
            out.error(&long);
            out.int(1);
        });
        let kept = &long[..LEAST_LINE - 1];
        assert_eq!(
            text,
            format!("{{\"error\":\"{kept}\",\"len\":5000,\"cut\":true}},1")
        );
    }

    #[test]
    fn what_is_nested_too_deep_is_passed_over() {
        for depth in [MOST_DEPTH, MOST_DEPTH + 1, MOST_DEPTH + 2, 1000] {
            let text = shown(9, |out| {
                for _ in 0..depth {
                    out.array(2);
                }
                (0..=depth).for_each(|n| out.int(n as i64));
                out.ok();
            });
            let all: Vec<serde_json::Value> =
                serde_json::from_str(&format!("[{text}]")).expect("JSON");
            assert_eq!(all.len(), 2, "{text}");
            assert_eq!(all[1], serde_json::json!({"status": "OK"}));
            assert_eq!(all[0][1], depth);
            let cut = text.matches(r#"{"cut":true,"len":2}"#).count();
            assert_eq!(cut, usize::from(depth > MOST_DEPTH + 1), "{text}");
        }
    }

    #[test]
    fn the_smallest_integer_is_shown() {
        assert_eq!(
            shown(9, |out| out.int(i64::MIN)),
            r#"{"int":"-9223372036854775808"}"#
        );
    }

    #[test]
    fn what_is_no_reply_is_an_error_of_its_own() {
        let text = shown(9, |out| {
            out.int(1);
            out.array(3);
            out.int(2);
        });
        assert_eq!(text, r#"1,{"error":"ERR a malformed reply"}"#);
    }
}
