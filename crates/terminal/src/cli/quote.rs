//! Words of a line and back: quotes, escapes, and strings as JSON has them.

/// Splits a line into words, as Redis's configuration files and its client do: words may stand in single quotes, where only `\'`
/// is an escape, or in double quotes, with `\n`, `\x41` and the like. None if a quote is not closed or not followed by a space.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest
            .iter()
            .position(|byte| !is_space(*byte))
            .unwrap_or(rest.len());
        rest = &rest[start..];
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The first word of text that starts with one, and what follows it.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut quote = None;
    loop {
        let Some((&byte, after)) = rest.split_first() else {
            return quote.is_none().then_some((word, rest));
        };
        rest = after;
        match quote {
            None => match byte {
                b'"' | b'\'' => quote = Some(byte),
                byte if is_space(byte) => return Some((word, rest)),
                byte => word.push(byte),
            },
            Some(mark) if byte == mark => {
                // What follows a quoted word is a space, or nothing.
                if rest.first().is_some_and(|byte| !is_space(*byte)) {
                    return None;
                }
                return Some((word, rest));
            }
            Some(b'\'') => match (byte, rest) {
                (b'\\', [b'\'', after @ ..]) => {
                    word.push(b'\'');
                    rest = after;
                }
                _ => word.push(byte),
            },
            Some(_) if byte == b'\\' => {
                let (value, length) = escape(rest)?;
                word.push(value);
                rest = &rest[length..];
            }
            Some(_) => word.push(byte),
        }
    }
}

/// What the text after a backslash stands for, and how long it is.
fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if let [b'x', high, low, ..] = rest
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        return Some(((high * 16 + low) as u8, 3));
    }
    let value = match rest.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => *other,
    };
    Some((value, 1))
}

/// Appends bytes in double quotes, with escapes for what cannot be printed.
pub fn push_quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    push_escaped(bytes, out);
    out.push(b'"');
}

/// The same without the quotes around it.
fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            byte => out.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
}

/// Bytes in double quotes, as text.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    push_quoted(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends bytes as a string of JSON. What is no UTF-8 stays as it is.
pub fn push_json(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            0..=0x1f => out.extend(format!("\\u{byte:04x}").bytes()),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends a string of JSON whose content is the bytes with escapes: plain ASCII, whatever they are.
pub fn push_quoted_json(bytes: &[u8], out: &mut Vec<u8>) {
    let mut escaped = Vec::new();
    push_escaped(bytes, &mut escaped);
    push_json(&escaped, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        Some(
            words
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect(),
        )
    }

    #[test]
    fn lines_are_split_as_redis_does() {
        let some = |words: &[&str]| Some(words.iter().map(|word| (*word).to_string()).collect());
        assert_eq!(words("  SET  k\tv "), some(&["SET", "k", "v"]));
        assert_eq!(
            words(r#"set "a b" 'c\'d' "\x41\n\q""#),
            some(&["set", "a b", "c\\'d", "A\\nq"])
        );
        assert_eq!(words(r#"a "" ''"#), some(&["a", "", ""]));
        assert_eq!(words(r#"pre"fix x" y"#), some(&["prefix x", "y"]));
        assert_eq!(words(""), some(&[]));
        for bad in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }

    #[test]
    fn quoting_and_splitting_are_inverse() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(split(quoted(&all).as_bytes()), Some(vec![all]));
    }

    #[test]
    fn json_strings_are_json() {
        let mut out = Vec::new();
        push_json("a\"\\\n\u{1}é".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\\\\\n\\u0001é\"");
        for bytes in [&b"a\"b\\\xff"[..], b"\0"] {
            let mut out = Vec::new();
            push_quoted_json(bytes, &mut out);
            let text: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(split(format!("\"{text}\"").as_bytes()).unwrap()[0], bytes);
        }
    }
}
