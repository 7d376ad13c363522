//! Replies as JSON: see `ui/README.md` for what becomes of what.
//!
//! A reply may be hundreds of megabytes of which the page shows the beginning, so it is not put together first: its pieces are
//! gone through, and of each string only what is wanted is copied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use resp::Out;
use std::fmt::Write;
use std::io::IoSlice;

/// Bytes of all strings of one request together.
const MOST_BYTES: usize = 8 << 20;

/// Elements of an array that are shown.
const MOST_ELEMENTS: usize = 100_000;

/// Deepest nesting.
const MOST_DEPTH: usize = 64;

/// The largest integer that every reader of JSON has exactly.
const EXACT: i64 = (1 << 53) - 1;

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
}

/// Appends all replies of an output, with commas between them. Returns how many there were.
pub(crate) fn replies(into: &mut String, out: &Out, budget: &mut Budget) -> usize {
    let mut pieces = Pieces::new(out);
    let mut n = 0;
    while !pieces.is_empty() {
        if n > 0 {
            into.push(',');
        }
        n += 1;
        if value(into, &mut pieces, budget, 0).is_none() {
            // The engine's replies are well formed; what is not is the last.
            into.push_str("{\"error\":\"ERR a malformed reply\"}");
            break;
        }
    }
    n
}

/// Appends one value. None if the bytes are no reply.
fn value(
    into: &mut String,
    pieces: &mut Pieces<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Option<()> {
    let line = pieces.line()?;
    let (tag, rest) = (*line.first()?, line.get(1..)?);
    let word = std::str::from_utf8(rest).unwrap_or_default();
    let lossy = || String::from_utf8_lossy(rest);
    if depth > MOST_DEPTH {
        return None;
    }
    match tag {
        b'+' => tagged(into, "status", &lossy()),
        b'-' => tagged(into, "error", &lossy()),
        b',' => tagged(into, "double", word),
        b'(' => tagged(into, "big", word),
        b':' => {
            let n: i64 = word.parse().ok()?;
            let _ = if n.abs() <= EXACT {
                write!(into, "{n}")
            } else {
                write!(into, "{{\"int\":\"{n}\"}}")
            };
        }
        b'#' => into.push_str(if rest == b"t" { "true" } else { "false" }),
        b'_' => into.push_str("null"),
        b'$' | b'!' | b'=' => {
            let Ok(length) = word.parse::<usize>() else {
                into.push_str("null");
                return Some(());
            };
            let keep = length.min(budget.each).min(budget.left);
            budget.left -= keep;
            let bytes = pieces.bytes(length, keep)?;
            pieces.bytes(2, 0)?;
            match tag {
                b'!' => tagged(into, "error", &String::from_utf8_lossy(&bytes)),
                b'=' => verbatim(into, &bytes, length),
                _ => string(into, &bytes, length),
            }
        }
        b'*' | b'~' | b'>' => {
            let Ok(n) = word.parse::<usize>() else {
                into.push_str("null");
                return Some(());
            };
            let wrapper = match tag {
                b'~' => Some("set"),
                b'>' => Some("push"),
                _ => None,
            };
            if let Some(name) = wrapper {
                let _ = write!(into, "{{\"{name}\":");
            }
            elements(into, n, |into| value(into, pieces, budget, depth + 1))?;
            if wrapper.is_some() {
                into.push('}');
            }
        }
        b'%' => {
            let n = word.parse::<usize>().ok()?;
            into.push_str("{\"map\":");
            elements(into, n, |into| {
                into.push('[');
                value(into, pieces, budget, depth + 1)?;
                into.push(',');
                value(into, pieces, budget, depth + 1)?;
                into.push(']');
                Some(())
            })?;
            into.push('}');
        }
        b'|' => {
            // What is said about the value; the page has no use for it.
            let mut unused = String::new();
            for _ in 0..2 * word.parse::<usize>().ok()? {
                value(&mut unused, pieces, budget, depth + 1)?;
            }
            value(into, pieces, budget, depth + 1)?;
        }
        _ => return None,
    }
    Some(())
}

/// Appends a list. Those beyond [`MOST_ELEMENTS`] are passed over.
fn elements(
    into: &mut String,
    n: usize,
    mut one: impl FnMut(&mut String) -> Option<()>,
) -> Option<()> {
    into.push('[');
    let mut unused = String::new();
    for i in 0..n {
        if i >= MOST_ELEMENTS {
            unused.clear();
            one(&mut unused)?;
            continue;
        }
        if i > 0 {
            into.push(',');
        }
        one(into)?;
    }
    if n > MOST_ELEMENTS {
        let _ = write!(into, ",{{\"cut\":true,\"len\":{n}}}");
    }
    into.push(']');
    Some(())
}

fn tagged(into: &mut String, name: &str, word: &str) {
    let _ = write!(into, "{{\"{name}\":");
    text(into, word);
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
        let _ = write!(into, ",\"len\":{},\"cut\":true", length - 4);
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

    /// A line without its end.
    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    line.extend_from_slice(&rest[..end]);
                    self.advance(end + 1);
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    return Some(line);
                }
                None => {
                    line.extend_from_slice(rest);
                    let n = rest.len();
                    self.advance(n);
                }
            }
        }
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

    #[test]
    fn a_request_has_a_budget() {
        let part = vec![b'y'; 1 << 20];
        let text = shown(1 << 20, |out| {
            out.array(10);
            (0..10).for_each(|_| out.bulk(&part));
        });
        let shown = text.matches('y').count();
        assert_eq!(shown, MOST_BYTES);
        assert_eq!(text.matches("\"cut\":true").count(), 2);
    }
}
