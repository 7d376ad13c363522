//! The list of a log's files.
//!
//! One line a file, pairs of words in any order: `file appendonly.aof.1.base.rdb seq 1 type b`. Types are `b` for the base, `i`
//! for increments, `h` for history: files that nobody needs any more and that are about to be removed. Pairs we do not know
//! are kept with their file; `startoffset` and `endoffset`, which Redis 8 has too, say which stretch of the stream to replicas an
//! increment has (`folder.rs`). Lines that begin with `#` are comments; a manifest of comments only is that of a log without files.
//! A name with blanks or other unusual characters stands in quotes.

use std::fmt::Write as _;

/// Longest line, its end included; other servers read no longer one.
const MAX_LINE: usize = 1024;

/// The part a file plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All there was at one moment.
    Base,
    /// What happened after it, or after the increment before.
    Increment,
    /// Replaced; to be removed.
    History,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Base => 'b',
            Kind::Increment => 'i',
            Kind::History => 'h',
        }
    }
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name within the folder.
    pub name: String,
    /// Its place among files of its type.
    pub seq: u64,
    /// Its type.
    pub kind: Kind,
    /// Further pairs, as they were read.
    pub(crate) extra: Vec<(String, String)>,
}

impl Entry {
    /// What a further pair says, if it is a number.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        let pair = self.extra.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
        pair?.1.parse().ok()
    }
}

/// The files of a log in the order in which they are loaded: the base, then the increments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, if there is one.
    pub base: Option<Entry>,
    /// Increments, in ascending order of their numbers.
    pub(crate) increments: Vec<Entry>,
    /// Files to be removed.
    pub history: Vec<Entry>,
}

impl Manifest {
    /// Reads a manifest's text. The error names the line.
    pub fn parse(text: &[u8]) -> Result<Manifest, String> {
        if text.is_empty() {
            return Err("the manifest is empty".to_owned());
        }
        let mut manifest = Manifest::default();
        for (index, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
            let wrong = |what: &str| format!("line {}: {what}", index + 1);
            if line[0] == b'#' {
                continue;
            }
            if line.len() > MAX_LINE || !line.ends_with(b"\n") {
                return Err(wrong("too long, or its end is missing"));
            }
            let text = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8"))?;
            let words =
                split(text.trim_matches(is_blank)).ok_or_else(|| wrong("unbalanced quotes"))?;
            let entry = entry(words).map_err(|what| wrong(&what))?;
            match entry.kind {
                Kind::Base if manifest.base.is_some() => return Err(wrong("a second base")),
                Kind::Base => manifest.base = Some(entry),
                Kind::History => manifest.history.push(entry),
                Kind::Increment => {
                    if manifest
                        .increments
                        .last()
                        .is_some_and(|last| last.seq >= entry.seq)
                    {
                        return Err(wrong("increments that do not ascend"));
                    }
                    manifest.increments.push(entry);
                }
            }
        }
        Ok(manifest)
    }

    /// The text of this manifest; a comment if it lists nothing.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let entries = self
            .base
            .iter()
            .chain(&self.history)
            .chain(&self.increments);
        for entry in entries {
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "file {} seq {} type {}",
                quoted(&entry.name),
                entry.seq,
                entry.kind.letter()
            );
            for (key, value) in &entry.extra {
                let _ = write!(out, " {} {}", quoted(key), quoted(value));
            }
            out.push('\n');
        }
        if out.is_empty() {
            out.push_str("# a log without files so far\n");
        }
        out
    }

    /// Whether it lists nothing to load.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The files to load, in order.
    pub fn files(&self) -> impl Iterator<Item = &Entry> {
        self.base.iter().chain(&self.increments)
    }
}

fn entry(words: Vec<String>) -> Result<Entry, String> {
    if words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err("not made of pairs, of which there are at least three".to_owned());
    }
    let (mut name, mut seq, mut kind, mut extra) = (None, None, None, Vec::new());
    let mut words = words.into_iter();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key.eq_ignore_ascii_case("file") {
            if value.is_empty() || value.contains('/') {
                return Err(format!("a file must be a name without a path: {value:?}"));
            }
            name = Some(value);
        } else if key.eq_ignore_ascii_case("seq") {
            match value.parse::<u64>() {
                Ok(n) if n > 0 => seq = Some(n),
                _ => return Err(format!("not a sequence number: {value:?}")),
            }
        } else if key.eq_ignore_ascii_case("type") {
            kind = Some(match value.as_str() {
                "b" => Kind::Base,
                "i" => Kind::Increment,
                "h" => Kind::History,
                _ => return Err(format!("an unknown type of file: {value:?}")),
            });
        } else {
            extra.push((key, value));
        }
    }
    match (name, seq, kind) {
        (Some(name), Some(seq), Some(kind)) => Ok(Entry {
            name,
            seq,
            kind,
            extra,
        }),
        _ => Err("file, seq or type is missing".to_owned()),
    }
}

