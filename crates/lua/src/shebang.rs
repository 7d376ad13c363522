//! The first line of scripts and libraries: `#!lua flags=no-writes,allow-oom` and `#!lua name=mylib`.
//!
//! Pure functions over bytes. Errors are whole reply lines, with the texts of Redis 8.2.

use std::ops::{BitOr, BitOrAssign};

/// What a script or function promises or asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// `no-writes`: it only reads, which makes EVAL_RO and FCALL_RO possible.
    pub const NO_WRITES: Flags = Flags(1);
    /// `allow-oom`: it may run while memory is above the limit.
    pub const ALLOW_OOM: Flags = Flags(2);
    /// `allow-stale`: it may run on a replica that has lost its master.
    pub const ALLOW_STALE: Flags = Flags(4);
    /// `no-cluster`: it does not run in cluster mode.
    pub(crate) const NO_CLUSTER: Flags = Flags(8);
    /// `allow-cross-slot-keys`: it may use keys of several slots.
    pub(crate) const ALLOW_CROSS_SLOT_KEYS: Flags = Flags(16);

    /// Every flag with its name, in the order FUNCTION LIST shows them.
    pub const ALL: [(&'static str, Flags); 5] = [
        ("no-writes", Flags::NO_WRITES),
        ("allow-oom", Flags::ALLOW_OOM),
        ("allow-stale", Flags::ALLOW_STALE),
        ("no-cluster", Flags::NO_CLUSTER),
        ("allow-cross-slot-keys", Flags::ALLOW_CROSS_SLOT_KEYS),
    ];

    /// Whether all of `flags` are set.
    pub fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flags::ALL
            .into_iter()
            .filter(move |&(_, flag)| self.contains(flag))
            .map(|(name, _)| name)
    }

    /// The flag of a name.
    pub fn named(name: &[u8]) -> Option<Flags> {
        Flags::ALL
            .into_iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, flag)| flag)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        *self = *self | other;
    }
}

/// What [`script`] finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptHeader {
    /// The flags given.
    pub flags: Flags,
    /// Whether there was a first line at all: scripts without one run under the rules of older versions.
    pub present: bool,
    /// Where the code starts: at the line end of the first line, so that line numbers stay right, or at 0.
    pub(crate) code_at: usize,
}

/// Reads the first line of a script, if it starts with `#!`; the error is the reply.
pub fn script(body: &[u8]) -> Result<ScriptHeader, Vec<u8>> {
    if !body.starts_with(b"#!") {
        return Ok(ScriptHeader::default());
    }
    let Some(code_at) = body.iter().position(|&b| b == b'\n') else {
        return Err(b"ERR Invalid script shebang".to_vec());
    };
    let words = split_words(&body[..code_at]).unwrap_or_default();
    let Some((engine, options)) = words.split_first() else {
        return Err(b"ERR Invalid engine in script shebang".to_vec());
    };
    if engine != b"#!lua" {
        return Err(quoting(
            "ERR Unexpected engine in script shebang: ",
            engine,
            "",
        ));
    }
    let mut flags = Flags::default();
    for option in options {
        let Some(list) = option.strip_prefix(b"flags=") else {
            return Err(quoting("ERR Unknown lua shebang option: ", option, ""));
        };
        if list.is_empty() {
            continue;
        }
        for name in list.split(|&b| b == b',') {
            match Flags::named(name) {
                Some(flag) => flags |= flag,
                None => return Err(quoting("ERR Unexpected flag in script shebang: ", name, "")),
            }
        }
    }
    Ok(ScriptHeader {
        flags,
        present: true,
        code_at,
    })
}

/// What [`library`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryHeader {
    /// The name given: letters, digits and underscores.
    pub name: Vec<u8>,
    /// Where the code starts, as in [`ScriptHeader`].
    pub(crate) code_at: usize,
}

/// Reads the first line of a library, which must be there; the error is the reply.
pub fn library(body: &[u8]) -> Result<LibraryHeader, Vec<u8>> {
    if !body.starts_with(b"#!") {
        return Err(b"ERR Missing library metadata".to_vec());
    }
    let invalid = || b"ERR Invalid library metadata".to_vec();
    let code_at = body.iter().position(|&b| b == b'\n').ok_or_else(invalid)?;
    let words = split_words(&body[..code_at]).ok_or_else(invalid)?;
    let (engine, options) = words.split_first().ok_or_else(invalid)?;
    let mut name = None;
    for option in options {
        match option.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                if name.replace(value).is_some() {
                    return Err(
                        b"ERR Invalid metadata value, name argument was given multiple times"
                            .to_vec(),
                    );
                }
            }
            _ => return Err(quoting("ERR Invalid metadata value given: ", option, "")),
        }
    }
    let Some(name) = name else {
        return Err(b"ERR Library name was not given".to_vec());
    };
    if !is_name(name) {
        return Err(b"ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long".to_vec());
    }
    let engine = engine.strip_prefix(b"#!").unwrap_or(engine);
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(quoting("ERR Engine '", engine, "' not found"));
    }
    Ok(LibraryHeader {
        name: name.to_vec(),
        code_at,
    })
}

