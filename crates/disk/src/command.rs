//! Where a command in a log ends.
//!
//! Logs hold commands as arrays of bulk strings. Nothing is known here of what they mean, but for the two words between which
//! everything counts or nothing: MULTI and EXEC.

/// Longest line of an annotation that Redis and Valkey skip.
pub(crate) const MAX_ANNOTATION: usize = 1024;

/// What is at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole command of so many bytes.
    Command(usize, Word),
    /// A whole line that begins with `#`, of so many bytes.
    Annotation(usize),
    /// As far as it goes it could be either; it has at least so many bytes.
    Incomplete(usize),
    /// Neither.
    Invalid(&'static str),
}

/// Whether a command opens or closes a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// MULTI
    Multi,
    /// EXEC
    Exec,
    /// Any other.
    Other,
}

/// Looks at the start of these bytes; there must be one at least.
pub fn find(bytes: &[u8]) -> Found {
    match bytes.first() {
        None => Found::Incomplete(1),
        Some(b'*') => array(bytes),
        Some(b'#') => {
            let line = &bytes[..bytes.len().min(MAX_ANNOTATION)];
            match memchr::memchr(b'\n', line) {
                Some(end) => Found::Annotation(end + 1),
                None if line.len() < MAX_ANNOTATION => Found::Incomplete(bytes.len() + 1),
                None => Found::Invalid("a line of annotation that is too long"),
            }
        }
        Some(_) => Found::Invalid("neither a command nor an annotation"),
    }
}

#[inline]
fn array(bytes: &[u8]) -> Found {
    let (count, mut at) = match number(bytes, 1) {
        Number::Is(n, end) => (n, end),
        Number::Incomplete => return Found::Incomplete(bytes.len() + 1),
        Number::Invalid => return Found::Invalid("a count of arguments that is not one"),
    };
    if count == 0 {
        return Found::Invalid("a command without a word");
    }
    let mut word = Word::Other;
    for argument in 0..count {
        match bytes.get(at) {
            Some(b'$') => {}
            Some(_) => return Found::Invalid("an argument that does not begin with $"),
            // Each argument that is missing has six bytes at least: `$0`, CR LF, CR LF.
            None => return Found::Incomplete(at + 6),
        }
        let (length, start) = match number(bytes, at + 1) {
            Number::Is(n, end) => (n, end),
            Number::Incomplete => return Found::Incomplete(bytes.len() + 1),
            Number::Invalid => return Found::Invalid("a length that is not one"),
        };
        let end = start + length;
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Found::Invalid("an argument that does not end where it should"),
            None if bytes.get(end).is_some_and(|&b| b != b'\r') => {
                return Found::Invalid("an argument that does not end where it should");
            }
            None => return Found::Incomplete(end + 2),
        }
        if argument == 0 && count == 1 {
            let first = &bytes[start..end];
            if first.eq_ignore_ascii_case(b"multi") {
                word = Word::Multi;
            } else if first.eq_ignore_ascii_case(b"exec") {
                word = Word::Exec;
            }
        }
        at = end + 2;
    }
    Found::Command(at, word)
}

enum Number {
    /// The number, and where the next line begins.
    Is(usize, usize),
    Incomplete,
    Invalid,
}

/// A number below a thousand million million, and its line's end.
#[inline]
fn number(bytes: &[u8], from: usize) -> Number {
    let mut n = 0;
    let mut at = from;
    loop {
        match bytes.get(at) {
            Some(digit @ b'0'..=b'9') if at - from < 15 => {
                n = n * 10 + usize::from(digit - b'0');
                at += 1;
            }
            Some(b'\r') if at > from => {
                return match bytes.get(at + 1) {
                    Some(b'\n') => Number::Is(n, at + 2),
                    Some(_) => Number::Invalid,
                    None => Number::Incomplete,
                };
            }
            Some(_) => return Number::Invalid,
            None => return Number::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_whole_and_told_apart_from_their_beginnings() {
        for (text, word) in [
            (
                &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"[..],
                Word::Other,
            ),
            (b"*1\r\n$5\r\nMulti\r\n", Word::Multi),
            (b"*1\r\n$4\r\nexec\r\n", Word::Exec),
            (b"*2\r\n$4\r\nexec\r\n$0\r\n\r\n", Word::Other),
        ] {
            for end in 1..text.len() {
                match find(&text[..end]) {
                    Found::Incomplete(need) => {
                        assert!(need > end && need <= text.len(), "{end} {need}")
                    }
                    found => panic!("{end}: {found:?}"),
                }
            }
            let mut more = text.to_vec();
            more.extend_from_slice(b"*1\r\n");
            assert_eq!(find(&more), Found::Command(text.len(), word));
        }
    }

    #[test]
    fn annotations_are_lines() {
        assert_eq!(find(b"#TS:17\r\n*1\r\n"), Found::Annotation(8));
        assert_eq!(find(b"#TS:17"), Found::Incomplete(7));
        let long = [b'#'; MAX_ANNOTATION];
        assert!(matches!(find(&long), Found::Invalid(_)));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for text in [
            &b"SET a b\r\n"[..],
            b"\0\0\0",
            b"*0\r\n",
            b"*-1\r\n",
            b"*x\r\n",
            b"*\r\n",
            b"*1\n$4\r\nPING\r\n",
            b"*1\r\n:4\r\nPING\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$4\rPING\r\n",
            b"*1\r\n$3\r\nPING\r\n",
            b"*1\r\n$5\r\nPING\r\n*",
            b"*1111111111111111\r\n",
        ] {
            assert!(
                matches!(find(text), Found::Invalid(_)),
                "{}",
                text.escape_ascii()
            );
        }
    }
}