/// What real servers take for a blank, and nothing else that Unicode does.
fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// Words between blanks; in double quotes with escapes, in single quotes with `\'` only. None if a quote stays open or ends
/// within a word.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.peek().is_some_and(|&c| is_blank(c)) {
            chars.next();
        }
        if chars.peek().is_none() {
            return Some(words);
        }
        let mut word: Vec<u8> = Vec::new();
        match chars.peek() {
            Some(&quote @ ('"' | '\'')) => {
                chars.next();
                loop {
                    match chars.next()? {
                        c if c == quote => break,
                        '\\' if quote == '\'' && chars.peek() == Some(&'\'') => {
                            chars.next();
                            push(&mut word, '\'');
                        }
                        '\\' if quote == '"' => match chars.next()? {
                            'n' => push(&mut word, '\n'),
                            'r' => push(&mut word, '\r'),
                            't' => push(&mut word, '\t'),
                            'a' => push(&mut word, '\x07'),
                            'b' => push(&mut word, '\x08'),
                            'x' => {
                                let mut rest = chars.clone();
                                let digits: Option<(u32, u32)> = rest
                                    .next()
                                    .and_then(|c| c.to_digit(16))
                                    .zip(rest.next().and_then(|c| c.to_digit(16)));
                                match digits {
                                    Some((high, low)) => {
                                        chars = rest;
                                        word.push((high * 16 + low) as u8);
                                    }
                                    None => push(&mut word, 'x'),
                                }
                            }
                            c => push(&mut word, c),
                        },
                        c => push(&mut word, c),
                    }
                }
                if chars.peek().is_some_and(|&c| !is_blank(c)) {
                    return None;
                }
            }
            _ => {
                while let Some(c) = chars.next_if(|&c| !is_blank(c)) {
                    push(&mut word, c);
                }
            }
        }
        words.push(String::from_utf8(word).ok()?);
    }
}

fn push(word: &mut Vec<u8>, c: char) {
    word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The word as it is, or in quotes if it has characters that a reader would take for something else.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for b in word.bytes() {
        match b {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(b));
            }
            b' '..=b'~' => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str, seq: u64, kind: Kind) -> Entry {
        Entry {
            name: name.to_owned(),
            seq,
            kind,
            extra: Vec::new(),
        }
    }

    #[test]
    fn what_servers_write_is_read() {
        let text = b"file appendonly.aof.2.base.rdb seq 2 type b\n\
            # a comment\n\
            file appendonly.aof.1.base.rdb seq 1 type h\n\
            seq 3 type i file appendonly.aof.3.incr.aof startoffset 0 endoffset 1\r\n\
            file \"with blank\\x2e4\" seq 4 type i later 'it\\'s'\n";
        let manifest = Manifest::parse(text).expect("fine");
        let mut third = named("appendonly.aof.3.incr.aof", 3, Kind::Increment);
        third.extra = vec![
            ("startoffset".to_owned(), "0".to_owned()),
            ("endoffset".to_owned(), "1".to_owned()),
        ];
        let mut fourth = named("with blank.4", 4, Kind::Increment);
        fourth.extra = vec![("later".to_owned(), "it's".to_owned())];
        assert_eq!(
            manifest,
            Manifest {
                base: Some(named("appendonly.aof.2.base.rdb", 2, Kind::Base)),
                increments: vec![third, fourth],
                history: vec![named("appendonly.aof.1.base.rdb", 1, Kind::History)],
            }
        );
        assert_eq!(
            manifest.text(),
            "file appendonly.aof.2.base.rdb seq 2 type b\n\
            file appendonly.aof.1.base.rdb seq 1 type h\n\
            file appendonly.aof.3.incr.aof seq 3 type i startoffset 0 endoffset 1\n\
            file \"with blank.4\" seq 4 type i later \"it's\"\n"
        );
        assert!(
            Manifest::parse(b"# nothing yet\n")
                .expect("fine")
                .is_empty()
        );
    }

    /// As long as real servers read, with blanks as they see them.
    #[test]
    fn a_line_of_full_length_and_names_with_other_blanks() {
        let name = "x".repeat(MAX_LINE - "file  seq 1 type b\n".len());
        let text = format!("file {name} seq 1 type b\nfile a\u{a0}b\x0bseq 1 type i\n");
        let read = Manifest::parse(text.as_bytes()).expect("read");
        assert_eq!(read.base.expect("a base").name, name);
        assert_eq!(read.increments[0].name, "a\u{a0}b");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let long = format!("file {} seq 1 type b\n", "x".repeat(1010));
        for (text, what) in [
            ("", "empty"),
            ("file a seq 1 type b", "line 1: too long, or its end"),
            (&long, "line 1: too long"),
            ("\n", "line 1: not made of pairs"),
            ("file a seq 1 type\n", "line 1: not made of pairs"),
            ("file a seq 1 type b more\n", "line 1: not made of pairs"),
            ("file a seq 1 typo b\n", "line 1: file, seq or type"),
            ("file a/b seq 1 type b\n", "line 1: a file must be a name"),
            ("file a seq 0 type b\n", "line 1: not a sequence"),
            ("file a seq x type b\n", "line 1: not a sequence"),
            ("file a seq 1 type x\n", "line 1: an unknown type"),
            ("file \"a seq 1 type b\n", "line 1: unbalanced"),
            ("file \"a\"b seq 1 type b\n", "line 1: unbalanced"),
            (
                "file a seq 1 type b\nfile b seq 2 type b\n",
                "line 2: a second base",
            ),
            (
                "file a seq 2 type i\nfile b seq 2 type i\n",
                "line 2: increments",
            ),
        ] {
            let error = Manifest::parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "[^/]{1,40}", key in "[a-z]{1,8}", value in "\\PC{0,20}") {
            let mut entry = named(&name, 7, Kind::Increment);
            entry.extra.push((format!("x{key}"), value));
            let manifest = Manifest { increments: vec![entry], ..Manifest::default() };
            prop_assert_eq!(Manifest::parse(manifest.text().as_bytes()), Ok(manifest));
        }

        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&text);
        }
    }
}