/// Whether a library or function may have this name.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_')
}

fn quoting(before: &str, quoted: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), quoted, after.as_bytes()].concat()
}

/// Splits a line at spaces, with Redis's quoting: "..." knows escapes, '...' only `\'`, and after a closing quote a
/// word ends. None if a quote is not closed, or not followed by a space.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let space = |b: u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&b| space(b)) {
            at += 1;
        }
        if at == line.len() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(&byte) = line.get(at) {
            at += 1;
            match byte {
                _ if space(byte) => break,
                b'"' | b'\'' => {
                    at = quoted(line, at, byte, &mut word)?;
                    if line.get(at).is_some_and(|&b| !space(b)) {
                        return None;
                    }
                }
                _ => word.push(byte),
            }
        }
        words.push(word);
    }
}

/// Appends what is between the quote before `at` and the next one like it; returns the place behind that.
fn quoted(line: &[u8], mut at: usize, quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        let byte = *line.get(at)?;
        at += 1;
        if byte == quote {
            return Some(at);
        }
        let next = line.get(at).copied();
        match (quote, byte, next) {
            (b'\'', b'\\', Some(b'\'')) => {
                word.push(b'\'');
                at += 1;
            }
            (b'"', b'\\', Some(escaped)) => {
                let digits = line
                    .get(at + 1..at + 3)
                    .and_then(|hex| std::str::from_utf8(hex).ok());
                let hex = digits
                    .filter(|hex| escaped == b'x' && hex.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                at += if hex.is_some() { 3 } else { 1 };
                word.push(hex.unwrap_or(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                }));
            }
            _ => word.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `flags:code_at`, or the error.
    fn script_line(body: &str) -> String {
        match script(body.as_bytes()) {
            Ok(found) => format!(
                "{}:{}",
                found.flags.names().collect::<Vec<_>>().join(","),
                found.code_at
            ),
            Err(line) => String::from_utf8_lossy(&line).into_owned(),
        }
    }

    #[test]
    fn scripts() {
        for (body, expected) in [
            ("return 1", ":0"),
            ("#!lua\nreturn 1", ":5"),
            ("#!lua  flags=no-writes \nreturn 1", "no-writes:23"),
            (
                "#!lua flags=no-writes,allow-oom flags=allow-stale\n",
                "no-writes,allow-oom,allow-stale:49",
            ),
            ("#!lua flags=\"no-writes\"\nx", "no-writes:23"),
            (
                "#!lua flags='no-cluster,allow-cross-slot-keys'\nx",
                "no-cluster,allow-cross-slot-keys:46",
            ),
            ("#!lua flags=\nx", ":12"),
            (
                "#!lua flags=no-writes,\nx",
                "ERR Unexpected flag in script shebang: ",
            ),
            (
                "#!lua flags=bad\nx",
                "ERR Unexpected flag in script shebang: bad",
            ),
            ("#!lua", "ERR Invalid script shebang"),
            (
                "#!lua flags=\"no-writes\nx",
                "ERR Invalid engine in script shebang",
            ),
            (
                "#!python\nx",
                "ERR Unexpected engine in script shebang: #!python",
            ),
            ("#! lua\nx", "ERR Unexpected engine in script shebang: #!"),
            ("#!LUA\nx", "ERR Unexpected engine in script shebang: #!LUA"),
            ("#!lua name=x\nx", "ERR Unknown lua shebang option: name=x"),
            ("#!lua foo\nx", "ERR Unknown lua shebang option: foo"),
        ] {
            assert_eq!(script_line(body), expected, "{body:?}");
        }
    }

    #[test]
    fn libraries() {
        const NAMES: &str = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
        for (body, expected) in [
            ("#!lua name=l_1\nx", "l_1:14"),
            ("#!LUA NAME='l1'\nx", "l1:15"),
            ("return 1", "ERR Missing library metadata"),
            ("", "ERR Missing library metadata"),
            ("#!", "ERR Invalid library metadata"),
            ("#!lua name=a", "ERR Invalid library metadata"),
            ("#!lua name='a b\nx", "ERR Invalid library metadata"),
            ("#!lua\nx", "ERR Library name was not given"),
            ("#!python\nx", "ERR Library name was not given"),
            ("#!python name=a\nx", "ERR Engine 'python' not found"),
            ("#!lua name=a-b\nx", NAMES),
            ("#!lua name=\nx", NAMES),
            (
                "#!lua name=a name=b\nx",
                "ERR Invalid metadata value, name argument was given multiple times",
            ),
            (
                "#!lua foo=a name=b\nx",
                "ERR Invalid metadata value given: foo=a",
            ),
            ("#!lua foo\nx", "ERR Invalid metadata value given: foo"),
        ] {
            let found = match library(body.as_bytes()) {
                Ok(found) => format!("{}:{}", String::from_utf8_lossy(&found.name), found.code_at),
                Err(line) => String::from_utf8_lossy(&line).into_owned(),
            };
            assert_eq!(found, expected, "{body:?}");
        }
    }
}
